"""Devices: who has them, which policy they have, what they are told."""

from __future__ import annotations

import pytest
from rollcall.mdm.v1 import mdm_service_pb2

from chassis.outbox import table_of
from chassis.paging import InvalidPageToken
from mdm_service import devices, employees, tables
from mdm_service.errors import (
    DeviceCommandNotFound,
    DeviceCommandReported,
    DeviceExists,
    DeviceNotFound,
    DeviceRemoved,
    EmployeeNotFound,
    InvalidValue,
    PolicyNotFound,
    WorkspaceNotFound,
)
from tests.mdm_service.world import Tenant

ENROLLED, REMOVED = mdm_service_pb2.DEVICE_STATE_ENROLLED, mdm_service_pb2.DEVICE_STATE_REMOVED
APPLY, REMOVE = mdm_service_pb2.DEVICE_COMMAND_KIND_APPLY_POLICY, mdm_service_pb2.DEVICE_COMMAND_KIND_REMOVE
PENDING = mdm_service_pb2.DEVICE_COMMAND_STATE_PENDING
ACKNOWLEDGED = mdm_service_pb2.DEVICE_COMMAND_STATE_ACKNOWLEDGED
FAILED = mdm_service_pb2.DEVICE_COMMAND_STATE_FAILED


async def test_a_device_is_enrolled_with_a_policy_and_an_owner_and_told_the_policy(tenant: Tenant) -> None:
    """PRODUCT §6: "Devices (serial, name, platform, policy, owner, state, assignment epoch) are enrolled"."""
    await tenant.rule()
    await tenant.create("ada")
    policy_id = await tenant.policy("Standard")
    device = await tenant.enroll("C02", owner="ADA@acme.test", policy_id=policy_id)
    assert device.owner_email == "ada@acme.test"
    assert (device.serial, device.policy_id, device.state, device.assignment_epoch) == ("C02", policy_id, ENROLLED, 1)
    assert await tenant.device(device.device_id) == device
    commands = await tenant.commands(device.device_id)
    assert [(command.kind, command.policy_id, command.state) for command in commands] == [(APPLY, policy_id, PENDING)]


async def test_a_device_without_policy_and_owner_is_told_nothing(tenant: Tenant) -> None:
    """mdm_service.proto: "The policy; empty: none", "empty: nobody"."""
    device = await tenant.enroll("C02")
    assert (device.policy_id, device.owner_employee_id, device.assignment_epoch) == ("", "", 0)
    assert await tenant.commands(device.device_id) == []


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("serial", "", "is required"),
        ("serial", " \t", "is required"),
        ("serial", "C\u0000", "must be at most 200 printable characters"),
        ("serial", "C" * 201, "must be at most 200 printable characters"),
        ("name", "\u0007", "must be at most 200 printable characters"),
        ("platform", "", "must be one of ios, ipados, macos, android, windows, chromeos, linux, tvos"),
        ("platform", "macOS", "must be one of ios, ipados, macos, android, windows, chromeos, linux, tvos"),
        ("owner_email", "ada", "must be an e-mail address"),
        ("policy_id", "p\u0000", "must be an identifier of at most 100 printable characters"),
    ],
)
async def test_a_wrong_value_is_refused_by_field_and_rule(tenant: Tenant, field: str, value: str, rule: str) -> None:
    """PRODUCT §8: "1 refused (one clear line on stderr)"; AIP-193: the violation names the field."""
    arguments = {"serial": "C02", "name": "", "platform": "macos", "policy_id": "", "owner_email": "", field: value}
    with pytest.raises(InvalidValue) as caught:
        await devices.enroll_device(tenant.db, tenant.directory, tenant.workspace_id, **arguments)
    assert caught.value.field == field
    assert caught.value.message == f"{field}: {rule}"


async def test_enrolling_needs_an_employee_and_a_policy_of_the_workspace(tenant: Tenant) -> None:
    """mdm_service.proto: "The owner's e-mail address, of an employee"; a policy is one of the workspace."""
    with pytest.raises(EmployeeNotFound) as no_employee:
        await tenant.enroll("C02", owner="nobody@acme.test")
    assert no_employee.value.field == "owner_email"
    with pytest.raises(PolicyNotFound) as no_policy:
        await tenant.enroll("C02", policy_id="00000000-0000-0000-0000-000000000000")
    assert no_policy.value.field == "policy_id"
    with pytest.raises(DeviceNotFound):
        await tenant.device("C02")


