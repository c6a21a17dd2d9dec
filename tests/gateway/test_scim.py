"""SCIM as identity providers speak it, over HTTP, with a real directory on both databases."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import connection_service_pb2 as connections_pb
from rollcall.directory.v1 import directory_service_pb2 as pb

from directory_service.tables import OUTBOX
from tests.directory_service.world import World
from tests.gateway.edge import (
    CONNECTION,
    ENTERPRISE_URN,
    GROUP_URN,
    LIST_URN,
    USER_URN,
    assert_scim_error,
    bearer,
    fresh_token,
    gateway,
)
from tests.gateway.scim_client import Scim

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.fixture
async def okta(world: World) -> AsyncIterator[Scim]:
    """An identity provider, with the directory on SQLite and on PostgreSQL."""
    async with gateway(f"127.0.0.1:{world.server.port}", world.secrets["gateway"]) as client:
        connected = await world.connect()
        yield Scim(client, connected.id, connected.token)


async def test_a_user_goes_through_its_life(okta: Scim) -> None:
    """WIRE, Okta: lookup, create, GET, PUT of our own body merged back, deactivate, reactivate."""
    lookup = "?filter=userName%20eq%20%22ADA%40example.com%22&startIndex=1&count=100"
    assert await okta.get(f"/Users{lookup}") == {
        "schemas": [LIST_URN],
        "totalResults": 0,
        "startIndex": 1,
        "itemsPerPage": 0,
        "Resources": [],
    }
    body = {
        "schemas": [USER_URN, ENTERPRISE_URN],
        "userName": "Ada@Example.com",
        "name": {"givenName": "Ada", "familyName": "Lovelace"},
        "emails": [{"primary": True, "value": "ada@example.com", "type": "work"}],
        "displayName": "Ada Lovelace",
        "locale": "en-US",
        "externalId": "00u1",
        "groups": [],
        "password": "8YtKqzP1",
        "active": True,
        ENTERPRISE_URN: {"department": "Analysis", "manager": {"value": "m1"}},
    }
    created = await okta.send("POST", "/Users", body)
    assert created.status_code == 201
    user = created.json()
    assert UUID.fullmatch(user["id"])
    assert (
        created.headers["location"] == user["meta"]["location"] == f"http://gateway.test{okta.base}/Users/{user['id']}"
    )
    assert created.headers["etag"] == user["meta"]["version"]
    assert user["meta"]["resourceType"] == "User"
    expected = {name: value for name, value in body.items() if name not in ("password", "groups")}
    assert {name: value for name, value in user.items() if name not in ("id", "meta")} == expected

    found = await okta.get(f"/Users{lookup}")
    assert (found["totalResults"], found["itemsPerPage"]) == (1, 1)
    assert found["Resources"] == [user]

    merged = {**user, "displayName": "Ada King", "groups": [{"value": "x"}], "id": "other", "meta": {"version": "7"}}
    replaced = await okta.send("PUT", f"/Users/{user['id']}", merged)
    assert replaced.status_code == 200
    assert replaced.json()["displayName"] == "Ada King"
    assert replaced.json()["id"] == user["id"]
    assert replaced.json()["meta"]["created"] == user["meta"]["created"]
    assert replaced.headers["etag"] == replaced.json()["meta"]["version"] != user["meta"]["version"]

    again = await okta.send("PUT", f"/Users/{user['id']}", replaced.json())
    assert again.json() == replaced.json(), "a write that changes nothing changes no version and no lastModified"

    off = await okta.patch(f"/Users/{user['id']}", {"op": "replace", "value": {"active": False}})
    assert (off.status_code, off.json()["active"]) == (200, False)
    assert (await okta.get(f"/Users/{user['id']}"))["active"] is False
    assert (await okta.get(f"/Users{lookup}"))["totalResults"] == 1
    on = await okta.send("PUT", f"/Users/{user['id']}", {**off.json(), "active": True})
    assert on.json()["active"] is True

    deleted = await okta.send("DELETE", f"/Users/{user['id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    for method in ("GET", "DELETE"):
        assert_scim_error(await okta.send(method, f"/Users/{user['id']}"), 404)
    assert_scim_error(await okta.send("PUT", f"/Users/{user['id']}", body), 404)


async def test_an_absent_active_keeps_its_value_on_put(okta: Scim) -> None:
    """PRODUCT §2: "An absent `active` keeps its value (true on create)"."""
    user = await okta.create_user()
    assert user["active"] is True
    await okta.patch(f"/Users/{user['id']}", {"op": "Replace", "path": "active", "value": "False"})
    replaced = await okta.send("PUT", f"/Users/{user['id']}", {"userName": "ada@example.com"})
    assert replaced.json()["active"] is False


async def test_a_user_name_is_unique_whatever_its_case_and_state(okta: Scim) -> None:
    """PRODUCT §2: "Creating a duplicate `userName` is 409 `uniqueness`, also when the existing user is inactive"."""
    user = await okta.create_user("Ada@example.com", active=False)
    detail = assert_scim_error(await okta.send("POST", "/Users", {"userName": "ada@EXAMPLE.com"}), 409, "uniqueness")
    assert "userName" in detail
    other = await okta.create_user("bob@example.com")
    assert_scim_error(
        await okta.send("PUT", f"/Users/{other['id']}", {"userName": "ADA@example.com"}), 409, "uniqueness"
    )
    assert (await okta.get(f"/Users/{user['id']}"))["userName"] == "Ada@example.com"


async def test_of_many_creates_of_one_name_exactly_one_wins(okta: Scim) -> None:
    """SECURITY, Passbolt audit: "50 parallel POSTs of one userName: one 201, 49 × 409"."""
    sent = (okta.send("POST", "/Users", {"userName": "ada@example.com"}) for _ in range(50))
    statuses = [response.status_code for response in await asyncio.gather(*sent)]
    assert sorted(statuses) == [201] + [409] * 49
    assert (await okta.get("/Users?count=0"))["totalResults"] == 1


@pytest.mark.parametrize("external_id", ["1", "0", "-1", "00000000-0000-0000-0000-000000000000"])
async def test_an_external_id_is_never_read_as_an_id(scim: Scim, external_id: str) -> None:
    """SECURITY, CVE-2025-41115: "POST externalId `1`, `0`, another user's id: a new random id, nothing merges"."""
    first = await scim.create_user("first@example.com")
    for value in (external_id, first["id"]):
        user = await scim.create_user(f"{value}@example.com", externalId=value)
        assert user["id"] not in (value, first["id"])
        assert user["externalId"] == value
        by_id = await scim.send("GET", f"/Users/{external_id}")
        assert by_id.status_code == 404
    assert (await scim.get(f"/Users/{first['id']}"))["userName"] == "first@example.com"


async def test_a_push_of_a_group_in_both_dialects(okta: Scim) -> None:
    """WIRE, Okta: push group, membership by PUT of the whole list and by PATCH, push now, rename, delete."""
    ada, bob = [(await okta.create_user(f"{name}@example.com"))["id"] for name in ("ada", "bob")]
    created = await okta.send("POST", "/Groups", {"schemas": [GROUP_URN], "displayName": "Team", "members": []})
    assert created.status_code == 201
    group = created.json()
    assert group["members"] == []
    assert created.headers["location"] == group["meta"]["location"]
    path = f"/Groups/{group['id']}"

    members = [{"value": ada, "display": "ada@example.com"}]
    put = await okta.send(
        "PUT", path, {"schemas": [GROUP_URN], "id": group["id"], "displayName": "Team", "members": members}
    )
    assert put.status_code == 200
    assert put.json()["members"] == [
        {
            "value": ada,
            "$ref": f"http://gateway.test{okta.base}/Users/{ada}",
            "type": "User",
            "display": "ada@example.com",
        }
    ]
    change = await okta.patch(
        path,
        {"op": "remove", "path": f'members[value eq "{ada}"]'},
        {"op": "add", "path": "members", "value": [{"value": bob, "display": "b"}]},
    )
    assert (change.status_code, change.content) == (204, b"")
    assert change.headers["etag"] != put.headers["etag"]
    assert await okta.members(group["id"]) == [bob]
    groups = (await okta.get(f"/Users/{bob}"))["groups"]
    assert groups == [
        {
            "value": group["id"],
            "$ref": f"http://gateway.test{okta.base}/Groups/{group['id']}",
            "display": "Team",
            "type": "direct",
        }
    ]
    both = [{"value": ada}, {"value": bob}]
    assert (await okta.patch(path, {"op": "replace", "path": "members", "value": both})).status_code == 204
    assert sorted(await okta.members(group["id"])) == sorted([ada, bob])
    renamed = await okta.patch(path, {"op": "replace", "value": {"id": group["id"], "displayName": "Crew"}})
    assert renamed.status_code == 204
    assert (await okta.get(f"{path}?excludedAttributes=members"))["displayName"] == "Crew"
    emptied = await okta.patch(path, {"op": "replace", "path": "members", "value": []})
    assert emptied.status_code == 204
    assert await okta.members(group["id"]) == []
    assert (await okta.send("DELETE", path)).status_code == 204
    assert_scim_error(await okta.send("GET", path), 404)
    assert (await okta.get(f"/Users/{bob}")).get("groups") is None


@pytest.mark.parametrize("body", [{}, {"members": None}, {"schemas": [GROUP_URN], "externalId": "g"}])
async def test_a_replace_that_does_not_mention_members_leaves_them(scim: Scim, body: dict[str, Any]) -> None:
    """PRODUCT §2: "A replace that does not mention `members` leaves them alone; an explicit empty list empties"."""
    user = await scim.create_user()
    group = await scim.create_group("Team", user["id"])
    put = await scim.send("PUT", f"/Groups/{group['id']}", {"displayName": "Team", **body})
    assert [member["value"] for member in put.json()["members"]] == [user["id"]]
    put = await scim.send("PUT", f"/Groups/{group['id']}", {"displayName": "Team", "members": []})
    assert put.json()["members"] == []


@pytest.mark.parametrize(
    "members",
    [
        [{"value": "ID", "display": None}],
        [{"value": "ID", "$ref": None}],
        ["ID"],
        {"value": "ID"},
        [{"value": "ID", "type": "User", "$ref": "https://elsewhere/ID", "display": "changed"}],
        [{"value": "ID"}, {"value": "ID"}],
    ],
)
async def test_members_in_every_form_that_clients_send(scim: Scim, members: Any) -> None:
    """WIRE: `display:null`, members without `type`, bare strings, unchanged immutable sub-attributes."""
    user = await scim.create_user()
    filled = fill(members, user["id"])
    group = (await scim.send("POST", "/Groups", {"displayName": "Team", "members": filled})).json()
    assert [member["value"] for member in group["members"]] == [user["id"]]
    put = await scim.send("PUT", f"/Groups/{group['id']}", {"displayName": "Team", "members": filled})
    assert [member["value"] for member in put.json()["members"]] == [user["id"]]
    assert put.headers["etag"] == group["meta"]["version"]
    patched = await scim.patch(f"/Groups/{group['id']}", {"op": "Add", "path": "members", "value": filled})
    assert (patched.status_code, patched.headers["etag"]) == (204, group["meta"]["version"])


def fill(value: Any, identifier: str) -> Any:
    """Put an id where `ID` stands."""
    if isinstance(value, list):
        return [fill(item, identifier) for item in value]
    if isinstance(value, dict):
        return {name: fill(item, identifier) for name, item in value.items()}
    return identifier if value == "ID" else value


async def test_a_group_patch_answers_with_the_group_when_attributes_are_asked_for(okta: Scim) -> None:
    """RFC 7644 §3.5.2: "The server MUST return a 200 OK if the "attributes" parameter is specified in the request"."""
    user = await okta.create_user()
    group = await okta.create_group()
    add = {"op": "add", "path": "members", "value": [{"value": user["id"]}]}
    patched = await okta.patch(f"/Groups/{group['id']}?attributes=displayName,members.value", add)
    assert patched.status_code == 200
    assert patched.json() == {
        "schemas": [GROUP_URN],
        "id": group["id"],
        "displayName": "Team",
        "members": [{"value": user["id"]}],
    }
    patched = await okta.patch(f"/Groups/{group['id']}?excludedAttributes=members", add)
    assert "members" not in patched.json()


async def test_concurrent_group_patches_lose_nobody(okta: Scim) -> None:
    """WIRE, bugs others shipped: "concurrent group PATCHes that lose members"."""
    users = [(await okta.create_user(f"u{number}@example.com"))["id"] for number in range(20)]
    group = await okta.create_group()
    path = f"/Groups/{group['id']}"
    adds = (okta.patch(path, {"op": "add", "path": "members", "value": [{"value": user}]}) for user in users)
    assert {response.status_code for response in await asyncio.gather(*adds)} == {204}
    assert sorted(await okta.members(group["id"])) == sorted(users)


async def test_a_group_larger_than_one_message_is_read_whole(okta: Scim) -> None:
    """WIRE: import reads "pages of 100 by startIndex until `totalResults`"; a large group is whole in each answer."""
    users: list[str] = []
    for start in range(0, 1200, 100):
        made = await asyncio.gather(*(okta.create_user(f"u{start + n}@example.com") for n in range(100)))
        users += [user["id"] for user in made]
    body = {"displayName": "Everyone", "members": [{"value": user} for user in users]}
    created = await okta.send("POST", "/Groups", body)
    assert sorted(member["value"] for member in created.json()["members"]) == sorted(users)
    await okta.create_group("Nobody")
    listed = await okta.get("/Groups?startIndex=1&count=100")
    assert [len(group["members"]) for group in listed["Resources"]] == [1200, 0]
    put = await okta.send("PUT", f"/Groups/{created.json()['id']}", {**body, "members": body["members"][:-1]})
    assert sorted(member["value"] for member in put.json()["members"]) == sorted(users[:-1])
    assert set(await okta.members(created.json()["id"])) == set(users[:-1])


async def test_pages_cover_everything_once_by_index_and_by_cursor(okta: Scim) -> None:
    """WIRE: "Paging: 1-based … needs a stable order"; RFC 9865: "only the last page omits `nextCursor`"."""
    names = [(await okta.create_user(f"u{number}@example.com"))["userName"] for number in range(7)]
    seen: list[str] = []
    start = 1
    while start <= (page := await okta.get(f"/Users?startIndex={start}&count=3"))["totalResults"]:
        assert page["itemsPerPage"] == len(page["Resources"])
        assert page["startIndex"] == start
        assert page["totalResults"] == 7
        seen += [user["userName"] for user in page["Resources"]]
        start += page["itemsPerPage"]
    assert seen == names

    seen, cursor = [], ""
    while True:
        page = await okta.get(f"/Users?cursor={cursor}&count=3")
        assert "startIndex" not in page
        assert page["totalResults"] == 7
        seen += [user["userName"] for user in page["Resources"]]
        if "nextCursor" not in page:
            break
        cursor = page["nextCursor"]
    assert seen == names
    assert_scim_error(await okta.send("GET", "/Users?cursor=forged"), 400, "invalidCursor")
    other = (await okta.get("/Users?cursor&count=1&sortBy=userName"))["nextCursor"]
    assert_scim_error(await okta.send("GET", f"/Users?cursor={other}&count=3"), 400, "invalidCursor")
    assert_scim_error(await okta.send("GET", "/Users?cursor&count=x"), 400, "invalidCount")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?startIndex=0&count=2", ["u1", "u2"]),
        ("?startIndex=-3&count=2", ["u1", "u2"]),
        ("?count=0", []),
        ("?count=-5", []),
        ("?count=1000", ["u1", "u2", "u3"]),
        ("?startIndex=4", []),
        ("?startIndex=99999999999999999999", []),
        ("?sortBy=userName&sortOrder=descending", ["u3", "u2", "u1"]),
        ("?sortBy=nickName", ["u3", "u1", "u2"]),
        ("?whatever=1&aadOptscim062020", ["u1", "u2", "u3"]),
        ("?filter=userName%20sw%20%22u%22&count=1&startIndex=2", ["u2"]),
    ],
)
async def test_a_page_is_what_was_asked_for(scim: Scim, query: str, expected: list[str]) -> None:
    """WIRE: "startIndex < 1 means 1; negative count means 0; count 0 gives the total only; count is clamped"."""
    for name, nick in (("u1", "z"), ("u2", None), ("u3", "a")):
        await scim.create_user(name, nickName=nick)
    page = await scim.get(f"/Users{query}")
    assert [user["userName"] for user in page["Resources"]] == expected
    assert page["totalResults"] == 3
    assert page["itemsPerPage"] == len(expected)
    for counter in ("totalResults", "startIndex", "itemsPerPage"):
        assert type(page[counter]) is int


@pytest.mark.parametrize(
    ("filter_text", "found"),
    [
        ('userName eq "a+b@example.com"', True),
        ('username Eq "A+B@EXAMPLE.COM"', True),
        ('emails eq "a+b@example.com"', True),
        ('email eq "a+b@example.com"', True),
        ('emails[type eq "work" and value co "+b@"]', True),
        ("active eq true and not (userName pr)", False),
        (f'{USER_URN}:name.familyName eq "O\'Neil"', True),
        (f'{ENTERPRISE_URN}:department eq "R&D \\"x\\""', True),
        ('meta.created gt "2020-01-01T00:00:00Z"', True),
        ('meta.created lt "2020-01-01T02:00:00+02:00"', False),
        ('userName eq "nobody"', False),
        ('externalId eq "00U1"', False),
        ('externalId eq "00u1"', True),
        ('urn:okta:acme:1.0:user:custom:shoe eq "44"', True),
    ],
)
async def test_filters_find_what_they_say(scim: Scim, filter_text: str, found: bool) -> None:
    """WIRE: "Filters: … value paths; URN-prefixed attributes; escaped quotes; `pr`; `caseExact` respected"."""
    user = await scim.create_user(
        "a+b@example.com",
        externalId="00u1",
        name={"familyName": "O'Neil"},
        emails=[{"value": "a+b@example.com", "type": "work"}],
        **{ENTERPRISE_URN: {"department": 'R&D "x"'}, "urn:okta:acme:1.0:user:custom": {"shoe": "44"}},
    )
    response = await scim.http.get(f"{scim.base}/Users", params={"filter": filter_text}, headers=scim.headers)
    assert response.status_code == 200, response.text
    assert [item["id"] for item in response.json()["Resources"]] == ([user["id"]] if found else [])
    search = await scim.send("POST", "/Users/.search", {"filter": filter_text, "attributes": ["userName"], "count": 1})
    assert search.json()["Resources"] == (
        [{"schemas": user["schemas"], "id": user["id"], "userName": "a+b@example.com"}] if found else []
    )


@pytest.mark.parametrize(
    "filter_text",
    [
        "",
        "userName",
        "userName eq",
        'userName xx "a"',
        "userName eq a",
        'userName eq "a',
        'nonsense eq "a"',
        'password eq "a"',
        "password pr",
        '(userName eq "a"',
        'userName eq "a" and',
        "active gt true",
        'meta.created gt "yesterday"',
        "(" * 500 + "userName pr" + ")" * 500,
        " or ".join(["userName pr"] * 60),
    ],
)
async def test_a_wrong_filter_is_400_and_never_an_empty_list(scim: Scim, filter_text: str) -> None:
    """WIRE: "unsupported filter answered with an empty list (Okta then creates duplicates)"; CVE-2018-1322."""
    for path in ("Users", "Groups"):
        response = await scim.http.get(f"{scim.base}/{path}", params={"filter": filter_text}, headers=scim.headers)
        assert_scim_error(response, 400, "invalidFilter")


@pytest.mark.parametrize("sort_by", ["password", "nonsense", "a b"])
async def test_sorting_by_what_is_never_returned_is_refused(scim: Scim, sort_by: str) -> None:
    """SECURITY, CVE-2018-1322: "filtering or sorting by a never-returned attribute is refused"."""
    response = await scim.http.get(f"{scim.base}/Users", params={"sortBy": sort_by}, headers=scim.headers)
    assert assert_scim_error(response, 400, "invalidValue").startswith("sortBy: ")


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("?attributes=userName", {"schemas", "id", "userName"}),
        ("?attributes=USERNAME,name.givenName", {"schemas", "id", "userName", "name"}),
        (f"?attributes={ENTERPRISE_URN}:department", {"schemas", "id", ENTERPRISE_URN}),
        (f"?attributes={USER_URN}:displayName", {"schemas", "id", "displayName"}),
        (
            "?excludedAttributes=name,emails,meta,id,schemas",
            {"schemas", "id", "userName", "displayName", "active", ENTERPRISE_URN},
        ),
        ("?attributes=nonsense", {"schemas", "id"}),
    ],
)
async def test_attributes_are_chosen_on_every_verb(scim: Scim, query: str, names: set[str]) -> None:
    """RFC 7644 §3.9: "attributes" and "excludedAttributes" on every verb that returns a resource."""
    body = {
        "userName": "ada",
        "displayName": "Ada",
        "name": {"givenName": "Ada", "familyName": "L"},
        "emails": [{"value": "a@b", "type": "work"}],
        ENTERPRISE_URN: {"department": "D", "division": "V"},
    }
    created = (await scim.send("POST", f"/Users{query}", body)).json()
    path = f"/Users/{created['id']}"
    answers = [
        created,
        await scim.get(path + query),
        (await scim.send("PUT", path + query, body)).json(),
        (await scim.patch(path + query, {"op": "add", "path": "displayName", "value": "Ada"})).json(),
        (await scim.get(f"/Users{query}"))["Resources"][0],
    ]
    for answer in answers:
        assert set(answer) == names
    assert created.get("name", {"givenName": "Ada"}) == {"givenName": "Ada"}
    assert ("division" in created.get(ENTERPRISE_URN, {})) == query.startswith("?excluded")


async def test_attributes_and_excluded_attributes_together_are_refused_before_anything_is_written(scim: Scim) -> None:
    """RFC 7644 §3.9: the two exclude each other; an error changes nothing."""
    query = "?attributes=userName&excludedAttributes=name"
    assert_scim_error(await scim.send("POST", f"/Users{query}", {"userName": "ada"}), 400, "invalidValue")
    assert (await scim.get("/Users"))["totalResults"] == 0


async def test_a_stale_etag_is_412_and_a_current_one_is_304(okta: Scim) -> None:
    """WIRE: "stale `If-Match` is 412"; RFC 7644 §3.14."""
    user = await okta.create_user()
    path, first = f"/Users/{user['id']}", user["meta"]["version"]
    unmodified = await okta.send("GET", path, if_none_match=first)
    assert (unmodified.status_code, unmodified.content, unmodified.headers["etag"]) == (304, b"", first)
    put = await okta.send("PUT", path, {"userName": "ada@example.com", "title": "Countess"}, if_match=first)
    assert put.status_code == 200
    second = put.headers["etag"]
    assert (await okta.send("GET", path, if_none_match=first)).status_code == 200
    for tags in (first, first.removeprefix("W/"), f'{first}, "nothing"'):
        assert_scim_error(await okta.send("PUT", path, {"userName": "x"}, if_match=tags), 412)
    assert_scim_error(await okta.patch(path, {"op": "remove", "path": "title"}, if_match=first), 412)
    assert_scim_error(await okta.send("DELETE", path, if_match=first), 412)
    assert (await okta.get(path))["title"] == "Countess"
    patched = await okta.patch(path, {"op": "remove", "path": "title"}, if_match=f"{first}, {second}")
    assert patched.status_code == 200
    assert (await okta.send("DELETE", path, if_match="*")).status_code == 204
    group = await okta.create_group()
    assert_scim_error(await okta.send("DELETE", f"/Groups/{group['id']}", if_match='W/"99"'), 412)
    assert_scim_error(
        await okta.patch(f"/Groups/{group['id']}", {"op": "add", "value": {"displayName": "y"}}, if_match='"9"'), 412
    )
    assert (await okta.send("GET", f"/Groups/{group['id']}", if_none_match=group["meta"]["version"])).status_code == 304


@pytest.mark.parametrize(
    ("operations", "status", "scim_type"),
    [
        ([{"op": "remove"}], 400, "noTarget"),
        ([{"op": "replace", "path": 'emails[type ne "work"].value', "value": "x"}], 400, "noTarget"),
        ([{"op": "replace", "path": "id", "value": "x"}], 400, "mutability"),
        ([{"op": "remove", "path": "userName"}], 400, "mutability"),
        ([{"op": "replace", "path": "nonsense", "value": "x"}], 400, "invalidPath"),
        ([{"op": "replace", "path": "emails[", "value": "x"}], 400, "invalidPath"),
        ([{"op": "replace", "path": 'emails[type is "work"].value', "value": "x"}], 400, "invalidFilter"),
        ([{"op": "remove", "path": 'emails[nope eq "work"]'}], 400, "invalidFilter"),
        ([{"op": "replace", "path": "active", "value": "maybe"}], 400, "invalidValue"),
        ([{"op": "jump", "path": "active", "value": True}], 400, "invalidSyntax"),
        ([], 400, "invalidSyntax"),
        ([{"op": "add", "path": "title", "value": "x"}] * 101, 413, None),
        (
            [{"op": "add", "path": "title", "value": "x"}, {"op": "replace", "path": "groups", "value": []}],
            400,
            "mutability",
        ),
    ],
)
async def test_a_patch_that_is_wrong_changes_nothing(
    scim: Scim, operations: list[dict[str, Any]], status: int, scim_type: str | None
) -> None:
    """WIRE: "PATCH is atomic and ordered … a read-only target is 400 `mutability`"."""
    user = await scim.create_user()
    assert_scim_error(await scim.patch(f"/Users/{user['id']}", *operations), status, scim_type)
    assert await scim.get(f"/Users/{user['id']}") == user


async def test_entra_patches_a_user_in_its_own_way(okta: Scim) -> None:
    """WIRE, Entra: capitalised `op`, booleans as strings, value paths that create, URN paths, dotted pathless keys."""
    user = await okta.create_user()
    path = f"/Users/{user['id']}"
    patched = await okta.patch(
        path,
        {"op": "Add", "path": 'emails[type eq "work"].value', "value": "ada@example.com"},
        {"op": "Replace", "path": "name.familyName", "value": "Lovelace"},
        {"op": "Add", "path": f"{ENTERPRISE_URN}:department", "value": "Tools"},
        {"op": "Add", "path": f"{ENTERPRISE_URN}:manager", "value": "m1"},
        {"op": "Replace", "path": "active", "value": "False"},
    )
    assert patched.status_code == 200
    body = patched.json()
    assert body["emails"] == [{"type": "work", "value": "ada@example.com"}]
    assert body["name"] == {"familyName": "Lovelace"}
    assert body[ENTERPRISE_URN] == {"department": "Tools", "manager": {"value": "m1"}}
    assert body["active"] is False
    pathless = {"name.givenName": "Ada", f"{ENTERPRISE_URN}:employeeNumber": "7", "active": "True"}
    patched = await okta.patch(f"{path}?aadOptscim062020", {"op": "replace", "value": pathless})
    assert patched.json()["name"] == {"familyName": "Lovelace", "givenName": "Ada"}
    assert patched.json()[ENTERPRISE_URN]["employeeNumber"] == "7"
    assert patched.json()["active"] is True
    patched = await okta.patch(path, {"op": "Replace", "path": "name.givenName", "value": None})
    assert patched.json()["name"] == {"familyName": "Lovelace"}


async def test_every_answer_with_a_user_shows_its_groups(okta: Scim) -> None:
    """RFC 7644 §3.5.1, §3.5.2: the answer to a write is "the entire resource", the one that a GET returns."""
    team = await okta.create_group("Team", "00u1")
    assert team["members"] == []
    user = await okta.create_user(externalId="00u1")
    assert [group["display"] for group in user["groups"]] == ["Team"]
    path = f"/Users/{user['id']}"
    assert user == await okta.get(path)
    patched = await okta.patch(path, {"op": "replace", "value": {"title": "Countess"}})
    assert patched.json() == await okta.get(path)
    put = await okta.send("PUT", path, {**user, "title": "Lady"})
    assert put.json() == await okta.get(path)
    assert put.json()["groups"] == user["groups"]
    assert "groups" not in (await okta.send("PUT", f"{path}?excludedAttributes=groups", user)).json()


async def test_a_password_leaves_no_trace(okta: Scim, world: World) -> None:
    """PRODUCT §2: "A password is accepted, then dropped: no message, table, log or event has a place for it"."""
    user = await okta.create_user(password="s3cret-Pa55")
    path = f"/Users/{user['id']}"
    patched = await okta.patch(path, {"op": "replace", "value": {"password": "s3cret-Pa55"}})
    assert patched.json() == user
    assert (await okta.send("PUT", path, {**user, "password": "s3cret-Pa55"})).json() == user
    assert "s3cret" not in repr(await world.events(okta.connection_id))


async def test_what_no_schema_declares_is_kept_under_an_extension_only(scim: Scim) -> None:
    """PRODUCT §2: "kept only under an extension URN; others are ignored, never an error"."""
    urn = "urn:acme:scim:2.0:User"
    extension = {"badge": 7, "nested": {"deep": [1, {"x": None}]}, "text": "ü"}
    user = await scim.create_user(shoeSize=44, **{urn: extension})
    assert "shoeSize" not in user
    assert user[urn] == extension
    assert user["schemas"] == [USER_URN, urn]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({}, "userName"),
        ({"userName": ""}, "userName"),
        ({"userName": "   "}, "userName"),
        ({"userName": 5}, "userName"),
        ({"userName": "a", "emails": "x" * 5, "active": "maybe"}, "active"),
        ({"userName": "a", "name": "Ada"}, "name"),
        ({"userName": "a", "emails": [5]}, "emails"),
        ({"userName": "a" * 600}, "userName"),
        ({"userName": "a", "x509Certificates": [{"value": "not base64!"}]}, "x509Certificates"),
    ],
)
async def test_a_wrong_value_is_named(scim: Scim, body: dict[str, Any], names: str) -> None:
    """WIRE: "Our `detail` text is shown to the administrator": it says which attribute is wrong."""
    response = await scim.send("POST", "/Users", body)
    assert names in assert_scim_error(response, 400, "invalidValue")


async def test_discovery_says_what_is_implemented(scim: Scim) -> None:
    """WIRE: "Discovery endpoints are ListResponses; a filter on them is 403; only GET is allowed"."""
    config = await scim.get("/ServiceProviderConfig")
    supported = {
        name: config[name]["supported"] for name in ("patch", "bulk", "filter", "changePassword", "sort", "etag")
    }
    assert supported == {
        "patch": True,
        "bulk": True,
        "filter": True,
        "changePassword": False,
        "sort": True,
        "etag": True,
    }
    assert config["filter"]["maxResults"] == 200
    assert config["pagination"]["defaultPaginationMethod"] == "index"
    assert config["authenticationSchemes"][0]["type"] == "oauthbearertoken"
    assert config["meta"]["location"].endswith(f"{scim.base}/ServiceProviderConfig")
    for path, ids in (("/ResourceTypes", {"User", "Group"}), ("/Schemas", {USER_URN, GROUP_URN, ENTERPRISE_URN})):
        listed = await scim.get(path)
        assert listed["schemas"] == [LIST_URN]
        assert {resource["id"] for resource in listed["Resources"]} == ids
        assert listed["totalResults"] == listed["itemsPerPage"] == len(ids)
        for resource in listed["Resources"]:
            assert resource == await scim.get(f"{path}/{resource['id']}")
            assert resource["meta"]["location"] == f"http://gateway.test{scim.base}{path}/{resource['id']}"
        assert_scim_error(await scim.send("GET", f"{path}/nonsense"), 404)
    for path in ("/ServiceProviderConfig", "/ResourceTypes", "/Schemas", "/Schemas/" + USER_URN, "/ResourceTypes/User"):
        assert_scim_error(await scim.send("GET", f'{path}?filter=id%20eq%20"x"'), 403)
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            refused = await scim.send(method, path, {})
            assert_scim_error(refused, 405)
            assert refused.headers["allow"].startswith("GET")
        assert (await scim.send("HEAD", path)).content == b""


async def test_a_name_of_the_user_schema_that_is_advertised_is_accepted(scim: Scim) -> None:
    """RFC 7643 §7: a client may write every attribute that the schema says is readWrite."""
    schema = await scim.get(f"/Schemas/{USER_URN}")
    body: dict[str, Any] = {}
    for attribute in schema["attributes"]:
        if attribute["mutability"] == "readWrite" and attribute["type"] == "string":
            body[attribute["name"]] = "x"
    created = await scim.send("POST", "/Users", body)
    assert created.status_code == 201
    assert {name: created.json()[name] for name in body} == body


@pytest.mark.parametrize(("path", "method"), [("/Me", "GET"), ("/Me", "PATCH")])
async def test_what_is_not_offered_says_so(scim: Scim, path: str, method: str) -> None:
    """RFC 7644 §3.11: "a service provider MAY respond with 501"."""
    assert_scim_error(await scim.send(method, path, {}), 501)


# Who may

ROUTES = [
    ("GET", "/Users"),
    ("POST", "/Users"),
    ("POST", "/Users/.search"),
    ("GET", "/Users/{user}"),
    ("HEAD", "/Users/{user}"),
    ("PUT", "/Users/{user}"),
    ("PATCH", "/Users/{user}"),
    ("DELETE", "/Users/{user}"),
    ("GET", "/Groups"),
    ("POST", "/Groups"),
    ("POST", "/Groups/.search"),
    ("GET", "/Groups/{group}"),
    ("PUT", "/Groups/{group}"),
    ("PATCH", "/Groups/{group}"),
    ("DELETE", "/Groups/{group}"),
    ("GET", "/ServiceProviderConfig"),
    ("GET", "/ResourceTypes"),
    ("GET", "/ResourceTypes/User"),
    ("GET", "/Schemas"),
    ("GET", f"/Schemas/{USER_URN}"),
    ("GET", "/Me"),
    ("GET", ""),
    ("POST", "/Bulk"),
    ("POST", "/.search"),
    ("OPTIONS", "/Users"),
    ("GET", "/Nowhere"),
    ("TRACE", "/Users"),
]

BODIES: dict[str, Any] = {
    "POST": {
        "userName": "eve",
        "displayName": "Eve",
        "Operations": [{"method": "POST", "path": "/Users", "bulkId": "e", "data": {"userName": "eve"}}],
    },
    "PUT": {"userName": "eve", "displayName": "Eve"},
    "PATCH": {"Operations": [{"op": "add", "path": "displayName", "value": "Eve"}]},
}


async def test_without_the_right_token_every_route_is_the_same_401(okta: Scim, world: World) -> None:
    """SECURITY: another connection's token, a disabled or unknown connection, an expired or revoked token: one 401."""
    user = await okta.create_user()
    group = await okta.create_group("Team", user["id"])
    other = await world.connect()
    disabled = await world.connect()
    await world.admin.call("DisableConnection", connections_pb.DisableConnectionRequest(connection_id=disabled.id))
    revoked = await world.admin.call("IssueToken", connections_pb.IssueTokenRequest(connection_id=okta.connection_id))
    await world.admin.call(
        "RevokeToken",
        connections_pb.RevokeTokenRequest(connection_id=okta.connection_id, token_id=revoked.details.token_id),
    )
    cases = [
        (okta.connection_id, None),
        (okta.connection_id, "garbage"),
        (okta.connection_id, fresh_token()),
        (okta.connection_id, other.token),
        (okta.connection_id, revoked.token),
        (disabled.id, disabled.token),
        (CONNECTION, okta.headers["Authorization"].removeprefix("Bearer ")),
        (okta.connection_id.upper(), okta.headers["Authorization"].removeprefix("Bearer ")),
    ]
    answers = set()
    for method, route in ROUTES:
        path = route.format(user=user["id"], group=group["id"])
        for connection_id, token in cases:
            headers = {} if token is None else bearer(token)
            response = await okta.http.request(
                method, f"/scim/v2/{connection_id}{path}", headers=headers, json=BODIES.get(method)
            )
            assert response.status_code == 401, (method, path, token)
            assert response.headers["www-authenticate"] == "Bearer"
            if method != "HEAD":
                assert_scim_error(response, 401)
                answers.add((response.content, tuple(sorted(set(response.headers) - {"x-request-id"}))))
    assert len(answers) == 1
    assert (await okta.get(f"/Users/{user['id']}"))["meta"] == user["meta"]
    assert await okta.members(group["id"]) == [user["id"]]


