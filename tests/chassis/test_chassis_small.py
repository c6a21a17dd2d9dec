"""Tokens, page tokens, identifiers, settings, logs, crash points, migrations, tables."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import logging as standard_logging
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import uuid
import warnings
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_settings import SettingsConfigDict
from sqlalchemy.orm import registry
from sqlmodel import SQLModel

from chassis import logging, migrations, scim_token
from chassis.identifiers import time_ordered_id
from chassis.outbox import OUTBOX_TABLE_ARGS, OutboxColumns, partition_of
from chassis.paging import InvalidPageToken, decode_page_token, encode_page_token, page_limit
from chassis.request_context import RequestContext, request_context
from chassis.settings import ProcessSettings

ROOT = Path(__file__).parents[2]


def test_a_token_says_its_id_and_matches_its_digest() -> None:
    """SECURITY.md: `rollcall_scim_<token id>_<43 characters base64url of 32 random bytes><6-character CRC-32>`."""
    token_id = scim_token.new_token_id()
    text, digest = scim_token.issue(token_id)
    assert re.fullmatch(rf"rollcall_scim_{token_id}_[A-Za-z0-9_-]{{43}}[A-Za-z0-9]{{6}}", text)
    assert digest == hashlib.sha256(text.encode()).digest()
    assert scim_token.parse(text) == (token_id, digest)
    assert scim_token.issue(token_id)[0] != text
    assert scim_token.matches(digest, digest)
    assert not scim_token.matches(None, bytes(32))
    assert not scim_token.matches(digest, bytes(32))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_changed_token_is_garbage(data: st.DataObject) -> None:
    """SECURITY.md: "the checksum kills garbage before the database"."""
    text, _ = scim_token.issue(str(uuid.uuid4()))
    position = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(codec="ascii"))
    changed = text[:position] + character + text[position + 1 :]
    assert (scim_token.parse(changed) is None) == (changed != text)
    assert scim_token.parse(text[:-1]) is None
    assert scim_token.parse(text + "0") is None
    assert scim_token.parse(text + "\n") is None


@given(st.text(max_size=120))
def test_arbitrary_text_is_no_token(text: str) -> None:
    """Whatever a client sends is answered, never an error."""
    assert scim_token.parse(text) is None
    assert scim_token.parse("rollcall_scim_" + text) is None


@pytest.mark.parametrize("token_id", ["", "a_b", "ü", "x" * 65])
def test_a_token_id_cannot_be_mistaken_for_a_secret(token_id: str) -> None:
    """An id has no `_`, which ends it."""
    with pytest.raises(ValueError):
        scim_token.issue(token_id)


@given(st.lists(st.text(max_size=20) | st.integers(-(2**62), 2**62), max_size=4), st.text(max_size=40))
def test_page_tokens_come_back(key: list[str | int], query: str) -> None:
    """AIP-158: page tokens are opaque and URL-safe."""
    token = encode_page_token(key, query)
    assert re.fullmatch(r"[A-Za-z0-9_-]*", token)
    assert decode_page_token(token, query, types=[type(item) for item in key]) == key
    with pytest.raises(InvalidPageToken):
        decode_page_token(token, query + "x", types=[type(item) for item in key])


@given(st.text(max_size=60))
def test_forged_page_tokens_are_refused(token: str) -> None:
    """WIRE.md: a forged cursor is refused, never an internal error."""
    with pytest.raises(InvalidPageToken):
        decode_page_token(token, "q", types=[str])


def test_page_tokens_of_the_wrong_shape_are_refused() -> None:
    """The key's items must be of the query's types: a number is no text, a bool no number."""
    for key, types in [(["a"], [int]), ([1], [str]), ([True], [int]), (["a", "b"], [str]), ([], [str])]:
        with pytest.raises(InvalidPageToken) as caught:
            decode_page_token(encode_page_token(key, "q"), "q", types=types, domain="portal.rollcall")
        assert (caught.value.reason, caught.value.domain) == ("INVALID_PAGE_TOKEN", "portal.rollcall")
    nested = base64.urlsafe_b64encode(b'["x", {"a": 1}]').decode()
    with pytest.raises(InvalidPageToken):
        decode_page_token(nested, "q", types=[str])
    assert [page_limit(size) for size in (0, 1, 200, 5000)] == [100, 1, 200, 200]


def test_identifiers_rise_in_every_thread() -> None:
    """RFC 9562 §5.7: UUIDv7 is time-ordered; ours rise strictly within a process."""
    made: list[list[str]] = [[] for _ in range(4)]

    def make(into: list[str]) -> None:
        into.extend(time_ordered_id() for _ in range(2000))

    threads = [threading.Thread(target=make, args=(into,)) for into in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ids in made:
        assert ids == sorted(ids)
    assert len({name for ids in made for name in ids}) == 8000
    parsed = uuid.UUID(made[0][0])
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_partitions_are_stable_and_even() -> None:
    """DELIVERY.md: "The partition is a stable hash of connection_id over a fixed 16"."""
    assert partition_of("5f9b1c1e-3a43-4d3c-8f83-6b8d6a1b7a10") == partition_of("5f9b1c1e-3a43-4d3c-8f83-6b8d6a1b7a10")
    assert partition_of("a") == 3
    counts = [0] * 16
    for _ in range(4000):
        counts[partition_of(str(uuid.uuid4()))] += 1
    assert min(counts) > 150


class ExampleSettings(ProcessSettings):
    model_config = SettingsConfigDict(env_prefix="EXAMPLE_")

    database_url: str
    workers: int = 2


def test_settings_come_from_the_environment_and_are_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """HOUSE.md: "one frozen pydantic-settings class per process, ... read once"."""
    monkeypatch.setenv("EXAMPLE_DATABASE_URL", "sqlite:///x")
    monkeypatch.setenv("EXAMPLE_WORKERS", "3")
    loaded = ExampleSettings.load()
    assert (loaded.database_url, loaded.workers, loaded.log_level) == ("sqlite:///x", 3, "INFO")
    with pytest.raises(ValueError, match="frozen"):
        loaded.workers = 4


def test_a_wrong_setting_is_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the environment variable and the rule, never the value, which may be a secret."""
    monkeypatch.delenv("EXAMPLE_DATABASE_URL", raising=False)
    monkeypatch.setenv("EXAMPLE_WORKERS", "hunter2")
    with pytest.raises(SystemExit) as caught:
        ExampleSettings.load()
    assert caught.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "rollcall: EXAMPLE_DATABASE_URL: is required"
    assert lines[1].startswith("rollcall: EXAMPLE_WORKERS: ")
    assert "hunter2" not in "".join(lines)


