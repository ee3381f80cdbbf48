"""Published networks: equal to an independent implementation, and made into models once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import platformdirs
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
spandrel = pytest.importorskip("spandrel")

import onnx  # noqa: E402
from checkpoints import State, compact_state, narrow_gfpgan, published_gfpgan, rrdb_state, save  # noqa: E402
from onnx_files import CONTRACT, conv_network, write_model  # noqa: E402
from PIL import Image  # noqa: E402

from revisage import Restorer, zoo  # noqa: E402
from revisage.errors import ModelCorruptError, ModelMissingError, UsageError  # noqa: E402
from revisage.files import sha256  # noqa: E402
from revisage.lab.networks.compact import Compact, CompactConfig, with_weights  # noqa: E402
from revisage.lab.networks.gfpgan import GFPGAN, GFPGANConfig, published_512  # noqa: E402
from revisage.lab.networks.rrdb import RRDBConfig, RRDBNet  # noqa: E402
from revisage.lab.train.init import start_from  # noqa: E402
from revisage.restore.published import install  # noqa: E402
from revisage.runtime.onnxruntime import OnnxRuntimeSession  # noqa: E402
from revisage.runtime.openvino import OpenVinoSession  # noqa: E402
from revisage.zoo import CATALOGUE, Contract, ModelSpec, published  # noqa: E402
from revisage.zoo.store import PARTIAL  # noqa: E402

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's model folder, empty."""
    torch.set_num_threads(1)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    monkeypatch.delenv("REVISAGE_MODELS", raising=False)
    return tmp_path / "cache" / "models"


def spec_of(path: Path, name: str, task: str, size: int | None, scale: int) -> ModelSpec:
    sha = sha256(path)
    return ModelSpec(
        name, task, size, scale, "7", "CC0-1.0", f"{name}.onnx", "http://x/y", sha, checkpoint=path.name
    )


def model(file: Path, *, half: bool = False) -> bytes:
    network = published.read(file)
    contract = Contract("x", network.task, network.size, network.scale, "1", "none")
    data = network.onnx(contract, half=half)
    onnx.checker.check_model(data, full_check=True)
    return data


def run(file: Path, x: torch.Tensor, *, half: bool = False) -> np.ndarray:
    return OpenVinoSession(model(file, half=half), precision="fp32").run(x.numpy())


@pytest.mark.parametrize("size", [16, 64, 512])
def test_gfpgan_equals_spandrel(size: int, tmp_path: Path) -> None:
    theirs = narrow_gfpgan(size)
    path = save(tmp_path / "face.pth", theirs.state_dict(), "params_ema")
    network = published.read(path)
    assert (network.task, network.size, network.scale) == ("face", size, 1)
    x = torch.rand(2, 3, size, size)
    with torch.no_grad():
        want = (theirs(x * 2 - 1, randomize_noise=False)[0] / 2 + 0.5).clamp(0, 1).numpy()
    np.testing.assert_allclose(run(path, x), want, atol=1e-4)
    np.testing.assert_allclose(run(path, x, half=True), want, atol=2 / 255)


def test_a_face_training_starts_from_a_published_model(tmp_path: Path) -> None:
    theirs = narrow_gfpgan(32)
    path = tmp_path / "face.onnx"
    path.write_bytes(model(save(tmp_path / "face.pth", theirs.state_dict(), "params_ema")))
    config = GFPGANConfig(size=32, unet=(8, 8, 8, 8), prior=(16, 16, 16, 16), style_dim=16)
    ours = GFPGAN(config).eval()
    assert start_from(ours, path) == ["heads.0", "heads.1", "heads.2"]  # the U-Net's pictures
    x = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(ours(x)[0], theirs(x, randomize_noise=False)[0], atol=1e-4, rtol=0)


