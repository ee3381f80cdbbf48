"""Faces in a picture of any size, by a small network at several scales and a second look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from revisage.faces.align import place_template
from revisage.faces.looks import LEAST_HINT, Looks, best
from revisage.faces.network import Network
from revisage.faces.pyramid import Level, pyramid
from revisage.faces.rows import BOX, POINTS, SCORE, beyond, iou, mapped, suppress

_SMALLEST_SIDE = 8  # a picture narrower than this holds no face worth a search
_SMALLEST_FACE = 11  # and a face narrower than this nothing that could be restored
_CANDIDATE = 0.7  # share of the threshold from which a find is worth a second look
_BOWED = 0.66  # the same of one that is so large ...
_LEAST_BOWED = 40  # ... in pixels, as smaller ones are too often likenesses, of the ...
_MOST_BOWED = 8  # ... largest; and the share ...
_FAINT = 0.74  # ... from which, after it, a bowed head is looked for
_MOST_LOOKS = 1000
_BEYOND = 0.65  # share of its size by which a face may be off the picture: others are its mirror images; ...
_CUT = 0.25  # ... from here on it must be sure, for half of what is seen is a mirror image
_SURE = 0.8  # mean score of the finds of a turn that makes them believed where somebody stands ...
_LYING = 0.78  # ... and where nobody does
_PORTRAIT = 0.4  # share of the shorter side that a face fills which is believed ...
_LYING_PORTRAIT = 0.74  # ... from this mean score on
_SLANTED = 0.86  # mean score of the finds of a slanted picture, in which dogs have up to 0.84
_GLANCE = 640  # long side of the first search of a turned picture, ...
_BRIEFLY = 360  # ... where somebody stands for sure and of a slanted one, ...
_STRIP = 4  # ... unless it is so many times as long as high
_OVERLAP = 0.3  # of two boxes, from which IoU on they are one face
_POINTED = (1.6, 2.2, 3.2)  # how many times its longer side the looks at a given box show


class Detector:
    """Finds faces and their five landmarks. One Detector may be shared by many threads.

    The picture is searched at three small sizes for large faces, and in overlapping tiles at up to three
    megapixels. Where it has more, what hints at a small face is looked at in the picture itself: faces are
    found down to about 16 pixels in 12 megapixels. Every find is looked at again, all at one size, straight
    and mirrored; its score, box and landmarks are the mean of the three, so that a hand which resembles a
    face at one scale is dropped; what comes near is held at some turns, for a bowed head. The picture is
    searched turned by 90, 180 and 270 degrees, too, and where nobody is sure by those in between.
    """

    def __init__(
        self,
        model: Path,
        *,
        score_threshold: float = 0.68,
        precision: str = "auto",
        threads: int | None = None,
    ) -> None:
        """`model`: ONNX in the layout of YuNet; precision and threads as in `revisage.runtime.open_session`.
        Raises ModelMissingError when the file is not there, ModelCorruptError when it is no such model."""
        if not 0 < score_threshold < 1:
            raise ValueError("score_threshold must lie between 0 and 1")
        self._score_threshold = score_threshold
        self._network = Network(model, precision=precision, threads=threads)

    def find(self, pixels: np.ndarray) -> list[Face]:
        """Faces in (H, W, 3) RGB uint8, or (H, W) gray, largest first; the same each time."""
        image = _checked(pixels)
        if min(image.shape[:2]) < _SMALLEST_SIDE:
            return []
        levels = pyramid(image)
        found = self._seen(image, levels, 0, np.zeros((0, 15), np.float32))
        # More ways to look are more chances for likenesses, which rarely score high, never together, and are
        # small: one that fills a picture in which nobody stands is a portrait.
        least = (_SURE, _SURE) if len(found) else (_LYING, _LYING_PORTRAIT)
        strip = max(image.shape) > _STRIP * min(image.shape[:2])
        known = found if (found[:, SCORE] >= _SURE).any() else found[:0]
        side = _BRIEFLY if len(known) else max(image.shape) if strip else _GLANCE
        turned = self._turned(image, (_up_to(side, levels, image), levels), (90, 180, 270), least, known)
        found = np.concatenate([found, *turned])
        if not (found[:, SCORE] >= _SURE).any() and not strip:
            brief = _up_to(_BRIEFLY, levels, image)
            slanted = self._turned(image, (brief, brief), (45, 135, 225, 315), (_SLANTED, _SLANTED), known)
            found = np.concatenate([found, *slanted])
        found = suppress(found, _OVERLAP)
        order = np.argsort(-found[:, 2] * found[:, 3], kind="stable")
        return [_face(found[index]) for index in order]

    def look(self, pixels: np.ndarray, box: tuple[float, float, float, float]) -> Face:
        """The face that somebody sees in a box (x, y, width, height) of such pixels.

        Its landmarks are what the detector sees there, however faintly and however the head is turned; the
        template's, upright, with a score of 0 where it sees nothing.
        """
        image, place = _checked(pixels), np.array(box, np.float32)
        seen: list[tuple[float, int, np.ndarray]] = []
        for turn in (0, 90, 180, 270):
            looks = Looks(self._network, image, turn)
            rows = np.concatenate([rows for n in _POINTED for rows in looks.sights(place, around=n)])
            seen += [(row[SCORE], turn, row) for row in best(rows, place)]
        if not seen:
            return Face(box, place_template(box), 0.0)
        _, turn, row = max(seen, key=lambda one: one[0])
        return replace(_face(Looks(self._network, image, turn).settled(row, given=True)[0]), box=box)

    def _turned(
        self,
        image: np.ndarray,
        levels: tuple[list[Level], list[Level]],
        turns: tuple[int, ...],
        least: tuple[float, float],
        known: np.ndarray,
    ) -> Iterator[np.ndarray]:
        """(n, 15) faces beside the `known` (m, 15) of the picture turned clockwise by each of `turns`, where
        their mean score is the `least` of small ones, or the one of a face that fills the picture.

        Of both `levels` the second, the search itself, is only taken where the first, a glance, sees any.
        """
        for turn in turns:
            rows = self._seen(image, levels[0], turn, known)
            if (rows[:, SCORE] >= min(least)).any() and len(levels[0]) < len(levels[1]):
                rows = self._seen(image, levels[1], turn, known)
            if len(rows):
                large = rows[:, 2:4].max() >= _PORTRAIT * min(image.shape[:2])
                if rows[:, SCORE].mean() >= least[int(large)]:
                    yield rows

    def _seen(self, image: np.ndarray, levels: list[Level], turn: int, known: np.ndarray) -> np.ndarray:
        """(n, 15) faces of the picture as it stands when turned clockwise by `turn`, in its own places.

        Beside `known` ones they must be sure, and are not looked for in the same places, nor where a reduced
        picture hints at small ones.
        """
        looks = Looks(self._network, image, turn)
        threshold = max(self._score_threshold, _SURE if len(known) else 0)
        candidate = _CANDIDATE * threshold
        rows = [self._search(image, level, turn) for level in levels]
        if levels[-1].scale < 1 and turn % 90 == 0 and not len(known):
            rows.append(looks.closely(rows[-1], levels[-1].scale, candidate))
        found = np.concatenate(rows)
        found = found[[not (iou(row, known) > _OVERLAP).any() for row in found]]
        found = suppress(found[found[:, SCORE] >= _BOWED * threshold], _OVERLAP)[:_MOST_LOOKS]
        cut = beyond(found, image) > _CUT  # before the looks, which take the mirror image for a part of it
        may_nod = (found[:, 2] >= _LEAST_BOWED) & (found[:, SCORE] < threshold) & ~cut & (turn == 0)
        largest = np.argsort(-found[:, 2] * may_nod, kind="stable")[:_MOST_BOWED]
        nods = np.full(len(found), threshold)
        nods[largest[may_nod[largest]]] *= _FAINT
        worth = (found[:, SCORE] >= candidate) | (nods < threshold)
        found, cut, nods = found[worth], cut[worth], nods[worth]
        found = np.concatenate([found[:0], *map(looks.again, found, nods)])
        least = np.where(cut, max(_SURE, threshold), threshold)
        large = found[:, 2:4].min(1) >= _SMALLEST_FACE
        sure = suppress(found[large & (found[:, SCORE] >= least)], _OVERLAP)
        faint = found[(found[:, SCORE] < threshold) & (found[:, SCORE] >= nods)]
        nodding = (looks.nodding(row, threshold) for row in faint if not (iou(row, sure) > _OVERLAP).any())
        return suppress(
            np.concatenate([found[:0], *(looks.settled(row) for row in sure), *nodding]), _OVERLAP
        )

    def _search(self, image: np.ndarray, level: Level, turn: int) -> np.ndarray:
        """(n, 15) all that a level hints at, in the picture's places."""
        rows, least = [], min(LEAST_HINT, _BOWED * self._score_threshold)
        for window in level.windows(turn):
            seen = self._network.rows(window.pixels, least)
            rows.append(mapped(seen[window.own(seen)], window.to_picture))
        found = np.concatenate(rows)
        return found[beyond(found, image) < _BEYOND]


