"""The consumer: applies the events of a stream to a service's own database, each once.

What holds, and by what:

- **Effects happen once.** An event's inbox row, its state change and its effects are one transaction; the ack follows
  the COMMIT. What is delivered again finds its inbox row and is only acked.
- **Order per aggregate.** The last applied version of each aggregate is kept, tombstones included: a version at or
  below it is covered; the next one is applied; a gap is repaired from the directory at once, never waited for.
- **One replica works a partition**, the holder of its lease; replicas share the partitions evenly. A lease that was
  lost in a pause does no harm: inbox and versions are checked inside the transaction.
- **A producer may be newer.** Of an event of a kind that is not known here, the state after it is read from the
  directory, as after a gap; fields that are not known are passed over.
- **Poison stops nobody else.** An event that cannot be applied becomes a dead letter and its aggregate is parked; later
  events of that aggregate queue behind it, in order. A database that is away is no poison: that is waited out.

Handlers are plain functions of a `Transaction` and an `Event`; they run on the writer thread and may run again, so they
change nothing but the database. An event whose type ends in `Deleted` leaves a tombstone.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import datetime
import functools
import logging
import time
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import nats.errors
import nats.js.errors
import orjson
import sqlalchemy as sa
from google.protobuf.message import DecodeError, Message
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from sqlalchemy.dialects import postgresql, sqlite

from chassis import streams, telemetry
from chassis.crashpoints import crashpoint
from chassis.database import Database, Transaction, is_transient
from chassis.delivery_tables import (
    AppliedVersionColumns,
    DeadLetterColumns,
    DeliveryTables,
    EffectColumns,
    InboxColumns,
    PartitionLeaseColumns,
    ResolvedTables,
)
from chassis.errors import DomainError, RpcFailure
from chassis.identifiers import time_ordered_id
from chassis.prepared import bind_list, insert_into, is_listed
from chassis.request_context import RequestContext, request_context
from chassis.streams import PARTITIONS, StreamSettings

__all__ = [
    "AppliedVersionColumns",
    "Consumer",
    "DeadLetterColumns",
    "DeadLetterNotFound",
    "DeadLetterQueued",
    "DeliveryTables",
    "EffectColumns",
    "Event",
    "Handler",
    "InboxColumns",
    "PartitionLeaseColumns",
    "RepairUnit",
    "StillPoison",
    "describe",
    "lock_appliers",
]

_log = logging.getLogger(__name__)

DOMAIN = "delivery.rollcall"

PARKED, QUEUED = "PARKED", "QUEUED"
APPLIED, COVERED, REPAIRED = "APPLIED", "COVERED", "REPAIRED"

_PULL_EXPIRES = 30.0
_PULL_HEARTBEAT = 5.0
_FIRST_BACKOFF = 0.05
_LONGEST_BACKOFF = 2.0
_LONGEST_ERROR = 300
_PAYLOADS_TOGETHER = 128 * 1024
_LONGEST_ID = 64
_LONGEST_KIND = 32
_LARGEST_POSITION = 2**63 - 1
_TRANSIENT_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)


@dataclass(frozen=True, slots=True)
class Event:
    """One event as a handler sees it.

    `type` is the full name of the message, `aggregate_kind` is `user`, `group`, `connection` or `workspace`; `version`
    is the aggregate's, `sequence` the position on the connection. `repair` says that a repair, not the event itself, is
    being applied.
    """

    id: str
    type: str
    time: datetime.datetime
    connection_id: str
    aggregate_kind: str
    aggregate_id: str
    portal: str
    version: int
    sequence: int
    request_id: str
    traceparent: str
    message: Message
    repair: bool = False


Handler = Callable[[Transaction, Event], None]


@dataclass(frozen=True, slots=True)
class RepairUnit:
    """The state of an aggregate as the directory has it now: its version, and how to bring our own state to it.

    `deleted` says that the directory has it no longer: a tombstone is left, and later events of it are covered.
    """

    version: int
    apply: Callable[[Transaction, Event], None]
    deleted: bool = False


class DeadLetterNotFound(DomainError):
    """No such dead letter."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "DEAD_LETTER_NOT_FOUND"
    domain = DOMAIN


class DeadLetterQueued(DomainError):
    """The dead letter waits behind another one, which must be retried or discarded first."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "DEAD_LETTER_QUEUED"
    domain = DOMAIN


class StillPoison(DomainError):
    """The dead letter still cannot be applied."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    reason = "STILL_POISON"
    domain = DOMAIN


class _Undecodable(Exception):
    """An event whose headers or payload cannot be read, or whose type is unknown."""


class _UnknownKind(_Undecodable):
    """An event of a type that is unknown: perhaps a newer producer's."""


class _Behind(Exception):
    """The directory answered a repair with a state older than the event."""


@dataclass(slots=True)
class _Delivery:
    """A message with what could be read of it; `problem` says what could not, `is_unknown` that its type is unknown."""

    message: Msg
    event: Event
    payload: bytes
    problem: str = ""
    is_unknown: bool = False


