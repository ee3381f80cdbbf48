"""Tells the requests that wait when their job has changed: one query for all of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from revisage.server.problems import StoreUnavailableError
from revisage.server.queue.base import JobStore
from revisage.server.queue.jobs import Job

POLL_SECONDS = 0.25  #: how often the store is asked; sooner when a worker of this server has news


class Watcher:
    """Lives in the server's event loop."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._ids: dict[asyncio.Queue[Job | None], str] = {}  # of the jobs that are followed
        self._poke = asyncio.Event()

    def poke(self) -> None:
        """Look now. Called in the event loop."""
        self._poke.set()

    async def run(self) -> None:
        """Look as long as anybody waits."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._poke.wait(), POLL_SECONDS)
            self._poke.clear()
            followed = dict(self._ids)  # others may come while the store is asked
            if not followed:
                continue
            try:
                jobs = await asyncio.to_thread(self._store.get, set(followed.values()))
            except StoreUnavailableError:
                continue
            for queue, id in followed.items():
                if queue.full():
                    queue.get_nowait()  # a client that reads slowly needs the newest only
                queue.put_nowait(jobs.get(id))

    async def follow(self, id: str, *, beat: float) -> AsyncIterator[Job | None]:
        """The job whenever it has changed, and again after `beat` seconds without a change. Ends with the job
        that is over, or with None when it has been erased."""
        queue: asyncio.Queue[Job | None] = asyncio.Queue(maxsize=1)
        self._ids[queue] = id
        self.poke()
        last: Job | None = None
        try:
            while True:
                try:
                    async with asyncio.timeout(beat):
                        while (job := await queue.get()) is not None and job == last:
                            pass
                except TimeoutError:
                    job = last
                    if job is None:
                        continue
                last = job
                yield job
                if job is None or job.is_over:
                    return
        finally:
            del self._ids[queue]
