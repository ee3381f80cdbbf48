"""Weights that others publish (PyTorch checkpoints, ncnn files) -> this project's networks -> ONNX models.

A checkpoint is read without running the code that a pickle may hold. Which network it is of, and every size
of that network, is read off the names and shapes of its tensors.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from revisage import zoo
from revisage.errors import ModelCorruptError, ModelError, ModelMissingError, UsageError
from revisage.files import sha256
from revisage.lab.architectures import ARCHITECTURES, contract_of, name_of
from revisage.lab.export import export
from revisage.lab.networks.compact import Compact, CompactConfig
from revisage.lab.networks.gfpgan import GFPGAN, GFPGANConfig
from revisage.lab.networks.rrdb import ENLARGES, RRDBConfig, RRDBNet
from revisage.zoo import Contract, ncnn

__all__ = ["Published", "install", "load"]

# The averaged weights are the ones their authors restore with.
_GROUPS = ("params_ema", "params")

_SCENE_EXAMPLE = 32  # side in pixels of the picture that a scene network is traced with


@dataclass(frozen=True)
class Published:
    """A network with published weights, ready for use.

    Attributes:
        network: (N, 3, H, W) in [0, 1] -> (N, 3, H scale, W scale), in evaluation mode.
        task: "face" or "scene".
        size: side of the square picture a face network takes; None for any size.
        scale: output side over input side.
    """

    network: nn.Module
    task: zoo.Task
    size: int | None
    scale: int


def install(file: Path, name: str | None = None) -> Path:
    """Make an ONNX model of a published checkpoint, in the user's model folder. It works without PyTorch.

    A checkpoint of the catalogue, known by its sha256, becomes the catalogue's model. Weights are stored in
    16 bits, or in 32 where the check of `revisage.lab.export` finds that 16 would show.

    Args:
        file: the checkpoint, or one of the two files of an ncnn model.
        name: what to call the model; the catalogue's name or the file's own if not given.

    Returns:
        The model, written whole or not at all. One that was made of the same checkpoint before is left alone.

    Raises:
        UsageError: the name cannot be used or is taken.
        ModelMissingError: there is no such file, or the model folder cannot be written to.
        ModelCorruptError: the file is damaged, unsafe to read, or of no known network.
        ModelError: the ONNX model differs from the network.
    """
    if file.suffix.lower() in ncnn.SUFFIXES:
        file = file.with_suffix(".param")
    weights = file.with_suffix(".bin") if file.suffix.lower() == ".param" else file
    try:
        source = sha256(weights)
    except OSError as error:
        raise ModelMissingError(f"cannot open {weights}: {error.strerror or error}") from None
    spec = next((s for s in zoo.CATALOGUE.values() if s.checkpoint and s.sha256 == source), None)
    chosen = name or (spec.name if spec is not None else zoo.name_of(file))
    if chosen is None:
        raise UsageError(f"{file.name} gives no name for a model: give one with --as NAME")
    target = zoo.destination(chosen, source)
    if target.exists():
        if _made_of(target, source):
            return target
        if chosen not in zoo.CATALOGUE:
            raise UsageError(f"{target} exists and differs; remove it or give another name with --as NAME")
    published = load(file)
    contract = Contract(
        name=chosen,
        task=published.task,
        size=published.size,
        scale=published.scale,
        version=spec.version if spec is not None else "1",
        licence=spec.licence if spec is not None else "as its authors state",
        source=source,
    )
    try:
        target.parent.mkdir(parents=True, exist_ok=True)  # before the minute that the rest takes
        _export(published, target, contract)
    except OSError as error:
        raise ModelMissingError(f"cannot write {target}: {error.strerror or error}") from None
    return target


def _made_of(model: Path, source: str) -> bool:
    try:
        return zoo.read_contract(model).source == source
    except ModelError:
        return False


def _export(published: Published, target: Path, contract: Contract) -> None:
    side = published.size or _SCENE_EXAMPLE
    try:
        export(published.network, target, contract=contract, example_size=(side, side))
    except ModelError:
        # Weights may lie closer together, or further out, than 16 bits can tell.
        export(published.network, target, contract=contract, example_size=(side, side), half=False)


def load(file: Path) -> Published:
    """The network in a published checkpoint.

    Known are GFP-GAN's "clean" layout (1.2, 1.3, 1.4), RRDBNet (Real-ESRGAN x1, x2, x4) and SRVGGNetCompact
    (realesr-general-x4v3), of any width and depth, under `params_ema`, `params` or at the top; the latter two
    also as ncnn files, of which `file` is the .param.

    Raises ModelMissingError (no such file), ModelCorruptError (damaged, unsafe, or of no known network).
    """
    state = _read(file)
    family = next((f for f in _FAMILIES if f.mark in state), None)
    try:
        if family is None:
            raise _MisfitError(_unknown(state))
        with torch.device("meta"):  # no storage: sizes are not yet known to be those of the tensors
            network = family.build(state)
        _fill(network, state, family)
    except (_MisfitError, ValueError) as error:
        raise ModelCorruptError(f"{file}: {error}") from None
    network.eval().requires_grad_(False)
    contract = contract_of(network)
    deployed = ARCHITECTURES[name_of(network)].deployed(network, contract["scale"])
    return Published(deployed, **contract)


class _MisfitError(Exception):
    """The tensors are not those of a known network; the text names the key or shape."""


def _read(file: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name, float32, finite and all really in the file."""
    if not file.is_file():
        raise ModelMissingError(f"there is no file {file}")
    if file.suffix.lower() == ".param":
        return {name: torch.from_numpy(values) for name, values in ncnn.read(file).items()}
    length = file.stat().st_size
    try:
        _check_records(file, length)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelMissingError(f"cannot open {file}: {error.strerror or error}") from None
    except Exception as error:  # damaged bytes fail in many ways
        code = re.search(r"GLOBAL (\S+)", str(error))
        if code is not None:
            raise ModelCorruptError(
                f"{file} asks for {code[1]}, which weights do not need: it may be hostile and was not opened"
            ) from None
        raise ModelCorruptError(f"{file} is no whole PyTorch checkpoint: get it again") from None
    try:
        return _tensors(content, length)
    except _MisfitError as error:
        raise ModelCorruptError(f"{file}: {error}") from None


