"""Small pictures to train on, cut from scikit-image's photographs, on both sides of the split."""

from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from revisage.lab.data.pictures import held_out


def write_pictures(folder: Path, *, side: int = 96, training: int = 6, held: int = 2) -> Path:
    """Square crops as PNG files, named so that `training` of them are trained on and `held` held out."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    photos = (data.astronaut(), data.coffee(), data.cat())
    wanted = {False: training, True: held}
    for number in count():
        if not any(wanted.values()):
            return folder
        name = f"photo_{number:04d}"
        if not wanted[held_out(name)]:
            continue
        wanted[held_out(name)] -= 1
        photo = photos[number % len(photos)]
        top, left = (int(rng.integers(length - side)) for length in photo.shape[:2])
        Image.fromarray(photo[top : top + side, left : left + side]).save(folder / f"{name}.png")
    raise AssertionError("count() has no end")
