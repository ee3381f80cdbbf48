"""The one training loop, shared by all systems. Killed and started again, it goes on where it was."""

from __future__ import annotations

import math
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

from revisage.data.loader import Loader
from revisage.errors import TrainingError, UsageError
from revisage.train import checkpoint
from revisage.train.ema import EMA
from revisage.train.init import load_exported
from revisage.train.log import Log
from revisage.train.task import Batch, Phase, Task

MAX_BAD_STEPS = 50


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast to train.

    Attributes:
        images: length of the training in images seen.
        hours: length in hours of training time instead (summed over restarts); the learning rate then
            follows the clock. Exactly one of the two is set.
        batch: images a step.
        rate: peak learning rate of Adam; warmed up, then cosine to zero.
        warmup: images over which the rate rises linearly.
        ema: half-life of the averaged weights in images.
        clip: gradient norm above which the gradient is scaled down.
        precision: "bf16" autocast or "fp32".
        threads: cores for the arithmetic; None takes all.
        loaders: threads that prepare samples.
        log_every, save_every: seconds between log lines and between checkpoints.
        validate_every: seconds between validations with a picture grid.
        seed: of what a step draws in torch. Samples and initial weights have the task's own seed.

    Raises UsageError when a value cannot be used.
    """

    images: int | None = None
    hours: float | None = None
    batch: int = 8
    rate: float = 1e-3
    warmup: int = 1000
    ema: float = 5000
    clip: float = 1.0
    precision: str = "bf16"
    threads: int | None = None
    loaders: int = 1
    log_every: float = 30
    save_every: float = 300
    validate_every: float = 900
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.images is None) == (self.hours is None):
            raise UsageError("set either images or hours as the length of the training")
        if self.precision not in ("bf16", "fp32"):
            raise UsageError(f"precision must be bf16 or fp32, got {self.precision!r}")
        for name in ("images", "hours", "batch", "rate", "ema", "clip", "threads", "loaders"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} must be above 0, got {value}")
        if self.seed < 0:
            raise UsageError(f"seed must be at least 0, got {self.seed}")


def learning_rate(settings: LoopSettings, images: int, seconds: float) -> float:
    """Linear warm-up, then half a cosine down to zero at the end of the training."""
    if settings.images is not None:
        done = images / settings.images
    else:
        assert settings.hours is not None
        done = seconds / (settings.hours * 3600)
    cosine = 0.5 * (1 + math.cos(math.pi * min(done, 1)))
    return settings.rate * cosine * min(1.0, (images + settings.batch) / max(settings.warmup, 1))


def step(
    phase: Phase, network: nn.Module, optimizer: torch.optim.Optimizer, batch: Batch, settings: LoopSettings
) -> tuple[dict[str, float], bool]:
    """One update of one phase; returns its losses and whether it was applied (a non-finite one is not)."""
    device = next(network.parameters()).device.type
    with torch.autocast(device, torch.bfloat16, enabled=settings.precision == "bf16"):
        losses = phase.losses(batch)
    optimizer.zero_grad(set_to_none=True)
    torch.stack(list(losses.values())).sum().backward()
    norm = nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
    finite = bool(torch.isfinite(norm))
    if finite:
        optimizer.step()
    stats = {f"{phase.name}/{name}": float(loss.detach()) for name, loss in losses.items()}
    stats[f"{phase.name}/gradient"] = float(norm)
    return stats, finite


def train(task: Task, run: Path, settings: LoopSettings, *, init: Path | None = None) -> nn.Module:
    """Train until the set length is reached; returns the averaged network.

    In `run`: checkpoints/, samples/ (picture grids), TensorBoard scalars, log.csv. Started again with the
    same arguments it resumes from the newest checkpoint, and returns at once when that is the last. Without
    one, the averaged network starts from the exported model `init`, if given.

    Raises TrainingError when the loss stays non-finite over many steps or a checkpoint does not fit.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    networks, phases = task.networks, task.phases()
    for network in networks.values():
        network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizers = {
        p.name: torch.optim.Adam(networks[p.network].parameters(), betas=(0.9, 0.99)) for p in phases
    }
    saved = checkpoint.newest(run / "checkpoints")
    if saved is None and init is not None:
        load_exported(networks[task.averaged], init)
    ema = EMA(networks[task.averaged], settings.ema)
    images, seconds, best = 0, 0.0, -math.inf
    if saved is not None:
        images, seconds, best = _restore(checkpoint.load(saved), saved, networks, optimizers, ema)
    if _finished(settings, images, seconds):
        return ema.network

    loader = Loader(task.sample, batch=settings.batch, start=images, threads=settings.loaders)
    log = Log(run, settings, images)
    last, validated, kept = time.monotonic(), seconds, seconds
    bad = dict.fromkeys(optimizers, 0)
    with closing(log), closing(iter(loader)) as batches:
        for arrays in batches:
            batch = {key: torch.from_numpy(value) for key, value in arrays.items()}
            torch.manual_seed((settings.seed + images) % 2**63)
            rate = learning_rate(settings, images, seconds)
            number = images // settings.batch
            for phase in (p for p in phases if number % p.interval == 0):
                optimizer = optimizers[phase.name]
                optimizer.param_groups[0]["lr"] = rate
                stats, applied = step(phase, networks[phase.network], optimizer, batch, settings)
                bad[phase.name] = 0 if applied else bad[phase.name] + 1
                if bad[phase.name] >= MAX_BAD_STEPS:
                    raise TrainingError(
                        f"{MAX_BAD_STEPS} steps in a row had non-finite gradients: lower `rate`, or set "
                        f"precision=fp32; the checkpoints in {run / 'checkpoints'} are from before"
                    )
                log.add(stats, skipped=not applied)
            images += settings.batch
            ema.update(networks[task.averaged], settings.batch, images)

            now = time.monotonic()
            seconds, last = seconds + now - last, now
            done = _finished(settings, images, seconds)
            log.tick(images, seconds, rate, loader.waited, force=done)
            if done or seconds - validated >= settings.validate_every:
                validated = seconds
                figures = task.validate(ema.network)
                log.validation(figures, images)
                Image.fromarray(task.pictures(ema.network)).save(run / "samples" / f"{images:010d}.png")
                if figures[task.best] > best:
                    best = figures[task.best]
                    checkpoint.save(
                        run / "checkpoints",
                        "best",
                        _state(networks, optimizers, ema, images=images, seconds=seconds, best=best),
                    )
                last = time.monotonic()
            if done or seconds - kept >= settings.save_every:
                kept = seconds
                checkpoint.save_numbered(
                    run / "checkpoints",
                    images,
                    _state(networks, optimizers, ema, images=images, seconds=seconds, best=best),
                )
            if done:
                break
    return ema.network


