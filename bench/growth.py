"""What each operation costs as a connection grows: over the number of users, and over the size of a group."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import overload
from bench.driver import Bounds, Driver
from bench.measurements import Measurement, median_of
from bench.system import System

LIST_PAGES = ("first", "last")
_NO_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured. `seconds` bounds one run of one phase; the median of `runs` counts."""

    user_sizes: tuple[int, ...]
    group_sizes: tuple[int, ...]
    runs: int
    seconds: float
    provision_operations: int
    """People provisioned in a run at most; they are deleted again, so that a size stays what it says."""
    outsiders: int
    """People beyond the largest group, who are added to groups and removed."""
    put_size: int
    """Members of the group that is replaced as a whole with one change."""
    push_sizes: tuple[int, ...]
    bulk_operations: int
    event_seconds: float
    catch_up_users: int
    full_rate_users: int
    idle_seconds: float
    overload_seconds: float
    concurrency: int = 8
    events_per_second: float = 100.0


FULL = Plan(
    user_sizes=(1_000, 10_000, 100_000),
    group_sizes=(10, 1_000, 10_000, 100_000),
    runs=3,
    seconds=3.0,
    provision_operations=1_500,
    outsiders=2_000,
    put_size=20_000,
    push_sizes=(10, 10_000),
    bulk_operations=1_000,
    event_seconds=20.0,
    catch_up_users=10_000,
    full_rate_users=10_000,
    idle_seconds=10.0,
    overload_seconds=10.0,
)

QUICK = Plan(
    user_sizes=(500, 3_000),
    group_sizes=(10, 2_000),
    runs=1,
    seconds=1.5,
    provision_operations=500,
    outsiders=500,
    put_size=2_000,
    push_sizes=(10, 1_000),
    bulk_operations=500,
    event_seconds=6.0,
    catch_up_users=1_000,
    full_rate_users=1_000,
    idle_seconds=3.0,
    overload_seconds=4.0,
)

Phase = Callable[[], Awaitable[Measurement]]


async def measure(system: System, plan: Plan, console: Console) -> dict[str, Any]:
    """Measure everything on one system, smallest size first; give a JSON value."""
    idle = await system.idle_percent(plan.idle_seconds)
    driver = system.driver(system.connect("dashboard"), concurrency=plan.concurrency)
    users: dict[str, list[dict[str, Any]]] = {}
    for size in plan.user_sizes:
        await _preload(system, driver, size, console)
        users[str(size)] = await _user_phases(system, driver, plan, console)
    memory = system.resident_megabytes()
    groups: dict[str, list[dict[str, Any]]] = {}
    await _preload(system, driver, max(*plan.group_sizes, plan.put_size) + plan.outsiders, console)
    for size in plan.group_sizes:
        groups[str(size)] = await _group_phases(system, driver, size, plan, console)
    pushes = await _push_phases(system, driver, plan, console)
    bulk = await _repeated(system, plan, console, lambda: driver.bulk(plan.bulk_operations, _bounds(plan)))
    console.print(f"[dim]{system.database}[/] events")
    events = await _events(system, plan)
    console.print(f"[dim]{system.database}[/] overload")
    pressed = await overload.measure(system, plan.overload_seconds)
    return {
        "idle_percent": idle,
        "resident_megabytes": memory,
        "resident_at_users": plan.user_sizes[-1],
        "ready_seconds": system.ready_seconds,
        "users": users,
        "groups": groups,
        "other": [measured.as_json() for measured in [*pushes, bulk]],
        "events": events,
        "overload": pressed,
        "concurrency": plan.concurrency,
        "runs": plan.runs,
        "seconds": plan.seconds,
    }


def _bounds(plan: Plan) -> Bounds:
    return Bounds(_NO_LIMIT, plan.seconds)


