"""What every event and every request asks of a database is found by an index, however large the tables grow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg

import directory_service.tables
import mdm_service.repository
import mdm_service.tables
import portal_service.repository
import portal_service.tables
from chassis import migrations
from chassis.consumer import _Store
from chassis.database import create_engine
from chassis.prepared import bind_list
from chassis.relay import _Statements

pytestmark = pytest.mark.timeout(120)

SERVICES: dict[str, tuple[ModuleType, Any, Any]] = {
    "portal": (portal_service.repository, portal_service.tables, portal_service.tables.DELIVERY_TABLES),
    "mdm": (mdm_service.repository, mdm_service.tables, mdm_service.tables.DELIVERY),
}
GROWING = (
    "users", "groups", "group_members", "collaborators", "employees", "devices", "device_commands", "effects", "inbox",
    "applied_versions", "dead_letters", "outbox",
)  # fmt: skip
"""Tables that grow with people, devices or time."""
WALKS = re.compile(rf"SCAN ({'|'.join(GROWING)})\b")


def kept(value: Any, dialect: str, *, depth: int = 0) -> Iterator[Any]:
    """The statements that a module keeps: its own, those by dialect, and those of its objects."""
    if isinstance(value, sa.Select) and value.whereclause is None:
        return  # the stem of others
    if isinstance(value, sa.Select | sa.Insert | sa.Update | sa.Delete):
        yield value
    elif isinstance(value, Mapping):
        if dialect in value:
            yield from kept(value[dialect], dialect, depth=depth)
    elif depth < 2 and type(value).__module__.startswith(("portal_service", "mdm_service")):
        for inner in vars(value).values() if hasattr(value, "__dict__") else ():
            yield from kept(inner, dialect, depth=depth + 1)


@pytest.mark.parametrize("service", SERVICES)
def test_statements_that_handlers_keep_walk_no_table_that_grows(sqlite_url: str, service: str) -> None:
    """TARGETS, "**Flat**": "cost per create, lookup, get, update, member add and remove grows by less than 1.3×".

    On SQLite, which plans without statistics; PostgreSQL's plan of an empty table says nothing of that of a large one.
    """
    repository, tables, _ = SERVICES[service]
    migrations.upgrade(sqlite_url, tables.MIGRATIONS)
    engine = create_engine(sqlite_url, "test", purpose="read")
    statements = [found for value in vars(repository).values() for found in kept(value, "sqlite")]
    assert len(statements) >= 10
    with engine.connect() as connection:
        for statement in statements:
            compiled = statement.compile(dialect=engine.dialect)
            text = re.sub(r"\(__\[POSTCOMPILE_\w+\]\)", "(?, ?)", str(compiled))
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("[]",) * text.count("?"))
            steps = [row[3] for row in plan]
            assert not [step for step in steps if WALKS.search(step)], (text, steps)
    engine.dispose()


@pytest.mark.parametrize("service", SERVICES)
def test_what_a_consumer_asks_before_each_batch_is_found_by_an_index(database_url: str, service: str) -> None:
    """TARGETS, "Events": "consumers keep up", also when they know a hundred thousand users, and an inbox of a month."""
    _, tables, delivery = SERVICES[service]
    migrations.upgrade(database_url, tables.MIGRATIONS)
    engine = create_engine(database_url, "test", purpose="write")
    dialect = engine.dialect.name
    store = _Store(delivery.resolved(), dialect)
    listed = {name: bind_list(dialect, ["a", "b"]) for name in ("ids", "kinds")}
    with engine.connect() as connection:
        if dialect == "postgresql":
            # An empty table is walked whatever its indexes are, unless walking is out of the question.
            connection.exec_driver_sql("SET enable_seqscan = off")
        for statement in (store._known_inbox, store._known_versions, store._known_dead, store._known_parked):
            explain = "EXPLAIN QUERY PLAN " if dialect == "sqlite" else "EXPLAIN "
            compiled = statement.compile(dialect=engine.dialect)
            wanted = {name: listed[name] for name in listed if name in compiled.params}
            plan = connection.execute(sa.text(f"{explain}{as_text(statement, dialect)}"), wanted)
            lines = [str(row) for row in plan]
            table = r"(inbox|applied_versions|dead_letters)"
            walks = [line for line in lines if re.search(rf"SCAN {table}\b|Seq Scan on {table}\b", line)]
            assert not walks, lines
    engine.dispose()


def test_the_relay_finds_unsent_events_and_their_predecessors_by_an_index(sqlite_url: str) -> None:
    """TARGETS: "relay SQLite select, publish in batches of 100, mark: 13,000–14,700/s", after a month of events too."""
    migrations.upgrade(sqlite_url, directory_service.tables.MIGRATIONS)
    engine = create_engine(sqlite_url, "test", purpose="read")
    statements = _Statements(directory_service.tables.OUTBOX, "sqlite")
    with engine.connect() as connection:
        for statement in (statements.unsent, statements._predecessors, statements._mark):
            text = str(statement.compile(dialect=engine.dialect))
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("[]",) * text.count("?"))
            steps = [row[3] for row in plan]
            # The index of what is unsent holds nothing else.
            walks = [step for step in steps if step.startswith("SCAN outbox") and "ix_outbox_unsent" not in step]
            assert not walks, (text, steps)
    engine.dispose()


def as_text(statement: Any, dialect: str) -> str:
    """The text of a statement with parameters by name."""
    kind = sqlite.dialect if dialect == "sqlite" else psycopg.PGDialect_psycopg
    text = str(statement.compile(dialect=kind(paramstyle="named")))
    # A cast in PostgreSQL's own spelling would be read as a parameter.
    return re.sub(r":(\w+)::(\w+(?:\[\])?)", r"CAST(:\1 AS \2)", text)
