"""What the identity guard's threshold means: angles between two photos of held-out people.

    python benchmarks/guard.py [--shared ../shared] [--model NAME|FILE.onnx|teacher] [--figure OUT.png]

The people, faces and pairs of `identity.py`; one photo of each pair is left as it is, the other also
degraded. Prints percentiles of the angle for pairs of one person and of two people, and the shares on the
wrong side of the threshold; draws the distributions. `--model teacher` takes the network that the identity
model was told from (MobileFaceNet) and needs no installed one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from identity import CONDITIONS, choose_pairs, embeddings, people, teacher, to_degrees
from PIL import Image, ImageDraw

from revisage.restore import GUARD_DEGREES
from revisage.runtime import open_session
from revisage.zoo import resolve

PERCENTILES = (1, 5, 50, 95, 99)
BIN = 3
WIDTH, HEIGHT, EDGE, FOOT = 760, 150, 16, 34
SAME, OTHER = (31, 119, 180), (214, 39, 40)
MOST = 111
"""Degrees at the right edge of the figure."""


def angles(model: str, shared: Path, seed: int) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
    """Degrees of each pair by condition, whether it is one person, and how many people there are."""
    if model == "teacher":
        embed = teacher(shared / "models" / "mobilefacenet_068.ckpt")
    else:
        session = open_session(resolve("identity", model).path, device="cpu", precision="fp32")
        embed = lambda batch: np.asarray(session.run(batch))  # noqa: E731
    known = people(shared)
    pairs = choose_pairs(known, 10, seed)
    clean = embeddings(embed, known, "clean", seed)
    found = {}
    for condition in CONDITIONS:
        other = clean if condition == "clean" else embeddings(embed, known, condition, seed)
        cosines = [clean[p][i] @ other[q][j] for p, i, q, j, _ in pairs]
        found[condition] = to_degrees(np.array(cosines))
    return found, pairs[:, 4] == 1, len(known)


def panel(title: str, found: np.ndarray, same: np.ndarray, threshold: float) -> Image.Image:
    """Both histograms above a common axis, the threshold as a line."""
    image = Image.new("RGB", (WIDTH, HEIGHT + FOOT), "white")
    draw = ImageDraw.Draw(image, "RGBA")
    edges = np.arange(0, MOST + BIN, BIN)
    counts = [np.histogram(found[kind], edges)[0] for kind in (same, ~same)]
    highest = max(count.max() for count in counts)
    scale = (WIDTH - 2 * EDGE) / edges[-1]
    for count, colour in zip(counts, (SAME, OTHER), strict=True):
        for left, number in zip(edges[:-1], count, strict=True):
            if number:
                top = HEIGHT - (HEIGHT - 2 * EDGE) * number / highest
                draw.rectangle(
                    (EDGE + left * scale, top, EDGE + (left + BIN) * scale - 1, HEIGHT), (*colour, 150)
                )
    draw.line((EDGE, HEIGHT, WIDTH - EDGE, HEIGHT), "black")
    for degrees in range(0, MOST, 10):
        draw.text((EDGE + degrees * scale, HEIGHT + 4), f"{degrees}°", "black", anchor="ma")
    place = EDGE + threshold * scale
    draw.line((place, 0, place, HEIGHT), "black", 2)
    draw.text((place + 5, 2), f"guard {threshold:g}°", "black")
    draw.text((EDGE, 2), title, "black")
    draw.text((EDGE, 14), "one person", SAME)
    draw.text((EDGE, 26), "two people", OTHER)
    return image


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--threshold", type=float, default=GUARD_DEGREES)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    found, same, count = angles(options.model, options.shared, options.seed)
    print(
        f"{count} people, {same.sum()} pairs of either kind; percentiles {', '.join(map(str, PERCENTILES))}\n"
    )
    print(f"| one side of each pair | one person | beyond {options.threshold:g}° | two people | within |")
    print("|---|---|---|---|---|")
    for condition, degrees in found.items():
        cells = []
        for kind, wrong in ((same, degrees > options.threshold), (~same, degrees <= options.threshold)):
            cells.append(", ".join(f"{value:.0f}°" for value in np.percentile(degrees[kind], PERCENTILES)))
            cells.append(f"{100 * wrong[kind].mean():.1f} %")
        print(f"| {condition} | " + " | ".join(cells) + " |")
    if options.figure is not None:
        panels = [
            panel(f"second photo: {name}", found[name], same, options.threshold)
            for name in ("clean", "old-photo")
        ]
        figure = Image.new("RGB", (WIDTH, sum(part.height for part in panels)), "white")
        for number, part in enumerate(panels):
            figure.paste(part, (0, number * part.height))
        figure.save(options.figure, optimize=True)


if __name__ == "__main__":
    main()
