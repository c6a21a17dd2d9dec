"""Statements on the driver's own cursor: the same answers, errors and guards as through the library."""

from __future__ import annotations

import datetime
import gc
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from chassis.database import Database, Transaction, UtcDateTime, WriteInRead, is_conflict
from chassis.prepared import PreparedStatements, Rows
from tests.conftest import PostgresServer

pytestmark = pytest.mark.timeout(60)

METADATA = sa.MetaData()
THING = sa.Table(
    "thing",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, unique=True),
    sa.Column("document", sa.JSON().with_variant(postgresql.JSONB(), "postgresql")),
    sa.Column("active", sa.Boolean),
    sa.Column("made_at", UtcDateTime),
    sa.Column("digest", sa.LargeBinary),
)
MADE = datetime.datetime(2026, 2, 3, 4, 5, 6, 789, datetime.UTC)

INSERT = THING.insert().inline()
SELECT = sa.select(THING).where(THING.c.name == sa.bindparam("name"))
CONSTANT = sa.select(THING.c.name, (THING.c.id * 10).label("tenfold")).where(THING.c.active == sa.true()).limit(3)
RENAME = sa.update(THING).where(THING.c.name == sa.bindparam("old")).values(name=sa.bindparam("new"))
REMOVE = sa.delete(THING).where(THING.c.name == sa.bindparam("name")).returning(THING.c.id, THING.c.document)
COUNT = sa.text("SELECT count(*) AS things, '100%' AS share FROM thing WHERE name LIKE :pattern")
TYPED = sa.text("SELECT document, made_at FROM thing WHERE name = :name").columns(THING.c.document, THING.c.made_at)
EITHER = sa.union_all(sa.select(THING.c.name), sa.select(sa.literal("none"))).order_by("name")
LISTED = sa.select(THING.c.name).where(THING.c.name.in_(sa.bindparam("names", expanding=True)))
CLASH = THING.insert().inline()


def upsert(dialect: str) -> Any:
    insert = sqlite.insert(THING) if dialect == "sqlite" else postgresql.insert(THING)
    return insert.on_conflict_do_update(index_elements=["name"], set_={"document": insert.excluded.document}).returning(
        THING.c.name, THING.c.document
    )


UPSERT = {dialect: upsert(dialect) for dialect in ("sqlite", "postgresql")}


def thing(name: str, **values: Any) -> dict[str, Any]:
    row = {
        "name": name,
        "document": {"of": [name, 1, True, None]},
        "active": True,
        "made_at": MADE,
        "digest": b"\0\xff",
    }
    return {**row, **values}


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, name="prepared", readers=1)
    await database.start()
    await database.write(lambda tx: METADATA.create_all(tx.connection))
    yield database
    await database.stop()


async def thrice(db: Database, execute: Callable[[Transaction], Any]) -> list[Any]:
    """What a unit gives at the first, second and third time; it may write."""
    return [await db.write(execute) for _ in range(3)]


async def test_rows_are_the_same_however_a_statement_is_executed(db: Database) -> None:
    """The first execution goes through the library, later ones do not: nobody can tell by what comes back."""
    await db.write(lambda tx: tx.execute(INSERT, [thing("a"), thing("b", document=None, active=False)]) and None)
    cases: list[tuple[Any, Any]] = [
        (SELECT, {"name": "a"}),
        (SELECT, {"name": "b"}),
        (SELECT, {"name": "nobody"}),
        (CONSTANT, None),
        (COUNT, {"pattern": "%"}),
        (TYPED, {"name": "a"}),
        (EITHER, None),
    ]
    for statement, parameters in cases:
        answers = []
        for _ in range(3):

            def unit(tx: Transaction, statement: Any = statement, parameters: Any = parameters) -> Any:
                result = tx.execute(statement, parameters)
                keys = list(result.keys())
                rows = result.all()
                return (
                    isinstance(result, Rows),
                    keys,
                    [dict(row._mapping) for row in rows],
                    [tuple(row) for row in rows],
                )

            answers.append(await db.read(unit))
        assert answers[-1][0], f"{statement} goes through the library for ever"
        assert answers[0][1:] == answers[1][1:] == answers[2][1:]
    row = await db.read(lambda tx: tx.execute(SELECT, {"name": "a"}).first())
    assert row is not None
    assert (row.name, row.document, row.active, row.made_at, bytes(row.digest)) == (
        "a", {"of": ["a", 1, True, None]}, True, MADE, b"\0\xff"
    )  # fmt: skip


