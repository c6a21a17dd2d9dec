"""The whole system as in production: every process in `production`, known by its certificate and its nkey alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from rollcall.directory.v1 import (
    administrator_service_pb2,
    administrator_service_pb2_grpc,
    connection_service_pb2,
)
from rollcall.portal.v1 import portal_service_pb2

from cli.main import run
from tests.console.conftest import console_process, is_ready
from tests.loopback import NO_TLS
from tests.security.certificates import Authority, Certificate
from tests.stack import CHANNEL_OPTIONS, SERVICES, Connection, Stack, eventually, refusal

PUBLIC_URL = "https://scim.example.com"
IDENTITIES = ",".join(f"{name}.rollcall.svc={name}" for name in ("admin", "console", "gateway", "portal", "mdm"))


class ProductionStack(Stack):
    """A stack over TLS, without a shared secret anywhere."""

    def __init__(self, directory: Path) -> None:
        urls = {name: f"sqlite:///{directory / f'{name}.db'}" for name in SERVICES}
        super().__init__(directory, urls, kind="sqlite", exact_permissions=True)
        self.authority = Authority(directory / "certificates")
        names = ("nats", *SERVICES, "gateway", "console", "admin")
        self.certificates: dict[str, Certificate] = {
            name: self.authority.issue(f"{name}.rollcall.svc", "localhost") for name in names
        }

    @property
    def nats_url(self) -> str:
        """NATS over TLS."""
        return f"tls://localhost:{self.ports['nats']}"

    def _nats_command(self) -> list[str]:
        command = super()._nats_command()
        config = self.directory / "nats.conf"
        own = self.certificates["nats"]
        config.write_text(f'{config.read_text()}\ntls {{ cert_file: "{own.certificate}", key_file: "{own.key}" }}\n')
        return command

    def _environment(self, name: str) -> dict[str, str]:
        environment = super()._environment(name)
        if name == "nats":
            return environment
        prefix = f"{name.upper()}_"
        settings = {"ENVIRONMENT": "production", "NATS_CA_FILE": str(self.authority.certificate)}
        if name == "provision":
            settings["MAX_BYTES"] = "100000000"
        else:
            own = self.certificates[name]
            environment.pop(f"{prefix}CREDENTIALS_FILE")
            settings |= {
                "TLS_CERTIFICATE_FILE": str(own.certificate),
                "TLS_KEY_FILE": str(own.key),
                "TLS_CA_FILE": str(self.authority.certificate),
            }
        if name in SERVICES:
            settings["TLS_IDENTITIES"] = IDENTITIES
        if name in ("directory", "gateway"):
            settings["PUBLIC_URL"] = PUBLIC_URL
        if name in ("portal", "mdm", "gateway"):
            settings["DIRECTORY_TARGET"] = f"localhost:{self.ports['directory']}"
        return environment | {prefix + key: value for key, value in settings.items()}

    def channel(self, service: str, identity: str = "admin") -> grpc.Channel:
        """A channel to a service with the certificate of an identity."""
        own = self.certificates[identity]
        credentials = grpc.ssl_channel_credentials(
            self.authority.certificate.read_bytes(), own.key.read_bytes(), own.certificate.read_bytes()
        )
        opened = grpc.secure_channel(f"localhost:{self.ports[service]}", credentials, options=CHANNEL_OPTIONS)
        self._channels.append(opened)
        return opened

    def client(self, connection: Connection) -> httpx.Client:
        """An identity provider, as what ends TLS before the gateway forwards it."""
        path = connection.base_url.removeprefix(PUBLIC_URL)
        client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.ports['gateway']}{path}",
            headers={"Authorization": f"Bearer {connection.token}"},
            timeout=30,
            verify=NO_TLS,
        )
        self._clients.append(client)
        return client


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProductionStack]:
    """The running system."""
    stack = ProductionStack(tmp_path_factory.mktemp("production"))
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def test_a_user_reaches_the_dashboard_over_tls_from_end_to_end(production: ProductionStack) -> None:
    """SECURITY: "TLS 1.2+ everywhere in production": HTTP, gRPC, NATS, each with its own identity, and it works."""
    workspace_id = production.create_workspace()
    connection = production.enable(workspace_id, "dashboard")
    assert connection.base_url.startswith(f"{PUBLIC_URL}/scim/v2/")
    production.portal.UpdateRules(
        portal_service_pb2.UpdateRulesRequest(
            connection_id=connection.connection_id, on_create=portal_service_pb2.ON_CREATE_CREATE_COLLABORATOR
        )
    )
    created = production.client(connection).post("/Users", json={"userName": "ada@example.com", "active": True})
    assert created.status_code == 201
    assert created.headers["location"].startswith(connection.base_url)
    production.settled()
    request = portal_service_pb2.GetCollaboratorRequest(workspace_id=workspace_id, email="ada@example.com")
    assert production.portal.GetCollaborator(request).collaborator.email == "ada@example.com"


def test_an_identity_may_do_what_it_is_for_and_no_more(production: ProductionStack) -> None:
    """SECURITY: "certificate SAN → allowed methods, default deny"; "admin methods need an admin identity"."""
    for identity in ("gateway", "portal", "mdm"):
        for service in SERVICES:
            channel = production.channel(service, identity)
            call = channel.unary_unary(
                "/rollcall.audit.v1.AuditService/ListAuditEntries", response_deserializer=lambda answer: answer
            )
            with pytest.raises(grpc.RpcError) as caught:
                call(b"", timeout=10)
            told = refusal(caught.value)
            assert (told.code, told.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")


def test_the_console_is_known_by_its_certificate(production: ProductionStack) -> None:
    """SECURITY: "mTLS in production (certificate SAN → allowed methods …)": it alone may sign somebody in."""
    own = production.certificates["console"]
    accounts = administrator_service_pb2_grpc.AdministratorServiceStub(production.channel("directory"))
    link = accounts.CreateSignInLink(administrator_service_pb2.CreateSignInLinkRequest()).link_token
    settings = {
        "ENVIRONMENT": "production",
        "PUBLIC_URL": "https://console.example.com",
        "CREDENTIALS_FILE": "",
        "TLS_CERTIFICATE_FILE": str(own.certificate),
        "TLS_KEY_FILE": str(own.key),
        "TLS_CA_FILE": str(production.authority.certificate),
        **{f"{name.upper()}_TARGET": f"localhost:{production.ports[name]}" for name in SERVICES},
    }
    with console_process(production, **settings) as (url, _):
        eventually(lambda: is_ready(url), timeout=30, what="the console")
        shown = httpx.get(f"{url}/sign-in/link/{link}", verify=NO_TLS)
        assert shown.status_code == 200
        assert "Create your account" in shown.text
        assert shown.headers["set-cookie"].startswith("__Host-rollcall_visitor=")


def test_the_command_line_is_an_administrator_by_its_certificate(
    production: ProductionStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PRODUCT 8: remote services through `ROLLCALL_…_TARGET` "and an administrator's credential"."""
    request = connection_service_pb2.CreateWorkspaceRequest(name="Seen from afar")
    production.connections.CreateWorkspace(request)
    own = production.certificates["admin"]
    for name in SERVICES:
        monkeypatch.setenv(f"ROLLCALL_{name.upper()}_TARGET", f"localhost:{production.ports[name]}")
    monkeypatch.setenv("ROLLCALL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ROLLCALL_TLS_CA_FILE", str(production.authority.certificate))
    monkeypatch.setenv("ROLLCALL_TLS_CERTIFICATE_FILE", str(own.certificate))
    assert run(["workspace", "list"]) == 1
    assert "ROLLCALL_TLS_KEY_FILE is required" in capsys.readouterr().err
    monkeypatch.setenv("ROLLCALL_TLS_KEY_FILE", str(own.key))
    assert run(["workspace", "list"]) == 0
    assert "Seen from afar" in capsys.readouterr().out
    gateway = production.certificates["gateway"]
    monkeypatch.setenv("ROLLCALL_TLS_CERTIFICATE_FILE", str(gateway.certificate))
    monkeypatch.setenv("ROLLCALL_TLS_KEY_FILE", str(gateway.key))
    assert run(["workspace", "list"]) == 1
    assert "gateway may not call" in capsys.readouterr().err
