"""The only SQL of the portal service, and the only conversion between rows and messages.

Every function takes the connection or the workspace that it is bound to. Functions named `lock_*` lock the rows that
they read until the transaction ends, those named `hold_*` keep them from changing (PostgreSQL; on SQLite a writing
transaction excludes every other one).
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

import orjson
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from rollcall.directory.v1.group_pb2 import MEMBER_TYPE_GROUP, Group, Member
from rollcall.directory.v1.user_pb2 import User
from rollcall.portal.v1 import portal_service_pb2 as portal
from sqlalchemy import (
    CTE,
    Row,
    Select,
    Table,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    union,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from chassis.database import Transaction
from chassis.prepared import bind_list, is_listed
from portal_service import tables
from portal_service.domain.accounts import AccountState, email_key
from portal_service.domain.roles import DEFAULT_ROLE_GROUPS

AnyRow = Row[Any]
Item = TypeVar("Item")

# Bound parameters per statement stay far below SQLite's limit of 32,766 and PostgreSQL's of 65,535.
_CHUNK = 500

STATE_ENABLED, STATE_DISABLED, STATE_DELETED = 1, 2, 3


def _table(name: str) -> Table:
    return tables.PortalTable.metadata.tables[name]


_connections = _table("connections")
_workspaces = _table("known_workspaces")
_users = _table("users")
_groups = _table("groups")
_members = _table("group_members")
_rules = _table("rules")
_mappings = _table("role_mappings")
_reviews = _table("role_reviews")
_departures = _table("departures")
_publications = _table("publications")
_audiences = _table("publication_audiences")
_effects = _table("effects")


def _upsert(table: Table, *, keep: Collection[str] = ()) -> Mapping[str, Any]:
    """Builds INSERT … ON CONFLICT (primary key) DO UPDATE of all other columns but `keep`, for both dialects."""
    keys = [column.name for column in table.primary_key]
    built = {}
    for dialect, statement in (("sqlite", sqlite.insert(table)), ("postgresql", postgresql.insert(table))):
        changed = {
            c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys and c.name not in keep
        }
        built[dialect] = statement.on_conflict_do_update(index_elements=keys, set_=changed)
    return built


def _insert_new(table: Table, *unique: str) -> Mapping[str, Any]:
    """Builds INSERT … ON CONFLICT DO NOTHING for both dialects; `unique`: only for a conflict of these columns."""
    target = list(unique) or None
    return {
        "sqlite": sqlite.insert(table).on_conflict_do_nothing(index_elements=target),
        "postgresql": postgresql.insert(table).on_conflict_do_nothing(index_elements=target),
    }


def _chunks(items: Iterable[Item]) -> Iterable[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def is_storable(text: str) -> bool:
    """Says whether a database can hold and compare a text: PostgreSQL refuses NUL."""
    return "\0" not in text


def metadata_of(struct: Struct) -> dict[str, Any]:
    """Returns a user's metadata as a JSON object; whole numbers as integers."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "number_value":
        return int(value.number_value) if value.number_value.is_integer() else value.number_value
    if kind == "struct_value":
        return metadata_of(value.struct_value)
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    return None


def _fill_struct(struct: Struct, metadata: Mapping[str, Any]) -> None:
    for key, item in metadata.items():
        _fill_value(struct.fields[key], item)


def _fill_value(value: Value, item: Any) -> None:
    if isinstance(item, bool):
        value.bool_value = item
    elif isinstance(item, str):
        value.string_value = item
    elif isinstance(item, int | float):
        value.number_value = item
    elif isinstance(item, Mapping):
        value.struct_value.SetInParent()
        _fill_struct(value.struct_value, item)
    elif isinstance(item, Sequence):
        entries = ListValue()
        for entry in item:
            _fill_value(entries.values.add(), entry)
        value.list_value.CopyFrom(entries)
    else:
        value.null_value = 0  # type: ignore[assignment]


# Connections and workspaces

_find_connection = select(_connections).where(_connections.c.connection_id == bindparam("connection_id"))
_put_connection = _upsert(_connections)
_put_workspace = _upsert(_workspaces)


def find_connection(tx: Transaction, connection_id: str) -> AnyRow | None:
    """Returns the row of a connection, which may be a tombstone."""
    return tx.execute(_find_connection, {"connection_id": connection_id}).first()


def put_connection(tx: Transaction, connection_id: str, workspace_id: str, portal_name: str, state: int) -> None:
    """Records a connection as it is now."""
    values = {"connection_id": connection_id, "workspace_id": workspace_id, "portal": portal_name, "state": state}
    tx.execute(_put_connection[tx.dialect], values)


def list_connections(tx: Transaction, workspace_id: str, portal_name: str) -> list[str]:
    """Returns the ids of a workspace's living connections of one portal, enabled ones first."""
    found = tx.execute(
        select(_connections.c.connection_id)
        .where(
            _connections.c.workspace_id == workspace_id,
            _connections.c.portal == portal_name,
            _connections.c.state != STATE_DELETED,
        )
        .order_by(_connections.c.state, _connections.c.connection_id)
    )
    return [row.connection_id for row in found]


def list_living_connections(tx: Transaction) -> Sequence[AnyRow]:
    """Returns every connection that is not known to be deleted, of whichever workspace: for a comparison of all."""
    statement = select(_connections).where(_connections.c.state != STATE_DELETED)
    return tx.execute(statement.order_by(_connections.c.connection_id)).all()


def list_living_workspaces(tx: Transaction) -> list[str]:
    """Returns every workspace that is not known to be deleted: for a comparison of all."""
    statement = select(_workspaces.c.workspace_id).where(_workspaces.c.deleted == false())
    return [row.workspace_id for row in tx.execute(statement.order_by(_workspaces.c.workspace_id))]


