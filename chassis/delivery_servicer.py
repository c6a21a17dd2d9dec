"""`rollcall.delivery.v1.DeliveryService` for a consuming service: effects, dead letters, repair."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc
import sqlalchemy as sa
from rollcall.delivery.v1 import delivery_service_pb2 as pb
from rollcall.delivery.v1 import delivery_service_pb2_grpc as pb_grpc

from chassis.consumer import DOMAIN, PARKED, Consumer, DeadLetterNotFound
from chassis.database import Database, Transaction
from chassis.delivery_tables import DeliveryTables
from chassis.effect_messages import effect_message
from chassis.errors import DomainError
from chassis.paging import InvalidPageToken, decode_page_token, encode_page_token, page_limit
from chassis.reconcile import Item, Reconciler

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["DeliveryService"].full_name

_FOLLOW_DELAY = datetime.timedelta(seconds=1)
_BEYOND = "g"
"""What every effect's id is before: ids are of hexadecimal digits."""

_Context = grpc.aio.ServicerContext[Any, Any]


class EffectNotFound(DomainError):
    """No such effect in the workspace."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "EFFECT_NOT_FOUND"
    domain = DOMAIN


class InvalidValue(DomainError):
    """A value is missing or not allowed."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_VALUE"
    domain = DOMAIN


class DeliveryServicer(pb_grpc.DeliveryServiceServicer):
    """Serves the effects and dead letters of one consumer, and its comparison with the directory."""

    def __init__(self, db: Database, tables: DeliveryTables, consumer: Consumer, reconciler: Reconciler) -> None:
        self._db = db
        resolved = tables.resolved()
        self._effects = resolved.effects
        self._dead = resolved.dead_letters
        self._consumer = consumer
        self._reconciler = reconciler

    async def ListEffects(self, request: pb.ListEffectsRequest, context: _Context) -> pb.ListEffectsResponse:
        """List a workspace's effects, newest first, or oldest first after a given one. AIP-132, AIP-158."""
        workspace_id = _required(request.workspace_id, "workspace_id")
        for field in ("user", "target", "request_id", "after_effect_id", "before_effect_id"):
            _storable(getattr(request, field), field)
        effects, limit = self._effects.c, _limit(request.page_size)
        query = _fingerprint(request)
        last = _page_key(request.page_token, query)
        after = (last or request.after_effect_id) if request.after_effect_id else ""
        before = _BEYOND if request.after_effect_id else last or request.before_effect_id or _BEYOND
        if request.user or request.target or request.request_id or request.outcome:
            statement = sa.select(self._effects).where(
                effects.workspace_id == workspace_id, effects.effect_id > after, effects.effect_id < before
            )
            statement = statement.order_by(effects.effect_id if after else effects.effect_id.desc())
        else:
            statement = all_effects(self._effects, workspace_id, after=after, before=before)
        if request.outcome:
            outcome = pb.Outcome.Name(request.outcome).removeprefix("OUTCOME_")
            statement = statement.where(effects.outcome == outcome)
            if outcome != "APPLIED":
                # In words of the statement, for the index of such effects is found by them.
                statement = statement.where(effects.outcome != sa.literal_column("'APPLIED'"))
        if request.request_id:
            statement = statement.where(effects.request_id == request.request_id)
        if request.after_effect_id and self._db.dialect == "postgresql":
            # Several processes commit in another order than they make ids: a follower waits until all have.
            statement = statement.where(effects.time < datetime.datetime.now(datetime.UTC) - _FOLLOW_DELAY)
        statements = [statement.limit(limit + 1)]
        for text, columns in (
            (request.user, (effects.user_id, effects.user_name)),
            (request.target, (effects.target_id, effects.target_name)),
        ):
            if text:
                # One for each index: of a condition with OR a database may make a walk through the workspace.
                statements = [one.where(column == text) for one in statements for column in columns]
        rows = await self._db.read(lambda tx: _merged(tx, statements, newest_first=not request.after_effect_id))
        more = len(rows) > limit
        return pb.ListEffectsResponse(
            effects=[effect_message(row) for row in rows[:limit]],
            next_page_token=encode_page_token([rows[limit - 1].effect_id], query) if more else "",
        )

    async def GetEffect(self, request: pb.GetEffectRequest, context: _Context) -> pb.GetEffectResponse:
        """Read one effect of a workspace. AIP-131."""
        workspace_id = _required(request.workspace_id, "workspace_id")
        effect_id = _required(request.effect_id, "effect_id")
        statement = sa.select(self._effects).where(
            self._effects.c.workspace_id == workspace_id, self._effects.c.effect_id == effect_id
        )
        row = await self._db.read(lambda tx: tx.execute(statement).first())
        if row is None:
            raise EffectNotFound(f"no effect {effect_id} in the workspace", metadata={"effect_id": effect_id})
        return pb.GetEffectResponse(effect=effect_message(row))

    async def ListDeadLetters(
        self, request: pb.ListDeadLettersRequest, context: _Context
    ) -> pb.ListDeadLettersResponse:
        """List dead letters, oldest first. AIP-132, AIP-158."""
        _storable(request.connection_id, "connection_id")
        limit, query = _limit(request.page_size), f"dead_letters\n{request.connection_id}"
        statement = sa.select(self._dead).order_by(self._dead.c.id).limit(limit + 1)
        if request.connection_id:
            statement = statement.where(self._dead.c.connection_id == request.connection_id)
        if last := _page_key(request.page_token, query):
            statement = statement.where(self._dead.c.id > last)
        rows = await self._db.read(lambda tx: tx.execute(statement).all())
        return pb.ListDeadLettersResponse(
            dead_letters=[_dead_letter(row) for row in rows[:limit]],
            next_page_token=encode_page_token([rows[limit - 1].id], query) if len(rows) > limit else "",
        )

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, context: _Context) -> pb.GetDeadLetterResponse:
        """Read one dead letter. AIP-131."""
        dead_letter_id = _required(request.dead_letter_id, "dead_letter_id")

        def find(tx: Transaction) -> sa.Row[Any] | None:
            return tx.execute(sa.select(self._dead).where(self._dead.c.id == dead_letter_id)).first()

        row = await self._db.read(find)
        if row is None:
            raise DeadLetterNotFound(f"no dead letter {dead_letter_id}", metadata={"dead_letter_id": dead_letter_id})
        return pb.GetDeadLetterResponse(dead_letter=_dead_letter(row))

    async def RetryDeadLetter(
        self, request: pb.RetryDeadLetterRequest, context: _Context
    ) -> pb.RetryDeadLetterResponse:
        """Apply a dead letter and what queues behind it."""
        dead_letter_id = _required(request.dead_letter_id, "dead_letter_id")
        return pb.RetryDeadLetterResponse(applied=await self._consumer.retry_dead_letter(dead_letter_id))

    async def DiscardDeadLetter(
        self, request: pb.DiscardDeadLetterRequest, context: _Context
    ) -> pb.DiscardDeadLetterResponse:
        """Give a dead letter up and apply what queues behind it after a repair."""
        dead_letter_id = _required(request.dead_letter_id, "dead_letter_id")
        return pb.DiscardDeadLetterResponse(applied=await self._consumer.discard_dead_letter(dead_letter_id))

    async def Reconcile(self, request: pb.ReconcileRequest, context: _Context) -> AsyncIterator[pb.ReconcileResponse]:
        """Compare with the directory and repair."""
        async for item in self._reconciler.reconcile(
            request.connection_id, dry_run=request.dry_run, apply_destructive=request.apply_destructive
        ):
            response = pb.ReconcileResponse()
            _take(response, item)
            yield response

    async def Verify(self, request: pb.VerifyRequest, context: _Context) -> AsyncIterator[pb.VerifyResponse]:
        """Compare with the directory."""
        async for item in self._reconciler.verify(request.connection_id):
            response = pb.VerifyResponse()
            _take(response, item)
            yield response


