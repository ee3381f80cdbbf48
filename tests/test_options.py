"""One declaration of an option serves the command line, the HTTP API and Python."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from docstring_parser import parse_from_object
from PIL import Image
from restore_stubs import StubModels, StubSession, twice

import revisage
from revisage.cli import main
from revisage.cli import restore as command
from revisage.cli._parse import parse
from revisage.errors import UsageError
from revisage.options import (
    Credentials,
    DecodeLimits,
    EncodeOptions,
    ModelSettings,
    RestoreOptions,
    SaveOptions,
    Settings,
    Share,
    only_in_python,
)
from revisage.restore import Restorer, SceneModel
from revisage.server import JobOptions
from revisage.server.schemas import OptionsQuery, PhotoQuery

KINDS = (RestoreOptions, Settings, SaveOptions, DecodeLimits)
ONLY_IN_PYTHON = {"sign", "limits", "memory_bytes", "seconds"}


def test_the_package_exports_what_an_app_needs() -> None:
    assert set(revisage.__all__) == {
        "RestoreOptions", "Restorer", "Result", "Settings", "__version__", "errors"
    }  # fmt: skip
    assert revisage.RestoreOptions is RestoreOptions
    assert revisage.errors.UsageError is UsageError


@pytest.mark.parametrize("kind", KINDS)
def test_every_field_has_its_help(kind: type) -> None:
    told = {item.arg_name for base in kind.__mro__[:-1] for item in parse_from_object(base).params}
    assert {field.name for field in fields(kind)} <= told


def test_the_command_line_shows_every_option_and_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for kind in KINDS:
        for each in fields(kind):
            if each.name not in ONLY_IN_PYTHON:
                assert f"--{each.name.replace('_', '-')}" in text, each.name
    assert "--seconds" not in text
    assert "--memory-bytes" not in text
    for item in parse_from_object(RestoreOptions).params:
        assert " ".join((item.description or "").split())[:30] in text


def test_the_api_takes_what_the_command_line_takes() -> None:
    offered = set(OptionsQuery.model_fields)
    assert offered == {field.name for field in fields(JobOptions)} - {"sign"}
    assert set(PhotoQuery.model_fields) == offered | {"name"}
    assert asdict(OptionsQuery().options()) == asdict(JobOptions())
    assert OptionsQuery(strength=0.25, clean=0.75, faces="1,3").options().clean == 0.75


def test_no_client_can_name_a_key_file() -> None:
    assert only_in_python(inspect.get_annotations(EncodeOptions, eval_str=True)["sign"])
    with pytest.raises(ValueError, match="sign"):
        OptionsQuery(sign={"certificate": "a", "key": "b"})


@dataclass(frozen=True)
class More(RestoreOptions):
    grain: Share = 0.0
    """Grain to add."""


@dataclass(frozen=True)
class Command:
    restoring: More = field(default_factory=More)


def test_a_new_option_needs_one_declaration(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(Command, "test", ["--grain", "0.5"]).restoring.grain == 0.5
    with pytest.raises(SystemExit):
        parse(Command, "test", ["--grain", "2"])
    assert "--grain 2: give a number from 0 to 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RestoreOptions(clean=1.5), "clean 1.5: give a number from 0 to 1"),
        (lambda: RestoreOptions(strength=math.nan), "strength nan: give a number from 0 to 1"),
        (lambda: RestoreOptions(colour="sepia"), "colour 'sepia': choose one of keep, enhance"),
        (lambda: RestoreOptions(faces=range(1, 500)), "at most 400"),
        (
            lambda: RestoreOptions(faces="0,1"),
            "faces '0,1': give all, largest, or at most 400 numbers from 1",
        ),
        (lambda: RestoreOptions(faces="1:1.5"), "faces '1:1.5': give .* 1,3:0.6"),
        (lambda: RestoreOptions(faces="1:nan"), "faces '1:nan': give"),
        (lambda: Settings(threads=0), "threads 0: give a number from 1 to 4096"),
        (lambda: Settings(threads=10**23), "threads 1.*: give a number from 1 to 4096"),
        (lambda: Settings(precision="int4"), "precision 'int4': choose one of auto, fp32"),
        (lambda: ModelSettings(model=""), "^model '': give auto, none or"),
        (lambda: SaveOptions(quality=0), "quality 0: give a number from 1 to 100"),
        (lambda: DecodeLimits(seconds=0.0), "seconds 0.0: give more than 0"),
        (lambda: JobOptions(format="exe"), "format 'exe': choose one of auto"),
        *[
            (partial(kind, **{name: value}), f"{name} .*: (give|choose)")
            for kind, name, values in [
                (RestoreOptions, "strength", ["0.5", None]),
                (RestoreOptions, "straighten", ["5", None]),
                (RestoreOptions, "faces", [None, 1.5, [], True]),
                (RestoreOptions, "face", [None, 5, "", (1, 2, 3), [(1, 2)]]),
                (RestoreOptions, "crop", [None, 0.5]),
                (RestoreOptions, "aligned", ["yes", None]),
                (SaveOptions, "quality", [None, "95", 95.5, True]),
                (Settings, "threads", ["2", 1.5, True]),
                (Settings, "model", [None, 5, b"none"]),
                (Settings, "scene", [None, 5]),
            ]
            for value in values
        ],
    ],
)
def test_a_wrong_value_is_named_and_told_what_to_give(make: Callable[[], Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make()


def test_numbers_and_sequences_are_as_good_as_text() -> None:
    assert RestoreOptions(scale=2) == RestoreOptions(scale="2")
    assert RestoreOptions(faces=(1, 3)) == RestoreOptions(faces="1,3")
    assert RestoreOptions(faces={1: 1, 3: 0.6}) == RestoreOptions(faces="1:1,3:0.6")
    assert RestoreOptions(faces=np.array([1, 3]), scale=np.int64(2)) == RestoreOptions(faces="1,3", scale="2")
    boxes = [(1, 2, 3, 4), "1,2,3,4", [(1, 2, 3, 4)], ["1,2,3,4"], np.array([[1, 2, 3, 4]])]
    assert {RestoreOptions(face=box).face for box in boxes} == {("1,2,3,4",)}
    made = [iter([(1, 2, 3, 4)]), iter((1, 2, 3, 4)), (box for box in ["1,2,3,4"])]
    assert {RestoreOptions(face=box).face for box in made} == {("1,2,3,4",)}
    assert Settings(threads=None).threads is None
    assert JobOptions(format="JPEG") == JobOptions(format="jpeg")


def test_options_of_a_job_survive_the_queue() -> None:
    options = JobOptions(strength=0.3, clean=0.1, faces="1,2", format="png", previews=True)
    assert JobOptions.from_json(options.to_json()) == options
    assert JobOptions(sign=Credentials("a", "b")).sign is not None


class Told(StubModels):
    """A scene model that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.strengths: set[float] = set()

    def scene(self) -> SceneModel | None:
        def picture(four: np.ndarray) -> np.ndarray:
            self.strengths.add(float(four[0, 0, 3]))
            return twice(four[..., :3])

        return SceneModel(StubSession(picture), "stub-scene 1", 2, 8, control=True)


@pytest.mark.parametrize(
    ("arguments", "told"), [([], 0.5), (["--clean", "0"], 0.0), (["--clean", "0.25"], 0.25)]
)
def test_the_command_tells_the_scene_model_how_strongly_to_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], told: float
) -> None:
    models = Told()
    monkeypatch.setattr(command, "Restorer", lambda *args, **kwargs: Restorer(models=models))
    Image.new("RGB", (40, 30), "gray").save(tmp_path / "a.png")
    assert main(["restore", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), *arguments]) == 0
    assert models.strengths == {told}