@pytest.fixture
def root_logger() -> object:
    root = standard_logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:], root.level = handlers, level


@pytest.mark.usefixtures("root_logger")
def test_logs_carry_the_request_id_and_no_exception_text() -> None:
    """SECURITY.md: unknown exceptions are "logged with the request id"; DELIVERY.md: "no personal data in ... logs"."""
    for format in ("json", "plain"):
        stream = io.StringIO()
        logging.configure("directory", format=format, stream=stream)
        token = request_context.set(RequestContext(request_id="r-1"))
        try:
            try:
                raise ValueError("bjensen@example.com is taken")
            except ValueError:
                standard_logging.getLogger("x").exception("cannot do it", extra={"event_id": "e-1"})
        finally:
            request_context.reset(token)
        written = stream.getvalue()
        assert "r-1" in written
        assert "ValueError" in written
        assert "test_chassis_small.py" in written
        assert "bjensen" not in written
        if format == "json":
            entry = json.loads(written)
            assert (entry["level"], entry["process"], entry["request_id"], entry["event_id"]) == (
                "ERROR",
                "directory",
                "r-1",
                "e-1",
            )


def _run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_crash_point_kills_at_its_nth_pass() -> None:
    """DELIVERY.md: "a no-op unless `ROLLCALL_CRASHPOINT=name:n`, then SIGKILL of itself"."""
    code = (
        "from chassis.crashpoints import crashpoint\n"
        "for n in range(5):\n    crashpoint('other.point'); crashpoint('a.point'); print(n, flush=True)"
    )
    armed = _run(code, ROLLCALL_CRASHPOINT="a.point:3")
    assert (armed.returncode, armed.stdout) == (-signal.SIGKILL, "0\n1\n")
    assert _run(code, ROLLCALL_CRASHPOINT="").stdout == "0\n1\n2\n3\n4\n"
    wrong = _run(code, ROLLCALL_CRASHPOINT="a.point")
    assert wrong.returncode == 1
    assert "expected NAME:N" in wrong.stderr


