"""Mutated photos through decoding and encoding: every one ends in a photo or a typed error, in time.

    python benchmarks/fuzz.py SHARED_DATA [--count 2000] [--first 0] [--seconds 10]

Starts from the files of SHARED_DATA/odd, hostile and reports. Each mutant is made from its number alone, so a
finding is repeated by --first NUMBER --count 1. It is decoded as the product does, in a child with limits,
and what decodes is encoded in its own format and labelled. The program fails (1) when anything but a typed
error is raised, when one mutant takes longer than --seconds by the clock, or when this process or a decoder
takes more memory than the decoder's limit. A decoder that crashes in its sandbox is a typed error by design;
how many did is told. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

import revisage
from revisage.errors import PhotoError, SaveError
from revisage.image import DecodeLimits, can_encode, decode, encode, protection
from revisage.image.formats import sniff
from revisage.image.isolation import pool
from revisage.label import Label, add

FOLDERS = ("odd", "hostile", "reports")
LABEL = Label(f"revisage {revisage.__version__}", ())
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)
LARGEST = 4 << 20


def mutant(number: int, sources: list[bytes]) -> bytes:
    """One to eight changes to a source: bits, bytes, edge values, cuts, repeats, pieces of another file."""
    draw = random.Random(number)
    data = bytearray(draw.choice(sources))
    for _ in range(draw.randint(1, 8)):
        # Half of the changes lie near the front, where headers are.
        reach = len(data) if draw.random() < 0.5 else min(len(data), 512)
        at = draw.randrange(max(reach, 1))
        match draw.randrange(7):
            case 0:
                data[at : at + 1] = bytes([(data[at] if data else 0) ^ 1 << draw.randrange(8)])
            case 1:
                data[at : at + 1] = draw.randbytes(1)
            case 2:
                width = draw.choice((1, 2, 4))
                edge = draw.choice(EDGES) & (1 << 8 * width) - 1
                data[at : at + width] = edge.to_bytes(width, draw.choice(("big", "little")))
            case 3:
                del data[at : at + draw.randint(1, 64)]
            case 4:
                data[at:at] = data[at : at + draw.randint(1, 64)] * draw.randint(1, 4)
            case 5:
                length = len(data) if draw.random() < 0.3 else draw.randint(1, 1024)
                del data[at : at + length]
            case _:
                other = draw.choice(sources)
                start = draw.randrange(max(len(other), 1))
                length = draw.randint(1, 512)
                data[at : at + length] = other[start : start + length]
    if draw.random() < 0.7:
        mend(data)
    return bytes(data)


def mend(data: bytearray) -> None:
    """Make the checksums of a PNG's chunks true, or hardly a mutant would get past them."""
    at = 8
    while data.startswith(b"\x89PNG") and at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            return
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4


def peak() -> int:
    """Bytes that this process, or the largest of its children, held at most."""
    # Not getrusage for itself: Linux counts what the process that started it held there too.
    status = Path("/proc/self/status")
    own = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    most = int(own[1]) if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return max(most, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shared", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    files = [path for name in FOLDERS for path in sorted((options.shared / name).iterdir())]
    sources = [data for path in files if len(data := path.read_bytes()) <= LARGEST]
    sources = [data for data in sources if sniff(data[:64])]
    if not sources:
        parser.error(f"no photos in {options.shared}")
    print(f"{len(sources)} photos to start from; decoding is held by: {protection()}", flush=True)
    limits = DecodeLimits()
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    slowest = (0.0, -1)
    begun = time.perf_counter()
    for number in range(options.first, options.first + options.count):
        data = mutant(number, sources)
        start = time.perf_counter()
        try:
            photo = decode(data, limits=limits)
            format = photo.format if can_encode(photo.format) else "PNG"
            add(encode(photo, format=format), format, LABEL)
            outcomes["restorable"] += 1
        except (PhotoError, SaveError) as error:
            outcomes["crashed in the sandbox" if "crashed" in str(error) else type(error).__name__] += 1
            if not str(error).isprintable():
                faults.append(f"{number}: its error is no line of text")
        except Exception as error:
            faults.append(f"{number}: {type(error).__name__}: {error}")
        slowest = max(slowest, (time.perf_counter() - start, number))
        if time.perf_counter() - start > options.seconds:
            faults.append(f"{number}: took {time.perf_counter() - start:.1f} s")
    pool._pool.close()  # a process that is waited for is counted, with those that it waited for
    memory = peak()
    if memory > limits.memory_bytes:
        faults.append(f"a process took {memory >> 20} MiB")
    for fault in faults:
        print(fault, file=sys.stderr)
    figure = {
        "count": options.count,
        "first": options.first,
        "outcomes": dict(outcomes.most_common()),
        "faults": len(faults),
        "slowest_seconds": round(slowest[0], 2),
        "slowest": slowest[1],
        "peak_mib": memory >> 20,
        "seconds": round(time.perf_counter() - begun),
    }
    print(json.dumps(figure))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
