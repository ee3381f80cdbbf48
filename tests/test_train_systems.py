"""The face and the scene model learn, resume to the last bit, and refuse what they cannot be trained on."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

from torch import Tensor  # noqa: E402
from train_pictures import write_pictures  # noqa: E402

from revisage.errors import ModelCorruptError, ModelMissingError, TrainingError, UsageError  # noqa: E402
from revisage.lab.architectures import build  # noqa: E402
from revisage.lab.data.loader import Sample  # noqa: E402
from revisage.lab.data.pictures import find_pictures, read_picture  # noqa: E402
from revisage.lab.degrade import RECIPES, Chain  # noqa: E402
from revisage.lab.train import checkpoint, presets  # noqa: E402
from revisage.lab.train.face_losses import FaceLosses  # noqa: E402
from revisage.lab.train.faces import Embedder, identity_disjoint  # noqa: E402
from revisage.lab.train.loop import train  # noqa: E402
from revisage.lab.train.pictures import from_unit, grid, to_bytes, to_unit  # noqa: E402
from revisage.lab.train.scenes import shrink  # noqa: E402
from revisage.lab.train.settings import change  # noqa: E402
from revisage.lab.train.task import Task  # noqa: E402
from revisage.lab.train.tasks.gfpgan import FaceSettings, FaceTask  # noqa: E402
from revisage.lab.train.tasks.realesrgan import SceneSettings, SceneTask  # noqa: E402

SYSTEMS = ("gfpgan", "realesrgan")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def tiny(system: str, data: Path, **changes: Any) -> Task:
    """By reconstruction; tests/test_train_gfpgan.py has the adversarial losses."""
    preset = presets.choose(system, "tiny")
    if system == "gfpgan":
        changes = {"adversarial": 0.0} | changes
    return preset.make(change(preset.task(data), {"validation": 2, **changes}))


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_tiny_preset_learns(system: str, pictures: Path, tmp_path: Path) -> None:
    task = tiny(system, pictures)
    settings = replace(presets.choose(system, "tiny").loop, threads=1)
    (fresh,) = task.networks.values()
    before = task.validate(fresh.eval())
    network = train(task, tmp_path, settings)
    after = task.validate(network)
    assert after["psnr"] > before["psnr"] + 0.1
    assert after.keys() == before.keys()
    # The input's own figures stand beside them and do not depend on the network.
    inputs = [key for key in after if key.startswith(("input_", "bicubic_"))]
    assert inputs
    assert all(after[key] == before[key] for key in inputs)
    best = checkpoint.load(tmp_path / "checkpoints" / "best.pt")
    assert best["best"] == after["psnr"]
    with Image.open(next((tmp_path / "samples").iterdir())) as sheet:
        assert np.asarray(sheet).std() > 10


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_killed_training_goes_on_to_the_same_last_bit(
    system: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(presets.choose(system, "tiny").loop, images=48, precision="fp32", threads=1)
    train(tiny(system, pictures), tmp_path / "whole", settings)

    killed = tiny(system, pictures)
    sample = killed.sample

    def interrupted(index: int) -> Sample:
        if index >= 24:
            raise KeyboardInterrupt
        return sample(index)

    monkeypatch.setattr(killed, "sample", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(killed, tmp_path / "killed", replace(settings, save_every=0))
    newest = checkpoint.newest(tmp_path / "killed" / "checkpoints")
    assert newest is not None
    assert newest.stem == "images-0000000024"
    train(tiny(system, pictures), tmp_path / "killed", replace(settings, loaders=2))

    whole, other = (final(tmp_path / run) for run in ("whole", "killed"))
    assert whole.keys() == other.keys()
    assert len(whole) > 20
    for name, value in whole.items():
        assert torch.equal(value, other[name]), name


def final(run: Path) -> dict[str, Tensor]:
    """Weights, averaged weights and Adam's moments of the newest checkpoint."""
    path = checkpoint.newest(run / "checkpoints")
    assert path is not None
    state = checkpoint.load(path)
    assert state["images"] == 48
    parts = {"weights": state["networks"]["generator"], "ema": state["ema"]}
    for number, moments in state["optimizers"]["generator"]["state"].items():
        parts[f"adam {number}"] = moments
    return {f"{part} {name}": value for part, values in parts.items() for name, value in values.items()}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_sample_is_drawn_from_its_number_and_the_seed(system: str, pictures: Path) -> None:
    one, other, seeded = tiny(system, pictures), tiny(system, pictures), tiny(system, pictures, seed=1)
    other.sample(3)  # what was drawn before does not matter
    sample = one.sample(7)
    for key, value in other.sample(7).items():
        np.testing.assert_array_equal(sample[key], value)
        assert value.dtype == np.float32
    assert not np.array_equal(sample["low"], seeded.sample(7)["low"])
    assert not np.array_equal(sample["low"], one.sample(8)["low"])
    (a,), (b,), (c,) = (task.networks.values() for task in (one, other, seeded))
    first = next(iter(a.state_dict()))
    assert torch.equal(a.state_dict()[first], b.state_dict()[first])
    assert not torch.equal(a.state_dict()[first], c.state_dict()[first])


