"""GFP-GAN's adversarial training, its prior, and training spread over two processes."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402
from train_pictures import write_pictures  # noqa: E402

from revisage.cli import main  # noqa: E402
from revisage.errors import TrainingError, UsageError  # noqa: E402
from revisage.lab.architectures import build, export_network  # noqa: E402
from revisage.lab.data.landmarks import POINT_COLUMNS  # noqa: E402
from revisage.lab.data.pictures import held_out  # noqa: E402
from revisage.lab.degrade import RECIPES  # noqa: E402
from revisage.lab.losses.components import COMPONENTS  # noqa: E402
from revisage.lab.networks.discriminators import Discriminator, DiscriminatorConfig  # noqa: E402
from revisage.lab.networks.gfpgan import GFPGAN, GFPGANConfig, Restored  # noqa: E402
from revisage.lab.networks.prior import PriorConfig  # noqa: E402
from revisage.lab.train import checkpoint, presets  # noqa: E402
from revisage.lab.train.critics import R1_INTERVAL  # noqa: E402
from revisage.lab.train.distributed import DistributedContext, init_distributed  # noqa: E402
from revisage.lab.train.face_losses import FaceWeights, equivariance  # noqa: E402
from revisage.lab.train.faces import split  # noqa: E402
from revisage.lab.train.init import start_from  # noqa: E402
from revisage.lab.train.loop import step, train  # noqa: E402
from revisage.lab.train.presets import TINY_CRITIC  # noqa: E402
from revisage.lab.train.settings import LoopSettings, change  # noqa: E402
from revisage.lab.train.state import State  # noqa: E402
from revisage.lab.train.task import Batch, Task  # noqa: E402
from revisage.lab.train.tasks.gfpgan import COMPONENT_LOSSES, FaceSettings, FaceTask  # noqa: E402
from revisage.lab.train.tasks.prior import PriorTask, load_prior  # noqa: E402

TEMPLATE = np.array([(36.2, 45.0), (59.8, 45.0), (48.1, 58.9), (37.7, 69.6), (58.7, 69.6)])  # at 96 px
LOOP = LoopSettings(images=16, batch=4, rate=1e-3, warmup=0, precision="fp32", threads=1)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with landmarks; none shows a face, which the losses cannot know."""
    return write_table(write_pictures(tmp_path_factory.mktemp("prepared") / "faces"))


def write_table(folder: Path) -> Path:
    """Landmarks near the template's, beside a folder of pictures of 96 px."""
    rng = np.random.default_rng(0)
    with folder.with_name(f"{folder.name}.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "coverage", *POINT_COLUMNS])
        for path in sorted(folder.iterdir()):
            points = TEMPLATE + rng.normal(0, 1, (5, 2))
            table.writerow([path.name, 1.0, *(f"{v:.2f}" for v in points.ravel())])
    return folder


def task_of(faces: Path, **changes: Any) -> FaceTask:
    task = make("gfpgan", faces, **changes)
    assert isinstance(task, FaceTask)
    return task


def make(system: str, faces: Path, **changes: Any) -> Task:
    preset = presets.choose(system, "tiny")
    return preset.make(change(preset.task(faces), {"validation": 2, **changes}))


def batch_of(task: Task, count: int = 4) -> Batch:
    samples = [task.sample(i) for i in range(count)]
    return {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}


def run_step(task: Task, batch: Batch) -> dict[str, float]:
    """All phases once; returns every loss."""
    context = init_distributed("cpu")
    state, stats = State.fresh(task, LOOP, context.device), {}
    for phase in task.phases():
        more, applied = step(phase, state, batch, LOOP, context)
        assert applied
        stats |= more
    return stats


def test_every_loss_of_the_paper_is_there(faces: Path) -> None:
    stats = run_step(task := task_of(faces, checkerboard=50.0, equivariance=0.5), batch_of(task))
    losses = {key for key in stats if not key.endswith("gradient")}
    assert losses == {
        *(f"generator/{n}" for n in ("l1", "laplacian", "pyramid", "description", "adversarial")),
        *(f"generator/{n}" for n in ("checkerboard", "equivariance", "component", "matching", "style")),
        *("discriminator/logistic", "penalty/r1"),
        *(f"components/{component.name}" for component in COMPONENTS),
    }
    assert all(np.isfinite(value) and value > 0 for value in stats.values()), stats


def test_equivariance_sees_what_stays_where_the_face_moves() -> None:
    def blurred(x: Tensor) -> Restored:
        return Restored(F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), [], None)

    pattern = torch.zeros(1, 1, 32, 32)
    pattern[..., ::4, ::4] = 1  # of a stem of 4

    def dotted(x: Tensor) -> Restored:
        return Restored(blurred(x).picture + pattern, [], None)

    low = torch.rand(1, 3, 32, 32)
    still = equivariance(blurred, low, blurred(low).picture)
    assert float(still) < 0.02
    assert float(equivariance(dotted, low, dotted(low).picture) - still) == pytest.approx(2 / 16, rel=0.2)
    fake = blurred(low).picture.requires_grad_()
    equivariance(dotted, low, fake).backward()
    assert fake.grad is not None
    assert fake.grad.abs().sum() > 0


