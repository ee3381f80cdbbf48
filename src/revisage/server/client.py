"""A client of the HTTP API. Needs nothing but `revisage` itself.

client = Client("http://127.0.0.1:8000")
restored = client.restore("grandmother.jpg", JobOptions(strength=0.8))
Path("grandmother.restored.jpg").write_bytes(restored.data)

One client may be used by many threads.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import requests

from revisage.errors import RevisageError
from revisage.masks import mask_bytes
from revisage.server.options import JobOptions

CONNECT_SECONDS = 10.0
Photo = str | Path | bytes
Query = dict[str, str | list[str]]


class ServerError(RevisageError):
    """The server refused a request or could not restore a photo: `status` is HTTP's, 0 when the server could
    not be reached, `code` what is wrong for programs (docs/server.md), and `retry_after` the seconds after
    which to try again, where the server says so."""

    def __init__(self, status: int, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


@dataclass(frozen=True)
class JobStatus:
    """How far a job is. `progress`: (stage, done, total) in the order of the stages."""

    id: str
    name: str
    state: Literal["queued", "running", "done", "failed", "poisoned"]
    ahead: int | None
    progress: tuple[tuple[str, int, int], ...]
    error: str | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ("done", "failed", "poisoned")


@dataclass(frozen=True)
class Event:
    """A step of a job: its name (queued, progress, done, failed, poisoned, erased, stopping) and its data."""

    name: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Restored:
    """A restored photo: the bytes of its file, their media type, and where its report is."""

    data: bytes
    media_type: str
    job: str


class Client:
    """Talks to one server.

    Args:
        url: where the server is.
        token: what its token file asks for; None where it needs none.
        seconds: longest silence of the server; `restore` waits for the whole restoration in silence.
        patience: how long to go on trying while the queue is full (429) or the server restarts (503).
    """

    def __init__(
        self, url: str, token: str | None = None, *, seconds: float = 600.0, patience: float = 60.0
    ) -> None:
        self._url = url.rstrip("/")
        self._patience = patience
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        timeout = (CONNECT_SECONDS, seconds)
        self._ask = partial(requests.request, headers=headers, timeout=timeout, allow_redirects=False)

    def restore(self, photo: Photo, options: JobOptions | None = None) -> Restored:
        """Restore a photo and wait for it. Raises ServerError, OSError when the file cannot be read."""
        answer = self._send("/v1/restore", photo, options or JobOptions())
        link = answer.headers.get("Link", "")
        job = link.removeprefix("</v1/jobs/").partition("/")[0]
        return Restored(answer.content, answer.headers["Content-Type"], job)

    def submit(self, photo: Photo, options: JobOptions | None = None) -> JobStatus:
        """Hand a photo in; it is safe with the server when this returns. Raises like `restore`."""
        return _status(self._send("/v1/jobs", photo, options or JobOptions()).json())

    def again(self, id: str, options: JobOptions) -> JobStatus:
        """Restore the photo of a job with other options, as a new job. Raises ServerError, UsageError where
        the mask is no base64."""
        mask = None if options.mask is None else mask_bytes(options.mask)
        rest = replace(options, mask=None)
        return _status(self._send(f"/v1/jobs/{id}/again", mask, rest).json())

    def status(self, id: str) -> JobStatus:
        """How far a job is. Raises ServerError."""
        return _status(self._request("GET", f"/v1/jobs/{id}").json())

    def events(self, id: str) -> Iterator[Event]:
        """The steps of a job as they happen, to its end. Raises ServerError."""
        with self._request("GET", f"/v1/jobs/{id}/events", stream=True) as answer:
            name = ""
            for line in answer.iter_lines(chunk_size=1):
                if line.startswith(b"event: "):
                    name = line[7:].decode()
                elif line.startswith(b"data: "):
                    yield Event(name, json.loads(line[6:]))

    def wait(self, id: str, *, seconds: float = 600.0) -> JobStatus:
        """The job when it is over. Raises ServerError, also when it is not over after `seconds`."""
        until = time.monotonic() + seconds
        while True:
            status = self.status(id)
            if status.is_over:
                return status
            if time.monotonic() > until:
                raise ServerError(0, "not-over", f"the job was not over after {seconds:g} s: wait longer")
            time.sleep(0.1)

    def result(self, id: str) -> bytes:
        """The restored photo's file. Raises ServerError, with code "not-done" while it is at work."""
        return self._request("GET", f"/v1/jobs/{id}/result").content

    def report(self, id: str) -> dict[str, Any]:
        """What was done to the photo and each face. Raises ServerError."""
        report: dict[str, Any] = self._request("GET", f"/v1/jobs/{id}/report").json()
        return report

    def delete(self, id: str) -> None:
        """Stop a job and erase its photo and result. Raises ServerError."""
        self._request("DELETE", f"/v1/jobs/{id}")

    def _send(self, path: str, photo: Photo | None, options: JobOptions) -> requests.Response:
        """A request with options, tried again while the server says so: nothing was accepted then."""
        chosen = {name: value for name, value in asdict(options).items() if value is not None}
        query: Query = {k: str(v).lower() if isinstance(v, bool) else v for k, v in chosen.items()}
        if isinstance(photo, str | Path):
            query["name"] = Path(photo).name
            photo = Path(photo).read_bytes()
        until = time.monotonic() + self._patience
        while True:
            try:
                return self._request("POST", path, query, photo)
            except ServerError as error:
                pause = error.retry_after
                if pause is None or time.monotonic() + pause > until:
                    raise
            time.sleep(pause)

    def _request(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        data: bytes | None = None,
        stream: bool = False,
    ) -> requests.Response:
        try:
            answer = self._ask(method, self._url + path, params=query, data=data, stream=stream)
        except requests.RequestException as error:
            wrong = isinstance(error, ValueError)  # what requests raises for an address that it cannot use
            hint = "give it as http://NAME:PORT" if wrong else "is `revisage serve` running there?"
            raise ServerError(0, "no-answer", f"{self._url} does not answer: {hint}") from error
        if answer.ok:
            return answer
        try:
            problem = answer.json()
            code, message = str(problem["code"]), str(problem["detail"])
        except (ValueError, KeyError, TypeError):
            code, message = "http", f"{self._url} answers {answer.status_code}: is it a revisage server?"
        retry = answer.headers.get("Retry-After", "")
        raise ServerError(answer.status_code, code, message, float(retry) if retry.isdigit() else None)


def _status(view: dict[str, Any]) -> JobStatus:
    error = view.get("error")
    steps = tuple((step["stage"], step["done"], step["total"]) for step in view["progress"])
    told = None if error is None else error["detail"]
    return JobStatus(view["id"], view["name"], view["state"], view.get("ahead"), steps, told)
