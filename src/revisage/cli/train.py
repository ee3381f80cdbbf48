"""`revisage train`: train one of the systems."""

import dataclasses
import json
import math
import os
import shutil
import textwrap
import typing
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal

from filelock import FileLock, Timeout

from revisage import zoo
from revisage.cli._interrupt import interruptible
from revisage.cli._parse import parse
from revisage.errors import TrainingError, UsageError, did_you_mean
from revisage.files import typed, write_atomically
from revisage.options import Arg

System = Literal[
    "prior", "gfpgan", "realesrgan", "progressive", "damage", "tone", "finder", "identity", "expressions"
]
SYSTEMS: tuple[str, ...] = typing.get_args(System)
COMMON = frozenset(
    {"images", "hours", "batch", "rate", "precision", "device", "threads", "loaders", "recipe", "seed"}
)
"""What people set, beside files and folders; all else is for experts."""
_READ = (int, float, str, bool, Path)


@dataclass(frozen=True)
class Options:
    """Train a model. Killed and started again with the same command, the training goes on where it was."""

    system: Annotated[System, Arg(metavar="SYSTEM", positional=True)]
    """prior (StyleGAN2 on faces), gfpgan (restoring faces), realesrgan (whole photos),
    progressive (small faces), damage (finding marks), tone (how a photo has faded), finder, identity (face
    embedding), or expressions (their classifier)."""
    data: Path
    """Training pictures: aligned faces for prior, gfpgan and identity, photographs for realesrgan, damage and
    tone, one folder of whole pictures per person for progressive, a folder with scenes, faces256 and lfw128
    for finder, one folder of faces per expression for expressions."""
    out: Annotated[Path, Arg(metavar="RUN")]
    """Folder for checkpoints, samples and logs."""
    objective: Literal["upscale", "restore"] | None = None
    """Of progressive: upscale a picture of 16 px, or restore one of 128 px."""
    preset: str = "default"
    """Named settings of the system, the first if not given; `revisage train SYSTEM --help` lists them."""
    set: Annotated[tuple[str, ...], Arg(metavar="KEY=VALUE")] = ()
    """Change settings, such as hours=2 batch=16 identity=0.2; `revisage train SYSTEM --help` lists them.
    Weights that were pulled go by their name: vgg_weights=vgg19."""
    init: Annotated[Path | None, Arg(metavar="FILE.onnx|NAME|RUN")] = None
    """Start from the weights of an exported model, for example of revisage-face-256, or of another training's
    folder, when RUN has no checkpoint."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: trained to the end, 1: failed, 2: bad usage. KeyboardInterrupt with its exit code
    when a signal ended the training, once it is kept."""
    try:
        options = parse(Options, "train", argv)
    except SystemExit as stop:
        system = next((word for word in argv if word in SYSTEMS), None)
        if stop.code == 0 and system is not None:
            with suppress(ModuleNotFoundError):  # without PyTorch there are none
                _show_settings(system, argv)
        raise
    from revisage.lab.train import presets
    from revisage.lab.train.distributed import end_distributed
    from revisage.lab.train.loop import train
    from revisage.lab.train.settings import flat

    try:
        system = _system(options)
        chosen = presets.choose(system, options.preset)
        changes = dict(_pair(text) for text in options.set)
        settings = chosen.task(options.data)
        known = flat(chosen.loop) | flat(settings)
        unknown = [key for key in changes if key not in known]
        if unknown:
            hint = did_you_mean(unknown[0], known) or f"; there are {', '.join(sorted(known))}"
            raise UsageError(f"no setting {unknown[0]!r}{hint}")
        loop, settings = override(chosen.loop, changes), override(settings, changes)
        init = options.init  # an .onnx file, a training's folder, or an installed model
        if init is not None and init.suffix.lower() != ".onnx" and not (init / "checkpoints").is_dir():
            if init.suffix.lower() == ".pt" and init.is_file():
                raise UsageError(f"--init {init}: give the training's folder or a file of `revisage export`")
            init = zoo.get(str(init)).path
        run = options.out.resolve()
        for key, value in flat(settings).items():
            if isinstance(value, Path) and run.is_relative_to(value.resolve()):
                own = "it would learn from its own sample pictures"
                raise UsageError(
                    f"--out {options.out} lies inside {key}={value}, {own}: give a folder elsewhere"
                )
        task = chosen.make(settings)
        options.out.mkdir(parents=True, exist_ok=True)
        # Of processes that share a training the first holds it for all.
        first = os.environ.get("RANK", "0") == "0"
        with FileLock(options.out / ".lock", timeout=0) if first else nullcontext():
            begun = _claim(options, system, chosen.name, {"task": settings, "loop": loop})
            with interruptible(hand="step in hand") as asked:
                train(task, options.out, loop, init=init, stop=asked.is_set, begun=begun)
            if asked.is_set():
                raise KeyboardInterrupt(128 + asked.number)
    except Timeout:
        raise TrainingError(f"another training is writing to {options.out}") from None
    except OSError as error:
        raise TrainingError(f"{options.out} cannot be written: {error}") from error
    finally:
        end_distributed()
    return 0


