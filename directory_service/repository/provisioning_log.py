"""The provisioning log: what identity providers asked for, and how each request ended."""

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from rollcall.directory.v1 import provisioning_log_service_pb2 as pb
from sqlalchemy import (
    ColumnElement,
    Row,
    String,
    Subquery,
    TextClause,
    bindparam,
    delete,
    func,
    literal,
    literal_column,
    select,
    text,
    tuple_,
)

from chassis.database import Transaction
from chassis.prepared import bind_list, is_listed
from directory_service.repository.inserts import insert_ignoring
from directory_service.repository.times import timestamp
from directory_service.tables import CONNECTIONS, PROVISIONING_LOG

_BEYOND = "g"
"""What every id is before: ids are of hexadecimal digits."""


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
        "start_index": entry.start_index,
        "listed_count": entry.listed_count,
        "total_count": entry.total_count,
    }


def list_entries(
    tx: Transaction, request: pb.ListProvisioningLogEntriesRequest, *, before: str, since: str, limit: int
) -> list[pb.ProvisioningLogEntry]:
    """Return entries with ids below `before` (empty: any) and not below `since`, newest first."""
    table = PROVISIONING_LOG.c
    conditions: list[ColumnElement[bool]] = []
    if request.failed_only:
        # In words of the statement, for the indexes of failed requests are found by them.
        conditions.append(table.status >= literal_column("400"))
    if request.request_id:
        conditions.append(table.request_id == request.request_id)
    if request.resource_id:
        conditions += [table.resource_id == request.resource_id, table.resource_id != literal_column("''")]
    connections = [request.connection_id] if request.connection_id else None
    if request.workspace_id:
        of_workspace = select(CONNECTIONS.c.id).where(CONNECTIONS.c.workspace_id == request.workspace_id)
        owned = list(tx.execute(of_workspace).scalars())
        connections = [one for one in owned if connections is None or one in connections]
    if connections is None or request.request_id or request.resource_id:
        if connections is not None:
            conditions.append(table.connection_id.in_(connections))
        if before:
            conditions.append(table.entry_id < before)
        if since:
            conditions.append(table.entry_id >= since)
        return [_message(row) for row in _page(tx, conditions, (table.entry_id.desc(),), limit)]
    # Connection by connection, each along its index: a workspace has a few. Stated as a range, in the order of the
    # index: told the connection and the order of ids, PostgreSQL may walk through the entries of all the others.
    key, order = tuple_(table.connection_id, table.entry_id), (table.connection_id.desc(), table.entry_id.desc())
    pages = []
    for one in connections:
        first, beyond = tuple_(literal(one), literal(since)), tuple_(literal(one), literal(before or _BEYOND))
        pages.append(_page(tx, [*conditions, key >= first, key < beyond], order, limit))
    merged = heapq.merge(*pages, key=lambda row: str(row.entry_id), reverse=True)
    return [_message(row) for row, _ in zip(merged, range(limit), strict=False)]


def _page(
    tx: Transaction, conditions: Iterable[ColumnElement[bool]], order: Iterable[ColumnElement[Any]], limit: int
) -> Sequence[Row[Any]]:
    return tx.execute(select(PROVISIONING_LOG).where(*conditions).order_by(*order).limit(limit)).all()


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
        start_index=row.start_index,
        listed_count=row.listed_count,
        total_count=row.total_count,
    )
    entry.duration.FromMicroseconds(row.duration_us)
    return entry


SUMMARIZED = 2_000
"""Requests that a summary looks at."""
SUMMARIZED_FAILURES = 500
"""Failed requests that a summary looks at."""
MAX_FAILURES = 20
"""Kinds of failures that a summary names."""
SLOW_US = 20_000_000
LISTED_AT_LEAST = 3
"""Resources from which on a page counts as part of a walk: who tests a connector asks for two."""
_HOUR_MS = 3_600_000


