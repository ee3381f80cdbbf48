"""Errors as clients see them: `application/problem+json` (RFC 9457) with a code that programs can rely on."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from revisage import errors
from revisage.errors import RevisageError

RETRY_SECONDS = 5  #: what Retry-After says where nothing better is known


@dataclass(frozen=True)
class Failure:
    """Why a request or a job failed: the HTTP status, a code for programs, and a sentence for people."""

    status: int
    code: str
    message: str
    retry_after: int | None = None

    def body(self) -> dict[str, Any]:
        """The JSON object of RFC 9457."""
        return {
            "type": f"urn:revisage:error:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.message,
        }


class ProblemError(RevisageError):
    """A request is answered with a failure."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.failure = Failure(status, code, message, retry_after)


def stopping() -> ProblemError:
    """The answer of a server that takes no more photos."""
    return ProblemError(503, "stopping", "the server is about to stop: try again", retry_after=RETRY_SECONDS)


def no_job() -> ProblemError:
    """The answer about a job that does not exist, is erased, or is another's."""
    return ProblemError(404, "no-job", "there is no such job, or it has been erased")


class QueueFullError(ProblemError):
    """No more than `capacity` jobs may wait."""

    def __init__(self, capacity: int) -> None:
        text = f"{capacity} photos are waiting already: try again later"
        super().__init__(429, "queue-full", text, retry_after=RETRY_SECONDS)


class StoreUnavailableError(RevisageError):
    """The queue's database does not answer: it is tried again."""


# What befalls a photo, most specific first.
_PHOTO_ERRORS: tuple[tuple[type[RevisageError], int, str], ...] = (
    (errors.UnsupportedFormatError, 415, "unsupported-format"),
    (errors.PhotoTooLargeError, 422, "photo-too-large"),
    (errors.DamagedError, 422, "photo-damaged"),
    (errors.PhotoError, 422, "photo-unreadable"),
    (errors.UsageError, 422, "bad-option"),
    (errors.SaveError, 422, "cannot-encode"),
    (errors.FaceError, 422, "face-failed"),
    (errors.UnknownModelError, 422, "no-model"),
    (errors.ModelMissingError, 422, "no-model"),
)

# What only who runs the server can do, and other ways in than HTTP, at the end of a text; and options.
_NOT_BY_HTTP = re.compile(r"(, or raise the limit|; in Python).*| \(--[a-z-]+\)")


def failure_of(error: BaseException) -> Failure:
    """What a client is told of an error in a job. The text of an unexpected one stays in the server's log."""
    if isinstance(error, ProblemError):
        return error.failure
    for kind, status, code in _PHOTO_ERRORS:
        if isinstance(error, kind):
            text = (str(error).splitlines() or [code])[0]
            return Failure(status, code, _NOT_BY_HTTP.sub("", text.replace("`--damaged`", "`damaged=true`")))
    if isinstance(error, MemoryError):
        text = "the server has too little memory for this photo: ask for a smaller scale"
        return Failure(503, "out-of-memory", text)
    return Failure(500, "internal", "the server has failed at this photo; its log says why")
