"""What a production process refuses to start without (SECURITY, "Inside")."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from chassis.provision import ProvisionSettings
from chassis.settings import ProcessSettings
from console.settings import ConsoleSettings
from directory_service.settings import DatabaseSettings, DirectorySettings, RelaySettings
from gateway.settings import GatewaySettings
from mdm_service.settings import MdmSettings
from portal_service.settings import PortalSettings

PRODUCTION: dict[type[ProcessSettings], dict[str, str]] = {
    GatewaySettings: {
        "ADDRESS": "0.0.0.0:8080",
        "DIRECTORY_TARGET": "dns:///directory:8443",
        "PUBLIC_URL": "https://scim.example.com",
    },
    ConsoleSettings: {
        "ADDRESS": "0.0.0.0:8080",
        **{f"{name}_TARGET": f"dns:///{name.lower()}:8443" for name in ("DIRECTORY", "PORTAL", "MDM")},
        "PUBLIC_URL": "https://console.example.com",
    },
    DirectorySettings: {
        "DATABASE_URL": "postgresql+psycopg://directory/directory",
        "ADDRESS": "0.0.0.0:8443",
        "PUBLIC_URL": "https://scim.example.com",
    },
    RelaySettings: {"DATABASE_URL": "postgresql+psycopg://directory/directory"},
    PortalSettings: {
        "DATABASE_URL": "postgresql+psycopg://portal/portal",
        "ADDRESS": "0.0.0.0:8443",
        "DIRECTORY_TARGET": "dns:///directory:8443",
    },
    MdmSettings: {
        "DATABASE_URL": "postgresql+psycopg://mdm/mdm",
        "ADDRESS": "0.0.0.0:8443",
        "DIRECTORY_TARGET": "dns:///directory:8443",
    },
    ProvisionSettings: {"MAX_BYTES": "1000000000", "STREAM_REPLICAS": "3"},
}
TLS = {"TLS_CERTIFICATE_FILE", "TLS_KEY_FILE", "TLS_CA_FILE"}
NATS = {"NATS_URL", "NATS_NKEY_SEED_FILE"}
SERVED = {*TLS, "TLS_IDENTITIES"}
NEEDED: dict[type[ProcessSettings], set[str]] = {
    GatewaySettings: TLS | {"PUBLIC_URL"},
    ConsoleSettings: TLS | {"PUBLIC_URL"},
    DirectorySettings: SERVED | NATS | {"PUBLIC_URL"},
    RelaySettings: NATS,
    PortalSettings: SERVED | NATS,
    MdmSettings: SERVED | NATS,
    ProvisionSettings: NATS | {"MAX_BYTES"},
}


class Environment:
    """The environment variables of one process that would start in production."""

    def __init__(self, settings: type[ProcessSettings], files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = settings
        self.prefix = str(settings.model_config["env_prefix"])
        self._monkeypatch = monkeypatch
        pem, seed = files / "pem", files / "seed"
        pem.write_text("-----BEGIN CERTIFICATE-----\n")
        seed.write_text("SUAAA\n")
        values = {"ENVIRONMENT": "production", **PRODUCTION[settings]}
        for name in (TLS | NATS | SERVED) & {field.upper() for field in settings.model_fields}:
            values[name] = str(seed if name == "NATS_NKEY_SEED_FILE" else pem)
        if "NATS_URL" in values:
            values["NATS_URL"] = "tls://nats:4222"
        if "TLS_IDENTITIES" in values:
            values["TLS_IDENTITIES"] = "gateway.rollcall.svc=gateway, admin.rollcall.svc=admin"
        for name, value in values.items():
            self.set(name, value)

    def set(self, name: str, value: str | None) -> None:
        """Set a variable, or take it away."""
        if value is None:
            self._monkeypatch.delenv(self.prefix + name)
        else:
            self._monkeypatch.setenv(self.prefix + name, value)

    def refused(self, capsys: Any) -> list[str]:
        """The lines that the process ends with; none: it would start."""
        try:
            self.settings.load()
        except SystemExit as ended:
            if ended.code != 2:
                raise
        return list(capsys.readouterr().err.splitlines())


@pytest.fixture(params=list(PRODUCTION), ids=lambda settings: settings.__name__)
def environment(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Each process in turn."""
    return Environment(request.param, tmp_path, monkeypatch)


