"""People whose devices are managed; they come and go with directory users only."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from google.protobuf import struct_pb2
from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.directory.v1 import events_pb2, user_pb2
from rollcall.mdm.v1 import mdm_service_pb2

from chassis.database import Database, Transaction
from mdm_service import devices, pages, repository, requirements, tenants
from mdm_service.consequences import Consequence
from mdm_service.directory import Directory
from mdm_service.domain import accounts, deactivation
from mdm_service.errors import EmployeeNotFound


async def list_employees(
    db: Database, directory: Directory, workspace_id: str, page_size: int, page_token: str, *, email_prefix: str = ""
) -> tuple[list[mdm_service_pb2.Employee], str]:
    """List employees by e-mail address, a page and the token of the next; those whose address begins with a text.

    Raises InvalidValue, WorkspaceNotFound, InvalidPageToken.
    """
    requirements.identifier("workspace_id", workspace_id)
    prefix = accounts.email_key(requirements.prefix("email_prefix", email_prefix))
    page = pages.page(page_size, page_token, "employees", workspace_id, prefix)
    await tenants.require_workspace(db, directory, workspace_id)
    found = await db.read(lambda tx: repository.employees(tx, workspace_id, prefix, page.text, page.size + 1))
    return page.cut(found, lambda employee: [accounts.email_key(employee.email)])


async def get_employee(
    db: Database, directory: Directory, workspace_id: str, email: str, user_id: str = ""
) -> mdm_service_pb2.Employee:
    """Read an employee by e-mail address, or without one by the user that it follows.

    Raises InvalidValue, WorkspaceNotFound, EmployeeNotFound.
    """
    requirements.identifier("workspace_id", workspace_id)
    if email or not user_id:
        email = requirements.email("email", email)
    else:
        requirements.identifier("user_id", user_id)
    await tenants.require_workspace(db, directory, workspace_id)

    def unit(tx: Transaction) -> mdm_service_pb2.Employee | None:
        if email:
            return repository.employee_by_email(tx, workspace_id, accounts.email_key(email))
        return repository.employee_of_user(tx, workspace_id, user_id)

    employee = await db.read(unit)
    if employee is None:
        raise EmployeeNotFound(email, user_id)
    return employee


# What event handlers do to employees, inside their transaction ------------------------------------------------------

APPLIED = delivery_service_pb2.OUTCOME_APPLIED
SKIPPED = delivery_service_pb2.OUTCOME_SKIPPED
FAILED = delivery_service_pb2.OUTCOME_FAILED

NO_EMAIL = "NO_EMAIL"
EMAIL_TAKEN = "EMAIL_TAKEN"


class EmployeeVanished(Exception):
    """An employee disappeared between two looks, in another process; the event is tried again and finds out."""


@dataclass(frozen=True, slots=True)
class Account:
    """What an employee has to be like to follow a user."""

    workspace_id: str
    connection_id: str = ""
    user_id: str = ""
    user_name: str = ""
    email: str = ""
    """Empty: the user has none."""
    display_name: str = ""
    metadata: struct_pb2.Struct = field(default_factory=struct_pb2.Struct)
    active: bool = False
    """Whether the user is active; an employee need not be."""

    @classmethod
    def of_user(cls, origin: events_pb2.Origin, user: user_pb2.User) -> Account:
        """Read the account that a directory user asks for."""
        return cls(
            workspace_id=origin.workspace_id,
            connection_id=origin.connection_id,
            user_id=user.id,
            user_name=_storable(user.user_name),
            email=_storable(accounts.email_of(user)),
            display_name=_storable(accounts.display_name_of(user)),
            metadata=user.metadata,
            active=user.active or not user.HasField("active"),
        )


def provide(tx: Transaction, account: Account, rules: mdm_service_pb2.Rules, now: datetime) -> tuple[Consequence, str]:
    """Give a user without an employee one, if the rules say so: a new one, or the one with the user's e-mail address.

    An employee is taken over when it follows nobody, or a user that is deleted or inactive; one that follows another
    living user is left alone. Answers what became of it and the obstacle that a later change of the user may remove.
    """
    action = "CREATE_EMPLOYEE"
    if rules.on_create != mdm_service_pb2.ON_CREATE_CREATE_EMPLOYEE:
        return Consequence(action, SKIPPED, deactivation.RULE_NOTHING, target_name=account.email), ""
    if not account.email:
        return Consequence(action, SKIPPED, NO_EMAIL, target_name=account.user_name), NO_EMAIL
    key = accounts.email_key(account.email)
    employee = mdm_service_pb2.Employee(employee_id=str(uuid.uuid4()), workspace_id=account.workspace_id)
    employee.created_time.FromDatetime(now)
    _resemble(employee, account)
    if repository.insert_employee(tx, employee, key):
        return _on(employee, action, APPLIED, after=_portrait(employee)), ""
    existing = repository.lock_employee_by_email(tx, account.workspace_id, key)
    if existing is None:
        raise EmployeeVanished(account.user_id)
    if existing.user_id and repository.user_is_living(tx, account.workspace_id, existing.user_id):
        # The other employee may be another connection's: its id is not for the evidence of this one.
        return Consequence(action, FAILED, EMAIL_TAKEN, target_name=account.email), EMAIL_TAKEN
    before = _portrait(existing)
    action = "LINK_EMPLOYEE" if existing.active else "RESTORE_EMPLOYEE"
    _resemble(existing, account)
    repository.save_employee(tx, existing, key)
    return _on(existing, action, APPLIED, before=before, after=_portrait(existing)), ""


def restore(tx: Transaction, employee: mdm_service_pb2.Employee) -> Consequence:
    """Make an employee active again whose row is held; devices keep what they have."""
    if employee.active:
        return _on(employee, "RESTORE_EMPLOYEE", SKIPPED, deactivation.UNCHANGED)
    employee.active = True
    repository.save_employee(tx, employee, accounts.email_key(employee.email))
    return _on(employee, "RESTORE_EMPLOYEE", APPLIED, before={"active": False}, after={"active": True})


def follow(tx: Transaction, account: Account, employee: mdm_service_pb2.Employee) -> tuple[list[Consequence], str]:
    """Let the e-mail address, name and metadata of an employee whose row is held follow the user.

    An address that another employee of the workspace has is not taken, and nothing is merged. Answers what changed or
    could not change, and the obstacle in the way of the address.
    """
    found: list[Consequence] = []
    obstacle = ""
    changed = False
    if not account.email:
        obstacle = NO_EMAIL
        found.append(_on(employee, "CHANGE_EMAIL", SKIPPED, NO_EMAIL))
    elif account.email != employee.email:
        old, new = {"email": employee.email}, {"email": account.email}
        key = accounts.email_key(account.email)
        other = repository.employee_by_email(tx, account.workspace_id, key)
        if other is not None and other.employee_id != employee.employee_id:
            obstacle = EMAIL_TAKEN
            found.append(_on(employee, "CHANGE_EMAIL", FAILED, EMAIL_TAKEN, before=old, after=old))
        else:
            employee.email, changed = account.email, True
            found.append(_on(employee, "CHANGE_EMAIL", APPLIED, before=old, after=new))
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    if employee.display_name != account.display_name:
        before["display_name"], after["display_name"] = employee.display_name, account.display_name
        employee.display_name = account.display_name
    if employee.metadata != account.metadata:
        before["metadata"] = repository.plain_struct(employee.metadata)
        after["metadata"] = repository.plain_struct(account.metadata)
        employee.metadata.CopyFrom(account.metadata)
    if after:
        found.append(_on(employee, "UPDATE_EMPLOYEE", APPLIED, before=before, after=after))
    if changed or after:
        repository.save_employee(tx, employee, accounts.email_key(employee.email))
    return found, obstacle


def offboard(
    tx: Transaction,
    workspace_id: str,
    employee: mdm_service_pb2.Employee | None,
    rules: mdm_service_pb2.Rules,
    now: datetime,
) -> tuple[list[Consequence], mdm_service_pb2.Employee | None]:
    """Do what the rules say of a user who left, to the user's employee, whose row is held, and the employee's devices.

    Answers what became of each target, and the employee if one is left.
    """
    owned = [] if employee is None else repository.devices_of_employee(tx, workspace_id, employee.employee_id)
    planned = deactivation.plan(rules.on_deactivate, employee, owned)
    by_id = {device.device_id: device for device in owned}
    policy_id = rules.on_deactivate.change_policy.policy_id
    policy_stands = not (policy_id and owned) or repository.lock_policy(tx, workspace_id, policy_id)
    found: list[Consequence] = []
    for effect in planned:
        if effect.target_kind == delivery_service_pb2.TARGET_KIND_DEVICE:
            device = by_id[effect.target_id]
            found.append(devices.carry_out(tx, device, effect, now, policy_stands=policy_stands))
        elif effect.skip or employee is None:
            found.append(Consequence.of_plan(effect, SKIPPED, effect.skip))
        else:
            before, after = _portrait(employee), None
            if effect.action == deactivation.REMOVE_EMPLOYEE:
                repository.delete_employee(tx, workspace_id, employee.employee_id)
                employee = None
            else:
                before, after = {"active": True}, {"active": False}
                employee.active = False
                repository.save_employee(tx, employee, accounts.email_key(employee.email))
            found.append(Consequence.of_plan(effect, APPLIED, before=before, after=after))
    return found, employee


def unlink(tx: Transaction, employee: mdm_service_pb2.Employee) -> None:
    """Let an employee whose row is held follow nobody any more."""
    employee.user_id = employee.connection_id = ""
    repository.save_employee(tx, employee, accounts.email_key(employee.email))


def _resemble(employee: mdm_service_pb2.Employee, account: Account) -> None:
    employee.email = account.email
    employee.display_name = account.display_name
    employee.connection_id = account.connection_id
    employee.user_id = account.user_id
    employee.metadata.CopyFrom(account.metadata)
    employee.active = True


def _portrait(employee: mdm_service_pb2.Employee) -> dict[str, Any]:
    return {"email": employee.email, "active": employee.active, "user_id": employee.user_id}


def _on(
    employee: mdm_service_pb2.Employee,
    action: str,
    outcome: int,
    reason: str = "",
    *,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> Consequence:
    return Consequence(
        action,
        outcome,
        reason,
        target_id=employee.employee_id,
        target_name=employee.email,
        before=before,
        after=after,
    )


def _storable(text: str) -> str:
    # PostgreSQL stores every character of Unicode but this one, and a name must never stop the events behind it.
    return text.replace("\0", "")
