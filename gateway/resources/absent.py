"""Parts of SCIM that this server does not offer, said in SCIM instead of with a path that is not there."""

from falcon.asgi import Response

from gateway.errors import NotImplementedHere
from gateway.exchange import Request


class Absent:
    """A path that answers 501 to every method (RFC 7644 §3.11)."""

    def __init__(self, detail: str) -> None:
        self._detail = detail

    async def on_get(self, request: Request, response: Response, connection_id: str) -> None:
        """Refuse."""
        raise NotImplementedHere(self._detail)

    on_head = on_post = on_put = on_patch = on_delete = on_get
