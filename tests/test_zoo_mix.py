"""Two models made one: the ends, the middle, equality with mixing before the export, and what is refused."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import platformdirs
import pytest
from onnx_files import CONTRACT, conv_network, field, model_bytes, varint, write_model

from revisage import Restorer, zoo
from revisage.cli import main
from revisage.errors import ModelCorruptError, ModelMissingError, UnknownModelError, UsageError
from revisage.runtime import open_session
from revisage.runtime.openvino import OpenVinoSession
from revisage.zoo import CATALOGUE, Contract, Mixture, Model, ModelSpec

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's model folder, empty."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    monkeypatch.delenv("REVISAGE_MODELS", raising=False)
    (tmp_path / "cache" / "models").mkdir(parents=True)
    return tmp_path / "cache" / "models"


def model(path: Path) -> Model:
    return Model(ModelSpec(path.stem, "scene", None, 2, "1", "none", path.name), path)


def linear(path: Path, weights: np.ndarray, *, half: bool = False) -> Model:
    """One 3x3 convolution without an activation: (O, 3, 3, 3) weights."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    kind = np.float16 if half else np.float32
    nodes = [helper.make_node("Cast", ["stored"], ["weight"], to=onnx.TensorProto.FLOAT)] if half else []
    nodes.append(helper.make_node("Conv", ["input", "weight"], ["output"], pads=[1, 1, 1, 1]))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, ["n", None, "h", "w"])],
        [onnx.numpy_helper.from_array(weights.astype(kind), "stored" if half else "weight")],
    )
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    for key, value in CONTRACT.items():
        file.metadata_props.add(key=key, value=value)
    onnx.save(file, path)
    return model(path)


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def run(source: Path | bytes, x: np.ndarray) -> np.ndarray:
    return OpenVinoSession(source, precision="fp32").run(x)


@pytest.mark.parametrize("half", [False, True])
def test_the_ends_are_the_models_and_the_middle_of_linear_ones_their_mean(half: bool, tmp_path: Path) -> None:
    a = linear(tmp_path / "a.onnx", random(3, 3, 3, 3, seed=1) - 0.5, half=half)
    b = linear(tmp_path / "b.onnx", random(3, 3, 3, 3, seed=2) - 0.5, half=half)
    assert Mixture(a, b, 1).read() == a.path.read_bytes()
    assert Mixture(a, b, 0).read() == b.path.read_bytes()
    x = random(2, 3, 12, 10)
    mean = (run(a.path, x) + run(b.path, x)) / 2
    np.testing.assert_allclose(run(Mixture(a, b, 0.5).read(), x), mean, atol=5e-3 if half else 1e-5)
    quarter = run(Mixture(a, b, 0.25).read(), x)
    np.testing.assert_allclose(quarter, mean + (run(b.path, x) - mean) / 2, atol=5e-3 if half else 1e-5)


def test_both_runtimes_open_what_is_in_memory(tmp_path: Path) -> None:
    ort = pytest.importorskip("revisage.runtime.onnxruntime")
    pytest.importorskip("onnxruntime")
    first, second = (conv_network(tmp_path / f"{seed}.onnx", seed=seed) for seed in (1, 2))
    mixed = Mixture(model(first), model(second), 0.4).read()
    x = random(1, 3, 16, 16)
    want = ort.OnnxRuntimeSession(mixed, device="cpu").run(x)
    np.testing.assert_allclose(run(mixed, x), want, atol=1e-5)
    assert open_session(mixed, device="cpu").run(x).shape == (1, 3, 32, 32)
    with pytest.raises(ModelCorruptError, match="cannot open the model in memory"):
        open_session(b"rubbish", device="cpu", precision="fp32")


