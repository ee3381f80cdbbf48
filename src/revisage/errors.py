"""Typed errors: one base, and every message says what to do next."""

import difflib
from collections.abc import Iterable


class RevisageError(Exception):
    """Base of everything the package raises on purpose; its text is one line fit for a user."""


class UsageError(RevisageError):
    """An option or argument has a value that cannot be used."""


class OptionError(UsageError, TypeError):
    """A keyword names no option."""


class PhotoError(RevisageError):
    """A photo cannot be read. The photo is untouched."""


class UnsupportedFormatError(PhotoError):
    """The file is not one of the allowed picture formats."""


class DamagedError(PhotoError):
    """A part of the photo is there and can be restored with `damaged`."""


class PhotoTooLargeError(PhotoError):
    """The photo has more pixels, or needs more memory or time, than the limits allow."""


class SaveError(RevisageError):
    """A result could not be written. Nothing partial was left behind."""


class ExistsError(SaveError):
    """A file that Revisage did not make is where a result would go. It is untouched."""


class SigningError(RevisageError):
    """A result cannot be signed: the certificate, its key or the time stamp server. Nothing was written."""


class ModelError(RevisageError):
    """Base of the errors about models."""


class UnknownModelError(ModelError):
    """No model of that name in the catalogue or the model folders."""


class ModelMissingError(ModelError):
    """The model is known but its weights are not here and could not be downloaded."""


class ModelCorruptError(ModelError):
    """A weight file does not have the expected sha256, is truncated, or breaks its contract."""


class UnknownNetworkError(ModelCorruptError):
    """A checkpoint is whole, but of none of the networks that are read without PyTorch."""


class RuntimeUnavailableError(RevisageError):
    """The asked device, precision or inference library is not available on this machine."""


class FaceError(RevisageError):
    """One face could not be restored; the report names it and the photo goes on without it."""


class TrainingError(RevisageError):
    """Training cannot start or go on: missing data, a foreign checkpoint, persistent NaN."""


class PictureError(TrainingError):
    """A picture cannot be used for training; the text names its file."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: `: did you mean X?`, or nothing where none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.7)
    return f": did you mean {near[0]}?" if near else ""


def one_line(error: BaseException | str, length: int = 160) -> str:
    """What an exception says, on one printable line of at most `length` characters."""
    text = " ".join(str(error).split())
    if text in ("", "None"):
        text = type(error).__name__
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= length else text[: length - 1] + "…"