def is_workspace_known(tx: Transaction, workspace_id: str) -> bool | None:
    """Says whether a workspace lives; None when nothing is known of it."""
    row = tx.execute(select(_workspaces.c.deleted).where(_workspaces.c.workspace_id == workspace_id)).first()
    return None if row is None else not row.deleted


def hold_workspace(tx: Transaction, workspace_id: str) -> bool:
    """Says whether a workspace is known to live, and keeps it from being deleted until the transaction ends."""
    row = tx.execute(
        select(_workspaces.c.deleted).where(_workspaces.c.workspace_id == workspace_id).with_for_update(read=True)
    ).first()
    return row is not None and not row.deleted


def put_workspace(tx: Transaction, workspace_id: str, *, deleted: bool) -> None:
    """Records that a workspace lives or is gone."""
    tx.execute(_put_workspace[tx.dialect], {"workspace_id": workspace_id, "deleted": deleted})


def empty_workspace(tx: Transaction, workspace_id: str, limit: int) -> bool:
    """Removes at most `limit` each of a workspace's publications, collaborators and employees; says whether more may
    be left.
    """
    full = False
    for table in (_publications, COLLABORATORS.table, EMPLOYEES.table):
        some = select(table.c.id).where(table.c.workspace_id == workspace_id).limit(limit)
        ids = list(tx.execute(some).scalars())
        if table is _publications:
            tx.execute(delete(_audiences).where(_audiences.c.publication_id.in_(ids)))
        tx.execute(delete(table).where(table.c.id.in_(ids)))
        full = full or len(ids) == limit
    return full


def find_full_workspace(tx: Transaction) -> str | None:
    """Returns a workspace that is deleted and still holds something."""
    holds = [
        exists().where(table.c.workspace_id == _workspaces.c.workspace_id)
        for table in (_publications, COLLABORATORS.table, EMPLOYEES.table)
    ]
    statement = select(_workspaces.c.workspace_id).where(_workspaces.c.deleted, or_(*holds)).limit(1)
    return tx.execute(statement).scalar()


def delete_connection(tx: Transaction, connection_id: str) -> None:
    """Removes what is kept of a connection, its rules included; its accounts stay, followers of nobody."""
    for table in (_users, _groups, _members, _rules, _mappings, _reviews, _departures, _audiences):
        tx.execute(delete(table).where(table.c.connection_id == connection_id))
    for accounts in (COLLABORATORS, EMPLOYEES):
        accounts.unlink_connection(tx, connection_id)


# Rules and role mappings

# With every row of rules comes whether any group is mapped at all: mostly none is, and nothing more need be asked.
_find_rules = select(
    _rules,
    exists()
    .where(_mappings.c.connection_id == _rules.c.connection_id, _mappings.c.group_id != "")
    .label("maps_groups"),
).where(_rules.c.connection_id == bindparam("connection_id"))
_hold_rules = _find_rules.with_for_update(read=True, of=_rules)
_lock_rules = _find_rules.with_for_update(of=_rules)
_insert_rules = _insert_new(_rules)
_insert_mapping = _insert_new(_mappings)
_put_mapping = _upsert(_mappings)

_DEFAULT_ROLES = (portal.ROLE_UNASSIGNED, portal.ROLE_VIEWER, portal.ROLE_EDITOR, portal.ROLE_ADMIN)
_DEFAULT_SETTLING = timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)


def find_rules(tx: Transaction, connection_id: str) -> AnyRow | None:
    """Returns the row of a connection's rules; its column `maps_groups` says whether a mapping is bound to a group."""
    return tx.execute(_find_rules, {"connection_id": connection_id}).first()


def hold_rules(tx: Transaction, connection_id: str) -> AnyRow | None:
    """Returns the row of a connection's rules, which nobody changes until the transaction ends."""
    return tx.execute(_hold_rules, {"connection_id": connection_id}).first()


def lock_rules(tx: Transaction, connection_id: str) -> AnyRow | None:
    """Returns the row of a connection's rules, locked."""
    return tx.execute(_lock_rules, {"connection_id": connection_id}).first()


def insert_default_rules(tx: Transaction, connection_id: str, workspace_id: str, portal_name: str) -> None:
    """Gives a connection the rules that hold until somebody sets some; leaves rules that are there alone."""
    dashboard = portal_name == "DASHBOARD"
    tx.execute(
        _insert_rules[tx.dialect],
        {
            "connection_id": connection_id,
            "workspace_id": workspace_id,
            "portal": portal_name,
            "on_create": portal.ON_CREATE_NOTHING,
            "on_deactivate": portal.ON_DEACTIVATE_NOTHING,
            "default_role": portal.ROLE_VIEWER if dashboard else portal.ROLE_UNSPECIFIED,
            "role_mode": portal.ROLE_MODE_FIRST_PROVISIONING if dashboard else portal.ROLE_MODE_UNSPECIFIED,
            "settling_micros": _DEFAULT_SETTLING // _MICROSECOND if dashboard else 0,
            "rule_version": 1,
        },
    )
    if not dashboard:
        return
    for name, role in zip(DEFAULT_ROLE_GROUPS, _DEFAULT_ROLES, strict=True):
        row = {"connection_id": connection_id, "name_key": name.casefold(), "group_name": name, "role": role}
        tx.execute(_insert_mapping[tx.dialect], {**row, "group_id": ""})


def update_rules(tx: Transaction, connection_id: str, values: Mapping[str, Any]) -> None:
    """Changes columns of a connection's rules."""
    tx.execute(update(_rules).where(_rules.c.connection_id == connection_id).values(**values))


def settling_period(rules: AnyRow) -> timedelta:
    """Returns the settling period of a row of rules."""
    return timedelta(microseconds=rules.settling_micros)


