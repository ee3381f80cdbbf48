"""Distillation of the scene model: what it is shown, what it aims at, and the two files that come of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")
pytest.importorskip("torchmetrics")
torchvision = pytest.importorskip("torchvision")

from checkpoints import compact_state, rrdb_state, save  # noqa: E402
from train_pictures import write_pictures  # noqa: E402

from revisage.cli import main  # noqa: E402
from revisage.errors import UsageError  # noqa: E402
from revisage.lab.metrics.weights import read_state  # noqa: E402
from revisage.lab.train import presets  # noqa: E402
from revisage.lab.train.scenes import shrink  # noqa: E402
from revisage.lab.train.settings import change  # noqa: E402
from revisage.lab.train.tasks.distillation import KEEPS, PATTERNED, StudentTask, Teacher  # noqa: E402
from revisage.restore.models import AtStrength  # noqa: E402
from revisage.runtime import open_session  # noqa: E402
from revisage.zoo import read_contract  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pictures, a teacher, its twin, and SqueezeNet as a 16-bit archive, all of random weights."""
    folder = tmp_path_factory.mktemp("distillation")
    torch.manual_seed(0)
    squeezenet = torchvision.models.squeezenet1_1(weights=None).state_dict()
    np.savez(folder / "squeezenet.npz", **{k: v.numpy().astype(np.float16) for k, v in squeezenet.items()})
    return {
        "data": write_pictures(folder / "pictures"),
        "teacher": save(folder / "teacher.pth", compact_state()),
        "twin": save(folder / "twin.pth", compact_state(seed=1)),
        "lpips_weights": folder / "squeezenet.npz",
    }


def tiny(files: dict[str, Path], **changes: Any) -> StudentTask:
    settings = presets.choose("realesrgan", "tiny-student").task(files["data"])
    known = {key: path for key, path in files.items() if key != "data"}
    return StudentTask(change(settings, known | changes))


def test_the_teacher_is_both_networks_mixed_by_weight(files: dict[str, Path]) -> None:
    teacher = Teacher(files["teacher"], files["twin"])
    low = np.random.default_rng(0).random((16, 20, 3), dtype=np.float32)
    ends = [teacher(low, strength) for strength in (0.0, 1.0)]
    assert ends[0].shape == (32, 40, 3)
    assert not np.array_equal(*ends)
    swapped = Teacher(files["twin"], files["teacher"])
    np.testing.assert_allclose(swapped(low, 1.0), ends[0], atol=1e-6)
    np.testing.assert_allclose(swapped(low, 0.5), teacher(low, 0.5), atol=1e-2)


def test_what_needs_nothing_is_its_own_target(files: dict[str, Path]) -> None:
    for shares in ({"clean": 1.0}, {"ramps": 1.0}):
        none = {"clean": 0.0, "pattern": 0.0, "kept": 0.0, "aged": 0.0, "ramps": 0.0}
        task = tiny(files, **(none | shares))
        for index in range(4):
            sample = task.sample(index)
            np.testing.assert_array_equal(sample["target"], sample["truth"])
            small = shrink(sample["truth"].transpose(1, 2, 0), 2).transpose(2, 0, 1)
            np.testing.assert_allclose(sample["low"], small, atol=0.51 / 255)


def test_what_is_to_stay_weighs_more_at_its_own_size(files: dict[str, Path]) -> None:
    def losses(**shares: float) -> dict[str, float]:
        none = {"clean": 0.0, "pattern": 0.0, "kept": 0.0, "aged": 0.0, "ramps": 0.0}
        task = tiny(files, **(none | shares))
        torch.nn.init.ones_(task.networks["generator"].head_x1.bias)
        sample = task.sample(0)
        batch = {key: torch.from_numpy(np.asarray(value))[None] for key, value in sample.items()}
        return {name: float(loss.detach()) for name, loss in task.phases()[0].losses(batch).items()}

    clean, damaged = losses(clean=1.0), losses(aged=1.0)
    assert clean["harmless"] == pytest.approx(3 * clean["l1_x1"])
    assert damaged["harmless"] == 0


