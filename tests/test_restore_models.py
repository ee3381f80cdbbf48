"""The installed models: opened from the zoo by name, once, and refused with a word on what to do."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from restore_stubs import StubDetector, StubSession, red, twice

from revisage import faces, runtime, zoo
from revisage.errors import ModelCorruptError, ModelMissingError, UnknownModelError, UsageError
from revisage.options import Settings
from revisage.restore import InstalledModels, Restorer
from revisage.restore.models import selectable
from revisage.runtime import openvino
from revisage.zoo import Model, ModelSpec


def model(task: str, size: int | None = None, scale: int | None = None) -> Model:
    spec = ModelSpec(f"some-{task}", task, size, scale, "3", "Apache-2.0", f"{task}.onnx")
    return Model(spec, Path(f"{task}.onnx"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A zoo of stubs; the list tells what was opened, in order."""
    models = {"face": model("face", 64, 1), "scene": model("scene", None, 2), "finder": model("finder")}
    log: list[str] = []

    def resolve(task: str, name: str = "auto") -> Model:
        if name != "auto":
            raise UnknownModelError(f"no model is called {name!r}")
        if task not in models:
            raise UnknownModelError(f"no {task} model is known")
        return models[task]

    def open_session(path: Path, **options: object) -> StubSession:
        log.append(f"{path.stem} {options['device']} {options['precision']} {options['threads']}")
        return StubSession(red if path.stem == "face" else twice)

    def detector(path: Path, *, precision: str, threads: int | None) -> StubDetector:
        log.append(f"{path.stem} {precision} {threads}")
        return StubDetector([])

    monkeypatch.setattr(zoo, "resolve", resolve)
    monkeypatch.setattr("revisage.restore.models.sha256", lambda path: f"digest of {path}")
    monkeypatch.setattr(runtime, "open_session", open_session)
    monkeypatch.setattr(faces, "Detector", detector)
    return log


PHOTO = np.zeros((20, 20, 3), np.uint8)


def test_models_open_on_first_use_and_once(opened: list[str]) -> None:
    restorer = Restorer(device="cpu", precision="fp32", threads=2)
    assert opened == []
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: restorer.restore(PHOTO), range(16)))
    assert sorted(opened) == ["face cpu fp32 2", "finder fp32 2", "scene cpu fp32 2"]
    assert results[0].models == {
        "face": "some-face 3",
        "scene": "some-scene 3",
        "identity": None,
        "finder": "some-finder 3",
        "damage": None,
        "tone": None,
    }
    assert {model: digest() for model, digest in results[0].digests.items()} == {
        "some-face 3": ("digest of face.onnx",),
        "some-scene 3": ("digest of scene.onnx",),
    }


def test_none_opens_nothing(opened: list[str]) -> None:
    result = Restorer(model="none", scene="none").restore(PHOTO)
    assert opened == []
    assert set(result.models) == {"face", "scene", "identity", "finder", "damage", "tone"}
    assert set(result.models.values()) == {None}


def test_a_client_chooses_among_the_installed_models_and_nothing_else(
    opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Model(replace(model("face", 64, 1).spec, name="other-face"), Path("face.onnx"))
    whole = Model(replace(model("face", 64, 1).spec, name="whole-face", framing="whole"), Path("whole.onnx"))
    monkeypatch.setattr(
        zoo, "installed", lambda: [model("face", 64, 1), second, whole, model("scene", None, 2)]
    )
    assert selectable("face") == ["auto", "none", "some-face", "other-face"]
    assert selectable("scene") == ["auto", "none", "some-scene"]
    source = InstalledModels(Settings())
    source.face()
    plain = source.choosing("auto", "none")
    assert plain.scene() is None
    assert plain.face() is source.face()
    named = source.choosing("some-face", "some-scene")
    assert (named.face, named.scene) == (source.face, source.scene), "auto by its name is auto"
    assert [line.split()[0] for line in opened] == ["face"], "what stays is not opened again"
    for name in ("/etc/passwd.onnx", "whole-face", "some-face:0.5", ""):
        with pytest.raises(UsageError, match="choose one of auto, none, some-face, other-face"):
            source.choosing(name, "auto")


def test_check_opens_what_will_be_needed(opened: list[str]) -> None:
    Restorer(model="none").check()
    assert [line.split()[0] for line in opened] == ["scene"]
    with pytest.raises(UnknownModelError):
        Restorer(model="nobody").check()


@pytest.mark.parametrize(
    ("native", "small", "taken"),
    [
        (["fp32"], "fp32", "int8"),
        (["fp32", "bf16"], "bf16", "int8"),
        (["fp32", "bf16"], "fp32", "plain"),  # with AMX integers have no kernels beside bf16: slower than it
    ],
)
def test_integers_are_taken_where_they_are_the_quickest(
    native: list[str], small: str, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = replace(model("scene", None, 2).spec, int8="some-scene-int8")
    files = {"auto": Model(spec, Path("plain.onnx")), "some-scene-int8": Model(spec, Path("int8.onnx"))}

    def open_session(path: Path, **_: object) -> StubSession:
        session = StubSession(twice)
        session.info = replace(session.info, precision=small if path.stem == "int8" else native[-1])
        opened.append(path.stem)
        return session

    opened: list[str] = []
    monkeypatch.setattr(zoo, "resolve", lambda task, name="auto": files[name])
    monkeypatch.setattr(runtime, "open_session", open_session)
    monkeypatch.setattr(openvino, "cpu_precisions", lambda: native)
    assert InstalledModels(Settings()).scene() is not None
    assert opened[-1] == taken


def test_a_failure_to_open_is_told_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(task: str, name: str = "auto") -> Model:
        raise ModelMissingError(f"no {task}")

    monkeypatch.setattr(zoo, "resolve", missing)
    restorer = Restorer()
    for _ in range(2):
        with pytest.raises(ModelMissingError):
            restorer.restore(PHOTO)


@pytest.mark.parametrize("task", ["face", "scene"])
def test_a_model_that_breaks_its_contract(
    task: str, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo, "resolve", lambda task, name="auto": model(task))
    restorer = Restorer(model="auto" if task == "face" else "none")
    with pytest.raises(ModelCorruptError, match="states no"):
        restorer.check()
    assert opened == []
