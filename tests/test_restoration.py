"""Analyse once, render any number of times: equal to restoring anew, without a model."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image
from restore_stubs import StubModels, StubSession, face_at, twice

from revisage import Restorer
from revisage.errors import PhotoError, UsageError
from revisage.image import Photo
from revisage.options import SaveOptions
from revisage.restore import RestoreOptions, SceneModel, Stage
from revisage.restore.job import with_changes

FACES = [face_at(60, 60, 80), face_at(150, 60, 70), face_at(225, 60, 40)]


def by_brightness(picture: np.ndarray) -> np.ndarray:
    """An embedding in the plane that turns by 90 degrees from black to white."""
    turn = float(picture.mean()) * math.pi / 2
    return np.float32([[[math.cos(turn), math.sin(turn)]]])


class Models(StubModels):
    """Every face becomes lighter; the rest is darkened as strongly as it is cleaned."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**{
            "face": lambda crop: crop / 2 + 0.5, "scene": twice, "faces": FACES, "identity": by_brightness,
        } | changes)  # fmt: skip
        self.told = StubSession(lambda picture: twice(picture[..., :3] * (1 - picture[..., 3:] / 2)))

    def scene(self) -> SceneModel | None:
        return SceneModel(self.told, "stub-scene 1", 2, 8, control=True)

    def runs(self) -> dict[str, int]:
        """Batches computed since the last call."""
        sessions = {"face": self.face_session, "identity": self.identity_session, "scene": self.told}
        counts = {name: len(session.batches) for name, session in sessions.items() if session}
        for session in sessions.values():
            if session:
                session.batches.clear()
        return counts


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 160, (120, 280, 3), np.uint8)


NO_RUN = {"face": 0, "identity": 0, "scene": 0}

