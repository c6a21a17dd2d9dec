"""The attribute history: what a connection has ever received."""

from collections.abc import Iterable, Mapping

from rollcall.directory.v1 import connection_service_pb2 as pb
from sqlalchemy import bindparam, delete, select, update

from chassis.database import Transaction
from directory_service.repository.inserts import insert_ignoring
from directory_service.repository.times import timestamp
from directory_service.tables import ATTRIBUTE_SIGHTINGS

_INSERT = insert_ignoring(ATTRIBUTE_SIGHTINGS, ("connection_id", "namespace", "key"))


def insert_sightings(tx: Transaction, connection_id: str, keys: Iterable[tuple[str, str]], now_ms: int) -> None:
    """Note (namespace, key) pairs as seen; those known already stay as they are. Counts come by `add_counts`."""
    rows = [
        {
            "connection_id": connection_id,
            "namespace": namespace,
            "key": key,
            "first_seen_ms": now_ms,
            "last_seen_ms": now_ms,
            "count": 0,
        }
        for namespace, key in sorted(keys)
    ]
    if rows:
        tx.execute(_INSERT[tx.dialect], rows)


_ADD = (
    update(ATTRIBUTE_SIGHTINGS)
    .where(
        ATTRIBUTE_SIGHTINGS.c.connection_id == bindparam("connection"),
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
    """Return the attribute history of a connection, by namespace and key."""
    # A row has a method `count`, which hides the column.
    statement = (
        select(ATTRIBUTE_SIGHTINGS, ATTRIBUTE_SIGHTINGS.c.count.label("sightings"))
        .where(ATTRIBUTE_SIGHTINGS.c.connection_id == connection_id)
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


def delete_sightings(tx: Transaction, connection_id: str) -> None:
    """Forget the attribute history of a connection."""
    tx.execute(delete(ATTRIBUTE_SIGHTINGS).where(ATTRIBUTE_SIGHTINGS.c.connection_id == connection_id))
