"""Which workspaces and connections exist: what events told, else what the directory answers.

An administrator's command names ids that may be a few milliseconds old, so what events have not told yet is asked for.
Positive answers are kept; a tombstone that an event left is never overwritten.
"""

from __future__ import annotations

from rollcall.directory.v1.connection_service_pb2 import CONNECTION_STATE_ENABLED, Portal

from chassis.database import Database, Transaction
from portal_service import repository
from portal_service.directory import Directory
from portal_service.errors import ConnectionNotFound, WorkspaceNotFound, WrongPortal
from portal_service.repository import STATE_DELETED, STATE_DISABLED, STATE_ENABLED

# The portals whose connections have rules here, and what the rules of each may create.
DASHBOARD = "DASHBOARD"
STORE = "STORE"
PORTALS = (DASHBOARD, STORE)
SUBJECT_PORTALS = ("dashboard", "store", "none")
"""The portals of the events that are delivered here at all; a workspace's own event is of none."""


class Workspaces:
    """Answers whether a workspace or a connection exists."""

    def __init__(self, db: Database, directory: Directory) -> None:
        """Keeps answers in `db`; asks `directory`."""
        self._db = db
        self._directory = directory

    async def require(self, workspace_id: str) -> None:
        """Raises WorkspaceNotFound unless the workspace exists; DirectoryUnavailable when that cannot be said."""
        if not workspace_id or not repository.is_storable(workspace_id):
            raise WorkspaceNotFound(workspace_id)
        known = await self._db.read(lambda tx: repository.is_workspace_known(tx, workspace_id))
        if known:
            return
        if known is False or await self._directory.find_workspace(workspace_id) is None:
            raise WorkspaceNotFound(workspace_id)
        await self._db.write(lambda tx: see_workspace(tx, workspace_id))

    def require_living(self, tx: Transaction, workspace_id: str) -> None:
        """Raises WorkspaceNotFound when the workspace has been deleted since `require`; holds it until the commit."""
        if not repository.hold_workspace(tx, workspace_id):
            raise WorkspaceNotFound(workspace_id)

    async def require_connection(self, connection_id: str) -> None:
        """Raises ConnectionNotFound unless the connection exists, WrongPortal unless it is of DASHBOARD or STORE.

        Raises DirectoryUnavailable when that cannot be said.
        """
        if not connection_id or not repository.is_storable(connection_id):
            raise ConnectionNotFound(connection_id)
        known = await self._db.read(lambda tx: repository.find_connection(tx, connection_id))
        if known is not None:
            if known.state == STATE_DELETED:
                raise ConnectionNotFound(connection_id)
            return
        found = await self._directory.find_connection(connection_id)
        if found is None:
            raise ConnectionNotFound(connection_id)
        portal = Portal.Name(found.portal).removeprefix("PORTAL_")
        if portal not in PORTALS:
            raise WrongPortal("connection_id", "must be a connection of DASHBOARD or STORE", portal, connection_id)
        state = STATE_ENABLED if found.state == CONNECTION_STATE_ENABLED else STATE_DISABLED
        await self._db.write(lambda tx: see_connection(tx, connection_id, found.workspace_id, portal, state))


def see_workspace(tx: Transaction, workspace_id: str) -> None:
    """Records that a workspace exists, unless it is known already."""
    if repository.is_workspace_known(tx, workspace_id) is None:
        repository.put_workspace(tx, workspace_id, deleted=False)


def see_connection(tx: Transaction, connection_id: str, workspace_id: str, portal: str, state: int) -> None:
    """Records a connection that is not known yet, with the rules that hold until somebody sets some."""
    if repository.find_connection(tx, connection_id) is None:
        repository.put_connection(tx, connection_id, workspace_id, portal, state)
        repository.insert_default_rules(tx, connection_id, workspace_id, portal)
        see_workspace(tx, workspace_id)
