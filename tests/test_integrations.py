"""The ComfyUI node and the Gradio page: loaded as their hosts load them, each with one real restoration."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from revisage import Restorer
from revisage.errors import UsageError
from revisage.image import decode
from revisage.label import read

ROOT = Path(__file__).parents[1]
PORTRAIT = ROOT / "examples" / "portrait.jpg"


def load(path: Path, name: str) -> ModuleType:
    """Import a file by its path, as ComfyUI does with a folder's `__init__.py`."""
    folder = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=folder)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def comfyui() -> ModuleType:
    return load(ROOT / "integrations" / "comfyui" / "__init__.py", "custom_nodes_revisage")


@pytest.fixture(scope="module")
def app() -> ModuleType:
    return load(ROOT / "integrations" / "gradio" / "app.py", "gradio_space_of_revisage")


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("portrait") / "eileen.png"
    with Image.open(PORTRAIT) as picture:
        picture.crop((96, 16, 416, 336)).resize((160, 160)).save(path)
    return path


def test_neither_asks_for_its_host_or_torch_when_it_is_imported() -> None:
    code = (
        "import sys, runpy; runpy.run_path('integrations/comfyui/__init__.py');"
        "runpy.run_path('integrations/gradio/app.py');"
        "assert not {'torch', 'gradio', 'comfy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_node_restores_a_batch_as_the_restorer_does(comfyui: ModuleType, portrait: Path) -> None:
    torch = pytest.importorskip("torch", reason="ComfyUI brings it")
    node = comfyui.NODE_CLASS_MAPPINGS["RevisageRestore"]
    assert set(comfyui.NODE_CLASS_MAPPINGS) == set(comfyui.NODE_DISPLAY_NAME_MAPPINGS)
    inputs = node.INPUT_TYPES()["required"]
    assert {"auto", "none", "revisage-face-256"} <= set(inputs["model"][0])
    assert inputs["scene"][0][:2] == ["auto", "none"]
    pixels = decode(portrait, isolate=False).pixels
    batch = torch.from_numpy(np.stack([pixels, pixels[:, ::-1]]).astype(np.float32) / 255)
    chosen = {"strength": 0.8, "scale": "1", "faces": "all", "colour": "keep", "scene": "none"}
    pictures, text = getattr(node(), node.FUNCTION)(image=batch, model="auto", **chosen)
    assert len(node.RETURN_TYPES) == len(node.RETURN_NAMES) == 2
    assert tuple(pictures.shape) == (2, 160, 160, 3)
    assert pictures.dtype == torch.float32
    assert 0 <= float(pictures.min()) <= float(pictures.max()) <= 1
    expected = Restorer(scene="none").restore(pixels, strength=0.8, scale=1)
    assert np.array_equal(np.rint(pictures[0].numpy() * 255).astype(np.uint8), expected.pixels)
    reports = json.loads(text)
    assert [report["faces"][0]["outcome"] for report in reports] == ["restored", "restored"]
    with pytest.raises(UsageError, match="faces"):
        node().restore(image=batch, model="auto", **(chosen | {"faces": "grandmother"}))


def test_the_page_restores_a_photo_over_http(
    app: ModuleType, portrait: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio", reason="needs pip install gradio")
    client = pytest.importorskip("gradio_client", reason="comes with gradio")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    page = app.build()
    _, url, _ = page.queue().launch(
        prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", share=False
    )
    try:
        visitor = client.Client(url, verbose=False, download_files=str(tmp_path / "got"))
        shown, file, faces = visitor.predict(
            client.handle_file(portrait), 0.8, "1", "keep", api_name="/restore"
        )
        assert Path(file).name == "eileen.restored.png"
        expected = Restorer().restore(portrait, strength=0.8, scale=1)
        assert np.array_equal(decode(Path(file), isolate=False).pixels, expected.pixels)
        assert read(Path(file).read_bytes()) is not None
        assert Path(shown).is_file()
        assert faces["data"][0][:2] == [0, "restored"]
        bad = tmp_path / "broken.jpg"
        bad.write_bytes(b"\xff\xd8 no photo")
        with pytest.raises(Exception, match="JPEG"):
            visitor.predict(client.handle_file(bad), 0.8, "1", "keep", api_name="/restore")
    finally:
        page.close()
    # Gradio leaves empty files behind; nothing of a photo.
    left = [
        path for name in ("cache", "temporary") for path in (tmp_path / name).rglob("*") if path.is_file()
    ]
    assert [path for path in left if path.stat().st_size] == []


def test_the_space_names_its_app_and_what_it_needs() -> None:
    folder = ROOT / "integrations" / "gradio"
    header = re.match(r"---\n(.*?)\n---\n", (folder / "README.md").read_text(), re.DOTALL)
    assert header is not None
    facts = dict(line.split(": ", 1) for line in header[1].splitlines())
    assert facts["sdk"] == "gradio"
    assert (folder / facts["app_file"]).is_file()
    needs = {re.split(r"[><=]", line)[0] for line in (folder / "requirements.txt").read_text().split()}
    assert needs == {"gradio", "revisage"}
