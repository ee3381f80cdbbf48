"""Each piece against its equation, a second implementation, or a statistic that it must have."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revisage.lab.degrade import RECIPES, description, kernels, mixtures
from revisage.lab.degrade.ageing import Halftone, Toning
from revisage.lab.degrade.camera import GaussianNoise, LowResolution, PoissonNoise, jpeg
from revisage.lab.degrade.colour import ColourJitter, ColourShift, Gray
from revisage.lab.degrade.esrgan import FIRST, FirstOrder, Order, SecondOrder
from revisage.lab.degrade.gfpgan import Gfpgan
from revisage.lab.degrade.kernels import GaussianBlur, KernelBlur
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


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return -10 * math.log10(float(((a - b) ** 2).mean()) + 1e-12)


# Kernels


@given(seed=seeds)
@settings(deadline=None)
def test_every_kernel_sums_to_one_and_is_point_symmetric(seed: int) -> None:
    kernel = KernelBlur.sample(np.random.default_rng(seed)).kernel()
    assert kernel.dtype == np.float32
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert kernel.sum() == pytest.approx(1, abs=1e-4)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)


def test_the_shape_of_a_generalised_gaussian_is_beta() -> None:
    for beta in (0.5, 1.0, 4.0):
        kernel = kernels.gaussian(15, 2.0, 1.0, beta=beta)
        assert kernel[7, 9] / kernel[7, 7] == pytest.approx(math.exp(-0.5), rel=1e-5)  # one sigma away
        assert kernel[7, 11] / kernel[7, 7] == pytest.approx(math.exp(-0.5 * 4**beta), rel=1e-5)


def test_isotropic_gaussian_is_opencvs() -> None:
    line = cv2.getGaussianKernel(13, 1.7)
    np.testing.assert_allclose(kernels.gaussian(13, 1.7, 1.7), line @ line.T, atol=1e-6)


def test_angle_turns_the_long_axis() -> None:
    upright = kernels.gaussian(21, 4.0, 1.0, math.pi / 2)
    np.testing.assert_allclose(upright, kernels.gaussian(21, 4.0, 1.0, 0.0).T, atol=1e-7)
    # The variance along x of a Gaussian turned by a is (sx cos a)^2 + (sy sin a)^2.
    x = np.arange(41) - 20
    spread = (kernels.gaussian(41, 4.0, 2.0, 0.5).sum(axis=0) * x**2).sum()
    assert spread == pytest.approx((4 * math.cos(0.5)) ** 2 + (2 * math.sin(0.5)) ** 2, rel=1e-2)


def test_bessel_has_its_tabulated_values() -> None:
    # Abramowitz and Stegun, table 9.1.
    values = kernels.bessel_j1(np.array([0.0, 1.0, 5.0, 10.0, 15.0]))
    np.testing.assert_allclose(
        values, [0.0, 0.4400505857, -0.3275791376, 0.0434727462, 0.2051040386], atol=1e-9
    )


def test_sinc_passes_below_its_cutoff_and_stops_above() -> None:
    spectrum = np.abs(np.fft.fft2(kernels.sinc(41, math.pi / 2), (128, 128)))
    assert spectrum[0, 16] == pytest.approx(1, abs=0.15)  # pi / 4
    assert spectrum[0, 48] < 0.1  # 3 pi / 4


def test_unequal_axis_aligned_blur_equals_its_kernel() -> None:
    image = photo(64)
    direct = kernels.convolve(image, kernels.gaussian(31, 3.0, 1.0))
    np.testing.assert_allclose(kernels.gaussian_blur(image, 3.0, 1.0), direct, atol=2e-3)


@given(seed=seeds)
@settings(max_examples=20, deadline=None)
def test_blur_keeps_flat_pictures(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for blur in (KernelBlur.sample(rng), GaussianBlur.sample(rng)):
        np.testing.assert_allclose(blur.apply(flat(0.4, 48)), 0.4, atol=1e-4)


# Noise, JPEG, resizing


def test_gaussian_noise_has_its_sigma_and_no_drift() -> None:
    low = GaussianNoise(0.05, False, 3).apply(flat(0.5))
    assert low.std() == pytest.approx(0.05, rel=0.02)
    assert low.mean() == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("noise", [GaussianNoise(0.05, True, 3), PoissonNoise(2.0, True, 3)])
def test_gray_noise_is_the_same_in_all_channels(noise: GaussianNoise | PoissonNoise) -> None:
    change = noise.apply(photo() * 0.5 + 0.25) - (photo() * 0.5 + 0.25)
    np.testing.assert_allclose(change[..., 0], change[..., 2], atol=1e-6)


def test_poisson_noise_has_poisson_variance() -> None:
    for value in (0.2, 0.8):
        low = PoissonNoise(1.0, False, 1).apply(flat(value))
        assert low.var() == pytest.approx(value / 256, rel=0.03)


@given(
    seed=st.integers(0, 2**31 - 1), levels=st.lists(st.floats(0, 0.2), min_size=2, max_size=4, unique=True)
)
@settings(max_examples=15, deadline=None)
def test_more_noise_is_never_closer(seed: int, levels: list[float]) -> None:
    clean = photo(48)
    quality = [psnr(GaussianNoise(sigma, False, seed).apply(clean), clean) for sigma in sorted(levels)]
    assert quality == sorted(quality, reverse=True)


@pytest.mark.parametrize(
    "worse",
    [
        [jpeg(photo(), quality) for quality in (95, 75, 50, 20, 5)],
        [LowResolution(factor, "area", "bicubic").apply(photo()) for factor in (1.5, 3.0, 6.0, 12.0)],
        [GaussianBlur(sigma, sigma, 0.0).apply(photo()) for sigma in (1.0, 3.0, 9.0, 20.0)],
    ],
    ids=["jpeg", "low-resolution", "blur"],
)
def test_more_is_worse(worse: list[np.ndarray]) -> None:
    quality = [psnr(low, photo()) for low in worse]
    assert quality == sorted(quality, reverse=True)


def test_jpeg_keeps_red_red() -> None:
    low = jpeg(np.broadcast_to(np.array([0.9, 0.2, 0.1], np.float32), (32, 32, 3)), 95)
    np.testing.assert_allclose(low.mean(axis=(0, 1)), [0.9, 0.2, 0.1], atol=0.01)


# GFP-GAN


def reference_gfpgan(image: np.ndarray, p: Gfpgan) -> np.ndarray:
    """Equation 11 written out at 512 pixels."""
    axis = np.arange(-40, 41)
    x, y = np.meshgrid(axis, axis)
    turn = np.array([[math.cos(p.angle), math.sin(p.angle)], [-math.sin(p.angle), math.cos(p.angle)]])
    inverse = turn.T @ np.diag([p.sigma_x**-2, p.sigma_y**-2]) @ turn
    kernel = np.exp(-0.5 * (inverse[0, 0] * x * x + 2 * inverse[0, 1] * x * y + inverse[1, 1] * y * y))
    low = cv2.filter2D(image, -1, kernel / kernel.sum())
    side = round(512 / p.factor)
    low = cv2.resize(low, (side, side), interpolation=cv2.INTER_LINEAR)
    low = low + p.noise * np.random.default_rng(p.seed).standard_normal((side, side, 3), dtype=np.float32)
    low8 = np.rint(np.clip(low, 0, 1) * 255).astype(np.uint8)
    _, data = cv2.imencode(".jpg", low8[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, p.quality])
    low = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1].astype(np.float32) / 255
    return cv2.resize(low, (512, 512), interpolation=cv2.INTER_LINEAR)


@given(seed=seeds)
@settings(max_examples=8, deadline=None)
def test_gfpgan_is_its_equation_at_512(seed: int) -> None:
    params = Gfpgan.sample(np.random.default_rng(seed))
    image = photo(512)
    # A rounding that falls the other way before JPEG moves a few pixels: the mean has to agree, not each one.
    assert np.abs(params.apply(image) - reference_gfpgan(image, params)).mean() < 1 / 255


def test_gfpgan_means_the_same_at_half_the_size() -> None:
    large = photo(512)
    small = cv2.resize(large, (256, 256), interpolation=cv2.INTER_AREA)
    for factor in (1.0, 2.5, 4.0, 6.0):
        params = Gfpgan(4.0, 2.0, 0.7, factor, 10 / 255, 100, 11)
        at_512 = cv2.resize(params.apply(large), (256, 256), interpolation=cv2.INTER_AREA)
        assert psnr(params.apply(small), small) == pytest.approx(psnr(at_512, small), abs=1.0)


def test_the_recipes_of_gfpgan_differ_in_the_size_of_the_face_alone() -> None:
    for seed in range(20):
        paper, hard = (RECIPES[name].sample(np.random.default_rng(seed)) for name in ("paper", "hard"))
        assert hard == replace(paper, factor=2 * paper.factor)
        assert RECIPES["gfpgan"].sample(np.random.default_rng(seed)) == paper
        assert 1 <= paper.factor <= 8
    sharp = Gfpgan(0.01, 0.01, 0.0, 16.0, 0.0, 100, 0)
    low = sharp.apply(photo(256))
    small = cv2.resize(photo(256), (32, 32), interpolation=cv2.INTER_LINEAR)
    back = cv2.resize(small, (256, 256), interpolation=cv2.INTER_LINEAR)
    assert np.abs(low - back).mean() < 4 / 255  # r of 8 at the half size: 256 / 8 pixels


def test_a_degradation_is_described_without_jumps() -> None:
    plain = Gfpgan(2.0, 2.0, 1.3, 4.0, 15 / 255, 60, 0)
    np.testing.assert_allclose(description(plain), [math.log(2), 0, 0, math.log(4), 1, 1], rtol=1e-6)
    # The same blur, its axes named the other way round, or turned by half a circle.
    same = [Gfpgan(4.0, 1.0, 0.3, 1, 0, 100, 0), Gfpgan(1.0, 4.0, 0.3 + math.pi / 2, 1, 0, 100, 0)]
    same.append(replace(same[0], angle=0.3 - math.pi))
    for other in same[1:]:
        np.testing.assert_allclose(description(other), description(same[0]), atol=1e-6)
    assert np.isnan(description(Chain((Gray(),)))).all()
    np.testing.assert_array_equal(description(Chain((Gray(), plain))), description(plain))


def test_gfpgan_without_degradation_is_nearly_the_identity() -> None:
    params = Gfpgan(0.01, 0.01, 0.0, 1.0, 0.0, 100, 0)
    for side in (64, 256, 512):
        assert psnr(params.apply(photo(side)), photo(side)) > 40


@given(seed=seeds)
@settings(deadline=None)
def test_gfpgan_draws_within_the_papers_ranges(seed: int) -> None:
    p = Gfpgan.sample(np.random.default_rng(seed))
    assert 0.2 <= p.sigma_x <= 10
    assert 0.2 <= p.sigma_y <= 10
    assert 1 <= p.factor <= 8
    assert 0 <= p.noise <= 15 / 255
    assert 60 <= p.quality <= 100


# Real-ESRGAN


def test_first_order_without_degradation_is_nearly_the_identity() -> None:
    order = Order(None, 1.0, "area", GaussianNoise(0.0, False, 0))
    mild = FirstOrder(order, FirstOrder.sample(np.random.default_rng(0)).jpeg, "area")
    assert psnr(mild.apply(photo()), photo()) > 30


def test_second_order_draws_what_is_published() -> None:
    rng = np.random.default_rng(0)
    draws = [SecondOrder.sample(rng) for _ in range(2000)]

    def share(flags: list[bool]) -> float:
        return sum(flags) / len(flags)

    assert share([d.sinc_size > 0 for d in draws]) == pytest.approx(0.8, abs=0.03)
    assert share([d.second.blur is not None for d in draws]) == pytest.approx(0.8, abs=0.03)
    assert share([d.first.factor > 1 for d in draws]) == pytest.approx(0.2, abs=0.03)
    assert share([d.first.factor < 1 for d in draws]) == pytest.approx(0.7, abs=0.03)
    assert share([isinstance(d.first.noise, GaussianNoise) for d in draws]) == pytest.approx(0.5, abs=0.04)
    kinds = [d.first.blur.kind for d in draws if d.first.blur is not None]
    assert share([kind == "sinc" for kind in kinds]) == pytest.approx(0.1, abs=0.03)
    assert share([kind == "gaussian" for kind in kinds]) == pytest.approx(0.63, abs=0.04)
    assert all(FIRST.factor[0] <= d.first.factor <= FIRST.factor[1] for d in draws)


@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_second_order_does_not_shift_the_mean(seed: int) -> None:
    low = SecondOrder.sample(np.random.default_rng(seed)).apply(photo(128) * 0.5 + 0.25)
    assert abs(float(low.mean() - (photo(128) * 0.5 + 0.25).mean())) < 0.03


# Colour pieces and mixtures


ALL = ("brightness", "contrast", "saturation", "hue")


def test_neutral_jitter_is_the_identity() -> None:
    np.testing.assert_allclose(ColourJitter(ALL, 1.0, 1.0, 1.0, 0.0).apply(photo()), photo(), atol=1e-5)
    gray = ColourJitter(ALL, 1.0, 1.0, 0.0, 0.0).apply(photo())
    np.testing.assert_allclose(gray, Gray().apply(photo()), atol=1e-5)


@given(seed=seeds)
@settings(deadline=None, max_examples=30)
def test_jitter_is_torchvisions(seed: int) -> None:
    import torch
    from torchvision.transforms import functional

    step = ColourJitter.sample(np.random.default_rng(seed))
    assert sorted(step.order) == sorted(ALL)
    expected = torch.from_numpy(photo(32).transpose(2, 0, 1).copy())
    for name in step.order:
        expected = getattr(functional, f"adjust_{name}")(expected, getattr(step, name))
    np.testing.assert_allclose(step.apply(photo(32)), expected.numpy().transpose(1, 2, 0), atol=2e-3)


def test_jitter_draws_the_published_ranges() -> None:
    draws = [ColourJitter.sample(np.random.default_rng(seed)) for seed in range(2000)]
    ranges = {"brightness": (0.5, 1.5), "contrast": (0.5, 1.5), "saturation": (0, 1.5), "hue": (-0.1, 0.1)}
    for name, (low, high) in ranges.items():
        values = [getattr(step, name) for step in draws]
        assert low <= min(values) < low + 0.02
        assert high - 0.02 < max(values) <= high
    assert len({step.order for step in draws}) == math.factorial(4)


def test_the_published_training_changes_colours_in_its_shares() -> None:
    draws = [mixtures.sample_gfpgan_train(np.random.default_rng(seed)).steps for seed in range(4000)]
    assert all(isinstance(steps[0], Gfpgan) for steps in draws)
    for kind, share in ((ColourShift, 0.3), (Gray, 0.01), (ColourJitter, 0.3)):
        seen = sum(any(isinstance(step, kind) for step in steps) for steps in draws) / len(draws)
        assert seen == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / len(draws)))
    for step in (step for steps in draws for step in steps if isinstance(step, ColourShift)):
        assert max(map(abs, step.shift)) <= 20 / 255


def flattened(chain: Chain) -> list[object]:
    return [
        inner for step in chain.steps for inner in (flattened(step) if isinstance(step, Chain) else [step])
    ]


def test_the_face_mixture_has_its_shares() -> None:
    rng = np.random.default_rng(0)
    samples = [mixtures.sample_face(rng) for _ in range(4000)]
    draws = [flattened(sample) for sample in samples]
    colourless = sum(any(isinstance(step, Gray | Toning) for step in steps) for steps in draws)
    second = sum(any(isinstance(step, SecondOrder) for step in steps) for steps in draws)
    assert colourless / len(draws) == pytest.approx(0.15, abs=0.025)
    assert second / len(draws) == pytest.approx(0.15, abs=0.025)
    old = sum(any(isinstance(step, Chain) for step in sample.steps) for sample in samples)
    assert old / len(draws) == pytest.approx(0.20, abs=0.025)
    clean = sum(all(isinstance(step, Gray | Toning) for step in steps) for steps in draws)
    assert clean / len(draws) == pytest.approx(0.05, abs=0.015)
    factors = np.array([step.factor for steps in draws for step in steps if isinstance(step, Gfpgan)])
    assert (factors > 8).mean() == pytest.approx(0.45 * 8 / 15 / 0.8, abs=0.03)  # of those with the equation
    assert 15.9 < factors.max() <= 16


def test_the_mixtures_of_the_scene_model_have_their_shares() -> None:
    rng = np.random.default_rng(0)
    draws = [flattened(RECIPES["taught"].sample(rng)) for _ in range(4000)]
    first = sum(any(isinstance(step, FirstOrder) for step in steps) for steps in draws)
    assert first / len(draws) == pytest.approx(0.57, abs=0.03)
    patterns = [flattened(mixtures.sample_pattern(rng))[0] for _ in range(2000)]
    assert sum(isinstance(step, Halftone) for step in patterns) / 2000 == pytest.approx(0.4, abs=0.04)
    aged = [flattened(RECIPES["aged"].sample(rng)) for _ in range(2000)]
    assert not any(isinstance(step, FirstOrder | SecondOrder) for steps in aged for step in steps)
