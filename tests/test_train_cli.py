"""`revisage train` and `revisage export`, and a model that is trained on from its exported file."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from torch import nn  # noqa: E402
from train_pictures import write_pictures  # noqa: E402

from revisage.cli import main  # noqa: E402
from revisage.cli.train import SYSTEMS, override  # noqa: E402
from revisage.errors import ModelError, TrainingError, UsageError  # noqa: E402
from revisage.lab.architectures import build, describe, export_network  # noqa: E402
from revisage.lab.export import Parity  # noqa: E402
from revisage.lab.networks.compact import Compact, CompactConfig  # noqa: E402
from revisage.lab.networks.detector import DetectorConfig, DetectorNetwork  # noqa: E402
from revisage.lab.networks.gfpgan import GFPGAN  # noqa: E402
from revisage.lab.networks.scene import Scene  # noqa: E402
from revisage.lab.train import checkpoint, presets  # noqa: E402
from revisage.lab.train.face_losses import FaceWeights  # noqa: E402
from revisage.lab.train.init import companion, start_from  # noqa: E402
from revisage.lab.train.publish import publish  # noqa: E402
from revisage.lab.train.settings import LoopSettings, explained, flat  # noqa: E402
from revisage.lab.train.tasks.gfpgan import FaceSettings  # noqa: E402
from revisage.runtime import open_session  # noqa: E402
from revisage.zoo import get, read_contract  # noqa: E402

QUICK = ("images=16", "batch=4", "precision=fp32", "threads=1", "validation=1")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"), training=3, held=1)


@pytest.fixture(scope="module")
def scene_run(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training of the tiny scene model."""
    run = tmp_path_factory.mktemp("runs") / "scene"
    assert command("realesrgan", pictures, run, *QUICK) == 0
    return run


