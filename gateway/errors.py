"""Every error that a SCIM client can get, and THE table from the directory's reasons to HTTP (RFC 7644 §3.12).

    Refusal                   a status, a scimType where the RFC has one, a detail for the administrator
    ├── Unauthorized          401, the same words whatever is wrong with the token
    ├── NotFound              404
    ├── TooSlow               408
    ├── TooLarge              413
    ├── UnsupportedMediaType  415
    ├── TooManyRequests       429, with the integer Retry-After that identity providers honour
    ├── NotImplementedHere    501
    └── Unavailable           503, with Retry-After

`scim.errors.ScimError` is raised by the parsers and is answered as it is. `chassis.errors.RpcFailure` is what the
directory said; `from_failure` turns it into a Refusal.
"""

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import grpc
import orjson

from chassis.errors import RpcFailure
from chassis.paging import PAGE_TOKEN_SECONDS
from scim.errors import ERROR_URN

DIRECTORY_DOMAIN = "directory.rollcall"

RETRY_AFTER_SECONDS = 2
"""What a 503 asks a client to wait: the directory restarts faster than this."""

UNAUTHORIZED_DETAIL = "a bearer token of this connection is required: it is missing, wrong, expired or revoked"
FORBIDDEN_DETAIL = "the token does not allow this: it may only read"


class HttpError(NamedTuple):
    """How a reason is told over HTTP."""

    status: int
    scim_type: str | None = None


REASONS: Mapping[str, HttpError] = {
    "UNSPECIFIED": HttpError(500),
    "INVALID_TOKEN": HttpError(401),
    # The gateway's own credential was refused: nothing the client could change, and it ends when an operator mends it.
    "INVALID_CREDENTIAL": HttpError(503),
    "PERMISSION_DENIED": HttpError(403),
    "USER_NOT_FOUND": HttpError(404),
    "GROUP_NOT_FOUND": HttpError(404),
    "USER_NAME_TAKEN": HttpError(409, "uniqueness"),
    "GROUP_NAME_TAKEN": HttpError(409, "uniqueness"),
    "ETAG_MISMATCH": HttpError(412),
    "UNRESOLVED_REFERENCE": HttpError(409),
    "INVALID_FILTER": HttpError(400, "invalidFilter"),
    "INVALID_PATH": HttpError(400, "invalidPath"),
    "INVALID_VALUE": HttpError(400, "invalidValue"),
    "INVALID_SYNTAX": HttpError(400, "invalidSyntax"),
    "NO_TARGET": HttpError(400, "noTarget"),
    "MUTABILITY": HttpError(400, "mutability"),
    "TOO_MANY": HttpError(413),
    # A connection that went away while its request was under way looks like any connection that is not there.
    "CONNECTION_NOT_FOUND": HttpError(401),
    "CONNECTION_DELETING": HttpError(401),
    "INVALID_PAGE_TOKEN": HttpError(400, "invalidCursor"),
    "EXPIRED_PAGE_TOKEN": HttpError(400, "expiredCursor"),
    # The rest belongs to administration, which no SCIM request reaches.
    "WORKSPACE_NOT_FOUND": HttpError(404),
    "PORTAL_ALREADY_CONNECTED": HttpError(409),
    "WORKSPACE_NOT_EMPTY": HttpError(409),
    "TOO_MANY_TOKENS": HttpError(409),
    "TOKEN_NOT_FOUND": HttpError(404),
    "EVENT_NOT_FOUND": HttpError(404),
    "ADMINISTRATOR_NOT_FOUND": HttpError(404),
    "EMAIL_TAKEN": HttpError(409),
    "LAST_ADMINISTRATOR": HttpError(409),
    "ADMINISTRATOR_DISABLED": HttpError(409),
    "INVALID_SIGN_IN": HttpError(401),
    "TOO_MANY_ATTEMPTS": HttpError(429),
    "INVALID_SESSION": HttpError(401),
    "LINK_NOT_FOUND": HttpError(404),
}
"""Each `ErrorReason` of the directory, without its prefix."""

