"""Sharpness, fingerprints and coverage of crops against closed forms and plain counting."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prepare_folder import texture

from revisage.faces import invert
from revisage.lab.data.prepare.measures import BITS, coverage, fingerprint, originals, sharpness


def noise(blur: float, side: int = 512) -> np.ndarray:
    """Gray white noise, blurred by a Gaussian."""
    plane = np.random.default_rng(0).normal(0, 1, (side, side)).astype(np.float32)
    if blur:
        plane = cv2.GaussianBlur(plane, (0, 0), blur)
    plane = np.clip(127 + 40 * plane / plane.std(), 0, 255)
    return np.repeat(plane.astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("blur", [1.0, 2.0, 3.0])
def test_sharpness_of_blurred_noise_is_its_closed_form(blur: float) -> None:
    # Of white noise, s^4 k^4 exp(-(s^2 + b^2) k^2) integrated over the plane is 2 pi s^4 / (s^2 + b^2)^3;
    # at s = 1 over s = 3.
    expected = ((9 + blur**2) / (1 + blur**2)) ** 3 / 81
    assert sharpness(noise(blur)) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize("seed", range(4))
def test_sharpness_depends_on_blur_and_little_else(seed: int) -> None:
    picture = texture(seed, 256)
    sharp = sharpness(picture)
    values = [sharpness(cv2.GaussianBlur(picture, (0, 0), sigma)) for sigma in (1, 1.5, 2, 3)]
    assert sharp > values[0] > values[1] > values[2] > values[3]
    assert sharpness((picture // 3 + 100).astype(np.uint8)) == pytest.approx(sharp, rel=0.15)
    half = cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA)
    assert sharpness(half) == pytest.approx(sharp, rel=0.6)


@pytest.mark.parametrize("side", [16, 32, 101])
def test_a_plain_crop_is_not_sharp(side: int) -> None:
    assert sharpness(np.full((side, side, 3), 130, np.uint8)) == 0


def distance(one: bytes, other: bytes) -> int:
    return sum((a ^ b).bit_count() for a, b in zip(one, other, strict=True))


def test_copies_have_near_fingerprints_and_others_far_ones() -> None:
    prints = [fingerprint(texture(seed, 256)) for seed in range(12)]
    assert all(len(found) * 8 == BITS for found in prints)
    apart = [distance(a, b) for index, a in enumerate(prints) for b in prints[:index]]
    assert min(apart) > 130
    for seed, print_ in enumerate(prints):
        picture = texture(seed, 256)
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 50])
        assert done
        copies = (
            cv2.imdecode(data, cv2.IMREAD_COLOR),
            cv2.resize(picture, (96, 96), interpolation=cv2.INTER_AREA),
            np.rint(255 * (picture / 255.0) ** 1.5).astype(np.uint8),
        )
        assert max(distance(print_, fingerprint(copy)) for copy in copies) <= 64


def flipped(prints: list[bytes], rng: np.random.Generator) -> bytes:
    bits = np.unpackbits(np.frombuffer(prints[rng.integers(len(prints))], np.uint8))
    bits[rng.choice(BITS, int(rng.integers(0, 40)), replace=False)] ^= 1
    return np.packbits(bits).tobytes()


@given(st.integers(1, 24), st.integers(0, 60), st.integers(1, 30), st.integers(0, 10**6))
@settings(deadline=None)
def test_originals_are_those_of_counting_bit_by_bit(count: int, near: int, block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    prints = [rng.bytes(BITS // 8)]
    for _ in range(count - 1):
        prints.append(flipped(prints, rng) if rng.random() < 0.7 else rng.bytes(BITS // 8))
    expected: list[int] = []
    for index, own in enumerate(prints):
        firsts = [i for i in range(index) if expected[i] == i and distance(prints[i], own) <= near]
        expected.append(firsts[0] if firsts else index)
    assert originals(prints, near, block) == expected


@given(st.floats(-3, 3), st.floats(0.3, 3), st.floats(-150, 150), st.floats(-150, 150))
@settings(deadline=None)
def test_coverage_is_the_share_of_pixels_inside(turn: float, scale: float, x: float, y: float) -> None:
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.column_stack([linear, (x, y)])
    inside = cv2.warpAffine(np.ones((90, 120), np.float32), matrix, (64, 64), flags=cv2.INTER_NEAREST)
    assert coverage(invert(matrix), 64, 120, 90) == pytest.approx(float(inside.mean()), abs=0.05)


def test_a_crop_that_is_the_photo_is_covered() -> None:
    assert coverage(np.eye(2, 3), 64, 64, 64) == 1
    assert coverage(np.array([[1.0, 0, 32], [0, 1, 0]]), 64, 64, 64) == 0.5
