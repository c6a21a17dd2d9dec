"""Groups within groups (RFC 7643 §4.2, §4.1.2)."""

import random
from typing import Any

import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import connection_service_pb2 as connections_pb
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import group_pb2, user_pb2

from directory_service.tables import CONNECTIONS
from tests.directory_service.world import Caller, Connected, World, operation, values

DIRECT, INDIRECT = user_pb2.MEMBERSHIP_TYPE_DIRECT, user_pb2.MEMBERSHIP_TYPE_INDIRECT


async def memberships(scim: Caller, user_id: str) -> dict[str, Any]:
    """The groups of a user, as their displayName and whether the membership is direct."""
    found = await scim.get(user_id, include_groups=True)
    return {group.display_name: group.type for group in found.groups}


async def chain(scim: Caller, *names: str, user_id: str) -> list[group_pb2.Group]:
    """Create groups of which each holds the one before, the first a user."""
    made: list[group_pb2.Group] = []
    for name in names:
        made.append(await scim.create_group(name, made[-1].id if made else user_id))
    return made


def with_group(name: str, value: str) -> pb.CreateGroupRequest:
    """A group that lists another group, which may not be there yet."""
    request = pb.CreateGroupRequest(group=group_pb2.Group(display_name=name))
    request.members.members.add(value=value, type=group_pb2.MEMBER_TYPE_GROUP)
    return request


@pytest.mark.parametrize("top", range(4))
@pytest.mark.parametrize("how", ["patch", "replace"])
async def test_a_circle_is_refused_at_any_depth_and_changes_nothing(
    world: World, connected: Connected, top: int, how: str
) -> None:
    """Design: "cycles refused with a clear error"."""
    user_id = (await connected.scim.create("a@b")).id
    groups = await chain(connected.scim, "One", "Two", "Three", "Four", user_id=user_id)
    before = len(await world.events(connected.id))
    lowest, other = groups[0], (await connected.scim.create("b@b")).id
    if how == "patch":
        add = operation("add", "members", [{"value": other}, {"value": groups[top].id, "type": "Group"}])
        renamed = operation("replace", "displayName", "Renamed")
        request: Any = pb.PatchGroupRequest(id=lowest.id, operations=[renamed, add])
    else:
        request = pb.UpdateGroupRequest(group=group_pb2.Group(id=lowest.id, display_name="Renamed"))
        request.members.members.extend(group_pb2.Member(value=value) for value in (other, groups[top].id))
    failure = await connected.scim.refused("PatchGroup" if how == "patch" else "UpdateGroup", request)
    assert (failure.reason, failure.field) == ("INVALID_VALUE", "members")
    assert failure.message == (
        f"members: group {groups[top].id} contains this group: a group cannot contain itself"
        if top
        else f"members: group {lowest.id} is this group: a group cannot contain itself"
    )
    assert await connected.scim.group(lowest.id) == lowest
    assert len(await world.events(connected.id)) == before + 1


async def test_two_groups_that_share_one_are_no_circle(connected: Connected) -> None:
    """A group may be reached on several ways; only one that leads back to itself is a circle."""
    user_id = (await connected.scim.create("a@b")).id
    (inner,) = await chain(connected.scim, "Inner", user_id=user_id)
    left = await connected.scim.create_group("Left", inner.id)
    right = await connected.scim.create_group("Right", inner.id, user_id)
    await connected.scim.create_group("Top", left.id, right.id)
    assert await memberships(connected.scim, user_id) == {
        "Inner": DIRECT, "Left": INDIRECT, "Right": DIRECT, "Top": INDIRECT
    }  # fmt: skip


