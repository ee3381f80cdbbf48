"""What Revisage did not make is never written over unasked."""

from __future__ import annotations

import gc
import json
import os
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from film_files import Made, make, restore
from PIL import Image
from restore_stubs import StubModels, same, twice

from revisage.batch import Job, SaveOptions, restore_all
from revisage.cli import main
from revisage.cli import restore as command
from revisage.errors import ExistsError, UsageError
from revisage.files import claim
from revisage.image import decode, encode, format_of, from_array
from revisage.label import read, results
from revisage.restore import RestoreOptions, Restorer

OTHERS = b"somebody else's"
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:source>%s</dc:source>
</rdf:Description></rdf:RDF></x:xmpmeta>"""


@pytest.fixture(autouse=True)
def _stub_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    models = StubModels(face=same, scene=twice)
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))
    monkeypatch.setattr(results, "results_file", lambda: tmp_path / "cache" / "results.sha256")


def photo(path: Path, level: int = 200) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30), (level, 100, 50)).save(path)
    return path


def test_a_name_for_one_photo_that_is_taken_is_told_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = photo(tmp_path / "a.jpg"), photo(tmp_path / "b.jpg", 10)
    before = first.read_bytes()
    assert main(["restore", "-o", str(first), str(second)]) == 2  # what a shell makes of -o *.jpg
    assert first.read_bytes() == before
    assert "--overwrite" in capsys.readouterr().err
    assert main(["restore", "-o", str(first), str(second), "--overwrite"]) == 0
    assert first.read_bytes() != before
    assert main(["restore", "-o", str(second), str(second), "--overwrite"]) == 2  # an original, never


@pytest.mark.parametrize("name", ["a.jpg", "a.restored.jpg"])
def test_one_taken_name_in_a_folder_costs_one_photo(tmp_path: Path, name: str) -> None:
    photo(tmp_path / "in" / name)
    photo(tmp_path / "in" / "c.png")
    taken = tmp_path / "photos" / name
    taken.parent.mkdir()
    taken.write_bytes(OTHERS)
    report = tmp_path / "r.json"
    run = ["restore", str(tmp_path / "in"), "-o", str(tmp_path / "photos"), "--report", str(report)]
    assert main(run) == 1
    assert taken.read_bytes() == OTHERS
    assert (tmp_path / "photos" / "c.png").exists()
    reasons = {Path(e["input"]).name: e["reason"] for e in json.loads(report.read_text())["photos"]}
    assert reasons == {name: "exists", "c.png": None}
    assert main([*run, "--overwrite"]) == 0
    assert taken.read_bytes() != OTHERS
    assert main(run) == 0  # results are written anew


def test_a_foreign_file_of_the_usual_name_beside_the_photo_stays(tmp_path: Path) -> None:
    source, other = photo(tmp_path / "a.jpg"), photo(tmp_path / "a.restored.jpg", 7)
    before = other.read_bytes()
    assert main(["restore", str(source)]) == 2
    assert other.read_bytes() == before


@pytest.mark.parametrize("options", [["--no-label"], ["--model", "none"]])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".webp"])
def test_a_result_without_a_label_is_known_again_until_it_is_edited(
    tmp_path: Path, options: list[str], suffix: str
) -> None:
    source = photo(tmp_path / f"a{suffix}")
    target = tmp_path / f"a.restored{suffix}"
    assert main(["restore", str(source), *options]) == 0
    assert main(["restore", str(source), *options]) == 0
    if suffix == ".bmp" or "--no-label" in options:
        target.write_bytes(target.read_bytes() + b"edited")
        assert main(["restore", str(source), *options]) == 2
        assert target.read_bytes().endswith(b"edited")


def film(folder: Path, *names: str, level: int = 200) -> list[str]:
    """The command that restores a film of these frames into the folder OUT beside it."""
    for name in names:
        photo(folder / name, level)
    plain = ["--model", "none", "--scene", "none", "--scale", "1"]
    return ["restore", "--video", str(folder), "-o", str(folder.with_name("out")), *plain]


def test_only_the_places_where_frames_go_must_be_free(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = film(tmp_path / "film", "1.gif")
    (tmp_path / "film" / "notes.txt").write_text("mine")
    for name in ("1.gif", "notes.txt"):
        photo(tmp_path / "out" / "1.gif").with_name(name).write_bytes(OTHERS)
    assert main(run) == 0
    taken = tmp_path / "out" / "1.gif.png"
    taken.write_bytes(OTHERS)
    assert main(run) == 2
    assert taken.read_bytes() == OTHERS
    assert "1.gif.png is there already" in capsys.readouterr().err
    assert main([*run, "--overwrite"]) == 0
    assert main(film(tmp_path / "film", "1.gif.png")) == 2
    assert "would both become" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["frames", "mp4"])
def test_a_film_replaces_its_own_result_and_no_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    first, second = tmp_path / f"a.{kind}", tmp_path / f"b.{kind}"
    if kind == "mp4":
        make(first, Made(times=range(3)))
        make(second, Made(times=range(4)))
        out = tmp_path / "out.mp4"
    else:
        film(first, "1.png", "2.bmp")
        film(second, "1.png", "2.bmp", level=10)
        out = tmp_path / "out"
    assert restore(first, out) == 0
    assert restore(first, out) == 0
    assert restore(second, out) == 2
    assert "the result of another photo" in capsys.readouterr().err
    assert restore(second, out, "--overwrite") == 0


def test_a_file_that_comes_while_a_film_is_in_work_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out" / "1.png"

    def scene(picture: np.ndarray) -> np.ndarray:
        target.parent.mkdir()
        target.write_bytes(OTHERS)
        return twice(picture)

    monkeypatch.setattr(command, "Restorer", lambda *args: Restorer(models=StubModels(scene=scene)))
    assert main(film(tmp_path / "film", "1.png")[:-2]) == 1
    assert target.read_bytes() == OTHERS


def test_a_file_that_comes_while_the_photo_is_in_work_stays(tmp_path: Path) -> None:
    source, target = photo(tmp_path / "a.png"), tmp_path / "b.png"

    def scene(picture: np.ndarray) -> np.ndarray:
        target.write_bytes(OTHERS)
        return twice(picture)

    [outcome] = restore_all([Job(source, target)], Restorer(models=StubModels(scene=scene)), RestoreOptions())
    assert outcome.reason == "exists"
    assert target.read_bytes() == OTHERS


@pytest.mark.parametrize("kind", ["folder", "link", "dangling", "unreadable"])
def test_what_is_no_plain_file_is_not_replaced(tmp_path: Path, kind: str) -> None:
    source, target = photo(tmp_path / "a.png"), tmp_path / "b.png"
    other = tmp_path / "other"
    if kind == "folder":
        target.mkdir()
    elif kind == "unreadable":
        target.write_bytes(OTHERS)
        target.chmod(0)
    else:
        target.symlink_to(other)
        if kind == "link":
            other.write_bytes(OTHERS)
    [outcome] = restore_all([Job(source, target)], Restorer(models=StubModels()), RestoreOptions())
    assert outcome.reason == "exists"
    assert os.path.lexists(target)
    assert kind != "link" or other.read_bytes() == OTHERS


def test_a_killed_run_is_resumed_also_without_labels(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    photo(source / "a.png")
    run = ["restore", str(source), "-o", str(out), "--resume", "--no-label"]
    taken = out / "b.png"
    photo(source / "b.png")
    out.mkdir()
    taken.write_bytes(OTHERS)
    assert main(run) == 1
    assert taken.read_bytes() == OTHERS
    (out / "a.png").write_bytes(b"left by a run that ended before it could say so")
    assert main([*run, "--quality", "50"]) == 1  # other settings: a.png anew, b.png still another's
    assert Image.open(out / "a.png").size == (80, 60)
    assert taken.read_bytes() == OTHERS


def test_a_result_that_was_retouched_stays_when_a_run_is_resumed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "b.png"):
        photo(source / name)
    run = ["restore", str(source), "-o", str(out), "--resume"]
    assert main(run) == 0
    mine = photo(out / "a.png", 7).read_bytes()
    for changed in ([], ["--scale", "1"]):
        assert main([*run, *changed]) == 1
        assert (out / "a.png").read_bytes() == mine
        assert "a.png is there already, and nothing tells that Revisage made it" in capsys.readouterr().err
    assert Image.open(out / "b.png").size == (40, 30)
    assert main([*run, "--overwrite"]) == 0
    assert Image.open(out / "a.png").size == (80, 60)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif", ".heic", ".avif", ".jxl"])
def test_a_result_retouched_in_an_editor_that_kept_its_label_stays(tmp_path: Path, suffix: str) -> None:
    source, target = tmp_path / f"a{suffix}", tmp_path / f"a.restored{suffix}"
    said = XMP % ("x" * 70_000).encode()  # more than a segment of a JPEG holds
    source.write_bytes(encode(replace(decode(photo(tmp_path / "b.png")), xmp=said), format=format_of(source)))
    for _ in range(2):
        assert main(["restore", str(source)]) == 0
        results.results_file().unlink()  # another machine
    made = decode(target)
    assert main(["restore", str(target), "-o", str(target.with_name(f"c{suffix}")), "--scene", "none"]) == 0
    assert results.objection_at(target.with_name(f"c{suffix}")) is None
    target.write_bytes(encode(replace(made, pixels=255 - made.pixels), format=format_of(target)))
    mine = target.read_bytes()
    assert read(mine) is not None
    assert main(["restore", str(source)]) == 2
    assert target.read_bytes() == mine
    assert main(["restore", str(source), "--overwrite"]) == 0


@pytest.mark.parametrize("options", [[], ["--resume"]])
def test_photos_of_two_folders_do_not_replace_each_others_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    out = tmp_path / "out"
    for number, folder in enumerate(("one", "two")):
        photo(tmp_path / folder / "IMG_1.png", 50 * number)
    runs = [["restore", str(tmp_path / folder), "-o", str(out), *options] for folder in ("one", "two")]
    assert main(runs[0]) == 0
    before = (out / "IMG_1.png").read_bytes()
    if options:
        results.results_file().unlink()  # the manifest knows it
    for _ in range(2):
        assert main(runs[1]) == (1 if options else 2)
        assert "IMG_1.png is there already, the result of another photo" in capsys.readouterr().err
        assert (out / "IMG_1.png").read_bytes() == before
    (tmp_path / "one").rename(tmp_path / "moved")  # it is known by its bytes, also for other settings
    assert main(["restore", str(tmp_path / "moved"), "-o", str(out), *options, "--scale", "1"]) == 0
    assert main([*runs[1], "--overwrite"]) == 0


def test_results_without_labels_are_known_by_the_manifest_until_they_are_retouched(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.bmp", "b.bmp", "c.bmp"):
        photo(source / name)
    run = ["restore", str(source), "-o", str(out), "--resume"]
    assert main(run) == 0
    results.results_file().unlink()  # another machine
    whole = (out / "a.bmp").read_bytes()
    (out / "b.bmp").write_bytes(whole[:-1] + b"!")
    os.utime(out / "b.bmp", (4e9, 4e9))
    (out / "c.bmp").write_bytes(whole[: len(whole) // 2])
    assert main([*run, "--scale", "1"]) == 1
    assert [Image.open(out / f"{name}.bmp").width for name in "abc"] == [40, 80, 40]


def test_a_report_never_takes_anothers_place(tmp_path: Path) -> None:
    source, other = photo(tmp_path / "a.png"), photo(tmp_path / "holiday.jpg")
    letter = tmp_path / "letter.json"
    letter.write_text('{"dear": "aunt"}')
    for taken in (other, letter):
        before = taken.read_bytes()
        assert main(["restore", str(source), "-o", str(tmp_path / "b.png"), "--report", str(taken)]) == 2
        assert taken.read_bytes() == before
    for report in (tmp_path / "r.json", tmp_path / "r.jsonl"):
        for _ in range(2):
            assert main(["restore", str(source), "-o", str(tmp_path / "b.png"), "--report", str(report)]) == 0
    assert main(["restore", str(source), "--report", str(letter), "--overwrite"]) == 0


def test_python_replaces_only_what_it_made_or_is_told_to(tmp_path: Path) -> None:
    source, target = photo(tmp_path / "a.png"), tmp_path / "b.png"
    target.write_bytes(OTHERS)
    result = Restorer(models=StubModels(scene=twice)).restore(source)
    with pytest.raises(ExistsError, match="choose another name, or give overwrite=True"):
        result.save(target)
    assert target.read_bytes() == OTHERS
    result.save(target, overwrite=True)
    result.save(target)
    with pytest.raises(UsageError, match="no name for the format jpeg"):
        result.save(tmp_path / "c.png", format="jpg")


def test_a_label_of_another_tool_is_not_ours() -> None:
    plain = from_array(np.zeros((8, 8, 3), np.uint8))
    assert results.objection(encode(plain, format="PNG")) == results.OTHERS
    assert SaveOptions(format="JPG").chosen_format == "JPEG"


def test_a_torn_record_hides_none_that_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "results_file", lambda: tmp_path / "results.sha256")
    (tmp_path / "results.sha256").write_bytes(b"torn")
    results.remember(b"a result")
    assert results.objection(b"a result") is None


def test_degraded_copies_replace_only_each_other(tmp_path: Path) -> None:
    source, target = photo(tmp_path / "a.png"), tmp_path / "b.png"
    target.write_bytes(OTHERS)
    run = ["degrade", str(source), str(target), "--recipe", "paper", "--seed", "1"]
    assert main(run) == 1
    assert target.read_bytes() == OTHERS
    assert main([*run, "--overwrite"]) == 0
    assert main(run) == 0


def test_a_report_of_lines_is_closed(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    arguments = ["restore", str(tmp_path / "a.png"), "--report", str(tmp_path / "r.jsonl")]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        assert main([*arguments, "--model", "none", "--scene", "none"]) == 0
        gc.collect()
    assert [str(one.message) for one in told if "r.jsonl" in str(one.message)] == []


@pytest.mark.parametrize("int8", [False, True])
def test_export_replaces_models_only(tmp_path: Path, capsys: pytest.CaptureFixture[str], int8: bool) -> None:
    target = tmp_path / "thesis.onnx"
    taken = tmp_path / ("thesis-int8.onnx" if int8 else "thesis.onnx")
    taken.write_bytes(OTHERS)
    arguments = ["export", str(tmp_path / "run"), str(target), *(["--int8", str(tmp_path)] if int8 else [])]
    assert main(arguments) == 2
    assert "is no model of Revisage: choose another name, or give --overwrite" in capsys.readouterr().err
    assert taken.read_bytes() == OTHERS
    failed = 2 if int8 else 1  # there are no pictures, or there is no run; but the name is no obstacle
    assert main([*arguments, "--overwrite"]) == failed
    assert "is no model" not in capsys.readouterr().err
    embedded = next((Path(command.__file__).parents[1] / "zoo/weights").glob("*.onnx"))
    taken.write_bytes(embedded.read_bytes())
    assert main(arguments) == failed
    assert "is no model" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["prepare", "evaluate"])
def test_a_folder_of_others_is_not_taken(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "folder"
    claim(folder, name)
    (folder / "result.csv").write_bytes(b"1")
    claim(folder, name)
    (tmp_path / "letter.txt").write_bytes(OTHERS)
    for taken in (tmp_path, tmp_path / "letter.txt", folder):
        with pytest.raises(UsageError, match="choose another"):
            claim(taken, "prepare" if taken is not folder else "something else")


@pytest.mark.parametrize("tool", ["prepare", "evaluate"])
def test_prepare_and_evaluate_keep_out_of_folders_of_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tool: str
) -> None:
    pytest.importorskip("torch")
    pictures, out = photo(tmp_path / "in" / "a.png").parent, tmp_path / "out"
    out.mkdir()
    (out / "results.json").write_bytes(OTHERS)
    if tool == "prepare":
        arguments = ["prepare", str(pictures), str(out)]
    else:
        arguments = ["evaluate", "--images", str(pictures), "--metrics", "niqe", "--out", str(out)]
    assert main(arguments) == 2
    assert "is no empty folder, nor one of `revisage" in capsys.readouterr().err
    assert {path.name for path in out.iterdir()} == {"results.json"}
    assert (out / "results.json").read_bytes() == OTHERS
