"""What the tests work with: events as the directory publishes them, and a desk that applies them."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import orjson
import sqlalchemy as sa
from google.protobuf.message import Message
from rollcall.directory.v1 import (
    connection_service_pb2,
    connection_service_pb2_grpc,
    directory_service_pb2,
    directory_service_pb2_grpc,
    events_pb2,
)
from rollcall.directory.v1.group_pb2 import MEMBER_TYPE_GROUP, MEMBER_TYPE_USER, Group, Member
from rollcall.directory.v1.user_pb2 import MultiValue, User
from rollcall.portal.v1 import portal_service_pb2 as pb

from chassis.consumer import Event
from chassis.database import Database, Transaction
from portal_service import collaborators, provisioning, publications, reviews, rules, tables
from portal_service.directory import Directory
from portal_service.workspaces import Workspaces

MORNING = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
WORKSPACE = "workspace-1"

_numbers = itertools.count(1)


def table(name: str) -> sa.Table:
    """One of the service's tables."""
    return tables.PortalTable.metadata.tables[name]


class Connection:
    """One SCIM connection as its events tell of it: `Origin` and the kinds of messages."""

    def __init__(self, portal: str, connection_id: str = "", workspace_id: str = WORKSPACE) -> None:
        self.connection_id = connection_id or f"{portal.lower()}-connection"
        self.origin = events_pb2.Origin(connection_id=self.connection_id, workspace_id=workspace_id, portal=portal)

    def user(
        self,
        user_id: str,
        *,
        email: str | None = None,
        active: bool = True,
        name: str = "",
        metadata: Mapping[str, Any] | None = None,
        version: int = 1,
    ) -> User:
        """A user; `email` None: `<id>@example.com`, empty: none at all."""
        address = f"{user_id}@example.com" if email is None else email
        user = User(
            id=user_id,
            connection_id=self.connection_id,
            user_name=f"name of {user_id}",
            display_name=name,
            active=active,
            emails=[MultiValue(value=address, primary=True)] if address else [],
            version=version,
        )
        if metadata:
            user.metadata.update(dict(metadata))
        return user

    def group(self, group_id: str, name: str) -> Group:
        """A group without members."""
        return Group(id=group_id, connection_id=self.connection_id, display_name=name)

    def event(self, kind: type[Message], **fields: Any) -> Message:
        """An event of this connection."""
        return kind(origin=self.origin, **fields)

    def created(self, user: User) -> Message:
        """The user appeared."""
        return self.event(events_pb2.UserCreated, user=user)

    def updated(self, user: User) -> Message:
        """The user changed."""
        return self.event(events_pb2.UserUpdated, user=user)

    def deactivated(self, user: User) -> Message:
        """The user was deactivated."""
        gone = User()
        gone.CopyFrom(user)
        gone.active = False
        return self.event(events_pb2.UserDeactivated, user=gone)

    def reactivated(self, user: User) -> Message:
        """The user was reactivated."""
        return self.event(events_pb2.UserReactivated, user=user)

    def deleted(self, user: User) -> Message:
        """The user was deleted."""
        return self.event(events_pb2.UserDeleted, user=user)

    def group_created(self, group: Group) -> Message:
        """The group appeared."""
        return self.event(events_pb2.GroupCreated, group=group)

    def renamed(self, group: Group, name: str) -> Message:
        """The group got another name."""
        return self.event(events_pb2.GroupUpdated, group=self.group(group.id, name))

    def members(
        self,
        group: Group,
        added: Iterable[str] = (),
        removed: Iterable[str] = (),
        added_groups: Iterable[str] = (),
        removed_groups: Iterable[str] = (),
    ) -> Message:
        """The group's membership changed."""
        return self.event(
            events_pb2.GroupMembersChanged,
            group=group,
            added=[Member(value=value, type=MEMBER_TYPE_USER) for value in added]
            + [Member(value=value, type=MEMBER_TYPE_GROUP) for value in added_groups],
            removed=[Member(value=value) for value in removed]
            + [Member(value=value, type=MEMBER_TYPE_GROUP) for value in removed_groups],
        )

    def group_deleted(self, group: Group) -> Message:
        """The group was deleted."""
        return self.event(events_pb2.GroupDeleted, group=group)


