"""`--colour revive`: what has faded comes back, what has not stays, and no model runs for it."""

from __future__ import annotations

import time

import numpy as np
import pytest
from restore_stubs import StubModels, face_at, twice

from revisage import Restorer
from revisage.label import read
from revisage.restore.tone import MOST_GAIN, Tone, estimate


def scene(seed: int = 0) -> np.ndarray:
    """(120, 160, 3) uint8: coloured patches, and others from black to white."""
    rng = np.random.default_rng(seed)
    patches = rng.uniform(0.04, 0.95, (12, 16, 3))
    patches[::2] = rng.uniform(0.04, 1, (6, 16, 1))
    patches[0, :2], patches[-1, :2] = 0.99, 0.04
    return np.rint(np.kron(patches, np.ones((10, 10, 1))) * 255).astype(np.uint8)


def faded(
    pixels: np.ndarray, keep: tuple[float, float, float], paper: tuple[float, float, float]
) -> np.ndarray:
    values = np.power(np.maximum(pixels / 255, 0.004), keep) * paper
    return np.rint(values * 255).astype(np.uint8)


def error(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(float) - second).mean())


@pytest.mark.parametrize(
    ("keep", "paper"),
    [
        ((0.35, 0.9, 0.9), (1, 1, 1)),  # cyan is gone: a red cast
        ((0.9, 0.35, 0.9), (1, 1, 1)),
        ((0.4, 0.4, 0.4), (1, 1, 1)),  # flat
        ((1, 1, 1), (0.95, 0.75, 0.5)),  # yellow paper
    ],
)
def test_strong_fading_is_undone_in_good_part(
    keep: tuple[float, float, float], paper: tuple[float, float, float]
) -> None:
    clean = scene()
    revived = faded(clean, keep, paper)
    before = error(revived, clean)
    estimate(revived).apply(revived)
    assert error(revived, clean) < 0.85 * before


@pytest.mark.parametrize("seed", range(4))
def test_a_photo_that_has_not_faded_stays_to_the_bit(seed: int) -> None:
    pixels = scene(seed)
    tone = estimate(pixels)
    tone.apply(pixels)
    assert not tone.changes
    assert np.array_equal(pixels, scene(seed))


def test_gray_stays_gray_and_sepia_its_tint() -> None:
    flat = (90 + scene()[..., :1] // 3).repeat(3, axis=2)
    gray = flat.copy()
    estimate(gray).apply(gray)
    assert (gray[..., 1:] == gray[..., :1]).all()
    assert np.ptp(gray) > 1.2 * np.ptp(flat)
    sepia = np.rint(flat * (1, 0.85, 0.6)).astype(np.uint8)
    tone = estimate(sepia)
    assert tone.changes
    assert len(set(tone.base)) == len(set(tone.gain)) == 1


@pytest.mark.parametrize("level", [60, 100, 128, 160])
def test_a_picture_of_hardly_any_tones_tells_nothing_of_fading(level: int) -> None:
    wall = np.full((120, 160, 3), level, np.uint8)
    assert not estimate(wall).changes
    wall[::3] += 9  # about as much as its grain
    assert not estimate(wall).changes


def test_strength_0_and_what_has_not_faded_stay_to_the_bit_in_16_bits() -> None:
    restorer = Restorer(model="none", scene="none")
    deep = scene().astype(np.uint16) * 257
    deep[0, :16] = np.arange(16)[:, None]  # less than one part in 4,095
    flat = deep // 3 + 20000
    for photo, revive in ((deep, 1), (flat, 0)):
        result = restorer.restore(photo, scale=1, colour="revive", revive=revive)
        assert np.array_equal(result.pixels, photo)
    assert not np.array_equal(restorer.restore(flat, scale=1, colour="revive").pixels, flat)


def test_plain_borders_and_faces_say_nothing() -> None:
    inner = faded(scene(), (0.35, 0.9, 0.9), (1, 1, 1))
    framed = np.pad(inner, ((20, 20), (20, 20), (0, 0)), constant_values=255)
    assert estimate(framed).gain == pytest.approx(estimate(inner).gain, abs=0.1)
    pixels = scene()
    whole = estimate(pixels)
    pixels[10:60, 20:60] = (255, 170, 150)  # skin in the sun is no paper
    assert estimate(pixels, [face_at(40, 35, 30)]) == whole


def test_16_bits_and_8_are_revived_alike() -> None:
    eight = faded(scene(), (0.6, 0.8, 0.9), (1, 0.95, 0.85))
    sixteen = eight.astype(np.uint16) * 257
    tone = estimate(eight)
    assert estimate(sixteen) == tone
    tone.apply(eight)
    tone.apply(sixteen)
    assert np.abs(sixteen / 257 - eight).max() <= 0.51
    assert len(np.unique(sixteen)) >= len(np.unique(eight))


@pytest.mark.parametrize("pixels", [np.zeros((1, 1, 3)), np.full((9, 9, 3), 255), np.full((5, 900, 3), 77)])
def test_any_picture_has_an_estimate(pixels: np.ndarray) -> None:
    tone = estimate(pixels.astype(np.uint8))
    assert all(0 <= base < 0.3 for base in tone.base)
    assert all(1 <= gain <= MOST_GAIN for gain in tone.gain)


def test_every_curve_rises_and_black_stays_black() -> None:
    rising = Tone((0.2, 0.1, 0.0), (2.0, 1.4, 1.0)).curves(np.linspace(0, 1, 256)[:, None])
    assert (np.diff(rising, axis=0) >= 0).all()
    assert not rising[0].any()
    assert rising.max() == 1


def test_it_is_switched_without_a_model_and_told() -> None:
    models = StubModels(face=lambda crop: crop, scene=twice, faces=[face_at(40, 60, 40)])
    photo = faded(scene(), (0.35, 0.9, 0.9), (1, 1, 1))
    restorer = Restorer(models=models)
    restoration = restorer.analyse(photo)
    assert models.scene_session is not None
    models.scene_session.batches.clear()
    kept, half, whole = (
        restoration.render(colour=colour, revive=revive)
        for colour, revive in (("keep", 1.0), ("revive", 0.5), ("revive", 1.0))
    )
    assert not models.scene_session.batches
    assert np.array_equal(whole.pixels, restorer.restore(photo, colour="revive").pixels)
    assert np.array_equal(kept.pixels, restoration.render(colour="revive", revive=0).pixels)
    assert error(kept.pixels, half.pixels) < error(kept.pixels, whole.pixels)
    assert kept.entry()["tone"] is None
    assert whole.entry()["tone"]["estimate"] is True
    assert whole.entry()["tone"]["gain"][0] > 1.1
    label, plain = read(whole.encode("PNG")), read(kept.encode("PNG"))
    assert label is not None
    assert plain is not None
    assert label.models == (*plain.models, "tones by estimate")


def test_twelve_megapixels_take_less_than_a_second() -> None:
    canvas = np.random.default_rng(0).integers(60, 200, (3000, 4000, 3), np.uint8)
    start = time.process_time()
    estimate(canvas).apply(canvas)
    assert time.process_time() - start < 1
