"""Every fault of DELIVERY as one function: it lets a workload run, breaks something meanwhile, and mends it.

`inject` runs one of them and checks. Both sizes, the tests and the long run, use the same functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import psycopg
import sqlalchemy as sa
from nats.aio.client import Client
from rollcall.directory.v1 import events_pb2, user_pb2

from chassis.database import Database
from chassis.outbox import headers_of, partition_of
from chassis.relay import republish as republish_outbox
from chassis.streams import StreamSettings
from directory_service.tables import OUTBOX
from tests.conftest import PostgresServer
from tests.faults.checker import Checker, Injected, Report
from tests.faults.proxy import Direction
from tests.faults.system import CRASHED, FaultStack
from tests.faults.workload import Size, Workload
from tests.stack import POLL_INTERVAL, eventually

STREAM = StreamSettings(name="DIRECTORY", prefix="directory.v1")

CRASHPOINTS: dict[str, tuple[str, ...]] = {
    "directory": (
        "directory.after_row_lock",
        "directory.after_row_write",
        "directory.after_outbox_insert",
        "database.before_commit",
        "database.after_commit",
        "directory.after_commit",
        "relay.after_claim",
        "relay.after_publish",
        "relay.after_ack",
        "relay.before_mark_commit",
    ),
    "portal": ("consumer.after_fetch", "consumer.before_commit", "consumer.after_commit", "consumer.after_ack"),
    "mdm": (
        # First, for there are only so many devices to send commands to.
        "relay.after_publish",
        "relay.after_ack",
        "consumer.after_fetch",
        "consumer.before_commit",
        "consumer.after_commit",
        "consumer.after_ack",
    ),
    "gateway": ("gateway.after_reply",),
}
"""Where each process can be told to kill itself while it works."""

CONVERGENCE_SECONDS = 90.0


@dataclass(slots=True)
class Context:
    """What a fault works with."""

    stack: FaultStack
    workload: Workload
    injected: Injected
    dice: random.Random
    postgres: PostgresServer | None = None
    patient: bool = False
    """Whether to wait as long as production would, rather than as long as shows the same."""

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Let the clients work as long as the body runs, and at least as much as the workload's size says."""
        done = threading.Event()
        self.workload.start(until=done.is_set)
        try:
            yield
        finally:
            done.set()
            self.workload.finish()

    def after(self, requests: int) -> None:
        """Wait until the clients had so many more answers, or gave up waiting for them."""
        wanted = len(self.workload.history) + requests
        eventually(
            lambda: len(self.workload.history) >= wanted or bool(self.workload.errors),
            timeout=60,
            what=f"{requests} more requests",
        )


Fault = Callable[[Context], None]


@dataclass(slots=True)
class Outcome:
    """What became of one run: the checker's report, and how long everything took to arrive after the fault."""

    report: Report
    seconds: float


def inject(
    fault: Fault,
    stack: FaultStack,
    size: Size,
    seed: int,
    *,
    postgres: PostgresServer | None = None,
    patient: bool = False,
    behaviour: str = "change_policy",
) -> Outcome:
    """Prepare a workload, let it run under a fault, wait until all has arrived, and check."""
    print(f"seed {seed}")
    workload = Workload(stack, size, seed, behaviour=behaviour)
    workload.prepare()
    context = Context(stack, workload, Injected(), random.Random(seed), postgres, patient)
    fault(context)
    seconds = stack.seconds_to_settle(timeout=CONVERGENCE_SECONDS)
    return Outcome(Checker(stack, workload, context.injected).check(), seconds)


def none(context: Context) -> None:
    """Nothing breaks."""
    context.workload.run()


def in_turn(*faults: Fault) -> Fault:
    """One fault after the other under the same clients, whose whole history is checked at the end."""

    def fault(context: Context) -> None:
        for one in faults:
            one(context)

    return fault


# Crashes --------------------------------------------------------------------------------------------------------------


def crash_everywhere(context: Context) -> None:
    """Every process dies at each of its crash points in turn, while the clients go on."""
    crash(context, CRASHPOINTS)


def crash_at(process: str, point: str) -> Fault:
    """One process dies at one crash point."""
    return functools.partial(crash, points={process: (point,)})


