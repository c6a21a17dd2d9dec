"""Election of the one active relay, by a lock that its holder's death releases."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import zlib
from typing import Protocol

import psycopg
import sqlalchemy as sa

_log = logging.getLogger(__name__)

_ANSWER_SECONDS = 5.0
_IDLE_SECONDS = 15


class LeaderLock(Protocol):
    """A lock that at most one process holds."""

    async def acquire(self) -> bool:
        """Try to become the leader; never waits for another holder."""

    async def verify(self) -> bool:
        """Say whether the lock is still held; False also when that cannot be told."""

    async def release(self) -> None:
        """Give the lock up; safe when it is not held."""


class FileLeaderLock:
    """An exclusive lock on a file, for SQLite: the kernel releases it when the process ends, however it ends."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    async def acquire(self) -> bool:
        """Try to lock the file."""
        if self._descriptor is not None:
            return True
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # flock belongs to the open file, so that two holders in one process exclude each other too.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    async def verify(self) -> bool:
        """Say whether the file is locked and still the one that others would open."""
        if self._descriptor is None:
            return False
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        mine = os.fstat(self._descriptor)
        return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)

    async def release(self) -> None:
        """Unlock."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


class PostgresLeaderLock:
    """A session-level advisory lock on a connection of its own.

    The server ends the session, and with it the lock, when the holder says nothing for 15 seconds: a frozen process is
    replaced too, and its late publishes are stopped by the fence.
    """

    def __init__(self, url: sa.URL | str, name: str) -> None:
        self._conninfo = sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._key = zlib.crc32(name.encode())
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None
        self._held = False

    async def acquire(self) -> bool:
        """Try to take the lock, in a statement of its own: a snapshot taken with it would be too old."""
        if self._held and await self.verify():
            return True
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                if self._connection is None:
                    self._connection = await psycopg.AsyncConnection.connect(
                        self._conninfo, autocommit=True, connect_timeout=5, application_name="rollcall-leader"
                    )
                    await self._connection.execute(f"SET idle_session_timeout = '{_IDLE_SECONDS}s'")
                cursor = await self._connection.execute("SELECT pg_try_advisory_lock(%s)", (self._key,))
                row = await cursor.fetchone()
        except (psycopg.Error, TimeoutError, OSError) as error:
            _log.warning("the leader lock cannot be asked for: %s", type(error).__name__)
            await self.release()
            return False
        self._held = bool(row and row[0])
        return self._held

    async def verify(self) -> bool:
        """Ask the session; an answer means that it lives and so that the lock is held."""
        if self._connection is None or not self._held:
            return False
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                await self._connection.execute("SELECT 1")
        except (psycopg.Error, TimeoutError, OSError):
            await self.release()
            return False
        return True

    async def release(self) -> None:
        """End the session and with it the lock."""
        connection, self._connection, self._held = self._connection, None, False
        if connection is not None:
            # A broken connection may fail to close; the server ends the session either way.
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()


def leader_lock(url: sa.URL, name: str) -> LeaderLock:
    """Make the lock that fits a database: a file beside SQLite's, an advisory lock in PostgreSQL."""
    if url.get_backend_name() == "sqlite":
        return FileLeaderLock(f"{url.database}.{name}.lock")
    return PostgresLeaderLock(url, name)
