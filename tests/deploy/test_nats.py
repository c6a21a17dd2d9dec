"""The manifests' configuration of NATS, read by the real server, with certificates and keys of `credentials.py`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sysconfig
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from nats.aio.client import Client

from chassis import streams
from chassis.nats_permissions import AGENTS, DIRECTORY_RELAY, MDM, PORTAL, PROVISIONER, USERS
from chassis.provision import ProvisionSettings, provision
from chassis.settings import NatsClientSettings
from tests.conftest import eventually, free_port
from tests.deploy.manifests import DEPLOY, OVERLAYS, credentials_module, rendered
from tests.deploy.nats_users import users_file, variable

SERVER = Path(sysconfig.get_path("scripts")) / "nats-server"


PORTS = {"client": "0.0.0.0:4222", "monitor": "0.0.0.0:8222", "route": "0.0.0.0:6222"}


@dataclass
class Keys:
    """What `credentials.py` makes: certificates for the two authorities, and for each user a seed and an nkey."""

    certificates: dict[str, dict[str, str]]
    users: dict[str, tuple[str, str]]

    @classmethod
    def make(cls) -> Keys:
        """Make them, the certificates for a host that a test can reach too."""
        module = credentials_module()
        with pytest.MonkeyPatch.context() as patch:
            real = module._certificate
            patch.setattr(module, "PROCESSES", ())
            patch.setattr(module, "_certificate", lambda where, name, hosts: real(where, name, [*hosts, "localhost"]))
            made = {one["metadata"]["name"]: one["stringData"] for one in module.certificates()}
        return cls(made, {user: module.make_nkey() for user in USERS})


class Node:
    """A pod of NATS on this machine: the files that it would be given, with paths and addresses that are free here."""

    def __init__(self, overlay: str, directory: Path, keys: Keys, name: str = "nats-0") -> None:
        manifests = rendered(overlay)
        workload = manifests.workload("nats")
        container = workload.containers[0]
        self._keys = keys
        self.directory = directory
        self.ports = {port: free_port() for port in PORTS}
        self.environment = {key: source.value for key, source in manifests.environment(container).items()}
        self.environment |= {variable(user): nkey for user, (_, nkey) in keys.users.items()}
        self.environment |= {"POD_NAME": name, "PATH": os.defpath}
        self._configuration: dict[Path, str] = {}
        for path, kind, content in manifests.files(workload, container):
            file = directory / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            if kind == "ConfigMap":
                self._configuration[file] = content
        for secret, folder in (("nats-tls", "tls"), ("nats-routes-tls", "routes")):
            for key, content in keys.certificates[secret].items():
                (directory / "etc/nats" / folder / key).write_text(content)
        self.configure({})
        config = container["command"][-1].replace("/etc/nats/", f"{directory}/etc/nats/")
        self.command = [str(SERVER), *container["command"][1:-1], config]

    def configure(self, routes: dict[str, int]) -> None:
        """Write the configuration; `routes` are the ports of the nodes that it is to know, by name."""
        placed = {
            "/etc/nats/": f"{self.directory}/etc/nats/",
            "/tmp/nats.pid": f"{self.directory}/nats.pid",
            '"/data"': f'"{self.directory}/data"',
        }
        placed |= {address: f"127.0.0.1:{self.ports[port]}" for port, address in PORTS.items()}
        placed |= {f"{name}.nats.rollcall.svc:6222": f"localhost:{port}" for name, port in routes.items()}
        for file, content in self._configuration.items():
            for old, new in placed.items():
                content = content.replace(old, new)
            file.write_text(content)

    def check(self) -> subprocess.CompletedProcess[str]:
        """Have the server read its configuration, and no more."""
        command = [*self.command, "-t"]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=30)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Run the server."""
        with (self.directory / "log").open("wb") as log:
            server = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            server.terminate()
            server.wait(timeout=20)

    def settings(self, user: str) -> NatsClientSettings:
        """How a user's process is told to connect."""
        seed = self.directory / f"{user}.seed"
        seed.write_text(self._keys.users[user][0])
        ca = self.directory / "etc/nats/tls/ca.crt"
        url = f"tls://localhost:{self.ports['client']}"
        return ProvisionSettings(nats_url=url, nats_ca_file=ca, nats_nkey_seed_file=seed)

    def servers(self, user: str) -> streams.NatsSettings:
        """The same, as the client takes it."""
        return streams.settings_of(self.settings(user), user)

    async def connect(self, user: str) -> Client:
        """A connection of a user."""
        return await streams.connect(self.servers(user), name=user)

    def healthy(self) -> bool:
        """What the readiness probe finds."""
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{self.ports['monitor']}/healthz"
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        return False


@pytest.fixture(scope="module")
def keys() -> Keys:
    """Certificates and nkeys, made once."""
    return Keys.make()


