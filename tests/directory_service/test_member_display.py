"""What a group calls its members (RFC 7643 §2.4, §4.2)."""

from typing import Any

import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import group_pb2

from directory_service.tables import GROUP_MEMBERS
from tests.directory_service.world import Connected, World, operation, user, values


async def created(connected: Connected, *members: group_pb2.Member) -> group_pb2.Group:
    """Create a group."""
    request = pb.CreateGroupRequest(group=group_pb2.Group(display_name="Staff"))
    request.members.members.extend(members)
    made: group_pb2.Group = (await connected.scim.call("CreateGroup", request)).group
    return made


def displays(group: group_pb2.Group) -> list[str]:
    """What the members shown in a group are called."""
    return [member.display for member in group.members]


@pytest.mark.parametrize("how", ["create", "replace", "patch add", "patch replace", "patch without a path"])
async def test_a_display_is_shown_as_sent_whichever_way_it_came(world: World, connected: Connected, how: str) -> None:
    """RFC 7643 §2.4: "display A human-readable name, primarily used for display purposes and has a mutability of
    "immutable"."
    """
    a, b = [(await connected.scim.create(name)).id for name in ("a@b", "b@b")]
    inner = await connected.scim.create_group("Inner")
    sent: list[dict[str, Any]] = [
        {"value": a, "display": "Ann  B."},
        {"value": b},
        {"value": inner.id, "display": "In"},
    ]
    group = await created(connected, *(group_pb2.Member(**entry) for entry in sent if how == "create"))
    if how == "replace":
        request = pb.UpdateGroupRequest(group=group_pb2.Group(id=group.id, display_name="Staff"))
        request.members.members.extend(group_pb2.Member(**entry) for entry in sent)
        await connected.scim.call("UpdateGroup", request)
    elif how == "patch add":
        await connected.scim.patch_group(group.id, *(operation("add", "members", [entry]) for entry in sent))
    elif how == "patch replace":
        await connected.scim.patch_group(group.id, operation("replace", "members", sent))
    elif how == "patch without a path":
        await connected.scim.patch_group(group.id, operation("add", value={"members": sent}))
    shown = await connected.scim.group(group.id)
    assert displays(shown) == ["Ann  B.", "b@b", "In"]
    chunks = await connected.scim.stream("ListGroupMembers", pb.ListGroupMembersRequest(group_id=group.id))
    assert [member for chunk in chunks for member in chunk.members] == list(shown.members)
    joined = [m for event in await world.events(connected.id) if "added" in event.DESCRIPTOR.fields_by_name
              for m in event.added]  # fmt: skip
    assert [member.display for member in joined] == ["Ann  B.", "b@b", "In"]


async def test_the_first_display_stands_and_another_one_is_no_change(connected: Connected) -> None:
    """RFC 7643 §2.4: immutable; WIRE: "unchanged immutable member sub-attributes refused" is a bug of others."""
    a, b = [(await connected.scim.create(name)).id for name in ("a@b", "b@b")]
    group = await created(connected, group_pb2.Member(value=a, display="Ann"), group_pb2.Member(value=b))
    for again in (
        operation("add", "members", [{"value": a, "display": "Other"}, {"value": b, "display": "Bob"}]),
        operation("replace", "members", [{"value": b, "display": "Bob"}, {"value": a}]),
        operation("replace", f'members[value eq "{a}"].display', "Other"),
        operation("add", f'members[value eq "{a}"]', {"display": "Other"}),
    ):
        assert await connected.scim.patch_group(group.id, again) == group
    assert displays(group) == ["Ann", "b@b"]


async def test_one_who_left_and_joins_again_is_called_as_sent_then(connected: Connected) -> None:
    """RFC 7643 §2.4: what is immutable is the value of one membership, not of the next."""
    a = (await connected.scim.create("a@b")).id
    group = await created(connected, group_pb2.Member(value=a, display="Ann"))
    await connected.scim.patch_group(group.id, operation("remove", "members"))
    again = await connected.scim.patch_group(group.id, operation("add", "members", [{"value": a, "display": "Anna"}]))
    assert displays(again) == ["Anna"]


