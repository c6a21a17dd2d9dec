"""The events of the directory: rows of the outbox, numbered under the connection's lock, and the way back to them."""

import operator
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from rollcall.directory.v1 import connection_service_pb2, directory_service_pb2, events_pb2, group_pb2, user_pb2
from sqlalchemy import select

from chassis.database import Transaction
from chassis.outbox import OutboxEvent, append_all, partition_of
from directory_service.repository.connections import LockedConnection, store_connection
from directory_service.tables import OUTBOX

SOURCE = "/rollcall/directory"
"""CloudEvents `source` of every event."""

_ACTIONS: dict[type[Message], tuple[str, str]] = {
    events_pb2.UserCreated: ("user", "created"),
    events_pb2.UserUpdated: ("user", "updated"),
    events_pb2.UserDeactivated: ("user", "deactivated"),
    events_pb2.UserReactivated: ("user", "reactivated"),
    events_pb2.UserDeleted: ("user", "deleted"),
    events_pb2.GroupCreated: ("group", "created"),
    events_pb2.GroupUpdated: ("group", "updated"),
    events_pb2.GroupMembersChanged: ("group", "members_changed"),
    events_pb2.GroupDeleted: ("group", "deleted"),
    events_pb2.ConnectionEnabled: ("connection", "enabled"),
    events_pb2.ConnectionDisabled: ("connection", "disabled"),
    events_pb2.ConnectionDeleted: ("connection", "deleted"),
    events_pb2.WorkspaceDeleted: ("workspace", "deleted"),
}


class Journal:
    """The events of one unit of work on a locked connection.

    Takes each in turn, gives it the connection's next position, and writes all of them with the connection's row.
    """

    def __init__(self, connection: LockedConnection) -> None:
        self.connection = connection
        self._origin = events_pb2.Origin(
            connection_id=connection.id, workspace_id=connection.workspace_id, portal=connection.portal
        )
        self._events: list[OutboxEvent] = []

    def user(self, kind: type[Any], user: user_pb2.User) -> None:
        """Take an event of a user; the version is the user's."""
        self._take(kind(origin=self._origin, user=user), user.id, user.version)

    def group(self, kind: type[Any], group: group_pb2.Group, **membership: list[group_pb2.Member]) -> None:
        """Take an event of a group; the version is the group's."""
        self._take(kind(origin=self._origin, group=group, **membership), group.id, group.version)

    def of_connection(self, kind: type[Any]) -> None:
        """Take an event of the connection itself, and give the connection its next version."""
        self.connection.version += 1
        self._take(kind(origin=self._origin), self.connection.id, self.connection.version)

    def _take(self, message: Message, aggregate_id: str, version: int) -> None:
        connection = self.connection
        connection.sequence += 1
        resource, action = _ACTIONS[type(message)]
        self._events.append(
            OutboxEvent(
                message=message,
                subject=_subject(connection.portal.lower(), resource, action, connection.id, aggregate_id),
                source=SOURCE,
                connection_id=connection.id,
                aggregate_kind=resource,
                aggregate_id=aggregate_id,
                version=version,
                sequence=connection.sequence,
                workspace_id=connection.workspace_id,
                portal=connection.portal,
            )
        )

    def write(self, tx: Transaction) -> None:
        """Insert the events and write back the connection's row."""
        append_all(tx, OUTBOX, self._events)
        self._events = []
        store_connection(tx, self.connection)


Mark = tuple[int, tuple[int, ...]]
"""How far a journal had come: its events, and what it counts on the connection."""

_COUNTED = ("version", "sequence", "user_count", "group_count", "parked_count")
_counts = operator.attrgetter(*_COUNTED)


class BulkJournal(Journal):
    """The journal of many changes in one transaction, which are written together at its end, by `flush`."""

    def __init__(self, connection: LockedConnection) -> None:
        super().__init__(connection)
        self._due = False

    def write(self, tx: Transaction) -> None:
        """Note that there is something to write."""
        self._due = True

    def flush(self, tx: Transaction) -> None:
        """Insert the events of all changes and write back the connection's row, unless nothing changed."""
        if self._due:
            super().write(tx)

    def mark(self) -> Mark:
        """Return where the journal is now."""
        return len(self._events), _counts(self.connection)

    def rewind(self, mark: Mark) -> None:
        """Forget what was taken since a mark, as its changes did not come about."""
        events, counts = mark
        del self._events[events:]
        for name, count in zip(_COUNTED, counts, strict=True):
            setattr(self.connection, name, count)


def append_workspace_deleted(tx: Transaction, workspace_id: str) -> None:
    """Insert the one event that a workspace has."""
    message = events_pb2.WorkspaceDeleted(origin=events_pb2.Origin(workspace_id=workspace_id))
    event = OutboxEvent(
        message=message,
        # The event belongs to no connection; the token of one says so, for a subject has no empty tokens.
        subject=_subject("none", "workspace", "deleted", "none", workspace_id, partition_key=workspace_id),
        source=SOURCE,
        connection_id="",
        aggregate_kind="workspace",
        aggregate_id=workspace_id,
        version=1,
        sequence=1,
        workspace_id=workspace_id,
    )
    append_all(tx, OUTBOX, [event])


def _subject(
    portal: str, resource: str, action: str, connection_id: str, resource_id: str, *, partition_key: str = ""
) -> str:
    partition = partition_of(partition_key or connection_id)
    return f"directory.v1.{partition}.{portal}.{resource}.{action}.{connection_id}.{resource_id}"


def get_event(tx: Transaction, event_id: str) -> directory_service_pb2.EventRecord | None:
    """Return what is kept of an event, on whatever connection: effects name events by their id alone."""
    row = tx.execute(select(OUTBOX).where(OUTBOX.c.event_id == event_id)).first()
    return None if row is None else _record(row)


def list_request_events(
    tx: Transaction, request_id: str, *, after: int, limit: int
) -> list[tuple[int, directory_service_pb2.EventRecord]]:
    """Return what is kept of the events of a request, in their order, each with its position in the outbox."""
    statement = (
        select(OUTBOX).where(OUTBOX.c.request_id == request_id, OUTBOX.c.id > after).order_by(OUTBOX.c.id).limit(limit)
    )
    return [(row.id, _record(row)) for row in tx.execute(statement)]


def _record(row: Any) -> directory_service_pb2.EventRecord:
    record = directory_service_pb2.EventRecord(
        id=row.event_id,
        type=row.type,
        connection_id=row.connection_id,
        resource_id=row.aggregate_id,
        version=row.version,
        sequence=row.sequence,
        time=_timestamp(row.created_at),
        request_id=row.request_id,
        request=row.request,
    )
    if row.sent_at is not None:
        record.published_time.CopyFrom(_timestamp(row.sent_at))
    return record


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment.astimezone(UTC).replace(tzinfo=None))
    return message


def portal_name(portal: connection_service_pb2.Portal) -> str:
    """Return the name of a portal as events and rows have it: DASHBOARD, STORE or MDM."""
    return connection_service_pb2.Portal.Name(portal).removeprefix("PORTAL_")
