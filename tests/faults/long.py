"""The long run: every fault several times at full size, and the table of what became of it. `make faults`.

    python -m tests.faults.long [--runs N] [--only TEXT] [--kind KIND]… [--seed S] [--size small|full] [--readme]

KIND is model, migrations, sqlite, postgresql, cluster, disk or bulk; default: all of them. `--readme` writes the table
between the markers `<!-- faults -->` and `<!-- /faults -->` of the README; of a part of the faults, their lines in it.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.conftest import PostgresServer
from tests.faults import cluster, faults
from tests.faults.bulk_work import LONGEST_STALL, QUIET, BulkWork, Piece
from tests.faults.checker import Report
from tests.faults.disk import can_mount, disk_full, small_disk
from tests.faults.faults import CRASHPOINTS, WIRES, Fault, inject
from tests.faults.migrations import crash_migrations
from tests.faults.model import relay as model
from tests.faults.system import FaultStack
from tests.faults.workload import FULL, SMALL, Size
from tests.stack import REPOSITORY, SERVICES

START, END = "<!-- faults -->", "<!-- /faults -->"
STORES = ("jetstream", *SERVICES)
KINDS = ("model", "migrations", "sqlite", "postgresql", "cluster", "disk", "bulk")
BULK_USERS = {"small": 1_000, "full": 10_000}


@dataclass(slots=True)
class Line:
    """One line of the table."""

    name: str
    runs: int = 0
    acknowledged: int = 0
    lost: int = 0
    duplicated: int = 0
    reordered: int = 0
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def add(self, report: Report, seconds: float) -> None:
        """Count a run."""
        self.runs += 1
        self.acknowledged += report.acknowledged
        self.lost += report.lost
        self.duplicated += report.duplicated
        self.reordered += report.reordered
        self.seconds.append(seconds)
        if report.violations:
            self.failures.append(str(report))

    def cells(self) -> list[str]:
        """The line as texts."""
        worst = f"{max(self.seconds):.1f}" if self.seconds else "–"
        counts = (self.runs, self.acknowledged, self.lost, self.duplicated, self.reordered)
        return [self.name, *(f"{count:,}" for count in counts), worst]


HEADINGS = ("fault", "runs", "acknowledged writes", "lost", "duplicated", "reordered", "seconds to converge, at most")
BULK_HEADINGS = ("bulk work", "seconds", "requests meanwhile", "median, ms", "99th percentile, ms", "slowest, ms")


def common_faults() -> dict[str, Fault]:
    """The faults that every kind of database is put through."""
    found: dict[str, Fault] = {"none": faults.none}
    for process, points in CRASHPOINTS.items():
        for point in points:
            found[f"{process} killed at {point}"] = faults.crash_at(process, point)
    found["every process killed at every point, side by side"] = faults.crash_everywhere
    for process in (*SERVICES, "gateway", "nats"):
        found[f"{process} killed at any moment"] = faults.kill(process)
    found |= {
        "nats stopped for 60 s": faults.nats_stopped,
        "nats away past the duplicate window, relay killed before its mark": faults.nats_away_past_the_duplicate_window,
        "stream deleted": faults.stream_deleted,
        "every event republished three times": faults.republished,
        "adjacent events swapped": faults.swapped,
        "poison of six kinds": faults.poisoned,
        "portal paused past its ack wait, with a replica": faults.consumer_paused("portal"),
        "mdm paused past its ack wait, with a replica": faults.consumer_paused("mdm"),
    }
    for wire, direction in WIRES:
        found[f"{direction} lost between {wire.replace('-', ' and ')}"] = faults.lost(wire, direction)
    for wire in ("gateway-directory", "directory-nats", "portal-nats", "mdm-nats"):
        found[f"{wire.replace('-', ' and ')} cut apart"] = faults.cut(wire)
    found["10 ms more between directory and nats"] = faults.slow("directory-nats", 0.01)
    return found


POSTGRESQL_FAULTS: dict[str, Fault] = {
    "active relay paused, another takes over": faults.relay_paused,
    "postmaster killed": faults.postgresql_killed,
}
CLUSTER_FAULTS: dict[str, Fault] = {
    "cluster of three: none": faults.none,
    "cluster of three: leader killed": cluster.leader_killed,
    "cluster of three: leader stopped": cluster.leader_stopped,
    "cluster of three: all killed": cluster.all_killed,
    "cluster of three: one cut off": cluster.one_cut_off,
    "cluster of three: directory killed at relay.after_publish": faults.crash_at("directory", "relay.after_publish"),
}


@dataclass(slots=True)
class Options:
    """What the command line says."""

    runs: int
    only: str
    seed: int
    size: Size
    bulk_users: int
    console: Console


@contextlib.contextmanager
def _stack(kind: str, make: Callable[..., FaultStack]) -> Iterator[tuple[FaultStack, PostgresServer | None]]:
    directory = Path(tempfile.mkdtemp(prefix=f"rollcall-faults-{kind}-"))
    with contextlib.ExitStack() as resources:
        resources.callback(shutil.rmtree, directory, ignore_errors=True)
        postgres = None
        urls = {name: f"sqlite:///{directory / f'{name}.db'}" for name in SERVICES}
        if kind == "postgresql":
            postgres = PostgresServer()
            resources.callback(postgres.remove)
            postgres.start()
            urls = {name: resources.enter_context(postgres.database()) for name in SERVICES}
        stack = make(directory, urls, kind=kind)
        resources.callback(stack.stop)
        stack.start()
        yield stack, postgres


@contextlib.contextmanager
def _stack_on_small_disk(store: str) -> Iterator[tuple[FaultStack, Path]]:
    """A system with one store on a disk of its own; SQLite, for PostgreSQL's disk is not ours to fill."""
    directory = Path(tempfile.mkdtemp(prefix="rollcall-faults-disk-"))
    with contextlib.ExitStack() as resources:
        resources.callback(shutil.rmtree, directory, ignore_errors=True)
        disk = resources.enter_context(small_disk(directory / ("jetstream" if store == "jetstream" else "disk")))
        urls = {name: f"sqlite:///{(disk if name == store else directory) / f'{name}.db'}" for name in SERVICES}
        stack = FaultStack(directory, urls, kind="sqlite")
        resources.callback(stack.stop)
        stack.start()
        yield stack, disk


