"""Workspaces, connections and tokens over gRPC (PRODUCT §1, SECURITY)."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.directory.v1 import directory_service_pb2 as directory_pb
from rollcall.directory.v1 import events_pb2

from chassis.errors import RpcFailure
from directory_service.tables import (
    ALL_TENANT_TABLES,
    AUDIT_LOG,
    CONNECTIONS,
    OUTBOX,
    PROVISIONING_LOG,
    TOKENS,
    TOMBSTONES,
)
from directory_service.workspaces import free_slug, slug_of
from tests.conftest import eventually
from tests.directory_service.world import PUBLIC_URL, Connected, World, running, settings


async def workspace(world: World, name: str = "Acme") -> pb.Workspace:
    return (await world.admin.call("CreateWorkspace", pb.CreateWorkspaceRequest(name=name))).workspace


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Acme", "acme"),
        ("  Ünïted  Föö & Co. ", "united-foo-co"),
        ("東京", "workspace"),
        ("x" * 90, "x" * 40),
        ("a-_-b", "a-b"),
    ],
)
def test_a_slug_is_made_of_the_name(name: str, slug: str) -> None:
    """Proto: "lower-case letters, digits, hyphens"."""
    assert slug_of(name) == slug


def test_a_taken_slug_gets_a_number() -> None:
    """The rule: "Slug from the name, unique (`acme`, `acme-2`)"."""
    assert free_slug("acme", set()) == "acme"
    assert free_slug("acme", {"acme", "acme-3"}) == "acme-2"


async def test_a_workspace_is_found_by_id_and_slug(fresh_world: World) -> None:
    """Proto, GetWorkspace: "by id or slug"."""
    first, second = await workspace(fresh_world), await workspace(fresh_world)
    assert (first.slug, second.slug) == ("acme", "acme-2")
    for name in (second.workspace_id, second.slug):
        assert (
            await fresh_world.admin.call("GetWorkspace", pb.GetWorkspaceRequest(workspace=name))
        ).workspace == second
    failure = await fresh_world.admin.refused("GetWorkspace", pb.GetWorkspaceRequest(workspace="nowhere"))
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "WORKSPACE_NOT_FOUND")
    await workspace(fresh_world, "Aardvark")
    names, token = [], ""
    while True:
        page = await fresh_world.admin.call("ListWorkspaces", pb.ListWorkspacesRequest(page_size=1, page_token=token))
        names += [found.name for found in page.workspaces]
        token = page.next_page_token
        if not token:
            break
    assert names == ["Aardvark", "Acme", "Acme"]


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\nb"])
async def test_a_name_for_people_has_its_form(world: World, name: str) -> None:
    """Wiring: "INVALID_VALUE errors always set `field`"."""
    failure = await world.admin.refused("CreateWorkspace", pb.CreateWorkspaceRequest(name=name))
    assert (failure.reason, failure.field) == ("INVALID_VALUE", "name")
    assert failure.message.startswith("name: ")


async def test_enabling_scim_yields_a_base_url_and_a_token_shown_once(world: World) -> None:
    """PRODUCT §1: "It yields a **base URL** `{public_url}/scim/v2/{connection_id}` [...] and a **bearer token**, shown
    once."
    """
    owner = await workspace(world)
    request = pb.CreateConnectionRequest(workspace_id=owner.workspace_id, portal=pb.PORTAL_MDM)
    created = await world.admin.call("CreateConnection", request)
    connection = created.connection
    assert connection.base_url == f"{PUBLIC_URL}/scim/v2/{connection.connection_id}"
    assert "_" not in connection.base_url
    assert (connection.state, connection.version) == (pb.CONNECTION_STATE_ENABLED, 1)
    assert connection.display_name == "MDM"
    assert created.token.startswith(f"rollcall_scim_{created.token_id}_")
    await world.scim(created.token).create("a@b")
    (stored,) = await world.rows(sa.select(TOKENS).where(TOKENS.c.token_id == created.token_id))
    assert bytes(stored.sha256) == hashlib.sha256(created.token.encode()).digest()
    assert created.token not in str(await world.rows(sa.select(OUTBOX))) + str(stored)
    (event,) = (await world.events(connection.connection_id))[:1]
    assert isinstance(event, events_pb2.ConnectionEnabled)
    assert (event.origin.portal, event.origin.workspace_id) == ("MDM", owner.workspace_id)


async def test_a_portal_has_at_most_one_enabled_connection(world: World) -> None:
    """PRODUCT §1: "at most one enabled connection per workspace and portal"."""
    owner = await workspace(world)
    request = pb.CreateConnectionRequest(workspace_id=owner.workspace_id, portal=pb.PORTAL_STORE)
    results = await asyncio.gather(
        *(world.admin.call("CreateConnection", request) for _ in range(5)), return_exceptions=True
    )
    (won,) = [result for result in results if not isinstance(result, BaseException)]
    assert {result.reason for result in results if isinstance(result, RpcFailure)} == {"PORTAL_ALREADY_CONNECTED"}
    first = won.connection.connection_id
    disable = pb.DisableConnectionRequest(connection_id=first)
    await world.admin.call("DisableConnection", disable)
    await world.admin.call("DisableConnection", disable)
    await world.admin.call("CreateConnection", request)
    failure = await world.admin.refused("EnableConnection", pb.EnableConnectionRequest(connection_id=first))
    assert failure.reason == "PORTAL_ALREADY_CONNECTED"
    assert [type(event).__name__ for event in await world.events(first)] == ["ConnectionEnabled", "ConnectionDisabled"]
    await world.connect_to(owner.workspace_id, pb.PORTAL_MDM)


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (pb.CreateConnectionRequest(workspace_id="nowhere", portal=pb.PORTAL_MDM), "WORKSPACE_NOT_FOUND", None),
        (pb.CreateConnectionRequest(workspace_id="nowhere"), "INVALID_VALUE", "portal"),
        (pb.CreateConnectionRequest(portal=pb.PORTAL_MDM, display_name="\n"), "INVALID_VALUE", "display_name"),
    ],
)
async def test_a_connection_needs_a_workspace_and_a_portal(
    world: World, request_: Any, reason: str, field: str | None
) -> None:
    """Proto: "PORTAL_UNSPECIFIED: Not stated: refused."."""
    failure = await world.admin.refused("CreateConnection", request_)
    assert (failure.reason, failure.field) == (reason, field)


async def test_a_disabled_connection_answers_nothing_and_loses_nothing(world: World, connected: Connected) -> None:
    """PRODUCT §1: "A connection can be disabled (every call answers 401; nothing is deleted) and enabled again"."""
    created = await connected.scim.create("a@b")
    await world.admin.call("DisableConnection", pb.DisableConnectionRequest(connection_id=connected.id))
    failure = await connected.scim.refused("GetUser", directory_pb.GetUserRequest(id=created.id))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN")
    read = await world.admin.call("GetUser", directory_pb.GetUserRequest(connection_id=connected.id, id=created.id))
    assert read.user == created
    enabled = await world.admin.call("EnableConnection", pb.EnableConnectionRequest(connection_id=connected.id))
    await world.admin.call("EnableConnection", pb.EnableConnectionRequest(connection_id=connected.id))
    assert (enabled.connection.version, enabled.connection.state) == (3, pb.CONNECTION_STATE_ENABLED)
    assert await connected.scim.get(created.id) == created
    assert (await world.kinds(connected.id))[-2:] == ["ConnectionDisabled", "ConnectionEnabled"]


async def test_a_connection_is_renamed_and_listed(world: World, connected: Connected) -> None:
    """PRODUCT §1: "renamed"; AIP-132."""
    request = pb.RenameConnectionRequest(connection_id=connected.id, display_name="Okta")
    assert (await world.admin.call("RenameConnection", request)).connection.display_name == "Okta"
    second = await world.connect_to(connected.workspace_id, pb.PORTAL_MDM)
    third = await world.connect_to(connected.workspace_id, pb.PORTAL_STORE)
    ids, token = [], ""
    while True:
        listing = pb.ListConnectionsRequest(workspace_id=connected.workspace_id, page_size=2, page_token=token)
        page = await world.admin.call("ListConnections", listing)
        ids += [found.connection_id for found in page.connections]
        token = page.next_page_token
        if not token:
            break
    assert sorted(ids) == sorted([connected.id, second.id, third.id])
    everyone, token = set(), ""
    while True:
        page = await world.admin.call("ListConnections", pb.ListConnectionsRequest(page_size=200, page_token=token))
        everyone |= {found.connection_id for found in page.connections}
        token = page.next_page_token
        if not token:
            break
    assert {connected.id, second.id} <= everyone
    failure = await world.admin.refused("ListConnections", pb.ListConnectionsRequest(workspace_id="nowhere"))
    assert failure.reason == "WORKSPACE_NOT_FOUND"


async def gone(world: World, connection_id: str) -> bool:
    return not await world.rows(sa.select(CONNECTIONS.c.id).where(CONNECTIONS.c.id == connection_id))


async def test_a_deleted_connection_takes_everything_with_it(
    world: World, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PRODUCT §1: "deleted (all its users and groups are deleted, in bounded chunks, with their events)"."""
    monkeypatch.setattr("directory_service.connections.DELETED_AT_ONCE", 3)
    users = [(await connected.scim.create(f"u{n}")).id for n in range(7)]
    inner = await connected.scim.create_group("Inner", *users, "parked@b")
    await connected.scim.create_group("Outer", inner.id)
    other = await world.connect_to(connected.workspace_id, pb.PORTAL_MDM)
    kept = await other.scim.create("u1")
    deleted = await world.admin.call("DeleteConnection", pb.DeleteConnectionRequest(connection_id=connected.id))
    assert deleted.connection.state == pb.CONNECTION_STATE_DELETING
    failure = await connected.scim.refused("ListUsers", directory_pb.ListUsersRequest())
    assert failure.reason == "INVALID_TOKEN"
    await eventually(lambda: gone(world, connected.id))
    kinds = await world.kinds(connected.id)
    assert kinds[-1] == "ConnectionDeleted"
    assert (kinds.count("UserDeleted"), kinds.count("GroupDeleted")) == (7, 2)
    for table in ALL_TENANT_TABLES:
        # What was asked for, and what administrators did, is kept for its own time.
        if table not in (OUTBOX, TOMBSTONES, AUDIT_LOG, PROVISIONING_LOG):
            assert not await world.rows(sa.select(table).where(table.c.connection_id == connected.id)), table.name
    assert len(await world.rows(sa.select(TOMBSTONES).where(TOMBSTONES.c.connection_id == connected.id))) == 10
    assert await other.scim.get(kept.id) == kept
    snapshot = await world.admin.stream(
        "StreamSnapshot",
        directory_pb.StreamSnapshotRequest(connection_id=connected.id, kind=directory_pb.RESOURCE_KIND_CONNECTION),
    )
    assert [item.tombstone.version for item in snapshot] == [2]
    again = await world.admin.refused("DeleteConnection", pb.DeleteConnectionRequest(connection_id=connected.id))
    assert again.reason == "CONNECTION_NOT_FOUND"


