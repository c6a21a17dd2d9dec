"""`python -m bench`: measure the system, other servers beside it, or any SCIM server on this machine."""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from bench import console_pages, growth, peers, report, scale
from bench.driver import Bounds, Driver, WrongAnswer
from bench.http_client import BrokenAnswer, NotLoopback
from bench.machine import describe
from bench.measurements import Measurement
from bench.system import DATABASES, SystemFailed, running

TOKEN_VARIABLE = "SCIM_TOKEN"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(width=None if sys.stdout.isatty() else 200)


def sizes_of(text: str) -> tuple[int, ...]:
    """Read `1000,10000`. Raises typer.BadParameter."""
    try:
        sizes = tuple(sorted({int(part) for part in text.replace("_", "").split(",")}))
    except ValueError:
        raise typer.BadParameter(f"{text}: expected numbers separated by commas") from None
    if not sizes or sizes[0] < 1:
        raise typer.BadParameter(f"{text}: sizes begin at 1")
    return sizes


@app.command()
def system(
    database: Annotated[
        str, typer.Option(metavar="D", help="sqlite, postgresql, or both with a comma between.")
    ] = "sqlite,postgresql",
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes, one run; nothing is written.")] = False,
    users: Annotated[str, typer.Option(metavar="N,…", help="Numbers of users to measure at.")] = "",
    groups: Annotated[str, typer.Option(metavar="N,…", help="Sizes of groups to measure at.")] = "",
    runs: Annotated[int, typer.Option(min=0, max=20, help="Runs of each phase; 0: as planned.")] = 0,
    seconds: Annotated[float, typer.Option(min=0, max=60, help="Length of a run; 0: as planned.")] = 0.0,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the results are kept; default: bench/.")
    ] = None,
) -> None:
    """Start the whole system and measure it as it grows."""
    plan = growth.QUICK if quick else growth.FULL
    if users:
        plan = replace(plan, user_sizes=sizes_of(users))
    if groups:
        plan = replace(plan, group_sizes=sizes_of(groups))
    plan = replace(plan, runs=runs or plan.runs, seconds=seconds or plan.seconds)
    names = database.split(",")
    _check_writable(output)
    if unknown := set(names) - set(DATABASES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: expected one of {', '.join(DATABASES)}")
    for name in names:
        result = _run(_measure(name, plan))
        console.print(Markdown("\n".join(report.system_report(name, _described(result)))))
        if output is not None or not quick:
            report.keep(name, result, output or report.DIRECTORY)
            console.print(f"kept in {output or report.DIRECTORY}")


@app.command("peers")
def measure_peers(
    users: Annotated[int, typer.Option(min=20, max=20_000)] = peers.FULL.users,
    runs: Annotated[int, typer.Option(min=1, max=20)] = peers.FULL.runs,
    seconds: Annotated[float, typer.Option(min=0.2, max=60)] = peers.FULL.seconds,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the results are kept; default: bench/.")
    ] = None,
) -> None:
    """Measure Rollcall, SCIMMY and scim2-server side by side."""
    _check_writable(output)
    largest = max(10, users * 4 // 5)
    plan = replace(peers.FULL, users=users, runs=runs, seconds=seconds, group_sizes=(10, largest))
    result = _run(peers.measure(plan, console))
    console.print(Markdown("\n".join(report.peers_report(_described(result)))))
    report.keep("peers", result, output or report.DIRECTORY)


@app.command("scale")
def measure_scale(
    seconds: Annotated[float, typer.Option(min=0.2, max=60)] = 5.0,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the results are kept; default: bench/.")
    ] = None,
) -> None:
    """Measure what a second gateway and directory add on PostgreSQL."""
    _check_writable(output)
    try:
        result = scale.measure(seconds)
    except (SystemFailed, WrongAnswer, BrokenAnswer, OSError) as error:
        console.print(f"[red]{type(error).__name__}[/]: {error}", soft_wrap=True)
        raise typer.Exit(1) from None
    console.print(Markdown("\n".join(report.scale_report(result))))
    report.keep("scale", result, output or report.DIRECTORY)


