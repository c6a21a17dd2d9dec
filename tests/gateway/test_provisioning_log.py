"""What is kept of each request (PRODUCT §7), over a gateway in this process and a real directory."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollcall.directory.v1 import provisioning_log_service_pb2 as pb
from rollcall.directory.v1 import provisioning_log_service_pb2_grpc
from rollcall.directory.v1.connection_service_pb2 import ClientDialect

from directory_service import provisioning_log
from gateway.app import App, Deps, create_app
from gateway.directory import Directory
from gateway.provisioning_log import BATCH, REFUSED_AT_ONCE, without_values
from tests.directory_service.world import World
from tests.gateway.edge import CONNECTION, USER_URN, bearer, fresh_token, settings

CANARY = "canary-7f3a"


class Edge:
    """A gateway in this process whose log is told to the directory when the test says so."""

    def __init__(self, world: World, app: App, client: httpx.AsyncClient) -> None:
        self.app = app
        self.client = client
        channel = world.channels["admin"]
        self.log = provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub(channel)

    async def entries(self, **asked: Any) -> list[pb.ProvisioningLogEntry]:
        """Tell the directory what waits, and list what it keeps."""
        await self.app.provisioning_log.flush()
        answer = await self.log.ListProvisioningLogEntries(pb.ListProvisioningLogEntriesRequest(**asked))
        return list(answer.entries)


@pytest.fixture
def world(fresh_world: World) -> World:
    """The log is read whole, so each test has a database of its own."""
    return fresh_world


@pytest.fixture
def small_world(fresh_small_world: World) -> World:
    """The same on SQLite alone."""
    return fresh_small_world


@contextlib.asynccontextmanager
async def edge_of(world: World, **changes: Any) -> AsyncIterator[Edge]:
    target = f"127.0.0.1:{world.server.port}"
    directory = Directory(target, world.secrets["gateway"])
    await directory.start()
    app = create_app(Deps(settings(target, **changes), directory))
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test/scim/v2") as client:
        yield Edge(world, app, client)
    await directory.stop()


async def test_every_request_leaves_what_happened_and_nothing_of_a_person(world: World) -> None:
    """Specification: "every SCIM request (time, request id, connection, client dialect, method, path without values,
    status, scimType, detail, duration, what it changed) is kept …, personal data redacted"."""
    connected = await world.connect()
    base, okta = f"/{connected.id}", {"User-Agent": "Okta SCIM Client 1.0.0", **bearer(connected.token)}
    async with edge_of(world) as edge:
        body = {"schemas": [USER_URN], "userName": f"{CANARY}@example.com", "displayName": CANARY}
        created = await edge.client.post(f"{base}/Users", json=body, headers=okta)
        user_id = created.json()["id"]
        patch = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "value": {"active": False}}],
        }
        await edge.client.patch(f"{base}/Users/{user_id}", json=patch, headers=okta)
        taken = await edge.client.post(f"{base}/Users", json=body, headers=bearer(connected.token))
        assert CANARY in taken.json()["detail"]
        await edge.client.get(f"{base}/Users?filter=userName eq {CANARY}", headers=bearer(connected.token))
        await edge.client.get(f"{base}/Users/{CANARY}", headers=bearer(connected.token))
        await edge.client.delete(f"{base}/Users/{user_id}", headers=bearer(connected.token))
        entries = await edge.entries(connection_id=connected.id)
    assert CANARY not in str(entries)
    told = [
        (one.method, one.route, one.status, one.scim_type, ClientDialect.Name(one.client_dialect)[15:])
        for one in entries[::-1]
    ]
    assert told == [
        ("POST", "/Users", 201, "", "OKTA"),
        ("PATCH", "/Users/{id}", 200, "", "OKTA_OIN"),
        ("POST", "/Users", 409, "uniqueness", "OTHER"),
        ("GET", "/Users", 400, "invalidFilter", "OTHER"),
        ("GET", "/Users/{id}", 404, "", "OTHER"),
        ("DELETE", "/Users/{id}", 204, "", "OTHER"),
    ]
    first, second, clash = entries[-1], entries[-2], entries[-3]
    assert first.request_id == created.headers["x-request-id"]
    assert first.duration.ToMicroseconds() > 0
    assert abs(first.time.ToMilliseconds() - entries[0].time.ToMilliseconds()) < 60_000
    assert (first.resource_kind, first.resource_id, first.resource_version) == ("user", user_id, 1)
    assert second.resource_version == 2
    assert clash.detail == "userName … is taken by another user"
    assert (entries[0].resource_id, entries[0].resource_version, entries[0].resource_count) == (user_id, 0, 1)


