"""What schemas do not see: that the documents of an overlay fit each other, the code, and the image."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chassis.nats_permissions import USERS
from chassis.provision import ProvisionSettings
from chassis.settings import ProcessSettings
from console.settings import ConsoleSettings
from directory_service import settings as directory
from gateway.settings import GatewaySettings
from mdm_service import settings as mdm
from portal_service import settings as portal
from tests.deploy.manifests import (
    NAME,
    OVERLAYS,
    Document,
    Pods,
    Rendered,
    Workload,
    credentials_module,
    documented_secrets,
    matches,
    rendered,
)
from tests.deploy.nats_users import variable

pytestmark = pytest.mark.parametrize("overlay", OVERLAYS)

SETTINGS: dict[tuple[str, ...], type[ProcessSettings]] = {
    ("gateway",): GatewaySettings,
    ("console",): ConsoleSettings,
    ("directory_service", "serve"): directory.DirectorySettings,
    ("directory_service", "relay"): directory.RelaySettings,
    ("directory_service", "migrate"): directory.DatabaseSettings,
    ("portal_service", "serve"): portal.PortalSettings,
    ("portal_service", "migrate"): portal.DatabaseSettings,
    ("mdm_service", "serve"): mdm.MdmSettings,
    ("mdm_service", "migrate"): mdm.DatabaseSettings,
    ("chassis.provision",): ProvisionSettings,
}
"""What each command of the image reads its settings with."""

CLI_SETTINGS = {
    "ROLLCALL_DATA_DIR", "ROLLCALL_DIRECTORY_TARGET", "ROLLCALL_PORTAL_TARGET", "ROLLCALL_MDM_TARGET",
    "ROLLCALL_CONSOLE_URL",
    "ROLLCALL_TLS_CERTIFICATE_FILE", "ROLLCALL_TLS_KEY_FILE", "ROLLCALL_TLS_CA_FILE",
}  # fmt: skip
QUANTITY = re.compile(r"^[0-9]+(\.[0-9]+)?(m|k|Ki|Mi|Gi|Ti|M|G|T)?$")
UNITS = {"m": 1e-3, "": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: Any) -> float:
    """Read a quantity of Kubernetes."""
    assert QUANTITY.match(str(text)), text
    number, unit = re.fullmatch(r"([0-9.]+)(.*)", str(text)).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit]


def settings_class(container: Document) -> type[ProcessSettings] | None:
    """What the command of a container reads its settings with; None: it is no Python process of ours."""
    command = container["command"]
    return SETTINGS[tuple(command[2:])] if command[:2] == ["python", "-m"] else None


def processes(manifests: Rendered) -> Iterator[tuple[Workload, Document, type[ProcessSettings]]]:
    """The Python processes of an overlay."""
    for workload in manifests.workloads:
        for container in workload.containers if workload.ours else ():
            if (settings := settings_class(container)) is not None:
                yield workload, container, settings


def fields(settings: type[ProcessSettings]) -> dict[str, str]:
    """Environment variable → name of the setting."""
    prefix = str(settings.model_config["env_prefix"])
    return {f"{prefix}{name}".upper(): name for name in settings.model_fields}


def test_every_process_has_a_workload(overlay: str) -> None:
    """Specification: gateway, directory, relay, portal, MDM, NATS, migrations, and what makes streams and consumers."""
    running = {settings for _, _, settings in processes(rendered(overlay))}
    assert running == set(SETTINGS.values())
    assert rendered(overlay).workload("nats").containers[0]["command"][0] == "nats-server"


def test_everything_is_in_the_namespace_that_is_restricted(overlay: str) -> None:
    """Specification: "namespace with Pod Security `restricted`"."""
    manifests = rendered(overlay)
    labels = manifests.named("Namespace", "rollcall")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    outside = [
        document["metadata"]["name"]
        for document in manifests.documents
        if document["kind"] != "Namespace" and document["metadata"].get("namespace") != "rollcall"
    ]
    assert outside == []


def test_selectors_select_their_own_pods(overlay: str) -> None:
    """Specification: "selectors match"."""
    manifests = rendered(overlay)
    for workload in manifests.workloads:
        if workload.kind != "Job":
            selector = workload.document["spec"]["selector"]
            taken = [other.name for other in manifests.workloads if matches(selector, other.labels)]
            assert taken == [workload.name]
        for constraint in workload.pod.get("topologySpreadConstraints", ()):
            assert matches(constraint["labelSelector"], workload.labels), workload.name


def test_every_service_has_endpoints(overlay: str) -> None:
    """Specification: "every Service has endpoints"."""
    manifests = rendered(overlay)
    for service in manifests.of("Service"):
        spec = service["spec"]
        behind = [one for one in manifests.workloads if matches({"matchLabels": spec["selector"]}, one.labels)]
        assert len(behind) == 1, service["metadata"]["name"]
        assert behind[0].replicas > 0
        assert [port["targetPort"] for port in spec["ports"] if port["targetPort"] not in behind[0].ports] == []
    for ingress in manifests.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                backend = path["backend"]["service"]
                ports = manifests.named("Service", backend["name"])["spec"]["ports"]
                assert backend["port"]["name"] in {port["name"] for port in ports}


def test_a_name_that_spreads_calls_is_a_headless_service(overlay: str) -> None:
    """Specification: "directory (headless Service, `dns:///` with round_robin, `max_connection_age`)"."""
    manifests = rendered(overlay)
    targets = [
        source.value
        for _, container, _ in processes(manifests)
        for name, source in manifests.environment(container).items()
        if name.endswith("_DIRECTORY_TARGET")
    ]
    assert len(targets) == 4
    assert set(targets) == {"dns:///directory.rollcall.svc:9000"}
    assert manifests.named("Service", "directory")["spec"]["clusterIP"] == "None"
    options = dict(importlib.import_module("chassis.grpc_server").OPTIONS)
    assert options["grpc.max_connection_age_ms"] > 0


def test_every_setting_is_one_that_its_process_reads(overlay: str) -> None:
    """Specification: "every setting has a source": a variable with a wrong name would be read by nobody."""
    manifests = rendered(overlay)
    known = {name for settings in SETTINGS.values() for name in fields(settings)} | CLI_SETTINGS
    for workload in manifests.workloads:
        for container in workload.containers if workload.ours else ():
            prefixed = {name for name in manifests.environment(container) if re.match("[A-Z]+_[A-Z_]+$", name)}
            users = {variable(user) for user in USERS}
            assert prefixed - known - (users if workload.name == "nats" else set()) <= {"POD_NAME"}, workload.name


def test_every_process_would_start_with_what_it_is_given(
    overlay: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Specification: "every setting has a source": what is required is there, files are mounted, nothing is refused."""
    manifests = rendered(overlay)
    for number, (workload, container, settings) in enumerate(processes(manifests)):
        names = fields(settings)
        files = {path: content for path, _, content in manifests.files(workload, container)}
        root = tmp_path / str(number)
        for path, content in files.items():
            (root / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            (root / path.lstrip("/")).write_text(content)
        for variable_name in names:
            monkeypatch.delenv(variable_name, raising=False)
        for variable_name, source in manifests.environment(container).items():
            value = source.value
            if variable_name in names and names[variable_name].endswith("_file"):
                assert value in files, f"{workload.name}: {variable_name}: no volume gives {value}"
                value = str(root / value.lstrip("/"))
            monkeypatch.setenv(variable_name, value)
        # A migration has no setting that differs between the two.
        assert settings.load().environment == ("production" if "migration" in workload.name else overlay)


def test_secrets_come_from_secrets(overlay: str) -> None:
    """SECURITY: "secrets come from files or environment, never from the command line"."""
    manifests = rendered(overlay)
    assert manifests.of("Secret") == []
    for _, container, settings in processes(manifests):
        for name, source in manifests.environment(container).items():
            secret = name.endswith(("_DATABASE_URL", "_PASSWORD"))
            assert (source.kind == "Secret") == secret, (settings.__name__, name)


def test_every_secret_that_is_made_is_used(overlay: str) -> None:
    """A Secret that nobody reads is a key that lies about."""
    manifests = rendered(overlay)
    text = str(manifests.documents)
    made = [secret for make in credentials_module().makers_of(overlay).values() for secret in make()]
    names = {secret["metadata"]["name"] for secret in made}
    if overlay == "production":
        names |= documented_secrets().keys()
    assert {name for name in names if f"'{name}'" not in text} == set()


# Who reaches whom.


def code_flows(manifests: Rendered) -> set[tuple[str, str, int]]:
    """The flows that exist in the code: (from, to, port), from the settings that name a target."""
    found: set[tuple[str, str, int]] = set()

    def add(source: str, host: str, port: int) -> None:
        service, pods = manifests.service_pods(host)
        assert pods, host
        target = next(one["targetPort"] for one in service["spec"]["ports"] if one["port"] == port)
        for one in pods:
            number = target if isinstance(target, int) else manifests.workload(one.name).ports[target]
            found.add((source, one.name, number))

    for workload, container, settings in processes(manifests):
        environment = manifests.environment(container)
        for name, field in fields(settings).items():
            if name in environment and field.endswith(("_target", "_url")) and field != "public_url":
                for url in environment[name].value.split(","):
                    parts = urlsplit(url.replace("dns:///", "dns://"))
                    assert parts.hostname is not None
                    assert parts.port is not None
                    add(workload.name, parts.hostname, parts.port)
    for name, source in manifests.environment(manifests.workload("admin").containers[0]).items():
        if name.endswith("_TARGET"):
            host, _, port = source.value.removeprefix("dns:///").partition(":")
            add("admin", host, int(port))
    routes = next(data["cluster.conf"] for data in manifests.config_maps.values() if "cluster.conf" in data)
    for host, port in re.findall(r'"nats://([a-z0-9.-]+):(\d+)"', routes):
        add("nats", host, int(port))
    for document in manifests.of("Cluster"):
        name = document["metadata"]["name"]
        # Instances replicate from each other and ask each other for their state.
        found |= {(name, name, 5432), (name, name, 8000)}
    return found


def selected(policy: Document, pods: Pods) -> bool:
    return matches(policy["spec"]["podSelector"], pods.labels)


def allows(rule: Document, peer_key: str, peer: Pods, port: int) -> bool:
    """Whether a rule of a policy takes a peer in the same namespace."""
    ports = {entry["port"] for entry in rule["ports"]}
    peers = [one for one in rule[peer_key] if "namespaceSelector" not in one and "ipBlock" not in one]
    return port in ports and any(matches(one["podSelector"], peer.labels) for one in peers)


def policy_flows(manifests: Rendered, direction: str) -> set[tuple[str, str, int]]:
    """The flows within the namespace that policies of one direction allow."""
    policies = [one for one in manifests.of("NetworkPolicy") if direction in one["spec"]["policyTypes"]]
    found: set[tuple[str, str, int]] = set()
    for source, target in product(manifests.pods, manifests.pods):
        own, peer = (source, target) if direction == "Egress" else (target, source)
        rules = [rule for one in policies if selected(one, own) for rule in one["spec"].get(direction.lower(), ())]
        key = "to" if direction == "Egress" else "from"
        found |= {
            (source.name, target.name, port)
            for port in target.ports
            if any(allows(rule, key, peer, port) for rule in rules)
        }
    return found


def test_policies_allow_exactly_the_flows_of_the_code(overlay: str) -> None:
    """Specification: "every flow in the code has a NetworkPolicy and the reverse"."""
    manifests = rendered(overlay)
    flows = code_flows(manifests)
    if overlay == "development":
        # A node without others has no routes; the policy is the one of three nodes.
        flows.add(("nats", "nats", 6222))
    assert policy_flows(manifests, "Egress") == flows
    assert policy_flows(manifests, "Ingress") == flows


def test_what_no_policy_names_is_denied(overlay: str) -> None:
    """Specification: "default-deny NetworkPolicies"."""
    manifests = rendered(overlay)
    denied = manifests.named("NetworkPolicy", "default-deny")["spec"]
    assert denied == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_flows_over_the_edge_of_the_namespace_are_the_known_ones(overlay: str) -> None:
    """Specification: "exactly the flows that exist": names, metrics, the edge, and what CloudNativePG needs."""
    manifests = rendered(overlay)
    found: set[tuple[str, str, str, tuple[int, ...]]] = set()
    for policy in manifests.of("NetworkPolicy"):
        for direction, key in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(direction, ()):
                ports = tuple(sorted({port["port"] for port in rule["ports"]}))
                for peer in rule[key]:
                    if "namespaceSelector" in peer:
                        name = peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
                        found.add((policy["metadata"]["name"], direction, name, ports))
                    elif "ipBlock" in peer:
                        found.add((policy["metadata"]["name"], direction, peer["ipBlock"]["cidr"], ports))
    known = {("dns", "egress", "kube-system", (53,)), ("metrics", "ingress", "monitoring", (9090,))}
    if overlay == "production":
        known |= {
            ("gateway-edge", "ingress", "ingress-nginx", (8080,)),
            ("console-edge", "ingress", "ingress-nginx", (8080,)),
            ("acme-solver", "ingress", "ingress-nginx", (8089,)),
            ("database", "ingress", "cnpg-system", (5432, 8000)),
            ("database", "egress", "0.0.0.0/0", (443, 6443)),
        }
    assert found == known


# Availability.


def test_budgets_and_scalers_agree_with_what_runs(overlay: str) -> None:
    """Specification: "PDB and HPA agree": a node can be drained, and never takes the last pod."""
    manifests = rendered(overlay)
    scalers = {one["spec"]["scaleTargetRef"]["name"]: one["spec"] for one in manifests.of("HorizontalPodAutoscaler")}
    budgets = manifests.of("PodDisruptionBudget")
    if overlay == "development":
        assert (scalers, budgets) == ({}, [])
        assert {workload.replicas for workload in manifests.workloads} == {1}
        return
    assert set(scalers) == {"gateway", "directory"}
    served = [one for one in manifests.workloads if one.kind != "Job" and one.name != "admin"]
    for workload in served:
        budget = [one["spec"] for one in budgets if matches(one["spec"]["selector"], workload.labels)]
        assert len(budget) == 1, workload.name
        least = workload.replicas
        if workload.name in scalers:
            assert "replicas" not in workload.document["spec"], "an apply would undo the scaler"
            least = scalers[workload.name]["minReplicas"]
            assert least < scalers[workload.name]["maxReplicas"]
            assert "cpu" in workload.containers[0]["resources"]["requests"], "a utilization of nothing"
        assert budget[0]["maxUnavailable"] == 1
        assert least >= 2
        assert workload.pod["topologySpreadConstraints"], workload.name
    assert len(budgets) == len(served)


def test_nats_has_three_nodes_on_three_machines(overlay: str) -> None:
    """Specification: "NATS (3 nodes, JetStream R3 …)"; DELIVERY: "replicas 1 embedded, 3 in production"."""
    manifests = rendered(overlay)
    nats = manifests.workload("nats")
    replicas = manifests.environment(manifests.workload("provision").containers[0])["PROVISION_STREAM_REPLICAS"].value
    assert nats.replicas == int(replicas) == (3 if overlay == "production" else 1)
    spread = {one["topologyKey"]: one["whenUnsatisfiable"] for one in nats.pod["topologySpreadConstraints"]}
    assert spread["kubernetes.io/hostname"] == "DoNotSchedule"


def test_streams_fit_on_their_disk(overlay: str) -> None:
    """DELIVERY: "`max_bytes` below the disk"."""
    manifests = rendered(overlay)
    nats = manifests.workload("nats")
    claim = nats.document["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
    config = next(data["nats.conf"] for data in manifests.config_maps.values() if "nats.conf" in data)
    found = re.search(r"max_file_store: (\d+)G", config)
    assert found is not None
    environment = manifests.environment(manifests.workload("provision").containers[0])
    streams = 2 * int(environment["PROVISION_MAX_BYTES"].value)
    assert streams < int(found[1]) * 1e9 < quantity(claim)


def test_liveness_depends_on_nothing_but_the_process(overlay: str) -> None:
    """Specification: "probes (`grpc:`; liveness never depends on NATS or the database)"."""
    manifests = rendered(overlay)
    allowed: dict[str, Document] = {
        "gateway": {"httpGet": {"path": "/healthz", "port": "http"}},
        "console": {"httpGet": {"path": "/healthz", "port": "http"}},
        "directory": {"grpc": {"port": 9001}},
        "portal": {"grpc": {"port": 9001}},
        "mdm": {"grpc": {"port": 9001}},
        "nats": {"httpGet": {"path": "/healthz?js-enabled-only=true", "port": "monitor"}},
    }
    for workload in manifests.workloads:
        for container in workload.containers:
            probe = dict(container.get("livenessProbe", {}))
            asked = {key: probe[key] for key in probe.keys() & {"httpGet", "grpc", "exec", "tcpSocket"}}
            assert asked == allowed.get(workload.name, {}), workload.name
            if workload.name in allowed:
                assert {"readinessProbe", "startupProbe"} <= container.keys()
            health = manifests.environment(container)
            for name in (one for one in health if one.endswith("_HEALTH_ADDRESS")):
                assert workload.name == "relay" or health[name].value == "0.0.0.0:9001"


def test_a_pod_has_the_time_that_its_process_takes_to_end(overlay: str) -> None:
    """Specification: "preStop drain and grace"."""
    manifests = rendered(overlay)
    for workload, container, settings in processes(manifests):
        if workload.kind == "Job":
            continue
        grace = {name: source.value for name, source in manifests.environment(container).items()}
        seconds = float(grace.get(f"{settings.model_config['env_prefix']}GRACE_SECONDS", 10))
        pause = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        given = workload.pod["terminationGracePeriodSeconds"]
        # A relay has no calls to end: it marks what is acknowledged and goes.
        assert given >= pause + 1 + (0 if workload.name == "relay" else seconds) + 5, workload.name
        # Whoever asks for metrics asks again.
        if workload.ports.keys() - {"metrics"}:
            assert pause >= 5, workload.name
    nats = manifests.workload("nats")
    stop = nats.containers[0]["lifecycle"]["preStop"]["exec"]["command"]
    assert stop == ["nats-server", "--signal", "ldm=/tmp/nats.pid"]
    config = next(data["nats.conf"] for data in manifests.config_maps.values() if "nats.conf" in data)
    lame = sum(int(seconds) for seconds in re.findall(r'lame_duck_\w+: "(\d+)s"', config))
    assert nats.pod["terminationGracePeriodSeconds"] >= lame + 10


# What a pod may.


def test_every_pod_is_restricted(overlay: str) -> None:
    """Specification: "restricted holds", "non-root, read-only root filesystem, no service-account token"."""
    allowed_volumes = {"configMap", "emptyDir", "secret", "persistentVolumeClaim", "projected", "downwardAPI"}
    for workload in rendered(overlay).workloads:
        pod = workload.pod
        assert pod["automountServiceAccountToken"] is False, workload.name
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"}
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] >= 1000 or workload.name == "postgresql"
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for volume in pod.get("volumes", ()):
            assert volume.keys() - {"name"} <= allowed_volumes, volume
        for container in workload.containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert not any("hostPort" in port for port in container.get("ports", ()))
            # One volume is not mounted inside another, where the runtime could not make the directory.
            paths = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
            assert not [one for one in paths for other in paths if one != other and one.startswith(f"{other}/")]


def test_resources_are_asked_for_and_bounded(overlay: str) -> None:
    """TARGETS: "each process ≤ 150 MB resident": the limit leaves twice that, and memory asked for is below it."""
    manifests = rendered(overlay)
    for workload in manifests.workloads:
        for container in workload.containers:
            requests, limits = container["resources"]["requests"], container["resources"]["limits"]
            assert quantity(requests["cpu"]) > 0
            assert quantity(requests["memory"]) <= quantity(limits["memory"])
            if workload.ours and workload.name != "nats":
                workers = manifests.environment(container).get("GATEWAY_WORKERS")
                programs = 1 + (int(workers.value) if workers is not None else 0)
                assert quantity(limits["memory"]) >= 150e6 * programs, workload.name


def quantities(document: Any) -> Iterator[Any]:
    """Every quantity in a document."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in ("requests", "limits") and isinstance(value, dict):
                yield from value.values()
            elif key in ("sizeLimit", "size", "storage") and isinstance(value, str):
                yield value
            else:
                yield from quantities(value)
    elif isinstance(document, list):
        for value in document:
            yield from quantities(value)


def test_quantities_parse(overlay: str) -> None:
    """Specification: "quantities parse"."""
    manifests = rendered(overlay)
    found = list(quantities(manifests.documents))
    assert len(found) > 3 * len(manifests.workloads)
    assert [text for text in found if quantity(text) <= 0] == []


def test_certificates_name_what_callers_ask_for_and_who_calls(overlay: str) -> None:
    """SECURITY: "mTLS in production (certificate SAN → allowed methods, default deny)"."""
    manifests = rendered(overlay)
    if overlay == "production":
        issued = manifests.of("Certificate")
        certificates = {one["metadata"]["name"]: set(one["spec"].get("dnsNames", ())) for one in issued}
        issuers = {one["metadata"]["name"] for one in manifests.of("Issuer")}
        for one in issued:
            reference = one["spec"]["issuerRef"]
            assert reference["name"] in issuers or reference["kind"] == "ClusterIssuer"
            assert one["metadata"]["name"] == one["spec"]["secretName"]
        for name in ("directory", "portal", "mdm", "gateway", "console", "admin"):
            assert certificates[f"{name}-tls"] == {f"{name}.rollcall.svc"}
        assert "*.nats.rollcall.svc" in certificates["nats-tls"]
    identities = {"gateway", "console", "portal", "mdm", "admin"}
    expected = {"directory": identities, "portal": {"console", "admin"}, "mdm": {"console", "admin"}}
    for workload, container, settings in processes(manifests):
        if workload.name in expected:
            prefix = settings.model_config["env_prefix"]
            given = manifests.environment(container)[f"{prefix}TLS_IDENTITIES"].value
            assert given == ",".join(f"{one}.rollcall.svc={one}" for one in given_order(given))
            assert set(given_order(given)) == expected[workload.name]


def given_order(identities: str) -> list[str]:
    """The identities of a `name=identity` list."""
    return [part.partition("=")[2] for part in identities.split(",")]


def test_labels_name_every_pod(overlay: str) -> None:
    """Policies and Services select by name, so no two workloads share one."""
    names = [workload.labels[NAME] for workload in rendered(overlay).workloads]
    assert len(names) == len(set(names))
    assert names == [workload.name for workload in rendered(overlay).workloads]
