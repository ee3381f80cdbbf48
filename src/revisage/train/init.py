"""Starting a training from an exported model, so that a shipped weight file is enough to go on from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
import torch
from torch import nn

from revisage.errors import TrainingError


def load_exported(network: nn.Module, path: Path) -> None:
    """Copy the weights of an ONNX file written by `revisage.export` into `network`, in place.

    The file names its tensors as the network does, with the wrapper's prefix in front and `.fp16` behind
    those stored in half precision. What a network calls `training_only` is not in the file and keeps its
    fresh weights. A finder cannot be gone on from: in its file the norms are part of the convolutions.

    Raises TrainingError when the file cannot be read, or a weight is missing or has another shape.
    """
    try:
        model = onnx.load(str(path))
    except Exception as error:
        raise TrainingError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    stored = {t.name.removesuffix(".fp16"): onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    state = network.state_dict()
    training_only: tuple[str, ...] = getattr(network, "training_only", ())
    for name, value in state.items():
        array = stored.get(name, stored.get(f"network.{name}"))
        if array is None and name.startswith(training_only):
            continue
        if array is None:
            raise TrainingError(f"{path} has no tensor {name}: it is of another network")
        if array.size != value.numel() or _long(array.shape) != _long(value.shape):
            raise TrainingError(
                f"{path}: {name} has shape {array.shape}, the network wants {tuple(value.shape)}"
            )
        state[name] = torch.tensor(array, dtype=value.dtype).reshape(value.shape)
    network.load_state_dict(state)


def _long(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without its axes of length 1: the exporter writes slopes as (C, 1, 1)."""
    return tuple(length for length in shape if length != 1)
