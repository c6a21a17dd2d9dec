"""What tests of the directory are made of: a server in this process, its callers, and what it wrote."""

import dataclasses
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import sqlalchemy as sa
from google.protobuf import json_format
from rollcall.directory.v1 import (
    connection_service_pb2 as connections_pb,
)
from rollcall.directory.v1 import (
    connection_service_pb2_grpc,
    directory_service_pb2_grpc,
    events_pb2,
    group_pb2,
    user_pb2,
)
from rollcall.directory.v1 import directory_service_pb2 as pb

from chassis.auth import generate_credentials
from chassis.database import Transaction
from chassis.errors import RpcFailure, from_rpc_error
from chassis.grpc_client import channel
from chassis.request_context import RequestContext, request_context
from directory_service.repository import users
from directory_service.server import DirectoryServer
from directory_service.settings import DirectorySettings
from directory_service.tables import METADATA, OUTBOX

PUBLIC_URL = "https://scim.example.com"
NAMES = ("admin", "console", "gateway", "portal", "mdm")


class Caller:
    """Somebody who calls the directory: an identity, and for the gateway a SCIM token. Failures are RpcFailure."""

    def __init__(self, channel: grpc.aio.Channel, *, token: str = "") -> None:
        self._directory = directory_service_pb2_grpc.DirectoryServiceStub(channel)
        self._connections = connection_service_pb2_grpc.ConnectionServiceStub(channel)
        self._metadata = (("rollcall-scim-token", token),) if token else ()

    async def call(self, method: str, request: Any) -> Any:
        """Call a method of either service with one response."""
        stub = self._directory if hasattr(self._directory, method) else self._connections
        try:
            return await getattr(stub, method)(request, metadata=self._metadata, timeout=30)
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def stream(self, method: str, request: Any) -> list[Any]:
        """Call a method that streams, and return all that comes."""
        try:
            return [
                item async for item in getattr(self._directory, method)(request, metadata=self._metadata, timeout=30)
            ]
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error) from None

    async def refused(self, method: str, request: Any) -> RpcFailure:
        """Call a method that must be refused, and return the refusal."""
        try:
            response = await (self.stream if method in STREAMS else self.call)(method, request)
        except RpcFailure as failure:
            return failure
        raise AssertionError(f"{method} was not refused: {response}")

    # Users

    async def create(self, user_name: str, **fields: Any) -> user_pb2.User:
        """Create a user."""
        response = await self.call("CreateUser", pb.CreateUserRequest(user=user(user_name, **fields)))
        return response.user

    async def get(self, user_id: str, *, include_groups: bool = False) -> user_pb2.User:
        """Read a user."""
        return (await self.call("GetUser", pb.GetUserRequest(id=user_id, include_groups=include_groups))).user

    async def update(self, changed: user_pb2.User, **fields: Any) -> user_pb2.User:
        """Replace a user."""
        return (await self.call("UpdateUser", pb.UpdateUserRequest(user=changed, **fields))).user

    async def patch(self, user_id: str, *operations: pb.PatchOperation, **fields: Any) -> user_pb2.User:
        """Patch a user."""
        request = pb.PatchUserRequest(id=user_id, operations=operations, **fields)
        return (await self.call("PatchUser", request)).user

    async def delete(self, user_id: str, **fields: Any) -> None:
        """Delete a user."""
        await self.call("DeleteUser", pb.DeleteUserRequest(id=user_id, **fields))

    async def find(self, filter: str = "", **fields: Any) -> list[str]:
        """Return the userNames of a page of users."""
        response = await self.call("ListUsers", pb.ListUsersRequest(filter=filter, **fields))
        return [found.user_name for found in response.users]

    # Groups

    async def create_group(self, display_name: str, *members: str, **fields: Any) -> group_pb2.Group:
        """Create a group with members by value."""
        request = pb.CreateGroupRequest(group=group_pb2.Group(display_name=display_name, **fields))
        request.members.members.extend(group_pb2.Member(value=value) for value in members)
        return (await self.call("CreateGroup", request)).group

    async def group(self, group_id: str) -> group_pb2.Group:
        """Read a group with its members."""
        return (await self.call("GetGroup", pb.GetGroupRequest(id=group_id, include_members=True))).group

    async def put_group(
        self, group: group_pb2.Group, members: list[str] | None = None, **fields: Any
    ) -> group_pb2.Group:
        """Replace a group; members None leaves them alone."""
        request = pb.UpdateGroupRequest(group=group, **fields)
        if members is not None:
            request.members.members.extend(group_pb2.Member(value=value) for value in members)
            request.members.SetInParent()
        return (await self.call("UpdateGroup", request)).group

    async def patch_group(self, group_id: str, *operations: pb.PatchOperation, **fields: Any) -> group_pb2.Group:
        """Patch a group, and return it with its members."""
        request = pb.PatchGroupRequest(id=group_id, operations=operations, include_members=True, **fields)
        return (await self.call("PatchGroup", request)).group

    async def parked(self, group_id: str = "", connection_id: str = "") -> list[str]:
        """Return the parked values."""
        request = pb.ListParkedMembersRequest(connection_id=connection_id, group_id=group_id)
        return [parked.value for parked in (await self.call("ListParkedMembers", request)).parked_members]


STREAMS = frozenset({"ListGroupMembers", "StreamSnapshot", "ReplayEvents"})


