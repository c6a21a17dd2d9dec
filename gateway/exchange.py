"""What the gateway knows of one request and its answer, and the one reading of its path, query and headers.

The path is matched as it was sent. It is never decoded, so an encoded slash, a dot segment, a doubled slash or another
case can neither reach another route nor pass by authentication: such a path is one that does not exist.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

import falcon.asgi
from falcon.request import RequestOptions
from google.protobuf.message import Message

from chassis import scim_token
from chassis.identifiers import time_ordered_hex
from chassis.telemetry import Span
from gateway.admission import Place
from gateway.errors import Refusal
from gateway.query import parse_query

PUBLIC_PATHS = frozenset({"/healthz", "/readyz"})
"""Paths that are answered to anybody."""

NOWHERE = "/-"
"""A path that no route has."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")
_PREFIX = "/scim/v2/"

PLACE = "rollcall.place"
"""Where the scope holds the request's `Place`, which outlives the request's own objects."""


class Exchange:
    """The state of one request; each has its own, and nothing is kept on resources."""

    __slots__ = (
        "answer",
        "answered",
        "asked",
        "body",
        "connection_id",
        "deadline",
        "dialect",
        "dialect_told",
        "host",
        "is_public",
        "place",
        "query",
        "refusal",
        "request_id",
        "scheme",
        "span",
        "started",
        "token",
        "token_hash",
        "traceparent",
        "user_agent",
    )

    def __init__(self) -> None:
        self.started = 0.0
        """On the clock of the event loop, in seconds."""
        self.deadline = 0.0
        self.request_id = ""
        self.traceparent = ""
        self.connection_id = ""
        """As the path names it; empty when it names none."""
        self.is_public = False
        self.place = Place()
        """The room that the request takes among those that are worked on."""
        self.token = ""
        self.token_hash: bytes | None = None
        """SHA-256 of a token that is well formed; None when there is none."""
        self.answered = False
        """Whether the directory was asked with the token, whatever came of it; until then nothing may be told."""
        self.refusal: Refusal | None = None
        """The error that was answered."""
        self.query = b""
        self.user_agent = ""
        self.body: object = None
        """The parsed body, once it is read."""
        self.asked: Message | None = None
        """What the directory was asked last."""
        self.answer: Message | None = None
        """What it answered to that."""
        self.dialect = ""
        """The dialect of the request, once that is told."""
        self.dialect_told = False
        """Whether the directory was told in which dialect the request is: once, as it counts them."""
        self.span: Span | None = None
        """What traces the request, where anything does."""
        self.scheme = "http"
        self.host = ""

    def parameters(self) -> dict[str, str]:
        """Return the SCIM parameters of the query. Raises ScimError."""
        return parse_query(self.query) if self.query else {}

    def base_url(self, public_url: str) -> str:
        """Return the URL of the connection; of the request's own host where no public URL is set."""
        return f"{public_url or f'{self.scheme}://{self.host}'}{_PREFIX}{self.connection_id}"


class Request(falcon.asgi.Request):
    """A request whose path and query Falcon sees undecoded and unread; `exchange` holds what the gateway made of it."""

    context_type = Exchange

    def __init__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        first_event: Any = None,
        options: RequestOptions | None = None,
    ) -> None:
        raw = scope.get("raw_path") or quote(scope["path"]).encode()
        path = raw.partition(b"?")[0].decode("latin-1")
        query = scope["query_string"]
        # Falcon passes over slashes that lead, and takes an empty last segment for an id.
        routed = NOWHERE if "//" in path or path.endswith("/") else path
        super().__init__({**scope, "path": routed, "query_string": b""}, receive, first_event, options)
        exchange = self.exchange
        exchange.started = asyncio.get_running_loop().time()
        exchange.place = scope.get(PLACE, exchange.place)
        exchange.query = query
        exchange.user_agent = self._header(b"user-agent")
        exchange.is_public = path in PUBLIC_PATHS
        if path.startswith(_PREFIX):
            exchange.connection_id = path[len(_PREFIX) :].partition("/")[0]
        exchange.scheme = scope.get("scheme", "http")
        exchange.host = self._host(scope)
        request_id = self._header(b"x-request-id")
        exchange.request_id = request_id if _REQUEST_ID.fullmatch(request_id) else time_ordered_hex()
        traceparent = self._header(b"traceparent")
        if traceparent and _TRACEPARENT.fullmatch(traceparent):
            exchange.traceparent = traceparent
        scheme, _, token = self._header(b"authorization").partition(" ")
        if token and scheme.lower() == "bearer":
            exchange.token = token.strip()
            parsed = scim_token.parse(exchange.token)
            exchange.token_hash = None if parsed is None else parsed[1]

    @property
    def exchange(self) -> Exchange:
        """What the gateway knows of this request."""
        context: Exchange = self.context  # type: ignore[assignment]
        return context

    def _header(self, name: bytes) -> str:
        value = self._asgi_headers.get(name)
        return "" if value is None else value.decode("latin-1")

    def _host(self, scope: dict[str, Any]) -> str:
        host = self._header(b"host")
        if _HOST.fullmatch(host):
            return host
        server = scope.get("server") or ("localhost", None)
        return server[0] if server[1] is None else f"{server[0]}:{server[1]}"
