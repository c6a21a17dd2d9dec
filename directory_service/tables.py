"""The tables of the directory, as SQLModel declares them; the statements on them are in `repository`.

Times are integers: milliseconds since 1970-01-01T00:00:00Z. SCIM shows times to the millisecond, so what a client reads
in `meta` compares equal to what is stored. Names that compare without case have a `_key` column with their case-folded
form. Every tenant column is NOT NULL: a row without an owner cannot exist.
"""

from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import registry
from sqlmodel import Field

from chassis.audit import AuditColumns
from chassis.columns import Columns
from chassis.outbox import OUTBOX_TABLE_ARGS, OutboxColumns

MIGRATIONS = str(Path(__file__).parent / "migrations")
"""Folder of the Alembic environment."""

KIND_USER = 1
"""`kind` of a member, a parked member or a tombstone: a user."""
KIND_GROUP = 2
"""`kind` of a member, a parked member or a tombstone: a group."""
KIND_CONNECTION = 3
"""`kind` of a tombstone: a connection."""

STATE_ENABLED = "ENABLED"
STATE_DISABLED = "DISABLED"
STATE_DELETING = "DELETING"

# PostgreSQL compares text by the rules of a locale unless told otherwise; order by code point is that of SQLite and of
# `scim.filter`, and lets an index serve both equality and order.
_TEXT = String().with_variant(String(collation="C"), "postgresql")
_JSON = JSON().with_variant(JSONB(), "postgresql")
_POSITION = BigInteger().with_variant(Integer, "sqlite")


class DirectoryTable(Columns, registry=registry()):
    """What makes a class a table of this service: its own metadata, apart from those of other services."""


class Workspace(DirectoryTable, table=True):
    """A customer organisation."""

    __tablename__ = "workspaces"

    id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    name: str = Field(sa_column=Column(_TEXT, nullable=False))
    slug: str = Field(sa_column=Column(_TEXT, nullable=False, unique=True))
    created_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class Connection(DirectoryTable, table=True):
    """A SCIM connection. Its row is locked first by every write on it, which orders the connection's events."""

    __tablename__ = "connections"
    __table_args__ = (
        Index(
            "ux_connections_enabled_portal",
            "workspace_id",
            "portal",
            unique=True,
            sqlite_where=text("state = 'ENABLED'"),
            postgresql_where=text("state = 'ENABLED'"),
        ),
        Index("ix_connections_workspace", "workspace_id", "id"),
    )

    id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    workspace_id: str = Field(foreign_key="workspaces.id", nullable=False, sa_type=_TEXT)
    portal: str = Field(sa_column=Column(_TEXT, nullable=False))
    display_name: str = Field(sa_column=Column(_TEXT, nullable=False))
    state: str = Field(sa_column=Column(_TEXT, nullable=False))
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    sequence: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Position of the connection's last event."""
    user_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    group_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    parked_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    """Rows of parked_members; while it is 0, no write looks for a parked member to resolve."""
    mapping: list[dict[str, Any]] = Field(sa_column=Column(_JSON, nullable=False))
    mapping_generation: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_request_ms: int | None = Field(sa_column=Column(BigInteger, nullable=True))


class Token(DirectoryTable, table=True):
    """A bearer token of a connection; of its text only the SHA-256 is kept."""

    __tablename__ = "tokens"
    __table_args__ = (Index("ix_tokens_connection", "connection_id", "created_ms"),)

    token_id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    connection_id: str = Field(foreign_key="connections.id", nullable=False, sa_type=_TEXT)
    sha256: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    scope: str = Field(sa_column=Column(_TEXT, nullable=False))
    created_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_used_ms: int | None = Field(sa_column=Column(BigInteger, nullable=True))
    revoked_ms: int | None = Field(sa_column=Column(BigInteger, nullable=True))


