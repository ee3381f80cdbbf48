"""One photo of a folder into its aligned faces, each with its figures and whether it is good enough."""

import glob
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import cv2
import numpy as np
from annotated_types import Interval

from revisage import label
from revisage.errors import FaceError, PhotoError, one_line
from revisage.faces import Detector, Face, align, estimate, invert
from revisage.files import sha256
from revisage.image import DecodeLimits, Photo, decode, eight_bits, save
from revisage.image.names import RESULT
from revisage.lab.data.prepare.measures import coverage, fingerprint, sharpness
from revisage.options import QUALITY, Arg, Checked, Share

KEPT, DROPPED = "faces", "dropped"
_LEAST_SIDE = 32  # of the crop that sharpness is measured on
_LONGEST_STEM = 80  # characters of a photo's name that go into a crop's


@dataclass(frozen=True)
class PrepareSettings(Checked):
    """What a crop is and which are kept."""

    size: Annotated[int, Interval(ge=32, le=2048)] = 256
    """Side of the crops in pixels: 256 for compact-256, 512 for paper-512."""
    format: Literal["png", "webp"] = "png"
    """png is exact, webp smaller."""
    quality: Annotated[int, Interval(ge=1, le=100)] = QUALITY
    """Quality of WebP, 1 to 100."""
    enlarge: Annotated[float, Interval(gt=0)] = 1.25
    """Drop faces that would be enlarged by more than this factor, as small."""
    sharpness: Annotated[float, Interval(ge=0)] = 0.12
    """Drop faces with less detail (`measures.sharpness`) as blurred; 0 keeps all."""
    coverage: Share = 0.8
    """Drop faces of whose crop less than this share lies inside the photo, as cut off."""
    score: Share = 0.8
    """Drop what the detector is less sure of, 0 to 1, as uncertain."""
    # Beyond a fourth of the bits, faces of different people are "copies".
    near: Annotated[int, Interval(ge=0, le=128), Arg(metavar="0..128")] = 64
    """Two faces are copies when their fingerprints differ in at most this many of 512 bits."""
    max_pixels: Annotated[int, Interval(ge=1)] = 50_000_000
    """Photos with more pixels are not read."""


@dataclass(frozen=True)
class Crop:
    """One face of a photo."""

    file: str
    """Its crop's name, in the folder of those kept or of those dropped."""
    score: float
    """The detector's."""
    scale: float
    """Pixels of the crop per pixel of the photo; above 1 the face was enlarged."""
    coverage: float
    sharpness: float
    """See `measures`."""
    landmarks: tuple[tuple[float, float], ...]
    """((x, y), ...), five, in pixels of the crop; see `revisage.lab.data.landmarks`."""
    fingerprint: str
    """Hexadecimal; see `measures.fingerprint`."""
    reason: str | None
    """Why it is dropped, before any comparison with others; None when it is good."""


@dataclass(frozen=True)
class Record:
    """What became of one photo: its path below the source folder, its file, its faces or an error."""

    source: str
    bytes: int
    changed_ns: int
    sha256: str
    error: str | None
    faces: tuple[Crop, ...]
    strays: int = 0
    """Finds whose landmarks do not lie like a face's: they have no crop."""
    restored: bool = False
    """It is a result of Revisage, in which faces were not looked for."""


def prepare_photo(
    root: Path, source: str, out: Path, detector: Detector, settings: PrepareSettings
) -> Record:
    """Find the faces of `root / source` and write their crops below `out`; what the photo itself causes is
    told in the record. Raises SaveError when a crop cannot be written."""
    path = root / source
    length, changed, digest = 0, 0, ""
    try:
        status = path.stat()
        length, changed = status.st_size, status.st_mtime_ns
        digest = sha256(path)
        if is_result(path):
            return Record(source, length, changed, digest, None, (), restored=True)
        photo = decode(path, limits=DecodeLimits(max_pixels=settings.max_pixels))
        pixels = eight_bits(photo.pixels)
        found = detector.find(pixels)
    except (PhotoError, OSError, cv2.error) as error:
        return Record(source, length, changed, digest, one_line(error), ())
    except MemoryError:
        return Record(source, length, changed, digest, "not enough memory for this photo", ())
    crops = []
    for number, face in enumerate(found):
        name = crop_name(source, digest, number, f".{settings.format}")
        try:
            crop, picture = _cut(pixels, face, name, settings)
        except FaceError:
            continue
        target = out / (DROPPED if crop.reason else KEPT) / name
        save(Photo(picture, gray=photo.gray, icc=photo.icc), target, quality=settings.quality)
        crops.append(crop)
    return Record(source, length, changed, digest, None, tuple(crops), len(found) - len(crops))


def is_result(path: Path) -> bool:
    """Whether Revisage made a picture, by label, or by name with the photo beside it. Raises OSError."""
    stem = path.stem.removesuffix(RESULT)
    named = stem != path.stem and any(p.stem == stem for p in path.parent.glob(f"{glob.escape(stem)}.*"))
    return named or label.read(path.read_bytes()) is not None


def crop_name(source: str, digest: str, number: int, suffix: str) -> str:
    """The file of a face's crop, the only one of its name in any folder; it depends on the photo alone."""
    name = readable(source)
    own = sha256(f"{name}\0{digest}".encode())[:10]
    return f"{PurePosixPath(name).stem[:_LONGEST_STEM]}-{own}-{number}{suffix}"


def _cut(pixels: np.ndarray, face: Face, name: str, settings: PrepareSettings) -> tuple[Crop, np.ndarray]:
    """The crop of a face, its figures and its pixels. Raises FaceError when it cannot be aligned."""
    matrix = estimate(face.landmarks, settings.size)
    picture = align(pixels, matrix, settings.size)
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    detail = picture
    if scale > 1:  # as many pixels as the photo has for it: being small is another reason than being blurred
        side = max(_LEAST_SIDE, round(settings.size / scale))
        detail = align(pixels, estimate(face.landmarks, side), side)
    points = face.landmarks.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    height, width = pixels.shape[:2]
    covered, sharp = coverage(invert(matrix), settings.size, width, height), sharpness(detail)
    reasons = {
        "uncertain": face.score < settings.score, "small": scale > settings.enlarge,
        "cut off": covered < settings.coverage, "blurred": sharp < settings.sharpness,
    }  # fmt: skip
    crop = Crop(
        file=name,
        score=round(face.score, 4),
        scale=round(scale, 4),
        coverage=round(covered, 4),
        sharpness=round(sharp, 4),
        landmarks=tuple((round(float(x), 2), round(float(y), 2)) for x, y in points),
        fingerprint=fingerprint(picture).hex(),
        reason=next((name for name, holds in reasons.items() if holds), None),
    )
    return crop, picture


def readable(text: str) -> str:
    """`text` without what no UTF-8 file can hold: names on a disk may be any bytes."""
    return text.encode("utf-8", "replace").decode("utf-8")
