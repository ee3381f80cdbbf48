"""Fixtures shared by all tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Before torch is imported. Its threads wait for each other by spinning: beside any other work on the machine
# two are several times slower than one, and the networks of the tests are small.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_finish() -> None:
    """What has been imported stays to the end: the garbage collector need not look through it time and again,
    which is an eighth of an export to ONNX."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _compiled_once() -> Iterator[None]:
    """OpenVINO compiles each embedded model once in a process, not for every Restorer and command of tests:
    the large one takes a second of each core. Every session still has a run, and buffers, of its own."""
    from revisage.runtime.openvino import OpenVinoSession
    from revisage.zoo.spec import EMBEDDED

    compile_, kept = OpenVinoSession._compile, dict[tuple[object, ...], Any]()

    def once(self: OpenVinoSession, precision: Any) -> Any:
        source = self._source
        if isinstance(source, bytes) or Path(source).parent != EMBEDDED:
            return compile_(self, precision)
        key = source, precision, self._threads
        if key not in kept:
            kept[key] = compile_(self, precision)
        return kept[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OpenVinoSession, "_compile", once)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data and outside weights that lies beside a checkout (`REVISAGE_SHARED` overrides it)."""
    folder = Path(os.environ.get("REVISAGE_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"needs the shared data folder; none at {folder}")
    return folder
