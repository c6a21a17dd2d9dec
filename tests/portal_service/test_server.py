"""The whole service in one process: gRPC, identities, events over a real NATS, migrations."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import nats
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from google.protobuf.message import Message
from nats.js.errors import NoStreamResponseError
from rollcall.delivery.v1 import delivery_service_pb2, delivery_service_pb2_grpc
from rollcall.directory.v1 import directory_service_pb2, events_pb2
from rollcall.portal.v1 import errors_pb2 as portal_errors_pb2
from rollcall.portal.v1 import portal_service_pb2 as pb
from rollcall.portal.v1 import portal_service_pb2_grpc

from chassis.auth import generate_credentials
from chassis.errors import from_rpc_error
from chassis.grpc_client import channel
from chassis.migrations import upgrade
from portal_service import errors
from portal_service.access import SERVICES, method_policy
from portal_service.server import PortalServer
from portal_service.settings import PortalSettings
from portal_service.tables import MIGRATIONS, PortalTable
from tests.conftest import NatsServer, eventually
from tests.portal_service.desk import MORNING, WORKSPACE, Connection, RecordedDirectory, envelope

NAMES = ("admin", "gateway", "portal", "mdm")


class Service:
    """A running service and how to reach it."""

    def __init__(self, server: PortalServer, credentials: dict[str, str], nats_url: str) -> None:
        self.server = server
        self.credentials = credentials
        self.nats_url = nats_url

    def channel(self, name: str | None = "admin") -> grpc.aio.Channel:
        """A channel that identifies itself as `name`."""
        return channel(f"127.0.0.1:{self.server.port}", credential=self.credentials[name] if name else None)

    async def publish(self, connection: Connection, message: Any, version: int, event_id: str) -> None:
        """Publishes an event as the directory's relay does."""
        event = envelope(message, version=version, event_id=event_id)
        action = message.DESCRIPTOR.name.lower()
        subject = (
            f"directory.v1.3.{connection.origin.portal.lower()}.{event.aggregate_kind}.{action}"
            f".{connection.connection_id}.{event.aggregate_id}"
        )
        headers = {
            "ce-id": event_id,
            "ce-type": event.type,
            "ce-source": "test",
            "ce-time": MORNING.isoformat(),
            "ce-subject": f"{event.aggregate_kind}/{event.aggregate_id}",
            "rollcall-request-id": "request-9",
            "rollcall-version": str(version),
            "rollcall-sequence": "1",
        }
        client = await nats.connect(self.nats_url)

        async def is_published() -> bool:
            try:
                await client.jetstream().publish(subject, message.SerializeToString(), headers=headers)
            except NoStreamResponseError:
                # The service creates the stream in the background.
                return False
            return True

        try:
            await eventually(is_published)
        finally:
            await client.close()


@pytest.fixture
async def service(
    schema_url: str, directory_target: str, nats_server: NatsServer, tmp_path: Path
) -> AsyncIterator[Service]:
    """The service on a fresh database, with a real NATS and a directory to ask."""
    credentials = generate_credentials(tmp_path / "credentials.json", NAMES)
    settings = PortalSettings(
        database_url=schema_url,
        address="127.0.0.1:0",
        port_file=tmp_path / "port",
        nats_url=nats_server.url,
        credentials_file=tmp_path / "credentials.json",
        directory_target=directory_target,
        provision_streams=True,
        grace_seconds=1,
        readers=1,
    )
    server = PortalServer(settings)
    await server.start()
    try:
        assert (tmp_path / "port").read_text() == f"{server.port}\n"
        yield Service(server, credentials, nats_server.url)
    finally:
        await server.stop()


