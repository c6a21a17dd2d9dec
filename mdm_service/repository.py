"""The only SQL of the MDM service, and the only conversion between rows and messages.

Every function takes the open transaction first and is bound to a workspace or a connection. Functions that begin with
`lock_` hold the row until the transaction ends; the order in which locks are taken is workspace, rules, employee,
policy, device, so that two processes on PostgreSQL do not wait for each other in a circle.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, cast

from google.protobuf import struct_pb2, timestamp_pb2
from rollcall.mdm.v1 import mdm_service_pb2
from sqlalchemy import (
    ColumnElement,
    Row,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    union,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from chassis.database import Transaction
from mdm_service import tables

ENROLLED = mdm_service_pb2.DEVICE_STATE_ENROLLED
REMOVED = mdm_service_pb2.DEVICE_STATE_REMOVED


def _table(model: type[tables.MdmTable]) -> Table:
    return cast(Table, vars(model)["__table__"])


_workspaces = _table(tables.Workspace)
_closures = _table(tables.WorkspaceClosure)
_connections = _table(tables.Connection)
_users = _table(tables.User)
_rules = _table(tables.Rules)
_employees = _table(tables.Employee)
_policies = _table(tables.Policy)
_devices = _table(tables.Device)
_commands = _table(tables.DeviceCommand)
_segments = _table(tables.Segment)
_segment_devices = _table(tables.SegmentDevice)
_effects = _table(tables.Effect)
_outbox = _table(tables.Outbox)
_grants = _table(tables.SegmentGrant)


def _inserts(table: Table) -> dict[str, Any]:
    """The dialects' own INSERT, which knows ON CONFLICT; both have the same methods."""
    return {"sqlite": sqlite.insert(table), "postgresql": postgresql.insert(table)}


# Workspaces -----------------------------------------------------------------------------------------------------------

_REMEMBER_WORKSPACE = {name: into.on_conflict_do_nothing() for name, into in _inserts(_workspaces).items()}
_CLOSE_WORKSPACE = {
    name: into.on_conflict_do_update(index_elements=["workspace_id"], set_={"deleted": True})
    for name, into in _inserts(_workspaces).items()
}


def workspace_is_known(tx: Transaction, workspace_id: str) -> bool | None:
    """Say whether the workspace was confirmed: True, False when it is gone, None when it was never heard of."""
    statement = select(_workspaces.c.deleted).where(_workspaces.c.workspace_id == workspace_id)
    deleted = tx.execute(statement).scalar_one_or_none()
    return None if deleted is None else not deleted


def lock_workspace(tx: Transaction, workspace_id: str) -> bool:
    """Hold off the deletion of a workspace; False when it is gone or unknown."""
    statement = (
        select(_workspaces.c.deleted).where(_workspaces.c.workspace_id == workspace_id).with_for_update(read=True)
    )
    return tx.execute(statement).scalar_one_or_none() is False


def remember_workspace(tx: Transaction, workspace_id: str) -> None:
    """Keep that the directory has the workspace; one that is gone stays gone."""
    tx.execute(_REMEMBER_WORKSPACE[tx.dialect], {"workspace_id": workspace_id, "deleted": False})


def close_workspace(tx: Transaction, workspace_id: str) -> None:
    """Keep that a workspace is gone; nothing can be created in it from now on."""
    tx.execute(_CLOSE_WORKSPACE[tx.dialect], {"workspace_id": workspace_id, "deleted": True})


_PUT_CLOSURE = {name: into.on_conflict_do_nothing() for name, into in _inserts(_closures).items()}


@dataclass(frozen=True, slots=True)
class WorkspaceClosure:
    """A workspace that is to be emptied, and the event that closed it."""

    workspace_id: str
    event_id: str
    event_type: str
    request_id: str
    traceparent: str
    version: int
    repair: bool
    closed_at: datetime


def put_closure(tx: Transaction, closure: WorkspaceClosure) -> None:
    """Keep that a workspace is to be emptied; the first event that says so stands."""
    tx.execute(
        _PUT_CLOSURE[tx.dialect], {field.name: getattr(closure, field.name) for field in fields(WorkspaceClosure)}
    )


def first_closure(tx: Transaction) -> str | None:
    """Find a workspace that is to be emptied, whichever it is: the closer serves all."""
    statement = select(_closures.c.workspace_id).order_by(_closures.c.workspace_id).limit(1)
    return tx.execute(statement).scalar_one_or_none()


def lock_closure(tx: Transaction, workspace_id: str) -> WorkspaceClosure | None:
    """Read what closed a workspace and hold the row; None: it is emptied, or was never closed."""
    columns = (_closures.c[field.name] for field in fields(WorkspaceClosure))
    statement = select(*columns).where(_closures.c.workspace_id == workspace_id).with_for_update()
    row = tx.execute(statement).one_or_none()
    return None if row is None else WorkspaceClosure(*tuple(row))


def delete_closure(tx: Transaction, workspace_id: str) -> None:
    """Keep that a workspace is emptied."""
    tx.execute(delete(_closures).where(_closures.c.workspace_id == workspace_id))


def living_workspaces(tx: Transaction) -> list[str]:
    """List the workspaces that are not known to be gone: for a comparison of all."""
    statement = select(_workspaces.c.workspace_id).where(_workspaces.c.deleted.is_(False))
    return list(tx.execute(statement.order_by(_workspaces.c.workspace_id)).scalars())


