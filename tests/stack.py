"""The whole system as real processes: nats-server, the three services and the gateway, for tests across processes.

One stack serves a whole test session; a test takes a new workspace, so tests do not see each other. Waiting is always
for a condition: `eventually` for any, `settled` for "every event was published and every consumer has applied it".
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

import grpc
import httpx
import psycopg
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from rollcall.delivery.v1 import delivery_service_pb2, delivery_service_pb2_grpc
from rollcall.directory.v1 import (
    connection_service_pb2,
    connection_service_pb2_grpc,
    directory_service_pb2_grpc,
)
from rollcall.mdm.v1 import mdm_service_pb2_grpc
from rollcall.portal.v1 import portal_service_pb2_grpc

from chassis.nats_permissions import server_users
from cli.up import make_nats_identities, nats_seed
from tests.loopback import NO_TLS
from tests.nursery import nursery

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parents[1]
SERVICES = ("directory", "portal", "mdm")
PROCESSES = ("nats", *SERVICES, "gateway")
PACKAGES = {"directory": "directory_service", "portal": "portal_service", "mdm": "mdm_service", "gateway": "gateway"}
# Which services publish, and so have an outbox; and the services that consume the stream DIRECTORY.
PUBLISHERS = ("directory", "mdm")
CONSUMERS = ("portal", "mdm")
NATS_USERS = {"directory": "directory-relay", "portal": "portal", "mdm": "mdm"}
TESTER = f'{{ user: "tester", password: "{secrets.token_hex(16)}" }}'
ACK_WAIT_SECONDS = "4"
START_TIMEOUT = 30.0
CALL_TIMEOUT = 15.0
POLL_INTERVAL = 0.005


class StackError(Exception):
    """A process of the stack did not do what a test needs before the test can begin."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An enabled SCIM connection and the token that came with it."""

    workspace_id: str
    portal: str
    connection_id: str
    base_url: str
    token: str
    token_id: str


class Refusal(NamedTuple):
    """Why a gRPC call was refused, as a client reads it from the rich status."""

    code: grpc.StatusCode
    reason: str
    message: str
    field: str


def refusal(error: grpc.RpcError) -> Refusal:
    """Read the code, the reason of `ErrorInfo`, the message and the violated field of a failed call (AIP-193)."""
    reason = field = ""
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        violations = error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(violations):
            field = ",".join(violation.field for violation in violations.field_violations)
    return Refusal(error.code(), reason, error.details() or "", field)


@contextmanager
def refused() -> Iterator[list[Refusal]]:
    """Expect the body to be refused by a service; the list holds the refusal afterwards."""
    caught: list[Refusal] = []
    try:
        yield caught
    except grpc.RpcError as error:
        caught.append(refusal(error))
        return
    raise AssertionError("the call was answered OK, a refusal was expected")


def eventually(predicate: Callable[[], T], *, timeout: float = 15.0, what: str = "") -> T:
    """Return the first true value of `predicate`; an AssertionError inside counts as "not yet".

    Raises AssertionError after `timeout` seconds, with the last assertion that did not hold.
    """
    deadline = time.monotonic() + timeout
    interval = POLL_INTERVAL
    while True:
        failure: AssertionError | None = None
        try:
            value = predicate()
            if value:
                return value
        except AssertionError as error:
            failure = error
        if time.monotonic() > deadline:
            message = f"{what or 'the condition'} did not come to hold within {timeout:g} s"
            raise AssertionError(f"{message}: {failure}" if failure else message) from failure
        time.sleep(interval)
        interval = min(interval * 1.5, 0.05)


