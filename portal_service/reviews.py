"""Deciding every collaborator of a connection again after its rules changed, in the background.

A review is a row that says how far it is. Each chunk, its effects and the new position commit together, so a review
that a crash interrupts goes on where it was, and one that a newer change replaces starts over. Its effects name
`rules:<connection>:<version of the rules>` in place of an event, and the administrator's request.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime

from rollcall.portal.v1.portal_service_pb2 import Rules

from chassis.consumer import Event
from chassis.database import Database, DatabaseUnavailable, Transaction
from portal_service import repository
from portal_service.collaborators import decide_roles
from portal_service.repository import AnyRow

_log = logging.getLogger(__name__)

_CHUNK = 200
# A backstop, in seconds: reviews that another replica started and did not end.
_POLL_SECONDS = 30.0
_BACKOFF_SECONDS = 1.0


def review_chunk(tx: Transaction, connection_id: str, now: datetime) -> bool:
    """Decides the next 200 collaborators of a review; says whether more may follow."""
    review = repository.lock_review(tx, connection_id)
    rules = repository.hold_rules(tx, connection_id)
    if review is None or rules is None:
        return False
    users = repository.list_followed(tx, connection_id, review.last_user_id, _CHUNK)
    decide_roles(tx, _event_of(review, rules, now), rules, users)
    ended = len(users) < _CHUNK
    repository.advance_review(tx, connection_id, None if ended else users[-1])
    return not ended


def _event_of(review: AnyRow, rules: AnyRow, now: datetime) -> Event:
    return Event(
        id=f"rules:{review.connection_id}:{review.rule_version}",
        type=Rules.DESCRIPTOR.full_name,
        time=now,
        connection_id=review.connection_id,
        aggregate_kind="rules",
        aggregate_id=review.connection_id,
        portal=rules.portal,
        version=review.rule_version,
        sequence=0,
        request_id=review.request_id,
        traceparent="",
        message=Rules(connection_id=review.connection_id, rule_version=review.rule_version),
        repair=False,
    )


class RoleReviewer:
    """Works off reviews, one chunk per transaction, so that nobody waits long behind one."""

    def __init__(self, db: Database) -> None:
        """Works on `db`; any number of replicas may."""
        self._db = db
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Makes the reviewer look for work at once."""
        self._wake.set()

    async def run(self) -> None:
        """Works until it is cancelled."""
        while True:
            self._wake.clear()
            try:
                while (connection_id := await self._db.read(repository.find_review)) is not None:
                    await self._review(connection_id)
            except DatabaseUnavailable as error:
                _log.warning("reviews of roles wait: %s", error)
                await asyncio.sleep(_BACKOFF_SECONDS)
                continue
            try:
                # Not wait_for, which in Python 3.11 swallows a cancellation that comes together with the wake-up.
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _review(self, connection_id: str) -> None:
        more = True
        while more:
            more = await self._db.write(
                lambda tx: review_chunk(tx, connection_id, datetime.now(UTC)), key=connection_id
            )
