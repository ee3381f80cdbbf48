"""The guides: what they tell to type is typed, and the proxies they set up stand before a real server."""

from __future__ import annotations

import contextlib
import http.server
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image
from server_stub import SLOW, TOKEN, Running, photo, running

from revisage.zoo import CATALOGUE
from revisage.zoo.fetch import fetch

DOCS = Path(__file__).parents[1] / "docs"
sys.path.insert(0, str(DOCS))

from run_page import run, steps  # noqa: E402

NAME = "photos.example.org"


def typed(*pages: str, folder: Path, timeout: float = 600) -> None:
    """Type what the pages say, one after the other, and compare what they show."""
    todo = [step for page in pages for step in steps(DOCS / page)]
    assert todo
    run(todo, folder, timeout=timeout)
    for step in todo:
        assert step.holds(), f"$ {step.typed}printed\n{step.printed}and the page shows\n{step.shown}"


@pytest.mark.timeout(900)
def test_the_programs_of_your_app(tmp_path: Path) -> None:
    typed("howto/app.md", folder=tmp_path)


def test_the_number_of_pictures_that_fid_depends_on(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs pip install revisage[train]")
    typed("explanations/fid.md", folder=tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_rehearsals_of_training_alone_and_in_two_processes(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs pip install revisage[train]")
    typed("howto/own-data.md", "howto/gpus.md", folder=tmp_path, timeout=1800)
    assert (tmp_path / "toy.png").exists()
    assert list((tmp_path / "runs" / "two" / "checkpoints").glob("*.pt"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_rehearsal_on_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs pip install revisage[ray]")
    typed("howto/ray.md", folder=tmp_path, timeout=1800)
    assert sorted(path.name for path in (tmp_path / "restored").glob("*.png")) == ["one.png", "two.png"]


def snippet(language: str) -> str:
    """The page's block for a program."""
    found = re.search(rf"```{language}\n(.*?)```", (DOCS / "howto" / "proxy.md").read_text(), re.DOTALL)
    assert found is not None
    return found[1]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def nginx(folder: Path, port: int, server: Running) -> list[str]:
    """Start it with the page's block, but for the address and the certificate."""
    block = snippet("nginx").replace("443 ssl", f"127.0.0.1:{port}")
    block = re.sub(r"^ *ssl_.*\n", "", block, flags=re.MULTILINE)
    block = block.replace("http://127.0.0.1:8000", server.url)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{block}}}\n"
    )
    return ["-c", str(config), "-p", str(folder), "-e", str(folder / "log")]


def caddy(folder: Path, port: int, server: Running) -> list[str]:
    block = snippet("caddy").replace(NAME, f"http://{NAME}:{port}")
    config = folder / "Caddyfile"
    config.write_text(
        f"{{\nadmin off\nstorage file_system {folder}\n}}\n"
        + block.replace("127.0.0.1:8000", server.url.partition("//")[2])
    )
    return ["run", "--adapter", "caddyfile", "--config", str(config)]


PROXIES = {"nginx": nginx, "caddy": caddy}


@pytest.fixture(params=PROXIES)
def proxied(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of the proxy."""
    program = shutil.which(request.param, path="/usr/sbin:/usr/local/bin:/usr/bin")
    if program is None:
        pytest.skip(f"needs {request.param}: apt-get install {request.param}")
    port = free_port()
    with (
        running(tmp_path / "data", names=(NAME,), tokens=(TOKEN,)) as server,
        contextlib.ExitStack() as stack,
    ):
        process = subprocess.Popen(
            [program, *PROXIES[request.param](tmp_path, port, server)], stderr=subprocess.DEVNULL
        )
        stack.callback(process.wait, 20)
        stack.callback(process.terminate)
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, "the proxy refuses the page's configuration"
            assert time.monotonic() < until
            time.sleep(0.05)
        # The workers' server, asked by its own name.
        while requests.get(f"{server.url}/readyz", headers={"Host": NAME}, timeout=5).status_code != 200:
            assert time.monotonic() < until + 30
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"


def test_long_bodies_and_progress_pass_the_proxy(proxied: str) -> None:
    headers = {"Host": f"{NAME}:{proxied.rpartition(':')[2]}", "Authorization": f"Bearer {TOKEN}"}
    stream = BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (800, 900, 3), np.uint8)
    Image.fromarray(pixels).save(stream, "PNG")
    assert len(stream.getvalue()) > 2 << 20  # twice what nginx lets through unasked
    done = requests.post(f"{proxied}/v1/restore", data=stream.getvalue(), headers=headers, timeout=60)
    assert (done.status_code, done.headers["content-type"]) == (200, "image/png"), done.text

    job = requests.post(f"{proxied}/v1/jobs", data=photo(mark=SLOW), headers=headers, timeout=30).json()
    with requests.get(
        f"{proxied}/v1/jobs/{job['id']}/events", headers=headers, stream=True, timeout=30
    ) as events:
        states = [line for line in events.iter_lines(decode_unicode=True) if line.startswith("event:")]
    assert states[-1] == "event: done"
    other = requests.get(
        f"{proxied}/v1/server", headers={**headers, "Host": NAME, "Origin": "http://evil.test"}
    )
    assert other.status_code == 200  # reading is no change
    refused = requests.post(
        f"{proxied}/v1/jobs", data=photo(), headers={**headers, "Origin": "http://evil.test"}, timeout=30
    )
    assert (refused.status_code, refused.json()["code"]) == (403, "foreign-page")
    same = headers | {"Origin": f"http://{headers['Host']}"}
    assert requests.post(f"{proxied}/v1/jobs", data=photo(), headers=same, timeout=30).status_code == 202


def test_a_model_is_downloaded_through_the_proxy_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    spec = next(spec for spec in CATALOGUE.values() if spec.url is not None)

    class Proxy(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"model")

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, address)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        wanted = replace(
            spec,
            url="http://models.invalid/model.bin",
            bytes=5,
            sha256="9372c470eeadd5ecd9c3c74c2b3cb633f8e2f2fad799250a0f70d652b6b825e4",
        )
        path = fetch(wanted, tmp_path)
        server.shutdown()
    assert path.read_bytes() == b"model"
    assert asked == ["http://models.invalid/model.bin"]
