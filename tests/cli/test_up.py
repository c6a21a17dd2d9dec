"""`rollcall up`: starting, being ready, failing, stopping, and what is left behind."""

import json
import os
import signal
import socket
import stat
import subprocess
import time

import httpx
import psutil
import pytest

from cli.errors import Refused
from cli.targets import CREDENTIALS_FILE
from cli.up import _make_credentials
from tests.cli.conftest import PROCESSES, ROLLCALL, START_SECONDS, Cli, Connection, Up, clean_environment, eventually
from tests.loopback import NO_TLS


@pytest.fixture
def start(tmp_path):
    """Starts stacks under a temporary directory and stops what a test left running."""
    started = []

    def starter(*arguments, data_dir=None, environment=None):
        up = Up(data_dir or tmp_path / "data", *arguments, environment=environment)
        started.append(up)
        return up.wait_ready()

    yield starter
    for up in started:
        up.stop()


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory):
    """A data directory that one stack after the other works in, however the one before has ended."""
    return tmp_path_factory.mktemp("lived-in") / "data"


def all_gone(processes, timeout=10):
    return psutil.wait_procs(processes, timeout=timeout)[1] == []


def refused(data_dir, *arguments):
    """A second `up` that must end by itself with status 1: its one line on stderr."""
    done = subprocess.run(
        [ROLLCALL, "up", "--data-dir", data_dir, *arguments],
        capture_output=True, text=True, env=clean_environment(), timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_ready_means_that_a_scim_request_succeeds(stack, cli):
    """PRODUCT 8: "prints the line `ready http://H:P` when a SCIM request would succeed"."""
    assert stack.lines[-1] == f"ready {stack.url}"
    assert [line for line in stack.lines if line.startswith("ready")] == [f"ready {stack.url}"]
    assert [httpx.get(f"{stack.url}/readyz", verify=NO_TLS).status_code for _ in range(8)] == [200] * 8
    assert cli.connection(cli.workspace(), "mdm").scim("GET", "/Users").status_code == 200


def test_the_stack_is_described_in_its_data_directory(stack):
    """`stack.json`: targets and process ids, from which commands find the services."""
    described = stack.stack()
    assert described["pid"] == stack.process.pid
    assert described["url"] == stack.url
    assert set(described["targets"]) == {"directory", "portal", "mdm"}
    assert set(described["pids"]) == PROCESSES
    assert all(psutil.pid_exists(pid) for pid in described["pids"].values())


def test_nothing_in_the_data_directory_is_readable_by_others(stack):
    """PRODUCT 8: the credential is "mode 0600, in the data directory"; databases hold personal data."""
    assert stat.S_IMODE(stack.data_dir.stat().st_mode) == 0o700
    assert stat.S_IMODE((stack.data_dir / "credentials.json").stat().st_mode) == 0o600
    files = [path for path in stack.data_dir.iterdir() if path.is_file()]
    assert {"directory.db", "portal.db", "mdm.db"} <= {path.name for path in files}
    assert [path.name for path in files if path.stat().st_mode & 0o077] == []


def test_everything_but_the_gateway_listens_on_loopback_only(stack):
    """Only the gateway is for others; the services and NATS are for this machine."""
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in stack.tree()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening
    # A socket of both families shows an address of IPv4 as one of IPv6 (RFC 4291 §2.5.5.2).
    assert {address.removeprefix("::ffff:") for address, _ in listening} == {"127.0.0.1"}


def test_nats_wants_a_password(stack):
    """Anybody on the machine can reach a loopback port; events are for the services alone."""
    with socket.create_connection(("127.0.0.1", int(stack.stack()["nats_url"].rpartition(":")[2])), timeout=10) as nats:
        stream = nats.makefile("rwb")
        assert json.loads(stream.readline().removeprefix(b"INFO "))["auth_required"] is True
        stream.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
        stream.flush()
        assert stream.readline().startswith(b"-ERR 'Authorization Violation'")


def test_each_acknowledged_event_is_on_the_disk(stack):
    """DELIVERY: "`sync_interval: always` in every server configuration we ship"."""
    assert "sync_interval: always" in (stack.data_dir / "nats.conf").read_text()


def test_logs_are_prefixed_with_the_program(stack):
    """PRODUCT 8: "prefixed logs"."""
    prefixes = {line.partition("|")[0].strip() for line in stack.log.read_text().splitlines()}
    assert {"gateway", "directory"} <= prefixes
    assert prefixes <= PROCESSES | {"rollcall"}


def test_a_port_in_use_is_told_before_anything_starts(stack, tmp_path):
    """One clear line, exit 1, and nothing was started."""
    port = stack.url.rpartition(":")[2]
    line = refused(tmp_path / "other", "--port", port)
    assert line == f"error: port {port} on 127.0.0.1 is in use; choose another with --port\n"
    assert not (tmp_path / "other" / "nats.conf").exists()


def test_an_address_of_another_machine_is_refused(tmp_path):
    """One clear line that names the option."""
    assert "choose another with --host" in refused(tmp_path / "other", "--host", "192.0.2.1", "--port", "0")
    assert "choose another with --host" in refused(tmp_path / "other", "--host", "no.such.host.invalid", "--port", "0")


def test_one_stack_at_a_time_works_in_a_data_directory(stack):
    """A second `up` on the same directory: one clear line, exit 1; the first goes on."""
    line = refused(stack.data_dir, "--port", "0")
    assert f"process {stack.process.pid}" in line
    assert str(stack.data_dir) in line
    assert stack.process.poll() is None


def test_a_data_directory_of_a_version_with_fewer_processes_gets_their_credentials(tmp_path):
    """ "The next start continues with the same data": what was given to the others stays as it is."""
    path = tmp_path / CREDENTIALS_FILE
    path.write_text('{"admin": "a", "gateway": "g"}')
    path.chmod(0o600)
    _make_credentials(tmp_path)
    made = json.loads(path.read_text())
    assert (made["admin"], made["gateway"]) == ("a", "g")
    assert len(made["console"]) == len(made["mdm"]) == 43
    path.write_text("[]")
    with pytest.raises(Refused, match="remove it"):
        _make_credentials(tmp_path)


def test_a_data_directory_that_cannot_be_made_is_told(tmp_path):
    """One clear line that names the path and the option."""
    (tmp_path / "file").write_text("")
    line = refused(tmp_path / "file" / "data", "--port", "0")
    assert str(tmp_path / "file" / "data") in line
    assert "--data-dir" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_stop_leaves_nothing_running(start, lived_in, number):
    """PRODUCT 8: "clean stop on Ctrl-C or SIGTERM", in less than ten seconds."""
    up = start(data_dir=lived_in)
    connection = Cli(up).connection(Cli(up).workspace(), "mdm")
    processes = up.tree()
    assert len(processes) > len(PROCESSES)
    # An identity provider keeps its connection open.
    idle = httpx.Client(headers={"Authorization": f"Bearer {connection.token}"}, verify=NO_TLS)
    assert idle.get(f"{connection.base_url}/Users").status_code == 200
    begun = time.monotonic()
    assert up.stop(number) == 0
    assert time.monotonic() - begun < 10
    assert all_gone(processes)
    assert not (up.data_dir / "stack.json").exists()
    assert "gateway did not stop" not in up.log.read_text()
    idle.close()


def test_a_second_signal_ends_everything_at_once(start, lived_in):
    """The second Ctrl-C kills."""
    up = start(data_dir=lived_in)
    processes = up.tree()
    os.kill(up.stack()["pids"]["directory"], signal.SIGSTOP)
    up.process.send_signal(signal.SIGINT)
    eventually(lambda: "stopping" in up.log.read_text())
    up.process.send_signal(signal.SIGINT)
    up.process.wait(3)
    assert all_gone(processes)


def test_a_kill_of_up_leaves_nothing_running(start, lived_in):
    """Nothing survives even a kill -9 of `up`."""
    up = start(data_dir=lived_in)
    processes = up.tree()
    up.process.kill()
    up.process.wait()
    assert all_gone(processes)


def test_what_was_written_is_there_after_a_restart(start):
    """The data directory is the stack: credentials, workspaces, users, tokens."""
    up = start()
    cli = Cli(up)
    workspace = cli.workspace()
    connection = cli.connection(workspace, "dashboard", "--on-create", "create")
    user = connection.create_user("ana@example.com")
    credentials = (up.data_dir / "credentials.json").read_bytes()
    eventually(lambda: cli.json("collaborator", "list", workspace))
    collaborator, effects = cli.json("collaborator", "list", workspace), cli.json("effects", workspace)
    up.process.kill()
    up.process.wait()

    up = start()
    cli = Cli(up)
    assert (up.data_dir / "credentials.json").read_bytes() == credentials
    assert cli.json("user", "show", connection.id, user)["user_name"] == "ana@example.com"
    assert cli.json("collaborator", "list", workspace) == collaborator
    assert cli.json("effects", workspace) == effects
    again = Connection(connection.id, cli.json("connection", "show", connection.id)["base_url"], connection.token)
    assert again.base_url.startswith(up.url)
    again.create_user("bo@example.com")
    eventually(lambda: len(cli.json("collaborator", "list", workspace)) == 2)


def test_killed_children_start_again_and_the_stack_works_on(start):
    """PRODUCT 8: "restart of a crashed child"; nothing is lost meanwhile."""
    up = start()
    cli = Cli(up)
    workspace = cli.workspace()
    connection = cli.connection(workspace, "dashboard", "--on-create", "create")
    for number, name in enumerate(sorted(PROCESSES)):
        before = up.stack()["pids"][name]
        os.kill(before, signal.SIGKILL)
        eventually(lambda name=name, before=before: up.stack()["pids"].get(name, before) != before, what=f"new {name}")
        eventually(lambda number=number: created(connection, f"u{number}@example.com"), what=f"a user after {name}")
    expected = [f"u{number}@example.com" for number in range(len(PROCESSES))]

    def collaborators():
        answer = cli("collaborator", "list", workspace, "--json")
        return answer.status == 0 and [item["email"] for item in answer.json] == expected

    eventually(collaborators, what="every user is a collaborator")
    assert "gateway ended by SIGKILL; it starts again" in up.log.read_text()


def created(connection, name):
    """Whether a user is there: the answer to an earlier try may have been lost."""
    try:
        connection.create_user(name)
    except httpx.TransportError:
        return False
    except AssertionError as error:
        return "uniqueness" in str(error)
    return True


def test_a_child_that_cannot_run_ends_the_stack_with_one_clear_line(tmp_path):
    """Give up with one clear line when a child crashes 5 times within 30 s; nothing is left running."""
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    (data_dir / "nats").write_text("a file where the stream's directory should be")
    up = Up(data_dir)
    processes = up.tree()
    eventually(lambda: up.process.poll() is not None, timeout=START_SECONDS, what="up gives up")
    assert up.stop() == 1
    errors = [line for line in up.log.read_text().splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert errors[0].startswith("error: nats ended 5 times within ")
    assert all_gone(processes)
    assert not (data_dir / "stack.json").exists()


def test_the_demo_is_made_once(start, tmp_path):
    """PRODUCT 8: "`--demo` makes workspace `demo` with three connections, rules, policies, devices, publications"."""
    # A data directory may have any name, and the environment may name services elsewhere.
    data_dir = tmp_path / 'my "data"? é%20#1'
    elsewhere = {"ROLLCALL_DIRECTORY_TARGET": "127.0.0.1:1", "ROLLCALL_ADMIN_CREDENTIAL_FILE": "/nonexistent"}
    up = start("--demo", data_dir=data_dir, environment=elsewhere)
    cli = Cli(up)
    tokens = [line.split()[-1] for line in up.lines if "rollcall_scim_" in line]
    connections = cli.json("connection", "list", "--workspace", "demo")
    assert sorted(item["portal"] for item in connections) == ["DASHBOARD", "MDM", "STORE"]
    assert len(set(tokens)) == 3
    for item in connections:
        assert any(item["base_url"] in line for line in up.lines)
        assert any(Connection("", item["base_url"], token).scim("GET", "/Users").status_code == 200 for token in tokens)
    rules = {item["portal"]: cli.json("rules", "show", item["connection_id"]) for item in connections}
    assert rules["DASHBOARD"]["on_create"] == "CREATE_COLLABORATOR"
    assert rules["STORE"]["on_deactivate"] == "REMOVE_EMPLOYEE"
    policies = {item["name"]: item["policy_id"] for item in cli.json("policy", "list", "demo")}
    assert rules["MDM"]["on_deactivate"] == "CHANGE_POLICY"
    assert rules["MDM"]["policy_id"] == policies["Locked"]
    devices, publications = cli.json("device", "list", "demo"), cli.json("publication", "list", "demo")
    assert len(devices) == 4
    assert {item["policy_id"] for item in devices} == {policies["Standard"]}
    assert {item["restricted"] for item in publications} == {False, True}

    dashboard = next(item["connection_id"] for item in connections if item["portal"] == "DASHBOARD")
    changed = cli.json("rules", "set", dashboard, "--default-role", "editor")
    up.stop()
    assert (data_dir / "directory.db").exists()
    up = start("--demo", data_dir=data_dir)
    cli = Cli(up)
    assert not any("rollcall_scim_" in line for line in up.lines)
    assert any(f"rollcall token issue {dashboard}" in line for line in up.lines)
    assert cli.json("rules", "show", dashboard) == changed
    assert cli.json("device", "list", "demo") == devices
    assert cli.json("publication", "list", "demo") == publications
    assert len(cli.json("connection", "list", "--workspace", "demo")) == 3


def test_up_with_json_prints_one_document(tmp_path):
    """PRODUCT 8: "Every command has `--json`: one JSON document on stdout"."""
    up = Up(tmp_path / "data", "--json")
    try:
        eventually(lambda: (up.data_dir / "stack.json").exists())
        url = up.stack()["url"]
        text = ""
        while not text.endswith("\n}\n"):
            text += up.process.stdout.readline()
        document = json.loads(text)
        assert document["url"] == url
        assert httpx.get(f"{url}/readyz", verify=NO_TLS).status_code == 200
    finally:
        up.process.send_signal(signal.SIGTERM)
        rest = up.process.stdout.read()
        assert up.stop() == 0
    assert rest == ""
