"""Page tokens: opaque text that says where the next page begins and to which query it belongs (AIP-158).

A token is not signed, for it grants nothing: every page is read with the caller's own rights. It is checked for its
form and for the query, so that a token of another query is refused and not answered with a page of something else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence

import grpc
import orjson

from chassis.errors import DomainError

Key = Sequence[str | int]
"""The sort key of the last row of a page."""

_LONGEST = 2048


class InvalidPageToken(DomainError):
    """A page token is forged, damaged, or belongs to another query. INVALID_ARGUMENT INVALID_PAGE_TOKEN."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_PAGE_TOKEN"

    def __init__(self, domain: str = "rollcall") -> None:
        super().__init__("page_token is not one that this query gave", field="page_token")
        self.domain = domain  # type: ignore[misc]  # the domain of the service that was asked, known only here


def encode_page_token(key: Key, query: str) -> str:
    """Make the token of the page after the row with sort key `key`; `query` is text that tells queries apart."""
    return base64.urlsafe_b64encode(orjson.dumps([_fingerprint(query), *key])).rstrip(b"=").decode()


def decode_page_token(
    token: str, query: str, *, types: Sequence[type[str] | type[int]], domain: str = "rollcall"
) -> list[str | int]:
    """Read a token back to its sort key, whose items must be of `types`; raise `InvalidPageToken`."""
    if len(token) > _LONGEST:
        raise InvalidPageToken(domain)
    try:
        decoded = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        content = orjson.loads(decoded)
    except (binascii.Error, ValueError):
        raise InvalidPageToken(domain) from None
    if not isinstance(content, list) or len(content) != len(types) + 1 or content[0] != _fingerprint(query):
        raise InvalidPageToken(domain)
    key = content[1:]
    for item, kind in zip(key, types, strict=True):
        if type(item) is not kind:
            raise InvalidPageToken(domain)
    return key


def page_limit(page_size: int, *, default: int = 100, largest: int = 200) -> int:
    """Give the number of rows for a requested page size: 0 means the default, more than the largest is the largest."""
    return default if page_size <= 0 else min(page_size, largest)


def _fingerprint(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:16]
