"""The attribute history as it is gathered: new attributes at once, counts every few seconds (PRODUCT §3)."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from chassis.database import Database, Transaction
from directory_service.domain.changes import attribute_forms
from directory_service.repository import sightings
from directory_service.repository.times import now_ms
from directory_service.tables import KIND_GROUP, KIND_USER
from scim.schemas import GROUP_URN, USER_URN

Sightings = frozenset[tuple[str, str, int]]
"""Namespace, key and the forms of the values (`domain.changes`) of what one write brought."""

MAX_KEY = 500
"""Characters of a namespace or key that is recorded; longer ones cannot be mapped either."""


class AttributeHistory:
    """Remembers which attributes are recorded already, and counts sightings until they are flushed.

    A crash loses the counts of the last seconds, never the fact that an attribute was received.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: defaultdict[str, set[tuple[str, str, int]]] = defaultdict(set)
        self._counts: dict[tuple[str, str, str], tuple[int, int]] = {}

    @staticmethod
    def keys(document: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> Sightings:
        """Return the attributes that a write brought: those of the document, or of what differs from `before`."""
        if before is not None:
            document = {name: value for name, value in document.items() if before.get(name) != value}
        return frozenset(
            (namespace, key, forms)
            for (namespace, key), forms in attribute_forms(document, USER_URN).items()
            if len(namespace) <= MAX_KEY and len(key) <= MAX_KEY
        )

    def record(self, tx: Transaction, connection_id: str, keys: Sightings, time_ms: int) -> None:
        """Write the attributes that this process does not know to be recorded, in the transaction that brought them."""
        unseen = set(keys) - self._known[connection_id]
        if unseen:
            sightings.insert_sightings(tx, connection_id, unseen, time_ms, kind=KIND_USER)

    @staticmethod
    def record_group(tx: Transaction, connection_id: str, document: Mapping[str, Any], time_ms: int) -> None:
        """Write which attributes of extensions a group carries: few do, so that they are neither cached nor counted."""
        extensions = {name: value for name, value in document.items() if ":" in name}
        if extensions:
            keys = (
                (namespace, key, forms)
                for (namespace, key), forms in attribute_forms(extensions, GROUP_URN).items()
                if len(namespace) <= MAX_KEY and len(key) <= MAX_KEY
            )
            sightings.insert_sightings(tx, connection_id, keys, time_ms, kind=KIND_GROUP)

    def received(self, connection_id: str, keys: Sightings) -> None:
        """Count attributes whose transaction is committed."""
        self._known[connection_id] |= keys
        time_ms = now_ms()
        for namespace, key, _ in keys:
            count, _ = self._counts.get((connection_id, namespace, key), (0, 0))
            self._counts[connection_id, namespace, key] = (count + 1, time_ms)

    def forget(self, connection_id: str) -> None:
        """Forget a connection that is deleted."""
        self._known.pop(connection_id, None)
        self._counts = {key: value for key, value in self._counts.items() if key[0] != connection_id}

    async def flush(self) -> None:
        """Write the counts gathered so far."""
        counts, self._counts = self._counts, {}
        if counts:
            await self._db.write(lambda tx: sightings.add_counts(tx, counts))
