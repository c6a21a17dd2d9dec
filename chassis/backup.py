"""Copies of SQLite databases that are in use, and what a producer must send again after copies were restored."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path


class DamagedDatabase(Exception):
    """A copied database is not whole; the message names the file."""


def copy_database(source: Path, target: Path) -> None:
    """Copy a database as it is at one moment, while others read and write it; the copy is one file, on the disk.

    Raises `sqlite3.Error`, OSError, and `DamagedDatabase` when the source itself is damaged.
    """
    with (
        contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as reading,
        contextlib.closing(sqlite3.connect(target, isolation_level=None)) as writing,
    ):
        # All pages in one step: a copy in several begins again whenever somebody writes in between.
        reading.backup(writing, pages=-1)
        # A copy in WAL mode would need its companion files.
        writing.execute("PRAGMA journal_mode=DELETE").fetchone()
        (answer,) = writing.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise DamagedDatabase(f"{source} is damaged: {answer}")
    sync(target)


def rewind(producer: Path, consumers: Mapping[Path, Sequence[str]]) -> int:
    """Have a producer's outbox send what a consumer has not taken yet to a stream that is empty; return how many.

    `consumers` are databases, no newer than the producer's, with the portals whose events each of them is given. What
    all of them have taken stays sent. No process may use the databases meanwhile.
    """
    with contextlib.closing(sqlite3.connect(producer, isolation_level=None)) as database:
        known = []
        portals: list[str] = []
        for number, (consumer, given) in enumerate(consumers.items()):
            database.execute(f"ATTACH DATABASE ? AS consumer{number}", (str(consumer),))
            # No other token of a subject is a portal's name.
            given_to = " OR ".join("instr(outbox.subject, ?) > 0" for _ in given)
            portals += (f".{portal}." for portal in given)
            known.append(
                f"NOT ({given_to}) "
                f"OR EXISTS (SELECT 1 FROM consumer{number}.inbox AS taken WHERE taken.event_id = outbox.event_id) "
                f"OR EXISTS (SELECT 1 FROM consumer{number}.dead_letters AS dead WHERE dead.event_id = outbox.event_id)"
            )
        taken = " AND ".join(f"({condition})" for condition in known) or "TRUE"
        database.execute("BEGIN IMMEDIATE")
        # Positions in a stream that is gone mean nothing in the next one.
        database.execute("UPDATE main.outbox SET stream_sequence = NULL WHERE stream_sequence IS NOT NULL")
        database.execute(f"UPDATE main.outbox SET sent_at = NULL WHERE sent_at IS NOT NULL AND NOT ({taken})", portals)
        database.execute("COMMIT")
        (count,) = database.execute("SELECT count(*) FROM main.outbox WHERE sent_at IS NULL").fetchone()
    sync(producer)
    return int(count)


def sync(path: Path) -> None:
    """Have a file or directory on the disk before anything else happens."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
