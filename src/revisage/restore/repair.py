"""What is damaged in a photo, by a model's mask or one drawn by hand, and the photo without it."""

import math
from dataclasses import dataclass, replace
from typing import Any, Self

import cv2
import numpy as np

from revisage.errors import PhotoError, UsageError
from revisage.image import Photo, decode, eight_bits, encode, from_array
from revisage.image.prints import disc, reduced
from revisage.masks import mask_bytes
from revisage.options import DecodeLimits, RestoreOptions
from revisage.restore import tiles
from revisage.restore.background import is_thin
from revisage.restore.inpaint import inpaint
from revisage.restore.models import DamageModel, ModelSource

PIXELS = 2_500_000  #: of the copy in which damage is looked for: a larger photo is reduced

TILE, HALO, MULTIPLE = 512, 64, 16
"""Sides of a tile and of the context around it, and what the model's input must be a multiple of."""

LIKELY, POSSIBLE = 0.97, 0.8
"""Probability from which a place is damaged, and from which it is where it touches such a place: high, since
what is filled by mistake is lost."""

THIN = 1 / 120
"""Width of the widest mark that `light` repairs, as a share of the photo's longer side; at least 6 pixels."""

WIDE = 0.1
"""Share of a mark that may be wider, as where two scratches cross."""

MOST = 0.3
"""Share of a photo up to which it is filled: of more, the model has taken the picture itself for damage."""

DARK, LIGHT, SOFT = 64, 191, 0.2
"""Of a mask: what is near black and near white, and the share that may be neither. Soft brushes, JPEG and
probabilities stay below; 96 of 97 old photos, or what is painted on a copy of them, lie above."""

ASPECT = 0.01  #: by how much a mask's aspect may differ from the photo's, beside one pixel of its own


