"""What the damage model finds of drawn marks, and what it marks where there is none: the tables of its card.

    python benchmarks/damage.py [--shared ../shared] [--model FILE.onnx] [--draws 8] [--sheet FOLDER]

Held-out photos of `scenes` and `scenes_more`, a piece of 256 px each, with marks as the training draws them
(other seeds than its validation): overlap (intersection over union) of probability above 0.5 with the drawn
mask, its 95 % interval by bootstrap over pieces, precision and recall, over all pixels; the same for pieces
that have one kind of mark alone. Then the share of pixels marked on pieces without marks, above 0.5 and by
`--repair full` and `light`, which want more: printed and aged, as they are, held-out faces, and with things
that belong to a photo drawn on them; `portraits`, old ones, have some marks. Then milliseconds for 2.5
megapixels, the copy that a larger photo is looked at by. With --sheet the photos of `photos`, each beside
what is marked on it.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

import cv2
import numpy as np

from revisage.lab.data.pictures import Pictures, find_pictures
from revisage.lab.degrade import RECIPES
from revisage.lab.networks.damage import STRIDE
from revisage.lab.train.pictures import to_unit
from revisage.lab.train.scenes import piece
from revisage.lab.train.tasks.damage import BELONGINGS, marked_photo
from revisage.restore import DamageModel
from revisage.restore.repair import damage_in
from revisage.runtime import Session, open_session
from revisage.zoo import resolve

SIDE = 256
THRESHOLD = 0.5
SEED = 10_000  # the training's validation has seeds from 0
COPY = (1376, 1824)  # 2.5 megapixels
SHOWN = 700  # pixels along a photo on the sheet

Pair = tuple[np.ndarray, np.ndarray]


def found(session: Session, photo: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] -> (H, W) bool."""
    height, width = photo.shape[:2]
    padded = np.pad(photo, ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0)), mode="edge")
    batch = np.ascontiguousarray(padded.transpose(2, 0, 1)[None], np.float32)
    return session.run(batch)[0, 0, :height, :width] > THRESHOLD


def counted(session: Session, pairs: Iterable[Pair]) -> np.ndarray:
    """(pieces, 4): pixels marked rightly, in either mask, marked, and drawn."""
    counts = []
    for photo, mask in pairs:
        ours, truth = found(session, photo), mask > 0
        counts.append([(ours & truth).sum(), (ours | truth).sum(), ours.sum(), truth.sum()])
    return np.array(counts, float)


def row(table: np.ndarray) -> str:
    """Cells: intersection over union with its 95 % interval, precision, recall, number of pieces."""
    drawn = np.random.default_rng(0).integers(0, len(table), (2000, len(table)))
    both, either = table[drawn, :2].sum(axis=1).T
    low, high = np.percentile(both / np.maximum(either, 1), [2.5, 97.5])
    iou, precision, recall = table[:, 0].sum() / np.maximum(table[:, 1:].sum(axis=0), 1)
    return f"{iou:.3f} ({low:.3f}–{high:.3f}) | {precision:.3f} | {recall:.3f} | {len(table)}"


def held_photos(data: Path) -> Pictures:
    folders = (data / name for name in ("scenes_more", "scenes"))
    return Pictures([path for folder in folders for path in find_pictures(folder, held=True)])


def pieces(photos: Pictures, draws: int) -> Iterator[tuple[np.random.Generator, np.ndarray]]:
    """Pieces of photos, (SIDE, SIDE, 3) uint8, each with the generator to go on with."""
    for i, draw in product(range(len(photos)), range(draws)):
        rng = np.random.default_rng((SEED + draw, i))
        yield rng, piece(rng, photos[i], SIDE)


def marked(photos: Pictures, draws: int) -> Iterator[tuple[str, Pair]]:
    """Pieces with drawn marks, and which: the kind's name if it is one alone, else "several kinds"."""
    for rng, clean in pieces(photos, draws):
        chain = RECIPES["marks"].sample(rng)
        kinds = {type(step).__name__.lower() for step in chain.steps}
        name = f"{kinds.pop()} alone" if len(kinds) == 1 else "several kinds"
        yield name, marked_photo(rng, to_unit(clean), marks=chain)


def unmarked(photos: Pictures, draws: int) -> Iterator[np.ndarray]:
    """Pieces that are printed and aged, without marks."""
    for rng, clean in pieces(photos, draws):
        yield marked_photo(rng, to_unit(clean), marks=None)[0]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--model", type=Path)
    parser.add_argument("--draws", type=int, default=8)
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    data = options.shared / "data"
    session = open_session(options.model or resolve("damage").path, device="cpu")
    photos = held_photos(data)
    faces = Pictures(find_pictures(data / "faces256", held=True)[:100])
    portraits = Pictures(sorted((data / "portraits").glob("*.*")))

    print("| marks | overlap | precision | recall | pieces |\n|---|---|---|---|---|")
    tables: dict[str, list[np.ndarray]] = {"all": []}
    for name, pair in marked(photos, options.draws):
        table = counted(session, [pair])
        for key in ("all", name):
            tables.setdefault(key, []).append(table)
    for name in sorted(tables, key=lambda name: -len(tables[name])):
        print(f"| {name} | {row(np.concatenate(tables[name]))} |")

    print("\n| nothing to find | share marked | --repair full | light |\n|---|---|---|---|")
    empty: dict[str, Iterable[np.ndarray]] = {
        "photos, printed and aged": unmarked(photos, options.draws),
        "photos as they are": (to_unit(photos[i]) for i in range(len(photos))),
        "faces as they are": (to_unit(faces[i]) for i in range(len(faces))),
        "historical portraits": (to_unit(portraits[i]) for i in range(len(portraits))),
    }
    for draw in BELONGINGS:
        drawn = [to_unit(draw(np.ascontiguousarray(clean), rng)) for rng, clean in pieces(photos, 1)]
        empty[f"{draw.__name__} drawn on photos"] = drawn
    model = DamageModel(session, "", tuple)
    for name, pictures in empty.items():
        shares = []
        for picture in pictures:
            pixels = np.rint(255 * picture).astype(np.uint8)
            filled = (damage_in(pixels, model, thin=thin).mean() for thin in (False, True))
            shares.append([found(session, picture).mean(), *filled])
        print(f"| {name} | {' | '.join(f'{100 * share:.3f} %' for share in np.mean(shares, axis=0))} |")

    batch = np.random.default_rng(0).random((1, 3, *COPY), np.float32)
    session.run(batch)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        session.run(batch)
        times.append(1e3 * (time.perf_counter() - begun))
    print(f"\n2.5 megapixels: {statistics.median(times):.0f} ms in {session.info.precision}")
    if options.sheet:
        sheet(session, sorted((data / "photos").iterdir()), options.sheet)


def sheet(session: Session, paths: list[Path], folder: Path) -> None:
    """A picture of every photo beside what is marked on it, in red."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = Pictures(paths)
    for i, path in enumerate(paths):
        photo = to_unit(pictures[i])
        shown = photo.copy()
        shown[found(session, photo)] = (1, 0, 0)
        both = np.concatenate([photo, shown], axis=1)[..., ::-1]
        factor = min(1, SHOWN / max(photo.shape[:2]))
        small = cv2.resize(both, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / f"{path.stem}.png"), np.rint(255 * small).astype(np.uint8))


if __name__ == "__main__":
    main()
