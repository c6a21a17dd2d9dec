"""Overload: who gets in, whose turn it is, and what becomes of those for whom there is no room."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollcall.directory.v1 import directory_service_pb2 as pb

from gateway.admission import STRANGERS, Admission, Place
from gateway.errors import TooManyRequests, Unavailable
from tests.chassis.delivery_world import eventually
from tests.gateway.edge import CONNECTION, ScriptedDirectory, fresh_token, gateway, scripted

pytestmark = pytest.mark.timeout(60)

ONE, OTHER = b"1" * 32, b"2" * 32


def admission(rooms: int = 4, waiting: int = 10, patience: float = 30.0, **options: Any) -> Admission:
    """One that knows both tokens."""
    made = Admission(rooms, waiting, patience, **{"refusal_seconds": 0.0, **options})
    made.worked(ONE)
    made.worked(OTHER)
    return made


async def entered(door: Admission, token: bytes, count: int) -> list[Place]:
    """Places of requests that get in at once."""
    places = [Place() for _ in range(count)]
    for place in places:
        await door.enter(place, token)
    return places


def knock(door: Admission, token: bytes, inside: list[bytes]) -> asyncio.Task[Place]:
    """A request that waits; it is noted once it is in."""

    async def enter() -> Place:
        place = Place()
        await door.enter(place, token)
        inside.append(token)
        return place

    return asyncio.create_task(enter())


async def test_one_token_takes_three_quarters_of_the_room_at_most() -> None:
    """TARGETS, issue of overload: one connection's flood leaves room for another's request at any moment."""
    door = admission(rooms=4)
    await entered(door, ONE, 3)
    inside: list[bytes] = []
    flood = knock(door, ONE, inside)
    await asyncio.sleep(0)
    assert inside == []
    await asyncio.wait_for(entered(door, OTHER, 1), 5)
    flood.cancel()


async def test_lines_take_turns() -> None:
    """However many of one token wait, the next room but one is another's."""
    door = admission(rooms=2, waiting=100)
    first = await entered(door, OTHER, 1) + await entered(door, ONE, 1)
    inside: list[bytes] = []
    flood = [knock(door, ONE, inside) for _ in range(50)]
    await asyncio.sleep(0)
    calm = [knock(door, OTHER, inside) for _ in range(2)]
    await asyncio.sleep(0)
    for place in first:
        door.leave(place)
    for count in range(2, 5):
        await eventually(lambda count=count: len(inside) >= count)  # type: ignore[misc]
        done = next(task for task in (*flood, *calm) if task.done() and task.result().line is not None)
        door.leave(done.result())
    assert inside[:4].count(OTHER) == 2
    for task in flood:
        task.cancel()