async def refusal(call: Any) -> tuple[grpc.StatusCode, str, str | None]:
    """Code, reason and field of a refused call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    failure = from_rpc_error(caught.value)
    return failure.code, failure.reason, failure.field


async def test_a_day_of_an_administrator(service: Service, recorded: RecordedDirectory) -> None:
    """The contract as a whole: rules, collaborators, publications, effects, over gRPC and real events."""
    recorded.workspaces[WORKSPACE] = "slug"
    dashboard, store = Connection("DASHBOARD"), Connection("STORE")
    async with service.channel() as open_channel:
        portal = portal_service_pb2_grpc.PortalServiceStub(open_channel)
        delivery = delivery_service_pb2_grpc.DeliveryServiceStub(open_channel)
        for number, connection in enumerate((dashboard, store)):
            await service.publish(connection, connection.event(events_pb2.ConnectionEnabled), 1, f"enabled-{number}")
        await portal.CreateCollaborator(
            pb.CreateCollaboratorRequest(workspace_id=WORKSPACE, email="boss@example.com", role=pb.ROLE_ADMIN)
        )

        async def known() -> bool:
            try:
                await portal.GetRules(pb.GetRulesRequest(connection_id=store.connection_id))
            except grpc.aio.AioRpcError:
                return False
            return True

        await eventually(known)
        request = pb.UpdateRulesRequest(
            connection_id=dashboard.connection_id,
            on_create=pb.ON_CREATE_CREATE_COLLABORATOR,
            on_deactivate=pb.ON_DEACTIVATE_REMOVE_COLLABORATOR,
            role_mode=pb.ROLE_MODE_CONTINUOUS,
        )
        await portal.UpdateRules(request)
        await portal.UpdateRules(
            pb.UpdateRulesRequest(connection_id=store.connection_id, on_create=pb.ON_CREATE_CREATE_EMPLOYEE)
        )
        for connection in (dashboard, store):
            user, group = connection.user(f"ada-{connection.origin.portal}", email="ada@example.com"), None
            group = connection.group(f"g-{connection.origin.portal}", "Team")
            events: list[tuple[Message, int]] = [
                (connection.created(user), 1),
                (connection.group_created(group), 1),
                (connection.members(group, [user.id]), 2),
            ]
            for message, version in events:
                name = f"{message.DESCRIPTOR.name}-{connection.connection_id}"
                await service.publish(connection, message, version, name)

        async def hired() -> bool:
            listed = await portal.ListEmployees(pb.ListEmployeesRequest(workspace_id=WORKSPACE))
            return [item.email for item in listed.employees] == ["ada@example.com"]

        await eventually(hired)
        await eventually(lambda: service.server.consumer.counters["applied"] >= 8)
        published = await portal.CreatePublication(
            pb.CreatePublicationRequest(workspace_id=WORKSPACE, name="CRM", audience=["team"])
        )

        async def sees() -> bool:
            allowed = await portal.CheckPublicationAccess(
                pb.CheckPublicationAccessRequest(
                    workspace_id=WORKSPACE,
                    publication_id=published.publication.publication_id,
                    email="ada@example.com",
                )
            )
            return bool(allowed.allowed)

        await eventually(sees)
        await portal.MapRole(
            pb.MapRoleRequest(connection_id=dashboard.connection_id, group="team", role=pb.ROLE_EDITOR)
        )

        async def reviewed() -> bool:
            found = await portal.GetCollaborator(
                pb.GetCollaboratorRequest(workspace_id=WORKSPACE, email="ada@example.com")
            )
            return bool(found.collaborator.role == pb.ROLE_EDITOR)

        await eventually(reviewed)
        listed = await delivery.ListEffects(delivery_service_pb2.ListEffectsRequest(workspace_id=WORKSPACE))
        assert {(effect.action, effect.request_id) for effect in listed.effects if effect.action != "SET_ROLE"} == {
            ("CREATE_COLLABORATOR", "request-9"),
            ("CREATE_EMPLOYEE", "request-9"),
        }
        assert await refusal(
            portal.DeleteCollaborator(pb.DeleteCollaboratorRequest(workspace_id=WORKSPACE, email="boss@example.com"))
        ) == (grpc.StatusCode.FAILED_PRECONDITION, "LAST_ADMIN", None)
        assert await refusal(
            portal.UnmapRole(pb.UnmapRoleRequest(connection_id=dashboard.connection_id, group="nobody"))
        ) == (grpc.StatusCode.NOT_FOUND, "ROLE_MAPPING_NOT_FOUND", "group")


async def test_an_event_delivered_again_changes_nothing(service: Service) -> None:
    """DELIVERY: "Delivery is at least once; **effects happen once**"."""
    dashboard = Connection("DASHBOARD")
    created = dashboard.created(dashboard.user("ada"))
    await service.publish(dashboard, created, 1, "first")
    await service.publish(dashboard, created, 1, "second")
    await service.publish(dashboard, dashboard.deleted(dashboard.user("ada")), 2, "third")
    await service.publish(dashboard, created, 1, "fourth")
    consumer = service.server.consumer
    await eventually(lambda: consumer.counters["applied"] + consumer.counters["covered"] == 4)
    async with service.channel() as open_channel:
        delivery = delivery_service_pb2_grpc.DeliveryServiceStub(open_channel)
        listed = await delivery.ListEffects(delivery_service_pb2.ListEffectsRequest(workspace_id=WORKSPACE))
    assert [effect.event_id for effect in listed.effects] == ["third", "first"]


async def test_a_gap_is_repaired_from_the_directory(service: Service, recorded: RecordedDirectory) -> None:
    """DELIVERY: "a gap is repaired by reading the aggregate from the directory, …, never waited for"."""
    dashboard = Connection("DASHBOARD")
    snapshot = directory_service_pb2.ConnectionSnapshot(
        connection_id=dashboard.connection_id, workspace_id=WORKSPACE, portal="DASHBOARD", enabled=True, version=1
    )
    recorded.snapshots = {
        dashboard.connection_id: [directory_service_pb2.StreamSnapshotResponse(connection=snapshot)],
        "ada": [directory_service_pb2.StreamSnapshotResponse(user=dashboard.user("ada", version=4))],
    }
    await service.publish(dashboard, dashboard.updated(dashboard.user("ada")), 4, "late")
    consumer = service.server.consumer
    await eventually(lambda: consumer.counters["repaired"] == 1)
    async with service.channel() as open_channel:
        delivery = delivery_service_pb2_grpc.DeliveryServiceStub(open_channel)
        listed = await delivery.ListEffects(delivery_service_pb2.ListEffectsRequest(workspace_id=WORKSPACE))
        letters = await delivery.ListDeadLetters(delivery_service_pb2.ListDeadLettersRequest())
    assert [(effect.event_id, effect.repair) for effect in listed.effects] == [("late", True)]
    assert not letters.dead_letters


@pytest.mark.parametrize("name", [None, "gateway", "mdm", "portal"])
async def test_only_an_administrator_changes_anything(service: Service, name: str | None) -> None:
    """SECURITY: "admin methods need an admin identity"; "allowed methods, default deny"."""
    async with service.channel(name) as open_channel:
        for descriptor in SERVICES:
            for method in descriptor.methods:
                call = open_channel.unary_unary(
                    f"/{descriptor.full_name}/{method.name}",
                    request_serializer=lambda message: message.SerializeToString(),
                    response_deserializer=lambda data: data,
                )
                code = await call(delivery_service_pb2.GetEffectRequest()).code()
                if name is None:
                    assert code == grpc.StatusCode.UNAUTHENTICATED, method.name
                elif name == "portal" or not method.name.startswith(("Get", "List", "Check")):
                    assert code == grpc.StatusCode.PERMISSION_DENIED, method.name
                else:
                    # Let through: the empty request is answered, or refused for what it lacks.
                    answers = (grpc.StatusCode.OK, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
                    assert code in answers, method.name


def test_every_method_of_both_services_has_a_rule() -> None:
    """SECURITY: "default deny": a method that nobody thought of is an administrator's."""
    policy = method_policy()
    for descriptor in SERVICES:
        for method in descriptor.methods:
            allowed = policy.allowed(f"/{descriptor.full_name}/{method.name}")
            assert "admin" in allowed
            assert "portal" not in allowed