def delete_employees(tx: Transaction, workspace_id: str, limit: int) -> int:
    """Delete at most `limit` employees of a workspace that is gone; answers how many."""
    first = select(_employees.c.employee_id).where(_employees.c.workspace_id == workspace_id).limit(limit)
    return tx.execute(delete(_employees).where(_employees.c.employee_id.in_(first.scalar_subquery()))).rowcount


def empty_workspace(tx: Transaction, workspace_id: str) -> None:
    """Delete everything of a workspace but its devices and their commands."""
    for table in (_segment_devices, _grants, _segments, _rules, _users, _connections, _employees, _policies):
        tx.execute(delete(table).where(table.c.workspace_id == workspace_id))


# Connections and users ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class UserProjection:
    """What is kept of a directory user. The contract has no message for it: it never leaves the service."""

    user_id: str
    connection_id: str
    workspace_id: str
    user_name: str
    email: str
    """The address that an employee of the user has to have; empty: the user has none."""
    active: bool
    obstacle: str
    """Why the last attempt at an employee, or at the employee's address, failed: NO_EMAIL, EMAIL_TAKEN or empty."""


_UPSERT_CONNECTION = {
    name: into.on_conflict_do_update(index_elements=["connection_id"], set_={"enabled": into.excluded.enabled})
    for name, into in _inserts(_connections).items()
}
_UPSERT_USER = {
    name: into.on_conflict_do_update(
        index_elements=["user_id"],
        set_={column: into.excluded[column] for column in ("user_name", "email", "active", "obstacle")},
    )
    for name, into in _inserts(_users).items()
}
_USER = select(*(_users.c[field.name] for field in fields(UserProjection))).where(
    _users.c.connection_id == bindparam("connection_id"), _users.c.user_id == bindparam("user_id")
)


def connection_workspace(tx: Transaction, connection_id: str) -> str:
    """Read the workspace of an MDM connection; empty when the connection is not projected."""
    statement = select(_connections.c.workspace_id).where(_connections.c.connection_id == connection_id)
    return tx.execute(statement).scalar_one_or_none() or ""


def save_connection(tx: Transaction, connection_id: str, workspace_id: str, *, enabled: bool) -> None:
    """Project an MDM connection."""
    tx.execute(
        _UPSERT_CONNECTION[tx.dialect],
        {"connection_id": connection_id, "workspace_id": workspace_id, "enabled": enabled},
    )


def forget_connection(tx: Transaction, connection_id: str) -> None:
    """Drop a connection's rules and projection; its employees stay and follow nobody."""
    tx.execute(
        update(_employees).where(_employees.c.connection_id == connection_id).values(connection_id="", user_id=None)
    )
    for table in (_rules, _users, _connections):
        tx.execute(delete(table).where(table.c.connection_id == connection_id))


def user(tx: Transaction, connection_id: str, user_id: str) -> UserProjection | None:
    """Read the projection of a user."""
    row = tx.execute(_USER, {"connection_id": connection_id, "user_id": user_id}).one_or_none()
    return None if row is None else UserProjection(*tuple(row))


def save_user(tx: Transaction, user: UserProjection) -> None:
    """Project a user."""
    tx.execute(
        _UPSERT_USER[tx.dialect],
        {
            "user_id": user.user_id,
            "connection_id": user.connection_id,
            "workspace_id": user.workspace_id,
            "user_name": user.user_name,
            "email": user.email,
            "active": user.active,
            "obstacle": user.obstacle,
        },
    )


def delete_user(tx: Transaction, connection_id: str, user_id: str) -> None:
    """Drop the projection of a user."""
    tx.execute(delete(_users).where(_users.c.connection_id == connection_id, _users.c.user_id == user_id))


def user_ids(tx: Transaction, connection_id: str) -> list[str]:
    """List the users of a connection that are projected or that an employee follows, in the order of their ids."""
    projected = select(_users.c.user_id).where(_users.c.connection_id == connection_id)
    followed = select(_employees.c.user_id).where(
        _employees.c.connection_id == connection_id, _employees.c.user_id.is_not(None)
    )
    return sorted(tx.execute(union(projected, followed)).scalars())


def projected_connections(tx: Transaction) -> list[tuple[str, str]]:
    """List id and workspace of every connection that is projected: for a comparison of all."""
    statement = select(_connections.c.connection_id, _connections.c.workspace_id)
    return [
        (row.connection_id, row.workspace_id) for row in tx.execute(statement.order_by(_connections.c.connection_id))
    ]


def connection_enabled(tx: Transaction, connection_id: str) -> bool | None:
    """Say whether a connection is enabled; None when it is not projected."""
    statement = select(_connections.c.enabled).where(_connections.c.connection_id == connection_id)
    return tx.execute(statement).scalar_one_or_none()


def last_effect(
    tx: Transaction, workspace_id: str, user_id: str, *, rule: str = "", actions: Sequence[str] = ()
) -> tuple[str, str, str]:
    """Read action, outcome and reason of the newest effect on a user: of a rule, or applied and of some actions.

    All of them are empty when there is none.
    """
    statement = select(_effects.c.action, _effects.c.outcome, _effects.c.reason).where(
        _effects.c.workspace_id == workspace_id, _effects.c.user_id == user_id
    )
    if rule:
        statement = statement.where(_effects.c.rule == rule)
    if actions:
        statement = statement.where(_effects.c.action.in_(actions), _effects.c.outcome == "APPLIED")
    row = tx.execute(statement.order_by(_effects.c.effect_id.desc()).limit(1)).first()
    return ("", "", "") if row is None else (row.action, row.outcome, row.reason)


