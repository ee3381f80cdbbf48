from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revisage.restore import paste

SIZE = 64


def similarity(angle: float, zoom: float, x: float, y: float, size: int = SIZE) -> np.ndarray:
    """Photo -> crop: (x, y) goes to the middle of the crop."""
    turn = np.radians(angle)
    linear = zoom * np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return np.column_stack([linear, (size - 1) / 2 - linear @ (x, y)])


def smooth(height: int, width: int, sigma: float = 6, seed: int = 0) -> np.ndarray:
    raw = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    raw = cv2.GaussianBlur(raw, (0, 0), sigma)
    return np.uint8(np.clip(128 + 40 * raw / raw.std(), 0, 255))


def put(canvas: np.ndarray, face: np.ndarray, placement: paste.Placement, **changes: object) -> np.ndarray:
    out = canvas.copy()
    paste.paste(out, face, placement, **({"strength": 1.0, "blend_offset": True} | changes))
    return out


placements = st.builds(
    lambda angle, side, x, y, scale: paste.place_crop(similarity(angle, SIZE / side, x, y), SIZE, scale),
    st.floats(-180, 180),
    st.floats(16, 250),
    st.floats(-20, 150),
    st.floats(-20, 130),
    st.sampled_from([1, 2, 4]),
)


@settings(max_examples=60, deadline=None)
@given(placements)
def test_pasting_what_was_cut_changes_nothing(placement: paste.Placement) -> None:
    canvas = smooth(130, 150)
    face = paste.sample(canvas, placement)
    change = np.abs(put(canvas, face, placement).astype(int) - canvas)
    assert change.mean() < 1
    # A crop that shrinks the canvas and has no detail of its own to add may soften it a little.
    assert np.percentile(change, 99) <= (3 if placement.ratio < 2 else 12)


@settings(max_examples=60, deadline=None)
@given(placements)
def test_nothing_outside_the_oval_is_touched(placement: paste.Placement) -> None:
    canvas = smooth(130, 150)
    changed = (put(canvas, np.ones((SIZE, SIZE, 3), np.float32), placement) != canvas).any(axis=2)
    outside = placement.radius((0, 0, 150, 130)) >= 1
    assert not changed[outside].any()


@settings(max_examples=40, deadline=None)
@given(placements, st.floats(0, 1), st.floats(0, 1))
def test_strength_is_monotone(placement: paste.Placement, one: float, other: float) -> None:
    canvas = smooth(130, 150)
    face = np.ones((SIZE, SIZE, 3), np.float32)
    weak, strong = sorted((one, other))
    weaker = np.abs(put(canvas, face, placement, strength=weak).astype(int) - canvas)
    stronger = np.abs(put(canvas, face, placement, strength=strong).astype(int) - canvas)
    assert (stronger >= weaker - 1).all()
    assert np.array_equal(put(canvas, face, placement, strength=0), canvas)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_placement_follows_the_canvas(scale: int) -> None:
    matrix = similarity(20, 0.5, 70, 60)
    placement = paste.place_crop(matrix, SIZE, scale)
    # The middle of photo pixel (x, y) lies at scale (x + 0.5) - 0.5 on the canvas.
    photo = np.array([[10.0, 20.0], [70.0, 60.0]])
    canvas = scale * (photo + 0.5) - 0.5
    expected = photo @ matrix[:, :2].T + matrix[:, 2]
    assert np.allclose(canvas @ placement.to_crop[:, :2].T + placement.to_crop[:, 2], expected)
    assert placement.ratio == pytest.approx(2 * scale)
    assert placement.source_ratio == pytest.approx(2)


