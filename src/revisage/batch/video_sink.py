"""A video file with what the film it was made from has besides its pictures, in place once it is whole.

Pictures are encoded by their own times, so that a variable rate stays one. What goes with them is written in
step with them (`revisage.batch.video_copy`), so nothing is held but what a few frames need.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import OutputContainer
from av.packet import Packet
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from revisage.batch import video
from revisage.batch.video import FAILURES, VideoFilm
from revisage.batch.video_copy import Copies
from revisage.errors import SaveError, UsageError
from revisage.files import PART, TEMPORARY, close_to_others, publish
from revisage.label import results
from revisage.options import SaveOptions
from revisage.restore import Result
from revisage.restore.video.film import Frame

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""FFmpeg's name of what a file of this name holds."""

MOST_REMEMBERED = 1 << 30
"""Bytes of the largest film that is known again as a result: it is read into memory for that."""


@dataclass(frozen=True)
class FilmReport:
    """What a video file has of its film, in words."""

    kept: tuple[str, ...]  #: what is as it was
    left_out: tuple[str, ...]  #: what the film has and the result has not
    notes: tuple[str, ...]  #: what else should be known


class VideoSink(contextlib.AbstractContextManager["VideoSink"]):
    """Takes the restored frames of a `VideoFilm`."""

    def __init__(self, path: Path, film: VideoFilm, saving: SaveOptions) -> None:
        """Raises UsageError for the name of another kind of file, or a sound that it cannot hold."""
        if path.suffix.lower() not in CONTAINERS:
            raise UsageError(f"{path}: end the video's name with one of {', '.join(CONTAINERS)}")
        self._path, self._film, self._saving = path, film, saving
        self.there = film.there
        self._format = CONTAINERS[path.suffix.lower()]
        self._temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}{PART}")
        self._closing = contextlib.ExitStack()
        self._notes: list[str] = []
        self._faces = False
        self._frames = 0
        self._last, self._ends = Fraction(0), Fraction(0)
        self._steps: set[Fraction] = set()
        self._durations: dict[int, int] = {}  # of frames in the encoder, by their times, in ticks
        self._out: OutputContainer | None = None
        self._copies = Copies(film, self._format, path, keep_gps=saving.keep_gps)

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(*FAILURES):
            self._closing.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()

    def begin(self, *, faces: bool) -> None:
        self._faces = faces

    def write(self, frame: Frame, result: Result) -> str:
        """Raises SaveError."""
        assert frame.time is not None
        assert frame.duration is not None
        try:
            if self._out is None:
                self._start(result)
            self._encode(result.pixels, frame.time, frame.duration)
        except FAILURES as error:
            raise self._failed(error) from error
        return str(self._path)

    def finish(self) -> FilmReport:
        """End the video and move it into place. Raises SaveError."""
        if self._out is None:
            raise SaveError(f"{self._path} is not written: no frame was restored")
        try:
            self._mux(self._stream.encode(None))
            for copied in self._copies.until(None):
                self._out.mux(copied)
            self._out.close()
            self._closing.close()
            report = self._report()
            publish(self._temporary, self._path)
        except FAILURES as error:
            raise self._failed(error) from error
        with contextlib.suppress(OSError, MemoryError):  # the film is there; this saves a question only
            if self._path.stat().st_size <= MOST_REMEMBERED:
                results.remember(self._path.read_bytes(), self._film.path)
        return report

    def _failed(self, error: BaseException) -> SaveError:
        return SaveError(f"{self._path} cannot be written ({video.reason(error)})")

    def _start(self, result: Result) -> None:
        film, colour = self._film, self._film.colour
        self._path.parent.mkdir(parents=True, exist_ok=True)
        options = {"movflags": "+faststart"} if self._format in ("mp4", "mov") else {}
        with self._temporary.open("xb") as file:  # FFmpeg leaves the mode of a file that is there as it is
            close_to_others(file.fileno(), film.path)
        address = f"file:{self._temporary.absolute()}"
        out = av.open(address, "w", format=self._format, container_options=options)
        self._out = self._closing.enter_context(out)
        height, width = result.pixels.shape[:2]
        self._stored, encoder, settings = _storage(film.pixel_format, self._format)
        more = (0, 0) if self._stored.startswith("yuv444") else (width % 2, height % 2)
        if any(more):
            self._notes.append("a row or column is repeated at the border: such films have even sizes")
        if colour.matrix == video.UNSPECIFIED and video.usual_matrix((width, height)) != colour.used:
            colour = replace(colour, matrix=colour.used)
            tagged = f"is tagged {video.MATRICES[colour.used][0]}, which its size does not tell players"
            self._notes.append(f"the film's colours are untagged; the result {tagged}")
        self._colour = colour
        stream = out.add_stream(encoder, rate=film.rate or Fraction(25), options=settings)
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height = width + more[0], height + more[1]
        context.pix_fmt = self._stored
        context.time_base = film.tick
        context.sample_aspect_ratio = film.aspect
        if encoder == "libx265" and self._format in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # what Apple's players ask for
        context.color_range, context.colorspace = colour.tagged_range, colour.matrix
        context.color_trc, context.color_primaries = colour.transfer, colour.primaries
        self._stream, self._width, self._height = stream, context.width, context.height
        self._copies.add_to(out, stream, self._closing)
        self._label(result)
        out.start_encoding()  # a head that cannot be written is told now, not after hours

    def _label(self, result: Result) -> None:
        """The film's tags, and in its comment that models changed it."""
        assert self._out is not None
        face = result.models["face"] if self._faces else None
        changed = dict.fromkeys(filter(None, (face, *result.changed_by)))
        tags = dict(self._copies.tags)
        if self._saving.label and changed:
            note = f"edited with AI: {', '.join(changed)}"
            comment = next((key for key in tags if key.lower() == "comment"), "comment")
            tags[comment] = "; ".join(filter(None, [tags.get(comment), note]))
        self._out.metadata.update(tags)

    def _encode(self, pixels: np.ndarray, time: Fraction, duration: Fraction) -> None:
        colour, tick = self._colour, self._film.tick
        rows, columns = self._height - pixels.shape[0], self._width - pixels.shape[1]
        assert 0 <= min(rows, columns) <= max(rows, columns) <= 1, pixels.shape
        pixels = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")
        rgb = VideoFrame.from_ndarray(pixels, "rgb24" if pixels.dtype == np.uint8 else "rgb48le")
        frame = rgb.reformat(
            format=self._stored,
            dst_colorspace=video.MATRICES[colour.used][1],
            dst_color_range=ColorRange.JPEG if colour.full else ColorRange.MPEG,
            interpolation=video.SCALING,
        )
        frame.colorspace, frame.color_range = colour.matrix, colour.tagged_range
        frame.color_trc, frame.color_primaries = colour.transfer, colour.primaries
        frame.pts, frame.time_base = int(time / tick), tick
        self._durations[frame.pts] = int(duration / tick)
        if self._frames and len(self._steps) < 3:
            self._steps.add(time - self._last)
        self._last, self._ends, self._frames = time, time + duration, self._frames + 1
        self._mux(self._stream.encode(frame))

    def _mux(self, packets: list[Packet[Any]]) -> None:
        assert self._out is not None
        for packet in packets:
            assert packet.pts is not None
            # The encoder forgets how long frames last; of the last one nothing else tells.
            packet.duration = self._durations.pop(packet.pts)
            for copied in self._copies.until(packet.pts * packet.time_base):
                self._out.mux(copied)
            self._out.mux(packet)

    def _report(self) -> FilmReport:
        """Read the file again, so that the report tells what is there."""
        film, even = self._film, len(self._steps) < 2
        pace = f"at {1 / next(iter(self._steps), Fraction(1, 25))} a second" if even else "at a variable rate"
        some = "1 frame" if self._frames == 1 else f"{self._frames:,} frames"
        kept = [f"{some} {pace}, {float(self._ends):.2f} s", f"colour: {self._colour}"]
        left_out, notes = self._copies.left_out, [*film.notes, *self._notes]
        if film.turned:
            kept.append("rotation, as upright pictures")
        if film.transparent:
            left_out.append("transparency")
        if film.pixel_format.removeprefix("yuvj").removeprefix("yuv") != self._stored.removeprefix("yuv"):
            notes.append(f"pictures were stored as {film.pixel_format}, the result's are {self._stored}")
        with video.opened(self._temporary) as result:
            if film.aspect != 1:
                text = f"pixel aspect {film.aspect.numerator}:{film.aspect.denominator}"
                (kept if video.pixel_aspect(film.picture(result)) == film.aspect else left_out).append(text)
            kept += self._copies.compare(result)
        return FilmReport(tuple(kept), tuple(left_out), (*notes, *self._copies.notes))


def _storage(pixel_format: str, container: str) -> tuple[str, str, dict[str, str]]:
    """What a film of a pixel format is stored in: pixel format, encoder and its settings.

    Chroma stays as dense as it is, but that of RGB, which few players take. H.265 where there are more than 8
    bits: players take that rather than H.264. No frame refers to a later one: MP4 counts time in the order of
    decoding, and would tell a wrong length where the rate varies. The constant rate factors are hard to tell
    from the frames.
    """
    format = VideoFormat(pixel_format, 64, 64)
    chroma = "420"
    if len(format.components) >= 3 and not format.is_rgb and format.chroma_height() == 64:
        chroma = "444" if format.chroma_width() == 64 else "422"
    deep = format.components[0].bits > 8
    if container == "webm":
        return f"yuv{chroma}p", "libvpx-vp9", {"crf": "18", "b": "0", "cpu-used": "4", "row-mt": "1"}
    if deep:
        return f"yuv{chroma}p10le", "libx265", {"crf": "16", "x265-params": "log-level=none:bframes=0"}
    return f"yuv{chroma}p", "libx264", {"crf": "16", "bf": "0"}
