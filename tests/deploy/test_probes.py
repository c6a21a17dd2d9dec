"""What the probes of the manifests ask, asked of real services whose NATS is away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from directory_service.server import DirectoryServer
from directory_service.settings import DirectorySettings
from mdm_service.server import MdmServer
from mdm_service.settings import MdmSettings
from portal_service.server import PortalServer
from portal_service.settings import PortalSettings
from tests.conftest import free_port


class _Service(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


SERVICES: dict[str, tuple[type[Any], type[Any]]] = {
    "directory": (DirectoryServer, DirectorySettings),
    "portal": (PortalServer, PortalSettings),
    "mdm": (MdmServer, MdmSettings),
}


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_is_alive_and_ready_while_nats_is_away(name: str, tmp_path: Path) -> None:
    """Specification: "liveness never depends on NATS or the database"; the port of health needs no certificate."""
    credentials = tmp_path / "credentials.json"
    credentials.write_text(json.dumps({"admin": "a" * 43, "portal": "p" * 43, "mdm": "m" * 43}))
    credentials.chmod(0o600)
    server_class, settings_class = SERVICES[name]
    health = f"127.0.0.1:{free_port()}"
    values: dict[str, Any] = {
        "database_url": f"sqlite:///{tmp_path}/{name}.db",
        "address": "127.0.0.1:0",
        "health_address": health,
        "nats_url": f"nats://127.0.0.1:{free_port()}",
        "credentials_file": credentials,
        "migrate": True,
        "grace_seconds": 0.1,
    }
    if name == "directory":
        values["public_url"] = "http://127.0.0.1"
    else:
        values["directory_target"] = f"127.0.0.1:{free_port()}"
    server: _Service = server_class(settings_class(**values))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(health) as channel:
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        await server.stop()
