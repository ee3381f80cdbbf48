"""How long and how fast to train; and what holds of the settings of every system."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from revisage import options
from revisage.errors import UsageError
from revisage.lab.degrade import RECIPES
from revisage.lab.train.precision import PRECISIONS


@dataclass(frozen=True)
class LoopSettings:
    """How long and how fast to train.

    Raises UsageError when a value cannot be used.
    """

    images: int | None = None
    """Length of the training in images seen."""
    hours: float | None = None
    """Length in hours of training time instead (summed over restarts); the learning rate then follows the
    clock. Exactly one of the two is set."""
    batch: int = 8
    """Images a step, over all processes."""
    rate: float = 1e-3
    """Peak learning rate of Adam; warmed up, then cosine to zero. A phase may have a multiple of it."""
    warmup: int = 1000
    """Images over which the rate rises linearly."""
    ema: float = 5000
    """Half-life of the averaged weights in images."""
    beta1: float = 0.9
    """Adam's decay rate of the momentum. A phase may have one of its own."""
    beta2: float = 0.99
    """Adam's decay rate of the squares."""
    optimizer: str = "adam"
    """"adam", or "muon" for the network that is averaged (`revisage.lab.train.muon`): more progress a step,
    and longer steps."""
    clip: float = 1.0
    """Gradient norm above which the gradient is scaled down, in phases that are `clipped`."""
    precision: str = "auto"
    """"bf16" or "fp16" autocast (fp16 with a scaled loss), "fp32", or "auto": bf16 where this machine is
    quicker in it, else fp32."""
    device: str = "auto"
    """"auto" (a GPU where there is one), "cpu" or "cuda"."""
    threads: int | None = None
    """Cores for the arithmetic; None takes all."""
    loaders: int = 1
    """Threads that prepare samples."""
    processes: bool = False
    """Whether these are processes instead: a GPU wants more pictures than the threads of one interpreter can
    make. Each holds up to three batches in shared memory."""
    log_every: float = 30
    """Seconds between log lines."""
    save_every: float = 300
    """Seconds between checkpoints."""
    validate_every: float = 900
    """Seconds between validations with a picture grid."""
    light: bool = False
    """Save the averaged weights in half precision and nothing else, in files of at most 15 MiB: for a machine
    that is lent for minutes. Such a training cannot be resumed; `--init` goes on from it."""
    seed: int = 0
    """Of what a step draws in torch. Samples and initial weights have the task's own seed."""

    def __post_init__(self) -> None:
        if (self.images is None) == (self.hours is None):
            raise UsageError("set either images or hours as the length of the training")
        choices = {"precision": PRECISIONS, "optimizer": ("adam", "muon"), "device": ("auto", "cpu", "cuda")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise UsageError(f"{name} must be {', '.join(allowed)}, got {getattr(self, name)!r}")
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
    """What is said of each of `flat`'s settings, to the end of the first sentence or clause."""
    found: dict[str, str] = {}
    for names, text in options.explained(type(settings)).items():
        found |= dict.fromkeys(names.split(", "), re.split(r"[.;:](?: |$)", text)[0])
    weights = getattr(settings, "loss_weights", None)
    if weights is None:
        return found
    return found | {name: f"Loss weight: {text}" for name, text in explained(weights).items()}


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
