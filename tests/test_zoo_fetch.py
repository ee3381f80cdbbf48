"""Downloads against a real server on this machine: whole, cut, resumed, wrong, refused, at the same time."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from revisage import zoo
from revisage.errors import ModelCorruptError, ModelMissingError, UnknownModelError
from revisage.zoo import ModelSpec, store
from revisage.zoo.fetch import fetch

DATA = np.random.default_rng(0).bytes(300_000)
CHUNK = 1 << 16
SHA = hashlib.sha256(DATA).hexdigest()


@dataclass
class Server:
    """What the server does, and what it was asked: `(status, start of the range)` per answer."""

    url: str = ""
    body: bytes = DATA
    cut_after: int | None = None  # bytes before it hangs up, in every answer
    ranges: bool = True
    shift: int = 0  # answers a range with one that starts so much later
    failures: list[int] = field(default_factory=list)  # statuses of the first answers
    answers: list[tuple[int, int]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None: ...

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and state.ranges else 0
            if state.failures:
                self.answer(state.failures.pop(0), start)
            elif start >= len(state.body):
                self.answer(416, start)
            else:
                self.send(206 if start else 200, start + state.shift if start else 0)

        def answer(self, status: int, start: int) -> None:
            state.answers.append((status, start))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send(self, status: int, start: int) -> None:
            state.answers.append((status, start))
            self.send_response(status)
            self.send_header("Content-Length", str(len(state.body) - start))
            if status == 206:
                self.send_header("Content-Range", f"bytes {start}-{len(state.body) - 1}/{len(state.body)}")
            self.end_headers()
            stop = len(state.body) if state.cut_after is None else start + state.cut_after
            with contextlib.suppress(ConnectionError):  # the client may have read enough
                self.wfile.write(state.body[start:stop])

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_port}/weights/big.onnx"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


def spec(server: Server, **change: object) -> ModelSpec:
    whole = ModelSpec("big", "scene", None, 2, "1", "CC0-1.0", "big.onnx", server.url, SHA, len(DATA))
    return replace(whole, **change)


def visible(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


def part(folder: Path) -> Path:
    return folder / store.PARTIAL / f"{SHA[:16]}.part"


def test_whole(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = fetch(spec(server), tmp_path, progress=lambda here, total: seen.append((here, total)))
    assert path == tmp_path / "big.onnx"
    assert path.read_bytes() == DATA
    assert visible(tmp_path) == ["big.onnx"]
    assert not part(tmp_path).exists()
    assert seen == sorted(seen)
    assert seen[-1] == (len(DATA), len(DATA))


def test_what_is_here_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    fetch(spec(server), tmp_path)
    fetch(spec(server), tmp_path)
    assert len(server.answers) == 1


def test_a_damaged_file_is_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / "big.onnx").write_bytes(b"damaged")
    assert fetch(spec(server), tmp_path).read_bytes() == DATA


def test_a_cut_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.cut_after = 2 * CHUNK
    seen: list[tuple[int, int]] = []
    fetch(spec(server), tmp_path, pause=0, progress=lambda here, total: seen.append((here, total)))
    assert server.answers == [(200, 0), (206, 2 * CHUNK), (206, 4 * CHUNK)]
    assert (tmp_path / "big.onnx").read_bytes() == DATA
    assert {total for _, total in seen} == {len(DATA)}


def test_a_later_call_goes_on_too(server: Server, tmp_path: Path) -> None:
    server.cut_after = CHUNK + 1_000  # what is no whole chunk may be lost
    with pytest.raises(ModelMissingError, match="the connection was cut"):
        fetch(spec(server), tmp_path, attempts=1)
    assert visible(tmp_path) == []
    assert part(tmp_path).stat().st_size == CHUNK
    server.cut_after = None
    fetch(spec(server), tmp_path, attempts=1)
    assert server.answers[-1] == (206, CHUNK)
    assert (tmp_path / "big.onnx").read_bytes() == DATA


@pytest.mark.parametrize("change", [{"ranges": False}, {"shift": 10}])
def test_a_server_that_cannot_resume_sends_it_again(
    server: Server, tmp_path: Path, change: dict[str, int]
) -> None:
    part(tmp_path).parent.mkdir()
    part(tmp_path).write_bytes(DATA[:50_000])
    for name, value in change.items():
        setattr(server, name, value)
    fetch(spec(server), tmp_path, pause=0)
    assert server.answers[-1] == (200, 0)
    assert (tmp_path / "big.onnx").read_bytes() == DATA


@pytest.mark.parametrize("left", [DATA, b"x" * 50_000, b"x" * len(DATA), b"x" * (len(DATA) + 5), b""])
def test_whatever_an_earlier_call_left(server: Server, tmp_path: Path, left: bytes) -> None:
    part(tmp_path).parent.mkdir()
    part(tmp_path).write_bytes(left)
    assert fetch(spec(server), tmp_path, pause=0).read_bytes() == DATA
    if left == DATA:
        assert server.answers == []


@pytest.mark.parametrize("body", [DATA[:-1] + b"!", DATA + b"!", DATA[:-9]])
def test_another_file_is_never_installed(server: Server, tmp_path: Path, body: bytes) -> None:
    server.body = body
    with pytest.raises(ModelCorruptError, match="nothing was installed") as caught:
        fetch(spec(server), tmp_path, pause=0)
    assert server.url in str(caught.value)
    assert visible(tmp_path) == []
    assert not part(tmp_path).exists()


def test_a_file_without_end_is_stopped(server: Server, tmp_path: Path) -> None:
    server.body = DATA * 20
    with pytest.raises(ModelCorruptError, match=f"more than the {len(DATA)} bytes"):
        fetch(spec(server), tmp_path)


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.failures = [503, 429, 500]
    fetch(spec(server), tmp_path, attempts=4, pause=0)
    assert [status for status, _ in server.answers] == [503, 429, 500, 200]


def test_a_refusal_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    server.failures = [404] * 9
    with pytest.raises(ModelMissingError, match="HTTP 404"):
        fetch(spec(server), tmp_path)
    assert len(server.answers) == 1


def test_offline_says_what_to_put_where(tmp_path: Path) -> None:
    offline = spec(Server(url="http://127.0.0.1:1/big.onnx"))
    with pytest.raises(ModelMissingError) as caught:
        fetch(offline, tmp_path, attempts=2, pause=0)
    message = str(caught.value)
    for words in ("big.onnx", "http://127.0.0.1:1/big.onnx", str(tmp_path), "no connection"):
        assert words in message
    assert "\n" not in message


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelMissingError, match="cannot write to"):
        fetch(spec(server), tmp_path / "file")


def test_many_at_once_download_once(server: Server, tmp_path: Path) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(fetch(spec(server), tmp_path))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert paths == [tmp_path / "big.onnx"] * 6
    assert len(server.answers) == 1
    assert paths[0].read_bytes() == DATA


def test_pull_by_name(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = {"big": spec(server), "inside": replace(spec(server), name="inside", url=None)}
    monkeypatch.setattr("revisage.zoo.fetch.CATALOGUE", catalogue)
    monkeypatch.setattr(store, "user_folder", lambda: tmp_path / "models")
    monkeypatch.setattr(store, "EMBEDDED", tmp_path / "embedded")
    monkeypatch.delenv("REVISAGE_MODELS", raising=False)
    with pytest.raises(ModelMissingError, match="install revisage again"):
        zoo.pull("inside")
    assert zoo.pull("big") == tmp_path / "models" / "big.onnx"
    assert zoo.pull("big").read_bytes() == DATA
    assert len(server.answers) == 1
    with pytest.raises(UnknownModelError, match="it has big, inside"):
        zoo.pull("nope")
