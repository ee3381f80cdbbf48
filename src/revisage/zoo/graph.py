"""Writing an ONNX model layer by layer, from the tensors of a checkpoint: a layer takes its weights by their
names there and checks their shapes. Numbers of fields: onnx.proto3; operators: ONNX, opset 18."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from revisage.zoo import protobuf
from revisage.zoo.protobuf import message, number

Attribute = float | int | str | list[int]
Attributes = Mapping[str, Attribute]
Shape = tuple[int | None, ...]

_IR_VERSION, _OPSET = 10, 18
_FLOAT = 1  # TensorProto.DataType
_TYPES = {np.dtype("<f4"): _FLOAT, np.dtype("<i8"): 7, np.dtype("<f2"): 10}
_BILINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
_NEAREST = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
_FP16_MAX = float(np.finfo(np.float16).max)


class MisfitError(Exception):
    """The tensors are not those of the network; the text names the key or the shape."""


class Graph:
    """A network in the making; `title` is what messages call it."""

    def __init__(self, state: Mapping[str, np.ndarray], title: str) -> None:
        self.title = title
        self._state = state
        self._used: set[str] = set()
        self._weights: dict[str, np.ndarray] = {}
        self._nodes: list[bytes] = []

    def input(self) -> Value:
        """The picture."""
        return Value(self, "input", 3)

    def count(self, key: str) -> int:
        """How many of `key.format(0)`, `key.format(1)`, ... the checkpoint has."""
        count = 0
        while key.format(count) in self._state:
            count += 1
        return count

    def weight(
        self, key: str, wanted: Shape, stored: str = "", axes: tuple[int, ...] | None = None
    ) -> tuple[str, tuple[int, ...]]:
        """A tensor of the checkpoint, stored with `axes`, if given: the name that nodes take it by (`stored`,
        else its own), and its shape. Raises MisfitError when it is not there or has another shape (None: any
        length)."""
        if key not in self._state:
            raise MisfitError(f"it has no tensor {key!r}")
        values = self._state[key]
        lengths = zip(wanted, values.shape, strict=False)
        if values.ndim != len(wanted) or any(want not in (None, have) for want, have in lengths):
            text = str(wanted).replace("None", "any")
            raise MisfitError(f"{key!r} has shape {values.shape}, {self.title} wants {text}")
        self._used.add(key)
        return self.store(stored or key, values if axes is None else values.reshape(axes)), values.shape

    def finish(self, unused: tuple[str, ...]) -> None:
        """Raise MisfitError when a tensor has no place, unless its name begins with one of `unused`."""
        for key, values in self._state.items():
            if key not in self._used and not key.startswith(unused):
                raise MisfitError(f"{self.title} has no place for {key!r}, shape {values.shape}")

    def constant(self, value: float | list[int] | list[float]) -> str:
        """Numbers that are none of the checkpoint's."""
        values = np.array(value)
        return self.store(str(value), values.astype(np.int64 if values.dtype.kind == "i" else np.float32))

    def store(self, name: str, values: np.ndarray) -> str:
        """Keep an array under a name, which is returned."""
        self._weights[name] = values
        return name

    def append(self, kind: str, inputs: Sequence[str], outputs: int, attributes: Attributes) -> list[str]:
        """Add a node; the names of its outputs."""
        name = f"{kind}_{len(self._nodes)}"
        names = [f"{name}_{i}" for i in range(outputs)]
        self._nodes.append(_node(kind, inputs, names, attributes))
        return names

    def onnx(self, output: Value, size: int | None, metadata: Mapping[str, str], *, half: bool) -> bytes:
        """The model as a file's bytes, for pictures (N, 3, size, size), or of any size. With `half`, weights
        of two and more axes are stored in 16 bits and cast when the file is opened; some operators want
        vectors as constants."""
        nodes: list[bytes] = []
        tensors: list[bytes | memoryview] = []
        for name, values in self._weights.items():
            if half and values.ndim > 1 and np.abs(values).max() <= _FP16_MAX:
                nodes.append(_node("Cast", [f"{name}.fp16"], [name], {"to": _FLOAT}))
                tensors += _tensor(f"{name}.fp16", values.astype("<f2"))
            else:
                tensors += _tensor(name, values)
        graph = [
            *nodes,
            *self._nodes,
            _node("Identity", [output.name], ["output"], {}),
            message(2, b"revisage"),
            *tensors,
            message(11, _picture("input", ["batch", 3, size or "height", size or "width"])),
            message(12, _picture("output", ["batch", 3, size or "output_2", size or "output_3"])),
        ]
        length = sum(memoryview(part).nbytes for part in graph)
        head = number(1, _IR_VERSION) + message(8, message(1), number(2, _OPSET))
        entries = (
            message(protobuf.MODEL_METADATA, message(1, key.encode()), message(2, value.encode()))
            for key, value in metadata.items()
        )
        return b"".join([head, protobuf.head(protobuf.MODEL_GRAPH, length), *graph, *entries])


