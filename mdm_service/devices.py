"""Devices: who has them, which policy they have, and what they are told.

Whatever must reach the physical device is a command: a row, and an event in the outbox of the same transaction.
"""

import uuid
from datetime import UTC, datetime
from typing import Any

from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.mdm.v1 import events_pb2, mdm_service_pb2

from chassis.database import Database, Transaction
from mdm_service import command_events, pages, repository, requirements, tenants
from mdm_service.consequences import Consequence
from mdm_service.directory import Directory
from mdm_service.domain import accounts, deactivation
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

PLATFORMS = ("ios", "ipados", "macos", "android", "windows", "chromeos", "linux", "tvos")
"""The platforms that a device can have."""

ERROR_LENGTH = 2_000
"""How long a device's own words on a failure may be, in characters."""

_REPORTS = (mdm_service_pb2.DEVICE_COMMAND_STATE_ACKNOWLEDGED, mdm_service_pb2.DEVICE_COMMAND_STATE_FAILED)

CHANGED_HANDS = "CHANGED_HANDS"
POLICY_NOT_FOUND = "POLICY_NOT_FOUND"


async def enroll_device(
    db: Database,
    directory: Directory,
    workspace_id: str,
    *,
    serial: str,
    name: str,
    platform: str,
    policy_id: str,
    owner_email: str,
) -> mdm_service_pb2.Device:
    """Enroll a device, with a policy and an owner where they are not empty; with a policy it is sent APPLY_POLICY.

    A serial number that was removed from management is enrolled as another device. Raises InvalidValue,
    WorkspaceNotFound, EmployeeNotFound, PolicyNotFound, DeviceExists.
    """
    requirements.identifier("workspace_id", workspace_id)
    serial = requirements.name("serial", serial)
    name = requirements.name("name", name) if name else serial
    if platform not in PLATFORMS:
        raise InvalidValue("platform", f"must be one of {', '.join(PLATFORMS)}")
    if policy_id:
        requirements.identifier("policy_id", policy_id)
    if owner_email:
        owner_email = requirements.email("owner_email", owner_email)
    await tenants.require_workspace(db, directory, workspace_id)
    device_id, now = str(uuid.uuid4()), datetime.now(UTC)

    def unit(tx: Transaction) -> mdm_service_pb2.Device:
        if not repository.lock_workspace(tx, workspace_id):
            raise WorkspaceNotFound(workspace_id)
        device = mdm_service_pb2.Device(
            device_id=device_id,
            workspace_id=workspace_id,
            serial=serial,
            name=name,
            platform=platform,
            policy_id=policy_id,
            state=mdm_service_pb2.DEVICE_STATE_ENROLLED,
        )
        device.enrolled_time.FromDatetime(now)
        if owner_email:
            owner = repository.lock_employee_by_email(tx, workspace_id, accounts.email_key(owner_email))
            if owner is None:
                raise EmployeeNotFound(owner_email, field="owner_email")
            device.owner_email, device.owner_employee_id = owner.email, owner.employee_id
            device.assignment_epoch = 1
        if policy_id and not repository.lock_policy(tx, workspace_id, policy_id):
            raise PolicyNotFound(policy_id, field="policy_id")
        commands = 1 if policy_id else 0
        if not repository.insert_device(tx, device, commands):
            raise DeviceExists(serial)
        if policy_id:
            issue_command(tx, device, mdm_service_pb2.DEVICE_COMMAND_KIND_APPLY_POLICY, policy_id, commands, now)
        return device

    return await db.write(unit, key=workspace_id)


