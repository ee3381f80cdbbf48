"""The decoding processes seen from the parent: started when needed, kept for reuse, killed when late."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import Any, BinaryIO

import numpy as np

from revisage.errors import PhotoError, PhotoTooLargeError, UnsupportedFormatError
from revisage.image._colour import Planes
from revisage.image._read import Decoded
from revisage.image.formats import FORMAT_OF_EXTENSION
from revisage.image.isolation import worker as isolation_worker
from revisage.options import PATIENCE, DecodeLimits

_START_SECONDS = 60.0  # a cold disk may take long to import numpy; the photo's own clock starts after
_KEEP = 4  # idle workers of some 40 MB each
_MAX_METADATA = 64 << 20

_ERRORS: dict[str, type[PhotoError]] = {
    "PhotoError": PhotoError,
    "PhotoTooLargeError": PhotoTooLargeError,
    "UnsupportedFormatError": UnsupportedFormatError,
}


class _Worker:
    """One child process. Used by one thread at a time."""

    def __init__(self) -> None:
        if not sys.executable:
            raise PhotoError("no Python interpreter to decode with: use isolate=False for photos you trust")
        try:
            self._process = subprocess.Popen(
                # -P: never import from the current folder, which may be the folder of somebody's photos.
                [sys.executable, "-P", "-W", "ignore", "-m", "revisage.image.isolation.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                start_new_session=True,  # Ctrl-C is the parent's; the group is what a late photo kills
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise PhotoError(f"the decoding process could not start ({error})") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin: BinaryIO = self._process.stdin  # type: ignore[assignment]
        self._stdout: BinaryIO = self._process.stdout  # type: ignore[assignment]
        _widen(self._stdout)
        with self.deadline(_START_SECONDS):
            ready = self._stdout.read(len(isolation_worker.READY))
        if ready != isolation_worker.READY:
            self.kill()
            raise PhotoError("the decoding process could not start: check that revisage is fully installed")

    @contextlib.contextmanager
    def deadline(self, seconds: float) -> Any:
        """Kill the process when the block takes longer; yields an event that is then set."""
        late = threading.Event()

        def expire() -> None:
            late.set()
            self._signal()

        timer = threading.Timer(seconds, expire)
        timer.daemon = True
        timer.start()
        try:
            yield late
        finally:
            timer.cancel()
            timer.join()  # so that it cannot fire once the worker serves somebody else

    def send(self, source: BinaryIO, length: int, limits: DecodeLimits) -> None:
        """Hand over one file; what the source lacks of `length` (cut while reading) is an error."""
        head = {
            "max_pixels": limits.max_pixels,
            "memory_bytes": limits.memory_bytes,
            "seconds": limits.seconds,
        }
        isolation_worker.write_head(self._stdin, head, [length])
        while length:
            chunk = source.read(min(length, 1 << 20))
            if not chunk:
                raise PhotoError("the file became shorter while it was read: try again")
            self._stdin.write(chunk)
            length -= len(chunk)
        self._stdin.flush()

    def receive(self, limits: DecodeLimits) -> Decoded:
        """The answer. Raises PhotoError, or EOFError when the process ended without one."""
        mark = self._stdout.read(1)
        if mark == isolation_worker.DIED:
            raise _DiedError((self._stdout.read(1) or b"\0")[0])
        if mark != isolation_worker.ANSWER:
            raise EOFError
        head = isolation_worker.read_head(self._stdout)
        if "error" in head:
            raise _RefusedError(_ERRORS.get(head["error"], PhotoError)(str(head["message"])))
        return _decoded(self._stdout, head, limits)

    def alive(self) -> bool:
        """Whether it can take another photo."""
        return isolation_worker.FORKS and self._process.poll() is None

    def _signal(self) -> None:
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    def kill(self) -> None:
        """End it with its fork, now, and collect it."""
        if self._process.poll() is None:
            self._signal()
        self.close()

    def close(self) -> None:
        """Close its pipes, upon which it ends by itself."""
        for stream in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                stream.close()
        self._process.wait()

    def fate(self) -> int:
        """The signal that ended the process, 0 for none; waits for its end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return max(-self._process.wait(timeout=1.0), 0)
        return 0

    def disown(self) -> None:
        """Make as if it had ended: it is another process's child."""
        self._process.returncode = 0


