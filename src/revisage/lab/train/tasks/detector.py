"""Training of the face detector: distillation of a teacher's dense outputs, seen through degradations."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from revisage.errors import TrainingError, UsageError
from revisage.faces.network import STRIDES
from revisage.faces.rows import BOX, POINTS, iou
from revisage.lab.data.detector_scenes.compose import compose
from revisage.lab.data.detector_scenes.paste import Scene
from revisage.lab.data.detector_scenes.source import load_source, read
from revisage.lab.data.detector_scenes.targets import Scrfd, Teacher, add_known, faces_in, match
from revisage.lab.data.loader import Sample
from revisage.lab.degrade import RECIPES
from revisage.lab.losses.detection import box_iou_distance, box_smooth_l1, landmark_smooth_l1, quality_focal
from revisage.lab.networks.detector import DetectorConfig, DetectorNetwork
from revisage.lab.train.task import Batch, Phase

# Recipes of the degraded share, by weight: the detector is for old photos first. None of them moves a face.
MIXTURE = {"old-photo": 0.55, "second-order": 0.25, "gfpgan": 0.2}
DEFAULT = DetectorConfig()
RETURN, LIVES = 64, 4  # samples after which a composed scene comes again, aged otherwise, and how often
PROFILE = 0.28  # share of the side of a square as large as its box that the eyes of a profile are apart
LOOK = 160  # side at which they are looked for
SECOND_SIDE, SECOND_SCORE = 384, 0.6  # at which the second teacher sees a scene, and is believed
FACE_SCORE = 0.3  # cells with at least this teacher score are asked for a box and landmarks


@dataclass(frozen=True)
class DetectorSettings:
    """Data and weights of the detector's training."""

    data: Path
    """Folder with faces256, faces256.csv, lfw128, scenes and, if they are there, expressions,
    portraits_unlabelled and scenes_more."""
    teacher: Path | None = None
    """ONNX detector in the layout of `FaceDetectorYN`; needed. Its answers to clean scenes are targets."""
    second: Path | None = None
    """SCRFD with landmarks as InsightFace publishes it. Faces that it alone sees in clean scenes count."""
    network: DetectorConfig = DEFAULT
    """Sizes."""
    size: int = 256
    """Side of a scene in pixels, a multiple of 32."""
    clean: float = 0.35
    """Share of scenes that are left undegraded."""
    validation: int = 300
    """Held-out scenes used."""
    threshold: float = 0.6
    """Score from which a detection counts in validation."""
    seed: int = 0
    """Of every draw."""


