"""Checkpoints: named objects in one file, written whole or not at all, that say which network they are of."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from revisage.errors import TrainingError, one_line
from revisage.files import publish
from revisage.lab.architectures import describe, rebuild

KEEP = 2
PART = 15 * 2**20  # bytes of weights in a file of a light checkpoint


@dataclass(frozen=True)
class Weights:
    """A network's weights in float32, and which network it is; `architecture` None: nothing says which."""

    tensors: dict[str, Tensor]
    architecture: str | None = None
    config: Mapping[str, Any] | None = None

    def network(self) -> nn.Module:
        """The network with these weights. Raises TrainingError when they are not of what they say."""
        network = self.fresh()
        try:
            network.load_state_dict(self.tensors)
        except (RuntimeError, TypeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise TrainingError(f"the weights are not of a {self.architecture}: {reason}") from None
        return network

    def fresh(self) -> nn.Module:
        """The network with the weights that a training of seed 0 begins with."""
        assert self.architecture is not None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return rebuild(self.architecture, self.config or {})


def save(folder: Path, name: str, state: dict[str, Any]) -> Path:
    """Write `state` as folder/name.pt through a temporary file, fsync and rename. Raises TrainingError."""
    path, temporary = folder / f"{name}.pt", folder / f".{name}.pt.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(state, temporary)
        publish(temporary, path)
    except (OSError, RuntimeError) as error:  # a full disk is the latter to torch
        with suppress(OSError):
            temporary.unlink()
        raise TrainingError(f"{path} cannot be written: is the disk full? ({one_line(error)})") from None
    return path


def save_numbered(folder: Path, images: int, state: dict[str, Any]) -> Path:
    """Save as the newest checkpoint and remove all but the newest few, and what a kill left half written."""
    path = save(folder, f"images-{images:010d}", state)
    for old in [*sorted(folder.glob("images-*.pt"))[:-KEEP], *folder.glob(".*.part")]:
        old.unlink()
    return path


def halved(network: nn.Module) -> dict[str, Tensor]:
    """The weights of a network in half precision, on the CPU; counters stay whole."""
    most = torch.finfo(torch.half).max  # a weight may not be infinite
    return {
        name: (v.clamp(-most, most).half() if v.is_floating_point() else v).detach().cpu().clone()
        for name, v in network.state_dict().items()
    }


def save_light(folder: Path, network: nn.Module) -> None:
    """Write the weights alone, in half precision, in place of those written before, one file after the other:
    folder/weights-0.pt, weights-1.pt, ... of at most 15 MiB."""
    parts: list[dict[str, Tensor]] = [{}]
    for name, value in halved(network).items():
        if parts[-1] and value.nbytes + sum(part.nbytes for part in parts[-1].values()) > PART:
            parts.append({})
        parts[-1][name] = value
    for number, part in enumerate(parts):
        save(folder, f"weights-{number}", describe(network) | {"weights": part, "parts": len(parts)})


def averaged(path: Path, *, best: bool = False) -> Weights:
    """The averaged weights of a training: of its newest or its best checkpoint, or of its light one. `path`
    is its folder, or one of its checkpoints. Raises TrainingError when there is none."""
    folder, saved = path / "checkpoints", path if path.is_file() else None
    if saved is None:
        saved = newest(folder)
        if saved is None and (folder / "weights-0.pt").is_file():
            return _load_light(folder)
        saved = folder / "best.pt" if best else saved
    if saved is None or not saved.is_file():
        raise TrainingError(f"no checkpoint in {folder}: train first; --newest exports one before validation")
    state = load(saved)
    if "ema" not in state:
        raise TrainingError(f"{saved} holds no averaged weights")
    return Weights(state["ema"], state.get("architecture"), state.get("config"))


def _load_light(folder: Path) -> Weights:
    """What `save_light` wrote. Raises TrainingError when a part is missing or cannot be read."""
    first = load(folder / "weights-0.pt")
    tensors: dict[str, Tensor] = {}
    for number in range(first.get("parts", 0)):
        tensors |= load(folder / f"weights-{number}.pt").get("weights", {})
    if not tensors:
        raise TrainingError(f"{folder / 'weights-0.pt'} holds no weights of this program")
    return Weights(wide(tensors), first.get("architecture"), first.get("config"))


def wide(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights in half precision as float32; counters stay whole."""
    return {name: v.float() if v.is_floating_point() else v for name, v in tensors.items()}


def newest(folder: Path) -> Path | None:
    """The numbered checkpoint with the most images, or None."""
    return max(folder.glob("images-*.pt"), default=None)


def load(path: Path) -> dict[str, Any]:
    """The named objects of a file. Raises TrainingError when it cannot be read."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        hint = ": delete it to start from the one before" if path.name.startswith("images-") else ""
        raise TrainingError(f"cannot read checkpoint {path} ({one_line(error)}){hint}") from None
    if not isinstance(state, dict):
        raise TrainingError(f"{path} is not a checkpoint of this program")
    return state
