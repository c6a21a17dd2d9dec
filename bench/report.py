"""`results.json` as text: `RESULTS.md` with its plot. Sections come from several commands and are kept side by side."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from bench import targets
from bench.chart import Panel, svg
from bench.machine import describe
from bench.measurements import Measurement
from bench.system import DURABILITY

DIRECTORY = Path(__file__).parent
_PROCESSES = ("client", "gateway", "directory", "nats", "portal", "mdm", "postgresql")
_NONE = "–"
_TITLES = {"sqlite": "SQLite (`rollcall up`)", "postgresql": "PostgreSQL"}


def read_results(directory: Path = DIRECTORY) -> dict[str, Any]:
    """The results that were kept; empty when there are none."""
    path = directory / "results.json"
    results: dict[str, Any] = orjson.loads(path.read_bytes()) if path.exists() else {}
    return results


def keep(section: str, value: dict[str, Any], directory: Path = DIRECTORY) -> None:
    """Put one section's results in the place of its former ones, and write the report anew."""
    taken = {"date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": describe()}
    directory.mkdir(parents=True, exist_ok=True)
    results = {**read_results(directory), section: {**value, **taken}}
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    (directory / "results.json").write_bytes(orjson.dumps(results, option=options))
    write_report(directory)


def write_report(directory: Path = DIRECTORY) -> None:
    """Write RESULTS.md and results.svg from what was kept; `hops.md` is taken in as it stands."""
    results = read_results(directory)
    parts = [
        "# Results",
        "",
        "Written by `make bench` and `make bench-peers` from `results.json`. The load client and every process of the "
        "system share the cores of one machine; the client checks every answer. Rates are medians of several runs; "
        "latencies are per request. Machines are noisy: compare numbers of one run, and read ratios.",
        "",
    ]
    systems = [name for name in _TITLES if name in results]
    for name in systems:
        parts += system_report(name, results[name])
    if systems:
        (directory / "results.svg").write_text(
            svg([panel for name in systems for panel in _panels(name, results[name])])
        )
        parts += ["## Growth", "", "![Cost of each operation over users and over members](results.svg)", ""]
    if "scale" in results:
        parts += scale_report(results["scale"])
    if "console" in results:
        parts += console_report(results["console"])
    if "peers" in results:
        parts += peers_report(results["peers"])
    hops = directory / "hops.md"
    if hops.exists():
        parts += [hops.read_text().rstrip(), ""]
    (directory / "RESULTS.md").write_text("\n".join(parts).rstrip() + "\n")


def system_report(name: str, result: Mapping[str, Any]) -> list[str]:
    """The tables of one run of the whole system."""
    users = _by_size(result["users"])
    groups = _by_size(result["groups"])
    other = {measured.phase: measured for measured in map(Measurement.from_json, result["other"])}
    return [
        f"## {_TITLES[name]}",
        "",
        *_setting(result, DURABILITY[name], f"{name} {result.get('database_version', '')}"),
        "### Against the targets",
        "",
        *_targets(users, groups, other),
        "### Operations per second over the number of users",
        "",
        *_growth(users, "users"),
        "### Operations per second over the size of a group",
        "",
        *_growth(groups, "members"),
        "### Other operations",
        "",
        *_table(
            ("operation", "per second", "p50 ms", "p99 ms"),
            [(item.phase, _rate(item), _latency(item, "p50"), _latency(item, "p99")) for item in other.values()],
        ),
        "### Latency of a request, ms",
        "",
        *_latencies(users, "users"),
        *_latencies(groups, "members"),
        "### Processor time of an operation, µs, until its events are applied",
        "",
        *_cpu(users, groups),
        "### Events",
        "",
        *_events(result["events"]),
        "### Overload",
        "",
        *_overload(result["overload"]),
        "### Footprint",
        "",
        *_footprint(result),
    ]


