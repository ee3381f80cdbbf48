"""What every inference backend offers, and the checks they share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from revisage.errors import ModelCorruptError, UsageError

Backend = Literal["openvino", "onnxruntime", "pytorch"]
Device = Literal["cpu", "gpu"]
Precision = Literal["fp32", "bf16", "fp16"]
DEVICES = ("auto", "cpu", "gpu")
PRECISIONS = ("auto", "fp32", "bf16", "fp16")

Source = Path | bytes  #: an ONNX file, or the bytes of one that exists in memory only


def title(source: Source) -> str:
    """What messages call it."""
    return "the model in memory" if isinstance(source, bytes) else str(source)


@dataclass(frozen=True)
class RuntimeInfo:
    """Where a session computes and in which number format its layers work."""

    backend: Backend
    device: Device
    precision: Precision


class Session(Protocol):
    """One opened network. Many threads may call `run` at once; the calls take turns."""

    @property
    def info(self) -> RuntimeInfo:
        """As of now: a session falls back to fp32 when half precision gives non-finite numbers."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        """The network's output for a batch (N, 3, H, W) float32, finite; pictures are RGB in [0, 1].

        Returns float32, always finite, not clipped, owned by the caller: (N, 3, H r, W r) for a contract with
        scale r. Raises UsageError (the batch has another shape or type than the network takes),
        ModelCorruptError (non-finite numbers even in fp32, or several outputs).
        """


class OpenedSession(Session, Protocol):
    """A session of a network with any number of outputs, as the runtime opens it."""

    def run(self, batch: np.ndarray) -> np.ndarray:
        outputs = self.run_all(batch)
        if len(outputs) != 1:
            raise ModelCorruptError(f"the model has {len(outputs)} outputs: export it with the picture alone")
        return next(iter(outputs.values()))

    def run_all(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """As `run`: every output by its name."""
        ...


def check_batch(batch: np.ndarray, shape: Sequence[int | None]) -> np.ndarray:
    """`batch`, contiguous, if it fits the network's input shape (None: any length); UsageError if not."""
    if batch.ndim != 4 or batch.dtype != np.float32 or batch.shape[0] == 0:
        raise UsageError(
            f"a batch must be float32 of shape (N, 3, H, W) with N >= 1, got {batch.dtype} {batch.shape}"
        )
    if len(shape) != 4 or any(
        want not in (None, have) for want, have in zip(shape, batch.shape, strict=True)
    ):
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise UsageError(f"this model takes batches of shape ({wanted}), got {batch.shape}")
    if not is_finite(batch):
        raise UsageError("a batch must hold finite numbers only")
    return np.ascontiguousarray(batch)


def is_finite(*arrays: np.ndarray) -> bool:
    """Whether float32 arrays hold neither NaN nor infinity."""
    # One sum needs no array of booleans, and float64 cannot overflow from finite float32 numbers.
    with np.errstate(invalid="ignore"):
        return math.isfinite(sum(float(np.sum(array, dtype=np.float64)) for array in arrays))


def non_finite(path: object) -> ModelCorruptError:
    """The error for a network whose output is not finite in fp32."""
    return ModelCorruptError(
        f"{path} gives non-finite numbers in fp32: its weights are damaged; get it again"
    )
