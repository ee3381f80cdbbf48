"""The training loop, on a toy: what is killed and started again, skipped, kept and refused."""

import csv
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

from rich.console import Console  # noqa: E402
from torch import Tensor  # noqa: E402
from train_toy import SETTINGS, STEPS, Toy, assert_same, final  # noqa: E402

from revisage.errors import PictureError, TrainingError, UsageError  # noqa: E402
from revisage.lab.data.loader import Sample  # noqa: E402
from revisage.lab.train import checkpoint, loop  # noqa: E402
from revisage.lab.train.init import start_from  # noqa: E402
from revisage.lab.train.log import Log  # noqa: E402
from revisage.lab.train.loop import train  # noqa: E402


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the loop's clock finds one second gone."""
    seconds = iter(range(10**6))

    class Clock:
        monotonic = staticmethod(lambda: float(next(seconds)))

    monkeypatch.setattr(loop, "time", Clock)


def checkpoints(run: Path) -> list[str]:
    return sorted(path.stem for path in (run / "checkpoints").iterdir())


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
    saved = [path.read_bytes() for path in sorted((tmp_path / "checkpoints").iterdir())]
    with pytest.raises(TrainingError, match="weights of a light training"):
        train(Toy(), tmp_path, replace(SETTINGS, light=True))
    assert [path.read_bytes() for path in sorted((tmp_path / "checkpoints").iterdir())] == saved
    other = Toy()
    assert start_from(other.networks["student"], tmp_path) == []
    weight = other.networks["student"].state_dict()["0.weight"]
    torch.testing.assert_close(weight, network.state_dict()["0.weight"], rtol=1e-3, atol=1e-4)
    (tmp_path / "checkpoints" / "weights-1.pt").unlink()
    with pytest.raises(TrainingError, match=r"cannot read checkpoint .*weights-1"):
        checkpoint.averaged(tmp_path)


@pytest.mark.parametrize("processes", [False, True])
def test_a_picture_that_cannot_be_read_costs_no_training(processes: bool, tmp_path: Path) -> None:
    whole = train(Toy(), tmp_path / "whole", SETTINGS)
    toy, settings = Toy(), replace(SETTINGS, save_every=1e9, processes=processes)

    def sample(index: int) -> Sample:
        if index == 21:
            raise PictureError("cannot use a.png for training: damaged; remove it")
        return Toy.sample(toy, index)

    toy.sample = sample  # type: ignore[method-assign]
    wanted = r"^cannot use a\.png for training: damaged; remove it, and start again: 20 images are kept$"
    with pytest.raises(PictureError, match=wanted):
        train(toy, tmp_path / "run", settings)
    assert checkpoints(tmp_path / "run") == ["images-0000000020"]
    resumed = train(Toy(), tmp_path / "run", SETTINGS)
    assert_same(dict(whole.state_dict()), dict(resumed.state_dict()))


def test_weights_that_are_no_numbers_take_the_place_of_none(tmp_path: Path) -> None:
    train(Toy(), tmp_path, SETTINGS)
    before = checkpoints(tmp_path)
    toy = Toy()

    def broken(images: int) -> float:
        with torch.no_grad():
            toy.networks["rival"].bias.fill_(math.nan)
        return 1.0

    toy.at = broken
    with pytest.raises(TrainingError, match=r"diverged, weights are no .*: lower `rate`.* are from before$"):
        train(toy, tmp_path, replace(SETTINGS, images=60))
    toy = Toy()
    toy.scores = iter([math.nan])  # of weights that are finite and too large
    with pytest.raises(TrainingError, match="diverged, score of the held-out pictures is no number"):
        train(toy, tmp_path, replace(SETTINGS, images=60, save_every=1e9))
    assert checkpoints(tmp_path) == before


def test_a_training_that_diverges_at_once_names_no_checkpoints(tmp_path: Path) -> None:
    toy = Toy(lambda images: math.inf)
    told = r"diverged, 50 steps .* gradients: lower `rate`, or set precision=fp32$"
    with pytest.raises(TrainingError, match=told):
        train(toy, tmp_path, replace(SETTINGS, images=4 * 60, save_every=1e9))
    assert not (tmp_path / "checkpoints").exists()


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
    assert str(caught.value).endswith("delete it to start from the one before")
    with pytest.raises(TrainingError) as caught:  # a prior, say, is not to be given up
        checkpoint.load(path.rename(tmp_path / "prior.pt"))
    assert "delete" not in str(caught.value)
    torch.save([1, 2], path)
    with pytest.raises(TrainingError, match="not a checkpoint of this program"):
        checkpoint.load(path)


def test_what_a_kill_left_half_written_goes_with_the_next_checkpoint(tmp_path: Path) -> None:
    (tmp_path / ".images-0000000004.pt.part").write_bytes(b"half")
    path = checkpoint.save_numbered(tmp_path, 8, {"images": 8})
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"networks": Payload()}, tmp_path / "bad.pt")
    with pytest.raises(TrainingError, match="cannot read checkpoint"):
        checkpoint.load(tmp_path / "bad.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("failure", [OSError("no space left"), RuntimeError("[enforce fail at inline_con")])
def test_checkpoints_are_written_whole(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"networks": {"a": torch.ones(2)}}
    path = checkpoint.save(tmp_path, "best", state)

    def full(_: object, file: Path) -> None:
        file.write_bytes(b"begun")
        raise failure

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(TrainingError, match=r"best\.pt cannot be written: is the disk full"):
        checkpoint.save(tmp_path, "best", {})
    assert_same(checkpoint.load(path), state)
    assert checkpoint.newest(tmp_path) is None
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, "either images or hours"),
        ({"hours": 1.0}, "either images or hours"),
        ({"precision": "fp8"}, "precision 'fp8': choose one of auto, fp32, bf16, fp16"),
        ({"batch": 0}, "batch .*: give a number from 1 to 1048576"),
        ({"batch": 10**30}, "batch .*: give a number from 1 to 1048576"),
        ({"images": -1}, "images .*: give more than 0"),
        ({"rate": float("nan")}, "rate .*: give more than 0"),
        ({"ema": 0}, "ema .*: give more than 0"),
        ({"clip": -1.0}, "clip .*: give more than 0"),
        ({"threads": 0}, "threads .*: give a number from 1 to 4096"),
        ({"loaders": 0}, "loaders .*: give more than 0"),
        ({"seed": -1}, "seed -1: give a number from 0 to"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(SETTINGS, **changes)
