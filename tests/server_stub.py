"""A real server, as a process of its own: `python server_stub.py SETTINGS MODELS` (JSON; a name).

The stub's face model paints stripes, the scene model doubles; it may be slow or deadly, as the photo's first
pixel says.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import requests
from PIL import Image
from restore_stubs import StubModels, face_at, twice

from revisage.errors import ModelMissingError
from revisage.restore import InstalledModels, ModelSource, Settings
from revisage.server.client import Client
from revisage.server.settings import Limits, ServerSettings

TOKEN = "correct-horse-battery"
SLOW_SECONDS = 0.5
SLOW, DEADLY, STUCK = 7, 13, 17
"""Red value of a photo's first pixel that makes the scene model slow, kill its process, or never return."""


def stripes(picture: np.ndarray) -> np.ndarray:
    dark = np.arange(picture.shape[1]) // 8 % 2 == 0
    return np.where(dark[None, :, None], np.float32(0), np.float32(1)) * np.ones_like(picture)


def scene(picture: np.ndarray) -> np.ndarray:
    mark = round(float(picture[..., 0].min()) * 255)
    if mark == SLOW:
        time.sleep(SLOW_SECONDS)
    elif mark == DEADLY:
        os.kill(os.getpid(), signal.SIGKILL)
    elif mark == STUCK:
        time.sleep(3600)
    return twice(picture)


def models() -> StubModels:
    return StubModels(
        face=stripes, scene=scene, faces=lambda pixels: [face_at(60, 60, 50), face_at(160, 60, 40)]
    )


def drifting_models() -> StubModels:
    """The face model paints squares, which turn the identity model's embedding away from one colour's."""

    def squares(face: np.ndarray) -> np.ndarray:
        row, column = np.indices(face.shape[:2]) * 8 // len(face)
        return ((row + column) % 2)[..., None].repeat(3, 2).astype(np.float32)

    def turned(picture: np.ndarray) -> np.ndarray:
        turn = float(picture.std(axis=(0, 1)).mean()) * 2 * math.pi / 3
        return np.float32([[[math.cos(turn), math.sin(turn)]]])

    return StubModels(squares, twice, [face_at(60, 60, 50)], identity=turned)


def broken_models() -> StubModels:
    raise ModelMissingError("the face model is missing: install it")


def photo(
    level: int = 128, size: tuple[int, int] = (220, 120), format: str = "PNG", mark: int = 255
) -> bytes:
    """A photo of one colour that only its `level` tells from others; `mark` see SLOW."""
    pixels = np.full((size[1], size[0], 3), (200, level % 256, level // 256), np.uint8)
    pixels[0, 0, 0] = mark
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, format)
    return stream.getvalue()


def problem(answer: requests.Response) -> tuple[int, str]:
    """Status and code of an error, which must be a problem of RFC 9457."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body.keys() == {"type", "title", "status", "code", "detail"}
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:revisage:error:{body['code']}"
    assert body["detail"]
    return answer.status_code, body["code"]


def settings(data: Path, **changes: Any) -> ServerSettings:
    """Settings for tests: a free port, quick leases; `changes` may name limits as well."""
    limits = {name: changes.pop(name) for name in asdict(Limits()) if name in changes}
    return replace(
        ServerSettings(data, port=0, limits=Limits(**({"lease_seconds": 2.0} | limits))), **changes
    )


class Running:
    """A server process and a client of it."""

    def __init__(self, chosen: ServerSettings, models: str) -> None:
        self.settings = chosen
        text = json.dumps(asdict(chosen), default=str)
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.absolute()), *filter(None, sys.path)]),
            "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, __file__, text, models],
            stdout=subprocess.PIPE,
            stderr=(chosen.data / "log").open("ab"),
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "http" in line, (line, self.log())
        self.url = line.split()[-1]
        token = chosen.tokens[0] if chosen.tokens else None
        self.client = Client(self.url, token, seconds=30, patience=20)

    def log(self) -> str:
        return (self.settings.data / "log").read_text()

    def ready(self, seconds: float = 30.0) -> Running:
        until = time.monotonic() + seconds
        while requests.get(self.url + "/readyz", timeout=5).status_code != 200:
            assert time.monotonic() < until, self.log()
            time.sleep(0.05)
        return self

    def workers(self) -> list[int]:
        """Process ids of the workers: the children that run multiprocessing's spawn."""
        import psutil

        found = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child.pid)
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def running(data: Path, *, models: str = "models", **changes: Any) -> Iterator[Running]:
    data.mkdir(parents=True, exist_ok=True)
    server = Running(settings(data, **changes), models)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.kill()
        server.process.wait(10)


def real_models() -> ModelSource:
    return InstalledModels(Settings(threads=1))


def main() -> int:
    from revisage.server.run import serve

    values = json.loads(sys.argv[1])
    values["limits"] = Limits(**values["limits"])
    values |= {
        "data": Path(values["data"]),
        "tokens": tuple(values["tokens"]),
        "names": tuple(values["names"]),
    }
    makers = {
        "models": models,
        "drifting_models": drifting_models,
        "broken_models": broken_models,
        "real_models": real_models,
    }
    return serve(ServerSettings(**values), makers[sys.argv[2]])


if __name__ == "__main__":
    sys.exit(main())
