"""The files of weights that metrics need: found, checked, opened."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from revisage import zoo
from revisage.errors import ModelCorruptError, ModelMissingError, one_line
from revisage.files import sha256

COPIES = {"squeezenet": "squeezenet-16"}
"""Names of weights in the catalogue that stand in for others: the same, in 16 bits."""


def locate(name: str, wanted_by: str, folder: Path | None = None) -> Path:
    """The file of the catalogue's weights `name`: in `folder`, or where every model is looked for; a copy
    (`COPIES`) where the weights themselves are not there. `wanted_by` is the metric that messages name.

    Raises ModelMissingError (nowhere; says how to get it), ModelCorruptError (another sha256 than stated).
    """
    spec = zoo.CATALOGUE[name]
    path = folder / spec.file if folder is not None else None
    if path is None or not path.is_file():
        try:
            return zoo.resolve("features", name).path
        except ModelMissingError as error:
            if name in COPIES:
                with suppress(ModelMissingError):  # the published weights are what to ask for
                    return locate(COPIES[name], wanted_by, folder)
            raise ModelMissingError(f"{wanted_by}: {error}") from None
    if spec.sha256 is not None and sha256(path) != spec.sha256:
        raise ModelCorruptError(f"{path} has not the sha256 of {name}: remove it or give another folder")
    return path


def read_state(path: Path, key: str | None = None) -> dict[str, Any]:
    """A PyTorch state dict, or the one under `key` where the file has it; runs no pickled code. A numpy
    archive (.npz) of named arrays does too; those of 16 bits become float32. Raises ModelMissingError without
    the file, ModelCorruptError when it is something else."""
    if not path.is_file():
        known = "give the file of the weights, or one of the names that `revisage models list` shows"
        raise ModelMissingError(f"there is no file {path}: {known}")
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {name: torch.from_numpy(archive[name].astype(np.float32)) for name in archive.files}
        except Exception as error:  # damaged bytes fail in many ways
            raise ModelCorruptError(f"{path} is not a numpy archive of weights: {one_line(error)}") from None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # what it tells is of its own insides
        wish = "give the weights as they are published, or as a numpy archive (.npz)"
        raise ModelCorruptError(f"{path} is not a PyTorch checkpoint, or is damaged: {wish}") from None
    if key is not None and isinstance(state, dict):
        state = state.get(key, state)
    if not isinstance(state, dict):
        raise ModelCorruptError(f"{path} holds no state dict")
    # Training on several GPUs leaves this prefix.
    return {name.removeprefix("module."): value for name, value in state.items()}


def fill(network: torch.nn.Module, state: dict[str, Any], path: Path) -> torch.nn.Module:
    """The network with exactly these weights, fixed and in evaluation mode. Raises ModelCorruptError when a
    weight is missing, foreign or of another shape."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        name = type(network).__name__
        raise ModelCorruptError(f"{path} does not hold the weights of {name}: {one_line(error)}") from None
    return network.eval().requires_grad_(False)
