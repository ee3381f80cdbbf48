"""PyTorch's picture from published checkpoints, without PyTorch: `python tests/checkpoints.py` made both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from revisage.runtime import open_session
from revisage.zoo import Contract, published

STORED = Path(__file__).parent / "published"


@pytest.mark.parametrize("name", ["face", "scene-x2", "compact-x4"])
def test_the_picture_is_that_of_pytorch(name: str) -> None:
    pictures = np.load(STORED / "pictures.npz")
    network = published.read(STORED / f"{name}.pth")
    contract = Contract(name, network.task, network.size, network.scale, "1", "none")
    for half, tolerance in ((False, 1e-4), (True, 1 / 255)):
        session = open_session(network.onnx(contract, half=half), device="cpu", precision="fp32")
        np.testing.assert_allclose(session.run(pictures["input"]), pictures[name], atol=tolerance)
    assert pictures[name].std() > 0.05
