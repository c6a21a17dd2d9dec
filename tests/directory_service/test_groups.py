"""Groups and their members over gRPC (PRODUCT §2)."""

import asyncio
import random
import uuid
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import group_pb2, user_pb2

from directory_service.groups import SHOWN_MEMBERS
from directory_service.tables import CONNECTIONS, GROUP_MEMBERS, GROUPS, PARKED_MEMBERS
from tests.directory_service.world import Caller, Connected, World, operation, user, values


async def people(scim: Caller, *names: str) -> list[str]:
    """Create users, a few at a time, and return their ids."""
    ids: list[str] = []
    for start in range(0, len(names), 200):
        ids += [made.id for made in await asyncio.gather(*(scim.create(name) for name in names[start : start + 200]))]
    return ids


async def test_a_group_is_created_with_its_members(world: World, connected: Connected) -> None:
    """PRODUCT §2: "Membership is row-per-member."; WIRE: `POST {displayName, members:[]}`."""
    ids = await people(connected.scim, "a@b", "b@b")
    created = await connected.scim.create_group("Staff", *ids, external_id="g1", extensions={"urn:x:y": '{"k":1}'})
    assert values(created) == ids
    assert [member.display for member in created.members] == ["a@b", "b@b"]
    assert {member.type for member in created.members} == {group_pb2.MEMBER_TYPE_USER}
    assert (created.member_count, created.version, created.etag) == (2, 2, 'W/"2"')
    assert await connected.scim.group(created.id) == created
    *_, first, second = await world.events(connected.id)
    assert (first.group.version, first.group.member_count) == (1, 0)
    assert [member.value for member in second.added] == ids
    assert second.group.member_count == 2
    assert not second.group.members


async def test_display_name_is_unique_in_any_case(connected: Connected) -> None:
    """PRODUCT §2: "Group `displayName` is unique per connection, case-insensitively."."""
    first = await connected.scim.create_group("Staff")
    second = await connected.scim.create_group("Other")
    for method, request in (
        ("CreateGroup", pb.CreateGroupRequest(group=group_pb2.Group(display_name="STAFF"))),
        ("UpdateGroup", pb.UpdateGroupRequest(group=group_pb2.Group(id=second.id, display_name="staff"))),
        ("PatchGroup", pb.PatchGroupRequest(id=second.id, operations=[operation("replace", "displayName", "staff")])),
    ):
        failure = await connected.scim.refused(method, request)
        assert (failure.code, failure.reason) == (grpc.StatusCode.ALREADY_EXISTS, "GROUP_NAME_TAKEN")
    assert (await connected.scim.put_group(group_pb2.Group(id=first.id, display_name="STAFF"))).display_name == "STAFF"


async def test_a_replace_without_members_leaves_them_and_an_empty_list_empties(connected: Connected) -> None:
    """PRODUCT §2: "A replace that does not mention `members` leaves them alone; an explicit empty list empties the
    group."
    """
    ids = await people(connected.scim, "a@b", "b@b")
    group = await connected.scim.create_group("Staff", *ids)
    renamed = await connected.scim.put_group(group_pb2.Group(id=group.id, display_name="Team"))
    assert values(renamed) == ids
    emptied = await connected.scim.put_group(group_pb2.Group(id=group.id, display_name="Team"), [])
    assert (values(emptied), emptied.member_count, emptied.version) == ([], 0, 4)


async def test_a_replace_is_reduced_to_the_effective_delta(world: World, connected: Connected) -> None:
    """PRODUCT §2: "Every change [...] is reduced to the effective delta (really added, really removed)"."""
    a, b, c = await people(connected.scim, "a@b", "b@b", "c@b")
    group = await connected.scim.create_group("Staff", a, b)
    same = await connected.scim.put_group(group_pb2.Group(id=group.id, display_name="Staff"), [b, a])
    assert same == group
    changed = await connected.scim.put_group(group_pb2.Group(id=group.id, display_name="Staff"), [c, b])
    assert values(changed) == [b, c]
    event = (await world.events(connected.id))[-1]
    assert ([m.value for m in event.added], [m.value for m in event.removed]) == ([c], [a])
    assert (await world.kinds(connected.id)).count("GroupMembersChanged") == 2


