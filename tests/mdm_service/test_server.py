"""The whole service in process: gRPC in front, a real nats-server behind, a directory beside it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError
from rollcall.delivery.v1 import delivery_service_pb2, delivery_service_pb2_grpc
from rollcall.directory.v1 import (
    connection_service_pb2_grpc,
    directory_service_pb2,
    directory_service_pb2_grpc,
    events_pb2,
    user_pb2,
)
from rollcall.mdm.v1 import events_pb2 as mdm_events_pb2
from rollcall.mdm.v1 import mdm_service_pb2, mdm_service_pb2_grpc

from chassis import grpc_client, outbox, streams
from chassis.auth import generate_credentials
from chassis.consumer import Event
from chassis.errors import RpcFailure, from_rpc_error
from chassis.grpc_server import Server
from mdm_service.server import MdmServer
from mdm_service.settings import MdmSettings
from tests.conftest import NatsServer, eventually
from tests.mdm_service.world import DirectoryOfTests, Tenant


class Service:
    """A running MDM service, its stubs for an administrator, and the directory's side of the stream."""

    def __init__(self, server: MdmServer, tenant: Tenant, js: JetStreamContext, credentials: dict[str, str]) -> None:
        self.server = server
        self.tenant = tenant
        self.js = js
        self.credentials = credentials
        self.channels: list[grpc.aio.Channel] = []
        self.mdm: Any = mdm_service_pb2_grpc.MdmServiceStub(self.channel("admin"))
        self.delivery: Any = delivery_service_pb2_grpc.DeliveryServiceStub(self.channel("admin"))

    def channel(self, name: str | None) -> grpc.aio.Channel:
        """A channel with somebody's credential, or none."""
        credential = self.credentials[name] if name else None
        opened = grpc_client.channel(f"127.0.0.1:{self.server.port}", credential=credential)
        self.channels.append(opened)
        return opened

    async def close(self) -> None:
        """Close the channels."""
        for channel in self.channels:
            await channel.close()

    async def publish(self, event: Event) -> None:
        """Publish an event of a user as the directory's relay does."""
        row = {
            "event_id": event.id,
            "type": event.type,
            "source": "/rollcall/directory",
            "created_at": event.time,
            "aggregate_kind": event.aggregate_kind,
            "aggregate_id": event.aggregate_id,
            "version": event.version,
            "sequence": event.sequence,
            "request_id": event.request_id,
            "traceparent": "",
        }
        partition = outbox.partition_of(event.connection_id)
        subject = f"directory.v1.{partition}.mdm.user.changed.{event.connection_id}.{event.aggregate_id}"
        await self.js.publish(subject, event.message.SerializeToString(), headers=outbox.headers_of(row))

    async def user(self, message_type: type[Any], user: user_pb2.User, version: int) -> Event:
        """Publish an event of a user; answers it."""
        user.version = version
        event = self.tenant.user_event(message_type, user)
        await self.publish(event)
        return event

    async def effects(self, **wanted: Any) -> list[delivery_service_pb2.Effect]:
        """The workspace's effects, newest first."""
        request = delivery_service_pb2.ListEffectsRequest(workspace_id=self.tenant.workspace_id, **wanted)
        return list((await self.delivery.ListEffects(request)).effects)

    async def effects_of(self, event: Event) -> list[str]:
        """What an event did, once it did something."""
        found: list[str] = []

        async def some() -> bool:
            found[:] = [effect.action for effect in await self.effects() if effect.event_id == event.id]
            return bool(found)

        await eventually(some, message=f"an effect of {event.type}")
        return sorted(found)


