"""Where models are found, what names mean, and importing one's own."""

import hashlib
import os
from pathlib import Path

import platformdirs
import pytest
from onnx_files import CONTRACT, model_bytes, write_model

from revisage import zoo
from revisage.errors import ModelCorruptError, ModelMissingError, UnknownModelError, UsageError
from revisage.files import sha256
from revisage.zoo import CATALOGUE, Model, ModelSpec, catalogue, spec, store

DATA = model_bytes(CONTRACT | {"revisage.name": "known"})
KNOWN = ModelSpec(
    name="known",
    task="scene",
    size=None,
    scale=2,
    version="1",
    licence="CC0-1.0",
    file="known.onnx",
    url="http://localhost:9/known.onnx",
    sha256=hashlib.sha256(DATA).hexdigest(),
    bytes=len(DATA),
)
SPARE = ModelSpec("spare", "scene", None, 2, "1", "CC0-1.0", "spare.onnx")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty model folders and a catalogue of two; returns the user's model folder."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(cache))
    monkeypatch.setattr(store, "EMBEDDED", tmp_path / "embedded")
    monkeypatch.setattr(spec, "EMBEDDED", tmp_path / "embedded")
    monkeypatch.delenv("REVISAGE_MODELS", raising=False)
    monkeypatch.setattr(store, "CATALOGUE", {"known": KNOWN, "spare": SPARE})
    return cache / "models"


def put(folder: Path, data: bytes = DATA, name: str = "known.onnx") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def test_nothing_installed(home: Path) -> None:
    assert zoo.installed() == []
    with pytest.raises(ModelMissingError, match="models pull known"):
        zoo.resolve("scene")
    with pytest.raises(ModelMissingError, match="install revisage again"):
        zoo.resolve("scene", "spare")
    with pytest.raises(UnknownModelError, match="no face model"):
        zoo.resolve("face")


