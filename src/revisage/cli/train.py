"""`revisage train`: train one of the systems."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import types
import typing
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from filelock import FileLock, Timeout
from tyro.conf import Positional, arg

from revisage import zoo
from revisage.cli._parse import Exit, parse
from revisage.cli._say import say
from revisage.errors import RevisageError, TrainingError, UsageError
from revisage.files import write_atomically
from revisage.zoo.features import FEATURES


@dataclass(frozen=True)
class Options:
    """Train a model. Killed and started again with the same command, the training goes on where it was."""

    system: Positional[
        Annotated[
            Literal["prior", "gfpgan", "realesrgan", "progressive", "finder", "identity", "expressions"],
            arg(metavar="SYSTEM"),
        ]
    ]
    """prior (StyleGAN2 on faces), gfpgan (restoring faces), realesrgan (whole photos),
    progressive (small faces), finder, identity (face embedding), or expressions (their classifier)."""
    data: Path
    """Training pictures: aligned faces for prior, gfpgan and identity, photographs for realesrgan, one folder
    of whole pictures per person for progressive, a folder with scenes, faces256 and lfw128 for finder, one
    folder of faces per expression for expressions."""
    out: Annotated[Path, arg(metavar="RUN")]
    """Folder for checkpoints, samples and logs."""
    objective: Literal["upscale", "restore"] | None = None
    """Of progressive: upscale a picture of 16 px, or restore one of 128 px."""
    preset: str = "default"
    """Named settings; default is the first of the system. gfpgan: compact-256, identity-256,
    reconstruction-256, unet-256, gpu-256, paper-512, tiny; prior: compact-128, paper-512, tiny; realesrgan:
    compact-x2, realesrnet-x2, realesrgan-x2, tiny, student, tiny-student; progressive: compact, paper, tiny;
    finder: small, tiny; identity: compact, tiny; expressions: small."""
    set: Annotated[tuple[str, ...], arg(metavar="KEY=VALUE")] = ()
    """Change settings of the data and losses or of the loop, such as hours=2 batch=16 identity=0.2; an
    unknown KEY shows all of the system. Weights that were pulled go by their name: vgg_weights=vgg19."""
    init: Annotated[Path | None, arg(metavar="FILE.onnx|NAME|RUN")] = None
    """Start from the weights of an exported model, for example of revisage-face-256, or of another training's
    folder, when RUN has no checkpoint."""


def main(argv: Sequence[str]) -> int:
    """Run the command; 0: trained to the end, 1: failed, 2: bad usage."""
    try:
        options = parse(Options, "train", argv)
        from revisage.lab.train import presets
    except Exit as stop:
        return stop.code
    except ModuleNotFoundError as error:
        say(f"revisage train: {error.name} is missing: pip install 'revisage[train]'", error=True)
        return 1
    from revisage.lab.train.distributed import end_distributed
    from revisage.lab.train.loop import train

    try:
        system = _system(options)
        chosen = presets.choose(system, options.preset)
        changes = dict(_pair(text) for text in options.set)
        settings = chosen.task(options.data)
        known = _names(chosen.loop) | _names(settings)
        unknown = [key for key in changes if key not in known]
        if unknown:
            raise UsageError(f"no setting {unknown[0]!r}; there are {', '.join(sorted(known))}")
        loop, settings = override(chosen.loop, changes), override(settings, changes)
        init = None if options.init is None else _exported(options.init)
        task = chosen.make(settings)
        _claim(options.out, {"system": system, "preset": chosen.name})
        with _alone(options.out):
            train(task, options.out, loop, init=init)
    except RevisageError as error:
        say(f"revisage train: {error}", error=True)
        return 2 if isinstance(error, UsageError) else 1
    except Timeout:
        say(f"revisage train: another training is writing to {options.out}", error=True)
        return 1
    except OSError as error:
        say(f"revisage train: {options.out} cannot be written: {error}", error=True)
        return 1
    finally:
        end_distributed()
    return 0


def _system(options: Options) -> str:
    """The system's name among the presets: of progressive there is one for each objective."""
    if (options.system == "progressive") != (options.objective is not None):
        raise UsageError("train progressive takes --objective upscale or restore; no other system takes one")
    return options.system if options.objective is None else f"{options.system}-{options.objective}"


def _claim(run: Path, chosen: dict[str, str]) -> None:
    """Note in `run` what is trained there. Raises TrainingError when it holds another training."""
    run.mkdir(parents=True, exist_ok=True)
    note, text = run / "preset.json", json.dumps(chosen) + "\n"
    if not note.exists():
        write_atomically(note, text.encode())  # processes of one training come here together
    if note.read_text() != text:
        raise TrainingError(f"{run} holds another training, {note.read_text().strip()}: use another --out")


def _alone(run: Path) -> AbstractContextManager[object]:
    """Hold `run` against a second training; of processes that share one the first holds it for all.

    Entering raises Timeout when another one holds it.
    """
    return FileLock(run / ".lock", timeout=0) if os.environ.get("RANK", "0") == "0" else nullcontext()


def _exported(model: Path) -> Path:
    """What --init names: a path that ends in .onnx, a training's folder, or an installed model."""
    known = model.suffix.lower() == ".onnx" or (model / "checkpoints").is_dir()
    return model if known else zoo.get(str(model)).path


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set takes KEY=VALUE, got {text!r}")
    return key, value


def _names(settings: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(settings)}


def override(settings: Any, changes: dict[str, str]) -> Any:
    """A copy of a frozen dataclass with those of its fields that `changes` names read from text.

    Setting `images` clears `hours` and the other way round, since a training has one length. Raises
    UsageError when a text does not fit its field.
    """
    hints = typing.get_type_hints(type(settings))
    values: dict[str, Any] = {}
    for key, text in changes.items():
        if key in _names(settings):
            values[key] = _read(key, text, hints[key])
    for key, other in (("hours", "images"), ("images", "hours")):
        if key in values:
            values.setdefault(other, None)
    return dataclasses.replace(settings, **values)


def _read(key: str, text: str, kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        if text.lower() == "none":
            return None
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    if kind is bool:
        if text not in ("0", "1"):
            raise UsageError(f"{key} must be 0 or 1, got {text!r}")
        return text == "1"
    if kind not in (int, float, str, Path):
        raise UsageError(f"{key} cannot be set on the command line; choose another --preset")
    if kind is Path and text in FEATURES and not Path(text).exists():
        return zoo.resolve("features", text).path
    try:
        value = kind(text)
    except ValueError:
        raise UsageError(f"{key} must be {kind.__name__}, got {text!r}") from None
    if kind in (int, float) and not 0 <= value < math.inf:
        raise UsageError(f"{key} must be a number of at least 0, got {text!r}")
    return value