@pytest.fixture
async def service(
    database_url: str, nats_server: NatsServer, tmp_path: Path, stopping: contextlib.AsyncExitStack
) -> Service:
    """The service on a fresh database of either kind, with streams of its own."""
    credentials = generate_credentials(tmp_path / "credentials.json", ("admin", "gateway", "portal", "mdm"))
    world = DirectoryOfTests()

    def register(server: grpc.aio.Server) -> None:
        connection_service_pb2_grpc.add_ConnectionServiceServicer_to_server(world, server)
        directory_service_pb2_grpc.add_DirectoryServiceServicer_to_server(world, server)

    directory = Server(register=register, service_names=(), address="127.0.0.1:0")
    await directory.start()
    stopping.push_async_callback(directory.stop)
    server = MdmServer(
        MdmSettings(
            database_url=database_url,
            address="127.0.0.1:0",
            port_file=tmp_path / "port",
            nats_url=nats_server.url,
            credentials_file=tmp_path / "credentials.json",
            directory_target=f"127.0.0.1:{directory.port}",
            migrate=True,
            provision_streams=True,
        )
    )
    stopping.push_async_callback(server.stop)
    await server.start()
    client = await streams.connect(nats_server.url, name="directory of tests")
    stopping.push_async_callback(streams.close, client)
    tenant = Tenant(server.db, server.directory, world, workspace_id=str(uuid.uuid4()), connection_id=str(uuid.uuid4()))
    tenant.announce()
    running = Service(server, tenant, client.jetstream(), credentials)
    stopping.push_async_callback(running.close)

    async def provisioned() -> bool:
        try:
            await running.js.consumer_info("DIRECTORY", "mdm-15")
            await running.js.stream_info("MDM")
        except NotFoundError:
            return False
        return True

    await eventually(provisioned, message="streams and consumers")
    return running


