"""Training of the progressive face GAN with landmark attention, objective 1 (upscale) or 2 (restore)."""

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from revisage.errors import TrainingError, UsageError
from revisage.lab.data.landmarks import mirror_landmarks, resize_landmarks
from revisage.lab.data.loader import Sample
from revisage.lab.data.pictures import Pictures, find_pictures, fit, shuffled
from revisage.lab.data.prepare.landmarks68 import MIRRORED, open_landmark_detector
from revisage.lab.data.prepare.whole import Points, points_at, read_points
from revisage.lab.degrade.progressive import RESTORE, UPSCALE
from revisage.lab.degrade.progressive import Progressive as Degradation
from revisage.lab.losses.adversarial import gradient_penalty, wasserstein_critic, wasserstein_generator
from revisage.lab.losses.attention import attention
from revisage.lab.losses.perceptual import perceptual
from revisage.lab.losses.pixel import l1
from revisage.lab.metrics.ms_ssim import ms_ssim
from revisage.lab.metrics.psnr import psnr
from revisage.lab.metrics.ssim import ssim
from revisage.lab.metrics.weights import read_state
from revisage.lab.networks.imagenet import VGG19Features
from revisage.lab.networks.progressive import SIZE, STEPS, Critic, Progressive, ProgressiveConfig, brought
from revisage.lab.train.distributed import device_of
from revisage.lab.train.faces import table_of
from revisage.lab.train.pictures import from_unit, grid, to_unit
from revisage.lab.train.settings import check
from revisage.lab.train.task import Batch, Phase

HELD_OUT = 0.29
"""Share of the people who are held out: 2,674 of the 9,330 pictures of LFW with at most ten of each person,
which gives the 2,650 test pictures of Kim et al.."""
RETURNED = 0.5
"""Share of the thumbnails that have been enlarged and reduced again."""
ATTENDED = (64, 128)
"""Sides of the pictures of steps 2 and 3, whose landmarks are attended to."""
_FLAT = re.compile(r"(.+_.+)_\d+")  # Aaron_Peirsol_0001, but not IMG_0001


@dataclass(frozen=True)
class Schedule:
    """A weight that grows with the epoch, at most linearly (Kim et al., BMVC 2019, "Dynamic weighting").
    Raises ValueError for one that is below 0 or falls. To plot it: `[schedule.at(e) for e in epochs]`."""

    start: float
    """Its value at epoch 0."""
    growth: float = 0.0
    """Added in each epoch."""
    most: float | None = None
    """It stays there once it is reached; None for no end."""

    def __post_init__(self) -> None:
        if self.start < 0 or self.growth < 0:
            raise ValueError(f"a weight starts at 0 or more and does not fall, got {self}")
        if self.most is not None and self.most < self.start:
            raise ValueError(f"a weight cannot end below its start, got {self}")

    @property
    def ever(self) -> bool:
        """Whether it is above 0 at any epoch."""
        return self.start > 0 or self.growth > 0

    def at(self, epoch: float) -> float:
        """The weight at an epoch, which may be a fraction: epoch 0.5 is half-way through the first."""
        value = self.start + self.growth * max(epoch, 0.0)
        return value if self.most is None else min(value, self.most)


@dataclass(frozen=True)
class ProgressiveWeights:
    """Weights of the losses, the same at each step (Kim et al., BMVC 2019, equation 6)."""

    adversarial: Schedule
    """The critic's; without it there is none."""
    pixel: Schedule
    """L1."""
    perceptual: Schedule
    """Features of VGG-19; needs `vgg_weights`."""
    attention: Schedule
    """L1 around the landmarks, at steps 2 and 3."""
    penalty: float = 10.0
    """The critic's gradient penalty."""


