"""Protobuf messages (Protocol Buffers encoding guide): walking their fields in a file, without loading what
is not asked for, and writing them. Every step of a walk is bounded: a hostile file ends in an error."""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

VARINT, I64, LEN, I32 = 0, 1, 2, 5

# Field numbers of onnx.proto3: ModelProto, GraphProto, TensorProto, StringStringEntryProto.
MODEL_GRAPH, MODEL_METADATA = 7, 14
GRAPH_NODE, GRAPH_INITIALIZER = 1, 5
TENSOR_DIMS, TENSOR_DATA_TYPE, TENSOR_NAME, TENSOR_RAW_DATA = 1, 2, 8, 9
TENSOR_EXTERNAL_DATA, TENSOR_DATA_LOCATION = 13, 14
ENTRY_KEY, ENTRY_VALUE = 1, 2

# Where onnx.proto3 lets a message hold another one in which a tensor can lie, by field number.
MESSAGES: dict[str, dict[int, str]] = {
    "model": {MODEL_GRAPH: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {GRAPH_NODE: "node", GRAPH_INITIALIZER: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}

_MAX_FIELDS = 1_000_000
_MAX_DEPTH = 64  # protobuf's own limit is 100


class MalformedError(Exception):
    """The bytes are no such message; the text says in which way."""


class Field(NamedTuple):
    """One field: its payload is bytes [start, end) of the file, or `value` if it is a varint."""

    number: int
    wire: int
    start: int
    end: int
    value: int


class Walk:
    """A walk over one open file that gives up after a million fields in all."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _MAX_FIELDS

    def whole(self) -> Iterator[Field]:
        """The fields of the message that the file is."""
        return self.fields(0, self._file.seek(0, 2))

    def inside(self, message: Field) -> Iterator[Field]:
        """The fields of a message that is a field."""
        return self.fields(message.start, message.end)

    def payload(self, field: Field) -> bytes:
        """The bytes of a field; check its length first."""
        self._file.seek(field.start)
        return self._file.read(field.end - field.start)

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message in bytes [start, end); the file's position may move in between."""
        position = start
        while position != end:
            self._left -= 1
            if self._left < 0:
                raise MalformedError(f"it has more than {_MAX_FIELDS} parts")
            tag, begin = self._varint(position, end)
            if tag >> 32:  # protobuf would read the lower half, and so another field
                raise MalformedError("it is damaged or of another format")
            number, wire = tag >> 3, tag & 7
            value = 0
            if number == 0 or wire not in (VARINT, I64, LEN, I32):
                raise MalformedError("it is damaged or of another format")
            if wire == VARINT:
                value, position = self._varint(begin, end)
            elif wire == LEN:
                length, begin = self._varint(begin, end)
                position = begin + length
            else:
                position = begin + (8 if wire == I64 else 4)
            if position > end:
                raise MalformedError("it is cut short")
            yield Field(number, wire, begin, position, value)

    def tensors(self, kind: str, message: Field, depth: int = 0) -> Iterator[Field]:
        """Every tensor inside a message of `MESSAGES`, itself included, wherever the format lets one lie."""
        if kind == "tensor":
            yield message
            return
        if depth > _MAX_DEPTH:
            raise MalformedError("its parts lie too deep in one another")
        inner = MESSAGES[kind]
        for field in self.inside(message):
            if field.wire == LEN and field.number in inner:
                yield from self.tensors(inner[field.number], field, depth + 1)

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """(value, position after it)."""
        self._file.seek(position)
        data = self._file.read(min(10, end - position))
        value = 0
        for i, byte in enumerate(data):
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                return value, position + i + 1
        raise MalformedError("it is cut short" if len(data) < 10 else "it is damaged or of another format")


def varint(value: int) -> bytes:
    """A whole number of at least 0, seven bits a byte."""
    head = bytearray()
    while value > 0x7F:
        head.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*head, value))


def number(field: int, value: int) -> bytes:
    """A field that is a whole number of at least 0."""
    return varint(field << 3 | VARINT) + varint(value)


def head(field: int, length: int) -> bytes:
    """What stands before the payload of a field of bytes."""
    return varint(field << 3 | LEN) + varint(length)


def message(field: int, *parts: bytes) -> bytes:
    """A field that is a text, bytes or a message, of which the parts are the fields."""
    payload = b"".join(parts)
    return head(field, len(payload)) + payload
