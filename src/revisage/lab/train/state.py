"""Everything that a training changes as it goes, and that a checkpoint therefore holds."""

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from revisage.errors import TrainingError
from revisage.lab.architectures import describe
from revisage.lab.train.muon import Muon
from revisage.lab.train.settings import LoopSettings
from revisage.lab.train.task import Task

GROUPS = ("networks", "optimizers", "scalers")


class EMA:
    """Exponential moving average with a half-life counted in images, so that it means the same at any batch
    size (as in Karras et al., *Analyzing and Improving the Training Dynamics of Diffusion Models*, 2024); in
    the first images it is shorter, or the random start would linger."""

    def __init__(self, network: nn.Module, half_life: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life = half_life

    @torch.no_grad()
    def update(self, network: nn.Module, batch: int, images: int) -> None:
        half_life = min(self.half_life, max(images, 1) * 0.1)
        weight = 0.5 ** (batch / half_life)
        for average, parameter in zip(self.network.parameters(), network.parameters(), strict=True):
            average.lerp_(parameter.detach(), 1 - weight)
        for kept, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)


@dataclass
class State:
    """Networks, one optimiser and one loss scaler for each, the average, and how far the training is."""

    networks: dict[str, nn.Module]
    optimizers: dict[str, torch.optim.Adam]
    scalers: dict[str, torch.amp.GradScaler]
    ema: EMA
    images: int = 0
    """Seen so far, over all restarts."""
    seconds: float = 0.0
    """Of training time, likewise."""
    best: float = -math.inf
    """The best validation figure so far."""

    @classmethod
    def fresh(cls, task: Task, settings: LoopSettings, device: torch.device) -> Self:
        """A training that has not begun; the task's networks are moved to the device."""
        networks = task.networks
        for network in networks.values():
            network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        optimizers: dict[str, torch.optim.Adam] = {}
        for phase in task.phases():
            name = phase.network
            betas = (settings.beta1 if phase.beta1 is None else phase.beta1, settings.beta2)
            if name in optimizers:
                assert optimizers[name].defaults["betas"] == betas, f"phases of {name} differ in beta1"
            elif settings.optimizer == "muon" and name == task.averaged:
                optimizers[name] = Muon(networks[name], betas)
            else:
                optimizers[name] = torch.optim.Adam(networks[name].parameters(), betas=betas)
        scaled = settings.precision == "fp16"
        scalers = {name: torch.amp.GradScaler(device.type, enabled=scaled) for name in optimizers}
        return cls(networks, optimizers, scalers, EMA(networks[task.averaged], settings.ema))

    def pack(self) -> dict[str, Any]:
        """What is saved."""
        groups = {g: {name: item.state_dict() for name, item in getattr(self, g).items()} for g in GROUPS}
        reached = {"images": self.images, "seconds": self.seconds, "best": self.best}
        return describe(self.ema.network) | groups | {"ema": self.ema.network.state_dict()} | reached

    def restore(self, saved: dict[str, Any], path: Path) -> None:
        """Take over what `pack` gave; raises TrainingError when it is of another network."""
        try:
            for group in GROUPS:
                for name, item in getattr(self, group).items():
                    item.load_state_dict(saved[group][name])
            for optimizer in self.optimizers.values():
                for p, kept in optimizer.state.items():
                    if ("exp_avg_sq" in kept) == (isinstance(optimizer, Muon) and optimizer.turns(p)):
                        raise ValueError("its optimizer was another one")
            self.ema.network.load_state_dict(saved["ema"])
            self.images, self.seconds = int(saved["images"]), float(saved["seconds"])
            self.best = float(saved["best"])
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            wish = "use another --out, or the same settings"
            raise TrainingError(f"checkpoint {path} is of another network ({reason}): {wish}") from None
