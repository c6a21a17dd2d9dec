"""The relay's protocol keeps order in every interleaving, and does so because of its fence."""

from __future__ import annotations

import pytest

from tests.faults.model.relay import Bounds, explore


def test_order_holds_in_every_interleaving_with_the_fence() -> None:
    """DELIVERY: "A paused leader must not break order after another took over"."""
    # The long run also lets the lock pass on twice.
    result = explore(fence=True, bounds=Bounds(takeovers=1))
    assert not result.violation, "\n".join(result.trace)
    assert result.states > 10_000


def test_without_the_fence_a_relay_repeats_an_old_version_after_a_newer_one() -> None:
    """DELIVERY: "publishes carry `Nats-Expected-Last-Subject-Sequence` as a fence on the aggregate's own subject"."""
    result = explore(fence=False)
    assert "comes again" in result.violation
    assert any("gets the lock" in step for step in result.trace)


def test_without_the_fence_a_pause_alone_is_enough() -> None:
    """DELIVERY: "A paused leader must not break order after another took over"."""
    result = explore(fence=False, bounds=Bounds(crashes=0, breaks=0, takeovers=1))
    assert result.violation
    assert any("is paused" in step for step in result.trace)


@pytest.mark.parametrize("bounds", [Bounds(crashes=0, takeovers=0), Bounds(rows=1, crashes=2)], ids=["alone", "one"])
def test_smaller_worlds_keep_order_too(bounds: Bounds) -> None:
    """DELIVERY: "there is one active relay, elected by a database lock"."""
    assert not explore(fence=True, bounds=bounds).violation
