"""The second lock between tenants, on PostgreSQL with a role like a service's (SECURITY, "Inside")."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from chassis import migrations, tenancy
from chassis.database import Database, Transaction
from directory_service import tables as directory_tables
from mdm_service import tables as mdm_tables
from portal_service import tables as portal_tables
from tests.conftest import PostgresServer

SERVICES = {
    "directory": (directory_tables.MIGRATIONS, directory_tables.METADATA),
    "portal": (portal_tables.MIGRATIONS, portal_tables.PortalTable.metadata),
    "mdm": (mdm_tables.MIGRATIONS, mdm_tables.MdmTable.metadata),
}
MINE, THEIRS = str(uuid.uuid4()), str(uuid.uuid4())


@pytest.fixture(scope="module", params=list(SERVICES))
def service(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[tuple[str, str, sa.MetaData]]:
    """A service's migrated database: its name, URL and tables."""
    location, metadata = SERVICES[request.param]
    with postgres_server.database(service_role=True) as url:
        migrations.upgrade(url, location)
        yield request.param, url, metadata


@pytest.fixture(scope="module")
def directory_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A directory's database with a group of each of two connections."""
    with postgres_server.database(service_role=True) as url:
        migrations.upgrade(url, directory_tables.MIGRATIONS)
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True, options="-c rollcall.tenant=*") as every:
            for tenant in (MINE, THEIRS):
                every.execute("INSERT INTO tombstones VALUES (%s, 2, %s, 1, 0)", (f"group of {tenant}", tenant))
                _fill(every, tenant)
            every.execute("ANALYZE")
        yield url


def _fill(every: psycopg.Connection[Any], tenant: str) -> None:
    """A connection with so many users that an index pays."""
    every.execute("INSERT INTO workspaces VALUES (%(id)s, 'a name', %(id)s, 0)", {"id": tenant})
    every.execute(
        "INSERT INTO connections VALUES (%(id)s, %(id)s, 'MDM', '', 'ENABLED', 1, 1, 0, 0, 0, '[]', 1, 0)",
        {"id": tenant},
    )
    every.execute(
        "INSERT INTO users (id, connection_id, user_name, user_name_key, external_id, active, document, metadata,"
        " mapping_generation, version, created_ms, updated_ms)"
        " SELECT %(id)s || n, %(id)s, n, n, n, true, '{}', '{}', 1, 1, 0, 0 FROM generate_series(1, 3000) AS n",
        {"id": tenant},
    )


@pytest.fixture
async def db(directory_url: str) -> AsyncIterator[Database]:
    """The directory's database, opened."""
    opened = Database(directory_url, name="test", readers=1)
    await opened.start()
    yield opened
    await opened.stop()


def everything(tx: Transaction) -> list[str]:
    """A query whose where clause somebody forgot."""
    return [row[0] for row in tx.execute(sa.text("SELECT connection_id FROM tombstones ORDER BY 1"))]


async def as_tenant(tenant: str, work: Callable[[], Any]) -> Any:
    """Do something bound to a tenant."""
    bound = tenancy.tenant.set(tenant)
    try:
        return await work()
    finally:
        tenancy.tenant.reset(bound)


async def test_a_query_without_its_where_clause_sees_nothing_of_another_tenant(db: Database) -> None:
    """SECURITY: "On PostgreSQL row-level security is the second lock"."""
    for run in (db.read, db.write):
        assert await as_tenant(MINE, lambda run=run: run(everything)) == [MINE]
        assert await as_tenant(THEIRS, lambda run=run: run(everything)) == [THEIRS]
        assert await as_tenant(tenancy.EVERY, lambda run=run: run(everything)) == sorted([MINE, THEIRS])


@pytest.mark.parametrize(
    "tenant", ["", str(uuid.UUID(int=7)), "x'; RESET rollcall.tenant; --", "' OR '1'='1", "%", "**"]
)
async def test_without_a_tenant_there_is_nothing(db: Database, tenant: str) -> None:
    """SECURITY: "a missing one is an error, not "all""; nor does text that is no id open the lock."""
    for run in (db.read, db.write):
        assert await as_tenant(tenant, lambda run=run: run(everything)) == []


