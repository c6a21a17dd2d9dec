"""The rules of a connection: what follows when its users come and go, and which groups give which role."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from rollcall.directory.v1.events_pb2 import Origin
from rollcall.portal.v1.portal_service_pb2 import (
    ON_CREATE_CREATE_COLLABORATOR,
    ON_CREATE_CREATE_EMPLOYEE,
    ON_CREATE_NOTHING,
    ON_DEACTIVATE_NOTHING,
    ON_DEACTIVATE_REMOVE_COLLABORATOR,
    ON_DEACTIVATE_REMOVE_EMPLOYEE,
    ROLE_MODE_CONTINUOUS,
    ROLE_MODE_FIRST_PROVISIONING,
    ROLE_MODE_UNSPECIFIED,
    ROLE_UNASSIGNED,
    ROLE_UNSPECIFIED,
    OnCreate,
    OnDeactivate,
    Rules,
)

from chassis.database import Database, Transaction
from chassis.request_context import request_context
from portal_service import repository
from portal_service.collaborators import ROLES, role_name
from portal_service.errors import ConnectionNotFound, InvalidValue, RoleMappingNotFound, WrongPortal
from portal_service.repository import STATE_DELETED, STATE_ENABLED, AnyRow
from portal_service.reviews import RoleReviewer
from portal_service.workspaces import DASHBOARD, PORTALS, STORE, Workspaces, see_connection

MAX_SETTLING_PERIOD = timedelta(days=30)
MAX_GROUP_NAME_LENGTH = 1_024

# Which portal each choice belongs to; what is not named here may stand anywhere.
_PORTAL_OF_ON_CREATE = {ON_CREATE_CREATE_COLLABORATOR: DASHBOARD, ON_CREATE_CREATE_EMPLOYEE: STORE}
_PORTAL_OF_ON_DEACTIVATE = {ON_DEACTIVATE_REMOVE_COLLABORATOR: DASHBOARD, ON_DEACTIVATE_REMOVE_EMPLOYEE: STORE}
_ON_CREATE = (ON_CREATE_NOTHING, *_PORTAL_OF_ON_CREATE)
_ON_DEACTIVATE = (ON_DEACTIVATE_NOTHING, *_PORTAL_OF_ON_DEACTIVATE)
_DEFAULT_ROLES = tuple(role for role in ROLES if role != ROLE_UNASSIGNED)
_ROLE_MODES = (ROLE_MODE_FIRST_PROVISIONING, ROLE_MODE_CONTINUOUS)


def rules_for(tx: Transaction, origin: Origin) -> AnyRow | None:
    """Returns the rules of the connection that an event comes from, unchanged until the commit.

    The first event of a connection brings the rules that hold until somebody sets some. None: the event is none of
    this service's business, for it is of another portal, or the connection is deleted.
    """
    if origin.portal not in PORTALS:
        return None
    rules = repository.hold_rules(tx, origin.connection_id)
    if rules is None:
        known = repository.find_connection(tx, origin.connection_id)
        if known is not None and known.state == STATE_DELETED:
            return None
        see_connection(tx, origin.connection_id, origin.workspace_id, origin.portal, STATE_ENABLED)
        rules = repository.hold_rules(tx, origin.connection_id)
    return rules


async def get_rules(db: Database, workspaces: Workspaces, connection_id: str) -> Rules:
    """Returns a connection's rules; raises ConnectionNotFound, WrongPortal, DirectoryUnavailable."""
    await workspaces.require_connection(connection_id)
    return await db.read(lambda tx: _read(tx, connection_id))


async def update_rules(
    db: Database,
    workspaces: Workspaces,
    reviewer: RoleReviewer,
    connection_id: str,
    *,
    on_create: int,
    on_deactivate: int,
    default_role: int,
    role_mode: int,
    settling_period: Duration | None,
) -> Rules:
    """Changes what is stated of a connection's rules and leaves the rest (AIP-134).

    Under CONTINUOUS, a new default role or mode has every collaborator of the connection decided again in the
    background. Raises InvalidValue, WrongPortal, ConnectionNotFound, DirectoryUnavailable; nothing changes then.
    """
    _check_choice("on_create", on_create, _ON_CREATE, OnCreate, "ON_CREATE_")
    _check_choice("on_deactivate", on_deactivate, _ON_DEACTIVATE, OnDeactivate, "ON_DEACTIVATE_")
    if default_role not in (ROLE_UNSPECIFIED, *_DEFAULT_ROLES):
        raise InvalidValue("default_role", f"must be one of {', '.join(map(role_name, _DEFAULT_ROLES))}")
    if role_mode not in (ROLE_MODE_UNSPECIFIED, *_ROLE_MODES):
        raise InvalidValue("role_mode", "must be one of FIRST_PROVISIONING, CONTINUOUS")
    period = None if settling_period is None else _checked_period(settling_period)
    await workspaces.require_connection(connection_id)
    stated: dict[str, Any] = {
        "on_create": on_create or None,
        "on_deactivate": on_deactivate or None,
        "default_role": default_role or None,
        "role_mode": role_mode or None,
        "settling_micros": None if period is None else repository.settling_value(period),
    }
    request_id = request_context.get().request_id

    def unit(tx: Transaction) -> Rules:
        rules = _lock(tx, connection_id)
        _check_portal(rules, stated)
        changes = {
            column: value for column, value in stated.items() if value is not None and value != getattr(rules, column)
        }
        if changes:
            _change(
                tx, rules, changes, request_id, decides=not changes.keys().isdisjoint(("default_role", "role_mode"))
            )
        return _read(tx, connection_id)

    changed = await db.write(unit, key=connection_id)
    reviewer.wake()
    return changed