def settling_value(period: timedelta) -> int:
    """Returns what a row of rules holds for a settling period: microseconds."""
    return period // _MICROSECOND


def list_role_mappings(tx: Transaction, connection_id: str) -> Sequence[AnyRow]:
    """Returns a connection's role mappings by name."""
    return tx.execute(
        select(_mappings).where(_mappings.c.connection_id == connection_id).order_by(_mappings.c.name_key)
    ).all()


def find_role_mapping(tx: Transaction, connection_id: str, name_key: str) -> AnyRow | None:
    """Returns the mapping of a group's name."""
    return tx.execute(
        select(_mappings).where(_mappings.c.connection_id == connection_id, _mappings.c.name_key == name_key)
    ).first()


def put_role_mapping(
    tx: Transaction, connection_id: str, name_key: str, group_name: str, role: int, group_id: str
) -> None:
    """Records the mapping of a group's name; an empty group id: not bound yet."""
    row = {"connection_id": connection_id, "name_key": name_key, "group_name": group_name, "role": role}
    tx.execute(_put_mapping[tx.dialect], {**row, "group_id": group_id})


def delete_role_mapping(tx: Transaction, connection_id: str, name_key: str) -> None:
    """Ends the mapping of a group's name."""
    tx.execute(delete(_mappings).where(_mappings.c.connection_id == connection_id, _mappings.c.name_key == name_key))


def bind_role_mapping(tx: Transaction, connection_id: str, name_key: str, group_id: str) -> bool:
    """Binds the mapping of a name to a group, unless it is bound; says whether it did."""
    bound = tx.execute(
        update(_mappings)
        .where(_mappings.c.connection_id == connection_id, _mappings.c.name_key == name_key, _mappings.c.group_id == "")
        .values(group_id=group_id)
    )
    return bound.rowcount > 0


def unbind_role_mappings(tx: Transaction, connection_id: str, group_id: str) -> list[str]:
    """Frees the mappings that are bound to a group; returns the names that they map."""
    bound = tx.execute(
        update(_mappings)
        .where(_mappings.c.connection_id == connection_id, _mappings.c.group_id == group_id)
        .values(group_id="")
        .returning(_mappings.c.name_key)
    )
    return sorted(row.name_key for row in bound)


def rules_message(rules: AnyRow, mappings: Sequence[AnyRow]) -> portal.Rules:
    """Returns a connection's rules as the contract shows them."""
    message = portal.Rules(
        connection_id=rules.connection_id,
        portal=rules.portal,
        on_create=rules.on_create,
        on_deactivate=rules.on_deactivate,
        default_role=rules.default_role,
        role_mode=rules.role_mode,
        rule_version=rules.rule_version,
        role_mappings=[
            portal.RoleMapping(group=row.group_name, role=row.role, group_id=row.group_id) for row in mappings
        ],
    )
    if rules.portal == "DASHBOARD":
        message.settling_period.FromTimedelta(settling_period(rules))
    return message


# Reviews of roles

_put_review = _upsert(_reviews)


def put_review(tx: Transaction, rules: AnyRow, rule_version: int, request_id: str) -> None:
    """Starts the review of a connection's roles, from the beginning, in place of one that is under way."""
    tx.execute(
        _put_review[tx.dialect],
        {
            "connection_id": rules.connection_id,
            "workspace_id": rules.workspace_id,
            "rule_version": rule_version,
            "request_id": request_id,
            "last_user_id": "",
        },
    )


def find_review(tx: Transaction) -> str | None:
    """Returns the connection of a review that is under way, of whichever workspace: the reviewer serves all."""
    row = tx.execute(select(_reviews.c.connection_id).order_by(_reviews.c.connection_id).limit(1)).first()
    return None if row is None else str(row.connection_id)


def is_under_review(tx: Transaction, connection_id: str) -> bool:
    """Says whether the roles of a connection are being decided again."""
    return any(
        tx.execute(select(table.c.connection_id).where(table.c.connection_id == connection_id).limit(1)).first()
        for table in (_reviews, _departures)
    )


def lock_review(tx: Transaction, connection_id: str) -> AnyRow | None:
    """Returns the review of a connection's roles, locked."""
    return tx.execute(select(_reviews).where(_reviews.c.connection_id == connection_id).with_for_update()).first()


def advance_review(tx: Transaction, connection_id: str, last_user_id: str | None) -> None:
    """Records how far a review is; None ends it."""
    mine = _reviews.c.connection_id == connection_id
    if last_user_id is None:
        tx.execute(delete(_reviews).where(mine))
    else:
        tx.execute(update(_reviews).where(mine).values(last_user_id=last_user_id))


# Users

_find_user = select(_users).where(
    _users.c.connection_id == bindparam("connection_id"), _users.c.id == bindparam("user_id")
)
_put_user = _upsert(_users)
_waiting_users = (
    select(_users)
    .where(
        _users.c.workspace_id == bindparam("workspace_id"),
        _users.c.email_key == bindparam("email_key"),
        _users.c.portal == bindparam("portal"),
        or_(
            _users.c.account_state == AccountState.EMAIL_TAKEN.value,
            _users.c.account_state == AccountState.NEW_EMAIL_TAKEN.value,
        ),
    )
    .order_by(_users.c.id)
)
_is_active = select(_users.c.active).where(
    _users.c.workspace_id == bindparam("workspace_id"), _users.c.id == bindparam("user_id")
)


def find_user(tx: Transaction, connection_id: str, user_id: str) -> AnyRow | None:
    """Returns what is known of a user."""
    return tx.execute(_find_user, {"connection_id": connection_id, "user_id": user_id}).first()


