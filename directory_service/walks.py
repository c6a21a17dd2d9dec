"""Lists that are read page by page by index, while what they list is written (RFC 7644 §3.4.2.4).

An identity provider imports by `startIndex` 1, 101, 201 and so on, until it is past `totalResults`. Were each page cut
out of the list as it is at that moment, a resource deleted meanwhile from the pages before would move every later one
up by one place, and the client would never see the one that moved over the edge. So the end of each page that was
handed out is remembered for a while, and a request that goes on from it (same token, same query, the very next index)
gets what comes after it, wherever that is by now. Its total is what was handed out and what is left, so that the client
goes on to the end: nothing that lives throughout the walk is skipped or given twice.

The places are in the database, so that any process goes on where another ended a page, and none forgets by a restart.
With a place that is forgotten the page is cut out of the list as it is. Cursors (RFC 9865) carry their place themselves
and need no memory.
"""

import hashlib
import time
from dataclasses import dataclass

from chassis.database import Transaction
from directory_service.directory import Directory
from directory_service.repository import walks as repository
from directory_service.repository.listing import Last

REMEMBERED_SECONDS = 600
"""For how long the end of a page is remembered: longer than any client takes from one page to the next."""
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended."""

    last: Last
    sequence: int
    """The connection's last event when the page was read: while it is the same, so is everything else."""
    total: int
    """The total that was told with the page."""


@dataclass(frozen=True, slots=True)
class Walk:
    """One caller's way through the results of one query."""

    connection_id: str
    name: bytes

    @classmethod
    def of(cls, connection_id: str, walker: bytes, query: str) -> "Walk":
        """Return the walk of a caller, known by the hash of its token, through the results of a query."""
        return cls(connection_id, hashlib.sha256(walker + query.encode()).digest())

    def place(self, tx: Transaction, skip: int) -> Place | None:
        """Return where the page ended that handed out the resource before this index, from 0."""
        row = repository.find_place(tx, self.connection_id, self.name, skip, _now_ms()) if skip else None
        return None if row is None else Place(row.last, row.sequence, row.total)


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a page of a walk; `skip` is the index, from 0, of what comes next."""

    walk: Walk
    skip: int
    place: Place


async def remember(directory: Directory, ended: Ended | None) -> None:
    """Remember where a page ended, before it is handed out. Raises DatabaseUnavailable."""
    if ended is None:
        return
    walk, place = ended.walk, ended.place
    expires_ms = _now_ms() + REMEMBERED_SECONDS * 1000

    def unit(tx: Transaction) -> None:
        repository.note_place(
            tx,
            walk.connection_id,
            walk.name,
            skip=ended.skip,
            last=place.last,
            sequence=place.sequence,
            total=place.total,
            expires_ms=expires_ms,
        )

    await directory.db.write(unit, key=walk.connection_id)


async def forget(directory: Directory) -> int:
    """Delete the places whose time is over, in chunks; return how many they were."""
    forgotten = 0
    while deleted := await directory.db.write(lambda tx: repository.delete_places(tx, _now_ms(), _CHUNK)):
        forgotten += deleted
    return forgotten


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