def _up_to(side: int, levels: list[Level], image: np.ndarray) -> list[Level]:
    """The levels of a picture with a long side of at most `side`; all where it has none."""
    return [level for level in levels if level.scale * max(image.shape) <= side] or levels


def _checked(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) RGB of a picture of the kinds that are searched."""
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        raise ValueError(f"faces are found in (H, W, 3) uint8, not in {pixels.shape} {pixels.dtype}")
    return np.ascontiguousarray(pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2))


def _face(row: np.ndarray) -> Face:
    x, y, w, h = (float(value) for value in row[BOX])
    return Face((x, y, w, h), row[POINTS].reshape(5, 2).astype(np.float32).copy(), float(row[SCORE]))


@dataclass(frozen=True, eq=False)
class Face:
    """One face in a picture, in the picture's pixels."""

    box: tuple[float, float, float, float]  #: x, y, width, height; it may reach over the picture's edge
    landmarks: np.ndarray
    """(5, 2) float32 x, y: right eye, left eye, nose, right and left mouth corner. Right is the person's
    right, which is left in the picture."""
    score: float  #: confidence in [0, 1]

    def moved(self, matrix: np.ndarray) -> Face:
        """The same face where the similarity `matrix` (2, 3) moves the picture."""
        return _face(mapped(np.array([[*self.box, *self.landmarks.ravel(), self.score]]), matrix)[0])