def test_a_phase_changes_its_own_network_alone(faces: Path) -> None:
    task, context = task_of(faces), init_distributed("cpu")
    state, batch = State.fresh(task, LOOP, context.device), batch_of(task_of(faces))

    def weights() -> dict[str, Tensor]:
        return {
            name: torch.cat([p.detach().flatten().clone() for p in network.parameters()])
            for name, network in task.networks.items()
        }

    for phase in task.phases():
        before = weights()
        step(phase, state, batch, LOOP, context)
        changed = {name for name, value in weights().items() if not torch.equal(value, before[name])}
        assert changed == {phase.network}


def test_the_discriminators_see_what_the_generator_made(faces: Path) -> None:
    task, batch = task_of(faces), batch_of(task_of(faces))
    generator, critic, *_, parts = task.phases()
    generator.losses(batch)
    fake, _ = task.networks["generator"](batch["low"])
    assert torch.equal(batch["fake"], fake.clamp(-1, 1))  # as a file can hold it
    assert not batch["fake"].requires_grad
    assert critic.losses(batch)["logistic"] > 0
    assert parts.losses(batch).keys() == {component.name for component in COMPONENTS}


@pytest.mark.parametrize("used", COMPONENT_LOSSES)
def test_component_losses_are_switched_off_one_by_one(faces: Path, used: str) -> None:
    stats = run_step(task := task_of(faces, components=used), batch_of(task))
    wanted = COMPONENT_LOSSES[1 : COMPONENT_LOSSES.index(used) + 1]
    names = {"discriminators": "component", "matching": "matching", "style": "style"}
    assert {k for k in stats if k.removeprefix("generator/") in names.values()} == {
        f"generator/{names[name]}" for name in wanted
    }
    assert ("components" in task.networks) == bool(wanted)


def test_the_pyramid_and_the_prior_can_be_left_out(faces: Path) -> None:
    network = replace(presets.TINY_FACE, decoder=False)
    stats = run_step(task := task_of(faces, pyramid=0.0, network=network), batch_of(task))
    assert "generator/pyramid" not in stats
    assert not [n for n, _ in task.networks["generator"].named_parameters() if n.startswith("decoder")]


def test_the_penalty_is_lazy(faces: Path, tmp_path: Path) -> None:
    task, penalised = task_of(faces), []
    penalty = task._penalty
    task._penalty = lambda batch: penalised.append(1) or penalty(batch)  # type: ignore[method-assign,func-returns-value]
    train(task, tmp_path, replace(LOOP, batch=1, images=R1_INTERVAL + 1))
    assert len(penalised) == 2


def test_discriminators_are_not_clipped_and_have_no_momentum(faces: Path) -> None:
    for system in ("gfpgan", "prior"):
        task = make(system, faces)
        state = State.fresh(task, replace(LOOP, beta1=0.9), init_distributed("cpu").device)
        for phase in task.phases():
            trained = phase.network == "generator"
            assert phase.clipped == trained
            assert state.optimizers[phase.network].defaults["betas"][0] == (0.9 if trained else 0.0)


