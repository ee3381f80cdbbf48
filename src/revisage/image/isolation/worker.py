"""The decoding process: `python -m revisage.image.isolation.worker`, spoken to by `pool` over its stdin and
stdout.

It says `READY` and a message of what protects it, then answers one request after another until its stdin
closes. On Linux it forks for every photo (about 3 ms). The fork has the photo, one pipe for the answer and
nothing else: no other open file, limits that it cannot raise, and what `sandbox` gives up. A decoder that a
hostile file takes over, crashes or makes huge sees no other photo, and what it writes beyond its answer is
not taken for another one's. Elsewhere, and where `REVISAGE_DECODER_FORKS=0` says that forking is forbidden,
it decodes in place and ends after one photo.

A message is a length (4 bytes, big-endian), that many bytes of JSON, then the blobs whose lengths it lists.
An answer is a message. Where it forks, an answer comes in pieces, each a length (4 bytes) and so many bytes;
length 0 ends it, and one byte more tells the signal that ended the fork, 0 for none.
"""

import contextlib
import io
import json
import math
import os
import struct
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, BinaryIO

from revisage.image.formats import HEAD_BYTES
from revisage.image.isolation import sandbox

if sys.platform != "win32":
    import resource  # here, for a fork that has given up files can import nothing

READY = b"revisage-decoder-2\n"
FORKS = sys.platform == "linux" and os.environ.get("REVISAGE_DECODER_FORKS") != "0"

_CHUNK = 1 << 20
FACTS = ("dpi", "format", "cicp", "orientation", "pages", "there", "notes")
"""What a header tells of `Planes`, besides what follows it."""
SAID = ("icc", "exif", "xmp", "iptc")
"""What follows it as it is, besides pixels and texts."""


def write_head(stream: BinaryIO, head: dict[str, Any], lengths: Sequence[int]) -> None:
    """Send a header, which gains the key "blobs"; that many bytes must follow."""
    text = json.dumps({**head, "blobs": list(lengths)}).encode()
    stream.write(struct.pack(">I", len(text)) + text)


def write_message(stream: BinaryIO, head: dict[str, Any], blobs: Sequence[Any]) -> None:
    """Send a header and buffers one after another, without joining them."""
    views = [memoryview(blob).cast("B") for blob in blobs]
    write_head(stream, head, [len(view) for view in views])
    for view in views:
        for start in range(0, len(view), _CHUNK):
            stream.write(view[start : start + _CHUNK])
    stream.flush()


Reading = io.RawIOBase | io.BufferedReader  #: of a raw stream nothing of the next message is read ahead


def fill(stream: Reading, buffer: bytearray | memoryview) -> None:
    """Read the whole of a buffer. Raises EOFError when the stream ends before."""
    with memoryview(buffer) as view:
        done = 0
        while done < len(view):
            count = stream.readinto(view[done:])
            if not count:
                raise EOFError
            done += count


def read_exactly(stream: Reading, length: int) -> bytes:
    """The next bytes of a stream. Raises EOFError when it ends before."""
    data = bytearray(length)
    fill(stream, data)
    return bytes(data)


def read_head(stream: Reading, limit: int = 1 << 16) -> dict[str, Any]:
    """The header of the next message. Raises EOFError at the end, ValueError when it is not a header."""
    (length,) = struct.unpack(">I", read_exactly(stream, 4))
    if length > limit:
        raise ValueError("message header too long")
    head = json.loads(read_exactly(stream, length))
    if not isinstance(head, dict) or not isinstance(head.get("blobs"), list):
        raise ValueError("message header malformed")
    return head


