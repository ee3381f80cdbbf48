"""`revisage serve`: the HTTP API and the web page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from revisage.cli._parse import Exit, parse
from revisage.cli._say import say
from revisage.errors import RevisageError, UnknownModelError, UsageError
from revisage.options import GUARD_DEGREES, Arg, ModelSettings, Settings
from revisage.restore import InstalledModels, Restorer
from revisage.server import JobLimits, Limits, ServerSettings, default_data, read_tokens


@dataclass(frozen=True)
class Options:
    """Serve the HTTP API and the web page, for this machine only unless a token file is given.

    Photos stay on this machine and are erased after the retention time.
    """

    host: Annotated[str, Arg(metavar="ADDRESS")] = "127.0.0.1"
    """Address to listen on; any but this machine's own needs --token-file."""
    port: int = 8000
    """Port to listen on; 0 takes a free one and says which."""
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
    workers: int = 1
    """Processes that restore, each with its own models; 0: other machines on the same queue do the work."""
    database: Annotated[str | None, Arg(metavar="postgresql://…")] = None
    """Queue that several machines share; they need a common --data folder as well."""
    limits: JobLimits = field(default_factory=JobLimits)
    max_body_mib: int = Limits.body_bytes >> 20
    """Longest upload in MiB."""
    max_stored_mib: int = Limits.stored_bytes >> 20
    """What photos and results may take on the disk in MiB; beyond, photos are refused with 507."""
    min_free_mib: int = Limits.free_bytes >> 20
    """What must stay free on that disk in MiB."""
    worker_mib: int = Limits.worker_bytes >> 20
    """Memory in MiB that a process may take beyond its models (CPU, Linux)."""
    decode_mib: int = Limits.decode_bytes >> 20
    """Memory in MiB that decoding one photo may take."""
    retention_hours: float = Limits.retention_seconds / 3600
    """Photos and results are erased this long after they are done; 0: right after the download."""


def main(argv: Sequence[str]) -> int:
    """Run the server until it is stopped; 0: stopped in order, 1: it could not start, 2: bad usage."""
    try:
        options = parse(Options, "serve", argv)
        settings = _settings(options)
        chosen = Settings(**asdict(options.models))
        from revisage.server.run import serve
    except Exit as stop:
        return stop.code
    except UsageError as error:
        say(f"revisage serve: {error}", error=True)
        return 2
    except ModuleNotFoundError as error:
        say(f"revisage serve: needs {error.name}: pip install 'revisage[serve]'", error=True)
        return 1
    try:
        if options.workers:
            # A worker that finds this out would be started again and again.
            Restorer(models=InstalledModels(chosen)).check()
        return serve(settings, partial(InstalledModels, chosen))
    except RevisageError as error:
        say(f"revisage serve: {error}", error=True)
        return 2 if isinstance(error, UsageError | UnknownModelError) else 1


def _settings(options: Options) -> ServerSettings:
    return ServerSettings(
        data=options.data or default_data(),
        host=options.host,
        port=options.port,
        tokens=() if options.token_file is None else read_tokens(options.token_file),
        names=options.name,
        workers=options.workers,
        guard=None if options.guard == "off" else options.guard,
        database=options.database,
        limits=Limits(
            **asdict(options.limits),
            body_bytes=options.max_body_mib << 20,
            stored_bytes=options.max_stored_mib << 20,
            free_bytes=options.min_free_mib << 20,
            worker_bytes=options.worker_mib << 20,
            decode_bytes=options.decode_mib << 20,
            retention_seconds=options.retention_hours * 3600,
        ),
    )