def test_the_mask_fades_within_the_crop() -> None:
    radius = paste.place_crop(np.eye(2, 3), SIZE, 1).radius((0, 0, SIZE, SIZE))
    mask = paste.mask(radius)
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert border.max() == 0
    assert mask[SIZE // 2, SIZE // 2] == 1
    assert np.abs(np.diff(mask, axis=0)).max() < 0.25


def test_no_box_and_no_cast_where_the_model_shifts_brightness() -> None:
    canvas = smooth(200, 200, sigma=20)
    placement = paste.place_crop(similarity(10, SIZE / 120, 100, 100), SIZE, 1)
    face = np.clip(paste.sample(canvas, placement) + np.float32([0.08, 0.0, -0.08]), 0, 1)
    matched = put(canvas, face, placement, blend_offset=False).astype(float) - canvas
    assert np.abs(matched).max() < 4
    coloured = put(canvas, face, placement, blend_offset=True).astype(float) - canvas
    assert coloured[100, 100, 0] == pytest.approx(0.08 * 255, abs=3)
    assert np.abs(np.diff(coloured, axis=1)).max() < 5


def test_a_large_sharp_face_keeps_its_own_detail() -> None:
    rng = np.random.default_rng(0)
    canvas = np.uint8(np.clip(smooth(420, 420, sigma=25) + rng.normal(0, 12, (420, 420, 1)), 0, 255))
    large = paste.place_crop(similarity(0, SIZE / 400, 210, 210), SIZE, 1)
    kept = put(canvas, paste.sample(canvas, large), large)
    middle = (slice(150, 270), slice(150, 270))

    def grain(pixels: np.ndarray) -> float:
        luma = pixels[middle].astype(np.float32).mean(axis=2)
        return float((luma - cv2.GaussianBlur(luma, (0, 0), 2)).std())

    assert grain(kept) > 0.9 * grain(canvas)
    # The same face on a canvas that was enlarged: the photo has no such detail, so the model's picture rules.
    blown = paste.Placement(large.size, large.to_crop, source_ratio=0.5)
    assert grain(put(canvas, paste.sample(canvas, blown), blown)) < 0.3 * grain(canvas)


def test_damage_that_the_model_removed_does_not_come_back_as_detail() -> None:
    clean = smooth(420, 420, sigma=30)
    damaged = clean.copy()
    damaged[200:203, 60:360] = 255
    placement = paste.place_crop(similarity(0, SIZE / 400, 210, 210), SIZE, 1)
    healed = put(damaged, paste.sample(clean, placement), placement)
    scratch = (slice(200, 203), slice(150, 270))
    before = np.abs(damaged[scratch].astype(float) - clean[scratch]).mean()
    assert np.abs(healed[scratch].astype(float) - clean[scratch]).mean() < 0.5 * before


def test_a_face_smaller_than_its_crop_is_area_filtered() -> None:
    canvas = np.full((60, 60, 3), 128, np.uint8)
    placement = paste.place_crop(similarity(0, 512 / 32, 30, 30, size=512), 512, 1)
    stripes = np.zeros((512, 512, 3), np.float32)
    stripes[:, ::2] = 1
    change = put(canvas, stripes, placement).astype(int) - 128
    assert np.abs(change).max() <= 2


def test_overlapping_faces_share_without_a_hard_edge() -> None:
    canvas = np.full((120, 200, 3), 128, np.uint8)
    left = paste.place_crop(similarity(0, SIZE / 100, 70, 60), SIZE, 1)
    right = paste.place_crop(similarity(0, SIZE / 100, 120, 60), SIZE, 1)
    assert paste.overlapping([left, right]) == [[right], [left]]
    out = canvas.copy()
    for placement, value, other in ((left, 0.0, right), (right, 1.0, left)):
        face = np.full((SIZE, SIZE, 3), value, np.float32)
        paste.paste(out, face, placement, strength=1, blend_offset=True, neighbours=[other])
    row = out[62, :, 0].astype(int)
    assert row[70] < 8
    assert row[120] > 247
    assert np.abs(np.diff(row)).max() < 40


def test_far_faces_do_not_meet() -> None:
    far = [paste.place_crop(similarity(0, SIZE / 100, x, 60), SIZE, 2) for x in (50, 160, 1000)]
    assert paste.overlapping(far) == [[], [], []]
    assert paste.overlapping([]) == []


def test_a_face_outside_the_canvas_is_no_work() -> None:
    canvas = smooth(40, 40)
    outside = paste.place_crop(similarity(0, 1, -500, -500), SIZE, 1)
    assert np.array_equal(put(canvas, np.ones((SIZE, SIZE, 3), np.float32), outside), canvas)


def test_sixteen_bits_stay_sixteen_bits() -> None:
    canvas = smooth(80, 80).astype(np.uint16) * 257 + 100
    placement = paste.place_crop(similarity(5, 1, 40, 40), SIZE, 1)
    out = put(canvas, paste.sample(canvas, placement), placement)
    assert out.dtype == np.uint16
    assert len(np.unique(out % 257)) > 50
