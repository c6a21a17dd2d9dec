"""Counts, for each section of the RFCs, the tests that claim it and how they ended, and writes the README's table.

`--conformance` runs the tests that claim a section, and only those, and then rewrites the table between the markers of
the README. The counts are of what this very run ran.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conformance.sections import MARKER, SECTIONS, claims, row_of

START, END = "<!-- conformance -->", "<!-- /conformance -->"
README = Path(__file__).resolve().parents[2] / "README.md"
_PROPERTY = "rfc"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption(
        "--conformance",
        action="store_true",
        help="run the tests that claim a section of an RFC, and write the conformance table of the README",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker; where the option is given, collect and write."""
    config.addinivalue_line("markers", f'{MARKER}(section): claims a section of an RFC, such as "7644 §3.5.2"')
    # Workers of a distributed run only claim; the process that they report to counts and writes.
    config.pluginmanager.register(Claims(config.getoption("--conformance")), "conformance-claims")
    if config.getoption("--conformance") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Results(), "conformance-results")


class Claims:
    """Gives each test its claims, which its reports then carry."""

    def __init__(self, only: bool) -> None:
        self._only = only

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Find the claims of each test; leave out tests without any where only claims are wanted."""
        claiming, without = [], []
        for item in items:
            marks = [text for mark in item.iter_markers(MARKER) for text in mark.args]
            found = claims(getattr(getattr(item, "obj", None), "__doc__", None), marks)
            item.user_properties.extend((_PROPERTY, claim) for claim in found)
            (claiming if found else without).append(item)
        if self._only:
            items[:] = claiming
            config.hook.pytest_deselected(items=without)


class Results:
    """What the tests of each row came to: by test function, which is good when each of its cases passed."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, bool]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase of one test. A skipped test says nothing."""
        if report.skipped or (report.when != "call" and not report.failed):
            return
        test = report.nodeid.partition("[")[0]
        for name, claim in report.user_properties:
            if name == _PROPERTY and (row := row_of(str(claim))) is not None:
                tests = self._rows[row]
                tests[test] = tests.get(test, True) and report.passed

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the table, unless the run was broken off."""
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            README.write_text(replaced(README.read_text(), table(self._rows)))


def table(rows: Mapping[str, Mapping[str, bool]]) -> str:
    """The table in Markdown: a row for each section of which at least one test ran."""
    lines = ["| RFC | section | | tests | remark |", "|---|---|---|---|---|"]
    for section in SECTIONS:
        tests = rows.get(section.key)
        if tests:
            failed = sum(not passed for passed in tests.values())
            verdict = f"fails {failed}" if failed else "holds"
            lines.append(
                f"| {section.rfc} | §{section.number} {section.title} | {verdict} | {len(tests)} | {section.remark} |"
            )
    return "\n".join(lines)


def replaced(document: str, written: str) -> str:
    """The document with the table between its markers. Raises ValueError where it has none."""
    before, start, rest = document.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"there are no markers {START} and {END}")
    return f"{before}{start}\n{written}\n{end}{after}"


def listed(document: str) -> dict[str, str]:
    """The rows of a document's table by key, with what they say."""
    _, _, rest = document.partition(START)
    rows: dict[str, str] = {}
    for line in rest.partition(END)[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) >= 4 and cells[0].isdigit():
            rows[f"{cells[0]} {cells[1].split(' ')[0]}"] = f"{cells[2]} {cells[3]}"
    return rows
