"""The certificates and the identities that the manifests give, between a real directory and those who call it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from rollcall.directory.v1 import connection_service_pb2, connection_service_pb2_grpc

from chassis.errors import from_rpc_error
from chassis.grpc_client import channel, channel_tls
from directory_service.server import DirectoryServer
from directory_service.settings import DirectorySettings
from tests.deploy.manifests import credentials_module, rendered

HOST = "directory.rollcall.svc"


async def test_each_process_is_who_its_certificate_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SECURITY: "certificate SAN → allowed methods, default deny", with what the production overlay configures."""
    certificates: dict[str, Path] = {}
    for secret in credentials_module().certificates():
        folder = tmp_path / secret["metadata"]["name"]
        folder.mkdir()
        for key, content in secret["stringData"].items():
            (folder / key).write_text(content)
        certificates[folder.name] = folder
    (tmp_path / "seed").write_text(credentials_module().make_nkey()[0])
    manifests = rendered("production")
    container = manifests.workload("directory").containers[0]
    own = certificates["directory-tls"]
    placed = {
        "DIRECTORY_DATABASE_URL": f"sqlite:///{tmp_path}/directory.db",
        "DIRECTORY_ADDRESS": "127.0.0.1:0",
        "DIRECTORY_HEALTH_ADDRESS": "127.0.0.1:0",
        "DIRECTORY_MIGRATE": "true",
        "DIRECTORY_TLS_CERTIFICATE_FILE": str(own / "tls.crt"),
        "DIRECTORY_TLS_KEY_FILE": str(own / "tls.key"),
        "DIRECTORY_TLS_CA_FILE": str(own / "ca.crt"),
        "DIRECTORY_NATS_CA_FILE": str(own / "ca.crt"),
        "DIRECTORY_NATS_NKEY_SEED_FILE": str(tmp_path / "seed"),
    }
    environment = {name: source.value for name, source in manifests.environment(container).items()}
    for name, value in (environment | placed).items():
        monkeypatch.setenv(name, value)
    server = DirectoryServer(DirectorySettings.load())
    await server.start()
    try:
        answers = {name: await _list_workspaces(server.port, folder) for name, folder in certificates.items()}
    finally:
        await server.stop(grace=0)
    denied, nobody = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED
    assert answers == {
        "admin-tls": None,
        "console-tls": None,
        "portal-tls": None,
        "mdm-tls": None,
        "gateway-tls": denied,
        "directory-tls": nobody,
        "nats-tls": nobody,
        # Of another authority: there is no connection.
        "nats-routes-tls": grpc.StatusCode.UNAVAILABLE,
    }


async def _list_workspaces(port: int, files: Path) -> Any:
    """Call as the owner of a certificate; return None, or the code of the refusal."""
    authority = files.parent / "directory-tls" / "ca.crt"
    tls = channel_tls(authority=authority, certificate=files / "tls.crt", key=files / "tls.key")
    opened = channel(f"127.0.0.1:{port}", tls=tls, options=[("grpc.ssl_target_name_override", HOST)])
    try:
        stub = connection_service_pb2_grpc.ConnectionServiceStub(opened)  # type: ignore[no-untyped-call]
        await stub.ListWorkspaces(connection_service_pb2.ListWorkspacesRequest(), timeout=20)
    except grpc.RpcError as error:
        return from_rpc_error(error).code
    finally:
        await opened.close()
    return None
