"""The routes under /v1."""

import asyncio
import time
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from revisage.errors import UsageError
from revisage.image.formats import EXTENSION, sniff
from revisage.masks import mask_bytes, mask_text
from revisage.options import refusal
from revisage.restore.models import selectable
from revisage.server import answers, archive
from revisage.server.files import Preview, result_key
from revisage.server.options import JobOptions
from revisage.server.problems import RETRY_SECONDS, ProblemError, no_job, stopping
from revisage.server.queue.jobs import Job, State
from revisage.server.schemas import JobsView, JobView, OptionsQuery, PhotoQuery, ProblemView, ServerView
from revisage.server.service import Service
from revisage.server.upload import receive_mask
from revisage.version import __version__

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"type": "object", "required": ["file"], "properties": {"file": _BINARY["schema"]}}

_PHOTO = {
    "requestBody": {
        "required": True,
        "description": "the photo: its bytes, or a form with a part `file`",
        "content": {"application/octet-stream": _BINARY, "multipart/form-data": {"schema": _FORM}},
    }
}

_MASK = {
    "requestBody": {
        "description": "the bytes of a mask, for which an address is too short",
        "content": {"image/png": _BINARY},
    }
}

Responses = dict[int | str, dict[str, Any]]


def problems(*statuses: int) -> Responses:
    """The errors of a route for OpenAPI, and those that every route has."""
    body = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemView"}}}
    return {status: {"model": ProblemView, "content": body} for status in (401, 403, 421, *statuses)}


def _file(description: str, *media_types: str) -> Responses:
    return {200: {"description": description, "content": dict.fromkeys(media_types, _BINARY)}}


_UPLOADING = problems(400, 408, 413, 415, 422, 429, 500, 503, 507)
_AGAIN = problems(400, 404, 408, 413, 422, 429, 500, 503, 507)
_ASKING = problems(404, 503)
_FETCHING = problems(404, 409, 503)
_RESULT = _file("the restored photo", "image/*")
_PART = problems(416) | {206: _file("the part of it that was asked for", "image/*")[200]}
_WAITING = _RESULT | _UPLOADING | problems(404)
_ZIP = _file("a ZIP file", "application/zip") | _FETCHING | problems(422)
_JPEG = _file("a JPEG", "image/jpeg") | problems(404, 422, 503)
_EVENTS = _file("server-sent events", "text/event-stream") | _ASKING


def the_service(request: Request) -> Service:
    """The service that the app was made for."""
    service: Service = request.app.state.service
    return service


Serving = Annotated[Service, Depends(the_service)]
Options = Annotated[OptionsQuery, Query()]
Photo = Annotated[PhotoQuery, Query()]
Ids = Annotated[list[str], Query(max_length=1000)]
Most = Annotated[int, Query(ge=1, le=1000)]
SEVERAL = ("face", "job")  #: parameters that may be given several times


async def owned_job(request: Request, service: Serving, id: str) -> Job:
    """The job of the path, if the client may see it."""
    return await service.job(id, request.state.owner)


Owned = Annotated[Job, Depends(owned_job)]


async def finished_job(job: Owned) -> Job:
    """The job of the path, if it has a result."""
    if job.failure is not None:
        raise ProblemError(409, "failed", f"the job {job.id} has no result: {job.failure.message}")
    if job.result is None:
        raise ProblemError(409, "not-done", f"the job {job.id} is not done yet", retry_after=RETRY_SECONDS)
    return job


Finished = Annotated[Job, Depends(finished_job)]


