"""Pages of users and groups: from a List request to rows (AIP-132, AIP-158)."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from rollcall.directory.v1 import directory_service_pb2 as pb
from sqlalchemy import Row

from chassis.database import Transaction
from chassis.paging import decode_page_token, encode_page_token, page_limit
from directory_service.directory import Access
from directory_service.errors import (
    DOMAIN,
    ConnectionNotFound,
    InvalidPageToken,
    InvalidToken,
    InvalidValue,
    refusing_as_scim,
)
from directory_service.query import Scope, SortKey, compile_filter, compile_sort
from directory_service.repository import connections
from directory_service.repository.groups import GROUP_COLUMNS
from directory_service.repository.listing import Last, Listing, count_rows, list_from_end, list_rows
from directory_service.repository.users import USER_COLUMNS
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

    @classmethod
    def read(
        cls, request: pb.ListUsersRequest | pb.ListGroupsRequest, resource_type: ResourceType, scope: Scope
    ) -> "PageRequest":
        """Check a request. Raises FilterRefused, InvalidValue, InvalidPageToken."""
        if not 0 <= request.skip <= MAX_SKIP:
            raise InvalidValue("skip", f"must be 0 to {MAX_SKIP}")
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
            after=_read_token(request.page_token, query, sort),
            skip=request.skip,
            limit=0 if request.count_only else page_limit(request.page_size),
        )


@dataclass(frozen=True, slots=True)
class Page:
    """A page of rows."""

    rows: Sequence[Row[Any]]
    next_page_token: str
    total_size: int


def read_page(tx: Transaction, access: Access, request: PageRequest) -> Page:
    """Read a page and the number of all that match. Raises ConnectionNotFound."""
    connection_id, listing = access.connection_id, request.listing
    connection = connections.get_connection(tx, connection_id)
    if connection is None:
        raise InvalidToken if access.by_token else ConnectionNotFound(connection_id)
    total: int | None = None
    if listing.condition is None:
        total = connection.user_count if listing.table == "users" else connection.group_count
    rows: Sequence[Row[Any]] = ()
    more = False
    if request.limit:
        rows, more = _read_rows(tx, connection_id, request, total)
    if total is None:
        if request.limit and not more and request.after is None and not request.skip:
            total = len(rows)
        else:
            total = count_rows(tx, connection_id, listing)
    token = ""
    if more:
        token = encode_page_token((orjson.dumps(rows[-1].sort_value).decode(), rows[-1].position), request.query)
    return Page(rows, token, total)


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


def _read_token(token: str, query: str, sort: SortKey | None) -> Last | None:
    """Return the place that a page token names; what was forged never reaches the database."""
    if not token:
        return None
    text, position = decode_page_token(token, query, types=(str, int), domain=DOMAIN)
    with contextlib.suppress(orjson.JSONDecodeError):
        value = orjson.loads(str(text))
        if value is not None and sort is not None and sort.kind is bool:
            value = bool(value)
        fits = value is None or (sort is not None and type(value) is sort.kind and _storable(value))
        if fits and isinstance(position, int) and _storable(position):
            return Last(position, value)
    raise InvalidPageToken


def _storable(value: object) -> bool:
    """Tell whether a database can take a value: a 64-bit integer, or text without NUL."""
    return -(2**63) <= value < 2**63 if isinstance(value, int) else "\0" not in str(value)
