"""What events of users do to employees."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from rollcall.directory.v1 import events_pb2
from rollcall.mdm.v1 import mdm_service_pb2

from chassis.database import Transaction
from chassis.outbox import table_of
from mdm_service import closures, devices, provisioning, repository, tables
from tests.mdm_service.world import Tenant


async def test_a_user_becomes_an_employee_if_the_rules_say_so(tenant: Tenant) -> None:
    """PRODUCT §6: "on create `NOTHING | CREATE_EMPLOYEE`"."""
    await tenant.rule()
    ada = await tenant.create("ada", metadata={"cost_center": "42", "tags": ["a", {"b": None}], "remote": True})
    employee = await tenant.employee("ADA@acme.test")
    assert employee is not None
    assert (employee.email, employee.display_name, employee.active) == ("ada@acme.test", "Ada", True)
    assert (employee.user_id, employee.connection_id) == (ada.id, tenant.connection_id)
    assert employee.metadata == ada.metadata
    (effect,) = await tenant.effects()
    assert (effect["action"], effect["outcome"], effect["rule"], effect["rule_version"]) == (
        "CREATE_EMPLOYEE",
        "APPLIED",
        "on_create",
        1,
    )
    assert (effect["user_id"], effect["user_name"], effect["target_id"]) == (ada.id, "ada", employee.employee_id)


async def test_without_a_rule_nothing_happens_and_that_is_evidence_too(tenant: Tenant) -> None:
    """PRODUCT §7: "So any role, removal or policy answers "why?""."""
    ada = await tenant.create("ada")
    assert await tenant.employee("ada@acme.test") is None
    assert await tenant.summary() == [("CREATE_EMPLOYEE", "ada@acme.test", "SKIPPED", "RULE_NOTHING")]
    await tenant.rule()
    await tenant.update(ada)
    assert await tenant.employee("ada@acme.test") is None


async def test_an_inactive_user_becomes_an_employee_when_activated(tenant: Tenant) -> None:
    """PRODUCT §2: "reactivation false → true, decided in the directory by comparing old and new"."""
    await tenant.rule()
    ada = await tenant.create("ada", active=False)
    assert await tenant.employee("ada@acme.test") is None
    assert await tenant.summary() == []
    await tenant.reactivate(ada)
    assert await tenant.employee("ada@acme.test") is not None


async def test_the_address_is_the_primary_one_else_the_first_else_a_user_name_that_is_one(tenant: Tenant) -> None:
    """PRODUCT §2: "the user's primary e-mail, else the first, else a userName that is one"."""
    await tenant.rule()
    several = tenant.new_user("several", email="")
    several.emails.add(value="second@acme.test")
    several.emails.add(value="first@acme.test", primary=True)
    first = tenant.new_user("first", email="")
    first.emails.add(value="")
    first.emails.add(value="only@acme.test", primary=False)
    named = tenant.new_user("named@acme.test", email="")
    for user, address in ((several, "first@acme.test"), (first, "only@acme.test"), (named, "named@acme.test")):
        await tenant.handle(tenant.user_event(events_pb2.UserCreated, user))
        employee = await tenant.employee(address)
        assert employee is not None
        assert employee.user_id == user.id


async def test_without_an_address_the_attempt_is_skipped_and_made_up_for_later(tenant: Tenant) -> None:
    """PRODUCT §2: "with none the effect is `SKIPPED`, reason `NO_EMAIL`"."""
    await tenant.rule()
    ada = await tenant.create("ada", email="")
    assert await tenant.summary() == [("CREATE_EMPLOYEE", "ada", "SKIPPED", "NO_EMAIL")]
    ada.title = "Countess"
    assert await tenant.summary(await tenant.update(ada)) == []
    ada.emails.add(value="ada@acme.test", primary=True)
    event = await tenant.update(ada)
    assert await tenant.summary(event) == [("CREATE_EMPLOYEE", "ada@acme.test", "APPLIED", "")]
    assert await tenant.employee("ada@acme.test") is not None


async def test_an_address_that_a_living_users_employee_has_is_not_shared(tenant: Tenant) -> None:
    """PRODUCT §2: "if another account has it, the effect is `FAILED` with that reason and nothing is merged"."""
    await tenant.rule()
    ada = await tenant.create("ada")
    other = await tenant.create("other", email="Ada@acme.test")
    assert (await tenant.summary())[-1] == ("CREATE_EMPLOYEE", "Ada@acme.test", "FAILED", "EMAIL_TAKEN")
    employee = await tenant.employee("ada@acme.test")
    assert employee is not None
    assert employee.user_id == ada.id
    assert await tenant.summary(await tenant.update(other)) == []
    await tenant.rule("remove_employee")
    await tenant.delete(ada)
    await tenant.update(other)
    employee = await tenant.employee("ada@acme.test")
    assert employee is not None
    assert employee.user_id == other.id


@pytest.mark.parametrize("leaving", ["deactivate", "delete"])
async def test_the_employee_of_a_user_who_left_is_taken_over_with_the_devices(tenant: Tenant, leaving: str) -> None:
    """PRODUCT §6: an employee is one per address and workspace; a user who is gone does not stand in the way."""
    await tenant.rule("unassign_devices")
    ada = await tenant.create("ada")
    before = await tenant.employee("ada@acme.test")
    assert before is not None
    await getattr(tenant, leaving)(ada)
    second = tenant.second_connection()
    await second.rule()
    successor = await second.create("ada.l", email="ada@acme.test")
    employee = await tenant.employee("ada@acme.test")
    assert employee is not None
    assert (employee.employee_id, employee.user_id, employee.connection_id, employee.active) == (
        before.employee_id,
        successor.id,
        second.connection_id,
        True,
    )
    assert (await tenant.summary())[-1] == ("RESTORE_EMPLOYEE", "ada@acme.test", "APPLIED", "")


async def test_the_employee_of_the_next_user_is_not_touched_when_the_first_is_deleted(tenant: Tenant) -> None:
    """PRODUCT §6: "Nobody's offboarding touches the next owner's laptop"."""
    await tenant.rule("do_nothing")
    ada = await tenant.create("ada")
    await tenant.deactivate(ada)
    successor = await tenant.create("ada.l", email="ada@acme.test")
    assert (await tenant.summary())[-1] == ("LINK_EMPLOYEE", "ada@acme.test", "APPLIED", "")
    device = await tenant.enroll("C02", owner="ada@acme.test")
    await tenant.rule("remove_employee_and_devices")
    event = await tenant.delete(ada)
    assert await tenant.summary(event) == [("REMOVE_EMPLOYEE_AND_DEVICES", "", "SKIPPED", "NO_EMPLOYEE")]
    assert await tenant.device("C02") == device
    employee = await tenant.employee("ada@acme.test")
    assert employee is not None
    assert employee.user_id == successor.id


async def test_no_account_of_another_workspace_is_ever_linked(tenant: Tenant, other_tenant: Tenant) -> None:
    """SECURITY, CVE-2022-1680: "an e-mail clash outside the workspace never links"."""
    await tenant.rule()
    await other_tenant.rule()
    await tenant.create("ada")
    stranger = await other_tenant.create("ada")
    own, other = await tenant.employee("ada@acme.test"), await other_tenant.employee("ada@acme.test")
    assert own is not None
    assert other is not None
    assert own.employee_id != other.employee_id
    await other_tenant.rule("remove_employee_and_devices")
    await other_tenant.delete(stranger)
    assert await tenant.employee("ada@acme.test") == own


async def test_address_name_and_metadata_follow_the_user(tenant: Tenant) -> None:
    """PRODUCT §2: "When it changes, the account's e-mail follows"; §3: "`metadata` rides on events to the account"."""
    await tenant.rule()
    ada = await tenant.create("ada", metadata={"team": "engine"})
    before = await tenant.employee("ada@acme.test")
    assert before is not None
    ada.emails[0].value = "ada.lovelace@acme.test"
    ada.display_name = "Ada Lovelace"
    ada.metadata.update({"team": "poetry"})
    event = await tenant.update(ada)
    employee = await tenant.employee("ada.lovelace@acme.test")
    assert employee is not None
    assert (employee.employee_id, employee.display_name) == (before.employee_id, "Ada Lovelace")
    assert employee.metadata["team"] == "poetry"
    assert await tenant.employee("ada@acme.test") is None
    assert await tenant.summary(event) == [
        ("CHANGE_EMAIL", "ada.lovelace@acme.test", "APPLIED", ""),
        ("UPDATE_EMPLOYEE", "ada.lovelace@acme.test", "APPLIED", ""),
    ]
    assert [(effect["before"], effect["after"]) for effect in await tenant.effects(event)] == [
        ('{"email":"ada@acme.test"}', '{"email":"ada.lovelace@acme.test"}'),
        (
            '{"display_name":"Ada","metadata":{"team":"engine"}}',
            '{"display_name":"Ada Lovelace","metadata":{"team":"poetry"}}',
        ),
    ]
    ada.title = "Countess"
    assert await tenant.summary(await tenant.update(ada)) == []


async def test_an_address_that_is_taken_does_not_follow_until_it_is_free(tenant: Tenant) -> None:
    """PRODUCT §2: "if another account has it, the effect is `FAILED` with that reason and nothing is merged"."""
    await tenant.rule("remove_employee")
    ada = await tenant.create("ada")
    bob = await tenant.create("bob")
    bob.emails[0].value = "ada@acme.test"
    event = await tenant.update(bob)
    assert await tenant.summary(event) == [("CHANGE_EMAIL", "bob@acme.test", "FAILED", "EMAIL_TAKEN")]
    assert await tenant.summary(await tenant.update(bob)) == []
    await tenant.delete(ada)
    event = await tenant.update(bob)
    assert await tenant.summary(event) == [("CHANGE_EMAIL", "ada@acme.test", "APPLIED", "")]
    employee = await tenant.employee("ada@acme.test")
    assert employee is not None
    assert employee.user_id == bob.id


async def test_an_address_that_is_gone_leaves_the_account_as_it_is(tenant: Tenant) -> None:
    """PRODUCT §2: "with none the effect is `SKIPPED`, reason `NO_EMAIL`"."""
    await tenant.rule()
    ada = await tenant.create("ada")
    del ada.emails[:]
    event = await tenant.update(ada)
    assert await tenant.summary(event) == [("CHANGE_EMAIL", "ada@acme.test", "SKIPPED", "NO_EMAIL")]
    assert await tenant.summary(await tenant.update(ada)) == []
    assert await tenant.employee("ada@acme.test") is not None


async def test_a_name_that_a_database_cannot_store_stops_nothing(tenant: Tenant) -> None:
    """DELIVERY: "everybody else's events go on": what a person is called is never poison."""
    await tenant.rule()
    ada = tenant.new_user("ada\0", email="ada\0@acme.test", metadata={"note": "a\0b"})
    await tenant.handle(tenant.user_event(events_pb2.UserCreated, ada))
    employee = await tenant.employee("ada@acme.test")
    assert employee is not None
    assert employee.display_name == "Ada"


@pytest.mark.parametrize("portal", ["DASHBOARD", "STORE"])
async def test_events_of_other_portals_have_no_consequence(tenant: Tenant, portal: str) -> None:
    """PRODUCT §1: "leaving the Dashboard app must never touch devices governed by the MDM app"."""
    await tenant.rule("remove_employee_and_devices")
    ada = await tenant.create("ada")
    await tenant.enroll("C02", owner="ada@acme.test")
    employee, device, effects = (
        await tenant.employee("ada@acme.test"),
        await tenant.device("C02"),
        await tenant.effects(),
    )
    for message_type in (
        events_pb2.UserCreated,
        events_pb2.UserUpdated,
        events_pb2.UserDeactivated,
        events_pb2.UserReactivated,
        events_pb2.UserDeleted,
        events_pb2.ConnectionDisabled,
        events_pb2.ConnectionDeleted,
        events_pb2.GroupCreated,
        events_pb2.GroupMembersChanged,
        events_pb2.GroupDeleted,
    ):
        message: Any = message_type()
        message.origin.CopyFrom(tenant.origin)
        message.origin.portal = portal
        if message.DESCRIPTOR.fields_by_name.get("user"):
            message.user.CopyFrom(ada)
        await tenant.handle(tenant.event(message, kind="user", aggregate_id=ada.id, version=2))
    assert await tenant.employee("ada@acme.test") == employee
    assert await tenant.device("C02") == device
    assert await tenant.effects() == effects


def test_every_event_of_the_directory_has_a_handler() -> None:
    """HOUSE: "Events … arrive only in `provisioning.py`, dispatched on the message's full name"."""
    names = {
        message.full_name
        for message in events_pb2.DESCRIPTOR.message_types_by_name.values()
        if message.name != "Origin"
    }
    assert set(provisioning.HANDLERS) == names
    assert all(name == kind.DESCRIPTOR.full_name for name, (kind, _) in provisioning.HANDLERS.items())


async def connection_event(tenant: Tenant, message_type: type[Any]) -> None:
    message = message_type(origin=tenant.origin)
    await tenant.handle(tenant.event(message, kind="connection", aggregate_id=tenant.connection_id, version=1))


async def test_disabling_a_connection_takes_nothing_from_anybody(tenant: Tenant) -> None:
    """PRODUCT §1: "A connection can be disabled (every call answers 401; nothing is deleted)"."""
    await connection_event(tenant, events_pb2.ConnectionEnabled)
    await tenant.rule("remove_employee")
    await tenant.create("ada")
    device = await tenant.enroll("C02", owner="ada@acme.test")
    await connection_event(tenant, events_pb2.ConnectionDisabled)
    assert await tenant.device("C02") == device
    assert (await tenant.rule()).on_deactivate.WhichOneof("behaviour") == "remove_employee"


async def test_a_deleted_connection_leaves_its_employees_following_nobody(tenant: Tenant) -> None:
    """PRODUCT §1: a deleted connection's users are gone; the workspace's employees and devices are the workspace's."""
    await tenant.rule("do_nothing")
    await tenant.create("ada")
    await connection_event(tenant, events_pb2.ConnectionDeleted)
    employee = await tenant.employee("ada@acme.test")
    assert employee is not None
    assert (employee.user_id, employee.connection_id, employee.active) == ("", "", True)
    rules = await tenant.db.read(lambda tx: repository.rules(tx, tenant.connection_id))
    assert rules.rule_version == 0