async def test_a_line_has_an_end() -> None:
    """What cannot be answered soon is refused at once: 429 with whole seconds to wait."""
    door = admission(rooms=2, waiting=3)
    await entered(door, ONE, 2 - 2 // 4)
    waiting = [knock(door, ONE, []) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(TooManyRequests) as refused:
        await door.enter(Place(), ONE)
    assert refused.value.headers["Retry-After"] == "1"
    for task in waiting:
        task.cancel()


async def test_a_refusal_keeps_its_client_for_a_moment() -> None:
    """A client that is refused at once asks again at once; held back, a flood's sockets are its limit."""
    door = admission(rooms=2, waiting=0, refusal_seconds=0.05)
    await entered(door, ONE, 2)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    refusals = await asyncio.gather(*(door.enter(Place(), ONE) for _ in range(500)), return_exceptions=True)
    assert all(isinstance(refusal, TooManyRequests) for refusal in refusals)
    assert loop.time() - begin >= 0.04
    assert door._held_back == 0


async def test_patience_has_an_end() -> None:
    """Nobody waits for long; while the directory is away, as long as a call itself would wait for it."""
    for interrupted, error in ((False, TooManyRequests), (True, Unavailable)):
        door = admission(rooms=2, patience=0.01, interrupted=lambda: interrupted, interruption=0.02)  # noqa: B023
        await entered(door, ONE, 2)
        with pytest.raises(error):
            await door.enter(Place(), ONE)
        assert not door._lines


async def test_tokens_that_never_worked_share_one_line() -> None:
    """A flood of forged tokens, each another one, waits as one does."""
    door = admission(rooms=4)
    for number in range(3):
        await entered(door, bytes([number]) * 32, 1)
    assert door._held == {STRANGERS: 3}
    forged = knock(door, b"f" * 32, [])
    await asyncio.sleep(0)
    assert not forged.done()
    await asyncio.wait_for(entered(door, ONE, 1), 5)
    forged.cancel()


steps = st.lists(
    st.tuples(st.sampled_from(["knock", "leave", "cancel", "turn"]), st.sampled_from([ONE, OTHER, b"3" * 32])),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(steps=steps)
async def test_room_is_never_lost_nor_given_twice(steps: list[tuple[str, bytes]]) -> None:
    """Whoever enters, leaves, waits, is refused or cancelled: what is taken is what is held, and in the end nothing."""
    door = admission(rooms=3, waiting=2)
    tasks: list[asyncio.Task[Place]] = []
    for step, token in steps:
        if step == "knock":
            tasks.append(knock(door, token, []))
        elif step == "cancel" and tasks:
            tasks[len(tasks) // 2].cancel()
        elif step == "leave":
            for task in tasks:
                if task.done() and not task.cancelled() and task.exception() is None and task.result().line is not None:
                    door.leave(task.result())
                    break
        else:
            await asyncio.sleep(0)
        assert 0 <= door._taken <= 3
        assert sum(door._held.values()) == door._taken
    for _ in range(len(tasks) + 5):
        for _ in range(3):
            await asyncio.sleep(0)
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception() is None:
                door.leave(task.result())
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (door._taken, door._held, dict(door._lines)) == (0, {}, {})


# Through the whole gateway, with a directory that answers one call after another --------------------------------------


@pytest.fixture
async def slow() -> ScriptedDirectory:
    """A directory that works on one call at a time, each for two milliseconds."""
    directory = ScriptedDirectory()
    one_at_a_time = asyncio.Lock()

    async def answer(request: Any) -> pb.ListUsersResponse:
        async with one_at_a_time:
            await asyncio.sleep(0.002)
        return pb.ListUsersResponse(total_size=0)

    directory.scripts["ListUsers"] = answer
    return directory


def asks(client: httpx.AsyncClient, token: str) -> Callable[[], Any]:
    """A request of one identity provider."""
    headers = {"Authorization": f"Bearer {token}"}

    async def ask() -> tuple[httpx.Response, float]:
        begin = asyncio.get_running_loop().time()
        answer = await client.get(f"/scim/v2/{CONNECTION}/Users?count=0", headers=headers)
        return answer, asyncio.get_running_loop().time() - begin

    return ask


async def test_an_overload_is_shed_with_429_and_leaves_nothing_behind(slow: ScriptedDirectory) -> None:
    """ "it sheds with 429 or 503 and an integer Retry-After, keeps serving what it accepts", and recovers at once."""
    async with scripted(slow) as target, gateway(target, waiting_requests=40) as client:
        ask = asks(client, fresh_token())
        await ask()
        answers = await asyncio.gather(*(ask() for _ in range(300)))
        by_status = {status: [answer for answer, _ in answers if answer.status_code == status] for status in (200, 429)}
        assert len(by_status[200]) + len(by_status[429]) == 300
        assert len(by_status[200]) >= 40
        assert all(answer.headers["Retry-After"].isdecimal() for answer in by_status[429])
        assert by_status[429][0].headers["Content-Type"].startswith("application/scim+json")
        assert (await ask())[0].status_code == 200


async def test_one_connections_flood_is_its_own_wait(slow: ScriptedDirectory) -> None:
    """ "One connection's flood leaves another connection's p99 within 2×": here, of what as many calls at once take."""
    async with scripted(slow) as target, gateway(target) as client:
        flood, calm = asks(client, fresh_token()), asks(client, fresh_token())
        await flood()
        await calm()
        # What the calm one sees when as many calls are under way as there is room for.
        alone = [seconds for _ in range(10) for _, seconds in await asyncio.gather(*(calm() for _ in range(8)))]
        flooding = asyncio.gather(*(flood() for _ in range(190)))
        await eventually(lambda: len(slow.calls) > 90)
        beside = [await calm() for _ in range(15)]
        assert all(answer.status_code == 200 for answer, _ in beside)
        assert not flooding.done()
        assert statistics.median(seconds for _, seconds in beside) <= 2 * max(alone)
        await flooding
