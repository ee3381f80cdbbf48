"""What is cut out of a photo upright: the prints that lie on one scan, and the part that is restored."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import cv2
import numpy as np

from revisage.errors import PhotoError
from revisage.image.metadata import without_subject
from revisage.image.photo import Photo, eight_bits
from revisage.image.xmp import clean_xmp
from revisage.options import RestoreOptions

SIDE = 1000  #: longest side of the small picture in which prints are looked for
SMALLEST = 0.01  #: share of the scan that a print covers at least
FULL = 0.93  #: share of its rectangle that a single print fills; less may be several that touch
SQUARE = 0.93  #: share of it that a print's convex hull fills: somebody before a plain wall is no print
LID = 0.65  #: share of the scan's rim that is lid
CORE = 60  #: pixels of what is left of a print, seen small, when the prints fall apart
STRAIGHT = 0.05  #: degrees under which a print is cut out as it lies
TIGHTER = 0.97  #: share of one rectangle around all that those around each may take together
STANDS_OUT = (12.0, 6.0)
"""Distance in Lab from the lid's colour above which a pixel is no lid, more on a noisy one; and of faded
prints and those of which a part is as dark as the lid."""
CLEAR = 0.1  #: share of a print's pixels that stand out clearly where others do
PART = 0.95  #: share of a print's rectangle up to which it was found in part


@dataclass(frozen=True)
class Print:
    """A print on a scan."""

    centre: tuple[float, float]  #: x, y in pixels of the scan, pixel centres at integers
    size: tuple[float, float]  #: width and height in pixels
    angle: float  #: degrees by which it is turned clockwise on the scan, -45 to 45
    found: bool = False  #: by its lid, and not chosen by hand

    @property
    def corners(self) -> np.ndarray:
        """(4, 2) float32: x, y of its corners on the scan, clockwise from the upper left."""
        half = np.array(self.size) / 2
        signs = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        corners: np.ndarray = (signs * half) @ _rotation(self.angle).T + self.centre
        return corners.astype(np.float32)

    def __str__(self) -> str:
        degrees, (x, y, width, height) = self.entry().values()
        return f"{width} x {height} pixels from {x},{y} on, straightened by {degrees:g} degrees"

    def entry(self) -> dict[str, Any]:
        """What the report states of what was cut out, in JSON types."""
        x, y = (round(at + 0.5 - side / 2) for at, side in zip(self.centre, self.size, strict=True))
        degrees = 0.0 if abs(self.angle) < STRAIGHT else round(-self.angle, 2)
        return {"straightened": degrees, "cropped": [x, y, *map(round, self.size)]}


def find_prints(pixels: np.ndarray) -> list[Print]:
    """The prints on a scan, in reading order; none where it has no lid around them.

    What differs from the colour of the scan's rim, the lid, is print. Prints that touch are taken apart where
    they touch at a corner or a part of a side. `pixels`: (H, W, 3), uint8 or uint16.
    """
    height, width = pixels.shape[:2]
    small = cv2.medianBlur(reduced(pixels, SIDE / max(height, width)), 5)
    masks = [mask for least in STANDS_OUT if (mask := _no_lid(small, least)) is not None]
    found: list[cv2.typing.RotatedRect] = []
    for mask in masks:
        parts = _parts(mask)
        if found:  # beside these a shadow on the lid is none
            parts = [part for part in parts if np.mean(masks[0][part > 0] > 0) > CLEAR]
        rectangles = [rectangle for part in parts for rectangle in _taken_apart(part)]
        found = _completed(found, rectangles) if found else rectangles
    across, down = width / small.shape[1], height / small.shape[0]
    return _in_reading_order([_print(one, across, down) for one in found])


def left_over(pixels: np.ndarray, prints: list[Print]) -> bool:
    """Whether beside these prints something else lies on a scan, (H, W, 3), as large as a small one."""
    factor = min(1.0, SIDE / max(pixels.shape[:2]))
    mask = _no_lid(cv2.medianBlur(reduced(pixels, factor), 5), STANDS_OUT[0])
    if mask is None:
        return False
    for print in prints:
        cv2.fillConvexPoly(mask, np.rint(print.corners * factor).astype(np.int32), 0)
    rest = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc(SIDE // 100))
    return bool(_parts(rest, SMALLEST / 4))


def cut(photo: Photo, print: Print) -> Photo:
    """The print alone, upright: (H', W', 3) as large as it is on the scan; metadata stay, regions with it."""
    width, height = (max(1, round(length)) for length in print.size)
    source = print.corners[:3]
    target = np.array([(0, 0), (width, 0), (width, height)], np.float32) - 0.5
    last = np.array(photo.size) - (width, height)
    matrix = cv2.getAffineTransform(source, target)
    if abs(print.angle) < STRAIGHT:  # only moved, by whole pixels: nothing is resampled
        left, top = (min(max(0, round(at)), most) for at, most in zip(source[0] + 0.5, last, strict=True))
        matrix = np.array([(1.0, 0.0, -left), (0.0, 1.0, -top)])

    def cut_out(plane: np.ndarray) -> np.ndarray:
        size, edge = (width, height), cv2.BORDER_REPLICATE
        return np.asarray(cv2.warpAffine(plane, matrix, size, flags=cv2.INTER_CUBIC, borderMode=edge))

    alpha = None if photo.alpha is None else cut_out(photo.alpha)
    scan, whole = photo.size, np.array((width, height))
    shares = np.column_stack((matrix[:, :2] * scan, matrix @ (-0.5, -0.5, 1) + 0.5)) / whole[:, None]
    a, b, c, d, e, f = map(float, shares.ravel())
    xmp, exif = clean_xmp(photo.xmp, way=(a, b, c, d, e, f)), without_subject(photo.exif)
    return replace(photo, pixels=cut_out(photo.pixels), alpha=alpha, exif=exif, xmp=xmp)


def framed(photo: Photo, options: RestoreOptions) -> tuple[Photo, Print | None]:
    """The photo, or the print on it, straightened, cropped and turned as the options say, resampled once; and
    what of the photo that is, None for all. Raises PhotoError for several prints of which one is asked for.
    """
    part = _frame(photo, options)
    return (cut(photo, part) if part else photo).turned(options.turn_by_hand), part


def _frame(photo: Photo, options: RestoreOptions) -> Print | None:
    prints = find_prints(photo.pixels) if options.crop == "print" else []
    if len(prints) > 1:
        raise PhotoError(f"{len(prints)} prints lie on this scan: cut them out with revisage split")
    if options.straighten == 0 and options.part is None:
        return prints[0] if prints else None
    width, height = photo.size
    whole = prints[0] if prints else Print(((width - 1) / 2, (height - 1) / 2), (width, height), 0.0)
    x, y, w, h = options.part or (0.0, 0.0, 1.0, 1.0)
    order = -1 if options.turn_by_hand % 180 else 1  # shares are of the sides as they are turned
    sides, turn = np.array(whole.size)[::order], np.deg2rad(abs(options.straighten))
    # The largest rectangle of the photo's shape that lies within it once it is turned about its middle.
    sides = sides / (np.cos(turn) + max(sides) / min(sides) * np.sin(turn))
    angle = whole.angle - options.straighten
    away = _rotation(angle - options.turn_by_hand) @ ((np.array([x + w / 2, y + h / 2]) - 0.5) * sides)
    across, down = map(float, whole.centre + away)
    wide, high = map(float, np.maximum(sides * (w, h), 1)[::order])
    return Print((across, down), (wide, high), angle, bool(prints))


def _rotation(degrees: float) -> np.ndarray:
    """(2, 2): turns x, y clockwise."""
    turn = np.deg2rad(degrees)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def outlined(pixels: np.ndarray, prints: list[Print], before: int = 0) -> np.ndarray:
    """(H', W', 3) uint8, at most 1,000 pixels long: the scan with the prints' outlines and numbers, which go
    on from those on pages `before`."""
    factor = min(1.0, SIDE / max(pixels.shape[:2]))
    small = reduced(pixels, factor)
    for number, print in enumerate(prints, before + 1):
        corners = np.rint(print.corners * factor).astype(np.int32)
        cv2.polylines(small, [corners], True, (230, 30, 30), 3, cv2.LINE_AA)
        place = (int(corners[0, 0]) + 10, int(corners[0, 1]) + 40)
        cv2.putText(small, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, 1.2, (230, 30, 30), 3, cv2.LINE_AA)
    return small


def reduced(pixels: np.ndarray, factor: float) -> np.ndarray:
    """(H, W, 3) uint8 or uint16 at `factor` times its size, never larger, in uint8; a copy to look at."""
    size = tuple(max(1, round(length * min(1.0, factor))) for length in pixels.shape[1::-1])
    return eight_bits(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA))


def _no_lid(small: np.ndarray, least: float) -> np.ndarray | None:
    """(h, w) uint8: 255 where something lies before the lid, from a distance of `least` on; None where the
    rim is not mostly lid."""
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    rim = np.ones(small.shape[:2], bool)
    margin = max(2, min(small.shape[:2]) // 60)
    rim[margin:-margin, margin:-margin] = False
    lid = np.median(lab[rim], axis=0)
    distance = np.linalg.norm(lab - lid, axis=2)
    spread = float(np.median(distance[rim]))
    if np.quantile(distance[rim], LID) > least:
        return None
    mask = (distance > max(least, 6 * spread)).astype(np.uint8) * 255
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc(2)))


def _parts(mask: np.ndarray, smallest: float = SMALLEST) -> list[np.ndarray]:
    """The connected parts that are large enough for a print, each a mask without holes."""
    joined = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc(max(2, min(mask.shape) // 200)))
    contours, _ = cv2.findContours(joined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [contour for contour in contours if cv2.contourArea(contour) > smallest * mask.size]
    return [cv2.drawContours(np.zeros_like(mask), [contour], -1, 255, cv2.FILLED) for contour in large]


def _taken_apart(part: np.ndarray) -> list[cv2.typing.RotatedRect]:
    """The rectangles of the prints in one connected part."""
    whole = cv2.minAreaRect(cv2.findNonZero(part))
    if np.count_nonzero(part) >= FULL * prod(whole[1]):
        return [whole]
    padded = cv2.copyMakeBorder(part, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_5)[1:-1, 1:-1]
    for radius in np.geomspace(2, max(depth.max(), 3), 24):
        count, cores, stats, _ = cv2.connectedComponentsWithStats((depth > radius).astype(np.uint8))
        cored = [i for i in range(1, count) if stats[i, cv2.CC_STAT_AREA] > CORE]
        if not 2 <= len(cored) <= 1 / SMALLEST:
            continue
        away = [cv2.distanceTransform((cores != i).astype(np.uint8), cv2.DIST_L2, 5) for i in cored]
        nearest = np.argmin(away, axis=0)
        pieces = [np.where(nearest == i, part, np.uint8(0)) for i in range(len(cored))]
        if min(np.count_nonzero(piece) for piece in pieces) > SMALLEST * part.size:
            around = sum(prod(cv2.minAreaRect(cv2.findNonZero(piece))[1]) for piece in pieces)
            if around < TIGHTER * prod(whole[1]):
                return [rectangle for piece in pieces for rectangle in _taken_apart(piece)]
    hull = cv2.contourArea(cv2.convexHull(cv2.findNonZero(part)))
    return [whole] if hull >= SQUARE * prod(whole[1]) else []


def _completed(
    found: list[cv2.typing.RotatedRect], fainter: list[cv2.typing.RotatedRect]
) -> list[cv2.typing.RotatedRect]:
    """The rectangles found, and of the `fainter` those of prints that were not, or only in part: the rest of
    these is as dark or as pale as the lid."""
    for whole in fainter:
        within = [one for one in found if _shared(one, whole) > 0.9 * prod(one[1])]
        others = sum(_shared(one, whole) for one in found if one not in within)
        if len(within) < 2 and not others and sum(prod(one[1]) for one in within) < PART * prod(whole[1]):
            found = [*(one for one in found if one not in within), whole]
    return found


def _shared(one: cv2.typing.RotatedRect, other: cv2.typing.RotatedRect) -> float:
    kind, points = cv2.rotatedRectangleIntersection(one, other)
    return 0.0 if kind == cv2.INTERSECT_NONE else cv2.contourArea(cv2.convexHull(points))


def _print(rectangle: cv2.typing.RotatedRect, across: float, down: float) -> Print:
    """From the small picture to the scan."""
    (x, y), (width, height), angle = rectangle
    turns = round(angle / 90)
    if turns % 2:
        width, height = height, width
    # Small, half a pixel of the rim is left out on each side; large, one more, which is partly of the lid.
    size = (max(1.0, (width - 1) * across - 2), max(1.0, (height - 1) * down - 2))
    return Print(((x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5), size, angle - 90.0 * turns, True)


def _in_reading_order(prints: list[Print]) -> list[Print]:
    """Row by row, where what lies higher than a print's middle begins a row."""
    rest, ordered = sorted(prints, key=lambda one: one.centre[1]), []
    while rest:
        bottom = rest[0].centre[1] + min(rest[0].size) / 2
        row = [one for one in rest if one.centre[1] < bottom]
        rest = [one for one in rest if one.centre[1] >= bottom]
        ordered += sorted(row, key=lambda one: one.centre[0])
    return ordered


def disc(radius: int) -> np.ndarray:
    """(2 radius + 1, 2 radius + 1) uint8: 1 within the disc."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
