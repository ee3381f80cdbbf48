"""The detector's network, its losses and targets, and that OpenCV reads its export as PyTorch computes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from detector_folder import make
from hypothesis import given, settings
from hypothesis import strategies as st

from revisage.errors import TrainingError
from revisage.faces.network import STRIDES
from revisage.faces.rows import BOX, POINTS, SCORE, iou, suppress
from revisage.lab.data.detector_scenes.paste import Scene
from revisage.lab.data.detector_scenes.targets import Scrfd, Teacher, add_known, decode, faces_in, match

torch = pytest.importorskip("torch")
onnxruntime = pytest.importorskip("onnxruntime")

from revisage.lab.architectures import export_network  # noqa: E402
from revisage.lab.losses.detection import box_iou_distance, box_smooth_l1, landmark_smooth_l1, quality_focal  # noqa: E402
from revisage.lab.networks.detector import OUTPUT_NAMES, DetectorConfig, DetectorNetwork  # noqa: E402
from revisage.lab.train.tasks.detector import (  # noqa: E402
    LOOK,
    DetectorSettings,
    DetectorTask,
    detector_losses,
    draw,
    landmark_errors,
    predict,
    relight,
)

TINY = DetectorConfig(widths=(8, 8, 16, 16, 16), depths=(0, 1, 1, 1), pyramid=16)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Networks this small only lose by sharing a layer between cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def lively(seed: int = 0) -> DetectorNetwork:
    """A small network whose scores cross the threshold here and there, with norms that are not trivial."""
    torch.manual_seed(seed)
    network = DetectorNetwork(TINY)
    for _ in range(3):
        network(torch.rand(2, 3, 64, 64) * 255)
    with torch.no_grad():
        for head in network.heads:
            head.predict.weight.mul_(40)
            head.predict.bias[:2] = 0.0
            head.predict.bias.add_(0.01 * torch.randn(16))  # equal tensors are stored once
    return network.eval()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 2))
def test_outputs_have_one_row_a_cell(rows: int, columns: int, batch: int) -> None:
    height, width = 32 * rows, 32 * columns
    network = DetectorNetwork(TINY).eval()
    with torch.no_grad():
        outputs = dict(zip(OUTPUT_NAMES, network(torch.zeros(batch, 3, height, width)), strict=True))
    for stride in STRIDES:
        cells = (height // stride) * (width // stride)
        for kind, channels in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            assert outputs[f"{kind}_{stride}"].shape == (batch, cells, channels)
        assert ((outputs[f"obj_{stride}"] > 0) & (outputs[f"obj_{stride}"] < 1)).all()


def test_the_shipped_size_is_small() -> None:
    assert 150_000 < sum(p.numel() for p in DetectorNetwork().parameters()) < 400_000


def test_an_untrained_network_finds_nothing() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    assert len(predict(DetectorNetwork(TINY).eval(), pixels, 0.3)) == 0


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finder") / "tiny.onnx"
    export_network(lively(), path, name="tiny", version="1", licence="none")
    return path


@pytest.mark.parametrize("size", [(320, 320), (64, 96), (160, 448)], ids=str)
def test_opencv_reads_the_export_as_torch_computes_it(exported: Path, size: tuple[int, int]) -> None:
    network, path = lively(), exported
    height, width = size
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels = cv2.GaussianBlur(pixels, (0, 0), 3)
    detector = cv2.FaceDetectorYN.create(str(path), "", (width, height), 0.5, 0.3, 5000)
    rows = detector.detect(np.ascontiguousarray(pixels[..., ::-1]))[1]
    rows = np.zeros((0, 15), np.float32) if rows is None else rows
    expected = predict(network, pixels, 0.5)
    assert len(expected) > 0
    # Weights are stored in 16 bits: a detection near the threshold may differ, the sure ones may not.
    for row in expected[expected[:, SCORE] > expected[:, SCORE].max() - 0.02][:5]:
        nearest = rows[iou(row, rows).argmax()]
        np.testing.assert_allclose(nearest[:SCORE], row[:SCORE], rtol=0.02, atol=1)
        np.testing.assert_allclose(nearest[SCORE], row[SCORE], atol=0.02)


def test_the_teachers_dense_outputs_decode_to_what_opencv_answers(shared: Path) -> None:
    model = shared / "models" / "yunet_2026may.onnx"
    pixels = cv2.imread(str(sorted((shared / "data" / "faces256").iterdir())[3]))[..., ::-1]
    ours = faces_in(Teacher(model)(pixels), 0.6)
    rows = cv2.FaceDetectorYN.create(str(model), "", (256, 256), 0.6, 0.3, 5000).detect(
        np.ascontiguousarray(pixels[..., ::-1])
    )[1]
    np.testing.assert_allclose(ours[:, :SCORE], rows[:, :SCORE], atol=0.05)
    np.testing.assert_allclose(ours[:, SCORE], rows[:, SCORE], atol=1e-3)


def test_a_missing_teacher_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no teacher"):
        Teacher(tmp_path / "none.onnx")


def test_the_second_teacher_sees_what_the_first_sees(shared: Path) -> None:
    first = Teacher(shared / "models" / "yunet_2026may.onnx")
    second = Scrfd(shared / "models" / "scrfd_2.5g.onnx", 384)
    for path in sorted((shared / "data" / "faces256").iterdir())[:4]:
        pixels = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
        ours, theirs = faces_in(first(pixels), 0.6)[0], second(pixels)
        overlaps = iou(ours, theirs)
        assert overlaps.max() > 0.6
        off = (theirs[overlaps.argmax(), POINTS] - ours[POINTS]).reshape(5, 2)
        assert np.hypot(*off.T).mean() < 0.1 * ours[2]
    with pytest.raises(TrainingError, match="second=FILE"):
        Scrfd(Path("none.onnx"))


def test_faces_that_the_second_teacher_alone_sees_are_wanted_where_not_all_are_known(
    exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = make(tmp_path_factory.mktemp("data"))
    task = DetectorTask(DetectorSettings(data=data, teacher=exported, network=TINY, size=128, validation=1))
    task.teacher = lambda pixels: blank()  # type: ignore[assignment]
    known = scene_with((40, 44, 36, 40))
    task.second = lambda pixels: rows_of(known)  # type: ignore[assignment]
    scene = replace(known, boxes=known.boxes[:0], landmarks=known.landmarks[:0])
    for complete, count in ((True, 0), (False, 1)):
        assert len(faces_in(task._targets(replace(scene, complete=complete)), 0.5)) == count


def test_pictures_whose_eyes_stand_close_are_profiles(
    exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = make(tmp_path_factory.mktemp("data"))
    task = DetectorTask(DetectorSettings(data=data, teacher=exported, network=TINY, size=96, validation=1))
    path = task.source.portraits[0]
    for apart, profile in ((0.5, False), (0.2, True)):
        known = scene_with((40, 44, 36, 36), LOOK)
        known.landmarks[0, 1] = known.landmarks[0, 0] + np.float32([36 * apart, 0])
        levels = blank(LOOK)
        add_known(levels, known)
        task.teacher = lambda pixels, levels=levels: levels  # type: ignore[assignment, misc]
        assert task._shows_profile(path) == profile
    task.teacher = lambda pixels: blank(LOOK)  # type: ignore[assignment]
    assert not task._shows_profile(path)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31))
def test_other_light_keeps_the_shape_and_sometimes_the_picture(seed: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    before = pixels.copy()
    lit = relight(pixels, np.random.default_rng(seed))
    assert lit.shape == pixels.shape
    assert lit.dtype == np.uint8
    np.testing.assert_array_equal(pixels, before)


def blank(size: int = 128) -> list[np.ndarray]:
    return [np.zeros((16, size // stride, size // stride), np.float32) for stride in STRIDES]


def scene_with(box: tuple[float, float, float, float], size: int = 128) -> Scene:
    x, y, w, h = box
    offsets = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    landmarks = (np.array([x, y]) + offsets * (w, h)).astype(np.float32)
    pixels = np.zeros((size, size, 3), np.uint8)
    return Scene(pixels, np.array([box], np.float32), landmarks[None], True, "few", np.zeros((0, 4)))


@settings(max_examples=50, deadline=None)
@given(st.floats(18, 115), st.floats(0.8, 1.4), st.floats(0.1, 0.9), st.floats(0.1, 0.9))
def test_a_missed_face_is_decoded_where_it_was_put(size: float, tall: float, x: float, y: float) -> None:
    width, height = size, size * tall
    box = (x * (128 - width), y * max(0.0, 128 - height), width, height)
    scene, levels = scene_with(box), blank()
    assert add_known(levels, scene) == 1
    [found] = faces_in(levels, 0.5)
    np.testing.assert_allclose(found[:SCORE], rows_of(scene)[0, :SCORE], atol=0.01)
    assert add_known(levels, scene) == 0  # now it is seen


def test_tiny_faces_and_those_outside_are_not_demanded() -> None:
    assert add_known(blank(), scene_with((50, 50, 8, 9))) == 0
    assert add_known(blank(), scene_with((-30, 50, 40, 40))) == 0


def test_a_seen_face_gets_the_scenes_landmarks_and_keeps_the_teachers_box() -> None:
    scene, levels = scene_with((40, 44, 36, 40)), blank()
    add_known(levels, scene)
    other = replace(scene, landmarks=scene.landmarks + 5, boxes=scene.boxes + np.float32([2, 1, 0, 0]))
    assert add_known(levels, other) == 0
    [found] = faces_in(levels, 0.5)
    np.testing.assert_allclose(found[BOX], scene.boxes[0], atol=0.01)
    np.testing.assert_allclose(found[POINTS], other.landmarks.ravel(), atol=0.01)
    elsewhere = replace(scene, boxes=scene.boxes + np.float32([60, 50, 0, 0]), landmarks=scene.landmarks + 50)
    add_known(levels, elsewhere)
    # another face's stay
    np.testing.assert_allclose(faces_in(levels, 0.5)[0, POINTS], other.landmarks.ravel(), atol=0.01)


def test_landmarks_of_leaning_faces_are_not_asked_for() -> None:
    levels = blank()
    add_known(levels, scene_with((40, 44, 36, 40)))
    scene = replace(scene_with((200, 200, 5, 5)), leaning=np.array([[32, 32, 64, 64]], np.float32))
    add_known(levels, scene)
    for stride, level in zip(STRIDES, levels, strict=True):
        inside = np.zeros(level.shape[1:], bool)
        inside[32 // stride : 96 // stride, 32 // stride : 96 // stride] = True
        np.testing.assert_array_equal(np.isnan(level[6:]).all(0), inside)
        assert np.isfinite(level[:6]).all()
    network = DetectorNetwork(TINY).train()
    answer = network.raw(torch.zeros(1, 3, 128, 128))
    losses = detector_losses(answer, [torch.from_numpy(level)[None] for level in levels])
    assert float(losses["landmarks"].detach()) == 0
    assert float(losses["box"].detach()) > 0
    torch.stack(list(losses.values())).sum().backward()
    for weight in network.parameters():
        assert weight.grad is None or torch.isfinite(weight.grad).all()
    assert draw(scene.pixels, decode(levels, 0.5)).any()


def test_errors_of_landmarks_are_shares_of_the_face_that_was_found() -> None:
    scene = scene_with((40, 44, 36, 49))  # a square as large has sides of 42
    found = rows_of(replace(scene, landmarks=scene.landmarks + np.float32([3, 4])))
    assert landmark_errors(scene, found) == pytest.approx([5 / 42])
    assert landmark_errors(scene, rows_of(replace(scene, boxes=scene.boxes + 30))) == []
    assert landmark_errors(scene, faces_in(blank(), 0.5)) == []


def rows_of(scene: Scene) -> np.ndarray:
    """The scene's faces, each of score 1."""
    count = len(scene.boxes)
    return np.hstack([scene.boxes, scene.landmarks.reshape(count, 10), np.ones((count, 1))])