async def test_a_rename_and_a_membership_change_are_two_events(world: World, connected: Connected) -> None:
    """WIRE: Okta's rename is "sent again with every membership change"; each event has a version of its own."""
    (a,) = await people(connected.scim, "a@b")
    group = await connected.scim.create_group("Staff")
    changed = await connected.scim.patch_group(
        group.id,
        operation("replace", value={"id": group.id, "displayName": "Team"}),
        operation("add", "members", [{"value": a, "display": "a@b"}]),
    )
    assert (changed.display_name, values(changed), changed.version) == ("Team", [a], 3)
    assert (await world.kinds(connected.id))[-2:] == ["GroupUpdated", "GroupMembersChanged"]
    again = await connected.scim.patch_group(
        group.id,
        operation("replace", value={"id": group.id, "displayName": "Team"}),
        operation("add", "members", [{"value": a, "display": None}]),
    )
    assert again == changed


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([("remove", 'members[value eq "{0}"]'), ("add", "members", ["{2}"])], [1, 2]),
        ([("add", "members", ["{2}"]), ("remove", 'members[value eq "{2}"]')], [0, 1]),
        ([("remove", "members", ["{0}", "{2}"])], [1]),
        ([("remove", "members")], []),
        ([("replace", "members", ["{2}"])], [2]),
        ([("replace", "members", [])], []),
        ([("replace", None, {"members": [{"value": "{1}"}]})], [1]),
        ([("replace", None, {"members": None})], [0, 1]),
        ([("remove", 'members[display co "b@" or type eq "Group"]')], [0]),
        ([("remove", 'members[not (value eq "{0}")]')], [0]),
        ([("replace", "members", ["{2}"]), ("add", "members", ["{0}"])], [0, 2]),
        ([("remove", 'members[value eq "{0}"]'), ("add", "members", ["{0}"])], [0, 1]),
        ([("remove", "members"), ("add", "members", ["{1}"])], [1]),
        ([("remove", 'members[value eq "nobody"]')], [0, 1]),
        ([("add", "members", ["{2}"]), ("remove", 'members[display sw "c"]')], [0, 1]),
    ],
)
async def test_member_operations_apply_in_order(
    connected: Connected, operations: list[tuple[Any, ...]], expected: list[int]
) -> None:
    """RFC 7644 §3.5.2: operations are applied "sequentially in the order they appear"; WIRE: every form seen."""
    ids = await people(connected.scim, "a@b", "b@b", "c@b")
    group = await connected.scim.create_group("Staff", ids[0], ids[1])

    def filled(part: Any) -> Any:
        if isinstance(part, str):
            for number, user_id in enumerate(ids):
                part = part.replace(f"{{{number}}}", user_id)
            return part
        if isinstance(part, list):
            return [filled(item) for item in part]
        return {key: filled(item) for key, item in part.items()} if isinstance(part, dict) else part

    changed = await connected.scim.patch_group(group.id, *(operation(*map(filled, parts)) for parts in operations))
    assert values(changed) == [ids[number] for number in expected]
    assert changed.member_count == len(expected)


async def test_concurrent_membership_patches_lose_no_member(world: World, connected: Connected) -> None:
    """WIRE, bugs others shipped: "concurrent group PATCHes that lose members"."""
    ids = await people(connected.scim, *(f"{n}@b" for n in range(20)))
    group = await connected.scim.create_group("Staff")
    await asyncio.gather(*(connected.scim.patch_group(group.id, operation("add", "members", [i])) for i in ids))
    final = await connected.scim.group(group.id)
    assert sorted(values(final)) == sorted(ids)
    assert (final.member_count, final.version) == (20, 21)
    await world.events(connected.id)


