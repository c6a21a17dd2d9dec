"""What the overlays render, as objects that can be asked: workloads, where settings come from, who may reach whom.

What is not in the YAML but will be in the cluster is added here: the Secrets that operators and documented commands
make, and the pods of the database that CloudNativePG runs.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("development", "production")
WORKLOAD_KINDS = ("Deployment", "StatefulSet", "Job")
NAME = "app.kubernetes.io/name"

Document = dict[str, Any]


@cache
def credentials_module() -> ModuleType:
    """`deploy/credentials.py`, which is a program and no package."""
    spec = importlib.util.spec_from_file_location("deploy_credentials", DEPLOY / "credentials.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Source:
    """Where the value of an environment variable comes from, and the value where the manifests know it."""

    kind: str
    name: str
    value: str


@dataclass
class Workload:
    """A Deployment, StatefulSet or Job, with its one kind of pod."""

    document: Document

    @property
    def kind(self) -> str:
        return str(self.document["kind"])

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def template(self) -> Document:
        return dict(self.document["spec"]["template"])

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.template["metadata"]["labels"])

    @property
    def pod(self) -> Document:
        return dict(self.template["spec"])

    @property
    def containers(self) -> list[Document]:
        return [*self.pod.get("initContainers", ()), *self.pod["containers"]]

    @property
    def ports(self) -> dict[str, int]:
        return {port["name"]: port["containerPort"] for one in self.containers for port in one.get("ports", ())}

    @property
    def ours(self) -> bool:
        """Whether it runs the one image that the Dockerfile builds."""
        return all(image.rpartition("/")[2].partition(":")[0] == "rollcall" for image in self.images)

    @property
    def images(self) -> list[str]:
        return [container["image"] for container in self.containers]

    @property
    def replicas(self) -> int:
        return int(self.document["spec"].get("replicas", 1))


@dataclass
class Pods:
    """Pods as NetworkPolicies see them: labels and the ports that they listen on."""

    name: str
    labels: dict[str, str]
    ports: set[int] = field(default_factory=set)


@dataclass
class Rendered:
    """All documents of an overlay."""

    overlay: str
    documents: list[Document]

    def of(self, *kinds: str) -> list[Document]:
        """The documents of these kinds."""
        return [document for document in self.documents if document["kind"] in kinds]

    def named(self, kind: str, name: str) -> Document:
        """The one document of a kind and a name."""
        found = [document for document in self.of(kind) if document["metadata"]["name"] == name]
        assert len(found) == 1, f"{self.overlay}: {kind} {name}: {len(found)}"
        return found[0]

    @property
    def workloads(self) -> list[Workload]:
        return [Workload(document) for document in self.of(*WORKLOAD_KINDS)]

    def workload(self, name: str) -> Workload:
        """The workload of a name."""
        return next(workload for workload in self.workloads if workload.name == name)

    @property
    def secrets(self) -> dict[str, dict[str, str]]:
        """Every Secret that will exist: name → key → value, where the value is one that a test may look at."""
        found: dict[str, dict[str, str]] = {}
        for document in self.of("Certificate"):
            found[document["spec"]["secretName"]] = dict.fromkeys(
                ("tls.crt", "tls.key", "ca.crt"), "-----BEGIN CERTIFICATE-----\n"
            )
        for document in self.of("Cluster"):
            found[f"{document['metadata']['name']}-ca"] = {"ca.crt": "PEM"}
        for secret in _made_credentials(self.overlay):
            assert secret["metadata"]["name"] not in found, "made twice"
            found[secret["metadata"]["name"]] = secret["stringData"]
        for name, keys in documented_secrets().items():
            found.setdefault(name, dict.fromkeys(keys, "documented"))
        return found

    @property
    def config_maps(self) -> dict[str, dict[str, str]]:
        return {document["metadata"]["name"]: document["data"] for document in self.of("ConfigMap")}

    def environment(self, container: Document) -> dict[str, Source]:
        """The environment of a container, each variable with its source. Raises KeyError where there is none."""
        found: dict[str, Source] = {}
        for entry in container.get("envFrom", ()):
            name = entry["configMapRef"]["name"]
            found |= {key: Source("ConfigMap", name, value) for key, value in self.config_maps[name].items()}
        for entry in container.get("env", ()):
            if "value" in entry:
                found[entry["name"]] = Source("literal", "", entry["value"])
            elif "secretKeyRef" in entry["valueFrom"]:
                reference = entry["valueFrom"]["secretKeyRef"]
                value = self.secrets[reference["name"]][reference["key"]]
                found[entry["name"]] = Source("Secret", reference["name"], value)
            else:
                assert entry["valueFrom"]["fieldRef"]["fieldPath"] == "metadata.name"
                found[entry["name"]] = Source("pod", "", "nats-0")
        return found

    def files(self, workload: Workload, container: Document) -> Iterator[tuple[str, str, str]]:
        """The files that a container's volumes give it: path, kind, content. Raises KeyError for a missing source."""
        volumes = {volume["name"]: volume for volume in workload.pod.get("volumes", ())}
        claims = workload.document["spec"].get("volumeClaimTemplates", ())
        volumes |= {claim["metadata"]["name"]: {"persistentVolumeClaim": {}} for claim in claims}
        for mount in container.get("volumeMounts", ()):
            volume = volumes[mount["name"]]
            if "secret" in volume:
                secret = volume["secret"]
                kind, contents = "Secret", self.secrets.get(secret["secretName"])
                if contents is None:
                    assert secret.get("optional"), f"{workload.name}: no Secret {secret['secretName']}"
                    continue
                items = secret.get("items")
            elif "configMap" in volume:
                kind, contents = "ConfigMap", self.config_maps[volume["configMap"]["name"]]
                items = volume["configMap"].get("items")
            else:
                assert volume.keys() & {"emptyDir", "persistentVolumeClaim"}, volume
                continue
            paths = {item["path"]: item["key"] for item in items} if items else {key: key for key in contents}
            for path, key in paths.items():
                yield f"{mount['mountPath']}/{path}", kind, contents[key]

    @property
    def pods(self) -> list[Pods]:
        """Everything in the namespace that a NetworkPolicy may select."""
        found = [Pods(workload.name, workload.labels, set(workload.ports.values())) for workload in self.workloads]
        for document in self.of("Cluster"):
            name = document["metadata"]["name"]
            # What the operator makes: https://cloudnative-pg.io/docs/, "Labels and annotations", "Networking".
            found.append(Pods(name, {"cnpg.io/cluster": name}, {5432, 8000}))
        return found

    def service_pods(self, host: str) -> tuple[Document, list[Pods]]:
        """The Service that a host name means, and its pods."""
        name = host.removesuffix(".rollcall.svc").rpartition(".")[2]
        if self.of("Cluster") and name == "database-rw":
            ports = [{"port": 5432, "targetPort": 5432}]
            service: Document = {"spec": {"ports": ports, "selector": {"cnpg.io/cluster": "database"}}}
        else:
            service = self.named("Service", name)
        selector = {"matchLabels": service["spec"]["selector"]}
        return service, [pods for pods in self.pods if matches(selector, pods.labels)]


