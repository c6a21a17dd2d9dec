"""The tables of a consumer, as columns that each service makes into tables in its own metadata.

Two services may run in one process, so each keeps its tables in a registry of its own:

    class PortalTable(Columns, registry=sqlalchemy.orm.registry()):
        metadata = sqlalchemy.MetaData()

    class Inbox(InboxColumns, PortalTable, table=True):
        __tablename__ = "inbox"

    TABLES = DeliveryTables(inbox=Inbox, applied_versions=AppliedVersion, dead_letters=DeadLetter,
                            partition_leases=PartitionLease, effects=Effect)

The indexes come with the columns.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlmodel import Field

from chassis.columns import Columns
from chassis.database import UtcDateTime
from chassis.outbox import TableLike, table_of


class InboxColumns(Columns):
    """An event that was taken: exactly one row for each, written in the transaction of what it changed.

    `disposition` is `APPLIED`, `COVERED` (a state at least as new was there already) or `REPAIRED` (its change came
    with a repair from the directory).
    """

    event_id: str = Field(primary_key=True, max_length=64)
    event_type: str
    connection_id: str
    aggregate_kind: str
    aggregate_id: str
    version: int = Field(sa_type=sa.BigInteger)
    disposition: str
    applied_at: datetime.datetime = Field(sa_type=UtcDateTime)


class AppliedVersionColumns(Columns):
    """The last applied version of an aggregate; `deleted` makes the row a tombstone: nothing applies after it."""

    aggregate_kind: str = Field(primary_key=True, max_length=32)
    aggregate_id: str = Field(primary_key=True, max_length=64)
    connection_id: str
    version: int = Field(sa_type=sa.BigInteger)
    deleted: bool = False
    applied_at: datetime.datetime = Field(sa_type=UtcDateTime)


class DeadLetterColumns(Columns):
    """An event that could not be applied (`PARKED`), or waits behind one of the same aggregate (`QUEUED`)."""

    id: str = Field(primary_key=True, max_length=64)
    event_id: str = Field(unique=True, max_length=128)
    event_type: str
    event_time: datetime.datetime = Field(sa_type=UtcDateTime)
    subject: str
    portal: str = ""
    connection_id: str
    aggregate_kind: str
    aggregate_id: str
    version: int = Field(sa_type=sa.BigInteger)
    sequence: int = Field(sa_type=sa.BigInteger)
    request_id: str = ""
    traceparent: str = ""
    payload: bytes
    state: str
    error: str = ""
    attempts: int = 0
    created_at: datetime.datetime = Field(sa_type=UtcDateTime)


class PartitionLeaseColumns(Columns):
    """Who works a partition (`partition/07`), or that a replica lives (`replica/<owner>`); expiry in epoch seconds."""

    slot: str = Field(primary_key=True, max_length=96)
    owner: str
    expires_at: float = Field(sa_type=sa.Double)


class EffectColumns(Columns):
    """One consequence of one event; see `rollcall.delivery.v1.Effect`. `before` and `after` are JSON texts or empty."""

    effect_id: str = Field(primary_key=True, max_length=64)
    event_id: str
    event_type: str
    request_id: str = ""
    workspace_id: str
    connection_id: str
    user_id: str = ""
    user_name: str = ""
    rule: str = ""
    rule_version: int = Field(default=0, sa_type=sa.BigInteger)
    target_kind: str
    target_id: str = ""
    target_name: str = ""
    action: str
    before: str = ""
    after: str = ""
    outcome: str
    reason: str = ""
    repair: bool = False
    time: datetime.datetime = Field(sa_type=UtcDateTime)


@event.listens_for(InboxColumns, "instrument_class", propagate=True)
def _index_inbox(mapper: Any, model: type) -> None:
    table = mapper.local_table
    sa.Index(f"ix_{table.name}_applied_at", table.c.applied_at)


@event.listens_for(DeadLetterColumns, "instrument_class", propagate=True)
def _index_dead_letters(mapper: Any, model: type) -> None:
    table = mapper.local_table
    sa.Index(f"ix_{table.name}_aggregate", table.c.aggregate_kind, table.c.aggregate_id, table.c.version)
    sa.Index(f"ix_{table.name}_connection", table.c.connection_id, table.c.id)


@event.listens_for(EffectColumns, "instrument_class", propagate=True)
def _index_effects(mapper: Any, model: type) -> None:
    table = mapper.local_table
    # One effect per event, target and action; what has no target is told apart by its user.
    targeted, untargeted = table.c.target_id != "", table.c.target_id == ""
    sa.Index(
        f"uq_{table.name}_target", table.c.event_id, table.c.target_id, table.c.action,
        unique=True, sqlite_where=targeted, postgresql_where=targeted,
    )  # fmt: skip
    sa.Index(
        f"uq_{table.name}_user", table.c.event_id, table.c.user_id, table.c.action,
        unique=True, sqlite_where=untargeted, postgresql_where=untargeted,
    )  # fmt: skip
    sa.Index(f"ix_{table.name}_workspace", table.c.workspace_id, table.c.effect_id)
    # Few effects end otherwise than as APPLIED, and these are looked for.
    other = table.c.outcome != "APPLIED"
    sa.Index(
        f"ix_{table.name}_outcome", table.c.workspace_id, table.c.outcome, table.c.effect_id,
        sqlite_where=other, postgresql_where=other,
    )  # fmt: skip
    sa.Index(f"ix_{table.name}_target", table.c.workspace_id, table.c.target_id, table.c.effect_id)
    sa.Index(f"ix_{table.name}_target_name", table.c.workspace_id, table.c.target_name, table.c.effect_id)
    sa.Index(f"ix_{table.name}_user", table.c.workspace_id, table.c.user_id, table.c.effect_id)
    sa.Index(f"ix_{table.name}_request", table.c.workspace_id, table.c.request_id, table.c.effect_id)
    sa.Index(f"ix_{table.name}_user_name", table.c.workspace_id, table.c.user_name, table.c.effect_id)


@dataclass(frozen=True, slots=True)
class DeliveryTables:
    """A service's delivery tables: SQLModel table classes or SQLAlchemy tables."""

    inbox: TableLike
    applied_versions: TableLike
    dead_letters: TableLike
    partition_leases: TableLike
    effects: TableLike

    def resolved(self) -> ResolvedTables:
        """Give the SQLAlchemy tables."""
        return ResolvedTables(
            table_of(self.inbox),
            table_of(self.applied_versions),
            table_of(self.dead_letters),
            table_of(self.partition_leases),
            table_of(self.effects),
        )


@dataclass(frozen=True, slots=True)
class ResolvedTables:
    """The same as SQLAlchemy tables."""

    inbox: sa.Table
    applied_versions: sa.Table
    dead_letters: sa.Table
    partition_leases: sa.Table
    effects: sa.Table