async def test_a_deleted_group_ends_its_memberships(world: World, connected: Connected) -> None:
    """Proto, GroupDeleted: "its memberships ended with it"."""
    (a,) = await people(connected.scim, "a@b")
    group = await connected.scim.create_group("Staff", a, "nobody")
    await connected.scim.call("DeleteGroup", pb.DeleteGroupRequest(id=group.id, etag=group.etag))
    assert (await connected.scim.refused("GetGroup", pb.GetGroupRequest(id=group.id))).reason == "GROUP_NOT_FOUND"
    assert not (await connected.scim.get(a, include_groups=True)).groups
    assert (await world.kinds(connected.id))[-1] == "GroupDeleted"
    for table in (GROUP_MEMBERS, PARKED_MEMBERS, GROUPS):
        assert not await world.rows(sa.select(table).where(table.c.connection_id == connected.id))
    (counts,) = await world.rows(
        sa.select(CONNECTIONS.c.group_count, CONNECTIONS.c.parked_count).where(CONNECTIONS.c.id == connected.id)
    )
    assert tuple(counts) == (0, 0)


async def test_a_deleted_user_leaves_its_groups(world: World, connected: Connected) -> None:
    """Wiring: "`UserDeleted` first, then `GroupMembersChanged` of its groups"."""
    a, b = await people(connected.scim, "a@b", "b@b")
    first = await connected.scim.create_group("One", a, b)
    second = await connected.scim.create_group("Two", a)
    await connected.scim.delete(a)
    assert (await world.kinds(connected.id))[-3:] == ["UserDeleted", "GroupMembersChanged", "GroupMembersChanged"]
    events = await world.events(connected.id)
    assert [event.removed[0].value for event in events[-2:]] == [a, a]
    assert values(await connected.scim.group(first.id)) == [b]
    assert (await connected.scim.group(second.id)).member_count == 0


async def test_a_value_that_names_no_user_is_parked(world: World, connected: Connected) -> None:
    """PRODUCT §2: "A member value that names no user of the connection is **parked**: accepted, not shown as a member,
    visible to the administrator [...] It never creates a user."
    """
    group = await connected.scim.create_group("Staff", "later@b", "00u-ext")
    assert (values(group), group.member_count, group.version) == ([], 0, 1)
    assert await world.admin.parked(connection_id=connected.id) == ["later@b", "00u-ext"]
    assert await connected.scim.find() == []
    again = await connected.scim.put_group(group_pb2.Group(id=group.id, display_name="Staff"), ["later@b", "00u-ext"])
    assert again == group


@pytest.mark.parametrize("how", ["user_name", "external_id", "rename", "new_external_id"])
async def test_a_parked_value_becomes_a_membership_when_it_names_a_user(
    world: World, connected: Connected, how: str
) -> None:
    """PRODUCT §2: "turned into a membership when a user with that id, externalId or userName appears"."""
    group = await connected.scim.create_group("Staff", "LATER@b")
    if how == "user_name":
        found = await connected.scim.create("later@B")
    elif how == "external_id":
        found = await connected.scim.create("other@b", external_id="LATER@b")
    else:
        found = await connected.scim.create("before@b", external_id="old")
        assert not values(await connected.scim.group(group.id))
        if how == "rename":
            found = await connected.scim.update(user("later@b", id=found.id))
        else:
            found = await connected.scim.patch(found.id, operation("replace", "externalId", "LATER@b"))
    assert values(await connected.scim.group(group.id)) == [found.id]
    assert await world.admin.parked(connection_id=connected.id) == []
    assert (await world.kinds(connected.id))[-1] == "GroupMembersChanged"
    assert [g.group_id for g in (await connected.scim.get(found.id, include_groups=True)).groups] == [group.id]


