"""Work over very many resources: a bounded part in each transaction, so that no SCIM request waits long behind one."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.directory.v1 import directory_service_pb2 as directory_pb

from chassis.database import Database, Transaction
from chassis.outbox import prune
from directory_service import directory
from directory_service.tables import CONNECTIONS, DELETED_GROUPS, GROUP_MEMBERS, OUTBOX, PARKED_MEMBERS, USERS
from tests.conftest import eventually
from tests.directory_service.world import Connected, World, operation

USERS_AT_ALL = 700
LONGEST_STALL = 0.1
"""Seconds that a SCIM request may wait behind bulk work."""


class Transactions:
    """The seconds of work of every unit that was written while it was watched, by what asked for it."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def clear(self) -> None:
        """Forget what was written up to now."""
        self.seconds.clear()

    def assert_bounded(self, least: int) -> None:
        """There were at least so many, none of them long."""
        assert len(self.seconds) >= least
        # Each in its own processor time, which another process on the machine does not lengthen.
        assert max(self.seconds) <= LONGEST_STALL


@pytest.fixture
def transactions(monkeypatch: pytest.MonkeyPatch) -> Transactions:
    """What is written from now on."""
    watched = Transactions()
    whole = Database.write

    async def write(self: Database, unit: Callable[[Transaction], Any], **options: Any) -> Any:
        def timed(tx: Transaction) -> Any:
            began = time.thread_time()
            try:
                return unit(tx)
            finally:
                watched.seconds.append(time.thread_time() - began)

        return await whole(self, timed, **options)

    monkeypatch.setattr(Database, "write", write)
    return watched


async def crowd(world: World, connected: Connected) -> tuple[list[str], str]:
    """Many users, all members of one group."""
    ids = await world.fill_users(connected.id, USERS_AT_ALL)
    group = await connected.scim.create_group("Everybody", *ids)
    return ids, group.id


async def count(world: World, table: sa.Table, connection_id: str) -> int:
    found = await world.rows(
        sa.select(sa.func.count()).select_from(table).where(table.c.connection_id == connection_id)
    )
    return int(found[0][0])


async def test_a_large_group_is_gone_at_once_and_its_rows_go_in_chunks(
    world: World, connected: Connected, transactions: Transactions
) -> None:
    """The rule: bulk work "runs in bounded chunks" and holds no lock "that stalls a SCIM request for over 100 ms"."""
    scim = connected.scim
    ids, group_id = await crowd(world, connected)
    waiting = [f"waiting{number}" for number in range(600)]
    await scim.patch_group(group_id, operation("add", "members", [{"value": value} for value in waiting]))
    await scim.create_group("Other", ids[0], "parked")
    transactions.clear()
    await scim.call("DeleteGroup", directory_pb.DeleteGroupRequest(id=group_id))
    assert await world.admin.parked(connection_id=connected.id) == ["parked"]
    assert [group.display_name for group in (await scim.get(ids[0], include_groups=True)).groups] == ["Other"]
    await scim.delete(ids[1])
    assert (await scim.refused("GetGroup", directory_pb.GetGroupRequest(id=group_id))).reason == "GROUP_NOT_FOUND"

    async def purged() -> bool:
        return await count(world, GROUP_MEMBERS, connected.id) == 1

    await eventually(purged)
    await eventually(lambda: _is_empty(world, DELETED_GROUPS, connected.id))
    transactions.assert_bounded(3)
    assert await count(world, PARKED_MEMBERS, connected.id) == 1
    (row,) = await world.rows(sa.select(CONNECTIONS.c.parked_count).where(CONNECTIONS.c.id == connected.id))
    assert row.parked_count == 1
    assert (await kinds(world, connected.id))[-2:] == ["GroupDeleted", "UserDeleted"]


async def kinds(world: World, connection_id: str) -> list[str]:
    """The events of a connection by name, in order; the first users came without theirs."""
    statement = sa.select(OUTBOX.c.type).where(OUTBOX.c.connection_id == connection_id).order_by(OUTBOX.c.sequence)
    return [row.type.rpartition(".")[2] for row in await world.rows(statement)]


async def _is_empty(world: World, table: sa.Table, connection_id: str) -> bool:
    return not await count(world, table, connection_id)


