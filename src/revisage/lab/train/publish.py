"""From a training's checkpoint to a model file."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from revisage.errors import TrainingError, UsageError
from revisage.lab.export import Contract, Parity, export
from revisage.lab.networks.compact import Compact
from revisage.lab.networks.detector import OUTPUT_NAMES, DetectorNetwork
from revisage.lab.networks.expression import FACE, Expression
from revisage.lab.networks.gfpgan import GFPGAN, UnitRange
from revisage.lab.networks.identity import SIZE, Identity
from revisage.lab.networks.progressive import SIZE as RESTORED
from revisage.lab.networks.progressive import LastPicture, Progressive
from revisage.lab.networks.rrdb import RRDBNet
from revisage.lab.networks.scene import OneScale, Scene
from revisage.lab.train import checkpoint, presets
from revisage.lab.train.init import load_exported, save_companion
from revisage.zoo.spec import Task


def publish(
    run: Path,
    path: Path,
    *,
    name: str,
    version: str,
    licence: str,
    newest: bool = False,
    mix: tuple[Path, float] | None = None,
    scale: int = 2,
) -> Parity:
    """Export the averaged network of `run` (a folder of `revisage train`) to `path`.

    The best checkpoint by validation is taken, or the newest one. `mix` names an exported file of the
    same network, as a rule the one that the training started from, and the share, 0 to 1, that its weights
    get in the mean: what an adversarial training overdoes becomes less (Wang et al., *Deep Network
    Interpolation*, CVPR 2019). Weights that the file lacks are those with which a training
    of seed 0 begins. `scale` chooses one of the two pictures of a `Scene`; other networks have one. What
    only a training wants goes beside `path` (`revisage.lab.train.init.companion`).

    Raises TrainingError when there is no checkpoint or when it, or the file, is of another network,
    UsageError for a share that is none or a network with batch norms, ModelError when the export differs
    from the network.
    """
    folder = run / "checkpoints"
    light = checkpoint.newest(folder) is None and (folder / "weights-0.pt").is_file()
    source = None if light else checkpoint.newest(folder) if newest else folder / "best.pt"
    if not light and (source is None or not source.is_file()):
        raise TrainingError(f"no checkpoint in {folder}: train first, or take the newest one with --newest")
    try:
        chosen = json.loads((run / "preset.json").read_text())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = presets.choose(chosen["system"], chosen["preset"]).network()
    except (OSError, ValueError, KeyError, TypeError):
        raise TrainingError(
            f"{run} has no readable preset.json: is it a folder of `revisage train`?"
        ) from None
    try:
        trained = checkpoint.averaged(folder) if source is None else checkpoint.load(source)["ema"]
        if mix is None:
            network.load_state_dict(trained)
        else:
            _mix(network, trained, *mix)
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(f"{source or folder} does not fit the preset in preset.json ({reason})") from None
    parity = export_network(network, path, name=name, version=version, licence=licence, scale=scale)
    save_companion(network, path)
    return parity


@torch.no_grad()
def _mix(network: nn.Module, trained: dict[str, Tensor], start: Path, share: float) -> None:
    """Give a fresh network (1 - share) of the `trained` weights + share of the file's; of its own where the
    file has none."""
    if not 0 <= share <= 1:
        raise UsageError(f"the share of {start} must be between 0 and 1, got {share}")
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        raise UsageError("networks with batch norms cannot be mixed: their files hold none")
    load_exported(network, start, lambda _: {})
    begun = {key: value.clone() for key, value in network.state_dict().items()}
    network.load_state_dict(trained)
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            value.lerp_(begun[key], share)


def export_network(
    network: nn.Module, path: Path, *, name: str, version: str, licence: str, scale: int = 2
) -> Parity:
    """Write a face, scene, identity, expression or detector network with the contract that its kind has."""
    if isinstance(network, GFPGAN):
        size = network.config.size
        contract = Contract(name=name, task="face", size=size, scale=1, version=version, licence=licence)
        return export(UnitRange(network), path, contract=contract, example_size=(size, size))
    if isinstance(network, Progressive):
        size = network.config.size
        contract = Contract(
            name=name,
            task="face",
            size=size,
            scale=RESTORED // size,
            version=version,
            licence=licence,
            framing="whole",
        )
        return export(LastPicture(network), path, contract=contract, example_size=(size, size))
    if isinstance(network, Compact | RRDBNet):
        scale = network.config.scale
        contract = Contract(name=name, task="scene", size=None, scale=scale, version=version, licence=licence)
        return export(network, path, contract=contract, example_size=(64, 64))
    if isinstance(network, Scene):
        contract = Contract(
            name=name, task="scene", size=None, scale=scale, version=version, licence=licence, control="clean"
        )
        return export(OneScale(network, scale), path, contract=contract, example_size=(64, 64))
    if isinstance(network, Identity | Expression):
        task: Task
        task, size = ("identity", SIZE) if isinstance(network, Identity) else ("expression", FACE)
        contract = Contract(name=name, task=task, size=size, scale=None, version=version, licence=licence)
        return export(network, path, contract=contract, example_size=(size, size))
    assert isinstance(network, DetectorNetwork), type(network)
    contract = Contract(name=name, task="finder", size=None, scale=None, version=version, licence=licence)
    # OpenCV's DNN reads this file: one picture at a time, of a size that it sets itself.
    return export(
        network,
        path,
        contract=contract,
        example_size=(320, 320),
        dynamic=("height", "width"),
        input_name="input",
        output_names=OUTPUT_NAMES,
        input_max=255,
    )
