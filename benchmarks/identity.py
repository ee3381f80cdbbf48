"""The identity model against its teacher on held-out people of LFW: the table of its card.

    python benchmarks/identity.py [--shared ../shared] [--model NAME|FILE.onnx] [--pairs 10] [--seed 0]
                                  [--groups]

Faces of the held-out people of lfw128 (split by person; nobody of them was seen in training), found by the
shipped detector and aligned at 256 px. Pairs of one person (at most `--pairs` of each) and as many pairs of
two people; the two are the same when the angle between their embeddings is below a threshold that is chosen
on nine tenths of the people and tried on the last tenth, in turn. One side of each pair is left as it is, the
other also degraded. Then the angles of pairs, whose percentiles tell what a `--guard` means, and milliseconds
a face in the runtime. Intervals are of 95 %, by bootstrap over people.

`--groups` instead takes UTKFace's chips (groups200, nobody is trained on) and prints for each of its labels
how far a face moves when it is degraded, and how many pairs of two people under one label are within the
guard's threshold.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from revisage.faces import Detector, align, estimate
from revisage.image import decode
from revisage.lab.data.pictures import find_pictures
from revisage.lab.degrade import RECIPES
from revisage.lab.evaluate.summary import summarise
from revisage.lab.train.faces import Embedder
from revisage.restore import GUARD_DEGREES
from revisage.runtime import Session, open_session
from revisage.zoo import resolve

SIZE = 256
FOLDS = 10
CONDITIONS = ("clean", "gfpgan", "second-order", "old-photo")
Embed = Callable[[np.ndarray], np.ndarray]


def people(shared: Path) -> list[list[np.ndarray]]:
    """Aligned faces, (256, 256, 3) float32 in [0, 1], of each held-out person with two or more."""
    detector = Detector(resolve("finder").path)
    folders: dict[str, list[np.ndarray]] = defaultdict(list)
    for path in find_pictures(shared / "data" / "lfw128", name=lambda path: path.parent.name, held=True):
        face = aligned(detector, path)
        if face is not None:
            folders[path.parent.name].append(face)
    return [faces for faces in folders.values() if len(faces) > 1]


def aligned(detector: Detector, path: Path) -> np.ndarray | None:
    """The best face of a picture, (256, 256, 3) float32 in [0, 1]; None where no face is found."""
    picture = decode(path, isolate=False).pixels
    found = detector.find(picture)
    return (
        align(picture, estimate(found[0].landmarks, SIZE), SIZE).astype(np.float32) / 255 if found else None
    )


def choose_pairs(known: list[list[np.ndarray]], most: int, seed: int) -> np.ndarray:
    """(N, 5): person and picture of either side, and whether they are one person; half of them are."""
    rng = np.random.default_rng(seed)
    same, others = [], []
    for person, faces in enumerate(known):
        pairs = list(itertools.combinations(range(len(faces)), 2))
        for index in rng.permutation(len(pairs))[:most]:
            first, second = pairs[index]
            same.append((person, first, person, second, 1))
            other = int((person + rng.integers(1, len(known))) % len(known))
            others.append((person, first, other, int(rng.integers(len(known[other]))), 0))
    return np.array(same + others)


def judge(angles: np.ndarray, same: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Whether each pair is told right, with the threshold that is best on the other folds of people."""
    right = np.zeros(len(angles), bool)
    for fold in range(FOLDS):
        held = person % FOLDS == fold
        candidates = np.unique(angles[~held])
        shares = [((angles[~held] < c) == same[~held]).mean() for c in candidates]
        right[held] = (angles[held] < candidates[int(np.argmax(shares))]) == same[held]
    return right


def interval(values: np.ndarray, person: np.ndarray) -> tuple[float, float]:
    """95 % percentile interval of the mean of (N,) when people are redrawn, each with all values."""
    _, who = np.unique(person, return_inverse=True)
    sums, counts = np.bincount(who, values), np.bincount(who)
    drawn = np.random.default_rng(0).integers(len(counts), size=(2000, len(counts)))
    low, high = np.percentile(sums[drawn].sum(1) / counts[drawn].sum(1), (2.5, 97.5))
    return float(low), float(high)


def teacher(weights: Path) -> Embed:
    """The MobileFaceNet that the model was told from."""
    embedder = Embedder(weights)

    @torch.no_grad()
    def embed(batch: np.ndarray) -> np.ndarray:
        found = torch.nn.functional.normalize(embedder(torch.from_numpy(batch * 2 - 1)))
        return np.asarray(found.numpy())

    return embed


