"""HTTP connections whose request head must arrive in time: half a head holds no place for long."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  #: how long a request's head may take to arrive, and a new connection may stay silent

UNFINISHED = 64
"""Connections of one address that may be without a whole head; the oldest gives way to one more. A proxy
sends heads whole, so it comes nowhere near."""


class Protocol(H11Protocol):
    """uvicorn's own, which waits for headers for ever. Between requests its keep-alive timeout holds."""

    _unfinished: dict[Protocol, asyncio.TimerHandle] = {}  # noqa: RUF012 (one for the process), oldest first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        if self not in self._unfinished and (self.cycle is None or self.cycle.response_complete):
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
        same = [other for other in self._unfinished if other._address == self._address]
        if len(same) >= UNFINISHED:
            same[0]._drop()
        self._unfinished[self] = self.loop.call_later(HEAD_SECONDS, self._drop)

    def _end(self) -> None:
        if (deadline := self._unfinished.pop(self, None)) is not None:
            deadline.cancel()

    def _drop(self) -> None:
        self._end()
        self.connections.discard(self)
        self.transport.abort()

    @property
    def _address(self) -> str:
        client: Any = self.client
        return str(client[0]) if client else ""
