"""The application: routes, page, and how errors are answered."""

import asyncio
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from revisage.errors import RevisageError, UsageError
from revisage.server.access import Guard, answer_with
from revisage.server.options import JobOptions
from revisage.server.problems import RETRY_SECONDS, Failure, ProblemError, StoreUnavailableError, failure_of
from revisage.server.routes import Serving, at_once, problems, router
from revisage.server.schemas import ProblemView
from revisage.server.service import Service
from revisage.version import __version__

PAGE = Path(__file__).parent / "page"


def create_app(service: Service) -> ASGIApp:
    """The ASGI application of a service; its lifespan runs the service."""
    app = FastAPI(
        title="Revisage",
        version=__version__,
        description="Restores the faces in old and damaged photos.",
        lifespan=service.running,
        docs_url=None,  # FastAPI's pages load scripts from elsewhere; ours is in page/
        redoc_url=None,
        redirect_slashes=False,  # Starlette redirects to http:// where a proxy ends TLS
    )
    app.state.service = service
    app.include_router(at_once)
    app.include_router(router)
    _add_state(app)
    _add_page(app)
    _add_handlers(app)
    return Guard(app, service.settings, service.metrics)


def _add_state(app: FastAPI) -> None:
    @app.get("/healthz", tags=["server"])
    async def health() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz", responses={503: {"model": ProblemView}}, tags=["server"])
    async def ready(service: Serving) -> dict[str, str]:
        """Photos handed in now would be worked at: models loaded, queue reachable, not stopping.

        `decoding` tells what holds a decoder that a hostile photo has taken over.
        """
        if not await service.is_ready():
            text = service.supervisor.broken or "the server is starting or stopping"
            raise ProblemError(503, "not-ready", text, retry_after=1)
        decoding = service.supervisor.decoding
        return {"status": "ready", **({} if decoding is None else {"decoding": decoding})}

    @app.get("/metrics", response_class=Response, responses=problems(503), tags=["server"])
    async def metrics(service: Serving) -> Response:
        """Figures for Prometheus."""
        data = await asyncio.to_thread(service.metrics.text)
        return Response(data, media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_page(app: FastAPI) -> None:
    app.mount("/page", StaticFiles(directory=PAGE))

    @app.get("/", include_in_schema=False)
    async def index() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    @app.post("/share", include_in_schema=False)
    async def share(request: Request, service: Serving) -> RedirectResponse:
        """A photo that was shared to the installed page, which then follows its job."""
        job = await service.submit(request, request.state.owner, "", JobOptions(previews=True))
        return RedirectResponse(f"./?job={job.id}", 303)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html")


def _add_handlers(app: FastAPI) -> None:
    @app.exception_handler(RevisageError)
    async def ours(request: Request, error: RevisageError) -> JSONResponse:
        if isinstance(error, StoreUnavailableError):
            text = "the queue does not answer: try again"
            return answer_with(Failure(503, "no-queue", text, RETRY_SECONDS))
        assert isinstance(error, ProblemError | UsageError), error
        return answer_with(failure_of(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        unknown = first["type"] == "extra_forbidden"
        text = "there is no such parameter; /docs lists them" if unknown else first["msg"]
        return answer_with(Failure(422, "bad-option", f"{first['loc'][-1]}: {text}"))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        code = {404: "no-route", 405: "no-method"}.get(error.status_code, "http")
        response = answer_with(Failure(error.status_code, code, str(error.detail)))
        response.headers.update(error.headers or {})
        if error.status_code == 405:  # Starlette names the methods of one route only
            routes = (*app.routes, *at_once.routes, *router.routes)
            same = (route for route in routes if route.matches(request.scope)[0] is not Match.NONE)
            methods = {method for route in same for method in getattr(route, "methods", None) or ()}
            response.headers["allow"] = ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
        return response
