"""Users, their tombstones, and the groups that each belongs to."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rollcall.directory.v1 import user_pb2
from sqlalchemy import Row, TextClause, bindparam, delete, false, func, literal, select, text, true, update

from chassis.database import Transaction
from chassis.scim_message import document_to_message
from directory_service.repository.inserts import insert_ignoring
from directory_service.repository.times import timestamp
from directory_service.repository.values import bind_values, owned_by, value_rows
from directory_service.tables import GROUP_MEMBERS, GROUPS, USERS

USER_COLUMNS = (
    USERS.c.position,
    USERS.c.id,
    USERS.c.connection_id,
    USERS.c.user_name,
    USERS.c.document,
    USERS.c.metadata,
    USERS.c.mapping_generation,
    USERS.c.version,
    USERS.c.created_ms,
    USERS.c.updated_ms,
)
"""The columns of which `user_message` makes a message."""


def etag(version: int) -> str:
    """Return the entity tag of a version, a weak one (RFC 7232 §2.3)."""
    return f'W/"{version}"'


def compose_user(
    user_id: str,
    connection_id: str,
    *,
    document: Mapping[str, Any],
    metadata: Mapping[str, Any],
    version: int,
    created_ms: int,
    updated_ms: int,
) -> user_pb2.User:
    """Return the message of a user; `groups` is left empty."""
    message = user_pb2.User(
        id=user_id,
        connection_id=connection_id,
        version=version,
        etag=etag(version),
        created_time=timestamp(created_ms),
        last_modified_time=timestamp(updated_ms),
    )
    document_to_message(document, message)
    if metadata:
        message.metadata.update(metadata)
    return message


def user_message(row: Row[Any]) -> user_pb2.User:
    """Return the message of a row of `USER_COLUMNS`."""
    return compose_user(
        row.id,
        row.connection_id,
        document=row.document,
        metadata=row.metadata,
        version=row.version,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
    )


_INSERT_USER = insert_ignoring(USERS, ("connection_id", "user_name_key"), returning=USERS.c.position)


def insert_user(
    tx: Transaction,
    connection_id: str,
    *,
    user_id: str,
    document: Mapping[str, Any],
    metadata: Mapping[str, Any],
    mapping_generation: int,
    now_ms: int,
) -> bool:
    """Insert a user with version 1; return False, having changed nothing, when the userName is taken."""
    user_name = document["userName"]
    inserted = tx.execute(
        _INSERT_USER[tx.dialect],
        {
            "id": user_id,
            "connection_id": connection_id,
            "user_name": user_name,
            "user_name_key": user_name.casefold(),
            "external_id": document.get("externalId"),
            "active": document["active"],
            "document": document,
            "metadata": metadata,
            "mapping_generation": mapping_generation,
            "version": 1,
            "created_ms": now_ms,
            "updated_ms": now_ms,
        },
    )
    return inserted.first() is not None


def find_users(
    tx: Transaction, connection_id: str, *, prefix: str, active: bool | None, after: str, limit: int
) -> Sequence[Row[Any]]:
    """Return users by the key of their userName, past `after`: those whose key begins with a text.

    Each row has the key too. `active` leaves out those of the other state; None: nobody.
    """
    key = USERS.c.user_name_key
    statement = select(*USER_COLUMNS, key).where(USERS.c.connection_id == connection_id)
    # A range, along the index on both databases: keys are compared by code point, and no text has a higher one.
    statement = statement.where(key > after) if after else statement.where(key >= prefix)
    if prefix:
        statement = statement.where(key < prefix + chr(sys.maxunicode))
    if active is not None:
        # In words of the statement, for the index of the inactive is found by them.
        statement = statement.where(USERS.c.active == (true() if active else false()))
    return tx.execute(statement.order_by(key).limit(limit)).all()


_GET_USER = select(*USER_COLUMNS).where(
    USERS.c.connection_id == bindparam("connection_id"), USERS.c.id == bindparam("user_id")
)


def get_user(tx: Transaction, connection_id: str, user_id: str) -> Row[Any] | None:
    """Return the row of a user, as `USER_COLUMNS`."""
    return tx.execute(_GET_USER, {"connection_id": connection_id, "user_id": user_id}).first()


_USER_BY_NAME = select(*USER_COLUMNS).where(
    USERS.c.connection_id == bindparam("connection_id"), USERS.c.user_name_key == bindparam("user_name_key")
)


def get_user_by_user_name(tx: Transaction, connection_id: str, user_name: str) -> Row[Any] | None:
    """Return the row of the user with a userName, compared without case."""
    parameters = {"connection_id": connection_id, "user_name_key": user_name.casefold()}
    return tx.execute(_USER_BY_NAME, parameters).first()


_UPDATE_USER = (
    update(USERS)
    .where(USERS.c.connection_id == bindparam("connection"), USERS.c.id == bindparam("user"))
    .values(
        user_name=bindparam("new_user_name"),
        user_name_key=bindparam("new_user_name_key"),
        external_id=bindparam("new_external_id"),
        active=bindparam("new_active"),
        document=bindparam("new_document", type_=USERS.c.document.type),
        metadata=bindparam("new_metadata", type_=USERS.c.metadata.type),
        mapping_generation=bindparam("new_mapping_generation"),
        version=bindparam("new_version"),
        updated_ms=bindparam("new_updated_ms"),
    )
)


def update_user(
    tx: Transaction,
    connection_id: str,
    user_id: str,
    *,
    document: Mapping[str, Any],
    metadata: Mapping[str, Any],
    mapping_generation: int,
    version: int,
    now_ms: int,
) -> None:
    """Write a user's new state; the userName must be free, which the connection's lock lets the caller make sure of."""
    user_name = document["userName"]
    tx.execute(
        _UPDATE_USER,
        {
            "connection": connection_id,
            "user": user_id,
            "new_user_name": user_name,
            "new_user_name_key": user_name.casefold(),
            "new_external_id": document.get("externalId"),
            "new_active": document["active"],
            "new_document": document,
            "new_metadata": metadata,
            "new_mapping_generation": mapping_generation,
            "new_version": version,
            "new_updated_ms": now_ms,
        },
    )


def delete_user(tx: Transaction, connection_id: str, user_id: str) -> None:
    """Delete the row of a user; its memberships and its tombstone are the caller's."""
    tx.execute(delete(USERS).where(USERS.c.connection_id == connection_id, USERS.c.id == user_id))