async def list_devices(
    db: Database,
    directory: Directory,
    workspace_id: str,
    owner_email: str,
    page_size: int,
    page_token: str,
    *,
    serial_prefix: str = "",
    segment_id: str = "",
) -> tuple[list[mdm_service_pb2.Device], str]:
    """List devices by serial number, removed ones too, a page and the token of the next.

    Of one owner, and those whose serial number begins with a text, unless these are empty. Raises InvalidValue,
    WorkspaceNotFound, InvalidPageToken.
    """
    requirements.identifier("workspace_id", workspace_id)
    owner_key = accounts.email_key(requirements.email("owner_email", owner_email)) if owner_email else ""
    prefix = requirements.prefix("serial_prefix", serial_prefix)
    if segment_id:
        if owner_key or prefix:
            raise InvalidValue("segment_id", "cannot be given together with owner_email or serial_prefix")
        return await _list_segment(db, directory, workspace_id, segment_id, page_size, page_token)
    page = pages.page(page_size, page_token, "devices", workspace_id, owner_key, prefix, types=(str, str))
    await tenants.require_workspace(db, directory, workspace_id)
    after = None if page.after is None else (str(page.after[0]), str(page.after[1]))
    found = await db.read(lambda tx: repository.devices(tx, workspace_id, owner_key, prefix, after, page.size + 1))
    return page.cut(found, lambda device: [device.serial, device.device_id])


async def _list_segment(
    db: Database, directory: Directory, workspace_id: str, segment_id: str, page_size: int, page_token: str
) -> tuple[list[mdm_service_pb2.Device], str]:
    requirements.identifier("segment_id", segment_id)
    page = pages.page(page_size, page_token, "devices of a segment", workspace_id, segment_id)
    await tenants.require_workspace(db, directory, workspace_id)
    found = await db.read(
        lambda tx: repository.devices_in_segment(tx, workspace_id, segment_id, page.text or "", page.size + 1)
    )
    return page.cut(found, lambda device: [device.device_id])


async def get_device(db: Database, directory: Directory, workspace_id: str, device: str) -> mdm_service_pb2.Device:
    """Read a device by id, else by serial number: the enrolled one, else the one enrolled last.

    Raises InvalidValue, WorkspaceNotFound, DeviceNotFound.
    """
    requirements.identifier("workspace_id", workspace_id)
    device = requirements.name("device", device)
    await tenants.require_workspace(db, directory, workspace_id)
    found = await db.read(lambda tx: repository.device_by_id_or_serial(tx, workspace_id, device))
    if found is None:
        raise DeviceNotFound(device)
    return found


async def assign_device(
    db: Database, directory: Directory, workspace_id: str, device_id: str, email: str
) -> mdm_service_pb2.Device:
    """Give a device to an employee; the epoch rises. Giving it to its owner changes nothing.

    Raises InvalidValue, WorkspaceNotFound, EmployeeNotFound, DeviceNotFound, DeviceRemoved.
    """
    requirements.identifier("workspace_id", workspace_id)
    requirements.identifier("device_id", device_id)
    email = requirements.email("email", email)
    await tenants.require_workspace(db, directory, workspace_id)

    def unit(tx: Transaction) -> mdm_service_pb2.Device:
        employee = repository.lock_employee_by_email(tx, workspace_id, accounts.email_key(email))
        if employee is None:
            raise EmployeeNotFound(email, field="email")
        device = _lock_enrolled(tx, workspace_id, device_id)
        if device.owner_employee_id == employee.employee_id:
            return device
        repository.give_device(tx, workspace_id, device_id, employee.employee_id, device.assignment_epoch)
        return _read(tx, workspace_id, device_id)

    return await db.write(unit, key=workspace_id)


async def unassign_device(
    db: Database, directory: Directory, workspace_id: str, device_id: str
) -> mdm_service_pb2.Device:
    """Take a device from its owner; the epoch rises. A device that nobody owns stays as it is.

    Raises InvalidValue, WorkspaceNotFound, DeviceNotFound, DeviceRemoved.
    """
    requirements.identifier("workspace_id", workspace_id)
    requirements.identifier("device_id", device_id)
    await tenants.require_workspace(db, directory, workspace_id)

    def unit(tx: Transaction) -> mdm_service_pb2.Device:
        device = _lock_enrolled(tx, workspace_id, device_id)
        if not device.owner_employee_id:
            return device
        repository.give_device(tx, workspace_id, device_id, "", device.assignment_epoch)
        return _read(tx, workspace_id, device_id)

    return await db.write(unit, key=workspace_id)


