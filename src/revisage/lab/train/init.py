"""Starting a training from an exported model, so that a shipped weight file is enough to go on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from revisage.errors import TrainingError
from revisage.lab.data.loader import Sample
from revisage.zoo import read_metadata

CALIBRATION = 256  # training samples that the norms are measured on
CALIBRATION_BATCH = 16


def load_exported(network: nn.Module, path: Path, sample: Callable[[int], Sample]) -> None:
    """Copy the weights of an ONNX file written by `revisage.lab.export` into `network`, in place.

    The file names its tensors as the network does, with the wrapper's prefix in front and `.fp16` behind
    those stored in half precision. What a network calls `training_only` is not in the file and keeps its
    fresh weights; so does what it calls `added`, where the file is from before it.

    The exporter multiplies a batch norm into the convolution before it. Such a norm gets the statistics of
    what it sees of the training samples `sample(0)`, `sample(1)`, ... (key "image"), and the scale and shift
    with which the pair computes what the file does, so that training starts from the file's function.

    Raises TrainingError when the file cannot be read, or a weight is missing or has another shape.
    """
    try:
        read_metadata(path)  # refuses weights in another file
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise TrainingError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    stored = {t.name.removesuffix(".fp16"): onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    biases = {pair: stored.get(f"{pair[0]}.weight_bias") for pair in _pairs(network)}
    folded = {pair: torch.tensor(array) for pair, array in biases.items() if array is not None}
    training_only: tuple[str, ...] = getattr(network, "training_only", ())
    added: tuple[str, ...] = getattr(network, "added", ())
    absent = (*training_only, *added, *(f"{norm}." for _, norm in folded))
    state = network.state_dict()
    fresh = {name: value.clone() for name, value in state.items()}
    for name, value in state.items():
        array = stored.get(name, stored.get(f"network.{name}"))
        if array is None and name.startswith(absent):
            continue
        if array is None:
            raise TrainingError(f"{path} has no tensor {name}: it is of another network")
        if array.size != value.numel() or _long(array.shape) != _long(value.shape):
            raise TrainingError(
                f"{path}: {name} has shape {array.shape}, the network wants {tuple(value.shape)}"
            )
        state[name] = torch.tensor(array, dtype=value.dtype).reshape(value.shape)
    network.load_state_dict(state)
    if folded:
        _unfold(network, folded, fresh, sample)


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
    for start in range(0, CALIBRATION, CALIBRATION_BATCH):
        images = [sample(index)["image"] for index in range(start, start + CALIBRATION_BATCH)]
        network(torch.from_numpy(np.stack(images)).float())
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