@dataclass(frozen=True)
class Repair:
    """What was repaired."""

    mask: np.ndarray
    """(H, W) bool, what was filled, in pixels of the result at scale 1."""
    model: DamageModel | None  #: what found the damage; None for a mask drawn by hand
    found: float
    """Share of the pixels that was marked, 0 to 1; more than `MOST` by a model is left as it was."""
    turn: int = 0  #: degrees clockwise by which the mask was turned with the photo, after the repair

    @property
    def changes(self) -> bool:
        """Whether something was filled."""
        return bool(self.mask.any())

    @property
    def share(self) -> float:
        """Of the photo's pixels, 0 to 1."""
        return float(self.mask.mean())

    @property
    def note(self) -> str:
        """What was done, in words."""
        if self.found == 0:
            return (
                "nothing of it looks damaged" if self.model else "the mask marks nothing: paint damage white"
            )
        if not self.changes:
            return f"{self.found:.0%} of it looks damaged, too much to be so: it is left; draw a mask"
        share = f"{self.share:.1%}" if self.share >= 0.0005 else "under 0.1%"
        return f"{share} of it was damaged and is repaired"

    def touches(self, box: tuple[float, float, float, float]) -> bool:
        """Whether something was filled in a box: x, y, width, height in the mask's pixels."""
        left, top = (max(0, math.floor(start)) for start in box[:2])
        right, bottom = (max(0, math.ceil(box[n] + box[n + 2])) for n in range(2))
        return bool(self.mask[top:bottom, left:right].any())

    def turned(self, degrees: int) -> Self:
        """The same for the photo turned clockwise by a multiple of 90 degrees."""
        return replace(self, mask=np.rot90(self.mask, -degrees // 90), turn=self.turn + degrees)

    def png(self) -> bytes:
        """The mask as a file that `mask` takes, as the photo lay before it was turned: damage is white."""
        return encode(from_array(np.rot90(self.mask, self.turn // 90) * np.uint8(255)), format="PNG")

    def entry(self) -> dict[str, Any]:
        """What the report states, in JSON types."""
        return {
            "share": round(self.share, 5),
            "found": round(self.found, 5),
            "model": self.model and self.model.label,
        }


def repaired(
    photo: Photo, options: RestoreOptions, models: ModelSource, limits: DecodeLimits
) -> tuple[Photo, Repair | None]:
    """The photo without its damage, and what was done; None where that is not asked for. Raises UsageError
    for a mask that cannot be used, ModelError without a model where there is no mask."""
    text, level = options.mask, options.repair
    if text is None and level == "off":
        return photo, None
    if text is not None:
        mask = mask_by_hand(text, photo.size, limits)
        repair = Repair(mask, None, float(mask.mean()))
    else:
        model = models.damage()
        mask = damage_in(photo.pixels, model, thin=level == "light")
        found = float(mask.mean())
        mask = mask if found <= MOST else np.zeros_like(mask)
        repair = Repair(mask, model, found)
    return replace(photo, pixels=inpaint(photo.pixels, mask)), repair


def damage_in(pixels: np.ndarray, model: DamageModel, *, thin: bool) -> np.ndarray:
    """(H, W, 3) uint8 or uint16 -> (H, W) bool, the damage; with `thin` only scratches, specks and hairs."""
    height, width = pixels.shape[:2]
    if is_thin(height, width):
        return np.zeros((height, width), bool)
    small = reduced(pixels, math.sqrt(PIXELS / (height * width)))

    def probability(sources: np.ndarray) -> np.ndarray:
        tall, wide = sources.shape[1:3]
        margin = [(0, -length % MULTIPLE) for length in (tall, wide)]
        batch = np.pad(sources.transpose(0, 3, 1, 2), [(0, 0), (0, 0), *margin], mode="edge")
        # What it takes for damage by mistake, it rarely does in the mirror image as well.
        run = model.session.run
        seen, mirrored = (run(np.ascontiguousarray(x)) for x in (batch, batch[..., ::-1]))
        return (seen + mirrored[..., ::-1])[:, :, :tall, :wide].transpose(0, 2, 3, 1) / 2

    found = tiles.run(small, probability, scale=1, core=TILE, halo=HALO)
    likely = found[..., 0].astype(np.float32) / 255
    _, parts = cv2.connectedComponents((likely >= POSSIBLE).astype(np.uint8))
    marked = np.isin(parts, np.unique(parts[likely >= LIKELY])).astype(np.uint8)
    if thin:
        wide = cv2.morphologyEx(marked, cv2.MORPH_OPEN, disc(max(3, round(THIN * max(small.shape[:2]) / 2))))
        sizes = [np.bincount(parts.ravel(), weights=pixels.ravel()) for pixels in (marked, wide)]
        marked[(sizes[1] > WIDE * sizes[0])[parts]] = 0
    marked = cv2.dilate(marked, disc(1)) * np.uint8(255)  # the soft edges of a mark are damage too
    return cv2.resize(marked, (width, height), interpolation=cv2.INTER_LINEAR) > 127


def drawn(text: str, limits: DecodeLimits) -> np.ndarray:
    """The mask of `RestoreOptions.mask` in its own size: (h, w) uint8, 255 where it is white. Raises
    UsageError where it is no picture, or a photograph, or marks nearly everything."""
    try:
        picture = decode(mask_bytes(text), limits=limits)
    except PhotoError as error:
        raise UsageError(f"the mask cannot be read: {error}") from error
    pixels = eight_bits(picture.pixels)
    there = True if picture.alpha is None else eight_bits(picture.alpha) > 127
    white = (pixels.min(axis=2) > 127) & there
    neither = (((pixels.max(axis=2) >= DARK) & (pixels.min(axis=2) <= LIGHT)) & there).mean()
    if neither > SOFT:
        raise UsageError(
            f"the mask is neither black nor white in {neither:.0%} of it: paint damage white on black"
        )
    if white.mean() > 1 - MOST:
        raise UsageError(
            f"the mask marks {white.mean():.0%} of the photo: damage is white, and what is intact black"
        )
    return np.where(white, np.uint8(255), np.uint8(0))


def mask_by_hand(text: str, size: tuple[int, int], limits: DecodeLimits) -> np.ndarray:
    """`drawn` for a photo of `size` (width, height), (H, W) bool."""
    white = drawn(text, limits)
    (tall, wide), (width, height) = white.shape, size
    if abs(wide * height - tall * width) > max(width, height, ASPECT * wide * height):
        raise UsageError(
            f"the mask of {wide} x {tall} pixels has another shape than the photo of {width} x {height}: "
            "paint white on black, over the photo as it is turned, straightened and cropped"
        )
    way = cv2.INTER_AREA if wide > width else cv2.INTER_LINEAR
    return cv2.resize(white, size, interpolation=way) > 127
