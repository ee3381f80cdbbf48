"""Training of the progressive GAN: it learns, resumes to the last bit, trains its steps in their order."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

from train_pictures import write_pictures  # noqa: E402

from revisage.cli import main  # noqa: E402
from revisage.errors import TrainingError, UsageError  # noqa: E402
from revisage.lab.data.loader import Sample  # noqa: E402
from revisage.lab.data.prepare.landmarks68 import open_landmark_detector  # noqa: E402
from revisage.lab.data.prepare.whole import prepare_whole, read_points  # noqa: E402
from revisage.lab.train import checkpoint, presets  # noqa: E402
from revisage.lab.train.loop import train  # noqa: E402
from revisage.lab.train.task import Batch  # noqa: E402
from revisage.lab.train.tasks.progressive import (  # noqa: E402
    ProgressiveTask,
    Schedule,
    person,
    returned,
)
from revisage.zoo import read_contract  # noqa: E402

OBJECTIVES = {"upscale": 16, "restore": 128}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("faces") / "pictures", side=160, training=5, held=1)


def tiny(objective: str, data: Path, **changes: Any) -> ProgressiveTask:
    preset = presets.choose(f"progressive-{objective}", "tiny")
    task = preset.make(replace(preset.task(data), validation=1, held=0.05, **changes))
    assert isinstance(task, ProgressiveTask)
    return task


def batch_of(task: ProgressiveTask, count: int = 2) -> Batch:
    samples = [task.sample(index) for index in range(count)]
    return {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}


@torch.no_grad()
def errors(task: ProgressiveTask) -> list[float]:
    """The mean absolute error of steps 1, 2 and 3."""
    batch = batch_of(task, 16)
    return [phase.losses(batch)["l1"].item() for phase in task.phases() if phase.network == "generator"]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_tiny_preset_learns(objective: str, pictures: Path, tmp_path: Path) -> None:
    task = tiny(objective, pictures)
    loop = presets.choose(f"progressive-{objective}", "tiny").loop
    before, error = task.validate(task.networks["generator"].eval()), errors(task)
    network = train(task, tmp_path, replace(loop, images=128, rate=8e-3, threads=1))
    after = task.validate(network)
    assert after.keys() == {
        f"{kind}{name}" for kind in ("", "input_") for name in ("psnr", "ssim", "ms_ssim")
    }
    assert all(now < 0.995 * then for now, then in zip(errors(task), error, strict=True))  # at every step
    assert all(after[key] == before[key] for key in after if key.startswith("input_"))
    with Image.open(next((tmp_path / "samples").iterdir())) as sheet:  # input, three steps, truth
        assert sheet.size == (2 * 5 * 128, 128)
        assert np.asarray(sheet)[:, : 5 * 128].std() > 10


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_killed_training_goes_on_to_the_same_last_bit(
    objective: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = presets.choose(f"progressive-{objective}", "tiny").loop
    settings = replace(loop, images=16, batch=4, precision="fp32", threads=1)
    train(tiny(objective, pictures), tmp_path / "whole", settings)

    killed = tiny(objective, pictures)
    sample = killed.sample

    def interrupted(index: int) -> Sample:
        if index >= 8:
            raise KeyboardInterrupt
        return sample(index)

    monkeypatch.setattr(killed, "sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(killed, tmp_path / "killed", replace(settings, save_every=0))
    train(tiny(objective, pictures), tmp_path / "killed", replace(settings, loaders=2))

    states = []
    for run in ("whole", "killed"):
        path = checkpoint.newest(tmp_path / run / "checkpoints")
        assert path is not None
        states.append(checkpoint.load(path))
    whole, other = states
    assert whole["images"] == other["images"] == 16
    for name in ("generator", "critic"):
        for key, value in whole["networks"][name].items():
            assert torch.equal(value, other["networks"][name][key]), key


def test_steps_are_trained_in_their_order_generator_and_critic_in_turn(pictures: Path) -> None:
    task = tiny("upscale", pictures, early=1)
    phases = task.phases()
    assert [(p.name, p.network, p.interval) for p in phases] == [
        ("step1", "generator", 1),
        ("critic1", "critic", 1),
        ("step2", "generator", 1),
        ("critic2", "critic", 1),
        ("step3", "generator", 1),
        ("critic3", "critic", 1),
    ]
    batch = batch_of(task)
    names = [set(phase.losses(batch)) for phase in phases]
    assert names[0] == {"l1", "adversarial"}
    assert names[2] == names[4] == {"l1", "attention", "adversarial"}
    assert names[1] == {"wasserstein", "penalty"}
    assert batch["fake"].shape == (2, 3, 128, 128)
    sparse = tiny("upscale", pictures, early=3).phases()
    assert [phase.interval for phase in sparse] == [3, 3, 3, 3, 1, 1]


def test_without_an_adversarial_weight_there_is_no_critic(pictures: Path) -> None:
    weights = tiny("upscale", pictures).settings.loss_weights
    task = tiny("upscale", pictures, loss_weights=replace(weights, adversarial=Schedule(0.0)))
    assert [phase.name for phase in task.phases()] == ["step1", "step2", "step3"]
    assert task.phases()[0].losses(batch_of(task)).keys() == {"l1"}


def test_weights_follow_the_epoch_of_the_sample(pictures: Path) -> None:
    weights = tiny("upscale", pictures).settings.loss_weights
    task = tiny("upscale", pictures, loss_weights=replace(weights, pixel=Schedule(1.0, 2.0)))
    count = len(task.training)
    assert task.sample(0)["epoch"] == 0
    assert task.sample(5 * count)["epoch"] == 5
    phase, batch = task.phases()[0], batch_of(task)
    losses = []
    for epoch in (0.0, 3.0):
        batch["epoch"] = torch.full((2,), epoch)
        losses.append(phase.losses(batch)["l1"].item())
    assert losses[1] == pytest.approx(7 * losses[0], rel=1e-4)


def test_in_the_papers_preset_the_adversarial_loss_leads_first(tmp_path: Path) -> None:
    """By the length of gradients at 128 px: 1 of a critic with slope 1, against that of the mean error."""
    weights = presets.choose("progressive-upscale", "paper").task(tmp_path).loss_weights
    length = 1 / np.sqrt(3 * 128 * 128)
    leads = [weights.adversarial.at(epoch) > weights.pixel.at(epoch) * length for epoch in range(102)]
    assert leads[0]
    assert not leads[-1]
    assert leads == sorted(leads, reverse=True)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_sample_is_drawn_from_its_number_and_the_seed(objective: str, pictures: Path) -> None:
    one, other = tiny(objective, pictures), tiny(objective, pictures)
    other.sample(3)  # what was drawn before does not matter
    sample, side = one.sample(7), OBJECTIVES[objective]
    assert sample["low"].shape == (3, side, side)
    assert sample["clean"].shape == (3, 128, 128)
    assert sample["landmarks64"].shape == sample["landmarks128"].shape == (68, 2)
    for key, value in other.sample(7).items():
        np.testing.assert_array_equal(sample[key], value)
        assert value.dtype == np.float32
    assert not np.array_equal(sample["low"], tiny(objective, pictures, seed=1).sample(7)["low"])


def test_a_thumbnail_that_went_through_128_pixels_is_a_little_softer() -> None:
    low = np.random.default_rng(0).random((16, 16, 3), np.float32)
    back = returned(low)
    assert back.shape == low.shape
    assert 0 <= back.min() <= back.max() <= 1
    assert 0.7 < back.std() / low.std() < 1
    assert np.corrcoef(low.ravel(), back.ravel())[0, 1] > 0.95


def test_people_are_split_by_folder_or_by_the_name_before_the_number(tmp_path: Path) -> None:
    assert person(tmp_path / "Ann_Lee" / "x.jpg", tmp_path) == "Ann_Lee"
    assert person(tmp_path / "Ann_Lee_0012.jpg", tmp_path) == "Ann_Lee"
    assert person(tmp_path / "IMG_0012.jpg", tmp_path) == "IMG_0012"
    for name in ("Ann", "Bob", "Cem", "Dora", "Eve", "Fay", "Gus", "Hal"):
        for number in (1, 2):
            path = tmp_path / "lfw" / f"{name}_Lee_{number:04d}.png"
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (128, 128), "gray").save(path)
    preset = presets.choose("progressive-upscale", "tiny")
    task = preset.make(replace(preset.task(tmp_path / "lfw"), held=0.3, validation=16))
    assert isinstance(task, ProgressiveTask)
    sides = [{path.stem.split("_")[0] for path in side.paths} for side in (task.training, task.held)]
    assert sides[0]
    assert sides[1]
    assert not sides[0] & sides[1]
    assert np.isnan(task.sample(0)["landmarks128"]).all()  # no face in them, and attention does without
    assert task.phases()[2].losses(batch_of(task))["attention"].item() == 0


def test_the_table_of_landmarks_is_used_where_there_is_one(pictures: Path, tmp_path: Path) -> None:
    prepare_whole(pictures, tmp_path / "out", open_landmark_detector("estimate"))
    folder = tmp_path / "out" / "pictures"
    table = folder.with_name("pictures.csv")
    rows = table.read_text().splitlines()
    wanted = np.arange(136, dtype=np.float32).reshape(68, 2) / 2
    numbers = ",".join(f"{value:.2f}" for value in wanted.ravel())
    changed = [rows[0], *(",".join([*row.split(",")[:3], numbers]) for row in rows[1:])]
    table.write_text("\n".join(changed) + "\n")
    assert len(read_points(table)) == 6
    task = tiny("upscale", folder)
    found = {float(task.sample(index)["landmarks64"][8, 0]) for index in range(8)}
    assert found == {float(wanted[8, 0]), float(63 - wanted[8, 0])}  # as it is, and mirrored
    table.write_text("\n".join(changed[:2]) + "\n")
    short = tiny("upscale", folder)
    with pytest.raises(TrainingError, match=r"pictures\.csv does not list"):
        [short.sample(index) for index in range(8)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held": 0.0}, "held lies between"),
        ({"penalty_share": 0.0}, "penalty_share"),
        ({"early": 0}, "early must be at least 1"),
        ({"validation": 0}, "validation must be at least 1"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        replace(presets.choose("progressive-upscale", "tiny").task(tmp_path), **changes)


def test_the_command_trains_and_its_run_is_exported(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    run, out = tmp_path / "run", tmp_path / "model.onnx"
    command = ["train", "progressive", "--objective", "upscale", "--data", str(pictures), "--out", str(run)]
    changes = ["images=8", "batch=4", "precision=fp32", "threads=1", "validation=1", "held=0.05"]
    assert main([*command, "--preset", "tiny", "--set", *changes]) == 0
    assert main(["export", str(run), str(out)]) == 0
    contract = read_contract(out)
    assert (contract.task, contract.size) == ("face", 16)


def test_the_objective_belongs_to_progressive(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["progressive"], ["gfpgan", "--objective", "upscale"]):
        assert main(["train", *arguments, "--data", str(pictures), "--out", str(tmp_path / "run")]) == 2
        assert "--objective upscale or restore" in capsys.readouterr().err