async def test_an_external_id_is_compared_exactly_and_a_user_name_is_not(world: World, connected: Connected) -> None:
    """RFC 7643 §3.1: externalId is caseExact; §4.1.1: userName is not."""
    group = await connected.scim.create_group("Staff", "Ext")
    await connected.scim.create("a@b", external_id="eXT")
    assert await world.admin.parked(group.id, connected.id) == ["Ext"]


@pytest.mark.parametrize(
    "drop",
    [
        [operation("remove", 'members[value eq "later@b"]')],
        [operation("replace", "members", [])],
        [operation("remove", "members")],
        [operation("replace", "members", ["else@b"])],
        [operation("remove", 'members[value sw "later"]')],
    ],
)
async def test_a_parked_value_is_dropped_when_the_group_no_longer_lists_it(
    world: World, connected: Connected, drop: list[pb.PatchOperation]
) -> None:
    """PRODUCT §2: "It is dropped when the group no longer lists it."."""
    group = await connected.scim.create_group("Staff", "later@b")
    await connected.scim.patch_group(group.id, *drop)
    assert "later@b" not in await world.admin.parked(connection_id=connected.id)
    await connected.scim.create("later@b")
    assert not values(await connected.scim.group(group.id))


async def test_members_may_be_named_by_external_id_or_user_name(connected: Connected) -> None:
    """The rule: "member values resolve to users of the connection by id, then externalId, then userName"."""
    a = await connected.scim.create("a@b", external_id="ext-a")
    b = await connected.scim.create("b@b", external_id="a@b")
    group = await connected.scim.create_group("Staff", "ext-a", "a@b", a.id)
    assert values(group) == [a.id, b.id]
    emptied = await connected.scim.patch_group(group.id, operation("remove", "members", ["ext-a", "B@B"]))
    assert values(emptied) == []


async def test_groups_nest_and_never_in_a_circle(world: World, connected: Connected) -> None:
    """RFC 7643 §4.2: members may be groups; §4.1.2: `groups` has direct and indirect memberships."""
    (a,) = await people(connected.scim, "a@b")
    inner = await connected.scim.create_group("Inner", a)
    outer = await connected.scim.create_group("Outer", inner.id)
    assert [(m.value, m.type, m.display) for m in outer.members] == [(inner.id, group_pb2.MEMBER_TYPE_GROUP, "Inner")]
    found = await connected.scim.get(a, include_groups=True)
    assert [(g.display_name, g.type) for g in found.groups] == [
        ("Inner", user_pb2.MEMBERSHIP_TYPE_DIRECT), ("Outer", user_pb2.MEMBERSHIP_TYPE_INDIRECT)
    ]  # fmt: skip
    for group_id, member in ((inner.id, outer.id), (inner.id, inner.id)):
        failure = await connected.scim.refused(
            "PatchGroup", pb.PatchGroupRequest(id=group_id, operations=[operation("add", "members", [member])])
        )
        assert (failure.reason, failure.field) == ("INVALID_VALUE", "members")
    await connected.scim.call("DeleteGroup", pb.DeleteGroupRequest(id=inner.id))
    assert not values(await connected.scim.group(outer.id))
    assert (await world.kinds(connected.id))[-2:] == ["GroupDeleted", "GroupMembersChanged"]


async def test_a_group_value_waits_for_a_group(world: World, connected: Connected) -> None:
    """A value sent with type Group names groups only."""
    request = pb.CreateGroupRequest(group=group_pb2.Group(display_name="Outer"))
    request.members.members.add(value="g-ext", type=group_pb2.MEMBER_TYPE_GROUP)
    outer = (await connected.scim.call("CreateGroup", request)).group
    await connected.scim.create("a@b", external_id="g-ext")
    assert await world.admin.parked(connection_id=connected.id) == ["g-ext"]
    inner = await connected.scim.create_group("Inner", external_id="g-ext")
    assert values(await connected.scim.group(outer.id)) == [inner.id]


