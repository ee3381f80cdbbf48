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
from revisage.runtime import open_session  # noqa: E402
from revisage.runtime.selfcheck import probe  # noqa: E402

SIZES = {
    "SPAN": {"num_in_ch": 3, "num_out_ch": 3, "feature_channels": 8, "upscale": 2},
    "DnCNN": {"in_nc": 3, "out_nc": 3, "nc": 8, "nb": 20, "act_mode": "R"},
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    monkeypatch.delenv("REVISAGE_MODELS", raising=False)
    return tmp_path / "cache" / "models"


def save(family: str, path: Path, **sizes: object) -> Path:
    network = getattr(importlib.import_module(f"spandrel.architectures.{family}"), family)(**sizes)
    torch.save({"params": network.state_dict()}, path)
    return path


@pytest.mark.parametrize("family", SIZES)
def test_it_gives_what_pytorch_gives(family: str, home: Path, tmp_path: Path) -> None:
    file = save(family, tmp_path / "theirs.pth", **SIZES[family])
    assert main(["models", "import", str(file)]) == 0
    made = home / "theirs.onnx"
    batch = probe(36, 52)
    network = spandrel.ModelLoader(device="cpu").load_from_file(file).eval()
    wanted = network(torch.from_numpy(batch)).numpy()
    got = open_session(made, device="cpu", precision="fp32").run(batch)
    assert np.ptp(wanted) > 0.1
    assert np.abs(got - wanted).max() < 1 / 255
    assert zoo.read_contract(made).scale == wanted.shape[-1] // 52
    before = made.stat().st_mtime_ns
    assert main(["models", "import", str(file)]) == 0
    assert made.stat().st_mtime_ns == before


def test_another_family_is_refused_with_those_that_work(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"dim": 8, "n_blocks": 1, "ffn_scale": 2.0, "upscaling_factor": 2}
    assert main(["models", "import", str(save("SAFMN", tmp_path / "other.pth", **sizes))]) == 1
    assert "is of SAFMN; these can be imported: DnCNN, SPAN" in capsys.readouterr().err
    assert not home.exists()
