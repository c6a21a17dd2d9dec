"""Dashboard, alerts and what Prometheus asks: all of it is of metrics that the code tells, of ports that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import kubernetes_validate
import pytest

from chassis.metrics import FAMILIES
from tests.deploy.manifests import NAME, Document, matches, render, rendered

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
STANDARD = {"process_cpu_seconds_total": (), "process_resident_memory_bytes": ()}
"""What the library tells of every process."""
EXPORTED = STANDARD | {
    f"{name}{suffix}": (*family.labels, *(("le",) if suffix == "_bucket" else ()))
    for name, family in FAMILIES.items()
    for suffix in SUFFIXES[family.kind]
}
ADDED = {"pod", "namespace", "container", "job", "instance"}
"""Labels that Prometheus adds to what it scrapes in a cluster."""
OBSERVED = {"gateway", "directory", "relay", "portal", "mdm"}


def observability(kind: str) -> Document:
    """The one document of a kind of `deploy/observability`."""
    (found,) = [document for document in render("observability") if document["kind"] == kind]
    return found


def rules() -> list[Document]:
    """The alerts."""
    (group,) = observability("PrometheusRule")["spec"]["groups"]
    return list(group["rules"])


def dashboard() -> Document:
    """The dashboard as Grafana gets it."""
    config_map = observability("ConfigMap")
    assert config_map["metadata"]["labels"]["grafana_dashboard"] == "1"
    return dict(json.loads(config_map["data"]["dashboard.json"]))


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, with where it stands."""
    for rule in rules():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def names(expression: str) -> set[str]:
    """The metrics of an expression: words that no parenthesis follows and that are no keyword, label or text."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\b(by|without|on) \([^)]*\)", " ", bare)
    words = re.findall(r"\b[a-z_][a-z0-9_]*\b(?!\s*\()", bare)
    return {word for word in words if word not in {"or", "and", "unless", "sum", "max", "min"}}


@pytest.mark.parametrize(("where", "expression"), list(expressions()))
def test_every_metric_that_is_named_is_one_that_the_code_tells(where: str, expression: str) -> None:
    """Specification: "a Grafana dashboard and alert rules in `deploy/`": a metric nobody tells would never alert."""
    used = names(expression)
    assert used, where
    assert used <= EXPORTED.keys(), where
    labels = {label for name in used for label in EXPORTED[name]} | ADDED
    grouped = {label for listed in re.findall(r"by \(([^)]*)\)", expression) for label in listed.split(", ")}
    matched = {
        label for listed in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)\s*[=!]", listed)
    }
    assert grouped | matched <= labels, where


def test_every_metric_of_ours_is_shown_or_alerted_of() -> None:
    """A metric that nobody looks at is not worth its scrape."""
    used = {name for _, expression in expressions() for name in names(expression)}
    unseen = [
        name for name, family in FAMILIES.items() if not used & {f"{name}{suffix}" for suffix in SUFFIXES[family.kind]}
    ]
    assert unseen == []


def test_every_alert_says_how_bad_it_is_and_what_to_look_at() -> None:
    """An alert in the night is read by somebody who did not write it."""
    alerts = rules()
    assert len({rule["alert"] for rule in alerts}) == len(alerts) > 10
    for rule in alerts:
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}
        assert re.fullmatch(r"[0-9]+[mh]", rule["for"])
        labels = {label for name in names(rule["expr"]) for label in EXPORTED[name]}
        for text in rule["annotations"].values():
            assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "description"}


def test_panels_of_the_dashboard_have_their_own_places() -> None:
    """Grafana draws panels with one id, or in one place, over each other."""
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}) == len(panels)
    assert {panel["datasource"]["uid"] for panel in panels} == {"${datasource}"}


@pytest.mark.parametrize("overlay", ["development", "production"])
def test_every_process_is_asked_on_a_port_that_it_serves_and_may_be_reached_on(overlay: str) -> None:
    """Specification: "Prometheus metrics on every process"."""
    manifests = rendered(overlay)
    monitor = observability("PodMonitor")["spec"]
    (endpoint,) = monitor["podMetricsEndpoints"]
    policy = manifests.named("NetworkPolicy", "metrics")["spec"]
    asked = [workload for workload in manifests.workloads if matches(monitor["selector"], workload.labels)]
    assert {workload.labels[NAME] for workload in asked} == OBSERVED
    for workload in asked:
        number = workload.ports[endpoint["port"]]
        environment = manifests.environment(workload.containers[0])
        (address,) = [one.value for name, one in environment.items() if name.endswith("_METRICS_ADDRESS")]
        assert address == f"0.0.0.0:{number}"
        assert matches(policy["podSelector"], workload.labels)
        assert [port["port"] for port in policy["ingress"][0]["ports"]] == [number]
    traces = observability("NetworkPolicy")
    kubernetes_validate.validate(traces, kubernetes_validate.latest_version(), strict=True)
    assert traces["spec"]["podSelector"] == policy["podSelector"]
