"""Reading files of weights: what is in them, whatever their format, and nothing that could do harm."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("spandrel")

from checkpoints import State, compact_state, rrdb_state, save  # noqa: E402
from torch import nn  # noqa: E402

from revisage.errors import ModelCorruptError  # noqa: E402
from revisage.zoo import checkpoints  # noqa: E402


def refused(path: Path, words: str) -> None:
    with pytest.raises(ModelCorruptError, match=words) as caught:
        checkpoints.read(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("group", ["params_ema", "params-ema", "params", "state_dict", "model", "net", None])
def test_weights_may_lie_in_a_group(group: str | None, tmp_path: Path) -> None:
    state = compact_state()
    assert_same(checkpoints.read(save(tmp_path / "x.pth", state, group)), state)


def assert_same(got: dict[str, np.ndarray], state: State) -> None:
    assert got.keys() == state.keys()
    for name, value in state.items():
        assert got[name].dtype == np.float32
        np.testing.assert_array_equal(got[name], value.float().numpy())


def test_averaged_weights_are_taken_before_the_last_step_of_training(tmp_path: Path) -> None:
    torch.save({"params": compact_state(seed=1), "params_ema": compact_state(seed=2)}, tmp_path / "x.pth")
    assert_same(checkpoints.read(tmp_path / "x.pth"), compact_state(seed=2))


@pytest.mark.parametrize("prefix", ["module.", "netG."])
def test_a_wrapper_that_was_saved_with_the_network_is_taken_off(prefix: str, tmp_path: Path) -> None:
    state = compact_state()
    wrapped = {prefix + name: value for name, value in state.items()}
    torch.save({"epoch": 3, "state_dict": wrapped, "optimizer": {"lr": 0.1}}, tmp_path / "x.pth")
    assert_same(checkpoints.read(tmp_path / "x.pth"), state)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("form", ["zip", "old", "safetensors"])
def test_every_format_and_kind_of_number_is_read(form: str, kind: torch.dtype, tmp_path: Path) -> None:
    state = {name: value.to(kind) for name, value in compact_state().items()}
    state["transposed"] = torch.rand(3, 4, 5, dtype=kind).permute(2, 0, 1)
    state["number"] = torch.tensor(2.5, dtype=kind)
    state["part"] = torch.rand(8, dtype=kind)[2:5]
    path = tmp_path / ("x.safetensors" if form == "safetensors" else "x.pth")
    if form == "safetensors":
        safetensors = pytest.importorskip("safetensors.torch")
        safetensors.save_file({k: v.contiguous() for k, v in state.items()}, path, {"format": "pt"})
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == "zip")
    assert_same(checkpoints.read(path), state)


def test_a_state_dict_of_a_network_is_read_with_its_parameters(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU(4))
    torch.save(network.state_dict(), tmp_path / "x.pth")
    torch.save(dict(network.named_parameters()), tmp_path / "y.pth")
    for name in ("x.pth", "y.pth"):
        got = checkpoints.read(tmp_path / name)
        assert_same(got, {key: value.detach() for key, value in network.state_dict().items()})


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


@pytest.mark.parametrize("old_format", [True, False])
def test_code_in_a_checkpoint_is_not_run(old_format: bool, tmp_path: Path) -> None:
    trace = tmp_path / "it ran"
    path = tmp_path / "bomb.pth"
    content = {"params": compact_state(), "more": Bomb(f"touch '{trace}'")}
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)
    refused(path, r"asks for \w+\.system, .* may be hostile")
    assert not trace.exists()


def test_an_archive_that_unpacks_to_more_than_its_size_is_refused(tmp_path: Path) -> None:
    honest = save(tmp_path / "honest.pth", {"body.0.weight": torch.zeros(1_000_000)})
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(honest) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    assert path.stat().st_size < 100_000
    refused(path, "no whole PyTorch checkpoint")


def test_a_tensor_larger_than_the_file_is_refused(tmp_path: Path) -> None:
    state = compact_state()
    state["body.0.weight"] = torch.zeros(1).expand(100_000, 3, 3, 3)
    path = tmp_path / "bomb.pth"
    torch.save(state, path)
    assert path.stat().st_size < 100_000
    refused(path, r"'body\.0\.weight' has shape \(100000, 3, 3, 3\), which is not in the file")


def pickled(*steps: bytes) -> bytes:
    """A checkpoint of one tensor, with some instructions of a pickle in front of it."""
    return b"\x80\x02" + b"".join(steps) + b"}."


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        (b"(S'touch it'\nios\nsystem\n", "asks for the pickle instruction STRING"),
        (b"(ios\nsystem\n", "asks for the pickle instruction INST"),
        (b"cos\nsystem\n", "asks for os.system"),
        (b"cbuiltins\neval\n", "asks for builtins.eval"),
        (b"ctorch\nload\n", "asks for torch.load"),
        (b"ccollections\nOrderedDict\n)\x81", "asks for the pickle instruction NEWOBJ"),
        (b"\x82\x01", "asks for the pickle instruction EXT1"),
        (b"r\xff\xff\xff\xff", "no whole"),  # a place in the memo that would take 64 GiB, and nothing there
        (b"(" * 1_100_000, "no whole"),
        (b"}" + b"K\x01" * 2 + b"\x86q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01s", "no whole"),
        (b"ccollections\nOrderedDict\n(]K\x01a]K\x02at\x52", "no whole"),
        (b"0", "asks for the pickle instruction POP"),
        (b"\x8a\xffabc", "no whole"),
    ],
)
def test_a_pickle_that_does_what_weights_do_not_need_is_refused(
    steps: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "bomb.pth"
    save(path, compact_state())
    with zipfile.ZipFile(path) as archive:
        root = archive.namelist()[0].split("/")[0]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{root}/data.pkl", pickled(steps))
    refused(path, words)


@pytest.mark.parametrize("view", [(-1, 2, 1), (0, 2, -1), (6, 3, 1), (0, 3, 4), (0, 1 << 70, 1)])
def test_a_view_of_what_is_not_in_the_storage_is_refused(view: tuple[int, int, int], tmp_path: Path) -> None:
    offset, length, step = view

    class View:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            storage = torch.zeros(8)._typed_storage()
            return torch._utils._rebuild_tensor_v2, (storage, offset, (length,), (step,), False, {})

    torch.save({"body.0.weight": View()}, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", "'body.0.weight' has shape .*, which is not in the file")


def test_sizes_that_are_no_whole_numbers_are_refused(tmp_path: Path) -> None:
    class View:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            shape = ((), 1 << 40)  # whose product is a tuple, and a long one
            return torch._utils._rebuild_tensor_v2, (torch.zeros(8)._typed_storage(), 0, shape, (1, 1))

    torch.save({"body.0.weight": View()}, tmp_path / "x.pth")
    refused(tmp_path / "x.pth", "no whole PyTorch checkpoint")


def safe(header: object, data: bytes = bytes(32), length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def entry(start: int, stop: int, *shape: object, kind: str = "F32") -> dict[str, object]:
    return {"dtype": kind, "shape": list(shape), "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (safe({"a": entry(0, 16, 4), "b": entry(8, 24, 4)}), "'b' does not lie where"),
        (safe({"a": entry(0, 16, 4), "b": entry(0, 16, 4)}), "'b' does not lie where"),
        (safe({"a": entry(0, 16, 4), "b": entry(20, 32, 3)}), "'b' does not lie where"),
        (safe({"a": entry(0, 32, 4)}), "'a' does not lie where its header says, or has another size"),
        (safe({"a": entry(0, 32, 1 << 62, 4)}), "'a' does not lie where"),
        (safe({"a": entry(0, 32, -2, -4)}), "'a' does not lie where"),
        (safe({"a": entry(0, 32, 8.0)}), "'a' does not lie where"),
        (safe({"a": entry(-32, 0, 8)}), "'a' does not lie where"),
        (safe({"a": entry(0, 32, 4, kind="C64")}), "'a' is no tensor of weights"),
        (safe({"a": entry(0, 64, 16)}), "no whole safetensors file"),
        (safe({"a": entry(0, 16, 4)}), "no whole safetensors file"),
        (safe({"a": [0, 16]}), "no whole safetensors file"),
        (safe({"a": entry(0, 32, 8)}, length=1 << 60), "no whole safetensors file"),
        (safe({"a": entry(0, 32, 8)}, length=3), "no whole safetensors file"),
        (safe(b"[" * 100_000), "no whole safetensors file"),
        (b"", "no whole safetensors file"),
        (safe({"a": entry(0, 32, 8), "b": entry(32, 32, 0)}), r"'b' has shape \(0,\)"),
        (safe({"a": entry(0, 32, 8)}, b"\xff" * 32), "'a' holds numbers that are not finite"),
    ],
)
def test_a_safetensors_file_that_lies_is_refused(data: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    refused(path, words)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_checkpoint(share: float, tmp_path: Path) -> None:
    data = save(tmp_path / "whole.pth", rrdb_state()).read_bytes()
    path = tmp_path / "cut.pth"
    path.write_bytes(data[: int(share * len(data))])
    refused(path, "no whole PyTorch checkpoint: get it again")