async def map_role(
    db: Database, workspaces: Workspaces, reviewer: RoleReviewer, connection_id: str, *, group: str, role: int
) -> Rules:
    """Maps a group's display name to a role, and binds it to the group that has the name now, if one does.

    Raises InvalidValue, WrongPortal, ConnectionNotFound, DirectoryUnavailable.
    """
    group = _checked_group(group)
    if role not in ROLES:
        raise InvalidValue("role", f"must be one of {', '.join(map(role_name, ROLES))}")
    await workspaces.require_connection(connection_id)
    request_id = request_context.get().request_id

    def unit(tx: Transaction) -> Rules:
        rules = _lock(tx, connection_id)
        _check_dashboard(rules, "connection_id", "roles are mapped on connections of DASHBOARD")
        key = group.casefold()
        standing = repository.find_role_mapping(tx, connection_id, key)
        named = repository.find_group_by_name(tx, connection_id, key)
        bound = named.id if named is not None else standing.group_id if standing is not None else ""
        if standing is None or (standing.role, standing.group_id) != (role, bound):
            repository.put_role_mapping(tx, connection_id, key, group, role, bound)
            _change(tx, rules, {}, request_id, decides=True)
        return _read(tx, connection_id)

    changed = await db.write(unit, key=connection_id)
    reviewer.wake()
    return changed


async def unmap_role(
    db: Database, workspaces: Workspaces, reviewer: RoleReviewer, connection_id: str, *, group: str
) -> Rules:
    """Ends the mapping of a group's display name.

    Raises RoleMappingNotFound, InvalidValue, WrongPortal, ConnectionNotFound, DirectoryUnavailable.
    """
    group = _checked_group(group)
    await workspaces.require_connection(connection_id)
    request_id = request_context.get().request_id

    def unit(tx: Transaction) -> Rules:
        rules = _lock(tx, connection_id)
        _check_dashboard(rules, "connection_id", "roles are mapped on connections of DASHBOARD")
        key = group.casefold()
        if repository.find_role_mapping(tx, connection_id, key) is None:
            raise RoleMappingNotFound(group)
        repository.delete_role_mapping(tx, connection_id, key)
        _change(tx, rules, {}, request_id, decides=True)
        return _read(tx, connection_id)

    changed = await db.write(unit, key=connection_id)
    reviewer.wake()
    return changed


def _lock(tx: Transaction, connection_id: str) -> AnyRow:
    rules = repository.lock_rules(tx, connection_id)
    if rules is None:
        # Deleted between the question whether it exists and this transaction.
        raise ConnectionNotFound(connection_id)
    return rules


def _read(tx: Transaction, connection_id: str) -> Rules:
    rules = repository.find_rules(tx, connection_id)
    if rules is None:
        raise ConnectionNotFound(connection_id)
    return repository.rules_message(rules, repository.list_role_mappings(tx, connection_id))


def _change(tx: Transaction, rules: AnyRow, changes: dict[str, Any], request_id: str, *, decides: bool) -> None:
    """Writes changes under the next version; `decides`: they bear on roles, which CONTINUOUS rules apply at once."""
    version = rules.rule_version + 1
    repository.update_rules(tx, rules.connection_id, {**changes, "rule_version": version})
    if decides and changes.get("role_mode", rules.role_mode) == ROLE_MODE_CONTINUOUS:
        repository.put_review(tx, rules, version, request_id)


def _check_choice(field: str, value: int, allowed: tuple[int, ...], names: Any, prefix: str) -> None:
    if value not in (0, *allowed):
        raise InvalidValue(
            field, f"must be one of {', '.join(names.Name(item).removeprefix(prefix) for item in allowed)}"
        )


def _check_portal(rules: AnyRow, stated: dict[str, Any]) -> None:
    for field, portals in (("on_create", _PORTAL_OF_ON_CREATE), ("on_deactivate", _PORTAL_OF_ON_DEACTIVATE)):
        portal = portals.get(stated[field])
        if portal is not None and portal != rules.portal:
            names: Any = OnCreate if field == "on_create" else OnDeactivate
            choice = names.Name(stated[field]).removeprefix(f"{field.upper()}_")
            raise WrongPortal(field, f"{choice} is for connections of {portal}", rules.portal, rules.connection_id)
    for field, column in (
        ("default_role", "default_role"),
        ("role_mode", "role_mode"),
        ("settling_period", "settling_micros"),
    ):
        if stated[column] is not None:
            _check_dashboard(rules, field, "is for connections of DASHBOARD")


def _check_dashboard(rules: AnyRow, field: str, rule: str) -> None:
    if rules.portal != DASHBOARD:
        raise WrongPortal(field, rule, rules.portal, rules.connection_id)


def _checked_period(period: Duration) -> timedelta:
    # Compared in whole seconds first: a duration can be larger than a timedelta holds.
    limit = int(MAX_SETTLING_PERIOD.total_seconds())
    if 0 <= period.seconds <= limit and period.nanos >= 0:
        value = timedelta(seconds=period.seconds, microseconds=period.nanos // 1_000)
        if value <= MAX_SETTLING_PERIOD:
            return value
    raise InvalidValue("settling_period", "must be 0 to 30 days")


def _checked_group(group: str) -> str:
    group = group.strip()
    if not group or len(group) > MAX_GROUP_NAME_LENGTH or not repository.is_storable(group):
        raise InvalidValue("group", f"must be a group's display name of 1 to {MAX_GROUP_NAME_LENGTH} characters")
    return group
