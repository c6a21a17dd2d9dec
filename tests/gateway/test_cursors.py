"""Paging by cursor (RFC 9865): cursors are signed, expire, and are of one connection and query."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote

import pytest

from tests.directory_service.world import World
from tests.gateway.edge import assert_scim_error
from tests.gateway.scim_client import Scim

QUERY = "filter=userName%20sw%20%22u%22&sortBy=userName&count=2"


async def walk(scim: Scim, path: str, query: str) -> tuple[list[Any], list[str]]:
    """Every resource of a list, page by page, and the cursors on the way."""
    resources: list[Any] = []
    cursors = [""]
    while len(cursors) < 20:
        page = await scim.get(f"{path}?{query}&cursor={cursors[-1]}")
        assert "startIndex" not in page
        assert page["itemsPerPage"] == len(page["Resources"])
        resources += page["Resources"]
        if "nextCursor" not in page:
            return resources, cursors[1:]
        cursors.append(page["nextCursor"])
    raise AssertionError("the list has no end")


@pytest.fixture
async def users(scim: Scim) -> list[str]:
    """Five users, by userName."""
    return [(await scim.create_user(f"u{number}"))["userName"] for number in range(5)]


async def test_cursors_lead_through_the_whole_list(scim: Scim, users: list[str]) -> None:
    """RFC 9865 §2: "`nextCursor` in all paged query responses except when returning the last page", of characters "from
    the unreserved characters set".
    """
    resources, cursors = await walk(scim, "/Users", QUERY)
    assert [user["userName"] for user in resources] == users
    assert len(cursors) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]+", cursor) for cursor in cursors)
    searched = await scim.send(
        "POST", "/Users/.search", {"filter": 'userName sw "u"', "sortBy": "userName", "count": 2, "cursor": cursors[0]}
    )
    assert [user["userName"] for user in searched.json()["Resources"]] == users[2:4]
    for number in range(3):
        await scim.create_group(f"g{number}")
    groups, cursors = await walk(scim, "/Groups", "count=1")
    assert [group["displayName"] for group in groups] == ["g0", "g1", "g2"]
    assert len(cursors) == 2


async def test_a_cursor_is_of_its_own_query_and_connection(scim: Scim, users: list[str], small_world: World) -> None:
    """Rule: "cursors bound to connection and query"; RFC 9865 §2.1: `invalidCursor`."""
    cursor = (await scim.get(f"/Users?{QUERY}&cursor"))["nextCursor"]
    assert len((await scim.get(f"/Users?{QUERY}&cursor={cursor}"))["Resources"]) == 2
    for path in (
        f"/Users?cursor={cursor}",
        f"/Users?filter=userName%20sw%20%22v%22&sortBy=userName&count=2&cursor={cursor}",
        f"/Users?{QUERY}&sortOrder=descending&cursor={cursor}",
        f"/Groups?cursor={cursor}",
    ):
        detail = assert_scim_error(await scim.send("GET", path), 400, "invalidCursor")
        assert "nextCursor" in detail
        assert "token" not in detail
    other = await small_world.connect()
    neighbour = Scim(scim.http, other.id, other.token)
    await neighbour.create_user("u9")
    assert_scim_error(await neighbour.send("GET", f"/Users?{QUERY}&cursor={cursor}"), 400, "invalidCursor")


async def test_a_forged_cursor_is_refused(scim: Scim, users: list[str]) -> None:
    """WIRE: "a forged cursor is `invalidCursor`", whichever of its characters was changed."""
    cursor = (await scim.get(f"/Users?{QUERY}&cursor"))["nextCursor"]
    forged = [
        cursor[:place] + ("A" if character != "A" else "B") + cursor[place + 1 :]
        for place, character in enumerate(cursor)
    ]
    for text in (*forged, cursor[:-1], cursor + "A" * 4, "1", "é", "%00", " ", "A" * 5000):
        response = await scim.send("GET", f"/Users?{QUERY}&cursor={quote(text, safe='%')}")
        assert_scim_error(response, 400, "invalidCursor")


async def test_a_cursor_expires_as_advertised(
    scim: Scim, users: list[str], small_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 9865 §4: `cursorTimeout` is how long a cursor "is guaranteed to be valid"; §2.1: `expiredCursor`."""
    pagination = (await scim.get("/ServiceProviderConfig"))["pagination"]
    timeout = pagination["cursorTimeout"]
    assert pagination == {
        "cursor": True,
        "index": True,
        "defaultPaginationMethod": "index",
        "defaultPageSize": 100,
        "maxPageSize": 200,
        "cursorTimeout": timeout,
    }
    cursor = (await scim.get(f"/Users?{QUERY}&cursor"))["nextCursor"]
    signed = small_world.server.directory.page_tokens.signed
    monkeypatch.setattr(signed, "_clock", lambda: time.time() + timeout - 30)
    assert len((await scim.get(f"/Users?{QUERY}&cursor={cursor}"))["Resources"]) == 2
    monkeypatch.setattr(signed, "_clock", lambda: time.time() + timeout + 1)
    detail = assert_scim_error(await scim.send("GET", f"/Users?{QUERY}&cursor={cursor}"), 400, "expiredCursor")
    assert str(timeout) in detail


async def test_index_stays_the_method_when_none_is_named(scim: Scim, users: list[str]) -> None:
    """RFC 9865 §2.3 and WIRE: "index stays the default method, for Okta"."""
    page = await scim.get("/Users?count=2")
    assert page["startIndex"] == 1
    assert "nextCursor" not in page
    assert_scim_error(await scim.send("GET", "/Users?cursor&count=0"), 400, "invalidCount")
    assert_scim_error(await scim.send("GET", "/Users?cursor&startIndex=1"), 400, "invalidValue")
