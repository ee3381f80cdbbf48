"""What a method's text means, and that each kind of it gives the picture it should."""

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from evaluate_stubs import picture, write_pictures
from onnx_files import CONTRACT, conv_network
from PIL import Image

from revisage.errors import ModelCorruptError, ModelError, UsageError
from revisage.lab.evaluate import Data, MethodSettings, View, clean_pictures, open_methods
from revisage.lab.networks.compact import Compact, CompactConfig
from revisage.runtime import open_session

FP32 = MethodSettings(aligned=True, device="cpu", threads=1)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return clean_pictures(write_pictures(tmp_path / "clean", 3), recipe="none", seed=0, view=View())


def result(text: str, data: Data, pixels: np.ndarray, scale: int = 1) -> np.ndarray:
    (method,) = open_methods([text], FP32, data).values()
    found = method.run("0.png", pixels, scale)
    assert found.dtype == np.uint8
    assert found.shape == (pixels.shape[0] * scale, pixels.shape[1] * scale, 3)
    return found


def raw(path: Path, pixels: np.ndarray) -> np.ndarray:
    """What the network itself gives, on the scale of 8 bits."""
    batch = np.ascontiguousarray((pixels.astype(np.float32) / 255).transpose(2, 0, 1)[None])
    output = open_session(path, device="cpu", precision="fp32", threads=1).run(batch)
    return np.ascontiguousarray(output[0].transpose(1, 2, 0)) * 255


def halved(pixels: np.ndarray) -> np.ndarray:
    """As a picture of half the size."""
    size = (pixels.shape[1] // 2, pixels.shape[0] // 2)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).clip(0, 255)


def close(one: np.ndarray, other: np.ndarray, steps: float = 1.01, border: int = 8) -> bool:
    """Whether they agree but for the border, beyond which a Restorer mirrors."""
    inner = slice(border, -border or None)
    return bool(np.abs(one.astype(float) - other)[inner, inner].max() <= steps)


def state_of_ones_own(path: Path) -> Compact:
    """A checkpoint in the layout that others publish, with visible weights."""
    torch.manual_seed(0)
    network = Compact(CompactConfig(features=8, layers=1, scale=2))
    network.body[-1].weight.data *= 10
    torch.save({"params": network.state_dict()}, path)
    return network.eval()


def test_input_and_bicubic(data: Data) -> None:
    pixels = picture(0)
    np.testing.assert_array_equal(result("input", data, pixels), pixels)
    np.testing.assert_array_equal(result("bicubic", data, pixels), pixels)
    np.testing.assert_array_equal(result("input", data, pixels, 4)[1::4, 2::4], pixels)
    large = Image.fromarray(pixels).resize((128, 128), Image.Resampling.BICUBIC)
    # Pillow's kernel is a little softer (a = -0.5, not -0.75).
    assert np.abs(result("bicubic", data, pixels, 4).astype(float) - np.array(large)).mean() < 3


def test_an_onnx_file_of_others(tmp_path: Path, data: Data) -> None:
    path = conv_network(tmp_path / "foreign.onnx", scale=2)
    pixels = picture(1, 64)
    doubled = raw(path, pixels)
    assert close(result(str(path), data, pixels), halved(doubled))
    quadrupled = raw(path, doubled).clip(0, 255)
    assert close(result(str(path), data, pixels, 4), quadrupled, border=32)
    fixed = conv_network(tmp_path / "fixed.onnx", scale=1, size=64)
    settings = MethodSettings(aligned=True, device="cpu", threads=1)
    (method,) = open_methods([str(fixed)], settings, data).values()
    assert close(method.run("0.png", pixels, 1), raw(fixed, pixels).clip(0, 255), border=0)


def test_a_checkpoint(tmp_path: Path, data: Data) -> None:
    network = state_of_ones_own(tmp_path / "own.pth")
    pixels = picture(1, 64)
    with torch.no_grad():
        batch = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
        output = network(batch)[0].permute(1, 2, 0).contiguous().numpy() * 255
    assert close(result(str(tmp_path / "own.pth"), data, pixels), halved(output))


def test_a_checkpoint_that_only_spandrel_knows(tmp_path: Path, data: Data) -> None:
    spandrel = pytest.importorskip("spandrel")
    architecture = pytest.importorskip("spandrel.architectures.DnCNN")
    torch.manual_seed(0)
    network = architecture.DnCNN(in_nc=3, out_nc=3, nc=8, nb=4, mode="R")
    path = tmp_path / "denoiser.pth"
    torch.save(network.state_dict(), path)
    model = spandrel.ModelLoader(device="cpu").load_from_file(path)
    pixels = picture(2, 64)
    with torch.no_grad():
        output = model(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255)
    expected = np.rint(output[0].permute(1, 2, 0).clamp(0, 1).numpy() * 255)
    assert close(result(str(path), data, pixels), expected, 2)


def test_a_file_that_nobody_knows_is_refused(tmp_path: Path, data: Data) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "odd.pth")
    with pytest.raises(ModelCorruptError, match=r"odd\.pth"):
        open_methods([str(tmp_path / "odd.pth")], FP32, data)
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelError, match=r"broken\.onnx"):
        open_methods([str(tmp_path / "broken.onnx")], FP32, data)


