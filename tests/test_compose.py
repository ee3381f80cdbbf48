"""Composed scenes: repeatable, honest about their faces, split by person."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from detector_folder import NAMES, make, noise
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from revisage.errors import TrainingError
from revisage.faces import estimate, template
from revisage.faces.align import BOX_256
from revisage.lab.data.detector_scenes import clutter, heads, paste
from revisage.lab.data.detector_scenes.compose import KINDS, _cover, compose
from revisage.lab.data.detector_scenes.heads import wear
from revisage.lab.data.detector_scenes.paste import Scene
from revisage.lab.data.detector_scenes.source import HELD_OUT_SHARE, Source, load_source
from revisage.lab.data.pictures import held_out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def source(folder: Path) -> Source:
    return load_source(folder, validation=False)


def test_training_and_validation_share_nothing_and_miss_nothing(folder: Path) -> None:
    ours, theirs = load_source(folder, validation=False), load_source(folder, validation=True)
    assert len(ours.faces) + len(theirs.faces) == NAMES
    assert len(ours.portraits) + len(theirs.portraits) == 2 * NAMES
    assert len(ours.backgrounds) + len(theirs.backgrounds) == NAMES
    people = [{path.parent.name for path in side.portraits} for side in (ours, theirs)]
    assert not people[0] & people[1]
    assert all(held_out(name, HELD_OUT_SHARE) for name in people[1])
    assert all(held_out(path.stem, HELD_OUT_SHARE) for path in theirs.faces)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"faces256\.csv is missing"):
        load_source(tmp_path, validation=False)


def test_the_same_arguments_give_the_same_scene(source: Source) -> None:
    for index in range(20):
        first, second = compose(source, 3, index, 128), compose(source, 3, index, 128)
        np.testing.assert_array_equal(first.pixels, second.pixels)
        np.testing.assert_array_equal(first.boxes, second.boxes)
    assert not np.array_equal(compose(source, 3, 0, 128).pixels, compose(source, 4, 0, 128).pixels)


def test_only_mosaics_have_leaning_parts(source: Source) -> None:
    scenes = [compose(source, 0, index, 96) for index in range(120)]
    leaning = {scene.kind for scene in scenes if len(scene.leaning)}
    assert leaning == {"mosaic"}
    assert any(scene.kind == "mosaic" and not len(scene.leaning) for scene in scenes)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), size=st.sampled_from([96, 192, 256]))
def test_every_scene_is_a_picture_with_faces_where_it_says(source: Source, seed: int, size: int) -> None:
    scene = compose(source, seed, 0, size)
    assert scene.pixels.shape == (size, size, 3)
    assert scene.pixels.dtype == np.uint8
    assert scene.kind in KINDS
    assert scene.boxes.shape == (len(scene.landmarks), 4)
    assert scene.landmarks.shape[1:] == (5, 2)
    assert scene.leaning.shape[1] == 4
    assert (scene.leaning[:, :2] >= -1).all()
    assert (scene.leaning[:, :2] + scene.leaning[:, 2:] <= size).all()
    for box, landmarks in zip(scene.boxes, scene.landmarks, strict=True):
        x, y, w, h = box
        assert (landmarks[:, 0] > x - 0.3 * w).all()
        assert (landmarks[:, 0] < x + 1.3 * w).all()
        assert (landmarks[:, 1] > y - 0.2 * h).all()
        assert (landmarks[:, 1] < y + 1.2 * h).all()
        # Right eye on the left: mirrored scenes keep the names right, so a similarity fits, the better the
        # less the head is turned.
        matrix = estimate(landmarks, 256)
        np.testing.assert_allclose(landmarks @ matrix[:, :2].T + matrix[:, 2], template(256), atol=6)


def test_all_kinds_come_up_and_only_some_have_faces(source: Source) -> None:
    scenes = [compose(source, 0, index, 96) for index in range(150)]
    assert {scene.kind for scene in scenes} == set(KINDS)
    for scene in scenes:
        if scene.kind == "clutter":
            assert len(scene.boxes) == 0
            assert scene.complete
        if scene.kind == "mosaic":
            assert not scene.complete
    assert any(len(scene.boxes) >= 8 for scene in scenes)


def test_a_face_behind_other_things_is_taken_off_the_list(source: Source) -> None:
    """Whatever stays listed is seen for two thirds, or the detector would be asked for what nobody can
    see."""
    dropped = 0
    for index in range(60):
        scene = Scene(np.full((128, 128, 3), 255, np.uint8))
        scene.add(np.array([40.0, 40.0, 30.0, 40.0]), template(256))
        _cover(scene, source, np.random.default_rng(index))
        share = (scene.pixels[40:80, 40:70] != 255).any(-1).mean()
        assert (len(scene.boxes) == 1) == (share < 0.33)
        dropped += not len(scene.boxes)
    assert 0 < dropped < 60


def test_small_heads_come_from_one_side_of_the_split(folder: Path) -> None:
    heads = folder / "expressions" / "happy"
    heads.mkdir(parents=True)
    for index in range(40):
        Image.fromarray(noise(np.random.default_rng(index), 48, 48)).save(heads / f"{index:04d}.png")
    ours, theirs = (load_source(folder, validation=side).expressions for side in (False, True))
    assert len(ours) + len(theirs) == 40
    assert not set(ours) & set(theirs)
    assert all(held_out(f"happy/{path.stem}", HELD_OUT_SHARE) for path in theirs)


def test_a_head_that_does_not_turn_stays_as_it_is() -> None:
    picture = noise(np.random.default_rng(0), 64, 64)
    np.testing.assert_array_equal(heads.turn_head(picture, heads.CROP_HEAD, np.zeros(2)), picture)


@settings(max_examples=30, deadline=None)
@example(side=0.5, nod=0.5, x=0.625, y=0.640625)  # towards the outline, where the surface falls steeply
@given(st.floats(-0.5, 0.5), st.floats(-0.4, 0.5), st.floats(0.35, 0.65), st.floats(0.35, 0.65))
def test_what_stands_out_moves_as_its_landmarks_do(side: float, nod: float, x: float, y: float) -> None:
    """A spot on a turned head is seen where `turn_points` says, and the picture's rim stays."""
    centre, turn = np.array([x * 128, y * 128]), np.array([side, nod], np.float32)
    rows, columns = np.mgrid[0:128, 0:128]
    spot = 255 * np.exp(-((columns - centre[0]) ** 2 + (rows - centre[1]) ** 2) / (2 * 4.0**2))
    picture = np.repeat(spot[..., None], 3, 2).astype(np.uint8)
    seen = heads.turn_head(picture, heads.CROP_HEAD, turn)[..., 0].astype(float)
    expected = heads.turn_points(centre, 128, heads.CROP_HEAD, turn)
    found = np.unravel_index(seen.argmax(), seen.shape)[::-1]
    np.testing.assert_allclose(found, expected, atol=3)
    around = noise(np.random.default_rng(1), 128, 128)
    np.testing.assert_array_equal(heads.turn_head(around, heads.CROP_HEAD, turn)[:, :8], around[:, :8])


