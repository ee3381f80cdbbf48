"""`revisage prepare`: exit codes, what it prints, and the same settings as the library's."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from prepare_folder import WholePicture, fill, texture, write

from revisage import faces, label
from revisage.cli import main
from revisage.cli._parse import parse
from revisage.cli.prepare import Options
from revisage.lab.data.prepare import landmarks68
from revisage.lab.data.prepare.photo import PrepareSettings


@pytest.fixture(autouse=True)
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "Detector", lambda model: WholePicture())


def test_a_folder_is_prepared_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = fill(tmp_path / "photos", 2), tmp_path / "out"
    command = ["prepare", str(source), str(out), "--size", "64", "--workers", "2"]
    assert main(command) == 1  # one photo is broken
    told = capsys.readouterr()
    assert "a/IMG_0: good\n" in told.out
    assert "strip.png: good, good\n" in told.out
    assert "wide.png: no face\n" in told.out
    assert "soft.png: blurred\n" in told.out
    assert "broken.jpg: " in told.err
    assert "7 photos: 4 faces kept; dropped: 1 blurred, 1 duplicate, 1 no face, 1 unreadable" in told.err
    assert "Traceback" not in told.err
    assert (out / "faces.csv").is_file()

    (source / "broken.jpg").unlink()
    assert main(command) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert "6 photos: 4 faces kept" in told.err


def test_results_of_revisage_are_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = tmp_path / "photos", tmp_path / "out"
    for number, name in enumerate(("a.png", "a.restored.png", "own.restored.png", "b.png", "labelled.png")):
        write(source / name, texture(number))
    made = label.add((source / "labelled.png").read_bytes(), "PNG", label.Label("revisage 1", ("model 1",)))
    (source / "labelled.png").write_bytes(made)
    assert main(["prepare", str(source), str(out), "--size", "64"]) == 0
    told = capsys.readouterr()
    assert "labelled.png: restored\n" in told.out
    assert "5 photos: 3 faces kept; dropped: 2 restored" in told.err
    monkeypatch.setattr(landmarks68, "open_landmark_detector", lambda *_: lambda picture: None)
    assert main(["prepare", str(source), str(tmp_path / "whole"), "--whole", "64"]) == 0
    assert capsys.readouterr().err.endswith("left out as results of Revisage: 2\n")
    pictures = {path.name for path in (tmp_path / "whole" / "pictures").iterdir()}
    assert pictures == {"a.png", "b.png", "own.restored.png"}


def test_bad_usage_is_told_and_returns_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = fill(tmp_path / "photos", 2), tmp_path / "out"
    assert main(["prepare", str(source), str(out), "--size", "64"]) == 1
    capsys.readouterr()
    for arguments, says in (
        ([str(source)], "OUT"),
        ([str(tmp_path / "nowhere"), str(out)], "is no folder"),
        ([str(source), str(source)], "holds the photos"),
        ([str(source), str(out)], "was made with size 64, not 256"),
        ([str(source), str(out), "--size", "7"], "size 7"),
        ([str(source), str(out), "--format", "jpeg"], "jpeg"),
        ([str(source), str(out), "--size", "64", "--workers", "0"], "workers 0"),
    ):
        assert main(["prepare", *arguments]) == 2, arguments
        assert says in capsys.readouterr().err, arguments
    assert main(["prepare", "--help"]) == 0


def test_the_command_has_every_setting_and_its_default() -> None:
    assert parse(Options, "prepare", ["in", "out"]).settings == PrepareSettings()
    given = [f"--{field.name.replace('_', '-')}" for field in fields(PrepareSettings)]
    values = ["64", "webp", "80", "2.0", "0.1", "0.5", "0.5", "32", "1000"]
    argv = [word for pair in zip(given, values, strict=True) for word in pair]
    chosen = PrepareSettings(64, "webp", 80, 2.0, 0.1, 0.5, 0.5, 32, 1000)
    assert parse(Options, "prepare", ["in", "out", *argv]).settings == chosen
