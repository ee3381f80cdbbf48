"""Published checkpoints: equal to an independent implementation, safe to read, made into models once."""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import platformdirs
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
spandrel = pytest.importorskip("spandrel")

import onnx  # noqa: E402
from checkpoints import State, compact_state, narrow_gfpgan, published_gfpgan, rrdb_state, save  # noqa: E402
from onnx_files import CONTRACT, conv_network, write_model  # noqa: E402
from PIL import Image  # noqa: E402
from torch import nn  # noqa: E402

from revisage import Restorer, zoo  # noqa: E402
from revisage.errors import ModelCorruptError, ModelMissingError, UsageError  # noqa: E402
from revisage.files import sha256  # noqa: E402
from revisage.lab import published  # noqa: E402
from revisage.lab.networks.compact import Compact, CompactConfig  # noqa: E402
from revisage.lab.networks.gfpgan import GFPGAN, published_512  # noqa: E402
from revisage.lab.networks.rrdb import RRDBConfig, RRDBNet  # noqa: E402
from revisage.runtime.openvino import OpenVinoSession  # noqa: E402
from revisage.zoo import CATALOGUE, Contract, ModelSpec  # noqa: E402

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


def assert_equals_spandrel_gfpgan(theirs: nn.Module, path: Path) -> None:
    loaded = published.load(save(path, theirs.state_dict(), "params_ema"))
    assert (loaded.task, loaded.size, loaded.scale) == ("face", 512, 1)
    x = torch.rand(1, 3, 512, 512) * 2 - 1
    with torch.no_grad():
        want, pyramid = theirs(x, randomize_noise=False)
        got, ours = loaded.network.network(x)
        in_use = loaded.network(x / 2 + 0.5)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)
    for a, b in zip(ours, pyramid, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=0)
    torch.testing.assert_close(in_use, (want / 2 + 0.5).clamp(0, 1), atol=1e-4, rtol=0)


def test_gfpgan_equals_spandrel(tmp_path: Path) -> None:
    assert_equals_spandrel_gfpgan(narrow_gfpgan(512), tmp_path / "face.pth")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("multiplier", [1, 2])
def test_gfpgan_of_the_published_size_equals_spandrel(multiplier: int, tmp_path: Path) -> None:
    assert_equals_spandrel_gfpgan(published_gfpgan(multiplier), tmp_path / "face.pth")
    loaded = published.load(tmp_path / "face.pth")
    assert loaded.network.network.config == published_512(multiplier)


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
    loaded = published.load(save(tmp_path / "scene.pth", state))
    assert (loaded.task, loaded.size, loaded.scale) == ("scene", None, scale)
    theirs = spandrel.ModelLoader().load_from_state_dict({**state})
    x = torch.rand(2, 3, 24, 36)
    with torch.no_grad():
        got, want = loaded.network(x), theirs.model.eval()(x)
    assert got.shape == (2, 3, 24 * scale, 36 * scale)
    torch.testing.assert_close(got, want, atol=1e-4, rtol=0)


@pytest.mark.parametrize("group", ["params_ema", "params", None])
def test_weights_may_lie_in_a_group(group: str | None, tmp_path: Path) -> None:
    state = compact_state()
    loaded = published.load(save(tmp_path / "x.pth", state, group))
    assert torch.equal(loaded.network.state_dict()["body.0.weight"], state["body.0.weight"])


def test_averaged_weights_are_taken_before_the_last_step_of_training(tmp_path: Path) -> None:
    torch.save({"params": compact_state(seed=1), "params_ema": compact_state(seed=2)}, tmp_path / "x.pth")
    weight = published.load(tmp_path / "x.pth").network.state_dict()["body.0.weight"]
    assert torch.equal(weight, compact_state(seed=2)["body.0.weight"])


def test_half_precision_checkpoints_of_the_old_format_are_read(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in compact_state().items()}
    torch.save(state, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    weight = published.load(tmp_path / "x.pth").network.state_dict()["body.0.weight"]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, state["body.0.weight"].float())


def test_a_checkpoint_becomes_a_model_once(home: Path, tmp_path: Path) -> None:
    state = rrdb_state(2)
    source = save(tmp_path / "My RRDB v1.pth", state)
    path = published.install(source)
    assert path == home / "My-RRDB-v1.onnx"
    contract = zoo.read_contract(path)
    assert (contract.task, contract.size, contract.scale) == ("scene", None, 2)
    assert contract.source == sha256(source)
    weights = sum(value.numel() for value in state.values())
    assert 2 * weights < path.stat().st_size < 3 * weights + 60_000
    x = np.random.default_rng(0).random((1, 3, 20, 36), dtype=np.float32)
    want = published.load(source).network(torch.from_numpy(x)).numpy()
    model = zoo.resolve("scene", "My-RRDB-v1")
    np.testing.assert_allclose(OpenVinoSession(model.path, precision="fp32").run(x), want, atol=2 / 255)
    written = path.stat().st_mtime_ns
    assert published.install(source) == path
    assert path.stat().st_mtime_ns == written
    assert [p.name for p in home.iterdir()] == [path.name]


def test_names_that_cannot_be_used(home: Path, tmp_path: Path) -> None:
    source = save(tmp_path / "a.pth", compact_state())
    home.mkdir(parents=True)
    (home / "a.onnx").write_bytes(b"something else")
    for name, words in [(None, "exists and differs"), ("gfpgan-1.4", "of the catalogue"), ("a/b", "cannot")]:
        with pytest.raises(UsageError, match=words):
            published.install(source, name)
    with pytest.raises(UsageError, match="--as NAME"):
        published.install(save(tmp_path / "äöü.pth", compact_state()))
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
    assert published.install(source.rename(tmp_path / "whatever.pth")) == home / "known.onnx"
    assert str(zoo.resolve("scene", "known")) == "known 7"
    # The model may be carried to a machine without PyTorch.
    carried = (home / "known.onnx").rename(tmp_path / "carried.onnx")
    assert zoo.import_model(carried) == home / "known.onnx"
    assert zoo.resolve("scene", "known").path == home / "known.onnx"