async def test_a_parked_group_that_would_close_a_circle_stays_parked(world: World, connected: Connected) -> None:
    """As above: what appears later keeps the rule too."""
    request = pb.CreateGroupRequest(group=group_pb2.Group(display_name="One"))
    request.members.members.add(value="g2", type=group_pb2.MEMBER_TYPE_GROUP)
    one = (await connected.scim.call("CreateGroup", request)).group
    await connected.scim.create_group("Two", one.id, external_id="g2")
    assert await world.admin.parked(connection_id=connected.id) == ["g2"]
    assert not values(await connected.scim.group(one.id))


async def test_a_large_push_is_events_of_at_most_2000_members(world: World, connected: Connected) -> None:
    """Proto, GroupMembersChanged: "at most 2,000 in all"; Group: "up to 1,000, the rest by ListGroupMembers"."""
    ids = await world.fill_users(connected.id, 2500)
    group = await connected.scim.create_group("All", *ids)
    assert (len(group.members), group.member_count, group.version) == (SHOWN_MEMBERS, 2500, 3)
    chunks = await connected.scim.stream("ListGroupMembers", pb.ListGroupMembersRequest(group_id=group.id))
    assert [len(chunk.members) for chunk in chunks] == [500] * 5
    assert [member.value for chunk in chunks for member in chunk.members] == ids
    changed = [event for event in await world.events(connected.id) if type(event).__name__ == "GroupMembersChanged"]
    assert [(len(event.added), event.group.member_count) for event in changed] == [(2000, 2000), (500, 2500)]
    kept = [user_id for user_id in ids if user_id != ids[7]]
    smaller = await connected.scim.put_group(group_pb2.Group(id=group.id, display_name="All"), kept)
    assert smaller.member_count == 2499
    assert [member.value for member in (await world.events(connected.id))[-1].removed] == [ids[7]]
    snapshot = await world.admin.stream(
        "StreamSnapshot",
        pb.StreamSnapshotRequest(connection_id=connected.id, kind=pb.RESOURCE_KIND_GROUP, id=group.id),
    )
    assert [item.group.more for item in snapshot] == [True] * 4 + [False]
    assert [m.value for item in snapshot for m in item.group.members] == kept


async def test_a_stale_etag_and_an_unknown_group_are_refused(connected: Connected) -> None:
    """AIP-154; RFC 7644 §3.5.1: PUT never creates."""
    group = await connected.scim.create_group("Staff")
    await connected.scim.put_group(group_pb2.Group(id=group.id, display_name="Team"))
    same = group_pb2.Group(id=group.id, display_name="x")
    for method, request in (
        ("UpdateGroup", pb.UpdateGroupRequest(group=same, etag=group.etag)),
        ("PatchGroup", pb.PatchGroupRequest(id=group.id, operations=[operation("remove", "members")], etag=group.etag)),
        ("DeleteGroup", pb.DeleteGroupRequest(id=group.id, etag=group.etag)),
    ):
        assert (await connected.scim.refused(method, request)).reason == "ETAG_MISMATCH"
    unknown = str(uuid.uuid4())
    for method, request in (
        ("UpdateGroup", pb.UpdateGroupRequest(group=group_pb2.Group(id=unknown, display_name="x"))),
        ("PatchGroup", pb.PatchGroupRequest(id=unknown, operations=[operation("remove", "members")])),
        ("DeleteGroup", pb.DeleteGroupRequest(id=unknown)),
        ("ListGroupMembers", pb.ListGroupMembersRequest(group_id=unknown)),
    ):
        assert (await connected.scim.refused(method, request)).reason == "GROUP_NOT_FOUND"


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        ([operation("replace", 'members[value eq "x"].type', "Group")], "MUTABILITY"),
        ([operation("add", "members", [{"display": "x"}])], "INVALID_VALUE"),
        ([operation("remove", "displayName")], "INVALID_VALUE"),
        ([operation("add", "members", ["x" * 513])], "INVALID_VALUE"),
        ([operation("remove", 'members[nonsense eq "x"]')], "INVALID_FILTER"),
    ],
)
async def test_a_group_patch_that_is_wrong_is_refused(
    connected: Connected, operations: list[pb.PatchOperation], reason: str
) -> None:
    """RFC 7643 §4.2: sub-attributes of members are immutable; RFC 7644 §3.12."""
    group = await connected.scim.create_group("Staff")
    failure = await connected.scim.refused("PatchGroup", pb.PatchGroupRequest(id=group.id, operations=operations))
    assert failure.reason in (reason, "MUTABILITY")
    assert await connected.scim.group(group.id) == group


