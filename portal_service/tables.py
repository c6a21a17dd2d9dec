"""The portal service's tables.

Every tenant column is NOT NULL: an empty text, never NULL, says "none", so that no comparison with a missing owner lets
anything through. Roles, sources, modes and rules are the numbers of the contract's enums.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, BigInteger, Index, MetaData, SmallInteger, String, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import registry
from sqlmodel import Field

from chassis.audit import AuditColumns
from chassis.columns import Columns
from chassis.database import UtcDateTime
from chassis.delivery_tables import (
    AppliedVersionColumns,
    DeadLetterColumns,
    DeliveryTables,
    EffectColumns,
    InboxColumns,
    PartitionLeaseColumns,
)

MIGRATIONS = str(Path(__file__).with_name("migrations"))

# Keys sort by code point on both databases, whatever the locale of a PostgreSQL database.
_KEY = String().with_variant(String(collation="C"), "postgresql")
_JSON = JSON().with_variant(JSONB(), "postgresql")


class PortalTable(Columns, registry=registry()):
    """The root of this service's tables: a metadata of its own, so that equal names elsewhere do not clash."""

    metadata = MetaData()


class Connections(PortalTable, table=True):
    """SCIM connections of all portals as far as they are known; a deleted one stays as a tombstone."""

    __tablename__ = "connections"
    __table_args__ = (Index("ix_connections_workspace", "workspace_id", "portal"),)

    connection_id: str = Field(primary_key=True)
    workspace_id: str
    portal: str
    state: int = Field(sa_type=SmallInteger)


class KnownWorkspaces(PortalTable, table=True):
    """Workspaces that the directory has confirmed; a deleted one stays as a tombstone."""

    __tablename__ = "known_workspaces"

    workspace_id: str = Field(primary_key=True)
    deleted: bool


class Users(PortalTable, table=True):
    """Directory users of DASHBOARD and STORE connections, as far as accounts need them."""

    __tablename__ = "users"
    __table_args__ = (
        Index("ix_users_connection", "connection_id"),
        Index("ix_users_email", "workspace_id", "email_key"),
    )

    id: str = Field(primary_key=True)
    connection_id: str
    workspace_id: str
    portal: str
    user_name: str
    display_name: str
    email: str
    email_key: str = Field(sa_type=_KEY)
    active: bool
    user_metadata: dict[str, Any] = Field(sa_type=_JSON)
    account_state: int = Field(sa_type=SmallInteger)


class Groups(PortalTable, table=True):
    """Directory groups of DASHBOARD and STORE connections."""

    __tablename__ = "groups"
    __table_args__ = (Index("ix_groups_connection_name", "connection_id", "name_key"),)

    id: str = Field(primary_key=True)
    connection_id: str
    workspace_id: str
    display_name: str
    name_key: str = Field(sa_type=_KEY)
    first_name_key: str = Field(sa_type=_KEY)
    """The name that the group had when it was first seen: role mappings are bound by that one alone."""


class GroupMembers(PortalTable, table=True):
    """One row per member; it may be there before the member itself is known."""

    __tablename__ = "group_members"
    __table_args__ = (Index("ix_group_members_member", "member_id", "group_id"),)

    group_id: str = Field(primary_key=True)
    member_id: str = Field(primary_key=True)
    connection_id: str
    is_group: bool


class Rules(PortalTable, table=True):
    """What a connection is to do."""

    __tablename__ = "rules"

    connection_id: str = Field(primary_key=True)
    workspace_id: str
    portal: str
    on_create: int = Field(sa_type=SmallInteger)
    on_deactivate: int = Field(sa_type=SmallInteger)
    default_role: int = Field(sa_type=SmallInteger)
    role_mode: int = Field(sa_type=SmallInteger)
    settling_micros: int = Field(sa_type=BigInteger)
    rule_version: int = Field(sa_type=BigInteger)


class RoleMappings(PortalTable, table=True):
    """Which group has which role; bound to the group's id once a group of that name was seen."""

    __tablename__ = "role_mappings"
    __table_args__ = (Index("ix_role_mappings_group", "group_id"),)

    connection_id: str = Field(primary_key=True)
    name_key: str = Field(primary_key=True, sa_type=_KEY)
    group_name: str
    role: int = Field(sa_type=SmallInteger)
    group_id: str


