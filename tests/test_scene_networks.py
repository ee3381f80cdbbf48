"""The scene model's network and Real-ESRGAN's critic."""

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from revisage.lab.networks.discriminators import LEVELS, UNetDiscriminator  # noqa: E402
from revisage.lab.networks.scene import (  # noqa: E402
    SCENE,
    STRIDE,
    OneScale,
    Scene,
    SceneConfig,
    enlarge,
    with_strength,
)


def small() -> Scene:
    network = Scene(SceneConfig(fine=8, coarse=8, blocks=(1, 1, 1), deep=(8, 1), tail=1))
    for last in (network.head_x1, network.head_x2, network.deep[-2]):
        torch.nn.init.normal_(last.weight)
    return network


def test_scene_gives_both_sizes_of_every_multiple_of_its_stride() -> None:
    network = small()
    same, doubled = network(torch.rand(2, 4, 3 * STRIDE, 5 * STRIDE))
    assert same.shape == (2, 3, 3 * STRIDE, 5 * STRIDE)
    assert doubled.shape == (2, 3, 6 * STRIDE, 10 * STRIDE)
    (same.sum() + doubled.sum()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_one_scale_of_it_is_that_picture() -> None:
    network, x = small(), torch.rand(1, 4, 16, 16)
    for scale, wanted in zip((1, 2), network(x), strict=True):
        assert torch.equal(OneScale(network, scale)(x), wanted)


def test_the_strength_changes_the_picture() -> None:
    network, x = small(), torch.rand(1, 3, 16, 16)
    gentle, strong = (network(with_strength(x, torch.tensor([s])))[0] for s in (0.0, 1.0))
    assert not torch.equal(gentle, strong)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_an_enlargement_averages_back_to_the_photo(scale: int) -> None:
    x = torch.rand(2, 3, 12, 20, dtype=torch.float64)
    y = enlarge(x, scale)
    torch.testing.assert_close(F.avg_pool2d(y, scale), x)
    # And stays near the plain bicubic one: on a ramp, away from the borders, they are the same.
    ramp = torch.linspace(0, 1, 24, dtype=torch.float64).expand(1, 1, 24, 24)
    plain = F.interpolate(ramp, scale_factor=scale, mode="bicubic")
    inner = slice(3 * scale, -3 * scale)
    torch.testing.assert_close(enlarge(ramp, scale)[..., inner], plain[..., inner], atol=5e-3, rtol=0)


def test_a_fresh_scene_network_leaves_the_photo_as_it_is() -> None:
    x = torch.rand(1, 4, 16, 16)
    same, doubled = Scene(SCENE)(x)
    assert torch.equal(same, x[:, :3])
    assert torch.equal(doubled, enlarge(x[:, :3], 2))


@pytest.mark.parametrize(("scale", "allowed"), [(1, 0.151e6), (2, 0.383e6)])
def test_the_embedded_scene_model_keeps_its_budget(scale: int, allowed: float) -> None:
    side = 64
    with FlopCounterMode(display=False) as counter:
        OneScale(Scene(SCENE), scale)(torch.rand(1, 4, side, side))
    assert counter.get_total_flops() <= allowed * side**2


def test_the_critic_judges_every_pixel_and_trains_every_weight() -> None:
    critic = UNetDiscriminator(width=4)
    x = torch.rand(2, 3, 2**LEVELS * 3, 2**LEVELS * 2, requires_grad=True)
    y = critic(x)
    assert y.shape == (2, 1, *x.shape[2:])
    (y * torch.randn_like(y)).sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(1) > 0).all()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in critic.parameters())
