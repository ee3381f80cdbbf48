"""Where models are on this machine, and which one a name or a task means.

Looked in, in this order: the package, the folders of the environment variable `REVISAGE_MODELS`, the user's
model folder, where `pull` and `import` put theirs. A file of the catalogue is known by its name and checked
by its sha256, or the one in its metadata of the checkpoint it was made from; any other `.onnx` file by the
contract in its metadata, named by its file name without the ending.
"""

import os
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

from revisage.errors import (
    ModelCorruptError,
    ModelError,
    ModelMissingError,
    SaveError,
    UnknownModelError,
    UsageError,
    did_you_mean,
)
from revisage.files import absent, sha256, typed, write_atomically
from revisage.zoo.catalogue import CATALOGUE
from revisage.zoo.checkpoints import SUFFIXES
from revisage.zoo.contract import read_contract
from revisage.zoo.spec import EMBEDDED, Model, ModelSpec, is_name, name_of

PARTIAL = ".partial"  # inside the user's model folder: what is not whole yet


def user_folder() -> Path:
    """The user's model folder (not created): `revisage/models` in the platform's cache folder."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("revisage", appauthor=False)) / "models"


def folders() -> list[Path]:
    """Every folder models are looked for in, first match first; some may not exist."""
    named = os.environ.get("REVISAGE_MODELS", "")
    own = [typed(entry) for entry in named.split(os.pathsep) if entry.strip()]
    return [EMBEDDED, *own, user_folder()]


def find(spec: ModelSpec) -> Path | None:
    """The file of a catalogue model, unchecked, or None when it is not on this machine."""
    return next((path for folder in folders() if (path := folder / spec.file).is_file()), None)


def find_checkpoint(spec: ModelSpec) -> Path | None:
    """The published checkpoint of a catalogue model with the right sha256, or None when it is not here."""
    if spec.checkpoint is None:
        return None
    here = (folder / spec.checkpoint for folder in folders())
    return next((path for path in here if path.is_file() and sha256(path) == spec.sha256), None)


def intact(model: Model) -> bool:
    """Whether a file is the catalogue's; True for the user's own. Raises ModelError when unreadable."""
    if model.spec.sha256 is None:
        return True
    if model.spec.checkpoint is not None:
        return read_contract(model.path).source == model.spec.sha256
    status = model.path.stat()
    return _known_sha256(model.path, status.st_size, status.st_mtime_ns) == model.spec.sha256


def installed() -> list[Model]:
    """The models here: the catalogue's in order, then the user's own. `resolve` tells which are damaged."""
    return _survey()[0]


def ignored() -> dict[Path, str]:
    """The `.onnx` files in the model folders that are no usable models, each with its reason."""
    return _survey()[1]


def resolve(task: str, name: str = "auto") -> Model:
    """The model that `--model NAME` means: `name` of a `task` (of `TASKS`), the path of an `.onnx` file (must
    end so), or "auto", the catalogue's first that is installed, or else the first of the user's own; those
    for whole pictures of one face are asked for by name.

    Raises UnknownModelError (no model of that name, no such file, or it is of another task),
    ModelMissingError (it is known, but its weights are not on this machine), ModelCorruptError (its file does
    not have the catalogue's sha256, or breaks its contract).
    """
    if name == "auto":
        models = [m for m in installed() if m.spec.task == task and m.spec.framing == "template"]
        if models:
            return _checked(models[0])
        known = [s.name for s in CATALOGUE.values() if s.task == task and s.framing == "template"]
        if known:
            raise ModelMissingError(how_to_get(CATALOGUE[known[0]]))
        raise UnknownModelError(f"no {task} model is known; `revisage models import FILE` adds one")
    file = typed(name) if name.lower().endswith(".onnx") else None
    if file is not None and not file.exists():
        raise UnknownModelError(str(absent(file)))
    model = get(name) if file is None else _by_path(file)
    if model.spec.task != task:
        fitting = ", ".join(one.spec.name for one in installed() if one.spec.task == task) or "none"
        raise UnknownModelError(f"{name} is a {model.spec.task} model; installed {task} models: {fitting}")
    return _checked(model)


def destination(name: str, source: str | None) -> Path:
    """Where a model imported as `name` goes, made from a checkpoint with the sha256 `source` or from none.
    Raises UsageError when the name cannot be used, or is the catalogue's and this is not its model."""
    if not is_name(name):
        raise UsageError(f"{name!r} cannot name a model: use letters, digits, '.', '_' and '-'")
    spec = CATALOGUE.get(name)
    if spec is not None and (spec.checkpoint is None or spec.sha256 != source):
        raise UsageError(f"{name} is a model of the catalogue; give yours another name with --as NAME")
    return user_folder() / f"{name}.onnx"


def import_model(file: Path, name: str | None = None) -> Path:
    """Copy an `.onnx` file that carries the contract into the user's model folder, by `name` or else the name
    in its metadata; the copy, which appears whole or not at all.

    Raises UsageError (not an `.onnx` file, or the name cannot be used or is taken by another model),
    ModelMissingError (no such file, or the folder cannot be written to), and what `read_contract` does.
    """
    file = Path(file)
    if file.suffix.lower() != ".onnx":
        raise UsageError(
            f"{file} is no model: give an .onnx file, as `revisage export` makes it, a checkpoint (.pth, "
            ".safetensors), or ncnn's .param file with its .bin file beside it"
        )
    contract = read_contract(file)
    target = destination(contract.name if name is None else name, contract.source)
    if target.exists():
        if sha256(target) == sha256(file):
            return target
        raise UsageError(f"{target} exists and differs; remove it or give another name with --as NAME")
    try:
        write_atomically(target, file.read_bytes())
    except (OSError, SaveError) as error:
        raise ModelMissingError(str(error)) from None
    return target


@lru_cache(maxsize=64)
def _known_sha256(path: Path, size: int, time: int) -> str:
    # Size and time are part of the key, so that a replaced file is read again.
    return sha256(path)


def _survey() -> tuple[list[Model], dict[Path, str]]:
    models = [Model(spec, path) for spec in CATALOGUE.values() if (path := find(spec)) is not None]
    catalogue_files = {spec.file for spec in CATALOGUE.values()}
    own: dict[str, Model] = {}
    refused: dict[Path, str] = {}
    for path in (path for folder in folders() for path in sorted(folder.glob("*"))):
        if path.suffix.lower() != ".onnx" or path.name in catalogue_files or not path.is_file():
            continue
        try:
            model = _by_path(path)
        except ModelError as error:
            refused[path] = str(error)
            continue
        first = own.setdefault(model.spec.name, model)
        if first is not model:
            refused[path] = f"{path}: {first.path} has the same name and comes first"
    return models + [own[name] for name in sorted(own)], refused


def _by_path(path: Path) -> Model:
    contract = read_contract(path)
    stated = asdict(contract) | {"name": name_of(path) or contract.name}
    del stated["source"]
    told, size = f"your own ({contract.name})", path.stat().st_size
    return Model(ModelSpec(**stated, file=path.name, bytes=size, description=told), path)


def get(name: str) -> Model:
    """The installed model of that name, whatever its task, unchecked; raises as `resolve` does."""
    if name in CATALOGUE:
        path = find(CATALOGUE[name])
        if path is None:
            raise ModelMissingError(how_to_get(CATALOGUE[name]))
        return Model(CATALOGUE[name], path)
    models = {model.spec.name: model for model in installed()}
    if name in models:
        return models[name]
    raise unknown(name, [*CATALOGUE, *models])


def unknown(name: str, known: Iterable[str]) -> UnknownModelError:
    """What to raise for a name of no model."""
    if Path(name).suffix.lower() in SUFFIXES:
        return UnknownModelError(f"{name} is no model: `revisage models import {name}` makes one of it")
    hint = did_you_mean(name, known) or "; `revisage models list` shows the known ones"
    return UnknownModelError(f"no model is called {name!r}{hint}")


def how_to_get(spec: ModelSpec) -> str:
    """What is told of a catalogue model that is not on this machine, or damaged."""
    if spec.url is None and spec.task == "features":
        wish = f"put {spec.file} into {user_folder()} ({spec.description})"
        return f"{spec.name} is not on this machine: {wish}"
    if spec.url is None:
        return f"{spec.name} comes with the package but is missing or damaged: install revisage again"
    return f"{spec.name} is not on this machine; `revisage models pull {spec.name}` gets it"


def _checked(model: Model) -> Model:
    if not intact(model):
        origin = "was not made from the checkpoint" if model.spec.checkpoint else "does not have the sha256"
        raise ModelCorruptError(
            f"{model.path} {origin} of {model.spec.name}; remove it and "
            + ("pull it again" if model.spec.url else "install revisage again")
        )
    return model