def test_the_penalty_is_over_what_a_discriminator_sees(faces: Path) -> None:
    task, batch = task_of(faces), batch_of(task_of(faces))
    critic = task.networks["discriminator"]
    assert isinstance(critic, Discriminator)
    penalty = next(phase for phase in task.phases() if phase.name == "penalty")
    seen = critic.see(batch["clean"]).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(critic.judge(seen, critic.see(batch["low"])).sum(), seen)
    wanted = (
        0.5 * float(gradient.square().flatten(1).sum(1).mean()) * R1_INTERVAL * task.settings.loss_weights.r1
    )
    assert float(penalty.losses(batch)["r1"].detach()) == pytest.approx(wanted, rel=1e-4)


def test_faces_of_the_second_folder_are_no_real_ones_for_discriminators(faces: Path, tmp_path: Path) -> None:
    more = write_table(write_pictures(tmp_path / "more", training=3, held=1))
    task = task_of(faces, more=more, more_share=0.5)
    batch = batch_of(task, 8)
    judged = batch["judged"]
    assert 0 < judged.sum() < 8
    torch.manual_seed(0)
    losses = task.phases()[0].losses(batch)
    for phase in task.phases()[1:]:
        told = phase.losses(batch)
        others = batch | {k: torch.where(judged.view(-1, 1, 1, 1), batch[k], 0) for k in ("clean", "fake")}
        for name, value in phase.losses(others).items():
            assert torch.equal(value, told[name]), phase.name
    second = batch | {"judged": torch.zeros_like(judged)}
    assert {"adversarial", "component"} & losses.keys() - task.phases()[0].losses(second).keys()
    stats = run_step(task, second)  # nothing to judge is no error
    assert stats["discriminator/logistic"] == stats["penalty/r1"] == 0
    assert "judged" not in task_of(faces).sample(0)


def test_what_a_network_says_of_the_degradation_is_trained(faces: Path) -> None:
    task = task_of(faces, recipe="paper", adversarial=0.0, pyramid=0.0)
    batch = batch_of(task)
    assert batch["drawn"].shape == (4, 6)
    assert torch.isfinite(batch["drawn"]).all()
    losses = task.phases()[0].losses(batch)
    assert losses.keys() == {"l1", "laplacian", "description"}
    losses["description"].backward()
    assert task.networks["generator"].get_parameter("first.weight").grad is not None
    assert {"sigma_r2", "hard_sigma_r2"} < task.validate(task.networks["generator"].eval()).keys()
    plain = task_of(faces, network=replace(presets.TINY_FACE, code=0), adversarial=0.0)
    assert "drawn" not in plain.sample(0)
    assert "description" not in plain.phases()[0].losses(batch_of(plain))


@pytest.mark.parametrize("recipe", RECIPES)
def test_any_recipe_makes_samples(faces: Path, recipe: str) -> None:
    sample = task_of(faces, recipe=recipe).sample(0)
    assert sample["low"].shape == sample["clean"].shape
    assert np.abs(sample["low"]).max() <= 1


def test_mirrored_faces_have_their_landmarks_mirrored(faces: Path) -> None:
    task = task_of(faces)
    seen = set()
    for index in range(20):
        points = task.sample(index)["landmarks"]
        assert points[0, 0] < points[1, 0]  # the subject's right eye stays at the left of the picture
        assert points[3, 0] < points[4, 0]
        seen.add(round(float(points[2, 0]), 3))
    assert len(seen) > 6  # more than there are pictures


@pytest.mark.parametrize("system", ["gfpgan", "prior"])
def test_an_adversarial_training_goes_on_to_the_same_last_bit(
    system: str, faces: Path, tmp_path: Path
) -> None:
    settings = replace(LOOP, images=24)
    train(make(system, faces), tmp_path / "whole", settings)
    stopped = make(system, faces)
    sample = stopped.sample

    def interrupted(index: int) -> dict[str, np.ndarray]:
        if index >= 12:
            raise KeyboardInterrupt
        return sample(index)

    stopped.sample = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        train(stopped, tmp_path / "stopped", replace(settings, save_every=0))
    train(make(system, faces), tmp_path / "stopped", settings)
    whole, stopped_state = (newest(tmp_path / run) for run in ("whole", "stopped"))
    flat_a, flat_b = flatten(whole), flatten(stopped_state)
    assert flat_a.keys() == flat_b.keys()
    assert len(flat_a) > 60
    for name, value in flat_a.items():
        assert torch.equal(value, flat_b[name]), name