def crash(context: Context, points: dict[str, tuple[str, ...]]) -> None:
    """Processes die side by side, each at its own points in turn."""
    # All from one thread: a process of the stack is killed with the thread that started it.
    deaths = [_Deaths(context, process, names) for process, names in points.items()]
    with context.working():
        try:
            going = deaths
            while going:
                going = [death for death in going if not death.advance()]
                time.sleep(POLL_INTERVAL)
        finally:
            for death in deaths:
                death.end()


class _Deaths:
    """A process on its way through its crash points."""

    def __init__(self, context: Context, process: str, points: Sequence[str]) -> None:
        self.process = process
        self._context = context
        self._points = list(points)
        self._point = ""
        self._deadline = 0.0
        self._worker: psutil.Process | None = None

    def advance(self) -> bool:
        """Go on to the next point when the process has died at this one; say whether all are done."""
        stack = self._context.stack
        if self._point:
            if not self._is_dead():
                assert time.monotonic() < self._deadline, f"{self.process} never passed {self._point}"
                return False
            if not self._points:
                self.end()
        if not self._points:
            return True
        self._point = self._points.pop(0)
        stack.arm(self.process, f"{self._point}:{_passes(self.process, self._point, self._context.dice)}")
        stack.kill(self.process)
        stack._spawn(self.process)
        self._worker = None
        self._deadline = time.monotonic() + 60
        return False

    def end(self) -> None:
        """Start the process as it should be, if it is not so yet."""
        if self._point:
            stack, self._point = self._context.stack, ""
            stack.arm(self.process)
            stack.kill(self.process)
            stack.start_process(self.process)

    def _is_dead(self) -> bool:
        stack = self._context.stack
        if self.process != "gateway":
            code = stack.processes[self.process].poll()
            assert code in (None, CRASHED), f"{self.process} ended with {code} instead of dying at {self._point}"
            return code is not None
        # The worker dies; its master makes another.
        if self._worker is None:
            self._worker = next(iter(psutil.Process(stack.processes["gateway"].pid).children()), None)
            return False
        try:
            return not self._worker.is_running() or self._worker.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True


def _passes(process: str, point: str, dice: random.Random) -> int:
    """At which pass to die: not the same in every run, and after some work, so that there is some for the others."""
    component = point.partition(".")[0]
    if (process, component) == ("mdm", "relay"):
        return 1  # device commands are few
    return dice.randint(*{"relay": (2, 6), "consumer": (1, 3)}.get(component, (6, 20)))


