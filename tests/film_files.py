"""Small films for tests, made with PyAV, and what ffprobe says of films."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from revisage.cli import main

needs_ffprobe = pytest.mark.skipif(
    shutil.which("ffprobe") is None, reason="needs the program ffprobe (package ffmpeg)"
)


@dataclass(frozen=True)
class Made:
    """What a film is to be; times are in units of `base` seconds, one for each frame."""

    size: tuple[int, int] = (96, 64)
    times: Sequence[int] = tuple(range(10))
    base: Fraction = Fraction(1, 10)
    rate: Fraction = Fraction(10)
    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"crf": "10", "bf": "2"})
    colour: tuple[int, int, int, int] = (2, 2, 2, 0)
    """Matrix, transfer, primaries by H.273, and AVColorRange."""
    aspect: Fraction = Fraction(1)
    rotation: tuple[int, bool] | None = None
    """Counter-clockwise degrees, and whether mirrored."""
    sounds: Sequence[str] = ()
    """Language of each sound."""
    sound_codec: str = "aac"
    sound_seconds: float = 1.0
    sound_start: float = 0.0
    subtitles: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    chapters: Sequence[tuple[float, float, str]] = ()
    planes: Sequence[int] | None = None
    """One value for each plane; a moving test picture if not given."""


def make(path: Path, film: Made, **container: str) -> Path:
    """Write the film. Frames have a white square at the top left, and a gray that tells their number."""
    with av.open(str(path), "w", container_options=container) as out:
        stream = out.add_stream(film.codec, rate=film.rate, options=dict(film.options))
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = *film.size, film.pixel_format
        context.time_base, context.sample_aspect_ratio = film.base, film.aspect
        context.colorspace, context.color_trc, context.color_primaries, context.color_range = film.colour
        if film.rotation is not None:
            stream.set_display_rotation(film.rotation[0], hflip=film.rotation[1])
        sounds = [out.add_stream(film.sound_codec, rate=48000, bit_rate=128_000) for _ in film.sounds]
        for sound, language in zip(sounds, film.sounds, strict=True):
            sound.metadata["language"] = language
        if sounds:
            sounds[-1].disposition = Disposition.default
        text = out.add_mux_stream("subrip", time_base=Fraction(1, 1000)) if film.subtitles else None
        out.metadata.update(film.tags)
        out.set_chapters(
            [
                {
                    "id": n,
                    "start": int(start * 1000),
                    "end": int(end * 1000),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": title},
                }
                for n, (start, end, title) in enumerate(film.chapters)
            ]
        )
        out.start_encoding()
        for sound in sounds:
            _add_sound(out, sound, film)
        for number, time in enumerate(film.times):
            frame = _frame(film, number)
            frame.pts, frame.time_base = time, film.base
            frame.colorspace, frame.color_trc, frame.color_primaries, frame.color_range = film.colour
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        if text is not None:
            packet = av.Packet(b"Es war einmal")
            packet.stream, packet.time_base = text, Fraction(1, 1000)
            packet.pts = packet.dts = 100
            packet.duration = 500
            out.mux(packet)
    return path


def _add_sound(out: Any, stream: Any, film: Made) -> None:
    count = 1024
    for number in range(round(film.sound_seconds * 48000 / count)):
        wave = np.sin(np.arange(count * number, count * (number + 1)) * 0.06).astype(np.float32) * 0.5
        planar = stream.codec_context.format.is_planar
        layout = np.stack([wave, wave]) if planar else np.repeat(wave, 2)[None]
        kind = stream.codec_context.format.name
        if kind.startswith("s16"):
            layout = (layout * 32767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(layout), kind, "stereo")
        frame.sample_rate = 48000
        frame.pts = count * number + round(film.sound_start * 48000)
        frame.time_base = Fraction(1, 48000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def _frame(film: Made, number: int) -> av.VideoFrame:
    width, height = film.size
    if film.planes is not None:
        frame = av.VideoFrame(width, height, film.pixel_format)
        for plane, value in zip(frame.planes, film.planes, strict=True):
            deep = frame.format.components[0].bits > 8
            size = plane.buffer_size // (2 if deep else 1)
            plane.update(np.full(size, value, np.uint16 if deep else np.uint8).tobytes())
        return frame
    pixels = np.full((height, width, 3), 60 + 10 * (number % 10), np.uint8)
    pixels[: height // 4, : width // 4] = 235
    return av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=film.pixel_format)


def probe(path: Path) -> dict[str, Any]:
    """What ffprobe says of format, streams and chapters."""
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_format", "-show_streams", "-show_chapters"]
    said = subprocess.run([*command, f"file:{path}"], capture_output=True, check=True).stdout
    return dict(json.loads(said))


def picture(said: dict[str, Any]) -> dict[str, Any]:
    """ffprobe's words of the moving picture."""
    return next(stream for stream in said["streams"] if stream["codec_type"] == "video")


def times(path: Path) -> list[Fraction]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as film:
        return [frame.pts * frame.time_base for frame in film.decode(video=0)]


def planes(path: Path) -> np.ndarray:
    """Mean of Y, Cb and Cr of the first frame, in its own depth."""
    with av.open(str(path)) as film:
        frame = next(film.decode(video=0))
    kind = np.uint16 if frame.format.components[0].bits > 8 else np.uint8
    found = []
    for plane in frame.planes:
        rows = np.frombuffer(plane, kind).reshape(plane.height, -1)
        found.append(rows[:, : plane.width].mean())
    return np.array(found)


def restore(source: Path, out: Path, *options: str) -> int:
    """Run the command without a model; its exit code."""
    arguments = ["--video", "--model", "none", "--scene", "none", "--scale", "1", *options]
    return main(["restore", *arguments, "-o", str(out), str(source)])


def restored(source: Path, out: Path, *options: str) -> Path:
    """The film that the command makes; no temporary file is left."""
    assert restore(source, out, *options) == 0
    assert [path.name for path in out.parent.iterdir() if path.name.startswith(".revisage")] == []
    return out
