"""Start-up times and the size of what `pip install revisage` puts on a disk.

    python benchmarks/startup.py [--install]

Without --install, the times of the running environment. With it, a fresh environment is made, the package is
installed there as a user would, and that one is measured: times, and megabytes on disk.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import revisage": ["-c", "import revisage"],
    "revisage --help": ["-m", "revisage", "--help"],
    "revisage restore --help": ["-m", "revisage", "restore", "--help"],
}


def seconds(python: Path, arguments: list[str], runs: int = 7) -> list[float]:
    """Wall time of `runs` processes after one that warms the disk cache."""
    times = []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        subprocess.run([python, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - begun)
    return times[1:]


def megabytes(folder: Path) -> float:
    """Size of all files below, in 10^6 bytes; links are not followed."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file() and not p.is_symlink()) / 1e6


def report(python: Path) -> None:
    for name, arguments in COMMANDS.items():
        times = seconds(python, arguments)
        middle = statistics.median(times)
        print(f"{name:<26} median {middle:.3f} s  (min {min(times):.3f}, max {max(times):.3f})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--install", action="store_true", help="measure a fresh installation")
    if not parser.parse_args().install:
        report(Path(sys.executable))
        return
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        empty = megabytes(Path(folder))
        begun = time.perf_counter()
        subprocess.run([python, "-m", "pip", "install", "--quiet", str(ROOT)], check=True)
        print(f"pip install: {time.perf_counter() - begun:.0f} s")
        report(python)
        full = megabytes(Path(folder))
        print(f"environment: {full:.0f} MB, of it {empty:.0f} MB pip and its own files")
        site = next(Path(folder).glob("lib/*/site-packages"))
        parts = sorted(((megabytes(p), p.name) for p in site.iterdir() if p.is_dir()), reverse=True)
        print("largest: " + ", ".join(f"{name} {size:.0f}" for size, name in parts[:10]))


if __name__ == "__main__":
    main()
