"""A ComfyUI node that restores the faces in a picture with Revisage; see README.md beside this file."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from revisage import Restorer, zoo

if TYPE_CHECKING:
    from torch import Tensor


@lru_cache(maxsize=1)
def restorer(model: str, scene: str) -> Restorer:
    """The Restorer of the last run, whose models stay open while a workflow runs again and again."""
    return Restorer(model=model, scene=scene)


def names(task: str) -> list[str]:
    """What the node offers: auto, none, and the installed models of a task that restore whole photos."""
    specs = [model.spec for model in zoo.installed()]
    return ["auto", "none", *(s.name for s in specs if s.task == task and s.framing == "template")]


class RevisageRestore:
    """Restores every picture of a batch as `revisage restore` does."""

    CATEGORY = "image/restoration"
    FUNCTION = "restore"
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("image", "report")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802 (ComfyUI calls it so)
        strength = {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05}
        return {
            "required": {
                "image": ("IMAGE",),
                "strength": ("FLOAT", strength),
                "scale": (["auto", "1", "2", "4"],),
                "faces": ("STRING", {"default": "all"}),
                "colour": (["keep", "enhance", "revive"],),
                "model": (names("face"),),
                "scene": (names("scene"),),
            }
        }

    def restore(
        self, image: Tensor, *, strength: float, scale: str, faces: str, colour: str, model: str, scene: str
    ) -> tuple[Tensor, str]:
        """(B, H, W, 3) in [0, 1] -> (B, H scale, W scale, 3) in [0, 1], and the reports as a JSON list.

        Pictures pass through 8 bits, as those that ComfyUI loads and saves have. Raises
        revisage.errors.RevisageError, whose message ComfyUI shows.
        """
        import torch

        pictures, reports = [], []
        for picture in image.detach().cpu().numpy():
            pixels = np.rint(np.clip(picture[..., :3], 0, 1) * 255).astype(np.uint8)
            result = restorer(model, scene).restore(
                pixels, strength=strength, scale=scale, faces=faces, colour=colour
            )
            pictures.append(result.pixels.astype(np.float32) / 255)
            reports.append(result.report()["photos"][0])
        return torch.from_numpy(np.stack(pictures)), json.dumps(reports)


NODE_CLASS_MAPPINGS = {"RevisageRestore": RevisageRestore}
NODE_DISPLAY_NAME_MAPPINGS = {"RevisageRestore": "Restore faces (Revisage)"}
