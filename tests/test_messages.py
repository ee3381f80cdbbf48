"""What the command says to typical mistakes: one line, which names only what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, face_at, same

from revisage.cli import main
from revisage.cli import restore as command
from revisage.restore import Restorer

PHOTO = "grandmother.jpg"

MISTAKES = {
    f"resotre {PHOTO}": "revisage: there is no command, photo or folder 'resotre': did you mean restore?",
    "great aunt.jpg --scale 1": (
        "revisage: there is no command, photo or folder 'great': a name with spaces goes in quotes, "
        '"great aunt.jpg"'
    ),
    f"{PHOTO} -o": "revisage restore: --out needs FILE|DIR",
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
        "revisage restore: result.xyz: .xyz is no picture format; use .jpg, .png, .webp or .tif"
    ),
    f"{PHOTO} -o {PHOTO}": (
        "revisage restore: grandmother.jpg is the original and is never written to: choose another name"
    ),
    "models pul gfpgan-1.4": "revisage models: there is no 'pul': did you mean pull?",
    "degrade album out --recipe oldphoto": "revisage degrade: no recipe 'oldphoto': did you mean old-photo?",
    "serve --port 99999": "revisage serve: --port 99999: give a number from 0 to 65535",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "album").mkdir()
    Image.fromarray(np.full((160, 160, 3), 120, np.uint8)).save(tmp_path / PHOTO)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("line", "message"), MISTAKES.items())
def test_a_mistake_is_told_in_one_line(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("great aunt.jpg").touch()
    assert main(line.split()) == 2
    told = capsys.readouterr()
    assert (told.out, told.err) == ("", message + "\n")


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
