"""Comparison with the directory and repair, over both databases; the database is shared with other tests' tenants."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import directory_service_pb2, user_pb2

from chassis import reconcile as engine
from chassis.consumer import Consumer, lock_appliers
from chassis.database import Database, Transaction
from chassis.outbox import table_of
from chassis.reconcile import Reconciler
from mdm_service import closures, provisioning, repository, tables
from mdm_service.errors import ConnectionNotFound
from mdm_service.reconcile import MdmView
from mdm_service.server import DIRECTORY_STREAM
from mdm_service.tables import DELIVERY
from tests.mdm_service.test_repair import snapshot_of, tombstone
from tests.mdm_service.world import Tenant

USER = directory_service_pb2.RESOURCE_KIND_USER
CONNECTION = directory_service_pb2.RESOURCE_KIND_CONNECTION


class Comparison:
    """Reconciles one tenant's connection."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        consumer = Consumer(
            tenant.db,
            service="mdm",
            servers="nats://127.0.0.1:1",
            stream=DIRECTORY_STREAM,
            tables=DELIVERY,
            handlers=provisioning.HANDLERS,
            repair=lambda event: provisioning.repair(tenant.directory, event),
        )
        view = MdmView(tenant.db, tenant.directory)
        self.reconciler = Reconciler(tenant.db, DELIVERY, consumer, view)
        self.differences: list[delivery.Difference] = []

    def user(self, name: str, **attributes: Any) -> user_pb2.User:
        """Let the directory have a user whom the service has not heard of."""
        user = self.tenant.new_user(name, **attributes)
        self.tell(user)
        return user

    def tell(self, user: user_pb2.User) -> None:
        """Let the directory have a user as it is now."""
        self.tenant.world.snapshots[user.id] = snapshot_of(user)

    async def reconcile(self, **options: bool) -> list[tuple[str, str, str]]:
        """Repair; the differences as (kind, kind of resource, resolution)."""
        stated = {"dry_run": False, "apply_destructive": False, **options}
        return await self._collect(self.reconciler.reconcile(self.tenant.connection_id, **stated))

    async def verify(self) -> list[tuple[str, tuple[str, ...]]]:
        """Compare; the differences as (kind, fields)."""
        found = await self._collect(self.reconciler.verify(self.tenant.connection_id))
        return [(kind, tuple(item.fields)) for (kind, _, _), item in zip(found, self.differences, strict=True)]

    async def _collect(self, items: Any) -> list[tuple[str, str, str]]:
        self.differences = [item async for item in items if isinstance(item, delivery.Difference)]
        return [
            (
                delivery.DifferenceKind.Name(item.kind).removeprefix("DIFFERENCE_KIND_"),
                item.resource_kind,
                delivery.Resolution.Name(item.resolution).removeprefix("RESOLUTION_"),
            )
            for item in self.differences
        ]

    def effects(self) -> list[tuple[str, str]]:
        """The effects of the last run's differences: action and outcome."""
        return [
            (effect.action, delivery.Outcome.Name(effect.outcome).removeprefix("OUTCOME_"))
            for item in self.differences
            for effect in item.effects
        ]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look comes at once."""
    monkeypatch.setattr(engine, "_SECOND_LOOKS", (0.0,))


@pytest.fixture
async def comparison(tenant: Tenant) -> Comparison:
    """A tenant whose connection is known to directory and service alike."""
    connection = directory_service_pb2.ConnectionSnapshot(
        connection_id=tenant.connection_id, workspace_id=tenant.workspace_id, portal="MDM", enabled=True, version=1
    )
    response = directory_service_pb2.StreamSnapshotResponse(connection=connection)
    tenant.world.snapshots[tenant.connection_id] = [response]
    made = Comparison(tenant)
    assert await made.reconcile() == [("MISSING", "connection", "REPAIRED")]
    return made


async def test_what_is_missing_is_repaired_once_and_marked(comparison: Comparison) -> None:
    """DELIVERY: "repairs it through the same handlers, with effects marked as repair"."""
    await comparison.tenant.rule("unassign_devices")
    comparison.user("ada")
    comparison.user("eve", email="")
    assert await comparison.reconcile(dry_run=True) == [("MISSING", "user", "REPORTED")] * 2
    assert await comparison.tenant.effects() == []
    assert await comparison.reconcile() == [("MISSING", "user", "REPAIRED")] * 2
    assert await comparison.tenant.employee("ada@acme.test") is not None
    effects = await comparison.tenant.effects()
    assert len(effects) == 2
    assert all(effect["repair"] for effect in effects)
    assert await comparison.reconcile() == []
    assert await comparison.verify() == []


@pytest.mark.parametrize("behaviour", ["unassign_devices", "change_policy", "remove_employee_and_devices"])
async def test_what_offboarding_would_take_is_held_until_it_is_asked_for(
    comparison: Comparison, behaviour: str
) -> None:
    """DELIVERY: "Destructive effects in a repair are listed and need `--apply-destructive`"."""
    tenant = comparison.tenant
    policy = await tenant.policy("Locked")
    await tenant.rule(behaviour, policy_id=policy if behaviour == "change_policy" else "")
    ada = comparison.user("ada")
    await comparison.reconcile()
    device = await tenant.enroll("C02", owner="ada@acme.test")
    ada.active, ada.version = False, 2
    comparison.tell(ada)
    assert await comparison.reconcile() == [("STALE", "user", "HELD")]
    held = comparison.effects()
    assert len(held) == 2
    assert {outcome for _, outcome in held} == {"HELD"}
    assert await tenant.device("C02") == device
    assert await tenant.commands(device.device_id) == []
    assert await comparison.reconcile(apply_destructive=True) == [("STALE", "user", "REPAIRED")]
    assert comparison.effects() == [(action, "APPLIED") for action, _ in held]
    assert await tenant.device("C02") != device
    assert await comparison.verify() == []


@pytest.mark.parametrize(
    ("values", "fields"),
    [
        ({"email": "x@x", "email_key": "x@x"}, ("employee.email",)),
        ({"display_name": "Somebody"}, ("employee.display_name",)),
        ({"metadata": {"a": 1}}, ("employee.metadata",)),
        ({"active": False}, ("employee.active",)),
        (None, ("employee",)),
    ],
)
async def test_an_employee_that_does_not_follow_the_user_is_found_and_set_right(
    comparison: Comparison, values: dict[str, Any] | None, fields: tuple[str, ...]
) -> None:
    """DELIVERY: "`rollcall verify` recomputes downstream state as a fold over the directory"."""
    await comparison.tenant.rule("unassign_devices")
    ada = comparison.user("ada", metadata={"team": "red"})
    await comparison.reconcile()
    table = table_of(tables.Employee)
    mine = table.c.user_id == ada.id
    statement = table.delete().where(mine) if values is None else table.update().where(mine).values(values)
    await comparison.tenant.db.write(lambda tx: tx.execute(statement).rowcount)
    assert await comparison.verify() == [("WRONG", fields)]
    assert await comparison.reconcile() == [("WRONG", "user", "REPAIRED")]
    assert await comparison.verify() == []
    employee = await comparison.tenant.employee("ada@acme.test")
    assert employee is not None
    assert (employee.display_name, employee.active, dict(employee.metadata)) == ("Ada", True, {"team": "red"})


async def test_a_user_who_was_never_let_go_is_found_and_one_whom_the_rules_spared_is_not(
    comparison: Comparison,
) -> None:
    """PRODUCT §6: the behaviour on deactivation is that of the rules of the time."""
    tenant = comparison.tenant
    await tenant.rule("do_nothing")
    users = [comparison.user(name) for name in ("ada", "eve")]
    await comparison.reconcile()
    for user in users:
        user.active, user.version = False, 2
        comparison.tell(user)
    await comparison.reconcile()
    await tenant.rule("remove_employee")
    assert await comparison.verify() == []
    effects = table_of(tables.Effect)
    forgotten = effects.delete().where(effects.c.user_id == users[0].id, effects.c.rule == "on_deactivate")
    await tenant.db.write(lambda tx: tx.execute(forgotten).rowcount)
    assert await comparison.verify() == [("WRONG", ("employee.not_offboarded",))]
    assert await comparison.reconcile() == [("WRONG", "user", "HELD")]
    assert await comparison.reconcile(apply_destructive=True) == [("WRONG", "user", "REPAIRED")]
    assert await tenant.employee("ada@acme.test") is None
    assert await tenant.employee("eve@acme.test") is not None
    assert await comparison.verify() == []


async def test_who_is_gone_is_extra_and_the_connection_goes_last(comparison: Comparison) -> None:
    """PRODUCT §1: a connection is deleted after its users; the rules that decide about them are needed till then."""
    tenant = comparison.tenant
    await tenant.rule("remove_employee")
    ada = comparison.user("ada")
    await comparison.reconcile()
    tenant.world.snapshots[ada.id] = tombstone(USER, ada.id, 2)
    tenant.world.snapshots[tenant.connection_id] = tombstone(CONNECTION, tenant.connection_id, 3)
    del tenant.world.connections[tenant.connection_id]
    assert await comparison.reconcile() == [("EXTRA", "user", "HELD"), ("EXTRA", "connection", "HELD")]
    assert await tenant.employee("ada@acme.test") is not None
    assert await comparison.reconcile(apply_destructive=True) == [
        ("EXTRA", "user", "REPAIRED"), ("EXTRA", "connection", "REPAIRED"),
    ]  # fmt: skip
    assert await tenant.employee("ada@acme.test") is None
    # Nothing is kept of it any more, so nobody can ask for it.
    with pytest.raises(ConnectionNotFound):
        await comparison.verify()


async def test_a_service_ahead_of_a_restored_directory_goes_back_only_when_asked(comparison: Comparison) -> None:
    """The contract, DIFFERENCE_KIND_AHEAD: "the directory was restored from an older backup"."""
    await comparison.tenant.rule("unassign_devices")
    ada = comparison.user("ada")
    ada.version = 5
    comparison.tell(ada)
    await comparison.reconcile()
    ada.version, ada.display_name = 3, "Old"
    comparison.tell(ada)
    assert await comparison.reconcile() == [("AHEAD", "user", "HELD")]
    assert await comparison.reconcile(apply_destructive=True) == [("AHEAD", "user", "REPAIRED")]
    assert await comparison.verify() == []


async def test_a_workspace_that_is_gone_is_closed_only_when_asked(comparison: Comparison) -> None:
    """PRODUCT §6: removing devices from management is not undone."""
    tenant = comparison.tenant
    device = await tenant.enroll("C02")
    del tenant.world.workspaces[tenant.workspace_id]
    del tenant.world.connections[tenant.connection_id]
    tenant.world.snapshots[tenant.connection_id] = tombstone(CONNECTION, tenant.connection_id, 3)

    async def mine(*, destructive: bool) -> list[int]:
        items = comparison.reconciler.reconcile("", dry_run=not destructive, apply_destructive=destructive)
        return [
            item.resolution
            async for item in items
            if isinstance(item, delivery.Difference) and item.resource_id == tenant.workspace_id
        ]

    # Other tests left workspaces here, which this test's directory does not know; they are nobody's any more.
    assert await mine(destructive=False) == [delivery.RESOLUTION_HELD]
    assert await tenant.db.write(lambda tx: repository.lock_closure(tx, tenant.workspace_id)) is None
    assert await mine(destructive=True) == [delivery.RESOLUTION_REPAIRED]
    await closures.empty_all(tenant.db)
    found = await tenant.db.read(lambda tx: repository.device(tx, tenant.workspace_id, device.device_id))
    assert found is not None
    assert found.assignment_epoch == 1


async def test_a_repair_waits_for_another_replica_that_applies_events(mdm_url: str) -> None:
    """DELIVERY: applied versions only rise, also with several replicas: a repair and an event never meet."""
    versions = table_of(tables.AppliedVersion)
    replica, own = (Database(mdm_url, name=name, readers=1) for name in ("replica", "own"))
    await replica.start()
    await own.start()
    applying, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def apply(tx: Transaction) -> None:
        lock_appliers(tx, versions)
        applying.set()
        go_on.wait(10)
        order.append("event")

    def repair(tx: Transaction) -> None:
        lock_appliers(tx, versions, exclusive=True)
        order.append("repair")

    try:
        first = asyncio.ensure_future(replica.write(apply))
        assert await asyncio.to_thread(applying.wait, 10)
        second = asyncio.ensure_future(own.write(repair))
        done, _ = await asyncio.wait({second}, timeout=0.2)
        assert not done
        go_on.set()
        await asyncio.gather(first, second)
    finally:
        go_on.set()
        await replica.stop()
        await own.stop()
    assert order == ["event", "repair"]
