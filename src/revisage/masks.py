"""Masks as the options carry them: a picture's file as text, in base64."""

import base64
import io
import os
from pathlib import Path
from typing import Any

from revisage.errors import UsageError

Buffer = bytes | bytearray | memoryview


def is_mask(source: object) -> bool:
    """Whether it is of a kind that `mask_text` takes."""
    return isinstance(source, os.PathLike | Buffer) or hasattr(type(source), "__array_interface__")


def mask_text(source: Any) -> str:
    """A picture's file, its bytes, an array or a Pillow picture as base64. Raises UsageError."""
    try:
        if hasattr(type(source), "__array_interface__"):
            data: Buffer = _png(source)
        else:
            data = source if isinstance(source, Buffer) else Path(os.fsdecode(source)).read_bytes()
    except OSError as error:
        raise UsageError(f"the mask {source!s} cannot be opened ({error.strerror or error})") from error
    return base64.b64encode(data).decode()


def mask_bytes(text: str) -> bytes:
    """The picture's file that `mask_text`, or others for an address, made a text of. Raises UsageError."""
    try:
        text = text.translate(str.maketrans("-_", "+/")) + "=" * (-len(text) % 4)
        return base64.b64decode(text, validate=True)
    except (AttributeError, TypeError, ValueError):
        raise UsageError("the mask is no base64; in Python give a Path, or the bytes of a picture") from None


def _png(picture: Any) -> bytes:
    """(H, W) or (H, W, 3) uint8 or bool, or a Pillow picture, as a file. Raises UsageError."""
    from PIL import Image, ImageOps

    try:
        if hasattr(picture, "dtype"):
            picture = Image.fromarray(picture.astype("uint8") * 255 if picture.dtype == bool else picture)
        ImageOps.exif_transpose(picture).save(data := io.BytesIO(), "PNG")
    except Exception as error:
        raise UsageError(f"the mask is not (H, W) or (H, W, 3) of uint8 or bool: {error}") from error
    return data.getvalue()
