"""Prometheus metrics of a process, on an address of their own (`METRICS_ADDRESS`); without one nothing is paid for.

What only a question can tell (depth of an outbox, lag of a consumer) is asked when somebody scrapes, each question with
a time limit; a question that is not answered leaves its metrics out and says so in `rollcall_metrics_unanswered`.
Replicas that ask the same database or stream answer the same: take the greatest of them, not the sum.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0
"""How long a question of a scrape may take."""


class Family(NamedTuple):
    """A metric: what kind it is, what it says, and by what its values are told apart."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


FAMILIES: Mapping[str, Family] = {
    "rollcall_http_requests": Family(
        "counter", "Answered HTTP requests; route (none): there is none.", ("route", "method", "status")
    ),
    "rollcall_http_request_duration_seconds": Family(
        "histogram", "From the arrival of a request to its answer.", ("route", "method")
    ),
    "rollcall_provisioning_log_omitted": Family("counter", "Requests without an entry in the provisioning log."),
    "rollcall_grpc_requests": Family("counter", "Answered gRPC calls.", ("method", "code")),
    "rollcall_grpc_request_seconds": Family("counter", "The time of all answered gRPC calls.", ("method",)),
    "rollcall_outbox_depth": Family("gauge", "Events that wait to be published.", ("outbox",)),
    "rollcall_outbox_age_seconds": Family("gauge", "How long the oldest event has waited; 0: none waits.", ("outbox",)),
    "rollcall_relay_published": Family("counter", "Events that the stream has acknowledged.", ("outbox",)),
    "rollcall_relay_leading": Family("gauge", "1: this relay publishes; 0: it stands by.", ("outbox",)),
    "rollcall_consumer_lag": Family("gauge", "Events that wait to be applied.", ("service",)),
    "rollcall_consumer_partitions": Family("gauge", "Partitions that this replica works.", ("service",)),
    "rollcall_consumer_events": Family(
        "counter",
        "Events by what became of them: applied, duplicates, covered, gaps, repaired, poison, queued, retries.",
        ("service", "result"),
    ),
    "rollcall_effects": Family("counter", "Effects since the start of this process.", ("service", "outcome")),
    "rollcall_dead_letters": Family(
        "gauge", "Events that could not be applied (PARKED) or wait behind one (QUEUED).", ("service", "state")
    ),
    "rollcall_tokens_expiring": Family("gauge", "Live tokens of enabled connections that expire within 30 days."),
    "rollcall_metrics_unanswered": Family("gauge", "1: a question of this scrape was not answered.", ("question",)),
    "rollcall_gateway_worker_cpu_seconds": Family("counter", "CPU time of a process of the gateway.", ("pid",)),
    "rollcall_gateway_worker_resident_bytes": Family("gauge", "Memory of a process of the gateway.", ("pid",)),
}
"""Every metric of our own, without the suffixes that Prometheus gives to counters and histograms."""


class Sample(NamedTuple):
    """One value of a metric of `FAMILIES`; the values of its labels in their order."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


Question = Callable[[], Awaitable[Iterable[Sample]]]
"""Gives samples, asked at each scrape on the event loop."""


class MetricsServer:
    """Serves `/metrics` of one process on a thread of its own, `host:port`; does nothing when the address is empty."""

    def __init__(self, address: str, questions: Mapping[str, Question]) -> None:
        self._address = address
        self._questions = dict(questions)
        self._server: Any = None
        self.port = 0

    async def start(self) -> None:
        """Begin to serve. Raises OSError when the address is taken."""
        if not self._address:
            return
        from prometheus_client import (
            CollectorRegistry,
            GCCollector,
            PlatformCollector,
            ProcessCollector,
            start_http_server,
        )

        registry = CollectorRegistry(auto_describe=False)
        for standard in (ProcessCollector, PlatformCollector, GCCollector):
            standard(registry=registry)
        registry.register(_Collector(self._questions, asyncio.get_running_loop()))
        host, _, port = self._address.rpartition(":")
        try:
            self._server, _ = start_http_server(int(port), host, registry)
        except OSError as error:
            raise OSError(f"cannot serve metrics on {self._address}: {error.strerror}") from error
        self.port = int(self._server.server_port)
        _log.info("metrics on port %d", self.port)

    async def stop(self) -> None:
        """Serve no more."""
        server, self._server = self._server, None
        if server is not None:
            await asyncio.to_thread(server.shutdown)
            server.server_close()


class _Collector:
    """Asks the questions of a scrape, from the server's thread on the process's event loop."""

    def __init__(self, questions: Mapping[str, Question], loop: asyncio.AbstractEventLoop) -> None:
        self._questions = questions
        self._loop = loop

    def collect(self) -> Iterator[Any]:
        """Give the metrics; the library calls this for each scrape."""
        try:
            asked = asyncio.run_coroutine_threadsafe(self._ask_all(), self._loop)
            samples = asked.result(2 * ANSWER_SECONDS)
        # A loop that is closed, or too busy to begin in time.
        except (RuntimeError, concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            samples = [Sample("rollcall_metrics_unanswered", 1, (name,)) for name in self._questions]
        yield from families_of(samples)

    async def _ask_all(self) -> list[Sample]:
        found = await asyncio.gather(*(self._ask(name, question) for name, question in self._questions.items()))
        return [sample for samples in found for sample in samples]

    async def _ask(self, name: str, question: Question) -> list[Sample]:
        from chassis.tenancy import across_tenants  # which a process without a database does not need

        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                samples = list(await across_tenants(question))
        # Whatever is the matter with what is asked, the other metrics tell of it.
        except Exception as error:
            _log.info("the question %s of a scrape is not answered: %s", name, type(error).__name__)
            return [Sample("rollcall_metrics_unanswered", 1, (name,))]
        return [*samples, Sample("rollcall_metrics_unanswered", 0, (name,))]


def families_of(samples: Iterable[Sample]) -> Iterator[Any]:
    """Make the library's metrics of samples."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    made: dict[str, Any] = {}
    for sample in samples:
        family = FAMILIES[sample.name]
        if sample.name not in made:
            kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            made[sample.name] = kind(sample.name, family.help, labels=family.labels)
        made[sample.name].add_metric(sample.labels, sample.value)
    yield from made.values()


class CallStatistics:
    """Counts the gRPC calls of a process by method and code, and their time."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._seconds: Counter[str] = Counter()

    def add(self, method: str, code: str, seconds: float) -> None:
        """Count a call that took so long."""
        self._counts[method, code] += 1
        self._seconds[method] += seconds  # type: ignore[assignment]  # a Counter counts anything

    async def samples(self) -> Iterable[Sample]:
        """Give the counts."""
        counts = [Sample("rollcall_grpc_requests", count, key) for key, count in self._counts.items()]
        times = [Sample("rollcall_grpc_request_seconds", seconds, (key,)) for key, seconds in self._seconds.items()]
        return [*counts, *times]
