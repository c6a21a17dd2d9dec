"""Workspaces, connections and tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollcall.directory.v1 import connection_service_pb2 as pb
from sqlalchemy import Row, and_, bindparam, delete, exists, func, insert, or_, select, update

from chassis.database import Transaction
from directory_service.repository.times import timestamp
from directory_service.repository.tombstones import insert_tombstone
from directory_service.tables import (
    CONNECTIONS,
    KIND_CONNECTION,
    STATE_DELETING,
    STATE_ENABLED,
    TOKENS,
    USERS,
    WORKSPACES,
)

# Workspaces


def insert_workspace(tx: Transaction, workspace_id: str, *, name: str, slug: str, now_ms: int) -> None:
    """Insert a workspace; a slug that is taken is an IntegrityError, see `taken_slugs`."""
    tx.execute(_INSERT_WORKSPACE, {"id": workspace_id, "name": name, "slug": slug, "created_ms": now_ms})


_INSERT_WORKSPACE = insert(WORKSPACES)


def taken_slugs(tx: Transaction, stem: str) -> set[str]:
    """Return the slugs that are the stem, or the stem with a suffix."""
    pattern = stem.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "-%"
    statement = select(WORKSPACES.c.slug).where(
        or_(WORKSPACES.c.slug == stem, WORKSPACES.c.slug.like(pattern, escape="\\"))
    )
    return set(tx.execute(statement).scalars())


def find_workspace(tx: Transaction, workspace: str) -> pb.Workspace | None:
    """Return a workspace by its id, else by its slug."""
    for column in (WORKSPACES.c.id, WORKSPACES.c.slug):
        row = tx.execute(select(WORKSPACES).where(column == workspace)).first()
        if row is not None:
            return _workspace(row)
    return None


def lock_workspace(tx: Transaction, workspace_id: str) -> pb.Workspace | None:
    """Return a workspace by its id and hold its row until the transaction ends."""
    row = tx.execute(select(WORKSPACES).where(WORKSPACES.c.id == workspace_id).with_for_update()).first()
    return None if row is None else _workspace(row)


def list_workspaces(tx: Transaction, *, after: tuple[str, str] | None, limit: int) -> list[pb.Workspace]:
    """Return workspaces by name, then id, after a (name, id) pair."""
    statement = select(WORKSPACES).order_by(WORKSPACES.c.name, WORKSPACES.c.id).limit(limit)
    if after is not None:
        name, workspace_id = after
        statement = statement.where(
            or_(WORKSPACES.c.name > name, and_(WORKSPACES.c.name == name, WORKSPACES.c.id > workspace_id))
        )
    return [_workspace(row) for row in tx.execute(statement)]


def workspace_has_connections(tx: Transaction, workspace_id: str) -> bool:
    """Tell whether a workspace has connections, whatever their state."""
    return bool(tx.execute(select(exists().where(CONNECTIONS.c.workspace_id == workspace_id))).scalar())


def delete_workspace(tx: Transaction, workspace_id: str) -> None:
    """Delete the row of a workspace."""
    tx.execute(delete(WORKSPACES).where(WORKSPACES.c.id == workspace_id))


def _workspace(row: Row[Any]) -> pb.Workspace:
    return pb.Workspace(workspace_id=row.id, name=row.name, slug=row.slug, created_time=timestamp(row.created_ms))


# Connections


@dataclass(slots=True)
class LockedConnection:
    """A connection whose row this transaction holds, with what the transaction has changed of it so far.

    `sequence`, `version` and the counts are written back by `store_connection`.
    """

    id: str
    workspace_id: str
    portal: str
    state: str
    version: int
    sequence: int
    user_count: int
    group_count: int
    parked_count: int
    mapping: list[dict[str, Any]] = field(repr=False)
    mapping_generation: int


_LOCK_CONNECTION = (
    select(
        CONNECTIONS.c.id,
        CONNECTIONS.c.workspace_id,
        CONNECTIONS.c.portal,
        CONNECTIONS.c.state,
        CONNECTIONS.c.version,
        CONNECTIONS.c.sequence,
        CONNECTIONS.c.user_count,
        CONNECTIONS.c.group_count,
        CONNECTIONS.c.parked_count,
        CONNECTIONS.c.mapping,
        CONNECTIONS.c.mapping_generation,
    )
    .where(CONNECTIONS.c.id == bindparam("connection_id"))
    # No key of the row changes, so rows that refer to it may still be inserted by others.
    .with_for_update(key_share=True)
)


def lock_connection(tx: Transaction, connection_id: str) -> LockedConnection | None:
    """Lock a connection's row: the first thing every write on a connection does."""
    row = tx.execute(_LOCK_CONNECTION, {"connection_id": connection_id}).first()
    return None if row is None else LockedConnection(**row._mapping)


_STORE_CONNECTION = (
    update(CONNECTIONS)
    .where(CONNECTIONS.c.id == bindparam("connection_id"))
    .values(
        version=bindparam("new_version"),
        sequence=bindparam("new_sequence"),
        user_count=bindparam("new_user_count"),
        group_count=bindparam("new_group_count"),
        parked_count=bindparam("new_parked_count"),
    )
)


