"""Which photos of a folder are tried, where results go, and that no failure costs another photo."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, same, twice

from revisage.batch import Job, SaveOptions, plan, plan_photos, restore_all
from revisage.errors import UsageError
from revisage.restore import RestoreOptions, Restorer, Stage


def photo(path: Path, level: int = 128, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level // 2, 255 - level)).save(path)
    return path


def restorer() -> Restorer:
    return Restorer(models=StubModels(face=same, scene=twice))


def test_folders_are_searched_and_companions_left_out(tmp_path: Path) -> None:
    source = tmp_path / "album"
    for name in ("a.jpg", "b/c.PNG", "b/d.jpg"):
        photo(source / name)
    for name in ("notes.txt", ".hidden.jpg", "b/clip.mp4", "b/.cache/e.jpg"):
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_bytes(b"x")
    (source / "strange.fli").write_bytes(b"no photo, but tried and told")
    told: list[str] = []
    jobs = plan_photos([source], tmp_path / "out", tell=told.append)
    out = tmp_path / "out"
    assert told == [f"passed over in {source}: 1 film (restore each with --video FILM)"]
    assert {job.source.relative_to(source).as_posix(): job.target for job in jobs} == {
        "a.jpg": out / "a.jpg",
        "b/c.PNG": out / "b" / "c.PNG",
        "b/d.jpg": out / "b" / "d.jpg",
        "strange.fli": out / "strange.png",
    }


def test_what_cannot_be_reached_in_a_folder_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken link, and a folder that may not be read, are no reason for a good end."""
    album, closed = tmp_path / "album", tmp_path / "album" / "closed"
    photo(album / "a.jpg")
    (album / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    closed.mkdir()
    scan = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path) == closed:
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    jobs = plan_photos([album], tmp_path / "out")
    outcomes = list(restore_all(jobs, restorer(), RestoreOptions()))
    assert {one.job.source.name: one.error is None for one in outcomes} == {
        "a.jpg": True, "gone.jpg": False, "closed": False
    }  # fmt: skip


def test_results_inside_the_folder_are_not_restored_again(tmp_path: Path) -> None:
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "out" / "a.jpg")
    assert [job.source for job in plan_photos([tmp_path], tmp_path / "out")] == [tmp_path / "a.jpg"]


def test_without_a_place_results_of_a_folder_go_beside_it(tmp_path: Path) -> None:
    source = photo(tmp_path / "album" / "b" / "a.jpg")
    (job,) = plan_photos([tmp_path / "album"], None)
    assert job == Job(source, tmp_path / "album.restored" / "b" / "a.jpg")
    (job,) = plan_photos([tmp_path / "album" / "b"], tmp_path)  # which the folder lies in
    assert job == Job(source, tmp_path / "a.jpg")


def test_one_photo_goes_beside_itself_or_where_it_is_told(tmp_path: Path) -> None:
    source = photo(tmp_path / "a.jpg")
    assert plan_photos([source], None) == [Job(source, tmp_path / "a.restored.jpg")]
    assert plan_photos([source], tmp_path / "b.png") == [Job(source, tmp_path / "b.png")]
    assert plan_photos([source], tmp_path / "results") == [Job(source, tmp_path / "results" / "a.jpg")]
    (tmp_path / "v1.2").mkdir()
    assert plan_photos([source], tmp_path / "v1.2") == [Job(source, tmp_path / "v1.2" / "a.jpg")]


def test_a_photo_that_is_named_twice_is_restored_once_where_it_comes_first(tmp_path: Path) -> None:
    box = tmp_path / "box"
    one, other = photo(box / "a.jpg"), photo(box / "sub" / "b.jpg")
    out, again = tmp_path / "out", tmp_path / "box" / "sub" / ".." / "a.jpg"
    assert plan_photos([one, again], tmp_path / "b.png") == [Job(one, tmp_path / "b.png")]
    assert plan_photos([one, one], None) == [Job(one, box / "a.restored.jpg")]
    assert plan_photos([one, box], out) == [Job(one, out / "a.jpg"), Job(other, out / "sub" / "b.jpg")]
    assert plan_photos([box / "sub", box], out) == [Job(other, out / "b.jpg"), Job(one, out / "a.jpg")]
    beside = Job(other, tmp_path / "box.restored" / "sub" / "b.jpg")
    assert plan_photos([box, one, box, box / "sub"], None) == [Job(one, box / "a.restored.jpg"), beside]
    (box / "link.jpg").symlink_to(one)
    assert len(plan_photos([box, one], out)) == 3, "two names within one folder are two photos of it"
    assert [job.source for job in plan_photos([box / "link.jpg", one], out)] == [box / "link.jpg", one]