def test_the_users_are_those_of_the_code() -> None:
    """SECURITY: "one account user per service with nkeys, exact permissions": written once, in the code."""
    written = (DEPLOY / "base/nats/users.conf").read_text()
    assert written == users_file(), "run `python -m tests.deploy.nats_users > deploy/base/nats/users.conf`"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_server_accepts_the_configuration(overlay: str, tmp_path: Path, keys: Keys) -> None:
    """Specification: "JetStream R3, `sync_interval: always`, TLS, nkeys", as the server itself reads it."""
    checked = Node(overlay, tmp_path, keys).check()
    assert checked.returncode == 0, checked.stdout + checked.stderr
    config = rendered(overlay).config_maps
    text = next(data["nats.conf"] for data in config.values() if "nats.conf" in data)
    assert "sync_interval: always" in text
    assert "tls {" in text
    clustered = next(data["cluster.conf"] for data in config.values() if "cluster.conf" in data)
    assert ("cluster {" in clustered) == (overlay == "production")


def test_a_key_that_is_missing_stops_the_server(tmp_path: Path, keys: Keys) -> None:
    """SECURITY: "without a secret a production process refuses to start"."""
    node = Node("production", tmp_path, keys)
    del node.environment[variable(PORTAL)]
    checked = node.check()
    assert checked.returncode != 0
    assert variable(PORTAL) in checked.stdout + checked.stderr


async def test_three_nodes_form_a_cluster_with_three_replicas(
    tmp_path_factory: pytest.TempPathFactory, keys: Keys
) -> None:
    """Specification: "NATS (3 nodes, JetStream R3, …)", with the certificates of the routes' own authority."""
    names = [f"nats-{number}" for number in range(rendered("production").workload("nats").replicas)]
    nodes = [Node("production", tmp_path_factory.mktemp(name), keys, name) for name in names]
    routes = {name: node.ports["route"] for name, node in zip(names, nodes, strict=True)}
    with contextlib.ExitStack() as running:
        for node in nodes:
            node.configure(routes)
            running.enter_context(node.running())
        first = nodes[0]
        await provision(first.servers(PROVISIONER), replicas=3, max_bytes=2**20)
        relay = await first.connect(DIRECTORY_RELAY)
        try:
            js = relay.jetstream(timeout=5)
            await js.publish("directory.v1.0.mdm.user.created.c.u", b"event")
            info = await js.stream_info("DIRECTORY")
            assert info.config.num_replicas == 3
            assert info.cluster is not None
            assert {str(info.cluster.leader), *(str(peer.name) for peer in info.cluster.replicas or ())} == set(names)
            # The readiness probe of each: a rolling update goes on when a node has caught up.
            for node in nodes:
                await eventually(lambda node=node: asyncio.to_thread(node.healthy), message="health of a node")
        finally:
            await streams.close(relay)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Iterator[Node]:
    """A server with the configuration of the development overlay."""
    node = Node("development", tmp_path_factory.mktemp("nats"), keys)
    with node.running():
        yield node


async def test_the_provisioner_makes_what_the_services_use(running: Node) -> None:
    """Specification: "a Job that creates streams and consumers with its own identity"."""
    await provision(running.servers(PROVISIONER), max_bytes=2**20)
    relay = await running.connect(DIRECTORY_RELAY)
    try:
        js = relay.jetstream(timeout=5)
        ack = await js.publish("directory.v1.0.mdm.user.created.c.u", b"event")
        assert ack.stream == "DIRECTORY"
        portal = await running.connect(PORTAL)
        try:
            info = await portal.jetstream(timeout=5).consumer_info("DIRECTORY", "portal-0")
            assert info.name == "portal-0"
        finally:
            await streams.close(portal)
    finally:
        await streams.close(relay)


@pytest.mark.parametrize(
    ("user", "subject"),
    [
        (PORTAL, "directory.v1.0.mdm.user.created.c.u"),
        (MDM, "directory.v1.0.mdm.user.created.c.u"),
        (DIRECTORY_RELAY, "mdm.v1.0.device.lock.w.d"),
        (DIRECTORY_RELAY, "$JS.API.STREAM.DELETE.DIRECTORY"),
        (PROVISIONER, "$JS.API.STREAM.DELETE.DIRECTORY"),
        (PORTAL, "$JS.API.CONSUMER.MSG.NEXT.DIRECTORY.mdm-0"),
        (AGENTS, "$JS.API.CONSUMER.MSG.NEXT.DIRECTORY.portal-0"),
    ],
)
async def test_what_a_user_need_not_do_is_refused(running: Node, user: str, subject: str) -> None:
    """SECURITY: "the relay publishes `directory.v1.>` only; each consumer fetches and acks its own durables only"."""
    client = await running.connect(user)

    await client.publish(subject, b"")
    await client.flush()
    # The client ends for good when the server says that something is not permitted.
    await eventually(lambda: client.is_closed, message=f"the refusal of {subject} to {user}")


async def test_nobody_without_a_key_is_let_in(running: Node) -> None:
    """SECURITY: "one account user per service with nkeys"."""
    ca = running.directory / "etc/nats/tls/ca.crt"
    settings = ProvisionSettings(nats_url=f"tls://localhost:{running.ports['client']}", nats_ca_file=ca)
    with pytest.raises(streams.NatsRefused):
        await streams.connect(streams.settings_of(settings, PORTAL), name="nobody")
