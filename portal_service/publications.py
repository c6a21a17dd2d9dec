"""Publications of the Enterprise Store: who offers what to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from rollcall.portal.v1.portal_service_pb2 import Publication

from chassis.database import Database, Transaction
from chassis.identifiers import time_ordered_id
from chassis.paging import decode_page_token, encode_page_token, page_limit
from portal_service import repository
from portal_service.directory import Directory
from portal_service.domain.accounts import email_key
from portal_service.errors import DOMAIN, GroupNotFound, InvalidValue, PublicationExists, PublicationNotFound
from portal_service.workspaces import STORE, Workspaces

MAX_NAME_LENGTH = 200
MAX_AUDIENCE = 100


async def create_publication(
    db: Database,
    workspaces: Workspaces,
    directory: Directory,
    workspace_id: str,
    *,
    name: str,
    audience: Sequence[str],
) -> Publication:
    """Offers an app to every employee, or to the members of the groups whose display names `audience` holds.

    A group counts by its id from then on: a rename changes nothing, and when all groups of an audience are gone, nobody
    sees the app. Raises InvalidValue, GroupNotFound, PublicationExists, WorkspaceNotFound, DirectoryUnavailable.
    """
    name = name.strip()
    if not name or len(name) > MAX_NAME_LENGTH or not repository.is_storable(name):
        raise InvalidValue("name", f"must be 1 to {MAX_NAME_LENGTH} characters")
    _check_audience(audience)
    await workspaces.require(workspace_id)
    groups = await _find_groups(db, directory, workspace_id, audience)
    values = {
        "id": time_ordered_id(),
        "workspace_id": workspace_id,
        "name": name,
        "name_key": name.casefold(),
        "restricted": bool(groups),
        "created_at": datetime.now(UTC),
    }

    def unit(tx: Transaction) -> Publication:
        workspaces.require_living(tx, workspace_id)
        if not repository.insert_publication(tx, values, groups):
            raise PublicationExists(name)
        return _read(tx, workspace_id, str(values["id"]))

    return await db.write(unit)


async def update_publication(
    db: Database,
    workspaces: Workspaces,
    directory: Directory,
    workspace_id: str,
    publication_id: str,
    *,
    audience: Sequence[str],
) -> Publication:
    """Offers an app to another audience: groups by display name, those of the audience that stands by id as well.

    An empty one opens it to every employee. Raises InvalidValue, GroupNotFound, PublicationNotFound, WorkspaceNotFound,
    DirectoryUnavailable.
    """
    _check_audience(audience)
    await workspaces.require(workspace_id)
    if not repository.is_storable(publication_id):
        raise PublicationNotFound(publication_id)
    standing = await db.read(lambda tx: _audience(tx, workspace_id, publication_id))
    groups = await _find_groups(db, directory, workspace_id, audience, standing)

    def unit(tx: Transaction) -> Publication:
        if not repository.lock_publication(tx, workspace_id, publication_id):
            raise PublicationNotFound(publication_id)
        repository.replace_audience(tx, publication_id, groups)
        return _read(tx, workspace_id, publication_id)

    return await db.write(unit)


async def get_publication(db: Database, workspaces: Workspaces, workspace_id: str, publication_id: str) -> Publication:
    """Returns one publication; raises PublicationNotFound, WorkspaceNotFound, DirectoryUnavailable."""
    await workspaces.require(workspace_id)
    if not repository.is_storable(publication_id):
        raise PublicationNotFound(publication_id)
    return await db.read(lambda tx: _read(tx, workspace_id, publication_id))


def _read(tx: Transaction, workspace_id: str, publication_id: str) -> Publication:
    row = repository.find_publication(tx, workspace_id, publication_id)
    if row is None:
        raise PublicationNotFound(publication_id)
    return repository.publication_messages(tx, workspace_id, [row])[0]


def _audience(tx: Transaction, workspace_id: str, publication_id: str) -> dict[str, tuple[str, str]]:
    if repository.find_publication(tx, workspace_id, publication_id) is None:
        raise PublicationNotFound(publication_id)
    return repository.list_audience(tx, publication_id)


def _check_audience(audience: Sequence[str]) -> None:
    if len(audience) > MAX_AUDIENCE:
        raise InvalidValue("audience", f"must be at most {MAX_AUDIENCE} groups")
    for position, group in enumerate(audience):
        if not group.strip() or not repository.is_storable(group):
            raise InvalidValue(f"audience[{position}]", "must be the display name of a group")


async def _find_groups(
    db: Database,
    directory: Directory,
    workspace_id: str,
    audience: Sequence[str],
    standing: Mapping[str, tuple[str, str]] | None = None,
) -> dict[str, tuple[str, str]]:
    """Returns connection and display name of each group of an audience, by id; those of `standing` are taken by id."""
    groups: dict[str, tuple[str, str]] = {}
    for position, group in enumerate(audience):
        if standing and group in standing:
            groups[group] = standing[group]
            continue
        group_id, *rest = await _find_group(db, directory, workspace_id, group.strip(), f"audience[{position}]")
        groups[group_id] = (rest[0], rest[1])
    return groups


async def _find_group(
    db: Database, directory: Directory, workspace_id: str, name: str, field: str
) -> tuple[str, str, str]:
    """Returns id, connection and display name of a group of the workspace's STORE connections."""

    def known(tx: Transaction) -> tuple[str, str, str] | None:
        for connection_id in repository.list_connections(tx, workspace_id, STORE):
            row = repository.find_group_by_name(tx, connection_id, name.casefold())
            if row is not None:
                return row.id, connection_id, row.display_name
        return None

    found = await db.read(known)
    if found is not None:
        return found
    # The group may be so new that its event is still under way.
    for connection_id in await directory.list_store_connections(workspace_id):
        group = await directory.find_group(connection_id, name)
        if group is not None:
            return group.id, connection_id, group.display_name
    raise GroupNotFound(field, name)