def first_users(tx: Transaction, connection_id: str, limit: int) -> Sequence[Row[Any]]:
    """Return the oldest users of a connection."""
    statement = (
        select(*USER_COLUMNS).where(USERS.c.connection_id == connection_id).order_by(USERS.c.position).limit(limit)
    )
    return tx.execute(statement).all()


def stale_users(tx: Transaction, connection_id: str, generation: int, limit: int) -> Sequence[Row[Any]]:
    """Return users whose metadata was made by an older generation of the mapping."""
    statement = (
        select(*USER_COLUMNS)
        .where(USERS.c.connection_id == connection_id, USERS.c.mapping_generation < generation)
        .order_by(USERS.c.mapping_generation, USERS.c.position)
        .limit(limit)
    )
    return tx.execute(statement).all()


def count_stale_users(tx: Transaction, connection_id: str, generation: int) -> int:
    """Count the users whose metadata was made by an older generation of the mapping."""
    statement = (
        select(func.count())
        .select_from(USERS)
        .where(USERS.c.connection_id == connection_id, USERS.c.mapping_generation < generation)
    )
    return int(tx.execute(statement).scalar_one())


def set_mapping_generation(tx: Transaction, connection_id: str, user_ids: Sequence[str], generation: int) -> None:
    """Mark users whose metadata a changed mapping left as it was."""
    values = value_rows(tx.dialect)
    statement = (
        update(USERS)
        .where(owned_by(USERS, connection_id), USERS.c.id.in_(select(values.c.value)))
        .values(mapping_generation=generation)
    )
    tx.execute(statement, bind_values(tx.dialect, user_ids))


