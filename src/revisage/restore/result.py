"""One restored photo: its pixels, what became of each face, and how to save it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from revisage.errors import SaveError, SigningError, UsageError
from revisage.files import copy_date, write_atomically
from revisage.image import Photo, can_encode, encode, format_for, left_out, sidecar_path, to_pillow
from revisage.image.formats import LOSSLESS, format_named
from revisage.image.names import MASK, shortened
from revisage.image.prints import Print
from revisage.image.xmp import clean_xmp
from revisage.label import Edit, Label, Original, add, can_sign, packet, results, seal, sign
from revisage.label.xmp import label_of
from revisage.options import QUALITY, EncodeOptions, SaveOptions
from revisage.restore.job import with_changes
from revisage.restore.repair import Repair
from revisage.restore.report import FaceReport, document
from revisage.restore.tone import Tone
from revisage.version import __version__

_TOOL = f"revisage {__version__}"


@dataclass
class Result:
    """What `Restorer.restore` returns; saving it adds `output` and the time taken to the report."""

    photo: Photo  #: the restored photo with the input's alpha, profile and metadata
    faces: tuple[FaceReport, ...]  #: one entry per face found, from left to right
    input: Path | None  #: path of the source, None for bytes, images and arrays
    size_in: tuple[int, int]  #: width and height of what was restored, turned, straightened and cropped
    scale: int  #: the factor applied
    background: str  #: how everything outside the faces was made, in words
    models: dict[str, str | None]  #: name and version by task ("face", "scene", "finder"); None for none
    changed_by: tuple[str, ...]  #: models that changed pixels of this photo: what the label names
    runtime: dict[str, str] | None  #: backend, device and precision; None where no model ran
    seconds: dict[str, float]  #: time by stage
    tone: Tone | None = None  #: the estimated fading that was undone; None where that was not asked for
    repair: Repair | None = None  #: what was repaired; None where that was not asked for
    red_eyes: int = 0  #: pupils that were made dark again
    frame: Print | None = None  #: what was straightened and cut out of the upright input; None for all of it
    digests: dict[str, Callable[[], tuple[str, ...]]] = field(default_factory=dict)
    """What gives the SHA-256 in hex of the files of each model, by its name and version."""
    further: tuple[Result, ...] = ()  #: the other pages of the file, where all were asked for
    output: Path | None = None  #: where the result was saved last
    beside: tuple[str, ...] = ()  #: names of the files that then belong beside it
    left_out: tuple[str, ...] = ()  #: what the file that was written last could not hold
    turned: int = 0  #: degrees clockwise by which `options.turn` has turned the photo
    turn_offered: int = 0  #: degrees clockwise by which its faces say it should be turned

    def __repr__(self) -> str:
        height, width = self.pixels.shape[:2]
        restored = sum(face.outcome == "restored" for face in self.faces)
        of = f" of {self.input.name}" if self.input else ""
        return f"<Result{of}: {width} x {height} pixels, {restored} of {len(self.faces)} faces restored>"

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copies: without the open models that found damage and fading, which keep a name."""
        found: dict[str, Any] = {"tone": self.tone, "repair": self.repair}
        closed = {key: one.model and replace(one.model, session=None) for key, one in found.items() if one}
        return self.__dict__ | {key: replace(found[key], model=model) for key, model in closed.items()}

    @property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) RGB in the photo's own depth, uint8 or uint16."""
        return self.photo.pixels

    @property
    def image(self) -> Image.Image:
        """The result for Pillow in 8 bits per channel: L, LA, RGB or RGBA."""
        return to_pillow(self.photo)

    def save(
        self,
        path: str | Path,
        options: SaveOptions | None = None,
        *,
        original: Original | None = None,
        **changes: Any,
    ) -> Path:
        """Write the photo, whole or not at all, in the format of the path's extension.

        Args:
            path: where to; never the file that was read.
            options: how. Where no model changed the photo, there is no label.
            original: the file that was restored, for the signature; `input` is read if not given.
            changes: fields of `SaveOptions` that differ from `options`: `save(path, quality=80)`.

        Raises:
            SaveError: the path is the original, or cannot be written.
            ExistsError: a file that Revisage did not make is there; `overwrite=True` replaces it.
            UsageError: the format cannot be signed, or there is no original to be named in a signature.
            SigningError: the certificate or its key cannot be used.
        """
        path, chosen = Path(path), with_changes(options, SaveOptions, changes)
        if self.input is not None and _same(path, self.input):
            raise SaveError(f"{path} is the original and is never written to: choose another name")
        results.check_free(path, self.input, overwrite=chosen.overwrite, how="overwrite=True")
        format = format_for(path)
        if chosen.chosen_format not in (None, format):
            raise UsageError(f"{path} is no name for the format {chosen.format}: leave one of the two out")
        start = time.perf_counter()
        data = self.encode(format, chosen, original=original)
        results.remember(data, self.input)  # first: a run may be killed in between
        write_atomically(path, data, like=self.input)
        self.seconds["encode"] = round(time.perf_counter() - start, 4)
        self.output = path
        if chosen.date == "keep" and self.input is not None:
            copy_date(self.input, path)
        self.save_beside(path, chosen)
        return path

    def save_beside(self, path: Path, options: SaveOptions) -> None:
        """Write what goes beside a result: the XMP file, if its photo has one, and the mask of a repair. A
        file of others that is there stays, and it is told. Raises SaveError."""
        files: dict[Path, bytes] = {}
        if (sidecar := sidecar_path(path, self.photo)) is not None:
            photo, _ = self._labelled(options)
            files[sidecar] = clean_xmp(photo.xmp, keep_gps=options.keep_gps, size=photo.size) or b""
            files[sidecar] = seal(files[sidecar])
        if options.save_mask and self.repair is not None:
            files[path.with_name(shortened(path.name, MASK))] = self.repair.png()
        self.beside = tuple(path.name for path in files)
        for beside, data in files.items():
            if options.overwrite or results.objection_at(beside) is None:
                write_atomically(beside, data, like=self.input)
                results.remember(data)
            else:
                self.left_out = (*self.left_out, f"{beside.name} is there already and stays as it is")

    def encode(
        self,
        format: str | None = None,
        options: EncodeOptions | None = None,
        *,
        original: Original | None = None,
        **changes: Any,
    ) -> bytes:
        """The photo as a file of `format` (default: the options', else its source's, or PNG where that is not
        written), labelled and signed as `save` does."""
        start, chosen = time.perf_counter(), with_changes(options, EncodeOptions, changes)
        own = self.photo.format
        format = format_named(format or chosen.chosen_format or (own if can_encode(own) else "PNG"))
        edit = None if chosen.sign is None else self._edit(format, chosen, original)
        photo, mark = self._labelled(chosen)
        further = [page.photo for page in self.further]
        data = encode(photo, format=format, quality=chosen.quality, keep_gps=chosen.keep_gps, further=further)
        data = data if mark is None else add(data, format, mark)  # where the encoder had no room for it
        # A signature shows later changes itself, and a seal would be one.
        data = sign(data, format, chosen.sign, edit) if chosen.sign and edit else seal(data)
        self.left_out = left_out(self.photo, format, further)
        if chosen.quality != QUALITY and format in LOSSLESS:
            self.left_out += (f"quality changes nothing in {format}, which is without loss",)
        self.seconds["encode"] = round(time.perf_counter() - start, 4)
        return data

    def _labelled(self, options: EncodeOptions) -> tuple[Photo, Label | None]:
        """The photo with its label, if it has one, in its XMP, which all encoders but BMP's write."""
        if not (options.label and self.changed_by):
            return self.photo, None
        pages = (self, *self.further)
        revived = ("tones by estimate",) if any(one.tone and one.tone.changes for one in pages) else ()
        repairs = [one.repair for one in pages if one.repair is not None]
        filled = ("damage filled by estimate",) if any(one.changes for one in repairs) else ()
        before = label_of(self.photo.xmp)  # of a result that is restored again: its models were at it too
        models = dict.fromkeys((before.models if before else ()) + self.changed_by + revived + filled)
        mark = Label(_TOOL, tuple(models))
        return replace(self.photo, xmp=packet(mark, self.photo.xmp)), mark

    def _edit(self, format: str, options: EncodeOptions, original: Original | None) -> Edit:
        """What a signature says."""
        if not options.label:
            raise UsageError("a signature says what was edited with AI: sign with the label")
        if not can_sign(format):
            raise UsageError(f"{format} cannot be signed: choose .jpg, .png, .webp or .tif")
        digests = {model: self.digests.get(model, tuple)() for model in self.changed_by}
        return Edit(_TOOL, digests, original or self._original())

    def _original(self) -> Original:
        if self.input is None:
            raise UsageError("a signature names the original: restore from a file, or give it as `original`")
        try:
            return Original(self.input.read_bytes(), self.photo.format, self.input.name)
        except OSError as error:
            why = error.strerror or error
            raise SigningError(f"the original {self.input} cannot be read again ({why})") from error

    def entry(self) -> dict[str, Any]:
        """This photo's part of a report, in JSON types."""
        height, width = self.photo.pixels.shape[:2]
        return {
            "input": None if self.input is None else str(self.input),
            "output": None if self.output is None else str(self.output),
            "beside": list(self.beside),
            "status": "restored",
            "error": None,
            "size_in": list(self.size_in),
            "size_out": [width, height],
            "scale": self.scale,
            "turned": self.turned,
            **(self.frame.entry() if self.frame else {"straightened": 0.0, "cropped": None}),
            "turn_offered": self.turn_offered,
            "background": self.background,
            "models": dict(self.models),
            "runtime": self.runtime,
            "seconds": dict(self.seconds),
            "tone": None if self.tone is None else self.tone.entry(),
            "repair": None if self.repair is None else self.repair.entry(),
            "red_eyes": self.red_eyes,
            "faces": [face.entry() for face in self.faces],
            "there": round(self.photo.there, 3),
            "pages": self.photo.pages,
            "pages_left": self.pages_left,
            "further_pages": [page.entry() for page in self.further],
            "notes": list(self.notes),
        }

    @property
    def pages_left(self) -> int:
        """Pages of the file that were not restored."""
        return self.photo.pages - 1 - len(self.further)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the file held and the result does not, how it lies, what is mended, in words, a line each."""
        pages = f"{self.photo.pages} {'pages' if self.photo.format == 'TIFF' else 'pictures'}"
        left = f"{self.pages_left} of its {pages} are left out: --pages all restores each into a TIFF"
        way = ((self.turned + self.turn_offered) % 360 or "keep") if self.turned else "auto"
        by = f"{'another ' if self.turned else ''}{self.turn_offered} degrees"
        lies = f"turned by {by} its faces would stand upright: --turn {way}"
        told = [*([left] if self.pages_left else []), *([lies] if self.turn_offered else [])]
        told += [self.repair.note] if self.repair else []
        told += [f"red eyes mended: {self.red_eyes}"] if self.red_eyes else []
        told += ["its tones are changed by an estimate"] if self.tone and self.tone.changes else []
        return (*self.photo.notes, *told, *self.left_out)

    def report(self) -> dict[str, Any]:
        """The report of this photo alone; `restore.document` makes one of many entries."""
        return document([self.entry()])


def _same(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except OSError:
        return first.absolute() == second.absolute()
