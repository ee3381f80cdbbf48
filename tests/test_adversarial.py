"""Discriminators, the generator of faces, and the adversarial losses, against values worked out by hand."""

import math
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from revisage.lab.losses.adversarial import (  # noqa: E402  # noqa: E402
    discriminator_logistic,
    generator_logistic,
    path_length,
    path_lengths,
    r1,
)
from revisage.lab.losses.components import COMPONENTS, component_boxes, crop_component  # noqa: E402
from revisage.lab.losses.perceptual import feature_matching  # noqa: E402
from revisage.lab.networks.discriminators import (  # noqa: E402
    CLEAR_CRITIC,
    DISCRIMINATOR_128,
    ComponentDiscriminator,
    Discriminator,
    DiscriminatorConfig,
    EqualConv2d,
    EqualLinear,
    minibatch_deviation,
    stylegan2_discriminator,
)
from revisage.lab.networks.gfpgan import CLEAR_256, COMPACT_256, GFPGAN, GFPGANConfig  # noqa: E402
from revisage.lab.networks.prior import FacePrior, PriorConfig  # noqa: E402

SMALL = DiscriminatorConfig(32, (8, 12, 16, 16))
TINY_PRIOR = PriorConfig(32, (16, 12, 8, 8), style_dim=8, mapping=2)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def test_the_logistic_losses_by_hand() -> None:
    fake, real = torch.tensor([0.0, math.log(3)]), torch.tensor([math.log(3), 0.0])
    # softplus(0) = ln 2, softplus(ln 3) = ln 4, softplus(-ln 3) = ln 4/3.
    assert float(generator_logistic(fake)) == pytest.approx((math.log(2) + math.log(4 / 3)) / 2)
    want = (math.log(2) + math.log(4)) / 2 + (math.log(4 / 3) + math.log(2)) / 2
    assert float(discriminator_logistic(real, fake)) == pytest.approx(want)


def test_the_discriminators_loss_is_binary_cross_entropy() -> None:
    real, fake = torch.randn(5), torch.randn(7)
    cross = F.binary_cross_entropy_with_logits
    want = cross(real, torch.ones(5)) + cross(fake, torch.zeros(7))
    torch.testing.assert_close(discriminator_logistic(real, fake), want)
    torch.testing.assert_close(generator_logistic(fake), cross(fake, torch.ones(7)))


def test_a_certain_discriminator_still_teaches_the_generator() -> None:
    logit = torch.tensor([-30.0], requires_grad=True)
    generator_logistic(logit).backward()
    assert float(logit.grad) == pytest.approx(-1, abs=1e-6)  # the saturating form would give nearly 0


def test_r1_of_a_linear_critic_is_half_the_squared_norm_of_its_weights() -> None:
    weight = torch.randn(3 * 4 * 4)
    real = torch.randn(5, 3, 4, 4, requires_grad=True)
    penalty = r1(real.flatten(1) @ weight, real)
    assert float(penalty) == pytest.approx(0.5 * float(weight.square().sum()), rel=1e-5)


def test_r1_reaches_the_critics_weights() -> None:
    critic = Discriminator(SMALL)
    real = torch.rand(2, 3, 32, 32).requires_grad_()
    r1(critic(real), real).backward()
    assert all(p.grad is not None for n, p in critic.named_parameters() if n.endswith("weight"))


def test_path_lengths_of_a_linear_generator() -> None:
    # picture = A w for each layer: J = A, whatever w, and E |Aᵀ y|² = |A|² for y ~ N(0, 1).
    matrix = torch.randn(3 * 8 * 8, 6)
    codes = torch.randn(4000, 2, 6, requires_grad=True)
    picture = (codes.sum(1) @ matrix.T).view(-1, 3, 8, 8)
    lengths = path_lengths(picture, codes, torch.randn_like(picture))
    want = float(matrix.square().sum()) / 64
    assert float(lengths.square().mean()) == pytest.approx(want, rel=0.05)
    assert float(path_length(torch.tensor([1.0, 4.0]), torch.tensor(2.0))) == pytest.approx(2.5)


def test_feature_matching_by_hand() -> None:
    fake = [torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0]])]
    real = [torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0]])]
    assert float(feature_matching(fake, real)) == pytest.approx((1.5 + 3) / 2)
    with pytest.raises(ValueError, match="two lists of the same length"):
        feature_matching(fake, real[:1])


def test_feature_matching_takes_the_truth_as_given() -> None:
    fake, real = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    feature_matching([fake], [real]).backward()
    assert fake.grad is not None
    assert real.grad is None


