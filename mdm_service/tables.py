"""The tables of the MDM service.

Every table has a tenant column that is NOT NULL. Enumerations are stored as the numbers of the contract, times in UTC.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Boolean, Column, Index, MetaData, SmallInteger, Text, text
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
from chassis.outbox import OUTBOX_TABLE_ARGS, OutboxColumns

MIGRATIONS = str(Path(__file__).parent / "migrations")
"""Where the Alembic environment of this schema is."""

ENROLLED = text("state = 1")
"""The condition of the partial index on serial numbers: DEVICE_STATE_ENROLLED."""

# What is looked for by its beginning is compared by code point, whatever the locale of a PostgreSQL database.
_KEY = Text().with_variant(Text(collation="C"), "postgresql")


class MdmTable(Columns, registry=registry()):
    """What the tables of this service have in common: a registry of their own."""

    metadata: ClassVar[MetaData] = MetaData()


class Workspace(MdmTable, table=True):
    """A workspace that the directory has confirmed, or that is gone."""

    __tablename__ = "known_workspaces"

    workspace_id: str = Field(sa_type=Text, primary_key=True)
    deleted: bool = Field(sa_type=Boolean, nullable=False)
    """Kept after the deletion, so that a late event does not bring the workspace back."""


class WorkspaceClosure(MdmTable, table=True):
    """A workspace that is gone and not emptied yet, and the event that said so; its effects name that one."""

    __tablename__ = "workspace_closures"

    workspace_id: str = Field(sa_type=Text, primary_key=True)
    event_id: str = Field(sa_type=Text, nullable=False)
    event_type: str = Field(sa_type=Text, nullable=False)
    request_id: str = Field(sa_type=Text, nullable=False)
    traceparent: str = Field(sa_type=Text, nullable=False)
    version: int = Field(sa_type=BigInteger, nullable=False)
    repair: bool = Field(sa_type=Boolean, nullable=False)
    closed_at: datetime = Field(sa_type=UtcDateTime, nullable=False)
    """The time of the event."""


class Connection(MdmTable, table=True):
    """A projection of the directory's MDM connections."""

    __tablename__ = "connections"

    connection_id: str = Field(sa_type=Text, primary_key=True)
    workspace_id: str = Field(sa_type=Text, nullable=False, index=True)
    enabled: bool = Field(sa_type=Boolean, nullable=False)


class User(MdmTable, table=True):
    """A projection of the directory users of MDM connections: what deciding the next event needs."""

    __tablename__ = "users"

    user_id: str = Field(sa_type=Text, primary_key=True)
    connection_id: str = Field(sa_type=Text, nullable=False, index=True)
    workspace_id: str = Field(sa_type=Text, nullable=False, index=True)
    user_name: str = Field(sa_type=Text, nullable=False)
    email: str = Field(sa_type=Text, nullable=False)
    active: bool = Field(sa_type=Boolean, nullable=False)
    obstacle: str = Field(sa_type=Text, nullable=False)
    """Why the last attempt at an employee, or at its e-mail address, failed: NO_EMAIL, EMAIL_TAKEN or empty."""


class Rules(MdmTable, table=True):
    """What an administrator decided for a connection."""

    __tablename__ = "rules"

    connection_id: str = Field(sa_type=Text, primary_key=True)
    workspace_id: str = Field(sa_type=Text, nullable=False, index=True)
    on_create: int = Field(sa_type=SmallInteger, nullable=False)
    behaviour: str = Field(sa_type=Text, nullable=False)
    """The name of the arm of `OnDeactivate.behaviour`."""
    policy_id: str | None = Field(sa_type=Text, nullable=True, index=True)
    """The policy that CHANGE_POLICY gives."""
    version: int = Field(sa_type=BigInteger, nullable=False)


class Employee(MdmTable, table=True):
    """A person whose devices are managed."""

    __tablename__ = "employees"
    __table_args__ = (Index("ux_employees_workspace_email", "workspace_id", "email_key", unique=True),)

    employee_id: str = Field(sa_type=Text, primary_key=True)
    workspace_id: str = Field(sa_type=Text, nullable=False)
    email: str = Field(sa_type=Text, nullable=False)
    email_key: str = Field(sa_type=_KEY, nullable=False)
    """The e-mail address in the form in which it is compared."""
    display_name: str = Field(sa_type=Text, nullable=False)
    connection_id: str = Field(sa_type=Text, nullable=False)
    user_id: str | None = Field(sa_type=Text, nullable=True, unique=True)
    """The directory user that the employee follows; NULL: nobody."""
    attributes: dict[str, Any] = Field(sa_column=Column("metadata", JSON, nullable=False))
    active: bool = Field(sa_type=Boolean, nullable=False)
    created_at: datetime = Field(sa_type=UtcDateTime, nullable=False)


class Policy(MdmTable, table=True):
    """A named set of settings for devices."""

    __tablename__ = "policies"
    __table_args__ = (Index("ux_policies_workspace_name", "workspace_id", "name_key", unique=True),)

    policy_id: str = Field(sa_type=Text, primary_key=True)
    workspace_id: str = Field(sa_type=Text, nullable=False)
    name: str = Field(sa_type=Text, nullable=False)
    name_key: str = Field(sa_type=Text, nullable=False)
    created_at: datetime = Field(sa_type=UtcDateTime, nullable=False)


