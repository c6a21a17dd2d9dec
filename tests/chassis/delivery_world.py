"""A small directory and a small consumer, with real tables, for the tests of delivery."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rollcall.directory.v1 import events_pb2, user_pb2
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from chassis import effects, outbox
from chassis.consumer import Consumer, Event, RepairUnit
from chassis.database import Database, Transaction
from chassis.delivery_tables import (
    AppliedVersionColumns,
    DeadLetterColumns,
    DeliveryTables,
    EffectColumns,
    InboxColumns,
    PartitionLeaseColumns,
)
from chassis.leadership import FileLeaderLock
from chassis.outbox import OUTBOX_TABLE_ARGS, OutboxColumns
from chassis.relay import Relay
from chassis.streams import StreamSettings

STREAM = StreamSettings(name="DIRECTORY", prefix="directory.v1")


class SourceTable(SQLModel, registry=registry()):
    metadata = sa.MetaData()


class Outbox(OutboxColumns, SourceTable, table=True):
    __tablename__ = "outbox"
    __table_args__ = OUTBOX_TABLE_ARGS


class SourceUser(SourceTable, table=True):
    __tablename__ = "user"
    id: str = Field(primary_key=True)
    connection_id: str
    name: str
    version: int
    deleted: bool = False


class SourceConnection(SourceTable, table=True):
    __tablename__ = "connection"
    id: str = Field(primary_key=True)
    sequence: int


class SinkTable(SQLModel, registry=registry()):
    metadata = sa.MetaData()


class Inbox(InboxColumns, SinkTable, table=True):
    __tablename__ = "inbox"


class AppliedVersion(AppliedVersionColumns, SinkTable, table=True):
    __tablename__ = "applied_version"


class DeadLetter(DeadLetterColumns, SinkTable, table=True):
    __tablename__ = "dead_letter"


class PartitionLease(PartitionLeaseColumns, SinkTable, table=True):
    __tablename__ = "partition_lease"


class Effect(EffectColumns, SinkTable, table=True):
    __tablename__ = "effect"


class SinkUser(SinkTable, table=True):
    __tablename__ = "user"
    id: str = Field(primary_key=True)
    name: str
    version: int


class SinkLog(SinkTable, table=True):
    """Every application of an event, in the order of applying: what a handler really did."""

    __tablename__ = "log"
    __table_args__ = OUTBOX_TABLE_ARGS
    id: int | None = Field(default=None, primary_key=True)
    event_id: str
    aggregate_id: str
    connection_id: str
    version: int
    sequence: int
    repair: bool


TABLES = DeliveryTables(
    inbox=Inbox,
    applied_versions=AppliedVersion,
    dead_letters=DeadLetter,
    partition_leases=PartitionLease,
    effects=Effect,
)

USER = SourceUser.__table__
CONNECTION = SourceConnection.__table__
OUTBOX = Outbox.__table__
SINK_USER = SinkUser.__table__
LOG = SinkLog.__table__

_KINDS = {
    "created": events_pb2.UserCreated,
    "updated": events_pb2.UserUpdated,
    "deleted": events_pb2.UserDeleted,
}


def new_id() -> str:
    return str(uuid.uuid4())


@dataclass
class Source:
    """A directory of users that are created, updated and deleted."""

    db: Database

    async def create(self, connection_id: str, name: str = "a@example.com", user_id: str = "") -> str:
        user_id = user_id or new_id()
        await self.db.write(lambda tx: self._change(tx, connection_id, user_id, "created", name), key=connection_id)
        return user_id

    async def update(self, connection_id: str, user_id: str, name: str) -> None:
        await self.db.write(lambda tx: self._change(tx, connection_id, user_id, "updated", name), key=connection_id)

    async def delete(self, connection_id: str, user_id: str) -> None:
        await self.db.write(lambda tx: self._change(tx, connection_id, user_id, "deleted", ""), key=connection_id)

    def _change(self, tx: Transaction, connection_id: str, user_id: str, action: str, name: str) -> None:
        lock = sa.select(CONNECTION.c.sequence).where(CONNECTION.c.id == connection_id)
        sequence = tx.execute(lock.with_for_update() if tx.dialect == "postgresql" else lock).scalar()
        if sequence is None:
            sequence = 0
            tx.execute(CONNECTION.insert(), {"id": connection_id, "sequence": 0})
        sequence += 1
        tx.execute(sa.update(CONNECTION).where(CONNECTION.c.id == connection_id).values(sequence=sequence))
        if action == "created":
            version = 1
            tx.execute(
                USER.insert(),
                {"id": user_id, "connection_id": connection_id, "name": name, "version": 1, "deleted": False},
            )
        else:
            version = tx.execute(sa.select(USER.c.version).where(USER.c.id == user_id)).scalar_one() + 1
            values: dict[str, Any] = {"version": version, "deleted": action == "deleted"}
            if action == "updated":
                values["name"] = name
            tx.execute(sa.update(USER).where(USER.c.id == user_id).values(**values))
        user = user_pb2.User(id=user_id, connection_id=connection_id, user_name=name, version=version)
        outbox.append(
            tx,
            Outbox,
            message=_KINDS[action](origin=events_pb2.Origin(connection_id=connection_id, portal="MDM"), user=user),
            subject=f"directory.v1.{outbox.partition_of(connection_id)}.MDM.user.{action}.{connection_id}.{user_id}",
            source=f"/directory/connections/{connection_id}",
            connection_id=connection_id,
            aggregate_kind="user",
            aggregate_id=user_id,
            version=version,
            sequence=sequence,
            portal="MDM",
        )

    async def sent(self) -> list[sa.Row[Any]]:
        return await self.db.read(
            lambda tx: tx.execute(sa.select(OUTBOX).where(OUTBOX.c.sent_at.is_not(None)).order_by(OUTBOX.c.id)).all()
        )

    async def all_sent(self) -> bool:
        return await outbox.unsent_count(self.db, Outbox) == 0

    async def repair(self, event: Event) -> RepairUnit:
        """Answer a repair as a service's own repair function does: read the state, hand back how to apply it."""
        row = await self.db.read(lambda tx: tx.execute(sa.select(USER).where(USER.c.id == event.aggregate_id)).first())
        if row is None or row.deleted:
            return RepairUnit(
                version=event.version if row is None else row.version,
                apply=lambda tx, repaired: _remove(tx, repaired),
                deleted=True,
            )
        return RepairUnit(version=row.version, apply=lambda tx, repaired: _store(tx, repaired, row.name, row.version))


