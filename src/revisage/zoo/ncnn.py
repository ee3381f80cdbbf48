"""Weights in ncnn's two files, `NAME.param` (the graph, text) and `NAME.bin` (the numbers), as named arrays.

The format, by ncnn's documentation: every line of the graph is `type name inputs outputs INPUTS OUTPUTS
key=value ...`; the numbers follow in the order of the layers, a convolution's behind a tag that tells how its
kernel is stored. Known are the compact network (SRVGGNetCompact, with PReLU) and RRDBNet alone, whose tensors
get the names of their PyTorch checkpoints.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from revisage.errors import ModelCorruptError, ModelMissingError

SUFFIXES = frozenset({".param", ".bin"})
MAGIC = "7767517"
MAX_BYTES = 1 << 30
_HALF, _FULL, _BYTES = 0x01306B47, 0x0002C056, 0x000D4B38
_RRDB_TAIL = ("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")
_RRDB_CONVOLUTIONS = 15  # of a block: three times five


@dataclass
class _Numbers:
    """The numbers of a `.bin` file, taken one after another."""

    data: bytes
    file: Path
    at: int = 0

    def take(self, count: int, kind: str) -> np.ndarray:
        kept = -(-count * np.dtype(kind).itemsize // 4) * 4  # every array ends on four bytes
        if self.at + kept > len(self.data):
            raise ModelCorruptError(f"{self.file} is too short for its .param file: get both again")
        values = np.frombuffer(self.data, kind, count, self.at)
        self.at += kept
        return values

    def kernel(self, count: int) -> np.ndarray:
        """An array that begins with its tag: float16, float32, or 256 values and an index for each number."""
        tag = int(self.take(1, "<u4")[0])
        if tag == _BYTES:
            raise ModelCorruptError(
                f"{self.file} holds 8-bit weights, which cannot be read: take the full ones"
            )
        if tag in (_HALF, _FULL, 0):
            return self.take(count, "<f2" if tag == _HALF else "<f4").astype(np.float32)
        table: np.ndarray = self.take(256, "<f4")
        return table.take(self.take(count, "u1"))


def half(file: Path, suffix: str) -> Path:
    """Of the two files of a model, one of which is `file`, that of `suffix`, also in capitals."""
    ways = [file.with_suffix(way) for way in (suffix, suffix.upper())]
    return file if file.suffix.lower() == suffix else next((way for way in ways if way.exists()), ways[0])


def read(file: Path) -> dict[str, np.ndarray]:
    """Tensors by the names of the network's PyTorch checkpoint, float32, finite; kernels (out, in, h, w).
    `file` is the `.param` or the `.bin` file; the other one lies beside it by the same name.

    Raises ModelMissingError (a file is not there), ModelCorruptError (damaged, or of another network).
    """
    param, numbers = half(file, ".param"), half(file, ".bin")
    try:
        text = param.read_text("utf-8")
        if numbers.stat().st_size > MAX_BYTES:
            most = f"over {MAX_BYTES >> 20} MiB"
            raise ModelCorruptError(f"{numbers} has {most}, more than such a network needs")
        data = numbers.read_bytes()
    except FileNotFoundError as error:
        raise ModelMissingError(
            f"there is no file {error.filename}: an ncnn model is a .param and a .bin file"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelCorruptError(f"{param} cannot be read: {error}") from None
    lines = text.split("\n")
    if lines[0].strip() != MAGIC:
        raise ModelCorruptError(f"{param} is no ncnn graph: it does not begin with {MAGIC}")
    convolutions, slopes = _numbers(lines[2:], _Numbers(data, numbers), param)
    count = len(convolutions)
    layers = [f"body.{2 * i}" for i in range(count)] if slopes else _rrdb(count, param)
    named: dict[str, np.ndarray] = {}
    for layer, (kernel, bias) in zip(layers, convolutions, strict=True):
        named |= {f"{layer}.weight": kernel, f"{layer}.bias": bias}
    named |= {f"body.{2 * i + 1}.weight": slope for i, slope in enumerate(slopes)}
    for name, values in named.items():
        if not np.isfinite(values).all():
            raise ModelCorruptError(f"{numbers}: {name!r} holds numbers that are not finite")
    return named


def _numbers(
    lines: list[str], numbers: _Numbers, param: Path
) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[np.ndarray]]:
    """Kernel and bias of every convolution, and the slopes of every PReLU, in the order of the graph."""
    convolutions, slopes = [], []
    channels = 3
    for line in lines:
        words = line.split()
        if len(words) < 4 or words[0] not in ("Convolution", "PReLU"):
            continue
        try:
            values = dict(pair.split("=", 1) for pair in words[4 + int(words[2]) + int(words[3]) :])
            width = int(values["0"])
            if words[0] == "PReLU":
                slopes.append(numbers.take(width, "<f4"))
                continue
            side, biased, count = int(values["1"]), values.get("5", "0") == "1", int(values["6"])
            incoming, rest = divmod(count, width * side * side)
            if min(width, side, incoming) < 1 or rest:
                raise ValueError
        except (KeyError, ValueError, ZeroDivisionError):
            raise ModelCorruptError(f"{param}: the layer {words[1][:80]!r} has no sound sizes") from None
        kernel = numbers.kernel(count).reshape(width, incoming, side, side)
        convolutions.append((kernel, numbers.take(width, "<f4") if biased else np.zeros(width, np.float32)))
        channels = width
    if not convolutions or channels % 3:
        raise ModelCorruptError(f"{param} is of no known network: its last layer writes no RGB picture")
    if numbers.at != len(numbers.data):
        raise ModelCorruptError(f"{numbers.file} holds more than {param} tells of: they are not of one model")
    return convolutions, slopes


def _rrdb(count: int, param: Path) -> list[str]:
    """The names of an RRDBNet's convolutions, `count` of them, in the order of the graph."""
    blocks, rest = divmod(count - 1 - len(_RRDB_TAIL), _RRDB_CONVOLUTIONS)
    if rest or blocks < 1:
        known = "neither RRDBNet nor SRVGGNetCompact"
        raise ModelCorruptError(f"{param} is of no known network: {count} convolutions are {known}")
    body = [f"body.{b}.rdb{r}.conv{c}" for b in range(blocks) for r in (1, 2, 3) for c in range(1, 6)]
    return ["conv_first", *body, *_RRDB_TAIL]
