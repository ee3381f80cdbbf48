"""The decoding processes seen from the parent: started when needed, kept for reuse, killed when late."""

import atexit
import contextlib
import io
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from dataclasses import asdict
from typing import Any, BinaryIO

import numpy as np

from revisage.errors import DamagedError, PhotoError, PhotoTooLargeError, UnsupportedFormatError, one_line
from revisage.image.formats import FORMAT_OF_EXTENSION
from revisage.image.isolation import worker as isolation_worker
from revisage.image.planes import Planes
from revisage.options import PATIENCE, DecodeLimits

_START_SECONDS = 60.0  # a cold disk may take long to import numpy; the photo's own clock starts after
_KEEP = 4  # idle workers of some 40 MB each
_MAX_METADATA = 64 << 20

_ERRORS: dict[str, type[PhotoError]] = {
    kind.__name__: kind for kind in (PhotoError, DamagedError, PhotoTooLargeError, UnsupportedFormatError)
}


class _Worker:
    """One child process. Used by one thread at a time."""

    def __init__(self) -> None:
        if not sys.executable:
            raise PhotoError("no Python interpreter to decode with: use isolate=False for photos you trust")
        try:
            self.process = subprocess.Popen(
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
        self._stdin: BinaryIO = self.process.stdin  # type: ignore[assignment]
        self._stdout: io.BufferedReader = self.process.stdout  # type: ignore[assignment]
        _widen(self._stdout)
        with self.deadline(_START_SECONDS):
            try:
                if self._stdout.read(len(isolation_worker.READY)) != isolation_worker.READY:
                    raise EOFError
                ready = isolation_worker.read_head(self._stdout)
            except (EOFError, OSError, ValueError):
                self.kill()
                raise PhotoError(
                    "the decoding process could not start: check that revisage is fully installed"
                ) from None
        self.forks = bool(ready["forks"])
        self.protection = [str(one) for one in ready["protection"]]

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

    def send(self, source: BinaryIO, length: int, request: dict[str, Any]) -> None:
        """Hand over one file; what the source lacks of `length` (cut while reading) is an error."""
        isolation_worker.write_head(self._stdin, request, [length])
        while length:
            chunk = source.read(min(length, 1 << 20))
            if not chunk:
                raise PhotoError("the file became shorter while it was read: try again")
            self._stdin.write(chunk)
            length -= len(chunk)
        self._stdin.flush()

    def receive(self, limits: DecodeLimits) -> Planes | PhotoError:
        """The answer, or what is wrong with the photo. Raises EOFError when the process ended without one."""
        if not self.forks:
            return _answer(self._stdout, limits)
        pieces = _Pieces(self._stdout)
        try:
            return _answer(pieces, limits)
        except EOFError:
            return _untimely(pieces.signal_number, limits)
        finally:
            # A fork that was taken over may say more than its answer; the next photo's must begin behind it.
            pieces.skip()

    def alive(self) -> bool:
        """Whether it can take another photo."""
        return self.forks and self.process.poll() is None

    def _signal(self) -> None:
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()

    def kill(self) -> None:
        """End it with its fork, now, and collect it."""
        if self.process.poll() is None:
            self._signal()
        self.close()

    def close(self) -> None:
        """Close its pipes, upon which it ends by itself."""
        for stream in (self._stdin, self._stdout):
            with contextlib.suppress(OSError):
                stream.close()
        self.process.wait()

    def fate(self) -> int:
        """The signal that ended the process, 0 for none; waits for its end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return max(-self.process.wait(timeout=1.0), 0)
        return 0


class _Pieces(io.RawIOBase):
    """One answer, which comes in pieces (see `_worker`)."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._left = 0
        self._over = False
        self.signal_number = 0
        """What ended the fork; 0 for nothing, and until its end."""

    def readinto(self, buffer: Any, /) -> int:
        if not self._left and not self._over:
            (self._left,) = struct.unpack(">I", isolation_worker.read_exactly(self._stream, 4))
            if not self._left:
                self._over = True
                self.signal_number = isolation_worker.read_exactly(self._stream, 1)[0]
        count = self._stream.readinto(buffer[: self._left]) or 0
        self._left -= count
        return count

    def skip(self) -> None:
        """Go to the end. Raises EOFError when the process ends before."""
        with memoryview(bytearray(1 << 16)) as view:
            while not self._over:
                self.readinto(view)


class _Pool:
    """The idle workers of this process."""

    def __init__(self) -> None:
        self._idle: deque[_Worker] = deque()  # whose single steps are safe from several threads

    def take(self) -> _Worker:
        """An idle worker, or a new one."""
        with contextlib.suppress(IndexError):
            while not (worker := self._idle.pop()).alive():
                worker.kill()
            return worker
        return _Worker()

    def give_back(self, worker: _Worker) -> None:
        """Keep a worker for the next photo, unless it takes none or enough are kept."""
        if worker.alive() and len(self._idle) < _KEEP:
            self._idle.append(worker)
        else:
            worker.kill()

    def close(self) -> None:
        """End the idle workers; the next decode starts one anew."""
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().close()

    def forget(self) -> None:
        """Called in a fork of this process: the pipes are its parent's, and sharing them would mix photos."""
        for worker in self._idle:
            worker.process.returncode = 0  # as if it had ended: it is another process's child
        self._idle.clear()


_pool = _Pool()
atexit.register(_pool.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)


def decode_isolated(
    source: BinaryIO, length: int, limits: DecodeLimits, *, page: int = 0, damaged: bool | None
) -> Planes:
    """Decode `length` bytes of a stream in a child process. Safe from several threads at once. Raises
    PhotoError and its kinds, also when the child crashes or is killed; PhotoTooLargeError when it runs out of
    time or memory. The next call works whatever happened to this one."""
    request = {**asdict(limits), "page": page, "damaged": damaged}
    worker, keep = _pool.take(), False
    try:
        with worker.deadline(limits.seconds * PATIENCE) as late:
            try:
                worker.send(source, length, request)
                found = worker.receive(limits)
                keep = True
            except PhotoError:
                raise
            except Exception:  # whatever a hostile child may have said
                found = _untimely(worker.fate(), limits)
        if isinstance(found, PhotoError):
            raise _too_slow(limits) if late.is_set() else found
        return found
    finally:
        _pool.give_back(worker) if keep and not late.is_set() else worker.kill()


def _too_slow(limits: DecodeLimits) -> PhotoError:
    return PhotoTooLargeError(
        f"it takes longer than {limits.seconds:g} s to decode: reduce it, or raise the limit"
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


_KEPT_VARIABLES = (
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),  # where libraries are
    *("SYSTEMROOT", "WINDIR", "PATH", "PYTHONHOME"),  # without which Python does not start on Windows
    "REVISAGE_DECODER_FORKS",
)


def _environment() -> dict[str, str]:
    # Nothing else of the parent's goes along, which may hold secrets. The child finds what the parent finds,
    # however its path was made up. One thread: the worker forks.
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    path = os.pathsep.join(p for p in sys.path if p)
    return {**kept, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def protection() -> str:
    """What holds a decoder taken over by a hostile file, in words. Raises PhotoError when it cannot start."""
    worker = _pool.take()
    _pool.give_back(worker)
    return ", ".join(["a process for every photo", "limits", *worker.protection])


def _widen(pipe: BinaryIO) -> None:
    # A pipe of 1 MiB instead of 64 KiB halves the time that a large picture takes; only Linux has the call.
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, 1 << 20)


def _answer(stream: isolation_worker.Reading, limits: DecodeLimits) -> Planes | PhotoError:
    """Read an answer. What it says is checked: the sender decoded a hostile file."""
    head = isolation_worker.read_head(stream)
    if "error" in head:
        return _ERRORS.get(head["error"], PhotoError)(one_line(str(head["message"]), 300))
    shape = tuple(int(n) for n in head["shape"])
    if len(shape) not in (2, 3) or shape[2:] not in ((), (3,)) or min(shape) < 1:
        raise ValueError("answer with an impossible shape")
    if shape[0] * shape[1] > limits.max_pixels or head["dtype"] not in ("uint8", "uint16"):
        raise ValueError("answer beyond the limits")
    if head["format"] not in FORMAT_OF_EXTENSION.values() or len(head["names"]) != len(head["blobs"]):
        raise ValueError("answer malformed")
    shapes = {"colour": shape, "alpha": shape[:2]}
    arrays, texts = dict[str, np.ndarray](), dict[str, Any]()
    for name, length in zip(head["names"], head["blobs"], strict=True):
        if name in shapes:
            arrays[name] = np.empty(shapes[name], head["dtype"])
            if arrays[name].nbytes != length:
                raise ValueError("answer of the wrong length")
            isolation_worker.fill(stream, memoryview(arrays[name].data).cast("B"))
        elif name in (*isolation_worker.SAID, "texts") and 0 <= length <= _MAX_METADATA:
            texts[name] = isolation_worker.read_exactly(stream, length)
        else:
            raise ValueError("answer malformed")
    dpi = None if head["dpi"] is None else (float(head["dpi"][0]), float(head["dpi"][1]))
    return Planes(
        arrays["colour"],
        arrays.get("alpha"),
        texts=tuple((str(key), str(text)) for key, text in json.loads(texts.pop("texts", b"[]"))),
        dpi=dpi,
        format=head["format"],
        cicp=None if head["cicp"] is None else (int(head["cicp"][0]) & 255, int(head["cicp"][1]) & 255),
        orientation=int(head["orientation"]),
        pages=max(1, int(head["pages"])),
        there=min(1.0, float(head["there"])),
        notes=tuple(one_line(str(note)) for note in head["notes"]),
        **texts,
    )
