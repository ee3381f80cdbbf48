"""Distillation of the scene model: a small network learns what a large published one does to any picture.

The teacher is Real-ESRGAN's general network and its twin that keeps noise, mixed by weight (Wang et al.,
*Deep Network Interpolation*, CVPR 2019); the mixture is an input of the student, its strength. Where the
truth knows better, it teaches: pictures without damage, and what lay under marks.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.errors import UsageError
from revisage.lab.data.loader import Sample
from revisage.lab.data.pictures import Pictures, photographs
from revisage.lab.data.pool import Pool
from revisage.lab.degrade import RECIPES, apply, tone, zoomed
from revisage.lab.losses.pixel import l1
from revisage.lab.metrics.lpips import open_lpips
from revisage.lab.metrics.psnr import psnr
from revisage.lab.networks.compact import Compact, with_weights
from revisage.lab.networks.scene import SCENE, STRIDE, Scene, SceneConfig, with_strength
from revisage.lab.train.distributed import device_of
from revisage.lab.train.pictures import grid, to_unit
from revisage.lab.train.precision import autocast
from revisage.lab.train.scenes import ScenePictures, patches, piece, ramp, shrink, under_marks, vary
from revisage.lab.train.settings import check
from revisage.lab.train.task import Batch, Phase
from revisage.zoo import checkpoints

DEFAULT_STRENGTH = 0.5
KEEPS = 0.25  # strengths under it aim at what the teacher leaves, not at the truth
PATTERNED = 0.5  # strengths up to it keep a pattern that belongs to the photo
COARSE = 8  # side in pixels of the squares whose mean is held to the truth's
ROUNDING = 0.51 / 255  # by so much a photo that is to stay as it is may differ from what it aims at
VALIDATION = ("clean", "camera", "old-photo")


@dataclass(frozen=True)
class StudentWeights:
    """Loss weights of the distillation, beside L1 at both scales."""

    perceptual: float = 0.06
    """LPIPS over SqueezeNet."""
    coarse: float = 0.5
    """L1 distance to the truth of the means of squares of 8 pixels."""
    harmless: float = 3.0
    """Further L1 distance at x1 to a photo that is to stay as it is."""


@dataclass(frozen=True)
class StudentSettings:
    """Data and losses of the distillation. Raises UsageError when a value cannot be used."""

    data: Path
    """Folder of photographs."""
    more: Path | None = None
    """A second folder of photographs; None goes without."""
    faces: Path | None = None
    """Aligned faces, so that people are not foreign to it; None goes without."""
    untouched: Path | None = None
    """Pictures as they are found, damage and all: only the teacher knows better; None goes without."""
    teacher: Path | None = None
    """The published network that cleans, .pth or .param."""
    twin: Path | None = None
    """Its twin that keeps noise."""
    lpips_weights: Path | None = None
    """SqueezeNet for the perceptual loss."""
    network: SceneConfig = SCENE
    """Sizes."""
    faces_share: float = 0.15
    """Share of the photographs that are faces."""
    clean: float = 0.14
    """Share of the samples that are clean photographs: half of them reduced by 2, half with the grain of
    their own size, which the teacher enlarges."""
    pattern: float = 0.1
    """Share of the samples that are clean photographs with a pattern."""
    kept: float = 0.08
    """Share of the samples that are pictures of `untouched`."""
    aged: float = 0.25
    """Share of the samples that are degraded by the recipe "aged", for which the truth is the better teacher;
    the rest is degraded by the recipe "taught"."""
    ramps: float = 0.03
    """Share of the samples that are smooth gradients of more than 8 bits, where the least pattern shows."""
    patch: int = 64
    """Side of the network's input in pixels."""
    around: int = 80
    """Side of the piece that is degraded and shown to the teacher, from which patches are cut."""
    zoom: float = 5.0
    """The piece is taken to come from a photo up to so many times as wide, with marks of its size."""
    pool: int = 8000
    """Samples of a block that share pieces."""
    reuse: int = 8
    """Uses of each piece."""
    loss_weights: StudentWeights = field(default_factory=StudentWeights)
    """Of the losses."""
    validation: int = 12
    """Held-out photos used."""
    seed: int = 0
    """Of every draw."""

    def __post_init__(self) -> None:
        shares = ("faces_share", "clean", "pattern", "kept", "aged", "ramps")
        check(self, shares=shares, counts=("validation",), unit=STRIDE)
        if self.clean + self.pattern + self.kept + self.aged > 1:
            raise UsageError("clean, pattern, kept and aged are shares: together they must not exceed 1")


