"""What every event and every request asks of a database is found by an index, however large the tables grow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import provisioning_log_service_pb2
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import psycopg

import directory_service.tables
import mdm_service.repository
import mdm_service.tables
import portal_service.repository
import portal_service.tables
from chassis import migrations
from chassis.consumer import _Store
from chassis.database import Transaction, create_engine
from chassis.delivery_servicer import all_effects
from chassis.outbox import table_of
from chassis.prepared import bind_list
from chassis.relay import _Statements
from directory_service.repository import groups, provisioning_log, users
from tests.conftest import PostgresServer, Schemas

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


Lister = Callable[[Any], object]

CONNECTION_LISTS: dict[str, Lister] = {
    "users by name": lambda tx: users.find_users(tx, "c", prefix="", active=None, after="b", limit=51),
    "users by prefix": lambda tx: users.find_users(tx, "c", prefix="a", active=True, after="", limit=51),
    "inactive users": lambda tx: users.find_users(tx, "c", prefix="a", active=False, after="ab", limit=51),
    "requests": lambda tx: log_page(tx, connection_id="c"),
    "failed requests": lambda tx: log_page(tx, connection_id="c", failed_only=True),
    "requests on a resource": lambda tx: log_page(tx, connection_id="c", resource_id="u"),
    "members": lambda tx: groups.members_after(tx, "c", "g", after=3, limit=51),
}
PORTAL_LISTS: dict[str, Lister] = {
    "collaborators": lambda tx: portal_service.repository.COLLABORATORS.page(tx, "w", "a", "", 51),
    "employees": lambda tx: portal_service.repository.EMPLOYEES.page(tx, "w", "", "b", 51),
    "the account of a user": lambda tx: portal_service.repository.EMPLOYEES.find_one(tx, "w", "", "u"),
}
MDM_LISTS: dict[str, Lister] = {
    "employees": lambda tx: mdm_service.repository.employees(tx, "w", "a", None, 51),
    "devices": lambda tx: mdm_service.repository.devices(tx, "w", "", "C", ("C1", "d"), 51),
    "devices of an owner": lambda tx: mdm_service.repository.devices(tx, "w", "ada@x.example", "", None, 51),
    "a device": lambda tx: mdm_service.repository.device_by_id_or_serial(tx, "w", "C1"),
    "devices of a segment": lambda tx: mdm_service.repository.devices_in_segment(tx, "w", "s", "d", 51),
    "segments": lambda tx: mdm_service.repository.segments(tx, "w", None, 51, grantee_key="k", omit_devices=True),
    "commands": lambda tx: mdm_service.repository.commands(tx, "w", "d", None, 51),
}
SORTED = (MDM_LISTS["a device"], MDM_LISTS["devices of an owner"])
"""What is one thing, or a person's few."""
INDEXES = {
    "users by name": "connection_id=? AND user_name_key>?",
    "users by prefix": "connection_id=? AND user_name_key>? AND user_name_key<?",
    "inactive users": "ix_users_inactive",
    "failed requests": "ix_provisioning_log_connection_failed",
    "requests on a resource": "ix_provisioning_log_resource",
    "the account of a user": "uq_employees_user", "devices of an owner": "ix_devices_owner",
}  # fmt: skip
"""Where any other index would be a walk too."""
PAGES = [
    *((name, directory_service.tables.MIGRATIONS, CONNECTION_LISTS[name]) for name in CONNECTION_LISTS),
    *((name, portal_service.tables.MIGRATIONS, PORTAL_LISTS[name]) for name in PORTAL_LISTS),
    *((name, mdm_service.tables.MIGRATIONS, MDM_LISTS[name]) for name in MDM_LISTS),
]


def log_page(tx: Any, **asked: Any) -> object:
    request = provisioning_log_service_pb2.ListProvisioningLogEntriesRequest(**asked)
    return provisioning_log.list_entries(tx, request, before="x", since="", limit=51)


@pytest.mark.parametrize(("name", "migration", "read"), PAGES, ids=[page[0] for page in PAGES])
def test_a_page_of_a_list_costs_no_more_the_longer_the_list_is(
    schemas: Schemas, name: str, migration: str, read: Lister
) -> None:
    """Specification: "every page under 200 ms server time with 100,000 users": read along an index, sorted by it."""
    with schemas.database("sqlite", migration) as url:
        engine = create_engine(url, "test", purpose="read")
        asked: list[tuple[str, Any]] = []
        sa.event.listen(engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
        with engine.connect() as connection:
            read(Transaction(connection, "sqlite", reading=True))
            statements = list(asked)
            assert statements
            used = ""
            for statement, parameters in statements:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
                steps = [row[3] for row in plan]
                walks = [step for step in steps if step.startswith("SCAN") and "INDEX" not in step]
                assert not walks, (statement, steps)
                assert "TEMP B-TREE" not in str(steps) or read in SORTED, (statement, steps)
                used += str(steps)
            assert INDEXES.get(name, "") in used, (statements, used)
        engine.dispose()


@pytest.mark.parametrize(
    ("index", "condition"),
    [
        ("ix_effects_outcome", "outcome = ? AND outcome != 'APPLIED'"),
        ("ix_effects_user", "user_id = ?"),
        ("ix_effects_user_name", "user_name = ?"),
        ("ix_effects_target", "target_id = ?"),
        ("ix_effects_target_name", "target_name = ?"),
        ("ix_effects_request", "request_id = ?"),
    ],
)
def test_effects_are_found_by_an_index_of_their_own(schemas: Schemas, index: str, condition: str) -> None:
    """PRODUCT §7: any role, removal or policy answers "why?", among however many effects."""
    with schemas.database("sqlite", portal_service.tables.MIGRATIONS) as url:
        engine = create_engine(url, "test", purpose="read")
        text = f"SELECT * FROM effects WHERE workspace_id = ? AND {condition} AND effect_id < ?"
        with engine.connect() as connection:
            plan = connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {text} ORDER BY effect_id DESC LIMIT 51", ("w", "x", "y")
            )
            steps = [row[3] for row in plan]
        engine.dispose()
    assert f"{index} (workspace_id=? AND" in str(steps), steps
    assert "TEMP B-TREE" not in str(steps), steps


