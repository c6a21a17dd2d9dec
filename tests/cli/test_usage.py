"""The command line itself: help, exit statuses, one clear line for what is wrong. No service runs here."""

import json
import re
import subprocess
import sys

import pytest

from tests.cli.conftest import ROLLCALL, clean_environment, free_port, rollcall

# Every command of PRODUCT 8.
COMMANDS = """
workspace create|workspace list|workspace show|workspace delete|connection enable|connection list|connection show
connection disable|connection rename|connection delete|token issue|token list|token revoke|rules show|rules set
rules map-role|rules unmap-role|mapping show|mapping set|mapping history|mapping preview|user list|user show|group list
group show|group parked|collaborator list|collaborator show|collaborator add|collaborator set-role|collaborator remove
employee list|employee show|publication create|publication list|publication delete|publication visible|policy create
policy list|policy delete|device enroll|device list|device show|device assign|device unassign|device set-policy
device remove|segment create|segment list|segment add-device|segment grant|segment revoke|segment devices-visible
effects|why|log|log show|up
"""
TABLE = [tuple(name.split()) for name in re.split(r"[|\n]", COMMANDS.strip())]


@pytest.fixture(autouse=True)
def no_stack(monkeypatch, tmp_path):
    """No stack in the current directory is found."""
    monkeypatch.setenv("ROLLCALL_DATA_DIR", str(tmp_path / "none"))


@pytest.mark.parametrize("words", TABLE, ids=" ".join)
def test_every_command_of_the_table_has_json_and_a_data_directory(words):
    """PRODUCT 8: "Every command has `--json`"."""
    answer = rollcall(*words, "--help")
    assert answer.status == 0
    assert "--json" in answer.out
    assert "--data-dir" in answer.out