async def set_device_policy(
    db: Database, directory: Directory, workspace_id: str, device_id: str, policy_id: str
) -> mdm_service_pb2.Device:
    """Give a device a policy and send it APPLY_POLICY. Giving it the policy that it has changes nothing.

    Raises InvalidValue, WorkspaceNotFound, PolicyNotFound, DeviceNotFound, DeviceRemoved.
    """
    requirements.identifier("workspace_id", workspace_id)
    requirements.identifier("device_id", device_id)
    requirements.identifier("policy_id", policy_id)
    await tenants.require_workspace(db, directory, workspace_id)
    now = datetime.now(UTC)

    def unit(tx: Transaction) -> mdm_service_pb2.Device:
        if not repository.lock_policy(tx, workspace_id, policy_id):
            raise PolicyNotFound(policy_id, field="policy_id")
        device = _lock_enrolled(tx, workspace_id, device_id)
        if device.policy_id == policy_id:
            return device
        _change_policy(tx, device, device.assignment_epoch, policy_id, now)
        return _read(tx, workspace_id, device_id)

    return await db.write(unit, key=workspace_id)


async def remove_device(
    db: Database, directory: Directory, workspace_id: str, device_id: str
) -> mdm_service_pb2.Device:
    """Remove a device from management: no owner, no segment, the epoch rises; it is sent REMOVE.

    Raises InvalidValue, WorkspaceNotFound, DeviceNotFound, DeviceRemoved.
    """
    requirements.identifier("workspace_id", workspace_id)
    requirements.identifier("device_id", device_id)
    await tenants.require_workspace(db, directory, workspace_id)
    now = datetime.now(UTC)

    def unit(tx: Transaction) -> mdm_service_pb2.Device:
        device = _lock_enrolled(tx, workspace_id, device_id)
        _retire(tx, device, device.assignment_epoch, now)
        return _read(tx, workspace_id, device_id)

    return await db.write(unit, key=workspace_id)


async def list_device_commands(
    db: Database, directory: Directory, workspace_id: str, device_id: str, page_size: int, page_token: str
) -> tuple[list[mdm_service_pb2.DeviceCommand], str]:
    """List a device's commands, newest first, a page and the token of the next.

    Raises InvalidValue, WorkspaceNotFound, DeviceNotFound, InvalidPageToken.
    """
    requirements.identifier("workspace_id", workspace_id)
    requirements.identifier("device_id", device_id)
    page = pages.page(page_size, page_token, "device commands", workspace_id, device_id, types=(int,))
    await tenants.require_workspace(db, directory, workspace_id)
    before = None if page.after is None else int(page.after[0])

    def unit(tx: Transaction) -> list[tuple[int, mdm_service_pb2.DeviceCommand]]:
        _read(tx, workspace_id, device_id)
        return repository.commands(tx, workspace_id, device_id, before, page.size + 1)

    kept, token = page.cut(await db.read(unit), lambda pair: [pair[0]])
    return [command for _, command in kept], token


async def report_device_command(
    db: Database, workspace_id: str, command_id: str, state: int, error: str
) -> mdm_service_pb2.DeviceCommand:
    """Take a device's report on a command, once; the same report again changes nothing.

    Devices of a workspace that is gone may still report. Raises InvalidValue, DeviceCommandNotFound,
    DeviceCommandReported.
    """
    requirements.identifier("workspace_id", workspace_id)
    requirements.identifier("command_id", command_id)
    if state not in _REPORTS:
        raise InvalidValue("state", "must be one of ACKNOWLEDGED, FAILED")
    if error and state != mdm_service_pb2.DEVICE_COMMAND_STATE_FAILED:
        raise InvalidValue("error", "is for FAILED only")
    if len(error) > ERROR_LENGTH or "\0" in error:
        raise InvalidValue("error", f"must be at most {ERROR_LENGTH} characters, none of them NUL")
    now = datetime.now(UTC)

    def unit(tx: Transaction) -> mdm_service_pb2.DeviceCommand:
        command = repository.lock_command(tx, workspace_id, command_id)
        if command is None:
            raise DeviceCommandNotFound(command_id)
        if command.state != mdm_service_pb2.DEVICE_COMMAND_STATE_PENDING:
            if (command.state, command.error) != (state, error):
                name = mdm_service_pb2.DeviceCommandState.Name(command.state)
                raise DeviceCommandReported(command_id, name.removeprefix("DEVICE_COMMAND_STATE_"))
            return command
        command.state = state  # type: ignore[assignment]
        command.error = error
        command.reported_time.FromDatetime(now)
        repository.report_command(tx, command)
        return command

    return await db.write(unit, key=workspace_id)


