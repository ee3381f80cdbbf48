"""Fading undone: what a photo's tones may have been, estimated from the photo alone.

A model sees what is shown and tells most of a cast and a veil; where all of the photo is pale or its paper
yellow, its darkest and lightest tones tell more. So both are asked, one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from revisage.faces import Face
from revisage.image.prints import reduced
from revisage.restore.models import ToneModel

SIDE = 48
"""Of the small picture that is looked at, whatever the photo's shape: grain, specks and scratches vanish."""

LOOK = 256  #: longest side of the copy in which a plain border is looked for

TOLD = (0.06, 0.14)
"""Mean change of a channel below which the model's estimate counts for nothing, and from which for all."""

END = 0.004  #: share of the pixels that count as the darkest tones, and as the lightest
BLACK = 0.95  #: density that the darkest tones of nearly every photograph reach
LIGHTEST = 0.22  #: density from which the lightest tones are rather those of a dark scan than of white paper
UNDER = (0.18, 0.26)
"""Density of the lightest tones up to which a photo counts as well exposed, and from which as exposed too
little: of a thousand photographs none has more."""

STAIN, FOG, FADED = 0.1, 0.03, 0.04
"""What the tones may have, since good photos differ as much: a tint of the lightest and a veil over all of
them in density, and the difference between the channels' ranges as log10 of their ratio."""

CHANGED = (0.05, 0.09)
"""`TOLD` of what the tones tell."""

SPAN = (0.1, 0.2)
"""Density between the lightest and the darkest tones up to which they tell nothing, as of fog or a bare wall,
and from which they tell all."""

MOST_GAIN, MOST_BASE, MOST_EXPOSURE = 2.0, 0.26, 0.5
"""Of what the tones tell, so that noise does not explode: values differ at most 3.6 times as much, of a photo
that was exposed too little 6 times."""

MONOCHROME = 0.012
"""Median distance in density from one tint per tone up to which a photo is gray or toned, not in colour."""


@dataclass(frozen=True)
class Tone:
    """An estimate of how a photo has faded, as the levels that undo it: of red, green and blue the values
    that become black and white, and the power in between. Zeros and ones: not at all."""

    black: tuple[float, ...] = (0.0, 0.0, 0.0)
    white: tuple[float, ...] = (1.0, 1.0, 1.0)
    gamma: tuple[float, ...] = (1.0, 1.0, 1.0)
    model: ToneModel | None = None  #: what has estimated it

    @property
    def changes(self) -> bool:
        """Whether it is any."""
        return (self.black, self.white, self.gamma) != (Tone.black, Tone.white, Tone.gamma)

    def at(self, strength: float) -> Tone:
        """A part of it, 0 to 1."""
        black = tuple(strength * value for value in self.black)
        white = tuple(1 - strength * (1 - value) for value in self.white)
        return Tone(black, white, tuple(np.power(self.gamma, strength).tolist()), self.model)

    def then(self, other: Tone) -> Tone:
        """Both as one: this, then `other`, of which no black point is above 0."""
        black, white, gamma = np.array(self.black), np.array(self.white), np.array(self.gamma)
        white = black + (white - black) * np.power(other.white, 1 / gamma)
        return replace(self, white=tuple(white.tolist()), gamma=tuple((gamma * other.gamma).tolist()))

    def curves(self, values: np.ndarray) -> np.ndarray:
        """(..., 3) or (..., 1) in [0, 1] -> (..., 3) in [0, 1]; each channel rises throughout."""
        black = np.array(self.black)
        return np.power(np.clip((values - black) / (self.white - black), 0, 1), self.gamma)

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
        levels = {key: [round(v, 3) for v in getattr(self, key)] for key in ("black", "white", "gamma")}
        return {"estimate": True, "model": self.model and self.model.label, **levels}


def estimate(pixels: np.ndarray, model: ToneModel, faces: Sequence[Face] = ()) -> Tone:
    """How the photo, (H, W, 3) uint8 or uint16, has faded, its plain border left out.

    A photo of one tint, gray or sepia, keeps it: all channels get one curve, to the colour of the paper. Skin
    is no paper, so the tones of `faces` are left out, as far as others are left.
    """
    shown, wanted = _looked_at(pixels, faces)
    values, toned = shown, _is_monochrome(shown[wanted])
    if toned:
        values = values.mean(axis=2, keepdims=True).repeat(3, axis=2)
    small = cv2.resize(values, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    levels = model.session.run(np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32))
    levels = levels.astype(np.float64).reshape(3, 3)
    if toned:
        levels = levels.mean(axis=1, keepdims=True).repeat(3, axis=1)
    black, white, gamma = (tuple(row.tolist()) for row in levels)
    seen = _trusted(Tone(black, white, gamma, model), small.reshape(-1, 3), TOLD)
    tone = seen.then(_by_ends(seen.curves(values[wanted])))
    return _keeping_paper(tone, shown[wanted]) if toned and tone.changes else tone


