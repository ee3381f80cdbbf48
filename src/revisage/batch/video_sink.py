"""A video file with what the film it was made from has besides its pictures, in place once it is whole.

Pictures are encoded by their own times, so that a variable rate stays one. Sounds, subtitles and attachments
are copied packet by packet, in step with the pictures; nothing is held but what one frame needs.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from revisage.batch import storage
from revisage.batch.jobs import SaveOptions
from revisage.batch.video import (
    MATRICES,
    UNSPECIFIED,
    VideoFilm,
    load_av,
    opened,
    reason,
    scaling,
    usual_matrix,
)
from revisage.errors import SaveError, UsageError
from revisage.image.save import PART, TEMPORARY
from revisage.restore import Result

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet
    from av.stream import Stream
    from av.video.stream import VideoStream

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
"""FFmpeg's name of what a file of this name holds."""

OWN = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", "rotate", "duration"}
)
"""Tags that tell how a file is made, not what it shows: each file has its own."""

NAMES = {"audio": "sound", "subtitle": "subtitles", "attachment": "attached file", "video": "picture"}


@dataclass(frozen=True)
class FilmReport:
    """What a video file has of its film, in words.

    Args:
        kept: what is as it was.
        left_out: what the film has and the result has not.
        notes: what else should be known.
    """

    kept: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