async def rejected(call: Any) -> RpcFailure:
    with pytest.raises(grpc.RpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_from_an_event_to_a_command_on_the_device_agents_stream(service: Service) -> None:
    """HOUSE, walk "Deactivate": event → rule → devices, effects, command outbox, inbox commit together → ack."""
    tenant = service.tenant
    lockdown = (
        await service.mdm.CreatePolicy(
            mdm_service_pb2.CreatePolicyRequest(workspace_id=tenant.workspace_id, name="Lockdown")
        )
    ).policy
    rules = mdm_service_pb2.UpdateRulesRequest(
        connection_id=tenant.connection_id, on_create=mdm_service_pb2.ON_CREATE_CREATE_EMPLOYEE
    )
    rules.on_deactivate.change_policy.policy_id = lockdown.policy_id
    assert (await service.mdm.UpdateRules(rules)).rules.rule_version == 1
    ada = tenant.new_user("ada")
    created = await service.user(events_pb2.UserCreated, ada, 1)
    assert await service.effects_of(created) == ["CREATE_EMPLOYEE"]
    device = (
        await service.mdm.EnrollDevice(
            mdm_service_pb2.EnrollDeviceRequest(
                workspace_id=tenant.workspace_id, serial="C02", platform="macos", owner_email="ada@acme.test"
            )
        )
    ).device
    agent = await service.js.pull_subscribe(f"mdm.v1.*.device.apply_policy.{tenant.workspace_id}.*", "agent")

    ada.active = False
    left = await service.user(events_pb2.UserDeactivated, ada, 2)
    (message,) = await agent.fetch(1, timeout=10)
    issued = mdm_events_pb2.DeviceCommandIssued.FromString(message.data)
    assert (issued.serial, issued.command.device_id, issued.command.policy_id) == (
        "C02",
        device.device_id,
        lockdown.policy_id,
    )
    assert message.subject.endswith(f".{device.device_id}")
    assert message.headers["ce-type"] == "rollcall.mdm.v1.DeviceCommandIssued"
    assert message.headers["rollcall-request-id"] == left.request_id
    assert message.headers["rollcall-version"] == "1"

    assert await service.effects_of(left) == ["CHANGE_POLICY", "DEACTIVATE_EMPLOYEE"]
    (why,) = await service.effects(target="C02")
    assert (why.event_id, why.request_id, why.rule, why.rule_version) == (left.id, left.request_id, "on_deactivate", 1)
    assert why.outcome == delivery_service_pb2.OUTCOME_APPLIED
    report = mdm_service_pb2.ReportDeviceCommandRequest(
        workspace_id=tenant.workspace_id,
        command_id=issued.command.command_id,
        state=mdm_service_pb2.DEVICE_COMMAND_STATE_ACKNOWLEDGED,
    )
    reported = (await service.mdm.ReportDeviceCommand(report)).device_command
    assert reported.state == mdm_service_pb2.DEVICE_COMMAND_STATE_ACKNOWLEDGED


async def test_an_event_delivered_again_and_again_has_its_consequences_once(service: Service) -> None:
    """DELIVERY: "Delivery is at least once; effects happen once"."""
    tenant = service.tenant
    await tenant.rule("remove_employee")
    ada = tenant.new_user("ada")
    created = await service.user(events_pb2.UserCreated, ada, 1)
    await service.effects_of(created)
    ada.active = False
    left = await service.user(events_pb2.UserDeactivated, ada, 2)
    await service.effects_of(left)
    before = await service.effects()
    for event in (created, left, created, left):
        row = {"Nats-Msg-Id": str(uuid.uuid4())}
        await service.js.publish(
            f"directory.v1.{outbox.partition_of(event.connection_id)}.mdm.user.x.{event.connection_id}.{ada.id}",
            event.message.SerializeToString(),
            headers={
                **outbox.headers_of(
                    {
                        "event_id": event.id,
                        "type": event.type,
                        "source": "/rollcall/directory",
                        "created_at": event.time,
                        "aggregate_kind": "user",
                        "aggregate_id": ada.id,
                        "version": event.version,
                        "sequence": event.sequence,
                        "request_id": event.request_id,
                        "traceparent": "",
                    }
                ),
                **row,
            },
        )
    bob = await service.user(events_pb2.UserCreated, tenant.new_user("bob"), 1)
    await service.effects_of(bob)
    assert [effect for effect in await service.effects() if effect.event_id != bob.id] == before


async def test_a_gap_is_repaired_from_the_directory(service: Service) -> None:
    """DELIVERY: "a gap is repaired by reading the aggregate from the directory …, never waited for"."""
    tenant = service.tenant
    await tenant.rule("unassign_devices")
    ada = tenant.new_user("ada")
    await service.effects_of(await service.user(events_pb2.UserCreated, ada, 1))
    await tenant.enroll("C02", owner="ada@acme.test")
    ada.active = False
    ada.version = 4
    tenant.world.snapshots[ada.id] = [directory_service_pb2.StreamSnapshotResponse(user=ada)]
    event = await service.user(events_pb2.UserUpdated, ada, 4)
    assert await service.effects_of(event) == ["DEACTIVATE_EMPLOYEE", "UNASSIGN_DEVICE"]
    assert all(effect.repair for effect in await service.effects() if effect.event_id == event.id)
    assert (await tenant.device("C02")).owner_email == ""


async def test_poison_parks_its_user_and_nobody_else(service: Service) -> None:
    """DELIVERY: "the aggregate is marked parked … everybody else's events go on"."""
    tenant = service.tenant
    await tenant.rule()
    ada, bob = tenant.new_user("ada"), tenant.new_user("bob")
    partition = outbox.partition_of(tenant.connection_id)
    poison = tenant.user_event(events_pb2.UserCreated, ada)
    row = {
        "event_id": poison.id,
        "type": poison.type,
        "source": "/rollcall/directory",
        "created_at": poison.time,
        "aggregate_kind": "user",
        "aggregate_id": ada.id,
        "version": 1,
        "sequence": 1,
        "request_id": "",
        "traceparent": "",
    }
    subject = f"directory.v1.{partition}.mdm.user.created.{tenant.connection_id}.{ada.id}"
    await service.js.publish(subject, b"\xff\xff\xff", headers=outbox.headers_of(row))
    behind = await service.user(events_pb2.UserUpdated, ada, 2)
    await service.effects_of(await service.user(events_pb2.UserCreated, bob, 1))
    letters = (await service.delivery.ListDeadLetters(delivery_service_pb2.ListDeadLettersRequest())).dead_letters
    assert [(letter.event_id, letter.resource_id) for letter in letters] == [(poison.id, ada.id), (behind.id, ada.id)]
    letter = letters[0]
    assert await tenant.employee("ada@acme.test") is None
    tenant.world.snapshots[ada.id] = [directory_service_pb2.StreamSnapshotResponse(user=ada)]
    await service.delivery.DiscardDeadLetter(
        delivery_service_pb2.DiscardDeadLetterRequest(dead_letter_id=letter.dead_letter_id)
    )
    assert await tenant.employee("ada@acme.test") is not None


async def test_who_may_do_what(service: Service) -> None:
    """SECURITY: "Internal callers authenticate …, default deny; admin methods need an admin identity"."""
    request = mdm_service_pb2.CreatePolicyRequest(workspace_id=service.tenant.workspace_id, name="Standard")
    listing = mdm_service_pb2.ListPoliciesRequest(workspace_id=service.tenant.workspace_id)
    nobody: Any = mdm_service_pb2_grpc.MdmServiceStub(service.channel(None))
    failure = await rejected(nobody.ListPolicies(listing))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIAL")
    for name in ("gateway", "portal"):
        reader: Any = mdm_service_pb2_grpc.MdmServiceStub(service.channel(name))
        assert (await reader.ListPolicies(listing)).policies == []
        failure = await rejected(reader.CreatePolicy(request))
        assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    itself: Any = mdm_service_pb2_grpc.MdmServiceStub(service.channel("mdm"))
    assert (await rejected(itself.ListPolicies(listing))).code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_refusal_says_why_by_field(service: Service) -> None:
    """AIP-193: `ErrorInfo` always; a clear sentence that names the field and the rule."""
    request = mdm_service_pb2.EnrollDeviceRequest(
        workspace_id=service.tenant.workspace_id, serial="C02", platform="amiga"
    )
    failure = await rejected(service.mdm.EnrollDevice(request))
    assert (failure.code, failure.reason, failure.domain, failure.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_VALUE",
        "mdm.rollcall",
        "platform",
    )
    assert failure.message == ("platform: must be one of ios, ipados, macos, android, windows, chromeos, linux, tvos")
    request = mdm_service_pb2.GetDeviceRequest(workspace_id=str(uuid.uuid4()), device="C02")
    assert (await rejected(service.mdm.GetDevice(request))).reason == "WORKSPACE_NOT_FOUND"
    listing = mdm_service_pb2.ListDevicesRequest(workspace_id=service.tenant.workspace_id, page_token="forged")
    failure = await rejected(service.mdm.ListDevices(listing))
    assert (failure.reason, failure.domain, failure.field) == ("INVALID_PAGE_TOKEN", "mdm.rollcall", "page_token")


async def test_every_method_answers_over_grpc(service: Service) -> None:
    """mdm_service.proto: a whole life of a device through the contract."""
    mdm, workspace_id = service.mdm, service.tenant.workspace_id
    pb = mdm_service_pb2
    await service.tenant.rule()
    await service.effects_of(await service.user(events_pb2.UserCreated, service.tenant.new_user("ada"), 1))
    rules = (await mdm.GetRules(pb.GetRulesRequest(connection_id=service.tenant.connection_id))).rules
    assert rules.on_deactivate.WhichOneof("behaviour") == "do_nothing"
    listed = (await mdm.ListEmployees(pb.ListEmployeesRequest(workspace_id=workspace_id))).employees
    got = (await mdm.GetEmployee(pb.GetEmployeeRequest(workspace_id=workspace_id, email="ada@acme.test"))).employee
    assert [got] == list(listed)
    policy = (await mdm.CreatePolicy(pb.CreatePolicyRequest(workspace_id=workspace_id, name="Standard"))).policy
    assert list((await mdm.ListPolicies(pb.ListPoliciesRequest(workspace_id=workspace_id))).policies) == [policy]
    device = (
        await mdm.EnrollDevice(
            pb.EnrollDeviceRequest(workspace_id=workspace_id, serial="C02", name="Laptop", platform="macos")
        )
    ).device
    at = {"workspace_id": workspace_id, "device_id": device.device_id}
    assert (await mdm.AssignDevice(pb.AssignDeviceRequest(**at, email="ada@acme.test"))).device.assignment_epoch == 1
    changed = (await mdm.SetDevicePolicy(pb.SetDevicePolicyRequest(**at, policy_id=policy.policy_id))).device
    assert changed.policy_id == policy.policy_id
    assert (await mdm.GetDevice(pb.GetDeviceRequest(workspace_id=workspace_id, device="C02"))).device == changed
    owned = pb.ListDevicesRequest(workspace_id=workspace_id, owner_email="ada@acme.test")
    assert list((await mdm.ListDevices(owned)).devices) == [changed]
    segment = (await mdm.CreateSegment(pb.CreateSegmentRequest(workspace_id=workspace_id, name="Office"))).segment
    into = {"workspace_id": workspace_id, "segment_id": segment.segment_id}
    await mdm.AddDeviceToSegment(pb.AddDeviceToSegmentRequest(**into, device_id=device.device_id))
    granted = pb.GrantSegmentRequest(**into, email="eve@acme.test", permission=pb.SEGMENT_PERMISSION_VIEW)
    segment = (await mdm.GrantSegment(granted)).segment
    assert list((await mdm.ListSegments(pb.ListSegmentsRequest(workspace_id=workspace_id))).segments) == [segment]
    seen = pb.ListVisibleDevicesRequest(workspace_id=workspace_id, email="eve@acme.test")
    (visible,) = (await mdm.ListVisibleDevices(seen)).devices
    assert (visible.device, visible.permission) == (changed, pb.SEGMENT_PERMISSION_VIEW)
    await mdm.RevokeSegment(pb.RevokeSegmentRequest(**into, email="eve@acme.test"))
    assert (await mdm.ListVisibleDevices(seen)).devices == []
    assert (await mdm.UnassignDevice(pb.UnassignDeviceRequest(**at))).device.owner_email == ""
    assert (await mdm.RemoveDevice(pb.RemoveDeviceRequest(**at))).device.state == pb.DEVICE_STATE_REMOVED
    commands = (await mdm.ListDeviceCommands(pb.ListDeviceCommandsRequest(**at))).device_commands
    assert [command.kind for command in commands] == [
        pb.DEVICE_COMMAND_KIND_REMOVE,
        pb.DEVICE_COMMAND_KIND_APPLY_POLICY,
    ]
    await mdm.DeletePolicy(pb.DeletePolicyRequest(workspace_id=workspace_id, policy_id=policy.policy_id))
    assert (await mdm.ListPolicies(pb.ListPoliciesRequest(workspace_id=workspace_id))).policies == []


async def test_the_service_says_that_it_serves(service: Service, tmp_path: Path) -> None:
    """The port file holds the bound port; health answers without a credential."""
    assert int((tmp_path / "port").read_text()) == service.server.port
    health: Any = health_pb2_grpc.HealthStub(service.channel(None))
    for name in ("", "rollcall.mdm.v1.MdmService", "rollcall.delivery.v1.DeliveryService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_the_process_migrates_serves_and_drains(sqlite_url: str, nats_server: NatsServer, tmp_path: Path) -> None:
    """`python -m mdm_service migrate`, then `serve` on the schema, until SIGTERM."""
    generate_credentials(tmp_path / "credentials.json", ("admin", "gateway", "portal", "mdm"))
    environment = {
        **os.environ,
        "MDM_DATABASE_URL": sqlite_url,
        "MDM_ADDRESS": "127.0.0.1:0",
        "MDM_PORT_FILE": str(tmp_path / "port"),
        "MDM_NATS_URL": nats_server.url,
        "MDM_CREDENTIALS_FILE": str(tmp_path / "credentials.json"),
        "MDM_DIRECTORY_TARGET": "127.0.0.1:1",
        "MDM_PROVISION_STREAMS": "true",
    }

    async def run(*arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "mdm_service", *arguments, env=environment, stderr=subprocess.PIPE
        )

    unready = await run("serve")
    _, told = await asyncio.wait_for(unready.communicate(), 30)
    assert unready.returncode == 1
    assert b"run `migrate`" in told
    assert await asyncio.wait_for((await run("migrate")).wait(), 30) == 0
    usage = await run("dance")
    assert await asyncio.wait_for(usage.wait(), 30) == 2
    process = await run("serve")
    try:
        await eventually(lambda: (tmp_path / "port").exists(), timeout=30, message="the port file")
        channel = grpc_client.channel(f"127.0.0.1:{(tmp_path / 'port').read_text().strip()}")
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        await channel.close()
        process.send_signal(signal.SIGTERM)
        _, told = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, told
        assert b"Traceback" not in told
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