@dataclasses.dataclass
class World:
    """A running directory."""

    server: DirectoryServer
    secrets: dict[str, str]
    channels: dict[str, grpc.aio.Channel]
    workspaces: int = 0

    @property
    def admin(self) -> Caller:
        """The administrator."""
        return self.identity("admin")

    def identity(self, name: str) -> Caller:
        """A service, or the administrator."""
        return Caller(self.channels[name])

    def scim(self, token: str) -> Caller:
        """The gateway with a SCIM token."""
        return Caller(self.channels["gateway"], token=token)

    async def connect(self, portal: int = connections_pb.PORTAL_DASHBOARD) -> "Connected":
        """Make a workspace with a connection."""
        self.workspaces += 1
        name = f"Acme {self.workspaces}"
        workspace = (
            await self.admin.call("CreateWorkspace", connections_pb.CreateWorkspaceRequest(name=name))
        ).workspace
        return await self.connect_to(workspace.workspace_id, portal)

    async def connect_to(self, workspace_id: str, portal: int) -> "Connected":
        """Make a connection in a workspace."""
        request = connections_pb.CreateConnectionRequest(workspace_id=workspace_id, portal=portal)
        created = await self.admin.call("CreateConnection", request)
        return Connected(
            id=created.connection.connection_id,
            workspace_id=workspace_id,
            token=created.token,
            token_id=created.token_id,
            scim=self.scim(created.token),
        )

    async def rows(self, statement: Any) -> list[Any]:
        """Read rows of the database."""
        return await self.server.db.read(lambda tx: list(tx.execute(statement).all()))

    async def fill_users(self, connection_id: str, count: int) -> list[str]:
        """Store many users without events, for tests of large groups, and return their ids."""
        ids = [str(uuid.uuid4()) for _ in range(count)]

        def unit(tx: Transaction) -> None:
            for number, user_id in enumerate(ids):
                document = {"userName": f"{number}@many", "active": True}
                users.insert_user(
                    tx, connection_id, user_id=user_id, document=document, metadata={}, mapping_generation=1, now_ms=0
                )

        await self.server.db.write(unit)
        return ids

    async def events(self, connection_id: str) -> list[Any]:
        """Return the messages of a connection's events, in order, having checked what holds for every event."""
        rows = await self.rows(
            sa.select(OUTBOX).where(OUTBOX.c.connection_id == connection_id).order_by(OUTBOX.c.sequence)
        )
        assert [row.sequence for row in rows] == list(range(1, len(rows) + 1))
        versions: dict[str, int] = {}
        messages = []
        for row in rows:
            assert row.version == versions.get(row.aggregate_id, 0) + 1, row.type
            versions[row.aggregate_id] = row.version
            message = getattr(events_pb2, row.type.rpartition(".")[2]).FromString(row.payload)
            assert message.origin.connection_id == connection_id
            for part in ("user", "group"):
                if part in message.DESCRIPTOR.fields_by_name:
                    assert getattr(message, part).version == row.version
            messages.append(message)
        return messages

    async def kinds(self, connection_id: str) -> list[str]:
        """Return the names of a connection's events after the first, which is its own."""
        first, *rest = [type(message).__name__ for message in await self.events(connection_id)]
        assert first == "ConnectionEnabled"
        return rest


@dataclasses.dataclass
class Connected:
    """A connection, its first token, and the gateway calling with it."""

    id: str
    workspace_id: str
    token: str
    token_id: str
    scim: Caller


def settings(database_url: str, directory: Path, **changes: Any) -> DirectorySettings:
    """Settings of a directory that publishes nothing, with its files in a directory."""
    credentials = directory / "credentials.json"
    if not credentials.exists():
        generate_credentials(credentials, NAMES)
    values: dict[str, Any] = {
        "database_url": database_url,
        "address": "127.0.0.1:0",
        "nats_url": "nats://127.0.0.1:1",
        "credentials_file": credentials,
        "public_url": PUBLIC_URL,
        "migrate": True,
        "relay": "none",
        "grace_seconds": 1.0,
    }
    return DirectorySettings(**(values | changes))


@asynccontextmanager
async def running(configuration: DirectorySettings) -> AsyncIterator[World]:
    """Run a directory."""
    server = DirectoryServer(configuration)
    await server.start()
    secrets = json.loads(configuration.credentials_file.read_text())
    channels = {name: channel(f"127.0.0.1:{server.port}", credential=secret) for name, secret in secrets.items()}
    try:
        yield World(server, secrets, channels)
    finally:
        for opened in channels.values():
            await opened.close()
        await server.stop(grace=0)


@asynccontextmanager
async def as_request(request_id: str, request: str) -> AsyncIterator[None]:
    """Call on behalf of a request."""
    token = request_context.set(RequestContext(request_id=request_id, request=request))
    try:
        yield
    finally:
        request_context.reset(token)


def user(user_name: str, **fields: Any) -> user_pb2.User:
    """A user as a caller sends it."""
    return user_pb2.User(user_name=user_name, **fields)


def email(value: str, *, type: str = "work", primary: bool | None = None) -> user_pb2.MultiValue:
    """An e-mail address."""
    return user_pb2.MultiValue(value=value, type=type, primary=primary)


def operation(op: str, path: str | None = None, value: Any = dataclasses.MISSING) -> pb.PatchOperation:
    """An operation of a PATCH."""
    message = pb.PatchOperation(op=pb.PatchOp.Value(f"PATCH_OP_{op.upper()}"))
    if path is not None:
        message.path = path
    if value is not dataclasses.MISSING:
        message.value = json.dumps(value)
    return message


def values(group: group_pb2.Group) -> list[str]:
    """The ids of the members shown in a group."""
    return [member.value for member in group.members]


def plain(message: Any) -> Any:
    """A message as a dict, for comparison in assertions that explain themselves."""
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


ALL_TABLES = METADATA.sorted_tables
