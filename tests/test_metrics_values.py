"""Metrics against other implementations, closed forms and published values."""

import math
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import linalg, ndimage, special, stats
from skimage import data

torch = pytest.importorskip("torch")

from piq import multi_scale_ssim  # noqa: E402
from torch import Tensor  # noqa: E402
from torchmetrics.functional.image import (  # noqa: E402
    multiscale_structural_similarity_index_measure,
)

from revisage.errors import ModelCorruptError, RuntimeUnavailableError  # noqa: E402
from revisage.lab.metrics.degrees import degrees  # noqa: E402
from revisage.lab.metrics.embedders import EMBEDDERS, dlib_chips  # noqa: E402
from revisage.lab.metrics.landmarks import landmarks  # noqa: E402
from revisage.lab.metrics.ms_ssim import ms_ssim, scales  # noqa: E402
from revisage.lab.metrics.niqe import PristineModel, features, niqe, read_pristine  # noqa: E402
from revisage.lab.metrics.niqe import _fit as fit  # noqa: E402
from revisage.lab.metrics.niqe import _half as half  # noqa: E402


@pytest.fixture(autouse=True)
def _threads() -> None:
    torch.set_num_threads(1)


def tensor(picture: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)[None])).float() / 255


def noisy(picture: np.ndarray, sigma: float = 15) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, sigma, picture.shape)
    return np.rint(picture + noise).clip(0, 255).astype(np.uint8)


# MS-SSIM


@pytest.mark.parametrize("sigma", [3, 15, 60])
def test_ms_ssim_equals_piq(sigma: float) -> None:
    clean = data.astronaut()[:208, 100:324]
    a, b = tensor(noisy(clean, sigma)), tensor(clean)
    expected = multi_scale_ssim(a, b, data_range=1.0, reduction="none")
    assert float(ms_ssim(a, b)) == pytest.approx(float(expected), abs=1e-5)


def test_ms_ssim_equals_torchmetrics_on_gray_pictures() -> None:
    # On three equal channels, since it takes their mean before the product over scales; and to 5e-4,
    # since the last scale's luminance keeps the mirrored border there.
    clean = np.repeat(data.camera()[100:308, 100:292, None], 3, axis=2)
    low = np.repeat(noisy(clean)[:, :, :1], 3, axis=2)
    expected = multiscale_structural_similarity_index_measure(tensor(low), tensor(clean), data_range=1.0)
    assert float(ms_ssim(tensor(low), tensor(clean))) == pytest.approx(float(expected), abs=5e-4)


@pytest.mark.parametrize(("side", "count"), [(10, 0), (11, 1), (22, 2), (128, 4), (175, 4), (176, 5)])
def test_ms_ssim_has_as_many_scales_as_fit(side: int, count: int) -> None:
    assert scales(side) == count


def test_ms_ssim_at_128_px_is_piqs_with_four_weights() -> None:
    clean = data.astronaut()[:128, 150:278]
    a, b = tensor(noisy(clean)), tensor(clean)
    weights = torch.tensor([0.0448, 0.2856, 0.3001, 0.2363])
    weights *= 1.0001 / weights.sum()  # the five published ones sum to 1.0001
    expected = multi_scale_ssim(a, b, data_range=1.0, scale_weights=weights)
    assert float(ms_ssim(a, b)) == pytest.approx(float(expected), abs=1e-5)


# NIQE

# niqe() of BasicSR 1.4.2, the published Python version of the authors' MATLAB, on the same rounded luma.
BASICSR = {
    ("astronaut", "whole"): 3.062023,
    ("astronaut", "noisy"): 7.858773,
    ("astronaut", "256"): 5.638975,
    ("coffee", "whole"): 4.060195,
    ("coffee", "noisy"): 9.235109,
    ("coffee", "256"): 8.800418,
    ("chelsea", "whole"): 2.572084,
    ("chelsea", "noisy"): 7.493596,
    ("chelsea", "256"): 3.619706,
}