def envelope(
    message: Any, *, at: datetime = MORNING, event_id: str = "", repair: bool = False, version: int = 0
) -> Event:
    """The event as the consumer hands it to a handler."""
    kind, aggregate_id = "connection", message.origin.connection_id
    if "user" in message.DESCRIPTOR.fields_by_name:
        kind, aggregate_id = "user", message.user.id
    elif "group" in message.DESCRIPTOR.fields_by_name:
        kind, aggregate_id = "group", message.group.id
    elif not aggregate_id:
        kind, aggregate_id = "workspace", message.origin.workspace_id
    return Event(
        id=event_id or str(uuid.uuid4()),
        type=message.DESCRIPTOR.full_name,
        time=at,
        connection_id=message.origin.connection_id,
        aggregate_kind=kind,
        aggregate_id=aggregate_id,
        portal=message.origin.portal.lower(),
        version=version or next(_numbers),
        sequence=1,
        request_id="request-1",
        traceparent="",
        message=message,
        repair=repair,
    )


def apply(tx: Transaction, event: Event) -> None:
    """Runs the handler that the event's name selects."""
    _, handler = provisioning.HANDLERS[event.type]
    handler(tx, event)


class Desk:
    """The portal service over a real database, without the network: events in, use cases called, rows looked at."""

    def __init__(self, db: Database, directory: Directory) -> None:
        self.db = db
        self.directory = directory
        self.workspaces = Workspaces(db, directory)
        self.reviewer = reviews.RoleReviewer(db)
        self.dashboard = Connection("DASHBOARD")
        self.store = Connection("STORE")

    async def take(self, *messages: Message, at: datetime = MORNING, event_id: str = "") -> None:
        """Applies events in order, each in a transaction of its own."""
        for message in messages:
            event = envelope(message, at=at, event_id=event_id)
            await self.db.write(lambda tx, event=event: apply(tx, event))

    async def open(self, connection: Connection, **stated: Any) -> pb.Rules:
        """Enables a connection and sets rules: `on_create=True` and so on, the rest as UpdateRules has it."""
        await self.take(connection.event(events_pb2.ConnectionEnabled))
        return await self.rule(connection, **stated)

    async def rule(self, connection: Connection, **stated: Any) -> pb.Rules:
        """Sets rules; see `open`."""
        dashboard = connection.origin.portal == "DASHBOARD"
        create = pb.ON_CREATE_CREATE_COLLABORATOR if dashboard else pb.ON_CREATE_CREATE_EMPLOYEE
        remove = pb.ON_DEACTIVATE_REMOVE_COLLABORATOR if dashboard else pb.ON_DEACTIVATE_REMOVE_EMPLOYEE
        choices = {True: create, False: pb.ON_CREATE_NOTHING, None: pb.ON_CREATE_UNSPECIFIED}
        removals = {True: remove, False: pb.ON_DEACTIVATE_NOTHING, None: pb.ON_DEACTIVATE_UNSPECIFIED}
        period = stated.get("settling_period")
        request = pb.UpdateRulesRequest()
        if period is not None:
            request.settling_period.FromTimedelta(period)
        return await rules.update_rules(
            self.db,
            self.workspaces,
            self.reviewer,
            connection.connection_id,
            on_create=choices[stated.get("on_create")],
            on_deactivate=removals[stated.get("on_deactivate")],
            default_role=stated.get("default_role", 0),
            role_mode=stated.get("role_mode", 0),
            settling_period=None if period is None else request.settling_period,
        )

    async def map_role(self, group: str, role: int) -> pb.Rules:
        """Maps a group on the dashboard connection."""
        return await rules.map_role(
            self.db, self.workspaces, self.reviewer, self.dashboard.connection_id, group=group, role=role
        )

    async def add(self, email: str, role: int = pb.ROLE_ADMIN) -> pb.Collaborator:
        """Adds a collaborator by hand."""
        return await collaborators.create_collaborator(
            self.db, self.workspaces, WORKSPACE, email=email, role=role, display_name=""
        )

    async def review(self, at: datetime = MORNING) -> None:
        """Works off every review of roles."""
        while (connection_id := await self.db.read(reviews.repository.find_review)) is not None:
            await self.db.write(lambda tx, found=connection_id: reviews.review_chunk(tx, found, at))

    async def publish(self, name: str, *audience: str) -> pb.Publication:
        """Offers an app."""
        return await publications.create_publication(
            self.db, self.workspaces, self.directory, WORKSPACE, name=name, audience=audience
        )

    async def visible(self, email: str) -> list[str]:
        """The names of what an employee sees."""
        seen = await publications.list_visible_publications(self.db, self.workspaces, WORKSPACE, email)
        return [publication.name for publication in seen]

    async def rows(self, name: str) -> list[dict[str, Any]]:
        """Every row of a table in the order of its key."""
        source = table(name)
        order = list(source.primary_key)
        return await self.db.read(
            lambda tx: [dict(row._mapping) for row in tx.execute(sa.select(source).order_by(*order))]
        )

    async def roles(self) -> dict[str, tuple[str, str]]:
        """Collaborators: e-mail to role and source."""
        return {
            row["email"]: (
                pb.Role.Name(row["role"]).removeprefix("ROLE_"),
                pb.RoleSource.Name(row["role_source"]).removeprefix("ROLE_SOURCE_"),
            )
            for row in await self.rows("collaborators")
        }

    async def employees(self) -> set[str]:
        """The e-mail addresses of the employees."""
        return {row["email"] for row in await self.rows("employees")}

    async def effects(self) -> list[tuple[str, str, str]]:
        """Effects in order: action, outcome, reason."""
        return [(row["action"], row["outcome"], row["reason"]) for row in await self.rows("effects")]

    async def last_effect(self) -> dict[str, Any]:
        """The newest effect, with `before` and `after` as values."""
        row = (await self.rows("effects"))[-1]
        return row | {side: orjson.loads(row[side]) if row[side] else None for side in ("before", "after")}