@app.command("console")
def measure_console(
    database: Annotated[
        str, typer.Option(metavar="D", help="sqlite, postgresql, or both with a comma between.")
    ] = "sqlite,postgresql",
    users: Annotated[int, typer.Option(min=400, max=1_000_000, help="Users on each of three connections.")] = 100_000,
    runs: Annotated[int, typer.Option(min=1, max=100, help="How often each page is asked for.")] = 10,
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the results are kept; default: bench/.")
    ] = None,
) -> None:
    """Measure how long each page of the console takes with many people behind it. Exit 1: one takes 200 ms or more."""
    _check_writable(output)
    names = database.split(",")
    if unknown := set(names) - set(DATABASES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: expected one of {', '.join(DATABASES)}")
    results = {}
    for name in names:
        try:
            results[name] = console_pages.measure(name, users, runs, console.print)
        except (SystemFailed, OSError) as error:
            console.print(f"[red]{type(error).__name__}[/]: {error}", soft_wrap=True)
            raise typer.Exit(1) from None
    console.print(Markdown("\n".join(report.console_report(results))))
    report.keep("console", results, output or report.DIRECTORY)
    if slow := [page for result in results.values() for page in console_pages.over(result)]:
        console.print(f"[red]over {console_pages.TARGET_MILLISECONDS:.0f} ms[/]: {', '.join(slow)}", soft_wrap=True)
        raise typer.Exit(1)


@app.command()
def load(
    url: Annotated[str, typer.Argument(metavar="URL", help="A SCIM base URL on the loopback.")],
    users: Annotated[int, typer.Option(min=20, max=200_000, help="How many users to push.")] = 1_000,
    concurrency: Annotated[int, typer.Option(min=1, max=256)] = 8,
    seconds: Annotated[float, typer.Option(min=0.2, max=600, help="Length of a phase at most.")] = 3.0,
    group: Annotated[int, typer.Option(min=1, max=100_000, help="Members of the group that is changed.")] = 10,
) -> None:
    """Push to any SCIM server on this machine, as Okta does. The bearer token is read from SCIM_TOKEN.

    Users and groups that are made stay there: use a connection of its own.
    """
    token = os.environ.get(TOKEN_VARIABLE, "")
    if not token:
        raise typer.BadParameter(f"the environment variable {TOKEN_VARIABLE} holds no token")
    try:
        driver = Driver(url, token, concurrency=concurrency)
    except NotLoopback as error:
        raise typer.BadParameter(str(error)) from None
    table = Table("operation", "per second", "p50 ms", "p95 ms", "p99 ms", "requests", "remark")
    failed = False
    for measured in _run(_load(driver, users, seconds, min(group, users // 2))):
        failed = failed or (bool(measured.failure) and not measured.failure.startswith("NotOffered"))
        numbers = (measured.rate, measured.p50, measured.p95, measured.p99)
        cells = ("–",) * 4 if measured.failure else tuple(f"{number:,.2f}" for number in numbers)
        table.add_row(measured.phase, *cells, f"{measured.requests:,}", measured.failure[:100])
    console.print(table)
    if failed:
        raise typer.Exit(1)


@app.command("report")
def write_report(
    output: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Where the results are kept; default: bench/.")
    ] = None,
) -> None:
    """Write RESULTS.md and its plot anew from the results that were kept."""
    report.write_report(output or report.DIRECTORY)


def _check_writable(output: Path | None) -> None:
    """Find out before the measuring, which is long, whether its results can be kept. Raises typer.BadParameter."""
    directory = output or report.DIRECTORY
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"{directory}: {error.strerror}") from None
    if not os.access(directory, os.W_OK):
        raise typer.BadParameter(f"{directory} cannot be written to")


async def _measure(database: str, plan: growth.Plan) -> dict[str, Any]:
    with running(database) as started:
        await started.open()
        try:
            result = await growth.measure(started, plan, console)
            return {**result, "database_version": started.database_version}
        finally:
            await started.close()


async def _load(driver: Driver, users: int, seconds: float, members: int) -> list[Measurement]:
    bounds = Bounds(1_000_000, seconds)
    found = [await driver.provision(Bounds(users, 3600))]
    if found[0].failure:
        return found
    found += [
        await driver.lookup(bounds),
        await driver.get(bounds),
        await driver.update(bounds),
        await driver.profile_update(bounds),
        await driver.deactivate(bounds),
        await driver.group_push(members, bounds),
    ]
    group = await driver.make_group(driver.users[:members])
    found += [
        await driver.member_add(group, driver.users[members:], bounds),
        await driver.member_remove(group, bounds, down_to=members),
        await driver.list_page("first", bounds),
        await driver.list_page("last", bounds),
        await driver.crawl(10 * seconds),
        await driver.bulk(min(500, users), bounds),
    ]
    await driver.delete_group(group)
    return found


def _described(result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "date": "now", "machine": describe()}


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    try:
        return uvloop.run(work)
    except (SystemFailed, WrongAnswer, BrokenAnswer, OSError) as error:
        console.print(f"[red]{type(error).__name__}[/]: {error}", soft_wrap=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app()
