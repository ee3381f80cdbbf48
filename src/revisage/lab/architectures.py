"""Every network that a training makes, by name: its configuration, its class, and how it is exported. Name
and configuration are in every checkpoint and build the network again. An architecture is added here."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from revisage.errors import TrainingError, UsageError
from revisage.lab.export import Parity, export
from revisage.lab.networks.compact import Compact, CompactConfig
from revisage.lab.networks.damage import Damage, DamageConfig
from revisage.lab.networks.detector import OUTPUT_NAMES, DetectorConfig, DetectorNetwork
from revisage.lab.networks.expression import FACE, Expression, ExpressionConfig
from revisage.lab.networks.gfpgan import GFPGAN, GFPGANConfig, UnitRange
from revisage.lab.networks.mobilefacenet import SIZE, Identity, MobileFaceNetConfig
from revisage.lab.networks.prior import FacePrior, PriorConfig
from revisage.lab.networks.progressive import SIZE as RESTORED
from revisage.lab.networks.progressive import Progressive, ProgressiveConfig
from revisage.lab.networks.rrdb import RRDBConfig, RRDBNet
from revisage.lab.networks.scene import OneScale, Scene, SceneConfig
from revisage.lab.networks.tone import ToneConfig, ToneNetwork
from revisage.zoo import Contract

EXAMPLE = 64
"""Side in pixels that a network for any size is traced with."""


@dataclass(frozen=True)
class Architecture:
    """One entry of `ARCHITECTURES`."""

    config: type[Any]
    """Frozen dataclass of its sizes: numbers, texts and tuples of them. No two share one."""
    network: Callable[[Any], nn.Module]
    """Made from a configuration, which it keeps as `config`."""
    contract: Callable[[Any, int], dict[str, Any]] | None
    """(configuration, scale asked for) -> the fields of its contract that follow from them: task, size,
    scale, framing, control; those that are None left out. None: no model to restore with."""
    deployed: Callable[[Any, int], nn.Module] = lambda network, _: network
    """(network, scale asked for) -> the module that is written; without it the network itself."""
    export: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `revisage.lab.export.export`."""


# fmt: off
ARCHITECTURES: dict[str, Architecture] = {
    "prior": Architecture(PriorConfig, FacePrior, None),
    "gfpgan": Architecture(
        GFPGANConfig, GFPGAN, lambda config, _: {"task": "face", "size": config.size, "scale": 1},
        lambda network, _: UnitRange(network)),
    "progressive": Architecture(
        ProgressiveConfig, Progressive,
        lambda config, _: {"task": "face", "size": config.size, "scale": RESTORED // config.size,
                           "framing": "whole"},
        lambda network, _: UnitRange(network)),
    "compact": Architecture(
        CompactConfig, Compact, lambda config, _: {"task": "scene", "scale": config.scale}),
    "rrdb": Architecture(RRDBConfig, RRDBNet, lambda config, _: {"task": "scene", "scale": config.scale}),
    "scene": Architecture(
        SceneConfig, Scene, lambda _, scale: {"task": "scene", "scale": scale, "control": "clean"}, OneScale),
    "damage": Architecture(DamageConfig, Damage, lambda *_: {"task": "damage"}),
    "tone": Architecture(ToneConfig, ToneNetwork, lambda *_: {"task": "tone"}),
    "identity": Architecture(MobileFaceNetConfig, Identity, lambda *_: {"task": "identity", "size": SIZE}),
    "expression": Architecture(
        ExpressionConfig, Expression, lambda *_: {"task": "expression", "size": FACE}),
    # OpenCV's DNN reads this file: one picture at a time, of a size that it sets itself.
    "finder": Architecture(
        DetectorConfig, DetectorNetwork, lambda *_: {"task": "finder"},
        export={"example_size": (320, 320), "dynamic": ("height", "width"), "output_names": OUTPUT_NAMES,
                "input_max": 255}),
}
# fmt: on


def build(config: Any) -> nn.Module:
    """The network of a configuration, with fresh weights."""
    return next(a for a in ARCHITECTURES.values() if type(config) is a.config).network(config)


def name_of(network: nn.Module) -> str:
    """The name of a network's architecture; of its class where it has none."""
    names = (name for name, a in ARCHITECTURES.items() if type(network) is a.network)
    return next(names, type(network).__name__)


def task_of(network: nn.Module) -> str | None:
    """What a network's model is for, as in `Contract`; None where it is no model."""
    entry = ARCHITECTURES.get(name_of(network))
    return entry.contract(network.config, 2)["task"] if entry and entry.contract else None


def describe(network: nn.Module) -> dict[str, Any]:
    """What `rebuild` takes: plain values alone, so that reading them back runs no code."""
    name = name_of(network)
    config: Any = network.config if name in ARCHITECTURES else None
    return {"architecture": name, "config": {} if config is None else asdict(config)}


def rebuild(architecture: str, config: Mapping[str, Any]) -> nn.Module:
    """The network that `describe` described, with fresh weights. Raises TrainingError for an architecture or
    a configuration that this version does not know."""
    if architecture not in ARCHITECTURES:
        raise TrainingError(f"no architecture {architecture!r}; there are {', '.join(ARCHITECTURES)}")
    entry = ARCHITECTURES[architecture]
    try:
        return entry.network(entry.config(**config))
    except (TypeError, ValueError) as error:
        raise TrainingError(f"a {architecture} of another version ({error}): install that one") from None


def export_network(
    network: nn.Module, path: Path, *, name: str, version: str, licence: str, scale: int = 2
) -> Parity:
    """Write one of the `ARCHITECTURES` as ONNX; see `revisage.lab.export.export` and `Contract`. Raises
    UsageError for a network that is no model to restore with, or a name or text that none can have."""
    entry = ARCHITECTURES.get(name_of(network))
    if entry is None or entry.contract is None:
        raise UsageError(f"a {name_of(network)} cannot be exported: it restores nothing by itself")
    config: Any = network.config
    fields = {"size": None, "scale": None, **entry.contract(config, scale)}
    try:
        contract = Contract(name=name, version=version, licence=licence, **fields)
    except ValueError as error:
        raise UsageError(str(error)) from None
    how = {"example_size": (contract.size or EXAMPLE,) * 2, **entry.export}
    return export(entry.deployed(network, scale), path, contract=contract, **how)