class DetectorTask:
    """See `revisage.lab.train.task.Task`."""

    averaged = "finder"
    best = "old_photo_f1"

    def __init__(self, settings: DetectorSettings) -> None:
        if settings.size % max(STRIDES):
            raise TrainingError(f"size must be a multiple of {max(STRIDES)}, got {settings.size}")
        cv2.setNumThreads(1)  # the loader's threads are the parallelism
        self.settings = settings
        if settings.teacher is None:
            raise UsageError("the finder learns from a teacher: --set teacher=FILE.onnx, such as YuNet")
        self.teacher = Teacher(settings.teacher)
        self.second = Scrfd(settings.second, SECOND_SIDE, SECOND_SCORE) if settings.second else None
        source = load_source(settings.data, validation=False)
        profiles = (path for path in source.portraits + source.photographs if self._shows_profile(path))
        self.source = replace(source, profiles=tuple(profiles))
        self.held = load_source(settings.data, validation=True)
        self._scene = lru_cache(RETURN)(self._compose)
        torch.manual_seed(settings.seed)
        self.network = DetectorNetwork(settings.network)
        self.networks: dict[str, nn.Module] = {"finder": self.network}

    def phases(self) -> list[Phase]:
        return [Phase("finder", "finder", self._losses)]

    def sample(self, index: int) -> Sample:
        """ "image" (3, S, S) uint8 BGR and "target_8", "target_16", "target_32" (16, S/s, S/s). Each scene,
        which takes longer to compose than to age, comes `LIVES` times, `RETURN` samples apart."""
        settings = self.settings
        pixels, levels = self._scene(index // (LIVES * RETURN) * RETURN + index % RETURN)
        rng = np.random.default_rng((settings.seed, index, 1))
        pixels = relight(pixels, rng)
        if rng.random() >= settings.clean:
            pixels = degrade_scene(pixels, rng)
        targets = {f"target_{stride}": level for stride, level in zip(STRIDES, levels, strict=True)}
        return {"image": np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1)), **targets}

    def _shows_profile(self, path: Path) -> bool:
        """Whether the eyes of the face that the teacher is surest of stand close together."""
        pixels = cv2.resize(read(path), (LOOK, LOOK), interpolation=cv2.INTER_AREA)
        found = faces_in(self.teacher(pixels), self.settings.threshold)[:1]
        right, left = found[:, POINTS].reshape(-1, 5, 2)[:, :2].swapaxes(0, 1)
        return bool((np.hypot(*(left - right).T) < PROFILE * np.sqrt(found[:, 2:4].prod(1))).any())

    def _compose(self, number: int) -> tuple[np.ndarray, list[np.ndarray]]:
        scene = compose(self.source, self.settings.seed, number, self.settings.size)
        return scene.pixels, self._targets(scene)

    def _targets(self, scene: Scene) -> list[np.ndarray]:
        levels = self.teacher(scene.pixels)
        if self.second is not None and not scene.complete:
            found = self.second(scene.pixels)
            points = found[:, POINTS].reshape(-1, 5, 2)
            add_known(levels, replace(scene, boxes=found[:, BOX], landmarks=points))
        add_known(levels, scene)
        return levels

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        image = batch["image"].float().contiguous(memory_format=torch.channels_last)
        return detector_losses(self.network.raw(image), [batch[f"target_{stride}"] for stride in STRIDES])

    def _held_out(self, index: int) -> tuple[Scene, np.ndarray, np.ndarray]:
        """A scene, the clean targets, and its pixels under old-photo."""
        scene = compose(self.held, self.settings.seed, index, self.settings.size)
        truth = faces_in(self._targets(scene), self.settings.threshold)
        return scene, truth, degrade_scene(scene.pixels, np.random.default_rng(index), "old-photo")

    def validate(self, network: nn.Module) -> dict[str, float]:
        """Recall and precision against the clean targets, on held-out scenes clean and under old-photo. The
        teacher's own figures under old-photo stand beside them. `landmarks` is the mean distance from the
        scene's own on clean scenes, as a share of the face's side."""
        errors: list[float] = []
        found = {name: np.zeros(3) for name in ("clean", "old_photo", "teacher_old_photo")}
        threshold = self.settings.threshold
        for index in range(self.settings.validation):
            scene, truth, old = self._held_out(index)
            clean = predict(network, scene.pixels, threshold)
            errors += landmark_errors(scene, clean)
            told = clean, predict(network, old, threshold), faces_in(self.teacher(old), threshold)
            for name, answer in zip(found, told, strict=True):
                found[name] += match(truth, answer), len(truth), len(answer)
        figures = {"landmarks": float(np.mean(errors))} if errors else {}
        for name, (hits, faces, answers) in found.items():
            figures[f"{name}_recall"] = float(hits / max(faces, 1))
            figures[f"{name}_precision"] = float(hits / max(answers, 1))
            figures[f"{name}_f1"] = float(2 * hits / max(faces + answers, 1))
        return figures

    def pictures(self, network: nn.Module) -> np.ndarray:
        """Eight held-out scenes: clean targets above, the network's answers under old-photo below."""
        above, below = [], []
        for index in range(8):
            scene, truth, old = self._held_out(index)
            above.append(draw(scene.pixels, truth))
            below.append(draw(old, predict(network, old, self.settings.threshold)))
        return np.vstack([np.hstack(row) for row in (above[:4], below[:4], above[4:], below[4:])])