def detections(*boxes: tuple[float, float, float, float]) -> np.ndarray:
    rows = np.zeros((len(boxes), 15), np.float32)
    rows[:, BOX] = np.reshape(boxes, (-1, 4))
    rows[:, SCORE] = np.linspace(0.9, 0.5, len(boxes))
    return rows


def test_suppression_keeps_the_best_of_overlapping_boxes() -> None:
    kept = suppress(detections((0, 0, 10, 10), (1, 1, 10, 10), (50, 0, 10, 10)), 0.3)
    np.testing.assert_array_equal(kept[:, 0], [0, 50])


def test_matching_is_one_to_one() -> None:
    truth = detections((0, 0, 10, 10), (100, 0, 10, 10))
    assert match(truth, truth) == 2
    assert match(truth, detections((0, 0, 10, 10), (1, 0, 10, 10))) == 1
    assert match(truth, detections((6, 0, 10, 10))) == 0
    assert match(truth, detections()) == 0
    assert match(detections(), truth) == 0


def test_iou_of_known_boxes() -> None:
    others = np.array([[0, 0, 2, 2], [1, 1, 2, 2], [5, 5, 1, 1]], np.float32)
    np.testing.assert_allclose(iou(others[0], others), [1, 1 / 7, 0])
    assert iou(np.zeros(4), np.zeros((1, 4))) == 0


