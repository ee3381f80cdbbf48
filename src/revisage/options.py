"""Every choice of a restoration, declared once: name, type, default, help, and which values it takes.

The command line shows these fields as options, the HTTP API as query parameters and Python as keywords; so an
option is added here, used where the work is done, and is then everywhere.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Interval

from revisage.errors import UsageError
from revisage.masks import is_mask, mask_text

AUTO_SCALE_BELOW = 1600  #: long side in pixels under which `scale="auto"` doubles a photo

MAX_OUTPUT_PIXELS = 400_000_000
"""Pixels of the largest result; its canvas is held in memory in the photo's depth."""

MOST_CHOSEN = 400  #: faces that can be chosen by number

GUARD_DEGREES = 65.0
"""The server's guard unless another is chosen. At most about one in a hundred pairs of photos of two people
have a smaller angle (`benchmarks/guard.py`), so a face within it would still pass for the same person."""

QUALITY = 95  #: of JPEG, WebP, HEIF and AVIF files where none is chosen
PATIENCE = 3  #: how many times its processor time a decoding may take by the clock

Device = Literal["auto", "cpu", "gpu"]
Precision = Literal["auto", "fp32", "bf16", "fp16"]


@dataclass(frozen=True)
class Arg:
    """How the command line shows a field."""

    metavar: str | None = None  #: what stands for its value
    name: str | None = None  #: of the option, where it is not that of the field
    aliases: tuple[str, ...] = ()  #: other names of the option, such as "-o"
    help: str | None = None  #: in place of the field's docstring
    positional: bool = False  #: it is an argument, not an option
    repeated: bool = False  #: the option is given once for each of its values
    only_in_python: bool = False  #: neither the command line nor the HTTP API offers it
    unit: int = 1  #: how many of the field's units are one of the option's, such as bytes in a MiB


Share = Annotated[float, Interval(ge=0, le=1), Arg(metavar="0..1")]
OnlyInPython = Arg(only_in_python=True)


def only_in_python(hint: object) -> bool:
    """Whether a field of this type is offered neither by the command line nor by the HTTP API."""
    return OnlyInPython in get_args(hint)


def explained(kind: type) -> dict[str, str]:
    """The docstring of each field of a dataclass: the help of the command line and of the HTTP API."""
    from docstring_parser import parse_from_object

    return {
        item.arg_name: " ".join((item.description or "").split())
        for base in reversed(kind.__mro__[:-1])
        for item in parse_from_object(base).params
    }


@cache
def _declared(kind: type) -> dict[str, tuple[tuple[Any, ...], Interval | None, bool, bool]]:
    """For each field: the values it may have (empty: see the interval), the interval of its numbers, whether
    these are whole, and whether it may be None."""
    found = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        plain, *marks = get_args(hint) if get_origin(hint) is Annotated else (hint,)
        choices = get_args(plain) if get_origin(plain) is Literal else (True, False) if plain is bool else ()
        interval = next((mark for mark in marks if isinstance(mark, Interval)), None)
        found[name] = choices, interval, plain in (int, int | None), NoneType in get_args(plain)
    return found


class Checked:
    """A dataclass whose values are checked against what its fields declare. Raises UsageError."""

    def __post_init__(self) -> None:
        kind: type = type(self)
        for name, (choices, interval, whole, optional) in _declared(kind).items():
            value = getattr(self, name)
            if not (value is None and optional) and (wish := refusal(value, choices, interval, whole)):
                raise UsageError(f"{name} {value!r}: {wish}")


def refusal(value: Any, choices: Sequence[Any], interval: Interval | None, whole: bool = False) -> str | None:
    """What to do about a value that is not among `choices` (none: any), not within, or no `whole` number."""
    if choices and value not in choices:
        return f"choose one of {', '.join(map(str, choices))}"
    number = isinstance(value, Real)
    if interval is not None and not (number and _within(value, interval)):
        percent = number and (interval.ge, interval.le) == (0, 1) and _within(value, Interval(ge=10, le=100))
        return f"give {in_words(interval)}{f', such as {value / 100:g}' if percent else ''}"
    if whole and (isinstance(value, bool) or not isinstance(value, Integral)):
        return "give a whole number" + (
            f", {in_words(interval).removeprefix('a number ')}" if interval else ""
        )
    return None


