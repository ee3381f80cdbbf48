"""Whole photos through a Restorer whose models are stubs."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from restore_stubs import PORTRAIT, SIZE, StubModels, centre, crowd, face_at, red, restorer_with, same, twice

from revisage import label
from revisage.errors import FaceError, PhotoTooLargeError, SaveError, UsageError
from revisage.image import decode, from_array
from revisage.restore import RestoreOptions, Restorer, Result, document, failure

data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return data.astronaut()


def test_a_face_is_restored_in_its_place(astronaut: np.ndarray) -> None:
    result = restorer_with().restore(astronaut, scale=1, colour="enhance")
    assert centre(result).tolist() == [255, 0, 0]
    before = astronaut.astype(int)
    outside = np.abs(result.pixels - before)
    assert outside[:, 400:].mean() < 2
    assert outside[300:].mean() < 2
    assert [face.outcome for face in result.faces] == ["restored"]


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_scale(astronaut: np.ndarray, scale: int) -> None:
    result = restorer_with().restore(astronaut[:256, 96:352], scale=scale, colour="enhance")
    assert result.pixels.shape == (256 * scale, 256 * scale, 3)
    assert result.image.size == (256 * scale, 256 * scale)
    assert result.scale == scale


def test_scale_auto(astronaut: np.ndarray) -> None:
    assert restorer_with().restore(astronaut).pixels.shape == (1024, 1024, 3)
    wide = np.zeros((8, 1600, 3), np.uint8)
    assert restorer_with(faces=()).restore(wide).pixels.shape == wide.shape


def test_a_face_given_back_unchanged_leaves_the_photo(astronaut: np.ndarray) -> None:
    restored = restorer_with(face=same, scene=None, size=256).restore(astronaut, scale=1).pixels
    change = np.abs(restored.astype(int) - astronaut)
    assert change.mean() < 0.5
    assert np.percentile(change, 99.9) < 20


def test_strength(astronaut: np.ndarray) -> None:
    def at(strength: float) -> Result:
        return restorer_with(scene=None).restore(astronaut, strength=strength, scale=1, colour="enhance")

    assert np.array_equal(at(0).pixels, astronaut)
    assert at(0).faces[0].outcome == "skipped"
    distances = [np.abs(at(s).pixels.astype(int) - astronaut).sum() for s in (0, 0.25, 0.5, 0.75, 1)]
    assert distances == sorted(distances)
    half = (centre(at(0)).astype(int) + centre(at(1))) / 2
    assert np.allclose(centre(at(0.5)), half, atol=1)


@pytest.mark.parametrize(
    ("faces", "restored"),
    [("all", {0, 1, 2, 3}), ("largest", {0}), ("2,4", {1, 3}), ((3,), {2}), ("4", {3})],
)
def test_choice_of_faces(astronaut: np.ndarray, faces: str, restored: set[int]) -> None:
    result = restorer_with(faces=crowd()[::-1], scene=None).restore(
        astronaut, faces=faces, scale=1, colour="enhance"
    )
    assert [face.number for face in result.faces] == [1, 2, 3, 4]
    across = [face.box[0] for face in result.faces]
    assert across == sorted(across)
    assert {k for k, face in enumerate(result.faces) if face.outcome == "restored"} == restored
    for k, face in enumerate(result.faces):
        red_here = result.pixels[250, 60 + 110 * k].tolist() == [255, 0, 0]
        assert red_here == (k in restored)
        assert face.reason == (None if k in restored else "not chosen")


def test_a_crowd_runs_in_bounded_batches(astronaut: np.ndarray) -> None:
    models = StubModels(red, None, [face_at(30 + 20 * k, 100 + 10 * k, 60) for k in range(19)])
    result = Restorer(models=models).restore(astronaut, scale=1)
    assert [shape[0] for shape in models.face_session.batches] == [8, 8, 3]
    assert len(result.faces) == 19


def test_unfit_faces_are_skipped_with_a_reason(astronaut: np.ndarray) -> None:
    found = [face_at(*PORTRAIT), face_at(0, 0, 160), face_at(300, 300, 18)]
    result = restorer_with(faces=found).restore(astronaut, scale=1)
    assert [(face.outcome, face.reason) for face in result.faces] == [
        ("skipped", "mostly outside the picture"),
        ("restored", None),
        ("skipped", "smaller than 12 pixels"),
    ]


def test_a_bad_face_fails_alone(astronaut: np.ndarray) -> None:
    found = crowd()
    nowhere = np.zeros((5, 2), np.float32)
    found[0] = replace(found[0], landmarks=nowhere)
    found[1] = replace(found[1], landmarks=np.full((5, 2), np.nan, np.float32))
    result = restorer_with(faces=found, scene=None).restore(astronaut, scale=1, colour="enhance")
    assert [face.outcome for face in result.faces] == ["failed", "failed", "restored", "restored"]
    assert all(face.reason for face in result.faces[:2])
    assert result.pixels[250, 280].tolist() == [255, 0, 0]
    assert np.array_equal(result.pixels[250, 60], astronaut[250, 60])


@pytest.mark.parametrize("how", ["nan", "raise"])
def test_the_model_failing_on_one_face_spares_the_others(how: str) -> None:
    photo = np.full((400, 512, 3), 100, np.uint8)
    photo[:, :110] = 250

    def brittle(crop: np.ndarray) -> np.ndarray:
        if crop.mean() < 0.8:
            return red(crop)
        if how == "raise":
            raise RuntimeError("kernel says no\nand more")
        return crop * np.nan

    result = restorer_with(face=brittle, faces=crowd(), scene=None).restore(photo, scale=1, colour="enhance")
    assert [face.outcome for face in result.faces] == ["failed", *["restored"] * 3]
    assert "\n" not in result.faces[0].reason
    assert ("kernel says no" in result.faces[0].reason) == (how == "raise")
    assert np.array_equal(result.pixels[:, :50], photo[:, :50])


def test_a_face_the_model_cannot_make_out_is_smoothed_first_or_left(astronaut: np.ndarray) -> None:
    """One model is upset by fine detail, one by anything."""
    seen: list[float] = []

    def upset(crop: np.ndarray, most: float) -> np.ndarray:
        seen.append(float(np.abs(np.diff(crop, axis=1)).mean()))
        return crop if seen[-1] < most else 1 - crop

    photo = astronaut.copy()
    photo[:, ::2] //= 2
    for most, outcome in ((0.03, "restored"), (0.0, "failed")):
        seen.clear()
        one = restorer_with(face=partial(upset, most=most), scene=None)
        (face,) = (result := one.restore(photo, scale=1, colour="enhance")).faces
        assert seen == sorted(seen, reverse=True)
        assert len(seen) in (2, 3)
        assert face.outcome == outcome
        assert np.array_equal(result.pixels, photo) == (outcome == "failed")
        assert face.reason is None or "make it out" in face.reason


def test_the_face_of_a_dithered_scan_is_made_out(astronaut: np.ndarray) -> None:
    small = Image.fromarray(astronaut[:320, 96:416]).convert("L").resize((220, 220), Image.Resampling.LANCZOS)
    with Restorer(precision="fp32") as restorer:  # in 8 bits the hair around it keeps its screen
        result = restorer.restore(small.convert("1").convert("L"), scale=1)
    (x, y, w, h), truth = (round(v) for v in result.faces[0].box), np.asarray(small, np.float32)
    face = slice(y, y + h), slice(x, x + w)
    kept = np.corrcoef(truth[face].ravel(), np.asarray(result.image.convert("L"), np.float32)[face].ravel())
    assert result.faces[0].outcome == "restored"
    assert kept[0, 1] > 0.95  # 0.976; without: mush


def test_gray_stays_gray(astronaut: np.ndarray) -> None:
    gray = astronaut[..., 1]
    for source in (gray, np.repeat(gray[..., None], 3, 2)):
        kept = restorer_with(scene=lambda x: twice(x) * np.float32([1, 0.9, 0.8])).restore(source)
        assert np.ptp(kept.pixels, axis=2).max() == 0
    assert restorer_with().restore(gray).image.mode == "L"
    enhanced = restorer_with().restore(gray, scale=1, colour="enhance")
    assert centre(enhanced).tolist() == [255, 0, 0]
    assert enhanced.image.mode == "RGB"


def test_a_toned_photo_keeps_its_tone(astronaut: np.ndarray) -> None:
    luma = astronaut.mean(axis=2, keepdims=True) / 255 * 0.7 + 0.15
    sepia = np.uint8(255 * np.clip(luma + np.float32([0.08, 0.0, -0.1]), 0, 1))

    def cold(x: np.ndarray) -> np.ndarray:
        return x + np.float32([-0.08, 0, 0.1])

    kept = restorer_with(face=cold, scene=lambda x: cold(twice(x)), size=128).restore(sepia, scale=1).pixels
    for channels in ((0, 1), (1, 2)):
        tone = sepia[..., channels[0]].astype(int) - sepia[..., channels[1]]
        got = kept[..., channels[0]].astype(int) - kept[..., channels[1]]
        assert np.abs(got - tone).mean() < 2


def test_depth_and_alpha_survive(astronaut: np.ndarray) -> None:
    deep = astronaut.astype(np.uint16) * 257
    alpha = np.tile(np.linspace(0, 65535, 512).astype(np.uint16), (512, 1))
    photo = replace(from_array(deep), alpha=alpha, icc=b"profile", dpi=(300.0, 300.0))
    result = restorer_with().restore(photo, scale=2)
    assert result.pixels.dtype == np.uint16
    assert result.photo.alpha.shape == (1024, 1024)
    assert np.abs(result.photo.alpha[0, ::2].astype(int) - alpha[0]).max() < 200
    assert (result.photo.icc, result.photo.dpi) == (b"profile", (300.0, 300.0))
    assert result.image.mode == "RGBA"


def test_every_kind_of_source_gives_the_same(astronaut: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(astronaut).save(path)
    expected = restorer_with().restore(astronaut).pixels
    for source in (path, str(path), path.read_bytes(), Image.fromarray(astronaut)):
        assert np.array_equal(restorer_with().restore(source).pixels, expected)


def test_report(astronaut: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(astronaut).save(path)
    result = restorer_with().restore(path)
    saved = result.save(tmp_path / "b.png")
    report = json.loads(json.dumps(result.report()))
    assert report["schema"] == 1
    assert report["tool"].startswith("revisage ")
    (photo,) = report["photos"]
    assert photo["input"] == str(path)
    assert photo["output"] == str(saved)
    assert (photo["status"], photo["error"]) == ("restored", None)
    assert (photo["size_in"], photo["size_out"]) == ([512, 512], [1024, 1024])
    assert photo["models"] == {
        "face": "stub-face 1",
        "scene": "stub-scene 1",
        "identity": None,
        "finder": "stub-finder 1",
        "damage": None,
        "tone": None,
    }
    assert photo["runtime"] == {"backend": "stub", "device": "cpu", "precision": "fp32"}
    assert set(photo["seconds"]) == {"decode", "repair", "find", "faces", "scene", "paste", "encode"}
    assert photo["seconds"]["encode"] > 0
    (face,) = photo["faces"]
    assert len(face["landmarks"]) == 5
    assert len(face["box"]) == 4
    assert face["identity_degrees"] is None
    failed = failure("b.jpg", UsageError("line one\nline two"))
    assert set(failed) == set(photo)
    assert failed["error"] == "line one"
    assert len(document([photo, failed])["photos"]) == 2


def test_without_models_the_photo_is_only_resampled(astronaut: np.ndarray, tmp_path: Path) -> None:
    result = Restorer(models=StubModels()).restore(astronaut)
    assert result.background == "lanczos"
    assert result.changed_by == ()
    assert result.report()["photos"][0]["runtime"] is None
    assert result.save(tmp_path / "plain.png").exists()


def test_the_label_names_the_models_that_changed_the_photo(astronaut: np.ndarray, tmp_path: Path) -> None:
    result = restorer_with().restore(astronaut)
    assert result.changed_by == ("stub-face 1", "stub-scene 1")
    written = label.read(result.save(tmp_path / "a.jpg").read_bytes())
    assert written.models == ("stub-face 1", "stub-scene 1")
    assert written.tool.startswith("revisage ")
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        assert label.read(result.encode(format)) == written
        assert label.read(result.encode(format, label=False)) is None
    assert label.read(result.save(tmp_path / "b.jpg", label=False).read_bytes()) is None
    assert restorer_with(faces=()).restore(astronaut).changed_by == ("stub-scene 1",)


@pytest.mark.parametrize(
    ("name", "format"),
    [("HEIC", "HEIF"), ("heif", "HEIF"), ("JPEG XL", "JXL"), ("WebP", "WEBP"), ("jpg", "JPEG")],
)
def test_a_format_may_be_called_as_messages_call_it(name: str, format: str, astronaut: np.ndarray) -> None:
    result = restorer_with(scene=None).restore(astronaut[:64, :64], scale=1)
    assert decode(result.encode(name)).format == format


def test_an_unknown_format_is_told(astronaut: np.ndarray) -> None:
    with pytest.raises(UsageError, match="cannot write the format 'gif': choose one of JPEG"):
        restorer_with(scene=None).restore(astronaut[:64, :64], scale=1).encode("gif")


def test_a_result_that_is_restored_again_keeps_the_models_of_before(astronaut: np.ndarray) -> None:
    again = restorer_with(scene=None).restore(astronaut).encode("PNG")
    for _ in range(2):
        again = restorer_with(face=None).restore(again, scale=1).encode("PNG")
    assert label.read(again).models == ("stub-face 1", "stub-scene 1")


def test_the_original_is_never_written_to(astronaut: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(astronaut).save(path)
    before = path.read_bytes()
    link = tmp_path / "link.png"
    link.symlink_to(path)
    result = restorer_with().restore(path)
    for target in (path, tmp_path / "." / "a.png", link):
        with pytest.raises(SaveError, match="original"):
            result.save(target)
    assert path.read_bytes() == before


def test_aligned(astronaut: np.ndarray) -> None:
    crop = astronaut[20:220, 124:324]
    result = restorer_with().restore(crop, aligned=True, colour="enhance")
    assert result.pixels.shape == (SIZE, SIZE, 3)
    assert (result.pixels == [255, 0, 0]).all()
    assert [face.outcome for face in result.faces] == ["restored"]
    untouched = restorer_with().restore(crop, aligned=True, colour="enhance", strength=0)
    assert [(face.outcome, face.reason) for face in untouched.faces] == [("skipped", "strength is 0")]
    plain = untouched.pixels
    assert np.abs(plain.mean(axis=(0, 1)) - crop.mean(axis=(0, 1))).max() < 2
    half = restorer_with().restore(crop, aligned=True, colour="enhance", strength=0.5).pixels
    assert np.abs(half - (plain + np.float32([255, 0, 0])) / 2).max() <= 1
    gray = restorer_with().restore(crop[..., 0], aligned=True)
    assert np.ptp(gray.pixels, axis=2).max() == 0


def test_aligned_errors(astronaut: np.ndarray) -> None:
    with pytest.raises(UsageError, match="face model"):
        Restorer(models=StubModels()).restore(astronaut, aligned=True)
    with pytest.raises(FaceError):
        restorer_with(face=lambda crop: crop * np.nan).restore(astronaut, aligned=True)


def test_a_result_beyond_the_limit_is_refused(astronaut: np.ndarray) -> None:
    limited = Restorer(models=StubModels(), max_output_pixels=10**6)
    with pytest.raises(PhotoTooLargeError, match="smaller scale"):
        limited.restore(astronaut, scale=2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (3, 7)])
def test_tiny_photos(shape: tuple[int, int]) -> None:
    photo = np.full((*shape, 3), 77, np.uint8)
    result = restorer_with(faces=()).restore(photo)
    assert result.pixels.shape == (2 * shape[0], 2 * shape[1], 3)
    assert (result.pixels == 77).all()


def test_the_input_is_not_changed(astronaut: np.ndarray) -> None:
    before = astronaut.copy()
    restorer_with(scene=None).restore(astronaut, scale=1)
    assert np.array_equal(before, astronaut)


def test_faces_found_already_are_restored_and_no_other() -> None:
    pixels = np.full((120, 200, 3), 90, np.uint8)
    models = StubModels(face=red, faces=[face_at(50, 60, 60)])
    one = Restorer(models=models)
    assert [face.box for face in one.find(pixels)] == [face_at(50, 60, 60).box]
    given = [face_at(150, 60, 50), face_at(60, 50, 80)]
    options = RestoreOptions(scale=1, colour="enhance")
    result = one.restore(pixels, options, found=given)
    assert [face.box for face in result.faces] == [face.box for face in given]
    assert result.pixels[60, 150, 0] > 200
    assert not one.restore(pixels, options, found=()).faces
