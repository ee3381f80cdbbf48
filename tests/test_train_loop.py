"""The training loop, on a toy: what is killed and started again, skipped, kept and refused."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

from rich.console import Console  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from revisage.errors import TrainingError, UsageError  # noqa: E402
from revisage.lab.data.loader import Sample  # noqa: E402
from revisage.lab.train import checkpoint, loop, muon, precision  # noqa: E402
from revisage.lab.train.distributed import init_distributed  # noqa: E402
from revisage.lab.train.init import start_from  # noqa: E402
from revisage.lab.train.log import Log, read_log  # noqa: E402
from revisage.lab.train.loop import learning_rate, train  # noqa: E402
from revisage.lab.train.muon import Muon  # noqa: E402
from revisage.lab.train.settings import LoopSettings  # noqa: E402
from revisage.lab.train.state import EMA, State  # noqa: E402
from revisage.lab.train.task import Phase  # noqa: E402

SETTINGS = LoopSettings(
    images=40, batch=4, rate=0.05, warmup=8, ema=16, precision="fp32", threads=1, save_every=0
)
STEPS = 10


class Toy:
    """A student learns from a noisy teacher, beside a rival that is updated in every third step.

    `at(images)` is called before each step's first loss and may raise; its answer multiplies the loss.
    """

    averaged = "student"
    best = "score"

    def __init__(self, at: Callable[[int], float] = lambda images: 1.0, width: int = 5) -> None:
        torch.manual_seed(0)
        student = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 1, 3)
        )
        self.networks: dict[str, nn.Module] = {"student": student, "rival": nn.Conv2d(1, 1, 3)}
        self.at = at
        self.seen: dict[str, set[int]] = {"student": set(), "rival": set()}
        self.scores = iter([1.0, 5.0, 2.0, 1.0])

    @property
    def steps(self) -> dict[str, int]:
        """Different batches that each network was given."""
        return {name: len(seen) for name, seen in self.seen.items()}

    def phases(self) -> list[Phase]:
        return [Phase("learn", "student", self._learn), Phase("copy", "rival", self._copy, interval=3)]

    def sample(self, index: int) -> Sample:
        x = np.random.default_rng(index).random((1, 6, 6), np.float32)
        return {"image": x, "y": np.roll(x, 1, axis=2)[:, 1:-1, 1:-1], "index": np.array(index)}

    def _learn(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.seen["student"].add(int(batch["index"][0]))
        factor = self.at(int(batch["index"][0]))
        noise = 0.1 * torch.randn_like(batch["image"])  # what is drawn in a step must come back as well
        answer = self.networks["student"](batch["image"] + noise)
        return {"error": factor * (answer - batch["y"]).square().mean(), "size": 0.01 * answer.abs().mean()}

    def _copy(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.seen["rival"].add(int(batch["index"][0]))
        with torch.no_grad():
            answer = self.networks["student"](batch["image"])
        return {"distance": (self.networks["rival"](batch["image"]) - answer).abs().mean()}

    def validate(self, network: nn.Module) -> dict[str, float]:
        assert not network.training
        return {"score": next(self.scores)}

    def pictures(self, network: nn.Module) -> np.ndarray:
        return np.zeros((4, 4, 3), np.uint8)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the loop's clock finds one second gone."""
    seconds = iter(range(10**6))

    class Clock:
        monotonic = staticmethod(lambda: float(next(seconds)))

    monkeypatch.setattr(loop, "time", Clock)


def checkpoints(run: Path) -> list[str]:
    return sorted(path.stem for path in (run / "checkpoints").iterdir())


def final(run: Path) -> dict[str, Any]:
    path = checkpoint.newest(run / "checkpoints")
    assert path is not None
    state = checkpoint.load(path)
    del state["seconds"]
    return state


def assert_same(one: Any, other: Any) -> None:
    """Equal to the last bit, whatever is nested."""
    assert type(one) is type(other)
    if isinstance(one, Tensor):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    else:
        assert one == other


def kill_at(images: int) -> Callable[[int], float]:
    def at(now: int) -> float:
        if now >= images:
            raise KeyboardInterrupt
        return 1.0

    return at


def test_a_killed_training_goes_on_to_the_same_last_bit(tmp_path: Path) -> None:
    whole = train(Toy(), tmp_path / "whole", SETTINGS)
    for images in (8, 20, 36):
        with pytest.raises(KeyboardInterrupt):
            train(Toy(kill_at(images)), tmp_path / "killed", SETTINGS)
    other = train(Toy(), tmp_path / "killed", replace(SETTINGS, loaders=3))
    assert_same(final(tmp_path / "whole"), final(tmp_path / "killed"))
    assert_same(dict(whole.state_dict()), dict(other.state_dict()))