def _within(value: Any, interval: Interval) -> bool:
    over, low, high = interval.gt, interval.ge, interval.le
    return (
        (over is None or value > over) and (low is None or value >= low) and (high is None or value <= high)
    )


def _joined(value: Any) -> str:
    """A number, or several, as text."""
    several = isinstance(value, Iterable) and not isinstance(value, str)
    return ",".join(map(str, value)) if several else str(value)


Box = tuple[float, float, float, float]  #: x, y, width, height


def _box(name: str, text: str, wish: str, *, in_shares: bool = False) -> Box:
    try:
        x, y, w, h = (float(number) for number in text.split(","))
    except ValueError:
        x = y = w = h = math.nan
    within = not in_shares or (min(x, y) >= 0 and max(x + w, y + h) < 1 + 1e-6)
    if not (math.isfinite(x + y + w + h) and w > 0 and h > 0 and within):
        raise UsageError(f"{name} {text[:40]!r}: give {wish}")
    return x, y, w, h


def in_words(interval: Interval) -> str:
    """Which numbers lie in it."""
    if interval.gt is not None:
        return f"more than {interval.gt}"
    if interval.le is None:
        return f"at least {interval.ge}"
    return f"a number from {interval.ge} to {interval.le}"


@dataclass(frozen=True)
class RestoreOptions(Checked):
    """What a photo wants."""

    strength: Share = 1.0
    """How much of each restored face goes into the photo: 0 leaves it as it was, 1 shows it fully."""
    scale: Literal["auto", "1", "2", "4"] = "auto"
    """Enlarging; auto is 2 where the long side is under 1,600 pixels, else 1. In Python also as a number."""
    faces: Annotated[str, Arg(metavar="all|largest|N,N")] = "all"
    """all, largest, or numbers, counted from 1, left to right: 1,3. A number may have a strength of its own:
    1,3:0.6. In Python also as numbers, or as {1: 1, 3: 0.6}."""
    face: Annotated[tuple[str, ...], Arg(metavar="X,Y,W,H", repeated=True)] = ()
    """The box of a face that was missed, in pixels of the photo as it stands in the report, of many pages the
    first; once or several times. In Python also four numbers, or several times four."""
    turn: Literal["keep", "auto", "90", "180", "270"] = "keep"
    """Turn the result clockwise by so many degrees; auto: until its faces stand upright. Faces are found and
    restored however the photo lies."""
    repair: Literal["off", "light", "full"] = "off"
    """Fill what a model finds damaged from what lies around it, before all else: scratches, specks and hairs
    (light), or also stains, creases and torn places (full)."""
    mask: Annotated[str | None, Arg(metavar="FILE")] = None
    """A picture that is white where the photo, turned by hand, straightened and cropped, is damaged, of its
    shape and any size: that is repaired, and nothing else; of many pages the first. In Python a path, the
    bytes, a Pillow picture or an array, (H, W) or (H, W, 3) of uint8 or bool; by HTTP the bytes as base64."""
    colour: Annotated[Literal["keep", "enhance", "revive"], Arg(aliases=("--color",))] = "keep"
    """keep the photo's tone and colours (sepia stays sepia); let the model enhance them; or revive what has
    faded, as far as the photo itself tells it: an estimate."""
    revive: Share = 1.0
    """How much of the estimated fading is undone, with --colour revive."""
    straighten: Annotated[float, Interval(ge=-45, le=45), Arg(metavar="DEGREES")] = 0.0
    """Turn the photo clockwise by so many degrees before faces are found, -45 to 45, and keep the largest
    part of its shape without an empty corner."""
    crop: Annotated[str, Arg(metavar="off|print|X,Y,W,H")] = "off"
    """print: of a scan with one print on it only the print, straightened, as `revisage split` does for
    several; or a part of the photo, turned and straightened, in shares of its sides: 0.1,0,0.8,1. In Python
    also as four numbers."""
    aligned: bool = False
    """The photos are face crops on the FFHQ template (whole pictures of one face with a model for
    these); the results have the model's square size."""
    guard: Annotated[float | None, Interval(ge=0, le=180), Arg(metavar="DEGREES")] = None
    """Largest angle by which a face may drift from who it shows, such as 40: a face that would drift further
    is restored less, or left. 180: any angle."""
    damaged: bool = False
    """Of a damaged file, such as one that ends early, restore what is there."""
    pages: Literal["first", "all"] = "first"
    """Of a file with several pictures, such as a TIFF of many pages, restore the first or all; a result in
    TIFF holds all."""
    clean: Share = 0.5
    """How strongly the rest of the photo is cleaned of noise and blocks: 0 keeps the grain, 1 cleans hard.
    At its own size a photo that hardly needs it is left alone, above 0.5 less so. For a scene model that
    can be told (revisage-scene-x2); others always do what they do."""
    red_eyes: bool = False
    """Make pupils that a flash has turned red dark."""

    def __post_init__(self) -> None:
        for name in ("scale", "turn"):
            if isinstance(value := getattr(self, name), Integral):
                object.__setattr__(self, name, str(value))
        object.__setattr__(self, "crop", _joined(self.crop))
        if is_mask(self.mask):
            object.__setattr__(self, "mask", mask_text(self.mask))
        several = isinstance(self.face, Iterable) and not isinstance(self.face, str)
        given = list(self.face) if several else [self.face]  # an iterator can be read once
        boxes = [given] if several and any(isinstance(one, Real) for one in given) else given
        object.__setattr__(self, "face", tuple(map(_joined, boxes)))
        faces: Any = self.faces
        if isinstance(faces, Mapping):
            faces = [f"{number}:{strength}" for number, strength in faces.items()]
        object.__setattr__(self, "faces", _joined(faces))
        super().__post_init__()
        self._numbers()
        if self.boxes and self.aligned:
            raise UsageError(
                "face is for photos, and an aligned picture is one face as a whole: leave out either"
            )
        assert self.part is None or self.crop != "off"

    @property
    def turn_by_hand(self) -> int:
        """Degrees clockwise."""
        return int(self.turn) if self.turn.isdigit() else 0

    @property
    def boxes(self) -> list[Box]:
        """Those of `face`, in pixels."""
        return [_box("face", text, "X,Y,W,H in pixels, such as 120,80,60,75") for text in self.face]

    @property
    def part(self) -> Box | None:
        """That of `crop`, in shares of the photo's sides; None where it says no part."""
        if self.crop in ("off", "print"):
            return None
        wish = "off, print, or X,Y,W,H in shares of the photo's sides, such as 0.1,0,0.8,1"
        return _box("crop", self.crop, wish, in_shares=True)

    def factor(self, size: tuple[int, int]) -> int:
        """The upscaling factor for a photo of `size` (width, height)."""
        if self.scale == "auto":
            return 2 if max(size) < AUTO_SCALE_BELOW else 1
        return int(self.scale)

    def chosen(self, areas: Sequence[float]) -> dict[int, float]:
        """Which faces to restore, as indices of `areas`, theirs in pixels from left to right, each with its
        strength, 0 to 1. Raises UsageError for a number of no face."""
        count = len(areas)
        if self.faces in ("all", "largest"):
            largest = sorted(range(count), key=lambda index: -areas[index])[:1]
            return dict.fromkeys(range(count) if self.faces == "all" else largest, self.strength)
        numbers = self._numbers()
        if max(numbers) > count:
            found = f"{count or 'no'} face{'' if count == 1 else 's'} found"
            raise UsageError(f"there is no face {max(numbers)}: {found}, counted from 1, left to right")
        return {number - 1: strength for number, strength in numbers.items()}

    def _numbers(self) -> dict[int, float]:
        if self.faces in ("all", "largest"):
            return {}
        pairs = [text.partition(":") for text in self.faces.split(",")]
        try:
            numbers = {int(n): float(own) if colon else self.strength for n, colon, own in pairs}
        except ValueError:
            numbers = {0: 0.0}
        within = all(0 <= strength <= 1 for strength in numbers.values())
        if min(numbers) < 1 or len(pairs) > MOST_CHOSEN or not within:
            most = f"at most {MOST_CHOSEN} numbers from 1 such as 1,3 or, with strengths, 1,3:0.6"
            raise UsageError(f"faces {self.faces[:40]!r}: give all, largest, or {most}")
        return numbers


