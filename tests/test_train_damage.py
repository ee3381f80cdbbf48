"""The damage model: its marks and what is none, its network, its training and its file."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

from train_pictures import write_pictures  # noqa: E402

from revisage.cli import main  # noqa: E402
from revisage.errors import ModelCorruptError, UsageError  # noqa: E402
from revisage.lab.degrade import RECIPES, Chain, apply  # noqa: E402
from revisage.lab.degrade.ageing import Fading, Grain  # noqa: E402
from revisage.lab.degrade.damage import Scratches  # noqa: E402
from revisage.lab.networks.damage import STRIDE, Damage, DamageConfig  # noqa: E402
from revisage.lab.train import presets  # noqa: E402
from revisage.lab.train.scenes import MARKED  # noqa: E402
from revisage.lab.train.settings import change  # noqa: E402
from revisage.lab.train.tasks import damage  # noqa: E402
from revisage.lab.train.tasks.damage import UNKNOWN, DamageTask, marked_photo, with_belongings  # noqa: E402
from revisage.runtime import open_session  # noqa: E402
from revisage.zoo import read_contract  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("damage") / "pictures")


def tiny(data: Path, **changes: Any) -> DamageTask:
    return DamageTask(change(presets.choose("damage", "tiny").task(data), changes))


def test_the_trunk_is_squeezenets_and_stays_as_it_is(pictures: Path, tmp_path: Path) -> None:
    torchvision = pytest.importorskip("torchvision")
    published = torchvision.models.squeezenet1_1(weights=None)
    torch.save(published.state_dict(), tmp_path / "squeezenet.pth")
    sizes = DamageConfig((8, 8, 16, 16), 1, trunk=True)
    with pytest.raises(UsageError, match="squeezenet=FILE"):
        tiny(pictures, network=sizes)
    task = tiny(pictures, network=sizes, squeezenet=tmp_path / "squeezenet.pth")
    trunk = task.networks["damage"].get_submodule("trunk")
    x = torch.rand(1, 3, 96, 64)
    maps = trunk(x)
    assert [tuple(m.shape[1:]) for m in maps] == [(128, 24, 16), (256, 12, 8), (384, 6, 4)]
    x = (x - trunk.mean) / trunk.deviation
    unpadded = published.features[:2](x[..., 1:, 1:])
    torch.testing.assert_close(trunk.features[:2](x)[..., 1:, 1:], unpadded)
    assert [phase.fixed for phase in task.phases()] == [("trunk.",)]
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "squeezenet.pth")
    with pytest.raises(ModelCorruptError, match=r"squeezenet\.pth"):
        tiny(pictures, network=sizes, squeezenet=tmp_path / "squeezenet.pth")


def smooth(side: int = 128) -> np.ndarray:
    return np.repeat(np.linspace(0.3, 0.6, side, dtype=np.float32)[None, :, None], side, 0).repeat(3, 2)


def test_the_recipe_draws_marks_alone() -> None:
    """Most of the picture stays as it is: no fading, blur or grain of the whole."""
    for seed in range(20):
        clean = smooth()
        chain = RECIPES["marks"].sample(np.random.default_rng(seed))
        assert chain.steps
        low = apply(clean, Chain(tuple(s for s in chain.steps if type(s).__name__ != "Crease")))
        assert np.median(np.abs(low - clean)) < 1e-3
        assert not any(isinstance(step, Fading | Grain) for step in chain.steps)


def test_a_scratchs_halo_lies_beside_it() -> None:
    gray, bare = np.full((256, 256, 3), 0.5, np.float32), {"count": 6, "width": 4.0, "opacity": 1.0}
    kind = {"light": 1.0, "vertical": 0.5, "bend": 0.3, "broken": 0.0, "seed": 3}
    plain, haloed = (Scratches(**bare, **kind, halo=halo).apply(gray)[..., 0] for halo in (0.0, 0.5))
    scratch, dark = plain > 0.52, haloed < 0.48
    assert scratch.any()
    assert plain.min() > 0.49
    assert dark.any()
    near = cv2.dilate(scratch.astype(np.uint8), np.ones((25, 25), np.uint8)) > 0
    assert near[dark].all()
    assert (scratch & dark).sum() < 0.1 * dark.sum()


def test_the_mask_is_what_the_marks_changed_before_ageing(monkeypatch: pytest.MonkeyPatch) -> None:
    for later in ("aged", "scanned"):
        monkeypatch.setattr(damage.old_photo, later, lambda *_: [])
    shares = []
    for seed in range(12):
        clean, marks = smooth(192), RECIPES["marks"].sample(np.random.default_rng(seed))
        photo, mask = marked_photo(np.random.default_rng(seed), clean, marks=marks, printed=False)
        assert photo.shape == clean.shape
        assert photo.dtype == mask.dtype == np.float32
        assert set(np.unique(mask)) <= {0, 1}
        changed = np.abs(photo - clean).max(2) > MARKED
        assert mask[changed].all()
        assert mask.sum() <= 1.5 * changed.sum()  # narrow gaps are closed
        shares.append(mask.mean())
        none = marked_photo(np.random.default_rng(seed), clean, marks=None)[1]
        assert not none.any()
    assert 0.001 < np.mean(shares) < 0.3


def test_what_belongs_to_a_photo_is_drawn_and_is_not_in_the_mask(pictures: Path) -> None:
    photo = np.random.default_rng(0).integers(60, 180, (96, 96, 3), np.uint8)
    drawn = [with_belongings(np.random.default_rng(seed), photo) for seed in range(24)]
    assert all(d.shape == photo.shape and d.dtype == np.uint8 for d in drawn)
    assert sum((d != photo).any() for d in drawn) > 20
    sample = tiny(pictures, belonging=1.0, unmarked=1.0).sample(0)
    assert not sample["mask"].any()


def test_of_old_photos_only_what_is_near_a_drawn_mark_is_known(pictures: Path) -> None:
    plain = tiny(pictures, unmarked=0.0)
    old = tiny(pictures, unmarked=0.0, untouched=pictures, untouched_share=1.0)
    for number in range(6):
        assert set(np.unique(plain._piece(number)["weight"])) <= {np.float32(damage.BROAD), 1}
        piece = old._piece(number)
        assert (piece["weight"][piece["mask"] > 0] > UNKNOWN).all()
        assert set(np.unique(piece["weight"])) <= {np.float32(UNKNOWN), np.float32(damage.BROAD), 1}


def test_a_sample_depends_on_its_number_alone(pictures: Path) -> None:
    one, other = tiny(pictures), tiny(pictures)
    for index in (3, 17):
        first, again = one.sample(index), other.sample(index)
        assert {key: value.shape for key, value in first.items()} == {
            "photo": (3, 64, 64),
            "mask": (1, 64, 64),
            "weight": (1, 64, 64),
        }
        assert all(np.array_equal(first[key], again[key]) for key in first)


def test_every_weight_of_the_network_has_a_say_and_it_starts_with_little_damage() -> None:
    network = Damage(DamageConfig((8, 8, 16, 16), 1))
    answer = network(torch.rand(2, 3, 2 * STRIDE, 3 * STRIDE))
    assert answer.shape == (2, 1, 2 * STRIDE, 3 * STRIDE)
    assert 0 < float(answer.detach().mean()) < 0.2
    answer.mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_it_learns_to_find_marks(pictures: Path) -> None:
    """On eight pieces that it sees again and again it does far better than the best constant."""
    task = tiny(pictures, unmarked=0.0, belonging=0.0)
    (phase,) = task.phases()
    samples = [task.sample(i) for i in range(8)]
    batch = {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}
    share = float(batch["mask"].mean())
    constant = -share * np.log(share) - (1 - share) * np.log(1 - share)
    optimizer = torch.optim.Adam(task.networks["damage"].parameters(), 5e-3)
    for _ in range(60):
        losses = phase.losses(batch)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert float(losses["entropy"].detach()) < 0.6 * constant


def test_it_is_trained_exported_and_run(pictures: Path, tmp_path: Path) -> None:
    run, file = tmp_path / "run", tmp_path / "revisage-damage.onnx"
    words = ("train", "damage", "--preset", "tiny", "--data", str(pictures), "--out", str(run), "--set")
    assert main([*words, "images=16", "device=cpu", "precision=fp32", "threads=1", "validation=2"]) == 0
    assert {"damage/entropy", "iou", "clean"} <= set(
        (run / "log.csv").read_text().replace("\n", ",").split(",")
    )
    assert main(["export", str(run), str(file)]) == 0
    contract = read_contract(file)
    assert (contract.task, contract.size, contract.scale) == ("damage", None, None)
    photo = np.random.default_rng(0).random((1, 3, 3 * STRIDE, 5 * STRIDE), np.float32)
    found = open_session(file, device="cpu").run(photo)
    assert found.shape == (1, 1, 3 * STRIDE, 5 * STRIDE)
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_patch_that_does_not_fit_is_refused(pictures: Path) -> None:
    for wrong in ({"patch": 60}, {"patch": 96, "around": 80}, {"around": 10**30}):
        with pytest.raises(UsageError, match="multiple of 16"):
            tiny(pictures, **wrong)
