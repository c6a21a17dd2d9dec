"""Emptying workspaces that are gone, in the background, a bounded part in each transaction.

A closure is a row that stays until nothing of the workspace is left. Each part, its effects and commands commit
together, so one that a crash interrupts goes on where it was. The effects name the event that closed the workspace.
"""

from __future__ import annotations

import asyncio
import logging

from google.protobuf.empty_pb2 import Empty
from rollcall.delivery.v1 import delivery_service_pb2

from chassis.consumer import Event
from chassis.database import Database, Transaction, is_transient
from mdm_service import devices, repository
from mdm_service.consequences import record_all
from mdm_service.domain import deactivation
from mdm_service.employees import Account

_log = logging.getLogger(__name__)

WORKSPACE_DELETED = "workspace_deleted"
"""The rule that the effects name."""

DEVICES_AT_ONCE = 50
"""Devices that one transaction removes from management."""
EMPLOYEES_AT_ONCE = 500
"""Employees that one transaction deletes."""

_LOOK_SECONDS = 1.0


def begin(tx: Transaction, event: Event, workspace_id: str) -> None:
    """Have a workspace emptied, in the transaction that closes it."""
    repository.put_closure(
        tx,
        repository.WorkspaceClosure(
            workspace_id=workspace_id,
            event_id=event.id,
            event_type=event.type,
            request_id=event.request_id,
            traceparent=event.traceparent,
            version=event.version,
            repair=event.repair,
            closed_at=event.time,
        ),
    )


def empty_some(tx: Transaction, workspace_id: str) -> bool:
    """Empty a bounded part of a closed workspace, devices first; say whether anything may be left."""
    closure = repository.lock_closure(tx, workspace_id)
    if closure is None:
        return False
    enrolled = repository.enrolled_devices(tx, workspace_id, DEVICES_AT_ONCE)
    if enrolled:
        consequences = []
        for device in enrolled:
            planned = deactivation.PlannedEffect(
                action=deactivation.REMOVE_DEVICE,
                target_kind=delivery_service_pb2.TARGET_KIND_DEVICE,
                target_id=device.device_id,
                target_name=device.serial,
                assignment_epoch=device.assignment_epoch,
            )
            consequences.append(devices.carry_out(tx, device, planned, closure.closed_at))
        record_all(tx, _event_of(closure), Account(workspace_id=workspace_id), WORKSPACE_DELETED, 0, consequences)
        return True
    if repository.delete_employees(tx, workspace_id, EMPLOYEES_AT_ONCE) == EMPLOYEES_AT_ONCE:
        return True
    repository.empty_workspace(tx, workspace_id)
    repository.delete_closure(tx, workspace_id)
    return False


async def empty_all(db: Database) -> None:
    """Empty every closed workspace."""
    while (workspace_id := await db.read(repository.first_closure)) is not None:
        more = True
        while more:
            more = await db.write(lambda tx, closed=workspace_id: empty_some(tx, closed))  # type: ignore[misc]


async def run(db: Database) -> None:
    """Empty closed workspaces as they come, until cancelled."""
    while True:
        try:
            await empty_all(db)
        # A database that is away is away for everybody: the next look will do.
        except Exception as error:
            if not is_transient(error):
                raise
            _log.warning("closed workspaces wait to be emptied: %s", type(error).__name__)
        await asyncio.sleep(_LOOK_SECONDS)


def _event_of(closure: repository.WorkspaceClosure) -> Event:
    return Event(
        id=closure.event_id,
        type=closure.event_type,
        time=closure.closed_at,
        connection_id="",
        aggregate_kind="workspace",
        aggregate_id=closure.workspace_id,
        portal="",
        version=closure.version,
        sequence=0,
        request_id=closure.request_id,
        traceparent=closure.traceparent,
        message=Empty(),
        repair=closure.repair,
    )
