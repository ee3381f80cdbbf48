"""ONNX Runtime: the GPU session, and on the CPU the yardstick that the OpenVINO session is tested against."""

import os
import threading
from types import ModuleType
from typing import Any

import numpy as np

from revisage.errors import ModelCorruptError, RuntimeUnavailableError, one_line
from revisage.runtime import session
from revisage.runtime.session import Device, OpenedSession, RuntimeInfo, Source

_GPU_PROVIDERS = ("CUDAExecutionProvider", "DmlExecutionProvider", "CoreMLExecutionProvider")
_CPU_PROVIDER = "CPUExecutionProvider"
_ERRORS_ONLY = 3


def _load() -> ModuleType:
    """ONNX Runtime; raises ImportError without it."""
    # From 1.29 on it reports every opened network to its maker, from the import on, unless this is set.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    library: ModuleType = onnxruntime
    return library


def gpu_providers() -> list[str]:
    """The GPU providers of the installed ONNX Runtime, best first; empty without it."""
    try:
        available = _load().get_available_providers()
    except ImportError:
        return []
    return [name for name in _GPU_PROVIDERS if name in available]


class OnnxRuntimeSession(OpenedSession):
    """A session in fp32: for ONNX Runtime, half precision would have to be written into the file."""

    def __init__(
        self, source: Source, *, device: Device = "gpu", precision: str = "auto", threads: int | None = None
    ) -> None:
        """Raises RuntimeUnavailableError without the library, the GPU or the precision; ModelCorruptError."""
        if precision not in ("auto", "fp32"):
            raise RuntimeUnavailableError(
                f"ONNX Runtime computes in fp32 here, not {precision}; use --precision auto, or --device cpu"
            )
        try:
            ort = _load()
        except ImportError:
            raise RuntimeUnavailableError(_how_to_get(device)) from None
        providers = gpu_providers() if device == "gpu" else []
        if device == "gpu" and not providers:
            raise RuntimeUnavailableError(_how_to_get(device))

        self._title = session.title(source)
        options = ort.SessionOptions()
        options.log_severity_level = _ERRORS_ONLY
        # Tiles come in many sizes: a plan of memory per size would never be let go. DirectML needs both.
        options.enable_mem_pattern = False
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(
                source if isinstance(source, bytes) else str(source),
                sess_options=options,
                providers=[*providers, _CPU_PROVIDER],
            )
        except Exception as error:
            raise ModelCorruptError(
                f"ONNX Runtime cannot open {self._title}: {one_line(error, 300)}"
            ) from None
        if device == "gpu" and self._session.get_providers()[0] == _CPU_PROVIDER:
            raise RuntimeUnavailableError(
                f"{providers[0]} is installed but does not start (driver or CUDA libraries missing?); "
                "use --device cpu"
            )
        self._lock = threading.Lock()
        self._input, *others = self._session.get_inputs()
        if others or self._input.type != "tensor(float)":
            kinds = ", ".join(each.type for each in (self._input, *others))
            raise ModelCorruptError(f"{self._title} takes {kinds}, not one picture in tensor(float)")
        self._shape = [length if isinstance(length, int) else None for length in self._input.shape]
        self._info = RuntimeInfo("onnxruntime", device, "fp32")

    @property
    def info(self) -> RuntimeInfo:
        return self._info

    def run_all(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        batch = session.check_batch(batch, self._shape)
        with self._lock:
            outputs: list[Any] = self._session.run(None, {self._input.name: batch})
        if not session.is_finite(*outputs):
            raise session.non_finite(self._title)
        return {info.name: output for info, output in zip(self._session.get_outputs(), outputs, strict=True)}


def _how_to_get(device: Device) -> str:
    if device == "cpu":
        return "ONNX Runtime is not installed: `pip install onnxruntime`"
    return (
        "no GPU is usable: install ONNX Runtime for yours (NVIDIA: `pip install revisage[gpu]`, Windows: "
        "`pip install onnxruntime-directml`, macOS: `pip install onnxruntime`), or use --device cpu"
    )
