"""Training of the generative prior: StyleGAN2 on aligned faces."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from revisage.errors import TrainingError, UsageError
from revisage.lab.data.loader import Sample
from revisage.lab.data.pictures import shuffled
from revisage.lab.losses.adversarial import generator_logistic, path_length, path_lengths
from revisage.lab.metrics.frechet import Gaussian
from revisage.lab.networks.discriminators import DISCRIMINATOR_128, Discriminator, DiscriminatorConfig
from revisage.lab.networks.gfpgan import CLEAR_256, GFPGAN
from revisage.lab.networks.prior import FacePrior, PriorConfig
from revisage.lab.train.checkpoint import averaged
from revisage.lab.train.critics import R1_INTERVAL, logistic, penalty
from revisage.lab.train.distributed import device_of
from revisage.lab.train.faces import AlignedFaces, Embedder, split
from revisage.lab.train.pictures import from_unit, grid
from revisage.lab.train.task import Batch, Phase

PATH_INTERVAL = 4
PATH_DECAY = 0.01  # of the running mean of path lengths (StyleGAN2, appendix B)
MIXING = 0.9  # share of the pictures whose fine layers have another code than the coarse ones
COMPACT_PRIOR = PriorConfig.of(CLEAR_256, mapping=4)


@dataclass(frozen=True)
class PriorWeights:
    """Loss weights of the prior."""

    r1: float = 10.0
    """Gradient penalty of the discriminator."""
    path: float = 2.0
    """Path length regularisation of the generator."""


@dataclass(frozen=True)
class PriorSettings:
    """Data and loss weights of the prior."""

    data: Path
    """Folder of faces aligned to the FFHQ template, square."""
    identity_weights: Path | None = None
    """MobileFaceNet checkpoint: keeps held-out people out of training, and gives the Fréchet distance in its
    feature space in validation; None goes without both."""
    network: PriorConfig = COMPACT_PRIOR
    """Sizes."""
    discriminator: DiscriminatorConfig = DISCRIMINATOR_128
    """Sizes."""
    loss_weights: PriorWeights = field(default_factory=PriorWeights)
    """Of the losses."""
    critic_rate: float = 5.0
    """Learning rate of the discriminator as a multiple of the generator's; its layers have the equalised
    learning rate and the decoder's have not."""
    validation: int = 200
    """Pictures drawn, and held-out ones compared with."""
    seed: int = 0
    """Of every draw."""

    def __post_init__(self) -> None:
        if self.validation < 2:
            raise UsageError(f"validation must be at least 2, got {self.validation}")
        check_critic(self.discriminator, self.network.size)
        if self.discriminator.conditional:
            raise UsageError("a prior has no input that its discriminator could be conditional on")


def check_critic(critic: DiscriminatorConfig, size: int) -> None:
    """Raises UsageError for a discriminator of pictures of another size."""
    if critic.picture != size:
        raise UsageError(f"the discriminator is for {critic.picture} px, the network for {size}")


