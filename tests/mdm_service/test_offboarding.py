"""The five behaviours against devices that stayed, were passed on, or belong to nobody."""

from __future__ import annotations

import dataclasses

import orjson
import pytest
from rollcall.mdm.v1 import mdm_service_pb2

from chassis.consumer import Event
from chassis.database import Transaction
from mdm_service import devices, employees, repository
from mdm_service.domain import deactivation
from tests.mdm_service.test_deactivation import ARMS
from tests.mdm_service.world import Tenant

ENROLLED, REMOVED = mdm_service_pb2.DEVICE_STATE_ENROLLED, mdm_service_pb2.DEVICE_STATE_REMOVED
APPLY, REMOVE = mdm_service_pb2.DEVICE_COMMAND_KIND_APPLY_POLICY, mdm_service_pb2.DEVICE_COMMAND_KIND_REMOVE


@dataclasses.dataclass
class Fleet:
    """Ada has a laptop and a phone; she passed a tablet on to Bob; a spare belongs to nobody."""

    tenant: Tenant
    standard: str
    lockdown: str

    @classmethod
    async def of(cls, tenant: Tenant, behaviour: str) -> Fleet:
        standard, lockdown = await tenant.policy("Standard"), await tenant.policy("Lockdown")
        await tenant.rule(behaviour, policy_id=lockdown if behaviour == "change_policy" else "")
        fleet = cls(tenant, standard, lockdown)
        fleet.ada = await tenant.create("ada")
        fleet.bob = await tenant.create("bob")
        for serial in ("LAPTOP", "PHONE", "TABLET"):
            await tenant.enroll(serial, owner="ada@acme.test", policy_id=standard)
        await tenant.assign((await tenant.device("TABLET")).device_id, "bob@acme.test")
        await tenant.enroll("SPARE", policy_id=standard)
        return fleet

    async def devices(self) -> dict[str, mdm_service_pb2.Device]:
        return {serial: await self.tenant.device(serial) for serial in ("LAPTOP", "PHONE", "TABLET", "SPARE")}

    async def new_commands(self, device: mdm_service_pb2.Device) -> list[tuple[int, str]]:
        """The device's commands after the one of its enrolment."""
        return [(command.kind, command.policy_id) for command in (await self.tenant.commands(device.device_id))[1:]]


@pytest.mark.parametrize("leaving", ["deactivate", "delete"])
@pytest.mark.parametrize("behaviour", ARMS)
async def test_a_leaver_leaves_by_the_rule(tenant: Tenant, behaviour: str, leaving: str) -> None:
    """PRODUCT §6: the five behaviours; §2: DELETE "counts downstream as a deactivation"; "Nobody's offboarding touches
    the next owner's laptop"."""
    fleet = await Fleet.of(tenant, behaviour)
    before = await fleet.devices()
    event: Event = await getattr(tenant, leaving)(fleet.ada)
    after = await fleet.devices()
    commands = {serial: await fleet.new_commands(device) for serial, device in after.items()}

    for serial in ("TABLET", "SPARE"):
        assert after[serial] == before[serial]
        assert commands[serial] == []
    for serial in ("LAPTOP", "PHONE"):
        was, now = before[serial], after[serial]
        if behaviour in ("do_nothing", "change_policy"):
            assert (now.owner_email, now.assignment_epoch) == ("ada@acme.test", was.assignment_epoch)
        else:
            assert (now.owner_email, now.owner_employee_id) == ("", "")
            assert now.assignment_epoch == was.assignment_epoch + 1
        assert now.policy_id == (fleet.lockdown if behaviour == "change_policy" else fleet.standard)
        assert now.state == (REMOVED if behaviour == "remove_employee_and_devices" else ENROLLED)
        expected = {"change_policy": [(APPLY, fleet.lockdown)], "remove_employee_and_devices": [(REMOVE, "")]}
        assert commands[serial] == expected.get(behaviour, [])

    employee = await tenant.employee("ada@acme.test")
    if behaviour.startswith("remove_employee"):
        assert employee is None
    else:
        assert employee is not None
        assert employee.active is (behaviour == "do_nothing")
        assert employee.user_id == (fleet.ada.id if leaving == "deactivate" else "")
    assert (await tenant.employee("bob@acme.test")) is not None

    of_devices = {
        "unassign_devices": "UNASSIGN_DEVICE",
        "change_policy": "CHANGE_POLICY",
        "remove_employee": "UNASSIGN_DEVICE",
        "remove_employee_and_devices": "REMOVE_DEVICE",
    }
    of_employee = {
        "do_nothing": ("DO_NOTHING", "ada@acme.test", "SKIPPED", "RULE_NOTHING"),
        "unassign_devices": ("DEACTIVATE_EMPLOYEE", "ada@acme.test", "APPLIED", ""),
        "change_policy": ("DEACTIVATE_EMPLOYEE", "ada@acme.test", "APPLIED", ""),
    }
    wanted = {
        (of_devices[behaviour], serial, "APPLIED", "") for serial in ("LAPTOP", "PHONE") if behaviour in of_devices
    }
    wanted.add(of_employee.get(behaviour, ("REMOVE_EMPLOYEE", "ada@acme.test", "APPLIED", "")))
    effects = await tenant.effects(event)
    assert set(await tenant.summary(event)) == wanted
    assert len(effects) == len(wanted)
    for effect in effects:
        assert (effect["rule"], effect["rule_version"], effect["user_id"]) == ("on_deactivate", 1, fleet.ada.id)
        assert (effect["event_id"], effect["request_id"]) == (event.id, event.request_id)
        assert effect["connection_id"] == tenant.connection_id