async def test_a_deletion_that_was_cut_off_goes_on_after_a_restart(
    sqlite_url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rule: "in the background, resumes after restart"."""

    async def nothing(*_: Any) -> None:
        return None

    with monkeypatch.context() as patched:
        patched.setattr("directory_service.connections.finish_deletion", nothing)
        async with running(settings(sqlite_url, tmp_path)) as world:
            connected = await world.connect()
            await connected.scim.create("a@b")
            await world.admin.call("DeleteConnection", pb.DeleteConnectionRequest(connection_id=connected.id))
            for method, request in (
                ("IssueToken", pb.IssueTokenRequest(connection_id=connected.id)),
                ("EnableConnection", pb.EnableConnectionRequest(connection_id=connected.id)),
                ("CreateUser", directory_pb.CreateUserRequest(connection_id=connected.id, user={"user_name": "x"})),
            ):
                failure = await world.admin.refused(method, request)
                assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "CONNECTION_DELETING")
    async with running(settings(sqlite_url, tmp_path)) as world:
        await eventually(lambda: gone(world, connected.id))
        assert (await world.kinds(connected.id))[-2:] == ["UserDeleted", "ConnectionDeleted"]


async def test_a_workspace_is_deleted_when_it_has_no_connections(world: World, connected: Connected) -> None:
    """Proto: "FAILED_PRECONDITION while it has connections"; the rule: "publishes WorkspaceDeleted"."""
    request = pb.DeleteWorkspaceRequest(workspace_id=connected.workspace_id)
    failure = await world.admin.refused("DeleteWorkspace", request)
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "WORKSPACE_NOT_EMPTY")
    await world.admin.call("DeleteConnection", pb.DeleteConnectionRequest(connection_id=connected.id))
    await eventually(lambda: gone(world, connected.id))
    await world.admin.call("DeleteWorkspace", request)
    assert (await world.admin.refused("DeleteWorkspace", request)).reason == "WORKSPACE_NOT_FOUND"
    (row,) = await world.rows(sa.select(OUTBOX).where(OUTBOX.c.aggregate_id == connected.workspace_id))
    event = events_pb2.WorkspaceDeleted.FromString(row.payload)
    assert (event.origin.workspace_id, row.version) == (connected.workspace_id, 1)
    assert ".none.workspace.deleted.none." in row.subject


async def test_two_tokens_live_at_once(world: World, connected: Connected) -> None:
    """SECURITY: "Two live tokens per connection"."""
    issue = pb.IssueTokenRequest(connection_id=connected.id)
    second = await world.admin.call("IssueToken", issue)
    failure = await world.admin.refused("IssueToken", issue)
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "TOO_MANY_TOKENS")
    await world.scim(second.token).create("a@b")
    revoked = await world.admin.call(
        "RevokeToken", pb.RevokeTokenRequest(connection_id=connected.id, token_id=connected.token_id)
    )
    assert revoked.token.HasField("revoked_time")
    assert (await connected.scim.refused("ListUsers", directory_pb.ListUsersRequest())).reason == "INVALID_TOKEN"
    assert await world.scim(second.token).find() == ["a@b"]
    await world.admin.call("IssueToken", issue)
    listed = (await world.admin.call("ListTokens", pb.ListTokensRequest(connection_id=connected.id))).tokens
    assert len(listed) == 3
    assert [token.HasField("revoked_time") for token in listed].count(True) == 1


async def test_a_token_ends_when_it_expires(world: World, connected: Connected) -> None:
    """SECURITY: "expiry one year by default"; an expired one is INVALID_TOKEN and no longer live."""
    request = pb.IssueTokenRequest(connection_id=connected.id)
    details = (await world.admin.call("IssueToken", request)).details
    assert details.expire_time.seconds - details.created_time.seconds == 365 * 86_400
    await world.admin.call("RevokeToken", pb.RevokeTokenRequest(connection_id=connected.id, token_id=details.token_id))
    request.expires_in.FromMilliseconds(300)
    short = await world.admin.call("IssueToken", request)

    def refused(token: str) -> Callable[[], Awaitable[bool]]:
        async def check() -> bool:
            try:
                await world.scim(token).find()
            except RpcFailure as failure:
                return failure.reason == "INVALID_TOKEN"
            return False

        return check

    await eventually(refused(short.token))
    await world.admin.call("IssueToken", pb.IssueTokenRequest(connection_id=connected.id))


@pytest.mark.parametrize("seconds", [0, -1, 3651 * 86_400])
async def test_a_lifetime_has_its_range(world: World, connected: Connected, seconds: int) -> None:
    """Proto: "more than 0, at most 10 years"."""
    request = pb.IssueTokenRequest(connection_id=connected.id)
    request.expires_in.seconds = seconds
    failure = await world.admin.refused("IssueToken", request)
    assert (failure.reason, failure.field) == ("INVALID_VALUE", "expires_in")


async def test_a_token_that_ends_soon_is_warned_of_once_a_day(
    world: World, connected: Connected, caplog: pytest.LogCaptureFixture
) -> None:
    """SECURITY: "expiry one year by default, warned 30 days ahead"."""
    request = pb.IssueTokenRequest(connection_id=connected.id)
    request.expires_in.seconds = 29 * 86_400
    soon = await world.admin.call("IssueToken", request)
    usage = world.server._authenticator._usage
    for _ in range(2):
        await connected.scim.find()
        await world.scim(soon.token).find()
        await usage.flush_all()
    told = [record.getMessage() for record in caplog.records if "expires in" in record.getMessage()]
    warnings = [text for text in told if soon.details.token_id in text or connected.token_id in text]
    assert warnings == [f"token {soon.details.token_id} expires in 28 days: issue a new one"]
    assert soon.token not in caplog.text


async def test_a_token_of_another_connection_cannot_be_revoked_here(world: World, connected: Connected) -> None:
    """PRODUCT §1: "Nothing of one connection is reachable [...] through another"."""
    other = await world.connect()
    request = pb.RevokeTokenRequest(connection_id=other.id, token_id=connected.token_id)
    assert (await world.admin.refused("RevokeToken", request)).reason == "TOKEN_NOT_FOUND"
    assert await connected.scim.find() == []


async def test_the_last_use_is_written_when_the_process_ends_and_now_and_then(
    sqlite_url: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SECURITY: "last use written at most once a minute"."""
    monkeypatch.setattr("directory_service.background.FLUSH_SECONDS", 0.02)
    async with running(settings(sqlite_url, tmp_path)) as world:
        connected = await world.connect()
        listing = pb.ListTokensRequest(connection_id=connected.id)
        (token,) = (await world.admin.call("ListTokens", listing)).tokens
        assert not token.HasField("last_used_time")
        await connected.scim.find()

        async def written() -> bool:
            (token,) = (await world.admin.call("ListTokens", listing)).tokens
            return bool(token.HasField("last_used_time"))

        await eventually(written)
        (first,) = (await world.admin.call("ListTokens", listing)).tokens
        connection = (
            await world.admin.call("GetConnection", pb.GetConnectionRequest(connection_id=connected.id))
        ).connection
        assert connection.last_request_time == first.last_used_time
        await connected.scim.find()
        usage = world.server._authenticator._usage
        await usage.flush()
        (second,) = (await world.admin.call("ListTokens", listing)).tokens
        assert second.last_used_time == first.last_used_time
        await usage.flush_all()
        (third,) = (await world.admin.call("ListTokens", listing)).tokens
        assert third.last_used_time.ToNanoseconds() > first.last_used_time.ToNanoseconds()