# Rules ----------------------------------------------------------------------------------------------------------------

_UPSERT_RULES = {
    name: into.on_conflict_do_update(
        index_elements=["connection_id"],
        set_={column: into.excluded[column] for column in ("on_create", "behaviour", "policy_id", "version")},
    )
    for name, into in _inserts(_rules).items()
}
_RULES = select(_rules).where(_rules.c.connection_id == bindparam("connection_id"))
_LOCK_RULES = _RULES.with_for_update()
_LOCK_CONNECTION = (
    select(_connections.c.workspace_id)
    .where(_connections.c.connection_id == bindparam("connection_id"))
    .with_for_update()
)


def rules(tx: Transaction, connection_id: str) -> mdm_service_pb2.Rules:
    """Read a connection's rules; those that nobody set do nothing and have version 0."""
    return _rules_message(connection_id, tx.execute(_RULES, {"connection_id": connection_id}).one_or_none())


def lock_rules(tx: Transaction, connection_id: str) -> mdm_service_pb2.Rules:
    """Read a connection's rules and hold them; the connection's row stands in for rules that nobody set yet."""
    tx.execute(_LOCK_CONNECTION, {"connection_id": connection_id})
    return _rules_message(connection_id, tx.execute(_LOCK_RULES, {"connection_id": connection_id}).one_or_none())


def save_rules(tx: Transaction, workspace_id: str, rules: mdm_service_pb2.Rules) -> None:
    """Keep a connection's rules."""
    tx.execute(
        _UPSERT_RULES[tx.dialect],
        {
            "connection_id": rules.connection_id,
            "workspace_id": workspace_id,
            "on_create": rules.on_create,
            "behaviour": rules.on_deactivate.WhichOneof("behaviour"),
            "policy_id": rules.on_deactivate.change_policy.policy_id or None,
            "version": rules.rule_version,
        },
    )


def connections_ruled_by(tx: Transaction, workspace_id: str, policy_id: str, limit: int) -> list[str]:
    """List the connections whose rules give the policy, at most `limit`."""
    statement = (
        select(_rules.c.connection_id)
        .where(_rules.c.workspace_id == workspace_id, _rules.c.policy_id == policy_id)
        .order_by(_rules.c.connection_id)
        .limit(limit)
    )
    return list(tx.execute(statement).scalars())


def _rules_message(connection_id: str, row: Row[Any] | None) -> mdm_service_pb2.Rules:
    message = mdm_service_pb2.Rules(connection_id=connection_id, on_create=mdm_service_pb2.ON_CREATE_NOTHING)
    if row is None:
        message.on_deactivate.do_nothing.SetInParent()
        return message
    message.on_create = row.on_create
    message.rule_version = row.version
    getattr(message.on_deactivate, row.behaviour).SetInParent()
    if row.policy_id:
        message.on_deactivate.change_policy.policy_id = row.policy_id
    return message


# Employees ------------------------------------------------------------------------------------------------------------

_INSERT_EMPLOYEE = {
    name: into.on_conflict_do_nothing(index_elements=["workspace_id", "email_key"]).returning(_employees.c.employee_id)
    for name, into in _inserts(_employees).items()
}
_EMPLOYEE_BY_EMAIL = select(_employees).where(
    _employees.c.workspace_id == bindparam("workspace_id"), _employees.c.email_key == bindparam("email_key")
)
_LOCK_EMPLOYEE_BY_EMAIL = _EMPLOYEE_BY_EMAIL.with_for_update()
_EMPLOYEE_OF_USER = select(_employees).where(
    _employees.c.workspace_id == bindparam("workspace_id"), _employees.c.user_id == bindparam("user_id")
)
_LOCK_EMPLOYEE_OF_USER = _EMPLOYEE_OF_USER.with_for_update()
_LIVING_USER = select(_users.c.active).where(
    _users.c.workspace_id == bindparam("workspace_id"), _users.c.user_id == bindparam("user_id")
)
_EMPLOYEE_COLUMNS = ("email", "email_key", "display_name", "connection_id", "user_id", "metadata", "active")


def insert_employee(tx: Transaction, employee: mdm_service_pb2.Employee, email_key: str) -> bool:
    """Create an employee; False when the workspace has one with that e-mail address."""
    parameters = {
        "employee_id": employee.employee_id,
        "workspace_id": employee.workspace_id,
        "created_at": employee.created_time.ToDatetime(UTC),
        **_employee_parameters(employee, email_key),
    }
    return tx.execute(_INSERT_EMPLOYEE[tx.dialect], parameters).one_or_none() is not None


def save_employee(tx: Transaction, employee: mdm_service_pb2.Employee, email_key: str) -> None:
    """Keep an employee whose row is held."""
    tx.execute(
        update(_employees)
        .where(_employees.c.workspace_id == employee.workspace_id, _employees.c.employee_id == employee.employee_id)
        .values(_employee_parameters(employee, email_key))
    )