class _DiedError(Exception):
    """The process that decoded ended without an answer."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class _RefusedError(Exception):
    """Carries the typed error of a file that was refused in good order: the worker stays usable."""

    def __init__(self, error: PhotoError) -> None:
        super().__init__(str(error))
        self.error = error


class _Pool:
    """The idle workers of this process."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._lock = threading.Lock()

    def take(self) -> _Worker:
        """An idle worker, or a new one."""
        while True:
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return _Worker()
            if worker.alive():
                return worker
            worker.kill()

    def give_back(self, worker: _Worker) -> None:
        """Keep a worker for the next photo, unless enough are kept."""
        with self._lock:
            if len(self._idle) < _KEEP:
                self._idle.append(worker)
                return
        worker.close()

    def close(self) -> None:
        """End the idle workers; the next decode starts one anew."""
        with self._lock:
            workers, self._idle = self._idle, []
        for worker in workers:
            worker.close()

    def forget(self) -> None:
        """Called in a fork of this process: the pipes are its parent's, and sharing them would mix photos."""
        for worker in self._idle:
            worker.disown()
        self._idle = []
        self._lock = threading.Lock()


_pool = _Pool()
atexit.register(_pool.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)


def decode_isolated(source: BinaryIO, length: int, limits: DecodeLimits) -> Decoded:
    """Decode `length` bytes of a stream in a child process. Safe from several threads at once.

    Raises PhotoError and its kinds, also when the child crashes or is killed; PhotoTooLargeError when it runs
    out of time or memory. The next call works whatever happened to this one.
    """
    worker = _pool.take()
    keep = False
    try:
        with worker.deadline(limits.seconds * PATIENCE) as late:
            try:
                worker.send(source, length, limits)
                found = worker.receive(limits)
                keep = True
            except _RefusedError as refused:
                keep = True
                raise refused.error from None
            except _DiedError as died:
                raise _untimely(died.signal_number, limits) from None
            except (EOFError, OSError, ValueError, KeyError, TypeError):
                if late.is_set():
                    raise _too_slow(limits) from None
                raise _untimely(worker.fate(), limits) from None
            return found
    finally:
        if keep and not late.is_set() and worker.alive():
            _pool.give_back(worker)
        else:
            worker.kill()


def _too_slow(limits: DecodeLimits) -> PhotoError:
    return PhotoTooLargeError(
        f"it takes longer than {limits.seconds:g} s to decode: it is damaged, or raise the limit"
    )


def _untimely(number: int, limits: DecodeLimits) -> PhotoError:
    if number == getattr(signal, "SIGXCPU", -1):
        return _too_slow(limits)
    if number == getattr(signal, "SIGKILL", -1):  # by the system, when memory ran out
        return PhotoTooLargeError("it needs more memory to decode than this machine has: reduce it first")
    try:
        name = f" ({signal.Signals(number).name})"
    except ValueError:
        name = ""
    return PhotoError(f"it is damaged: decoding it crashed{name}")


def _environment() -> dict[str, str]:
    # The child finds what the parent finds, however its path was made up. One thread: the worker forks.
    path = os.pathsep.join(p for p in sys.path if p)
    return {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _widen(pipe: BinaryIO) -> None:
    # A pipe of 1 MiB instead of 64 KiB halves the time that a large picture takes; only Linux has the call.
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def _decoded(stream: BinaryIO, head: dict[str, Any], limits: DecodeLimits) -> Decoded:
    """Read the planes of an answer. What it says is checked: the sender decoded a hostile file."""
    shape = tuple(int(n) for n in head["shape"])
    if len(shape) not in (2, 3) or shape[2:] not in ((), (3,)) or min(shape) < 1:
        raise ValueError("answer with an impossible shape")
    if shape[0] * shape[1] > limits.max_pixels or head["dtype"] not in ("uint8", "uint16"):
        raise ValueError("answer beyond the limits")
    if head["format"] not in FORMAT_OF_EXTENSION.values() or len(head["names"]) != len(head["blobs"]):
        raise ValueError("answer malformed")
    shapes = {"colour": shape, "alpha": shape[:2]}
    arrays: dict[str, np.ndarray] = {}
    texts: dict[str, bytes] = {}
    for name, length in zip(head["names"], head["blobs"], strict=True):
        if name in shapes:
            arrays[name] = np.empty(shapes[name], head["dtype"])
            if arrays[name].nbytes != length:
                raise ValueError("answer of the wrong length")
            _fill(stream, arrays[name])
        elif name in ("icc", "exif", "xmp") and 0 <= length <= _MAX_METADATA:
            texts[name] = isolation_worker.read_exactly(stream, length)
        else:
            raise ValueError("answer malformed")
    planes = Planes(arrays["colour"], arrays.get("alpha"), texts.get("icc"))
    dpi = None if head["dpi"] is None else (float(head["dpi"][0]), float(head["dpi"][1]))
    return Decoded(planes, texts.get("exif"), texts.get("xmp"), dpi, head["format"])


def _fill(stream: BinaryIO, array: np.ndarray) -> None:
    view = memoryview(array.data).cast("B")
    while view:
        count = stream.readinto(view)  # type: ignore[attr-defined]
        if not count:
            raise EOFError
        view = view[count:]
