"""The one training loop, shared by all systems. Killed and started again, it goes on where it was."""

from __future__ import annotations

import math
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from revisage.errors import TrainingError
from revisage.lab.data.loader import Loader
from revisage.lab.train import checkpoint
from revisage.lab.train.distributed import DistributedContext, init_distributed
from revisage.lab.train.init import load_exported
from revisage.lab.train.log import Log
from revisage.lab.train.settings import PRECISIONS, LoopSettings
from revisage.lab.train.state import State
from revisage.lab.train.task import Batch, Phase, Task

MAX_BAD_STEPS = 50
OUTLIER = 1000
"""A gradient this many times as long as it may be before it is clipped is no step to take."""


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
    phase: Phase, state: State, batch: Batch, settings: LoopSettings, context: DistributedContext
) -> tuple[dict[str, float], bool]:
    """One update of one phase; returns its losses and whether it was applied: not with a gradient that is
    not finite, or an `OUTLIER`."""
    network, optimizer = state.networks[phase.network], state.optimizers[phase.network]
    scaler = state.scalers[phase.network]
    _leave_alone_the_rest(phase, state)
    dtype = PRECISIONS[settings.precision]
    with torch.autocast(context.device.type, dtype, enabled=dtype is not None):
        losses = phase.losses(batch)
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(torch.stack(list(losses.values())).sum()).backward()
    context.average_gradients(network)
    scaler.unscale_(optimizer)
    norm = nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
    # Rarely one sample's gradient explodes; clipped, its direction would still be taken for all of them.
    sound = bool(norm < OUTLIER * settings.clip)
    if sound:
        scaler.step(optimizer)
    scaler.update()
    stats = {f"{phase.name}/{name}": float(loss.detach()) for name, loss in losses.items()}
    stats[f"{phase.name}/gradient"] = float(norm)
    return stats, sound


def _leave_alone_the_rest(phase: Phase, state: State) -> None:
    """Only what a phase updates gets gradients: those of other weights cost time."""
    for key, network in state.networks.items():
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(key == phase.network and name.startswith(phase.part))


def gradient_norms(
    phase: Phase, state: State, batch: Batch, settings: LoopSettings, context: DistributedContext
) -> dict[str, float]:
    """Length of the gradient of each loss of a phase by itself, weighted as it is in the sum.

    A loss whose gradient is a hundredth of another's has no say, whatever its value. `batch` is as the phase
    was given it. Weights and buffers stay as they are.
    """
    network, scaler = state.networks[phase.network], state.scalers[phase.network]
    _leave_alone_the_rest(phase, state)
    buffers = [(b, b.clone()) for other in state.networks.values() for b in other.buffers()]
    dtype = PRECISIONS[settings.precision]

    def losses() -> dict[str, Tensor]:
        with torch.autocast(context.device.type, dtype, enabled=dtype is not None):
            return phase.losses(dict(batch))

    lengths = {}
    # Each from a forward pass of its own: a compiled network cannot keep its graph for a second loss.
    for name in list(losses()):
        network.zero_grad(set_to_none=True)
        scaler.scale(losses()[name]).backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        lengths[f"{phase.name}/{name}"] = float(nn.utils.get_total_norm(gradients)) / scaler.get_scale()
    network.zero_grad(set_to_none=True)
    for buffer, before in buffers:
        buffer.copy_(before)
    return lengths


