"""The one training loop, shared by all systems. Killed and started again, it goes on where it was."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from revisage.errors import PictureError, TrainingError
from revisage.lab.data.loader import Loader, Sample
from revisage.lab.train import checkpoint
from revisage.lab.train.distributed import DistributedContext, init_distributed
from revisage.lab.train.init import measure_norms, start_from
from revisage.lab.train.log import Log
from revisage.lab.train.precision import autocast
from revisage.lab.train.settings import LoopSettings
from revisage.lab.train.state import State
from revisage.lab.train.task import Batch, Phase, Task

MAX_BAD_STEPS = 50
OUTLIER = 1000
"""A gradient this many times as long as it may be before it is clipped is no step to take."""


def done(settings: LoopSettings, images: int, seconds: float) -> float:
    """The share of the training that is over; 1 and more: all of it."""
    if settings.images is not None:
        return images / settings.images
    assert settings.hours is not None
    return seconds / (settings.hours * 3600)


def learning_rate(settings: LoopSettings, images: int, seconds: float) -> float:
    """Linear warm-up, then half a cosine down to zero at the end of the training."""
    cosine = 0.5 * (1 + math.cos(math.pi * min(done(settings, images, seconds), 1)))
    return settings.rate * cosine * min(1.0, (images + settings.batch) / max(settings.warmup, 1))


def step(
    phase: Phase, state: State, batch: Batch, settings: LoopSettings, context: DistributedContext
) -> tuple[dict[str, float], bool]:
    """One update of one phase: its losses, and whether it was applied: not with an `OUTLIER` or no number."""
    network, optimizer = state.networks[phase.network], state.optimizers[phase.network]
    scaler = state.scalers[phase.network]
    _leave_alone_the_rest(phase, state)
    with autocast(settings.precision, context.device):
        losses = phase.losses(batch)
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(torch.stack(list(losses.values())).sum()).backward()
    context.average_gradients(network)
    scaler.unscale_(optimizer)
    longest = settings.clip if phase.clipped else math.inf
    norm = nn.utils.clip_grad_norm_(network.parameters(), longest)
    # Rarely one sample's gradient explodes; clipped, its direction would still be taken for all of them.
    sound = bool(norm < OUTLIER * longest)
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
            parameter.requires_grad_(key == phase.network and not name.startswith(phase.fixed))


def gradient_norms(
    phase: Phase, state: State, batch: Batch, settings: LoopSettings, context: DistributedContext
) -> dict[str, float]:
    """Length of the gradient of each loss of a phase by itself, weighted as it is in the sum: one a hundredth
    of another's has no say. `batch` is as the phase was given it. Weights and buffers stay as they are."""
    network, scaler = state.networks[phase.network], state.scalers[phase.network]
    _leave_alone_the_rest(phase, state)
    buffers = [(b, b.clone()) for other in state.networks.values() for b in other.buffers()]

    def losses() -> dict[str, Tensor]:
        with autocast(settings.precision, context.device):
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