def test_folders_are_looked_in_in_order(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    monkeypatch.setenv("REVISAGE_MODELS", os.pathsep.join([str(a), "", str(b)]))
    places = [tmp_path / "embedded", a, b, home]
    assert store.folders() == places
    for folder in reversed(places):
        path = put(folder)
        assert zoo.resolve("scene", "known") == Model(KNOWN, path)


def test_the_folder_of_an_account_that_is_not_there_is_passed_over(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVISAGE_MODELS", "~nobody-at-all/models")
    path = put(home)
    assert zoo.resolve("scene", "known").path == path


def test_auto_takes_the_first_of_the_catalogue_before_ones_own(home: Path) -> None:
    own = write_model(home / "aaa.onnx")
    assert zoo.resolve("scene").path == own
    put(home, b"any", "spare.onnx")
    assert zoo.resolve("scene").spec is SPARE
    put(home)
    assert zoo.resolve("scene").spec is KNOWN
    assert [model.spec.name for model in zoo.installed()] == ["known", "spare", "aaa"]


def test_auto_passes_by_models_of_whole_pictures(home: Path) -> None:
    face = CONTRACT | {"revisage.task": "face", "revisage.size": "16"}
    whole = write_model(home / "aaa.onnx", face | {"revisage.framing": "whole"})
    with pytest.raises(UnknownModelError, match="no face model is known"):
        zoo.resolve("face")
    assert zoo.resolve("face", "aaa").path == whole
    template = write_model(home / "bbb.onnx", face)
    assert zoo.resolve("face").path == template


def test_a_file_put_there_by_hand_is_checked(home: Path) -> None:
    put(home, DATA + b"\0")
    with pytest.raises(ModelCorruptError, match="does not have the sha256 of known; remove it and pull"):
        zoo.resolve("scene", "known")
    put(home)
    assert zoo.resolve("scene", "known").spec is KNOWN


def test_ones_own_model_is_known_by_its_file_name(home: Path) -> None:
    path = write_model(home / "grandma v2.onnx")
    model = zoo.resolve("scene", "grandma-v2")
    assert (model.path, str(model)) == (path, "grandma-v2 3")
    assert (model.spec.task, model.spec.scale, model.spec.licence) == ("scene", 2, "CC0-1.0")


def test_a_path_works_as_a_name(tmp_path: Path, home: Path) -> None:
    path = write_model(tmp_path / "elsewhere" / "x.onnx")
    assert zoo.resolve("scene", str(path)).path == path
    with pytest.raises(UnknownModelError, match=r"none\.onnx does not exist"):
        zoo.resolve("scene", str(tmp_path / "none.onnx"))


def test_wrong_task_and_wrong_name(home: Path) -> None:
    put(home)
    with pytest.raises(UnknownModelError, match="known is a scene model; installed face models: none"):
        zoo.resolve("face", "known")
    with pytest.raises(UnknownModelError, match="did you mean known"):
        zoo.resolve("scene", "knwon")
    with pytest.raises(UnknownModelError, match="models list"):
        zoo.resolve("scene", "zebra")


def test_unusable_files_are_told_and_passed_over(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVISAGE_MODELS", str(tmp_path / "mine"))
    good = write_model(tmp_path / "mine" / "good.onnx")
    put(home, b"rubbish", "bad.onnx")
    put(home, b"no model", "notes.txt")
    twin = write_model(home / "good.onnx")
    assert [model.path for model in zoo.installed()] == [good]
    reasons = {path.name: reason for path, reason in zoo.ignored().items()}
    assert "not a usable ONNX file" in reasons["bad.onnx"]
    assert str(twin) in reasons["good.onnx"]
    assert len(reasons) == 2


def test_the_card_lies_beside_the_weights(home: Path) -> None:
    model = Model(KNOWN, put(home))
    assert model.card is None
    (home / "known.md").write_text("# known")
    assert model.card == home / "known.md"
    assert not model.embedded


def test_import_copies_under_either_name(home: Path, tmp_path: Path) -> None:
    source = write_model(tmp_path / "export.onnx")
    assert zoo.import_model(source) == home / "mine.onnx"
    assert zoo.import_model(source) == home / "mine.onnx"  # again: the same file is no conflict
    assert zoo.import_model(source, "second") == home / "second.onnx"
    assert (home / "second.onnx").read_bytes() == source.read_bytes()
    assert {path.name for path in home.rglob("*") if path.is_file()} == {"mine.onnx", "second.onnx"}
    assert zoo.resolve("scene", "second").path == home / "second.onnx"


def test_import_refuses(home: Path, tmp_path: Path) -> None:
    source = write_model(tmp_path / "export.onnx")
    other = write_model(tmp_path / "other.onnx", CONTRACT | {"revisage.version": "9"})
    zoo.import_model(source)
    for file, name, words in [
        (tmp_path / "weights.pth", None, r"weights\.pth is no model"),
        (source, "known", "model of the catalogue"),
        (source, "a/b", "cannot name a model"),
        (source, "none", "cannot name a model"),
        (other, None, "exists and differs"),
    ]:
        with pytest.raises(UsageError, match=words):
            zoo.import_model(file, name)
    with pytest.raises(ModelCorruptError, match="metadata lacks"):
        zoo.import_model(write_model(tmp_path / "bare.onnx", {}))
    with pytest.raises(ModelMissingError):
        zoo.import_model(tmp_path / "none.onnx")
    assert sorted(path.name for path in home.rglob("*.onnx")) == ["mine.onnx"]


def test_import_into_a_folder_that_cannot_be_written(home: Path, tmp_path: Path) -> None:
    home.parent.mkdir(parents=True)
    home.write_text("a file where the folder should be")
    with pytest.raises(ModelMissingError, match="cannot be written"):
        zoo.import_model(write_model(tmp_path / "export.onnx"))


@pytest.mark.parametrize("model", CATALOGUE.values(), ids=CATALOGUE)
def test_what_the_catalogue_says_makes_sense(model: ModelSpec) -> None:
    assert spec.is_name(model.name)
    assert model.task in spec.TASKS
    assert all(Path(file).name == file for file in (model.file, model.checkpoint) if file is not None)
    assert model.sha256 is None or spec.is_sha256(model.sha256)
    assert model.sha256 is not None or model.url is model.checkpoint is None, "nothing to check it by"
    assert model.url is None or model.bytes is not None


def test_the_catalogue_is_keyed_by_name() -> None:
    assert all(name == model.name for name, model in catalogue.CATALOGUE.items())
    files = [model.file for model in CATALOGUE.values()]
    assert len(set(files)) == len(files)


@pytest.mark.parametrize(
    "name", [name for name, model in CATALOGUE.items() if model.url is None and model.task != "features"]
)
def test_embedded_weights_are_the_catalogues(name: str) -> None:
    model = CATALOGUE[name]
    path = store.EMBEDDED / model.file
    if not path.is_file():
        pytest.skip(f"{model.file} is not part of this checkout")
    assert (model.sha256, model.bytes) == (sha256(path), path.stat().st_size), "copy these into the catalogue"
    contract = zoo.read_contract(path)
    assert (
        contract.to_metadata()
        == zoo.Contract(
            model.name,
            model.task,
            model.size,
            model.scale,
            model.version,
            model.licence,
            framing=model.framing,
            control=model.control,
        ).to_metadata()
    )
    assert Model(model, path).card is not None, "every embedded model has a card"


def test_every_twin_of_the_catalogue_names_its_own() -> None:
    twins = {spec.name: spec.twin for spec in CATALOGUE.values() if spec.twin}
    assert twins
    assert all(twins[twin] == name for name, twin in twins.items())