def _published(path: Path) -> Compact:
    state = {name: torch.from_numpy(values.copy()) for name, values in checkpoints.read(path).items()}
    try:
        return with_weights(state)
    except ValueError:
        wish = "SRVGGNetCompact networks, such as realesr-general-x4v3"
        raise UsageError(f"{path}: teacher and twin must be {wish}") from None


class Teacher:
    """Two compact networks whose weights are mixed by the strength asked for."""

    def __init__(self, teacher: Path, twin: Path) -> None:
        self.network, other = (_published(path) for path in (teacher, twin))
        if self.network.config != other.config:
            raise UsageError("teacher and twin must be of the same size to be mixed")
        self.scale = self.network.config.scale
        self.clean, self.keep = dict(self.network.named_parameters()), dict(other.named_parameters())

    @torch.no_grad()
    def __call__(self, low: np.ndarray, strength: float) -> np.ndarray:
        """(H, W, 3) float32 in [0, 1] -> (2 H, 2 W, 3), its picture reduced by area averaging."""
        mixed = {name: self.keep[name].lerp(value, strength) for name, value in self.clean.items()}
        x = torch.from_numpy(low.transpose(2, 0, 1))[None].contiguous(memory_format=torch.channels_last)
        with autocast("auto", torch.device("cpu")):
            large = torch.func.functional_call(self.network, mixed, (x,))
        doubled = F.avg_pool2d(large.float().clamp(0, 1), self.scale // 2)
        return doubled[0].permute(1, 2, 0).numpy()


class StudentTask:
    """See `revisage.lab.train.task.Task`; judged by `closeness`, minus its losses on held-out photos."""

    averaged = "generator"
    best = "closeness"

    def __init__(self, settings: StudentSettings) -> None:
        if not (settings.teacher and settings.twin and settings.lpips_weights):
            raise UsageError(
                "distillation needs teacher=FILE twin=FILE, the published realesr-general-x4v3 and "
                "realesr-general-wdn-x4v3 (.pth or .param), and lpips_weights=squeezenet: set all three"
            )
        self.settings = settings
        self.scenes = ScenePictures(settings, settings.data, settings.more)
        self.untouched = Pictures(photographs(settings.untouched))
        self.teacher = Teacher(settings.teacher, settings.twin)
        self.lpips = open_lpips("squeeze", settings.lpips_weights)
        self.pool = Pool(self._pair, size=settings.pool, reuse=settings.reuse, seed=settings.seed)
        torch.manual_seed(settings.seed)
        self.networks: dict[str, nn.Module] = {"generator": Scene(settings.network)}

    def phases(self) -> list[Phase]:
        return [Phase("generator", "generator", self._generator)]

    def sample(self, index: int) -> Sample:
        """ "low" (3, patch, patch), "target" and "truth" at twice its side, in [0, 1]; "strength" ()."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, index, 1))
        pair = self.pool[index]
        shown = {key: pair[key] for key in ("low", "target", "truth")}
        parts = patches(rng, shown, settings.patch, settings.around)
        tensors = {k: np.ascontiguousarray(p.transpose(2, 0, 1), np.float32) for k, p in parts.items()}
        return {"strength": pair["strength"], **tensors}

    def _pair(self, number: int) -> Sample:
        """Piece `number`: what the student sees, what it aims at and the truth, (H, W, 3) in [0, 1]."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, number))
        strength = DEFAULT_STRENGTH if rng.random() < 0.4 else float(rng.random())
        kind, around = rng.random(), settings.around
        if rng.random() < settings.ramps:
            truth = ramp(rng, 2 * around)
            return _sample(shrink(truth, 2), truth, truth, strength)
        if self.untouched and kind < settings.kept:
            picture = self.untouched[int(rng.integers(len(self.untouched)))]
            low = _rounded(to_unit(piece(rng, picture, around)))
            target = self.teacher(low, strength)
            return _sample(low, target, target, strength)
        truth = vary(rng, to_unit(piece(rng, self.scenes.draw(number, rng), 2 * around)))
        if kind < settings.kept + settings.clean:
            low = _rounded(shrink(truth, 2))
            if kind < settings.kept + settings.clean / 2:
                low = _rounded(truth[:around, :around])
                truth = _faithful(self.teacher(low, strength), low)
            return _sample(low, truth, truth, strength)
        if kind < settings.kept + settings.clean + settings.pattern:
            drawn = zoomed(RECIPES["pattern"].sample(rng), float(rng.uniform(1, settings.zoom)))
            truth = apply(truth, drawn)
            low = _rounded(shrink(truth, 2))
            target = truth if strength <= PATTERNED else self.teacher(low, strength)
            return _sample(low, target, target, strength)
        aged = kind < settings.kept + settings.clean + settings.pattern + settings.aged
        recipe = RECIPES["aged" if aged else "taught"]
        chain = zoomed(recipe.sample(rng), float(rng.uniform(1, settings.zoom)))
        low, truth = _rounded(apply(shrink(truth, 2), chain)), apply(truth, tone(chain))
        if aged and strength >= KEEPS:
            return _sample(low, truth, truth, strength)
        target = self.teacher(low, strength)
        marks = under_marks(*(torch.from_numpy(p.transpose(2, 0, 1))[None] for p in (low, truth)))
        target = np.where(marks[0, 0, :, :, None].numpy(), truth, target)
        return _sample(low, target, truth if strength >= KEEPS else target, strength)

    def _generator(self, batch: Batch) -> dict[str, Tensor]:
        fakes = self.networks["generator"](with_strength(batch["low"], batch["strength"]))
        losses: dict[str, Tensor] = {}
        for scale, fake in zip((1, 2), fakes, strict=True):
            target, truth = (F.avg_pool2d(batch[key], 2 // scale) for key in ("target", "truth"))
            losses |= {f"{key}_x{scale}": loss for key, loss in self._losses(fake, target, truth).items()}
            if scale == 1:
                stays = (target - batch["low"]).abs().amax((1, 2, 3), keepdim=True) <= ROUNDING
                losses["harmless"] = self.settings.loss_weights.harmless * l1(fake * stays, target * stays)
        return losses

    def _losses(self, fake: Tensor, target: Tensor, truth: Tensor) -> dict[str, Tensor]:
        weights = self.settings.loss_weights
        losses = {"l1": l1(fake, target)}
        if weights.perceptual:
            losses["perceptual"] = weights.perceptual * self.lpips(fake, truth).mean()
        if weights.coarse:
            means = (F.avg_pool2d(picture.float(), COARSE) for picture in (fake, truth))
            losses["coarse"] = weights.coarse * l1(*means)
        return losses

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """closeness; psnr and lpips of every kind at x2 beside bicubic's; the least psnr of clean at x1."""
        figures = defaultdict[str, list[float]](list)
        device = device_of(network)
        strength = torch.full((1,), DEFAULT_STRENGTH, device=device)
        for name, low, clean in self.scenes.pairs(VALIDATION, 2, device):
            same, doubled = network(with_strength(low, strength))
            bicubic = F.interpolate(low, scale_factor=2, mode="bicubic").clamp(0, 1)
            for key, picture in ((name, doubled.clamp(0, 1)), (f"bicubic_{name}", bicubic)):
                figures[f"{key}_psnr"].append(float(psnr(picture, clean)))
                figures[f"{key}_lpips"].append(float(self.lpips(picture, clean)))
            if name == "clean":
                figures["same_psnr"].append(float(psnr(same, low)))
        means = {key: float(np.mean(values)) for key, values in figures.items()}
        means["same_worst"] = min(figures["same_psnr"])
        gains = [means[f"bicubic_{name}_lpips"] - means[f"{name}_lpips"] for name in VALIDATION[1:]]
        return {"closeness": float(np.mean(gains)), **means}

    @torch.no_grad()
    def pictures(self, network: nn.Module) -> np.ndarray:
        """Held-out photos under three kinds of damage: input, output, the teacher's picture and the truth."""
        rows, device = [], device_of(network)
        for shown, truth in self.scenes.examples(VALIDATION, 2):
            low, clean = shown[:, :160, :160], truth[:, :320, :320]
            x = with_strength(torch.from_numpy(low[None]), torch.full((1,), DEFAULT_STRENGTH)).to(device)
            fake = network(x)[1][0].cpu().numpy()
            taught = self.teacher(low.transpose(1, 2, 0), DEFAULT_STRENGTH).transpose(2, 0, 1)
            big = low.repeat(2, 1).repeat(2, 2)
            rows.append([p * 2 - 1 for p in (big, fake, taught, clean)])
        return grid(rows, columns=1)


def _sample(low: np.ndarray, target: np.ndarray, truth: np.ndarray, strength: float) -> Sample:
    return {"low": low, "target": target, "truth": truth, "strength": np.array(strength, np.float32)}


def _faithful(doubled: np.ndarray, low: np.ndarray) -> np.ndarray:
    """(2 H, 2 W, 3) moved so that the mean of each square of 2 x 2 is the pixel of `low` it comes from."""
    return doubled + (low - shrink(doubled, 2)).repeat(2, axis=0).repeat(2, axis=1)


def _rounded(picture: np.ndarray) -> np.ndarray:
    """To 8 bits, as a file would hold it."""
    return (np.rint(picture * 255) / np.float32(255)).astype(np.float32)