def delete_employee(tx: Transaction, workspace_id: str, employee_id: str) -> None:
    """Remove an employee whose row is held and who owns no device any more."""
    tx.execute(
        delete(_employees).where(_employees.c.workspace_id == workspace_id, _employees.c.employee_id == employee_id)
    )


def employee_by_email(tx: Transaction, workspace_id: str, email_key: str) -> mdm_service_pb2.Employee | None:
    """Read an employee by e-mail address."""
    row = tx.execute(_EMPLOYEE_BY_EMAIL, {"workspace_id": workspace_id, "email_key": email_key}).one_or_none()
    return None if row is None else _employee_message(row)


def lock_employee_by_email(tx: Transaction, workspace_id: str, email_key: str) -> mdm_service_pb2.Employee | None:
    """Read an employee by e-mail address and hold the row: no device comes to the employee meanwhile."""
    row = tx.execute(_LOCK_EMPLOYEE_BY_EMAIL, {"workspace_id": workspace_id, "email_key": email_key}).one_or_none()
    return None if row is None else _employee_message(row)


def employee_of_user(tx: Transaction, workspace_id: str, user_id: str) -> mdm_service_pb2.Employee | None:
    """Read the employee that follows a user."""
    row = tx.execute(_EMPLOYEE_OF_USER, {"workspace_id": workspace_id, "user_id": user_id}).one_or_none()
    return None if row is None else _employee_message(row)


def lock_employee_of_user(tx: Transaction, workspace_id: str, user_id: str) -> mdm_service_pb2.Employee | None:
    """Read the employee that follows a user and hold the row: no device comes to the employee meanwhile."""
    row = tx.execute(_LOCK_EMPLOYEE_OF_USER, {"workspace_id": workspace_id, "user_id": user_id}).one_or_none()
    return None if row is None else _employee_message(row)


def user_is_living(tx: Transaction, workspace_id: str, user_id: str) -> bool:
    """Say whether a user of any MDM connection of the workspace is there and active."""
    return bool(tx.execute(_LIVING_USER, {"workspace_id": workspace_id, "user_id": user_id}).scalar_one_or_none())


def employees(
    tx: Transaction, workspace_id: str, prefix: str, after: str | None, limit: int
) -> list[mdm_service_pb2.Employee]:
    """List employees in the order of their e-mail keys, after one of them; those whose key begins with `prefix`."""
    statement = select(_employees).where(
        _employees.c.workspace_id == workspace_id, *_range(_employees.c.email_key, prefix)
    )
    if after is not None:
        statement = statement.where(_employees.c.email_key > after)
    statement = statement.order_by(_employees.c.email_key).limit(limit)
    return [_employee_message(row) for row in tx.execute(statement)]


def _employee_parameters(employee: mdm_service_pb2.Employee, email_key: str) -> dict[str, Any]:
    return {
        "email": employee.email,
        "email_key": email_key,
        "display_name": employee.display_name,
        "connection_id": employee.connection_id,
        "user_id": employee.user_id or None,
        "metadata": plain_struct(employee.metadata),
        "active": employee.active,
    }


def _employee_message(row: Row[Any]) -> mdm_service_pb2.Employee:
    values = row._mapping
    message = mdm_service_pb2.Employee(
        employee_id=row.employee_id,
        workspace_id=row.workspace_id,
        email=row.email,
        display_name=row.display_name,
        connection_id=row.connection_id,
        user_id=row.user_id or "",
        created_time=_timestamp(row.created_at),
        active=row.active,
    )
    if metadata := values["metadata"]:
        message.metadata.update(metadata)
    return message


# Policies -------------------------------------------------------------------------------------------------------------

_INSERT_POLICY = {
    name: into.on_conflict_do_nothing().returning(_policies.c.policy_id) for name, into in _inserts(_policies).items()
}


def insert_policy(tx: Transaction, policy: mdm_service_pb2.Policy, name_key: str) -> bool:
    """Create a policy; False when the workspace has one of that name."""
    parameters = {
        "policy_id": policy.policy_id,
        "workspace_id": policy.workspace_id,
        "name": policy.name,
        "name_key": name_key,
        "created_at": policy.created_time.ToDatetime(UTC),
    }
    return tx.execute(_INSERT_POLICY[tx.dialect], parameters).one_or_none() is not None


def lock_policy(tx: Transaction, workspace_id: str, policy_id: str) -> bool:
    """Hold a policy that is about to be used or deleted: of the two, one waits for the other. False: no such policy."""
    statement = (
        select(_policies.c.policy_id)
        .where(_policies.c.workspace_id == workspace_id, _policies.c.policy_id == policy_id)
        .with_for_update()
    )
    return tx.execute(statement).one_or_none() is not None


def delete_policy(tx: Transaction, workspace_id: str, policy_id: str) -> None:
    """Delete a policy whose row is held and which nothing uses."""
    tx.execute(delete(_policies).where(_policies.c.workspace_id == workspace_id, _policies.c.policy_id == policy_id))


def policies(
    tx: Transaction, workspace_id: str, after: str | None, limit: int
) -> list[tuple[str, mdm_service_pb2.Policy]]:
    """List policies with their name keys, in the order of these, after one of them."""
    statement = select(_policies).where(_policies.c.workspace_id == workspace_id)
    if after is not None:
        statement = statement.where(_policies.c.name_key > after)
    statement = statement.order_by(_policies.c.name_key).limit(limit)
    return [
        (
            row.name_key,
            mdm_service_pb2.Policy(
                policy_id=row.policy_id,
                workspace_id=row.workspace_id,
                name=row.name,
                created_time=_timestamp(row.created_at),
            ),
        )
        for row in tx.execute(statement)
    ]


