"""Queries over users and groups together, and walks by index, over HTTP (RFC 7644 §3.4.2.1, §3.4.3, §3.4.2.4)."""

from typing import Any

import pytest

from tests.directory_service.world import World
from tests.gateway.edge import LIST_URN, assert_scim_error, gateway
from tests.gateway.scim_client import Scim

SEARCH_URN = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


async def ask(scim: Scim, how: str, **query: Any) -> Any:
    """Ask by GET on the base URL or by POST to `/.search`; both must be answered alike."""
    if how == "GET":
        text = "&".join(f"{name}={str(value).replace(' ', '%20')}" for name, value in query.items())
        return await scim.get(f"?{text}" if text else "")
    if "attributes" in query:
        query["attributes"] = query["attributes"].split(",")
    response = await scim.send("POST", "/.search", {"schemas": [SEARCH_URN], **query})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize("how", ["GET", "POST"])
async def test_users_and_groups_are_found_in_one_query(scim: Scim, how: str) -> None:
    """RFC 7644 §3.4.2.1: "searches may be performed against … the root of the service provider base URI"."""
    ada = await scim.create_user("ada", displayName="Ada")
    team = await scim.create_group("Adams", ada["id"])
    ada = await scim.get(f"/Users/{ada['id']}")
    team = await scim.get(f"/Groups/{team['id']}")
    await scim.create_user("bob")
    assert await ask(scim, how, filter='displayName sw "ada"') == {
        "schemas": [LIST_URN],
        "totalResults": 2,
        "startIndex": 1,
        "itemsPerPage": 2,
        "Resources": [ada, team],
    }
    found = await ask(scim, how, filter='userName eq "bob" or members pr', attributes="userName,displayName")
    assert [set(resource) - {"schemas"} for resource in found["Resources"]] == [
        {"id", "userName"},
        {"id", "displayName"},
    ]
    page = await ask(scim, how, sortBy="displayName", sortOrder="descending", startIndex=2, count=1)
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (3, 2, 1)
    assert page["Resources"] == [team]
    counted = await ask(scim, how, count=0)
    assert (counted["totalResults"], counted["Resources"]) == (3, [])


async def test_both_types_are_paged_by_cursor(scim: Scim) -> None:
    """RFC 9865 §2: the first page is `cursor` present and empty; only the last omits `nextCursor`."""
    names = ["a", "b", "c"]
    for name in names:
        await scim.create_user(f"u-{name}", displayName=name)
        await scim.create_group(name)
    for sort in ("", "&sortBy=displayName"):
        cursor, seen, pages = "", [], 0
        while True:
            page = await scim.get(f"?cursor={cursor}&count=4{sort}")
            assert "startIndex" not in page
            seen += [
                f"{resource['meta']['resourceType'][0]}{resource['displayName']}" for resource in page["Resources"]
            ]
            pages += 1
            if "nextCursor" not in page:
                break
            cursor = page["nextCursor"]
        assert pages == 2
        assert sorted(seen) == ["Ga", "Gb", "Gc", "Ua", "Ub", "Uc"]
        assert [name[1] for name in seen] == list("aabbcc" if sort else "abcabc")


async def test_a_large_group_is_whole_in_a_search_too(scim: Scim, small_world: World) -> None:
    """RFC 7644 §3.4.2: a resource in a list is the resource; more than 1,000 members are streamed."""
    ids = await small_world.fill_users(scim.connection_id, 1500)
    team = await scim.create_group("Large", *ids)
    small = await scim.create_group("Small", ids[0])
    found = await scim.get("?filter=displayName%20pr")
    assert [group["id"] for group in found["Resources"]] == [team["id"], small["id"]]
    assert [len(group["members"]) for group in found["Resources"]] == [1500, 1]
    without = await scim.get("?filter=displayName%20pr&excludedAttributes=members")
    assert all("members" not in group for group in without["Resources"])
    head = await scim.send("HEAD", "?filter=displayName%20pr")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("query", "scim_type"),
    [
        ("?filter=nonsense%20pr", "invalidFilter"),
        ("?filter=", "invalidFilter"),
        ("?sortBy=nonsense", "invalidValue"),
        ("?count=x", "invalidValue"),
        ("?cursor=forged", "invalidCursor"),
        ("?attributes=id&excludedAttributes=id", "invalidValue"),
    ],
)
async def test_a_wrong_query_is_refused(scim: Scim, query: str, scim_type: str) -> None:
    """RFC 7644 §3.12, RFC 9865 §2: the error says what is wrong."""
    assert_scim_error(await scim.send("GET", query), 400, scim_type)


async def test_only_what_is_meant_for_a_query_is_allowed(scim: Scim) -> None:
    """RFC 7644 §3.2: the base URL is read by GET, `/.search` by POST."""
    for method, path in (("POST", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/.search"), ("PATCH", "/.search")):
        assert_scim_error(await scim.send(method, path, {}), 405)
    assert_scim_error(await scim.send("POST", "/.search", []), 400, "invalidSyntax")


async def test_nothing_of_another_connection_is_found(scim: Scim, small_world: World) -> None:
    """SECURITY, CVE-2026-92539: nothing of one connection is reachable through another."""
    other = await small_world.connect()
    await other.scim.create("theirs")
    await other.scim.create_group("Theirs")
    assert (await scim.get(""))["totalResults"] == 0
    assert (await scim.get("?sortBy=displayName"))["Resources"] == []


async def test_an_import_through_two_gateways_misses_nobody(world: World) -> None:
    """WIRE: Okta imports "pages of 100 by startIndex until `totalResults`", and any worker may answer a page."""
    connected = await world.connect()
    target, credential = f"127.0.0.1:{world.server.port}", world.secrets["gateway"]
    async with gateway(target, credential) as one, gateway(target, credential) as two:
        workers = [Scim(client, connected.id, connected.token) for client in (one, two)]
        living = {f"u{n:02}": (await workers[0].create_user(f"u{n:02}"))["id"] for n in range(25)}
        throughout, seen, start, total = set(living), [], 1, 1
        while start <= total:
            scim = workers[start // 5 % 2]
            page = await scim.get(f"/Users?startIndex={start}&count=5")
            assert page["startIndex"] == start
            total = page["totalResults"]
            seen += [user["userName"] for user in page["Resources"]]
            start += 5
            for name in seen[-2:]:
                throughout.discard(name)
                if name in living:
                    await scim.send("DELETE", f"/Users/{living.pop(name)}")
            if len(living) > 15:
                await scim.create_user(f"v{start:02}")
        assert len(seen) == len(set(seen))
        assert throughout <= set(seen)
        assert set(await workers[0].user_names()) <= set(seen)