CHANGES: list[dict[str, Any]] = [
    {},
    {"strength": 0.5},
    {"strength": 0.35},
    {"strength": 0.0},
    {"faces": "largest"},
    {"faces": (1, 3), "strength": 0.75},
    {"faces": {1: 0.5, 2: 0, 3: 1}, "strength": 0.75},
    {"faces": "1:0.35,2", "guard": 20},
    {"guard": 180},
    {"guard": 20},
    {"guard": 0},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_a_change_of_strength_faces_or_guard_runs_no_model_and_is_as_made_anew(
    photo: np.ndarray, changes: dict[str, Any]
) -> None:
    models = Models()
    restorer = Restorer(models=models)
    restoration = restorer.analyse(photo)
    models.runs()
    rendered = restoration.render(**changes)
    assert models.runs() == NO_RUN
    fresh = restorer.restore(photo, **changes)
    assert np.array_equal(rendered.pixels, fresh.pixels)
    assert rendered.changed_by == fresh.changed_by
    for one, other in zip(rendered.faces, fresh.faces, strict=True):
        assert (one.outcome, one.reason, one.strength) == (other.outcome, other.reason, other.strength)
        assert (one.identity_degrees is None) == (other.identity_degrees is None)
        if one.identity_degrees is not None:
            assert one.identity_degrees == pytest.approx(other.identity_degrees, abs=0.5)


def test_what_was_analysed_decides_nothing(photo: np.ndarray) -> None:
    restorer = Restorer(models=Models())
    restoration = restorer.analyse(photo, strength=0, faces="3", guard=0)
    rendered = restoration.render(strength=0.75, faces="all", guard=None)
    fresh = restorer.restore(photo, strength=0.75)
    assert np.array_equal(rendered.pixels, fresh.pixels)
    assert [face.identity_degrees for face in rendered.faces] == pytest.approx(
        [face.identity_degrees for face in fresh.faces]
    )


def test_rendering_leaves_the_restoration_as_it_is(photo: np.ndarray) -> None:
    restoration = Restorer(models=Models()).analyse(photo)
    first = restoration.render().pixels.copy()
    restoration.render(strength=0.2).pixels[...] = 0
    assert np.array_equal(restoration.render().pixels, first)


def test_another_clean_runs_the_scene_model_alone(photo: np.ndarray) -> None:
    models = Models()
    restorer = Restorer(models=models)
    restoration = restorer.analyse(photo, clean=0.5)
    models.runs()
    rendered = restoration.render(clean=0.1)
    assert models.runs() == NO_RUN | {"scene": 1}
    assert np.array_equal(rendered.pixels, restorer.restore(photo, clean=0.1).pixels)
    assert not np.array_equal(rendered.pixels, restoration.render().pixels)
    models.runs()
    cleaned = restoration.cleaned(0.1)
    cleaned.render(clean=0.1, strength=0.5)
    cleaned.render(clean=0.1)
    assert models.runs() == NO_RUN | {"scene": 1}, "the cleaned restoration keeps its canvas"


def test_a_scene_model_that_does_not_listen_is_not_run_again(photo: np.ndarray) -> None:
    models = StubModels(face=lambda crop: crop, scene=twice, faces=FACES)
    restoration = Restorer(models=models).analyse(photo)
    assert models.scene_session is not None
    models.scene_session.batches.clear()
    restoration.render(clean=1.0)
    assert not models.scene_session.batches


def test_a_strength_that_changes_nothing_is_told(photo: np.ndarray) -> None:
    deaf, hears = (Restorer(models=models) for models in (StubModels(scene=twice), Models()))
    (note,) = deaf.restore(photo, clean=0.9).notes
    assert note.startswith("clean changes nothing with stub-scene 1")
    assert not deaf.restore(photo).notes
    assert not deaf.analyse(photo, clean=0.9).render(clean=0.5).notes
    assert not hears.restore(photo, clean=0.9).notes
    no_scene = Restorer(models=StubModels()).restore(photo, clean=0.9, revive=0.5)
    assert no_scene.notes == (
        "clean changes nothing without a scene model",
        "revive changes nothing without --colour revive",
    )


def test_options_of_faces_and_files_that_change_nothing_are_told(photo: np.ndarray) -> None:
    plain = Restorer(models=StubModels(scene=twice))
    result = plain.restore(photo, faces="largest", face="1,2,30,40", strength=0.5, guard=40)
    assert result.notes == (
        "strength changes nothing without a face model",
        "guard changes nothing without a face model",
        "faces changes nothing without a face model",
        "face changes nothing without a face model",
    )
    result = plain.restore(photo)
    for format, told in (("PNG", True), ("TIFF", True), ("JPEG", False)):
        result.encode(format, quality=80)
        assert any(note.startswith(f"quality changes nothing in {format}") for note in result.notes) == told
        result.encode(format)
        assert not result.notes


def test_options_that_change_no_aligned_face_are_told() -> None:
    aligned = Restorer(models=Models())
    crop = np.full((64, 64, 3), 90, np.uint8)
    told = aligned.restore(crop, aligned=True, scale=2, turn="auto").notes
    assert told == tuple(f"{one} changes nothing for an aligned face" for one in ("scale", "turn auto"))
    assert not aligned.restore(crop, aligned=True, turn=90, strength=0.5, guard=40).notes


@pytest.mark.parametrize(
    "changes", [{"scale": 1}, {"colour": "enhance"}, {"aligned": True}, {"turn": 90}, {"face": "1,2,3,4"}]
)
def test_other_changes_need_another_analysis(photo: np.ndarray, changes: dict[str, Any]) -> None:
    restoration = Restorer(models=Models()).analyse(photo)
    with pytest.raises(UsageError, match="another analysis"):
        restoration.render(**changes)


@pytest.mark.parametrize("strength", [1.0, 0.4, 0.0])
def test_an_aligned_face_is_rendered_too(strength: float) -> None:
    crop = np.random.default_rng(0).integers(0, 65535, (64, 64, 3), np.uint16)
    models = Models()
    restorer = Restorer(models=models)
    restoration = restorer.analyse(crop, aligned=True)
    models.runs()
    rendered = restoration.render(strength=strength)
    assert models.runs() == NO_RUN
    fresh = restorer.restore(crop, aligned=True, strength=strength)
    assert np.array_equal(rendered.pixels, fresh.pixels)
    assert rendered.faces[0].outcome == fresh.faces[0].outcome


def test_a_face_that_fails_is_told_in_each_result_that_asks_for_it(photo: np.ndarray) -> None:
    restoration = Restorer(models=Models(face=lambda crop: crop * np.nan)).analyse(photo)
    outcomes = [face.outcome for face in restoration.render(faces="1,2").faces]
    assert outcomes == ["failed", "failed", "skipped"]
    assert restoration.render(strength=0).faces[0].reason == "strength is 0"


def test_every_face_is_told_of_once(photo: np.ndarray) -> None:
    stages: list[Stage] = []
    restoration = Restorer(models=Models()).analyse(photo, progress=stages.append)
    assert [stage.done for stage in stages if stage.name == "faces"] == [0, 1, 2, 3]
    stages.clear()
    restoration.render(faces="1,3", progress=stages.append)
    assert [(stage.done, stage.total) for stage in stages] == [(0, 2), (1, 2), (2, 2)]


def test_faces_are_sketched_before_the_rest_is_cleaned(photo: np.ndarray) -> None:
    stages: list[str] = []
    sketches: list[np.ndarray] = []

    def sketch(photo: Photo, made: Photo) -> None:
        assert made.size == (2 * photo.size[0], 2 * photo.size[1])
        sketches.append(made.pixels.copy())
        stages.append("sketch")

    restoration = Restorer(models=Models()).analyse(
        photo,
        strength=0,
        faces="2",
        clean=0,
        progress=lambda stage: stages.append(stage.name),
        sketch=sketch,
    )
    assert list(dict.fromkeys(stages)) == ["decode", "find", "faces", "sketch", "scene"]
    whole = restoration.render(strength=1, faces="all")
    for face in whole.faces:
        x, y, w, h = (round(2 * side) for side in face.box)
        part = slice(y + h // 4, y + h - h // 4), slice(x + w // 4, x + w - w // 4)
        sketched, restored, rest = (
            pixels[part].std() for pixels in (sketches[0], whole.pixels, restoration.rest.pixels)
        )
        assert abs(sketched - restored) < 0.15 * (rest - restored), "the stub halves a face's contrast"


def test_options_come_in_one_object_or_as_keywords(photo: np.ndarray) -> None:
    restorer = Restorer(models=Models())
    options = RestoreOptions(strength=0.5, scale="1")
    assert np.array_equal(
        restorer.restore(photo, options).pixels, restorer.restore(photo, strength=0.5, scale=1).pixels
    )
    assert restorer.restore(photo, options, scale=2).scale == 2
    with pytest.raises(UsageError, match="no option 'strenght': did you mean strength"):
        restorer.restore(photo, strenght=0.5)


def test_what_is_no_photo_is_told(tmp_path: Path) -> None:
    restorer = Restorer(models=StubModels())
    with (tmp_path / "a.jpg").open("wb+") as file, pytest.raises(UsageError, match=r"give what its read\(\)"):
        restorer.restore(file)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"a photo is a path, .* not NoneType"):
        restorer.restore(None)  # type: ignore[arg-type]
    with pytest.raises(PhotoError, match=f"{tmp_path} is a folder"):
        restorer.restore(tmp_path)


class Named:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


def test_a_photo_and_a_mask_come_as_any_path_and_any_bytes(photo: np.ndarray, tmp_path: Path) -> None:
    restorer, path, drawn = Restorer(models=StubModels()), tmp_path / "a.png", tmp_path / "mask.png"
    Image.fromarray(photo).save(path)
    Image.fromarray(np.eye(*photo.shape[:2], dtype=bool)).save(drawn)
    expected = restorer.restore(path, mask=drawn)
    for kind in (
        Named,
        lambda file: bytearray(file.read_bytes()),
        lambda file: memoryview(file.read_bytes()),
    ):
        result = restorer.restore(kind(path), mask=kind(drawn))
        assert np.array_equal(result.pixels, expected.pixels)
        assert result.input == (path if kind is Named else None)
    with pytest.raises(PhotoError, match=f"{tmp_path} is a folder"):
        restorer.restore(Named(tmp_path))


@pytest.mark.parametrize("found", [5, [1], [(1, 2, 3, 4)], "abc"])
def test_what_are_no_faces_is_told(photo: np.ndarray, found: Any) -> None:
    with pytest.raises(UsageError, match="found: give a list of faces"):
        Restorer(models=StubModels()).restore(photo, found=found)


def test_a_listener_that_cannot_be_called_is_told(photo: np.ndarray) -> None:
    restorer, wrong = Restorer(models=StubModels()), cast("Any", 5)
    for call in (
        restorer.restore,
        restorer.analyse,
        lambda *a, **b: asyncio.run(restorer.restore_async(*a, **b)),
    ):
        with pytest.raises(UsageError, match="progress 5: give a function"):
            call(photo, progress=wrong)


def test_keywords_are_understood_as_on_the_command_line(
    photo: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restorer = Restorer(models=StubModels())
    assert with_changes(None, RestoreOptions, {"color": "revive", "strength": 0.5}).colour == "revive"
    drawn = np.zeros(photo.shape[:2], np.uint8)
    drawn[:8, :8] = 255
    Image.fromarray(drawn).save(tmp_path / "mask.png")
    monkeypatch.chdir(tmp_path)
    repair = restorer.restore(photo, mask="mask.png", scale=1).repair
    assert repair is not None
    assert np.array_equal(repair.mask, drawn > 0)
    with pytest.raises(UsageError, match="mask is no base64"):
        restorer.restore(photo, RestoreOptions(mask="mask.png"))  # which may have come by HTTP
    with pytest.raises(UsageError, match="no option 'devcie': did you mean device"):
        Restorer(devcie="cpu")


@pytest.mark.parametrize("given", [{"strength": 0.5}, {}, "strong", SaveOptions(), np.zeros(3)])
def test_what_are_no_options_is_told(photo: np.ndarray, given: Any) -> None:
    restorer = Restorer(models=StubModels())
    told = rf"give RestoreOptions\(NAME=...\), or NAME=... alone, not a {type(given).__name__}$"
    for call in (restorer.restore, restorer.analyse, restorer.analyse(photo, scale=1).render):
        with pytest.raises(UsageError, match=told):
            call(*([] if call.__name__ == "render" else [photo]), given)
    with pytest.raises(UsageError, match=told):
        restorer.check(given)
    with pytest.raises(UsageError, match=r"give SaveOptions\("):
        restorer.restore(photo, scale=1).save("a.png", RestoreOptions())  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"give Settings\("):
        Restorer("cpu")  # type: ignore[arg-type]
