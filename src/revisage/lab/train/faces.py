"""What the trainings on aligned faces share: pictures, the identity-disjoint split, the frozen embedding."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from revisage.errors import TrainingError
from revisage.lab.data.landmarks import read_crops, read_landmarks, resize_landmarks
from revisage.lab.data.pictures import Pictures, find_pictures, fit, read_picture, shuffled
from revisage.lab.data.prepare.photo import KEPT
from revisage.lab.metrics.weights import fill, read_state
from revisage.lab.networks.arcface import ArcFaceCrop
from revisage.lab.networks.mobilefacenet import MobileFaceNet
from revisage.lab.train.distributed import device_of
from revisage.lab.train.pictures import from_unit, to_unit


class Embedder(nn.Module):
    """Faces on the FFHQ template, (N, 3, S, S) in [-1, 1] -> MobileFaceNet embeddings (N, 128). Frozen."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.crop = ArcFaceCrop()
        self.network = MobileFaceNet()
        fill(self.network, read_state(weights, "net_state_dict"), weights)
        self.eval().requires_grad_(False)

    def forward(self, faces: Tensor) -> Tensor:
        if device_of(self.network) != faces.device:
            self.to(faces.device)
        return self.network(self.crop(faces))

    @torch.no_grad()
    def pictures(self, pictures: list[np.ndarray]) -> Tensor:
        """(H, W, 3) uint8 each -> (N, 128)."""
        rows = []
        for _, same in groupby(pictures, key=np.shape):
            rows.append(self(torch.from_numpy(np.stack([from_unit(to_unit(p)) for p in same]))))
        return torch.cat(rows)


def table_of(folder: Path) -> Path:
    """The table beside a folder of aligned faces: FOLDER.csv, as `revisage prepare` writes it."""
    return folder.with_name(f"{folder.resolve().name}.csv")


class AlignedFaces:
    """A folder of faces aligned to the FFHQ template, all brought to one size; decoded once. `landmarks`
    reads the table beside the folder; pictures that it does not list are left out."""

    def __init__(self, paths: list[Path], size: int, *, landmarks: bool = False) -> None:
        self.size = size
        self._points: dict[str, np.ndarray] = {}
        if landmarks:
            for folder in sorted({path.parent for path in paths}):
                self._points |= read_landmarks(table_of(folder))
            listed = [path for path in paths if path.stem in self._points]
            if not listed:
                raise TrainingError(f"{table_of(paths[0].parent)} lists none of the pictures beside it")
            paths = listed
        self.pictures = Pictures(paths)
        self._sides: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> np.ndarray:
        """Picture `i`, (S, S, 3) float32 in [0, 1]."""
        picture = self.pictures[i]
        height, width = picture.shape[:2]
        if height != width:
            path = self.pictures.paths[i]
            raise TrainingError(f"{path} is not square: give faces aligned to the FFHQ template")
        self._sides[i] = height
        return to_unit(fit(picture, self.size, self.size))

    def landmarks(self, i: int) -> np.ndarray:
        """The five points of picture `i`, (5, 2) float32 in its pixels at this size."""
        side = self._sides.get(i) or self.pictures[i].shape[0]
        return resize_landmarks(self._points[self.pictures.paths[i].stem], side, self.size)


@dataclass(frozen=True)
class Mixed:
    """Training pictures of one folder or two: `more_share` of the samples come from the second."""

    folders: list[AlignedFaces]
    more_share: float
    seed: int

    def draw(self, index: int, rng: np.random.Generator) -> tuple[AlignedFaces, int]:
        """The folder of sample `index` and the number of the picture in it."""
        more = len(self.folders) > 1 and rng.random() < self.more_share
        faces = self.folders[int(more)]
        return faces, shuffled(index, len(faces), self.seed)


Paths = list[Path]


def split(folders: Sequence[Path | None], embedder: Embedder | None) -> tuple[list[Paths], list[Paths]]:
    """Training and held-out pictures of each folder (None is none); with an embedder nobody is in both, in
    any. Where a table lies beside a folder, the pictures of one of its groups stay together. Raises
    TrainingError for the folder that `revisage prepare` wrote to: it holds the dropped faces as well."""
    training, held = ([_side(folder, held=side) for folder in folders if folder] for side in (False, True))
    if embedder is not None:
        everyone = [path for paths in held for path in paths]
        training = [identity_disjoint(paths, everyone, embedder.pictures) for paths in training]
    return training, held


def _side(folder: Path, *, held: bool) -> list[Path]:
    if table_of(folder / KEPT).is_file() and (folder / KEPT).is_dir():
        raise TrainingError(f"{folder} also holds what `revisage prepare` dropped: give {folder / KEPT}")
    table = table_of(folder)
    groups = {crop.stem: crop.group for crop in read_crops(table)} if table.is_file() else {}
    return find_pictures(folder, name=lambda path: groups.get(path.stem, path.stem), held=held)


SAME_PERSON_DEGREES = 60.0
BATCH = 32


def identity_disjoint(
    training: list[Path],
    held: list[Path],
    embed: Callable[[list[np.ndarray]], Tensor],
    threshold: float = SAME_PERSON_DEGREES,
) -> list[Path]:
    """The training pictures whose face is at least `threshold` degrees from every held-out face: a split by
    file alone would test on people seen in training. `embed` turns pictures, (H, W, 3) uint8, into (N, D).
    Two pictures of one person are about 52 degrees apart and two people about 89 (MobileFaceNet on LFW).

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
        wish = "add pictures of other people, or set identity_weights=none"
        raise TrainingError(f"every training picture shows a held-out person: {wish}")
    return kept
