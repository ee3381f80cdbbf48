"""`revisage serve`: the HTTP API and the web page."""

import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Interval

from revisage.cli._parse import parse
from revisage.cli._say import say
from revisage.errors import UsageError
from revisage.options import GUARD_DEGREES, Arg, ModelSettings, Settings
from revisage.restore import InstalledModels, Restorer
from revisage.server import Limits, ServerSettings, default_data, read_tokens


@dataclass(frozen=True)
class Options:
    """Serve the web page and the HTTP API, for this machine only unless --lan or a token file is given.

    The page opens in the browser. Photos stay on this machine and are erased after the retention time.
    """

    open: bool = True
    """Open the page, where a person at a terminal has started the server."""
    lan: bool = False
    """Let the phones and computers of this network in, by an address with a token that is valid for this run
    and is shown as a QR code as well. Nothing is encrypted: for a network that you trust."""

    host: Annotated[str, Arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen on; any but this machine's own needs --token-file."""
    port: Annotated[int | None, Interval(ge=0, le=65535), Arg(metavar="N")] = None
    """Port to listen on; 0 takes a free one; 8000, or the next that is free, if not given."""
    data: Annotated[Path | None, Arg(metavar="DIR")] = None
    """Folder for photos, results and the queue; by default one of your account."""
    token_file: Annotated[Path | None, Arg(metavar="FILE")] = None
    """File of the tokens that let clients in, one a line, each at least 16 characters."""
    name: Annotated[tuple[str, ...], Arg(metavar="NAME")] = ()
    """Names under which the server is reached, where a proxy stands before it."""
    models: ModelSettings = field(default_factory=ModelSettings)
    guard: Annotated[float | Literal["off"], Arg(metavar="DEGREES|off")] = GUARD_DEGREES
    """Restore a face less, or leave it, that would drift further from who it shows, where a request names no
    angle."""
    workers: Annotated[int, Interval(ge=0)] = 1
    """Processes that restore, each with its own models; 0: other machines on the same queue do the work."""
    database: Annotated[str | None, Arg(metavar="postgresql://…")] = None
    """Queue that several machines share; they need a common --data folder as well."""
    limits: Limits = field(default_factory=Limits)


def main(argv: Sequence[str]) -> int:
    """Run the server until it is stopped; 0: stopped in order, 1: it could not start, 2: bad usage."""
    options = parse(Options, "serve", argv)
    settings = _settings(options)
    chosen = Settings(**asdict(options.models))
    from revisage.server.run import serve

    if options.workers:
        # A worker that finds this out would be started again and again.
        Restorer(models=InstalledModels(chosen)).check()
    return serve(settings, partial(InstalledModels, chosen), partial(_welcome, options, settings))


def _welcome(options: Options, settings: ServerSettings, port: int) -> None:
    """Say how to reach the page and how to end it, and open it."""
    from revisage.server.run import address

    key = f"/#token={settings.tokens[-1]}" if options.lan else ""
    if options.lan:
        url = address(_lan_address(), port) + key
        say(f"From other devices in this network, for this run: {url}")
        import segno

        with suppress(UnicodeEncodeError):  # a terminal without the blocks that it is made of
            segno.make(url, error="l").terminal(compact=True)
    say("Ctrl+C ends it.")
    if options.open and sys.stdout is not None and sys.stdout.isatty() and _has_screen():
        url = address(settings.host, port) + key
        threading.Thread(target=webbrowser.open, args=[url], daemon=True).start()


def _has_screen() -> bool:
    """Whether a browser would have a window; without one it would take the terminal."""
    return sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _lan_address() -> str:
    """This machine's own in its network; nothing is sent to find it out."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: an address that nobody has
        except OSError:
            raise UsageError("--lan: this machine is in no network") from None
        return str(probe.getsockname()[0])


def _port(host: str, wanted: int | None) -> int:
    """The wanted one, or the first free one of twenty from 8000 on, or 0 for any. Raises UsageError."""
    why, ports = "", [*range(8000, 8020), 0] if wanted is None else [wanted]
    for port in ports:
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                if sys.platform != "win32":  # there it would take a port that somebody has
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host.strip("[]"), port))
                return port
        except OSError as error:
            why = error.strerror or str(error)
    raise UsageError(f"--host {host} --port {ports[0]}: {why}; choose another, or leave it out")


def _settings(options: Options) -> ServerSettings:
    host = "0.0.0.0" if options.lan else options.host
    tokens = () if options.token_file is None else read_tokens(options.token_file)
    if options.lan:
        _lan_address()
        tokens += (secrets.token_urlsafe(24),)
    settings = ServerSettings(
        data=options.data or default_data(),
        host=host,
        tokens=tokens,
        names=options.name,
        workers=options.workers,
        guard=None if options.guard == "off" else options.guard,
        database=options.database,
        limits=options.limits,
    )
    return replace(settings, port=_port(host, options.port))
