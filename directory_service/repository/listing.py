"""Pages of users and of groups: filtered, sorted, in a stable order (AIP-158, RFC 7644 §3.4.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Column, Row, TextualSelect, text

from chassis.database import Transaction
from directory_service.query import Condition, SortKey


@dataclass(frozen=True, slots=True)
class Listing:
    """Which rows of a table a page is taken from, and in which order.

    Without `sort` the order is that of creation. Rows without a value to sort by come last when ascending and first
    when descending (RFC 7644 §3.4.2.3); rows with equal values keep the order of creation.
    """

    table: str
    columns: tuple[Column[Any], ...]
    condition: Condition | None = None
    sort: SortKey | None = None
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Last:
    """The place of the last row of a page."""

    position: int
    value: Any = None
    """What the row was sorted by."""


def count_rows(tx: Transaction, connection_id: str, listing: Listing) -> int:
    """Count the rows of a connection that satisfy the condition."""
    where, parameters = _where(connection_id, listing)
    return int(tx.execute(_count(f"SELECT count(*) FROM {listing.table} WHERE {where}"), parameters).scalar_one())


def list_rows(
    tx: Transaction, connection_id: str, listing: Listing, *, after: Last | None, skip: int, limit: int
) -> Sequence[Row[Any]]:
    """Return up to `limit` rows after a place, having passed over `skip`; the last column is what they sort by."""
    where, parameters = _where(connection_id, listing)
    order = f"{listing.table}.position"
    if after is not None:
        parameters["after_position"] = after.position
    if listing.sort is None:
        if after is not None:
            where += f" AND {order} > :after_position"
    else:
        parameters |= {f"sort_{name}": value for name, value in listing.sort.parameters.items()}
        key = listing.sort.sql.replace(":f", ":sort_f")  # apart from the filter's
        if after is not None:
            where += f" AND ({_after(key, order, after, listing.descending)})"
            if after.value is not None:
                parameters["after_value"] = after.value
        direction = "DESC" if listing.descending else "ASC"
        order = f"CASE WHEN {key} IS NULL THEN 1 ELSE 0 END {direction}, {key} {direction}, {order}"
    columns = ", ".join(f"{listing.table}.{column.name}" for column in listing.columns)
    value = "NULL" if listing.sort is None else key
    statement = _select(
        f"SELECT {columns}, {value} AS sort_value FROM {listing.table} WHERE {where}"
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


def _where(connection_id: str, listing: Listing) -> tuple[str, dict[str, Any]]:
    where = f"{listing.table}.connection_id = :connection_id"
    parameters: dict[str, Any] = {"connection_id": connection_id}
    if listing.condition is not None:
        where += f" AND {listing.condition.sql}"
        parameters |= listing.condition.parameters
    return where, parameters


def _after(key: str, position: str, after: Last, descending: bool) -> str:
    if after.value is None:
        alike = f"{key} IS NULL AND {position} > :after_position"
        return f"({alike}) OR {key} IS NOT NULL" if descending else alike
    beyond = f"{key} {'<' if descending else '>'} :after_value"
    alike = f"{key} = :after_value AND {position} > :after_position"
    return f"{beyond} OR ({alike})" if descending else f"{beyond} OR ({alike}) OR {key} IS NULL"


@lru_cache(maxsize=1024)
def _select(sql: str, columns: tuple[Column[Any], ...]) -> TextualSelect:
    return text(sql).columns(*columns, text_column())


@lru_cache(maxsize=1024)
def _count(sql: str) -> Any:
    return text(sql)


def text_column() -> Column[Any]:
    """Return the column of a sort value, of whatever type the database gives."""
    return Column("sort_value")