async def list_publications(
    db: Database, workspaces: Workspaces, workspace_id: str, *, page_size: int, page_token: str
) -> tuple[list[Publication], str]:
    """Returns a page of a workspace's publications by name, and the next page's token (AIP-158).

    Raises WorkspaceNotFound, DirectoryUnavailable, and InvalidPageToken.
    """
    query = f"publications:{workspace_id}"
    after = str(decode_page_token(page_token, query, types=[str], domain=DOMAIN)[0]) if page_token else ""
    await workspaces.require(workspace_id)
    limit = page_limit(page_size)

    def unit(tx: Transaction) -> tuple[list[Publication], str]:
        rows = repository.page_publications(tx, workspace_id, after, limit + 1)
        token = encode_page_token([rows[limit - 1].name_key], query) if len(rows) > limit else ""
        return repository.publication_messages(tx, workspace_id, rows[:limit]), token

    return await db.read(unit)


async def delete_publication(db: Database, workspaces: Workspaces, workspace_id: str, publication_id: str) -> None:
    """Takes an app from the store; raises PublicationNotFound, WorkspaceNotFound, DirectoryUnavailable."""
    await workspaces.require(workspace_id)

    def unit(tx: Transaction) -> None:
        if not repository.is_storable(publication_id) or not repository.delete_publication(
            tx, workspace_id, publication_id
        ):
            raise PublicationNotFound(publication_id)

    await db.write(unit)


async def list_visible_publications(
    db: Database, workspaces: Workspaces, workspace_id: str, email: str
) -> list[Publication]:
    """Returns what an employee sees, by name; nothing for one who is no employee.

    Raises WorkspaceNotFound, DirectoryUnavailable.
    """
    await workspaces.require(workspace_id)

    def unit(tx: Transaction) -> list[Publication]:
        rows = repository.visible_publications(tx, workspace_id, email_key(email))
        return repository.publication_messages(tx, workspace_id, rows)

    return await db.read(unit)


async def check_publication_access(
    db: Database, workspaces: Workspaces, workspace_id: str, *, publication_id: str, email: str
) -> bool:
    """Says whether an employee may see a publication; false for one who is no employee.

    Raises PublicationNotFound, WorkspaceNotFound, DirectoryUnavailable.
    """
    await workspaces.require(workspace_id)

    def unit(tx: Transaction) -> bool:
        if (
            not repository.is_storable(publication_id)
            or repository.find_publication(tx, workspace_id, publication_id) is None
        ):
            raise PublicationNotFound(publication_id)
        return bool(repository.visible_publications(tx, workspace_id, email_key(email), publication_id))

    return await db.read(unit)
