"""Export: the operations our networks are made of, free axes, half weights, names, and what it refuses."""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from revisage.errors import ModelError, UsageError  # noqa: E402
from revisage.lab import export as exporter  # noqa: E402
from revisage.lab.export import Parity, export  # noqa: E402
from revisage.runtime.openvino import OpenVinoSession  # noqa: E402
from revisage.zoo import Contract, read_contract  # noqa: E402

FACE = Contract("a-face", "face", 32, 1, "1", "CC0-1.0")
SCENE = Contract("a-scene", "scene", None, 2, "1", "CC0-1.0")
DETECTOR = Contract("a-finder", "finder", None, None, "1", "CC0-1.0")


class FaceNet(nn.Module):
    """Stem by unshuffling, a code from a linear layer, a scaled convolution, bilinear steps down and up."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(48, 16, 3, padding=1)
        self.latent = nn.Linear(16 * 4 * 4, 24)
        self.style = nn.Linear(24, 16)
        self.weight = nn.Parameter(torch.randn(16, 16, 3, 3) / 12)
        self.noise = nn.Parameter(torch.randn(1, 1, 8, 8) / 10)
        self.rgb = nn.Conv2d(16, 48, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        high = F.leaky_relu(self.stem(F.pixel_unshuffle(x * 2 - 1, 4)), 0.2)
        low = F.interpolate(high, scale_factor=0.5, mode="bilinear", align_corners=False)
        code = self.latent(low.flatten(1))
        code = code * torch.rsqrt(code.square().mean(1, keepdim=True) + 1e-8)
        scale = 1 + self.style(code)
        factor = torch.rsqrt(scale.square() @ self.weight.square().sum((2, 3)).t() + 1e-8)
        y = F.interpolate(low, scale_factor=2, mode="bilinear", align_corners=False)
        y = F.conv2d(y * scale[:, :, None, None], self.weight, padding=1) * factor[:, :, None, None]
        kept, changed = F.leaky_relu(y + self.noise, 0.2).chunk(2, dim=1)
        y = torch.cat([kept, changed * 1.1 + 0.1], 1)
        return torch.clamp(F.pixel_shuffle(self.rgb(y), 4) * 0.1 + x, 0, 1)


class SceneNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(12, 16, 3, padding=1), nn.PReLU(16), nn.Conv2d(16, 48, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        residual = F.pixel_shuffle(self.body(F.pixel_unshuffle(x, 2)), 4)
        return residual * 0.1 + F.interpolate(x, scale_factor=2, mode="nearest")


class DetectorNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, 2, 1)
        self.heads = nn.ModuleList(nn.Conv2d(8, channels, 3, 2, 1) for channels in (1, 4))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = F.relu(self.first((x - 127.5) / 64))
        maps = [head(x).permute(0, 2, 3, 1) for head in self.heads]
        return tuple(m.reshape(m.shape[0], -1, m.shape[3]) for m in maps)


class OneSize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, 3, 16, 16))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class Undecided(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.mean() > 0.5 else x


@dataclass(frozen=True)
class Exported:
    network: nn.Module
    path: Path
    parity: Parity


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    torch.manual_seed(0)
    network, path = SceneNet().train(), tmp_path_factory.mktemp("scene") / "below" / "scene.onnx"
    return Exported(network, path, export(network, path, contract=SCENE, example_size=(16, 16)))


@pytest.fixture(scope="module")
def face(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    torch.manual_seed(0)
    network, path = FaceNet(), tmp_path_factory.mktemp("face") / "face.onnx"
    return Exported(network, path, export(network, path, contract=FACE, example_size=(32, 32)))


def axes(path: Path) -> list[str | int]:
    shape = onnx.load(path).graph.input[0].type.tensor_type.shape
    return [dim.dim_param or dim.dim_value for dim in shape.dim]


def expected(network: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return copy.deepcopy(network).eval()(torch.from_numpy(x)).numpy()


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


def test_a_scene_model_takes_every_size(scene: Exported) -> None:
    session = OpenVinoSession(scene.path, precision="fp32")
    for shape in [(1, 3, 2, 2), (3, 3, 10, 34), (1, 3, 64, 30)]:
        x = picture(*shape)
        difference = np.abs(session.run(x) - expected(scene.network, x)).max()
        assert difference <= exporter.HALF_TOLERANCE
    assert axes(scene.path) == ["batch", 3, "height", "width"]


def test_a_face_model_takes_every_batch(face: Exported) -> None:
    session = OpenVinoSession(face.path, precision="fp32")
    for n in (1, 2, 5):
        x = picture(n, 3, 32, 32)
        assert np.abs(session.run(x) - expected(face.network, x)).max() <= exporter.HALF_TOLERANCE
    assert axes(face.path) == ["batch", 3, 32, 32]


def test_parity_is_stated(face: Exported, scene: Exported) -> None:
    for parity in (face.parity, scene.parity):
        assert parity.passed
        assert 0 < parity.max_abs <= parity.tolerance
        assert parity.tolerance == 2 / 255
        assert 0.9 < parity.magnitude < 3


def test_a_difference_that_is_no_number_does_not_pass() -> None:
    assert not Parity(math.nan, 1, 1).passed
    assert not Parity(0.2, 1, 0.1).passed
    assert Parity(0.2, 3, 0.1).passed


def test_the_file_carries_contract_and_half_weights(face: Exported) -> None:
    assert read_contract(face.path) == FACE
    model = onnx.load(face.path)
    for tensor in model.graph.initializer:
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16):
            assert (tensor.data_type == onnx.TensorProto.FLOAT16) == (len(tensor.dims) >= 2), tensor.name
    values = [*model.graph.input, *model.graph.output]
    assert all(value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT for value in values)
    weights = sum(parameter.numel() for parameter in face.network.parameters())
    assert 2 * weights < face.path.stat().st_size < 2 * weights + 16_000


def test_one_file_that_says_nothing_of_the_machine(scene: Exported) -> None:
    assert [path.name for path in scene.path.parent.iterdir()] == ["scene.onnx"]
    data = scene.path.read_bytes()
    assert b".py" not in data
    assert b"pkg." not in data


def test_the_network_is_left_as_it_was(scene: Exported) -> None:
    assert scene.network.training
    assert all(parameter.requires_grad for parameter in scene.network.parameters())


def test_several_outputs_in_the_layout_opencv_reads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, path, names = DetectorNet(), tmp_path / "finder.onnx", ["cls_4", "bbox_4"]
    parity = export(
        network,
        path,
        contract=DETECTOR,
        example_size=(32, 64),
        dynamic=("height", "width"),
        output_names=names,
        input_max=255.0,
    )
    assert parity.passed
    assert axes(path) == [1, 3, "height", "width"]
    assert onnx.load(path).graph.input[0].name == "input"
    session, net = OpenVinoSession(path, precision="fp32"), cv2.dnn.readNetFromONNX(str(path))
    for shape in [(1, 3, 32, 64), (1, 3, 96, 32)]:
        x = picture(*shape) * 255
        with torch.no_grad():
            want = [output.numpy() for output in network(torch.from_numpy(x))]
        net.setInput(x, "input")
        for name, a, b in zip(names, want, net.forward(names), strict=True):
            np.testing.assert_allclose(session.run_all(x)[name], a, atol=2e-3)
            np.testing.assert_allclose(b, a, atol=2e-3)


def test_too_large_a_difference_writes_nothing(
    scene: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load(scene.path)
    del model.metadata_props[:]
    # A traced graph of another network stands for whatever could go wrong on the way.
    monkeypatch.setattr(exporter, "_trace", lambda *_: model)
    path = tmp_path / "scene.onnx"
    path.write_bytes(b"the one before")
    with pytest.raises(ModelError, match=r"scene\.onnx differs from the network by .* nothing was written"):
        export(SceneNet(), path, contract=SCENE, example_size=(16, 16))
    assert [p.name for p in tmp_path.iterdir()] == ["scene.onnx"]
    assert path.read_bytes() == b"the one before"


@pytest.mark.parametrize(
    ("size", "dynamic", "names", "words"),
    [
        ((16, 16), None, ["output"], "the contract's size is 32"),
        ((32, 32), ["batch", "height"], ["output"], "the contract's size is 32"),
        ((32, 32), None, ["a", "b"], "has 1 outputs, 2 names"),
    ],
)
def test_arguments_must_fit(
    tmp_path: Path,
    size: tuple[int, int],
    dynamic: Sequence[exporter.Axis] | None,
    names: list[str],
    words: str,
) -> None:
    with pytest.raises(UsageError, match=words):
        export(
            FaceNet(),
            tmp_path / "x.onnx",
            contract=FACE,
            example_size=size,
            dynamic=dynamic,
            output_names=names,
        )
    assert list(tmp_path.iterdir()) == []


def test_the_file_name_must_say_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.onnx"):
        export(SceneNet(), tmp_path / "x.pt", contract=SCENE, example_size=(16, 16))


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (OneSize(), r"would take batches of \(1, 3, 32, 16\), the network does not"),
        (Undecided(), "cannot be exported"),
    ],
)
def test_networks_that_cannot_be_exported(tmp_path: Path, network: nn.Module, words: str) -> None:
    with pytest.raises(ModelError, match=words) as caught:
        export(network, tmp_path / "x.onnx", contract=SCENE, example_size=(16, 16))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_weights_beyond_half_precision_stay_whole() -> None:
    large, small = np.full((2, 2), 1e5, np.float32), np.full((2, 2), 1e-3, np.float32)
    tensors = [
        onnx.numpy_helper.from_array(large, "large"),
        onnx.numpy_helper.from_array(small, "small"),
        onnx.numpy_helper.from_array(small[0], "vector"),
    ]
    model = onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], tensors))
    exporter._halve(model)
    assert [(t.name, t.data_type) for t in model.graph.initializer] == [
        ("large", onnx.TensorProto.FLOAT),
        ("small.fp16", onnx.TensorProto.FLOAT16),
        ("vector", onnx.TensorProto.FLOAT),
    ]
    assert [(list(node.input), list(node.output)) for node in model.graph.node] == [
        (["small.fp16"], ["small"])
    ]
