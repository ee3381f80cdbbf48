"""`--colour revive`: what has faded comes back, what has not stays, and it is told."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from restore_stubs import StubModels, face_at, same, twice

from revisage import Restorer
from revisage.cli import main
from revisage.cli import restore as command
from revisage.image import decode, eight_bits, encode, from_array
from revisage.label import read
from revisage.options import Settings
from revisage.restore import InstalledModels
from revisage.restore.tone import Tone, estimate

MODEL = InstalledModels(Settings()).tone()
RED_CAST = (0.35, 0.9, 0.9)
ASTRONAUT = skimage.data.astronaut()


def scene(seed: int = 0) -> np.ndarray:
    """(120, 160, 3) uint8: coloured patches, and others from black to white."""
    rng = np.random.default_rng(seed)
    patches = rng.uniform(0.04, 0.95, (12, 16, 3))
    patches[::2] = rng.uniform(0.04, 1, (6, 16, 1))
    return np.rint(np.kron(patches, np.ones((10, 10, 1))) * 255).astype(np.uint8)


def faded(
    pixels: np.ndarray, keep: tuple[float, float, float], paper: tuple[float, float, float] = (1, 1, 1)
) -> np.ndarray:
    values = np.power(np.maximum(pixels / 255, 0.004), keep) * paper
    return np.rint(values * 255).astype(np.uint8)


def error(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(float) - second).mean())


def levels(*values: tuple[float, ...]) -> StubModels:
    """A source whose tone model always answers these black points, white points and gammas."""
    answer = np.float32(values).reshape(1, 9, 1)
    return StubModels(tone=lambda picture: answer, face=same, scene=twice, faces=[face_at(40, 60, 40)])


@pytest.mark.parametrize(
    ("keep", "paper"),
    [
        (RED_CAST, (1, 1, 1)),  # cyan is gone
        ((0.9, 0.35, 0.9), (1, 1, 1)),
        ((0.4, 0.4, 0.4), (1, 1, 1)),  # flat
        ((1, 1, 1), (0.95, 0.75, 0.5)),  # yellow paper
    ],
)
def test_strong_fading_is_undone_in_good_part(
    keep: tuple[float, float, float], paper: tuple[float, float, float]
) -> None:
    clean = scene()
    revived = faded(clean, keep, paper)
    before = error(revived, clean)
    estimate(revived, MODEL).apply(revived)
    assert error(revived, clean) < 0.85 * before


def test_the_model_sees_a_cast_that_the_tones_hardly_tell() -> None:
    revived = faded(ASTRONAUT, RED_CAST)
    before = error(revived, ASTRONAUT)
    estimate(revived, MODEL).apply(revived)
    assert error(revived, ASTRONAUT) < 0.5 * before


@pytest.mark.parametrize("seed", range(4))
def test_a_picture_of_all_tones_has_not_faded_and_stays_to_the_bit(seed: int) -> None:
    pixels = scene(seed)
    pixels[:10, :20], pixels[-10:, :20] = 252, 10
    kept = pixels.copy()
    tone = estimate(pixels, MODEL)
    tone.apply(pixels)
    assert not tone.changes
    assert np.array_equal(pixels, kept)


def test_photographs_come_nearer_and_those_that_have_not_faded_stay(shared: Path) -> None:
    moved, before, after = [], [], []
    for path in islice(sorted((shared / "data/scenes").iterdir()), 0, 100, 4):
        pixels = eight_bits(decode(path).pixels)
        kept, revived = pixels.copy(), faded(pixels, RED_CAST, (1, 0.97, 0.9))
        estimate(kept, MODEL).apply(kept)
        moved.append(error(kept, pixels))
        before.append(error(revived, pixels))
        estimate(revived, MODEL).apply(revived)
        after.append(error(revived, pixels))
    assert np.mean(moved) < 3  # gray levels
    assert np.mean(after) < 0.55 * np.mean(before)


@pytest.mark.parametrize(("light", "gamma"), [(0.25, 1), (0.4, 1), (0.25, 1 / 2.2)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_was_exposed_too_little_becomes_light(light: float, gamma: float, dtype: type) -> None:
    most = np.iinfo(dtype).max
    dark = np.rint(ASTRONAUT / 255 * light**gamma * most).astype(dtype)
    before = error(dark / most, ASTRONAUT / 255)
    estimate(dark, MODEL).apply(dark)
    assert error(dark / most, ASTRONAUT / 255) < 0.35 * before


def test_gray_stays_gray_and_sepia_its_tint() -> None:
    flat = (90 + ASTRONAUT[..., :1] // 3).repeat(3, axis=2)
    gray = flat.copy()
    estimate(gray, MODEL).apply(gray)
    assert (gray[..., 1:] == gray[..., :1]).all()
    assert np.ptp(gray) > 1.2 * np.ptp(flat)
    sepia = np.rint(flat * (1, 0.85, 0.6)).astype(np.uint8)
    tone = estimate(sepia, MODEL)
    assert tone.changes
    assert all(len(set(values)) == 1 for values in (tone.black, tone.gamma))
    paper = np.quantile(sepia.reshape(-1, 3), 0.998, axis=0)
    after = 255 * tone.curves(paper[None] / 255)[0]
    assert after.min() >= paper.min() - 2, "paper gets no darker"
    assert after / after.max() == pytest.approx(paper / paper.max(), abs=0.03)


@pytest.mark.parametrize("level", [60, 100, 128, 160])
def test_a_picture_of_hardly_any_tones_tells_nothing_of_fading(level: int) -> None:
    wall = np.full((120, 160, 3), level, np.uint8)
    assert not estimate(wall, MODEL).changes
    wall[::3] += 9  # about as much as its grain
    assert not estimate(wall, MODEL).changes


def test_strength_0_and_what_has_not_faded_stay_to_the_bit_in_16_bits() -> None:
    deep = scene().astype(np.uint16) * 257
    deep[0, :16] = np.arange(16)[:, None]  # less than one part in 4,095
    flat = deep // 3 + 20000
    none = levels((0,) * 3, (1,) * 3, (1,) * 3)
    some = levels((0.1,) * 3, (0.7,) * 3, (1,) * 3)
    for models, photo, revive in ((none, deep, 1), (some, flat, 0)):
        result = Restorer(models=models.choosing("none", "none")).restore(
            photo, scale=1, colour="revive", revive=revive
        )
        assert np.array_equal(result.pixels, photo)
        assert result.changed_by == ()


def test_the_command_line_says_that_tones_were_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "a.png"
    source.write_bytes(encode(from_array(scene() // 2 + 40), format="PNG"))
    some = Restorer(models=levels((0.1,) * 3, (0.7,) * 3, (1,) * 3))
    monkeypatch.setattr(command, "Restorer", lambda *settings, **changes: some)
    line = [str(source), "-o", str(tmp_path / "b.png"), "--colour"]
    for colour, told in (("keep", False), ("revive", True)):
        assert main([*line, colour]) == 0
        assert ("its tones are changed by an estimate" in capsys.readouterr().err) == told


def test_the_tones_of_faces_say_nothing() -> None:
    none = levels((0,) * 3, (1,) * 3, (1,) * 3).tone()
    pixels = scene()
    whole = estimate(pixels, none)
    pixels[10:60, 20:60] = (255, 170, 150)  # skin in the sun is no paper
    assert estimate(pixels, none, [face_at(40, 35, 30)]) == whole


@pytest.mark.parametrize("clean", [scene(), ASTRONAUT], ids=["patches", "astronaut"])
def test_plain_borders_say_nothing(clean: np.ndarray) -> None:
    inner = faded(clean, RED_CAST)
    edge = clean.shape[0] // 6
    framed = np.pad(inner, ((edge, edge), (edge, edge), (0, 0)), constant_values=255)
    assert estimate(framed, MODEL).gamma == pytest.approx(estimate(inner, MODEL).gamma, abs=0.1)


def test_16_bits_and_8_are_revived_alike() -> None:
    eight = faded(ASTRONAUT, (0.6, 0.8, 0.9), (1, 0.95, 0.85))
    sixteen = eight.astype(np.uint16) * 257
    tone = estimate(eight, MODEL)
    assert estimate(sixteen, MODEL) == tone
    tone.apply(eight)
    tone.apply(sixteen)
    assert np.abs(sixteen / 257 - eight).max() <= 0.51
    assert len(np.unique(sixteen)) >= len(np.unique(eight))


@pytest.mark.parametrize("pixels", [np.zeros((1, 1, 3)), np.full((9, 9, 3), 255), np.full((5, 900, 3), 77)])
def test_any_picture_has_an_estimate(pixels: np.ndarray) -> None:
    assert not estimate(pixels.astype(np.uint8), MODEL).changes


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_every_curve_rises_and_black_stays_black(strength: float) -> None:
    tone = Tone((0.2, 0.1, 0.0), (0.7, 0.9, 1.0), (2.0, 1.4, 0.6)).at(strength)
    rising = tone.curves(np.linspace(0, 1, 256)[:, None])
    assert (np.diff(rising, axis=0) >= 0).all()
    assert not rising[0].any()
    assert rising.max() == 1


def test_it_is_switched_without_another_analysis_and_told() -> None:
    models = levels((0.3, 0, 0), (0.7, 0.9, 1), (2.2, 1, 1))
    photo = faded(scene(), RED_CAST)
    restorer = Restorer(models=models)
    restoration = restorer.analyse(photo)
    assert models.scene_session is not None
    models.scene_session.batches.clear()
    kept, half, whole = (
        restoration.render(colour=colour, revive=revive)
        for colour, revive in (("keep", 1.0), ("revive", 0.5), ("revive", 1.0))
    )
    assert not models.scene_session.batches
    assert np.array_equal(whole.pixels, restorer.restore(photo, colour="revive").pixels)
    assert np.array_equal(kept.pixels, restoration.render(colour="revive", revive=0).pixels)
    assert error(kept.pixels, half.pixels) < error(kept.pixels, whole.pixels)
    assert kept.entry()["tone"] is None
    assert kept.models["tone"] is None
    told = whole.entry()["tone"]
    assert told["estimate"] is True
    assert told["model"] == "stub-tone 1"
    assert told["black"] == [0.3, 0, 0]
    assert told["gamma"][0] > 1.5
    label, plain = read(whole.encode("PNG")), read(kept.encode("PNG"))
    assert label is not None
    assert plain is not None
    assert label.models == (*plain.models, "stub-tone 1", "tones by estimate")
    assert whole.digests["stub-tone 1"]() == ("digest of tone",)


def test_two_estimates_are_one_curve() -> None:
    first = Tone((0.2, 0.1, 0.0), (0.8, 0.9, 1.0), (1.5, 0.8, 1.2))
    other = Tone(white=(0.7, 1.0, 0.9), gamma=(1.0, 1.7, 2.0))
    values = np.linspace(0, 1, 101)[:, None]
    np.testing.assert_allclose(first.then(other).curves(values), other.curves(first.curves(values)))


def test_twelve_megapixels_take_less_than_a_second() -> None:
    canvas = np.random.default_rng(0).integers(60, 200, (3000, 4000, 3), np.uint8)
    start = time.process_time()
    estimate(canvas, MODEL).apply(canvas)
    assert time.process_time() - start < 1
