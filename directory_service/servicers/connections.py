"""`rollcall.directory.v1.ConnectionService`: workspaces, connections, tokens and attribute mappings."""

from typing import Any

from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.directory.v1.connection_service_pb2_grpc import ConnectionServiceServicer

from chassis.paging import decode_page_token, encode_page_token, page_limit
from directory_service import connections, mappings, tokens, workspaces
from directory_service.authentication import TokenCache
from directory_service.background import Background
from directory_service.directory import Directory
from directory_service.errors import DOMAIN, InvalidPageToken


class ConnectionServicer(ConnectionServiceServicer):
    """Administration; the method policy says who may call what."""

    def __init__(self, directory: Directory, token_cache: TokenCache, background: Background) -> None:
        self._directory = directory
        self._token_cache = token_cache
        self._background = background

    async def CreateWorkspace(self, request: pb.CreateWorkspaceRequest, context: Any) -> pb.CreateWorkspaceResponse:
        """Create a workspace."""
        return pb.CreateWorkspaceResponse(workspace=await workspaces.create_workspace(self._directory, request.name))

    async def GetWorkspace(self, request: pb.GetWorkspaceRequest, context: Any) -> pb.GetWorkspaceResponse:
        """Read a workspace."""
        return pb.GetWorkspaceResponse(workspace=await workspaces.get_workspace(self._directory, request.workspace))

    async def ListWorkspaces(self, request: pb.ListWorkspacesRequest, context: Any) -> pb.ListWorkspacesResponse:
        """List workspaces."""
        query, limit, after = "workspaces", page_limit(request.page_size), None
        if request.page_token:
            name, workspace_id = decode_page_token(request.page_token, query, types=(str, str), domain=DOMAIN)
            after = (_text(name), _text(workspace_id))
        page = await workspaces.list_workspaces(self._directory, after=after, limit=limit + 1)
        response = pb.ListWorkspacesResponse(workspaces=page[:limit])
        if len(page) > limit:
            response.next_page_token = encode_page_token((page[limit - 1].name, page[limit - 1].workspace_id), query)
        return response

    async def DeleteWorkspace(self, request: pb.DeleteWorkspaceRequest, context: Any) -> pb.DeleteWorkspaceResponse:
        """Delete a workspace."""
        await workspaces.delete_workspace(self._directory, request.workspace_id)
        return pb.DeleteWorkspaceResponse()

    async def CreateConnection(self, request: pb.CreateConnectionRequest, context: Any) -> pb.CreateConnectionResponse:
        """Enable SCIM on a portal."""
        connection, token, token_id = await connections.create_connection(
            self._directory, request.workspace_id, request.portal, request.display_name
        )
        return pb.CreateConnectionResponse(connection=connection, token=token, token_id=token_id)

    async def GetConnection(self, request: pb.GetConnectionRequest, context: Any) -> pb.GetConnectionResponse:
        """Read a connection."""
        connection = await connections.get_connection(self._directory, request.connection_id)
        return pb.GetConnectionResponse(connection=connection)

    async def ListConnections(self, request: pb.ListConnectionsRequest, context: Any) -> pb.ListConnectionsResponse:
        """List connections."""
        query, limit, after = f"connections\n{request.workspace_id}", page_limit(request.page_size), None
        if request.page_token:
            created_ms, connection_id = decode_page_token(request.page_token, query, types=(int, str), domain=DOMAIN)
            after = (int(created_ms), _text(connection_id))
            if not 0 <= after[0] < 2**63:
                raise InvalidPageToken
        page, keys = await connections.list_connections(
            self._directory, request.workspace_id or None, after=after, limit=limit + 1
        )
        response = pb.ListConnectionsResponse(connections=page[:limit])
        if len(page) > limit:
            response.next_page_token = encode_page_token(keys[limit - 1], query)
        return response

    async def RenameConnection(self, request: pb.RenameConnectionRequest, context: Any) -> pb.RenameConnectionResponse:
        """Rename a connection."""
        connection = await connections.rename_connection(self._directory, request.connection_id, request.display_name)
        return pb.RenameConnectionResponse(connection=connection)

    async def DisableConnection(
        self, request: pb.DisableConnectionRequest, context: Any
    ) -> pb.DisableConnectionResponse:
        """Disable a connection."""
        connection = await connections.disable_connection(self._directory, request.connection_id)
        self._token_cache.clear()
        return pb.DisableConnectionResponse(connection=connection)

    async def EnableConnection(self, request: pb.EnableConnectionRequest, context: Any) -> pb.EnableConnectionResponse:
        """Enable a connection again."""
        connection = await connections.enable_connection(self._directory, request.connection_id)
        self._token_cache.clear()
        return pb.EnableConnectionResponse(connection=connection)

    async def DeleteConnection(self, request: pb.DeleteConnectionRequest, context: Any) -> pb.DeleteConnectionResponse:
        """Begin to delete a connection."""
        connection = await connections.begin_deletion(self._directory, request.connection_id)
        self._token_cache.clear()
        self._background.deletion_begun()
        return pb.DeleteConnectionResponse(connection=connection)

    async def IssueToken(self, request: pb.IssueTokenRequest, context: Any) -> pb.IssueTokenResponse:
        """Issue a token."""
        seconds = (
            request.expires_in.seconds + request.expires_in.nanos / 1e9 if request.HasField("expires_in") else None
        )
        text, token = await tokens.issue_token(self._directory, request.connection_id, request.scope, seconds)
        return pb.IssueTokenResponse(token=text, details=token)

    async def ListTokens(self, request: pb.ListTokensRequest, context: Any) -> pb.ListTokensResponse:
        """List tokens."""
        return pb.ListTokensResponse(tokens=await tokens.list_tokens(self._directory, request.connection_id))

    async def RevokeToken(self, request: pb.RevokeTokenRequest, context: Any) -> pb.RevokeTokenResponse:
        """Revoke a token."""
        token = await tokens.revoke_token(self._directory, request.connection_id, request.token_id)
        self._token_cache.clear()
        return pb.RevokeTokenResponse(token=token)

    async def GetAttributeMapping(
        self, request: pb.GetAttributeMappingRequest, context: Any
    ) -> pb.GetAttributeMappingResponse:
        """Read an attribute mapping."""
        entries, pending = await mappings.get_mapping(self._directory, request.connection_id)
        return pb.GetAttributeMappingResponse(mapped_attributes=entries, pending_users=pending)

    async def UpdateAttributeMapping(
        self, request: pb.UpdateAttributeMappingRequest, context: Any
    ) -> pb.UpdateAttributeMappingResponse:
        """Replace an attribute mapping."""
        entries, pending = await mappings.update_mapping(
            self._directory, request.connection_id, request.mapped_attributes
        )
        self._background.mapping_changed()
        return pb.UpdateAttributeMappingResponse(mapped_attributes=entries, pending_users=pending)

    async def ListAttributeHistory(
        self, request: pb.ListAttributeHistoryRequest, context: Any
    ) -> pb.ListAttributeHistoryResponse:
        """List the attribute history."""
        sightings = await mappings.list_history(self._directory, request.connection_id)
        return pb.ListAttributeHistoryResponse(sightings=sightings)

    async def PreviewAttributeMapping(
        self, request: pb.PreviewAttributeMappingRequest, context: Any
    ) -> pb.PreviewAttributeMappingResponse:
        """Preview an attribute mapping."""
        metadata = await mappings.preview_mapping(
            self._directory, request.connection_id, request.user, request.mapped_attributes
        )
        response = pb.PreviewAttributeMappingResponse()
        response.metadata.update(metadata)
        return response


def _text(value: str | int) -> str:
    """Return a text of a page token; a forged one may hold NUL, which no database takes."""
    if "\0" in str(value):
        raise InvalidPageToken
    return str(value)
