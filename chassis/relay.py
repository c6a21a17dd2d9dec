"""The relay: publishes the rows of an outbox to its stream, in their order, each at least once.

What holds, and by what:

- **Nothing is skipped.** Rows are read as `sent_at IS NULL ORDER BY id`, never by a cursor: ids are given out in
  another order than they commit.
- **One relay is active**, elected by a database lock taken before any row is read; the others stand by.
- **Stream order is outbox order.** Publishes are pipelined, and each carries two fences. `Nats-Expected-Last-Sequence`
  is the stream's last sequence as this relay, the only publisher, predicts it: once a message is refused or already
  there, all that follow in flight are refused too. `Nats-Expected-Last-Subject-Sequence`, on the subject filter of the
  aggregate, is the sequence of the aggregate's version before: it stops a leader that was paused and replaced
  meanwhile.
- **A fence that does not hold is settled by what the stream says**: is the last message of the aggregate of this
  version or a later one, the event is there already; otherwise it is published again behind the true last sequence.
- A row is marked as sent only after its ack. A crash in between publishes it again, and the fence or the duplicate
  window answers that it is there already.

While NATS is away rows wait; the relay tries for ever, and says so once.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import grpc
import nats.errors
import nats.js.errors
import orjson
import psycopg
import sqlalchemy as sa
from nats.aio.client import Client
from nats.js import JetStreamContext

from chassis import streams, telemetry
from chassis.crashpoints import crashpoint
from chassis.database import Database, Transaction, UtcDateTime, is_transient
from chassis.errors import DomainError
from chassis.leadership import LeaderLock, leader_lock
from chassis.outbox import TableLike, fence_subject, headers_of, notify_channel, table_of
from chassis.publisher import (
    WRONG_LAST_SEQUENCE,
    Ack,
    ConnectionLost,
    NoResponders,
    Publisher,
    PublishError,
    PublishRefused,
)
from chassis.streams import StreamSettings

_log = logging.getLogger(__name__)

DOMAIN = "delivery.rollcall"

_ACK_SECONDS = 10.0
# A question that goes down with the server it was sent to is never answered: asked again soon, it holds nothing up.
_API_SECONDS = 3.0
_RETRY_SECONDS = 0.25
_CONTENTION_SECONDS = 0.01
_STANDBY_SECONDS = 0.5
_OUTAGE_REPEAT_SECONDS = 30.0

_Row = sa.RowMapping
_Aggregate = tuple[str, str]


class ConnectionClosed(ConnectionError):
    """The NATS client gave up for good; the process should end and be started again."""


class _Interrupted(Exception):
    """The batch cannot go on now; what is acked is marked, the rest is read again."""


class _StreamState:
    """What the relay knows about its stream since it last asked."""

    __slots__ = ("created", "first", "last")

    def __init__(self, first: int, last: int, created: datetime.datetime | None) -> None:
        self.first = first
        self.last = last
        self.created = created


class Relay:
    """Publishes one outbox to one stream.

    `servers` are NATS URLs; `linger` is how long (seconds) a wake-up waits for more rows; `batch` is how many messages
    are in flight at most; `poll` is how often (seconds) it looks without being woken. With `provision` it creates the
    stream when it is missing. Run it as a task; cancel the task to stop it.
    """

    def __init__(
        self,
        db: Database,
        table: TableLike,
        *,
        servers: str | Sequence[str] | streams.NatsSettings,
        stream: StreamSettings,
        leader_lock: LeaderLock | None = None,
        linger: float = 0.005,
        batch: int = 256,
        poll: float = 1.0,
        provision: bool = False,
    ) -> None:
        self._db = db
        self._table = table_of(table)
        self._servers = servers
        self._stream = stream
        self._lock = leader_lock or _default_lock(db, self._table)
        self._linger = linger
        self._batch = batch
        self._poll = poll
        self._provision = provision
        self._wake = asyncio.Event()
        self._closed = asyncio.Event()
        self._client: Client | None = None
        self._js: JetStreamContext | None = None
        self._publisher: Publisher | None = None
        self._state: _StreamState | None = None
        self._true_last: dict[str, int] = {}
        self._outage_since = 0.0
        self._outage_told = 0.0
        self.leading = False
        self.published = 0
        """How many rows this relay has marked as sent."""
        self._statements = _Statements(self._table, db.dialect)
        db.on_commit(self._wake.set)

    def wake(self) -> None:
        """Look for rows now."""
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled; raises `ConnectionClosed` when the NATS client gives up for good."""
        listener = asyncio.create_task(self._listen()) if self._db.dialect == "postgresql" else None
        try:
            await self._connect()
            while not self._closed.is_set():
                streams.raise_if_cancelled()
                if not await self._lead():
                    await asyncio.sleep(_STANDBY_SECONDS)
                    continue
                await self._step()
            raise ConnectionClosed(f"the NATS connection of the relay of {self._table.name} was closed")
        finally:
            self.leading = False
            if listener is not None:
                listener.cancel()
                await asyncio.gather(listener, return_exceptions=True)
            await self._lock.release()
            await streams.close(self._client)

    async def _connect(self) -> None:
        def lost() -> None:
            if self._publisher is not None:
                self._publisher.connection_lost()

        self._client = await streams.connect(
            self._servers,
            name=f"relay-{self._table.name}",
            disconnected=lost,
            reconnected=self._wake.set,
            closed=self._on_closed,
        )
        self._js = self._client.jetstream(timeout=_API_SECONDS)
        self._publisher = Publisher(self._client)
        await self._publisher.start()

    def _on_closed(self) -> None:
        if self._publisher is not None:
            self._publisher.connection_lost()
        self._closed.set()
        self._wake.set()

    async def _lead(self) -> bool:
        if self.leading and await self._lock.verify():
            return True
        if self.leading:
            _log.warning("the relay of %s lost its lock", self._table.name)
        self.leading = await self._lock.acquire()
        if self.leading:
            self._state = None
            self._true_last.clear()
            _log.info("this relay of %s leads", self._table.name)
        return self.leading

    async def _step(self) -> None:
        self._wake.clear()
        try:
            more = await self._relay_batch()
        except _Interrupted as error:
            self._tell_outage(error)
            self._state = None
            await asyncio.sleep(_RETRY_SECONDS)
            return
        # The database is away or the lock on it: tried again for ever, for nothing is lost meanwhile.
        except Exception as error:
            if not is_transient(error):
                raise
            self._tell_outage(error)
            await asyncio.sleep(_RETRY_SECONDS)
            return
        if self._outage_since:
            _log.warning(
                "the relay of %s goes on after %.1f s", self._table.name, time.monotonic() - self._outage_since
            )
            self._outage_since = 0.0
        if not more and await self._sleep(self._poll) and self._linger:
            await asyncio.sleep(self._linger)

    async def _sleep(self, seconds: float) -> bool:
        """Wait to be woken; say whether it was so."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    def _tell_outage(self, error: BaseException) -> None:
        now = time.monotonic()
        if not self._outage_since:
            self._outage_since = self._outage_told = now
            _log.error("the relay of %s waits: %s", self._table.name, _reason(error))
        elif now - self._outage_told > _OUTAGE_REPEAT_SECONDS:
            self._outage_told = now
            _log.error("the relay of %s still waits: %s", self._table.name, _reason(error))

    async def _relay_batch(self) -> bool:
        """Publish one batch and mark what is acked; say whether more is known to wait, or raise `_Interrupted`."""
        rows, before = await self._db.read(self._read_unsent)
        if not rows:
            return False
        crashpoint("relay.after_claim")
        state = self._state = self._state or await self._stream_state()
        settled: list[tuple[int, int | None]] = []
        failure: _Interrupted | None = None
        try:
            in_flight = await self._send(rows, before, state)
            crashpoint("relay.after_publish")
            await self._settle(in_flight, settled, state)
        except _Interrupted as error:
            failure = error
        if settled:
            crashpoint("relay.after_ack")
            await self._mark(settled)
            self.published += len(settled)
        if failure is not None:
            raise failure
        if not settled:
            # A fence did not hold and the row waits for another attempt: never in a tight loop.
            await asyncio.sleep(_CONTENTION_SECONDS)
        return len(settled) < len(rows) or len(rows) == self._batch

    def _read_unsent(self, tx: Transaction) -> tuple[list[_Row], dict[tuple[str, int], _Row]]:
        rows: list[_Row] = [row._mapping for row in tx.execute(self._statements.unsent, {"batch": self._batch})]
        here = {(row["aggregate_id"], row["version"]) for row in rows}
        wanted = [
            (row["aggregate_id"], row["version"] - 1)
            for row in rows
            if row["version"] > 1 and (row["aggregate_id"], row["version"] - 1) not in here
        ]
        before: dict[tuple[str, int], _Row] = {}
        if wanted:
            for row in self._statements.predecessors(tx, wanted):
                before[row.aggregate_id, row.version] = row._mapping
        return rows, before

    async def _stream_state(self) -> _StreamState:
        assert self._js is not None
        try:
            info = await self._js.stream_info(self._stream.name)
        except nats.js.errors.NotFoundError as error:
            if not self._provision:
                raise _Interrupted from error
            try:
                await streams.ensure_stream(self._js, self._stream)
                info = await self._js.stream_info(self._stream.name)
            except (nats.errors.Error, TimeoutError, OSError) as again:
                raise _Interrupted from again
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise _Interrupted from error
        created = info.created if isinstance(info.created, datetime.datetime) else None
        return _StreamState(info.state.first_seq, info.state.last_seq, created)

    async def _send(
        self, rows: list[_Row], before: dict[tuple[str, int], _Row], state: _StreamState
    ) -> deque[tuple[_Row, asyncio.Future[Ack]]]:
        assert self._publisher is not None
        in_flight: deque[tuple[_Row, asyncio.Future[Ack]]] = deque()
        last_of: dict[_Aggregate, int] = {}
        predicted = state.last
        for row in rows:
            aggregate = (row["aggregate_kind"], row["aggregate_id"])
            expected = last_of.get(aggregate)
            if expected is None:
                expected = self._true_last.get(row["event_id"])
            if expected is None:
                expected = _expected(before.get((row["aggregate_id"], row["version"] - 1)), state)
            headers = headers_of(row)
            span = None
            if row["traceparent"]:
                # From its commit on: the wait in the outbox is a part of it.
                span = telemetry.start(
                    "PRODUCER", f"publish {row['type']}", row["traceparent"], since=row["created_at"]
                )
            if span is not None:
                headers[streams.TRACEPARENT] = span.traceparent
            headers["Nats-Expected-Stream"] = self._stream.name
            headers["Nats-Expected-Last-Sequence"] = str(predicted)
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
            headers["Nats-Expected-Last-Subject-Sequence-Subject"] = fence_subject(row["subject"])
            try:
                future = await self._publisher.publish(row["subject"], row["payload"], headers)
            except PublishError as error:
                if not in_flight:
                    raise _Interrupted(f"event {row['event_id']} cannot be published: {error}") from error
                break  # what is in flight is settled first; this row is read again
            if span is not None:
                future.add_done_callback(functools.partial(_end_span, span))
            predicted += 1
            last_of[aggregate] = predicted
            in_flight.append((row, future))
        return in_flight

    async def _settle(
        self,
        in_flight: deque[tuple[_Row, asyncio.Future[Ack]]],
        settled: list[tuple[int, int | None]],
        state: _StreamState,
    ) -> None:
        """Await the acks in order; stop at the first row that is not in the stream."""
        for row, future in in_flight:
            try:
                async with asyncio.timeout(_ACK_SECONDS):
                    ack = await future
            except PublishRefused as error:
                if error.code not in WRONG_LAST_SEQUENCE:
                    raise _Interrupted(f"event {row['event_id']} was refused by the stream: {error}") from error
                self._state = None
                stored, sequence = await self._reconcile(row)
                if not stored:
                    # All behind it were refused too, for their fence counts it: they are published anew, in order.
                    return
                settled.append((row["id"], sequence))
            except (NoResponders, ConnectionLost, TimeoutError) as error:
                raise _Interrupted from error
            else:
                if ack.duplicate or ack.sequence != state.last + 1:
                    self._state = None
                state.last = ack.sequence
                settled.append((row["id"], ack.sequence))
                self._true_last.pop(row["event_id"], None)

    async def _reconcile(self, row: _Row) -> tuple[bool, int | None]:
        """After a fence did not hold: say whether the event is in the stream, and its sequence if that can be told."""
        assert self._js is not None
        subject = fence_subject(row["subject"])
        try:
            last = await self._js.get_last_msg(self._stream.name, subject)
        except nats.js.errors.NotFoundError:
            # Nothing of the aggregate is left in the stream: aged out, or the stream is new.
            self._true_last[row["event_id"]] = 0
            return False, None
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise _Interrupted from error
        version = (last.headers or {}).get(streams.VERSION, "")
        if not version.isdecimal() or last.seq is None:
            _log.critical(
                "subject %s holds a message that is not ours: the relay of %s stops", subject, self._table.name
            )
            raise _Interrupted(f"a foreign message on {subject}")
        if int(version) == row["version"]:
            self._true_last.pop(row["event_id"], None)
            return True, last.seq
        if int(version) > row["version"]:
            self._true_last.pop(row["event_id"], None)
            return True, None
        self._true_last[row["event_id"]] = last.seq
        return False, None

    async def _mark(self, settled: list[tuple[int, int | None]]) -> None:
        now = datetime.datetime.now(datetime.UTC)

        def unit(tx: Transaction) -> None:
            self._statements.mark(tx, settled, now)
            crashpoint("relay.before_mark_commit")

        await self._db.write(unit)

    async def _listen(self) -> None:
        """Be woken by commits of other processes; a lost connection is opened again, and the poll stands in."""
        conninfo = self._db.url.set(drivername="postgresql").render_as_string(hide_password=False)
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    conninfo, autocommit=True, connect_timeout=5, application_name="rollcall-relay-listen"
                ) as connection:
                    await connection.execute(
                        psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(notify_channel(self._table)))
                    )
                    self._wake.set()
                    async for _ in connection.notifies():
                        self._wake.set()
            except (psycopg.Error, OSError):
                await asyncio.sleep(_RETRY_SECONDS * 4)


class _Statements:
    """The relay's SQL, made once."""

    def __init__(self, table: sa.Table, dialect: str) -> None:
        self.unsent = (
            sa.select(table)
            .where(table.c.sent_at.is_(None))
            .order_by(table.c.id)
            .limit(sa.bindparam("batch", type_=sa.Integer))
        )
        self._dialect = dialect
        name = table.name
        if dialect == "sqlite":
            # CROSS JOIN keeps this order of loops.
            source = "(SELECT value ->> 0 AS id, value ->> 1 AS version FROM json_each(:pairs)) AS wanted CROSS JOIN"
        else:
            source = "unnest(CAST(:ids AS text[]), CAST(:versions AS bigint[])) AS wanted (id, version) JOIN"
        columns = (table.c.aggregate_id, table.c.version, table.c.stream_sequence, table.c.sent_at)
        self._predecessors = sa.text(
            f"SELECT {', '.join(f'{name}.{column.name}' for column in columns)} FROM {source} {name}"
            f" ON {name}.aggregate_id = wanted.id AND {name}.version = wanted.version"
        ).columns(*columns)
        if dialect == "sqlite":
            text = (
                f"UPDATE {name} SET sent_at = :now, stream_sequence = sent.sequence "
                "FROM (SELECT value ->> 0 AS id, value ->> 1 AS sequence FROM json_each(:sent)) AS sent "
                f"WHERE {name}.id = sent.id"
            )
        else:
            text = (
                f"UPDATE {name} SET sent_at = :now, stream_sequence = sent.sequence "
                "FROM unnest(CAST(:ids AS bigint[]), CAST(:sequences AS bigint[])) AS sent (id, sequence) "
                f"WHERE {name}.id = sent.id"
            )
        self._mark = sa.text(text).bindparams(sa.bindparam("now", type_=UtcDateTime))

    def predecessors(self, tx: Transaction, pairs: list[tuple[str, int]]) -> Iterable[sa.Row[Any]]:
        """Give the rows of these aggregates and versions, with one statement."""
        if self._dialect == "sqlite":
            return tx.execute(self._predecessors, {"pairs": orjson.dumps(pairs).decode()})
        ids, versions = [aggregate for aggregate, _ in pairs], [version for _, version in pairs]
        return tx.execute(self._predecessors, {"ids": ids, "versions": versions})

    def mark(self, tx: Transaction, settled: list[tuple[int, int | None]], now: datetime.datetime) -> None:
        """Mark rows as sent with one statement."""
        if self._dialect == "sqlite":
            tx.execute(self._mark, {"now": now, "sent": orjson.dumps(settled).decode()})
        else:
            ids, sequences = [row for row, _ in settled], [sequence for _, sequence in settled]
            tx.execute(self._mark, {"now": now, "ids": ids, "sequences": sequences})


