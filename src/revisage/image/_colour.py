"""Pillow's pixel modes to the planes of a Photo."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from revisage.image.metadata import valid_icc


@dataclass(frozen=True, eq=False)
class Planes:
    """Pixels on their way into a Photo."""

    colour: np.ndarray
    """(H, W) for a single-channel source, else (H, W, 3) RGB; uint8 or uint16."""
    alpha: np.ndarray | None
    """(H, W), same dtype."""
    icc: bytes | None
    """Profile that describes `colour` as it is now."""

    @property
    def gray(self) -> bool:
        """Whether the source was single channel."""
        return self.colour.ndim == 2


def planes_from_pillow(image: Image.Image, *, sample_bits: int = 8) -> Planes:
    """Convert a loaded image of any mode.

    CMYK and Lab go to sRGB, through the embedded profile where it is a valid CMYK one; 32-bit integer and
    floating-point gray go to 16 bits (see `_scale_wide`). `sample_bits` is the depth that an integer
    transparency key refers to: PNG states it in samples of the file, Pillow widens the pixels to 8 bits.
    """
    icc = image.info.get("icc_profile")
    key = image.info.get("transparency")
    mode = image.mode
    if mode == "CMYK":
        return Planes(np.asarray(_cmyk_to_srgb(image, icc)), None, None)
    if mode == "LAB":
        return Planes(np.asarray(_lab_to_srgb(image)), None, None)
    if mode.startswith("I;16"):
        gray = np.asarray(image).astype(np.uint16, copy=False)
        return Planes(gray, _keyed(gray, key, 16), valid_icc(icc, "GRAY"))
    if mode in ("I", "F"):
        return Planes(_scale_wide(np.asarray(image)), None, valid_icc(icc, "GRAY"))
    if mode in ("1", "L"):
        gray = np.asarray(image.convert("L"))
        return Planes(gray, _keyed(gray, key, 1 if mode == "1" else sample_bits), valid_icc(icc, "GRAY"))
    if mode in ("LA", "La"):
        both = image.convert("LA") if mode == "La" else image
        return Planes(
            np.asarray(both.getchannel("L")), np.asarray(both.getchannel("A")), valid_icc(icc, "GRAY")
        )
    icc = valid_icc(icc, "RGB ")
    if mode in ("RGBA", "RGBa", "PA") or (mode == "P" and image.has_transparency_data):
        both = image if mode == "RGBA" else image.convert("RGBA")
        alpha = np.asarray(both.getchannel("A"))
        return Planes(np.asarray(both.convert("RGB")), alpha, icc)
    colour = np.asarray(image if mode == "RGB" else image.convert("RGB"))
    return Planes(colour, _keyed(colour, key, 8) if mode == "RGB" else None, icc)


def _keyed(colour: np.ndarray, key: object, bits: int) -> np.ndarray | None:
    """Alpha of a picture in which one value is transparent (PNG tRNS); the key is a sample of `bits` bits."""
    opaque = np.iinfo(colour.dtype).max
    wide = (1 << bits) - 1
    if colour.ndim == 2 and isinstance(key, int):
        hidden = colour == (key & wide) * opaque // wide
    elif colour.ndim == 3 and isinstance(key, tuple) and len(key) == 3:
        hidden = (colour == np.array([k & wide for k in key], colour.dtype)).all(axis=2)
    else:
        return None
    return np.where(hidden, 0, opaque).astype(colour.dtype)


def _cmyk_to_srgb(image: Image.Image, icc: bytes | None) -> Image.Image:
    profile = valid_icc(icc, "CMYK")
    if profile is not None:
        try:
            return _to_srgb(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            pass  # a profile that littlecms cannot use: the plain formula below is what viewers show
    return image.convert("RGB")


def _lab_to_srgb(image: Image.Image) -> Image.Image:
    return _to_srgb(image, ImageCms.createProfile("LAB"))


def _to_srgb(image: Image.Image, profile: object) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image,
        profile,  # type: ignore[arg-type]
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert converted is not None  # None only when inPlace
    return converted


def _scale_wide(gray: np.ndarray) -> np.ndarray:
    """32-bit integer or floating-point gray to uint16.

    Files do not say their range. Floats: up to 1 is taken as [0, 1], up to 255 as 8 bits; else, like integers
    above 16 bits, the largest value becomes white. Integers within 16 bits stay as they are. Negative and
    not-a-number become black.
    """
    top = float(np.nanmax(gray, initial=0, where=np.isfinite(gray)))
    if gray.dtype.kind == "f":
        white = 1.0 if top <= 1 else 255.0 if top <= 255 else top
    else:
        white = 65535.0 if top <= 65535 else top
    out = np.empty(gray.shape, np.uint16)
    for row in range(0, gray.shape[0], 256):  # bands, so that the float copy stays small
        band = np.nan_to_num(gray[row : row + 256].astype(np.float64), nan=0.0, posinf=white, neginf=0.0)
        out[row : row + 256] = np.rint(np.clip(band / white, 0, 1) * 65535)
    return out


def oriented(array: np.ndarray, orientation: int) -> np.ndarray:
    """The array turned upright by an EXIF orientation (CIPA DC-008, tag 0x0112); others than 2–8 change nothing."""
    match orientation:
        case 2:
            return array[:, ::-1]
        case 3:
            return array[::-1, ::-1]
        case 4:
            return array[::-1]
        case 5:
            return array.swapaxes(0, 1)
        case 6:
            return array[::-1].swapaxes(0, 1)
        case 7:
            return array[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return array[:, ::-1].swapaxes(0, 1)
    return array
