"""The decoding process: `python -m revisage.image.isolation.worker`, spoken to by `pool` over its stdin and
stdout.

It says `READY`, then answers one request after another until its stdin closes. On Linux it forks for every
photo (about 3 ms), sets limits in the fork and decodes there: a decoder that a hostile file takes over,
crashes or makes huge never sees another photo. Elsewhere, and where `REVISAGE_DECODER_FORKS=0` says that
forking is forbidden, it decodes in place and ends after one photo.

A message is a length (4 bytes, big-endian), that many bytes of JSON, then the blobs whose lengths it lists.
An answer is `ANSWER` and a message; in its place, `DIED` and a signal's number (0 for none) when the fork
ended without one, after which the worker ends too, because the answer may have been cut short.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import struct
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

READY = b"revisage-decoder-1\n"
ANSWER, DIED = b"A", b"D"
FORKS = sys.platform == "linux" and os.environ.get("REVISAGE_DECODER_FORKS") != "0"

_CHUNK = 1 << 20


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


def read_exactly(stream: BinaryIO, length: int) -> bytes:
    """The next bytes of a stream. Raises EOFError when it ends before."""
    data = stream.read(length)
    if len(data) != length:
        raise EOFError
    return data


def read_head(stream: BinaryIO, limit: int = 1 << 16) -> dict[str, Any]:
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
    stdin, stdout = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)

    from PIL import Image

    from revisage.image import _read

    Image.MAX_IMAGE_PIXELS = None  # our own limit is checked on the header
    stdout.write(READY)
    stdout.flush()
    while True:
        try:
            head = read_head(stdin)
            data = read_exactly(stdin, head["blobs"][0])
        except EOFError:
            return
        if not FORKS:
            _limit(head)
            _answer(stdout, data, head)
            return
        with contextlib.suppress(Exception):  # the fork reports what is wrong with the file
            _read.load_plugins(_read.checked_format(data))
        child = os.fork()
        if child == 0:
            _in_fork(stdout, data, head)
        del data
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status != 0:
            stdout.write(DIED + bytes([max(-status, 0)]))
            stdout.flush()
            return


def _in_fork(stdout: BinaryIO, data: bytes, head: dict[str, Any]) -> None:
    status = 1
    try:
        _limit(head)
        _answer(stdout, data, head)
        status = 0
    finally:
        os._exit(status)


def _limit(head: dict[str, Any]) -> None:
    """Bound this process for good, as far as the system can."""
    if sys.platform == "win32":
        return
    import resource

    def lower(kind: int, value: int) -> None:
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            value = min(value, hard)
        with contextlib.suppress(OSError, ValueError):  # macOS refuses some
            resource.setrlimit(kind, (value, hard))

    sys.dont_write_bytecode = True  # FSIZE would cut the files short
    lower(resource.RLIMIT_CPU, math.ceil(head["seconds"]))
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_FSIZE, 0)
    if sys.platform == "linux":
        with open("/proc/self/statm") as statm:
            base = int(statm.read().split()[0]) * resource.getpagesize()
        lower(resource.RLIMIT_AS, base + int(head["memory_bytes"]))


def _answer(stdout: BinaryIO, data: bytes, head: dict[str, Any]) -> None:
    from revisage.errors import PhotoError
    from revisage.image import _read

    try:
        found = _read.read(data, head["max_pixels"])
    except PhotoError as error:
        stdout.write(ANSWER)
        write_message(stdout, {"error": type(error).__name__, "message": str(error)}, [])
        return
    parts = {
        "colour": found.planes.colour,
        "alpha": found.planes.alpha,
        "icc": found.planes.icc,
        "exif": found.exif,
        "xmp": found.xmp,
    }
    present = {name: part for name, part in parts.items() if part is not None}
    answer = {
        "names": list(present),
        "shape": list(found.planes.colour.shape),
        "dtype": found.planes.colour.dtype.name,
        "dpi": found.dpi,
        "format": found.format,
    }
    stdout.write(ANSWER)
    write_message(stdout, answer, list(present.values()))


if __name__ == "__main__":
    main()