def all_effects(table: sa.Table, workspace_id: str, *, after: str, before: str) -> sa.Select[Any]:
    """Select a workspace's effects between two ids: oldest first after one, else newest first.

    It is stated as a range in the order of the index: told the workspace and the order of ids, PostgreSQL may walk
    through the effects of all the others.
    """
    keys = (table.c.workspace_id, table.c.effect_id)
    first, beyond = (sa.tuple_(sa.literal(workspace_id), sa.literal(end)) for end in (after, before))
    ordered = keys if after else tuple(key.desc() for key in keys)
    return sa.select(table).where(sa.tuple_(*keys) > first, sa.tuple_(*keys) < beyond).order_by(*ordered)


def _merged(tx: Transaction, statements: Iterable[sa.Select[Any]], *, newest_first: bool) -> list[sa.Row[Any]]:
    """Return the effects that any statement finds, each once, in order."""
    found = {row.effect_id: row for statement in statements for row in tx.execute(statement)}
    return [found[effect_id] for effect_id in sorted(found, reverse=newest_first)]


def _take(response: pb.ReconcileResponse | pb.VerifyResponse, item: Item) -> None:
    if isinstance(item, pb.Difference):
        response.difference.CopyFrom(item)
    elif isinstance(item, pb.ReconcileSummary):
        response.summary.CopyFrom(item)
    else:
        response.progress.CopyFrom(item)


def _required(value: str, field: str) -> str:
    if not value:
        raise InvalidValue(f"{field} is required", field=field)
    return _storable(value, field)


def _storable(value: str, field: str) -> str:
    """Return what a database can look for: PostgreSQL refuses NUL."""
    if "\0" in value:
        raise InvalidValue(f"{field} must not hold NUL", field=field)
    return value


def _limit(page_size: int) -> int:
    if page_size < 0:
        raise InvalidValue("page_size must not be negative", field="page_size")
    return page_limit(page_size)


def _page_key(token: str, query: str) -> str:
    key = str(decode_page_token(token, query, types=[str], domain=DOMAIN)[0]) if token else ""
    if "\0" in key:
        raise InvalidPageToken(DOMAIN)  # nobody was given such a one
    return key


def _fingerprint(request: pb.ListEffectsRequest) -> str:
    fields = (
        request.workspace_id, request.user, str(request.outcome), request.target, request.after_effect_id,
        request.request_id, request.before_effect_id,
    )  # fmt: skip
    return "effects\n" + "\n".join(fields)


def _dead_letter(row: sa.Row[Any]) -> pb.DeadLetter:
    letter = pb.DeadLetter(
        dead_letter_id=row.id,
        event_id=row.event_id,
        event_type=row.event_type,
        connection_id=row.connection_id,
        resource_id=row.aggregate_id,
        version=row.version,
        state=pb.DEAD_LETTER_STATE_PARKED if row.state == PARKED else pb.DEAD_LETTER_STATE_QUEUED,
        error=row.error,
        attempts=row.attempts,
    )
    letter.time.FromDatetime(row.created_at)
    return letter
