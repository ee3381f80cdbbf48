"""Scripts of the project that no other test runs: what they import is there, and the small ones work."""

import ast
import importlib
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(
    path for folder in ("benchmarks", "docs", "examples") for path in (ROOT / folder).glob("**/*.py")
)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_script_imports_of_the_package_is_there(path: Path) -> None:
    pytest.importorskip("torch")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "revisage":
            module = importlib.import_module(str(node.module))
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")


def test_the_speed_of_a_training_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("torch", "tensorboard", "onnx"):
        pytest.importorskip(package)
    from train_pictures import write_pictures

    data = write_pictures(tmp_path)
    arguments = ["--system", "realesrgan", "--preset", "tiny", "--steps", "1", "--threads", "1"]
    monkeypatch.setattr("sys.argv", ["training.py", "--data", str(data), *arguments])
    main = runpy.run_path(str(ROOT / "benchmarks/training.py"))["main"]
    monkeypatch.setitem(main.__globals__, "SIDE", 64)  # of the matrices that the rate is compared with
    main()
    assert "images/s" in capsys.readouterr().out
