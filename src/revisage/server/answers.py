"""Answers that are more than a little JSON: results, whole, in parts or with their report, and events."""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import PurePath
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from revisage.image import format_of
from revisage.image.formats import EXTENSION
from revisage.restore import FACES_FIRST, Stage, overall
from revisage.server.files import CHUNK
from revisage.server.options import MEDIA_TYPE
from revisage.server.problems import ProblemError
from revisage.server.queue.jobs import Job
from revisage.server.schemas import JobView
from revisage.server.service import Service

_RANGE = re.compile(r"bytes\s*=\s*(?P<first>[0-9]{0,18})\s*-\s*(?P<last>[0-9]{0,18})", re.IGNORECASE)

BEAT_SECONDS = 3.0  #: how often a silent stream tells proxies that it is alive, and looks whether to end


async def result(service: Service, job: Job, request: Request) -> Response:
    """The restored photo, or the part of it that is asked for (RFC 9110, 14). Where retention is 0 it is
    erased once it has been sent whole. Raises ProblemError: 404 erased, 416 no such part."""
    assert job.result is not None
    file, format = await asyncio.to_thread(service.files.result, job.id, job.result)
    length, tag = file.seek(0, 2), f'"{job.result}"'
    try:
        part = _part(request, length, tag)
    except ProblemError:
        file.close()
        raise
    start, stop = part or (0, length)
    file.seek(start)

    async def chunks() -> AsyncIterator[bytes]:
        with file:
            left = 0 if request.state.is_head else stop - start
            while left and (chunk := await asyncio.to_thread(file.read, min(CHUNK, left))):
                left -= len(chunk)
                yield chunk

    headers = {
        "accept-ranges": "bytes",
        "content-length": str(stop - start),
        "content-type": MEDIA_TYPE[format],
        "content-disposition": _disposition(job.name, format),
        "etag": tag,
        "link": f'</v1/jobs/{job.id}/report>; rel="describedby"; type="application/json"',  # RFC 8288
    }
    if part is not None:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{length}"
    whole = part is None and not request.state.is_head
    answer = _sent(service, job, request, chunks(), headers, whole=whole)
    answer.status_code = 200 if part is None else 206
    return answer


def _sent(
    service: Service,
    job: Job,
    request: Request,
    chunks: AsyncIterator[bytes],
    headers: dict[str, str],
    *,
    whole: bool = True,
) -> Response:
    """`chunks` as an answer. Where retention is 0 and they are the `whole` result, it is erased once they
    have been sent; after a download that broke off it is not."""
    complete = False

    async def told() -> AsyncIterator[bytes]:
        nonlocal complete
        async for chunk in chunks:
            yield chunk
        yield b""  # taken when the last chunk has left
        complete = whole and not await request.is_disconnected()

    async def erase() -> None:
        if complete and not service.settings.limits.retention_seconds:
            await service.erase(job.id)

    return StreamingResponse(told(), headers=headers, background=BackgroundTask(erase))


def _part(request: Request, length: int, tag: str) -> tuple[int, int] | None:
    """First byte, and the one after the last, of a single range of bytes that is asked for; None for all (RFC
    9110). Raises ProblemError 416."""
    asked = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if asked is None or request.headers.get("if-range", tag) != tag:
        return None
    first, last = asked["first"], asked["last"]
    if not (first or last) or (first and last and int(last) < int(first)):
        return None
    start = int(first) if first else max(0, length - int(last))
    stop = min(length, int(last) + 1) if first and last else length
    if start >= stop:
        raise ProblemError(416, "no-such-range", f"the result has {length:,} bytes: ask for some of these")
    return start, stop


async def with_report(service: Service, job: Job, request: Request) -> Response:
    """The restored photo and its report in one answer: multipart/mixed (RFC 2046, 5.1.3). Raises ProblemError
    404 when it has been erased."""
    assert job.result is not None
    file, format = await asyncio.to_thread(service.files.result, job.id, job.result)
    with file:
        data = await asyncio.to_thread(file.read)
    report = await asyncio.to_thread(service.files.report, job.id, job.result)
    boundary = secrets.token_hex(16)
    disposition = _disposition(job.name, format)
    image_head = f"content-type: {MEDIA_TYPE[format]}\r\ncontent-disposition: {disposition}"
    parts = [
        f"--{boundary}\r\n{image_head}\r\n\r\n".encode(),
        data,
        f"\r\n--{boundary}\r\ncontent-type: application/json\r\n\r\n{json.dumps(report)}".encode(),
        f"\r\n--{boundary}--\r\n".encode(),
    ]
    media_type = f"multipart/mixed; boundary={boundary}"
    headers = {"content-length": str(sum(map(len, parts))), "content-type": media_type}
    return _sent(service, job, request, iterate_in_threadpool(parts), headers)


def file_name(name: str, format: str) -> str:
    """What the result of the photo `name` is called."""
    path = PurePath(name)
    kept = path.suffix if format_of(path) == format else EXTENSION[format]
    return f"{path.stem}.restored{kept}"


def _disposition(name: str, format: str) -> str:
    """RFC 6266, the name percent-encoded: nothing in it can end the header or a quoted string."""
    encoded = quote(file_name(name, format), safe="")
    return f"attachment; filename=\"restored{EXTENSION[format]}\"; filename*=UTF-8''{encoded}"


async def events(service: Service, job: Job) -> AsyncIterator[bytes]:
    """A job's events as they happen: every stage that it has been through, not every step of it; then its
    end, or "stopping" when the server is about to stop; the job goes on when it is back."""
    told: dict[str, tuple[int, int]] = {}
    ahead: int | None = None
    async for now in service.watcher.follow(job.id, beat=BEAT_SECONDS):
        if now is None:
            yield _event("erased", {"id": job.id})
            return
        if now.state == "queued":
            told.clear()  # also after the death of a worker
            place = await asyncio.to_thread(service.store.ahead, now)
            if place != ahead:
                ahead = place
                yield _event("queued", {"ahead": place})
        if now.attempts and now.state == "running" and now.progress.keys() < told.keys():
            told.clear()
        for stage, (done, total) in now.progress.items():
            if told.get(stage) != (done, total):
                told[stage] = (done, total)
                step = Stage(stage, done, total)
                told_of = {"share": round(overall(step, FACES_FIRST), 4), "text": step.text}
                yield _event("progress", {"stage": stage, "done": done, "total": total} | told_of)
        if now.is_over:
            yield _event(now.state, JobView.of(now).model_dump())
            return
        if service.draining:
            yield _event("stopping", {"id": job.id})
            return
        yield b": waiting\n\n"


def _event(name: str, data: object) -> bytes:
    """One event; JSON has no line breaks that could end it early."""
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
