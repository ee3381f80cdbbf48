"""`revisage degrade`: exit codes, names, seeds, and one bad file among good ones."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from revisage import cli
from revisage.cli import degrade as command
from revisage.cli.degrade import degraded
from revisage.errors import SaveError
from revisage.image import Photo, decode, encode, save
from revisage.lab.degrade import RECIPES, Chain
from revisage.lab.degrade.ageing import Toning
from revisage.lab.degrade.colour import Gray


def main(arguments: list[str]) -> int:
    return cli.main(["degrade", *arguments])


def clean(gray: bool = False, deep: bool = False, seed: int = 0) -> Photo:
    ramp = np.linspace(0, 1, 48)[:, None] * np.linspace(0.2, 1, 64)
    pixels = np.stack([ramp, ramp if gray else ramp[::-1], ramp if gray else 1 - ramp], axis=2)
    top, kind = (65535, np.uint16) if deep else (255, np.uint8)
    return Photo(np.rint(np.roll(pixels, seed, axis=1) * top).astype(kind), gray=gray)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "clean"
    for seed, name in enumerate(("a.jpg", "a.png", "below/b.webp", "c.tif")):
        save(clean(seed=seed), source / name)
    (source / "notes.txt").write_text("not a photo")
    return source


def outcome(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_a_folder_gives_one_lossless_copy_of_each_photo(folder: Path, tmp_path: Path) -> None:
    before = outcome(folder)
    out = tmp_path / "out"
    assert main([str(folder), str(out), "--recipe", "gfpgan", "--seed", "3"]) == 0
    assert sorted(outcome(out)) == ["a.jpg.png", "a.png", "below/b.png", "c.tif"]
    assert outcome(folder) == before
    low = decode(out / "below/b.png").pixels
    assert low.shape == (48, 64, 3)
    assert not np.array_equal(low, decode(folder / "below/b.webp").pixels)


def test_a_photo_of_the_folder_is_no_place_for_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "a.png":
            path.unlink()
    assert main([str(folder), str(folder / "a.png")]) == 2
    assert f"{folder / 'a.png'} is a file: several photos need a folder" in capsys.readouterr().err


def test_a_photo_depends_on_its_name_and_the_seed_only(folder: Path, tmp_path: Path) -> None:
    def degrade(source: Path, out: str, seed: int) -> Path:
        assert main([str(source), str(tmp_path / out), "--recipe", "old-photo", "--seed", str(seed)]) == 0
        return tmp_path / out

    together = degrade(folder, "together", 1)
    alone = degrade(folder / "a.png", "alone.png", 1)
    assert np.array_equal(decode(alone).pixels, decode(together / "a.png").pixels)
    (folder / "a.jpg").unlink()
    assert outcome(degrade(folder, "fewer", 1))["c.tif"] == outcome(together)["c.tif"]
    assert outcome(degrade(folder, "other", 2))["c.tif"] != outcome(together)["c.tif"]


def test_one_bad_file_does_not_stop_the_rest(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    out = tmp_path / "out"
    assert main([str(folder), str(out), "--recipe", "first-order"]) == 1
    errors = capsys.readouterr().err
    assert "a.jpg: " in errors
    assert "Traceback" not in errors
    assert sorted(outcome(out)) == ["a.png", "below/b.png", "c.tif"]


def test_bad_usage_is_told_and_returns_two(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "out")
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments, says in (
        ([str(folder), out, "--recipe", "unknown"], "unknown"),
        ([str(folder), out, "--seed", "-1"], "--seed"),
        ([str(tmp_path / "nowhere"), out], "does not exist"),
        ([str(empty), out], "no photos"),
        ([str(folder), str(folder)], "originals"),
        ([str(folder / "a.png"), str(folder / "a.png")], "original"),
        ([str(folder), str(folder / "a.png")], "is a file"),
        ([], "missing: SRC, OUT"),
    ):
        assert main(arguments) == 2, arguments
        assert says in capsys.readouterr().err, arguments
    assert not Path(out).exists()
    assert main(["--help"]) == 0


def test_results_inside_the_source_are_not_degraded_again(folder: Path) -> None:
    out = folder / "degraded"
    for _ in range(2):
        assert main([str(folder), str(out), "--recipe", "gfpgan"]) == 0
    assert len(outcome(out)) == 4


def test_depth_transparency_and_gray_are_kept(tmp_path: Path) -> None:
    photo = clean(gray=True, deep=True)
    alpha = np.linspace(0, 65535, 48 * 64).astype(np.uint16).reshape(48, 64)
    save(replace(photo, alpha=alpha, dpi=(300.0, 300.0)), tmp_path / "deep.png")
    assert main([str(tmp_path / "deep.png"), str(tmp_path / "low.png"), "--recipe", "gfpgan"]) == 0
    low = decode(tmp_path / "low.png")
    assert low.pixels.dtype == np.uint16
    assert low.dpi == pytest.approx((300, 300), abs=0.1)
    assert low.alpha is not None
    np.testing.assert_array_equal(low.alpha, alpha)


def test_a_gray_photo_that_was_toned_is_gray_no_longer() -> None:
    photo = clean(gray=True)
    sepia = Toning((0.05, 0.03, 0.01), (0.58, 0.49, 0.37), (1.0, 0.95, 0.8))
    assert degraded(photo, RECIPES["old-photo"], Chain((Gray(),))).gray
    assert not degraded(photo, RECIPES["old-photo"], Chain((sepia,))).gray
    assert not degraded(clean(), RECIPES["old-photo"], Chain((Gray(),))).gray


def test_what_a_copy_does_not_have_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a.tif"
    source.write_bytes(
        encode(replace(clean(), dpi=(300.0, 300.0)), format="TIFF", further=[clean(), clean()])
    )
    assert main([str(source), str(tmp_path / "b.webp")]) == 0
    told = capsys.readouterr().err
    assert f"{source}: 2 of its 3 pages are left out" in told
    assert f"{source}: its resolution cannot go into WEBP" in told


def test_a_full_disk_ends_the_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(photo: Photo, path: Path, **options: object) -> Path:
        raise SaveError(f"{path} cannot be written") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(command, "save", full)
    assert main([str(folder), str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert told.count("cannot be written") == 1
    assert "the disk is full" in told
