"""OpenVINO on the CPU: the session that most people use. A network with free axes is compiled once and takes
every size: 0-10 % slower than compiling per size (2 cores, fp32 and bf16), with one copy of the weights."""

import contextlib
import sys
import threading
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np

from revisage.errors import ModelCorruptError, RuntimeUnavailableError, UsageError, one_line
from revisage.runtime import selfcheck, session
from revisage.runtime.session import OpenedSession, Precision, RuntimeInfo, Source

_HINTS: dict[Precision, str] = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
_CAPABILITIES: dict[Precision, str] = {"bf16": "BF16", "fp16": "FP16"}
_PROBE_SIDE = 64


def _load() -> ModuleType:
    # Importing OpenVINO imports its model converter, which reports the import to Google Analytics unless
    # its telemetry package is missing. Restoring a photo tells nobody: for this import it is missing.
    name = "openvino_telemetry"
    hidden = name not in sys.modules and "openvino" not in sys.modules
    if hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import openvino
    except ImportError as error:
        raise RuntimeUnavailableError(f"OpenVINO does not load ({error}): `pip install openvino`") from None
    finally:
        if hidden:
            del sys.modules[name]
    library: ModuleType = openvino
    return library


@lru_cache(maxsize=1)
def _core() -> Any:
    return _load().Core()


def cpu_precisions() -> list[Precision]:
    """The number formats this CPU computes in natively, fp32 first."""
    capabilities = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ["fp32", *(name for name, capability in _CAPABILITIES.items() if capability in capabilities)]


class OpenVinoSession(OpenedSession):
    """A session on the CPU. One request with a lock serves all threads: in latency mode OpenVINO gives every
    core to one run, so that a second request would wait inside it just the same, and hold its own buffers."""

    def __init__(self, source: Source, *, precision: str = "auto", threads: int | None = None) -> None:
        """Raises RuntimeUnavailableError (no such precision here), ModelCorruptError (not a network)."""
        self._source, self._title = source, session.title(source)
        self._threads = threads
        self._lock = threading.Lock()
        native = cpu_precisions()
        if precision == "auto" and "bf16" in native:
            self._precision, self._compiled = self._choose()
        else:
            self._precision = next((name for name in native if name == precision), "fp32")
            if precision not in ("auto", self._precision):
                raise RuntimeUnavailableError(
                    f"this CPU has no {precision} (it has {', '.join(native)}); use --precision auto"
                )
            try:
                self._compiled = self._compile(self._precision)
            except ModelCorruptError:
                self._compile("fp32")  # raises where the file is at fault
                raise RuntimeUnavailableError(
                    f"{self._title} does not run in {precision} on this CPU; use --precision auto"
                ) from None
        self._shape = _lengths(self._compiled)
        # A tensor may have names from inside the file as well: this is the output's.
        nodes = [output.get_node() for output in self._compiled.outputs]
        self._names = [node.get_friendly_name().removesuffix("/sink_port_0") for node in nodes]
        self._request = self._compiled.create_infer_request()

    @property
    def info(self) -> RuntimeInfo:
        return RuntimeInfo("openvino", "cpu", self._precision)

    def run_all(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        batch = session.check_batch(batch, self._shape)
        with self._lock:
            outputs = self._infer(batch)
            if outputs is None and self._precision != "fp32":
                self._compiled = self._compile("fp32")
                self._request = self._compiled.create_infer_request()
                self._precision = "fp32"
                outputs = self._infer(batch)
        if outputs is None:
            raise session.non_finite(self._title)
        return outputs

    def _infer(self, batch: np.ndarray) -> dict[str, np.ndarray] | None:
        """The outputs, copied out of the request's buffers; None if one is not finite."""
        try:
            self._request.infer({0: batch}, share_outputs=True)
        except RuntimeError as error:
            raise UsageError(
                f"{self._title} cannot take a batch of shape {batch.shape}: {_reason(error)}"
            ) from None
        outputs = {
            name: np.array(tensor.data, np.float32)
            for name, tensor in zip(self._names, self._request.output_tensors, strict=True)
        }
        return outputs if session.is_finite(*outputs.values()) else None

    def _compile(self, precision: Precision) -> Any:
        config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            # Pinned threads of several processes (`--workers`) would all sit on the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        if self._threads is not None:
            config["INFERENCE_NUM_THREADS"] = self._threads
        source = self._source
        try:
            model = _core().read_model(source if isinstance(source, bytes) else str(source))
            compiled = _core().compile_model(model, "CPU", config)
        except RuntimeError as error:
            raise ModelCorruptError(f"OpenVINO cannot open {self._title}: {_reason(error)}") from None
        if len(compiled.inputs) != 1:
            raise ModelCorruptError(f"{self._title} takes {len(compiled.inputs)} inputs, not one picture")
        if not (kind := compiled.inputs[0].element_type).is_real():
            raise ModelCorruptError(f"{self._title} takes {kind.to_string()}, not floats from 0 to 1")
        return compiled

    def _choose(self) -> tuple[Precision, Any]:
        """The format, bf16 if it looks like fp32, and the network compiled in it."""
        key = selfcheck.fingerprint(
            self._source, "bf16", _load().__version__, _core().get_property("CPU", "FULL_DEVICE_NAME")
        )
        alike = selfcheck.recall(key)
        if alike is not None:
            chosen: Precision = "bf16" if alike else "fp32"
            return chosen, self._compile(chosen)
        full, half = self._compile("fp32"), None
        with contextlib.suppress(ModelCorruptError):  # networks of integers have no such kernels for AMX
            half = self._compile("bf16")
        alike = half is not None and _look_alike(half, full)
        selfcheck.remember(key, alike)
        return ("bf16", half) if alike else ("fp32", full)


def _look_alike(half: Any, full: Any) -> bool:
    """Whether all outputs for the probe picture do."""
    shape = _lengths(full)
    if len(shape) != 4:
        raise ModelCorruptError(f"the network takes arrays of {len(shape)} axes, not batches of pictures")
    picture = selfcheck.probe(shape[2] or _PROBE_SIDE, shape[3] or _PROBE_SIDE, shape[1] or 3)
    batch = np.repeat(picture, shape[0] or 1, axis=0)
    a, b = half.create_infer_request().infer({0: batch}), full.create_infer_request().infer({0: batch})
    return all(selfcheck.look_alike(a[i], b[i]) for i in range(len(full.outputs)))


def _lengths(compiled: Any) -> list[int | None]:
    return [None if axis.is_dynamic else axis.get_length() for axis in compiled.inputs[0].get_partial_shape()]


def _reason(error: Exception) -> str:
    return one_line(str(error).strip().rpartition("\n")[2], 300)  # the lines before name OpenVINO's own files