async def test_a_deleted_workspace_releases_its_devices_and_keeps_nothing_else(
    tenant: Tenant, other_tenant: Tenant
) -> None:
    """PRODUCT §6: "devices removed from management"; what must reach a physical device becomes a command."""
    for each in (tenant, other_tenant):
        await each.rule("do_nothing")
        await each.create("ada")
        await each.enroll("C02", owner="ada@acme.test", policy_id=await each.policy("Standard"))
        await each.enroll("C03")
    commands = {device.device_id: device for device in [await tenant.device("C02"), await tenant.device("C03")]}
    untouched = await other_tenant.device("C02")
    message = events_pb2.WorkspaceDeleted(origin=events_pb2.Origin(workspace_id=tenant.workspace_id))
    event = tenant.event(message, kind="workspace", aggregate_id=tenant.workspace_id, version=1)
    del tenant.world.workspaces[tenant.workspace_id]
    await tenant.handle(event)
    await closures.empty_all(tenant.db)
    assert await tenant.summary(event) == [
        ("REMOVE_DEVICE", commands[device_id].serial, "APPLIED", "") for device_id in sorted(commands)
    ]
    for device_id in commands:
        device = await tenant.db.read(lambda tx, wanted=device_id: repository.device(tx, tenant.workspace_id, wanted))
        assert device is not None
        assert (device.state, device.owner_employee_id) == (mdm_service_pb2.DEVICE_STATE_REMOVED, "")
        found = await tenant.db.read(
            lambda tx, wanted=device_id: repository.commands(tx, tenant.workspace_id, wanted, None, 10)
        )
        assert found[0][1].kind == mdm_service_pb2.DEVICE_COMMAND_KIND_REMOVE
        report = (tenant.db, tenant.workspace_id, found[0][1].command_id)
        await devices.report_device_command(*report, mdm_service_pb2.DEVICE_COMMAND_STATE_ACKNOWLEDGED, "")
    for model in (tables.Employee, tables.Policy, tables.User, tables.Rules, tables.Connection, tables.Segment):
        table = table_of(model)
        rows = table.select().where(table.c.workspace_id == tenant.workspace_id)
        assert await tenant.db.read(lambda tx, rows=rows: tx.execute(rows).all()) == []
    assert await other_tenant.device("C02") == untouched


