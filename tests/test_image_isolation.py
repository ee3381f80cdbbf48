"""The decoding process: what it survives, and that it leaves nothing behind."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from revisage.errors import PhotoError, PhotoTooLargeError, UsageError
from revisage.image import DecodeLimits, decode, encode, from_array
from revisage.image.isolation import pool as pool_module
from revisage.image.isolation import worker as isolation_worker

ENVIRONMENT = pool_module._environment


@pytest.fixture(autouse=True)
def fresh_workers() -> Iterator[None]:
    pool_module._pool.close()
    yield
    pool_module._pool.close()


def picture(value: int, size: tuple[int, int] = (20, 30)) -> bytes:
    return encode(from_array(np.full((*size, 3), value, np.uint8)), format="PNG")


def children() -> list[psutil.Process]:
    """The decoding processes; the helper that multiprocessing keeps after other tests is none."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(child.cmdline())
    ]


def sabotage(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str) -> None:
    """Make Image.open in the decoding process do something else."""
    lines = [
        "import os, signal, time, PIL.Image",
        "def boom(*args, **options):",
        *(f"    {x}" for x in body.split("; ")),
    ]
    (folder / "sitecustomize.py").write_text("\n".join([*lines, "PIL.Image.open = boom", ""]))

    def environment() -> dict[str, str]:
        env = ENVIRONMENT()
        return {**env, "PYTHONPATH": os.pathsep.join([str(folder), env["PYTHONPATH"]])}

    monkeypatch.setattr(pool_module, "_environment", environment)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals of this kind")
@pytest.mark.parametrize("forks", [True, False])
@pytest.mark.parametrize(
    ("body", "error", "text"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", PhotoError, "SIGSEGV"),
        ("os.kill(os.getpid(), signal.SIGKILL)", PhotoTooLargeError, "memory"),
        ("os._exit(3)", PhotoError, "crashed"),
        ("time.sleep(60)", PhotoTooLargeError, "longer than 0.2 s"),
        ("bytearray(1 << 45)", PhotoTooLargeError, "memory"),
        ("raise RecursionError('deep')", PhotoError, "deep"),
        ("raise SyntaxError", PhotoError, "SyntaxError"),
        ("os.write(1, b'x' * 100); raise IndexError('list')", PhotoError, "list"),
    ],
)
def test_whatever_happens_in_the_child_is_one_typed_error_and_the_next_photo_works(
    *,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    forks: bool,
    body: str,
    error: type[Exception],
    text: str,
) -> None:
    if not forks:
        monkeypatch.setattr(isolation_worker, "FORKS", False)
        monkeypatch.setenv("REVISAGE_DECODER_FORKS", "0")
    with monkeypatch.context() as patch:
        sabotage(patch, tmp_path, body)
        limits = DecodeLimits(seconds=0.2) if "sleep" in body else DecodeLimits()
        with pytest.raises(error, match=text) as caught:
            decode(picture(1), limits=limits)
        assert "\n" not in str(caught.value)
        pool_module._pool.close()
    assert decode(picture(2)).pixels[0, 0, 0] == 2
    pool_module._pool.close()
    assert not children()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's address space")
def test_a_picture_beyond_the_memory_limit_is_refused() -> None:
    data = picture(7, (2000, 3000))
    with pytest.raises(PhotoTooLargeError, match="memory"):
        decode(data, limits=DecodeLimits(memory_bytes=16 << 20))
    assert decode(data).pixels.shape == (2000, 3000, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every photo has its own process")
def test_a_worker_serves_many_photos_and_a_dead_one_is_replaced() -> None:
    assert decode(picture(1)).pixels.mean() == 1
    (worker,) = children()
    assert decode(picture(2)).pixels.mean() == 2
    assert children() == [worker]
    worker.kill()
    worker.wait()
    assert decode(picture(3)).pixels.mean() == 3


def test_many_threads_get_their_own_photos() -> None:
    results: dict[int, float] = {}

    def work(value: int) -> None:
        for _ in range(3):
            results[value] = float(decode(picture(value)).pixels.mean())

    threads = [threading.Thread(target=work, args=(v,)) for v in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {v: float(v) for v in range(6)}


def _in_fork(queue: multiprocessing.Queue[float]) -> None:
    queue.put(float(decode(picture(9)).pixels.mean()))


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork")
def test_a_fork_of_the_parent_starts_its_own_worker() -> None:
    assert decode(picture(1)).pixels.mean() == 1
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[float] = context.Queue()
    process = context.Process(target=_in_fork, args=(queue,))
    process.start()
    assert queue.get(timeout=60) == 9
    process.join()
    assert decode(picture(2)).pixels.mean() == 2


def test_nothing_is_imported_from_the_folder_of_the_photos(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in ("numpy", "json", "revisage", "imagecodecs"):
        (tmp_path / f"{module}.py").write_text("open('owned', 'w').close()\n")
    (tmp_path / "a.png").write_bytes(picture(5))
    monkeypatch.chdir(tmp_path)
    assert decode("a.png").pixels.mean() == 5
    assert not (tmp_path / "owned").exists()


def test_the_worker_imports_no_inference_library() -> None:
    code = (
        "import sys, revisage.image.isolation.worker, revisage.image.decoders as r\n"
        "[r.load_plugins(f) for f in r.PLUGINS]\n"
        "print(sorted({'cv2', 'openvino', 'onnxruntime', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT()
    )
    assert done.stdout.strip() == "[]"


def outcome(file: Path) -> str | None:
    """What the error says, None when there is a photo."""
    try:
        assert decode(file).pixels.size
    except PhotoError as error:
        return str(error)
    return None


def test_every_odd_and_hostile_file_ends_in_a_photo_or_a_one_line_error(shared: Path) -> None:
    files = sorted([*(shared / "data/odd").iterdir(), *(shared / "data/hostile").iterdir()])
    assert files
    decoded = 0
    for file in files:
        text = outcome(file)
        decoded += text is None
        assert text is None or text.isprintable(), file
        assert text is None or "0x" not in text, file  # no addresses of Python objects
    assert decoded > 100


@pytest.mark.parametrize("limits", [{"max_pixels": 0}, {"memory_bytes": -1}, {"seconds": 0.0}])
def test_limits_must_be_positive(limits: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        DecodeLimits(**limits)