def _check_records(file: Path, length: int) -> None:
    """Refuse an archive that would unpack to more than its own size; torch.save compresses nothing."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            if sum(record.file_size for record in archive.infolist()) > length:
                raise zipfile.BadZipFile


def _tensors(content: object, length: int) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        raise _MisfitError(f"it holds a {type(content).__name__}, not named tensors")
    if {"networks", "optimizers", "ema"} <= content.keys():
        raise _MisfitError(
            "it is of `revisage train`: `revisage export RUN OUT.onnx` makes a model of the run"
        )
    group = next((content[key] for key in _GROUPS if isinstance(content.get(key), Mapping)), content)
    state = {}
    total = 0
    for key, value in group.items():
        if not (isinstance(value, Tensor) and value.layout == torch.strided and value.is_floating_point()):
            raise _MisfitError(f"{str(key)[:80]!r} is no tensor of weights")
        total += value.numel() * value.element_size()
        # A few bytes can be shown as a tensor of any shape.
        if value.numel() == 0 or total > length:
            raise _MisfitError(f"{str(key)[:80]!r} has shape {tuple(value.shape)}, which is not in the file")
        state[str(key)] = value.detach().float()
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise _MisfitError(f"{key!r} holds numbers that are not finite")
    return state


def _unknown(state: Mapping[str, Tensor]) -> str:
    known = ", ".join(family.name for family in _FAMILIES)
    first = ", ".join(repr(key) for key in list(state)[:3])
    hint = "; GFP-GAN 1.0 has custom layers: take 1.2 or later" if "conv_body_first.0.weight" in state else ""
    return f"its tensors ({first or 'none'}, ...) are of none of the known networks ({known}){hint}"


def _fill(network: nn.Module, state: Mapping[str, Tensor], family: _Family) -> None:
    """Give a network without storage the tensors of the checkpoint; every one must have its place."""
    weights = {}
    used = set()
    for ours, place in network.state_dict().items():
        key = family.key(ours)
        shape = _shape(state, key)
        value = state[key]
        if len(shape) == 5 and shape[0] == 1:
            value = value[0]  # published modulated convolutions have an axis for the batch
        if value.shape != place.shape:
            raise _MisfitError(f"{key!r} has shape {shape}, {family.name} wants {tuple(place.shape)}")
        weights[ours] = value.contiguous()
        used.add(key)
    spare = [key for key in state if key not in used and not key.startswith(family.unused)]
    if spare:
        raise _MisfitError(f"{family.name} has no place for {spare[0]!r}, shape {_shape(state, spare[0])}")
    network.load_state_dict(weights, assign=True)


def _shape(state: Mapping[str, Tensor], key: str) -> tuple[int, ...]:
    if key not in state:
        raise _MisfitError(f"it has no tensor {key!r}")
    return tuple(state[key].shape)


def _axis(state: Mapping[str, Tensor], key: str, axis: int) -> int:
    shape = _shape(state, key)
    if axis >= len(shape):
        raise _MisfitError(f"{key!r} has shape {shape}, too few axes")
    return shape[axis]


def _count(state: Mapping[str, Tensor], key: str) -> int:
    """How many of `key.format(0)`, `key.format(1)`, ... there are."""
    count = 0
    while key.format(count) in state:
        count += 1
    return count


def _gfpgan(state: Mapping[str, Tensor]) -> GFPGAN:
    steps = _count(state, "conv_body_down.{}.conv2.weight")
    style = "stylegan_decoder.{}.modulated_conv.{}"
    unet = [_axis(state, "conv_body_first.weight", 0)]
    unet += [_axis(state, f"conv_body_down.{i}.conv2.weight", 0) for i in range(steps)]
    prior = [_axis(state, style.format("style_conv1", "weight"), 1)]
    prior += [_axis(state, style.format(f"style_convs.{2 * i}", "weight"), 1) for i in range(steps)]
    config = GFPGANConfig(
        size=4 * 2**steps,
        unet=tuple(reversed(unet)),
        prior=tuple(prior),
        style_dim=_axis(state, style.format("style_conv1", "modulation.weight"), 1),
    )
    return GFPGAN(config)


_UNET = {
    "first": "conv_body_first",
    "down": "conv_body_down",
    "bottleneck": "final_conv",
    "up": "conv_body_up",
    "heads": "toRGB",
    "codes": "final_linear",
}


def _gfpgan_key(ours: str) -> str:
    """The published name of one of our `GFPGAN`'s tensors."""
    part, _, rest = ours.partition(".")
    if part in _UNET:
        return f"{_UNET[part]}.{rest}"
    if part == "conditions":
        level, which, rest = rest.split(".", 2)
        return f"condition_{which}.{level}.{rest}"
    assert part == "decoder", ours
    part, _, rest = rest.partition(".")
    if part == "constant":
        return "stylegan_decoder.constant_input.weight"
    layer = 0  # of the convolutions; each has a noise buffer
    if part == "first":
        block = "style_conv1"
    else:
        index, _, rest = rest.partition(".")
        if part == "rgb":
            block = f"to_rgbs.{int(index) - 1}" if int(index) else "to_rgb1"
        else:
            layer = 2 * int(index) + (1 if part == "up" else 2)
            block = f"style_convs.{layer - 1}"
    if rest == "noise":
        return f"stylegan_decoder.noises.noise{layer}"
    rest = "weight" if rest == "noise_weight" else re.sub(r"^conv\b", "modulated_conv", rest)
    return f"stylegan_decoder.{block}.{rest}"


