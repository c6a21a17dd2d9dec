"""What the portal service asks of the directory: whether something exists, and how a resource is now."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Collection
from typing import TypeVar

import grpc
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.directory.v1 import directory_service_pb2 as directory
from rollcall.directory.v1.connection_service_pb2_grpc import ConnectionServiceStub
from rollcall.directory.v1.directory_service_pb2_grpc import DirectoryServiceStub
from rollcall.directory.v1.group_pb2 import Group

from chassis.errors import from_rpc_error
from portal_service.errors import DirectoryUnavailable

Answer = TypeVar("Answer")

# Seconds. A question is part of an administrator's command; a snapshot may hold a very large group.
_QUESTION_DEADLINE = 5.0
_SNAPSHOT_DEADLINE = 120.0
# A snapshot of a whole connection is read as slowly as it is repaired.
_COMPARISON_DEADLINE = 4 * 3600.0
_PAGE_SIZE = 200


class Directory:
    """The directory's two services over one channel; every question raises DirectoryUnavailable when none answers."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Asks over `channel`, whose calls carry this service's own credential."""
        self._connections = ConnectionServiceStub(channel)  # type: ignore[no-untyped-call]
        self._directory = DirectoryServiceStub(channel)  # type: ignore[no-untyped-call]

    async def find_workspace(self, workspace_id: str) -> connections.Workspace | None:
        """Returns a workspace by its id, which a slug is not."""
        request = connections.GetWorkspaceRequest(workspace=workspace_id)
        answer = await _ask(self._connections.GetWorkspace(request, timeout=_QUESTION_DEADLINE))
        found: connections.Workspace | None = None if answer is None else answer.workspace
        return found if found is not None and found.workspace_id == workspace_id else None

    async def find_connection(self, connection_id: str) -> connections.Connection | None:
        """Returns a connection."""
        request = connections.GetConnectionRequest(connection_id=connection_id)
        answer = await _ask(self._connections.GetConnection(request, timeout=_QUESTION_DEADLINE))
        found: connections.Connection | None = None if answer is None else answer.connection
        return found

    async def list_store_connections(self, workspace_id: str) -> list[str]:
        """Returns the ids of a workspace's STORE connections, enabled ones first; those being deleted are left out."""
        found: list[connections.Connection] = []
        token = ""
        while True:
            request = connections.ListConnectionsRequest(workspace_id=workspace_id, page_token=token)
            answer = await _ask(self._connections.ListConnections(request, timeout=_QUESTION_DEADLINE))
            if answer is None:
                return []
            found.extend(answer.connections)
            token = answer.next_page_token
            if not token:
                break
        living = [
            item
            for item in found
            if item.portal == connections.PORTAL_STORE and item.state != connections.CONNECTION_STATE_DELETING
        ]
        return [item.connection_id for item in sorted(living, key=lambda item: (item.state, item.connection_id))]

    async def list_connections(self, portals: Collection[str]) -> list[connections.Connection]:
        """Returns every connection of some portals, of whichever workspace."""
        found: list[connections.Connection] = []
        token = ""
        while True:
            request = connections.ListConnectionsRequest(page_size=_PAGE_SIZE, page_token=token)
            answer = await _ask(self._connections.ListConnections(request, timeout=_QUESTION_DEADLINE))
            if answer is None:
                return found
            found.extend(item for item in answer.connections if portal_name(item) in portals)
            token = answer.next_page_token
            if not token:
                return found

    async def list_workspaces(self) -> set[str]:
        """Returns the ids of all workspaces."""
        found: set[str] = set()
        token = ""
        while True:
            request = connections.ListWorkspacesRequest(page_size=_PAGE_SIZE, page_token=token)
            answer = await _ask(self._connections.ListWorkspaces(request, timeout=_QUESTION_DEADLINE))
            if answer is None:
                return found
            found.update(item.workspace_id for item in answer.workspaces)
            token = answer.next_page_token
            if not token:
                return found

    async def find_group(self, connection_id: str, display_name: str) -> Group | None:
        """Returns the group of a display name, compared case-insensitively."""
        quoted = display_name.replace("\\", "\\\\").replace('"', '\\"')
        request = directory.ListGroupsRequest(
            connection_id=connection_id, filter=f'displayName eq "{quoted}"', page_size=1
        )
        answer = await _ask(self._directory.ListGroups(request, timeout=_QUESTION_DEADLINE))
        return answer.groups[0] if answer is not None and answer.groups else None

    async def snapshot(
        self, connection_id: str, kind: directory.ResourceKind, resource_id: str
    ) -> AsyncIterator[directory.StreamSnapshotResponse]:
        """Streams one resource as it is now, or with an empty id all of a kind; what is gone is a tombstone.

        Raises `grpc.RpcError`.
        """
        request = directory.StreamSnapshotRequest(connection_id=connection_id, kind=kind, id=resource_id)
        deadline = _SNAPSHOT_DEADLINE if resource_id else _COMPARISON_DEADLINE
        async for item in self._directory.StreamSnapshot(request, timeout=deadline):
            yield item


def portal_name(connection: connections.Connection) -> str:
    """Returns the name of a connection's portal without its prefix."""
    return connections.Portal.Name(connection.portal).removeprefix("PORTAL_")


async def _ask(call: Awaitable[Answer]) -> Answer | None:
    """Awaits an answer; None for NOT_FOUND and for an id that the directory calls malformed."""
    try:
        return await call
    except grpc.RpcError as error:
        failure = from_rpc_error(error)
        if failure.code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):
            return None
        raise DirectoryUnavailable from error
