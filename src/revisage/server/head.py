"""HEAD as GET without its body (RFC 9110, 9.3.2), for every route."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Head:
    """An app that answers HEAD; a route can tell it from GET by `is_head`, where GET does more than tell."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        inner = {**scope, "method": "GET", "revisage.head": True}
        try:
            await self._app(inner, receive, bodiless)
        finally:
            if "route" in inner:
                scope["route"] = inner["route"]


def is_head(scope: Scope) -> bool:
    """Whether the request was HEAD."""
    return bool(scope.get("revisage.head"))
