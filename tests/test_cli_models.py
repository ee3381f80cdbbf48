"""`revisage models`: what it prints, where, and its exit codes."""

import hashlib
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest
from onnx_files import CONTRACT, model_bytes, write_model

from revisage import cli
from revisage.zoo import CATALOGUE, ModelSpec, spec, store

INSIDE = ModelSpec(
    "inside", "face", 256, 1, "1", "CC0-1.0", "inside.onnx", bytes=2**21, description="mends faces"
)
OUTSIDE = replace(
    INSIDE, name="outside", file="outside.onnx", url="http://127.0.0.1:1/outside.onnx", sha256="0" * 64
)


def main(arguments: list[str]) -> int:
    return cli.main(["models", *arguments])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty model folders and a catalogue of two; returns the user's model folder."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    monkeypatch.delenv("REVISAGE_MODELS", raising=False)
    monkeypatch.setattr(store, "EMBEDDED", tmp_path / "embedded")
    monkeypatch.setattr(spec, "EMBEDDED", tmp_path / "embedded")
    for name in list(CATALOGUE):
        monkeypatch.delitem(CATALOGUE, name)
    monkeypatch.setitem(CATALOGUE, "inside", INSIDE)
    monkeypatch.setitem(CATALOGUE, "outside", OUTSIDE)
    return tmp_path / "cache" / "models"


def embed(tmp_path: Path) -> None:
    write_model(tmp_path / "embedded" / "inside.onnx")
    (tmp_path / "embedded" / "inside.md").write_text("# inside\n\nTrained on [nothing].\n", encoding="utf-8")


def test_list_tells_what_is_here(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    embed(tmp_path)
    write_model(home / "own.onnx", CONTRACT | {"revisage.licence": "[my own]"})
    write_model(home / "bare.onnx", {})
    assert main(["list"]) == 0
    out, err = capsys.readouterr()
    rows = {line.split()[0]: line for line in out.splitlines()}
    assert list(rows) == ["NAME", "inside", "outside", "own"]
    assert "embedded" in rows["inside"]
    assert "mends faces" in rows["inside"]
    assert "not installed" in rows["outside"]
    assert "2.0 MiB" in rows["outside"]
    assert "installed" in rows["own"]
    assert "[my own]" in rows["own"]
    assert err.startswith("ignored: ")
    assert "bare.onnx" in err


def test_info_of_an_embedded_model_ends_with_its_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    embed(tmp_path)
    assert main(["info", "inside"]) == 0
    out = capsys.readouterr().out
    for words in ("256 x 256 px", "x1", "CC0-1.0", "embedded", str(tmp_path / "embedded" / "inside.onnx")):
        assert words in out
    assert out.endswith("# inside\n\nTrained on [nothing].\n")


def test_info_of_a_model_that_is_not_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "outside"]) == 0
    out = capsys.readouterr().out
    for words in ("not installed", "2.0 MiB", OUTSIDE.url or "", "0" * 64):
        assert words in out


def test_info_of_ones_own(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(home / "own.onnx")
    assert main(["info", "own"]) == 0
    assert "any size" in capsys.readouterr().out


def test_import_then_list(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_model(tmp_path / "export.onnx")
    assert main(["import", str(source)]) == 0
    assert main(["import", str(source), "--as", "second"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"mine: {home / 'mine.onnx'}",
        f"second: {home / 'second.onnx'}",
    ]


def test_pull_of_what_is_here_says_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    embed(tmp_path)
    assert main(["pull", "inside"]) == 0
    assert capsys.readouterr().out == f"inside: {tmp_path / 'embedded' / 'inside.onnx'}\n"


def test_pull_goes_on_after_a_failure(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    embed(tmp_path)
    data = model_bytes()
    home.mkdir(parents=True)
    (home / "outside.onnx").write_bytes(data)
    monkeypatch.setitem(
        CATALOGUE, "here", replace(OUTSIDE, name="here", sha256=hashlib.sha256(data).hexdigest())
    )
    monkeypatch.setattr("revisage.zoo.fetch.time.sleep", lambda _: None)
    assert main(["pull", "outside", "here", "inside"]) == 1
    out, err = capsys.readouterr()
    assert [line.split(":")[0] for line in out.splitlines()] == ["here", "inside"]
    assert len(err.splitlines()) == 1
    for words in ("outside.onnx", OUTSIDE.url or "", str(home)):
        assert words in err


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["info", "nobody"], 2),
        (["pull", "nobody"], 2),
        (["pull", "inside", "nobody"], 2),
        (["pull"], 2),
        (["pull", "inside"], 1),
        (["import", "weights.zip"], 2),
        (["import", "none.pth"], 2),
        (["import", "none.onnx"], 2),
    ],
)
def test_errors_are_one_line_on_stderr(
    argv: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("revisage models")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("argv", "code"), [(["--help"], 0), (["import", "--help"], 0), ([], 2), (["dance"], 2), (["info"], 2)]
)
def test_usage(argv: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == code
    out, err = capsys.readouterr()
    assert bool(out) == (code == 0)
    assert bool(err) == (code == 2)
