"""Who may do what (SECURITY): identities, tokens, and walls between connections."""

import asyncio
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import connection_service_pb2 as connections_pb
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import group_pb2

from chassis import scim_token
from chassis.errors import RpcFailure
from directory_service.authentication import CACHED_TOKENS, TokenCache
from directory_service.repository.times import now_ms
from directory_service.tables import OUTBOX, TOKENS
from tests.conftest import eventually
from tests.directory_service.world import STREAMS, Caller, Connected, World, email, operation, user

DIRECTORY_METHODS = pb.DESCRIPTOR.services_by_name["DirectoryService"].methods_by_name
CONNECTION_METHODS = connections_pb.DESCRIPTOR.services_by_name["ConnectionService"].methods_by_name
WRITES = {
    "CreateUser",
    "UpdateUser",
    "PatchUser",
    "DeleteUser",
    "CreateGroup",
    "UpdateGroup",
    "PatchGroup",
    "DeleteGroup",
    "BulkWrite",
}
INTERNAL = {"ListParkedMembers", "StreamSnapshot", "GetEvent"}
ADMINISTRATIVE = {"ReplayEvents", "FindUsers"}
SERVICE_READS = {
    "GetUser", "ListUsers", "GetGroup", "ListGroups", "ListGroupMembers", "ListExtensions",
    "SearchResources", *INTERNAL, "GetWorkspace", "ListWorkspaces",
    "GetConnection", "ListConnections", "GetAttributeMapping", "ListAttributeHistory", "PreviewAttributeMapping",
}  # fmt: skip


def request_of(method: str, connection_id: str, user_id: str, group_id: str) -> Any:
    """A request of every method of DirectoryService that names these ids."""
    return {
        "CreateUser": pb.CreateUserRequest(connection_id=connection_id, user=user("new@b")),
        "GetUser": pb.GetUserRequest(connection_id=connection_id, id=user_id, include_groups=True),
        "ListUsers": pb.ListUsersRequest(connection_id=connection_id),
        "FindUsers": pb.FindUsersRequest(connection_id=connection_id),
        "ListExtensions": pb.ListExtensionsRequest(connection_id=connection_id),
        "UpdateUser": pb.UpdateUserRequest(connection_id=connection_id, user=user("new@b", id=user_id)),
        "PatchUser": pb.PatchUserRequest(
            connection_id=connection_id, id=user_id, operations=[operation("replace", "title", "x")]
        ),
        "DeleteUser": pb.DeleteUserRequest(connection_id=connection_id, id=user_id),
        "CreateGroup": pb.CreateGroupRequest(connection_id=connection_id, group={"display_name": "New"}),
        "GetGroup": pb.GetGroupRequest(connection_id=connection_id, id=group_id, include_members=True),
        "ListGroups": pb.ListGroupsRequest(connection_id=connection_id),
        "UpdateGroup": pb.UpdateGroupRequest(
            connection_id=connection_id, group={"id": group_id, "display_name": "New"}, members={}
        ),
        "PatchGroup": pb.PatchGroupRequest(
            connection_id=connection_id, id=group_id, operations=[operation("remove", "members")]
        ),
        "DeleteGroup": pb.DeleteGroupRequest(connection_id=connection_id, id=group_id),
        "ListGroupMembers": pb.ListGroupMembersRequest(connection_id=connection_id, group_id=group_id),
        "ListParkedMembers": pb.ListParkedMembersRequest(connection_id=connection_id, group_id=group_id),
        "StreamSnapshot": pb.StreamSnapshotRequest(connection_id=connection_id, kind=pb.RESOURCE_KIND_USER, id=user_id),
        "GetEvent": pb.GetEventRequest(event_id="nothing"),
        "SearchResources": pb.SearchResourcesRequest(connection_id=connection_id),
        "BulkWrite": pb.BulkWriteRequest(
            connection_id=connection_id,
            operations=[
                pb.BulkOperation(delete_user=pb.DeleteUserRequest(id=user_id)),
                pb.BulkOperation(
                    patch_group=pb.PatchGroupRequest(id=group_id, operations=[operation("remove", "members")])
                ),
            ],
        ),
        "ReplayEvents": pb.ReplayEventsRequest(connection_id=connection_id, from_sequence=0),
        "CheckToken": pb.CheckTokenRequest(connection_id=connection_id),
    }[method]


