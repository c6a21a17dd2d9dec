"""The query string of a SCIM request (RFC 7644 §3.4.2, §3.9; RFC 9865), read once and by one rule.

Parameters that SCIM does not know are ignored; names match in any case, since a `startindex` that is ignored would make
a client read the first page for ever. One that is given twice is refused, as either reading could be the wrong one;
but the lists of attributes then mean all that they name.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from gateway.errors import Refusal
from scim.errors import InvalidFilter, InvalidValue
from scim.filter import parse_filter
from scim.projection import is_returned
from scim.schemas import ResourceType

MAX_PAGE_SIZE = 200
DEFAULT_PAGE_SIZE = 100
_MAX_START_INDEX = 2**31
_PARAMETERS = frozenset(
    {"attributes", "excludedattributes", "filter", "startindex", "count", "cursor", "sortby", "sortorder"}
)
_LISTS = frozenset({"attributes", "excludedattributes"})
_INTEGER = re.compile(r" *[+-]?[0-9]{1,30} *")


@dataclass(frozen=True, slots=True)
class Projection:
    """Which attributes the client wants: at most one of the two is not empty (RFC 7644 §3.9)."""

    attributes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @property
    def is_default(self) -> bool:
        """Whether the whole resource is wanted."""
        return not self.attributes and not self.excluded

    def returns(self, resource_type: ResourceType, name: str) -> bool:
        """Tell whether a core attribute is wanted, at least in part."""
        return self.is_default or is_returned(resource_type, name, self.attributes, self.excluded)


EVERYTHING = Projection()


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted."""

    filter: str
    start_index: int
    """1 or more; of no meaning with a cursor."""
    count: int
    """0 (the total only) to 200."""
    cursor: str | None
    """None: paging by index; empty: the first page by cursor (RFC 9865 §2)."""
    sort_by: str
    descending: bool


@dataclass(frozen=True, slots=True)
class FilterLimits:
    """How long (characters), deep and wide a filter may be."""

    length: int = 4096
    depth: int = 20
    terms: int = 50


def parse_query(raw: bytes) -> dict[str, str]:
    """Return the SCIM parameters of a query string by lower-case name. Raises InvalidValue."""
    parameters: dict[str, str] = {}
    for part in raw.decode("latin-1").split("&"):
        name, _, value = part.partition("=")
        name = unquote(name).lower()
        if name not in _PARAMETERS:
            continue
        decoded = _decoded(name, value)
        if name in parameters:
            if name not in _LISTS:
                raise InvalidValue(f"{name} is given twice")
            decoded = f"{parameters[name]},{decoded}"
        parameters[name] = decoded
    return parameters


def _decoded(name: str, value: str) -> str:
    # A `+` is a space to some clients and itself to others. Every filter has spaces, so a client shows which it is:
    # one that writes spaces as %20 means a plus, as in an address with a tag; else mail addresses would not be found.
    if "%20" not in value and " " not in value:
        value = value.replace("+", " ")
    try:
        # Bytes beyond ASCII that were not percent-encoded are UTF-8 as well.
        return unquote(value.encode("latin-1").decode(), errors="strict") if value else ""
    except UnicodeDecodeError:
        problem = f"{name} is not UTF-8"
    raise InvalidFilter(problem) if name == "filter" else InvalidValue(problem)


def projection_of(resource_type: ResourceType, parameters: dict[str, str]) -> Projection:
    """Return what `attributes` and `excludedAttributes` ask for. Raises InvalidValue when both are given."""
    if "attributes" not in parameters and "excludedattributes" not in parameters:
        return EVERYTHING
    projection = Projection(_names(parameters.get("attributes", "")), _names(parameters.get("excludedattributes", "")))
    is_returned(resource_type, "id", projection.attributes, projection.excluded)  # refuses both at once
    return projection


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def page_of(parameters: dict[str, str], limits: FilterLimits) -> Page:
    """Return which page is wanted: 1-based, clamped (RFC 7644 §3.4.2.4). Raises ScimError, Refusal."""
    cursor = parameters.get("cursor")
    if cursor is not None and "startindex" in parameters:
        raise InvalidValue("cursor and startIndex exclude each other")
    order = parameters.get("sortorder", "ascending").lower()
    if order not in ("ascending", "descending", ""):
        raise InvalidValue("sortOrder must be ascending or descending")
    return Page(
        filter=checked_filter(parameters.get("filter"), limits),
        start_index=min(max(_integer(parameters, "startIndex", 1, "invalidValue"), 1), _MAX_START_INDEX),
        count=_count(parameters, by_cursor=cursor is not None),
        cursor=cursor,
        sort_by=parameters.get("sortby", "").strip(),
        descending=order == "descending",
    )


def _count(parameters: dict[str, str], *, by_cursor: bool) -> int:
    """Return how many resources are wanted, never more than a page holds.

    By index a negative number is 0, which asks for the total (RFC 7644 §3.4.2.4); by cursor it has to be positive
    (RFC 9865 §2), or the next page would never come.
    """
    count = _integer(parameters, "count", DEFAULT_PAGE_SIZE, "invalidCount" if by_cursor else "invalidValue")
    if by_cursor and count < 1:
        raise Refusal(400, f"count must be 1 to {MAX_PAGE_SIZE} with a cursor", "invalidCount")
    return min(max(count, 0), MAX_PAGE_SIZE)


def checked_filter(text: str | None, limits: FilterLimits) -> str:
    """Return the filter, empty when there is none. Raises InvalidFilter for one that is blank or over a limit."""
    if text is None:
        return ""
    if len(text) > limits.length:
        raise InvalidFilter(f"the filter is longer than {limits.length} characters")
    if not text.strip():
        raise InvalidFilter("the filter is empty")
    # The directory parses every filter, and is where a wrong one is explained. Parsing here as well is for those that
    # could break a limit: a term with its connective takes eight characters, a level one, so most are too short.
    if len(text) > 8 * limits.terms or text.count("(") + text.count("[") > limits.depth:
        parse_filter(text, max_length=limits.length, max_depth=limits.depth, max_terms=limits.terms)
    return text


def _integer(parameters: dict[str, str], name: str, default: int, scim_type: str) -> int:
    text = parameters.get(name.lower())
    if text is None or text == "":
        return default
    if _INTEGER.fullmatch(text) is None or not text.isascii():
        raise Refusal(400, f"{name} must be an integer", scim_type)
    return int(text)
