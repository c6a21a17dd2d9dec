"""What is left of deleted resources: the version that each had last."""

from sqlalchemy import insert, select

from chassis.database import Transaction
from directory_service.tables import TOMBSTONES

_INSERT_TOMBSTONE = insert(TOMBSTONES)


def insert_tombstone(
    tx: Transaction, connection_id: str, resource_id: str, *, kind: int, version: int, now_ms: int
) -> None:
    """Keep the version of a deleted resource's last event."""
    tx.execute(
        _INSERT_TOMBSTONE,
        {
            "id": resource_id,
            "kind": kind,
            "connection_id": connection_id,
            "version": version,
            "deleted_ms": now_ms,
        },
    )


def get_tombstone(tx: Transaction, connection_id: str, resource_id: str, kind: int) -> int | None:
    """Return the version of a deleted resource's last event."""
    statement = select(TOMBSTONES.c.version).where(
        TOMBSTONES.c.id == resource_id, TOMBSTONES.c.connection_id == connection_id, TOMBSTONES.c.kind == kind
    )
    return tx.execute(statement).scalar()
