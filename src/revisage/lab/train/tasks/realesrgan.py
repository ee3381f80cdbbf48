"""Training of Real-ESRGAN: the network for whole photos, for PSNR (stage 1) or adversarially (stage 2)."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.errors import UsageError
from revisage.lab.architectures import build
from revisage.lab.data.loader import Sample
from revisage.lab.data.pictures import sharpen
from revisage.lab.data.pool import Pool
from revisage.lab.degrade import RECIPES, Chain, apply, tone, zoomed
from revisage.lab.degrade.esrgan import SecondOrder
from revisage.lab.losses.adversarial import generator_logistic
from revisage.lab.losses.perceptual import perceptual
from revisage.lab.losses.pixel import l1
from revisage.lab.metrics.psnr import psnr
from revisage.lab.metrics.ssim import ssim
from revisage.lab.metrics.weights import read_state
from revisage.lab.networks.compact import CompactConfig
from revisage.lab.networks.discriminators import UNetDiscriminator
from revisage.lab.networks.imagenet import VGG19Features
from revisage.lab.networks.rrdb import RRDBConfig
from revisage.lab.train.critics import logistic
from revisage.lab.train.distributed import device_of
from revisage.lab.train.pictures import grid, to_unit, unit_tensor
from revisage.lab.train.scenes import ScenePictures, patches, piece, shrink, vary
from revisage.lab.train.settings import check
from revisage.lab.train.task import Batch, Phase

VALIDATION = ("clean", "first-order", "old-photo")
RRDB_X2 = RRDBConfig(scale=2)


@dataclass(frozen=True)
class SceneWeights:
    """Loss weights of the scene model."""

    adversarial: float = 0.0
    """The discriminator's. 0 is stage 1, training for PSNR; above it is stage 2."""
    perceptual: float = 1.0
    """Features of VGG-19, used in stage 2; needs `vgg_weights`."""


@dataclass(frozen=True)
class SceneSettings:
    """Data and losses of the scene model. Raises UsageError when a value cannot be used."""

    data: Path
    """Folder of photographs."""
    faces: Path | None = None
    """A second folder (aligned faces), so that people are not foreign to it; None goes without."""
    faces_share: float = 0.2
    """Share of the samples from `faces`."""
    network: CompactConfig | RRDBConfig = RRDB_X2
    """Sizes."""
    recipe: str = "second-order"
    """Degradation. "second-order" is applied to the full-size photo and ends at the network's input, as
    published; the others are applied to the shrunken photo."""
    patch: int = 128
    """Side of the network's input in pixels."""
    around: int = 200
    """Side of the piece that is degraded, from which the patch is cut: a scratch or a crease can cross it."""
    zoom: float = 5.0
    """The piece is taken to come from a photo up to so many times as wide, with marks of its size."""
    pool: int = 240
    """Samples of a block that share degraded pieces."""
    reuse: int = 1
    """Uses of each degraded piece."""
    sharpened: bool = True
    """Aim at the sharpened truth, as published; the discriminator always sees the plain one."""
    loss_weights: SceneWeights = field(default_factory=SceneWeights)
    """Of the losses."""
    vgg_weights: Path | None = None
    """VGG-19 checkpoint, as torchvision's; needed in stage 2 unless `perceptual` is 0."""
    discriminator: int = 64
    """Features of the discriminator at full size."""
    validation: int = 12
    """Held-out photos used."""
    seed: int = 0
    """Of every draw."""

    def __post_init__(self) -> None:
        check(self, shares=("faces_share",), counts=("validation", "discriminator"), unit=4)