def later(**duration: float) -> datetime:
    """A moment after the morning on which everything begins."""
    return MORNING + timedelta(**duration)


class RecordedDirectory(
    connection_service_pb2_grpc.ConnectionServiceServicer, directory_service_pb2_grpc.DirectoryServiceServicer
):
    """A directory that knows what a test put into it, behind a real gRPC port."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know nothing."""
        self.workspaces: dict[str, str] = {}
        self.connections: dict[str, connection_service_pb2.Connection] = {}
        self.groups: list[Group] = []
        self.snapshots: dict[str, list[directory_service_pb2.StreamSnapshotResponse]] = {}
        self.questions: list[str] = []
        self.failing = False

    async def _ask(self, question: str, context: Any) -> None:
        self.questions.append(question)
        if self.failing:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "down")

    async def GetWorkspace(self, request: Any, context: Any) -> Any:
        await self._ask(f"workspace {request.workspace}", context)
        for workspace_id, slug in self.workspaces.items():
            if request.workspace in (workspace_id, slug):
                workspace = connection_service_pb2.Workspace(workspace_id=workspace_id, slug=slug)
                return connection_service_pb2.GetWorkspaceResponse(workspace=workspace)
        return await context.abort(grpc.StatusCode.NOT_FOUND, "no such workspace")

    async def GetConnection(self, request: Any, context: Any) -> Any:
        await self._ask(f"connection {request.connection_id}", context)
        found = self.connections.get(request.connection_id)
        if found is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such connection")
        return connection_service_pb2.GetConnectionResponse(connection=found)

    async def ListConnections(self, request: Any, context: Any) -> Any:
        await self._ask(f"connections of {request.workspace_id}", context)
        # One connection per page, so that whoever does not turn pages finds too few.
        wanted = request.workspace_id
        mine = [item for item in self.connections.values() if wanted in ("", item.workspace_id)]
        start = int(request.page_token or 0)
        token = str(start + 1) if start + 1 < len(mine) else ""
        return connection_service_pb2.ListConnectionsResponse(
            connections=mine[start : start + 1], next_page_token=token
        )

    async def ListWorkspaces(self, request: Any, context: Any) -> Any:
        await self._ask("workspaces", context)
        workspaces = [connection_service_pb2.Workspace(workspace_id=workspace_id) for workspace_id in self.workspaces]
        return connection_service_pb2.ListWorkspacesResponse(workspaces=workspaces)

    async def ListGroups(self, request: Any, context: Any) -> Any:
        await self._ask(f"groups where {request.filter}", context)
        name = request.filter.removeprefix("displayName eq ")
        wanted = orjson.loads(name).casefold()
        found = [
            group
            for group in self.groups
            if group.connection_id == request.connection_id and group.display_name.casefold() == wanted
        ]
        return directory_service_pb2.ListGroupsResponse(groups=found, total_size=len(found))

    async def StreamSnapshot(self, request: Any, context: Any) -> Any:
        await self._ask(f"snapshot {request.id}", context)
        if not request.id:
            for item in self.snapshot_of_all(request.connection_id, request.kind):
                yield item
            return
        if request.id not in self.snapshots:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such connection")
        for item in self.snapshots[request.id]:
            yield item

    def snapshot_of_all(self, connection_id: str, kind: int) -> Any:
        """Every user or group of a connection, in the order of their ids, without what is gone."""
        field = directory_service_pb2.ResourceKind.Name(kind).removeprefix("RESOURCE_KIND_").lower()
        for _, items in sorted(self.snapshots.items()):
            for item in items:
                resource = item.user if field == "user" else item.group.group
                if item.HasField(field) and resource.connection_id == connection_id:
                    yield item
