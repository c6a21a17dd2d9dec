"""What every piece of work knows about the request that caused it.

The gRPC server sets `request_context` for each call; a consumer sets it for each event. Units of work given to a
`Database` see it too.
"""

from __future__ import annotations

import contextvars
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from chassis.identity import Identity

REQUEST_ID_KEY = "rollcall-request-id"
REQUEST_KEY = "rollcall-request"
TRACEPARENT_KEY = "traceparent"
AUTHORIZATION_KEY = "authorization"
SCIM_TOKEN_KEY = "rollcall-scim-token"
CLIENT_DIALECT_KEY = "rollcall-client-dialect"
ADMINISTRATOR_KEY = "rollcall-administrator"

_LONGEST = 256


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The request behind the current work; never logged as a whole, for it holds credentials.

    `request` names the operation, such as "PUT /Users/{id}"; `authorization` and `scim_token` are as received.
    `client_dialect` says which dialect of SCIM the request was in, where the gateway has said so; `administrator` is
    the id of the account that acts, on the word of whoever calls: it counts where `identity` is the console.
    """

    request_id: str
    request: str = ""
    traceparent: str = ""
    identity: Identity | None = None
    authorization: str = field(default="", repr=False)
    scim_token: str = field(default="", repr=False)
    client_dialect: str = ""
    administrator: str = ""


NO_REQUEST = RequestContext(request_id="")

request_context: contextvars.ContextVar[RequestContext] = contextvars.ContextVar("request_context", default=NO_REQUEST)


def from_metadata(metadata: Iterable[tuple[str, str | bytes]] | None, *, request: str = "") -> RequestContext:
    """Read the context from a call's metadata; a request id is made when none came, and long values are cut at 256.

    `request` is used when the caller named no operation.
    """
    found: dict[str, str] = {}
    for key, value in metadata or ():
        if key in _KEYS and isinstance(value, str):
            found[key] = value
    return RequestContext(
        request_id=found.get(REQUEST_ID_KEY, "")[:_LONGEST] or uuid.uuid4().hex,
        request=found.get(REQUEST_KEY, "")[:_LONGEST] or request,
        traceparent=found.get(TRACEPARENT_KEY, "")[:_LONGEST],
        authorization=found.get(AUTHORIZATION_KEY, ""),
        scim_token=found.get(SCIM_TOKEN_KEY, ""),
        client_dialect=found.get(CLIENT_DIALECT_KEY, "")[:_LONGEST],
        administrator=found.get(ADMINISTRATOR_KEY, "")[:_LONGEST],
    )


_KEYS = frozenset(
    {
        REQUEST_ID_KEY,
        REQUEST_KEY,
        TRACEPARENT_KEY,
        AUTHORIZATION_KEY,
        SCIM_TOKEN_KEY,
        CLIENT_DIALECT_KEY,
        ADMINISTRATOR_KEY,
    }
)


def call_metadata(*, scim_token: str = "", request_id: str = "", request: str = "") -> tuple[tuple[str, str], ...]:
    """Give the metadata that carries the current request into a call; arguments stand in for what the context lacks."""
    context = request_context.get()
    values = (
        (REQUEST_ID_KEY, request_id or context.request_id),
        (REQUEST_KEY, request or context.request),
        (TRACEPARENT_KEY, context.traceparent),
        (SCIM_TOKEN_KEY, scim_token),
    )
    return tuple((key, value) for key, value in values if value)