def test_results_made_elsewhere(tmp_path: Path, data: Data) -> None:
    for seed in range(3):
        Image.fromarray(picture(seed + 10)).save(tmp_path / f"{seed}.webp", lossless=True)
    Image.fromarray(picture(10, 64)).save(tmp_path / "0.webp", lossless=True)
    method = open_methods([f"ours={tmp_path}"], FP32, data)["ours"]
    np.testing.assert_array_equal(method.run("1.png", picture(1), 1), picture(11))
    # Of another size: brought to the truth's.
    assert method.run("0.png", picture(0), 1).shape == (32, 32, 3)
    before = method.identity
    Image.fromarray(picture(50)).save(tmp_path / "2.webp", lossless=True)
    assert open_methods([f"ours={tmp_path}"], FP32, data)["ours"].identity != before
    (tmp_path / "1.webp").unlink()
    with pytest.raises(UsageError, match=r"no result for 1\.png"):
        open_methods([f"ours={tmp_path}"], FP32, data)


def test_chains_and_means(tmp_path: Path, data: Data) -> None:
    for name, shift in (("dark", -20), ("light", 31)):
        (tmp_path / name).mkdir()
        for seed in range(3):
            pixels = np.clip(picture(seed).astype(int) + shift, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{seed}.png")
    dark, light = str(tmp_path / "dark"), str(tmp_path / "light")
    both = [np.array(Image.open(tmp_path / name / "0.png")).astype(float) for name in ("dark", "light")]
    assert close(result(f"{dark}+{light}", data, picture(0)), np.mean(both, axis=0), 0.51, border=0)
    np.testing.assert_array_equal(result(f"{dark}+{light}>{light}", data, picture(0)), both[1])
    network = conv_network(tmp_path / "x2.onnx", scale=2)
    chained = result(f"input>{network}>bicubic", data, picture(1, 48), 4)
    alone = result(str(network), data, picture(1, 48).repeat(4, 0).repeat(4, 1))
    np.testing.assert_array_equal(chained, alone)


def test_labels(tmp_path: Path, data: Data) -> None:
    network = conv_network(tmp_path / "x2.onnx", scale=2)
    texts = ["input", f"{network}", f"input>{network}+bicubic", f"my model={network}"]
    labels = list(open_methods(texts, FP32, data))
    assert labels == ["input", "x2", "input>x2+bicubic", "my model"]
    for wrong, says in (
        ("=input", "LABEL=METHOD"),
        ("", "empty"),
        ("input>", "no model"),
        ("a/b", "no folder"),
    ):
        with pytest.raises((UsageError, ModelError), match=says):
            open_methods([wrong], FP32, data)


def test_two_models_differ_in_their_identity_by_their_weights(tmp_path: Path, data: Data) -> None:
    one, other = (conv_network(tmp_path / f"{seed}.onnx", seed=seed) for seed in (0, 1))
    identities = [
        next(iter(open_methods([str(path)], FP32, data).values())).identity for path in (one, other)
    ]
    assert identities[0] != identities[1]


def test_two_models_of_ncnn_differ_by_the_file_of_their_numbers(tmp_path: Path, data: Data) -> None:
    """Their graphs are the same: a run that is started again must not take one's results for the other's."""
    pytest.importorskip("spandrel")
    from checkpoints import compact_state, save_ncnn

    identities = []
    for seed in (0, 1):
        path = save_ncnn(tmp_path / "same", compact_state(seed=seed))
        (method,) = open_methods([str(path)], FP32, data).values()
        identities.append(method.identity)
    assert identities[0] != identities[1]


def test_embedded_models_aligned_and_whole(data: Data) -> None:
    pixels = picture(3, 96)
    for text in ("revisage-face-256", "revisage-scene-x2", "restore"):
        assert result(text, data, pixels).std() > 5
        (whole,) = open_methods([text], MethodSettings(device="cpu", threads=1), data).values()
        assert whole.run("0.png", pixels, 1).shape == pixels.shape
    with pytest.raises(UsageError, match="finder"):
        open_methods(["revisage-finder"], FP32, data)


def test_a_model_with_a_contract_is_known_by_it(tmp_path: Path, data: Data) -> None:
    import onnx

    path = conv_network(tmp_path / "mine.onnx", scale=2)
    model = onnx.load(path)
    for key, value in CONTRACT.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    assert close(result(str(path), data, picture(1, 64)), halved(raw(path, picture(1, 64))))


def test_whole_pictures_go_to_a_face_model_as_they_are() -> None:
    with pytest.raises(UsageError, match="--whole is for pictures, not aligned faces"):
        View(whole=True, aligned=True)
    assert View(whole=True, size=128).direct
    assert not View(whole=True).faces  # metrics of faces still look for them
    assert not View().direct
