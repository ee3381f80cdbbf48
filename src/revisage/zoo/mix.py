"""Two models of one architecture made one: every weight is w first + (1 - w) second.

Source: Wang et al., *Deep Network Interpolation for Continuous Imagery Effect Transition*, CVPR 2019, eq. 1.
Both files are walked side by side and their weights are mixed in place, so this needs no ONNX library.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from revisage.errors import ModelCorruptError, ModelMissingError, UsageError
from revisage.zoo import protobuf
from revisage.zoo.catalogue import CATALOGUE
from revisage.zoo.spec import Model
from revisage.zoo.store import resolve

_FLOATS: dict[int, np.dtype] = {1: np.dtype("<f4"), 10: np.dtype("<f2")}  # TensorProto.DataType


@dataclass(frozen=True)
class Mixture:
    """Two models and the weight of the first, from 0 to 1."""

    first: Model
    second: Model
    weight: float

    def __str__(self) -> str:
        return f"{self.weight:g} {self.first} + {1 - self.weight:g} {self.second}"

    def read(self) -> bytes:
        """The mixed model as the bytes of an ONNX file; its metadata are the first one's.

        Raises:
            UsageError: the two differ in more than the values of their weights.
            ModelMissingError, ModelCorruptError: a file cannot be read.
        """
        first, second = (_read(model.path) for model in (self.first, self.second))
        mixed = bytearray(first)
        try:
            for ours, theirs, kind in _weights(first, second):
                a, b = (
                    np.frombuffer(data[field.start : field.end], kind).astype(np.float64)
                    for data, field in ((first, ours), (second, theirs))
                )
                # Equal numbers stay as they are, whatever rounding does to their sum.
                values = np.where(a == b, a, self.weight * a + (1 - self.weight) * b)
                mixed[ours.start : ours.end] = values.astype(kind).tobytes()
        except _UnlikeError as error:
            raise UsageError(
                f"{self.first.spec.name} and {self.second.spec.name} cannot be mixed: {error}; both must be "
                "of one architecture, made into ONNX by one version of revisage"
            ) from None
        except protobuf.MalformedError as error:
            raise ModelCorruptError(
                f"{self.first.path} or {self.second.path} is not a usable ONNX file: {error}"
            ) from None
        return bytes(mixed)


def mixture(task: str, text: str) -> Mixture | None:
    """What `NAME:WEIGHT` or `NAME+OTHER:WEIGHT` means; None when `text` is a model's name or path.

    `NAME:0.3` is three tenths NAME and seven tenths its twin in the catalogue.

    Raises:
        UsageError: the weight is no number from 0 to 1, or NAME has no twin.
        UnknownModelError, ModelMissingError, ModelCorruptError: as `resolve`, for either model.
    """
    names, colon, number = text.rpartition(":")
    if not colon or text.lower().endswith(".onnx"):
        return None
    try:
        weight = float(number)
    except ValueError:
        weight = -1.0
    if not 0 <= weight <= 1:
        raise UsageError(f"{text}: give the weight of {names} as a number from 0 to 1, such as {names}:0.3")
    name, plus, other = names.partition("+")
    if not plus:
        spec = CATALOGUE.get(name)
        if spec is None or spec.twin is None:
            raise UsageError(f"{name} has no twin to be mixed with; name one: {name}+OTHER:{weight:g}")
        other = spec.twin
    return Mixture(resolve(task, name), resolve(task, other), weight)


class _UnlikeError(Exception):
    """The two files are not one network; the text says where they part."""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelMissingError(f"cannot open {path}: {error.strerror or error}") from None


def _weights(first: bytes, second: bytes) -> Iterator[tuple[protobuf.Field, protobuf.Field, np.dtype]]:
    """The floating-point weights of two models, pairwise: where the numbers lie in each, and their type.

    Raises _UnlikeError when anything else in the two graphs differs, MalformedError.
    """
    a, b = protobuf.Walk(io.BytesIO(first)), protobuf.Walk(io.BytesIO(second))
    for ours, theirs in zip_longest(_parts(a, _graph(a)), _parts(b, _graph(b))):
        if ours is None or theirs is None or ours.number != theirs.number:
            raise _UnlikeError("they have different layers")
        if ours.number != protobuf.GRAPH_INITIALIZER:
            if a.payload(ours) != b.payload(theirs):
                raise _UnlikeError("they have different layers")
            continue
        kind, name, numbers = _tensor(a, ours)
        its_kind, its_name, its_numbers = _tensor(b, theirs)
        length = numbers.end - numbers.start
        if (kind, name, length) != (its_kind, its_name, its_numbers.end - its_numbers.start):
            raise _UnlikeError(f"{name} is not the same kind of tensor in both")
        if kind in _FLOATS:
            if length % _FLOATS[kind].itemsize:
                raise protobuf.MalformedError(f"{name} is cut short")
            yield numbers, its_numbers, _FLOATS[kind]
        elif a.payload(numbers) != b.payload(its_numbers):
            raise _UnlikeError(f"{name} differs")


def _graph(walk: protobuf.Walk) -> protobuf.Field:
    graph = next((field for field in walk.whole() if field.number == protobuf.MODEL_GRAPH), None)
    if graph is None:
        raise protobuf.MalformedError("it holds no network")
    return graph


def _parts(walk: protobuf.Walk, message: protobuf.Field) -> Iterator[protobuf.Field]:
    return walk.fields(message.start, message.end)


def _tensor(walk: protobuf.Walk, tensor: protobuf.Field) -> tuple[int, str, protobuf.Field]:
    """(data type, name and shape, where the numbers lie) of an initialiser."""
    kind, name, shape, numbers = 0, "", [], None
    for part in _parts(walk, tensor):
        if part.number == protobuf.TENSOR_DIMS:
            shape.append(part.value if part.wire == protobuf.VARINT else walk.payload(part).hex())
        elif part.number == protobuf.TENSOR_DATA_TYPE:
            kind = part.value
        elif part.number == protobuf.TENSOR_NAME:
            name = walk.payload(part).decode(errors="replace")
        elif part.number == protobuf.TENSOR_RAW_DATA:
            numbers = part
    label = f"{name} {tuple(shape)}"
    if numbers is None:
        raise _UnlikeError(f"{label} is not stored as raw data")
    return kind, label, numbers
