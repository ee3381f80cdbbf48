"""The ComfyUI node, the Gradio page and what docs/editors.md says: used as their hosts use them."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image, ImageCms

from revisage import Restorer
from revisage.cli import main
from revisage.errors import UsageError
from revisage.image import decode, from_array, save
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
        assert faces["data"][0][:2] == [1, "restored"]
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


def test_an_editors_tiff_comes_back_as_a_layer_that_fits(tmp_path: Path) -> None:
    """16 bits and a profile in, the same out, of the same size: the command of docs/editors.md."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = decode(PORTRAIT, isolate=False).pixels[16:176, 96:256].astype(np.uint16) * 257
    source, target = tmp_path / "portrait.tif", tmp_path / "portrait.restored.tif"
    save(replace(from_array(pixels), icc=profile), source)
    before = source.read_bytes()
    assert main(["restore", str(source), "-o", str(target), "--scale", "1", "--scene", "none"]) == 0
    restored = decode(target, isolate=False)
    assert restored.pixels.shape == pixels.shape
    assert restored.pixels.dtype == np.uint16
    assert not np.array_equal(restored.pixels, pixels)
    assert restored.icc == profile
    assert source.read_bytes() == before


def test_the_script_for_darktable_restores_and_imports_what_is_exported(tmp_path: Path) -> None:
    """Against a stand-in for the few of darktable's functions that it calls."""
    lupa = pytest.importorskip("lupa", reason="runs Lua: pip install lupa")
    script = re.search(r"```lua\n(.*?)```", (ROOT / "docs" / "editors.md").read_text(), re.DOTALL)
    assert script is not None
    lua = lupa.LuaRuntime()
    ran, imported, said = [], [], []

    def execute(command: str) -> int:
        ran.append(shlex.split(command))
        return 1 if "broken" in command else 0

    lua.globals().stand_in = {"run": execute, "import": imported.append, "say": said.append}
    lua.execute("""
        package.preload["darktable"] = function()
          return {
            print = function(text) stand_in.say(text) end,
            control = { execute = function(command) return stand_in.run(command) end },
            database = { import = function(path) stand_in["import"](path) end },
            register_storage = function(...) storage = table.pack(...) end,
          }
        end""")
    lua.execute(script[1])
    plugin, title, store, finalize = (lua.globals().storage[number] for number in range(1, 5))
    assert (plugin, title) == ("revisage", "Revisage")
    exported = [tmp_path / "grandma's.tif", tmp_path / "broken.tif"]
    images = {}
    for number, path in enumerate(exported, 1):
        path.write_bytes(b"")
        image = lua.table_from({"path": f"/scans/{number}"})
        store(None, image, None, str(path), number, 2)
        images[image] = str(path)
    finalize(None, lua.table_from(images))
    wanted = [
        ["revisage", "restore", str(path), "-o", f"/scans/{n}/{path.stem}.restored.tif"]
        for n, path in enumerate(exported, 1)
    ]
    assert sorted(ran) == sorted(wanted)
    assert imported == ["/scans/1/grandma's.restored.tif"]
    assert said == ["exported 1 of 2", "exported 2 of 2", "revisage failed on broken"]
    assert not any(path.exists() for path in exported)


def test_the_space_names_its_app_and_what_it_needs() -> None:
    folder = ROOT / "integrations" / "gradio"
    header = re.match(r"---\n(.*?)\n---\n", (folder / "README.md").read_text(), re.DOTALL)
    assert header is not None
    facts = dict(line.split(": ", 1) for line in header[1].splitlines())
    assert facts["sdk"] == "gradio"
    assert (folder / facts["app_file"]).is_file()
    needs = {re.split(r"[><=]", line)[0] for line in (folder / "requirements.txt").read_text().split()}
    assert needs == {"gradio", "revisage"}
