"""Users and groups in one list (RFC 7644 §3.4.2.1): all users, then all groups, or merged by what they are sorted by.

An attribute that a type does not have counts as one without a value: "For filtered attributes that are not part of a
particular resource type, the service provider SHALL treat the attribute as if there is no attribute value". One that
neither type has is refused.
"""

from dataclasses import dataclass
from typing import Any

import orjson
from rollcall.directory.v1 import directory_service_pb2 as pb
from sqlalchemy import Row

from chassis.database import Transaction
from chassis.paging import page_limit
from directory_service.directory import Access, Directory
from directory_service.errors import InvalidValue, refusing_as_scim
from directory_service.groups import SHOWN_MEMBERS
from directory_service.lists import MAX_SKIP, read_connection, read_token
from directory_service.query import Condition, Scope, SortKey, compile_filter, compile_sort
from directory_service.repository import groups as group_rows
from directory_service.repository import users as user_rows
from directory_service.repository.listing import (
    Last,
    Listing,
    MergedLast,
    count_rows,
    list_merged,
    list_rows,
    rows_at,
)
from directory_service.tables import KIND_GROUP, KIND_USER
from scim.errors import InvalidFilter, ScimError
from scim.filter import And, Comparison, Filter, Not, Or, Present, filter_target, parse_filter
from scim.schemas import GROUP, USER, AttributePath, ResourceType, parse_attribute_path

_TYPES = ((KIND_USER, USER, GROUP), (KIND_GROUP, GROUP, USER))
_ALWAYS = Present(AttributePath(None, "meta", None))
"""A condition that every resource satisfies."""
_NULLS = {str: "CAST(NULL AS TEXT)", int: "CAST(NULL AS BIGINT)", bool: "CAST(NULL AS BOOLEAN)"}


@dataclass(frozen=True, slots=True)
class _Found:
    """A row of either table."""

    kind: int
    row: Row[Any]
    sort_value: Any


async def search_resources(
    directory: Directory, access: Access, request: pb.SearchResourcesRequest
) -> pb.SearchResourcesResponse:
    """List users and groups. Raises FilterRefused, InvalidValue, InvalidPageToken, ExpiredPageToken."""
    if not 0 <= request.skip <= MAX_SKIP:
        raise InvalidValue("skip", f"must be 0 to {MAX_SKIP}")
    listings = _listings(request, directory.scope(access.connection_id))
    sort = listings[0][1].sort
    descending = request.sort_order == pb.SORT_ORDER_DESCENDING
    query = "\n".join((access.connection_id, "*", request.filter, request.sort_by, str(int(descending))))
    after: MergedLast | None = None
    if request.page_token:
        types = (int, int if sort is None else str)
        value, (kind, tie) = read_token(directory.page_tokens, request.page_token, query, sort, types=types)
        after = MergedLast(int(kind), tie, value)
    limit = 0 if request.count_only else page_limit(request.page_size)

    def unit(tx: Transaction) -> pb.SearchResourcesResponse:
        read_connection(tx, access)
        totals = [count_rows(tx, access.connection_id, listing) for _, listing in listings]
        found: list[_Found] = []
        if limit and sort is not None:
            found = _merged(tx, access.connection_id, listings, after, request.skip, limit + 1)
        elif limit:
            found = _concatenated(tx, access.connection_id, listings, totals, after, request.skip, limit + 1)
        token = ""
        if len(found) > limit > 0:
            found = found[:limit]
            last = found[-1]
            tie = last.row.position if sort is None else last.row.id
            key = (orjson.dumps(last.sort_value).decode(), last.kind, tie)
            token = directory.page_tokens.encode(key, query)
        return pb.SearchResourcesResponse(
            resources=_resources(tx, access.connection_id, found, request),
            next_page_token=token,
            total_size=sum(totals),
        )

    return await directory.db.read(unit)


def _concatenated(
    tx: Transaction,
    connection_id: str,
    listings: list[tuple[int, Listing]],
    totals: list[int],
    after: MergedLast | None,
    skip: int,
    limit: int,
) -> list[_Found]:
    found: list[_Found] = []
    for (kind, listing), total in zip(listings, totals, strict=True):
        last: Last | None = None
        if after is not None:
            if kind < after.kind:
                continue
            last = Last(after.tie) if kind == after.kind else None
            total = count_rows(tx, connection_id, listing, after=last)
        rows = list_rows(tx, connection_id, listing, after=last, skip=min(skip, total), limit=limit - len(found))
        found += [_Found(kind, row, None) for row in rows]
        skip -= min(skip, total)
        if len(found) >= limit:
            break
    return found


