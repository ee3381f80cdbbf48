"""One server's parts, put together: store, files, workers, and what keeps them in order."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from revisage.server import problems
from revisage.server.files import FOLDER, MEASURE_SECONDS, Files, Quota
from revisage.server.metrics import Metrics
from revisage.server.options import JobOptions
from revisage.server.private import make_folder
from revisage.server.problems import RETRY_SECONDS, ProblemError, QueueFullError, StoreUnavailableError
from revisage.server.queue import open_store
from revisage.server.queue.jobs import ID, Job, NewJob, new_id
from revisage.server.settings import UNCLAIMED_SECONDS, ServerSettings
from revisage.server.supervisor import Supervisor
from revisage.server.upload import receive
from revisage.server.watcher import Watcher
from revisage.server.worker import Models, Told

log = logging.getLogger(__name__)

REAP_SECONDS = 1.0  #: how often lapsed leases and old jobs are looked for
SWEEP_SECONDS = 300.0  #: how often what is left by crashes is looked for


class Service:
    """What the routes work with. Raises StoreUnavailableError when the queue cannot be opened, UsageError
    when the settings need a library that is not installed."""

    def __init__(self, settings: ServerSettings, models: Models) -> None:
        self.settings = settings
        make_folder(settings.data)
        self.store = open_store(settings)
        limits = settings.limits
        self.quota = Quota(settings.data / FOLDER, most=limits.stored_bytes, floor=limits.free_bytes)
        self.files = Files(settings.data, self.quota)
        self.metrics = Metrics(self.store.counts)
        self.watcher = Watcher(self.store)
        self.supervisor = Supervisor(settings, models, self.store, self._told)
        self.draining = False
        self._arriving = 0
        self._drained_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None

    @asynccontextmanager
    async def running(self, app: object) -> AsyncIterator[None]:
        """The lifespan of the app."""
        self._loop = asyncio.get_running_loop()
        self.supervisor.start()
        tasks = [asyncio.create_task(self.watcher.run()), asyncio.create_task(self._keep_order())]
        try:
            yield
        finally:
            self.drain()
            left = self.settings.limits.drain_seconds - (time.monotonic() - self._drained_at)
            await asyncio.to_thread(self.supervisor.stop, max(0.0, left))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.store.close()

    def drain(self) -> None:
        """Take no more jobs; the workers finish what they have. May be called from a signal handler."""
        if not self.draining:
            self.draining, self._drained_at = True, time.monotonic()
            self.supervisor.drain()

    async def is_ready(self) -> bool:
        """Whether a job handed in now would be worked at."""
        if self.draining or not self.supervisor.is_ready:
            return False
        try:
            await asyncio.to_thread(self.store.counts)
        except StoreUnavailableError:
            return False
        return True

    async def submit(self, request: Request, owner: str, name: str, options: JobOptions) -> Job:
        """Receive a photo and queue it. When this returns, both are on disk. Raises ProblemError for a bad
        upload, a full queue, and while draining."""
        id = new_id()
        async with self._arrival():
            with self.files.receive(id) as upload:
                name = await receive(request, upload, self.settings.limits, name=name)
                digest = await asyncio.to_thread(upload.commit)
        return await self._queue(NewJob(id, owner, name, digest, options))

    async def submit_again(self, job: Job, options: JobOptions) -> Job:
        """Queue a job's photo with other options. Raises like `submit`, and when the photo is erased."""
        id = new_id()
        async with self._arrival():
            await asyncio.to_thread(self.files.copy_upload, job.id, id)
        return await self._queue(NewJob(id, job.owner, job.name, job.digest, options))

    async def job(self, id: str, owner: str) -> Job:
        """A job that `owner` may see. Raises ProblemError 404, also for another's: ids say nothing."""
        if ID.fullmatch(id):
            job = (await asyncio.to_thread(self.store.get, [id])).get(id)
            if job is not None and job.owner == owner:
                return job
        raise problems.no_job()

    async def erase(self, id: str) -> None:
        """Forget a job and all its files, whatever its state."""
        await asyncio.to_thread(self._erase, id)
        self.watcher.poke()

    def _erase(self, id: str) -> None:
        self.store.erase(id)  # first: files without a job are swept, a job without files would fail
        self.files.erase(id)

    @asynccontextmanager
    async def _arrival(self) -> AsyncIterator[None]:
        """Around the receiving of a photo. What arrives counts too, or slow uploads could fill the disk."""
        self._arriving += 1
        try:
            if self.draining:
                raise problems.stopping()
            counts = await asyncio.to_thread(self.store.counts)
            if counts["queued"] + self._arriving > self.settings.limits.queue:
                raise QueueFullError(self.settings.limits.queue)
            yield
        except OSError as error:
            log.error("a photo cannot be kept: %s", error)
            message = "the server cannot keep the photo: try again later"
            raise ProblemError(507, "no-space", message, retry_after=RETRY_SECONDS) from None
        finally:
            self._arriving -= 1

    async def _queue(self, new: NewJob) -> Job:
        # Where the database fails in between, the files stay: the job may exist, and if not they are swept.
        try:
            job = await asyncio.to_thread(self.store.submit, new, capacity=self.settings.limits.queue)
        except QueueFullError:
            await asyncio.to_thread(self.files.erase, new.id)
            raise
        self.supervisor.wake()
        return job

    def _told(self, told: Told) -> None:
        """From the supervisor's thread."""
        if told.what == "ended":
            self.metrics.ended.labels(told.text).inc()
            for stage, seconds in (told.seconds or {}).items():
                self.metrics.stage_seconds.labels(stage).observe(seconds)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self.watcher.poke)

    async def _keep_order(self) -> None:
        swept, measured = -SWEEP_SECONDS, -MEASURE_SECONDS
        while True:
            try:
                await asyncio.to_thread(self._reap)
                if time.monotonic() - measured > MEASURE_SECONDS:
                    measured = time.monotonic()
                    await asyncio.to_thread(self.quota.measure)
                if time.monotonic() - swept > SWEEP_SECONDS:
                    swept = time.monotonic()
                    await asyncio.to_thread(self.files.sweep, lambda ids: set(self.store.get(ids)))
            except StoreUnavailableError as error:
                log.warning("%s", error)
            except Exception:
                log.exception("a defect in keeping order")
            await asyncio.sleep(REAP_SECONDS)

    def _reap(self) -> None:
        limits = self.settings.limits
        if self.store.reap(attempts=limits.attempts):
            self.supervisor.wake()
        for id in self.store.expired(seconds=limits.retention_seconds or UNCLAIMED_SECONDS):
            self._erase(id)
        self.metrics.workers.set(len(self.supervisor.pids()))