def counts(tx: Transaction, workspace_id: str, connection_id: str) -> mdm_service_pb2.GetCountsResponse:
    """Count what a workspace has, or the employees of a connection and the enrolled devices that they own."""
    employed = _employees.c.workspace_id == workspace_id
    enrolled = and_(_devices.c.workspace_id == workspace_id, _devices.c.state == ENROLLED)
    if not connection_id:
        return mdm_service_pb2.GetCountsResponse(
            employees=tx.execute(select(func.count()).where(employed)).scalar_one(),
            devices=tx.execute(select(func.count()).where(enrolled)).scalar_one(),
            policies=tx.execute(select(func.count()).where(_policies.c.workspace_id == workspace_id)).scalar_one(),
            segments=tx.execute(select(func.count()).where(_segments.c.workspace_id == workspace_id)).scalar_one(),
        )
    # A device that is owned is enrolled. Nearly all belong to employees of one connection: those of the others are few,
    # and to look them up costs less than to look up the owner of each device.
    owned = and_(_devices.c.workspace_id == workspace_id, _devices.c.owner_employee_id.is_not(None))
    others = select(_employees.c.employee_id).where(employed, _employees.c.connection_id != connection_id)
    owned_by_others = and_(_devices.c.workspace_id == workspace_id, _devices.c.owner_employee_id.in_(others))
    return mdm_service_pb2.GetCountsResponse(
        employees=tx.execute(
            select(func.count()).where(employed, _employees.c.connection_id == connection_id)
        ).scalar_one(),
        devices=tx.execute(select(func.count()).where(owned)).scalar_one()
        - tx.execute(select(func.count()).where(owned_by_others)).scalar_one(),
    )


# Devices --------------------------------------------------------------------------------------------------------------

_INSERT_DEVICE = {
    name: into.on_conflict_do_nothing().returning(_devices.c.device_id) for name, into in _inserts(_devices).items()
}
_DEVICE_WITH_OWNER = select(_devices, _employees.c.email.label("owner_email")).select_from(
    _devices.outerjoin(_employees, _employees.c.employee_id == _devices.c.owner_employee_id)
)
_DEVICES_OF_EMPLOYEE = (
    _DEVICE_WITH_OWNER.where(
        _devices.c.workspace_id == bindparam("workspace_id"),
        _devices.c.owner_employee_id == bindparam("employee_id"),
        _devices.c.state == literal(ENROLLED),
    )
).order_by(_devices.c.device_id)


def insert_device(tx: Transaction, device: mdm_service_pb2.Device, command_version: int) -> bool:
    """Enroll a device that gets `command_version` commands at once; False when the serial number is enrolled."""
    parameters = {
        "device_id": device.device_id,
        "workspace_id": device.workspace_id,
        "serial": device.serial,
        "name": device.name,
        "platform": device.platform,
        "policy_id": device.policy_id or None,
        "owner_employee_id": device.owner_employee_id or None,
        "state": device.state,
        "assignment_epoch": device.assignment_epoch,
        "command_version": command_version,
        "enrolled_at": device.enrolled_time.ToDatetime(UTC),
    }
    return tx.execute(_INSERT_DEVICE[tx.dialect], parameters).one_or_none() is not None


def device(tx: Transaction, workspace_id: str, device_id: str) -> mdm_service_pb2.Device | None:
    """Read a device by id."""
    statement = _DEVICE_WITH_OWNER.where(_devices.c.workspace_id == workspace_id, _devices.c.device_id == device_id)
    row = tx.execute(statement).one_or_none()
    return None if row is None else _device_message(row)


def lock_device(tx: Transaction, workspace_id: str, device_id: str) -> mdm_service_pb2.Device | None:
    """Read a device by id and hold the row."""
    statement = _DEVICE_WITH_OWNER.where(
        _devices.c.workspace_id == workspace_id, _devices.c.device_id == device_id
    ).with_for_update(of=_devices)
    row = tx.execute(statement).one_or_none()
    return None if row is None else _device_message(row)


def device_by_id_or_serial(tx: Transaction, workspace_id: str, device: str) -> mdm_service_pb2.Device | None:
    """Read a device by id, else by serial number: the enrolled one, else the one enrolled last."""
    statement = _DEVICE_WITH_OWNER.where(_devices.c.workspace_id == workspace_id)
    # One for each index: of a condition with OR a database may make a walk through the workspace.
    row = tx.execute(statement.where(_devices.c.device_id == device)).one_or_none()
    if row is None:
        by_serial = statement.where(_devices.c.serial == device)
        row = tx.execute(by_serial.order_by(_devices.c.state, _devices.c.enrolled_at.desc()).limit(1)).one_or_none()
    return None if row is None else _device_message(row)


def devices_of_employee(tx: Transaction, workspace_id: str, employee_id: str) -> list[mdm_service_pb2.Device]:
    """List the enrolled devices that an employee owns, in the order of their ids."""
    rows = tx.execute(_DEVICES_OF_EMPLOYEE, {"workspace_id": workspace_id, "employee_id": employee_id})
    return [_device_message(row) for row in rows]