def _system(options: Options) -> str:
    """The system's name among the presets: of progressive there is one for each objective."""
    if (options.system == "progressive") != (options.objective is not None):
        raise UsageError("train progressive takes --objective upscale or restore; no other system takes one")
    return options.system if options.objective is None else f"{options.system}-{options.objective}"


def _claim(options: Options, system: str, preset: str, settings: dict[str, Any]) -> Callable[[int], None]:
    """What writes down what is trained in the run once it begins, and tells what has changed since. Raises
    TrainingError when the folder holds another training."""
    path, chosen = options.out / "settings.json", {"system": system, "preset": preset}
    before: dict[str, Any] = {}
    if path.exists():
        try:
            before = dict(json.loads(path.read_text()))
        except (TypeError, ValueError):
            raise TrainingError(f"{path} is damaged: delete it to go on from its checkpoints") from None
        if any(before.get(key) != value for key, value in chosen.items()):
            what = f"{before.get('preset')} of {before.get('system')}"
            raise TrainingError(f"{options.out} holds another training, {what}: use another --out")
    told = {key: dataclasses.asdict(value) for key, value in settings.items()}
    text = json.dumps(chosen | told, indent=2, default=str) + "\n"

    def begun(images: int) -> None:
        if os.environ.get("RANK", "0") != "0":
            return
        if images:
            old, new = _plain(before), _plain(json.loads(text))
            changed = [
                f"{key} {old[key]} -> {new[key]}" for key in new if key in old and old[key] != new[key]
            ]
            ignored = ["--init is ignored"] if options.init is not None else []
            print(f"going on from {images:,} images", *changed, *ignored, sep="; ")
        write_atomically(path, text.encode())

    return begun


def _plain(told: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a settings.json by their names, loss weights among them."""
    inner = [_plain(value) for value in told.values() if isinstance(value, dict)]
    return dict(ChainMap({k: v for k, v in told.items() if not isinstance(v, dict)}, *inner))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set takes KEY=VALUE, got {text!r}")
    return key, value


def _show_settings(system: str, argv: Sequence[str]) -> None:
    """Print the presets and settings of a system, those that people set first, with what the preset has."""
    from revisage.lab.train import presets
    from revisage.lab.train.settings import explained, flat

    if system == "progressive":
        system = f"progressive-{'restore' if 'restore' in argv else 'upscale'}"
    names = [preset.name for preset in presets.PRESETS[system]]
    chosen = presets.choose(system, next((word for word in argv if word in names), "default"))
    width = max(shutil.get_terminal_size().columns, 100)
    print(f"\nPresets of {system}: {', '.join(names)}.")
    groups: dict[bool, list[str]] = {True: [], False: []}
    seen = {"data"}  # --data
    for settings in (chosen.task(Path("DIR")), chosen.loop):
        texts = explained(settings)
        for name, value in flat(settings).items():
            kind = _type(settings, name)
            if kind in _READ and name not in seen:
                seen.add(name)
                line = textwrap.shorten(texts[name], width - 33, placeholder=" …")
                groups[name in COMMON or kind is Path].append(f"  {name:17}{_shown(value):>12}  {line}")
    for common, lines in groups.items():
        print(f"\n--set, {'what people set' if common else 'expert'}; values are those of {chosen.name}:")
        print("\n".join(lines))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return "none" if value is None else "''" if value == "" else str(value)


def override(settings: Any, changes: dict[str, str]) -> Any:
    """A copy of a frozen dataclass with those of its fields that `changes` names read from text. Setting
    `images` clears `hours` and the other way round, since a training has one length. Raises UsageError when a
    text does not fit its field."""
    from revisage.lab.train.settings import change, flat

    known, hints = flat(settings), typing.get_type_hints(type(settings))
    values = {
        key: _read(key, text, _type(settings, key), optional=NoneType in typing.get_args(hints.get(key)))
        for key, text in changes.items()
        if key in known
    }
    for key, other in (("hours", "images"), ("images", "hours")):
        if key in values:
            values.setdefault(other, None)
    return change(settings, values)


def _type(settings: Any, name: str) -> Any:
    """The type of a setting, of `loss_weights` as well, without its None."""
    hints = typing.get_type_hints(type(settings))
    if name not in hints:
        return _type(settings.loss_weights, name)
    kind = hints[name]
    if isinstance(kind, UnionType):
        kind = next(part for part in typing.get_args(kind) if part is not NoneType)
    return str if typing.get_origin(kind) is Literal else kind


def _read(key: str, text: str, kind: Any, *, optional: bool) -> Any:
    if optional and text.lower() == "none":
        return None
    if kind is bool:
        if text not in ("0", "1"):
            raise UsageError(f"{key} must be 0 or 1, got {text!r}")
        return text == "1"
    if kind not in _READ:
        raise UsageError(f"{key} cannot be set on the command line; choose another --preset")
    known = zoo.CATALOGUE.get(text)
    if kind is Path and known is not None and known.task == "features" and not Path(text).exists():
        return zoo.resolve("features", text).path
    try:
        value: Any = typed(text) if kind is Path else kind(text)
    except ValueError:
        kind_of = "a whole number" if kind is int else "a number"
        raise UsageError(f"{key} must be {kind_of}, got {text!r}") from None
    if kind in (int, float) and not 0 <= value < math.inf:
        raise UsageError(f"{key} must be a number of at least 0, got {text!r}")
    return value