def _merged(
    tx: Transaction,
    connection_id: str,
    listings: list[tuple[int, Listing]],
    after: MergedLast | None,
    skip: int,
    limit: int,
) -> list[_Found]:
    places = list_merged(tx, connection_id, listings, after=after, skip=skip, limit=limit)
    rows = {
        kind: rows_at(tx, connection_id, listing, [place.position for place in places if place.kind == kind])
        for kind, listing in listings
    }
    return [_Found(place.kind, rows[place.kind][place.position], place.sort_value) for place in places]


def _resources(
    tx: Transaction, connection_id: str, found: list[_Found], request: pb.SearchResourcesRequest
) -> list[pb.Resource]:
    users = {item.row.id: user_rows.user_message(item.row) for item in found if item.kind == KIND_USER}
    groups = {item.row.id: group_rows.group_message(item.row) for item in found if item.kind == KIND_GROUP}
    if request.include_groups:
        user_rows.fill_groups(tx, connection_id, users.values())
    if request.include_members:
        group_rows.fill_members(tx, connection_id, groups.values(), limit=SHOWN_MEMBERS)
    return [
        pb.Resource(user=users[item.row.id]) if item.kind == KIND_USER else pb.Resource(group=groups[item.row.id])
        for item in found
    ]


def _listings(request: pb.SearchResourcesRequest, scope: Scope) -> list[tuple[int, Listing]]:
    """Compile the request for users and for groups. Raises FilterRefused, InvalidValue."""
    conditions: dict[int, Condition] = {}
    if request.filter:
        with refusing_as_scim("filter"):
            term = parse_filter(request.filter)
            for kind, own, other in _TYPES:
                conditions[kind] = compile_filter(_of_type(term, own, other), own, scope)
    sorts = _sorts(request.sort_by, scope) if request.sort_by else {}
    return [
        (
            kind,
            Listing(
                table="users" if own is USER else "groups",
                columns=user_rows.USER_COLUMNS if own is USER else group_rows.GROUP_COLUMNS,
                condition=conditions.get(kind),
                sort=sorts.get(kind),
                descending=request.sort_order == pb.SORT_ORDER_DESCENDING,
            ),
        )
        for kind, own, _ in _TYPES
    ]


def _of_type(term: Filter, own: ResourceType, other: ResourceType) -> Filter:
    """Return the filter as it is on resources of one type. Raises InvalidFilter for what neither type has."""
    if isinstance(term, And | Or):
        return type(term)(tuple(_of_type(part, own, other) for part in term.terms))
    if isinstance(term, Not):
        return Not(_of_type(term.term, own, other))
    is_presence = isinstance(term, Comparison) and term.value is None
    compares = isinstance(term, Comparison) and not is_presence
    try:
        filter_target(own, term.path, present=not compares)
    except InvalidFilter as error:
        try:
            filter_target(other, term.path, present=not compares)
        except InvalidFilter:
            raise error from None
        # Without a value, `ne` holds and `eq null` does; nothing else does.
        without = isinstance(term, Comparison) and term.operator == ("eq" if is_presence else "ne")
        return _ALWAYS if without else Not(_ALWAYS)
    return term


def _sorts(sort_by: str, scope: Scope) -> dict[int, SortKey]:
    """Return what each type is sorted by; nothing, for one that does not have the attribute. Raises InvalidValue."""
    sorts: dict[int, SortKey] = {}
    refusal: ScimError | None = None
    try:
        path = parse_attribute_path(sort_by)
        for kind, own, _ in _TYPES:
            try:
                sorts[kind] = compile_sort(path, own, scope)
            except InvalidFilter as error:
                refusal = refusal or error
    except ScimError as error:
        refusal = error
    if not sorts:
        assert refusal is not None
        raise InvalidValue("sort_by", refusal.detail)
    known = next(iter(sorts.values()))
    return {kind: sorts.get(kind, SortKey(_NULLS[known.kind], {}, known.kind)) for kind, _, _ in _TYPES}