def train(  # noqa: PLR0912, PLR0915
    task: Task,
    run: Path,
    settings: LoopSettings,
    *,
    init: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    begun: Callable[[int], object] = lambda images: None,
) -> nn.Module:
    """Train until the set length is reached, or until `stop()`; returns the averaged network. Before the
    first step `begun` is called with the images that an earlier run has seen.

    In `run`: checkpoints/, samples/ (picture grids), TensorBoard scalars, log.csv. Started again it resumes
    from the newest checkpoint; without one, the averaged network starts from the exported model `init`, if
    given. Under `torchrun` the processes share every batch; `run` must then be one folder for all.

    Raises TrainingError when gradients explode over many steps or weights become no numbers, when a
    checkpoint does not fit, and when a picture cannot be read, after what was trained so far is saved.
    """
    if settings.threads:
        torch.set_num_threads(settings.threads)
    context = init_distributed(settings.device)
    phases, local = task.phases(), context.local_batch(settings.batch)
    state, folder = State.fresh(task, settings, context.device), run / "checkpoints"
    fresh = _begin(task, state, folder, init)
    context.check_same_checkpoint(state.images)
    context.broadcast_weights(task.networks.values())
    if done(settings, state.images, state.seconds) >= 1:
        if context.rank == 0:
            print(f"{run} is trained to {state.images:,} images already: a larger images or hours goes on")
        return state.ema.network
    begun(state.images)

    def make(number: int) -> Sample:
        step, index = divmod(number, local)
        return task.sample(first + step * settings.batch + context.rank * local + index)

    first = state.images
    workers, processes, pin = settings.loaders, settings.processes, context.device.type == "cuda"
    ahead = 2 if processes else 3
    loader = Loader(make, batch=local, workers=workers, ahead=ahead, processes=processes, pin=pin)
    log = Log(run if context.rank == 0 else None, settings, state.images)
    if fresh:
        parts = dict.fromkeys(layer.partition(".")[0] for layer in fresh)
        log.say(f"with fresh weights, as not all of it is in {init}: {', '.join(parts)}")
    last, validated, kept = time.monotonic(), state.seconds, state.seconds
    bad = dict.fromkeys((p.name for p in phases), 0)
    several: dict[str, tuple[Phase, Batch]] = {}

    def keep() -> None:
        _check_finite(state, folder)
        if settings.light:
            measure_norms(state.ema.network, task.sample)
            checkpoint.save_light(folder, state.ema.network)
        else:
            checkpoint.save_numbered(folder, state.images, state.pack())

    with closing(log), _keeping(keep, state, first, context), closing(iter(loader)) as batches:
        for made in batches:
            batch = {key: value.to(context.device, non_blocking=True) for key, value in made.items()}
            torch.manual_seed((settings.seed + state.images + (context.rank << 40)) % 2**63)
            rate = learning_rate(settings, state.images, state.seconds)
            number = state.images // settings.batch
            for phase in (p for p in phases if number % p.interval == 0):
                state.optimizers[phase.network].param_groups[0]["lr"] = rate * phase.rate
                given = dict(batch)  # phases leave in the batch what the next ones need
                stats, applied = step(phase, state, batch, settings, context)
                log.add(stats, skipped=not applied)
                # One loss has the gradient of the sum, which is logged anyhow; a lent machine has no time.
                if len(stats) > 2 and not settings.light:
                    several[phase.name] = phase, given
                bad[phase.name] = 0 if applied else bad[phase.name] + 1
                if bad[phase.name] >= MAX_BAD_STEPS:
                    what = "steps in a row had exploding or non-finite gradients"
                    raise _diverged(f"{MAX_BAD_STEPS} {what}", folder)
            state.images += settings.batch
            state.ema.update(task.networks[task.averaged], settings.batch, state.images)

            now = time.monotonic()
            state.seconds, last = context.of_first(state.seconds + now - last), now
            over = done(settings, state.images, state.seconds) >= 1
            log.tick(state.images, state.seconds, rate, loader.waited, force=over)
            stopped = context.of_first(stop()) > 0
            save = context.rank == 0 and (over or stopped or state.seconds - kept >= settings.save_every)
            if save and settings.light:
                kept = state.seconds
                keep()
            if context.rank == 0 and (over or state.seconds - validated >= settings.validate_every):
                validated = state.seconds
                _check_finite(state, folder)
                for phase, given in several.values():
                    lengths = gradient_norms(phase, state, given, settings, context)
                    log.write("gradient_norms", lengths, state.images, "gradient norms")
                _validate(task, state, log, folder, keep=not settings.light)
                last = time.monotonic()
            if save and not settings.light:
                kept = state.seconds
                keep()
            if over or stopped:
                break
    return state.ema.network


@contextmanager
def _keeping(
    keep: Callable[[], None], state: State, first: int, context: DistributedContext
) -> Iterator[None]:
    """One file that cannot be read, found after hours, does not cost them."""
    try:
        yield
    except PictureError as error:
        if context.rank == 0 and state.images > first:
            keep()
        raise PictureError(f"{error}, and start again: {state.images:,} images are kept") from None


def _check_finite(state: State, folder: Path) -> None:
    """Before these weights take the place of good ones."""
    for network in (*state.networks.values(), state.ema.network):
        if not all(torch.isfinite(value).all() for value in network.state_dict().values()):
            raise _diverged("weights are no finite numbers", folder)


def _diverged(what: str, folder: Path) -> TrainingError:
    before = f"; the checkpoints in {folder} are from before" if any(folder.glob("*.pt")) else ""
    return TrainingError(f"the training has diverged, {what}: lower `rate`, or set precision=fp32{before}")


def _validate(task: Task, state: State, log: Log, folder: Path, *, keep: bool) -> None:
    """Figures and samples of the averaged network; with `keep` it is saved in `folder` as the best when it
    is. Raises TrainingError when it gives no numbers."""
    measure_norms(state.ema.network, task.sample)
    figures = task.validate(state.ema.network)
    log.write("validation", figures, state.images, "held out")
    if math.isnan(figures[task.best]):  # weights can be finite and too large for any picture
        raise _diverged(f"{task.best} of the held-out pictures is no number", folder)
    log.picture(task.pictures(state.ema.network), state.images)
    if figures[task.best] > state.best:
        state.best = figures[task.best]
        if keep:
            checkpoint.save(folder, "best", state.pack())


def _begin(task: Task, state: State, folder: Path, init: Path | None) -> list[str]:
    """From the newest checkpoint, else from the exported model `init`, whose missing layers are returned."""
    saved = checkpoint.newest(folder)
    if saved is None and (folder / "weights-0.pt").is_file():
        again = f"--out with another folder and --init {folder.parent} goes on from them"
        raise TrainingError(f"{folder} has the weights of a light training, which is not resumed: {again}")
    if saved is not None:
        state.restore(checkpoint.load(saved), saved)
    if saved is not None or init is None:
        return []
    fresh = start_from(task.networks[task.averaged], init)
    state.ema.network.load_state_dict(task.networks[task.averaged].state_dict())
    return fresh
