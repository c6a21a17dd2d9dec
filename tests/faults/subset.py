"""Nothing acknowledged is lost and nothing happens twice, whatever breaks: a representative subset, in minutes.

The tests are the same on both databases: `test_faults_sqlite.py` and `test_faults_postgresql.py` run them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.conftest import PostgresServer
from tests.faults import faults
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


@pytest.mark.parametrize("fault", [faults.kill("nats"), faults.nats_stopped], ids=["killed", "stopped"])
def test_nats_may_go_away(stack: FaultStack, fault: Fault) -> None:
    """DELIVERY: "NATS killed, stopped 60 s": "SCIM writes go on; the outbox grows; nothing but latency is lost"."""
    holds(fault, stack, 102)


def test_nats_may_be_away_longer_than_it_remembers_ids(stack: FaultStack) -> None:
    """DELIVERY: "stopped longer than the dedupe window"; "version ≥ mine means already sent"."""
    holds(faults.nats_away_past_the_duplicate_window, stack, 103)


def test_every_event_may_come_three_times_more(stack: FaultStack) -> None:
    """DELIVERY: "every event republished three times"; "consumers prove idempotent by changing nothing"."""
    holds(faults.republished, stack, 104)


def test_adjacent_events_may_be_swapped(stack: FaultStack) -> None:
    """DELIVERY: "adjacent events swapped"; "a gap is repaired by reading the aggregate from the directory"."""
    holds(faults.swapped, stack, 105)


def test_poison_is_parked_and_stops_nobody_else(stack: FaultStack) -> None:
    """DELIVERY: "poison of three kinds": "everybody else's events go on"."""
    holds(faults.poisoned, stack, 106)


def test_a_consumer_may_be_paused_past_its_ack_wait(stack: FaultStack) -> None:
    """DELIVERY: "consumer paused past its ack wait"; "A replica works a partition only while it holds … lease"."""
    holds(faults.consumer_paused("portal"), stack, 107)


def test_requests_and_replies_may_vanish_on_every_wire(stack: FaultStack) -> None:
    """DELIVERY: "lost replies in each direction (a small asyncio TCP proxy in tests)"."""
    holds(faults.lost_everywhere, stack, 109)


def test_a_deleted_stream_is_rebuilt_from_the_outbox(stack: FaultStack) -> None:
    """DELIVERY: "A stream that is lost, restored stale or too short is rebuilt from the outbox"."""
    holds(faults.stream_deleted, stack, 110)
