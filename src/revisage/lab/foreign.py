"""Networks that only spandrel can read: in PyTorch, and made into ONNX models."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from revisage import zoo
from revisage.errors import ModelCorruptError, ModelError, RuntimeUnavailableError, UsageError, one_line
from revisage.files import sha256
from revisage.lab.export import export
from revisage.restore import tiles
from revisage.zoo import Contract

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

FAMILIES = ("DnCNN", "MoSR", "OmniSR", "PLKSR", "RealCUGAN", "SAFMN", "SPAN", "SwiftSRGAN", "SwinIR")
"""spandrel's names of those that were found to equal PyTorch as ONNX models."""

_SIDE = 9 * tiles.ALIGN
"""Sides in pixels of the picture that a network is traced with: one that wants multiples of more shows."""


def load(path: Path, refusal: ModelError) -> "ImageModelDescriptor[nn.Module]":
    """A network that turns a picture into a picture; `refusal` says why it was not read without spandrel.
    Raises ModelCorruptError (damaged, or of no known network), RuntimeUnavailableError (no spandrel)."""
    try:
        from spandrel import ImageModelDescriptor, ModelLoader
    except ImportError:
        raise RuntimeUnavailableError(f"{refusal}; for more: pip install 'revisage[checkpoints]'") from None
    try:
        model = ModelLoader(device="cpu").load_from_file(path)
    except Exception as error:  # as many kinds as there are broken files
        raise ModelCorruptError(f"{refusal}; nor does spandrel know it: {one_line(error)}") from None
    if not isinstance(model, ImageModelDescriptor) or model.input_channels != 3 or model.output_channels != 3:
        raise ModelCorruptError(f"{path} holds a network that does not turn a picture into a picture")
    return model.eval()


def install(file: Path, name: str | None, refusal: ModelError) -> Path:
    """Make an ONNX model of a checkpoint, in the user's model folder, checked against PyTorch. Raises what
    `load` and `revisage.lab.export.export` do, ModelError for a network not of `FAMILIES`, and UsageError for
    a name that is taken."""
    model, source = load(file, refusal), sha256(file)
    kind = model.architecture.id
    if kind not in FAMILIES:
        raise ModelError(f"{file} is of {kind}; these can be imported: {', '.join(FAMILIES)}")
    chosen = name or zoo.name_of(file)
    if chosen is None:
        raise UsageError(f"{file.name} gives no name for a model: give one with --as NAME")
    target = zoo.destination(chosen, source)
    if target.exists():
        if zoo.read_contract(target).source == source:
            return target
        raise UsageError(f"{target} exists and differs; remove it or give another name with --as NAME")
    contract = Contract(chosen, "scene", None, model.scale, "1", "as its authors state", source=source)
    write = partial(export, _Picture(model), target, contract=contract, example_size=(_SIDE, _SIDE))
    try:
        write()
    except ModelError:  # weights may lie closer together, or further out, than 16 bits can tell
        write(half=False)
    return target


class _Picture(nn.Module):
    """As spandrel calls it, but without padding, which these networks do not need for a tile."""

    def __init__(self, model: "ImageModelDescriptor[nn.Module]") -> None:
        super().__init__()
        self.network, self.call = model.model, model._call_fn
        for part in self.network.modules():
            if hasattr(part, "update_params"):  # SPAN merges its branches in every pass: it cannot be traced
                part.update_params()
                part.update_params = lambda: None
            if hasattr(part, "calculate_mask"):  # of SwinIR, for one size of a picture
                part.input_resolution = None
                part.calculate_mask = partial(_mask, part.window_size, part.shift_size)
                vars(sys.modules[type(part).__module__])["window_reverse"] = _joined

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.network, x).clamp(0, 1)


def _mask(side: int, shift: int, size: tuple[int, int]) -> Tensor:
    """(windows, side², side²), -100 between pixels that only rolling has made neighbours, else 0, for a
    picture of `size` (height, width). Source: Liu et al., Swin Transformer, ICCV 2021, figure 4."""
    if not shift:
        return torch.zeros(1, 1, 1)
    height, width = size
    rows, columns = (torch.arange(length) >= length - shift for length in size)
    part = (2 * rows[:, None] + columns).view(height // side, side, width // side, side)
    part = part.transpose(1, 2).reshape(-1, side * side)
    return torch.where(part[:, None] == part[:, :, None], 0.0, -100.0)


def _joined(windows: Tensor, side: int, height: int, width: int) -> Tensor:
    """(N windows, side, side, C) -> (N, height, width, C); theirs takes N from the batch traced with."""
    channels = windows.shape[-1]
    rows = windows.view(-1, height // side, width // side, side, side, channels).transpose(2, 3)
    return rows.reshape(-1, height, width, channels)
