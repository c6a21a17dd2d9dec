"""What gunicorn refuses before the application sees it, told in SCIM like every other error (RFC 7644 §3.12)."""

from collections.abc import Iterable
from http import HTTPStatus

from gunicorn.asgi.protocol import ASGIProtocol  # type: ignore[import-untyped]

from gateway.errors import body_of
from gateway.middleware import SCIM_JSON

_DETAILS = {
    400: "the request is not well-formed HTTP",
    414: "the request line is too long",
    431: "the header fields are too large or too many",
    500: "internal error",
    501: "the transfer coding is not supported",
}
"""Fixed words: what gunicorn has to say would repeat headers, which may hold a token."""


def refuse_in_scim() -> None:
    """Have gunicorn's protocol write its errors as SCIM; for a worker of its own there is no place to name another."""
    ASGIProtocol._send_error_response = _send_error_response


def _send_error_response(
    protocol: ASGIProtocol, status: int, message: str, extra_headers: Iterable[tuple[str, str]] = ()
) -> None:
    phrase = HTTPStatus(status).phrase
    body = body_of(status, _DETAILS.get(status, phrase))
    headers = [("Content-Type", SCIM_JSON), ("Content-Length", str(len(body))), *extra_headers, ("Connection", "close")]
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers), "", ""]
    protocol._safe_write("\r\n".join(lines).encode("latin-1") + body)
