"""How much a workspace has here, or a connection provisions: what a deletion would reach."""

from __future__ import annotations

from rollcall.portal.v1 import portal_service_pb2 as pb

from chassis.database import Database
from portal_service import repository
from portal_service.errors import InvalidValue
from portal_service.workspaces import Workspaces


async def get_counts(
    db: Database, workspaces: Workspaces, workspace_id: str, connection_id: str
) -> pb.GetCountsResponse:
    """Counts what a workspace has; with a connection's id, the accounts that follow users of that one.

    Raises InvalidValue, WorkspaceNotFound, DirectoryUnavailable.
    """
    if not repository.is_storable(connection_id):
        raise InvalidValue("connection_id", "must not hold NUL")
    await workspaces.require(workspace_id)
    return await db.read(lambda tx: repository.counts(tx, workspace_id, connection_id))