def _expected(before: _Row | None, state: _StreamState) -> int:
    """Give the sequence of the last message of an aggregate, from the row of the version before."""
    if before is None or before["stream_sequence"] is None:
        return 0
    sequence: int = before["stream_sequence"]
    if sequence < state.first or sequence > state.last:
        return 0  # aged out of the stream, or of an earlier stream
    sent_at: datetime.datetime | None = before["sent_at"]
    if state.created is not None and sent_at is not None and sent_at < state.created:
        return 0  # of an earlier stream
    return sequence


def _reason(error: BaseException) -> str:
    if str(error):
        return str(error)
    cause = error.__cause__ or error
    return str(cause) or type(cause).__name__


def _default_lock(db: Database, table: sa.Table) -> LeaderLock:
    return leader_lock(db.url, f"relay-{table.name}")


def _end_span(span: telemetry.Span, published: asyncio.Future[Ack]) -> None:
    error = "CANCELLED" if published.cancelled() else type(published.exception() or "").__name__
    span.end(error="" if error == "str" else error)


def _mappings(statement: sa.Select[Any], tx: Transaction) -> Sequence[_Row]:
    return tx.execute(statement).mappings().all()


class ReplayInterrupted(DomainError):
    """The stream did not take an event; those before it are published once more, the rest is not."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "REPLAY_INTERRUPTED"
    domain = DOMAIN


async def republish(
    db: Database,
    table: TableLike,
    *,
    servers: str | Sequence[str] | streams.NatsSettings,
    stream: StreamSettings,
    connection_id: str | None = None,
    from_sequence: int | None = None,
    from_time: datetime.datetime | None = None,
    batch: int = 256,
) -> int:
    """Publish events that were sent before once more, in their order, and return how many; see `replay`."""
    count = 0
    async for published in replay(
        db,
        table,
        servers=servers,
        stream=stream,
        connection_id=connection_id,
        from_sequence=from_sequence,
        from_time=from_time,
        batch=batch,
    ):
        count = published
    return count


def _replayed(
    outbox: sa.Table,
    connection_id: str | None,
    from_sequence: int | None,
    from_time: datetime.datetime | None,
) -> list[sa.ColumnElement[bool]]:
    if from_sequence is not None and connection_id is None:
        raise ValueError("a sequence counts the events of one connection: give the connection too")
    conditions: list[sa.ColumnElement[bool]] = [outbox.c.sent_at.is_not(None)]
    if connection_id is not None:
        conditions.append(outbox.c.connection_id == connection_id)
    if from_sequence is not None:
        conditions.append(outbox.c.sequence >= from_sequence)
    if from_time is not None:
        conditions.append(outbox.c.created_at >= from_time)
    return conditions


async def count_replay(
    db: Database,
    table: TableLike,
    *,
    connection_id: str | None = None,
    from_sequence: int | None = None,
    from_time: datetime.datetime | None = None,
) -> int:
    """Count the events that `replay` would publish. Raises ValueError like it."""
    outbox = table_of(table)
    conditions = _replayed(outbox, connection_id, from_sequence, from_time)
    statement = sa.select(sa.func.count()).select_from(outbox).where(*conditions)
    return await db.read(lambda tx: int(tx.execute(statement).scalar_one()))


async def replay(
    db: Database,
    table: TableLike,
    *,
    servers: str | Sequence[str] | streams.NatsSettings,
    stream: StreamSettings,
    connection_id: str | None = None,
    from_sequence: int | None = None,
    from_time: datetime.datetime | None = None,
    batch: int = 256,
) -> AsyncIterator[int]:
    """Publish events that were sent before once more, in their order, and yield after each batch how many there were.

    They keep their `ce-id`, so that consumers recognise them, but carry no `Nats-Msg-Id` and no fence, so that the
    stream takes them. `from_sequence` is a position on the connection (it needs `connection_id`), `from_time` an aware
    datetime. Raises ValueError for a sequence without a connection, `ReplayInterrupted` when NATS or the stream does
    not take an event within ten seconds.
    """
    outbox = table_of(table)
    conditions = _replayed(outbox, connection_id, from_sequence, from_time)
    # What is written meanwhile is published by the relay; a replay of everything must come to an end.
    newest = await db.read(lambda tx: tx.execute(sa.select(sa.func.max(outbox.c.id))).scalar()) or 0
    count, after = 0, 0
    client: Client | None = None
    try:
        async with asyncio.timeout(_ACK_SECONDS):
            client = await streams.connect(servers, name=f"replay-{outbox.name}")
        publisher = Publisher(client)
        await publisher.start()
        while True:
            where = (outbox.c.id > after, outbox.c.id <= newest, *conditions)
            statement = sa.select(outbox).where(*where).order_by(outbox.c.id).limit(batch)
            rows = await db.read(functools.partial(_mappings, statement))
            if not rows:
                return
            futures = []
            for row in rows:
                headers = headers_of(row)
                del headers["Nats-Msg-Id"]
                headers["Nats-Expected-Stream"] = stream.name
                futures.append(await publisher.publish(row["subject"], row["payload"], headers))
            for future in futures:
                async with asyncio.timeout(_ACK_SECONDS):
                    await future
            count += len(rows)
            after = rows[-1]["id"]
            yield count
    except (PublishError, nats.errors.Error, TimeoutError, OSError) as error:
        raise ReplayInterrupted(
            f"the stream {stream.name} did not take an event after {count} were published: {_reason(error)}"
        ) from error
    finally:
        if client is not None:
            with contextlib.suppress(nats.errors.Error):
                await client.flush()
            await streams.close(client)
