"""The models of a restoration, each opened on first use and kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

import numpy as np

from revisage import faces, runtime, zoo
from revisage.errors import ModelCorruptError, ModelMissingError, UnknownModelError, UsageError
from revisage.faces import Face
from revisage.files import sha256
from revisage.options import Settings, refusal
from revisage.restore import grain
from revisage.restore.dots import without_dots
from revisage.restore.receptive_field import receptive_field
from revisage.runtime import Session, openvino

T = TypeVar("T")


class FaceDetector(Protocol):
    """What restoration asks of a finder; `revisage.faces.Detector` is one."""

    def find(self, pixels: np.ndarray) -> list[Face]:
        """(H, W, 3) RGB uint8 -> faces, largest first. Called from many threads at once."""

    def look(self, pixels: np.ndarray, box: tuple[float, float, float, float]) -> Face:
        """The face in a box (x, y, width, height) of such pixels that somebody has drawn."""


@dataclass(frozen=True)
class FaceModel:
    """Session: (N, 3, size, size) -> (N, 3, side, side), `side` being `scale` times as large.

    `label` is name and version; `whole` says that it takes whole pictures of one face instead of faces on the
    FFHQ template; `digests` gives the SHA-256 of its files in hex, for the signed label.
    """

    session: Session
    label: str
    size: int
    scale: int = 1
    digests: Callable[[], tuple[str, ...]] = tuple
    whole: bool = False

    @property
    def side(self) -> int:
        """Of the restored face in pixels."""
        return self.size * self.scale


@dataclass(frozen=True)
class SceneModel:
    """Session: (N, 3, H, W) -> (N, 3, H scale, W scale).

    With `control`, (N, 4, H, W): the last channel is how strongly to clean, 0 to 1, which `for_photo` fixes
    as `clean`.
    `same_size` opens the model that does the same without enlarging; None where there is none.
    `receptive_field` is how many input pixels away the surroundings matter
    (`revisage.restore.receptive_field`). `exact` opens the same network in fp32; None where a precision was
    asked for. Half precision tells some 500 levels of a picture apart: enough for 8 bits, but it shows as
    bands in 16. `digests` as in `FaceModel`.
    """

    session: Session
    label: str
    scale: int
    receptive_field: int
    exact: Callable[[], Session] | None = None
    digests: Callable[[], tuple[str, ...]] = tuple
    control: bool = False
    same_size: Callable[[], SceneModel] | None = None
    clean: float | None = None

    def for_photo(self, scale: int, clean: float) -> SceneModel:
        """The model for enlarging a photo `scale` times and cleaning it as strongly as told, 0 to 1."""
        model = self.same_size() if scale == 1 and self.same_size is not None else self
        if not model.control:
            return model
        exact = model.exact
        return replace(
            model,
            clean=clean,
            session=AtStrength(model.session, clean),
            exact=None if exact is None else lambda: AtStrength(exact(), clean),
        )

    def session_for(self, depth: np.dtype) -> Session:
        """The session that keeps the gradations of pixels of this type, uint8 or uint16."""
        return self.session if depth == np.uint8 or self.exact is None else self.exact()


class AtStrength:
    """A session of (N, 3, H, W) made of one that takes a plane of the strength as a fourth channel, without
    the dots that it adds; below half of the strength with the photo's grain."""

    def __init__(self, session: Session, strength: float) -> None:
        self._session, self._strength = session, strength

    @property
    def info(self) -> runtime.RuntimeInfo:
        return self._session.info

    def run(self, batch: np.ndarray) -> np.ndarray:
        plane = np.full_like(batch[:, :1], self._strength)
        output = without_dots(self._session.run(np.concatenate((batch, plane), axis=1)), batch)
        return grain.with_grain(output, batch, 1 - 2 * self._strength) if self._strength < 0.5 else output


@dataclass(frozen=True)
class DetectorModel:
    """A detector and its name and version."""

    detector: FaceDetector
    label: str


