"""`deploy/README.md` is true: what it names exists, and its commands are ones that the tools take."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import app
from tests.deploy.manifests import DEPLOY, ROOT, WORKLOAD_KINDS, Rendered, credentials_module, render, rendered

TEXT = (DEPLOY / "README.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line.strip()]

KINDS = {
    "deploy": "Deployment",
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "service": "Service",
    "job": "Job",
    "hpa": "HorizontalPodAutoscaler",
    "cluster": "Cluster",
    "certificate": "Certificate",
}


def named(command: str) -> list[tuple[str, str]]:
    """The objects that a command names as `kind/name`."""
    pattern = rf"(?<![\w/.])({'|'.join(KINDS)})/([a-z-]+)(?![\w/.])"
    return re.findall(pattern, command)


def test_there_is_a_section_for_each_task() -> None:
    """Specification: "`deploy/README.md`: install, upgrade, rotate certificates and keys, restore"."""
    headings = re.findall(r"^## (.+)$", TEXT, re.MULTILINE)
    for heading in ("Install", "Upgrade", "Rotate certificates", "Rotate keys", "Restore"):
        section = TEXT.split(f"## {heading}\n")[1].partition("\n## ")[0]
        assert heading in headings
        assert "```sh\n" in section


@pytest.mark.parametrize("block", BLOCKS, ids=[str(number) for number in range(len(BLOCKS))])
def test_each_block_is_a_script_that_a_shell_reads(block: str) -> None:
    """A command that cannot be copied is none."""
    result = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, timeout=20)
    assert result.returncode == 0, result.stderr


def test_every_file_that_it_names_exists() -> None:
    """Docs are true: each path leads somewhere."""
    names = set(re.findall(r"(?<![\w/.-])(deploy/[\w./-]*[\w])", TEXT))
    folders = {f"deploy/{kind}/{name}" for kind, name in named(TEXT)} | {"deploy/admin", "deploy/mdm"}
    assert len(names) > 8
    assert [name for name in sorted(names - folders) if not (ROOT / name).exists()] == []


def test_every_folder_that_it_applies_renders() -> None:
    """Each `kubectl kustomize` and `kubectl apply -k` of the document works."""
    folders = set(re.findall(r"kubectl (?:kustomize|apply -k) deploy/([a-z/]+)", TEXT))
    assert folders == {"overlays/development", "overlays/production", "overlays/restore", "observability"}
    for folder in folders:
        assert render(folder)


def test_every_object_that_its_commands_name_exists() -> None:
    """A command about an object that is called otherwise fails when it is needed most."""
    manifests = rendered("production")
    for command in COMMANDS:
        if " -k " in command:
            continue  # a folder is no object
        for kind, name in named(command.replace('"deployment/$name"', "")):
            manifests.named(KINDS[kind], name)
    loop = re.search(r"for name in ([a-z ]+); do", TEXT)
    assert loop is not None
    assert set(loop[1].split()) == _stateless(manifests)
    deletions = [line for line in COMMANDS if "delete secret" in line]
    secrets = {name for line in deletions for name in re.findall(r"[a-z-]+-(?:tls|ca)\b", line)}
    assert secrets
    assert secrets <= manifests.secrets.keys()
    assert secrets >= {name for name in manifests.secrets if name.endswith("-tls") and "example" not in name}


def _stateless(manifests: Rendered) -> set[str]:
    return {one["metadata"]["name"] for one in manifests.of("Deployment")} - {"admin"}


def test_labels_of_its_commands_select_what_they_mean() -> None:
    """An upgrade migrates first, by a label."""
    labels = set(re.findall(r"-l (\S+?)=(\S+)", TEXT))
    assert labels == {("app.kubernetes.io/component", "migration"), ("app.kubernetes.io/name", "nats")}
    manifests = rendered("production")
    for key, value in labels:
        chosen = [one for one in manifests.of(*WORKLOAD_KINDS) if one["metadata"].get("labels", {}).get(key) == value]
        kinds = {one["kind"] for one in chosen}
        assert kinds == ({"Job"} if value == "migration" else {"StatefulSet"})
    claims = manifests.named("StatefulSet", "nats")["spec"]["volumeClaimTemplates"]
    assert claims[0]["metadata"]["labels"]["app.kubernetes.io/name"] == "nats"


def test_a_migration_reads_nothing_that_an_upgrade_brings_later() -> None:
    """The upgrade applies the Jobs alone, so they use no ConfigMap, whose name changes with its content."""
    manifests = rendered("production")
    for job in manifests.workloads:
        if job.labels.get("app.kubernetes.io/component") == "migration":
            assert "configMap" not in json.dumps(job.document)


def test_commands_of_rollcall_exist() -> None:
    """Every `rollcall …` of the document is a command of the program."""
    import typer.main

    root = typer.main.get_command(app)
    lines = [line.split(" -- ")[1] for line in COMMANDS if " -- rollcall " in line]
    assert len(lines) >= 6
    for line in lines:
        found = root
        for word in shlex.split(line)[1:]:
            if (commands := getattr(found, "commands", None)) is None or word.startswith("-"):
                break
            assert word in commands, line
            found = commands[word]
        options = {option for parameter in found.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", line)) <= options, line


def test_names_of_credentials_are_ones_that_are_made() -> None:
    """`credentials.py --only NAME` takes the names that the document gives."""
    lines = re.findall(r"credentials\.py (\w+)(?: --only (\S+))?", TEXT)
    assert len(lines) >= 5
    for overlay, name in lines:
        assert not name or name in credentials_module().makers_of(overlay)
    for name in re.findall(r"`(nats-[a-z-]+)`", TEXT):
        assert name in credentials_module().makers_of("production")


# The program that makes Secrets.


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEPLOY / "credentials.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_each_secret_is_random_and_of_its_own_form() -> None:
    """SECURITY: "never with an unsafe default"; an nkey's seed belongs to its public key."""
    import nkeys

    first, second = (json.loads(run("production").stdout)["items"] for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one["metadata"] == other["metadata"]
        assert one["metadata"]["namespace"] == "rollcall"
        changing = one["stringData"].keys() - {"username"}
        assert [key for key in changing if one["stringData"][key] == other["stringData"][key]] == []
        if "seed" in one["stringData"]:
            pair = nkeys.from_seed(one["stringData"]["seed"].encode())
            assert pair.public_key.decode() == one["stringData"]["nkey"]
        else:
            data = one["stringData"]
            assert one["type"] == "kubernetes.io/basic-auth"
            assert len(data["password"]) >= 43
            account = f"{data['username']}:{data['password']}"
            assert f"//{account}@database-rw.rollcall.svc:5432/{data['username']}?" in data["url"]
            assert "sslmode=verify-full" in data["url"]


def test_certificates_of_development_chain_to_their_authority(tmp_path: Path) -> None:
    """SECURITY: certificates are checked in development too: name, authority, purpose."""
    items = json.loads(run("development", "--only", "tls").stdout)["items"]
    made = {one["metadata"]["name"]: one["stringData"] for one in items}
    assert made.keys() >= {"directory-tls", "gateway-tls", "nats-tls", "nats-routes-tls"}
    for name, files in made.items():
        for key, content in files.items():
            (tmp_path / key).write_text(content)
        host = name.removesuffix("-tls").replace("nats-routes", "nats-0.nats")
        for purpose in ("sslserver", "sslclient"):
            rules = ["-CAfile", "ca.crt", "-purpose", purpose, "-verify_hostname", f"{host}.rollcall.svc"]
            verify = ["openssl", "verify", *rules, "tls.crt"]
            result = subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True, timeout=20)
            assert result.returncode == 0, (name, result.stderr)
    assert made["nats-tls"]["ca.crt"] == made["gateway-tls"]["ca.crt"] != made["nats-routes-tls"]["ca.crt"]


def test_a_name_that_is_none_is_refused() -> None:
    """Errors are clear: which argument, and what it may be."""
    result = run("production", "--only", "tls")
    assert result.returncode == 2
    assert "--only tls: expected one of nats-directory-relay" in result.stderr
    assert result.stdout == ""
