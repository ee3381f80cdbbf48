"""What a degradation is: parameters that are drawn once and can then be applied to any picture.

Pictures are (H, W, 3) RGB float32 in [0, 1]. A step is a frozen dataclass: its fields are the parameters,
the class method ``sample(rng)`` draws them, ``apply(image)`` uses them and draws nothing else, except noise
from a seed that is itself a field. Applying the same step to the same picture gives the same bytes.

Lengths written as "reference pixels" are pixels of a 512 x 512 picture; ``unit(image)`` converts them, so a
scratch keeps its share of the picture whatever the size. Where ``sample`` takes a ``strength``, 1 is what the
recipes were tuned to by eye, less is milder, and up to 2 is sensible.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Protocol, Self

import numpy as np

REFERENCE = 512


class Step(Protocol):
    """One degradation with its parameters already drawn."""

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Degrade ``image`` ((H, W, 3) float32 in [0, 1]); same shape, dtype and range come back."""


@dataclass(frozen=True)
class Chain:
    """Steps applied one after another; the empty chain is the identity."""

    steps: tuple[Step, ...]

    def apply(self, image: np.ndarray) -> np.ndarray:
        for step in self.steps:
            image = step.apply(image)
        return image


@dataclass(frozen=True)
class Drawn:
    """A step whose fields say how they are drawn, in their order; a field with a default keeps that."""

    @classmethod
    def sample(cls, rng: np.random.Generator, strength: float = 1.0) -> Self:
        """Draw every field that `drawn` has made."""
        draws = {field.name: field.metadata.get("draw") for field in fields(cls)}
        return cls(**{name: draw(rng, strength) for name, draw in draws.items() if draw})


def drawn(draw: Callable[[np.random.Generator, float], object]) -> Any:
    """A field of a `Drawn` step that is drawn so, given the generator and the strength."""
    return field(metadata={"draw": draw})


def within(low: float, high: float) -> Any:
    """A field that is drawn uniformly in [low, high)."""
    return drawn(lambda rng, _: between(rng, low, high))


def seed() -> Any:
    """The field from which a step draws its own noise."""
    return drawn(lambda rng, _: draw_seed(rng))


def single_steps(params: Step) -> Iterator[Step]:
    """The steps of a chain, and of chains in it; any other step alone."""
    if isinstance(params, Chain):
        for step in params.steps:
            yield from single_steps(step)
    else:
        yield params


@dataclass(frozen=True)
class Recipe:
    """A named way to degrade: ``params = sample(rng)``, then ``low = apply(clean, params)``."""

    name: str
    sample: Callable[[np.random.Generator], Any]

    def apply(self, image: np.ndarray, params: Any) -> np.ndarray:
        """See `apply`; `params` as `sample` gives them."""
        return apply(image, params)

    def degraded(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """`image` under parameters drawn from `rng`."""
        return apply(image, self.sample(rng))


def apply(image: np.ndarray, params: Step) -> np.ndarray:
    """Check ``image``, apply ``params`` and return a new contiguous (H, W, 3) float32 picture in [0, 1].
    Raises ValueError when ``image`` is not (H, W, 3) floating point; values outside [0, 1] are clipped."""
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"degradations want a (H, W, 3) RGB picture, not shape {image.shape}")
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"degradations want floats in [0, 1], not {image.dtype}: divide by 255 first")
    clean = np.clip(image, 0.0, 1.0).astype(np.float32, copy=False)
    low = params.apply(clean)
    assert low.shape == image.shape, low.shape
    assert low.dtype == np.float32, low.dtype
    return np.ascontiguousarray(clip(low))


def clip(image: np.ndarray) -> np.ndarray:
    """Bring ``image`` back to [0, 1]."""
    return np.clip(image, 0.0, 1.0)


def unit(image: np.ndarray) -> float:
    """Pixels of ``image`` per reference pixel: its mean side divided by 512."""
    return math.sqrt(image.shape[0] * image.shape[1]) / REFERENCE


def draw_seed(rng: np.random.Generator) -> int:
    """A seed to keep among the parameters, from which a step draws its own noise."""
    return int(rng.integers(2**31))


def rng_for(seed: int, name: str) -> np.random.Generator:
    """The generator of one picture in a set: it depends on ``seed`` and the picture's name, not on the order
    or the number of pictures. ``seed`` must not be negative."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:16], "big")])


def chance(rng: np.random.Generator, probability: float) -> bool:
    """True with the given probability."""
    return bool(rng.random() < probability)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """Uniform in [low, high) as a plain float, so that parameters print and compare well."""
    return float(rng.uniform(low, high))


def luminance(image: np.ndarray) -> np.ndarray:
    """Rec. 601 luma of (H, W, 3) as (H, W)."""
    return np.minimum(image @ np.array([0.299, 0.587, 0.114], np.float32), 1.0)
