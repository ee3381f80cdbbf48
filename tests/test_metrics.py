"""Metrics against independent implementations, and the laws they keep."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from revisage.lab.metrics.degrees import degrees  # noqa: E402
from revisage.lab.metrics.psnr import psnr  # noqa: E402
from revisage.lab.metrics.ssim import ssim  # noqa: E402

CROPS = ((10, 150), (200, 60), (380, 300))


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(1)


def crop(top: int, left: int, height: int = 64, width: int = 80) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] of a real photo."""
    return data.astronaut()[top : top + height, left : left + width].astype(np.float32) / 255


def noisy(picture: np.ndarray, sigma: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 1).astype(np.float32)


def batch(*pictures: np.ndarray) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.4])
@pytest.mark.parametrize("place", CROPS)
def test_psnr_equals_scikit_image(place: tuple[int, int], sigma: float) -> None:
    clean = crop(*place)
    low = noisy(clean, sigma)
    expected = peak_signal_noise_ratio(clean.astype(np.float64), low.astype(np.float64), data_range=1)
    assert float(psnr(batch(low), batch(clean))) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.4])
@pytest.mark.parametrize("place", CROPS)
def test_ssim_equals_scikit_image(place: tuple[int, int], sigma: float) -> None:
    clean = crop(*place)
    low = noisy(clean, sigma)
    # scikit-image pads before it filters and then cuts half a window off its map's edges: what is left is
    # what filtering without padding gives.
    expected = structural_similarity(
        clean.astype(np.float64),
        low.astype(np.float64),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=1,
        channel_axis=2,
    )
    assert float(ssim(batch(low), batch(clean))) == pytest.approx(expected, abs=1e-5)


def test_every_picture_of_a_batch_has_its_own_value() -> None:
    clean = [crop(*place) for place in CROPS]
    low = [noisy(c, sigma) for c, sigma in zip(clean, (0.02, 0.1, 0.3), strict=True)]
    for metric in (psnr, ssim):
        together = metric(batch(*low), batch(*clean))
        alone = torch.cat([metric(batch(a), batch(b)) for a, b in zip(low, clean, strict=True)])
        assert together.shape == (3,)
        torch.testing.assert_close(together, alone)


def test_values_beyond_the_range_are_clipped() -> None:
    clean = batch(crop(*CROPS[0]))
    wild = clean * 4 - 1.5
    for metric in (psnr, ssim):
        torch.testing.assert_close(metric(wild, clean), metric(wild.clamp(0, 1), clean))


def test_equal_pictures_are_perfect() -> None:
    clean = batch(*(crop(*place) for place in CROPS))
    assert torch.isposinf(psnr(clean, clean)).all()
    assert ssim(clean, clean).tolist() == pytest.approx([1, 1, 1], abs=1e-6)


def test_psnr_of_a_constant_error() -> None:
    gray = torch.full((1, 3, 8, 8), 0.5)
    assert float(psnr(gray + 0.1, gray)) == pytest.approx(20, abs=1e-3)
    assert float(psnr(torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))) == pytest.approx(0, abs=1e-6)


def test_ssim_of_flat_pictures_is_their_luminance_term() -> None:
    dark, light = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert float(ssim(dark, light)) == pytest.approx(expected, abs=1e-4)


pictures = arrays(np.float32, (12, 13, 3), elements=st.floats(0, 1, width=32))


@settings(max_examples=40, deadline=None)
@given(pictures, pictures)
def test_both_orders_give_the_same_value_within_bounds(one: np.ndarray, other: np.ndarray) -> None:
    a, b = batch(one), batch(other)
    assert torch.equal(psnr(a, b), psnr(b, a))
    assert psnr(a, b) >= 0
    torch.testing.assert_close(ssim(a, b), ssim(b, a), atol=1e-6, rtol=0)
    assert -1 - 1e-4 <= float(ssim(a, b)) <= 1 + 1e-4


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(CROPS))
def test_more_noise_is_worse(seed: int, place: tuple[int, int]) -> None:
    clean = crop(*place)
    levels = batch(*(noisy(clean, sigma, seed) for sigma in (0.01, 0.03, 0.1, 0.3)))
    for metric in (psnr, ssim):
        values = metric(levels, batch(*[clean] * 4))
        assert (values.diff() < 0).all()


vectors = arrays(np.float32, (3, 8), elements=st.floats(-10, 10, width=32)).filter(
    lambda v: bool((np.linalg.norm(v, axis=1) > 0.1).all())
)


@settings(max_examples=60, deadline=None)
@given(vectors, vectors, st.floats(0.01, 100))
def test_degrees_equals_numpy_and_ignores_length(one: np.ndarray, other: np.ndarray, length: float) -> None:
    a, b = one.astype(np.float64), other.astype(np.float64)
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    expected = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    measured = degrees(torch.from_numpy(one), torch.from_numpy(other))
    np.testing.assert_allclose(measured, expected, atol=1e-3)
    np.testing.assert_allclose(degrees(torch.from_numpy(other), torch.from_numpy(one)), measured, atol=1e-3)
    stretched = degrees(torch.from_numpy(one * np.float32(length)), torch.from_numpy(other))
    np.testing.assert_allclose(stretched, measured, atol=1e-2)
    np.testing.assert_allclose(degrees(torch.from_numpy(one), torch.from_numpy(one)), 0, atol=1e-3)


def test_degrees_of_known_angles() -> None:
    a = torch.tensor([[1.0, 0.0]] * 4)
    b = torch.tensor([[2.0, 0.0], [3.0, 3.0], [0.0, 0.5], [-1.0, 0.0]])
    assert degrees(a, b).tolist() == pytest.approx([0, 45, 90, 180])
