"""The faults of `subset` on SQLite, and those that the kind of database has no part in."""

from __future__ import annotations

import pytest

from tests.faults import faults
from tests.faults.subset import *  # noqa: F403
from tests.faults.subset import holds
from tests.faults.system import FaultStack

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def kind() -> str:
    """The database."""
    return "sqlite"


def test_nats_may_be_killed_or_stopped_and_forget_what_it_was_given(stack: FaultStack) -> None:
    """DELIVERY: "NATS killed, stopped 60 s, and stopped longer than the dedupe window".

    "SCIM writes go on; the outbox grows; nothing but latency is lost"; "version ≥ mine means already sent".
    """
    away = faults.nats_away_past_the_duplicate_window
    holds(faults.in_turn(faults.kill("nats"), faults.nats_stopped, away), stack, 102)


def test_events_may_come_in_the_wrong_order_and_three_times_more(stack: FaultStack) -> None:
    """DELIVERY: "every event republished three times; adjacent events swapped".

    "A gap is repaired by reading the aggregate from the directory"; "consumers prove idempotent by changing nothing".
    """
    holds(faults.in_turn(faults.swapped, faults.republished), stack, 104)


def test_a_consumer_may_be_paused_past_its_ack_wait_and_the_stream_be_deleted(stack: FaultStack) -> None:
    """DELIVERY: "consumer paused past its ack wait"; "stream deleted".

    "A replica works a partition only while it holds that partition's lease"; "A stream that is lost, restored stale or
    too short is rebuilt from the outbox".
    """
    holds(faults.in_turn(faults.consumer_paused("portal"), faults.stream_deleted), stack, 107)
