"""The server process: uvicorn around the app, request heads that arrive in time, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from revisage.server.app import create_app
from revisage.server.private import keep_private
from revisage.server.service import Service
from revisage.server.settings import ServerSettings
from revisage.server.worker import Models

CONNECTIONS = 1000  #: open connections beyond which new ones are answered 503
HEAD_SECONDS = 10.0  #: how long a request's head may take to arrive, and a new connection may stay silent

UNFINISHED = 64
"""Connections of one address that may be without a whole head; the oldest gives way to one more. A proxy
sends heads whole, so it comes nowhere near."""


def serve(settings: ServerSettings, models: Models, on_start: Callable[[int], object] = bool) -> int:
    """Serve until SIGTERM or Ctrl-C, then finish what is in hand within the drain time.

    `models` is told to the workers' processes, so a function at the top of a module or a `functools.partial`
    of one. `on_start` is called with the port once it answers. Returns the exit code: 0, or 1 when the
    address is taken. Raises as `Service`.
    """
    keep_private()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s server: %(message)s")
    service = Service(settings, models)
    config = uvicorn.Config(
        create_app(service),
        host=settings.host.strip("[]"),
        port=settings.port,
        access_log=False,  # it would keep who sent what longer than the photos are kept
        log_level="warning",
        server_header=False,
        http=Protocol,
        ws="none",
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=max(1, round(settings.limits.drain_seconds)),
        proxy_headers=False,
    )
    server = _Server(config, service, on_start)
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises the signal again when it is done, which would end an orderly stop with an error.
        signal.signal(number, lambda *_: None)
    server.run()
    return 0 if server.started else 1


def address(host: str, port: int) -> str:
    """For a browser on this machine."""
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, service: Service, on_start: Callable[[int], object]) -> None:
        super().__init__(config)
        self._service, self._on_start = service, on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and not self.should_exit:
            port = self.servers[0].sockets[0].getsockname()[1]
            print(f"Revisage is at {address(self._service.settings.host, port)}", flush=True)
            self._on_start(port)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._service.drain()
        super().handle_exit(sig, frame)


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
