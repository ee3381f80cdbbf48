"""The optimiser Muon: the momentum of every matrix of weights, made orthogonal, is the step."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from revisage.lab.train.precision import dtype_of

ROWS = 16
"""A kernel with fewer rows or columns than this is no matrix worth turning: it has too few directions."""
ITERATIONS = 5
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor) -> Tensor:
    """(N, R, C) -> (N, R, C): singular values brought to about 1 (0.7 to 1.2; the least ones to less). Five
    steps of the quintic Newton-Schulz iteration of Jordan et al., *Muon: An optimizer for hidden layers in
    neural networks*, 2024. Only matrix products, for which bfloat16 is exact enough (as there)."""
    a, b, c = _COEFFICIENTS
    turned = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if turned else matrices
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        step = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        step.diagonal(dim1=1, dim2=2).add_(a)
        x = step @ x
    return x.mT if turned else x


class Muon(torch.optim.Adam):
    """Muon for the kernels of convolutions (one is a matrix of its rows), Adam for everything else.

    Of a kernel's gradient few directions are large, and along the many small ones Adam hardly moves; made
    orthogonal, all move alike. The step of a kernel has the root mean square of 0.2 times the rate, about
    Adam's (Liu et al., *Muon is Scalable for LLM Training*, 2025, eq. 4), so that one learning rate does for
    both. It costs the same whatever the batch. Processes that train together share the kernels.
    """

    def __init__(self, network: nn.Module, betas: tuple[float, float], momentum: float = 0.95) -> None:
        super().__init__(network.parameters(), betas=betas)
        self.momentum = momentum

    @staticmethod
    def turns(p: Tensor) -> bool:
        """Whether a parameter is one of the kernels; the others are Adam's."""
        return p.ndim == 4 and min(len(p), p[0].numel()) >= ROWS

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update, at the learning rate of the first parameter group."""
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for p in self.param_groups[0]["params"]:
            if p.grad is not None and self.turns(p):
                matrix = p.grad.reshape(len(p), -1)
                alike[matrix.shape].append((p, matrix))
                p.grad = None  # Adam passes over it
        result = super().step(closure)
        done = 0
        for (rows, columns), pairs in alike.items():
            moved = []
            for p, gradient in pairs:
                state = self.state[p]
                if not state:  # under the names of Adam, which wants its own when a state is loaded
                    state.update(step=torch.zeros(()), exp_avg=torch.zeros_like(gradient))
                state["step"] += 1
                state["exp_avg"].lerp_(gradient, 1 - self.momentum)
                moved.append(gradient.lerp(state["exp_avg"], self.momentum))
            size = 0.2 * self.param_groups[0]["lr"] * max(rows, columns) ** 0.5
            for (p, _), turned in zip(pairs, _shared(torch.stack(moved), done), strict=True):
                p.sub_(turned.view_as(p), alpha=size)
            done += len(pairs)
        return result


def _shared(matrices: Tensor, done: int) -> Tensor:
    """(N, R, C) float32, `orthogonalise`d; of processes that train together each does every so-manieth
    matrix, counted on from the `done` before these. In bfloat16 where that is quicker, else in float32."""
    dtype = dtype_of("auto", matrices.device)
    if not dist.is_initialized():
        return orthogonalise(matrices.to(dtype)).float()
    count = dist.get_world_size()
    mine = slice((dist.get_rank() - done) % count, None, count)
    turned = torch.zeros_like(matrices)
    if len(matrices[mine]):
        turned[mine] = orthogonalise(matrices[mine].to(dtype)).float()
    dist.all_reduce(turned)
    return turned
