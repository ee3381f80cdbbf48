"""The table of crops, and landmarks under a flip and a change of size."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from revisage.errors import TrainingError
from revisage.faces import estimate, template
from revisage.lab.data.landmarks import (
    POINT_COLUMNS,
    mirror_landmarks,
    read_crops,
    read_landmarks,
    resize_landmarks,
)

HEAD = ",".join(("file", "split", "scale", "coverage", *POINT_COLUMNS))
POINTS = "1,2,3,4,5,6,7,8,9,10"


def table(folder: Path, *rows: str, head: str = HEAD) -> Path:
    path = folder / "faces.csv"
    path.write_text("\n".join((head, *rows)) + "\n", encoding="utf-8")
    return path


def test_a_table_is_read_by_the_names_of_its_columns(tmp_path: Path) -> None:
    path = table(tmp_path, f"a.png,train,1,0.9,{POINTS}", f"Ann/ü.webp,train,1,1,{POINTS}")
    assert list(read_landmarks(path)) == ["a", "ü"]
    np.testing.assert_array_equal(read_landmarks(path)["a"], np.arange(1, 11).reshape(5, 2))
    first, second = read_crops(path)
    assert (first.file, first.coverage, first.group) == ("a.png", 0.9, "a")
    assert second.file == "Ann/ü.webp"

    columns = HEAD.split(",")
    turned = [*reversed(columns), "group"]
    values = dict(zip(columns, f"a.png,train,1,0.9,{POINTS}".split(","), strict=True)) | {"group": "Ann"}
    other = read_crops(table(tmp_path, ",".join(values[name] for name in turned), head=",".join(turned)))
    np.testing.assert_array_equal(other[0].landmarks, first.landmarks)
    assert other[0].group == "Ann"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a.png,train,1,1,1,2,3", "line 2: a number is missing"),
        (f"a.png,train,1,wide,{POINTS}", "line 2: a number is missing or is none"),
        (f"a.png,train,1,1,nan,{POINTS[2:]}", "line 2: a number is not finite"),
        (f",train,1,1,{POINTS}", "line 2: no file"),
        (f"a.png,train,1,1,{POINTS}\nb/a.webp,train,1,1,{POINTS}", "line 3: a is there twice"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: str, says: str) -> None:
    with pytest.raises(TrainingError, match=says):
        read_landmarks(table(tmp_path, row))


def test_a_table_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"faces\.csv is missing"):
        read_landmarks(tmp_path / "faces.csv")
    with pytest.raises(TrainingError, match="no column right_eye_x"):
        read_landmarks(table(tmp_path, "a.png,1", head="file,coverage"))
    (tmp_path / "faces.csv").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(TrainingError, match="cannot be read"):
        read_landmarks(tmp_path / "faces.csv")


def bright_spot(picture: np.ndarray) -> np.ndarray:
    """x, y of the centre of mass."""
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    return np.array([(picture * x).sum(), (picture * y).sum()]) / picture.sum()


@given(st.integers(2, 40), st.integers(2, 40), st.integers(0, 10**6))
def test_mirrored_points_are_where_the_mirrored_picture_has_them(width: int, height: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.stack([rng.permutation(width)[:2], rng.integers(0, height, 2)], axis=1)
    picture = np.zeros((height, width))
    picture[points[0, 1], points[0, 0]] = 1
    face = np.zeros((5, 2), np.float32)
    face[0] = points[0]  # the right eye, which the mirror makes the left one
    np.testing.assert_array_equal(mirror_landmarks(face, width)[1], bright_spot(picture[:, ::-1]))
    np.testing.assert_array_equal(mirror_landmarks(mirror_landmarks(face, width), width), face)


def test_a_mirrored_face_still_lies_like_a_face() -> None:
    points = template(256) + np.float32((7, -3))
    mirrored = mirror_landmarks(np.stack([points, points]), 256)
    assert mirrored.shape == (2, 5, 2)
    assert np.linalg.det(estimate(mirrored[1], 256)[:, :2]) == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(mirrored[0], template(256) - np.float32((7, 3)), atol=2.5)


@pytest.mark.parametrize("side", [16, 32, 128, 256])
def test_resized_points_are_where_the_resized_picture_has_them(side: int) -> None:
    picture = np.zeros((64, 64), np.float32)
    picture[37, 21] = 1
    spread = cv2.GaussianBlur(picture, (0, 0), 3)
    small = cv2.resize(spread, (side, side), interpolation=cv2.INTER_AREA if side < 64 else cv2.INTER_LINEAR)
    found = resize_landmarks(np.array([[21.0, 37.0]], np.float32), 64, side)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], bright_spot(small), atol=0.02)


def test_the_shared_table_is_read(shared: Path) -> None:
    landmarks = read_landmarks(shared / "data" / "faces256.csv")
    pictures = {path.stem for path in (shared / "data" / "faces256").iterdir()}
    assert set(landmarks) == pictures
    # The crops are on the template.
    mean = np.mean(list(landmarks.values()), axis=0)
    np.testing.assert_allclose(mean, template(256), atol=3)
