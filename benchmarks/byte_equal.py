"""Whether a change of the program leaves its results as they were, to the byte.

    git switch main && python benchmarks/byte_equal.py before.json PHOTOS ODD [--sample 10]
    git switch mine && python benchmarks/byte_equal.py before.json PHOTOS ODD [--sample 10]

The first run writes the SHA-256 of every result, or the error of a photo that cannot be restored; the second
finds the file there, compares, names what differs and exits with 1. Each photo is restored in several ways
(`WAYS`). Both runs must be on one machine: the arithmetic of another may differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from revisage import Restorer
from revisage.errors import RevisageError
from revisage.image import can_encode

WAYS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "weaker, guarded": {"strength": 0.6, "guard": 25.0},
    "largest face, enhanced, cleaned hard": {
        "faces": "largest",
        "colour": "enhance",
        "clean": 1.0,
        "scale": 1,
    },
    "aligned": {"aligned": True, "strength": 0.8},
}

MEMORY = 256
"""MiB for tiles, so that both runs cut photos into the same ones."""


def digest(restorer: Restorer, path: Path, way: dict[str, Any]) -> str:
    """SHA-256 of the file that a photo becomes, and what became of its faces; or its error."""
    try:
        result = restorer.restore(path, **way)
        data = result.encode(result.photo.format if can_encode(result.photo.format) else "PNG")
    except RevisageError as error:
        return f"{type(error).__name__}: {error}".replace(str(path), path.name)
    entry = result.entry() | {"seconds": None, "input": None}
    return hashlib.sha256(data + json.dumps(entry, sort_keys=True).encode()).hexdigest()


def spread(files: list[Path], count: int | None) -> list[Path]:
    """`count` of the files, evenly over their order; all of them if None."""
    if count is None or count >= len(files):
        return files
    return [files[index * len(files) // count] for index in range(count)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("digests", type=Path, help="written where it does not exist, else compared with")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--sample", type=int, help="photos of each folder; all if not given")
    parser.add_argument("--precision", default="fp32")
    options = parser.parse_args()
    restorer = Restorer(memory=MEMORY, precision=options.precision)
    made: dict[str, str] = {}
    for folder in options.folders:
        for path in spread(sorted(file for file in folder.iterdir() if file.is_file()), options.sample):
            for name, way in WAYS.items():
                start = time.perf_counter()
                made[f"{folder.name}/{path.name}, {name}"] = digest(restorer, path, way)
                print(f"{path.name}, {name}: {time.perf_counter() - start:.1f} s", file=sys.stderr)
    if not options.digests.exists():
        options.digests.write_text(json.dumps(made, indent=1) + "\n")
        print(f"{len(made)} results written to {options.digests}")
        return 0
    known = json.loads(options.digests.read_text())
    differing = [name for name in made if made[name] != known.get(name)]
    for name in differing:
        print(f"differs: {name}: {known.get(name)} -> {made[name]}")
    print(f"{len(made) - len(differing)} of {len(made)} results are equal to the byte")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
