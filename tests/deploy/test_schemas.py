"""Every rendered document against the schema of its kind, strictly: an unknown field is an error."""

from __future__ import annotations

from functools import cache

import jsonschema
import kubernetes_validate
import pytest
from kubernetes_validate import utils

from tests.deploy.manifests import OVERLAYS, Document, render, rendered

OLDEST = "1.30"
"""The oldest Kubernetes that deploy/README.md promises."""

OVERLAY_FOLDERS = (*OVERLAYS, "restore")


def _object(required: str = "", /, **properties: Document) -> Document:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": required.split(),
    }


_TEXT: Document = {"type": "string", "minLength": 1}
_FLAG: Document = {"type": "boolean"}
_TEXTS: Document = {"type": "array", "items": _TEXT, "minItems": 1}
_NAMED = _object("name", name=_TEXT)
_KEY = _object("name key", name=_TEXT, key=_TEXT)
_TEXT_MAP: Document = {"type": "object", "additionalProperties": _TEXT}
_HOURS: Document = {"type": "string", "pattern": "^[0-9]+h$"}
_SIZE: Document = {"type": "string", "pattern": "^[0-9]+(Mi|Gi|Ti)$"}
_MOMENT: Document = {"type": "string", "pattern": "^2[0-9-]{9}T[0-9:]{8}Z$"}
_RESOURCES = _object("requests limits", requests=_TEXT_MAP, limits=_TEXT_MAP)
_PLUGIN = _object("name parameters", name=_TEXT, isWALArchiver=_FLAG, parameters=_TEXT_MAP)

CUSTOM: dict[tuple[str, str], Document] = {
    ("cert-manager.io/v1", "Issuer"): {
        "oneOf": [
            _object("selfSigned", selfSigned=_object()),
            _object("ca", ca=_object("secretName", secretName=_TEXT)),
        ]
    },
    ("cert-manager.io/v1", "Certificate"): _object(
        "secretName issuerRef",
        secretName=_TEXT,
        isCA=_FLAG,
        commonName={"type": "string", "maxLength": 64},
        dnsNames=_TEXTS,
        duration=_HOURS,
        renewBefore=_HOURS,
        usages={"type": "array", "items": {"enum": ["server auth", "client auth"]}},
        privateKey=_object(
            "algorithm",
            algorithm={"enum": ["ECDSA", "RSA", "Ed25519"]},
            size={"type": "integer"},
            rotationPolicy={"enum": ["Always", "Never"]},
        ),
        issuerRef=_object("name", name=_TEXT, kind={"enum": ["Issuer", "ClusterIssuer"]}),
    ),
    ("postgresql.cnpg.io/v1", "Cluster"): _object(
        "instances storage",
        instances={"type": "integer", "minimum": 1},
        imageName=_TEXT,
        postgresql=_object(
            parameters=_TEXT_MAP,
            synchronous=_object(
                "method number",
                method={"enum": ["any", "first"]},
                number={"type": "integer", "minimum": 1},
                dataDurability={"enum": ["required", "preferred"]},
            ),
        ),
        affinity=_object(podAntiAffinityType={"enum": ["required", "preferred"]}, topologyKey=_TEXT),
        storage=_object("size", size=_SIZE),
        walStorage=_object("size", size=_SIZE),
        resources=_RESOURCES,
        plugins={"type": "array", "items": _PLUGIN},
        managed=_object(
            "roles",
            roles={
                "type": "array",
                "items": _object(
                    "name",
                    name=_TEXT,
                    ensure={"enum": ["present", "absent"]},
                    login=_FLAG,
                    passwordSecret=_NAMED,
                ),
            },
        ),
        bootstrap=_object(
            "recovery",
            recovery=_object(
                "source recoveryTarget",
                source=_TEXT,
                recoveryTarget=_object("targetTime", targetTime=_MOMENT),
            ),
        ),
        externalClusters={"type": "array", "items": _object("name plugin", name=_TEXT, plugin=_PLUGIN)},
    ),
    ("postgresql.cnpg.io/v1", "Database"): _object("name owner cluster", name=_TEXT, owner=_TEXT, cluster=_NAMED),
    ("postgresql.cnpg.io/v1", "ScheduledBackup"): _object(
        "schedule cluster",
        # Six fields: seconds come first.
        schedule={"type": "string", "pattern": r"^(\S+ ){5}\S+$"},
        immediate=_FLAG,
        cluster=_NAMED,
        method={"enum": ["plugin"]},
        pluginConfiguration=_NAMED,
    ),
    ("barmancloud.cnpg.io/v1", "ObjectStore"): _object(
        "configuration",
        retentionPolicy={"type": "string", "pattern": "^[0-9]+[dwm]$"},
        configuration=_object(
            "destinationPath",
            destinationPath={"type": "string", "pattern": "^s3://"},
            s3Credentials=_object("accessKeyId secretAccessKey", accessKeyId=_KEY, secretAccessKey=_KEY),
            wal=_object(compression={"enum": ["gzip", "zstd"]}),
            data=_object(compression={"enum": ["gzip", "bzip2"]}),
        ),
    ),
}
"""The `spec` of operators' kinds, as far as it is used here, from the operators' references of their APIs."""


@pytest.fixture(scope="module", autouse=True)
def _schemas_read_once() -> object:
    # The definitions are megabytes, and the library reads them again for each document.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", cache(utils.schema_contents))
        yield


@pytest.mark.parametrize("version", [OLDEST, kubernetes_validate.latest_version()])
@pytest.mark.parametrize("folder", OVERLAY_FOLDERS)
def test_every_document_is_valid(folder: str, version: str) -> None:
    """Specification: "kubernetes-validate (strict)"; the kinds of operators against our own schema of them."""
    for document in render(f"overlays/{folder}"):
        name = f"{document['kind']} {document['metadata']['name']}"
        custom = CUSTOM.get((document["apiVersion"], document["kind"]))
        try:
            if custom is None:
                kubernetes_validate.validate(document, version, strict=True)
            else:
                assert document.keys() == {"apiVersion", "kind", "metadata", "spec"}
                jsonschema.Draft202012Validator(custom).validate(document["spec"])
        except jsonschema.ValidationError as error:
            pytest.fail(f"{folder}: {name}: {'.'.join(map(str, error.path))}: {error.message}")


def test_the_validation_sees_a_wrong_field() -> None:
    """A validation that takes anything proves nothing."""
    document = {**rendered("production").named("Deployment", "gateway")}
    document["spec"] = {**document["spec"], "replica": 2}
    with pytest.raises(jsonschema.ValidationError):
        kubernetes_validate.validate(document, OLDEST, strict=True)


def test_the_restore_differs_from_production_in_the_database_alone() -> None:
    """A restore is the installation that was: `deploy/overlays/restore` says where its databases come from."""
    before = {_key(one): one for one in render("overlays/production")}
    after = {_key(one): one for one in render("overlays/restore")}
    assert before.keys() == after.keys()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {("Cluster", "database")}
    old, new = (documents["Cluster", "database"]["spec"] for documents in (before, after))
    assert {key for key in new if new.get(key) != old.get(key)} == {"bootstrap", "externalClusters", "plugins"}
    written = new["plugins"][0]["parameters"]["serverName"]
    assert written != new["externalClusters"][0]["plugin"]["parameters"]["serverName"]


def _key(document: Document) -> tuple[str, str]:
    return document["kind"], document["metadata"]["name"]