def photo(name: str, variant: str) -> np.ndarray:
    picture: np.ndarray = getattr(data, name)()
    if variant == "256":
        return picture[30:286, 40:296]
    return noisy(picture) if variant == "noisy" else picture


@pytest.fixture(scope="module")
def pristine(shared: Path) -> PristineModel:
    return read_pristine(shared / "models" / "niqe_pris_params.npz")


@pytest.mark.parametrize(("name", "variant"), BASICSR)
def test_niqe_agrees_with_basicsr(name: str, variant: str, pristine: PristineModel) -> None:
    # It shrinks in float32.
    measured = float(niqe(tensor(photo(name, variant)), pristine))
    assert measured == pytest.approx(BASICSR[name, variant], rel=5e-5)


def halving(side: int) -> np.ndarray:
    """(side / 2, side): Keys' cubic over twice its width, mirrored at the edges."""
    matrix = np.zeros((side // 2, side))
    for i in range(side // 2):
        for j in range(2 * i - 8, 2 * i + 10):
            d = abs(j - (2 * i + 0.5)) / 2
            inner, outer = 1.5 * d**3 - 2.5 * d**2 + 1, -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
            weight = inner if d <= 1 else outer if d <= 2 else 0.0
            matrix[i, min(max(j, -1 - j), 2 * side - 1 - j)] += weight / 2
    return matrix


def independent_niqe(picture: np.ndarray, model: PristineModel) -> float:
    """The paper again by other means: scipy's filter, a matrix for the resize, a search of all shapes."""
    luma = (picture.astype(int) @ [299, 587, 114] + 500) // 1000 * 1.0
    h, w = (side // 96 * 96 for side in luma.shape)
    luma = luma[:h, :w]
    small = halving(h) @ luma @ halving(w).T
    window = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    window = np.outer(window, window) / window.sum() ** 2

    grid = np.arange(200, 10_001) / 1000  # as the published code; a root in between moves NIQE by 0.2 %
    rho = special.gamma(2 / grid) ** 2 / (special.gamma(1 / grid) * special.gamma(3 / grid))

    def aggd(x: np.ndarray) -> tuple[float, float, float]:
        left, right = math.sqrt((x[x < 0] ** 2).mean()), math.sqrt((x[x > 0] ** 2).mean())
        g = left / right
        target = np.abs(x).mean() ** 2 / (x**2).mean() * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
        alpha = grid[np.argmin((rho - target) ** 2)]
        scale = math.sqrt(special.gamma(1 / alpha) / special.gamma(3 / alpha))
        return alpha, left * scale, right * scale

    rows = []
    for picture_, side in ((luma, 96), (small, 48)):
        mean = ndimage.correlate(picture_, window, mode="nearest")
        variance = np.abs(ndimage.correlate(picture_**2, window, mode="nearest") - mean**2)
        mscn = (picture_ - mean) / (np.sqrt(variance) + 1)
        scale_rows = []
        for top in range(0, mscn.shape[0], side):
            for left_edge in range(0, mscn.shape[1], side):
                block = mscn[top : top + side, left_edge : left_edge + side]
                alpha, left, right = aggd(block)
                row = [alpha, (left + right) / 2]
                for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
                    alpha, left, right = aggd(block * np.roll(block, shift, (0, 1)))
                    moved = (right - left) * special.gamma(2 / alpha) / special.gamma(1 / alpha)
                    row += [alpha, moved, left, right]
                scale_rows.append(row)
        rows.append(np.array(scale_rows))
    found = np.hstack(rows)
    difference = found.mean(0) - model.mean.numpy()
    pooled = (np.cov(found.T) + model.covariance.numpy()) / 2
    return math.sqrt(difference @ linalg.pinv(pooled) @ difference)


@pytest.mark.parametrize("name", ["astronaut", "chelsea"])
def test_niqe_agrees_with_the_paper_computed_by_other_means(name: str, pristine: PristineModel) -> None:
    picture = photo(name, "256")
    assert float(niqe(tensor(picture), pristine)) == pytest.approx(
        independent_niqe(picture, pristine), rel=1e-6
    )


def test_niqe_agrees_on_faces(shared: Path, pristine: PristineModel) -> None:
    paths = sorted((shared / "data" / "faces256").glob("*.webp"))[:: 6619 // 4]
    for path in paths:
        picture = np.asarray(Image.open(path).convert("RGB"))
        # Four blocks make a nearly singular covariance, which magnifies rounding.
        assert float(niqe(tensor(picture), pristine)) == pytest.approx(
            independent_niqe(picture, pristine), rel=1e-3
        )


def test_half_is_pillows_bicubic() -> None:
    luma = data.camera()[:64, :96].astype(np.float64)
    padded = Image.fromarray(np.pad(luma, 8, mode="symmetric").astype(np.float32))
    expected = np.asarray(padded.resize((56, 40), Image.Resampling.BICUBIC))[4:-4, 4:-4]
    np.testing.assert_allclose(half(luma), expected, atol=1e-3)


@pytest.mark.parametrize(("alpha", "left", "right"), [(0.7, 1, 1), (1.2, 0.5, 2), (2, 1, 1), (4, 3, 1)])
def test_fit_finds_the_distribution_that_was_sampled(alpha: float, left: float, right: float) -> None:
    rng = np.random.default_rng(0)
    size = np.abs(stats.gennorm.rvs(alpha, size=400_000, random_state=rng))
    is_left = rng.random(size.size) < left / (left + right)
    sample = torch.from_numpy(np.where(is_left, -left * size, right * size)).reshape(1, 500, 800)
    found_alpha, found_left, found_right, ratio = (float(v) for v in fit(sample))
    assert found_alpha == pytest.approx(alpha, rel=0.02)
    assert (found_left, found_right) == pytest.approx((left, right), rel=0.03)
    assert ratio == pytest.approx(special.gamma(2 / found_alpha) / special.gamma(1 / found_alpha))


def test_niqe_uses_the_blocks_that_fit(pristine: PristineModel) -> None:
    picture = tensor(photo("astronaut", "whole"))[..., :200, :290]
    assert features(picture[0, 0].double() * 255, pristine.window).shape == (2 * 3, 36)
    assert float(niqe(picture, pristine)) == float(niqe(picture[..., :192, :288], pristine))


def test_niqe_of_nothing_is_nan_and_flat_blocks_do_not_count(pristine: PristineModel) -> None:
    picture = tensor(photo("astronaut", "whole"))[..., :288, :288].clone()
    flat = torch.full_like(picture, 0.5)
    assert niqe(torch.cat([flat, picture]), pristine).isnan().tolist() == [True, False]
    picture[..., :96, :] = 0.5  # a bar across the top
    assert math.isfinite(float(niqe(picture, pristine)))


def test_other_files_are_no_pristine_model(tmp_path: Path) -> None:
    np.savez(tmp_path / "short.npz", mu_pris_param=np.zeros(3))
    np.savez(
        tmp_path / "shapes.npz",
        mu_pris_param=np.zeros(3),
        cov_pris_param=np.zeros((36, 36)),
        gaussian_window=np.zeros((7, 7)),
    )
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("short", "shapes", "text"):
        with pytest.raises(ModelCorruptError, match="pristine"):
            read_pristine(tmp_path / f"{name}.npz")


# Landmarks


def test_landmarks_by_hand() -> None:
    real = torch.tensor([[[10.0, 20.0], [30.0, 20.0], [20.0, 30.0], [12.0, 40.0], [28.0, 40.0]]])
    fake = real.clone()
    fake[0, 2] += torch.tensor([3.0, 4.0])
    assert landmarks(fake, real).tolist() == pytest.approx([100 * 5 / 5 / 20])
    assert landmarks(fake * 4, real * 4).tolist() == pytest.approx([5.0])  # whatever the size
    fake[0, 0] = torch.nan
    assert landmarks(fake, real).isnan().all()


# Embeddings


class FakeDlib:
    """Stands in for dlib: the mean colour of the chip's quarters."""

    def __init__(self, path: str) -> None:
        if Path(path).read_bytes() == b"broken":
            raise RuntimeError("Unexpected version found while deserializing")

    def compute_face_descriptor(self, chip: np.ndarray) -> list[float]:
        assert chip.shape == (150, 150, 3)
        assert chip.dtype == np.uint8
        return [float(q.mean()) for half_ in np.split(chip, 2) for q in np.split(half_, 2, axis=1)]


def test_dlib_is_asked_for_and_its_errors_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.dat"
    path.write_bytes(b"broken")
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(RuntimeUnavailableError, match="landmarks"):
        EMBEDDERS["dlib-face"](path)
    monkeypatch.setitem(sys.modules, "dlib", types.SimpleNamespace(face_recognition_model_v1=FakeDlib))
    with pytest.raises(ModelCorruptError, match=r"weights\.dat"):
        EMBEDDERS["dlib-face"](path)
    path.write_bytes(b"whole")
    assert EMBEDDERS["dlib-face"](path)(torch.rand(2, 3, 64, 64)).shape == (2, 4)


@pytest.mark.parametrize("side", [128, 256, 512])
def test_dlib_chips_have_the_eyes_where_dlib_puts_them(side: int) -> None:
    rows, columns = np.mgrid[:side, :side].astype(np.float64)
    face = np.zeros((side, side))
    for x, y in ((192.98, 239.95), (318.90, 240.19)):  # the FFHQ template's eyes, at 512 px
        cx, cy = (x + 0.5) * side / 512 - 0.5, (y + 0.5) * side / 512 - 0.5
        face += np.exp(-((columns - cx) ** 2 + (rows - cy) ** 2) / (2 * (side / 80) ** 2))
    (chip,) = dlib_chips(torch.from_numpy(face).float().clamp(0, 1).expand(1, 3, -1, -1))
    # dlib's mean face: eye corners as shares of the chip without its padding of a quarter.
    corners = (((0.1205750620789, 0.2137274526848), (0.3340850613712, 0.2290642403242)),)
    corners += (((0.6460604764104, 0.2289674387677), (0.8595674595992, 0.2134981538014)),)
    for half_, offset, pair in ((chip[:, :75], 0, corners[0]), (chip[:, 75:], 75, corners[1])):
        mass = half_[..., 0].astype(np.float64)
        y, x = (float((mass * axis).sum() / mass.sum()) for axis in np.mgrid[:150, :75])
        expected = 150 * (0.25 + np.mean(pair, axis=0)) / 1.5
        assert (x + offset, y) == pytest.approx(tuple(expected), abs=0.6)


def test_mobilefacenet_tells_people_apart(shared: Path) -> None:
    embed = EMBEDDERS["mobilefacenet"](shared / "models" / "mobilefacenet_068.ckpt")
    paths = sorted((shared / "data" / "faces256").glob("*.webp"))[:: 6619 // 12]
    faces = torch.cat([tensor(np.asarray(Image.open(path).convert("RGB"))) for path in paths])
    blurred = torch.nn.functional.avg_pool2d(faces, 3, 1, 1)
    with torch.no_grad():
        first, again = embed(faces), embed(blurred)
    assert degrees(again, first).mean() < 25
    assert degrees(first.roll(1, 0), first).mean() > 75


@pytest.mark.parametrize("name", ["mobilefacenet", "arcface-resnet18"])
def test_other_weights_are_refused(name: str, tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ModelCorruptError, match=r"other\.pth does not hold"):
        EMBEDDERS[name](tmp_path / "other.pth")
    for text in ("no checkpoint", "hello", "{}", "\0\0\0\0"):
        (tmp_path / "text.pth").write_text(text)
        with pytest.raises(ModelCorruptError, match="not a PyTorch checkpoint"):
            EMBEDDERS[name](tmp_path / "text.pth")
