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
    """One model of the catalogue, or one of the user's own.

    Attributes:
        name: what `--model NAME` says.
        task: what it is for.
        size: side in pixels of the square picture it takes; None when any size will do.
        scale: output side over input side; None when the output is no picture (a detector).
        version: grows whenever the weights change; goes into the label of a restored file.
        licence: SPDX expression or one plain sentence about the weights.
        file: file name of the weights; NAME.onnx if not given.
        url: where `pull` gets them; None for embedded models and the user's own.
        sha256: of the file, in lower-case hex; None when there is nothing to compare with.
        bytes: size of the file; None when unknown.
        description: one line for `models list`.
        checkpoint: file name of the PyTorch checkpoint that others publish the weights as. `url`, `sha256`
            and `bytes` are then the checkpoint's, and `file` is made from it on this machine.
        twin: name of the model that `NAME:WEIGHT` mixes this one with.
        same_size: name of the scene model that does the same without enlarging.
        int8: name of the same scene model in 8-bit integers, which CPUs are faster with.
        control: "clean" for a scene model that takes a fourth channel, how strongly to clean from 0 to 1.
        framing: of the pictures that a face model takes: faces on the FFHQ "template", or "whole" pictures of
            one face, as they were photographed.
    """

    name: str
    task: Task
    size: int | None
    scale: int | None
    version: str
    licence: str
    file: str = ""
    url: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    description: str = ""
    checkpoint: str | None = None
    twin: str | None = None
    same_size: str | None = None
    int8: str | None = None
    control: Control = "none"
    framing: Framing = "template"

    def __post_init__(self) -> None:
        object.__setattr__(self, "file", self.file or f"{self.name}.onnx")
        if not is_name(self.name):
            raise ValueError(f"{self.name!r} cannot name a model")
        if self.task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(TASKS)}, got {self.task!r}")
        for file in (self.file, self.checkpoint):
            if file is not None and Path(file).name != file:
                raise ValueError(f"file must be a bare file name, got {file!r}")
        if self.sha256 is not None and not is_sha256(self.sha256):
            raise ValueError(f"sha256 must be 64 lower-case hex digits, got {self.sha256!r}")
        if self.url is not None and self.sha256 is None:
            raise ValueError(f"{self.name} has an address but no sha256: a download could not be checked")
        if self.checkpoint is not None and self.sha256 is None:
            raise ValueError(f"{self.name} is made from a checkpoint but has no sha256 to know it by")

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
