"""Networks from files that carry no contract of ours: ONNX of others, and PyTorch checkpoints."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from revisage.errors import ModelCorruptError, ModelMissingError, UsageError
from revisage.files import sha256
from revisage.lab import foreign
from revisage.options import Settings
from revisage.restore import FaceModel, InstalledModels, SceneModel
from revisage.restore.receptive_field import receptive_field
from revisage.runtime import RuntimeInfo, Session
from revisage.runtime.session import check_batch, is_finite, non_finite
from revisage.zoo import Contract, checkpoints, published

_PROBE = 64  # side of the picture that a network's scale is measured with


class Network(InstalledModels):
    """A network as the face model or the scene model, beside the installed detector."""

    def __init__(self, file: Path, model: FaceModel | SceneModel) -> None:
        super().__init__(Settings())
        self.label, self.sha256 = file.stem, sha256(checkpoints.numbers_of(file))
        self.face = lambda: model if isinstance(model, FaceModel) else None
        self.scene = lambda: model if isinstance(model, SceneModel) else None
        self.identity = lambda: None  # evaluation has its own measures of likeness


class TorchSession:
    """A network in PyTorch, in fp32 on the CPU. See `revisage.runtime.Session`."""

    info = RuntimeInfo("pytorch", "cpu", "fp32")

    def __init__(self, network: Callable[[Tensor], Tensor], file: Path) -> None:
        self._network, self._file = network, file

    @torch.no_grad()
    def run(self, batch: np.ndarray) -> np.ndarray:
        output = self._network(torch.from_numpy(check_batch(batch, (None, 3, None, None)))).numpy()
        if not is_finite(output):
            raise non_finite(self._file)
        return output


def open_onnx(path: Path, session: Session) -> Network:
    """An ONNX file of others, opened by the runtime: one input and one output, (N, 3, H, W) RGB in [0, 1].
    With one fixed square size it is a face model, else a scene model, whose scale is measured. Raises
    ModelCorruptError when it is neither, RuntimeUnavailableError without the package onnx."""
    import onnx

    inputs = onnx.load(str(path), load_external_data=False).graph.input
    lengths = [axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim]
    if len(lengths) != 4 or lengths[1] != 3:
        raise ModelCorruptError(f"{path} takes arrays of shape {lengths}, not pictures (N, 3, H, W)")
    height, width = lengths[2:]
    size = height if height and height == width else None
    return _network(path, session, size)


def open_checkpoint(path: Path, open_session: Callable[[bytes], Session]) -> Network:
    """A checkpoint: of the networks that `revisage.zoo.published` knows, or of others in PyTorch by spandrel.
    Raises ModelMissingError (no such file), ModelCorruptError (of no known network), RuntimeUnavailableError
    (spandrel, which may know it, is not installed)."""
    if not path.is_file():
        raise ModelMissingError(f"there is no file {path}")
    try:
        known = published.read(path)
    except ModelCorruptError as error:
        model = foreign.load(path, error)
        return _network(path, TorchSession(model, path), 512 if model.purpose == "FaceSR" else None)
    contract = Contract("known", known.task, known.size, known.scale, version="1", licence="its authors'")
    return _network(path, open_session(known.onnx(contract, half=False)), known.size)


def _network(path: Path, session: Session, size: int | None) -> Network:
    """With a `size` a face model of that size, else a scene model, whose scale is measured."""
    kind, side = ("scene", _PROBE) if size is None else ("face", size)
    output = session.run(np.full((1, 3, side, side), 0.5, np.float32))
    scale = output.shape[-1] // side if size is None else 1
    if output.shape != (1, 3, scale * side, scale * side):
        raise UsageError(f"{path} gives {output.shape} for a picture of {side} px: it is no {kind} model")
    if size is not None:
        return Network(path, FaceModel(session, path.stem, size))
    return Network(path, SceneModel(session, path.stem, scale, receptive_field(session, scale)))
