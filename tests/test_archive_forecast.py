"""The model of an archive's time and cost, and the command that measures its terms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from revisage.batch import Job
from revisage.batch.forecast import Run, Terms, fit, sample
from revisage.cli import main

seconds = st.floats(1e-3, 100)


@given(seconds, st.floats(0, 1), st.floats(1e-5, 1e-2), st.integers(1, 1000))
def test_the_terms_of_runs_that_follow_the_model_are_found(
    parallel: float, share: float, driver: float, photos: int
) -> None:
    shared = share * parallel
    runs = [
        Run(photos, workers, photos * (shared + parallel / workers), photos * driver) for workers in (1, 2)
    ]
    found = fit(*runs)
    assert found.parallel == pytest.approx(parallel)
    assert found.shared == pytest.approx(shared, abs=1e-9 * parallel)
    assert found.driver == pytest.approx(driver)


def test_noise_gives_no_impossible_terms() -> None:
    assert fit(Run(10, 1, 100, 1), Run(10, 2, 30, 1)) == Terms(10, 0, 0.1)
    assert fit(Run(10, 1, 100, 1), Run(10, 2, 150, 1)) == Terms(0, 10, 0.1)


def test_time_and_cost() -> None:
    even = Terms(parallel=8, shared=0, driver=0)
    assert even.seconds(1, 1) == 8
    assert even.seconds(4, 2) == 1
    assert even.core_hours(900, 4, 2) == pytest.approx(2)  # no term in turns: the same core-hours throughout
    assert even.core_hours(900, 1, 1) == pytest.approx(2)
    real = Terms(parallel=8, shared=1, driver=0.01)
    assert real.seconds(1, 8) == pytest.approx(2.01)
    assert real.seconds(100, 8) == pytest.approx(0.03)
    assert real.most_machines(8) == 22
    share = real.driver / real.seconds(22, 8)
    assert share <= 0.1 < real.driver / real.seconds(23, 8)


def test_a_sample_is_spread_over_the_archive() -> None:
    jobs = [Job(Path(f"{number}"), Path(f"{number}.out")) for number in range(100)]
    assert [str(job.source) for job in sample(jobs, 4)] == ["0", "25", "50", "75"]
    assert sample(jobs[:3], 4) == jobs[:3]


def test_the_command_measures_and_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    for number in range(4):
        Image.new("RGB", (200, 100), (60 * number, 0, 0)).save(tmp_path / "in" / f"{number}.png")
    before = sorted(tmp_path.rglob("*"))
    light = ["--model", "none", "--scene", "none", "--sample", "4", "--price", "0.5", "--cores", "8"]
    arguments = ["bench", "archive", str(tmp_path / "in"), *light, "--out", str(tmp_path / "figures.json")]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "4 photos of 0.02 megapixels" in text
    assert "1 billion" in text
    figures = json.loads((tmp_path / "figures.json").read_text())
    (tmp_path / "figures.json").unlink()
    assert sorted(tmp_path.rglob("*")) == before
    terms = Terms(**figures["terms"])
    assert [run["workers"] for run in figures["runs"]] == [1, 2]
    assert terms == fit(*(Run(**run) for run in figures["runs"]))
    row = figures["forecast"][2]
    assert row["machines"] == 100
    assert row["photos_per_hour"] == pytest.approx(3600 / terms.seconds(100, 8))
    assert row["dollars"]["1 billion"] == pytest.approx(0.5 * terms.core_hours(10**9, 100, 8))


def test_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "archive", str(tmp_path / "none")]) == 2
    assert main(["bench", "archive", str(tmp_path), "--sample", "1"]) == 2
    assert main(["bench", "archives", str(tmp_path)]) == 2
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    light = ["--model", "none", "--scene", "none"]
    capsys.readouterr()
    assert main(["bench", "archive", str(tmp_path), *light]) == 2
    assert "none of the sample can be restored: " in capsys.readouterr().err