def test_steps_after_the_last_checkpoint_are_trained_again(tmp_path: Path) -> None:
    train(Toy(), tmp_path / "whole", SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        train(Toy(kill_at(24)), tmp_path / "killed", SETTINGS)
    newest = checkpoint.newest(tmp_path / "killed" / "checkpoints")
    assert newest is not None
    newest.unlink()
    again = Toy()
    train(again, tmp_path / "killed", SETTINGS)
    assert again.steps["student"] == 5  # 20 of 40 images were kept
    assert_same(final(tmp_path / "whole"), final(tmp_path / "killed"))


def test_what_a_step_draws_depends_on_the_seed(tmp_path: Path) -> None:
    train(Toy(), tmp_path / "one", SETTINGS)
    train(Toy(), tmp_path / "other", replace(SETTINGS, seed=1))
    name = "0.weight"
    one, other = (final(tmp_path / run)["networks"]["student"][name] for run in ("one", "other"))
    assert not torch.equal(one, other)


def test_a_finished_training_is_left_alone(tmp_path: Path) -> None:
    train(Toy(), tmp_path, SETTINGS)
    before = final(tmp_path)
    again = Toy()
    network = train(again, tmp_path, SETTINGS)
    assert again.steps == {"student": 0, "rival": 0}
    assert_same(dict(network.state_dict()), dict(before["ema"]))
    assert_same(final(tmp_path), before)


def test_a_longer_training_goes_on_from_a_finished_one(tmp_path: Path) -> None:
    train(Toy(), tmp_path, SETTINGS)
    again = Toy()
    train(again, tmp_path, replace(SETTINGS, images=60))
    assert again.steps["student"] == 5


def test_phases_keep_their_interval_over_a_restart(tmp_path: Path) -> None:
    toy = Toy()
    train(toy, tmp_path / "whole", SETTINGS)
    assert toy.steps == {"student": STEPS, "rival": 4}  # steps 0, 3, 6 and 9
    with pytest.raises(KeyboardInterrupt):
        train(Toy(kill_at(16)), tmp_path / "killed", SETTINGS)
    again = Toy()
    train(again, tmp_path / "killed", SETTINGS)
    assert again.steps == {"student": 6, "rival": 2}  # steps 6 and 9


@pytest.mark.usefixtures("clock")
def test_the_newest_few_checkpoints_and_the_best_are_kept(tmp_path: Path) -> None:
    train(Toy(), tmp_path, replace(SETTINGS, save_every=3, validate_every=4))
    # Saved at steps 3, 6, 9 and 10; validated at 4, 8 and 10 with the scores 1, 5 and 2.
    assert checkpoints(tmp_path) == ["best", "images-0000000036", "images-0000000040"]
    best = checkpoint.load(tmp_path / "checkpoints" / "best.pt")
    assert (best["images"], best["best"]) == (32, 5.0)
    assert sorted(p.name for p in (tmp_path / "samples").iterdir()) == [
        "0000000016.png",
        "0000000032.png",
        "0000000040.png",
    ]


@pytest.mark.usefixtures("clock")
def test_the_best_score_outlives_a_restart(tmp_path: Path) -> None:
    settings = replace(SETTINGS, validate_every=4)
    with pytest.raises(KeyboardInterrupt):
        train(Toy(kill_at(36)), tmp_path, settings)
    again = Toy()
    again.scores = iter([4.0, 4.0])
    train(again, tmp_path, settings)
    assert checkpoint.load(tmp_path / "checkpoints" / "best.pt")["best"] == 5.0


@pytest.mark.usefixtures("clock")
def test_a_training_can_be_as_long_as_a_time(tmp_path: Path) -> None:
    settings = replace(SETTINGS, images=None, hours=7 / 3600)
    toy = Toy()
    train(toy, tmp_path, settings)
    assert toy.steps["student"] == 7
    again = Toy()
    train(again, tmp_path, replace(settings, hours=9 / 3600))
    assert again.steps["student"] == 2


def test_a_log_is_written(tmp_path: Path) -> None:
    train(Toy(lambda images: float("nan") if images == 12 else 1.0), tmp_path, SETTINGS)
    rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
    found = {(group, name): float(value) for _, group, name, value in rows}
    assert found["validation", "score"] == 1.0
    assert found["train", "skipped"] == 1
    assert 0 < found["train", "learn/error"] < 10
    assert 0 < found["train", "copy/distance"] < 10
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_terminal_shows_speed_time_left_and_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = io.StringIO()
    terminal = Console(file=text, force_terminal=True, width=120, highlight=False)
    seconds = iter((0.0, 10.0))
    monkeypatch.setattr("revisage.lab.train.log.Console", lambda **_: terminal)
    monkeypatch.setattr("revisage.lab.train.log.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    log = Log(tmp_path, replace(SETTINGS, images=640), images=0)
    log.tick(40, 10.0, 0.01, waited=2.5, force=False)  # 4 a second, 600 to come
    log.close()
    assert "40 images  4.0 images/s  2 min left  25% waiting for data" in text.getvalue()


def test_a_log_has_every_step_once_after_a_kill(tmp_path: Path) -> None:
    settings = replace(SETTINGS, log_every=0)
    train(Toy(), tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        train(Toy(kill_at(24)), tmp_path / "killed", settings)
    newest = checkpoint.newest(tmp_path / "killed" / "checkpoints")
    assert newest is not None
    newest.unlink()  # two steps are in the log that will be trained again
    with (tmp_path / "killed" / "log.csv").open("a") as file:
        file.write("24,train,learn/er")  # and one was being written
    train(Toy(), tmp_path / "killed", settings)
    whole, killed = (
        [
            row[:3]
            for row in csv.reader((tmp_path / run / "log.csv").open(newline=""))
            if row[2] not in ("images/s", "data wait")
        ]
        for run in ("whole", "killed")
    )
    assert whole == killed


def test_losses_are_averaged_over_the_steps_that_had_them(tmp_path: Path) -> None:
    class Constant(Toy):
        def _learn(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: 0 * loss + 7 for name, loss in super()._learn(batch).items()}

        def _copy(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
            return {name: 0 * loss + 3 for name, loss in super()._copy(batch).items()}

    train(Constant(), tmp_path, SETTINGS)
    text = (tmp_path / "log.csv").read_text()
    assert "train,learn/error,7\n" in text.replace("\r", "")
    assert "train,copy/distance,3\n" in text.replace("\r", "")


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


def test_a_light_training_saves_small_weights_alone_and_can_be_begun_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "PART", 100)
    toy = Toy()
    network = train(toy, tmp_path, replace(SETTINGS, light=True))
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == [f"weights-{i}.pt" for i in range(len(names))]
    assert len(names) > 1
    for name, value in checkpoint.averaged(tmp_path).tensors.items():
        torch.testing.assert_close(value, network.state_dict()[name], rtol=1e-3, atol=1e-4)
    other = Toy()
    assert start_from(other.networks["student"], tmp_path) == []
    weight = other.networks["student"].state_dict()["0.weight"]
    torch.testing.assert_close(weight, network.state_dict()["0.weight"], rtol=1e-3, atol=1e-4)
    (tmp_path / "checkpoints" / "weights-1.pt").unlink()
    with pytest.raises(TrainingError, match=r"cannot read checkpoint .*weights-1"):
        checkpoint.averaged(tmp_path)


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
    logged = read_log(tmp_path / "log.csv")["gradient_norms"]
    assert set(logged) == {"learn/error", "learn/size"}  # the rival has one loss
    assert logged["learn/size"][:, 0].tolist() == [40]  # with the figures on held-out data


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


def test_a_foreign_checkpoint_is_refused(tmp_path: Path) -> None:
    train(Toy(), tmp_path, SETTINGS)
    with pytest.raises(TrainingError, match="is of another network") as caught:
        train(Toy(width=6), tmp_path, replace(SETTINGS, images=80))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["optimizers", "ema", "images", "best"])
def test_a_checkpoint_with_a_part_missing_is_refused(tmp_path: Path, missing: str) -> None:
    train(Toy(), tmp_path, SETTINGS)
    path = checkpoint.newest(tmp_path / "checkpoints")
    assert path is not None
    state = checkpoint.load(path)
    del state[missing]
    checkpoint.save(path.parent, path.stem, state)
    with pytest.raises(TrainingError, match=missing):
        train(Toy(), tmp_path, replace(SETTINGS, images=80))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    path = checkpoint.save_numbered(folder, 8, {"networks": {}})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TrainingError, match=r"cannot read checkpoint .*images-0000000008") as caught:
        train(Toy(), tmp_path, SETTINGS)
    assert "\n" not in str(caught.value)
    torch.save([1, 2], path)
    with pytest.raises(TrainingError, match="not a checkpoint of this program"):
        checkpoint.load(path)


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"networks": Payload()}, tmp_path / "bad.pt")
    with pytest.raises(TrainingError, match="cannot read checkpoint"):
        checkpoint.load(tmp_path / "bad.pt")
    assert not (tmp_path / "ran").exists()


def test_checkpoints_are_written_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {"networks": {"a": torch.ones(2)}}
    path = checkpoint.save(tmp_path, "best", state)

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(tmp_path, "best", {})
    assert_same(checkpoint.load(path), state)
    assert checkpoint.newest(tmp_path) is None


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "either images or hours"),
        ({"hours": 1.0}, "either images or hours"),
        ({"precision": "fp8"}, "precision must be auto, bf16, fp16, fp32"),
        ({"batch": 0}, "batch must be above 0"),
        ({"images": -1}, "images must be above 0"),
        ({"rate": float("nan")}, "rate must be above 0"),
        ({"ema": 0}, "ema must be above 0"),
        ({"clip": -1.0}, "clip must be above 0"),
        ({"threads": 0}, "threads must be above 0"),
        ({"loaders": 0}, "loaders must be above 0"),
        ({"seed": -1}, "seed must be at least 0"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(SETTINGS, **changes)
