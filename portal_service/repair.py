"""Repair of a gap: what a resource is now, as the directory tells it, applied through the handlers' own steps.

The snapshot says where a resource has arrived, not which events led there; what it differs from the projection in says
what to do. Times of the missed changes are not known: roles are decided as of the event that showed the gap.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import grpc
from rollcall.directory.v1 import directory_service_pb2 as directory_pb2
from rollcall.directory.v1.events_pb2 import Origin
from rollcall.directory.v1.group_pb2 import Group, Member
from rollcall.directory.v1.user_pb2 import User

from chassis.consumer import Event, RepairUnit
from chassis.database import Transaction
from chassis.errors import from_rpc_error
from portal_service import provisioning, repository
from portal_service.directory import Directory
from portal_service.workspaces import PORTALS

_KINDS = {
    "user": directory_pb2.RESOURCE_KIND_USER,
    "group": directory_pb2.RESOURCE_KIND_GROUP,
    "connection": directory_pb2.RESOURCE_KIND_CONNECTION,
}


@dataclass(slots=True)
class _Snapshot:
    """What the directory says of one resource and its connection; nothing of a resource: it is gone."""

    origin: Origin | None = None
    version: int = 0
    user: User | None = None
    group: Group | None = None
    members: list[Member] = field(default_factory=list)
    enabled: bool | None = None

    @property
    def gone(self) -> bool:
        return self.user is None and self.group is None and self.enabled is None


def repairer(directory: Directory) -> Callable[[Event], Awaitable[RepairUnit]]:
    """Returns what the consumer calls for an event before which others are missing.

    Raises `RpcFailure` when the directory cannot be asked. The event may come without its message.
    """

    async def repair(event: Event) -> RepairUnit:
        kind = _KINDS.get(event.aggregate_kind)
        # A subject writes the name of a portal in lower case, a message in upper case.
        if event.portal.upper() not in PORTALS or kind is None:
            # Another portal's resource, or a workspace, whose only event is its last: nothing is needed before it.
            return RepairUnit(version=event.version - 1, apply=_apply_nothing)
        snapshot = await _read(directory, event, kind)

        def apply(tx: Transaction, cause: Event) -> None:
            _apply(tx, cause, snapshot)

        # What left no trace is gone with its connection, at whatever version: at this event's at least.
        return RepairUnit(version=snapshot.version or event.version, apply=apply, deleted=snapshot.gone)

    return repair


async def _read(directory: Directory, event: Event, kind: directory_pb2.ResourceKind) -> _Snapshot:
    snapshot = _Snapshot()
    questions = [(kind, event.aggregate_id)]
    if kind != directory_pb2.RESOURCE_KIND_CONNECTION:
        # The workspace, which a resource does not name.
        questions.insert(0, (directory_pb2.RESOURCE_KIND_CONNECTION, event.connection_id))
    for asked, resource_id in questions:
        try:
            async for item in directory.snapshot(event.connection_id, asked, resource_id):
                _take(snapshot, item, asked == kind)
        except grpc.RpcError as error:
            failure = from_rpc_error(error)
            if failure.code != grpc.StatusCode.NOT_FOUND:
                raise failure from error
    return snapshot


def _take(snapshot: _Snapshot, item: directory_pb2.StreamSnapshotResponse, is_resource: bool) -> None:
    what = item.WhichOneof("item")
    if what == "connection":
        connection = item.connection
        snapshot.origin = Origin(
            connection_id=connection.connection_id, workspace_id=connection.workspace_id, portal=connection.portal
        )
        if is_resource:
            snapshot.enabled, snapshot.version = connection.enabled, connection.version
    elif not is_resource:
        return
    elif what == "user":
        snapshot.user, snapshot.version = item.user, item.user.version
    elif what == "group":
        snapshot.group, snapshot.version = item.group.group, item.group.group.version
        snapshot.members.extend(item.group.members)
    elif what == "tombstone":
        snapshot.version = item.tombstone.version


def _apply_nothing(tx: Transaction, event: Event) -> None:
    """Leaves everything as it is; the event itself follows."""


def _apply(tx: Transaction, event: Event, snapshot: _Snapshot) -> None:
    origin = snapshot.origin
    if origin is None:
        # The connection is gone from the directory; what is known of it here says whose it was.
        known = repository.find_connection(tx, event.connection_id)
        if known is None:
            return
        origin = Origin(connection_id=known.connection_id, workspace_id=known.workspace_id, portal=known.portal)
    if event.aggregate_kind == "user":
        provisioning.restore_user(tx, event, origin, snapshot.user)
    elif event.aggregate_kind == "group":
        provisioning.restore_group(tx, event, origin, snapshot.group, snapshot.members)
    else:
        provisioning.restore_connection(tx, event, origin, snapshot.enabled)
