"""Films as a folder of numbered pictures, or as a video file by way of ffmpeg, in and out.

ffmpeg is run as a program and pictures go through pipes, so a film of any length needs no room on the disk.
It is told to open local files only; what it makes of the file is nevertheless as safe as ffmpeg is.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from revisage.batch import storage
from revisage.batch.plan import is_named_like_a_photo
from revisage.errors import PhotoError, RuntimeUnavailableError, SaveError, UsageError
from revisage.files import TEMPORARY, publish
from revisage.image import DecodeLimits, Photo, can_encode, decode, eight_bits, format_of
from revisage.options import SaveOptions
from revisage.restore import Result
from revisage.restore.video.film import Frame

LOCAL_ONLY = ("-protocol_whitelist", "file")
"""Before an input: a playlist in it cannot make ffmpeg open a connection."""

VIDEO_QUALITY = 16
"""x264's constant rate factor: hard to tell from the frames."""


@dataclass(frozen=True)
class FolderFilm:
    """The pictures of a folder in the order of their names, numbers by their value."""

    folder: Path
    limits: DecodeLimits

    def frames(self) -> Iterator[Frame]:
        """Raises UsageError when there is none."""
        paths = [
            path
            for path in self.folder.iterdir()
            if path.is_file() and is_named_like_a_photo(Path(path.name))
        ]
        if not paths:
            raise UsageError(f"no frames in {self.folder}")
        for path in sorted(paths, key=_order):
            try:
                yield Frame(path.name, decode(path, limits=self.limits))
            except PhotoError as error:
                yield Frame(path.name, error)


@dataclass(frozen=True)
class FolderSink:
    """A file for each frame, by the frame's name."""

    folder: Path
    saving: SaveOptions

    def write(self, name: str, result: Result) -> str:
        """Raises SaveError."""
        path = self.folder / name
        format = format_of(path)
        if format is None or not can_encode(format):
            path, format = path.with_name(path.name + ".png"), "PNG"
        storage.write(
            path,
            result.encode(format, self.saving),
        )
        return str(path)


@dataclass(frozen=True)
class VideoFilm:
    """The frames of a video file."""

    path: Path
    program: str

    def frames(self) -> Iterator[Frame]:
        """Raises UsageError when ffmpeg cannot read the file to its end."""
        command = [
            self.program, "-v", "error", "-nostdin", *LOCAL_ONLY,
            "-i", _file(self.path), "-map", "0:v:0", "-fps_mode", "cfr",
            "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-",
        ]  # fmt: skip
        with (
            tempfile.TemporaryFile() as said,  # not a pipe, which would fill and block
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, start_new_session=True) as process,
        ):
            assert process.stdout is not None
            try:
                number = 0
                while (pixels := _read_ppm(process.stdout)) is not None:  # type: ignore[arg-type]
                    number += 1
                    yield Frame(f"{self.path}#{number}", Photo(pixels))
                if process.wait() or not number:
                    raise UsageError(f"ffmpeg cannot read {self.path}: {_last(said)}")
            finally:
                process.kill()

    def rate(self) -> str:
        """Frames per second, as ffmpeg takes them. Raises UsageError when the file is no video."""
        command = [self.program, "-nostdin", *LOCAL_ONLY, "-i", _file(self.path)]
        said = subprocess.run(command, capture_output=True, check=False).stderr
        found = re.search(r"Video:.*?([\d.]+k?) fps", said.decode(errors="replace"))
        if found is None:
            raise UsageError(f"{self.path} is no video that ffmpeg can read: {_last(BytesIO(said))}")
        return found[1].replace("k", "000")


class VideoSink:
    """A video file with the sound of the film it was made from, in place once it is whole."""

    def __init__(self, path: Path, film: VideoFilm, *, label: bool = True) -> None:
        self._path, self._film, self._label = path, film, label
        self._rate = film.rate()
        self._temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}{path.suffix}")
        self._said: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 (closed on leaving)
        self._process: subprocess.Popen[bytes] | None = None
        self._size: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._said.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink()

    def write(self, name: str, result: Result) -> str:
        """Raises SaveError."""
        pixels = eight_bits(result.pixels)
        if self._process is None:
            self._size = (pixels.shape[1], pixels.shape[0])
            self._process = self._start(self._size, result)
        if (pixels.shape[1], pixels.shape[0]) != self._size:
            raise SaveError(f"{name} has another size than the first frame: give a folder for -o")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(np.ascontiguousarray(pixels).data)
        except OSError:
            raise self._failed() from None
        return str(self._path)

    def finish(self) -> None:
        """End the video and move it into place. Raises SaveError."""
        if self._process is None:
            raise SaveError(f"{self._path} is not written: no frame was restored")
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        if self._process.wait():
            raise self._failed()
        try:
            publish(self._temporary, self._path)
        except OSError as error:
            raise SaveError(f"{self._path} cannot be written ({error.strerror or error})") from error

    def _start(self, size: tuple[int, int], result: Result) -> subprocess.Popen[bytes]:
        note = f"edited with AI: {', '.join(result.changed_by)}" if self._label and result.changed_by else ""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SaveError(f"{self._path} cannot be written ({error.strerror or error})") from error
        command = [
            self._film.program, "-v", "error", "-y",
            "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", self._rate, "-i", "-",
            *LOCAL_ONLY, "-i", _file(self._film.path), "-map", "0:v", "-map", "1:a?", "-c:a", "copy",
            "-c:v", "libx264", "-crf", str(VIDEO_QUALITY), "-pix_fmt", "yuv420p",
            # Players want an even number of rows and columns.
            "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-metadata", f"comment={note}", _file(self._temporary),
        ]  # fmt: skip
        return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=self._said, start_new_session=True)

    def _failed(self) -> SaveError:
        return SaveError(f"ffmpeg cannot write {self._path}: {_last(self._said)}")


def ffmpeg() -> str:
    """The program. Raises RuntimeUnavailableError when it is not installed."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise RuntimeUnavailableError(
            "a video file needs the program ffmpeg, which is not here: install it, or give a folder of frames"
        )
    return program


def _file(path: Path) -> str:
    return f"file:{path.absolute()}"  # a name with a colon or a leading dash is a name


def _order(path: Path) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"(\d+)", path.name)]


def _last(said: BinaryIO) -> str:
    """The last line that ffmpeg said."""
    said.seek(0)
    text = said.read().decode(errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "it says nothing"


def _read_ppm(stream: BinaryIO) -> np.ndarray | None:
    """The next picture of a stream of binary PPM files, (H, W, 3) uint8; None at its end."""
    head = [stream.readline() for _ in range(3)]
    if not head[0]:
        return None
    if head[0] != b"P6\n" or head[2] != b"255\n":
        raise UsageError("ffmpeg gave a picture in another form than asked")
    width, height = map(int, head[1].split())
    pixels = np.empty((height, width, 3), np.uint8)
    view = memoryview(pixels.data).cast("B")
    while view:
        count = stream.readinto(view)  # type: ignore[attr-defined]
        if not count:
            return None  # cut off; ffmpeg's exit code tells
        view = view[count:]
    return pixels
