"""For training: marks at a whole photo's size on a piece of it, and the photo's tone alone."""

from dataclasses import replace
from typing import Any

from .ageing import DyeFading, Fading, Grain, PaperTexture, Toning, Yellowing
from .colour import Gray
from .damage import Crease, Dust, Hairs, Scratches, Stains
from .marks import Fingerprint, Flakes, Mould, Tape, Tear
from .recipe import Chain, Step, single_steps

TONE = (Gray, Toning, DyeFading, Fading, Yellowing)
COLOURLESS = (Gray, Toning)

# Which fields are lengths, and by what power of the factor a piece has fewer of such marks.
_MARKS: dict[Any, tuple[tuple[str, ...], int]] = {
    Scratches: (("width",), 1),
    Dust: (("radius", "softness"), 2),
    Hairs: (("length",), 1),
    Crease: (("width", "relief", "ragged"), 0),
    Stains: (("radius",), 2),
    Tear: (("fringe",), 0),
    Flakes: (("period",), 0),
    Tape: (("length", "width"), 0),
    Mould: (("radius",), 2),
    Fingerprint: (("size", "pitch"), 0),
    Grain: (("size",), 0),
    PaperTexture: (("size",), 0),
}


def zoomed(params: Step, factor: float) -> Chain:
    """The damage as a piece shows it whose photo is `factor` times as wide: marks are larger and fewer, or a
    scratch would be a fraction of a pixel wide. Raises ValueError when `factor` is under 1."""
    if factor < 1:
        raise ValueError(f"factor must be at least 1, got {factor}")
    return Chain(tuple(_zoomed(step, factor) for step in single_steps(params)))


def _zoomed(step: Any, factor: float) -> Step:
    lengths, dimension = _MARKS.get(type(step), ((), 0))
    changes = {name: getattr(step, name) * factor for name in lengths}
    if dimension:
        changes["count"] = max(1, round(step.count / factor**dimension))
    return replace(step, **changes)


def tone(params: Step, kinds: tuple[type, ...] = TONE) -> Chain:
    """The steps, among `kinds`, that set the tone of the whole picture: what a model should aim at that
    leaves it as it is. With `COLOURLESS`, fading counts as damage."""
    return Chain(tuple(step for step in single_steps(params) if isinstance(step, kinds)))
