"""A training of a toy, small enough to be run many times by the tests of the loop."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

from torch import Tensor, nn  # noqa: E402

from revisage.lab.data.loader import Sample  # noqa: E402
from revisage.lab.train import checkpoint  # noqa: E402
from revisage.lab.train.settings import LoopSettings  # noqa: E402
from revisage.lab.train.task import Phase  # noqa: E402

SETTINGS = LoopSettings(
    images=40, batch=4, rate=0.05, warmup=8, ema=16, precision="fp32", threads=1, save_every=0
)
STEPS = 10


class Toy:
    """A student learns from a noisy teacher, beside a rival that is updated in every third step.

    `at(images)` is called before each step's first loss and may raise; its answer multiplies the loss.
    """

    averaged = "student"
    best = "score"

    def __init__(self, at: Callable[[int], float] = lambda images: 1.0, width: int = 5) -> None:
        torch.manual_seed(0)
        student = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 1, 3)
        )
        self.networks: dict[str, nn.Module] = {"student": student, "rival": nn.Conv2d(1, 1, 3)}
        self.at = at
        self.seen: dict[str, set[int]] = {"student": set(), "rival": set()}
        self.scores = iter([1.0, 5.0, 2.0, 1.0])

    @property
    def steps(self) -> dict[str, int]:
        """Different batches that each network was given."""
        return {name: len(seen) for name, seen in self.seen.items()}

    def phases(self) -> list[Phase]:
        return [Phase("learn", "student", self._learn), Phase("copy", "rival", self._copy, interval=3)]

    def sample(self, index: int) -> Sample:
        x = np.random.default_rng(index).random((1, 6, 6), np.float32)
        return {"image": x, "y": np.roll(x, 1, axis=2)[:, 1:-1, 1:-1], "index": np.array(index)}

    def _learn(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.seen["student"].add(int(batch["index"][0]))
        factor = self.at(int(batch["index"][0]))
        noise = 0.1 * torch.randn_like(batch["image"])  # what is drawn in a step must come back as well
        answer = self.networks["student"](batch["image"] + noise)
        return {"error": factor * (answer - batch["y"]).square().mean(), "size": 0.01 * answer.abs().mean()}

    def _copy(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.seen["rival"].add(int(batch["index"][0]))
        with torch.no_grad():
            answer = self.networks["student"](batch["image"])
        return {"distance": (self.networks["rival"](batch["image"]) - answer).abs().mean()}

    def validate(self, network: nn.Module) -> dict[str, float]:
        assert not network.training
        return {"score": next(self.scores)}

    def pictures(self, network: nn.Module) -> np.ndarray:
        return np.zeros((4, 4, 3), np.uint8)


def final(run: Path) -> dict[str, Any]:
    path = checkpoint.newest(run / "checkpoints")
    assert path is not None
    state = checkpoint.load(path)
    del state["seconds"]
    return state


def assert_same(one: Any, other: Any) -> None:
    """Equal to the last bit, whatever is nested."""
    assert type(one) is type(other)
    if isinstance(one, Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other
