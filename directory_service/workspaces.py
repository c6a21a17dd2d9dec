"""The use cases on workspaces: customer organisations."""

import re
import unicodedata
import uuid

from rollcall.directory.v1 import connection_service_pb2 as pb

from chassis.database import Transaction
from directory_service.directory import Directory
from directory_service.errors import InvalidValue, WorkspaceNotEmpty, WorkspaceNotFound
from directory_service.repository import connections as repository
from directory_service.repository.events import append_workspace_deleted
from directory_service.repository.times import now_ms

MAX_NAME = 200
MAX_SLUG = 40


async def create_workspace(directory: Directory, name: str) -> pb.Workspace:
    """Create a workspace with a slug made of its name. Raises InvalidValue."""
    check_name(name, "name")
    workspace_id = str(uuid.uuid4())
    stem = slug_of(name)

    def unit(tx: Transaction) -> pb.Workspace:
        slug = free_slug(stem, repository.taken_slugs(tx, stem))
        repository.insert_workspace(tx, workspace_id, name=name, slug=slug, now_ms=now_ms())
        return _found(repository.find_workspace(tx, workspace_id), workspace_id)

    return await directory.db.write(unit)


async def get_workspace(directory: Directory, workspace: str) -> pb.Workspace:
    """Read a workspace by its id or slug. Raises WorkspaceNotFound."""
    return await directory.db.read(lambda tx: _found(repository.find_workspace(tx, workspace), workspace))


async def list_workspaces(directory: Directory, *, after: tuple[str, str] | None, limit: int) -> list[pb.Workspace]:
    """List workspaces by name, after a (name, id) pair."""
    return await directory.db.read(lambda tx: repository.list_workspaces(tx, after=after, limit=limit))


async def delete_workspace(directory: Directory, workspace_id: str) -> None:
    """Delete a workspace without connections. Raises WorkspaceNotFound, WorkspaceNotEmpty."""

    def unit(tx: Transaction) -> None:
        _found(repository.lock_workspace(tx, workspace_id), workspace_id)
        if repository.workspace_has_connections(tx, workspace_id):
            raise WorkspaceNotEmpty
        repository.delete_workspace(tx, workspace_id)
        append_workspace_deleted(tx, workspace_id)

    await directory.db.write(unit)


def slug_of(name: str) -> str:
    """Return the slug of a name: lower-case ASCII letters, digits and single hyphens."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:MAX_SLUG].strip("-") or "workspace"


def free_slug(stem: str, taken: set[str]) -> str:
    """Return the stem, or the stem with the lowest number from 2 that is not taken."""
    slug, number = stem, 1
    while slug in taken:
        number += 1
        slug = f"{stem}-{number}"
    return slug


def check_name(name: str, field: str) -> None:
    """Raise InvalidValue unless a name for people is 1 to 200 printable characters."""
    if not name.strip():
        raise InvalidValue(field, "is required")
    if len(name) > MAX_NAME or not name.isprintable():
        raise InvalidValue(field, f"must be at most {MAX_NAME} printable characters")


def _found(workspace: pb.Workspace | None, name: str) -> pb.Workspace:
    if workspace is None:
        raise WorkspaceNotFound(name)
    return workspace
