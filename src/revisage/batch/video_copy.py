"""What a film has beside its pictures, on its way into another file: sounds, subtitles, attachments, tags."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from fractions import Fraction
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Stream

from revisage.batch.video import FAILURES, VideoFilm, opened, reason
from revisage.errors import UsageError

OWN = frozenset(
    {"major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", "rotate", "duration"}
)
"""Tags that tell how a file is made, not what it shows: each file has its own."""

NAMES = {"audio": "sound", "subtitle": "subtitles", "attachment": "attached file", "video": "picture"}

SOUND = {"webm": "libopus"}  #: encoders of sounds that a container cannot hold as they are; AAC elsewhere
SOUND_BITS = 192_000  #: bits per second of a sound that is encoded anew

LAYOUTS = {1: "mono", 2: "stereo", 4: "quad", 6: "5.1", 8: "7.1"}  #: what a number of channels usually is


class Copies:
    """The streams that go with the pictures, packet by packet. A sound is copied as it is, or encoded anew
    where the container cannot hold it."""

    def __init__(self, film: VideoFilm, format: str, path: Path, *, keep_gps: bool) -> None:
        """Raises UsageError when a sound can be neither copied nor decoded."""
        self.left_out: list[str] = []  # what the film has and the result has not, in words
        self.notes: dict[str, None] = {}  # what else should be known
        self._film, self._keep_gps = film, keep_gps
        self._planned: dict[int, bool] = {}  # index in the film: whether it is encoded anew
        self._words: list[str] = []
        self._outs: dict[int, Stream] = {}
        self._next: tuple[Fraction, Packet[Any]] | None = None
        with opened(film.path) as source, av.open(BytesIO(), "w", format=format) as trial:
            self.tags = _tags(source.metadata, keep_gps=keep_gps)
            self._encoder = SOUND.get(format, "aac")
            self._plan(source, trial, path)
            self._time_code = any("timecode" in part.metadata for part in (source, *source.streams))
            places = [key for key in source.metadata if "location" in key.lower()]
        if places and not keep_gps:
            self.left_out.append("the place where it was taken (--keep-gps keeps it)")

    def _plan(self, source: InputContainer, trial: OutputContainer, path: Path) -> None:
        picture = self._film.picture(source)
        for stream in source.streams:
            words = _describe(stream)
            # Chapters and the time code may be data streams as well; they are kept as what they are.
            elsewhere = stream.discard.name == "all" or "timecode" in stream.metadata
            if stream.index == picture.index or (stream.type == "data" and elsewhere):
                continue
            if _can_copy(trial, stream):
                self._planned[stream.index] = False
                self._words.append(words)
            elif stream.type == "audio":
                if stream.codec_context is None:
                    raise UsageError(f"{path} cannot hold the film's {words}: convert that to AAC first")
                self._planned[stream.index] = True
                name = self._encoder.removeprefix("lib")
                self.notes[f"{words} is encoded anew as {name}, which {path.suffix} can hold"] = None
            else:
                other = f" (try {path.stem}.mkv)" if trial.format.name != "matroska" else ""
                self.left_out.append(words + (other if stream.type in ("subtitle", "attachment") else ""))

    def add_to(self, out: OutputContainer, picture: Stream, opening: ExitStack) -> None:
        """Make the streams in the new file, tell what is said of each, and begin to read the film, which
        `opening` closes."""
        source = opening.enter_context(opened(self._film.path))
        for index, anew in self._planned.items():
            template = source.streams[index]
            make = partial(self._encoded, out) if anew else out.add_stream_from_template
            self._outs[index] = make(template)
        pairs = [(source.streams[index], added) for index, added in self._outs.items()]
        for old, new in [(self._film.picture(source), picture), *pairs]:
            new.metadata.update(_tags(old.metadata, keep_gps=self._keep_gps))
            new.disposition = old.disposition
        chapters = source.chapters()
        for chapter in chapters:
            shift = round(self._film.origin / (chapter["time_base"] or 1))
            chapter["start"] = max(0, chapter["start"] - shift)
            chapter["end"] = max(0, chapter["end"] - shift)
        out.set_chapters(chapters)
        self._chapters = len(chapters)
        self._packets = self._read(source)
        self._next = next(self._packets, None)

    def _encoded(self, out: OutputContainer, template: Any) -> Any:
        rates = av.Codec(self._encoder, "w").audio_rates or [template.sample_rate]
        rate = template.sample_rate if template.sample_rate in rates else 48000
        stream: Any = out.add_stream(self._encoder, rate=rate, bit_rate=SOUND_BITS)
        unnamed = template.layout.name.endswith("channels")  # old formats only count them
        layout = LAYOUTS.get(template.layout.nb_channels, "stereo") if unnamed else template.layout.name
        stream.codec_context.layout = layout
        return stream

    def until(self, time: Fraction | None) -> Iterator[Packet[Any]]:
        """The packets up to a time in the film, or all that are left."""
        while self._next is not None and (time is None or self._next[0] <= time):
            yield self._next[1]
            self._next = next(self._packets, None)

    def _read(self, source: InputContainer) -> Iterator[tuple[Fraction, Packet[Any]]]:
        """The packets for the new file, each with its time in the film."""
        streams = [source.streams[index] for index in self._outs]
        streams = [stream for stream in streams if stream.type != "attachment"]
        last: dict[int, int] = {}
        dropped = 0
        try:
            for packet in source.demux(streams) if streams else ():
                index = packet.stream.index
                if self._planned[index]:
                    yield from self._encode(packet)
                    continue
                stamp = packet.pts if packet.dts is None else packet.dts
                if stamp is None or not packet.size or self._is_cut_off(packet):
                    continue
                if stamp <= last.get(index, stamp - 1):
                    dropped += 1
                    continue
                last[index] = stamp
                shift = round(self._film.origin / packet.time_base)
                packet.dts = stamp - shift
                packet.pts = packet.dts if packet.pts is None else packet.pts - shift
                packet.stream = self._outs[index]
                yield packet.dts * packet.time_base, packet
        except FAILURES as error:
            self.notes[f"sound and subtitles break off, as the film does ({reason(error)})"] = None
        if dropped:
            note = f"{dropped} packets of sound or subtitles without a time of their own are left out"
            self.notes[note] = None

    def _encode(self, packet: Packet[Any]) -> Iterator[tuple[Fraction, Packet[Any]]]:
        out: Any = self._outs[packet.stream.index]
        try:
            frames: list[Any] = packet.decode()
        except FAILURES:
            self.notes[f"sound {packet.stream.index} has damaged parts, which are silent"] = None
            return
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(self._film.origin / frame.time_base)
        for frame in frames if packet.size else [*frames, None]:
            for encoded in out.encode(frame):
                yield (encoded.dts or 0) * encoded.time_base, encoded

    def _is_cut_off(self, packet: Packet[Any]) -> bool:
        """Whether a cut in the film's edit list lies behind it. Up to a tenth of a second, what comes before
        the cut is there for the decoder to begin with."""
        time = (packet.pts or 0) * packet.time_base
        return packet.is_discard and time + Fraction(1, 10) < self._film.origin

    def compare(self, result: InputContainer) -> list[str]:
        """What of the film is in the finished file, in words; what is not goes to `left_out`."""
        kept = list(self._words)
        there = {key.lower() for part in (result, *result.streams) for key in part.metadata}
        wanted = {"time code": "timecode" in there} if self._time_code else {}
        wanted |= {f"tag {key}": key.lower() in there for key in self.tags}
        if self._chapters:
            wanted[f"{self._chapters} chapters"] = len(result.chapters()) == self._chapters
        for text, whole in wanted.items():
            (kept if whole else self.left_out).append(text)
        for index, stream in self._outs.items():
            language = stream.metadata.get("language", "und")
            if result.streams[stream.index].metadata.get("language", "und") != language:
                self.left_out.append(f"language {language} of stream {index}")
        return kept


def _can_copy(container: OutputContainer, stream: Stream) -> bool:
    if stream.type == "attachment":
        return container.format.name == "matroska"
    if stream.type not in ("audio", "subtitle"):
        return False
    try:
        container.add_stream_from_template(stream)
    except ValueError:
        return False
    return True


def _describe(stream: Stream) -> str:
    context = stream.codec_context
    name = context.codec.canonical_name if context is not None else None
    name = name or stream.metadata.get("filename") or getattr(stream, "name", None) or "of unknown kind"
    language = stream.metadata.get("language", "und")
    spoken = "" if language == "und" else f", {language}"
    return f"{NAMES.get(stream.type, stream.type)} {stream.index}: {name}{spoken}"


def _tags(tags: dict[str, str], *, keep_gps: bool) -> dict[str, str]:
    """What is said of a film, without what its file says of itself and, unless asked for, the place."""
    return {
        key: value
        for key, value in tags.items()
        if key.lower() not in OWN
        and not key.startswith(("_STATISTICS", "BPS", "NUMBER_OF_", "DURATION"))
        and (keep_gps or "location" not in key.lower())
    }
