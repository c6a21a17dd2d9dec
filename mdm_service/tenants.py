"""Which workspaces and connections there are: the directory's word, remembered."""

from rollcall.directory.v1 import connection_service_pb2

from chassis.database import Database, Transaction
from mdm_service import repository
from mdm_service.directory import Directory
from mdm_service.errors import ConnectionNotFound, WorkspaceNotFound, WrongPortal


async def require_workspace(db: Database, directory: Directory, workspace_id: str) -> None:
    """Make sure that a workspace exists; the directory is asked the first time.

    Raises WorkspaceNotFound, DirectoryUnavailable.
    """
    known = await db.read(lambda tx: repository.workspace_is_known(tx, workspace_id))
    if known:
        return
    if known is False or not await directory.has_workspace(workspace_id):
        raise WorkspaceNotFound(workspace_id)

    def remember(tx: Transaction) -> None:
        repository.remember_workspace(tx, workspace_id)

    await db.write(remember, key=workspace_id)


async def require_connection(db: Database, directory: Directory, connection_id: str) -> str:
    """Make sure that an MDM connection exists and answer its workspace; the directory is asked the first time.

    Raises ConnectionNotFound, WrongPortal, DirectoryUnavailable.
    """
    workspace_id = await db.read(lambda tx: repository.connection_workspace(tx, connection_id))
    if workspace_id:
        return workspace_id
    connection = await directory.connection(connection_id)
    if connection is None:
        raise ConnectionNotFound(connection_id)
    if connection.portal != connection_service_pb2.PORTAL_MDM:
        raise WrongPortal(connection_id, connection_service_pb2.Portal.Name(connection.portal).removeprefix("PORTAL_"))

    def remember(tx: Transaction) -> None:
        repository.remember_workspace(tx, connection.workspace_id)
        repository.save_connection(
            tx,
            connection_id,
            connection.workspace_id,
            enabled=connection.state == connection_service_pb2.CONNECTION_STATE_ENABLED,
        )

    await db.write(remember, key=connection.workspace_id)
    return connection.workspace_id