def put_user(tx: Transaction, rules: AnyRow, user: User, facts: Mapping[str, Any], account_state: int) -> None:
    """Records a user as it is now; `facts` are the columns that an account takes from it."""
    tx.execute(
        _put_user[tx.dialect],
        {
            "id": user.id,
            "connection_id": rules.connection_id,
            "workspace_id": rules.workspace_id,
            "portal": rules.portal,
            "user_name": user.user_name,
            "active": user.active,
            "account_state": int(account_state),
            "email_key": email_key(facts["email"]),
            **facts,
        },
    )


def is_user_living(tx: Transaction, workspace_id: str, user_id: str) -> bool:
    """Says whether a user of the workspace is known and active."""
    row = tx.execute(_is_active, {"workspace_id": workspace_id, "user_id": user_id}).first()
    return row is not None and bool(row.active)


def find_waiting_users(tx: Transaction, workspace_id: str, portal_name: str, email_key: str) -> Sequence[AnyRow]:
    """Returns the users of a workspace's portal who could not have an e-mail address because an account had it."""
    return tx.execute(
        _waiting_users, {"workspace_id": workspace_id, "portal": portal_name, "email_key": email_key}
    ).all()


def set_account_state(tx: Transaction, workspace_id: str, user_id: str, account_state: int) -> None:
    """Records what became of a user's account."""
    tx.execute(
        update(_users)
        .where(_users.c.workspace_id == workspace_id, _users.c.id == user_id)
        .values(account_state=int(account_state))
    )


def delete_user(tx: Transaction, connection_id: str, user_id: str) -> None:
    """Forgets a user and its memberships."""
    tx.execute(delete(_users).where(_users.c.connection_id == connection_id, _users.c.id == user_id))
    tx.execute(delete(_members).where(_members.c.connection_id == connection_id, _members.c.member_id == user_id))


def list_users(tx: Transaction, connection_id: str) -> Sequence[AnyRow]:
    """Returns the users of a connection that are still known."""
    return tx.execute(select(_users).where(_users.c.connection_id == connection_id).order_by(_users.c.id)).all()


def list_user_ids(tx: Transaction, connection_id: str) -> list[str]:
    """Returns the ids of the users of a connection that are known, or that an account follows, in ascending order."""
    known = select(_users.c.id).where(_users.c.connection_id == connection_id)
    followed = [
        select(accounts.table.c.user_id).where(
            accounts.table.c.connection_id == connection_id, accounts.table.c.user_id != ""
        )
        for accounts in (COLLABORATORS, EMPLOYEES)
    ]
    return sorted(tx.execute(union(known, *followed)).scalars())


def last_outcome(tx: Transaction, workspace_id: str, user_id: str, rule: str) -> str:
    """Returns how the newest effect of a rule on a user ended; empty: there is none."""
    found = tx.execute(
        select(_effects.c.outcome)
        .where(_effects.c.workspace_id == workspace_id, _effects.c.user_id == user_id, _effects.c.rule == rule)
        .order_by(_effects.c.effect_id.desc())
        .limit(1)
    ).first()
    return "" if found is None else str(found.outcome)


def last_role(tx: Transaction, workspace_id: str, collaborator_id: str) -> tuple[str, str] | None:
    """Returns the role and its source, by name, that the newest effect gave a collaborator; None: there is none."""
    found = tx.execute(
        select(_effects.c.after)
        .where(
            _effects.c.workspace_id == workspace_id,
            _effects.c.target_id == collaborator_id,
            _effects.c.action.in_(("CREATE_COLLABORATOR", "SET_ROLE")),
            _effects.c.outcome == "APPLIED",
        )
        .order_by(_effects.c.effect_id.desc())
        .limit(1)
    ).scalar()
    after = orjson.loads(found) if found else {}
    return (after["role"], after["role_source"]) if "role" in after else None


# Groups and membership

_find_group = select(_groups).where(
    _groups.c.connection_id == bindparam("connection_id"), _groups.c.id == bindparam("group_id")
)
_put_group = _upsert(_groups, keep=("first_name_key",))
_insert_members = _insert_new(_members)


def find_group(tx: Transaction, connection_id: str, group_id: str) -> AnyRow | None:
    """Returns what is known of a group."""
    return tx.execute(_find_group, {"connection_id": connection_id, "group_id": group_id}).first()


def find_group_by_name(tx: Transaction, connection_id: str, name_key: str) -> AnyRow | None:
    """Returns the group of a name."""
    return tx.execute(
        select(_groups).where(_groups.c.connection_id == connection_id, _groups.c.name_key == name_key).limit(1)
    ).first()


def find_group_first_named(tx: Transaction, connection_id: str, name_key: str) -> AnyRow | None:
    """Returns the group that has a name and had it already when it was first seen."""
    return tx.execute(
        select(_groups)
        .where(
            _groups.c.connection_id == connection_id,
            _groups.c.name_key == name_key,
            _groups.c.first_name_key == name_key,
        )
        .limit(1)
    ).first()


def put_group(tx: Transaction, connection_id: str, workspace_id: str, group: Group) -> None:
    """Records a group as it is now; the name that it was first seen with stays on record."""
    name_key = group.display_name.casefold()
    tx.execute(
        _put_group[tx.dialect],
        {
            "id": group.id,
            "connection_id": connection_id,
            "workspace_id": workspace_id,
            "display_name": group.display_name,
            "name_key": name_key,
            "first_name_key": name_key,
        },
    )


def list_group_ids(tx: Transaction, connection_id: str) -> list[str]:
    """Returns the ids of the groups of a connection that are known, in ascending order."""
    return sorted(tx.execute(select(_groups.c.id).where(_groups.c.connection_id == connection_id)).scalars())


