"""What is compared: text such as "input", "revisage-face-256", "a.onnx>b.pth", "ours=outputs/" -> methods.

METHOD is [LABEL=]CHAIN; CHAIN is MEAN>MEAN>..., one after the other; MEAN is ONE+ONE+..., the mean of their
pictures; ONE is "input", "bicubic", "restore", a model's name, NAME:0.3 or NAME+OTHER:0.3 (weights mixed, as
`revisage restore --scene` takes it), an .onnx file, a checkpoint, or a folder of results made elsewhere.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from revisage import runtime, zoo
from revisage.errors import FaceError, ModelError, UsageError
from revisage.files import sha256, typed
from revisage.lab.data.pictures import all_pictures, fit
from revisage.lab.evaluate import networks
from revisage.lab.evaluate.data import Data, read, stem
from revisage.options import Precision, RestoreOptions, Settings
from revisage.restore import Restorer
from revisage.zoo import checkpoints

_MIXTURE = re.compile(r"[^+>]+\+[^+>]+:[0-9.]+")


@dataclass(frozen=True)
class MethodSettings(Settings):
    """How models are run."""

    precision: Precision = "fp32"
    """In fp32 machines agree best."""
    aligned: bool = False
    """A face model gets the pictures as they are, on the FFHQ template or whole; else it restores the faces
    that are found in them, as `revisage restore --scene none` does. Colours are the model's own, as with
    `--colour enhance`; only "restore" keeps the photo's, its default."""


@dataclass(frozen=True)
class Method:
    """One way from a picture to a restored one."""

    identity: Any
    """Says in JSON types all that decides the outcome, hashes of weights included."""
    run: Callable[[str, np.ndarray, int], np.ndarray]
    """(name, (h, w, 3) uint8, scale) -> (h scale, w scale, 3) uint8; the name is the picture's."""


def open_methods(texts: Sequence[str], settings: MethodSettings, data: Data) -> dict[str, Method]:
    """The methods that the texts name by their labels, opened. Metrics use as many threads as they do.

    Raises UsageError (a text is none of the above, two have one label, a folder lacks a picture of the data,
    or two results would have one name), ModelError (a model is unknown, missing or corrupt),
    RuntimeUnavailableError (a library is missing).
    """
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)  # for the metrics
    methods: dict[str, Method] = {}
    for text in texts:
        label, chain = _labelled(text.strip())
        if label in methods:
            raise UsageError(f"two methods are called {label}: name them with LABEL=METHOD")
        methods[label] = _chain(chain, settings, data)
    if not methods:
        raise UsageError("no method is given")
    data.check_names()
    return methods


def _labelled(text: str) -> tuple[str, str]:
    label, equals, chain = text.partition("=")
    if equals:
        if not label or not chain:
            raise UsageError(f"{text!r}: a method with a label is LABEL=METHOD")
        return label, chain
    if not text:
        raise UsageError("a method is empty: --methods takes them separated by commas")
    # Of files the name, in each part of a chain.
    return "".join(
        part if part in ">+" else Path(part).stem if _is_file(part) else part
        for part in re.split(r"([>+])", text)
    ), text


def _is_file(text: str) -> bool:
    suffix = Path(text).suffix.lower()
    return suffix == ".onnx" or suffix in checkpoints.SUFFIXES or "/" in text


def _chain(text: str, settings: MethodSettings, data: Data) -> Method:
    """Steps one after another; the first one enlarges."""
    first, *others = steps = [_mean(part.strip(), settings, data) for part in text.split(">")]
    if not others:
        return first

    def run(name: str, picture: np.ndarray, scale: int) -> np.ndarray:
        picture = first.run(name, picture, scale)
        for step in others:
            picture = step.run(name, picture, 1)
        return picture

    return Method({"chain": [step.identity for step in steps]}, run)


def _mean(text: str, settings: MethodSettings, data: Data) -> Method:
    """The mean of what several steps make of the same picture, rounded."""
    parts = [text] if _MIXTURE.fullmatch(text) else text.split("+")
    steps = [_one(part.strip(), settings, data) for part in parts]
    if len(steps) == 1:
        return steps[0]

    def run(name: str, picture: np.ndarray, scale: int) -> np.ndarray:
        pictures = [step.run(name, picture, scale).astype(np.float32) for step in steps]
        return np.rint(np.mean(pictures, axis=0)).astype(np.uint8)

    return Method({"mean": [step.identity for step in steps]}, run)