@dataclass(frozen=True)
class IdentityModel:
    """Session: (N, 3, size, size) faces on the FFHQ template -> (N, D) embeddings of length 1."""

    session: Session
    label: str
    size: int


@dataclass(frozen=True)
class DamageModel:
    """Session: (N, 3, H, W), H and W multiples of 16 -> (N, 1, H, W), the probability of damage."""

    session: Session
    label: str
    digests: Callable[[], tuple[str, ...]] = tuple


@dataclass(frozen=True)
class ToneModel:
    """Session: (N, 3, H, W), a small copy of the photo -> (N, 9), levels that undo its fading: black points
    of red, green and blue, white points, gammas."""

    session: Session
    label: str
    digests: Callable[[], tuple[str, ...]] = tuple


class ModelSource(Protocol):
    """Where a Restorer gets its models; None means the caller chose to do without.

    Give your own to `Restorer(models=...)` to run other sessions, as the tests do. Methods are called from
    many threads and for every photo, so they must be safe and cheap after the first call.
    """

    def face(self) -> FaceModel | None: ...
    def scene(self) -> SceneModel | None: ...
    def detector(self) -> DetectorModel: ...
    def identity(self) -> IdentityModel | None: ...
    def damage(self) -> DamageModel: ...
    def tone(self) -> ToneModel: ...

    def choosing(self, model: str, scene: str) -> ModelSource:
        """The same with a face and scene model of these names, as `selectable` gives them, or "auto" for the
        source's own. Raises UsageError."""
        ...


def selectable(task: str) -> list[str]:
    """What a client may choose for a task, "face" or "scene": "auto", "none" and the names of the installed
    models for photos; those in which others consist are left out."""
    specs = [model.spec for model in zoo.installed() if model.spec.task == task]
    parts = {part for spec in specs for part in (spec.same_size, spec.int8)}
    names = [spec.name for spec in specs if spec.name not in parts and spec.framing == "template"]
    return ["auto", "none", *names]


def _once(make: Callable[[], T]) -> Callable[[], T]:
    """What the first caller makes while the others wait; a failure is raised again to each caller."""
    lock, kept = Lock(), cache(make)

    def get() -> T:
        with lock:
            return kept()

    return get