def peers_report(result: Mapping[str, Any]) -> list[str]:
    """The table of Rollcall beside other servers, with ratios to the fastest of them."""
    names = list(result["servers"])
    peers = [name for name in names if name != "Rollcall"]
    rows, notes = [], []
    for phase, by_name in result["phases"].items():
        found = {name: Measurement.from_json(by_name[name]) for name in names if name in by_name}
        rates = [found[name].rate for name in peers if name in found and not found[name].failure]
        own = found["Rollcall"]
        ratio = f"{own.rate / max(rates):.2f}×" if rates and not own.failure else _NONE
        cells = []
        for name in names:
            measured = found.get(name)
            if measured is None:
                cells.append(_NONE)
                continue
            if remark := measured.note or measured.failure:
                notes.append(f"{name}, {phase}: {_one_line(remark)}")
                cells.append(f"{_rate(measured)} [{len(notes)}]")
            else:
                cells.append(_rate(measured))
        rows.append((phase, *cells, ratio))
    versions = ", ".join(f"{name} ({version})" for name, version in result["servers"].items())
    return [
        "## Beside other servers",
        "",
        f"The same driver against each in turns, phase by phase, in one run, at {result['users']:,} users: {versions}. "
        "The others keep everything in memory, publish no event and apply no effect; Rollcall runs whole, with durable "
        "stores. Operations per second.",
        "",
        *_setting(result, "see above", ""),
        *_table(("operation", *names, "Rollcall / fastest other"), rows),
        *(f"[{number}] {note}  " for number, note in enumerate(notes, 1)),
        *(f"{name} was not measured: {_one_line(why)}  " for name, why in result["missing"].items()),
        "",
    ]


def _setting(result: Mapping[str, Any], durability: str, database: str) -> list[str]:
    machine = result["machine"]
    versions = ", ".join(
        f"{name} {machine[name]}"
        for name in ("python", "nats-server", "falcon", "gunicorn", "uvloop", "grpcio", "protobuf", "sqlalchemy")
    )
    lines = [
        f"{result['date']} · revision {machine['revision'] or 'unknown'} · {machine['cores']} cores "
        f"({machine['processor']}), {machine['memory']}, {machine['system']}  ",
        f"{versions}{', ' + database if database else ''}  ",
        f"{result['concurrency']} concurrent clients, median of {result['runs']} runs of {result['seconds']:g} s each",
        "",
    ]
    return lines if durability == "see above" else [f"{durability}  ", *lines]


def _by_size(sizes: Mapping[str, Any]) -> dict[int, dict[str, Measurement]]:
    found = {}
    for size in sorted(sizes, key=int):
        measured = map(Measurement.from_json, sizes[size])
        found[int(size)] = {item.phase: item for item in measured}
    return found


def _targets(
    users: Mapping[int, Mapping[str, Measurement]],
    groups: Mapping[int, Mapping[str, Measurement]],
    other: Mapping[str, Measurement],
) -> list[str]:
    rows = []
    for target in targets.TARGETS:
        found = [
            (size, by_phase[target.phase])
            for sizes in (users, groups)
            for size, by_phase in sizes.items()
            if target.phase in by_phase
        ]
        measured = [item for _, item in found] or ([other[target.phase]] if target.phase in other else [])
        rated = [item.rate for item in measured if not item.failure]
        if not rated:
            rows.append((target.phase, _number(target.floor), _number(target.goal), _NONE, "not measured"))
            continue
        lowest = min(rated)
        verdict = "goal" if lowest >= target.goal else "floor" if lowest >= target.floor else "**below**"
        rows.append((target.phase, _number(target.floor), _number(target.goal), _number(lowest), verdict))
    lines = _table(("operation, per second", "floor", "goal", "lowest at any size", "reached"), rows)
    flat = []
    for phase in targets.FLAT_PHASES:
        ratio = _ratio(
            [by_phase[phase] for sizes in (users, groups) for by_phase in sizes.values() if phase in by_phase]
        )
        if ratio is not None:
            flat.append((phase, f"{ratio:.2f}×", f"{targets.FLAT:g}×", _verdict(ratio < targets.FLAT)))
    for size, by_phase in users.items():
        first, last = by_phase.get("list page, first"), by_phase.get("list page, last")
        if first and last and first.rate and last.rate:
            ratio = first.rate / last.rate
            label = f"last page / first page at {size:,} users"
            flat.append((label, f"{ratio:.2f}×", f"{targets.LAST_PAGE:g}×", _verdict(ratio < targets.LAST_PAGE)))
    return lines + _table(("cost at the largest size / at the smallest", "measured", "below", ""), flat)


def _growth(sizes: Mapping[int, Mapping[str, Measurement]], what: str) -> list[str]:
    phases = list(dict.fromkeys(phase for by_phase in sizes.values() for phase in by_phase))
    rows = []
    for phase in phases:
        measured = [by_phase.get(phase) for by_phase in sizes.values()]
        ratio = _ratio([item for item in measured if item is not None])
        cells = (_rate(item) if item is not None else _NONE for item in measured)
        rows.append((phase, *cells, f"{ratio:.2f}×" if ratio is not None else _NONE))
    heads = ("operation", *(f"{size:,} {what}" for size in sizes), "cost, largest / smallest")
    return _table(heads, rows)