def train(task: Task, run: Path, settings: LoopSettings, *, init: Path | None = None) -> nn.Module:
    """Train until the set length is reached; returns the averaged network.

    In `run`: checkpoints/, samples/ (picture grids), TensorBoard scalars, log.csv. Started again with the
    same arguments it resumes from the newest checkpoint, and returns at once when that is the last. Without
    one, the averaged network starts from the exported model `init`, if given. Under `torchrun` the processes
    share every batch; `run` must then be one folder for all.

    Raises TrainingError when gradients explode or are not finite over many steps, or a checkpoint does not
    fit.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    context = init_distributed(settings.device)
    phases, local = task.phases(), context.local_batch(settings.batch)
    state, folder = State.fresh(task, settings, context.device), run / "checkpoints"
    _begin(task, state, folder, init)
    context.check_same_checkpoint(state.images)
    context.broadcast_weights(task.networks.values())
    if _finished(settings, state.images, state.seconds):
        return state.ema.network

    def make(number: int) -> dict[str, np.ndarray]:
        step, index = divmod(number, local)
        return task.sample(begun + step * settings.batch + context.rank * local + index)

    begun = state.images
    loader = Loader(make, batch=local, threads=settings.loaders)
    log = Log(run if context.rank == 0 else None, settings, state.images)
    last, validated, kept = time.monotonic(), state.seconds, state.seconds
    bad = dict.fromkeys((p.name for p in phases), 0)
    several: dict[str, tuple[Phase, Batch]] = {}
    with closing(log), closing(iter(loader)) as batches:
        for arrays in batches:
            batch = context.move({key: torch.from_numpy(value) for key, value in arrays.items()})
            torch.manual_seed((settings.seed + state.images + (context.rank << 40)) % 2**63)
            rate = learning_rate(settings, state.images, state.seconds)
            number = state.images // settings.batch
            for phase in (p for p in phases if number % p.interval == 0):
                state.optimizers[phase.network].param_groups[0]["lr"] = rate * phase.rate
                given = dict(batch)  # phases leave in the batch what the next ones need
                stats, applied = step(phase, state, batch, settings, context)
                log.add(stats, skipped=not applied)
                if len(stats) > 2:  # one loss has the gradient of the sum, which is logged anyhow
                    several[phase.name] = phase, given
                bad[phase.name] = 0 if applied else bad[phase.name] + 1
                if bad[phase.name] >= MAX_BAD_STEPS:
                    raise _diverged(folder)
            state.images += settings.batch
            state.ema.update(task.networks[task.averaged], settings.batch, state.images)

            now = time.monotonic()
            state.seconds, last = context.clock(state.seconds + now - last), now
            done = _finished(settings, state.images, state.seconds)
            log.tick(state.images, state.seconds, rate, loader.waited, force=done)
            if context.rank == 0 and (done or state.seconds - validated >= settings.validate_every):
                validated = state.seconds
                for phase, given in several.values():
                    log.gradient_norms(gradient_norms(phase, state, given, settings, context), state.images)
                _validate(task, state, log, folder)
                last = time.monotonic()
            if context.rank == 0 and (done or state.seconds - kept >= settings.save_every):
                kept = state.seconds
                checkpoint.save_numbered(folder, state.images, state.pack())
            if done:
                break
    return state.ema.network


def _validate(task: Task, state: State, log: Log, folder: Path) -> None:
    """Figures and samples of the averaged network; kept as the best when it is."""
    figures = task.validate(state.ema.network)
    log.validation(figures, state.images)
    log.picture(task.pictures(state.ema.network), state.images)
    if figures[task.best] > state.best:
        state.best = figures[task.best]
        checkpoint.save(folder, "best", state.pack())


def _begin(task: Task, state: State, folder: Path, init: Path | None) -> None:
    """From the newest checkpoint; without one from the exported model `init`; else from fresh weights."""
    saved = checkpoint.newest(folder)
    if saved is not None:
        state.restore(checkpoint.load(saved), saved)
    elif init is not None:
        load_exported(task.networks[task.averaged], init, task.sample)
        state.ema.restart(task.networks[task.averaged])


def _diverged(folder: Path) -> TrainingError:
    return TrainingError(
        f"{MAX_BAD_STEPS} steps in a row had exploding or non-finite gradients: lower `rate`, or set "
        f"precision=fp32; the checkpoints in {folder} are from before"
    )


def _finished(settings: LoopSettings, images: int, seconds: float) -> bool:
    if settings.images is not None:
        return images >= settings.images
    assert settings.hours is not None
    return seconds >= settings.hours * 3600
