"""The process that restores: it takes one job at a time, and whatever ends it loses none.

It talks to the server that started it through a pipe: "wake" (a job may be waiting), "drain" (take no more),
"stop" (give the job in hand back) come in; ready, progress and ended jobs go out. When the server dies, the
pipe closes, and the worker gives its job back and ends.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import Literal

from revisage.errors import RevisageError
from revisage.image import protection
from revisage.restore import ModelSource, Restorer, Stage
from revisage.server.files import Files
from revisage.server.options import JobOptions
from revisage.server.private import bound, keep_private
from revisage.server.problems import Failure, StoreUnavailableError, failure_of
from revisage.server.queue import open_store
from revisage.server.queue.base import JobStore
from revisage.server.queue.jobs import Job
from revisage.server.restoring import LastPhoto, restore_job
from revisage.server.settings import Limits, ServerSettings

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.5  #: how often an idle worker looks for jobs that other machines have added
PROGRESS_SECONDS = 0.2  #: how often progress within one stage is told at most
GRACE_SECONDS = 5.0  #: how long beyond the time without progress a model may compute until its process ends

Models = Callable[[], ModelSource]
"""Where a worker gets its models: a function of a module, so that a process can be told of it by name."""


@dataclass(frozen=True)
class Told:
    """A message from a worker to its server."""

    what: Literal["ready", "broken", "progress", "ended"]
    text: str = ""
    seconds: dict[str, float] | None = None


class _StopError(Exception):
    """Takes a job out of the Restorer between two steps."""


def main(name: str, settings: ServerSettings, models: Models, pipe: Connection) -> None:
    """Work until told to stop. `name` is the one under which the server releases this worker's jobs."""
    # The terminal sends Ctrl-C to the whole group, but the end of a worker is its server's decision.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s worker: %(message)s")
    keep_private()
    orders = _Orders(pipe)
    # In a thread: an Event cannot be set in a handler that may have interrupted its own wait.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=orders.obey, args=("stop",)).start())
    limits = settings.limits
    try:
        source = models()
        restorer = Restorer(limits=limits.decoding, models=source, max_output_pixels=limits.max_output_pixels)
        restorer.check()
        guard = settings.guard if source.face() is not None and source.identity() is not None else None
        store = open_store(settings)
        decoding = protection()
    except RevisageError as error:
        orders.tell(Told("broken", str(error)))
        return
    devices = [model.session.info.device for model in (source.face(), source.scene()) if model is not None]
    if "gpu" not in devices:  # whose driver takes address space that is no memory
        bound(limits.worker_bytes)
    orders.tell(Told("ready", decoding))
    files, last = Files(settings.data), LastPhoto()

    @lru_cache(maxsize=1)
    def other(model: str, scene: str) -> Restorer:
        return Restorer(restorer.settings, models=source.choosing(model, scene))

    def restorer_of(options: JobOptions) -> Restorer:
        names = options.model, options.scene
        return restorer if names == ("auto", "auto") else other(*names)

    while not orders.drain.is_set():
        try:
            job = store.claim(name, seconds=limits.lease_seconds)
            if job is not None:
                _JobRun(job, store, files, limits, orders).work(restorer_of, last, guard)
                continue
            if last.digest and not store.has_photo(last.digest):
                last.forget()
        except StoreUnavailableError as error:
            log.warning("%s", error)
            time.sleep(IDLE_SECONDS)
        orders.wait(IDLE_SECONDS)
    store.close()