async def test_a_request_that_never_reached_the_directory_is_kept_and_a_flood_is_counted(
    small_world: World,
) -> None:
    """PRODUCT §1: a token "of another connection, …: the same 401"; kept for the connection that the path names."""
    connected, other = await small_world.connect(), await small_world.connect()
    async with edge_of(small_world) as edge:
        for _ in range(REFUSED_AT_ONCE + 5):
            await edge.client.get(f"/{connected.id}/Users", headers=bearer(fresh_token()))
        await edge.client.get(f"/{CONNECTION}/Users", headers=bearer(fresh_token()))
        await edge.client.get("/no-uuid/Users", headers=bearer(other.token))
        await edge.client.get(f"/{connected.id}/Nowhere", headers=bearer(connected.token))
        entries = await edge.entries()
        assert [(one.status, one.omitted_count, one.route) for one in entries] == [
            (404, 5, ""),
            *[(401, 0, "/Users")] * REFUSED_AT_ONCE,
        ]
        assert {one.connection_id for one in entries} == {connected.id}
        assert edge.app.provisioning_log.omitted == 5


async def test_a_flood_over_many_connections_is_bounded_too(
    small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody can send requests that name a connection; those of whoever has a token are kept all the same."""
    monkeypatch.setattr("gateway.provisioning_log.REFUSED_IN_ALL", 4)
    connected = await small_world.connect()
    async with edge_of(small_world) as edge:
        for _ in range(6):
            await edge.client.get(f"/{uuid.uuid4()}/Users", headers=bearer(fresh_token()))
        await edge.client.get(f"/{connected.id}/Users", headers=bearer(fresh_token()))
        await edge.client.get(f"/{connected.id}/Schemas", headers=bearer(connected.token))
        assert edge.app.provisioning_log.omitted == 3
        assert [(one.status, one.omitted_count) for one in await edge.entries()] == [(200, 1)]
        await edge.client.get(f"/{connected.id}/Users", headers=bearer(fresh_token()))
        assert [one.status for one in await edge.entries()] == [401, 200]


async def test_what_does_not_fit_is_counted_and_what_was_not_taken_is_told_again_once(small_world: World) -> None:
    """Specification: "without slowing the request or failing it": overflow is counted and told, never waited for."""
    connected = await small_world.connect()
    async with edge_of(small_world, provisioning_log_capacity=3) as edge:
        for _ in range(5):
            answer = await edge.client.get(f"/{connected.id}/Schemas", headers=bearer(connected.token))
            assert answer.status_code == 200
        log = edge.app.provisioning_log
        told: list[int] = []
        record = log._directory.record

        async def lose_the_reply(entries: Any, seconds: float) -> None:
            told.append(len(entries))
            await record(entries, seconds)
            raise _Lost

        log._directory.record = lose_the_reply  # type: ignore[method-assign]
        with pytest.raises(_Lost):
            await log.flush()
        log._directory.record = record  # type: ignore[method-assign]
        assert (told, log.omitted) == ([3], 2)
        assert len(await edge.entries()) == 3
        await edge.client.get(f"/{connected.id}/Schemas", headers=bearer(connected.token))
        assert [one.omitted_count for one in await edge.entries()] == [2, 0, 0, 0]


class _Lost(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE


async def test_the_log_is_told_at_the_end_of_the_process_and_without_being_asked(small_world: World) -> None:
    """A worker that stops tells what it has; one that runs tells within a moment."""
    connected = await small_world.connect()
    async with edge_of(small_world) as edge:
        edge.app.provisioning_log.start()
        await edge.client.get(f"/{connected.id}/Schemas", headers=bearer(connected.token))
        await edge.app.provisioning_log.stop()
        listed = await edge.log.ListProvisioningLogEntries(pb.ListProvisioningLogEntriesRequest())
        assert len(listed.entries) == 1


async def test_entries_are_filtered_paged_and_forgotten_after_their_days(world: World) -> None:
    """Specification: "kept for 30 days per connection"; AIP-158: "page tokens"."""
    one, two = await world.connect(), await world.connect()
    stub = provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub(world.channels["gateway"])
    now = provisioning_log.now_ms()
    ages = [31, 29, 1, 0]
    entries = [
        pb.ProvisioningLogEntry(
            entry_id=provisioning_log.first_id(now - age * provisioning_log.DAY_MS - 1)[:-1] + str(index),
            connection_id=connection.id,
            request_id=f"r{age}",
            status=400 if age == 1 else 200,
        )
        for age in ages
        for index, connection in enumerate((one, two))
    ]
    for _ in range(2):
        await stub.RecordProvisioningLogEntries(pb.RecordProvisioningLogEntriesRequest(entries=entries))
    async with edge_of(world) as edge:

        async def ages_of(**asked: Any) -> list[str]:
            found, token = [], ""
            while True:
                request = pb.ListProvisioningLogEntriesRequest(page_size=1, page_token=token, **asked)
                page = await edge.log.ListProvisioningLogEntries(request)
                found += [entry.request_id for entry in page.entries]
                if not (token := page.next_page_token):
                    return found

        assert await ages_of(connection_id=one.id) == ["r0", "r1", "r29", "r31"]
        assert await ages_of() == ["r0", "r0", "r1", "r1", "r29", "r29", "r31", "r31"]
        workspace_id = (await edge.entries(connection_id=one.id))[0].workspace_id
        assert await ages_of(workspace_id=workspace_id, failed_only=True) == ["r1"]
        assert await ages_of(failed_only=True) == ["r1", "r1"]
        assert await ages_of(request_id="r29", connection_id=two.id) == ["r29"]
        since = pb.ListProvisioningLogEntriesRequest().start_time
        since.FromMilliseconds(now - 2 * provisioning_log.DAY_MS)
        assert await ages_of(connection_id=one.id, start_time=since) == ["r0", "r1"]
        assert await provisioning_log.prune(world.server.directory, days=30) == 2
        assert await ages_of(connection_id=one.id) == ["r0", "r1", "r29"]


async def test_only_the_gateway_writes_the_log_and_only_an_administrator_reads_it(small_world: World) -> None:
    """SECURITY: "allowed methods, default deny"."""
    for name in ("gateway", "portal", "mdm", "admin"):
        stub = provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub(small_world.channels[name])
        calls = {
            "gateway": stub.RecordProvisioningLogEntries(pb.RecordProvisioningLogEntriesRequest()),
            "admin": stub.ListProvisioningLogEntries(pb.ListProvisioningLogEntriesRequest()),
        }
        for allowed, call in calls.items():
            if allowed == name:
                await call
                continue
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_more_than_one_call_can_carry_is_refused_whole(small_world: World) -> None:
    """House: errors "name the field and the rule, change nothing"."""
    assert BATCH <= provisioning_log.MAX_ENTRIES
    stub = provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub(small_world.channels["gateway"])
    too_many = [pb.ProvisioningLogEntry()] * (provisioning_log.MAX_ENTRIES + 1)
    for entries, rule in (
        (too_many, "entries: must be at most 1000"),
        ([pb.ProvisioningLogEntry(entry_id="x")], "entries[0].entry_id: must be a UUID in lower case"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.RecordProvisioningLogEntries(pb.RecordProvisioningLogEntriesRequest(entries=entries))
        assert refused.value.details() == rule


@given(value=st.text(min_size=1, max_size=40).map(lambda text: f"{CANARY}{text}{CANARY}"))
def test_what_an_error_quotes_never_reaches_the_log(value: str) -> None:
    """Specification: "personal data redacted", whatever marks the value itself holds."""
    for detail in (f'userName "{value}" is taken', f"{value!r} is not an attribute path", json.dumps({"a": value})):
        assert CANARY not in without_values(detail)
    assert without_values("title must be a string; the user's own") == "title must be a string; the user's own"
    assert without_values("no a.b@example.com here") == "no … here"


async def test_a_list_leaves_where_it_began_and_how_much_there_was_but_a_lookup_does_not(world: World) -> None:
    """ProvisioningLogEntry: "Of a list that was asked for without a filter, the index of its first resource"."""
    connected = await world.connect()
    headers = bearer(connected.token)
    async with edge_of(world) as edge:
        for number in range(3):
            body = {"schemas": [USER_URN], "userName": f"u{number}@example.com"}
            await edge.client.post(f"/{connected.id}/Users", json=body, headers=headers)
        first = await edge.client.get(f"/{connected.id}/Users?cursor=&count=1", headers=headers)
        cursor = first.json()["nextCursor"]
        for query in (
            "startIndex=1&count=2",
            "startIndex=3&count=2",
            f"cursor={cursor}&count=2",
            "startIndex=9",
            "count=0",
            'filter=userName eq "u1@example.com"',
        ):
            assert (await edge.client.get(f"/{connected.id}/Users?{query}", headers=headers)).status_code == 200
        await edge.client.get(f"/{connected.id}/Groups", headers=headers)
        entries = await edge.entries(connection_id=connected.id)
    lists = [(one.start_index, one.listed_count, one.total_count) for one in reversed(entries) if one.method == "GET"]
    assert lists == [(1, 1, 3), (1, 2, 3), (3, 1, 3), (0, 2, 3), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0)]


async def test_requests_about_one_resource_are_found(world: World) -> None:
    """provisioning_log_service.proto: "Only requests that wrote this user or group; empty: all"."""
    connected, other = await world.connect(), await world.connect()
    async with edge_of(world) as edge:
        ids = []
        for name in ("ada", "eve"):
            body = {"schemas": [USER_URN], "userName": name}
            made = await edge.client.post(f"/{connected.id}/Users", json=body, headers=bearer(connected.token))
            ids.append(made.json()["id"])
        await edge.client.delete(f"/{connected.id}/Users/{ids[0]}", headers=bearer(connected.token))
        await edge.client.get(f"/{connected.id}/Users/{ids[0]}", headers=bearer(connected.token))
        found = await edge.entries(connection_id=connected.id, resource_id=ids[0])
        assert [(one.method, one.resource_id) for one in found] == [("DELETE", ids[0]), ("POST", ids[0])]
        assert await edge.entries(connection_id=other.id, resource_id=ids[0]) == []
        paged = await edge.entries(connection_id=connected.id, resource_id=ids[0], page_size=1)
        assert [one.method for one in paged] == ["DELETE"]


@pytest.mark.parametrize("field", ["connection_id", "workspace_id", "request_id", "resource_id"])
async def test_a_text_that_no_database_holds_is_refused_by_its_field(world: World, field: str) -> None:
    """HOUSE: "Errors are product: clear, specific, name the field and the rule": on every database the same."""
    log = provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub(world.channels["admin"])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await log.ListProvisioningLogEntries(pb.ListProvisioningLogEntriesRequest(**{field: "a\0b"}))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in str(caught.value.details())