def _trusted(tone: Tone, values: np.ndarray, told: tuple[float, float]) -> Tone:
    """What is left of an estimate for a picture, (N, 3): much of it where it changes much, nothing of it in
    one of hardly any tones."""
    density = _density(values).mean(axis=1)
    span = np.ptp(np.quantile(density, (END, 1 - END)))
    change = np.abs(tone.curves(values) - values).mean(axis=0).max()
    certain = float(np.interp(change, told, (0, 1)) * np.interp(span, SPAN, (0, 1)))
    return tone.at(certain) if certain else Tone(model=tone.model)


def _by_ends(values: np.ndarray) -> Tone:
    """What the darkest and the lightest tones of (N, 3) tell.

    In density, D = -log10 v: a dye that fades loses a share of it, and a stain adds some, so that each
    channel had gain (D - base). A photo of one tint has the same curve for all.
    """
    density = _density(values)
    order = np.argsort(density.mean(axis=1))
    count = max(1, round(END * len(order)))
    light, dark = (np.median(density[part], axis=0) for part in (order[:count], order[-count:]))
    veil = light.min()
    paper = 1 / (1 + (veil / LIGHTEST) ** 4)
    base = paper * (0.8 * _over(light - veil, STAIN) + 0.7 * _over(veil, FOG))
    exposure = np.interp(veil, UNDER, (0, 1)) * min(0.9 * veil, MOST_EXPOSURE)
    base = np.maximum(np.minimum(base, MOST_BASE), exposure)
    reach = np.maximum(dark - base, 0.1)
    most = min(reach.max(), BLACK)
    gain = 0.7 * (_over(np.log10(most / np.minimum(reach, most)), FADED) + np.log10(BLACK / most))
    gain = np.minimum(np.power(10, gain), MOST_GAIN)
    white = tuple(np.power(10, -base).tolist())
    return _trusted(Tone(white=white, gamma=tuple(gain.tolist())), values, CHANGED)


def _keeping_paper(tone: Tone, values: np.ndarray) -> Tone:
    """An estimate with one curve for the whole of a photo of one tint, (N, 3), so that its lightest tone gets
    no darker and keeps its colour: a steeper curve alone would make yellowed paper yellower."""
    paper = np.median(values[np.argsort(-values.mean(axis=1))[: max(1, round(END * len(values)))]], axis=0)
    lighter = max(1.0, float(tone.curves(paper.mean()[None, None]).mean() / paper.mean()))
    wanted = np.minimum(paper * lighter, 1)
    white = tone.black + np.maximum(paper - tone.black, 0.05) / np.power(wanted, 1 / np.array(tone.gamma))
    return replace(tone, white=tuple(white.tolist()))


def _looked_at(pixels: np.ndarray, faces: Sequence[Face]) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) float in [0, 1], a small copy without its plain border; (H, W) where it shows no face."""
    factor = min(1, LOOK / max(pixels.shape[:2]))
    small = reduced(pixels, factor).astype(np.float32) / 255
    wanted = np.ones(small.shape[:2], bool)
    for face in faces:
        x, y, width, height = (value * factor for value in face.box)
        left, top = max(0, round(x - width / 4)), max(0, round(y - height / 4))
        wanted[top : round(y + 1.25 * height), left : round(x + 1.25 * width)] = False
    rows, columns = (_inner(small.std(axis=axis).mean(axis=1)) for axis in (1, 0))
    inner = wanted[rows, columns]
    return small[rows, columns], inner if inner.mean() >= 0.2 else np.ones_like(inner)


def _inner(spread: np.ndarray) -> slice:
    """What lies between plain borders, by each line's spread; a border takes a quarter at most."""
    busy = np.flatnonzero(spread > 0.02)
    quarter = len(spread) // 4
    if not busy.size:
        return slice(None)
    return slice(min(busy[0], quarter), max(busy[-1] + 1, len(spread) - quarter))


def _is_monochrome(values: np.ndarray) -> bool:
    """Whether (N, 3) pixels have one tint for each tone."""
    density = _density(values)
    density = density[np.argsort(density.mean(axis=1))]
    tint = density[:, :2] - density[:, 2:]
    tones = np.array_split(tint, min(16, len(tint)))
    return bool(np.mean([np.abs(tone - np.median(tone, axis=0)).mean() for tone in tones]) < MONOCHROME)


def _density(values: np.ndarray) -> np.ndarray:
    return -np.log10(np.maximum(values, 1 / 255))


def _over(value: np.ndarray, threshold: float) -> np.ndarray:
    return np.maximum(value - threshold, 0)