def known_parameters(request: Request) -> None:
    """Raises ProblemError for a parameter that does not exist, and for one given twice that has one value:
    which was meant is not known."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    unknown = next((name for name in request.query_params if name not in known), None)
    if unknown is not None and request.method != "POST":  # there pydantic tells it
        raise ProblemError(422, "bad-option", f"{unknown}: there is no such parameter; /docs lists them")
    given = [name for name, _ in request.query_params.multi_items() if name not in SEVERAL]
    names = ["colour" if name == "color" else name for name in given]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ProblemError(422, "bad-option", f"{twice}: give it once")


async def checked(options: JobOptions) -> JobOptions:
    """The options, if this server has their models and the mask may be a picture. Raises UsageError."""
    for name, task in (("model", "face"), ("scene", "scene")):
        value = getattr(options, name)
        names = await asyncio.to_thread(selectable, task) if value != "auto" else []
        if wish := refusal(value, names, None):
            raise UsageError(f"{name} {value!r}: {wish}")
    if options.mask is not None and sniff(mask_bytes(options.mask)) is None:
        raise UsageError("the mask is no picture: paint damage white on black, and send that as PNG")
    return options


at_once = APIRouter(prefix="/v1", dependencies=[Depends(known_parameters)])
router = APIRouter(prefix="/v1", tags=["jobs"], dependencies=[Depends(known_parameters)])


@at_once.get("/server", responses=problems(), tags=["server"])
async def server(service: Serving) -> ServerView:
    """What the server takes, and how long it keeps it."""
    limits = service.settings.limits
    options = OptionsQuery.model_json_schema()["properties"]
    for name, task in (("model", "face"), ("scene", "scene")):
        options[name]["enum"] = await asyncio.to_thread(selectable, task)
    return ServerView(
        version=__version__,
        local=service.settings.local,
        token_needed=bool(service.settings.tokens),
        retention_seconds=limits.retention_seconds,
        guard=service.settings.guard,
        max_bytes=limits.body_bytes,
        max_pixels=limits.max_pixels,
        formats=sorted(EXTENSION),
        options=options,
    )


@at_once.post("/restore", response_class=Response, responses=_WAITING, openapi_extra=_PHOTO, tags=["restore"])
async def restore(request: Request, service: Serving, query: Photo) -> Response:
    """Restore a photo and wait for it.

    The header Link names the report; with `Accept: multipart/mixed` the answer holds photo and report.
    """
    options = await checked(query.options())
    job = await service.submit(request, request.state.owner, query.name, options)
    done = await _wait(service, request, job)
    if "multipart/mixed" in request.headers.get("accept", ""):
        return await answers.with_report(service, done, request)
    return await answers.result(service, done, request)


@router.post("/jobs", status_code=202, responses=_UPLOADING, openapi_extra=_PHOTO)
async def submit(request: Request, response: Response, service: Serving, query: Photo) -> JobView:
    """Hand a photo in. Once this is answered, neither a crash of the server nor of the machine loses it."""
    options = await checked(query.options())
    job = await service.submit(request, request.state.owner, query.name, options)
    response.headers["location"] = f"/v1/jobs/{job.id}"
    return JobView.of(job)


@router.get("/jobs", responses=problems(403, 422, 503))
async def jobs(request: Request, service: Serving, state: State | None = None, limit: Most = 100) -> JobsView:
    """The client's jobs that are not forgotten yet, newest first.

    Whose they are is known by tokens; without any, only a server for its own machine alone lists jobs.
    """
    owner = request.state.owner
    if not owner and not service.settings.local:
        text = "without tokens the server cannot tell whose jobs to list: start it with --token-file"
        raise ProblemError(403, "no-list", text)
    found = await asyncio.to_thread(service.store.of, owner, state=state, limit=limit)
    return JobsView(jobs=[JobView.of(job) for job in found])


@router.get("/jobs/{id}", responses=_ASKING)
async def status(service: Serving, job: Owned) -> JobView:
    """How far a job is."""
    ahead = await asyncio.to_thread(service.store.ahead, job) if job.state == "queued" else None
    return JobView.of(job, ahead)


@router.post("/jobs/{id}/again", status_code=202, responses=_AGAIN, openapi_extra=_MASK)
async def again(
    request: Request, response: Response, service: Serving, job: Owned, query: Options
) -> JobView:
    """Restore the same photo with other options, as a new job. A mask may be the body as well.

    Soon after the first one, another strength, choice of faces, guard or format runs no model again.
    """
    options = query.options()
    if mask := await receive_mask(request, service.settings.limits):
        if options.mask is not None:
            raise UsageError("there are two masks: give one, in the address or as the body")
        options = replace(options, mask=mask_text(mask))
    new = await service.submit_again(job, await checked(options))
    response.headers["location"] = f"/v1/jobs/{new.id}"
    return JobView.of(new)


@router.get("/jobs/{id}/result", response_class=Response, responses=_RESULT | _PART | _FETCHING)
async def result(request: Request, service: Serving, job: Finished) -> Response:
    """The restored photo, or with the header Range a part of it."""
    return await answers.result(service, job, request)


@router.get("/jobs/{id}/report", responses=_FETCHING)
async def report(service: Serving, job: Finished) -> dict[str, Any]:
    """What was done, face by face: the same JSON as `revisage restore --report`."""
    assert job.result is not None
    return await asyncio.to_thread(service.files.report, job.id, job.result)


@router.get("/archive", response_class=Response, responses=_ZIP)
async def zipped(request: Request, service: Serving, job: Ids) -> Response:
    """The results of many jobs as one ZIP file, with a table of what was done."""
    jobs = [await finished_job(await service.job(id, request.state.owner)) for id in dict.fromkeys(job)]
    headers = {"content-disposition": 'attachment; filename="restored photos.zip"'}
    content = () if request.state.is_head else archive.stream(service.files, jobs)
    return StreamingResponse(content, media_type="application/zip", headers=headers)


@router.get("/jobs/{id}/previews/{which}", response_class=Response, responses=_JPEG)
async def preview(service: Serving, job: Owned, which: Preview) -> Response:
    """A picture to look at: the photo as it was read, where it was turned or cropped (source), what of it was
    restored (before), its result, the result without restored faces, or with all of them; what was repaired,
    white on black (mask); a thumbnail; and while the job runs a sketch, the restored faces on the plainly
    enlarged photo."""
    key = job.result or result_key(job.digest, job.options)
    try:
        data = await asyncio.to_thread(service.files.preview, job.id, key, which)
    except FileNotFoundError:
        raise ProblemError(404, "no-preview", "this job has no such preview, or not yet") from None
    return Response(data, media_type="image/jpeg")


@router.get("/jobs/{id}/events", response_class=StreamingResponse, responses=_EVENTS)
async def follow(request: Request, service: Serving, job: Owned) -> Response:
    """Progress as it happens.

    Events: queued, progress (stage, done, total, text), then done, failed, poisoned or erased.
    """
    headers = {"x-accel-buffering": "no"}  # nginx would collect the events
    if request.state.is_head:
        return Response(None, media_type="text/event-stream", headers=headers)
    return StreamingResponse(answers.events(service, job), media_type="text/event-stream", headers=headers)


@router.delete("/jobs/{id}", status_code=204, responses=_ASKING)
async def delete(service: Serving, job: Owned) -> None:
    """Stop the job if it runs, and erase photo, result and report now."""
    await service.erase(job.id)


async def _wait(service: Service, request: Request, job: Job) -> Job:
    """The job once it is done. Raises ProblemError with its failure, 503 when it makes no progress.

    A photo that cannot be answered is erased: nobody has its id.
    """
    last, since = job, time.monotonic()
    try:
        async for now in service.watcher.follow(job.id, beat=1.0):
            if now != last or last.state == "queued":
                last, since = now or job, time.monotonic()
            if now is None:
                raise no_job()
            if now.failure is not None:
                raise ProblemError(now.failure.status, now.failure.code, now.failure.message)
            if now.state == "done":
                return now
            if await request.is_disconnected():
                raise ProblemError(400, "incomplete", "the connection was closed")
            if service.draining and now.state == "queued":
                raise stopping()
            if time.monotonic() > since + service.settings.limits.job_seconds:
                text = "the photo makes no progress: use /v1/jobs"
                raise ProblemError(503, "too-slow", text, retry_after=RETRY_SECONDS)
    except BaseException:
        await asyncio.shield(service.erase(job.id))
        raise
    raise AssertionError("the watcher ends with a job that is over or gone")