@pytest.mark.parametrize("sent", ["", "  ", "a@b"])
async def test_a_blank_display_or_the_members_own_name_follows_the_name(
    world: World, connected: Connected, sent: str
) -> None:
    """Proto, Member.display: "where it sent the member's own name, the user's userName [...] as it is now"."""
    made = await connected.scim.create("a@b")
    group = await created(connected, group_pb2.Member(value=made.id, display=sent))
    await connected.scim.update(user("ann@b", id=made.id))
    assert displays(await connected.scim.group(group.id)) == ["ann@b"]
    stored = await world.rows(sa.select(GROUP_MEMBERS.c.display).where(GROUP_MEMBERS.c.group_id == group.id))
    assert [row.display for row in stored] == [None]


async def test_a_parked_member_keeps_its_display_until_it_is_one(connected: Connected) -> None:
    """PRODUCT §2: a parked value is "turned into a membership when a user [...] appears"."""
    group = await created(
        connected, group_pb2.Member(value="later@b", display="Later"), group_pb2.Member(value="else@b")
    )
    await connected.scim.create("later@b")
    await connected.scim.create("else@b")
    assert displays(await connected.scim.group(group.id)) == ["Later", "else@b"]


async def test_members_are_filtered_by_what_they_are_called(connected: Connected) -> None:
    """RFC 7644 §3.5.2.2: "the values matched by the filter are removed", by what the resource shows."""
    a, b, c = [(await connected.scim.create(name)).id for name in ("a@b", "b@b", "c@b")]
    group = await created(
        connected, group_pb2.Member(value=a, display="Ann"), group_pb2.Member(value=b), group_pb2.Member(value="park")
    )
    found = await connected.scim.call("ListGroups", pb.ListGroupsRequest(filter='members[display eq "ANN"]'))
    assert [each.id for each in found.groups] == [group.id]
    assert not (await connected.scim.call("ListGroups", pb.ListGroupsRequest(filter='members.display sw "a@"'))).groups
    for path, left in (
        ('members[display eq "a@b"]', [a, b]),
        ('members[display ne "Ann"]', [a]),
        ('members[display eq "ann"]', []),
    ):
        assert values(await connected.scim.patch_group(group.id, operation("remove", path))) == left
    # In one request a filter sees what the operations before it made of the group.
    both = await connected.scim.patch_group(
        group.id,
        operation("add", "members", [{"value": a, "display": "Ann"}, {"value": c, "display": "Cat"}]),
        operation("remove", 'members[display eq "Cat"]'),
    )
    assert values(both) == [a]
    same = await connected.scim.patch_group(
        group.id, operation("add", "members", [a]), operation("remove", 'members[display eq "a@b"]')
    )
    assert values(same) == [a]
    gone = await connected.scim.patch_group(
        group.id, operation("add", "members", [a]), operation("remove", 'members[display eq "Ann"]')
    )
    assert values(gone) == []


@pytest.mark.parametrize("display", ["x" * 513, "a\0b"])
async def test_a_display_that_cannot_be_kept_is_refused_by_name(connected: Connected, display: str) -> None:
    """Proto, Member.display: "at most 512 characters"."""
    request = pb.CreateGroupRequest(group=group_pb2.Group(display_name="Staff"))
    request.members.members.add(value="x", display=display)
    failure = await connected.scim.refused("CreateGroup", request)
    assert (failure.reason, failure.field) == ("INVALID_VALUE", "members.display")


async def test_a_large_push_with_displays_keeps_each_with_its_member(world: World, connected: Connected) -> None:
    """WIRE, Okta: `members:[{value,display}]`; PRODUCT §2: "Membership is row-per-member."."""
    ids = await world.fill_users(connected.id, 600)
    sent = [group_pb2.Member(value=user_id, display=f"Nº {n}" if n % 3 else "") for n, user_id in enumerate(ids)]
    group = await created(connected, *sent)
    assert displays(group) == [f"Nº {n}" if n % 3 else f"{n}@many" for n in range(600)]
