"""The arithmetic that a training uses: half precision where the machine is quicker in it, else float32."""

import platform
import timeit
from functools import cache

import torch

from revisage.options import Precision

_SIDE, _TRIES = 512, 3
_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """What `precision` means on a device; "auto" is bfloat16 where it is quicker (`bf16_is_quick`)."""
    if precision == "auto":
        precision = "bf16" if bf16_is_quick(device.type) else "fp32"
    return _DTYPES[precision]


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """The context in which losses are computed."""
    dtype = dtype_of(precision, device)
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


@cache
def bf16_is_quick(device: str) -> bool:
    """Whether matrix products in bfloat16 are native to a kind of device and take less time than in float32.
    A processor without the instructions computes them a hundred times as slowly, and some that have them gain
    nothing: so both are asked, the instructions first. Measured once in a process."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return _native_on_cpu() and _seconds(torch.bfloat16) < _seconds(torch.float32)


def _native_on_cpu() -> bool:
    """AVX-512 BF16 or AMX on x86, BF16 on Arm, as PyTorch finds them."""
    if platform.machine() in ("aarch64", "arm64"):
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _seconds(dtype: torch.dtype) -> float:
    """Of a matrix product of 512 x 512, the shortest of three after one to warm up."""
    a = torch.ones(_SIDE, _SIDE, dtype=dtype)
    return min(timeit.repeat(lambda: a @ a, number=1, repeat=_TRIES + 1)[1:])
