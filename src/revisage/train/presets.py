"""Named settings: `revisage train SYSTEM --preset NAME`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from revisage.networks.compact import SCENE_X2, CompactConfig
from revisage.networks.gfpgan import COMPACT_256, GFPGANConfig
from revisage.train.loop import LoopSettings

System = Literal["gfpgan", "realesrgan", "finder"]


@dataclass(frozen=True)
class FacePreset:
    network: GFPGANConfig
    loop: LoopSettings


@dataclass(frozen=True)
class ScenePreset:
    network: CompactConfig
    loop: LoopSettings


TINY_FACE = GFPGANConfig(
    size=64,
    unet=(16, 16, 16),
    prior=(16, 16, 16),
    style_dim=16,
    latent_channels=8,
    stem=4,
    condition_layers=1,
    head_kernel=3,
    residual=True,
    noise=False,
)

FACE: dict[str, FacePreset] = {
    "compact-256": FacePreset(COMPACT_256, LoopSettings(images=1_000_000, batch=8, rate=1e-3)),
    "tiny": FacePreset(TINY_FACE, LoopSettings(images=512, batch=8, rate=2e-3, warmup=64, ema=64)),
}
SCENE: dict[str, ScenePreset] = {
    "compact-x2": ScenePreset(SCENE_X2, LoopSettings(images=1_000_000, batch=16, rate=1e-3)),
    "tiny": ScenePreset(
        CompactConfig(features=8, layers=2), LoopSettings(images=512, batch=8, rate=2e-3, warmup=64, ema=64)
    ),
}
