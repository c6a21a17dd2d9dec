"""Emptying workspaces that are gone, in the background, a bounded part in each transaction.

The tombstone of a workspace that still holds something says what there is to do, so work that a crash interrupts goes
on where it was.
"""

from __future__ import annotations

import asyncio
import logging

from chassis.database import Database, DatabaseUnavailable, Transaction
from portal_service import repository

_log = logging.getLogger(__name__)

_CHUNK = 200
_LOOK_SECONDS = 5.0


def close(tx: Transaction, workspace_id: str) -> None:
    """Marks a workspace as deleted and removes the first part of what it holds; `run` removes the rest."""
    repository.put_workspace(tx, workspace_id, deleted=True)
    repository.empty_workspace(tx, workspace_id, _CHUNK)


async def empty_all(db: Database) -> None:
    """Empties every deleted workspace."""
    while (workspace_id := await db.read(repository.find_full_workspace)) is not None:
        await db.write(lambda tx, gone=workspace_id: repository.empty_workspace(tx, gone, _CHUNK))  # type: ignore[misc]


async def run(db: Database) -> None:
    """Empties deleted workspaces as they come, until cancelled."""
    while True:
        try:
            await empty_all(db)
        except DatabaseUnavailable as error:
            _log.warning("deleted workspaces wait to be emptied: %s", error)
        await asyncio.sleep(_LOOK_SECONDS)
