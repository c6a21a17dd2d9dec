"""Whether the process lives, and whether it would show a page; for orchestrators, without signing in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import falcon
import orjson

from console.request import Request, Response

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

READY_SECONDS = 2.0
"""How long the directory may take to say that it is serving."""


class Alive:
    """`/healthz`: the process answers."""

    async def on_get(self, req: Request, resp: Response) -> None:
        """Say so."""
        _answer(resp, falcon.HTTP_200, {"status": "alive"})

    on_head = on_get


class Ready:
    """`/readyz`: the directory is serving, so that somebody could sign in."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response) -> None:
        """Ask the directory; 503 when it is not serving. The other services may be away: their pages say so."""
        if await self._services.is_serving("directory", READY_SECONDS):
            _answer(resp, falcon.HTTP_200, {"status": "ready"})
        else:
            _answer(resp, falcon.HTTP_503, {"status": "not ready", "detail": "the directory is not serving"})

    on_head = on_get


def add_routes(app: App, deps: Deps) -> None:
    """Add the probes."""
    app.add_route("/healthz", Alive())
    app.add_route("/readyz", Ready(deps))


def _answer(resp: Response, status: str, content: dict[str, str]) -> None:
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = orjson.dumps(content)
