"""Client profiles: which dialects of SCIM were seen on a connection, as data for the administrator."""

from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.directory.v1 import directory_service_pb2 as directory_pb
from rollcall.directory.v1 import directory_service_pb2_grpc

from chassis import scim_token
from directory_service.profiles import DIALECTS, WRITTEN_MS
from directory_service.tables import CLIENT_PROFILES
from tests.conftest import eventually
from tests.directory_service.world import Connected, World


async def request(world: World, connected: Connected, dialect: str, *, token: str | None = None) -> None:
    """Send one request of the gateway, in a dialect."""
    stub = directory_service_pb2_grpc.DirectoryServiceStub(world.channels["gateway"])
    metadata = (("rollcall-scim-token", token or connected.token), ("rollcall-client-dialect", dialect))
    await stub.ListUsers(directory_pb.ListUsersRequest(), metadata=metadata, timeout=30)


async def profiles(world: World, connected: Connected) -> dict[str, pb.ClientProfile]:
    """The client profiles of a connection, by dialect."""
    response = await world.admin.call("GetConnection", pb.GetConnectionRequest(connection_id=connected.id))
    return {
        pb.ClientDialect.Name(profile.dialect).removeprefix("CLIENT_DIALECT_"): profile
        for profile in response.connection.client_profiles
    }


async def written(world: World, connected: Connected) -> dict[str, int]:
    """What the database holds: the count of each dialect."""
    rows = await world.rows(sa.select(CLIENT_PROFILES).where(CLIENT_PROFILES.c.connection_id == connected.id))
    return {row.dialect: row.request_count for row in rows}


async def test_a_dialect_is_kept_with_first_and_last_sight_and_a_count(world: World, connected: Connected) -> None:
    """Rule: "kept on the connection with first and last sight, as data for the administrator"."""
    assert await profiles(world, connected) == {}
    await request(world, connected, "OKTA")
    first = (await profiles(world, connected))["OKTA"]
    assert first.request_count == 1
    assert first.first_seen_time == first.last_seen_time
    for dialect in ("ENTRA", "OKTA", "OKTA"):
        await request(world, connected, dialect)
    seen = await profiles(world, connected)
    assert {name: profile.request_count for name, profile in seen.items()} == {"OKTA": 3, "ENTRA": 1}
    assert list(seen) == ["OKTA", "ENTRA"]
    assert seen["OKTA"].first_seen_time == first.first_seen_time
    assert seen["OKTA"].last_seen_time.ToNanoseconds() >= first.last_seen_time.ToNanoseconds()
    listed = await world.admin.call("ListConnections", pb.ListConnectionsRequest(workspace_id=connected.workspace_id))
    assert [list(c.client_profiles) for c in listed.connections] == [list(seen.values())]


async def test_the_first_sight_is_written_at_once_and_later_ones_once_a_minute(
    world: World, connected: Connected, monkeypatch: Any
) -> None:
    """SECURITY, as of tokens: "last use written at most once a minute", off the path of requests."""
    await request(world, connected, "OKTA_OIN")

    async def is_written() -> bool:
        return await written(world, connected) == {"OKTA_OIN": 1}

    await eventually(is_written)
    await request(world, connected, "OKTA_OIN")
    gathered = world.server.directory.profiles
    await gathered.flush()
    assert await written(world, connected) == {"OKTA_OIN": 1}
    from directory_service import profiles as module

    later = module.now_ms() + WRITTEN_MS
    monkeypatch.setattr(module, "now_ms", lambda: later)
    await gathered.flush()
    assert await written(world, connected) == {"OKTA_OIN": 2}


async def test_only_dialects_of_the_contract_and_good_tokens_are_noted(world: World, connected: Connected) -> None:
    """A profile is evidence of requests that were let in."""
    assert set(DIALECTS) == {"OKTA_AIW", "OKTA_OIN", "OKTA", "ENTRA", "OTHER"}
    await request(world, connected, "NONSENSE")
    await connected.scim.find()
    with pytest.raises(grpc.aio.AioRpcError):
        await request(world, connected, "OKTA", token=scim_token.issue(scim_token.new_token_id())[0])
    assert await profiles(world, connected) == {}


async def test_profiles_end_with_their_connection(world: World, connected: Connected) -> None:
    """PRODUCT §1: a deleted connection leaves nothing behind, be it noted late."""
    await request(world, connected, "OTHER")
    await profiles(world, connected)
    await world.admin.call("DeleteConnection", pb.DeleteConnectionRequest(connection_id=connected.id))
    world.server.directory.profiles.seen(connected.id, "OTHER", 1)

    async def is_gone() -> bool:
        await world.server.directory.profiles.flush(all_of=connected.id)
        return await written(world, connected) == {}

    await eventually(is_gone)
    await world.admin.refused("GetConnection", pb.GetConnectionRequest(connection_id=connected.id))
