"""Closer looks at what the search of a picture has found, all at one size, at any turn."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import cv2
import numpy as np

from revisage.faces.align import align, invert, turn_matrix
from revisage.faces.network import Network
from revisage.faces.rows import BOX, POINTS, SCORE, beyond, iou, mapped, mirrored, suppress

_SIDE = 160  # of the picture of a look, in pixels ...
_AROUND = 2.2  # ... which shows this many times the face's longer side
_LEAST_SCORE = 0.2
_CERTAIN = 0.85  # a find with less must look more like a face as it stands than turned ...
_UPRIGHT = 0.03  # ... by this much of a score
_SAME = 0.3  # least IoU of a find with what a look sees of it
_TILTS = (-60, -30, 0, 30, 60)  # degrees at which a head's tilt is looked for; the weight of each is its ...
_SHARPNESS = 8  # ... score to this power
_LEAST_TILT = 10  # degrees; below, the looks say less than the landmarks do
_NODS = (-40, -20, 20, 40)  # at which a find is held that scores too little as it stands, ...
_HALFWAY = (-30, 30)  # ... if at one of these ...
_NEARLY = 0.1  # ... it scores at most so much less than is wanted: ...
_NOD_MARGIN = 0.08  # ... as these are more chances for likenesses, so much more than as it stands

# Small faces that a reduced picture only hints at are seen in the picture itself, many on one sheet.
LEAST_HINT = 0.3  # score of a hint
_LARGEST = 24  # a hint's side in pixels of the reduced picture; what is larger has been seen
_ZOOM = 2.0  # at most so much larger than in the reduced picture it is seen ...
_PATCH = 96  # ... in a square of so many pixels, ...
_ACROSS = 4  # ... so many by so many of them on a sheet
_CORE = 32  # pixels from the middle of its square in which a face counts
_MOST = 512  # squares of one picture


@dataclass(frozen=True)
class Looks:
    """At a picture (H, W, 3) uint8 that stands when turned clockwise by `turn` degrees.

    Boxes, rows (n, 15) and what is seen are in places of the picture as it is; more turns add to `turn`.
    """

    network: Network
    image: np.ndarray
    turn: int

    def sights(self, box: np.ndarray, turn: float = 0, around: float = _AROUND) -> Iterator[np.ndarray]:
        """The rows (n, 15) that two looks at a box (x, y, width, height) give, straight and mirrored.

        They show `around` times the box's longer side.
        """
        factor = _SIDE / (around * max(float(box[2:4].max()), 1.0))
        linear = factor * turn_matrix(self.turn + turn, (1, 1))[:, :2]
        matrix = np.column_stack([linear, (_SIDE - 1) / 2 - linear @ (box[:2] + box[2:4] / 2)])
        picture, back = align(self.image, matrix, _SIDE), invert(matrix)
        yield mapped(self.network.rows(picture, _LEAST_SCORE), back)
        seen = self.network.rows(np.ascontiguousarray(picture[:, ::-1]), _LEAST_SCORE)
        yield mapped(mirrored(seen, _SIDE), back)

    def closely(self, hints: np.ndarray, scale: float, threshold: float) -> np.ndarray:
        """(n, 15) what scores `threshold` or more around hints (m, 15) of the picture reduced to `scale`."""
        zoom = min(1.0, _ZOOM * scale)
        hints = hints[hints[:, 2:4].max(1) * scale <= _LARGEST]
        hints[:, :2] += (hints[:, 2:4] - _CORE / zoom) / 2
        hints[:, 2:4] = _CORE / zoom
        hints = suppress(hints, 0.3)[:_MOST]  # one square shows neighbours together
        middles, side = hints[:, :2] + hints[:, 2:4] / 2, round(_PATCH / zoom)
        linear = turn_matrix(-self.turn, (1, 1))[:, :2] * side / _PATCH
        found = [hints[:0]]
        for first in range(0, len(middles), _ACROSS**2):
            some = middles[first : first + _ACROSS**2]
            sheet = np.zeros((_ACROSS * _PATCH, _ACROSS * _PATCH, 3), np.uint8)
            for cell, middle in enumerate(some):
                patch = cv2.getRectSubPix(self.image, (side, side), middle)
                patch = cv2.resize(patch, (_PATCH, _PATCH), interpolation=cv2.INTER_AREA)
                top, left = (_PATCH * place for place in divmod(cell, _ACROSS))
                sheet[top : top + _PATCH, left : left + _PATCH] = np.rot90(patch, -self.turn // 90)
            rows = self.network.rows(sheet, threshold)
            places = rows[:, :2] + rows[:, 2:4] / 2
            for cell, middle in enumerate(some):
                corner = _PATCH * np.array(divmod(cell, _ACROSS))[::-1]
                own = (np.abs(places - corner - (_PATCH - 1) / 2) <= _CORE).all(1)
                matrix = np.column_stack([linear, middle - linear @ (corner + (_PATCH - 1) / 2)])
                found.append(mapped(rows[own], matrix))
        return np.concatenate(found)

    def again(self, row: np.ndarray, least: float) -> np.ndarray:
        """(1, 15) a find as the mean of itself and of what a closer look sees of it, straight and mirrored.

        A look that does not see it counts as a score of 0; none is taken where `least` is out of reach.
        """
        rows = row[None]
        for left, seen in zip((1, 0), self.sights(row[BOX]), strict=True):
            rows = np.concatenate([rows, best(seen, row[BOX])])
            if rows[:, SCORE].sum() + left < 3 * least:
                break
        return np.append(rows[:, :SCORE].mean(0), rows[:, SCORE].sum() / 3)[None]

    def nodding(self, row: np.ndarray, least: float) -> np.ndarray:
        """(0 or 1, 15) a find that scores less than `least` as its head is tilted, as `settled` gives it."""
        least += _NOD_MARGIN
        if all(self._mean(row, turn, 1)[SCORE] < least - _NEARLY for turn in _HALFWAY):
            return row[None][:0]
        tilt = max(_NODS, key=lambda turn: self._mean(row, turn, 1)[SCORE])
        score = self._mean(row, tilt)[SCORE]
        return self.settled(np.append(row[:SCORE], score), tilt) if score >= least else row[None][:0]

    def settled(self, row: np.ndarray, tilt: float | None = None, *, given: bool = False) -> np.ndarray:
        """(0 or 1, 15) a find with the landmarks of a tilted head tilted as it is, or nothing.

        The detector sees a tilted head as upright. Its tilt is where looks at several turns score best; at
        that turn the landmarks are right. Emblems, leaves and faces that hang upside down look no more like
        a face there than turned by 90, 180 or 270 degrees, and are dropped unless somebody has `given` them.
        """
        tilt = self._tilt(row) if tilt is None else tilt
        if not tilt and row[SCORE] >= _CERTAIN:
            return row[None]
        look = self._mean(row, tilt)
        if row[SCORE] < _CERTAIN and not given:
            # A look at a face that is cut shows its mirror image, too: there the search counts as well.
            cut = beyond(row[None], self.image)[0] > 0
            stands = max(look[SCORE], row[SCORE]) if cut else look[SCORE]
            turned = (self._mean(row, tilt + turn)[SCORE] for turn in (180, 90, 270))
            if any(stands < score + _UPRIGHT for score in turned):
                return row[None][:0]
        points = look[POINTS] if tilt and look[SCORE] >= _LEAST_SCORE else row[POINTS]
        return np.concatenate([row[BOX], points, row[SCORE:]])[None]

    def _tilt(self, row: np.ndarray) -> float:
        """Degrees by which the head of a find is tilted, 0 where they are few: of most, two looks tell."""
        tilt = 0.0
        for tilts, sides in ((_TILTS[1:4], 1), (_TILTS, 2)):
            looks = [self._mean(row, turn, sides) if turn else row for turn in tilts]
            weights = np.power([look[SCORE] for look in looks], _SHARPNESS)
            tilt = float(np.dot(weights, tilts) / max(weights.sum(), 1e-9))
            if abs(tilt) < _LEAST_TILT * sides / 2:
                return 0.0
        return tilt

    def _mean(self, row: np.ndarray, turn: float, sides: int = 2) -> np.ndarray:
        """(15,) the mean of looks at a find with the picture turned by `turn` degrees more, straight and with
        two `sides` mirrored; the score of a look that does not see it is 0."""
        rows = np.concatenate([best(seen, row[BOX]) for seen in islice(self.sights(row[BOX], turn), sides)])
        return np.append(rows[:, :SCORE].sum(0) / max(len(rows), 1), rows[:, SCORE].sum() / sides)


def best(seen: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(0 or 1, 15): the best of the rows that overlap a box (x, y, width, height)."""
    near = seen[iou(box, seen) > _SAME]
    return near[np.argsort(-near[:, SCORE], kind="stable")[:1]]
