"""Dots that a scene model adds are taken back; lines, dots of the photo and what is not finite stay. The less
a photo is to be cleaned, the more of its grain stays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from revisage import RestoreOptions, Restorer
from revisage.image import decode
from revisage.restore.dots import without_dots
from revisage.restore.grain import with_grain


def planes(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32)


@pytest.fixture
def smooth() -> np.ndarray:
    noise = np.random.default_rng(0).random((48, 64, 3))
    return planes(cv2.GaussianBlur(noise, (0, 0), 6).clip(0, 1))


def doubled(source: np.ndarray) -> np.ndarray:
    large = (cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for plane in source[0])
    return np.stack(list(large))[None]


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("change", [-0.2, 0.2])
def test_dots_are_taken_back(smooth: np.ndarray, scale: int, change: float) -> None:
    before = smooth.copy() if scale == 1 else doubled(smooth)
    dotted = before.copy()
    dotted[..., 2::8, 2::8] += change
    dotted[..., 6::8, 6::8] += change / 2
    dotted[..., 6::8, 7::8] += change / 2
    assert np.abs(without_dots(dotted, smooth) - before).max() < 0.025


def test_what_is_no_dot_stays_to_the_bit(smooth: np.ndarray) -> None:
    drawn = smooth.copy()
    drawn[..., 20, :] = 0  # a line of one pixel, an edge, and a patch of five
    drawn[..., 30:] += 0.3
    drawn[..., 4:9, 4:9] = 1.2  # networks go beyond the range
    drawn[..., 30:40, 40:50] = -0.1
    assert np.array_equal(without_dots(drawn.copy(), smooth).clip(0, 1), drawn.clip(0, 1))


@pytest.mark.parametrize("scale", [1, 2])
def test_dots_of_the_photo_stay_and_may_get_stronger(smooth: np.ndarray, scale: int) -> None:
    stars = smooth.copy() / 2
    stars[..., 5::10, 5::10] += 0.2
    same = stars if scale == 1 else doubled(stars)
    sharper = same + 0.4 * (same - np.stack([cv2.GaussianBlur(p, (0, 0), 3) for p in same[0]]))
    assert np.abs(without_dots(sharper.copy(), stars) - sharper).max() < 0.01


def test_what_is_not_finite_stays(smooth: np.ndarray) -> None:
    broken = smooth.copy()
    broken[0, :, 3, 3] = np.nan, np.inf, -np.inf
    assert (~np.isfinite(without_dots(broken, smooth))).sum() == 3


@pytest.mark.parametrize(("scale", "most"), [(1, 40), (2, 40)])
def test_hair_at_a_forehead_gets_no_dots(shared: Path, scale: int, most: int) -> None:
    photo = decode(shared / "data" / "photos" / "wq-1mse3gx.jpeg").pixels[200:600, 400:800]
    with Restorer(scene="revisage-scene-x2") as restorer:
        canvas = restorer.restore(photo, RestoreOptions(scale=scale, strength=0)).photo.pixels
    ring = np.pad(np.zeros((1, 1), np.uint8), 1, constant_values=1)
    low, high = cv2.erode(canvas, ring), cv2.dilate(canvas, ring)
    out = cv2.max(cv2.subtract(low, canvas), cv2.subtract(canvas, high)).max(axis=2)
    assert np.count_nonzero(out > 4) < most  # without: 267 and 2,503


@pytest.mark.parametrize("scale", [1, 2])
def test_grain_is_given_back_by_its_share_and_clearer_edges_stay(smooth: np.ndarray, scale: int) -> None:
    noise = np.random.default_rng(1).normal(0, 0.02, smooth.shape).astype(np.float32)
    cleaned = smooth.copy() if scale == 1 else doubled(smooth)
    cleaned[..., 20 * scale :, :] += 0.5  # an edge that the source has hardly
    none, half, all_ = (with_grain(cleaned.copy(), smooth + noise, share) - cleaned for share in (0, 0.5, 1))
    assert not none.any()
    np.testing.assert_allclose(2 * half, all_, atol=1e-6)
    far = all_[..., 32 * scale : -2 * scale, 2 * scale : -2 * scale]
    assert 0.65 < far.std() / noise.std() < 1
    assert not all_[..., 19 * scale : 21 * scale, :].any()


def test_less_cleaning_leaves_more_grain() -> None:
    """`clean` of 0 leaves the photo's grain."""
    rng = np.random.default_rng(0)
    plain = np.linspace(60, 190, 160)[None, :, None] + np.zeros((128, 160, 3))
    photo = (plain + cv2.GaussianBlur(rng.normal(0, 14, (128, 160)), (0, 0), 0.6)[..., None]).clip(0, 255)
    photo = photo.astype(np.uint8)
    with Restorer(model="none", device="cpu") as restorer:
        grains = [
            (restorer.restore(photo, RestoreOptions(scale=1, clean=clean)).pixels - plain).std()
            for clean in (0, 0.25, 0.5, 1)
        ]
    assert grains == sorted(grains, reverse=True)
    assert grains[0] > 0.8 * (photo - plain).std()
    assert grains[2] < 0.5 * grains[0]