class LongRun:
    """Runs what was chosen, and keeps the table."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.lines: list[Line] = []
        self.pieces: list[tuple[str, Piece]] = []
        self.failed = False
        self._seeds = options.seed

    def run_kind(self, kind: str) -> None:
        """Run the faults of one kind."""
        others = {
            "model": self._explore, "migrations": self._migrate, "disk": self._run_disks, "bulk": self._run_bulk
        }  # fmt: skip
        if kind in others:
            if kind in ("disk", "bulk") or not self.options.only:
                others[kind]()
            return
        chosen = {"sqlite": common_faults(), "postgresql": common_faults() | POSTGRESQL_FAULTS}.get(
            kind, CLUSTER_FAULTS
        )
        wanted = {name: fault for name, fault in chosen.items() if self.options.only in f"{kind}: {name}"}
        if not wanted:
            return
        make = cluster.ClusterStack if kind == "cluster" else FaultStack
        with _stack(kind, make) as (stack, postgres), self._progress(kind, len(wanted)) as advance:
            for name, fault in wanted.items():
                advance(name)
                label = name if kind == "cluster" else f"{kind}: {name}"
                self._run_one(label, fault, stack, postgres)

    def _explore(self) -> None:
        self.options.console.print("model of the relay's protocol, every interleaving:")
        self.failed |= model.main() != 0

    def _migrate(self) -> None:
        crash_migrations()
        self.options.console.print("migrations killed halfway: done again, each schema is whole")

    def _run_bulk(self) -> None:
        users = self.options.bulk_users
        for kind in ("sqlite", "postgresql"):
            if self.options.only not in f"bulk: {kind}":
                continue
            with _stack(kind, FaultStack) as (stack, _), self._progress("bulk", 2) as advance:
                advance(f"{kind}, killed halfway")
                BulkWork(stack, users // 10, kill=True).run()
                advance(f"{kind}, {users:,} users")
                pieces = BulkWork(stack, users, kill=False).run()
            self.pieces += [(f"{kind}: {piece.name}, {users:,} users", piece) for piece in pieces]
            # The machine itself makes a request wait now and then: the slowest is told, the 99th percentile judged.
            allowed = LONGEST_STALL + next(piece.percentile for piece in pieces if piece.name == QUIET)
            for piece in pieces:
                if piece.percentile > allowed:
                    self.failed = True
                    told = f"{kind}: {piece.name}: one request in a hundred took over {piece.percentile:.3f} s"
                    self.options.console.print(f"[red]{told}[/red]")

    def _run_disks(self) -> None:
        wanted = [store for store in STORES if self.options.only in f"disk full: {store}"]
        if not wanted:
            return
        if not can_mount():
            self.options.console.print("disk full: not run, for only root can mount a small disk")
            return
        with self._progress("disk", len(wanted)) as advance:
            for store in wanted:
                advance(f"disk full: {store}")
                with _stack_on_small_disk(store) as (stack, disk):
                    self._run_one(f"disk full: {store}", disk_full(store, disk), stack, None)

    def _run_one(self, name: str, fault: Fault, stack: FaultStack, postgres: PostgresServer | None) -> None:
        line = Line(name)
        self.lines.append(line)
        for _ in range(self.options.runs):
            self._seeds += 1
            behaviour = ("change_policy", "remove_employee_and_devices")[self._seeds % 2]
            stack.ensure_running()
            try:
                outcome = inject(
                    fault,
                    stack,
                    self.options.size,
                    self._seeds,
                    postgres=postgres,
                    patient=True,
                    behaviour=behaviour,
                )
            # A run that ends in an error is told with its seed, and the others go on.
            except Exception as error:
                line.runs += 1
                line.failures.append(f"seed {self._seeds}: {type(error).__name__}: {error}")
                continue
            line.add(outcome.report, outcome.seconds)
        for failure in line.failures:
            self.options.console.print(f"[red]{name}[/red], seeds up to {self._seeds}: {failure}")

    @contextlib.contextmanager
    def _progress(self, kind: str, total: int) -> Iterator[Callable[[str], None]]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.options.console) as progress:
            task = progress.add_task(kind, total=total)
            begun = False

            def advance(name: str) -> None:
                nonlocal begun
                progress.update(task, description=f"{kind}: {name}"[:70], advance=1 if begun else 0)
                begun = True

            yield advance
            progress.update(task, completed=total)

    def table(self) -> Table:
        """The table for a terminal."""
        table = Table()
        for heading in HEADINGS:
            table.add_column(heading, overflow="fold", justify="left" if heading == HEADINGS[0] else "right")
        for line in self.lines:
            table.add_row(*line.cells(), style="red" if line.failures else None)
        return table

    def bulk_table(self) -> Table:
        """The bulk work for a terminal."""
        table = Table()
        for heading in BULK_HEADINGS:
            table.add_column(heading, overflow="fold", justify="left" if heading == BULK_HEADINGS[0] else "right")
        for cells in self.bulk_cells():
            table.add_row(*cells)
        return table

    def bulk_cells(self) -> list[list[str]]:
        """The lines of the bulk work as texts."""
        return [
            [
                name,
                f"{piece.seconds:.1f}",
                f"{piece.requests:,}",
                f"{piece.median * 1e3:.1f}",
                f"{piece.percentile * 1e3:.0f}",
                f"{piece.worst * 1e3:.0f}",
            ]
            for name, piece in self.pieces
        ]


def write_readme(
    lines: Sequence[Sequence[str]],
    bulk: Sequence[Sequence[str]],
    told: str,
    *,
    whole: bool,
    readme: Path = REPOSITORY / "README.md",
) -> bool:
    """Put the tables between the README's markers, under a sentence; False when it has none.

    Unless they are the `whole`, lines of other faults stay.
    """
    text = readme.read_text()
    before, start, rest = text.partition(START)
    between, end, after = rest.partition(END)
    if not start or not end:
        return False
    tables = []
    for headings, rows in ((HEADINGS, lines), (BULK_HEADINGS, bulk)):
        kept = {} if whole else _rows(between, headings)
        kept.update((row[0], list(row)) for row in rows)
        if kept:
            tables.append(_markdown(headings, list(kept.values())))
    content = "\n\n".join([told, *tables])
    readme.write_text(f"{before}{start}\n{content}\n{end}{after}")
    return True


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    every = [headings, ("---", *("--:" for _ in headings[1:])), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in every)


def _rows(text: str, headings: Sequence[str]) -> dict[str, list[str]]:
    """The rows of a table in a text, by their first cell."""
    found: dict[str, list[str]] = {}
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")]
        if not line.startswith("|"):
            inside = False
        elif cells == list(headings):
            inside = True
        elif inside and not cells[0].startswith("---"):
            found[cells[0]] = cells
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run, print the table; exit 1 when any run violated an invariant or ended in an error."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.long", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2, help="runs of each fault")
    parser.add_argument("--only", default="", help="faults whose name contains this text")
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100_000, help="the first seed")
    parser.add_argument("--size", choices=("small", "full"), default="full")
    parser.add_argument("--readme", action="store_true", help="write the table to the README")
    given = parser.parse_args(arguments)
    console = Console()
    console.print(f"seed {given.seed}")
    size = {"small": SMALL, "full": FULL}[given.size]
    run = LongRun(Options(given.runs, given.only, given.seed, size, BULK_USERS[given.size], console))
    try:
        for kind in given.kind or KINDS:
            run.run_kind(kind)
    finally:
        console.print(run.table())
        if run.pieces:
            console.print(run.bulk_table())
    if given.readme:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        told = (
            f"Last written on {today}: {given.runs} runs of each fault at size {given.size}, seeds from {given.seed}."
        )
        whole = not given.only and not given.kind
        if not write_readme([line.cells() for line in run.lines], run.bulk_cells(), told, whole=whole):
            console.print(f"the README has no {START} … {END}")
            return 1
    return 1 if run.failed or any(line.failures for line in run.lines) else 0


if __name__ == "__main__":
    sys.exit(main())
