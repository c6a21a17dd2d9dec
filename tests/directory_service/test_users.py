"""Users over gRPC (PRODUCT §2)."""

import asyncio
import uuid
from pathlib import Path

import grpc
import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import user_pb2

from directory_service.tables import OUTBOX, TOMBSTONES, USERS
from tests.directory_service.world import Connected, World, as_request, email, operation, plain, running, settings, user

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"


async def test_a_user_comes_back_as_sent_with_what_the_directory_adds(connected: Connected) -> None:
    """PRODUCT §2: "A user carries the whole SCIM core User schema, the enterprise extension, and any number of other
    extension URNs, kept verbatim."
    """
    sent = user(
        "Bjensen@Example.com",
        external_id="00u1",
        name=user_pb2.Name(family_name="Jensen", given_name="Barbara"),
        emails=[email("bjensen@example.com", primary=True), email("babs@home.example", type="home")],
        enterprise=user_pb2.EnterpriseUser(department="Tours", manager=user_pb2.Manager(value="m1")),
        extensions={"urn:okta:custom:1.0:user": '{"tags":["a","b"]}'},
    )
    created = await connected.scim.create(
        "ignored", **{f.name: v for f, v in sent.ListFields() if f.name != "user_name"}
    )
    assert created.user_name == "ignored"
    created = (await connected.scim.call("CreateUser", pb.CreateUserRequest(user=sent))).user
    assert uuid.UUID(created.id)
    assert (created.version, created.etag, created.active) == (1, 'W/"1"', True)
    assert created.connection_id == connected.id
    assert created.created_time == created.last_modified_time
    read = await connected.scim.get(created.id)
    assert read == created
    for name in ("id", "connection_id", "version", "etag", "created_time", "last_modified_time", "active"):
        read.ClearField(name)
    assert plain(read) == plain(sent)


async def test_a_created_user_is_one_event_with_its_full_state(world: World, connected: Connected) -> None:
    """DELIVERY: "User and group events carry the full state after the change"."""
    async with as_request("req-1", "POST /Users"):
        created = await connected.scim.create("a@b", emails=[email("a@b")])
    *_, event = await world.events(connected.id)
    assert event.user == created
    assert (event.origin.workspace_id, event.origin.portal) == (connected.workspace_id, "DASHBOARD")
    (row,) = await world.rows(sa.select(OUTBOX).where(OUTBOX.c.aggregate_id == created.id))
    assert (row.request_id, row.request) == ("req-1", "POST /Users")
    assert row.subject.endswith(f".dashboard.user.created.{connected.id}.{created.id}")
    assert "a@b" not in row.subject


async def test_user_name_is_unique_in_any_case_and_echoed_as_sent(connected: Connected) -> None:
    """PRODUCT §2: "`userName` is unique per connection, compared case-insensitively, echoed as sent."."""
    assert (await connected.scim.create("Straße@B")).user_name == "Straße@B"
    failure = await connected.scim.refused("CreateUser", pb.CreateUserRequest(user=user("STRASSE@b")))
    assert (failure.code, failure.reason) == (grpc.StatusCode.ALREADY_EXISTS, "USER_NAME_TAKEN")


async def test_a_duplicate_of_an_inactive_user_is_refused(connected: Connected) -> None:
    """PRODUCT §2: "Creating a duplicate `userName` is 409 `uniqueness`, also when the existing user is inactive."."""
    await connected.scim.create("a@b", active=False)
    assert (
        await connected.scim.refused("CreateUser", pb.CreateUserRequest(user=user("a@b")))
    ).reason == "USER_NAME_TAKEN"


async def test_a_create_race_has_one_winner(world: World, connected: Connected) -> None:
    """SECURITY: "50 parallel POSTs of one userName: one 201, 49 × 409, one row, one event"."""
    results = await asyncio.gather(
        *(connected.scim.create(name) for name in ["race@b", "RACE@b"] * 25), return_exceptions=True
    )
    created = [result for result in results if isinstance(result, user_pb2.User)]
    refused = [result for result in results if getattr(result, "reason", "") == "USER_NAME_TAKEN"]
    assert (len(created), len(refused)) == (1, 49)
    count = sa.select(sa.func.count()).select_from(USERS).where(USERS.c.connection_id == connected.id)
    assert await world.rows(count) == [(1,)]
    assert await world.kinds(connected.id) == ["UserCreated"]