def test_the_model_of_a_face_network_equals_spandrel(home: Path, tmp_path: Path) -> None:
    """Through the export: weights of 16 bits, noise from the checkpoint's buffers."""
    theirs = narrow_gfpgan(16)
    path = published.install(save(tmp_path / "face.pth", theirs.state_dict(), "params_ema"))
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
    published.install(save(tmp_path / "face.pth", face.state_dict(), "params_ema"))
    published.install(save(tmp_path / "scene.pth", scene.state_dict(), "params_ema"))
    small = Image.open(PORTRAIT).crop((140, 30, 320, 210))
    result = Restorer(model="face", scene="scene").restore(small, scale=2)
    assert [f.outcome for f in result.faces] == ["restored"]
    assert result.pixels.shape == (360, 360, 3)


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def refused(path: Path, words: str) -> None:
    with pytest.raises(ModelCorruptError, match=words) as caught:
        published.install(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not zoo.user_folder().exists()


@pytest.mark.parametrize("old_format", [True, False])
def test_code_in_a_checkpoint_is_not_run(old_format: bool, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    path = tmp_path / "bomb.pth"
    content = {"params": compact_state(), "more": Bomb(f"touch '{trace}'")}
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    refused(path, r"asks for \w+\.system, .* may be hostile")
    assert not trace.exists()


def test_an_archive_that_unpacks_to_more_than_its_size_is_refused(tmp_path: Path) -> None:
    honest = save(tmp_path / "honest.pth", {"body.0.weight": torch.zeros(1_000_000)})
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(honest) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    assert path.stat().st_size < 100_000
    refused(path, "no whole PyTorch checkpoint")


def test_a_tensor_larger_than_the_file_is_refused(tmp_path: Path) -> None:
    state = compact_state()
    state["body.0.weight"] = torch.zeros(1).expand(100_000, 3, 3, 3)
    path = tmp_path / "bomb.pth"
    torch.save(state, path)
    assert path.stat().st_size < 100_000
    refused(path, r"'body\.0\.weight' has shape \(100000, 3, 3, 3\), which is not in the file")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint(share: float, tmp_path: Path) -> None:
    data = save(tmp_path / "whole.pth", rrdb_state()).read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(data[: int(share * len(data))])
    refused(path, "no whole PyTorch checkpoint: get it again")


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
        (change(COMPACT, body__2__weight=None), r"'body\.1\.weight' has shape \(8,\): it writes no RGB"),
        (change(COMPACT, body__2__bias=torch.full((8,), torch.nan)), r"'body\.2\.bias' holds numbers that"),
        (change(COMPACT, body__2__bias=torch.ones(8, dtype=torch.int64)), r"'body\.2\.bias' is no tensor"),
        (change(COMPACT, body__2__bias=torch.ones(0)), r"'body\.2\.bias' has shape \(0,\)"),
        (change(RRDB, conv_up2__weight=None), r"12 input channels .* and 1 doublings"),
        (change(RRDB, conv_first__weight=torch.ones(8, 5, 3, 3)), "5 input channels"),
        (change(RRDB, body__0__rdb1__conv1__weight=None), r"no tensor 'body\.0\.rdb1\.conv1\.weight'"),
        (change(RRDB, body__1__rdb2__conv3__bias=torch.ones(7)), r"'body\.1\.rdb2\.conv3\.bias' has shape"),
        ({"conv_body_first.weight": torch.ones(4, 3, 1, 1)}, r"no tensor 'stylegan_decoder\.style_conv1"),
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
        published.install(tmp_path / "none.pth")
    home.parent.mkdir(parents=True)
    home.write_text("a file where the folder should be")
    with pytest.raises(ModelMissingError, match="cannot write"):
        published.install(save(tmp_path / "x.pth", compact_state()))


def test_weights_that_16_bits_cannot_hold_are_stored_in_32(home: Path, tmp_path: Path) -> None:
    state = compact_state()
    # Two large numbers whose difference is what matters, and which 16 bits round to one.
    network = published.load(save(tmp_path / "x.pth", state)).network
    last = network.body[-1]
    last.weight.data[:] = 0
    last.weight.data[:, 0, 1, 1], last.weight.data[:, 1, 1, 1] = 2000.4, -2000.4 + 0.3
    first, slope = network.body[-3], network.body[-2].weight
    first.weight.data[:], first.bias.data[:2], slope.data[:2] = 0, 1.0, 1.0
    path = published.install(save(tmp_path / "y.pth", network.state_dict()))
    x = np.random.default_rng(0).random((1, 3, 8, 8), dtype=np.float32)
    want = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(OpenVinoSession(path, precision="fp32").run(x), want, atol=2e-3)


def test_a_spec_from_a_checkpoint_needs_its_sha256(tmp_path: Path) -> None:
    spec = spec_of(save(tmp_path / "x.pth", compact_state()), "x", "scene", None, 4)
    with pytest.raises(ValueError, match="no sha256 to know it by"):
        replace(spec, url=None, sha256=None)
    with pytest.raises(ValueError, match="bare file name"):
        replace(spec, checkpoint="../x.pth")


def test_every_twin_of_the_catalogue_names_its_own() -> None:
    twins = {spec.name: spec.twin for spec in CATALOGUE.values() if spec.twin}
    assert twins
    assert all(twins[twin] == name for name, twin in twins.items())