async def _user_phases(system: System, driver: Driver, plan: Plan, console: Console) -> list[dict[str, Any]]:
    size = len(driver.users)
    bounds = _bounds(plan)
    found = []
    provisions = []
    provision = Bounds(plan.provision_operations, plan.seconds)
    for _ in range(plan.runs):
        provisions.append(await system.measure(lambda: driver.provision(provision)))
        await driver.forget_users(size)
        await system.settled()
    found.append(_show(console, system, size, median_of(provisions)))
    phases: list[Phase] = [
        lambda: driver.lookup(bounds),
        lambda: driver.get(bounds),
        lambda: driver.update(bounds),
        lambda: driver.profile_update(bounds),
        lambda: driver.deactivate(bounds),
        lambda: driver.list_page("first", bounds),
        lambda: driver.list_page("last", bounds),
        lambda: driver.crawl(max(20.0, 10 * plan.seconds)),
    ]
    for phase in phases:
        found.append(_show(console, system, size, await _repeated(system, plan, console, phase)))
    return [measured.as_json() for measured in found]


async def _group_phases(
    system: System, driver: Driver, size: int, plan: Plan, console: Console
) -> list[dict[str, Any]]:
    members = driver.users[:size]
    outsiders = driver.users[size : size + plan.outsiders]
    with _progress(console) as progress:
        task = progress.add_task(f"group of {size:,}", total=size)
        group = await driver.make_group(members, lambda count: progress.advance(task, count))
    await system.settled()
    adds, removes = [], []
    bounds = _bounds(plan)
    for _ in range(plan.runs):
        adds.append(await system.measure(lambda: driver.member_add(group, outsiders, bounds)))
        removes.append(await system.measure(lambda: driver.member_remove(group, bounds, down_to=size)))
        # What a slow run left inside leaves before the next.
        if len(group.members) > size:
            await driver.member_remove(group, Bounds(_NO_LIMIT, 600), down_to=size)
            await system.settled()
    found = [median_of(adds), median_of(removes)]
    for measured, kind in zip(found, ("member add", "member remove"), strict=True):
        measured.phase = kind
        _show(console, system, size, measured)
    await driver.delete_group(group)
    await system.settled()
    return [measured.as_json() for measured in found]


async def _push_phases(system: System, driver: Driver, plan: Plan, console: Console) -> list[Measurement]:
    found = []
    for size in plan.push_sizes:
        push = await _repeated(system, plan, console, partial(driver.group_push, size, _bounds(plan)))
        found.append(_show(console, system, size, push))
    group = await driver.make_group(driver.users[: plan.put_size])
    await system.settled()
    newcomer = driver.users[plan.put_size]
    put = await _repeated(system, plan, console, lambda: driver.group_put(group, newcomer, _bounds(plan)))
    found.append(_show(console, system, plan.put_size, put))
    await driver.delete_group(group)
    await system.settled()
    return found


async def _events(system: System, plan: Plan) -> dict[str, Any]:
    latency = await system.event_latency(plan.events_per_second, plan.event_seconds)
    catch_up = await system.catch_up(plan.catch_up_users)
    driver = system.driver(system.connect("dashboard"), concurrency=plan.concurrency)
    full_rate = await system.measure(lambda: driver.provision(Bounds(plan.full_rate_users, 600)))
    return {
        "per_second": plan.events_per_second,
        "latency": latency,
        "catch_up": catch_up,
        "catch_up_users": plan.catch_up_users,
        "full_rate": full_rate.as_json(),
    }


async def _repeated(system: System, plan: Plan, console: Console, phase: Phase) -> Measurement:
    runs = []
    for _ in range(plan.runs):
        runs.append(await system.measure(phase))
        if runs[-1].failure:
            console.print(f"[yellow]{runs[-1].phase}: {runs[-1].failure}[/]")
            break
    return median_of(runs)


async def _preload(system: System, driver: Driver, total: int, console: Console) -> None:
    missing = total - len(driver.users)
    if missing > 0:
        with _progress(console) as progress:
            task = progress.add_task(f"{total:,} users", total=missing)
            await driver.preload(total, lambda count: progress.advance(task, count))
        await system.settled()


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _show(console: Console, system: System, size: int, measured: Measurement) -> Measurement:
    number = measured.failure or f"{measured.rate:10,.1f}/s  p50 {measured.p50:7.2f}  p99 {measured.p99:7.2f} ms"
    console.print(f"[dim]{system.database}[/] {size:>8,}  {measured.phase:<42} {number}")
    return measured
