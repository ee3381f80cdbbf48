"""A photo that a scene model mostly leaves alone is left alone; one that it changes everywhere is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from restore_stubs import StubModels, StubSession, twice

from revisage import RestoreOptions, Restorer
from revisage.image import decode
from revisage.options import Settings
from revisage.restore import InstalledModels, SceneModel
from revisage.restore.sparing import left_alone, spare


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(40, 200, (300, 260, 3), np.uint8)


def changed(pixels: np.ndarray, share: float) -> np.ndarray:
    """A copy that is darker from the top down to a share of its height."""
    canvas = pixels.copy()
    canvas[: round(share * len(canvas))] -= pixels.dtype.type(10 * (np.iinfo(pixels.dtype).max // 255))
    return canvas


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("share", [0, 0.25, 0.5, 1])
def test_the_share_of_blocks_left_alone(photo: np.ndarray, depth: type, share: float) -> None:
    pixels = photo.astype(depth) * depth(np.iinfo(depth).max // 255)
    assert left_alone(changed(pixels, share), pixels).mean() == pytest.approx(1 - share, abs=0.06)


def test_plain_blocks_do_not_count(photo: np.ndarray) -> None:
    photo[160:] = 128
    assert left_alone(changed(photo, 0.6), photo).max() < 0.05
    plain = np.full_like(photo, 90)
    assert left_alone(plain, plain).max() == 0, "nothing says that it needs no cleaning"
    assert spare(photo[:9].copy(), photo[:9], 0.5) == 1


@pytest.mark.parametrize("times", [(1, 1), (6, 6), (14, 14)])
def test_patches_go_and_a_damaged_print_on_a_page_stays(photo: np.ndarray, times: tuple[int, int]) -> None:
    page = np.tile(photo, (*times, 1))
    patchy = page.copy()
    patchy[100:200, 90:170] -= 10
    share = spare(patchy, page, 0.5)
    assert np.array_equal(patchy, page)
    assert share == 0
    cleaned = page.copy()
    cleaned[: len(page) // 2, : page.shape[1] // 2] -= 10
    kept = cleaned.copy()
    share = spare(kept, page, 0.5)
    if len(page) > 1000:  # the middle of the print stays cleaned, what is far away as it was
        within = np.s_[: len(page) // 2 - 400, : page.shape[1] // 2 - 400]
        assert np.array_equal(kept[within], cleaned[within])
        assert 0.05 < share < 0.5


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_what_is_taken_back_fades_in(photo: np.ndarray, depth: type) -> None:
    pixels = photo.astype(depth) * depth(np.iinfo(depth).max // 255)
    scattered = np.random.default_rng(1).random((19, 17)).repeat(16, 0).repeat(16, 1)[:300, :260, None]
    step, stays = depth(np.iinfo(depth).max // 255 * 10), {}
    for share in (0.08, 0.3, 0.6):
        cleaned = np.where(scattered < share, pixels - step, pixels)
        canvas = cleaned.copy()
        stays[share] = spare(canvas, pixels, 0.5)
        assert (np.abs(canvas.astype(int) - pixels) <= np.abs(cleaned.astype(int) - pixels)).all()
        assert np.array_equal(canvas, pixels) == (stays[share] == 0)
        assert np.array_equal(canvas, cleaned) == (stays[share] == 1)
    assert stays[0.08] == 0 < stays[0.3] < stays[0.6] == 1
    few = np.where(scattered < 0.08, pixels - step, pixels)
    assert spare(few.copy(), pixels, 0.875) == 0.75
    assert spare(few.copy(), pixels, 1) == 1


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

    with Restorer(models=Models()) as restorer:
        result = restorer.restore(photo, RestoreOptions(scale=1, clean=clean, colour="keep"))
        again = restorer.analyse(photo, RestoreOptions(scale=1, clean=1)).render(clean=clean)
    change = photo[:10].astype(int) - result.photo.pixels[:10]
    assert change.mean() == pytest.approx(10 * kept, abs=0.6)
    assert (f"{kept:.0%} of what it would change" in result.background) == (kept < 1)
    assert again.background == result.background
    assert again.changed_by == result.changed_by == (("stub-scene 1",) if kept else ()), "of the label"


@pytest.mark.parametrize("precision", ["auto", "fp32"])
def test_sharp_fur_and_halftone_stay_as_they_are(shared: Path, precision: str) -> None:
    data = shared / "data"
    scene = InstalledModels(Settings()).scene()
    assert scene is not None
    in_8_bits = precision == "auto" and scene.session.info.precision == "fp32"  # a CPU without bf16
    least = 40 if in_8_bits else 42
    with Restorer(precision=precision) as restorer:
        for file in (data / "scenes_more" / "tiger_cat.webp", data / "portraits" / "manual-010180.jpg"):
            photo = decode(file).pixels
            result = restorer.restore(photo, RestoreOptions(scale=1, strength=0))
            error = np.square(result.photo.pixels / 255 - photo / 255.0).mean()
            assert -10 * np.log10(error + 1e-9) > least, file.name