def test_the_first_release_of_esrgan_equals_spandrel(tmp_path: Path) -> None:
    places = {"first": "0", "body": "1.sub.2", "up1": "3", "up2": "6", "hr": "8", "last": "10"}
    state = {}
    for key, value in rrdb_state(4).items():
        name, part = key.rsplit(".", 1)
        inner = re.sub(r"^body\.(\d+)\.rdb(\d)\.(conv\d)$", r"1.sub.\1.RDB\2.\3.0", name)
        state[f"model.{places.get(name.removeprefix('conv_'), inner)}.{part}"] = value
    theirs = spandrel.ModelLoader().load_from_state_dict({**state})
    assert theirs.architecture.name == "ESRGAN"
    x = torch.rand(1, 3, 16, 20)
    with torch.no_grad():
        want = theirs.model.eval()(x).numpy()
    np.testing.assert_allclose(run(save(tmp_path / "x.pth", state, None), x), want, atol=1e-4)


PUBLISHED = {
    "gfpgan": lambda: published_gfpgan(2),
    "gfpgan paper": lambda: published_gfpgan(1),
    "x2plus": lambda: RRDBNet(RRDBConfig(2)),
    "x4plus": lambda: RRDBNet(RRDBConfig(4)),
    "general-x4v3": lambda: Compact(CompactConfig(64, layers=32, scale=4)),
}