_DETAILS: Mapping[str, str] = {
    "INVALID_PAGE_TOKEN": "cursor must be empty, for the first page, or the nextCursor that the same query gave",
    "EXPIRED_PAGE_TOKEN": f"the cursor is older than {PAGE_TOKEN_SECONDS} seconds: begin again with an empty cursor",
}
"""What is told instead of the directory's own message, where that speaks the language of the contract."""

_FIELDS: Mapping[str, str] = {"sort_by": "sortBy", "operations[": "Operations[", "bulk_id": "bulkId"}
"""Parts of fields of the contract that messages begin with, as SCIM calls them."""

_TRANSIENT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
    }
)


class Refusal(Exception):
    """An answer that is an error; `detail` is written for the administrator of the identity provider."""

    def __init__(
        self, status: int, detail: str, scim_type: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.scim_type = scim_type
        self.headers: Mapping[str, str] = headers or {}


class Unauthorized(Refusal):
    """No good token of this connection; never says what is wrong with it (RFC 6750 §3)."""

    challenge: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": "Bearer"}

    def __init__(self) -> None:
        super().__init__(401, UNAUTHORIZED_DETAIL, headers=self.challenge)


class NotFound(Refusal):
    """Nothing is at this path."""

    def __init__(self, detail: str) -> None:
        super().__init__(404, detail)


class TooLarge(Refusal):
    """The body is longer than the limit, in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"the body is larger than {limit} bytes")


class TooSlow(Refusal):
    """The body did not arrive within the deadline (RFC 9110 §15.5.9)."""

    def __init__(self) -> None:
        super().__init__(408, "the body did not arrive in time")


class UnsupportedMediaType(Refusal):
    """The body is not JSON, or not in UTF-8."""

    def __init__(self) -> None:
        super().__init__(415, "the body must be application/scim+json or application/json, in UTF-8")


class TooManyRequests(Refusal):
    """Over a rate limit; `seconds` is rounded up to the whole seconds that Retry-After carries (RFC 6585 §4)."""

    def __init__(self, detail: str, seconds: float) -> None:
        super().__init__(429, detail, headers={"Retry-After": str(max(1, int(-(-seconds // 1))))})


class NotImplementedHere(Refusal):
    """A part of SCIM that this server does not offer (RFC 7644 §3.11, §3.12)."""

    def __init__(self, detail: str) -> None:
        super().__init__(501, detail)


class Unavailable(Refusal):
    """The directory does not answer, or not in time; whether a write was made is not known."""

    def __init__(self, detail: str = "the directory does not answer at the moment; try again") -> None:
        super().__init__(503, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def from_failure(failure: RpcFailure) -> Refusal:
    """Return what the client is told of a failed call; a failure that has no place in the table is a bare 500."""
    known = REASONS.get(failure.reason) if failure.domain == DIRECTORY_DOMAIN else None
    if known is None:
        return Unavailable() if failure.code in _TRANSIENT else internal()
    if known.status == 401:
        return Unauthorized()
    if known.status == 403:
        return Refusal(403, FORBIDDEN_DETAIL)
    if known.status == 503:
        return Unavailable()
    if known.status == 500:
        return internal()
    return Refusal(known.status, _DETAILS.get(failure.reason) or _in_scim(failure.message), known.scim_type)


def _in_scim(message: str) -> str:
    """Return a message of the directory, which may begin with a field of the contract, with that field's SCIM name."""
    field, colon, rule = message.partition(": ")
    if " " not in field:
        for name, scim_name in _FIELDS.items():
            field = field.replace(name, scim_name)
    return f"{field}{colon}{rule}"


def internal() -> Refusal:
    """Return the error that says nothing but that there is one; the log has the rest under the request id."""
    return Refusal(500, "internal error")


def body_of(status: int, detail: str, scim_type: str | None = None) -> bytes:
    """Return the SCIM error message; `status` is a string (RFC 7644 §3.12)."""
    body: dict[str, object] = {"schemas": [ERROR_URN], "status": str(status)}
    if scim_type is not None:
        body["scimType"] = scim_type
    body["detail"] = detail
    return orjson.dumps(body)
