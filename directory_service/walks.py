"""Lists that are read page by page by index, while what they list is written (RFC 7644 §3.4.2.4).

An identity provider imports by `startIndex` 1, 101, 201 and so on, until it is past `totalResults`. Were each page cut
out of the list as it is at that moment, a resource deleted meanwhile from the pages before would move every later one
up by one place, and the client would never see the one that moved over the edge. So the end of each page that was
handed out is remembered for a while, and a request that goes on from it (same token, same query, the very next index)
gets what comes after it, wherever that is by now. Its total is what was handed out and what is left, so that the client
goes on to the end: nothing that lives throughout the walk is skipped or given twice.

The memory is this process's, bounded in time and number; with a place that is forgotten, or unknown to a process, the
page is cut out of the list as it is. Cursors (RFC 9865) carry their place themselves and need no memory.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from directory_service.repository.listing import Last

REMEMBERED_SECONDS = 600.0
"""For how long the end of a page is remembered: longer than any client takes from one page to the next."""
REMEMBERED_PLACES = 10_000
LONGEST_VALUE = 1024
"""Characters of a value that was sorted by; with a longer one the place is not remembered."""

Key = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended."""

    last: Last
    sequence: int
    """The connection's last event when the page was read: while it is the same, so is everything else."""
    total: int
    """The total that was told with the page."""


class Walks:
    """The places of all walks. Used by several threads."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic, places: int = REMEMBERED_PLACES) -> None:
        self._clock = clock
        self._capacity = places
        self._places: OrderedDict[Key, tuple[float, Place]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, walker: bytes, query: str) -> "Walk":
        """Return the walk of a caller, known by the hash of its token, through the results of a query."""
        return Walk(self, hashlib.sha256(walker + query.encode()).digest())

    def find(self, key: Key) -> Place | None:
        """Return a place that is not forgotten yet."""
        with self._lock:
            found = self._places.get(key)
        return found[1] if found is not None and found[0] > self._clock() else None

    def note(self, key: Key, place: Place) -> None:
        """Remember a place; of too many, the oldest is forgotten."""
        with self._lock:
            self._places[key] = (self._clock() + REMEMBERED_SECONDS, place)
            self._places.move_to_end(key)
            while len(self._places) > self._capacity:
                self._places.popitem(last=False)


@dataclass(frozen=True, slots=True)
class Walk:
    """One caller's way through the results of one query."""

    walks: Walks
    name: bytes

    def place(self, skip: int) -> Place | None:
        """Return where the page ended that handed out the resource before this index, from 0."""
        return self.walks.find((self.name, skip)) if skip else None

    def ended(self, skip: int, place: Place) -> None:
        """Remember where a page ended; `skip` is the index, from 0, of what comes next."""
        if not isinstance(place.last.value, str) or len(place.last.value) <= LONGEST_VALUE:
            self.walks.note((self.name, skip), place)
