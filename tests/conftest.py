"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before torch is imported. Its threads wait for each other by spinning: beside any other work on the machine
# two are several times slower than one, and the networks of the tests are small.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data and outside weights that lies beside a checkout (`REVISAGE_SHARED` overrides it)."""
    folder = Path(os.environ.get("REVISAGE_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the shared data folder; none at {folder}")
    return folder