def newest(run: Path) -> dict[str, Any]:
    path = checkpoint.newest(run / "checkpoints")
    assert path is not None
    return checkpoint.load(path)


def flatten(value: Any, name: str = "") -> dict[str, Tensor]:
    if isinstance(value, Tensor):
        return {name: value}
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flatten(item, f"{name}.{key}").items()}
    return {}


def test_adversarial_training_lowers_its_validation_loss(faces: Path, tmp_path: Path) -> None:
    task = task_of(faces)
    before = task.validate(task.networks["generator"].eval())
    after = task.validate(train(task, tmp_path, replace(LOOP, images=160, rate=2e-3, ema=32)))
    assert after["psnr"] > before["psnr"]
    assert (tmp_path / "checkpoints" / "best.pt").is_file()


def test_a_prior_learns_where_faces_lie(faces: Path, tmp_path: Path) -> None:
    task = make("prior", faces)
    before = task.validate(task.networks["generator"].eval())["likeness"]
    loop = replace(LOOP, images=320, rate=5e-3, beta1=0.5, ema=32)
    after = task.validate(train(task, tmp_path, loop))["likeness"]
    assert after > before


def test_gfpgan_starts_from_a_prior(faces: Path, tmp_path: Path) -> None:
    prior = make("prior", faces)
    assert isinstance(prior, PriorTask)
    train(prior, tmp_path, LOOP)
    wanted = checkpoint.load(tmp_path / "checkpoints" / "best.pt")["ema"]
    for fixed in (False, True):
        task = task_of(faces, prior=tmp_path, fixed_prior=fixed)
        begun = {k: v.clone() for k, v in task.networks["generator"].decoder.state_dict().items()}  # type: ignore[union-attr]
        for name, value in begun.items():  # the last picture has no pixels to shuffle
            assert name.startswith("rgb.1.") or torch.equal(value, wanted[f"decoder.{name}"])
        run_step(task, batch_of(task))
        after = task.networks["generator"].decoder.state_dict()  # type: ignore[union-attr]
        assert all(torch.equal(value, after[name]) for name, value in begun.items()) == fixed
        assert not torch.equal(task.networks["generator"].bridge.weight, torch.zeros(16, 16, 1, 1))  # type: ignore[union-attr]
    other = build(presets.choose("gfpgan", "reconstruction-256").task(Path()).network)
    with pytest.raises(TrainingError, match=r"is not a prior of this network's sizes"):
        load_prior(other, tmp_path)  # type: ignore[arg-type]
    for gone in (tmp_path / "samples", tmp_path / "nowhere"):
        with pytest.raises(TrainingError, match=r"no checkpoint in .*: train first"):
            task_of(faces, prior=gone)
    with pytest.raises(TrainingError, match=r"has no decoder to start from .*: set prior=none"):
        task_of(faces, prior=tmp_path, network=UNET)


def test_a_prior_that_could_not_be_validated_is_not_begun(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "faces", training=2, held=1)
    with pytest.raises(TrainingError, match=r"only 1 held-out picture in .*: a Fréchet distance takes two"):
        make("prior", folder)


def test_style_mixing_gives_coarse_layers_one_code_and_fine_ones_another(faces: Path) -> None:
    prior = make("prior", faces)
    assert isinstance(prior, PriorTask)
    torch.manual_seed(0)
    codes = prior._codes(batch_of(prior), 64)
    assert codes.shape == (64, prior.generator.decoder.layers, 16)
    first, last = codes[:, 0], codes[:, -1]
    mixed = (first != last).any(1)
    assert 0.7 < float(mixed.float().mean()) < 1
    changes = (codes[:, 1:] != codes[:, :-1]).any(2).sum(1)
    assert torch.equal(changes, mixed.long())


