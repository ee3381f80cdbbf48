from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revisage.restore import colour


def picture(seed: int, height: int = 32, width: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width, 3), np.float32)


def coarse(picture: np.ndarray) -> np.ndarray:
    """Means of squares of 32 pixels."""
    return cv2.resize(picture, None, fx=1 / 32, fy=1 / 32, interpolation=cv2.INTER_AREA)


@given(st.integers(0, 99), st.integers(0, 99), st.floats(0.5, 1.5), st.floats(-0.2, 0.2))
def test_the_face_keeps_its_detail_and_takes_the_photos_tone(
    one: int, other: int, contrast: float, offset: float
) -> None:
    tone = np.float32([0.1, 0.0, -0.15])
    shade = np.linspace(0.25, 0.75, 256, dtype=np.float32)[:, None, None].repeat(256, 1)
    source = shade + 0.1 * (colour.gray(picture(other, 256, 256)) - 0.5) + tone
    detail = 0.3 * (colour.gray(picture(one, 256, 256)) - 0.5)
    kept = colour.keep_face((shade - 0.5) * np.float32(contrast) + np.float32(0.5 + offset) + detail, source)
    assert np.abs(coarse(colour.luma(kept)) - coarse(colour.luma(source))).max() < 0.06
    fine = colour.luma(kept) - colour.luma(source)
    assert np.corrcoef((fine - cv2.blur(fine, (9, 9))).ravel(), (detail[..., 0]).ravel())[0, 1] > 0.8
    chroma = kept - colour.luma(kept)[..., None]
    assert np.allclose(chroma, tone - colour.luma(tone[None, None])[0, 0], atol=1e-4)


def test_lips_keep_their_red_up_to_their_edge() -> None:
    skin, lips = np.float32([0.8, 0.65, 0.55]), np.float32([0.7, 0.25, 0.3])
    source = np.full((128, 128, 3), skin)
    source[60:70, 40:90] = lips
    assert np.abs(colour.keep_face(source, source) - source).max() < 0.05
    noisy = source + np.random.default_rng(0).normal(0, 0.05, source.shape).astype(np.float32)
    kept = colour.keep_face(source, noisy)
    assert np.abs(kept - source).mean() < 0.3 * np.abs(noisy - source).mean()


@settings(deadline=None)
@given(st.integers(0, 99), st.sampled_from([1, 2, 4]))
def test_the_scene_keeps_its_luma_and_takes_the_photos_tone(seed: int, scale: int) -> None:
    source = np.full((40, 48, 3), np.float32([0.6, 0.5, 0.3]))
    output = picture(seed, 40 * scale, 48 * scale)
    kept = colour.keep_scene(output, source, scale)
    assert np.allclose(colour.luma(kept), colour.luma(output), atol=1e-5)

    def tone(pixels: np.ndarray) -> np.ndarray:
        return (pixels - colour.luma(pixels)[..., None]).mean(axis=(0, 1))

    assert np.allclose(tone(kept), tone(source), atol=0.02)


def test_gray_is_gray() -> None:
    assert np.ptp(colour.gray(picture(0)), axis=2).max() == 0


def test_is_neutral() -> None:
    gray = np.random.default_rng(0).integers(0, 255, (9, 9, 1), np.uint8).repeat(3, 2)
    assert colour.is_neutral(gray)
    gray[3, 3, 2] ^= 1
    assert not colour.is_neutral(gray)


def test_match_finds_a_smooth_cast_from_the_ring() -> None:
    side = 128
    ramp = np.linspace(-0.1, 0.1, side, dtype=np.float32)[None, :, None] * np.float32([1, 0, -1])
    restored = picture(1, side, side)
    ring = np.zeros((side, side), np.float32)
    ring[10:-10, 10:-10] = 1
    ring[30:-30, 30:-30] = 0
    offset = colour.match(restored, restored + ramp, ring)
    assert np.abs(offset - ramp)[ring > 0].max() < 0.06
    assert np.abs(offset - ramp)[ring > 0].mean() < 0.02


def test_match_without_a_ring_is_nothing() -> None:
    none = np.zeros((32, 32), np.float32)
    assert np.abs(colour.match(picture(1), picture(2), none)).max() == pytest.approx(0)
