"""The engine on Ray: this machine's cores, or a cluster's, with photos and results anywhere.

Three stages of Ray Data, each a pool of actors: some read, some hold a Restorer each, some write. Tasks would
do for reading and writing, but Ray keeps no more idle processes than it has free cores, and starting them
anew cost as much as the restoring. Each photo is a block of its own, so Ray does again what dies with a
worker or a node, photo by photo; a photo that kills its workers is found by trying it alone.
"""

import contextlib
import logging
import math
import os
import pickle
import secrets
import threading
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from revisage.batch import photo
from revisage.batch.engines.processes import Work
from revisage.batch.jobs import Job, Outcome
from revisage.errors import RuntimeUnavailableError
from revisage.image import DecodeLimits
from revisage.options import SaveOptions
from revisage.runtime.cores import cores

LIGHT_CPUS = 0.1  #: what Ray books for an actor that reads or writes: it waits, and decoding is a child's
HEAVY_SHARE = 0.8  #: what it books of each core of a Restorer, so that the others find room on the machine
SERVED = 4  #: Restorers on CPUs that one actor reads or writes for: it takes a tenth of the time or less
RETRIES = 3  #: how often Ray tries a photo again whose worker died, before it is tried alone
AHEAD = 2  #: photos given to an actor at once; how many more lie between stages, Ray bounds by its memory


@dataclass(frozen=True)
class Pool:
    """The Restorers of a run. Ray starts with one and adds more while photos wait: it would wait for ever for
    a least number that a cluster, shrunk by a dead node, has no room for."""

    largest: int | None = None  #: how many at most; None for as many as the cluster has room for
    threads: int = 1  #: cores of each
    gpus: float = 0  #: of each


@contextlib.contextmanager
def connected(address: str | None = None) -> Iterator[None]:
    """Ray for the block: a cluster of this machine's cores that listens on the loopback interface only and
    ends with this process, or the cluster at `address` ("auto", HOST:PORT or ray://HOST:PORT).

    No dashboard is started and no usage is reported. A connection that is there already is used and kept.

    Raises RuntimeUnavailableError when Ray is not installed, or does not answer.
    """
    if address is None:
        # The one switch by which Ray's servers bind the loopback address: on Windows and macOS it is off
        # anyway. Ray reads it when it is imported, and its processes inherit it.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        # A token of this run, or other accounts of this machine could have Ray run code as this one.
        named = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
        if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token" and not named:
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    here = {"num_cpus": cores(), "include_dashboard": False} if address is None else {}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **here)
    except Exception as error:
        raise RuntimeUnavailableError(f"Ray does not start or answer: {_line(error)}") from error
    try:
        yield
    finally:
        ray.shutdown()


