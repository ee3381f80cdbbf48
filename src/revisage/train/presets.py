"""Named settings: `revisage train SYSTEM --preset NAME`. The first of a system is its default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from revisage.errors import UsageError
from revisage.networks.compact import SCENE_X2, CompactConfig
from revisage.networks.finder import FinderConfig
from revisage.networks.gfpgan import COMPACT_256, GFPGANConfig
from revisage.train.finder import FinderSettings, FinderTask
from revisage.train.gfpgan import FaceSettings, FaceTask
from revisage.train.loop import LoopSettings
from revisage.train.realesrgan import SceneSettings, SceneTask
from revisage.train.task import Task

TINY_LOOP = LoopSettings(images=512, batch=8, rate=2e-3, warmup=64, ema=64)
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


@dataclass(frozen=True)
class Preset:
    """One way to train one system.

    Attributes:
        name: as given to --preset.
        task: data folder -> the task's settings.
        make: settings -> the task.
        loop: length and rate.
    """

    name: str
    task: Callable[[Path], Any]
    make: Callable[[Any], Task]
    loop: LoopSettings


PRESETS: dict[str, tuple[Preset, ...]] = {
    "gfpgan": (
        Preset(
            "compact-256",
            lambda data: FaceSettings(data=data, network=COMPACT_256),
            FaceTask,
            LoopSettings(images=1_000_000, batch=8, rate=1e-3, ema=4000),
        ),
        Preset("tiny", lambda data: FaceSettings(data=data, network=TINY_FACE), FaceTask, TINY_LOOP),
    ),
    "realesrgan": (
        Preset(
            "compact-x2",
            lambda data: SceneSettings(data=data, network=SCENE_X2),
            SceneTask,
            LoopSettings(images=1_000_000, batch=16, rate=1e-3, ema=4000),
        ),
        Preset(
            "tiny",
            lambda data: SceneSettings(data=data, network=CompactConfig(8, 2), patch=32, around=48),
            SceneTask,
            TINY_LOOP,
        ),
    ),
    "finder": (
        Preset(
            "small",
            lambda data: FinderSettings(data=data, teacher=data.parent / "models" / "yunet_2026may.onnx"),
            FinderTask,
            LoopSettings(images=600_000, batch=16, rate=2e-3, precision="fp32"),
        ),
        Preset(
            "tiny",
            lambda data: FinderSettings(
                data=data,
                teacher=data.parent / "models" / "yunet_2026may.onnx",
                network=FinderConfig(),
                size=128,
                validation=4,
            ),
            FinderTask,
            replace(TINY_LOOP, images=64, precision="fp32"),
        ),
    ),
}


def choose(system: str, name: str = "default") -> Preset:
    """The preset of a system by name. Raises UsageError naming the ones there are."""
    presets = PRESETS[system]
    for preset in presets:
        if name in (preset.name, "default"):
            return preset
    raise UsageError(f"no preset {name!r} for {system}; there are {', '.join(p.name for p in presets)}")