def main() -> None:
    """Serve requests until stdin closes."""
    # The photo travels on the original stdout; whatever a library prints goes nowhere.
    stdin, stdout = os.fdopen(os.dup(0), "rb", buffering=0), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    sandbox.hide()

    from PIL import Image

    from revisage.image import decoders

    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked on the header
    stdout.write(READY)
    write_message(stdout, {"forks": FORKS, "protection": _protection() if FORKS else []}, [])
    while True:
        try:
            head = read_head(stdin)
            data = bytearray(head["blobs"][0])
            fill(stdin, data)
        except EOFError:
            return
        if not FORKS:
            _limit(head)
            _answer(stdout, bytes(data), head)
            return
        with contextlib.suppress(Exception):  # the fork reports what is wrong with the file
            format = decoders.checked_format(bytes(data[:HEAD_BYTES]), head["max_pixels"])
            decoders.load_plugins(format)
            if format == "TIFF":  # which may turn out to be camera raw
                decoders.load_plugins("RAW")
        answer, fork = _fork(partial(_decode, data, head, os.getpid()))
        data[:] = bytes(len(data))  # the next fork finds nothing of it in this process's memory
        del data
        _relay(answer, fork, stdout)


def _protection() -> list[str]:
    """What a fork can give up here, by having one do so."""
    source, child = _fork(
        lambda target: os.write(target, json.dumps(sandbox.give_up(_open_no_more)).encode())
    )
    with os.fdopen(source, "rb") as stream:
        text = stream.read()
    os.waitpid(child, 0)
    found: list[str] = json.loads(text or b"[]")
    return found


def _fork(work: Callable[[int], object]) -> tuple[int, int]:
    """Have a fork do some work, which is given a pipe; the pipe's other end, and the fork's process id."""
    source, target = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(target)
            status = 0
        finally:
            os._exit(status)
    os.close(target)
    return source, child


def _decode(data: bytearray, head: dict[str, Any], parent: int, target: int) -> None:
    """What a fork does."""
    sandbox.die_with(parent)
    photo = bytes(data)
    os.closerange(3, target)
    os.closerange(target + 1, max(int(name) for name in os.listdir("/proc/self/fd")) + 1)
    answer = os.fdopen(target, "wb")
    _limit(head)
    sandbox.give_up(_open_no_more)
    _answer(answer, photo, head)


def _relay(answer: int, fork: int, stdout: BinaryIO) -> None:
    """Pass the fork's answer on in pieces, and how it ended."""
    while piece := os.read(answer, _CHUNK):
        stdout.write(struct.pack(">I", len(piece)) + piece)
    os.close(answer)
    status = os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1])
    stdout.write(struct.pack(">IB", 0, max(-status, 0)))
    stdout.flush()


def _limit(head: dict[str, Any]) -> None:
    """Bound this process for good, as far as the system can."""
    if sys.platform == "win32":
        return

    def lower(kind: int, value: int, above: int = 0) -> None:
        hard = resource.getrlimit(kind)[1]
        most = value + above
        if hard != resource.RLIM_INFINITY:
            value, most = min(value, hard), min(most, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS refuses some
            resource.setrlimit(kind, (value, most))

    sys.dont_write_bytecode = True  # FSIZE would cut the files short
    # At the hard limit the kernel kills; at the other one it says why.
    lower(resource.RLIMIT_CPU, math.ceil(head["seconds"]), above=1)
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 0)
    if sys.platform == "linux":
        with open("/proc/self/statm") as statm:
            base = int(statm.read().split()[0]) * resource.getpagesize()
        lower(resource.RLIMIT_AS, base + int(head["memory_bytes"]))


def _open_no_more() -> None:
    """Let this process have no more files than it has."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))


def _answer(stdout: BinaryIO, data: bytes, head: dict[str, Any]) -> None:
    from revisage.errors import PhotoError
    from revisage.image import decoders

    try:
        found = decoders.read(data, head["max_pixels"], page=head["page"], damaged=head["damaged"])
    except PhotoError as error:
        write_message(stdout, {"error": type(error).__name__, "message": str(error)}, [])
        return
    parts = {
        **{name: getattr(found, name) for name in ("colour", "alpha", *SAID)},
        "texts": json.dumps(found.texts).encode() if found.texts else None,
    }
    present = {name: part for name, part in parts.items() if part is not None}
    answer = {
        "names": list(present),
        "shape": list(found.colour.shape),
        "dtype": found.colour.dtype.name,
        **{name: getattr(found, name) for name in FACTS},
    }
    write_message(stdout, answer, list(present.values()))


if __name__ == "__main__":
    main()
