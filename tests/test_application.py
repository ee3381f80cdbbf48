"""The folder that `make app` builds, on Linux. A folder that is built already is taken from REVISAGE_APP."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from PIL import Image

ROOT = Path(__file__).parents[1]
SOURCE = ("src", "deploy", "Makefile", "pyproject.toml", "README.md", "LICENSE")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(sys.platform != "linux", reason="the workflow builds the others"),
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = os.environ.get("REVISAGE_APP")
    if built is None:
        copy = tmp_path_factory.mktemp("app")
        for name in SOURCE:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        subprocess.run(["make", "app", f"PYTHON={sys.executable}"], cwd=copy, check=True)
        built = str(copy / "dist" / "Revisage")
    return Path(built) / "revisage"


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment without Python."""
    (tmp_path / "bin").mkdir()
    return {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path)}


def said(program: Path, *arguments: str, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        [program, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_restores_a_photo(program: Path, tmp_path: Path, bare: dict[str, str]) -> None:
    Image.open(ROOT / "examples" / "portrait.jpg").crop((96, 16, 416, 336)).save(tmp_path / "old.jpg")
    assert "1 of 1 face" in said(program, "old.jpg", cwd=tmp_path, env=bare)
    assert Image.open(tmp_path / "old.restored.jpg").size == (640, 640)
    help_text = said(program, "restore", "--help", cwd=tmp_path, env=bare)
    assert "How much of each restored face goes into the photo" in help_text


def test_without_a_photo_it_shows_the_page(program: Path, tmp_path: Path, bare: dict[str, str]) -> None:
    with subprocess.Popen([program], cwd=tmp_path, env=bare, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[-1]
            assert "<html" in requests.get(url, timeout=60).text
            photo = (ROOT / "examples" / "portrait.jpg").read_bytes()
            answer = requests.post(f"{url}/v1/restore?scale=1", photo, timeout=300)
            assert answer.headers["content-type"] == "image/jpeg"
        finally:
            server.terminate()
            server.wait(60)
    with pytest.raises(requests.ConnectionError):  # it has ended with the program
        requests.get(url, timeout=5)
