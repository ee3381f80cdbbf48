"""Tensors in files of weights (PyTorch, safetensors, ncnn), read without PyTorch and without their code.

A PyTorch checkpoint is a pickle that names its storages, and the storages' bytes: in a zip archive, or,
before version 1.6, one after another. A pickle is a program: this one is followed by those instructions alone
that lists of tensors need (`_STEPS`), with the names of `_CALLS` and `_STORAGES` alone, which stand for what
is done here. Formats: `torch/serialization.py`, `torch/_utils.py`, `pickletools`; safetensors' README.
"""

import json
import math
import pickletools
import zipfile
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from revisage.errors import ModelCorruptError, ModelMissingError
from revisage.zoo import ncnn

SUFFIXES = frozenset({".pth", ".pt", ".ckpt", ".safetensors"}) | ncnn.SUFFIXES

# The averaged weights are the ones their authors restore with; the rest as training frameworks nest them.
_GROUPS = ("params_ema", "params-ema", "params", "state_dict", "model", "net")
_PREFIXES = ("module.", "netG.")  # of a network that was wrapped as it was saved
_MAX_STEPS = 1_000_000  # of a pickle; a large network takes some 20,000
_MAX_HEADER = 1 << 24  # bytes of a safetensors header

_BF16: np.dtype = np.dtype([("bf16", "<u2")])  # numpy has none: the upper halves of float32
_REALS = {"Double": "<f8", "Float": "<f4", "Half": "<f2"}
_WHOLE = {"Long": "<i8", "Int": "<i4", "Short": "<i2", "Char": "i1", "Byte": "u1", "Bool": "u1"}
_STORAGES: dict[str, np.dtype] = {
    "torch.BFloat16Storage": _BF16,
    **{f"torch.{name}Storage": np.dtype(kind) for name, kind in (_REALS | _WHOLE).items()},
}
_SAFE_TYPES: dict[str, np.dtype] = {"BF16": _BF16, "I64": np.dtype("<i8")}
_SAFE_TYPES |= {f"F{8 * n}": np.dtype(f"<f{n}") for n in (2, 4, 8)}


class _Storage(NamedTuple):
    """Numbers in a row; `key` tells where in the file."""

    type: np.dtype
    key: Any


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides count numbers."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _RefusedError(Exception):
    """What the file holds will not do; the text says what."""


def read(file: Path) -> dict[str, np.ndarray]:
    """The tensors of a checkpoint by name, float32 and finite (those of integers are left out): of the first
    of `_GROUPS` there, else the top. `file` is of PyTorch, .safetensors, or one of the two files of an ncnn
    model.

    Raises ModelMissingError (no such file), ModelCorruptError (damaged, unsafe, or it holds something else).
    """
    suffix = file.suffix.lower()
    if suffix in ncnn.SUFFIXES:
        return ncnn.read(file)
    kind = "safetensors file" if suffix == ".safetensors" else "PyTorch checkpoint"
    try:
        with file.open("rb") as stream:
            length = file.stat().st_size
            if suffix == ".safetensors":
                return _tensors(*_safetensors(stream, length), length)
            if not zipfile.is_zipfile(stream):
                stream.seek(0)
                return _tensors(*_in_a_row(stream, length), length)
            with zipfile.ZipFile(stream) as archive:
                return _tensors(*_zipped(archive, length), length)
    except FileNotFoundError:
        raise ModelMissingError(f"there is no file {file}") from None
    except OSError as error:
        raise ModelMissingError(f"cannot open {file}: {error.strerror or error}") from None
    except _RefusedError as error:
        raise ModelCorruptError(f"{file}: {error}") from None
    except Exception:  # damaged bytes fail in many ways
        raise ModelCorruptError(f"{file} is no whole {kind}: get it again") from None


def numbers_of(file: Path) -> Path:
    """The file that tells a checkpoint from others: of the two of an ncnn model the one with the numbers."""
    return ncnn.half(file, ".bin") if file.suffix.lower() in ncnn.SUFFIXES else file


