"""Running a network: one protocol, OpenVINO on the CPU, ONNX Runtime on GPUs.

Neither library is imported before a session is opened.
"""

from pathlib import Path

from revisage.errors import ModelMissingError, RuntimeUnavailableError, UsageError
from revisage.runtime.cores import threads_for
from revisage.runtime.session import DEVICES, PRECISIONS, OpenedSession, RuntimeInfo, Session, Source

__all__ = ["OpenedSession", "RuntimeInfo", "Session", "open_session"]


def open_session(
    source: Source, *, device: str = "auto", precision: str = "auto", threads: int | None = None
) -> OpenedSession:
    """Open an ONNX model for inference, of a file or its bytes.

    Args:
        device: "cpu"; "gpu", by ONNX Runtime with a GPU provider; "auto" for the GPU where one works.
        precision: "fp32", "bf16", "fp16"; "auto" for bf16 on a CPU that has it, if a check on first use shows
            the difference from fp32 to be invisible, else fp32.
        threads: CPU threads; None for all cores that the process may use.

    Raises UsageError for another value, RuntimeUnavailableError when this machine lacks what is asked for,
    and ModelMissingError or ModelCorruptError when the file is not there, or is no usable network.
    """
    for name, value, known in (("device", device, DEVICES), ("precision", precision, PRECISIONS)):
        if value not in known:
            raise UsageError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    if threads is not None and threads < 1:
        raise UsageError(f"threads must be at least 1, got {threads}")
    threads = threads_for(threads)
    if not isinstance(source, bytes):
        source = Path(source)
        if not source.is_file():
            raise ModelMissingError(f"there is no model file {source}")

    if device != "cpu":
        from revisage.runtime.onnxruntime import OnnxRuntimeSession, gpu_providers

        gpu_can = precision in ("auto", "fp32")
        if device == "gpu" or (gpu_can and gpu_providers()):
            try:
                return OnnxRuntimeSession(source, device="gpu", precision=precision, threads=threads)
            except RuntimeUnavailableError:
                # "auto" with a provider that is installed but does not start, such as CUDA without a driver.
                if device == "gpu":
                    raise
    from revisage.runtime import openvino

    return openvino.OpenVinoSession(source, precision=precision, threads=threads)
