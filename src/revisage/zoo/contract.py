"""The contract a model carries in its file, read without the onnx package and without loading the weights.

An ONNX file is one protobuf message. Its weights make nearly all of it, so this walks the fields by their
lengths and seeks over them (field numbers: onnx.proto3, ModelProto, GraphProto and TensorProto; wire
format: the Protocol Buffers encoding guide). Everything read from the file is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from revisage.errors import ModelCorruptError, ModelMissingError
from revisage.zoo.spec import TASKS, Task, is_name

PREFIX = "revisage."
REQUIRED = ("task", "name", "version", "licence")

_MODEL_GRAPH, _MODEL_METADATA = 7, 14
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

_VARINT, _I64, _LEN, _I32 = 0, 1, 2, 5
_MAX_FIELDS = 1_000_000
_MAX_ENTRY_BYTES = 64 * 1024
_MAX_PIXELS_SIDE = 65_536


@dataclass(frozen=True)
class Contract:
    """What a model promises: stored in the file's metadata as `revisage.task`, `revisage.name` and so on.

    Pictures are float32 NCHW RGB in [0, 1] in and out, unless the task is `finder`. `size` is the side of
    the square input, None for any size; `scale` is output side over input side, None for no picture.
    """

    name: str
    task: Task
    size: int | None
    scale: int | None
    version: str
    licence: str

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
        for key, text in (("version", self.version), ("licence", self.licence)):
            if not text.strip() or "\n" in text:
                raise ValueError(f"{key} must be one line that is not empty")

    def to_metadata(self) -> dict[str, str]:
        """The metadata entries that `from_metadata` reads back."""
        entries = {
            "task": self.task,
            "name": self.name,
            "size": self.size,
            "scale": self.scale,
            "version": self.version,
            "licence": self.licence,
        }
        return {PREFIX + key: str(value) for key, value in entries.items() if value is not None}

    @classmethod
    def from_metadata(cls, metadata: dict[str, str]) -> Contract:
        """Raises ValueError, naming what is missing or wrong."""
        missing = [PREFIX + key for key in REQUIRED if not metadata.get(PREFIX + key)]
        if missing:
            raise ValueError(f"metadata lacks {', '.join(missing)}")
        return cls(
            name=metadata[PREFIX + "name"],
            task=cast(Task, metadata[PREFIX + "task"]),
            size=_whole(metadata, "size"),
            scale=_whole(metadata, "scale"),
            version=metadata[PREFIX + "version"],
            licence=metadata[PREFIX + "licence"],
        )


def _whole(metadata: dict[str, str], key: str) -> int | None:
    text = metadata.get(PREFIX + key, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"{PREFIX}{key} must be a whole number, got {text[:20]!r}")
    return int(text)


def read_contract(path: Path) -> Contract:
    """The contract in an ONNX file.

    Raises:
        ModelMissingError: there is no such file, or it cannot be opened.
        ModelCorruptError: the file is no whole ONNX model, keeps its weights in a second file, or its
            metadata breaks the contract.
    """
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
            return _Walk(file).model()
    except OSError as error:
        raise ModelMissingError(f"cannot open {path}: {error.strerror or error}") from None
    except _MalformedError as error:
        raise ModelCorruptError(f"{path} is not a usable ONNX file: {error}") from None


class _MalformedError(Exception):
    pass


class _Field(NamedTuple):
    number: int
    wire: int
    start: int  # of the payload, in bytes from the start of the file
    end: int
    value: int  # of a varint


class _Walk:
    """A walk over one open file that gives up after `_MAX_FIELDS` fields in all."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MAX_FIELDS

    def model(self) -> dict[str, str]:
        end = self._file.seek(0, 2)
        metadata: dict[str, str] = {}
        has_nodes = False
        for field in self._fields(0, end):
            if field.wire != _LEN:
                continue
            if field.number == _MODEL_METADATA:
                key, value = self._entry(field)
                metadata[key] = value
            elif field.number == _MODEL_GRAPH:
                has_nodes = self._graph(field) or has_nodes
        if not has_nodes:
            raise _MalformedError("it holds no network")
        return metadata

    def _graph(self, graph: _Field) -> bool:
        """Whether the graph has nodes; raises when a weight lies in another file."""
        has_nodes = False
        for field in self._fields(graph.start, graph.end):
            if field.number == _GRAPH_NODE:
                has_nodes = True
            elif field.number == _GRAPH_INITIALIZER and field.wire == _LEN:
                for part in self._fields(field.start, field.end):
                    if part.number == _TENSOR_EXTERNAL_DATA or (
                        part.number == _TENSOR_DATA_LOCATION and part.value != 0
                    ):
                        raise _MalformedError("its weights lie in a second file; export it as a single file")
        return has_nodes

    def _entry(self, entry: _Field) -> tuple[str, str]:
        if entry.end - entry.start > _MAX_ENTRY_BYTES:
            raise _MalformedError(f"a metadata entry is larger than {_MAX_ENTRY_BYTES} bytes")
        texts = {_ENTRY_KEY: "", _ENTRY_VALUE: ""}
        for field in self._fields(entry.start, entry.end):
            if field.number in texts and field.wire == _LEN:
                self._file.seek(field.start)
                try:
                    texts[field.number] = self._file.read(field.end - field.start).decode()
                except UnicodeDecodeError:
                    raise _MalformedError("a metadata entry is not UTF-8") from None
        return texts[_ENTRY_KEY], texts[_ENTRY_VALUE]

    def _fields(self, start: int, end: int) -> Iterator[_Field]:
        """The fields of the message in bytes [start, end); the file's position may move in between."""
        position = start
        while position != end:
            self._left -= 1
            if self._left < 0:
                raise _MalformedError(f"it has more than {_MAX_FIELDS} parts")
            tag, begin = self._varint(position, end)
            number, wire = tag >> 3, tag & 7
            value = 0
            if number == 0 or wire not in (_VARINT, _I64, _LEN, _I32):
                raise _MalformedError("it is damaged or of another format")
            if wire == _VARINT:
                value, position = self._varint(begin, end)
            elif wire == _LEN:
                length, begin = self._varint(begin, end)
                position = begin + length
            else:
                position = begin + (8 if wire == _I64 else 4)
            if position > end:
                raise _MalformedError("it is cut short")
            yield _Field(number, wire, begin, position, value)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """(value, position after it)."""
        self._file.seek(position)
        data = self._file.read(min(10, end - position))
        value = 0
        for i, byte in enumerate(data):
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value, position + i + 1
        raise _MalformedError("it is cut short" if len(data) < 10 else "it is damaged or of another format")
