"""What holds of every metric in the table: one harness, random weights in the published layouts."""

import json
import math
import re
import sys
import types
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import lpips
import numpy as np
import pytest
from skimage import data

torch = pytest.importorskip("torch")

from metric_weights import inception, trust, write  # noqa: E402
from torch import Tensor  # noqa: E402

from revisage import zoo  # noqa: E402
from revisage.errors import UsageError  # noqa: E402
from revisage.lab.metrics import METRICS, Metric, describe, frechet, kid, load, table  # noqa: E402
from revisage.lab.metrics.frechet import open_inception  # noqa: E402

PERFECT = {"psnr": math.inf, "ssim": 1.0, "ms_ssim": 1.0}  # of equal pictures; 0 for the rest
RANGE = {
    "psnr": (0, math.inf),
    "ssim": (-1, 1),
    "ms_ssim": (0, 1),
    "kid": (-math.inf, math.inf),
    **dict.fromkeys(("degrees", "degrees_edgeface", "degrees_arcface", "degrees_dlib"), (0, 180)),
}
PAIRS = [name for name, entry in METRICS.items() if entry.spec.kind == "pair"]
SETS = [name for name, entry in METRICS.items() if entry.spec.kind == "set"]
NOISE = (0.02, 0.08, 0.3)


class FakeDlib:
    """Stands in for dlib: the means of the chip's 25 squares."""

    def __init__(self, path: str) -> None:
        assert Path(path).is_file()

    def compute_face_descriptor(self, chip: np.ndarray) -> list[float]:
        return chip.reshape(5, 30, 5, 30, 3).mean((1, 3, 4)).flatten().tolist()


def find_landmarks(pictures: Tensor) -> Tensor:
    """Stands in for a detector: five points that move with the picture's content; none in a black picture."""
    side = pictures.shape[-1]
    base = torch.tensor([[0.35, 0.4], [0.65, 0.4], [0.5, 0.6], [0.4, 0.75], [0.6, 0.75]])
    directions = torch.randn(10, side * side, generator=torch.Generator().manual_seed(0)) / side
    moved = (pictures.mean(1).flatten(1) @ directions.T).reshape(-1, 5, 2)
    points = side * base + moved
    points[pictures.amax(dim=(1, 2, 3)) == 0] = torch.nan
    return points