class Consumer:
    """Consumes one stream for one service.

    `handlers` maps a message's full name to its class and handler. `repair` reads an aggregate from the directory.
    `batch` is the number of events in one transaction at most; `attempts` is how often a handler may fail before its
    event is poison; `lease_seconds` is how long a partition waits for the successor of a replica that died. `portals`
    are those whose events are of any interest, as subjects name them; none: all. With `provision` the stream and the
    durable consumers are created when missing.
    """

    def __init__(
        self,
        db: Database,
        *,
        service: str,
        servers: str | Sequence[str] | streams.NatsSettings,
        stream: StreamSettings,
        tables: DeliveryTables,
        handlers: Mapping[str, tuple[type[Message], Handler]],
        repair: Callable[[Event], Awaitable[RepairUnit]],
        partitions: int = PARTITIONS,
        portals: Sequence[str] = (),
        batch: int = 100,
        attempts: int = 5,
        lease_seconds: float = 15,
        ack_wait: float = 30.0,
        provision: bool = False,
    ) -> None:
        self._db = db
        self._service = service
        self._servers = servers
        self._stream = stream
        self._handlers = dict(handlers)
        self._repair = repair
        self._partitions = partitions
        self._portals = tuple(portals)
        self._batch = batch
        self._attempts = attempts
        self._lease_seconds = lease_seconds
        self._ack_wait = ack_wait
        self._provision = provision
        self._store = _Store(tables.resolved(), db.dialect)
        self._owner = uuid.uuid4().hex
        self._client: Client | None = None
        self._working: dict[int, _Partition] = {}
        self._stopping = asyncio.Event()
        self._closed = asyncio.Event()
        self.counters: Counter[str] = Counter()
        """`applied`, `duplicates`, `covered`, `gaps`, `repaired`, `poison`, `queued`, `retries` since the start."""

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that this replica works now."""
        return frozenset(self._working)

    def stop(self) -> None:
        """Make `run` finish: what was received is applied, leases are given back."""
        self._stopping.set()

    async def lag(self) -> int:
        """Ask NATS how many events of the service wait or are unacked; ConnectionError before it is connected."""
        if self._client is None:
            raise ConnectionError("the consumer is not connected yet")
        js = self._client.jetstream()
        total = 0
        for partition in range(self._partitions):
            info = await js.consumer_info(self._stream.name, streams.durable_name(self._service, partition))
            total += (info.num_pending or 0) + (info.num_ack_pending or 0)
        return total

    async def run(self) -> None:
        """Consume until `stop` or cancellation; raises ConnectionError when the NATS client gives up for good."""
        self._client = await streams.connect(
            self._servers, name=self._service, reconnected=self._on_reconnect, closed=self._closed.set
        )
        try:
            if self._provision:
                await self.provision()
            while not self._stopping.is_set():
                streams.raise_if_cancelled()
                if self._closed.is_set():
                    raise ConnectionError(f"the NATS connection of {self._service} was closed")
                await self._balance()
                await self._pause()
        finally:
            await self._give_up(list(self._working.values()))
            await self._leave()
            await streams.close(self._client)

    async def provision(self) -> None:
        """Create the stream and the durable consumers, trying until JetStream answers."""
        assert self._client is not None
        js = self._client.jetstream()
        while True:
            streams.raise_if_cancelled()
            try:
                await streams.ensure_stream(js, self._stream)
                await streams.ensure_consumers(
                    js,
                    self._stream,
                    self._service,
                    partitions=self._partitions,
                    portals=self._portals,
                    ack_wait=self._ack_wait,
                )
                return
            except (nats.errors.Error, TimeoutError, OSError) as error:
                _log.warning("the consumers of %s cannot be created yet: %s", self._service, error)
                await asyncio.sleep(1.0)

    def _on_reconnect(self) -> None:
        for partition in self._working.values():
            partition.forget_request()

    async def _pause(self) -> None:
        """Wait until leases are due, or something needs attention."""
        waits = [asyncio.ensure_future(self._stopping.wait()), asyncio.ensure_future(self._closed.wait())]
        tasks = [partition.task for partition in self._working.values() if partition.task is not None]
        try:
            await asyncio.wait([*waits, *tasks], timeout=self._lease_seconds / 3, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        for task in tasks:
            if task.done():
                task.result()  # a partition ends by itself only with an error

    async def _balance(self) -> None:
        started = time.monotonic()
        try:
            held = await self._db.write(
                lambda tx: self._store.renew_leases(tx, self._owner, self._partitions, self._lease_seconds)
            )
        # Whatever the database's trouble is, leases run out by themselves meanwhile and work pauses.
        except Exception as error:
            if not is_transient(error):
                raise
            _log.warning("the leases of %s cannot be renewed: %s", self._service, error)
            return
        for number, partition in list(self._working.items()):
            if number in held.mine:
                partition.lease_until = started + self._lease_seconds
            else:
                partition.lease_until = 0.0  # another replica has it: what is buffered is not ours to apply
                await self._give_up([partition], release=False)
        await self._give_up([self._working[number] for number in held.surplus if number in self._working])
        for number in held.mine - held.surplus - self._working.keys():
            partition = _Partition(self, number, started + self._lease_seconds)
            self._working[number] = partition
            await partition.start()

    async def _give_up(self, partitions: list[_Partition], *, release: bool = True) -> None:
        if not partitions:
            return
        await asyncio.gather(*(partition.stop() for partition in partitions), return_exceptions=True)
        for partition in partitions:
            self._working.pop(partition.number, None)
        if release:
            numbers = [partition.number for partition in partitions]
            # A lease that cannot be given back runs out by itself.
            with contextlib.suppress(Exception):
                await self._db.write(lambda tx: self._store.release_leases(tx, self._owner, numbers))

    async def _leave(self) -> None:
        # As above.
        with contextlib.suppress(Exception):
            await self._db.write(lambda tx: self._store.leave(tx, self._owner))

    def read(self, message: Msg) -> _Delivery:
        """Read a message; what cannot be read is named in the delivery's `problem`."""
        # What no column can hold must not reach one: an event that cannot even be parked would stop its partition.
        headers = {name: value.replace("\0", "") for name, value in (message.headers or {}).items()}
        tokens = message.subject.split(".")
        rest = tokens[len(self._stream.prefix.split(".")) + 1 :]
        kind, _, aggregate_id = headers.get(streams.EVENT_SUBJECT, "").partition("/")
        event_id = headers.get(streams.EVENT_ID, "")
        problems = []
        if not event_id or len(event_id) > _LONGEST_ID:
            problems.append(f"header {streams.EVENT_ID} is too long" if event_id else f"no header {streams.EVENT_ID}")
            event_id = f"{self._stream.name}:{message.metadata.sequence.stream}"
        if len(kind) > _LONGEST_KIND or len(aggregate_id) > _LONGEST_ID:
            problems.append(f"header {streams.EVENT_SUBJECT} is too long")
            kind, aggregate_id = kind[:_LONGEST_KIND], aggregate_id[:_LONGEST_ID]
        version, sequence = headers.get(streams.VERSION, ""), headers.get(streams.SEQUENCE, "")
        for name, value in ((streams.VERSION, version), (streams.SEQUENCE, sequence)):
            if not _is_position(value):
                problems.append(f"header {name} is not a number from 0 to {_LARGEST_POSITION}")
        moment = _parse_time(headers.get(streams.EVENT_TIME, ""))
        event = Event(
            id=event_id,
            type=headers.get(streams.EVENT_TYPE, ""),
            time=moment or message.metadata.timestamp,
            connection_id=rest[-2] if len(rest) >= 2 else "",
            aggregate_kind=kind or (rest[-4][:_LONGEST_KIND] if len(rest) >= 4 else ""),
            aggregate_id=aggregate_id or (rest[-1][:_LONGEST_ID] if rest else ""),
            portal=rest[0] if len(rest) >= 5 else "",
            version=int(version) if _is_position(version) else 0,
            sequence=int(sequence) if _is_position(sequence) else 0,
            request_id=headers.get(streams.REQUEST_ID, ""),
            traceparent=headers.get(streams.TRACEPARENT, ""),
            message=_NOTHING,
        )
        if problems:
            return _Delivery(message, event, message.data, "; ".join(problems))
        try:
            return _Delivery(message, self._decode(event, message.data), message.data)
        except _Undecodable as error:
            return _Delivery(message, event, message.data, str(error), isinstance(error, _UnknownKind))

    def _decode(self, event: Event, payload: bytes) -> Event:
        entry = self._handlers.get(event.type)
        if entry is None:
            raise _UnknownKind(f"unknown event type {event.type!r}"[:_LONGEST_ERROR])
        try:
            message = entry[0].FromString(payload)
        except DecodeError as error:
            raise _Undecodable(f"the payload is no {event.type}") from error
        return dataclasses.replace(event, message=message)

    async def process(self, deliveries: Sequence[_Delivery], going: Callable[[], bool]) -> None:
        """Apply deliveries in their order and ack each; `going` says whether work may still wait for the database."""
        crashpoint("consumer.after_fetch")
        start = 0
        while start < len(deliveries):
            rest = _together(deliveries, start)
            try:
                count, counts = await self._db.write(functools.partial(self._apply_together, deliveries=rest))
            # Whatever went wrong with the batch is found again, and judged, when its events go one by one.
            except Exception as error:
                _log.info(
                    "a batch of %d events of %s goes one by one: %s", len(rest), self._service, type(error).__name__
                )
                count = 0
                alone = len(rest)
            else:
                self.counters.update(counts)
                alone = 1  # the batch stopped before an event that needs more than its handler
            crashpoint("consumer.after_commit")
            for delivery in rest[:count]:
                await _ack(delivery)
            if count:
                crashpoint("consumer.after_ack")
            for delivery in rest[count : count + alone]:
                if not await self._apply_alone(delivery, going):
                    return
                count += 1
            start += count

    def _apply_together(self, tx: Transaction, deliveries: Sequence[_Delivery]) -> tuple[int, Counter[str]]:
        """Apply as many deliveries from the front as need nothing special; give their number, and counters."""
        known = self._store.known(tx, deliveries)
        counts: Counter[str] = Counter()
        now = _now()
        inbox: list[dict[str, Any]] = []
        taken = 0
        for delivery in deliveries:
            event = delivery.event
            if event.id in known.events:
                counts["duplicates"] += 1
            else:
                last, deleted = known.version_of(event)
                if deleted or (event.version <= last and not delivery.problem):
                    inbox.append(self._store.inbox_row(event, COVERED, now))
                    counts["covered"] += 1
                elif delivery.problem or known.parked(event) or event.version != last + 1:
                    break
                else:
                    self._handle(tx, event)
                    inbox.append(self._store.inbox_row(event, APPLIED, now))
                    known.advance(event, event.version, _deletes(event))
                    counts["applied"] += 1
                known.events.add(event.id)
            taken += 1
        self._store.save(tx, inbox, known.advanced, now)
        crashpoint("consumer.before_commit")
        return taken, counts

    def _handle(self, tx: Transaction, event: Event) -> None:
        handler = self._handlers[event.type][1]
        context = RequestContext(
            request_id=event.request_id, request=f"event {event.type}", traceparent=event.traceparent
        )
        span = None
        if event.traceparent:
            attributes = {"rollcall.event_id": event.id, "rollcall.request_id": event.request_id}
            span = telemetry.start("CONSUMER", f"apply {event.type}", event.traceparent, attributes=attributes)
        if span is None:
            request_context.set(context)
            handler(tx, event)
            return
        request_context.set(dataclasses.replace(context, traceparent=span.traceparent))
        try:
            handler(tx, event)
        # Whatever a handler raises ends its span, and goes on to where it is judged.
        except Exception as error:
            span.end(error=type(error).__name__)
            raise
        span.end()

    async def _apply_alone(self, delivery: _Delivery, going: Callable[[], bool]) -> bool:
        """Apply one delivery, whatever it takes; say whether it was settled (False: `going` said to leave it)."""
        event = delivery.event
        attempts, backoff = 0, _FIRST_BACKOFF
        problem = "" if delivery.is_unknown else delivery.problem
        while True:
            try:
                if problem:
                    park = functools.partial(self._park, delivery=delivery, problem=problem, attempts=max(attempts, 1))
                    poisoned = await self._db.write(park)
                    self.counters["poison" if poisoned else "duplicates"] += 1
                    await (_terminate(delivery) if poisoned else _ack(delivery))
                    return True
                outcome = await self._db.write(lambda tx: self._apply_one(tx, delivery))
                if outcome == "again":
                    continue
                if outcome == "gap":
                    await self._repair_gap(event)
                else:
                    self.counters[outcome] += 1
                crashpoint("consumer.after_commit")
                await _ack(delivery)
                return True
            # A handler may raise anything; whether it is the database, the directory or poison is judged here.
            except Exception as error:
                if not (is_transient(error) or _is_directory_away(error)):
                    attempts += 1
                    self.counters["retries"] += 1
                    if attempts >= self._attempts:
                        problem = delivery.problem or describe(error)
                        _log.error(
                            "event %s (%s) is poison after %d attempts", event.id, event.type, attempts, exc_info=error
                        )
                        continue
                if not going():
                    return False
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF)

    def _apply_one(self, tx: Transaction, delivery: _Delivery) -> str:
        """Apply one delivery and name the counter of what became of it.

        `gap`: its aggregate needs a repair first; `again`: its aggregate was just unparked. Nothing is written then.
        """
        event = delivery.event
        known = self._store.known(tx, [delivery])
        if event.id in known.events:
            return "duplicates"
        last, deleted = known.version_of(event)
        now = _now()
        if deleted or event.version <= last:
            self._store.save(tx, [self._store.inbox_row(event, COVERED, now)], {}, now)
            return "covered"
        if known.parked(event):
            # The head is locked, so that a retry that is just taking it away is waited for; what was read before that
            # wait is old then.
            if self._store.lock_head(tx, event) is None:
                return "again"
            self._store.add_dead_letter(tx, delivery, QUEUED, "", 0, now)
            return "queued"
        if delivery.is_unknown or event.version != last + 1:
            return "gap"
        self._apply_next(tx, event, now)
        return "applied"

    def _apply_next(self, tx: Transaction, event: Event, now: datetime.datetime) -> None:
        self._handle(tx, event)
        self._store.save(
            tx,
            [self._store.inbox_row(event, APPLIED, now)],
            {(event.aggregate_kind, event.aggregate_id): (event.connection_id, event.version, _deletes(event))},
            now,
        )
        crashpoint("consumer.before_commit")

    async def _repair_gap(self, event: Event) -> None:
        self.counters["gaps"] += 1
        what = "a gap before" if event.type in self._handlers else "an event of an unknown kind as"
        _log.warning(
            "%s %s has %s version %d: repairing from the directory",
            event.aggregate_kind, event.aggregate_id, what, event.version,
            extra={"event_id": event.id, "connection_id": event.connection_id},
        )  # fmt: skip
        unit = await self._repair(event)
        self.counters.update(await self._db.write(lambda tx: self._apply_repair(tx, event, unit)))

    def _apply_repair(self, tx: Transaction, event: Event, unit: RepairUnit) -> list[str]:
        """Bring an aggregate to the directory's state and settle the event; name the counters of what was done."""
        key = (event.aggregate_kind, event.aggregate_id)
        last, deleted = self._store.version(tx, event)
        if event.type not in self._handlers and unit.deleted and not last:
            raise _UnknownKind(f"unknown event type {event.type!r}, of a resource that nobody knows"[:_LONGEST_ERROR])
        now = _now()
        done: list[str] = []
        if not deleted and unit.version > last:
            request_context.set(RequestContext(request_id=event.request_id, traceparent=event.traceparent))
            unit.apply(tx, dataclasses.replace(event, repair=True))
            last, deleted = unit.version, unit.deleted
            self._store.save(tx, [], {key: (event.connection_id, last, deleted)}, now)
            done.append("repaired")
        if self._store.in_inbox(tx, event):
            return done
        if deleted or event.version <= last:
            self._store.save(tx, [self._store.inbox_row(event, REPAIRED, now)], {}, now)
        elif event.version == last + 1 and event.type in self._handlers:
            self._apply_next(tx, event, now)
            done.append("applied")
        else:
            raise _Behind(f"the directory has version {unit.version} of an aggregate whose event has {event.version}")
        return done

    def _park(self, tx: Transaction, delivery: _Delivery, problem: str, attempts: int) -> bool:
        """Make a dead letter of a delivery; False when another transaction has settled the event meanwhile."""
        known = self._store.known(tx, [delivery])
        if delivery.event.id in known.events:
            return False
        head = self._store.lock_head(tx, delivery.event) if delivery.event.aggregate_id else None
        self._store.add_dead_letter(tx, delivery, PARKED if head is None else QUEUED, problem, attempts, _now())
        return True

    async def retry_dead_letter(self, dead_letter_id: str) -> int:
        """Apply a dead letter and then what queues behind it, in order; return how many events were settled.

        It ends early, without an error, when an event behind it cannot be applied: that one is then parked. Raises
        `DeadLetterNotFound`, `DeadLetterQueued`, and `StillPoison` when the dead letter itself fails again.
        """
        row = await self._head(dead_letter_id)
        try:
            await self._retry_one(row)
        # Whatever a handler raises is the answer to the person who asked for the retry.
        except Exception as error:
            if is_transient(error) or _is_directory_away(error) or isinstance(error, DeadLetterNotFound):
                raise
            await self._note_failure(row, error)
            raise StillPoison(
                f"dead letter {dead_letter_id} still cannot be applied: {describe(error)}",
                metadata={"dead_letter_id": dead_letter_id},
            ) from error
        return 1 + await self._drain(row)

    async def discard_dead_letter(self, dead_letter_id: str) -> int:
        """Give a dead letter up; return how many events behind it were settled.

        What queues behind it is applied after a repair of the aggregate from the directory. With nothing behind it the
        next event of the aggregate is a gap, and so repaired when it comes. Raises `DeadLetterNotFound`,
        `DeadLetterQueued`, and what the repair raises; nothing is changed then.
        """
        row = await self._head(dead_letter_id)
        behind = await self._db.read(lambda tx: self._store.next_dead_letter(tx, row, after=row))
        if behind is None:
            await self._db.write(lambda tx: self._store.remove_dead_letter(tx, row))
            _log.warning("dead letter %s was discarded", dead_letter_id, extra={"event_id": row.event_id})
            return 0
        event = self._event_of(behind)
        unit = await self._repair(event)

        def replace(tx: Transaction) -> None:
            if not self._store.remove_dead_letter(tx, row):
                raise DeadLetterNotFound(f"no dead letter {dead_letter_id}")
            last, deleted = self._store.version(tx, event)
            if not deleted and unit.version > last:
                unit.apply(tx, dataclasses.replace(event, repair=True))
                key = (event.aggregate_kind, event.aggregate_id)
                self._store.save(tx, [], {key: (event.connection_id, unit.version, unit.deleted)}, _now())

        await self._db.write(replace)
        self.counters["repaired"] += 1
        _log.warning("dead letter %s was discarded", dead_letter_id, extra={"event_id": row.event_id})
        return await self._drain(row)

    async def _head(self, dead_letter_id: str) -> sa.Row[Any]:
        row = await self._db.read(lambda tx: self._store.dead_letter(tx, dead_letter_id))
        if row is None:
            raise DeadLetterNotFound(f"no dead letter {dead_letter_id}", metadata={"dead_letter_id": dead_letter_id})
        if row.state != PARKED:
            raise DeadLetterQueued(
                f"dead letter {dead_letter_id} waits behind another one of {row.aggregate_kind} {row.aggregate_id}: "
                "retry or discard that one first",
                metadata={"dead_letter_id": dead_letter_id},
            )
        return row

    async def _drain(self, first: sa.Row[Any]) -> int:
        """Apply what queued behind a dead letter that is gone; stop at the first that fails."""
        settled = 0
        while (row := await self._db.read(lambda tx: self._store.next_dead_letter(tx, first))) is not None:
            try:
                await self._retry_one(row)
            # The next in the queue may be poison of its own: it is parked, and its error is told there.
            except Exception as error:
                if isinstance(error, DeadLetterNotFound):
                    continue  # another retry was quicker
                if is_transient(error) or _is_directory_away(error):
                    raise
                await self._note_failure(row, error)
                return settled
            settled += 1
        return settled

    async def _retry_one(self, row: sa.Row[Any]) -> None:
        event = self._event_of(row)
        try:
            event = self._decode(event, row.payload)
        except _UnknownKind:
            outcome = "gap"
        else:
            outcome = await self._db.write(lambda tx: self._apply_dead_letter(tx, row, event))
        if outcome == "gap":
            unit = await self._repair(event)

            def repair(tx: Transaction) -> None:
                if not self._store.remove_dead_letter(tx, row):
                    raise DeadLetterNotFound(f"no dead letter {row.id}")
                self._apply_repair(tx, event, unit)

            await self._db.write(repair)

    def _apply_dead_letter(self, tx: Transaction, row: sa.Row[Any], event: Event) -> str:
        last, deleted = self._store.version(tx, event)
        if not deleted and event.version > last + 1:
            return "gap"
        if not self._store.remove_dead_letter(tx, row):
            raise DeadLetterNotFound(f"no dead letter {row.id}", metadata={"dead_letter_id": row.id})
        now = _now()
        if self._store.in_inbox(tx, event):
            return "duplicate"
        if deleted or event.version <= last:
            self._store.save(tx, [self._store.inbox_row(event, COVERED, now)], {}, now)
            return "covered"
        self._apply_next(tx, event, now)
        return "applied"

    async def _note_failure(self, row: sa.Row[Any], error: Exception) -> None:
        await self._db.write(lambda tx: self._store.note_failure(tx, row.id, describe(error)))

    def _event_of(self, row: sa.Row[Any]) -> Event:
        return Event(
            id=row.event_id,
            type=row.event_type,
            time=row.event_time,
            connection_id=row.connection_id,
            aggregate_kind=row.aggregate_kind,
            aggregate_id=row.aggregate_id,
            portal=row.portal,
            version=row.version,
            sequence=row.sequence,
            request_id=row.request_id,
            traceparent=row.traceparent,
            message=_NOTHING,
        )


