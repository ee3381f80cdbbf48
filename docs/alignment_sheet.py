"""Draw docs/pictures/alignment.jpg: a face found, aligned, restored, and its place in the photo again.

The photo is Eileen Collins by NASA, in the public domain, from `examples`, damaged by GFP-GAN's equation.

    python docs/alignment_sheet.py [OUT.jpg]
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from revisage import Restorer, zoo
from revisage.faces import Detector, Face, align, estimate
from revisage.image import decode, from_array, save
from revisage.lab.degrade import apply
from revisage.lab.degrade.gfpgan import Gfpgan
from revisage.runtime import open_session

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"
SIZE = 256
STRIP = 24
DAMAGE = Gfpgan(sigma_x=4, sigma_y=4, angle=0, factor=3, noise=6 / 255, quality=70, seed=0)
GREEN = (0, 220, 90)


def old_photo() -> np.ndarray:
    """Head and shoulders, (320, 320, 3) uint8 RGB."""
    clean = decode(PORTRAIT, isolate=False).pixels[16:336, 96:416].astype(np.float32) / 255
    return pixels(apply(clean, DAMAGE))


def pixels(picture: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


def framed(photo: np.ndarray, face: Face, matrix: np.ndarray) -> np.ndarray:
    """The photo with the face's landmarks and the frame of its crop."""
    drawn = photo.copy()
    for x, y in face.landmarks:
        cv2.circle(drawn, (round(float(x)), round(float(y))), 3, GREEN, -1, cv2.LINE_AA)
    corners = np.array([(0, 0), (SIZE, 0), (SIZE, SIZE), (0, SIZE)], np.float64)
    back = cv2.invertAffineTransform(matrix)
    frame = np.rint(corners @ back[:, :2].T + back[:, 2]).astype(np.int32)
    cv2.polylines(drawn, [frame], True, GREEN, 2, cv2.LINE_AA)
    return drawn


def titled(text: str, cell: np.ndarray) -> np.ndarray:
    strip = np.full((STRIP, SIZE, 3), 255, np.uint8)
    cv2.putText(strip, text, (5, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return np.vstack([strip, cv2.resize(cell, (SIZE, SIZE), interpolation=cv2.INTER_AREA)])


def sheet() -> np.ndarray:
    """(H, W, 3) uint8 RGB, one row."""
    photo = old_photo()
    face = Detector(zoo.resolve("finder", "auto").path).find(photo)[0]
    matrix = estimate(face.landmarks, SIZE)
    crop = align(photo, matrix, SIZE)
    batch = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / 255
    restored = open_session(zoo.resolve("face", "auto").path).run(batch)[0].transpose(1, 2, 0)
    return np.hstack(
        [
            titled("found: box, five points", framed(photo, face, matrix)),
            titled("aligned to the template", crop),
            titled("restored", pixels(restored)),
            titled("in its place again", Restorer().restore(photo, scale=2).pixels),
        ]
    )


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures" / "alignment.jpg"
    save(from_array(sheet()), out, quality=85)


if __name__ == "__main__":
    main()
