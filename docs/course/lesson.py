"""What the chapters share: their faces, and how pictures are shown. What is taught is in the package."""

from __future__ import annotations

import contextlib
import csv
import io
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import skimage.data
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor, nn

from revisage import Restorer
from revisage.faces import Face, align, estimate
from revisage.lab.losses.pixel import l1
from revisage.lab.metrics.psnr import psnr
from revisage.lab.networks.prior import FacePrior, PriorConfig
from revisage.lab.train.loop import train
from revisage.lab.train.settings import LoopSettings
from revisage.lab.train.task import Task

DPI = 110
PRIOR = PriorConfig(size=32, channels=(64, 48, 32, 16), style_dim=32, mapping=2, noise=False)
PORTRAIT = Path(__file__).parents[2] / "examples" / "portrait.jpg"


def photo() -> np.ndarray:
    """The example portrait, NASA's of Eileen Collins: (512, 512, 3) float32 RGB in [0, 1]."""
    return np.asarray(Image.open(PORTRAIT).convert("RGB"), np.float32) / 255


def found() -> Face:
    """Her face in it, with its five landmarks."""
    return Restorer().find(PORTRAIT)[0]


def portrait(size: int = 256) -> np.ndarray:
    """Her face aligned to the FFHQ template, (size, size, 3) float32 RGB in [0, 1]."""
    return align(photo(), estimate(found().landmarks, size), size)


def write_faces(folder: Path, size: int = 32) -> Path:
    """The hundred small gray faces that scikit-image carries (25 px, from LFW) as size x size PNG files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, face in enumerate(skimage.data.lfw_subset()[:100]):
        picture = Image.fromarray(np.rint(face * 255).astype(np.uint8)).convert("RGB")
        picture.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"face-{number:03}.png")
    return folder


def read_faces(size: int = 32) -> Tensor:
    """The same hundred faces, (100, 3, size, size) in [-1, 1]."""
    faces = torch.from_numpy(np.array(skimage.data.lfw_subset()[:100], np.float32))[:, None]
    larger = torch.nn.functional.interpolate(faces, size=size, mode="bicubic").clamp(0, 1)
    return larger.expand(-1, 3, -1, -1) * 2 - 1


def tensor(picture: np.ndarray) -> Tensor:
    """(H, W, 3) in [0, 1] -> (1, 3, H, W) in [-1, 1], as the face networks have it."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None] * 2 - 1


def array(picture: Tensor) -> np.ndarray:
    """(3, H, W) or (1, 3, H, W) in [-1, 1] -> (H, W, 3) in [0, 1], clipped."""
    flat = picture.detach().reshape(picture.shape[-3:])
    return np.clip(flat.permute(1, 2, 0).numpy() * 0.5 + 0.5, 0, 1)


def decibels(picture: np.ndarray, truth: np.ndarray) -> float:
    """The PSNR of two pictures, (H, W, 3) in [0, 1]."""
    return float(psnr(tensor(picture) / 2 + 0.5, tensor(truth) / 2 + 0.5))


Curves = Mapping[str, np.ndarray]
"""By name, each (N, 2): pictures seen and loss."""


def learn(task: Task, images: int, rate: float, beta1: float = 0.9) -> tuple[nn.Module, Curves]:
    """Train a task small and quietly, 16 pictures a step: its averaged network, and every loss."""
    settings = LoopSettings(
        images=images,
        batch=16,
        rate=rate,
        beta1=beta1,
        warmup=160,
        ema=300,
        precision="fp32",
        device="cpu",
        threads=1,
        log_every=0,  # a row for each step, so that every run draws the same curve
        save_every=float("inf"),
        validate_every=float("inf"),
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        network = train(task, Path(folder), settings)
        curves: dict[str, list[tuple[float, float]]] = {}
        for seen, group, name, value in csv.reader(Path(folder, "log.csv").read_text().splitlines()):
            if group == "train":
                curves.setdefault(name, []).append((float(seen), float(value)))
        return network.eval(), {name: np.array(points) for name, points in curves.items()}


def fit_prior(faces: Tensor, steps: int) -> tuple[FacePrior, Tensor, np.ndarray]:
    """Learn a code for each face, and the generator that turns codes into faces, together.

    faces (N, 3, 32, 32) in [-1, 1] -> the generator, the codes z (N, 32), and its loss as in `Curves`.
    """
    torch.manual_seed(0)
    prior = FacePrior(PRIOR)
    z = torch.nn.Parameter(torch.randn(len(faces), PRIOR.style_dim))
    groups = [{"params": prior.parameters(), "lr": 5e-3}, {"params": [z], "lr": 3e-2}]
    adam = torch.optim.Adam(groups, betas=(0.9, 0.99))
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    losses = []
    for step in range(steps):
        some = torch.randperm(len(faces))[:16]
        loss = l1(prior(z[some]), faces[some])
        adam.zero_grad()
        loss.backward()
        adam.step()
        rate.step()
        losses.append((16 * step, loss.item()))
    prior.eval().requires_grad_(False)
    z = z.detach()
    prior.mean.copy_(prior.codes(z).mean(0))  # towards which truncation pulls
    return prior, z, np.array(losses)


def plot(lines: Curves) -> Figure:
    """Losses over pictures seen."""
    figure, axis = plt.subplots(figsize=(6, 2.2), dpi=DPI)
    for name, points in lines.items():
        axis.plot(points[:, 0], points[:, 1], label=name)
    axis.set(xlabel="pictures seen", ylabel="loss")
    axis.legend(fontsize=8)
    axis.grid(alpha=0.3)
    figure.tight_layout()
    plt.close(figure)
    return figure


def show(rows: Mapping[str, Sequence[np.ndarray]], titles: Sequence[str] = (), cell: float = 1.5) -> Figure:
    """Rows of pictures, (H, W) or (H, W, 3) in [0, 1], each with its name at the left; `cell` in inches."""
    columns = max(len(row) for row in rows.values())
    size = (cell * columns, cell * len(rows))
    figure, axes = plt.subplots(len(rows), columns, figsize=size, dpi=DPI, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.set_frame_on(False)
    for line, (name, pictures) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name, fontsize=8)
        for axis, picture in zip(line, pictures, strict=False):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
    for axis, title in zip(axes[0], titles, strict=False):
        axis.set_title(title, fontsize=8)
    figure.tight_layout(pad=0.3)
    plt.close(figure)  # the cell that ends with it shows it, once
    return figure
