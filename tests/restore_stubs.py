"""Sessions and a detector that stand in for models, so that tests know what restoration must give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace

import cv2
import numpy as np

from revisage.errors import ModelMissingError
from revisage.faces import Face, template
from revisage.restore import (
    DamageModel,
    DetectorModel,
    FaceModel,
    IdentityModel,
    Restorer,
    Result,
    SceneModel,
    ToneModel,
)
from revisage.runtime import RuntimeInfo

SIZE = 64

Picture = Callable[[np.ndarray], np.ndarray]


class StubSession:
    """Runs a function of one (H, W, 3) picture over a batch and counts its runs."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture
        self.info = RuntimeInfo("stub", "cpu", "fp32")  # type: ignore[arg-type]
        self.batches: list[tuple[int, ...]] = []

    def run(self, batch: np.ndarray) -> np.ndarray:
        assert batch.dtype == np.float32
        self.batches.append(batch.shape)
        pictures = [self.picture(item.transpose(1, 2, 0)) for item in batch]
        return np.stack(pictures).transpose(0, 3, 1, 2).astype(np.float32)


class StubDetector:
    """Finds the faces it was told of, or what a function of the pixels says."""

    def __init__(self, faces: Sequence[Face] | Callable[[np.ndarray], list[Face]]) -> None:
        self.faces = faces

    def find(self, pixels: np.ndarray) -> list[Face]:
        assert pixels.dtype == np.uint8
        return self.faces(pixels) if callable(self.faces) else list(self.faces)

    def look(self, pixels: np.ndarray, box: tuple[float, float, float, float]) -> Face:
        assert pixels.dtype == np.uint8
        x, y, w, h = box
        return replace(face_at(x + w / 2, y + h / 2, 2 * w), box=box, score=0.0)


class StubModels:
    """A source of stub models; a `face` or `scene` of None is a model left out."""

    def __init__(
        self,
        face: Picture | None = None,
        scene: Picture | None = None,
        faces: Sequence[Face] | Callable[[np.ndarray], list[Face]] = (),
        size: int = SIZE,
        identity: Picture | None = None,
        *,
        damage: Picture | None = None,
        tone: Picture | None = None,
    ) -> None:
        self.face_session = StubSession(face) if face else None
        self.scene_session = StubSession(scene) if scene else None
        self.identity_session = StubSession(identity) if identity else None
        self.damage_session = StubSession(damage) if damage else None
        self.tone_session = StubSession(tone) if tone else None
        self._detector = StubDetector(faces)
        self._size = size

    def face(self) -> FaceModel | None:
        return FaceModel(self.face_session, "stub-face 1", self._size) if self.face_session else None

    def scene(self) -> SceneModel | None:
        return SceneModel(self.scene_session, "stub-scene 1", 2, 8) if self.scene_session else None

    def detector(self) -> DetectorModel:
        return DetectorModel(self._detector, "stub-finder 1")

    def identity(self) -> IdentityModel | None:
        """`identity` gives an embedding of length 1 as a picture of one row, (1, 1, D)."""
        return IdentityModel(self.identity_session, "stub-identity 1", 32) if self.identity_session else None

    def damage(self) -> DamageModel:
        """`damage` gives (H, W, 1), the probability of damage."""
        if self.damage_session is None:
            raise ModelMissingError("no damage model")
        return DamageModel(self.damage_session, "stub-damage 1", lambda: ("digest of damage",))

    def tone(self) -> ToneModel:
        """`tone` gives (1, 9, 1): black points, white points and gammas."""
        if self.tone_session is None:
            raise ModelMissingError("no tone model")
        return ToneModel(self.tone_session, "stub-tone 1", lambda: ("digest of tone",))

    def choosing(self, model: str, scene: str) -> StubModels:
        """None of either by "none"; other names are taken as "auto"."""
        other = copy(self)
        other.face_session = None if model == "none" else self.face_session
        other.scene_session = None if scene == "none" else self.scene_session
        return other


def same(picture: np.ndarray) -> np.ndarray:
    return picture


def twice(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)


def red(picture: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.float32([1, 0, 0]), picture.shape)


def face_at(x: float, y: float, side: float, angle: float = 0.0) -> Face:
    """An upright (or turned, in degrees) face whose FFHQ crop of `side` pixels is centred on (x, y)."""
    turn = np.radians(angle)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    points = (np.asarray(template(512), np.float64) / 512 - 0.5) * side
    box = (x - 0.25 * side, y - 0.25 * side, 0.5 * side, 0.6 * side)
    return Face(box, np.float32(points @ rotation.T + (x, y)), 0.9)


PORTRAIT = (224.0, 118.0, 210.0)
"""Centre and crop side of the face in `astronaut`."""


def restorer_with(
    face: Picture | None = red,
    scene: Picture | None = twice,
    faces: Sequence[Face] | None = None,
    size: int = SIZE,
) -> Restorer:
    found = [face_at(*PORTRAIT)] if faces is None else faces
    return Restorer(models=StubModels(face, scene, found, size))


def centre(result: Result, scale: int = 1) -> np.ndarray:
    return result.pixels[int(PORTRAIT[1] * scale), int(PORTRAIT[0] * scale)]


def crowd() -> list[Face]:
    return [face_at(60 + 110 * k, 250, 100 - 10 * k) for k in range(4)]
