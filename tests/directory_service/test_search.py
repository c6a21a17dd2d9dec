"""Users and groups in one list (RFC 7644 §3.4.2.1)."""

from typing import Any

import pytest
from rollcall.directory.v1 import directory_service_pb2 as pb

from tests.directory_service.world import Caller, Connected, email


@pytest.fixture
async def scim(connected: Connected) -> Caller:
    """A connection with users u-Bea, u-ann, u-cid and groups g-Abc, g-xyz."""
    caller = connected.scim
    await caller.create("u-Bea", display_name="Bea", external_id="x2", emails=[email("bea@example.com")])
    abc = await caller.create_group("Abc", external_id="x1")
    await caller.create("u-ann", display_name="ann", extensions={"urn:acme:x": '{"rank": "m"}'})
    await caller.create_group("xyz", abc.id, extensions={"urn:acme:x": '{"rank": "a"}'})
    await caller.create("u-cid", active=False)
    return caller


async def search(scim: Caller, **query: Any) -> tuple[list[str], int]:
    """The names on a page, and the total."""
    response = await scim.call("SearchResources", pb.SearchResourcesRequest(**query))
    names = [
        f"u-{found.user.user_name.removeprefix('u-')}" if found.HasField("user") else f"g-{found.group.display_name}"
        for found in response.resources
    ]
    return names, response.total_size


@pytest.mark.parametrize(
    ("filter", "found"),
    [
        ("", ["u-Bea", "u-ann", "u-cid", "g-Abc", "g-xyz"]),
        ("displayName pr", ["u-Bea", "u-ann", "g-Abc", "g-xyz"]),
        ('displayName co "b"', ["u-Bea", "g-Abc"]),
        ('externalId sw "x"', ["u-Bea", "g-Abc"]),
        ('meta.resourceType eq "Group"', ["g-Abc", "g-xyz"]),
        ('meta.resourceType eq "User" and active eq true', ["u-Bea", "u-ann"]),
        # Known to one type only: as if it had no value.
        ("userName pr", ["u-Bea", "u-ann", "u-cid"]),
        ("not (userName pr)", ["g-Abc", "g-xyz"]),
        ('userName ne "u-ann"', ["u-Bea", "u-cid", "g-Abc", "g-xyz"]),
        ("userName eq null", ["g-Abc", "g-xyz"]),
        ("userName ne null", ["u-Bea", "u-ann", "u-cid"]),
        ('userName eq "U-ANN" or displayName eq "XYZ"', ["u-ann", "g-xyz"]),
        ('emails[value sw "bea"]', ["u-Bea"]),
        ("members pr", ["g-xyz"]),
        ('members[type eq "Group"] or emails pr', ["u-Bea", "g-xyz"]),
        ('urn:acme:x:rank lt "n"', ["u-ann", "g-xyz"]),
    ],
)
async def test_a_filter_applies_to_both_types(scim: Caller, filter: str, found: list[str]) -> None:
    """RFC 7644 §3.4.2.1: "the service provider SHALL treat the attribute as if there is no attribute value"."""
    assert await search(scim, filter=filter) == (found, len(found))
    assert await search(scim, filter=filter, count_only=True) == ([], len(found))


@pytest.mark.parametrize("filter", ["nonsense pr", 'password eq "x"', "userName", "active gt true", 'name eq "x"'])
async def test_what_neither_type_can_answer_is_refused(scim: Caller, filter: str) -> None:
    """RFC 7644 §3.4.2.2: "invalidFilter"."""
    failure = await scim.refused("SearchResources", pb.SearchResourcesRequest(filter=filter))
    assert failure.reason == "INVALID_FILTER"


async def _with_ties_by_id(scim: Caller, found: list[str]) -> list[str]:
    """Names in order, those in one text having equal values."""
    listed = (await scim.call("SearchResources", pb.SearchResourcesRequest())).resources
    ids = {name: (each.user.id or each.group.id) for name, each in zip((await search(scim))[0], listed, strict=True)}
    return [name for tied in found for name in sorted(tied.split(), key=lambda name: ids[name])]


