"""Network -> one ONNX file that carries its contract, checked against the network it came from.

Weights are stored as float16 and cast to float32 when the file is opened: the runtimes fold the casts, so
that only the file, not the arithmetic, is in half precision. Inputs and outputs stay float32.
"""

import contextlib
import copy
import io
import logging
import uuid
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnxscript.optimizer
import torch
from torch import Tensor, nn

from revisage.errors import ModelError, UsageError, one_line
from revisage.files import publish
from revisage.runtime.onnxruntime import OnnxRuntimeSession
from revisage.runtime.openvino import OpenVinoSession
from revisage.runtime.selfcheck import probe
from revisage.zoo import Contract

OPSET = 18
TOLERANCE = 1e-3
HALF_TOLERANCE = 2 / 255
Axis = Literal["batch", "height", "width"]
_AXES: dict[Axis, int] = {"batch": 0, "height": 2, "width": 3}
_BATCH = 2  # torch takes an axis of length 1 for a constant
_FP16_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Parity:
    """How far the written file is from the network in PyTorch fp32, by both runtimes in fp32."""

    max_abs: float
    """The largest difference, over both runtimes, all outputs and all test batches."""
    magnitude: float
    """The largest number in the network's outputs."""
    tolerance: float
    """What `max_abs` was allowed to be, for outputs no larger than 1."""

    @property
    def passed(self) -> bool:
        """Whether `max_abs` is within the tolerance, which grows with outputs larger than 1."""
        return self.max_abs <= self.tolerance * max(1.0, self.magnitude)  # False for NaN


def export(
    network: nn.Module,
    path: Path,
    *,
    contract: Contract,
    example_size: tuple[int, int],
    half: bool = True,
    dynamic: Collection[Axis] | None = None,
    output_names: Sequence[str] = ("output",),
    input_max: float = 1.0,
) -> Parity:
    """Write a network as ONNX with its contract in the metadata, whole or not at all; returns the parity.

    Args:
        network: takes one (N, 3, H, W) float32 tensor, or (N, 4, H, W) where the contract has a control, and
            gives a tensor or a tuple of them; pictures are RGB in [0, 1] in and out. It is not changed.
        path: the `.onnx` file.
        contract: name, task, size, scale, version and licence.
        example_size: (height, width) to trace with. With free sizes, multiples of what the network needs.
        half: store weights of two and more axes as float16. The check then allows 2/255, else 0.001.
        dynamic: which axes stay free, of "batch", "height" and "width"; a fixed batch is 1. If not given: the
            batch when the contract has a size, else all. A file for OpenCV's DNN needs exactly ("height",
            "width"): OpenCV 4 cannot read the arithmetic that a free batch puts into reshapes.
        output_names: one per output, in the network's order.
        input_max: inputs lie in [0, input_max]; only the check uses it.

    Raises UsageError (the arguments do not fit each other or the network), ModelError (the network cannot be
    exported, or the file differs by more than the tolerance).
    """
    if dynamic is None:
        dynamic = ("batch",) if contract.size is not None else tuple(_AXES)
    if path.suffix != ".onnx":
        raise UsageError(f"the file must end in .onnx, got {path.name}")
    if contract.size is not None and (
        example_size != (contract.size,) * 2 or not {"height", "width"}.isdisjoint(dynamic)
    ):
        raise UsageError(f"the contract's size is {contract.size}: export that size and no other")
    tolerance = HALF_TOLERANCE if half else TOLERANCE
    network = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)

    channels = 3 if contract.control == "none" else 4
    model = _trace(network, (channels, *example_size), dynamic, output_names)
    _clean(model)
    _name_axes(model)
    _name_reshaped(model, network)
    if half:
        _halve(model)
    onnx.helper.set_model_props(model, contract.to_metadata())
    onnx.checker.check_model(model)

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.onnx")
    try:
        temporary.write_bytes(model.SerializeToString())
        del model
        batches = _batches(channels, example_size, dynamic, input_max)
        parity = _measure(network, temporary, batches, output_names, tolerance)
        if not parity.passed:
            raise ModelError(
                f"{path.name} differs from the network by {parity.max_abs:.2g}, allowed are {tolerance:.2g}"
                f" (outputs up to {parity.magnitude:.2g}); nothing was written"
            )
        publish(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return parity


def _trace(
    network: nn.Module, picture: tuple[int, int, int], dynamic: Collection[Axis], output_names: Sequence[str]
) -> onnx.ModelProto:
    example = torch.rand(_BATCH if "batch" in dynamic else 1, *picture)
    outputs = _outputs(network, example)
    if len(outputs) != len(output_names):
        raise UsageError(f"the network has {len(outputs)} outputs, {len(output_names)} names were given")
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["input"],
                output_names=list(output_names),
                # AUTO finds by itself that a size must be a multiple of some number.
                dynamic_shapes=({_AXES[name]: torch.export.Dim.AUTO for name in dynamic},),
                verbose=False,
                optimize=False,
            )
            assert program is not None
            graph = program.model.graph
            # The optimiser multiplies batch norms into convolutions, but not what may come from outside. A
            # training goes on from the file, and runtimes do the same when they open it.
            graph.inputs.extend(v for k, v in graph.initializers.items() if k.endswith("running_var"))
            onnxscript.optimizer.optimize(program.model)
            del graph.inputs[1:]
    except Exception as error:
        cause = error.__cause__ or error  # the exporter wraps the reason in advice about reporting it
        raise ModelError(f"network cannot be exported: {type(cause).__name__}: {one_line(cause)}") from error
    model = program.model_proto
    shape = model.graph.input[0].type.tensor_type.shape.dim
    fixed = " and ".join(name for name in dynamic if not shape[_AXES[name]].dim_param)
    if fixed:
        raise ModelError(f"the network works for one {fixed} only: it uses a size as a constant")
    return model


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's progress notes and the warnings about its own internals are nobody's concern."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _clean(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about the machine and the source: stack traces, file paths."""
    graph = model.graph
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
        part.doc_string = ""