class _Partition:
    """The work on one partition: a pull request that is always open, a buffer, and a loop that applies."""

    def __init__(self, consumer: Consumer, number: int, lease_until: float) -> None:
        self.number = number
        self.lease_until = lease_until
        self.task: asyncio.Task[None] | None = None
        self._consumer = consumer
        self._client: Client = consumer._client  # type: ignore[assignment]  # connected before partitions are made
        self._inbox = self._client.new_inbox()
        self._subscription: Subscription | None = None
        durable = streams.durable_name(consumer._service, number)
        self._next = f"$JS.API.CONSUMER.MSG.NEXT.{consumer._stream.name}.{durable}"
        self._request = orjson.dumps(
            {
                "batch": consumer._batch,
                "expires": int(_PULL_EXPIRES * 1e9),
                "idle_heartbeat": int(_PULL_HEARTBEAT * 1e9),
            }
        )
        self._buffer: deque[Msg] = deque()
        self._arrived = asyncio.Event()
        self._outstanding = 0
        self._heard = 0.0
        self._ask_after = 0.0
        self._leaving = False
        self._drained = False
        self._told = False

    async def start(self) -> None:
        """Subscribe and begin."""
        self._subscription = await self._client.subscribe(self._inbox, cb=self._on_message)
        self.task = asyncio.create_task(self._work(), name=f"partition-{self.number}")

    async def stop(self) -> None:
        """Take no more, apply what was received, end."""
        self._leaving = True
        self._arrived.set()
        if self._subscription is not None:
            # Messages that the server sent before it saw the end of the subscription are received still.
            with contextlib.suppress(nats.errors.Error, TimeoutError, OSError):
                async with asyncio.timeout(5):
                    await self._subscription.drain()  # type: ignore[no-untyped-call]
        self._drained = True
        self._arrived.set()
        if self.task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self.task

    def forget_request(self) -> None:
        """Ask again: the connection was lost, and the request with it."""
        self._outstanding = 0
        self._arrived.set()

    @property
    def _held(self) -> bool:
        return time.monotonic() < self.lease_until

    async def _work(self) -> None:
        while True:
            await self._ask()
            if not self._buffer:
                if self._drained:
                    return
                self._arrived.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._arrived.wait()
                continue
            if not self._held:
                if self._drained:
                    return
                # The database could not renew the lease: events stay here, unacked, until it can.
                await asyncio.sleep(0.1)
                continue
            size = min(len(self._buffer), self._consumer._batch)
            batch = [self._consumer.read(self._buffer.popleft()) for _ in range(size)]
            # The next messages travel while these are applied.
            await self._ask()
            await self._consumer.process(batch, lambda: self._held and not self._leaving)

    async def _ask(self) -> None:
        now = time.monotonic()
        if self._outstanding > 0 and now - self._heard > 2 * _PULL_HEARTBEAT + 1:
            self._outstanding = 0  # the request was lost
        full = len(self._buffer) >= self._consumer._batch
        if self._leaving or full or self._outstanding > 0 or now < self._ask_after:
            return
        self._outstanding, self._heard = self._consumer._batch, now
        try:
            await self._client.publish(self._next, self._request, reply=self._inbox)
        except (nats.errors.Error, OSError):
            self._outstanding, self._ask_after = 0, now + 0.2

    async def _on_message(self, message: Msg) -> None:
        self._heard = time.monotonic()
        status = message.headers.get("Status") if message.headers and not message.data else None
        if status is None:
            self._told = False
            self._outstanding -= 1
            self._buffer.append(message)
            self._arrived.set()
            return
        if status == "100":
            return
        self._outstanding = 0
        if status not in ("404", "408"):
            # 409: consumer or leader changed; 503: nobody serves the consumer.
            self._ask_after = self._heard + 0.5
            if status == "503" and not self._told:
                self._told = True
                _log.error("no consumer %s answers", self._next)
                if self._consumer._provision:
                    await self._consumer.provision()
        self._arrived.set()


