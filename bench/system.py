"""The whole system while it is measured: started, administered, watched.

On SQLite it is `rollcall up` in a data directory of its own, as anybody starts it; on PostgreSQL the same processes
with a database each on one durable server.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
import psutil
import psycopg
from nats.aio.client import Client
from nats.js import JetStreamContext

from bench.driver import Driver
from bench.measurements import Measurement, percentile
from bench.postgres import Postgres
from cli import contract
from cli.targets import Services
from tests.stack import Stack, free_port

PROCESSES = ("gateway", "directory", "portal", "mdm", "nats", "postgresql")
CONSUMERS = ("portal", "mdm")
DATABASES = ("sqlite", "postgresql")
DURABILITY = {
    "sqlite": "SQLite with synchronous=FULL; JetStream on files with sync_interval: always",
    "postgresql": "PostgreSQL with fsync and synchronous_commit on; JetStream on files with sync_interval: always",
}

_READY_SECONDS = 60.0
_SETTLE_SECONDS = 600.0
_STREAM = "DIRECTORY"
# Seconds between two looks of the observer: much less than the latency that it measures, and little work.
_OBSERVER_INTERVAL = 0.002
_OBSERVED = 64


class SystemFailed(Exception):
    """The system did not start, or did not do what the benchmark waits for."""


@dataclass(frozen=True, slots=True)
class ScimConnection:
    """An enabled SCIM connection."""

    workspace_id: str
    portal: str
    connection_id: str
    base_url: str
    token: str


class Database:
    """Reads one service's database from outside, without a lock that anybody would wait for."""

    def __init__(self, url: str) -> None:
        self._sqlite = url.startswith("sqlite")
        self._connection: Any
        if self._sqlite:
            path = url.removeprefix("sqlite:///")
            self._connection = sqlite3.connect(
                f"file:{path}?mode=ro", uri=True, timeout=5, isolation_level=None, check_same_thread=False
            )
        else:
            self._connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)

    def rows(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a SELECT whose parameters are written as `?`."""
        text = statement if self._sqlite else statement.replace("?", "%s")
        return list(self._connection.execute(text, parameters).fetchall())

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()


class System:
    """One running system. Made by `running`."""

    def __init__(
        self,
        *,
        database: str,
        directory: Path,
        pids: Callable[[], Mapping[str, int]],
        nats_url: str,
        targets: Mapping[str, str],
        databases: Mapping[str, str],
        ready_seconds: float,
        database_version: str,
    ) -> None:
        self.database = database
        self.database_version = database_version
        self.ready_seconds = ready_seconds
        self._pids = pids
        self._nats_url = nats_url
        self._services = Services(directory, request="rollcall benchmark", targets=targets)
        self._databases = {name: Database(url) for name, url in databases.items()}
        self._nats: Client | None = None
        self._jetstream: JetStreamContext | None = None

    async def open(self) -> None:
        """Connect to the stream, for the consumers' lag."""
        self._nats = await nats.connect(self._nats_url)
        self._jetstream = self._nats.jetstream()

    async def close(self) -> None:
        """Close what was opened; the processes go on."""
        if self._nats is not None:
            await self._nats.close()
        for database in self._databases.values():
            database.close()

    # -- administration -----------------------------------------------------------------------------------------------

    def connect(self, portal: str) -> ScimConnection:
        """A new workspace with one connection whose rules make accounts and take them away. `portal` in lower case."""
        create = contract.connections.CreateWorkspaceRequest(name=f"Benchmark of {portal}")
        workspace = self._services.connections.call("CreateWorkspace", create).workspace
        request = contract.connections.CreateConnectionRequest(
            workspace_id=workspace.workspace_id, portal=f"PORTAL_{portal.upper()}"
        )
        made = self._services.connections.call("CreateConnection", request)
        connection_id = made.connection.connection_id
        rules: Any
        if portal == "mdm":
            create_policy = contract.mdm.CreatePolicyRequest(workspace_id=workspace.workspace_id, name="Locked")
            policy = self._services.mdm.call("CreatePolicy", create_policy).policy
            behaviour = contract.mdm.OnDeactivate(change_policy=contract.mdm.ChangePolicy(policy_id=policy.policy_id))
            rules = contract.mdm.UpdateRulesRequest(
                connection_id=connection_id, on_create="ON_CREATE_CREATE_EMPLOYEE", on_deactivate=behaviour
            )
            self._services.mdm.call("UpdateRules", rules)
        elif portal == "dashboard":
            rules = contract.portal.UpdateRulesRequest(
                connection_id=connection_id,
                on_create="ON_CREATE_CREATE_COLLABORATOR",
                on_deactivate="ON_DEACTIVATE_REMOVE_COLLABORATOR",
                default_role="ROLE_VIEWER",
            )
            self._services.portal.call("UpdateRules", rules)
        else:
            rules = contract.portal.UpdateRulesRequest(
                connection_id=connection_id,
                on_create="ON_CREATE_CREATE_EMPLOYEE",
                on_deactivate="ON_DEACTIVATE_REMOVE_EMPLOYEE",
            )
            self._services.portal.call("UpdateRules", rules)
        return ScimConnection(workspace.workspace_id, portal, connection_id, made.connection.base_url, made.token)

    def driver(self, connection: ScimConnection, *, concurrency: int = 8) -> Driver:
        """An identity provider that pushes to a connection."""
        domain = f"{connection.portal}.example.com"
        return Driver(connection.base_url, connection.token, concurrency=concurrency, domain=domain)

    # -- watching -----------------------------------------------------------------------------------------------------

    async def lag(self, service: str = "") -> int:
        """How many events wait: in the directory's outbox, and at the consumers of one service or of all."""
        assert self._jetstream is not None
        unsent = self._databases["directory"].rows("SELECT count(*) FROM outbox WHERE sent_at IS NULL")[0][0]
        consumers = await self._jetstream.consumers_info(_STREAM)
        behind = sum(
            (info.num_pending or 0) + (info.num_ack_pending or 0)
            for info in consumers
            if (info.name or "").startswith(f"{service}-" if service else "")
        )
        return int(unsent) + behind

    async def settled(self, service: str = "") -> float:
        """Wait until nothing lags; give the seconds that it took. Raises SystemFailed."""
        begin = time.perf_counter()
        pause = 0.01
        while left := await self.lag(service):
            if time.perf_counter() - begin > _SETTLE_SECONDS:
                raise SystemFailed(f"{left} events were not applied within {_SETTLE_SECONDS:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.1)
        return time.perf_counter() - begin

    async def sent(self) -> None:
        """Wait until the outbox is empty, whether or not anybody consumes."""
        count = "SELECT count(*) FROM outbox WHERE sent_at IS NULL"
        deadline = time.monotonic() + _SETTLE_SECONDS
        while self._databases["directory"].rows(count)[0][0]:
            if time.monotonic() > deadline:
                raise SystemFailed("the outbox was not sent")
            await asyncio.sleep(0.05)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds used so far by each process with its children, and by this one, the client."""
        own = time.process_time()
        return {"client": own, **{name: _cpu_seconds(pid) for name, pid in self._pids().items()}}

    def resident_megabytes(self) -> dict[str, float]:
        """Resident memory of the largest process under each name, in MB of 10⁶ bytes."""
        found: dict[str, float] = {}
        for name, pid in self._pids().items():
            family = _family(pid)
            found[name] = max((_resident(process) for process in family), default=0) / 1e6
        return found

    async def idle_percent(self, seconds: float) -> dict[str, float]:
        """Percent of one core that each process uses while nothing happens."""
        await self.settled()
        before = self.cpu_seconds()
        begin = time.perf_counter()
        await asyncio.sleep(seconds)
        elapsed = time.perf_counter() - begin
        after = self.cpu_seconds()
        return {name: 100 * (after[name] - before[name]) / elapsed for name in after if name in PROCESSES}

    async def measure(self, phase: Callable[[], Any]) -> Measurement:
        """Run a phase of a driver; add each process's cost until the events were applied, and how long that took."""
        before = self.cpu_seconds()
        measured: Measurement = await phase()
        client = time.process_time()
        measured.lag_seconds = await self.settled()
        after = {**self.cpu_seconds(), "client": client}
        if measured.operations:
            measured.cpu = {
                name: 1e6 * (after[name] - before[name]) / measured.operations for name in after if name in before
            }
        return measured

    # -- events -------------------------------------------------------------------------------------------------------

    async def event_latency(self, per_second: float, seconds: float) -> dict[str, dict[str, float]]:
        """SCIM reply → effect committed, in milliseconds, by consumer, at a fixed rate of requests.

        People are created in turns on a dashboard and on an MDM connection. An observer in this process sees a
        commit by reading the consumer's database every 2 ms.
        """
        found: dict[str, dict[str, float]] = {}
        drivers = {}
        observers = {}
        with ExitStack() as stack:
            for service, portal in (("portal", "dashboard"), ("mdm", "mdm")):
                connection = self.connect(portal)
                drivers[service] = self.driver(connection)
                observer = _Observer(self._databases[service], connection.workspace_id)
                observers[service] = stack.enter_context(observer.watching())
            await self.settled()
            replied: dict[str, dict[str, float]] = {service: {} for service in drivers}
            begin = time.perf_counter()
            await self._create_at_rate(drivers, replied, per_second, seconds)
            elapsed = time.perf_counter() - begin
            await self.settled()
            # What is committed is seen with the observer's next look.
            await asyncio.sleep(0.1)
            for service, observer in observers.items():
                observer.check()
                seen = observer.seen
                missing = replied[service].keys() - seen.keys()
                if missing:
                    raise SystemFailed(f"{service}: {len(missing)} of {len(replied[service])} users have no effect")
                # An effect may be committed before the reply has reached the client.
                latencies = [max(0.0, seen[user] - at) * 1000 for user, at in replied[service].items()]
                found[service] = {
                    "p50": percentile(latencies, 0.5),
                    "p95": percentile(latencies, 0.95),
                    "p99": percentile(latencies, 0.99),
                    "max": max(latencies),
                    "events": len(latencies),
                    "per_second": len(latencies) / elapsed,
                }
        return found

    @staticmethod
    async def _create_at_rate(
        drivers: Mapping[str, Driver], replied: Mapping[str, dict[str, float]], per_second: float, seconds: float
    ) -> None:
        services = tuple(drivers)
        begin = time.perf_counter() + 0.2
        total = int(per_second * seconds)
        taken = 0

        async def work() -> None:
            nonlocal taken
            async with _Clients(drivers) as clients:
                while taken < total:
                    number = taken
                    taken += 1
                    await asyncio.sleep(max(0.0, begin + number / per_second - time.perf_counter()))
                    service = services[number % len(services)]
                    user = await drivers[service].create(clients[service])
                    replied[service][user.id] = time.perf_counter()

        # As many as it takes to keep the rate while a request waits.
        await asyncio.gather(*(work() for _ in range(16)))

    async def catch_up(self, users: int) -> dict[str, float]:
        """Events per second that each consumer applies when it comes back to a backlog of `users` creations."""
        found = {}
        for service, portal in (("portal", "dashboard"), ("mdm", "mdm")):
            driver = self.driver(self.connect(portal))
            await self.settled()
            self._signal(CONSUMERS, signal.SIGSTOP)
            try:
                await driver.preload(users)
                await self.sent()
                self._signal((service,), signal.SIGCONT)
                seconds = await self.settled(service)
                found[service] = users / seconds
            finally:
                self._signal(CONSUMERS, signal.SIGCONT)
            await self.settled()
        return found

    def _signal(self, services: Sequence[str], number: signal.Signals) -> None:
        pids = self._pids()
        for service in services:
            os.kill(pids[service], number)


class _Clients:
    """A client for each driver, closed together."""

    def __init__(self, drivers: Mapping[str, Driver]) -> None:
        self._drivers = drivers

    async def __aenter__(self) -> dict[str, Any]:
        self._contexts = {service: driver.client() for service, driver in self._drivers.items()}
        return {service: await context.__aenter__() for service, context in self._contexts.items()}

    async def __aexit__(self, *error: Any) -> None:
        for context in self._contexts.values():
            await context.__aexit__(*error)


class _Observer:
    """Notes when the first effect of each user of a workspace became visible in a consumer's database."""

    def __init__(self, database: Database, workspace_id: str) -> None:
        self.seen: dict[str, float] = {}
        self._database = database
        self._workspace_id = workspace_id
        self._stopping = threading.Event()
        self._error: Exception | None = None

    @contextmanager
    def watching(self) -> Iterator[_Observer]:
        """Watch while the body runs."""
        thread = threading.Thread(target=self._watch, name="observer", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stopping.set()
            thread.join()

    def check(self) -> None:
        """Raise what ended the watching, if anything did."""
        if self._error is not None:
            raise SystemFailed(f"the observer ended: {self._error}") from self._error

    def _watch(self) -> None:
        # Ids rise with time but not strictly with commits, so the newest are looked at again.
        statement = (
            f"SELECT effect_id, user_id FROM effects WHERE workspace_id = ? ORDER BY effect_id DESC LIMIT {_OBSERVED}"
        )
        newest = ""
        try:
            while not self._stopping.wait(_OBSERVER_INTERVAL):
                rows = self._database.rows(statement, (self._workspace_id,))
                now = time.perf_counter()
                if rows and rows[0][0] != newest:
                    newest = rows[0][0]
                    for _, user_id in rows:
                        self.seen.setdefault(user_id, now)
        except (sqlite3.Error, psycopg.Error) as error:
            self._error = error


# -- starting ---------------------------------------------------------------------------------------------------------


@contextmanager
def running(database: str, *, gateway_workers: int = 2) -> Iterator[System]:
    """Start the whole system, empty, in a temporary directory; stop it and remove that. Raises SystemFailed."""
    directory = Path(tempfile.mkdtemp(prefix="rollcall-bench-"))
    # PostgreSQL runs as another user, and its own directory is closed to everybody else.
    directory.chmod(0o755)
    try:
        with _on_sqlite(directory) if database == "sqlite" else _on_postgresql(directory, gateway_workers) as system:
            yield system
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _on_sqlite(directory: Path) -> Iterator[System]:
    data = directory / "data"
    log = (directory / "log").open("ab")
    begin = time.monotonic()
    command = [
        str(Path(sys.executable).with_name("rollcall")), "up", "--json", "--data-dir", str(data), "--port", "0",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, cwd=directory)
    try:
        line = _line_of(process, directory / "log")
        ready_seconds = time.monotonic() - begin
        stack = _read_stack(data)
        yield System(
            database="sqlite",
            directory=data,
            pids=lambda: _read_stack(data)["pids"],
            nats_url=stack["nats_url"],
            targets=json.loads(line)["targets"],
            databases={name: f"sqlite:///{data / f'{name}.db'}" for name in ("directory", "portal", "mdm")},
            ready_seconds=ready_seconds,
            database_version=sqlite3.sqlite_version,
        )
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
        log.close()


def _line_of(process: subprocess.Popen[bytes], log: Path) -> bytes:
    """The JSON document that `rollcall up --json` prints once it is ready."""
    assert process.stdout is not None
    lines: list[bytes] = []

    def read() -> None:
        assert process.stdout is not None
        document = b""
        for piece in process.stdout:
            document += piece
            with suppress(ValueError):
                json.loads(document)
                lines.append(document)
                return

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(_READY_SECONDS)
    if not lines:
        raise SystemFailed(f"rollcall up was not ready within {_READY_SECONDS:g} s:\n{log.read_text()[-4000:]}")
    return lines[0]


def _read_stack(data: Path) -> dict[str, Any]:
    stack: dict[str, Any] = json.loads((data / "stack.json").read_bytes())
    return stack


@contextmanager
def _on_postgresql(directory: Path, gateway_workers: int) -> Iterator[System]:
    server = Postgres(directory / "postgresql", free_port())
    server.start()
    try:
        names = ("directory", "portal", "mdm")
        databases = {name: server.create_database(name) for name in names}
        stack = Stack(directory / "stack", databases, kind="postgresql")
        stack.extra_environment["gateway"] = {"GATEWAY_WORKERS": str(gateway_workers)}
        begin = time.monotonic()
        try:
            stack.start()
            yield System(
                database="postgresql",
                directory=stack.directory,
                pids=lambda: {
                    **{name: process.pid for name, process in stack.processes.items()},
                    "postgresql": server.pid,
                },
                nats_url=stack.nats_url,
                targets={name: f"127.0.0.1:{stack.ports[name]}" for name in names},
                databases=databases,
                ready_seconds=time.monotonic() - begin,
                database_version=server.version(),
            )
        finally:
            stack.stop()
    finally:
        server.stop()


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _cpu_seconds(pid: int) -> float:
    """CPU seconds of a process, of its living children, and of those that it has waited for."""
    total = 0.0
    for index, process in enumerate(_family(pid)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
            if index == 0:
                total += times.children_user + times.children_system
    return total


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