@pytest.mark.parametrize(
    ("sort_by", "descending", "found"),
    [
        ("", False, ["u-Bea", "u-ann", "u-cid", "g-Abc", "g-xyz"]),
        ("displayName", False, ["g-Abc", "u-ann", "u-Bea", "g-xyz", "u-cid"]),
        ("displayName", True, ["u-cid", "g-xyz", "u-Bea", "u-ann", "g-Abc"]),
        ("externalId", False, ["g-Abc", "u-Bea", "u-ann u-cid g-xyz"]),
        ("userName", False, ["u-ann", "u-Bea", "u-cid", "g-Abc g-xyz"]),
        ("active", False, ["u-cid", "u-Bea u-ann", "g-Abc g-xyz"]),
        ("active", True, ["g-Abc g-xyz", "u-Bea u-ann", "u-cid"]),
        ("meta.resourceType", False, ["g-Abc g-xyz", "u-Bea u-ann u-cid"]),
        ("members.type", False, ["g-xyz", "u-Bea u-ann u-cid g-Abc"]),
        ("urn:acme:x:rank", False, ["g-xyz", "u-ann", "u-Bea u-cid g-Abc"]),
    ],
)
async def test_both_types_are_sorted_together_and_pages_join_to_the_whole(
    scim: Caller, sort_by: str, descending: bool, found: list[str]
) -> None:
    """RFC 7644 §3.4.2.3: the order is that of all results, ties by id; §3.4.2.4, AIP-158: by index and by token."""
    query: dict[str, Any] = {"sort_by": sort_by}
    if descending:
        query["sort_order"] = pb.SORT_ORDER_DESCENDING
    found = await _with_ties_by_id(scim, found)
    assert await search(scim, **query) == (found, 5)
    for size in (1, 2, 3):
        for skip in range(7):
            assert (await search(scim, **query, page_size=size, skip=skip))[0] == found[skip : skip + size]
        walked: list[str] = []
        token = ""
        while True:
            request = pb.SearchResourcesRequest(**query, page_size=size, page_token=token)
            response = await scim.call("SearchResources", request)
            walked += [
                found.user.user_name if found.HasField("user") else f"g-{found.group.display_name}"
                for found in response.resources
            ]
            token = response.next_page_token
            if not token:
                break
        assert walked == found


async def test_resources_are_filled_as_asked(scim: Caller) -> None:
    """Proto: "Whether `groups` of users is to be filled"; "Whether `members` of groups is to be filled"."""
    ann = (await scim.call("ListUsers", pb.ListUsersRequest(filter='userName eq "u-ann"'))).users[0]
    team = await scim.create_group("Team", ann.id)
    for filled in (False, True):
        request = pb.SearchResourcesRequest(
            filter=f'id eq "{ann.id}" or id eq "{team.id}"', include_groups=filled, include_members=filled
        )
        user, group = (await scim.call("SearchResources", request)).resources
        assert [member.group_id for member in user.user.groups] == [team.id] * filled
        assert [member.value for member in group.group.members] == [ann.id] * filled


async def test_a_wrong_request_is_refused(scim: Caller, connected: Connected) -> None:
    """AIP-158: a token of another query, a skip out of range; RFC 7644 §3.4.2.3: an attribute that cannot be sorted."""
    token = (await scim.call("SearchResources", pb.SearchResourcesRequest(page_size=1))).next_page_token
    users = (await scim.call("ListUsers", pb.ListUsersRequest(page_size=1))).next_page_token
    for request, reason in (
        (pb.SearchResourcesRequest(page_token=token, filter="userName pr"), "INVALID_PAGE_TOKEN"),
        (pb.SearchResourcesRequest(page_token=token, sort_by="displayName"), "INVALID_PAGE_TOKEN"),
        (pb.SearchResourcesRequest(page_token=users), "INVALID_PAGE_TOKEN"),
        (pb.SearchResourcesRequest(skip=-1), "INVALID_VALUE"),
        (pb.SearchResourcesRequest(sort_by="nonsense"), "INVALID_VALUE"),
        (pb.SearchResourcesRequest(sort_by="name"), "INVALID_VALUE"),
        (pb.SearchResourcesRequest(sort_by="emails["), "INVALID_VALUE"),
    ):
        assert (await scim.refused("SearchResources", request)).reason == reason, request
