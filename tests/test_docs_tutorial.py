"""Every command of the tutorial, typed as a reader types it, and what the page shows of each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))

from run_page import Step, run, steps  # noqa: E402

TUTORIAL = DOCS / "tutorial" / "album.md"


def compared(todo: list[Step]) -> None:
    for step in todo:
        assert step.holds(), f"$ {step.typed}printed\n{step.printed}and the page shows\n{step.shown}"


@pytest.mark.timeout(900)  # it takes a quarter of a minute on an idle machine
def test_the_tutorial_without_its_installation(tmp_path: Path) -> None:
    todo = steps(TUTORIAL)
    assert "pip install" in todo[0].typed
    run(todo[1:], tmp_path)
    compared(todo[1:])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_tutorial_in_an_empty_environment(tmp_path: Path) -> None:
    """All of it, the installation too: a fresh environment in a copy of what a release holds."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("src", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    todo = steps(TUTORIAL)
    run(todo, tmp_path, timeout=1800)
    compared(todo)
    inside = subprocess.run(
        [tmp_path / ".venv" / "bin" / "pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert "torch" not in inside
    assert os.path.exists(tmp_path / "demo" / "restored" / "sisters.png")