def _name_axes(model: onnx.ModelProto) -> None:
    """Give free axes speaking names in place of the tracer's symbols."""
    symbols: dict[str, str] = {}
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for name, axis in _AXES.items():
        if dims[axis].dim_param:
            symbols[dims[axis].dim_param] = name
            dims[axis].dim_param = name
    for output in model.graph.output:
        for axis, dim in enumerate(output.type.tensor_type.shape.dim):
            if dim.dim_param:
                dim.dim_param = symbols.get(dim.dim_param, f"{output.name}_{axis}")


def _name_reshaped(model: onnx.ModelProto, network: nn.Module) -> None:
    """Give parameters that the tracer reshaped (slopes of PReLU) their names back, for `lab.train.init`."""
    state = {name: value.numpy().ravel() for name, value in network.state_dict().items() if value.ndim}
    for tensor in model.graph.initializer:
        state.pop(tensor.name, None)
    for tensor in model.graph.initializer:
        if not tensor.name.startswith("val_") or len(tensor.dims) < 2:
            continue
        values = onnx.numpy_helper.to_array(tensor).ravel()
        name = next((name for name, value in state.items() if np.array_equal(value, values)), None)
        if name is None:
            continue
        del state[name]
        for node in model.graph.node:
            node.input[:] = [name if used == tensor.name else used for used in node.input]
        tensor.name = name


def _halve(model: onnx.ModelProto) -> None:
    """Store float32 initialisers of two and more axes as float16, each with a Cast back to float32. Vectors
    (biases, slopes, resize factors) are small, and some operators want them as constants."""
    graph, floats, casts = model.graph, onnx.TensorProto.FLOAT, []
    for tensor in graph.initializer:
        if tensor.data_type != floats or len(tensor.dims) < 2:
            continue
        values = onnx.numpy_helper.to_array(tensor)
        if not np.all(np.abs(values) <= _FP16_MAX):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.fp16"))
        casts.append(onnx.helper.make_node("Cast", [tensor.name], [name], name=f"{name}.cast", to=floats))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def _batches(
    channels: int, example_size: tuple[int, int], dynamic: Collection[Axis], input_max: float
) -> list[np.ndarray]:
    """Pictures to compare on: one; where axes are free, also three and other sizes."""
    height, width = example_size
    batches = [probe(height, width, channels)]
    if "batch" in dynamic:
        one = batches[0]
        batches.append(np.concatenate([one[..., ::-1], 1 - one, one[:, ::-1] * 0.5]))
    if "height" in dynamic:
        batches.append(probe(2 * height, width, channels))
    if "width" in dynamic:
        batches.append(probe(height, 3 * width, channels))
    return [np.ascontiguousarray(batch * np.float32(input_max)) for batch in batches]


def _measure(
    network: nn.Module, path: Path, batches: list[np.ndarray], output_names: Sequence[str], tolerance: float
) -> Parity:
    expected = []
    for batch in batches:
        try:
            expected.append([t.numpy() for t in _outputs(network, torch.from_numpy(batch))])
        except RuntimeError as error:
            what = f"the file would take batches of {batch.shape}, the network does not"
            raise ModelError(f"{what}: {one_line(error)}") from error
    if not all(np.isfinite(e).all() for outputs in expected for e in outputs):
        raise ModelError("the network gives no finite numbers: its training has diverged, lower its `rate`")
    magnitude = max(float(np.abs(e).max()) for outputs in expected for e in outputs)
    sessions: dict[str, Callable[[], Any]] = {
        "openvino": lambda: OpenVinoSession(path, precision="fp32"),
        "onnxruntime": lambda: OnnxRuntimeSession(path, device="cpu", precision="fp32"),
    }
    worst = 0.0
    for runtime, open_session in sessions.items():
        session = open_session()  # one at a time: each holds the weights and its buffers
        for batch, wanted in zip(batches, expected, strict=True):
            outputs = session.run_all(batch)
            for name, e in zip(output_names, wanted, strict=True):
                if outputs[name].shape != e.shape:
                    raise ModelError(f"{runtime} gives {name} the shape {outputs[name].shape}, not {e.shape}")
                # numpy's maximum keeps NaN, max() may drop it.
                worst = float(np.maximum(worst, np.abs(outputs[name] - e).max()))
        del session
    return Parity(worst, magnitude, tolerance)


@torch.no_grad()
def _outputs(network: nn.Module, batch: Tensor) -> tuple[Tensor, ...]:
    outputs = network(batch)
    return (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