def store_connection(tx: Transaction, connection: LockedConnection) -> None:
    """Write back what a transaction changed of a locked connection."""
    tx.execute(
        _STORE_CONNECTION,
        {
            "connection_id": connection.id,
            "new_version": connection.version,
            "new_sequence": connection.sequence,
            "new_user_count": connection.user_count,
            "new_group_count": connection.group_count,
            "new_parked_count": connection.parked_count,
        },
    )


def insert_connection(
    tx: Transaction, connection_id: str, *, workspace_id: str, portal: str, display_name: str, now_ms: int
) -> None:
    """Insert an enabled connection that has published nothing yet."""
    tx.execute(
        insert(CONNECTIONS),
        {
            "id": connection_id,
            "workspace_id": workspace_id,
            "portal": portal,
            "display_name": display_name,
            "state": STATE_ENABLED,
            "version": 0,
            "sequence": 0,
            "user_count": 0,
            "group_count": 0,
            "parked_count": 0,
            "mapping": [],
            "mapping_generation": 1,
            "created_ms": now_ms,
            "last_request_ms": None,
        },
    )


def enabled_connection(tx: Transaction, workspace_id: str, portal: str) -> str | None:
    """Return the id of the enabled connection of a portal."""
    statement = select(CONNECTIONS.c.id).where(
        CONNECTIONS.c.workspace_id == workspace_id, CONNECTIONS.c.portal == portal, CONNECTIONS.c.state == STATE_ENABLED
    )
    return tx.execute(statement).scalar()


_GET_CONNECTION = select(CONNECTIONS).where(CONNECTIONS.c.id == bindparam("connection_id"))


def get_connection(tx: Transaction, connection_id: str) -> Row[Any] | None:
    """Return the row of a connection, not locked."""
    return tx.execute(_GET_CONNECTION, {"connection_id": connection_id}).first()


def list_connections(
    tx: Transaction, workspace_id: str | None, *, after: tuple[int, str] | None, limit: int
) -> Sequence[Row[Any]]:
    """Return the rows of connections by time of creation, then id; of every workspace when none is given."""
    statement = select(CONNECTIONS).order_by(CONNECTIONS.c.created_ms, CONNECTIONS.c.id).limit(limit)
    if workspace_id is not None:
        statement = statement.where(CONNECTIONS.c.workspace_id == workspace_id)
    if after is not None:
        created_ms, connection_id = after
        statement = statement.where(
            or_(
                CONNECTIONS.c.created_ms > created_ms,
                and_(CONNECTIONS.c.created_ms == created_ms, CONNECTIONS.c.id > connection_id),
            )
        )
    return tx.execute(statement).all()


def set_connection(tx: Transaction, connection_id: str, values: Mapping[str, Any]) -> None:
    """Set columns of a connection."""
    tx.execute(update(CONNECTIONS).where(CONNECTIONS.c.id == connection_id).values(**values))


def deleting_connections(tx: Transaction) -> list[str]:
    """Return the ids of the connections whose deletion is not finished."""
    return list(tx.execute(select(CONNECTIONS.c.id).where(CONNECTIONS.c.state == STATE_DELETING)).scalars())


def stale_connections(tx: Transaction) -> list[str]:
    """Return the ids of the connections with users that await re-resolution by a changed mapping."""
    awaiting = exists().where(
        USERS.c.connection_id == CONNECTIONS.c.id, USERS.c.mapping_generation < CONNECTIONS.c.mapping_generation
    )
    statement = select(CONNECTIONS.c.id).where(CONNECTIONS.c.state != STATE_DELETING, awaiting)
    return list(tx.execute(statement).scalars())


def delete_connection(tx: Transaction, connection_id: str, *, version: int, now_ms: int) -> None:
    """Delete a connection's row and tokens and leave a tombstone; its users and groups must be gone."""
    tx.execute(delete(TOKENS).where(TOKENS.c.connection_id == connection_id))
    tx.execute(delete(CONNECTIONS).where(CONNECTIONS.c.id == connection_id))
    insert_tombstone(tx, connection_id, connection_id, kind=KIND_CONNECTION, version=version, now_ms=now_ms)


def connection_message(row: Row[Any], public_url: str) -> pb.Connection:
    """Return the message of a connection's row; `public_url` is the base of base URLs."""
    message = pb.Connection(
        connection_id=row.id,
        workspace_id=row.workspace_id,
        portal=f"PORTAL_{row.portal}",
        display_name=row.display_name,
        state=f"CONNECTION_STATE_{row.state}",
        base_url=f"{public_url}/scim/v2/{row.id}",
        created_time=timestamp(row.created_ms),
        version=row.version,
    )
    if row.last_request_ms is not None:
        message.last_request_time.CopyFrom(timestamp(row.last_request_ms))
    return message


