"""Reconciliation: what a service holds is compared with the directory, resource by resource, and set right.

What holds, and by what:

- **It never goes back.** A resource is compared and repaired in one transaction that sees the version applied here; a
  state older than that is read again, alone, before anything is said of it.
- **A repair is a handler's work.** The service's own steps run in the transaction, with effects marked as repair, and
  the applied version rises with them, so that events still on their way are covered.
- **Nothing is taken away unasked.** A repair whose effects take something from a person or a device is rolled back as a
  whole and reported as HELD, unless it was asked for. A dry run makes every repair and rolls each one back.
- **It may be cut off anywhere.** Repairs are made in transactions of a few resources; a second run finds the rest.

A service tells by a `View` what it holds and how to compare and repair it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import functools
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import nats.errors
import orjson
import sqlalchemy as sa
from google.protobuf.empty_pb2 import Empty
from rollcall.delivery.v1 import delivery_service_pb2 as pb

from chassis.consumer import Consumer, Event, describe, lock_appliers
from chassis.database import Database, Transaction, is_transient
from chassis.delivery_tables import DeliveryTables
from chassis.effect_messages import effect_message
from chassis.identifiers import time_ordered_id
from chassis.request_context import request_context

_log = logging.getLogger(__name__)

Item: TypeAlias = "pb.ReconcileProgress | pb.Difference | pb.ReconcileSummary"

_WEIGHT_AT_ONCE = 50
_REPAIRED_AT_ONCE = 20
_ATTEMPTS = 5
_SETTLING_SECONDS = 5.0
# Seconds before a difference that was found is looked at again: an event may have been on its way.
_SECOND_LOOKS = (0.1, 0.4, 1.0)
_LOOKED_AT_AGAIN = 200
_CONTENTS = frozenset({pb.DIFFERENCE_KIND_WRONG, pb.DIFFERENCE_KIND_WRONG_MEMBERS})


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection to be compared; `portal` is its portal's name."""

    connection_id: str
    workspace_id: str
    portal: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the service holds of a resource: whether it holds it at all, and in which fields it differs."""

    present: bool
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """A resource as the directory has it at one moment; `deleted`: the directory has it no more.

    `compare` reads what the service holds of it. `apply` brings that to this state through the handlers' own steps; it
    is told which fields differ. `destructive` says that the repair takes something away even where no effect tells so.
    `weight` is how much there is to compare, 1 for a plain resource. `alone` says that it was read alone just now: a
    later version here is then no matter of timing.
    """

    kind: str
    id: str
    version: int
    deleted: bool
    compare: Callable[[Transaction], Comparison]
    apply: Callable[[Transaction, Event, Sequence[str]], None]
    destructive: bool = False
    weight: int = 1
    alone: bool = False


class View(Protocol):
    """How one service sees the directory, and itself."""

    async def connections(self, connection_id: str) -> list[Connection]:
        """List the connections of the service's portals, there or here, or the one; raise a DomainError for none."""

    def snapshot(self, connection: Connection) -> AsyncIterator[State]:
        """Stream the users and groups of a connection as far as the service keeps them, not the connection itself."""

    async def current(self, connection: Connection, kind: str, resource_id: str) -> State:
        """Read one resource as it is now; what the directory does not know is deleted."""

    def held(self, tx: Transaction, connection: Connection) -> list[tuple[str, str]]:
        """List kind and id of the users and groups of a connection that the service holds anything of."""

    async def closed_workspaces(self) -> list[State]:
        """List the workspaces that the service holds and the directory does not."""

    def is_destructive(self, action: str, before: Any, after: Any) -> bool:
        """Say whether an effect takes something from a person or a device; `before` and `after` are JSON values."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A difference of one resource, before anything is done about it."""

    state: State
    kind: pb.DifferenceKind
    applied: int
    fields: tuple[str, ...]


class _ReadAgain(Exception):
    """A resource was read before a later version of it was applied."""


