"""Everything that is not a face: the scene model in tiles, or plain resampling where there is none."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from revisage.restore import colour, memory, tiles
from revisage.restore.models import SceneModel

LANCZOS_RADIUS = 4

THIN_SIDE, THIN_ASPECT = 64, 100
TOO_THIN = "too thin for the scene model"


@dataclass(frozen=True)
class Background:
    """The canvas (H scale, W scale, 3) in the photo's dtype, and how it was made, in words."""

    canvas: np.ndarray
    method: str


def resample(pixels: np.ndarray, scale: int) -> np.ndarray:
    """Pixels or alpha, (H, W) or (H, W, 3), enlarged by Lanczos; always a new array."""
    if scale == 1:
        return pixels.copy()
    size = (pixels.shape[1] * scale, pixels.shape[0] * scale)
    return cv2.resize(pixels, size, interpolation=cv2.INTER_LANCZOS4)


def passes(model_scale: int, scale: int) -> int:
    """How often the model runs over its own output to reach at least `scale`."""
    count = 1
    while model_scale > 1 and model_scale**count < scale:
        count += 1
    return count


def halo(model_reach: int, model_scale: int, count: int) -> int:
    """Context in photo pixels that `count` passes of the model and the filters after them read."""
    passed = sum(model_reach / model_scale**k for k in range(count))
    return int(np.ceil(passed)) + max(LANCZOS_RADIUS, colour.SCENE_RADIUS)


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
    """The photo at `scale` times its size.

    Args:
        pixels: (H, W, 3), uint8 or uint16.
        model: None for Lanczos, which a photo that `is_thin` gets as well. A model whose scale is not the
            asked one runs as often as needed, then its output is reduced by area or enlarged by Lanczos,
            tile by tile.
        keep: keep the photo's tone.
        neutral: the photo is gray (with `keep`, its channels stay equal).
        budget: bytes that the tiles in hand may take.
        on_tile: called with (done, total).
    """
    thin = is_thin(*pixels.shape[:2])
    if model is None or thin:
        canvas = resample(pixels, scale)
        on_tile(1, 1)
        method = "unchanged" if scale == 1 else "lanczos"
        return Background(canvas, f"{method}: {TOO_THIN}" if model is not None else method)
    count = passes(model.scale, scale)
    produced = model.scale**count
    session = model.session_for(pixels.dtype)

    def operation(sources: np.ndarray) -> np.ndarray:
        batch = np.ascontiguousarray(sources.transpose(0, 3, 1, 2))
        for _ in range(count):
            batch = session.run(batch)
        return np.stack([finished(*pair) for pair in zip(batch, sources, strict=True)])

    def finished(output: np.ndarray, source: np.ndarray) -> np.ndarray:
        output = np.ascontiguousarray(output.transpose(1, 2, 0), np.float32)
        if produced != scale:
            way = cv2.INTER_AREA if produced > scale else cv2.INTER_LANCZOS4
            size = (source.shape[1] * scale, source.shape[0] * scale)
            output = cv2.resize(output, size, interpolation=way)
        if keep and neutral:
            return colour.gray(output)
        return colour.keep_scene(output, source, scale) if keep else output

    around = halo(model.receptive_field, model.scale, count)
    core, batch = memory.layout(budget, scale=produced, halo=around, gpu=session.info.device == "gpu")
    canvas = tiles.run(pixels, operation, scale=scale, core=core, halo=around, batch=batch, on_tile=on_tile)
    return Background(canvas, _words(model.scale, count, scale))


def _words(model_scale: int, count: int, scale: int) -> str:
    words = f"model x{model_scale}" + (f", {count} times" if count > 1 else "")
    produced = model_scale**count
    if produced == scale:
        return words
    return f"{words}, then {'area' if produced > scale else 'lanczos'} to x{scale}"


def square(pixels: np.ndarray, size: int) -> np.ndarray:
    """A picture at (size, size)."""
    if pixels.shape[:2] == (size, size):
        return pixels
    shrinks = pixels.shape[0] * pixels.shape[1] > size * size
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4
    return cv2.resize(pixels, (size, size), interpolation=way)