def relight(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(S, S, 3) RGB uint8, some without its colours, some under shadows, some too dark, light or flat. The
    teacher sees the scene before: what it finds in good light is to be found in bad light too."""
    if rng.random() < 0.4:
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if rng.random() < 0.3:
        size, cells = pixels.shape[0], int(rng.integers(2, 7))
        field = cv2.resize(rng.normal(0, 1, (cells, cells)), (size, size), interpolation=cv2.INTER_CUBIC)
        shade = 1 / (1 + np.exp(np.clip((field + rng.normal(0, 0.7)) / rng.uniform(0.05, 0.6), -30, 30)))
        pixels = (pixels * (1 - rng.uniform(0.3, 0.85) * shade[..., None])).astype(np.uint8)
    if rng.random() < 0.3:
        table = (np.arange(256) / 255.0) ** np.exp(rng.normal(0, 0.5))
        contrast = rng.uniform(0.35, 1.3)
        table = table * contrast + rng.uniform(min(0, 1 - contrast), max(0, 1 - contrast))
        pixels = cv2.LUT(np.ascontiguousarray(pixels), np.clip(table * 255, 0, 255).astype(np.uint8))
    return pixels


def degrade_scene(pixels: np.ndarray, rng: np.random.Generator, recipe: str | None = None) -> np.ndarray:
    """`recipe`, or one of `MIXTURE` drawn by weight, on (H, W, 3) RGB uint8."""
    name = recipe or str(rng.choice(list(MIXTURE), p=list(MIXTURE.values())))
    low = RECIPES[name].degraded(pixels.astype(np.float32) / 255, rng)
    return np.rint(low * 255).astype(np.uint8)


@torch.no_grad()
def predict(network: nn.Module, pixels: np.ndarray, threshold: float) -> np.ndarray:
    """(n, 15) rows of the network's faces in (H, W, 3) RGB uint8, sides multiples of 32."""
    assert isinstance(network, DetectorNetwork)
    blob = np.ascontiguousarray(pixels[..., ::-1].transpose(2, 0, 1)[None], np.float32)
    raw = [level[0].float() for level in network.raw(torch.from_numpy(blob))]
    levels = [torch.cat([values[:2].sigmoid(), values[2:]]).numpy() for values in raw]
    return faces_in(levels, threshold)


def landmark_errors(scene: Scene, answer: np.ndarray) -> list[float]:
    """For each of the scene's faces that is found (IoU 0.5): the mean distance of the landmarks from the
    scene's, as a share of the side of a square as large as its box."""
    errors = []
    for box, landmarks in zip(scene.boxes, scene.landmarks, strict=True):
        overlaps = iou(box, answer)
        if len(overlaps) and overlaps.max() >= 0.5:
            off = answer[overlaps.argmax(), POINTS].reshape(5, 2) - landmarks
            errors.append(float(np.hypot(*off.T).mean() / np.sqrt(box[2] * box[3])))
    return errors


def draw(pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A copy of (H, W, 3) uint8 with the boxes and landmarks of faces."""
    picture = np.ascontiguousarray(pixels).copy()
    for row in rows:
        x, y, w, h = (round(float(v)) for v in row[BOX])
        landmarks = row[POINTS].reshape(5, 2)
        cv2.rectangle(picture, (x, y), (x + w, y + h), (0, 255, 0), 1)
        for px, py in landmarks[np.isfinite(landmarks).all(1)]:
            cv2.circle(picture, (round(float(px)), round(float(py))), 1, (255, 255, 0), -1)
    return picture


def detector_losses(predicted: list[Tensor], targets: list[Tensor]) -> dict[str, Tensor]:
    """Named losses of one batch; both lists are (N, 16, H/s, W/s) per stride, `predicted` with logits. Each
    is divided by the sum of the teacher's scores over cells with a face: scenes weigh by their faces."""
    cells = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, 16) for level in predicted]).float()
    truth = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, 16) for level in targets]).float()
    score = truth[:, 0].mul(truth[:, 1]).clamp(0, 1).sqrt()
    face = score > FACE_SCORE
    weight, ours, theirs = score[face], cells[face], truth[face]
    size = theirs[:, 4:6].sum(-1).mul(0.5).exp()
    losses = {
        "obj": quality_focal(cells[:, 1], truth[:, 1].clamp(0, 1)),
        # Away from faces the teacher's class score means little; the product is what must be low there.
        "cls": quality_focal(cells[:, 0], truth[:, 0].clamp(0, 1), truth[:, 1].clamp(0.05, 1)),
        "iou": box_iou_distance(ours[:, 2:6], theirs[:, 2:6], weight),
        "box": 0.5 * box_smooth_l1(ours[:, 2:6], theirs[:, 2:6], weight),
        "landmarks": landmark_smooth_l1(ours[:, 6:], theirs[:, 6:], size, weight),
    }
    total = weight.sum().clamp(min=1)
    return {name: loss / total for name, loss in losses.items()}