@dataclass(slots=True)
class _Run:
    """One comparison: what was asked for, and what was found up to now."""

    id: str
    verify: bool
    dry: bool
    destructive: bool
    total: int
    done: int = 0
    summary: pb.ReconcileSummary = dataclasses.field(default_factory=pb.ReconcileSummary)

    def progress(self) -> pb.ReconcileProgress:
        return pb.ReconcileProgress(
            connections_done=self.done, connections_total=self.total, examined=self.summary.examined
        )

    def count(self, difference: pb.Difference) -> pb.Difference:
        self.summary.differences += 1
        self.summary.repaired += difference.resolution == pb.RESOLUTION_REPAIRED
        self.summary.held += difference.resolution == pb.RESOLUTION_HELD
        self.summary.failed += difference.resolution == pb.RESOLUTION_FAILED
        return difference


class Reconciler:
    """Compares and repairs what one consumer keeps."""

    def __init__(self, db: Database, tables: DeliveryTables, consumer: Consumer, view: View) -> None:
        self._db = db
        self._consumer = consumer
        self._view = view
        resolved = tables.resolved()
        self._effects = resolved.effects
        self._versions = resolved.applied_versions
        kind, resource_id = sa.bindparam("kind", type_=sa.String), sa.bindparam("resource", type_=sa.String)
        self._version = sa.select(self._versions.c.version, self._versions.c.deleted).where(
            self._versions.c.aggregate_kind == kind, self._versions.c.aggregate_id == resource_id
        )
        self._forget_version = sa.delete(self._versions).where(
            self._versions.c.aggregate_kind == kind, self._versions.c.aggregate_id == resource_id
        )
        # Two statements, for two partial indexes cover the events of effects.
        self._effects_of = [
            sa.select(self._effects).where(self._effects.c.event_id == sa.bindparam("event"), targeted)
            for targeted in (self._effects.c.target_id != "", self._effects.c.target_id == "")
        ]

    async def reconcile(self, connection_id: str, *, dry_run: bool, apply_destructive: bool) -> AsyncIterator[Item]:
        """Repair one connection, or with an empty id all of them and the workspaces; the last item is the summary."""
        async for item in self._compare(connection_id, verify=False, dry=dry_run, destructive=apply_destructive):
            yield item

    async def verify(self, connection_id: str) -> AsyncIterator[Item]:
        """Only compare; a difference is reported when it is still there at a second look."""
        async for item in self._compare(connection_id, verify=True, dry=True, destructive=False):
            yield item

    async def _compare(self, connection_id: str, *, verify: bool, dry: bool, destructive: bool) -> AsyncIterator[Item]:
        connections = await self._view.connections(connection_id)
        await self._settle()
        run = _Run(time_ordered_id(), verify, dry, destructive, len(connections))
        yield run.progress()
        for connection in connections:
            async for item in self._one(run, connection):
                yield item
            run.done += 1
            run.summary.connections += 1
            yield run.progress()
        if not connection_id:
            nowhere = Connection("", "", "")
            for workspace in await self._view.closed_workspaces():
                run.summary.examined += 1
                for difference in await self._chunk(run, nowhere, [workspace]):
                    yield difference
        yield run.summary

    async def _settle(self) -> None:
        """Wait a little for events that are on their way; without NATS there are none to wait for."""
        try:
            async with asyncio.timeout(_SETTLING_SECONDS):
                while True:
                    if not await self._consumer.lag():
                        return
                    await asyncio.sleep(0.05)
        except (TimeoutError, ConnectionError, nats.errors.Error):
            return

    async def _one(self, run: _Run, connection: Connection) -> AsyncIterator[Item]:
        itself = await self._view.current(connection, "connection", connection.connection_id)
        if not itself.deleted:
            run.summary.examined += 1
            for difference in await self._chunk(run, connection, [itself]):
                yield difference
        seen: set[tuple[str, str]] = set()
        is_whole = True
        async for chunk in self._chunks(connection, itself.deleted, seen):
            for difference in await self._chunk(run, connection, chunk):
                is_whole = is_whole and difference.resolution not in (pb.RESOLUTION_HELD, pb.RESOLUTION_FAILED)
                yield difference
            run.summary.examined += len(chunk)
            yield run.progress()
        if itself.deleted:
            # Its rules decide what becomes of its users, so it goes after them; never while one of them is held back.
            run.summary.examined += 1
            for difference in await self._chunk(run, connection, [itself], allowed=is_whole):
                yield difference

    async def _chunks(
        self, connection: Connection, is_gone: bool, seen: set[tuple[str, str]]
    ) -> AsyncIterator[list[State]]:
        """Yield what the directory has, then what only the service has, a bounded part at a time."""
        chunk: list[State] = []
        weight = 0
        if not is_gone:
            async for state in self._view.snapshot(connection):
                seen.add((state.kind, state.id))
                chunk.append(state)
                weight += state.weight
                if weight >= _WEIGHT_AT_ONCE:
                    yield chunk
                    chunk, weight = [], 0
        if chunk:
            yield chunk
        held = await self._db.read(lambda tx: self._view.held(tx, connection))
        extra = [key for key in held if key not in seen]
        for start in range(0, len(extra), _REPAIRED_AT_ONCE):
            yield [
                await self._view.current(connection, kind, resource_id)
                for kind, resource_id in extra[start : start + _REPAIRED_AT_ONCE]
            ]

    async def _chunk(
        self, run: _Run, connection: Connection, states: Sequence[State], *, allowed: bool = True
    ) -> list[pb.Difference]:
        """Compare some resources and do about their differences what the run is to do."""
        states = await self._differing(connection, states)
        if run.verify:
            for pause in _SECOND_LOOKS:
                if not states or len(states) > _LOOKED_AT_AGAIN:
                    break
                await asyncio.sleep(pause)
                again = [await self._view.current(connection, state.kind, state.id) for state in states]
                states = await self._differing(connection, again)
        found: list[pb.Difference] = []
        for start in range(0, len(states), _REPAIRED_AT_ONCE):
            some = states[start : start + _REPAIRED_AT_ONCE]
            if run.verify:
                found += await self._db.read(functools.partial(self._report, connection=connection, states=some))
            else:
                found += await self._repair(run, connection, some, allowed)
        return [run.count(difference) for difference in found]

    async def _differing(self, connection: Connection, states: Sequence[State]) -> list[State]:
        """Give the resources that differ, each read again when what was read of it is too old."""
        current = list(states)
        differing: list[State] = []
        for _ in range(_ATTEMPTS):

            def unit(tx: Transaction, some: Sequence[State] = tuple(current)) -> tuple[list[State], list[State]]:
                differing: list[State] = []
                old: list[State] = []
                for state in some:
                    try:
                        found = self._find(tx, state)
                    except _ReadAgain:
                        old.append(state)
                        continue
                    if found is not None:
                        # Contents may differ at one version because an event of another resource came in between, such
                        # as the deletion of a member.
                        (old if found.kind in _CONTENTS and not state.alone else differing).append(state)
                return differing, old

            found, old = await self._db.read(unit)
            differing += found
            if not old:
                break
            current = [await self._view.current(connection, state.kind, state.id) for state in old]
        # What changes faster than it can be read is being kept up to date by its events.
        return differing

    def _report(self, tx: Transaction, connection: Connection, states: Sequence[State]) -> list[pb.Difference]:
        found: list[pb.Difference] = []
        for state in states:
            try:
                difference = self._find(tx, state)
            except _ReadAgain:
                continue
            if difference is not None:
                found.append(_message(connection, difference, pb.RESOLUTION_REPORTED))
        return found

    def _find(self, tx: Transaction, state: State) -> _Found | None:
        """Say in what a resource differs; None: in nothing. Raises `_ReadAgain`."""
        row = tx.execute(self._version, {"kind": state.kind, "resource": state.id}).first()
        applied, gone = (row.version, row.deleted) if row is not None else (0, False)
        if not state.alone and (applied > state.version or (gone and not state.deleted)):
            raise _ReadAgain
        held = state.compare(tx)
        if state.deleted:
            if not held.present and (gone or not applied):
                return None
            kind = pb.DIFFERENCE_KIND_EXTRA
        elif gone or applied > state.version:
            kind = pb.DIFFERENCE_KIND_AHEAD
        elif not held.present:
            kind = pb.DIFFERENCE_KIND_MISSING
        elif applied < state.version:
            kind = pb.DIFFERENCE_KIND_STALE
        elif held.fields:
            kind = pb.DIFFERENCE_KIND_WRONG_MEMBERS if held.fields == ("members",) else pb.DIFFERENCE_KIND_WRONG
        else:
            return None
        return _Found(state, kind, applied, held.fields)

    async def _repair(
        self, run: _Run, connection: Connection, states: Sequence[State], allowed: bool
    ) -> list[pb.Difference]:
        request = request_context.get()
        now = datetime.datetime.now(datetime.UTC)

        def unit(tx: Transaction) -> list[pb.Difference]:
            # Events of the same resources must not be applied by another replica at the same time.
            lock_appliers(tx, self._versions, exclusive=True)
            found = []
            for state in states:
                event = Event(
                    id=f"reconcile:{run.id}:{state.kind}:{state.id}",
                    type=pb.ReconcileRequest.DESCRIPTOR.full_name,
                    time=now,
                    connection_id=connection.connection_id,
                    aggregate_kind=state.kind,
                    aggregate_id=state.id,
                    portal=connection.portal,
                    version=state.version,
                    sequence=0,
                    request_id=request.request_id,
                    traceparent=request.traceparent,
                    message=Empty(),
                    repair=True,
                )
                difference = self._repair_one(tx, run, connection, state, event, allowed)
                if difference is not None:
                    found.append(difference)
            return found

        return await self._db.write(unit, key=connection.connection_id)

    def _repair_one(
        self, tx: Transaction, run: _Run, connection: Connection, state: State, event: Event, allowed: bool
    ) -> pb.Difference | None:
        try:
            found = self._find(tx, state)
        except _ReadAgain:
            # Its events overtook this run, and go on.
            return None
        if found is None:
            return None
        difference = _message(connection, found, pb.RESOLUTION_REPAIRED)
        savepoint = tx.connection.begin_nested()
        try:
            state.apply(tx, event, found.fields)
            self._take_version(tx, event, found)
            made = [row for query in self._effects_of for row in tx.execute(query, {"event": event.id})]
        # A handler may raise anything: what is not the database's trouble is reported with the resource.
        except Exception as error:
            savepoint.rollback()
            if is_transient(error):
                raise
            _log.error("%s %s cannot be repaired", state.kind, state.id, exc_info=error)
            difference.resolution, difference.error = pb.RESOLUTION_FAILED, describe(error)
            return difference
        taking = {row.effect_id for row in made if row.outcome == "APPLIED" and self._takes(row)}
        is_held = not allowed or (
            not run.destructive and (bool(taking) or state.destructive or found.kind == pb.DIFFERENCE_KIND_AHEAD)
        )
        for row in sorted(made, key=lambda row: str(row.effect_id)):
            effect = effect_message(row)
            if is_held and row.effect_id in taking:
                effect.outcome = pb.OUTCOME_HELD
            difference.effects.append(effect)
        if is_held:
            difference.resolution = pb.RESOLUTION_HELD
        elif run.dry:
            difference.resolution = pb.RESOLUTION_REPORTED
        if is_held or run.dry:
            savepoint.rollback()
        else:
            savepoint.commit()
        return difference

    def _takes(self, effect: sa.Row[Any]) -> bool:
        before, after = (orjson.loads(text) if text else None for text in (effect.before, effect.after))
        return self._view.is_destructive(effect.action, before, after)

    def _take_version(self, tx: Transaction, event: Event, found: _Found) -> None:
        state = found.state
        # What is gone is gone at whatever version; a state to which the service goes back takes its version with it.
        version = max(state.version, found.applied) if state.deleted else state.version
        tx.execute(self._forget_version, {"kind": state.kind, "resource": state.id})
        tx.execute(
            self._versions.insert().inline(),
            {
                "aggregate_kind": state.kind,
                "aggregate_id": state.id,
                "connection_id": event.connection_id,
                "version": version,
                "deleted": state.deleted,
                "applied_at": event.time,
            },
        )


def _message(connection: Connection, found: _Found, resolution: pb.Resolution) -> pb.Difference:
    return pb.Difference(
        kind=found.kind,
        resolution=resolution,
        resource_kind=found.state.kind,
        resource_id=found.state.id,
        connection_id=connection.connection_id,
        directory_version=found.state.version,
        applied_version=found.applied,
        fields=found.fields,
    )
