"""Runs that are interrupted and resumed: what is done again, what is remembered, what is told."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, StubSession, same, twice

from revisage import zoo
from revisage.batch import (
    MANIFEST,
    Manifest,
    ManifestError,
    SaveOptions,
    fingerprint,
    plan_locations,
    restore_all,
    storage,
)
from revisage.batch import photo as steps
from revisage.batch.settings import _models
from revisage.cli import main
from revisage.cli import restore as command
from revisage.errors import PhotoError, SaveError, UsageError
from revisage.files import sha256
from revisage.restore import RestoreOptions, Restorer, Settings


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> StubModels:
    """The stub models of every run of the command; `models.scene_session.batches` counts the photos."""
    stub = StubModels(face=same, scene=twice)
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=stub))
    return stub


def album(folder: Path, count: int = 6, bad: int = 1) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (40, 30), (30 * number, 100, 50)).save(folder / f"{number}.png")
    for number in range(bad):
        (folder / f"bad{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    return folder


def run(source: Path, out: Path, *options: str) -> int:
    return main(["restore", str(source), "-o", str(out), "--resume", *options])


def rows(out: Path) -> dict[str, sqlite3.Row]:
    with contextlib.closing(sqlite3.connect(out / MANIFEST)) as manifest:
        manifest.row_factory = sqlite3.Row
        return {row["target"]: row for row in manifest.execute("SELECT * FROM photos")}


def worked(models: StubModels) -> int:
    """Photos that went through the models since the last call."""
    assert models.scene_session is not None
    count = len(models.scene_session.batches)
    models.scene_session.batches.clear()
    return count


def test_a_second_run_does_nothing(
    tmp_path: Path, models: StubModels, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = album(tmp_path / "in"), tmp_path / "out"
    assert run(source, out) == 1
    assert worked(models) == 6
    assert "6 restored, 1 failed" in capsys.readouterr().err
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert run(source, out) == 1  # not every photo is done
    assert worked(models) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("0 restored, 0 failed, 6 done before, 1 failed before (--retry-failed")
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.png")} == times


def test_only_what_is_new_changed_or_missing_is_done(tmp_path: Path, models: StubModels) -> None:
    source, out = album(tmp_path / "in", bad=0), tmp_path / "out"
    assert run(source, out) == 0
    worked(models)
    Image.new("RGB", (40, 30), "white").save(source / "new.png")
    Image.new("RGB", (40, 30), "white").save(source / "1.png")
    (out / "2.png").unlink()
    (out / "3.png").write_bytes(b"cut short by somebody else")
    os.utime(source / "4.png", (1, 1))  # another time, the same bytes
    before = rows(out)["4.png"]["stamp"]
    assert run(source, out) == 0
    assert worked(models) == 4
    assert rows(out)["4.png"]["stamp"] != before  # so that it is not read again at every run
    assert Image.open(out / "1.png").getpixel((0, 0)) == (255, 255, 255)
    assert Image.open(out / "3.png").size == (80, 60)
    assert run(source, out) == 0
    assert worked(models) == 0


def test_a_photo_whose_mask_or_xmp_file_is_gone_is_done_again(tmp_path: Path, models: StubModels) -> None:
    source, out = album(tmp_path / "in", bad=0), tmp_path / "out"
    (source / "2.xmp").write_text("<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    models.damage_session = StubSession(lambda picture: np.zeros((*picture.shape[:2], 1)))
    save = ("--repair", "full", "--save-mask")
    assert run(source, out, *save) == 0
    assert worked(models) == 6
    Image.new("L", (40, 30), "white").save(out / "0.png.mask.png")  # painted on
    (out / "1.png.mask.png").unlink()
    (out / "2.xmp").unlink()
    assert run(source, out, *save) == 0
    assert worked(models) == 2
    assert (out / "1.png.mask.png").exists()
    assert (out / "2.xmp").exists()
    assert run(source, out, *save) == 0
    assert worked(models) == 0
    (out / "1.png.mask.png").unlink()
    assert run(source, out, "--repair", "full") == 0
    assert worked(models) == 6
    assert not (out / "1.png.mask.png").exists()


def test_a_photo_whose_own_xmp_file_is_new_changed_or_gone_is_done_again(
    tmp_path: Path, models: StubModels, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = album(tmp_path / "in", bad=0), tmp_path / "out"
    said = "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"
    for name in ("1.xmp", "2.png.xmp"):
        (source / name).write_text(said)
    assert run(source, out) == 0
    assert worked(models) == 6
    (source / "0.xmp").write_text(said)
    (source / "1.xmp").write_text(f"{said} ")
    (source / "2.png.xmp").unlink()
    assert run(source, out) == 0
    assert worked(models) == 3
    assert (out / "0.xmp").exists()
    assert not (out / "2.png.xmp").exists()
    (source / "0.xmp").unlink()
    (out / "0.xmp").write_text("somebody else's")
    assert run(source, out) == 0
    assert worked(models) == 1
    assert (out / "0.xmp").read_text() == "somebody else's"
    assert "0.xmp is of an earlier run and stays as it is" in capsys.readouterr().err
    os.utime(source / "1.xmp", (1, 1))
    assert run(source, out) == 0
    assert worked(models) == 0


def test_a_change_that_keeps_size_and_differs_in_time_only_is_found(
    tmp_path: Path, models: StubModels
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    picture = source / "a.bmp"
    Image.new("RGB", (40, 30), "red").save(picture)
    assert run(source, out) == 0
    Image.new("RGB", (40, 30), "blue").save(picture)
    assert run(source, out) == 0
    assert worked(models) == 2
    assert Image.open(out / "a.bmp").getpixel((5, 5)) == (0, 0, 255)


def test_other_settings_do_everything_anew(tmp_path: Path, models: StubModels) -> None:
    source, out = album(tmp_path / "in"), tmp_path / "out"
    for options, photos in (((), 6), (("--scale", "1"), 6), (("--scale", "1"), 0), (("--no-label",), 6)):
        assert run(source, out, *options) == 1
        assert worked(models) == photos, options


def test_the_fingerprint_names_the_weights(tmp_path: Path) -> None:
    plain = fingerprint(Settings(), RestoreOptions(), SaveOptions())
    models = _models(Settings(), RestoreOptions())
    for task in ("face", "finder"):
        assert models[task] == [sha256(zoo.resolve(task).path)]
    used = [f"revisage-scene-{kind}" for kind in ("x2", "x2-int8", "x1", "x1-int8")]
    assert models["scene"] == [sha256(zoo.resolve("scene", name).path) for name in used]
    differ = [
        fingerprint(Settings(scene="none"), RestoreOptions(), SaveOptions()),
        fingerprint(Settings(precision="fp32"), RestoreOptions(), SaveOptions()),
        fingerprint(Settings(), RestoreOptions(strength=0.5), SaveOptions()),
        fingerprint(Settings(), RestoreOptions(), SaveOptions(quality=90)),
    ]
    assert len({plain, *differ}) == 5
    for options in (RestoreOptions(turn="auto"), RestoreOptions(red_eyes=True)):
        assert list(_models(Settings(model="none", scene="none"), options)) == ["finder"]
    assert not _models(Settings(model="none", scene="none"), RestoreOptions(turn="90"))
    assert fingerprint(Settings(threads=1, memory=64), RestoreOptions(), SaveOptions()) == plain


def test_failures_are_kept_with_reasons_and_retried_on_request(tmp_path: Path, models: StubModels) -> None:
    source, out = album(tmp_path / "in", count=1, bad=0), tmp_path / "out"
    (source / "text.jpg").write_bytes(b"this is no picture")
    (source / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    (source / "huge.png").write_bytes(
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (100_000).to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0" + bytes(4)
    )
    assert run(source, out) == 1
    found = rows(out)
    assert {name: row["reason"] for name, row in found.items()} == {
        "0.png": None,
        "text.jpg": "unsupported",
        "cut.jpg": "damaged",
        "huge.png": "too-large",
    }
    assert all(row["digest"] and row["stamp"] for row in found.values())
    ended = found["cut.jpg"]["ended"]
    Image.new("RGB", (40, 30), "white").save(source / "text.jpg")  # put right: tried without being asked
    assert run(source, out) == 1
    assert rows(out)["text.jpg"]["reason"] is None
    assert rows(out)["cut.jpg"]["ended"] == ended
    assert run(source, out, "--retry-failed") == 1
    assert rows(out)["cut.jpg"]["ended"] > ended


@pytest.mark.parametrize(
    ("number", "reason"),
    [(errno.EACCES, "unreadable"), (errno.ENOENT, "vanished"), (errno.EIO, "unreadable")],
)
def test_what_lies_outside_the_photo_is_tried_again_unasked(
    tmp_path: Path, models: StubModels, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    source, out = album(tmp_path / "in", count=2, bad=0), tmp_path / "out"
    real = steps.decode

    def refusing(path: Path, **options: object) -> object:
        if path.name == "0.png":
            try:
                raise OSError(number, os.strerror(number))
            except OSError as error:
                raise PhotoError(f"it cannot be opened ({error.strerror})") from error
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(steps, "decode", refusing)
    assert run(source, out) == 1
    assert rows(out)["0.png"]["reason"] == reason
    monkeypatch.setattr(steps, "decode", real)
    assert run(source, out) == 0
    assert rows(out)["0.png"]["reason"] is None


def test_a_photo_that_vanishes_after_it_was_listed(tmp_path: Path) -> None:
    source = album(tmp_path / "in", count=2, bad=0)
    jobs = plan_locations([source], tmp_path / "out")
    (source / "0.png").unlink()
    first, second = restore_all(jobs, Restorer(models=StubModels(scene=twice)), RestoreOptions())
    assert (first.reason, first.digest, first.stamp) == ("vanished", None, None)
    assert second.error is None


def test_a_full_disk_ends_the_run_and_the_next_one_goes_on(
    tmp_path: Path,
    models: StubModels,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source, out = album(tmp_path / "in", count=30, bad=0), tmp_path / "out"
    real = storage.write_atomically

    def full(path: Path, data: bytes, *, like: Path | None = None) -> None:
        if len(list(out.glob("*.png"))) >= 3:
            try:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                raise SaveError(f"{path} cannot be written ({error.strerror})") from error
        real(path, data, like=like)

    monkeypatch.setattr(storage, "write_atomically", full)
    assert run(source, out) == 1
    written = len(list(out.glob("*.png")))
    assert 3 <= written <= 4  # two workers may have looked at once
    assert worked(models) <= 10  # and not all thirty
    assert "the disk is full: make room" in capsys.readouterr().err
    monkeypatch.setattr(storage, "write_atomically", real)
    assert run(source, out) == 0
    assert len(list(out.glob("*.png"))) == 30
    assert worked(models) == 30 - written


def test_leftovers_of_a_killed_run_are_swept(tmp_path: Path, models: StubModels) -> None:
    source, out = album(tmp_path / "in", count=1), tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    parts = [out / ".revisage-00.part", out / "sub" / ".revisage-11.part"]
    for part in parts:
        part.write_bytes(b"half")
    (out / "mine.part").write_bytes(b"somebody else's")
    run(source, out)
    assert not any(part.exists() for part in parts)
    assert (out / "mine.part").exists()


def test_one_run_at_a_time(tmp_path: Path, models: StubModels, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = album(tmp_path / "in"), tmp_path / "out"
    part = out / ".revisage-00.part"
    with Manifest(out / MANIFEST, out):
        part.write_bytes(b"the other run's")
        assert run(source, out) == 1
        assert "another run is at work" in capsys.readouterr().err
        assert part.exists()
    assert worked(models) == 0


def test_a_damaged_or_foreign_manifest_is_told(tmp_path: Path) -> None:
    path = tmp_path / "manifest.sqlite"
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ManifestError, match="remove it"):
        Manifest(path, tmp_path)
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA user_version = 99")
    with pytest.raises(ManifestError, match="another version"):
        Manifest(path, tmp_path)


def test_the_report_of_a_resumed_run_tells_of_every_photo(tmp_path: Path, models: StubModels) -> None:
    source, out = album(tmp_path / "in", count=3), tmp_path / "out"
    lines, whole = tmp_path / "report.jsonl", tmp_path / "report.json"
    run(source, out, "--report", str(lines))
    first = [json.loads(line) for line in lines.read_text().splitlines()]
    assert {entry["schema"] for entry in first} == {1}
    assert all(entry["tool"].startswith("revisage ") for entry in first)
    assert {(Path(entry["input"]).name, entry["status"]) for entry in first} == {
        ("0.png", "restored"),
        ("1.png", "restored"),
        ("2.png", "restored"),
        ("bad0.png", "failed"),
    }
    assert [entry["reason"] for entry in first if entry["status"] == "failed"] == ["damaged"]
    (out / "1.png").unlink()
    run(source, out, "--report", str(whole))
    second = json.loads(whole.read_text())["photos"]
    assert sorted(entry["input"] for entry in second) == sorted(entry["input"] for entry in first)


def test_lines_are_on_disk_while_the_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, report = album(tmp_path / "in", count=4, bad=0), tmp_path / "report.jsonl"
    seen = []

    def look(picture: np.ndarray) -> np.ndarray:
        seen.append(len(report.read_text().splitlines()))
        return twice(picture)

    monkeypatch.setattr(command, "Restorer", lambda *a, **k: Restorer(models=StubModels(scene=look)))
    assert run(source, tmp_path / "out", "--report", str(report), "--workers", "1") == 0
    assert seen[-1] >= 1
    assert len(report.read_text().splitlines()) == 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("name", ["report.jsonl", "report.json", "report"])
def test_a_pipe_gets_all_lines_of_a_report(tmp_path: Path, models: StubModels, name: str) -> None:
    source, pipe = album(tmp_path / "in", count=2), tmp_path / name
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE) as reader:
        run(source, tmp_path / "out", "--report", str(pipe))
        assert reader.stdout is not None
        lines = reader.stdout.read().splitlines()
    assert sorted(json.loads(line)["status"] for line in lines) == ["failed", "restored", "restored"]


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in/0.png", "--resume"], "-o FOLDER"),
        (["in/0.png", "--resume", "-o", "one.png"], "need a folder"),
        (["in", "-o", "out", "--retry-failed"], "go with --resume"),
        (["in", "-o", "memory://out", "--resume"], "--manifest FILE"),
        (["in", "in/0.png", "-o", "memory://out", "--resume"], "one folder"),
        (["memory://a", "-o", "memory://a/b"], "in one another"),
    ],
)
def test_bad_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    pytest.importorskip("fsspec", reason="needs fsspec, which comes with revisage[ray]")
    monkeypatch.chdir(tmp_path)
    album(tmp_path / "in", count=1)
    assert main(["restore", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_photos_and_results_behind_urls(tmp_path: Path, models: StubModels) -> None:
    fsspec = pytest.importorskip("fsspec", reason="needs fsspec, which comes with revisage[ray]")
    store = fsspec.filesystem("memory")
    source = album(tmp_path / "in", count=3)
    for path in source.iterdir():
        store.pipe_file(f"/archive/box 1/{path.name}", path.read_bytes())
    options = ["--resume", "--manifest", str(tmp_path / "manifest.sqlite")]
    arguments = ["restore", "memory://archive", "-o", "memory://restored", *options]
    try:
        assert main(arguments) == 1
        assert worked(models) == 3
        names = sorted(store.find("/restored"))
        assert names == [f"/restored/box 1/{number}.png" for number in range(3)]
        here = tmp_path / "here"
        assert main(["restore", str(source), "-o", str(here)]) == 1
        worked(models)
        for name in names:
            assert store.cat_file(name) == (here / Path(name).name).read_bytes()
        assert main(arguments) == 1
        assert worked(models) == 0
        store.pipe_file("/archive/box 1/0.png", (source / "1.png").read_bytes())
        store.rm_file("/restored/box 1/2.png")
        assert main(arguments) == 1
        assert worked(models) == 2
    finally:
        store.store.clear()


def test_a_url_of_a_place_without_its_package_says_what_to_install() -> None:
    pytest.importorskip("fsspec", reason="needs fsspec, which comes with revisage[ray]")
    with pytest.raises(UsageError, match="nosuch://bucket"):
        plan_locations(["nosuch://bucket/in"], Path("out"))


def test_what_is_passed_over_at_a_url_is_told() -> None:
    fsspec = pytest.importorskip("fsspec", reason="needs fsspec, which comes with revisage[ray]")
    files = fsspec.filesystem("memory")
    for name in ("a.jpg", "a.restored.jpg", "film.mov", "notes.txt"):
        files.pipe_file(f"memory://mixed/{name}", b"")
    told: list[str] = []
    jobs = plan_locations(["memory://mixed"], "memory://out", tell=told.append)
    files.rm("memory://mixed", recursive=True)
    assert [job.source for job in jobs] == ["memory://mixed/a.jpg"]
    assert told == [
        "passed over in memory://mixed: 1 film (restore each with --video FILM)",
        "passed over as results of photos here, by name: memory://mixed/a.restored.jpg",
    ]


def test_kills_lose_nothing() -> None:
    """Real processes, really killed; the benchmark checks every figure it prints."""
    kills("--photos", "40", "--kills", "2")


@pytest.mark.slow
def test_many_kills_lose_nothing() -> None:
    kills("--photos", "400", "--kills", "20")


def kills(*options: str) -> None:
    program = Path(__file__).parents[1] / "benchmarks" / "archive.py"
    done = subprocess.run(
        [sys.executable, str(program), "kills", *options], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