def face(middle: tuple[float, float], scale: float) -> Tensor:
    """Five points of an upright face: eyes and mouth `scale` px apart, the nose between them."""
    x, y = middle
    half = scale / 2
    points = [(x - half, y - half), (x + half, y - half), (x, y), (x - half, y + half), (x + half, y + half)]
    return torch.tensor([points])


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda c: c.name)
def test_components_are_squares_around_their_landmarks(component: object) -> None:
    assert component in COMPONENTS
    box = component_boxes(face((50, 60), 40), component)[0]  # type: ignore[arg-type]
    where = {"right_eye": (30, 40), "left_eye": (70, 40), "nose": (50, 60), "mouth": (50, 80)}
    name, side = component.name, component.side * 40  # type: ignore[attr-defined]
    # Pixel centres at whole numbers are half a pixel from the edges that boxes count from.
    assert ((box[:2] + box[2:]) / 2 - 0.5).tolist() == pytest.approx(where[name])
    assert (box[2:] - box[:2]).tolist() == pytest.approx([side, side])


def test_a_turned_heads_components_keep_their_size() -> None:
    turned = face((50, 60), 40)
    turned[..., 0] = 50 + (turned[..., 0] - 50) * 0.4  # eyes near each other, as seen from the side
    boxes = [component_boxes(points, COMPONENTS[0])[0] for points in (turned, face((50, 60), 40))]
    assert (boxes[0][2:] - boxes[0][:2]).tolist() == pytest.approx((boxes[1][2:] - boxes[1][:2]).tolist())


def test_a_crop_shows_the_pixels_of_its_box() -> None:
    ramp = torch.arange(64.0).expand(3, 64, 64)  # each pixel's value is its column
    pictures = torch.stack([ramp, ramp.transpose(1, 2)])
    points = face((30, 30), 32).repeat(2, 1, 1)
    nose = next(c for c in COMPONENTS if c.name == "nose")
    crop = crop_component(pictures, points, replace(nose, side=0.5), 16)
    assert crop.shape == (2, 3, 16, 16)
    want = torch.arange(16.0) + 30.5 - 8
    torch.testing.assert_close(crop[0, 0, 4], want)
    torch.testing.assert_close(crop[1, 0, :, 4], want)


def test_crops_carry_gradients_to_their_part_of_the_picture() -> None:
    picture = torch.zeros(1, 3, 64, 64, requires_grad=True)
    crop_component(picture, face((30, 30), 24), COMPONENTS[0], 8).sum().backward()
    assert picture.grad is not None
    rows, columns = picture.grad[0, 0].nonzero(as_tuple=True)
    assert rows.max() < 30
    assert columns.max() < 30
    assert float(picture.grad.sum()) == pytest.approx(3 * 64, rel=1e-4)


@pytest.mark.parametrize("config", [SMALL, DISCRIMINATOR_128], ids=["small", "compact"])
def test_a_discriminator_gives_one_logit_a_picture(config: DiscriminatorConfig) -> None:
    critic = Discriminator(config)
    pictures = torch.rand(2, 3, config.size, config.size).requires_grad_()
    logits = critic(pictures)
    assert logits.shape == (2,)
    logits.sum().backward()
    assert pictures.grad is not None
    assert (pictures.grad != 0).float().mean() > 0.9
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in critic.parameters())


def test_a_conditional_discriminator_weighs_the_input_and_sees_no_finest_octave() -> None:
    critic = Discriminator(CLEAR_CRITIC)
    picture, low = torch.rand(2, 2, 3, 256, 256)
    logits = critic(picture, low)
    assert logits.shape == (2,)
    assert not torch.allclose(logits, critic(picture, low.flip(0)))
    checks = torch.ones(256, 256)
    checks[::2] *= -1
    with_checks, without = critic.see(picture + 0.2 * checks), critic.see(picture)
    inner = slice(2, -2)  # at the edges lines are repeated
    torch.testing.assert_close(with_checks[..., inner, :], without[..., inner, :], atol=1e-3, rtol=0)
    with pytest.raises(AssertionError, match="conditional"):
        critic(picture)


def test_half_the_whitening_leaves_a_critics_gradient_in_what_shows() -> None:
    """Share of the squared gradient below 0.19 cycles a pixel of a fresh critic, at a smooth picture."""
    smooth = F.interpolate(torch.rand(2, 3, 8, 8) * 2 - 1, 256, mode="bicubic")
    shares = []
    for config in (CLEAR_CRITIC, DiscriminatorConfig(256, (48, 96, 128, 160, 192, 192), stem=2)):
        critic, picture = Discriminator(config), smooth.clone().requires_grad_()
        given = smooth.flip(0) if config.conditional else None
        (gradient,) = torch.autograd.grad(critic(picture, given).sum(), picture)
        energy = torch.fft.fft2(gradient.double()).abs().square().sum((0, 1))
        frequency = torch.hypot(*torch.meshgrid(*[torch.fft.fftfreq(256)] * 2, indexing="ij"))
        shares.append(float(energy[frequency < 0.19].sum() / energy.sum()))
    assert shares[0] > 0.3
    assert shares[1] < 0.05


