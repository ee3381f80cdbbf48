"""68 landmarks: estimated from five, found by dlib and FAN, and kept by `revisage prepare --whole`."""

import csv
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from prepare_folder import WholePicture, texture

from revisage import faces
from revisage.cli import main
from revisage.errors import (
    ModelCorruptError,
    ModelMissingError,
    RuntimeUnavailableError,
    TrainingError,
    UsageError,
)
from revisage.faces import Face, template
from revisage.lab.data.landmarks import mirror_landmarks
from revisage.lab.data.prepare import landmarks68
from revisage.lab.data.prepare.landmarks68 import (
    COUNT,
    MIRRORED,
    estimate68,
    open_landmark_detector,
    peaks,
    template68,
)
from revisage.lab.data.prepare.whole import points_at, prepare_whole, read_points, resized

SIDE = 128


def turned(points: np.ndarray, degrees: float, zoom: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.deg2rad(degrees)
    matrix = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (points @ matrix.T + shift).astype(np.float32)


def test_the_mean_face_is_symmetric_and_lies_in_its_template() -> None:
    mean = template68(512)
    assert mean.shape == (COUNT, 2)
    assert sorted(MIRRORED) == list(range(COUNT))
    assert all(MIRRORED[MIRRORED[i]] == i for i in range(COUNT))
    np.testing.assert_allclose(mean[list(MIRRORED)], mean * (-1, 1) + (512, 0), atol=1e-3)
    five = template(512)
    near = (mean[36:42].mean(0), mean[42:48].mean(0), mean[30], mean[48], mean[54])
    np.testing.assert_allclose(near, five, atol=8)
    np.testing.assert_allclose(template68(64), mean / 8)


@pytest.mark.parametrize(("degrees", "zoom"), [(0.0, 1.0), (25.0, 0.3), (-40.0, 2.0)])
def test_the_estimate_follows_place_size_and_turn(degrees: float, zoom: float) -> None:
    five, shift = template(SIDE), (12.0, -5.0)
    found = estimate68(turned(five, degrees, zoom, shift))
    np.testing.assert_allclose(found, turned(template68(SIDE), degrees, zoom, shift), atol=1e-3)


def test_the_mirror_image_has_the_mirrored_estimate() -> None:
    five = template(SIDE) + np.random.default_rng(0).normal(0, 2, (5, 2)).astype(np.float32)
    flipped = five[[1, 0, 2, 4, 3]] * (-1, 1) + (SIDE - 1, 0)
    once = mirror_landmarks(estimate68(five), SIDE, MIRRORED)
    np.testing.assert_allclose(once, estimate68(flipped), atol=1.0)
    np.testing.assert_allclose(mirror_landmarks(once, SIDE, MIRRORED), estimate68(five), atol=1e-4)


class StubDetector:
    """Takes every picture of at least `least` px for a face on the template that fills it."""

    least = 0

    def __init__(self, model: Path) -> None:
        pass

    def find(self, picture: np.ndarray) -> list[Face]:
        side = picture.shape[0]
        if side < self.least:
            return []
        return [Face((0.0, 0.0, side, side), template(side), 0.9)]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> type[StubDetector]:
    monkeypatch.setattr(landmarks68, "Detector", StubDetector)
    monkeypatch.setattr(StubDetector, "least", 0)
    return StubDetector


def test_points_are_found_at_each_scale_or_else_scaled(stub: type[StubDetector]) -> None:
    stub.least = 64
    points = points_at(texture(0, SIDE), open_landmark_detector("estimate"))
    np.testing.assert_allclose(points[64], template68(64), atol=1e-3)
    np.testing.assert_allclose((points[32] + 0.5) * 2, points[64] + 0.5, atol=1e-3)
    stub.least = 1000
    assert all(
        np.isnan(p).all() for p in points_at(texture(0, SIDE), open_landmark_detector("estimate")).values()
    )


def test_dlibs_predictor_is_asked_in_the_box_it_was_trained_on(
    stub: type[StubDetector], tmp_path: Path
) -> None:
    """A predictor trained here on one face, whose shape it repeats wherever its box lies."""
    dlib = pytest.importorskip("dlib")
    left, top, right, bottom = (round(edge) for edge in landmarks68._DLIB_BOX)
    box = dlib.rectangle(left, top, right, bottom)
    known = template68(512)
    shape = dlib.full_object_detection(box, [dlib.point(round(x), round(y)) for x, y in known])
    options = dlib.shape_predictor_training_options()
    options.tree_depth, options.cascade_depth, options.num_trees_per_cascade_level = 1, 1, 1
    options.oversampling_amount, options.feature_pool_size, options.num_test_splits = 1, 10, 1
    weights = tmp_path / "predictor.dat"
    pictures = [cv2.resize(texture(seed, SIDE), (512, 512)) for seed in (0, 1)]
    dlib.train_shape_predictor(pictures, [[shape], [shape]], options).save(str(weights))
    found = open_landmark_detector("dlib", weights)(texture(2, SIDE))
    assert found is not None
    np.testing.assert_allclose(found, (known + 0.5) / 4 - 0.5, atol=0.5)
    weights.write_bytes(b"nonsense")
    with pytest.raises(ModelCorruptError, match="dlib cannot read"):
        open_landmark_detector("dlib", weights)


def test_fan_is_read_off_its_heat_maps(stub: type[StubDetector], tmp_path: Path) -> None:
    """A network that answers with peaks in known places, whatever it sees."""
    torch = pytest.importorskip("torch")

    class Known(torch.nn.Module):
        maps: torch.Tensor

        def __init__(self, maps: torch.Tensor) -> None:
            super().__init__()
            self.register_buffer("maps", maps)

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            assert x.shape == (1, 3, 256, 256)
            assert float(x.max()) <= 1.0
            return [x, self.maps]

    place = np.random.default_rng(0).integers(5, 59, (COUNT, 2))
    maps = torch.zeros(1, COUNT, 64, 64)
    for i, (x, y) in enumerate(place):
        maps[0, i, y, x], maps[0, i, y, x + 1], maps[0, i, y - 1, x] = 1.0, 0.5, 0.5
    weights = tmp_path / "fan.zip"
    torch.jit.script(Known(maps)).save(str(weights))
    found = open_landmark_detector("fan", weights)(texture(0, SIDE))
    assert found is not None
    # The published cut of a box of 128 x 128 at (0, 0): centre (64, 64 - 0.12 x 128), side 256 x 200 / 195.
    side = 256 * 200 / 195
    corner = np.array([64.0, 64 - 0.12 * 128]) - side / 2
    wanted = (place + np.array([0.75, 0.25])) / 64 * side + corner - 0.5
    np.testing.assert_allclose(found, wanted, atol=1e-2)
    torch.jit.script(Known(maps[:, :5])).save(str(weights))
    with pytest.raises(ModelCorruptError, match="not 68 maps"):
        open_landmark_detector("fan", weights)(texture(0, SIDE))
    weights.write_bytes(b"nonsense")
    with pytest.raises(ModelCorruptError, match="no TorchScript file"):
        open_landmark_detector("fan", weights)


def test_dlib_that_is_not_installed_is_named(
    stub: type[StubDetector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(RuntimeUnavailableError, match=r"pip install 'revisage\[landmarks\]'"):
        open_landmark_detector("dlib", tmp_path / "predictor.dat")


def test_a_peak_at_the_border_stays_there() -> None:
    maps = np.zeros((2, 8, 8))
    maps[0, 0, 7], maps[1, 7, 0] = 1, 1
    assert peaks(maps).tolist() == [[7.25 + 0.5, 0.25], [0.25, 7.25 + 0.5]]


def test_missing_weights_are_named(
    stub: type[StubDetector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVISAGE_MODELS", str(tmp_path))
    monkeypatch.setattr("revisage.zoo.store.user_folder", lambda: tmp_path / "none")
    with pytest.raises(ModelMissingError, match=r"put shape_predictor_68_face_landmarks\.dat into"):
        open_landmark_detector("dlib")
    with pytest.raises(ModelMissingError, match="revisage models pull fan-landmarks"):
        open_landmark_detector("fan")
    with pytest.raises(UsageError, match="there are estimate, dlib, fan"):
        open_landmark_detector("magic")
    with pytest.raises(UsageError, match="has no weights"):
        open_landmark_detector("estimate", tmp_path)


def write(folder: Path, sizes: dict[str, tuple[int, int]]) -> Path:
    for seed, (name, (width, height)) in enumerate(sizes.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(texture(seed, 160)[:height, :width]).save(folder / name)
    return folder


def test_whole_pictures_are_prepared_and_read_back(stub: type[StubDetector], tmp_path: Path) -> None:
    source = write(tmp_path / "photos", {"Ann/Ann_0001.png": (160, 160), "Bob/b.png": (150, 90)})
    (source / "broken.png").write_bytes(b"nonsense")
    first, second = tmp_path / "out", tmp_path / "again"
    find = open_landmark_detector("estimate")
    count, seen, failed, restored = prepare_whole(source, first, find, size=128)
    assert (count, seen, list(failed), restored) == (2, 2, ["broken.png"], 0)
    prepare_whole(source, second, find, size=128, workers=2)
    assert (first / "pictures.csv").read_bytes() == (second / "pictures.csv").read_bytes()
    with Image.open(first / "pictures" / "Bob" / "b.png") as picture:
        middle = cv2.resize(texture(1, 160)[:90, 30:120], (128, 128), interpolation=cv2.INTER_CUBIC)
        np.testing.assert_array_equal(np.asarray(picture), middle)
    points = read_points(first / "pictures.csv")
    assert points.keys() == {"Ann/Ann_0001.png", "Bob/b.png"}
    for side in (128, 64, 32):
        np.testing.assert_allclose(points["Bob/b.png"][side], template68(side), atol=0.006)
    with (first / "pictures.csv").open() as file:
        assert {row["group"] for row in csv.DictReader(file)} == {"Ann", "Bob"}
    assert resized(texture(0, 40), 128).shape == (128, 128, 3)


def test_a_picture_without_a_face_has_rows_without_points(stub: type[StubDetector], tmp_path: Path) -> None:
    stub.least = 1000
    source = write(tmp_path / "photos", {"a.png": (160, 160)})
    assert prepare_whole(source, tmp_path / "out", open_landmark_detector("estimate"))[1] == 0
    (points,) = read_points(tmp_path / "out" / "pictures.csv").values()
    assert np.isnan(points[128]).all()


def test_a_table_of_something_else_is_named(tmp_path: Path) -> None:
    table = tmp_path / "pictures.csv"
    with pytest.raises(TrainingError, match="is missing"):
        read_points(table)
    table.write_text("file,side\na.png,64\n")
    with pytest.raises(TrainingError, match=r"line 2 is not of 68 landmarks: `revisage prepare --whole"):
        read_points(table)


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(landmarks68, "Detector", lambda model: WholePicture())
    monkeypatch.setattr(faces, "Detector", lambda model: WholePicture())
    source = write(tmp_path / "photos", {"a/1.png": (160, 160), "a/1.webp": (100, 100)})
    assert main(["prepare", str(source), str(tmp_path / "out"), "--whole", "128"]) == 0
    assert "2 pictures, a face found in 2" in capsys.readouterr().err
    assert read_points(tmp_path / "out" / "pictures.csv").keys() == {"a/1.png", "a/1.webp.png"}
    assert main(["prepare", str(source), str(tmp_path / "out"), "--whole", "8"]) == 2
    assert "32 to 2048 px" in capsys.readouterr().err