def test_losses_vanish_at_the_target_and_pull_towards_it() -> None:
    target = torch.tensor([[0.3, 0.6, 0.5, 0.9]])
    weight = torch.tensor([0.8])
    for loss in (box_iou_distance, box_smooth_l1):
        assert float(loss(target, target, weight)) == pytest.approx(0, abs=1e-6)
        off = (target + torch.tensor([[0.5, -0.4, 0.3, 0.2]])).requires_grad_()
        value = loss(off, target, weight)
        assert value.item() > 0
        value.backward()
        assert loss(off - 0.01 * off.grad, target, weight).item() < value.item()
    points, size = torch.zeros(1, 10), torch.tensor([3.0])
    assert float(landmark_smooth_l1(points, points, size, weight)) == 0
    near, far = (float(landmark_smooth_l1(points + 0.5, points, size * k, weight)) for k in (2, 1))
    assert near < far


def test_iou_loss_of_known_boxes() -> None:
    # Unit squares half a side apart: IoU 1/3, centre distance 1/4, diagonal 1 + 9/4.
    a, b = torch.tensor([[0.0, 0, 0, 0]]), torch.tensor([[0.5, 0, 0, 0]])
    expected = 1 - 1 / 3 + 0.25 / (1 + 2.25)
    assert float(box_iou_distance(a, b, torch.ones(1))) == pytest.approx(expected)