def delete_group(tx: Transaction, connection_id: str, group_id: str) -> None:
    """Forgets a group, its memberships, its place in other groups and in audiences."""
    tx.execute(delete(_groups).where(_groups.c.connection_id == connection_id, _groups.c.id == group_id))
    tx.execute(
        delete(_members).where(
            _members.c.connection_id == connection_id,
            or_(_members.c.group_id == group_id, _members.c.member_id == group_id),
        )
    )
    tx.execute(delete(_audiences).where(_audiences.c.connection_id == connection_id, _audiences.c.group_id == group_id))


def is_group_larger(tx: Transaction, connection_id: str, group_id: str, size: int) -> bool:
    """Says whether a group has more direct members than `size`."""
    mine = (_members.c.connection_id == connection_id, _members.c.group_id == group_id)
    return tx.execute(select(literal(1)).where(*mine).offset(size).limit(1)).first() is not None


def begin_departure(tx: Transaction, values: Mapping[str, Any]) -> None:
    """Forgets a group and its place in other groups and in audiences; `take_departed` takes its members."""
    connection_id, group_id = values["connection_id"], values["group_id"]
    tx.execute(delete(_groups).where(_groups.c.connection_id == connection_id, _groups.c.id == group_id))
    tx.execute(delete(_members).where(_members.c.connection_id == connection_id, _members.c.member_id == group_id))
    tx.execute(delete(_audiences).where(_audiences.c.connection_id == connection_id, _audiences.c.group_id == group_id))
    tx.execute(_departures.insert().inline(), dict(values))


def find_departure(tx: Transaction) -> str | None:
    """Returns a large group that is gone and has memberships left, on whatever connection."""
    return tx.execute(select(_departures.c.group_id).order_by(_departures.c.event_time).limit(1)).scalar()


def lock_departure(tx: Transaction, group_id: str) -> AnyRow | None:
    """Returns the departure of a group's members, locked."""
    return tx.execute(select(_departures).where(_departures.c.group_id == group_id).with_for_update()).first()


def take_departed(tx: Transaction, connection_id: str, group_id: str, limit: int) -> dict[str, bool]:
    """Removes at most `limit` memberships of a group that is gone and returns whose: id to whether it is a group."""
    mine = (_members.c.connection_id == connection_id, _members.c.group_id == group_id)
    found = tx.execute(select(_members.c.member_id, _members.c.is_group).where(*mine).limit(limit))
    departed = {row.member_id: bool(row.is_group) for row in found}
    remove_members(tx, connection_id, group_id, list(departed))
    return departed


def end_departure(tx: Transaction, group_id: str) -> None:
    """Forgets a departure."""
    tx.execute(delete(_departures).where(_departures.c.group_id == group_id))


def add_members(tx: Transaction, connection_id: str, group_id: str, members: Iterable[Member]) -> None:
    """Adds members to a group; those that are there already stay."""
    for chunk in _chunks(members):
        rows = [
            {
                "group_id": group_id,
                "member_id": member.value,
                "connection_id": connection_id,
                "is_group": member.type == MEMBER_TYPE_GROUP,
            }
            for member in chunk
        ]
        tx.execute(_insert_members[tx.dialect], rows)


_remove_members = {
    dialect: delete(_members).where(
        _members.c.connection_id == bindparam("connection_id"),
        _members.c.group_id == bindparam("group_id"),
        is_listed(_members.c.member_id, "member_ids", dialect),
    )
    for dialect in ("sqlite", "postgresql")
}


def remove_members(tx: Transaction, connection_id: str, group_id: str, member_ids: Iterable[str]) -> None:
    """Removes members from a group; those that are not there do not matter."""
    for chunk in _chunks(member_ids):
        listed = bind_list(tx.dialect, chunk)
        tx.execute(
            _remove_members[tx.dialect], {"connection_id": connection_id, "group_id": group_id, "member_ids": listed}
        )


def list_members(tx: Transaction, connection_id: str, group_id: str) -> dict[str, bool]:
    """Returns a group's direct members: id to whether it is a group."""
    found = tx.execute(
        select(_members.c.member_id, _members.c.is_group).where(
            _members.c.connection_id == connection_id, _members.c.group_id == group_id
        )
    )
    return {row.member_id: bool(row.is_group) for row in found}


def users_beneath(tx: Transaction, connection_id: str, group_ids: Collection[str]) -> list[str]:
    """Returns the ids of the users in groups, through nested groups too, in ascending order."""
    if not group_ids:
        return []
    mine = _members.c.connection_id == connection_id
    beneath = (
        select(_members.c.member_id, _members.c.is_group)
        .where(mine, _members.c.group_id.in_(group_ids))
        .cte("beneath", recursive=True)
    )
    # UNION, not UNION ALL: a cycle of groups ends once it brings nothing new.
    beneath = beneath.union(
        select(_members.c.member_id, _members.c.is_group)
        .join(beneath, and_(_members.c.group_id == beneath.c.member_id, beneath.c.is_group))
        .where(mine)
    )
    found = tx.execute(
        select(beneath.c.member_id).where(beneath.c.is_group == false()).distinct().order_by(beneath.c.member_id)
    )
    return [row.member_id for row in found]


def _groups_above(connection_id: Any, member_condition: Any) -> CTE:
    """Builds pairs (member_id, group_id): each member asked for, and a group that holds it, directly or not."""
    mine = _members.c.connection_id == connection_id
    above = select(_members.c.member_id, _members.c.group_id).where(mine, member_condition).cte("above", recursive=True)
    holding = _members.alias("holding")
    return above.union(
        select(above.c.member_id, holding.c.group_id)
        .join(above, holding.c.member_id == above.c.group_id)
        .where(holding.c.connection_id == connection_id)
    )


def _role_decided_by() -> Select[Any]:
    above = _groups_above(bindparam("connection_id"), _members.c.member_id == bindparam("group_id"))
    return (
        select(literal(1))
        .where(
            _mappings.c.connection_id == bindparam("connection_id"),
            or_(_mappings.c.group_id == bindparam("group_id"), _mappings.c.group_id.in_(select(above.c.group_id))),
        )
        .limit(1)
    )


