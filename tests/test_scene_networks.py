"""The embedded scene model's network and Real-ESRGAN's critic."""

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from revisage.lab.networks.scene import SCENE_X2, STRIDE, Scene, SceneConfig, enlarge  # noqa: E402
from revisage.lab.networks.unet_discriminator import LEVELS, UNetDiscriminator  # noqa: E402


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_scene_enlarges_every_multiple_of_its_stride(scale: int) -> None:
    network = Scene(SceneConfig(fine=8, coarse=8, blocks=(1, 1, 1), scale=scale))
    torch.nn.init.normal_(network.head.weight)
    y = network(torch.rand(2, 3, 3 * STRIDE, 5 * STRIDE))
    assert y.shape == (2, 3, 3 * STRIDE * scale, 5 * STRIDE * scale)
    y.sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


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


def test_a_fresh_scene_network_is_the_enlargement() -> None:
    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(Scene(SCENE_X2)(x), enlarge(x, 2))


def test_scene_reaches_no_farther_than_it_says() -> None:
    network = Scene(SceneConfig(fine=8, coarse=8, blocks=(1, 2, 1))).double()
    torch.nn.init.normal_(network.head.weight)
    side, scale = 4 * network.radius, network.config.scale
    x = torch.rand(1, 3, side, side, dtype=torch.float64)
    for place in range(side // 2, side // 2 + STRIDE):  # every phase of the unshuffling
        changed = x.clone()
        changed[0, :, place, place] += 1
        touched = (network(changed) - network(x)).abs().sum(dim=(0, 1)) > 0
        rows = touched.any(dim=1).nonzero().flatten() // scale
        assert int(rows.min()) >= place - network.radius
        assert int(rows.max()) <= place + network.radius
        assert int(rows.max()) - int(rows.min()) > network.radius


def test_the_embedded_scene_model_keeps_its_budget() -> None:
    side = 64
    with FlopCounterMode(display=False) as counter:
        Scene(SCENE_X2)(torch.rand(1, 3, side, side))
    assert counter.get_total_flops() <= 0.25e6 * (2 * side) ** 2


def test_the_critic_judges_every_pixel_and_trains_every_weight() -> None:
    critic = UNetDiscriminator(width=4)
    x = torch.rand(2, 3, 2**LEVELS * 3, 2**LEVELS * 2, requires_grad=True)
    y = critic(x)
    assert y.shape == (2, 1, *x.shape[2:])
    (y * torch.randn_like(y)).sum().backward()
    assert x.grad is not None
    assert (x.grad.abs().sum(1) > 0).all()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in critic.parameters())


def test_the_critics_convolutions_have_spectral_norm_one() -> None:
    critic = UNetDiscriminator(width=4).train()
    for _ in range(200):  # one power iteration each
        critic(torch.rand(1, 3, 16, 16))
    normed = [m for m in critic.modules() if torch.nn.utils.parametrize.is_parametrized(m)]
    assert len(normed) == 2 * LEVELS + 2
    for layer in normed:
        norm = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        assert norm.item() == pytest.approx(1, abs=0.01)


def test_the_critics_published_size() -> None:
    with torch.device("meta"):
        critic = UNetDiscriminator()
    # Real-ESRGAN's discriminator has 4,376,897 parameters.
    assert sum(p.numel() for p in critic.parameters()) == 4_376_897
