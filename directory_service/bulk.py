"""Many writes at once (RFC 7644 §3.7): the same use cases as one by one, their transactions shared.

Each operation is handed to its use case with a directory whose `write` does not open a transaction but waits. The units
of work of up to `UNIT_OPERATIONS` operations then run one after the other in one transaction, with one journal, so that
a thousand creations cost eight commits. An operation that is refused leaves the others alone: use cases refuse before
they write. Should one fail after a write, or the database refuse a statement, the transaction is made again with a
savepoint around each operation.

Creations that refer to each other in a circle are made together or not at all, within a savepoint.
"""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import grpc
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1 import errors_pb2, group_pb2, user_pb2

from chassis.crashpoints import crashpoint
from chassis.database import Transaction, is_transient
from chassis.errors import DomainError
from directory_service import groups, users
from directory_service.directory import Access, Directory, lock
from directory_service.domain.bulk import has_circle, making_order, references, resolve_references
from directory_service.errors import InvalidValue, UnresolvedReference, shown
from directory_service.repository.events import BulkJournal, Journal

MAX_OPERATIONS = 1000
UNIT_OPERATIONS = 128
"""Operations in one transaction: what others have to wait for."""

REFERENCE_FAILED = "an operation whose bulkId this one refers to failed"
CIRCLE_FAILED = "one of the operations that refer to each other in a circle, as this one does, failed"

_log = logging.getLogger(__name__)

Unit = Callable[[Transaction, Journal], Any]
Made = user_pb2.User | group_pb2.Group | None


async def write_bulk(directory: Directory, access: Access, request: pb.BulkWriteRequest) -> pb.BulkWriteResponse:
    """Make many writes and return what each came to (RFC 7644 §3.7).

    Raises InvalidValue for a request that is wrong as a whole, and what `Directory.write` raises before any transaction
    is committed; a failure after that is the result of every operation that is left.
    """
    if request.fail_on_errors < 0:
        raise InvalidValue("fail_on_errors", "must be 0 or more")
    steps = _read_steps(request.operations)
    allowed = request.fail_on_errors or len(steps) + 1
    results: dict[int, Made | Exception] = {}
    failed: set[int] = set()
    units = list(_units(steps))
    for number, circles in enumerate(units):
        try:
            written = await _write_unit(directory, access, circles, failed, allowed - len(failed))
        # Whatever it is that keeps a later transaction from being made, the ones before it stand and must be told.
        except Exception as error:
            if number == 0:
                raise
            left = [step.index for unit in units[number:] for circle in unit for step in circle]
            results |= dict.fromkeys(left[: allowed - len(failed)], error)
            break
        results |= written
        failed.update(index for index, result in written.items() if isinstance(result, Exception))
        if len(failed) >= allowed:
            break
    return pb.BulkWriteResponse(results=[_result(steps[index], results[index]) for index in sorted(results)])


def _result(step: "_Step", result: Made | Exception) -> pb.BulkResult:
    if not isinstance(result, Exception):
        return pb.BulkResult(index=step.index, id=step.id, etag="" if result is None else result.etag)
    if isinstance(result, DomainError):
        reason = errors_pb2.ErrorReason.Name(errors_pb2.ErrorReason.Value(f"ERROR_REASON_{result.reason}"))
        failure = pb.BulkFailure(code=result.code.value[0], reason=reason, message=result.message)
    elif is_transient(result):
        failure = pb.BulkFailure(code=grpc.StatusCode.UNAVAILABLE.value[0], message="the database is unavailable")
    else:
        _log.error("an operation of a bulk request: internal error", exc_info=result)
        failure = pb.BulkFailure(code=grpc.StatusCode.INTERNAL.value[0], message="internal error")
    return pb.BulkResult(index=step.index, id="" if step.creates else step.id, failure=failure)


@dataclass(slots=True)
class _Step:
    """One operation: its write, with every reference resolved that can be."""

    index: int
    kind: str
    write: Any
    bulk_id: str
    id: str
    """Of the resource; of one that is created, the one that it will have."""
    needs: list[int] = field(default_factory=list)
    """The creations that it refers to."""
    refusal: DomainError | None = None
    """Why it cannot be tried."""

    @property
    def creates(self) -> bool:
        return self.kind in ("create_user", "create_group")


def _read_steps(operations: Sequence[pb.BulkOperation]) -> list[_Step]:
    """Read the operations and resolve what they refer to. Raises InvalidValue."""
    if len(operations) > MAX_OPERATIONS:
        raise InvalidValue("operations", f"must be at most {MAX_OPERATIONS}")
    steps: list[_Step] = []
    makers: dict[str, int] = {}
    created = {"create_user", "create_group"}
    for index, operation in enumerate(operations):
        kind = operation.WhichOneof("write")
        if kind is None:
            raise InvalidValue(f"operations[{index}].write", "is required")
        promised = str(uuid.uuid4()) if kind in created else ""
        steps.append(_Step(index, kind, getattr(operation, kind), operation.bulk_id, promised))
        if operation.bulk_id and kind in {*created, "refused"}:
            if operation.bulk_id in makers:
                raise InvalidValue(f"operations[{index}].bulk_id", f"{shown(operation.bulk_id)} is given twice")
            makers[operation.bulk_id] = index
    ids = {bulk_id: steps[index].id for bulk_id, index in makers.items() if steps[index].creates}
    members: dict[int, list[int]] = {}
    for step in steps:
        names = references(step.write)
        if unknown := sorted(names - makers.keys()):
            step.refusal = InvalidValue(
                "bulkId", f"no operation creates a resource with the bulkId {shown(unknown[0])}"
            )
        step.needs = sorted(makers[name] for name in names if name in makers)
        if step.kind == "create_group" and names:
            members[step.index] = sorted(makers[name] for name in references(step.write.members) if name in makers)
        if names:
            resolve_references(step.write, ids)
        if not step.creates:
            step.id = _resource_id(step)
    _refuse_nested(steps, members)
    return steps