async def test_another_workspaces_policy_employee_and_device_do_not_exist(tenant: Tenant, other_tenant: Tenant) -> None:
    """SECURITY: "Every repository query is bound to a connection or workspace id"."""
    await other_tenant.rule()
    await other_tenant.create("ada")
    foreign_policy = await other_tenant.policy("Standard")
    foreign = await other_tenant.enroll("C02", owner="ada@acme.test")
    with pytest.raises(PolicyNotFound):
        await tenant.enroll("C02", policy_id=foreign_policy)
    with pytest.raises(EmployeeNotFound):
        await tenant.enroll("C02", owner="ada@acme.test")
    own = await tenant.enroll("C02")
    with pytest.raises(EmployeeNotFound):
        await tenant.assign(own.device_id, "ada@acme.test")
    arguments = (tenant.db, tenant.directory, tenant.workspace_id, foreign.device_id)
    for refused in (
        devices.get_device(*arguments),
        devices.unassign_device(*arguments),
        devices.remove_device(*arguments),
        devices.assign_device(*arguments, "ada@acme.test"),
        devices.list_device_commands(*arguments, 0, ""),
    ):
        with pytest.raises((DeviceNotFound, EmployeeNotFound)):
            await refused
    assert await other_tenant.device(foreign.device_id) == foreign


async def test_an_unknown_workspace_is_refused_and_a_known_one_is_asked_for_once(tenant: Tenant) -> None:
    """The directory is the truth about workspaces; its positive answer is remembered, so that it may be away later."""
    with pytest.raises(WorkspaceNotFound):
        await devices.get_device(tenant.db, tenant.directory, "00000000-0000-0000-0000-000000000000", "C02")
    slug = tenant.world.workspaces[tenant.workspace_id].slug
    with pytest.raises(WorkspaceNotFound):
        await devices.get_device(tenant.db, tenant.directory, slug, "C02")
    await tenant.enroll("C02")
    asked = tenant.world.asked
    await tenant.enroll("C03")
    await tenant.device("C03")
    assert tenant.world.asked == asked


async def test_a_serial_is_enrolled_once_and_again_after_its_removal(tenant: Tenant) -> None:
    """mdm_service.proto: "unique among the workspace's enrolled devices"."""
    first = await tenant.enroll("C02")
    with pytest.raises(DeviceExists):
        await tenant.enroll("C02")
    await devices.remove_device(tenant.db, tenant.directory, tenant.workspace_id, first.device_id)
    second = await tenant.enroll("C02")
    assert second.device_id != first.device_id
    assert (await tenant.device("C02")).device_id == second.device_id
    assert (await tenant.device(first.device_id)).state == REMOVED
    await devices.remove_device(tenant.db, tenant.directory, tenant.workspace_id, second.device_id)
    assert (await tenant.device("C02")).device_id == second.device_id


async def test_the_epoch_rises_whenever_a_device_changes_hands_and_only_then(tenant: Tenant) -> None:
    """PRODUCT §6: "assignment epoch"; assigning to the owner and unassigning nobody's device change nothing."""
    await tenant.rule()
    await tenant.create("ada")
    await tenant.create("bob")
    device_id = (await tenant.enroll("C02")).device_id
    arguments = (tenant.db, tenant.directory, tenant.workspace_id, device_id)
    epochs = [
        (await devices.unassign_device(*arguments)).assignment_epoch,
        (await tenant.assign(device_id, "ada@acme.test")).assignment_epoch,
        (await tenant.assign(device_id, "Ada@Acme.test")).assignment_epoch,
        (await tenant.assign(device_id, "bob@acme.test")).assignment_epoch,
        (await devices.unassign_device(*arguments)).assignment_epoch,
        (await devices.unassign_device(*arguments)).assignment_epoch,
        (await devices.remove_device(*arguments)).assignment_epoch,
    ]
    assert epochs == [0, 1, 1, 2, 3, 3, 4]


async def test_a_policy_reaches_the_device_once(tenant: Tenant) -> None:
    """PRODUCT §6: "What must reach a physical device becomes a device command"; no change, no command."""
    standard, strict = await tenant.policy("Standard"), await tenant.policy("Strict")
    device = await tenant.enroll("C02", policy_id=standard)
    arguments = (tenant.db, tenant.directory, tenant.workspace_id, device.device_id)
    assert (await devices.set_device_policy(*arguments, strict)).policy_id == strict
    assert (await devices.set_device_policy(*arguments, strict)).policy_id == strict
    with pytest.raises(PolicyNotFound) as caught:
        await devices.set_device_policy(*arguments, "gone")
    assert caught.value.field == "policy_id"
    assert [command.policy_id for command in await tenant.commands(device.device_id)] == [standard, strict]


