"""The data directory of a local stack: who works in it, and whether it is whole."""

import fcntl
import os
from pathlib import Path

from cli.errors import Refused

LOCK_FILE = "up.lock"
RESTORE_MARK = "restore.incomplete"
BACKUPS = "backups"
SERVICES = ("directory", "portal", "mdm")


class DirectoryLock:
    """Holds the data directory, so that one stack at a time works in it; the kernel frees it with the process."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir

    def __enter__(self) -> None:
        self._file = (self._data_dir / LOCK_FILE).open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.seek(0)
            owner = self._file.read().strip() or "unknown"
            self._file.close()
            raise Refused(
                f"another `rollcall up` (process {owner}) runs in {self._data_dir}; "
                "stop it, or choose another directory with --data-dir"
            ) from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def __exit__(self, *_: object) -> None:
        self._file.close()


def make_directory(path: Path) -> None:
    """Make a data directory, for its owner alone; leave one with other things in it as it is. Raises Refused."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not any(path.iterdir()) or (path / LOCK_FILE).exists():
            path.chmod(0o700)
    except OSError as error:
        raise Refused(f"data directory {path}: {error.strerror}; choose another with --data-dir") from None


def require_whole(data_dir: Path) -> None:
    """Raise Refused when a restore into the directory was cut off: its databases do not belong together."""
    if (data_dir / RESTORE_MARK).exists():
        raise Refused(f"a restore into {data_dir} was interrupted; run `rollcall restore DIR --force` again")


def database(data_dir: Path, service: str) -> Path:
    """The database file of a service."""
    return data_dir / f"{service}.db"
