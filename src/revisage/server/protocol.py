"""HTTP connections whose request head must arrive in time: half a head holds no place for long."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""How long a request's line and headers may take to arrive, and a new connection may stay silent."""

UNFINISHED = 64
"""Connections of one address that may be without a whole head; the oldest gives way to one more. A proxy
sends heads whole, so it comes nowhere near."""


class Protocol(H11Protocol):
    """uvicorn's own, which waits for headers for ever. Between requests its keep-alive timeout holds."""

    _unfinished: dict[str, dict[Protocol, None]] = {}  # noqa: RUF012 (one for the process), oldest first
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        if self._deadline is None and (self.cycle is None or self.cycle.response_complete):
            self._begin()
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()  # may begin the next request, of which the head is here already
        self._end()

    def _begin(self) -> None:
        others = self._unfinished.setdefault(self._address, {})
        if len(others) >= UNFINISHED:
            next(iter(others))._drop()
        self._unfinished.setdefault(self._address, {})[self] = None
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._drop)

    def _end(self) -> None:
        if self._deadline is None:
            return
        self._deadline.cancel()
        self._deadline = None
        others = self._unfinished[self._address]
        del others[self]
        if not others:
            del self._unfinished[self._address]

    def _drop(self) -> None:
        self._end()
        self.connections.discard(self)
        self.transport.abort()

    @property
    def _address(self) -> str:
        client: Any = self.client
        return str(client[0]) if client else ""
