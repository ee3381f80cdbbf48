"""Training of GFP-GAN: by reconstruction alone, or with all of its adversarial losses."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from revisage.errors import UsageError
from revisage.lab.data.landmarks import mirror_landmarks
from revisage.lab.data.loader import Sample
from revisage.lab.degrade import COLOURLESS, RECIPES, apply, tone
from revisage.lab.degrade import description as described
from revisage.lab.losses.adversarial import discriminator_logistic, generator_logistic
from revisage.lab.losses.components import COMPONENTS, crop_component
from revisage.lab.losses.perceptual import feature_matching, style
from revisage.lab.metrics.lpips import open_lpips
from revisage.lab.metrics.weights import read_state
from revisage.lab.networks.discriminators import (
    CLEAR_CRITIC,
    ComponentDiscriminator,
    Discriminator,
    DiscriminatorConfig,
)
from revisage.lab.networks.gfpgan import CLEAR_256, GFPGAN, GFPGANConfig
from revisage.lab.networks.imagenet import VGG19Features
from revisage.lab.train.critics import R1_INTERVAL, logistic, penalty
from revisage.lab.train.face_losses import FaceLosses, FaceWeights, PictureLosses, equivariance
from revisage.lab.train.face_validation import HeldFaces
from revisage.lab.train.faces import AlignedFaces, Embedder, Mixed, split
from revisage.lab.train.pictures import from_unit
from revisage.lab.train.settings import check
from revisage.lab.train.task import Batch, Phase
from revisage.lab.train.tasks.prior import check_critic, load_prior

# How much of the component loss is used: each has what stands before it as well (ablations of the paper).
COMPONENT_LOSSES = ("none", "discriminators", "matching", "style")


@dataclass(frozen=True)
class FaceSettings:
    """Data, sizes and loss weights of the face model. Raises UsageError when a value cannot be used."""

    data: Path
    """Folder of faces aligned to the FFHQ template, square; brought to the network's size. Losses on
    components need the table of landmarks beside it, as `revisage prepare` writes it."""
    more: Path | None = None
    """A second such folder, or None. Its samples serve reconstruction and identity alone: the discriminators
    never see them, as they may be enlarged. Validation does not look at it."""
    more_share: float = 0.5
    """Share of the samples that come from it."""
    identity_weights: Path | None = None
    """MobileFaceNet checkpoint, for the identity angle in validation, the loss on its features and keeping
    held-out people out of training; None goes without all three."""
    edgeface_weights: Path | None = None
    """EdgeFace archive, which the identity loss then looks through; without it that looks through
    MobileFaceNet, and validation flatters."""
    lpips_weights: Path | None = None
    """SqueezeNet checkpoint for the loss `lpips` and its figure; None goes without."""
    vgg_weights: Path | None = None
    """VGG-19 checkpoint for `perceptual` and `vgg_style`; None goes without."""
    prior: Path | None = None
    """Checkpoint of `revisage train prior` that the decoder starts from."""
    fixed_prior: bool = False
    """Whether a decoder that `prior` gave stays as it is, as published."""
    network: GFPGANConfig = CLEAR_256
    """Sizes."""
    discriminator: DiscriminatorConfig = CLEAR_CRITIC
    """Sizes."""
    recipe: str = "face"
    """Degradation of the training pictures; held-out ones always get "paper" and "hard"."""
    crop: int | None = None
    """Side of a square cut out of every training pair at a place drawn for it, for a network without a
    decoder. Its steps cost less than those with whole faces, and learning is limited by their number. None:
    whole faces, which losses on faces need."""
    loss_weights: FaceWeights = field(default_factory=FaceWeights)
    """Of the losses."""
    components: str = "none"
    """"none", or the losses on eyes, nose and mouth: "discriminators", with feature "matching" as well, or
    with the Gram "style" loss besides."""
    critic_rate: float = 6.0
    """Learning rate of the discriminators as a multiple of the generator's; their layers have the equalised
    learning rate and the compact generator's have not, so that they need more."""
    identity_share: float = 0.5
    """Share of each batch that the losses through embeddings see; these are slow."""
    validation: int = 48
    """Held-out pictures used."""
    seed: int = 0
    """Of every draw."""

    def __post_init__(self) -> None:
        check(self, shares=("more_share",), counts=("validation",))
        size, weights = self.network.size, self.loss_weights
        if self.components not in COMPONENT_LOSSES:
            known = ", ".join(COMPONENT_LOSSES)
            raise UsageError(f"components must be one of {known}, got {self.components!r}")
        if not 0 < self.identity_share <= 1:
            raise UsageError(f"identity_share must be above 0 and at most 1, got {self.identity_share}")
        if self.crop is not None:
            if self.network.decoder or weights.adversarial or weights.identity or weights.features:
                wish = "with adversarial=0, identity=0 and features=0"
                raise UsageError(f"crop is for a network without decoder, {wish}")
            unit = self.network.stem * 2 ** (len(self.network.unet) - 1)
            if self.crop % unit or not 0 < self.crop <= size:
                raise UsageError(f"crop must be a multiple of {unit} up to {size}, got {self.crop}")
        if weights.adversarial:
            check_critic(self.discriminator, size)

    @property
    def component_losses(self) -> tuple[str, ...]:
        """Those of `COMPONENT_LOSSES` that are used."""
        if not self.loss_weights.adversarial:
            return ()
        return COMPONENT_LOSSES[1 : COMPONENT_LOSSES.index(self.components) + 1]


