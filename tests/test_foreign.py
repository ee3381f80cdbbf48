"""Checkpoints that only spandrel knows become ONNX models that give what PyTorch gives."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import platformdirs
import pytest

torch = pytest.importorskip("torch")
spandrel = pytest.importorskip("spandrel", reason="pip install 'revisage[checkpoints]'")

from revisage import zoo  # noqa: E402
from revisage.cli import main  # noqa: E402
from revisage.lab import foreign  # noqa: E402
from revisage.runtime import open_session  # noqa: E402
from revisage.runtime.selfcheck import probe  # noqa: E402

FAMILIES: dict[str, tuple[str, dict[str, object]]] = {
    "DnCNN": ("DnCNN", {"in_nc": 3, "out_nc": 3, "nc": 8, "nb": 20, "act_mode": "R"}),
    "MoSR": ("MoSR", {"dim": 16, "n_block": 2, "upscale": 2}),
    "OmniSR": ("OmniSR", {"num_feat": 16, "res_num": 1, "up_scale": 2}),
    "PLKSR": ("RealPLKSR", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2}),
    "RealCUGAN": ("UpCunet2x", {}),
    "SAFMN": ("SAFMN", {"dim": 16, "n_blocks": 2, "upscaling_factor": 2}),
    "SPAN": ("SPAN", {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": 2}),
    "SwiftSRGAN": ("SwiftSRGAN", {"num_channels": 16, "num_blocks": 2, "upscale_factor": 2}),
    "SwinIR": (
        "SwinIR",
        {"window_size": 8, "embed_dim": 12, "depths": [2], "num_heads": [2], "upscale": 2}
        | {"mlp_ratio": 2, "upsampler": "pixelshuffledirect"},
    ),
}
"""Of each family a class and small sizes."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(1)  # with contrast in the output of every family
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    monkeypatch.delenv("REVISAGE_MODELS", raising=False)
    return tmp_path / "cache" / "models"


def save(family: str, path: Path, name: str, **sizes: object) -> Path:
    network = getattr(importlib.import_module(f"spandrel.architectures.{family}"), name)(**sizes)
    torch.save({"params": network.state_dict()}, path)
    return path


def test_every_family_is_tested() -> None:
    assert tuple(FAMILIES) == foreign.FAMILIES


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(each, marks=() if each in ("SPAN", "SwinIR") else pytest.mark.slow, id=each)
        for each in FAMILIES
    ],
)
def test_it_gives_what_pytorch_gives(family: str, home: Path, tmp_path: Path) -> None:
    name, sizes = FAMILIES[family]
    file = save(family, tmp_path / "theirs.pth", name, **sizes)
    assert main(["models", "import", str(file)]) == 0
    made = home / "theirs.onnx"
    network = spandrel.ModelLoader(device="cpu").load_from_file(file).eval()
    session = open_session(made, device="cpu", precision="fp32")
    for height, width in ((40, 56), (64, 64), (112, 48)):  # multiples of 8, as tiles are
        batch = np.concatenate([probe(height, width), probe(height, width)[:, ::-1, ::-1]])
        wanted = np.concatenate([network(torch.from_numpy(one[None])).numpy() for one in batch])
        assert np.ptp(wanted) > 0.1
        assert np.abs(session.run(batch) - wanted).max() < 1 / 255
        assert np.abs(session.run(batch[:1]) - wanted[:1]).max() < 1 / 255, "a batch of another length"
    assert zoo.read_contract(made).scale == wanted.shape[-1] // 48
    before = made.stat().st_mtime_ns
    assert main(["models", "import", str(file)]) == 0
    assert made.stat().st_mtime_ns == before


def test_another_family_is_refused_with_those_that_work(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"embed_dim": 48, "split_size": [8, 8], "depth": [2], "num_heads": [2], "upscale": 2}
    assert main(["models", "import", str(save("DAT", tmp_path / "other.pth", "DAT", **sizes))]) == 1
    assert "is of DAT; these can be imported: DnCNN, MoSR, OmniSR, PLKSR, " in capsys.readouterr().err
    assert not home.exists()
