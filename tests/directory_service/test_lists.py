"""Lists of users and groups over gRPC: filters, sorts, pages (AIP-132, AIP-158, RFC 7644 §3.4.2)."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import directory_service_pb2 as pb

from chassis.paging import PAGE_TOKEN_SECONDS, SignedPageTokens, encode_page_token
from directory_service.tables import SECRETS
from tests.directory_service.world import Connected, World, email, running, settings, user


async def test_the_filters_of_identity_providers_find_the_user(connected: Connected) -> None:
    """WIRE: Okta filters with `eq`: "userName; older guides add id, externalId, emails, `emails.value`, `email`"."""
    scim = connected.scim
    found = await scim.create("A+b@x.example", external_id='0"0', emails=[email("a+b@x.example")])
    await scim.create("other")
    for text in (
        'userName eq "a+B@x.example"', 'username Eq "A+b@x.example"', f'id eq "{found.id}"', 'externalId eq "0\\"0"',
        'emails eq "A+B@X.EXAMPLE"', 'emails.value eq "a+b@x.example"', 'email eq "a+b@x.example"',
        'emails[type eq "work"].value co "X.example"', 'userName eq "a+b@x.example" and active eq "True"',
        'urn:ietf:params:scim:schemas:core:2.0:User:userName sw "a+"',
    ):  # fmt: skip
        assert await scim.find(text) == ["A+b@x.example"], text
    response = await scim.call("ListUsers", pb.ListUsersRequest(filter='userName eq "nobody"'))
    assert (list(response.users), response.total_size, response.next_page_token) == ([], 0, "")


@pytest.mark.parametrize(
    "filter",
    ["nonsense", 'nonsense eq "x"', 'password eq "x"', "userName gt", "(" * 1000,
     " or ".join(['userName eq "x"'] * 2000), 'active gt true', 'userName eq "a\\u0000"', "userName pr " + " " * 5000],
)  # fmt: skip
async def test_a_filter_that_is_wrong_is_refused(connected: Connected, filter: str) -> None:
    """RFC 7644 §3.4.2.2: "invalidFilter"; SECURITY: depth 1,000, 2,000 terms, never-returned attributes."""
    for method, request in (("ListUsers", pb.ListUsersRequest), ("ListGroups", pb.ListGroupsRequest)):
        failure = await connected.scim.refused(method, request(filter=filter))
        assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FILTER")


async def test_pages_join_to_the_whole(connected: Connected) -> None:
    """AIP-158: page_token and skip; WIRE: "it needs a stable order"."""
    names = [f"u{n}" for n in range(7)]
    for name in names:
        await connected.scim.create(name)
    collected, token, sizes = [], "", []
    while True:
        response = await connected.scim.call("ListUsers", pb.ListUsersRequest(page_size=3, page_token=token))
        collected += [found.user_name for found in response.users]
        sizes.append(len(response.users))
        assert response.total_size == 7
        token = response.next_page_token
        if not token:
            break
    assert (collected, sizes) == (names, [3, 3, 1])
    for skip in range(9):
        for size in (1, 3, 100):
            response = await connected.scim.call("ListUsers", pb.ListUsersRequest(page_size=size, skip=skip))
            assert [found.user_name for found in response.users] == names[skip : skip + size]
            assert bool(response.next_page_token) is (skip + size < 7)
            assert response.total_size == 7
            if response.next_page_token:
                rest = await connected.scim.find(page_token=response.next_page_token)
                assert rest == names[skip + size :]
    counted = await connected.scim.call("ListUsers", pb.ListUsersRequest(count_only=True))
    assert (len(counted.users), counted.total_size) == (0, 7)


async def test_a_filtered_page_knows_its_total(connected: Connected) -> None:
    """RFC 7644 §3.4.2: totalResults is that of the query."""
    for n in range(5):
        await connected.scim.create(f"u{n}", title="even" if n % 2 == 0 else "odd")
    request = pb.ListUsersRequest(filter='title eq "even"', page_size=2)
    first = await connected.scim.call("ListUsers", request)
    assert ([found.user_name for found in first.users], first.total_size) == (["u0", "u2"], 3)
    request.page_token = first.next_page_token
    second = await connected.scim.call("ListUsers", request)
    assert ([found.user_name for found in second.users], second.total_size) == (["u4"], 3)
    assert second.next_page_token == ""


async def test_lists_are_sorted_as_asked(connected: Connected) -> None:
    """RFC 7644 §3.4.2.3: "last if ascending and first if descending"; primary e-mail decides."""
    scim = connected.scim
    await scim.create("c", title="Ä", emails=[email("z"), email("a", primary=True)])
    await scim.create("B", emails=[email("b")])
    await scim.create("a", title="a")
    assert await scim.find(sort_by="userName") == ["a", "B", "c"]
    assert await scim.find(sort_by="userName", sort_order=pb.SORT_ORDER_DESCENDING) == ["c", "B", "a"]
    assert await scim.find(sort_by="title") == ["a", "c", "B"]
    assert await scim.find(sort_by="title", sort_order=pb.SORT_ORDER_DESCENDING) == ["B", "c", "a"]
    assert await scim.find(sort_by="emails.value") == ["c", "B", "a"]
    assert await scim.find(sort_by="meta.created") == ["c", "B", "a"]
    pages = []
    token = ""
    for _ in range(3):
        response = await scim.call("ListUsers", pb.ListUsersRequest(sort_by="title", page_size=1, page_token=token))
        pages += [found.user_name for found in response.users]
        token = response.next_page_token
    assert (pages, token) == (["a", "c", "B"], "")


@pytest.mark.parametrize("sort_by", ["password", "nonsense", "name", "emails["])
async def test_a_sort_that_cannot_be_is_refused(connected: Connected, sort_by: str) -> None:
    """SECURITY, CVE-2018-1322: "filtering or sorting by a never-returned attribute is refused"."""
    failure = await connected.scim.refused("ListUsers", pb.ListUsersRequest(sort_by=sort_by))
    assert (failure.reason, failure.field) == ("INVALID_VALUE", "sort_by")


async def test_a_forged_page_token_is_refused(world: World, connected: Connected) -> None:
    """Proto: "A page token is forged or belongs to another query."."""
    scim = connected.scim
    for n in range(3):
        await scim.create(f"u{n}", title=f"t{n}")
    token = (await scim.call("ListUsers", pb.ListUsersRequest(page_size=1))).next_page_token
    query = f"{connected.id}\nUser\n\ntitle\n0"
    signed = world.server.directory.page_tokens
    another = SignedPageTokens(b"\0" * 32, domain="x")
    for request in (
        pb.ListUsersRequest(page_token="x"),
        pb.ListUsersRequest(page_token=token, filter="title pr"),
        pb.ListUsersRequest(page_token=token, sort_by="title"),
        pb.ListUsersRequest(page_token=base64.urlsafe_b64encode(b"[1]").decode()),
        pb.ListUsersRequest(page_token=signed.encode(("5", "i"), query), sort_by="title"),
        pb.ListUsersRequest(page_token=signed.encode(("{", "i"), query), sort_by="title"),
        pb.ListUsersRequest(page_token=signed.encode(('"\\u0000"', "i"), query), sort_by="title"),
        pb.ListUsersRequest(page_token=signed.encode(("null", "\0"), query), sort_by="title"),
        pb.ListUsersRequest(page_token=signed.encode(("null", 1), query), sort_by="title"),
        pb.ListUsersRequest(page_token=signed.encode(("null", 2**63), f"{connected.id}\nUser\n\n\n0")),
        pb.ListUsersRequest(page_token=another.encode(('"t0"', ""), query), sort_by="title"),
        pb.ListUsersRequest(page_token=encode_page_token(('"t0"', ""), query), sort_by="title"),
    ):
        failure = await scim.refused("ListUsers", request)
        assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_PAGE_TOKEN")
    good = pb.ListUsersRequest(page_token=signed.encode(('"t0"', ""), query), sort_by="title")
    assert len((await scim.call("ListUsers", good)).users) == 3


async def test_a_page_token_expires(world: World, connected: Connected) -> None:
    """RFC 9865 §2.1: "Cursor has expired. Do not wait longer than cursorTimeout [...] to request additional pages."."""
    scim = connected.scim
    for n in range(2):
        await scim.create(f"u{n}")
    query = f"{connected.id}\nUser\n\n\n0"
    (row,) = await world.rows(sa.select(SECRETS.c.value))
    for age, expired in ((PAGE_TOKEN_SECONDS - 30, False), (PAGE_TOKEN_SECONDS + 1, True)):
        clock = time.time() - age
        token = SignedPageTokens(bytes(row.value), domain="x", clock=lambda now=clock: now).encode(("null", 0), query)
        request = pb.ListUsersRequest(page_token=token)
        if expired:
            failure = await scim.refused("ListUsers", request)
            assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "EXPIRED_PAGE_TOKEN")
        else:
            assert len((await scim.call("ListUsers", request)).users) == 2


async def test_a_page_token_of_one_process_is_good_in_another(database_url: str, tmp_path: Path) -> None:
    """Proto: "The token of the page before", whichever process gave it, and also after a restart."""
    made = settings(database_url, tmp_path)
    async with running(made) as first:
        connected = await first.connect()
        for n in range(2):
            await connected.scim.create(f"u{n}")
        page = await connected.scim.call("ListUsers", pb.ListUsersRequest(page_size=1))
        async with running(made) as second:
            rest = pb.ListUsersRequest(page_size=1, page_token=page.next_page_token)
            assert [u.user_name for u in (await second.scim(connected.token).call("ListUsers", rest)).users] == ["u1"]


async def test_a_skip_out_of_range_is_refused(connected: Connected) -> None:
    """AIP-158: "skip [...] negative: INVALID_ARGUMENT"."""
    for skip in (-1, 2**40):
        failure = await connected.scim.refused("ListUsers", pb.ListUsersRequest(skip=skip))
        assert (failure.reason, failure.field) == ("INVALID_VALUE", "skip")


async def test_groups_of_a_page_are_filled(world: World, connected: Connected) -> None:
    """Proto: "Whether `members` is to be filled"; "Whether `groups` is to be filled"."""
    scim = connected.scim
    a, b = await scim.create("a"), await scim.create("b")
    one = await scim.create_group("One", a.id, b.id)
    two = await scim.create_group("Two", b.id)
    response = await scim.call("ListGroups", pb.ListGroupsRequest(include_members=True))
    assert [[m.value for m in group.members] for group in response.groups] == [[a.id, b.id], [b.id]]
    response = await scim.call("ListGroups", pb.ListGroupsRequest(filter=f'members.value eq "{a.id}"'))
    assert [(group.id, len(group.members)) for group in response.groups] == [(one.id, 0)]
    response = await scim.call("ListUsers", pb.ListUsersRequest(include_groups=True))
    assert [[g.group_id for g in found.groups] for found in response.users] == [[one.id], [one.id, two.id]]
    assert await scim.find('groups.display eq "two"') == ["b"]
    response = await scim.call("ListGroups", pb.ListGroupsRequest(filter='displayName eq "TWO"'))
    assert [group.id for group in response.groups] == [two.id]
    assert response.total_size == 1


async def test_the_counts_follow_what_happens(world: World, connected: Connected) -> None:
    """`total_size` of an unfiltered list is a counter; it must equal the rows."""
    scim = connected.scim
    created = [await scim.create(f"u{n}") for n in range(4)]
    await scim.refused("CreateUser", pb.CreateUserRequest(user=user("U0")))
    await scim.delete(created[0].id)
    await scim.create_group("One")
    assert (await scim.call("ListUsers", pb.ListUsersRequest())).total_size == 3
    assert (await scim.call("ListUsers", pb.ListUsersRequest(filter="id pr", count_only=True))).total_size == 3
    assert (await scim.call("ListGroups", pb.ListGroupsRequest(count_only=True))).total_size == 1


async def test_an_unknown_connection_has_no_list(world: World) -> None:
    """Wiring: "an unknown workspace or connection [...] giving CONNECTION_NOT_FOUND"."""
    failure = await world.admin.refused("ListUsers", pb.ListUsersRequest(connection_id="nowhere"))
    assert failure.reason == "CONNECTION_NOT_FOUND"


async def test_equal_values_are_ordered_by_id_either_way(connected: Connected) -> None:
    """RFC 7644 §3.4.2.3: "sortBy" gives an order, which has to be one; those it does not tell apart are told by id."""
    scim = connected.scim
    tied = sorted([(await scim.create(f"u{n}", title="same")).id for n in range(12)])
    bare = sorted([(await scim.create(f"v{n}")).id for n in range(4)])
    for order, expected in ((pb.SORT_ORDER_ASCENDING, tied + bare), (pb.SORT_ORDER_DESCENDING, bare + tied)):
        request = pb.ListUsersRequest(sort_by="title", sort_order=order)
        assert [user.id for user in (await scim.call("ListUsers", request)).users] == expected
        walked: list[str] = []
        token = ""
        while len(walked) < len(expected):
            page = await scim.call(
                "ListUsers", pb.ListUsersRequest(sort_by="title", sort_order=order, page_size=3, page_token=token)
            )
            walked += [user.id for user in page.users]
            token = page.next_page_token
        assert walked == expected


async def test_undeclared_values_are_ordered_as_what_they_are(connected: Connected) -> None:
    """RFC 7644 §3.4.2.3: "the attribute whose value SHALL be used to order the returned responses", a number as one;
    of several values "the value of the primary attribute …, if any, or else the first value in the list".
    """
    scim, urn = connected.scim, "urn:acme:x"
    values = [10, 9, -1, 2.5, -1.5, -10, 100, 0, 10.25, 1e22, -(2**63), 2**63 - 1, 0.001, "abc", "ABD", "9", False]
    in_order = [-(2**63), -10, -1.5, -1, 0, 0.001, 2.5, 9, 10, 10.25, 100, 2**63 - 1, 1e22, "9", "abc", "ABD", False]
    listed = [
        *((f"{value!r}", value) for value in values),
        ("a list", [50, 1]),
        ("a primary", [{"value": 1}, {"value": 60, "primary": True}]),
        ("an object", {"value": 70}),
        ("nothing", None),
    ]
    expected = [f"{value!r}" for value in in_order]
    expected[expected.index("100") : expected.index("100")] = ["a list", "a primary", "an object"]
    for name, value in listed:
        await scim.create(name, **({} if value is None else {"extensions": {urn: json.dumps({"rank": value})}}))
    assert await scim.find(sort_by=f"{urn}:rank") == [*expected, "nothing"]
    descending = await scim.find(sort_by=f"{urn}:RANK", sort_order=pb.SORT_ORDER_DESCENDING)
    assert descending == ["nothing", *reversed(expected)]
    walked: list[str] = []
    token = ""
    while not walked or token:
        request = pb.ListUsersRequest(sort_by=f"{urn}:rank", page_size=2, page_token=token)
        page = await scim.call("ListUsers", request)
        walked += [user.user_name for user in page.users]
        token = page.next_page_token
    assert walked == [*expected, "nothing"]


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600", '"', "\u0001"])
async def test_a_page_token_is_good_however_long_the_values_are(connected: Connected, letter: str) -> None:
    """RFC 9865 §2: `nextCursor` leads to the next page, be the value that was sorted by longer than any URL."""
    scim = connected.scim
    names = [f"u{n}" for n in range(4)]
    for name in names:
        await scim.create(name, title=name + letter * 3000)
    walked: list[str] = []
    token = ""
    while not walked or token:
        page = await scim.call("ListUsers", pb.ListUsersRequest(sort_by="title", page_size=1, page_token=token))
        walked += [user.user_name for user in page.users]
        token = page.next_page_token
        assert len(token) < 4096
    assert walked == names


async def test_people_are_found_by_the_beginning_of_their_user_name(world: World, connected: Connected) -> None:
    """directory_service.proto: "Lists users by userName, those whose userName begins with a text"."""
    for name, active in (("Bob", True), ("ada.b@x.example", True), ("Ada.a@x.example", False), ("adé", True)):
        await connected.scim.create(name, active=active)

    async def find(prefix: str = "", **fields: Any) -> tuple[list[str], str]:
        request = pb.FindUsersRequest(connection_id=connected.id, user_name_prefix=prefix, **fields)
        answer = await world.admin.call("FindUsers", request)
        return [found.user_name for found in answer.users], answer.next_page_token

    assert await find() == (["Ada.a@x.example", "ada.b@x.example", "adé", "Bob"], "")
    assert (await find("ADA."))[0] == ["Ada.a@x.example", "ada.b@x.example"]
    assert (await find("ad", active=True))[0] == ["ada.b@x.example", "adé"]
    assert (await find("ad", active=False))[0] == ["Ada.a@x.example"]
    assert (await find("da"))[0] == []
    assert (await find("%"))[0] == []
    collected, token = [], ""
    while True:
        names, token = await find("a", page_size=2, page_token=token)
        collected += names
        if not token:
            break
    assert collected == ["Ada.a@x.example", "ada.b@x.example", "adé"]
    _, token = await find("a", page_size=1)
    request = pb.FindUsersRequest(connection_id=connected.id, user_name_prefix="b", page_token=token)
    assert (await world.admin.refused("FindUsers", request)).reason == "INVALID_PAGE_TOKEN"
    long = pb.FindUsersRequest(connection_id=connected.id, user_name_prefix="x" * 513)
    assert (await world.admin.refused("FindUsers", long)).reason == "INVALID_VALUE"


async def test_people_are_found_for_administrators_alone_and_on_one_connection(
    world: World, connected: Connected
) -> None:
    """PRODUCT §1: "Nothing of one connection is reachable … through another"; the gateway has no use for the call."""
    await connected.scim.create("ada")
    other = await world.connect()
    request = pb.FindUsersRequest(connection_id=other.id)
    assert list((await world.admin.call("FindUsers", request)).users) == []
    failure = await world.identity("gateway").refused("FindUsers", request)
    assert failure.code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_page_whose_total_is_not_wanted_is_the_same_page(connected: Connected) -> None:
    """directory_service.proto: "Whether `total_size` is not wanted … it is 0 then, unless it is known anyway"."""
    for n in range(5):
        await connected.scim.create(f"u{n}", title="even" if n % 2 == 0 else "odd")
    for fields in ({"filter": 'title eq "even"'}, {}, {"skip": 3}, {"sort_by": "userName", "skip": 1}):
        counted = await connected.scim.call("ListUsers", pb.ListUsersRequest(page_size=2, **fields))
        spared = await connected.scim.call(
            "ListUsers", pb.ListUsersRequest(page_size=2, omit_total_size=True, **fields)
        )
        assert list(spared.users) == list(counted.users)
        assert bool(spared.next_page_token) is bool(counted.next_page_token)
        assert spared.total_size == (0 if "filter" in fields else 5)