@dataclass(frozen=True, slots=True)
class _Held:
    mine: set[int]
    surplus: set[int]


class _Known:
    """What the database knows about a batch of events, kept up to date while the batch is applied."""

    def __init__(
        self, events: set[str], versions: dict[tuple[str, str], tuple[int, bool]], parked: set[tuple[str, str]]
    ) -> None:
        self.events = events
        self._versions = versions
        self._parked = parked
        self.advanced: dict[tuple[str, str], tuple[str, int, bool]] = {}

    def version_of(self, event: Event) -> tuple[int, bool]:
        return self._versions.get((event.aggregate_kind, event.aggregate_id), (0, False))

    def parked(self, event: Event) -> bool:
        return (event.aggregate_kind, event.aggregate_id) in self._parked

    def advance(self, event: Event, version: int, deleted: bool) -> None:
        key = (event.aggregate_kind, event.aggregate_id)
        self._versions[key] = (version, deleted)
        self.advanced[key] = (event.connection_id, version, deleted)


class _Store:
    """The consumer's SQL."""

    def __init__(self, tables: ResolvedTables, dialect: str) -> None:
        self._inbox = tables.inbox
        self._versions = tables.applied_versions
        self._dead = tables.dead_letters
        self._leases = tables.partition_leases
        self._dialect = dialect
        insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
        versions = insert(self._versions)
        self._upsert_version = versions.on_conflict_do_update(
            index_elements=[self._versions.c.aggregate_kind, self._versions.c.aggregate_id],
            set_={name: versions.excluded[name] for name in ("version", "deleted", "applied_at")},
            # Versions only rise, whoever comes late.
            where=self._versions.c.version <= versions.excluded.version,
        )
        leases = insert(self._leases)
        self._upsert_lease = leases.on_conflict_do_update(
            index_elements=[self._leases.c.slot],
            set_={name: leases.excluded[name] for name in ("owner", "expires_at")},
        )
        dead = self._dead.c
        self._known_inbox = sa.select(self._inbox.c.event_id).where(is_listed(self._inbox.c.event_id, "ids", dialect))
        self._known_dead = sa.select(dead.event_id).where(is_listed(dead.event_id, "ids", dialect))
        # With the kinds, which the ids alone make unnecessary: indexes begin with the kind.
        self._known_versions = sa.select(
            self._versions.c.aggregate_kind, self._versions.c.aggregate_id, self._versions.c.version,
            self._versions.c.deleted,
        ).where(
            is_listed(self._versions.c.aggregate_kind, "kinds", dialect),
            is_listed(self._versions.c.aggregate_id, "ids", dialect),
        )  # fmt: skip
        self._any_dead = sa.select(dead.id).limit(1)
        self._known_parked = (
            sa.select(dead.aggregate_kind, dead.aggregate_id)
            .where(is_listed(dead.aggregate_kind, "kinds", dialect), is_listed(dead.aggregate_id, "ids", dialect))
            .distinct()
        )

    def hold(self, tx: Transaction, connection_ids: Iterable[str]) -> None:
        """Wait for every other transaction that applies events of these connections, and keep others off until COMMIT.

        A replica may be frozen in the middle of a transaction and its partition go to another: without this, the other
        would judge by a state that the first is about to change. It comes before anything is read.
        """
        lock_appliers(tx, self._versions)
        if self._dialect == "postgresql":
            tx.execute(_HOLD, {"name": f"rollcall.{self._versions.name}", "ids": sorted(connection_ids)})

    def known(self, tx: Transaction, deliveries: Sequence[_Delivery]) -> _Known:
        self.hold(tx, {delivery.event.connection_id for delivery in deliveries})
        event_ids = bind_list(self._dialect, [delivery.event.id for delivery in deliveries])
        aggregates = {
            "kinds": bind_list(self._dialect, list({delivery.event.aggregate_kind for delivery in deliveries})),
            "ids": bind_list(self._dialect, list({delivery.event.aggregate_id for delivery in deliveries})),
        }
        events = set(tx.execute(self._known_inbox, {"ids": event_ids}).scalars())
        versions = {
            (row.aggregate_kind, row.aggregate_id): (row.version, row.deleted)
            for row in tx.execute(self._known_versions, aggregates)
        }
        parked: set[tuple[str, str]] = set()
        # Mostly there are no dead letters at all, and one look says so.
        if tx.execute(self._any_dead).first() is not None:
            events.update(tx.execute(self._known_dead, {"ids": event_ids}).scalars())
            for row in tx.execute(self._known_parked, aggregates):
                parked.add((row.aggregate_kind, row.aggregate_id))
        return _Known(events, versions, parked)

    def version(self, tx: Transaction, event: Event) -> tuple[int, bool]:
        self.hold(tx, {event.connection_id})
        found = tx.execute(
            sa.select(self._versions.c.version, self._versions.c.deleted).where(
                self._versions.c.aggregate_kind == event.aggregate_kind,
                self._versions.c.aggregate_id == event.aggregate_id,
            )
        ).first()
        return (found.version, found.deleted) if found is not None else (0, False)

    def in_inbox(self, tx: Transaction, event: Event) -> bool:
        return tx.execute(self._known_inbox, {"ids": bind_list(self._dialect, [event.id])}).first() is not None

    def inbox_row(self, event: Event, disposition: str, now: datetime.datetime) -> dict[str, Any]:
        return {
            "event_id": event.id,
            "event_type": event.type,
            "connection_id": event.connection_id,
            "aggregate_kind": event.aggregate_kind,
            "aggregate_id": event.aggregate_id,
            "version": event.version,
            "disposition": disposition,
            "applied_at": now,
        }

    def save(
        self,
        tx: Transaction,
        inbox: list[dict[str, Any]],
        versions: Mapping[tuple[str, str], tuple[str, int, bool]],
        now: datetime.datetime,
    ) -> None:
        if inbox:
            tx.execute(insert_into(self._inbox), inbox)
        if versions:
            rows = [
                {
                    "aggregate_kind": kind,
                    "aggregate_id": aggregate_id,
                    "connection_id": connection_id,
                    "version": version,
                    "deleted": deleted,
                    "applied_at": now,
                }
                for (kind, aggregate_id), (connection_id, version, deleted) in versions.items()
            ]
            tx.execute(self._upsert_version, rows)

    def add_dead_letter(
        self, tx: Transaction, delivery: _Delivery, state: str, error: str, attempts: int, now: datetime.datetime
    ) -> None:
        event = delivery.event
        tx.execute(
            self._dead.insert().inline(),
            {
                "id": time_ordered_id(),
                "event_id": event.id,
                "event_type": event.type,
                "event_time": event.time,
                "subject": delivery.message.subject,
                "portal": event.portal,
                "connection_id": event.connection_id,
                "aggregate_kind": event.aggregate_kind,
                "aggregate_id": event.aggregate_id,
                "version": event.version,
                "sequence": event.sequence,
                "request_id": event.request_id,
                "traceparent": event.traceparent,
                "payload": delivery.payload,
                "state": state,
                "error": error,
                "attempts": attempts,
                "created_at": now,
            },
        )

    def _of_aggregate(self, owner: Any) -> sa.ColumnElement[bool]:
        return sa.and_(
            self._dead.c.aggregate_kind == owner.aggregate_kind, self._dead.c.aggregate_id == owner.aggregate_id
        )

    def lock_head(self, tx: Transaction, event: Event) -> str | None:
        """Lock the parked dead letter of an event's aggregate and give its id; None when it is gone."""
        statement = sa.select(self._dead.c.id).where(self._of_aggregate(event), self._dead.c.state == PARKED)
        if self._dialect == "postgresql":
            statement = statement.with_for_update()
        found: str | None = tx.execute(statement).scalars().first()
        return found

    def dead_letter(self, tx: Transaction, dead_letter_id: str) -> sa.Row[Any] | None:
        return tx.execute(sa.select(self._dead).where(self._dead.c.id == dead_letter_id)).first()

    def next_dead_letter(
        self, tx: Transaction, owner: sa.Row[Any], *, after: sa.Row[Any] | None = None
    ) -> sa.Row[Any] | None:
        """Give the first dead letter of an aggregate in the order of versions, or the first other than `after`."""
        statement = sa.select(self._dead).where(self._of_aggregate(owner))
        if after is not None:
            statement = statement.where(self._dead.c.id != after.id)
        return tx.execute(statement.order_by(self._dead.c.version, self._dead.c.id).limit(1)).first()

    def remove_dead_letter(self, tx: Transaction, row: sa.Row[Any]) -> bool:
        """Remove a dead letter and park the next of its aggregate, so that the aggregate stays parked meanwhile."""
        if tx.execute(sa.delete(self._dead).where(self._dead.c.id == row.id)).rowcount != 1:
            return False
        following = self.next_dead_letter(tx, row) if row.aggregate_id else None
        if following is not None:
            tx.execute(sa.update(self._dead).where(self._dead.c.id == following.id).values(state=PARKED))
        return True

    def note_failure(self, tx: Transaction, dead_letter_id: str, error: str) -> None:
        tx.execute(
            sa.update(self._dead)
            .where(self._dead.c.id == dead_letter_id)
            .values(state=PARKED, error=error, attempts=self._dead.c.attempts + 1)
        )

    def renew_leases(self, tx: Transaction, owner: str, partitions: int, seconds: float) -> _Held:
        """Renew this replica's leases, take free ones up to a fair share, and name those above it."""
        # The database's clock is the one that all replicas share.
        now = time.time()
        if self._dialect == "postgresql":
            now = float(tx.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one())
        expires = now + seconds
        statement = sa.select(self._leases).order_by(self._leases.c.slot)
        if self._dialect == "postgresql":
            # One replica at a time decides; the lock ends with the transaction.
            tx.execute(
                sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))"), {"name": f"rollcall.{self._leases.name}"}
            )
        tx.execute(self._upsert_lease, {"slot": f"replica/{owner}", "owner": owner, "expires_at": expires})
        held: dict[int, str] = {}
        replicas = 0
        for row in tx.execute(statement):
            alive = row.expires_at > now
            kind, _, name = row.slot.partition("/")
            if kind == "replica":
                replicas += alive
            elif alive:
                held[int(name)] = row.owner
        tx.execute(
            sa.delete(self._leases).where(self._leases.c.slot.like("replica/%"), self._leases.c.expires_at <= now)
        )
        fair = -(-partitions // max(replicas, 1))
        mine = {number for number, holder in held.items() if holder == owner and number < partitions}
        surplus = set(sorted(mine)[fair:])
        for number in range(partitions):
            if len(mine) >= fair:
                break
            if number not in held:
                mine.add(number)
        if mine:
            tx.execute(
                self._upsert_lease,
                [{"slot": _slot(number), "owner": owner, "expires_at": expires} for number in sorted(mine)],
            )
        return _Held(mine, surplus)

    def release_leases(self, tx: Transaction, owner: str, numbers: Iterable[int]) -> None:
        slots = [_slot(number) for number in numbers]
        tx.execute(sa.delete(self._leases).where(self._leases.c.slot.in_(slots), self._leases.c.owner == owner))

    def leave(self, tx: Transaction, owner: str) -> None:
        tx.execute(sa.delete(self._leases).where(self._leases.c.owner == owner))


_HOLD = sa.text(
    "SELECT pg_advisory_xact_lock(hashtext(:name), hashtext(id)) FROM unnest(CAST(:ids AS text[])) AS held (id)"
)


_HOLD_ALL = sa.text("SELECT pg_advisory_xact_lock(hashtext(:name))")
_HOLD_SHARED = sa.text("SELECT pg_advisory_xact_lock_shared(hashtext(:name))")


def lock_appliers(tx: Transaction, versions: sa.Table, *, exclusive: bool = False) -> None:
    """Hold off repairs while events are applied, or, `exclusive`, everybody else's events while a repair is made.

    On SQLite a writing transaction excludes every other one by itself. Taken in a statement of its own, before anything
    is read.
    """
    if tx.dialect == "postgresql":
        tx.execute(_HOLD_ALL if exclusive else _HOLD_SHARED, {"name": f"rollcall.{versions.name}"})


async def prune_inbox(db: Database, tables: DeliveryTables, older_than: datetime.datetime, chunk: int = 1000) -> int:
    """Delete inbox rows applied before `older_than`, which must exceed the stream's max_age; return how many."""
    inbox = tables.resolved().inbox
    oldest = sa.select(inbox.c.event_id).where(inbox.c.applied_at < older_than).limit(chunk)
    statement = sa.delete(inbox).where(inbox.c.event_id.in_(oldest.scalar_subquery()))
    removed = 0
    while True:
        count = await db.write(lambda tx: tx.execute(statement).rowcount)
        removed += count
        if count < chunk:
            return removed


def _slot(number: int) -> str:
    return f"partition/{number:02}"


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _deletes(event: Event) -> bool:
    return event.type.endswith("Deleted")


def _is_position(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= _LARGEST_POSITION


def _parse_time(text: str) -> datetime.datetime | None:
    try:
        moment = datetime.datetime.fromisoformat(text)
        # In UTC a time at the edge of the calendar may be none.
        return moment.astimezone(datetime.UTC) if moment.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None


def _is_directory_away(error: BaseException) -> bool:
    if isinstance(error, RpcFailure):
        return error.code in _TRANSIENT_CODES
    if isinstance(error, grpc.RpcError) and callable(getattr(error, "code", None)):
        return error.code() in _TRANSIENT_CODES
    return isinstance(error, TimeoutError | ConnectionError)


def describe(error: BaseException) -> str:
    """Say in one line what went wrong, without anything of a person."""
    # A database's message may quote a row, and so a person's data; the type says enough.
    if isinstance(error, sa.exc.SQLAlchemyError):
        original = getattr(error, "orig", None)
        return f"{type(error).__name__}: {type(original).__name__}" if original is not None else type(error).__name__
    return f"{type(error).__name__}: {error}"[:_LONGEST_ERROR]


def _together(deliveries: Sequence[_Delivery], start: int) -> Sequence[_Delivery]:
    """Give those deliveries from `start` on that one transaction takes: what thousands of members follow goes apart."""
    size = 0
    for end in range(start, len(deliveries)):
        size += len(deliveries[end].payload)
        if size > _PAYLOADS_TOGETHER and end > start:
            return deliveries[start:end]
    return deliveries[start:]


async def _ack(delivery: _Delivery) -> None:
    # Without an ack the event comes again, finds its inbox row and is acked then.
    with contextlib.suppress(nats.errors.Error, OSError):
        await delivery.message.ack()


async def _terminate(delivery: _Delivery) -> None:
    # As above: it comes again and finds its dead letter.
    with contextlib.suppress(nats.errors.Error, OSError):
        await delivery.message.term()


def _nothing() -> Message:
    from google.protobuf.empty_pb2 import Empty

    return Empty()


_NOTHING = _nothing()
