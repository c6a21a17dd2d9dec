"""Client profiles as they are gathered: a new dialect at once, counts and last sights once a minute.

They are evidence for the administrator; nothing else reads them.
"""

import asyncio

from rollcall.directory.v1 import connection_service_pb2 as pb

from chassis.database import Database, DatabaseUnavailable
from directory_service.repository import profiles as repository
from directory_service.repository.profiles import Sight
from directory_service.repository.times import now_ms

WRITTEN_MS = 60_000
"""How often the last sight of a dialect that is known on a connection is written at most."""

_NAMES = pb.ClientDialect.DESCRIPTOR.values_by_name
DIALECTS = frozenset(name.removeprefix("CLIENT_DIALECT_") for name in _NAMES) - {"UNSPECIFIED"}
"""The names of `rollcall.directory.v1.ClientDialect`, without their prefix."""

Key = tuple[str, str]
"""Connection id and dialect."""


class ClientProfiles:
    """Notes in which dialects requests come, and writes it off the path of requests.

    A crash loses the counts of the last minute; a dialect that is new is written within a moment.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._seen: dict[Key, Sight] = {}
        self._written: dict[Key, int] = {}
        self._flushing = asyncio.Lock()
        self.new_dialect = asyncio.Event()
        """Set when a dialect was seen that this process has not written yet."""

    def seen(self, connection_id: str, dialect: str, now: int) -> None:
        """Note a request, `now` in milliseconds; a dialect that the contract does not name is passed over."""
        if dialect not in DIALECTS:
            return
        key = (connection_id, dialect)
        self._add(key, Sight(now, now, 1))
        if key not in self._written:
            self.new_dialect.set()

    async def flush(self, *, all_of: str = "") -> None:
        """Write what is due: dialects that are new, those last written a minute ago, and all of one connection."""
        # Whoever reads after this must find what another flush has taken and not yet written.
        async with self._flushing:
            await self._flush(all_of)

    async def _flush(self, all_of: str) -> None:
        now = now_ms()
        due = {
            key: self._seen.pop(key)
            for key in list(self._seen)
            if key[0] == all_of or now - self._written.get(key, 0) >= WRITTEN_MS
        }
        if not due:
            return
        try:
            await self._db.write(lambda tx: repository.add_sights(tx, due))
        except DatabaseUnavailable:
            for key, sight in due.items():
                self._add(key, sight)
            raise
        self._written.update(dict.fromkeys(due, now))

    async def flush_all(self) -> None:
        """Write everything: at the end of the process."""
        self._written.clear()
        await self.flush()

    def forget(self, connection_id: str) -> None:
        """Forget a connection that is deleted."""
        self._written = {key: ms for key, ms in self._written.items() if key[0] != connection_id}

    def _add(self, key: Key, sight: Sight) -> None:
        known = self._seen.get(key)
        if known is None:
            self._seen[key] = sight
            return
        known.first_ms = min(known.first_ms, sight.first_ms)
        known.last_ms = max(known.last_ms, sight.last_ms)
        known.count += sight.count
