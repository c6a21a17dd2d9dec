"""The first schema of the directory.

Revision ID: 0001
"""

import sys
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from chassis.tenancy import protect_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.String().with_variant(sa.String(collation="C"), "postgresql")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
POSITION = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create every table, and on PostgreSQL the function that folds case as Python does."""
    if op.get_bind().dialect.name == "postgresql":
        op.get_bind().exec_driver_sql(casefold_function())
    op.create_table(
        "administrators",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("email", TEXT, nullable=False),
        sa.Column("email_key", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("password_hash", TEXT, nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("openid_issuer", TEXT, nullable=True),
        sa.Column("openid_subject", TEXT, nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("signed_in_ms", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email_key"),
    )
    op.create_index("ux_administrators_openid", "administrators", ["openid_issuer", "openid_subject"], unique=True)
    op.create_table(
        "administrator_sessions",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("administrator_id", TEXT, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["administrator_id"], ["administrators.id"]),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_index(
        "ix_administrator_sessions_administrator", "administrator_sessions", ["administrator_id"], unique=False
    )
    op.create_index("ix_administrator_sessions_expires", "administrator_sessions", ["expires_ms"], unique=False)
    op.create_table(
        "walk_places",
        sa.Column("connection_id", TEXT, nullable=False),
        sa.Column("walk", sa.LargeBinary(), nullable=False),
        sa.Column("skip", sa.BigInteger(), nullable=False),
        sa.Column("last", TEXT, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "walk", "skip"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_walk_places_expires", "walk_places", ["expires_ms"], unique=False)
    op.create_table(
        "sign_in_attempts",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_sign_in_attempts_last", "sign_in_attempts", ["last_ms"], unique=False)
    op.create_table(
        "sign_in_links",
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("administrator_id", TEXT, nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["administrator_id"], ["administrators.id"]),
        sa.PrimaryKeyConstraint("sha256"),
    )
    op.create_table(
        "attribute_sightings",
        sa.Column("connection_id", TEXT, nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("namespace", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("forms", sa.SmallInteger(), nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "kind", "namespace", "key"),
    )
    op.create_table(
        "client_profiles",
        sa.Column("connection_id", TEXT, nullable=False),
        sa.Column("dialect", TEXT, nullable=False),
        sa.Column("first_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_ms", sa.BigInteger(), nullable=False),
        sa.Column("request_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("connection_id", "dialect"),
    )
    op.create_table(
        "group_members",
        sa.Column("group_id", TEXT, nullable=False),
        sa.Column("member_id", TEXT, nullable=False),
        sa.Column("connection_id", TEXT, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("display", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("group_id", "member_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_group_members_member", "group_members", ["member_id", "group_id"], unique=False)
    op.create_index("ix_group_members_position", "group_members", ["group_id", "position"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("id", POSITION, nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
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
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stream_sequence", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_outbox_aggregate", "outbox", ["aggregate_id", "version"], unique=False)
    op.create_index("ix_outbox_connection", "outbox", ["connection_id", "sequence"], unique=False)
    op.create_index("ix_outbox_request", "outbox", ["request_id"], unique=False)
    op.create_index(
        "ix_outbox_unsent",
        "outbox",
        ["id"],
        unique=False,
        sqlite_where=sa.text("sent_at IS NULL"),
        postgresql_where=sa.text("sent_at IS NULL"),
    )
    op.create_table(
        "deleted_groups",
        sa.Column("group_id", TEXT, nullable=False),
        sa.Column("connection_id", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("group_id"),
    )
    op.create_index("ix_deleted_groups_connection", "deleted_groups", ["connection_id"], unique=False)
    op.create_table(
        "parked_members",
        sa.Column("position", POSITION, autoincrement=True, nullable=False),
        sa.Column("group_id", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("value_key", TEXT, nullable=False),
        sa.Column("connection_id", TEXT, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("display", TEXT, nullable=True),
        sa.Column("parked_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("group_id", "value", name="ux_parked_members_value"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_parked_members_position", "parked_members", ["connection_id", "position"], unique=False)
    op.create_index("ix_parked_members_value_key", "parked_members", ["connection_id", "value_key"], unique=False)
    op.create_table(
        "provisioning_log",
        sa.Column("entry_id", TEXT, nullable=False),
        sa.Column("connection_id", TEXT, nullable=False),
        sa.Column("workspace_id", TEXT, nullable=False),
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_us", sa.BigInteger(), nullable=False),
        sa.Column("client_dialect", sa.SmallInteger(), nullable=False),
        sa.Column("method", TEXT, nullable=False),
        sa.Column("route", TEXT, nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("scim_type", TEXT, nullable=False),
        sa.Column("detail", TEXT, nullable=False),
        sa.Column("resource_kind", TEXT, nullable=False),
        sa.Column("resource_id", TEXT, nullable=False),
        sa.Column("resource_version", sa.BigInteger(), nullable=False),
        sa.Column("resource_count", sa.BigInteger(), nullable=False),
        sa.Column("omitted_count", sa.BigInteger(), nullable=False),
        sa.Column("start_index", sa.BigInteger(), nullable=False),
        sa.Column("listed_count", sa.BigInteger(), nullable=False),
        sa.Column("total_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("entry_id"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_provisioning_log_connection", "provisioning_log", ["connection_id", "entry_id"], unique=False)
    op.create_index("ix_provisioning_log_request", "provisioning_log", ["request_id"], unique=False)
    op.create_index(
        "ix_provisioning_log_resource",
        "provisioning_log",
        ["resource_id", "entry_id"],
        unique=False,
        sqlite_where=sa.text("resource_id <> ''"),
        postgresql_where=sa.text("resource_id <> ''"),
    )
    for name, columns in (("failed", ["entry_id"]), ("connection_failed", ["connection_id", "entry_id"])):
        op.create_index(
            f"ix_provisioning_log_{name}",
            "provisioning_log",
            columns,
            unique=False,
            sqlite_where=sa.text("status >= 400"),
            postgresql_where=sa.text("status >= 400"),
        )
    op.create_table(
        "secrets",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "tombstones",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("connection_id", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("deleted_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "workspaces",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("slug", TEXT, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug"),
    )
    op.create_table(
        "connections",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("workspace_id", TEXT, nullable=False),
        sa.Column("portal", TEXT, nullable=False),
        sa.Column("display_name", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("user_count", sa.BigInteger(), nullable=False),
        sa.Column("group_count", sa.BigInteger(), nullable=False),
        sa.Column("parked_count", sa.BigInteger(), nullable=False),
        sa.Column("mapping", JSON, nullable=False),
        sa.Column("mapping_generation", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_request_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_connections_workspace", "connections", ["workspace_id", "id"], unique=False)
    op.create_index(
        "ux_connections_enabled_portal",
        "connections",
        ["workspace_id", "portal"],
        unique=True,
        sqlite_where=sa.text("state = 'ENABLED'"),
        postgresql_where=sa.text("state = 'ENABLED'"),
    )
    op.create_table(
        "groups",
        sa.Column("position", POSITION, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("connection_id", TEXT, nullable=False),
        sa.Column("display_name", TEXT, nullable=False),
        sa.Column("display_name_key", TEXT, nullable=False),
        sa.Column("external_id", TEXT, nullable=True),
        sa.Column("document", JSON, nullable=False),
        sa.Column("member_count", sa.BigInteger(), nullable=False),
        sa.Column("last_member_position", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["connection_id"], ["connections.id"]),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("connection_id", "display_name_key", name="ux_groups_display_name"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_groups_external_id", "groups", ["connection_id", "external_id"], unique=False)
    op.create_index("ix_groups_position", "groups", ["connection_id", "position"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("token_id", TEXT, nullable=False),
        sa.Column("connection_id", TEXT, nullable=False),
        sa.Column("sha256", sa.LargeBinary(), nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_used_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["connection_id"], ["connections.id"]),
        sa.PrimaryKeyConstraint("token_id"),
    )
    op.create_index("ix_tokens_connection", "tokens", ["connection_id", "created_ms"], unique=False)
    op.create_table(
        "users",
        sa.Column("position", POSITION, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("connection_id", TEXT, nullable=False),
        sa.Column("user_name", TEXT, nullable=False),
        sa.Column("user_name_key", TEXT, nullable=False),
        sa.Column("external_id", TEXT, nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("document", JSON, nullable=False),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("mapping_generation", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["connection_id"], ["connections.id"]),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("connection_id", "user_name_key", name="ux_users_user_name"),
        sa.UniqueConstraint("id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_users_external_id", "users", ["connection_id", "external_id"], unique=False)
    op.create_index("ix_users_mapping_generation", "users", ["connection_id", "mapping_generation"], unique=False)
    op.create_index("ix_users_position", "users", ["connection_id", "position"], unique=False)
    op.create_index(
        "ix_users_inactive",
        "users",
        ["connection_id", "user_name_key"],
        unique=False,
        sqlite_where=sa.text("active = 0"),
        postgresql_where=sa.text("active = false"),
    )
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
    protect_tables(op.get_bind(), {"connections": "id = tenant OR workspace_id = tenant", "workspaces": "id = tenant"})


def downgrade() -> None:
    """There is nothing before the first schema."""
    raise RuntimeError("the first schema cannot be downgraded: drop the database instead")


def casefold_function() -> str:
    """Return the definition of `scim_casefold`, the result of which is that of Python's `str.casefold`.

    `lower` would depend on the locale of the database and folds less (not "ß" to "ss"). Text in ASCII, by far the most,
    takes the short way.
    """
    expression = "value"
    for character, folded in _foldings(longer=True):
        expression = f"replace({expression}, {_quoted(character)}, {_quoted(folded)})"
    single = list(_foldings(longer=False))
    before = _quoted("".join(character for character, _ in single))
    after = _quoted("".join(folded for _, folded in single))
    return f"""
        CREATE FUNCTION scim_casefold(value text) RETURNS text
        LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $function$
        BEGIN
            IF octet_length(value) = char_length(value) THEN
                RETURN lower(value COLLATE "C");
            END IF;
            RETURN translate({expression}, {before}, {after});
        END
        $function$
    """


def _foldings(*, longer: bool) -> Iterator[tuple[str, str]]:
    """Yield the characters that fold to something else: to several characters with `longer`, else to one."""
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        folded = character.casefold()
        if folded != character and (len(folded) > 1) is longer:
            yield character, folded


def _quoted(text: str) -> str:
    return "'" + text + "'"
