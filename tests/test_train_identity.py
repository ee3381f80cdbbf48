"""The identity model: its network, its training from a teacher, its file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

from train_pictures import write_pictures  # noqa: E402

from revisage.cli.train import override  # noqa: E402
from revisage.errors import UsageError  # noqa: E402
from revisage.lab.architectures import build  # noqa: E402
from revisage.lab.networks.mobilefacenet import SIZE, Identity, MobileFaceNet, MobileFaceNetConfig  # noqa: E402  # noqa: E402
from revisage.lab.train import presets  # noqa: E402
from revisage.lab.train.faces import Embedder  # noqa: E402
from revisage.lab.train.loop import train  # noqa: E402
from revisage.lab.train.publish import publish  # noqa: E402
from revisage.lab.train.tasks.identity import IdentitySettings, IdentityTask  # noqa: E402
from revisage.runtime import open_session  # noqa: E402
from revisage.zoo.contract import read_contract  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher with random weights: what is learned is its function, whatever that is."""
    torch.manual_seed(0)
    network = MobileFaceNet().train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():  # statistics of its norms
        network(torch.rand(8, 3, 112, 96) * 2 - 1)
    path = tmp_path_factory.mktemp("teacher") / "teacher.ckpt"
    torch.save({"net_state_dict": network.state_dict()}, path)
    return path


def task_of(teacher: Path, data: Path, **changes: Any) -> IdentityTask:
    preset = presets.choose("identity", "tiny")
    settings = replace(preset.task(data), teacher=teacher, validation=2, **changes)
    return IdentityTask(settings)


