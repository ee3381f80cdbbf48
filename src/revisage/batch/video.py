"""The frames of a video file, each with its time, by PyAV (`revisage[video]`), which brings FFmpeg along.

Frames are decoded one at a time. Of the file system only the film itself is open to FFmpeg: a playlist in it
cannot name another file or open a connection. What FFmpeg makes of the file is otherwise as safe as it is.
"""

import contextlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.reformatter import Interpolation as Flags
from av.video.stream import VideoStream

from revisage.errors import DamagedError, PhotoError, RevisageError, UsageError
from revisage.image import DecodeLimits, Photo, format_of
from revisage.restore.video.film import Frame

HDR = {16: "PQ (SMPTE ST 2084)", 18: "HLG (ARIB STD-B67)"}
"""Transfer characteristics of high dynamic range, by their numbers in ITU-T H.273."""

UNSPECIFIED, BT709, SMPTE170M = 2, 1, 6
MATRICES = {
    BT709: ("BT.709", 1), 4: ("FCC", 4), 5: ("BT.601", 5), SMPTE170M: ("BT.601", 5),
    7: ("SMPTE 240M", 7), 9: ("BT.2020", 9),
}  # fmt: skip
"""Matrices of H.273 that can be converted: name, and number in libswscale."""

FULL_BY_DEFAULT = frozenset({"mjpeg", "ffv1", "rawvideo", "png", "huffyuv", "ffvhuff", "utvideo"})
"""Codecs whose untagged gray has the full range, as FFmpeg takes it."""

FAILURES = (av.FFmpegError, OSError, ValueError)  #: what PyAV raises for files that cannot be read or written

SCALING = Flags.BICUBIC | Flags.ACCURATE_RND | Flags.FULL_CHR_H_INT | Flags.FULL_CHR_H_INP
"""Conversions without the shortcuts of libswscale."""

BOXES = frozenset(b"ftyp styp moov sidx moof mdat free skip wide uuid".split())  #: of MP4, outermost
MOST_TICKS = 1 << 31  #: MP4 counts time in fewer parts of a second


@dataclass(frozen=True)
class Colour:
    """How R'G'B' becomes Y'CbCr, as numbers of ITU-T H.273 as the film is tagged; 2 stands for untagged."""

    matrix: int
    transfer: int
    primaries: int
    full: bool  #: whether luma goes from 0 to 255 rather than from 16 to 235
    tagged_range: int  #: AVColorRange: 0 none, 1 limited, 2 full
    used: int  #: the matrix that pixels are converted by: `matrix`, or what players take for untagged films

    def __str__(self) -> str:
        tagged = "" if self.matrix == self.used else ", untagged"
        return f"{MATRICES[self.used][0]} matrix{tagged}, {'full' if self.full else 'limited'} range"


def usual_matrix(size: tuple[int, int]) -> int:
    """The matrix that players take for an untagged film of a width and height."""
    return BT709 if size[0] >= 1280 or size[1] > 576 else SMPTE170M