def devices(
    tx: Transaction,
    workspace_id: str,
    owner_email_key: str,
    serial_prefix: str,
    after: tuple[str, str] | None,
    limit: int,
) -> list[mdm_service_pb2.Device]:
    """List devices in the order of serial number and id, after one of them.

    Of one owner unless the key is empty; those whose serial number begins with `serial_prefix`.
    """
    statement = _DEVICE_WITH_OWNER.where(
        _devices.c.workspace_id == workspace_id, *_range(_devices.c.serial, serial_prefix)
    )
    if owner_email_key:
        # With the workspace, for the index of addresses begins with it.
        statement = statement.where(
            _employees.c.workspace_id == workspace_id, _employees.c.email_key == owner_email_key
        )
    if after is not None:
        statement = statement.where(tuple_(_devices.c.serial, _devices.c.device_id) > tuple_(*map(literal, after)))
    statement = statement.order_by(_devices.c.serial, _devices.c.device_id).limit(limit)
    return [_device_message(row) for row in tx.execute(statement)]


def devices_in_segment(
    tx: Transaction, workspace_id: str, segment_id: str, after: str, limit: int
) -> list[mdm_service_pb2.Device]:
    """List the devices in a segment in the order of their ids, after one of them."""
    statement = (
        _DEVICE_WITH_OWNER.join(_segment_devices, _segment_devices.c.device_id == _devices.c.device_id)
        .where(
            _segment_devices.c.segment_id == segment_id,
            _segment_devices.c.device_id > after,
            _devices.c.workspace_id == workspace_id,
        )
        .order_by(_segment_devices.c.device_id)
        .limit(limit)
    )
    return [_device_message(row) for row in tx.execute(statement)]


def enrolled_devices(tx: Transaction, workspace_id: str, limit: int) -> list[mdm_service_pb2.Device]:
    """List the first enrolled devices of a workspace in the order of their ids, at most `limit`."""
    statement = _DEVICE_WITH_OWNER.where(
        _devices.c.workspace_id == workspace_id, _devices.c.state == literal(ENROLLED)
    ).order_by(_devices.c.device_id)
    return [_device_message(row) for row in tx.execute(statement.limit(limit))]


def devices_with_policy(tx: Transaction, workspace_id: str, policy_id: str, limit: int) -> list[str]:
    """List the serial numbers of enrolled devices that have the policy, at most `limit`."""
    statement = (
        select(_devices.c.serial)
        .where(
            _devices.c.workspace_id == workspace_id,
            _devices.c.policy_id == policy_id,
            _devices.c.state == literal(ENROLLED),
        )
        .order_by(_devices.c.serial)
        .limit(limit)
    )
    return list(tx.execute(statement).scalars())


def give_device(tx: Transaction, workspace_id: str, device_id: str, employee_id: str, assignment_epoch: int) -> bool:
    """Give an enrolled device to an employee, or to nobody (empty id); the epoch rises.

    False, and no change, when the device has changed hands since `assignment_epoch` or is not enrolled any more.
    """
    statement = (
        update(_devices)
        .where(_still(workspace_id, device_id, assignment_epoch))
        .values(owner_employee_id=employee_id or None, assignment_epoch=_devices.c.assignment_epoch + 1)
        .returning(_devices.c.device_id)
    )
    return tx.execute(statement).one_or_none() is not None


def set_device_policy(
    tx: Transaction, workspace_id: str, device_id: str, policy_id: str, assignment_epoch: int
) -> int | None:
    """Give an enrolled device a policy; answers the version of the command that must tell it so.

    None, and no change, when the device has changed hands since `assignment_epoch` or is not enrolled any more.
    """
    statement = (
        update(_devices)
        .where(_still(workspace_id, device_id, assignment_epoch))
        .values(policy_id=policy_id, command_version=_devices.c.command_version + 1)
        .returning(_devices.c.command_version)
    )
    return tx.execute(statement).scalar_one_or_none()


def retire_device(tx: Transaction, workspace_id: str, device_id: str, assignment_epoch: int) -> int | None:
    """Remove an enrolled device from management: it has no owner and is in no segment; the epoch rises.

    Answers the version of the command that must tell it so; None, and no change, when the device has changed hands
    since `assignment_epoch` or is not enrolled any more.
    """
    statement = (
        update(_devices)
        .where(_still(workspace_id, device_id, assignment_epoch))
        .values(
            state=REMOVED,
            owner_employee_id=None,
            assignment_epoch=_devices.c.assignment_epoch + 1,
            command_version=_devices.c.command_version + 1,
        )
        .returning(_devices.c.command_version)
    )
    version = tx.execute(statement).scalar_one_or_none()
    if version is not None:
        tx.execute(
            delete(_segment_devices).where(
                _segment_devices.c.workspace_id == workspace_id, _segment_devices.c.device_id == device_id
            )
        )
    return version


def _still(workspace_id: str, device_id: str, assignment_epoch: int) -> ColumnElement[bool]:
    return and_(
        _devices.c.workspace_id == workspace_id,
        _devices.c.device_id == device_id,
        _devices.c.state == literal(ENROLLED),
        _devices.c.assignment_epoch == assignment_epoch,
    )


