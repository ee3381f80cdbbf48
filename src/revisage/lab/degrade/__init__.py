"""Synthetic degradation: parameters are drawn (``sample``) apart from being applied (``apply``).

>>> recipe = RECIPES["old-photo"]
>>> params = recipe.sample(np.random.default_rng(0))
>>> low = recipe.apply(clean, params)          # (H, W, 3) float32 RGB in [0, 1], as ``clean``
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from . import marks, mixtures, old_photo
from .esrgan import FirstOrder, SecondOrder
from .gfpgan import HARD, Gfpgan, description
from .mixtures import fadings
from .pieces import COLOURLESS, tone, zoomed
from .progressive import UPSCALE, Progressive
from .recipe import Chain, Recipe, Step, apply, rng_for

_SAMPLES: dict[str, Callable[[np.random.Generator], Step]] = {
    "paper": Gfpgan.sample,
    "hard": partial(Gfpgan.sample, factors=HARD),
    "gfpgan": Gfpgan.sample,  # what "paper" was called first
    "gfpgan-train": mixtures.sample_gfpgan_train,
    "first-order": FirstOrder.sample,
    "second-order": SecondOrder.sample,
    "old-photo": old_photo.sample,
    "progressive-16": partial(Progressive.sample, ranges=UPSCALE),
    "progressive-128": Progressive.sample,
    "face": mixtures.sample_face,
    "taught": partial(mixtures.sample_shares, shares=mixtures.TAUGHT_SHARES),
    "aged": partial(mixtures.sample_shares, shares=mixtures.AGED_SHARES),
    "marks": marks.sample,
    "pattern": mixtures.sample_pattern,
}
RECIPES: dict[str, Recipe] = {name: Recipe(name, sample) for name, sample in _SAMPLES.items()}

__all__ = [
    "COLOURLESS", "RECIPES", "Chain", "Recipe", "Step", "apply", "description", "fadings", "rng_for", "tone",
    "zoomed",
]  # fmt: skip
