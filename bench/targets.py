"""The numbers to reach, as data: a floor that holds at any size, and a goal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """Operations per second of one phase."""

    phase: str
    floor: float
    goal: float


TARGETS = (
    Target("provision", 600, 850),
    Target("lookup", 1600, 2300),
    Target("get", 1600, 2500),
    Target("update", 900, 1300),
    Target("deactivate", 900, 1300),
    Target("member add", 800, 1300),
    Target("member remove", 800, 1300),
    Target("group push, 10,000 members", 2, 5),
    Target("group PUT with one change, 20,000 members", 1, 1 / 0.3),
    Target("list page, first", 150, 300),
    Target("list page, last", 100, 250),
    Target("bulk create, 1,000 operations", 2000, 4000),
)

# Cost at the largest size over cost at the smallest.
FLAT = 1.3
FLAT_PHASES = ("provision", "lookup", "get", "update", "member add", "member remove")
LAST_PAGE = 2.0
# Milliseconds, at the benchmark's concurrency, for every request about one resource.
TAIL = 50.0
SINGLE_RESOURCE = (
    "provision", "lookup", "get", "update", "profile update (GET, PUT)", "deactivate", "member add", "member remove",
)  # fmt: skip
EVENT_P50, EVENT_P99 = 20.0, 100.0
CATCH_UP = 3000.0
FULL_RATE_LAG = 5.0
RESIDENT_MEGABYTES = 150.0
IDLE_PERCENT = 3.0
READY_SECONDS = 5.0
# Milliseconds of what is answered under an overload; seconds until it is forgotten; another connection's p99 beside it.
OVERLOAD_P99 = 2000.0
RECOVERY_SECONDS = 5.0
BESIDE_A_FLOOD = 2.0
