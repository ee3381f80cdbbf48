"""Named settings: `revisage train SYSTEM --preset NAME`. The first of a system is its default."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from revisage.errors import UsageError
from revisage.lab.networks.compact import CompactConfig
from revisage.lab.networks.damage import DamageConfig
from revisage.lab.networks.discriminators import DiscriminatorConfig, stylegan2_discriminator
from revisage.lab.networks.gfpgan import CLEAR_256, GFPGANConfig, published_512
from revisage.lab.networks.mobilefacenet import MobileFaceNetConfig
from revisage.lab.networks.prior import PriorConfig
from revisage.lab.networks.progressive import ProgressiveConfig
from revisage.lab.networks.scene import SceneConfig
from revisage.lab.train.face_losses import FaceWeights
from revisage.lab.train.settings import LoopSettings
from revisage.lab.train.task import Task
from revisage.lab.train.tasks.damage import DamageSettings, DamageTask
from revisage.lab.train.tasks.detector import DetectorSettings, DetectorTask
from revisage.lab.train.tasks.distillation import StudentSettings, StudentTask
from revisage.lab.train.tasks.expression import ExpressionSettings, ExpressionTask
from revisage.lab.train.tasks.gfpgan import FaceSettings, FaceTask
from revisage.lab.train.tasks.identity import IdentitySettings, IdentityTask
from revisage.lab.train.tasks.prior import PriorSettings, PriorTask
from revisage.lab.train.tasks.progressive import (
    ProgressiveSettings,
    ProgressiveTask,
    ProgressiveWeights,
    Schedule,
)
from revisage.lab.train.tasks.realesrgan import RRDB_X2, SceneSettings, SceneTask, SceneWeights
from revisage.lab.train.tasks.tone import ToneSettings, ToneTask

TASKS: dict[type, Callable[[Any], Task]] = {
    PriorSettings: PriorTask, FaceSettings: FaceTask, SceneSettings: SceneTask, StudentSettings: StudentTask,
    ProgressiveSettings: ProgressiveTask, DamageSettings: DamageTask, DetectorSettings: DetectorTask,
    IdentitySettings: IdentityTask, ExpressionSettings: ExpressionTask, ToneSettings: ToneTask,
}  # fmt: skip
"""Settings -> what they are of."""


@dataclass(frozen=True)
class Preset:
    """One way to train one system."""

    name: str
    """As given to --preset."""
    task: Callable[[Path], Any]
    """Data folder -> the task's settings."""
    loop: LoopSettings
    """Length and rate."""

    def make(self, settings: Any) -> Task:
        """The task. Raises UsageError when it lacks what its settings need."""
        if isinstance(settings, FaceSettings) and self.name == "paper-512":
            _check_paper(settings)
        return TASKS[type(settings)](settings)


def choose(system: str, name: str = "default") -> Preset:
    """The preset of a system by name. Raises UsageError naming the ones there are."""
    presets = PRESETS[system]
    for preset in presets:
        if name in (preset.name, "default"):
            return preset
    raise UsageError(f"no preset {name!r} for {system}; there are {', '.join(p.name for p in presets)}")


def _check_paper(settings: FaceSettings) -> None:
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


# fmt: off
TINY_LOOP = LoopSettings(images=512, batch=8, rate=2e-3, warmup=64, ema=64)
TINY_FACE = GFPGANConfig(
    64, unet=(16, 16, 16), prior=(16, 16), style_dim=16, latent_channels=8, stem=4, condition_layers=1,
    head_kernel=3, residual=True, deep=(0, 1, 1), attention=8, code=8, noise=False)
TINY_CRITIC = DiscriminatorConfig(32, (16, 16, 16), stem=2, reduce=2, power=0.5, conditional=True)
TINY_IDENTITY = MobileFaceNetConfig(
    16, ((1, 64, 1, 2), (1, 128, 1, 2), (1, 128, 1, 1), (1, 128, 1, 2), (1, 128, 1, 1)), last=64)
TINY_SCENE = SceneConfig(fine=16, coarse=16, blocks=(1, 1, 1), tail=1)
TINY_COMPACT = CompactConfig(features=24, layers=4, scale=2)
COMPACT_X2 = CompactConfig(features=48, layers=14, scale=2)
PAPER_512, PAPER_CRITIC = published_512(1), stylegan2_discriminator(512)

# LPIPS and EdgeFace are fooled by patterns of the stem's blocks, so the loss against these comes with them.
RECONSTRUCTION = partial(
    FaceSettings, identity_share=1.0, loss_weights=FaceWeights(
        laplacian=0.3, pyramid=0.1, lpips=1.2, features=0.1, identity=0.35, checkerboard=1000.0,
        equivariance=3.0))