class InstalledModels:
    """The models that `Settings` names, from the zoo, opened by the runtime."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.face = _once(self._open_face)
        self.scene = _once(self._open_scene)
        self.detector = _once(self._open_detector)
        self.identity = _once(self._open_identity)
        self.damage = _once(lambda: self._estimator(DamageModel, "damage"))
        self.tone = _once(lambda: self._estimator(ToneModel, "tone", "fp32"))

    def __reduce__(self) -> tuple[Any, ...]:  # in another process they are opened again
        return type(self), (self._settings,)

    def choosing(self, model: str, scene: str) -> InstalledModels:
        mine = self._settings
        face, rest = _chosen("model", "face", model, mine.model), _chosen("scene", "scene", scene, mine.scene)
        other = InstalledModels(replace(mine, model=face, scene=rest))
        other.detector, other.identity = self.detector, self.identity
        other.damage, other.tone = self.damage, self.tone
        other.face = self.face if face == mine.model else other.face
        other.scene = self.scene if rest == mine.scene else other.scene
        return other

    def _open_face(self) -> FaceModel | None:
        if self._settings.model == "none":
            return None
        model = zoo.resolve("face", self._settings.model)
        if not model.spec.size:
            raise ModelCorruptError(f"face model {model.spec.name} states no size: import it again")
        session, digests = self._session(model.path), _digests(model.path)
        whole = model.spec.framing == "whole"
        return FaceModel(session, str(model), model.spec.size, model.spec.scale or 1, digests, whole)

    def _open_scene(self) -> SceneModel | None:
        name = self._settings.scene
        if name == "none":
            return None
        mixed = zoo.mixture("scene", name)
        return self._scene_model(mixed.first if mixed else zoo.resolve("scene", name), mixed)

    def _scene_model(self, model: zoo.Model, mixed: zoo.Mixture | None = None) -> SceneModel:
        spec, precision = model.spec, self._settings.precision
        if not spec.scale:
            raise ModelCorruptError(f"scene model {spec.name} states no scale: import it again")
        small = self._int8(spec) if mixed is None else None
        if small is not None:
            session, files = small
        elif mixed is not None:
            session, files = self._session(mixed.read()), (mixed.first.path, mixed.second.path)
        else:
            session, files = self._session(model.path), (model.path,)
        exact = same_size = None
        if precision == "auto" and (small is not None or session.info.precision != "fp32"):
            # A mixture is read again: its weights are not kept for the few photos of 16 bits.
            exact = _once(lambda: self._session(mixed.read() if mixed else model.path, "fp32"))
        if (sibling := spec.same_size) is not None:
            same_size = _once(lambda: self._scene_model(zoo.resolve("scene", sibling)))
        control = spec.control == "clean"
        # Cleaning hard looks furthest, but for the grain.
        reach = receptive_field(AtStrength(session, 1) if control else session, spec.scale)
        reach += grain.REACH if control else 0
        label, digests = str(mixed or model), _digests(*files)
        return SceneModel(session, label, spec.scale, reach, exact, digests, control, same_size)

    def _int8(self, spec: zoo.ModelSpec) -> tuple[Session, tuple[Path, ...]] | None:
        """The same model in 8 bits, and its file, where it has one and a CPU may choose: the same picture to
        the eye. Not where a CPU with bf16 would fall back to fp32 for the rest of it, as those with AMX do:
        all of the model in bf16 takes less than half the time there."""
        if spec.int8 is None or self._settings.precision != "auto" or self._settings.device == "gpu":
            return None
        path = zoo.resolve("scene", spec.int8).path
        session = self._session(path)
        slow = session.info.precision == "fp32" and "bf16" in openvino.cpu_precisions()
        return (session, (path,)) if session.info.device == "cpu" and not slow else None

    def _open_detector(self) -> DetectorModel:
        model = zoo.resolve("finder", "auto")
        # It runs on the CPU, which may have no fp16.
        precision = "fp32" if self._settings.precision == "fp32" else "auto"
        detector = faces.Detector(model.path, precision=precision, threads=self._settings.threads)
        return DetectorModel(detector, str(model))

    def _open_identity(self) -> IdentityModel | None:
        try:
            model = zoo.resolve("identity", "auto")
        except (ModelMissingError, UnknownModelError):
            return None
        if not model.spec.size:
            raise ModelCorruptError(f"identity model {model.spec.name} states no size: import it again")
        # In half precision the angle between two equal faces is not zero.
        return IdentityModel(self._session(model.path, "fp32"), str(model), model.spec.size)

    def _estimator(self, kind: Callable[..., T], task: str, precision: str | None = None) -> T:
        model = zoo.resolve(task, "auto")
        return kind(self._session(model.path, precision), str(model), _digests(model.path))

    def _session(self, source: Path | bytes, precision: str | None = None) -> Session:
        chosen = self._settings
        return runtime.open_session(
            source, device=chosen.device, precision=precision or chosen.precision, threads=chosen.threads
        )


def _chosen(setting: str, task: str, name: str, own: str) -> str:
    """The setting when a client wants the model `name`: `own` where it is that. Raises UsageError."""
    known = selectable(task)
    if wish := refusal(name, known, None):
        raise UsageError(f"{setting} {name!r}: {wish}")
    return own if name == "auto" or (own == "auto" and known[2:3] == [name]) else name


def _digests(*files: Path) -> Callable[[], tuple[str, ...]]:
    """The SHA-256 of the files of a model that is opened now, read once; it can be pickled."""
    return partial(_read_digests, files, time.monotonic_ns())


@cache
def _read_digests(files: tuple[Path, ...], _opened: int) -> tuple[str, ...]:
    return tuple(sha256(file) for file in files)