ALONE = r"""
import os, re, sys, time
for name in ("torch", "onnx", "onnxruntime", "spandrel", "safetensors"):
    sys.modules[name] = None
begun = time.monotonic()
from pathlib import Path
from revisage.restore.published import install
install(Path(sys.argv[1]), "model")
seconds = min(time.monotonic() - begun, sum(os.times()[:2]))  # what others do on the machine does not count
print(seconds, int(re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="tells the peak memory")
@pytest.mark.parametrize("kind", PUBLISHED)
def test_the_published_sizes_without_pytorch(kind: str, tmp_path: Path) -> None:
    """In 20 seconds and 2 GiB, and the picture is that of PyTorch."""
    torch.manual_seed(0)
    network = PUBLISHED[kind]().eval()
    path = save(tmp_path / "weights.pth", network.state_dict(), "params_ema")
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    seconds, gibibytes = map(float, done.stdout.split())
    print(kind, seconds, "s", gibibytes, "GiB")
    assert seconds < 20
    assert gibibytes < 2
    (made,) = (tmp_path / "revisage" / "models").glob("*.onnx")
    face = kind.startswith("gfpgan")
    x = torch.rand(1, 3, 512, 512) if face else torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        plain = (network(x * 2 - 1, randomize_noise=False)[0] / 2 + 0.5).clamp(0, 1) if face else network(x)
    got = OpenVinoSession(made, precision="fp32").run(x.numpy())
    assert np.abs(got - plain.numpy()).max() < 2 / 255
    assert np.abs(run(path, x) - plain.numpy()).max() < 1 / 255


@pytest.mark.parametrize("multiplier", [1, 2])
def test_the_published_layout_has_the_published_number_of_weights(multiplier: int) -> None:
    with torch.device("meta"):
        ours = GFPGAN(published_512(multiplier)).state_dict()
        theirs = published_gfpgan(multiplier).state_dict()
    used = [value for name, value in theirs.items() if ".style_mlp." not in name]
    assert len(used) == len(ours)
    assert sum(value.numel() for value in used) == sum(value.numel() for value in ours.values())
    with torch.device("meta"):  # as others count them
        assert sum(p.numel() for p in Compact(CompactConfig(64, 32, 4)).parameters()) == 1_213_296


@pytest.mark.parametrize(
    ("state", "scale"),
    [*((rrdb_state(scale), scale) for scale in (1, 2, 4)), *((compact_state(s), s) for s in (2, 4))],
    ids=["rrdb x1", "rrdb x2", "rrdb x4", "compact x2", "compact x4"],
)
def test_scene_networks_equal_spandrel(state: State, scale: int, tmp_path: Path) -> None:
    path = save(tmp_path / "scene.pth", state)
    network = published.read(path)
    assert (network.task, network.size, network.scale) == ("scene", None, scale)
    theirs = spandrel.ModelLoader().load_from_state_dict({**state})
    x = torch.rand(2, 3, 24, 36)
    with torch.no_grad():
        want = theirs.model.eval()(x).numpy()
    assert want.shape == (2, 3, 24 * scale, 36 * scale)
    np.testing.assert_allclose(run(path, x), want, atol=1e-4)
    np.testing.assert_allclose(run(path, x, half=True), want, atol=2 / 255)
    other = OnnxRuntimeSession(model(path, half=True), device="cpu", precision="fp32")
    np.testing.assert_allclose(other.run(x.numpy()), want, atol=2 / 255)


def test_a_checkpoint_becomes_a_model_once(home: Path, tmp_path: Path) -> None:
    state = rrdb_state(2)
    source = save(tmp_path / "My RRDB v1.pth", state)
    path = install(source)
    assert path == home / "My-RRDB-v1.onnx"
    contract = zoo.read_contract(path)
    assert (contract.task, contract.size, contract.scale) == ("scene", None, 2)
    assert contract.source == sha256(source)
    weights = sum(value.numel() for value in state.values())
    assert 2 * weights < path.stat().st_size < 3 * weights + 60_000
    x = np.random.default_rng(0).random((1, 3, 20, 36), dtype=np.float32)
    theirs = spandrel.ModelLoader().load_from_state_dict({**state})
    with torch.no_grad():
        want = theirs.model.eval()(torch.from_numpy(x)).numpy()
    made = zoo.resolve("scene", "My-RRDB-v1")
    np.testing.assert_allclose(OpenVinoSession(made.path, precision="fp32").run(x), want, atol=2 / 255)
    written = path.stat().st_mtime_ns
    assert install(source) == path
    assert path.stat().st_mtime_ns == written
    assert sorted(p.name for p in home.iterdir()) == [PARTIAL, path.name]
    assert not list((home / PARTIAL).iterdir())


def test_names_that_cannot_be_used(home: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "a.pth", compact_state())
    home.mkdir(parents=True)
    (home / "a.onnx").write_bytes(b"something else")
    for name, words in [(None, "exists and differs"), ("gfpgan-1.4", "of the catalogue"), ("a/b", "cannot")]:
        with pytest.raises(UsageError, match=words):
            install(source, name)
    with pytest.raises(UsageError, match="--as NAME"):
        install(save(tmp_path / "äöü.pth", compact_state()))
    assert [p.name for p in home.iterdir()] == ["a.onnx"]


def test_a_checkpoint_of_the_catalogue_becomes_its_model(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "Known.pth", compact_state())
    monkeypatch.setitem(CATALOGUE, "known", spec_of(source, "known", "scene", None, 4))
    # Another model under the catalogue's file name is found out, and replaced when the right one comes.
    other = {"revisage.source": "0" * 64, "revisage.scale": "4"}
    for metadata in (CONTRACT, CONTRACT | other):
        write_model(home / "known.onnx", metadata)
        with pytest.raises(ModelCorruptError, match="was not made from the checkpoint of known"):
            zoo.resolve("scene", "known")
    assert install(source.rename(tmp_path / "whatever.pth")) == home / "known.onnx"
    assert str(zoo.resolve("scene", "known")) == "known 7"
    # The model may be carried to a machine without PyTorch.
    carried = (home / "known.onnx").rename(tmp_path / "carried.onnx")
    assert zoo.import_model(carried) == home / "known.onnx"
    assert zoo.resolve("scene", "known").path == home / "known.onnx"


def test_the_model_of_a_face_network_equals_spandrel(home: Path, tmp_path: Path) -> None:
    """Through the export: weights of 16 bits, noise from the checkpoint's buffers."""
    theirs = narrow_gfpgan(16)
    path = install(save(tmp_path / "face.pth", theirs.state_dict(), "params_ema"))
    assert zoo.read_contract(path).size == 16
    pixels = np.asarray(Image.open(PORTRAIT).resize((16, 16)), np.float32) / 255
    x = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
    with torch.no_grad():
        want, _ = theirs(torch.from_numpy(x) * 2 - 1, randomize_noise=False)
        drawn, _ = theirs(torch.from_numpy(x) * 2 - 1)
    session = OpenVinoSession(path, precision="fp32")
    np.testing.assert_allclose(session.run(x), (want / 2 + 0.5).clamp(0, 1).numpy(), atol=2 / 255)
    assert np.array_equal(session.run(x), session.run(x))
    assert (want - drawn).abs().max() > 0.02


