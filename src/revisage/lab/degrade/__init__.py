"""Synthetic degradation: parameters are drawn (``sample``) apart from being applied (``apply``).

>>> recipe = RECIPES["old-photo"]
>>> params = recipe.sample(np.random.default_rng(0))
>>> low = recipe.apply(clean, params)          # (H, W, 3) float32 RGB in [0, 1], as ``clean``
"""

from . import mixtures, old_photo
from .esrgan import FirstOrder, SecondOrder
from .gfpgan import Gfpgan, description, hard
from .pieces import COLOURLESS, marked, tone, zoomed
from .progressive import Progressive
from .recipe import Chain, Recipe, Step, apply, rng_for

RECIPES: dict[str, Recipe] = {
    "paper": Recipe("paper", Gfpgan.sample, apply),
    "hard": Recipe("hard", hard, apply),
    "gfpgan": Recipe("gfpgan", Gfpgan.sample, apply),  # what "paper" was called first
    "gfpgan-train": Recipe("gfpgan-train", mixtures.sample_gfpgan_train, apply),
    "first-order": Recipe("first-order", FirstOrder.sample, apply),
    "second-order": Recipe("second-order", SecondOrder.sample, apply),
    "old-photo": Recipe("old-photo", old_photo.sample, apply),
    "progressive-16": Recipe("progressive-16", Progressive.sample_upscale, apply),
    "progressive-128": Recipe("progressive-128", Progressive.sample, apply),
    "face": Recipe("face", mixtures.sample_face, apply),
    "taught": Recipe("taught", mixtures.sample_taught, apply),
    "aged": Recipe("aged", mixtures.sample_aged, apply),
    "pattern": Recipe("pattern", mixtures.sample_pattern, apply),
}

__all__ = [
    "COLOURLESS",
    "RECIPES",
    "Chain",
    "Recipe",
    "Step",
    "apply",
    "description",
    "marked",
    "rng_for",
    "tone",
    "zoomed",
]