class VideoSink:
    """Takes the restored frames of a `VideoFilm`."""

    def __init__(self, path: Path, film: VideoFilm, saving: SaveOptions) -> None:
        """Raises UsageError when the file's kind cannot hold the film's sound."""
        if path.suffix.lower() not in CONTAINERS:
            raise UsageError(f"{path}: end the video's name with one of {', '.join(CONTAINERS)}")
        self._path, self._film, self._saving = path, film, saving
        self._format = CONTAINERS[path.suffix.lower()]
        self._temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{secrets.token_hex(8)}{PART}")
        self._closing = contextlib.ExitStack()
        self._kept: list[str] = []
        self._left_out: list[str] = []
        self._notes: list[str] = []
        self._faces = False
        self._frames = 0
        self._last, self._ends = Fraction(0), Fraction(0)
        self._steps: set[Fraction] = set()
        self._durations: dict[int, int] = {}  # of frames in the encoder, by their times, in ticks
        self._next: tuple[Fraction, Packet[Any]] | None = None
        self._out: OutputContainer | None = None
        self._check_streams()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._closing.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()

    def begin(self, *, faces: bool) -> None:
        self._faces = faces

    def write(self, name: str, result: Result, time: Fraction | None, duration: Fraction | None) -> str:
        """Raises SaveError."""
        assert time is not None
        assert duration is not None
        try:
            if self._out is None:
                self._start(result)
            self._encode(result.pixels, time, duration)
        except (OSError, ValueError) as error:
            raise self._failed(error) from error
        return str(self._path)

    def finish(self) -> FilmReport:
        """End the video and move it into place. Raises SaveError."""
        if self._out is None:
            raise SaveError(f"{self._path} is not written: no frame was restored")
        try:
            self._mux(self._stream.encode(None))
            self._copy_until(None)
            self._out.close()
            self._closing.close()
            report = self._report()
            storage.publish(self._temporary, self._path)
        except (OSError, ValueError) as error:
            raise self._failed(error) from error
        return report

    def _failed(self, error: BaseException) -> SaveError:
        return SaveError(f"{self._path} cannot be written ({reason(error)})")

    # What is copied

    def _check_streams(self) -> None:
        """Which streams the file can hold; those are `self._copied`, by their index in the film."""
        self._copied: dict[int, str] = {}
        av = load_av()
        with opened(self._film.path) as source, av.open(BytesIO(), "w", format=self._format) as trial:
            picture = self._film.picture(source)
            for stream in source.streams:
                if stream.index == picture.index:
                    continue
                words = _words(stream)
                if stream.type in ("audio", "subtitle", "attachment") and _can_add(trial, stream):
                    self._copied[stream.index] = words
                elif stream.type == "audio":
                    raise UsageError(
                        f"{self._path} cannot hold the film's {words}: name it {self._path.stem}.mkv"
                    )
                elif stream.type != "data" or stream.discard.name != "all":  # chapters are such a stream, too
                    other = "" if self._format == "matroska" else f" (try {self._path.stem}.mkv)"
                    self._left_out.append(words + (other if stream.type == "subtitle" else ""))

    def _packets(self) -> Iterator[tuple[Fraction, Packet[Any]]]:
        """The packets to be copied, each with its time in the film."""
        outs, dropped = self._outs, 0
        last: dict[int, int] = {}
        source = self._closing.enter_context(opened(self._film.path))
        streams = [source.streams[index] for index in outs if source.streams[index].type != "attachment"]
        try:
            for packet in source.demux(streams) if streams else ():
                stamp = packet.pts if packet.dts is None else packet.dts
                if stamp is None or not packet.size:
                    continue
                shift = round(self._film.origin / packet.time_base)
                if stamp <= last.get(packet.stream.index, stamp - 1):
                    dropped += 1
                    continue
                last[packet.stream.index] = stamp
                packet.dts = stamp - shift
                packet.pts = packet.dts if packet.pts is None else packet.pts - shift
                packet.stream = outs[packet.stream.index]
                yield packet.dts * packet.time_base, packet
        except (OSError, ValueError) as error:
            self._notes.append(f"sound and subtitles break off, as the film does ({reason(error)})")
        if dropped:
            self._notes.append(
                f"{dropped} packets of sound or subtitles without a time of their own are left out"
            )

    def _copy_until(self, time: Fraction | None) -> None:
        assert self._out is not None
        while self._next is not None and (time is None or self._next[0] <= time):
            self._out.mux(self._next[1])
            self._next = next(self._copies, None)

    # The pictures

    def _start(self, result: Result) -> None:
        av = load_av()
        film, colour = self._film, self._film.colour
        self._path.parent.mkdir(parents=True, exist_ok=True)
        options = {"movflags": "+faststart"} if self._format in ("mp4", "mov") else {}
        out = av.open(
            f"file:{self._temporary.absolute()}", "w", format=self._format, container_options=options
        )
        self._out = self._closing.enter_context(out)
        height, width = result.pixels.shape[:2]
        self._stored, encoder, settings = _storage(film.pixel_format, self._format)
        self._even = not self._stored.startswith("yuv444")
        if self._even and (width % 2 or height % 2):
            self._notes.append("a row or column is repeated at the border: such films have even sizes")
        if colour.matrix == UNSPECIFIED and usual_matrix((width, height)) != colour.used:
            colour = replace(colour, matrix=colour.used)
            self._notes.append(
                f"the film's colours are untagged; the result is tagged {MATRICES[colour.used][0]}, "
                "which players would not guess for its size"
            )
        self._colour = colour
        stream: VideoStream = out.add_stream(encoder, rate=film.rate or Fraction(25), options=settings)
        context = stream.codec_context
        context.width, context.height = (
            (width + width % 2, height + height % 2) if self._even else (width, height)
        )
        context.pix_fmt = self._stored
        context.time_base = film.tick
        context.sample_aspect_ratio = film.aspect
        if encoder == "libx265" and self._format in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # what Apple's players ask for
        context.color_range, context.colorspace = colour.tagged_range, colour.matrix
        context.color_trc, context.color_primaries = colour.transfer, colour.primaries
        self._stream, self._width, self._height = stream, context.width, context.height
        self._add_copied(out, result)
        self._copies = self._packets()
        self._next = next(self._copies, None)

    def _add_copied(self, out: OutputContainer, result: Result) -> None:
        """The streams that are copied, and what is said of the film as a whole."""
        film = self._film
        self._outs: dict[int, Stream] = {}
        with opened(film.path) as source:
            self._stream.metadata.update(_tags(film.picture(source).metadata, keep_gps=self._saving.keep_gps))
            for index in self._copied:
                template = source.streams[index]
                added = out.add_stream_from_template(template)
                added.metadata.update(_tags(template.metadata, keep_gps=self._saving.keep_gps))
                added.disposition = template.disposition
                self._outs[index] = added
            self._tags = _tags(source.metadata, keep_gps=self._saving.keep_gps)
            if any("location" in key.lower() for key in source.metadata) and not self._saving.keep_gps:
                self._left_out.append("the place where it was taken (--keep-gps keeps it)")
            chapters = source.chapters()
        changed = dict.fromkeys(result.changed_by)
        if self._faces and result.models["face"] is not None:
            changed = dict.fromkeys((result.models["face"], *changed))
        out.metadata.update(self._tags)
        if self._saving.label and changed:
            note = f"edited with AI: {', '.join(changed)}"
            comment = next((key for key in self._tags if key.lower() == "comment"), "comment")
            out.metadata[comment] = "; ".join(filter(None, [self._tags.get(comment), note]))
        for chapter in chapters:
            base = chapter["time_base"] or Fraction(1, 1000)
            chapter["start"] = max(0, chapter["start"] - round(film.origin / base))
            chapter["end"] = max(0, chapter["end"] - round(film.origin / base))
        out.set_chapters(chapters)
        self._chapters = len(chapters)

    def _encode(self, pixels: np.ndarray, time: Fraction, duration: Fraction) -> None:
        from av.video.frame import VideoFrame
        from av.video.reformatter import ColorRange

        colour, tick = self._colour, self._film.tick
        rows, columns = self._height - pixels.shape[0], self._width - pixels.shape[1]
        assert 0 <= min(rows, columns) <= max(rows, columns) <= 1, pixels.shape
        pixels = np.pad(pixels, ((0, rows), (0, columns), (0, 0)), mode="edge")
        rgb = VideoFrame.from_ndarray(pixels, "rgb24" if pixels.dtype == np.uint8 else "rgb48le")
        frame = rgb.reformat(
            format=self._stored,
            dst_colorspace=MATRICES[colour.used][1],
            dst_color_range=ColorRange.JPEG if colour.full else ColorRange.MPEG,
            interpolation=scaling(),
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
            self._copy_until(packet.pts * packet.time_base)
            self._out.mux(packet)

    # What became of it

    def _report(self) -> FilmReport:
        """Read the file again, so that the report tells what is there."""
        film, kept, left_out = self._film, self._kept, self._left_out
        seconds, even = float(self._ends), len(self._steps) < 2
        pace = f"at {1 / next(iter(self._steps), Fraction(1, 25))} a second" if even else "at a variable rate"
        kept.append(f"{self._frames:,} frames {pace}, {seconds:.2f} s")
        kept.append(f"colour: {self._colour}")
        if film.aspect != 1:
            kept.append(f"pixel aspect {film.aspect.numerator}:{film.aspect.denominator}")
        if film.turned:
            kept.append("rotation, as upright pictures")
        if film.pixel_format.removeprefix("yuvj").removeprefix("yuv") != self._stored.removeprefix("yuv"):
            self._notes.append(
                f"pictures were stored as {film.pixel_format}, the result's are {self._stored}"
            )
        with opened(self._temporary) as result:
            there = {key.lower(): value for key, value in result.metadata.items()}
            for key in self._tags:
                (kept if key.lower() in there else left_out).append(f"tag {key}")
            if self._chapters:
                (kept if len(result.chapters()) == self._chapters else left_out).append(
                    f"{self._chapters} chapters"
                )
            for index, stream in self._outs.items():
                language = stream.metadata.get("language", "und")
                if result.streams[stream.index].metadata.get("language", "und") != language:
                    left_out.append(f"language {language} of stream {index}")
        kept.extend(self._copied.values())
        return FilmReport(tuple(kept), tuple(left_out), (*film.notes, *self._notes))


def _storage(pixel_format: str, container: str) -> tuple[str, str, dict[str, str]]:
    """What a film of a pixel format is stored in: pixel format, encoder and its settings.

    Chroma stays as dense as it is, but that of RGB, which few players take. H.265 where there are more than 8
    bits: players take that rather than H.264. No frame refers to a later one: MP4 counts time in the order of
    decoding, and would tell a wrong length where the rate varies. The constant rate factors are hard to tell
    from the frames.
    """
    from av.video.format import VideoFormat

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


def _can_add(container: OutputContainer, stream: Stream) -> bool:
    try:
        container.add_stream_from_template(stream)
    except ValueError:
        return False
    return True


def _words(stream: Stream) -> str:
    name = getattr(stream, "name", None) or stream.metadata.get("filename") or stream.type
    language = stream.metadata.get("language", "und")
    return f"{NAMES.get(stream.type, stream.type)} {stream.index}: {name}" + (
        "" if language == "und" else f", {language}"
    )


def _tags(tags: dict[str, str], *, keep_gps: bool) -> dict[str, str]:
    """What is said of a film, without what its file says of itself and, unless asked for, the place."""
    return {
        key: value
        for key, value in tags.items()
        if key.lower() not in OWN
        and not key.startswith(("_STATISTICS", "BPS", "NUMBER_OF_", "DURATION"))
        and (keep_gps or "location" not in key.lower())
    }
