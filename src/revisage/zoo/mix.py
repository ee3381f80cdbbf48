"""Two models of one architecture made one: every weight is w first + (1 - w) second, set in the file's bytes.
Wang et al., *Deep Network Interpolation for Continuous Imagery Effect Transition*, CVPR 2019, eq. 1."""

import io
from dataclasses import dataclass

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
        """The mixed model as the bytes of an ONNX file; its metadata are the first one's. Raises UsageError
        (the two differ in more than the values of their weights), ModelMissingError and ModelCorruptError."""
        try:
            first, second = (model.path.read_bytes() for model in (self.first, self.second))
            (ours, frame), (theirs, its_frame) = _weights(first), _weights(second)
        except OSError as error:
            raise ModelMissingError(f"cannot open {error.filename}: {error.strerror or error}") from None
        except protobuf.MalformedError as error:
            either = f"{self.first.path} or {self.second.path}"
            raise ModelCorruptError(f"{either} is not a usable ONNX file: {error}") from None
        if frame != its_frame:
            raise UsageError(
                f"{self.first.spec.name} and {self.second.spec.name} cannot be mixed: they have different "
                "layers; both must be of one architecture, made into ONNX by one version of revisage"
            )
        mixed = bytearray(first)
        for (place, kind), (other, _) in zip(ours, theirs, strict=True):
            a, b = (np.frombuffer(part, kind).astype(float) for part in (first[place], second[other]))
            # Equal numbers stay as they are, whatever rounding does to their sum.
            values = np.where(a == b, a, self.weight * a + (1 - self.weight) * b)
            mixed[place] = values.astype(kind).tobytes()
        return bytes(mixed)


def mixture(task: str, text: str) -> Mixture | None:
    """What `NAME:WEIGHT` (WEIGHT of NAME, the rest its twin in the catalogue) or `NAME+OTHER:WEIGHT` means;
    None when `text` is a model's name or path.

    Raises UsageError (the weight is no number from 0 to 1, or NAME has no twin), and what `resolve` does.
    """
    names, colon, number = text.rpartition(":")
    if not colon or text.lower().endswith(".onnx"):
        return None
    if not all(names.split("+")):
        raise UsageError(f"{text} lacks a model's name: give NAME:0.3, or NAME+OTHER:0.3")
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


def _weights(model: bytes) -> tuple[list[tuple[slice, np.dtype]], list[bytes]]:
    """Where a model's floating-point weights lie, typed, and the rest of its graph. Raises MalformedError."""
    walk = protobuf.Walk(io.BytesIO(model))
    graph = next((field for field in walk.whole() if field.number == protobuf.MODEL_GRAPH), None)
    if graph is None:
        raise protobuf.MalformedError("it holds no network")
    weights, rest, at = [], [], graph.start
    for tensor in walk.inside(graph):
        if tensor.number != protobuf.GRAPH_INITIALIZER:
            continue
        parts = {part.number: part for part in walk.inside(tensor)}
        stated, numbers = parts.get(protobuf.TENSOR_DATA_TYPE), parts.get(protobuf.TENSOR_RAW_DATA)
        kind = None if stated is None else _FLOATS.get(stated.value)
        if kind is not None and numbers is not None:
            if (numbers.end - numbers.start) % kind.itemsize:
                raise protobuf.MalformedError("one of its tensors is cut short")
            weights.append((slice(numbers.start, numbers.end), kind))
            rest.append(model[at : numbers.start])
            at = numbers.end
    return weights, [*rest, model[at : graph.end]]