def _rrdb(state: Mapping[str, Tensor]) -> RRDBNet:
    channels = _axis(state, "conv_first.weight", 1)
    doublings = sum(f"conv_up{i}.weight" in state for i in range(1, 4))
    unshuffle = math.isqrt(channels // 3)
    scale = 2**doublings // max(unshuffle, 1)
    if channels != 3 * unshuffle**2 or 2**doublings != ENLARGES or scale * unshuffle != ENLARGES:
        raise _MisfitError(
            f"{channels} input channels ('conv_first.weight') and {doublings} doublings ('conv_up...') are "
            "not those of an RGB network for x1, x2 or x4"
        )
    config = RRDBConfig(
        scale=scale,
        features=_axis(state, "conv_first.weight", 0),
        blocks=_count(state, "body.{}.rdb1.conv1.weight"),
        growth=_axis(state, "body.0.rdb1.conv1.weight", 0),
    )
    return RRDBNet(config)


def _compact(state: Mapping[str, Tensor]) -> Compact:
    parts = _count(state, "body.{}.weight")
    last = f"body.{parts - 1}.weight"
    scale = math.isqrt(_axis(state, last, 0) // 3)
    if parts % 2 == 0 or 3 * scale**2 != _axis(state, last, 0):
        raise _MisfitError(f"{last!r} has shape {_shape(state, last)}: it writes no RGB picture")
    config = CompactConfig(features=_axis(state, "body.0.weight", 0), layers=(parts - 3) // 2, scale=scale)
    return Compact(config)


class _Family(NamedTuple):
    """A published network: the tensor it is known by, and how it becomes one of ours.

    `build` makes the network, its sizes from the tensors; `key` gives the published name of one of its
    tensors; `unused` starts the names of tensors that it does without.
    """

    name: str
    mark: str
    build: Callable[[Mapping[str, Tensor]], nn.Module]
    key: Callable[[str], str]
    unused: tuple[str, ...]


_FAMILIES = (
    # The style MLP turns random vectors into codes; here the codes come from the photo.
    _Family("GFP-GAN", "conv_body_first.weight", _gfpgan, _gfpgan_key, ("stylegan_decoder.style_mlp.",)),
    _Family("RRDBNet", "conv_first.weight", _rrdb, str, ()),
    _Family("SRVGGNetCompact", "body.0.weight", _compact, str, ()),
)