def test_a_512_px_face_model_and_an_x4_scene_model_restore_a_photo(home: Path, tmp_path: Path) -> None:
    """The sizes of the published models through the whole photo path, with networks that cost nothing."""
    for name, task, size, scale in [("face", "face", 512, 1), ("scene", "scene", None, 4)]:
        path = conv_network(tmp_path / f"{name}.onnx", scale=scale, size=size)
        model = onnx.load(path)
        for key, value in Contract(name, task, size, scale, "9", "none").to_metadata().items():
            model.metadata_props.add(key=key, value=value)
        onnx.save(model, path)
        zoo.import_model(path)
    restorer = Restorer(model="face", scene="scene", precision="fp32")
    small = Image.open(PORTRAIT).resize((256, 256))
    for scale, words in [(1, ", then area to x1"), (2, ", then area to x2"), (4, "")]:
        result = restorer.restore(small, scale=scale)
        assert result.models["face"] == "face 9"
        assert result.models["scene"] == "scene 9"
        assert [f.outcome for f in result.faces] == ["restored"]
        assert result.pixels.shape == (256 * scale, 256 * scale, 3)
        assert result.background == f"model x4{words}"
        plain = np.asarray(small.resize((256 * scale, 256 * scale), Image.Resampling.BICUBIC), float)
        assert np.abs(result.pixels - plain).mean() < 16
    assert restorer.restore(small, aligned=True).pixels.shape == (512, 512, 3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_published_sizes_from_checkpoint_to_photo(home: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    face, scene = published_gfpgan(2), RRDBNet(RRDBConfig(4, blocks=6))  # RealESRGAN_x4plus_anime_6B's
    install(save(tmp_path / "face.pth", face.state_dict(), "params_ema"))
    install(save(tmp_path / "scene.pth", scene.state_dict(), "params_ema"))
    small = Image.open(PORTRAIT).crop((140, 30, 320, 210))
    result = Restorer(model="face", scene="scene").restore(small, scale=2)
    assert [f.outcome for f in result.faces] == ["restored"]
    assert result.pixels.shape == (360, 360, 3)


def refused(path: Path, words: str) -> None:
    with pytest.raises(ModelCorruptError, match=words) as caught:
        install(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not zoo.user_folder().exists()


def test_a_safetensors_file_becomes_a_model(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    state = compact_state()
    safetensors.save_file(state, tmp_path / "x.safetensors")
    x = np.random.default_rng(0).random((1, 3, 16, 20), dtype=np.float32)
    got = OpenVinoSession(install(tmp_path / "x.safetensors"), precision="fp32").run(x)
    want = with_weights(state)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(got, want, atol=2 / 255)


def change(state: State, **tensors: torch.Tensor | None) -> State:
    """A copy with tensors replaced or, for None, left out; `__` in a name stands for a dot."""
    changed = {**state, **{name.replace("__", "."): value for name, value in tensors.items()}}
    return {name: value for name, value in changed.items() if value is not None}


RRDB, COMPACT = rrdb_state(2), compact_state()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds a list, not named tensors"),
        ({"iter": 3, "epoch": 4}, "'iter' is no tensor of weights"),
        (
            {"networks": {}, "optimizers": {}, "ema": {}},
            "of `revisage train`: `revisage export RUN OUT.onnx`",
        ),
        (
            {"params": {"a.weight": torch.ones(2)}},
            r"its tensors \('a.weight', ...\) are of none of the known",
        ),
        ({}, r"its tensors \(none, ...\) are of none"),
        (
            change(COMPACT, body__3__weight=torch.ones(2)),
            r"'body\.3\.weight' has shape \(2,\), SRVGGNetCompact",
        ),
        (change(COMPACT, body__2__bias=None), r"no tensor 'body\.2\.bias'"),
        (change(COMPACT, tail=torch.ones(2)), r"no place for 'tail', shape \(2,\)"),
        (change(COMPACT, body__2__weight=None), r"'body\.1\.weight' has shape \(8,\), SRVGGNetCompact wants"),
        (change(COMPACT, body__2__bias=torch.full((8,), torch.nan)), r"'body\.2\.bias' holds numbers that"),
        (change(COMPACT, body__2__bias=torch.ones(8, dtype=torch.int64)), r"no tensor 'body\.2\.bias'"),
        (change(COMPACT, body__2__bias=torch.ones(0)), r"'body\.2\.bias' has shape \(0,\)"),
        (
            change(COMPACT, body__6__weight=torch.ones(3 * 81, 8, 3, 3), body__6__bias=torch.ones(3 * 81)),
            r"'body\.6\.weight' gives 243 channels: it writes no RGB picture",
        ),
        (change(RRDB, conv_up2__weight=None), r"no tensor 'conv_up2\.weight'"),
        (change(RRDB, conv_first__weight=torch.ones(8, 5, 3, 3)), "5 input channels"),
        (change(RRDB, body__0__rdb1__conv1__weight=None), r"no place for 'body\.0\.rdb1\.conv1\.bias'"),
        (change(RRDB, body__1__rdb2__conv3__bias=torch.ones(7)), r"'body\.1\.rdb2\.conv3\.bias' has shape"),
        ({"conv_body_first.weight": torch.ones(4, 3, 1, 1)}, r"no tensor 'conv_body_first\.bias'"),
        ({"conv_body_first.0.weight": torch.ones(4, 3, 1, 1)}, r"GFP-GAN 1\.0 has custom layers: take 1\.2"),
    ],
)
def test_what_does_not_fit_is_named(content: object, words: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", words)


def test_what_does_not_fit_a_face_network_is_named(tmp_path: Path) -> None:
    state = narrow_gfpgan(32).state_dict()
    noise = "stylegan_decoder.noises.noise2"
    assert noise in state
    for changed, words in [
        (
            {**state, noise: torch.ones(1, 1, 4, 4)},
            r"noises\.noise2' has shape \(1, 1, 4, 4\), GFP-GAN wants",
        ),
        ({k: v for k, v in state.items() if k != noise}, r"no tensor 'stylegan_decoder\.noises\.noise2'"),
        ({**state, "conv_body_first.weight": torch.ones(4)}, r"'conv_body_down\.0\.conv1\.weight'|has shape"),
    ]:
        refused(save(tmp_path / "x.pth", changed), words)


def test_a_missing_file_and_a_folder_that_cannot_be_written(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="cannot open"):
        install(tmp_path / "none.pth")
    home.parent.mkdir(parents=True)
    home.write_text("a file where the folder should be")
    with pytest.raises(ModelMissingError, match="cannot write"):
        install(save(tmp_path / "x.pth", compact_state()))


def test_weights_that_16_bits_cannot_hold_are_stored_in_32(home: Path, tmp_path: Path) -> None:
    state = compact_state()
    # Two large numbers whose difference is what matters, and which 16 bits round to one.
    network = with_weights(state)
    last = network.body[-1]
    last.weight.data[:] = 0
    last.weight.data[:, 0, 1, 1], last.weight.data[:, 1, 1, 1] = 2000.4, -2000.4 + 0.3
    first, slope = network.body[-3], network.body[-2].weight
    first.weight.data[:], first.bias.data[:2], slope.data[:2] = 0, 1.0, 1.0
    path = install(save(tmp_path / "y.pth", network.state_dict()))
    x = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
    want = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(OpenVinoSession(path, precision="fp32").run(x), want, atol=2e-3)
