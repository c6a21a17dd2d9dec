"""Page tokens: opaque text that says where the next page begins and to which query it belongs (AIP-158).

A plain token is not signed, for it grants nothing: every page is read with the caller's own rights. It is checked for
its form and for the query, so that a token of another query is refused and not answered with a page of something else.
Tokens that leave the system, as cursors of SCIM clients do, are signed and expire (RFC 9865).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence

import grpc
import orjson

from chassis.errors import DomainError

Key = Sequence[str | int]
"""The sort key of the last row of a page."""

PAGE_TOKEN_SECONDS = 3600
"""How long a signed token is good for."""

_LONGEST = 4096
_SIGNATURE_BYTES = 16


class InvalidPageToken(DomainError):
    """A page token is forged, damaged, or belongs to another query. INVALID_ARGUMENT INVALID_PAGE_TOKEN."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_PAGE_TOKEN"

    def __init__(self, domain: str = "rollcall") -> None:
        super().__init__("page_token is not one that this query gave", field="page_token")
        self.domain = domain  # type: ignore[misc]  # the domain of the service that was asked, known only here


class ExpiredPageToken(DomainError):
    """A page token was right and is too old. INVALID_ARGUMENT EXPIRED_PAGE_TOKEN."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "EXPIRED_PAGE_TOKEN"

    def __init__(self, domain: str = "rollcall") -> None:
        super().__init__(f"page_token is older than {PAGE_TOKEN_SECONDS} seconds: begin the list again")
        self.domain = domain  # type: ignore[misc]  # as above


class SignedPageTokens:
    """Makes and reads page tokens that nobody else can make, each of one query and for `PAGE_TOKEN_SECONDS`.

    Made of the characters that RFC 3986 §2.3 calls unreserved, as RFC 9865 §2 wants of a cursor. `key` is the secret,
    32 bytes; `clock` gives seconds since 1970.
    """

    def __init__(self, key: bytes, *, domain: str, clock: Callable[[], float] = time.time) -> None:
        self._key = key
        self._domain = domain
        self._clock = clock

    def encode(self, key: Key, query: str) -> str:
        """Make the token of the page after the row with sort key `key`."""
        content = orjson.dumps([int(self._clock()) + PAGE_TOKEN_SECONDS, *key])
        return _text(self._sign(content, query) + content)

    def decode(self, token: str, query: str, *, types: Sequence[type[str] | type[int]]) -> list[str | int]:
        """Read a token back to its sort key, whose items must be of `types`.

        Raises InvalidPageToken for one that this query did not give, ExpiredPageToken for one that is too old.
        """
        if len(token) > _LONGEST:
            raise InvalidPageToken(self._domain)
        try:
            decoded = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except ValueError:
            raise InvalidPageToken(self._domain) from None
        signature, content = decoded[:_SIGNATURE_BYTES], decoded[_SIGNATURE_BYTES:]
        # A last character may have bits that mean nothing; with others than ours it is not our token either.
        if not hmac.compare_digest(signature, self._sign(content, query)) or token != _text(decoded):
            raise InvalidPageToken(self._domain)
        expires, *rest = orjson.loads(content)
        key: list[str | int] = rest
        if [type(item) for item in key] != list(types):
            raise InvalidPageToken(self._domain)  # of a version that made tokens of another form
        if expires <= self._clock():
            raise ExpiredPageToken(self._domain)
        return key

    def _sign(self, content: bytes, query: str) -> bytes:
        # The content is JSON and has no NUL, so the two cannot run into each other.
        return hmac.digest(self._key, content + b"\0" + query.encode(), "sha256")[:_SIGNATURE_BYTES]


def encode_page_token(key: Key, query: str) -> str:
    """Make the token of the page after the row with sort key `key`; `query` is text that tells queries apart."""
    return _text(orjson.dumps([_fingerprint(query), *key]))


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


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _fingerprint(query: str) -> str:
    return hashlib.sha256(query.encode()).hexdigest()[:16]
