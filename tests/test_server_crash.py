"""Real processes, really killed: no accepted job is lost, nothing partial is seen, no image is another's."""

from __future__ import annotations

import io
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import requests
from PIL import Image
from postgres_server import postgres
from server_stub import DEADLY, SLOW, SLOW_SECONDS, photo, running

from revisage.server.client import Client, ServerError
from revisage.server.options import JobOptions

PLAIN = JobOptions(strength=0, scale="2")


def colour(data: bytes) -> tuple[int, ...]:
    """The colour of a result, which tells which photo it was made of."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert picture.size == (440, 240)
    found = picture.getpixel((300, 200))
    assert isinstance(found, tuple)
    return found


def assert_done(client: Client, accepted: dict[str, int]) -> None:
    for id, level in accepted.items():
        status = client.wait(id, seconds=60)
        assert status.state == "done", (status, level)
        assert colour(client.result(id)) == (200, level % 256, level // 256)


def test_workers_killed_at_any_moment_lose_no_job(tmp_path: Path) -> None:
    with running(tmp_path, workers=2, attempts=10, kills=10) as server:  # all kills may meet one job
        server.ready()
        accepted: dict[str, int] = {}
        for level in range(30):
            mark = SLOW if level % 5 == 0 else 255
            accepted[server.client.submit(photo(level, mark=mark), PLAIN).id] = level
        draw = random.Random(1)
        for _ in range(6):
            time.sleep(draw.uniform(0.0, 0.6))
            for victim in server.workers()[:1]:
                os.kill(victim, signal.SIGKILL)
        assert_done(server.client, accepted)
        assert server.process.poll() is None
        assert not list((tmp_path / "jobs").rglob("*.part"))


def test_a_server_killed_at_any_moment_loses_no_job_and_leaves_no_worker(tmp_path: Path) -> None:
    accepted: dict[str, int] = {}
    draw = random.Random(2)
    workers: list[int] = []
    for turn in range(2):
        with running(tmp_path) as server:
            levels = iter(range(100 * turn, 100 * turn + 40))

            def hand_in(url: str = server.url, levels: Iterator[int] = levels) -> None:
                client = Client(url, patience=0)
                for level in levels:
                    try:
                        accepted[client.submit(photo(level), PLAIN).id] = level
                    except ServerError:
                        return  # not accepted, and the client knows

            thread = threading.Thread(target=hand_in)
            thread.start()
            while len(accepted) < 3 * (turn + 1):
                time.sleep(0.02)
            time.sleep(draw.uniform(0.0, 1.0))
            workers += server.workers()
            os.kill(server.process.pid, signal.SIGKILL)
            thread.join()
    with running(tmp_path) as server:
        assert_done(server.client, accepted)
    until = time.monotonic() + 20
    while any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in workers):
        assert time.monotonic() < until, "a worker outlives its server"
        time.sleep(0.1)


def test_server_and_worker_killed_together_wait_for_the_lease_only(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        job = server.ready().client.submit(photo(5, mark=SLOW), PLAIN)
        while server.client.status(job.id).state != "running":
            time.sleep(0.02)
        for pid in [*server.workers(), server.process.pid]:
            os.kill(pid, signal.SIGKILL)
    with running(tmp_path) as server:
        assert_done(server.client, {job.id: 5})


def test_a_photo_that_kills_its_worker_is_given_up_and_others_are_not(tmp_path: Path) -> None:
    with running(tmp_path, attempts=2) as server:
        deadly = server.ready().client.submit(photo(mark=DEADLY))
        good = server.client.submit(photo(9), PLAIN)
        status = server.client.wait(deadly.id, seconds=60)
        assert status.state == "poisoned"
        assert status.error is not None
        assert "not tried again" in status.error
        assert_done(server.client, {good.id: 9})


@pytest.mark.slow
def test_two_machines_share_one_queue_and_either_may_die(tmp_path: Path) -> None:
    """Two servers on one database and one folder; the one that works is killed, another takes over."""
    with postgres() as url, running(tmp_path / "shared", database=url, workers=0) as front:
        accepted = {}
        with running(tmp_path / "shared", database=url) as back:
            back.ready()
            for level in range(6):
                accepted[front.client.submit(photo(level, mark=SLOW), PLAIN).id] = level
            front.client.wait(next(iter(accepted)), seconds=60)
            for pid in [back.process.pid, *back.workers()]:
                os.kill(pid, signal.SIGKILL)
        with running(tmp_path / "shared", database=url):
            assert_done(front.client, accepted)
            events = [event.name for event in front.client.events(next(iter(accepted)))]
            assert events[-1] == "done"


def test_sigterm_lets_what_is_in_hand_finish_and_keeps_the_rest(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server.ready()
        answers: list[int] = []
        photos = [photo(1, mark=SLOW), photo(2, mark=SLOW)]

        def restore(data: bytes) -> None:
            answers.append(requests.post(server.url + "/v1/restore", data=data, timeout=30).status_code)

        threads = [threading.Thread(target=restore, args=(data,)) for data in photos[:1]]
        threads[0].start()
        time.sleep(SLOW_SECONDS / 2)  # it is in hand
        waiting = server.client.submit(photo(3), PLAIN)
        threads.append(threading.Thread(target=restore, args=(photos[1],)))
        threads[1].start()
        time.sleep(SLOW_SECONDS / 4)
        assert server.stop() == 0
        for thread in threads:
            thread.join()
        assert sorted(answers) == [200, 503], "in hand: answered; only waiting: told to try again"
    with running(tmp_path) as server:
        assert_done(server.client, {waiting.id: 3})


@pytest.mark.slow
def test_what_takes_longer_than_the_drain_is_done_next_time(tmp_path: Path) -> None:
    with running(tmp_path, drain_seconds=0.1) as server:
        job = server.ready().client.submit(photo(4, mark=SLOW), PLAIN)
        while server.client.status(job.id).state != "running":
            time.sleep(0.02)
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 15
    with running(tmp_path) as server:
        assert_done(server.client, {job.id: 4})


def test_results_are_erased_after_the_retention_time(tmp_path: Path) -> None:
    with running(tmp_path, retention_seconds=1.0) as server:
        job = server.ready().client.submit(photo())
        assert server.client.wait(job.id).state == "done"
        until = time.monotonic() + 20
        while (tmp_path / "jobs" / job.id).exists():
            assert time.monotonic() < until
            time.sleep(0.1)
        with pytest.raises(ServerError, match="no such job"):
            server.client.status(job.id)


def test_retention_of_zero_erases_right_after_the_download(tmp_path: Path) -> None:
    with running(tmp_path, retention_seconds=0.0) as server:
        job = server.ready().client.submit(photo())
        server.client.wait(job.id)
        time.sleep(1.5)
        assert server.client.report(job.id)["photos"], "it is not downloaded yet"
        assert colour(server.client.result(job.id)[:])
        restored = server.client.restore(photo())
        until = time.monotonic() + 20
        while list((tmp_path / "jobs").iterdir()):
            assert time.monotonic() < until
            time.sleep(0.05)
        for id in (job.id, restored.job):
            with pytest.raises(ServerError, match="no such job"):
                server.client.result(id)


@pytest.mark.parametrize("accept", ["*/*", "multipart/mixed"])
def test_a_download_that_breaks_off_erases_nothing(accept: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(20, 255, (1000, 1000, 3), np.uint8)  # a result of 11 MB
    with running(tmp_path, retention_seconds=0.0) as server:
        server.ready()
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, "PNG")
        url, ways = f"{server.url}/v1/restore?strength=0", {"accept": accept}
        answer = requests.post(url, buffer.getvalue(), headers=ways, stream=True, timeout=60)
        assert answer.raw.read(1000)
        answer.close()
        time.sleep(1.5)
        (job,) = requests.get(f"{server.url}/v1/jobs", timeout=30).json()["jobs"]
        assert server.client.result(job["id"])
        until = time.monotonic() + 20
        while list((tmp_path / "jobs").iterdir()):
            assert time.monotonic() < until
            time.sleep(0.05)


def test_what_a_crash_has_left_is_removed(tmp_path: Path) -> None:
    """An upload that no job was made of: its folder is old, and its id is unknown."""
    left, fresh = tmp_path / "jobs" / ("a" * 32), tmp_path / "jobs" / ("b" * 32)
    for folder in (left, fresh):
        folder.mkdir(parents=True)
        (folder / ".upload.part").write_bytes(b"half a pho")
    os.utime(left, (0, 0))
    with running(tmp_path, workers=0) as server:
        until = time.monotonic() + 10
        while left.exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        assert fresh.exists(), "it may still be arriving"
        assert server.process.poll() is None


def test_a_server_whose_models_are_missing_says_so(tmp_path: Path) -> None:
    """Not ready, and the reason is told; the process stays, as the models may come."""
    with running(tmp_path, models="broken_models") as server:
        until = time.monotonic() + 30
        while "install it" not in (answer := requests.get(server.url + "/readyz", timeout=5)).text:
            assert time.monotonic() < until
            time.sleep(0.1)
        assert answer.status_code == 503
        assert server.process.poll() is None
