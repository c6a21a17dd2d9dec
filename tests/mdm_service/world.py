"""The world around the MDM service, in tests: a directory, and a tenant whose users come and go."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from google.protobuf.message import Message
from rollcall.directory.v1 import (
    connection_service_pb2,
    connection_service_pb2_grpc,
    directory_service_pb2,
    directory_service_pb2_grpc,
    events_pb2,
    user_pb2,
)
from rollcall.mdm.v1 import mdm_service_pb2

from chassis.consumer import Event
from chassis.database import Database, Transaction
from chassis.outbox import table_of
from mdm_service import devices, employees, policies, provisioning, rules, tables
from mdm_service.directory import Directory
from mdm_service.errors import EmployeeNotFound


class DirectoryOfTests(
    connection_service_pb2_grpc.ConnectionServiceServicer, directory_service_pb2_grpc.DirectoryServiceServicer
):
    """Answers the reads of the directory that the MDM service makes, over real gRPC."""

    def __init__(self) -> None:
        self.target = ""
        self.forget()

    def forget(self) -> None:
        """Know nothing."""
        self.workspaces: dict[str, connection_service_pb2.Workspace] = {}
        self.connections: dict[str, connection_service_pb2.Connection] = {}
        self.snapshots: dict[str, list[directory_service_pb2.StreamSnapshotResponse]] = {}
        self.asked = 0

    async def GetWorkspace(
        self, request: connection_service_pb2.GetWorkspaceRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> connection_service_pb2.GetWorkspaceResponse:
        """A workspace by id or slug."""
        self.asked += 1
        for workspace in self.workspaces.values():
            if request.workspace in (workspace.workspace_id, workspace.slug):
                return connection_service_pb2.GetWorkspaceResponse(workspace=workspace)
        await context.abort(grpc.StatusCode.NOT_FOUND, "no such workspace")
        raise AssertionError("unreachable")

    async def GetConnection(
        self, request: connection_service_pb2.GetConnectionRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> connection_service_pb2.GetConnectionResponse:
        """A connection by id."""
        self.asked += 1
        if request.connection_id not in self.connections:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such connection")
        return connection_service_pb2.GetConnectionResponse(connection=self.connections[request.connection_id])

    async def ListConnections(
        self, request: connection_service_pb2.ListConnectionsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> connection_service_pb2.ListConnectionsResponse:
        """Every connection, two on a page."""
        start = int(request.page_token or 0)
        found = sorted(self.connections.values(), key=lambda item: item.connection_id)
        token = str(start + 2) if len(found) > start + 2 else ""
        return connection_service_pb2.ListConnectionsResponse(
            connections=found[start : start + 2], next_page_token=token
        )

    async def ListWorkspaces(
        self, request: connection_service_pb2.ListWorkspacesRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> connection_service_pb2.ListWorkspacesResponse:
        """Every workspace."""
        return connection_service_pb2.ListWorkspacesResponse(workspaces=self.workspaces.values())

    async def StreamSnapshot(
        self, request: directory_service_pb2.StreamSnapshotRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[directory_service_pb2.StreamSnapshotResponse]:
        """What a test said that a resource is; with an empty id every user of the connection that is there."""
        if not request.id:
            for _, responses in sorted(self.snapshots.items()):
                for response in responses:
                    if response.HasField("user") and response.user.connection_id == request.connection_id:
                        yield response
            return
        for response in self.snapshots.get(request.id, []):
            yield response


class Tenant:
    """A workspace with one MDM connection: its users as the directory has them, and what follows in the service."""

    def __init__(
        self, db: Database, directory: Directory, world: DirectoryOfTests, *, workspace_id: str, connection_id: str
    ) -> None:
        self.db = db
        self.directory = directory
        self.world = world
        self.workspace_id = workspace_id
        self.connection_id = connection_id
        self.users: dict[str, user_pb2.User] = {}
        self.clock = datetime.datetime(2026, 5, 4, 9, 0, tzinfo=datetime.UTC)

    # The directory ---------------------------------------------------------------------------------------------------

    def announce(self) -> None:
        """Let the directory have the workspace and the connection."""
        self.world.workspaces[self.workspace_id] = connection_service_pb2.Workspace(
            workspace_id=self.workspace_id, name="Acme", slug=f"acme-{self.workspace_id[:8]}"
        )
        self.world.connections[self.connection_id] = connection_service_pb2.Connection(
            connection_id=self.connection_id,
            workspace_id=self.workspace_id,
            portal=connection_service_pb2.PORTAL_MDM,
            state=connection_service_pb2.CONNECTION_STATE_ENABLED,
        )

    def second_connection(self) -> Tenant:
        """Another MDM connection of the same workspace."""
        other = Tenant(
            self.db,
            self.directory,
            self.world,
            workspace_id=self.workspace_id,
            connection_id=str(uuid.uuid4()),
        )
        other.announce()
        return other

    @property
    def origin(self) -> events_pb2.Origin:
        """Where the tenant's events come from."""
        return events_pb2.Origin(connection_id=self.connection_id, workspace_id=self.workspace_id, portal="MDM")

    def event(self, message: Any, *, kind: str, aggregate_id: str, version: int, repair: bool = False) -> Event:
        """An event as the consumer hands it to a handler; time goes on by a second."""
        self.clock += datetime.timedelta(seconds=1)
        return Event(
            id=str(uuid.uuid4()),
            type=message.DESCRIPTOR.full_name,
            time=self.clock,
            connection_id=message.origin.connection_id,
            aggregate_kind=kind,
            aggregate_id=aggregate_id,
            portal=message.origin.portal.lower(),
            version=version,
            sequence=version,
            request_id=f"request-{uuid.uuid4().hex}",
            traceparent="",
            message=message,
            repair=repair,
        )

    def user_event(self, message_type: type[Message], user: user_pb2.User) -> Event:
        """An event of a user, with the user as it is now."""
        message: Any = message_type()
        message.origin.CopyFrom(self.origin)
        message.user.CopyFrom(user)
        return self.event(message, kind="user", aggregate_id=user.id, version=user.version)

    async def handle(self, event: Event) -> Event:
        """Let the service act on an event, in one transaction."""
        handler = provisioning.HANDLERS[event.type][1]

        def unit(tx: Transaction) -> None:
            handler(tx, event)

        await self.db.write(unit)
        return event

    # Users -----------------------------------------------------------------------------------------------------------

    def new_user(
        self, name: str, *, email: str | None = None, active: bool = True, metadata: Mapping[str, Any] | None = None
    ) -> user_pb2.User:
        """A user that the directory has just created; without an e-mail address when `email` is empty."""
        user = user_pb2.User(
            id=str(uuid.uuid4()),
            connection_id=self.connection_id,
            user_name=name,
            display_name=name.title(),
            active=active,
            version=1,
        )
        address = f"{name}@acme.test" if email is None else email
        if address:
            user.emails.add(value=address, type="work", primary=True)
        if metadata:
            user.metadata.update(dict(metadata))
        self.users[user.id] = user
        return user

    async def create(self, name: str, **attributes: Any) -> user_pb2.User:
        """A user appears."""
        user = self.new_user(name, **attributes)
        await self.handle(self.user_event(events_pb2.UserCreated, user))
        return user

    async def change(self, user: user_pb2.User, message_type: type[Message]) -> Event:
        """The user changed: the event of the next version."""
        user.version += 1
        return await self.handle(self.user_event(message_type, user))

    async def update(self, user: user_pb2.User) -> Event:
        """Attributes of the user changed."""
        return await self.change(user, events_pb2.UserUpdated)

    async def deactivate(self, user: user_pb2.User) -> Event:
        """The user is deactivated."""
        user.active = False
        return await self.change(user, events_pb2.UserDeactivated)

    async def reactivate(self, user: user_pb2.User) -> Event:
        """The user is reactivated."""
        user.active = True
        return await self.change(user, events_pb2.UserReactivated)

    async def delete(self, user: user_pb2.User) -> Event:
        """The user is deleted."""
        del self.users[user.id]
        return await self.change(user, events_pb2.UserDeleted)

    # The service -----------------------------------------------------------------------------------------------------

    async def rule(self, behaviour: str = "", *, policy_id: str = "", create: bool = True) -> mdm_service_pb2.Rules:
        """Set the connection's rules: employees are created unless told otherwise."""
        on_deactivate = None
        if behaviour:
            on_deactivate = mdm_service_pb2.OnDeactivate()
            getattr(on_deactivate, behaviour).SetInParent()
            if policy_id:
                on_deactivate.change_policy.policy_id = policy_id
        on_create = mdm_service_pb2.ON_CREATE_CREATE_EMPLOYEE if create else mdm_service_pb2.ON_CREATE_NOTHING
        return await rules.update_rules(self.db, self.directory, self.connection_id, on_create, on_deactivate)

    async def policy(self, name: str) -> str:
        """Create a policy; answers its id."""
        return (await policies.create_policy(self.db, self.directory, self.workspace_id, name)).policy_id

    async def enroll(self, serial: str, *, owner: str = "", policy_id: str = "") -> mdm_service_pb2.Device:
        """Enroll a device."""
        return await devices.enroll_device(
            self.db,
            self.directory,
            self.workspace_id,
            serial=serial,
            name=f"{serial} of {owner or 'nobody'}",
            platform="macos",
            policy_id=policy_id,
            owner_email=owner,
        )

    async def device(self, device: str) -> mdm_service_pb2.Device:
        """Read a device by id or serial number."""
        return await devices.get_device(self.db, self.directory, self.workspace_id, device)

    async def assign(self, device_id: str, email: str) -> mdm_service_pb2.Device:
        """Give a device to an employee."""
        return await devices.assign_device(self.db, self.directory, self.workspace_id, device_id, email)

    async def commands(self, device_id: str) -> list[mdm_service_pb2.DeviceCommand]:
        """List a device's commands, oldest first."""
        found, _ = await devices.list_device_commands(self.db, self.directory, self.workspace_id, device_id, 200, "")
        return found[::-1]

    async def employee(self, email: str) -> mdm_service_pb2.Employee | None:
        """Read an employee; None: there is none."""
        try:
            return await employees.get_employee(self.db, self.directory, self.workspace_id, email)
        except EmployeeNotFound:
            return None

    async def effects(self, event: Event | None = None) -> list[dict[str, Any]]:
        """Read the effects of an event, or of all events of the workspace, in the order in which they were made."""
        table = table_of(tables.Effect)
        statement = table.select().where(table.c.workspace_id == self.workspace_id).order_by(table.c.effect_id)
        if event is not None:
            statement = statement.where(table.c.event_id == event.id)
        rows = await self.db.read(lambda tx: tx.execute(statement).mappings().all())
        return [dict(row) for row in rows]

    async def summary(self, event: Event | None = None) -> list[tuple[str, str, str, str]]:
        """The effects as (action, target's name, outcome, reason)."""
        return [
            (
                effect["action"],
                effect["target_name"],
                effect["outcome"],
                effect["reason"],
            )
            for effect in await self.effects(event)
        ]