async def test_a_row_of_another_tenant_is_neither_written_nor_changed(db: Database) -> None:
    """What a unit writes is the bound tenant's, whatever it says."""

    def takes_over(tx: Transaction) -> int:
        return tx.execute(sa.text("UPDATE tombstones SET version = 2")).rowcount

    def plants(tx: Transaction) -> None:
        tx.execute(sa.text("INSERT INTO tombstones VALUES ('planted', 2, :tenant, 1, 0)"), {"tenant": THEIRS})

    assert await as_tenant(MINE, lambda: db.write(takes_over)) == 1
    with pytest.raises(sa.exc.ProgrammingError, match="row-level security"):
        await as_tenant(MINE, lambda: db.write(plants))
    assert await as_tenant(tenancy.EVERY, lambda: db.read(everything)) == sorted([MINE, THEIRS])


async def test_units_of_one_transaction_are_bound_each_to_its_own_tenant(db: Database) -> None:
    """Group commit puts many tenants' units into one transaction; it opens none to another."""
    tenants = [MINE, THEIRS, "", tenancy.EVERY] * 12
    found = await asyncio.gather(
        *(asyncio.create_task(as_tenant(tenant, lambda run=run: run(everything)))
          for tenant in tenants for run in (db.write, db.read))
    )  # fmt: skip
    expected = {MINE: [MINE], THEIRS: [THEIRS], "": [], tenancy.EVERY: sorted([MINE, THEIRS])}
    assert found == [expected[tenant] for tenant in tenants for _ in range(2)]


async def test_a_failed_unit_leaves_the_binding_of_the_next_one_alone(db: Database) -> None:
    """After a rollback units run again, alone, each bound anew."""

    def fails(tx: Transaction) -> None:
        tx.execute(sa.text("UPDATE tombstones SET version = 3"))
        raise LookupError

    work = []
    for _ in range(4):
        work.append(asyncio.create_task(as_tenant(MINE, lambda: db.write(fails, key=THEIRS))))
        work.append(asyncio.create_task(as_tenant(THEIRS, lambda: db.write(everything))))
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    assert [outcome for outcome in outcomes if not isinstance(outcome, LookupError)] == [[THEIRS]] * 4


def test_every_table_with_rows_of_a_tenant_has_the_lock_and_its_owner_is_not_exempt(
    service: tuple[str, str, sa.MetaData],
) -> None:
    """A table that is added and forgotten here would be the one that leaks."""
    name, url, metadata = service
    owned = {
        table.name
        for table in metadata.tables.values()
        if {"connection_id", "workspace_id"} & set(table.columns.keys())
    }
    if name == "directory":
        owned.add("workspaces")
    if name == "portal":
        owned.add("publication_audiences")
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        locked = connection.execute(
            "SELECT relname FROM pg_class JOIN pg_policy ON polrelid = pg_class.oid "
            "WHERE relrowsecurity AND relforcerowsecurity"
        )
        assert {row[0] for row in locked} == owned
        (exempt,) = connection.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        assert exempt == (False,)


def test_the_lock_does_not_cost_an_index(directory_url: str) -> None:
    """The condition of a policy stands beside that of a query: what an index finds, it still finds."""
    with psycopg.connect(directory_url.replace("+psycopg", ""), options=f"-c rollcall.tenant={MINE}") as connection:
        for column, index in (("user_name_key", "ux_users_user_name"), ("external_id", "ix_users_external_id")):
            query = f"EXPLAIN SELECT * FROM users WHERE connection_id = %s AND {column} = '1'"
            plan = "\n".join(row[0] for row in connection.execute(query, (MINE,)))
            assert f"using {index}" in plan, plan
            assert f"Index Cond: (((connection_id)::text = '{MINE}'::text) AND (({column})::text = '1'::text))" in plan