def _device_message(row: Row[Any]) -> mdm_service_pb2.Device:
    return mdm_service_pb2.Device(
        device_id=row.device_id,
        workspace_id=row.workspace_id,
        serial=row.serial,
        name=row.name,
        platform=row.platform,
        policy_id=row.policy_id or "",
        owner_email=row.owner_email or "",
        owner_employee_id=row.owner_employee_id or "",
        state=row.state,
        assignment_epoch=row.assignment_epoch,
        enrolled_time=_timestamp(row.enrolled_at),
    )


# Device commands ------------------------------------------------------------------------------------------------------


def insert_command(tx: Transaction, command: mdm_service_pb2.DeviceCommand, version: int) -> None:
    """Keep a command under its position among the device's commands."""
    tx.execute(
        insert(_commands),
        {
            "command_id": command.command_id,
            "workspace_id": command.workspace_id,
            "device_id": command.device_id,
            "version": version,
            "kind": command.kind,
            "policy_id": command.policy_id or None,
            "state": command.state,
            "error": "",
            "created_at": command.created_time.ToDatetime(UTC),
            "reported_at": None,
        },
    )


def lock_command(tx: Transaction, workspace_id: str, command_id: str) -> mdm_service_pb2.DeviceCommand | None:
    """Read a command and hold the row."""
    statement = (
        select(_commands)
        .where(_commands.c.workspace_id == workspace_id, _commands.c.command_id == command_id)
        .with_for_update()
    )
    row = tx.execute(statement).one_or_none()
    return None if row is None else _command_message(row)


def report_command(tx: Transaction, command: mdm_service_pb2.DeviceCommand) -> None:
    """Keep what a device reported on a command whose row is held."""
    tx.execute(
        update(_commands)
        .where(_commands.c.workspace_id == command.workspace_id, _commands.c.command_id == command.command_id)
        .values(state=command.state, error=command.error, reported_at=command.reported_time.ToDatetime(UTC))
    )


def commands(
    tx: Transaction, workspace_id: str, device_id: str, before: int | None, limit: int
) -> list[tuple[int, mdm_service_pb2.DeviceCommand]]:
    """List a device's commands with their positions, newest first, before a position."""
    statement = select(_commands).where(_commands.c.workspace_id == workspace_id, _commands.c.device_id == device_id)
    if before is not None:
        statement = statement.where(_commands.c.version < before)
    statement = statement.order_by(_commands.c.version.desc()).limit(limit)
    return [(row.version, _command_message(row)) for row in tx.execute(statement)]


def resend_pending_commands(tx: Transaction) -> int:
    """Have the outbox send the commands again that no device has reported on, of every workspace; answers how many."""
    pending = select(_commands.c.device_id, _commands.c.version).where(
        _commands.c.state == literal(mdm_service_pb2.DEVICE_COMMAND_STATE_PENDING)
    )
    statement = (
        update(_outbox)
        .where(
            _outbox.c.sent_at.is_not(None),
            _outbox.c.aggregate_kind == "device",
            tuple_(_outbox.c.aggregate_id, _outbox.c.version).in_(pending),
        )
        .values(sent_at=None, stream_sequence=None)
    )
    return tx.execute(statement).rowcount


def _command_message(row: Row[Any]) -> mdm_service_pb2.DeviceCommand:
    return mdm_service_pb2.DeviceCommand(
        command_id=row.command_id,
        workspace_id=row.workspace_id,
        device_id=row.device_id,
        kind=row.kind,
        policy_id=row.policy_id or "",
        state=row.state,
        error=row.error,
        created_time=_timestamp(row.created_at),
        reported_time=None if row.reported_at is None else _timestamp(row.reported_at),
    )


# Segments -------------------------------------------------------------------------------------------------------------

_INSERT_SEGMENT = {
    name: into.on_conflict_do_nothing().returning(_segments.c.segment_id) for name, into in _inserts(_segments).items()
}
_ADD_TO_SEGMENT = {name: into.on_conflict_do_nothing() for name, into in _inserts(_segment_devices).items()}
_GRANT = {
    name: into.on_conflict_do_update(
        index_elements=["segment_id", "email_key"],
        set_={"permission": into.excluded.permission, "email": into.excluded.email},
    )
    for name, into in _inserts(_grants).items()
}


def insert_segment(tx: Transaction, segment: mdm_service_pb2.Segment, name_key: str) -> bool:
    """Create a segment; False when the workspace has one of that name."""
    parameters = {
        "segment_id": segment.segment_id,
        "workspace_id": segment.workspace_id,
        "name": segment.name,
        "name_key": name_key,
    }
    return tx.execute(_INSERT_SEGMENT[tx.dialect], parameters).one_or_none() is not None


def segment(
    tx: Transaction, workspace_id: str, segment_id: str, *, omit_devices: bool = False
) -> mdm_service_pb2.Segment | None:
    """Read a segment with its devices, or their number alone, and permissions."""
    statement = select(_segments).where(_segments.c.workspace_id == workspace_id, _segments.c.segment_id == segment_id)
    found = _segment_messages(tx, workspace_id, tx.execute(statement).all(), omit_devices=omit_devices)
    return found[0][1] if found else None