def test_results_beside_their_photos_are_no_photos_whatever_their_names(tmp_path: Path) -> None:
    photos = [photo(tmp_path / name) for name in ("a.jpg", "a.JPG", "x.png", "x.tif")]
    for format in (None, "PNG"):
        for job in plan_photos(photos, None, format=format):
            photo(Path(job.target))
    assert {job.source for job in plan_photos(sorted(tmp_path.iterdir()), None)} == set(photos)


def test_results_of_an_earlier_run_are_written_anew(tmp_path: Path) -> None:
    first = photo(tmp_path / "a.jpg")
    result = photo(tmp_path / "a.restored.jpg")
    other = photo(tmp_path / "b.restored.jpg")  # no b beside it: a photo like any other
    names = ("a.restored.jpg.mask.png", "b.restored.jpg.mask.png", "a.restored.tif.mask.png")
    masks = [photo(tmp_path / name) for name in names]  # the last one's result is gone
    assert plan_photos([first, result, other, *masks], None) == [
        Job(first, result),
        Job(other, tmp_path / "b.restored.restored.jpg"),
    ]
    assert plan_photos([result], None) == [Job(result, tmp_path / "a.restored.restored.jpg")]
    told: list[str] = []
    jobs = plan_photos([tmp_path], tmp_path / "out", tell=told.append)
    assert [job.source for job in jobs] == [first, other]
    assert told == [f"passed over as results of photos here, by name: {result} and 3 more"]


def test_results_of_namesakes_are_photos_like_any_other(tmp_path: Path) -> None:
    sources = [photo(tmp_path / folder / "a.jpg") for folder in ("one", "two")]
    targets = [Path(job.target) for job in plan_photos([path.parent for path in sources], tmp_path / "out")]
    for target in targets:
        photo(target)
    jobs = plan_photos([tmp_path / "out"], tmp_path / "again")
    assert sorted(job.source for job in jobs) == sorted(targets)


@pytest.mark.parametrize("name", [".restored.jpg", ".mask.png", ".restored.jpg.mask.png"])
def test_a_name_that_is_nothing_but_an_ending(name: str, tmp_path: Path) -> None:
    source = photo(tmp_path / name)
    assert [job.source for job in plan_photos([source], tmp_path / "out")] == [source]


@pytest.mark.parametrize(
    ("inputs", "out", "message"),
    [
        ([], None, "name at least one"),
        (["empty"], None, "no photos"),
        (["films"], None, r"no photos in .*: 2 films \(restore each with --video FILM\), 1 PDF "),
        (["album"], "album", "holds the originals"),
        (["empty"], "out", "no photos"),
        (["missing.jpg"], None, "does not exist"),
        (["album/a.jpg"], "b.xyz", "cannot be written"),
        (["album/a.jpg", "album/b.jpg"], "album/a.jpg", "is a file"),
        (["album/a.jpg", "album/b.jpg"], "new.jpg", "need a folder"),
        (["album"], "new.png", "need a folder"),
    ],
)
def test_wrong_plans_are_usage_errors(
    tmp_path: Path, inputs: list[str], out: str | None, message: str
) -> None:
    photo(tmp_path / "album" / "a.jpg")
    photo(tmp_path / "album" / "b.jpg")
    (tmp_path / "empty").mkdir()
    for name in ("a.mp4", "b.MKV", "c.pdf", ".hidden.mov"):
        (tmp_path / "films").mkdir(exist_ok=True)
        (tmp_path / "films" / name).touch()
    with pytest.raises(UsageError, match=message):
        plan_photos([tmp_path / name for name in inputs], tmp_path / out if out else None)