async def test_a_removed_device_is_nobodys_and_takes_no_further_change(tenant: Tenant) -> None:
    """errors.proto: "The device is not under management any more. FAILED_PRECONDITION"."""
    await tenant.rule()
    await tenant.create("ada")
    policy_id = await tenant.policy("Standard")
    device = await tenant.enroll("C02", owner="ada@acme.test")
    arguments = (tenant.db, tenant.directory, tenant.workspace_id, device.device_id)
    removed = await devices.remove_device(*arguments)
    assert (removed.state, removed.owner_email, removed.owner_employee_id) == (REMOVED, "", "")
    for refused in (
        devices.remove_device(*arguments),
        devices.unassign_device(*arguments),
        devices.set_device_policy(*arguments, policy_id),
        devices.assign_device(*arguments, "ada@acme.test"),
    ):
        with pytest.raises(DeviceRemoved):
            await refused
    assert await tenant.device(device.device_id) == removed
    assert [command.kind for command in await tenant.commands(device.device_id)] == [REMOVE]


async def test_a_command_leaves_through_the_outbox_of_its_transaction(tenant: Tenant) -> None:
    """DELIVERY: "Device commands leave the MDM service through its own outbox, the same code"."""
    policy_id = await tenant.policy("Standard")
    device = await tenant.enroll("C02", policy_id=policy_id)
    await devices.remove_device(tenant.db, tenant.directory, tenant.workspace_id, device.device_id)
    outbox = table_of(tables.Outbox)
    statement = outbox.select().where(outbox.c.aggregate_id == device.device_id).order_by(outbox.c.id)
    rows = await tenant.db.read(lambda tx: tx.execute(statement).mappings().all())
    assert [row["version"] for row in rows] == [1, 2]
    assert {row["type"] for row in rows} == {"rollcall.mdm.v1.DeviceCommandIssued"}
    tokens = [row["subject"].split(".") for row in rows]
    assert [token[:2] + token[3:] for token in tokens] == [
        ["mdm", "v1", "device", action, tenant.workspace_id, device.device_id] for action in ("apply_policy", "remove")
    ]
    assert tokens[0][2] == tokens[1][2]


async def test_a_report_counts_once_and_is_not_taken_back(tenant: Tenant) -> None:
    """mdm_service.proto: "reporting the same again changes nothing"; and nothing else is taken after it."""
    device = await tenant.enroll("C02", policy_id=await tenant.policy("Standard"))
    (command,) = await tenant.commands(device.device_id)
    report = (tenant.db, tenant.workspace_id, command.command_id)
    reported = await devices.report_device_command(*report, FAILED, "disk full")
    assert (reported.state, reported.error) == (FAILED, "disk full")
    assert reported.HasField("reported_time")
    assert await devices.report_device_command(*report, FAILED, "disk full") == reported
    for state, error in ((ACKNOWLEDGED, ""), (FAILED, "something else")):
        with pytest.raises(DeviceCommandReported):
            await devices.report_device_command(*report, state, error)
    assert await tenant.commands(device.device_id) == [reported]


@pytest.mark.parametrize(
    ("state", "error", "field"),
    [(PENDING, "", "state"), (0, "", "state"), (7, "", "state"), (ACKNOWLEDGED, "x", "error"), (FAILED, "\0", "error")],
)
async def test_a_report_of_something_else_is_refused(tenant: Tenant, state: int, error: str, field: str) -> None:
    """mdm_service.proto: "ACKNOWLEDGED or FAILED"; the error is "for FAILED"."""
    device = await tenant.enroll("C02", policy_id=await tenant.policy("Standard"))
    (command,) = await tenant.commands(device.device_id)
    with pytest.raises(InvalidValue) as caught:
        await devices.report_device_command(tenant.db, tenant.workspace_id, command.command_id, state, error)
    assert caught.value.field == field
    assert await tenant.commands(device.device_id) == [command]


async def test_a_command_of_another_workspace_is_not_found(tenant: Tenant, other_tenant: Tenant) -> None:
    """SECURITY: "Every repository query is bound to a connection or workspace id"."""
    device = await tenant.enroll("C02", policy_id=await tenant.policy("Standard"))
    (command,) = await tenant.commands(device.device_id)
    with pytest.raises(DeviceCommandNotFound):
        await devices.report_device_command(tenant.db, other_tenant.workspace_id, command.command_id, ACKNOWLEDGED, "")