@pytest.mark.parametrize("external_id", ["1", "0", "00000000-0000-0000-0000-000000000000"])
async def test_an_external_id_is_never_an_internal_one(connected: Connected, external_id: str) -> None:
    """SECURITY, CVE-2025-41115: "POST externalId `1`, `0`, another user's id: a new random id, nothing merges"."""
    first = await connected.scim.create("a@b", external_id=external_id)
    second = await connected.scim.create("b@b", external_id=first.id)
    third = await connected.scim.create("c@b", external_id=external_id)
    assert len({first.id, second.id, third.id, external_id}) == 4
    assert (await connected.scim.get(first.id)).user_name == "a@b"
    assert (await connected.scim.refused("GetUser", pb.GetUserRequest(id=external_id))).reason == "USER_NOT_FOUND"


@pytest.mark.parametrize("verb", ["put", "patch", "mask"])
async def test_deactivation_is_the_transition_whatever_verb_brought_it(
    world: World, connected: Connected, verb: str
) -> None:
    """PRODUCT §2: "decided in the directory by comparing old and new, whatever verb brought it"."""
    created = await connected.scim.create("a@b", title="Boss")

    async def set_active(active: bool, title: str) -> user_pb2.User:
        if verb == "put":
            return await connected.scim.update(user("a@b", id=created.id, active=active, title=title))
        if verb == "patch":
            return await connected.scim.patch(
                created.id, operation("replace", value={"active": active, "title": title})
            )
        changed = user("", id=created.id, active=active, title=title)
        return await connected.scim.update(changed, update_mask={"paths": ["active", "title"]})

    assert not (await set_active(False, "Clerk")).active
    assert not (await set_active(False, "Clerk")).active
    changed = await set_active(True, "Boss")
    assert changed.active
    assert changed.user_name == "a@b"
    events = await world.events(connected.id)
    assert await world.kinds(connected.id) == ["UserCreated", "UserDeactivated", "UserReactivated"]
    assert [event.user.title for event in events[1:]] == ["Boss", "Clerk", "Boss"]


async def test_an_absent_active_keeps_its_value(connected: Connected) -> None:
    """PRODUCT §2: "An absent `active` keeps its value (true on create)."."""
    created = await connected.scim.create("a@b", active=False, title="Boss")
    replaced = await connected.scim.update(user("a@b", id=created.id))
    assert not replaced.active
    assert replaced.title == ""


async def test_a_write_that_changes_nothing_changes_nothing(world: World, connected: Connected) -> None:
    """PRODUCT §2: "a write that changes nothing changes no version, no `lastModified`, and publishes nothing"."""
    created = await connected.scim.create("a@b", emails=[email("a@b", primary=True)], external_id="x")
    same = user_pb2.User()
    same.CopyFrom(created)
    assert await connected.scim.update(same) == created
    assert (
        await connected.scim.patch(created.id, operation("add", "emails", [{"value": "a@b", "type": "work"}]))
        == created
    )
    assert await connected.scim.get(created.id) == created
    assert await world.kinds(connected.id) == ["UserCreated"]


async def test_a_patch_is_all_or_nothing(world: World, connected: Connected) -> None:
    """RFC 7644 §3.5.2: "a PATCH request [...] SHALL be treated as an atomic operation"."""
    created = await connected.scim.create("a@b")
    request = pb.PatchUserRequest(
        id=created.id,
        operations=[operation("replace", "title", "Boss"), operation("replace", 'emails[type ne "work"].value', "x")],
    )
    failure = await connected.scim.refused("PatchUser", request)
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NO_TARGET")
    assert await connected.scim.get(created.id) == created
    assert await world.kinds(connected.id) == ["UserCreated"]


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        ([operation("replace", "nothing", 1)], "INVALID_PATH"),
        ([operation("replace", "id", "x")], "MUTABILITY"),
        ([operation("remove")], "NO_TARGET"),
        ([operation("replace", "active", "perhaps")], "INVALID_VALUE"),
        ([pb.PatchOperation(op=pb.PATCH_OP_UNSPECIFIED, path="title")], "INVALID_SYNTAX"),
        ([pb.PatchOperation(op=pb.PATCH_OP_ADD, path="title", value="{")], "INVALID_SYNTAX"),
        ([], "INVALID_SYNTAX"),
        ([operation("replace", "title", "x")] * 101, "TOO_MANY"),
        ([operation("replace", "userName", "x" * 513)], "INVALID_VALUE"),
    ],
)
async def test_a_patch_that_is_wrong_is_refused_with_its_reason(
    connected: Connected, operations: list[pb.PatchOperation], reason: str
) -> None:
    """RFC 7644 §3.12, table 9: each scimType has its cause."""
    created = await connected.scim.create("a@b")
    failure = await connected.scim.refused("PatchUser", pb.PatchUserRequest(id=created.id, operations=operations))
    assert failure.reason == reason
    assert failure.message


