"""A photo that takes too long fails and costs no other, in threads and in processes."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import archive_stub as stub
import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, twice
from test_archive_processes import album, work

from revisage.batch import plan_photos, restore_all
from revisage.batch.engines import processes
from revisage.cli import main
from revisage.restore import RestoreOptions, Restorer


def slow_for_dark_photos(picture: np.ndarray) -> np.ndarray:
    if picture.mean() < 0.3:
        time.sleep(0.3)
    return twice(picture)


def test_a_photo_beyond_its_time_fails_in_threads(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, level in {"a": 10, "b": 200}.items():
        Image.fromarray(np.full((30, 40, 3), level, np.uint8)).save(tmp_path / "in" / f"{name}.png")
    restorer = Restorer(models=StubModels(scene=slow_for_dark_photos))
    jobs = plan_photos([tmp_path / "in"], tmp_path / "out")
    outcomes = list(restore_all(jobs, restorer, RestoreOptions(scale=2), seconds=0.2))
    assert [outcome.reason for outcome in outcomes] == ["too-large", None]
    assert "longer than 0.2 s" in str(outcomes[0].error)
    assert not (tmp_path / "out" / "a.png").exists()


def test_a_photo_whose_model_never_returns_ends_its_process_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = plan_photos([album(tmp_path / "in", [255, stub.STUCK, 255])], tmp_path / "out")
    limited = replace(work(stub.make_impatient, workers=1), seconds=0.5)
    outcomes = list(processes.restore_all(jobs, limited, processes=1))
    reasons = {Path(str(outcome.job.source)).name: outcome.reason for outcome in outcomes}
    assert reasons == {"00.png": None, "01.png": "crashed", "02.png": None, "bad.jpg": "damaged"}


def test_a_time_that_makes_no_sense_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    album(tmp_path / "in", [255])
    assert main(["restore", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--photo-seconds", "0"]) == 2
    assert "--photo-seconds" in capsys.readouterr().err
