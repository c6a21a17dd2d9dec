"""What becomes of a system that is asked for more than it can do: what it sheds, what it keeps, and who suffers."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from bench.driver import Bounds, Client, Driver, WrongAnswer
from bench.measurements import percentile
from bench.system import System

TIMES = 4.0
"""How many times what the system can do it is asked for."""

_WORKERS = 600
# Requests a second of the one who is measured beside the flood: an identity provider at its usual work.
_CALM_RATE = 20.0
_RECOVERY_SECONDS = 5.0
_SHED = (429, 503)


@dataclass(slots=True)
class _Seen:
    accepted: list[float] = field(default_factory=list)
    shed: list[float] = field(default_factory=list)


async def measure(system: System, seconds: float) -> dict[str, Any]:
    """Find what the system can do, ask for four times as much from one connection, and watch another beside it.

    Every answer must be a success, or 429 or 503 with whole seconds of Retry-After. Raises WrongAnswer.
    """
    flood, calm = system.driver(system.connect("dashboard")), system.driver(system.connect("dashboard"))
    for driver in (flood, calm):
        await driver.preload(200)
    await system.settled()
    capacity = (await flood.get(Bounds(1_000_000, seconds))).rate
    alone = await _paced(calm, seconds)
    seen = _Seen()
    flooding = asyncio.create_task(_flood(flood, TIMES * capacity, seconds, seen))
    # The first moments are those in which lines fill.
    await asyncio.sleep(min(1.0, seconds / 4))
    beside = await _paced(calm, seconds * 3 / 4 - 0.2)
    begin = time.perf_counter()
    await flooding
    ended = time.perf_counter()
    recovered = await _recovery(flood, percentile(alone, 0.99))
    return {
        "capacity": capacity,
        "asked": TIMES * capacity,
        "offered": (len(seen.accepted) + len(seen.shed)) / seconds,
        "accepted": len(seen.accepted) / (seconds + max(0.0, ended - begin)),
        "accepted_p99": 1000 * percentile(seen.accepted, 0.99),
        "shed": len(seen.shed) / seconds,
        "shed_p99": 1000 * percentile(seen.shed, 0.99),
        "recovery_seconds": recovered,
        "calm_per_second": _CALM_RATE,
        "calm_p99_alone": 1000 * percentile(alone, 0.99),
        "calm_p99_beside": 1000 * percentile(beside, 0.99),
        "seconds": seconds,
    }


async def _paced(driver: Driver, seconds: float) -> list[float]:
    """Read people at a fixed, low rate; give the seconds that each answer took."""
    latencies: list[float] = []
    begin = time.perf_counter()

    async def ask(number: int) -> None:
        async with driver.client() as client:
            await asyncio.sleep(max(0.0, begin + number / _CALM_RATE - time.perf_counter()))
            started = time.perf_counter()
            await client.call("GET", f"/Users/{driver.users[number % len(driver.users)].id}")
            latencies.append(time.perf_counter() - started)

    await asyncio.gather(*(ask(number) for number in range(int(seconds * _CALM_RATE))))
    return latencies


async def _flood(driver: Driver, rate: float, seconds: float, seen: _Seen) -> None:
    """Send reads at a rate, whatever comes of them, over as many connections as it takes."""
    begin = time.perf_counter()
    taken = 0

    async def work() -> None:
        nonlocal taken
        async with driver.client() as client:
            while taken < rate * seconds:
                number = taken
                taken += 1
                due = begin + number / rate
                if due > begin + seconds:
                    return
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                if time.perf_counter() > begin + seconds:
                    return
                await _ask(client, driver, number, seen)

    await asyncio.gather(*(work() for _ in range(_WORKERS)))


async def _ask(client: Client, driver: Driver, number: int, seen: _Seen) -> None:
    started = time.perf_counter()
    answer = await client.send("GET", f"/Users/{driver.users[number % len(driver.users)].id}")
    took = time.perf_counter() - started
    if answer.status == 200:
        seen.accepted.append(took)
    elif answer.status in _SHED:
        if not answer.headers.get(b"retry-after", b"").isdigit():
            raise WrongAnswer(f"{answer.status} without whole seconds of Retry-After")
        seen.shed.append(took)
    else:
        raise WrongAnswer(f"an overload is answered with {answer.status}")


async def _recovery(driver: Driver, usual: float) -> float:
    """Give the seconds until ten answers in a row are successes and take at most twice the usual p99."""
    begin = time.perf_counter()
    in_a_row = 0
    async with driver.client() as client:
        while in_a_row < 10:
            if time.perf_counter() - begin > 2 * _RECOVERY_SECONDS:
                break
            started = time.perf_counter()
            answer = await client.send("GET", f"/Users/{driver.users[0].id}")
            good = answer.status == 200 and time.perf_counter() - started <= 2 * usual
            in_a_row = in_a_row + 1 if good else 0
    return time.perf_counter() - begin