def test_help_imports_no_stubs():
    """`rollcall --help` must answer at once: what it does not need is not imported."""
    code = (
        "import sys; from cli.main import run; run(['--help']); "
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'grpc', 'google', 'sqlalchemy', 'nats', 'pydantic'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert out.splitlines()[-1] == "[]"


def test_help_of_the_script_ends_with_0():
    """Exit 0 done."""
    done = subprocess.run([ROLLCALL, "--help"], capture_output=True, text=True, env=clean_environment(), timeout=60)
    assert done.returncode == 0
    assert "workspace" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("nonsense", "No such command 'nonsense'; see `rollcall --help`"),
        ("workspace nonsense", "No such command 'nonsense'; see `rollcall workspace --help`"),
        ("workspace show", "Missing argument 'W'"),
        ("workspace show a b", "unexpected extra argument"),
        ("workspace show a --nonsense", "No such option"),
        ("connection enable", "give --workspace and --portal to make a new connection"),
        ("connection enable --workspace w", "give --workspace and --portal to make a new connection"),
        ("connection enable c --portal mdm", "not both"),
        ("connection enable c --workspace w", "not both"),
        ("connection enable --workspace w --portal x", "'--portal': 'x' is not one of 'dashboard', 'store', 'mdm'"),
        ("token issue c --expires-in soon", "'--expires-in': expected a duration such as 365d, 1h, 30m, 90s or 0"),
        ("token issue c --scope all", "'--scope': 'all' is not one of 'read', 'write'"),
        ("rules set c", "give at least one rule to change"),
        ("rules set c --on-deactivate change-policy", "needs --policy POLICY_ID"),
        ("rules set c --on-deactivate nothing --policy p", "--policy goes with --on-deactivate change-policy"),
        ("rules set c --policy p", "--policy goes with --on-deactivate change-policy"),
        ("rules set c --settling-period 1y", "'--settling-period': expected a duration"),
        ("rules set c --default-role unassigned", "is not one of 'admin', 'editor', 'viewer'"),
        ("rules map-role c --group g --role owner", "is not one of 'admin', 'editor', 'viewer', 'unassigned'"),
        ("mapping set c", "Missing option '--file'"),
        ("mapping set c --file /nonexistent.json", "does not exist"),
        ("collaborator add w a@x", "Missing option '--role'"),
        ("collaborator set-role w a@x owner", "is not one of 'admin', 'editor', 'viewer', 'unassigned'"),
        ("employee list w", "Missing option '--portal'"),
        ("employee list w --portal dashboard", "is not one of 'store', 'mdm'"),
        ("segment grant w s a@x own", "is not one of 'view', 'manage'"),
        ("effects w --outcome done", "is not one of 'applied', 'skipped', 'held', 'failed'"),
        ("up --port 70000", "less than or equal to 65535"),
        ("up --port web", "'--port'"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line_and_2(line, expected):
    """PRODUCT 8: "2 usage"."""
    assert expected in rollcall(*line.split()).misuse


@pytest.mark.parametrize("noun", [(), ("workspace",), ("rules",)], ids=" ".join)
def test_a_noun_without_a_verb_shows_its_help(noun):
    """A person who does not know the verb is shown them; nothing was done."""
    answer = rollcall(*noun)
    assert answer.status == 2
    assert "Usage" in answer.out


@pytest.mark.parametrize("line", ["workspace list", "device list w", "collaborator list w", "effects w", "why w x"])
def test_without_a_stack_a_command_says_how_to_start_one(line, tmp_path):
    """Exit 1 and one line: which target, how to start."""
    expected = f"no stack runs in {tmp_path / 'none'}; start one with `rollcall up --data-dir {tmp_path / 'none'}`"
    assert expected in rollcall(*line.split()).refusal


def test_a_service_that_does_not_answer_is_named_with_its_target(tmp_path, monkeypatch):
    """Services unreachable: one line, which target and how to start."""
    free_tcp_port = free_port()
    credential = tmp_path / "credential"
    credential.write_text("secret")
    monkeypatch.setenv("ROLLCALL_DIRECTORY_TARGET", f"127.0.0.1:{free_tcp_port}")
    monkeypatch.setenv("ROLLCALL_ADMIN_CREDENTIAL_FILE", str(credential))
    line = rollcall("workspace", "list").refusal
    assert f"the directory service does not answer at 127.0.0.1:{free_tcp_port}" in line
    assert "`rollcall up`" in line
    assert "ROLLCALL_DIRECTORY_TARGET" in line


def test_without_a_credential_a_command_says_where_it_looked(tmp_path, monkeypatch):
    """An administrator's credential is needed: `up` makes one."""
    monkeypatch.setenv("ROLLCALL_DIRECTORY_TARGET", "127.0.0.1:1")
    assert f"{tmp_path / 'none' / 'credentials.json'} does not exist" in rollcall("workspace", "list").refusal
    monkeypatch.setenv("ROLLCALL_ADMIN_CREDENTIAL_FILE", str(tmp_path / "elsewhere"))
    assert f"{tmp_path / 'elsewhere'} does not exist" in rollcall("workspace", "list").refusal


def test_a_damaged_data_directory_is_named(tmp_path):
    """A file that cannot be read is named; there is no traceback."""
    (tmp_path / "stack.json").write_text("{")
    assert f"{tmp_path / 'stack.json'} cannot be read" in rollcall("workspace", "list", data_dir=tmp_path).refusal
    (tmp_path / "stack.json").write_text(json.dumps({"targets": {}}))
    line = rollcall("workspace", "list", data_dir=tmp_path).refusal
    assert "names no address of the directory service" in line


def test_a_mapping_file_is_checked_before_any_call(tmp_path):
    """A wrong file changes nothing, and needs no service to be found wrong."""
    file = tmp_path / "F.json"
    file.write_text('[{"name": "a"}]')
    assert rollcall("mapping", "set", "c", "--file", str(file)).refusal == f"{file}: [0]: attributes is missing"
    file.write_bytes(b"\xff")
    assert rollcall("mapping", "set", "c", "--file", str(file)).refusal == f"{file}: the text is not UTF-8"


def test_bytes_that_are_no_text_are_a_usage_error(tmp_path):
    """A terminal of another encoding sends bytes that are not UTF-8; there is no traceback."""
    (tmp_path / "stack.json").write_text(json.dumps({"targets": {"directory": "127.0.0.1:1"}}))
    (tmp_path / "credentials.json").write_text(json.dumps({"admin": "a" * 40}))
    line = rollcall("workspace", "show", "\udcff", data_dir=tmp_path).misuse
    assert line == "the command line holds bytes that are not UTF-8"


@pytest.mark.parametrize("text", ["", "{}", "{", '{"admin": ""}', "sécret", "a\nb"])
def test_a_file_that_is_no_credential_is_named(tmp_path, monkeypatch, text):
    """The credential's file is told by name; what it holds is not."""
    file = tmp_path / "credential"
    file.write_text(text)
    monkeypatch.setenv("ROLLCALL_DIRECTORY_TARGET", "127.0.0.1:1")
    monkeypatch.setenv("ROLLCALL_ADMIN_CREDENTIAL_FILE", str(file))
    assert f"{file} is not a credential file" in rollcall("workspace", "list").refusal