class VideoFilm:
    """The frames of a video file, upright, in 8 or 16 bits for a channel."""

    def __init__(self, path: Path, limits: DecodeLimits, damaged: bool = False) -> None:
        """Raises UsageError when this is no film to be restored, DamagedError when it is not whole."""
        self.path, self._limits = path, limits
        self.notes: dict[str, None] = {}  #: what should be known of the film; grows while frames are read
        with opened(self.path) as container:
            self.there = _there(path)  #: share of the file, less than 1 only of a damaged one
            if self.there < 1:
                share = f"damaged: at most {min(self.there, 0.999):.1%} of it is there"
                if not damaged:
                    raise DamagedError(f"{path}: it is {share}; `revisage restore --damaged` restores that")
                self.notes[share] = None
            stream = self.picture(container)
            average, guessed = stream.average_rate, stream.guessed_rate
            # Frames per second on average; some files have nonsense there, such as 60,000, and some nothing.
            self.rate = average if average and (not guessed or average <= guessed) else guessed
            # All times are multiples of a tick, in seconds from the origin by the file's own clock.
            self.tick, self._grid = _ticks(stream.time_base or Fraction(1, 1000), stream.guessed_rate)
            self.origin = _origin(container, stream)
            self.codec = stream.codec_context.codec.canonical_name
            first = next((f for f in _decode(container, stream) if not isinstance(f, PhotoError)), None)
            if first is None:
                raise self._undecodable()
            self._check(first)
            self._size = (first.width, first.height)
            turn = _turn(first)
            if turn is None:
                self.notes["its rotation is no multiple of 90° and is left out"] = None
            self._turn = turn or (False, False, False)
            self.turned = any(self._turn)
            aspect = pixel_aspect(stream)
            self.aspect = 1 / aspect if self._turn[0] else aspect  # of a pixel, upright
            self.pixel_format = first.format.name
            self.transparent = len(first.format.components) in (2, 4)
            self._gray = len(first.format.components) < 3 and not first.format.has_palette
            self.colour = self._colour(first)

    def picture(self, container: InputContainer) -> VideoStream:
        """The stream of moving pictures that is restored. Raises UsageError."""
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            raise UsageError(f"{self.path} has no moving pictures: give a film")
        best = container.streams.best("video")
        stream = next((s for s in streams if best is not None and s.index == best.index), streams[0])
        if stream.codec_context is None:
            raise UsageError(f"{self.path}: its pictures cannot be decoded: convert it first")
        return stream

    def frames(self) -> Iterator[Frame]:
        """Raises UsageError when not one frame can be decoded."""
        with opened(self.path) as container:
            stream = self.picture(container)
            first = last = None
            usual = self._rounded(1 / self.rate if self.rate else Fraction(1, 25)) or self.tick
            number = 0
            for some in _decode(container, stream):
                number += 1
                name = f"{self.path}#{number}"
                if isinstance(some, PhotoError):
                    yield Frame(name, some)
                    continue
                time = self._time(some, stream, first)
                if last is None:
                    first = time = time or Fraction(0)
                elif time is None:
                    time = last + usual
                last = time if last is None else max(time, last + self.tick)
                duration = self._exact((some.duration or 0) * (stream.time_base or Fraction(0)), stream)
                yield Frame(name, self._photo(some), last, duration or usual)
            if last is None:
                raise self._undecodable()

    def _undecodable(self) -> UsageError:
        hint = "" if format_of(self.path) is None else ": without --video, --pages all restores its pictures"
        return UsageError(f"{self.path}: not one of its frames can be decoded{hint}")

    def _check(self, frame: VideoFrame) -> None:
        """Raises UsageError for frames that are too large, or that would be wrong in 8 bits or RGB."""
        size = f"{frame.width} × {frame.height} pixels"
        if frame.width * frame.height > self._limits.max_pixels:
            raise UsageError(f"{self.path}: frames of {size} are too large; --max-pixels allows more")
        dolby = {"DOVI_METADATA", "DOVI_RPU_BUFFER"} & _side_data(frame).keys()
        hdr = HDR.get(frame.color_trc) or ("Dolby Vision" if dolby else None)
        if hdr:
            how = "convert it to standard range (BT.709) by a tone mapping of your choice first"
            raise UsageError(f"{self.path} has high dynamic range, {hdr}, which models would flatten: {how}")

    def _colour(self, frame: VideoFrame) -> Colour:
        matrix = frame.colorspace
        full = frame.color_range == 2 or frame.format.name.startswith("yuvj")
        if self._gray and not frame.color_range:
            full = self.codec in FULL_BY_DEFAULT
        rgb = frame.format.is_rgb or frame.format.has_palette
        if rgb or matrix in (0, 3):
            matrix, full = UNSPECIFIED, full and not rgb
        if matrix != UNSPECIFIED and matrix not in MATRICES and not self._gray:
            unknown = f"the colour matrix {matrix} of ITU-T H.273, which is unknown here"
            raise UsageError(f"{self.path} has {unknown}: convert the film to BT.709 first")
        used = matrix if matrix in MATRICES else usual_matrix((frame.width, frame.height))
        tagged = 0 if rgb else frame.color_range or (2 if full else 0)
        return Colour(matrix, frame.color_trc, frame.color_primaries, full, tagged, used)

    def _time(self, frame: VideoFrame, stream: VideoStream, first: Fraction | None) -> Fraction | None:
        """When a frame is shown, in seconds: by the exact rate from the first on, where the file rounds."""
        if frame.pts is None or stream.time_base is None:
            return None
        time = frame.pts * stream.time_base - self.origin
        return self._rounded(time) if first is None else first + self._exact(time - first, stream)

    def _exact(self, time: Fraction, stream: VideoStream) -> Fraction:
        """A length of time as a multiple of a frame's where the file rounds that, else in ticks."""
        if self._grid is not None and stream.time_base is not None:
            exact = round(time / self._grid) * self._grid
            if abs(exact - time) <= stream.time_base:
                return exact
        return self._rounded(time)

    def _rounded(self, time: Fraction) -> Fraction:
        return round(time / self.tick) * self.tick

    def _photo(self, frame: VideoFrame) -> Photo | RevisageError:
        try:
            self._check(frame)
        except UsageError as error:
            return PhotoError(str(error))
        if frame.interlaced_frame:
            self.notes["it is interlaced, and combs stay: deinterlace it first for a better result"] = None
        if (frame.width, frame.height) != self._size:
            self.notes["its size changes: all frames are brought to the size of the first"] = None
        depth = frame.format.components[0].bits
        range = ColorRange.JPEG if self.colour.full else ColorRange.MPEG
        rgb = frame.reformat(
            *self._size,
            format="rgb24" if depth <= 8 else "rgb48le",
            src_colorspace=MATRICES[self.colour.used][1],
            src_color_range=None if frame.format.is_rgb or frame.format.has_palette else range,
            interpolation=SCALING,
        )
        pixels = rgb.to_ndarray()
        transpose, mirror, flip = self._turn
        pixels = pixels.transpose(1, 0, 2) if transpose else pixels
        pixels = pixels[:: -1 if flip else 1, :: -1 if mirror else 1]
        return Photo(np.ascontiguousarray(pixels), gray=self._gray)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """A video file to be read from its beginning. Raises UsageError."""
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(path.open("rb"))
            container = av.open(file, "r", io_open=_refuse, metadata_errors="replace")
            stack.enter_context(container)
        except FAILURES as error:
            raise UsageError(f"{path} is no film that can be read ({reason(error)})") from error
        yield container


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Width of a pixel by its height, as the file stores pictures; 1 where it does not tell."""
    return stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or Fraction(1)


def reason(error: BaseException) -> str:
    """An error of FFmpeg or of the file system in words."""
    return getattr(error, "strerror", None) or str(error)


def _there(path: Path) -> float:
    """Share of a film's file that is there, at most, by the lengths that its outermost parts state: boxes of
    MP4 and QuickTime, elements of Matroska, RIFF chunks of AVI. 1 where they state none, as in broadcasts."""
    at, size, length = 0, 8, path.stat().st_size
    with path.open("rb") as file:
        while size >= 8 and file.seek(at) < length:
            head = file.read(16)
            size = int.from_bytes(head[:4], "big")
            if head[:4] == b"RIFF" and head[4:8] != b"\xff\xff\xff\xff":
                size = 8 + int.from_bytes(head[4:8], "little")
            elif head[:4] in (b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"):  # EBML, Segment
                width = 9 - head[4].bit_length()  # of the length, told by its leading bit; all ones: unknown
                stated, unknown = int.from_bytes(head[4 : 4 + width], "big"), (1 << 7 * width) - 1
                size = 4 + width + (stated & unknown) if stated & unknown != unknown else 0
            elif head[4:8] not in BOXES or size == 1:
                size = int.from_bytes(head[8:], "big") if head[4:8] in BOXES else 0
            at += size
    return length / at if at > length + 8 else 1.0  # some AVIs count the head of the chunk twice


def _refuse(url: str, flags: int, options: dict[str, str]) -> Any:
    raise PermissionError(f"it asks for another file: {url}")


def _decode(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame | PhotoError]:
    """Frames in the order they are shown, and an error for each packet that gives none."""
    try:
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except EOFError:
                return
            except FAILURES as error:
                yield PhotoError(f"it is damaged ({reason(error)})")
    except FAILURES as error:
        yield PhotoError(f"the film breaks off ({reason(error)})")


def _origin(container: InputContainer, stream: VideoStream) -> Fraction:
    """Broadcasts begin at any time of their clock. A sound that begins before 0 is cut there by players."""
    starts = Fraction(container.start_time or 0, 1_000_000)
    picture = (stream.start_time or 0) * (stream.time_base or 0)
    return Fraction(min(max(starts, Fraction(0)), picture))


def _ticks(base: Fraction, rate: Fraction | None) -> tuple[Fraction, Fraction | None]:
    """The unit of time for output, and the frame's exact duration where the unit of the file rounds it.
    Matroska counts milliseconds, so that 24000/1001 frames a second are 41 or 42 of them."""
    if not rate or rate.denominator not in (1, 1001) or (1 / rate / base).denominator == 1:
        return base, None
    parts = lcm(rate.numerator, base.denominator)
    return (Fraction(1, parts), 1 / rate) if parts < MOST_TICKS else (base, None)


def _turn(frame: VideoFrame) -> tuple[bool, bool, bool] | None:
    """How a frame comes upright: transposed, then mirrored, then flipped; None for other angles. The display
    matrix has nine 32-bit integers, (x, y) → (a x + c y, b x + d y) with a, b, -, c, d first."""
    matrix = _side_data(frame).get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    if a and d and not b and not c:
        return False, a < 0, d < 0
    if b and c and not a and not d:
        return True, c < 0, b < 0
    return None


def _side_data(frame: VideoFrame) -> dict[str, bytes]:
    """What comes with a frame, by its kind as FFmpeg names it."""
    some: Any = frame.side_data  # its type hints tell of a dictionary of one kind only
    return {data.type.name: bytes(data) for data in some}
