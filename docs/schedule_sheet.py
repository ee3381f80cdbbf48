"""Draw how the loss weights of the progressive GAN's presets grow with the epoch, for docs/progressive.md.

    python docs/schedule_sheet.py [OUT.png]

The adversarial and the pixel loss are drawn as the length of the gradient that they give a picture of 128 px:
the critic's is 1, that of the mean absolute error 1 / sqrt(3 x 128 x 128).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

from revisage.lab.networks.progressive import SIZE
from revisage.lab.train import presets

EPOCHS = range(103)
LENGTHS = {"adversarial": 1.0, "pixel": (3 * SIZE * SIZE) ** -0.5}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, nargs="?", default=Path(__file__).parent / "pictures/schedule.png")
    options = parser.parse_args()
    figure, rows = plt.subplots(2, 2, figsize=(8, 5), sharex=True, layout="constrained")
    for name, (lengths, plain) in zip(("paper", "compact"), rows.T, strict=True):
        weights = presets.choose("progressive-upscale", name).task(Path()).loss_weights
        for loss, length in LENGTHS.items():
            lengths.plot(EPOCHS, [length * getattr(weights, loss).at(e) for e in EPOCHS], label=loss)
        for loss, style in (("perceptual", "-"), ("attention", "--")):
            plain.plot(EPOCHS, [getattr(weights, loss).at(e) for e in EPOCHS], style, label=loss)
        lengths.set(title=name, ylabel="weight x gradient", ylim=0)
        plain.set(xlabel="epoch", ylabel="weight", ylim=0)
        for axes in (lengths, plain):
            axes.legend()
    figure.savefig(options.out, dpi=90)


if __name__ == "__main__":
    main()
