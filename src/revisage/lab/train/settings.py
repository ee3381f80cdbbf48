"""How long and how fast to train; and what holds of the settings of every system."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from revisage.errors import UsageError
from revisage.lab.degrade import RECIPES
from revisage.lab.train.precision import PRECISIONS


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast to train.

    Attributes:
        images: length of the training in images seen.
        hours: length in hours of training time instead (summed over restarts); the learning rate then
            follows the clock. Exactly one of the two is set.
        batch: images a step, over all processes.
        rate: peak learning rate of Adam; warmed up, then cosine to zero. A phase may have a multiple of it.
        beta1, beta2: Adam's decay rates. A phase may have a beta1 of its own.
        optimizer: "adam", or "muon" for the network that is averaged (`revisage.lab.train.muon`): more
            progress a step, and longer steps.
        warmup: images over which the rate rises linearly.
        ema: half-life of the averaged weights in images.
        clip: gradient norm above which the gradient is scaled down, in phases that are `clipped`.
        precision: "bf16" or "fp16" autocast (fp16 with a scaled loss), "fp32", or "auto": bf16 where this
            machine is quicker in it, else fp32.
        device: "auto" (a GPU where there is one), "cpu" or "cuda".
        threads: cores for the arithmetic; None takes all.
        loaders: threads that prepare samples.
        processes: whether these are processes instead: a GPU wants more pictures than the threads of one
            interpreter can make. Each holds up to three batches in shared memory.
        log_every, save_every: seconds between log lines and between checkpoints.
        validate_every: seconds between validations with a picture grid.
        light: save the averaged weights in half precision and nothing else, in files of at most 15 MiB: for a
            machine that is lent for minutes. Such a training cannot be resumed; `--init` goes on from it.
        seed: of what a step draws in torch. Samples and initial weights have the task's own seed.

    Raises UsageError when a value cannot be used.
    """

    images: int | None = None
    hours: float | None = None
    batch: int = 8
    rate: float = 1e-3
    warmup: int = 1000
    ema: float = 5000
    beta1: float = 0.9
    beta2: float = 0.99
    optimizer: str = "adam"
    clip: float = 1.0
    precision: str = "auto"
    device: str = "auto"
    threads: int | None = None
    loaders: int = 1
    processes: bool = False
    log_every: float = 30
    save_every: float = 300
    validate_every: float = 900
    light: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.images is None) == (self.hours is None):
            raise UsageError("set either images or hours as the length of the training")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision must be {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.optimizer not in ("adam", "muon"):
            raise UsageError(f"optimizer must be adam or muon, got {self.optimizer!r}")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"device must be auto, cpu or cuda, got {self.device!r}")
        for name in ("images", "hours", "batch", "rate", "ema", "clip", "threads", "loaders"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{name} must be above 0, got {value}")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise UsageError(f"seed must be at least 0, got {self.seed}")


def flat(settings: Any) -> dict[str, Any]:
    """Every setting by its name, those of `loss_weights` among the others."""
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    weights = values.pop("loss_weights", None)
    return values if weights is None else values | flat(weights)


def change(settings: Any, values: Mapping[str, Any]) -> Any:
    """A copy with these settings, loss weights among them by their own names."""
    weights = getattr(settings, "loss_weights", None)
    inner = {} if weights is None else {k: v for k, v in values.items() if k in flat(weights)}
    outer = {name: value for name, value in values.items() if name not in inner}
    if inner:
        outer["loss_weights"] = change(weights, inner)
    return replace(settings, **outer)


def explained(settings: Any) -> dict[str, str]:
    """What the docstring says of each of `flat`'s settings, to the end of the first sentence or clause."""
    section = (inspect.getdoc(type(settings)) or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    for entry in re.split(r"^    (?=\w)", section, flags=re.MULTILINE)[1:]:
        names, _, text = " ".join(entry.split()).partition(": ")
        found |= dict.fromkeys(names.split(", "), re.split(r"[.;:](?: |$)", text)[0])
    weights = getattr(settings, "loss_weights", None)
    if weights is None:
        return found
    return found | {name: f"loss weight: {text}" for name, text in explained(weights).items()}


def check(settings: Any, *, shares: tuple[str, ...] = (), counts: tuple[str, ...] = ()) -> None:
    """Raises UsageError for what several systems have: `shares` from 0 to 1, `counts` of at least 1, `recipe`
    and `pool` with `reuse`, where there are these."""
    for name in shares:
        if not 0 <= getattr(settings, name) <= 1:
            raise UsageError(f"{name} must be between 0 and 1, got {getattr(settings, name)}")
    for name in counts:
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} must be at least 1, got {getattr(settings, name)}")
    if getattr(settings, "recipe", "face") not in RECIPES:
        raise UsageError(f"no recipe {settings.recipe!r}; there are {', '.join(RECIPES)}")
    pool, reuse = getattr(settings, "pool", 1), getattr(settings, "reuse", 1)
    if reuse < 1 or pool < 1 or pool % reuse:
        raise UsageError(f"pool ({pool}) must be a multiple of reuse ({reuse}), both at least 1")
