"""Training of the damage model: which pixels lie under marks that were drawn on photos without any. Drawn as
well is what belongs to a photo (writing, wires, hair, stars, borders, a print's screen): no damage."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.errors import UsageError
from revisage.lab.data.detector_scenes.clutter import emblems, lettering, shapes
from revisage.lab.data.loader import Sample
from revisage.lab.data.pictures import Pictures, photographs
from revisage.lab.data.pool import Pool
from revisage.lab.degrade import RECIPES, Chain, apply, old_photo, zoomed
from revisage.lab.degrade.damage import points, wander
from revisage.lab.metrics.weights import fill, read_state
from revisage.lab.networks.damage import STRIDE, Damage, DamageConfig
from revisage.lab.train.distributed import device_of
from revisage.lab.train.pictures import grid, to_unit, unit_tensor
from revisage.lab.train.scenes import MARKED, ScenePictures, patches, piece, ramp, vary
from revisage.lab.train.settings import check
from revisage.lab.train.task import Batch, Phase

DEFAULT = DamageConfig()
WIDTHS = (350, 1600)
"""Pixels along the photo that a piece is taken from: its marks are as large as on a photo of that size."""
AROUND_MARKS = 9  # pixels; how far from a drawn mark an untouched photo is known to be no mark
UNKNOWN = 0.15  # weight of what lies further away: old photos have some damage of their own
SEEN = 20 / 255  # what has not changed by so much after ageing is hardly seen, and is no damage
WIDE = 15  # pixels; where a mark is so wide,
BROAD = 0.8  # its weight is this: a torn corner has as many pixels as a thousand specks
SMOOTH = 20  # pixels that are added to both sides of the Dice loss
# Rarely of low resolution, which takes what is thin.
_PRINT = old_photo.Chances(
    gray=0.45, toned=0.25, halftone=0.07, texture=0.2, fading=0.4, stains=0.1, low_resolution=0.15, jpeg=0.6,
    strength=0.5,
)  # fmt: skip
_SIDE = 256  # of a held-out piece


@dataclass(frozen=True)
class DamageSettings:
    """Data of the damage model's training.

    Attributes:
        data: folder of photographs.
        more: a second folder of photographs; None goes without.
        faces: aligned faces; None goes without.
        untouched: old photos as they are found, with marks of their own that nobody has drawn round; None
            goes without.
        squeezenet: torchvision's weights for the network's trunk.
        fixed_trunk: whether they stay as they are.
        network: sizes.
        faces_share, untouched_share: shares of the samples from these folders.
        unmarked: share of the samples without marks.
        belonging: share of the samples with writing, wires and the like.
        plain: share of the photographs that are not printed first.
        patch: side of the network's input in pixels.
        around: side of the piece that is drawn on, from which patches are cut.
        pool, reuse: a block of `pool` samples shares pieces, each used `reuse` times.
        dice: weight of the soft Dice loss beside cross entropy.
        validation: held-out photos used.
        seed: of every draw.

    Raises UsageError when a value cannot be used.
    """

    data: Path
    more: Path | None = None
    faces: Path | None = None
    untouched: Path | None = None
    squeezenet: Path | None = None
    fixed_trunk: bool = True
    network: DamageConfig = DEFAULT
    faces_share: float = 0.25
    untouched_share: float = 0.15
    unmarked: float = 0.25
    belonging: float = 0.4
    plain: float = 0.35
    patch: int = 160
    around: int = 224
    pool: int = 4000
    reuse: int = 8
    dice: float = 0.5
    validation: int = 48
    seed: int = 0

    def __post_init__(self) -> None:
        shares = ("faces_share", "untouched_share", "unmarked", "belonging", "plain")
        check(self, shares=shares, counts=("validation",), unit=STRIDE)


class DamageTask:
    """See `revisage.lab.train.task.Task`; judged by `iou`, the overlap with held-out drawn marks."""

    averaged = "damage"
    best = "iou"

    def __init__(self, settings: DamageSettings) -> None:
        cv2.setNumThreads(1)  # the loader's threads are the parallelism
        self.settings = settings
        self.scenes = ScenePictures(settings, settings.data, settings.more)
        self.held = self.scenes.held
        self.untouched = Pictures(photographs(settings.untouched))
        self.pool = Pool(self._piece, size=settings.pool, reuse=settings.reuse, seed=settings.seed)
        torch.manual_seed(settings.seed)
        network = Damage(settings.network)
        if settings.network.trunk:
            if settings.squeezenet is None:
                raise UsageError("the trunk needs squeezenet=FILE, torchvision's squeezenet1_1")
            state = read_state(settings.squeezenet)
            ours = {name: state[name] for name in network.trunk.state_dict() if name in state}
            fill(network.trunk, ours, settings.squeezenet)
        self.networks: dict[str, nn.Module] = {"damage": network}

    def phases(self) -> list[Phase]:
        fixed = ("trunk.",) if self.settings.fixed_trunk else ()
        return [Phase("damage", "damage", self._losses, fixed=fixed)]

    def sample(self, index: int) -> Sample:
        """ "photo" (3, S, S) in [0, 1], "mask" (1, S, S), 1 under marks, "weight" (1, S, S); S: `patch`."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, index, 1))
        parts = patches(rng, self.pool[index], settings.patch, settings.around)
        return {key: np.ascontiguousarray(p.transpose(2, 0, 1), np.float32) for key, p in parts.items()}

    def _piece(self, number: int) -> Sample:
        """Piece `number`, (around, around, C): the photo, its mask and the weights of its pixels."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, number))
        old = bool(self.untouched) and rng.random() < settings.untouched_share
        if old:
            picture = self.untouched[int(rng.integers(len(self.untouched)))]
        else:
            picture = self.scenes.draw(number, rng)
        picture = piece(rng, picture, settings.around)
        if rng.random() < settings.belonging:
            picture = with_belongings(rng, picture)
        marks = RECIPES["marks"].sample(rng) if rng.random() >= settings.unmarked else None
        printed = not old and rng.random() >= settings.plain
        photo, mask = marked_photo(rng, vary(rng, to_unit(picture)), marks=marks, printed=printed)
        wide = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((WIDE, WIDE), np.uint8))
        weight = np.where(wide > 0, np.float32(BROAD), np.float32(1))
        if old:
            near = cv2.dilate(mask, np.ones((2 * AROUND_MARKS + 1,) * 2, np.uint8))
            weight[near == 0] = UNKNOWN
        return {"photo": photo, "mask": mask[..., None], "weight": weight[..., None]}

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        network = self.networks["damage"]
        assert isinstance(network, Damage)
        logits, mask, weight = network.logits(batch["photo"]).float(), batch["mask"], batch["weight"]
        entropy = F.binary_cross_entropy_with_logits(logits, mask, weight)
        # Milletari et al., V-Net, 2016, of each picture by itself: few thin marks count as much as many wide
        # ones, and nothing is to be found in a picture without marks.
        found, drawn = torch.sigmoid(logits) * weight, mask * weight
        overlap, both = ((v.sum(dim=(1, 2, 3)) + SMOOTH) for v in (2 * found * mask, found + drawn))
        return {"entropy": entropy, "dice": self.settings.dice * (1 - overlap / both).mean()}

    def _held_out(self, i: int, *, marks: bool) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(i)
        clean = to_unit(piece(rng, self.held[i], _SIDE))
        return marked_photo(rng, clean, marks=RECIPES["marks"].sample(rng) if marks else None)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """iou with drawn marks, precision and recall, over all pixels; share marked of photos without."""
        pairs = [self._held_out(i, marks=True) for i in range(len(self.held))]
        found = np.stack([predict(network, photo) for photo, _ in pairs]) > 0.5
        truth = np.stack([mask for _, mask in pairs]) > 0.5
        both = float((found & truth).sum())
        clean = [predict(network, self._held_out(i, marks=False)[0]) > 0.5 for i in range(len(self.held))]
        return {
            "iou": both / max(float((found | truth).sum()), 1),
            "precision": both / max(float(found.sum()), 1),
            "recall": both / max(float(truth.sum()), 1),
            "clean": float(np.mean(clean)),
        }

    def pictures(self, network: nn.Module) -> np.ndarray:
        """Held-out photos with marks: photo, probability, truth."""
        rows = []
        for i in range(min(len(self.held), 12)):
            photo, mask = self._held_out(i, marks=True)
            shown = [photo, *(np.repeat(m[..., None], 3, 2) for m in (predict(network, photo), mask))]
            rows.append([p.transpose(2, 0, 1) * 2 - 1 for p in shown])
        return grid(rows, columns=2)


@torch.no_grad()
def predict(network: nn.Module, photo: np.ndarray) -> np.ndarray:
    """(H, W, 3) in [0, 1], sides multiples of `STRIDE` -> (H, W) float32 probability of damage."""
    x = torch.from_numpy(unit_tensor(photo))[None].to(device_of(network))
    return network(x)[0, 0].float().cpu().numpy()


def marked_photo(
    rng: np.random.Generator, clean: np.ndarray, *, marks: Chain | None, printed: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Print a clean piece (without `printed` it is one already), mark it and let it age: (H, W, 3) in [0, 1]
    -> the photo and its (H, W) mask, 1 where marks changed the print by more than `MARKED` and `SEEN` of it
    is left."""
    low, high = np.log(np.maximum(WIDTHS, clean.shape[0]))
    factor = float(np.exp(rng.uniform(low, high))) / clean.shape[0]
    steps = old_photo.printed(rng, _PRINT) if printed else []
    clean = apply(clean, zoomed(Chain(tuple(steps)), factor))
    photo = clean
    changed = np.zeros(clean.shape[:2], bool)
    if marks is not None:
        photo = apply(clean, zoomed(marks, factor))
        changed = _differs(photo, clean, MARKED)
    if printed or rng.random() < 0.5:
        later = zoomed(Chain((*old_photo.aged(rng, _PRINT), *old_photo.scanned(rng, _PRINT))), factor)
        photo = apply(photo, later)
        if marks is not None:
            changed &= _differs(photo, apply(clean, later), SEEN)
    mask = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    return photo, mask.astype(np.float32)


