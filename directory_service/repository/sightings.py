"""The attribute history: what a connection has ever received."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rollcall.directory.v1 import connection_service_pb2 as pb
from sqlalchemy import Executable, Row, bindparam, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from chassis.database import Transaction
from directory_service.repository.times import timestamp
from directory_service.tables import ATTRIBUTE_SIGHTINGS, KIND_GROUP, KIND_USER

_KEY = ("connection_id", "kind", "namespace", "key")


def _insert() -> dict[str, Executable]:
    statements: dict[str, Executable] = {}
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql)):
        statement = dialect.insert(ATTRIBUTE_SIGHTINGS)
        forms = ATTRIBUTE_SIGHTINGS.c.forms.bitwise_or(statement.excluded.forms)
        statements[name] = statement.on_conflict_do_update(index_elements=_KEY, set_={"forms": forms})
    return statements


_INSERT = _insert()


def insert_sightings(
    tx: Transaction, connection_id: str, keys: Iterable[tuple[str, str, int]], now_ms: int, *, kind: int
) -> None:
    """Note (namespace, key, forms) as seen of users or groups; known ones gain forms. Counts come by `add_counts`."""
    rows = [
        {
            "connection_id": connection_id,
            "kind": kind,
            "namespace": namespace,
            "key": key,
            "forms": forms,
            "first_seen_ms": now_ms,
            "last_seen_ms": now_ms,
            "count": 0,
        }
        for namespace, key, forms in sorted(keys)
    ]
    if rows:
        tx.execute(_INSERT[tx.dialect], rows)


_ADD = (
    update(ATTRIBUTE_SIGHTINGS)
    .where(
        ATTRIBUTE_SIGHTINGS.c.connection_id == bindparam("connection"),
        ATTRIBUTE_SIGHTINGS.c.kind == KIND_USER,
        ATTRIBUTE_SIGHTINGS.c.namespace == bindparam("in_namespace"),
        ATTRIBUTE_SIGHTINGS.c.key == bindparam("of_key"),
    )
    .values(count=ATTRIBUTE_SIGHTINGS.c.count + bindparam("more"), last_seen_ms=bindparam("seen_ms"))
)


def add_counts(tx: Transaction, counts: Mapping[tuple[str, str, str], tuple[int, int]]) -> None:
    """Add to (connection, namespace, key) a number of sightings and the time of the last, in one order of locks."""
    rows = [
        {"connection": connection_id, "in_namespace": namespace, "of_key": key, "more": count, "seen_ms": last_ms}
        for (connection_id, namespace, key), (count, last_ms) in sorted(counts.items())
    ]
    if rows:
        tx.execute(_ADD, rows)


def list_sightings(tx: Transaction, connection_id: str) -> list[pb.AttributeSighting]:
    """Return the attribute history of a connection's users, by namespace and key."""
    # A row has a method `count`, which hides the column.
    statement = (
        select(ATTRIBUTE_SIGHTINGS, ATTRIBUTE_SIGHTINGS.c.count.label("sightings"))
        .where(ATTRIBUTE_SIGHTINGS.c.connection_id == connection_id, ATTRIBUTE_SIGHTINGS.c.kind == KIND_USER)
        .order_by(ATTRIBUTE_SIGHTINGS.c.namespace, ATTRIBUTE_SIGHTINGS.c.key)
    )
    return [
        pb.AttributeSighting(
            namespace=row.namespace,
            key=row.key,
            first_seen_time=timestamp(row.first_seen_ms),
            last_seen_time=timestamp(row.last_seen_ms),
            count=row.sightings,
        )
        for row in tx.execute(statement)
    ]


def list_extension_sightings(tx: Transaction, connection_id: str, *, core_urn: str, limit: int) -> Sequence[Row[Any]]:
    """Return what was received of schemas other than the core one, of users and groups, the earliest first."""
    statement = (
        select(
            ATTRIBUTE_SIGHTINGS.c.namespace,
            ATTRIBUTE_SIGHTINGS.c.key,
            ATTRIBUTE_SIGHTINGS.c.forms,
            (ATTRIBUTE_SIGHTINGS.c.kind == KIND_GROUP).label("of_group"),
        )
        .where(ATTRIBUTE_SIGHTINGS.c.connection_id == connection_id, ATTRIBUTE_SIGHTINGS.c.namespace != core_urn)
        .order_by(ATTRIBUTE_SIGHTINGS.c.first_seen_ms, ATTRIBUTE_SIGHTINGS.c.namespace, ATTRIBUTE_SIGHTINGS.c.key)
        .limit(limit)
    )
    return tx.execute(statement).all()


def delete_sightings(tx: Transaction, connection_id: str) -> None:
    """Forget the attribute history of a connection."""
    tx.execute(delete(ATTRIBUTE_SIGHTINGS).where(ATTRIBUTE_SIGHTINGS.c.connection_id == connection_id))