class FaceTask:
    """See `revisage.lab.train.task.Task`."""

    averaged = "generator"

    def __init__(self, settings: FaceSettings) -> None:
        self.settings, weights = settings, settings.loss_weights
        self.embedder = Embedder(settings.identity_weights) if settings.identity_weights else None
        # Sharpness costs PSNR: an adversarial training is judged by whom its faces show.
        self.best = "likeness" if weights.adversarial and self.embedder else "psnr"
        size, by_parts = settings.network.size, bool(settings.component_losses)
        training, held = split((settings.data, settings.more), self.embedder)
        self.training = Mixed(
            [AlignedFaces(paths, size, landmarks=by_parts) for paths in training],
            settings.more_share,
            settings.seed,
        )
        self.held = AlignedFaces(held[0][: settings.validation], size)
        torch.manual_seed(settings.seed)
        generator = GFPGAN(settings.network)
        if settings.prior is not None:
            load_prior(generator, settings.prior)
        self.networks: dict[str, nn.Module] = {"generator": generator}
        if weights.adversarial:
            self.networks["discriminator"] = Discriminator(settings.discriminator)
        if by_parts:
            critics = {component.name: ComponentDiscriminator() for component in COMPONENTS}
            self.networks["components"] = nn.ModuleDict(critics)
        vgg = VGG19Features(read_state(settings.vgg_weights)) if settings.vgg_weights else None
        lpips = open_lpips("squeeze", settings.lpips_weights) if settings.lpips_weights else None
        self.face_losses = FaceLosses(self.embedder, settings.edgeface_weights)
        stem = settings.network.stem
        self.losses = PictureLosses(weights, self.face_losses, settings.identity_share, vgg, lpips, stem)
        self.validation = HeldFaces(self.held, self.embedder, self.face_losses.edge, lpips)
        self.validate, self.pictures = self.validation.figures, self.validation.sheet

    def phases(self) -> list[Phase]:
        settings, rate = self.settings, self.settings.critic_rate
        fixed = ("decoder.",) if settings.prior and settings.fixed_prior else ()
        phases = [Phase("generator", "generator", self._generator, fixed=fixed)]
        critic = partial(Phase, rate=rate, beta1=0.0, clipped=False)
        if "discriminator" in self.networks:
            phases.append(critic("discriminator", "discriminator", self._discriminator))
            phases.append(critic("penalty", "discriminator", self._penalty, interval=R1_INTERVAL))
        if "components" in self.networks:
            phases.append(critic("components", "components", self._components))
        return phases

    def sample(self, index: int) -> Sample:
        """ "low" and "clean" (3, S, S) in [-1, 1]; where they are used "landmarks" (5, 2), "drawn" (6,), that
        describes the degradation, and "judged" (), whether discriminators may see the face."""
        settings = self.settings
        rng = np.random.default_rng((settings.seed, index))
        faces, i = self.training.draw(index, rng)
        clean, mirrored = faces[i], rng.random() < 0.5
        if mirrored:
            clean = np.ascontiguousarray(clean[:, ::-1])
        drawn = RECIPES[settings.recipe].sample(rng)
        low = apply(clean, drawn)
        # A gray or toned photo stays so: no picture tells its colours. Fading is damage, to be undone.
        clean = apply(clean, tone(drawn, COLOURLESS))
        if settings.crop is not None:
            y, x = rng.integers(0, faces.size - settings.crop + 1, 2)
            part = slice(y, y + settings.crop), slice(x, x + settings.crop)
            low, clean = low[part], clean[part]
        sample = {"low": from_unit(low), "clean": from_unit(clean)}
        if settings.network.code:
            sample["drawn"] = described(drawn)
        if settings.more is not None and settings.loss_weights.adversarial:
            sample["judged"] = np.array(faces is self.training.folders[0])
        if settings.component_losses:
            points = faces.landmarks(i)
            sample["landmarks"] = mirror_landmarks(points, faces.size) if mirrored else points
        return sample

    def _generator(self, batch: Batch) -> dict[str, Tensor]:
        weights, generator = self.settings.loss_weights, self.networks["generator"]
        assert isinstance(generator, GFPGAN)
        restored = generator.restore(batch["low"])
        shown = restored.picture.clamp(-1, 1)  # what a file can hold is what is judged
        batch["fake"] = shown.detach()
        losses = self.losses(restored, batch)
        if weights.equivariance:
            some = slice((len(shown) + 3) // 4)
            distance = equivariance(generator.restore, batch["low"][some], restored.picture[some])
            losses["equivariance"] = weights.equivariance * distance
        judged = _judged(batch | {"shown": shown})
        if len(judged["shown"]):
            if "discriminator" in self.networks:
                logits = self.networks["discriminator"](judged["shown"], judged["low"])
                losses["adversarial"] = weights.adversarial * generator_logistic(logits)
            losses |= self._component_losses(judged, judged["shown"])
        return losses

    def _component_losses(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """Of the generator, summed over the components (GFP-GAN, eq. 7)."""
        weights, used = self.settings.loss_weights, self.settings.component_losses
        totals: dict[str, Tensor] = {}
        for _, critic, ours, truth in self._parts(batch, fake):
            logits, features = critic(ours)
            terms = {"component": weights.component * generator_logistic(logits)}
            if "matching" in used:
                with torch.no_grad():
                    _, wanted = critic(truth)
                terms["matching"] = weights.matching * feature_matching(features, wanted)
                if "style" in used:
                    terms["style"] = weights.style * style(features, wanted)
            for key, loss in terms.items():
                totals[key] = totals[key] + loss if key in totals else loss
        return totals

    def _parts(self, batch: Batch, fake: Tensor) -> list[tuple[str, nn.Module, Tensor, Tensor]]:
        """Name, critic, restored crop and true crop of every component; none without component losses."""
        critics = self.networks.get("components")
        if critics is None:
            return []
        assert isinstance(critics, nn.ModuleDict)
        parts, points = [], batch["landmarks"]
        for component in COMPONENTS:
            # Crops about as large as they are in the picture: eyes and mouth are 0.256 of it apart.
            size = 4 * max(4, round(component.side * fake.shape[-1] * 0.256 / 4))
            ours, truth = (crop_component(p, points, component, size) for p in (fake, batch["clean"]))
            parts.append((component.name, critics[component.name], ours, truth))
        return parts

    def _discriminator(self, batch: Batch) -> dict[str, Tensor]:
        judged, critic = _judged(batch), self.networks["discriminator"]
        if not len(judged["clean"]):
            return {"logistic": _nothing(critic)}
        return logistic(partial(critic, low=judged["low"]), judged)

    def _penalty(self, batch: Batch) -> dict[str, Tensor]:
        critic, judged = self.networks["discriminator"], _judged(batch)
        if not len(judged["clean"]):
            return {"r1": _nothing(critic)}
        assert isinstance(critic, Discriminator)
        low = judged["low"] if critic.config.conditional else None
        return penalty(critic, judged["clean"], self.settings.loss_weights.r1, low)

    def _components(self, batch: Batch) -> dict[str, Tensor]:
        judged = _judged(batch)
        if not len(judged["clean"]):
            return {"logistic": _nothing(self.networks["components"])}
        parts = self._parts(judged, judged["fake"])
        return {name: discriminator_logistic(c(truth)[0], c(ours)[0]) for name, c, ours, truth in parts}


def _judged(batch: Batch) -> Batch:
    """The faces of a batch that discriminators may see; all where nothing is said of it."""
    if "judged" not in batch:
        return batch
    return {key: value[batch["judged"]] for key, value in batch.items()}


def _nothing(network: nn.Module) -> Tensor:
    """0, with a gradient of 0 for every weight."""
    return 0 * torch.stack([p.sum() for p in network.parameters()]).sum()