@pytest.fixture(scope="module")
def scene_file(scene_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "little.onnx"
    assert main(["export", str(scene_run), str(path), "--version", "7", "--licence", "CC0-1.0"]) == 0
    return path


def command(
    system: str, data: Path, run: Path, *changes: str, preset: str = "tiny", init: Path | None = None
) -> int:
    arguments = ["train", system, "--data", str(data), "--out", str(run), "--preset", preset]
    arguments += ["--set", *changes] if changes else []
    return main([*arguments, "--init", str(init)] if init else arguments)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.endswith("\n")
    assert error.count("\n") == 1, error
    return error


def test_train_leaves_a_run_behind(scene_run: Path) -> None:
    told = json.loads((scene_run / "settings.json").read_text())
    assert (told["system"], told["preset"], told["task"]["patch"]) == ("realesrgan", "tiny", 32)
    assert (told["loop"]["images"], told["loop"]["batch"], told["loop"]["rate"]) == (16, 4, 5e-3)
    assert (scene_run / "checkpoints" / "best.pt").is_file()
    assert checkpoint.newest(scene_run / "checkpoints") == scene_run / "checkpoints" / "images-0000000016.pt"


def test_the_same_command_again_has_nothing_to_do(
    scene_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = scene_run / "checkpoints" / "images-0000000016.pt"
    before = path.stat().st_mtime_ns
    assert command("realesrgan", pictures, scene_run, *QUICK) == 0
    assert path.stat().st_mtime_ns == before
    told = (scene_run / "settings.json").read_bytes()
    assert "trained to 16 images already" in capsys.readouterr().out
    assert command("realesrgan", pictures, scene_run, *QUICK, "rate=1e-4") == 0
    assert (scene_run / "settings.json").read_bytes() == told, "nothing was trained with this rate"


def test_what_goes_on_with_other_settings_tells_them(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert command("realesrgan", pictures, run, *QUICK) == 0
    told = (run / "settings.json").read_bytes()
    pool = json.loads(told)["task"]["pool"]
    assert command("realesrgan", pictures, run, *QUICK, "images=24", "optimizer=muon") == 1
    assert "use another --out" in capsys.readouterr().err
    assert (run / "settings.json").read_bytes() == told, "nothing was trained"
    changes = ("images=24", "rate=1e-4", "pool=2")
    assert command("realesrgan", pictures, run, *QUICK, *changes, init=Path("revisage-scene-x2")) == 0
    (line,) = (x for x in capsys.readouterr().out.splitlines() if x.startswith("going on from 16 images; "))
    parts = {"images 16 -> 24", "rate 0.005 -> 0.0001", "--init is ignored"}
    assert set(line.split("; ")[1:]) == parts | {f"pool {pool} -> 2"}
    assert json.loads((run / "settings.json").read_text())["loop"]["rate"] == 1e-4


def test_a_run_among_its_own_pictures_is_refused(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (link := tmp_path / "link").symlink_to(pictures)
    assert command("realesrgan", pictures, link / "run", *QUICK) == 2
    assert "lies inside data=" in one_line(capsys)
    assert command("realesrgan", tmp_path, pictures / "a" / "run", *QUICK, f"faces={pictures}") == 2
    assert "lies inside faces=" in one_line(capsys)
    assert not list(pictures.rglob("run"))


def test_the_exported_model_is_the_averaged_network(scene_run: Path, scene_file: Path) -> None:
    contract = read_contract(scene_file)
    assert (contract.name, contract.task, contract.size, contract.scale) == ("little", "scene", None, 2)
    assert (contract.version, contract.licence) == ("7", "CC0-1.0")
    network = untrained("realesrgan", "tiny").eval()
    network.load_state_dict(checkpoint.load(scene_run / "checkpoints" / "best.pt")["ema"])
    x = np.random.default_rng(0).random((2, 3, 20, 24), np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(open_session(scene_file, precision="fp32").run(x), expected, atol=2e-3)


def test_a_training_goes_on_from_an_exported_model(
    scene_run: Path, scene_file: Path, pictures: Path, tmp_path: Path
) -> None:
    assert command("realesrgan", pictures, tmp_path / "run", *QUICK, "rate=1e-9", init=scene_file) == 0
    taught = checkpoint.load(scene_run / "checkpoints" / "best.pt")["ema"]
    state = checkpoint.load(tmp_path / "run" / "checkpoints" / "best.pt")["networks"]["generator"]
    for name, value in taught.items():
        torch.testing.assert_close(state[name], value, atol=1e-5, rtol=2**-10)


def untrained(*preset: str) -> nn.Module:
    """The network that a preset trains."""
    return build(presets.choose(*preset).task(Path()).network)


def randomised(network: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


def export_tiny(system: str, folder: Path) -> tuple[nn.Module, Path]:
    """A system's tiny network with no two weights equal, and that network's file."""
    network, path = randomised(untrained(system, "tiny")), folder / f"{system}.onnx"
    export_network(network, path, name="model", version="1", licence="CC0-1.0")
    return network, path


@pytest.fixture(scope="module")
def exported_face(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    return export_tiny("gfpgan", tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="module", params=["gfpgan", "realesrgan"])
def exported(
    request: pytest.FixtureRequest,
    exported_face: tuple[nn.Module, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, nn.Module, Path]:
    """A system, its tiny network, and that network's file."""
    if request.param == "gfpgan":
        return request.param, *exported_face
    return request.param, *export_tiny(request.param, tmp_path_factory.mktemp("exported"))


def test_weights_come_back_from_a_file(exported: tuple[str, nn.Module, Path]) -> None:
    system, network, path = exported
    other = untrained(system, "tiny")
    fresh = {name: value.clone() for name, value in other.state_dict().items()}
    told = start_from(other, path)
    assert told == (["heads.0", "describe"] if system == "gfpgan" else [])
    for name, value in network.state_dict().items():
        found = other.state_dict()[name]
        if name.rpartition(".")[0] in told:
            assert torch.equal(found, fresh[name])
        else:  # half precision has 11 significant bits
            torch.testing.assert_close(found, value, atol=1e-7, rtol=2**-11)


def test_a_larger_network_starts_from_the_file_of_a_smaller_one(
    exported_face: tuple[nn.Module, Path],
) -> None:
    small, path = exported_face
    large = GFPGAN(replace(presets.TINY_FACE, refine=2, polish=8))
    fresh = {name: value.clone() for name, value in large.state_dict().items()}
    told = start_from(large, path)
    assert {name.partition(".")[0] for name in told} == {"refine", "polish", "heads", "describe"}
    for name, value in large.state_dict().items():
        wanted = fresh[name] if name.rpartition(".")[0] in told else small.state_dict()[name]
        torch.testing.assert_close(value, wanted, atol=1e-7, rtol=2**-11)
    assert any(name.startswith("refine.") for name in fresh)


def leave(run: Path, network: nn.Module, name: str = "best") -> None:
    """A checkpoint as a training writes it, as far as an export reads it."""
    state = describe(network) | {"networks": {}, "ema": network.state_dict()}
    checkpoint.save(run / "checkpoints", name, state)


def test_all_weights_lie_beside_the_file(
    exported_face: tuple[nn.Module, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, file, beside = tmp_path / "run", tmp_path / "m.onnx", tmp_path / "m.pt"
    trained, exported = exported_face  # the file that the export would give
    monkeypatch.setattr(
        "revisage.lab.train.publish.export_network", lambda network, path, **_: shutil.copy(exported, path)
    )
    leave(run, trained)
    publish(run, file, name="m", version="1", licence="CC0-1.0")
    assert companion(file) == beside
    other = untrained("gfpgan", "tiny")
    assert start_from(other, file) == []
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, atol=1e-6, rtol=2**-10)
    with pytest.raises(TrainingError, match=r"m\.onnx is of a gfpgan, the training of a compact"):
        start_from(untrained("realesrgan", "tiny"), file)
    file.write_bytes(file.read_bytes() + b"\x00")  # what lies beside another file is not of it
    with pytest.raises(TrainingError, match="cannot read"):
        start_from(other, file)
    beside.write_bytes(b"nonsense")
    with pytest.raises(TrainingError, match=r"cannot read .*m\.onnx"):
        start_from(other, file)


@pytest.mark.parametrize("name", ["revisage-finder", "revisage-identity", "revisage-expression"])
def test_shipped_models_with_batch_norms_can_be_trained_on(name: str) -> None:
    system = {"finder": "finder", "identity": "identity", "expression": "expressions"}[name.split("-")[1]]
    network, file = untrained(system), get(name).path
    assert start_from(network, file) == []
    x = np.random.default_rng(0).random((1, 3, 256, 256), np.float32)
    if system == "finder":
        x = 255 * x
    with torch.no_grad():
        found = network.eval()(torch.from_numpy(x))
    outputs = open_session(file, precision="fp32").run_all(x)
    found = [found] if isinstance(found, torch.Tensor) else found
    for ours, theirs in zip(found, outputs.values(), strict=True):
        off, magnitude = np.abs(ours.numpy() - theirs).max(), np.abs(ours.numpy()).max()
        assert Parity(float(off), float(magnitude), tolerance=6e-3).passed


def test_norms_that_are_folded_in_are_told(tmp_path: Path) -> None:
    network, file = untrained("finder", "tiny"), tmp_path / "bare.onnx"
    model = onnx.load(str(get("revisage-finder").path))
    for tensor in list(model.graph.initializer):  # as exports of version 0.1 are
        if "norm" in tensor.name or tensor.name.startswith("stem.1."):
            model.graph.initializer.remove(tensor)
    onnx.save(model, str(file))
    with pytest.raises(TrainingError, match=r"batch norms .* bare\.pt is not beside it"):
        start_from(network, file)


def test_a_deeper_network_begins_from_a_shallower_ones_file() -> None:
    config = DetectorConfig()
    deeper = DetectorNetwork(replace(config, depths=(*config.depths[:3], config.depths[3] + 1)))
    fresh = start_from(deeper, get("revisage-finder").path)
    assert fresh
    assert all(layer.startswith(f"stages.2.{config.depths[3] + 1}.") for layer in fresh)


def test_a_light_training_is_published_and_begun_from_by_its_folder(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quick = (*QUICK, "components=none", "light=1")
    assert command("gfpgan", pictures, tmp_path / "one", *quick) == 0
    assert main(["export", str(tmp_path / "one"), str(tmp_path / "m.onnx"), "--licence", "CC0-1.0"]) == 0
    assert read_contract(tmp_path / "m.onnx").size == 64
    again = (*QUICK, "components=none", "rate=1e-9")
    assert command("gfpgan", pictures, tmp_path / "two", *again, init=tmp_path / "one") == 0
    one, two = (checkpoint.averaged(tmp_path / run).tensors for run in ("one", "two"))
    torch.testing.assert_close(two["heads.0.weight"], one["heads.0.weight"], atol=1e-5, rtol=1e-2)
    kept = next((tmp_path / "one" / "checkpoints").glob("*.pt"))
    assert command("gfpgan", pictures, tmp_path / "three", *again, init=kept) == 2
    assert "give the training's folder" in capsys.readouterr().err


def test_a_file_has_the_range_and_size_of_its_contract(exported: tuple[str, nn.Module, Path]) -> None:
    system, network, path = exported
    contract = read_contract(path)
    expected = {"gfpgan": ("face", 64, 1), "realesrgan": ("scene", None, 2)}
    assert (contract.task, contract.size, contract.scale) == expected[system]
    x = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
    y = open_session(path, precision="fp32").run(x)
    with torch.no_grad():
        if isinstance(network, GFPGAN):
            truth = (network(torch.from_numpy(x) * 2 - 1)[0] / 2 + 0.5).clamp(0, 1)
        else:
            truth = network(torch.from_numpy(x))
    np.testing.assert_allclose(y, truth.numpy(), atol=2 / 255)


def test_a_face_file_has_no_weights_that_only_training_needs(exported: tuple[str, nn.Module, Path]) -> None:
    system, _, path = exported
    names = {tensor.name.removesuffix(".fp16") for tensor in onnx.load(path).graph.initializer}
    assert not any("heads.0" in name for name in names)
    assert ("network.heads.1.weight" in names) == (system == "gfpgan")


def test_a_file_of_another_network_is_refused(scene_file: Path, tmp_path: Path) -> None:
    for network, message in (
        (
            Compact(replace(presets.TINY_COMPACT, features=16)),
            r"has shape \(24, .*\), the network wants \(16, ",
        ),
        (Scene(presets.TINY_SCENE), "is of a compact, the training of a scene"),
    ):
        before = {name: value.clone() for name, value in network.state_dict().items()}
        with pytest.raises(TrainingError, match=message):
            start_from(network, scene_file)
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    alone = tmp_path / "alone.onnx"  # without what lies beside it
    alone.write_bytes(scene_file.read_bytes())
    for network in (Scene(presets.TINY_SCENE), untrained("gfpgan", "tiny")):
        with pytest.raises(TrainingError, match=r"no tensor .*: it is of another network"):
            start_from(network, alone)
    bad = tmp_path / "bad.onnx"
    for content in (None, b"nonsense"):
        if content:
            bad.write_bytes(content)
        with pytest.raises(TrainingError, match=r"bad\.onnx") as caught:
            start_from(Compact(CompactConfig(features=8, layers=2)), bad)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("colour=red",), "no setting 'colour'; there are .*batch.*identity.*recipe"),
        (("batch",), "--set takes KEY=VALUE, got 'batch'"),
        (("=3",), "--set takes KEY=VALUE"),
        (("batch=many",), "batch must be a whole number, got 'many'"),
        (("network=huge",), "network cannot be set on the command line"),
        (("precision=fp8",), "precision 'fp8': choose one of auto, fp32, bf16, fp16"),
        (("recipe=nonsense",), "no recipe 'nonsense'"),
        (("batch=0",), "batch 0: give a number from 1 to 1048576"),
        ((f"batch={10**30}",), "give a number from 1 to 1048576"),
        ((f"threads={10**30}",), "give a number from 1 to 4096"),
        ((f"seed={10**30}",), "give a number from 0 to"),
        (("images=none",), "set either images or hours"),
        (("images=8", "hours=1"), "set either images or hours"),
    ],
)
def test_bad_settings_are_bad_usage(
    changes: tuple[str, ...], message: str, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("gfpgan", pictures, tmp_path / "run", *changes) == 2
    assert re.search(message, one_line(capsys))
    assert not (tmp_path / "run").exists()


def test_an_unknown_preset_or_system_is_bad_usage(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("gfpgan", pictures, tmp_path, preset="huge") == 2
    assert "there are compact-256, reconstruction-256, unet-256, gpu-256, paper-512, tiny" in one_line(capsys)
    assert command("sharpener", pictures, tmp_path) == 2
    assert main(["train", "gfpgan", "--data", str(pictures)]) == 2  # no --out


@pytest.mark.parametrize("system", presets.PRESETS)
def test_help_lists_every_preset_and_setting_of_a_system(
    system: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, _, objective = system.partition("-")
    arguments = ["--objective", objective] if objective else []
    assert main(["train", name, *arguments, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"Presets of {system}: {', '.join(p.name for p in presets.PRESETS[system])}." in text
    preset = presets.choose(system)
    common, expert = text.partition("--set, what people set")[2].split("--set, expert")
    for key in ("images", "hours", "batch", "rate", "precision", "device"):
        assert f"\n  {key} " in common
    assert "\n  warmup " in expert
    for settings in (preset.loop, preset.task(Path("DIR"))):
        for key, value in flat(settings).items():
            assert explained(settings)[key], f"no line for {key}"
            if isinstance(value, float):
                assert re.search(rf"\n  {key} +{value} ", text), key


def test_the_command_knows_every_system() -> None:
    assert list(dict.fromkeys(name.split("-")[0] for name in presets.PRESETS)) == list(SYSTEMS)


def test_a_run_has_one_training_at_a_time(
    scene_run: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with FileLock(scene_run / ".lock"):
        assert command("realesrgan", pictures, scene_run, *QUICK) == 1
        assert one_line(capsys) == f"revisage train: another training is writing to {scene_run}\n"
        assert command("realesrgan", pictures, scene_run, *QUICK, "rate=1e-4") == 1
        assert one_line(capsys)
        told = json.loads((scene_run / "settings.json").read_text())
        assert told["loop"]["rate"] == 5e-3  # still those of the training that goes on
        monkeypatch.setenv("RANK", "1")  # a process beside the one that holds it
        assert command("realesrgan", pictures, scene_run, *QUICK) == 0


def test_models_and_weights_go_by_their_names(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REVISAGE_MODELS", str(tmp_path))
    monkeypatch.setattr("revisage.zoo.store.user_folder", lambda: tmp_path / "none")
    assert command("gfpgan", pictures, tmp_path / "run", *QUICK, "vgg_weights=vgg19") == 1
    assert "`revisage models pull vgg19` gets it" in one_line(capsys)
    assert command("gfpgan", pictures, tmp_path / "run", init=Path("revisage-face")) == 2
    assert "no model is called 'revisage-face'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert (
        command("gfpgan", pictures, tmp_path / "run", "components=none", init=Path("revisage-face-256")) == 1
    )
    assert "the network wants" in one_line(capsys)  # its file was found and read
    (tmp_path / "vgg19").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert override(FaceSettings(Path("a")), {"vgg_weights": "vgg19"}).vgg_weights == Path("vgg19")


def test_what_fails_says_so_in_one_line(
    pictures: Path, scene_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("gfpgan", tmp_path / "nowhere", tmp_path / "run") == 2
    assert "no folder" in one_line(capsys)
    assert command("realesrgan", pictures, scene_run, *QUICK, preset="default") == 1
    assert "holds another training" in one_line(capsys)
    assert command("gfpgan", pictures, scene_run, *QUICK, "components=none") == 1
    assert "use another --out" in one_line(capsys)
    assert command("realesrgan", pictures, tmp_path / "run", *QUICK, init=tmp_path / "gone.onnx") == 1
    assert "cannot read" in one_line(capsys)
    (tmp_path / "file").write_text("in the way")
    assert command("realesrgan", pictures, tmp_path / "file", *QUICK) == 1
    assert "cannot be written" in one_line(capsys)
    for text in ("", "{", "[1]", "7"):
        (tmp_path / "run" / "settings.json").write_text(text)
        assert command("realesrgan", pictures, tmp_path / "run", *QUICK) == 1
        assert "settings.json is damaged" in one_line(capsys)


def test_an_interrupted_training_ends_with_130(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("revisage.lab.train.tasks.realesrgan.SceneTask.sample", stop)
    assert command("realesrgan", pictures, tmp_path / "run", *QUICK) == 130
    assert one_line(capsys) == "interrupted\n"


def test_one_seed_sets_samples_weights_and_steps(pictures: Path, tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("one", "same", "other")]
    for run, seed in zip(runs, (5, 5, 6), strict=True):
        assert command("realesrgan", pictures, run, *QUICK, f"seed={seed}") == 0
    one, same, other = (checkpoint.load(run / "checkpoints" / "best.pt")["ema"] for run in runs)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
    assert json.loads((runs[0] / "settings.json").read_text())["loop"]["seed"] == 5


def test_override_reads_text_by_the_fields_type() -> None:
    loop = override(LoopSettings(images=10), {"hours": "1.5", "batch": "3", "threads": "2", "recipe": "face"})
    assert loop == LoopSettings(hours=1.5, batch=3, threads=2)
    assert override(loop, {"images": "20", "threads": "none"}) == LoopSettings(images=20, batch=3)
    face = override(
        FaceSettings(Path("a")), {"data": "b", "identity_weights": "c", "identity": "0.5", "batch": "1"}
    )
    weights = FaceWeights(identity=0.5)
    assert face == FaceSettings(Path("b"), identity_weights=Path("c"), loss_weights=weights)
    assert override(face, {"identity_weights": "None"}).identity_weights is None


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "-0.5"])
def test_a_weight_below_zero_or_without_a_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"l1 must be a number of at least 0, got '{text}'"):
        override(FaceSettings(Path("a")), {"l1": text})


def test_export_needs_a_run(scene_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "model.onnx"
    assert main(["export", str(tmp_path), str(out)]) == 1
    assert "no checkpoint in" in one_line(capsys)
    assert main(["export", str(tmp_path), str(out), "--newest"]) == 1
    assert "no checkpoint in" in one_line(capsys)
    assert main(["export", str(scene_run)]) == 2
    capsys.readouterr()
    assert main(["export", str(scene_run), str(tmp_path / "model.pb")]) == 2
    assert "must end in .onnx" in one_line(capsys)
    assert not list(tmp_path.iterdir())


def test_export_refuses_what_no_model_can_be_called(
    scene_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for option, text, words in (
        ("--name", "a b", "cannot name a model"),
        ("--version", "1\n2", "version must be one line"),
        ("--licence", " ", "licence must be one line"),
    ):
        assert main(["export", str(scene_run), str(tmp_path / "model.onnx"), option, text]) == 2
        assert words in one_line(capsys)
    assert not list(tmp_path.iterdir())


def test_export_refuses_what_does_not_fit_before_it_writes(
    scene_run: Path,
    pictures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("revisage.lab.quantise.find_spec", lambda name: name)
    out, command = tmp_path / "out" / "model.onnx", ["export", str(scene_run)]
    assert main([*command, str(out), "--int8", "nowhere"]) == 2
    assert "no folder nowhere" in one_line(capsys)
    assert main([*command, str(out), "--scale", "1"]) == 2
    assert "--scale is for scene models of two sizes" in one_line(capsys)
    network = build(DetectorConfig())
    state = describe(network) | {"ema": network.state_dict()}
    checkpoint.save(tmp_path / "finder" / "checkpoints", "best", state)
    assert main(["export", str(tmp_path / "finder"), str(out), "--int8", str(pictures)]) == 2
    assert "only scene models are made 8-bit" in one_line(capsys)
    assert not out.parent.exists()


def test_an_8_bit_model_that_is_refused_leaves_the_older_one(
    scene_file: Path, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("nncf")
    from revisage.lab import quantise

    for name, value in (("SAMPLES", 3), ("CHECKED", 1), ("SIDE", 32), ("LEAST_DB", 1e9)):
        monkeypatch.setattr(quantise, name, value)
    older = tmp_path / "little-int8.onnx"
    older.write_bytes(b"good")
    with pytest.raises(ModelError, match="differs too much"):
        quantise.quantise(scene_file, pictures, older)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"good"]
    monkeypatch.setattr(quantise, "LEAST_DB", 0.0)
    assert quantise.quantise(scene_file, pictures, older) > 0
    assert read_contract(older).name == "little-int8"


def test_export_of_a_diverged_training_says_so(scene_run: Path, tmp_path: Path) -> None:
    state = checkpoint.load(scene_run / "checkpoints" / "best.pt")
    first = next(name for name, value in state["ema"].items() if value.is_floating_point())
    state["ema"][first].fill_(float("nan"))
    checkpoint.save(tmp_path / "run" / "checkpoints", "best", state)
    with pytest.raises(ModelError, match="diverged"):
        publish(tmp_path / "run", tmp_path / "model.onnx", name="a", version="1", licence="own")


def test_export_says_where_it_cannot_write(
    scene_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert main(["export", str(scene_run), str(tmp_path / "file" / "model.onnx")]) == 1
    assert "cannot be written" in one_line(capsys)


def test_export_leaves_a_checkpoint_of_others_that_lies_where_its_weights_go(
    scene_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "model.pt"
    torch.save({"weights": torch.ones(2)}, own)
    before, command = own.read_bytes(), ["export", str(scene_run), str(tmp_path / "model.onnx")]
    assert main(command) == 2
    assert "model.pt, where weights to go on from are written, is no file of Revisage" in one_line(capsys)
    assert list(tmp_path.iterdir()) == [own]
    assert own.read_bytes() == before
    assert main([*command, "--overwrite"]) == 0
    assert main(command) == 0  # over what it wrote itself


def test_a_file_of_any_name_holds_a_model_that_has_one(scene_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "été 2.onnx"
    assert main(["export", str(scene_run), str(out)]) == 0
    assert re.fullmatch(r"[\w.-]+", read_contract(out).name, re.ASCII)


def test_publish_takes_the_best_or_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, (best, newest) = tmp_path / "run", (untrained("realesrgan", "tiny") for _ in range(2))
    for network, name in ((best, "best"), (newest, "images-0000000008")):
        leave(run, network, name)
    written: list[nn.Module] = []
    monkeypatch.setattr(
        "revisage.lab.train.publish.export_network", lambda network, path, **_: written.append(network)
    )
    monkeypatch.setattr("revisage.lab.train.publish.save_companion", lambda *_: None)
    for is_newest in (False, True):
        publish(run, tmp_path / "m.onnx", name="m", version="1", licence="CC0-1.0", newest=is_newest)
    for network, expected in zip(written, (best, newest), strict=True):
        assert all(torch.equal(value, expected.state_dict()[k]) for k, value in network.state_dict().items())


def test_publish_mixes_with_the_file_that_the_training_started_from(
    exported: tuple[str, nn.Module, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system, start, file = exported
    run, trained = tmp_path / "run", untrained(system, "tiny")
    leave(run, trained)
    monkeypatch.setattr("revisage.lab.train.publish.save_companion", lambda *_: None)
    written: list[dict[str, torch.Tensor]] = []
    monkeypatch.setattr(
        "revisage.lab.train.publish.export_network",
        lambda network, path, **_: written.append(network.state_dict()),
    )

    def published(share: float) -> dict[str, torch.Tensor]:
        publish(run, tmp_path / "m.onnx", name="m", version="1", licence="CC0-1.0", mix=(file, share))
        return written.pop()

    training_only = ("heads.0.", "describe.")
    torch.manual_seed(0)
    fresh = untrained(system, "tiny").state_dict()
    mixed = published(0.25)
    first = {k: (fresh if k.startswith(training_only) else start.state_dict())[k] for k in mixed}
    for key, value in trained.state_dict().items():
        expected = 0.75 * value + 0.25 * first[key]
        # The file holds halves of precision.
        torch.testing.assert_close(
            mixed[key], expected, atol=0.25 * 2**-11 * float(first[key].abs().max()), rtol=1e-5
        )
    assert all(torch.equal(value, trained.state_dict()[key]) for key, value in published(0).items())
    with pytest.raises(UsageError, match=r"between 0 and 1, got 1\.5"):
        published(1.5)


def test_what_cannot_be_mixed_is_told(
    scene_run: Path, scene_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", str(scene_run), str(tmp_path / "m.onnx"), "--mix"]
    assert main([*command, str(scene_file)]) == 2
    assert "give FILE.onnx:SHARE, such as start.onnx:0.4" in one_line(capsys)
    run = tmp_path / "run"
    network = untrained("finder", "tiny")
    leave(run, network)
    assert main(["export", str(run), *command[2:], f"{scene_file}:0.5"]) == 2
    assert "networks with batch norms cannot be mixed" in one_line(capsys)
    assert not (tmp_path / "m.onnx").exists()


def test_publish_says_what_does_not_fit(tmp_path: Path) -> None:
    def attempt(message: str) -> None:
        with pytest.raises(TrainingError, match=message) as caught:
            publish(tmp_path, tmp_path / "m.onnx", name="m", version="1", licence="CC0-1.0")
        assert "\n" not in str(caught.value)

    network = Compact(CompactConfig(features=4, layers=1))
    bare = {"networks": {}, "ema": network.state_dict()}
    checkpoint.save(tmp_path / "checkpoints", "best", {"networks": {}})
    attempt("holds no averaged weights")
    for changes, message in (
        ({"architecture": "sharpener"}, "no architecture 'sharpener'; there are .*gfpgan"),
        ({"config": {"colour": 3}}, "a compact of another version .*colour"),
        ({"config": {"features": 8, "layers": 1}}, "the weights are not of a compact: .*size mismatch"),
    ):
        checkpoint.save(tmp_path / "checkpoints", "best", describe(network) | bare | changes)
        attempt(message)


def test_a_checkpoint_that_names_no_architecture_is_refused(tmp_path: Path) -> None:
    network = untrained("realesrgan", "tiny-student")
    groups: dict[str, Any] = {"optimizers": {}, "scalers": {}, "images": 8, "seconds": 1.0, "best": 0.5}
    state = groups | {"networks": {"generator": network.state_dict()}, "ema": network.state_dict()}
    checkpoint.save(tmp_path / "checkpoints", "images-0000000008", state)
    with pytest.raises(TrainingError, match="does not say which network it is of"):
        publish(tmp_path, tmp_path / "m.onnx", name="m", version="1", licence="CC0-1.0", newest=True)