async def test_a_parked_group_that_would_close_a_long_circle_stays_parked_until_it_does_not(
    world: World, connected: Connected
) -> None:
    """PRODUCT §2: a parked value is "visible to the administrator"; a group never contains itself."""
    scim = connected.scim
    one = (await scim.call("CreateGroup", with_group("One", "g-top"))).group
    two = await scim.create_group("Two", one.id)
    top = await scim.create_group("Three", two.id, external_id="g-top")
    assert await world.admin.parked(connection_id=connected.id) == ["g-top"]
    assert values(await scim.group(one.id)) == []
    # Sent again it names a group that is there, and the error says so.
    failure = await scim.refused(
        "PatchGroup",
        pb.PatchGroupRequest(
            id=one.id, operations=[operation("add", "members", [{"value": "g-top", "type": "Group"}])]
        ),
    )
    assert failure.reason == "INVALID_VALUE"
    await scim.patch_group(top.id, operation("remove", "members"))
    assert values(await scim.group(one.id)) == [top.id]
    await world.events(connected.id)
    (counts,) = await world.rows(sa.select(CONNECTIONS.c.parked_count).where(CONNECTIONS.c.id == connected.id))
    assert counts.parked_count == 0


async def test_a_parked_group_joins_when_a_group_between_is_deleted(world: World, connected: Connected) -> None:
    """PRODUCT §2: a parked value is "turned into a membership"; what held it back here was the circle alone."""
    scim = connected.scim
    one = (await scim.call("CreateGroup", with_group("One", "g-top"))).group
    two = await scim.create_group("Two", one.id)
    top = await scim.create_group("Three", two.id, external_id="g-top")
    assert values(await scim.group(one.id)) == []
    await scim.call("DeleteGroup", pb.DeleteGroupRequest(id=two.id))
    assert values(await scim.group(one.id)) == [top.id]
    assert await world.admin.parked(connection_id=connected.id) == []
    kinds = await world.kinds(connected.id)
    assert kinds[-3:] == ["GroupDeleted", "GroupMembersChanged", "GroupMembersChanged"]


async def test_of_two_parked_groups_the_second_may_not_close_the_circle(world: World, connected: Connected) -> None:
    """As above, where one group that appears resolves two values at once."""
    scim = connected.scim
    one = (await scim.call("CreateGroup", with_group("One", "g-x"))).group
    two = (await scim.call("CreateGroup", with_group("Two", "g-x"))).group
    request = pb.CreateGroupRequest(group=group_pb2.Group(display_name="X", external_id="g-x"))
    request.members.members.add(value=two.id)
    x = (await scim.call("CreateGroup", request)).group
    assert values(await scim.group(one.id)) == [x.id]
    assert values(await scim.group(two.id)) == []
    assert await world.admin.parked(connection_id=connected.id) == ["g-x"]


async def test_deleting_a_group_between_ends_what_went_through_it(world: World, connected: Connected) -> None:
    """Proto, GroupDeleted: "its memberships ended with it"; each group that held it tells so in an event."""
    scim = connected.scim
    user_id = (await scim.create("a@b")).id
    low, middle, top = await chain(scim, "Low", "Middle", "Top", user_id=user_id)
    side = await scim.create_group("Side", middle.id)
    assert await memberships(scim, user_id) == {"Low": DIRECT, "Middle": INDIRECT, "Top": INDIRECT, "Side": INDIRECT}
    await scim.call("DeleteGroup", pb.DeleteGroupRequest(id=middle.id))
    assert await memberships(scim, user_id) == {"Low": DIRECT}
    *_, deleted, first, second = await world.events(connected.id)
    assert (type(deleted).__name__, deleted.group.id) == ("GroupDeleted", middle.id)
    for event, holder in ((first, top), (second, side)):
        assert (event.group.id, event.group.version, event.group.member_count) == (holder.id, holder.version + 1, 0)
        assert [(m.value, m.type) for m in event.removed] == [(middle.id, group_pb2.MEMBER_TYPE_GROUP)]
    assert values(await scim.group(top.id)) == values(await scim.group(side.id)) == []
    assert (await scim.group(low.id)).version == low.version


