from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from restore_stubs import StubModels, twice

from revisage.errors import RuntimeUnavailableError
from revisage.restore import background, tiles

SIDES = st.integers(1, 150)


def noise(height: int, width: int, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    top = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, top, (height, width, 3), dtype, endpoint=True)


def side(core: int) -> int:
    return tiles.ALIGN * core


def quiet(done: int, total: int) -> None:
    assert 1 <= done <= total


@given(SIDES, SIDES, st.integers(1, 20), st.integers(0, 24), st.sampled_from([np.uint8, np.uint16]))
def test_the_identity_is_the_identity(height: int, width: int, core: int, halo: int, dtype: type) -> None:
    pixels = noise(height, width, dtype)
    out = tiles.run(pixels, lambda tile: tile, scale=1, core=side(core), halo=halo, on_tile=quiet)
    assert out.dtype == dtype
    assert np.array_equal(out, pixels)


@given(SIDES, SIDES, st.integers(1, 20), st.sampled_from([2, 3, 4]), st.integers(1, 5))
def test_repeating_pixels_in_tiles_repeats_the_picture(
    height: int, width: int, core: int, scale: int, batch: int
) -> None:
    def repeat(pictures: np.ndarray) -> np.ndarray:
        assert len(pictures) <= batch
        return pictures.repeat(scale, 1).repeat(scale, 2)

    pixels, told = noise(height, width), []
    out = tiles.run(
        pixels,
        repeat,
        scale=scale,
        core=side(core),
        halo=4,
        batch=batch,
        on_tile=lambda *at: told.append(at),
    )
    assert np.array_equal(out, pixels.repeat(scale, 0).repeat(scale, 1))
    count = math.prod(math.ceil(length / tiles.side(length, side(core))) for length in (height, width))
    assert told == [(done, count) for done in range(1, count + 1)]


@given(st.integers(1, 3000), st.integers(16, 200))
def test_sides_are_aligned_and_no_more_than_are_needed(length: int, core: int) -> None:
    planned = tiles.side(length, side(core))
    assert planned % tiles.ALIGN == 0
    assert planned <= side(core)
    assert math.ceil(length / planned) <= math.ceil(length / side(core))


@given(st.integers(-50, 0), st.integers(1, 60), st.integers(1, 20))
def test_mirror_is_numpy_reflect(start: int, stop: int, length: int) -> None:
    after = max(stop - length, 0)
    reflected = np.pad(np.arange(length), (-start, after), mode="reflect")
    assert np.array_equal(tiles.mirror(start, stop, length), reflected[: stop - start])


class Network:
    """A random three-layer convolution network, x2 by pixel shuffle; receptive radius 3."""

    radius = 3

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        shapes = [(4, 3, 3, 3), (4, 4, 3, 3), (12, 4, 3, 3)]
        self.weights = [rng.normal(0, 1 / 5, shape).astype(np.float32) for shape in shapes]

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        x = picture
        for number, weight in enumerate(self.weights):
            padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
            views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
            x = np.einsum("hwcij,ocij->hwo", views, weight, optimize=True)
            if number < 2:
                x = np.maximum(x, 0.2 * x)
        h, w = x.shape[:2]
        shuffled = x.reshape(h, w, 3, 2, 2).transpose(0, 3, 1, 4, 2).reshape(2 * h, 2 * w, 3)
        return np.ascontiguousarray(picture.repeat(2, 0).repeat(2, 1) + shuffled)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(2, 8), st.integers(0, 5))
def test_a_network_in_tiles_equals_the_network_at_once(height: int, width: int, core: int, seed: int) -> None:
    network, pixels = Network(seed), noise(height, width, seed=seed)

    def operation(pictures: np.ndarray) -> np.ndarray:
        return np.stack([network(picture) for picture in pictures])

    tiled = tiles.run(
        pixels, operation, scale=2, core=side(core), halo=network.radius, batch=3, on_tile=quiet
    )
    border = 8
    whole = np.pad(pixels, ((border, border), (border, border), (0, 0)), mode="reflect")
    whole = tiles.to_integer(network(tiles.to_float(whole)), np.dtype(np.uint8))
    whole = whole[2 * border : -2 * border, 2 * border : -2 * border]
    assert np.abs(tiled.astype(int) - whole).max() <= 1


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("keep", [True, False])
def test_background_has_no_seams(scale: int, keep: bool) -> None:
    network, pixels = Network(3), noise(90, 130)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 1.5)

    def picture(budget: int) -> tuple[np.ndarray, int]:
        models = StubModels(scene=network)
        kwargs = {"scale": scale, "keep": keep, "neutral": False, "budget": budget, "on_tile": quiet}
        canvas = background.enlarge(pixels, models.scene(), **kwargs).canvas.astype(int)
        return canvas, len(models.scene_session.batches)

    (many, runs), (one, run) = picture(1), picture(8 << 30)
    assert many.shape == (90 * scale, 130 * scale, 3)
    assert runs == 15 * run
    assert np.abs(many - one).max() <= 1


@pytest.mark.parametrize(
    ("scale", "method", "runs"),
    [(1, "model x2, then area to x1", 1), (2, "model x2", 1), (4, "model x2, 2 times", 2)],
)
def test_the_scene_model_runs_as_often_as_the_scale_needs(scale: int, method: str, runs: int) -> None:
    models = StubModels(scene=twice)
    pixels = cv2.GaussianBlur(noise(40, 60), (0, 0), 3)
    made = background.enlarge(
        pixels, models.scene(), scale=scale, keep=True, neutral=False, budget=1 << 30, on_tile=quiet
    )
    assert made.method == method
    assert len(models.scene_session.batches) == runs
    expected = cv2.resize(pixels, (60 * scale, 40 * scale), interpolation=cv2.INTER_CUBIC).astype(int)
    assert np.abs(made.canvas - expected).mean() < 1


def test_without_a_scene_model_the_photo_is_resampled() -> None:
    pixels = noise(20, 30, np.uint16)
    kept = background.enlarge(pixels, None, scale=1, keep=True, neutral=False, budget=1 << 30, on_tile=quiet)
    assert kept.method == "unchanged"
    assert np.array_equal(kept.canvas, pixels)
    assert not np.shares_memory(kept.canvas, pixels)
    grown = background.enlarge(pixels, None, scale=4, keep=True, neutral=False, budget=1 << 30, on_tile=quiet)
    assert grown.method == "lanczos"
    assert grown.canvas.shape == (80, 120, 3)
    assert grown.canvas.dtype == np.uint16


def test_invalid_numbers_from_the_scene_model_are_an_error() -> None:
    model = StubModels(scene=lambda tile: twice(tile) * np.nan).scene()
    with pytest.raises(RuntimeUnavailableError, match="--precision fp32"):
        background.enlarge(
            noise(9, 9), model, scale=2, keep=True, neutral=False, budget=1 << 30, on_tile=quiet
        )
