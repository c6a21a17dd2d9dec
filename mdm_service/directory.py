"""The directory service as the MDM service sees it: who exists, and what a resource is now."""

from typing import Any

import grpc
from rollcall.directory.v1 import (
    connection_service_pb2,
    connection_service_pb2_grpc,
    directory_service_pb2,
    directory_service_pb2_grpc,
)

from mdm_service.errors import DirectoryUnavailable

DEADLINE = 10.0
"""How long a call to the directory may take, in seconds."""

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


def _code(error: grpc.RpcError) -> grpc.StatusCode | None:
    return error.code() if isinstance(error, grpc.aio.AioRpcError) else None
