"""Networks: shapes, gradients, costs, and the equations they are built from."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from revisage.errors import ModelCorruptError  # noqa: E402
from revisage.faces import template  # noqa: E402
from revisage.lab.filters import sharpened, smooth_colour  # noqa: E402
from revisage.lab.metrics.degrees import degrees  # noqa: E402
from revisage.lab.metrics.embedders import open_edgeface  # noqa: E402
from revisage.lab.networks.arcface import ArcFaceCrop  # noqa: E402
from revisage.lab.networks.compact import Compact, CompactConfig  # noqa: E402
from revisage.lab.networks.detector import OUTPUT_NAMES, DetectorConfig, DetectorNetwork  # noqa: E402
from revisage.lab.networks.gfpgan import (  # noqa: E402
    CLEAR_256,
    COMPACT_256,
    GFPGAN,
    GFPGANConfig,
    SelfAttention,
    UnitRange,
)
from revisage.lab.networks.mobilefacenet import MobileFaceNet  # noqa: E402
from revisage.lab.networks.rrdb import RRDBConfig, RRDBNet  # noqa: E402
from revisage.lab.networks.stylegan2 import (  # noqa: E402
    ModulatedConv2d,
    StyleConv,
    StyleDecoder,
    channel_split_sft,
)

# The published layout (no stem, two convolutions a condition, noise) and the compact one, both small.
PUBLISHED = GFPGANConfig(size=32, unet=(8, 8, 6, 4), prior=(8, 8, 6, 4), style_dim=8)
COMPACT = replace(
    PUBLISHED,
    unet=(8, 8),
    prior=(8, 6),
    latent_channels=4,
    stem=4,
    condition_layers=1,
    head_kernel=3,
    residual=True,
    noise=False,
)
TINY_DETECTOR = DetectorConfig(widths=(4, 6, 8, 8, 8), depths=(1, 1, 1, 1), pyramid=8)
# ArcFace's own table (Deng et al., CVPR 2019): right eye, left eye, nose, mouth corners, at 96x112 px.
ARCFACE = np.array(
    [(30.2946, 51.6963), (65.5318, 51.5014), (48.0252, 71.7366), (33.5493, 92.3655), (62.7299, 92.2041)]
)
REFINED = replace(COMPACT, refine=2, polish=8, size=64, unet=(8, 8, 8), prior=(8, 8, 8))
# The decoder ends at 8 px, blocks and attention are deeper, and a code modulates.
CLEAR = replace(REFINED, prior=(8, 8), deep=(1, 2, 0), attention=8, code=6)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def flops(network: nn.Module, *shape: int) -> int:
    network.requires_grad_(False)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(shape))
    return counter.get_total_flops()


def without_gradient(network: nn.Module, loss: Tensor) -> set[str]:
    loss.backward()
    return {n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}


@pytest.mark.parametrize(("config", "sizes"), [(PUBLISHED, [8, 16, 32]), (COMPACT, [32])])
def test_gfpgan_gives_a_picture_and_a_pyramid(config: GFPGANConfig, sizes: list[int]) -> None:
    picture, pyramid = GFPGAN(config)(torch.rand(2, 3, 32, 32) * 2 - 1)
    assert picture.shape == (2, 3, 32, 32)
    assert [tuple(p.shape) for p in pyramid] == [(2, 3, s, s) for s in sizes]
    assert torch.isfinite(picture).all()


@pytest.mark.parametrize("config", [PUBLISHED, COMPACT, REFINED, CLEAR])
def test_gfpgan_trains_every_parameter(config: GFPGANConfig) -> None:
    network = stirred(GFPGAN(config))
    x = torch.rand(2, 3, config.size, config.size)
    picture, pyramid, said = network.restore(x)
    loss = (picture * torch.randn_like(picture)).sum() + sum(p.sin().sum() for p in pyramid)
    assert without_gradient(network, loss if said is None else loss + said.sin().sum()) == set()


def stirred(network: GFPGAN) -> GFPGAN:
    """What begins at zero lets no gradient through to what stands before it."""
    for parameter in network.parameters():
        if not parameter.detach().any():
            nn.init.normal_(parameter, std=0.05)
    return network


def test_what_a_layout_adds_begins_at_nothing() -> None:
    network = GFPGAN(CLEAR)
    plain = GFPGAN(replace(CLEAR, deep=(), attention=0, code=0))
    assert not plain.load_state_dict(network.state_dict(), strict=False).missing_keys
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    torch.testing.assert_close(network(x)[0], plain(x)[0])
    cut = GFPGAN(replace(CLEAR, deep=(), attention=0, code=0, decoder=False))
    cut.load_state_dict(network.state_dict(), strict=False)
    with torch.no_grad():
        for level in network.decoder.rgb:
            for parameter in level.parameters():
                parameter.zero_()
    torch.testing.assert_close(network(x)[0], cut(x)[0])  # the bridge to the decoder's features as well
    nn.init.ones_(network.bridge.weight)
    assert not torch.allclose(network(x)[0], cut(x)[0])


def test_attention_sees_the_whole_map() -> None:
    layer, x = SelfAttention(8), torch.randn(1, 8, 6, 6, requires_grad=True)
    (gradient,) = torch.autograd.grad(layer(x)[0, :, 0, 0].sum(), x)
    assert (gradient.abs().sum(1) > 0).all()


def test_attention_stays_at_its_scale_on_crops() -> None:
    config = replace(CLEAR, decoder=False, unet=(8, 4, 12), deep=(), code=0, attention=8)
    network = GFPGAN(config)
    assert network.attention.norm.num_channels == 4
    assert network(torch.rand(1, 3, 32, 32))[0].shape == (1, 3, 32, 32)


def test_the_code_is_one_for_the_whole_picture_and_tells_six_numbers() -> None:
    network, x = GFPGAN(CLEAR), torch.rand(2, 3, 64, 64) * 2 - 1
    described = network.restore(x).described
    assert described is not None
    assert described.shape == (2, 6)
    assert GFPGAN(COMPACT).restore(torch.rand(1, 3, 32, 32)).described is None
    picture = network(x)[0]
    nn.init.normal_(network.modulate[1].weight, std=0.5)
    assert not torch.allclose(network(x)[0], picture, atol=1e-3)


def training_only(config: GFPGANConfig) -> tuple[str, ...]:
    """What the names of weights start with that the restored picture does not depend on."""
    used = 1 if config.residual or not config.decoder else 0  # the last head
    return (*(f"heads.{i}." for i in range(len(config.unet) - 1 - used)), "describe.")


@pytest.mark.parametrize("config", [PUBLISHED, COMPACT, REFINED, CLEAR])
def test_the_picture_alone_leaves_out_exactly_the_training_only_weights(config: GFPGANConfig) -> None:
    network = stirred(GFPGAN(config))
    picture, _ = network(torch.rand(2, 3, config.size, config.size))
    unused = without_gradient(network, (picture * torch.randn_like(picture)).sum())
    assert unused == {n for n, _ in network.named_parameters() if n.startswith(training_only(config))}


def test_a_compact_gfpgan_starts_near_its_input() -> None:
    # With `residual` the picture is the input plus what the network adds, which starts small.
    x = torch.rand(4, 3, 32, 32) * 2 - 1
    picture, pyramid = GFPGAN(COMPACT)(x)
    assert (picture - x).abs().mean() < 0.25
    assert (pyramid[-1] - x).abs().mean() < 0.25
    other, _ = GFPGAN(PUBLISHED)(x)
    assert (other - x).abs().mean() > 0.25


def test_a_published_layout_starts_in_the_range_of_pictures() -> None:
    wide = GFPGANConfig(size=64, unet=(256,) * 5, prior=(512,) * 5)
    with torch.no_grad():
        picture, _ = GFPGAN(wide)(torch.rand(1, 3, 64, 64) * 2 - 1)
    assert float(picture.std()) < 3  # where alpha starts at random tens, and thousands at 512 px


def test_the_same_face_always_gives_the_same_picture() -> None:
    network = GFPGAN(PUBLISHED).eval()
    for name, parameter in network.named_parameters():
        if name.endswith("noise_weight"):
            nn.init.ones_(parameter)
    x = torch.rand(1, 3, 32, 32)
    torch.manual_seed(1)
    first = network(x)[0]
    torch.manual_seed(2)
    assert torch.equal(network(x)[0], first)
    copy = GFPGAN(PUBLISHED).eval()
    assert not torch.equal(copy(x)[0], first)
    copy.load_state_dict(network.state_dict())  # the noise travels with the weights
    assert torch.equal(copy(x)[0], first)


def test_faces_of_one_batch_do_not_mix() -> None:
    network = GFPGAN(COMPACT).eval()
    x = torch.rand(3, 3, 32, 32)
    single = torch.cat([network(face[None])[0] for face in x])
    torch.testing.assert_close(network(x)[0], single, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 48}, "power of two"),
        ({"size": 4, "unet": (8,), "prior": (8,)}, "power of two"),
        ({"stem": 3}, "power of two"),
        ({"stem": 0}, "power of two"),
        ({"stem": 64}, "power of two"),
        ({"unet": (8, 8, 8)}, "unet needs 4 entries for 32 px, got 3"),
        ({"prior": (8, 8, 8, 8, 8)}, "prior needs 4 entries for 32 px, got 5"),
        ({"prior": (8, 8, 7, 4)}, "even"),
        ({"prior": (8, 8, 6)}, "prior needs 4 entries for 32 px, got 3"),
        ({"deep": (1,)}, "deep needs 4 entries for 32 px, got 1"),
        ({"attention": 10}, "attention must be a U-Net scale's side, from 8 px on, got 10"),
        ({"condition_layers": 3}, "condition_layers must be 1 or 2, got 3"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PUBLISHED, **changes)


@pytest.mark.parametrize("config", [COMPACT_256, CLEAR_256], ids=["version 3", "version 4"])
def test_the_compact_face_model_keeps_its_budget(config: GFPGANConfig) -> None:
    network = GFPGAN(config)
    shipped = sum(p.numel() for n, p in network.named_parameters() if not n.startswith(training_only(config)))
    assert shipped * 2 <= 24 * 2**20
    assert flops(network, 1, 3, 256, 256) <= 12e9


def test_unit_range_wraps_a_face_network() -> None:
    network = GFPGAN(COMPACT)
    x = torch.rand(2, 3, 32, 32)
    y = UnitRange(network)(x)
    torch.testing.assert_close(y, (network(x * 2 - 1)[0] / 2 + 0.5).clamp(0, 1))

    class Extreme(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 5

    y = UnitRange(Extreme())(torch.tensor([0.0, 0.5, 1.0]))
    assert y.tolist() == [0.0, 0.5, 1.0]


def grouped(module: ModulatedConv2d, x: Tensor, style: Tensor) -> Tensor:
    """Equations 1 and 3 of the StyleGAN2 paper as its code runs them: one kernel a sample, in groups."""
    n, cin, h, w = x.shape
    scale = F.linear(style, module.modulation.weight, module.modulation.bias)
    kernels = module.weight[None] * scale[:, None, :, None, None]
    if module.demodulate:
        kernels = kernels / (kernels.pow(2).sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    cout, k = module.weight.shape[0], module.weight.shape[2]
    out = F.conv2d(
        x.reshape(1, n * cin, h, w), kernels.reshape(n * cout, cin, k, k), padding=k // 2, groups=n
    )
    return out.reshape(n, cout, h, w)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("kernel", [1, 3])
def test_scaled_modulation_equals_grouped_modulation(kernel: int, demodulate: bool) -> None:
    module = ModulatedConv2d(6, 5, kernel, 4, demodulate=demodulate)
    x, style = torch.randn(3, 6, 9, 7), torch.randn(3, 4)
    torch.testing.assert_close(module(x, style), grouped(module, x, style), atol=1e-5, rtol=1e-5)


def test_demodulated_features_keep_unit_variance() -> None:
    module = ModulatedConv2d(64, 64, 3, 4)
    y = module(torch.randn(2, 64, 32, 32), 30 * torch.randn(2, 4))
    assert y[..., 1:-1, 1:-1].var(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1], abs=0.1)


def test_noise_is_stored_and_weighted() -> None:
    layer = StyleConv(4, 4, 3, noise_size=8).eval()
    x, style = torch.randn(2, 4, 8, 8), torch.randn(2, 3)
    quiet = layer(x, style)
    nn.init.constant_(layer.noise_weight, 0.5)
    loud = layer(x, style)
    # Before the activation, whose slope of 0.2 is undone here, the two differ by the stored noise.
    before = [torch.where(y > 0, y, y / 0.2) for y in (quiet, loud)]
    expected = (0.5 * layer.noise).expand(2, 4, 8, 8)
    torch.testing.assert_close(before[1] - before[0], expected, atol=1e-5, rtol=1e-4)
    assert "noise" in layer.state_dict()
    assert "noise" not in StyleConv(4, 4, 3).state_dict()


def test_noise_is_drawn_anew_while_training() -> None:
    layer = StyleConv(4, 4, 3, noise_size=8)
    nn.init.constant_(layer.noise_weight, 0.5)
    x, style = torch.zeros(2, 4, 8, 8), torch.randn(1, 3).expand(2, -1)
    first, second = layer(x, style), layer(x, style)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])  # each picture has its own
    layer.eval()
    assert torch.equal(layer(x, style), layer(x, style))
    assert torch.equal(layer(x, style)[0], layer(x, style)[1])


def test_channel_split_leaves_the_first_half_alone() -> None:
    features, alpha, beta = torch.randn(2, 6, 5, 5), torch.randn(2, 3, 5, 5), torch.randn(2, 3, 5, 5)
    out = channel_split_sft(features, alpha, beta)
    assert torch.equal(out[:, :3], features[:, :3])
    torch.testing.assert_close(out[:, 3:], alpha * features[:, 3:] + beta)


def test_the_decoder_works_without_conditions_and_shuffles_its_last_picture() -> None:
    decoder = StyleDecoder((8, 6, 4), 5, shuffle=2)
    assert decoder.layers == 6
    codes = torch.randn(2, decoder.layers, 5)
    plain = decoder(codes)
    assert plain.shape == (2, 3, 32, 32)
    neutral = [(torch.ones(2, c // 2, s, s), torch.zeros(2, c // 2, s, s)) for c, s in ((6, 8), (4, 16))]
    torch.testing.assert_close(decoder(codes, neutral), plain)
    neutral[1] = (neutral[1][0], neutral[1][1] + 1)
    assert not torch.allclose(decoder(codes, neutral), plain)


def test_every_latent_code_steers_the_decoder() -> None:
    decoder = StyleDecoder((8, 6, 4), 5)
    codes = torch.randn(1, decoder.layers, 5, requires_grad=True)
    picture = decoder(codes)
    (gradient,) = torch.autograd.grad((picture * torch.randn_like(picture)).sum(), codes)
    assert (gradient.abs().sum(dim=(0, 2)) > 0).all()


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_rrdb_enlarges_and_trains_every_parameter(scale: int) -> None:
    network = RRDBNet(RRDBConfig(scale, features=6, blocks=2, growth=4))
    y = network(torch.rand(2, 3, 8, 12))
    assert y.shape == (2, 3, 8 * scale, 12 * scale)
    assert without_gradient(network, (y * torch.randn_like(y)).sum()) == set()


def test_rrdb_has_the_published_size_and_cost() -> None:
    with torch.device("meta"):
        network = RRDBNet(RRDBConfig(scale=4))
    assert sum(p.numel() for p in network.parameters()) == 16_697_987  # RealESRGAN_x4plus
    # Unshuffled input makes x2 a quarter of the work of x4.
    costs = []
    for scale in (2, 4):
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            RRDBNet(RRDBConfig(scale, blocks=4))(torch.zeros(1, 3, 64, 64))
        costs.append(counter.get_total_flops())
    assert costs[1] == pytest.approx(4 * costs[0], rel=0.01)


@pytest.mark.parametrize("scale", [0, 3, 8])
def test_rrdb_refuses_other_scales(scale: int) -> None:
    with pytest.raises(ValueError, match=f"scale must be 1, 2 or 4, got {scale}"):
        RRDBConfig(scale)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_compact_enlarges_any_size(scale: int) -> None:
    network = Compact(CompactConfig(features=6, layers=2, scale=scale))
    x = torch.rand(2, 3, 7, 11)
    y = network(x)
    assert y.shape == (2, 3, 7 * scale, 11 * scale)
    assert without_gradient(network, (y * torch.randn_like(y)).sum()) == set()


def test_compact_starts_as_enlargement() -> None:
    x = torch.rand(1, 3, 32, 32)
    y = Compact(CompactConfig(features=48, layers=14))(x)
    assert (y - F.interpolate(x, scale_factor=2, mode="nearest")).abs().mean() < 0.05


def test_compact_reaches_exactly_as_far_as_it_says() -> None:
    layers, scale = 3, 2
    network = Compact(CompactConfig(features=8, layers=layers, scale=scale)).double()
    x = torch.rand(1, 3, 31, 31, dtype=torch.float64)
    changed = x.clone()
    changed[0, :, 15, 15] += 1
    touched = (network(changed) - network(x)).abs().sum(dim=(0, 1)) > 0
    rows, columns = (touched.any(dim=axis).nonzero().flatten() // scale for axis in (1, 0))
    reach = layers + 2
    for seen in (rows, columns):
        assert (int(seen.min()), int(seen.max())) == (15 - reach, 15 + reach)


def test_detector_outputs_are_its_raw_maps_in_row_order() -> None:
    network = DetectorNetwork(TINY_DETECTOR).eval()
    x = torch.rand(1, 3, 64, 96) * 255
    outputs = dict(zip(OUTPUT_NAMES, network(x), strict=True))
    level = network.raw(x)[1]
    assert level.shape == (1, 16, 4, 6)
    torch.testing.assert_close(outputs["cls_16"][0, 2 * 6 + 5, 0], level[0, 0, 2, 5].sigmoid())
    torch.testing.assert_close(outputs["obj_16"][0, 2 * 6 + 5, 0], level[0, 1, 2, 5].sigmoid())
    torch.testing.assert_close(outputs["bbox_16"][0, 2 * 6 + 5], level[0, 2:6, 2, 5])
    torch.testing.assert_close(outputs["kps_16"][0, 2 * 6 + 5], level[0, 6:, 2, 5])


def test_detector_starts_out_finding_nothing_and_trains_every_parameter() -> None:
    network = DetectorNetwork(TINY_DETECTOR)
    levels = network.raw(torch.rand(2, 3, 64, 64) * 255)
    scores = torch.cat([level[:, :2].sigmoid().flatten() for level in levels])
    assert scores.max() < 0.1
    loss = torch.stack([(level * torch.randn_like(level)).sum() for level in levels]).sum()
    assert without_gradient(network, loss) == set()


def blobs(points: np.ndarray, size: int, sigma: float) -> Tensor:
    """(1, 5, size, size): one Gaussian a channel, centred on each of (5, 2) x, y."""
    y, x = np.mgrid[0:size, 0:size]
    maps = [np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2)) for px, py in points]
    return torch.from_numpy(np.stack(maps)[None].astype(np.float32))


def centres(maps: Tensor) -> np.ndarray:
    """(5, 2) x, y of the centre of mass of each channel."""
    y, x = torch.meshgrid(*(torch.arange(float(s)) for s in maps.shape[-2:]), indexing="ij")
    mass = maps.sum(dim=(2, 3))
    return torch.stack([(maps * axis).sum(dim=(2, 3)) / mass for axis in (x, y)], dim=-1)[0].numpy()


@pytest.mark.parametrize("size", [256, 512])
def test_the_arcface_crop_puts_landmarks_on_the_arcface_template(size: int) -> None:
    crop = ArcFaceCrop()(blobs(template(size), size, size / 100))
    assert crop.shape == (1, 5, 112, 96)
    found = centres(crop)
    # The templates are not the same shape: no similarity brings all five points closer than this.
    assert np.linalg.norm(found - ARCFACE, axis=1).max() < 2.6
    # The least-squares similarity, points as complex numbers, by division.
    source, target = (points @ np.array([1, 1j]) for points in (ARCFACE, template(512).astype(np.float64)))
    factor = np.vdot(source - source.mean(), target - target.mean()) / np.vdot(
        source - source.mean(), source - source.mean()
    )
    expected = (target - target.mean()) / factor + source.mean()
    assert np.abs(found @ np.array([1, 1j]) - expected).max() < 0.3


def test_a_crop_for_other_networks_is_wider_and_can_be_moved() -> None:
    face = blobs(template(256), 256, 2.56)
    narrow, wide = ArcFaceCrop(), ArcFaceCrop(112)
    assert wide(face).shape == (1, 5, 112, 112)
    torch.testing.assert_close(wide(face)[..., 8:-8], narrow(face), atol=1e-5, rtol=0)
    moved = narrow(face, torch.tensor([[2.0, -1.0]]))
    torch.testing.assert_close(moved[..., 1:, :-2], narrow(face)[..., :-1, 2:], atol=1e-3, rtol=0)


def spectrum_above(gradient: Tensor, cycles: float) -> float:
    """Share of a gradient's energy above a frequency in cycles a pixel."""
    energy = torch.fft.fft2(gradient.double()).abs().square().sum((0, 1))
    frequency = torch.hypot(*torch.meshgrid(*(torch.fft.fftfreq(n) for n in energy.shape), indexing="ij"))
    return float(energy[frequency > cycles].sum() / energy.sum())


