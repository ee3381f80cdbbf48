"""What whoever runs the server may choose."""

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from annotated_types import Interval

from revisage.errors import UsageError
from revisage.files import open_to_others
from revisage.image import DecodeLimits
from revisage.options import GUARD_DEGREES, Arg, Checked, OnlyInPython

TOKEN_LENGTH = 16  #: characters of the shortest token; `openssl rand -hex 32` makes a good one
UNCLAIMED_SECONDS = 3600.0  #: how long an ended job waits for its first download where retention is 0

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


MIB, HOUR = 1 << 20, 3600
Count = Annotated[int, Interval(gt=0)]
Seconds = Annotated[float, Interval(gt=0)]


@dataclass(frozen=True)
class Limits(Checked):
    """What one request, one job and the queue may cost."""

    max_pixels: Count = 50_000_000
    """Photos with more pixels are refused."""
    max_output_pixels: Count = 100_000_000
    """Results that would have more pixels are refused."""
    decode_seconds: Seconds = 10.0
    """Processor time that decoding one photo may take."""
    upload_seconds: Seconds = 60.0
    """Longest time for an upload to arrive."""
    queue: Count = 64
    """Photos that may wait; one more is refused with 429."""
    job_seconds: Seconds = 300.0
    """Longest time that a photo may make no progress."""
    attempts: Count = 5
    """How often a photo is tried whose worker dies of it."""
    kills: Count = 2
    """How often a photo is tried whose worker is killed from outside, as when memory runs out."""
    drain_seconds: Annotated[float, Interval(ge=0)] = 20.0
    """Time after SIGTERM for the photos in hand."""
    body_bytes: Annotated[Count, Arg(name="max_body_mib", metavar="MIB", unit=MIB)] = 64 * MIB
    """Longest upload, counted while it arrives."""
    stored_bytes: Annotated[Count, Arg(name="max_stored_mib", metavar="MIB", unit=MIB)] = 20480 * MIB
    """What photos and results may take on the disk together; beyond, photos are refused with 507."""
    free_bytes: Annotated[int, Interval(ge=0), Arg(name="min_free_mib", metavar="MIB", unit=MIB)] = 1024 * MIB
    """What must stay free on that disk."""
    worker_bytes: Annotated[Count, Arg(name="worker_mib", metavar="MIB", unit=MIB)] = 6144 * MIB
    """Memory that a process may take beyond its models (CPU, Linux)."""
    decode_bytes: Annotated[Count, Arg(name="decode_mib", metavar="MIB", unit=MIB)] = 2048 * MIB
    """Memory that decoding one photo may take."""
    retention_seconds: Annotated[
        float, Interval(ge=0), Arg(name="retention_hours", metavar="HOURS", unit=HOUR)
    ] = 24.0 * HOUR
    """Photos and results are erased this long after they are done; 0: right after the download."""
    lease_seconds: Annotated[Seconds, OnlyInPython] = 15.0
    """How long a job whose worker falls silent waits before another takes it."""

    @property
    def decoding(self) -> DecodeLimits:
        """The part that decoding keeps to."""
        return DecodeLimits(self.max_pixels, self.decode_bytes, self.decode_seconds)


@dataclass(frozen=True)
class ServerSettings(Checked):
    """One server. Raises UsageError when another machine could reach it and no token is set, or a value makes
    no sense."""

    data: Path  #: folder of the photos, results and, without `database`, the queue
    host: str = "127.0.0.1"  #: address to listen on
    port: Annotated[int, Interval(ge=0, le=65_535)] = 8000  #: 0 takes a free one
    tokens: tuple[str, ...] = field(default=(), repr=False)
    """Who may use the API; empty lets everybody who reaches the address."""
    names: tuple[str, ...] = ()
    """Values of the Host header that are answered; empty means any (only with tokens) or, on a loopback
    address, the names of this machine."""
    workers: Annotated[int, Interval(ge=0)] = 1
    """Processes that restore; 0 leaves the work to other machines on the same queue."""
    guard: Annotated[float | None, Interval(ge=0, le=180)] = GUARD_DEGREES
    """Largest angle in degrees, 0 to 180, by which a face may drift (`RestoreOptions.guard`) where a request
    names none and an identity model is installed; None for any angle."""
    database: str | None = field(default=None, repr=False)
    """``postgresql://…`` for a queue that several machines share; None for SQLite in `data`."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if not self.loopback and not self.tokens:
            how = "give --token-file FILE, or keep to 127.0.0.1"
            raise UsageError(f"--host {self.host} lets other machines in: {how}")
        super().__post_init__()
        if self.database is not None and not self.database.startswith(("postgresql://", "postgres://")):
            raise UsageError("--database must begin with postgresql://; leave it out for SQLite")

    @property
    def queue_file(self) -> Path:
        """The queue of a server without `database`; it may not exist."""
        return self.data / "jobs.sqlite"

    @property
    def has_queue(self) -> bool:
        """Whether there is a queue to be opened, or as far as is known there may be."""
        return self.database is not None or self.queue_file.is_file()

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    @property
    def local(self) -> bool:
        """Whether only programs on this machine can reach the server, also by way of no proxy."""
        return self.loopback and not self.names

    @property
    def answered_names(self) -> frozenset[str]:
        """Host names that are answered, in lower case; empty for any. Without the check, a page of a name
        that was made to point at 127.0.0.1 could read this server's answers (DNS rebinding)."""
        if self.names:
            return frozenset(name.lower() for name in self.names)
        return frozenset(LOOPBACK_NAMES) if self.loopback else frozenset()


def default_data() -> Path:
    """The folder of a server for which none is named, one of this account's (not created)."""
    import platformdirs

    return Path(platformdirs.user_data_dir("revisage", appauthor=False)) / "server"


def read_tokens(path: Path) -> tuple[str, ...]:
    """The tokens of a file, one a line; empty lines and lines beginning with # are left out. Raises
    UsageError when it cannot be read, is open to other accounts, has none, or has a short one."""
    try:
        if open_to_others(path):
            raise UsageError(f"--token-file {path} is open to other accounts: `chmod 600 {path}`")
        lines = [line.strip() for line in path.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", error)  # UnicodeDecodeError has none
        raise UsageError(f"--token-file {path} cannot be read ({why})") from error
    tokens = tuple(line for line in lines if line and not line.startswith("#"))
    if not tokens:
        raise UsageError(f"--token-file {path} has no token: write one a line, as of `openssl rand -hex 32`")
    if any(len(token) < TOKEN_LENGTH or not token.isascii() or " " in token for token in tokens):
        wish = f"at least {TOKEN_LENGTH} ASCII characters and no space"
        raise UsageError(f"--token-file {path}: each token must have {wish}")
    return tokens