def test_pictures_of_one_person_stay_on_one_side_of_the_split(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "faces", training=6, held=3)
    (training,), (held,) = split([folder], None)
    assert (len(training), len(held)) == (6, 3)
    with folder.with_name("faces.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "group", "coverage", *POINT_COLUMNS])
        for path in sorted(folder.iterdir()):
            # Everybody but one is the same person as the first who is held out.
            group = path.stem if path == training[0] else held[0].stem
            table.writerow([path.name, group, 1.0, *TEMPLATE.ravel()])
    assert split([folder], None) == ([[training[0]]], [sorted([*training[1:], *held])])


def test_a_second_folder_gives_its_share_of_pictures_and_landmarks(faces: Path, tmp_path: Path) -> None:
    more = write_table(write_pictures(tmp_path / "more", training=3, held=1))
    task = task_of(faces, more=more, more_share=0.25)
    drawn = [task.training.draw(i, np.random.default_rng(i)) for i in range(200)]
    second = [i for folder, i in drawn if folder is task.training.folders[1]]
    assert 30 < len(second) < 70
    assert set(second) == {0, 1, 2}
    assert all(np.isfinite(task.sample(i)["landmarks"]).all() for i in range(8))
    assert task.held.pictures.paths == task_of(faces).held.pictures.paths
    whole = task_of(faces, more=more, more_share=1.0)
    assert {whole.training.draw(i, np.random.default_rng(i))[0] for i in range(20)} == {
        whole.training.folders[1]
    }


def test_held_out_people_of_either_folder_are_kept_out_of_both(tmp_path: Path) -> None:
    one, two = (write_pictures(tmp_path / name, training=4, held=2) for name in ("one", "two"))
    _, (held, _) = split([one, two], None)
    again = next(path for path in (two / f"again_{i}.png" for i in range(100)) if not held_out(path.stem))
    again.write_bytes(held[0].read_bytes())  # under another name, and on the other side

    def embed(pictures: list[np.ndarray]) -> Tensor:
        """Another direction for every picture."""
        rows = [np.random.default_rng(zlib.crc32(p.tobytes())).normal(size=128) for p in pictures]
        return torch.from_numpy(np.stack(rows))

    for path in two.iterdir():  # the two folders hold other pictures
        if path != again:
            picture = Image.open(path)
            picture.putpixel((0, 0), (1, 2, 3))
            picture.save(path)
    training, both = split([one, two], SimpleNamespace(pictures=embed))  # type: ignore[arg-type]
    assert [len(side) for side in training] == [4, 4]
    assert again not in training[1]
    assert [len(side) for side in both] == [2, 2]


def test_settings_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="more_share must be between 0 and 1"):
        FaceSettings(data=tmp_path, more_share=2)
    with pytest.raises(UsageError, match="components must be one of none, discriminators, matching, style"):
        FaceSettings(data=tmp_path, components="eyes")
    with pytest.raises(UsageError, match="the discriminator is for 64 px, the network for 256"):
        FaceSettings(tmp_path, loss_weights=FaceWeights(adversarial=0.1), discriminator=TINY_CRITIC)


def test_the_papers_losses_are_not_left_out_unseen(tmp_path: Path) -> None:
    paper = presets.choose("gfpgan", "paper-512")
    settings = paper.task(tmp_path / "nowhere")
    with pytest.raises(
        UsageError, match=r"vgg_weights=vgg19 .* identity_weights=mobilefacenet .*models pull"
    ):
        paper.make(settings)
    with pytest.raises(UsageError, match="--set identity_weights=mobilefacenet"):
        paper.make(change(settings, {"perceptual": 0.0, "vgg_style": 0.0}))
    with pytest.raises(UsageError, match="no folder"):  # as far as the pictures
        paper.make(change(settings, {"perceptual": 0.0, "vgg_style": 0.0, "identity": 0.0}))


def test_the_papers_preset_takes_steps_of_a_size_that_plain_layers_bear(faces: Path) -> None:
    """On wide layers of the published kind, few pixels, and at its full rate at once."""
    paper, context = presets.choose("gfpgan", "paper-512"), init_distributed("cpu")
    settings = replace(
        paper.task(faces),
        network=GFPGANConfig(size=32, unet=(128,) * 4, prior=(256,) * 4),
        discriminator=DiscriminatorConfig(32, (8,) * 4),
        loss_weights=FaceWeights(l1=0.1, perceptual=0.0, identity=0.0, features=0.0, pyramid=1.0),
        components="none",
        validation=1,
    )
    task, loop = paper.make(settings), replace(paper.loop, batch=1, precision="fp32")
    state, batch, phase = State.fresh(task, loop, context.device), batch_of(task, 1), task.phases()[0]
    state.optimizers["generator"].param_groups[0]["lr"] = loop.rate
    steps = [step(phase, state, batch, loop, context) for _ in range(8)]
    assert all(applied for _, applied in steps)
    assert steps[-1][0]["generator/l1"] < 5 * steps[0][0]["generator/l1"]  # with 2e-3 thousands


