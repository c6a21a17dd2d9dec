"""Who is let in over TLS: a certificate says who calls, and each method says who may (SECURITY, "Inside")."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.directory.v1 import connection_service_pb2_grpc, directory_service_pb2_grpc
from rollcall.directory.v1 import directory_service_pb2 as directory

from chassis.errors import RpcFailure, from_rpc_error
from chassis.grpc_client import channel, channel_tls
from directory_service.server import DirectoryServer
from directory_service.settings import DirectorySettings
from tests.security.certificates import Authority, Certificate

IDENTITIES = "admin.rollcall.svc=admin,gateway.rollcall.svc=gateway,spiffe://rollcall/portal=portal"


class Directory:
    """A directory that is served over TLS, and certificates to call it with."""

    def __init__(self, server: DirectoryServer, authority: Authority, files: Path) -> None:
        self.server = server
        self.authority = authority
        self.stranger = Authority(files / "stranger")

    async def call(
        self, method: str, certificate: Certificate | None, *, secret: str | None = None
    ) -> RpcFailure | None:
        """Call a method of ConnectionService or DirectoryService and return how it was refused."""
        tls = channel_tls(
            authority=self.authority.certificate,
            certificate=certificate.certificate if certificate else None,
            key=certificate.key if certificate else None,
        )
        opened = channel(f"localhost:{self.server.port}", tls=tls, credential=secret)
        try:
            if method == "ListWorkspaces":
                stub = connection_service_pb2_grpc.ConnectionServiceStub(opened)
                await stub.ListWorkspaces(connections.ListWorkspacesRequest(), timeout=10)
            elif method == "CreateWorkspace":
                stub = connection_service_pb2_grpc.ConnectionServiceStub(opened)
                await stub.CreateWorkspace(connections.CreateWorkspaceRequest(name="Acme"), timeout=10)
            else:
                stub = directory_service_pb2_grpc.DirectoryServiceStub(opened)
                await stub.GetUser(directory.GetUserRequest(id="nobody"), timeout=10)
        except grpc.RpcError as error:
            return from_rpc_error(error)
        finally:
            await opened.close()
        return None


@pytest.fixture
async def served(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Directory]:
    """A directory that knows callers by their certificates alone."""
    authority = Authority(tmp_path / "authority")
    own = authority.issue("directory.rollcall.svc", "localhost")
    settings = DirectorySettings(
        database_url=sqlite_url,
        address="127.0.0.1:0",
        nats_url="nats://127.0.0.1:1",
        public_url="https://scim.example.com",
        migrate=True,
        relay="none",
        tls_certificate_file=own.certificate,
        tls_key_file=own.key,
        tls_ca_file=authority.certificate,
        tls_identities=IDENTITIES,
        health_address="127.0.0.1:0",
    )
    server = DirectoryServer(settings)
    await server.start()
    try:
        yield Directory(server, authority, tmp_path)
    finally:
        await server.stop(grace=0)


async def test_a_certificate_says_who_calls_and_the_method_who_may(served: Directory) -> None:
    """SECURITY: "mTLS in production (certificate SAN → allowed methods, default deny)"."""
    admin = served.authority.issue("admin.rollcall.svc")
    assert await served.call("CreateWorkspace", admin) is None
    portal = served.authority.issue("portal.rollcall.svc", "URI:spiffe://rollcall/portal")
    assert await served.call("ListWorkspaces", portal) is None
    for identity, certificate in (
        ("portal", portal),
        ("gateway", served.authority.issue("gateway.rollcall.svc")),
    ):
        refused = await served.call("CreateWorkspace", certificate)
        assert refused is not None
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED"), identity


async def test_a_certificate_that_nobody_named_is_nobody(served: Directory) -> None:
    """Default deny: that the authority signed a certificate does not make its owner a caller."""
    known = served.authority.issue("somebody.rollcall.svc")
    for method in ("CreateWorkspace", "ListWorkspaces", "GetUser"):
        refused = await served.call(method, known)
        assert refused is not None
        assert refused.code is grpc.StatusCode.UNAUTHENTICATED, method
    refused = await served.call("ListWorkspaces", known, secret="a secret that was never given to anybody")
    assert refused is not None
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_caller_without_a_certificate_of_the_authority_has_no_connection(served: Directory) -> None:
    """A server that wants certificates ends the handshake of whoever has none, before any method is called."""
    for certificate in (None, served.stranger.issue("admin.rollcall.svc")):
        refused = await served.call("ListWorkspaces", certificate)
        assert refused is not None
        assert refused.code is grpc.StatusCode.UNAVAILABLE


async def test_a_client_does_not_talk_to_a_server_of_another_authority_or_name(served: Directory) -> None:
    """TLS holds both ways: what pretends to be the directory is sent nothing."""
    admin = served.authority.issue("admin.rollcall.svc")
    for authority, host in ((served.stranger, "localhost"), (served.authority, "ip6-localhost")):
        tls = channel_tls(authority=authority.certificate, certificate=admin.certificate, key=admin.key)
        options = [("grpc.ssl_target_name_override", host)]
        opened = channel(f"127.0.0.1:{served.server.port}", tls=tls, options=options)
        stub = connection_service_pb2_grpc.ConnectionServiceStub(opened)
        with pytest.raises(grpc.RpcError) as caught:
            await stub.ListWorkspaces(connections.ListWorkspacesRequest(), timeout=10)
        assert from_rpc_error(caught.value).code is grpc.StatusCode.UNAVAILABLE
        await opened.close()


async def test_probes_without_a_certificate_reach_health_and_nothing_else(served: Directory) -> None:
    """A probe of the kubelet has no certificate: it has a port of its own, on which there is health alone."""
    opened = channel(f"127.0.0.1:{served.server.health_port}")
    try:
        answer = await health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub = connection_service_pb2_grpc.ConnectionServiceStub(opened)
        with pytest.raises(grpc.RpcError) as caught:
            await stub.ListWorkspaces(connections.ListWorkspacesRequest(), timeout=10)
        assert from_rpc_error(caught.value).code is grpc.StatusCode.UNIMPLEMENTED
    finally:
        await opened.close()
