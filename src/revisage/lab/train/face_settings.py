"""Data and loss weights of the face model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from revisage.errors import UsageError
from revisage.lab.degrade import RECIPES
from revisage.lab.networks.discriminators import CLEAR_CRITIC, DiscriminatorConfig
from revisage.lab.networks.gfpgan import CLEAR_256, GFPGANConfig

# How much of the component loss is used: each has what stands before it as well (ablations of the paper).
COMPONENT_LOSSES = ("none", "discriminators", "matching", "style")


@dataclass(frozen=True)
class FaceSettings:
    """Data and loss weights of the face model.

    Attributes:
        data: folder of faces aligned to the FFHQ template, square; brought to the network's size. Losses on
            components need the table of landmarks beside it, as `revisage prepare` writes it.
        more: a second such folder, or None; `more_share` of the samples come from it. They serve
            reconstruction and identity alone: the discriminators never see them, as they may be enlarged.
            Validation does not look at it.
        identity_weights: MobileFaceNet checkpoint, for the identity angle in validation, the loss on its
            features and keeping held-out people out of training; None goes without all three.
        edgeface_weights: EdgeFace archive, which the identity loss then looks through; without it that looks
            through MobileFaceNet, and validation flatters.
        lpips_weights: SqueezeNet checkpoint for the loss `lpips` and its figure; None goes without.
        vgg_weights: VGG-19 checkpoint for `perceptual` and `vgg_style`; None goes without.
        prior: checkpoint of `revisage train prior` that the decoder starts from.
        fixed_prior: whether a decoder that `prior` gave stays as it is, as published.
        network, discriminator: sizes.
        recipe: degradation of the training pictures; held-out ones always get "paper" and "hard".
        crop: side of a square cut out of every training pair at a place drawn for it, for a network without a
            decoder. Its steps cost less than those with whole faces, and learning is limited by their number.
            None: whole faces, which losses on faces need.
        l1, laplacian, lpips, perceptual, vgg_style, pyramid: loss weights; pictures are in [-1, 1].
        features, identity: weights of the losses through the embeddings.
        description: weight of the loss on what a network with a `code` says of the degradation.
        sharpen: amount by which the truth is sharpened (`revisage.lab.data.sharpen`, as Real-ESRGAN does,
            with a deviation of a 128th of the picture's side) for L1, Laplacian, pyramid and checkerboard;
            the other losses see the plain truth. A network that is unsure gives the mean of what may be,
            which is soft.
        marks: weight of L1 of the pixels under scratches, creases, dust and hairs, which are few; 0 goes
            without.
        adversarial: weight of the discriminator's loss; 0 trains by reconstruction alone, without components.
        patches: weight of the small discriminator of fine structure as a share of `adversarial`; 0 for none.
        components: "none", or the losses on eyes, nose and mouth: "discriminators", with feature "matching"
            as well, or with the Gram "style" loss besides.
        component, matching, style: weights of these three.
        checkerboard: weight of the loss against a pattern of the stem's blocks, with which a generator fools
            discriminators, identity loss and sharpened truth; for a network with a stem.
        r1: weight of the gradient penalty, of which every 16th step takes 16 times as much. It is over what a
            discriminator sees: frequency bands for the compact ones.
        critic_rate: learning rate of the discriminators as a multiple of the generator's; their layers have
            the equalised learning rate and the compact generator's have not, so that they need more.
        only: the generator's weights whose names start so, such as "polish.", are trained and no others; they
            stay as `--init` gave them. Steps cost less, and one part's loss cannot bend the others.
        identity_share: share of each batch that the losses through embeddings see; these are slow.
        validation: held-out pictures used.
        seed: of every draw.

    Raises UsageError when a value cannot be used.
    """

    data: Path
    more: Path | None = None
    more_share: float = 0.5
    identity_weights: Path | None = None
    edgeface_weights: Path | None = None
    lpips_weights: Path | None = None
    vgg_weights: Path | None = None
    prior: Path | None = None
    fixed_prior: bool = False
    network: GFPGANConfig = CLEAR_256
    discriminator: DiscriminatorConfig = CLEAR_CRITIC
    recipe: str = "face"
    crop: int | None = None
    l1: float = 1.0
    laplacian: float = 0.0
    lpips: float = 0.25
    perceptual: float = 1.0
    vgg_style: float = 0.0
    pyramid: float = 0.5
    features: float = 0.1
    identity: float = 0.1
    description: float = 0.02
    sharpen: float = 0.0
    marks: float = 0.0
    adversarial: float = 0.0
    patches: float = 0.0
    components: str = "none"
    component: float = 0.01
    matching: float = 0.1
    style: float = 5.0
    checkerboard: float = 0.0
    r1: float = 0.15
    critic_rate: float = 6.0
    only: str = ""
    identity_share: float = 0.5
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
        if not 0 < self.identity_share <= 1:
            raise UsageError(f"identity_share must be above 0 and at most 1, got {self.identity_share}")
        if self.validation < 1:
            raise UsageError(f"validation must be at least 1, got {self.validation}")
        if self.crop is not None:
            if self.network.decoder or self.adversarial or self.identity or self.features:
                raise UsageError(
                    "crop is for a network without decoder, with adversarial=0, identity=0 and features=0"
                )
            unit = self.network.stem * 2 ** (len(self.network.unet) - 1)
            if self.crop % unit or not 0 < self.crop <= self.network.size:
                raise UsageError(
                    f"crop must be a multiple of {unit} up to {self.network.size}, got {self.crop}"
                )
        if self.adversarial and self.discriminator.picture != self.network.size:
            raise UsageError(
                f"the discriminator is for {self.discriminator.picture} px, the network for "
                f"{self.network.size}"
            )

    @property
    def component_losses(self) -> tuple[str, ...]:
        """Those of `COMPONENT_LOSSES` that are used."""
        if not self.adversarial:
            return ()
        return COMPONENT_LOSSES[1 : COMPONENT_LOSSES.index(self.components) + 1]