def matches(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector takes these labels."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for rule in selector.get("matchExpressions", ()):
        assert rule["operator"] == "In", rule
        if labels.get(rule["key"]) not in rule["values"]:
            return False
    return True


@cache
def render(path: str) -> tuple[Document, ...]:
    """What `kubectl kustomize` makes of a folder of `deploy/`."""
    command = ["kubectl", "kustomize", str(DEPLOY / path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return tuple(document for document in yaml.safe_load_all(result.stdout) if document)


@cache
def rendered(overlay: str) -> Rendered:
    """An overlay."""
    return Rendered(overlay, list(render(f"overlays/{overlay}")))


@cache
def _made_credentials(overlay: str) -> tuple[Document, ...]:
    makers = credentials_module().makers_of(overlay)
    return tuple(secret for make in makers.values() for secret in make())


@cache
def documented_secrets() -> dict[str, set[str]]:
    """The Secrets that `deploy/README.md` has the operator make by hand: name → keys."""
    text = (DEPLOY / "README.md").read_text().replace("\\\n", " ")
    found: dict[str, set[str]] = {}
    for line in re.findall(r"kubectl create secret generic .*", text):
        name = re.search(r"secret generic (?:-n rollcall )?(\S+)", line)
        assert name is not None
        found[name[1]] = set(re.findall(r"--from-(?:literal|file)=([a-z.-]+)=", line))
    return found
