"""Other SCIM servers, measured by the same driver in the same run: scim2-server (Python) and SCIMMY (Node.js).

Both keep everything in memory and publish nothing; what they lack shows as no number.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.driver import Bounds, Driver, WrongAnswer
from bench.http_client import BrokenAnswer, Endpoint
from bench.measurements import Measurement, median_of
from bench.system import System, running
from tests.stack import free_port

# The routers write into `request.query`, which Express 5 makes anew at each look: with it they ignore startIndex.
SCIMMY_PACKAGES = ("scimmy@1.3.5", "scimmy-routers@1.3.2", "express@4.22.3")
_START_SECONDS = 60.0
_PRELOAD_SECONDS = 180.0
_LOST_MEMBERS = "are missing"
_BULK = 200


class PeerUnavailable(Exception):
    """A peer cannot be installed or started here."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured of each server."""

    users: int
    group_sizes: tuple[int, ...]
    runs: int
    seconds: float
    concurrency: int = 8
    outsiders: int = 200


FULL = Plan(users=1_000, group_sizes=(10, 800), runs=3, seconds=3.0)


@dataclass(slots=True)
class Contestant:
    """A server that runs, and the driver that pushes to it."""

    name: str
    version: str
    driver: Driver
    system: System | None = None
    failure: str = ""


Phase = Callable[[Driver], Awaitable[Measurement]]


async def measure(plan: Plan, console: Console) -> dict[str, Any]:
    """Measure Rollcall and the peers in turns, phase by phase, so that what disturbs the machine disturbs all alike."""
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        contestants = []
        system = stack.enter_context(running("sqlite"))
        await system.open()
        driver = system.driver(system.connect("dashboard"), concurrency=plan.concurrency)
        contestants.append(Contestant("Rollcall", "SQLite, durable", driver, system))
        for start in (_scimmy, _scim2_server):
            try:
                contestants.append(stack.enter_context(start(plan, console)))
            except PeerUnavailable as error:
                missing[start.__name__.strip("_")] = str(error)
                console.print(f"[yellow]{error}[/]")
        found = await _measure(contestants, plan, console)
        await system.close()
    return {
        "users": plan.users,
        "runs": plan.runs,
        "seconds": plan.seconds,
        "concurrency": plan.concurrency,
        "servers": {contestant.name: contestant.version for contestant in contestants},
        "missing": missing,
        "phases": found,
    }