class Device(MdmTable, table=True):
    """A device; a serial number has one enrolled row in a workspace and any number of removed ones."""

    __tablename__ = "devices"
    __table_args__ = (
        Index(
            "ux_devices_enrolled_serial",
            "workspace_id",
            "serial",
            unique=True,
            sqlite_where=ENROLLED,
            postgresql_where=ENROLLED,
        ),
        Index("ix_devices_serial", "workspace_id", "serial", "device_id"),
        Index("ix_devices_owner", "workspace_id", "owner_employee_id", "serial", "device_id"),
    )

    device_id: str = Field(sa_type=Text, primary_key=True)
    workspace_id: str = Field(sa_type=Text, nullable=False)
    serial: str = Field(sa_type=_KEY, nullable=False)
    name: str = Field(sa_type=Text, nullable=False)
    platform: str = Field(sa_type=Text, nullable=False)
    policy_id: str | None = Field(sa_type=Text, nullable=True, index=True)
    owner_employee_id: str | None = Field(sa_type=Text, nullable=True)
    state: int = Field(sa_type=SmallInteger, nullable=False)
    assignment_epoch: int = Field(sa_type=BigInteger, nullable=False)
    command_version: int = Field(sa_type=BigInteger, nullable=False)
    """How many commands were issued: the version of the device's last event."""
    enrolled_at: datetime = Field(sa_type=UtcDateTime, nullable=False)


class DeviceCommand(MdmTable, table=True):
    """A command to a device and what became of it."""

    __tablename__ = "device_commands"
    __table_args__ = (Index("ux_device_commands_version", "device_id", "version", unique=True),)

    command_id: str = Field(sa_type=Text, primary_key=True)
    workspace_id: str = Field(sa_type=Text, nullable=False, index=True)
    device_id: str = Field(sa_type=Text, nullable=False)
    version: int = Field(sa_type=BigInteger, nullable=False)
    """The position among the device's commands, 1..n."""
    kind: int = Field(sa_type=SmallInteger, nullable=False)
    policy_id: str | None = Field(sa_type=Text, nullable=True)
    state: int = Field(sa_type=SmallInteger, nullable=False)
    error: str = Field(sa_type=Text, nullable=False)
    created_at: datetime = Field(sa_type=UtcDateTime, nullable=False)
    reported_at: datetime | None = Field(sa_type=UtcDateTime, nullable=True)


class Segment(MdmTable, table=True):
    """A named set of devices."""

    __tablename__ = "segments"
    __table_args__ = (Index("ux_segments_workspace_name", "workspace_id", "name_key", unique=True),)

    segment_id: str = Field(sa_type=Text, primary_key=True)
    workspace_id: str = Field(sa_type=Text, nullable=False)
    name: str = Field(sa_type=Text, nullable=False)
    name_key: str = Field(sa_type=Text, nullable=False)


class SegmentDevice(MdmTable, table=True):
    """A device in a segment."""

    __tablename__ = "segment_devices"

    segment_id: str = Field(sa_type=Text, primary_key=True)
    device_id: str = Field(sa_type=Text, primary_key=True, index=True)
    workspace_id: str = Field(sa_type=Text, nullable=False, index=True)


class SegmentGrant(MdmTable, table=True):
    """A collaborator's permission on a segment."""

    __tablename__ = "segment_grants"
    __table_args__ = (Index("ix_segment_grants_email", "workspace_id", "email_key"),)

    segment_id: str = Field(sa_type=Text, primary_key=True)
    email_key: str = Field(sa_type=Text, primary_key=True)
    workspace_id: str = Field(sa_type=Text, nullable=False)
    email: str = Field(sa_type=Text, nullable=False)
    permission: int = Field(sa_type=SmallInteger, nullable=False)


class Outbox(OutboxColumns, MdmTable, table=True):
    """Device commands on their way to the stream `MDM`."""

    __tablename__ = "outbox"
    __table_args__ = OUTBOX_TABLE_ARGS


class Inbox(InboxColumns, MdmTable, table=True):
    """The directory's events that were taken."""

    __tablename__ = "inbox"


class AppliedVersion(AppliedVersionColumns, MdmTable, table=True):
    """The last applied version of each of the directory's resources."""

    __tablename__ = "applied_versions"


class DeadLetter(DeadLetterColumns, MdmTable, table=True):
    """Events that could not be applied, and those that wait behind them."""

    __tablename__ = "dead_letters"


class PartitionLease(PartitionLeaseColumns, MdmTable, table=True):
    """Which replica works which partition."""

    __tablename__ = "partition_leases"


class Effect(EffectColumns, MdmTable, table=True):
    """The evidence of what events changed here."""

    __tablename__ = "effects"


class AuditEntry(AuditColumns, MdmTable, table=True):
    """An administrative action."""

    __tablename__ = "audit_log"


DELIVERY = DeliveryTables(
    inbox=Inbox,
    applied_versions=AppliedVersion,
    dead_letters=DeadLetter,
    partition_leases=PartitionLease,
    effects=Effect,
)
"""The tables of the consumer."""