def test_a_production_process_starts_with_everything_it_needs(environment: Environment, capsys: Any) -> None:
    """What is tested below would start but for the one thing that is taken away."""
    assert environment.refused(capsys) == []


def test_a_production_process_refuses_to_start_without_a_secret(environment: Environment, capsys: Any) -> None:
    """SECURITY: "without a secret a production process refuses to start", with one line that names the setting."""
    for name in sorted(NEEDED[environment.settings]):
        value = os.environ[environment.prefix + name]
        environment.set(name, None)
        lines = environment.refused(capsys)
        assert len(lines) == 1, (name, lines)
        assert lines[0].startswith(f"rollcall: {environment.prefix}{name}: "), lines
        environment.set(name, value)


@pytest.mark.parametrize(
    ("settings", "name", "value"),
    [
        (GatewaySettings, "PUBLIC_URL", "http://scim.example.com"),
        (GatewaySettings, "REQUESTS_PER_SECOND", "0"),
        (GatewaySettings, "FAILED_AUTHENTICATIONS_PER_MINUTE", "0"),
        (ConsoleSettings, "PUBLIC_URL", "http://console.example.com"),
        (ConsoleSettings, "PUBLIC_URL", "https://console.example.com/below"),
        (ConsoleSettings, "TLS_CERTIFICATE_FILE", "/nonexistent/crt.pem"),
        (DirectorySettings, "PUBLIC_URL", "http://scim.example.com"),
        (PortalSettings, "NATS_URL", "tls://nats-0:4222,nats://nats-1:4222"),
        (MdmSettings, "TLS_KEY_FILE", "/nonexistent/key.pem"),
        (RelaySettings, "NATS_NKEY_SEED_FILE", "/nonexistent/seed"),
        (RelaySettings, "NATS_NKEY_SEED_FILE", __file__),
        (GatewaySettings, "TLS_CA_FILE", "/dev/null"),
        (DirectorySettings, "TLS_IDENTITIES", "gateway.rollcall.svc=root"),
    ],
)
def test_a_production_process_refuses_an_unsafe_value(
    settings: type[ProcessSettings],
    name: str,
    value: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    """SECURITY: "TLS 1.2+ everywhere in production; … never with an unsafe default"."""
    environment = Environment(settings, tmp_path, monkeypatch)
    environment.set(name, value)
    lines = environment.refused(capsys)
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"rollcall: {environment.prefix}{name}: ")


def test_rates_are_limited_in_production_unless_told_otherwise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SECURITY: "100 requests/s with burst 500 per token in production, none in `rollcall up` unless set (429 …), 10
    failed authentications a minute per address"."""
    environment = Environment(GatewaySettings, tmp_path, monkeypatch)
    limited = GatewaySettings.load()
    assert (limited.requests_per_second, limited.burst, limited.failed_authentications_per_minute) == (100, 500, 10)
    environment.set("REQUESTS_PER_SECOND", "250")
    assert GatewaySettings.load().requests_per_second == 250
    environment.set("REQUESTS_PER_SECOND", None)
    environment.set("ENVIRONMENT", "development")
    assert GatewaySettings.load().requests_per_second == 0


def test_the_files_of_tls_come_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """A process with a certificate and no authority would trust nobody or everybody."""
    environment = Environment(PortalSettings, tmp_path, monkeypatch)
    environment.set("ENVIRONMENT", "development")
    environment.set("TLS_CA_FILE", None)
    (line,) = environment.refused(capsys)
    assert line == "rollcall: PORTAL_TLS_CA_FILE: is required where another file of TLS is given"


def test_a_migration_needs_a_database_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Job that migrates has no certificate and no key: it calls nobody."""
    monkeypatch.setenv("DIRECTORY_ENVIRONMENT", "production")
    monkeypatch.setenv("DIRECTORY_DATABASE_URL", "postgresql+psycopg://directory/directory")
    assert DatabaseSettings.load().in_production