def test_faces_are_brought_to_the_networks_size(pictures: Path) -> None:
    task = tiny("gfpgan", pictures)
    sample = task.sample(0)
    assert {key: value.shape for key, value in sample.items()} == {
        "low": (3, 64, 64),
        "clean": (3, 64, 64),
        "drawn": (6,),
    }
    assert all(sample[key].min() >= -1 and sample[key].max() <= 1 for key in ("low", "clean"))


def test_scene_samples_match_pixel_for_pixel(pictures: Path) -> None:
    task = tiny("realesrgan", pictures, faces=pictures, faces_share=0.5)
    for index in range(6):
        sample = task.sample(index)
        assert sample["low"].shape == (3, 32, 32)
        assert sample["clean"].shape == (3, 64, 64)
        assert all(value.min() >= 0 and value.max() <= 1 for value in sample.values())


def test_a_clean_scene_is_the_shrunken_patch(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "first-order", replace(RECIPES["first-order"], sample=lambda rng: Chain(())))
    task = tiny("realesrgan", pictures)
    for index in range(8):
        sample = task.sample(index)
        small = shrink(sample["clean"].transpose(1, 2, 0), 2).transpose(2, 0, 1)
        np.testing.assert_allclose(small, sample["low"], atol=1.01 / 255)


def test_shrinking_averages_areas() -> None:
    picture = np.arange(5 * 7 * 3, dtype=np.float32).reshape(5, 7, 3)
    small = shrink(picture, 2)
    assert small.shape == (2, 3, 3)
    np.testing.assert_allclose(small[0, 0], picture[:2, :2].mean((0, 1)))


def test_held_out_photos_of_different_shapes_fit_one_sheet(tmp_path: Path) -> None:
    write_pictures(tmp_path, side=96, training=2, held=2)
    wide = find_pictures(tmp_path, held=True)[0]
    Image.effect_noise((90, 61), 50).save(wide)
    task = tiny("realesrgan", tmp_path)
    sheet = task.pictures(task.networks["generator"])
    assert sheet.shape == (3 * 96, 6 * 96, 3)
    assert task.validate(task.networks["generator"])["psnr"] > 0


def test_a_face_that_is_not_square_is_named(tmp_path: Path) -> None:
    write_pictures(tmp_path, training=1, held=1)
    (path,) = find_pictures(tmp_path)
    Image.new("RGB", (64, 80)).save(path)
    with pytest.raises(TrainingError, match=f"{path.name} is not square"):
        tiny("gfpgan", tmp_path).sample(0)


