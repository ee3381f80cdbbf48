"""The engine of several processes on this machine: each has a Restorer and a share of the cores.

One process cannot use many cores well: a small network ends before its threads have met, and decoding,
colour and pasting are Python's, which runs in one thread at a time. This process only hands out photos and
takes outcomes; a worker's death costs no photo, and a photo that kills its worker is found by trying alone
those that were in hand.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from revisage.batch import photo
from revisage.batch.engines.threads import restore_one
from revisage.batch.jobs import Job, Outcome
from revisage.batch.storage import discard
from revisage.errors import RevisageError, RuntimeUnavailableError
from revisage.options import SaveOptions
from revisage.restore import RestoreOptions, Restorer

Maker = Callable[[int | None], Restorer]
"""Makes the Restorer of one process from the threads of a model's run, None for all cores; it is pickled, so
a function of a module or a partial of one."""

DEATHS = 3  #: a photo is given up when so many workers died with it, the last time with nothing else in hand
GRACE_SECONDS = 30.0  #: how long beyond its time a photo may be in a model until its process ends
_LOOK_SECONDS = 0.2  #: how soon a stop is seen while no outcome comes


@dataclass(frozen=True)
class Work:
    """What every worker is told once: how to make its Restorer, and what to do with each photo."""

    maker: Maker
    options: RestoreOptions
    saving: SaveOptions
    workers: int
    threads: int | None = None
    seconds: float = photo.PHOTO_SECONDS
    """Longest time for one photo."""


@dataclass
class _Worker:
    """A process and the photos that it has."""

    process: BaseProcess
    pipe: Connection
    hand: dict[int, Job] = field(default_factory=dict)
    ready: bool = False
    alone: bool = False


def restore_all(
    jobs: Iterable[Job],
    work: Work,
    *,
    processes: int,
    stop: threading.Event | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> Generator[Outcome, None, None]:
    """Restore every photo in `processes` processes with `work.workers` photos in hand in each.

    Outcomes come as soon as they are known. Once `stop` is set no more photos are begun and those in hand are
    finished. Closing the iterator early ends the workers at once. `on_ready` is called when all workers have
    opened their models; until then none is given a photo.

    Raises RevisageError when a worker cannot make its Restorer, or cannot start at all.
    """
    with closing(_Pool(jobs, work, processes, stop or threading.Event())) as pool:
        yield from pool.outcomes(on_ready)


class _Pool:
    def __init__(self, jobs: Iterable[Job], work: Work, processes: int, stop: threading.Event) -> None:
        self._jobs: Iterator[tuple[int, Job]] = iter(enumerate(jobs))
        self._next = next(self._jobs, None)
        self._work, self._stop = work, stop
        self._suspects: deque[tuple[int, Job]] = deque()
        self._deaths: dict[int, int] = {}
        self._failed_starts = 0
        self._workers = [_start(work) for _ in range(processes if self._next else 0)]

    def outcomes(self, on_ready: Callable[[], None]) -> Iterator[Outcome]:
        while self._more() and not all(worker.ready for worker in self._workers):
            yield from self._listen()
        on_ready()
        while True:
            for worker in self._workers:
                self._feed(worker)
            if not any(worker.hand for worker in self._workers) and not self._more():
                return
            yield from self._listen()

    def _listen(self) -> Iterator[Outcome]:
        pipes = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(pipes), timeout=_LOOK_SECONDS):
            assert isinstance(pipe, Connection)
            yield from self._hear(pipes[pipe])

    def _more(self) -> bool:
        """Whether there are photos to be begun."""
        return not self._stop.is_set() and (self._next is not None or bool(self._suspects))

    def _feed(self, worker: _Worker) -> None:
        """Keep a worker busy; one photo more than it restores waits in it, so that it need not wait."""
        while worker.ready and self._more() and not worker.alone:
            if self._suspects:
                if worker.hand:
                    return  # until it is empty
                number, job = self._suspects.popleft()
                worker.alone = True
            elif self._next is not None and len(worker.hand) <= self._work.workers:
                number, job = self._next
                self._next = next(self._jobs, None)
            else:
                return
            worker.hand[number] = job
            try:
                worker.pipe.send((number, job))
            except OSError:
                return  # it has died: its pipe says so next

    def _hear(self, worker: _Worker) -> Iterator[Outcome]:
        try:
            number, said = worker.pipe.recv()
        except (EOFError, OSError):
            yield from self._remove_dead(worker)
            return
        if isinstance(said, RevisageError):
            raise said
        if said is None:
            worker.ready, self._failed_starts = True, 0
            return
        worker.hand.pop(number)
        worker.alone = False
        self._deaths.pop(number, None)
        yield said

    def _remove_dead(self, worker: _Worker) -> Iterator[Outcome]:
        """Put another worker in a dead one's place, and its photos among the suspects."""
        worker.pipe.close()
        worker.process.join()
        self._workers.remove(worker)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts > DEATHS:
                why = f"exit code {worker.process.exitcode}"
                raise RuntimeUnavailableError(f"no worker process can start ({why}): use --processes 1")
        for number, job in worker.hand.items():
            self._deaths[number] = self._deaths.get(number, 0) + 1
            if self._deaths[number] >= DEATHS and worker.alone:
                yield photo.crashed(job)
            else:
                self._suspects.append((number, job))
            discard(job.target, worker.process.pid)
        self._workers.append(_start(self._work))

    def close(self) -> None:
        """End the workers; those that have nothing in hand by themselves."""
        for worker in self._workers:
            if worker.hand:
                worker.process.kill()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join()


def _start(work: Work) -> _Worker:
    spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, work), name="revisage-worker", daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _serve(pipe: Connection, work: Work) -> None:
    """A worker's life: until its pipe is closed, which its parent's death does as well."""
    for name in ("SIGINT", "SIGHUP"):  # a terminal sends these to all; the parent says when to end
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        if work.threads is not None:
            import cv2

            cv2.setNumThreads(work.threads)
        restorer = work.maker(work.threads)
        restorer.check(work.options)
    except RevisageError as error:
        pipe.send((0, error))
        return
    lock = threading.Lock()

    def one(number: int, job: Job) -> None:
        end = threading.Timer(work.seconds + GRACE_SECONDS, os._exit, (1,))
        end.daemon = True
        end.start()
        outcome = restore_one(job, restorer, work.options, work.saving, seconds=work.seconds)
        end.cancel()
        with lock:
            pipe.send((number, outcome))

    def done(future: Future[None]) -> None:
        if future.exception() is not None:
            os._exit(1)  # the parent has gone, or an outcome cannot be sent: it must not wait for it

    pipe.send((0, None))
    with ThreadPoolExecutor(work.workers, thread_name_prefix="photo") as pool:
        while True:
            try:
                number, job = pipe.recv()
            except (EOFError, OSError):
                os._exit(0)  # at once: what is in hand is for nobody
            pool.submit(one, number, job).add_done_callback(done)
