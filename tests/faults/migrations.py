"""Migrations that are killed halfway, on both databases, and what is left of the schema."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import product
from pathlib import Path

from chassis.migrations import SchemaMismatch, check
from tests.conftest import PostgresServer
from tests.nursery import Nursery
from tests.stack import PACKAGES, REPOSITORY, SERVICES

POINTS = ("migrations.after_step", "migrations.before_commit")
DIALECTS = ("sqlite", "postgresql")
CASES = tuple(product(SERVICES, DIALECTS, POINTS))
"""Every service on every database at every point."""


def crash_migrations(postgres: PostgresServer | None = None, cases: Sequence[tuple[str, str, str]] = CASES) -> None:
    """Kill a service's migration at a point, in each case; nothing of it stays, and the next one completes it.

    Raises AssertionError. Without a server it starts one of its own.
    """
    with ExitStack() as resources:
        server = postgres
        if server is None:
            server = PostgresServer()
            resources.callback(server.remove)
            server.start()
        directory = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix="rollcall-migrations-")))
        nursery = Nursery()
        resources.callback(nursery.close)
        for number, (service, dialect, point) in enumerate(cases):
            with _database(dialect, server, directory / f"{number}.db") as url:
                _assert_killed(nursery, directory, service, url, point)
                _migrate(nursery, directory, service, url, "")


@contextmanager
def _database(dialect: str, server: PostgresServer, path: Path) -> Iterator[str]:
    if dialect == "sqlite":
        yield f"sqlite:///{path}"
    else:
        with server.database() as url:
            yield url


def _migrate(nursery: Nursery, directory: Path, service: str, url: str, crashpoint: str) -> int:
    prefix = service.upper()
    environment = os.environ | {
        f"{prefix}_DATABASE_URL": url,
        f"{prefix}_ADDRESS": "127.0.0.1:0",
        f"{prefix}_NATS_URL": "nats://127.0.0.1:1",
        f"{prefix}_CREDENTIALS_FILE": "/dev/null",
        f"{prefix}_DIRECTORY_TARGET": "127.0.0.1:1",
        f"{prefix}_PUBLIC_URL": "http://127.0.0.1",
        "ROLLCALL_CRASHPOINT": crashpoint,
    }
    log = directory / "log"
    log.write_bytes(b"")
    code = nursery.spawn(["-m", PACKAGES[service], "migrate"], environment, str(log), str(REPOSITORY)).wait(60)
    if not crashpoint:
        assert code == 0, log.read_text()
        check(url, str(REPOSITORY / PACKAGES[service] / "migrations"))
    return code


def _assert_killed(nursery: Nursery, directory: Path, service: str, url: str, point: str) -> None:
    code = _migrate(nursery, directory, service, url, f"{point}:1")
    assert code == -signal.SIGKILL, f"the migration of {service} never passed {point}"
    try:
        check(url, str(REPOSITORY / PACKAGES[service] / "migrations"))
    except SchemaMismatch:
        return
    raise AssertionError(f"half a migration of {service} is taken for a whole one")
