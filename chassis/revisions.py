"""Which revision a schema is at, and which the program needs, found without what migrates.

Nearly every start finds its database as it should be; the migrations' library would cost each of them more than the
question does.
"""

from __future__ import annotations

import importlib.util
import re
import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

CURRENT = "SELECT version_num FROM alembic_version"
"""The statement that tells a database's revisions; it fails where nothing was ever migrated."""

_REVISION = re.compile(r"^revision(?:: str)? = [\"'](\w+)[\"']$", re.MULTILINE)
_DOWN_REVISION = re.compile(r"^down_revision(?:: [^=]+)? = [\"'](\w+)[\"']$", re.MULTILINE)


def newest(script_location: str) -> str | None:
    """Return the newest revision in `script_location`, a directory or `package:directory`.

    None when the files do not tell of exactly one: then the migrations' own library has to say.
    """
    package, colon, directory = script_location.rpartition(":")
    parent = Path(script_location)
    if colon:
        found = importlib.util.find_spec(package)
        if found is None or not found.submodule_search_locations:
            return None
        parent = Path(found.submodule_search_locations[0]) / directory
    texts = [path.read_text() for path in (parent / "versions").glob("*.py")]
    known = [match[1] for text in texts if (match := _REVISION.search(text))]
    followed = {match[1] for text in texts if (match := _DOWN_REVISION.search(text))}
    heads = [revision for revision in known if revision not in followed]
    return heads[0] if len(heads) == 1 and len(known) == len(texts) else None


def is_newest(current: Collection[str], script_location: str) -> bool:
    """Say whether a database at these revisions is surely as the program needs it."""
    return len(current) == 1 and newest(script_location) in current


def file_is_newest(path: Path, script_location: str) -> bool:
    """Say whether a SQLite file is surely as the program needs it."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as connection:
            return is_newest([row[0] for row in connection.execute(CURRENT)], script_location)
    except sqlite3.Error:
        return False
