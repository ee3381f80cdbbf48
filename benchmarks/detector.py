"""Recall and precision of the face detector beside two teachers', clean and under the old-photo recipe.

    python benchmarks/detector.py [--shared ../shared] [--model FILE.onnx] [--scenes 400] [--seed 0]
                                [--threshold T] [--draw FOLDER] [--groups]

The last column counts how many of the faces that both teachers see in the untouched picture are found.
YuNet runs through `revisage.faces.Detector` at a threshold of 0.6, SCRFD as InsightFace runs it. A face is
found when a detection overlaps it by an IoU of at least 0.5, one to one. Intervals: 95 %, by bootstrap over
pictures.

photos  real old photos. Their faces were marked by eye (`photos_faces.csv`): those that show at least half
        of themselves and measure 16 pixels or more, statues too. Where the teacher had found a face its
        box was kept, the others were drawn by hand. `--draw` writes the pictures to look at: green the
        detector, red what both teachers agree on, white what was marked.
scenes  composed from held-out people and backgrounds: truth is where the faces were put. Backgrounds hold
        a few real people as well, which count against either detector's precision.

`--portraits` instead prints in how many of the historical portraits (one person each) a face is found the
right way up, when they are upright and turned, for the detector and YuNet.

`--groups` instead prints in how many of UTKFace's chips (groups200, one face each, tight) the detector sees a
face, by age, gender and origin as its authors labelled them; intervals are Wilson's.
"""

from __future__ import annotations

import argparse
import csv
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from revisage import zoo
from revisage.faces import Detector, upright
from revisage.faces.rows import BOX, POINTS, SCORE, iou
from revisage.image import decode
from revisage.lab.data.detector_scenes.compose import compose
from revisage.lab.data.detector_scenes.source import load_source
from revisage.lab.data.detector_scenes.targets import Scrfd, match
from revisage.lab.degrade import RECIPES

SCENE_SIZE = 320
AGREE = 0.4  # least IoU of two teachers on one face
LIVES = 3  # times each photo is aged, differently
THRESHOLD = 0.68  # the default of `Detector`
RECIPE = RECIPES["old-photo"]
MARKED = Path(__file__).with_name("photos_faces.csv")


class Tally:
    """Counts by picture: faces, those found, answers, the teachers' agreed faces, those of them found."""

    def __init__(self) -> None:
        self._counts: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(5))

    def add(self, name: str, truth: np.ndarray, taught: np.ndarray, answer: np.ndarray) -> None:
        """`truth` and what the teachers agree on in the untouched picture, and the answers to count."""
        found, learned = match(truth, answer), match(taught, answer)
        self._counts[name] += (len(truth), found, len(answer), len(taught), learned)

    def row(self) -> str:
        """Recall, precision and recall of the agreed faces, each with its interval."""
        counts = np.stack(list(self._counts.values()))
        drawn = counts[np.random.default_rng(0).integers(len(counts), size=(2000, len(counts)))].sum(1)
        cells = []
        for part, of in ((1, 0), (1, 2), (4, 3)):
            low, high = np.percentile(drawn[:, part] / np.maximum(drawn[:, of], 1), [2.5, 97.5])
            share, total = counts[:, part].sum() / max(counts[:, of].sum(), 1), counts[:, of].sum()
            cells.append(f"{share:.1%} ({low:.1%}–{high:.1%}) of {total:.0f}")
        return " | ".join(cells)


def search(detector: Detector, pixels: np.ndarray) -> np.ndarray:
    """Rows (n, 15) of what is found."""
    rows = [[*face.box, *np.ravel(face.landmarks), face.score] for face in detector.find(pixels)]
    return np.array(rows, np.float32).reshape(-1, 15)


