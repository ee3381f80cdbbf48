"""Finding faces at every size, and the way to the FFHQ template and back."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from revisage import zoo
from revisage.errors import FaceError, ModelCorruptError, ModelMissingError
from revisage.faces import Detector, Face, align, estimate, invert, template, turn_matrix, upright
from revisage.faces.network import Network
from revisage.faces.pyramid import pyramid, scales
from revisage.faces.rows import SCORE, mapped, suppress

similarities = st.tuples(
    st.floats(-0.9, 0.9),  # turn in radians
    st.floats(0.15, 4.0),  # picture pixels per crop pixel
    st.floats(-40, 200),
    st.floats(-40, 200),
)


def moved(points: np.ndarray, turn: float, scale: float, x: float, y: float) -> np.ndarray:
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return points @ linear.T + (x, y)


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    channels = [0.5 + 0.4 * np.sin(x / 23), 0.5 + 0.4 * np.cos(y / 19), 0.5 + 0.4 * np.sin((x + y) / 29)]
    return np.stack(channels, -1).astype(np.float32)


def test_template_scales_with_the_crop_and_is_a_face() -> None:
    points = template(512)
    assert points.dtype == np.float32
    np.testing.assert_allclose(template(256) * 2, points, rtol=1e-6)
    right_eye, left_eye, nose, right_mouth, left_mouth = points
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert right_eye[1] < nose[1] < right_mouth[1]
    with pytest.raises(ValueError, match="at least 1"):
        template(0)


def test_template_is_the_mean_of_aligned_crops(shared: Path) -> None:
    table = np.loadtxt(shared / "data" / "faces256.csv", delimiter=",", skiprows=1, usecols=range(4, 14))
    np.testing.assert_allclose(table.mean(0).reshape(5, 2), template(256), atol=1.5)


@given(similarities, st.sampled_from([64, 256, 512]))
def test_estimate_recovers_any_similarity(similarity: tuple[float, float, float, float], size: int) -> None:
    landmarks = moved(template(size).astype(np.float64), *similarity)
    matrix = estimate(landmarks, size)
    np.testing.assert_allclose(apply(matrix, landmarks), template(size), atol=1e-3)
    np.testing.assert_allclose(apply(invert(matrix), template(size)), landmarks, atol=1e-3)


@given(st.integers(0, 2**32 - 1))
def test_estimate_is_the_least_squares_similarity(seed: int) -> None:
    rng = np.random.default_rng(seed)
    landmarks = moved(template(256) + rng.normal(0, 8, (5, 2)), 0.3, 0.8, 10, 20)
    matrix = estimate(landmarks, 256)
    rows, values = [], []
    for (x, y), (u, v) in zip(landmarks, template(256), strict=True):
        rows += [[x, -y, 1, 0], [y, x, 0, 1]]
        values += [u, v]
    a, b, tx, ty = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0]
    np.testing.assert_allclose(matrix, [[a, -b, tx], [b, a, ty]], rtol=1e-5, atol=1e-3)


@settings(max_examples=40, deadline=None)
@given(similarities)
def test_align_then_paste_gives_the_picture_back(similarity: tuple[float, float, float, float]) -> None:
    turn, scale, x, y = similarity
    picture = smooth(240, 260)
    size = 128
    matrix = estimate(moved(template(size).astype(np.float64), turn, scale, x, y), size)
    crop = align(picture, matrix, size)
    back = cv2.warpAffine(crop, invert(matrix), (260, 240), flags=cv2.INTER_LINEAR)
    inside = cv2.warpAffine(np.ones((size, size), np.float32), invert(matrix), (260, 240))
    inside = cv2.erode(inside, np.ones((9, 9)), borderValue=0) == 1
    if inside.any():
        assert np.abs(back - picture)[inside].max() < 0.03 * max(1.0, scale)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_align_keeps_the_dtype_and_range(dtype: type) -> None:
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    picture = (smooth(100, 90) > 0.5).astype(np.float32) * top
    crop = align(picture.astype(dtype), estimate(moved(template(64), 0.2, 0.7, 10, 5), 64), 64)
    assert crop.shape == (64, 64, 3)
    assert crop.dtype == dtype
    assert crop.min() >= 0
    assert crop.max() <= top


def test_align_of_a_crop_on_the_template_is_the_crop() -> None:
    picture = (smooth(256, 256) * 255).astype(np.uint8)
    np.testing.assert_array_equal(align(picture, estimate(template(256), 256), 256), picture)


def test_align_averages_a_large_face_instead_of_aliasing() -> None:
    stripes = np.zeros((1600, 1600, 3), np.float32)
    stripes[:, ::2] = 1.0
    crop = align(stripes, estimate(moved(template(128), 0.0, 8.0, 100, 100), 128), 128)
    assert np.abs(crop - 0.5).max() < 0.1


def test_align_agrees_with_a_plain_warp_when_the_face_is_small() -> None:
    picture = smooth(200, 200)
    matrix = estimate(moved(template(256), 0.1, 0.4, 30, 40), 256)
    plain = cv2.warpAffine(picture, matrix, (256, 256), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    assert np.abs(align(picture, matrix, 256) - plain).max() < 0.01


@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (1, 500), (40, 40)])
def test_align_mirrors_where_the_picture_ends(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 77, np.uint8)
    crop = align(picture, estimate(moved(template(64), 0.4, 1.5, -30, -60), 64), 64)
    assert (crop == 77).all()


@pytest.mark.parametrize(
    ("landmarks", "why"),
    [
        (np.zeros((5, 2)), "coincide"),
        (np.full((5, 2), np.nan), "finite"),
        (np.full((5, 2), np.inf), "finite"),
        (template(256) * (-1, 1), "like a face"),  # left and right exchanged
    ],
)
def test_degenerate_landmarks_are_a_face_error(landmarks: np.ndarray, why: str) -> None:
    with pytest.raises(FaceError, match=why):
        estimate(landmarks, 256)


def test_estimate_wants_five_points() -> None:
    with pytest.raises(ValueError, match="five landmarks"):
        estimate(np.zeros((68, 2)), 256)


def test_a_flat_transform_cannot_be_inverted() -> None:
    with pytest.raises(FaceError, match="inverted"):
        invert(np.array([[0.0, 0.0, 3.0], [0.0, 0.0, 4.0]]))


# Finding


@pytest.fixture(scope="session")
def detector(shared: Path) -> Detector:
    return Detector(shared / "models" / "yunet_2026may.onnx")


@pytest.fixture(scope="session")
def crop(shared: Path) -> np.ndarray:
    path = sorted((shared / "data" / "faces256").iterdir())[5]
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def scene(crop: np.ndarray, size: tuple[int, int], heads: list[tuple[int, int, int]]) -> np.ndarray:
    """A gray picture of (width, height) with the crop pasted at each (x, y) with the given side."""
    picture = np.full((size[1], size[0], 3), 128, np.uint8)
    for x, y, side in heads:
        picture[y : y + side, x : x + side] = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
    return picture


def centres(faces: list[Face]) -> np.ndarray:
    return np.array([face.landmarks[2] for face in faces])


def test_a_large_picture_gives_its_small_faces_once(embedded: Detector, crop: np.ndarray) -> None:
    # 34 px crops hold faces of some 20 px; the rows straddle every border of the tiles they fall into.
    heads = [(300 + 150 * column, 400 + 190 * row, 34) for row in range(4) for column in range(16)]
    heads.append((200, 1300, 1400))
    picture = scene(crop, (3000, 2800), heads)
    faces = embedded.find(picture)
    noses = centres(faces)
    for x, y, side in heads:
        expected = np.array([x, y]) + template(side)[2]
        near = np.linalg.norm(noses - expected, axis=1) < 0.15 * side
        assert near.sum() == 1, (x, y, side)
    assert len(faces) == len(heads)
    assert faces[0].box[2] > 500
    widths = [face.box[2] * face.box[3] for face in faces]
    assert widths == sorted(widths, reverse=True)


def test_landmarks_are_named_as_the_picture_shows_them(detector: Detector, crop: np.ndarray) -> None:
    (face,) = detector.find(crop)
    assert face.landmarks.shape == (5, 2)
    assert face.landmarks.dtype == np.float32
    np.testing.assert_allclose(face.landmarks, template(256), atol=20)
    x, y, width, height = face.box
    assert ((face.landmarks > (x, y)) & (face.landmarks < (x + width, y + height))).all()
    assert 0.6 <= face.score <= 1


def test_a_face_is_found_at_any_size_and_scale_moves_nothing(detector: Detector, crop: np.ndarray) -> None:
    for side in (40, 100, 400, 900, 2500):
        picture = cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)
        faces = detector.find(picture)
        assert len(faces) == 1, side
        np.testing.assert_allclose(faces[0].landmarks, template(side), atol=0.09 * side)


def test_the_same_picture_gives_the_same_faces_in_every_thread(detector: Detector, crop: np.ndarray) -> None:
    pictures = [scene(crop, (500, 400), [(20 * n, 30, 100 + 30 * n)]) for n in range(6)]
    alone = [detector.find(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(detector.find, pictures * 3))
    for expected, found in zip(alone * 3, together, strict=True):
        assert [face.box for face in found] == [face.box for face in expected]
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a.landmarks, b.landmarks)


@pytest.mark.parametrize(
    "shape", [(0, 0), (1, 1), (7, 4000), (1, 20000), (20000, 9), (8, 8), (33, 31)], ids=str
)
def test_a_picture_without_room_for_a_face_has_none(detector: Detector, shape: tuple[int, int]) -> None:
    assert detector.find(np.zeros((*shape, 3), np.uint8)) == []


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(8, 1700), st.integers(8, 1200)),
    st.sampled_from([0, 90, 180, 270]),
    st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.tuples(st.floats(8, 88), st.floats(8, 88)),
)
def test_some_window_shows_every_small_face_whole(
    size: tuple[int, int], turn: int, place: tuple[float, float], face: tuple[float, float]
) -> None:
    (width, height), (x, y) = size, place
    levels = pyramid(np.zeros((height, width, 3), np.uint8))
    assert [level.scale for level in levels] == sorted(level.scale for level in levels)
    w, h = min(face[0], width), min(face[1], height)
    box = np.array([[x * (width - w), y * (height - h), w, h, *([0.0] * 11)]])
    shown = 0
    for window in levels[-1].windows(turn):
        assert window.pixels.shape[0] % 32 == window.pixels.shape[1] % 32 == 0
        local = mapped(box, invert(window.to_picture))
        ends = local[0, :2] + local[0, 2:4] - window.pixels.shape[1::-1]
        inside = (local[0, :2] >= -1e-6).all() and (ends <= 1e-6).all()  # but for rounding
        shown += bool(inside and window.own(local)[0])
    assert shown >= 1


def test_windows_show_what_they_say(crop: np.ndarray) -> None:
    picture = scene(crop, (1900, 1500), [(40 + 300 * n, 100 + 200 * n, 256) for n in range(6)])
    for level in pyramid(picture):
        for turn in (0, 90, 180, 270):
            for window in level.windows(turn):
                matrix = invert(window.to_picture)
                expected = cv2.warpAffine(
                    cv2.GaussianBlur(picture, (0, 0), 0.6 / level.scale),
                    matrix,
                    window.pixels.shape[1::-1],
                    borderMode=cv2.BORDER_REFLECT,
                )
                seen = cv2.GaussianBlur(window.pixels, (0, 0), 0.6)
                assert np.abs(seen.astype(float) - expected).mean() < 1.5, (level.scale, turn)


@pytest.mark.parametrize("finder", ["teacher", "embedded"])
def test_the_network_answers_as_opencv_reads_it(shared: Path, crop: np.ndarray, finder: str) -> None:
    path = shared / "models" / "yunet_2026may.onnx" if finder == "teacher" else zoo.resolve("finder").path
    picture = scene(crop, (500, 330), [(20, 30, 250), (280, 60, 90), (390, 200, 40)])
    ours = suppress(Network(path, precision="fp32").rows(picture, 0.5), 0.3)
    bgr = np.ascontiguousarray(picture[..., ::-1])
    theirs = cv2.FaceDetectorYN.create(str(path), "", (500, 330), 0.5, 0.3, 5000).detect(bgr)[1]
    theirs = theirs[np.argsort(-theirs[:, SCORE])]
    assert len(ours) == len(theirs) == 3
    np.testing.assert_allclose(ours[:, :SCORE], theirs[:, :SCORE], atol=0.1)
    np.testing.assert_allclose(ours[:, SCORE], theirs[:, SCORE], atol=1e-3)


def test_a_mirrored_picture_has_mirrored_faces(detector: Detector, crop: np.ndarray) -> None:
    picture = scene(crop, (400, 300), [(20, 40, 200), (260, 90, 90)])
    straight, mirrored = detector.find(picture), detector.find(np.ascontiguousarray(picture[:, ::-1]))
    assert len(straight) == len(mirrored) == 2
    for face, other in zip(straight, mirrored, strict=True):
        expected = other.landmarks[[1, 0, 2, 4, 3]] * (-1, 1) + (399, 0)
        assert np.abs(face.landmarks - expected).max() < 0.05 * face.box[2]
        assert abs(face.score - other.score) < 0.1


@pytest.mark.parametrize("side", [40, 100])
def test_a_face_cut_by_the_right_border_is_found_as_its_mirror_image_is(
    detector: Detector, shared: Path, side: int
) -> None:
    for path in sorted((shared / "data" / "faces256").iterdir())[:6]:
        with Image.open(path) as image:
            face = cv2.resize(np.asarray(image.convert("RGB")), (side, side), interpolation=cv2.INTER_AREA)
        for width in (289, 900):
            for cut in (0.45, 0.55):
                picture = np.full((240, width, 3), 128, np.uint8)
                left = width - side + int(cut * side)
                picture[20 : 20 + side, left:] = face[:, : width - left]
                mirrored = np.ascontiguousarray(picture[:, ::-1])
                assert len(detector.find(picture)) == len(detector.find(mirrored)), (path.name, width, cut)


@pytest.mark.parametrize("place", [(0, 60), (200, 60), (100, 0), (100, 140)], ids=str)
def test_a_whole_face_at_the_edge_is_not_found_in_its_mirror_image(
    embedded: Detector, crop: np.ndarray, place: tuple[int, int]
) -> None:
    head = cv2.resize(crop, (120, 120), interpolation=cv2.INTER_AREA)[20:120, 20:100]
    picture = np.full((240, 280, 3), 128, np.uint8)
    picture[place[1] : place[1] + 100, place[0] : place[0] + 80] = head
    (face,) = embedded.find(picture)
    expected = template(120) - 20 + np.array(place)
    np.testing.assert_allclose(face.landmarks, expected, atol=0.09 * 120)


def test_a_strip_of_any_length_is_searched_pixel_by_pixel(detector: Detector, shared: Path) -> None:
    with Image.open(shared / "data" / "reports" / "strip16000x130.jpg") as image:
        wide = np.asarray(image.convert("RGB"))
    assert len(detector.find(wide)) == 123
    tall = np.concatenate([wide[:, 650 * n : 650 * (n + 1)] for n in range(16000 // 650)])
    long = [(40, 250 * n + 20, 60) for n in range(60)]
    picture = scene(cv2.resize(wide[:, :130], (60, 60)), (140, 15_100), long)
    face = detector.find(picture)
    assert len(face) == len(long)
    assert len(detector.find(tall)) >= 100
    assert scales(16_000, 130)[-1] == scales(130, 16_000)[-1] == 1
    assert math.prod((12_000, 8_000)) * scales(12_000, 8_000)[-1] ** 2 == pytest.approx(2048 * 1536)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_picture_has_turned_faces(detector: Detector, crop: np.ndarray, turn: int) -> None:
    picture = scene(crop, (400, 300), [(20, 40, 200), (260, 90, 90)])
    straight = detector.find(picture)
    turned = detector.find(np.rot90(picture, -turn // 90))
    matrix = turn_matrix(turn, (400, 300))
    assert upright(face.landmarks for face in turned) == 360 - turn
    assert len(turned) == len(straight) == 2
    for face, other in zip(straight, turned, strict=True):
        there = face.moved(matrix)
        np.testing.assert_allclose(other.landmarks, there.landmarks, atol=0.03 * face.box[2])
        np.testing.assert_allclose(other.box, there.box, atol=0.05 * face.box[2])
        np.testing.assert_allclose(apply(matrix, face.landmarks), there.landmarks, atol=1e-3)


@pytest.fixture(scope="session")
def embedded() -> Detector:
    return Detector(zoo.resolve("finder").path)


@pytest.mark.parametrize("turn", [45, 135, 225, 315])
def test_a_face_that_lies_slanted_is_found(embedded: Detector, shared: Path, turn: int) -> None:
    turned = []
    for path in sorted((shared / "data" / "portraits").iterdir())[:4]:
        with Image.open(path) as image:
            picture = image.convert("RGB").rotate(
                -turn, Image.Resampling.BICUBIC, expand=True, fillcolor="gray"
            )
        (face,) = embedded.find(np.asarray(picture))
        matrix = estimate(face.landmarks, 256)
        lies = -math.degrees(math.atan2(matrix[1, 0], matrix[0, 0]))
        turned.append(abs((lies - turn + 180) % 360 - 180))
    assert max(turned) < 25


def test_prints_that_lie_every_way_beside_an_upright_one_are_found(embedded: Detector, shared: Path) -> None:
    """As on the page of an album."""
    prints = []
    for turn, path in zip((0, 90, 180, 270), sorted((shared / "data" / "portraits").iterdir()), strict=False):
        with Image.open(path) as image:
            prints.append(np.asarray(image.convert("RGB").resize((300, 300)).rotate(turn)))
    faces = embedded.find(np.vstack([np.hstack(prints[:2]), np.hstack(prints[2:])]))
    assert sorted(upright([face.landmarks]) for face in faces) == [0, 90, 180, 270]


def test_a_strip_of_people_is_found_turned_as_well(embedded: Detector, shared: Path) -> None:
    with Image.open(shared / "data" / "reports" / "strip16000x130.jpg") as image:
        strip = np.asarray(image.convert("RGB"))
    count = len(embedded.find(strip))
    assert count > 100
    assert len(embedded.find(np.rot90(strip))) == pytest.approx(count, abs=3)


def tilted(crop: np.ndarray, degrees: float) -> np.ndarray:
    """The crop, at 154 px, turned counterclockwise in the middle of (512, 512)."""
    wide = cv2.copyMakeBorder(crop, *(128,) * 4, cv2.BORDER_REFLECT)
    turn = cv2.getRotationMatrix2D((255.5, 255.5), degrees, 0.6)
    return cv2.warpAffine(wide, turn, (512, 512), borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("degrees", [-30, 0, 30])
def test_landmarks_follow_a_tilted_head(
    embedded: Detector, shared: Path, degrees: int, by_hand: bool
) -> None:
    errors = []
    for path in sorted((shared / "data" / "faces256").iterdir())[5:10]:
        with Image.open(path) as image:
            picture = tilted(np.asarray(image.convert("RGB")), degrees)
        faces = [embedded.look(picture, (206, 196, 100, 120))] if by_hand else embedded.find(picture)
        matrix = estimate(max(faces, key=lambda face: face.score).landmarks, 256)
        errors.append(math.degrees(math.atan2(matrix[1, 0], matrix[0, 0])) - degrees)
    assert np.median(np.abs(errors)) < (15 if degrees else 3), errors


def test_a_bowed_head_is_found(embedded: Detector, shared: Path) -> None:
    """As it stands the girl's face scores 0.52, turned by 20 degrees 0.81."""
    with Image.open(shared / "data" / "photos" / "wq-1lt8gbj_0.jpg") as image:
        places = {face.box[0] // 100 for face in embedded.find(np.asarray(image.convert("RGB")))}
    assert places == {1, 3}


def test_a_face_that_hangs_upside_down_is_not_taken_for_an_upright_one(
    embedded: Detector, shared: Path
) -> None:
    for path in sorted((shared / "data" / "faces256").iterdir())[5:10]:
        with Image.open(path) as image:
            picture = scene(np.asarray(image.convert("RGB")), (320, 320), [(60, 60, 200)])
        (face,) = embedded.find(picture[::-1, ::-1])
        assert upright([face.landmarks]) == 180, path.name


def test_faces_between_the_sizes_of_two_searches_are_found(embedded: Detector) -> None:
    """In 12 megapixels they are too large for a tile's overlap, and faint in the search above."""
    with Image.open(Path(__file__).parents[1] / "examples" / "portrait.jpg") as image:
        tile = np.asarray(image.convert("RGB").resize((800, 1000), Image.Resampling.BOX))
    assert len(embedded.find(np.tile(tile, (3, 5, 1)))) == 15


def test_an_ape_and_branches_are_no_lying_faces(embedded: Detector, shared: Path) -> None:
    """Its only person shows a profile; turned, its likenesses pass the threshold one by one."""
    with Image.open(shared / "data" / "photos" / "wq-1ij0b9x.jpeg") as image:
        assert embedded.find(np.asarray(image.convert("RGB"))) == []


def test_faces_that_nobody_can_align_do_not_say_how_a_picture_lies() -> None:
    assert upright([]) == upright([np.zeros((5, 2))]) == 0
    lying = moved(template(256), math.radians(100), 1, 300, 0)
    assert upright([lying, np.zeros((5, 2))]) == 270


def test_a_face_by_hand_gets_what_can_be_seen_of_it(detector: Detector, crop: np.ndarray) -> None:
    picture = scene(crop, (400, 300), [(20, 40, 200)])
    drawn = (60.0, 70.0, 120.0, 150.0)
    for turn in (0, 90, 180, 270):
        matrix = turn_matrix(turn, (400, 300))
        box = Face(drawn, np.zeros((5, 2)), 0).moved(matrix).box
        face = detector.look(np.rot90(picture, -turn // 90), box)
        assert face.box == box
        expected = apply(matrix, template(200) + np.array([20, 40]))
        np.testing.assert_allclose(face.landmarks, expected, atol=0.09 * 200)
    blank = detector.look(np.zeros((300, 400, 3), np.uint8), drawn)
    assert (blank.box, blank.score) == (drawn, 0)
    matrix = estimate(blank.landmarks, 256)
    assert np.hypot(matrix[0, 0], matrix[1, 0]) == pytest.approx(1.0, abs=0.25)
    assert ((blank.landmarks > drawn[:2]) & (blank.landmarks < np.add(drawn[:2], drawn[2:]))).all()


def test_gray_pictures_are_searched(detector: Detector, crop: np.ndarray) -> None:
    assert len(detector.find(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY))) == 1


@pytest.mark.parametrize(
    "pixels", [np.zeros((50, 50, 4), np.uint8), np.zeros((50, 50, 3), np.float32), np.zeros(50, np.uint8)]
)
def test_other_arrays_are_refused(detector: Detector, pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        detector.find(pixels)


def test_missing_and_broken_models_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError, match="no face finder"):
        Detector(tmp_path / "none.onnx")
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    with pytest.raises(ModelCorruptError, match=r"broken\.onnx"):
        Detector(tmp_path / "broken.onnx")
    with pytest.raises(ModelCorruptError, match="not a face finder"):
        Detector(zoo.resolve("identity").path)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Detector(tmp_path / "none.onnx", score_threshold=1.5)
