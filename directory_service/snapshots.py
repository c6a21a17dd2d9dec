"""Snapshots of a connection, from which a consumer repairs itself, and the way from an event to its request."""

from collections.abc import AsyncIterator

from rollcall.directory.v1 import directory_service_pb2 as pb

from chassis.database import Transaction
from directory_service.directory import Access, Directory
from directory_service.errors import ConnectionNotFound, EventNotFound, GroupNotFound, InvalidValue, UserNotFound
from directory_service.groups import STREAMED_MEMBERS
from directory_service.repository import connections, groups, users
from directory_service.repository.events import get_event
from directory_service.repository.listing import Last, Listing, list_rows
from directory_service.repository.tombstones import get_tombstone
from directory_service.tables import KIND_CONNECTION, KIND_GROUP, KIND_USER, STATE_ENABLED

ROWS_AT_ONCE = 200

Items = list[pb.StreamSnapshotResponse]


async def stream_snapshot(
    directory: Directory, access: Access, kind: pb.ResourceKind, resource_id: str
) -> AsyncIterator[pb.StreamSnapshotResponse]:
    """Yield the connection, its users and its groups, or one kind of them, or one resource, with versions.

    A resource that is gone is a tombstone. Each item is true at one moment, different items at different ones: versions
    let the consumer put them in their place among events. Raises ConnectionNotFound, UserNotFound, GroupNotFound for
    what never existed, InvalidValue.
    """
    if kind not in pb.ResourceKind.values():
        raise InvalidValue("kind", "must be one of USER, GROUP, CONNECTION")
    if resource_id and kind == pb.RESOURCE_KIND_UNSPECIFIED:
        raise InvalidValue("kind", "is required with an id")
    connection = await directory.db.read(lambda tx: _connection(tx, access.connection_id))
    if kind == pb.RESOURCE_KIND_CONNECTION and resource_id not in ("", access.connection_id):
        raise ConnectionNotFound(resource_id)
    if kind in (pb.RESOURCE_KIND_UNSPECIFIED, pb.RESOURCE_KIND_CONNECTION):
        yield connection
    if resource_id and kind == pb.RESOURCE_KIND_USER:
        yield await directory.db.read(lambda tx: _user(tx, access.connection_id, resource_id))
    elif kind in (pb.RESOURCE_KIND_UNSPECIFIED, pb.RESOURCE_KIND_USER):
        async for item in _users(directory, access.connection_id):
            yield item
    if resource_id and kind == pb.RESOURCE_KIND_GROUP:
        for item in await directory.db.read(lambda tx: _group(tx, access.connection_id, resource_id)):
            yield item
    elif kind in (pb.RESOURCE_KIND_UNSPECIFIED, pb.RESOURCE_KIND_GROUP):
        async for item in _groups(directory, access.connection_id):
            yield item


async def read_event(directory: Directory, event_id: str) -> pb.EventRecord:
    """Read what is kept of an event. Raises EventNotFound."""
    record = await directory.db.read(lambda tx: get_event(tx, event_id))
    if record is None:
        raise EventNotFound(event_id)
    return record


def _connection(tx: Transaction, connection_id: str) -> pb.StreamSnapshotResponse:
    row = connections.get_connection(tx, connection_id)
    if row is None:
        version = get_tombstone(tx, connection_id, connection_id, KIND_CONNECTION)
        if version is None:
            raise ConnectionNotFound(connection_id)
        return _tombstone(pb.RESOURCE_KIND_CONNECTION, connection_id, version)
    snapshot = pb.ConnectionSnapshot(
        connection_id=row.id,
        workspace_id=row.workspace_id,
        portal=row.portal,
        enabled=row.state == STATE_ENABLED,
        version=row.version,
    )
    return pb.StreamSnapshotResponse(connection=snapshot)


def _user(tx: Transaction, connection_id: str, user_id: str) -> pb.StreamSnapshotResponse:
    row = users.get_user(tx, connection_id, user_id)
    if row is not None:
        return pb.StreamSnapshotResponse(user=users.user_message(row))
    version = get_tombstone(tx, connection_id, user_id, KIND_USER)
    if version is None:
        raise UserNotFound(user_id)
    return _tombstone(pb.RESOURCE_KIND_USER, user_id, version)


def _group(tx: Transaction, connection_id: str, group_id: str) -> Items:
    """Return the chunks of a group, all of one moment: a version says which members it had."""
    state = groups.get_group(tx, connection_id, group_id)
    if state is None:
        version = get_tombstone(tx, connection_id, group_id, KIND_GROUP)
        if version is None:
            raise GroupNotFound(group_id)
        return [_tombstone(pb.RESOURCE_KIND_GROUP, group_id, version)]
    message = groups.group_message(state)
    items: Items = []
    position = 0
    while True:
        members, position = groups.members_after(tx, connection_id, group_id, after=position, limit=STREAMED_MEMBERS)
        if items and not members:
            items[-1].group.more = False
            return items
        more = len(members) == STREAMED_MEMBERS
        items.append(pb.StreamSnapshotResponse(group=pb.GroupSnapshot(group=message, members=members, more=more)))
        if not more:
            return items


def _tombstone(kind: pb.ResourceKind, resource_id: str, version: int) -> pb.StreamSnapshotResponse:
    return pb.StreamSnapshotResponse(tombstone=pb.Tombstone(kind=kind, id=resource_id, version=version))


async def _users(directory: Directory, connection_id: str) -> AsyncIterator[pb.StreamSnapshotResponse]:
    listing = Listing("users", users.USER_COLUMNS)
    after: Last | None = None
    while True:
        place = after
        rows = await directory.db.read(
            lambda tx, place=place: list_rows(  # type: ignore[misc]
                tx, connection_id, listing, after=place, skip=0, limit=ROWS_AT_ONCE
            )
        )
        for row in rows:
            yield pb.StreamSnapshotResponse(user=users.user_message(row))
        if len(rows) < ROWS_AT_ONCE:
            return
        after = Last(rows[-1].position)


async def _groups(directory: Directory, connection_id: str) -> AsyncIterator[pb.StreamSnapshotResponse]:
    listing = Listing("groups", groups.GROUP_COLUMNS)
    after: Last | None = None
    while True:
        place = after
        rows = await directory.db.read(
            lambda tx, place=place: list_rows(  # type: ignore[misc]
                tx, connection_id, listing, after=place, skip=0, limit=ROWS_AT_ONCE
            )
        )
        for row in rows:
            try:
                items = await directory.db.read(lambda tx, group_id=row.id: _group(tx, connection_id, group_id))  # type: ignore[misc]
            except GroupNotFound:
                continue
            for item in items:
                yield item
        if len(rows) < ROWS_AT_ONCE:
            return
        after = Last(rows[-1].position)