class RoleReviews(PortalTable, table=True):
    """Connections whose collaborators are being decided again after a change of the rules, and how far that is."""

    __tablename__ = "role_reviews"

    connection_id: str = Field(primary_key=True)
    workspace_id: str
    rule_version: int = Field(sa_type=BigInteger)
    request_id: str
    last_user_id: str


class Departures(PortalTable, table=True):
    """Large groups that are gone, whose memberships go in the background, and the event that says so."""

    __tablename__ = "departures"

    group_id: str = Field(primary_key=True)
    connection_id: str
    workspace_id: str
    decides_roles: bool
    event_id: str
    event_type: str
    event_time: datetime = Field(sa_type=UtcDateTime)
    version: int = Field(sa_type=BigInteger)
    sequence: int = Field(sa_type=BigInteger)
    request_id: str
    traceparent: str


class AccountColumns(Columns):
    """What collaborators and employees have in common."""

    id: str = Field(primary_key=True)
    workspace_id: str
    email: str
    email_key: str = Field(sa_type=_KEY)
    display_name: str
    connection_id: str
    user_id: str
    user_metadata: dict[str, Any] = Field(sa_type=_JSON)
    created_at: datetime = Field(sa_type=UtcDateTime)


class Collaborators(AccountColumns, PortalTable, table=True):
    """People with access to the dashboard."""

    __tablename__ = "collaborators"
    __table_args__ = (
        Index("uq_collaborators_email", "workspace_id", "email_key", unique=True),
        Index(
            "uq_collaborators_user", "user_id", unique=True,
            sqlite_where=text("user_id <> ''"), postgresql_where=text("user_id <> ''"),
        ),
        Index("ix_collaborators_connection", "connection_id", "user_id"),
        Index("ix_collaborators_role", "workspace_id", "role"),
    )  # fmt: skip

    role: int = Field(sa_type=SmallInteger)
    role_source: int = Field(sa_type=SmallInteger)


class Employees(AccountColumns, PortalTable, table=True):
    """People with access to the Enterprise Store."""

    __tablename__ = "employees"
    __table_args__ = (
        Index("uq_employees_email", "workspace_id", "email_key", unique=True),
        Index(
            "uq_employees_user", "user_id", unique=True,
            sqlite_where=text("user_id <> ''"), postgresql_where=text("user_id <> ''"),
        ),
        Index("ix_employees_connection", "connection_id", "user_id"),
    )  # fmt: skip


class Publications(PortalTable, table=True):
    """Apps offered in the store."""

    __tablename__ = "publications"
    __table_args__ = (Index("uq_publications_name", "workspace_id", "name_key", unique=True),)

    id: str = Field(primary_key=True)
    workspace_id: str
    name: str
    name_key: str = Field(sa_type=_KEY)
    restricted: bool
    created_at: datetime = Field(sa_type=UtcDateTime)


class PublicationAudiences(PortalTable, table=True):
    """The groups that see a restricted publication; the name serves until the group itself is known."""

    __tablename__ = "publication_audiences"
    __table_args__ = (Index("ix_publication_audiences_group", "group_id"),)

    publication_id: str = Field(primary_key=True, foreign_key="publications.id", ondelete="CASCADE")
    group_id: str = Field(primary_key=True)
    connection_id: str
    display_name: str


class Inbox(InboxColumns, PortalTable, table=True):
    """Events that were applied."""

    __tablename__ = "inbox"


class AppliedVersions(AppliedVersionColumns, PortalTable, table=True):
    """The last version applied of each aggregate, tombstones included."""

    __tablename__ = "applied_versions"


class DeadLetters(DeadLetterColumns, PortalTable, table=True):
    """Events that could not be applied, and those that wait behind them."""

    __tablename__ = "dead_letters"


class PartitionLeases(PartitionLeaseColumns, PortalTable, table=True):
    """Which replica works which partition."""

    __tablename__ = "partition_leases"


class Effects(EffectColumns, PortalTable, table=True):
    """What followed from events."""

    __tablename__ = "effects"


class AuditLog(AuditColumns, PortalTable, table=True):
    """Administrative actions."""

    __tablename__ = "audit_log"


DELIVERY_TABLES = DeliveryTables(
    inbox=Inbox,
    applied_versions=AppliedVersions,
    dead_letters=DeadLetters,
    partition_leases=PartitionLeases,
    effects=Effects,
)