async def test_a_workspace_is_emptied_in_parts_and_goes_on_where_it_was_cut_off(
    tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PRODUCT §1: "in bounded chunks"; every device gets one command and one effect, whenever the work was cut off."""
    monkeypatch.setattr(closures, "DEVICES_AT_ONCE", 2)
    monkeypatch.setattr(closures, "EMPLOYEES_AT_ONCE", 1)
    await tenant.rule("do_nothing")
    for name in ("ada", "eve"):
        await tenant.create(name)
    for number in range(5):
        await tenant.enroll(f"C{number}", owner="ada@acme.test")
    message = events_pb2.WorkspaceDeleted(origin=events_pb2.Origin(workspace_id=tenant.workspace_id))
    event = tenant.event(message, kind="workspace", aggregate_id=tenant.workspace_id, version=1)
    del tenant.world.workspaces[tenant.workspace_id]
    await tenant.handle(event)

    def some(tx: Transaction) -> bool:
        return closures.empty_some(tx, tenant.workspace_id)

    def cut_off(tx: Transaction) -> bool:
        closures.empty_some(tx, tenant.workspace_id)
        raise InterruptedError

    assert await tenant.db.write(some)
    assert len(await tenant.effects(event)) == 2
    with pytest.raises(InterruptedError):
        await tenant.db.write(cut_off)
    assert len(await tenant.effects(event)) == 2
    parts = 1
    while await tenant.db.write(some):
        parts += 1
    assert parts == 5
    assert sorted(await tenant.summary(event)) == [("REMOVE_DEVICE", f"C{n}", "APPLIED", "") for n in range(5)]
    assert await tenant.db.read(lambda tx: repository.employees(tx, tenant.workspace_id, "", None, 9)) == []
    assert await tenant.db.read(repository.first_closure) is None


async def test_a_workspace_that_is_gone_stays_gone_whatever_arrives_late(tenant: Tenant) -> None:
    """DELIVERY: partitions have no order among each other; a late event of a connection brings nothing back."""
    message = events_pb2.WorkspaceDeleted(origin=events_pb2.Origin(workspace_id=tenant.workspace_id))
    await tenant.handle(tenant.event(message, kind="workspace", aggregate_id=tenant.workspace_id, version=1))
    await connection_event(tenant, events_pb2.ConnectionEnabled)
    ada = await tenant.create("ada")
    await tenant.delete(ada)
    known = await tenant.db.read(lambda tx: repository.workspace_is_known(tx, tenant.workspace_id))
    assert known is False
    assert await tenant.db.read(lambda tx: repository.connection_workspace(tx, tenant.connection_id)) == ""
    found = await tenant.db.read(lambda tx: repository.employee_by_email(tx, tenant.workspace_id, "ada@acme.test"))
    assert found is None


async def test_an_event_told_by_its_connection_before_anything_else_is_handled(tenant: Tenant) -> None:
    """DELIVERY: aggregates have no order among each other; a user may arrive before its connection is known."""
    ada = await tenant.create("ada")
    assert await tenant.db.read(lambda tx: repository.user(tx, tenant.connection_id, ada.id)) is not None
    stranger = str(uuid.uuid4())
    assert await tenant.db.read(lambda tx: repository.user(tx, stranger, ada.id)) is None