class SceneTask:
    """See `revisage.lab.train.task.Task`. Stage 1 is judged by the PSNR, stage 2 by `closeness`: minus its L1
    and perceptual losses, held out. Raises UsageError when stage 2 lacks the weights for the latter."""

    averaged = "generator"

    def __init__(self, settings: SceneSettings) -> None:
        weights = settings.loss_weights
        if weights.adversarial and weights.perceptual and settings.vgg_weights is None:
            raise UsageError(
                "adversarial training needs the perceptual loss: set vgg_weights=FILE, torchvision's vgg19 "
                "weights, or perceptual=0 to go without on purpose"
            )
        self.settings = settings
        self.best = "closeness" if weights.adversarial else "psnr"
        self.scenes = ScenePictures(settings, settings.data)
        self.pool = Pool(self._pair, size=settings.pool, reuse=settings.reuse, seed=settings.seed)
        torch.manual_seed(settings.seed)
        self.networks: dict[str, nn.Module] = {"generator": build(settings.network)}
        self.vgg: VGG19Features | None = None
        if weights.adversarial:
            self.networks["discriminator"] = UNetDiscriminator(settings.discriminator)
            if weights.perceptual and settings.vgg_weights:
                self.vgg = VGG19Features(read_state(settings.vgg_weights))

    def phases(self) -> list[Phase]:
        phases = [Phase("generator", "generator", self._generator)]
        if "discriminator" in self.networks:
            critic = self.networks["discriminator"]
            phases.append(Phase("discriminator", "discriminator", partial(logistic, critic)))
        return phases

    def sample(self, index: int) -> Sample:
        """ "low" (3, patch, patch), "clean" at `scale` times its side, and "sharp" where it is aimed at."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, index, 1))
        parts = patches(rng, self.pool[index], settings.patch, settings.around)
        return {key: unit_tensor(part) for key, part in parts.items()}

    def _pair(self, number: int) -> Sample:
        """Degraded piece `number` and its truth, (H, W, 3) float32 in [0, 1]."""
        rng = np.random.default_rng((self.settings.seed, number))
        return self._degraded(rng, self.scenes.draw(number, rng))

    def _degraded(self, rng: np.random.Generator, picture: np.ndarray) -> Sample:
        settings = self.settings
        side = settings.around * settings.network.scale
        clean = vary(rng, to_unit(piece(rng, picture, side)))
        source = sharpen(clean) if settings.sharpened else clean
        low, tones = degrade(rng, source, settings)
        pair = {"low": low, "clean": apply(clean, tones)}
        return pair | {"sharp": apply(source, tones)} if settings.sharpened else pair

    def _generator(self, batch: Batch) -> dict[str, Tensor]:
        aim = batch.get("sharp", batch["clean"])
        fake = self.networks["generator"](batch["low"])
        losses = self._reconstruction(fake, aim)
        if "discriminator" in self.networks:
            batch["fake"] = fake.detach()  # what the discriminator sees in its phase
            logits = self.networks["discriminator"](fake)
            losses["adversarial"] = self.settings.loss_weights.adversarial * generator_logistic(logits)
        return losses

    def _reconstruction(self, fake: Tensor, aim: Tensor) -> dict[str, Tensor]:
        losses = {"l1": l1(fake, aim)}
        if self.vgg is not None:
            self.vgg.to(aim.device)
            features = self.vgg(fake * 2 - 1), self.vgg(aim * 2 - 1)
            losses["perceptual"] = self.settings.loss_weights.perceptual * perceptual(*features)
        return losses

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """psnr (mean of the degraded ones), closeness in stage 2, and both metrics of every kind."""
        figures = defaultdict[str, list[float]](list)
        device = device_of(network)
        scale = self.settings.network.scale
        for name, low, clean in self.scenes.pairs(VALIDATION, scale, device):
            bicubic = F.interpolate(low, scale_factor=scale, mode="bicubic")
            for key, picture in ((name, network(low)), (f"bicubic_{name}", bicubic)):
                figures[f"{key}_psnr"].append(float(psnr(picture, clean)))
                figures[f"{key}_ssim"].append(float(ssim(picture, clean)))
        if self.settings.loss_weights.adversarial:
            for i in range(len(self.scenes.held)):
                pair = self._degraded(np.random.default_rng(i), self.scenes.held[i])
                seen = pair["low"], pair["sharp" if self.settings.sharpened else "clean"]
                low, aim = (torch.from_numpy(unit_tensor(p))[None].to(device) for p in seen)
                losses = self._reconstruction(network(low), aim).values()
                figures["closeness"].append(-float(torch.stack(list(losses)).sum()))
        means = {key: float(np.mean(values)) for key, values in figures.items()}
        return {"psnr": float(np.mean([means[f"{name}_psnr"] for name in VALIDATION[1:]])), **means}

    @torch.no_grad()
    def pictures(self, network: nn.Module) -> np.ndarray:
        """Held-out photos under three kinds of damage: input, output and truth."""
        rows, device, scale = [], device_of(network), self.settings.network.scale
        for low, clean in self.scenes.examples(VALIDATION, scale):
            fake = network(torch.from_numpy(low[None]).to(device))[0].cpu().numpy()
            big = low.repeat(scale, 1).repeat(scale, 2)
            rows.append([p[:, :320, :320] * 2 - 1 for p in (big, fake, clean)])
        return grid(rows, columns=2)


def degrade(rng: np.random.Generator, clean: np.ndarray, settings: SceneSettings) -> tuple[np.ndarray, Chain]:
    """The network's input, drawn from a clean piece of `scale` times its side, and the tone it has."""
    scale = settings.network.scale
    drawn = RECIPES[settings.recipe].sample(rng)
    if isinstance(drawn, SecondOrder):
        return replace(drawn, scale=scale).reduce(clean), Chain(())
    chain = zoomed(drawn, float(rng.uniform(1, settings.zoom)))
    # The model repairs damage and leaves the photo's tone to its owner: a patch does not show it.
    return apply(shrink(clean, scale), chain), tone(chain)