class User(DirectoryTable, table=True):
    """A user of a connection. `position` is the order of creation, by which lists and pages are ordered."""

    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("connection_id", "user_name_key", name="ux_users_user_name"),
        Index("ix_users_external_id", "connection_id", "external_id"),
        Index("ix_users_position", "connection_id", "position"),
        Index("ix_users_mapping_generation", "connection_id", "mapping_generation"),
        Index(
            "ix_users_inactive",
            "connection_id",
            "user_name_key",
            sqlite_where=text("active = 0"),
            postgresql_where=text("active = false"),
        ),
        {"sqlite_autoincrement": True},
    )

    position: int = Field(sa_column=Column(_POSITION, primary_key=True, autoincrement=True))
    id: str = Field(sa_column=Column(_TEXT, nullable=False, unique=True))
    connection_id: str = Field(foreign_key="connections.id", nullable=False, sa_type=_TEXT)
    user_name: str = Field(sa_column=Column(_TEXT, nullable=False))
    user_name_key: str = Field(sa_column=Column(_TEXT, nullable=False))
    external_id: str | None = Field(sa_column=Column(_TEXT, nullable=True))
    active: bool = Field(nullable=False)
    document: dict[str, Any] = Field(sa_column=Column(_JSON, nullable=False))
    """The writable attributes in SCIM form, see `scim.values`.

    Values are kept verbatim, the order of an object's keys is not: JSONB has its own, and JSON gives it no meaning
    (RFC 8259 §4). Text would keep it at the price of every filter, which would have to parse each row.
    """
    mapped: dict[str, Any] = Field(sa_column=Column("metadata", _JSON, nullable=False))
    """What the attribute mapping made of the document."""
    mapping_generation: int = Field(sa_column=Column(BigInteger, nullable=False))
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    updated_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class Group(DirectoryTable, table=True):
    """A group of a connection; its members are rows of their own."""

    __tablename__ = "groups"
    __table_args__ = (
        UniqueConstraint("connection_id", "display_name_key", name="ux_groups_display_name"),
        Index("ix_groups_external_id", "connection_id", "external_id"),
        Index("ix_groups_position", "connection_id", "position"),
        {"sqlite_autoincrement": True},
    )

    position: int = Field(sa_column=Column(_POSITION, primary_key=True, autoincrement=True))
    id: str = Field(sa_column=Column(_TEXT, nullable=False, unique=True))
    connection_id: str = Field(foreign_key="connections.id", nullable=False, sa_type=_TEXT)
    display_name: str = Field(sa_column=Column(_TEXT, nullable=False))
    display_name_key: str = Field(sa_column=Column(_TEXT, nullable=False))
    external_id: str | None = Field(sa_column=Column(_TEXT, nullable=True))
    document: dict[str, Any] = Field(sa_column=Column(_JSON, nullable=False))
    member_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_member_position: int = Field(sa_column=Column(BigInteger, nullable=False))
    """The highest position ever given to a member, so that a new member is always last."""
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    created_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    updated_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class GroupMember(DirectoryTable, table=True):
    """One member of a group; `position` is the order of joining within the group."""

    __tablename__ = "group_members"
    __table_args__ = (
        Index("ix_group_members_position", "group_id", "position"),
        Index("ix_group_members_member", "member_id", "group_id"),
        {"sqlite_with_rowid": False},
    )

    group_id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    member_id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    connection_id: str = Field(sa_column=Column(_TEXT, nullable=False))
    kind: int = Field(sa_column=Column(SmallInteger, nullable=False))
    position: int = Field(sa_column=Column(BigInteger, nullable=False))
    display: str | None = Field(sa_column=Column(_TEXT, nullable=True))
    """What the identity provider calls the member, where that was not the member's own name when it joined."""


class DeletedGroup(DirectoryTable, table=True):
    """A deleted group that has rows left, of members or parked values: they go in the background, some at a time."""

    __tablename__ = "deleted_groups"
    __table_args__ = (Index("ix_deleted_groups_connection", "connection_id"),)

    group_id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    connection_id: str = Field(sa_column=Column(_TEXT, nullable=False))


class ParkedMember(DirectoryTable, table=True):
    """A member value that names no resource of the connection yet."""

    __tablename__ = "parked_members"
    __table_args__ = (
        UniqueConstraint("group_id", "value", name="ux_parked_members_value"),
        Index("ix_parked_members_value_key", "connection_id", "value_key"),
        Index("ix_parked_members_position", "connection_id", "position"),
        {"sqlite_autoincrement": True},
    )

    position: int = Field(sa_column=Column(_POSITION, primary_key=True, autoincrement=True))
    group_id: str = Field(sa_column=Column(_TEXT, nullable=False))
    value: str = Field(sa_column=Column(_TEXT, nullable=False))
    value_key: str = Field(sa_column=Column(_TEXT, nullable=False))
    connection_id: str = Field(sa_column=Column(_TEXT, nullable=False))
    kind: int = Field(sa_column=Column(SmallInteger, nullable=False))
    """What the value may name: a group when the identity provider said so, else a user."""
    display: str | None = Field(sa_column=Column(_TEXT, nullable=True))
    """What the identity provider calls it."""
    parked_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class AttributeSighting(DirectoryTable, table=True):
    """An attribute that a connection has received at least once."""

    __tablename__ = "attribute_sightings"

    connection_id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    kind: int = Field(sa_column=Column(SmallInteger, primary_key=True, autoincrement=False))
    """What carried it: a user, or a group, of which attributes of extensions only are kept."""
    namespace: str = Field(sa_column=Column(_TEXT, primary_key=True))
    key: str = Field(sa_column=Column(_TEXT, primary_key=True))
    forms: int = Field(sa_column=Column(SmallInteger, nullable=False))
    """The forms in which values came, a set of `domain.changes.FORM_*`; empty for core attributes."""
    first_seen_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_seen_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    count: int = Field(sa_column=Column(BigInteger, nullable=False))