def corner_features(pictures: Tensor) -> Tensor:
    """Stands in for Inception: six features that pictures' edges drive."""
    kernels = torch.randn(6, 3, 3, 3, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.conv2d(pictures, kernels).relu().mean((2, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write(folder)
    return folder


Load = Callable[[str], Metric]


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Iterator[Load]:
    """Gives the metric of a name, loaded once."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        trust(folder, patch)
        patch.setitem(sys.modules, "dlib", types.SimpleNamespace(face_recognition_model_v1=FakeDlib))
        # Inception costs a second a picture; it has a test of its own.
        patch.setattr(table, "open_inception", lambda path: corner_features)
        yield cache(lambda name: load([name], folder, find_landmarks)[0])


@pytest.fixture
def metric(loaded: Load, request: pytest.FixtureRequest) -> Metric:
    return loaded(request.param)


def every(names: list[str]) -> Callable[..., object]:
    return pytest.mark.parametrize("metric", names, indirect=True)


def side(metric: Metric) -> int:
    return max(64, metric.spec.least)


def clean(metric: Metric, count: int = 2) -> Tensor:
    """(count, 3, S, S) of real photos."""
    s = side(metric)
    places = [(80, 180), (200, 60), (0, 250), (300, 300)][:count]
    crops = [data.astronaut()[y : y + s, x : x + s].transpose(2, 0, 1) for y, x in places]
    return torch.from_numpy(np.stack(crops)).float() / 255


def noisy(pictures: Tensor, sigma: float) -> Tensor:
    noise = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1))
    return (pictures + sigma * noise).clamp(0, 1)


def value(metric: Metric, restored: Tensor, truth: Tensor) -> float:
    """The mean over the pictures, or the set's value."""
    if metric.spec.kind == "set":
        return metric.gathered([restored]).distance(metric.gathered([truth]))
    return float(metric(restored, truth).mean())


def test_every_name_of_the_contract_is_there() -> None:
    names = (
        "psnr ssim ms_ssim niqe lpips_alex lpips_vgg lpips_squeeze fid kid degrees landmarks frechet_identity"
    )
    assert set(names.split()) <= set(METRICS)
    assert all(name == entry.spec.name for name, entry in METRICS.items())


@every(list(METRICS))
def test_more_noise_is_worse_and_every_value_is_in_range(metric: Metric) -> None:
    pictures = clean(metric)
    values = [value(metric, noisy(pictures, sigma), pictures) for sigma in NOISE]
    assert sorted(values, reverse=metric.spec.better == "higher") == values
    assert len(set(values)) == len(values)
    low, high = RANGE.get(metric.spec.name, (0, math.inf))
    assert all(low <= v <= high for v in values)


@every([name for name in METRICS if METRICS[name].spec.kind != "alone"])
def test_equal_pictures_are_perfect(metric: Metric) -> None:
    pictures = clean(metric)
    found = value(metric, pictures, pictures)
    if metric.spec.name == "kid":
        # Unbiased: pairs of a picture with itself count on one side only, so equal sets fall below zero.
        assert found < 0
    else:
        assert found == pytest.approx(PERFECT.get(metric.spec.name, 0), abs=2e-3)


@every([name for name in METRICS if METRICS[name].spec.kind != "alone"])
def test_only_landmarks_depend_on_which_is_the_truth(metric: Metric) -> None:
    pictures = clean(metric)
    other = noisy(pictures, 0.1)
    one, turned = value(metric, other, pictures), value(metric, pictures, other)
    if metric.spec.name == "landmarks":
        assert one != pytest.approx(turned, rel=1e-3)  # the distance of the true eyes is its unit
    else:
        assert one == pytest.approx(turned, rel=1e-4)


@every(list(METRICS))
def test_batches_do_not_matter(metric: Metric) -> None:
    pictures = clean(metric, 4)
    low = noisy(pictures, 0.1)
    if metric.spec.kind == "set":
        parts = [metric.gathered(part.split([1, 3])) for part in (low, pictures)]
        assert parts[0].distance(parts[1]) == pytest.approx(value(metric, low, pictures), rel=1e-4)
    else:
        together = metric(low, pictures)
        assert together.shape == (4,)
        assert together.dtype == torch.float64
        pairs = zip(low.split([1, 3]), pictures.split([1, 3]), strict=True)
        torch.testing.assert_close(torch.cat([metric(*p) for p in pairs]), together, rtol=1e-4, atol=1e-6)


@every(list(METRICS))
def test_values_beyond_the_range_are_clipped(metric: Metric) -> None:
    pictures = clean(metric)
    wild = 3 * noisy(pictures, 0.1) - 1
    assert value(metric, wild, pictures) == pytest.approx(value(metric, wild.clamp(0, 1), pictures))


@every(list(METRICS))
def test_other_shapes_are_refused(metric: Metric) -> None:
    pictures = clean(metric)
    name = metric.spec.name
    for wrong in (pictures[0], pictures[:, :1], (pictures * 255).byte()):
        with pytest.raises(UsageError, match=rf"{name} takes pictures as \(N, 3, H, W\)"):
            metric(wrong, wrong)
    if metric.spec.least > 1:
        small = pictures[..., : metric.spec.least - 1]
        with pytest.raises(UsageError, match=f"{name} needs pictures of at least {metric.spec.least} px"):
            metric(small, small)
    if metric.spec.kind == "pair":
        with pytest.raises(UsageError, match=f"{name} compares with the true picture"):
            metric(pictures)
        with pytest.raises(UsageError, match=f"{name} compares equal"):
            metric(pictures, pictures[:1])


@every(["niqe"])
def test_niqe_needs_no_truth(metric: Metric) -> None:
    pictures = clean(metric)
    torch.testing.assert_close(metric(pictures), metric(pictures, noisy(pictures, 0.3)))


@every(SETS)
def test_sets_need_no_pairs_and_two_pictures(metric: Metric) -> None:
    pictures = clean(metric, 4)
    low = noisy(pictures, 0.2)
    truth = metric.gathered([pictures.flip(0)])
    with pytest.raises(UsageError, match="at least two pictures a side, not 0"):
        metric.gathered([]).distance(truth)
    found = metric.gathered([low[:3], low[3:]]).distance(truth)
    assert found == pytest.approx(value(metric, low, pictures), rel=1e-4)


@every(["landmarks"])
def test_pictures_without_a_value_get_nan(metric: Metric) -> None:
    pictures = clean(metric)
    values = metric(torch.stack([pictures[0], torch.zeros_like(pictures[0])]), noisy(pictures, 0.1))
    assert values.isnan().tolist() == [False, True]


@every(SETS)
def test_what_is_kept_does_not_grow(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kid, "KEPT", 4)

    def kept(batches: int) -> int:
        side_ = metric.gathered([clean(metric, 4)] * batches)
        if isinstance(side_, frechet.Gaussian):
            return sum(v.untyped_storage().nbytes() for v in vars(side_).values() if isinstance(v, Tensor))
        assert isinstance(side_, kid.Reservoir)
        return sum(row.untyped_storage().nbytes() for row in side_._rows)

    assert kept(2) == kept(1)


@every(list(METRICS))
def test_the_definition_can_be_written_down(metric: Metric) -> None:
    written = json.loads(json.dumps(describe(metric)))
    assert written["name"] == metric.spec.name
    assert set(metric.spec.weights) <= set(written["weights"])
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in written["weights"].values())
    for key in ("data_range", "colour", "crop", "source", "better"):
        assert written[key]


@pytest.mark.parametrize(
    ("net", "weights"), [("alex", "alexnet"), ("vgg", "vgg16"), ("squeeze", "squeezenet")]
)
def test_lpips_equals_the_authors_package(net: str, weights: str, loaded: Load, folder: Path) -> None:
    state = torch.load(folder / zoo.CATALOGUE[weights].file)
    oracle = lpips.LPIPS(net=net, pnet_rand=True, verbose=False).eval()
    backbone = oracle.net.state_dict()
    for key in backbone:  # slice2.3.weight is torchvision's features.3.weight
        backbone[key] = state["features." + key.split(".", 1)[1]]
    oracle.net.load_state_dict(backbone)
    metric = loaded(f"lpips_{net}")
    pictures = clean(metric)
    low = noisy(pictures, 0.1)
    with torch.no_grad():
        expected = oracle(low, pictures, normalize=True).flatten().double()
    torch.testing.assert_close(metric(low, pictures), expected, rtol=1e-4, atol=1e-6)


def test_inception_takes_eight_bits_at_the_last_pooling(folder: Path) -> None:
    path = folder / zoo.CATALOGUE["inception"].file
    network = inception()
    network.load_state_dict(torch.load(path))
    pictures = torch.rand(2, 3, 64, 48)
    (expected,) = network((pictures * 255).round().byte())
    features = open_inception(path)(pictures)
    assert features.shape == (2, 2048)
    torch.testing.assert_close(features, expected)
