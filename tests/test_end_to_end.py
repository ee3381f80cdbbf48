"""The main job with the embedded models: the shipped portrait, and every file of the shared folders."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from revisage import Restorer, zoo
from revisage.cli import main
from revisage.image import decode
from revisage.lab.degrade import RECIPES
from revisage.label import read

ROOT = Path(__file__).parents[1]
PORTRAIT = ROOT / "examples" / "portrait.jpg"


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer()


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portrait at half size under GFP-GAN's equation with a fixed draw."""
    clean = np.asarray(Image.open(PORTRAIT), np.float32) / 255
    recipe = RECIPES["gfpgan"]
    low = recipe.apply(clean, recipe.sample(np.random.default_rng(3)))
    path = tmp_path_factory.mktemp("old") / "old.png"
    Image.fromarray(np.rint(low * 255).astype(np.uint8)).save(path)
    return path


def test_the_portrait_is_restored_and_reported(restorer: Restorer, old: Path, tmp_path: Path) -> None:
    result = restorer.restore(old, scale=1)
    assert [face.outcome for face in result.faces] == ["restored"]
    x, y, width, _ = result.faces[0].box
    assert 150 < x < 220
    assert 50 < y < 120
    assert 50 < width < 130
    entry = result.entry()
    assert entry["size_in"] == entry["size_out"] == [512, 512]
    embedded = {model.spec.task for model in zoo.installed() if model.embedded}
    named = {task for task, label in entry["models"].items() if label}
    assert named == embedded & {"face", "scene", "finder", "identity"}
    saved = result.save(tmp_path / "new.png")
    label = read(saved.read_bytes())
    assert label is not None
    assert len(label.models) == 2


def test_the_restored_portrait_is_closer_to_the_truth(restorer: Restorer, old: Path) -> None:
    truth = np.asarray(Image.open(PORTRAIT), float)
    before = np.asarray(Image.open(old), float)
    after = restorer.restore(old, scale=1).pixels.astype(float)
    face = np.s_[60:190, 160:290]  # the head
    for part in (np.s_[:, :], face):
        assert np.square(after[part] - truth[part]).mean() < np.square(before[part] - truth[part]).mean()


def test_strength_zero_leaves_the_face_and_one_changes_it_most(restorer: Restorer, old: Path) -> None:
    zero, half, one = (restorer.restore(old, scale=1, strength=s).pixels.astype(float) for s in (0, 0.5, 1))
    faceless = Restorer(model="none").restore(old, scale=1).pixels
    assert np.abs(zero - faceless).max() <= 1
    assert 0 < np.abs(half - zero).sum() < np.abs(one - zero).sum()


def test_gray_stays_gray(restorer: Restorer, old: Path) -> None:
    gray = Image.open(old).convert("L")
    result = restorer.restore(gray)
    assert result.photo.gray
    assert result.image.mode == "L"
    assert result.image.size == (1024, 1024)


def test_a_face_crop_stays_a_face_crop(restorer: Restorer, shared: Path) -> None:
    path = next((shared / "data" / "faces256").glob("*.webp"))
    result = restorer.restore(path, aligned=True)
    assert result.pixels.shape == (256, 256, 3)


@pytest.mark.parametrize("name", ["photos", "odd", "hostile"])
def test_every_shared_file_is_restored_or_explained(
    name: str, shared: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No traceback, a report of all, one line for each failure; what was written can be read again."""
    folder, out, report = shared / "data" / name, tmp_path / "out", tmp_path / "report.json"
    count = sum(path.is_file() for path in folder.rglob("*"))
    code = main(["restore", str(folder), "-o", str(out), "--scale", "1", "--report", str(report)])
    errors = capfd.readouterr().err
    assert "Traceback" not in errors
    assert "internal error" not in errors
    entries = json.loads(report.read_text())["photos"]
    assert len(entries) == count
    failed = [entry for entry in entries if entry["status"] == "failed"]
    assert code == (1 if failed else 0)
    for entry in failed:
        lines = [line for line in errors.splitlines() if line.startswith(f"{entry['input']}: ")]
        assert lines == [f"{entry['input']}: {entry['error']}"]
    for entry in entries:
        if entry["status"] == "restored":
            photo = decode(entry["output"])
            assert list(photo.size) == entry["size_out"]
    if name == "photos":
        assert not failed
        faces = [face for entry in entries for face in entry["faces"]]
        assert sum(face["outcome"] == "restored" for face in faces) >= 30


def test_the_demo_says_where_the_picture_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import demo

    monkeypatch.setattr(sys, "argv", ["demo.py", "--out", str(tmp_path)])
    demo.main()
    out = capsys.readouterr().out
    assert re.search(r"^time +\d+\.\d s", out)
    assert re.search(r"^memory +[\d,]+ MiB", out, re.MULTILINE)
    face = re.search(r"^identity +face 1 restored, \d+ degrees .*: (.+)", out, re.MULTILINE)
    whole = re.search(r"^before and after, at 100 %: (.+)", out, re.MULTILINE)
    assert face
    assert whole
    assert Image.open(whole[1]).size == (1288, 640)
    assert Image.open(face[1]).size == (1032, 512)