async def test_before_and_after_say_what_changed(tenant: Tenant) -> None:
    """PRODUCT §7: an effect has "before, after"."""
    fleet = await Fleet.of(tenant, "change_policy")
    event = await tenant.deactivate(fleet.ada)
    by_target = {effect["target_name"]: effect for effect in await tenant.effects(event)}
    assert orjson.loads(by_target["LAPTOP"]["before"]) == {"policy_id": fleet.standard}
    assert orjson.loads(by_target["LAPTOP"]["after"]) == {"policy_id": fleet.lockdown}
    assert orjson.loads(by_target["ada@acme.test"]["before"]) == {"active": True}
    assert orjson.loads(by_target["ada@acme.test"]["after"]) == {"active": False}


@pytest.mark.parametrize("behaviour", ARMS)
async def test_a_rejoiner_is_an_employee_again_and_devices_keep_what_they_have(tenant: Tenant, behaviour: str) -> None:
    """PRODUCT §6: "then reactivating restores the employee; devices keep what they have until someone, or a rule,
    changes it"."""
    fleet = await Fleet.of(tenant, behaviour)
    await tenant.deactivate(fleet.ada)
    before = await fleet.devices()
    event = await tenant.reactivate(fleet.ada)
    assert await fleet.devices() == before
    employee = await tenant.employee("ada@acme.test")
    assert employee is not None
    assert (employee.active, employee.user_id) == (True, fleet.ada.id)
    expected = {
        "do_nothing": ("RESTORE_EMPLOYEE", "ada@acme.test", "SKIPPED", "UNCHANGED"),
        "unassign_devices": ("RESTORE_EMPLOYEE", "ada@acme.test", "APPLIED", ""),
        "change_policy": ("RESTORE_EMPLOYEE", "ada@acme.test", "APPLIED", ""),
    }
    assert await tenant.summary(event) == [expected.get(behaviour, ("CREATE_EMPLOYEE", "ada@acme.test", "APPLIED", ""))]