@dataclass(frozen=True)
class ProgressiveSettings:
    """Data and losses of the progressive GAN; in [-1, 1]. Raises UsageError when a value cannot be used."""

    data: Path
    """Folder of whole pictures, square, brought to 128 px; one folder for each person, or pictures named
    First_Last_0001, as LFW has them. Where no table of landmarks lies beside it, as `revisage prepare
    --whole` writes it, they are estimated, each picture's when it is first used."""
    network: ProgressiveConfig
    """Sizes; with an encoder it is objective 2."""
    critic: tuple[int, ...]
    """Its widths; see `revisage.lab.networks.progressive.Critic`."""
    loss_weights: ProgressiveWeights
    """Of the losses, each linear in the epochs."""
    vgg_weights: Path | None = None
    """VGG-19 checkpoint for the perceptual loss, as torchvision's; None goes without."""
    penalty_share: float = 1.0
    """Share of each batch that the penalty sees; its second derivative is slow."""
    early: int = 1
    """Steps 1 and 2 are trained in every so many-th batch; 1, as in the paper, in each."""
    held: float = HELD_OUT
    """Share of the people who are kept from training."""
    validation: int = 128
    """Held-out pictures used."""
    seed: int = 0
    """Of every draw."""

    def __post_init__(self) -> None:
        if not 0 < self.held < 1 or not 0 < self.penalty_share <= 1:
            raise UsageError("held lies between 0 and 1, penalty_share over 0 and up to 1")
        check(self, counts=("early", "validation"))