def summarize(tx: Transaction, connection_id: str, *, since: str) -> pb.ProvisioningLogSummary:
    """Say what the newest requests of a connection come to, those with ids not below `since` (empty: any)."""
    table = PROVISIONING_LOG.c
    conditions = [table.connection_id == connection_id]
    if since:
        conditions.append(table.entry_id >= since)
    # What is looked at, and nothing besides: the database makes a table of it for each question.
    looked_at = (
        table.entry_id, table.method, table.route, table.status, table.time_ms, table.duration_us,
        table.omitted_count, table.start_index, table.listed_count, table.total_count,
    )  # fmt: skip
    newest = select(*looked_at).where(*conditions).order_by(table.entry_id.desc()).limit(SUMMARIZED).subquery("newest")
    of = newest.c
    totals = tx.execute(
        select(
            func.count().label("requests"),
            func.min(of.time_ms).label("first_ms"),
            func.max(of.time_ms).label("last_ms"),
            func.coalesce(func.sum(of.omitted_count), 0).label("omitted"),
            func.count().filter(of.status == 429).label("limited"),
            func.count().filter(of.duration_us >= SLOW_US).label("slow"),
            func.coalesce(func.max(of.duration_us), 0).label("longest_us"),
            func.count().filter(of.listed_count < of.total_count).label("listed"),
        )
    ).one()
    summary = pb.ProvisioningLogSummary(
        request_count=totals.requests,
        omitted_count=int(totals.omitted),
        limited_count=totals.limited,
        slow_count=totals.slow,
        failures=_failures(tx, conditions),
    )
    if totals.requests:
        summary.first_time.CopyFrom(timestamp(totals.first_ms))
        summary.last_time.CopyFrom(timestamp(totals.last_ms))
    summary.longest_duration.FromMicroseconds(totals.longest_us)
    if totals.limited:
        summary.longest_limited_run = _longest_run(tx, newest)
    if totals.listed:
        summary.lists.extend(_lists(tx, newest))
    return summary


def _failures(tx: Transaction, conditions: Iterable[ColumnElement[bool]]) -> list[pb.FailureSummary]:
    table = PROVISIONING_LOG.c
    failed = (
        select(PROVISIONING_LOG)
        # In words of the statement, for the index of failed requests is found by them.
        .where(*conditions, table.status >= literal_column("400"), table.status != 429)
        .order_by(table.entry_id.desc())
        .limit(SUMMARIZED_FAILURES)
        .subquery("failed")
    )
    alike = (failed.c.method, failed.c.route, failed.c.status, failed.c.scim_type, failed.c.detail)
    statement = (
        select(
            *alike,
            func.count().label("failures"),
            func.min(failed.c.time_ms).label("first_ms"),
            func.max(failed.c.time_ms).label("last_ms"),
            func.max(failed.c.entry_id).label("last_entry_id"),
        )
        .group_by(*alike)
        .order_by(func.count().desc(), func.max(failed.c.entry_id).desc())
        .limit(MAX_FAILURES)
    )
    return [
        pb.FailureSummary(
            method=row.method,
            route=row.route,
            status=row.status,
            scim_type=row.scim_type,
            detail=row.detail,
            count=row.failures,
            first_time=timestamp(row.first_ms),
            last_time=timestamp(row.last_ms),
            last_entry_id=row.last_entry_id,
        )
        for row in tx.execute(statement)
    ]


def _longest_run(tx: Transaction, newest: Subquery) -> int:
    of = newest.c
    # Numbered among all of its kind and among those with its status, a request's two numbers differ by what was
    # answered otherwise before it: they differ alike within a run, and only there.
    among_all = func.row_number().over(partition_by=(of.method, of.route), order_by=of.entry_id)
    among_alike = func.row_number().over(partition_by=(of.method, of.route, of.status), order_by=of.entry_id)
    numbered = select(of.method, of.route, of.status, (among_all - among_alike).label("run")).subquery("numbered")
    runs = (
        select(func.count().label("length"))
        .where(numbered.c.status == 429)
        .group_by(numbered.c.method, numbered.c.route, numbered.c.run)
        .subquery("runs")
    )
    return int(tx.execute(select(func.max(runs.c.length))).scalar_one())


def _lists(tx: Transaction, newest: Subquery) -> list[pb.ListSummary]:
    of = newest.c
    in_part = of.listed_count < of.total_count
    by_cursor = (of.start_index == 0) & (of.listed_count > 0)
    walked = select(
        of.route,
        func.count().filter((of.start_index == 1) & in_part & (of.listed_count >= LISTED_AT_LEAST)).label("first"),
        func.count().filter((of.start_index > 1) | by_cursor).label("later"),
        func.max(of.total_count).label("total"),
        func.max(of.time_ms).label("last_ms"),
    ).where((of.start_index > 0) | by_cursor)
    found = {
        row.route: pb.ListSummary(
            route=row.route,
            first_pages=row.first,
            later_pages=row.later,
            total_count=row.total,
            last_time=timestamp(row.last_ms),
        )
        for row in tx.execute(walked.group_by(of.route).order_by(of.route))
    }
    repeated = (
        select(of.route, of.start_index, func.count().label("times"))
        .where(of.start_index > 1, of.listed_count > 0, of.start_index + of.listed_count - 1 < of.total_count)
        .group_by(of.route, of.start_index, of.time_ms // _HOUR_MS)
        .order_by(func.count())
    )
    for row in tx.execute(repeated):
        found[row.route].most_repeated, found[row.route].repeated_index = row.times, row.start_index
    return [one for one in found.values() if one.first_pages or one.later_pages]


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
