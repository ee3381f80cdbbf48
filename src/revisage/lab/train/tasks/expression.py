"""Training of the expression classifier on labelled faces."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage import zoo
from revisage.faces import Detector
from revisage.lab.data.expressions import EXPRESSIONS, labelled, read_crops, without_copies
from revisage.lab.data.loader import Sample
from revisage.lab.data.pictures import shuffled
from revisage.lab.degrade.camera import jpeg
from revisage.lab.networks.expression import CROP, FRAME, Expression, ExpressionConfig
from revisage.lab.train.distributed import device_of
from revisage.lab.train.task import Batch, Phase

DEFAULT = ExpressionConfig()
_MARGIN = 6  # pixels around the crop, so that a moved one has no empty border
_DETECTOR_SCORE = 0.5  # every picture holds a face


@dataclass(frozen=True)
class ExpressionSettings:
    """Data and weights of the classifier's training."""

    data: Path
    """Folder with one folder of faces for each of `EXPRESSIONS`."""
    network: ExpressionConfig = DEFAULT
    """Sizes."""
    smoothing: float = 0.1
    """Share of the label that goes to the other expressions: people agree on two faces of three."""
    mixing: float = 0.2
    """Parameter of the beta distribution by which two faces of a batch are mixed; 0 for none."""
    seed: int = 0
    """Of every draw."""


class ExpressionTask:
    """See `revisage.lab.train.task.Task`."""

    averaged = "expression"
    best = "accuracy"

    def __init__(self, settings: ExpressionSettings) -> None:
        cv2.setNumThreads(1)  # the loader's threads are the parallelism
        self.settings = settings
        find = Detector(zoo.resolve("finder").path, score_threshold=_DETECTOR_SCORE).find
        frame = FRAME + np.array([[0, 0, _MARGIN], [0, 0, _MARGIN]])
        sides = []
        for held in (False, True):
            rows = labelled(settings.data, held=held)
            crops = read_crops([path for path, _ in rows], find, CROP + 2 * _MARGIN, frame)
            sides.append((crops, np.array([label for _, label in rows])))
        (crops, labels), (self.held, self.truth) = sides
        kept = without_copies(crops, self.held)
        self.crops, self.labels = crops[kept], labels[kept]
        torch.manual_seed(settings.seed)
        self.network = Expression(settings.network)
        self.networks: dict[str, nn.Module] = {"expression": self.network}

    def phases(self) -> list[Phase]:
        return [Phase("expression", "expression", self._losses)]

    def sample(self, index: int) -> Sample:
        """ "image" (1, 48, 48) float32 in [0, 1], turned, moved and degraded a little; "label" () int64."""
        i = shuffled(index, len(self.crops), self.settings.seed)
        crop = varied(self.crops[i], np.random.default_rng((self.settings.seed, index, 1)))
        return {"image": crop[None], "label": np.asarray(self.labels[i], np.int64)}

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        crops, labels, settings = batch["image"], batch["label"], self.settings
        # Zhang et al., mixup, ICLR 2018.
        mixing = torch.distributions.Beta(settings.mixing, settings.mixing) if settings.mixing else None
        share = torch.ones(()) if mixing is None else mixing.sample().to(crops.device)
        order = torch.randperm(len(crops), device=crops.device)
        logits = self.network.logits(share * crops + (1 - share) * crops[order])
        entropy = partial(F.cross_entropy, logits, label_smoothing=settings.smoothing)
        return {"entropy": share * entropy(target=labels) + (1 - share) * entropy(target=labels[order])}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Accuracy on the held-out faces, and the mean over the expressions of the share recognised."""
        table = confusion(self.truth, self._predict(network))
        hits = np.diag(table)
        return {"accuracy": float(hits.sum() / table.sum()), "balanced": float((hits / table.sum(1)).mean())}

    def pictures(self, network: nn.Module) -> np.ndarray:
        """Held-out faces by what they were recognised as, one row an expression, at most 16 a row."""
        answers, side = self._predict(network), CROP + 2 * _MARGIN
        rows = np.zeros((len(EXPRESSIONS), 16, side, side), np.uint8)
        for number, row in enumerate(rows):
            faces = self.held[answers == number][:16]
            row[: len(faces)] = faces
        sheet = rows.transpose(0, 2, 1, 3).reshape(len(EXPRESSIONS) * side, 16 * side)
        return np.repeat(sheet[..., None], 3, axis=2)

    @torch.no_grad()
    def _predict(self, network: nn.Module) -> np.ndarray:
        assert isinstance(network, Expression)
        inner = self.held[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        crops = torch.from_numpy(inner[:, None].astype(np.float32) / 255).to(device_of(network))
        return (network.logits(crops) + network.logits(crops.flip(3))).argmax(1).cpu().numpy()


def confusion(truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """(K, K) counts: row the expression it is, column what it was taken for."""
    table = np.zeros((len(EXPRESSIONS),) * 2, np.int64)
    np.add.at(table, (truth, answers), 1)
    return table


def varied(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(60, 60) uint8 -> its (48, 48) float32 middle in [0, 1], as another photo might show the face."""
    angle, scale = rng.normal(0, 6), np.exp(rng.normal(0, 0.07))
    centre = (crop.shape[0] - 1) / 2
    matrix = cv2.getRotationMatrix2D((centre, centre), angle, scale)
    matrix[:, 2] += rng.normal(0, 1.2, 2) - _MARGIN
    picture = cv2.warpAffine(crop, matrix, (CROP, CROP), borderMode=cv2.BORDER_REFLECT)  # linear
    picture = picture.astype(np.float32) / 255
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    if rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.2))
    if rng.random() < 0.3:
        picture = picture + rng.normal(0, rng.uniform(0, 0.06), picture.shape)
    picture = np.clip(picture, 0, 1) ** np.exp(rng.normal(0, 0.25))
    if rng.random() < 0.2:
        gray = np.repeat(picture[..., None].astype(np.float32), 3, 2)
        picture = jpeg(gray, int(rng.integers(40, 95)))[..., 0]
    if rng.random() < 0.3:  # something before the face
        height, width = rng.integers(6, 20, 2)
        top, left = (int(rng.integers(CROP - length)) for length in (height, width))
        picture = np.array(picture)
        picture[top : top + height, left : left + width] = rng.random()
    return np.ascontiguousarray(picture, np.float32)