def _store(tx: Transaction, event: Event, name: str, version: int) -> None:
    changed = tx.execute(
        sa.update(SINK_USER).where(SINK_USER.c.id == event.aggregate_id).values(name=name, version=version)
    ).rowcount
    if not changed:
        tx.execute(SINK_USER.insert(), {"id": event.aggregate_id, "name": name, "version": version})
    _log(tx, event, version)


def _remove(tx: Transaction, event: Event) -> None:
    tx.execute(sa.delete(SINK_USER).where(SINK_USER.c.id == event.aggregate_id))
    _log(tx, event, event.version)


def _log(tx: Transaction, event: Event, version: int) -> None:
    tx.execute(
        LOG.insert(),
        {
            "event_id": event.id,
            "aggregate_id": event.aggregate_id,
            "connection_id": event.connection_id,
            "version": version,
            "sequence": event.sequence,
            "repair": event.repair,
        },
    )
    effects.record(
        tx,
        Effect,
        event,
        workspace_id="w",
        connection_id=event.connection_id,
        user_id=event.aggregate_id,
        user_name="",
        rule="on_create",
        rule_version=1,
        target_kind="EMPLOYEE",
        target_id=event.aggregate_id,
        target_name="",
        action="SET_NAME",
        before=None,
        after={"version": version},
        outcome="APPLIED",
    )


class Sink:
    """A service that keeps a copy of the users, and a log of everything it applied."""

    def __init__(self, db: Database, repair: Callable[[Event], Awaitable[RepairUnit]]) -> None:
        self.db = db
        self.repair = repair
        self.poison: set[str] = set()
        self.before_handler: Callable[[Event], None] = lambda event: None

    def on_change(self, tx: Transaction, event: Event) -> None:
        self.before_handler(event)
        if event.id in self.poison or event.aggregate_id in self.poison:
            raise ValueError("poisoned for the test")
        user = event.message.user  # type: ignore[attr-defined]
        if event.type.endswith("Deleted"):
            _remove(tx, event)
        else:
            _store(tx, event, user.user_name, user.version)

    def consumer(self, servers: str, **options: Any) -> Consumer:
        handlers = {kind.DESCRIPTOR.full_name: (kind, self.on_change) for kind in _KINDS.values()}
        options.setdefault("attempts", 2)
        options.setdefault("lease_seconds", 3)
        options.setdefault("provision", True)
        return Consumer(
            self.db,
            service="sink",
            servers=servers,
            stream=STREAM,
            tables=TABLES,
            handlers=handlers,
            repair=self.repair,
            **options,
        )

    async def log(self) -> list[sa.Row[Any]]:
        return await self.db.read(lambda tx: tx.execute(sa.select(LOG).order_by(LOG.c.id)).all())

    async def users(self) -> dict[str, tuple[str, int]]:
        rows = await self.db.read(lambda tx: tx.execute(sa.select(SINK_USER)).all())
        return {row.id: (row.name, row.version) for row in rows}

    async def rows(self, model: type[SQLModel]) -> list[sa.Row[Any]]:
        table = model.__table__  # type: ignore[attr-defined]
        return await self.db.read(lambda tx: tx.execute(sa.select(table)).all())


@contextlib.asynccontextmanager
async def open_database(url: str, metadata: sa.MetaData, name: str) -> AsyncIterator[Database]:
    db = Database(url, name=name)
    await db.start()
    try:
        await db.write(lambda tx: metadata.create_all(tx.connection))
        yield db
    finally:
        await db.stop()


@contextlib.asynccontextmanager
async def running(thing: Relay | Consumer) -> AsyncIterator[asyncio.Task[None]]:
    """Run a relay or a consumer as a task; it is cancelled at the end, and its error is raised."""
    task = asyncio.create_task(thing.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def make_relay(db: Database, servers: str, **options: Any) -> Relay:
    options.setdefault("provision", True)
    options.setdefault("poll", 0.2)
    return Relay(db, Outbox, servers=servers, stream=STREAM, **options)


class AlwaysLeader:
    """A lock that excludes nobody: what a leader believes that was paused while another took over."""

    async def acquire(self) -> bool:
        return True

    async def verify(self) -> bool:
        return True

    async def release(self) -> None:
        return


async def eventually(condition: Callable[[], Any], *, timeout: float = 20.0, what: str = "the condition") -> None:
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert time.monotonic() < deadline, f"{what} did not come true within {timeout} s"
        await asyncio.sleep(0.01)


def utc(**ago: float) -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) - datetime.timedelta(**ago)


def lock_file(path: Path) -> FileLeaderLock:
    return FileLeaderLock(str(path))