async def test_writes_change_the_same_rows_however_they_are_executed(db: Database) -> None:
    """Inserts of one and of many, updates with their count, deletes and upserts with what they return."""
    numbers = iter(range(100))

    def add_one(tx: Transaction) -> bool:
        return isinstance(tx.execute(INSERT, thing(f"one{next(numbers)}")), Rows)

    def add_two(tx: Transaction) -> bool:
        return isinstance(tx.execute(INSERT, [thing(f"two{next(numbers)}") for _ in range(2)]), Rows)

    assert await thrice(db, add_one) == [False, True, True]
    assert await thrice(db, add_two) == [True, True, True]
    assert (await db.read(lambda tx: tx.execute(COUNT, {"pattern": "two%"}).scalar_one())) == 6
    pairs = iter([("one0", "x"), ("nobody", "z"), ("x", "y"), ("y", "one0")])

    def rename(tx: Transaction) -> int:
        old, new = next(pairs)
        return int(tx.execute(RENAME, {"old": old, "new": new}).rowcount)

    assert [*await thrice(db, rename), await db.write(rename)] == [1, 0, 1, 1]
    for _ in range(3):
        changed = await db.write(lambda tx: tx.execute(UPSERT[tx.dialect], thing("one0", document=[1])).one())
        assert tuple(changed) == ("one0", [1])
    for name in ("one0", "one1", "one2", "nobody"):
        gone = await db.write(lambda tx, name=name: tx.execute(REMOVE, {"name": name}).all())  # type: ignore[misc]
        assert len(gone) == (name != "nobody")
    assert (await db.read(lambda tx: tx.execute(COUNT, {"pattern": "one%"}).scalar_one())) == 0


async def test_a_read_refuses_a_prepared_write(db: Database) -> None:
    """`Database.read` raises WriteInRead also for a statement that goes to the driver."""
    for _ in range(3):
        with pytest.raises(WriteInRead):
            await db.read(lambda tx: tx.execute(INSERT, thing("never")))
    assert (await db.read(lambda tx: tx.execute(COUNT, {"pattern": "%"}).scalar_one())) == 0


async def test_a_unit_that_raises_after_a_prepared_write_leaves_nothing(db: Database) -> None:
    """A unit that raises after a write leaves nothing behind."""
    for number in range(3):

        def unit(tx: Transaction, number: int = number) -> None:
            tx.execute(INSERT, thing(f"n{number}"))
            raise LookupError("refused")

        with pytest.raises(LookupError):
            await db.write(unit)
    assert (await db.read(lambda tx: tx.execute(COUNT, {"pattern": "%"}).scalar_one())) == 0


async def test_errors_are_the_librarys(db: Database) -> None:
    """Errors are those of SQLAlchemy, and quote no value of a row in what they say of the statement."""
    await db.write(lambda tx: tx.execute(INSERT, thing("taken")) and None)
    for _ in range(3):
        with pytest.raises(sa.exc.IntegrityError) as clash:
            await db.write(lambda tx: tx.execute(CLASH, thing("taken")))
        assert not is_conflict(clash.value)
        with pytest.raises(sa.exc.StatementError, match="without a time zone"):
            await db.write(lambda tx: tx.execute(CLASH, thing("naive", made_at=datetime.datetime(2026, 1, 1))))
        with pytest.raises(sa.exc.StatementError):
            await db.read(lambda tx: tx.execute(SELECT, {}).first())
    assert await db.read(lambda tx: tx.execute(SELECT, {"name": "taken"}).first()) is not None


async def test_what_depends_on_its_values_goes_through_the_library(db: Database) -> None:
    """A list that becomes part of the text cannot be compiled once."""
    await db.write(lambda tx: tx.execute(INSERT, [thing("a"), thing("b")]) and None)
    for names in (["a"], ["a", "b", "c"], ["c"]):
        found = await db.read(lambda tx, names=names: tx.execute(LISTED, {"names": names}).scalars().all())  # type: ignore[misc]
        assert sorted(found) == [name for name in names if name != "c"]


def test_a_statement_that_is_built_for_one_call_is_not_remembered() -> None:
    """Only statements that a module keeps are compiled; what is built for each call is gone with it."""
    statements = PreparedStatements(sqlite.dialect())
    for number in range(50):
        assert statements.find(sa.select(THING.c.id).where(THING.c.id == number), None) is None
    gc.collect()
    assert not statements._seen


async def test_a_lost_connection_is_replaced_under_prepared_statements(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """A unit whose connection ends under a prepared statement runs again on a new one."""
    database = Database(postgres_url, name="lost", readers=1)
    await database.start()
    try:
        await database.write(lambda tx: METADATA.create_all(tx.connection))
        for number in range(3):
            await database.write(lambda tx, number=number: tx.execute(INSERT, thing(f"n{number}")) and None)  # type: ignore[misc]
            await database.read(lambda tx: tx.execute(SELECT, {"name": "n0"}).first())
        with postgres_server.connect() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                (sa.make_url(postgres_url).database,),
            )
        await database.write(lambda tx: tx.execute(INSERT, thing("after")) and None)
        assert await database.read(lambda tx: tx.execute(SELECT, {"name": "after"}).first()) is not None
    finally:
        await database.stop()
