"""How long and how fast to train; and what holds of the settings of every system."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal

from annotated_types import Interval

from revisage import options
from revisage.errors import UsageError
from revisage.lab.degrade import RECIPES
from revisage.options import Checked, Precision


@dataclass(frozen=True)
class LoopSettings(Checked):
    """How long and how fast to train. Raises UsageError when a value cannot be used."""

    images: Annotated[int | None, Interval(gt=0)] = None
    """Length of the training in images seen."""
    hours: Annotated[float | None, Interval(gt=0)] = None
    """Length in hours of training time instead (summed over restarts); the learning rate then follows the
    clock. Exactly one of the two is set."""
    batch: Annotated[int, Interval(ge=1, le=1 << 20)] = 8
    """Images a step, over all processes."""
    rate: Annotated[float, Interval(gt=0)] = 1e-3
    """Peak learning rate of Adam; warmed up, then cosine to zero. A phase may have a multiple of it."""
    warmup: int = 1000
    """Images over which the rate rises linearly."""
    ema: Annotated[float, Interval(gt=0)] = 5000
    """Half-life of the averaged weights in images."""
    beta1: float = 0.9
    """Adam's decay rate of the momentum. A phase may have one of its own."""
    beta2: float = 0.99
    """Adam's decay rate of the squares."""
    optimizer: Literal["adam", "muon"] = "adam"
    """"adam", or "muon" for the averaged network (`revisage.lab.train.muon`): longer steps, of more use."""
    clip: Annotated[float, Interval(gt=0)] = 1.0
    """Gradient norm above which the gradient is scaled down, in phases that are `clipped`."""
    precision: Precision = "auto"
    """"bf16" or "fp16" autocast (fp16 with a scaled loss), "fp32", or "auto": bf16 where that is quicker."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """"auto" (a GPU where there is one), "cpu" or "cuda"."""
    threads: Annotated[int | None, Interval(ge=1, le=4096)] = None
    """Cores for the arithmetic; None takes all."""
    loaders: Annotated[int, Interval(gt=0)] = 1
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
    seed: Annotated[int, Interval(ge=0, le=(1 << 63) - 1)] = 0
    """Of what a step draws in torch. Samples and initial weights have the task's own seed."""

    def __post_init__(self) -> None:
        if (self.images is None) == (self.hours is None):
            raise UsageError("set either images or hours as the length of the training")
        super().__post_init__()
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise UsageError(f"beta1 and beta2 must be at least 0, below 1, got {self.beta1}, {self.beta2}")


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


def check(
    settings: Any, *, shares: tuple[str, ...] = (), counts: tuple[str, ...] = (), unit: int | None = None
) -> None:
    """Raises UsageError for what several systems have: `shares` from 0 to 1, `counts` of at least 1, `patch`,
    a multiple of `unit` and at most `around`, `recipe` and `pool` with `reuse`, where there are these."""
    for name in shares:
        if not 0 <= getattr(settings, name) <= 1:
            raise UsageError(f"{name} must be between 0 and 1, got {getattr(settings, name)}")
    for name in counts:
        if getattr(settings, name) < 1:
            raise UsageError(f"{name} must be at least 1, got {getattr(settings, name)}")
    if unit is not None and (settings.patch % unit or not unit <= settings.patch <= settings.around <= 4096):
        wish = f"a multiple of {unit} and at most around ({settings.around}), itself at most 4096"
        raise UsageError(f"patch must be {wish}, got {settings.patch}")
    if getattr(settings, "recipe", "face") not in RECIPES:
        raise UsageError(f"no recipe {settings.recipe!r}; there are {', '.join(RECIPES)}")
    pool, reuse = getattr(settings, "pool", 1), getattr(settings, "reuse", 1)
    if not 1 <= reuse <= pool <= 1 << 24 or pool % reuse:
        raise UsageError(f"pool ({pool}) must be a multiple of reuse ({reuse}), both from 1 to {1 << 24}")
