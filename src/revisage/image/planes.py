"""Pillow's pixel modes to the planes of a Photo."""

import io
import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageCms

from revisage.errors import PhotoError, PhotoTooLargeError
from revisage.image.metadata import gray_profile, valid_icc
from revisage.image.photo import Metadata, in_bands, turned_plane
from revisage.image.xmp import TURNS


@dataclass(frozen=True, eq=False)
class Planes(Metadata):
    """A picture on its way into a Photo, a gray one still as one channel; `icc` fits `colour`."""

    colour: np.ndarray  #: (H, W) for a single-channel source, else (H, W, 3) RGB; uint8 or uint16
    alpha: np.ndarray | None = None  #: (H, W), same dtype

    @property
    def gray(self) -> bool:
        """Whether the source was single channel."""
        return self.colour.ndim == 2


def planes_of(array: np.ndarray, icc: bytes | None = None) -> Planes:
    """The planes of an array (H, W) or (H, W, 1 to 4), gray or RGB, with alpha last."""
    if array.ndim == 2:
        array = array[..., None]
    channels = array.shape[2]
    alpha = np.ascontiguousarray(array[..., -1]) if channels in (2, 4) else None
    colour = array[..., 0] if channels <= 2 else array[..., :3]
    return _with_profile(Planes(np.ascontiguousarray(colour), alpha), icc)


def _with_profile(planes: Planes, icc: bytes | None) -> Planes:
    """The planes with their file's profile, as far as it is one for them; else a note."""
    fitting = valid_icc(icc, "GRAY" if planes.gray else "RGB ")
    if fitting is None and planes.gray:
        fitting = gray_profile(valid_icc(icc, "RGB "))
    lost = ("its colour profile is damaged or not for such pixels, and is left out",)
    return replace(planes, icc=fitting, notes=lost if icc and fitting is None else ())


def planes_from_pillow(image: Image.Image, *, sample_bits: int = 8) -> Planes:
    """Convert a loaded image of any mode.

    CMYK and Lab go to sRGB, through the embedded profile where it is a valid CMYK one; 32-bit integer and
    floating-point gray go to 16 bits (see `scale_wide`). `sample_bits` is the depth that an integer
    transparency key refers to: PNG states it in samples of the file, Pillow widens the pixels to 8 bits.
    """
    icc = image.info.get("icc_profile")
    if image.mode == "CMYK":
        return _cmyk_to_srgb(image, icc)
    if image.mode == "LAB":
        colour = np.asarray(_to_srgb(image, ImageCms.createProfile("LAB")))
        return Planes(colour, notes=("its colours were converted from Lab to sRGB",))
    if image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16"):
        return _with_profile(_gray_planes(image, sample_bits), icc)
    return _with_profile(_colour_planes(image), icc)


def _gray_planes(image: Image.Image, sample_bits: int) -> Planes:
    key = image.info.get("transparency")
    if image.mode in ("LA", "La"):
        both = image.convert("LA") if image.mode == "La" else image
        return Planes(np.asarray(both.getchannel("L")), np.asarray(both.getchannel("A")))
    if image.mode in ("I", "F"):
        return Planes(scale_wide(np.asarray(image)))
    if image.mode.startswith("I;16"):
        gray, bits = np.asarray(image).astype(np.uint16, copy=False), 16
    else:
        gray, bits = np.asarray(image.convert("L")), 1 if image.mode == "1" else sample_bits
    return Planes(gray, _keyed(gray, key, bits))


def _colour_planes(image: Image.Image) -> Planes:
    if image.mode in ("RGBA", "RGBa", "PA") or (image.mode == "P" and image.has_transparency_data):
        both = image if image.mode == "RGBA" else image.convert("RGBA")
        return Planes(np.asarray(both.convert("RGB")), np.asarray(both.getchannel("A")))
    colour = np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    key = image.info.get("transparency") if image.mode == "RGB" else None
    return Planes(colour, _keyed(colour, key, 8))


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


def _cmyk_to_srgb(image: Image.Image, icc: bytes | None) -> Planes:
    profile, how = valid_icc(icc, "CMYK"), "by its profile"
    try:
        colour = _to_srgb(image, ImageCms.ImageCmsProfile(io.BytesIO(profile or b"")))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        # none, or one that littlecms cannot use: the plain formula is what viewers show
        colour, how = image.convert("RGB"), "without a profile"
    return Planes(np.asarray(colour), notes=(f"its colours were converted from CMYK to sRGB, {how}",))


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


def scale_wide(samples: np.ndarray) -> np.ndarray:
    """Whole numbers and floats of 16 to 64 bits to uint16; uint16 stays as it is.

    Files do not say their range. Floats: white is 1, 255 or 65535, the first of which 99 % of the samples are
    below the double; whole numbers: 65535. Of larger samples the largest is white. What is above white is
    clipped; negative and not-a-number become black.
    """
    if samples.dtype == np.uint16:
        return samples
    top = float(np.max(samples, initial=0, where=np.isfinite(samples)))
    whites = {65535.0: top}
    if samples.dtype.kind == "f":
        step = max(1, int(math.sqrt(samples.shape[0] * samples.shape[1] / 1e6)))
        some = np.sort(samples[::step, ::step], axis=None)  # np.percentile would import, which a fork cannot
        typical = float(some[int(0.99 * np.isfinite(some).sum())]) if np.isfinite(some).any() else 0.0
        whites = dict.fromkeys((1.0, 255.0, 65535.0), typical / 2)
    white = next((white for white, reached in whites.items() if reached <= white), top)

    def scaled(band: np.ndarray) -> np.ndarray:
        numbers = np.nan_to_num(band.astype(np.float64), nan=0.0, posinf=white, neginf=0.0)
        return np.rint(np.clip(numbers / white, 0, 1) * 65535)

    return in_bands(scaled, np.uint16, samples)


def share_there(colour: np.ndarray) -> float:
    """The share of rows above what decoders fill a missing end with: all of one value."""
    rows = (colour == colour[-1, -1]).reshape(len(colour), -1).all(axis=1)[::-1]
    return 0.0 if rows.all() else 1 - int(np.argmin(rows)) / len(rows)


def oriented(planes: Planes, orientation: int) -> Planes:
    """The planes turned upright by an EXIF orientation; a value other than 2–8 changes nothing."""
    if orientation not in TURNS:
        return planes
    alpha = None if planes.alpha is None else turned_plane(planes.alpha, orientation)
    return replace(planes, colour=turned_plane(planes.colour, orientation), alpha=alpha)


def check_pixels(size: tuple[int, int], max_pixels: int) -> None:
    """Raises PhotoTooLargeError above the limit, PhotoError when a side is not positive."""
    width, height = size
    if width < 1 or height < 1:
        raise PhotoError(f"its header gives an impossible size of {width}×{height} pixels")
    if width * height > max_pixels:
        raise PhotoTooLargeError(
            f"it has {width}×{height} pixels, more than the limit of {max_pixels:,}:"
            " reduce the photo, or raise the limit (--max-pixels)"
        )


def check_page(page: int, pages: int) -> None:
    """Raises PhotoError for a page that is not there; pages are counted from 0."""
    if not 0 <= page < pages:
        raise PhotoError(f"it has {pages} pages, and no page {page + 1}")