async def test_deleting_after_a_deactivation_acts_by_the_rule_of_the_day(tenant: Tenant) -> None:
    """PRODUCT §2: DELETE "counts downstream as a deactivation": whatever was done before, the rule holds."""
    fleet = await Fleet.of(tenant, "change_policy")
    await tenant.deactivate(fleet.ada)
    again = await tenant.delete(fleet.ada)
    assert set(await tenant.summary(again)) == {
        ("CHANGE_POLICY", "LAPTOP", "SKIPPED", "UNCHANGED"),
        ("CHANGE_POLICY", "PHONE", "SKIPPED", "UNCHANGED"),
        ("DEACTIVATE_EMPLOYEE", "ada@acme.test", "SKIPPED", "UNCHANGED"),
    }
    assert await fleet.new_commands(await tenant.device("LAPTOP")) == [(APPLY, fleet.lockdown)]
    await tenant.rule("remove_employee")
    await tenant.deactivate(fleet.bob)
    assert (await tenant.device("TABLET")).owner_email == ""


async def test_a_user_without_an_employee_leaves_nothing_but_evidence(tenant: Tenant) -> None:
    """PRODUCT §7: the answer to "why?" is there also when nothing was to be done."""
    await tenant.rule("remove_employee", create=False)
    ada = await tenant.create("ada")
    event = await tenant.deactivate(ada)
    assert await tenant.summary(event) == [("REMOVE_EMPLOYEE", "", "SKIPPED", "NO_EMPLOYEE")]


@pytest.mark.parametrize(
    "action", [deactivation.UNASSIGN_DEVICE, deactivation.CHANGE_POLICY, deactivation.REMOVE_DEVICE]
)
@pytest.mark.parametrize("meanwhile", ["passed on", "passed on and back", "unassigned", "removed"])
async def test_a_plan_for_a_device_that_changed_hands_since_is_not_carried_out(
    tenant: Tenant, action: str, meanwhile: str
) -> None:
    """PRODUCT §6: "if the device has changed hands since, the effect is skipped and recorded as such"."""
    fleet = await Fleet.of(tenant, "do_nothing")
    seen = await tenant.device("LAPTOP")
    arguments = (tenant.db, tenant.directory, tenant.workspace_id, seen.device_id)
    if meanwhile.startswith("passed on"):
        await devices.assign_device(*arguments, "bob@acme.test")
    if meanwhile.endswith("back"):
        await devices.assign_device(*arguments, "ada@acme.test")
    if meanwhile == "unassigned":
        await devices.unassign_device(*arguments)
    if meanwhile == "removed":
        await devices.remove_device(*arguments)
    before, commands = await tenant.device("LAPTOP"), await tenant.commands(seen.device_id)
    planned = deactivation.PlannedEffect(
        action=action,
        target_kind=3,
        target_id=seen.device_id,
        target_name=seen.serial,
        assignment_epoch=seen.assignment_epoch,
        policy_id=fleet.lockdown,
    )

    def unit(tx: Transaction) -> tuple[int, str]:
        carried = devices.carry_out(tx, seen, planned, tenant.clock)
        return carried.outcome, carried.reason

    assert await tenant.db.write(unit) == (2, "CHANGED_HANDS")
    assert await tenant.device("LAPTOP") == before
    assert await tenant.commands(seen.device_id) == commands


async def test_a_policy_that_is_gone_is_given_to_nobody(tenant: Tenant) -> None:
    """PRODUCT §6: the policy "must exist in the workspace"; a rule that names a missing one fails and says so."""
    fleet = await Fleet.of(tenant, "do_nothing")
    rules = mdm_service_pb2.Rules(connection_id=tenant.connection_id)
    rules.on_deactivate.change_policy.policy_id = "gone"

    def unit(tx: Transaction) -> list[tuple[str, int, str]]:
        employee = repository.lock_employee_of_user(tx, tenant.workspace_id, fleet.ada.id)
        found, _ = employees.offboard(tx, tenant.workspace_id, employee, rules, tenant.clock)
        return [(each.target_name, each.outcome, each.reason) for each in found]

    assert sorted(await tenant.db.write(unit)) == [
        ("LAPTOP", 4, "POLICY_NOT_FOUND"),
        ("PHONE", 4, "POLICY_NOT_FOUND"),
        ("ada@acme.test", 1, ""),
    ]
    assert (await tenant.device("LAPTOP")).policy_id == fleet.standard
