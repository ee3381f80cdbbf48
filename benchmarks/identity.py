"""The identity model against its teacher on held-out people of LFW: the table of its card.

    python benchmarks/identity.py [--shared ../shared] [--model NAME|FILE.onnx] [--pairs 10] [--seed 0]

Faces of the held-out people of lfw128 (split by person; nobody of them was seen in training), found by the
shipped finder and aligned at 256 px. Pairs of one person (at most `--pairs` of each) and as many pairs of two
people; the two are the same when the angle between their embeddings is below a threshold that is chosen on
nine tenths of the people and tried on the last tenth, in turn. One side of each pair is left as it is, the
other also degraded. Then the angles of pairs, whose percentiles tell what a `--guard` means, and milliseconds
a face in the runtime.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from revisage.data.pictures import find_pictures
from revisage.degrade import RECIPES
from revisage.faces import Finder, align, estimate
from revisage.image import decode
from revisage.runtime import Session, open_session
from revisage.train.faces import Embedder
from revisage.zoo import resolve

SIZE = 256
FOLDS = 10
CONDITIONS = ("clean", "gfpgan", "second-order", "old-photo")
Embed = Callable[[np.ndarray], np.ndarray]


def people(shared: Path) -> list[list[np.ndarray]]:
    """Aligned faces, (256, 256, 3) float32 in [0, 1], of each held-out person with two or more."""
    finder = Finder(resolve("finder").path)
    folders: dict[str, list[np.ndarray]] = defaultdict(list)
    for path in find_pictures(shared / "data" / "lfw128", name=lambda path: path.parent.name, held=True):
        picture = decode(path, isolate=False).pixels
        found = finder.find(picture)
        if found:
            face = align(picture, estimate(found[0].landmarks, SIZE), SIZE)
            folders[path.parent.name].append(face.astype(np.float32) / 255)
    return [faces for faces in folders.values() if len(faces) > 1]


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


def accuracy(angles: np.ndarray, same: np.ndarray, person: np.ndarray) -> list[float]:
    """Share of pairs told right in each fold of people, with the threshold that is best in the others."""
    found = []
    for fold in range(FOLDS):
        held = person % FOLDS == fold
        candidates = np.unique(angles[~held])
        right = [((angles[~held] < c) == same[~held]).mean() for c in candidates]
        found.append(float(((angles[held] < candidates[int(np.argmax(right))]) == same[held]).mean()))
    return found


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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    path = resolve("identity", options.model).path
    session = open_session(path, device="cpu", precision="fp32")
    networks: dict[str, Embed] = {
        "teacher": teacher(options.shared / "models" / "mobilefacenet_068.ckpt"),
        "model": lambda batch: np.asarray(session.run(batch)),
    }
    known = people(options.shared)
    pairs = choose_pairs(known, options.pairs, options.seed)
    same = pairs[:, 4] == 1
    print(f"{len(known)} people, {sum(map(len, known))} pictures, {same.sum()} pairs of either kind\n")
    print("| one side of each pair | teacher | model | same person, model | two people, model |")
    print("|---|---|---|---|---|")
    clean = {name: embeddings(embed, known, "clean", options.seed) for name, embed in networks.items()}
    for condition in CONDITIONS:
        cells, angles = [], np.zeros(0)
        for name, embed in networks.items():
            other = clean[name] if condition == "clean" else embeddings(embed, known, condition, options.seed)
            cosines = [clean[name][p][i] @ other[q][j] for p, i, q, j, _ in pairs]
            angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
            folds = accuracy(angles, same, pairs[:, 0])
            error = statistics.stdev(folds) / FOLDS**0.5
            cells.append(f"{100 * statistics.mean(folds):.1f} % ± {100 * error:.1f}")
        for kind in (same, ~same):
            low, middle, high = np.percentile(angles[kind], (5, 50, 95))
            cells.append(f"{middle:.0f}° ({low:.0f}–{high:.0f})")
        print(f"| {condition} | " + " | ".join(cells) + " |")
    for recipe in CONDITIONS[1:]:
        rows = zip(clean["model"], embeddings(networks["model"], known, recipe, options.seed), strict=True)
        moved = np.degrees(np.arccos(np.clip(np.concatenate([(a * b).sum(1) for a, b in rows]), -1, 1)))
        low, middle, high = np.percentile(moved, (5, 50, 95))
        print(f"\nThe same picture before and after {recipe}: {middle:.0f}° ({low:.0f}–{high:.0f})")
    print(f"\n{milliseconds(session):.1f} ms a face; {path.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
