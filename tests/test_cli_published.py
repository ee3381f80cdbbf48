"""`revisage models pull` and `import` of what others publish: fetched once, made into a model once."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import platformdirs
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("spandrel")

from checkpoints import compact_state, save  # noqa: E402

from revisage import cli, zoo  # noqa: E402
from revisage.files import sha256  # noqa: E402
from revisage.zoo import CATALOGUE, ModelSpec  # noqa: E402

NAME = "outside-x4"


def main(arguments: list[str]) -> int:
    return cli.main(["models", *arguments])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's model folder, empty."""
    torch.set_num_threads(1)
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache"))
    monkeypatch.delenv("REVISAGE_MODELS", raising=False)
    return tmp_path / "cache" / "models"


@pytest.fixture
def released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A release with one checkpoint, in the catalogue as `NAME`; the paths it was asked for."""
    checkpoint = save(tmp_path / "release" / "Outside.pth", compact_state())
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    handler = functools.partial(Handler, directory=str(checkpoint.parent))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    spec = ModelSpec(
        NAME,
        "scene",
        None,
        4,
        "7",
        "CC0-1.0",
        f"{NAME}.onnx",
        f"http://127.0.0.1:{server.server_port}/Outside.pth",
        sha256(checkpoint),
        checkpoint.stat().st_size,
        checkpoint="Outside.pth",
    )
    monkeypatch.setitem(CATALOGUE, NAME, spec)
    yield asked
    server.shutdown()
    server.server_close()
    thread.join()


def visible(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))


def test_pull_fetches_and_converts_once(
    home: Path, released: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["info", NAME]) == 0
    assert "not installed" in capsys.readouterr().out
    for _ in range(2):
        assert main(["pull", NAME]) == 0
        assert capsys.readouterr().out == f"{NAME}: {home / f'{NAME}.onnx'}\n"
    assert released == ["/Outside.pth"]
    assert visible(home) == [f"{NAME}.onnx"]  # the checkpoint has served
    assert str(zoo.resolve("scene", NAME)) == f"{NAME} 7"


def test_a_checkpoint_in_a_folder_of_ones_own_is_used_and_stays(
    home: Path, released: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REVISAGE_MODELS", str(tmp_path / "release"))
    assert main(["pull", NAME]) == 0
    assert released == []
    assert visible(tmp_path / "release") == ["Outside.pth"]
    assert visible(home) == [f"{NAME}.onnx"]


def test_a_wrong_file_leaves_nothing_behind(
    home: Path, released: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "release" / "Outside.pth"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert main(["pull", NAME]) == 1
    err = capsys.readouterr().err
    assert CATALOGUE[NAME].sha256 in err
    assert "nothing was installed" in err
    assert visible(home) == []


def test_import_names_a_known_checkpoint_and_refuses_a_bad_one(
    home: Path, released: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "release" / "Outside.pth").rename(tmp_path / "x.pth")
    assert main(["import", str(tmp_path / "x.pth")]) == 0
    assert capsys.readouterr().out == f"{NAME}: {home / f'{NAME}.onnx'}\n"
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"not weights")
    assert main(["import", str(bad), "--as", "bad"]) == 1
    err = capsys.readouterr().err
    assert "no whole PyTorch checkpoint" in err
    assert len(err.splitlines()) == 1
    assert visible(home) == [f"{NAME}.onnx"]


def test_a_checkpoint_is_imported_and_restores_without_torch(tmp_path: Path) -> None:
    source = save(tmp_path / "mine.pth", compact_state(2))
    portrait = Path(__file__).parents[1] / "examples" / "portrait.jpg"
    script = f"""
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("torch", "onnx", "onnxruntime", "safetensors", "spandrel"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from PIL import Image
from revisage import Restorer, zoo
from revisage.cli import main
assert main(["models", "import", {str(source)!r}]) == 0
small = Image.open({str(portrait)!r}).resize((64, 64))
result = Restorer(model="none", scene="mine", device="cpu").restore(small, scale=2)
print(result.models["scene"], result.pixels.shape)
"""
    cache = os.environ | {"XDG_CACHE_HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=cache, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("mine 1 (128, 128, 3)\n"), done.stderr