async def test_groups_of_a_user_are_filtered_by_direct_and_indirect_membership(connected: Connected) -> None:
    """RFC 7643 §4.1.2: `groups` holds those "to which the user belongs, either through direct membership, through
    nested groups".
    """
    scim = connected.scim
    a, b = [(await scim.create(name)).id for name in ("a@b", "b@b")]
    inner, outer = await chain(scim, "Inner", "Outer", user_id=a)
    await scim.patch_group(outer.id, operation("add", "members", [b]))
    assert await scim.find(f'groups.value eq "{outer.id}"') == ["a@b", "b@b"]
    assert await scim.find(f'groups eq "{inner.id}"') == ["a@b"]
    assert await scim.find(f'groups[value eq "{outer.id}" and type eq "direct"]') == ["b@b"]
    assert await scim.find('groups.type eq "indirect"') == ["a@b"]
    assert await scim.find(f'groups.value eq "{outer.id}" and not (groups.value eq "{inner.id}")') == ["b@b"]
    assert (
        await scim.call("ListUsers", pb.ListUsersRequest(filter='groups.display sw "out"', count_only=True))
    ).total_size == 2


async def test_a_group_of_another_connection_is_never_a_member(world: World, connected: Connected) -> None:
    """PRODUCT §1: "Nothing of one connection is reachable, matched or even hinted at through another"."""
    elsewhere = await world.connect(connections_pb.PORTAL_STORE)
    foreign = await elsewhere.scim.create_group("Foreign", external_id="ext")
    request = with_group("Mine", foreign.id)
    request.members.members.add(value="ext", type=group_pb2.MEMBER_TYPE_GROUP)
    mine = (await connected.scim.call("CreateGroup", request)).group
    assert values(mine) == []
    assert await world.admin.parked(connection_id=connected.id) == [foreign.id, "ext"]


async def test_random_nestings_stay_free_of_circles_and_users_show_what_the_groups_hold(
    world: World, connected: Connected
) -> None:
    """A model of plain sets: what is refused would close a circle, what is accepted is what is reachable."""
    chance = random.Random(7)
    scim = connected.scim
    user_ids = [(await scim.create(f"{n}@b")).id for n in range(3)]
    groups = {group.id: group.display_name for group in [await scim.create_group(f"G{n}") for n in range(6)]}
    model: dict[str, set[str]] = {group_id: set() for group_id in groups}

    def below(group_id: str) -> set[str]:
        found: set[str] = set()
        pending = [group_id]
        while pending:
            new = model.get(pending.pop(), set()) - found
            found |= new
            pending += new
        return found

    refusals = 0
    for _ in range(60):
        holder = chance.choice(list(groups))
        chosen = chance.choice(user_ids + list(groups) * 2)
        if chosen in model[holder] and chance.random() < 0.7:
            await scim.patch_group(holder, operation("remove", f'members[value eq "{chosen}"]'))
            model[holder].discard(chosen)
            continue
        addition = operation("add", "members", [chosen])
        if chosen == holder or holder in below(chosen):
            failure = await scim.refused("PatchGroup", pb.PatchGroupRequest(id=holder, operations=[addition]))
            assert failure.reason == "INVALID_VALUE"
            refusals += 1
        else:
            await scim.patch_group(holder, addition)
            model[holder].add(chosen)
    assert refusals > 5
    for user_id in user_ids:
        expected = {
            name: DIRECT if user_id in model[group_id] else INDIRECT
            for group_id, name in groups.items()
            if user_id in below(group_id)
        }
        assert await memberships(scim, user_id) == expected


async def test_a_change_of_users_only_never_looks_above_the_group(fresh_world: World) -> None:
    """TARGETS: "Cost follows the delta": a flat group pays nothing for the nesting of others."""
    connected = await fresh_world.connect()
    user_id = (await connected.scim.create("a@b")).id
    group = await connected.scim.create_group("Flat")
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    try:
        await connected.scim.patch_group(group.id, operation("add", "members", [user_id]))
        await connected.scim.put_group(group_pb2.Group(id=group.id, display_name="Flat"), [user_id])
        await connected.scim.patch_group(group.id, operation("remove", f'members[value eq "{user_id}"]'))
        await connected.scim.create("b@b")
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert statements
    assert not [statement for statement in statements if "RECURSIVE" in statement]
