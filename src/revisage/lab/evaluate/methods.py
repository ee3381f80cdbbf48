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
from torch import Tensor

from revisage import runtime, zoo
from revisage.errors import FaceError, ModelCorruptError, ModelError, ModelMissingError, UsageError
from revisage.files import sha256, typed
from revisage.lab import foreign
from revisage.lab.data.pictures import all_pictures, fit
from revisage.lab.evaluate.data import Data, read, stem
from revisage.options import Precision, RestoreOptions, Settings
from revisage.restore import FaceModel, InstalledModels, Restorer, SceneModel
from revisage.restore.receptive_field import receptive_field
from revisage.runtime import RuntimeInfo, Session
from revisage.runtime.session import check_batch, is_finite, non_finite
from revisage.zoo import Contract, checkpoints, published

_PROBE = 64  # side of the picture that a network's scale is measured with
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
        return _network(open_checkpoint(path, opened), settings)
    if path.suffix.lower() == ".onnx" and not zoo.read_metadata(path).get("revisage.task"):
        return _network(open_onnx(path, opened(path)), settings)
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


def _weights(models: Sequence[zoo.Model]) -> dict[str, str]:
    return {str(model): sha256(model.path) for model in models}


class Network(InstalledModels):
    """A network as the face model or the scene model, beside the installed detector."""

    def __init__(self, file: Path, model: FaceModel | SceneModel) -> None:
        super().__init__(Settings())
        self.label, self.sha256 = file.stem, sha256(checkpoints.numbers_of(file))
        self.face = lambda: model if isinstance(model, FaceModel) else None
        self.scene = lambda: model if isinstance(model, SceneModel) else None
        self.identity = lambda: None  # evaluation has its own measures of likeness


class TorchSession:
    """A network in PyTorch, in fp32 on the CPU. See `revisage.runtime.Session`."""

    info = RuntimeInfo("pytorch", "cpu", "fp32")

    def __init__(self, network: Callable[[Tensor], Tensor], file: Path) -> None:
        self._network, self._file = network, file

    @torch.no_grad()
    def run(self, batch: np.ndarray) -> np.ndarray:
        output = self._network(torch.from_numpy(check_batch(batch, (None, 3, None, None)))).numpy()
        if not is_finite(output):
            raise non_finite(self._file)
        return output


def open_onnx(path: Path, session: Session) -> Network:
    """An ONNX file of others, opened by the runtime: one input and one output, (N, 3, H, W) RGB in [0, 1].
    With one fixed square size it is a face model, else a scene model, whose scale is measured. Raises
    ModelCorruptError when it is neither, RuntimeUnavailableError without the package onnx."""
    import onnx

    inputs = onnx.load(str(path), load_external_data=False).graph.input
    lengths = [axis.dim_value for axis in inputs[0].type.tensor_type.shape.dim]
    if len(lengths) != 4 or lengths[1] != 3:
        raise ModelCorruptError(f"{path} takes arrays of shape {lengths}, not pictures (N, 3, H, W)")
    height, width = lengths[2:]
    size = height if height and height == width else None
    return _as_network(path, session, size)


def open_checkpoint(path: Path, open_session: Callable[[bytes], Session]) -> Network:
    """A checkpoint: of the networks that `revisage.zoo.published` knows, or of others in PyTorch by spandrel.
    Raises ModelMissingError (no such file), ModelCorruptError (of no known network), RuntimeUnavailableError
    (spandrel, which may know it, is not installed)."""
    if not path.is_file():
        raise ModelMissingError(f"there is no file {path}")
    try:
        known = published.read(path)
    except ModelCorruptError as error:
        model = foreign.load(path, error)
        return _as_network(path, TorchSession(model, path), 512 if model.purpose == "FaceSR" else None)
    contract = Contract("known", known.task, known.size, known.scale, version="1", licence="its authors'")
    return _as_network(path, open_session(known.onnx(contract, half=False)), known.size)


def _as_network(path: Path, session: Session, size: int | None) -> Network:
    """With a `size` a face model of that size, else a scene model, whose scale is measured."""
    kind, side = ("scene", _PROBE) if size is None else ("face", size)
    output = session.run(np.full((1, 3, side, side), 0.5, np.float32))
    scale = output.shape[-1] // side if size is None else 1
    if output.shape != (1, 3, scale * side, scale * side):
        raise UsageError(f"{path} gives {output.shape} for a picture of {side} px: it is no {kind} model")
    if size is not None:
        return Network(path, FaceModel(session, path.stem, size))
    return Network(path, SceneModel(session, path.stem, scale, receptive_field(session, scale)))


def _network(network: Network, settings: MethodSettings) -> Method:
    """A network from a file without a contract of ours."""
    aligned = network.face() is not None and settings.aligned
    weights = {network.label: network.sha256}
    if network.face() is not None and not aligned:
        weights |= _weights([zoo.resolve("finder")])
    return _restored(Restorer(models=network, precision=settings.precision), weights, aligned=aligned)
