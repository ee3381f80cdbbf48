"""The optimiser Muon: what it makes of a kernel's gradient, and that it goes on from a saved state."""

import copy
import multiprocessing as mp
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import torch.distributed as dist  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from revisage.errors import TrainingError, UsageError  # noqa: E402
from revisage.lab.train import muon  # noqa: E402
from revisage.lab.train.muon import Muon, orthogonalise  # noqa: E402
from revisage.lab.train.settings import LoopSettings  # noqa: E402

BETAS = (0.9, 0.99)


@pytest.mark.parametrize("shape", [(3, 24, 90), (2, 90, 24), (1, 32, 32)])
def test_singular_values_come_to_about_one(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    skewed = u * torch.logspace(0, -2, u.shape[-1]) @ v  # a hundredfold between the first and the last
    values = torch.linalg.svdvals(orthogonalise(skewed))
    assert values.min() > 0.3
    assert values.max() < 1.3
    assert (values[:, : u.shape[-1] // 2] > 0.65).all()


def test_the_size_of_a_gradient_does_not_matter() -> None:
    torch.manual_seed(0)
    matrices = torch.randn(2, 20, 30)
    torch.testing.assert_close(orthogonalise(1e-6 * matrices), orthogonalise(matrices))
    assert orthogonalise(torch.zeros(1, 20, 30)).abs().max() == 0


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(16, 32, 3), nn.Conv2d(32, 4, 1))


def give_gradients(trained: nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    for p in trained.parameters():
        p.grad = torch.randn_like(p)


def steps(trained: nn.Module, optimizer: torch.optim.Optimizer, seeds: list[int]) -> list[Tensor]:
    """Changes of every parameter by the last of some steps with random gradients."""
    optimizer.param_groups[0]["lr"] = 1e-2
    before: list[Tensor] = []
    for seed in seeds:
        give_gradients(trained, seed)
        before = [p.detach().clone() for p in trained.parameters()]
        optimizer.step()
    return [p.detach() - b for p, b in zip(trained.parameters(), before, strict=True)]


def test_kernels_move_along_all_directions_and_the_rest_as_adam_moves_it() -> None:
    ours, theirs = network(), network()
    kernel, *rest = steps(ours, Muon(ours, BETAS), [1, 2])
    _, *adams = steps(theirs, torch.optim.Adam(theirs.parameters(), betas=BETAS), [1, 2])
    values = torch.linalg.svdvals(kernel.flatten(1))
    assert values.max() / values.min() < 3
    assert kernel.square().mean().sqrt() == pytest.approx(0.2 * 1e-2, rel=0.2)
    for a, b in zip(rest, adams, strict=True):  # the second kernel has too few rows
        torch.testing.assert_close(a, b)


def test_a_kernel_without_gradient_stays() -> None:
    trained = network()
    optimizer = Muon(trained, BETAS)
    give_gradients(trained, 0)
    kernel = trained[0].weight
    assert isinstance(kernel, Tensor)
    before, kernel.grad = kernel.detach().clone(), None
    optimizer.step()
    torch.testing.assert_close(kernel.detach(), before, rtol=0, atol=0)


def test_it_goes_on_from_a_saved_state_to_the_same_bit() -> None:
    whole = network()
    optimizer = Muon(whole, BETAS)
    steps(whole, optimizer, [1, 2])
    resumed, saved = copy.deepcopy(whole), copy.deepcopy(optimizer.state_dict())
    again = Muon(resumed, BETAS)
    again.load_state_dict(saved)
    for a, b in zip(steps(whole, optimizer, [3]), steps(resumed, again, [3]), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_it_learns_where_gradients_are_skewed() -> None:
    """Inputs are thirtyfold apart in size: Adam at its best of three rates is left behind."""

    def error(make: type, rate: float) -> float:
        torch.manual_seed(0)
        student, teacher = nn.Conv2d(32, 32, 1, bias=False), nn.Conv2d(32, 32, 1, bias=False)
        mixing = torch.linalg.qr(torch.randn(32, 32)).Q * torch.logspace(0, -1.5, 32)
        optimizer = (
            Muon(student, BETAS) if make is Muon else torch.optim.Adam(student.parameters(), betas=BETAS)
        )
        for step in range(150):
            optimizer.param_groups[0]["lr"] = rate * (1 - step / 150)
            x = torch.einsum("io,no->ni", mixing, torch.randn(64, 32))[..., None, None]
            loss = (student(x) - teacher(x)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        wanted = teacher.weight.detach().flatten(1) @ mixing
        missing = student.weight.detach().flatten(1) @ mixing - wanted
        return float(missing.square().sum() / wanted.square().sum())

    rates = (3e-3, 1e-2, 3e-2)
    assert min(error(Muon, rate) for rate in rates) < 0.5 * min(error(torch.optim.Adam, r) for r in rates)


def _sharing(rank: int, count: int, file: str, results: "mp.Queue[tuple[int, int, np.ndarray]]") -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=count)
    turned, rows = [], 0
    orthogonal = muon.orthogonalise

    def counted(matrices: Tensor) -> Tensor:
        nonlocal rows
        rows += len(matrices)
        return orthogonal(matrices)

    muon.orthogonalise = counted
    for done, matrices in enumerate(batches()):
        turned.append(muon._shared(matrices, done).flatten())
    results.put((rank, rows, torch.cat(turned).numpy()))
    dist.barrier()
    dist.destroy_process_group()


def batches() -> list[Tensor]:
    return [torch.randn(n, 20, 30, generator=torch.Generator().manual_seed(n)) for n in (1, 1, 4)]


def test_processes_turn_a_share_each_and_have_all(tmp_path: Path) -> None:
    context = mp.get_context("spawn")
    results: mp.Queue[tuple[int, int, np.ndarray]] = context.Queue()
    file = str(tmp_path / "meeting")
    processes = [context.Process(target=_sharing, args=(rank, 2, file, results)) for rank in range(2)]
    for process in processes:
        process.start()
    found = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(timeout=60)
    wanted = torch.cat([muon._shared(m, 0).flatten() for m in batches()]).numpy()
    assert [rows for _, rows, _ in found] == [3, 3]  # of 1 + 1 + 4, none twice
    for _, _, turned in found:
        np.testing.assert_allclose(turned, wanted, atol=2e-2)


def test_an_optimizer_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="adam, muon"):
        replace(LoopSettings(images=1), optimizer="sgd")


@pytest.mark.parametrize("first", ["adam", "muon"])
def test_a_training_goes_on_with_the_optimizer_it_had(first: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    pytest.importorskip("onnx")
    from train_toy import SETTINGS, Toy

    from revisage.lab.train.loop import train

    def toy() -> Toy:
        made = Toy()
        wide = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 1, 3)
        made.networks["student"] = nn.Sequential(*wide)
        return made

    begun = replace(SETTINGS, optimizer=first, images=8)
    train(toy(), tmp_path, begun)
    train(toy(), tmp_path, replace(begun, images=16))
    other = "adam" if first == "muon" else "muon"
    with pytest.raises(TrainingError, match="its optimizer was another one"):
        train(toy(), tmp_path, replace(begun, optimizer=other, images=24))
