"""A disk that fills up: one store on a small tmpfs, and a file that takes the rest of it. Needs root."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.faults.faults import Context, Fault
from tests.stack import eventually

SIZE = "24m"
_CHUNK = b"\0" * 65536


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[Path]:
    """Mount a tmpfs of 24 MiB on a new directory; unmount it afterwards."""
    directory.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "rollcall-faults", str(directory)], check=True)
    try:
        yield directory
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


def can_mount() -> bool:
    """Whether this process may mount a tmpfs."""
    return os.geteuid() == 0


def _shrink(path: Path) -> None:
    """Empty the write-ahead log, so that the next write needs room that is not there."""
    with contextlib.closing(sqlite3.connect(path, timeout=10)) as database:
        eventually(lambda: database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0, timeout=20)


def fill(disk: Path) -> Path:
    """Take all that is left of a disk with one file, and give the file."""
    ballast = disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            while True:
                file.write(_CHUNK)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    return ballast


def disk_full(store: str, disk: Path) -> Fault:
    """A store's disk is full for a while; of NATS it says that the server must be started again afterwards."""

    def fault(context: Context) -> None:
        with context.working():
            context.after(context.workload.size.operations // 4)
            if store != "jetstream":
                _shrink(disk / f"{store}.db")
            ballast = fill(disk)
            try:
                # A full directory refuses every write, so what is waited for is answers of any kind.
                context.after(context.workload.size.operations // 4)
            finally:
                ballast.unlink()
            if store == "jetstream":
                # A stream whose disk was full stays broken until its server starts anew.
                context.stack.kill("nats")
                context.stack.start_process("nats")
            else:
                eventually(
                    lambda: context.stack.running(store) or _again(context, store), timeout=30, what=f"{store} again"
                )
            context.after(10)

    return fault


def _again(context: Context, store: str) -> bool:
    """A process that ended because its disk was full is started again, as its supervisor would."""
    context.stack.start_process(store)
    return True
