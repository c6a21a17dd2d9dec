"""Entity tags: conditional reads and writes (RFC 7644 §3.14, RFC 7232).

All of our tags are weak and made of the version. They are compared by what stands between the quotes, since SCIM
clients send back the weak tag of `meta.version` in If-Match; a tag without its quotes is understood, as some drop them.
"""

import re
from collections.abc import Awaitable, Callable

from gateway.errors import Refusal
from gateway.exchange import Request

ANY = ""
"""The tag that makes a write unconditional."""

_TAG = re.compile(r'(?:W/)?"([^"]*)"')


async def required_etag(request: Request, current: Callable[[], Awaitable[str]]) -> str:
    """Return the tag that must be current for a write to happen, or ANY.

    Of several tags it is the one that is current, for which `current` is awaited; a write that comes in between is then
    still noticed. Raises Refusal 412 when none of several is.
    """
    tags = _tags(request.get_header("If-Match"))
    if not tags or "*" in tags:
        return ANY
    if len(tags) == 1:
        return f'W/"{tags[0]}"'
    etag = await current()
    if _opaque(etag) not in tags:
        raise Refusal(412, "none of the versions in If-Match is current")
    return etag


def is_unmodified(request: Request, etag: str) -> bool:
    """Tell whether the client has this version already, by If-None-Match."""
    tags = _tags(request.get_header("If-None-Match"))
    return bool(tags) and ("*" in tags or _opaque(etag) in tags)


def _tags(header: str | None) -> list[str]:
    if header is None or not header.strip():
        return []
    quoted = _TAG.findall(header)
    return quoted or [part.strip().removeprefix("W/") for part in header.split(",")]


def _opaque(etag: str) -> str:
    match = _TAG.fullmatch(etag)
    return etag if match is None else match.group(1)