PAPER_WEIGHTS = FaceWeights(
    l1=0.1, pyramid=1.0, vgg_style=50.0, features=0.0, identity=10.0, adversarial=0.1, component=1.0,
    matching=1.0, style=200.0, r1=10.0)
# The reconstruction leads: the critic's gradient is at most 22 % as long as that of the pixel loss.
COMPACT_PROGRESSIVE = ProgressiveWeights(
    Schedule(0.0, 4e-5, 1e-3), Schedule(1.0), Schedule(0.1), Schedule(0.1, 0.004, 0.2))
# The adversarial loss leads until epoch 20 or so: its gradient has length 1, that of the mean absolute error
# 1/222 at 128 px. The document has neither these numbers nor the optimiser's.
PAPER_PROGRESSIVE = ProgressiveWeights(
    Schedule(1.0), Schedule(10.0, 10.0), Schedule(1.0, 1.0), Schedule(1.0, 1.0))


def _progressive(*, encoder: bool) -> tuple[Preset, ...]:
    """The progressive GAN's presets for objective 2 (with the encoder) or 1."""
    batch = 16 if encoder else 32
    compact = ProgressiveConfig((96, 64, 32, 16), (3, 1, 1, 0), encoder)
    paper = ProgressiveConfig((512, 512, 256, 128), (1, 1, 1, 0), encoder, residual=False, skips=False)
    tiny = ProgressiveConfig((16, 16, 8, 8), (1, 0, 0, 0), encoder)
    return (
        Preset("compact",
               partial(ProgressiveSettings, network=compact, critic=(16, 32, 64, 96, 128),
                       loss_weights=COMPACT_PROGRESSIVE, penalty_share=0.25, early=4),
               LoopSettings(images=500_000, batch=batch, rate=1e-3, warmup=2000, beta1=0.5, ema=8000)),
        Preset("paper",
               partial(ProgressiveSettings, network=paper, critic=(128, 256, 512, 512, 512),
                       loss_weights=PAPER_PROGRESSIVE),
               LoopSettings(images=102 * 10_586, batch=batch, rate=1e-3, beta1=0.0, ema=10_000, clip=100.0)),
        Preset("tiny",
               partial(ProgressiveSettings, network=tiny, critic=(8, 8, 8, 16, 16),
                       loss_weights=COMPACT_PROGRESSIVE, penalty_share=0.25, early=2, validation=4),
               replace(TINY_LOOP, images=256)),
    )


