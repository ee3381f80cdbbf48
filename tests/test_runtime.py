"""Both inference backends: the same numbers, any size, many threads, and typed errors."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_files import conv_network, model_bytes

from revisage.errors import ModelCorruptError, ModelMissingError, RuntimeUnavailableError, UsageError
from revisage.runtime import RuntimeInfo, cores, onnxruntime, open_session, openvino, selfcheck
from revisage.runtime.onnxruntime import OnnxRuntimeSession
from revisage.runtime.openvino import OpenVinoSession
from revisage.runtime.session import Precision, check_batch, is_finite

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

FP32_TOLERANCE = 1e-5
needs_bf16 = pytest.mark.skipif("bf16" not in openvino.cpu_precisions(), reason="this CPU has no bf16")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    return tmp_path / "cache" / "selfcheck"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conv_network(tmp_path_factory.mktemp("net") / "scene.onnx")


def batch(n: int = 1, height: int = 24, width: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((n, 3, height, width), dtype=np.float32)


def sessions(path: Path) -> list[OpenVinoSession | OnnxRuntimeSession]:
    return [OpenVinoSession(path, precision="fp32"), OnnxRuntimeSession(path, device="cpu")]


def test_both_backends_agree_at_every_size(scene: Path) -> None:
    a, b = sessions(scene)
    for seed, shape in enumerate([(1, 24, 40), (3, 24, 40), (2, 7, 5), (1, 64, 1)]):
        x = batch(*shape, seed=seed)
        y = a.run(x)
        assert y.shape == (shape[0], 3, 2 * shape[1], 2 * shape[2])
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, b.run(x), atol=FP32_TOLERANCE)
    assert a.info == RuntimeInfo("openvino", "cpu", "fp32")
    assert b.info == RuntimeInfo("onnxruntime", "cpu", "fp32")


def test_the_picture_comes_out_upright(scene: Path) -> None:
    x = selfcheck.probe(32, 48)
    for session in sessions(scene):
        y = session.run(x)
        assert np.abs(y - x.repeat(2, 2).repeat(2, 3)).mean() < 0.1


def test_a_batch_is_its_pictures_one_by_one(scene: Path) -> None:
    x = batch(3)
    for session in sessions(scene):
        each = np.concatenate([session.run(x[i : i + 1]) for i in range(3)])
        np.testing.assert_allclose(session.run(x), each, atol=FP32_TOLERANCE)


def test_a_result_stays_when_the_session_runs_again(scene: Path) -> None:
    for session in sessions(scene):
        first = session.run(batch(seed=1))
        kept = first.copy()
        session.run(batch(seed=2))
        np.testing.assert_array_equal(first, kept)


def test_input_that_is_not_contiguous(scene: Path) -> None:
    x = batch()[..., ::-1]
    a, b = sessions(scene)
    np.testing.assert_allclose(a.run(x), b.run(np.ascontiguousarray(x)), atol=FP32_TOLERANCE)


def test_threads_get_their_own_results(scene: Path) -> None:
    inputs = [batch(1, 16 + 4 * (i % 3), 24, seed=i) for i in range(24)]
    for session in sessions(scene):
        expected = [session.run(x) for x in inputs]
        with ThreadPoolExecutor(8) as pool:
            for got, want in zip(pool.map(session.run, inputs), expected, strict=True):
                np.testing.assert_array_equal(got, want)


def test_several_outputs_by_name(tmp_path: Path) -> None:
    path = conv_network(tmp_path / "two.onnx", outputs=2)
    for session in sessions(path):
        outputs = session.run_all(batch())
        assert list(outputs) == ["output", "output1"]
        np.testing.assert_array_equal(outputs["output"], -outputs["output1"])
        with pytest.raises(
            ModelCorruptError, match="the model has 2 outputs: export it with the picture alone"
        ):
            session.run(batch())


@pytest.mark.parametrize("change", ["whole numbers", "a second input"])
def test_what_takes_no_picture_of_floats_is_not_opened(change: str, tmp_path: Path) -> None:
    """Of whole numbers a picture in [0, 1] would be black."""
    path = conv_network(tmp_path / "other.onnx")
    model = onnx.load(path)
    graph, name = model.graph, model.graph.input[0].name
    if change == "whole numbers":
        for node in graph.node:
            node.input[:] = ["floats" if used == name else used for used in node.input]
        graph.node.insert(0, onnx.helper.make_node("Cast", [name], ["floats"], to=onnx.TensorProto.FLOAT))
        graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.UINT8
    else:
        graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [1]))
        graph.node.append(onnx.helper.make_node("Identity", ["w"], ["w2"]))
        graph.output.append(onnx.helper.make_tensor_value_info("w2", onnx.TensorProto.FLOAT, [1]))
    onnx.save(model, path)
    with pytest.raises(ModelCorruptError, match=r"takes (u8|2 inputs)"):
        OpenVinoSession(path)
    with pytest.raises(ModelCorruptError, match=r"not one picture in tensor\(float\)"):
        OnnxRuntimeSession(path, device="cpu")


def test_a_fixed_size_takes_no_other(tmp_path: Path) -> None:
    path = conv_network(tmp_path / "face.onnx", size=16, scale=1)
    for session in sessions(path):
        assert session.run(batch(2, 16, 16)).shape == (2, 3, 16, 16)
        with pytest.raises(UsageError, match=r"\(any, 3, 16, 16\), got \(1, 3, 16, 20\)"):
            session.run(batch(1, 16, 20))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((3, 8, 8), np.float32), "shape"),
        (np.zeros((1, 3, 8, 8), np.float64), "float32"),
        (np.zeros((0, 3, 8, 8), np.float32), "N >= 1"),
        (np.zeros((1, 1, 8, 8), np.float32), r"\(any, 3, any, any\)"),
        (np.full((1, 3, 8, 8), np.nan, np.float32), "finite"),
        (np.full((1, 3, 8, 8), np.inf, np.float32), "finite"),
    ],
)
def test_bad_batches_are_refused(scene: Path, x: np.ndarray, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        check_batch(x, [None, 3, None, None])
    for session in sessions(scene):
        with pytest.raises(UsageError):
            session.run(x)


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_is_finite(values: list[float]) -> None:
    assert is_finite(np.array(values, np.float32)) == bool(np.isfinite(values).all())


def test_no_file_and_no_network(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError):
        open_session(tmp_path / "none.onnx")
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "nodes.onnx").write_bytes(model_bytes())
    for path in (tmp_path / "empty.onnx", tmp_path / "nodes.onnx"):
        with pytest.raises(ModelCorruptError, match=path.name):
            open_session(path, device="cpu")
        with pytest.raises(ModelCorruptError, match=path.name):
            OnnxRuntimeSession(path, device="cpu")


@pytest.mark.parametrize("option", [{"device": "tpu"}, {"precision": "int8"}, {"threads": 0}])
def test_unknown_options(scene: Path, option: dict[str, str | int]) -> None:
    with pytest.raises(UsageError, match="must be"):
        open_session(scene, **option)


def test_threads_reach_the_library(scene: Path) -> None:
    session = OpenVinoSession(scene, precision="fp32", threads=1)
    assert session._compiled.get_property("INFERENCE_NUM_THREADS") == 1
    np.testing.assert_allclose(
        session.run(batch()), OnnxRuntimeSession(scene, device="cpu", threads=1).run(batch()), atol=1e-5
    )


def test_gpu_without_a_provider_says_what_to_install(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "gpu_providers", list)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install revisage\[gpu\]"):
        open_session(scene, device="gpu")
    assert open_session(scene).info.backend == "openvino"


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_gpu_that_does_not_start(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if onnxruntime.gpu_providers():
        pytest.skip("this ONNX Runtime has a GPU provider")
    monkeypatch.setattr(onnxruntime, "gpu_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(RuntimeUnavailableError, match="does not start"):
        open_session(scene, device="gpu")
    assert open_session(scene, precision="fp32").info == RuntimeInfo("openvino", "cpu", "fp32")


def test_onnxruntime_not_installed(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert onnxruntime.gpu_providers() == []
    assert open_session(scene).info.device == "cpu"
    with pytest.raises(RuntimeUnavailableError, match="pip install onnxruntime"):
        OnnxRuntimeSession(scene, device="cpu")


def test_openvino_does_not_load(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    openvino._core.cache_clear()
    with pytest.raises(RuntimeUnavailableError, match="pip install openvino"):
        open_session(scene, device="cpu")


def test_a_precision_the_machine_lacks(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeUnavailableError, match="fp16"):
        OnnxRuntimeSession(scene, device="cpu", precision="fp16")
    monkeypatch.setattr(openvino, "cpu_precisions", lambda: ["fp32"])
    with pytest.raises(RuntimeUnavailableError, match=r"no bf16 \(it has fp32\)"):
        open_session(scene, device="cpu", precision="bf16")
    assert open_session(scene, device="cpu").info.precision == "fp32"


@needs_bf16
def test_bf16_looks_like_fp32(scene: Path) -> None:
    half, full = OpenVinoSession(scene, precision="bf16"), OpenVinoSession(scene, precision="fp32")
    outputs = half.run(batch()), full.run(batch())
    assert half.info.precision == "bf16"
    assert not np.array_equal(*outputs)
    assert selfcheck.look_alike(*outputs)


@needs_bf16
def test_auto_checks_once_and_remembers(scene: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[str] = []
    compile_ = OpenVinoSession._compile
    monkeypatch.setattr(
        OpenVinoSession,
        "_compile",
        lambda self, precision: (compiled.append(precision), compile_(self, precision))[1],
    )
    assert open_session(scene, device="cpu").info.precision == "bf16"
    assert sorted(compiled) == ["bf16", "fp32"]
    assert len(list(cache.iterdir())) == 1
    compiled.clear()
    assert open_session(scene, device="cpu").info.precision == "bf16"
    assert compiled == ["bf16"]


@needs_bf16
def test_auto_takes_fp32_when_the_difference_shows(
    scene: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selfcheck, "MAX_RMS", 1e-6)
    for _ in range(2):  # measured, then remembered
        assert open_session(scene, device="cpu").info.precision == "fp32"
    assert len(list(cache.iterdir())) == 1


def test_auto_takes_fp32_when_the_network_has_no_kernels_for_less(
    scene: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_ = OpenVinoSession._compile

    def no_half(self: OpenVinoSession, precision: Precision) -> Any:
        if precision != "fp32":
            raise ModelCorruptError("No suitable implementations")  # as networks of integers say with AMX
        return compile_(self, precision)

    monkeypatch.setattr(OpenVinoSession, "_compile", no_half)
    monkeypatch.setattr(openvino, "cpu_precisions", lambda: ["fp32", "bf16"])
    for _ in range(2):  # tried, then remembered
        assert open_session(scene, device="cpu").info.precision == "fp32"
    assert len(list(cache.iterdir())) == 1
    with pytest.raises(
        RuntimeUnavailableError, match="does not run in bf16 on this CPU; use --precision auto"
    ):
        open_session(scene, device="cpu", precision="bf16")
    with pytest.raises(ModelCorruptError):  # the file is at fault, not its format
        open_session(b"no network", device="cpu", precision="bf16")


def test_half_precision_that_fails_is_left_for_good(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    infer, failed = OpenVinoSession._infer, []

    def fails_in_half(self: OpenVinoSession, x: np.ndarray) -> dict[str, np.ndarray] | None:
        if self.info.precision != "fp32":
            failed.append(x)
            return None  # what it gives for outputs that are not finite
        return infer(self, x)

    monkeypatch.setattr(OpenVinoSession, "_infer", fails_in_half)
    monkeypatch.setattr(openvino, "cpu_precisions", lambda: ["fp32", "bf16"])
    session = OpenVinoSession(scene, precision="bf16")
    want = OpenVinoSession(scene, precision="fp32").run(batch())
    for _ in range(2):
        np.testing.assert_array_equal(session.run(batch()), want)
        assert session.info.precision == "fp32"
    assert len(failed) == 1


def test_damaged_weights_are_an_error_not_a_black_picture(tmp_path: Path) -> None:
    path = conv_network(tmp_path / "huge.onnx", gain=1e30)
    for session in sessions(path):
        with pytest.raises(ModelCorruptError, match="non-finite"):
            session.run(batch())
    with pytest.raises(ModelCorruptError, match="non-finite"):
        open_session(path, device="cpu").run(batch())


def test_what_looks_alike() -> None:
    full = np.full((1, 3, 4, 4), 0.5, np.float32)
    assert selfcheck.look_alike(full, full)
    assert selfcheck.look_alike(full + 1 / 255, full)
    assert not selfcheck.look_alike(full + 3 / 255, full)
    assert selfcheck.look_alike(full * 10 + 3 / 255, full * 10), "in units of the largest number"
    spot = full.copy()
    spot[0, 0, 0, 0] = 1
    assert not selfcheck.look_alike(spot, full)
    assert not selfcheck.look_alike(full * np.nan, full)


def test_what_cannot_be_remembered_is_measured_again(cache: Path) -> None:
    for verdict in (True, False):
        selfcheck.remember("key", verdict)
        assert selfcheck.recall("key") is verdict
    for data in (b"", b"[]", b'{"rms": 1}', b"\xff"):
        (cache / "key.json").write_bytes(data)
        assert selfcheck.recall("key") is None
    (cache / "key.json").unlink()
    cache.rmdir()
    cache.write_text("no folder")
    selfcheck.remember("key", True)
    assert selfcheck.recall("key") is None


def test_a_verdict_is_of_one_file_and_one_machine(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"one")
    b.write_bytes(b"two")
    keys = [
        selfcheck.fingerprint(a, "cpu 1"),
        selfcheck.fingerprint(b, "cpu 1"),
        selfcheck.fingerprint(a, "cpu 2"),
    ]
    assert len(set(keys)) == 3
    assert selfcheck.fingerprint(a, "cpu 1") == keys[0]


def test_probe_is_a_picture() -> None:
    x = selfcheck.probe(40, 30)
    assert x.shape == (1, 3, 40, 30)
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0, 1)
    np.testing.assert_array_equal(x, selfcheck.probe(40, 30))


def test_libraries_load_late_and_tell_nobody(scene: Path) -> None:
    code = f"""
import sys, pathlib, revisage.runtime, revisage.zoo, revisage.runtime.openvino, revisage.runtime.onnxruntime
early = [m for m in ("openvino", "onnxruntime", "torch", "onnx", "requests") if m in sys.modules]
revisage.runtime.open_session(pathlib.Path({str(scene)!r}), device="cpu", precision="fp32")
late = [m for m in ("openvino_telemetry", "torch", "onnx") if m in sys.modules]
import os
revisage.runtime.onnxruntime.gpu_providers()
print(early, late, os.environ["ORT_DISABLE_TELEMETRY"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] [] 1"


@pytest.mark.parametrize(
    ("text", "allowed"), [("max 100000", 4), ("200000 100000", 2), ("50000 100000", 1), ("broken", 4)]
)
def test_a_container_s_quota_binds_the_threads(
    text: str, allowed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpu.max").write_text(text)
    monkeypatch.setattr(cores, "CPU_MAX", tmp_path / "cpu.max")
    monkeypatch.setattr(cores.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: set(range(4)), raising=False)
    assert cores.cores() == allowed
    assert cores.threads_for(None) == (None if allowed == 4 else allowed)
    assert cores.threads_for(3) == 3
