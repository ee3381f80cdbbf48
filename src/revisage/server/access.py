"""What every request passes: the name it asks for, its origin, its token; every answer's headers."""

import hashlib
import hmac
import logging
import time
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from revisage.server.metrics import Metrics
from revisage.server.problems import Failure
from revisage.server.settings import ServerSettings

log = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self';"
        " manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}

OPEN = ("/healthz", "/readyz")  #: answered under any name and without a token: load balancers ask by address

METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS")

GUARDED = ("/v1/", "/share", "/metrics")
"""What needs a token where there are any; the page and the description of the API hold no secret."""


class Guard:
    """The outermost layer of the app. Sets a request's `owner`, whose jobs it may see, and `is_head`. HEAD is
    answered as GET (RFC 9110, 9.3.2); uvicorn leaves the body out."""

    def __init__(self, app: ASGIApp, settings: ServerSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, method = time.perf_counter(), scope["method"]
        scope = {**scope, "method": "GET"} if method == "HEAD" else scope
        scope.setdefault("state", {}).update(owner="", is_head=method == "HEAD")
        status = 500
        begun = False

        async def answer(message: Message) -> None:
            nonlocal status, begun
            if message["type"] == "http.response.start":
                status, begun = message["status"], True
                headers = MutableHeaders(scope=message)
                headers.update(SECURITY_HEADERS)
                if scope["path"].startswith(GUARDED):
                    headers["cache-control"] = "no-store"
                headers.setdefault("cache-control", "no-cache")
            await send(message)

        try:
            failure = self._refusal(scope)
            if failure is None:
                await self._app(scope, receive, answer)
            else:
                await answer_with(failure)(scope, receive, answer)
        except Exception:
            log.exception("a defect: %s %s", method, scope["path"])
            if not begun:
                defect = Failure(500, "internal", "the server has failed; its log says why")
                await answer_with(defect)(scope, receive, answer)
        finally:
            # The route's template, so that ids and invented paths make no new label.
            route = getattr(scope.get("route"), "path", None) or "other"
            known = method if method in METHODS else "other"
            self._metrics.requests.labels(route, known, status).inc()
            self._metrics.request_seconds.labels(route).observe(time.perf_counter() - start)

    def _refusal(self, scope: MutableMapping[str, Any]) -> Failure | None:
        headers, path = Headers(scope=scope), scope["path"]
        if path in OPEN:
            return None
        names = self._settings.answered_names
        host = headers.get("host", "")
        if names and _name_of(host) not in names:
            return Failure(421, "wrong-name", "the server has another name: start it with --name NAME")
        if scope["method"] not in ("GET", "OPTIONS") and _is_foreign(headers, host):
            return Failure(403, "foreign-page", "a page of another site may not use this server")
        if self._settings.tokens and path.startswith(GUARDED):
            owner = _owner(headers.get("authorization", ""), self._settings.tokens)
            if owner is None:
                return Failure(401, "no-token", "send the header Authorization: Bearer TOKEN")
            scope["state"]["owner"] = owner
        return None


def _owner(authorization: str, tokens: tuple[str, ...]) -> str | None:
    """What stands for a token in the store; None for a wrong one. Takes the same time for every token."""
    scheme, _, given = authorization.partition(" ")
    digest = hashlib.sha256(given.strip().encode()).digest()
    found = None
    for token in tokens:
        expected = hashlib.sha256(token.encode()).digest()
        if hmac.compare_digest(digest, expected):
            found = expected.hex()[:16]
    return found if scheme.lower() == "bearer" else None


def _is_foreign(headers: Headers, host: str) -> bool:
    """Whether a browser says that another site's page makes the request (Fetch Metadata, RFC 6454)."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != host.lower()


def _name_of(host: str) -> str:
    """The name in a Host header, without its port and brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def answer_with(failure: Failure) -> JSONResponse:
    """The answer that tells of a problem."""
    headers = {} if failure.status != 401 else {"www-authenticate": "Bearer"}
    if failure.retry_after is not None:
        headers["retry-after"] = str(failure.retry_after)
    return JSONResponse(failure.body(), failure.status, headers, media_type="application/problem+json")
