"""Writes LICENSES.md: under which licence each runtime dependency is, as its own metadata says.

`python requirements/licenses.py` writes the file beside it; the packages must be installed.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
LOCK = HERE / "runtime.txt"
WRITTEN = HERE / "LICENSES.md"

HEAD = """# Licences of the runtime dependencies

Made by `make licenses` from `runtime.txt` and the metadata of each package; a test keeps it current.

| package | version | licence |
|---|---|---|
"""
_PIN = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)
# Free-text fields of older metadata hold whole licences now and then.
_LONGEST = 60
_PREFIX = "License :: OSI Approved :: "


def locked() -> dict[str, str]:
    """The locked runtime dependencies, name to version."""
    return dict(_PIN.findall(LOCK.read_text()))


def licence(name: str) -> str:
    """The licence of an installed package: its SPDX expression, else its classifiers, else its field; "" for none."""
    found = metadata.metadata(name)
    if expression := found.get("License-Expression"):
        return expression
    classifiers = [each for each in found.get_all("Classifier") or () if each.startswith("License :: ")]
    if classifiers:
        return ", ".join(each.removeprefix(_PREFIX).removeprefix("License :: ") for each in classifiers)
    text = (found.get("License") or "").strip()
    return text if len(text) <= _LONGEST and "\n" not in text else ""


def table() -> str:
    """The whole file."""
    rows = (f"| {name} | {version} | {licence(name)} |\n" for name, version in sorted(locked().items()))
    return HEAD + "".join(rows)


if __name__ == "__main__":
    WRITTEN.write_text(table())
