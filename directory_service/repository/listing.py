"""Pages of users and of groups: filtered, sorted, in a stable order (AIP-158, RFC 7644 §3.4.2)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Row, TextualSelect, bindparam, select, text

from chassis.database import Transaction
from directory_service.query import Condition, SortKey


@dataclass(frozen=True, slots=True)
class Listing:
    """Which rows of a table a page is taken from, and in which order.

    Without `sort` the order is that of creation. Rows without a value to sort by come last when ascending and first
    when descending (RFC 7644 §3.4.2.3); rows with equal values are ordered by id.
    """

    table: str
    columns: tuple[Column[Any], ...]
    condition: Condition | None = None
    sort: SortKey | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Last:
    """The place of the last row of a page."""

    tie: int | str
    """Its place among rows with the same value: its id, and without a sort key its position."""
    value: Any = None
    """What the row was sorted by."""


def count_rows(tx: Transaction, connection_id: str, listing: Listing, *, after: Last | None = None) -> int:
    """Count the rows of a connection that satisfy the condition, all or those after a place."""
    where, parameters = _where(tx, connection_id, listing, after)
    return int(tx.execute(_plain(f"SELECT count(*) FROM {listing.table} WHERE {where}"), parameters).scalar_one())


def list_rows(
    tx: Transaction, connection_id: str, listing: Listing, *, after: Last | None, skip: int, limit: int
) -> Sequence[Row[Any]]:
    """Return up to `limit` rows after a place, having passed over `skip`; the last column is what they sort by."""
    where, parameters = _where(tx, connection_id, listing, after)
    order, key = _tie(tx, listing), _sort_key(listing)
    if listing.sort is not None:
        parameters |= {f"sort_{name}": value for name, value in listing.sort.parameters.items()}
        direction = "DESC" if listing.descending else "ASC"
        order = f"CASE WHEN {key} IS NULL THEN 1 ELSE 0 END {direction}, {key} {direction}, {order}"
    columns = ", ".join(f"{listing.table}.{column.name}" for column in listing.columns)
    statement = _select(
        f"SELECT {columns}, {key} AS sort_value FROM {listing.table} WHERE {where}"
        f" ORDER BY {order} LIMIT :limit OFFSET :skip",
        listing.columns,
    )
    return tx.execute(statement, {**parameters, "limit": limit, "skip": skip}).all()


def list_from_end(
    tx: Transaction, connection_id: str, listing: Listing, *, skip: int, limit: int
) -> Sequence[Row[Any]]:
    """Return up to `limit` rows of an unfiltered, unsorted listing, in its order, having passed over `skip` at its end.

    So the last page costs as little as the first.
    """
    columns = ", ".join(f"{listing.table}.{column.name}" for column in listing.columns)
    statement = _select(
        f"SELECT {columns}, NULL AS sort_value FROM {listing.table}"
        f" WHERE {listing.table}.connection_id = :connection_id"
        f" ORDER BY {listing.table}.position DESC LIMIT :limit OFFSET :skip",
        listing.columns,
    )
    rows = tx.execute(statement, {"connection_id": connection_id, "limit": limit, "skip": skip}).all()
    return rows[::-1]


@dataclass(frozen=True, slots=True)
class MergedLast:
    """The place of the last row of a page of two tables."""

    kind: int
    tie: int | str
    value: Any = None


def list_merged(
    tx: Transaction,
    connection_id: str,
    listings: Sequence[tuple[int, Listing]],
    *,
    after: MergedLast | None,
    skip: int,
    limit: int,
) -> Sequence[Row[Any]]:
    """Return (kind, position, sort_value) of up to `limit` rows of several sorted listings, merged.

    Rows with equal values are ordered by id. `kind` is what the listings come with.
    """
    parameters: dict[str, Any] = {"limit": limit, "skip": skip}
    parts: list[str] = []
    for kind, listing in listings:
        where, values = _where(tx, connection_id, listing, None)
        assert listing.sort is not None
        values |= {f"sort_{name}": value for name, value in listing.sort.parameters.items()}
        part = (
            f"SELECT {kind} AS kind, {listing.table}.position AS position, {_tie(tx, listing)} AS tie,"
            f" {_sort_key(listing)} AS sort_value"
            f" FROM {listing.table} WHERE {where}"
        )
        for name, value in values.items():  # each part has parameters of its own
            part = re.sub(rf":{name}\b", f":{listing.table}_{name}", part)
            parameters[f"{listing.table}_{name}"] = value
        parts.append(part)
    _, first = listings[0]
    key, tie = "sort_value", "tie"
    if tx.dialect == "postgresql":
        tie = 'tie COLLATE "C"'
        if first.sort is not None and first.sort.kind is str:
            key = 'sort_value COLLATE "C"'
    condition = "1 = 1"
    if after is not None:
        parameters["after_tie"] = after.tie
        if after.value is not None:
            parameters["after_value"] = after.value
        condition = _after(key, tie, after.value, first.descending)
    direction = "DESC" if first.descending else "ASC"
    statement = _plain(
        f"SELECT kind, position, sort_value FROM ({' UNION ALL '.join(parts)}) AS found WHERE {condition}"
        f" ORDER BY CASE WHEN sort_value IS NULL THEN 1 ELSE 0 END {direction}, {key} {direction}, {tie}"
        " LIMIT :limit OFFSET :skip"
    )
    return tx.execute(statement, parameters).all()


def rows_at(tx: Transaction, connection_id: str, listing: Listing, positions: Sequence[int]) -> dict[int, Row[Any]]:
    """Return the rows at positions, by position."""
    if not positions:
        return {}
    table = listing.columns[0].table
    statement = select(*listing.columns).where(
        table.c.connection_id == connection_id, table.c.position.in_(bindparam("positions", expanding=True))
    )
    return {row.position: row for row in tx.execute(statement, {"positions": list(positions)})}


def _sort_key(listing: Listing) -> str:
    # Its parameters are kept apart from the filter's.
    return "NULL" if listing.sort is None else listing.sort.sql.replace(":f", ":sort_f")


def _tie(tx: Transaction, listing: Listing) -> str:
    """Return what orders rows with equal values."""
    if listing.sort is None:
        return f"{listing.table}.position"
    return f"{listing.table}.id" if tx.dialect == "sqlite" else f'({listing.table}.id COLLATE "C")'


def _where(tx: Transaction, connection_id: str, listing: Listing, after: Last | None) -> tuple[str, dict[str, Any]]:
    where = f"{listing.table}.connection_id = :connection_id"
    parameters: dict[str, Any] = {"connection_id": connection_id}
    if listing.condition is not None:
        where += f" AND {listing.condition.sql}"
        parameters |= listing.condition.parameters
    if after is None:
        return where, parameters
    parameters["after_tie"] = after.tie
    if listing.sort is None:
        return f"{where} AND {_tie(tx, listing)} > :after_tie", parameters
    parameters |= {f"sort_{name}": value for name, value in listing.sort.parameters.items()}
    if after.value is not None:
        parameters["after_value"] = after.value
    beyond = _after(_sort_key(listing), _tie(tx, listing), after.value, listing.descending)
    return f"{where} AND ({beyond})", parameters


def _after(key: str, tie: str, value: Any, descending: bool) -> str:
    """Return the condition on what comes after a value, or after a place among those that have the same value."""
    if value is None:
        alike = f"{key} IS NULL AND {tie} > :after_tie"
        return f"({alike}) OR {key} IS NOT NULL" if descending else alike
    beyond = f"{key} {'<' if descending else '>'} :after_value"
    alike = f"{key} = :after_value AND {tie} > :after_tie"
    return f"{beyond} OR ({alike})" if descending else f"{beyond} OR ({alike}) OR {key} IS NULL"


@lru_cache(maxsize=1024)
def _select(sql: str, columns: tuple[Column[Any], ...]) -> TextualSelect:
    return text(sql).columns(*columns, text_column())


@lru_cache(maxsize=1024)
def _plain(sql: str) -> Any:
    return text(sql)


def text_column() -> Column[Any]:
    """Return the column of a sort value, of whatever type the database gives."""
    return Column("sort_value")