# Tokens


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What authentication needs to know of a token and its connection."""

    token_id: str
    connection_id: str
    sha256: bytes
    may_write: bool
    expires_ms: int
    revoked: bool
    enabled: bool
    """Whether the connection answers SCIM requests."""


_FIND_TOKEN = (
    select(
        TOKENS.c.connection_id,
        TOKENS.c.sha256,
        TOKENS.c.scope,
        TOKENS.c.expires_ms,
        TOKENS.c.revoked_ms,
        CONNECTIONS.c.state,
    )
    .join(CONNECTIONS, CONNECTIONS.c.id == TOKENS.c.connection_id)
    .where(TOKENS.c.token_id == bindparam("token_id"))
)


def find_token(tx: Transaction, token_id: str) -> TokenRecord | None:
    """Return a token by its id, on whatever connection: the token says which."""
    row = tx.execute(_FIND_TOKEN, {"token_id": token_id}).first()
    if row is None:
        return None
    return TokenRecord(
        token_id=token_id,
        connection_id=row.connection_id,
        sha256=bytes(row.sha256),
        may_write=row.scope == "WRITE",
        expires_ms=row.expires_ms,
        revoked=row.revoked_ms is not None,
        enabled=row.state == STATE_ENABLED,
    )


def insert_token(
    tx: Transaction, connection_id: str, *, token_id: str, sha256: bytes, scope: str, now_ms: int, expires_ms: int
) -> None:
    """Insert a token."""
    tx.execute(
        insert(TOKENS),
        {
            "token_id": token_id,
            "connection_id": connection_id,
            "sha256": sha256,
            "scope": scope,
            "created_ms": now_ms,
            "expires_ms": expires_ms,
            "last_used_ms": None,
            "revoked_ms": None,
        },
    )


def count_live_tokens(tx: Transaction, connection_id: str, now_ms: int) -> int:
    """Count the tokens that are neither revoked nor expired."""
    statement = (
        select(func.count())
        .select_from(TOKENS)
        .where(TOKENS.c.connection_id == connection_id, TOKENS.c.revoked_ms.is_(None), TOKENS.c.expires_ms > now_ms)
    )
    return int(tx.execute(statement).scalar_one())


def count_expiring_tokens(tx: Transaction, now_ms: int, within_ms: int) -> int:
    """Count the live tokens of enabled connections that expire within a time."""
    statement = (
        select(func.count())
        .select_from(TOKENS.join(CONNECTIONS, CONNECTIONS.c.id == TOKENS.c.connection_id))
        .where(
            TOKENS.c.revoked_ms.is_(None),
            TOKENS.c.expires_ms > now_ms,
            TOKENS.c.expires_ms <= now_ms + within_ms,
            CONNECTIONS.c.state == STATE_ENABLED,
        )
    )
    return int(tx.execute(statement).scalar_one())


def list_tokens(tx: Transaction, connection_id: str) -> list[pb.Token]:
    """Return the tokens of a connection, newest first."""
    statement = (
        select(TOKENS)
        .where(TOKENS.c.connection_id == connection_id)
        .order_by(TOKENS.c.created_ms.desc(), TOKENS.c.token_id)
    )
    return [_token(row) for row in tx.execute(statement)]


def get_token(tx: Transaction, connection_id: str, token_id: str) -> pb.Token | None:
    """Return a token of a connection."""
    statement = select(TOKENS).where(TOKENS.c.connection_id == connection_id, TOKENS.c.token_id == token_id)
    row = tx.execute(statement).first()
    return None if row is None else _token(row)


def revoke_token(tx: Transaction, connection_id: str, token_id: str, now_ms: int) -> None:
    """Mark a token as revoked; one that is keeps its time."""
    tx.execute(
        update(TOKENS)
        .where(TOKENS.c.connection_id == connection_id, TOKENS.c.token_id == token_id, TOKENS.c.revoked_ms.is_(None))
        .values(revoked_ms=now_ms)
    )


_TOKEN_USED = update(TOKENS).where(TOKENS.c.token_id == bindparam("token")).values(last_used_ms=bindparam("used_ms"))
_CONNECTION_USED = (
    update(CONNECTIONS).where(CONNECTIONS.c.id == bindparam("connection")).values(last_request_ms=bindparam("used_ms"))
)


def record_use(tx: Transaction, tokens: Mapping[str, int], connections: Mapping[str, int]) -> None:
    """Write when tokens and connections were last used, in one order of locks."""
    if connections:
        tx.execute(_CONNECTION_USED, [{"connection": key, "used_ms": ms} for key, ms in sorted(connections.items())])
    if tokens:
        tx.execute(_TOKEN_USED, [{"token": key, "used_ms": ms} for key, ms in sorted(tokens.items())])


def _token(row: Row[Any]) -> pb.Token:
    message = pb.Token(
        token_id=row.token_id,
        connection_id=row.connection_id,
        scope=f"TOKEN_SCOPE_{row.scope}",
        created_time=timestamp(row.created_ms),
        expire_time=timestamp(row.expires_ms),
    )
    if row.last_used_ms is not None:
        message.last_used_time.CopyFrom(timestamp(row.last_used_ms))
    if row.revoked_ms is not None:
        message.revoked_time.CopyFrom(timestamp(row.revoked_ms))
    return message