class PriorTask:
    """See `revisage.lab.train.task.Task`."""

    averaged = "generator"
    best = "likeness"

    def __init__(self, settings: PriorSettings) -> None:
        self.settings = settings
        self.embedder = Embedder(settings.identity_weights) if settings.identity_weights else None
        (training,), (held,) = split([settings.data], self.embedder)
        self.training = AlignedFaces(training, settings.network.size)
        if len(held) < 2:
            found = f"only {len(held)} held-out picture in {settings.data}"
            raise TrainingError(f"{found}: a Fréchet distance takes two, so add pictures of more people")
        self.held = AlignedFaces(held[: settings.validation], settings.network.size)
        torch.manual_seed(settings.seed)
        self.generator, self.critic = FacePrior(settings.network), Discriminator(settings.discriminator)
        self.networks: dict[str, nn.Module] = {"generator": self.generator, "discriminator": self.critic}

    def phases(self) -> list[Phase]:
        rate = self.settings.critic_rate
        critic = partial(Phase, network="discriminator", rate=rate, beta1=0.0, clipped=False)
        return [
            Phase("generator", "generator", self._generator),
            Phase("path", "generator", self._path, PATH_INTERVAL),
            critic("discriminator", losses=partial(logistic, self.critic)),
            critic("penalty", losses=self._penalty, interval=R1_INTERVAL),
        ]

    def sample(self, index: int) -> Sample:
        """ "clean" (3, S, S) in [-1, 1]."""
        clean = self.training[shuffled(index, len(self.training), self.settings.seed)]
        if np.random.default_rng((self.settings.seed, index)).random() < 0.5:
            clean = np.ascontiguousarray(clean[:, ::-1])
        return {"clean": from_unit(clean)}

    def _codes(self, batch: Batch, count: int) -> Tensor:
        """(count, layers, D) with style mixing."""
        device, layers = batch["clean"].device, self.generator.decoder.layers
        z = torch.randn(2, count, self.settings.network.style_dim, device=device)
        coarse, fine = (self.generator.codes(part) for part in z)
        self.generator.remember(coarse)
        border = torch.randint(1, layers, (count, 1, 1), device=device)
        border[torch.rand(count, device=device) >= MIXING] = layers
        lower = torch.arange(layers, device=device)[None, :, None] < border
        return torch.where(lower, coarse[:, None], fine[:, None])

    def _generator(self, batch: Batch) -> dict[str, Tensor]:
        fake = self.generator.draw(self._codes(batch, len(batch["clean"])))
        batch["fake"] = fake.detach()
        return {"adversarial": generator_logistic(self.critic(fake))}

    def _path(self, batch: Batch) -> dict[str, Tensor]:
        codes = self._codes(batch, max(1, len(batch["clean"]) // 2))
        with torch.autocast(codes.device.type, enabled=False):
            codes = codes.float()
            picture = self.generator.draw(codes)
            lengths = path_lengths(picture, codes, torch.randn_like(picture))
            self.generator.length.lerp_(lengths.detach().mean(), PATH_DECAY)
            loss = path_length(lengths, self.generator.length.clone())
        return {"length": self.settings.loss_weights.path * PATH_INTERVAL * loss}

    def _penalty(self, batch: Batch) -> dict[str, Tensor]:
        return penalty(self.critic, batch["clean"], self.settings.loss_weights.r1)

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """likeness: minus the Fréchet distance between drawn and held-out faces, in the embedding's space.
        Without an embedder it is the space of pictures of 8 x 8 pixels."""
        drawn, held = Gaussian(), Gaussian()
        for first in range(0, self.settings.validation, 8):
            drawn.add(self._describe(self._draw(network, first)))
        for i in range(len(self.held)):
            held.add(self._describe(torch.from_numpy(from_unit(self.held[i])[None])))
        return {"likeness": -drawn.distance(held)}

    def _draw(self, network: nn.Module, first: int, truncation: float = 1.0) -> Tensor:
        generator = torch.Generator().manual_seed(first)
        z = torch.randn(8, self.settings.network.style_dim, generator=generator)
        return network(z.to(device_of(network)), truncation).cpu().clamp(-1, 1)

    def _describe(self, faces: Tensor) -> Tensor:
        if self.embedder is None:
            return nn.functional.interpolate(faces, size=(8, 8), mode="area").flatten(1)
        return self.embedder(faces)

    @torch.no_grad()
    def pictures(self, network: nn.Module) -> np.ndarray:
        """24 faces, drawn with a truncation of 0.7, from the same latents in every run."""
        faces = torch.cat([self._draw(network, 8 * i, truncation=0.7) for i in range(3)]).numpy()
        return grid([list(faces[i : i + 6]) for i in range(0, 24, 6)], columns=1)


def load_prior(network: GFPGAN, path: Path) -> None:
    """Start the decoder of `network` from a checkpoint of `revisage train prior`, or a run's best one, in
    place. Where it ends before the U-Net, its last RGB layer, without pixels to shuffle, keeps its weights.
    Raises TrainingError when there is no checkpoint, its sizes are others, or `network` has no decoder."""
    if not network.config.decoder:
        raise TrainingError(f"this preset's network has no decoder to start from {path}: set prior=none")
    state = averaged(path, best=True).tensors
    decoder = {k.removeprefix("decoder."): v for k, v in state.items() if k.startswith("decoder.")}
    if len(network.config.prior) < len(network.config.unet):
        last = f"rgb.{len(network.config.prior) - 1}."
        own = network.decoder.state_dict()
        decoder |= {k: v for k, v in own.items() if k.startswith(last) and k in decoder}
    try:
        network.decoder.load_state_dict(decoder)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise TrainingError(f"{path} is not a prior of this network's sizes: {reason}") from None