def _refuse_nested(steps: list[_Step], members: dict[int, list[int]]) -> None:
    """Refuse groups that would contain each other; creations that refer to each other otherwise can be made."""
    for circle in making_order([step.needs for step in steps]):
        within = {index: members[index] for index in circle if index in members}
        if has_circle(within):
            for index in circle:
                detail = "these groups would contain each other: a group cannot contain itself"
                steps[index].refusal = UnresolvedReference(detail)


def _resource_id(step: _Step) -> str:
    write = step.write
    if step.kind == "update_user":
        return str(write.user.id)
    if step.kind == "update_group":
        return str(write.group.id)
    return "" if step.kind == "refused" else str(write.id)


def _units(steps: list[_Step]) -> Iterable[list[list[_Step]]]:
    """Yield what is to be written in one transaction: circles of steps, mostly of one."""
    unit: list[list[_Step]] = []
    size = 0
    for circle in making_order([step.needs for step in steps]):
        if size and size + len(circle) > UNIT_OPERATIONS:
            yield unit
            unit, size = [], 0
        unit.append([steps[index] for index in circle])
        size += len(circle)
    if unit:
        yield unit


# The use cases, up to their transactions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gathered(Directory):
    """A directory for one operation: its write waits for the transaction that it is to share."""

    prepared: "asyncio.Future[Unit | None]"
    """The unit of work; None when the use case ended without one."""
    outcome: "asyncio.Future[Any]"
    """What the unit came to, once its transaction is committed."""

    async def write(self, access: Access, unit: Unit) -> Any:
        """Give the unit away and wait for what it comes to."""
        self.prepared.set_result(unit)
        return await self.outcome


async def _perform(directory: _Gathered, access: Access, step: _Step) -> Made:
    try:
        if step.refusal is not None:
            raise step.refusal
        return await _USE_CASES[step.kind](directory, access, step)
    finally:
        if not directory.prepared.done():
            directory.prepared.set_result(None)


async def _create_user(directory: Directory, access: Access, step: _Step) -> Made:
    return await users.create_user(directory, access, step.write.user, promised_id=step.id)


async def _update_user(directory: Directory, access: Access, step: _Step) -> Made:
    write = step.write
    return await users.update_user(directory, access, write.user, mask=write.update_mask.paths, etag=write.etag)


async def _patch_user(directory: Directory, access: Access, step: _Step) -> Made:
    return await users.patch_user(directory, access, step.id, step.write.operations, etag=step.write.etag)


async def _delete_user(directory: Directory, access: Access, step: _Step) -> None:
    await users.delete_user(directory, access, step.id, etag=step.write.etag)


async def _create_group(directory: Directory, access: Access, step: _Step) -> Made:
    write = step.write
    return await groups.create_group(
        directory, access, write.group, write.members.members, include_members=False, promised_id=step.id
    )


async def _update_group(directory: Directory, access: Access, step: _Step) -> Made:
    write = step.write
    return await groups.update_group(
        directory,
        access,
        write.group,
        write.members.members if write.HasField("members") else None,
        mask=write.update_mask.paths,
        etag=write.etag,
        include_members=False,
    )


async def _patch_group(directory: Directory, access: Access, step: _Step) -> Made:
    write = step.write
    return await groups.patch_group(
        directory, access, step.id, write.operations, etag=write.etag, include_members=False
    )


async def _delete_group(directory: Directory, access: Access, step: _Step) -> None:
    await groups.delete_group(directory, access, step.id, etag=step.write.etag)


async def _refused(directory: Directory, access: Access, step: _Step) -> None:
    raise InvalidValue("operation", "was refused")


_USE_CASES: dict[str, Callable[[Directory, Access, _Step], Awaitable[Made]]] = {
    "create_user": _create_user,
    "update_user": _update_user,
    "patch_user": _patch_user,
    "delete_user": _delete_user,
    "create_group": _create_group,
    "update_group": _update_group,
    "patch_group": _patch_group,
    "delete_group": _delete_group,
    "refused": _refused,
}