def _finished(settings: LoopSettings, images: int, seconds: float) -> bool:
    if settings.images is not None:
        return images >= settings.images
    assert settings.hours is not None
    return seconds >= settings.hours * 3600


def _state(
    networks: dict[str, nn.Module],
    optimizers: dict[str, torch.optim.Adam],
    ema: EMA,
    *,
    images: int,
    seconds: float,
    best: float,
) -> dict[str, Any]:
    return {
        "networks": {name: network.state_dict() for name, network in networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
        "ema": ema.network.state_dict(),
        "images": images,
        "seconds": seconds,
        "best": best,
    }


def _restore(
    state: dict[str, Any],
    path: Path,
    networks: dict[str, nn.Module],
    optimizers: dict[str, torch.optim.Adam],
    ema: EMA,
) -> tuple[int, float, float]:
    try:
        for name, network in networks.items():
            network.load_state_dict(state["networks"][name])
        for name, optimizer in optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        ema.network.load_state_dict(state["ema"])
        return int(state["images"]), float(state["seconds"]), float(state["best"])
    except (KeyError, RuntimeError, ValueError) as error:
        message = str(error).splitlines()[0]
        raise TrainingError(
            f"checkpoint {path} is of another network ({message}): use another --out, or the same settings"
        ) from None
