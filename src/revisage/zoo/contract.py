"""The contract a model carries in its file, read without the onnx package: this walks the fields of the
protobuf message by their lengths, seeks over the weights, and bounds everything it reads."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

from revisage.errors import ModelCorruptError, ModelMissingError
from revisage.zoo import protobuf
from revisage.zoo.spec import CONTROLS, FRAMINGS, TASKS, Control, Framing, Task, is_name, is_sha256

PREFIX = "revisage."
REQUIRED = ("task", "name", "version", "licence")

_MAX_ENTRY_BYTES = 64 * 1024
_MAX_PIXELS_SIDE = 65_536


@dataclass(frozen=True)
class Contract:
    """What a model promises: stored in the file's metadata as `revisage.task`, `revisage.name` and so on.

    Pictures are float32 NCHW RGB in [0, 1] in and out, unless the task is `finder`. `size` is the side of the
    square input, None for any size; `scale` is output side over input side, None for no picture. `source` is
    the sha256 of the published checkpoint that the file was made from, None without. `framing` and `control`
    are as in `ModelSpec`; a model with a control takes (N, 4, H, W), the picture and a plane from 0 to 1.
    """

    name: str
    task: Task
    size: int | None
    scale: int | None
    version: str
    licence: str
    source: str | None = None
    framing: Framing = "template"
    control: Control = "none"

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise ValueError(f"{self.name!r} cannot name a model: use letters, digits, '.', '_' and '-'")
        if self.task not in TASKS:
            raise ValueError(f"task must be one of {', '.join(TASKS)}, got {self.task!r}")
        for key, value in (("size", self.size), ("scale", self.scale)):
            if value is not None and not 1 <= value <= _MAX_PIXELS_SIDE:
                raise ValueError(f"{key} must be a whole number of at least 1, got {value}")
        if self.task == "face" and (self.size is None or self.scale is None):
            raise ValueError("a face model needs size and scale")
        if self.task == "scene" and self.scale is None:
            raise ValueError("a scene model needs scale")
        if self.framing not in FRAMINGS:
            raise ValueError(f"framing must be one of {', '.join(FRAMINGS)}, got {self.framing[:20]!r}")
        if self.control not in CONTROLS or (self.control != "none" and self.task != "scene"):
            raise ValueError(f"control must be none, or clean of a scene model, got {self.control[:20]!r}")
        for key, text in (("version", self.version), ("licence", self.licence)):
            if not text.strip() or "\n" in text:
                raise ValueError(f"{key} must be one line that is not empty")
        if self.source is not None and not is_sha256(self.source):
            raise ValueError(f"source must be 64 lower-case hex digits, got {self.source[:70]!r}")

    def to_metadata(self) -> dict[str, str]:
        """The metadata entries that `from_metadata` reads back."""
        stated = ((field, getattr(self, field.name)) for field in fields(self))
        return {PREFIX + field.name: str(v) for field, v in stated if v is not None and v != field.default}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> Self:
        """Raises ValueError, naming what is missing or wrong."""
        missing = [PREFIX + key for key in REQUIRED if not metadata.get(PREFIX + key)]
        if missing:
            raise ValueError(f"metadata lacks {', '.join(missing)}")
        names = [field.name for field in fields(cls) if PREFIX + field.name in metadata]
        stated: dict[str, Any] = {name: metadata[PREFIX + name] for name in names}
        return cls(**stated | {name: _whole(metadata, name) for name in ("size", "scale")})


def _whole(metadata: dict[str, str], key: str) -> int | None:
    text = metadata.get(PREFIX + key, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"{PREFIX}{key} must be a whole number, got {text[:20]!r}")
    return int(text)


def read_contract(path: Path) -> Contract:
    """The contract in an ONNX file. Raises ModelMissingError (it cannot be opened), ModelCorruptError (no
    whole ONNX model, weights in another file, or metadata that break the contract)."""
    metadata = read_metadata(path)
    try:
        return Contract.from_metadata(metadata)
    except ValueError as error:
        raise ModelCorruptError(
            f"{path} is no Revisage model: {error}; `revisage export` writes it, or set the file's "
            "ONNX metadata_props yourself"
        ) from None


def read_metadata(path: Path) -> dict[str, str]:
    """All `metadata_props` of an ONNX file; raises as `read_contract` does."""
    try:
        with path.open("rb") as file:
            return _metadata(protobuf.Walk(file))
    except OSError as error:
        raise ModelMissingError(f"cannot open {path}: {error.strerror or error}") from None
    except protobuf.MalformedError as error:
        raise ModelCorruptError(f"{path} is not a usable ONNX file: {error}") from None


def _metadata(walk: protobuf.Walk) -> dict[str, str]:
    metadata: dict[str, str] = {}
    has_nodes = False
    for field in walk.whole():
        if field.wire != protobuf.LEN:
            continue
        if field.number == protobuf.MODEL_METADATA:
            metadata.update([_entry(walk, field)])
            continue
        if field.number == protobuf.MODEL_GRAPH:
            has_nodes |= any(part.number == protobuf.GRAPH_NODE for part in walk.inside(field))
        if field.number in protobuf.MESSAGES["model"]:
            for tensor in walk.tensors(protobuf.MESSAGES["model"][field.number], field):
                _refuse_external(walk, tensor)
    if not has_nodes:
        raise protobuf.MalformedError("it holds no network")
    return metadata


def _refuse_external(walk: protobuf.Walk, tensor: protobuf.Field) -> None:
    """A place outside the file may be any file, and for OpenVINO any address of this process."""
    for part in walk.inside(tensor):
        if part.number == protobuf.TENSOR_EXTERNAL_DATA or (
            part.number == protobuf.TENSOR_DATA_LOCATION and (part.wire != protobuf.VARINT or part.value != 0)
        ):
            raise protobuf.MalformedError("its weights lie in a second file; export it as a single file")


def _entry(walk: protobuf.Walk, entry: protobuf.Field) -> tuple[str, str]:
    if entry.end - entry.start > _MAX_ENTRY_BYTES:
        raise protobuf.MalformedError(f"a metadata entry is larger than {_MAX_ENTRY_BYTES} bytes")
    texts = {protobuf.ENTRY_KEY: "", protobuf.ENTRY_VALUE: ""}
    for field in walk.inside(entry):
        if field.number in texts and field.wire == protobuf.LEN:
            try:
                texts[field.number] = walk.payload(field).decode()
            except UnicodeDecodeError:
                raise protobuf.MalformedError("a metadata entry is not UTF-8") from None
    return texts[protobuf.ENTRY_KEY], texts[protobuf.ENTRY_VALUE]
