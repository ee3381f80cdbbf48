"""The progressive GAN's degradation against its paper."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revisage.lab.data.pictures import read_picture
from revisage.lab.degrade import RECIPES
from revisage.lab.degrade.progressive import RESTORE, UPSCALE, Progressive, Ranges


@pytest.mark.parametrize(
    ("row", "name"), [(UPSCALE, "progressive-16"), (RESTORE, "progressive-128")], ids=["16", "128"]
)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_parameters_stay_in_the_table(row: Ranges, name: str, seed: int) -> None:
    step = RECIPES[name].sample(np.random.default_rng(seed))
    # The table of the paper (Kim et al., "Random parameters ranges"), written out once more.
    k, sigma, s, delta, q = {
        16: (5, 5, (43, 128), 10, 60),
        128: (11, 10, (16, 128), 30, 50),
    }[row.u]
    assert step.u == row.u
    assert 1 <= step.kernel <= k
    assert step.kernel % 2 == 1
    assert 0 <= step.sigma <= sigma
    assert s[0] <= step.s <= s[1]
    assert 0 <= step.noise <= delta / 255
    assert q <= step.quality <= 100


@pytest.mark.parametrize("row", [UPSCALE, RESTORE])
def test_every_end_of_a_whole_number_range_is_drawn(row: Ranges) -> None:
    rng = np.random.default_rng(0)
    steps = [Progressive.sample(rng, row) for _ in range(4000)]
    assert {step.kernel for step in steps} == set(range(1, row.kernel + 1, 2))
    assert {step.s for step in steps} == set(range(row.s[0], row.s[1] + 1))
    assert {step.quality for step in steps} == set(range(row.quality, 101))


def test_a_thumbnail_has_sixteen_pixels_a_side() -> None:
    picture = np.random.default_rng(0).random((128, 128, 3), np.float32)
    step = Progressive.sample(np.random.default_rng(1), UPSCALE)
    assert step.low(picture).shape == (16, 16, 3)
    assert step.apply(picture).shape == (128, 128, 3)


def test_without_damage_the_picture_stays() -> None:
    y, x = np.mgrid[:128, :128] / 128
    picture = np.stack([x, y, 1 - x], axis=2).astype(np.float32)
    step = Progressive(u=128, kernel=1, sigma=9.0, s=128, noise=0.0, quality=100, seed=0)
    assert np.abs(step.apply(picture) - picture).max() < 0.03  # JPEG's colours at half size


# The paper's own input rows (PSNR, SSIM, MS-SSIM), and how near the means have to come. It says neither how
# a thumbnail is enlarged for measuring nor which MS-SSIM it is; that of 128 is of one batch of 16 pictures.
@pytest.mark.parametrize(
    ("name", "row", "near"),
    [
        ("progressive-16", (20.1, 0.59, 0.818), (1.0, 0.05, 0.04)),
        ("progressive-128", (21.1, 0.57, 0.83), (2.5, 0.12, 0.06)),
    ],
)
def test_the_papers_input_row_comes_out_on_lfw(
    shared: Path, name: str, row: tuple[float, ...], near: tuple[float, ...]
) -> None:
    torch = pytest.importorskip("torch")
    from revisage.lab.metrics.ms_ssim import ms_ssim
    from revisage.lab.metrics.psnr import psnr
    from revisage.lab.metrics.ssim import ssim

    paths = sorted((shared / "data" / "lfw128").glob("*/*_0001.webp"))[::40]
    values = []
    for i, path in enumerate(paths):
        clean = read_picture(path).astype(np.float32) / 255
        low = RECIPES[name].apply(clean, RECIPES[name].sample(np.random.default_rng((0, i))))
        pair = [torch.from_numpy(p.transpose(2, 0, 1)[None].copy()) for p in (low, clean)]
        values.append([float(metric(*pair)) for metric in (psnr, ssim, ms_ssim)])
    mean, spread = np.mean(values, axis=0), np.std(values, axis=0)
    assert (np.abs(mean - row) < np.minimum(spread, near)).all()  # and within the spread of one picture
