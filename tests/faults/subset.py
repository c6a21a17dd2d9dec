"""Nothing acknowledged is lost and nothing happens twice, whatever breaks: a representative subset, in minutes.

The tests are the same on both databases: `test_faults_sqlite.py` and `test_faults_postgresql.py` run them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.conftest import PostgresServer
from tests.faults import faults
from tests.faults.bulk_work import BulkWork
from tests.faults.faults import Fault, Outcome, inject
from tests.faults.system import FaultStack
from tests.faults.workload import SMALL
from tests.stack import SERVICES


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server that may be killed."""
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def system(kind: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultStack]:
    """The whole system behind fault proxies, on the `kind` of database that the test file names."""
    directory = tmp_path_factory.mktemp(f"faults-{kind}")
    with contextlib.ExitStack() as databases:
        if kind == "sqlite":
            urls = {name: f"sqlite:///{directory / f'{name}.db'}" for name in SERVICES}
        else:
            server: PostgresServer = request.getfixturevalue("own_postgres")
            urls = {name: databases.enter_context(server.database()) for name in SERVICES}
        stack = FaultStack(directory, urls, kind=kind)
        try:
            stack.start()
            yield stack
        finally:
            stack.stop()


@pytest.fixture
def stack(system: FaultStack) -> Iterator[FaultStack]:
    """The system; what an earlier test left dead is brought back, and a failed test shows the logs."""
    system.ensure_running()
    mark = system.log_sizes()
    yield system
    for name in system.processes:
        print(f"--- {name}\n{system.log(name, mark.get(name), limit=3000)}")


def holds(
    fault: Fault,
    stack: FaultStack,
    seed: int,
    postgres: PostgresServer | None = None,
    behaviour: str = "change_policy",
) -> Outcome:
    """Inject a fault and require that every invariant holds and that clients were served."""
    outcome = inject(fault, stack, SMALL, seed, postgres=postgres, behaviour=behaviour)
    assert not outcome.report.violations, str(outcome.report)
    assert outcome.report.acknowledged >= SMALL.operations // 2
    assert (outcome.report.lost, outcome.report.duplicated, outcome.report.reordered) == (0, 0, 0)
    return outcome


def test_every_process_may_die_at_every_crash_point(stack: FaultStack) -> None:
    """DELIVERY: "SIGKILL at each crash point on SQLite and on PostgreSQL"."""
    holds(faults.crash_everywhere, stack, 101, behaviour="remove_employee_and_devices")


def test_poison_is_parked_and_stops_nobody_else_while_answers_vanish_on_every_wire(stack: FaultStack) -> None:
    """DELIVERY: "poison of three kinds": "everybody else's events go on"; "lost replies in each direction"."""
    holds(faults.in_turn(faults.poisoned, faults.lost_everywhere), stack, 106)


def test_bulk_work_goes_on_where_a_crash_stopped_it(stack: FaultStack) -> None:
    """The rule: bulk work "runs in bounded chunks, resumes after a kill where it stopped"."""
    BulkWork(stack, 600, kill=True).run()
