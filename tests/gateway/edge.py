"""What tests of the gateway are made of: the application in this process, and a directory that answers as it is told.

The scripted directory stands for one that fails: that breaks off, is slow, or says what the real one never should.
Everything that the real directory does is tested with the real one.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import unquote

import grpc
import httpx
from google.protobuf.message import Message
from grpc_health.v1 import health_pb2, health_pb2_grpc
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import directory_service_pb2_grpc

from chassis import scim_token
from chassis.errors import DomainError, status_metadata, to_status
from gateway.app import Deps, create_app
from gateway.directory import Directory
from gateway.limits import Buckets
from gateway.settings import GatewaySettings

CONNECTION = "0b9c9a3e-9d3f-4f5e-8f53-0a3a4d2c7a11"
SCIM = "application/scim+json"
ERROR_URN = "urn:ietf:params:scim:api:messages:2.0:Error"
USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
LIST_URN = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


def fresh_token() -> str:
    """A token that is well formed and of nobody."""
    return scim_token.issue(scim_token.new_token_id())[0]


def settings(target: str, **changes: Any) -> GatewaySettings:
    """Settings for a gateway in this process."""
    values: dict[str, Any] = {
        "address": "127.0.0.1:0",
        "directory_target": target,
        "credentials_file": "/nonexistent",
        "deadline_seconds": 20,
    }
    return GatewaySettings(**(values | changes))


@contextlib.asynccontextmanager
async def gateway(target: str, credential: str = "x" * 43, **changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway whose directory is at `target`; the base of its URLs is `/scim/v2/`."""
    directory = Directory(target, credential)
    await directory.start()
    app = create_app(Deps(settings(target, **changes), directory))
    transport = httpx.ASGITransport(as_sent(app), client=(changes.get("client_address", "192.0.2.7"), 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        yield client
    await directory.stop()


RAW_PATH = "x-test-raw-path"


def as_sent(app: Any) -> Any:
    """Give the application the path of the header RAW_PATH, where there is one: httpx resolves dot segments itself."""

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        for name, value in scope["headers"]:
            if name == RAW_PATH.encode():
                scope = {**scope, "raw_path": value, "path": unquote(value.decode())}
        await app(scope, receive, send)

    return wrapped


class Refused(DomainError):
    """An error of the directory, as a test wants it."""

    domain = "directory.rollcall"

    def __init__(self, code: grpc.StatusCode, reason: str, message: str = "") -> None:
        super().__init__(message)
        self.code = code  # type: ignore[misc]
        self.reason = reason  # type: ignore[misc]


Script = Callable[[Message], Any]


class ScriptedDirectory(directory_service_pb2_grpc.DirectoryServiceServicer):
    """A directory that answers every method by its script: a message, an exception, or an awaitable of either."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {"CheckToken": lambda request: pb.CheckTokenResponse()}
        self.calls: list[tuple[str, Message, Mapping[str, str]]] = []
        self.serving = True

    def __getattribute__(self, name: str) -> Any:
        if name[0].isupper():
            return self._unary(name) if name != "ListGroupMembers" else self._stream
        return super().__getattribute__(name)

    def _unary(self, name: str) -> Any:
        async def method(request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> Message:
            self.calls.append((name, request, dict(context.invocation_metadata() or ())))
            answer = self.scripts[name](request)
            if hasattr(answer, "__await__"):
                answer = await answer
            if isinstance(answer, Refused):
                status = to_status(answer, "r")
                context.set_trailing_metadata(status_metadata(status))
                await context.abort(answer.code, answer.message)
            if isinstance(answer, grpc.StatusCode):
                await context.abort(answer, "internal words: SELECT * FROM users")
            return answer

        return method

    async def _stream(self, request: Message, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Message]:
        self.calls.append(("ListGroupMembers", request, dict(context.invocation_metadata() or ())))
        for answer in self.scripts["ListGroupMembers"](request):
            if isinstance(answer, grpc.StatusCode):
                await context.abort(answer, "broken")
            yield answer

    def named(self) -> list[str]:
        """The methods that were called, in order."""
        return [name for name, _, _ in self.calls]


class _Health(health_pb2_grpc.HealthServicer):
    def __init__(self, directory: ScriptedDirectory) -> None:
        self._directory = directory

    async def Check(self, request: Any, context: Any) -> Any:
        serving = health_pb2.HealthCheckResponse.SERVING
        return health_pb2.HealthCheckResponse(
            status=serving if self._directory.serving else health_pb2.HealthCheckResponse.NOT_SERVING
        )


@contextlib.asynccontextmanager
async def scripted(directory: ScriptedDirectory) -> AsyncIterator[str]:
    """Serve a scripted directory; gives its target."""
    server = grpc.aio.server()
    directory_service_pb2_grpc.add_DirectoryServiceServicer_to_server(directory, server)
    health_pb2_grpc.add_HealthServicer_to_server(_Health(directory), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


def bearer(token: str) -> dict[str, str]:
    """The header that presents a token."""
    return {"Authorization": f"Bearer {token}"}


def assert_scim_error(response: httpx.Response, status: int, scim_type: str | None = None) -> str:
    """Check that a response is a SCIM error of this status and scimType (RFC 7644 §3.12); return its detail."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == SCIM
    body = json.loads(response.content)
    assert body["schemas"] == [ERROR_URN]
    assert body["status"] == str(status)
    assert body.get("scimType") == scim_type, body
    assert isinstance(body["detail"], str)
    assert body["detail"]
    assert response.headers["x-request-id"]
    return str(body["detail"])


def no_limits() -> Buckets:
    """Buckets that no other test has taken from."""
    return Buckets()