async def reason(caller: Caller, method: str, request: Any) -> str:
    """The reason of a refusal; empty when the call is answered."""
    try:
        await (caller.stream if method in STREAMS else caller.call)(method, request)
    except RpcFailure as failure:
        return failure.reason
    return ""


@pytest.mark.parametrize("method", sorted(DIRECTORY_METHODS))
async def test_no_method_reaches_a_resource_of_another_connection(
    world: World, connected: Connected, method: str
) -> None:
    """SECURITY, CVE-2026-92539: "two connections × every route × every id [...]: 404, no event"."""
    victim = await world.connect_to(connected.workspace_id, connections_pb.PORTAL_MDM)
    found = await victim.scim.create("victim@b", external_id="v-ext", emails=[email("victim@b")])
    group = await victim.scim.create_group("Victims", found.id, "parked@b")
    before = len(await world.events(victim.id))
    foreign = request_of(method, victim.id, found.id, group.id)
    if method not in INTERNAL | ADMINISTRATIVE:
        failure = await connected.scim.refused(method, foreign)
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN")
    own = request_of(method, "", found.id, group.id)
    by_admin = request_of(method, connected.id, found.id, group.id)
    for caller, request in ((connected.scim, own), (world.admin, by_admin)):
        if method in ADMINISTRATIVE | {"CheckToken"} or (caller is connected.scim and method in INTERNAL):
            continue
        if method in ("CreateUser", "CreateGroup"):
            await caller.call(method, request)
            await world.admin.call(
                "DeleteUser" if method == "CreateUser" else "DeleteGroup",
                pb.DeleteUserRequest(connection_id=connected.id, id=(await only(world, connected, method)))
                if method == "CreateUser"
                else pb.DeleteGroupRequest(connection_id=connected.id, id=(await only(world, connected, method))),
            )
        elif method == "BulkWrite":
            results = (await caller.call(method, request)).results
            assert [result.failure.code for result in results] == [grpc.StatusCode.NOT_FOUND.value[0]] * 2
            assert "victim" not in str(results).lower()
        elif method in ("ListUsers", "ListGroups", "SearchResources"):
            response = await caller.call(method, request)
            assert response.total_size == 0
        elif method == "ListExtensions":
            assert not (await caller.call(method, request)).extensions
        else:
            failure = await caller.refused(method, request)
            assert failure.code == grpc.StatusCode.NOT_FOUND
            assert "victim" not in failure.message.lower()
    assert len(await world.events(victim.id)) == before
    assert await victim.scim.get(found.id) == found
    assert await victim.scim.group(group.id) == group


async def only(world: World, connected: Connected, method: str) -> str:
    """The id of the one resource of a connection."""
    if method == "CreateUser":
        response = await world.admin.call("ListUsers", pb.ListUsersRequest(connection_id=connected.id))
        return response.users[0].id
    response = await world.admin.call("ListGroups", pb.ListGroupsRequest(connection_id=connected.id))
    return response.groups[0].id


async def test_members_of_another_connection_are_strangers(world: World, connected: Connected) -> None:
    """PRODUCT §1: "Nothing of one connection is reachable, matched or even hinted at through another"."""
    victim = await world.connect()
    found = await victim.scim.create("victim@b", external_id="v-ext")
    inner = await victim.scim.create_group("Inner", external_id="g-ext")
    names = [found.id, "v-ext", "victim@b", inner.id]
    group = await connected.scim.create_group("Mine", *names)
    assert (list(group.members), group.member_count) == ([], 0)
    assert await world.admin.parked(connection_id=connected.id) == names
    await victim.scim.update(user("victim2@b", id=found.id))
    await victim.scim.create("late@b", external_id=found.id)
    assert (await connected.scim.group(group.id)).member_count == 0
    for text in (
        f'id eq "{found.id}"',
        'externalId eq "v-ext"',
        'userName sw "victim"',
        f'groups.value eq "{group.id}"',
    ):
        assert await connected.scim.find(text) == []
        assert await connected.scim.find(f"not ({text})") == []
    same = await connected.scim.create("victim@b", external_id="v-ext")
    assert same.id != found.id
    assert not (await victim.scim.get(found.id, include_groups=True)).groups