def test_focal_loss_hardly_counts_what_is_right() -> None:
    target = torch.zeros(1)
    easy, hard = (float(quality_focal(torch.tensor([logit]), target)) for logit in (-4.0, 2.0))
    assert easy < 1e-4 < hard
    soft = torch.tensor([0.7])
    assert float(quality_focal(torch.logit(soft), soft)) == pytest.approx(0, abs=1e-6)


def test_a_few_steps_teach_a_network_one_scene() -> None:
    torch.manual_seed(0)
    network = DetectorNetwork(TINY).train()
    levels = blank()
    scene = scene_with((40, 44, 36, 40))
    add_known(levels, scene)
    targets = [torch.from_numpy(level)[None] for level in levels]
    image = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1)) * 255
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    first = None
    for _ in range(30):
        loss = torch.stack(list(detector_losses(network.raw(image), targets).values())).sum()
        first = float(loss.detach()) if first is None else first
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3 * first


def test_a_batch_without_faces_has_finite_losses() -> None:
    network = DetectorNetwork(TINY).train()
    targets = [torch.zeros(2, 16, 64 // stride, 64 // stride) for stride in STRIDES]
    losses = detector_losses(network.raw(torch.zeros(2, 3, 64, 64)), targets)
    torch.stack(list(losses.values())).sum().backward()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def test_the_task_gives_repeatable_samples_and_figures(
    exported: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The small network teaches itself: what counts here is that everything fits together."""
    data = make(tmp_path_factory.mktemp("data"))
    task = DetectorTask(DetectorSettings(data=data, teacher=exported, network=TINY, size=96, validation=3))
    sample = task.sample(5)
    assert sample["image"].shape == (3, 96, 96)
    assert sample["image"].dtype == np.uint8
    for stride in STRIDES:
        assert sample[f"target_{stride}"].shape == (16, 96 // stride, 96 // stride)
    again = task.sample(5)
    assert all(np.array_equal(sample[key], again[key], equal_nan=True) for key in sample)
    batch = {key: torch.from_numpy(np.stack([value, value])) for key, value in sample.items()}
    (phase,) = task.phases()
    losses = phase.losses(batch)
    assert all(torch.isfinite(loss) for loss in losses.values())
    figures = task.validate(lively())
    assert task.best in figures
    assert all(0 <= value <= 1 for value in figures.values())
    # The teacher's own network, under the same degradation, answers nearly as its 16-bit export does.
    assert figures["old_photo_recall"] == pytest.approx(figures["teacher_old_photo_recall"], abs=0.1)
    assert task.pictures(lively()).shape == (4 * 96, 4 * 96, 3)


def test_a_size_off_the_grid_is_refused(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="multiple of 32"):
        DetectorTask(DetectorSettings(data=tmp_path, teacher=exported, size=100))
