"""Many writes in one call: order, references, circles, failures, and what it costs (RFC 7644 §3.7)."""

import itertools
import json
import uuid
from collections.abc import Sequence
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import errors_pb2, group_pb2, user_pb2

from chassis.database import Transaction
from directory_service import bulk, users
from directory_service.domain.bulk import has_circle, making_order, references, resolve_references
from directory_service.tables import OUTBOX
from tests.directory_service.world import Caller, Connected, World, as_request, operation, user, values


def new_user(bulk_id: str, user_name: str = "", **fields: Any) -> pb.BulkOperation:
    """A creation of a user."""
    return pb.BulkOperation(
        bulk_id=bulk_id, create_user=pb.CreateUserRequest(user=user(user_name or f"{bulk_id}@example.com", **fields))
    )


def new_group(bulk_id: str, *members: str, display_name: str = "") -> pb.BulkOperation:
    """A creation of a group."""
    request = pb.CreateGroupRequest(group=group_pb2.Group(display_name=display_name or f"Group {bulk_id}"))
    request.members.members.extend(group_pb2.Member(value=value) for value in members)
    return pb.BulkOperation(bulk_id=bulk_id, create_group=request)


def managed(bulk_id: str, manager: str) -> pb.BulkOperation:
    """A creation of a user who has a manager."""
    enterprise = user_pb2.EnterpriseUser(manager=user_pb2.Manager(value=manager))
    return new_user(bulk_id, enterprise=enterprise)


async def write(scim: Caller, *operations: pb.BulkOperation, fail_on_errors: int = 0) -> list[pb.BulkResult]:
    """Make many writes."""
    request = pb.BulkWriteRequest(operations=operations, fail_on_errors=fail_on_errors)
    return list((await scim.call("BulkWrite", request)).results)


def outcome(result: pb.BulkResult) -> str:
    """The name of the reason for which an operation failed, or OK."""
    if result.WhichOneof("outcome") == "etag":
        return "OK"
    return errors_pb2.ErrorReason.Name(result.failure.reason).removeprefix("ERROR_REASON_")


def outcomes(results: Sequence[pb.BulkResult]) -> list[str]:
    """What each operation came to."""
    return [outcome(result) for result in results]


async def test_every_kind_of_write_is_made_in_order(world: World, connected: Connected) -> None:
    """RFC 7644 §3.7: "send a potentially large collection of resource operations in a single request"."""
    scim = connected.scim
    ada, eve = await scim.create("ada"), await scim.create("eve")
    team, old = await scim.create_group("Team", ada.id), await scim.create_group("Old", eve.id)
    before = len(await world.kinds(connected.id))
    results = await write(
        scim,
        new_user("b", "bob"),
        pb.BulkOperation(
            update_user=pb.UpdateUserRequest(user=user("ada", id=ada.id, title="Countess"), etag=ada.etag)
        ),
        pb.BulkOperation(patch_user=pb.PatchUserRequest(id=ada.id, operations=[operation("replace", "active", False)])),
        pb.BulkOperation(delete_user=pb.DeleteUserRequest(id=eve.id)),
        new_group("g", ada.id, display_name="New"),
        pb.BulkOperation(
            update_group=pb.UpdateGroupRequest(
                group=group_pb2.Group(id=team.id, display_name="Crew"), members=group_pb2.MemberList()
            )
        ),
        pb.BulkOperation(
            patch_group=pb.PatchGroupRequest(id=team.id, operations=[operation("add", "members", [{"value": ada.id}])])
        ),
        pb.BulkOperation(delete_group=pb.DeleteGroupRequest(id=old.id)),
    )
    assert outcomes(results) == ["OK"] * 8
    assert [result.index for result in results] == list(range(8))
    assert [result.id for result in results[1:4]] == [ada.id, ada.id, eve.id]
    assert [result.etag for result in results] == [
        'W/"1"', 'W/"2"', 'W/"3"', "", 'W/"2"', 'W/"4"', 'W/"5"', "",
    ]  # fmt: skip
    assert (await scim.get(ada.id)).title == "Countess"
    assert not (await scim.get(ada.id)).active
    assert (await scim.get(results[0].id)).user_name == "bob"
    assert values(await scim.group(team.id)) == values(await scim.group(results[4].id)) == [ada.id]
    assert (await world.kinds(connected.id))[before:] == [
        "UserCreated", "UserUpdated", "UserDeactivated", "UserDeleted", "GroupMembersChanged", "GroupCreated",
        "GroupMembersChanged", "GroupUpdated", "GroupMembersChanged", "GroupMembersChanged", "GroupDeleted",
    ]  # fmt: skip


