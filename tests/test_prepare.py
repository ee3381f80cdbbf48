"""`prepare`: what is kept, what is dropped and why, and that no interruption changes a byte."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from filelock import FileLock
from prepare_folder import SETTINGS, WholePicture, fill, texture, tree, write

from revisage.errors import SaveError, UsageError
from revisage.faces import template
from revisage.lab.data.landmarks import read_crops, read_landmarks
from revisage.lab.data.pictures import find_pictures, held_out, read_picture
from revisage.lab.data.prepare.measures import sharpness
from revisage.lab.data.prepare.photo import PrepareSettings, Record
from revisage.lab.data.prepare.run import prepare
from revisage.lab.data.prepare.tables import Summary


def run(
    source: Path, out: Path, settings: PrepareSettings = SETTINGS, workers: int = 1, score: float = 0.9
) -> Summary:
    return prepare(source, out, WholePicture(score=score), settings, detector_name="stub", workers=workers)


def dropped(out: Path) -> list[dict[str, str]]:
    with (out / "dropped.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def prepared(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "prepared"
    before = tree(photos)
    summary = run(photos, out)
    assert tree(photos) == before
    assert (summary.photos, summary.kept) == (17, 14)
    assert summary.dropped == {"blurred": 1, "duplicate": 1, "no face": 1, "unreadable": 1}
    assert list(summary.unreadable) == ["broken.jpg"]
    return out


def test_what_is_kept_can_be_trained_on(prepared: Path) -> None:
    crops = read_crops(prepared / "faces.csv")
    assert {prepared / "faces" / crop.file for crop in crops} == set((prepared / "faces").iterdir())
    for crop in crops:
        assert read_picture(prepared / "faces" / crop.file).shape == (64, 64, 3)
        np.testing.assert_allclose(crop.landmarks, template(64), atol=0.02)
        assert crop.coverage == pytest.approx(1, abs=0.1)
    # Two photos of one name in two folders; the folder is the group, or the photo where it lies in none.
    assert {crop.group for crop in crops} == {"a", "b", "strip"}
    assert sum(crop.stem.startswith("IMG_0-") for crop in crops) == 2
    folder = prepared / "faces"
    groups = {crop.stem: crop.group for crop in crops}
    assert {path.stem for path in find_pictures(folder, name=lambda path: groups[path.stem])} == {
        crop.stem for crop in crops if not held_out(crop.group)
    }


def test_a_crop_is_its_face(prepared: Path, photos: Path) -> None:
    crop = next(crop for crop in read_crops(prepared / "faces.csv") if crop.group == "strip")
    square = read_picture(photos / "strip.png")[:, :96]
    expected = cv2.resize(square, (64, 64), interpolation=cv2.INTER_AREA).astype(int)
    found = read_picture(prepared / "faces" / crop.file).astype(int)
    assert np.abs(found - expected)[2:-2, 2:-2].mean() < 9


def test_what_is_dropped_says_why(prepared: Path) -> None:
    rows = {row["source"]: row for row in dropped(prepared)}
    assert {name: row["reason"] for name, row in rows.items()} == {
        "broken.jpg": "unreadable",
        "copy.png": "duplicate",
        "soft.png": "blurred",
        "wide.png": "no face",
    }
    assert rows["broken.jpg"]["detail"]
    original = rows["copy.png"]["detail"]
    assert original.startswith("IMG_0-")
    assert (prepared / "faces" / original).is_file()  # the larger one stays
    assert (prepared / "dropped" / rows["copy.png"]["file"]).is_file()
    soft = read_picture(prepared / "dropped" / rows["soft.png"]["file"])
    assert float(rows["soft.png"]["sharpness"]) == pytest.approx(sharpness(soft), abs=1e-3)
    assert float(rows["soft.png"]["sharpness"]) < SETTINGS.sharpness


@pytest.mark.parametrize(
    ("settings", "score", "reason"),
    [
        (replace(SETTINGS, size=128), 0.9, "small"),
        (replace(SETTINGS, size=128, enlarge=1.4), 0.9, None),
        (SETTINGS, 0.7, "uncertain"),
        (replace(SETTINGS, score=0.6), 0.7, None),
        (replace(SETTINGS, sharpness=5.0), 0.9, "blurred"),
    ],
)
def test_each_rule_has_its_setting(
    tmp_path: Path, settings: PrepareSettings, score: float, reason: str | None
) -> None:
    write(tmp_path / "photos" / "a.png", texture(1))
    summary = run(tmp_path / "photos", tmp_path / "out", settings, score=score)
    assert summary.dropped == ({reason: 1} if reason else {})


def test_a_face_at_the_edge_is_cut_off(tmp_path: Path) -> None:
    class HalfOutside(WholePicture):
        def find(self, pixels: np.ndarray) -> list:
            return [
                replace(face, landmarks=face.landmarks - np.float32((40, 0))) for face in super().find(pixels)
            ]

    write(tmp_path / "photos" / "a.png", texture(1))
    summary = prepare(tmp_path / "photos", tmp_path / "out", HalfOutside(), SETTINGS, detector_name="stub")
    assert summary.dropped == {"cut off": 1}
    assert float(dropped(tmp_path / "out")[0]["coverage"]) == pytest.approx(1 - 40 / 96, abs=0.03)


def test_landmarks_of_no_face_are_told_and_stop_nothing(tmp_path: Path) -> None:
    class Scattered(WholePicture):
        def find(self, pixels: np.ndarray) -> list:
            return [replace(face, landmarks=face.landmarks * 0) for face in super().find(pixels)]

    write(tmp_path / "photos" / "a.png", texture(1))
    prepare(tmp_path / "photos", tmp_path / "out", Scattered(), SETTINGS, detector_name="stub")
    (row,) = dropped(tmp_path / "out")
    assert (row["reason"], row["detail"]) == ("no face", "1 found, not laid out like a face")


def test_threads_change_no_byte(prepared: Path, photos: Path, tmp_path: Path) -> None:
    run(photos, tmp_path / "out", workers=4)
    assert tree(tmp_path / "out") == tree(prepared)


def test_the_same_command_again_does_nothing_twice(prepared: Path, photos: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (prepared / "faces").iterdir()}
    told: list[str] = []

    def watch(record: Record, done: int, total: int) -> None:
        told.append(record.source)
        assert (done, total) == (17, 17)

    prepare(photos, prepared, WholePicture(), SETTINGS, detector_name="stub", watch=watch)
    assert told == ["broken.jpg"]  # what could not be read is tried again
    assert {path: path.stat().st_mtime_ns for path in (prepared / "faces").iterdir()} == before


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from prepare_folder import SETTINGS, WholePicture
from revisage.lab.data.prepare.run import prepare
prepare(Path(sys.argv[2]), Path(sys.argv[3]), WholePicture(0.05), SETTINGS, detector_name="stub", workers=2)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    prepared: Path, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(photos), str(out)]
    journal = out / "journal.jsonl"
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 120
    while not journal.is_file() or journal.read_bytes().count(b"\n") < 4:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = journal.read_bytes().count(b"\n")
    assert 4 <= done < 17
    assert not (out / "faces.csv").exists()
    with journal.open("ab") as file:  # a line that was being written
        file.write(b'{"source": "a/IMG')
    (out / "faces" / ".revisage-1-0123456789abcdef.part").write_bytes(b"half a face")
    told: list[str] = []
    prepare(
        photos,
        out,
        WholePicture(),
        SETTINGS,
        detector_name="stub",
        watch=lambda record, *_: told.append(record.source),
    )
    assert len(told) in (17 - done, 18 - done)  # the broken one is tried again
    assert tree(out) == tree(prepared)


def test_photos_that_come_change_and_go(tmp_path: Path) -> None:
    source, out = tmp_path / "photos", tmp_path / "out"
    for seed in range(3):
        write(source / f"{seed}.png", texture(seed))
    run(source, out)
    (source / "0.png").unlink()
    write(source / "1.png", texture(7))
    os.utime(source / "1.png", (1, 1))
    write(source / "3.png", cv2.resize(texture(2), (192, 192), interpolation=cv2.INTER_CUBIC))
    summary = run(source, out, settings := SETTINGS)
    assert (summary.kept, summary.dropped) == (2, {"duplicate": 1})  # the new one is larger
    run(source, tmp_path / "anew", settings)
    told, anew = tree(out), tree(tmp_path / "anew")
    assert told == anew


def test_a_copy_comes_back_when_its_original_goes(tmp_path: Path) -> None:
    source, out = tmp_path / "photos", tmp_path / "out"
    write(source / "large.png", texture(0))
    write(source / "small.png", cv2.resize(texture(0), (80, 80), interpolation=cv2.INTER_AREA))
    run(source, out)
    (only,) = read_landmarks(out / "faces.csv")
    assert only.startswith("large-")
    (source / "large.png").unlink()
    assert run(source, out).dropped == {}
    (only,) = read_landmarks(out / "faces.csv")
    assert only.startswith("small-")
    assert len(list((out / "faces").iterdir())) == 1


def test_other_settings_are_refused(tmp_path: Path) -> None:
    source, out = write(tmp_path / "photos" / "a.png", texture(1)).parent, tmp_path / "out"
    run(source, out)
    before = tree(out)
    with pytest.raises(UsageError, match="was made with size 64, not 128"):
        run(source, out, replace(SETTINGS, size=128))
    with pytest.raises(UsageError, match="was made with finder stub, not other"):
        prepare(source, out, WholePicture(), SETTINGS, detector_name="other")
    other = write(tmp_path / "others" / "a.png", texture(1)).parent
    with pytest.raises(UsageError, match="was made with source"):
        run(other, out)
    with FileLock(out / ".lock"), pytest.raises(UsageError, match="another run"):
        run(source, out)
    assert tree(out) == before
    (out / "settings.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        run(source, out)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    source, out = write(tmp_path / "photos" / "a.png", texture(1)).parent, tmp_path / "out"
    run(source, out)
    (out / "journal.jsonl").unlink()
    (out / "journal.jsonl").mkdir()
    with pytest.raises(SaveError, match=r"journal\.jsonl cannot be written"):
        run(source, out)


def test_folders_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    source = write(tmp_path / "photos" / "a.png", texture(1)).parent
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    empty = tmp_path / "empty"
    empty.mkdir()
    for wrong_source, out, says in (
        (tmp_path / "nowhere", tmp_path / "out", "is no folder"),
        (source / "a.png", tmp_path / "out", "is no folder"),
        (empty, tmp_path / "out", "no photos in"),
        (source, source, "holds the photos"),
        (source, full, "is no empty folder"),
        (source, full / "mine.txt", "is no empty folder"),
    ):
        with pytest.raises(UsageError, match=says):
            run(wrong_source, out)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": 8},
        {"format": "jpg"},
        {"quality": 0},
        {"enlarge": 0.0},
        {"enlarge": float("nan")},
        {"sharpness": -1.0},
        {"coverage": 1.5},
        {"score": float("nan")},
        {"near": 300},
        {"max_pixels": 0},
    ],
)
def test_settings_have_ranges(wrong: dict) -> None:
    with pytest.raises(UsageError):
        PrepareSettings(**wrong)


def test_results_inside_the_source_are_no_photos(tmp_path: Path) -> None:
    source = write(tmp_path / "photos" / "a.png", texture(1)).parent
    write(source / ".trash" / "b.png", texture(2))
    for _ in range(2):
        assert run(source, source / "out").photos == 1


def test_names_of_any_kind_make_crops(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    names = ["a.png", "a.PNG", 'ü , "x"\n.png', "-.png", "x" * 200 + ".png", "deep/er/a.png"]
    for seed, name in enumerate(names):
        write(source / name, texture(seed))
    with_bytes = os.fsencode(source) + b"/\xff\xfe.png"
    try:
        with open(with_bytes, "wb") as file:
            file.write((source / "a.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes no such name")
    summary = run(source, tmp_path / "out")
    assert (summary.photos, summary.kept, summary.dropped) == (7, 6, {"duplicate": 1})
    assert len(read_crops(tmp_path / "out" / "faces.csv")) == 6


def test_deep_gray_and_turned_photos_become_plain_crops(tmp_path: Path) -> None:
    source = tmp_path / "photos"
    deep = texture(1)[..., 0].astype(np.uint16) * 257
    write(source / "deep.png", deep)
    write(source / "gray.png", texture(2)[..., 0])
    assert run(source, tmp_path / "out").kept == 2
    for path in (tmp_path / "out" / "faces").iterdir():
        picture = read_picture(path)
        assert picture.shape == (64, 64, 3)
        assert (picture[..., 0] == picture[..., 2]).all()


def test_webp_crops_are_smaller(tmp_path: Path) -> None:
    source = write(tmp_path / "photos" / "a.png", texture(1)).parent
    run(source, tmp_path / "png")
    run(source, tmp_path / "webp", replace(SETTINGS, format="webp", quality=80))
    exact, small = (next((tmp_path / kind / "faces").iterdir()) for kind in ("png", "webp"))
    assert small.suffix == ".webp"
    assert small.stat().st_size < exact.stat().st_size / 2
    assert np.abs(read_picture(small).astype(int) - read_picture(exact)).mean() < 12


def test_a_large_photo_costs_its_pixels_and_little_more(tmp_path: Path) -> None:
    large = np.zeros((3000, 4000, 3), np.uint8)
    large[::7, ::5] = 200
    done, data = cv2.imencode(".png", large, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    assert done
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(data.tobytes())
    tracemalloc.start()
    try:
        run(tmp_path / "photos", tmp_path / "out")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3.5 * large.nbytes


def test_hostile_files_are_recorded_and_stop_nothing(shared: Path, tmp_path: Path) -> None:
    source = tmp_path / "photos"
    write(source / "good.png", texture(1))
    for path in sorted((shared / "data" / "hostile").iterdir())[::8]:
        (source / path.name).write_bytes(path.read_bytes())
    summary = run(source, tmp_path / "out", workers=2)
    assert summary.kept >= 1
    assert summary.dropped["unreadable"] == len(summary.unreadable) >= 5
    assert all("\n" not in error for error in summary.unreadable.values())


def test_a_real_face_and_its_copies(tmp_path: Path) -> None:
    skimage_data = pytest.importorskip("skimage.data")
    from revisage import zoo
    from revisage.faces import Detector

    photo = skimage_data.astronaut()[:256, 96:352]
    source = tmp_path / "photos"
    write(source / "whole.png", photo)
    write(source / "recompressed.jpg", photo)
    write(source / "half.png", cv2.resize(photo, (180, 180), interpolation=cv2.INTER_AREA))
    write(source / "soft.png", cv2.GaussianBlur(photo, (0, 0), 6))
    model = zoo.resolve("finder", "auto")
    settings = PrepareSettings(size=64)
    summary = prepare(source, tmp_path / "out", Detector(model.path), settings, detector_name=str(model))
    assert (summary.photos, summary.kept) == (4, 1)
    (crop,) = read_crops(tmp_path / "out" / "faces.csv")
    assert crop.stem.startswith("whole-")
    np.testing.assert_allclose(crop.landmarks, template(64), atol=2)
    reasons = {row["source"]: row["reason"] for row in dropped(tmp_path / "out")}
    assert reasons == {"half.png": "duplicate", "recompressed.jpg": "duplicate", "soft.png": "blurred"}