async def test_one_connection_sees_nothing_of_another(okta: Scim, world: World) -> None:
    """SECURITY, CVE-2026-92539: "two connections × every route × every id, members, manager …: 404, no event"."""
    victim_user = await okta.create_user("victim@example.com", externalId="ext")
    victim_group = await okta.create_group("Victims", victim_user["id"])
    connected = await world.connect()
    attacker = Scim(okta.http, connected.id, connected.token)
    before = len(await world.events(okta.connection_id))
    for method, route in ROUTES:
        if "{" not in route:
            continue
        path = route.format(user=victim_user["id"], group=victim_group["id"])
        response = await attacker.send(method, path, BODIES.get(method))
        assert response.status_code == 404, (method, path)
    group = await attacker.create_group("Mine", victim_user["id"], victim_group["id"], "ext", "victim@example.com")
    assert group["members"] == []
    await attacker.patch(
        f"/Groups/{group['id']}", {"op": "add", "path": "members", "value": [{"value": victim_user["id"]}]}
    )
    assert await attacker.members(group["id"]) == []
    mine = await attacker.create_user("victim@example.com", externalId="ext")
    assert mine["id"] != victim_user["id"]
    for filter_text in (f'id eq "{victim_user["id"]}"', 'displayName eq "Victims"', 'userName co "victim"'):
        found = await attacker.http.get(
            f"{attacker.base}/Users", params={"filter": filter_text}, headers=attacker.headers
        )
        assert all(resource["id"] == mine["id"] for resource in found.json()["Resources"])
    assert len(await world.events(okta.connection_id)) == before
    assert await okta.members(victim_group["id"]) == [victim_user["id"]]


