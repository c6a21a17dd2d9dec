"""What the metrics of a process ask about its outbox, its relay, its consumer, and what that one has done."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections import Counter
from collections.abc import Iterable

import sqlalchemy as sa

from chassis.consumer import Consumer
from chassis.database import Database, Transaction
from chassis.delivery_tables import DeliveryTables
from chassis.effects import OUTCOMES
from chassis.identifiers import first_id
from chassis.metrics import Question, Sample
from chassis.outbox import TableLike, table_of, unsent_count
from chassis.relay import Relay

CONSUMER_RESULTS = ("applied", "duplicates", "covered", "gaps", "repaired", "poison", "queued", "retries")
"""The counters of a consumer that are metrics."""

_LATE_MS = 2_000
"""How much later than its id an effect may be committed."""


def outbox_questions(name: str, db: Database, table: TableLike, relay: Relay | None = None) -> dict[str, Question]:
    """Give the questions about an outbox, by the name of its service, and about this process's relay, if it has one."""
    outbox = table_of(table)
    oldest = sa.select(outbox.c.created_at).where(outbox.c.sent_at.is_(None)).order_by(outbox.c.id).limit(1)

    async def waiting() -> Iterable[Sample]:
        depth = await unsent_count(db, table)
        since = await db.read(lambda tx: tx.execute(oldest).scalar())
        age = 0.0 if since is None else (datetime.datetime.now(datetime.UTC) - since).total_seconds()
        return (
            Sample("rollcall_outbox_depth", depth, (name,)),
            Sample("rollcall_outbox_age_seconds", max(age, 0.0), (name,)),
        )

    async def published() -> Iterable[Sample]:
        assert relay is not None
        return (
            Sample("rollcall_relay_published", relay.published, (name,)),
            Sample("rollcall_relay_leading", relay.leading, (name,)),
        )

    questions: dict[str, Question] = {"outbox": waiting}
    return questions if relay is None else {**questions, "relay": published}


def consumer_questions(db: Database, service: str, consumer: Consumer, tables: DeliveryTables) -> dict[str, Question]:
    """Give the questions about the consumer of this process, its effects and dead letters."""
    resolved = tables.resolved()
    dead = resolved.dead_letters
    by_state = sa.select(dead.c.state, sa.func.count().label("number")).group_by(dead.c.state)
    effects = _EffectCounts(db, resolved.effects)

    async def lag() -> Iterable[Sample]:
        return (Sample("rollcall_consumer_lag", await consumer.lag(), (service,)),)

    async def events() -> Iterable[Sample]:
        results = (
            Sample("rollcall_consumer_events", consumer.counters[result], (service, result))
            for result in CONSUMER_RESULTS
        )
        return (*results, Sample("rollcall_consumer_partitions", len(consumer.partitions), (service,)))

    async def dead_letters() -> Iterable[Sample]:
        rows = await db.read(lambda tx: tx.execute(by_state).all())
        counts = {"PARKED": 0, "QUEUED": 0} | {row.state: row.number for row in rows}
        return [Sample("rollcall_dead_letters", count, (service, state)) for state, count in counts.items()]

    async def outcomes() -> Iterable[Sample]:
        counts = await effects.read()
        return [Sample("rollcall_effects", counts[outcome], (service, outcome)) for outcome in sorted(OUTCOMES)]

    return {"lag": lag, "consumer": events, "dead_letters": dead_letters, "effects": outcomes}


class _EffectCounts:
    """Counts effects by outcome as they come, so that a scrape looks at the new ones only."""

    def __init__(self, db: Database, table: sa.Table) -> None:
        self._db = db
        columns = table.c
        self._new = (
            sa.select(columns.outcome, sa.func.count().label("number"))
            .where(columns.effect_id > sa.bindparam("after"), columns.effect_id <= sa.bindparam("upto"))
            .group_by(columns.outcome)
        )
        self._after = first_id(time.time_ns() // 1_000_000)
        self._counts: Counter[str] = Counter()
        self._reading = asyncio.Lock()

    async def read(self) -> Counter[str]:
        async with self._reading:
            # Younger ones are left to the next scrape: ids are not committed in their order.
            upto = first_id(time.time_ns() // 1_000_000 - _LATE_MS)
            if upto > self._after:
                bounds = {"after": self._after, "upto": upto}

                def count(tx: Transaction) -> dict[str, int]:
                    return {row.outcome: row.number for row in tx.execute(self._new, bounds)}

                self._counts.update(await self._db.read(count))
                self._after = upto
            return self._counts