@pytest.fixture
def everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random teacher finds that all pictures show one person; here they are all kept."""
    monkeypatch.setattr(
        "revisage.lab.train.faces.identity_disjoint", lambda training, _held, _embed: training
    )


def test_a_switch_is_set_by_0_or_1(tmp_path: Path) -> None:
    settings = IdentitySettings(data=tmp_path, teacher=tmp_path)
    assert override(settings, {"compile": "1"}).compile
    assert not override(settings, {"compile": "0"}).compile
    with pytest.raises(UsageError, match="compile must be 0 or 1, got 'yes'"):
        override(settings, {"compile": "yes"})


def test_features_wanted_of_the_teacher_need_its_widths(tmp_path: Path) -> None:
    narrow = MobileFaceNetConfig(16, ((2, 16, 1, 2), (2, 24, 1, 2)))
    with pytest.raises(UsageError, match="set hints=0"):
        IdentitySettings(data=tmp_path, teacher=tmp_path, network=narrow)
    IdentitySettings(data=tmp_path, teacher=tmp_path, network=narrow, hints=0.0)


@pytest.mark.usefixtures("everybody")
def test_each_row_is_taught_for_itself_at_first_and_as_a_chain_later(teacher: Path, tmp_path: Path) -> None:
    task = task_of(teacher, write_pictures(tmp_path / "faces"), forced=100)
    samples = [task.sample(i) for i in range(120)]
    forced = [bool(s["forced"]) for s in samples]
    assert 35 < sum(forced) < 65
    assert not any(forced[100:])
    batch = {key: torch.from_numpy(np.stack([s[key] for s in samples[:8]])) for key in samples[0]}

    def learned(forced: bool) -> dict[str, float]:
        """How the rows' errors change with the first row's weights."""
        with torch.no_grad():
            before = task._losses(batch | {"forced": torch.full((8,), forced)})
            task.networks["identity"].network.conv1.conv.weight.add_(0.5)
            after = task._losses(batch | {"forced": torch.full((8,), forced)})
        return {name: float(after[name] - before[name]) for name in before}

    task.networks["identity"].eval()
    alone, chained = learned(True), learned(False)
    assert alone["row1"] != 0
    assert chained["row1"] != 0
    assert [alone[f"row{i}"] for i in range(2, 6)] == [0.0] * 4
    assert all(chained[f"row{i}"] != 0 for i in range(2, 6))


def test_embeddings_have_length_one_at_any_size() -> None:
    network = Identity().eval()
    faces = torch.rand(2, 3, SIZE, SIZE)
    whole = network(faces)
    assert whole.shape == (2, 128)
    torch.testing.assert_close(whole.norm(dim=1), torch.ones(2))
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8), size=(512, 512), mode="bicubic")
    half = torch.nn.functional.interpolate(smooth, size=(SIZE, SIZE), mode="area")
    assert float((network(smooth) * network(half)).sum(1).min().detach()) > 0.99


def test_the_shipped_network_fits_its_budget() -> None:
    network = build(presets.choose("identity").task(Path()).network)
    assert 2 * sum(p.numel() for p in network.parameters()) < 2 * 2**20


@pytest.mark.usefixtures("everybody")
@pytest.mark.parametrize("hints", [0.0, 0.1])
def test_it_learns_what_the_teacher_says(teacher: Path, tmp_path: Path, hints: float) -> None:
    task = task_of(teacher, write_pictures(tmp_path / "faces"), hints=hints, forced=64)
    before = task.validate(task.networks["identity"].eval())
    loop = replace(presets.choose("identity", "tiny").loop, images=192, threads=1)
    after = task.validate(train(task, tmp_path / "run", loop))
    assert after["clean"] > before["clean"] + 0.05
    assert after["teacher_gfpgan"] == before["teacher_gfpgan"]


@pytest.mark.usefixtures("everybody")
def test_a_share_of_the_samples_is_clean_and_a_share_from_the_second_folder(
    teacher: Path, tmp_path: Path
) -> None:
    one, two = (write_pictures(tmp_path / name, side=side) for name, side in (("one", 64), ("two", 80)))
    task = task_of(teacher, one, more=two, more_share=0.5, clean=0.5)
    samples = [task.sample(i) for i in range(24)]
    clean = sum(np.array_equal(s["image"], s["clean"]) for s in samples)
    assert 4 < clean < 20
    assert all(s["image"].min() >= 0 and s["image"].max() <= 1 for s in samples)
    np.testing.assert_array_equal(task.sample(5)["image"], samples[5]["image"])
    assert len(task.held) == 2
    pictures = {int(s["key"]): s["clean"] for s in samples}
    assert len({key // 2 for key in pictures}) == 12  # six training pictures in either folder
    assert all(np.array_equal(pictures[int(s["key"])], s["clean"]) for s in samples)


@pytest.mark.usefixtures("everybody")
def test_the_teacher_is_asked_once_for_each_picture(teacher: Path, tmp_path: Path) -> None:
    task = task_of(teacher, write_pictures(tmp_path / "faces"))
    samples = [task.sample(i) for i in range(40)]
    batch = {key: torch.from_numpy(np.stack([s[key] for s in samples])) for key in samples[0]}
    asked: list[int] = []
    task.teacher.register_forward_hook(lambda _module, given, _said: asked.append(len(given[0])))
    wanted = task._wanted(batch)
    torch.testing.assert_close(wanted, task.teacher(batch["clean"] * 2 - 1), rtol=1e-3, atol=1e-4)
    asked.clear()
    assert torch.equal(task._wanted(batch), wanted)
    assert not asked


def test_pictures_of_several_sizes_are_embedded_together(teacher: Path) -> None:
    embedder, rng = Embedder(teacher), np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (side, side, 3), dtype=np.uint8) for side in (64, 64, 80, 64)]
    wanted = torch.cat([embedder.pictures([picture]) for picture in pictures])
    torch.testing.assert_close(embedder.pictures(pictures), wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("everybody")
def test_its_file_gives_what_the_network_gives(teacher: Path, tmp_path: Path) -> None:
    task = task_of(teacher, write_pictures(tmp_path / "faces"))
    loop = replace(presets.choose("identity", "tiny").loop, images=256, threads=1)
    network = train(task, tmp_path / "run", loop)
    publish(tmp_path / "run", tmp_path / "who.onnx", name="who", version="1", licence="none", newest=True)
    contract = read_contract(tmp_path / "who.onnx")
    assert (contract.task, contract.size) == ("identity", SIZE)
    faces = np.stack([task.sample(i)["clean"] for i in range(2)]).astype(np.float32)
    found = open_session(tmp_path / "who.onnx", precision="fp32").run(faces)
    with torch.no_grad():
        wanted = network(torch.from_numpy(faces)).numpy()
    assert (found * wanted).sum(1).min() > 0.999


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipe": "nonsense"}, "no recipe 'nonsense'"),
        ({"clean": 1.5}, "clean must be between 0 and 1"),
        ({"more_share": -0.1}, "more_share must be between 0 and 1"),
        ({"hints": -1.0}, "hints must not be below 0"),
        ({"validation": 0}, "validation must be at least 1"),
        ({"pool": 10, "reuse": 3}, r"pool \(10\) must be a multiple of reuse \(3\)"),
        ({"pool": 10**30, "reuse": 1}, "both from 1 to 16777216"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        IdentitySettings(data=tmp_path, teacher=tmp_path, **changes)
