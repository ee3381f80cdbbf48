"""Sizes, lengths and settings of the face model's presets, which `revisage.lab.train.presets` names."""

from dataclasses import replace
from pathlib import Path

from revisage.errors import UsageError
from revisage.lab.networks.discriminators import DiscriminatorConfig, stylegan2_discriminator
from revisage.lab.networks.gfpgan import CLEAR_256, GFPGANConfig, published_512
from revisage.lab.train.face_losses import FaceWeights
from revisage.lab.train.settings import LoopSettings
from revisage.lab.train.tasks.gfpgan import FaceSettings

TINY_FACE = GFPGANConfig(
    size=64,
    unet=(16, 16, 16),
    prior=(16, 16),
    style_dim=16,
    latent_channels=8,
    stem=4,
    condition_layers=1,
    head_kernel=3,
    residual=True,
    deep=(0, 1, 1),
    attention=8,
    code=8,
    noise=False,
)
# The part of the compact network that needs no whole face to learn from; the rest starts from its file.
UNET_256 = replace(CLEAR_256, decoder=False)
TINY_CRITIC = DiscriminatorConfig(32, (16, 16, 16), stem=2, reduce=2, power=0.5, conditional=True)
PAPER_512 = published_512(1)
PAPER_CRITIC = stylegan2_discriminator(512)
# From reconstruction weights: a smaller rate, and little momentum, as a moving opponent wants.
ADVERSARIAL_LOOP = LoopSettings(images=1_000_000, batch=8, rate=4e-4, warmup=4000, beta1=0.5, ema=4000)

# LPIPS and EdgeFace are fooled by patterns of the stem's blocks, so the loss against these comes with them.
RECONSTRUCTION = FaceWeights(
    laplacian=0.3, pyramid=0.1, lpips=0.7, features=0.2, identity=0.5, checkerboard=300.0
)
RECONSTRUCTION_LOOP = LoopSettings(images=1_000_000, batch=8, rate=1e-3, ema=4000, optimizer="muon")
GPU_LOOP = LoopSettings(
    hours=0.15,
    batch=192,
    rate=1.5e-3,
    warmup=20_000,
    ema=20_000,
    optimizer="muon",
    precision="bf16",
    loaders=15,
    processes=True,
    save_every=120,
    validate_every=1e9,
    light=True,
)


def paper_settings(data: Path) -> FaceSettings:
    """The published weights of the losses."""
    return FaceSettings(
        data=data,
        network=PAPER_512,
        discriminator=PAPER_CRITIC,
        recipe="gfpgan-train",
        fixed_prior=True,
        loss_weights=FaceWeights(
            l1=0.1,
            laplacian=0.0,
            pyramid=1.0,
            vgg_style=50.0,
            features=0.0,
            identity=10.0,
            adversarial=0.1,
            component=1.0,
            matching=1.0,
            style=200.0,
            r1=10.0,
        ),
        identity_share=1.0,
        components="style",
        critic_rate=20.0,
    )


def check_paper(settings: FaceSettings) -> None:
    """Its L1 of 0.1 is next to nothing without the losses that the paper puts beside it."""
    missing, weights = [], settings.loss_weights
    if (weights.perceptual or weights.vgg_style) and settings.vgg_weights is None:
        missing.append("vgg_weights=vgg19 (or perceptual=0 vgg_style=0)")
    if weights.identity and settings.identity_weights is None:
        missing.append("identity_weights=mobilefacenet (or identity=0)")
    if missing:
        raise UsageError(
            f"paper-512 lacks the weights of its losses: --set {' '.join(missing)}; "
            "`revisage models pull vgg19 mobilefacenet` gets them"
        )
