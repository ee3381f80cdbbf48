"""Networks that only spandrel can read: in PyTorch, and made into ONNX models."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, nn

from revisage import zoo
from revisage.errors import ModelCorruptError, ModelError, RuntimeUnavailableError, UsageError, one_line
from revisage.files import sha256
from revisage.lab.export import export
from revisage.zoo import Contract

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

FAMILIES = ("DnCNN", "SPAN")  #: spandrel's names of those that were found to equal PyTorch as ONNX models

_SIDE = 64  # in pixels of the picture that a network is traced with


def load(path: Path, refusal: ModelError) -> "ImageModelDescriptor[nn.Module]":
    """A network that turns a picture into a picture; `refusal` says why it was not read without spandrel.

    Raises ModelCorruptError (damaged, or of no known network), RuntimeUnavailableError (no spandrel).
    """
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
    """Make an ONNX model of a checkpoint, in the user's model folder, checked against PyTorch.

    Raises what `load` and `revisage.lab.export.export` do, ModelError for a network not of `FAMILIES`, and
    UsageError for a name that is taken.
    """
    model, source = load(file, refusal), sha256(file)
    if model.architecture.id not in FAMILIES:
        raise ModelError(
            f"{file} is of {model.architecture.id}; these can be imported: {', '.join(FAMILIES)}"
        )
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
    """As spandrel calls it, but without padding, which these networks do not need."""

    def __init__(self, model: "ImageModelDescriptor[nn.Module]") -> None:
        super().__init__()
        self.network, self.call = model.model, model._call_fn
        for part in self.network.modules():
            if hasattr(
                part, "update_params"
            ):  # SPAN merges its branches in every pass, which cannot be traced
                part.update_params()
                part.update_params = lambda: None

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.network, x).clamp(0, 1)