@dataclass(frozen=True)
class Value:
    """What a layer gives: (N, channels, ...). Its methods are layers; sums and products are, too. `key` names
    a layer's weights in the checkpoint. They are stored by the same name, or by `stored`."""

    graph: Graph
    name: str
    channels: int

    def __add__(self, other: Value | str | float) -> Value:
        return self.node("Add", other)

    def __mul__(self, other: Value | str | float) -> Value:
        return self.node("Mul", other)

    def node(
        self,
        kind: str,
        *others: Value | str | float,
        channels: int | None = None,
        attributes: Attributes | None = None,
    ) -> Value:
        """An operator of ONNX on this, other layers, weights by name, and numbers."""
        names = (x.name if isinstance(x, Value) else x for x in (self, *others))
        taken = [self.graph.constant(x) if isinstance(x, float) else x for x in names]
        (name,) = self.graph.append(kind, taken, 1, attributes or {})
        return Value(self.graph, name, channels or self.channels)

    def conv(
        self, key: str, out: int | None = None, *, side: int = 3, bias: bool = True, stored: str = ""
    ) -> Value:
        """A convolution that keeps height and width."""
        stored = stored or key
        shape = (out, self.channels, side, side)
        name, (out, *_) = self.graph.weight(f"{key}.weight", shape, f"{stored}.weight")
        biases = [self.graph.weight(f"{key}.bias", (out,), f"{stored}.bias")[0]] if bias else []
        return self.node("Conv", name, *biases, channels=out, attributes={"pads": [side // 2] * 4})

    def linear(self, key: str, out: int | None = None, *, stored: str = "") -> Value:
        stored = stored or key
        name, (out, _) = self.graph.weight(f"{key}.weight", (out, self.channels), f"{stored}.weight")
        bias, _ = self.graph.weight(f"{key}.bias", (out,), f"{stored}.bias")
        return self.node("Gemm", name, bias, channels=out, attributes={"transB": 1})

    def prelu(self, key: str) -> Value:
        name, _ = self.graph.weight(f"{key}.weight", (self.channels,), axes=(-1, 1, 1))
        return self.node("PRelu", name)

    def leaky_relu(self) -> Value:
        return self.node("LeakyRelu", attributes={"alpha": 0.2})

    def enlarge(self, factor: int, *, smooth: bool = False) -> Value:
        """Nearest neighbour, or bilinear with half-pixel centres."""
        scales = self.graph.constant([1.0, 1.0, float(factor), float(factor)])
        return self.node("Resize", "", scales, attributes=_BILINEAR if smooth else _NEAREST)

    def shuffle(self, factor: int) -> Value:
        """Pixel-shuffle: channels become pixels."""
        attributes: dict[str, Attribute] = {"blocksize": factor, "mode": "CRD"}
        return self.node("DepthToSpace", channels=self.channels // factor**2, attributes=attributes)

    def unshuffle(self, factor: int) -> Value:
        """The reverse, as a convolution that copies: SpaceToDepth has the channels in another order."""
        out, size = self.channels * factor**2, [factor, factor]
        copy = self.graph.store("unshuffle", np.eye(out, dtype=np.float32).reshape(out, -1, *size))
        return self.node("Conv", copy, channels=out, attributes={"strides": size})

    def concat(self, *others: Value) -> Value:
        channels = sum(x.channels for x in (self, *others))
        return self.node("Concat", *others, channels=channels, attributes={"axis": 1})

    def split(self, count: int) -> list[Value]:
        """The channels in so many equal parts; MisfitError where that leaves a rest."""
        channels, rest = divmod(self.channels, count)
        if rest:
            ours = f"{self.channels} channels"
            raise MisfitError(f"{self.graph.title} divides by {count}, which {ours} are not")
        names = self.graph.append("Split", [self.name], count, {"axis": 1, "num_outputs": count})
        return [Value(self.graph, name, channels) for name in names]


def _node(kind: str, inputs: Sequence[str], outputs: list[str], attributes: Attributes) -> bytes:
    return message(
        protobuf.GRAPH_NODE,
        *(message(1, name.encode()) for name in inputs),
        *(message(2, name.encode()) for name in outputs),
        message(3, outputs[0].encode()),
        message(4, kind.encode()),
        *(message(5, message(1, key.encode()), *_attribute(value)) for key, value in attributes.items()),
    )


def _attribute(value: Attribute) -> tuple[bytes, ...]:
    """The value of an attribute, and which type it has."""
    if isinstance(value, float):
        return b"\x15" + struct.pack("<f", value), number(20, 1)
    if isinstance(value, int):
        return number(3, value), number(20, 2)
    if isinstance(value, str):
        return message(4, value.encode()), number(20, 3)
    return *(number(8, n) for n in value), number(20, 7)


def _tensor(name: str, values: np.ndarray) -> list[bytes | memoryview]:
    """An initialiser; the numbers are not copied."""
    head = b"".join(
        (
            *(number(protobuf.TENSOR_DIMS, n) for n in values.shape),
            number(protobuf.TENSOR_DATA_TYPE, _TYPES[values.dtype]),
            message(protobuf.TENSOR_NAME, name.encode()),
            protobuf.head(protobuf.TENSOR_RAW_DATA, values.nbytes),
        )
    )
    whole = protobuf.head(protobuf.GRAPH_INITIALIZER, len(head) + values.nbytes)
    return [whole, head, values.reshape(-1).view(np.uint8).data]


def _picture(name: str, axes: Sequence[int | str]) -> bytes:
    """A ValueInfoProto: a tensor of float32; axes without a number are named."""
    dims = [message(1, number(1, n) if isinstance(n, int) else message(2, n.encode())) for n in axes]
    return message(1, name.encode()) + message(2, message(1, number(1, _FLOAT), message(2, *dims)))
