"""The console as an ASGI application: every path it answers, in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import falcon
import falcon.asgi
import grpc.aio

from chassis.auth import own_secret
from chassis.grpc_client import channel_credentials
from chassis.identity import CONSOLE
from console import pages
from console.deps import Deps
from console.middleware import Edge, handle_http_error, handle_rpc_error, handle_unexpected
from console.rendering import make_templates
from console.request import Request, Response
from console.services import Services
from console.settings import ConsoleSettings


class App(falcon.asgi.App[Request, Response]):
    """Falcon, without WebSockets: a handshake is refused before anything is read of it."""

    deps: Deps

    async def __call__(  # type: ignore[override]  # Falcon's own type is that of its WSGI application
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        await super().__call__(scope, receive, send)


def create_app(services: Services, settings: ConsoleSettings) -> App:
    """Put the application together. Nothing is called before a request comes."""
    deps = Deps(services, settings, make_templates())
    app = App(media_type=falcon.MEDIA_HTML, request_type=Request, response_type=Response, middleware=[Edge(deps)])
    app.deps = deps
    app.add_error_handler(Exception, handle_unexpected)
    app.add_error_handler(falcon.HTTPError, handle_http_error)
    app.add_error_handler(grpc.aio.AioRpcError, handle_rpc_error)
    pages.add_routes(app, deps)
    return app


def get_app() -> App:
    """Put the application together from the environment; called in the worker, after the fork."""
    settings = ConsoleSettings.load()
    targets = {
        "directory": settings.directory_target,
        "portal": settings.portal_target,
        "mdm": settings.mdm_target,
    }
    services = Services(targets, own_secret(settings, CONSOLE), tls=channel_credentials(settings))
    return create_app(services, settings)