def test_what_is_quiet_is_listed_without_a_walk_through_what_is_busy(
    schemas: Schemas, postgres_server: PostgresServer
) -> None:
    """Specification: "every page under 200 ms", of a connection with few requests beside one with very many too.

    PostgreSQL expects the few to be spread evenly among the many: then a walk backwards by id would soon meet them.
    """
    with schemas.database("postgresql", directory_service.tables.MIGRATIONS) as url:
        engine = create_engine(url, "test", purpose="write")
        names = ", ".join(column.name for column in directory_service.tables.PROVISIONING_LOG.c)
        others = ", ".join(
            "''" if isinstance(column.type, sa.String) else "409" if column.name == "status" else "0"
            for column in directory_service.tables.PROVISIONING_LOG.c
            if column.name not in ("entry_id", "connection_id")
        )
        assert names.startswith("entry_id, connection_id")
        with engine.begin() as connection:
            for owner, first, last in (("quiet", 1, 8_000), ("busy", 8_001, 20_000)):
                connection.exec_driver_sql(
                    f"INSERT INTO provisioning_log ({names}) SELECT lpad(to_hex(n), 8, '0'), '{owner}', {others} "
                    f"FROM generate_series({first}, {last}) AS n"
                )
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE provisioning_log")
        asked: list[tuple[str, Any]] = []
        sa.event.listen(engine, "before_cursor_execute", lambda *call: asked.append((call[2], call[3])))
        with engine.connect() as connection:
            plain = "SELECT * FROM provisioning_log WHERE connection_id = 'quiet' ORDER BY entry_id DESC LIMIT 51"
            walk = str(connection.exec_driver_sql(f"EXPLAIN {plain}").all())
            assert "provisioning_log_pkey" in walk, "it would be found as plainly asked for, too"
            asked.clear()
            tx = Transaction(connection, "postgresql", reading=True)
            for request in ({}, {"failed_only": True}):
                assert len(log_page(tx, connection_id="quiet", **request)) == 51
            for statement, parameters in list(asked):
                plan = str(connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all())
                assert re.search(r"Index Scan Backward using ix_provisioning_log_connection", plan), plan
                assert "Sort" not in plan
        engine.dispose()


@pytest.mark.parametrize("after", ["", "00000001"])
def test_effects_of_a_quiet_workspace_are_listed_without_a_walk_through_the_others(
    schemas: Schemas, postgres_server: PostgresServer, after: str
) -> None:
    """The same of effects, newest first and for following."""
    with schemas.database("postgresql", portal_service.tables.MIGRATIONS) as url:
        engine = create_engine(url, "test", purpose="write")
        effects = table_of(portal_service.tables.Effects).c
        values = {
            column.name: "false"
            if isinstance(column.type, sa.Boolean)
            else "0"
            if isinstance(column.type, sa.BigInteger)
            else "now()"
            if column.name == "time"
            else "n::text"
            if column.name in ("effect_id", "event_id")
            else "''"
            for column in effects
        }
        with engine.begin() as connection:
            for owner, first, last in (("quiet", 10_001, 18_000), ("busy", 18_001, 30_000)):
                chosen = values | {"workspace_id": f"'{owner}'", "outcome": "'APPLIED'"}
                connection.exec_driver_sql(
                    f"INSERT INTO effects ({', '.join(chosen)}) SELECT {', '.join(chosen.values())} "
                    f"FROM generate_series({first}, {last}) AS n"
                )
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ANALYZE effects")
            statement = all_effects(table_of(portal_service.tables.Effects), "quiet", after=after, before="g").limit(51)
            text = str(statement.compile(engine, compile_kwargs={"literal_binds": True}))
            plain = "SELECT * FROM effects WHERE workspace_id = 'quiet' ORDER BY effect_id DESC LIMIT 51"
            walk = str(connection.exec_driver_sql(f"EXPLAIN {plain}").all())
            assert "effects_pkey" in walk, "it would be found as plainly asked for, too"
            plan = str(connection.exec_driver_sql(f"EXPLAIN {text}").all())
        engine.dispose()
    assert re.search(r"Index Scan( Backward)? using ix_effects_workspace", plan), plan
    assert "Sort" not in plan
