"""How far models look, what tiles may take, and that both together leave no seam with the embedded model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from restore_stubs import Picture, StubSession, twice

from revisage.errors import ModelCorruptError
from revisage.image import from_array
from revisage.restore import Restorer, SceneModel, Settings, background, memory
from revisage.restore.models import InstalledModels
from revisage.restore.receptive_field import LONGEST, receptive_field


def blurred(radius: int) -> StubSession:
    side = 2 * radius + 1
    return StubSession(lambda picture: cv2.blur(picture, (side, side), borderType=cv2.BORDER_REFLECT_101))


@pytest.mark.parametrize("radius", [3, 17, 60])
def test_the_reach_of_a_box_filter_is_its_radius(radius: int) -> None:
    assert radius - 1 <= receptive_field(blurred(radius), 1) <= radius


def test_a_pixelwise_model_reaches_nowhere_and_a_far_one_all_the_way() -> None:
    assert receptive_field(StubSession(lambda picture: picture**2), 1) == 1
    far = StubSession(lambda picture: picture + np.roll(picture, -LONGEST, axis=1))
    assert receptive_field(far, 1) == LONGEST


@pytest.mark.parametrize(
    ("picture", "scale"), [(twice, 1), (twice, 4), (lambda x: x, 2), (lambda x: x[..., :1], 1)]
)
def test_a_scale_that_is_not_the_models_is_told(picture: Picture, scale: int) -> None:
    """Else the photo would fail in the middle of its tiles, as if the program were at fault."""
    with pytest.raises(ModelCorruptError, match=f"metadata say scale {scale}: correct revisage.scale"):
        receptive_field(StubSession(picture), scale)


def test_the_reach_is_in_pixels_of_the_input() -> None:
    """Bicubic enlargement itself reads up to two pixels further."""
    both = StubSession(lambda picture: twice(blurred(20).picture(picture)))
    assert receptive_field(both, 2) - receptive_field(blurred(20), 1) in (1, 2)


def test_rounding_far_away_is_no_reach() -> None:
    """Half precision: wherever the input changes at all, the last bit of every output may."""

    def coarse(picture: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(int(picture.sum() * 1e3)).normal(0, 0.002, picture.shape)
        return blurred(9).picture(picture) + noise

    assert 5 <= receptive_field(StubSession(coarse), 1) <= 9


BUDGETS = st.integers(0, 1 << 33)


@given(BUDGETS, BUDGETS, st.sampled_from([1, 2, 4]), st.integers(0, 150), st.booleans())
def test_tiles_fit_the_budget_and_grow_with_it(
    one: int, other: int, scale: int, halo: int, gpu: bool
) -> None:
    small, large = (memory.layout(b, scale=scale, halo=halo, gpu=gpu) for b in sorted((one, other)))
    for budget, fit in zip(sorted((one, other)), (small, large), strict=True):
        core, batch = fit
        cost = memory.BYTES * (scale * (core + 2 * halo)) ** 2
        assert batch * cost <= budget or fit == (memory.CORES[-1], 1)
        assert 1 <= batch <= (memory.BATCH if gpu else 1)
    assert small[0] <= large[0]


def test_free_memory_is_that_of_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    monkeypatch.setattr(
        memory, "psutil", SimpleNamespace(virtual_memory=lambda: SimpleNamespace(available=800 << 20))
    )
    assert memory.free_share() == 200 << 20
    (tmp_path / "memory.current").write_text("100\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_share() == 200 << 20
    (tmp_path / "memory.max").write_text(f"{(400 << 20) + 100}\n")
    assert memory.free_share() == 100 << 20
    (tmp_path / "memory.max").write_text("50\n")
    assert memory.free_share() == 0


@pytest.fixture(scope="module")
def scene() -> SceneModel:
    model = InstalledModels(Settings(precision="fp32")).scene()
    assert model is not None
    return model


PLACES = {"astronaut": (80, 180), "coffee": (100, 100), "chelsea": (0, 100)}


@pytest.fixture(scope="module", params=PLACES)
def picture(request: pytest.FixtureRequest) -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    y, x = PLACES[request.param]
    return np.ascontiguousarray(getattr(data, request.param)()[y : y + 90, x : x + 130])


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("core", [32, 48])
def test_the_embedded_model_in_tiles_equals_one_pass(
    scene: SceneModel, picture: np.ndarray, core: int, scale: int
) -> None:
    """The halo is the measured reach, so this is also a test of the measurement."""

    def enlarged(monkey: pytest.MonkeyPatch, side: int) -> np.ndarray:
        monkey.setattr(memory, "CORES", (side,))
        made = background.enlarge(
            picture,
            scene.for_photo(scale, 0.5),
            scale=scale,
            keep=True,
            neutral=False,
            budget=0,
            on_tile=lambda *at: None,
        )
        return made.canvas.astype(int)

    with pytest.MonkeyPatch.context() as monkey:
        assert np.abs(enlarged(monkey, core) - enlarged(monkey, 160)).max() <= 1


@pytest.mark.parametrize("gray", [False, True])
def test_a_ramp_of_16_bits_stays_smooth(gray: bool) -> None:
    """The embedded model at its default precision: no step as coarse as a sixteenth of one in 8 bits."""
    ramp = np.linspace(20_000, 22_000, 256).astype(np.uint16)
    source = np.tile(ramp, (40, 1)) if gray else np.tile(ramp[:, None], (40, 1, 3))
    row = Restorer(model="none").restore(source, scale=2).pixels[40, 16:-16, 1].astype(int)
    ideal = np.interp((np.arange(16, 496) + 0.5) / 2 - 0.5, np.arange(256), ramp)
    assert len(np.unique(row)) > 0.8 * len(row)
    bands = (row - ideal) - cv2.blur((row - ideal)[None], (33, 1))[0]
    assert np.abs(bands).max() < 16


def test_only_16_bits_and_no_named_precision_ask_for_the_exact_network(scene: SceneModel) -> None:
    photo = from_array(np.zeros((8, 8), np.uint16))
    assert scene.session_for(photo.pixels.dtype) is scene.session
    exact, half = StubSession(twice), StubSession(twice)
    half.info = SimpleNamespace(backend="stub", device="cpu", precision="bf16")
    model = SceneModel(half, "stub", 2, 8, lambda: exact)
    assert model.session_for(np.dtype(np.uint8)) is half
    assert model.session_for(np.dtype(np.uint16)) is exact
    half.info.precision = "fp32"  # of all but what an 8-bit file computes in 8 bits
    assert model.session_for(np.dtype(np.uint16)) is exact
    # Any named one: a machine without bf16 refuses it by name.
    assert InstalledModels(Settings(precision="fp32")).scene().exact is None
