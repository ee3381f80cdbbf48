"""Photos through pipes, results in a chosen format, dates and names of files."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from restore_stubs import StubModels, same, twice

from revisage.batch import plan_photos
from revisage.cli import main
from revisage.cli import restore as command
from revisage.image import output_paths
from revisage.restore import Restorer

PLAIN = ["--model", "none", "--scene", "none", "--scale", "1"]
FORMATS = {
    "jxl": ("JXL", ".jxl"),
    "jpeg": ("JPEG", ".jpg"), "jpg": ("JPEG", ".jpg"), "png": ("PNG", ".png"), "webp": ("WEBP", ".webp"),
    "tiff": ("TIFF", ".tif"), "bmp": ("BMP", ".bmp"), "heic": ("HEIF", ".heic"), "avif": ("AVIF", ".avif"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _stub_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    models = StubModels(face=same, scene=twice)
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))


def photo(path: Path, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 100, 50)).save(path)
    return path


def opened(path: Path) -> Image.Image:
    import pillow_heif
    import pillow_jxl  # noqa: F401

    pillow_heif.register_heif_opener()
    return Image.open(path)


def run(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "revisage", "restore", *arguments, *PLAIN],
        input=data,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


# Formats


@pytest.mark.parametrize("format", FORMATS)
def test_a_folder_and_a_photo_in_a_chosen_format(tmp_path: Path, format: str) -> None:
    kind, suffix = FORMATS[format]
    photo(tmp_path / "in" / "a.png")
    photo(tmp_path / "in" / "b" / "c.bmp")
    assert main(["restore", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--format", format]) == 0
    for name in ("a", "b/c"):
        assert opened(tmp_path / "out" / f"{name}{suffix}").format == kind
    assert main(["restore", str(photo(tmp_path / "d.png")), "--format", format]) == 0
    assert opened(tmp_path / f"d.restored{suffix}").format == kind


def test_a_format_keeps_the_extension_that_it_has_and_no_two_results_share_a_name(tmp_path: Path) -> None:
    sources = [photo(tmp_path / name) for name in ("a.jpeg", "a.png", "b.JPG")]
    jobs = plan_photos(sources, tmp_path / "out", format="JPEG")
    assert [job.target.name for job in jobs] == ["a.jpeg", "a.jpg", "b.JPG"]


def test_a_name_of_another_format_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = photo(tmp_path / "a.png")
    assert main(["restore", str(source), "-o", str(tmp_path / "b.png"), "--format", "jpeg"]) == 2
    assert "no name for the format JPEG" in capsys.readouterr().err
    assert main(["restore", str(source), "-o", str(tmp_path / "b.jpg"), "--format", "jpeg"]) == 0
    assert main(["restore", str(source), "--format", "gif"]) == 2


# Streams


@pytest.mark.parametrize("out", ["-", "/dev/stdout"])
def test_a_photo_goes_through_pipes(tmp_path: Path, out: str) -> None:
    source = photo(tmp_path / "a.jpg")
    done = run("-", "-o", out, "--format", "png", data=source.read_bytes())
    assert done.returncode == 0, done.stderr
    assert Image.open(io.BytesIO(done.stdout)).format == "PNG"
    assert b"- -> -" in done.stderr
    done = run(str(source), "-o", out)
    assert Image.open(io.BytesIO(done.stdout)).format == "JPEG"  # as the photo


def test_only_one_side_may_be_a_pipe(tmp_path: Path) -> None:
    source, report = photo(tmp_path / "a.webp"), tmp_path / "r.json"
    target = tmp_path / "b.tif"
    done = run("-", "-o", str(target), "--report", str(report), data=source.read_bytes())
    assert done.returncode == 0, done.stderr
    assert Image.open(target).format == "TIFF"
    assert json.loads(report.read_text())["photos"][0]["input"] == "-"
    assert run("-", data=b"no photo").returncode == 1
    assert run("-", data=b"").returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "a.png"], "take one photo"),
        (["-", "-o", "folder"], "has no name"),
        ([".", "-o", "-"], "is a folder"),
        (["-", "-o", "a.xyz"], ".xyz cannot be written"),
        (["-", "--processes", "2"], "goes with none of"),
        (["missing.png", "-o", "-"], "does not exist"),
    ],
)
def test_streams_that_make_no_sense_are_bad_usage(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    photo(tmp_path / "a.png")
    assert main(["restore", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_named_pipe_and_a_device_take_results(tmp_path: Path) -> None:
    source, pipe = photo(tmp_path / "a.png"), tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    assert main(["restore", str(source), "-o", str(pipe)]) == 0
    assert Image.open(io.BytesIO(reader.communicate(timeout=10)[0])).size == (80, 60)
    assert main(["restore", str(source), "-o", os.devnull]) == 0


# Dates and names


@pytest.mark.parametrize(
    ("choice", "kept"), [([], True), (["--date", "keep"], True), (["--date", "now"], False)]
)
def test_the_date_of_the_file_is_kept_unless_told(tmp_path: Path, choice: list[str], kept: bool) -> None:
    source, day = photo(tmp_path / "in" / "a.jpg"), 86_400 * 365
    os.utime(source, (day, day))
    assert main(["restore", str(tmp_path / "in"), "-o", str(tmp_path / "out"), *choice]) == 0
    assert ((tmp_path / "out" / "a.jpg").stat().st_mtime == day) == kept
    result = Restorer(models=StubModels(scene=twice)).restore(source)
    saved = result.save(tmp_path / "b.jpg", date="keep" if kept else "now")
    assert (saved.stat().st_mtime == day) == kept


@pytest.mark.parametrize("stem", ["n" * 250, "ü" * 125, "写" * 83], ids=["ascii", "umlauts", "han"])
def test_a_name_as_long_as_a_name_may_be_gets_a_result(tmp_path: Path, stem: str) -> None:
    source = photo(tmp_path / f"{stem}.png")
    assert main(["restore", str(source)]) == 0
    [result] = [path for path in tmp_path.glob("*.png") if path != source]
    assert result.name.endswith(".restored.png")
    assert len(os.fsencode(result.name)) <= 255
    assert main(["restore", *map(str, tmp_path.glob("*.png"))]) == 0  # twice: nothing but the same again
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_long_names_that_are_alike_are_told_apart() -> None:
    sources = [Path("/in") / ("n" * 249 + ending) for ending in ("a.png", "b.png")]
    names = [path.name for path in output_paths(sources)]
    assert len(set(names)) == 2
    assert all(len(name) <= 255 for name in names)
