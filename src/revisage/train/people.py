"""Keeping held-out people out of training, where pictures carry no names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from revisage.data.pictures import read_picture
from revisage.errors import TrainingError

SAME_PERSON_DEGREES = 60.0
BATCH = 32


def apart(
    training: list[Path],
    held: list[Path],
    embed: Callable[[list[np.ndarray]], Tensor],
    threshold: float = SAME_PERSON_DEGREES,
) -> list[Path]:
    """The training pictures whose face is at least `threshold` degrees from every held-out face.

    Picture collections hold the same person under several file names, so a split by file alone would
    test on people seen in training. `embed` turns pictures, (H, W, 3) uint8, into (N, D). Two pictures of
    one person are about 52 degrees apart and two people about 89 (MobileFaceNet on LFW).

    Raises TrainingError when no picture is left.
    """
    rows = []
    for paths in (training, held):
        parts = [
            embed([read_picture(path) for path in paths[start : start + BATCH]])
            for start in range(0, len(paths), BATCH)
        ]
        rows.append(torch.nn.functional.normalize(torch.cat(parts)))
    nearest = torch.rad2deg(torch.arccos((rows[0] @ rows[1].T).clamp(-1, 1))).min(dim=1).values
    kept = [path for path, angle in zip(training, nearest.tolist(), strict=True) if angle >= threshold]
    if not kept:
        raise TrainingError(
            "every training picture shows a held-out person: add pictures of other people, "
            "or set identity_weights=none"
        )
    return kept
