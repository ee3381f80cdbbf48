"""Several processes: the same results, no photo lost with a worker, and how many there are."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import archive_stub as stub
import numpy as np
import psutil
import pytest
from PIL import Image
from test_archive import kills

from revisage.batch import Job, Outcome, SaveOptions, layout, plan_photos
from revisage.batch import restore_all as restore_in_threads
from revisage.batch.engines import processes
from revisage.batch.layout import Layout, calibrated, candidates, remember, remembered
from revisage.errors import ModelMissingError, RuntimeUnavailableError
from revisage.restore import RestoreOptions


def album(folder: Path, marks: Sequence[int]) -> Path:
    """One photo for each mark (see `archive_stub`); 255 is an ordinary photo."""
    folder.mkdir()
    for number, mark in enumerate(marks):
        pixels = np.full((120, 140, 3), (200, 10 * number, 90), np.uint8)
        pixels[0, 0, 0] = mark
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    (folder / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    return folder


def work(maker: processes.Maker = stub.make, workers: int = 2) -> processes.Work:
    return processes.Work(maker, RestoreOptions(), SaveOptions(), workers)


def children() -> list[psutil.Process]:
    return [p for p in psutil.Process().children() if "spawn_main" in " ".join(p.cmdline())]


def test_results_are_those_of_one_process(tmp_path: Path) -> None:
    source = album(tmp_path / "in", [255] * 9)
    ways: dict[str, Callable[[list[Job]], Sequence[Outcome]]] = {
        "threads": lambda jobs: list(restore_in_threads(jobs, stub.make(None), RestoreOptions())),
        "processes": lambda jobs: list(processes.restore_all(jobs, work(), processes=2)),
    }
    found = {}
    for name, way in ways.items():
        outcomes = way(plan_photos([source], tmp_path / name))
        assert len(outcomes) == 10
        assert [outcome.reason for outcome in outcomes if outcome.error] == ["damaged"]
        found[name] = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        faces = [len(outcome.entry["faces"]) for outcome in outcomes if outcome.error is None]
        assert faces == [1] * 9
        sizes = {outcome.job.target: outcome.written for outcome in outcomes if outcome.error is None}
        assert all(size == Path(path).stat().st_size for path, size in sizes.items())
    assert found["threads"] == found["processes"]
    assert not children()


def test_a_photo_that_kills_its_worker_is_given_up_and_costs_no_other(tmp_path: Path) -> None:
    jobs = plan_photos(
        [album(tmp_path / "in", [255, stub.SLOW, stub.DEADLY, stub.SLOW, 255, 255])], tmp_path / "out"
    )
    outcomes = {
        Path(outcome.job.source).stem: outcome.reason
        for outcome in processes.restore_all(jobs, work(), processes=1)
    }
    assert outcomes == dict.fromkeys(["00", "01", "03", "04", "05"], None) | {
        "02": "crashed",
        "bad": "damaged",
    }


def test_a_worker_killed_from_outside_loses_nothing(tmp_path: Path) -> None:
    jobs = plan_photos([album(tmp_path / "in", [stub.SLOW] * 10)], tmp_path / "out")
    outcomes = []
    for outcome in processes.restore_all(jobs, work(), processes=2):
        if len(outcomes) in (1, 4):
            os.kill(children()[0].pid, signal.SIGKILL)
        outcomes.append(outcome)
    assert sorted(outcome.reason or "" for outcome in outcomes) == [""] * 10 + ["damaged"]
    assert len(list((tmp_path / "out").iterdir())) == 10


def test_stopping_finishes_what_is_in_hand_and_closing_ends_the_workers(tmp_path: Path) -> None:
    jobs = plan_photos([album(tmp_path / "in", [stub.SLOW] * 12)], tmp_path / "out")
    stop = threading.Event()
    outcomes = []
    for outcome in processes.restore_all(jobs, work(workers=1), processes=1, stop=stop):
        outcomes.append(outcome)
        stop.set()
    assert 1 < len(outcomes) <= 4
    assert len(list((tmp_path / "out").iterdir())) == len(outcomes)
    iterator = processes.restore_all(jobs, work(), processes=2)
    next(iterator)
    iterator.close()
    assert not children()


def test_workers_that_cannot_work_end_the_run(tmp_path: Path) -> None:
    jobs = plan_photos([album(tmp_path / "in", [255])], tmp_path / "out")
    with pytest.raises(ModelMissingError, match="install it"):
        list(processes.restore_all(jobs, work(stub.make_without_models), processes=2))
    with pytest.raises(RuntimeUnavailableError, match="exit code 3"):
        list(processes.restore_all(jobs, work(stub.make_that_dies), processes=1))
    assert not children()


def test_layouts_use_all_cores_and_fit_the_memory() -> None:
    gigabyte = 1 << 30
    assert candidates(2, 64 * gigabyte) == [Layout(1, 2), Layout(2, 1)]
    assert candidates(8, 64 * gigabyte) == [Layout(1, 8), Layout(2, 4), Layout(4, 2), Layout(8, 1)]
    assert candidates(8, 4 * gigabyte) == [Layout(1, 8), Layout(2, 4)]
    assert candidates(1, 0) == [Layout(1, 1)]


@pytest.mark.parametrize(("gain", "best"), [(1.02, Layout(1, 2)), (1.6, Layout(2, 1))])
def test_the_fastest_layout_restores_the_rest(gain: float, best: Layout) -> None:
    now = 0.0
    done: list[tuple[Layout, int]] = []
    chosen: list[Layout] = []

    def engine(
        jobs: Sequence[Job], layout: Layout, ready: Callable[[], None]
    ) -> Generator[Outcome, None, None]:
        nonlocal now
        now += 100 * layout.processes  # opening the models says nothing of the rate
        ready()
        for number, job in enumerate(jobs):
            # Every other photo is large; the pixels take the time.
            size = (200, 100) if number % 2 else (10, 10)
            now += size[0] * size[1] * 1e-4 / (1 if layout.processes == 1 else gain)
            yield Outcome(job, {"size_out": size})
        done.append((layout, len(jobs)))

    jobs = [Job(Path(f"{number}"), Path(f"{number}.out")) for number in range(100)]
    outcomes = calibrated(
        jobs, engine, [Layout(1, 2), Layout(2, 1)], chosen.append, stop=threading.Event(), clock=lambda: now
    )
    assert [outcome.job for outcome in outcomes] == jobs
    assert done == [(Layout(1, 2), 12), (Layout(2, 1), 12), (best, 76)]
    assert chosen == [best]


def test_choices_are_kept_for_the_same_settings_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "cache" / "layouts.json"
    monkeypatch.setattr(layout, "choices_file", lambda: path)
    remember("one", Layout(4, 2))
    assert remembered("one") == Layout(4, 2)
    assert remembered("other") is None
    path.write_text("damaged")
    assert remembered("one") is None


@pytest.mark.slow
def test_kills_of_several_processes_lose_nothing() -> None:
    kills("--photos", "200", "--kills", "10", "--engine", "processes")
