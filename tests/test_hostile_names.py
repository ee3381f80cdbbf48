"""Names that a terminal would obey: they reach it as text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_files import CONTRACT, model_bytes
from PIL import Image

from revisage.cli import main
from revisage.cli._say import printable
from revisage.errors import PhotoError
from revisage.restore import Restorer

EVIL = "a\x1b]0;owned\x07\n\x1b[2Jb\u202e"


@given(st.text())
def test_what_is_printable_stays_and_nothing_else_is_left(text: str) -> None:
    shown = printable(text)
    assert "\n" not in shown
    assert "\x1b" not in shown
    assert all(c.isprintable() or c.isspace() for c in shown)
    if text.isprintable():
        assert shown == text


def test_names_of_other_scripts_stay() -> None:
    assert printable("Großmutter 祖母\u3000写真.jpg") == "Großmutter 祖母\u3000写真.jpg"
    assert printable("caf\udce9.jpg") == "caf\\udce9.jpg"


LONG = "a" * 300


@pytest.mark.skipif(os.name != "posix", reason="Windows says that there is no such file")
@pytest.mark.parametrize(
    "arguments",
    [
        [f"{LONG}.jpg"], ["restore", "p.png", "-o", f"{LONG}.png"], ["restore", "p.png", "--report", LONG],
        ["label", LONG], ["degrade", LONG, "out"], ["degrade", "p.png", LONG], ["split", LONG, "-o", "out"],
        ["stored", LONG], ["models", "import", f"{LONG}.onnx"], ["prepare", LONG, "out"],
    ],
)  # fmt: skip
def test_a_name_that_is_too_long_is_told_in_one_line(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("p.png")
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert told.endswith("… cannot be used (File name too long)\n")
    assert len(told) < 160
    assert os.listdir() == ["p.png"]


@pytest.mark.skipif(os.name != "posix", reason="Windows says that there is no such file")
def test_python_is_told_of_a_name_that_is_too_long() -> None:
    with pytest.raises(PhotoError, match=r"cannot be used \(File name too long\)"):
        Restorer(model="none", scene="none").restore(f"{LONG}.jpg")


@pytest.mark.skipif(os.name != "posix", reason="Windows allows no such names")
@pytest.mark.parametrize("command", ["restore", "label", "degrade", "prepare"])
def test_no_command_sends_a_name_as_it_is(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (EVIL, os.fsdecode(b"\xff\x1b[31m")):
        (folder / f"{name}.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    inputs = {
        "restore": [str(folder), "-o", str(tmp_path / "out")],
        "label": [str(folder / f"{EVIL}.jpg")],
        "degrade": [str(folder), str(tmp_path / "out"), "--recipe", "old-photo", "--seed", "1"],
        "prepare": [str(folder), str(tmp_path / "out")],
    }[command]
    assert main([command, *inputs]) in (0, 1, 2)
    said = "".join(capfd.readouterr())
    assert "\x1b" not in said
    assert "\\x1b" in said


@pytest.mark.skipif(os.name != "posix", reason="Windows allows no such names")
def test_names_that_are_no_utf8_are_told_on_a_terminal_of_ascii(tmp_path: Path) -> None:
    photo = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    photo.write_bytes(b"no photo")
    done = subprocess.run(
        [sys.executable, "-m", "revisage", "restore", str(photo), "-o", str(tmp_path / "out.jpg")],
        capture_output=True,
        check=False,
        env={
            **os.environ,
            "PYTHONIOENCODING": "ascii",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
    )
    assert done.returncode == 1
    assert b"caf\\udce9.jpg: it is not a" in done.stderr


def test_what_a_model_says_of_itself_is_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REVISAGE_MODELS", str(tmp_path))
    evil = CONTRACT | {"revisage.licence": "free\x1b[2J", "revisage.version": "1\x1b[31m"}
    (tmp_path / "m.onnx").write_bytes(model_bytes(evil))
    assert main(["models", "list"]) == 0
    assert main(["models", "info", "m"]) == 0
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.skipif(os.name != "posix", reason="Windows allows no such names")
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8:strict", "ascii"])
@pytest.mark.parametrize("options", [["--resume"], ["--no-label", "--processes", "1"]], ids=str)
def test_no_name_ends_a_batch(tmp_path: Path, encoding: str, options: list[str]) -> None:
    folder, out, report = tmp_path / os.fsdecode(b"d\xfcr"), tmp_path / "out", tmp_path / "r.json"
    folder.mkdir()
    names = [
        b"caf\xe9.png",
        b"caf\\udce9.png",
        "祖母.png".encode(),
        b"\xed\xa0\x80.png",
        EVIL.encode() + b".png",
    ]
    for name in names:
        Image.new("RGB", (40, 30)).save(folder / os.fsdecode(name))
    environment = {
        **os.environ,
        "PYTHONIOENCODING": encoding,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    command = [
        sys.executable,
        "-m",
        "revisage",
        "restore",
        str(folder),
        "-o",
        str(out),
        "--report",
        str(report),
    ]
    for run in range(2):
        done = subprocess.run(
            [*command, "--model", "none", "--scene", "none", *options],
            capture_output=True,
            check=False,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        again = "--resume" in options and run
        assert len(done.stdout.splitlines()) == (0 if again else len(names))
        assert done.stderr.startswith(b"0 restored, 0 failed, 5 done before" if again else b"5 restored")
    assert sorted(os.fsencode(path.name) for path in out.glob("*.png")) == sorted(names)
    inputs = {entry["input"] for entry in json.loads(report.read_text())["photos"]}
    assert inputs == {str(folder / os.fsdecode(name)) for name in names}
