"""Units of work: group commit, retries, reads, and what happens when the database goes away."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from chassis.database import Database, DatabaseClosed, DatabaseUnavailable, Transaction, UtcDateTime, WriteInRead
from tests.chassis.delivery_world import eventually
from tests.conftest import PostgresServer

pytestmark = pytest.mark.timeout(60)

METADATA = sa.MetaData()
ITEM = sa.Table(
    "item",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, unique=True),
    sa.Column("document", sa.JSON),
    sa.Column("made_at", UtcDateTime),
)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, name="test")
    await database.start()
    await database.write(lambda tx: METADATA.create_all(tx.connection))
    yield database
    await database.stop()


def insert(name: str):
    def unit(tx: Transaction) -> str:
        tx.execute(ITEM.insert(), {"name": name})
        return name

    return unit


async def names(db: Database) -> list[str]:
    return list(await db.read(lambda tx: tx.execute(sa.select(ITEM.c.name).order_by(ITEM.c.id)).scalars().all()))


class Gate:
    """A unit that holds the writer thread until it is opened, so that a batch gathers behind it."""

    def __init__(self, db: Database) -> None:
        self._entered, self._open = threading.Event(), threading.Event()
        self._task = asyncio.ensure_future(db.write(self._unit))

    def _unit(self, tx: Transaction) -> None:
        self._entered.set()
        assert self._open.wait(30)

    async def entered(self) -> Gate:
        await eventually(self._entered.is_set)
        return self

    async def open(self) -> None:
        self._open.set()
        await self._task


async def test_waiting_units_share_one_commit(db: Database) -> None:
    """TARGETS.md: "one writer with a queue and group commit (drain up to 128 waiting units, one transaction ...)"."""
    commits = 0

    def committed() -> None:
        nonlocal commits
        commits += 1

    db.on_commit(committed)
    gate = await Gate(db).entered()
    writes = [asyncio.ensure_future(db.write(insert(f"n{number}"))) for number in range(50)]
    await asyncio.sleep(0)
    await gate.open()
    assert await asyncio.gather(*writes) == [f"n{number}" for number in range(50)]
    assert commits == 1
    assert await names(db) == [f"n{number}" for number in range(50)]


async def test_units_of_a_batch_run_in_the_order_of_their_keys(db: Database) -> None:
    """Two processes lock the same rows in one order: units are sorted by key, stably."""
    gate = await Gate(db).entered()
    order = [("b", "1"), ("a", "2"), ("b", "3"), ("a", "4"), ("", "5")]
    writes = [asyncio.ensure_future(db.write(insert(name), key=key)) for key, name in order]
    await asyncio.sleep(0)
    await gate.open()
    await asyncio.gather(*writes)
    assert await names(db) == ["5", "2", "4", "1", "3"]


async def test_a_unit_that_raises_before_it_wrote_fails_alone(db: Database) -> None:
    """A unit that refuses its request costs the others of its batch nothing."""
    runs: list[str] = []

    def counted(name: str):
        def unit(tx: Transaction) -> None:
            runs.append(name)
            tx.execute(ITEM.insert(), {"name": name})

        return unit

    def refuse(tx: Transaction) -> None:
        tx.execute(sa.select(ITEM)).all()
        raise LookupError("refused")

    gate = await Gate(db).entered()
    tasks = [asyncio.ensure_future(db.write(unit)) for unit in (counted("a"), refuse, counted("b"))]
    await asyncio.sleep(0)
    await gate.open()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), LookupError, type(None)]
    assert runs == ["a", "b"]
    assert await names(db) == ["a", "b"]


async def test_a_unit_that_raises_after_it_wrote_leaves_nothing_and_the_others_run_again(db: Database) -> None:
    """The transaction rolls back and every unit runs again, one by one, each in its own transaction."""

    def half(tx: Transaction) -> None:
        tx.execute(ITEM.insert(), {"name": "half"})
        raise LookupError("too late")

    gate = await Gate(db).entered()
    tasks = [asyncio.ensure_future(db.write(unit)) for unit in (insert("a"), half, insert("a"), insert("b"))]
    await asyncio.sleep(0)
    await gate.open()
    first, second, third, fourth = await asyncio.gather(*tasks, return_exceptions=True)
    assert first == "a"
    assert isinstance(second, LookupError)
    assert isinstance(third, sa.exc.IntegrityError)
    assert fourth == "b"
    assert await names(db) == ["a", "b"]


async def test_writes_through_the_connection_itself_count_as_writes(db: Database) -> None:
    """A unit that goes around `Transaction.execute` leaves nothing behind either when it raises."""

    def sly(tx: Transaction) -> None:
        tx.connection.execute(sa.text("INSERT INTO item (name) VALUES ('sly')"))
        raise LookupError

    def with_cte(tx: Transaction) -> None:
        tx.connection.exec_driver_sql("/* a comment first */ INSERT INTO item (name) VALUES ('comment')")
        raise LookupError

    gate = await Gate(db).entered()
    tasks = [asyncio.ensure_future(db.write(unit)) for unit in (sly, with_cte, insert("a"))]
    await asyncio.sleep(0)
    await gate.open()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert await names(db) == ["a"]


async def test_a_future_resolves_only_after_commit(db: Database) -> None:
    """Who gets an answer finds the row through every other connection."""
    for number in range(20):
        await db.write(insert(f"n{number}"))
        assert (
            await db.read(lambda tx: tx.execute(sa.select(sa.func.count()).select_from(ITEM)).scalar_one())
            == number + 1
        )


async def test_a_cancelled_caller_harms_nobody(db: Database) -> None:
    """Cancellation of the awaiting task doesn't break the thread."""
    gate = await Gate(db).entered()
    cancelled = asyncio.ensure_future(db.write(insert("cancelled")))
    kept = asyncio.ensure_future(db.write(insert("kept")))
    await asyncio.sleep(0)
    cancelled.cancel()
    await gate.open()
    assert await kept == "kept"
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    started = threading.Event()

    def slow(tx: Transaction) -> None:
        started.set()
        time.sleep(0.05)  # long enough to be cancelled while it runs; nothing depends on it
        tx.execute(ITEM.insert(), {"name": "late"})

    running = asyncio.ensure_future(db.write(slow))
    await eventually(started.is_set)
    running.cancel()
    await db.write(insert("after"))
    assert await names(db) == ["kept", "late", "after"]