@pytest.mark.parametrize("method", sorted({*DIRECTORY_METHODS, *CONNECTION_METHODS}))
async def test_every_method_is_denied_by_default(world: World, connected: Connected, method: str) -> None:
    """SECURITY: "default deny"; the rule: "portal/mdm: read-only methods of both services"."""
    if method in DIRECTORY_METHODS:
        request = request_of(method, connected.id, "nobody", "nobody")
    else:
        request = getattr(connections_pb, f"{method}Request")()
    for name in ("portal", "mdm"):
        caller = world.identity(name)
        if method in SERVICE_READS:
            # Whatever the answer is, it is not a denial.
            assert await reason(caller, method, request) not in (
                "PERMISSION_DENIED",
                "INVALID_CREDENTIAL",
                "INVALID_TOKEN",
            )
        else:
            assert (await caller.refused(method, request)).code == grpc.StatusCode.PERMISSION_DENIED
    if method in CONNECTION_METHODS or method in INTERNAL | ADMINISTRATIVE:
        assert (await connected.scim.refused(method, request)).code == grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("method", sorted({*DIRECTORY_METHODS, *CONNECTION_METHODS}))
async def test_every_method_needs_an_identity(world: World, method: str) -> None:
    """SECURITY: "Internal callers authenticate"; anonymous and wrong credentials are the same."""
    target = f"127.0.0.1:{world.server.port}"
    requests = connections_pb if method in CONNECTION_METHODS else pb
    for metadata in ((), (("authorization", "Bearer " + "x" * 43),), (("authorization", "Basic eDp4"),)):
        async with grpc.aio.insecure_channel(target) as channel:
            caller = Caller(channel)
            caller._metadata = metadata  # type: ignore[assignment]
            failure = await caller.refused(method, getattr(requests, f"{method}Request")())
            assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIAL")
            assert failure.domain == "directory.rollcall"


async def test_every_fault_of_a_token_has_one_answer(world: World, connected: Connected) -> None:
    """SECURITY: "A token of another connection, a disabled connection, an unknown one, an expired or revoked token: the
    same 401".
    """
    other = await world.connect()
    unknown, _ = scim_token.issue(scim_token.new_token_id())
    _, _, secret = connected.token.removeprefix("rollcall_scim_").partition("_")
    forged, _ = scim_token.issue(connected.token_id)
    expired, expired_hash = scim_token.issue(scim_token.new_token_id())
    expired_id = scim_token.parse(expired)
    assert expired_id is not None
    await world.server.db.write(
        lambda tx: tx.execute(
            TOKENS.insert(),
            {
                "token_id": expired_id[0], "connection_id": connected.id, "sha256": expired_hash, "scope": "WRITE",
                "created_ms": 1, "expires_ms": now_ms() - 1, "last_used_ms": None, "revoked_ms": None,
            },
        ) and None
    )  # fmt: skip
    tokens = [
        "",
        "garbage",
        "rollcall_scim_x_" + secret,
        connected.token[:-1] + "!",
        unknown,
        forged,
        expired,
        other.token,
    ]
    answers = set()
    for token in tokens:
        failure = await world.scim(token).refused("ListUsers", pb.ListUsersRequest(connection_id=connected.id))
        answers.add((failure.code, failure.reason, failure.message))
    assert len(answers) == 1
    assert next(iter(answers))[:2] == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN")
    assert (await connected.scim.call("CheckToken", pb.CheckTokenRequest())).connection_id == connected.id


async def test_a_read_token_may_not_write(world: World, connected: Connected) -> None:
    """SECURITY: "scopes `read`, `write`"."""
    request = connections_pb.IssueTokenRequest(connection_id=connected.id, scope=connections_pb.TOKEN_SCOPE_READ)
    reader = world.scim((await world.admin.call("IssueToken", request)).token)
    assert await reader.find() == []
    for method in WRITES:
        failure = await reader.refused(method, request_of(method, "", "nobody", "nobody"))
        assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
    assert await world.kinds(connected.id) == []


