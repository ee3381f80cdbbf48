"""One digest of everything that decides what a photo becomes, the models' weights included."""

import json
from dataclasses import asdict, replace

from revisage import zoo
from revisage.files import sha256
from revisage.label import certificate_digest
from revisage.options import SaveOptions
from revisage.restore import RestoreOptions, Restorer, Settings
from revisage.restore.memory import free_share
from revisage.version import __version__


def fingerprint(settings: Settings, options: RestoreOptions, saving: SaveOptions) -> str:
    """SHA-256 in hex of what the results of a run depend on.

    How many photos are in hand, the memory and the limits of decoding are not part of it: they change no
    picture (tiles of another size change it by less than one level). The version of revisage is.

    Raises ModelError when a model is unknown or missing, SigningError when the certificate cannot be read.
    """
    saved = asdict(replace(saving, sign=None))
    del saved["sign"], saved["overwrite"]
    if saving.sign is not None:  # neither the key nor where the two lie are part of it
        saved["sign"] = [certificate_digest(saving.sign), saving.sign.timestamp]
    values = {
        "version": __version__,
        "models": _models(settings, options),
        "device": settings.device,
        "precision": settings.precision,
        "options": asdict(options),
        "saving": saved,
    }
    return sha256(json.dumps(values, sort_keys=True).encode())


def _models(settings: Settings, options: RestoreOptions) -> dict[str, list[str]]:
    """SHA-256 of the files of each model, and in which proportion two are mixed."""
    found: dict[str, list[str]] = {}
    for task, name in (("face", settings.model), ("scene", settings.scene)):
        if name == "none":
            continue
        mixed = zoo.mixture(task, name) if task == "scene" else None
        found[task] = _digests(mixed.first if mixed else zoo.resolve(task, name))
        if mixed is not None:
            found[task] += [sha256(mixed.second.path), f"{mixed.weight:g}"]
    needed = {
        "damage": options.repair != "off" and options.mask is None,
        "tone": options.colour == "revive",
        "finder": "face" in found or options.turn == "auto" or options.red_eyes,
        "identity": "face" in found and options.guard is not None,
    }
    return found | {task: [sha256(zoo.resolve(task).path)] for task, is_so in needed.items() if is_so}


def _digests(model: zoo.Model) -> list[str]:
    """SHA-256 of a model's file, and of those that do its work in 8 bits or at the photo's own size."""
    twins = (zoo.resolve(model.spec.task, name) for name in (model.spec.int8, model.spec.same_size) if name)
    return [sha256(model.path), *(digest for twin in twins for digest in _digests(twin))]


def make_restorer(settings: Settings, threads: int | None) -> Restorer:
    """The Restorer of one process or node; `threads` for a model's run count where the settings name none."""
    return Restorer(settings, threads=settings.threads or threads)


def shared_memory(settings: Settings) -> Settings:
    """The same with the memory for tiles named, so that every process cuts photos into the same tiles."""
    return settings if settings.memory else replace(settings, memory=max(free_share() >> 20, 1))
