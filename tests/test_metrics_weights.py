"""Where metrics get their weights, and what they say when there are none or others."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from metric_weights import trust, write_niqe  # noqa: E402

from revisage import zoo  # noqa: E402
from revisage.errors import ModelCorruptError, ModelMissingError, UsageError  # noqa: E402
from revisage.files import sha256  # noqa: E402
from revisage.lab.metrics import METRICS, load  # noqa: E402
from revisage.lab.metrics.lpips import open_lpips  # noqa: E402
from revisage.lab.metrics.weights import locate  # noqa: E402

WITH_WEIGHTS = [name for name, entry in METRICS.items() if entry.spec.weights]


@pytest.mark.parametrize("name", WITH_WEIGHTS)
def test_missing_weights_are_named_with_the_way_to_get_them(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo.store, "user_folder", lambda: tmp_path / "models")
    monkeypatch.setenv("REVISAGE_MODELS", "")
    (weights,) = METRICS[name].spec.weights
    spec = zoo.CATALOGUE[weights]
    how = f"revisage models pull {weights}" if spec.url else f"put {spec.file} into {tmp_path / 'models'}"
    with pytest.raises(ModelMissingError, match=rf"^{name}: {weights} .*{re.escape(how)}"):
        load([name], tmp_path)


def test_weights_are_found_in_the_folder_or_the_zoo_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = zoo.CATALOGUE["niqe"].file
    write_niqe(tmp_path)
    with pytest.raises(ModelCorruptError, match="sha256 of niqe"):
        load(["niqe"], tmp_path)
    monkeypatch.setenv("REVISAGE_MODELS", str(tmp_path))
    with pytest.raises(ModelCorruptError, match="sha256 of niqe"):
        load(["niqe"])
    trust(tmp_path, monkeypatch)
    digest = {"niqe": sha256(tmp_path / name)}
    assert load(["niqe"])[0].sha256 == load(["niqe"], tmp_path)[0].sha256 == digest


def test_unknown_metrics_and_a_missing_detector_are_named() -> None:
    with pytest.raises(UsageError, match=r"called fido, psrn; there are psnr, ssim"):
        load(["psnr", "fido", "psrn"])
    with pytest.raises(UsageError, match="face finder"):
        load(["landmarks"])


@pytest.mark.parametrize("name", ["lpips_alex", "fid"])
def test_other_networks_weights_are_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (weights,) = METRICS[name].spec.weights
    path = tmp_path / zoo.CATALOGUE[weights].file
    torch.save({"features.0.weight": torch.zeros(1)}, path)
    trust(tmp_path, monkeypatch)
    with pytest.raises(ModelCorruptError, match=re.escape(path.name)):
        load([name], tmp_path)


SHARED = Path(__file__).parents[2] / "shared" / "models"


@pytest.mark.skipif(not (SHARED / "squeezenet1_1.npz").is_file(), reason="the shared models are not here")
def test_lpips_takes_the_copy_in_16_bits_where_the_published_file_is_not_there(tmp_path: Path) -> None:
    pytest.importorskip("torchmetrics")
    path = locate("squeezenet", "lpips_squeeze", SHARED)
    assert path.name == "squeezenet1_1.npz"
    distance = open_lpips("squeeze", path)
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, 96, 96, generator=generator) * 0.5 + 0.25
    noisy = picture + 0.05 * torch.randn(picture.shape, generator=generator)
    assert float(distance(picture, picture)) == 0
    assert 0.005 < float(distance(picture, noisy)) < 0.6
    (tmp_path / "squeezenet1_1.npz").write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelCorruptError, match="sha256"):
        locate("squeezenet", "lpips_squeeze", tmp_path)
