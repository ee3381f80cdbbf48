"""What the zoo knows about one model, before its weights are opened."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Task = Literal["face", "scene", "damage", "finder", "identity", "expression", "features"]
TASKS: tuple[str, ...] = get_args(Task)
Framing = Literal["template", "whole"]
FRAMINGS: tuple[str, ...] = get_args(Framing)
Control = Literal["none", "clean"]
CONTROLS: tuple[str, ...] = get_args(Control)

EMBEDDED = Path(__file__).parent / "weights"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
RESERVED_NAMES = frozenset({"auto", "none"})  # they mean something else to --model and --scene


def is_name(text: str) -> bool:
    """Whether `text` can name a model: letters, digits, `.`, `_`, `-`, at most 64, not `auto` or `none`."""
    return _NAME.fullmatch(text) is not None and text.lower() not in RESERVED_NAMES


def is_sha256(text: str) -> bool:
    """Whether `text` is a sha256 in lower-case hex."""
    return _SHA256.fullmatch(text) is not None


@dataclass(frozen=True)
class ModelSpec:
    """One model of the catalogue, or one of the user's own."""

    name: str
    """What `--model NAME` says."""
    task: Task
    """What it is for."""
    size: int | None
    """Side in pixels of the square picture it takes; None when any size will do."""
    scale: int | None
    """Output side over input side; None when the output is no picture (a detector)."""
    version: str
    """Grows whenever the weights change; goes into the label of a restored file."""
    licence: str
    """SPDX expression or one plain sentence about the weights."""
    file: str = ""
    """File name of the weights; NAME.onnx if not given."""
    url: str | None = None
    """Where `pull` gets them; None for embedded models and the user's own."""
    sha256: str | None = None
    """Of the file, in lower-case hex; None when there is nothing to compare with."""
    bytes: int | None = None
    """Size of the file; None when unknown."""
    description: str = ""
    """One line for `models list`."""
    checkpoint: str | None = None
    """File name of the PyTorch checkpoint that others publish the weights as. `url`, `sha256` and `bytes` are
    then the checkpoint's, and `file` is made from it on this machine."""
    twin: str | None = None
    """Name of the model that ``NAME:WEIGHT`` mixes this one with."""
    same_size: str | None = None
    """Name of the scene model that does the same without enlarging."""
    int8: str | None = None
    """Name of the same scene model in 8-bit integers, which CPUs are faster with."""
    control: Control = "none"
    """"clean" for a scene model that takes a fourth channel, how strongly to clean from 0 to 1."""
    framing: Framing = "template"
    """Of the pictures that a face model takes: faces on the FFHQ "template", or "whole" pictures of one face,
    as they were photographed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", self.file or f"{self.name}.onnx")

    @property
    def download(self) -> str:
        """Name of the file that `url` gives."""
        return self.checkpoint or self.file


@dataclass(frozen=True)
class Model:
    """A model whose weights are on this machine, at `path`."""

    spec: ModelSpec
    path: Path

    @property
    def embedded(self) -> bool:
        """Whether the weights are part of the package."""
        return self.path.parent == EMBEDDED

    @property
    def card(self) -> Path | None:
        """The card (Markdown) beside the weights, if there is one; 8-bit models share the full one's."""
        card = self.path.with_name(f"{self.path.stem.removesuffix('-int8')}.md")
        return card if card.is_file() else None

    def __str__(self) -> str:
        return f"{self.spec.name} {self.spec.version}"