class _Orders:
    """The server's end of the pipe, listened to in a thread."""

    def __init__(self, pipe: Connection) -> None:
        self.drain = threading.Event()
        self.stop = threading.Event()
        self._wake = threading.Event()
        self._pipe = pipe
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                order = self._pipe.recv()
            except (EOFError, OSError):
                order = "stop"  # the server is gone
            self.obey(order)
            if order == "stop":
                return

    def obey(self, order: str) -> None:
        if order == "stop":
            self.stop.set()
        if order in ("drain", "stop"):
            self.drain.set()
        self._wake.set()

    def wait(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def tell(self, told: Told) -> None:
        try:
            with self._lock:
                self._pipe.send(told)
        except OSError:
            self.obey("stop")


class _JobRun:
    """One job in hand: its progress told, its lease kept by a thread, its time watched."""

    def __init__(self, job: Job, store: JobStore, files: Files, limits: Limits, orders: _Orders) -> None:
        self._job, self._store, self._files = job, store, files
        self._limits, self._orders = limits, orders
        self._steps: dict[str, tuple[int, int]] = {}
        self._told = 0.0
        self._until = time.monotonic() + limits.job_seconds
        self._lost = threading.Event()
        self._over = threading.Event()

    def work(
        self, restorer_of: Callable[[JobOptions], Restorer], last: LastPhoto, guard: float | None
    ) -> None:
        """Restore, and report how it ended. Raises StoreUnavailableError when that could not be told."""
        keeper = threading.Thread(target=self._keep, name="lease", daemon=True)
        keeper.start()
        seconds: dict[str, float] = {}
        key, failure = None, None
        try:
            restorer = restorer_of(self._job.options)
            key, seconds = restore_job(self._job, self._files, restorer, last, self._watch, guard=guard)
        except _StopError:
            failure = self._late() if time.monotonic() > self._until else None
        except Exception as error:
            failure = failure_of(error)
            if failure.status == 500:
                log.exception("job %s failed", self._job.id)
        finally:
            self._over.set()
            keeper.join()
        if self._lost.is_set():
            self._erase_if_gone()
        elif key is None and failure is None:
            self._store.give_back(self._job)
        elif not self._finish(key, failure):
            self._erase_if_gone()
        else:
            outcome = "done" if failure is None else failure.code
            self._orders.tell(Told("ended", outcome, seconds))

    def _finish(self, key: str | None, failure: Failure | None) -> bool:
        while True:
            try:
                return self._store.finish(self._job, result=key, failure=failure)
            except StoreUnavailableError as error:
                if self._orders.stop.is_set():
                    raise  # the lease runs out, and the next attempt finds the result
                log.warning("%s", error)
                time.sleep(IDLE_SECONDS)

    def _erase_if_gone(self) -> None:
        """A job that was erased while in hand may have been written to since."""
        if not self._store.get([self._job.id]):
            self._files.erase(self._job.id)

    def _watch(self, stage: Stage) -> None:
        if self._lost.is_set() or self._orders.stop.is_set() or time.monotonic() > self._until:
            raise _StopError
        now = time.monotonic()
        self._until = now + self._limits.job_seconds
        first = stage.name not in self._steps
        self._steps[stage.name] = (stage.done, stage.total)
        if first or stage.done == stage.total or now - self._told > PROGRESS_SECONDS:
            self._told = now
            self._renew()

    def _renew(self) -> None:
        try:
            steps = dict(self._steps)
            kept = self._store.renew(self._job, seconds=self._limits.lease_seconds, progress=steps)
        except StoreUnavailableError:
            return  # the lease may outlast the trouble
        if not kept:
            self._lost.set()
        self._orders.tell(Told("progress", self._job.id))

    def _keep(self) -> None:
        while not self._over.wait(self._limits.lease_seconds / 4):
            self._renew()
            if time.monotonic() > self._until + GRACE_SECONDS:
                # A model that does not come back cannot be interrupted; the server starts another worker.
                log.error("job %s makes no progress: the worker ends", self._job.id)
                try:
                    self._store.finish(self._job, failure=self._late())
                    self._orders.tell(Told("ended", "too-slow", {}))
                finally:
                    os._exit(1)

    def _late(self) -> Failure:
        text = f"the photo made no progress for {self._limits.job_seconds:g} s: ask for a smaller scale"
        return Failure(503, "too-slow", text)