def embeddings(embed: Embed, known: list[list[np.ndarray]], recipe: str, seed: int) -> list[np.ndarray]:
    """(pictures, D) of each person, degraded with one draw a picture."""
    rows = []
    for i, faces in enumerate(known):
        made = []
        for j, face in enumerate(faces):
            low = face
            if recipe != "clean":
                chain = RECIPES[recipe].sample(np.random.default_rng((seed, i, j)))
                low = RECIPES[recipe].apply(face, chain)
            made.append(np.rint(low * 255).astype(np.float32) / 255)
        batch = np.ascontiguousarray(np.stack(made).transpose(0, 3, 1, 2))
        rows.append(np.concatenate([embed(part) for part in np.array_split(batch, -(-len(batch) // 16))]))
    return rows


def milliseconds(session: Session, rounds: int = 60) -> float:
    """Median time of one face."""
    face = np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32)
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        session.run(face)
        taken.append(1000 * (time.perf_counter() - start))
    return statistics.median(taken[10:])


def compare(networks: dict[str, Embed], shared: Path, most: int, seed: int) -> None:
    """Print verification on pairs of held-out people of LFW, and how far degradations move a face."""
    known = people(shared)
    pairs = choose_pairs(known, most, seed)
    same, person = pairs[:, 4] == 1, pairs[:, 0]
    print(f"{len(known)} people, {sum(map(len, known))} pictures, {same.sum()} pairs of either kind\n")
    print("| one side of each pair | teacher | model | difference | same person, model | two people, model |")
    print("|---|---|---|---|---|---|")
    clean = {name: embeddings(embed, known, "clean", seed) for name, embed in networks.items()}
    moved = {}
    for condition in CONDITIONS:
        cells, right, angles = [], {}, np.zeros(0)
        for name, embed in networks.items():
            other = clean[name] if condition == "clean" else embeddings(embed, known, condition, seed)
            cosines = [clean[name][p][i] @ other[q][j] for p, i, q, j, _ in pairs]
            angles = to_degrees(np.array(cosines))
            right[name] = judge(angles, same, person).astype(float)
            cells.append(percent(right[name], person))
            if name == "model":
                rows = zip(clean[name], other, strict=True)
                moved[condition] = to_degrees(np.concatenate([(a * b).sum(1) for a, b in rows]))
        cells.append(percent(right["model"] - right["teacher"], person))
        cells += [spread(angles[kind]) for kind in (same, ~same)]
        print(f"| {condition} | " + " | ".join(cells) + " |")
    for condition in CONDITIONS[1:]:
        print(f"\nThe same picture before and after {condition}: {spread(moved[condition])}")


def by_group(networks: dict[str, Embed], shared: Path, seed: int) -> None:
    """Print what the model does to the people of each label of groups200."""
    detector, labels, faces = Detector(resolve("finder").path), [], []
    with (shared / "data" / "groups200.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            face = aligned(detector, shared / "data" / "groups200" / row["file"])
            if face is not None:
                faces.append(face)
                labels.append(row)
    clean, low = (
        {
            name: np.concatenate(embeddings(embed, [[f] for f in faces], look, seed))
            for name, embed in networks.items()
        }
        for look in ("clean", "gfpgan")
    )
    print(f"{len(faces)} chips with a face, one person each\n")
    print(f"| | group | n | moved: teacher | model | two people within {GUARD_DEGREES:g}°: teacher | model |")
    print("|---|---|---|---|---|---|---|")
    for column in ("age_group", "gender", "race"):
        for group in sorted({row[column] for row in labels}):
            chosen = np.array([row[column] == group for row in labels])
            cells = []
            for name in networks:
                moved = to_degrees((clean[name] * low[name]).sum(1))[chosen]
                summary = summarise(moved)
                assert summary.interval is not None
                cells.append(f"{summary.mean:.1f}° ({summary.interval[0]:.1f}–{summary.interval[1]:.1f})")
            for name in networks:
                within = to_degrees(clean[name][chosen] @ clean[name][chosen].T) < GUARD_DEGREES
                np.fill_diagonal(within, False)
                shares = within.sum(1) / (len(within) - 1)
                cells.append(percent(shares, np.arange(len(shares))))
            print(f"| {column} | {group} | {chosen.sum()} | " + " | ".join(cells) + " |")


def to_degrees(cosines: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip(cosines, -1, 1)))


def spread(angles: np.ndarray) -> str:
    """Median and the range of nine tenths."""
    low, middle, high = np.percentile(angles, (5, 50, 95))
    return f"{middle:.0f}° ({low:.0f}–{high:.0f})"


def percent(values: np.ndarray, person: np.ndarray) -> str:
    low, high = interval(values, person)
    return f"{100 * values.mean():.1f} % ({100 * low:.1f}–{100 * high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--groups", action="store_true")
    options = parser.parse_args()
    path = resolve("identity", options.model).path
    session = open_session(path, device="cpu", precision="fp32")
    networks: dict[str, Embed] = {
        "teacher": teacher(options.shared / "models" / "mobilefacenet_068.ckpt"),
        "model": lambda batch: np.asarray(session.run(batch)),
    }
    if options.groups:
        by_group(networks, options.shared, options.seed)
        return
    compare(networks, options.shared, options.pairs, options.seed)
    print(f"\n{milliseconds(session):.1f} ms a face; {path.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
