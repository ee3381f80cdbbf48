"""What the command says to typical mistakes: one line, which names only what is wrong."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, face_at, same

from revisage.cli import main
from revisage.cli import restore as command
from revisage.cli._parse import parse
from revisage.errors import PhotoError, UsageError
from revisage.options import RestoreOptions
from revisage.restore import Restorer

PHOTO = "grandmother.jpg"

MISTAKES = {
    f"resotre {PHOTO}": "revisage: there is no command, photo or folder 'resotre': did you mean restore?",
    "great aunt.jpg --scale 1": (
        "revisage: there is no command, photo or folder 'great': a name with spaces goes in quotes, "
        '"great aunt.jpg"'
    ),
    f"{PHOTO} -o": "revisage restore: --out needs FILE|DIR",
    "-dash.jpg": "revisage restore: -dash.jpg looks like an option: for the file write ./-dash.jpg",
    f"restore --repair.jpg {PHOTO}": (
        "revisage restore: --repair.jpg looks like an option: for the file write ./--repair.jpg"
    ),
    "dangling.jpg": "revisage restore: dangling.jpg is a link to nowhere.jpg, which does not exist",
    "degrade scans scans": (
        "revisage degrade: scans holds the originals: choose another folder for the results"
    ),
    "albun": "revisage: there is no command, photo or folder 'albun': did you mean album?",
    "grandmothr.jpg": "revisage restore: grandmothr.jpg does not exist: did you mean grandmother.jpg?",
    "*.png": "revisage restore: nothing matches *.png",
    "restore": "revisage restore: missing: PHOTO|DIR",
    "album": "revisage restore: no photos in album",
    f"{PHOTO} --strenght 0.5": "revisage restore: there is no option --strenght: did you mean --strength?",
    f"{PHOTO} --strength 2": "revisage restore: --strength 2: give a number from 0 to 1",
    f"{PHOTO} --strength high": "revisage restore: --strength high: give a number from 0 to 1",
    f"{PHOTO} --strength": "revisage restore: --strength needs 0..1",
    f"{PHOTO} --color sepia": "revisage restore: --colour sepia: choose one of keep, enhance, revive",
    f"{PHOTO} --scale 3": "revisage restore: --scale 3: choose one of auto, 1, 2, 4",
    f"{PHOTO} --resume=yes": "revisage restore: --resume takes no value",
    f"{PHOTO} --faces 0": (
        "revisage restore: faces '0': give all, largest, or at most 400 numbers from 1 such as 1,3 or, with "
        "strengths, 1,3:0.6"
    ),
    f"{PHOTO} --model gfpgan-1.5": (
        "revisage restore: no model is called 'gfpgan-1.5': did you mean gfpgan-1.4?"
    ),
    f"{PHOTO} -o result.xyz": (
        "revisage restore: result.xyz: .xyz cannot be written; use .jpg, .png, .webp or .tif"
    ),
    f"{PHOTO} -o {PHOTO}": (
        "revisage restore: grandmother.jpg is the original and is never written to: choose another name"
    ),
    "models pul gfpgan-1.4": "revisage models: there is no 'pul': did you mean pull?",
    "degrade album out --recipe oldphoto": "revisage degrade: no recipe 'oldphoto': did you mean old-photo?",
    "serve --port 99999": "revisage serve: --port 99999: give a number from 0 to 65535",
    "serve --port abc": "revisage serve: --port abc: give a number from 0 to 65535",
    "serve --token-file tokens": (
        "revisage serve: --token-file tokens cannot be read (No such file or directory)"
    ),
    f"serve --data {PHOTO}": (
        "revisage serve: grandmother.jpg cannot be made a folder (File exists): choose another"
    ),
    r"C:\Users\Anna\photo.jpg": (
        r"revisage restore: C:\Users\Anna\photo.jpg is a path of Windows: give one of this system, in WSL "
        "/mnt/c/Users/Anna/photo.jpg"
    ),
    rf"{PHOTO} -o D:\new.jpg": (
        r"revisage restore: D:\new.jpg is a path of Windows: give one of this system, in WSL /mnt/d/new.jpg"
    ),
    rf"album\..\{PHOTO}": (
        rf"revisage restore: album\..\{PHOTO} does not exist: did you mean album/../{PHOTO}?"
    ),
    "http://example.org/photo.jpg": (
        "revisage restore: http://example.org/photo.jpg is an address of the web: give a file of this machine"
    ),
    f"{PHOTO} -o https://example.org/": (
        "revisage restore: https://example.org/ is an address of the web: give a file of this machine"
    ),
    "~/photo.jpg": "revisage restore: HOME/photo.jpg does not exist",
    "~/*.jpg": "revisage restore: nothing matches ~/*.jpg",
    f"restore {PHOTO} out.jpg": (
        "revisage restore: out.jpg does not exist; if the result is to go there: -o out.jpg"
    ),
    "album results": "revisage restore: results does not exist; if the result is to go there: -o results",
    f"{PHOTO} -o /proc/new": (
        "revisage restore: nothing can be written to /proc (No such file or directory): choose another place "
        "with -o"
    ),
    f"{PHOTO} -o {PHOTO}/new.jpg": (
        "revisage restore: nothing can be written to grandmother.jpg (Not a directory): choose another place "
        "with -o"
    ),
    f"scans -o {PHOTO}": "revisage restore: grandmother.jpg is a file: several photos need a folder",
    "scans -o new.jpg": ("revisage restore: new.jpg is the name of one photo: several photos need a folder"),
    f"{PHOTO} --strength 50": "revisage restore: --strength 50: give a number from 0 to 1, such as 0.5",
    f"{PHOTO} --face 120,80": (
        "revisage restore: face '120,80': give X,Y,W,H in pixels, such as 120,80,60,75"
    ),
    f"{PHOTO} --aligned --face 1,1,9,9": (
        "revisage restore: face is for photos, and an aligned picture is one face as a whole: leave out "
        "either"
    ),
    f"{PHOTO} scans --face 1,1,9,9": (
        "revisage restore: --face and --mask are for one photo: name that photo alone, one in each run"
    ),
    "split scans -o out": (
        "revisage split: name scans, not a folder of them, and a folder for the prints with -o"
    ),
    f"split {PHOTO} album/{PHOTO} -o out": (
        "revisage split: several scans are called grandmother: give each a folder of its own"
    ),
    f"{PHOTO} --report -": "revisage restore: --report - is no file: name a file, such as report.json",
    f"{PHOTO} -- --strength 0.5": (
        "revisage restore: --strength stands behind --, where names of files stand: put it before"
    ),
    f"{PHOTO} --model mine.onnx": "revisage restore: mine.onnx does not exist",
    f"{PHOTO} --model GFPGANv1.4.pth": (
        "revisage restore: GFPGANv1.4.pth is no model: `revisage models import GFPGANv1.4.pth` makes one "
        "of it"
    ),
    f"{PHOTO} --model {PHOTO}": (
        "revisage restore: no model is called 'grandmother.jpg'; `revisage models list` shows the known ones"
    ),
    f"models import {PHOTO}": (
        "revisage models: grandmother.jpg is no model: give an .onnx file, as `revisage export` makes it, a "
        "checkpoint (.pth, .safetensors), or ncnn's .param file with its .bin file beside it"
    ),
    "models import mine.pth": "revisage models: mine.pth does not exist",
    "models pull gfpgan1.4": "revisage models: no model is called 'gfpgan1.4': did you mean gfpgan-1.4?",
    "models pull nonsense": (
        "revisage models: no model is called 'nonsense'; `revisage models list` shows the known ones"
    ),
}

TRAINING_MISTAKES = {
    "gfpgn --data album": (
        "SYSTEM gfpgn: choose one of prior, gfpgan, realesrgan, progressive, damage, tone, finder, "
        "identity, expressions"
    ),
    "gfpgan --data album --preset big": (
        "no preset 'big' for gfpgan; there are compact-256, reconstruction-256, unet-256, gpu-256, "
        "paper-512, tiny"
    ),
    "gfpgan --data album --set houers=2": "no setting 'houers': did you mean hours?",
    "gfpgan --data album --set hours=two": "hours must be a number, got 'two'",
    "gfpgan --data albun": "no folder albun: give the folder that holds the training pictures",
    "gfpgan --data album": "no pictures in album: give the folder that holds the training pictures",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "album").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    Image.fromarray(np.full((160, 160, 3), 120, np.uint8)).save(tmp_path / PHOTO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("line", "message"), MISTAKES.items())
def test_a_mistake_is_told_in_one_line(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("great aunt.jpg", "-dash.jpg", "--repair.jpg"):
        Path(name).touch()
    Path("dangling.jpg").symlink_to("nowhere.jpg")
    Path("scans").mkdir()
    Path("scans", "may.jpg").touch()
    assert main(line.split()) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", message.replace("HOME", str(Path("home").resolve())) + "\n")
    assert not list(Path().glob("*restored*"))


@pytest.mark.parametrize(("line", "message"), TRAINING_MISTAKES.items())
def test_a_mistake_in_a_training_is_told_in_one_line(
    line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    assert main(["train", *line.split(), "--out", "run"]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", f"revisage train: {message}\n")
    assert not Path("run").exists()


def test_a_port_that_is_taken_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("uvicorn")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port)]) == 2
    why = f"--host 127.0.0.1 --port {port}: Address already in use; choose another, or leave it out"
    assert capsys.readouterr().err == f"revisage serve: {why}\n"


@pytest.mark.parametrize(
    ("source", "changes", "error", "message"),
    [
        ("", {}, UsageError, "the name of a file or folder is empty"),
        (
            "http://example.org/photo.jpg",
            {},
            UsageError,
            "http://example.org/photo.jpg is an address of the web: give a file of this machine",
        ),
        ("grandmothr.jpg", {}, PhotoError, "grandmothr.jpg does not exist: did you mean grandmother.jpg?"),
        (
            np.zeros((8, 8, 3)),
            {},
            UsageError,
            "the array must be uint8 or uint16 over the full range, not float64; "
            "(255 * array).round().astype('uint8') is of 0 to 1",
        ),
        (
            np.zeros((3, 8, 8), np.uint8),
            {},
            UsageError,
            "the array must be (H, W) or (H, W, 1 to 4), not (3, 8, 8): np.moveaxis(array, 0, -1)",
        ),
        (PHOTO, {"strength": 50}, UsageError, "strength 50: give a number from 0 to 1, such as 0.5"),
        (PHOTO, {"strength": "high"}, UsageError, "strength 'high': give a number from 0 to 1"),
        (
            PHOTO,
            {"face": (120, 80)},
            UsageError,
            "face '120,80': give X,Y,W,H in pixels, such as 120,80,60,75",
        ),
    ],
)
def test_a_mistake_in_python_is_a_typed_error(
    source: str | np.ndarray, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as told:
        Restorer(models=StubModels(face=same)).restore(source, **changes)
    assert str(told.value) == message


def test_one_box_need_not_be_in_a_list() -> None:
    assert RestoreOptions(face=(120, 80, 60, 75)) == RestoreOptions(face=((120, 80, 60, 75),))


def test_a_box_may_begin_left_of_the_photo() -> None:
    options = parse(command.Options, "restore", [PHOTO, "--face", "-20,-5,60,75", "--straighten", "-.5"])
    assert (options.restoring.face, options.restoring.straighten) == (("-20,-5,60,75",), -0.5)


@pytest.mark.parametrize("arguments", [[""], [PHOTO, "-o", ""], [PHOTO, "--report", ""]])
def test_an_empty_name_is_not_the_folder_one_is_in(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", *arguments]) == 2
    assert "is empty" in capsys.readouterr().err
    assert not list(Path("..").glob("*restored*"))


@pytest.mark.parametrize("name", ["scans.x", "of.jpg"])
def test_a_place_with_a_slash_at_its_end_is_a_folder(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=StubModels(face=same)))
    assert main(["restore", PHOTO, "-o", f"new/{name}/"]) == 0
    assert Path("new", name, PHOTO).is_file()


def test_behind_two_dashes_a_name_may_begin_with_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=StubModels(face=same)))
    (folder / PHOTO).rename(folder / "-odd.jpg")
    assert main(["--scale", "1", "--", "-odd.jpg"]) == 0
    assert (folder / "-odd.restored.jpg").is_file()


def test_a_face_that_is_not_there_and_a_file_that_is_no_photo_cost_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    models = StubModels(face=same, faces=[face_at(80, 80, 60)])
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))
    assert main([PHOTO, "--faces", "2"]) == 1
    line = "grandmother.jpg: there is no face 2: 1 face found, counted from 1, left to right\n"
    assert capsys.readouterr().err == line
    (folder / "letter.jpg").write_text("Dear all")
    assert main(["*.jpg"]) == 1
    told = capsys.readouterr()
    assert told.out.startswith("grandmother.jpg -> grandmother.restored.jpg  1 of 1 face, ")
    assert told.err.startswith("letter.jpg: ")
    (folder / "photos.zip").write_bytes(b"PK\3\4")
    assert main(["photos.zip"]) == 1
    line = "photos.zip: it is an archive or a document: take the photos out of it first\n"
    assert capsys.readouterr().err == line


def test_a_folder_goes_beside_itself_and_its_results_are_no_photos(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=StubModels(face=same)))
    (folder / "album" / "may").mkdir()
    (folder / PHOTO).rename(folder / "album" / "may" / PHOTO)
    assert main(["album"]) == 0
    assert [path.name for path in (folder / "album.restored" / "may").iterdir()] == [PHOTO]
    assert main([".", "-o", "all", "--resume"]) == 0
    found = {path.relative_to(folder / "all").as_posix() for path in (folder / "all").rglob("*.jpg")}
    assert found == {f"album/may/{PHOTO}"}
    monkeypatch.chdir(folder / "album")
    assert main(["."]) == 0, "its results of before are its own"


def test_the_help_has_three_groups_and_three_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", "--help"]) == 0
    text = capsys.readouterr().out
    assert [line for line in text.splitlines() if line.endswith(":") and line[0] != " "] == [
        "arguments:",
        "everyday:",
        "large jobs:",
        "expert:",
        "examples:",
    ]
    assert (
        text.index("--strength") < text.index("large jobs:") < text.index("--resume") < text.index("expert:")
    )
    assert text.partition("examples:\n")[2].count("  revisage ") == 3
