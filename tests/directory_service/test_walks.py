"""Walks by index through a list that is written meanwhile, as Okta's imports are (RFC 7644 §3.4.2.4, WIRE)."""

import contextlib
import random
from pathlib import Path

import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import directory_service_pb2 as pb

from directory_service import walks
from directory_service.query import SORTED_CHARACTERS
from directory_service.tables import WALK_PLACES
from tests.directory_service.world import Caller, Connected, World, running, settings


async def page(scim: Caller, skip: int, size: int, **query: object) -> tuple[list[str], int]:
    """Read one page of userNames and the total."""
    request = pb.ListUsersRequest(skip=skip, page_size=size, **query)  # type: ignore[arg-type]
    response = await scim.call("ListUsers", request)
    return [found.user_name for found in response.users], response.total_size


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"filter": 'title eq "x"'},
        {"sort_by": "userName"},
        {"sort_by": "title", "sort_order": pb.SORT_ORDER_DESCENDING, "filter": "title pr"},
        {"sort_by": "nickName"},
    ],
)
async def test_a_walk_gives_every_living_resource_once_whatever_is_written(
    connected: Connected, query: dict[str, object]
) -> None:
    """WIRE: "`GET` pages of 100 by startIndex until `totalResults`; needs a stable order"."""
    scim = connected.scim
    drawn = random.Random(str(query))
    living = {f"u{n:02}": (await scim.create(f"u{n:02}", title="x")).id for n in range(40)}
    throughout = set(living)
    seen: list[str] = []
    skip, total, created = 0, 1, 0
    while skip < total:  # as Okta does: until it is past totalResults
        names, total = await page(scim, skip, 7, **query)
        assert len(names) <= 7
        seen += names
        skip += 7
        # Some who were handed out go, some who were not, and others come.
        gone = drawn.sample(sorted(set(seen) & living.keys()), k=min(3, len(set(seen) & living.keys())))
        gone += drawn.sample(sorted(living.keys() - set(seen)), k=min(1, len(living.keys() - set(seen))))
        for name in gone:
            await scim.delete(living.pop(name))
            throughout.discard(name)
        if created < 4:
            created += 1
            living[f"v{created}"] = (await scim.create(f"v{created}", title="x")).id
    assert throughout <= set(seen), "nobody who lived throughout the walk is skipped"
    assert len(seen) == len(set(seen)), "nobody is given twice"
    if not query:
        assert set(living) <= set(seen), "in the order of creation, those who came meanwhile come last"


async def test_a_page_that_is_asked_for_again_is_the_same(connected: Connected) -> None:
    """A client whose answer was lost asks again, and misses nothing by it."""
    scim = connected.scim
    ids = [(await scim.create(f"u{n}")).id for n in range(6)]
    assert await page(scim, 0, 2) == (["u0", "u1"], 6)
    await scim.delete(ids[0])
    assert await page(scim, 2, 2) == (["u2", "u3"], 6)
    assert await page(scim, 2, 2) == (["u2", "u3"], 6)
    await scim.delete(ids[2])
    assert await page(scim, 4, 2) == (["u4", "u5"], 6)
    assert await page(scim, 0, 2) == (["u1", "u3"], 4), "a new walk is of the list as it is"
    assert await page(scim, 2, 2) == (["u4", "u5"], 4)


async def test_groups_are_walked_alike(connected: Connected) -> None:
    """WIRE: `GET /Groups?startIndex=1&count=100`."""
    scim = connected.scim
    ids = [(await scim.create_group(f"g{n}")).id for n in range(4)]

    async def names(skip: int) -> tuple[list[str], int]:
        response = await scim.call("ListGroups", pb.ListGroupsRequest(skip=skip, page_size=2))
        return [found.display_name for found in response.groups], response.total_size

    assert await names(0) == (["g0", "g1"], 4)
    await scim.call("DeleteGroup", pb.DeleteGroupRequest(id=ids[1]))
    assert await names(2) == (["g2", "g3"], 4)


async def test_a_walk_is_of_one_token_and_one_query(world: World, connected: Connected) -> None:
    """AIP-158: `skip` of an internal caller, and of another query, is that of the list as it is."""
    scim = connected.scim
    ids = [(await scim.create(f"u{n}", title="x")).id for n in range(4)]
    await page(scim, 0, 2)
    await scim.delete(ids[0])
    assert (await page(scim, 2, 2, filter='title eq "x"'))[0] == ["u3"]
    assert (await page(scim, 2, 2, sort_by="userName"))[0] == ["u3"]
    assert (await page(world.admin, 2, 2, connection_id=connected.id)) == (["u3"], 3)
    assert await page(scim, 2, 2) == (["u2", "u3"], 4)
    assert await page(scim, 3, 2) == ([], 3)


async def test_any_process_goes_on_where_another_ended_a_page(fresh_url: str, tmp_path: Path) -> None:
    """Rule: "no living resource is ever skipped or repeated", with a directory for each page, and restarted ones."""
    async with running(settings(fresh_url, tmp_path)) as one:
        connected = await one.connect()
        ids = [(await connected.scim.create(f"u{n}")).id for n in range(6)]
        async with contextlib.AsyncExitStack() as stack:
            other = one
            if fresh_url.startswith("postgresql"):
                other = await stack.enter_async_context(running(settings(fresh_url, tmp_path)))
            assert await page(connected.scim, 0, 2) == (["u0", "u1"], 6)
            await connected.scim.delete(ids[0])
            assert await page(other.scim(connected.token), 2, 2) == (["u2", "u3"], 6)
    async with running(settings(fresh_url, tmp_path)) as restarted:
        again = restarted.scim(connected.token)
        await again.delete(ids[2])
        assert await page(again, 4, 2) == (["u4", "u5"], 6)


async def test_places_are_bounded_in_time_and_size(fresh_world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """SECURITY: nothing that a client sends makes the product grow without end."""
    connected = await fresh_world.connect()
    ids = [(await connected.scim.create(f"u{n}", title="x" * (1 + n * 2000))).id for n in range(4)]
    await page(connected.scim, 0, 2)
    await page(connected.scim, 0, 3, sort_by="title")
    assert len(await fresh_world.rows(sa.select(WALK_PLACES))) == 2
    descending = {"sort_by": "title", "sort_order": pb.SORT_ORDER_DESCENDING}
    await page(connected.scim, 0, 1, **descending)
    assert max(len(row.last) for row in await fresh_world.rows(sa.select(WALK_PLACES))) < SORTED_CHARACTERS + 100
    await connected.scim.delete(ids[0])
    assert await page(connected.scim, 2, 2) == (["u2", "u3"], 4)
    assert await walks.forget(fresh_world.server.directory) == 0
    later = walks._now_ms() + walks.REMEMBERED_SECONDS * 1000
    monkeypatch.setattr(walks, "_now_ms", lambda: later)
    assert await page(connected.scim, 2, 2) == (["u3"], 3)
    assert await walks.forget(fresh_world.server.directory) == 3
    assert await fresh_world.rows(sa.select(WALK_PLACES)) == []