class Tombstone(DirectoryTable, table=True):
    """What is left of a deleted resource: the version of its last event. Never removed, so an id is never reused."""

    __tablename__ = "tombstones"

    id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    kind: int = Field(sa_column=Column(SmallInteger, nullable=False))
    connection_id: str = Field(sa_column=Column(_TEXT, nullable=False))
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    deleted_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class ClientProfile(DirectoryTable, table=True):
    """A dialect in which requests came on a connection."""

    __tablename__ = "client_profiles"

    connection_id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    dialect: str = Field(sa_column=Column(_TEXT, primary_key=True))
    first_seen_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_seen_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    request_count: int = Field(sa_column=Column(BigInteger, nullable=False))


class Secret(DirectoryTable, table=True):
    """A secret that every process of the directory shares and no other knows."""

    __tablename__ = "secrets"

    name: str = Field(sa_column=Column(_TEXT, primary_key=True))
    value: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class Administrator(DirectoryTable, table=True):
    """The account of a person who administers; of no tenant, for it administers them all."""

    __tablename__ = "administrators"
    __table_args__ = (Index("ux_administrators_openid", "openid_issuer", "openid_subject", unique=True),)

    id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    email: str = Field(sa_column=Column(_TEXT, nullable=False))
    email_key: str = Field(sa_column=Column(_TEXT, nullable=False, unique=True))
    name: str = Field(sa_column=Column(_TEXT, nullable=False))
    password_hash: str | None = Field(sa_column=Column(_TEXT, nullable=True))
    """Argon2id with its parameters, as RFC 9106 encodes it; NULL: it signs in by a link or an OpenID provider."""
    enabled: bool = Field(sa_column=Column(Boolean, nullable=False))
    openid_issuer: str | None = Field(sa_column=Column(_TEXT, nullable=True))
    openid_subject: str | None = Field(sa_column=Column(_TEXT, nullable=True))
    created_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    signed_in_ms: int | None = Field(sa_column=Column(BigInteger, nullable=True))