async def test_a_reference_is_the_id_of_what_is_created_wherever_it_stands(world: World, connected: Connected) -> None:
    """RFC 7644 §3.7.2: "the service provider MUST replace the string with the permanent resource id once created"."""
    scim = connected.scim
    reference = json.dumps({"owner": {"value": "bulkId:ada"}, "list": ["bulkId:ada", "x"], "note": "see bulkId:ada"})
    results = await write(
        scim,
        # Both before what they refer to.
        new_group("team", "bulkId:ada", "bulkId:bob"),
        pb.BulkOperation(
            patch_group=pb.PatchGroupRequest(
                id="bulkId:team", operations=[operation("remove", 'members[value eq "bulkId:bob"]')]
            )
        ),
        managed("bob", "bulkId:ada"),
        new_user("ada", extensions={"urn:acme:x": reference}),
        pb.BulkOperation(
            patch_user=pb.PatchUserRequest(
                id="bulkId:ada", operations=[operation("add", "urn:acme:x:peer", "../Users/bulkId:bob")]
            )
        ),
    )
    assert outcomes(results) == ["OK"] * 5
    team, patched, bob, ada, _ = results
    assert patched.id == team.id
    assert values(await scim.group(team.id)) == [ada.id]
    assert (await scim.get(bob.id)).enterprise.manager.value == ada.id
    assert json.loads((await scim.get(ada.id)).extensions["urn:acme:x"]) == {
        "owner": {"value": ada.id},
        "list": [ada.id, "x"],
        "note": "see bulkId:ada",
        "peer": f"../Users/{bob.id}",
    }
    created = [name for name in await world.kinds(connected.id) if name.endswith("Created")]
    assert created == ["UserCreated", "UserCreated", "GroupCreated"]


async def test_creations_that_refer_to_each_other_are_made_together(connected: Connected) -> None:
    """RFC 7644 §3.7.1: "The service provider MUST try to resolve circular cross-references"."""
    scim = connected.scim
    results = await write(
        scim, managed("a", "bulkId:c"), managed("b", "bulkId:a"), managed("c", "bulkId:b"), managed("d", "bulkId:d")
    )
    assert outcomes(results) == ["OK"] * 4
    a, b, c, d = [result.id for result in results]
    managers = [(await scim.get(user_id)).enterprise.manager.value for user_id in (a, b, c, d)]
    assert managers == [c, a, b, d]


async def test_a_circle_that_cannot_be_made_leaves_nothing_behind(world: World, connected: Connected) -> None:
    """RFC 7644 §3.7.1: "MAY stop after a failed attempt and instead return the status code 409 (Conflict)"."""
    scim = connected.scim
    await scim.create("taken@example.com")
    before = await world.kinds(connected.id)
    results = await write(
        scim,
        managed("a", "bulkId:b"),
        managed("b", "bulkId:taken"),
        managed("taken", "bulkId:a"),
        new_group("g", "bulkId:a"),
        new_user("alone"),
    )
    assert outcomes(results) == [
        "UNRESOLVED_REFERENCE",
        "UNRESOLVED_REFERENCE",
        "USER_NAME_TAKEN",
        "UNRESOLVED_REFERENCE",
        "OK",
    ]
    assert sorted(await scim.find()) == ["alone@example.com", "taken@example.com"]
    assert await world.kinds(connected.id) == [*before, "UserCreated"]
    listed = await scim.call("ListUsers", pb.ListUsersRequest())
    assert listed.total_size == 2