def pool(count: int | None, device: str) -> Pool:
    """The Restorers of a connected cluster: `count` that share its cores, or as many as it has cores or GPUs,
    now or once it has grown."""
    gpus = 1.0 if device == "gpu" else 0.0
    if count is None:
        return Pool(gpus=gpus)
    total = int(_ray().cluster_resources().get("CPU", 1))
    return Pool(count, max(1, total // count), gpus)


def restore_all(
    jobs: Sequence[Job], work: Work, pool: Pool, limits: DecodeLimits, *, stop: threading.Event | None = None
) -> Generator[Outcome, None, None]:
    """Restore every photo on the connected cluster. Outcomes come as soon as they are known.

    From the first outcome after `stop` is set no photo is begun, and the iterator ends with the outcomes of
    those in hand. When the iterator is closed, what is in hand is dropped.

    Raises RuntimeUnavailableError when the cluster fails as a whole; every outcome until then was yielded.
    """
    stop = stop or threading.Event()
    waiting = dict(enumerate(jobs))
    for alone in (False, True):
        for number, outcome in _stream(waiting, work, pool, limits, stop, alone=alone):
            del waiting[number]
            yield outcome
        if stop.is_set() or not waiting:
            return
    for job in waiting.values():
        yield photo.crashed(job)


def _stream(
    jobs: dict[int, Job], work: Work, pool: Pool, limits: DecodeLimits, stop: threading.Event, *, alone: bool
) -> Iterator[tuple[int, Outcome]]:
    """The outcomes of those photos whose workers did not die with them, or of those begun before `stop`."""
    ray = _ray()
    data = ray.data
    context = data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.max_errored_blocks = -1  # a photo that is lost is missing here, and that tells
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    rows = [_row(number, job) for number, job in jobs.items()]
    ahead = 1 if alone else AHEAD
    gate = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Gate).remote()
    restorers = pool.largest or max(1, int(ray.cluster_resources().get("CPU", 1)))
    helpers = restorers if pool.gpus else math.ceil(restorers / SERVED)
    few, many = (
        data.ActorPoolStrategy(min_size=1, max_size=most, max_tasks_in_flight_per_actor=ahead)
        for most in (helpers, pool.largest)
    )
    light = {"num_cpus": LIGHT_CPUS, "compute": few, "max_task_retries": RETRIES}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Ray will name the retries otherwise from 2.64 on
        stages = (
            data.from_items(rows, override_num_blocks=len(rows))
            .map(_Reading, fn_constructor_args=(limits, work), **light)
            .map(
                _Restoring,
                fn_constructor_args=(replace(work, threads=pool.threads), gate),
                compute=many,
                num_cpus=HEAVY_SHARE * pool.threads,
                num_gpus=pool.gpus or None,
                max_task_retries=RETRIES,
            )
            .map(_Writing, fn_constructor_args=(work.saving,), **light)
        )
    in_hand: set[int] | None = None
    told: set[int] = set()
    try:
        for batch in stages.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
            for state in batch.column("state").to_pylist():
                number, outcome = pickle.loads(state)
                if outcome is not None:
                    told.add(number)
                    yield number, outcome
            if stop.is_set():
                if in_hand is None:
                    in_hand = ray.get(gate.close.remote())
                if in_hand <= told:
                    return
    except ray.exceptions.RayError as error:
        text = f"Ray failed: {_line(error)}; run the same command again to go on"
        raise RuntimeUnavailableError(text) from error


class _Gate:
    """An actor that every photo passes to be restored, so that those in hand are known when it closes."""

    def __init__(self) -> None:
        self._begun: set[int] = set()
        self._closed = False

    def enter(self, number: int) -> bool:
        if not self._closed:
            self._begun.add(number)
        return number in self._begun

    def close(self) -> set[int]:
        self._closed = True
        return self._begun


class _Reading:
    """The first stage: a photo, or the outcome of one that cannot be read."""

    def __init__(self, limits: DecodeLimits, work: Work) -> None:
        self._limits, self._saving, self._damaged = limits, work.saving, work.options.damaged

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number, job = pickle.loads(row["state"])
        try:
            photo.check_target(job, self._saving)
            picture, marks = photo.read(job, self._limits, self._saving, damaged=self._damaged)
        except Exception as error:
            return _row(number, job, photo.failed(job, error), None)
        return _row(number, job, marks, picture)


class _Restoring:
    """The second stage, whose models are opened once: a result, or None behind a closed gate."""

    def __init__(self, work: Work, gate: Any) -> None:
        import cv2

        cv2.setNumThreads(work.threads or cores())
        self._gate = gate
        self._options, self._seconds = work.options, work.seconds
        self._restorer = work.maker(work.threads)
        self._restorer.check(work.options)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number, job, marks, picture = pickle.loads(row["state"])
        if isinstance(marks, Outcome):
            return row
        if not _ray().get(self._gate.enter.remote(number)):
            return _row(number, job, None, None)
        try:
            result = photo.restore(picture, self._restorer, self._options, None, seconds=self._seconds)
        except Exception as error:
            return _row(number, job, photo.failed(job, error, marks), None)
        return _row(number, job, marks, result)


class _Writing:
    """The third stage: every row becomes its photo's outcome, or None where it was not begun."""

    def __init__(self, saving: SaveOptions) -> None:
        self._saving = saving

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        number, job, found, result = pickle.loads(row["state"])
        if found is not None and not isinstance(found, Outcome):
            try:
                found = photo.write(job, found, result, self._saving)
            except Exception as error:
                found = photo.failed(job, error, found)
        return _row(number, found)


def _row(*state: object) -> dict[str, Any]:
    return {"state": pickle.dumps(state, protocol=5)}


def _ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what matters comes as an exception
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise RuntimeUnavailableError(f'Ray is missing ({error}): `pip install "revisage[ray]"`') from None
    module: ModuleType = ray
    return module


def _line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__
