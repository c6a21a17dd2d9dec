"""Schema migrations, run by the program itself: Alembic without an `alembic.ini`.

A service's `migrations/env.py` is three lines: import its tables' metadata and call `run_env(metadata)`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from chassis import revisions
from chassis.crashpoints import crashpoint
from chassis.database import create_engine

if TYPE_CHECKING:
    # Loaded where a schema is not the newest; see `revisions`.
    from alembic.config import Config
    from alembic.script import ScriptDirectory


class SchemaMismatch(Exception):
    """The database's schema is not the one that this program needs; the message says what to do."""


def upgrade(url: str, script_location: str) -> None:
    """Bring the database to the newest revision in `script_location`, a directory or `package:directory`.

    All steps are one transaction, on SQLite too. Processes that migrate at once take turns.
    """
    engine = create_engine(url, "schema", purpose="migrate")
    try:
        if _is_newest(engine, script_location):
            return
        from alembic import command
        from alembic.script import ScriptDirectory

        with _turn(engine), engine.connect() as connection:
            config = _config(script_location)
            _refuse_newer(connection, ScriptDirectory.from_config(config), engine.url)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def check(url: str, script_location: str) -> None:
    """Raise `SchemaMismatch` when the database is older or newer than the program."""
    engine = create_engine(url, "schema", purpose="read")
    try:
        if engine.dialect.name == "sqlite" and not os.path.exists(engine.url.database or ""):
            raise SchemaMismatch(f"{_name(engine.url)}: no database yet: run `migrate`")
        if _is_newest(engine, script_location):
            return
        from alembic.runtime.migration import MigrationContext
        from alembic.script import ScriptDirectory

        script = ScriptDirectory.from_config(_config(script_location))
        with engine.connect() as connection:
            _refuse_newer(connection, script, engine.url)
            current = MigrationContext.configure(connection).get_current_revision()
            head = script.get_current_head()
            if current != head:
                have = f"at revision {current}" if current else "empty"
                raise SchemaMismatch(
                    f"{_name(engine.url)}: the schema is {have}, this program needs {head}: run `migrate`"
                )
    finally:
        engine.dispose()


def is_behind(url: str, script_location: str) -> bool:
    """Say whether there is a database with an older schema than the program's, which `upgrade` would change.

    An empty database, or none, is not. Raises `SchemaMismatch` when it is newer than the program.
    """
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    engine = create_engine(url, "schema", purpose="read")
    script = ScriptDirectory.from_config(_config(script_location))
    try:
        if engine.dialect.name == "sqlite" and not os.path.exists(engine.url.database or ""):
            return False
        with engine.connect() as connection:
            _refuse_newer(connection, script, engine.url)
            current = MigrationContext.configure(connection).get_current_revision()
        return current is not None and current != script.get_current_head()
    finally:
        engine.dispose()


def _is_newest(engine: sa.Engine, script_location: str) -> bool:
    try:
        with engine.connect() as connection:
            current = [str(row[0]) for row in connection.execute(sa.text(revisions.CURRENT))]
    except sa.exc.DBAPIError:
        # Nothing was migrated yet, or the database is not there: whoever goes on finds out which.
        return False
    return revisions.is_newest(current, script_location)


def run_env(metadata: sa.MetaData) -> None:
    """Run the migrations that Alembic asks for, on the connection that `upgrade` gave; the body of an `env.py`."""
    from alembic import context

    connection = context.config.attributes.get("connection")
    if connection is None:
        raise RuntimeError("migrations run through chassis.migrations.upgrade, not through the alembic command")

    def stepped(*_arguments: Any, **_step: Any) -> None:
        crashpoint("migrations.after_step")

    context.configure(
        connection=connection,
        target_metadata=metadata,
        # SQLite alters a table by rebuilding it.
        render_as_batch=connection.dialect.name == "sqlite",
        transactional_ddl=True,
        on_version_apply=stepped,
    )
    with context.begin_transaction():
        context.run_migrations()
        crashpoint("migrations.before_commit")


def _config(script_location: str) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", script_location.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _refuse_newer(connection: sa.Connection, script: ScriptDirectory, url: sa.URL) -> None:
    from alembic.runtime.migration import MigrationContext

    known = {revision.revision for revision in script.walk_revisions()}
    for revision in MigrationContext.configure(connection).get_current_heads():
        if revision not in known:
            raise SchemaMismatch(
                f"{_name(url)}: the schema is at revision {revision}, newer than this program: update the program"
            )
    connection.rollback()


def _name(url: sa.URL) -> str:
    return url.render_as_string(hide_password=True)


@contextlib.contextmanager
def _turn(engine: sa.Engine) -> Iterator[None]:
    if engine.dialect.name == "sqlite":
        with open(f"{engine.url.database}.migrate.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        return
    key = zlib.crc32(b"rollcall.migrations")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": key})
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": key})
