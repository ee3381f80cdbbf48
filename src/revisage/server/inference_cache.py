"""What the models said of the last photo, kept so that changing its strength or format runs none again.

A model is a function of its input: the same batch gets the same answer, to the last bit. So a restoration
with other options finds every scene tile, and with the same faces every face, already computed, and its
result is the one that a fresh run would give.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np

from revisage.restore import DetectorModel, FaceModel, IdentityModel, ModelSource, SceneModel

MEMORY = 512 << 20
"""Bytes of answers to keep; a photo that needs more is computed again."""


class InferenceCache:
    """A `ModelSource` that remembers the answers about one photo. For one thread."""

    def __init__(self, models: ModelSource, *, memory: int = MEMORY) -> None:
        self._models = models
        self._memory = memory
        self._photo = ""
        self._free = memory
        self._answers: dict[bytes, np.ndarray] = {}
        self._faces: dict[bytes, list[Any]] = {}

    @property
    def photo(self) -> str:
        """What `begin` named last; "" when nothing is remembered."""
        return self._photo

    @property
    def is_full(self) -> bool:
        """Whether the photo has needed more than the memory."""
        return self._free < 0

    def begin(self, photo: str) -> None:
        """The next questions are about this photo; another one's answers are forgotten."""
        if photo != self._photo:
            self._photo, self._free = photo, self._memory
            self._answers.clear()
            self._faces.clear()

    def face(self) -> FaceModel | None:
        model = self._models.face()
        return None if model is None else replace(model, session=_Cached(model.session, self, b"face"))

    def scene(self) -> SceneModel | None:
        model = self._models.scene()
        return None if model is None else replace(model, session=_Cached(model.session, self, b"scene"))

    def detector(self) -> DetectorModel:
        model = self._models.detector()
        return replace(model, detector=_RememberingDetector(model.detector, self))

    def identity(self) -> IdentityModel | None:
        model = self._models.identity()
        if model is None:
            return None
        return replace(model, session=_Cached(model.session, self, b"identity"))

    def answer(self, session: Any, task: bytes, batch: np.ndarray) -> np.ndarray:
        key = _digest(task, batch)
        known = self._answers.get(key)
        if known is None:
            known = np.asarray(session.run(batch))
            self._free -= known.nbytes
            if self._free >= 0:
                self._answers[key] = known
        return known.copy()  # the caller owns what it gets

    def found(self, detector: Any, pixels: np.ndarray) -> list[Any]:
        key = _digest(b"find", pixels)
        if key not in self._faces:
            self._faces[key] = detector.find(pixels)
        return list(self._faces[key])


def _digest(task: bytes, array: np.ndarray) -> bytes:
    digest = hashlib.sha256(task + repr((array.shape, array.dtype.str)).encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


class _Cached:
    def __init__(self, session: Any, cache: InferenceCache, task: bytes) -> None:
        self._session, self._cache, self._task = session, cache, task

    @property
    def info(self) -> Any:
        return self._session.info

    def run(self, batch: np.ndarray) -> np.ndarray:
        return self._cache.answer(self._session, self._task, batch)


class _RememberingDetector:
    def __init__(self, detector: Any, cache: InferenceCache) -> None:
        self._detector, self._cache = detector, cache

    def find(self, pixels: np.ndarray) -> list[Any]:
        return self._cache.found(self._detector, pixels)