def test_a_bad_file_never_stops_the_rest(tmp_path: Path) -> None:
    jobs = []
    for number in range(6):
        path = tmp_path / "in" / f"{number}.png"
        photo(path, level=40 * number) if number % 2 else path.parent.mkdir(exist_ok=True)
        if number % 2 == 0:
            path.write_bytes(b"\x89PNG\r\n\x1a\n broken")
        jobs.append(Job(path, tmp_path / "out" / path.name))
    outcomes = {
        outcome.job.source.stem: outcome
        for outcome in restore_all(jobs, restorer(), RestoreOptions(), workers=3)
    }
    assert len(outcomes) == 6
    for number in range(6):
        outcome = outcomes[str(number)]
        if number % 2:
            assert outcome.error is None
            assert outcome.entry["status"] == "restored"
            assert outcome.job.target.exists()
        else:
            assert outcome.error is not None
            assert "\n" not in outcome.error
            assert outcome.entry["status"] == "failed"
            assert outcome.entry["error"] == outcome.error
            assert not outcome.job.target.exists()


def test_many_workers_share_one_restorer_without_mixing(tmp_path: Path) -> None:
    jobs = [
        Job(photo(tmp_path / f"{level}.png", level, (20 + level % 7, 30)), tmp_path / "out" / f"{level}.png")
        for level in range(0, 240, 10)
    ]
    done = list(restore_all(jobs, restorer(), RestoreOptions(scale=1), workers=6))
    assert sorted(outcome.job.source for outcome in done) == sorted(job.source for job in jobs)
    for job in jobs:
        before, after = (np.asarray(Image.open(path)) for path in (job.source, job.target))
        assert before.shape == after.shape
        assert np.abs(before.astype(int) - after).max() <= 1


def test_an_internal_error_is_named_and_costs_one_photo(tmp_path: Path) -> None:
    def broken(picture: np.ndarray) -> np.ndarray:
        if picture.mean() > 0.6:
            raise RuntimeError("the model has a defect")
        return twice(picture)

    jobs = [
        Job(photo(tmp_path / "dark.png", 10), tmp_path / "out" / "dark.png"),
        Job(tmp_path / "light.png", tmp_path / "out" / "light.png"),
    ]
    Image.new("RGB", (40, 30), "white").save(tmp_path / "light.png")
    found = restore_all(jobs, Restorer(models=StubModels(face=same, scene=broken)), RestoreOptions())
    outcomes = {outcome.job.source.stem: outcome for outcome in found}
    assert outcomes["dark"].error is None
    assert outcomes["light"].error is not None
    assert "the model has a defect" in outcomes["light"].error


def test_closing_early_starts_no_more_photos(tmp_path: Path) -> None:
    jobs = [Job(photo(tmp_path / f"{n}.png"), tmp_path / "out" / f"{n}.png") for n in range(8)]
    iterator = restore_all(jobs, restorer(), RestoreOptions())
    next(iterator)
    iterator.close()
    assert len(list((tmp_path / "out").iterdir())) < len(jobs)
    assert not [t for t in threading.enumerate() if t.name.startswith("photo")]


def test_stopping_finishes_the_photo_in_hand_and_tells_of_all_that_was_written(tmp_path: Path) -> None:
    jobs = [Job(photo(tmp_path / f"{n}.png"), tmp_path / "out" / f"{n}.png") for n in range(8)]
    stop = threading.Event()

    def scene(picture: np.ndarray) -> np.ndarray:
        if len(list((tmp_path / "out").glob("*"))) >= 2:
            stop.set()
        return twice(picture)

    one = Restorer(models=StubModels(face=same, scene=scene))
    done = [outcome.job.target for outcome in restore_all(jobs, one, RestoreOptions(), stop=stop)]
    assert done == [job.target for job in jobs[:3]]
    assert sorted((tmp_path / "out").iterdir()) == done


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    job = Job(photo(tmp_path / "a.png"), tmp_path / "file" / "a.png")
    [outcome] = restore_all([job], restorer(), RestoreOptions())
    assert outcome.error is not None
    assert "cannot be written" in outcome.error
    assert "Errno" not in outcome.error


