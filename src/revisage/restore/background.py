"""Everything that is not a face: the scene model in tiles, or plain resampling where there is none."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np

from revisage.restore import colour, memory, tiles
from revisage.restore.models import SceneModel
from revisage.restore.sparing import spare

LANCZOS_RADIUS = 4

THIN_SIDE, THIN_ASPECT = 64, 100
TOO_THIN = "too thin for the scene model"


@dataclass(frozen=True)
class Background:
    """The canvas (H scale, W scale, 3) in the photo's dtype, how it was made, and by which models."""

    canvas: np.ndarray
    method: str
    changed_by: tuple[str, ...] = ()


def resample(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Pixels or alpha, (H, W) or (H, W, 3), enlarged by Lanczos; always a new array."""
    if scale == 1:
        return pixels.copy()
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LANCZOS4)


def is_thin(height: int, width: int) -> bool:
    """Whether a photo is a line rather than a picture: of one pixel by millions, tiles would take hours."""
    return min(height, width) < THIN_SIDE and max(height, width) > THIN_ASPECT * min(height, width)


def enlarge(
    pixels: np.ndarray,
    model: SceneModel | None,
    *,
    scale: int,
    keep: bool,
    neutral: bool,
    budget: int,
    on_tile: Callable[[int, int], None],
) -> Background:
    """The photo, (H, W, 3) uint8 or uint16, at `scale` times its size.

    Without a model, or where it `is_thin`, by Lanczos. A model of a smaller scale runs over its own output
    where that leads to the asked scale; else its output is reduced by area or enlarged by Lanczos, tile by
    tile. Tiles take at most `budget` bytes, and `on_tile` is told (done, total). `keep` keeps the photo's
    tone, and with it the channels of a `neutral` one equal. At the photo's own size one that needs little is
    spared (`spare`).
    """
    thin = is_thin(*pixels.shape[:2])
    if model is None or thin:
        canvas = resample(pixels, scale)
        on_tile(1, 1)
        method = "unchanged" if scale == 1 else "lanczos"
        return Background(canvas, f"{method}: {TOO_THIN}" if model is not None else method)
    if 1 < model.scale < scale and scale % model.scale == 0:
        # One pass after the other over the whole: a tile of both would be mostly context.
        area = model.scale**2
        passed = partial(enlarge, model=model, keep=keep, neutral=neutral, budget=budget)
        once = passed(
            pixels,
            scale=model.scale,
            on_tile=lambda done, total: on_tile(done, (1 + area) * total),
        )
        rest = passed(
            once.canvas,
            scale=scale // model.scale,
            on_tile=lambda done, total: on_tile(total + area * done, (1 + area) * total),
        )
        return replace(rest, method=f"{once.method}, {round(math.log(scale, model.scale))} times")
    session = model.session_for(pixels.dtype)

    def operation(sources: np.ndarray) -> np.ndarray:
        batch = session.run(np.ascontiguousarray(sources.transpose(0, 3, 1, 2)))
        return np.stack([finished(*pair) for pair in zip(batch, sources, strict=True)])

    def finished(output: np.ndarray, source: np.ndarray) -> np.ndarray:
        output = np.ascontiguousarray(output.transpose(1, 2, 0), np.float32)
        if model.scale != scale:
            way = cv2.INTER_AREA if model.scale > scale else cv2.INTER_LANCZOS4
            size = (source.shape[1] * scale, source.shape[0] * scale)
            output = cv2.resize(output, size, interpolation=way)
        if keep and neutral:
            return colour.gray(output)
        return colour.keep_scene(output, source, scale) if keep else output

    # What the model and the filters after it read.
    halo = model.receptive_field + max(LANCZOS_RADIUS, colour.SCENE_RADIUS)
    core, batch = memory.layout(
        budget, scale=max(scale, model.scale), halo=halo, gpu=session.info.device == "gpu"
    )
    canvas = tiles.run(pixels, operation, scale=scale, core=core, halo=halo, batch=batch, on_tile=on_tile)
    method = f"model x{model.scale}"
    if model.scale != scale:
        method += f", then {'area' if model.scale > scale else 'lanczos'} to x{scale}"
    elif scale == 1 and model.clean is not None:
        share = spare(canvas, pixels, model.clean)
        method += f", {share:.0%} of what it would change" if share < 1 else ""
        if share == 0:
            return Background(canvas, method)
    return Background(canvas, method, (model.label,))


def square(pixels: np.ndarray, size: int) -> np.ndarray:
    """A picture at (size, size)."""
    if pixels.shape[:2] == (size, size):
        return pixels
    shrinks = pixels.shape[0] * pixels.shape[1] > size * size
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    return cv2.resize(pixels, (size, size), interpolation=way)
