"""Units of work on SQLite and PostgreSQL, run on threads and awaited from asyncio.

All writes of a process go through one thread with a queue. It takes what waits, up to `batch` units, and runs it in one
transaction: the cost of a durable COMMIT is shared (group commit), and SQLite never sees two writers of one process.

What a unit of work may rely on, and what it must stand:

- It is a plain function of a `Transaction`; its return value reaches the caller only after COMMIT. It must return
  finished data, never a cursor.
- **It must be re-runnable.** When another unit of its batch fails after a write, or a lock is lost to another process,
  the transaction rolls back and every unit runs again, alone. So a unit changes nothing but the database.
- A unit that raises before it wrote fails alone. One that raises after a write leaves nothing behind.
- It runs in the caller's `contextvars` context.

Errors are those of SQLAlchemy, save that a database that cannot be reached, is out of space or keeps refusing a lock
is `DatabaseUnavailable`.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import datetime
import logging
import queue
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Generic, TypeVar, cast

import orjson
import psycopg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.interfaces import Dialect

from chassis.crashpoints import crashpoint
from chassis.prepared import Prepared, PreparedStatements, Rows, writes
from chassis.tenancy import EVERY, SETTING
from chassis.tenancy import tenant as current_tenant

T = TypeVar("T")

_log = logging.getLogger(__name__)

_BUSY_TIMEOUT_MS = 5_000
_RETRIES = 8
_FIRST_BACKOFF = 0.005
_LONGEST_BACKOFF = 0.25
_READ_BATCH = 4
_READ_PATIENCE = 0.002
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}|\*", re.ASCII)
_CONNECT_BACKOFF = (0.05, 0.1, 0.2, 0.4)

# SQLite primary result codes: SQLITE_BUSY, SQLITE_LOCKED; SQLITE_IOERR, SQLITE_FULL, SQLITE_CANTOPEN.
_SQLITE_CONFLICT = frozenset({5, 6})
_SQLITE_UNAVAILABLE = frozenset({10, 13, 14})
# serialization_failure, deadlock_detected, lock_not_available.
_POSTGRESQL_CONFLICT = frozenset({"40001", "40P01", "55P03"})
# Classes 08 connection exception, 53 insufficient resources, 57 operator intervention, 58 system error.
_POSTGRESQL_UNAVAILABLE = ("08", "53", "57P", "58")


class DatabaseUnavailable(Exception):
    """The database cannot be reached or cannot take writes now; a later attempt may succeed.

    When the connection was lost during COMMIT itself, nobody knows whether the write took place.
    """


class DatabaseClosed(Exception):
    """The database was not started or is stopped."""


class WriteInRead(Exception):
    """A unit given to `Database.read` executed a statement that writes."""


class UtcDateTime(sa.TypeDecorator[datetime.datetime]):
    """A point in time: takes aware datetimes only, gives back UTC ones on both databases. Microseconds."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        """Convert to UTC; raise ValueError for a datetime without a time zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a datetime without a time zone cannot be stored")
        value = value.astimezone(datetime.UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        """Give back an aware datetime in UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=datetime.UTC)
        return value.astimezone(datetime.UTC)


class Transaction:
    """What a unit of work gets: the connection with its open transaction. Valid only inside the unit.

    `statements` are those that go straight to the driver; without them every one goes through the library.
    """

    __slots__ = ("_cursor", "_notified", "_reading", "_statements", "_tenant", "connection", "dialect", "wrote")

    def __init__(
        self,
        connection: sa.Connection,
        dialect: str,
        statements: PreparedStatements | None = None,
        *,
        reading: bool = False,
    ) -> None:
        self.connection = connection
        self.dialect = dialect
        self.wrote = False
        self._statements = statements
        self._reading = reading
        self._cursor: Any = None
        self._notified: set[str] = set()
        self._tenant = ""

    def bind(self, tenant: str) -> None:
        """Let row-level security show what follows the rows of a tenant alone; see `tenancy`. Nothing on SQLite."""
        if tenant == self._tenant or self.dialect != "postgresql":
            return
        self._tenant = tenant
        # What is no id has no rows either; and text that reached a statement as it is must not end the literal.
        value = tenant if _TENANT.fullmatch(tenant) else ""
        driver: psycopg.pq.abc.PGconn = self.connection.connection.driver_connection.pgconn  # type: ignore[union-attr]
        command = f"SET LOCAL {SETTING} = '{value}'"
        if driver.transaction_status == psycopg.pq.TransactionStatus.IDLE:
            # The driver would begin with a round trip of its own; so binding costs none.
            command = f"BEGIN; {command}"
        if driver.exec_(command.encode()).status != psycopg.pq.ExecStatus.COMMAND_OK:
            # The connection is lost, or the transaction is; the library finds out which, and tells it as ever.
            self.connection.exec_driver_sql(f"SELECT set_config('{SETTING}', '{value}', true)")

    def execute(self, statement: sa.Executable, parameters: Any = None) -> Rows | sa.CursorResult[Any]:
        """Execute a statement; a list of parameter mappings executes it once for each."""
        if self._statements is not None:
            prepared = self._statements.find(statement, parameters)
            if prepared is not None:
                return self._execute_prepared(prepared, parameters)
        return self.connection.execute(statement, parameters)

    def _execute_prepared(self, prepared: Prepared, parameters: Any) -> Rows:
        if prepared.writes:
            if self._reading:
                raise WriteInRead(_WRITE_IN_READ)
            self.wrote = True
        try:
            if prepared.many:
                bound: Any = [prepared.bind(each) for each in parameters]
            else:
                bound = prepared.bind(parameters or _NO_PARAMETERS)
        # Whatever a type says of a value that is not its own is told as the library tells it.
        except Exception as error:
            raise sa.exc.StatementError(str(error), prepared.text, None, error, hide_parameters=True) from error
        connection = self.connection
        driver = connection.dialect.loaded_dbapi.Error
        if self._cursor is None:
            self._cursor = connection.connection.cursor()
        try:
            return prepared.execute(self._cursor, bound)
        except driver as error:
            raise self._told(error, prepared, driver) from error

    def _told(self, error: Exception, prepared: Prepared, driver: type[Exception]) -> BaseException:
        """Give the library's error for one of the driver's, and give up a connection that it ends."""
        connection = self.connection
        lost = False
        if not connection.invalidated:
            lost = connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, self._cursor)  # type: ignore[arg-type]  # the driver's own error
        if lost:
            connection.invalidate(error)
        return sa.exc.DBAPIError.instance(
            prepared.text,
            None,
            error,
            driver,
            hide_parameters=True,
            connection_invalidated=lost,
            dialect=connection.dialect,
        )

    def notify(self, channel: str) -> None:
        """Send an empty PostgreSQL NOTIFY at COMMIT, once per transaction and channel; nothing on SQLite."""
        if self.dialect == "postgresql" and channel not in self._notified:
            self._notified.add(channel)
            self.execute(_NOTIFY, {"channel": channel})


_NOTIFY = sa.text("SELECT pg_notify(:channel, '')")
_NO_PARAMETERS: Mapping[str, Any] = {}
_WRITE_IN_READ = "a unit given to read() executed a statement that writes: give it to write()"


class _Job(Generic[T]):
    __slots__ = ("context", "future", "key", "unit")

    def __init__(self, unit: Callable[[Transaction], T], key: str, future: asyncio.Future[T]) -> None:
        self.unit = unit
        self.key = key
        self.future = future
        self.context = contextvars.copy_context()


_Outcome = tuple["_Job[Any]", Any, BaseException | None]


class _BatchFailed(Exception):
    """A unit of a batch failed after a write; the transaction is rolled back."""


class _CommitFailed(Exception):
    """COMMIT itself failed; `__cause__` says why."""


class Database:
    """One database: a writer thread with group commit, and a few reader threads.

    `url` is `sqlite:///path` or `postgresql+psycopg://…`; `name` marks threads, logs and PostgreSQL's application_name;
    `readers` is the number of reader threads; `batch` is the greatest number of units in one transaction.
    """

    def __init__(self, url: str, *, name: str, readers: int = 4, batch: int = 128) -> None:
        self.url = sa.make_url(url)
        self.name = name
        self.dialect = self.url.get_backend_name()
        if self.dialect not in ("sqlite", "postgresql"):
            raise ValueError(f"unsupported database {self.dialect!r}: expected sqlite or postgresql")
        if self.dialect == "sqlite" and self.url.database in (None, "", ":memory:"):
            raise ValueError("an in-memory SQLite database cannot be shared by threads: give a path")
        if readers < 1 or batch < 1:
            raise ValueError("readers and batch must be at least 1")
        self._reader_count = readers
        self._batch = batch
        self._callbacks: list[Callable[[], None]] = []
        self.around_write: Callable[[Callable[[Transaction], Any]], Callable[[Transaction], Any]] | None = None
        """Makes another unit of each that is given to `write`, in the context of its caller: what else belongs in the
        transaction."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._write_queue: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._readers: list[_Reader] = []
        self._threads: list[threading.Thread] = []
        self._engines: list[sa.Engine] = []
        self._accepting = False

    async def start(self) -> None:
        """Open the database; raise `DatabaseUnavailable` when it cannot be reached. Nothing connects before."""
        if self._threads:
            raise RuntimeError(f"database {self.name} is started already")
        self._loop = asyncio.get_running_loop()
        writer = _Writer(self)
        self._engines = [writer.engine]
        # WAL and the first connection are made once, before any reader opens the file.
        await self._loop.run_in_executor(None, writer.open)
        reading = create_engine(self.url, self.name, purpose="read")
        statements = PreparedStatements(reading.dialect)
        self._engines.append(reading)
        self._threads = [threading.Thread(target=writer.run, name=f"{self.name}-writer", daemon=True)]
        self._readers = [_Reader(self, reading, statements) for _ in range(self._reader_count)]
        for number, reader in enumerate(self._readers):
            self._threads.append(threading.Thread(target=reader.run, name=f"{self.name}-reader-{number}", daemon=True))
        self._accepting = True
        for thread in self._threads:
            thread.start()

    async def stop(self) -> None:
        """Finish what is queued, then close every connection. Later calls of read and write raise `DatabaseClosed`."""
        if not self._accepting or self._loop is None:
            return
        self._accepting = False
        self._write_queue.put(None)
        for reader in self._readers:
            reader.queue.put(None)
        threads, self._threads = self._threads, []
        for thread in threads:
            await self._loop.run_in_executor(None, thread.join)
        for engine in self._engines:
            engine.dispose()
        # The threads' last call_soon_threadsafe ran before they ended; let its callbacks run before we return.
        await asyncio.sleep(0)

    async def write(self, unit: Callable[[Transaction], T], *, key: str = "") -> T:
        """Run a re-runnable unit of work in a transaction and return its value after COMMIT.

        Units of one batch run in the order of `key` (equal keys in the order of arrival), so that processes that lock
        the same rows lock them in one order. Raises what the unit raises, `DatabaseUnavailable`, `DatabaseClosed`.
        """
        if not self._accepting or self._loop is None:
            raise DatabaseClosed(f"database {self.name} is not open")
        if self.around_write is not None:
            unit = self.around_write(unit)
        future: asyncio.Future[T] = self._loop.create_future()
        self._write_queue.put(_Job(unit, key, future))
        return await future

    async def read(self, unit: Callable[[Transaction], T]) -> T:
        """Run a unit that only reads, on one snapshot, and return its value.

        Raises what the unit raises, `WriteInRead`, `DatabaseUnavailable`, `DatabaseClosed`.
        """
        if not self._accepting or self._loop is None:
            raise DatabaseClosed(f"database {self.name} is not open")
        future: asyncio.Future[T] = self._loop.create_future()
        now = time.monotonic()
        reader = self._choose_reader(now)
        if reader.pending == 0:
            reader.since = now
        reader.pending += 1
        reader.queue.put(_Job(unit, "", future))
        return await future

    def _choose_reader(self, now: float) -> _Reader:
        """Give the first reader that will be free soon: few awake threads cost less than many, and share snapshots."""
        for reader in self._readers:
            if reader.pending == 0 or (reader.pending < _READ_BATCH and now - reader.since < _READ_PATIENCE):
                return reader
        return min(self._readers, key=lambda reader: reader.pending)

    def on_commit(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the event loop after every committed batch that wrote, once its units are resolved."""
        self._callbacks.append(callback)

    def _deliver(self, outcomes: list[_Outcome], wrote: bool, reader: _Reader | None = None) -> None:
        loop = self._loop
        assert loop is not None
        # RuntimeError: the loop is closed, so nobody waits any more.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._resolve, outcomes, wrote, reader)

    def _resolve(self, outcomes: list[_Outcome], wrote: bool, reader: _Reader | None) -> None:
        if reader is not None:
            reader.pending -= len(outcomes)
            reader.since = time.monotonic()
        for job, value, error in outcomes:
            if job.future.done():  # its caller was cancelled
                continue
            if error is None:
                job.future.set_result(value)
            else:
                job.future.set_exception(error)
        if wrote:
            for callback in self._callbacks:
                callback()


class _Writer:
    """The thread that writes: one connection, one transaction per batch."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._queue = database._write_queue
        self._limit = database._batch
        self._dialect = database.dialect
        self.engine = create_engine(database.url, database.name, purpose="write")
        self._statements = PreparedStatements(self.engine.dialect)
        self._connection: sa.Connection | None = None
        self._transaction: Transaction | None = None
        self._unreachable = False
        event.listen(self.engine, "before_cursor_execute", self._mark_write)

    def open(self) -> None:
        """Connect; raise `DatabaseUnavailable`."""
        self._connect()

    def run(self) -> None:
        """Serve the queue until its end marker."""
        get, get_nowait = self._queue.get, self._queue.get_nowait
        ended = False
        while not ended:
            job = get()
            batch: list[_Job[Any]] = []
            while True:
                if job is None:
                    ended = True
                    break
                if not job.future.cancelled():
                    batch.append(job)
                if len(batch) >= self._limit:
                    break
                try:
                    job = get_nowait()
                except queue.Empty:
                    break
            if batch:
                batch.sort(key=lambda waiting: waiting.key)
                self._process(batch)
        self._disconnect()

    def _process(self, batch: list[_Job[Any]]) -> None:
        if len(batch) > 1:
            try:
                outcomes, wrote = self._run_together(batch)
            except _BatchFailed:
                pass
            except _CommitFailed as error:
                unknown = self._unavailable(error.__cause__, "the outcome of the write is unknown")
                self._database._deliver([(job, None, unknown) for job in batch], False)
                return
            except DatabaseUnavailable as error:
                self._database._deliver([(job, None, error) for job in batch], False)
                return
            else:
                self._database._deliver(outcomes, wrote)
                return
        unreachable: DatabaseUnavailable | None = None
        for job in batch:
            if unreachable is not None:
                # The connection just failed for a unit of this batch: the others need not wait for it one by one.
                self._database._deliver([(job, None, unreachable)], False)
                continue
            try:
                outcomes, wrote = self._run_alone(job)
            except DatabaseUnavailable as error:
                if self._unreachable:
                    unreachable = error
                outcomes, wrote = [(job, None, error)], False
            self._database._deliver(outcomes, wrote)

    def _run_alone(self, job: _Job[Any]) -> tuple[list[_Outcome], bool]:
        backoff = _FIRST_BACKOFF
        for attempt in range(_RETRIES):
            try:
                return self._run_together([job])
            except _CommitFailed as error:
                cause = error.__cause__
                if not is_conflict(cause):
                    raise self._unavailable(cause, "the outcome of the write is unknown") from cause
            except _BatchFailed as error:
                cause = error.__cause__
                assert cause is not None
                if not isinstance(cause, sa.exc.DBAPIError):
                    return [(job, None, cause)], False
                if is_unavailable(cause) and not cause.connection_invalidated:
                    raise self._unavailable(cause, "the database refuses writes") from cause
                if not (is_conflict(cause) or cause.connection_invalidated):
                    return [(job, None, cause)], False
            if attempt + 1 < _RETRIES:
                time.sleep(backoff)
                backoff = min(backoff * 2, _LONGEST_BACKOFF)
        raise self._unavailable(cause, "the database kept refusing a lock") from cause

    def _run_together(self, batch: list[_Job[Any]]) -> tuple[list[_Outcome], bool]:
        """Run units in one transaction; raise `_BatchFailed` when it had to be rolled back, with the cause."""
        connection = self._connect()
        begun = self._begin(connection)
        transaction = self._transaction = Transaction(connection, self._dialect, self._statements)
        outcomes: list[_Outcome] = []
        wrote = False
        try:
            for job in batch:
                transaction.wrote = False
                try:
                    transaction.bind(job.context.get(current_tenant, ""))
                    value = job.context.run(job.unit, transaction)
                # A unit may raise anything; whatever it is belongs to its caller, and the thread must live on.
                except BaseException as error:
                    # After a database error PostgreSQL refuses every further statement of the transaction.
                    if transaction.wrote or isinstance(error, sa.exc.DBAPIError) or not connection.in_transaction():
                        self._roll_back(begun)
                        raise _BatchFailed from _deliverable(error)
                    outcomes.append((job, None, _deliverable(error)))
                else:
                    wrote = wrote or transaction.wrote
                    outcomes.append((job, value, None))
            crashpoint("database.before_commit")
            try:
                begun.commit()
            except sa.exc.DBAPIError as error:
                self._roll_back(begun)
                # Only a lost connection leaves the outcome open; a refusal is a rollback.
                if error.connection_invalidated or is_unavailable(error):
                    raise _CommitFailed from error
                raise _BatchFailed from error
            crashpoint("database.after_commit")
        finally:
            self._transaction = None
        return outcomes, wrote

    def _begin(self, connection: sa.Connection) -> sa.RootTransaction:
        backoff = _FIRST_BACKOFF
        for attempt in range(_RETRIES):
            try:
                return connection.begin()
            except sa.exc.DBAPIError as error:
                # Nothing was sent yet, so whatever the reason a further attempt is safe.
                if attempt + 1 == _RETRIES:
                    raise self._unavailable(error, "no transaction could be opened") from error
                if error.connection_invalidated:
                    self._disconnect()
                    connection = self._connect()
            time.sleep(backoff)
            backoff = min(backoff * 2, _LONGEST_BACKOFF)
        raise AssertionError("unreachable")

    def _roll_back(self, begun: sa.RootTransaction) -> None:
        try:
            begun.rollback()
        except sa.exc.SQLAlchemyError:
            # The connection is gone and its transaction with it.
            self._disconnect()
        else:
            connection = self._connection
            if connection is not None and connection.invalidated:
                self._disconnect()

    def _connect(self) -> sa.Connection:
        if self._connection is not None and not self._connection.invalidated:
            return self._connection
        self._disconnect()
        # While the database is known to be away, one attempt per batch: callers get their answer at once.
        for wait in (0.0,) if self._unreachable else (0.0, *_CONNECT_BACKOFF):
            time.sleep(wait)
            try:
                self._connection = self.engine.connect()
            except sa.exc.DBAPIError as error:
                failure = error
                continue
            if self._unreachable:
                _log.warning("database %s is reachable again", self._database.name)
            self._unreachable = False
            return self._connection
        if not self._unreachable:
            _log.error("database %s is unreachable: %s", self._database.name, type(failure.orig).__name__)
        self._unreachable = True
        raise self._unavailable(failure, "no connection") from failure

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # A broken connection may fail to close; it is gone either way.
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.invalidate()
                connection.close()

    def _unavailable(self, cause: BaseException | None, what: str) -> DatabaseUnavailable:
        error = DatabaseUnavailable(f"database {self._database.name}: {what}")
        error.__cause__ = cause
        return error

    def _mark_write(
        self, connection: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> None:
        transaction = self._transaction
        if transaction is not None and not transaction.wrote and _writes(statement, context):
            transaction.wrote = True


class _Reader:
    """A thread that reads: its own connection, a snapshot per batch of units, one retry after a lost connection.

    `pending` and `since` (when it last had nothing behind it or finished something) belong to the event loop.
    """

    def __init__(self, database: Database, engine: sa.Engine, statements: PreparedStatements) -> None:
        self.queue: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self.pending = 0
        self.since = 0.0
        self._database = database
        self._dialect = database.dialect
        self._engine = engine
        self._statements = statements
        self._connection: sa.Connection | None = None

    def run(self) -> None:
        """Serve the queue until its end marker."""
        ended = False
        while not ended:
            job = self.queue.get()
            # Only what waits already may share the snapshot: a later unit must see later commits.
            batch: list[_Job[Any]] = []
            while True:
                if job is None:
                    ended = True
                    break
                batch.append(job)
                if len(batch) >= _READ_BATCH:
                    break
                try:
                    job = self.queue.get_nowait()
                except queue.Empty:
                    break
            if batch:
                self._serve(batch)
        self._disconnect()

    def _serve(self, batch: list[_Job[Any]]) -> None:
        outcomes: list[_Outcome] = []
        started = time.monotonic()
        served = 0
        try:
            with self._snapshot() as transaction:
                for job in batch:
                    if time.monotonic() - started > _READ_PATIENCE and outcomes:
                        # Nobody waits for the answer to somebody else's long question.
                        self._deliver(outcomes)
                        outcomes = []
                    try:
                        transaction.bind(job.context.get(current_tenant, ""))
                        outcomes.append((job, job.context.run(job.unit, transaction), None))
                    except sa.exc.DBAPIError:
                        raise  # the snapshot may be lost: this unit and those behind it go one by one
                    # A unit may raise anything; whatever it is belongs to its caller, and the thread must live on.
                    except BaseException as error:
                        outcomes.append((job, None, _deliverable(error)))
                    served += 1
        except sa.exc.DBAPIError:
            self._disconnect_if_lost()
        self._deliver(outcomes)
        for job in batch[served:]:
            try:
                outcome: _Outcome = (job, self._attempt(job), None)
            # As above.
            except BaseException as error:
                outcome = (job, None, _deliverable(error))
            self._deliver([outcome])

    def _deliver(self, outcomes: list[_Outcome]) -> None:
        if outcomes:
            self._database._deliver(outcomes, False, self)

    @contextlib.contextmanager
    def _snapshot(self) -> Iterator[Transaction]:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._engine.connect()
        begun = connection.begin()
        try:
            yield Transaction(connection, self._dialect, self._statements, reading=True)
        finally:
            # A lost connection fails to roll back; the error of the unit is the one to tell.
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                begun.rollback()
            self._disconnect_if_lost()

    def _attempt(self, job: _Job[Any]) -> Any:
        for last in (False, True):
            try:
                return self._run(job)
            except sa.exc.DBAPIError as error:
                gone = error.connection_invalidated or is_conflict(error) or is_unavailable(error)
                if gone:
                    self._disconnect()
                if last and gone:
                    raise DatabaseUnavailable(f"database {self._database.name}: no answer") from error
                if not gone:
                    raise
        raise AssertionError("unreachable")

    def _run(self, job: _Job[Any]) -> Any:
        with self._snapshot() as transaction:
            transaction.bind(job.context.get(current_tenant, ""))
            return job.context.run(job.unit, transaction)

    def _disconnect_if_lost(self) -> None:
        if self._connection is not None and self._connection.invalidated:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # A broken connection may fail to close; it is gone either way.
            with contextlib.suppress(sa.exc.SQLAlchemyError):
                connection.invalidate()
                connection.close()


def create_engine(url: sa.URL | str, name: str, *, purpose: str) -> sa.Engine:
    """Make an engine with the settings that every connection of ours has; `purpose` is `read`, `write` or `migrate`.

    Connections are made on first use and not pooled across units: each thread keeps its own.
    """
    url = sa.make_url(url)
    options: dict[str, Any] = {
        "poolclass": sa.pool.NullPool,
        "json_serializer": lambda value: orjson.dumps(value).decode(),
        "json_deserializer": orjson.loads,
    }
    if url.get_backend_name() == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000}, **options)

        @event.listens_for(engine, "connect")
        def _prepare(connection: sqlite3.Connection, record: Any) -> None:
            # The driver's own transaction control would commit before DDL and begin too late.
            connection.isolation_level = None
            connection.create_function("casefold", 1, _casefold, deterministic=True)
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
            cursor.execute("PRAGMA synchronous=FULL")
            if purpose == "read":
                cursor.execute("PRAGMA query_only=ON")
            else:
                cursor.execute("PRAGMA journal_mode=WAL")
            # A migration that rebuilds a table must not cascade through the rows that refer to it.
            cursor.execute(f"PRAGMA foreign_keys={'OFF' if purpose == 'migrate' else 'ON'}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _begin(connection: sa.Connection) -> None:
            # Straight to the driver, for the library's care around statements costs more than the statement.
            driver = cast("sqlite3.Connection", connection.connection.dbapi_connection)
            if purpose == "read":
                driver.execute("BEGIN")
                return
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                raise sa.exc.OperationalError("BEGIN IMMEDIATE", None, error) from error

    else:
        # Compiling a statement costs PostgreSQL far more than any of ours takes to run, and its estimates for walks
        # through JSON would make it try each time.
        settings = "-c jit=off -c default_transaction_isolation=read\\ committed"
        if purpose == "read":
            # One snapshot per unit, as on SQLite; read-only, so it never fails to serialize.
            settings = (
                "-c jit=off -c default_transaction_isolation=repeatable\\ read -c default_transaction_read_only=on"
            )
        if purpose == "migrate":
            # A later migration that rewrites rows rewrites those of every tenant.
            settings += f" -c {SETTING}={EVERY}"
        arguments = {
            "application_name": f"rollcall-{name}-{purpose}",
            "connect_timeout": 5,
            "options": settings,
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }
        engine = sa.create_engine(url, connect_args=arguments, **options)
    if purpose == "read":

        @event.listens_for(engine, "before_cursor_execute")
        def _refuse(
            connection: sa.Connection, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
        ) -> None:
            if _writes(statement, context):
                raise WriteInRead(_WRITE_IN_READ)

    return engine


def is_conflict(error: BaseException | None) -> bool:
    """Say whether an error means that another transaction was in the way and a new attempt may succeed."""
    original = getattr(error, "orig", None)
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _SQLITE_CONFLICT
    return getattr(original, "sqlstate", None) in _POSTGRESQL_CONFLICT


def is_unavailable(error: BaseException | None) -> bool:
    """Say whether an error means that the database itself cannot serve now: gone, starting, out of space."""
    original = getattr(error, "orig", None)
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorcode", None)
        return code is not None and code & 0xFF in _SQLITE_UNAVAILABLE
    state = getattr(original, "sqlstate", None)
    if state is None:
        # psycopg reports a failed or lost connection without an SQLSTATE.
        return isinstance(error, sa.exc.OperationalError)
    return str(state).startswith(_POSTGRESQL_UNAVAILABLE)


def is_transient(error: BaseException) -> bool:
    """Say whether the database, not the work, is the reason of an error, so that the work may be tried again."""
    if isinstance(error, DatabaseUnavailable | DatabaseClosed):
        return True
    if isinstance(error, sa.exc.DBAPIError):
        return error.connection_invalidated or is_conflict(error) or is_unavailable(error)
    return False


def _writes(statement: str, context: Any) -> bool:
    """Say whether what the library is about to execute may change a table."""
    if context is not None and context.compiled is not None and not context.is_text:
        return context.isddl or writes(statement, context.compiled)
    return writes(statement, None)


def _casefold(text: Any) -> Any:
    return text.casefold() if isinstance(text, str) else text


def _deliverable(error: BaseException) -> BaseException:
    # A future refuses StopIteration, for it would end the awaiting generator.
    if isinstance(error, StopIteration):
        wrapped = RuntimeError("a unit of work raised StopIteration")
        wrapped.__cause__ = error
        return wrapped
    return error
