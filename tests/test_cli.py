"""The command line: dispatch, exit codes, what is printed where, the report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, face_at, same, twice

import revisage
from revisage.batch import Outcome
from revisage.cli import COMMANDS, _progress, _report, main
from revisage.cli import restore as command
from revisage.label import read
from revisage.restore import Restorer

REPORT_KEYS = {
    "input", "output", "status", "error", "size_in", "size_out", "models", "runtime", "seconds", "faces",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _stub_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*args: object, limits: object = None, **kwargs: object) -> Restorer:
        return Restorer(models=StubModels(face=same, scene=twice), limits=limits)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "Restorer", make)


def photo(path: Path, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 100, 50)).save(path)
    return path


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert main([]) == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"revisage {name}" in capsys.readouterr().out


def test_version_and_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"revisage {revisage.__version__}\n"
    assert main(["restor"]) == 2
    assert "'restor': did you mean restore?" in capsys.readouterr().err


def test_one_photo_is_written_beside_it_with_a_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = photo(tmp_path / "a.jpg")
    original = source.read_bytes()
    assert main(["restore", str(source)]) == 0
    result = tmp_path / "a.restored.jpg"
    assert Image.open(result).size == (80, 60)
    assert source.read_bytes() == original
    label = read(result.read_bytes())
    assert label is not None
    assert label.tool == f"revisage {revisage.__version__}"
    assert "stub-scene 1" in label.models
    out = capsys.readouterr()
    assert str(result) in out.out
    assert out.err == ""


def test_no_label(tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png")
    assert main(["restore", str(source), "-o", str(tmp_path / "b.png"), "--no-label", "--scale", "1"]) == 0
    assert read((tmp_path / "b.png").read_bytes()) is None
    assert Image.open(tmp_path / "b.png").size == (40, 30)


def test_a_folder_with_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    album, out, report = tmp_path / "album", tmp_path / "out", tmp_path / "report.json"
    photo(album / "good.jpg")
    photo(album / "sub" / "good.png")
    (album / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut off")
    code = main(["restore", str(album), "-o", str(out), "--report", str(report), "--workers", "2"])
    assert code == 1
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert [line for line in lines if "bad.jpg" in line and "damaged" in line]
    assert lines[-1] == "2 restored, 1 failed"
    assert (out / "good.jpg").exists()
    assert (out / "sub" / "good.png").exists()
    document = json.loads(report.read_text())
    assert document["schema"] == 1
    assert document["tool"] == f"revisage {revisage.__version__}"
    entries = {Path(entry["input"]).name: entry for entry in document["photos"]}
    assert len(document["photos"]) == 3
    assert all(entry.keys() >= REPORT_KEYS for entry in document["photos"])
    assert entries["bad.jpg"]["status"] == "failed"
    assert entries["good.jpg"]["status"] == "restored"
    assert entries["good.jpg"]["size_out"] == [80, 60]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jpg"], "does not exist"),
        (["a.jpg", "--strength", "2"], "from 0 to 1"),
        (["a.jpg", "--faces", "first"], "all, largest"),
        (["a.jpg", "--quality", "0"], "quality 0: give a number from 1 to 100"),
        (["a.jpg", "--workers", "0"], "at least 1"),
        (["a.jpg", "--max-pixels", "0"], "--max-pixels 0: give at least 1"),
        (["a.jpg", "-o", "a.jpg"], "original"),
        (["a.jpg", "--report", "a.jpg"], "original"),
        (["a.jpg", "-o", "b.jpg", "--report", "./b.jpg"], "where a photo goes"),
        (["a.jpg", "--report", "."], "is a folder"),
        (["a.jpg", "--report", "r.html"], "name it .json, or .jsonl"),
        (["a.jpg", "--report", "nowhere/r.json"], "nowhere does not exist"),
    ],
)
def test_bad_usage_is_exit_2_and_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    original = photo(tmp_path / "a.jpg").read_bytes()
    code = main(["restore", *arguments])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert code == 2
    assert (tmp_path / "a.jpg").read_bytes() == original


def test_unknown_options_are_exit_2(tmp_path: Path) -> None:
    source = photo(tmp_path / "a.jpg")
    assert main(["restore", str(source), "--strenght", "1"]) == 2
    assert main(["restore", str(source), "--scale", "3"]) == 2


def test_an_unknown_model_fails_once_before_the_first_photo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "Restorer", Restorer)
    photos = [str(photo(tmp_path / f"{n}.jpg")) for n in range(3)]
    code = main(
        ["restore", *photos, "-o", str(tmp_path / "out"), "--scene", "none", "--model", "no-such-model"]
    )
    assert code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "no-such-model" in lines[0]
    assert not (tmp_path / "out").exists()


def test_a_missing_file_among_others_costs_only_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = photo(tmp_path / "a.jpg")
    assert main(["restore", str(tmp_path / "gone.jpg"), str(source)]) == 1
    assert (tmp_path / "a.restored.jpg").exists()
    assert "gone.jpg: it cannot be opened" in capsys.readouterr().err


def test_the_line_of_a_photo_tells_what_became_of_its_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = photo(tmp_path / "a.png", (300, 200))
    found = [face_at(90, 90, 100), face_at(200, 90, 60), face_at(20, 20, 5)]

    def line(models: StubModels, *options: str) -> str:
        monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))
        assert main(["restore", str(source), *options]) == 0
        return capsys.readouterr().out

    assert "2 of 3 faces; 1 skipped: smaller than" in line(StubModels(face=same, faces=found))
    assert "1 of 1 face," in line(StubModels(face=same, faces=found[:1]))
    assert "1 of 3 faces; 2 skipped: not chosen" in line(StubModels(face=same, faces=found), "--faces", "2")
    assert "no face found" in line(StubModels(face=same))
    assert main(["restore", str(source), "-o", str(tmp_path / "b.png"), "--faces", "7"]) == 1
    assert "a.png: there is no face 7: no faces found" in capsys.readouterr().err
    assert "faces left alone" in line(StubModels(scene=twice), "--faces", "7")


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_ctrl_c_finishes_the_photos_in_hand_and_reports_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        photo(tmp_path / "in" / f"{number}.png")
    seen = []

    def scene(picture: np.ndarray) -> np.ndarray:
        seen.append(picture)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)  # the main thread takes the signal while this one is at work
        return twice(picture)

    models = StubModels(scene=scene)
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))
    report = tmp_path / "report.json"
    arguments = ["restore", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--report", str(report)]
    # A background job, as tests may be, starts with Ctrl-C ignored; this is about a job in the foreground.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert main(arguments) == 130
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    outputs = [entry["output"] for entry in json.loads(report.read_text())["photos"]]
    assert sorted(outputs) == sorted(str(path) for path in (tmp_path / "out").iterdir())
    assert 3 <= len(outputs) <= 4  # the one in the model, and the other worker's
    captured = capsys.readouterr()
    assert f"interrupted before {6 - len(outputs)} more" in captured.err


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = photo(tmp_path / "a.jpg")
    (tmp_path / "file").write_text("")
    assert main(["restore", str(source), "--report", str(tmp_path / "file" / "report.json")]) == 2
    assert not (tmp_path / "a.restored.jpg").exists()  # told before the work
    assert "report.json" in capsys.readouterr().err


def test_starting_imports_no_inference_library() -> None:
    code = (
        "import sys, revisage, revisage.cli; revisage.cli.main(['--help']);"
        "heavy = {'torch', 'openvino', 'onnxruntime', 'cv2', 'numpy', 'PIL'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_restoring_never_imports_torch(tmp_path: Path) -> None:
    source = photo(tmp_path / "a.png")
    code = (
        "import sys; from revisage.cli import main;"
        f"main(['restore', {str(source)!r}, '--model', 'none', '--scene', 'none']);"
        "sys.exit('torch was imported' if 'torch' in sys.modules or 'onnx' in sys.modules else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.restored.png").exists()


def test_the_report_is_on_disk_while_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a kill -9 would leave: a whole report of the photos done so far, in the order of the photos."""
    report = tmp_path / "report.json"
    photos = [str(photo(tmp_path / f"{n}.png")) for n in range(3)]
    monkeypatch.setattr(_report.Report, "EVERY", 0.0)
    monkeypatch.setattr(_report.Report, "SHARE", 0.0)
    seen = []
    tell = _progress.tell

    def look(outcome: Outcome) -> None:
        seen.append([entry["input"] for entry in json.loads(report.read_text())["photos"]])
        tell(outcome)

    monkeypatch.setattr(_progress, "tell", look)
    arguments = [*photos, "-o", str(tmp_path / "out"), "--report", str(report)]
    assert main(["restore", *arguments, "--model", "none", "--scene", "none"]) == 0
    assert seen == [photos[:1], photos[:2], photos]


def test_an_old_report_is_not_kept_for_a_run_that_is_killed_at_once(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text("old")
    _report.Report(report)
    assert json.loads(report.read_text())["photos"] == []
