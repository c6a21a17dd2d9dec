"""Comparison and repair: the MDM service's side of `chassis.reconcile`.

What a user's employee should be like is computed anew from the directory's user and the rules. Where the answer depends
on the rules of the time, the newest effect says which held. Groups are not kept here, so they are not compared.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from rollcall.directory.v1 import connection_service_pb2, directory_service_pb2, events_pb2, user_pb2
from rollcall.mdm.v1 import mdm_service_pb2

from chassis.consumer import Event
from chassis.database import Database, Transaction
from chassis.reconcile import Comparison, Connection, State
from mdm_service import closures, provisioning, repository
from mdm_service.directory import Directory
from mdm_service.domain import accounts, deactivation
from mdm_service.employees import EMAIL_TAKEN, Account
from mdm_service.errors import ConnectionNotFound

_KINDS = {
    "user": directory_service_pb2.RESOURCE_KIND_USER,
    "connection": directory_service_pb2.RESOURCE_KIND_CONNECTION,
}
_TAKING = frozenset(
    {
        deactivation.UNASSIGN_DEVICE,
        deactivation.CHANGE_POLICY,
        deactivation.REMOVE_DEVICE,
        deactivation.DEACTIVATE_EMPLOYEE,
        deactivation.REMOVE_EMPLOYEE,
    }
)
_COMING_AND_GOING = ("CREATE_EMPLOYEE", "LINK_EMPLOYEE", "RESTORE_EMPLOYEE", deactivation.REMOVE_EMPLOYEE)

EMPLOYEE, NOT_ACTIVE, NOT_OFFBOARDED = "employee", "employee.active", "employee.not_offboarded"

# What is repaired otherwise than by the difference between the user there and the user here.
_STEPS: Mapping[str, Callable[[Transaction, Event, Account], None]] = {
    EMPLOYEE: provisioning.provide_again,
    NOT_ACTIVE: provisioning.reactivate_again,
    NOT_OFFBOARDED: provisioning.offboard_again,
}


class MdmView:
    """What the MDM service keeps of the directory, and what follows from it."""

    def __init__(self, db: Database, directory: Directory) -> None:
        self._db = db
        self._directory = directory

    async def connections(self, connection_id: str) -> list[Connection]:
        """List one connection, or all of MDM that are known there or here.

        Raises ConnectionNotFound, DirectoryUnavailable.
        """
        if connection_id:
            return [await self._connection(connection_id)]
        found = {
            item.connection_id: Connection(item.connection_id, item.workspace_id, provisioning.PORTAL)
            for item in await self._directory.mdm_connections()
        }
        for projected_id, workspace_id in await self._db.read(repository.projected_connections):
            found.setdefault(projected_id, Connection(projected_id, workspace_id, provisioning.PORTAL))
        return [found[key] for key in sorted(found)]

    async def _connection(self, connection_id: str) -> Connection:
        if "\0" in connection_id:
            raise ConnectionNotFound(connection_id)
        there = await self._directory.connection(connection_id)
        if there is None:
            workspace_id = await self._db.read(lambda tx: repository.connection_workspace(tx, connection_id))
        elif there.portal == connection_service_pb2.PORTAL_MDM:
            workspace_id = there.workspace_id
        else:
            workspace_id = ""
        if not workspace_id:
            raise ConnectionNotFound(connection_id)
        return Connection(connection_id, workspace_id, provisioning.PORTAL)

    async def snapshot(self, connection: Connection) -> AsyncIterator[State]:
        """Stream users. Raises DirectoryUnavailable."""
        async for user in self._directory.stream_users(connection.connection_id):
            yield _user(connection, user, alone=False)

    async def current(self, connection: Connection, kind: str, resource_id: str) -> State:
        """Read one resource. Raises DirectoryUnavailable."""
        if kind == "workspace":
            return _closed_workspace(resource_id)
        found = await self._directory.snapshot(connection.connection_id, _KINDS[kind], resource_id)
        if found is not None and found.HasField("user"):
            return _user(connection, found.user, alone=True)
        if found is not None and found.HasField("connection"):
            return _connection(connection, found.connection)
        return _gone(connection, kind, resource_id, 0 if found is None else found.tombstone.version)

    def held(self, tx: Transaction, connection: Connection) -> list[tuple[str, str]]:
        """List the users that are projected or followed."""
        return [("user", user_id) for user_id in repository.user_ids(tx, connection.connection_id)]

    async def closed_workspaces(self) -> list[State]:
        """List the workspaces that live here and not in the directory. Raises DirectoryUnavailable."""
        here = await self._db.read(repository.living_workspaces)
        if not here:
            return []
        there = await self._directory.workspaces()
        # One may have been created since the list was read.
        suspects = [workspace_id for workspace_id in here if workspace_id not in there]
        return [
            _closed_workspace(workspace_id)
            for workspace_id in suspects
            if not await self._directory.has_workspace(workspace_id)
        ]

    def is_destructive(self, action: str, before: Any, after: Any) -> bool:
        """Whatever offboarding does to an employee or a device takes something away."""
        return action in _TAKING


def _origin(connection: Connection) -> events_pb2.Origin:
    return events_pb2.Origin(
        connection_id=connection.connection_id, workspace_id=connection.workspace_id, portal=connection.portal
    )


def _user(connection: Connection, user: user_pb2.User, *, alone: bool) -> State:
    account = Account.of_user(_origin(connection), user)

    def compare(tx: Transaction) -> Comparison:
        known = repository.user(tx, connection.connection_id, user.id)
        if known is None:
            return Comparison(False)
        fields = [name for name in ("user_name", "email", "active") if getattr(known, name) != getattr(account, name)]
        return Comparison(True, (*fields, *_employee_fields(tx, account, known)))

    def apply(tx: Transaction, event: Event, fields: Sequence[str]) -> None:
        step = next((_STEPS[field] for field in fields if field in _STEPS), provisioning.restore_user)
        step(tx, event, account)

    return State("user", user.id, user.version, False, compare, apply, alone=alone)


def _employee_fields(tx: Transaction, account: Account, known: repository.UserProjection) -> list[str]:
    employee = repository.employee_of_user(tx, account.workspace_id, account.user_id)
    rules = repository.rules(tx, account.connection_id)
    if employee is None:
        return [EMPLOYEE] if _is_employee_missing(tx, account, known, rules) else []
    fields = []
    if account.email and account.email != employee.email and not _is_taken(tx, account, employee.employee_id):
        fields.append("employee.email")
    if employee.display_name != account.display_name:
        fields.append("employee.display_name")
    if employee.metadata != account.metadata:
        fields.append("employee.metadata")
    if account.active and known.active and not employee.active:
        fields.append(NOT_ACTIVE)
    behaviour = rules.on_deactivate.WhichOneof("behaviour") or "do_nothing"
    if not (account.active or known.active) and employee.active and behaviour != "do_nothing":
        # The rules of its time may have spared the employee.
        _, outcome, _ = repository.last_effect(
            tx, account.workspace_id, account.user_id, rule=provisioning.ON_DEACTIVATE
        )
        if outcome != "SKIPPED":
            fields.append(NOT_OFFBOARDED)
    return fields


def _is_taken(tx: Transaction, account: Account, own_id: str) -> bool:
    other = repository.employee_by_email(tx, account.workspace_id, accounts.email_key(account.email))
    return other is not None and other.employee_id != own_id


def _is_employee_missing(
    tx: Transaction, account: Account, known: repository.UserProjection, rules: mdm_service_pb2.Rules
) -> bool:
    if not (account.active and known.active) or rules.on_create != mdm_service_pb2.ON_CREATE_CREATE_EMPLOYEE:
        return False
    if known.obstacle == EMAIL_TAKEN:
        return False
    if known.obstacle:
        return bool(account.email)
    # Under the rules of its time the user may have got none.
    action, _, _ = repository.last_effect(tx, account.workspace_id, account.user_id, actions=_COMING_AND_GOING)
    return action not in ("", deactivation.REMOVE_EMPLOYEE)


def _connection(connection: Connection, snapshot: directory_service_pb2.ConnectionSnapshot) -> State:
    def compare(tx: Transaction) -> Comparison:
        enabled = repository.connection_enabled(tx, connection.connection_id)
        if enabled is None:
            # Nothing is kept of the connections of a workspace that is gone.
            is_closed = repository.workspace_is_known(tx, connection.workspace_id) is False
            return Comparison(is_closed)
        return Comparison(True, () if enabled == snapshot.enabled else ("enabled",))

    def apply(tx: Transaction, event: Event, fields: Sequence[str]) -> None:
        provisioning.restore_connection(tx, _origin(connection), enabled=snapshot.enabled)

    return State("connection", connection.connection_id, snapshot.version, False, compare, apply, alone=True)


def _gone(connection: Connection, kind: str, resource_id: str, version: int) -> State:
    def compare(tx: Transaction) -> Comparison:
        if kind == "connection":
            return Comparison(repository.connection_enabled(tx, resource_id) is not None)
        if repository.user(tx, connection.connection_id, resource_id) is not None:
            return Comparison(True)
        return Comparison(repository.employee_of_user(tx, connection.workspace_id, resource_id) is not None)

    def apply(tx: Transaction, event: Event, fields: Sequence[str]) -> None:
        provisioning.remove_gone(tx, event, _origin(connection))

    return State(kind, resource_id, version, True, compare, apply, alone=True)


def _closed_workspace(workspace_id: str) -> State:
    def compare(tx: Transaction) -> Comparison:
        return Comparison(bool(repository.workspace_is_known(tx, workspace_id)))

    def apply(tx: Transaction, event: Event, fields: Sequence[str]) -> None:
        repository.close_workspace(tx, workspace_id)
        closures.begin(tx, event, workspace_id)

    # Its devices leave management afterwards, in the background.
    return State("workspace", workspace_id, 1, True, compare, apply, destructive=True, alone=True)
