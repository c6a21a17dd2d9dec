"""Whether the process lives, and whether it would answer; for orchestrators, without a token and without SCIM."""

from falcon.asgi import Response

from gateway.directory import Directory
from gateway.exchange import Request
from gateway.middleware import answer, json_body

JSON = "application/json"
READY_SECONDS = 2.0
"""How long the directory may take to say that it is serving."""


class Alive:
    """`/healthz`: the process answers."""

    async def on_get(self, request: Request, response: Response) -> None:
        """Say so."""
        answer(response, 200, json_body({"status": "alive"}), JSON)

    on_head = on_get


class Ready:
    """`/readyz`: the directory is serving, so that a SCIM request would be answered."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def on_get(self, request: Request, response: Response) -> None:
        """Ask the directory; 503 when it is not serving."""
        if await self._directory.is_serving(READY_SECONDS):
            answer(response, 200, json_body({"status": "ready"}), JSON)
        else:
            answer(response, 503, json_body({"status": "not ready", "detail": "the directory is not serving"}), JSON)

    on_head = on_get