def test_a_pattern_stays_at_low_strengths_and_is_the_teachers_at_high_ones(files: dict[str, Path]) -> None:
    task = tiny(files, clean=0.0, pattern=1.0, kept=0.0, aged=0.0, ramps=0.0)
    strengths = set()
    for number in range(12):
        pair = task._pair(number)
        strength = float(pair["strength"])
        strengths.add(strength > PATTERNED)
        if strength > PATTERNED:
            wanted = task.teacher(pair["low"], strength)
            np.testing.assert_allclose(pair["target"], wanted, atol=1e-6)
        else:
            np.testing.assert_allclose(shrink(pair["target"], 2), pair["low"], atol=0.51 / 255)
    assert strengths == {False, True}


def test_damage_is_the_teachers_and_old_prints_are_the_truths(files: dict[str, Path]) -> None:
    taught = tiny(files, clean=0.0, pattern=0.0, kept=0.0, aged=0.0, ramps=0.0)
    for number in range(6):
        pair = taught._pair(number)
        strength = float(pair["strength"])
        same = np.abs(pair["target"] - taught.teacher(pair["low"], strength)).max(axis=2) < 1e-6
        assert same.mean() > 0.8  # all but what lies under marks
        assert np.array_equal(pair["truth"], pair["target"]) == (strength < KEEPS)
    aged = tiny(files, clean=0.0, pattern=0.0, kept=0.0, aged=1.0, ramps=0.0)
    strong = [p for p in map(aged._pair, range(8)) if p["strength"] >= KEEPS]
    assert strong
    assert all(np.array_equal(p["target"], p["truth"]) for p in strong)


def test_pictures_without_a_truth_are_the_teachers(files: dict[str, Path]) -> None:
    task = tiny(files, untouched=files["data"], clean=0.0, pattern=0.0, kept=1.0, aged=0.0, ramps=0.0)
    pair = task._pair(0)
    np.testing.assert_allclose(pair["target"], task.teacher(pair["low"], float(pair["strength"])), atol=1e-6)
    np.testing.assert_array_equal(pair["truth"], pair["target"])


def test_a_sample_depends_on_its_number_alone(files: dict[str, Path]) -> None:
    one, other = tiny(files), tiny(files)
    for index in (3, 17):
        first, again = one.sample(index), other.sample(index)
        assert first.keys() == {"low", "target", "truth", "strength"}
        assert all(np.array_equal(first[key], again[key]) for key in first)
        assert first["low"].shape == (3, 32, 32)
        assert first["truth"].shape == (3, 64, 64)


def test_missing_weights_and_impossible_shares_are_named(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="twin"):
        StudentTask(replace(tiny(files).settings, twin=None))
    with pytest.raises(UsageError, match="must not exceed 1"):
        tiny(files, clean=0.9, aged=0.2)
    with pytest.raises(UsageError, match="SRVGGNetCompact"):
        tiny(files, twin=save(tmp_path / "rrdb.pth", rrdb_state()))


def test_a_16_bit_archive_of_weights_reads_as_the_checkpoint(files: dict[str, Path]) -> None:
    state = read_state(files["lpips_weights"])
    assert state["features.0.weight"].dtype == torch.float32
    assert state["features.0.weight"].shape == (64, 3, 3, 3)


def test_both_sizes_are_exported_and_take_the_strength(files: dict[str, Path], tmp_path: Path) -> None:
    run = tmp_path / "run"
    given = [f"{key}={path}" for key, path in files.items() if key != "data"]
    trained = ["train", "realesrgan", "--preset", "tiny-student", "--data", str(files["data"])]
    settings = ["images=64", "batch=8", "precision=fp32", "threads=1"]
    assert main([*trained, "--out", str(run), "--set", *given, *settings]) == 0
    for scale in (1, 2):
        path = tmp_path / f"x{scale}.onnx"
        assert main(["export", str(run), str(path), "--newest", "--scale", str(scale)]) == 0
        contract = read_contract(path)
        assert (contract.task, contract.scale, contract.control) == ("scene", scale, "clean")
        session = open_session(path, device="cpu", precision="fp32")
        picture = np.random.default_rng(0).random((1, 3, 32, 40), dtype=np.float32)
        gentle, strong = (AtStrength(session, strength).run(picture) for strength in (0.0, 1.0))
        assert gentle.shape == (1, 3, 32 * scale, 40 * scale)
        assert not np.array_equal(gentle, strong)