async def test_random_member_changes_equal_a_list_that_is_changed(world: World, connected: Connected) -> None:
    """PRODUCT §2: the delta, however it came, is that between the memberships before and after."""
    chance = random.Random(20)
    scim = connected.scim
    ids = await people(scim, *(f"{n}@b" for n in range(6)))
    group = await scim.create_group("Staff")
    expected: set[str] = set()
    for _ in range(60):
        chosen = chance.sample(ids, chance.randint(0, 4))
        kind = chance.choice(["add", "remove", "replace", "put", "clear", "where"])
        if kind == "put":
            await scim.put_group(group_pb2.Group(id=group.id, display_name="Staff"), chosen)
            expected = set(chosen)
        elif kind == "clear":
            await scim.patch_group(group.id, operation("remove", "members"), operation("add", "members", chosen))
            expected = set(chosen)
        elif kind == "where":
            path = " or ".join(f'display eq "{n}@B"' for n in range(6) if ids[n] in chosen) or 'display eq "x"'
            await scim.patch_group(group.id, operation("remove", f"members[{path}]"))
            expected -= set(chosen)
        elif chosen or kind != "remove":
            await scim.patch_group(group.id, operation(kind, "members", chosen))
            expected = {"add": expected | set(chosen), "remove": expected - set(chosen), "replace": set(chosen)}[kind]
        shown = await scim.group(group.id)
        assert set(values(shown)) == expected
        assert shown.member_count == len(expected)
    folded: set[str] = set()
    for event in await world.events(connected.id):
        if type(event).__name__ == "GroupMembersChanged":
            joined, left = {m.value for m in event.added}, {m.value for m in event.removed}
            assert not joined & folded
            assert left <= folded
            folded = (folded | joined) - left
    assert folded == expected


async def test_members_are_given_a_page_at_a_time(connected: Connected) -> None:
    """directory_service.proto: "with a page size, one page of them", "in the order in which they joined"."""
    scim = connected.scim
    ids = await people(scim, *(f"m{n}" for n in range(5)))
    group = await scim.create_group("Team", *ids)
    collected, token, sizes = [], "", []
    while True:
        request = pb.ListGroupMembersRequest(group_id=group.id, page_size=2, page_token=token)
        (answer,) = await scim.stream("ListGroupMembers", request)
        collected += [member.value for member in answer.members]
        sizes.append(len(answer.members))
        token = answer.next_page_token
        if not token:
            break
    assert (collected, sizes) == (ids, [2, 2, 1])
    (whole,) = await scim.stream("ListGroupMembers", pb.ListGroupMembersRequest(group_id=group.id))
    assert ([member.value for member in whole.members], whole.next_page_token) == (ids, "")
    (page,) = await scim.stream("ListGroupMembers", pb.ListGroupMembersRequest(group_id=group.id, page_size=2))
    other = await scim.create_group("Other", *ids)
    stolen = pb.ListGroupMembersRequest(group_id=other.id, page_size=2, page_token=page.next_page_token)
    assert (await scim.refused("ListGroupMembers", stolen)).reason == "INVALID_PAGE_TOKEN"