def _ratio(measured: Sequence[Measurement]) -> float | None:
    rated = [item for item in measured if item.rate and not item.failure]
    return rated[0].rate / rated[-1].rate if len(rated) > 1 else None


def _latencies(sizes: Mapping[int, Mapping[str, Measurement]], what: str) -> list[str]:
    rows = []
    for size, by_phase in sizes.items():
        for phase, item in by_phase.items():
            within = _verdict(item.p99 <= targets.TAIL) if phase in targets.SINGLE_RESOURCE and not item.failure else ""
            cells = (_latency(item, name) for name in ("p50", "p95", "p99"))
            rows.append((phase, f"{size:,}", *cells, within))
    return _table(("operation", what, "p50", "p95", "p99", f"p99 ≤ {targets.TAIL:g}"), rows)


def _cpu(users: Mapping[int, Mapping[str, Measurement]], groups: Mapping[int, Mapping[str, Measurement]]) -> list[str]:
    rows = []
    for sizes, what in ((users, "users"), (groups, "members")):
        for size, by_phase in list(sizes.items())[-1:]:
            for phase, item in by_phase.items():
                cells = (f"{item.cpu[name]:,.0f}" if name in item.cpu else _NONE for name in _PROCESSES)
                rows.append((f"{phase}, {size:,} {what}", *cells, f"{sum(item.cpu.values()):,.0f}"))
    return _table(("operation", *_PROCESSES, "all"), rows)


def _events(events: Mapping[str, Any]) -> list[str]:
    rows = []
    for service, latency in events["latency"].items():
        within = latency["p50"] <= targets.EVENT_P50 and latency["p99"] <= targets.EVENT_P99
        milliseconds = (f"{latency[name]:.1f}" for name in ("p50", "p95", "p99", "max"))
        rows.append((service, *milliseconds, _verdict(within)))
    reached = sum(latency["per_second"] for latency in events["latency"].values())
    lines = [
        f"From the reply to a SCIM request to the effect committed, ms, at {reached:.0f} of {events['per_second']:g} "
        "requests/s "
        f"(target: p50 ≤ {targets.EVENT_P50:g}, p99 ≤ {targets.EVENT_P99:g}):",
        "",
        *_table(("consumer", "p50", "p95", "p99", "max", ""), rows),
    ]
    rows = []
    for service, rate in events["catch_up"].items():
        label = f"{service}: events/s from a backlog of {events['catch_up_users']:,}"
        rows.append((label, f"{rate:,.0f}", f"≥ {targets.CATCH_UP:,.0f}", _verdict(rate >= targets.CATCH_UP)))
    full_rate = Measurement.from_json(events["full_rate"])
    lag = full_rate.lag_seconds
    if full_rate.failure or lag is None:
        rows.append(("provisioning at full rate", _NONE, _NONE, _one_line(full_rate.failure)))
    else:
        label = f"s until no lag after {full_rate.operations:,} users at {full_rate.rate:,.0f}/s"
        rows.append((label, f"{lag:.1f}", f"≤ {targets.FULL_RATE_LAG:g}", _verdict(lag <= targets.FULL_RATE_LAG)))
    return lines + _table(("consumers", "measured", "target", ""), rows)


def _overload(result: Mapping[str, Any]) -> list[str]:
    factor = result["calm_p99_beside"] / result["calm_p99_alone"]
    shed = f"{result['shed']:,.0f} refused with 429 or 503 and Retry-After, p99 {result['shed_p99']:,.0f} ms"
    rows = [
        (
            "reads asked for by one connection, per second",
            f"{result['asked']:,.0f}",
            f"4 × {result['capacity']:,.0f}",
            "",
        ),
        ("of these sent", f"{result['offered']:,.0f}", "as many as the client could", ""),
        ("answered, per second", f"{result['accepted']:,.0f}", shed, ""),
        (
            "p99 of what was answered",
            f"{result['accepted_p99']:,.0f} ms",
            f"below {targets.OVERLOAD_P99:,.0f} ms",
            _verdict(result["accepted_p99"] < targets.OVERLOAD_P99),
        ),
        (
            "usual again after",
            f"{result['recovery_seconds']:.1f} s",
            f"below {targets.RECOVERY_SECONDS:g} s",
            _verdict(result["recovery_seconds"] < targets.RECOVERY_SECONDS),
        ),
        (
            "p99 of another connection beside it",
            f"{result['calm_p99_beside']:,.0f} ms, {factor:.1f}× of alone",
            f"below {targets.BESIDE_A_FLOOD:g}×",
            _verdict(factor < targets.BESIDE_A_FLOOD),
        ),
    ]
    return _table(("overload", "measured", "against", ""), rows)