def test_the_published_discriminator_has_the_papers_widths() -> None:
    assert stylegan2_discriminator(512).channels == (64 // 2, 64, 128, 256, 512, 512, 512, 512)
    assert stylegan2_discriminator(512, 2).channels == (64, 128, 256, 512, 512, 512, 512, 512)
    assert stylegan2_discriminator(16).channels == (512, 512, 512)


def test_the_signal_keeps_its_size_through_a_fresh_discriminator() -> None:
    critic, sizes = Discriminator(stylegan2_discriminator(64)), []
    for block in critic.blocks:
        block.register_forward_hook(lambda _m, _i, out: sizes.append(float(out.detach().std())))
    critic(torch.randn(4, 3, 64, 64))
    assert all(0.2 < size < 2 for size in sizes)


def test_the_deviation_of_a_batch_by_hand() -> None:
    x = torch.tensor([[1.0], [3.0], [5.0], [5.0]]).view(4, 1, 1, 1)
    # Groups are strided, as in the published code: pictures 0 and 2, and 1 and 3.
    y = minibatch_deviation(x, 2)
    assert y.shape == (4, 2, 1, 1)
    assert y[:, 1].flatten().tolist() == pytest.approx([2, 1, 2, 1], abs=1e-3)
    torch.testing.assert_close(y[:, :1], x)


@pytest.mark.parametrize(("count", "group"), [(1, 4), (3, 4), (6, 4), (7, 4)])
def test_any_batch_can_be_grouped(count: int, group: int) -> None:
    x = torch.randn(count, 2, 3, 3, requires_grad=True)
    y = minibatch_deviation(x, group)
    y[:, -1].sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()


def test_equal_pictures_are_found_out() -> None:
    same, other = torch.randn(1, 8, 4, 4).expand(4, -1, -1, -1), torch.randn(4, 8, 4, 4)
    assert minibatch_deviation(same, 4)[0, -1, 0, 0] < 1e-3
    assert minibatch_deviation(other, 4)[0, -1, 0, 0] > 0.5


def test_equalised_layers_keep_the_variance() -> None:
    x = torch.randn(8, 64, 16, 16)
    assert float(EqualConv2d(64, 64, 3)(x)[..., 1:-1, 1:-1].std()) == pytest.approx(1, abs=0.05)
    flat = torch.randn(512, 256)
    for rate in (1.0, 0.01):
        assert float(EqualLinear(256, 128, rate=rate)(flat).std()) == pytest.approx(1, abs=0.05)


def test_a_component_critic_gives_patches_and_features() -> None:
    critic, parts = ComponentDiscriminator(8), torch.rand(2, 3, 48, 48).requires_grad_()
    logits, features = critic(parts)
    assert logits.shape == (2, 1, 12, 12)
    assert [tuple(f.shape) for f in features] == [(2, 8, 48, 48), (2, 32, 24, 24), (2, 32, 12, 12)]
    logits.sum().backward()
    assert parts.grad is not None
    assert (parts.grad != 0).float().mean() > 0.9
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in critic.parameters())


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"size": 48}, "power of two"), ({"stem": 3}, "power of two"), ({"channels": (8, 8)}, "4 entries")],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **changes)  # type: ignore[arg-type]


def test_a_prior_draws_faces_from_latents() -> None:
    prior = FacePrior(TINY_PRIOR)
    z = torch.randn(3, 8)
    assert prior(z).shape == (3, 3, 32, 32)
    torch.testing.assert_close(prior(5 * z), prior(z), rtol=1e-3, atol=1e-4)  # only the direction counts


def test_every_weight_of_a_prior_learns() -> None:
    prior = FacePrior(TINY_PRIOR)
    faces = prior(torch.randn(3, 8))
    (faces * torch.randn_like(faces)).sum().backward()
    assert not [n for n, p in prior.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


def test_truncation_pulls_towards_the_mean_face() -> None:
    prior = FacePrior(TINY_PRIOR)
    z = torch.randn(256, 8)
    for _ in range(3000):
        prior.remember(prior.codes(z))
    middle = prior.draw(prior.mean[None])
    torch.testing.assert_close(prior(z[:2], 0.0), middle.expand(2, -1, -1, -1), rtol=1e-3, atol=1e-4)
    far, near = ((prior(z[:8], t) - middle).abs().mean() for t in (1.0, 0.3))
    assert near < far


@pytest.mark.parametrize(("config", "size"), [(COMPACT_256, 256), (CLEAR_256, 128)])
def test_the_priors_decoder_is_gfpgans(config: GFPGANConfig, size: int) -> None:
    network, prior = GFPGAN(config), FacePrior(PriorConfig.of(config))
    assert prior.config.size == size
    assert isinstance(network.decoder, nn.Module)
    shapes = [{k: v.shape for k, v in m.decoder.state_dict().items()} for m in (network, prior)]
    different = {k for k in shapes[0] | shapes[1] if shapes[0][k] != shapes[1][k]}
    # A decoder that ends before the U-Net does not shuffle pixels.
    assert different == (set() if size == 256 else {"rgb.3.bias", "rgb.3.conv.weight"})
