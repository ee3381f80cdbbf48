"""Starting a training from weights made earlier, so that a shipped weight file is enough to go on from."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from revisage.errors import ModelError, TrainingError, one_line
from revisage.files import sha256
from revisage.lab.architectures import describe, name_of
from revisage.lab.data.loader import Sample
from revisage.lab.train import checkpoint
from revisage.lab.train.checkpoint import Weights
from revisage.lab.train.distributed import device_of
from revisage.zoo import read_metadata

CALIBRATION = 256  # training samples that the norms are measured on
CALIBRATION_BATCH = 16


def start_from(network: nn.Module, path: Path) -> list[str]:
    """Copy weights made earlier into `network`, in place; returns the layers that keep their fresh weights.

    `path` is an exported model or the folder of a training. Of a model those beside it (`companion`) are
    taken, where they are there, and for the rest the file's own, whose tensors are named as the network's,
    with the wrapper's prefix in front and `.fp16` behind those in half precision. A layer of which there is
    nothing at all stays fresh: the file has none that only a training uses, and may be of a smaller network.

    Raises TrainingError when nothing can be read, or a weight is missing or has another shape.
    """
    stored = checkpoint.averaged(path) if path.is_dir() else _exported(path)
    if stored.architecture not in (None, name_of(network)):
        raise TrainingError(f"{path} is of a {stored.architecture}, the training of a {name_of(network)}")
    state, there, absent = network.state_dict(), set[str](), dict[str, str]()  # by their layers
    for name, value in state.items():
        layer = name.rpartition(".")[0]
        tensor = _named(stored.tensors, name)
        if tensor is None:
            if value.is_floating_point():  # counters are not exported
                absent.setdefault(layer, name)
            continue
        if tensor.squeeze().shape != value.squeeze().shape:  # the exporter writes slopes as (C, 1, 1)
            ours, theirs = tuple(value.shape), tuple(tensor.shape)
            raise TrainingError(f"{path}: {name} has shape {theirs}, the network wants {ours}")
        state[name] = tensor.to(value.dtype).reshape(value.shape)
        if value.is_floating_point():
            there.add(layer)
    folded = not any(name.endswith(".running_var") for name in stored.tensors)
    for layer, name in absent.items():
        if not there or layer in there:
            raise TrainingError(f"{path} has no tensor {name}: it is of another network")
        if folded and isinstance(network.get_submodule(layer), nn.BatchNorm2d):
            raise TrainingError(
                f"{path} has its batch norms multiplied into its convolutions, and {companion(path).name} is "
                "not beside it: start from the training's folder, or export it again"
            )
    network.load_state_dict(state)
    return list(absent)


def companion(path: Path) -> Path:
    """Where the weights lie, beside an exported file, that a training goes on from."""
    return path.with_suffix(".pt")


def save_companion(network: nn.Module, path: Path) -> None:
    """Write the weights of a network that its exported file lacks beside it, in half precision."""
    rest, there = checkpoint.halved(network), _tensors(path)
    for name, half in list(rest.items()):
        tensor = _named(there, name)
        if tensor is not None and half.equal(tensor.to(half.dtype)):
            del rest[name]
    checkpoint.save(path.parent, path.stem, describe(network) | {"weights": rest, "onnx": sha256(path)})


def _exported(path: Path) -> Weights:
    """Those of an ONNX file, and those beside it."""
    try:
        read_metadata(path)  # refuses weights in another file
        tensors = _tensors(path)
        if companion(path).is_file():
            beside = checkpoint.load(companion(path))
            if beside.get("onnx") == sha256(path):
                rest = checkpoint.wide(beside["weights"])
                return Weights(tensors | rest, beside["architecture"], beside["config"])
    except ModelError as error:
        raise TrainingError(f"cannot read weights: {error}") from None
    except Exception as error:
        raise TrainingError(f"cannot read {path}: {one_line(error)}") from None
    return Weights(tensors)


def _named(tensors: Mapping[str, Tensor], name: str) -> Tensor | None:
    """What is written may be the network itself, or a module that holds it."""
    return tensors.get(name, tensors.get(f"network.{name}"))


def _tensors(path: Path) -> dict[str, Tensor]:
    model = onnx.load(str(path), load_external_data=False)
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    return {name.removesuffix(".fp16"): torch.tensor(array) for name, array in arrays.items()}


@torch.no_grad()
def measure_norms(network: nn.Module, sample: Callable[[int], Sample]) -> None:
    """Give batch norms the statistics of what they see of the training samples (key "image"), in place.
    Averaged weights want it: the statistics they come with are of the weights that were trained. Izmailov et
    al., *Averaging Weights Leads to Wider Optima*, UAI 2018, §3.2."""
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return
    starts, device = range(0, CALIBRATION, CALIBRATION_BATCH), device_of(network)
    batches = ([sample(i)["image"] for i in range(start, start + CALIBRATION_BATCH)] for start in starts)
    update_bn((torch.from_numpy(np.stack(images)).float().to(device) for images in batches), network)
