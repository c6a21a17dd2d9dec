"""The checker notices: for each invariant, a system without the mechanism behind it is found out."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator

import pytest

from tests.faults import faults
from tests.faults.checker import Checker, Injected, Report
from tests.faults.faults import Context, Fault
from tests.faults.system import FaultStack
from tests.faults.workload import SMALL, Workload
from tests.stack import SERVICES

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultStack]:
    """The whole system on SQLite; processes of it are sabotaged in turn."""
    directory = tmp_path_factory.mktemp("checker")
    stack = FaultStack(directory, {name: f"sqlite:///{directory / f'{name}.db'}" for name in SERVICES}, kind="sqlite")
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def prepared(stack: FaultStack, seed: int) -> Context:
    """A workload that is about to run on a system that is whole."""
    stack.ensure_running()
    workload = Workload(stack, SMALL, seed)
    workload.prepare()
    return Context(stack, workload, Injected(), random.Random(seed))


def report_of(stack: FaultStack, process: str, mechanism: str, seed: int, fault: Fault = faults.none) -> Report:
    """Run a workload while a process lacks a mechanism, restore it, and check."""
    context = prepared(stack, seed)
    stack.restart_without(process, mechanism)
    try:
        fault(context)
        stack.settled(timeout=60)
    finally:
        stack.restart_without(process, "")
    return Checker(stack, context.workload, context.injected).check()


def test_a_whole_system_violates_nothing(system: FaultStack) -> None:
    """DELIVERY: "Invariants, asserted by one checker over a recorded history"."""
    context = prepared(system, 1)
    context.workload.run()
    system.settled()
    report = Checker(system, context.workload).check()
    assert not report.violations, str(report)
    assert report.acknowledged > SMALL.operations


def test_1_a_write_that_was_answered_and_not_committed_is_missed(system: FaultStack) -> None:
    """DELIVERY, invariant 1: "every `ok` write is in the directory"."""
    report = report_of(system, "directory", "answers_without_commit", 2)
    assert 1 in report.invariants, str(report)
    assert report.lost


def test_2_a_change_without_an_outbox_row_is_a_gap(system: FaultStack) -> None:
    """DELIVERY, invariant 2: "versions per aggregate are 1..n and there is an outbox row for each"."""
    assert 2 in report_of(system, "directory", "skips_outbox_rows", 3).invariants


def test_3_without_the_inbox_an_event_is_applied_twice(system: FaultStack) -> None:
    """DELIVERY, invariant 3: "each inbox has each event once and each (event, target, action) has one effect"."""
    context = prepared(system, 4)
    system.terminate("portal")
    with _without_uniqueness(system.databases["portal"]):
        system.restart_without("portal", "forgets_its_inbox")
        try:
            context.workload.run()
            system.settled()
            faults.republish(context, 1)
            system.settled()
            report = Checker(system, context.workload).check()
        finally:
            system.terminate("portal")
    system.restart_without("portal", "")
    assert 3 in report.invariants, str(report)
    assert report.duplicated


class _without_uniqueness:
    """Take the inbox's primary key and the effects' unique indexes away, and put them back."""

    def __init__(self, url: str) -> None:
        self._path = url.removeprefix("sqlite:///")
        self._objects: list[tuple[str, str]] = []

    def __enter__(self) -> None:
        with sqlite3.connect(self._path) as database:
            self._objects = database.execute(
                "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name IN ('inbox', 'effects') "
                "AND (type = 'index' AND tbl_name = 'inbox' OR type = 'trigger' OR name LIKE 'uq_%')"
            ).fetchall()
            self._create = database.execute("SELECT sql FROM sqlite_master WHERE name = 'inbox'").fetchone()[0]
            for name, sql in self._objects:
                database.execute(f"DROP {'TRIGGER' if sql.startswith('CREATE TRIGGER') else 'INDEX'} {name}")
            database.execute("CREATE TABLE inbox_copy AS SELECT * FROM inbox")
            database.execute("DROP TABLE inbox")
            database.execute("ALTER TABLE inbox_copy RENAME TO inbox")

    def __exit__(self, *_error: object) -> None:
        with sqlite3.connect(self._path) as database:
            database.execute("ALTER TABLE inbox RENAME TO inbox_copy")
            database.execute(self._create)
            database.execute("INSERT OR IGNORE INTO inbox SELECT * FROM inbox_copy")
            database.execute("DROP TABLE inbox_copy")
            database.execute(
                "DELETE FROM effects WHERE rowid NOT IN "
                "(SELECT min(rowid) FROM effects GROUP BY event_id, coalesce(nullif(target_id, ''), user_id), action)"
            )
            for _, sql in self._objects:
                database.execute(sql)


def test_4_without_versions_swapped_events_are_applied_out_of_order(system: FaultStack) -> None:
    """DELIVERY, invariant 4: "applied versions rise"."""
    report = report_of(system, "portal", "ignores_versions", 5, faults.swapped)
    assert 4 in report.invariants, str(report)
    assert report.reordered


def test_5_a_membership_that_is_not_followed_differs_from_the_fold(system: FaultStack) -> None:
    """DELIVERY, invariant 5: "downstream = fold(directory), computed independently"."""
    assert 5 in report_of(system, "portal", "keeps_members", 6).invariants


@pytest.mark.parametrize(
    ("service", "statement"),
    [
        ("portal", "UPDATE collaborators SET role = 1 WHERE user_id = (SELECT max(user_id) FROM collaborators)"),
        ("portal", "DELETE FROM employees WHERE user_id = (SELECT max(user_id) FROM employees)"),
        ("portal", "UPDATE users SET display_name = 'nobody' WHERE id = (SELECT max(id) FROM users)"),
        ("mdm", "UPDATE employees SET active = NOT active"),
        ("mdm", "UPDATE devices SET policy_id = NULL, state = 2"),
    ],
    ids=["role", "employee", "projection", "leaver", "device"],
)
def test_5_a_row_that_was_changed_behind_its_back_differs_from_the_fold(
    settled: Context, service: str, statement: str
) -> None:
    """DELIVERY, invariant 5: "downstream = fold(directory), computed independently"."""
    database = sqlite3.connect(settled.stack.databases[service].removeprefix("sqlite:///"), timeout=30)
    with database:
        _only_of(settled, database)
        database.execute(statement)
    try:
        assert 5 in Checker(settled.stack, settled.workload).check().invariants
    finally:
        _restore(database)


_TABLES = ("collaborators", "employees", "users", "devices")


def _existing(database: sqlite3.Connection) -> list[str]:
    names = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [name for name in _TABLES if name in names]


def _only_of(context: Context, database: sqlite3.Connection) -> None:
    """Put other workspaces' rows aside, and keep a copy of this one's."""
    workspace_id = context.workload.workspace_id
    for name in _existing(database):
        database.execute(f"CREATE TABLE kept_{name} AS SELECT * FROM {name}")
        database.execute(f"DELETE FROM {name} WHERE workspace_id <> ?", (workspace_id,))


def _restore(database: sqlite3.Connection) -> None:
    with database:
        for name in _existing(database):
            database.execute(f"DELETE FROM {name}")
            database.execute(f"INSERT INTO {name} SELECT * FROM kept_{name}")
            database.execute(f"DROP TABLE kept_{name}")
    database.close()


@pytest.fixture(scope="module")
def settled(system: FaultStack) -> Context:
    """A workload whose consequences have all arrived."""
    context = prepared(system, 7)
    context.workload.run()
    system.settled()
    return context


def test_6_a_lookup_without_its_connection_leaks_into_another(system: FaultStack) -> None:
    """DELIVERY, invariant 6: "no connection's canary string appears in another's rows, events, logs …"."""

    def strangers(context: Context) -> None:
        context.workload.run()
        context.workload.invite_strangers()

    assert 6 in report_of(system, "directory", "names_across_connections", 8, strangers).invariants


@pytest.mark.parametrize(("process", "mechanism"), [("portal", "keeps_leavers"), ("mdm", "keeps_devices")])
def test_7_a_deactivation_that_is_passed_over_leaves_access(system: FaultStack, process: str, mechanism: str) -> None:
    """DELIVERY, invariant 7: "a user deactivated with an `ok` has no access downstream once lag is 0"."""
    assert 7 in report_of(system, process, mechanism, 9).invariants


def test_8_poison_that_is_thrown_away_is_missed(system: FaultStack) -> None:
    """DELIVERY, invariant 8: "the parked set equals the injected poison"."""
    assert 8 in report_of(system, "portal", "drops_poison", 10, faults.poisoned).invariants


@pytest.mark.parametrize(
    ("process", "mechanism"), [("directory", "names_people_in_headers"), ("portal", "logs_people")]
)
def test_9_personal_data_in_headers_or_logs_is_seen(system: FaultStack, process: str, mechanism: str) -> None:
    """DELIVERY, invariant 9: "no personal data in subjects or logs"."""
    assert 9 in report_of(system, process, mechanism, 11).invariants


def test_a_sabotaged_process_is_what_its_name_says() -> None:
    """Every mechanism that can be taken away is taken away by a test here."""
    from tests.faults.sabotage import MECHANISMS

    source = _source(test_1_a_write_that_was_answered_and_not_committed_is_missed)
    assert {name for name in MECHANISMS if f'"{name}"' not in source} == set()


def _source(test: Callable[..., object]) -> str:
    import inspect

    module = inspect.getmodule(test)
    assert module is not None
    return inspect.getsource(module)