def scale_report(result: Mapping[str, Any]) -> list[str]:
    """The table of one and of two gateways and directories on one PostgreSQL."""
    rows = []
    for phase in ("lookup", "update", "provision"):
        one, two = result[phase]["1"], result[phase]["2"]
        busy = f"{one['busy_percent']:.0f} % → {two['busy_percent']:.0f} %"
        ratio = f"{two['rate'] / one['rate']:.2f}×" if one["rate"] else _NONE
        rows.append((phase, f"{one['rate']:,.0f}", f"{two['rate']:,.0f}", ratio, busy))
    return [
        "## Two gateways and two directories on one PostgreSQL",
        "",
        "Two connections, each driven by 8 clients, operations per second of both together, on "
        f"{result['cores']} cores with the clients, PostgreSQL and everything else on them. A second process can add "
        "only what the first leaves "
        "free; on a machine whose cores are all busy already it adds nothing.",
        "",
        *_table(("operation", "one of each", "two of each", "ratio", "cores busy"), rows),
    ]


def console_report(results: Mapping[str, Any]) -> list[str]:
    """The table of the console's pages on each database; `results` may hold other things beside them."""
    measured = {name: results[name] for name in _TITLES if name in results}
    first = next(iter(measured.values()))
    headings = ("page", *(f"{_TITLES[name]}: median, slowest" for name in measured), "size")
    rows = []
    for page in first["pages"]:
        timed = [one["pages"][page] for one in measured.values()]
        times = (f"{one['median']:.1f} ms, {one['slowest']:.1f} ms" for one in timed)
        rows.append((page, *times, f"{timed[0]['kilobytes']:.0f} KB"))
    return [
        "## Pages of the console",
        "",
        f"With {first['users']:,} users on each of a workspace's three connections, in a group of all of them, each "
        "with an account, a request in the log and an effect, and as many devices. The time is that of the console's "
        f"own process from request to answer, calls to the services included; each page {first['runs']} times. The "
        "target is 200 ms.",
        "",
        *_table(headings, rows),
    ]


def _footprint(result: Mapping[str, Any]) -> list[str]:
    memory, idle = result["resident_megabytes"], result["idle_percent"]
    names = [name for name in _PROCESSES if name in memory]
    rows = []
    for name in names:
        # The database server is not one of ours.
        verdict = "" if name == "postgresql" else _verdict(memory[name] <= targets.RESIDENT_MEGABYTES)
        rows.append((name, f"{memory[name]:.0f}", verdict, f"{idle.get(name, 0):.2f}"))
    total = sum(idle.values())
    rows.append(("all", "", "", f"{total:.2f} {_verdict(total <= targets.IDLE_PERCENT)}"))
    heads = (
        "process",
        f"largest resident MB at {result['resident_at_users']:,} users",
        f"≤ {targets.RESIDENT_MEGABYTES:g}",
        f"idle, % of a core (≤ {targets.IDLE_PERCENT:g})",
    )
    ready = result["ready_seconds"]
    return [
        *_table(heads, rows),
        f"Ready {ready:.1f} s after the start (target: ≤ {targets.READY_SECONDS:g} s).",
        "",
    ]


def _panels(name: str, result: Mapping[str, Any]) -> Iterable[Panel]:
    for key, what in (("users", "users"), ("groups", "members of the group")):
        lines: dict[str, list[tuple[float, float]]] = {}
        for size, by_phase in _by_size(result[key]).items():
            for phase, item in by_phase.items():
                if item.rate and phase != "import crawl":
                    lines.setdefault(phase, []).append((size, item.operation_milliseconds))
        yield Panel(f"{_TITLES[name].replace('`', '')}: cost over {what}", what, lines)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in heads[1:])]
    return [*(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows)), ""]


def _rate(measured: Measurement) -> str:
    return _NONE if measured.failure else _number(measured.rate)


def _latency(measured: Measurement, name: str) -> str:
    return _NONE if measured.failure else f"{getattr(measured, name):.2f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _verdict(holds: bool) -> str:
    return "yes" if holds else "**no**"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200].replace("|", "\\|")
