"""Checkpoints: named objects in one file, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from revisage.errors import TrainingError

KEEP = 2


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


def newest(folder: Path) -> Path | None:
    """The numbered checkpoint with the most images, or None."""
    found = sorted(folder.glob("images-*.pt"))
    return found[-1] if found else None


def load(path: Path) -> dict[str, Any]:
    """Read a checkpoint without running pickled code. Raises TrainingError when it cannot be read."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(
            f"cannot read checkpoint {path} ({str(error).splitlines()[0]}): "
            "delete it to start from the one before"
        ) from None
    if not isinstance(state, dict) or "networks" not in state:
        raise TrainingError(f"{path} is not a checkpoint of this program")
    return state