def segments(
    tx: Transaction,
    workspace_id: str,
    after: str | None,
    limit: int,
    *,
    grantee_key: str = "",
    omit_devices: bool = False,
) -> list[tuple[str, mdm_service_pb2.Segment]]:
    """List segments with their name keys, in the order of these, after one of them.

    Those that a collaborator has a permission on unless the key is empty.
    """
    statement = select(_segments).where(_segments.c.workspace_id == workspace_id)
    if grantee_key:
        granted = select(_grants.c.segment_id).where(
            _grants.c.workspace_id == workspace_id, _grants.c.email_key == grantee_key
        )
        statement = statement.where(_segments.c.segment_id.in_(granted))
    if after is not None:
        statement = statement.where(_segments.c.name_key > after)
    statement = statement.order_by(_segments.c.name_key).limit(limit)
    return _segment_messages(tx, workspace_id, tx.execute(statement).all(), omit_devices=omit_devices)


def add_device_to_segment(tx: Transaction, workspace_id: str, segment_id: str, device_id: str) -> None:
    """Put a device into a segment, once."""
    tx.execute(
        _ADD_TO_SEGMENT[tx.dialect],
        {"segment_id": segment_id, "device_id": device_id, "workspace_id": workspace_id},
    )


def save_grant(
    tx: Transaction, workspace_id: str, segment_id: str, grant: mdm_service_pb2.SegmentGrant, email_key: str
) -> None:
    """Let a collaborator view or manage a segment's devices, whatever was allowed before."""
    tx.execute(
        _GRANT[tx.dialect],
        {
            "segment_id": segment_id,
            "email_key": email_key,
            "workspace_id": workspace_id,
            "email": grant.email,
            "permission": grant.permission,
        },
    )


def delete_grant(tx: Transaction, workspace_id: str, segment_id: str, email_key: str) -> bool:
    """End a collaborator's permission on a segment; False when there is none."""
    statement = (
        delete(_grants)
        .where(
            _grants.c.workspace_id == workspace_id,
            _grants.c.segment_id == segment_id,
            _grants.c.email_key == email_key,
        )
        .returning(_grants.c.segment_id)
    )
    return tx.execute(statement).one_or_none() is not None


def visible_devices(tx: Transaction, workspace_id: str, email_key: str) -> list[mdm_service_pb2.VisibleDevice]:
    """List the enrolled devices in a collaborator's segments by serial number, each with the strongest permission."""
    permissions = (
        select(_segment_devices.c.device_id, func.max(_grants.c.permission).label("permission"))
        .select_from(_grants.join(_segment_devices, _segment_devices.c.segment_id == _grants.c.segment_id))
        .where(
            _grants.c.workspace_id == workspace_id,
            _grants.c.email_key == email_key,
            _segment_devices.c.workspace_id == workspace_id,
        )
        .group_by(_segment_devices.c.device_id)
        .subquery()
    )
    statement = (
        _DEVICE_WITH_OWNER.add_columns(permissions.c.permission)
        .join(permissions, permissions.c.device_id == _devices.c.device_id)
        .where(_devices.c.workspace_id == workspace_id, _devices.c.state == literal(ENROLLED))
        .order_by(_devices.c.serial, _devices.c.device_id)
    )
    return [
        mdm_service_pb2.VisibleDevice(device=_device_message(row), permission=row.permission)
        for row in tx.execute(statement)
    ]


def _segment_messages(
    tx: Transaction, workspace_id: str, rows: Sequence[Row[Any]], *, omit_devices: bool
) -> list[tuple[str, mdm_service_pb2.Segment]]:
    messages = {
        row.segment_id: mdm_service_pb2.Segment(segment_id=row.segment_id, workspace_id=row.workspace_id, name=row.name)
        for row in rows
    }
    if messages:
        here = and_(_segment_devices.c.workspace_id == workspace_id, _segment_devices.c.segment_id.in_(list(messages)))
        if omit_devices:
            of_each = select(_segment_devices.c.segment_id, func.count().label("device_count")).where(here)
            for row in tx.execute(of_each.group_by(_segment_devices.c.segment_id)):
                messages[row.segment_id].device_count = row.device_count
        else:
            for member in tx.execute(select(_segment_devices).where(here).order_by(_segment_devices.c.device_id)):
                messages[member.segment_id].device_ids.append(member.device_id)
            for message in messages.values():
                message.device_count = len(message.device_ids)
        grants = (
            select(_grants)
            .where(_grants.c.workspace_id == workspace_id, _grants.c.segment_id.in_(list(messages)))
            .order_by(_grants.c.email_key)
        )
        for grant in tx.execute(grants):
            messages[grant.segment_id].grants.add(email=grant.email, permission=grant.permission)
    return [(row.name_key, messages[row.segment_id]) for row in rows]


def _range(column: Any, prefix: str) -> list[ColumnElement[bool]]:
    """Return the conditions on texts that begin with one; they lie side by side, being compared by code point."""
    return [column >= prefix, column < prefix + chr(sys.maxunicode)] if prefix else []


# Values ---------------------------------------------------------------------------------------------------------------


def plain_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Make plain values of a Struct, by a walk: `json_format` costs ten times as much."""
    return {name: _plain_value(value) for name, value in struct.fields.items()}


def _plain_value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return plain_struct(value.struct_value)
    if kind == "list_value":
        return [_plain_value(element) for element in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _timestamp(time: datetime) -> timestamp_pb2.Timestamp:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromDatetime(time)
    return stamp
