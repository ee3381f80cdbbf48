"""What the cards promise of the embedded models, on small held-out sets: no worse weights are shipped.

The cards' own figures are of larger sets, by the programs in benchmarks/.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from revisage import Restorer  # noqa: E402
from revisage.lab.data.pictures import Pictures, find_pictures  # noqa: E402
from revisage.lab.degrade import RECIPES, apply, tone, zoomed  # noqa: E402
from revisage.lab.degrade.ageing import Toning  # noqa: E402
from revisage.lab.metrics.ms_ssim import ms_ssim  # noqa: E402
from revisage.lab.metrics.psnr import psnr  # noqa: E402
from revisage.lab.metrics.ssim import ssim  # noqa: E402
from revisage.lab.networks.progressive import SIZE, brought  # noqa: E402
from revisage.lab.train.tasks.progressive import HELD_OUT, degraded, person, sized  # noqa: E402
from revisage.options import RestoreOptions, Settings  # noqa: E402
from revisage.restore.models import InstalledModels  # noqa: E402
from revisage.restore.repair import damage_in  # noqa: E402
from revisage.runtime import open_session  # noqa: E402
from revisage.zoo import CATALOGUE, resolve  # noqa: E402
from revisage.zoo.spec import EMBEDDED  # noqa: E402

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import damage  # noqa: E402
import face_model  # noqa: E402


def test_the_set_is_small_enough_to_ship() -> None:
    sizes = {
        name: resolve(spec.task, name).path.stat().st_size
        for name, spec in CATALOGUE.items()
        if spec.url is None and spec.task != "features"
    }
    assert sizes["revisage-face-256"] <= 24 * 2**20
    files = [path for path in EMBEDDED.iterdir() if path.suffix != ".md"]
    assert {path.stem for path in files} == set(sizes)  # nothing else goes along
    assert sum(path.stat().st_size for path in files) <= 40 * 2**20


@pytest.fixture(scope="module", params=face_model.SETS)
def faces(request: pytest.FixtureRequest, shared: Path) -> list[np.ndarray]:
    return face_model.SETS[request.param](shared, 24)


JUDGED = ("psnr", "ssim", "lpips_squeeze", "degrees", "frechet_identity")


@pytest.fixture(scope="module")
def judges(shared: Path) -> list[object]:
    return face_model.load(list(JUDGED), shared / "models")


@pytest.mark.parametrize("recipe", ["paper", "hard"])
def test_restored_faces_beat_their_inputs(
    faces: list[np.ndarray],
    recipe: str,
    judges: list[object],
    shared: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(face_model, "METRICS", dict.fromkeys(JUDGED))
    monkeypatch.setattr(face_model, "load", lambda names, folder: judges)
    sessions = {"output": open_session(resolve("face").path, device="cpu")}
    figures = face_model.measure(faces, recipe, sessions, Namespace(seed=1, shared=shared, keep=False))
    before, after = figures["input"], figures["output"]
    for metric in ("psnr", "ssim"):
        assert after[metric].mean() > before[metric].mean()
    for metric in ("degrees", "frechet_identity"):
        assert after[metric].mean() < before[metric].mean()
    assert after["lpips_squeeze"].mean() < 0.65 * before["lpips_squeeze"].mean()


def test_colourless_faces_get_no_colours(shared: Path) -> None:
    """The model itself, without the hold of `--colour keep`: gray stays gray, and sepia sepia."""
    session, recipe = open_session(resolve("face").path, device="cpu"), RECIPES["gfpgan"]
    sepia = Toning((0.05, 0.03, 0.01), (0.58, 0.49, 0.37), (1.0, 0.95, 0.8))

    def restored(face: np.ndarray) -> np.ndarray:
        return session.run(face.transpose(2, 0, 1)[None].copy())[0].transpose(1, 2, 0).clip(0, 1)

    for i, face in enumerate(face_model.faces256(shared, 12)):
        clean = cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[..., None].repeat(3, axis=2).astype(np.float32) / 255
        low = recipe.apply(clean, recipe.sample(np.random.default_rng((0, i))))
        low = low.mean(axis=2, keepdims=True).repeat(3, axis=2)
        gray = restored(low)
        assert np.ptp(gray, axis=2).mean() < 3 / 255
        tones = np.diff(restored(sepia.apply(low)) - sepia.apply(gray), axis=2)
        assert np.abs(tones).mean() < 3 / 255  # sepia itself is 14 to 27


@pytest.mark.parametrize(("name", "encoder"), [("progressive-upscale", False), ("progressive-restore", True)])
def test_progressive_pictures_beat_their_inputs(name: str, encoder: bool, shared: Path) -> None:
    """Whole pictures of people who were kept from the training."""
    root = shared / "data" / "lfw128"
    held = Pictures(
        find_pictures(root, name=lambda path: person(path, root), held=True, share=HELD_OUT)[::60]
    )
    session = open_session(resolve("face", name).path, device="cpu")
    figures: dict[str, list[float]] = {}
    for i in range(len(held)):
        clean = sized(held[i])
        low = degraded(clean, np.random.default_rng((1, i)), encoder=encoder)
        pair = [np.ascontiguousarray(p.transpose(2, 0, 1)[None], np.float32) for p in (low, clean)]
        truth = torch.from_numpy(pair[1])
        for row, picture in (
            ("output", torch.from_numpy(session.run(pair[0]))),
            ("input", brought(torch.from_numpy(pair[0]), SIZE).clamp(0, 1)),
        ):
            for metric in (psnr, ssim, ms_ssim):
                figures.setdefault(f"{row} {metric.__name__}", []).append(float(metric(picture, truth)))
    assert len(held) > 40
    for metric, least in (("psnr", 1.0), ("ssim", 0.05), ("ms_ssim", 0.02)):
        gain = np.mean(figures[f"output {metric}"]) - np.mean(figures[f"input {metric}"])
        assert gain > least, (metric, gain)


def test_cleaned_scenes_beat_bicubic(shared: Path) -> None:
    """Doubling under the old-photo recipe, marks at a photo's size; the tone is the photo's own."""
    held = Pictures(find_pictures(shared / "data" / "scenes", held=True))
    scene = InstalledModels(Settings(device="cpu")).scene()
    assert scene is not None
    session = scene.for_photo(2, RestoreOptions().clean).session
    ours, bicubic = [], []
    for i in range(min(8, len(held))):
        clean = held[i][:320, :320].astype(np.float32) / 255
        low = cv2.resize(clean, (160, 160), interpolation=cv2.INTER_AREA)
        chain = zoomed(RECIPES["old-photo"].sample(np.random.default_rng(i)), 2)
        low, clean = apply(low, chain), apply(clean, tone(chain))
        output = session.run(np.ascontiguousarray(low.transpose(2, 0, 1)[None]))[0].transpose(1, 2, 0)
        plain = cv2.resize(low, (320, 320), interpolation=cv2.INTER_CUBIC)
        truth = torch.from_numpy(clean.transpose(2, 0, 1)[None].copy())
        for scores, picture in ((ours, output), (bicubic, plain)):
            scores.append(float(psnr(torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()), truth)))
    assert np.mean(ours) > np.mean(bicubic)


@pytest.mark.parametrize("clean", [0.0, 0.5])
def test_photos_that_need_nothing_are_left_as_they_are(shared: Path, clean: float) -> None:
    """At their own size: 38 dB, an error of 3 gray levels of 256, is hard to see side by side."""
    held = Pictures(find_pictures(shared / "data" / "scenes", held=True))
    scene = InstalledModels(Settings(device="cpu")).scene()
    assert scene is not None
    session = scene.for_photo(1, clean).session
    figures = []
    for i in range(min(8, len(held))):
        photo = held[i].astype(np.float32) / 255
        photo = photo[: photo.shape[0] // 8 * 8, : photo.shape[1] // 8 * 8]
        small = cv2.resize(photo, (photo.shape[1] // 2, photo.shape[0] // 2), interpolation=cv2.INTER_AREA)
        low = np.ascontiguousarray(small.transpose(2, 0, 1)[None])
        figures.append(float(psnr(torch.from_numpy(session.run(low)), torch.from_numpy(low))))
    assert np.mean(figures) > 38


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("level", [0, 128, 250, 255])
def test_an_even_picture_keeps_its_level(scale: int, level: int) -> None:
    """White paper stays white: the 8-bit models once cut all above 249."""
    sheet = np.full((64, 80, 3), level, np.uint8)
    canvas = Restorer(device="cpu", model="none").restore(sheet, scale=scale).pixels
    assert abs(canvas.mean() - level) < 1


def test_damage_is_found_where_it_is_drawn_and_hardly_elsewhere(shared: Path) -> None:
    photos = damage.held_photos(shared / "data")
    session = open_session(resolve("damage").path, device="cpu")
    pairs = [pair for _, pair in islice(damage.marked(photos, 1), 24)]
    counts = damage.counted(session, pairs).sum(axis=0)
    assert counts[0] > 0.4 * counts[1]
    model = InstalledModels(Settings(device="cpu")).damage()
    clean = [damage_in(np.ascontiguousarray(photos[i]), model, thin=True).mean() for i in range(24)]
    assert np.mean(clean) < 0.001
