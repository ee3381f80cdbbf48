"""Everything that is not a face: the scene model in tiles, or plain resampling where there is none."""

from collections.abc import Callable
from dataclasses import dataclass

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

    Without a model, or where it `is_thin`, by Lanczos. A model whose scale is not the asked one runs as often
    as needed, then its output is reduced by area or enlarged by Lanczos, tile by tile; these take at most
    `budget` bytes, and `on_tile` is told (done, total). `keep` keeps the photo's tone, and with it the
    channels of a `neutral` one equal. At the photo's own size one that needs little is spared (`spare`).
    """
    thin = is_thin(*pixels.shape[:2])
    if model is None or thin:
        canvas = resample(pixels, scale)
        on_tile(1, 1)
        method = "unchanged" if scale == 1 else "lanczos"
        return Background(canvas, f"{method}: {TOO_THIN}" if model is not None else method)
    produced, count = model.scale, 1  # how often it runs over its own output
    while 1 < produced < scale:
        produced, count = produced * model.scale, count + 1
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

    # What all passes and the filters after them read.
    passed = sum(model.receptive_field / model.scale**k for k in range(count))
    halo = int(np.ceil(passed)) + max(LANCZOS_RADIUS, colour.SCENE_RADIUS)
    if model.control and count > 1:  # of the context of both passes, small tiles would be next to nothing
        budget *= memory.COMPACT
    core, batch = memory.layout(budget, scale=produced, halo=halo, gpu=session.info.device == "gpu")
    canvas = tiles.run(pixels, operation, scale=scale, core=core, halo=halo, batch=batch, on_tile=on_tile)
    method = f"model x{model.scale}" + (f", {count} times" if count > 1 else "")
    if produced != scale:
        method += f", then {'area' if produced > scale else 'lanczos'} to x{scale}"
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