def test_two_services_keep_tables_of_equal_names_in_one_process() -> None:
    """Each service's tables live in a registry of its own; the pattern of `delivery_tables`."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class OneTable(SQLModel, registry=registry()):
            metadata = sa.MetaData()

        class TwoTable(SQLModel, registry=registry()):
            metadata = sa.MetaData()

        def declare(parent: type[SQLModel]) -> type[SQLModel]:
            class Outbox(OutboxColumns, parent, table=True):
                __tablename__ = "outbox"
                __table_args__ = OUTBOX_TABLE_ARGS

            return Outbox

        tables = [declare(OneTable).__table__, declare(TwoTable).__table__]
    assert tables[0] is not tables[1]
    assert list(OneTable.metadata.tables) == list(TwoTable.metadata.tables) == ["outbox"]
    assert "outbox" not in SQLModel.metadata.tables
    for table in tables:
        assert {index.name for index in table.indexes} == {
            "ix_outbox_unsent",
            "ix_outbox_aggregate",
            "ix_outbox_connection",
        }
        assert table.dialect_options["sqlite"]["autoincrement"] is True


ENV = """
import sqlalchemy as sa
from chassis.migrations import run_env
run_env(sa.MetaData())
"""
REVISION = """
import sqlalchemy as sa
from alembic import op
revision = {revision!r}
down_revision = {down!r}
branch_labels = None
depends_on = None
def upgrade():
    {body}
def downgrade():
    pass
"""


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    directory = tmp_path / "migrations"
    (directory / "versions").mkdir(parents=True)
    (directory / "env.py").write_text(ENV)
    add_revision(directory, "0001", None, "op.create_table('thing', sa.Column('id', sa.Integer, primary_key=True))")
    return directory


def add_revision(directory: Path, revision: str, down: str | None, body: str) -> Path:
    path = directory / "versions" / f"{revision}.py"
    path.write_text(REVISION.format(revision=revision, down=down, body=body))
    return path


def tables(url: str) -> set[str]:
    engine = sa.create_engine(url)
    try:
        return set(sa.inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_a_database_is_brought_to_the_newest_revision_and_checked(database_url: str, scripts: Path) -> None:
    """An older or newer schema is refused with one clear line."""
    with pytest.raises(migrations.SchemaMismatch, match="run `migrate`"):
        migrations.check(database_url, str(scripts))
    migrations.upgrade(database_url, str(scripts))
    migrations.check(database_url, str(scripts))
    assert "thing" in tables(database_url)
    newer = add_revision(scripts, "0002", "0001", "op.add_column('thing', sa.Column('name', sa.Text))")
    with pytest.raises(migrations.SchemaMismatch, match=r"at revision 0001, this program needs 0002"):
        migrations.check(database_url, str(scripts))
    migrations.upgrade(database_url, str(scripts))
    migrations.check(database_url, str(scripts))
    newer.unlink()
    for path in (scripts / "versions" / "__pycache__").glob("0002*"):
        path.unlink()
    with pytest.raises(migrations.SchemaMismatch, match="newer than this program"):
        migrations.check(database_url, str(scripts))
    with pytest.raises(migrations.SchemaMismatch, match="newer than this program"):
        migrations.upgrade(database_url, str(scripts))


def test_a_migration_that_fails_halfway_changes_nothing(database_url: str, scripts: Path) -> None:
    """DELIVERY.md: crash point "migration halfway"; all steps are one transaction, DDL too, on SQLite as well."""
    broken = add_revision(
        scripts, "0002", "0001", "op.create_table('half', sa.Column('id', sa.Integer)); raise LookupError('halfway')"
    )
    with pytest.raises(LookupError, match="halfway"):
        migrations.upgrade(database_url, str(scripts))
    assert not tables(database_url) & {"thing", "half"}
    broken.unlink()
    migrations.upgrade(database_url, str(scripts))
    assert "thing" in tables(database_url)


def test_a_migration_that_is_killed_halfway_changes_nothing(database_url: str, scripts: Path) -> None:
    """The same for SIGKILL between two steps."""
    add_revision(scripts, "0002", "0001", "op.create_table('second', sa.Column('id', sa.Integer))")
    code = f"from chassis import migrations; migrations.upgrade({database_url!r}, {str(scripts)!r})"
    assert _run(code, ROLLCALL_CRASHPOINT="migrations.after_step:1").returncode == -signal.SIGKILL
    assert not tables(database_url) & {"thing", "second"}
    assert _run(code).returncode == 0
    assert tables(database_url) >= {"thing", "second"}


def test_processes_that_migrate_at_once_take_turns(database_url: str, scripts: Path) -> None:
    """Two processes don't migrate at once: neither fails."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        pool.starmap(migrations.upgrade, [(database_url, str(scripts))] * 2)
    migrations.check(database_url, str(scripts))


def test_a_password_is_never_part_of_a_message() -> None:
    """SECURITY.md: secrets are never logged."""
    url = sa.make_url("postgresql+psycopg://rollcall:hunter2@localhost/x")
    assert "hunter2" not in migrations._name(url)
