"""Keeps the workers running: starts them, replaces the dead, passes messages, ends them in order."""

import contextlib
import logging
import multiprocessing
import secrets
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from revisage.server.problems import StoreUnavailableError
from revisage.server.queue.base import JobStore
from revisage.server.settings import ServerSettings
from revisage.server.worker import Models, Told, main

log = logging.getLogger(__name__)

RESTART_SECONDS = 0.2  #: pause before a dead worker is replaced, doubled while they die at the start, up to:
MAX_RESTART_SECONDS = 30.0
STOP_SECONDS = 2.0  #: how long a worker may take to give its job back before it is killed


@dataclass
class _Worker:
    name: str
    process: BaseProcess
    pipe: Connection
    ready: bool = False
    broken: str | None = None

    def order(self, what: str) -> None:
        with contextlib.suppress(OSError):  # it is dead, and will be found so
            self.pipe.send(what)


class Supervisor:
    """Runs `settings.workers` processes from a thread of its own, from which `listen` is called with what
    they tell. In the `store` the jobs of dead workers are released."""

    def __init__(
        self, settings: ServerSettings, models: Models, store: JobStore, listen: Callable[[Told], None]
    ) -> None:
        self._settings, self._models, self._store, self._listen = settings, models, store, listen
        # Not fork: the server has threads, and so has the inference library.
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._unreleased: list[tuple[str, int]] = []
        self._draining = threading.Event()
        self._pause = RESTART_SECONDS
        self._start_at = 0.0
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self.broken: str | None = None
        """Why no worker can start; None while all is well."""
        self.decoding: str | None = None
        """What holds the workers' decoders (`image.protection`); None before one has started."""

    def start(self) -> None:
        """Start the workers; returns at once."""
        self._thread.start()

    @property
    def is_ready(self) -> bool:
        """Whether a worker has its models loaded, or none was asked for."""
        return not self._settings.workers or any(worker.ready for worker in self._all())

    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in self._all() if worker.process.pid is not None]

    def wake(self) -> None:
        """A job has been added."""
        for worker in self._all():
            worker.order("wake")

    def drain(self) -> None:
        """Have the workers end after the job in hand."""
        self._draining.set()
        for worker in self._all():
            worker.order("drain")

    def stop(self, seconds: float) -> None:
        """Drain for at most `seconds`, then have jobs given back, then kill."""
        self.drain()
        self._join(seconds)
        for worker in self._all():
            worker.order("stop")
        self._join(STOP_SECONDS)
        for worker in self._all():
            worker.process.kill()
        self._thread.join(STOP_SECONDS)

    def _all(self) -> list[_Worker]:
        return list(self._workers)  # at once; the supervisor's thread alone changes it

    def _join(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        for worker in self._all():
            worker.process.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while True:
            workers = self._all()
            if self._draining.is_set() and not workers:
                return
            missing = len(workers) < self._settings.workers and not self._draining.is_set()
            if missing and time.monotonic() >= self._start_at:
                self._start_one()
                continue
            self._release()
            if not workers:
                self._draining.wait(RESTART_SECONDS)
                continue
            handles = [worker.process.sentinel for worker in workers] + [worker.pipe for worker in workers]
            ready = wait(handles, timeout=RESTART_SECONDS)
            for worker in workers:
                if worker.pipe in ready:
                    self._hear(worker)
                if worker.process.sentinel in ready:
                    self._remove_dead(worker)

    def _start_one(self) -> None:
        ours, theirs = self._context.Pipe()
        name = secrets.token_hex(8)
        arguments = (name, self._settings, self._models, theirs)
        process = self._context.Process(target=main, args=arguments, name="revisage-worker", daemon=True)
        process.start()
        theirs.close()  # or its end would never be seen
        worker = _Worker(name, process, ours)
        self._workers.append(worker)
        if self._draining.is_set():
            worker.order("drain")

    def _hear(self, worker: _Worker) -> None:
        try:
            while worker.pipe.poll():
                told: Told = worker.pipe.recv()
                if told.what == "ready":
                    worker.ready, self.broken, self._pause = True, None, RESTART_SECONDS
                    self.decoding = told.text
                elif told.what == "broken":
                    worker.broken = told.text
                self._listen(told)
        except (EOFError, OSError):
            worker.process.join(STOP_SECONDS)
            self._remove_dead(worker)

    def _remove_dead(self, worker: _Worker) -> None:
        if worker not in self._workers:
            return
        self._workers.remove(worker)
        worker.process.join()
        worker.pipe.close()
        limits = self._settings.limits
        # Killed, but not by us: most likely for its memory, which it would need again.
        killed = worker.process.exitcode == -signal.SIGKILL and not self._draining.is_set()
        attempts = min(limits.attempts, limits.kills) if killed else limits.attempts
        self._unreleased.append((worker.name, attempts))
        if not worker.ready:
            self.broken = worker.broken or f"a worker ended at its start (code {worker.process.exitcode})"
            log.error("%s", self.broken)
            self._pause = min(2 * self._pause, MAX_RESTART_SECONDS)
        elif not self._draining.is_set():
            log.error("worker %s ended (code %s); another is started", worker.name, worker.process.exitcode)
        self._start_at = time.monotonic() + self._pause
        self._release()

    def _release(self) -> None:
        """Put the jobs of dead workers back, now or when the database answers again."""
        for name, attempts in list(self._unreleased):
            try:
                self._store.reap(attempts=attempts, worker=name)
            except StoreUnavailableError as error:
                log.warning("%s", error)
                return
            self._unreleased.remove((name, attempts))