def test_a_smoothed_crops_gradient_holds_what_the_crop_can_show() -> None:
    """Through a crop 1.79 times as coarse; a loss could else be lowered by dots between its pixels."""
    shares = []
    for smooth in (False, True):
        x = torch.zeros(1, 3, 256, 256, requires_grad=True)
        crop = ArcFaceCrop(smooth=smooth)(x)
        (gradient,) = torch.autograd.grad((crop * torch.randn_like(crop)).sum(), x)
        shares.append(spectrum_above(gradient, 0.5 / 1.79 * 1.42))
    assert shares[0] > 0.1
    assert shares[1] < 0.01


def test_a_smoothed_crop_does_not_see_a_pattern_that_repeats_with_the_stems_blocks() -> None:
    pattern = torch.rand(1, 3, 4, 4).repeat(1, 1, 64, 64)
    crop = ArcFaceCrop(smooth=True)(pattern)
    assert (crop - pattern.mean((2, 3), keepdim=True)).abs().max() < 1e-4


def test_a_pattern_of_the_stems_blocks_has_no_colours_when_they_are_smoothed() -> None:
    pattern = torch.rand(1, 3, 4, 4).repeat(1, 1, 16, 16)
    smooth = smooth_colour(pattern)
    gray = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    assert torch.allclose((smooth * gray).sum(1), (pattern * gray).sum(1), atol=1e-5)
    colour = smooth - (smooth * gray).sum(1, keepdim=True)
    assert colour[..., 8:-8, 8:-8].std((2, 3)).max() < 1e-4  # at the rim it meets its repetition
    flat = torch.rand(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert torch.allclose(smooth_colour(flat), flat, atol=1e-5)


def test_what_is_soft_is_sharpened_and_what_is_clear_or_flat_stays() -> None:
    face = cv2.imread(str(Path(__file__).parents[1] / "examples" / "portrait.jpg"))[16:352, 96:432]
    clear = cv2.resize(face, (256, 256), interpolation=cv2.INTER_AREA).astype(np.float32) / 127.5 - 1
    soft = cv2.GaussianBlur(clear, (0, 0), 0.9)
    inputs = torch.from_numpy(np.stack([clear, soft]).transpose(0, 3, 1, 2).copy())
    (clear_kept, crisp), truth = sharpened(inputs), inputs[0]
    assert (clear_kept - truth).square().mean() < 1e-4  # 46 dB
    assert (crisp - truth).square().mean() < 0.8 * (inputs[1] - truth).square().mean()
    moved = crisp - inputs[1]
    torch.testing.assert_close(moved, moved[:1].expand_as(moved), atol=1e-5, rtol=0)  # no colour changes
    flat = torch.rand(1, 3, 1, 1).expand(1, 3, 32, 32)
    assert torch.allclose(sharpened(flat), flat, atol=1e-5)


def test_losses_see_the_picture_before_it_is_sharpened() -> None:
    network = GFPGAN(replace(COMPACT, sharpen=True))
    low = F.interpolate(torch.rand(1, 3, 8, 8) * 2 - 1, size=32, mode="bicubic")
    trained, used = network.train().restore(low).picture, network.eval().restore(low).picture
    torch.testing.assert_close(used, sharpened(trained))
    assert not torch.equal(used, trained)


def test_edgeface_takes_its_weights_whole(shared: Path) -> None:
    network = open_edgeface(shared / "models" / "edgeface_xs.npz")
    embedding = network(torch.rand(2, 3, 112, 112) * 2 - 1)
    assert embedding.shape == (2, 512)
    assert not embedding.requires_grad
    with pytest.raises(ModelCorruptError, match="does not hold the weights of EdgeNeXt"):
        open_edgeface(shared / "models" / "squeezenet1_1.npz")


def test_the_arcface_crop_lets_gradients_through() -> None:
    x = torch.rand(2, 3, 64, 64, requires_grad=True)
    ArcFaceCrop()(x).sum().backward()
    assert x.grad is not None
    assert (x.grad[:, :, 24:40, 24:40] > 0).all()


def test_the_embedding_is_one_vector_a_face() -> None:
    network, faces = MobileFaceNet().eval(), torch.rand(2, 3, 112, 96).requires_grad_()
    embedding = network(faces)
    assert embedding.shape == (2, 128)
    assert without_gradient(network, (embedding * torch.randn_like(embedding)).sum()) == set()
    assert faces.grad is not None
    assert (faces.grad.abs().sum(dim=(1, 2, 3)) > 0).all()


def test_the_embedding_tells_people_apart(shared: Path) -> None:
    state = torch.load(shared / "models" / "mobilefacenet_068.ckpt", map_location="cpu", weights_only=True)
    network = MobileFaceNet().eval()
    network.load_state_dict(state["net_state_dict"])
    people = sorted(p for p in (shared / "data" / "lfw128").iterdir() if len(list(p.iterdir())) >= 2)[:12]
    faces = [lfw_face(path) for person in people for path in sorted(person.iterdir())[:2]]
    with torch.no_grad():
        embeddings = network(torch.from_numpy(np.stack(faces)))
    first, second = embeddings[::2], embeddings[1::2]
    same = degrees(first, second)
    different = torch.cat([degrees(first, second.roll(k, 0)) for k in range(1, len(people))])
    assert same.mean() + 20 < different.mean()
    assert (same < 70).float().mean() > 0.9
    assert (different > 70).float().mean() > 0.9


def lfw_face(path: Path) -> np.ndarray:
    """(3, 112, 96) in [-1, 1] by position alone: the deep-funneled pictures have their faces in one place."""
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB"))
    # Eyes at (51, 57) and (77, 57) of 128 px in the mean picture, mouth at y = 84.
    scale = (92.3 - 51.6) / (84 - 57)
    matrix = np.array([[scale, 0, 48 - 64 * scale], [0, scale, 51.6 - 57 * scale]])
    crop = cv2.warpAffine(pixels, matrix, (96, 112), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return (crop.astype(np.float32).transpose(2, 0, 1) - 127.5) / 128
