"""What the zoo knows about one model, before its weights are opened."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

Task = Literal["face", "scene", "damage", "tone", "finder", "identity", "expression", "features"]
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


def name_of(path: Path) -> str | None:
    """A file's name without its ending, made fit to name a model; None when nothing is left of it."""
    name = path.stem if is_name(path.stem) else re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:64]
    return name if is_name(name) else None


def is_sha256(text: str) -> bool:
    """Whether `text` is a sha256 in lower-case hex."""
    return _SHA256.fullmatch(text) is not None


@dataclass(frozen=True)
class ModelSpec:
    """One model of the catalogue, or one of the user's own."""

    name: str  #: what `--model NAME` says
    task: Task  #: what it is for
    size: int | None  #: side in pixels of the square picture it takes; None when any size will do
    scale: int | None  #: output side over input side; None when the output is no picture (a detector)
    version: str  #: grows whenever the weights change; goes into the label of a restored file
    licence: str  #: SPDX expression or one plain sentence about the weights
    file: str = ""  #: file name of the weights; NAME.onnx if not given
    url: str | None = None  #: where `pull` gets them; None for embedded models and the user's own
    sha256: str | None = None  #: of the file, in lower-case hex; None when there is nothing to compare with
    bytes: int | None = None  #: size of the file; None when unknown
    description: str = ""  #: one line for `models list`
    #: File name of the PyTorch checkpoint that others publish the weights as. `url`, `sha256` and `bytes` are
    #: then the checkpoint's, and `file` is made from it on this machine.
    checkpoint: str | None = None
    twin: str | None = None  #: name of the model that ``NAME:WEIGHT`` mixes this one with
    same_size: str | None = None  #: name of the scene model that does the same without enlarging
    int8: str | None = None  #: name of the same scene model in 8-bit integers, which CPUs are faster with
    control: Control = "none"  #: "clean": a scene model told by a fourth channel how strongly to, from 0 to 1
    framing: Framing = "template"  #: a face model takes the FFHQ "template", or "whole" pictures of one face

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