@dataclass(frozen=True)
class DecodeLimits(Checked):
    """Bounds on one decoding."""

    max_pixels: Annotated[int, Interval(ge=1)] = 50_000_000
    """Photos with more pixels are refused; checked before any pixel is decoded."""
    memory_bytes: Annotated[int, Interval(ge=1), OnlyInPython] = 2 << 30
    """Address space that decoding may take beyond the interpreter's own (isolated decoding on Linux)."""
    seconds: Annotated[float, Interval(gt=0), OnlyInPython] = 10.0
    """Processor time (isolated decoding; not on Windows). By the clock it may take `PATIENCE` times as
    long, so that a busy machine refuses no good photo."""


@dataclass(frozen=True)
class ModelSettings(Checked):
    """Which models restore, and on what."""

    model: Annotated[str, Arg(metavar="auto|none|NAME")] = "auto"
    """Face model: auto (the best installed), none, or a name of `revisage models list`."""
    scene: Annotated[str, Arg(metavar="auto|none|NAME|NAME:0.3")] = "auto"
    """Model for the rest of the photo: auto, none (plain enlarging), or a name. NAME:0.3 is three tenths
    NAME and its twin (realesr-general-x4v3 then denoises less); NAME+OTHER:0.3 mixes any two of one kind."""
    device: Device = "auto"
    """Where the models run."""
    precision: Precision = "auto"
    """Arithmetic of the models; auto takes half precision where a check shows that it makes no difference."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("model", "scene"):
            if not (isinstance(value := getattr(self, name), str) and value):
                raise UsageError(f"{name} {value!r}: give auto, none or the name of a model")


@dataclass(frozen=True)
class Settings(ModelSettings):
    """Which models restore, and what they may take: for the life of a Restorer."""

    threads: Annotated[int | None, Interval(ge=1, le=4096), Arg(metavar="N")] = None
    """CPU threads of one model run; the runtime's choice if not given."""
    memory: Annotated[int | None, Interval(ge=1), Arg(metavar="MIB")] = None
    """Memory for the tiles of the photos in hand in MiB; a quarter of what is free, at most 1,024, if not
    given. With little, tiles are smaller and it takes longer; the picture stays the same."""
    limits: DecodeLimits = field(default_factory=DecodeLimits)
    """What an untrusted photo may cost to decode."""
    max_output_pixels: Annotated[int, Interval(ge=1)] = MAX_OUTPUT_PIXELS
    """A photo whose result would have more pixels is refused."""


