"""Fading undone: what a photo's tones may have been, estimated from the photo alone.

It works in density, D = -log10 v of the encoded value: a dye that fades loses a share of its density, and a
stain adds some. So each channel gets D' = gain (D - base), by the darkest and the lightest tones there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from revisage.faces import Face
from revisage.image import eight_bits

SIDE = 256  #: longest side of the small picture that is looked at: grain, specks and scratches vanish in it
END = 0.004  #: share of the pixels that count as the darkest tones, and as the lightest
BLACK = 0.95  #: density that the darkest tones of nearly every photograph reach

STAIN, FOG, FADED = 0.1, 0.03, 0.04
"""What is left alone, since good photos differ as much: a tint of the lightest tones and a veil over all of
them in density, and the difference between the channels' ranges as log10 of their ratio."""

LIGHTEST = 0.22  #: density from which the lightest tones are rather those of a dark scene than of white paper

TOLD = (0.05, 0.09)
"""Mean change of a channel below which the photo counts as not faded, and from which it counts as faded."""

SPAN = (0.1, 0.2)
"""Density between the lightest and the darkest tones up to which they tell nothing, as of fog or a bare wall,
and from which they tell all."""

MOST_GAIN, MOST_BASE = 2.0, 0.26
"""So that noise does not explode: values differ at most 3.6 times as much as before."""

MONOCHROME = 0.012
"""Median distance in density from one tint per tone up to which a photo is gray or toned, not in colour."""


@dataclass(frozen=True)
class Tone:
    """An estimate of how a photo has faded: density of its base and what its densities are to be multiplied
    by, for red, green and blue. Zeros and ones: not at all."""

    base: tuple[float, ...] = (0.0, 0.0, 0.0)
    gain: tuple[float, ...] = (1.0, 1.0, 1.0)

    @property
    def changes(self) -> bool:
        """Whether it is any."""
        return self != Tone()

    def at(self, strength: float) -> Tone:
        """A part of it, 0 to 1."""
        base = tuple(strength * value for value in self.base)
        return Tone(base, tuple(np.power(self.gain, strength).tolist()))

    def curves(self, values: np.ndarray) -> np.ndarray:
        """(..., 3) or (..., 1) in [0, 1] -> (..., 3) in [0, 1]; each channel rises throughout."""
        density = -np.log10(np.maximum(values, 1 / 4095))
        revived = np.power(10, -np.maximum((density - self.base) * self.gain, 0))
        return np.where(values > 0, revived, 0)

    def apply(self, canvas: np.ndarray) -> None:
        """Change (H, W, 3) uint8 or uint16, contiguous, in place."""
        if not self.changes:
            return
        most = np.iinfo(canvas.dtype).max
        table = np.rint(self.curves(np.arange(most + 1)[:, None] / most) * most).astype(canvas.dtype)
        if canvas.dtype == np.uint8:
            cv2.LUT(canvas, table[None], canvas)
            return
        for rows in np.array_split(canvas, max(1, canvas.size >> 22)):
            for channel in range(3):
                rows[..., channel] = table[rows[..., channel], channel]

    def entry(self) -> dict[str, Any]:
        """What the report says."""
        return {
            "estimate": True,
            "base": [round(value, 3) for value in self.base],
            "gain": [round(value, 3) for value in self.gain],
        }


def estimate(pixels: np.ndarray, faces: Sequence[Face] = ()) -> Tone:
    """How the photo, (H, W, 3) uint8 or uint16, has faded, from its darkest and its lightest tones outside
    borders and faces.

    A photo of one tint, gray or sepia, keeps it: all channels get one curve. Skin is no paper, so `faces` are
    left out, as far as something else is left.
    """
    values = _looked_at(pixels, faces)
    density = -np.log10(np.maximum(values, 1 / 255))
    order = np.argsort(density.mean(axis=1))
    count = max(1, round(END * len(order)))
    light, dark = (np.median(density[part], axis=0) for part in (order[:count], order[-count:]))
    if _is_monochrome(density[order]):
        light, dark = np.full(3, light.min()), np.full(3, dark.max())
    veil = light.min()
    paper = 1 / (1 + (veil / LIGHTEST) ** 4)
    base = paper * (0.8 * _over(light - veil, STAIN) + 0.7 * _over(veil, FOG))
    base = np.minimum(base, MOST_BASE)
    reach = np.maximum(dark - base, 0.1)
    most = min(reach.max(), BLACK)
    gain = 0.7 * (_over(np.log10(most / np.minimum(reach, most)), FADED) + np.log10(BLACK / most))
    gain = np.minimum(np.power(10, gain), MOST_GAIN)
    whole = Tone(tuple(base.tolist()), tuple(gain.tolist()))
    change = np.abs(whole.curves(values) - values).mean(axis=0).max()
    certain = float(np.interp(change, TOLD, (0, 1)) * np.interp((dark - light).max(), SPAN, (0, 1)))
    return whole.at(certain) if certain else Tone()


def _looked_at(pixels: np.ndarray, faces: Sequence[Face]) -> np.ndarray:
    """(N, 3) float in [0, 1]: the small picture without its plain border and its faces."""
    factor = min(1, SIDE / max(pixels.shape[:2]))
    size = tuple(max(1, round(length * factor)) for length in pixels.shape[1::-1])
    small = eight_bits(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)).astype(np.float64) / 255
    wanted = np.ones(small.shape[:2], bool)
    for face in faces:
        x, y, width, height = (value * factor for value in face.box)
        left, top = max(0, round(x - width / 4)), max(0, round(y - height / 4))
        wanted[top : round(y + 1.25 * height), left : round(x + 1.25 * width)] = False
    if wanted.mean() < 0.2:
        wanted[:] = True
    rows, columns = (_inner(small.std(axis=axis).mean(axis=1)) for axis in (1, 0))
    inner = wanted[rows, columns]
    return small[rows, columns][inner] if inner.any() else small.reshape(-1, 3)


def _inner(spread: np.ndarray) -> slice:
    """What lies between plain borders, by each line's spread; a border takes a quarter at most."""
    busy = np.flatnonzero(spread > 0.02)
    quarter = len(spread) // 4
    if not busy.size:
        return slice(None)
    return slice(min(busy[0], quarter), max(busy[-1] + 1, len(spread) - quarter))


def _is_monochrome(density: np.ndarray) -> bool:
    """Whether (N, 3) pixels, from light to dark, have one tint for each tone."""
    tint = density[:, :2] - density[:, 2:]
    tones = np.array_split(tint, min(16, len(tint)))
    return bool(np.mean([np.abs(tone - np.median(tone, axis=0)).mean() for tone in tones]) < MONOCHROME)


def _over(value: np.ndarray, threshold: float) -> np.ndarray:
    return np.maximum(value - threshold, 0)
