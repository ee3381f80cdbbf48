from __future__ import annotations

import math
from typing import Any

import pytest

from revisage.errors import UsageError
from revisage.restore import RestoreOptions, Restorer, Settings


@pytest.mark.parametrize(
    ("scale", "size", "factor"),
    [
        ("auto", (1599, 1000), 2),
        ("auto", (1600, 10), 1),
        ("auto", (10, 1600), 1),
        (1, (9, 9), 1),
        (2, (5000, 9), 2),
        ("4", (9, 9), 4),
    ],
)
def test_scale(scale: str | int, size: tuple[int, int], factor: int) -> None:
    assert RestoreOptions(scale=scale).factor(size) == factor


@pytest.mark.parametrize(
    ("faces", "chosen"),
    [
        ("all", {0: 0.8, 1: 0.8, 2: 0.8}),
        ("largest", {1: 0.8}),
        ("1,3", {0: 0.8, 2: 0.8}),
        (" 2 ", {1: 0.8}),
        ((3, 1), {0: 0.8, 2: 0.8}),
        ([1], {0: 0.8}),
        (2, {1: 0.8}),
        ("1,3:0.25", {0: 0.8, 2: 0.25}),
        ({2: 0.5, 1: 0}, {0: 0.0, 1: 0.5}),
    ],
)
def test_faces(faces: Any, chosen: dict[int, float]) -> None:
    assert RestoreOptions(faces=faces, strength=0.8).chosen((100, 400, 50)) == chosen


def test_no_face_to_choose_from() -> None:
    assert RestoreOptions(faces="largest").chosen(()) == {}


@pytest.mark.parametrize(("areas", "found"), [((), "no faces"), ((9,), "1 face"), ((9, 9), "2 faces")])
def test_a_face_that_is_not_there_is_an_error(areas: tuple[float, ...], found: str) -> None:
    with pytest.raises(
        UsageError, match=f"^there is no face 3: {found} found, counted from 1, left to right$"
    ):
        RestoreOptions(faces="1,3").chosen(areas)


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": -0.1},
        {"strength": 1.1},
        {"strength": math.nan},
        {"scale": 3},
        {"scale": "big"},
        {"scale": 0},
        {"faces": "biggest"},
        {"faces": "-1"},
        {"faces": ""},
        {"faces": ()},
        {"colour": "sepia"},
    ],
)
def test_wrong_options_say_what_to_do(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(wrong)))) as caught:
        RestoreOptions(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [{"model": ""}, {"scene": ""}, {"device": "tpu"}, {"precision": "int4"}, {"threads": 0}, {"memory": 0}],
)
def test_wrong_settings(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Settings(**wrong)
    with pytest.raises(UsageError):
        Restorer(**wrong)