async def test_groups_that_would_contain_each_other_are_refused(world: World, connected: Connected) -> None:
    """PRODUCT §2: a group cannot contain itself, be it through others; the rest of the request goes on."""
    scim = connected.scim
    results = await write(
        scim,
        new_group("a", "bulkId:b"),
        new_group("b", "bulkId:c"),
        new_group("c", "bulkId:a"),
        new_group("self", "bulkId:self"),
        new_group("top", "bulkId:inner"),
        new_group("inner", "bulkId:u"),
        new_user("u"),
    )
    assert outcomes(results) == ["UNRESOLVED_REFERENCE"] * 4 + ["OK"] * 3
    assert "cannot contain itself" in results[0].failure.message
    assert results[0].failure.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    top = await scim.group(results[4].id)
    assert values(top) == [results[5].id]
    assert await world.admin.parked(connection_id=connected.id) == []


async def test_a_failure_is_its_own_and_of_what_refers_to_it(connected: Connected) -> None:
    """RFC 7644 §3.7: "MUST continue performing as many changes as possible and disregard partial failures"."""
    scim = connected.scim
    ada = await scim.create("ada")
    missing = str(uuid.uuid4())
    results = await write(
        scim,
        new_user("x", "ADA"),
        new_group("g", "bulkId:x"),
        pb.BulkOperation(delete_user=pb.DeleteUserRequest(id=missing)),
        pb.BulkOperation(update_user=pb.UpdateUserRequest(user=user("ada", id=ada.id), etag='W/"7"')),
        pb.BulkOperation(patch_user=pb.PatchUserRequest(id=ada.id, operations=[operation("replace", "userName", "")])),
        new_user("long", "n" * 600),
        pb.BulkOperation(bulk_id="r", refused=pb.RefusedOperation()),
        new_group("h", "bulkId:r"),
        new_group("k", "bulkId:nobody"),
        new_user("good", "good"),
    )
    assert outcomes(results) == [
        "USER_NAME_TAKEN", "UNRESOLVED_REFERENCE", "USER_NOT_FOUND", "ETAG_MISMATCH", "INVALID_VALUE", "INVALID_VALUE",
        "INVALID_VALUE", "UNRESOLVED_REFERENCE", "INVALID_VALUE", "OK",
    ]  # fmt: skip
    assert [result.id for result in results[:4]] == ["", "", missing, ada.id]
    assert "nobody" in results[8].failure.message
    assert await scim.find() == ["ada", "good"]


@pytest.mark.parametrize(("allowed", "reached"), [(1, 2), (2, 4), (3, 5), (0, 6), (4, 6)])
async def test_after_as_many_errors_as_allowed_nothing_more_is_done(
    connected: Connected, allowed: int, reached: int
) -> None:
    """RFC 7644 §3.7: "the number of errors that the service provider will accept before" it stops."""
    scim = connected.scim
    results = await write(
        scim,
        new_user("a"),
        new_user("b", "A@example.com"),
        new_user("c"),
        pb.BulkOperation(refused=pb.RefusedOperation()),
        new_user("d", "n" * 600),
        new_user("e"),
        fail_on_errors=allowed,
    )
    assert [result.index for result in results] == list(range(reached))
    assert len(await scim.find()) == len([result for result in results if outcome(result) == "OK"])


