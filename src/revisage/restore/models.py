"""The three models of a restoration, each opened on first use and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Generic, Protocol, TypeVar

import numpy as np

from revisage import faces, runtime, zoo
from revisage.errors import ModelCorruptError
from revisage.faces import Face
from revisage.restore.settings import Settings
from revisage.runtime import Session

T = TypeVar("T")


class FaceFinder(Protocol):
    """What restoration asks of a finder; `revisage.faces.Finder` is one."""

    def find(self, pixels: np.ndarray) -> list[Face]:
        """(H, W, 3) RGB uint8 -> faces, largest first. Called from many threads at once."""
        ...


@dataclass(frozen=True)
class FaceModel:
    """Session: (N, 3, size, size) -> the same shape. `label` is name and version."""

    session: Session
    label: str
    size: int


@dataclass(frozen=True)
class SceneModel:
    """Session: (1, 3, H, W) -> (1, 3, H scale, W scale)."""

    session: Session
    label: str
    scale: int


@dataclass(frozen=True)
class FinderModel:
    """A finder and its name and version."""

    finder: FaceFinder
    label: str


class ModelSource(Protocol):
    """Where a Restorer gets its models; None means the caller chose to do without.

    Give your own to `Restorer(models=...)` to run other sessions, as the tests do. Methods are called from
    many threads and for every photo, so they must be safe and cheap after the first call.
    """

    def face(self) -> FaceModel | None: ...
    def scene(self) -> SceneModel | None: ...
    def finder(self) -> FinderModel: ...


class _Once(Generic[T]):
    """A value made by the first caller while the others wait; a failure is raised again to each caller."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = Lock()
        self._made: list[T] = []

    def get(self) -> T:
        with self._lock:
            if not self._made:
                self._made.append(self._make())
            return self._made[0]


class InstalledModels:
    """The models that `Settings` names, from the zoo, opened by the runtime."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._face = _Once(self._open_face)
        self._scene = _Once(self._open_scene)
        self._finder = _Once(self._open_finder)

    def face(self) -> FaceModel | None:
        return None if self._settings.model == "none" else self._face.get()

    def scene(self) -> SceneModel | None:
        return None if self._settings.scene == "none" else self._scene.get()

    def finder(self) -> FinderModel:
        return self._finder.get()

    def _open_face(self) -> FaceModel:
        model = zoo.resolve("face", self._settings.model)
        if not model.spec.size:
            raise ModelCorruptError(f"face model {model.spec.name} states no size: import it again")
        return FaceModel(self._session(model.path), str(model), model.spec.size)

    def _open_scene(self) -> SceneModel:
        mixed = zoo.mixture("scene", self._settings.scene)
        model = zoo.resolve("scene", self._settings.scene) if mixed is None else mixed.first
        if not model.spec.scale:
            raise ModelCorruptError(f"scene model {model.spec.name} states no scale: import it again")
        if mixed is None:
            return SceneModel(self._session(model.path), str(model), model.spec.scale)
        return SceneModel(self._session(mixed.read()), str(mixed), model.spec.scale)

    def _open_finder(self) -> FinderModel:
        model = zoo.resolve("finder", "auto")
        return FinderModel(faces.Finder(model.path), str(model))

    def _session(self, source: Path | bytes) -> Session:
        chosen = self._settings
        return runtime.open_session(
            source, device=chosen.device, precision=chosen.precision, threads=chosen.threads
        )
