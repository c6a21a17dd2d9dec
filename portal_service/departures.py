"""Deleting large groups: their members leave in the background, a bounded number in each transaction.

A departure is a row with the event that deleted the group. Each chunk of memberships, the roles that follow and the
effects commit together, so one that a crash interrupts goes on where it was. The group itself is gone at once: it gives
no role and opens no publication any more.
"""

from __future__ import annotations

import asyncio
import logging

from google.protobuf.empty_pb2 import Empty

from chassis.consumer import Event
from chassis.database import Database, DatabaseUnavailable, Transaction
from portal_service import repository
from portal_service.collaborators import decide_roles
from portal_service.repository import AnyRow

_log = logging.getLogger(__name__)

AT_ONCE = 100
"""Members whose group is deleted that one transaction lets go."""
_LOOK_SECONDS = 1.0


def begin(tx: Transaction, event: Event, rules: AnyRow, group_id: str, *, decides: bool) -> None:
    """Have the members of a group leave, in the transaction that deletes it; `decides`: their roles depend on it."""
    repository.begin_departure(
        tx,
        {
            "group_id": group_id,
            "connection_id": rules.connection_id,
            "workspace_id": rules.workspace_id,
            "decides_roles": decides,
            "event_id": event.id,
            "event_type": event.type,
            "event_time": event.time,
            "version": event.version,
            "sequence": event.sequence,
            "request_id": event.request_id,
            "traceparent": event.traceparent,
        },
    )


def let_go(tx: Transaction, group_id: str) -> bool:
    """Let the next members of a deleted group go; say whether more may follow."""
    departure = repository.lock_departure(tx, group_id)
    if departure is None:
        return False
    rules = repository.hold_rules(tx, departure.connection_id)
    departed = repository.take_departed(tx, departure.connection_id, group_id, AT_ONCE)
    if departure.decides_roles and rules is not None:
        nested = [member for member, is_group in departed.items() if is_group]
        concerned = {member for member, is_group in departed.items() if not is_group}
        concerned.update(repository.users_beneath(tx, departure.connection_id, nested))
        decide_roles(tx, _event_of(departure, rules.portal), rules, sorted(concerned))
    if len(departed) == AT_ONCE:
        return True
    repository.end_departure(tx, group_id)
    return False


async def let_all_go(db: Database) -> None:
    """Let the members of every deleted group go."""
    while (group_id := await db.read(repository.find_departure)) is not None:
        more = True
        while more:
            more = await db.write(lambda tx, gone=group_id: let_go(tx, gone))  # type: ignore[misc]


async def run(db: Database) -> None:
    """Let members go as groups are deleted, until cancelled."""
    while True:
        try:
            await let_all_go(db)
        except DatabaseUnavailable as error:
            _log.warning("members of deleted groups wait: %s", error)
        await asyncio.sleep(_LOOK_SECONDS)


def _event_of(departure: AnyRow, portal: str) -> Event:
    return Event(
        id=departure.event_id,
        type=departure.event_type,
        time=departure.event_time,
        connection_id=departure.connection_id,
        aggregate_kind="group",
        aggregate_id=departure.group_id,
        portal=portal,
        version=departure.version,
        sequence=departure.sequence,
        request_id=departure.request_id,
        traceparent=departure.traceparent,
        message=Empty(),
    )
