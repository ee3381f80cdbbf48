"""The comparison of changes of the face model: what it measures, and that every change is one."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from revisage.lab.degrade.gfpgan import Gfpgan  # noqa: E402
from revisage.lab.train import presets  # noqa: E402
from revisage.lab.train.face_losses import FaceWeights  # noqa: E402
from revisage.lab.train.settings import change as changed  # noqa: E402
from revisage.lab.train.tasks.gfpgan import FaceSettings  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import face_changes  # noqa: E402


@pytest.mark.parametrize("name", face_changes.CHANGES)
def test_every_change_leaves_something_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = face_changes.CHANGES[name]
    monkeypatch.setitem(face_changes.RECIPES, "face-narrow", face_changes.RECIPES["face"])
    base = FaceSettings(
        data=tmp_path, edgeface_weights=tmp_path / "edgeface.npz", loss_weights=FaceWeights(laplacian=0.5)
    )
    whole = changed(base, change.base)
    without = changed(whole, change.settings)
    loop = presets.choose("gfpgan", "reconstruction-256").loop
    spoils = change.spoil is face_changes.rough_crops
    assert without != whole or replace(loop, **change.loop) != loop or spoils


def test_the_narrow_recipe_ends_where_version_3_ended() -> None:
    factors = [
        step.factor
        for seed in range(600)
        for step in face_changes.narrow(np.random.default_rng(seed)).steps
        if isinstance(step, Gfpgan)
    ]
    assert 7.5 < max(factors) <= 8


def test_correlation_is_of_middle_frequencies() -> None:
    torch.manual_seed(0)
    truth = torch.rand(2, 3, 128, 128)
    assert face_changes.correlation(truth, truth).tolist() == pytest.approx([1, 1])
    assert face_changes.correlation(torch.rand(2, 3, 128, 128), truth).abs().max() < 0.1
    x = torch.arange(128.0)
    outside = truth + torch.sin(2 * torch.pi * 4 * x / 128) + torch.sin(2 * torch.pi * 60 * x / 128)
    assert face_changes.correlation(outside, truth).tolist() == pytest.approx([1, 1], abs=1e-6)


def test_the_table_has_means_and_the_gains_of_pairs() -> None:
    rows = {
        "with": {"paper psnr": np.array([30.0, 32.0]), "hard degrees": np.array([40.0, np.nan])},
        "without": {"paper psnr": np.array([29.0, 31.0]), "hard degrees": np.array([42.0, np.nan])},
    }
    text = face_changes.table(rows, {"code": ("with", "without")})
    assert "| with | 31.00 | 40.0 |" in text
    assert "| **code: gain** | +1.00 (+1.00 to +1.00) | -2.0 (-2.0 to -2.0) |" in text