def test_a_listed_face_is_where_its_crop_was_pasted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """White crops on black backgrounds: the middle of every listed box is bright."""
    monkeypatch.setattr(paste, "WORN", 0.0)
    white = np.full((256, 256, 3), 255, np.uint8)
    path = folder / "white.png"
    Image.fromarray(white).save(path)
    points = template(256)[None]
    black = np.zeros((100, 100, 3), np.uint8)
    source = Source((path,), white[None, ::4, ::4], points, (path,), (), (black,))
    seen = 0
    for index in range(120):
        scene = compose(source, 1, index, 128)
        if scene.kind not in ("few", "portrait", "crowd"):
            continue
        gray = scene.pixels.astype(float).mean(-1)
        for x, y, w, h in scene.boxes:
            cx, cy = round(float(x + w / 2)), round(float(y + h / 2))
            if 0 <= cx < 128 and 0 <= cy < 128 and w > 12:
                seen += 1
                assert gray[cy, cx] > gray.min() + 25
    assert seen > 30


def test_the_crops_box_is_the_teachers_answer(shared: Path) -> None:
    from revisage.faces import Detector

    detector = Detector(shared / "models" / "yunet_2026may.onnx")
    boxes = []
    for path in sorted((shared / "data" / "faces256").iterdir())[::220]:
        with Image.open(path) as image:
            boxes += [face.box for face in detector.find(np.asarray(image.convert("RGB")))[:1]]
    np.testing.assert_allclose(np.median(boxes, axis=0), BOX_256, atol=10)


@pytest.mark.parametrize("size", [32, 96, 250])
def test_clutter_has_the_asked_size(size: int) -> None:
    rng = np.random.default_rng(0)
    picture = noise(rng, 60, 80)
    for made in (
        clutter.patchwork(lambda: picture, rng, size),
        clutter.jumble(picture, rng, size),
        clutter.closeup(picture, rng, size),
        clutter.leaves(lambda: picture, rng, size),
    ):
        assert made.shape == (size, size, 3)
        assert made.dtype == np.uint8
    for paint in (clutter.lettering, clutter.emblems, clutter.shapes):
        plain = np.full((size, size, 3), 128, np.uint8)
        assert (paint(plain, rng) != 128).any()
        assert (plain == 128).all()


def test_photographs_stand_in_scenes_that_list_no_faces(folder: Path, source: Source) -> None:
    path = folder / "red.png"
    Image.fromarray(np.full((90, 60, 3), (250, 0, 0), np.uint8)).save(path)
    source = replace(source, photographs=(path,))
    scenes = [scene for scene in (compose(source, 0, i, 96) for i in range(80)) if scene.kind == "photo"]
    assert scenes
    assert not any(scene.complete or len(scene.boxes) for scene in scenes)
    red = [np.float32(scene.pixels) @ (1, -0.5, -0.5) for scene in scenes]
    assert np.mean([(part > 60).any() for part in red]) > 0.6  # some scenes come out gray


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([64, 256]))
def test_what_heads_wear_changes_a_copy_and_leaves_the_bridge_of_the_nose(seed: int, size: int) -> None:
    crop = np.full((size, size, 3), 128, np.uint8)
    worn = wear(crop, template(size), np.random.default_rng(seed))
    assert worn.shape == crop.shape
    assert worn.dtype == np.uint8
    assert (crop == 128).all()
    x, y = template(size)[:3].mean(0).round().astype(int)
    assert np.abs(worn[y, x].astype(int) - 128).max() < 20
    np.testing.assert_array_equal(worn, wear(crop, template(size), np.random.default_rng(seed)))