async def _measure(contestants: list[Contestant], plan: Plan, console: Console) -> dict[str, Any]:
    found: dict[str, dict[str, Any]] = {}

    def keep(contestant: Contestant, label: str, measured: Measurement) -> None:
        found.setdefault(label, {})[contestant.name] = measured.as_json()
        number = measured.failure or f"{measured.rate:10,.1f}/s  p99 {measured.p99:8.2f} ms {measured.note}"
        console.print(f"{contestant.name:<14} {label:<34} {number}")

    provisions: dict[str, list[Measurement]] = {contestant.name: [] for contestant in contestants}
    share = max(1, plan.users // (2 * plan.runs))
    for _ in range(plan.runs):
        for contestant in contestants:
            provisions[contestant.name].append(await contestant.driver.provision(Bounds(share, _PRELOAD_SECONDS)))
            await _settle(contestant)
    for contestant in contestants:
        keep(contestant, "provision", median_of(provisions[contestant.name]))
        await _fill(contestant, plan, console)
    bounds = Bounds(1_000_000, plan.seconds)
    phases: list[tuple[str, Phase]] = [
        ("lookup", lambda driver: driver.lookup(bounds)),
        ("get", lambda driver: driver.get(bounds)),
        ("update", lambda driver: driver.update(bounds)),
        ("deactivate", lambda driver: driver.deactivate(bounds)),
        ("list page, first", lambda driver: driver.list_page("first", bounds)),
        ("list page, last", lambda driver: driver.list_page("last", bounds)),
        ("import crawl", lambda driver: driver.crawl(60.0)),
        *(
            (f"member add or remove, group of {size:,}", _member_changes(size, plan, bounds))
            for size in plan.group_sizes
        ),
        *(
            (f"group push, {size:,} members", lambda driver, size=size: driver.group_push(size, bounds, concurrency=1))
            for size in plan.group_sizes
        ),
        # Last, for those whom it makes stay.
        (f"bulk create, {_BULK:,} operations", lambda driver: driver.bulk(_BULK, bounds)),
    ]
    for label, phase in phases:
        runs: dict[str, list[Measurement]] = {contestant.name: [] for contestant in contestants}
        for _ in range(plan.runs):
            for contestant in contestants:
                runs[contestant.name].append(await _attempt(contestant, label, phase))
                await _settle(contestant)
        for contestant in contestants:
            keep(contestant, label, median_of(runs[contestant.name]))
    return found


async def _attempt(contestant: Contestant, label: str, phase: Phase) -> Measurement:
    if contestant.failure:
        return Measurement(label, failure=contestant.failure)
    try:
        return await phase(contestant.driver)
    except (WrongAnswer, BrokenAnswer, OSError, LookupError, TypeError) as error:
        return Measurement(label, failure=f"{type(error).__name__}: {error}")


def _member_changes(size: int, plan: Plan, bounds: Bounds) -> Phase:
    """People added to one group and removed again; by one worker where a server loses members otherwise."""

    async def once(driver: Driver, concurrency: int) -> Measurement:
        outsiders = driver.users[size : size + plan.outsiders]
        half = replace(bounds, seconds=bounds.seconds / 2)
        group = await driver.make_group(driver.users[:size])
        try:
            added = await driver.member_add(group, outsiders, half, concurrency=concurrency)
            removed = await driver.member_remove(group, half, down_to=size, concurrency=concurrency)
        finally:
            await driver.delete_group(group)
        if added.failure or removed.failure:
            return Measurement(added.phase, failure=added.failure or removed.failure)
        seconds = added.seconds + removed.seconds
        operations = added.operations + removed.operations
        return Measurement(
            f"member add or remove, group of {size:,}",
            rate=operations / seconds,
            p50=max(added.p50, removed.p50),
            p95=max(added.p95, removed.p95),
            p99=max(added.p99, removed.p99),
            operations=operations,
            requests=operations,
            seconds=seconds,
        )

    async def phase(driver: Driver) -> Measurement:
        measured = await once(driver, plan.concurrency)
        if _LOST_MEMBERS in measured.failure:
            measured = await once(driver, 1)
            measured.note = f"by one worker: with {plan.concurrency}, members are lost"
        return measured

    return phase


async def _fill(contestant: Contestant, plan: Plan, console: Console) -> None:
    total = plan.users + plan.outsiders
    try:
        async with asyncio.timeout(_PRELOAD_SECONDS):
            await contestant.driver.preload(total)
    except (WrongAnswer, BrokenAnswer, OSError, LookupError, TypeError) as error:
        contestant.failure = f"cannot hold {total:,} users: {type(error).__name__}: {error}"
        console.print(f"[yellow]{contestant.name} {contestant.failure}[/]")
    await _settle(contestant)


async def _settle(contestant: Contestant) -> None:
    if contestant.system is not None:
        await contestant.system.settled()


# -- starting the peers -----------------------------------------------------------------------------------------------


@contextmanager
def _scim2_server(plan: Plan, console: Console) -> Iterator[Contestant]:
    """The server of the `scim2-server` command, as it documents itself."""
    port, token = free_port(), secrets.token_urlsafe(24)
    command = [str(Path(sys.executable).with_name("scim2-server")), "--port", str(port), "--bearer-token", token]
    with _served(command, f"http://127.0.0.1:{port}/v2", token, {}):
        driver = Driver(f"http://127.0.0.1:{port}/v2", token, concurrency=plan.concurrency)
        yield Contestant("scim2-server", f"{importlib.metadata.version('scim2-server')}, in memory", driver)


@contextmanager
def _scimmy(plan: Plan, console: Console) -> Iterator[Contestant]:
    """`scimmy/server.mjs` with the packages installed beside it in a temporary directory."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise PeerUnavailable("SCIMMY needs Node.js and npm")
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-scimmy-") as name:
        directory = Path(name)
        console.print(f"installing {', '.join(SCIMMY_PACKAGES)}")
        install = [npm, "install", "--no-audit", "--no-fund", "--prefix", name, *SCIMMY_PACKAGES]
        try:
            done = subprocess.run(install, capture_output=True, text=True, timeout=300, cwd=directory)
        except subprocess.TimeoutExpired:
            raise PeerUnavailable("SCIMMY: npm did not end within 300 s") from None
        if done.returncode:
            raise PeerUnavailable(f"SCIMMY: npm: {done.stderr.strip()[-500:]}")
        shutil.copy(Path(__file__).parent / "scimmy" / "server.mjs", directory)
        port, token = free_port(), secrets.token_urlsafe(24)
        installed = json.loads((directory / "node_modules" / "scimmy" / "package.json").read_bytes())["version"]
        base_url = f"http://127.0.0.1:{port}/scim/v2"
        with _served([node, str(directory / "server.mjs"), str(port)], base_url, token, {"SCIM_TOKEN": token}):
            driver = Driver(base_url, token, concurrency=plan.concurrency)
            yield Contestant("SCIMMY", f"{installed}, in memory", driver)


@contextmanager
def _served(command: list[str], base_url: str, token: str, environment: dict[str, str]) -> Iterator[None]:
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **environment}
        )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not _listens(Endpoint.of(base_url)):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise PeerUnavailable(f"{command[0]}: {log.read()[-1000:].decode(errors='replace')}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _listens(endpoint: Endpoint) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((endpoint.host, endpoint.port)) == 0