_is_role_decided_by = _role_decided_by()


def is_role_decided_by(tx: Transaction, connection_id: str, group_id: str) -> bool:
    """Says whether a group, or a group that holds it, is bound to a role mapping."""
    return tx.execute(_is_role_decided_by, {"connection_id": connection_id, "group_id": group_id}).first() is not None


def _mapped_roles(member_condition: Any) -> Select[Any]:
    above = _groups_above(bindparam("connection_id"), member_condition)
    return (
        select(above.c.member_id, _mappings.c.role)
        .join(_mappings, _mappings.c.group_id == above.c.group_id)
        .where(_mappings.c.connection_id == bindparam("connection_id"))
        .distinct()
    )


_roles_of_user = _mapped_roles(_members.c.member_id == bindparam("user_id"))
_roles_of_users = _mapped_roles(_members.c.member_id.in_(bindparam("user_ids", expanding=True)))


def group_roles(tx: Transaction, connection_id: str, user_id: str) -> list[int]:
    """Returns the roles that a user's groups are mapped to, nested ones included."""
    found = tx.execute(_roles_of_user, {"connection_id": connection_id, "user_id": user_id})
    return [row.role for row in found]


def group_roles_of(tx: Transaction, connection_id: str, user_ids: Collection[str]) -> dict[str, list[int]]:
    """Returns the roles that users' groups are mapped to, by user; at most 500 users."""
    roles: dict[str, list[int]] = {}
    if user_ids:
        for row in tx.execute(_roles_of_users, {"connection_id": connection_id, "user_ids": list(user_ids)}):
            roles.setdefault(row.member_id, []).append(row.role)
    return roles


# Accounts: collaborators and employees


class Accounts:
    """The rows of one kind of account; statements are built once."""

    def __init__(self, table: Table) -> None:
        """Serves `table`, which has `AccountColumns`."""
        self.table = table
        by_user = select(table).where(
            table.c.connection_id == bindparam("connection_id"), table.c.user_id == bindparam("user_id")
        )
        self._by_email = select(table).where(
            table.c.workspace_id == bindparam("workspace_id"), table.c.email_key == bindparam("email_key")
        )
        self._by_user = by_user
        # The unique index knows users by their ids alone; the words say that it holds this one.
        self._of_user = select(table).where(
            table.c.workspace_id == bindparam("workspace_id"),
            table.c.user_id == bindparam("user_id"),
            table.c.user_id != literal_column("''"),
        )
        self._lock_by_user = by_user.with_for_update()
        self._lock_by_email = self._by_email.with_for_update()
        self._delete = delete(table).where(
            table.c.workspace_id == bindparam("workspace_id"), table.c.id == bindparam("account_id")
        )
        self._insert = {
            dialect: statement.returning(table.c.id)
            for dialect, statement in _insert_new(table, "workspace_id", "email_key").items()
        }

    def find(self, tx: Transaction, workspace_id: str, email_key: str) -> AnyRow | None:
        """Returns the account of an e-mail address."""
        return tx.execute(self._by_email, {"workspace_id": workspace_id, "email_key": email_key}).first()

    def lock(self, tx: Transaction, workspace_id: str, email_key: str) -> AnyRow | None:
        """Returns the account of an e-mail address, locked."""
        return tx.execute(self._lock_by_email, {"workspace_id": workspace_id, "email_key": email_key}).first()

    def lock_follower(self, tx: Transaction, connection_id: str, user_id: str) -> AnyRow | None:
        """Returns the account that follows a user, locked."""
        return tx.execute(self._lock_by_user, {"connection_id": connection_id, "user_id": user_id}).first()

    def find_follower(self, tx: Transaction, connection_id: str, user_id: str) -> AnyRow | None:
        """Returns the account that follows a user."""
        return tx.execute(self._by_user, {"connection_id": connection_id, "user_id": user_id}).first()

    def find_one(self, tx: Transaction, workspace_id: str, email: str, user_id: str) -> AnyRow | None:
        """Returns the account of an e-mail address, or without one that which follows a user."""
        if email:
            return self.find(tx, workspace_id, email_key(email))
        if not user_id or not is_storable(user_id):
            return None
        return tx.execute(self._of_user, {"workspace_id": workspace_id, "user_id": user_id}).first()

    def insert(self, tx: Transaction, values: Mapping[str, Any]) -> bool:
        """Adds an account; false when the e-mail address was taken in the meantime."""
        return tx.execute(self._insert[tx.dialect], dict(values)).first() is not None

    def update(self, tx: Transaction, workspace_id: str, account_id: str, values: Mapping[str, Any]) -> None:
        """Changes columns of an account."""
        tx.execute(
            update(self.table)
            .where(self.table.c.workspace_id == workspace_id, self.table.c.id == account_id)
            .values(**values)
        )

    def delete(self, tx: Transaction, workspace_id: str, account_id: str) -> None:
        """Removes an account."""
        tx.execute(self._delete, {"workspace_id": workspace_id, "account_id": account_id})

    def page(self, tx: Transaction, workspace_id: str, prefix: str, after: str, limit: int) -> Sequence[AnyRow]:
        """Returns at most `limit` accounts by e-mail address, from the first one past the key `after`.

        Only those whose key begins with `prefix`.
        """
        key = self.table.c.email_key
        statement = select(self.table).where(self.table.c.workspace_id == workspace_id)
        # A range along the index: keys are compared by code point, and no text has a higher one.
        statement = statement.where(key > after) if after else statement.where(key >= prefix)
        if prefix:
            statement = statement.where(key < prefix + chr(sys.maxunicode))
        return tx.execute(statement.order_by(key).limit(limit)).all()

    def unlink_connection(self, tx: Transaction, connection_id: str) -> None:
        """Leaves the accounts of a connection to themselves."""
        tx.execute(
            update(self.table).where(self.table.c.connection_id == connection_id).values(connection_id="", user_id="")
        )