async def _write_unit(
    directory: Directory, access: Access, circles: list[list[_Step]], failed: set[int], allowed: int
) -> dict[int, Made | Exception]:
    """Write the steps in one transaction, until as many as allowed have failed; return what each came to.

    `failed` are earlier steps that did. Raises what `Directory.write` raises: then nothing was written.
    """
    loop = asyncio.get_running_loop()
    steps = [step for circle in circles for step in circle]
    parts = {part.name: getattr(directory, part.name) for part in fields(Directory)}
    gathered: dict[int, _Gathered] = {}
    tasks: dict[int, asyncio.Task[Made]] = {}
    for step in steps:
        gathered[step.index] = waiting = _Gathered(**parts, prepared=loop.create_future(), outcome=loop.create_future())
        tasks[step.index] = loop.create_task(_perform(waiting, access, step))
    try:
        units = {index: await waiting.prepared for index, waiting in gathered.items()}
        outcomes = await _run(directory, _Shared(access, circles, units, failed, allowed))
        for index, outcome in outcomes.items():
            if outcome.error is not None:
                gathered[index].outcome.set_exception(outcome.error)
            elif units[index] is not None:
                gathered[index].outcome.set_result(outcome.value)
        ended = await asyncio.gather(*(tasks[index] for index in outcomes), return_exceptions=True)
    finally:
        for task in tasks.values():
            task.cancel()  # those that were not reached; the others have ended
        await asyncio.gather(*tasks.values(), return_exceptions=True)
    results: dict[int, Made | Exception] = {}
    for index, result in zip(outcomes, ended, strict=True):
        if isinstance(result, BaseException) and not isinstance(result, Exception):
            raise result
        results[index] = result
    return results


async def _run(directory: Directory, unit: "_Shared") -> "dict[int, _Outcome]":
    try:
        outcomes = await directory.db.write(unit, key=unit.access.connection_id)
    # Access denied and a database that is away are no fault of one operation; for anything else there is one to find.
    except Exception as error:
        if isinstance(error, DomainError) or is_transient(error):
            raise
        outcomes = await directory.db.write(replace(unit, careful=True), key=unit.access.connection_id)
    crashpoint("directory.after_commit")
    return outcomes


# The transaction


class _Unclean(Exception):
    """An operation was refused after it had written something."""


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What the unit of work of one operation came to."""

    value: Any = None
    error: Exception | None = None
    failed: bool = False
    """Also without an error: a creation tells by None that the name is taken, and its use case makes an error of it."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """The unit of work that runs those of many operations."""

    access: Access
    circles: list[list[_Step]]
    units: dict[int, Unit | None]
    failed: set[int]
    """Operations that failed in transactions before this one."""
    allowed: int
    """After how many more failures to stop."""
    careful: bool = False
    """Whether each operation has a savepoint of its own."""

    def __call__(self, tx: Transaction) -> dict[int, _Outcome]:
        """Run the units in order, and return what came of each that was reached."""
        journal = BulkJournal(lock(tx, self.access).connection)
        outcomes: dict[int, _Outcome] = {}
        failed = set(self.failed)
        for circle in self.circles:
            if len(failed) - len(self.failed) >= self.allowed:
                break
            reached = self._together(tx, journal, circle, failed)
            outcomes |= reached
            failed.update(index for index, outcome in reached.items() if outcome.failed)
        journal.flush(tx)
        return outcomes

    def _together(
        self, tx: Transaction, journal: BulkJournal, circle: list[_Step], failed: set[int]
    ) -> dict[int, _Outcome]:
        if len(circle) == 1:
            step = circle[0]
            return {step.index: self._one(tx, journal, step, failed, savepoint=self.careful)}
        mark = journal.mark()
        savepoint = tx.connection.begin_nested()
        outcomes = {step.index: self._one(tx, journal, step, failed, savepoint=True) for step in circle}
        if not any(outcome.failed for outcome in outcomes.values()):
            savepoint.commit()
            return outcomes
        savepoint.rollback()
        journal.rewind(mark)
        undone = _Outcome(error=UnresolvedReference(CIRCLE_FAILED), failed=True)
        return {index: outcome if outcome.failed else undone for index, outcome in outcomes.items()}

    def _one(
        self, tx: Transaction, journal: BulkJournal, step: _Step, failed: set[int], *, savepoint: bool
    ) -> _Outcome:
        """Run one unit, which leaves nothing behind when it fails."""
        unit = self.units[step.index]
        if unit is None:
            return _Outcome(failed=True)  # its use case ended by an error before the transaction
        if not failed.isdisjoint(step.needs):
            return _Outcome(error=UnresolvedReference(REFERENCE_FAILED), failed=True)
        mark = journal.mark()
        nested = tx.connection.begin_nested() if savepoint else None
        wrote, tx.wrote = tx.wrote, False
        try:
            value = unit(tx, journal)
            if nested is not None:
                nested.commit()
        # With a savepoint, whatever a unit raises is the fault of this one operation.
        except Exception as error:
            if nested is None:
                if not isinstance(error, DomainError):
                    raise
                if tx.wrote:
                    raise _Unclean from error
            elif is_transient(error):
                raise
            else:
                nested.rollback()
            journal.rewind(mark)
            return _Outcome(error=error, failed=True)
        finally:
            tx.wrote = tx.wrote or wrote
        return _Outcome(value, failed=value is None and step.creates)
