"""What every use case of the directory works with, and the lock that every write begins with."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from chassis.crashpoints import crashpoint
from chassis.database import Database, Transaction
from directory_service.errors import ConnectionDeleting, ConnectionNotFound, InvalidToken
from directory_service.history import AttributeHistory
from directory_service.page_tokens import PageTokens
from directory_service.profiles import ClientProfiles
from directory_service.query import Scope
from directory_service.repository import connections as repository
from directory_service.repository.events import Journal
from directory_service.tables import STATE_DELETING, STATE_ENABLED

T = TypeVar("T")

LONGEST_REST = 0.1
"""Seconds that background work rests at most between two transactions."""
STEP_SECONDS = 0.025
"""Seconds after which a transaction of background work takes nothing more on: what waits behind it is a request."""


@dataclass(frozen=True, slots=True)
class Access:
    """The connection that a caller may work on."""

    connection_id: str
    by_token: bool
    """Whether a SCIM token opened it; else an internal caller named it."""


@dataclass(frozen=True, slots=True)
class Directory:
    """The database, what is gathered beside it, and the public address of the product."""

    db: Database
    history: AttributeHistory
    profiles: ClientProfiles
    public_url: str
    """Base of SCIM base URLs, without a slash at the end."""
    page_tokens: PageTokens
    rows_left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a group was deleted, of which rows may be left."""

    async def write(self, access: Access, unit: Callable[[Transaction, Journal], T]) -> T:
        """Run a unit of work on a connection, its row locked first, and return the unit's value after COMMIT.

        The unit must be re-runnable and calls `Journal.write` when it changed anything. Raises what the unit raises,
        ConnectionNotFound, ConnectionDeleting, and InvalidToken for a token of a connection that is not enabled.
        """

        def locked(tx: Transaction) -> T:
            return unit(tx, lock(tx, access))

        result = await self.db.write(locked, key=access.connection_id)
        crashpoint("directory.after_commit")
        return result

    def scope(self, connection_id: str) -> Scope:
        """Return where the filters of a connection apply."""
        return Scope(self.db.dialect, connection_id, f"{self.public_url}/scim/v2/{connection_id}")


class Step:
    """The time of one transaction of background work, however slow the database is just then."""

    def __init__(self) -> None:
        self._end = time.monotonic() + STEP_SECONDS

    @property
    def over(self) -> bool:
        """Whether the step should take nothing more on."""
        return time.monotonic() >= self._end


async def in_steps(step: Callable[[], Awaitable[bool]]) -> None:
    """Take steps of background work until one says that nothing is left.

    Between two it rests four times as long as the last one took, a tenth of a second at most: requests come first, and
    so does what has to follow from the steps, in other processes that may share the processors.
    """
    while True:
        began = time.monotonic()
        if not await step():
            return
        await asyncio.sleep(min(4 * (time.monotonic() - began), LONGEST_REST))


def lock(tx: Transaction, access: Access) -> Journal:
    """Lock the connection's row and return the journal of its events; the first statement of every write.

    One lock order for all writes, and with it the order of the connection's events.
    """
    connection = repository.lock_connection(tx, access.connection_id)
    if connection is None:
        raise InvalidToken if access.by_token else ConnectionNotFound(access.connection_id)
    if access.by_token and connection.state != STATE_ENABLED:
        raise InvalidToken
    if connection.state == STATE_DELETING:
        raise ConnectionDeleting
    crashpoint("directory.after_row_lock")
    return Journal(connection)