@pytest.mark.parametrize(("name", "width"), [("paper-512", 512), ("compact-128", 192)])
def test_a_priors_presets_take_steps_that_their_layers_bear(faces: Path, name: str, width: int) -> None:
    """At 16 px, for speed, and at the full rate at once."""
    preset, context = presets.choose("prior", name), init_distributed("cpu")
    settings = replace(
        preset.task(faces),
        network=PriorConfig(16, (width,) * 3, style_dim=64, mapping=2),
        discriminator=DiscriminatorConfig(16, (32,) * 3),
    )
    task, loop = preset.make(settings), replace(preset.loop, batch=2, precision="fp32")
    state, batch = State.fresh(task, loop, context.device), batch_of(task, 2)
    phases = [phase for phase in task.phases() if phase.name in ("generator", "discriminator")]
    for phase in phases:
        state.optimizers[phase.network].param_groups[0]["lr"] = loop.rate * phase.rate
    torch.manual_seed(0)
    for _ in range(8):
        for phase in phases:
            assert step(phase, state, batch, loop, context)[1]
    assert float(batch["fake"].std()) < 20  # with 2e-3 hundreds


@pytest.mark.parametrize("system", ["gfpgan", "prior"])
def test_dropped_faces_are_not_trained_on(faces: Path, system: str) -> None:
    with pytest.raises(TrainingError, match=rf"also holds what .* dropped: give {faces}$"):
        make(system, faces.parent)


def test_a_table_of_other_pictures_is_named(faces: Path, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "others")
    (tmp_path / "others.csv").write_text((faces.parent / "faces.csv").read_text().replace("photo_", "face_"))
    with pytest.raises(TrainingError, match=r"others\.csv lists none of the pictures beside it"):
        task_of(folder)


def test_a_table_of_landmarks_is_asked_for(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "faces")
    with pytest.raises(TrainingError, match=r"faces\.csv is missing: `revisage prepare` makes it"):
        task_of(folder)
    assert task_of(folder, components="none").sample(0).keys() == {"low", "clean", "drawn"}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains(faces: Path, tmp_path: Path, precision: str) -> None:
    task = task_of(faces)
    network = train(task, tmp_path, replace(LOOP, images=8, precision=precision))
    assert all(torch.isfinite(p).all() for p in network.parameters())
    assert (newest(tmp_path)["scalers"]["generator"] != {}) == (precision == "fp16")


