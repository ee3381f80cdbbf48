"""The identity angle of every face, and the guard that holds a face back when it drifts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from restore_stubs import StubModels, StubSession, face_at, same

from revisage import Restorer
from revisage.errors import UsageError
from revisage.restore import IdentityModel, RestoreOptions
from revisage.restore.faces import Outcome, identity_guard, measure_drift

BLACK = np.zeros((32, 32, 3), np.float32)


def by_brightness(picture: np.ndarray) -> np.ndarray:
    """An embedding in the plane that turns by 90 degrees from black to white."""
    turn = float(picture.mean()) * math.pi / 2
    return np.float32([[[math.cos(turn), math.sin(turn)]]])


def invalid(_picture: np.ndarray) -> np.ndarray:
    return np.full((1, 1, 2), np.nan, np.float32)


def model(picture: object = by_brightness) -> IdentityModel:
    return IdentityModel(StubSession(picture), "stub-identity 1", 32)  # type: ignore[arg-type]


def guarded(
    identity: IdentityModel | None,
    sources: Sequence[np.ndarray],
    restored: Sequence[np.ndarray],
    *,
    strength: float,
    guard: float | None = None,
) -> list[Outcome]:
    strengths = [strength] * len(sources)
    drifts = measure_drift(identity, sources, restored, strengths, guard=guard, every=False)
    return [identity_guard(drift, strength, guard) for drift in drifts]


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_the_angle_is_that_of_the_face_as_used(strength: float) -> None:
    white, gray = BLACK + 1, BLACK + np.float32(0.5)
    found = guarded(model(), [BLACK, BLACK, gray], [white, gray, gray], strength=strength)
    assert [kept.strength for kept in found] == [strength] * 3
    assert [kept.degrees for kept in found] == pytest.approx([90 * strength, 45 * strength, 0], abs=0.02)


@pytest.mark.parametrize(
    ("guard", "strength", "degrees"),
    [(90, 1.0, 80), (80.1, 1.0, 80), (79, 0.75, 60), (50, 0.5, 40), (39, 0.25, 20), (20.1, 0.25, 20)],
)
def test_the_guard_takes_the_largest_share_within_it(guard: float, strength: float, degrees: float) -> None:
    restored = BLACK + np.float32(80 / 90)
    (kept,) = guarded(model(), [BLACK], [restored], strength=1.0, guard=guard)
    assert kept.strength == strength
    assert kept.degrees == pytest.approx(degrees, abs=1e-2)


def test_the_guard_takes_shares_of_the_strength_asked_for() -> None:
    (kept,) = guarded(model(), [BLACK], [BLACK + 1], strength=0.8, guard=60)
    assert kept.strength == pytest.approx(0.6)
    assert kept.degrees == pytest.approx(54, abs=1e-2)


def test_a_face_that_drifts_too_far_is_left() -> None:
    (kept,) = guarded(model(), [BLACK], [BLACK + 1], strength=1.0, guard=10)
    assert kept == Outcome("skipped", "it would drift by 90 degrees, more than the guard allows")


def test_faces_of_another_size_are_brought_to_the_models() -> None:
    session = StubSession(by_brightness)
    large = np.zeros((64, 64, 3), np.float32)
    guarded(IdentityModel(session, "stub 1", 32), [large], [large], strength=1.0)
    assert set(session.batches) == {(1, 3, 32, 32)}


def test_without_a_model_nothing_is_measured() -> None:
    assert guarded(None, [BLACK], [BLACK + 1], strength=0.7) == [Outcome(strength=0.7)]
    assert guarded(model(), [], [], strength=1.0) == []


def test_invalid_numbers_are_no_angle_and_pass_no_guard() -> None:
    assert guarded(model(invalid), [BLACK], [BLACK + 1], strength=1.0) == [Outcome(strength=1.0)]
    (kept,) = guarded(model(invalid), [BLACK], [BLACK + 1], strength=1.0, guard=90)
    assert kept == Outcome("skipped", "the identity model gave invalid numbers")


def white(picture: np.ndarray) -> np.ndarray:
    return np.ones_like(picture)


PHOTO = np.full((120, 240, 3), 64, np.uint8)
FACES = [face_at(60, 60, 80), face_at(180, 60, 70)]


def test_the_report_has_the_angle_of_every_restored_face() -> None:
    models = StubModels(white, faces=FACES, identity=by_brightness)
    result = Restorer(models=models).restore(PHOTO, scale=1, colour="enhance", faces="largest", strength=0.5)
    first, second = (face.entry() for face in result.faces)
    assert first["identity_degrees"] == pytest.approx(90 * 0.5 * (255 - 64) / 255, abs=0.1)
    assert first["strength"] == 0.5
    assert (second["identity_degrees"], second["strength"]) == (None, None)
    assert result.models["identity"] == "stub-identity 1"


def test_the_guard_holds_back_what_is_pasted() -> None:
    models = StubModels(white, faces=FACES, identity=by_brightness)
    restorer = Restorer(models=models)
    free = restorer.restore(PHOTO, scale=1, colour="enhance")
    held = restorer.restore(PHOTO, scale=1, colour="enhance", guard=40)
    weaker = restorer.restore(PHOTO, scale=1, colour="enhance", strength=0.5)
    left = restorer.restore(PHOTO, scale=1, colour="enhance", guard=5)
    assert [face.strength for face in held.faces] == [0.5, 0.5]
    assert np.array_equal(held.pixels, weaker.pixels)
    assert not np.array_equal(held.pixels, free.pixels)
    assert [face.outcome for face in left.faces] == ["skipped", "skipped"]
    assert "drift" in str(left.faces[0].reason)
    assert np.array_equal(left.pixels, restorer.restore(PHOTO, scale=1, strength=0).pixels)
    assert left.changed_by == ()


def test_an_aligned_face_is_guarded_too() -> None:
    models = StubModels(white, size=64, identity=by_brightness)
    restorer = Restorer(models=models)
    photo = np.full((64, 64, 3), 64, np.uint8)
    held = restorer.restore(photo, aligned=True, colour="enhance", guard=40)
    assert held.faces[0].strength == 0.5
    assert held.faces[0].identity_degrees == pytest.approx(33.7, abs=0.1)
    left = restorer.restore(photo, aligned=True, colour="enhance", guard=5)
    assert left.faces[0].outcome == "skipped"
    assert np.array_equal(left.pixels, photo)
    assert left.changed_by == ()


def test_a_guard_without_an_identity_model_is_refused() -> None:
    restorer = Restorer(models=StubModels(same, faces=FACES))
    with pytest.raises(UsageError, match="guard needs an identity model"):
        restorer.restore(PHOTO, guard=40)
    assert restorer.restore(PHOTO, scale=1).faces[0].identity_degrees is None


@pytest.mark.parametrize("guard", [-1, 181, math.nan, math.inf])
def test_a_guard_is_an_angle(guard: float) -> None:
    with pytest.raises(UsageError, match=r"guard .*from 0 to 180"):
        Restorer(models=StubModels(same)).restore(PHOTO, guard=guard)


def test_a_guard_without_an_identity_model_is_told_before_the_first_photo() -> None:
    restorer = Restorer(models=StubModels(same))
    restorer.check()
    with pytest.raises(UsageError, match="guard needs an identity model"):
        restorer.check(RestoreOptions(guard=40))
