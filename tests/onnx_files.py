"""ONNX files for tests: the few protobuf fields that matter, written by hand, and small real networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

CONTRACT = {
    "revisage.task": "scene",
    "revisage.name": "mine",
    "revisage.scale": "2",
    "revisage.version": "3",
    "revisage.licence": "CC0-1.0",
}


def varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def field(number: int, payload: bytes | int) -> bytes:
    if isinstance(payload, int):
        return varint(number << 3) + varint(payload)
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def entry(key: str, value: str) -> bytes:
    return field(14, field(1, key.encode()) + field(2, value.encode()))


def model_bytes(metadata: dict[str, str] = CONTRACT, *, external: bool = False, nodes: int = 1) -> bytes:
    """A ModelProto with a graph of empty nodes and one weight."""
    weight = field(1, 4) + field(8, b"w") + field(9, bytes(16))
    if external:
        weight += field(13, b"") + field(14, 1)
    graph = b"".join(field(1, b"") for _ in range(nodes)) + field(5, weight)
    entries = b"".join(entry(key, value) for key, value in metadata.items())
    return field(1, 10) + field(7, graph) + field(8, field(2, 18)) + entries


def write_model(path: Path, metadata: dict[str, str] = CONTRACT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model_bytes(metadata))
    return path


def conv_network(
    path: Path, *, scale: int = 2, size: int | None = None, gain: float = 1.0, outputs: int = 1, seed: int = 0
) -> Path:
    """Two 3x3 convolutions with a leaky ReLU between them and a pixel shuffle at the end.

    Close to nearest-neighbour upscaling for `gain` 1, so that pictures come out as pictures; a huge gain
    overflows. Batch, and size if not given, are free.
    """
    from onnx import TensorProto, checker, helper, numpy_helper, save

    rng = np.random.default_rng(seed)
    width, channels = 16, 3 * scale**2
    first = rng.normal(0, 0.02, (width, 3, 3, 3))
    last = rng.normal(0, 0.02, (channels, width, 3, 3))
    for c in range(3):
        first[c, c, 1, 1] += gain
        last[c * scale**2 : (c + 1) * scale**2, c, 1, 1] += gain
    weights = {"first": first, "last": last, "slope": np.full((1, 1, 1), 0.25)}
    names = [f"output{i}" if i else "output" for i in range(outputs)]
    nodes = [
        helper.make_node("Conv", ["input", "first"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("PRelu", ["a", "slope"], ["b"]),
        helper.make_node("Conv", ["b", "last"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("DepthToSpace", ["c"], [names[0]], blocksize=scale, mode="CRD"),
        *(helper.make_node("Neg", [names[0]], [name]) for name in names[1:]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, size or "h", size or "w"])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3, "H", "W"]) for name in names],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    save(model, path)
    return path