class _Credential(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Adds an identity, a deadline and `wait_for_ready`, so that a call survives the restart of its server."""

    def __init__(self, secret: str) -> None:
        self.metadata = [("authorization", f"Bearer {secret}")]

    def _details(self, details: Any) -> Any:
        return _CallDetails(
            details.method,
            details.timeout if details.timeout is not None else CALL_TIMEOUT,
            [*(details.metadata or []), *self.metadata],
            details.credentials,
            True,
            details.compression,
        )

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(self._details(client_call_details), request)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return continuation(self._details(client_call_details), request)


class _CallDetails(NamedTuple):
    method: str
    timeout: float
    metadata: list[tuple[str, str]]
    credentials: Any
    wait_for_ready: bool
    compression: Any


CHANNEL_OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
]


class StreamConsumer(NamedTuple):
    """A durable consumer as the server sees it: the last sequence given to it, and how much it has not acknowledged."""

    given: int
    unacknowledged: int


class Outbox:
    """Counts the unsent rows of a service's outbox, read straight from its database."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection: psycopg.Connection[Any] | sqlite3.Connection | None = None

    def unsent(self) -> int:
        """How many events wait to be published."""
        return self._count("SELECT count(*) FROM outbox WHERE sent_at IS NULL")

    def events(self, connection_id: str) -> int:
        """How many events there ever were on a connection."""
        # An id that the stack itself got from the directory: no text of a test reaches the statement.
        return self._count(f"SELECT count(*) FROM outbox WHERE connection_id = '{uuid.UUID(connection_id)}'")

    def _count(self, statement: str) -> int:
        if self._connection is None:
            if self.url.startswith("sqlite"):
                path = self.url.removeprefix("sqlite:///")
                self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5, isolation_level=None)
            else:
                self._connection = psycopg.connect(
                    self.url.replace("+psycopg", ""), autocommit=True, options="-c rollcall.tenant=*"
                )
        row = self._connection.execute(statement).fetchone()
        assert row is not None
        return int(row[0])

    def close(self) -> None:
        """Let go of the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def dying_with_parent(command: list[str]) -> list[str]:
    """Make a command that is killed with the test run, even with one that is killed, where the system can do so."""
    # Not by a `preexec_fn`: that forks with gRPC's threads and handlers in place, and the child aborts now and then.
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command


class Stack:
    """Real processes on the loopback with their data under one directory.

    `databases` gives the URL for "directory", "portal" and "mdm". Every process logs to `logs/<name>.log`. With
    `exact_permissions` each process is a user of its own on NATS, with what it may do there and no more: a permission
    that lacks fails whatever needs it. Whoever comes without a key is the test itself, and may do everything.
    """

    def __init__(
        self, directory: Path, databases: Mapping[str, str], *, kind: str, exact_permissions: bool = False
    ) -> None:
        self.directory = directory
        self.databases = dict(databases)
        self.kind = kind
        self.exact_permissions = exact_permissions
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {"gateway": free_port()}
        self.extra_environment: dict[str, dict[str, str]] = {}
        self.credentials = {
            name: secrets.token_urlsafe(24) for name in ("admin", "console", "gateway", "portal", "mdm")
        }
        self._logs: dict[str, IO[bytes]] = {}
        self._clients: list[httpx.Client] = []
        self._channels: list[grpc.Channel] = []
        self._outboxes = {name: Outbox(self.databases[name]) for name in PUBLISHERS}

    # -- processes ----------------------------------------------------------------------------------------------------

    @property
    def public_url(self) -> str:
        """The base of every connection's base URL."""
        return f"http://127.0.0.1:{self.ports['gateway']}"

    @property
    def nats_url(self) -> str:
        """Where the nats-server listens for clients."""
        return f"nats://127.0.0.1:{self.ports['nats']}"

    def start(self) -> None:
        """Start everything and open the administrator's stubs. Raises StackError with the logs' ends."""
        for name in ("logs", "ports", "jetstream"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        credentials = self.directory / "credentials.json"
        credentials.write_text(json.dumps(self.credentials))
        credentials.chmod(0o600)
        nats_keys = make_nats_identities(self.directory) if self.exact_permissions else {}
        self.nats_users = server_users(nats_keys) if nats_keys else ""
        self.start_process("nats")
        if self.exact_permissions:
            self._provision()
        # The directory first, because its port is part of the others' settings; the rest side by side.
        self.start_process("directory")
        for name in ("portal", "mdm", "gateway"):
            self._spawn(name)
        for name in ("portal", "mdm", "gateway"):
            self._await(name)
        self._open_stubs()
        self._await_consumers()

    def _provision(self) -> None:
        command = [sys.executable, "-m", "chassis.provision"]
        done = subprocess.run(
            command, cwd=REPOSITORY, env=self._environment("provision"), capture_output=True, text=True, timeout=60
        )
        if done.returncode:
            raise StackError(f"streams and consumers were not made: {done.stderr}")

    def stop(self) -> None:
        """Stop the consumers, then the directory, then NATS; what does not stop in ten seconds is killed."""
        for client in self._clients:
            client.close()
        for channel in self._channels:
            channel.close()
        for outbox in self._outboxes.values():
            outbox.close()
        for names in (("gateway", "portal", "mdm"), ("directory",), ("nats",)):
            self.terminate(*names)
        for log in self._logs.values():
            log.close()

    def terminate(self, *names: str) -> None:
        """SIGTERM processes at once and wait for them."""
        stopping = [name for name in names if self.running(name)]
        for name in stopping:
            self.processes[name].terminate()
        for name in stopping:
            try:
                self.processes[name].wait(10)
            except subprocess.TimeoutExpired:
                self.kill(name)

    def kill(self, name: str) -> None:
        """SIGKILL one process and its workers, as a crash of the machine would."""
        process = self.processes[name]
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def restart(self, name: str) -> None:
        """Start a process again on its port and its data, after ending it if it still runs."""
        self.terminate(name)
        self.start_process(name)

    def running(self, name: str) -> bool:
        """Whether a process is alive."""
        process = self.processes.get(name)
        return process is not None and process.poll() is None

    def ensure_running(self) -> None:
        """Bring back what an earlier test left dead."""
        for name in PROCESSES:
            if not self.running(name):
                self.start_process(name)

    def start_process(self, name: str) -> None:
        """Start one process and wait until it serves. Raises StackError with the end of its log."""
        self._spawn(name)
        self._await(name)

    def _spawn(self, name: str) -> None:
        command = self._command(name)
        if name not in self._logs:
            self._logs[name] = (self.directory / "logs" / f"{name}.log").open("ab")
        for stale in (self.directory / "ports").glob(f"{name}*"):
            stale.unlink()
        self.processes[name] = self._launch(command, self._environment(name), self._logs[name])

    def _launch(self, command: list[str], environment: dict[str, str], log: IO[bytes]) -> Any:
        if command[0] == sys.executable:
            return nursery().spawn(command[1:], environment, log.name, str(REPOSITORY))
        return subprocess.Popen(
            dying_with_parent(command),
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            process_group=0,
        )

    def _await(self, name: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not self._serves(name):
            if not self.running(name):
                raise StackError(f"{name} ended with {self.processes[name].returncode} at start:\n{self.log(name)}")
            if time.monotonic() > deadline:
                raise StackError(f"{name} did not serve within {START_TIMEOUT:g} s:\n{self.log(name)}")
            time.sleep(POLL_INTERVAL)

    def _serves(self, name: str) -> bool:
        if name == "gateway":
            try:
                return httpx.get(f"{self.public_url}/readyz", timeout=2, verify=NO_TLS).status_code == 200
            except httpx.HTTPError:
                return False
        if name == "nats":
            files = list((self.directory / "ports").glob("nats-server*.ports"))
            try:
                ports = json.loads(files[0].read_text()) if files else {}
            except json.JSONDecodeError:
                return False
            if not ports:
                return False
            self.ports["nats"] = int(ports["nats"][0].rsplit(":", 1)[1])
            self.ports["monitoring"] = int(ports["monitoring"][0].rsplit(":", 1)[1])
            try:
                health = f"http://127.0.0.1:{self.ports['monitoring']}/healthz"
                return httpx.get(health, timeout=2, verify=NO_TLS).status_code == 200
            except httpx.HTTPError:
                return False
        port_file = self.directory / "ports" / name
        if not port_file.exists() or not port_file.read_text().strip():
            return False
        self.ports[name] = int(port_file.read_text())
        return True

    def _command(self, name: str) -> list[str]:
        if name == "nats":
            return self._nats_command()
        command = [sys.executable, "-m", PACKAGES[name]]
        return [*command, "serve"] if name in SERVICES else command

    def _nats_command(self) -> list[str]:
        server = Path(sys.executable).with_name("nats-server")
        config = self.directory / "nats.conf"
        users = f'authorization {{\n{self.nats_users[:-1]}  {TESTER}\n]\n}}\nno_auth_user: "tester"\n'
        config.write_text(
            f'listen: "127.0.0.1:{self.ports.get("nats", -1)}"\n'
            f'http: "127.0.0.1:{self.ports.get("monitoring", -1)}"\n'
            "max_payload: 4MB\n"
            f'jetstream {{ store_dir: "{self.directory / "jetstream"}", sync_interval: always }}\n'
            + (users if self.nats_users else "")
        )
        return [str(server), "-c", str(config), "--ports_file_dir", str(self.directory / "ports")]

    def _environment(self, name: str) -> dict[str, str]:
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("ROLLCALL_", "DIRECTORY_", "PORTAL_", "MDM_", "GATEWAY_", "CONSOLE_"))
        }
        environment["PYTHONUNBUFFERED"] = "1"
        if name == "nats":
            return environment
        if name == "provision":
            seed = nats_seed(self.directory, "provisioner")
            return environment | {
                "PROVISION_NATS_URL": self.nats_url,
                "PROVISION_NATS_NKEY_SEED_FILE": str(seed),
                "PROVISION_ACK_WAIT_SECONDS": ACK_WAIT_SECONDS,
            }
        settings = {
            "ADDRESS": f"127.0.0.1:{self.ports.get(name, 0)}",
            "PORT_FILE": str(self.directory / "ports" / name),
            "CREDENTIALS_FILE": str(self.directory / "credentials.json"),
            "LOG_FORMAT": "json",
        }
        if name in SERVICES:
            settings |= {
                "DATABASE_URL": self.databases[name],
                "NATS_URL": self.nats_url,
                "MIGRATE": "true",
            }
            if self.exact_permissions:
                settings["NATS_NKEY_SEED_FILE"] = str(nats_seed(self.directory, NATS_USERS[name]))
            else:
                settings["PROVISION_STREAMS"] = "true"
        if name in CONSUMERS:
            # A killed consumer is succeeded within seconds, so that a test need not wait for what production waits for.
            settings |= {"LEASE_SECONDS": "2", "ACK_WAIT_SECONDS": ACK_WAIT_SECONDS}
        if name == "directory":
            settings |= {"PUBLIC_URL": self.public_url, "RELAY": "embedded"}
        else:
            settings["DIRECTORY_TARGET"] = f"127.0.0.1:{self.ports['directory']}"
        if name == "gateway":
            settings |= {"WORKERS": "1", "PUBLIC_URL": self.public_url}
        prefix = f"{name.upper()}_"
        return (
            environment
            | {prefix + key: value for key, value in settings.items()}
            | self.extra_environment.get(name, {})
        )

    # -- logs ---------------------------------------------------------------------------------------------------------

    def log_sizes(self) -> dict[str, int]:
        """How long each log is now: a mark from which `log` can read."""
        return {path.stem: path.stat().st_size for path in (self.directory / "logs").glob("*.log")}

    def log(self, name: str, since: int | None = None, limit: int = 8_000) -> str:
        """The end of a process's log, at most `limit` bytes, from the mark `since` on."""
        path = self.directory / "logs" / f"{name}.log"
        size = path.stat().st_size if path.exists() else 0
        start = max(since or 0, size - limit)
        if start >= size:
            return ""
        with path.open("rb") as file:
            file.seek(start)
            return file.read().decode(errors="replace")

    # -- clients ------------------------------------------------------------------------------------------------------

    def _open_stubs(self) -> None:
        self.connections = connection_service_pb2_grpc.ConnectionServiceStub(self.channel("directory"))
        self.users_and_groups = directory_service_pb2_grpc.DirectoryServiceStub(self.channel("directory"))
        self.portal = portal_service_pb2_grpc.PortalServiceStub(self.channel("portal"))
        self.mdm = mdm_service_pb2_grpc.MdmServiceStub(self.channel("mdm"))
        self.portal_delivery = delivery_service_pb2_grpc.DeliveryServiceStub(self.channel("portal"))
        self.mdm_delivery = delivery_service_pb2_grpc.DeliveryServiceStub(self.channel("mdm"))
        self._monitor = httpx.Client(base_url=f"http://127.0.0.1:{self.ports['monitoring']}", timeout=5, verify=NO_TLS)
        self._clients.append(self._monitor)

    def channel(self, service: str, identity: str = "admin") -> grpc.Channel:
        """A channel to a service with the credential of an identity; closed with the stack."""
        plain = grpc.insecure_channel(f"127.0.0.1:{self.ports[service]}", options=CHANNEL_OPTIONS)
        self._channels.append(plain)
        return grpc.intercept_channel(plain, _Credential(self.credentials[identity]))

    def scim(
        self, connection: Connection, *, token: str | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Client:
        """An HTTP client on the connection's base URL that presents its token; closed with the stack."""
        client = httpx.Client(
            base_url=connection.base_url,
            headers={"Authorization": f"Bearer {token or connection.token}", **(headers or {})},
            timeout=30,
            verify=NO_TLS,
        )
        self._clients.append(client)
        return client

    # -- administration -----------------------------------------------------------------------------------------------

    def create_workspace(self, name: str = "Acme") -> str:
        """A new workspace's id."""
        request = connection_service_pb2.CreateWorkspaceRequest(name=f"{name} {secrets.token_hex(4)}")
        return str(self.connections.CreateWorkspace(request).workspace.workspace_id)

    def enable(self, workspace_id: str, portal: str) -> Connection:
        """Enable SCIM on a portal: "dashboard", "store" or "mdm"."""
        response = self.connections.CreateConnection(
            connection_service_pb2.CreateConnectionRequest(
                workspace_id=workspace_id, portal=connection_service_pb2.Portal.Value(f"PORTAL_{portal.upper()}")
            )
        )
        return Connection(
            workspace_id=workspace_id,
            portal=portal,
            connection_id=response.connection.connection_id,
            base_url=response.connection.base_url,
            token=response.token,
            token_id=response.token_id,
        )

    def effects(self, workspace_id: str, service: str | None = None) -> list[delivery_service_pb2.Effect]:
        """Every effect of a workspace, oldest first within a service, portal before MDM."""
        stubs = {"portal": self.portal_delivery, "mdm": self.mdm_delivery}
        found: list[delivery_service_pb2.Effect] = []
        for name in (service,) if service else tuple(stubs):
            token, effects = "", []
            while True:
                page = stubs[name].ListEffects(
                    delivery_service_pb2.ListEffectsRequest(workspace_id=workspace_id, page_size=200, page_token=token)
                )
                effects.extend(page.effects)
                token = page.next_page_token
                if not token:
                    break
            found.extend(reversed(effects))
        return found

    # -- conditions ---------------------------------------------------------------------------------------------------

    def eventually(self, predicate: Callable[[], T], *, timeout: float = 15.0, what: str = "") -> T:
        """`eventually` of this module."""
        return eventually(predicate, timeout=timeout, what=what)

    def unsent(self, service: str = "directory") -> int:
        """How many events of a service wait to be published."""
        return self._outboxes[service].unsent()

    def events(self, connection: Connection) -> int:
        """How many events there ever were on a connection."""
        return self._outboxes["directory"].events(connection.connection_id)

    def settled(self, *, timeout: float = 30.0) -> None:
        """Wait until every event of every service was published and every consumer has committed and acknowledged it.

        The outboxes are looked at before the consumers: once they are empty, all that happened is in the stream. The
        server tells its consumers of a message a moment after it has stored it, in the stream's order: that one of them
        was given the stream's last message says that what all of them have pending is counted in full. A consumer
        acknowledges after its commit.
        """
        eventually(self._is_settled, timeout=timeout, what="settling")

    def _is_settled(self) -> bool:
        unsent = {name: outbox.unsent() for name, outbox in self._outboxes.items()}
        last, consumers = self._stream()
        lag = {name: consumer.unacknowledged for name, consumer in consumers.items() if consumer.unacknowledged}
        assert not any(unsent.values()), f"unsent events: {unsent}"
        assert self._consumers_exist(consumers), f"consumers: {sorted(consumers)}"
        # Each service is given the events of its own portals; the last one is of one of them.
        given = max(consumer.given for consumer in consumers.values())
        assert given >= last, f"the consumers were given {given} of {last} events"
        assert not lag, f"events not applied yet: {lag}"
        return True

    def _stream(self) -> tuple[int, dict[str, StreamConsumer]]:
        """The last sequence of the stream DIRECTORY, and its durable consumers by name."""
        try:
            account = self._monitor.get("/jsz", params={"consumers": "true", "streams": "true"}).json()
        except (httpx.HTTPError, json.JSONDecodeError):
            return 0, {}
        streams: Sequence[Mapping[str, Any]] = [
            stream for details in account.get("account_details") or () for stream in details.get("stream_detail") or ()
        ]
        for stream in streams:
            if stream["name"] == "DIRECTORY":
                return stream["state"]["last_seq"], {
                    consumer["name"]: StreamConsumer(
                        consumer["delivered"]["stream_seq"], consumer["num_pending"] + consumer["num_ack_pending"]
                    )
                    for consumer in stream.get("consumer_detail") or ()
                }
        return 0, {}

    @staticmethod
    def _consumers_exist(consumers: Mapping[str, StreamConsumer]) -> bool:
        return all(any(name.startswith(f"{service}-") for name in consumers) for service in CONSUMERS)

    def _await_consumers(self) -> None:
        eventually(
            lambda: self._consumers_exist(self._stream()[1]), timeout=START_TIMEOUT, what="consumers of DIRECTORY"
        )
