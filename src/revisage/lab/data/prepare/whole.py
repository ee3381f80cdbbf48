"""A folder of whole face pictures into pictures of one size with a table of their 68 landmarks at each scale.

`OUT/pictures/` has the pictures, `OUT/pictures.csv` a row for each picture and side: file, group (whom it may
show: its folder's name), side, and x0, y0, ... x67, y67 in pixels of the picture at that side, empty where no
face was found. The paper's landmarks are found on the original and on its reduction by 2 (Kim et al., BMVC
2019, "FAN-based attention loss"), since a reduced face is another picture to a detector.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np

from revisage.errors import PhotoError, SaveError, TrainingError, UsageError, one_line
from revisage.files import claim, write_atomically
from revisage.image import Photo, decode, eight_bits, save
from revisage.lab.data.landmarks import read_table, resize_landmarks
from revisage.lab.data.pictures import fit
from revisage.lab.data.prepare.landmarks68 import COUNT, FindsLandmarks
from revisage.lab.data.prepare.photo import is_result
from revisage.lab.data.prepare.run import find_photos
from revisage.lab.data.prepare.tables import as_csv, group_of

SIDES = (128, 64, 32)
PICTURES = "pictures"
POINT_COLUMNS = tuple(f"{axis}{i}" for i in range(COUNT) for axis in "xy")

Points = dict[int, np.ndarray]
"""Side of the picture -> (68, 2) float32 in its pixels, NaN without a face."""


def points_at(picture: np.ndarray, find: FindsLandmarks, sides: Sequence[int] = SIDES) -> Points:
    """The landmarks of a square picture, (S, S, 3) uint8, at each of `sides`, the largest first. Where the
    detector sees no face in a reduced picture, the points of the next larger one are scaled."""
    points: Points = {}
    known = np.full((COUNT, 2), np.nan, np.float32)
    before = picture.shape[0]
    for side in sides:
        found = find(picture if side == picture.shape[0] else resized(picture, side))
        known = resize_landmarks(known, before, side) if found is None else found
        points[side], before = known, side
    return points


def resized(picture: np.ndarray, side: int) -> np.ndarray:
    """(H, W, 3) uint8 -> (side, side, 3): the square in its middle, averaged down or bicubic up."""
    short = min(picture.shape[:2])
    top, left = ((length - short) // 2 for length in picture.shape[:2])
    return np.ascontiguousarray(fit(picture[top : top + short, left : left + short], side, side))


def prepare_whole(
    source: Path,
    out: Path,
    find: FindsLandmarks,
    *,
    size: int = SIDES[0],
    workers: int = 1,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[int, int, dict[str, str], int]:
    """Prepare the pictures below `source`, `workers` of them at once. Returns how many, in how many a face
    was found, which could not be read, each with its error, and how many results of Revisage were left out.
    Started again it does all again, with the same bytes.

    Raises UsageError when there are no pictures or a size cannot be used, SaveError when writing fails.
    """
    if not 32 <= size <= 2048 or workers < 1:
        raise UsageError(f"whole pictures have 32 to 2048 px, not {size}, and workers are at least 1")
    names = find_photos(source, out)
    claim(out, "prepare")
    files = _files(names)
    sides = (size, *(side for side in (size // 2, size // 4) if side >= 16))
    rows: list[list[str]] = []
    failed: dict[str, str] = {}
    seen = restored = 0

    def make(name: str) -> Points | str | None:
        try:
            if is_result(source / name):
                return None
            picture = resized(eight_bits(decode(source / name).pixels), size)
        except (PhotoError, OSError) as error:
            return one_line(error)
        save(Photo(picture), out / PICTURES / files[name])
        return points_at(picture, find, sides)

    try:
        with ThreadPoolExecutor(workers, thread_name_prefix="picture") as pool:
            for done, (name, made) in enumerate(zip(names, pool.map(make, names), strict=True), 1):
                if made is None:
                    restored += 1
                elif isinstance(made, str):
                    failed[name] = made
                else:
                    seen += bool(np.isfinite(made[size]).all())
                    rows += [_row(files[name], side, points) for side, points in made.items()]
                watch(done, len(names))
        write_atomically(out / f"{PICTURES}.csv", as_csv(("file", "group", "side", *POINT_COLUMNS), rows))
    except OSError as error:
        raise SaveError(f"{error.filename or out} cannot be written ({error.strerror or error})") from error
    return len(names) - len(failed) - restored, seen, failed, restored


def read_points(table: Path) -> dict[str, Points]:
    """File of each picture, below the folder beside the table -> its points at each side. Raises
    TrainingError, naming the line, when the table cannot be read."""
    found: dict[str, Points] = {}
    for where, row in read_table(table):
        try:
            values = [float(row[name]) if row[name] else np.nan for name in POINT_COLUMNS]
            side, file = int(row["side"]), row["file"]
        except (KeyError, TypeError, ValueError):
            message = f"{where} is not of 68 landmarks: `revisage prepare --whole 128` makes such tables"
            raise TrainingError(message) from None
        found.setdefault(file, {})[side] = np.array(values, np.float32).reshape(COUNT, 2)
    return found


def _files(names: Sequence[str]) -> dict[str, str]:
    """The file of each picture: with the extension of PNG, and its own before it where two would be one."""
    files: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        file = PurePosixPath(name).with_suffix(".png").as_posix()
        files[name] = f"{name}.png" if file in taken else file
        taken.add(files[name])
    return files


def _row(file: str, side: int, points: np.ndarray) -> list[str]:
    known = np.isfinite(points).all()
    group = group_of(PurePosixPath(file).with_suffix("").as_posix())
    return [file, group, str(side), *(f"{value:.2f}" if known else "" for value in points.ravel())]