COLLABORATORS = Accounts(_table("collaborators"))
EMPLOYEES = Accounts(_table("employees"))


def counts(tx: Transaction, workspace_id: str, connection_id: str) -> portal.GetCountsResponse:
    """Returns how many accounts a workspace has, or a connection provisions, and how many publications."""
    found: list[int] = []
    for accounts in (COLLABORATORS, EMPLOYEES):
        statement = select(func.count()).where(accounts.table.c.workspace_id == workspace_id)
        if connection_id:
            statement = statement.where(accounts.table.c.connection_id == connection_id)
        found.append(int(tx.execute(statement).scalar_one()))
    collaborators, employees = found
    response = portal.GetCountsResponse(collaborators=collaborators, employees=employees)
    if not connection_id:
        offered = select(func.count()).where(_publications.c.workspace_id == workspace_id)
        response.publications = int(tx.execute(offered).scalar_one())
    return response


def count_other_admins(tx: Transaction, workspace_id: str, collaborator_id: str) -> int:
    """Returns how many ADMINs a workspace has besides one collaborator."""
    table = COLLABORATORS.table
    others = and_(table.c.workspace_id == workspace_id, table.c.role == portal.ROLE_ADMIN)
    return int(tx.execute(select(func.count()).where(others, table.c.id != collaborator_id)).scalar_one())


def lock_other_admins(tx: Transaction, workspace_id: str, collaborator_id: str) -> int:
    """Returns how many ADMINs a workspace has besides one collaborator, and locks all of them until the commit.

    Two demotions at once thus wait for each other, and the second one sees what the first one left.
    """
    table = COLLABORATORS.table
    found = tx.execute(
        select(table.c.id)
        .where(table.c.workspace_id == workspace_id, table.c.role == portal.ROLE_ADMIN)
        .order_by(table.c.id)
        .with_for_update()
    )
    return sum(row.id != collaborator_id for row in found)


def _deciding(*conditions: Any) -> Select[Any]:
    table = COLLABORATORS.table
    return (
        select(table, func.coalesce(_users.c.user_name, "").label("user_name"))
        .outerjoin(_users, and_(_users.c.id == table.c.user_id, _users.c.connection_id == table.c.connection_id))
        .where(
            table.c.connection_id == bindparam("connection_id"),
            table.c.user_id.in_(bindparam("user_ids", expanding=True)),
            table.c.role_source != portal.ROLE_SOURCE_MANUAL,
            *conditions,
        )
        .order_by(table.c.id)
        .with_for_update(of=table)
    )


_deciding_always = _deciding()
_deciding_first = _deciding(COLLABORATORS.table.c.created_at > bindparam("created_after"))


def lock_deciding_collaborators(
    tx: Transaction, connection_id: str, user_ids: Sequence[str], created_after: datetime | None
) -> Sequence[AnyRow]:
    """Returns those of the users' collaborators whose role is no person's choice, locked, in the order of their ids.

    `created_after` leaves out those that are past their settling period. Each row has the user's `user_name` too.
    """
    parameters = {"connection_id": connection_id, "user_ids": list(user_ids)}
    if created_after is None:
        return tx.execute(_deciding_always, parameters).all()
    return tx.execute(_deciding_first, {**parameters, "created_after": created_after}).all()


_set_role = (
    update(COLLABORATORS.table)
    .where(
        COLLABORATORS.table.c.workspace_id == bindparam("in_workspace"),
        COLLABORATORS.table.c.id == bindparam("collaborator"),
    )
    .values(role=bindparam("new_role"), role_source=bindparam("new_source"))
)


def set_role(tx: Transaction, workspace_id: str, collaborator_id: str, role: int, role_source: int) -> None:
    """Gives a collaborator a role."""
    tx.execute(
        _set_role,
        {
            "in_workspace": workspace_id,
            "collaborator": collaborator_id,
            "new_role": role,
            "new_source": role_source,
        },
    )


def list_followed(tx: Transaction, connection_id: str, after_user_id: str, limit: int) -> list[str]:
    """Returns ids of users that have a collaborator on a connection, in ascending order, past `after_user_id`."""
    table = COLLABORATORS.table
    found = tx.execute(
        select(table.c.user_id)
        .where(table.c.connection_id == connection_id, table.c.user_id > after_user_id)
        .order_by(table.c.user_id)
        .limit(limit)
    )
    return [row.user_id for row in found]


def collaborator_message(row: AnyRow) -> portal.Collaborator:
    """Returns a collaborator as the contract shows it."""
    message = portal.Collaborator(
        collaborator_id=row.id,
        workspace_id=row.workspace_id,
        email=row.email,
        display_name=row.display_name,
        role=row.role,
        role_source=row.role_source,
        connection_id=row.connection_id,
        user_id=row.user_id,
    )
    message.created_time.FromDatetime(row.created_at)
    _fill_struct(message.metadata, row.user_metadata)
    return message


def employee_message(row: AnyRow) -> portal.Employee:
    """Returns an employee as the contract shows it."""
    message = portal.Employee(
        employee_id=row.id,
        workspace_id=row.workspace_id,
        email=row.email,
        display_name=row.display_name,
        connection_id=row.connection_id,
        user_id=row.user_id,
    )
    message.created_time.FromDatetime(row.created_at)
    _fill_struct(message.metadata, row.user_metadata)
    return message


# Publications