async def test_a_read_refuses_to_write(db: Database) -> None:
    """read(): DML inside is an error."""
    with pytest.raises(WriteInRead):
        await db.read(insert("a"))
    with pytest.raises(WriteInRead):
        await db.read(lambda tx: tx.execute(sa.text("WITH x AS (SELECT 1) DELETE FROM item")).rowcount)
    assert await names(db) == []


async def test_a_read_sees_one_snapshot(db: Database) -> None:
    """All statements of a read see the same state, on both databases."""
    await db.write(insert("a"))
    first, go_on = threading.Event(), threading.Event()

    def twice(tx: Transaction) -> list[int]:
        count = sa.select(sa.func.count()).select_from(ITEM)
        before = tx.execute(count).scalar_one()
        first.set()
        assert go_on.wait(30)
        return [before, tx.execute(count).scalar_one()]

    reading = asyncio.ensure_future(db.read(twice))
    await eventually(first.is_set)
    await db.write(insert("b"))
    go_on.set()
    assert await reading == [1, 1]


async def test_stop_finishes_what_is_queued(database_url: str) -> None:
    """stop drains; later calls are refused."""
    database = Database(database_url, name="test")
    with pytest.raises(DatabaseClosed):
        await database.write(insert("early"))
    await database.start()
    await database.write(lambda tx: METADATA.create_all(tx.connection))
    writes = [asyncio.ensure_future(database.write(insert(f"n{number}"))) for number in range(300)]
    await asyncio.sleep(0)
    await database.stop()
    assert len(await asyncio.gather(*writes)) == 300
    with pytest.raises(DatabaseClosed):
        await database.read(lambda tx: None)


