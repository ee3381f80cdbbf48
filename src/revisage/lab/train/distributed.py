"""Training spread over processes, one per GPU, as `torchrun` starts them."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from revisage.errors import TrainingError


@dataclass(frozen=True)
class DistributedContext:
    """This process among those that train together: each takes its share of every batch, and gradients are
    averaged before every update, so that all hold the same weights. One process alone exchanges nothing."""

    rank: int
    """Number of this process; 0 alone logs, validates and saves."""
    count: int
    """Processes altogether."""
    device: torch.device
    """Where this one computes."""

    def local_batch(self, batch: int) -> int:
        """Images of a batch that fall to each process. Raises TrainingError when they cannot be shared."""
        if batch % self.count:
            raise TrainingError(f"batch={batch} cannot be shared evenly by {self.count} processes")
        return batch // self.count

    def average_gradients(self, network: nn.Module) -> None:
        """Mean of every gradient over the processes, in one exchange."""
        if self.count == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.count
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))

    def broadcast_weights(self, networks: Iterable[nn.Module]) -> None:
        """Give every process the weights and buffers of the first."""
        if self.count == 1:
            return
        for network in networks:
            for tensor in (*network.parameters(), *network.buffers()):
                dist.broadcast(tensor.data, src=0)

    def check_same_checkpoint(self, images: int) -> None:
        """Raises TrainingError where this process has resumed from another checkpoint than the first."""
        first = int(self.of_first(images))
        if first != images:
            raise TrainingError(
                f"process {self.rank} goes on from {images} images and the first from {first}: --out must be "
                "one folder that all machines share"
            )

    def of_first(self, value: float) -> float:
        """What the first process has, so that all follow one learning rate and stop together."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, src=0)
        return float(shared)


def init_distributed(device: str) -> DistributedContext:
    """Find this process's place; under `torchrun` connect it with the others (NCCL on GPUs, gloo on CPUs).
    `device` is "auto" (a GPU where there is one), "cpu" or "cuda". Raises TrainingError without the GPU."""
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device=cuda, but PyTorch sees no GPU: set device=cpu or install a CUDA build")
    kind = "cuda" if device == "cuda" or (device == "auto" and torch.cuda.is_available()) else "cpu"
    count = int(os.environ.get("WORLD_SIZE", "1"))
    own = torch.device("cpu")
    if kind == "cuda":
        own = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(own)
        torch.backends.cudnn.benchmark = True  # batches have one size, so that trying kernels pays
    if count > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    return DistributedContext(dist.get_rank() if count > 1 else 0, count, own)


def end_distributed() -> None:
    """Part from the other processes; nothing happens where there are none."""
    if dist.is_initialized():
        dist.destroy_process_group()


def device_of(network: nn.Module) -> torch.device:
    """Where a network's weights are."""
    return next(network.parameters()).device
