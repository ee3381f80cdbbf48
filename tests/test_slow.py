"""What takes minutes: run by `make test-slow`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("scale", ["1", "2"])
def test_twelve_megapixels_with_five_faces_stay_within_their_memory(scale: str) -> None:
    """Under 1 GiB at scale 1 and 2 GiB at scale 2, children included, and every face restored."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "memory.py"), "--megapixels", "12", "--scale", scale],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) of \1 faces", done.stdout)  # the portraits' helmets may count as well
    assert found is not None
    assert int(found[1]) >= 5


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_fresh_installation_is_small_and_restores(tmp_path: Path) -> None:
    """`pip install .` in an empty environment takes under 650 MB, has no torch, and restores a photo."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = next(path for path in (tmp_path / "venv").glob("*/python*") if path.stem == "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", str(ROOT)], check=True)
    size = sum(p.stat().st_size for p in (tmp_path / "venv").rglob("*") if p.is_file() and not p.is_symlink())
    assert size < 650e6
    packages = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True)
    assert "torch" not in packages.stdout
    target = tmp_path / "out.png"
    photo = ROOT / "examples" / "portrait.jpg"
    subprocess.run(
        [python, "-m", "revisage", "restore", str(photo), "-o", str(target)], check=True, cwd=tmp_path
    )
    assert target.exists()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_requests_grow_no_memory() -> None:
    """Under 50 MB of growth, no defect, and every result its own photo's."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "soak.py"), "--count", "10000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