def test_every_error_has_a_reason_of_the_contract_and_every_reason_an_error() -> None:
    """HOUSE: domain errors have each "a code and an `ErrorReason`"."""
    raised = {error.reason for error in errors.PortalError.__subclasses__()}
    declared = {name.removeprefix("ERROR_REASON_") for name in portal_errors_pb2.ErrorReason.DESCRIPTOR.values_by_name}
    # Page tokens are read by the chassis, in this service's domain.
    assert raised == declared - {"UNSPECIFIED", "INVALID_PAGE_TOKEN"}


async def test_a_page_token_of_another_query_is_refused(service: Service, recorded: RecordedDirectory) -> None:
    """The contract, INVALID_PAGE_TOKEN: "A page token is forged or belongs to another query"."""
    recorded.workspaces[WORKSPACE] = "slug"
    async with service.channel() as open_channel:
        portal = portal_service_pb2_grpc.PortalServiceStub(open_channel)
        for method, request in (
            ("ListCollaborators", pb.ListCollaboratorsRequest),
            ("ListEmployees", pb.ListEmployeesRequest),
            ("ListPublications", pb.ListPublicationsRequest),
        ):
            call = getattr(portal, method)(request(workspace_id=WORKSPACE, page_token="forged"))
            assert await refusal(call) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN", "page_token")


