"""The use cases on SCIM connections: enable, disable, rename, delete with everything on them (PRODUCT §1)."""

import logging
import uuid

from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.directory.v1 import events_pb2

from chassis import audit, scim_token
from chassis.database import Transaction
from directory_service.directory import Access, Directory, Step, in_steps
from directory_service.errors import (
    ConnectionDeleting,
    ConnectionNotFound,
    InvalidValue,
    PortalAlreadyConnected,
    WorkspaceNotFound,
)
from directory_service.groups import purge_some, remove_group
from directory_service.repository import connections as repository
from directory_service.repository import groups as groups_repository
from directory_service.repository import profiles as profiles_repository
from directory_service.repository import sightings
from directory_service.repository import users as users_repository
from directory_service.repository.events import Journal, portal_name
from directory_service.repository.times import now_ms
from directory_service.tables import STATE_DELETING, STATE_DISABLED, STATE_ENABLED
from directory_service.tokens import insert_token
from directory_service.users import remove_user
from directory_service.workspaces import check_name

DELETED_AT_ONCE = 20
"""Users or groups that one transaction of a connection's deletion removes: a SCIM request may wait behind it."""
MEMBERS_DELETED_AT_ONCE = 1_000
"""Members after which such a transaction takes no further group."""

DISPLAY_NAMES = {"DASHBOARD": "Dashboard", "STORE": "Enterprise Store", "MDM": "MDM"}

_log = logging.getLogger(__name__)


async def create_connection(
    directory: Directory, workspace_id: str, portal: pb.Portal, display_name: str
) -> tuple[pb.Connection, str, str]:
    """Enable SCIM on a portal; return the connection, its first token's text, shown this once, and the token's id.

    Raises WorkspaceNotFound, PortalAlreadyConnected, InvalidValue.
    """
    if portal not in (pb.PORTAL_DASHBOARD, pb.PORTAL_STORE, pb.PORTAL_MDM):
        raise InvalidValue("portal", "must be one of DASHBOARD, STORE, MDM")
    name = portal_name(portal)
    display_name = display_name or DISPLAY_NAMES[name]
    check_name(display_name, "display_name")
    connection_id, token_id = str(uuid.uuid4()), scim_token.new_token_id()
    text, sha256 = scim_token.issue(token_id)
    audit.target("token_id", token_id)

    def unit(tx: Transaction) -> pb.Connection:
        # The workspace's row orders what would race for its portal.
        if repository.lock_workspace(tx, workspace_id) is None:
            raise WorkspaceNotFound(workspace_id)
        if repository.enabled_connection(tx, workspace_id, name) is not None:
            raise PortalAlreadyConnected(name)
        repository.insert_connection(
            tx, connection_id, workspace_id=workspace_id, portal=name, display_name=display_name, now_ms=now_ms()
        )
        insert_token(tx, connection_id, token_id, sha256, "WRITE", None)
        connection = repository.lock_connection(tx, connection_id)
        assert connection is not None
        journal = Journal(connection)
        journal.of_connection(events_pb2.ConnectionEnabled)
        journal.write(tx)
        return _message(directory, tx, connection_id)

    message = await directory.db.write(unit)
    _log.info("issued token %s", token_id, extra={"connection_id": connection_id})
    return message, text, token_id


async def get_connection(directory: Directory, connection_id: str) -> pb.Connection:
    """Read a connection, with its client profiles up to now. Raises ConnectionNotFound."""
    await directory.profiles.flush(all_of=connection_id)
    return await directory.db.read(lambda tx: _message(directory, tx, connection_id))


async def list_connections(
    directory: Directory, workspace_id: str | None, *, after: tuple[int, str] | None, limit: int
) -> tuple[list[pb.Connection], list[tuple[int, str]]]:
    """List connections by time of creation, of every workspace when none is given; also the sort key of each.

    Client profiles are those written so far. Raises WorkspaceNotFound.
    """

    def unit(tx: Transaction) -> tuple[list[pb.Connection], list[tuple[int, str]]]:
        within = None
        if workspace_id is not None:
            workspace = repository.find_workspace(tx, workspace_id)
            if workspace is None:
                raise WorkspaceNotFound(workspace_id)
            within = workspace.workspace_id
        rows = repository.list_connections(tx, within, after=after, limit=limit)
        profiles = profiles_repository.profiles_of(tx, [row.id for row in rows])
        messages = [repository.connection_message(row, directory.public_url) for row in rows]
        for message in messages:
            message.client_profiles.extend(profiles[message.connection_id])
        return messages, [(row.created_ms, row.id) for row in rows]

    return await directory.db.read(unit)


async def rename_connection(directory: Directory, connection_id: str, display_name: str) -> pb.Connection:
    """Rename a connection; nothing depends on the name, so no event tells of it.

    Raises ConnectionNotFound, ConnectionDeleting, InvalidValue.
    """
    check_name(display_name, "display_name")

    def unit(tx: Transaction, journal: Journal) -> pb.Connection:
        repository.set_connection(tx, connection_id, {"display_name": display_name})
        return _message(directory, tx, connection_id)

    return await directory.write(Access(connection_id, by_token=False), unit)


