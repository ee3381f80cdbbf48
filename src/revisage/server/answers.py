"""Results on their way out."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from pathlib import PurePath
from urllib.parse import quote

from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse

from revisage.image import format_of
from revisage.image.formats import EXTENSION
from revisage.server.options import MEDIA_TYPE
from revisage.server.queue.jobs import Job
from revisage.server.service import Service, no_job

CHUNK = 1 << 18


def link(job: Job) -> str:
    """The header that says where the report of a result is (RFC 8288)."""
    return f'</v1/jobs/{job.id}/report>; rel="describedby"; type="application/json"'


async def result(service: Service, job: Job) -> Response:
    """The restored photo as a file to keep; where retention is 0 it is erased once it has been sent whole.

    Raises ProblemError 404 when it has been erased.
    """
    assert job.result is not None
    try:
        file, format = await asyncio.to_thread(service.files.result, job.id, job.result)
    except FileNotFoundError:
        raise no_job() from None
    length = file.seek(0, 2)
    file.seek(0)

    async def chunks() -> AsyncIterator[bytes]:
        with file:
            while chunk := await asyncio.to_thread(file.read, CHUNK):
                yield chunk

    headers = {
        "content-length": str(length),
        "content-disposition": _disposition(job.name, format),
        "etag": f'"{job.result}"',
        "link": link(job),
    }
    after = None if service.settings.limits.retention_seconds else BackgroundTask(service.erase, job.id)
    return StreamingResponse(chunks(), media_type=MEDIA_TYPE[format], headers=headers, background=after)


async def with_report(service: Service, job: Job) -> Response:
    """The restored photo and its report in one answer: multipart/mixed (RFC 2046, 5.1.3).

    Raises ProblemError 404 when it has been erased.
    """
    assert job.result is not None
    try:
        file, format = await asyncio.to_thread(service.files.result, job.id, job.result)
        with file:
            data = await asyncio.to_thread(file.read)
        report = await asyncio.to_thread(service.files.report, job.id, job.result)
    except FileNotFoundError:
        raise no_job() from None
    boundary = secrets.token_hex(16)
    disposition = _disposition(job.name, format)
    image_head = f"content-type: {MEDIA_TYPE[format]}\r\ncontent-disposition: {disposition}"
    parts = [
        f"--{boundary}\r\n{image_head}\r\n\r\n".encode(),
        data,
        f"\r\n--{boundary}\r\ncontent-type: application/json\r\n\r\n{json.dumps(report)}".encode(),
        f"\r\n--{boundary}--\r\n".encode(),
    ]
    after = None if service.settings.limits.retention_seconds else BackgroundTask(service.erase, job.id)
    return Response(b"".join(parts), media_type=f"multipart/mixed; boundary={boundary}", background=after)


def _disposition(name: str, format: str) -> str:
    """RFC 6266, the name percent-encoded: nothing in it can end the header or a quoted string."""
    path = PurePath(name)
    kept = path.suffix if format_of(path) == format else EXTENSION[format]
    encoded = quote(f"{path.stem}.restored{kept}", safe="")
    return f"attachment; filename=\"restored{EXTENSION[format]}\"; filename*=UTF-8''{encoded}"
