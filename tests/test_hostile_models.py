"""Model files that point outside themselves: refused wherever ONNX lets a tensor lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto
from onnx_files import CONTRACT, field, model_bytes

from revisage.errors import ModelCorruptError, TrainingError
from revisage.zoo import import_model, read_contract, resolve
from revisage.zoo.protobuf import MESSAGES

MEMORY = "*/_ORT_MEM_ADDR_/*"


def tensor(location: str) -> TensorProto:
    found = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    found.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "140737488351232", "length": "16"}.items():
        found.external_data.add(key=key, value=value)
    return found


def node(**attribute: object) -> NodeProto:
    return NodeProto(op_type="Constant", output=["y"], attribute=[AttributeProto(name="value", **attribute)])


def graph_of(inner: NodeProto) -> GraphProto:
    return GraphProto(name="inner", node=[inner])


def sparse(location: str, part: str) -> SparseTensorProto:
    return SparseTensorProto(dims=[4], **{part: tensor(location)})


def in_function(model: ModelProto, location: str) -> None:
    model.functions.add(name="f", domain="d").node.append(node(t=tensor(location)))


def in_function_default(model: ModelProto, location: str) -> None:
    model.functions.add(name="f", domain="d").attribute_proto.add(name="a").t.CopyFrom(tensor(location))


POSITIONS: dict[str, Callable[[ModelProto, str], object]] = {
    "initializer": lambda m, at: m.graph.initializer.append(tensor(at)),
    "sparse values": lambda m, at: m.graph.sparse_initializer.append(sparse(at, "values")),
    "sparse indices": lambda m, at: m.graph.sparse_initializer.append(sparse(at, "indices")),
    "constant": lambda m, at: m.graph.node.append(node(t=tensor(at))),
    "list of tensors": lambda m, at: m.graph.node.append(node(tensors=[tensor(at)])),
    "sparse attribute": lambda m, at: m.graph.node.append(node(sparse_tensor=sparse(at, "values"))),
    "sparse attributes": lambda m, at: m.graph.node.append(node(sparse_tensors=[sparse(at, "indices")])),
    "subgraph": lambda m, at: m.graph.node.append(node(g=graph_of(node(t=tensor(at))))),
    "subgraphs": lambda m, at: m.graph.node.append(node(graphs=[graph_of(node(t=tensor(at)))])),
    "training start": lambda m, at: m.training_info.add().initialization.initializer.append(tensor(at)),
    "training step": lambda m, at: m.training_info.add().algorithm.node.append(node(t=tensor(at))),
    "function": in_function,
    "function default": in_function_default,
}


@pytest.mark.parametrize("location", [MEMORY, "secrets.bin", "/etc/passwd", ""])
@pytest.mark.parametrize("position", POSITIONS)
def test_external_data_is_refused_in_every_position(tmp_path: Path, position: str, location: str) -> None:
    model = onnx.load_model_from_string(model_bytes())
    POSITIONS[position](model, location)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    for open_it in (read_contract, import_model, lambda p: resolve(CONTRACT["revisage.task"], str(p))):
        with pytest.raises(ModelCorruptError, match="single file"):
            open_it(path)


def test_the_table_has_every_place_in_which_onnx_keeps_a_tensor() -> None:
    names = {
        "ModelProto": "model",
        "GraphProto": "graph",
        "NodeProto": "node",
        "AttributeProto": "attribute",
        "SparseTensorProto": "sparse",
        "TrainingInfoProto": "training",
        "FunctionProto": "function",
        "TensorProto": "tensor",
    }
    for name, ours in names.items():
        descriptor = getattr(onnx, name).DESCRIPTOR
        found = {
            part.number: names[part.message_type.name]
            for part in descriptor.fields
            if part.message_type is not None and part.message_type.name in names
        }
        assert MESSAGES[ours] == found, name


@pytest.mark.parametrize(
    "weight",
    [
        field(14, 1),  # the place alone
        field(14, 1 << 32 | 1),  # of which protobuf reads the lower half
        b"\xf0\x80\x80\x80\x20\x01",  # field 14 under a number with bits that protobuf drops
        field(13, b""),
    ],
)
def test_a_place_written_oddly_is_refused_too(tmp_path: Path, weight: bytes) -> None:
    constant = field(1, field(5, field(5, weight)))
    path = tmp_path / "m.onnx"
    path.write_bytes(model_bytes() + field(7, constant))
    with pytest.raises(ModelCorruptError):
        read_contract(path)


def test_a_model_of_endless_depth_is_refused(tmp_path: Path) -> None:
    graph = field(1, b"")
    for _ in range(500):
        graph = field(1, field(5, field(6, graph)))
    path = tmp_path / "m.onnx"
    path.write_bytes(model_bytes() + field(7, graph))
    with pytest.raises(ModelCorruptError, match="too deep"):
        read_contract(path)


def test_training_takes_no_weights_from_another_file(tmp_path: Path) -> None:
    from torch import nn

    from revisage.lab.train.init import start_from

    model = onnx.load_model_from_string(model_bytes())
    model.graph.initializer.append(tensor("secrets.bin"))
    (tmp_path / "secrets.bin").write_bytes(bytes(1 << 20))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(TrainingError, match="single file"):
        start_from(nn.Linear(1, 1), path)