class ProgressiveTask:
    """See `revisage.lab.train.task.Task`."""

    averaged = "generator"
    best = "psnr"

    def __init__(self, settings: ProgressiveSettings) -> None:
        cv2.setNumThreads(1)  # the loader's threads are the parallelism
        self.settings = settings
        root, share = settings.data, settings.held
        training, held = (
            find_pictures(root, name=lambda path: person(path, root), held=side, share=share)
            for side in (False, True)
        )
        self.training = Pictures(training)
        self.held = Pictures(held[:: max(1, len(held) // settings.validation)])
        table = table_of(root)
        self._table = read_points(table) if table.is_file() else None
        self._estimate = open_landmark_detector("estimate")
        self._estimated: dict[int, Points] = {}
        torch.manual_seed(settings.seed)
        self.networks: dict[str, nn.Module] = {"generator": Progressive(settings.network)}
        if settings.loss_weights.adversarial.ever:
            self.networks["critic"] = Critic(settings.critic)
        self.vgg = VGG19Features(read_state(settings.vgg_weights)) if settings.vgg_weights else None

    def phases(self) -> list[Phase]:
        """Step 1, steps 1 and 2, all three: in each the generator, then the critic."""
        phases = []
        for step in range(1, STEPS + 1):
            interval = self.settings.early if step < STEPS else 1
            phases.append(Phase(f"step{step}", "generator", partial(self._generator, step), interval))
            if "critic" in self.networks:
                phases.append(Phase(f"critic{step}", "critic", partial(self._critic, step), interval))
        return phases

    def sample(self, index: int) -> Sample:
        """ "low" (3, 16, 16) or (3, 128, 128) and "clean" (3, 128, 128) in [-1, 1], "landmarks64" and
        "landmarks128" (68, 2) in pixels at that size (NaN without a face), "epoch" ()."""
        settings, count = self.settings, len(self.training)
        rng = np.random.default_rng((settings.seed, index))
        i = shuffled(index, count, settings.seed)
        clean, points = sized(self.training[i]), self._points(i)
        if rng.random() < 0.5:
            clean = np.ascontiguousarray(clean[:, ::-1])
            points = {side: mirror_landmarks(found, side, MIRRORED) for side, found in points.items()}
        low = degraded(clean, rng, encoder=settings.network.encoder)
        if not settings.network.encoder and rng.random() < RETURNED:
            low = returned(low)
        return {
            "low": from_unit(low),
            "clean": from_unit(clean),
            **{f"landmarks{side}": found for side, found in points.items()},
            "epoch": np.array(index / count, np.float32),
        }

    def _points(self, i: int) -> Points:
        """The landmarks of training picture `i` at the sides of steps 2 and 3."""
        if self._table is not None:
            file = self.training.paths[i].relative_to(self.settings.data).as_posix()
            points = self._table.get(file, {})
            if not points.keys() >= set(ATTENDED):
                raise TrainingError(f"{table_of(self.settings.data)} does not list {file} at 64 and 128 px")
            return {side: points[side] for side in ATTENDED}
        if i not in self._estimated:
            picture = np.rint(sized(self.training[i]) * 255).astype(np.uint8)
            found = points_at(picture, self._estimate, (SIZE,))[SIZE]
            self._estimated[i] = {side: resize_landmarks(found, SIZE, side) for side in ATTENDED}
        return self._estimated[i]

    def _generator(self, step: int, batch: Batch) -> dict[str, Tensor]:
        weights, epoch = self.settings.loss_weights, float(batch["epoch"].mean())
        fake = self.networks["generator"](batch["low"], step)[-1]
        real = brought(batch["clean"], fake.shape[-1])
        batch["fake"], batch["real"] = fake.detach(), real  # what the critic sees in its phase
        losses = {"l1": weights.pixel.at(epoch) * l1(fake, real)}
        if step > 1 and weights.attention.ever:
            points = batch[f"landmarks{fake.shape[-1]}"]
            losses["attention"] = weights.attention.at(epoch) * attention(fake, real, points)
        if self.vgg is not None and weights.perceptual.ever:
            self.vgg.to(real.device)
            losses["perceptual"] = weights.perceptual.at(epoch) * perceptual(self.vgg(fake), self.vgg(real))
        if "critic" in self.networks:
            scores = self.networks["critic"](fake, step)
            losses["adversarial"] = weights.adversarial.at(epoch) * wasserstein_generator(scores)
        return losses

    def _critic(self, step: int, batch: Batch) -> dict[str, Tensor]:
        settings, critic = self.settings, self.networks["critic"]
        fake, real = batch["fake"], batch["real"]
        some = slice(max(1, round(settings.penalty_share * len(real))))
        penalty = gradient_penalty(lambda x: critic(x, step), real[some], fake[some])
        return {
            "wasserstein": wasserstein_critic(critic(real, step), critic(fake, step)),
            "penalty": settings.loss_weights.penalty * penalty,
        }

    def _held_out(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Low and clean held-out picture `i` as (3, S, S) in [-1, 1]."""
        clean = sized(self.held[i])
        low = degraded(clean, np.random.default_rng(i), encoder=self.settings.network.encoder)
        return from_unit(low), from_unit(clean)

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """psnr, ssim and ms_ssim of the last step; those of the input, brought to its size, beside them."""
        measures = {"psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim}
        device = device_of(network)
        values = defaultdict[str, list[Tensor]](list)
        count = min(len(self.held), self.settings.validation)
        for start in range(0, count, 16):
            pairs = [self._held_out(i) for i in range(start, min(start + 16, count))]
            low, clean = (torch.from_numpy(np.stack(side)) for side in zip(*pairs, strict=True))
            fake = network(low.to(device))[-1].cpu()
            for prefix, picture in (("", fake), ("input_", brought(low, SIZE))):
                for name, measure in measures.items():
                    found = measure(picture * 0.5 + 0.5, clean * 0.5 + 0.5)
                    values[prefix + name].append(found)
        return {name: float(torch.cat(found).mean()) for name, found in values.items()}

    @torch.no_grad()
    def pictures(self, network: nn.Module) -> np.ndarray:
        """Held-out pictures: the input, the outputs of the three steps, the truth, each at 128 px."""
        rows = []
        for i in range(min(len(self.held), 12)):
            low, clean = self._held_out(i)
            steps = network(torch.from_numpy(low[None]).to(device_of(network)))
            shown = [torch.from_numpy(low[None]), *steps, torch.from_numpy(clean[None])]
            rows.append([F.interpolate(p.cpu().float(), (SIZE, SIZE))[0].numpy() for p in shown])
        return grid(rows, columns=2)


def person(path: Path, root: Path) -> str:
    """Whom a picture shows: its folder's name, directly in `root` its own, First_Last of First_Last_0001."""
    if path.parent != root:
        return path.parent.name
    numbered = _FLAT.fullmatch(path.stem)
    return numbered[1] if numbered else path.stem


def sized(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> (128, 128, 3) float32 in [0, 1]."""
    return to_unit(fit(picture, SIZE, SIZE))


def degraded(clean: np.ndarray, rng: np.random.Generator, *, encoder: bool) -> np.ndarray:
    """(128, 128, 3) by the recipe of the objective: (128, 128, 3) with an encoder, else (16, 16, 3)."""
    return Degradation.sample(rng, RESTORE if encoder else UPSCALE).low(clean)


def returned(low: np.ndarray) -> np.ndarray:
    """A thumbnail, (16, 16, 3), as it comes back from 128 px, which `evaluate` shows it at."""
    large = np.rint(np.clip(cv2.resize(low, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), 0, 1) * 255)
    return cv2.resize(large, low.shape[1::-1], interpolation=cv2.INTER_AREA) / np.float32(255)