async def test_devices_are_listed_by_serial_in_pages_and_by_owner(tenant: Tenant) -> None:
    """AIP-158; mdm_service.proto: "Lists a workspace's devices by serial", "removed ones included"."""
    await tenant.rule()
    await tenant.create("ada")
    enrolled = [
        await tenant.enroll(f"S{number}", owner="ada@acme.test" if number % 2 else "") for number in (4, 1, 3, 0, 2)
    ]
    gone = next(device for device in enrolled if device.serial == "S2")
    await devices.remove_device(tenant.db, tenant.directory, tenant.workspace_id, gone.device_id)
    await tenant.enroll("S2")

    async def page(size: int, token: str, owner: str = "") -> tuple[list[str], str]:
        found, following = await devices.list_devices(
            tenant.db, tenant.directory, tenant.workspace_id, owner, size, token
        )
        return [device.serial for device in found], following

    seen: list[str] = []
    token = ""
    while True:
        serials, token = await page(2, token)
        seen += serials
        if not token:
            break
    assert seen == ["S0", "S1", "S2", "S2", "S3", "S4"]
    assert (await page(0, "", "ADA@acme.test"))[0] == ["S1", "S3"]
    assert (await page(0, "", "nobody@acme.test"))[0] == []
    _, token = await page(1, "")
    with pytest.raises(InvalidPageToken):
        await page(1, token, "ada@acme.test")
    with pytest.raises(InvalidPageToken):
        await page(1, "Zm9yZ2Vk")
    with pytest.raises(InvalidValue) as caught:
        await page(-1, "")
    assert caught.value.field == "page_size"


async def test_commands_are_listed_newest_first_in_pages(tenant: Tenant) -> None:
    """mdm_service.proto: "Lists a device's commands, newest first"."""
    ids = [await tenant.policy(f"Policy {number}") for number in range(5)]
    device = await tenant.enroll("C02", policy_id=ids[0])
    arguments = (tenant.db, tenant.directory, tenant.workspace_id, device.device_id)
    for policy_id in ids[1:]:
        await devices.set_device_policy(*arguments, policy_id)
    seen: list[str] = []
    token = ""
    while True:
        found, token = await devices.list_device_commands(*arguments, 2, token)
        assert len(found) <= 2
        seen += [command.policy_id for command in found]
        if not token:
            break
    assert seen == ids[::-1]


async def test_devices_are_found_by_the_beginning_of_their_serial_number(tenant: Tenant) -> None:
    """mdm_service.proto: "What the serial number begins with; empty: all"; AIP-158."""
    await tenant.rule()
    await tenant.create("ada")
    for serial, owner in (("C02", ""), ("C01", "ada@acme.test"), ("c03", ""), ("D01", ""), ("C0", "")):
        await tenant.enroll(serial, owner=owner)

    async def page(prefix: str, size: int = 0, token: str = "", owner: str = "") -> tuple[list[str], str]:
        found, following = await devices.list_devices(
            tenant.db, tenant.directory, tenant.workspace_id, owner, size, token, serial_prefix=prefix
        )
        return [device.serial for device in found], following

    assert await page("C0") == (["C0", "C01", "C02"], "")
    assert (await page("C0", owner="ada@acme.test"))[0] == ["C01"]
    assert (await page("0"))[0] == []
    first, token = await page("C0", 2)
    assert (first, await page("C0", 2, token)) == (["C0", "C01"], (["C02"], ""))
    with pytest.raises(InvalidPageToken):
        await page("D", 2, token)
    for wrong in ("C\u0000", "C" * 401):
        with pytest.raises(InvalidValue) as caught:
            await page(wrong)
        assert caught.value.field == "serial_prefix"


async def test_employees_are_found_by_the_beginning_of_their_address_and_by_their_user(tenant: Tenant) -> None:
    """mdm_service.proto: "What the e-mail address begins with, in any case"; "the directory user that it follows"."""
    await tenant.rule()
    users = {name: await tenant.create(name) for name in ("ann", "anna", "bob")}

    async def find(prefix: str) -> list[str]:
        found, _ = await employees.list_employees(
            tenant.db, tenant.directory, tenant.workspace_id, 0, "", email_prefix=prefix
        )
        return [employee.email for employee in found]

    assert await find("ANN") == ["ann@acme.test", "anna@acme.test"]
    assert await find("nn") == []
    by_user = await employees.get_employee(tenant.db, tenant.directory, tenant.workspace_id, "", users["bob"].id)
    assert by_user.email == "bob@acme.test"
    with pytest.raises(EmployeeNotFound):
        await employees.get_employee(tenant.db, tenant.directory, tenant.workspace_id, "", "nobody")
    with pytest.raises(InvalidValue):
        await employees.get_employee(tenant.db, tenant.directory, tenant.workspace_id, "", "")