async def disable_connection(directory: Directory, connection_id: str) -> pb.Connection:
    """Disable a connection; again is no error and no event. Raises ConnectionNotFound, ConnectionDeleting."""

    def unit(tx: Transaction, journal: Journal) -> pb.Connection:
        if journal.connection.state == STATE_ENABLED:
            repository.set_connection(tx, connection_id, {"state": STATE_DISABLED})
            journal.of_connection(events_pb2.ConnectionDisabled)
            journal.write(tx)
        return _message(directory, tx, connection_id)

    return await directory.write(Access(connection_id, by_token=False), unit)


async def enable_connection(directory: Directory, connection_id: str) -> pb.Connection:
    """Enable a connection again; again is no error and no event.

    Raises ConnectionNotFound, ConnectionDeleting, PortalAlreadyConnected.
    """
    row = await directory.db.read(lambda tx: repository.get_connection(tx, connection_id))
    if row is None:
        raise ConnectionNotFound(connection_id)
    workspace_id = row.workspace_id

    def unit(tx: Transaction) -> pb.Connection:
        # As in `create_connection`: the workspace first, so that both take their locks in one order.
        repository.lock_workspace(tx, workspace_id)
        connection = repository.lock_connection(tx, connection_id)
        if connection is None:
            raise ConnectionNotFound(connection_id)
        if connection.state == STATE_DELETING:
            raise ConnectionDeleting
        if connection.state == STATE_DISABLED:
            if repository.enabled_connection(tx, connection.workspace_id, connection.portal) is not None:
                raise PortalAlreadyConnected(connection.portal)
            repository.set_connection(tx, connection_id, {"state": STATE_ENABLED})
            journal = Journal(connection)
            journal.of_connection(events_pb2.ConnectionEnabled)
            journal.write(tx)
        return _message(directory, tx, connection_id)

    return await directory.db.write(unit, key=connection_id)


async def begin_deletion(directory: Directory, connection_id: str) -> pb.Connection:
    """Mark a connection as being deleted: from now on it answers nothing. Again is no error.

    `finish_deletion` does the rest. Raises ConnectionNotFound.
    """

    def unit(tx: Transaction) -> pb.Connection:
        if repository.lock_connection(tx, connection_id) is None:
            raise ConnectionNotFound(connection_id)
        repository.set_connection(tx, connection_id, {"state": STATE_DELETING})
        return _message(directory, tx, connection_id)

    return await directory.db.write(unit, key=connection_id)


async def finish_deletion(directory: Directory, connection_id: str) -> None:
    """Delete the groups, then the users, then the connection itself, in transactions of bounded size.

    May be interrupted and begun again; a connection that is gone is no error.
    """
    await in_steps(lambda: directory.db.write(lambda tx: _delete_some(tx, connection_id), key=connection_id))
    directory.history.forget(connection_id)
    directory.profiles.forget(connection_id)


def _delete_some(tx: Transaction, connection_id: str) -> bool:
    """Delete a bounded part of a connection, and return whether anything is left of it."""
    connection = repository.lock_connection(tx, connection_id)
    if connection is None or connection.state != STATE_DELETING:
        return False
    if (left := groups_repository.first_deleted_group(tx, connection_id)) is not None:
        purge_some(tx, *left)
        return True
    journal, now = Journal(connection), now_ms()
    groups = groups_repository.first_groups(tx, connection_id, DELETED_AT_ONCE)
    users = [] if groups else users_repository.first_users(tx, connection_id, DELETED_AT_ONCE)
    members, step = 0, Step()
    for group in groups:
        # Groups above it are deleted as well: that it left them need not be told.
        remove_group(tx, journal, group, now)
        members += group.member_count
        if members >= MEMBERS_DELETED_AT_ONCE or step.over:
            break
    for row in users:
        journal.user(events_pb2.UserDeleted, remove_user(tx, journal, row, now))
        if step.over:
            break
    finished = not groups and not users
    if finished:
        journal.of_connection(events_pb2.ConnectionDeleted)
    journal.write(tx)
    if finished:
        sightings.delete_sightings(tx, connection_id)
        profiles_repository.delete_profiles(tx, connection_id)
        repository.delete_connection(tx, connection_id, version=connection.version, now_ms=now)
    return not finished


async def unfinished_deletions(directory: Directory) -> list[str]:
    """Return the connections whose deletion was begun and not finished."""
    return await directory.db.read(repository.deleting_connections)


def _message(directory: Directory, tx: Transaction, connection_id: str) -> pb.Connection:
    row = repository.get_connection(tx, connection_id)
    if row is None:
        raise ConnectionNotFound(connection_id)
    message = repository.connection_message(row, directory.public_url)
    message.client_profiles.extend(profiles_repository.profiles_of(tx, [connection_id])[connection_id])
    return message
