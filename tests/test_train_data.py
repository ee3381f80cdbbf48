"""The pool of training pairs and the sharpened truth."""

from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revisage.lab.data.loader import Sample
from revisage.lab.data.pictures import REACH, SIGMA, sharpen
from revisage.lab.data.pool import Pool


def number_of(index: int) -> Sample:
    return {"low": np.array(index)}


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 5), st.integers(0, 3))
def test_every_block_uses_each_of_its_pairs_equally(reuse: int, pairs: int, block: int, seed: int) -> None:
    pool = Pool(number_of, size=reuse * pairs, reuse=reuse, seed=seed)
    found = [int(pool[i]["low"]) for i in range(block * pool.size, (block + 1) * pool.size)]
    assert Counter(found) == dict.fromkeys(range(block * pairs, (block + 1) * pairs), reuse)


def test_a_pair_depends_on_the_number_of_the_sample_alone() -> None:
    one, other = (Pool(number_of, size=12, reuse=3, seed=1) for _ in range(2))
    expected = [int(one[i]["low"]) for i in range(36)]
    assert [int(other[i]["low"]) for i in reversed(range(36))] == expected[::-1]
    assert expected[:12] != [int(Pool(number_of, size=12, reuse=3, seed=2)[i]["low"]) for i in range(12)]


def test_a_pair_is_degraded_once_and_forgotten_after_its_block() -> None:
    made: list[int] = []

    def make(index: int) -> Sample:
        made.append(index)
        return number_of(index)

    pool = Pool(make, size=20, reuse=5, seed=0)
    for i in range(100):
        assert pool[i]
    assert sorted(made) == list(range(20))
    assert len(pool._pairs) <= 8


@pytest.mark.parametrize(("size", "reuse"), [(0, 1), (4, 0), (5, 2)])
def test_pools_that_cannot_be_shared_evenly_are_refused(size: int, reuse: int) -> None:
    with pytest.raises(ValueError, match="multiple of reuse"):
        Pool(number_of, size=size, reuse=reuse, seed=0)


def test_the_blur_is_what_opencv_takes_for_its_length() -> None:
    side = 2 * round(REACH * SIGMA) + 1
    assert side == 51
    np.testing.assert_allclose(cv2.getGaussianKernel(side, 0), cv2.getGaussianKernel(side, SIGMA))


def test_sharpening_raises_edges_and_leaves_flats_and_faint_grain() -> None:
    flat = np.full((64, 64, 3), 0.4, np.float32)
    np.testing.assert_allclose(sharpen(flat), flat, atol=1e-6)
    grain = flat + np.random.default_rng(0).uniform(-0.02, 0.02, flat.shape).astype(np.float32)
    np.testing.assert_array_equal(sharpen(grain), grain)
    edge = flat.copy()
    edge[:, 32:] = 0.6
    out = sharpen(edge)
    assert out[32, 31, 0] < 0.4 - 0.02
    assert out[32, 32, 0] > 0.6 + 0.02
    np.testing.assert_allclose(out[32, [0, -1], 0], edge[32, [0, -1], 0], atol=2e-3)
    narrow = sharpen(edge, sigma=2)
    assert narrow[32, 31, 0] < 0.4 - 0.02
    np.testing.assert_allclose(narrow[32, [20, 43], 0], edge[32, [20, 43], 0], atol=1e-6)
    assert out[32, 20, 0] < 0.4 - 1e-3  # the published one reaches further
    assert 0 <= out.min() <= out.max() <= 1
