"""The places of walks by index, see `directory_service.walks`."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from sqlalchemy import Executable, bindparam, delete, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite

from chassis.database import Transaction
from directory_service.repository.listing import Last
from directory_service.tables import WALK_PLACES

_KEY = ("connection_id", "walk", "skip")
_COLUMNS = WALK_PLACES.c


@dataclass(frozen=True, slots=True)
class Row:
    """A place as it is kept."""

    last: Last
    sequence: int
    total: int


_FIND = select(_COLUMNS.last, _COLUMNS.sequence, _COLUMNS.total).where(
    _COLUMNS.connection_id == bindparam("of_connection"),
    _COLUMNS.walk == bindparam("of_walk"),
    _COLUMNS.skip == bindparam("at"),
    _COLUMNS.expires_ms > bindparam("now_ms"),
)


def find_place(tx: Transaction, connection_id: str, walk: bytes, skip: int, now_ms: int) -> Row | None:
    """Return the place of a walk at an index, unless its time is over."""
    row = tx.execute(
        _FIND, {"of_connection": connection_id, "of_walk": walk, "at": skip, "now_ms": now_ms}
    ).one_or_none()
    if row is None:
        return None
    tie, value = orjson.loads(row.last)
    return Row(Last(tie, value), row.sequence, row.total)


def _note() -> Mapping[str, Executable]:
    statements: dict[str, Executable] = {}
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql)):
        statement = dialect.insert(WALK_PLACES)
        new = {column.name: statement.excluded[column.name] for column in _COLUMNS if column.name not in _KEY}
        statements[name] = statement.on_conflict_do_update(index_elements=_KEY, set_=new)
    return statements


_NOTE = _note()


def note_place(
    tx: Transaction,
    connection_id: str,
    walk: bytes,
    *,
    skip: int,
    last: Last,
    sequence: int,
    total: int,
    expires_ms: int,
) -> None:
    """Keep the place of a walk at an index, in place of one from before."""
    tx.execute(
        _NOTE[tx.dialect],
        {
            "connection_id": connection_id,
            "walk": walk,
            "skip": skip,
            "last": orjson.dumps((last.tie, last.value)).decode(),
            "sequence": sequence,
            "total": total,
            "expires_ms": expires_ms,
        },
    )


_OVER = select(_COLUMNS.connection_id, _COLUMNS.walk, _COLUMNS.skip).where(_COLUMNS.expires_ms <= bindparam("now_ms"))
_DELETE = delete(WALK_PLACES).where(
    tuple_(_COLUMNS.connection_id, _COLUMNS.walk, _COLUMNS.skip).in_(
        _OVER.order_by(_COLUMNS.expires_ms).limit(bindparam("chunk"))
    )
)


def delete_places(tx: Transaction, now_ms: int, chunk: int) -> int:
    """Delete at most `chunk` places whose time is over; return how many."""
    return tx.execute(_DELETE, {"now_ms": now_ms, "chunk": chunk}).rowcount