# What event handlers do to devices, inside their transaction --------------------------------------------------------


def carry_out(
    tx: Transaction,
    device: mdm_service_pb2.Device,
    planned: deactivation.PlannedEffect,
    now: datetime,
    *,
    policy_stands: bool = True,
) -> Consequence:
    """Make a planned effect on a device, unless the device has changed hands since the plan.

    `device` is as the plan saw it; `policy_stands` says whether the planned policy still exists, its row being held.
    """
    if planned.skip:
        return Consequence.of_plan(planned, delivery_service_pb2.OUTCOME_SKIPPED, planned.skip)
    if planned.action == deactivation.CHANGE_POLICY:
        if not policy_stands:
            return Consequence.of_plan(planned, delivery_service_pb2.OUTCOME_FAILED, POLICY_NOT_FOUND)
        done = _change_policy(tx, device, planned.assignment_epoch, planned.policy_id, now)
        before: dict[str, Any] = {"policy_id": device.policy_id}
        after: dict[str, Any] = {"policy_id": planned.policy_id}
    else:
        before = {"owner_email": device.owner_email, "assignment_epoch": planned.assignment_epoch}
        after = {"owner_email": "", "assignment_epoch": planned.assignment_epoch + 1}
        if planned.action == deactivation.REMOVE_DEVICE:
            done = _retire(tx, device, planned.assignment_epoch, now)
            before, after = {"state": "ENROLLED", **before}, {"state": "REMOVED", **after}
        else:
            done = repository.give_device(tx, device.workspace_id, device.device_id, "", planned.assignment_epoch)
    if not done:
        return Consequence.of_plan(planned, delivery_service_pb2.OUTCOME_SKIPPED, CHANGED_HANDS)
    return Consequence.of_plan(planned, delivery_service_pb2.OUTCOME_APPLIED, before=before, after=after)


def issue_command(
    tx: Transaction, device: mdm_service_pb2.Device, kind: int, policy_id: str, version: int, now: datetime
) -> None:
    """Keep a command for a device and publish it; `version` is its position among the device's commands."""
    command = mdm_service_pb2.DeviceCommand(
        command_id=str(uuid.uuid4()),
        workspace_id=device.workspace_id,
        device_id=device.device_id,
        policy_id=policy_id,
        state=mdm_service_pb2.DEVICE_COMMAND_STATE_PENDING,
    )
    command.kind = kind  # type: ignore[assignment]
    command.created_time.FromDatetime(now)
    repository.insert_command(tx, command, version)
    command_events.publish(tx, events_pb2.DeviceCommandIssued(command=command, serial=device.serial), version)


def _change_policy(
    tx: Transaction, device: mdm_service_pb2.Device, assignment_epoch: int, policy_id: str, now: datetime
) -> bool:
    version = repository.set_device_policy(tx, device.workspace_id, device.device_id, policy_id, assignment_epoch)
    if version is None:
        return False
    issue_command(tx, device, mdm_service_pb2.DEVICE_COMMAND_KIND_APPLY_POLICY, policy_id, version, now)
    return True


def _retire(tx: Transaction, device: mdm_service_pb2.Device, assignment_epoch: int, now: datetime) -> bool:
    version = repository.retire_device(tx, device.workspace_id, device.device_id, assignment_epoch)
    if version is None:
        return False
    issue_command(tx, device, mdm_service_pb2.DEVICE_COMMAND_KIND_REMOVE, "", version, now)
    return True


def _lock_enrolled(tx: Transaction, workspace_id: str, device_id: str) -> mdm_service_pb2.Device:
    device = repository.lock_device(tx, workspace_id, device_id)
    if device is None:
        raise DeviceNotFound(device_id)
    if device.state == mdm_service_pb2.DEVICE_STATE_REMOVED:
        raise DeviceRemoved(device_id)
    return device


def _read(tx: Transaction, workspace_id: str, device_id: str) -> mdm_service_pb2.Device:
    device = repository.device(tx, workspace_id, device_id)
    if device is None:
        raise DeviceNotFound(device_id)
    return device