def test_a_training_killed_at_any_moment_goes_on_with_the_same_command(faces: Path, tmp_path: Path) -> None:
    """By SIGKILL, through the command line."""
    run = tmp_path / "killed"
    changes = ["images=48", "batch=4", "precision=fp32", "threads=1", "device=cpu", "validation=2"]
    tail = ["train", "gfpgan", "--data", str(faces), "--preset", "tiny", "--set", *changes]
    command = [*tail, "save_every=0", "--out", str(run)]
    child = subprocess.Popen(
        [sys.executable, "-m", "revisage", *command],
        stdout=subprocess.DEVNULL,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    until = time.monotonic() + 120
    while len(list(run.glob("checkpoints/images-*.pt"))) < 2 and time.monotonic() < until:
        assert child.poll() is None
        time.sleep(0.02)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    assert newest(run)["images"] < 48
    for arguments in (command, [*tail, "--out", str(tmp_path / "whole")]):
        assert main(arguments) == 0
    killed, whole = (flatten(newest(folder)) for folder in (run, tmp_path / "whole"))
    assert killed.keys() == whole.keys()
    for name, value in whole.items():
        assert torch.equal(value, killed[name]), name


def test_a_training_asked_to_end_is_kept(
    faces: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def ask() -> None:
        while signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask, daemon=True).start()
    changes = ["images=100000", "batch=4", "precision=fp32", "threads=1", "device=cpu", "validation=2"]
    tail = ["train", "gfpgan", "--data", str(faces), "--preset", "tiny", "--set", *changes]
    assert main([*tail, "--out", str(tmp_path)]) == 128 + signal.SIGTERM
    assert newest(tmp_path)["images"] >= 4
    assert "step in hand" in capfd.readouterr().err


def test_two_processes_give_what_one_gives(
    faces: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Through the command line and torchrun; a reconstruction, whose losses are means over the batch."""
    changes = ["images=16", "batch=4", "precision=fp32", "threads=1", "device=cpu", "adversarial=0"]
    tail = ["train", "gfpgan", "--data", str(faces), "--preset", "tiny", "--set", *changes]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*torchrun, "-m", "revisage", *tail, "--out", str(tmp_path / "two")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert main([*tail, "--out", str(tmp_path / "one")]) == 0
    for said in (done.stdout, capfd.readouterr().out):
        assert said.count("held out") == 1  # one process logs
    one, two = (newest(tmp_path / name) for name in ("one", "two"))
    assert one["images"] == two["images"] == 16
    for name, value in one["ema"].items():
        torch.testing.assert_close(two["ema"][name], value, rtol=1e-3, atol=1e-4)


def test_a_batch_that_processes_cannot_share_is_refused() -> None:
    with pytest.raises(TrainingError, match="batch=6 cannot be shared evenly by 4 processes"):
        DistributedContext(0, 4, torch.device("cpu")).local_batch(6)


def test_processes_must_go_on_from_one_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.distributed, "broadcast", lambda value, src: value.fill_(48))
    context = DistributedContext(1, 2, torch.device("cpu"))
    context.check_same_checkpoint(48)
    with pytest.raises(TrainingError, match="process 1 goes on from 0 images and the first from 48: --out"):
        context.check_same_checkpoint(0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named() -> None:
    with pytest.raises(TrainingError, match="device=cuda, but PyTorch sees no GPU"):
        init_distributed("cuda")


UNET = replace(presets.TINY_FACE, decoder=False)
RECONSTRUCTION = {"adversarial": 0.0, "identity": 0.0, "features": 0.0}


def test_a_u_net_learns_from_crops_of_the_pairs(faces: Path) -> None:
    whole = task_of(faces, adversarial=0.0, identity=0.0, features=0.0, network=UNET)
    task = task_of(faces, adversarial=0.0, identity=0.0, features=0.0, network=UNET, crop=32)
    sample, pair = task.sample(3), whole.sample(3)
    assert sample["low"].shape == sample["clean"].shape == (3, 32, 32)
    places = [
        (y, x)
        for y in range(33)
        for x in range(33)
        if np.array_equal(pair["clean"][:, y : y + 32, x : x + 32], sample["clean"])
    ]
    y, x = places[0]
    assert np.array_equal(pair["low"][:, y : y + 32, x : x + 32], sample["low"])
    assert run_step(task, batch_of(task))["generator/l1"] > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": UNET, **RECONSTRUCTION, "crop": 24}, "multiple of 16 up to 64"),
        ({"network": UNET, **RECONSTRUCTION, "crop": 128}, "multiple of 16 up to 64"),
        ({"network": UNET, **RECONSTRUCTION, "features": 0.1, "crop": 32}, "without decoder"),
        ({**RECONSTRUCTION, "crop": 32}, "without decoder"),
    ],
)
def test_crops_that_cannot_be_are_refused(faces: Path, changes: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        task_of(faces, **changes)


def test_the_whole_network_starts_from_the_file_of_its_u_net(faces: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    unet = GFPGAN(UNET)
    with torch.no_grad():  # equal tensors would be one in the file
        for parameter in unet.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    path = tmp_path / "unet.onnx"
    export_network(unet, path, name="unet", version="1", licence="CC0-1.0")
    torch.manual_seed(2)
    whole = GFPGAN(presets.TINY_FACE)
    fresh = start_from(whole, path)
    assert {name.partition(".")[0] for name in fresh} >= {"decoder", "conditions", "codes"}
    for name, value in unet.state_dict().items():
        if not name.startswith(("heads.0.", "describe.")):
            torch.testing.assert_close(whole.state_dict()[name], value, atol=1e-7, rtol=2**-11)
