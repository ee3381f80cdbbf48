"""The JSON of the API, as OpenAPI describes it."""

from dataclasses import fields
from typing import Annotated, Any, Self, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from revisage.options import explained, only_in_python
from revisage.server.options import JobOptions
from revisage.server.queue.jobs import Job, State

_TOLD, _HINTS = explained(JobOptions), get_type_hints(JobOptions, include_extras=True)
_FIELDS: dict[str, Any] = {
    field.name: (_HINTS[field.name], Field(field.default, description=_TOLD[field.name]))
    for field in fields(JobOptions)
    if not only_in_python(_HINTS[field.name])
}
_Parameters: Any = create_model("_Parameters", __config__=ConfigDict(extra="forbid"), **_FIELDS)


class OptionsQuery(_Parameters):  # type: ignore[misc]  # its fields are those of JobOptions
    """The query parameters of a restoration."""

    def options(self) -> JobOptions:
        """Raises UsageError for a value that makes no sense."""
        return JobOptions(**self.model_dump(exclude={"name"}))

    @model_validator(mode="before")
    @classmethod
    def _as_on_the_command_line(cls, values: dict[str, Any]) -> dict[str, Any]:
        values = {"colour" if name == "color" else name: value for name, value in values.items()}
        return values | {"format": str(values.get("format", "auto")).lower()}


class PhotoQuery(OptionsQuery):
    """Those of a request that brings a photo."""

    name: Annotated[str, Field(max_length=1000, description="of the file, where the body is the photo")] = ""


class ProblemView(BaseModel):
    """An error (RFC 9457)."""

    type: str = Field(examples=["urn:revisage:error:queue-full"])
    title: str
    status: int
    code: str = Field(description="for programs; stays the same when the words change")
    detail: str = Field(description="for people: what is wrong and what to do")


class StepsView(BaseModel):
    """How far a stage of a job is."""

    stage: str = Field(description="decode, find (total: faces found), faces, scene (tiles), save")
    done: int
    total: int


class JobView(BaseModel):
    """A job. It is forgotten some time after it has ended, see `GET /v1/server`."""

    id: str
    name: str = Field(description="name of the photo; plain text that may hold anything")
    state: State
    ahead: int | None = Field(None, description="jobs waiting before this one; only while it is queued")
    progress: list[StepsView]
    error: ProblemView | None = None
    created: float = Field(description="seconds since 1970")
    ended: float | None = None

    @classmethod
    def of(cls, job: Job, ahead: int | None = None) -> Self:
        """From a job."""
        steps = [StepsView(stage=name, done=done, total=n) for name, (done, n) in job.progress.items()]
        error = None if job.failure is None else ProblemView(**job.failure.body())
        same = {name: getattr(job, name) for name in ("id", "name", "state", "created", "ended")}
        return cls(**same, ahead=ahead, progress=steps, error=error)


class JobsView(BaseModel):
    """Jobs, newest first."""

    jobs: list[JobView]


class ServerView(BaseModel):
    """What a client may want to know before it sends a photo."""

    version: str
    local: bool = Field(description="only programs on this machine can reach the server")
    token_needed: bool
    retention_seconds: float = Field(description="0: photos and results are erased after the first download")
    guard: float | None = Field(
        description="degrees by which a face may drift where a request names no guard and the server has an "
        "identity model; null: any"
    )
    max_bytes: int
    max_pixels: int
    formats: list[str]
    options: dict[str, Any] = Field(description="the query parameters of a restoration, as JSON Schema")