def _one(text: str, settings: MethodSettings, data: Data) -> Method:
    path = typed(text) if text else Path()
    if text in _PLAIN:
        return _PLAIN[text]
    if text and path.is_dir() and text not in zoo.CATALOGUE:
        return _results(path, data)
    opened = partial(
        runtime.open_session, device=settings.device, precision=settings.precision, threads=settings.threads
    )
    if path.suffix.lower() in checkpoints.SUFFIXES:
        return _network(networks.open_checkpoint(path, opened), settings)
    if path.suffix.lower() == ".onnx" and not zoo.read_metadata(path).get("revisage.task"):
        return _network(networks.open_onnx(path, opened(path)), settings)
    if "/" in text and path.suffix.lower() != ".onnx":
        raise UsageError(f"no folder {text}: give a folder of results, a file of weights or a model's name")
    return _restore(settings) if text == "restore" else _model(text, settings)


def _bicubic(name: str, picture: np.ndarray, scale: int) -> np.ndarray:
    height, width = picture.shape[:2]
    return cv2.resize(picture, (width * scale, height * scale), interpolation=cv2.INTER_CUBIC)


_PLAIN: dict[str, Method] = {
    # The picture as it is; at a larger size its pixels are repeated.
    "input": Method("input", lambda _, picture, scale: picture.repeat(scale, axis=0).repeat(scale, axis=1)),
    "bicubic": Method("bicubic", _bicubic),
}


def _results(folder: Path, data: Data) -> Method:
    """Pictures made elsewhere, with the data's names but for the extension."""
    paths = {stem(p.relative_to(folder).as_posix()): p for p in all_pictures(folder)}
    if missing := [item.name for item in data.items if stem(item.name) not in paths]:
        raise UsageError(
            f"{folder} has no result for {missing[0]} ({len(missing)} missing): results have the names "
            "of the pictures, in the same folders"
        )

    def run(name: str, picture: np.ndarray, scale: int) -> np.ndarray:
        return fit(read(paths[stem(name)]), picture.shape[0] * scale, picture.shape[1] * scale)

    chosen = sorted(stem(item.name) for item in data.items)
    return Method({"results": [[name, sha256(paths[name])] for name in chosen]}, run)


def _restored(restorer: Restorer, weights: dict[str, str], aligned: bool, colour: str = "enhance") -> Method:
    """What a Restorer makes of it, with a face model, a scene model or both."""
    restorer.check(RestoreOptions(aligned=aligned))

    def run(name: str, picture: np.ndarray, scale: int) -> np.ndarray:
        try:
            result = restorer.restore(picture, scale=scale, colour=colour, aligned=aligned)
        except FaceError as error:
            raise ModelError(f"{name}: {error}") from None
        failed = [face.reason for face in result.faces if face.outcome == "failed"]
        if failed:
            raise ModelError(f"{name}: {failed[0]}")
        return fit(result.pixels, picture.shape[0] * scale, picture.shape[1] * scale)

    precision = restorer.settings.precision
    return Method({"restored": weights, "aligned": aligned, "colour": colour, "precision": precision}, run)


def _restore(settings: MethodSettings) -> Method:
    """As `revisage restore` with the best models installed."""
    chosen = [zoo.resolve(task) for task in ("face", "scene", "finder")]
    return _restored(Restorer(settings), _weights(chosen), aligned=settings.aligned, colour="keep")


def _model(text: str, settings: MethodSettings) -> Method:
    """A model of the zoo by its name or file, or two of them mixed."""
    mixed = zoo.mixture("scene", text)
    if mixed is not None:
        task, models = "scene", [mixed.first, mixed.second]
    else:
        own = text.lower().endswith(".onnx")
        task = zoo.read_contract(Path(text)).task if own else zoo.get(text).spec.task
        if task not in ("face", "scene"):
            raise UsageError(f"{text} is a {task} model: give one that restores faces or whole photos")
        models = [zoo.resolve(task, text)]
    face = task == "face"
    if face and not settings.aligned:
        models.append(zoo.resolve("finder"))
    model, scene = (text, "none") if face else ("none", text)
    weights = {"text": text if ":" in text else "", **_weights(models)}
    restorer = Restorer(replace(settings, model=model, scene=scene))
    return _restored(restorer, weights, aligned=face and settings.aligned)


def _network(network: networks.Network, settings: MethodSettings) -> Method:
    """A network from a file without a contract of ours."""
    aligned = network.face() is not None and settings.aligned
    weights = {network.label: network.sha256}
    if network.face() is not None and not aligned:
        weights |= _weights([zoo.resolve("finder")])
    return _restored(Restorer(models=network, precision=settings.precision), weights, aligned=aligned)


def _weights(models: Sequence[zoo.Model]) -> dict[str, str]:
    return {str(model): sha256(model.path) for model in models}