def insert_publication(tx: Transaction, values: Mapping[str, Any], audience: Mapping[str, tuple[str, str]]) -> bool:
    """Adds a publication with its audience (group id to connection id and name); false when the name is taken."""
    added = tx.execute(_insert_new(_publications)[tx.dialect].returning(_publications.c.id), dict(values)).first()
    if added is None:
        return False
    _insert_audience(tx, values["id"], audience)
    return True


def _insert_audience(tx: Transaction, publication_id: str, audience: Mapping[str, tuple[str, str]]) -> None:
    if not audience:
        return
    rows = [
        {
            "publication_id": publication_id,
            "group_id": group_id,
            "connection_id": connection_id,
            "display_name": display_name,
        }
        for group_id, (connection_id, display_name) in audience.items()
    ]
    tx.execute(insert(_audiences), rows)


def list_audience(tx: Transaction, publication_id: str) -> dict[str, tuple[str, str]]:
    """Returns the audience of a publication that is held: group id to connection id and name."""
    found = tx.execute(select(_audiences).where(_audiences.c.publication_id == publication_id))
    return {row.group_id: (row.connection_id, row.display_name) for row in found}


def lock_publication(tx: Transaction, workspace_id: str, publication_id: str) -> bool:
    """Holds a publication; false when there is none."""
    mine = and_(_publications.c.workspace_id == workspace_id, _publications.c.id == publication_id)
    return tx.execute(select(_publications.c.id).where(mine).with_for_update()).first() is not None


def replace_audience(tx: Transaction, publication_id: str, audience: Mapping[str, tuple[str, str]]) -> None:
    """Gives a publication another audience: group id to connection id and name; an empty one opens it to everybody."""
    tx.execute(delete(_audiences).where(_audiences.c.publication_id == publication_id))
    tx.execute(update(_publications).where(_publications.c.id == publication_id).values(restricted=bool(audience)))
    _insert_audience(tx, publication_id, audience)


def delete_publication(tx: Transaction, workspace_id: str, publication_id: str) -> bool:
    """Removes a publication with its audience; false when there is none."""
    if not lock_publication(tx, workspace_id, publication_id):
        return False
    tx.execute(delete(_audiences).where(_audiences.c.publication_id == publication_id))
    tx.execute(delete(_publications).where(_publications.c.id == publication_id))
    return True


def find_publication(tx: Transaction, workspace_id: str, publication_id: str) -> AnyRow | None:
    """Returns one publication."""
    return tx.execute(
        select(_publications).where(_publications.c.workspace_id == workspace_id, _publications.c.id == publication_id)
    ).first()


def page_publications(tx: Transaction, workspace_id: str, after: str, limit: int) -> Sequence[AnyRow]:
    """Returns at most `limit` publications by name, from the first one past the key `after`."""
    return tx.execute(
        select(_publications)
        .where(_publications.c.workspace_id == workspace_id, _publications.c.name_key > after)
        .order_by(_publications.c.name_key)
        .limit(limit)
    ).all()


def visible_publications(
    tx: Transaction, workspace_id: str, email_key: str, publication_id: str | None = None
) -> Sequence[AnyRow]:
    """Returns the publications that an employee sees, by name; with `publication_id` that one or none.

    Membership counts through nested groups, on the connection that provisions the employee and on no other.
    """
    employees = EMPLOYEES.table
    me = and_(employees.c.workspace_id == workspace_id, employees.c.email_key == email_key)
    mine = (
        select(_members.c.group_id, _members.c.connection_id)
        .join(
            employees,
            and_(employees.c.user_id == _members.c.member_id, employees.c.connection_id == _members.c.connection_id),
        )
        .where(me)
        .cte("mine", recursive=True)
    )
    holding = _members.alias("holding")
    mine = mine.union(
        select(holding.c.group_id, holding.c.connection_id).join(
            mine,
            and_(holding.c.member_id == mine.c.group_id, holding.c.connection_id == mine.c.connection_id),
        )
    )
    in_audience = (
        exists()
        .where(_audiences.c.publication_id == _publications.c.id)
        .where(_audiences.c.group_id == mine.c.group_id)
    )
    statement = (
        select(_publications)
        .where(_publications.c.workspace_id == workspace_id)
        .where(exists().where(me))
        .where(or_(_publications.c.restricted == false(), in_audience))
        .order_by(_publications.c.name_key)
    )
    if publication_id is not None:
        statement = statement.where(_publications.c.id == publication_id)
    return tx.execute(statement).all()


def publication_messages(tx: Transaction, workspace_id: str, rows: Sequence[AnyRow]) -> list[portal.Publication]:
    """Returns publications with their audiences as the contract shows them; a group under its present name."""
    audiences: dict[str, list[portal.Audience]] = {}
    for chunk in _chunks(row.id for row in rows if row.restricted):
        name = func.coalesce(_groups.c.display_name, _audiences.c.display_name)
        found = tx.execute(
            select(_audiences.c.publication_id, _audiences.c.group_id, name.label("name"))
            .join(_publications, _publications.c.id == _audiences.c.publication_id)
            .outerjoin(
                _groups,
                and_(_groups.c.id == _audiences.c.group_id, _groups.c.connection_id == _audiences.c.connection_id),
            )
            .where(_publications.c.workspace_id == workspace_id, _audiences.c.publication_id.in_(chunk))
            .order_by(name, _audiences.c.group_id)
        )
        for row in found:
            audience = portal.Audience(group_id=row.group_id, display_name=row.name)
            audiences.setdefault(row.publication_id, []).append(audience)
    messages = []
    for row in rows:
        message = portal.Publication(
            publication_id=row.id,
            workspace_id=row.workspace_id,
            name=row.name,
            restricted=row.restricted,
            audience=audiences.get(row.id, ()),
        )
        message.created_time.FromDatetime(row.created_at)
        messages.append(message)
    return messages