async def test_a_revocation_by_another_process_works_within_a_second(world: World, connected: Connected) -> None:
    """SECURITY: "revocation takes effect within one second everywhere"."""
    await connected.scim.find()
    loop = asyncio.get_running_loop()
    await world.server.db.write(
        lambda tx: (
            tx.execute(sa.update(TOKENS).where(TOKENS.c.token_id == connected.token_id).values(revoked_ms=now_ms()))
            and None
        )
    )
    began = loop.time()

    async def refused() -> bool:
        return await reason(connected.scim, "ListUsers", pb.ListUsersRequest()) == "INVALID_TOKEN"

    await eventually(refused, timeout=5.0)
    assert loop.time() - began < 1.0


async def test_the_token_cache_is_bounded_and_forgets(world: World, connected: Connected) -> None:
    """The rule: "entries for misses too but bounded in size"."""
    time = 0.0
    cache = TokenCache(world.server.db, clock=lambda: time)
    assert (await cache.get(connected.token_id)) is (await cache.get(connected.token_id))
    first = await cache.get(connected.token_id)
    time = 1.0
    assert (await cache.get(connected.token_id)) is not first
    second = await cache.get(connected.token_id)
    cache.clear()
    assert (await cache.get(connected.token_id)) is not second
    cache._entries = {str(number): (2.0, None) for number in range(CACHED_TOKENS)}
    await cache.get("one more")
    assert len(cache._entries) <= CACHED_TOKENS


async def test_a_look_up_under_way_at_a_change_is_not_remembered(world: World, connected: Connected) -> None:
    """As above: what was read before the change must not outlive it."""
    cache = TokenCache(world.server.db)
    under_way = asyncio.ensure_future(cache.get(connected.token_id))
    while not cache._lookups:
        await asyncio.sleep(0)
    await asyncio.sleep(0)  # the look-up is asked of the database now
    cache.clear()
    assert await under_way is not None
    assert cache._entries == {}


async def test_an_internal_caller_names_the_connection(world: World) -> None:
    """SECURITY: "Every repository query is bound to a connection or workspace id; a missing one is an error"."""
    for method in sorted(set(DIRECTORY_METHODS) - {"GetEvent", "CheckToken"}):
        failure = await world.admin.refused(method, request_of(method, "", "x", "x"))
        assert (failure.reason, failure.field) == ("INVALID_VALUE", "connection_id"), method


async def test_an_unexpected_error_tells_nothing(world: World, connected: Connected, monkeypatch: Any) -> None:
    """SECURITY: "Errors never carry a traceback, SQL, or another tenant's data."."""

    def broken(*_: Any) -> None:
        raise RuntimeError("SELECT secret FROM canary")

    monkeypatch.setattr("directory_service.repository.users.get_user", broken)
    failure = await connected.scim.refused("GetUser", pb.GetUserRequest(id="x"))
    assert (failure.code, failure.message) == (grpc.StatusCode.INTERNAL, "internal error")


async def test_every_tenant_column_is_not_null(world: World) -> None:
    """SECURITY, GHSA-j8v8-g9cx-5qf4: "tenant columns NOT NULL; fail closed"."""
    from directory_service.tables import ALL_TENANT_TABLES

    assert len(ALL_TENANT_TABLES) >= 7
    for table in ALL_TENANT_TABLES:
        assert not table.c.connection_id.nullable, table.name


async def test_no_personal_data_is_in_subjects_or_headers(world: World, connected: Connected) -> None:
    """DELIVERY: "No personal data in subjects or headers: ids only."."""
    found = await connected.scim.create("canary@b", external_id="canary-ext", emails=[email("canary@mail")])
    await connected.scim.create_group("canary-group", found.id)
    await connected.scim.put_group(group_pb2.Group(id=(await only_group(connected)), display_name="canary-two"), [])
    await connected.scim.delete(found.id)
    columns = [column for column in OUTBOX.c if column.name != "payload"]
    rows = await world.rows(sa.select(*columns).where(OUTBOX.c.connection_id == connected.id))
    assert len(rows) > 5
    assert "canary" not in str(rows)


async def only_group(connected: Connected) -> str:
    response = await connected.scim.call("ListGroups", pb.ListGroupsRequest())
    return str(response.groups[0].id)
