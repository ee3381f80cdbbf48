"""The laws of the queue, for both stores; PostgreSQL against a real server."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import postgres

from revisage.server.options import JobOptions
from revisage.server.problems import Failure, QueueFullError, StoreUnavailableError
from revisage.server.queue.base import JobStore
from revisage.server.queue.jobs import POISONED, NewJob, new_id
from revisage.server.queue.sqlite import SqliteStore


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """Where a store is; a PostgreSQL one is emptied first."""
    if request.param == "sqlite":
        return tmp_path / "jobs.sqlite"
    url: str = request.getfixturevalue("database")
    import psycopg

    with psycopg.connect(url, autocommit=True) as db:
        db.execute("DROP TABLE IF EXISTS revisage_jobs")
    return url


def opened(place: str | Path) -> JobStore:
    if isinstance(place, Path):
        return SqliteStore(place)
    from revisage.server.queue.postgres import PostgresStore

    return PostgresStore(place)


@pytest.fixture
def store(place: str | Path) -> Iterator[JobStore]:
    store = opened(place)
    yield store
    store.close()


def job(name: str = "a.jpg", owner: str = "") -> NewJob:
    return NewJob(new_id(), owner, name, "0" * 64, JobOptions(strength=0.5, faces="1,3"))


def test_what_goes_in_comes_out_in_order(store: JobStore) -> None:
    handed = [job(f'it\'s {n} "%s" ? {{}}.jpg', owner="me") for n in range(3)]
    for number, new in enumerate(handed):
        kept = store.submit(new, capacity=10)
        assert (kept.id, kept.name, kept.owner, kept.options) == (new.id, new.name, "me", new.options)
        assert kept.state == "queued"
        assert store.ahead(kept) == number
    assert store.get([handed[1].id, "missing"]).keys() == {handed[1].id}
    assert [job.id for job in store.jobs()] == [new.id for new in handed]
    assert store.counts() == {"queued": 3, "running": 0, "done": 0, "failed": 0, "poisoned": 0}
    leases = [store.claim("w", seconds=60) for _ in range(4)]
    assert [lease.id if lease else None for lease in leases] == [*(new.id for new in handed), None]


def test_the_queue_holds_its_capacity_exactly_also_when_many_hand_in(place: str | Path) -> None:
    stores = [opened(place) for _ in range(4)]
    refused = []

    def hand_in(store: JobStore) -> None:
        for _ in range(10):
            try:
                store.submit(job(), capacity=25)
            except QueueFullError:
                refused.append(1)

    threads = [threading.Thread(target=hand_in, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stores[0].counts()["queued"] == 25
    assert len(refused) == 15
    for store in stores:
        store.close()


def test_no_job_is_claimed_twice(place: str | Path) -> None:
    stores = [opened(place) for _ in range(4)]
    handed = [stores[0].submit(job(), capacity=100).id for _ in range(40)]
    claimed: list[str] = []

    def claim(store: JobStore, worker: str) -> None:
        while lease := store.claim(worker, seconds=60):
            claimed.append(lease.id)

    threads = [threading.Thread(target=claim, args=(s, f"w{n}")) for n, s in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(handed)
    for store in stores:
        store.close()


def test_a_finished_job_is_over(store: JobStore) -> None:
    first, second = (store.submit(job(), capacity=9) for _ in range(2))
    done, failed = store.claim("w", seconds=60), store.claim("w", seconds=60)
    assert done is not None
    assert failed is not None
    assert store.renew(done, seconds=60, progress={"find": (2, 2), "faces": (1, 2)})
    assert store.get([first.id])[first.id].progress == {"find": (2, 2), "faces": (1, 2)}
    assert store.finish(done, result="key")
    failure = Failure(422, "photo-unreadable", "it's damaged")
    assert store.finish(failed, failure=failure)
    jobs = store.get([first.id, second.id])
    assert (jobs[first.id].state, jobs[first.id].result, jobs[first.id].is_over) == ("done", "key", True)
    assert (jobs[second.id].state, jobs[second.id].failure) == ("failed", failure)
    assert not store.finish(done, result="other"), "the lease ended with the job"
    assert not store.renew(done, seconds=60)
    assert store.claim("w", seconds=60) is None


def test_a_silent_worker_loses_its_job_and_cannot_finish_it(store: JobStore) -> None:
    new = store.submit(job(), capacity=9)
    silent = store.claim("silent", seconds=60)
    assert silent is not None
    assert store.reap(attempts=3) == 0
    assert store.renew(silent, seconds=0.05)
    time.sleep(0.1)
    assert store.reap(attempts=3) == 1
    other = store.claim("other", seconds=60)
    assert other is not None
    assert other.id == new.id
    assert not store.finish(silent, result="late")
    assert not store.renew(silent, seconds=60)
    store.give_back(silent)
    assert store.get([new.id])[new.id].worker == "other"
    assert store.finish(other, result="right")
    assert store.get([new.id])[new.id].result == "right"


def test_the_jobs_of_a_dead_worker_are_queued_again_in_their_place(store: JobStore) -> None:
    first, second = (store.submit(job(), capacity=9) for _ in range(2))
    store.claim("dead", seconds=60)
    assert store.reap(attempts=3, worker="alive") == 0
    assert store.reap(attempts=3, worker="dead") == 1
    lease = store.claim("w", seconds=60)
    assert lease is not None
    assert (lease.id, lease.attempts) == (first.id, 2)
    assert store.ahead(second) == 0


def test_a_job_that_kills_its_workers_is_poisoned(store: JobStore) -> None:
    new = store.submit(job(), capacity=9)
    for attempt in range(3):
        assert store.claim(f"w{attempt}", seconds=60) is not None
        store.reap(attempts=3, worker=f"w{attempt}")
    assert store.claim("w", seconds=60) is None
    kept = store.get([new.id])[new.id]
    assert (kept.state, kept.failure, kept.is_over) == ("poisoned", POISONED, True)


def test_giving_back_costs_no_attempt(store: JobStore) -> None:
    store.submit(job(), capacity=9)
    for _ in range(5):
        lease = store.claim("w", seconds=60)
        assert lease is not None
        assert lease.attempts == 1
        store.give_back(lease)


def test_erasing_stops_the_worker(store: JobStore) -> None:
    new = store.submit(job(), capacity=9)
    lease = store.claim("w", seconds=60)
    assert lease is not None
    assert store.has_photo(new.digest)
    assert store.erase(new.id)
    assert not store.erase(new.id)
    assert not store.has_photo(new.digest)
    assert not store.renew(lease, seconds=60)
    assert not store.finish(lease, result="key")
    assert store.get([new.id]) == {}


def test_only_what_ended_long_ago_is_expired(store: JobStore) -> None:
    old, _waiting = (store.submit(job(), capacity=9) for _ in range(2))
    lease = store.claim("w", seconds=60)
    assert lease is not None
    store.finish(lease, result="key")
    assert store.expired(seconds=60) == []
    time.sleep(0.05)
    assert store.expired(seconds=0.01) == [old.id]


def test_what_was_handed_in_survives_kill_9(place: str | Path) -> None:
    """The process dies by SIGKILL right after `submit` returns."""
    code = (
        "import os, sys, signal; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path; from test_server_store import job, opened\n"
        "place = sys.argv[3] if sys.argv[2] == 'str' else Path(sys.argv[3])\n"
        "store = opened(place); new = store.submit(job(), capacity=9)\n"
        "print(new.id, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    kind = "str" if isinstance(place, str) else "path"
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), kind, str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    store = opened(place)
    assert store.get([done.stdout.strip()])
    store.close()


def test_postgres_that_comes_back_is_used_again(database: str) -> None:
    import psycopg

    store = opened(database)
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    with pytest.raises(StoreUnavailableError):
        store.counts()
    assert store.counts()["queued"] >= 0
    store.close()


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "jobs.sqlite").mkdir()
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        SqliteStore(tmp_path / "jobs.sqlite")
