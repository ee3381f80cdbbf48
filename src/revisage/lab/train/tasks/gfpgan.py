"""Training of GFP-GAN: by reconstruction alone, or with all of its adversarial losses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from revisage.errors import UsageError
from revisage.lab.data.landmarks import mirror_landmarks
from revisage.lab.data.loader import Sample
from revisage.lab.data.sharpen import sharpen
from revisage.lab.degrade import COLOURLESS, RECIPES, apply, marked, tone
from revisage.lab.losses import (
    checkerboard,
    chord,
    crop_component,
    discriminator_logistic,
    feature_matching,
    generator_logistic,
    l1,
    perceptual,
    pyramid,
    r1,
    style,
    texture,
)
from revisage.lab.losses.components import COMPONENTS
from revisage.lab.metrics.degrees import degrees
from revisage.lab.metrics.psnr import psnr
from revisage.lab.metrics.ssim import ssim
from revisage.lab.metrics.weights import read_state
from revisage.lab.networks.discriminators import (
    DISCRIMINATOR_256,
    ComponentDiscriminator,
    Discriminator,
    DiscriminatorConfig,
)
from revisage.lab.networks.gfpgan import COMPACT_256, GFPGAN, GFPGANConfig
from revisage.lab.networks.vgg import VGG19Features
from revisage.lab.train.distributed import device_of
from revisage.lab.train.faces import AlignedFaces, Embedder, Mixed, split
from revisage.lab.train.pictures import from_unit, grid
from revisage.lab.train.task import Batch, Phase
from revisage.lab.train.tasks.prior import load_prior

# How much of the component loss is used: each has what stands before it as well (GFP-GAN, table 3).
COMPONENT_LOSSES = ("none", "discriminators", "matching", "style")
R1_INTERVAL = 16


@dataclass(frozen=True)
class FaceSettings:
    """Data and loss weights of the face model.

    Attributes:
        data: folder of faces aligned to the FFHQ template, square; brought to the network's size. Losses on
            components need the table of landmarks beside it, as `revisage prepare` writes it.
        more: a second such folder, or None; `more_share` of the samples come from it. Validation does not
            look at it.
        identity_weights: MobileFaceNet checkpoint for the identity loss, for the identity angle in
            validation and for keeping held-out people out of training; None goes without all three.
        vgg_weights: VGG-19 checkpoint for the perceptual loss; None goes without.
        prior: checkpoint of `revisage train prior` that the decoder starts from.
        network, discriminator: sizes.
        recipe: degradation of the training pictures; held-out ones always get "gfpgan".
        crop: side of a square cut out of every training pair at a place drawn for it, for a network without a
            decoder. Its steps cost less than those with whole faces, and learning is limited by their number.
            None: whole faces, which the identity loss needs.
        l1, perceptual, pyramid, identity: loss weights; pictures are in [-1, 1].
        sharpen: amount by which the truth is sharpened (`revisage.lab.data.sharpen`, as Real-ESRGAN does,
            with a deviation of a 128th of the picture's side) for L1, pyramid and checkerboard; the other
            losses see the plain truth. A network that is unsure gives the mean of what may be, which is soft.
        marks: weight of L1 of the pixels under scratches, creases, dust and hairs, which are few; 0 goes
            without.
        adversarial: weight of the discriminator's loss; 0 trains by reconstruction alone, without components.
        components: "none", or the losses on eyes, nose and mouth: "discriminators", with feature "matching"
            as well, or with the Gram "style" loss besides.
        component, matching, style: weights of these three.
        checkerboard: weight of the loss against a pattern of the stem's blocks, with which a generator fools
            discriminators, identity loss and sharpened truth; for a network with a stem.
        texture: weight of the loss on the strength of fine texture, which `Grain` serves.
        r1: weight of the gradient penalty, of which every 16th step takes 16 times as much.
        critic_rate: learning rate of the discriminators as a multiple of the generator's; their layers have
            the equalised learning rate and the compact generator's have not, so that they need more.
        only: the generator's weights whose names start so, such as "grain.", are trained and no others, which
            stay as `--init` gave them. Steps cost less, and one part's loss cannot bend the others.
        identity_share: share of each batch that the identity loss sees; the embedding is slow.
        validation: held-out pictures used.
        seed: of every draw.

    Raises UsageError when a value cannot be used.
    """

    data: Path
    more: Path | None = None
    more_share: float = 0.5
    identity_weights: Path | None = None
    vgg_weights: Path | None = None
    prior: Path | None = None
    network: GFPGANConfig = COMPACT_256
    discriminator: DiscriminatorConfig = DISCRIMINATOR_256
    recipe: str = "face"
    crop: int | None = None
    l1: float = 1.0
    perceptual: float = 1.0
    pyramid: float = 0.5
    identity: float = 0.25
    sharpen: float = 0.0
    marks: float = 0.0
    adversarial: float = 0.0
    components: str = "style"
    component: float = 0.01
    matching: float = 0.1
    style: float = 5.0
    checkerboard: float = 0.0
    texture: float = 0.0
    r1: float = 0.15
    critic_rate: float = 6.0
    only: str = ""
    identity_share: float = 0.25
    validation: int = 48
    seed: int = 0

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise UsageError(f"no recipe {self.recipe!r}; there are {', '.join(RECIPES)}")
        if self.components not in COMPONENT_LOSSES:
            raise UsageError(
                f"components must be one of {', '.join(COMPONENT_LOSSES)}, got {self.components!r}"
            )
        if not 0 <= self.more_share <= 1:
            raise UsageError(f"more_share must be between 0 and 1, got {self.more_share}")
        if self.validation < 1:
            raise UsageError(f"validation must be at least 1, got {self.validation}")
        if self.crop is not None:
            if self.network.decoder or self.adversarial or self.identity:
                raise UsageError("crop is for a network without decoder, with adversarial=0 and identity=0")
            unit = self.network.stem * 2 ** (len(self.network.unet) - 1)
            if self.crop % unit or not 0 < self.crop <= self.network.size:
                raise UsageError(
                    f"crop must be a multiple of {unit} up to {self.network.size}, got {self.crop}"
                )
        if self.adversarial and self.discriminator.size != self.network.size:
            raise UsageError(
                f"the discriminator is for {self.discriminator.size} px, the network for {self.network.size}"
            )

    @property
    def component_losses(self) -> tuple[str, ...]:
        """Those of `COMPONENT_LOSSES` that are used."""
        if not self.adversarial:
            return ()
        return COMPONENT_LOSSES[1 : COMPONENT_LOSSES.index(self.components) + 1]


class FaceTask:
    """See `revisage.lab.train.task.Task`."""

    averaged = "generator"

    def __init__(self, settings: FaceSettings) -> None:
        self.settings = settings
        self.embedder = Embedder(settings.identity_weights) if settings.identity_weights else None
        # Sharpness costs PSNR: an adversarial training is judged by whom its faces show.
        self.best = "likeness" if settings.adversarial and self.embedder else "psnr"
        size, by_parts = settings.network.size, bool(settings.component_losses)
        folders = [settings.data, settings.more] if settings.more else [settings.data]
        training, held = split(folders, self.embedder)
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
        if not any(name.startswith(settings.only) for name, _ in generator.named_parameters()):
            raise UsageError(f"only={settings.only!r} names no weight: give a part, such as grain.")
        if settings.adversarial:
            self.networks["discriminator"] = Discriminator(settings.discriminator)
        if by_parts:
            self.networks["components"] = nn.ModuleDict(
                {component.name: ComponentDiscriminator() for component in COMPONENTS}
            )
        self.vgg: VGG19Features | None = None
        if settings.vgg_weights is not None:
            self.vgg = VGG19Features()
            self.vgg.load_published(read_state(settings.vgg_weights))

    def phases(self) -> list[Phase]:
        rate = self.settings.critic_rate
        phases = [Phase("generator", "generator", self._generator, part=self.settings.only)]
        if "discriminator" in self.networks:
            phases.append(Phase("discriminator", "discriminator", self._discriminator, rate=rate))
            phases.append(Phase("penalty", "discriminator", self._penalty, R1_INTERVAL, rate))
        if "components" in self.networks:
            phases.append(Phase("components", "components", self._components, rate=rate))
        return phases

    def sample(self, index: int) -> Sample:
        """ "low" and "clean" (3, S, S) in [-1, 1]; where they are used "sharp", likewise, "marked" (1, S, S),
        0 or 1, and "landmarks" (5, 2)."""
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
        part = slice(None), slice(None)
        if settings.crop is not None:
            y, x = rng.integers(0, faces.size - settings.crop + 1, 2)
            part = slice(y, y + settings.crop), slice(x, x + settings.crop)
            low, clean = low[part], clean[part]
        sample = {"low": from_unit(low), "clean": from_unit(clean)}
        if settings.marks:
            sample["marked"] = marked(drawn, faces.size)[part][None].astype(np.float32)
        if settings.sharpen:
            sample["sharp"] = from_unit(sharpen(clean, settings.sharpen, settings.network.size / 128))
        if settings.component_losses:
            points = faces.landmarks(i)
            sample["landmarks"] = mirror_landmarks(points, faces.size) if mirrored else points
        return sample

    def _generator(self, batch: Batch) -> dict[str, Tensor]:
        settings, clean = self.settings, batch["clean"]
        aim = batch.get("sharp", clean)
        fake, pictures = self.networks["generator"](batch["low"])
        shown = fake.clamp(-1, 1)  # what a file can hold is what is judged
        batch["fake"] = shown.detach()
        losses = {"l1": settings.l1 * l1(fake, aim)}
        if settings.pyramid:
            losses["pyramid"] = settings.pyramid * pyramid(pictures, aim)
        if settings.marks:
            under = batch["marked"]
            error = (fake.float() - aim).abs().mean(dim=1, keepdim=True)
            losses["marks"] = settings.marks * (error * under).sum() / under.sum().clamp(min=1)
        if self.embedder is not None and settings.identity:
            some = slice(max(1, round(settings.identity_share * len(clean))))
            with torch.no_grad():
                real = self.embedder(clean[some])
            losses["identity"] = settings.identity * chord(self.embedder(fake[some].float()), real)
        if self.vgg is not None and settings.perceptual:
            self.vgg.to(clean.device)
            losses["perceptual"] = settings.perceptual * perceptual(self.vgg(fake), self.vgg(clean))
        if settings.adversarial:
            logits = self.networks["discriminator"](shown)
            losses["adversarial"] = settings.adversarial * generator_logistic(logits)
        if settings.checkerboard and settings.network.stem > 1:
            losses["checkerboard"] = settings.checkerboard * checkerboard(shown, aim, settings.network.stem)
        if settings.texture:
            losses["texture"] = settings.texture * texture(shown, clean)
        return losses | self._component_losses(batch, shown)

    def _component_losses(self, batch: Batch, fake: Tensor) -> dict[str, Tensor]:
        """Of the generator, summed over the components (GFP-GAN, eq. 7)."""
        settings, used = self.settings, self.settings.component_losses
        totals: dict[str, Tensor] = {}
        for _, critic, ours, truth in self._parts(batch, fake):
            logits, features = critic(ours)
            terms = {"component": settings.component * generator_logistic(logits)}
            if "matching" in used:
                with torch.no_grad():
                    _, wanted = critic(truth)
                terms["matching"] = settings.matching * feature_matching(features, wanted)
                if "style" in used:
                    terms["style"] = settings.style * style(features, wanted)
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
        critic = self.networks["discriminator"]
        return {"logistic": discriminator_logistic(critic(batch["clean"]), critic(batch["fake"]))}

    def _penalty(self, batch: Batch) -> dict[str, Tensor]:
        real = batch["clean"].detach().requires_grad_()
        with torch.autocast(real.device.type, enabled=False):
            loss = r1(self.networks["discriminator"](real), real)
        return {"r1": self.settings.r1 * R1_INTERVAL * loss}

    def _components(self, batch: Batch) -> dict[str, Tensor]:
        losses = {}
        for name, critic, ours, truth in self._parts(batch, batch["fake"]):
            losses[name] = discriminator_logistic(critic(truth)[0], critic(ours)[0])
        return losses

    def _held_out(self) -> tuple[Tensor, Tensor]:
        recipe, low, clean = RECIPES["gfpgan"], [], []
        for i in range(len(self.held)):
            picture = self.held[i]
            low.append(from_unit(recipe.apply(picture, recipe.sample(np.random.default_rng(i)))))
            clean.append(from_unit(picture))
        return torch.from_numpy(np.stack(low)), torch.from_numpy(np.stack(clean))

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """psnr, ssim, degrees (identity angle) and likeness (its cosine); those of the input beside them."""
        low, clean = self._held_out()
        device = device_of(network)
        fake = torch.cat([network(part.to(device))[0].cpu() for part in low.split(8)])
        figures = {}
        for prefix, picture in (("", fake), ("input_", low)):
            a, b = picture * 0.5 + 0.5, clean * 0.5 + 0.5
            figures[f"{prefix}psnr"] = float(psnr(a, b).mean())
            figures[f"{prefix}ssim"] = float(ssim(a, b).mean())
            if self.embedder is not None:
                angle = degrees(self.embedder(picture.clamp(-1, 1)), self.embedder(clean))
                figures[f"{prefix}degrees"] = float(angle.mean())
                figures[f"{prefix}likeness"] = float(torch.deg2rad(angle).cos().mean())
        return figures

    @torch.no_grad()
    def pictures(self, network: nn.Module) -> np.ndarray:
        """Held-out faces under three recipes: input, output and truth."""
        recipes = ("gfpgan", "gfpgan", "gfpgan", "second-order", "old-photo", "old-photo")
        rows, device = [], device_of(network)
        for i, name in enumerate(recipes * 2):
            clean, recipe = self.held[i % len(self.held)], RECIPES[name]
            low = from_unit(recipe.apply(clean, recipe.sample(np.random.default_rng(100 + i))))
            fake = network(torch.from_numpy(low[None]).to(device))[0][0].cpu()
            rows.append((low, fake.numpy(), from_unit(clean)))
        return grid(rows, columns=2)