def _tensors(content: object, data: Callable[[_Storage], bytes], length: int) -> dict[str, np.ndarray]:
    """The arrays of what a file of `length` bytes holds, whose storages' bytes `data` gives."""
    if not isinstance(content, dict):
        raise _RefusedError(f"it holds a {type(content).__name__}, not named tensors")
    if {"networks", "optimizers", "ema"} <= content.keys():
        wish = "`revisage export RUN OUT.onnx` makes a model of the run"
        raise _RefusedError(f"it is of `revisage train`: {wish}")
    group = next((content[key] for key in _GROUPS if isinstance(content.get(key), dict)), content)
    numbers = cache(data)
    state, total = {}, 0
    for key, tensor in group.items():
        label = repr(str(key)[:80])
        if isinstance(tensor, _Tensor) and tensor.storage.type.kind in "iu":
            continue  # indices and counters, which networks that spandrel knows have
        if not isinstance(tensor, _Tensor) or tensor.storage.type.kind not in "fV":
            raise _RefusedError(f"{label} is no tensor of weights")
        total += math.prod(tensor.shape) * tensor.storage.type.itemsize
        ends = zip(tensor.shape, tensor.strides, strict=True)
        last = tensor.offset + sum((n - 1) * step for n, step in ends)
        stored = np.frombuffer(numbers(tensor.storage), tensor.storage.type)
        # A few bytes can be shown as a tensor of any shape.
        sound = min(tensor.shape, default=1) > 0 and min(tensor.strides, default=0) >= 0
        if not (sound and total <= length and 0 <= tensor.offset <= last < len(stored)):
            raise _RefusedError(f"{label} has shape {tensor.shape}, which is not in the file")
        steps = [step * stored.itemsize for step in tensor.strides]
        view = np.lib.stride_tricks.as_strided(stored[tensor.offset :], tensor.shape, steps, writeable=False)
        if stored.dtype == _BF16:
            view = (view["bf16"].astype(np.uint32) << 16).view(np.float32)
        values = np.ascontiguousarray(view, np.float32).reshape(tensor.shape)
        if not np.isfinite(values).all():
            raise _RefusedError(f"{label} holds numbers that are not finite")
        state[str(key)] = values
    prefix = next((p for p in _PREFIXES if all(key.startswith(p) for key in state)), "")
    return {key.removeprefix(prefix): values for key, values in state.items()}


def _zipped(archive: zipfile.ZipFile, length: int) -> tuple[object, Callable[[_Storage], bytes]]:
    # torch.save compresses nothing: what unpacks to more than the file is a bomb.
    if sum(record.file_size for record in archive.infolist()) > length:
        raise zipfile.BadZipFile
    names = archive.namelist()
    (pickled,) = (name for name in names if name.endswith("/data.pkl"))
    root = pickled.removesuffix("data.pkl")
    if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
        raise zipfile.BadZipFile
    with archive.open(pickled) as stream:
        content = _Machine().follow(stream)
    return content, lambda storage: archive.read(f"{root}data/{storage.key}")


def _in_a_row(stream: BinaryIO, length: int) -> tuple[object, Callable[[_Storage], bytes]]:
    """Pickles of a magic number, a version, facts of the machine, content and keys; then each storage."""
    if _Machine().follow(stream) != 0x1950A86A20F9469CFC6C or _Machine().follow(stream) != 1001:
        raise ValueError
    _Machine().follow(stream)
    machine = _Machine()
    content, keys, places = machine.follow(stream), _Machine().follow(stream), {}
    if not all(isinstance(key, str) for key in keys):
        raise ValueError
    for key in keys:
        size = int.from_bytes(stream.read(8), "little") * machine.storages[key].type.itemsize
        places[key] = (stream.tell(), size)
        if stream.seek(size, 1) > length:
            raise ValueError
    return content, lambda storage: _part(stream, *places[storage.key])


def _part(stream: BinaryIO, start: int, size: int) -> bytes:
    stream.seek(start)
    return stream.read(size)


def _safetensors(stream: BinaryIO, length: int) -> tuple[object, Callable[[_Storage], bytes]]:
    """A header in JSON: of every tensor type, shape and place; then the numbers, without gap or overlap."""
    size = int.from_bytes(stream.read(8), "little")
    if size > min(_MAX_HEADER, length - 8):
        raise ValueError
    header = json.loads(stream.read(size))
    header.pop("__metadata__", None)
    content, end = {}, 0
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        (start, stop), shape = entry["data_offsets"], tuple(entry["shape"])
        if entry["dtype"] not in _SAFE_TYPES:
            raise _RefusedError(f"{name[:80]!r} is no tensor of weights")
        kind = _SAFE_TYPES[entry["dtype"]]
        whole = all(type(n) is int and n >= 0 for n in (start, stop, *shape))
        if not whole or start != end or stop - start != math.prod(shape) * kind.itemsize:
            raise _RefusedError(f"{name[:80]!r} does not lie where its header says, or has another size")
        strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
        stored = _Storage(kind, (8 + size + start, stop - start))
        content[name], end = _Tensor(stored, 0, shape, strides), stop
    if 8 + size + end != length:
        raise ValueError
    return content, lambda storage: _part(stream, *storage.key)


