"""Repair from the command line: reconcile, events replay, verify, backup, restore, and schemas of other versions."""

import hashlib
import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from chassis import migrations, revisions
from cli import backup as backups
from cli.errors import Refused
from directory_service.tables import MIGRATIONS as DIRECTORY
from mdm_service.tables import MIGRATIONS as MDM
from portal_service.tables import MIGRATIONS as PORTAL
from tests.cli.conftest import Cli, Connection, Up, clean_environment, eventually, rollcall

SERVICES = ("directory", "portal", "mdm")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Starts stacks and stops what a test left running."""
    started = []

    def starter(data_dir):
        up = Up(data_dir)
        started.append(up)
        return up.wait_ready()

    yield starter
    for up in started:
        up.stop()


@pytest.fixture
def company(cli):
    return Company(cli)


class Company:
    """A workspace with users on a dashboard and on an MDM connection, one of whom has left."""

    def __init__(self, cli):
        self.cli = cli
        self.workspace = cli.workspace()
        self.dashboard = cli.connection(self.workspace, "dashboard", "--on-create", "create")
        cli.json("rules", "set", self.dashboard.id, "--on-deactivate", "remove", "--role-mode", "continuous")
        policy = cli.json("policy", "create", self.workspace, "Locked")["policy_id"]
        rules = ("--on-create", "create", "--on-deactivate", "change-policy", "--policy", policy)
        self.mdm = cli.connection(self.workspace, "mdm", *rules)
        self.users = [self.dashboard.create_user(f"u{number}@example.com") for number in range(3)]
        self.dashboard.create_group("applivery-editor", self.users[0])
        self.employee = self.mdm.create_user("ada@example.com")
        eventually(lambda: cli.json("employee", "list", self.workspace, "--portal", "mdm"))
        device = ("--serial", "C02", "--name", "Mac", "--platform", "macos", "--owner", "ada@example.com")
        self.device = cli.json("device", "enroll", self.workspace, *device)["device_id"]
        self.mdm.deactivate(self.employee)
        self.dashboard.deactivate(self.users[2])
        eventually(lambda: [item["role"] for item in cli.json("collaborator", "list", self.workspace)] == [
            "EDITOR", "VIEWER",
        ])  # fmt: skip
        eventually(lambda: cli.json("device", "show", self.workspace, self.device)["policy_id"] == policy)

    def state(self):
        """All that followed from the directory, and the evidence."""
        return {
            name: self.cli.json(*command)
            for name, command in {
                "collaborators": ("collaborator", "list", self.workspace),
                "employees": ("employee", "list", self.workspace, "--portal", "mdm"),
                "devices": ("device", "list", self.workspace),
                "effects": ("effects", self.workspace),
            }.items()
        }

    def verified(self):
        found = self.cli.json("verify")
        assert found["differences"] == 0
        return found


def query(path, sql, *parameters):
    """Run one statement on a SQLite file."""
    with closing(sqlite3.connect(path, timeout=10)) as database, database:
        return database.execute(sql, parameters).fetchall()


def commands(data_dir):
    """Every device command with its id."""
    return query(data_dir / "mdm.db", "SELECT command_id, kind, state FROM device_commands ORDER BY command_id")


# Replay, verify, reconcile


def test_a_replay_changes_nothing(company, stack):
    """DELIVERY: "republishes from the outbox; consumers prove idempotent by changing nothing"."""
    before, issued = company.state(), commands(stack.data_dir)
    inbox = query(stack.data_dir / "portal.db", "SELECT count(*) FROM inbox")
    for start, connection in (("2", company.dashboard.id), ("3", company.mdm.id), ("2020-01-01T00:00:00Z", "")):
        where = ("--connection", connection) if connection else ()
        dry = company.cli.json("events", "replay", "--from", start, *where, "--dry-run")
        assert (dry["published"], dry["dry_run"]) == (0, True)
        done = company.cli.json("events", "replay", "--from", start, *where)
        assert done["published"] == done["total"] == dry["total"] > 0
    assert company.cli.json("events", "replay", "--from", "2999-01-01")["published"] == 0
    # It waits until the consumers have taken all that is in the stream.
    company.verified()
    assert company.state() == before
    assert commands(stack.data_dir) == issued
    assert query(stack.data_dir / "portal.db", "SELECT count(*) FROM inbox") == inbox


def test_dead_letters_are_listed_retried_and_discarded(company, stack):
    """DELIVERY: "`rollcall deadletter list|show|retry|discard`"; later events "queue behind it in order"."""
    cli, portal, user = company.cli, stack.data_dir / "portal.db", company.users[1]
    columns = (
        "id, event_id, event_type, event_time, subject, portal, connection_id, aggregate_kind, aggregate_id, version, "
        "sequence, request_id, traceparent, payload, state, error, attempts, created_at"
    )
    for name, version, payload, state in (("head", 998, b"\xff\xff", "PARKED"), ("behind", 1, b"", "QUEUED")):
        query(
            portal,
            f"INSERT INTO dead_letters ({columns}) VALUES (?, ?, 'rollcall.directory.v1.UserUpdated', "
            "'2026-01-01 00:00:00', 'x', 'dashboard', ?, 'user', ?, ?, 1, '', '', ?, ?, 'unreadable', 5, "
            "'2026-01-01 00:00:00')",
            name, f"event-{name}", company.dashboard.id, user, version, payload, state,
        )  # fmt: skip
    assert [item["state"] for item in cli.json("deadletter", "list", "--service", "portal")] == ["QUEUED", "PARKED"]
    assert cli.json("deadletter", "show", "head", "--service", "portal")["resource_id"] == user
    assert "still cannot be applied" in cli("deadletter", "retry", "head", "--service", "portal").refusal
    assert "waits behind" in cli("deadletter", "retry", "behind", "--service", "portal").refusal
    for verb in ("retry", "discard"):
        queue = cli.json("deadletter", verb, "head", "--service", "portal", "--dry-run")
        assert [item["dead_letter_id"] for item in queue] == ["behind", "head"]
    assert cli.json("deadletter", "discard", "head", "--service", "portal")["applied"] == 1
    assert cli.json("deadletter", "list") == []
    company.verified()


def test_a_replay_needs_a_place_to_begin(cli):
    """A position counts the events of one connection; anything else is a time."""
    assert "--connection" in cli("events", "replay", "--from", "5").misuse
    assert "2026-03-02T09:00:00Z" in cli("events", "replay", "--from", "yesterday").misuse
    assert "must be at least 1" in cli("events", "replay", "--from", "0", "--connection", "c").refusal


def test_a_difference_is_listed_with_status_1_and_repaired(company, stack):
    """DELIVERY: "says `0 differences` or lists them"; "reports the difference … and repairs it"."""
    cli, portal = company.cli, stack.data_dir / "portal.db"
    assert cli("verify", "--connection", company.dashboard.id).out.startswith("0 differences")
    query(portal, "DELETE FROM collaborators WHERE user_id = ?", company.users[0])
    query(portal, "UPDATE users SET active = 1 WHERE id = ?", company.users[2])
    query(portal, "UPDATE users SET account_state = 1 WHERE id = ?", company.users[2])
    found = cli("verify", "--connection", company.dashboard.id)
    assert found.status == 1
    assert found.err.startswith("error: 2 differences")
    assert company.users[0] in found.out
    document = json.loads(cli("verify", "--service", "portal", "--json").out)
    assert {item["resource_id"]: item["kind"] for item in document["items"]} == {
        company.users[0]: "WRONG", company.users[2]: "WRONG",
    }  # fmt: skip
    dry = cli.json("reconcile", "--service", "portal", "--dry-run")
    assert (dry["differences"], dry["repaired"], dry["dry_run"]) == (2, 0, True)
    assert len(cli.json("collaborator", "list", company.workspace)) == 1
    done = cli.json("reconcile", "--connection", company.dashboard.id)
    assert (done["differences"], done["repaired"], done["held"]) == (2, 2, 0)
    assert [service["service"] for service in done["services"]] == ["portal"]
    company.verified()
    roles = [item["role"] for item in cli.json("collaborator", "list", company.workspace)]
    assert roles == ["EDITOR", "VIEWER"]
    assert any(effect["repair"] for effect in cli.json("effects", company.workspace))


def test_what_a_repair_would_take_is_held(company, stack):
    """DELIVERY: "Destructive effects in a repair are listed and need `--apply-destructive`"."""
    cli, mdm = company.cli, stack.data_dir / "mdm.db"
    query(mdm, "UPDATE users SET active = 1 WHERE user_id = ?", company.employee)
    query(mdm, "UPDATE applied_versions SET version = 1 WHERE aggregate_id = ?", company.employee)
    query(mdm, "UPDATE employees SET active = 1 WHERE user_id = ?", company.employee)
    before = commands(stack.data_dir)
    shown = cli("reconcile", "--service", "mdm")
    assert shown.status == 0
    assert "HELD DEACTIVATE_EMPLOYEE ada@example.com" in shown.out
    assert "--apply-destructive" in shown.out
    [item] = cli.json("reconcile", "--service", "mdm")["items"]
    assert (item["kind"], item["resolution"], item["applied_version"]) == ("STALE", "HELD", 1)
    assert cli.json("employee", "show", company.workspace, "ada@example.com", "--portal", "mdm")["active"] is True
    assert cli.json("reconcile", "--service", "mdm", "--apply-destructive")["repaired"] == 1
    assert cli.json("employee", "show", company.workspace, "ada@example.com", "--portal", "mdm")["active"] is False
    # The device has the policy already, so it is told nothing again.
    assert commands(stack.data_dir) == before
    company.verified()


def test_only_what_exists_is_compared(cli):
    """One clear line, exit 1."""
    assert "no-such" in cli("verify", "--connection", "no-such").refusal
    assert "no-such" in cli("reconcile", "--service", "mdm", "--connection", "no-such").refusal


# Backup and restore


def rewrite_manifest(backup):
    """Make a backup's manifest agree with its files."""
    manifest = json.loads((backup / "manifest.json").read_bytes())
    for name in manifest["files"]:
        data = (backup / name).read_bytes()
        manifest["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (backup / "manifest.json").write_text(json.dumps(manifest))


def test_a_restored_stack_is_as_it_was_and_nothing_is_redone(company, stack, start, tmp_path):
    """The rule of backups: "consistent across the stores; after restore, `verify` is clean and nothing is redone"."""
    first, second, data_dir = tmp_path / "first", tmp_path / "second", tmp_path / "data"
    company.verified()
    made = rollcall("backup", str(first), "--json", data_dir=stack.data_dir).json
    assert made["files"] == ["credentials.json", "directory.db", "mdm.db", "portal.db"]
    assert (first / "credentials.json").stat().st_mode & 0o077 == 0
    before, issued = company.state(), commands(stack.data_dir)
    late = company.dashboard.create_user("late@example.com")
    company.dashboard.deactivate(company.users[1])
    eventually(lambda: [item["email"] for item in company.cli.json("collaborator", "list", company.workspace)] == [
        "late@example.com", "u0@example.com",
    ])  # fmt: skip
    later = company.state()
    rollcall("backup", str(second), "--json", data_dir=stack.data_dir).json  # noqa: B018

    assert rollcall("restore", str(first), "--json", data_dir=data_dir).json["events_to_send"] == 0
    up = start(data_dir)
    company.cli = Cli(up)
    company.verified()
    assert company.state() == before
    assert commands(data_dir) == issued
    # The commands that no device has reported on are in the new stream, under their own ids.
    eventually(lambda: query(data_dir / "mdm.db", "SELECT count(*) FROM outbox WHERE sent_at IS NULL") == [(0,)])
    url = company.cli.json("connection", "show", company.dashboard.id)["base_url"]
    again = Connection(company.dashboard.id, url, company.dashboard.token)
    assert again.scim("GET", f"/Users/{late}").status_code == 404
    again.deactivate(company.users[1])
    eventually(lambda: len(company.cli.json("collaborator", "list", company.workspace)) == 1)
    company.verified()
    # While it runs nothing replaces it, and afterwards only by force.
    assert "another `rollcall up`" in rollcall("restore", str(second), "--force", data_dir=data_dir).refusal
    up.stop()
    assert "--force" in rollcall("restore", str(second), data_dir=data_dir).refusal

    # A consumer whose copy is older than the directory's catches up from the outbox, each effect once.
    for name in ("portal.db", "mdm.db"):
        shutil.copyfile(first / name, second / name)
    rewrite_manifest(second)
    assert (data_dir / "nats").exists()
    assert rollcall("restore", str(second), "--force", "--json", data_dir=data_dir).json["events_to_send"] == 2
    assert not (data_dir / "nats").exists()
    up = start(data_dir)
    company.cli = Cli(up)
    company.verified()
    assert commands(data_dir) == issued
    caught_up = company.state()
    assert [item["email"] for item in caught_up["collaborators"]] == ["late@example.com", "u0@example.com"]
    assert kinds(caught_up) == kinds(later)
    inbox = "SELECT count(*) FROM inbox WHERE disposition <> 'APPLIED'"
    assert query(data_dir / "portal.db", inbox) == query(second / "portal.db", inbox)


def kinds(state):
    """The effects without what is made anew each time."""
    return [(item["event_id"], item["action"], item["outcome"], item["target_name"]) for item in state["effects"]]


def test_a_backup_goes_to_a_new_place_and_comes_from_a_stack(stack, tmp_path):
    """One clear line, exit 1, and nothing is changed."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    assert "not empty" in rollcall("backup", str(tmp_path / "full"), data_dir=stack.data_dir).refusal
    assert (tmp_path / "full" / "file").read_text() == "mine"
    assert "no stack" in rollcall("backup", str(tmp_path / "new"), data_dir=tmp_path / "full").refusal
    assert sorted(path.name for path in tmp_path.iterdir()) == ["full"]


def test_a_backup_that_is_not_whole_is_refused(stack, tmp_path):
    """One clear line that names the file; the data directory stays as it is."""
    copy, target = tmp_path / "copy", tmp_path / "target"
    rollcall("backup", str(copy), "--json", data_dir=stack.data_dir).json  # noqa: B018
    assert "no backup" in rollcall("restore", str(tmp_path), data_dir=target).refusal
    with (copy / "portal.db").open("r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    assert "portal.db is not as it was backed up" in rollcall("restore", str(copy), data_dir=target).refusal
    (copy / "portal.db").unlink()
    assert "portal.db cannot be read" in rollcall("restore", str(copy), data_dir=target).refusal
    assert not target.exists() or list(target.iterdir()) == []


def test_a_restore_that_was_cut_off_is_noticed(stack, tmp_path, monkeypatch):
    """Databases that do not belong together are never started."""
    copy, target = tmp_path / "copy", tmp_path / "target"
    rollcall("backup", str(copy), "--json", data_dir=stack.data_dir).json  # noqa: B018

    def fail(data_dir):
        raise OSError("no space left")

    monkeypatch.setattr(backups, "_resend_commands", fail)
    assert "no space left" in rollcall("restore", str(copy), data_dir=target).refusal
    monkeypatch.undo()
    assert "was interrupted" in rollcall("up", "--port", "0", data_dir=target).refusal
    assert "was interrupted" in rollcall("backup", str(tmp_path / "another"), data_dir=target).refusal
    rollcall("restore", str(copy), "--force", "--json", data_dir=target).json  # noqa: B018
    assert not (target / "restore.incomplete").exists()


# Schemas


@pytest.fixture(scope="module")
def databases(tmp_path_factory):
    """A data directory with the three databases, and nothing in them."""
    directory = tmp_path_factory.mktemp("schemas")
    for name in SERVICES:
        migrations.upgrade(f"sqlite:///{directory / f'{name}.db'}", f"{name}_service:migrations")
    (directory / "credentials.json").write_text(
        json.dumps({name: name * 16 for name in ("admin", "gateway", "portal", "mdm")})
    )
    (directory / "credentials.json").chmod(0o600)
    return directory


def serve(service, database, credentials):
    """The end of a service's process that must refuse its database."""
    prefix = service.upper()
    settings = {
        "DATABASE_URL": f"sqlite:///{database}",
        "ADDRESS": "127.0.0.1:0",
        "NATS_URL": "nats://127.0.0.1:1",
        "CREDENTIALS_FILE": str(credentials),
        "DIRECTORY_TARGET": "127.0.0.1:1",
        "PUBLIC_URL": "http://localhost",
    }
    environment = {**clean_environment(), **{f"{prefix}_{key}": value for key, value in settings.items()}}
    return subprocess.run(
        [sys.executable, "-m", f"{service}_service", "serve"],
        env=environment, capture_output=True, text=True, timeout=30,
    )  # fmt: skip


@pytest.mark.parametrize("service", SERVICES)
def test_a_process_refuses_a_database_of_another_version_with_one_clear_line(databases, tmp_path, service):
    """The rule of upgrades: "a process refuses a database older or newer than it knows with a clear line"."""
    database = tmp_path / f"{service}.db"
    shutil.copyfile(databases / f"{service}.db", database)
    for statement, line in (
        ("UPDATE alembic_version SET version_num = '9999'", "newer than this program: update the program"),
        ("DELETE FROM alembic_version", "run `migrate`"),
    ):
        query(database, statement)
        done = serve(service, database, databases / "credentials.json")
        assert (done.returncode, done.stdout) == (1, "")
        assert line in done.stderr
        assert done.stderr.count("\n") == 1


def test_up_refuses_a_newer_database_before_anything_starts(databases, tmp_path):
    """One clear line, exit 1."""
    shutil.copytree(databases, tmp_path / "data")
    query(tmp_path / "data" / "portal.db", "UPDATE alembic_version SET version_num = '9999'")
    assert "newer than this program" in rollcall("up", "--port", "0", data_dir=tmp_path / "data").refusal
    assert not (tmp_path / "data" / "nats.conf").exists()


def write_scripts(directory, *revisions):
    """Migration scripts in a row, each of which makes a table."""
    (directory / "versions").mkdir(parents=True, exist_ok=True)
    (directory / "env.py").write_text(
        "import sqlalchemy as sa\nfrom chassis.migrations import run_env\nrun_env(sa.MetaData())\n"
    )
    for before, revision in zip((None, *revisions), revisions, strict=False):
        (directory / "versions" / f"{revision}.py").write_text(
            f"from alembic import op\nimport sqlalchemy as sa\n"
            f"revision = {revision!r}\ndown_revision = {before!r}\n"
            f"def upgrade():\n    op.create_table('t{revision}', sa.Column('id', sa.Integer))\n"
        )
    return str(directory)


def test_only_a_schema_with_an_older_revision_is_behind(tmp_path):
    """A database without a schema holds nothing that a migration could harm."""
    url, scripts = f"sqlite:///{tmp_path / 'x.db'}", tmp_path / "scripts"
    location = write_scripts(scripts, "a")
    assert not migrations.is_behind(url, location)
    migrations.upgrade(url, location)
    assert not migrations.is_behind(url, location)
    write_scripts(scripts, "a", "b")
    assert migrations.is_behind(url, location)
    query(tmp_path / "x.db", "UPDATE alembic_version SET version_num = 'z'")
    with pytest.raises(migrations.SchemaMismatch, match="newer"):
        migrations.is_behind(url, location)


def test_only_what_is_surely_the_newest_schema_is_taken_for_it(tmp_path):
    """What the files or the database leave open, the migrations' own library decides."""
    path, location = tmp_path / "x.db", write_scripts(tmp_path / "scripts", "a", "b")
    assert not revisions.file_is_newest(path, location)
    migrations.upgrade(f"sqlite:///{path}", location)
    assert revisions.newest(location) == "b"
    assert revisions.file_is_newest(path, location)
    for version in ("a", "z"):
        query(path, f"UPDATE alembic_version SET version_num = '{version}'")
        assert not revisions.file_is_newest(path, location)
    query(path, "INSERT INTO alembic_version VALUES ('b')")
    assert not revisions.file_is_newest(path, location)
    (tmp_path / "scripts" / "versions" / "other.py").write_text("# no revision\n")
    assert revisions.newest(location) is None
    for service, directory in (("directory", DIRECTORY), ("portal", PORTAL), ("mdm", MDM)):
        assert revisions.newest(f"{service}_service:migrations") == revisions.newest(directory) is not None


def test_up_keeps_the_databases_as_they_were_before_it_migrates_them(databases, tmp_path, monkeypatch):
    """The rule of upgrades: "`rollcall up` migrates by itself after a backup of the embedded files"."""
    data_dir = tmp_path / "data"
    shutil.copytree(databases, data_dir)
    assert backups.back_up_before_migration(data_dir) is None
    monkeypatch.setattr(backups, "file_is_newest", lambda path, location: "portal" not in location)
    monkeypatch.setattr(migrations, "is_behind", lambda url, location: "portal" in location)
    query(data_dir / "portal.db", "CREATE TABLE of_old (id INTEGER)")
    made = [backups.back_up_before_migration(data_dir) for _ in range(4)]
    kept = sorted((data_dir / "backups").iterdir())
    assert kept == made[1:]
    assert query(kept[-1] / "portal.db", "SELECT count(*) FROM of_old") == [(0,)]
    # It is a backup like any other.
    rollcall("restore", str(kept[-1]), "--json", data_dir=tmp_path / "restored").json  # noqa: B018

    def newer(url, location):
        raise migrations.SchemaMismatch("newer")

    monkeypatch.setattr(migrations, "is_behind", newer)
    with pytest.raises(Refused, match="newer"):
        backups.back_up_before_migration(data_dir)
    assert sorted((data_dir / "backups").iterdir()) == kept
