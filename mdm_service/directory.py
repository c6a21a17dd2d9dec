"""The directory service as the MDM service sees it: who exists, and what a resource is now."""

from collections.abc import AsyncGenerator
from typing import Any

import grpc
from rollcall.directory.v1 import (
    connection_service_pb2,
    connection_service_pb2_grpc,
    directory_service_pb2,
    directory_service_pb2_grpc,
    user_pb2,
)

from mdm_service.errors import DirectoryUnavailable

DEADLINE = 10.0
"""How long a call to the directory may take, in seconds."""

COMPARISON_DEADLINE = 4 * 3600.0
"""How long a snapshot of a whole connection may take, in seconds: it is read as slowly as it is repaired."""

PAGE_SIZE = 200
"""How many items a page of a list holds."""

_GONE = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)


class Directory:
    """Reads workspaces, connections and snapshots; raises DirectoryUnavailable when the directory does not answer."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        # The generated stubs have no types.
        self._connections: Any = connection_service_pb2_grpc.ConnectionServiceStub(channel)  # type: ignore[no-untyped-call]
        self._directory: Any = directory_service_pb2_grpc.DirectoryServiceStub(channel)  # type: ignore[no-untyped-call]

    async def has_workspace(self, workspace_id: str) -> bool:
        """Say whether there is a workspace with this id; a slug is not an id."""
        request = connection_service_pb2.GetWorkspaceRequest(workspace=workspace_id)
        try:
            response = await self._connections.GetWorkspace(request, timeout=DEADLINE, wait_for_ready=True)
        except grpc.RpcError as error:
            if _code(error) in _GONE:
                return False
            raise DirectoryUnavailable from error
        return bool(response.workspace.workspace_id == workspace_id)

    async def connection(self, connection_id: str) -> connection_service_pb2.Connection | None:
        """Read a connection; None: no such connection."""
        request = connection_service_pb2.GetConnectionRequest(connection_id=connection_id)
        try:
            response = await self._connections.GetConnection(request, timeout=DEADLINE, wait_for_ready=True)
        except grpc.RpcError as error:
            if _code(error) in _GONE:
                return None
            raise DirectoryUnavailable from error
        connection: connection_service_pb2.Connection = response.connection
        return connection

    async def snapshot(
        self, connection_id: str, kind: directory_service_pb2.ResourceKind, resource_id: str
    ) -> directory_service_pb2.StreamSnapshotResponse | None:
        """Read what one user or connection is now: itself, or a tombstone; None: the directory knows nothing of it."""
        request = directory_service_pb2.StreamSnapshotRequest(connection_id=connection_id, kind=kind, id=resource_id)
        call = self._directory.StreamSnapshot(request, timeout=DEADLINE, wait_for_ready=True)
        try:
            async for response in call:
                snapshot: directory_service_pb2.StreamSnapshotResponse = response
                return snapshot
        except grpc.RpcError as error:
            if _code(error) not in _GONE:
                raise DirectoryUnavailable from error
        finally:
            call.cancel()
        return None

    async def stream_users(self, connection_id: str) -> AsyncGenerator[user_pb2.User, None]:
        """Stream every user of a connection as it is at that moment; none of a connection that is not there."""
        request = directory_service_pb2.StreamSnapshotRequest(
            connection_id=connection_id, kind=directory_service_pb2.RESOURCE_KIND_USER
        )
        call = self._directory.StreamSnapshot(request, timeout=COMPARISON_DEADLINE, wait_for_ready=True)
        try:
            async for response in call:
                if response.HasField("user"):
                    yield response.user
        except grpc.RpcError as error:
            if _code(error) not in _GONE:
                raise DirectoryUnavailable from error
        finally:
            call.cancel()

    async def mdm_connections(self) -> list[connection_service_pb2.Connection]:
        """List every MDM connection, of whichever workspace."""
        found: list[connection_service_pb2.Connection] = []
        request = connection_service_pb2.ListConnectionsRequest(page_size=PAGE_SIZE)
        while True:
            response = await self._page(self._connections.ListConnections, request)
            found += [item for item in response.connections if item.portal == connection_service_pb2.PORTAL_MDM]
            if not response.next_page_token:
                return found
            request.page_token = response.next_page_token

    async def workspaces(self) -> set[str]:
        """List the ids of all workspaces."""
        found: set[str] = set()
        request = connection_service_pb2.ListWorkspacesRequest(page_size=PAGE_SIZE)
        while True:
            response = await self._page(self._connections.ListWorkspaces, request)
            found.update(item.workspace_id for item in response.workspaces)
            if not response.next_page_token:
                return found
            request.page_token = response.next_page_token

    async def _page(self, rpc: Any, request: Any) -> Any:
        try:
            return await rpc(request, timeout=DEADLINE, wait_for_ready=True)
        except grpc.RpcError as error:
            raise DirectoryUnavailable from error


def _code(error: grpc.RpcError) -> grpc.StatusCode | None:
    return error.code() if isinstance(error, grpc.aio.AioRpcError) else None
