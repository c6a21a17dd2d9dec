"""Entity tags: conditional reads and writes (RFC 7644 §3.14, RFC 9110 §13).

All of our tags are weak and made of the version. They are compared by what stands between the quotes (the weak
comparison of RFC 9110 §8.8.3.2, in If-Match too), since SCIM clients send back the weak tag of `meta.version`; a tag
without its quotes is understood, as some drop them. If-Match comes before If-None-Match (§13.2.2), and `*` stands for
any version of a resource that is there.

A list has no version, and discovery does not depend on one: conditions on them are passed over, as §13.2.1 wants where
no representation is selected. A resource that is being created has no version yet: `If-None-Match` holds for it, and
`If-Match` cannot.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway.errors import Refusal
from gateway.exchange import Request

ANY = ""
"""The tag that makes a write unconditional."""

_TAG = re.compile(r'(?:W/)?"([^"]*)"')


@dataclass(frozen=True, slots=True)
class _Condition:
    """What If-Match or If-None-Match says."""

    any: bool
    """Whether it is `*`."""
    tags: tuple[str, ...]
    """What stands between the quotes."""

    def names(self, etag: str) -> bool:
        """Tell whether a tag is among those named."""
        return self.any or _opaque(etag) in self.tags


async def required_etag(request: Request, current: Callable[[], Awaitable[str]]) -> str:
    """Return the tag that must be current for a write of a resource to happen, or ANY.

    Where it takes the resource's present tag to decide, `current` is awaited, and that tag is returned, so that a write
    that comes in between is noticed. Raises Refusal 412, and what `current` raises when the resource is not there.
    """
    match, none_match = _condition(request, "If-Match"), _condition(request, "If-None-Match")
    if none_match is None:
        if match is None or match.any:
            return ANY  # a write of a resource that is not there is 404, be it conditional or not
        if len(match.tags) == 1:
            return f'W/"{match.tags[0]}"'
    etag = await current()
    _check_match(match, etag)
    if none_match is not None and none_match.names(etag):
        raise Refusal(412, f"the resource is at {etag}, which If-None-Match excludes")
    return etag


def is_unmodified(request: Request, etag: str) -> bool:
    """Tell whether the client has this version already, by If-None-Match. Raises Refusal 412 by If-Match."""
    _check_match(_condition(request, "If-Match"), etag)
    none_match = _condition(request, "If-None-Match")
    return none_match is not None and none_match.names(etag)


def check_creation(request: Request) -> None:
    """Raise Refusal 412 when a creation is to depend on a version that is there."""
    if _condition(request, "If-Match") is not None:
        raise Refusal(412, "If-Match asks for a version, and a resource that is being created has none yet")


def _check_match(match: _Condition | None, etag: str) -> None:
    if match is not None and not match.names(etag):
        raise Refusal(412, f"the resource is at {etag}, which is not in If-Match")


def tag_of(version: str) -> str:
    """Return the tag that `version` of a bulk operation stands for (RFC 7644 §3.7); ANY for none and for `*`."""
    version = version.strip()
    return ANY if version in ("", "*") else f'W/"{_opaque(version).removeprefix("W/")}"'


def _condition(request: Request, name: str) -> _Condition | None:
    header = request.get_header(name)
    if header is None or not header.strip():
        return None
    outside = [part.strip() for part in _TAG.sub("", header).split(",")]
    tags = _TAG.findall(header) or [part.removeprefix("W/") for part in outside if part not in ("", "*")]
    return _Condition(any="*" in outside, tags=tuple(tags))


def _opaque(etag: str) -> str:
    match = _TAG.fullmatch(etag)
    return etag if match is None else match.group(1)
