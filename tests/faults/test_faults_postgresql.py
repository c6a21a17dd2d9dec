"""The faults of `subset` on PostgreSQL, and those that only a server or a second relay can have.

On SQLite the lock of a frozen relay is the kernel's, and nobody takes over. What the databases have no part in, such as
the stream that goes away, breaks on SQLite alone here, and on both in the long run.
"""

from __future__ import annotations

import pytest

from tests.conftest import PostgresServer
from tests.faults import faults
from tests.faults.migrations import crash_migrations
from tests.faults.subset import *  # noqa: F403
from tests.faults.subset import holds
from tests.faults.system import FaultStack

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def kind() -> str:
    """The database."""
    return "postgresql"


def test_the_leading_relay_may_be_paused_and_postgresql_be_killed(
    stack: FaultStack, own_postgres: PostgresServer
) -> None:
    """DELIVERY: "A paused leader must not break order after another took over"; "PostgreSQL postmaster killed"."""
    holds(faults.in_turn(faults.relay_paused, faults.postgresql_killed), stack, 108, own_postgres)


def test_a_migration_killed_halfway_leaves_nothing_and_is_done_again(own_postgres: PostgresServer) -> None:
    """DELIVERY: crash point "migration halfway"."""
    # The long run has every service on every database at every point.
    crash_migrations(
        own_postgres,
        [("directory", "sqlite", "migrations.after_step"), ("portal", "postgresql", "migrations.before_commit")],
    )
