"""The expression of a face before and after: a classifier, and the metrics that compare its answers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from revisage import runtime, zoo
from revisage.errors import ModelCorruptError
from revisage.files import sha256
from revisage.lab.data.expressions import EXPRESSIONS
from revisage.lab.degrade import Chain
from revisage.lab.degrade.camera import GaussianNoise, Jpeg
from revisage.lab.degrade.kernels import GaussianBlur
from revisage.lab.metrics import Metric, MetricSpec

CHANGED = "expression_changed"
UNSTABLE = "expression_unstable"

# Two copies of a face in which nobody would see another expression; lengths at 512 px.
MILD = tuple(
    Chain((GaussianBlur(sigma, sigma, 0.0), GaussianNoise(4 / 255, False, seed), Jpeg(quality)))
    for seed, sigma, quality in ((1, 1.0, 90), (2, 2.0, 75))
)


class ModelClassifier:
    """A model of the task "expression": (N, 3, S, S) of its own size -> (N, 7) scores of `EXPRESSIONS`."""

    def __init__(self, name: str = "auto") -> None:
        """`name`: "auto", a model's name, or an `.onnx` file. Raises ModelError as `zoo.resolve` does."""
        model = zoo.resolve("expression", name)
        if model.spec.size is None:
            raise ModelCorruptError(f"{model.path} states no size: an expression model takes square faces")
        self.size: int = model.spec.size
        self.sha256 = {str(model): sha256(model.path)}
        self._session = runtime.open_session(model.path, device="cpu", precision="fp32")

    def recognise(self, faces: Tensor) -> Tensor:
        """(N, 3, S, S) RGB in [0, 1] on the FFHQ template -> (N,) numbers into `EXPRESSIONS`."""
        if faces.shape[2:] != (self.size, self.size):
            mode = "area" if faces.shape[2] > self.size else "bicubic"
            faces = F.interpolate(faces, (self.size, self.size), mode=mode).clamp(0, 1)
        scores = self._session.run(faces.numpy().astype(np.float32))
        if scores.shape != (len(faces), len(EXPRESSIONS)):
            raise ModelCorruptError(
                f"the expression model gives {scores.shape} for {len(faces)} faces: its scores must be those "
                f"of {', '.join(EXPRESSIONS)}"
            )
        return torch.from_numpy(scores.argmax(1))


_SHARE = MetricSpec(
    name="", kind="pair", better="lower", data_range="[0, 1]", colour="luma of ITU-R BT.601", source="",
    crop="brows to chin of a face on the FFHQ template", unit="share of the faces", least=64,
)  # fmt: skip


def changed(classifier: ModelClassifier) -> Metric:
    """1 where the restored face is given another expression than the true one, else 0."""
    source = "the restored face is recognised as another expression than the true one"
    spec, recognise = replace(_SHARE, name=CHANGED, source=source), classifier.recognise
    return Metric(spec, classifier.sha256, lambda restored, truth: recognise(restored) != recognise(truth))


def unstable(classifier: ModelClassifier) -> Metric:
    """1 where two mildly degraded copies of the true face are given different expressions, else 0. It says
    nothing about a method: it is what `changed` would be with nothing changed but the pixels."""
    source = "two mildly degraded copies of the true face (blur, noise, JPEG) differ"

    def values(_: Tensor, truth: Tensor) -> Tensor:
        first, second = (classifier.recognise(_degraded(truth, chain)) for chain in MILD)
        return first != second

    return Metric(replace(_SHARE, name=UNSTABLE, source=source), classifier.sha256, values)


METRICS: dict[str, Callable[[ModelClassifier], Metric]] = {CHANGED: changed, UNSTABLE: unstable}


def _degraded(faces: Tensor, chain: Chain) -> Tensor:
    pictures = [chain.apply(np.ascontiguousarray(face.permute(1, 2, 0).numpy())) for face in faces]
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous()
