"""Comparison and repair: the portal service's side of `chassis.reconcile`.

What a user's account should be like is computed anew from the directory's user, the groups and the rules. Where the
answer depends on what an administrator did or on which rules held at the time, the newest effect says so.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import grpc
from rollcall.directory.v1 import directory_service_pb2 as directory_pb2
from rollcall.directory.v1.events_pb2 import Origin
from rollcall.directory.v1.group_pb2 import Member
from rollcall.directory.v1.user_pb2 import User
from rollcall.portal.v1.portal_service_pb2 import (
    ON_CREATE_NOTHING,
    ON_DEACTIVATE_NOTHING,
    ROLE_MODE_CONTINUOUS,
    ROLE_SOURCE_MANUAL,
    Role,
)

from chassis.consumer import Event
from chassis.database import Database, Transaction
from chassis.errors import from_rpc_error
from chassis.reconcile import Comparison, Connection, State
from portal_service import closures, provisioning, repository
from portal_service.accounts import ON_DEACTIVATE, AccountKind, facts_of
from portal_service.collaborators import COLLABORATOR, decide_roles, evident_choice, policy_of, restore_role
from portal_service.directory import Directory, portal_name
from portal_service.domain.accounts import AccountState, email_key
from portal_service.domain.roles import Choice, choose, takes_admin
from portal_service.employees import EMPLOYEE
from portal_service.errors import ConnectionNotFound, DirectoryUnavailable, WrongPortal
from portal_service.repository import STATE_DELETED, STATE_DISABLED, STATE_ENABLED, AnyRow
from portal_service.rules import rules_for
from portal_service.workspaces import DASHBOARD, PORTALS

_KINDS = {
    "user": directory_pb2.RESOURCE_KIND_USER,
    "group": directory_pb2.RESOURCE_KIND_GROUP,
    "connection": directory_pb2.RESOURCE_KIND_CONNECTION,
}
_HAS_ACCOUNT = (AccountState.LINKED, AccountState.NEW_EMAIL_TAKEN)
# Members that cost as much to compare as one user.
_MEMBERS_PER_WEIGHT = 50

ACCOUNT, ACCOUNT_ROLE, NOT_REMOVED = "account", "account.role", "account.not_removed"


class PortalView:
    """What the portal service keeps of the directory, and what follows from it."""

    def __init__(self, db: Database, directory: Directory) -> None:
        """Compares `db` with `directory`."""
        self._db = db
        self._directory = directory

    async def connections(self, connection_id: str) -> list[Connection]:
        """Returns one connection, or all of DASHBOARD and STORE that are known there or here.

        Raises ConnectionNotFound, WrongPortal, DirectoryUnavailable.
        """
        if connection_id:
            return [await self._connection(connection_id)]
        found = {
            item.connection_id: Connection(item.connection_id, item.workspace_id, portal_name(item))
            for item in await self._directory.list_connections(PORTALS)
        }
        for row in await self._db.read(repository.list_living_connections):
            if row.portal in PORTALS and row.connection_id not in found:
                found[row.connection_id] = Connection(row.connection_id, row.workspace_id, row.portal)
        return [found[key] for key in sorted(found)]

    async def _connection(self, connection_id: str) -> Connection:
        if not repository.is_storable(connection_id):
            raise ConnectionNotFound(connection_id)
        there = await self._directory.find_connection(connection_id)
        if there is not None:
            found = Connection(there.connection_id, there.workspace_id, portal_name(there))
        else:
            here = await self._db.read(lambda tx: repository.find_connection(tx, connection_id))
            if here is None:
                raise ConnectionNotFound(connection_id)
            found = Connection(here.connection_id, here.workspace_id, here.portal)
        if found.portal not in PORTALS:
            raise WrongPortal(
                "connection_id", "must be a connection of DASHBOARD or STORE", found.portal, connection_id
            )
        return found

    async def snapshot(self, connection: Connection) -> AsyncIterator[State]:
        """Streams users, then groups. Raises DirectoryUnavailable."""
        for kind in ("user", "group"):
            async for state in self._read(connection, kind, ""):
                if state.kind == kind:
                    yield state

    async def current(self, connection: Connection, kind: str, resource_id: str) -> State:
        """Reads one resource; raises DirectoryUnavailable."""
        if kind == "workspace":
            return _closed_workspace(resource_id)
        async with aclosing(self._read(connection, kind, resource_id)) as states:
            async for state in states:
                return state
        return _gone(connection, kind, resource_id, 0)

    async def _read(self, connection: Connection, kind: str, resource_id: str) -> AsyncGenerator[State, None]:
        members: list[Member] = []
        alone = bool(resource_id)
        stream = self._directory.snapshot(connection.connection_id, _KINDS[kind], resource_id)
        try:
            async for item in stream:
                match item.WhichOneof("item"):
                    case "user":
                        yield _user(connection, item.user, alone)
                    case "group":
                        members.extend(item.group.members)
                        if not item.group.more:
                            yield _group(connection, item.group.group, members, alone)
                            members = []
                    case "connection":
                        yield _connection(connection, item.connection.enabled, item.connection.version)
                    case "tombstone":
                        yield _gone(connection, kind, item.tombstone.id, item.tombstone.version)
        except grpc.RpcError as error:
            if from_rpc_error(error).code != grpc.StatusCode.NOT_FOUND:
                raise DirectoryUnavailable from error

    def held(self, tx: Transaction, connection: Connection) -> list[tuple[str, str]]:
        """Returns the users, accounts and groups that are kept."""
        users = repository.list_user_ids(tx, connection.connection_id)
        groups = repository.list_group_ids(tx, connection.connection_id)
        return [*(("user", user_id) for user_id in users), *(("group", group_id) for group_id in groups)]

    async def closed_workspaces(self) -> list[State]:
        """Returns the workspaces that live here and not in the directory. Raises DirectoryUnavailable."""
        here = await self._db.read(repository.list_living_workspaces)
        if not here:
            return []
        there = await self._directory.list_workspaces()
        # One may have been created since the list was read.
        suspects = [workspace_id for workspace_id in here if workspace_id not in there]
        return [
            _closed_workspace(workspace_id)
            for workspace_id in suspects
            if await self._directory.find_workspace(workspace_id) is None
        ]

    def is_destructive(self, action: str, before: Any, after: Any) -> bool:
        """Removals and lower roles take something away."""
        if action == "SET_ROLE":
            return Role.Value(f"ROLE_{before['role']}") > Role.Value(f"ROLE_{after['role']}")
        return action.startswith("REMOVE_")


def _origin(connection: Connection) -> Origin:
    return Origin(
        connection_id=connection.connection_id, workspace_id=connection.workspace_id, portal=connection.portal
    )


def _user(connection: Connection, user: User, alone: bool) -> State:
    facts = facts_of(user)

    def compare(tx: Transaction) -> Comparison:
        known = repository.find_user(tx, connection.connection_id, user.id)
        if known is None:
            return Comparison(False)
        fields = [
            name
            for name, value in (("user_name", user.user_name), ("active", user.active), *facts.items())
            if getattr(known, name) != value
        ]
        rules = repository.find_rules(tx, connection.connection_id)
        if rules is not None:
            fields += _account_fields(tx, rules, known, user, facts)
        return Comparison(True, tuple(fields))

    def apply(tx: Transaction, event: Event, fields: Sequence[str]) -> None:
        origin = _origin(connection)
        if ACCOUNT in fields and (rules := rules_for(tx, origin)) is not None:
            # It is tried for as if it had never been had.
            is_due = user.active and rules.on_create != ON_CREATE_NOTHING
            state = AccountState.EMAIL_TAKEN if is_due else AccountState.NONE
            repository.set_account_state(tx, rules.workspace_id, user.id, state)
        if NOT_REMOVED in fields:
            provisioning.repeat_deactivation(tx, event, origin, user)
        else:
            provisioning.restore_user(tx, event, origin, user)
        if ACCOUNT_ROLE in fields and (rules := rules_for(tx, origin)) is not None:
            if rules.role_mode == ROLE_MODE_CONTINUOUS:
                decide_roles(tx, event, rules, [user.id])
            else:
                restore_role(tx, event, rules, user.id)

    return State("user", user.id, user.version, False, compare, apply, alone=alone)


def _account_fields(tx: Transaction, rules: AnyRow, known: AnyRow, user: User, facts: Mapping[str, Any]) -> list[str]:
    kind: AccountKind = COLLABORATOR if rules.portal == DASHBOARD else EMPLOYEE
    account = kind.rows.find_follower(tx, rules.connection_id, user.id)
    if account is None:
        return [ACCOUNT] if _is_account_missing(tx, kind, rules, known, user, facts) else []
    fields = [] if known.account_state in _HAS_ACCOUNT else ["account.state"]
    email = facts["email"]
    if email and email != account.email:
        other = kind.rows.find(tx, rules.workspace_id, email_key(email))
        if other is None or other.id == account.id:
            fields.append("account.email")
    if facts["display_name"] and facts["display_name"] != account.display_name:
        fields.append("account.display_name")
    if facts["user_metadata"] != account.user_metadata:
        fields.append("account.metadata")
    if not user.active and not known.active and rules.on_deactivate != ON_DEACTIVATE_NOTHING:
        # It may have been spared by the rules of its time, or as the last ADMIN.
        outcome = repository.last_outcome(tx, rules.workspace_id, user.id, ON_DEACTIVATE)
        if outcome not in ("SKIPPED", "HELD"):
            fields.append(NOT_REMOVED)
    if kind is COLLABORATOR and _is_role_wrong(tx, rules, account):
        fields.append(ACCOUNT_ROLE)
    return fields


def _is_account_missing(
    tx: Transaction, kind: AccountKind, rules: AnyRow, known: AnyRow, user: User, facts: Mapping[str, Any]
) -> bool:
    state = AccountState(known.account_state)
    if state in _HAS_ACCOUNT:
        return True
    if not (state.awaited and user.active and facts["email"] and rules.on_create != ON_CREATE_NOTHING):
        return False
    other = kind.rows.find(tx, rules.workspace_id, email_key(facts["email"]))
    return other is None or not (other.user_id and repository.is_user_living(tx, rules.workspace_id, other.user_id))


def _is_role_wrong(tx: Transaction, rules: AnyRow, account: AnyRow) -> bool:
    """Says whether groups decide otherwise, or, under FIRST_PROVISIONING, the role is not the one that was given.

    Which groups decided then, and under which rules, nobody can tell any more; the newest effect tells what they said.
    """
    if account.role_source == ROLE_SOURCE_MANUAL or repository.is_under_review(tx, rules.connection_id):
        return False
    standing = Choice(account.role, account.role_source)
    if rules.role_mode == ROLE_MODE_CONTINUOUS:
        roles = repository.group_roles(tx, rules.connection_id, account.user_id) if rules.maps_groups else []
        choice = choose(policy_of(rules), roles)
    else:
        choice = evident_choice(tx, account) or standing
    if choice == standing:
        return False
    is_last = takes_admin(account.role, choice.role) and not repository.count_other_admins(
        tx, rules.workspace_id, account.id
    )
    return not is_last


def _group(connection: Connection, group: Any, members: Sequence[Member], alone: bool) -> State:
    def compare(tx: Transaction) -> Comparison:
        known = repository.find_group(tx, connection.connection_id, group.id)
        if known is None:
            return Comparison(False)
        fields = [] if known.display_name == group.display_name else ["display_name"]
        standing = repository.list_members(tx, connection.connection_id, group.id)
        if standing.keys() != {member.value for member in members}:
            fields.append("members")
        return Comparison(True, tuple(fields))

    def apply(tx: Transaction, event: Event, fields: Sequence[str]) -> None:
        provisioning.restore_group(tx, event, _origin(connection), group, members)

    weight = 1 + len(members) // _MEMBERS_PER_WEIGHT
    return State("group", group.id, group.version, False, compare, apply, weight=weight, alone=alone)


def _connection(connection: Connection, enabled: bool, version: int) -> State:
    wanted = STATE_ENABLED if enabled else STATE_DISABLED

    def compare(tx: Transaction) -> Comparison:
        known = repository.find_connection(tx, connection.connection_id)
        if known is None or known.state == STATE_DELETED:
            return Comparison(False)
        return Comparison(True, () if known.state == wanted else ("state",))

    def apply(tx: Transaction, event: Event, fields: Sequence[str]) -> None:
        known = repository.find_connection(tx, connection.connection_id)
        if known is not None and known.state == STATE_DELETED:
            repository.put_connection(tx, connection.connection_id, connection.workspace_id, connection.portal, wanted)
            repository.insert_default_rules(tx, connection.connection_id, connection.workspace_id, connection.portal)
        provisioning.restore_connection(tx, event, _origin(connection), enabled)

    return State("connection", connection.connection_id, version, False, compare, apply, alone=True)


def _gone(connection: Connection, kind: str, resource_id: str, version: int) -> State:
    def compare(tx: Transaction) -> Comparison:
        return Comparison(_HELD[kind](tx, connection.connection_id, resource_id))

    def apply(tx: Transaction, event: Event, fields: Sequence[str]) -> None:
        origin = _origin(connection)
        if kind == "user":
            provisioning.restore_user(tx, event, origin, None)
        elif kind == "group":
            provisioning.restore_group(tx, event, origin, None, ())
        else:
            provisioning.restore_connection(tx, event, origin, None)

    return State(kind, resource_id, version, True, compare, apply, alone=True)


def _holds_user(tx: Transaction, connection_id: str, user_id: str) -> bool:
    if repository.find_user(tx, connection_id, user_id) is not None:
        return True
    return any(kind.rows.find_follower(tx, connection_id, user_id) is not None for kind in (COLLABORATOR, EMPLOYEE))


def _holds_group(tx: Transaction, connection_id: str, group_id: str) -> bool:
    return repository.find_group(tx, connection_id, group_id) is not None


def _holds_connection(tx: Transaction, connection_id: str, _: str) -> bool:
    known = repository.find_connection(tx, connection_id)
    return known is not None and known.state != STATE_DELETED


_HELD: Mapping[str, Callable[[Transaction, str, str], bool]] = {
    "user": _holds_user,
    "group": _holds_group,
    "connection": _holds_connection,
}


def _closed_workspace(workspace_id: str) -> State:
    def compare(tx: Transaction) -> Comparison:
        return Comparison(bool(repository.is_workspace_known(tx, workspace_id)))

    # Its collaborators, employees and publications go without effects.
    apply = functools.partial(_close, workspace_id=workspace_id)
    return State("workspace", workspace_id, 1, True, compare, apply, destructive=True, alone=True)


def _close(tx: Transaction, event: Event, fields: Sequence[str], *, workspace_id: str) -> None:
    closures.close(tx, workspace_id)
