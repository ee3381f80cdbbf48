"""A few mutants of the fuzzer, so that it keeps working; `make fuzz` runs many."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_mutants_end_in_a_photo_or_a_typed_error(shared: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks/fuzz.py"), str(shared / "data"), "--count", "150"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figure = json.loads(done.stdout.splitlines()[-1])
    assert sum(figure["outcomes"].values()) == 150
    assert figure["outcomes"]["restorable"] > 10
    assert figure["slowest_seconds"] < 10
    assert figure["peak_mib"] < 2048
