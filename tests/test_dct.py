"""Pictures as bands: the cosine transform, and that photos are equally loud in all of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.fft import dctn
from torch import nn

from revisage.lab.filters import FrequencyBands
from revisage.lab.losses.adversarial import discriminator_logistic
from revisage.lab.networks.discriminators import Discriminator, DiscriminatorConfig


@pytest.mark.parametrize("block", [2, 4])
def test_each_block_is_its_cosine_transform(block: int) -> None:
    picture = torch.rand(2, 3, 3 * block, 2 * block) * 2 - 1
    bands = FrequencyBands(block, block)
    found = bands(picture).reshape(2, 3, block, block, 3, 2)
    sizes = 1 / bands.filters[: block**2].square().sum((1, 2, 3)).sqrt()  # the filters' basis has length 1
    for row, column in np.ndindex(3, 2):
        part = picture[1, 2, row * block : (row + 1) * block, column * block : (column + 1) * block]
        wanted = dctn(part.numpy(), norm="ortho") / sizes.reshape(block, block).numpy()
        np.testing.assert_allclose(found[1, 2, :, :, row, column].numpy(), np.arcsinh(wanted), atol=1e-4)


def test_overlapping_blocks_hold_those_side_by_side() -> None:
    picture = torch.rand(1, 3, 8, 12)
    every = FrequencyBands(2, 1)(picture)
    assert every.shape == (1, 12, 8, 12)
    torch.testing.assert_close(every[..., ::2, ::2], FrequencyBands(2, 2)(picture))


@pytest.mark.parametrize("block", [2, 4])
def test_a_photo_is_about_as_loud_in_every_band(block: int) -> None:
    data = pytest.importorskip("skimage.data")
    photo = torch.from_numpy(data.astronaut()[:512, :512].transpose(2, 0, 1)[None] / 127.5 - 1).float()
    loud = FrequencyBands(block, block)(photo).square().mean((0, 2, 3)).sqrt().reshape(3, -1).mean(0)
    assert float(loud.min()) > 0.3
    assert float(loud.max()) < 3
    plain = F.pixel_unshuffle(photo, block)
    blurred = F.avg_pool2d(photo, 3, 1, 1)
    # What blurring takes away is a small part of the pixels, and a large one of the bands.
    assert (photo - blurred).square().mean() < 0.05 * plain.square().mean()
    gone = FrequencyBands(block, block)(photo - blurred).square().mean()
    assert gone > 0.2 * FrequencyBands(block, block)(photo).square().mean()


def test_half_the_power_divides_by_the_root_and_leaves_the_mean() -> None:
    whole, half, none = (
        FrequencyBands(4, 4, power).filters.flatten(1).norm(dim=1)[:16] for power in (1.0, 0.5, 0.0)
    )
    torch.testing.assert_close(half[0], whole[0])
    torch.testing.assert_close(half.square(), whole * none)
    torch.testing.assert_close(none, none[0].expand(16))


@pytest.mark.parametrize("bands", [True, False])
def test_a_critic_of_bands_soon_tells_soft_from_sharp_and_one_of_pixels_does_not(bands: bool) -> None:
    torch.manual_seed(0)
    critic = Discriminator(DiscriminatorConfig(32, (16, 16), stem=4))
    if not bands:
        critic.bands = nn.PixelUnshuffle(4)
    optimizer = torch.optim.Adam(critic.parameters(), 5e-3, betas=(0.5, 0.99))
    losses = []
    for _ in range(100):
        coarse = F.interpolate(torch.rand(6, 3, 4, 4) * 2 - 1, 32, mode="bilinear")
        sharp, soft = (coarse + grain * torch.randn(6, 3, 32, 32) for grain in (0.04, 0.01))
        loss = discriminator_logistic(critic(sharp), critic(soft))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 1.3
    assert (np.mean(losses[-20:]) < 0.3) == bands