def test_every_step_of_every_photo_is_told(tmp_path: Path) -> None:
    jobs = [Job(photo(tmp_path / f"{n}.png"), tmp_path / "out" / f"{n}.png") for n in range(3)]
    told: dict[Job, list[str]] = {job: [] for job in jobs}

    def watch(job: Job, stage: Stage) -> None:
        assert 0 <= stage.done <= stage.total
        told[job].append(stage.name)

    list(restore_all(jobs, restorer(), RestoreOptions(), workers=2, watch=watch))
    for names in told.values():
        assert list(dict.fromkeys(names))[:3] == ["decode", "find", "scene"]


def test_save_options_reach_the_file(tmp_path: Path) -> None:
    source = photo(tmp_path / "a.jpg", size=(200, 150))
    sizes = []
    for quality in (30, 95):
        target = tmp_path / f"{quality}.jpg"
        list(restore_all([Job(source, target)], restorer(), RestoreOptions(), saving=SaveOptions(quality)))
        sizes.append(target.stat().st_size)
    assert sizes[0] < sizes[1]


def test_no_workers_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        list(restore_all([], restorer(), RestoreOptions(), workers=0))


def test_outcomes_come_in_the_order_of_the_jobs_and_do_not_depend_on_the_workers(tmp_path: Path) -> None:
    """The first photo waits in the model until a later one is written."""
    photos = [photo(tmp_path / f"{n}.png", level=20 * n + 20) for n in range(6)]
    last = threading.Event()

    def scene(picture: np.ndarray) -> np.ndarray:
        if picture[0, 0, 0] < 0.1:
            assert last.wait(60)
        elif picture[0, 0, 0] > 0.45:
            last.set()
        return twice(picture)

    written: list[list[bytes]] = []
    for workers in (2, 3, 1):
        last.set() if workers == 1 else last.clear()
        jobs = [Job(source, tmp_path / str(workers) / source.name) for source in photos]
        several = Restorer(models=StubModels(face=same, scene=scene))
        outcomes = list(restore_all(jobs, several, RestoreOptions(), workers=workers))
        assert [outcome.job for outcome in outcomes] == jobs
        written.append([job.target.read_bytes() for job in jobs])
    assert written[0] == written[1] == written[2]


def test_no_more_photos_are_in_hand_than_there_are_workers(tmp_path: Path) -> None:
    jobs = [Job(photo(tmp_path / f"{n}.png"), tmp_path / "out" / f"{n}.png") for n in range(12)]
    begun: set[Job] = set()
    most = 0
    lock = threading.Lock()

    def watch(job: Job, stage: Stage) -> None:
        nonlocal most
        with lock:
            begun.add(job)
            most = max(most, sum(not other.target.exists() for other in begun))

    list(restore_all(jobs, restorer(), RestoreOptions(), workers=3, watch=watch))
    assert 1 <= most <= 3


@pytest.mark.parametrize("out", ["file/results", "file/b.png"])
def test_a_place_that_cannot_be_written_is_told_before_the_work(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"nothing can be written to .*file"):
        plan_photos([photo(tmp_path / "a.png")], tmp_path / out)


def test_a_read_only_folder_is_told_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere, so the system's refusal is played."""
    locked = tmp_path / "locked"
    source, other = photo(locked / "a.png"), photo(tmp_path / "free" / "b.png")
    real = tempfile.TemporaryFile

    def refusing(dir: Path) -> object:
        if Path(dir) == locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(dir=dir)

    monkeypatch.setattr(plan.tempfile, "TemporaryFile", refusing)
    with pytest.raises(UsageError, match=r"Permission denied.*-o"):
        plan_photos([source], None)
    with pytest.raises(UsageError, match=r"Permission denied.*-o"):
        plan_photos([other], locked / "new")
    assert len(plan_photos([source, other], None)) == 2  # some can be written: the others fail alone
    assert not (locked / "new").exists()
