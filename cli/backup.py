"""`rollcall backup` and `rollcall restore`: the local stack's databases, as they belong together.

The consumers' databases are copied before the directory's, so that a copy never holds the consequence of an event that
its directory does not know. The stream is not copied: after a restore the outboxes fill a new one with what a consumer
has not taken yet, and with the device commands that no device has reported on.
"""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from chassis.revisions import file_is_newest
from cli.command import Session, command
from cli.data_directory import (
    BACKUPS,
    LOCK_FILE,
    RESTORE_MARK,
    SERVICES,
    DirectoryLock,
    database,
    make_directory,
    require_whole,
)
from cli.errors import Refused
from cli.output import Document
from cli.progress import progress
from cli.targets import CREDENTIALS_FILE, read_json

_MANIFEST = "manifest.json"
_FORMAT = 1
# Consumers first.
_ORDER = ("mdm", "portal", "directory")
_KEPT = 3
_CHUNK = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add `backup` and `restore` to the application."""
    command(app, "backup")(backup)
    command(app, "restore")(restore)


def backup(
    session: Session,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A directory that is new or empty.")],
) -> None:
    """Copy the local stack's databases and credentials; the stack may be running."""
    os.umask(0o077)
    value = write_backup(session.data_dir.absolute(), directory.absolute())
    session.done(value, f"backed up to {value['directory']}")


def restore(
    session: Session,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A directory that `rollcall backup` made.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace the stack that is in the data directory; it must be stopped.")
    ] = False,
) -> None:
    """Put a backup into the data directory; start it with `rollcall up`."""
    os.umask(0o077)
    value = read_backup(directory.absolute(), session.data_dir.absolute(), force=force)
    session.done(value, f"restored to {value['data_dir']}; start it with `rollcall up`")


def write_backup(data_dir: Path, target: Path) -> Document:
    """Make a backup that appears whole or not at all; what it is. Raises Refused."""
    from chassis.backup import DamagedDatabase, copy_database, sync

    require_whole(data_dir)
    missing = [name for name in SERVICES if not database(data_dir, name).exists()]
    if missing or not (data_dir / CREDENTIALS_FILE).exists():
        raise Refused(f"{data_dir} holds no stack to back up; name another with --data-dir")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise Refused(f"{target} is there and not empty; name a new directory")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    created = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    try:
        partial.mkdir(mode=0o700, parents=True)
        with progress("backup") as show:
            for number, name in enumerate(_ORDER):
                show(name, number, len(_ORDER))
                copy_database(database(data_dir, name), database(partial, name))
        shutil.copyfile(data_dir / CREDENTIALS_FILE, partial / CREDENTIALS_FILE)
        files = {path.name: _fingerprint(path) for path in sorted(partial.iterdir())}
        manifest = {"format": _FORMAT, "created_time": created, "files": files}
        _write_json(partial / _MANIFEST, manifest)
        if target.exists():
            target.rmdir()
        partial.rename(target)
        sync(target.parent)
    except (OSError, sqlite3.Error, DamagedDatabase) as error:
        raise Refused(f"the backup to {target} failed: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return {"directory": str(target), "created_time": created, "files": sorted(files)}


def read_backup(source: Path, data_dir: Path, *, force: bool) -> Document:
    """Put a backup into a data directory; what was done. Raises Refused, and changes nothing when it did so at once."""
    from chassis.backup import rewind, sync
    from chassis.nats_permissions import CONSUMERS, DIRECTORY_STREAM

    manifest = _checked_manifest(source)
    make_directory(data_dir)
    with DirectoryLock(data_dir):
        present = sorted(path.name for path in data_dir.iterdir() if path.name not in (LOCK_FILE, BACKUPS))
        if present and not force:
            raise Refused(f"{data_dir} is not empty; --force replaces the stack that is in it")
        try:
            (data_dir / RESTORE_MARK).touch()
            sync(data_dir)
            _remove_stack(data_dir)
            with progress("restore") as show:
                for number, name in enumerate(sorted(manifest["files"])):
                    show(name, number, len(manifest["files"]))
                    shutil.copyfile(source / name, data_dir / name)
                    sync(data_dir / name)
            consumers = {
                database(data_dir, each.service): each.portals for each in CONSUMERS if each.stream is DIRECTORY_STREAM
            }
            events = rewind(database(data_dir, "directory"), consumers)
            _resend_commands(data_dir)
            sync(data_dir)
            (data_dir / RESTORE_MARK).unlink()
        except (OSError, sqlite3.Error) as error:
            raise Refused(f"the restore into {data_dir} failed: {error}; run it again with --force") from error
    return {"data_dir": str(data_dir), "created_time": manifest["created_time"], "events_to_send": events}


def back_up_before_migration(data_dir: Path) -> Path | None:
    """Make a backup when a database has an older schema than this program, and keep the last three; where it is.

    Raises Refused, also for a database that is newer than this program.
    """
    present = [name for name in SERVICES if database(data_dir, name).exists()]
    if all(file_is_newest(database(data_dir, name), f"{name}_service:migrations") for name in present):
        return None
    from chassis.migrations import SchemaMismatch, is_behind

    try:
        behind = [
            name
            for name in present
            if is_behind(f"sqlite:///{quote(str(database(data_dir, name)))}", f"{name}_service:migrations")
        ]
    except SchemaMismatch as error:
        raise Refused(str(error)) from error
    if not behind or len(present) < len(SERVICES):
        return None
    target = data_dir / BACKUPS / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    write_backup(data_dir, target)
    made = sorted(path for path in target.parent.iterdir() if path.is_dir() and not path.name.startswith("."))
    for old in made[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def _checked_manifest(source: Path) -> dict[str, Any]:
    manifest = read_json(source / _MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise Refused(f"{source} is no backup: it has no {_MANIFEST}")
    if manifest.get("format") != _FORMAT:
        raise Refused(f"{source} is a backup of another version of this program")
    expected = {CREDENTIALS_FILE, *(f"{name}.db" for name in SERVICES)}
    if set(manifest["files"]) != expected:
        raise Refused(f"{source} is no whole backup: expected {', '.join(sorted(expected))}")
    for name, fingerprint in manifest["files"].items():
        try:
            if _fingerprint(source / name) != fingerprint:
                raise Refused(f"{source / name} is not as it was backed up")
        except OSError as error:
            raise Refused(f"{source / name} cannot be read: {error.strerror}") from None
    return manifest


def _remove_stack(data_dir: Path) -> None:
    """Remove databases, their companions and the stream; backups and what is not the stack's own stay."""
    for name in SERVICES:
        for path in data_dir.glob(f"{name}.db*"):
            path.unlink()
    for name in (CREDENTIALS_FILE, "stack.json", "nats.conf"):
        (data_dir / name).unlink(missing_ok=True)
    stream = data_dir / "nats"
    if stream.is_dir():
        shutil.rmtree(stream)


def _resend_commands(data_dir: Path) -> None:
    environment = {**os.environ, "MDM_DATABASE_URL": f"sqlite:///{quote(str(database(data_dir, 'mdm')))}"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "mdm_service", "resend"],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise OSError(f"device commands cannot be sent again: {last}")


def _fingerprint(path: Path) -> Document:
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return {"size": size, "sha256": digest.hexdigest()}


def _write_json(path: Path, value: Document) -> None:
    import orjson

    from chassis.backup import sync

    path.write_bytes(orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    sync(path)
