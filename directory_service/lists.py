"""Pages of users and groups: from a List request to rows (AIP-132, AIP-158)."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
from rollcall.directory.v1 import directory_service_pb2 as pb
from sqlalchemy import Row

from chassis import scim_token
from chassis.database import Transaction
from chassis.paging import page_limit
from chassis.request_context import request_context
from directory_service.directory import Access, Directory
from directory_service.errors import (
    ConnectionNotFound,
    InvalidPageToken,
    InvalidToken,
    InvalidValue,
    refusing_as_scim,
)
from directory_service.page_tokens import PageTokens
from directory_service.query import SortKey, compile_filter, compile_sort
from directory_service.repository import connections
from directory_service.repository.groups import GROUP_COLUMNS
from directory_service.repository.listing import Last, Listing, count_rows, list_from_end, list_rows
from directory_service.repository.users import USER_COLUMNS
from directory_service.walks import Ended, Place, Walk
from scim.errors import ScimError
from scim.filter import parse_filter
from scim.schemas import USER, ResourceType, parse_attribute_path

MAX_SKIP = 2**31


@dataclass(frozen=True, slots=True)
class PageRequest:
    """A List request, checked and compiled."""

    listing: Listing
    query: str
    """What a page token belongs to."""
    after: Last | None
    skip: int
    limit: int
    """Rows of the page; 0 when only the total is wanted."""
    page_tokens: PageTokens
    counts: bool
    """Whether the number of all that match is wanted."""
    walk: Walk | None
    """The walk by index that the page may belong to; none for a page by token, and for internal callers, to whom
    `skip` means the list as it is (AIP-158)."""

    @classmethod
    def read(
        cls,
        request: pb.ListUsersRequest | pb.ListGroupsRequest,
        resource_type: ResourceType,
        directory: Directory,
        access: Access,
    ) -> "PageRequest":
        """Check a request. Raises FilterRefused, InvalidValue, InvalidPageToken, ExpiredPageToken."""
        if not 0 <= request.skip <= MAX_SKIP:
            raise InvalidValue("skip", f"must be 0 to {MAX_SKIP}")
        scope, page_tokens = directory.scope(access.connection_id), directory.page_tokens
        condition = sort = None
        if request.filter:
            with refusing_as_scim("filter"):
                condition = compile_filter(parse_filter(request.filter), resource_type, scope)
        if request.sort_by:
            try:
                sort = compile_sort(parse_attribute_path(request.sort_by), resource_type, scope)
            except ScimError as error:
                raise InvalidValue("sort_by", error.detail) from None
        descending = request.sort_order == pb.SORT_ORDER_DESCENDING
        query = "\n".join(
            (scope.connection_id, resource_type.name, request.filter, request.sort_by, str(int(descending)))
        )
        return cls(
            listing=Listing(
                table="users" if resource_type is USER else "groups",
                columns=USER_COLUMNS if resource_type is USER else GROUP_COLUMNS,
                condition=condition,
                sort=sort,
                descending=descending,
            ),
            query=query,
            after=_read_token(page_tokens, request.page_token, query, sort),
            skip=request.skip,
            limit=0 if request.count_only else page_limit(request.page_size),
            page_tokens=page_tokens,
            counts=not request.omit_total_size,
            walk=None if request.page_token else _walk(access, query),
        )


@dataclass(frozen=True, slots=True)
class Page:
    """A page of rows."""

    rows: Sequence[Row[Any]]
    next_page_token: str
    total_size: int
    ended: Ended | None = None
    """What to remember before the page is handed out."""


def read_page(tx: Transaction, access: Access, request: PageRequest) -> Page:
    """Read a page and the number of all that match. Raises ConnectionNotFound."""
    connection_id = access.connection_id
    connection = read_connection(tx, access)
    place = request.walk.place(tx, request.skip) if request.walk is not None and request.limit else None
    if place is not None:
        page = _go_on(tx, connection_id, request, place, connection.sequence)
    else:
        page = _cut_out(tx, connection_id, request, connection)
    if request.walk is not None and page.next_page_token:
        place = Place(_last(page.rows, request.listing), connection.sequence, page.total_size)
        return replace(page, ended=Ended(request.walk, request.skip + len(page.rows), place))
    return page


def read_connection(tx: Transaction, access: Access) -> Row[Any]:
    """Return the row of the connection. Raises ConnectionNotFound, InvalidToken when a token opened it."""
    connection = connections.get_connection(tx, access.connection_id)
    if connection is None:
        raise InvalidToken if access.by_token else ConnectionNotFound(access.connection_id)
    return connection


def _go_on(tx: Transaction, connection_id: str, request: PageRequest, place: Place, sequence: int) -> Page:
    """Return the page that comes after what the client was given before, wherever that is now."""
    listing, limit = request.listing, request.limit
    rows = list_rows(tx, connection_id, listing, after=place.last, skip=0, limit=limit + 1)
    total = place.total
    if sequence != place.sequence:
        total = request.skip + count_rows(tx, connection_id, listing, after=place.last)
    return _page(request, rows[:limit], len(rows) > limit, total)


def _cut_out(tx: Transaction, connection_id: str, request: PageRequest, connection: Row[Any]) -> Page:
    """Return the page that the list as it is has at this index, or after this token."""
    listing = request.listing
    total: int | None = None
    if listing.condition is None:
        total = connection.user_count if listing.table == "users" else connection.group_count
    rows: Sequence[Row[Any]] = ()
    more = False
    if request.limit:
        rows, more = _read_rows(tx, connection_id, request, total)
    if total is None and not request.counts:
        total = 0
    if total is None:
        if request.limit and not more and request.after is None and not request.skip:
            total = len(rows)
        else:
            total = count_rows(tx, connection_id, listing)
    return _page(request, rows, more, total)


def _page(request: PageRequest, rows: Sequence[Row[Any]], more: bool, total: int) -> Page:
    token = ""
    if more:
        last = _last(rows, request.listing)
        token = request.page_tokens.encode((orjson.dumps(last.value).decode(), last.tie), request.query)
    return Page(rows, token, total)


def _last(rows: Sequence[Row[Any]], listing: Listing) -> Last:
    row = rows[-1]
    return Last(row.position if listing.sort is None else row.id, row.sort_value)


def _walk(access: Access, query: str) -> Walk | None:
    token = scim_token.parse(request_context.get().scim_token) if access.by_token else None
    return None if token is None else Walk.of(access.connection_id, token[1], query)


def _read_rows(
    tx: Transaction, connection_id: str, request: PageRequest, total: int | None
) -> tuple[Sequence[Row[Any]], bool]:
    """Return the rows of a page, and whether more follow."""
    skip, limit = request.skip, request.limit
    plain = request.listing.condition is None and request.listing.sort is None and request.after is None
    if plain and total is not None and skip > total // 2:
        wanted = min(limit, total - skip)
        if wanted <= 0:
            return (), False
        rest = total - skip - wanted
        return list_from_end(tx, connection_id, request.listing, skip=rest, limit=wanted), rest > 0
    rows = list_rows(tx, connection_id, request.listing, after=request.after, skip=skip, limit=limit + 1)
    return rows[:limit], len(rows) > limit


def _read_token(page_tokens: PageTokens, token: str, query: str, sort: SortKey | None) -> Last | None:
    if not token:
        return None
    value, (tie,) = read_token(page_tokens, token, query, sort, types=(int if sort is None else str,))
    return Last(tie, value)


def read_token(
    page_tokens: PageTokens, token: str, query: str, sort: SortKey | None, *, types: Sequence[type[str] | type[int]]
) -> tuple[Any, list[int | str]]:
    """Return the place that a page token names: what was sorted by, and after it values of `types`.

    What was forged never reaches the database. Raises InvalidPageToken, ExpiredPageToken.
    """
    text, *places = page_tokens.decode(token, query, types=(str, *types))
    with contextlib.suppress(orjson.JSONDecodeError):
        value = orjson.loads(str(text))
        if value is not None and sort is not None and sort.kind is bool:
            value = bool(value)
        fits = value is None or (sort is not None and type(value) is sort.kind and _storable(value))
        if fits and all(map(_storable, places)):
            return value, places
    raise InvalidPageToken


def _storable(value: object) -> bool:
    """Tell whether a database can take a value: a 64-bit integer, or text without NUL."""
    return -(2**63) <= value < 2**63 if isinstance(value, int) else "\0" not in str(value)
