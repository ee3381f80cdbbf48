"""One step of a training, and what is averaged over many."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

from torch import Tensor, nn  # noqa: E402
from train_toy import SETTINGS, STEPS, Toy, assert_same, final  # noqa: E402

from revisage.errors import TrainingError  # noqa: E402
from revisage.lab.train import checkpoint, loop, muon, precision  # noqa: E402
from revisage.lab.train.distributed import init_distributed  # noqa: E402
from revisage.lab.train.loop import learning_rate, train  # noqa: E402
from revisage.lab.train.muon import Muon  # noqa: E402
from revisage.lab.train.settings import LoopSettings  # noqa: E402
from revisage.lab.train.state import EMA, State  # noqa: E402
from revisage.lab.train.task import Phase  # noqa: E402


def test_a_step_that_is_not_finite_changes_nothing(tmp_path: Path) -> None:
    bad = {12, 28}
    toy = Toy(lambda images: float("inf") if images in bad else 1.0)
    train(toy, tmp_path, SETTINGS)
    state = final(tmp_path)
    assert all(torch.isfinite(v).all() for v in state["networks"]["student"].values())
    assert all(torch.isfinite(v).all() for v in state["ema"].values())
    moments = state["optimizers"]["student"]["state"][0]
    assert int(moments["step"]) == STEPS - len(bad)


def test_losses_that_stay_non_finite_end_the_training(tmp_path: Path) -> None:
    # The rival goes on well, which must not hide that the student does not.
    toy = Toy(lambda images: float("nan") if images >= 8 else 1.0)
    with pytest.raises(
        TrainingError, match="50 steps in a row had exploding or non-finite gradients"
    ) as caught:
        train(toy, tmp_path, replace(SETTINGS, images=4000))
    assert "\n" not in str(caught.value)
    assert toy.steps["student"] == 2 + loop.MAX_BAD_STEPS


def test_gradients_are_clipped() -> None:
    toy, clip, (stats, applied) = one_step(1.0)
    assert applied
    assert clip < stats["learn/gradient"] < loop.OUTLIER * clip
    gradients = [p.grad for p in toy.networks["student"].parameters() if p.grad is not None]
    assert float(nn.utils.get_total_norm(gradients)) == pytest.approx(clip, rel=1e-3)


def test_a_discriminators_gradient_is_left_as_long_as_it_is() -> None:
    toy, spread = Toy(), init_distributed("cpu")
    settings = replace(SETTINGS, clip=1e-3)
    state = State.fresh(toy, settings, spread.device)
    batch = {k: torch.from_numpy(v[None]) for k, v in toy.sample(0).items()}
    copying = replace(toy.phases()[1], losses=lambda b: {"big": 1e6 * toy._copy(b)["distance"]})
    stats, applied = loop.step(replace(copying, clipped=False), state, batch, settings, spread)
    gradients = [p.grad for p in toy.networks["rival"].parameters()]
    assert applied
    assert float(nn.utils.get_total_norm(gradients)) == pytest.approx(stats["copy/gradient"], rel=1e-4)
    assert stats["copy/gradient"] > 1e3 * settings.clip
    _, applied = loop.step(copying, state, batch, settings, spread)  # clipped, so long a one is an outlier
    assert not applied
    endless = replace(copying, clipped=False, losses=lambda b: {"big": math.inf * toy._copy(b)["distance"]})
    assert not loop.step(endless, state, batch, settings, spread)[1]


def test_a_phase_has_its_own_beta1_and_leaves_what_is_fixed() -> None:
    toy, spread = Toy(), init_distributed("cpu")
    learn, copying = toy.phases()
    phases = [replace(learn, fixed=("3.",)), replace(copying, beta1=0.0)]
    toy.phases = lambda: phases  # type: ignore[method-assign]
    state = State.fresh(toy, SETTINGS, spread.device)
    assert state.optimizers["student"].defaults["betas"] == (SETTINGS.beta1, SETTINGS.beta2)
    assert state.optimizers["rival"].defaults["betas"] == (0.0, SETTINGS.beta2)
    batch = {k: torch.from_numpy(v[None]) for k, v in toy.sample(0).items()}
    before = {name: p.detach().clone() for name, p in toy.networks["student"].named_parameters()}
    loop.step(phases[0], state, batch, SETTINGS, spread)
    after = dict(toy.networks["student"].named_parameters())
    assert {n for n in after if torch.equal(after[n], before[n])} == {"3.weight", "3.bias"}


def test_averaged_weights_get_statistics_of_their_own(tmp_path: Path) -> None:
    """Those of the last raw weights, which the average copies in each step, are of another network."""
    toy = Toy()
    network = train(toy, tmp_path, replace(SETTINGS, ema=4000))
    images = torch.from_numpy(np.stack([toy.sample(i)["image"] for i in range(256)]))
    with torch.no_grad():
        seen = network[0](images)  # type: ignore[index]
    norm = network[1]  # type: ignore[index]
    torch.testing.assert_close(norm.running_mean, seen.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(norm.running_var, seen.var((0, 2, 3)), rtol=2e-2, atol=1e-4)
    saved = checkpoint.load(checkpoint.newest(tmp_path / "checkpoints"))  # type: ignore[arg-type]
    torch.testing.assert_close(saved["ema"]["1.running_mean"], norm.running_mean)


@pytest.mark.parametrize(("native", "quicker", "wanted"), [(1, 1, "b"), (0, 1, "f"), (1, 0, "f")])
def test_half_precision_is_for_machines_that_gain_by_it(
    native: int, quicker: int, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_native_on_cpu", lambda: bool(native))
    monkeypatch.setattr(
        precision, "_seconds", lambda dtype: 1.0 if (dtype == torch.float32) == quicker else 0.5
    )
    precision.bf16_is_quick.cache_clear()
    cpu = torch.device("cpu")
    assert precision.dtype_of("auto", cpu) == {"b": torch.bfloat16, "f": torch.float32}[wanted]
    with precision.autocast("auto", cpu):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == precision.dtype_of("auto", cpu)
    kernels = torch.randn(1, 20, 30)
    used = []
    monkeypatch.setattr(muon, "orthogonalise", lambda m: used.append(m.dtype) or m)
    muon._shared(kernels, 0)
    assert used == [precision.dtype_of("auto", cpu)]
    precision.bf16_is_quick.cache_clear()
    assert precision.dtype_of("bf16", cpu) == torch.bfloat16


def test_how_hard_each_loss_pulls_is_told_and_changes_nothing(tmp_path: Path) -> None:
    toy, context = Toy(), init_distributed("cpu")
    state = State.fresh(toy, SETTINGS, context.device)
    batch = {key: torch.from_numpy(np.stack([value])) for key, value in toy.sample(3).items()}
    before = {key: value.clone() for key, value in toy.networks["student"].state_dict().items()}

    def weighed(weight: float) -> dict[str, float]:
        torch.manual_seed(0)

        def losses(batch: dict[str, Tensor]) -> dict[str, Tensor]:
            out = toy.networks["student"](batch["image"])
            return {"error": (out - batch["y"]).square().mean(), "size": weight * out.abs().mean()}

        return loop.gradient_norms(Phase("learn", "student", losses), state, batch, SETTINGS, context)

    light, heavy = weighed(0.5), weighed(2.0)
    assert heavy["learn/size"] == pytest.approx(4 * light["learn/size"])
    assert heavy["learn/error"] == pytest.approx(light["learn/error"])

    student = toy.networks["student"]
    (student(batch["image"]) - batch["y"]).square().mean().backward()
    squares = [p.grad.square().sum() for p in student.parameters() if p.grad is not None]
    assert light["learn/error"] == pytest.approx(float(torch.stack(squares).sum().sqrt()))
    for key, value in (*student.named_buffers(), *student.named_parameters()):
        if "running" not in key and "tracked" not in key:
            torch.testing.assert_close(value.detach(), before[key], rtol=0, atol=0)

    train(Toy(), tmp_path, SETTINGS)
    rows = [line.split(",")[:3] for line in (tmp_path / "log.csv").read_text().splitlines()]
    logged = [(images, name) for images, group, name in rows if group == "gradient_norms"]
    # The rival has one loss; written with the figures on held-out data.
    assert logged == [("40", "learn/error"), ("40", "learn/size")]


def test_an_exploding_gradient_is_no_step() -> None:
    toy, clip, (stats, applied) = one_step(1e9)
    assert stats["learn/gradient"] > loop.OUTLIER * clip
    assert not applied
    for moved, fresh in zip(*(t.networks["student"].parameters() for t in (toy, Toy())), strict=True):
        assert torch.equal(moved, fresh)


def one_step(factor: float) -> tuple[Toy, float, tuple[dict[str, float], bool]]:
    toy = Toy(lambda images: factor)
    settings = replace(SETTINGS, images=4, clip=0.1)
    context = init_distributed("cpu")
    state = State.fresh(toy, settings, context.device)
    batch = {key: torch.from_numpy(value[None]) for key, value in toy.sample(0).items()}
    return toy, settings.clip, loop.step(toy.phases()[0], state, batch, settings, context)


def test_muon_is_for_the_network_that_is_averaged() -> None:
    context = init_distributed("cpu")
    plain = State.fresh(Toy(), SETTINGS, context.device).optimizers
    other = State.fresh(Toy(), replace(SETTINGS, optimizer="muon"), context.device).optimizers
    assert {type(optimizer) for optimizer in plain.values()} == {torch.optim.Adam}
    assert type(other["student"]) is Muon
    assert type(other["rival"]) is torch.optim.Adam


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    settings = LoopSettings(images=1000, batch=10, rate=2.0, warmup=100)
    assert learning_rate(settings, 0, 0) == pytest.approx(0.2)
    assert learning_rate(settings, 40, 0) == pytest.approx(2 * 0.5 * 0.5 * (1 + np.cos(0.04 * np.pi)))
    assert learning_rate(settings, 500, 0) == pytest.approx(1.0)
    assert learning_rate(settings, 1000, 0) == pytest.approx(0)
    assert learning_rate(settings, 2000, 0) == pytest.approx(0)
    timed = LoopSettings(hours=2, batch=10, rate=2.0, warmup=0)
    assert learning_rate(timed, 0, 0) == pytest.approx(2)
    assert learning_rate(timed, 10**9, 3600) == pytest.approx(1)
    assert learning_rate(timed, 0, 7200) == pytest.approx(0)


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_the_average_has_its_half_life(batch: int) -> None:
    network = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
    nn.init.zeros_(network[0].weight)
    ema = EMA(network, half_life=64)
    nn.init.ones_(network[0].weight)
    for _ in range(64 // batch):
        ema.update(network, batch, images=10**6)
    assert float(ema.network[0].weight) == pytest.approx(0.5, abs=1e-5)
    assert not ema.network.training
    assert not any(p.requires_grad for p in ema.network.parameters())


def test_the_average_forgets_the_random_start_quickly() -> None:
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    ema = EMA(network, half_life=10_000)
    nn.init.ones_(network.weight)
    for images in range(4, 201, 4):
        ema.update(network, 4, images)
    assert float(ema.network.weight) > 0.99


def test_the_average_takes_buffers_as_they_are() -> None:
    network = nn.BatchNorm1d(2)
    ema = EMA(network, half_life=1000)
    network(torch.randn(8, 2) + 5)
    ema.update(network, 8, 8)
    assert_same(dict(ema.network.named_buffers()), dict(network.named_buffers()))
