"""Real-ESRGAN's training: both stages, the published degradation, the pool of pairs, the sharpened truth."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

from train_pictures import write_pictures  # noqa: E402

from revisage.errors import RevisageError, UsageError  # noqa: E402
from revisage.lab.data.pictures import Pictures, find_pictures  # noqa: E402
from revisage.lab.degrade import RECIPES, Chain  # noqa: E402
from revisage.lab.degrade.camera import GaussianNoise  # noqa: E402
from revisage.lab.degrade.damage import Scratches  # noqa: E402
from revisage.lab.degrade.esrgan import SecondOrder  # noqa: E402
from revisage.lab.losses.pixel import l1  # noqa: E402
from revisage.lab.networks.compact import Compact  # noqa: E402
from revisage.lab.networks.imagenet import VGG19Features  # noqa: E402
from revisage.lab.networks.rrdb import RRDBNet  # noqa: E402
from revisage.lab.train import checkpoint, presets  # noqa: E402
from revisage.lab.train.loop import train  # noqa: E402
from revisage.lab.train.publish import publish  # noqa: E402
from revisage.lab.train.scenes import crowd, ramp, under_marks, vary  # noqa: E402
from revisage.lab.train.settings import change  # noqa: E402
from revisage.lab.train.tasks.realesrgan import (  # noqa: E402
    SceneSettings,
    SceneTask,
    build,
    degrade,
)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def tiny(data: Path, **changes: Any) -> SceneTask:
    return SceneTask(change(presets.choose("realesrgan", "tiny").task(data), changes))


def batch_of(task: SceneTask, count: int = 2) -> dict[str, Any]:
    samples = [task.sample(i) for i in range(count)]
    return {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}


def noisy(rng: np.random.Generator) -> Chain:
    return Chain((GaussianNoise(0.15, False, int(rng.integers(2**31))),))


def test_adversarial_training_lowers_its_loss_on_held_out_photos(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One kind of damage, which a few steps suffice to learn about.
    monkeypatch.setitem(RECIPES, "first-order", replace(RECIPES["first-order"], sample=noisy))
    task = tiny(pictures, adversarial=0.01, perceptual=0.0, sharpened=True)
    before = task.validate(task.networks["generator"].eval())
    loop = replace(presets.choose("realesrgan", "tiny").loop, images=256, threads=1)
    after = task.validate(train(task, tmp_path, loop))
    assert after["closeness"] > 0.8 * before["closeness"]  # both are negative
    best = checkpoint.load(tmp_path / "checkpoints" / "best.pt")
    assert best["best"] == after["closeness"]
    # The critic has learned as well: it tells the truth from what the generator makes of it.
    critic, batch = task.networks["discriminator"].eval(), batch_of(task, 8)
    with torch.no_grad():
        fake = task.networks["generator"](batch["low"])
        assert critic(batch["clean"]).mean() > critic(fake).mean()


def test_stage_two_updates_each_network_by_its_own_losses(pictures: Path, tmp_path: Path) -> None:
    weights = tmp_path / "vgg19.pth"
    torch.save(VGG19Features().state_dict(), weights)
    task = tiny(pictures, adversarial=0.1, vgg_weights=weights, sharpened=True)
    generator, discriminator = task.phases()
    batch = batch_of(task)
    losses = generator.losses(batch)
    assert losses.keys() == {"l1", "perceptual", "adversarial"}
    for name, loss in losses.items():
        (gradient,) = torch.autograd.grad(
            loss, task.networks["generator"].get_parameter("body.0.weight"), retain_graph=True
        )
        assert gradient.abs().sum() > 0, name
    losses = discriminator.losses(batch)
    losses["logistic"].backward()
    critic = task.networks["discriminator"]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in critic.parameters())
    assert all(p.grad is None for p in task.networks["generator"].parameters())
    assert task.validate(task.networks["generator"].eval())["closeness"] < 0


def test_stage_two_says_what_its_perceptual_loss_needs(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"set vgg_weights=FILE, .* or perceptual=0"):
        tiny(pictures, adversarial=0.1)
    preset = presets.choose("realesrgan", "realesrgan-x2")
    settings = preset.task(pictures)
    with pytest.raises(UsageError, match=r"vgg_weights=FILE"):
        preset.make(settings)
    (tmp_path / "vgg19.pth").write_bytes(b"nonsense")
    with pytest.raises(RevisageError, match=r"vgg19\.pth"):
        tiny(pictures, adversarial=0.1, vgg_weights=tmp_path / "vgg19.pth")


def test_the_critic_sees_the_plain_truth_and_the_generator_aims_at_the_sharpened(pictures: Path) -> None:
    task = tiny(pictures, sharpened=True)
    batch = batch_of(task, 4)
    assert not torch.equal(batch["sharp"], batch["clean"])
    assert (batch["sharp"] - batch["clean"]).abs().mean() < 0.03
    losses = task.phases()[0].losses(batch)
    fake = task.networks["generator"](batch["low"])
    torch.testing.assert_close(losses["l1"], l1(fake, batch["sharp"]))
    assert "sharp" not in tiny(pictures).sample(0)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("tiny", Compact), ("realesrnet-x2", RRDBNet), ("realesrgan-x2", RRDBNet)],
)
def test_presets_train_the_network_that_they_ship(name: str, kind: type, pictures: Path) -> None:
    preset = presets.choose("realesrgan", name)
    settings = preset.task(pictures)
    assert isinstance(settings, SceneSettings)
    with torch.device("meta"):
        assert isinstance(build(settings.network), kind)


def test_the_published_degradation_ends_at_the_networks_input(pictures: Path) -> None:
    settings = replace(tiny(pictures).settings, recipe="second-order")
    clean = np.random.default_rng(0).random((64, 64, 3), np.float32)
    low, tones = degrade(np.random.default_rng(1), clean, settings)
    assert low.shape == (32, 32, 3)
    assert low.dtype == np.float32
    assert tones.steps == ()
    drawn = replace(SecondOrder.sample(np.random.default_rng(1)), scale=2)
    np.testing.assert_array_equal(low, drawn.reduce(clean))
    assert drawn.apply(clean).shape == clean.shape


def test_a_pooled_pair_gives_different_patches_of_one_degradation(pictures: Path) -> None:
    task, again = tiny(pictures, pool=8, reuse=4), tiny(pictures, pool=8, reuse=4)
    numbers = [task.pool.number(i) for i in range(8)]
    assert sorted(numbers) == [0] * 4 + [1] * 4
    first, second = [i for i in range(8) if numbers[i] == numbers[0]][:2]
    assert not np.array_equal(task.sample(first)["low"], task.sample(second)["low"])
    np.testing.assert_array_equal(again.sample(second)["low"], task.sample(second)["low"])


def test_varied_light_keeps_the_range_and_the_structure() -> None:
    picture = np.random.default_rng(0).random((8, 8, 3), np.float32)
    changed = 0
    for seed in range(40):
        other = vary(np.random.default_rng(seed), picture)
        assert other.dtype == np.float32
        assert 0 <= other.min() <= other.max() <= 1
        # Some channel still holds the first channel's pattern.
        assert (
            max(np.corrcoef(picture[..., 0].ravel(), other[..., c].ravel())[0, 1] for c in range(3)) > 0.999
        )
        changed += not np.array_equal(other, picture)
    assert 15 < changed < 35


def test_a_ramp_is_smooth_and_finer_than_8_bits() -> None:
    ramps = [ramp(np.random.default_rng(i), 160) for i in range(40)]
    assert all(r.shape == (160, 160, 3) and r.dtype == np.float32 for r in ramps)
    assert all(r.min() >= 0 and r.max() <= 1 for r in ramps)
    assert max(np.abs(np.diff(r, axis=a)).max() for r in ramps for a in (0, 1)) < 0.02
    assert any(len(np.unique(r[..., 0])) > 1000 and np.ptp(r) < 0.02 for r in ramps)


def test_a_crowd_has_faces_of_three_sizes(pictures: Path) -> None:
    faces = Pictures(find_pictures(pictures))
    least = min(min(face.shape[:2]) for face in (faces[i] for i in range(len(faces))))
    crowds = [crowd(np.random.default_rng(i), faces) for i in range(30)]
    assert all(c.dtype == np.uint8 and min(c.shape[:2]) >= least // 4 * 4 for c in crowds)
    singles = [c for c in crowds if any(np.array_equal(c, faces[i]) for i in range(len(faces)))]
    assert 6 < len(singles) < 24


def test_marks_are_told_from_other_damage() -> None:
    rng = np.random.default_rng(3)
    clean = np.full((96, 96, 3), 0.3, np.float32)
    marked = Scratches(6, 2.0, 1.0, 1.0, 0.5, 0.3, 0.0, 5).apply(clean)
    noisy_one = np.clip(clean + rng.normal(0, 0.15, clean.shape), 0, 1).astype(np.float32)
    low, truth = (
        torch.from_numpy(np.stack(p).transpose(0, 3, 1, 2)) for p in ([marked, noisy_one], [clean] * 2)
    )
    found = under_marks(low, truth.repeat_interleave(2, 2).repeat_interleave(2, 3))
    drawn = (np.abs(marked - clean).max(2) > 24 / 255).repeat(2, 0).repeat(2, 1)
    assert drawn.any()
    assert np.array_equal(found[0, 0].numpy(), drawn)
    assert not found[1].any()


def test_a_training_is_published_and_gone_on_from_its_file(pictures: Path, tmp_path: Path) -> None:
    loop = replace(presets.choose("realesrgan", "tiny").loop, images=16, threads=1)
    run = tmp_path / "run"
    trained = train(tiny(pictures), run, loop)
    path = tmp_path / "tiny.onnx"
    assert publish(run, path, name="tiny", version="1", licence="none", newest=True).passed
    task = tiny(pictures, adversarial=0.1, perceptual=0.0)  # stage 2 starts from stage 1
    stage_two = train(task, tmp_path / "two", replace(loop, rate=1e-9), init=path)
    low = torch.rand(1, 3, 32, 32)
    assert (trained(low) - stage_two(low)).abs().max() < 2 / 255
