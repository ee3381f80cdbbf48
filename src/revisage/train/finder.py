"""Training of the face finder: distillation of a detector's dense outputs, seen through degradations."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from revisage.data.compose import Source, compose, load_source
from revisage.data.detection import Teacher, add_missed
from revisage.losses.detection import box_iou_distance, box_smooth_l1, landmark_smooth_l1, quality_focal

KEPT_CLEAN = 0.35
# Recipes of the rest, by weight: the finder is for old photos first.
MIXTURE = {"old-photo": 0.55, "second-order": 0.25, "gfpgan": 0.2}


class FinderScenes(Dataset):
    """Sample `index` is (degraded scene (3, S, S) uint8 BGR, three dense targets (16, S/s, S/s)).

    Targets are the teacher's answers on the clean scene, completed by composed faces it missed. Every index
    gives another scene, the same one each time; there is no end (`length` only bounds a sampler).
    """

    def __init__(
        self, data: Path, teacher: Path, *, size: int, seed: int, length: int = 2**40, validation: bool = False
    ) -> None:
        self.data, self.teacher_path, self.size, self.seed = data, teacher, size, seed
        self.length, self.validation = length, validation
        self._source: Source | None = None
        self._teacher: Teacher | None = None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if self._source is None or self._teacher is None:  # once in each worker
            cv2.setNumThreads(1)
            self._source = load_source(self.data, validation=self.validation)
            self._teacher = Teacher(self.teacher_path)
        scene = compose(self._source, self.seed, index, self.size)
        levels = self._teacher(scene.pixels)
        add_missed(levels, scene)
        rng = np.random.default_rng((self.seed, index, 1))
        pixels = scene.pixels if rng.random() < KEPT_CLEAN else degrade_scene(scene.pixels, rng)
        image = np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1))
        fine, middle, coarse = (torch.from_numpy(level) for level in levels)
        return torch.from_numpy(image), fine, middle, coarse


def degrade_scene(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A recipe of `MIXTURE`, drawn by weight, on (H, W, 3) uint8; none of them moves a face."""
    from revisage.degrade import RECIPES

    recipe = RECIPES[str(rng.choice(list(MIXTURE), p=list(MIXTURE.values())))]
    low = recipe.apply(pixels.astype(np.float32) / 255, recipe.sample(rng))
    return np.rint(low * 255).astype(np.uint8)


def finder_losses(predicted: list[Tensor], targets: list[Tensor]) -> dict[str, Tensor]:
    """Named losses of one batch; both lists are (N, 16, H/s, W/s) per stride, `predicted` with logits.

    Each is divided by the sum of the teacher's scores over the cells that have a face, so that crowds and
    empty scenes weigh by their faces.
    """
    cells = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, 16) for level in predicted]).float()
    truth = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, 16) for level in targets]).float()
    score = truth[:, 0].mul(truth[:, 1]).clamp(0, 1).sqrt()
    total = torch.where(score > 0.3, score, 0).sum().clamp(min=1)
    face = score > 0.3
    weight, ours, theirs = score[face], cells[face], truth[face]
    size = theirs[:, 4:6].sum(-1).mul(0.5).exp()
    losses = {
        "obj": quality_focal(cells[:, 1], truth[:, 1].clamp(0, 1)),
        # Away from faces the teacher's class score means little; the product is what must be low there.
        "cls": quality_focal(cells[:, 0], truth[:, 0].clamp(0, 1), truth[:, 1].clamp(0.05, 1)),
        "iou": box_iou_distance(ours[:, 2:6], theirs[:, 2:6], weight),
        "box": 0.5 * box_smooth_l1(ours[:, 2:6], theirs[:, 2:6], weight),
        "landmarks": landmark_smooth_l1(ours[:, 6:], theirs[:, 6:], size, weight),
    }
    return {name: loss / total for name, loss in losses.items()}
