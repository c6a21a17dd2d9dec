"""What a running system tells of itself: metrics of every process, one trace for a request, logs that name both."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from chassis.metrics import FAMILIES
from tests.loopback import NO_TLS
from tests.stack import REPOSITORY, SERVICES, Connection, Stack, free_port
from tests.system.administrator import Administrator

PROCESSES = ["rollcall-gateway", "rollcall-directory", "rollcall-directory", "rollcall-portal"]
"""Who takes part in what one request causes, in its order."""
TRACED = ("gateway", *SERVICES)
USER = {"schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ana@example.com"}


class Collector:
    """Takes spans as a collector of OpenTelemetry does, OTLP over HTTP with protobuf."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Span]] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.path == "/v1/traces"
                assert self.headers["Content-Type"] == "application/x-protobuf"
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                """Nothing: the test has its own output."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            name = next(one.value.string_value for one in resource.resource.attributes if one.key == "service.name")
            self.spans += [(name, span) for scope in resource.scope_spans for span in scope.spans]

    def of(self, trace_id: str) -> dict[str, tuple[str, Span]]:
        """The spans of a trace, each with its process, by their own ids."""
        found = {span.span_id.hex(): (name, span) for name, span in self.spans if span.trace_id.hex() == trace_id}
        return dict(sorted(found.items()))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Observed(Stack):
    """The system with metrics and traces."""

    def __init__(self, directory: Path) -> None:
        urls = {name: f"sqlite:///{directory / f'{name}.db'}" for name in SERVICES}
        super().__init__(directory, urls, kind="sqlite", exact_permissions=True)
        self.collector = Collector()
        self.metrics_ports = {name: free_port() for name in TRACED}
        for name, port in self.metrics_ports.items():
            prefix = name.upper()
            self.extra_environment[name] = {
                f"{prefix}_METRICS_ADDRESS": f"127.0.0.1:{port}",
                f"{prefix}_OTLP_ENDPOINT": self.collector.url,
            }
        self.extra_environment["gateway"] |= {"GATEWAY_WORKERS": "2", "GATEWAY_LOG_REQUESTS": "true"}

    def metrics(self, name: str) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
        """What a process tells now: values by labels, by the name of the metric."""
        return self.metrics_at(self.metrics_ports[name])

    @staticmethod
    def metrics_at(port: int) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
        """The same of a process whose port is known."""
        answer = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10, verify=NO_TLS)
        assert answer.status_code == 200
        found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
        for family in text_string_to_metric_families(answer.text):
            for sample in family.samples:
                found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
        return found

    def stop(self) -> None:
        super().stop()
        self.collector.close()


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    system = Observed(tmp_path_factory.mktemp("observed"))
    try:
        system.start()
        yield system
    finally:
        system.stop()


@pytest.fixture(scope="module")
def dashboard(observed: Observed) -> Connection:
    """A connection whose users become collaborators."""
    return Administrator(observed).dashboard_app().connection


@pytest.fixture(scope="module")
def created(observed: Observed, dashboard: Connection) -> dict[str, str]:
    """A user who was created by a request that begins no trace of its own; its request id and trace id."""
    parent = {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    answer = observed.scim(dashboard).post("/Users", json=USER, headers=parent)
    assert answer.status_code == 201, answer.text
    observed.settled()
    return {"request_id": answer.headers["x-request-id"], "trace_id": "ab" * 16, "user_id": answer.json()["id"]}


def test_one_trace_leads_from_the_http_request_to_the_effect(
    observed: Observed, dashboard: Connection, created: dict[str, str]
) -> None:
    """Specification: "OpenTelemetry traces from HTTP through gRPC, outbox and NATS to the effect, as one trace"."""
    names = ["POST /Users", "rollcall.directory.v1.DirectoryService/CreateUser"]
    names += [f"{verb} rollcall.directory.v1.UserCreated" for verb in ("publish", "apply")]

    def whole() -> bool:
        return set(names) <= {span.name for _, span in observed.collector.of(created["trace_id"]).values()}

    observed.eventually(whole, what="the trace")
    spans = observed.collector.of(created["trace_id"])
    by_name = {span.name: (process, span) for process, span in spans.values()}
    chain = [by_name[name] for name in names]
    assert [process for process, _ in chain] == [
        f"rollcall-{name}" for name in ("gateway", "directory", "directory", "portal")
    ]
    parents = [bytes.fromhex("cd" * 8), *(span.span_id for _, span in chain)]
    assert [span.parent_span_id for _, span in chain] == parents[:-1]
    kinds = [Span.SPAN_KIND_SERVER, Span.SPAN_KIND_SERVER, Span.SPAN_KIND_PRODUCER, Span.SPAN_KIND_CONSUMER]
    assert [span.kind for _, span in chain] == kinds
    attributes = {one.key: one.value.string_value for one in chain[0][1].attributes}
    assert attributes["rollcall.request_id"] == created["request_id"]
    assert "ana@example.com" not in str(spans)
    (effect,) = observed.effects(dashboard.workspace_id, "portal")
    assert effect.request_id == created["request_id"]


def test_every_record_of_a_request_names_it_and_its_trace(observed: Observed, created: dict[str, str]) -> None:
    """Specification: "JSON logs with request id and trace id"."""
    lines = [json.loads(line) for line in observed.log("gateway", limit=10**6).splitlines() if line.startswith("{")]
    (record,) = [line for line in lines if line.get("request_id") == created["request_id"]]
    assert record["trace_id"] == created["trace_id"]
    assert record["message"].startswith("POST /scim/v2/{connection_id}/Users 201")


def test_the_gateway_counts_requests_by_route_over_all_workers(observed: Observed, dashboard: Connection) -> None:
    """Specification: "requests by route, status and connection-independent labels"."""
    key = frozenset({("route", "/Groups/{id}"), ("method", "GET"), ("status", "404")})
    before = observed.metrics("gateway").get("rollcall_http_requests_total", {}).get(key, 0)
    for number in range(8):
        with httpx.Client(headers={"Authorization": f"Bearer {dashboard.token}"}, verify=NO_TLS) as client:
            client.get(f"{dashboard.base_url}/Groups/{number}")
    client = observed.scim(dashboard)
    client.request("BREW", "/Groups")
    client.get("/nowhere")
    found = observed.metrics("gateway")
    requests = found["rollcall_http_requests_total"]
    assert requests[key] == before + 8
    assert requests[frozenset({("route", "/Groups"), ("method", "OTHER"), ("status", "405")})] >= 1
    assert requests[frozenset({("route", "(none)"), ("method", "GET"), ("status", "404")})] >= 1
    timed = found["rollcall_http_request_duration_seconds_count"]
    assert timed[frozenset({("route", "/Groups/{id}"), ("method", "GET")})] == requests[key]
    assert len(found["rollcall_gateway_worker_resident_bytes"]) == 3  # two workers and their parent
    assert dashboard.connection_id not in str(found)


def test_services_tell_of_outbox_consumer_effects_dead_letters_and_tokens(
    observed: Observed, created: dict[str, str]
) -> None:
    """Specification: "outbox depth and age; consumer lag; effects by outcome; dead letters; token expiry"."""
    directory = observed.metrics("directory")
    outbox = frozenset({("outbox", "directory")})
    assert directory["rollcall_outbox_depth"][outbox] == 0
    assert directory["rollcall_outbox_age_seconds"][outbox] == 0
    assert directory["rollcall_relay_published_total"][outbox] >= 2
    assert directory["rollcall_relay_leading"][outbox] == 1
    assert directory["rollcall_tokens_expiring"][frozenset()] == 0
    call = ("method", "/rollcall.directory.v1.DirectoryService/CreateUser")
    assert directory["rollcall_grpc_requests_total"][frozenset({call, ("code", "OK")})] == 1
    assert directory["rollcall_grpc_request_seconds_total"][frozenset({call})] > 0
    service = ("service", "portal")

    def effects() -> dict[str, Any]:
        found = observed.metrics("portal")
        # The newest are counted a moment later.
        assert found["rollcall_effects_total"][frozenset({service, ("outcome", "APPLIED")})] == 1
        return found

    portal = observed.eventually(effects)
    assert portal["rollcall_consumer_lag"][frozenset({service})] == 0
    assert portal["rollcall_consumer_partitions"][frozenset({service})] == 16
    assert portal["rollcall_consumer_events_total"][frozenset({service, ("result", "applied")})] >= 2
    assert portal["rollcall_dead_letters"][frozenset({service, ("state", "PARKED")})] == 0
    assert observed.metrics("mdm")["rollcall_outbox_depth"][frozenset({("outbox", "mdm")})] == 0
    for name in SERVICES:
        found = observed.metrics(name)
        assert found["process_resident_memory_bytes"][frozenset()] > 0
        assert set(found["rollcall_metrics_unanswered"].values()) == {0}


def test_a_question_without_an_answer_leaves_the_other_metrics(observed: Observed, created: dict[str, str]) -> None:
    """Gauges "that need a query are computed at scrape time with a timeout": NATS away is no reason to say nothing."""
    observed.terminate("nats")
    try:
        found = observed.metrics("portal")
        assert "rollcall_consumer_lag" not in found
        assert found["rollcall_metrics_unanswered"][frozenset({("question", "lag")})] == 1
        assert found["rollcall_dead_letters"]
    finally:
        observed.start_process("nats")


def test_every_metric_is_told_by_some_process(observed: Observed, created: dict[str, str]) -> None:
    """Specification: "Prometheus metrics on every process": what is described is told, and the reverse."""
    told = {name for process in TRACED for name in observed.metrics(process) if name.startswith("rollcall_")}
    suffixes = {"counter": "_total", "gauge": "", "histogram": "_count"}
    wanted = {f"{name}{suffixes[family.kind]}" for name, family in FAMILIES.items()}
    # Told once the stream answers again, and where a request was omitted.
    late = {"rollcall_consumer_lag", "rollcall_provisioning_log_omitted_total"}
    assert wanted - late <= told
    assert {name for name in told if not name.endswith(("_bucket", "_sum", "_created"))} <= wanted


def test_a_relay_of_its_own_tells_of_the_outbox_under_the_same_name(observed: Observed, tmp_path: Path) -> None:
    """In production the relay is a process of its own; alerts and dashboard know the outbox by its service."""
    port = free_port()
    variables = {
        "DIRECTORY_DATABASE_URL": observed.databases["directory"],
        "DIRECTORY_NATS_URL": observed.nats_url,
        "DIRECTORY_METRICS_ADDRESS": f"127.0.0.1:{port}",
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DIRECTORY_")}
    command = [sys.executable, "-m", "directory_service", "relay"]
    with subprocess.Popen(command, cwd=REPOSITORY, env=environment | variables, stderr=subprocess.DEVNULL) as relay:
        try:

            def told() -> dict[str, Any]:
                try:
                    return observed.metrics_at(port)
                except httpx.TransportError:
                    return {}

            found = observed.eventually(told, what="the relay's metrics")
            outbox = frozenset({("outbox", "directory")})
            # The directory's own relay leads; this one stands by.
            assert found["rollcall_relay_leading"] == {outbox: 0}
            assert found["rollcall_outbox_depth"] == {outbox: 0}
        finally:
            relay.terminate()
        assert relay.wait(20) == 0


def test_nothing_is_imported_for_what_is_off() -> None:
    """Without METRICS_ADDRESS and OTLP_ENDPOINT neither library is loaded, by the gateway or by a service."""
    code = (
        "import sys, gateway.app, gateway.metrics, directory_service.server, portal_service.server, mdm_service.server;"
        "from chassis import telemetry; telemetry.configure('x', '');"
        "assert telemetry.start('SERVER', 'x', '') is None;"
        "print({name.partition('.')[0] for name in sys.modules} & {'opentelemetry', 'prometheus_client', 'requests'})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()", done.stderr
