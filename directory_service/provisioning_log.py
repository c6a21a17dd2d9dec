"""The use cases on the provisioning log: keep entries, list them, forget old ones (PRODUCT §7)."""

import re

from google.protobuf.timestamp_pb2 import Timestamp
from rollcall.directory.v1 import directory_service_pb2
from rollcall.directory.v1 import provisioning_log_service_pb2 as pb

from chassis.database import Transaction
from chassis.identifiers import first_id
from chassis.tenancy import across_tenants
from directory_service.directory import Directory, in_steps
from directory_service.errors import ConnectionNotFound, InvalidValue
from directory_service.repository import connections
from directory_service.repository import provisioning_log as repository
from directory_service.repository.events import list_request_events
from directory_service.repository.times import now_ms

MAX_ENTRIES = 1_000
"""Entries that one call may bring."""
PRUNED_AT_ONCE = 500
"""Entries that one transaction forgets: a SCIM request may wait behind it."""
DAY_MS = 86_400_000

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST = 512
_LATEST_MS = 2**47
_SOUGHT = ("connection_id", "workspace_id", "request_id", "resource_id")
_TEXTS = ("request_id", "method", "route", "scim_type", "detail", "resource_kind", "resource_id")


async def record_entries(directory: Directory, entries: list[pb.ProvisioningLogEntry]) -> None:
    """Keep entries, of whatever connections. Raises InvalidValue; then none of them is kept."""
    if len(entries) > MAX_ENTRIES:
        raise InvalidValue("entries", f"must be at most {MAX_ENTRIES}")
    for number, entry in enumerate(entries):
        if _UUID.fullmatch(entry.entry_id) is None:
            raise InvalidValue(f"entries[{number}].entry_id", "must be a UUID in lower case")
        for name in _TEXTS:
            text = getattr(entry, name)
            if len(text) > _LONGEST or "\0" in text:
                raise InvalidValue(f"entries[{number}].{name}", f"must be at most {_LONGEST} characters, without NUL")
    if entries:
        # Of every connection that the gateway has heard of since it last told.
        await across_tenants(lambda: directory.db.write(lambda tx: repository.insert_entries(tx, entries)))


async def list_entries(
    directory: Directory, request: pb.ListProvisioningLogEntriesRequest, *, before: str, limit: int
) -> list[pb.ProvisioningLogEntry]:
    """List entries with ids below `before` (empty: any), newest first. Raises InvalidValue."""
    for name in _SOUGHT:
        if "\0" in getattr(request, name):
            raise InvalidValue(name, "must not hold NUL")
    since = first_id(_milliseconds(request.start_time)) if request.HasField("start_time") else ""
    return await directory.db.read(
        lambda tx: repository.list_entries(tx, request, before=before, since=since, limit=limit)
    )


async def summarize(directory: Directory, request: pb.GetProvisioningLogSummaryRequest) -> pb.ProvisioningLogSummary:
    """Say what the newest requests of a connection come to. Raises ConnectionNotFound, InvalidValue."""
    since = first_id(_milliseconds(request.start_time)) if request.HasField("start_time") else ""

    def unit(tx: Transaction) -> pb.ProvisioningLogSummary:
        if connections.get_connection(tx, request.connection_id) is None:
            raise ConnectionNotFound(request.connection_id)
        return repository.summarize(tx, request.connection_id, since=since)

    return await directory.db.read(unit)


async def list_events(
    directory: Directory, request_id: str, *, after: int, limit: int
) -> list[tuple[int, directory_service_pb2.EventRecord]]:
    """List the events of a request behind a position in the outbox, each with its own. Raises InvalidValue."""
    if not request_id or "\0" in request_id:
        raise InvalidValue("request_id", "is required")
    return await directory.db.read(lambda tx: list_request_events(tx, request_id, after=after, limit=limit))


async def prune(directory: Directory, *, days: int) -> int:
    """Forget what is older than `days`, in transactions of bounded size; return how many entries."""
    before = first_id(now_ms() - days * DAY_MS)
    removed = 0

    async def step() -> bool:
        nonlocal removed
        count = await directory.db.write(lambda tx: repository.delete_oldest(tx, before=before, chunk=PRUNED_AT_ONCE))
        removed += count
        return count == PRUNED_AT_ONCE

    await in_steps(step)
    return removed


def _milliseconds(time: Timestamp) -> int:
    milliseconds = int(time.seconds) * 1000 + int(time.nanos) // 1_000_000
    if not 0 <= milliseconds < _LATEST_MS:
        raise InvalidValue("start_time", "must be after 1970-01-01T00:00:00Z")
    return milliseconds