async def test_a_password_has_no_place(world: World, connected: Connected) -> None:
    """PRODUCT §2: "A password is accepted, then dropped: no message, table, log or event has a place for it."."""
    created = await connected.scim.create("a@b")
    patched = await connected.scim.patch(created.id, operation("replace", value={"password": "s3cret-Canary"}))
    assert patched == created
    for table in (USERS, OUTBOX):
        assert "s3cret-Canary" not in str(await world.rows(sa.select(table)))


async def test_a_rename_to_a_taken_name_is_refused_and_to_another_case_is_not(
    world: World, connected: Connected
) -> None:
    """RFC 7643 §4.1.1 userName: "each user MUST include a non-empty userName value [...] unique"."""
    await connected.scim.create("a@b")
    second = await connected.scim.create("b@b")
    failure = await connected.scim.refused("UpdateUser", pb.UpdateUserRequest(user=user("A@B", id=second.id)))
    assert failure.reason == "USER_NAME_TAKEN"
    assert (await connected.scim.update(user("B@b", id=second.id))).user_name == "B@b"
    assert (await connected.scim.update(user("c@b", id=second.id))).user_name == "c@b"
    assert (await connected.scim.create("b@b")).version == 1
    assert await world.kinds(connected.id) == [
        "UserCreated", "UserCreated", "UserUpdated", "UserUpdated", "UserCreated"
    ]  # fmt: skip


async def test_an_etag_that_is_not_current_is_refused(connected: Connected) -> None:
    """AIP-154: an etag that does not match the current one is ABORTED."""
    created = await connected.scim.create("a@b")
    changed = await connected.scim.update(user("a@b", id=created.id, title="x"), etag=created.etag)
    assert changed.etag == 'W/"2"'
    for method, request in (
        ("UpdateUser", pb.UpdateUserRequest(user=user("a@b", id=created.id), etag=created.etag)),
        ("PatchUser", pb.PatchUserRequest(id=created.id, operations=[operation("remove", "title")], etag=created.etag)),
        ("DeleteUser", pb.DeleteUserRequest(id=created.id, etag=created.etag)),
    ):
        failure = await connected.scim.refused(method, request)
        assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    await connected.scim.delete(created.id, etag="*")


async def test_a_deleted_user_is_gone_and_leaves_a_tombstone(world: World, connected: Connected) -> None:
    """PRODUCT §2: "DELETE of a user removes it (then 404)"; DELIVERY: versions "tombstones included"."""
    created = await connected.scim.create("a@b", title="Boss")
    await connected.scim.delete(created.id)
    for method, request in (
        ("GetUser", pb.GetUserRequest(id=created.id)),
        ("UpdateUser", pb.UpdateUserRequest(user=user("a@b", id=created.id))),
        ("PatchUser", pb.PatchUserRequest(id=created.id, operations=[operation("remove", "title")])),
        ("DeleteUser", pb.DeleteUserRequest(id=created.id)),
    ):
        failure = await connected.scim.refused(method, request)
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND")
    events = await world.events(connected.id)
    assert (events[-1].user.title, events[-1].user.version) == ("Boss", 2)
    left = sa.select(TOMBSTONES.c.id, TOMBSTONES.c.version).where(TOMBSTONES.c.connection_id == connected.id)
    assert await world.rows(left) == [(created.id, 2)]
    again = await connected.scim.create("a@b")
    assert again.id != created.id