def _differs(a: np.ndarray, b: np.ndarray, limit: float) -> np.ndarray:
    return np.abs(a - b).max(axis=2) > limit


def with_belongings(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8 with something drawn that belongs to the photo and looks like marks."""
    draws = tuple(BELONGINGS)
    draw = draws[int(rng.choice(len(draws), p=tuple(BELONGINGS.values())))]
    return draw(np.ascontiguousarray(picture), rng)


def wires(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Wires, ropes, rails, twigs and bars: lines of one tone from side to side."""
    side, made = picture.shape[0], picture.copy()
    heading, tone = float(rng.uniform(0, np.pi)), int(rng.choice([rng.integers(0, 90), rng.integers(0, 256)]))
    bend, thick = float(rng.choice([0.02, 0.4])), int(rng.integers(1, 5))
    for _ in range(int(rng.integers(1, 7))):
        start = rng.uniform(0, side, 2) - side * np.array([np.cos(heading), np.sin(heading)])
        line = wander(rng, start, heading + rng.normal(0, 0.05), 2.0 * side, bend=bend, steps=24)
        cv2.polylines(made, [points(line)], False, (tone,) * 3, thick, cv2.LINE_AA, 4)
    return made


def twigs(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bare branches, before a light sky or light themselves: each splits into thinner ones."""
    side, made = picture.shape[0], picture.copy()
    tone = int(rng.choice([rng.integers(0, 80), rng.integers(180, 256)], p=[0.75, 0.25]))
    ends = []
    for _ in range(int(rng.integers(1, 5))):
        heading = rng.uniform(0, 2 * np.pi)
        start = side * (0.5 - 0.6 * np.array([np.cos(heading), np.sin(heading)])) + rng.normal(0, 40, 2)
        ends.append((start, heading + rng.normal(0, 0.3), side * rng.uniform(0.2, 0.6), rng.uniform(1, 6)))
    for _ in range(80):  # branches at most
        if not ends:
            break
        start, heading, length, thick = ends.pop(0)
        line = wander(rng, start, heading, length, bend=0.5, steps=10)
        shade = (int(np.clip(tone + rng.normal(0, 12), 0, 255)),) * 3
        cv2.polylines(made, [points(line)], False, shade, max(1, round(thick)), cv2.LINE_AA, 4)
        if length > 10:
            for place in rng.integers(3, 11, int(rng.integers(2, 4))):
                turn = heading + rng.choice([-1, 1]) * rng.uniform(0.3, 0.9)
                ends.append((line[place], turn, length * rng.uniform(0.4, 0.8), thick * 0.6))
    return made


def hatching(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Strokes of a pen or burin side by side, at times crossed, the deeper the darker the picture is."""
    side = picture.shape[0]
    gray = cv2.GaussianBlur(picture, (0, 0), 2).mean(axis=2, dtype=np.float32) / 255
    paper, ink = rng.uniform(0.8, 1.0), rng.uniform(0.0, 0.3)
    ground = paper * (gray if rng.random() < 0.5 else np.ones_like(gray))
    y, x = np.mgrid[:side, :side].astype(np.float32)
    angle, pitch = rng.uniform(0, np.pi), rng.uniform(3, 9)
    strokes = np.zeros_like(gray)
    for turn in (0.0, rng.uniform(0.6, 1.6))[: int(rng.integers(1, 3))]:
        across = x * np.cos(angle + turn) + y * np.sin(angle + turn)
        bent = 2 * cv2.GaussianBlur(rng.normal(0, 15, gray.shape).astype(np.float32), (0, 0), 12)
        wave = 0.5 + 0.5 * np.cos((across + bent) * np.float32(2 * np.pi / pitch))
        strokes = np.maximum(strokes, np.clip((wave - gray) * 4, 0, 1))
    made = ground + strokes * (ink - ground)
    return np.repeat((255 * np.clip(made, 0, 1)).astype(np.uint8)[..., None], 3, axis=2)


def glints(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light on metal, glass, water and wet eyes: where the picture is locally lightest it is burnt out."""
    soft = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.5, 1.5))).astype(np.float32)
    detail = (soft - cv2.GaussianBlur(soft, (0, 0), float(rng.uniform(3, 12)))).max(axis=2)
    limit = float(np.percentile(detail, rng.uniform(96, 99.7)))
    burnt = np.clip((detail - limit) / max(float(detail.max()) - limit, 8) * rng.uniform(2, 6), 0, 1)
    made = picture + burnt[..., None] * (rng.uniform(230, 255) - picture)
    return np.rint(made).clip(0, 255).astype(np.uint8)


def tufts(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hair, whiskers, grass, wrinkles: many fine strokes along one another, in tones of the picture."""
    side, made = picture.shape[0], picture.copy()
    for _ in range(int(rng.integers(1, 5))):
        root, heading = rng.uniform(0, side, 2), float(rng.uniform(0, 2 * np.pi))
        spread, length = rng.uniform(3, 40), rng.uniform(15, 90)
        tone = int(picture[int(root[1]), int(root[0])].mean()) + int(rng.normal(0, 70))
        for _ in range(int(rng.integers(8, 60))):
            start, turn = root + rng.normal(0, spread, 2), heading + rng.normal(0, 0.15)
            line = wander(rng, start, turn, length * rng.uniform(0.6, 1), bend=0.4, steps=8)
            shade = (int(np.clip(tone + rng.normal(0, 20), 0, 255)),) * 3
            cv2.polylines(made, [points(line)], False, shade, 1, cv2.LINE_AA, 4)
    return made


def border(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The paper around a print: plain, with lines round the picture, with a caption."""
    side = picture.shape[0]
    made = np.full_like(picture, int(rng.choice([rng.integers(190, 256), rng.integers(0, 30)])))
    if rng.random() < 0.5:
        made = lettering(made, rng)
    edges = [int(e) for e in rng.uniform(-0.2, 0.3, 4) * side]
    top, left, bottom, right = (max(e, 0) for e in edges)
    inner = np.s_[top : side - bottom, left : side - right]
    made[inner] = picture[inner]
    for _ in range(int(rng.integers(0, 3))):
        gap = int(rng.choice([rng.integers(1, 12), rng.integers(1, 50)]))
        corner, other = (left - gap, top - gap), (side - right + gap, side - bottom + gap)
        tone = int(rng.integers(0, 256))
        cv2.rectangle(made, corner, other, (tone,) * 3, int(rng.integers(1, 6)), cv2.LINE_AA)
    return made


def stars(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A night sky: round points of light, most of them faint, on a dark and smooth ground."""
    side, lights = picture.shape[0], np.zeros(picture.shape[:2], np.float32)
    for _ in range(int(rng.integers(10, 150))):
        x, y = rng.integers(0, side, 2)
        lights[y, x] = rng.exponential(0.4)
    soft = float(rng.uniform(0.5, 1.2))
    lights = cv2.GaussianBlur(lights, (0, 0), soft) * np.float32(2 * np.pi * soft**2)
    sky = 0.3 * ramp(rng, side) + np.minimum(lights, 1)[..., None]
    return (255 * np.clip(sky, 0, 1)).astype(np.uint8)


BELONGINGS = {
    lettering: 0.2, emblems: 0.08, shapes: 0.1, wires: 0.12, twigs: 0.12, tufts: 0.12, hatching: 0.06,
    glints: 0.08, border: 0.1, stars: 0.02,
}  # fmt: skip
"""What is drawn as a part of the photo, and its share: (S, S, 3) uint8 and a generator -> the same shape."""
