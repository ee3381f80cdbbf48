"""Models in ncnn's files: the same weights, the same picture, and clear words where that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import platformdirs
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("spandrel")

from checkpoints import compact_state, rrdb_state, save, save_ncnn  # noqa: E402

from revisage import cli  # noqa: E402
from revisage.errors import ModelCorruptError, ModelMissingError  # noqa: E402
from revisage.runtime import open_session  # noqa: E402
from revisage.runtime.selfcheck import probe  # noqa: E402
from revisage.zoo import Contract, checkpoints, ncnn, published  # noqa: E402

SHARED = Path(__file__).parents[2] / "shared" / "models"
STATES = {"compact": compact_state(), "rrdb": rrdb_state()}


def main(arguments: list[str]) -> int:
    return cli.main(["models", *arguments])


def picture() -> np.ndarray:
    return np.random.default_rng(0).random((1, 3, 16, 20), dtype=np.float32)


def run(file: Path, x: np.ndarray) -> np.ndarray:
    network = published.read(file)
    contract = Contract("x", network.task, network.size, network.scale, "1", "none")
    return open_session(network.onnx(contract, half=False), device="cpu", precision="fp32").run(x)


@pytest.mark.parametrize("kind", STATES)
def test_the_same_picture_as_the_plain_network_of_the_same_weights(kind: str, tmp_path: Path) -> None:
    plain = run(save(tmp_path / "plain.pth", STATES[kind]), picture())
    full = run(save_ncnn(tmp_path / "full", STATES[kind], half=False), picture())
    assert np.array_equal(full, plain)
    half = run(save_ncnn(tmp_path / "half", STATES[kind]), picture())
    assert np.abs(half - plain).max() < 2 / 255


@pytest.mark.parametrize("suffix", [".param", ".bin"])
def test_either_file_is_imported_and_restores(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    file = save_ncnn(tmp_path / "upscayl-x4", STATES["compact"])
    assert main(["import", str(file.with_suffix(suffix))]) == 0
    model = Path(capsys.readouterr().out.split(": ", 1)[1].strip())
    assert model.stem == "upscayl-x4"
    wanted = run(file, picture())
    session = open_session(model, device="cpu", precision="fp32")
    assert np.abs(session.run(picture()) - wanted).max() < 2 / 255


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared models are not here")
def test_the_published_general_network_and_its_twin_can_be_read() -> None:
    for name in ("realesr-general-x4v3", "realesr-general-wdn-x4v3"):
        network = published.read(SHARED / f"{name}.param")
        assert (network.task, network.scale) == ("scene", 4)
        x = probe(64, 64)
        back = run(SHARED / f"{name}.param", x).reshape(1, 3, 64, 4, 64, 4).mean((3, 5))
        assert np.abs(back - x).mean() < 0.05  # noise goes, the picture stays


def test_a_missing_half_is_named(tmp_path: Path) -> None:
    file = save_ncnn(tmp_path / "m", STATES["compact"])
    file.with_suffix(".bin").unlink()
    with pytest.raises(ModelMissingError, match=r"m\.bin"):
        ncnn.read(file)


@pytest.mark.parametrize("capitals", [(".param",), (".bin",), (".param", ".bin")])
def test_capitals_are_of_the_same_model(
    capitals: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    file = save_ncnn(tmp_path / "m", STATES["compact"])
    wanted = ncnn.read(file)
    halves = [file.with_suffix(suffix) for suffix in (".param", ".bin")]
    named = [
        half.with_suffix(half.suffix.upper() if half.suffix in capitals else half.suffix) for half in halves
    ]
    for half, name in zip(halves, named, strict=True):
        half.rename(name)
    for name in named:
        assert all(np.array_equal(values, wanted[key]) for key, values in checkpoints.read(name).items())
        assert main(["import", str(name), "--as", f"of{name.suffix.lower()}"]) == 0


def test_the_numbers_of_another_network_are_refused(tmp_path: Path) -> None:
    """Too many of them once gave a model of noise: what is left over was not looked at."""
    file, other = (save_ncnn(tmp_path / kind, STATES[kind]) for kind in ("compact", "rrdb"))
    file.with_suffix(".bin").write_bytes(other.with_suffix(".bin").read_bytes())
    with pytest.raises(ModelCorruptError, match=r"compact\.bin holds more than .*compact\.param tells of"):
        ncnn.read(file)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text, data: (text, data[:-8]), "too short"),
        (lambda text, data: (text, b""), "too short"),
        (lambda text, data: (text.replace("7767517", "7767516"), data), "no ncnn graph"),
        (lambda text, data: (text.replace("6=", "6=1"), data), "no sound sizes"),
        (lambda text, data: (text.replace("0=8 ", "0=zero "), data), "no sound sizes"),
        (lambda text, data: (text.replace("0=8 ", "0=0 "), data), "no sound sizes"),
        (lambda text, data: (text.replace("1=3", "1=0"), data), "no sound sizes"),
        (lambda text, data: (text, data + bytes(64)), "holds more"),
        (lambda text, data: ("7767517\n1 1\nInput in 0 1 data\n", data), "no known network"),
        (lambda text, data: (text, b"\x38\x4b\x0d\x00" + data[4:]), "8-bit"),
        (lambda text, data: (text, data[:4] + b"\x00\x7c" + data[6:]), "not finite"),
    ],
)
def test_damaged_files_are_refused_in_words(change: object, words: str, tmp_path: Path) -> None:
    file = save_ncnn(tmp_path / "m", STATES["compact"])
    numbers = file.with_suffix(".bin")
    text, data = change(file.read_text(), numbers.read_bytes())  # type: ignore[operator]
    file.write_text(text)
    numbers.write_bytes(data)
    with pytest.raises(ModelCorruptError, match=words):
        ncnn.read(file)