class _Machine:
    """Follows pickles that hold tensors and plain values."""

    def __init__(self) -> None:
        self.storages: dict[str, _Storage] = {}
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def follow(self, stream: Any) -> Any:
        """The value of the pickle that begins at the stream's position."""
        for count, (step, argument, _) in enumerate(pickletools.genops(stream)):
            if count > _MAX_STEPS:
                raise ValueError
            if step.name not in _STEPS:
                raise _refusal(f"the pickle instruction {step.name}")
            _STEPS[step.name](self, argument)
        return self.stack.pop()

    def take(self, count: int) -> list[Any]:
        """The last values, which leave the stack."""
        start = len(self.stack) - count
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def marked(self) -> list[Any]:
        return self.take(len(self.stack) - self.marks.pop())

    def fill(self, pairs: list[Any]) -> None:
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            if not isinstance(key, str | int):  # nested tuples can take for ever to hash
                raise ValueError
            self.stack[-1][key] = value

    def call(self, name: str, arguments: Sequence[Any]) -> None:
        self.stack.append(_CALLS[name](*arguments))

    def store(self, _tag: str, kind: str, key: str, *_: object) -> None:
        if not isinstance(key, str):
            raise ValueError
        self.storages[key] = _Storage(_STORAGES[kind], key)
        self.stack.append(self.storages[key])


def _known(name: str) -> str:
    """What a pickle calls or names, if it may."""
    if name not in _CALLS and name not in _STORAGES:
        raise _refusal(name[:80])
    return name


def _refusal(what: str) -> _RefusedError:
    why = "which weights do not need: it may be hostile and was not opened"
    return _RefusedError(f"it asks for {what}, {why}")


def _ordered_dict() -> dict[str, object]:
    return {}  # takes no pairs, unlike dict: they come by SETITEMS


def _view(
    storage: _Storage, offset: int, shape: Sequence[int], strides: Sequence[int], *_: object
) -> _Tensor:
    if not all(type(n) is int for n in (offset, *shape, *strides)):
        raise ValueError
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


_CALLS: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _view,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
}
_PLAIN = ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING")
_STEPS: dict[str, Callable[[_Machine, Any], object]] = {
    "PROTO": lambda m, _: None,
    "STOP": lambda m, _: None,
    **dict.fromkeys(_PLAIN, lambda m, value: m.stack.append(value)),
    "NONE": lambda m, _: m.stack.append(None),
    "NEWTRUE": lambda m, _: m.stack.append(True),
    "NEWFALSE": lambda m, _: m.stack.append(False),
    "EMPTY_TUPLE": lambda m, _: m.stack.append(()),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "TUPLE1": lambda m, _: m.stack.append(tuple(m.take(1))),
    "TUPLE2": lambda m, _: m.stack.append(tuple(m.take(2))),
    "TUPLE3": lambda m, _: m.stack.append(tuple(m.take(3))),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.marked())),
    "APPEND": lambda m, _: m.stack[-2].append(m.stack.pop()),
    "APPENDS": lambda m, _: m.stack[m.marks[-1] - 1].extend(m.marked()),
    "SETITEM": lambda m, _: m.fill(m.take(2)),
    "SETITEMS": lambda m, _: m.fill(m.marked()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda m, place: m.memo.update({place: m.stack[-1]})),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, place: m.stack.append(m.memo[place])),
    "GLOBAL": lambda m, names: m.stack.append(_known(names.replace(" ", "."))),
    "BINPERSID": lambda m, _: m.store(*m.stack.pop()),
    "REDUCE": lambda m, _: m.call(*m.take(2)),
    "BUILD": lambda m, _: m.take(1),  # attributes of an OrderedDict: versions of modules
}