# Managers of users


def _managers(dialect: str, key: str) -> TextClause:
    """Return the statement that looks managers up by a list of keys."""
    if dialect == "sqlite":
        display = "json_extract(t.document, '$.displayName')"
        # CROSS JOIN keeps this order of loops.
        source = f"json_each(:bound_values) AS v CROSS JOIN users AS t ON t.{key} = v.value"
    else:
        display = "t.document ->> 'displayName'"
        source = f"unnest(CAST(:bound_values AS text[])) AS v(value) JOIN users AS t ON t.{key} = v.value"
    return text(
        f"SELECT v.value AS named_by, t.id, {display} AS display_name FROM {source}"
        " WHERE t.connection_id = :connection_id ORDER BY t.position DESC"
    )


_MANAGERS = {
    dialect: {key: _managers(dialect, key) for key in ("id", "external_id")} for dialect in ("sqlite", "postgresql")
}


def fill_managers(tx: Transaction, connection_id: str, users: Iterable[user_pb2.User]) -> None:
    """Fill `id` and `display_name` of the managers who are users of the connection (RFC 7643 §4.3).

    One query for all users whose managers are named by id; one more where some are not. Of users with the same
    externalId the oldest counts. Users without a manager cost nothing.
    """
    managers: dict[str, list[user_pb2.Manager]] = {}
    for user in users:
        if user.HasField("enterprise") and (value := user.enterprise.manager.value):
            managers.setdefault(value, []).append(user.enterprise.manager)
    for key in ("id", "external_id"):
        if not managers:
            return
        parameters = {"connection_id": connection_id, **bind_values(tx.dialect, list(managers))}
        found = {row.named_by: row for row in tx.execute(_MANAGERS[tx.dialect][key], parameters)}
        for value, row in found.items():
            for manager in managers.pop(value):
                manager.id = row.id
                if row.display_name is not None:
                    manager.display_name = row.display_name


# Groups of users


def _memberships(dialect: str) -> Any:
    """Return the statement that climbs from users to the groups above them, nested ones included."""
    users = value_rows(dialect)
    direct = select(
        GROUP_MEMBERS.c.member_id.label("user_id"), GROUP_MEMBERS.c.group_id, literal(1).label("direct")
    ).join_from(users, GROUP_MEMBERS, GROUP_MEMBERS.c.member_id == users.c.value)
    above = direct.cte("above", recursive=True)
    nested = select(above.c.user_id, GROUP_MEMBERS.c.group_id, literal(0)).join_from(
        above, GROUP_MEMBERS, GROUP_MEMBERS.c.member_id == above.c.group_id
    )
    above = above.union(nested)
    return (
        select(above.c.user_id, GROUPS.c.id, GROUPS.c.display_name, func.max(above.c.direct).label("direct"))
        .join_from(above, GROUPS, GROUPS.c.id == above.c.group_id)
        .where(owned_by(GROUPS, bindparam("connection_id")))
        .group_by(above.c.user_id, GROUPS.c.id, GROUPS.c.display_name, GROUPS.c.position)
        .order_by(GROUPS.c.position)
    )


_MEMBERSHIPS = {dialect: _memberships(dialect) for dialect in ("sqlite", "postgresql")}


def fill_groups(tx: Transaction, connection_id: str, users: Iterable[user_pb2.User]) -> None:
    """Fill `groups` of users in one query, oldest group first (RFC 7643 §4.1.2)."""
    by_id = {user.id: user for user in users}
    if not by_id:
        return
    parameters = {"connection_id": connection_id, **bind_values(tx.dialect, list(by_id))}
    for row in tx.execute(_MEMBERSHIPS[tx.dialect], parameters):
        by_id[row.user_id].groups.add(
            group_id=row.id,
            display_name=row.display_name,
            type=user_pb2.MEMBERSHIP_TYPE_DIRECT if row.direct else user_pb2.MEMBERSHIP_TYPE_INDIRECT,
        )