def agreed(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The faces of the first that the second sees as well."""
    return first[[bool((iou(row, second) >= AGREE).any()) for row in first]]


def aged(pixels: np.ndarray, seed: int) -> np.ndarray:
    params = RECIPE.sample(np.random.default_rng(seed))
    return np.rint(RECIPE.apply(pixels.astype(np.float32) / 255, params) * 255).astype(np.uint8)


def photos(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for path in sorted(folder.iterdir()):
        pixels = decode(path, isolate=False).pixels
        yield path.stem, pixels if pixels.dtype == np.uint8 else (pixels // 257).astype(np.uint8)


def marked() -> dict[str, np.ndarray]:
    """The faces that a person sees, by photo."""
    boxes = defaultdict(list)
    with MARKED.open(newline="") as file:
        for row in csv.DictReader(file):
            boxes[row["photo"]].append([float(row[side]) for side in ("x", "y", "width", "height")])
    return {name: plain(np.array(rows, np.float32)) for name, rows in boxes.items()}


def plain(boxes: np.ndarray) -> np.ndarray:
    """Rows of boxes alone."""
    rows = np.zeros((len(boxes), 15), np.float32)
    rows[:, BOX], rows[:, SCORE] = boxes.reshape(-1, 4), 1
    return rows


def by_group(folder: Path, detector: Detector) -> None:
    """Print the share of chips with a face found for each label."""
    found: dict[tuple[str, str], list[bool]] = defaultdict(list)
    with (folder / "groups200.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            seen = bool(detector.find(decode(folder / "groups200" / row["file"], isolate=False).pixels))
            for column in ("age_group", "gender", "race"):
                found[column, row[column]].append(seen)
    print("| | group | a face is found | of |\n|---|---|---|---|")
    for (column, group), seen in sorted(found.items()):
        low, high = wilson(sum(seen), len(seen))
        print(f"| {column} | {group} | {np.mean(seen):.1%} ({low:.1%}–{high:.1%}) | {len(seen)} |")


def by_turn(folder: Path, **detectors: Detector) -> None:
    """Print the share of portraits with a face found the right way up, for each turn of the picture."""
    print("| turned clockwise by | detector | found the right way up |\n|---|---|---|")
    pictures = [pixels for _, pixels in photos(folder)]
    for turn in (0, 90, 180, 270):
        turned = [np.ascontiguousarray(np.rot90(pixels, -turn // 90)) for pixels in pictures]
        for name, detector in detectors.items():
            found = [detector.find(pixels) for pixels in turned]
            hits = sum(bool(f) and upright(face.landmarks for face in f) == -turn % 360 for f in found)
            low, high = wilson(hits, len(found))
            print(f"| {turn}° | {name} | {hits} of {len(found)} ({low:.1%}–{high:.1%}) |")


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """95 % interval of a share (Wilson, JASA 22, 1927)."""
    share, extra = hits / count, z * z / count
    half = z * ((share * (1 - share) + extra / 4) / count) ** 0.5
    return (share + extra / 2 - half) / (1 + extra), (share + extra / 2 + half) / (1 + extra)


def draw(path: Path, pixels: np.ndarray, *, truth: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> None:
    picture = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    thick = max(1, round(max(picture.shape) / 500))
    for rows, colour in ((truth, (255, 255, 255)), (theirs, (0, 0, 255)), (ours, (0, 255, 0))):
        for row in rows:
            x, y, w, h = (round(float(v)) for v in row[BOX])
            cv2.rectangle(picture, (x, y), (x + w, y + h), colour, thick)
            cv2.putText(picture, f"{row[SCORE]:.2f}", (x, y), cv2.FONT_HERSHEY_PLAIN, thick, colour, thick)
            for px, py in row[POINTS].reshape(5, 2):
                cv2.circle(picture, (round(float(px)), round(float(py))), thick, colour, -1)
    scale = min(1.0, 700 / max(picture.shape))
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))


def main() -> None:
    parser = argparse.ArgumentParser(description="face finder against its teacher")
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threshold", type=float, default=THRESHOLD)
    parser.add_argument("--draw", type=Path)
    parser.add_argument("--groups", action="store_true")
    parser.add_argument("--portraits", action="store_true")
    options = parser.parse_args()
    model = options.model or zoo.resolve("finder").path
    detector = Detector(model, score_threshold=options.threshold)
    if options.groups:
        by_group(options.shared / "data", detector)
        return
    yunet = Detector(options.shared / "models" / "yunet_2026may.onnx", score_threshold=0.6)
    if options.portraits:
        by_turn(options.shared / "data" / "portraits", finder=detector, yunet=yunet)
        return
    searches = {
        "finder": lambda pixels: search(detector, pixels),
        "yunet": lambda pixels: search(yunet, pixels),
        "scrfd": Scrfd(options.shared / "models" / "scrfd_2.5g.onnx"),
    }
    tallies: dict[tuple[str, str, str], Tally] = defaultdict(Tally)

    def count(data: str, name: str, clean: np.ndarray, truth: np.ndarray, *lives: np.ndarray) -> None:
        """Count all detectors' answers on a picture and on its aged copies."""
        answers = {who: find(clean) for who, find in searches.items()}
        known = agreed(answers["yunet"], answers["scrfd"])
        for look, pixels in (("clean", clean), *(("old-photo", life) for life in lives)):
            if look != "clean":
                answers = {who: find(pixels) for who, find in searches.items()}
            for who, answer in answers.items():
                tallies[data, look, who].add(name, truth, known, answer)
            if options.draw and data == "photos":
                file = options.draw / f"{name}-{look}.png"
                draw(file, pixels, truth=truth, ours=answers["finder"], theirs=known)

    faces = marked()
    for index, (name, clean) in enumerate(photos(options.shared / "data" / "photos")):
        truth = faces.get(name, plain(np.zeros((0, 4), np.float32)))
        lives = [aged(clean, options.seed + index + 1000 * life) for life in range(LIVES)]
        count("photos", name, clean, truth, *lives)
    source = load_source(options.shared / "data", validation=True)
    for index in range(options.scenes):
        scene = compose(source, options.seed, index, SCENE_SIZE)
        if scene.complete:
            aged_scene = aged(scene.pixels, options.seed + index)
            count("scenes", str(index), scene.pixels, plain(scene.boxes), aged_scene)
    print(f"{Path(model).name}, seed {options.seed}, threshold {options.threshold}, IoU 0.5")
    print(
        "| pictures | look | detector | recall | precision | of both teachers' faces in the clean picture |"
    )
    print("|---|---|---|---|---|---|")
    for (data, look, who), tally in tallies.items():
        print(f"| {data} | {look} | {who} | {tally.row()} |")


if __name__ == "__main__":
    main()
