"""A request's photo onto the disk, counted and timed while it arrives."""

import asyncio
import re
import unicodedata
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from revisage.image.containers import declared_size
from revisage.image.formats import HEAD_BYTES, READ_NAMES, sniff
from revisage.server.files import CHUNK, Upload
from revisage.server.problems import ProblemError
from revisage.server.settings import Limits

NAME_LENGTH = 120
MASK_BYTES = 128 << 10  #: of a mask, which is kept with its job


async def receive(request: Request, upload: Upload, limits: Limits, *, name: str) -> str:
    """Write the photo of a request's body (the file itself, or the part `file` of a form) to `upload`.
    Returns the file name of the form, or else `name`, cleaned. Raises ProblemError: 413 too long, 408 too
    slow, 415 no allowed picture format, 422 more pixels than allowed by its header, or no photo in it."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limits.body_bytes:
        raise _too_long(limits)
    async with _in_time(limits):
        if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            name = await _form(request, upload, limits) or name
        else:
            async for chunk in _counted(request, upload, limits):
                await asyncio.to_thread(upload.write, chunk)
    check_head(await asyncio.to_thread(upload.head, HEAD_BYTES), limits)
    return clean_name(name)


async def receive_mask(request: Request, limits: Limits) -> bytes:
    """A request's body, empty without one. Raises ProblemError: 413 too long, 408 too slow."""
    mask = b""
    async with _in_time(limits):
        async for chunk in request.stream():
            mask += chunk
            if len(mask) > MASK_BYTES:
                text = f"the mask has more than {MASK_BYTES:,} bytes: send a smaller PNG of two colours"
                raise ProblemError(413, "too-long", text)
    return mask


@asynccontextmanager
async def _in_time(limits: Limits) -> AsyncGenerator[None]:
    """Around what arrives. Raises ProblemError: 408 too slow, 400 broken off."""
    try:
        async with asyncio.timeout(limits.upload_seconds):
            yield
    except TimeoutError:
        text = f"the request did not arrive within {limits.upload_seconds:g} s: send it again"
        raise ProblemError(408, "too-slow-upload", text) from None
    except ClientDisconnect:
        text = "the connection was closed before the request had arrived"
        raise ProblemError(400, "incomplete", text) from None


def check_head(head: bytes, limits: Limits) -> None:
    """Refuse at once what the first bytes decide; the rest is decided where it can do no harm."""
    if not head:
        raise ProblemError(422, "empty", "there is no photo in the request: send its bytes as the body")
    format = sniff(head)
    if format is None:
        raise ProblemError(415, "unsupported-format", f"this is no photo that can be read: send {READ_NAMES}")
    size = declared_size(head, format)
    if size is not None and size[0] * size[1] > limits.max_pixels:
        text = f"the photo has {size[0]} x {size[1]} pixels, more than {limits.max_pixels:,}: reduce it first"
        raise ProblemError(422, "photo-too-large", text)


def clean_name(name: str) -> str:
    """The last part of a path of either kind, without control and format characters; "photo" for nothing."""
    last = re.split(r"[/\\]", name)[-1]
    shown = "".join(c for c in last if unicodedata.category(c)[0] != "C").strip().lstrip(".")
    return shown[:NAME_LENGTH] or "photo"


async def _counted(request: Request, upload: Upload, limits: Limits) -> AsyncGenerator[bytes, None]:
    count = 0
    async for chunk in request.stream():
        count += len(chunk)
        if count > limits.body_bytes:
            raise _too_long(limits)
        upload.take(len(chunk))  # also for a form, whose parts lie in temporary files until it is whole
        yield chunk


async def _form(request: Request, upload: Upload, limits: Limits) -> str:
    parser = MultiPartParser(request.headers, _counted(request, upload, limits), max_files=1, max_fields=16)
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError, KeyError, UnicodeDecodeError) as error:
        reason = getattr(error, "message", "no boundary")
        text = f"the form cannot be read ({reason}): send one part named file"
        raise ProblemError(400, "bad-form", text) from None
    try:
        part = form.get("file")
        if not isinstance(part, UploadFile):
            text = "the form has no file: name the part that holds the photo `file`"
            raise ProblemError(422, "no-file", text)
        for name in form:
            if name != "file":
                text = "a form has only the photo; options stand in the address, such as ?strength=0.8"
                raise ProblemError(422, "bad-option", f"{name}: {text}")
        while chunk := await part.read(CHUNK):
            await asyncio.to_thread(upload.write, chunk)
        return part.filename or ""
    finally:
        await form.close()


def _too_long(limits: Limits) -> ProblemError:
    text = f"the request has more than {limits.body_bytes:,} bytes: send a smaller file"
    return ProblemError(413, "too-long", text)
