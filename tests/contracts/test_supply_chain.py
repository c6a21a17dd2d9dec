"""What is known of the dependencies: where they come from, under which licence, and who looks after both."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"


@pytest.fixture
def licenses(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that writes the list of licences."""
    monkeypatch.syspath_prepend(str(REQUIREMENTS))
    import licenses

    return licenses


def test_the_list_of_licences_is_current(licenses: Any) -> None:
    """`make licenses` after every change of the lock."""
    assert licenses.WRITTEN.read_text() == licenses.table(), "run `make licenses`"


def test_every_runtime_dependency_has_a_licence_that_lets_it_be_shipped(licenses: Any) -> None:
    """None is unknown, and none asks of a program that merely uses it to be published."""
    found = {name: licenses.licence(name) for name in licenses.locked()}
    assert [name for name, licence in found.items() if not licence] == []
    copyleft = re.compile(r"(?<!L)GPL|AGPL|SSPL|BUSL|Commons", re.IGNORECASE)
    assert {name: licence for name, licence in found.items() if copyleft.search(licence)} == {}


def test_every_lock_comes_of_a_declared_file() -> None:
    """`make lock` makes all of them."""
    recipe = (ROOT / "Makefile").read_text()
    for lock in REQUIREMENTS.glob("*.txt"):
        assert f"-o requirements/{lock.name} " in recipe, lock.name


FLAW = {"id": "CVE-2099-1", "fix_versions": ["2.0"]}
CLEAN = {"name": "a", "version": "1.0", "vulns": []}


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        ({"dependencies": [CLEAN]}, 0, "no known vulnerabilities of 1 packages"),
        ({"dependencies": [{**CLEAN, "vulns": [FLAW]}]}, 1, "a 1.0: CVE-2099-1, repaired in 2.0"),
        ({"dependencies": [CLEAN, {"name": "b", "skip_reason": "not found"}]}, 2, "NOT CHECKED, the advisories do not"),
        (None, 2, "NOT CHECKED, the advisories cannot be reached: no route"),
    ],
)
def test_an_audit_that_could_not_ask_does_not_pass(tmp_path: Path, answer: object, status: int, said: str) -> None:
    """That nothing was found because nobody could be asked is no good news."""
    tool = tmp_path / "pip-audit"
    says = "echo 'no route' >&2; exit 1" if answer is None else f"cat {tmp_path / 'answer'}"
    (tmp_path / "answer").write_text(json.dumps(answer))
    tool.write_text(f"#!/bin/sh\n{says}\n")
    tool.chmod(0o755)
    command = [sys.executable, str(REQUIREMENTS / "audit.py"), str(tool)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == status
    assert said in ended.stdout + ended.stderr
