"""Checkpoints: named objects in one file, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from revisage.errors import TrainingError

KEEP = 2
PART = 15 * 2**20  # bytes of weights in a file of a light checkpoint
HALF_MAX = 65504.0


def save(folder: Path, name: str, state: dict[str, Any]) -> Path:
    """Write `state` as folder/name.pt through a temporary file, fsync and rename."""
    folder.mkdir(parents=True, exist_ok=True)
    path, temporary = folder / f"{name}.pt", folder / f".{name}.pt.part"
    with temporary.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return path


def save_numbered(folder: Path, images: int, state: dict[str, Any]) -> Path:
    """Save as the newest checkpoint and remove all but the newest few."""
    path = save(folder, f"images-{images:010d}", state)
    for old in sorted(folder.glob("images-*.pt"))[:-KEEP]:
        old.unlink()
    return path


def save_light(folder: Path, weights: dict[str, Tensor]) -> None:
    """Write the weights alone, in half precision, as folder/weights-0.pt, weights-1.pt, ... of at most 15
    MiB.

    They take the place of those written before, one file after the other. Batch norms' counters stay whole.
    """
    parts: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, value in weights.items():
        small = value.detach().cpu()
        if small.is_floating_point():
            # A weight of half precision may not be infinite.
            small = small.clamp(-HALF_MAX, HALF_MAX).half()
        if size + small.nbytes > PART and parts[-1]:
            parts.append({})
            size = 0
        parts[-1][name] = small.clone()
        size += small.nbytes
    for number, part in enumerate(parts):
        save(folder, f"weights-{number}", {"weights": part, "part": number, "parts": len(parts)})


def load_light(folder: Path) -> dict[str, Tensor]:
    """What `save_light` wrote, in float32. Raises TrainingError when a part is missing or cannot be read."""
    weights: dict[str, Tensor] = {}
    first = _read(folder / "weights-0.pt")
    for number in range(first.get("parts", 0)):
        weights |= _read(folder / f"weights-{number}.pt").get("weights", {})
    if not weights:
        raise TrainingError(f"{folder / 'weights-0.pt'} holds no weights of this program")
    return {name: v.float() if v.is_floating_point() else v for name, v in weights.items()}


def averaged(folder: Path) -> dict[str, Tensor]:
    """The averaged weights of a run's newest checkpoint, whole or light.

    Raises TrainingError when there is none.
    """
    saved = newest(folder)
    if saved is not None:
        weights: dict[str, Tensor] = load(saved)["ema"]
        return weights
    return load_light(folder)


def newest(folder: Path) -> Path | None:
    """The numbered checkpoint with the most images, or None."""
    found = sorted(folder.glob("images-*.pt"))
    return found[-1] if found else None


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running pickled code. Raises TrainingError when it cannot be read."""
    state = _read(path)
    if "networks" not in state:
        raise TrainingError(f"{path} is not a checkpoint of this program")
    return state


def _read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"cannot read checkpoint {path} ({str(error).splitlines()[0]}): "
            "delete it to start from the one before"
        ) from None
    if not isinstance(state, dict):
        raise TrainingError(f"{path} is not a checkpoint of this program")
    return state
