"""What the training of the face model can be told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from revisage.errors import UsageError
from revisage.lab.networks.discriminators import CLEAR_CRITIC, DiscriminatorConfig
from revisage.lab.networks.gfpgan import CLEAR_256, GFPGANConfig
from revisage.lab.train.face_losses import FaceWeights
from revisage.lab.train.settings import check

# How much of the component loss is used: each has what stands before it as well (ablations of the paper).
COMPONENT_LOSSES = ("none", "discriminators", "matching", "style")


@dataclass(frozen=True)
class FaceSettings:
    """Data, sizes and loss weights of the face model.

    Attributes:
        data: folder of faces aligned to the FFHQ template, square; brought to the network's size. Losses on
            components need the table of landmarks beside it, as `revisage prepare` writes it.
        more: a second such folder, or None. Its samples serve reconstruction and identity alone: the
            discriminators never see them, as they may be enlarged. Validation does not look at it.
        more_share: share of the samples that come from it.
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
        loss_weights: of the losses.
        sharpen: amount by which the truth is sharpened (`revisage.lab.data.sharpen`, as Real-ESRGAN does,
            with a deviation of a 128th of the picture's side) for L1, Laplacian, pyramid and checkerboard;
            the other losses see the plain truth. A network that is unsure gives the mean of what may be,
            which is soft.
        components: "none", or the losses on eyes, nose and mouth: "discriminators", with feature "matching"
            as well, or with the Gram "style" loss besides.
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
    loss_weights: FaceWeights = field(default_factory=FaceWeights)
    sharpen: float = 0.0
    components: str = "none"
    critic_rate: float = 6.0
    only: str = ""
    identity_share: float = 0.5
    validation: int = 48
    seed: int = 0

    def __post_init__(self) -> None:
        check(self, shares=("more_share",), counts=("validation",))
        if self.components not in COMPONENT_LOSSES:
            raise UsageError(
                f"components must be one of {', '.join(COMPONENT_LOSSES)}, got {self.components!r}"
            )
        if not 0 < self.identity_share <= 1:
            raise UsageError(f"identity_share must be above 0 and at most 1, got {self.identity_share}")
        if self.crop is not None:
            weights = self.loss_weights
            if self.network.decoder or weights.adversarial or weights.identity or weights.features:
                raise UsageError(
                    "crop is for a network without decoder, with adversarial=0, identity=0 and features=0"
                )
            unit = self.network.stem * 2 ** (len(self.network.unet) - 1)
            if self.crop % unit or not 0 < self.crop <= self.network.size:
                raise UsageError(
                    f"crop must be a multiple of {unit} up to {self.network.size}, got {self.crop}"
                )
        if self.loss_weights.adversarial and self.discriminator.picture != self.network.size:
            raise UsageError(
                f"the discriminator is for {self.discriminator.picture} px, the network for "
                f"{self.network.size}"
            )

    @property
    def component_losses(self) -> tuple[str, ...]:
        """Those of `COMPONENT_LOSSES` that are used."""
        if not self.loss_weights.adversarial:
            return ()
        return COMPONENT_LOSSES[1 : COMPONENT_LOSSES.index(self.components) + 1]
