"""The pictures that the detector's scenes are made of."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from revisage.errors import TrainingError
from revisage.lab.data.landmarks import read_crops
from revisage.lab.data.pictures import held_out, read_picture

HELD_OUT_SHARE = 0.1
CROP = 256  # side of an aligned crop
THUMBNAIL = 64

read = lru_cache(maxsize=4096)(read_picture)
"""Pictures that are not to be written to. They take under a gigabyte, and save half of a scene's time."""


@dataclass(frozen=True)
class Source:
    """The pictures scenes are made of, of one side of the split. Paths are read when they are needed."""

    faces: tuple[Path, ...]
    thumbnails: np.ndarray  # (len(faces), 64, 64, 3) uint8: a crowd is not worth decoding whole crops for
    landmarks: np.ndarray  # (len(faces), 5, 2) in the 256 px crop
    portraits: tuple[Path, ...]
    expressions: tuple[Path, ...]  # small gray heads, tightly cut; may be none
    backgrounds: tuple[np.ndarray, ...]
    photographs: tuple[Path, ...] = ()  # whole ones with people or without, of whom nothing is known
    profiles: tuple[Path, ...] = ()  # those of portraits and photographs whose face is turned away


def load_source(data: Path, *, validation: bool) -> Source:
    """The training or the held-out side (a tenth of the people and of everything else, by a hash of the name)
    of `data`: folders faces256, lfw128, scenes and, if any, expressions, portraits_unlabelled and
    scenes_more. Raises TrainingError when a folder is missing."""
    table = data / "faces256.csv"
    for path in (table, data / "faces256", data / "lfw128", data / "scenes"):
        if not path.exists():
            raise TrainingError(f"{path} is missing; --data holds faces256, faces256.csv, lfw128, scenes")

    def ours(name: str) -> bool:
        return held_out(name, HELD_OUT_SHARE) == validation

    crops = [crop for crop in read_crops(table) if ours(crop.group) and crop.coverage > 0.8]
    faces = tuple(data / "faces256" / crop.file for crop in crops)
    landmarks = np.array([crop.landmarks for crop in crops], np.float32).reshape(-1, 5, 2)
    people = sorted(path for path in (data / "lfw128").iterdir() if path.is_dir() and ours(path.name))
    portraits = tuple(path for person in people for path in sorted(person.iterdir()))
    scenes = sorted(path for path in (data / "scenes").rglob("*") if path.is_file() and ours(path.stem))
    backgrounds = tuple(read(path) for path in scenes if path.suffix.lower() in {".jpg", ".png", ".webp"})
    heads = sorted((data / "expressions").glob("*/*"))
    expressions = tuple(path for path in heads if ours(f"{path.parent.name}/{path.stem}"))
    if not (faces and portraits and backgrounds):
        raise TrainingError(f"{data} has too few pictures to compose scenes from")
    whole = sorted((data / "portraits_unlabelled").glob("*.*")) + sorted((data / "scenes_more").glob("*.*"))
    photographs = tuple(path for path in whole if ours(path.stem))
    small = [cv2.resize(read(path), (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA) for path in faces]
    return Source(faces, np.stack(small), landmarks, portraits, expressions, backgrounds, photographs)
