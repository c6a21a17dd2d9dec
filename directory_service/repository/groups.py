"""Groups, their members, one row each, and parked members. Cost follows the change, not the size of a group."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from rollcall.directory.v1 import group_pb2
from sqlalchemy import (
    Row,
    Select,
    Table,
    TextClause,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)

from chassis.database import Transaction
from chassis.scim_message import document_to_message
from directory_service.domain.parking import Candidates, Named, Parked, ParkedValue
from directory_service.query import MEMBER_SOURCE, Condition
from directory_service.repository.inserts import insert_ignoring
from directory_service.repository.times import timestamp
from directory_service.repository.users import etag
from directory_service.repository.values import bind_values, owned_by, value_rows
from directory_service.tables import (
    DELETED_GROUPS,
    GROUP_MEMBERS,
    GROUPS,
    KIND_GROUP,
    KIND_USER,
    PARKED_MEMBERS,
    USERS,
)

DIALECTS = ("sqlite", "postgresql")

ROWS_DELETED_AT_ONCE = 500
"""Rows of a deleted group's members, or of its parked values, that one transaction removes."""

MEMBER_TYPES = {KIND_USER: group_pb2.MEMBER_TYPE_USER, KIND_GROUP: group_pb2.MEMBER_TYPE_GROUP}

GROUP_COLUMNS = (
    GROUPS.c.position,
    GROUPS.c.id,
    GROUPS.c.connection_id,
    GROUPS.c.display_name,
    GROUPS.c.document,
    GROUPS.c.member_count,
    GROUPS.c.last_member_position,
    GROUPS.c.version,
    GROUPS.c.created_ms,
    GROUPS.c.updated_ms,
)
"""The columns of which `group_message` makes a message."""


@dataclass(slots=True)
class GroupState:
    """A group of a locked connection, with what the transaction has changed of it so far; see `store_group`."""

    id: str
    connection_id: str
    document: dict[str, Any] = field(repr=False)
    member_count: int
    last_member_position: int
    version: int
    created_ms: int
    updated_ms: int


def group_message(group: GroupState | Row[Any]) -> group_pb2.Group:
    """Return the message of a group, without members."""
    message = group_pb2.Group(
        id=group.id,
        connection_id=group.connection_id,
        member_count=group.member_count,
        version=group.version,
        etag=etag(group.version),
        created_time=timestamp(group.created_ms),
        last_modified_time=timestamp(group.updated_ms),
    )
    return document_to_message(group.document, message)


def member_message(named: Named) -> group_pb2.Member:
    """Return the message of a member."""
    return group_pb2.Member(value=named.id, type=MEMBER_TYPES[named.kind], display=named.shown)


_INSERT_GROUP = insert_ignoring(GROUPS, ("connection_id", "display_name_key"), returning=GROUPS.c.position)


def insert_group(tx: Transaction, connection_id: str, group: GroupState) -> bool:
    """Insert a group; return False, having changed nothing, when the displayName is taken."""
    inserted = tx.execute(
        _INSERT_GROUP[tx.dialect],
        {
            "id": group.id,
            "connection_id": connection_id,
            **_names(group.document),
            "document": group.document,
            "member_count": group.member_count,
            "last_member_position": group.last_member_position,
            "version": group.version,
            "created_ms": group.created_ms,
            "updated_ms": group.updated_ms,
        },
    )
    return inserted.first() is not None