def test_mixing_models_equals_mixing_before_the_export(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("spandrel")
    from checkpoints import compact_state, save

    from revisage.lab.networks.compact import with_weights
    from revisage.restore.published import install

    states = [compact_state(seed=seed) for seed in (1, 2)]
    a, b = (
        model(install(save(tmp_path / f"{name}.pth", state)))
        for name, state in zip("ab", states, strict=True)
    )
    mixed = {name: 0.3 * value + 0.7 * states[1][name] for name, value in states[0].items()}
    network = with_weights(mixed)
    x = random(1, 3, 24, 20)
    got = run(Mixture(a, b, 0.3).read(), x)
    np.testing.assert_allclose(got, network(torch.from_numpy(x)).numpy(), atol=2e-3)
    for end in (a, b):
        assert np.abs(run(end.path, x) - got).max() > 0.05


def test_numbers_that_are_equal_stay_as_they_are(tmp_path: Path) -> None:
    weights = random(3, 3, 3, 3) * np.float32(1e-3) + np.float32(1 / 3)
    a, b = linear(tmp_path / "a.onnx", weights), linear(tmp_path / "b.onnx", weights)
    for weight in (0.1, 0.3, 0.7):
        assert Mixture(a, b, weight).read() == a.path.read_bytes()


def test_models_that_are_not_of_one_architecture(tmp_path: Path) -> None:
    plain = linear(tmp_path / "plain.onnx", random(3, 3, 3, 3))
    wide = linear(tmp_path / "wide.onnx", random(6, 3, 3, 3))
    half = linear(tmp_path / "half.onnx", random(3, 3, 3, 3), half=True)
    deep = model(conv_network(tmp_path / "deep.onnx"))
    deeper = model(conv_network(tmp_path / "deeper.onnx", scale=4))
    for first, second, words in [
        (plain, wide, "they have different layers"),
        (plain, half, "they have different layers"),
        (plain, deep, "they have different layers"),
        (deep, deeper, "they have different layers"),
    ]:
        with pytest.raises(
            UsageError, match=f"{first.spec.name} and {second.spec.name} cannot be mixed: {words}"
        ):
            Mixture(first, second, 0.5).read()


def test_files_that_cannot_be_mixed(tmp_path: Path) -> None:
    good = model(write_model(tmp_path / "good.onnx"))
    for name, data, words in [
        ("cut", model_bytes()[:12], "is cut short"),
        ("empty", b"", "holds no network"),
        ("odd", field(7, field(5, varint(2 << 3) + varint(1) + field(9, b"abc"))), "is cut short"),
    ]:
        (tmp_path / f"{name}.onnx").write_bytes(data)
        bad = model(tmp_path / f"{name}.onnx")
        with pytest.raises(ModelCorruptError, match=words):
            Mixture(bad, bad, 0.5).read()
    with pytest.raises(ModelMissingError):
        Mixture(good, model(tmp_path / "gone.onnx"), 0.5).read()
    for name in "ab":  # whose numbers, 1.0 and 2.0, are not stored as raw data
        numbers = field(4, struct.pack("<f", 1 + "ab".index(name)))
        (tmp_path / f"{name}.onnx").write_bytes(field(7, field(5, varint(2 << 3) + varint(1) + numbers)))
    with pytest.raises(UsageError, match="cannot be mixed"):
        Mixture(model(tmp_path / "a.onnx"), model(tmp_path / "b.onnx"), 0.5).read()


@pytest.fixture
def twins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two scene models, one of them in the catalogue with the other as its twin."""
    onnx = pytest.importorskip("onnx")
    for seed, name in enumerate(("strong", "weak", "third")):
        path = conv_network(home / f"{name}.onnx", seed=seed)
        file = onnx.load(path)
        for key, value in Contract(name, "scene", None, 2, "1", "none").to_metadata().items():
            file.metadata_props.add(key=key, value=value)
        onnx.save(file, path)
    strong = ModelSpec("strong", "scene", None, 2, "1", "none", "strong.onnx", twin="weak")
    monkeypatch.setitem(CATALOGUE, "strong", strong)


@pytest.mark.usefixtures("twins")
def test_what_the_words_mean(home: Path) -> None:
    mixed = zoo.mixture("scene", "strong:0.3")
    assert mixed is not None
    assert str(mixed) == "0.3 strong 1 + 0.7 weak 1"
    assert str(zoo.mixture("scene", "strong+third:1")) == "1 strong 1 + 0 third 1"
    paths = f"{home / 'weak.onnx'}+{home / 'third.onnx'}:.5"
    assert str(zoo.mixture("scene", paths)) == "0.5 weak 1 + 0.5 third 1"
    assert zoo.mixture("scene", "strong") is None
    assert zoo.mixture("scene", r"C:\models\my.onnx") is None


@pytest.mark.usefixtures("twins")
@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("strong:1.5", UsageError, r"strong:1\.5: give the weight of strong as a number from 0 to 1"),
        ("strong:-1", UsageError, "number from 0 to 1"),
        ("strong:nan", UsageError, "number from 0 to 1"),
        ("strong:", UsageError, "number from 0 to 1"),
        *(
            (text, UsageError, "lacks a model's name: give NAME:0.3, or")
            for text in (":0.3", "strong+:1", "+weak:1")
        ),
        ("weak:0.3", UsageError, r"weak has no twin to be mixed with; name one: weak\+OTHER:0\.3"),
        ("strong+nobody:0.3", UnknownModelError, "no model is called 'nobody'"),
        ("strong+revisage-face-256:0.3", UnknownModelError, "is a face model"),
        ("strong+revisage-scene-x2:0.3", UsageError, "cannot be mixed"),
    ],
)
def test_words_that_mean_nothing(text: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Restorer(model="none", scene=text).check()


@pytest.mark.usefixtures("twins")
def test_a_photo_restored_by_a_mixture_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tmp_path / "small.png"
    from PIL import Image

    Image.open(PORTRAIT).resize((48, 48)).save(small)
    results = {}
    for text in ("strong", "strong:1", "strong:0.5", "strong:0", "weak"):
        result = Restorer(model="none", scene=text, precision="fp32").restore(small, colour="enhance")
        results[text] = result.pixels.astype(int)
        report = result.entry()
    assert report["models"]["scene"] == "weak 1"
    assert np.array_equal(results["strong"], results["strong:1"])
    assert np.array_equal(results["weak"], results["strong:0"])
    mean = (results["strong"] + results["weak"]) / 2
    assert np.abs(results["strong"] - results["weak"]).max() > 4
    assert np.abs(results["strong:0.5"] - mean).mean() < 1.5
    code = main(["restore", str(small), "--model", "none", "--scene", "strong:0.3", "--precision", "fp32"])
    assert code == 0
    assert main(["restore", str(small), "--scene", "weak:0.3"]) == 2
    assert "weak has no twin" in capsys.readouterr().err
    label = Restorer(model="none", scene="strong:0.3", precision="fp32").restore(small).changed_by
    assert label == ("0.3 strong 1 + 0.7 weak 1",)
