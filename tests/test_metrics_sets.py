"""Distances between sets of pictures against independent implementations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402
from torchmetrics.image.kid import poly_mmd  # noqa: E402

from revisage.lab.metrics import frechet, kid  # noqa: E402


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(1)


def spread(seed: int, n: int, d: int, shift: float = 0.0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + shift)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(x.numpy().mean(0)), torch.from_numpy(np.cov(x.numpy().T))


@pytest.mark.parametrize("n", [200, 12])  # more and fewer pictures than dimensions
def test_frechet_equals_scipys_square_root(n: int) -> None:
    (mean_a, cov_a), (mean_b, cov_b) = moments(spread(0, n, 20)), moments(spread(1, n, 20, shift=0.3))
    root = linalg.sqrtm(cov_a.numpy() @ cov_b.numpy()).real
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a.numpy() + cov_b.numpy() - 2 * root)
    assert frechet.frechet(mean_a, cov_a, mean_b, cov_b) == pytest.approx(float(expected), rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(-3, 3)] * 2, *[st.floats(0, 4)] * 2), min_size=1, max_size=6),
)
def test_frechet_of_independent_dimensions(dimensions: list[tuple[float, float, float, float]]) -> None:
    mean_a, mean_b, deviation_a, deviation_b = torch.tensor(dimensions, dtype=torch.float64).T
    expected = (mean_a - mean_b).square().sum() + (deviation_a - deviation_b).square().sum()
    measured = frechet.frechet(mean_a, deviation_a.square().diag(), mean_b, deviation_b.square().diag())
    assert measured == pytest.approx(float(expected), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 7), min_size=2, max_size=6).filter(lambda parts: sum(parts) >= 2))
def test_gaussian_gathers_as_numpy_does_at_once(parts: list[int]) -> None:
    x = spread(3, sum(parts), 5, shift=1e4)  # far from zero, where sums of squares would lose digits
    gathered = frechet.Gaussian()
    for part in x.split(parts):
        gathered.add(part)
    mean, covariance = gathered.moments()
    np.testing.assert_allclose(mean, x.numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(covariance, np.cov(x.numpy().T), rtol=1e-8, atol=1e-8)


def test_kid_equals_torchmetrics() -> None:
    x, y = spread(0, 40, 12), spread(1, 40, 12, shift=0.5)
    expected = float(poly_mmd(x, y))
    assert kid.mmd2(x, y) == pytest.approx(expected, rel=1e-9)
    assert kid.kid(x, y) == pytest.approx(expected, rel=1e-9)  # few enough to be taken whole


def test_kid_by_hand_for_sets_of_other_sizes() -> None:
    x, y = torch.tensor([[1.0], [2.0], [0.0]]), torch.tensor([[1.0], [-1.0]])
    within_x = (3**3 + 1 + 1) / 3  # pairs (1,2), (1,0), (2,0)
    within_y = 0.0  # the pair (1,-1)
    between = (2**3 + 0 + 3**3 + (-1) ** 3 + 1 + 1) / 6
    assert kid.mmd2(x, y) == pytest.approx(within_x + within_y - 2 * between)


def test_kid_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    values = [kid.mmd2(*(torch.from_numpy(rng.normal(size=(15, 4))) for _ in range(2))) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / 20
    assert min(values) < 0


def test_kid_of_large_sets_is_a_seeded_mean_over_subsets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kid, "SUBSET_SIZE", 50)
    x, y = spread(0, 120, 6), spread(0, 130, 6, shift=0.4)
    once = kid.kid(x, y)
    assert once == kid.kid(x, y)
    assert once != kid.mmd2(x, y)
    assert once == pytest.approx(kid.mmd2(x, y), rel=0.2)


def test_reservoir_keeps_every_picture_equally_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kid, "KEPT", 8)
    hits = np.zeros(32)
    for seed in range(400):
        monkeypatch.setattr(kid, "_SEED", seed)
        reservoir = kid.Reservoir()
        for part in torch.arange(32.0)[:, None].split([5, 20, 7]):
            reservoir.add(part)
        kept = reservoir.features()
        assert kept.shape == (8, 1)
        hits[kept.flatten().long().numpy()] += 1
    assert stats.chisquare(hits).pvalue > 1e-3
