"""The tone model learns to undo fading, from samples that are drawn by number; its colours are people's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("onnx")

from skimage.color import deltaE_ciede94, rgb2lab  # noqa: E402
from train_pictures import write_pictures  # noqa: E402

from revisage.errors import UsageError  # noqa: E402
from revisage.lab.architectures import export_network  # noqa: E402
from revisage.lab.losses.colour import ciede94, lab  # noqa: E402
from revisage.lab.networks.tone import ToneNetwork, relevel  # noqa: E402
from revisage.lab.train import presets  # noqa: E402
from revisage.lab.train.loop import train  # noqa: E402
from revisage.lab.train.settings import change  # noqa: E402
from revisage.lab.train.tasks.tone import ToneTask  # noqa: E402
from revisage.restore.tone import SIDE, Tone  # noqa: E402
from revisage.runtime import open_session  # noqa: E402


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp("pictures"))


def tiny(data: Path, **changes: object) -> ToneTask:
    preset = presets.choose("tone", "tiny")
    task = preset.make(change(preset.task(data), changes))
    assert isinstance(task, ToneTask)
    return task


def test_the_tiny_preset_learns_and_its_file_gives_the_same(pictures: Path, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    task = tiny(pictures)
    before = task.validate(task.networks["tone"].eval())
    loop = replace(presets.choose("tone", "tiny").loop, threads=1, images=1600, rate=3e-3)
    network = train(task, tmp_path, loop)
    after = task.validate(network)
    assert after["closeness"] > before["closeness"] + 0.5
    assert after["faded"] == before["faded"] > after["left"]
    assert task.pictures(network).std() > 10
    file = tmp_path / "tone.onnx"
    export_network(network, file, name="tone", version="1", licence="x")
    photo = task.sample(1)["faded"][None]
    levels = open_session(file, device="cpu", precision="fp32").run(photo)
    with torch.no_grad():
        np.testing.assert_allclose(levels, network(torch.from_numpy(photo)).numpy(), atol=2e-3)


def test_samples_are_drawn_by_number_and_some_have_not_faded(pictures: Path) -> None:
    one, other = tiny(pictures, more=pictures), tiny(pictures, more=pictures)
    faded = gray = 0
    for index in range(60):
        sample, again = one.sample(index), other.sample(index)
        assert sample.keys() == again.keys() == {"faded", "photo", "weight"}
        assert all(np.array_equal(sample[key], again[key]) for key in sample)
        assert sample["faded"].shape == sample["photo"].shape == (3, SIDE, SIDE)
        same = np.array_equal(sample["faded"], sample["photo"])
        assert sample["weight"] == (2 if same else 1)
        faded += not same
        gray += np.ptp(sample["photo"], axis=0).max() < 1e-6
    assert 30 < faded < 54
    assert 1 <= gray < 20
    with pytest.raises(UsageError, match="gray must be between 0 and 1"):
        tiny(pictures, gray=1.5)


def test_levels_are_in_their_ranges_and_mean_the_same_in_training_and_use() -> None:
    network = ToneNetwork()
    network.levels.weight.data.mul_(1000)
    photo = torch.rand(7, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        levels = network(photo)
        black, white, gamma = levels.chunk(3, dim=1)
        assert 0 <= black.min() < black.max() <= 0.4
        assert 0.5 <= white.min() < white.max() <= 1
        assert 0.4 <= gamma.min() < gamma.max() <= 2.5
        shown = relevel(photo, levels)
    for picture, row, expected in zip(photo.numpy(), levels.numpy(), shown.numpy(), strict=True):
        tone = Tone(*(tuple(part) for part in row.reshape(3, 3).tolist()))
        ours = tone.curves(picture.transpose(1, 2, 0)).transpose(2, 0, 1)
        np.testing.assert_allclose(ours, expected, atol=0.03)
        np.testing.assert_allclose(np.median(ours - expected), 0, atol=1e-4)


def test_colour_differences_are_those_of_the_standard() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 9, 9, 3))
    tensors = [torch.from_numpy(p.transpose(2, 0, 1)[None]) for p in (first, second)]
    np.testing.assert_allclose(torch.stack(lab(tensors[0]), -1)[0], rgb2lab(first), atol=0.05)
    expected = deltaE_ciede94(rgb2lab(second), rgb2lab(first))
    np.testing.assert_allclose(ciede94(*tensors)[0], expected, atol=0.05)


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_equal_and_extreme_colours_have_a_gradient(level: float) -> None:
    one = torch.full((1, 3, 2, 2), level, requires_grad=True)
    ciede94(one, torch.full((1, 3, 2, 2), 1.0 - level)).sum().backward()
    assert one.grad is not None
    assert torch.isfinite(one.grad).all()
