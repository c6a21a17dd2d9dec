"""Metrics of the gateway: its workers count in files that they share with their parent, which serves the sum of them.

Nothing here is imported unless `GATEWAY_METRICS_ADDRESS` is set. The library decides when it is imported whether it
counts in files, by the variable `PROMETHEUS_MULTIPROC_DIR`; so that is set first, before any worker is forked.
"""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import falcon

from chassis.metrics import FAMILIES, Sample, families_of

DIRECTORY_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds."""
NO_ROUTE = "(none)"
OTHER_METHOD = "OTHER"

_PREFIX = "rollcall-metrics-"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def prepare() -> str:
    """Make the directory of the counts and name it to the library, unless that was done; return its path."""
    if not os.environ.get(DIRECTORY_VARIABLE):
        for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
            # Of a gateway that was killed; in a container, where each has the same id, of the one before.
            pid = left.name.removeprefix(_PREFIX).partition("-")[0]
            if pid == str(os.getpid()) or not Path("/proc", pid).exists():
                clean(str(left))
        os.environ[DIRECTORY_VARIABLE] = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-")
    return os.environ[DIRECTORY_VARIABLE]


def clean(path: str) -> None:
    """Remove the directory of the counts."""
    shutil.rmtree(path, ignore_errors=True)


class RequestMetrics:
    """Counts the requests of one worker; made after the fork."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        def of(name: str) -> dict[str, Any]:
            family = FAMILIES[name]
            return {"name": name, "documentation": family.help, "labelnames": family.labels, "registry": registry}

        registry = CollectorRegistry()
        self._requests = Counter(**of("rollcall_http_requests"))
        self._durations = Histogram(**of("rollcall_http_request_duration_seconds"), buckets=BUCKETS)
        self._omitted = Counter(**of("rollcall_provisioning_log_omitted"))
        # Kept here, for the library's own way to them costs more than the counting.
        self._counted: dict[tuple[str, str, int], Callable[[], None]] = {}
        self._timed: dict[tuple[str, str], Callable[[float], None]] = {}

    def add(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count a request; what nobody knows as a method counts as one."""
        route = route or NO_ROUTE
        if method not in falcon.COMBINED_METHODS:
            method = OTHER_METHOD
        key = (route, method, status)
        count = self._counted.get(key)
        if count is None:
            count = self._counted[key] = self._requests.labels(route, method, str(status)).inc
            self._timed[route, method] = self._durations.labels(route, method).observe
        count()
        self._timed[route, method](seconds)

    def omitted(self, requests: int) -> None:
        """Count requests that have no entry in the provisioning log."""
        self._omitted.inc(requests)


def serve(address: str, path: str, pids: Callable[[], Iterable[int]]) -> None:
    """Serve the sum of all workers, and what each process uses, on a thread of this process.

    Raises OSError when the address is taken.
    """
    from prometheus_client import CollectorRegistry, start_http_server
    from prometheus_client.multiprocess import MultiProcessCollector

    registry = CollectorRegistry(auto_describe=False)
    MultiProcessCollector(registry, path)  # type: ignore[no-untyped-call]
    registry.register(_Processes(pids))
    host, _, port = address.rpartition(":")
    start_http_server(int(port), host, registry)


class _Processes:
    """What the gateway's processes use, by their ids, from /proc; nothing where there is none."""

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._pids = pids

    def collect(self) -> Iterator[Any]:
        """Give the metrics; the library calls this for each scrape."""
        return families_of(sample for pid in self._pids() for sample in self._of(pid))

    def _of(self, pid: int) -> Iterator[Sample]:
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                # The name of the command, in parentheses, may hold anything.
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            return
        yield Sample("rollcall_gateway_worker_cpu_seconds", (int(fields[11]) + int(fields[12])) / _TICKS, (str(pid),))
        yield Sample("rollcall_gateway_worker_resident_bytes", int(fields[21]) * _PAGE, (str(pid),))
