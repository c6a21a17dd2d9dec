"""The first schema of the MDM service."""

import sqlalchemy as sa
from alembic import op

from chassis.database import UtcDateTime
from chassis.tenancy import protect_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "applied_versions",
        sa.Column("aggregate_kind", sa.String(length=32), nullable=False),
        sa.Column("aggregate_id", sa.String(length=64), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("applied_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("aggregate_kind", "aggregate_id"),
    )
    op.create_table(
        "connections",
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id"),
    )
    op.create_index("ix_connections_workspace_id", "connections", ["workspace_id"], unique=False)
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=128), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("event_time", UtcDateTime(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("portal", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("aggregate_kind", sa.String(), nullable=False),
        sa.Column("aggregate_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("traceparent", sa.String(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id"),
    )
    op.create_index(
        "ix_dead_letters_aggregate", "dead_letters", ["aggregate_kind", "aggregate_id", "version"], unique=False
    )
    op.create_index("ix_dead_letters_connection", "dead_letters", ["connection_id", "id"], unique=False)
    op.create_table(
        "device_commands",
        sa.Column("command_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("policy_id", sa.Text(), nullable=True),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("reported_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("command_id"),
    )
    op.create_index("ix_device_commands_workspace_id", "device_commands", ["workspace_id"], unique=False)
    op.create_index("ux_device_commands_version", "device_commands", ["device_id", "version"], unique=True)
    op.create_table(
        "devices",
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("serial", KEY, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("platform", sa.Text(), nullable=False),
        sa.Column("policy_id", sa.Text(), nullable=True),
        sa.Column("owner_employee_id", sa.Text(), nullable=True),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("assignment_epoch", sa.BigInteger(), nullable=False),
        sa.Column("command_version", sa.BigInteger(), nullable=False),
        sa.Column("enrolled_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("device_id"),
    )
    op.create_index(
        "ix_devices_owner", "devices", ["workspace_id", "owner_employee_id", "serial", "device_id"], unique=False
    )
    op.create_index("ix_devices_policy_id", "devices", ["policy_id"], unique=False)
    op.create_index("ix_devices_serial", "devices", ["workspace_id", "serial", "device_id"], unique=False)
    op.create_index(
        "ux_devices_enrolled_serial",
        "devices",
        ["workspace_id", "serial"],
        unique=True,
        sqlite_where=sa.text("state = 1"),
        postgresql_where=sa.text("state = 1"),
    )
    op.create_table(
        "effects",
        sa.Column("effect_id", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("user_name", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("rule_version", sa.BigInteger(), nullable=False),
        sa.Column("target_kind", sa.String(), nullable=False),
        sa.Column("target_id", sa.String(), nullable=False),
        sa.Column("target_name", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=False),
        sa.Column("after", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("repair", sa.Boolean(), nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("effect_id"),
    )
    op.create_index(
        "ix_effects_outcome",
        "effects",
        ["workspace_id", "outcome", "effect_id"],
        unique=False,
        sqlite_where=sa.text("outcome != 'APPLIED'"),
        postgresql_where=sa.text("outcome != 'APPLIED'"),
    )
    op.create_index("ix_effects_request", "effects", ["workspace_id", "request_id", "effect_id"], unique=False)
    op.create_index("ix_effects_target", "effects", ["workspace_id", "target_id", "effect_id"], unique=False)
    op.create_index("ix_effects_target_name", "effects", ["workspace_id", "target_name", "effect_id"], unique=False)
    op.create_index("ix_effects_user", "effects", ["workspace_id", "user_id", "effect_id"], unique=False)
    op.create_index("ix_effects_user_name", "effects", ["workspace_id", "user_name", "effect_id"], unique=False)
    op.create_index("ix_effects_workspace", "effects", ["workspace_id", "effect_id"], unique=False)
    op.create_index(
        "uq_effects_target",
        "effects",
        ["event_id", "target_id", "action"],
        unique=True,
        sqlite_where=sa.text("target_id != ''"),
        postgresql_where=sa.text("target_id != ''"),
    )
    op.create_index(
        "uq_effects_user",
        "effects",
        ["event_id", "user_id", "action"],
        unique=True,
        sqlite_where=sa.text("target_id = ''"),
        postgresql_where=sa.text("target_id = ''"),
    )
    op.create_table(
        "employees",
        sa.Column("employee_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", KEY, nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("metadata", sa.JSON(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("employee_id"),
        sa.UniqueConstraint("user_id"),
    )
    op.create_index("ux_employees_workspace_email", "employees", ["workspace_id", "email_key"], unique=True)
    op.create_table(
        "inbox",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("aggregate_kind", sa.String(), nullable=False),
        sa.Column("aggregate_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("disposition", sa.String(), nullable=False),
        sa.Column("applied_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("ix_inbox_applied_at", "inbox", ["applied_at"], unique=False)
    op.create_table(
        "known_workspaces",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("portal", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("aggregate_kind", sa.String(), nullable=False),
        sa.Column("aggregate_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("traceparent", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("sent_at", UtcDateTime(), nullable=True),
        sa.Column("stream_sequence", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_aggregate", "outbox", ["aggregate_id", "version"], unique=False)
    op.create_index("ix_outbox_connection", "outbox", ["connection_id", "sequence"], unique=False)
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["id"],
        unique=False,
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "partition_leases",
        sa.Column("slot", sa.String(length=96), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("slot"),
    )
    op.create_table(
        "policies",
        sa.Column("policy_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("policy_id"),
    )
    op.create_index("ux_policies_workspace_name", "policies", ["workspace_id", "name_key"], unique=True)
    op.create_table(
        "rules",
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("on_create", sa.SmallInteger(), nullable=False),
        sa.Column("behaviour", sa.Text(), nullable=False),
        sa.Column("policy_id", sa.Text(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id"),
    )
    op.create_index("ix_rules_policy_id", "rules", ["policy_id"], unique=False)
    op.create_index("ix_rules_workspace_id", "rules", ["workspace_id"], unique=False)
    op.create_table(
        "segment_devices",
        sa.Column("segment_id", sa.Text(), nullable=False),
        sa.Column("device_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("segment_id", "device_id"),
    )
    op.create_index("ix_segment_devices_device_id", "segment_devices", ["device_id"], unique=False)
    op.create_index("ix_segment_devices_workspace_id", "segment_devices", ["workspace_id"], unique=False)
    op.create_table(
        "segment_grants",
        sa.Column("segment_id", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("permission", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("segment_id", "email_key"),
    )
    op.create_index("ix_segment_grants_email", "segment_grants", ["workspace_id", "email_key"], unique=False)
    op.create_table(
        "segments",
        sa.Column("segment_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("segment_id"),
    )
    op.create_index("ux_segments_workspace_name", "segments", ["workspace_id", "name_key"], unique=True)
    op.create_table(
        "users",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("connection_id", sa.Text(), nullable=False),
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("user_name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("obstacle", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("user_id"),
    )
    op.create_index("ix_users_connection_id", "users", ["connection_id"], unique=False)
    op.create_index("ix_users_workspace_id", "users", ["workspace_id"], unique=False)
    op.create_table(
        "workspace_closures",
        sa.Column("workspace_id", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("traceparent", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("repair", sa.Boolean(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id"),
    )
    op.create_table(
        "audit_log",
        sa.Column("audit_id", sa.String(length=64), nullable=False),
        sa.Column("time", UtcDateTime(), nullable=False),
        sa.Column("identity", sa.String(), nullable=False),
        sa.Column("administrator_id", sa.String(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("targets", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("request", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id"),
    )
    op.create_index("ix_audit_log_workspace_id", "audit_log", ["workspace_id"], unique=False)
    protect_tables(op.get_bind())


def downgrade() -> None:
    op.drop_table("workspace_closures")
    op.drop_table("users")
    op.drop_table("segments")
    op.drop_table("segment_grants")
    op.drop_table("segment_devices")
    op.drop_table("rules")
    op.drop_table("policies")
    op.drop_table("partition_leases")
    op.drop_table("outbox")
    op.drop_table("known_workspaces")
    op.drop_table("inbox")
    op.drop_table("employees")
    op.drop_table("effects")
    op.drop_table("devices")
    op.drop_table("device_commands")
    op.drop_table("dead_letters")
    op.drop_table("connections")
    op.drop_table("applied_versions")
    op.drop_table("audit_log")