def test_identity_needs_its_weights(pictures: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.ckpt"
    with pytest.raises(
        ModelMissingError, match=r"there is no file .*weights\.ckpt: give .* `revisage models"
    ):
        tiny("gfpgan", pictures, identity_weights=path)
    path.write_bytes(b"nonsense")
    with pytest.raises(
        ModelCorruptError, match=r"weights\.ckpt is not a PyTorch checkpoint.*give "
    ) as caught:
        tiny("gfpgan", pictures, identity_weights=path)
    assert "\n" not in str(caught.value)


def test_identity_is_trained_and_measured(shared: Path, tmp_path: Path) -> None:
    source, weights = shared / "data" / "faces256", shared / "models" / "mobilefacenet_068.ckpt"
    held, training = find_pictures(source, held=True)[:2], find_pictures(source)[:4]
    for path in (*training, *held):
        shutil.copy(path, tmp_path)
    again = next(n for n in (f"again_{i}.webp" for i in range(100)) if tmp_path / n not in held)
    shutil.copy(held[0], tmp_path / again)  # the same person under another name, and on the other side
    task = tiny("gfpgan", tmp_path, identity_weights=weights)
    assert isinstance(task, FaceTask)
    used = task.training.folders[0].pictures.paths
    assert sorted(path.name for path in used) == sorted(path.name for path in training)
    batch = {key: torch.from_numpy(value[None]) for key, value in task.sample(0).items()}
    losses = task.phases()[0].losses(batch)
    assert losses.keys() == {"l1", "laplacian", "pyramid", "description", "features", "identity"}
    losses["identity"].backward()
    last = task.networks["generator"].get_parameter("decoder.constant")
    assert last.grad is not None
    assert last.grad.abs().sum() > 0
    figures = task.validate(task.networks["generator"].eval())
    assert 0 < figures["input_degrees"] < 90
    assert 0 < figures["degrees"] < 120


def write_colours(folder: Path, name: str, colours: list[tuple[int, int, int]]) -> list[Path]:
    paths = []
    for number, colour in enumerate(colours):
        path = folder / f"{name}_{number:02d}.png"
        Image.new("RGB", (2, 2), colour).save(path)
        paths.append(path)
    return paths


def test_people_who_are_held_out_are_not_trained_on(tmp_path: Path) -> None:
    def embed(pictures: list[np.ndarray]) -> Tensor:
        return torch.stack([torch.from_numpy(p[0, 0].astype(np.float32)) for p in pictures])

    held = write_colours(tmp_path, "held", [(200, 0, 0), (0, 50, 0)])
    # The same directions at other lengths, one 45 degrees off, one at a right angle; over a batch's end.
    colours = [(10, 0, 0), (0, 0, 9), (0, 90, 90), (7, 0, 0)] + [(0, 0, 99)] * 40
    training = write_colours(tmp_path, "training", colours)
    assert identity_disjoint(training, held, embed) == [training[1], *training[4:]]
    assert identity_disjoint(training, held, embed, threshold=40) == [training[1], training[2], *training[4:]]
    with pytest.raises(TrainingError, match="every training picture shows a held-out person"):
        identity_disjoint(training[:1], held, embed)


def test_pixels_survive_the_way_to_the_network_and_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    tensor = from_unit(to_unit(pixels))
    assert (tensor.min(), tensor.max()) == (-1, 1)
    np.testing.assert_array_equal(to_bytes(tensor), pixels)
    np.testing.assert_array_equal(to_bytes(tensor * 3)[0, [0, -1], 0], [0, 255])


def test_a_grid_is_laid_out_in_columns() -> None:
    rows = [[np.full((3, 2, 2), v, np.float32), np.full((3, 2, 2), -v, np.float32)] for v in (1.0, 0.5, 0.2)]
    sheet = grid(rows, columns=2)
    assert sheet.shape == (4, 8, 3)
    assert sheet[::2, ::2, 0].tolist() == [[255, 0, 153, 102], [191, 64, 0, 0]]


@pytest.mark.parametrize(
    ("settings", "changes", "message"),
    [
        (FaceSettings, {"recipe": "nonsense"}, "no recipe 'nonsense'; there are .*gfpgan"),
        (FaceSettings, {"validation": 0}, "validation must be at least 1"),
        (SceneSettings, {"recipe": "nonsense"}, "no recipe 'nonsense'; there are .*aged"),
        (SceneSettings, {"validation": 0}, "validation must be at least 1"),
        (SceneSettings, {"patch": 201}, r"patch must be a multiple of 4 and at most around \(200\)"),
        (SceneSettings, {"faces_share": 2.0}, "faces_share must be between 0 and 1"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    settings: type, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        settings(data=tmp_path, **changes)


def test_presets_are_chosen_by_name() -> None:
    for system, found in presets.PRESETS.items():
        assert presets.choose(system) is found[0]
        for preset in found:
            assert presets.choose(system, preset.name) is preset
    with pytest.raises(UsageError, match="no preset 'huge' for gfpgan; there are compact-256, "):
        presets.choose("gfpgan", "huge")


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_shipped_network_of_a_preset_is_the_trained_one(system: str, pictures: Path) -> None:
    task = tiny(system, pictures)
    shipped = build(presets.choose(system, "tiny").task(Path()).network).state_dict()
    trained = task.networks[task.averaged].state_dict()
    assert {k: v.shape for k, v in shipped.items()} == {k: v.shape for k, v in trained.items()}


def test_scene_photos_smaller_than_the_patch_are_enlarged(tmp_path: Path) -> None:
    write_pictures(tmp_path, side=40, training=1, held=1)
    task = tiny("realesrgan", tmp_path)
    assert isinstance(task, SceneTask)
    assert task.sample(0)["clean"].shape == (3, 64, 64)


def test_losses_through_embeddings_fall_with_likeness_and_move_their_crops(shared: Path) -> None:
    models = shared / "models"
    losses = FaceLosses(Embedder(models / "mobilefacenet_068.ckpt"), models / "edgeface_xs.npz")
    faces = [to_unit(read_picture(p)) for p in find_pictures(shared / "data" / "faces256")[:2]]
    clean = torch.from_numpy(np.stack([from_unit(face) for face in faces]))
    soft = torch.nn.functional.avg_pool2d(clean, 9, 1, 4)
    for loss in (losses.features, losses.identity):
        torch.manual_seed(0)
        none, some, other = (float(loss(x, clean)) for x in (clean, soft, clean.flip(0)))
        assert none == pytest.approx(0, abs=1e-4)
        assert none < some < other
    shifts = losses.shifts(500, torch.device("cpu"))
    assert 1.9 < shifts.abs().max() <= 2
    torch.manual_seed(0)
    first, second = (float(losses.identity(soft, clean)) for _ in range(2))
    assert first != second
    fake = soft.clone().requires_grad_()
    (losses.features(fake, clean) + losses.identity(fake, clean)).backward()
    assert fake.grad is not None
    assert torch.isfinite(fake.grad).all()
    assert fake.grad.abs().sum() > 0
    without = FaceLosses(losses.mobile, None)  # MobileFaceNet's identity then
    assert 0 < float(without.identity(soft, clean)) < 2
