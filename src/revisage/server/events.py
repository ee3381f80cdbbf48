"""A job's progress as server-sent events (WHATWG HTML, 9.2)."""

import asyncio
import json
from collections.abc import AsyncIterator

from revisage.restore import FACES_FIRST, Stage, overall
from revisage.server.queue.jobs import Job
from revisage.server.schemas import JobView
from revisage.server.service import Service

BEAT_SECONDS = 3.0
"""How often a silent stream tells proxies that it is alive, and looks whether the server is to stop."""


async def stream(service: Service, job: Job) -> AsyncIterator[bytes]:
    """The events of a job: "queued", "progress", then "done", "failed", "poisoned" or "erased".

    Every stage that the job has been through is told, not every step of it. "stopping" ends the stream when
    the server is about to stop; the job goes on when it is back.
    """
    told: dict[str, tuple[int, int]] = {}
    ahead: int | None = None
    async for now in service.watcher.follow(job.id, beat=BEAT_SECONDS):
        if now is None:
            yield event("erased", {"id": job.id})
            return
        if now.state == "queued":
            told.clear()  # also after the death of a worker
            place = await asyncio.to_thread(service.store.ahead, now)
            if place != ahead:
                ahead = place
                yield event("queued", {"ahead": place})
        if now.attempts and now.state == "running" and now.progress.keys() < told.keys():
            told.clear()
        for stage, (done, total) in now.progress.items():
            if told.get(stage) != (done, total):
                told[stage] = (done, total)
                step = Stage(stage, done, total)
                told_of = {"share": round(overall(step, FACES_FIRST), 4), "text": step.text}
                yield event("progress", {"stage": stage, "done": done, "total": total} | told_of)
        if now.is_over:
            yield event(now.state, JobView.of(now).model_dump())
            return
        if service.draining:
            yield event("stopping", {"id": job.id})
            return
        yield b": waiting\n\n"


def event(name: str, data: object) -> bytes:
    """One event; JSON has no line breaks that could end it early."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