def _names(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    return {
        f"{prefix}display_name": document["displayName"],
        f"{prefix}display_name_key": document["displayName"].casefold(),
        f"{prefix}external_id": document.get("externalId"),
    }


_GET_GROUP = select(*GROUP_COLUMNS).where(
    GROUPS.c.connection_id == bindparam("connection_id"), GROUPS.c.id == bindparam("group_id")
)


def get_group(tx: Transaction, connection_id: str, group_id: str) -> GroupState | None:
    """Return a group."""
    row = tx.execute(_GET_GROUP, {"connection_id": connection_id, "group_id": group_id}).first()
    return None if row is None else _state(row)


def get_groups(tx: Transaction, connection_id: str, group_ids: Sequence[str]) -> list[GroupState]:
    """Return groups in the order of their creation."""
    values = value_rows(tx.dialect)
    statement = (
        select(*GROUP_COLUMNS)
        .join_from(values, GROUPS, GROUPS.c.id == values.c.value)
        .where(owned_by(GROUPS, connection_id))
    )
    rows = tx.execute(statement, bind_values(tx.dialect, group_ids)).all()
    return [_state(row) for row in sorted(rows, key=lambda row: row.position)]


def first_groups(tx: Transaction, connection_id: str, limit: int) -> list[GroupState]:
    """Return the oldest groups of a connection."""
    statement = (
        select(*GROUP_COLUMNS).where(GROUPS.c.connection_id == connection_id).order_by(GROUPS.c.position).limit(limit)
    )
    return [_state(row) for row in tx.execute(statement)]


def group_name_taken(tx: Transaction, connection_id: str, display_name: str, group_id: str) -> bool:
    """Tell whether another group of the connection has a displayName, compared without case."""
    statement = select(GROUPS.c.id).where(
        GROUPS.c.connection_id == connection_id, GROUPS.c.display_name_key == display_name.casefold()
    )
    return tx.execute(statement).scalar() not in (None, group_id)


def _state(row: Row[Any]) -> GroupState:
    return GroupState(
        id=row.id,
        connection_id=row.connection_id,
        document=row.document,
        member_count=row.member_count,
        last_member_position=row.last_member_position,
        version=row.version,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
    )


_STORE_GROUP = (
    update(GROUPS)
    .where(GROUPS.c.connection_id == bindparam("connection"), GROUPS.c.id == bindparam("group"))
    .values(
        display_name=bindparam("new_display_name"),
        display_name_key=bindparam("new_display_name_key"),
        external_id=bindparam("new_external_id"),
        document=bindparam("new_document", type_=GROUPS.c.document.type),
        member_count=bindparam("new_member_count"),
        last_member_position=bindparam("new_last_member_position"),
        version=bindparam("new_version"),
        updated_ms=bindparam("new_updated_ms"),
    )
)


def store_group(tx: Transaction, connection_id: str, group: GroupState) -> None:
    """Write a group's new state; its displayName must be free, see `group_name_taken`."""
    tx.execute(
        _STORE_GROUP,
        {
            "connection": connection_id,
            "group": group.id,
            **_names(group.document, "new_"),
            "new_document": group.document,
            "new_member_count": group.member_count,
            "new_last_member_position": group.last_member_position,
            "new_version": group.version,
            "new_updated_ms": group.updated_ms,
        },
    )


def delete_group(tx: Transaction, connection_id: str, group_id: str) -> tuple[int, list[str]]:
    """Delete a group with its members and parked values, and its own place in groups above it.

    Of a large group rows may be left, which belong to nothing any more: `purge_deleted_group` removes them. Return how
    many parked values went, and the ids of the groups above.
    """
    above = remove_from_groups(tx, connection_id, group_id)
    tx.execute(delete(GROUPS).where(GROUPS.c.connection_id == connection_id, GROUPS.c.id == group_id))
    parked, more = _remove_rows(tx, connection_id, group_id)
    if more:
        tx.execute(insert(DELETED_GROUPS), {"group_id": group_id, "connection_id": connection_id})
    return parked, above


def _some_rows(table: Table, key: Any) -> Any:
    mine = (table.c.group_id == bindparam("group"), owned_by(table, bindparam("connection")))
    some = select(key).where(*mine).limit(ROWS_DELETED_AT_ONCE)
    return delete(table).where(*mine, key.in_(some.scalar_subquery()))


_SOME_MEMBERS = _some_rows(GROUP_MEMBERS, GROUP_MEMBERS.c.member_id)
_SOME_PARKED = _some_rows(PARKED_MEMBERS, PARKED_MEMBERS.c.value)


def _remove_rows(tx: Transaction, connection_id: str, group_id: str) -> tuple[int, bool]:
    """Remove some members and parked values of a group; return how many of these went, and whether more may be left."""
    parameters = {"group": group_id, "connection": connection_id}
    members = tx.execute(_SOME_MEMBERS, parameters).rowcount
    parked = tx.execute(_SOME_PARKED, parameters).rowcount
    return parked, ROWS_DELETED_AT_ONCE in (members, parked)


def first_deleted_group(tx: Transaction, connection_id: str | None = None) -> tuple[str, str] | None:
    """Return the connection and the id of a deleted group that has rows left, on any connection or on one."""
    statement = select(DELETED_GROUPS.c.connection_id, DELETED_GROUPS.c.group_id).limit(1)
    if connection_id is not None:
        statement = statement.where(DELETED_GROUPS.c.connection_id == connection_id)
    row = tx.execute(statement).first()
    return None if row is None else (row.connection_id, row.group_id)


def purge_deleted_group(tx: Transaction, connection_id: str, group_id: str) -> int:
    """Remove some rows of a deleted group, and forget it once none is left; return how many parked values went."""
    parked, more = _remove_rows(tx, connection_id, group_id)
    if not more:
        tx.execute(delete(DELETED_GROUPS).where(DELETED_GROUPS.c.group_id == group_id))
    return parked


# Members


def _insert_members(dialect: str, *, stated: bool) -> TextClause:
    """Return the statement that inserts a list of members; with `stated` it has what each is called beside its id."""
    if dialect == "sqlite":
        # A pair as one element: a second list could only be reached by counting through it for every member.
        member = "json_extract(v.value, '$[0]'), json_extract(v.value, '$[1]')" if stated else "v.value, NULL"
        # WHERE tells the parser that ON belongs to the conflict clause.
        source = (
            f"SELECT :group_id, :connection_id, :kind, :base + v.key, {member}"
            " FROM json_each(:bound_values) AS v WHERE 1"
        )
    else:
        member, columns, displays = "v.value, NULL", "value, n", ""
        if stated:
            member, columns = "v.value, NULLIF(v.display, '')", "value, display, n"
            displays = ", CAST(:bound_displays AS text[])"
        source = (
            f"SELECT :group_id, :connection_id, CAST(:kind AS smallint), CAST(:base AS bigint) + v.n, {member}"
            f" FROM unnest(CAST(:bound_values AS text[]){displays}) WITH ORDINALITY AS v({columns})"
        )
    return text(
        f"INSERT INTO group_members (group_id, connection_id, kind, position, member_id, display) {source}"
        " ON CONFLICT (group_id, member_id) DO NOTHING RETURNING member_id"
    )


_INSERT_MEMBERS = {dialect: _insert_members(dialect, stated=False) for dialect in DIALECTS}
_INSERT_STATED_MEMBERS = {dialect: _insert_members(dialect, stated=True) for dialect in DIALECTS}


def _bind_stated(dialect: str, members: Sequence[Named]) -> dict[str, Any]:
    if dialect == "sqlite":
        return {"bound_values": orjson.dumps([(member.id, member.stated or None) for member in members]).decode()}
    return {
        "bound_values": [member.id for member in members],
        "bound_displays": [member.stated for member in members],
    }


def add_members(tx: Transaction, connection_id: str, group: GroupState, members: Sequence[Named]) -> list[Named]:
    """Make resources members, and return those that were not yet, in the order given."""
    added: set[str] = set()
    for kind in (KIND_USER, KIND_GROUP):
        alike = [member for member in members if member.kind == kind]
        if not alike:
            continue
        if any(member.stated for member in alike):
            statement, listed = _INSERT_STATED_MEMBERS[tx.dialect], _bind_stated(tx.dialect, alike)
        else:
            statement = _INSERT_MEMBERS[tx.dialect]
            listed = bind_values(tx.dialect, [member.id for member in alike])
        parameters = {
            "group_id": group.id,
            "connection_id": connection_id,
            "kind": kind,
            "base": group.last_member_position + 1,
            **listed,
        }
        joined = set(tx.execute(statement, parameters).scalars())
        if joined:
            group.last_member_position += len(alike) + 1
            added |= joined
    group.member_count += len(added)
    return [member for member in members if member.id in added]


def _members_in(dialect: str, *, inside: bool) -> Any:
    values = select(value_rows(dialect).c.value)
    among = GROUP_MEMBERS.c.member_id.in_(values) if inside else GROUP_MEMBERS.c.member_id.not_in(values)
    return (
        delete(GROUP_MEMBERS)
        .where(
            GROUP_MEMBERS.c.group_id == bindparam("group"),
            GROUP_MEMBERS.c.connection_id == bindparam("connection"),
            among,
        )
        .returning(GROUP_MEMBERS.c.member_id, GROUP_MEMBERS.c.kind)
    )


_REMOVE_MEMBERS = {dialect: _members_in(dialect, inside=True) for dialect in DIALECTS}
_KEEP_MEMBERS = {dialect: _members_in(dialect, inside=False) for dialect in DIALECTS}


def remove_members(tx: Transaction, connection_id: str, group: GroupState, member_ids: Sequence[str]) -> list[Named]:
    """Remove members by id, and return those that were there."""
    return _remove(tx, connection_id, group, _REMOVE_MEMBERS[tx.dialect], member_ids)


def keep_members(tx: Transaction, connection_id: str, group: GroupState, member_ids: Sequence[str]) -> list[Named]:
    """Remove every member but these, and return those that were removed."""
    return _remove(tx, connection_id, group, _KEEP_MEMBERS[tx.dialect], member_ids)


def _remove(
    tx: Transaction, connection_id: str, group: GroupState, statement: Any, member_ids: Sequence[str]
) -> list[Named]:
    parameters = {"group": group.id, "connection": connection_id, **bind_values(tx.dialect, member_ids)}
    removed = [Named(row.member_id, row.kind, "") for row in tx.execute(statement, parameters)]
    group.member_count -= len(removed)
    return removed


def _members_among(dialect: str) -> Any:
    values = value_rows(dialect)
    return select(GROUP_MEMBERS.c.member_id, GROUP_MEMBERS.c.kind).where(
        GROUP_MEMBERS.c.group_id == bindparam("group_id"),
        GROUP_MEMBERS.c.connection_id == bindparam("connection_id"),
        GROUP_MEMBERS.c.member_id.in_(select(values.c.value)),
    )


_MEMBERS_AMONG = {dialect: _members_among(dialect) for dialect in DIALECTS}


def members_among(tx: Transaction, connection_id: str, group_id: str, values: Sequence[str]) -> dict[str, Named]:
    """Return those of the values that are ids of members; what they display is not read."""
    parameters = {"group_id": group_id, "connection_id": connection_id, **bind_values(tx.dialect, values)}
    rows = tx.execute(_MEMBERS_AMONG[tx.dialect], parameters)
    return {row.member_id: Named(row.member_id, row.kind, "") for row in rows}


def members_where(tx: Transaction, connection_id: str, group_id: str, condition: Condition) -> list[str]:
    """Return the ids of the members that satisfy a condition on `query.MEMBER_SOURCE`."""
    statement = text(
        f"SELECT m.member_id FROM {MEMBER_SOURCE} WHERE m.group_id = :group_id AND m.connection_id = :connection_id"
        f" AND {condition.sql}"
    )
    parameters = {"group_id": group_id, "connection_id": connection_id, **condition.parameters}
    return list(tx.execute(statement, parameters).scalars())


def remove_from_groups(tx: Transaction, connection_id: str, member_id: str) -> list[str]:
    """End every direct membership of a resource, and return the ids of the groups it was in."""
    statement = (
        delete(GROUP_MEMBERS)
        .where(GROUP_MEMBERS.c.member_id == member_id, owned_by(GROUP_MEMBERS, connection_id))
        .returning(GROUP_MEMBERS.c.group_id)
    )
    return list(tx.execute(statement).scalars())


def groups_above(tx: Transaction, connection_id: str, group_id: str) -> set[str]:
    """Return a group's own id and those of every group that it belongs to, nested ones included."""
    above = select(literal(group_id, GROUPS.c.id.type).label("id")).cte("above", recursive=True)
    above = above.union(
        select(GROUP_MEMBERS.c.group_id)
        .join_from(above, GROUP_MEMBERS, GROUP_MEMBERS.c.member_id == above.c.id)
        .where(owned_by(GROUP_MEMBERS, connection_id))
    )
    return set(tx.execute(select(above.c.id)).scalars())


def _member_rows() -> Select[Any]:
    return (
        select(
            GROUP_MEMBERS.c.group_id,
            GROUP_MEMBERS.c.position,
            GROUP_MEMBERS.c.member_id,
            GROUP_MEMBERS.c.kind,
            func.coalesce(GROUP_MEMBERS.c.display, USERS.c.user_name, GROUPS.c.display_name, "").label("display"),
        )
        .select_from(
            GROUP_MEMBERS.outerjoin(
                USERS, (GROUP_MEMBERS.c.kind == KIND_USER) & (USERS.c.id == GROUP_MEMBERS.c.member_id)
            ).outerjoin(GROUPS, (GROUP_MEMBERS.c.kind == KIND_GROUP) & (GROUPS.c.id == GROUP_MEMBERS.c.member_id))
        )
        .where(GROUP_MEMBERS.c.connection_id == bindparam("connection_id"))
    )


_MEMBERS_AFTER = (
    _member_rows()
    .where(GROUP_MEMBERS.c.group_id == bindparam("group_id"), GROUP_MEMBERS.c.position > bindparam("after"))
    .order_by(GROUP_MEMBERS.c.position)
    .limit(bindparam("row_limit"))
)
_MEMBERS_OF = {
    dialect: _member_rows()
    .where(GROUP_MEMBERS.c.group_id.in_(select(value_rows(dialect).c.value)))
    .order_by(GROUP_MEMBERS.c.group_id, GROUP_MEMBERS.c.position)
    for dialect in DIALECTS
}


def members_after(
    tx: Transaction, connection_id: str, group_id: str, *, after: int, limit: int
) -> tuple[list[group_pb2.Member], int]:
    """Return members in the order of joining after a position, and the position of the last."""
    rows = tx.execute(
        _MEMBERS_AFTER,
        {"connection_id": connection_id, "group_id": group_id, "after": after, "row_limit": limit},
    ).all()
    return [_member(row) for row in rows], rows[-1].position if rows else after


def fill_members(tx: Transaction, connection_id: str, groups: Iterable[group_pb2.Group], *, limit: int) -> None:
    """Fill `members` of groups, up to `limit` in each: one query for all that are smaller, one for each larger one."""
    small = {}
    for group in groups:
        if group.member_count > limit:
            group.members.extend(members_after(tx, connection_id, group.id, after=-1, limit=limit)[0])
        elif group.member_count:
            small[group.id] = group
    if small:
        parameters = {"connection_id": connection_id, **bind_values(tx.dialect, list(small))}
        for row in tx.execute(_MEMBERS_OF[tx.dialect], parameters):
            small[row.group_id].members.append(_member(row))


def _member(row: Row[Any]) -> group_pb2.Member:
    return group_pb2.Member(value=row.member_id, type=MEMBER_TYPES[row.kind], display=row.display)


# What values name


def _named(dialect: str, table: str, display: str, key: str) -> TextClause:
    """Return the statement that looks resources up by a list of keys, each by its index whatever the planner thinks."""
    if dialect == "sqlite":
        # CROSS JOIN keeps this order of loops.
        source = f"json_each(:bound_values) AS v CROSS JOIN {table} AS t ON t.{key} = v.value"
    else:
        source = f"unnest(CAST(:bound_values AS text[])) AS v(value) JOIN {table} AS t ON t.{key} = v.value"
    return text(
        f"SELECT v.value AS named_by, t.id, t.{display} AS display, t.position FROM {source}"
        " WHERE t.connection_id = :connection_id"
    )


_NAMED = {
    dialect: {
        "user_id": _named(dialect, "users", "user_name", "id"),
        "user_external_id": _named(dialect, "users", "user_name", "external_id"),
        "user_name": _named(dialect, "users", "user_name", "user_name_key"),
        "group_id": _named(dialect, "groups", "display_name", "id"),
        "group_external_id": _named(dialect, "groups", "display_name", "external_id"),
    }
    for dialect in DIALECTS
}


def find_named(tx: Transaction, connection_id: str, values: Sequence[str], group_values: Sequence[str]) -> Candidates:
    """Return the resources of the connection that values may name; `group_values` are those sent with type Group.

    Of resources with the same externalId the oldest counts. Later lookups ask only for what the earlier left open, so a
    list of ids costs one query.
    """

    def look_up(key: str, wanted: Sequence[str], kind: int) -> dict[str, Named]:
        if not wanted:
            return {}
        parameters = {"connection_id": connection_id, **bind_values(tx.dialect, wanted)}
        rows = tx.execute(_NAMED[tx.dialect][key], parameters).all()
        # Newest first, so that the oldest is what remains.
        ordered = sorted(rows, key=lambda row: row.position, reverse=True)
        return {row.named_by: Named(row.id, kind, row.display) for row in ordered}

    users_by_id = look_up("user_id", values, KIND_USER)
    open_values = [value for value in values if value not in users_by_id]
    groups_by_id = look_up("group_id", [*open_values, *group_values], KIND_GROUP)
    open_values = [value for value in open_values if value not in groups_by_id]
    users_by_external_id = look_up("user_external_id", open_values, KIND_USER)
    open_values = [value for value in open_values if value not in users_by_external_id]
    return Candidates(
        users_by_id=users_by_id,
        groups_by_id=groups_by_id,
        users_by_external_id=users_by_external_id,
        groups_by_external_id=look_up(
            "group_external_id", [value for value in group_values if value not in groups_by_id], KIND_GROUP
        ),
        users_by_user_name=look_up("user_name", [value.casefold() for value in open_values], KIND_USER),
    )


# Parked members

_PARK = insert_ignoring(PARKED_MEMBERS, ("group_id", "value"), returning=PARKED_MEMBERS.c.position)


def park(tx: Transaction, connection_id: str, group_id: str, values: Mapping[str, Parked], now_ms: int) -> int:
    """Park values, each with what is kept of it, and return how many were not parked yet."""
    count = 0
    for value, parked in values.items():
        result = tx.execute(
            _PARK[tx.dialect],
            {
                "group_id": group_id,
                "value": value,
                "value_key": value.casefold(),
                "connection_id": connection_id,
                "kind": parked.kind,
                "display": parked.display or None,
                "parked_ms": now_ms,
            },
        )
        count += result.first() is not None
    return count


def _unpark(dialect: str, *, inside: bool) -> Any:
    values = select(value_rows(dialect).c.value)
    among = PARKED_MEMBERS.c.value.in_(values) if inside else PARKED_MEMBERS.c.value.not_in(values)
    return delete(PARKED_MEMBERS).where(
        PARKED_MEMBERS.c.group_id == bindparam("group"),
        owned_by(PARKED_MEMBERS, bindparam("connection")),
        among,
    )


_UNPARK = {dialect: _unpark(dialect, inside=True) for dialect in DIALECTS}
_KEEP_PARKED = {dialect: _unpark(dialect, inside=False) for dialect in DIALECTS}


def unpark(tx: Transaction, connection_id: str, group_id: str, values: Sequence[str]) -> int:
    """Drop parked values of a group, and return how many there were."""
    parameters = {"group": group_id, "connection": connection_id, **bind_values(tx.dialect, values)}
    return tx.execute(_UNPARK[tx.dialect], parameters).rowcount


def keep_parked(tx: Transaction, connection_id: str, group_id: str, values: Sequence[str]) -> int:
    """Drop every parked value of a group but these, and return how many were dropped."""
    parameters = {"group": group_id, "connection": connection_id, **bind_values(tx.dialect, values)}
    return tx.execute(_KEEP_PARKED[tx.dialect], parameters).rowcount


def parked_of_group(tx: Transaction, connection_id: str, group_id: str) -> dict[str, Parked]:
    """Return the parked values of a group, with what is kept of each."""
    statement = (
        select(PARKED_MEMBERS.c.value, PARKED_MEMBERS.c.kind, PARKED_MEMBERS.c.display)
        .where(PARKED_MEMBERS.c.group_id == group_id, owned_by(PARKED_MEMBERS, connection_id))
        .order_by(PARKED_MEMBERS.c.position)
    )
    return {row.value: Parked(row.kind, row.display or "") for row in tx.execute(statement)}


_PARKED_FOR = (
    select(PARKED_MEMBERS.c.group_id, PARKED_MEMBERS.c.value, PARKED_MEMBERS.c.display)
    .where(
        PARKED_MEMBERS.c.connection_id == bindparam("connection_id"),
        PARKED_MEMBERS.c.kind == bindparam("kind"),
        PARKED_MEMBERS.c.value_key.in_(bindparam("keys", expanding=True)),
    )
    .order_by(PARKED_MEMBERS.c.position)
)


def parked_for(tx: Transaction, connection_id: str, kind: int, names: Iterable[str]) -> list[ParkedValue]:
    """Return the parked values that equal one of the names, compared without case, oldest first."""
    parameters = {"connection_id": connection_id, "kind": kind, "keys": sorted({name.casefold() for name in names})}
    return [ParkedValue(row.group_id, row.value, row.display or "") for row in tx.execute(_PARKED_FOR, parameters)]


_WAITING_GROUPS = (
    select(GROUPS.c.id, GROUPS.c.external_id, GROUPS.c.display_name)
    .join_from(
        PARKED_MEMBERS,
        GROUPS,
        (GROUPS.c.connection_id == PARKED_MEMBERS.c.connection_id)
        & or_(GROUPS.c.id == PARKED_MEMBERS.c.value, GROUPS.c.external_id == PARKED_MEMBERS.c.value),
    )
    .where(PARKED_MEMBERS.c.connection_id == bindparam("connection_id"), PARKED_MEMBERS.c.kind == KIND_GROUP)
    .group_by(GROUPS.c.id, GROUPS.c.external_id, GROUPS.c.display_name, GROUPS.c.position)
    .order_by(GROUPS.c.position)
)


def waiting_groups(tx: Transaction, connection_id: str) -> list[tuple[Named, str]]:
    """Return the groups that a parked value names although they exist, each with its externalId, oldest first."""
    found = tx.execute(_WAITING_GROUPS, {"connection_id": connection_id})
    return [(Named(row.id, KIND_GROUP, row.display_name), row.external_id or "") for row in found]


def list_parked(
    tx: Transaction, connection_id: str, group_id: str | None, *, after: int, limit: int
) -> tuple[list[group_pb2.ParkedMember], int]:
    """Return parked members in the order of parking after a position, and the position of the last."""
    statement = (
        select(PARKED_MEMBERS, GROUPS.c.display_name)
        .join(GROUPS, GROUPS.c.id == PARKED_MEMBERS.c.group_id)
        .where(PARKED_MEMBERS.c.connection_id == connection_id, PARKED_MEMBERS.c.position > after)
        .order_by(PARKED_MEMBERS.c.position)
        .limit(limit)
    )
    if group_id is not None:
        statement = statement.where(PARKED_MEMBERS.c.group_id == group_id)
    rows = tx.execute(statement).all()
    parked = [
        group_pb2.ParkedMember(
            group_id=row.group_id,
            group_display_name=row.display_name,
            value=row.value,
            parked_time=timestamp(row.parked_ms),
        )
        for row in rows
    ]
    return parked, rows[-1].position if rows else after


def count_parked(tx: Transaction, connection_id: str, group_id: str | None) -> int:
    """Count the parked values of a connection, or of one of its groups."""
    statement = (
        select(func.count())
        .select_from(PARKED_MEMBERS.join(GROUPS, GROUPS.c.id == PARKED_MEMBERS.c.group_id))
        .where(PARKED_MEMBERS.c.connection_id == connection_id)
    )
    if group_id is not None:
        statement = statement.where(PARKED_MEMBERS.c.group_id == group_id)
    return int(tx.execute(statement).scalar_one())
