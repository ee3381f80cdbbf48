"""Starting a training from weights made earlier, so that a shipped weight file is enough to go on from."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from revisage.errors import TrainingError
from revisage.files import write_atomically
from revisage.lab.data.loader import Sample
from revisage.lab.train.checkpoint import averaged
from revisage.zoo import read_metadata

CALIBRATION = 256  # training samples that the norms are measured on
CALIBRATION_BATCH = 16


def load_exported(network: nn.Module, path: Path, sample: Callable[[int], Sample]) -> None:
    """Copy weights made earlier into `network`, in place: of a file that `revisage.lab.export` wrote, or the
    averaged ones of `path`, the folder of a training.

    The file names its tensors as the network does, with the wrapper's prefix in front and `.fp16` behind
    those stored in half precision. What a network calls `training_only` is not in the file but in the archive
    beside it (`companion`), where there is one; else it keeps its fresh weights. So does what it calls
    `added`, where the file is from before it. Of what it calls `shortened` the file's first rows are taken.

    The exporter multiplies a batch norm into the convolution before it. Such a norm gets the statistics of
    what it sees of the training samples `sample(0)`, `sample(1)`, ... (key "image"), and the scale and shift
    with which the pair computes what the file does, so that training starts from the file's function.

    Raises TrainingError when the file cannot be read, or a weight is missing or has another shape.
    """
    stored = _averaged(path) if path.is_dir() else _tensors(path)
    biases = {pair: stored.get(f"{pair[0]}.weight_bias") for pair in _pairs(network)}
    folded = {pair: torch.tensor(array) for pair, array in biases.items() if array is not None}
    training_only: tuple[str, ...] = getattr(network, "training_only", ())
    added: tuple[str, ...] = getattr(network, "added", ())
    shortened: tuple[str, ...] = getattr(network, "shortened", ())
    absent = (*training_only, *added, *(f"{norm}." for _, norm in folded))
    state = network.state_dict()
    fresh = {name: value.clone() for name, value in state.items()}
    for name, value in state.items():
        array = stored.get(name, stored.get(f"network.{name}"))
        if array is None and name.startswith(absent):
            continue
        if array is None:
            raise TrainingError(f"{path} has no tensor {name}: it is of another network")
        if name.startswith(shortened) and array.shape[1:] == value.shape[1:]:
            array = array[: len(value)]
        if array.size != value.numel() or _long(array.shape) != _long(value.shape):
            raise TrainingError(
                f"{path}: {name} has shape {array.shape}, the network wants {tuple(value.shape)}"
            )
        state[name] = torch.tensor(array, dtype=value.dtype).reshape(value.shape)
    network.load_state_dict(state)
    if folded:
        _unfold(network, folded, fresh, sample)


def companion(path: Path) -> Path:
    """Where the weights lie that a training wants beside an exported file."""
    return path.with_suffix(".npz")


def save_companion(network: nn.Module, path: Path) -> None:
    """Write what is `training_only` of a network beside its exported file, in half precision, if it has
    any."""
    only: tuple[str, ...] = getattr(network, "training_only", ())
    kept = {name: v.half().numpy() for name, v in network.state_dict().items() if name.startswith(only)}
    if kept:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **kept)
        write_atomically(companion(path), buffer.getvalue())


def _averaged(run: Path) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in averaged(run / "checkpoints").items()}


def _tensors(path: Path) -> dict[str, np.ndarray]:
    """Those of an ONNX file and of its companion."""
    try:
        read_metadata(path)  # refuses weights in another file
        model = onnx.load(str(path), load_external_data=False)
        stored = {
            t.name.removesuffix(".fp16"): onnx.numpy_helper.to_array(t) for t in model.graph.initializer
        }
        if companion(path).is_file():
            with np.load(companion(path)) as archive:
                stored |= {name: archive[name] for name in archive}
    except Exception as error:
        raise TrainingError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    return stored


@torch.no_grad()
def measure_norms(network: nn.Module, sample: Callable[[int], Sample]) -> None:
    """Give batch norms the statistics of what they see of the training samples (key "image"), in place.

    Averaged weights want it: the statistics they come with are of the weights that were trained. Izmailov et
    al., *Averaging Weights Leads to Wider Optima*, UAI 2018, §3.2.
    """
    if not any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        return
    device = next(network.parameters()).device
    update_bn((images.to(device) for images in _images(sample)), network)


def _images(sample: Callable[[int], Sample]) -> Iterator[Tensor]:
    """Batches of what a network is shown of the first training samples."""
    for start in range(0, CALIBRATION, CALIBRATION_BATCH):
        images = [sample(index)["image"] for index in range(start, start + CALIBRATION_BATCH)]
        yield torch.from_numpy(np.stack(images)).float()


def _pairs(network: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of each convolution and the batch norm that is registered, and computed, right after it."""
    before, convolution = "", False
    for name, module in network.named_modules():
        if convolution and isinstance(module, nn.BatchNorm2d):
            yield before, name
        before, convolution = name, isinstance(module, nn.Conv2d)


@torch.no_grad()
def _unfold(
    network: nn.Module,
    folded: dict[tuple[str, str], Tensor],
    fresh: dict[str, Tensor],
    sample: Callable[[int], Sample],
) -> None:
    """Make of each convolution with a bias (`folded`) one with a norm behind it that computes the same.

    Filters get the length that those of the `fresh` network have: before a norm it means nothing, except how
    far a step of the optimiser turns them.
    """
    seen: dict[str, list[Tensor]] = {name: [] for _, name in folded}
    hooks = []
    for (_, name), bias in folded.items():
        norm = _norm(network, name)
        nn.init.ones_(norm.weight)
        norm.bias.copy_(bias)
        norm.reset_running_stats()  # to 0 and 1
        hooks.append(norm.register_forward_pre_hook(partial(_measure, seen[name])))
    training = network.training
    network.eval()
    for images in _images(sample):
        network(images)
    network.train(training)
    for hook in hooks:
        hook.remove()
    for convolution, name in folded:
        norm, weight = _norm(network, name), network.get_submodule(convolution).weight
        assert isinstance(weight, Tensor)
        mean, square = torch.stack(seen[name]).mean(0)
        length = weight.flatten(1).norm(dim=1).clamp(min=1e-6)
        scale = fresh[f"{convolution}.weight"].flatten(1).norm(dim=1).mean() / length
        weight.mul_(scale.view(-1, 1, 1, 1))
        variance = (square - mean.square()).clamp(min=0) * scale.square()
        norm.load_state_dict(
            {
                "weight": (variance + norm.eps).sqrt() / scale,
                "bias": norm.bias + mean,
                "running_mean": mean * scale,
                "running_var": variance,
                "num_batches_tracked": torch.tensor(0),
            }
        )


def _norm(network: nn.Module, name: str) -> nn.BatchNorm2d:
    norm = network.get_submodule(name)
    assert isinstance(norm, nn.BatchNorm2d)
    return norm


def _measure(seen: list[Tensor], _norm: nn.Module, inputs: tuple[Tensor]) -> None:
    """Note mean and mean square per channel of what a norm is given."""
    seen.append(torch.stack([inputs[0].mean((0, 2, 3)), inputs[0].square().mean((0, 2, 3))]))


def _long(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without its axes of length 1: the exporter writes slopes as (C, 1, 1)."""
    return tuple(length for length in shape if length != 1)
