"""The outbox: events are rows, inserted in the transaction that makes the change, published afterwards by a `Relay`.

A service declares its table in its own metadata:

    class Outbox(OutboxColumns, DirectoryTable, table=True):
        __tablename__ = "outbox"
        __table_args__ = OUTBOX_TABLE_ARGS

The indexes come with the columns. Rows are kept, marked as sent, at least as long as the stream keeps its messages, so
that a lost stream can be rebuilt; then `prune` removes them.
"""

from __future__ import annotations

import datetime
import functools
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from google.protobuf.message import Message
from sqlalchemy import event
from sqlmodel import Field, SQLModel

from chassis.columns import Columns
from chassis.database import Database, Transaction, UtcDateTime
from chassis.identifiers import time_ordered_id
from chassis.prepared import insert_into
from chassis.request_context import request_context
from chassis.streams import PARTITIONS

OUTBOX_TABLE_ARGS: tuple[Any, ...] = ({"sqlite_autoincrement": True},)
"""Without AUTOINCREMENT SQLite gives the ids of deleted rows out again, and the order of ids is lost."""

_SUBJECT = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){3,}", re.ASCII)
_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

TableLike = sa.Table | type[SQLModel]


class OutboxColumns(Columns):
    """The columns of an outbox table; `sent_at` and `stream_sequence` are NULL until the relay has the broker's ack."""

    id: int | None = Field(default=None, primary_key=True, sa_type=_BIG)
    event_id: str = Field(unique=True, max_length=64)
    type: str
    subject: str
    source: str
    portal: str = ""
    connection_id: str
    workspace_id: str = ""
    aggregate_kind: str
    aggregate_id: str
    version: int = Field(sa_type=sa.BigInteger)
    sequence: int = Field(sa_type=sa.BigInteger)
    payload: bytes
    request_id: str = ""
    request: str = ""
    traceparent: str = ""
    created_at: datetime.datetime = Field(sa_type=UtcDateTime)
    sent_at: datetime.datetime | None = Field(default=None, sa_type=UtcDateTime)
    stream_sequence: int | None = Field(default=None, sa_type=sa.BigInteger)


@event.listens_for(OutboxColumns, "instrument_class", propagate=True)
def _add_indexes(mapper: Any, model: type) -> None:
    table = mapper.local_table
    unsent = table.c.sent_at.is_(None)
    sa.Index(f"ix_{table.name}_unsent", table.c.id, sqlite_where=unsent, postgresql_where=unsent)
    sa.Index(f"ix_{table.name}_aggregate", table.c.aggregate_id, table.c.version)
    sa.Index(f"ix_{table.name}_connection", table.c.connection_id, table.c.sequence)


@dataclass(frozen=True, slots=True)
class OutboxEvent:
    """An event to be appended; `subject` is its NATS subject, made by the service. `version` and `sequence` start at 1.

    Ids and subjects only: nothing of a person may stand anywhere but in `message`.
    """

    message: Message
    subject: str
    source: str
    connection_id: str
    aggregate_kind: str
    aggregate_id: str
    version: int
    sequence: int
    workspace_id: str = ""
    portal: str = ""
    event_id: str = ""


def append(
    tx: Transaction,
    table: TableLike,
    *,
    message: Message,
    subject: str,
    source: str,
    connection_id: str,
    aggregate_kind: str,
    aggregate_id: str,
    version: int,
    sequence: int,
    workspace_id: str = "",
    portal: str = "",
    event_id: str = "",
    now: datetime.datetime | None = None,
) -> str:
    """Append one event in the transaction that makes its change, and return the event's id.

    The aggregate's row must be locked and its version bumped before, so that ids and versions rise together. The
    request behind it comes from `request_context`. Raises ValueError for a subject, version or sequence that cannot be.
    """
    outbox_event = OutboxEvent(
        message=message,
        subject=subject,
        source=source,
        connection_id=connection_id,
        aggregate_kind=aggregate_kind,
        aggregate_id=aggregate_id,
        version=version,
        sequence=sequence,
        workspace_id=workspace_id,
        portal=portal,
        event_id=event_id,
    )
    return append_all(tx, table, [outbox_event], now=now)[0]