async def test_a_token_that_may_only_read_gets_403_on_a_write(okta: Scim, world: World) -> None:
    """SECURITY: "scopes `read`, `write`"."""
    user = await okta.create_user()
    group = await okta.create_group()
    issued = await world.admin.call(
        "IssueToken",
        connections_pb.IssueTokenRequest(connection_id=okta.connection_id, scope=connections_pb.TOKEN_SCOPE_READ),
    )
    reader = Scim(okta.http, okta.connection_id, issued.token)
    for method, route in ROUTES:
        path = route.format(user=user["id"], group=group["id"])
        response = await reader.send(method, path, BODIES.get(method))
        is_write = method in ("POST", "PUT", "PATCH", "DELETE") and route[1:7] in ("Users", "Users/", "Groups", "Bulk")
        if is_write and not route.endswith(".search"):
            assert "read" in assert_scim_error(response, 403), (method, route)
        else:
            assert response.status_code in (200, 404, 405, 501), (method, route)
    assert (await okta.get("/Users"))["totalResults"] == 1


async def test_two_tokens_live_side_by_side_and_a_revoked_one_ends_within_a_second(okta: Scim, world: World) -> None:
    """SECURITY: "Two live tokens per connection … revocation takes effect within one second everywhere"."""
    issued = await world.admin.call("IssueToken", connections_pb.IssueTokenRequest(connection_id=okta.connection_id))
    second = Scim(okta.http, okta.connection_id, issued.token)
    assert (await second.get("/Users"))["totalResults"] == (await okta.get("/Users"))["totalResults"] == 0
    request = connections_pb.RevokeTokenRequest(connection_id=okta.connection_id, token_id=issued.details.token_id)
    await world.admin.call("RevokeToken", request)
    async with asyncio.timeout(1.0):
        while (await second.send("GET", "/Users")).status_code != 401:
            await asyncio.sleep(0.01)
    assert (await okta.get("/Users"))["totalResults"] == 0


async def test_the_request_can_be_found_from_the_event(okta: Scim, world: World) -> None:
    """PRODUCT §7: "effect → event → SCIM request"."""
    response = await okta.send("POST", "/Users", {"userName": "ada"}, x_request_id="okta-req-1")
    assert response.headers["x-request-id"] == "okta-req-1"
    (row,) = await world.rows(sa.select(OUTBOX).where(OUTBOX.c.aggregate_id == response.json()["id"]))
    event = (await world.admin.call("GetEvent", pb.GetEventRequest(event_id=row.event_id))).event
    assert (event.request_id, event.request) == ("okta-req-1", "POST /Users")
