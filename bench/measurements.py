"""What is measured of a phase, and how several runs of it become one number."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all values do not exceed; 0 of no values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(slots=True)
class Measurement:
    """One phase against one server. Rates are per second; latencies are milliseconds per request, not per operation."""

    phase: str
    rate: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    operations: int = 0
    requests: int = 0
    seconds: float = 0.0
    failure: str = ""
    """Why there is no number, such as an operation that the server does not offer."""
    note: str = ""
    """What a reader must know about the number."""
    cpu: dict[str, float] = field(default_factory=dict)
    """Microseconds of CPU per operation, by process, until all its events were applied."""
    lag_seconds: float | None = None
    """How long after the last answer all events were applied by every consumer."""

    @classmethod
    def of(cls, phase: str, operations: int, seconds: float, latencies: Sequence[float]) -> Measurement:
        """Sum up a phase: `latencies` are seconds, one for each request."""
        in_milliseconds = [latency * 1000 for latency in latencies]
        return cls(
            phase,
            rate=operations / seconds if seconds else 0.0,
            p50=percentile(in_milliseconds, 0.50),
            p95=percentile(in_milliseconds, 0.95),
            p99=percentile(in_milliseconds, 0.99),
            operations=operations,
            requests=len(latencies),
            seconds=seconds,
        )

    @property
    def operation_milliseconds(self) -> float:
        """The wall-clock cost of an operation at the phase's concurrency."""
        return 1000 / self.rate if self.rate else 0.0

    def as_json(self) -> dict[str, Any]:
        """Give the measurement as a JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Measurement:
        """Read what `as_json` gave."""
        known = {item.name for item in fields(cls)}
        return cls(**{name: item for name, item in value.items() if name in known})


def median_of(runs: Sequence[Measurement]) -> Measurement:
    """Make one measurement of several of one phase: the median of each number over the runs that have numbers."""
    measured = [run for run in runs if not run.failure]
    if not measured:
        return runs[0]
    lags = [run.lag_seconds for run in measured if run.lag_seconds is not None]

    def median(name: str) -> float:
        return float(statistics.median(getattr(run, name) for run in measured))

    processes = {name for run in measured for name in run.cpu}
    return Measurement(
        runs[0].phase,
        rate=median("rate"),
        p50=median("p50"),
        p95=median("p95"),
        p99=median("p99"),
        operations=sum(run.operations for run in measured),
        requests=sum(run.requests for run in measured),
        seconds=sum(run.seconds for run in measured),
        cpu={name: statistics.median(run.cpu.get(name, 0.0) for run in measured) for name in sorted(processes)},
        note=next((run.note for run in measured if run.note), ""),
        lag_seconds=statistics.median(lags) if lags else None,
    )