@dataclass(frozen=True)
class Credentials:
    """Who signs. Only the paths are kept: the files are read for each signature and then forgotten."""

    certificate: str | Path  #: PEM file of the signer's certificate, followed by those that lead to its root
    key: str | Path  #: PEM file of the certificate's private key, without a passphrase
    timestamp: str | None = None
    """Address of an RFC 3161 time stamp server, asked at every signature (None: nothing is); with its answer
    a signature stays valid when the certificate has expired, for who trusts the server's root."""


Format = Literal["auto", "avif", "bmp", "heic", "heif", "jpeg", "jpg", "jxl", "png", "tif", "tiff", "webp"]

_SAME_FORMAT = {"heic": "heif", "jpg": "jpeg", "tif": "tiff"}


@dataclass(frozen=True)
class EncodeOptions(Checked):
    """The bytes of a result."""

    quality: Annotated[int, Interval(ge=1, le=100)] = QUALITY
    """Quality of JPEG, WebP, HEIF, AVIF and JPEG XL files, 1 to 100."""
    keep_gps: bool = False
    """Keep the place where a photo was taken; it is dropped otherwise."""
    label: bool = True
    """Mark the results as edited with AI in their metadata (XMP)."""
    format: Format = "auto"
    """Of the result; auto: what the name of its file says, else the photo's own where it can be written, else
    PNG."""
    sign: Annotated[Credentials | None, OnlyInPython] = None
    """Sign the file as these; the signature names the original, the models and their digests."""

    def __post_init__(self) -> None:
        if isinstance(self.format, str):
            name = self.format.lower()
            object.__setattr__(self, "format", _SAME_FORMAT.get(name, name))
        super().__post_init__()

    @property
    def chosen_format(self) -> str | None:
        """The name that `revisage.image` has for the format; None for auto."""
        return None if self.format == "auto" else self.format.upper()


@dataclass(frozen=True)
class SaveOptions(EncodeOptions):
    """How a result is written: its bytes, and the file."""

    overwrite: bool = False
    """Also write over files that Revisage did not make. An original is never written over."""
    save_mask: bool = False
    """Also write what was repaired, of many pages in the first, white on black to FILE.mask.png beside the
    result: to paint on, and to give back with --mask."""
    date: Literal["keep", "now"] = "keep"
    """When the result's file was last changed: keep the photo's date, by which albums are sorted, or now."""