class AdministratorSession(DirectoryTable, table=True):
    """A session of an administrator, known by the SHA-256 of its token."""

    __tablename__ = "administrator_sessions"
    __table_args__ = (
        Index("ix_administrator_sessions_administrator", "administrator_id"),
        Index("ix_administrator_sessions_expires", "expires_ms"),
    )

    sha256: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    administrator_id: str = Field(sa_column=Column(_TEXT, ForeignKey("administrators.id"), nullable=False))
    created_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    used_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class SignInLink(DirectoryTable, table=True):
    """A link that signs in once, known by the SHA-256 of its token; NULL: it makes a new account."""

    __tablename__ = "sign_in_links"

    sha256: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    administrator_id: str | None = Field(sa_column=Column(_TEXT, ForeignKey("administrators.id"), nullable=True))
    created_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class SignInAttempt(DirectoryTable, table=True):
    """Attempts to sign in that failed, by the SHA-256 of an account's or client's address."""

    __tablename__ = "sign_in_attempts"
    __table_args__ = (Index("ix_sign_in_attempts_last", "last_ms"),)

    key: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    failures: int = Field(sa_column=Column(BigInteger, nullable=False))
    last_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class LogEntry(DirectoryTable, table=True):
    """A SCIM request and its answer, without anything of a person.

    Ids rise with time, and so do those of requests that the gateway numbered: every index grows at its end.
    """

    __tablename__ = "provisioning_log"
    __table_args__ = (
        Index("ix_provisioning_log_connection", "connection_id", "entry_id"),
        Index("ix_provisioning_log_request", "request_id"),
        Index(
            "ix_provisioning_log_resource", "resource_id", "entry_id",
            sqlite_where=text("resource_id <> ''"), postgresql_where=text("resource_id <> ''"),
        ),
        Index(
            "ix_provisioning_log_failed", "entry_id",
            sqlite_where=text("status >= 400"), postgresql_where=text("status >= 400"),
        ),
        Index(
            "ix_provisioning_log_connection_failed", "connection_id", "entry_id",
            sqlite_where=text("status >= 400"), postgresql_where=text("status >= 400"),
        ),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    entry_id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    connection_id: str = Field(sa_column=Column(_TEXT, nullable=False))
    workspace_id: str = Field(sa_column=Column(_TEXT, nullable=False))
    request_id: str = Field(sa_column=Column(_TEXT, nullable=False))
    time_ms: int = Field(sa_column=Column(BigInteger, nullable=False))
    duration_us: int = Field(sa_column=Column(BigInteger, nullable=False))
    client_dialect: int = Field(sa_column=Column(SmallInteger, nullable=False))
    """The number of a `rollcall.directory.v1.ClientDialect`."""
    method: str = Field(sa_column=Column(_TEXT, nullable=False))
    route: str = Field(sa_column=Column(_TEXT, nullable=False))
    status: int = Field(sa_column=Column(SmallInteger, nullable=False))
    scim_type: str = Field(sa_column=Column(_TEXT, nullable=False))
    detail: str = Field(sa_column=Column(_TEXT, nullable=False))
    resource_kind: str = Field(sa_column=Column(_TEXT, nullable=False))
    resource_id: str = Field(sa_column=Column(_TEXT, nullable=False))
    resource_version: int = Field(sa_column=Column(BigInteger, nullable=False))
    resource_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    omitted_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    start_index: int = Field(sa_column=Column(BigInteger, nullable=False))
    listed_count: int = Field(sa_column=Column(BigInteger, nullable=False))
    total_count: int = Field(sa_column=Column(BigInteger, nullable=False))


class WalkPlace(DirectoryTable, table=True):
    """Where a page that was read by index ended; see `walks`."""

    __tablename__ = "walk_places"
    __table_args__ = (Index("ix_walk_places_expires", "expires_ms"), {"sqlite_with_rowid": False})

    connection_id: str = Field(sa_column=Column(_TEXT, primary_key=True))
    walk: bytes = Field(sa_column=Column(LargeBinary, primary_key=True))
    """A hash of the caller's token and the query."""
    skip: int = Field(sa_column=Column(BigInteger, primary_key=True))
    """The index, from 0, of what comes next."""
    last: str = Field(sa_column=Column(_TEXT, nullable=False))
    """The last row of the page: its place among equals and what was sorted by, as a JSON array."""
    sequence: int = Field(sa_column=Column(BigInteger, nullable=False))
    total: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_ms: int = Field(sa_column=Column(BigInteger, nullable=False))


class Outbox(DirectoryTable, OutboxColumns, table=True):
    """Every event of the directory, sent or not."""

    __tablename__ = "outbox"
    __table_args__: ClassVar[Any] = (Index("ix_outbox_request", "request_id"), *OUTBOX_TABLE_ARGS)


class AuditEntry(DirectoryTable, AuditColumns, table=True):
    """An administrative action."""

    __tablename__ = "audit_log"


METADATA = DirectoryTable.metadata


def _table(model: type[DirectoryTable]) -> Table:
    return METADATA.tables[str(model.__tablename__)]


WORKSPACES = _table(Workspace)
CONNECTIONS = _table(Connection)
TOKENS = _table(Token)
USERS = _table(User)
GROUPS = _table(Group)
GROUP_MEMBERS = _table(GroupMember)
DELETED_GROUPS = _table(DeletedGroup)
PARKED_MEMBERS = _table(ParkedMember)
ATTRIBUTE_SIGHTINGS = _table(AttributeSighting)
CLIENT_PROFILES = _table(ClientProfile)
SECRETS = _table(Secret)
TOMBSTONES = _table(Tombstone)
ADMINISTRATORS = _table(Administrator)
ADMINISTRATOR_SESSIONS = _table(AdministratorSession)
SIGN_IN_LINKS = _table(SignInLink)
SIGN_IN_ATTEMPTS = _table(SignInAttempt)
WALK_PLACES = _table(WalkPlace)
OUTBOX = _table(Outbox)
PROVISIONING_LOG = _table(LogEntry)
AUDIT_LOG = _table(AuditEntry)
ALL_TENANT_TABLES = tuple(table for table in METADATA.sorted_tables if "connection_id" in table.columns)
"""Every table with rows of a connection."""
