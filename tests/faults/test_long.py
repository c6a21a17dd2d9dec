"""The long run leaves nothing out, and tells what it found where the README wants it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.faults.checker import Report, Violation
from tests.faults.faults import CRASHPOINTS
from tests.faults.long import CLUSTER_FAULTS, END, HEADINGS, POSTGRESQL_FAULTS, START, Line, common_faults, write_readme
from tests.faults.migrations import POINTS
from tests.stack import PACKAGES, REPOSITORY

_PASS = re.compile(r'crashpoint\("([a-z_.]+)"\)')


def test_every_crash_point_of_the_product_is_crashed_at() -> None:
    """DELIVERY: "Named crash points"; "SIGKILL at each crash point on SQLite and on PostgreSQL"."""
    packages = (*PACKAGES.values(), "chassis")
    sources = [path for package in packages for path in (REPOSITORY / package).rglob("*.py")]
    named = {name for path in sources for name in _PASS.findall(path.read_text())}
    crashed = {point for points in CRASHPOINTS.values() for point in points} | set(POINTS)
    assert named == crashed


def test_every_kind_of_fault_has_its_line() -> None:
    """DELIVERY, "Faults": the long run goes through all of them."""
    names = "\n".join([*common_faults(), *POSTGRESQL_FAULTS, *CLUSTER_FAULTS])
    for wanted in (
        "stopped for 60 s", "duplicate window", "postmaster killed", "republished three times", "swapped", "poison",
        "past its ack wait", "another takes over", "replies lost", "requests lost", "stream deleted", "cut off",
    ):  # fmt: skip
        assert wanted in names


def test_the_table_replaces_what_is_between_the_markers_and_nothing_else(tmp_path: Path) -> None:
    """DELIVERY: the long run "prints a table: fault × runs × acknowledged writes × lost × …"."""
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    assert write_readme([["a | b"]], [], "Written.", whole=True, readme=readme)
    table = f"| {' | '.join(HEADINGS)} |\n| {' | '.join(['---', *['--:'] * (len(HEADINGS) - 1)])} |"
    assert readme.read_text() == f"before\n{START}\nWritten.\n\n{table}\n| a | b |\n{END}\nafter\n"
    readme.write_text("no markers")
    assert not write_readme([["new"]], [], "Written.", whole=True, readme=readme)
    assert readme.read_text() == "no markers"


def test_a_part_of_the_faults_leaves_the_lines_of_the_others(tmp_path: Path) -> None:
    """The table tells of each fault what its last run found."""
    readme = tmp_path / "README.md"
    readme.write_text(f"{START}\n{END}\n")
    one, two, bulk = ["one", *"123456"], ["two", *"123456"], ["many", *"12345"]
    assert write_readme([one, two], [bulk], "First.", whole=True, readme=readme)
    assert write_readme([["two", *"999999"]], [], "Second.", whole=False, readme=readme)
    text = readme.read_text()
    for line in ("Second.", "| one | 1 | 2 |", "| two | 9 | 9 |", "| many | 1 | 2 |"):
        assert line in text
    assert "First." not in text
    assert text.count("| two |") == 1


def test_a_line_adds_its_runs_up_and_tells_the_slowest() -> None:
    """The table's last column is the longest time that any run took to converge."""
    line = Line("nats killed")
    line.add(Report([], acknowledged=600, lost=0, duplicated=0, reordered=0), 1.25)
    line.add(Report([Violation(3, "twice")], acknowledged=1400, lost=0, duplicated=2, reordered=0), 0.5)
    assert line.cells() == ["nats killed", "2", "2,000", "0", "2", "0", "1.2"]
    assert len(line.cells()) == len(HEADINGS)
    assert line.failures == ["1 violations, 1400 acknowledged writes\ninvariant 3: twice"]


@pytest.mark.parametrize("process", list(CRASHPOINTS))
def test_a_crash_point_is_named_once_for_a_process(process: str) -> None:
    """DELIVERY: "every crash point once" in the subset."""
    assert len(set(CRASHPOINTS[process])) == len(CRASHPOINTS[process])