async def test_a_mapping_is_re_resolved_in_chunks(
    world: World, connected: Connected, transactions: Transactions
) -> None:
    """The rule: "re-resolving a mapping" is bulk work; PRODUCT §3: "in the background, in chunks"."""
    await crowd(world, connected)
    transactions.clear()
    entry = pb.MappedAttribute(name="login", attributes=[pb.AttributeSource(key="userName")])
    request = pb.UpdateAttributeMappingRequest(connection_id=connected.id, mapped_attributes=[entry])
    await world.admin.call("UpdateAttributeMapping", request)

    async def resolved() -> bool:
        mapping = pb.GetAttributeMappingRequest(connection_id=connected.id)
        return not (await world.admin.call("GetAttributeMapping", mapping)).pending_users

    await eventually(resolved, timeout=60)
    transactions.assert_bounded(USERS_AT_ALL // 20)
    assert (await kinds(world, connected.id)).count("UserUpdated") == USERS_AT_ALL


async def test_a_connection_is_deleted_in_chunks(
    world: World, connected: Connected, transactions: Transactions
) -> None:
    """PRODUCT §1: "deleted (all its users and groups are deleted, in bounded chunks, with their events)"."""
    ids, _ = await crowd(world, connected)
    for number in range(3):
        await connected.scim.create_group(f"Part {number}", *ids[:300])
    transactions.clear()
    await world.admin.call("DeleteConnection", pb.DeleteConnectionRequest(connection_id=connected.id))
    await eventually(lambda: _is_empty(world, USERS, connected.id), timeout=60)
    await eventually(lambda: _is_gone(world, connected.id))
    transactions.assert_bounded(USERS_AT_ALL // 20)
    for table in (GROUP_MEMBERS, DELETED_GROUPS):
        assert await _is_empty(world, table, connected.id)
    found = await kinds(world, connected.id)
    assert (found.count("GroupDeleted"), found.count("UserDeleted")) == (4, USERS_AT_ALL)


async def test_a_step_ends_with_its_time_however_slow_the_database_is(
    world: World, connected: Connected, transactions: Transactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule: "never holds a lock that stalls a SCIM request for over 100 ms": if slow, in small steps."""
    monkeypatch.setattr(directory, "STEP_SECONDS", 0.0)
    for number in range(8):
        await connected.scim.create(f"u{number}")
    transactions.clear()
    entry = pb.MappedAttribute(name="login", attributes=[pb.AttributeSource(key="userName")])
    request = pb.UpdateAttributeMappingRequest(connection_id=connected.id, mapped_attributes=[entry])
    await world.admin.call("UpdateAttributeMapping", request)

    async def renewed() -> bool:
        return (await kinds(world, connected.id)).count("UserUpdated") == 8

    await eventually(renewed)
    assert len(transactions.seconds) >= 8
    transactions.clear()
    await world.admin.call("DeleteConnection", pb.DeleteConnectionRequest(connection_id=connected.id))
    await eventually(lambda: _is_gone(world, connected.id))
    assert len(transactions.seconds) >= 8
    assert (await kinds(world, connected.id)).count("UserDeleted") == 8


async def _is_gone(world: World, connection_id: str) -> bool:
    return not await world.rows(sa.select(CONNECTIONS.c.id).where(CONNECTIONS.c.id == connection_id))


async def test_old_events_are_pruned_in_chunks_and_looked_for_outside_the_write(
    fresh_world: World, transactions: Transactions
) -> None:
    """DELIVERY: rows are "pruned in chunks"; while nothing is old enough, nothing is written."""
    connected = await fresh_world.connect()
    for number in range(30):
        await connected.scim.create(f"u{number}")
    db: Database = fresh_world.server.db
    now = datetime.now(UTC)
    old = now - timedelta(days=40)
    await db.write(lambda tx: tx.execute(sa.update(OUTBOX).values(sent_at=now)))
    transactions.clear()
    assert await prune(db, OUTBOX, now - timedelta(days=35), chunk=4) == 0
    assert not transactions.seconds
    await db.write(lambda tx: tx.execute(sa.update(OUTBOX).where(OUTBOX.c.id <= 18).values(sent_at=old)))
    transactions.clear()
    assert await prune(db, OUTBOX, now - timedelta(days=35), chunk=4) == 18
    assert len(transactions.seconds) == 5
    assert len(await fresh_world.rows(sa.select(OUTBOX.c.id))) == 13
