"""Perceptual and style losses, and the networks they and the identity loss look through."""

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torchvision.models.vgg import cfgs, make_layers  # noqa: E402
from torchvision.transforms.functional import normalize, rgb_to_grayscale  # noqa: E402

from revisage.errors import ModelCorruptError  # noqa: E402
from revisage.lab.losses.perceptual import gram, perceptual, style  # noqa: E402
from revisage.lab.networks.arcface import ArcFaceResNet18, gray_face  # noqa: E402
from revisage.lab.networks.imagenet import PERCEPTUAL_LAYERS, VGG19Features  # noqa: E402


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def published() -> nn.ModuleDict:
    """The convolutions of torchvision's own VGG-19, random."""
    torch.manual_seed(0)
    return nn.ModuleDict({"features": make_layers(cfgs["E"])})


def test_vgg_features_are_torchvisions_before_activation(published: nn.ModuleDict) -> None:
    network = VGG19Features(published.state_dict())
    pictures = torch.rand(2, 3, 32, 48)
    # The layer whose number follows from counting: the k-th convolution of torchvision's own network.
    seen: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, out: seen.append(out.clone()))
        for layer in published["features"]
        if isinstance(layer, nn.Conv2d)
    ]
    with torch.no_grad():
        published["features"](normalize(pictures, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        found = network(pictures * 2 - 1)
    for hook in hooks:
        hook.remove()
    assert len(seen) == 16
    for features, k in zip(found, (1, 3, 7, 11, 15), strict=True):
        torch.testing.assert_close(features, seen[k], atol=1e-5, rtol=1e-5)
        assert features.min() < 0
    assert [tuple(f.shape[1:]) for f in found] == [
        (64, 32, 48),
        (128, 16, 24),
        (256, 8, 12),
        (512, 4, 6),
        (512, 2, 3),
    ]


def test_vgg_refuses_other_weights(published: nn.ModuleDict) -> None:
    state = published.state_dict()
    with pytest.raises(ModelCorruptError, match=r"features\.0\.weight"):
        VGG19Features({k: v for k, v in state.items() if k != "features.0.weight"})
    with pytest.raises(ModelCorruptError, match="shape"):
        VGG19Features({**state, "features.0.weight": torch.zeros(64, 1, 3, 3)})


def test_gradients_reach_the_picture_through_every_layer_and_no_weight() -> None:
    network = VGG19Features()
    fake = torch.rand(1, 3, 32, 32, requires_grad=True)
    real = network(torch.rand(1, 3, 32, 32))
    for i in range(len(PERCEPTUAL_LAYERS)):
        alone = [float(i == k) for k in range(len(PERCEPTUAL_LAYERS))]
        (slope,) = torch.autograd.grad(perceptual(network(fake), real, alone), fake)
        assert slope.abs().sum() > 0
    assert not any(p.requires_grad for p in network.parameters())


def test_perceptual_by_hand() -> None:
    fake = [torch.zeros(1, 2, 2, 2), torch.ones(1, 1, 1, 1)]
    real = [torch.tensor([[1.0, -1.0], [3.0, 3.0]]).expand(1, 2, 2, 2), torch.full((1, 1, 1, 1), -1.0)]
    assert float(perceptual(fake, real, (0.5, 0.1))) == pytest.approx(0.5 * 2 + 0.1 * 2)
    five = [torch.full((1, 1, 1, 1), float(10**i)) for i in range(5)]
    none = [torch.zeros(1, 1, 1, 1)] * 5
    assert float(perceptual(five, none)) == pytest.approx(0.1 + 1 + 100 + 1_000 + 10_000)
    with pytest.raises(ValueError, match="longer"):
        perceptual(five[:2], none[:2])  # five weights


def test_gram_by_hand() -> None:
    # Two channels of 1 x 2: rows (1, 2) and (3, -1); products 5, 1, 10; divided by 2 * 1 * 2.
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    torch.testing.assert_close(gram(features), torch.tensor([[[5.0, 1.0], [1.0, 10.0]]]) / 4)
    assert gram(features.bfloat16()).dtype == torch.float32


def test_gram_forgets_where_things_are() -> None:
    features = torch.randn(2, 5, 6, 7)
    shuffled = features.flatten(2)[:, :, torch.randperm(42)].reshape(2, 5, 7, 6)
    torch.testing.assert_close(gram(features), gram(shuffled))


def test_style_by_hand() -> None:
    features = torch.tensor([[[[1.0, 2.0]], [[3.0, -1.0]]]])
    zero = torch.zeros_like(features)
    assert float(style([features], [zero])) == pytest.approx((5 + 1 + 1 + 10) / 4 / 4)
    assert float(style([features, features], [zero, features])) == pytest.approx(17 / 16)
    assert float(style([-features], [features])) == 0  # a matrix of second moments


@pytest.mark.parametrize("loss", [perceptual, style])
def test_a_step_down_the_gradient_helps(loss) -> None:  # type: ignore[no-untyped-def]
    real = [torch.randn(2, 4, 5, 5) for _ in range(5)]
    assert float(loss(real, real)) == 0
    fake = [torch.randn(2, 4, 5, 5, requires_grad=True) for _ in range(5)]
    before = loss(fake, real)
    slopes = torch.autograd.grad(before, fake)
    assert loss([f - 0.1 * s for f, s in zip(fake, slopes, strict=True)], real) < before


def published_arcface_shapes() -> dict[str, tuple[int, ...]]:
    """Keys and shapes of `arcface_resnet18.pth`, written out from its published layout."""

    def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
        keys = ("weight", "bias", "running_mean", "running_var")
        return {f"{name}.{key}": (channels,) for key in keys} | {f"{name}.num_batches_tracked": ()}

    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 1, 3, 3), "prelu.weight": (1,)}
    shapes |= norm("bn1", 64) | norm("bn4", 512) | norm("bn5", 512)
    shapes |= {"fc5.weight": (512, 32768), "fc5.bias": (512,)}
    cin = 64
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for unit in range(2):
            name = f"layer{stage}.{unit}"
            shapes |= {
                f"{name}.conv1.weight": (cin, cin, 3, 3),
                f"{name}.conv2.weight": (width, cin, 3, 3),
                f"{name}.prelu.weight": (1,),
            }
            shapes |= norm(f"{name}.bn0", cin) | norm(f"{name}.bn1", cin) | norm(f"{name}.bn2", width)
            if cin != width:
                shapes |= {f"{name}.downsample.0.weight": (width, cin, 1, 1)}
                shapes |= norm(f"{name}.downsample.1", width)
            cin = width
    return shapes


def test_arcface_has_the_published_layout() -> None:
    state = ArcFaceResNet18().state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == published_arcface_shapes()


def test_arcface_embeds_and_trains_the_picture() -> None:
    network = ArcFaceResNet18().eval()
    faces = torch.rand(2, 3, 64, 64, requires_grad=True)
    embedding = network(gray_face(faces * 2 - 1))
    assert embedding.shape == (2, 512)
    embedding.square().sum().backward()
    assert (faces.grad.abs().sum(dim=(1, 2, 3)) > 0).all()
    with torch.no_grad():  # one picture alone gives the same
        torch.testing.assert_close(network(gray_face(faces[:1] * 2 - 1)), embedding[:1], atol=1e-4, rtol=1e-4)


def test_gray_face_is_luma_of_the_whole_crop() -> None:
    faces = torch.rand(2, 3, 128, 128)
    torch.testing.assert_close(gray_face(faces), rgb_to_grayscale(faces), atol=1e-3, rtol=0)
    halves = torch.rand(1, 3, 128, 128).repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(gray_face(halves), gray_face(halves[:, :, ::2, ::2]))
