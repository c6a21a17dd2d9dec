"""The provisioning log: what identity providers asked for, and how each request ended."""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from rollcall.directory.v1 import provisioning_log_service_pb2 as pb
from sqlalchemy import ColumnElement, Row, String, TextClause, bindparam, delete, select, text

from chassis.database import Transaction
from chassis.prepared import bind_list, is_listed
from directory_service.repository.inserts import insert_ignoring
from directory_service.repository.times import timestamp
from directory_service.tables import CONNECTIONS, PROVISIONING_LOG


def _insert_all() -> TextClause:
    """Return the statement that inserts on PostgreSQL: all at once 8 µs of the process an entry, one by one 34 µs."""
    names = ", ".join(column.name for column in PROVISIONING_LOG.c)
    typed = ", ".join(
        f"{column.name} {'text' if isinstance(column.type, String) else 'bigint'}" for column in PROVISIONING_LOG.c
    )
    return text(
        f"INSERT INTO {PROVISIONING_LOG.name} ({names}) SELECT {names} "
        f"FROM json_to_recordset(CAST(:rows AS json)) AS entry ({typed}) ON CONFLICT (entry_id) DO NOTHING"
    )


_INSERT_ALL = _insert_all()
_INSERT = insert_ignoring(PROVISIONING_LOG, ("entry_id",))["sqlite"]
_WORKSPACES = {
    dialect: select(CONNECTIONS.c.id, CONNECTIONS.c.workspace_id).where(is_listed(CONNECTIONS.c.id, "ids", dialect))
    for dialect in ("sqlite", "postgresql")
}


def insert_entries(tx: Transaction, entries: Sequence[pb.ProvisioningLogEntry]) -> None:
    """Insert entries, save those that are there already and those of connections that do not exist."""
    ids = bind_list(tx.dialect, list({entry.connection_id for entry in entries}))
    known = tx.execute(_WORKSPACES[tx.dialect], {"ids": ids})
    workspaces: dict[str, str] = {row.id: row.workspace_id for row in known}
    rows = [_row(entry, workspaces[entry.connection_id]) for entry in entries if entry.connection_id in workspaces]
    if rows and tx.dialect == "sqlite":
        tx.execute(_INSERT, rows)
    elif rows:
        tx.execute(_INSERT_ALL, {"rows": orjson.dumps(rows).decode()})


def _row(entry: pb.ProvisioningLogEntry, workspace_id: str) -> dict[str, Any]:
    time, duration = entry.time, entry.duration
    return {
        "entry_id": entry.entry_id,
        "connection_id": entry.connection_id,
        "workspace_id": workspace_id,
        "request_id": entry.request_id,
        "time_ms": time.seconds * 1000 + time.nanos // 1_000_000,
        "duration_us": duration.seconds * 1_000_000 + duration.nanos // 1000,
        "client_dialect": entry.client_dialect,
        "method": entry.method,
        "route": entry.route,
        "status": entry.status,
        "scim_type": entry.scim_type,
        "detail": entry.detail,
        "resource_kind": entry.resource_kind,
        "resource_id": entry.resource_id,
        "resource_version": entry.resource_version,
        "resource_count": entry.resource_count,
        "omitted_count": entry.omitted_count,
    }


def list_entries(
    tx: Transaction, request: pb.ListProvisioningLogEntriesRequest, *, before: str, since: str, limit: int
) -> list[pb.ProvisioningLogEntry]:
    """Return entries with ids below `before` (empty: any) and not below `since`, newest first."""
    table = PROVISIONING_LOG.c
    conditions: list[ColumnElement[bool]] = []
    if before:
        conditions.append(table.entry_id < before)
    if since:
        conditions.append(table.entry_id >= since)
    if request.failed_only:
        conditions.append(table.status >= 400)
    if request.request_id:
        conditions.append(table.request_id == request.request_id)
    connections = [request.connection_id] if request.connection_id else None
    if request.workspace_id:
        of_workspace = select(CONNECTIONS.c.id).where(CONNECTIONS.c.workspace_id == request.workspace_id)
        owned = list(tx.execute(of_workspace).scalars())
        connections = [one for one in owned if connections is None or one in connections]
    if connections is None:
        return [_message(row) for row in _page(tx, conditions, limit)]
    # Connection by connection, each along its index: a workspace has a few.
    pages = [_page(tx, [*conditions, table.connection_id == one], limit) for one in connections]
    merged = heapq.merge(*pages, key=lambda row: str(row.entry_id), reverse=True)
    return [_message(row) for row, _ in zip(merged, range(limit), strict=False)]


def _page(tx: Transaction, conditions: Iterable[ColumnElement[bool]], limit: int) -> Sequence[Row[Any]]:
    statement = select(PROVISIONING_LOG).where(*conditions).order_by(PROVISIONING_LOG.c.entry_id.desc()).limit(limit)
    return tx.execute(statement).all()


def _message(row: Row[Any]) -> pb.ProvisioningLogEntry:
    entry = pb.ProvisioningLogEntry(
        entry_id=row.entry_id,
        time=timestamp(row.time_ms),
        request_id=row.request_id,
        connection_id=row.connection_id,
        workspace_id=row.workspace_id,
        client_dialect=row.client_dialect,
        method=row.method,
        route=row.route,
        status=row.status,
        scim_type=row.scim_type,
        detail=row.detail,
        resource_kind=row.resource_kind,
        resource_id=row.resource_id,
        resource_version=row.resource_version,
        resource_count=row.resource_count,
        omitted_count=row.omitted_count,
    )
    entry.duration.FromMicroseconds(row.duration_us)
    return entry


_OLDEST = (
    select(PROVISIONING_LOG.c.entry_id)
    .where(PROVISIONING_LOG.c.entry_id < bindparam("before", type_=String()))
    .order_by(PROVISIONING_LOG.c.entry_id)
    .limit(bindparam("chunk"))
)
_DELETE_OLDEST = delete(PROVISIONING_LOG).where(PROVISIONING_LOG.c.entry_id.in_(_OLDEST.scalar_subquery()))


def delete_oldest(tx: Transaction, *, before: str, chunk: int) -> int:
    """Delete at most `chunk` of the entries with ids below `before`, the oldest first, and return how many."""
    return tx.execute(_DELETE_OLDEST, {"before": before, "chunk": chunk}).rowcount