async def test_put_never_creates(connected: Connected) -> None:
    """RFC 7644 §3.5.1: PUT is for resources that exist."""
    failure = await connected.scim.refused("UpdateUser", pb.UpdateUserRequest(user=user("a@b", id=str(uuid.uuid4()))))
    assert failure.reason == "USER_NOT_FOUND"


@pytest.mark.parametrize("paths", [["nonsense"], ["id"], ["emails.value"], ["name.nonsense"], ["version"]])
async def test_an_update_mask_names_writable_fields_only(connected: Connected, paths: list[str]) -> None:
    """AIP-134: update_mask."""
    created = await connected.scim.create("a@b")
    failure = await connected.scim.refused(
        "UpdateUser", pb.UpdateUserRequest(user=user("a@b", id=created.id), update_mask={"paths": paths})
    )
    assert (failure.reason, failure.field) == ("INVALID_VALUE", "update_mask")


async def test_an_update_mask_leaves_the_rest_alone(connected: Connected) -> None:
    """AIP-134: "only the fields included in the mask are updated"."""
    created = await connected.scim.create(
        "a@b", title="Boss", name=user_pb2.Name(given_name="A", family_name="B"), emails=[email("a@b")]
    )
    changed = await connected.scim.update(
        user("ignored", id=created.id, name=user_pb2.Name(given_name="C")),
        update_mask={"paths": ["name.given_name", "emails"]},
    )
    assert (changed.user_name, changed.title, list(changed.emails)) == ("a@b", "Boss", [])
    assert (changed.name.given_name, changed.name.family_name) == ("C", "B")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (user(""), "INVALID_VALUE"),
        (user("   "), "INVALID_VALUE"),
        (user("x" * 513), "INVALID_VALUE"),
        (user("a", external_id="x" * 513), "INVALID_VALUE"),
        (user("a\0b"), "INVALID_VALUE"),
        (user("a", extensions={"urn:x:y": "[1]"}), "INVALID_SYNTAX"),
        (user("a", extensions={"urn:x:y": "{"}), "INVALID_SYNTAX"),
    ],
)
async def test_a_user_that_is_not_valid_is_refused(connected: Connected, sent: user_pb2.User, reason: str) -> None:
    """HOUSE: "Internal services may call any of the three services over gRPC directly": the directory checks itself."""
    failure = await connected.scim.refused("CreateUser", pb.CreateUserRequest(user=sent))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert failure.field is not None
    assert failure.field.startswith("user")


async def test_concurrent_patches_of_one_user_lose_nothing(world: World, connected: Connected) -> None:
    """HOUSE: "the directory applies `scim.patch` under the row lock"."""
    created = await connected.scim.create("a@b")
    await asyncio.gather(
        *(
            connected.scim.patch(created.id, operation("add", "emails", [{"value": f"{n}@b", "type": "other"}]))
            for n in range(20)
        )
    )
    final = await connected.scim.get(created.id)
    assert {found.value for found in final.emails} == {f"{n}@b" for n in range(20)}
    assert final.version == 21
    assert len(await world.events(connected.id)) == 22


async def test_two_processes_number_one_connections_events_without_a_gap(
    world: World, connected: Connected, shared_url: str, tmp_path: Path
) -> None:
    """DELIVERY: "`rollcall-sequence` (position on the connection, 1..n)", whichever replica took the write."""
    async with running(settings(shared_url, tmp_path)) as other:
        callers = [connected.scim, other.scim(connected.token)]
        results = await asyncio.gather(
            *(callers[n % 2].create(f"u{n // 2}") for n in range(60)), return_exceptions=True
        )
        created = [result for result in results if isinstance(result, user_pb2.User)]
        assert sorted(found.user_name for found in created) == sorted(f"u{n}" for n in range(30))
        group = await callers[0].create_group("Staff")
        await asyncio.gather(
            *(
                callers[n % 2].patch_group(group.id, operation("add", "members", [found.id]))
                for n, found in enumerate(created)
            )
        )
        assert (await callers[1].group(group.id)).member_count == 30
    assert len(await world.events(connected.id)) == 62