PRESETS: dict[str, tuple[Preset, ...]] = {
    "prior": (
        Preset("compact-128", PriorSettings,
               LoopSettings(images=2_000_000, batch=8, rate=4e-4, beta1=0.0, ema=10_000, clip=10.0)),
        Preset("paper-512",
               partial(PriorSettings, network=PriorConfig.of(PAPER_512), discriminator=PAPER_CRITIC,
                       critic_rate=20.0),
               LoopSettings(images=25_000_000, batch=32, rate=1e-4, beta1=0.0, ema=10_000, clip=10.0)),
        Preset("tiny",
               partial(PriorSettings, network=PriorConfig.of(TINY_FACE, mapping=2), critic_rate=1.0,
                       discriminator=replace(TINY_CRITIC, reduce=1, conditional=False), validation=8),
               replace(TINY_LOOP, beta1=0.0)),
    ),
    "gfpgan": (
        # Stages, last one first: each starts from the one below it. What ships is of `reconstruction-256`.
        Preset("compact-256",
               partial(FaceSettings, loss_weights=FaceWeights(
                   laplacian=0.3, pyramid=0.05, adversarial=0.04, identity=0.8, lpips=1.2,
                   checkerboard=1000.0, equivariance=12.0)),
               # From reconstruction weights: a smaller rate.
               LoopSettings(images=1_000_000, batch=8, rate=5e-4, warmup=4000, ema=4000, optimizer="muon")),
        Preset("reconstruction-256", RECONSTRUCTION,
               LoopSettings(images=1_000_000, batch=8, rate=1e-3, ema=4000, optimizer="muon")),
        # The part of the compact network that needs no whole face to learn from.
        Preset("unet-256",
               partial(FaceSettings, network=replace(CLEAR_256, decoder=False), crop=128,
                       loss_weights=FaceWeights(laplacian=0.5, identity=0.0, features=0.0, lpips=0.0)),
               LoopSettings(images=2_000_000, batch=8, rate=8e-4, ema=8000)),
        # Ten minutes of one GPU: it stops after nine, and what it has is saved in small files as it goes.
        Preset("gpu-256", RECONSTRUCTION,
               LoopSettings(hours=0.15, batch=192, rate=1.5e-3, warmup=20_000, ema=20_000, optimizer="muon",
                            precision="bf16", loaders=15, processes=True, save_every=120, validate_every=1e9,
                            light=True)),
        # The paper's 2e-3 is for layers with the equalised learning rate, as the discriminators have; plain
        # ones of 512 features were turned by a tenth in every step and diverged.
        Preset("paper-512",
               partial(FaceSettings, network=PAPER_512, discriminator=PAPER_CRITIC, recipe="gfpgan-train",
                       fixed_prior=True, loss_weights=PAPER_WEIGHTS, identity_share=1.0, components="style",
                       critic_rate=20.0),
               LoopSettings(images=9_600_000, batch=12, rate=1e-4, beta1=0.0, ema=10_000, clip=10.0)),
        Preset("tiny",
               partial(FaceSettings, network=TINY_FACE, discriminator=TINY_CRITIC, components="style",
                       loss_weights=FaceWeights(laplacian=0.5, adversarial=0.1), validation=4),
               TINY_LOOP),
    ),
    "realesrgan": (
        Preset("compact-x2", partial(SceneSettings, network=COMPACT_X2, patch=64, around=120),
               LoopSettings(images=1_000_000, batch=16, rate=1e-3, ema=4000)),
        # Real-ESRGAN, §4.1: steps of 48 patches, a million for PSNR, then 400,000 with the adversarial loss.
        Preset("realesrnet-x2", partial(SceneSettings, network=RRDB_X2),
               LoopSettings(images=48_000_000, batch=48, rate=2e-4, ema=33_000)),
        Preset("realesrgan-x2",
               partial(SceneSettings, network=RRDB_X2, loss_weights=SceneWeights(adversarial=0.1)),
               LoopSettings(images=19_200_000, batch=48, rate=1e-4, ema=33_000)),
        Preset("tiny",
               partial(SceneSettings, network=TINY_COMPACT, recipe="first-order", sharpened=False,
                       discriminator=8, patch=32, around=48, validation=2),
               replace(TINY_LOOP, rate=5e-3)),
        Preset("student", StudentSettings,
               LoopSettings(images=1_000_000, batch=16, rate=1e-3, warmup=2000, ema=4000, optimizer="muon")),
        Preset("tiny-student",
               partial(StudentSettings, network=TINY_SCENE, patch=32, around=40, pool=32, reuse=4,
                       validation=2),
               TINY_LOOP),
    ),
    "progressive-upscale": _progressive(encoder=False),
    "progressive-restore": _progressive(encoder=True),
    "damage": (
        Preset("small", partial(DamageSettings, network=DamageConfig(blocks=1, trunk=True)),
               LoopSettings(images=500_000, batch=16, rate=2e-3, warmup=1000, ema=4000, optimizer="muon")),
        Preset("tiny",
               partial(DamageSettings, network=DamageConfig((8, 8, 16, 16), 1), patch=64, around=80, pool=32,
                       reuse=4, validation=4),
               TINY_LOOP),
    ),
    "tone": (
        Preset("small", ToneSettings,
               LoopSettings(images=2_000_000, batch=48, rate=1.5e-3, warmup=10_000, ema=5000, clip=5.0)),
        Preset("tiny", partial(ToneSettings, validation=4), TINY_LOOP),
    ),
    "finder": (
        Preset("small", partial(DetectorSettings, size=192),
               LoopSettings(images=150_000, batch=16, rate=1.5e-3, warmup=10_000, ema=20_000, clip=10.0,
                            precision="fp32")),
        Preset("tiny", partial(DetectorSettings, size=128, validation=4),
               replace(TINY_LOOP, images=64, precision="fp32")),
    ),
    "identity": (
        Preset("compact", IdentitySettings,
               LoopSettings(images=500_000, batch=32, rate=2e-3, ema=10_000, clip=5.0, precision="fp32")),
        Preset("tiny", partial(IdentitySettings, network=TINY_IDENTITY, validation=4),
               replace(TINY_LOOP, images=256, precision="fp32")),
    ),
    "expressions": (
        Preset("small", ExpressionSettings,
               LoopSettings(images=250_000, batch=64, rate=3e-3, warmup=5000, ema=20_000, clip=5.0)),
    ),
}
# fmt: on
