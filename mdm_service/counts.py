"""How much a workspace has here, or a connection provisions: what a deletion would reach."""

from rollcall.mdm.v1 import mdm_service_pb2

from chassis.database import Database
from mdm_service import repository, requirements, tenants
from mdm_service.directory import Directory


async def get_counts(
    db: Database, directory: Directory, workspace_id: str, connection_id: str
) -> mdm_service_pb2.GetCountsResponse:
    """Count what a workspace has; with a connection's id, its employees and the devices that they own.

    Raises InvalidValue, WorkspaceNotFound, DirectoryUnavailable.
    """
    requirements.identifier("workspace_id", workspace_id)
    if connection_id:
        requirements.identifier("connection_id", connection_id)
    await tenants.require_workspace(db, directory, workspace_id)
    return await db.read(lambda tx: repository.counts(tx, workspace_id, connection_id))