def append_all(
    tx: Transaction, table: TableLike, events: Iterable[OutboxEvent], *, now: datetime.datetime | None = None
) -> list[str]:
    """Append events in their order with one statement, and return their ids; see `append`."""
    events = list(events)
    for item in events:
        if _SUBJECT.fullmatch(item.subject) is None:
            raise ValueError(f"{item.subject!r} is no subject: tokens of letters, digits, `-` and `_`, joined by dots")
        if item.version < 1 or item.sequence < 1:
            raise ValueError("an event's version and sequence start at 1")
    created_at = now or datetime.datetime.now(datetime.UTC)
    request = request_context.get()
    rows = [
        {
            "event_id": item.event_id or time_ordered_id(),
            "type": item.message.DESCRIPTOR.full_name,
            "subject": item.subject,
            "source": item.source,
            "portal": item.portal,
            "connection_id": item.connection_id,
            "workspace_id": item.workspace_id,
            "aggregate_kind": item.aggregate_kind,
            "aggregate_id": item.aggregate_id,
            "version": item.version,
            "sequence": item.sequence,
            "payload": item.message.SerializeToString(),
            "request_id": request.request_id,
            "request": request.request,
            "traceparent": request.traceparent,
            "created_at": created_at,
        }
        for item in events
    ]
    if not rows:
        return []
    outbox = table_of(table)
    tx.execute(insert_into(outbox), rows if len(rows) > 1 else rows[0])
    tx.notify(notify_channel(outbox))
    return [str(row["event_id"]) for row in rows]


def partition_of(connection_id: str, partitions: int = PARTITIONS) -> int:
    """Give the partition of a connection, 0 to `partitions` − 1: stable across processes and releases."""
    return zlib.crc32(connection_id.encode()) % partitions


def fence_subject(subject: str) -> str:
    """Give the subject filter of all events of an event's aggregate: the action, third token from the end, is any.

    `directory.v1.3.MDM.user.created.<connection>.<user>` → `directory.v1.3.MDM.user.*.<connection>.<user>`.
    """
    tokens = subject.split(".")
    if len(tokens) < 4:
        raise ValueError(f"subject {subject!r} has no action token")
    tokens[-3] = "*"
    return ".".join(tokens)


def notify_channel(table: sa.Table) -> str:
    """Give the PostgreSQL NOTIFY channel on which appends to a table are told."""
    return f"rollcall_{table.name}"


def table_of(table: TableLike) -> sa.Table:
    """Give the SQLAlchemy table of a table or a SQLModel table class."""
    if isinstance(table, sa.Table):
        return table
    found = getattr(table, "__table__", None)
    if not isinstance(found, sa.Table):
        raise TypeError(f"{table!r} is not a table")
    return found


async def prune(db: Database, table: TableLike, older_than: datetime.datetime, chunk: int = 500) -> int:
    """Delete rows that were sent before `older_than`, in transactions of `chunk` rows; return how many.

    The newest row of an aggregate goes too: the relay needs it no longer once the stream has dropped its message.
    """
    outbox = table_of(table)
    removed = after = 0
    while True:
        # Looked for outside the write, a chunk of ids at a time: nobody waits behind a search through the whole table.
        look = sa.select(outbox.c.id, outbox.c.sent_at).where(outbox.c.id > after).order_by(outbox.c.id).limit(chunk)
        rows = await db.read(functools.partial(_all, look))
        old = [row.id for row in rows if row.sent_at is not None and row.sent_at < older_than]
        if not old:
            # Rows are sent in about the order of their ids: what follows is younger.
            return removed
        statement = sa.delete(outbox).where(outbox.c.id.between(old[0], old[-1]), outbox.c.sent_at < older_than)
        removed += await db.write(functools.partial(_count, statement))
        after = rows[-1].id


def _all(statement: sa.Select[Any], tx: Transaction) -> Sequence[sa.Row[Any]]:
    return tx.execute(statement).all()


def _count(statement: sa.Delete, tx: Transaction) -> int:
    return tx.execute(statement).rowcount


async def unsent_count(db: Database, table: TableLike) -> int:
    """Count the events that wait for the relay."""
    outbox = table_of(table)
    statement = sa.select(sa.func.count()).select_from(outbox).where(outbox.c.sent_at.is_(None))
    return await db.read(lambda tx: int(tx.execute(statement).scalar_one()))


def headers_of(row: Mapping[str, Any] | sa.RowMapping) -> dict[str, str]:
    """Give the headers of an outbox row: CloudEvents binary mode, and ours. Ids only, nothing of a person."""
    created: datetime.datetime = row["created_at"]
    headers = {
        "Nats-Msg-Id": row["event_id"],
        "ce-specversion": "1.0",
        "ce-id": row["event_id"],
        "ce-type": row["type"],
        "ce-source": row["source"],
        "ce-time": created.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "ce-subject": f"{row['aggregate_kind']}/{row['aggregate_id']}",
        "rollcall-version": str(row["version"]),
        "rollcall-sequence": str(row["sequence"]),
    }
    if row["request_id"]:
        headers["rollcall-request-id"] = row["request_id"]
    if row["traceparent"]:
        headers["traceparent"] = row["traceparent"]
    return headers
