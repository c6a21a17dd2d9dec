"""The second lock between tenants: PostgreSQL's row-level security, bound to the tenant that the current work is for.

The first lock is the repositories': every query names its connection or workspace. Should one forget to, the database
itself shows and takes rows of the bound tenant alone, and none at all when nothing is bound. A service's role is not
exempt though it owns the tables (FORCE ROW LEVEL SECURITY); a superuser or a role with BYPASSRLS would be.

- A call of the gateway is bound to the connection of its SCIM token, once that is found good; before, to nobody.
- A call that names a workspace, or a connection's users and groups, is bound to that.
- What spans tenants by its nature says so: administration of connections, relay, consumer, background work.

SQLite has one lock: a file has no roles.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    # Who calls a service is bound to a tenant in the gateway too, which has no database.
    import sqlalchemy as sa

T = TypeVar("T")

SETTING = "rollcall.tenant"
"""The setting of a transaction that policies look at: a connection's id, a workspace's, `*` for every, or nothing."""
EVERY = "*"

_UNSET = ""

tenant: ContextVar[str] = ContextVar("tenant", default=_UNSET)
"""Whom the current work is for; units of work given to a `Database` are bound to it."""

CURRENT = f"(SELECT current_setting('{SETTING}', true))"
"""The bound tenant in a policy: in a query of its own, so that it is asked for once and not for each row."""

_OWNERS = ("connection_id", "workspace_id")


def bind(tenant_id: str) -> None:
    """Bind what the current task does from here on to one tenant; empty: to nobody."""
    tenant.set(tenant_id)


async def across_tenants(work: Callable[[], Awaitable[T]]) -> T:
    """Do work that spans tenants; the caller's own binding stays as it is."""
    token = tenant.set(EVERY)
    try:
        return await work()
    finally:
        tenant.reset(token)


def protect_tables(connection: sa.Connection, conditions: Mapping[str, str] | None = None) -> None:
    """Give every table with rows of a tenant its policy; nothing on SQLite.

    A table belongs to a tenant by a column `connection_id` or `workspace_id`, or as its entry in `conditions` says,
    where `tenant` stands for the bound one.
    """
    if connection.dialect.name != "postgresql":
        return
    from sqlalchemy import inspect

    given = conditions or {}
    for table in sorted(inspect(connection).get_table_names()):
        columns = {column["name"] for column in inspect(connection).get_columns(table)}
        condition = given.get(table, " OR ".join(f"{name} = tenant" for name in _OWNERS if name in columns))
        if not condition:
            continue
        rule = f"{CURRENT} = '{EVERY}' OR {condition.replace('tenant', CURRENT)}"
        for statement in (
            f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY',
            f'ALTER TABLE "{table}" FORCE ROW LEVEL SECURITY',
            f'CREATE POLICY tenant ON "{table}" USING ({rule}) WITH CHECK ({rule})',
        ):
            connection.exec_driver_sql(statement)
