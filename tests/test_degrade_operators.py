"""One harness, every operator: the laws that any degradation keeps."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from revisage.lab.degrade import RECIPES, Chain, Step, apply
from revisage.lab.degrade.ageing import DyeFading, Fading, Grain, Halftone, PaperTexture, Toning, Yellowing
from revisage.lab.degrade.camera import GaussianNoise, Jpeg, LowResolution, PoissonNoise
from revisage.lab.degrade.colour import ColourJitter, ColourShift, Gray
from revisage.lab.degrade.damage import Crease, Dust, Hairs, Scratches, Stains
from revisage.lab.degrade.esrgan import FirstOrder, SecondOrder
from revisage.lab.degrade.gfpgan import Gfpgan
from revisage.lab.degrade.kernels import GaussianBlur, KernelBlur
from revisage.lab.degrade.marks import Fingerprint, Flakes, Mould, Tape, Tear

Sample = Callable[[np.random.Generator], Step]

OPERATORS: dict[str, Sample] = {
    operator.__name__: operator.sample
    for operator in (
        ColourJitter,
        ColourShift,
        Crease,
        Dust,
        DyeFading,
        Fading,
        Fingerprint,
        FirstOrder,
        Flakes,
        GaussianBlur,
        GaussianNoise,
        Gfpgan,
        Grain,
        Gray,
        Hairs,
        Halftone,
        Jpeg,
        KernelBlur,
        LowResolution,
        Mould,
        PaperTexture,
        PoissonNoise,
        Scratches,
        SecondOrder,
        Stains,
        Tape,
        Tear,
        Toning,
        Yellowing,
    )
} | {name: recipe.sample for name, recipe in RECIPES.items()}

every_operator = pytest.mark.parametrize("sample", OPERATORS.values(), ids=OPERATORS)
seeds = st.integers(0, 2**32 - 1)
sides = st.one_of(st.integers(1, 20), st.integers(21, 90))


def draw(sample: Sample, seed: int) -> Step:
    return sample(np.random.default_rng(seed))


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth patches with a hard edge and full black and white, as photos have."""
    rng = np.random.default_rng(seed)
    small = rng.random((4, 4, 3), dtype=np.float32)
    image = np.clip(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    image[: height // 3, : width // 4] = 1
    image[height // 2 :, : width // 5] = 0
    return image


@every_operator
@given(seed=seeds, height=sides, width=sides)
@settings(max_examples=12, deadline=None)
def test_keeps_shape_type_and_range(sample: Sample, seed: int, height: int, width: int) -> None:
    clean = picture(height, width, seed)
    low = draw(sample, seed).apply(clean)
    assert low.shape == clean.shape
    assert low.dtype == np.float32
    assert np.isfinite(low).all()
    assert low.min() >= 0
    assert low.max() <= 1


@pytest.mark.parametrize(
    "part",
    [
        Crease,
        Dust,
        DyeFading,
        Fading,
        Fingerprint,
        Flakes,
        Grain,
        Hairs,
        Halftone,
        Mould,
        PaperTexture,
        Scratches,
        Stains,
        Tape,
        Tear,
        Toning,
        Yellowing,
    ],
)
@given(seed=seeds, strength=st.floats(0, 2))
@settings(max_examples=8, deadline=None)
def test_any_strength_keeps_the_range_and_something_of_the_picture(
    part: type[Crease], seed: int, strength: float
) -> None:
    clean = picture(64, 64, seed)
    low = part.sample(np.random.default_rng(seed), strength).apply(clean)
    assert np.isfinite(low).all()
    assert low.min() >= 0
    assert low.max() <= 1
    assert low.std() > 0.02


@every_operator
@given(seed=seeds)
@settings(max_examples=4, deadline=None)
def test_same_parameters_give_the_same_bytes_and_leave_the_picture_alone(sample: Sample, seed: int) -> None:
    clean = picture(40, 56, seed)
    before = clean.copy()
    step = draw(sample, seed)
    assert step == draw(sample, seed)
    low = step.apply(clean)
    # Other draws in between must not matter: no generator is shared.
    draw(sample, seed + 1).apply(clean)
    assert step.apply(clean).tobytes() == low.tobytes()
    assert clean.tobytes() == before.tobytes()


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "Gray"])
def test_different_seeds_degrade_differently(name: str) -> None:
    clean = picture(96, 96)
    outcomes = {draw(OPERATORS[name], seed).apply(clean).tobytes() for seed in range(12)}
    # Marks may miss a small picture, and JPEG has only 66 qualities.
    assert len(outcomes) >= 9


@pytest.mark.parametrize("sample", [Crease.sample, Stains.sample, Fading.sample, GaussianBlur.sample])
@given(seed=seeds)
@settings(max_examples=10, deadline=None)
def test_lengths_follow_the_size_of_the_picture(sample: Sample, seed: int) -> None:
    step = draw(sample, seed)
    large = picture(512, 384)
    small = cv2.resize(large, (192, 256), interpolation=cv2.INTER_AREA)
    from_large = cv2.resize(step.apply(large), (192, 256), interpolation=cv2.INTER_AREA)
    change = np.abs(from_large - small).mean()
    assert np.abs(step.apply(small) - from_large).mean() < 0.01 + 0.35 * change


def test_scratches_lie_in_the_same_places_at_any_size() -> None:
    def marks(side: int, seed: int) -> np.ndarray:
        gray = np.full((side, side, 3), 0.5, np.float32)
        step = Scratches(
            count=8, width=4.0, opacity=1.0, light=1.0, vertical=0.3, bend=0.5, broken=0.2, seed=seed
        )
        return cv2.resize(np.abs(step.apply(gray) - gray)[..., 0], (64, 64), interpolation=cv2.INTER_AREA)

    for seed in range(5):
        assert np.corrcoef(marks(256, seed).ravel(), marks(512, seed).ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((8, 8), np.float32), "shape"),
        (np.zeros((8, 8, 4), np.float32), "shape"),
        (np.zeros((8, 8, 3), np.uint8), "divide by 255"),
    ],
)
def test_a_wrong_picture_is_refused(image: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        apply(image, Chain(()))


def test_the_empty_chain_is_the_identity_on_a_new_picture() -> None:
    clean = picture(9, 7)
    low = RECIPES["aged"].apply(clean, Chain(()))
    assert low.tobytes() == clean.tobytes()
    assert not np.shares_memory(low, clean)


def test_double_precision_is_taken_and_single_precision_returned() -> None:
    low = RECIPES["gfpgan"].apply(picture(32, 32).astype(np.float64), draw(OPERATORS["gfpgan"], 0))
    assert low.dtype == np.float32