def kill(process: str) -> Fault:
    """A process is killed at any moment and started again."""

    def fault(context: Context) -> None:
        with context.working():
            context.after(context.workload.size.operations // 3)
            context.stack.kill(process)
            context.after(3)
            context.stack.start_process(process)
            context.after(3)

    return fault


# NATS -----------------------------------------------------------------------------------------------------------------


def nats_stopped(context: Context) -> None:
    """NATS ends in order, is away while everything else works, and comes back."""
    with context.working():
        context.after(context.workload.size.operations // 3)
        context.stack.terminate("nats")
        context.after(context.workload.size.operations // 3)
        if context.patient:
            _pass(60.0)
        context.stack.start_process("nats")
        context.after(3)


def nats_away_past_the_duplicate_window(context: Context) -> None:
    """The relay dies between ack and mark, and NATS is away until it no longer knows the message's id."""
    stack = context.stack

    async def shorten(client: Client) -> None:
        js = client.jetstream()
        config = (await js.stream_info(STREAM.name)).config
        config.duplicate_window = 0.2
        await js.update_stream(config)

    stack.jetstream(shorten)
    with context.working():
        context.after(10)
        stack.arm("directory", "relay.after_ack:2")
        stack.kill("directory")
        stack._spawn("directory")
        stack.await_death("directory", timeout=30, what="relay.after_ack")
        stack.arm("directory")
        stack.terminate("nats")
        stack.start_process("nats")
        _pass(0.3)  # longer than the window
        stack.start_process("directory")
        context.after(10)


def stream_deleted(context: Context) -> None:
    """The stream is deleted with what nobody had consumed yet; it is rebuilt from the outbox."""

    async def delete(client: Client) -> None:
        await client.jetstream().delete_stream(STREAM.name)

    with context.working():
        context.after(context.workload.size.operations // 3)
        context.stack.pause("portal")
        try:
            context.after(context.workload.size.operations // 4)
            context.stack.jetstream(delete)
        finally:
            context.stack.resume("portal")
        context.after(10)
    context.stack.await_published(timeout=CONVERGENCE_SECONDS)
    republish(context, 1)


# Deliveries -----------------------------------------------------------------------------------------------------------


def republished(context: Context) -> None:
    """Every event comes three times more; nothing changes for it."""
    context.workload.run()
    context.stack.settled(timeout=CONVERGENCE_SECONDS)
    before = _effects(context)
    republish(context, 3)
    context.stack.settled(timeout=CONVERGENCE_SECONDS)
    assert _effects(context) == before, "a repeated event had an effect"


def _effects(context: Context) -> list[str]:
    found = context.stack.effects(context.workload.workspace_id)
    return [effect.SerializeToString(deterministic=True).hex() for effect in found]


def republish(context: Context, times: int) -> None:
    """Publish what was sent before once more, as `rollcall events replay` does."""

    async def work() -> None:
        db = Database(context.stack.databases["directory"], name="replay", readers=1)
        await db.start()
        try:
            for _ in range(times):
                for roll in context.workload.rolls.values():
                    await republish_outbox(
                        db,
                        OUTBOX,
                        servers=context.stack.nats_url.split(","),
                        stream=STREAM,
                        connection_id=roll.app.connection_id,
                    )
        finally:
            await db.stop()

    asyncio.run(work())


def swapped(context: Context) -> None:
    """Adjacent events of every connection arrive in the wrong order; the relay finds them there already."""
    stack = context.stack
    stack.set_environment("directory", {"DIRECTORY_RELAY": "none"})
    stack.restart("directory")
    try:
        context.workload.run()
        publish_swapped(context)
    finally:
        stack.set_environment("directory", {"DIRECTORY_RELAY": ""})
        stack.restart("directory")


def publish_swapped(context: Context) -> None:
    """Publish what waits in the outbox, each two neighbours of a resource or of a connection exchanged."""
    rows = _unsent(context)
    for number in range(0, len(rows) - 1, 2):
        rows[number], rows[number + 1] = rows[number + 1], rows[number]
    by_resource: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        by_resource.setdefault(row["aggregate_id"], []).append(number)
    for places in by_resource.values():
        if len(places) > 2:
            one, other = places[-2:]
            rows[one], rows[other] = rows[other], rows[one]

    async def publish(client: Client) -> None:
        js = client.jetstream()
        for row in rows:
            await js.publish(row["subject"], row["payload"], headers=headers_of(row))

    context.stack.jetstream(publish)


def _unsent(context: Context) -> list[Any]:
    async def work() -> list[Any]:
        db = Database(context.stack.databases["directory"], name="swap", readers=1)
        await db.start()
        try:
            statement = sa.select(OUTBOX).where(OUTBOX.c.sent_at.is_(None)).order_by(OUTBOX.c.id)
            return await db.read(lambda tx: list(tx.execute(statement).mappings().all()))
        finally:
            await db.stop()

    return asyncio.run(work())


def poisoned(context: Context) -> None:
    """Events of three kinds that cannot be applied: everybody else's go on, and theirs wait in order."""
    workload = context.workload
    sentinels = {portal: workload.create_untouched(portal) for portal in workload.rolls}
    context.stack.settled(timeout=CONVERGENCE_SECONDS)
    with context.working():
        context.after(10)
        context.stack.jetstream(functools.partial(_publish_poison, context, sentinels))
    # What comes later of a poisoned resource waits behind the poison.
    for portal, user_id in sentinels.items():
        workload.touch(portal, user_id)


async def _publish_poison(context: Context, sentinels: dict[str, str], client: Client) -> None:
    js = client.jetstream()
    for portal, sentinel in sentinels.items():
        roll = context.workload.rolls[portal]
        connection_id = roll.app.connection_id
        origin = events_pb2.Origin(
            connection_id=connection_id, workspace_id=context.workload.workspace_id, portal=portal.upper()
        )
        owner = "mdm" if portal == "mdm" else "portal"
        ahead = events_pb2.UserUpdated(
            origin=origin, user=user_pb2.User(id=sentinel, user_name=roll.users.get(sentinel, "x"), version=1000)
        )
        kinds: list[tuple[str, bytes, str, int]] = [
            # a payload that is no message, a kind of event that nobody knows, a version that never was
            ("rollcall.directory.v1.UserUpdated", b"\xff\xff\xff", str(uuid.uuid4()), 1),
            ("rollcall.directory.v1.UserPromoted", b"", str(uuid.uuid4()), 1),
            ("rollcall.directory.v1.UserUpdated", ahead.SerializeToString(), sentinel, 1000),
        ]
        for kind, payload, aggregate_id, version in kinds:
            event_id = str(uuid.uuid4())
            # A resource token of its own keeps these subjects out of the relay's fences.
            tokens = (partition_of(connection_id), portal, "injected", "updated", connection_id, aggregate_id)
            headers = {
                "ce-id": event_id,
                "ce-type": kind,
                "ce-time": "2026-01-01T00:00:00Z",
                "ce-subject": f"user/{aggregate_id}",
                "rollcall-version": str(version),
                "rollcall-sequence": "1",
            }
            await js.publish(".".join(["directory.v1", *map(str, tokens)]), payload, headers=headers)
            context.injected.add(event_id, aggregate_id, (owner,))
        await _publish_unstorable(context, js, portal, connection_id, owner)


async def _publish_unstorable(context: Context, js: Any, portal: str, connection_id: str, owner: str) -> None:
    """Publish events whose headers no column can hold: they too must be parked, and stop nobody."""
    unstorable: list[dict[str, str]] = [
        {"rollcall-version": "99999999999999999999"},
        {"ce-subject": f"user/{connection_id}{'x' * 200}"},
        {"ce-time": "0001-01-01T00:00:00+14:00", "ce-type": "rollcall.directory.v1.UserPromoted"},
    ]
    for wrong in unstorable:
        event_id, aggregate_id = str(uuid.uuid4()), str(uuid.uuid4())
        headers = {
            "ce-id": event_id,
            "ce-type": "rollcall.directory.v1.UserUpdated",
            "ce-time": "2026-01-01T00:00:00Z",
            "ce-subject": f"user/{aggregate_id}",
            "rollcall-version": "1",
            "rollcall-sequence": "1",
        } | wrong
        subject = f"directory.v1.{partition_of(connection_id)}.{portal}.injected.updated.{connection_id}.{aggregate_id}"
        await js.publish(subject, b"", headers=headers)
        # What claims to be of so long a resource is kept under the part of it that fits.
        claimed = headers["ce-subject"].partition("/")[2][:64]
        context.injected.add(event_id, claimed, () if claimed in context.injected.aggregates else (owner,))


def consumer_paused(process: str) -> Fault:
    """A consumer is frozen until its deliveries go to a replica, then goes on with what it holds."""

    def fault(context: Context) -> None:
        stack, replica = context.stack, f"second-{process}"
        stack.start_replica(replica, process)
        try:
            with context.working():
                for frozen in (process, replica):
                    context.after(20)
                    stack.pause(frozen)
                    try:
                        _pass(8.0 if context.patient else 2.0)  # the ack wait and the lease are one second
                    finally:
                        stack.resume(frozen)
            stack.settled(timeout=CONVERGENCE_SECONDS)
        finally:
            stack.terminate(replica)
            del stack.replicas[replica]

    return fault


def relay_paused(context: Context) -> None:
    """The active relay is frozen, another takes over, and the first goes on where it was. PostgreSQL only."""
    stack = context.stack
    stack.set_environment("directory", {"DIRECTORY_RELAY": "none"})
    stack.restart("directory")
    relays = ("relay-one", "relay-two")
    for name in relays:
        stack.start_replica(name, "directory", "relay")
    try:
        with context.working():
            for _ in range(3):
                leader = eventually(lambda: _leading(stack, relays), timeout=20, what="a relay that leads") or ""
                context.after(15)
                stack.pause(leader)
                try:
                    if not context.patient:
                        _end_leader_session(stack)
                    eventually(
                        lambda leader=leader: _leading(stack, relays) not in (None, leader),
                        timeout=40,
                        what="another relay that leads",
                    )
                    context.after(20)
                finally:
                    stack.resume(leader)
        stack.await_published(timeout=CONVERGENCE_SECONDS)
    finally:
        for name in relays:
            stack.terminate(name)
            del stack.replicas[name]
        stack.set_environment("directory", {"DIRECTORY_RELAY": ""})
        stack.restart("directory")


_LEADER = (
    "SELECT activity.pid, activity.client_port FROM pg_stat_activity AS activity JOIN pg_locks AS locks USING (pid) "
    "WHERE locks.locktype = 'advisory' AND locks.granted AND activity.datname = current_database() "
    "AND activity.application_name = 'rollcall-leader'"
)


def _leader(stack: FaultStack) -> tuple[int, int] | None:
    with psycopg.connect(stack.databases["directory"].replace("+psycopg", ""), autocommit=True) as database:
        row = database.execute(_LEADER).fetchone()
    return (int(row[0]), int(row[1])) if row else None


def _leading(stack: FaultStack, names: Iterable[str]) -> str | None:
    """Which relay process holds the lock, told by the port that its session comes from."""
    found = _leader(stack)
    if found is None:
        return None
    for name in names:
        ports = {entry.laddr.port for entry in psutil.Process(stack.processes[name].pid).net_connections("tcp")}
        if found[1] in ports:
            return name
    return None


def _end_leader_session(stack: FaultStack) -> None:
    """Do at once what the server does to a silent leader after its idle timeout."""
    found = _leader(stack)
    if found is not None:
        with psycopg.connect(stack.databases["directory"].replace("+psycopg", ""), autocommit=True) as database:
            database.execute("SELECT pg_terminate_backend(%s)", (found[0],))


# Wires ----------------------------------------------------------------------------------------------------------------


def lost(wire: str, direction: Direction) -> Fault:
    """What travels one way on a wire vanishes for a while."""
    return functools.partial(_lose, wires=((wire, direction),))


WIRES: tuple[tuple[str, Direction], ...] = (
    ("gateway-directory", "replies"),
    ("gateway-directory", "requests"),
    ("directory-nats", "replies"),
    ("directory-nats", "requests"),
    ("portal-nats", "requests"),
    ("mdm-nats", "replies"),
)


def lost_everywhere(context: Context) -> None:
    """Requests and replies vanish on each wire in turn."""
    _lose(context, WIRES)


def _lose(context: Context, wires: Iterable[tuple[str, Direction]]) -> None:
    with context.working():
        for wire, direction in wires:
            context.after(8)
            proxy = context.stack.proxies[wire]
            before = proxy.lost
            proxy.swallow(direction)
            try:
                eventually(lambda proxy=proxy, before=before: proxy.lost > before, timeout=20, what=f"losses on {wire}")
                _pass(0.3)
            finally:
                proxy.heal()


def cut(wire: str) -> Fault:
    """A wire is cut for a while."""

    def fault(context: Context) -> None:
        with context.working():
            context.after(10)
            context.stack.proxies[wire].cut()
            try:
                _pass(10.0 if context.patient else 0.5)
            finally:
                context.stack.proxies[wire].heal()
            context.after(10)

    return fault


def slow(wire: str, seconds: float) -> Fault:
    """A wire is slow all the time."""

    def fault(context: Context) -> None:
        context.stack.proxies[wire].delay(seconds)
        try:
            context.workload.run()
        finally:
            context.stack.proxies[wire].heal()

    return fault


# Databases ------------------------------------------------------------------------------------------------------------


def postgresql_killed(context: Context) -> None:
    """The postmaster of all three databases is killed and started again."""
    assert context.postgres is not None
    with context.working():
        context.after(context.workload.size.operations // 3)
        context.postgres.kill()
        try:
            context.after(4)
        finally:
            context.postgres.start()
            for outbox in context.stack._outboxes.values():
                outbox.close()
        context.after(10)


def _pass(seconds: float) -> None:
    """Let a time pass that is itself what is tested: a window, a lease, an outage."""
    time.sleep(seconds)