async def test_the_thread_survives_whatever_a_unit_raises(db: Database) -> None:
    """A unit may raise anything; it belongs to its caller."""

    class Odd(BaseException):
        pass

    def odd(tx: Transaction) -> None:
        raise Odd

    def stop_iteration(tx: Transaction) -> None:
        raise StopIteration

    for method in (db.write, db.read):
        with pytest.raises(Odd):
            await method(odd)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await method(stop_iteration)
    assert await db.write(insert("a")) == "a"


async def test_units_see_the_context_of_their_caller(db: Database) -> None:
    """The request behind a unit is known inside it."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")

    async def call(value: str) -> list[str]:
        variable.set(value)
        return [await db.write(lambda tx: variable.get()), await db.read(lambda tx: variable.get())]

    assert await asyncio.gather(call("a"), call("b")) == [["a", "a"], ["b", "b"]]


async def test_json_and_times_come_back_as_they_went(db: Database) -> None:
    """JSON columns and UTC times are the same on both databases."""
    moment = datetime.datetime(2026, 2, 3, 4, 5, 6, 789012, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))
    document = {"a": [1, None, "ü"], "b": {"c": True}}

    def unit(tx: Transaction) -> None:
        tx.execute(ITEM.insert(), {"name": "a", "document": document, "made_at": moment})

    await db.write(unit)
    row = await db.read(lambda tx: tx.execute(sa.select(ITEM)).one())
    assert row.document == document
    assert row.made_at == moment
    assert row.made_at.tzinfo is datetime.UTC
    with pytest.raises(sa.exc.StatementError, match="without a time zone"):
        await db.write(lambda tx: tx.execute(ITEM.insert(), {"made_at": datetime.datetime(2026, 1, 1)}) and None)


async def test_casefold_is_a_function_of_sqlite(sqlite_url: str) -> None:
    """Filters compare case-folded text; SQLite's own lower() knows ASCII only."""
    database = Database(sqlite_url, name="test")
    await database.start()
    try:
        statement = sa.text("SELECT casefold('STRASSE ÄÖÜ ß'), casefold(NULL), casefold(5)")
        assert tuple(await database.read(lambda tx: tx.execute(statement).one())) == ("strasse äöü ss", None, 5)
    finally:
        await database.stop()


async def test_sqlite_is_durable_and_checks_references(sqlite_url: str) -> None:
    """TARGETS.md: durable stores (`synchronous=FULL`)."""
    database = Database(sqlite_url, name="test")
    await database.start()
    try:

        def pragmas(tx: Transaction) -> list[object]:
            return [
                tx.execute(sa.text(f"PRAGMA {name}")).scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys")
            ]

        assert await database.write(pragmas) == ["wal", 2, 1]
    finally:
        await database.stop()


async def test_two_processes_writing_one_sqlite_file_wait_for_each_other(sqlite_url: str) -> None:
    """TRAPS.md: "Several processes: BEGIN IMMEDIATE works"; a busy file is no error for the caller."""
    first, second = Database(sqlite_url, name="one"), Database(sqlite_url, name="two")
    await first.start()
    await second.start()
    try:
        await first.write(lambda tx: METADATA.create_all(tx.connection))
        writes = [
            (first if number % 2 else second).write(insert(f"n{number}"))  #
            for number in range(200)
        ]
        assert len(await asyncio.gather(*writes)) == 200
        assert len(await names(first)) == 200
    finally:
        await first.stop()
        await second.stop()


async def test_a_full_disk_is_unavailable_and_not_the_callers_fault(sqlite_url: str) -> None:
    """A database that is out of space answers so, and goes on when there is space again."""
    database = Database(sqlite_url, name="test")
    await database.start()
    try:
        await database.write(lambda tx: METADATA.create_all(tx.connection))
        pages = await database.write(lambda tx: tx.execute(sa.text("PRAGMA page_count")).scalar_one())
        await database.write(lambda tx: tx.execute(sa.text(f"PRAGMA max_page_count={pages}")).scalar_one())
        with pytest.raises(DatabaseUnavailable):
            await database.write(insert("x" * 1_000_000))
        await database.write(lambda tx: tx.execute(sa.text("PRAGMA max_page_count=1000000")).scalar_one())
        assert await database.write(insert("small")) == "small"
    finally:
        await database.stop()


