"""Gap repair: what is missing is read from the directory and goes through the same decisions."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from google.protobuf.empty_pb2 import Empty
from rollcall.directory.v1 import directory_service_pb2, events_pb2, user_pb2

from chassis import grpc_client
from chassis.consumer import Event
from mdm_service import closures, provisioning, repository
from mdm_service import directory as directory_module
from mdm_service.directory import Directory
from tests.mdm_service.world import Tenant


def snapshot_of(user: user_pb2.User) -> list[directory_service_pb2.StreamSnapshotResponse]:
    return [directory_service_pb2.StreamSnapshotResponse(user=user)]


def tombstone(kind: directory_service_pb2.ResourceKind, resource_id: str, version: int) -> list[Any]:
    stone = directory_service_pb2.Tombstone(kind=kind, id=resource_id, version=version)
    return [directory_service_pb2.StreamSnapshotResponse(tombstone=stone)]


async def repair(tenant: Tenant, event: Event) -> tuple[int, bool]:
    """Repair as the consumer does: ask outside a transaction, apply in one; answers version and tombstone."""
    unit = await provisioning.repair(tenant.directory, event)
    await tenant.db.write(lambda tx: unit.apply(tx, dataclasses.replace(event, repair=True)))
    return unit.version, unit.deleted


async def test_a_deactivation_that_only_the_gap_shows_is_applied_and_marked(tenant: Tenant) -> None:
    """DELIVERY: "a gap is repaired by reading the aggregate from the directory"; the deactivation is a real one."""
    await tenant.rule("unassign_devices")
    ada = await tenant.create("ada")
    device = await tenant.enroll("C02", owner="ada@acme.test")
    ada.active = False
    ada.version = 4
    tenant.world.snapshots[ada.id] = snapshot_of(ada)
    event = tenant.user_event(events_pb2.UserUpdated, ada)
    assert await repair(tenant, event) == (4, False)
    assert (await tenant.device("C02")).assignment_epoch == device.assignment_epoch + 1
    assert await tenant.summary(event) == [
        ("UNASSIGN_DEVICE", "C02", "APPLIED", ""),
        ("DEACTIVATE_EMPLOYEE", "ada@acme.test", "APPLIED", ""),
    ]
    assert all(effect["repair"] for effect in await tenant.effects(event))


async def test_a_user_never_seen_appears(tenant: Tenant) -> None:
    """DELIVERY: "a consumer that has a gap repairs itself from the directory"."""
    await tenant.rule()
    ada = tenant.new_user("ada")
    ada.version = 7
    tenant.world.snapshots[ada.id] = snapshot_of(ada)
    assert await repair(tenant, tenant.user_event(events_pb2.UserUpdated, ada)) == (7, False)
    assert await tenant.employee("ada@acme.test") is not None


async def test_a_return_and_a_change_are_repaired_as_such(tenant: Tenant) -> None:
    """DELIVERY: repair goes "through the same handlers"."""
    await tenant.rule("unassign_devices")
    ada = await tenant.create("ada")
    await tenant.deactivate(ada)
    ada.active, ada.version, ada.display_name = True, 5, "Ada L."
    tenant.world.snapshots[ada.id] = snapshot_of(ada)
    await repair(tenant, tenant.user_event(events_pb2.UserUpdated, ada))
    employee = await tenant.employee("ada@acme.test")
    assert employee is not None
    assert (employee.active, employee.display_name) == (True, "Ada L.")
    ada.version, ada.display_name = 8, "Ada K."
    tenant.world.snapshots[ada.id] = snapshot_of(ada)
    event = tenant.user_event(events_pb2.UserUpdated, ada)
    await repair(tenant, event)
    assert await tenant.summary(event) == [("UPDATE_EMPLOYEE", "ada@acme.test", "APPLIED", "")]


@pytest.mark.parametrize("answer", ["tombstone", "nothing"])
async def test_a_user_who_is_gone_leaves_by_the_rule(tenant: Tenant, answer: str) -> None:
    """directory_service.proto: "A resource that is gone is answered as a tombstone"."""
    await tenant.rule("remove_employee")
    ada = await tenant.create("ada")
    await tenant.enroll("C02", owner="ada@acme.test")
    ada.version = 5
    if answer == "tombstone":
        tenant.world.snapshots[ada.id] = tombstone(directory_service_pb2.RESOURCE_KIND_USER, ada.id, 6)
    event = tenant.user_event(events_pb2.UserUpdated, ada)
    assert await repair(tenant, event) == (6 if answer == "tombstone" else 5, True)
    assert await tenant.employee("ada@acme.test") is None
    assert (await tenant.device("C02")).owner_email == ""
    effects = await tenant.effects(event)
    assert {(effect["user_id"], effect["user_name"]) for effect in effects} == {(ada.id, "ada")}
    assert await repair(tenant, event) == (6 if answer == "tombstone" else 5, True)
    assert await tenant.effects(event) == effects


async def test_an_event_that_cannot_be_read_is_repaired_all_the_same(tenant: Tenant) -> None:
    """delivery_service.proto: "what queues behind it is applied after a repair from the directory"."""
    await tenant.rule()
    ada = tenant.new_user("ada")
    tenant.world.snapshots[ada.id] = snapshot_of(ada)
    readable = tenant.user_event(events_pb2.UserCreated, ada)
    assert await repair(tenant, dataclasses.replace(readable, message=Empty())) == (1, False)
    assert await tenant.employee("ada@acme.test") is not None
    del tenant.world.connections[tenant.connection_id]
    event = dataclasses.replace(readable, message=Empty(), id="second")
    assert await repair(tenant, event) == (1, True)
    assert await tenant.db.read(lambda tx: repository.user(tx, tenant.connection_id, ada.id)) is None


async def test_a_connection_is_repaired_or_forgotten(tenant: Tenant) -> None:
    """directory_service.proto: ConnectionSnapshot: "Whether requests are answered"."""
    message = events_pb2.ConnectionEnabled(origin=tenant.origin)
    event = tenant.event(message, kind="connection", aggregate_id=tenant.connection_id, version=3)
    snapshot = directory_service_pb2.ConnectionSnapshot(
        connection_id=tenant.connection_id, workspace_id=tenant.workspace_id, portal="MDM", enabled=True, version=4
    )
    tenant.world.snapshots[tenant.connection_id] = [directory_service_pb2.StreamSnapshotResponse(connection=snapshot)]
    assert await repair(tenant, event) == (4, False)
    projected = await tenant.db.read(lambda tx: repository.connection_workspace(tx, tenant.connection_id))
    assert projected == tenant.workspace_id
    kind = directory_service_pb2.RESOURCE_KIND_CONNECTION
    tenant.world.snapshots[tenant.connection_id] = tombstone(kind, tenant.connection_id, 6)
    assert await repair(tenant, event) == (6, True)
    assert await tenant.db.read(lambda tx: repository.connection_workspace(tx, tenant.connection_id)) == ""


async def test_a_workspace_is_closed_only_when_the_directory_has_it_no_more(tenant: Tenant) -> None:
    """PRODUCT §6: removing devices from management is not undone; so it needs the directory's word."""
    await tenant.enroll("C02")
    message = events_pb2.WorkspaceDeleted(origin=events_pb2.Origin(workspace_id=tenant.workspace_id))
    event = tenant.event(message, kind="workspace", aggregate_id=tenant.workspace_id, version=2)
    assert await repair(tenant, event) == (2, False)
    device = await tenant.device("C02")
    assert device.assignment_epoch == 0
    del tenant.world.workspaces[tenant.workspace_id]
    assert await repair(tenant, event) == (2, True)
    await closures.empty_all(tenant.db)
    closed = await tenant.db.read(lambda tx: repository.device(tx, tenant.workspace_id, device.device_id))
    assert closed is not None
    assert closed.assignment_epoch == 1


@pytest.mark.parametrize(("kind", "portal"), [("user", "DASHBOARD"), ("connection", "STORE"), ("group", "MDM")])
async def test_what_is_not_projected_is_passed_over_without_asking(tenant: Tenant, kind: str, portal: str) -> None:
    """A consumer passes over what concerns it not at the lowest cost: a gap of another portal asks nobody."""
    message = events_pb2.GroupUpdated(origin=tenant.origin)
    message.origin.portal = portal
    event = tenant.event(message, kind=kind, aggregate_id="somebody", version=9)
    asked = tenant.world.asked
    assert await repair(tenant, event) == (9, False)
    assert tenant.world.asked == asked
    assert await tenant.effects(event) == []


async def test_a_directory_that_does_not_answer_is_waited_for(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    """DELIVERY: who is away is waited for and never makes poison: the consumer sees ConnectionError."""
    monkeypatch.setattr(directory_module, "DEADLINE", 0.2)
    ada = tenant.new_user("ada")
    channel = grpc_client.channel("127.0.0.1:1")
    try:
        with pytest.raises(ConnectionError):
            await provisioning.repair(Directory(channel), tenant.user_event(events_pb2.UserUpdated, ada))
    finally:
        await channel.close()
