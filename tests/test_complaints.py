"""What people complain of in other tools, where no test of one room shows it: whole photos, whole commands.

Out of memory, a background skipped on CPUs, weights and caches dropped into the working directory, turned
photos and lost metadata, faces returned unrestored without a word.
"""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from restore_stubs import StubModels, face_at, same, twice

from revisage.cli import main
from revisage.cli import restore as command
from revisage.restore import Restorer

WINDOW = 640  # pixels of a tile's side with its halo
ORIENTATION, MAKER, GPS = 0x112, 0x10F, 0x8825


def restorer_of(monkeypatch: pytest.MonkeyPatch, models: StubModels) -> None:
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))


@pytest.mark.parametrize("scale", [1, 2])
def test_memory_is_the_result_and_one_tile_whatever_the_photos_size(scale: int) -> None:
    pixels = np.full((1500, 2000, 3), 90, np.uint8)
    models = StubModels(face=same, scene=twice, faces=[face_at(900, 700, 1200), face_at(300, 300, 80)])
    shared = Restorer(models=models)
    tracemalloc.start()
    try:
        result = shared.restore(pixels, scale=scale)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert models.scene_session is not None
    assert max(max(shape[2:]) for shape in models.scene_session.batches) <= WINDOW
    tile = (2 * WINDOW) ** 2 * 3 * 4
    assert peak < pixels.nbytes + result.pixels.nbytes + 5 * tile


def test_a_cpu_restores_the_background_too() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8)
    result = Restorer(device="cpu").restore(pixels, scale=2)
    plain = Restorer(scene="none", device="cpu").restore(pixels, scale=2)
    assert (result.background, plain.background) == ("model x2", "lanczos")
    assert np.abs(result.pixels.astype(int) - plain.pixels).mean() > 2


def test_nothing_is_written_but_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 48), (200, 100, 50)).save("a.png")
    assert main(["restore", "a.png"]) == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.png", "a.restored.png"]


@pytest.mark.parametrize("keep_gps", [False, True])
def test_a_turned_photo_comes_out_upright_with_what_it_carried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep_gps: bool
) -> None:
    upright = np.zeros((60, 100, 3), np.uint8)
    upright[:30, :50] = (220, 40, 40)  # red at the top left
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = 6, "Agfa"
    exif.get_ifd(GPS).update({1: "N", 2: (48.0, 12.0, 3.0)})
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    lying = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "a.jpg", quality=95, dpi=(300, 300), exif=exif, icc_profile=profile)
    restorer_of(monkeypatch, StubModels(face=same, scene=twice))
    arguments = ["restore", str(tmp_path / "a.jpg"), *(["--keep-gps"] if keep_gps else [])]
    assert main(arguments) == 0
    with Image.open(tmp_path / "a.restored.jpg") as image:
        assert image.size == (200, 120)
        corner, opposite = image.getpixel((20, 20)), image.getpixel((180, 100))
        found = image.getexif()
        assert found.get(ORIENTATION, 1) == 1
        assert found[MAKER] == "Agfa"
        assert bool(found.get_ifd(GPS)) == keep_gps
        assert image.info["icc_profile"] == profile
        assert image.info["dpi"] == (300, 300)
    assert isinstance(corner, tuple)
    assert isinstance(opposite, tuple)
    assert corner[0] > 180
    assert max(opposite) < 30


def test_a_face_that_failed_is_named_on_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (300, 200), (120, 120, 120)).save(tmp_path / "a.png")
    models = StubModels(face=lambda crop: crop * np.nan, faces=[face_at(150, 100, 100)])
    restorer_of(monkeypatch, models)
    assert main(["restore", str(tmp_path / "a.png")]) == 0
    streams = capsys.readouterr()
    assert "0 of 1 face" in streams.out
    assert "face 1 not restored: the face model gave invalid numbers" in streams.err