async def test_errors_are_counted_across_transactions(
    world: World, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 7644 §3.7 `failOnErrors`, whatever the number of transactions; a reference reaches from one into another."""
    monkeypatch.setattr(bulk, "UNIT_OPERATIONS", 2)
    scim = connected.scim
    sent = [
        new_user("a"), new_user("b", "a@example.com"), new_group("g", "bulkId:b"), new_group("h", "bulkId:a"),
        new_user("z", "A@example.com"), new_user("y"), new_user("w"),
    ]  # fmt: skip
    results = await write(scim, *sent, fail_on_errors=3)
    assert outcomes(results) == ["OK", "USER_NAME_TAKEN", "UNRESOLVED_REFERENCE", "OK", "USER_NAME_TAKEN"]
    assert values(await scim.group(results[3].id)) == [results[0].id]
    assert (await world.kinds(connected.id)) == ["UserCreated", "GroupCreated", "GroupMembersChanged"]


async def test_a_failure_between_transactions_is_told_of_what_is_left(
    world: World, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proto: "the call fails only when nothing was done"."""
    monkeypatch.setattr(bulk, "UNIT_OPERATIONS", 2)
    lock, passed = bulk.lock, itertools.count()

    def locked(tx: Transaction, access: Any) -> Any:
        if next(passed):
            tx.execute(
                sa.text("UPDATE connections SET state = 'DISABLED' WHERE id = :id"), {"id": access.connection_id}
            )
        return lock(tx, access)

    monkeypatch.setattr(bulk, "lock", locked)
    results = await write(connected.scim, *(new_user(name) for name in "abcde"))
    assert outcomes(results) == ["OK", "OK", "INVALID_TOKEN", "INVALID_TOKEN", "INVALID_TOKEN"]


async def test_a_unit_that_fails_after_a_write_harms_no_other(
    world: World, connected: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 7644 §3.7: "disregard partial failures": also those that nobody foresaw."""
    insert = users.repository.insert_user

    def broken(tx: Transaction, *arguments: Any, **named: Any) -> bool:
        inserted = insert(tx, *arguments, **named)
        if "bad" in named["document"]["userName"]:
            raise RuntimeError("a fault after the row was written")
        if "worse" in named["document"]["userName"]:
            tx.execute(sa.text("INSERT INTO nowhere VALUES (1)"))
        return inserted

    monkeypatch.setattr(users.repository, "insert_user", broken)
    scim = connected.scim
    results = await write(
        scim, new_user("a"), new_user("bad"), new_user("b"), new_user("worse"), new_group("g", "bulkId:b")
    )
    assert outcomes(results) == ["OK", "UNSPECIFIED", "OK", "UNSPECIFIED", "OK"]
    assert results[1].failure.message == "internal error"
    assert await scim.find() == ["a@example.com", "b@example.com"]
    assert (await scim.call("ListUsers", pb.ListUsersRequest(count_only=True))).total_size == 2
    assert await world.kinds(connected.id) == ["UserCreated", "UserCreated", "GroupCreated", "GroupMembersChanged"]


async def test_a_thousand_creations_cost_few_transactions(world: World, connected: Connected) -> None:
    """HOUSE, Errors and cost: "1,000 creates cost a small multiple of one commit"; one request id in every event."""
    commits = 0

    def committed() -> None:
        nonlocal commits
        commits += 1

    world.server.db.on_commit(committed)
    async with as_request("r-bulk", "POST /Bulk"):
        results = await write(connected.scim, *(new_user(f"u{n}") for n in range(1000)))
    assert outcomes(results) == ["OK"] * 1000
    assert commits <= 12  # eight of them ours; the background work writes now and then
    assert len(await world.kinds(connected.id)) == 1000
    rows = await world.rows(
        sa.select(OUTBOX.c.request_id, OUTBOX.c.request).where(
            OUTBOX.c.connection_id == connected.id, OUTBOX.c.aggregate_kind == "user"
        )
    )
    assert set(map(tuple, rows)) == {("r-bulk", "POST /Bulk")}


async def test_a_request_that_is_wrong_as_a_whole_changes_nothing(world: World, connected: Connected) -> None:
    """RFC 7644 §3.7: a bulkId is "unique within a bulk request"; SECURITY: "Bulk 1,000 operations"."""
    scim = connected.scim
    for operations, errors, field in (
        ([new_user("a"), new_user("a", "b")], 0, "operations[1].bulk_id"),
        ([new_user("a"), pb.BulkOperation(bulk_id="x")], 0, "operations[1].write"),
        ([new_user(f"{n}") for n in range(1001)], 0, "operations"),
        ([new_user("a")], -1, "fail_on_errors"),
    ):
        request = pb.BulkWriteRequest(operations=operations, fail_on_errors=errors)
        failure = await scim.refused("BulkWrite", request)
        assert (failure.reason, failure.field) == ("INVALID_VALUE", field)
    assert await world.kinds(connected.id) == []


async def test_nothing_of_another_connection_is_reached(world: World, connected: Connected) -> None:
    """SECURITY, CVE-2026-92539: "two connections × every route × every id, members, manager, Bulk paths"."""
    other = await world.connect()
    theirs, group = await other.scim.create("theirs"), await other.scim.create_group("Theirs")
    results = await write(
        connected.scim,
        pb.BulkOperation(delete_user=pb.DeleteUserRequest(id=theirs.id)),
        pb.BulkOperation(update_user=pb.UpdateUserRequest(user=user("mine", id=theirs.id))),
        pb.BulkOperation(delete_group=pb.DeleteGroupRequest(id=group.id)),
        new_group("g", theirs.id),
        # The connection of a single write is not read.
        pb.BulkOperation(bulk_id="u", create_user=pb.CreateUserRequest(connection_id=other.id, user=user("u"))),
    )
    assert outcomes(results) == ["USER_NOT_FOUND", "USER_NOT_FOUND", "GROUP_NOT_FOUND", "OK", "OK"]
    assert await world.admin.parked(connection_id=connected.id) == [theirs.id]
    assert await other.scim.find() == ["theirs"]
    assert (await connected.scim.get(results[4].id)).connection_id == connected.id
    failure = await world.identity("portal").refused("BulkWrite", pb.BulkWriteRequest(connection_id=connected.id))
    assert failure.code == grpc.StatusCode.PERMISSION_DENIED


# The order, apart from the database

graphs = st.integers(1, 12).flatmap(
    lambda size: st.lists(st.lists(st.integers(0, size - 1), max_size=4), min_size=size, max_size=size)
)


@given(graphs)
def test_every_operation_comes_once_and_after_what_it_needs(needs: list[list[int]]) -> None:
    """RFC 7644 §3.7: the client's intent is preserved "before a User can be added to a Group, they must be created"."""
    reach = {index: {index} for index in range(len(needs))}
    for _ in needs:
        for index in reach:
            for needed in tuple(reach[index]):
                reach[index] |= set(needs[needed])
    order = list(making_order(needs))
    flat = [index for circle in order for index in circle]
    assert sorted(flat) == list(range(len(needs)))
    place = {index: number for number, circle in enumerate(order) for index in circle}
    for index, reached in reach.items():
        for other in reached:
            mutual = index in reach[other]
            assert place[other] == place[index] if mutual else place[other] < place[index]
    assert has_circle(dict(enumerate(needs))) == any(index in needs[other] for index in reach for other in reach[index])
    if not any(needs):
        assert flat == sorted(flat)


def test_a_long_chain_of_references_is_ordered_without_recursion() -> None:
    """SECURITY, limits: a request of 1,000 operations that each need the next."""
    needs = [[index + 1] for index in range(4999)] + [[]]
    assert [circle[0] for circle in making_order(needs)] == list(range(4999, -1, -1))


@given(st.text(), st.dictionaries(st.text(min_size=1), st.uuids().map(str), max_size=3))
def test_what_is_no_reference_stays_as_it_is(text: str, ids: dict[str, str]) -> None:
    """RFC 7644 §3.7.2: only "bulkId:" and a bulkId stand for an id."""
    message = pb.CreateUserRequest(user=user(text, title=text))
    names = references(message)
    if "bulkId:" not in text:
        assert names == set()
    resolve_references(message, ids)
    if not names & ids.keys():
        assert message.user.user_name == text


@given(st.text(min_size=1).filter(lambda text: "/bulkId:" not in text), st.sampled_from(["", "/Users/", "https://x/"]))
def test_a_reference_is_found_and_resolved(bulk_id: str, prefix: str) -> None:
    """RFC 7644 §3.7.2: a bulkId is any text that the client chose."""
    message = pb.CreateUserRequest(user=user(f"{prefix}bulkId:{bulk_id}"))
    assert references(message) == {bulk_id}
    resolve_references(message, {bulk_id: "17"})
    assert message.user.user_name == f"{prefix}17"
