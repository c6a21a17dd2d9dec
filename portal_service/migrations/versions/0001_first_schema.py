"""The first schema of the portal service."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from chassis.tenancy import protect_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "applied_versions",
        sa.Column("aggregate_kind", sa.String(length=32), nullable=False),
        sa.Column("aggregate_id", sa.String(length=64), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("aggregate_kind", "aggregate_id"),
    )
    op.create_table(
        "collaborators",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("email_key", _KEY, nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("user_metadata", _JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("role_source", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_collaborators_connection", "collaborators", ["connection_id", "user_id"], unique=False)
    op.create_index("ix_collaborators_role", "collaborators", ["workspace_id", "role"], unique=False)
    op.create_index("uq_collaborators_email", "collaborators", ["workspace_id", "email_key"], unique=True)
    op.create_index(
        "uq_collaborators_user",
        "collaborators",
        ["user_id"],
        unique=True,
        sqlite_where=sa.text("user_id <> ''"),
        postgresql_where=sa.text("user_id <> ''"),
    )
    op.create_table(
        "connections",
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("portal", sa.String(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id"),
    )
    op.create_index("ix_connections_workspace", "connections", ["workspace_id", "portal"], unique=False)
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("event_id", sa.String(length=128), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
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
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id"),
    )
    op.create_index(
        "ix_dead_letters_aggregate", "dead_letters", ["aggregate_kind", "aggregate_id", "version"], unique=False
    )
    op.create_index("ix_dead_letters_connection", "dead_letters", ["connection_id", "id"], unique=False)
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
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
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
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("email_key", _KEY, nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("user_metadata", _JSON, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_employees_connection", "employees", ["connection_id", "user_id"], unique=False)
    op.create_index("uq_employees_email", "employees", ["workspace_id", "email_key"], unique=True)
    op.create_index(
        "uq_employees_user",
        "employees",
        ["user_id"],
        unique=True,
        sqlite_where=sa.text("user_id <> ''"),
        postgresql_where=sa.text("user_id <> ''"),
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("member_id", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("is_group", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "member_id"),
    )
    op.create_index("ix_group_members_member", "group_members", ["member_id", "group_id"], unique=False)
    op.create_table(
        "groups",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.Column("first_name_key", _KEY, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_groups_connection_name", "groups", ["connection_id", "name_key"], unique=False)
    op.create_table(
        "inbox",
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("aggregate_kind", sa.String(), nullable=False),
        sa.Column("aggregate_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("disposition", sa.String(), nullable=False),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("event_id"),
    )
    op.create_index("ix_inbox_applied_at", "inbox", ["applied_at"], unique=False)
    op.create_table(
        "known_workspaces",
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id"),
    )
    op.create_table(
        "partition_leases",
        sa.Column("slot", sa.String(length=96), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("slot"),
    )
    op.create_table(
        "publications",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.Column("restricted", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("uq_publications_name", "publications", ["workspace_id", "name_key"], unique=True)
    op.create_table(
        "role_mappings",
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("name_key", _KEY, nullable=False),
        sa.Column("group_name", sa.String(), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "name_key"),
    )
    op.create_index("ix_role_mappings_group", "role_mappings", ["group_id"], unique=False)
    op.create_table(
        "departures",
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("decides_roles", sa.Boolean(), nullable=False),
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("event_type", sa.String(), nullable=False),
        sa.Column("event_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("traceparent", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("group_id"),
    )
    op.create_table(
        "role_reviews",
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("rule_version", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("last_user_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id"),
    )
    op.create_table(
        "rules",
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("portal", sa.String(), nullable=False),
        sa.Column("on_create", sa.SmallInteger(), nullable=False),
        sa.Column("on_deactivate", sa.SmallInteger(), nullable=False),
        sa.Column("default_role", sa.SmallInteger(), nullable=False),
        sa.Column("role_mode", sa.SmallInteger(), nullable=False),
        sa.Column("settling_micros", sa.BigInteger(), nullable=False),
        sa.Column("rule_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("portal", sa.String(), nullable=False),
        sa.Column("user_name", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("email_key", _KEY, nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("user_metadata", _JSON, nullable=False),
        sa.Column("account_state", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_users_connection", "users", ["connection_id"], unique=False)
    op.create_index("ix_users_email", "users", ["workspace_id", "email_key"], unique=False)
    op.create_table(
        "publication_audiences",
        sa.Column("publication_id", sa.String(), nullable=False),
        sa.Column("group_id", sa.String(), nullable=False),
        sa.Column("connection_id", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["publication_id"], ["publications.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("publication_id", "group_id"),
    )
    op.create_index("ix_publication_audiences_group", "publication_audiences", ["group_id"], unique=False)
    op.create_table(
        "audit_log",
        sa.Column("audit_id", sa.String(length=64), nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
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
    # What names a connection alone is its workspace's as well: those of its connections that the lock shows.
    of_connection = "connection_id = tenant OR connection_id IN (SELECT connection_id FROM connections)"
    protect_tables(
        op.get_bind(),
        {
            "group_members": of_connection,
            "role_mappings": of_connection,
            "publication_audiences": "publication_id IN (SELECT id FROM publications)",
        },
    )


def downgrade() -> None:
    op.drop_table("publication_audiences")
    op.drop_table("users")
    op.drop_table("rules")
    op.drop_table("role_reviews")
    op.drop_table("departures")
    op.drop_table("role_mappings")
    op.drop_table("publications")
    op.drop_table("partition_leases")
    op.drop_table("known_workspaces")
    op.drop_table("inbox")
    op.drop_table("groups")
    op.drop_table("group_members")
    op.drop_table("employees")
    op.drop_table("effects")
    op.drop_table("dead_letters")
    op.drop_table("connections")
    op.drop_table("collaborators")
    op.drop_table("applied_versions")
    op.drop_table("audit_log")
