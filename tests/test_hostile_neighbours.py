"""Other accounts and other clients of the same machine: what they cannot read, reach or use up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
from postgres_server import postgres
from server_stub import DEADLY, Running, photo, running

from revisage.batch.engines import ray as engines_ray
from revisage.errors import UsageError
from revisage.image import protection
from revisage.server.files import NoRoomError, Quota
from revisage.server.options import JobOptions
from revisage.server.private import make_folder
from revisage.server.problems import StoreUnavailableError
from revisage.server.queue import postgres as postgres_module
from revisage.server.queue.postgres import PostgresStore
from revisage.server.queue.sqlite import SqliteStore


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server")) as one:
        yield one.ready()


def test_a_thousand_half_sent_requests_do_not_stop_the_server(server: Running) -> None:
    address = (urlsplit(server.url).hostname, urlsplit(server.url).port)
    with ExitStack() as opened:
        for _ in range(1000):
            half = opened.enter_context(socket.create_connection(address, timeout=10))
            half.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ")
        start = time.monotonic()
        answer = requests.get(server.url + "/healthz", timeout=15)
        assert answer.status_code == 200
        assert time.monotonic() - start < 15
        job = server.client.submit(photo(3))
        assert server.client.wait(job.id, seconds=60).state == "done"


def test_a_head_that_does_not_come_ends_the_connection(server: Running) -> None:
    """Also the head of a second request, on a connection kept alive."""
    address = (urlsplit(server.url).hostname, urlsplit(server.url).port)

    def seconds(head: bytes) -> float:
        with socket.create_connection(address, timeout=20) as half:
            half.sendall(head)
            start = time.monotonic()
            with suppress(ConnectionResetError):
                while half.recv(1 << 16):
                    half.sendall(b"x")
            return time.monotonic() - start

    heads = [b"", b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HT"]
    with ThreadPoolExecutor(len(heads)) as pool:  # ten seconds, once for all
        assert all(each < 15 for each in pool.map(seconds, heads))


def test_a_slow_but_whole_upload_and_a_connection_kept_alive_are_served(server: Running) -> None:
    with requests.Session() as session:
        for level in range(5):
            data = photo(level)

            def slowly(data: bytes = data) -> Iterator[bytes]:
                for start in range(0, len(data), 200):
                    time.sleep(0.02)
                    yield data[start : start + 200]

            answer = session.post(server.url + "/v1/jobs", data=slowly(), timeout=30)
            assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("own", [None, "mine"])
def test_ray_on_this_machine_asks_for_a_token(monkeypatch: pytest.MonkeyPatch, own: str | None) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    if own is not None:
        monkeypatch.setenv("RAY_AUTH_TOKEN", own)
    seen: dict[str, str] = {}

    def init(**options: object) -> None:
        seen.update({name: os.environ[name] for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")})

    ray = SimpleNamespace(is_initialized=lambda: False, init=init, shutdown=lambda: None)
    monkeypatch.setattr(engines_ray, "_ray", lambda: ray)
    with engines_ray.connected():
        pass
    assert seen["RAY_AUTH_MODE"] == "token"
    assert seen["RAY_AUTH_TOKEN"] == own if own else len(seen["RAY_AUTH_TOKEN"]) == 64


def stored(folder: Path) -> int:
    return sum(path.stat().st_size for path in (folder / "jobs").rglob("*") if path.is_file())


def test_a_flood_of_junk_stays_below_the_quota(tmp_path: Path) -> None:
    """Junk that begins like a photo is dropped as soon as it does not decode, and never passes the quota."""
    junk = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02\0\0\0" + bytes(100_000)
    most = 1 << 20
    with running(tmp_path, stored_bytes=most, queue=1000) as server:
        server.ready()
        statuses = []
        for _ in range(40):
            statuses.append(requests.post(server.url + "/v1/jobs", data=junk, timeout=30).status_code)
            assert stored(tmp_path) <= most
        assert set(statuses) == {202, 507}
        assert statuses.count(202) >= 10
        until = time.monotonic() + 60
        while stored(tmp_path) and time.monotonic() < until:
            time.sleep(0.2)
        assert stored(tmp_path) == 0  # every one was tried, and is gone without waiting for retention
        while time.monotonic() < until:
            answer = requests.post(server.url + "/v1/jobs", data=photo(7), timeout=30)
            if answer.status_code == 202:
                break
            time.sleep(0.5)
        assert server.client.wait(answer.json()["id"], seconds=60).state == "done"


def test_a_photo_that_no_longer_has_room_is_refused_as_a_form_too(tmp_path: Path) -> None:
    with running(tmp_path, stored_bytes=50_000) as server:
        server.ready()
        files = {"file": ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(200_000))}
        for _ in range(3):
            answer = requests.post(server.url + "/v1/jobs", files=files, timeout=30)
            assert (answer.status_code, answer.json()["code"]) == (507, "no-space")
        assert stored(tmp_path) == 0
        assert requests.post(server.url + "/v1/jobs", data=photo(7), timeout=30).status_code == 202


def test_what_must_stay_free_on_the_disk_stays_free(tmp_path: Path) -> None:
    quota = Quota(tmp_path, most=1 << 60, floor=1 << 60)
    with pytest.raises(NoRoomError, match="free"):
        quota.take(1)


def test_the_quota_knows_what_came_while_it_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quota = Quota(tmp_path, most=100, floor=0)
    quota.take(60)
    monkeypatch.setattr("revisage.server.files._size", lambda folder: quota.take(30) or 0)
    quota.measure()
    quota.take(70)
    with pytest.raises(NoRoomError):
        quota.take(1)
    quota.give_back(50)
    quota.take(50)


def test_a_result_that_would_be_too_large_is_refused_once(tmp_path: Path) -> None:
    with running(tmp_path, max_output_pixels=100_000) as server:
        job = server.ready().client.submit(photo(3), JobOptions(scale="4"))
        status = server.client.wait(job.id, seconds=60)
        assert status.state == "failed"
        assert "more than 100,000" in str(status.error)
        smaller = server.client.again(job.id, JobOptions(scale="1"))  # the upload is still there
        assert server.client.wait(smaller.id, seconds=60).state == "done"


def test_a_photo_whose_worker_is_killed_twice_is_not_tried_again(tmp_path: Path) -> None:
    with running(tmp_path, attempts=5) as server:
        deadly = server.ready().client.submit(photo(mark=DEADLY))
        assert server.client.wait(deadly.id, seconds=60).state == "poisoned"
        assert server.log().count("(code -9)") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds a process's address space")
def test_a_worker_cannot_take_more_than_its_memory() -> None:
    code = (
        "from revisage.server.private import bound, keep_private; import resource\n"
        "keep_private(); bound(64 << 20)\n"
        "assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)\n"
        "small = bytearray(16 << 20)\n"
        "try:\n    bytearray(256 << 20)\n"
        "except MemoryError:\n    print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_other_accounts_can_read_nothing_of_a_server(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    with running(folder) as server:
        job = server.ready().client.submit(photo(3), JobOptions(previews=True))
        server.client.wait(job.id, seconds=60)
        seen = set()
        for path in folder.rglob("*"):
            if path.name != "log":  # this test's own
                seen.add(path.name)
                assert path.stat().st_mode & 0o077 == 0, path
        assert {"jobs.sqlite", "jobs.sqlite-wal", "jobs.sqlite-shm", "jobs", job.id, "upload"} <= seen


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_an_older_queue_is_closed_and_a_folder_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").touch(0o644)
    SqliteStore(tmp_path / "jobs.sqlite").close()
    assert (tmp_path / "jobs.sqlite").stat().st_mode & 0o777 == 0o600
    for mode in (0o770, 0o707, 0o1777):
        tmp_path.chmod(mode)
        with pytest.raises(UsageError, match="chmod 700"):
            make_folder(tmp_path)
    tmp_path.chmod(0o755)
    make_folder(tmp_path)


def test_a_statement_that_hangs_ends_and_the_queue_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "STATEMENT_SECONDS", 1)
    with postgres() as url:
        store = PostgresStore(url)
        start = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="does not answer"):
            store._run(("SELECT pg_sleep(20)", ()))
        assert time.monotonic() - start < 10
        assert store.counts()["queued"] == 0
        store.close()


def test_a_connection_asks_for_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, object] = {}

    def connect(url: str, **options: object) -> object:
        seen.update(options)
        raise psycopg.OperationalError("no server here")

    monkeypatch.setattr(psycopg, "connect", connect)
    with pytest.raises(StoreUnavailableError):
        PostgresStore("postgresql://nowhere/db")
    assert seen["keepalives"] == 1
    assert seen["keepalives_idle"] == 10
    assert seen["tcp_user_timeout"] == 30_000


def test_a_server_tells_what_holds_its_decoders(server: Running) -> None:
    assert requests.get(server.url + "/readyz", timeout=5).json() == {
        "status": "ready",
        "decoding": protection(),
    }
