"""The pieces of the old-photo recipe: what each does to a picture."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revisage.lab.degrade import old_photo
from revisage.lab.degrade.ageing import DyeFading, Fading, Grain, Halftone, PaperTexture, Toning
from revisage.lab.degrade.camera import normal_field
from revisage.lab.degrade.colour import Gray
from revisage.lab.degrade.damage import Dust, Hairs, Scratches
from revisage.lab.degrade.fields import smooth_field, texture_field
from revisage.lab.degrade.recipe import Chain

seeds = st.integers(0, 2**32 - 1)


def flat(value: float, side: int = 256) -> np.ndarray:
    return np.full((side, side, 3), value, np.float32)


def photo(side: int = 256) -> np.ndarray:
    """Smooth, textured, within [0.1, 0.9]."""
    rng = np.random.default_rng(5)
    image = sum(
        cv2.resize(rng.random((n, n, 3), dtype=np.float32), (side, side), interpolation=cv2.INTER_CUBIC) / n
        for n in (3, 9, 27)
    )
    return 0.1 + 0.8 * (image - image.min()) / (image.max() - image.min())


def test_halftone_dots_cover_the_area_of_the_tone() -> None:
    for value in (0.1, 0.3, 0.5, 0.8):
        for colour in (False, True):
            low = Halftone(5.0, 0.7, 5.0, 1.0, colour).apply(flat(value, 512))
            assert low.mean() == pytest.approx(value, abs=0.05)
            assert low.std() > 0.1


def test_grain_is_correlated_strongest_in_middle_tones_and_does_not_drift() -> None:
    spread = {value: Grain(0.08, 2.0, 0.0, 7).apply(flat(value, 512)) for value in (0.1, 0.5, 0.9)}
    assert spread[0.5].std() == pytest.approx(0.08, rel=0.05)
    assert spread[0.1].std() < 0.75 * spread[0.5].std()
    assert spread[0.5].mean() == pytest.approx(0.5, abs=5e-3)
    gray = spread[0.5][..., 0] - 0.5
    assert (gray[:, 1:] * gray[:, :-1]).mean() > 0.4 * gray.var()
    coloured = Grain(0.08, 2.0, 0.5, 7).apply(flat(0.5, 512))
    assert coloured.std() == pytest.approx(0.08, rel=0.05)
    assert (coloured[..., 0] - coloured[..., 1]).std() > 0.02


def test_dye_fading_keeps_the_base_and_lightens_the_faded_dye_only() -> None:
    params = DyeFading((0.5, 1.0, 1.0), (1.0, 0.98, 0.9))
    np.testing.assert_allclose(params.apply(flat(1.0, 4))[0, 0], [1.0, 0.98, 0.9], atol=1e-6)
    dark = params.apply(flat(0.25, 4))[0, 0]
    np.testing.assert_allclose(dark, [0.5, 0.98 * 0.25, 0.9 * 0.25], atol=1e-5)


def test_toning_passes_through_its_three_tones() -> None:
    params = Toning((0.06, 0.03, 0.01), (0.58, 0.49, 0.37), (1.0, 0.95, 0.8))
    for value, tone in ((0.0, params.shadow), (0.5, params.middle), (1.0, params.light)):
        np.testing.assert_allclose(params.apply(flat(value, 4))[0, 0], tone, atol=1e-5)


@given(seed=seeds)
@settings(deadline=None)
def test_toning_never_turns_tones_round(seed: int) -> None:
    ramp = np.repeat(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], 3, axis=2)
    assert (np.diff(Toning.sample(np.random.default_rng(seed)).apply(ramp), axis=1) >= 0).all()


def test_fading_narrows_the_range() -> None:
    ramp = np.repeat(np.linspace(0, 1, 64, dtype=np.float32)[None, :, None], 3, axis=2)
    faded = Fading(0.2, 0.85, 1.0, 0.0, 0.0, 0).apply(ramp)
    assert faded.min() == pytest.approx(0.2, abs=1e-5)
    assert faded.max() == pytest.approx(0.85, abs=1e-5)


def test_vignette_darkens_the_corners_and_leaves_the_middle() -> None:
    low = Fading(0.0, 1.0, 1.0, 0.4, 0.0, 0).apply(flat(0.5, 65))
    assert low[32, 32, 0] == pytest.approx(0.5, abs=1e-3)
    np.testing.assert_allclose(low[[0, 0, -1, -1], [0, -1, 0, -1], 0], 0.5 * 0.6, atol=1e-3)


@pytest.mark.parametrize("texture", ["paper", "linen", "silk"])
def test_paper_texture_does_not_drift(texture: str) -> None:
    low = PaperTexture(texture, 0.04, 1.3, 2).apply(flat(0.5))
    assert low.mean() == pytest.approx(0.5, abs=0.01)
    assert 0.005 < low.std() < 0.03


def test_fields_have_zero_mean_and_unit_spread() -> None:
    rough = np.stack([smooth_field(seed, 64, 96, 8.0) for seed in range(20)])
    assert abs(rough.mean()) < 0.1
    assert 0.5 < rough.std() < 1.2
    paper = texture_field("paper", 1, 300, 500, 1.0)
    assert paper.shape == (300, 500)
    assert 0.8 < paper.std() < 1.2
    np.testing.assert_array_equal(normal_field(4, 5, 6, 1), normal_field(4, 5, 6, 1))


@pytest.mark.parametrize("operator", [Scratches, Dust, Hairs])
def test_marks_cover_little_and_are_visible(operator: type[Scratches] | type[Dust] | type[Hairs]) -> None:
    gray = flat(0.45)
    for seed in range(20):
        change = np.abs(operator.sample(np.random.default_rng(seed)).apply(gray) - gray).max(axis=2)
        assert (change > 0.05).mean() < 0.25
    strong = [operator.sample(np.random.default_rng(seed)).apply(gray) for seed in range(20)]
    assert np.median([np.abs(low - gray).max() for low in strong]) > 0.1


def test_light_scratches_lighten_and_dark_ones_darken() -> None:
    gray = flat(0.45)
    for light, sign in ((1.0, 1), (0.0, -1)):
        change = Scratches(10, 2.0, 0.9, light, 0.3, 0.5, 0.2, 3).apply(gray) - gray
        assert (sign * change).min() > -1e-6
        assert (sign * change).max() > 0.1


def test_zero_chances_leave_the_picture() -> None:
    never = old_photo.Chances(
        blur=0, low_resolution=0, gray=0, toned=0, dyes=0, grain=0, halftone=0, texture=0, fading=0,
        yellow=0, stains=0, crease=0, scratches=0, dust=0, hairs=0, scan_noise=0, jpeg=0,
    )  # fmt: skip
    assert old_photo.sample(np.random.default_rng(0), never) == Chain(())


def test_most_old_photos_keep_the_picture_recognisable() -> None:
    """Not absurdly destructive: the luma of nearly all still correlates well with the clean one."""
    clean = photo()
    gray = Gray().apply(clean)[..., 0].ravel()
    rng = np.random.default_rng(1)
    likeness = [
        np.corrcoef(gray, Gray().apply(old_photo.sample(rng).apply(clean))[..., 0].ravel())[0, 1]
        for _ in range(60)
    ]
    assert np.quantile(likeness, 0.1) > 0.6
    assert np.median(likeness) > 0.8