async def test_deadlocked_units_run_again(postgres_url: str) -> None:
    """PostgreSQL deadlocks (40P01) are retried item by item with a small bounded backoff."""
    first, second = Database(postgres_url, name="one"), Database(postgres_url, name="two")
    await first.start()
    await second.start()
    try:
        await first.write(lambda tx: METADATA.create_all(tx.connection))
        await first.write(lambda tx: tx.execute(ITEM.insert(), [{"name": "a"}, {"name": "b"}]) and None)
        meeting = threading.Barrier(2, timeout=10)
        attempts = 0

        def crosswise(one: str, other: str):
            met = False

            def unit(tx: Transaction) -> None:
                nonlocal met, attempts
                attempts += 1
                tx.execute(sa.update(ITEM).where(ITEM.c.name == one).values(document=[one]))
                if not met:
                    met = True
                    meeting.wait()
                tx.execute(sa.update(ITEM).where(ITEM.c.name == other).values(document=[other]))

            return unit

        await asyncio.gather(first.write(crosswise("a", "b")), second.write(crosswise("b", "a")))
        assert attempts >= 3
    finally:
        await first.stop()
        await second.stop()


async def test_lost_connections_are_replaced(postgres_server: PostgresServer, postgres_url: str) -> None:
    """A connection that the server ended is replaced; a unit that had not been committed runs again."""
    database = Database(postgres_url, name="lost", readers=1)
    await database.start()
    try:
        await database.write(lambda tx: METADATA.create_all(tx.connection))
        name = sa.make_url(postgres_url).database

        def end_all() -> None:
            with postgres_server.connect() as connection:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))

        end_all()
        assert await database.write(insert("a")) == "a"
        end_all()
        assert await names(database) == ["a"]
        first = True

        def ended_in_the_middle(tx: Transaction) -> str:
            nonlocal first
            tx.execute(ITEM.insert(), {"name": "b"})
            if first:
                first = False
                end_all()
            tx.execute(sa.select(ITEM)).all()
            return "b"

        results = await asyncio.gather(
            database.write(ended_in_the_middle), database.write(insert("c")), database.write(insert("d"))
        )
        assert results == ["b", "c", "d"]
        assert await names(database) == ["a", "b", "c", "d"]
    finally:
        await database.stop()


async def test_a_server_that_is_away_is_unavailable_and_comes_back(tmp_path: Path) -> None:
    """Writes fail with DatabaseUnavailable while the postmaster is dead, and work again when it is back."""
    server = PostgresServer()
    try:
        server.start()
        database = Database(server.url(), name="away")
        await database.start()
        try:
            await database.write(lambda tx: METADATA.create_all(tx.connection))
            server.kill()
            results = await asyncio.gather(
                *(database.write(insert(f"n{number}")) for number in range(20)), return_exceptions=True
            )
            assert all(isinstance(result, DatabaseUnavailable) for result in results), results
            with pytest.raises(DatabaseUnavailable):
                await names(database)
            server.start()
            assert await database.write(insert("back")) == "back"
            assert await names(database) == ["back"]
        finally:
            await database.stop()
    finally:
        server.remove()


async def test_start_tells_when_the_database_is_away() -> None:
    """start raises DatabaseUnavailable; nothing connects before it."""
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none", name="none")
    with pytest.raises(DatabaseUnavailable):
        await database.start()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/x"])
def test_unusable_urls_are_refused(url: str) -> None:
    """A database that threads cannot share, or that we do not know, is refused with the reason."""
    with pytest.raises(ValueError, match=r"in-memory|unsupported"):
        Database(url, name="test")


async def test_notify_is_sent_once_per_transaction_and_channel(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """TRAPS.md: "NOTIFY takes a global lock at commit": it is coalesced."""
    database = Database(postgres_url, name="notify")
    await database.start()
    try:
        with postgres_server.connect(sa.make_url(postgres_url).database or "") as listener:
            listener.execute("LISTEN wake")

            def unit(tx: Transaction) -> None:
                for _ in range(3):
                    tx.notify("wake")

            await database.write(unit)
            assert len(list(listener.notifies(timeout=5, stop_after=1))) == 1
            assert list(listener.notifies(timeout=0.1)) == []
    finally:
        await database.stop()
