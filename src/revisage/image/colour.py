"""Colours that a file states by numbers, not by an ICC profile: H.273 code points, gamma, chromaticities."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from revisage.image.planes import Planes

_D65, _C, _DCI = (0.3127, 0.3290), (0.310, 0.316), (0.314, 0.351)
_SRGB = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65)

# ITU-T H.273, table 2: x and y of red, green, blue and white.
_PRIMARIES = {
    1: _SRGB,
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *_C),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_DCI),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
_SRGB_CURVE = 13
_CURVES: dict[int, float | str] = {4: 2.2, 5: 2.8, 8: 1.0, 16: "PQ", 17: 2.6, 18: "HLG"}
_USUAL_GAMMAS = (1.6, 3.2)
"""Between these the models see a picture as they know pictures; what is coded otherwise is converted."""

_LUMINANCE = np.array([0.2627, 0.6780, 0.0593], np.float32)  # of red, green and blue (ITU-R BT.2020)
_REFERENCE_WHITE = 203.0  # cd/m² (ITU-R BT.2408)
_KNEE = 0.75  # of white: what is lighter in a picture of high dynamic range is compressed


@dataclass(frozen=True)
class Stated:
    """What a file says: x and y of red, green, blue and white, and how samples are coded.

    `gamma` is the exponent from samples to light, or "sRGB", "PQ" or "HLG"; `cicp` the code points of
    primaries and transfer where it was these.
    """

    primaries: tuple[float, ...] = _SRGB
    gamma: float | str = "sRGB"
    cicp: tuple[int, int] | None = None


def of_code_points(primaries: int, transfer: int) -> Stated:
    """By ITU-T H.273; code points that say nothing, or next to the same as sRGB, count as sRGB."""
    gamma = _CURVES.get(transfer, "sRGB")
    known = primaries in _PRIMARIES
    return Stated(_PRIMARIES.get(primaries, _SRGB), gamma, (primaries, transfer) if known else None)


def of_gamma(gamma: float, primaries: Sequence[float] = _SRGB) -> Stated:
    """By an exponent from samples to light; 2.2 is taken for sRGB's curve, which nobody tells from it."""
    return Stated(tuple(primaries), "sRGB" if abs(gamma - 2.2) < 0.05 else gamma)


def apply(planes: Planes, stated: Stated) -> Planes:
    """The planes with a profile of what was stated, their code points, and notes of what is to be told.

    Samples stay as they are, but for high dynamic range and light coded far from any usual gamma: these are
    converted to sRGB's curve, for what the models see must look like a picture. Primaries always stay.
    """
    cicp = stated.cicp
    usual = stated.gamma == "sRGB" or (
        isinstance(stated.gamma, float) and _USUAL_GAMMAS[0] <= stated.gamma <= _USUAL_GAMMAS[1]
    )
    if not usual:
        named = f"gamma {stated.gamma:g}" if isinstance(stated.gamma, float) else stated.gamma
        notes = (*planes.notes, f"its samples were converted from {named} to the curve of sRGB")
        planes = replace(planes, colour=_to_srgb_curve(planes.colour, stated.gamma), notes=notes)
        cicp = None if cicp is None else (cicp[0], _SRGB_CURVE)
        stated = replace(stated, gamma="sRGB")
    near = max(abs(a - b) for a, b in zip(stated.primaries, _SRGB, strict=True)) < 0.005
    if stated.gamma == "sRGB" and (near or planes.gray):
        return replace(planes, icc=None)
    return replace(planes, icc=_profile(stated, planes.gray), cicp=cicp)


def _profile(stated: Stated, gray: bool) -> bytes:
    import imagecodecs

    curve: dict[str, Any] = {"gamma": stated.gamma}
    if stated.gamma == "sRGB":
        v = np.linspace(0, 1, 1024)
        light = np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
        curve = {"transferfunction": np.rint(65535 * light).astype(np.uint16)}
    if gray:
        profile = imagecodecs.cms_profile("gray", **curve)
    else:
        *primaries, x, y = stated.primaries
        profile = imagecodecs.cms_profile("rgb", primaries=primaries, whitepoint=(x, y, 1.0), **curve)
    # The date of making is fixed, so that the same photo always gives the same file (ICC.1, 7.2.1).
    return bytes(profile[:24]) + struct.pack(">6H", 2000, 1, 1, 0, 0, 0) + bytes(profile[36:])


def _to_srgb_curve(colour: np.ndarray, gamma: float | str) -> np.ndarray:
    """(H, W) or (H, W, 3) of any depth, in bands; white is what a page shows as white."""
    top = np.iinfo(colour.dtype).max
    samples = np.linspace(0, 1, int(top) + 1, dtype=np.float32)
    if not isinstance(gamma, str):
        return np.take(_coded(samples**gamma, colour.dtype), colour)
    light = {"PQ": _from_pq, "HLG": _from_hlg}[gamma](samples)
    out = np.empty_like(colour)
    for row in range(0, len(colour), 256):
        band = light[colour[row : row + 256]]
        if gamma == "HLG":
            luminance = band if band.ndim == 2 else (band @ _LUMINANCE)[..., None]
            band *= 1000 / _REFERENCE_WHITE * luminance**0.2  # BT.2100: system gamma 1.2
        most = band if band.ndim == 2 else band.max(axis=2, keepdims=True)
        compressed = 1 - (1 - _KNEE) * np.exp(-(most - _KNEE) / (1 - _KNEE))
        band *= np.where(most > _KNEE, compressed / np.maximum(most, 1e-6), 1)
        out[row : row + 256] = _coded(band, colour.dtype)
    return out


def _coded(light: np.ndarray, depth: np.dtype) -> np.ndarray:
    """Light of 0 to 1 as samples of this type on the curve of sRGB."""
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(np.clip(coded, 0, 1) * np.iinfo(depth).max), depth)


def _from_pq(v: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084, relative to reference white."""
    root = v ** (1 / 78.84375)
    light: np.ndarray = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
    return light ** (1 / 0.1593017578125) * np.float32(10_000 / _REFERENCE_WHITE)


def _from_hlg(v: np.ndarray) -> np.ndarray:
    """Scene light of ITU-R BT.2100, 0 to 1."""
    return np.where(v <= 0.5, v**2 / 3, (np.exp((v - 0.55991073) / 0.17883277) + 0.28466892) / 12)