async def test_a_slug_is_no_workspace_id(service: Service, recorded: RecordedDirectory) -> None:
    """The contract: "The workspace's id": what the directory finds by its slug must not become a second one."""
    recorded.workspaces[WORKSPACE] = "slug"
    async with service.channel() as open_channel:
        portal = portal_service_pb2_grpc.PortalServiceStub(open_channel)
        call = portal.CreateCollaborator(
            pb.CreateCollaboratorRequest(workspace_id="slug", email="a@example.com", role=pb.ROLE_ADMIN)
        )
        assert await refusal(call) == (grpc.StatusCode.NOT_FOUND, "WORKSPACE_NOT_FOUND", None)


def test_the_migrations_make_the_schema_that_the_code_declares(database_url: str) -> None:
    """HOUSE: tables are declared once in `tables.py`; a migration that lags behind would be found in production."""
    upgrade(database_url, MIGRATIONS)
    engine = sa.create_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, PortalTable.metadata)
    engine.dispose()
    assert differences == []


def test_the_process_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    """HOUSE: settings are read once; "Exit 2" names the variable, a schema that is not current is refused."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PORTAL_")}

    def run(*arguments: str, **settings: str) -> tuple[int, str]:
        result = subprocess.run(
            [sys.executable, "-m", "portal_service", *arguments],
            env=environment | settings,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return result.returncode, result.stderr.strip()

    assert run("serve")[0] == 2
    assert "PORTAL_DATABASE_URL" in run("serve")[1]
    assert run("dance")[0] == 2
    credentials = tmp_path / "credentials.json"
    credentials.write_text(json.dumps({name: name * 12 for name in NAMES}))
    credentials.chmod(0o600)
    settings = {
        "PORTAL_DATABASE_URL": f"sqlite:///{tmp_path / 'portal.db'}",
        "PORTAL_ADDRESS": "127.0.0.1:0",
        "PORTAL_NATS_URL": "nats://127.0.0.1:1",
        "PORTAL_CREDENTIALS_FILE": str(credentials),
        "PORTAL_DIRECTORY_TARGET": "127.0.0.1:1",
    }
    code, message = run("serve", **settings)
    assert (code, message.count("\n")) == (1, 0), message
    assert "migrate" in message
    assert run("migrate", **settings) == (0, "")
