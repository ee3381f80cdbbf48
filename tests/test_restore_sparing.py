"""A photo that a scene model mostly leaves alone is left alone; one that it changes everywhere is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from restore_stubs import StubModels, StubSession, twice

from revisage import RestoreOptions, Restorer
from revisage.image import decode
from revisage.restore import SceneModel
from revisage.restore.sparing import left_alone, spare


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(40, 200, (600, 250, 3), np.uint8)


def changed(pixels: np.ndarray, share: float) -> np.ndarray:
    """A copy that is darker from the top down to a share of its height."""
    canvas = pixels.copy()
    canvas[: round(share * len(canvas))] -= pixels.dtype.type(10 * (np.iinfo(pixels.dtype).max // 255))
    return canvas


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("share", [0, 0.25, 0.5, 1])
def test_the_share_of_blocks_left_alone(photo: np.ndarray, depth: type, share: float) -> None:
    pixels = photo.astype(depth) * depth(np.iinfo(depth).max // 255)
    assert left_alone(changed(pixels, share), pixels) == pytest.approx(1 - share, abs=0.03)


def test_plain_blocks_do_not_count(photo: np.ndarray) -> None:
    photo[300:] = 128
    assert left_alone(changed(photo, 0.5), photo) == pytest.approx(0, abs=0.03)
    plain = np.full_like(photo, 90)
    assert left_alone(plain, plain) == 0, "nothing says that it needs no cleaning"
    assert left_alone(photo[:9], photo[:9]) == 0


def test_large_photos_are_looked_at_in_part(photo: np.ndarray) -> None:
    large = np.tile(photo, (4, 12, 1))
    assert left_alone(changed(large, 0.5), large) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_what_is_taken_back_fades_in(photo: np.ndarray, depth: type) -> None:
    pixels = photo.astype(depth) * depth(np.iinfo(depth).max // 255)
    stays = {}
    for share in (0.1, 0.3, 0.5):
        canvas = changed(pixels, share)
        stays[share] = spare(canvas, pixels, 0.5)
        expected = pixels + stays[share] * (changed(pixels, share).astype(float) - pixels)
        assert np.abs(canvas - expected).max() <= 1
    assert stays[0.1] == 0 < stays[0.3] < stays[0.5] == 1
    assert spare(changed(pixels, 0.1), pixels, 0.875) == 0.75
    assert spare(changed(pixels, 0.1), pixels, 1) == 1


@pytest.mark.parametrize(
    ("share", "clean", "kept"), [(0.1, 0.5, 0), (0.1, 0.2, 0), (0.1, 0.75, 0.5), (0.1, 1, 1), (1, 0.5, 1)]
)
def test_patches_only_stay_where_more_is_asked_for(
    photo: np.ndarray, share: float, clean: float, kept: float
) -> None:
    def darker(tile: np.ndarray) -> np.ndarray:
        top = np.arange(len(tile))[:, None, None] < share * len(tile)
        return np.where(top, tile[..., :3] - 10 / 255, tile[..., :3])

    class Models(StubModels):
        def scene(self) -> SceneModel:
            one = SceneModel(StubSession(darker), "stub-scene 1", 1, 0, control=True)
            return SceneModel(StubSession(twice), "stub 1", 2, 0, control=True, same_size=lambda: one)

    photo = photo[:400]
    with Restorer(models=Models()) as restorer:
        result = restorer.restore(photo, RestoreOptions(scale=1, clean=clean, colour="keep"))
    change = photo[:20].astype(int) - result.photo.pixels[:20]
    assert change.mean() == pytest.approx(10 * kept, abs=0.6)
    assert (f"{kept:.0%} of what it would change" in result.background) == (kept < 1)


def test_sharp_fur_and_halftone_stay_as_they_are(shared: Path) -> None:
    data = shared / "data"
    with Restorer() as restorer:
        for file in (data / "scenes_more" / "tiger_cat.webp", data / "portraits" / "manual-010180.jpg"):
            photo = decode(file).pixels
            result = restorer.restore(photo, RestoreOptions(scale=1, strength=0))
            error = np.square(result.photo.pixels / 255 - photo / 255.0).mean()
            assert -10 * np.log10(error + 1e-9) > 42, file.name
