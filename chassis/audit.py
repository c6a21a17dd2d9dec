"""The audit of administrative actions: who did what, when, to what, and how it ended.

An entry is written in the transaction that makes the change, so there is neither a change without its entry nor an
entry of a change that was rolled back. What was refused, or changed nothing, has an entry of its own. An entry names
methods, identities and ids: no secret, and nothing of a person, can get into it.
"""

from __future__ import annotations

import datetime
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import grpc
import orjson
import sqlalchemy as sa
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from rollcall.audit.v1 import audit_service_pb2 as pb
from rollcall.audit.v1 import audit_service_pb2_grpc as pb_grpc
from sqlmodel import Field

from chassis.auth import PermissionDenied, wrap_handler
from chassis.columns import Columns
from chassis.database import Database, DatabaseUnavailable, Transaction, UtcDateTime
from chassis.errors import DomainError
from chassis.identifiers import time_ordered_id
from chassis.identity import ADMINISTRATIVE
from chassis.outbox import TableLike, table_of
from chassis.paging import InvalidPageToken, decode_page_token, encode_page_token, page_limit
from chassis.request_context import request_context
from chassis.tenancy import across_tenants

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["AuditService"].full_name
DOMAIN = "audit.rollcall"

DONE = "OK"
UNCHANGED = "UNCHANGED"
_INTERNAL = "INTERNAL"

T = TypeVar("T")
_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Context = grpc.aio.ServicerContext[Any, Any]

_log = logging.getLogger(__name__)

# Methods that change nothing, by their first word (AIP-131, AIP-132, and the questions that have verbs of their own).
_READING = ("Get", "List", "Check", "Preview", "Search", "Stream", "Verify")
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class AuditColumns(Columns):
    """The columns of an audit table; `targets` is a JSON object of name and id."""

    audit_id: str = Field(primary_key=True, max_length=64)
    time: datetime.datetime = Field(sa_type=UtcDateTime)
    identity: str
    administrator_id: str
    method: str
    workspace_id: str = Field(index=True)
    connection_id: str
    targets: str
    request_id: str
    request: str
    outcome: str


@dataclass(slots=True)
class _Action:
    """A call that may turn out to be an administrative action."""

    method: str
    request: Any
    audit_id: str = ""
    targets: dict[str, str] = field(default_factory=dict)
    recorded: bool = False
    is_left_out: bool = False
    told: frozenset[str] = frozenset()
    """The names of what its entry tells."""


_current: ContextVar[_Action | None] = ContextVar("audited", default=None)


def target(name: str, identifier: str) -> None:
    """Name something that the current action is about, which neither its request nor what it gives names."""
    action = _current.get()
    if action is not None:
        action.targets[name] = identifier


def leave_out() -> None:
    """Leave no entry of the current action unless it changes something: for refusals that anybody can cause at will."""
    action = _current.get()
    if action is not None:
        action.is_left_out = True


class AuditLog:
    """Writes the entries of one service.

    `workspace_of` selects the workspace of the connection in the parameter `connection_id`. Making it lets every write
    of an action on `db` carry the action's entry.
    """

    def __init__(self, db: Database, table: TableLike, *, workspace_of: str) -> None:
        self._db = db
        self._table = table_of(table)
        name = self._table.name
        columns = ", ".join(column.name for column in self._table.columns)
        values = ", ".join(
            f"COALESCE(NULLIF(:workspace_id, ''), ({workspace_of}), '')" if column.name == "workspace_id"
            else f":{column.name}"
            for column in self._table.columns
        )  # fmt: skip
        # A call of several transactions has one entry, that of its last.
        changed = ", ".join(f"{column} = excluded.{column}" for column in ("workspace_id", "targets", "outcome"))
        self._insert = sa.text(
            f"INSERT INTO {name} ({columns}) VALUES ({values}) ON CONFLICT (audit_id) DO UPDATE SET {changed}"
        ).bindparams(
            sa.bindparam("time", type_=UtcDateTime),
            sa.bindparam("workspace_id", type_=sa.String),
            sa.bindparam("connection_id", type_=sa.String),
        )
        db.around_write = self._around

    def _around(self, unit: Callable[[Transaction], T]) -> Callable[[Transaction], T]:
        action = _current.get()
        identity = request_context.get().identity
        if action is None or identity is None or identity.name not in ADMINISTRATIVE:
            return unit
        actor, row = identity.name, self._row

        def recorded(tx: Transaction) -> T:
            value = unit(tx)
            if tx.wrote:
                tx.execute(self._insert, row(action, actor, DONE, value))
                action.recorded = True
            return value

        return recorded

    async def conclude(self, action: _Action, identity: str, outcome: str) -> None:
        """Record how an action ended of which no transaction tells, or the last one tells otherwise."""
        row = self._row(action, identity, outcome, None)
        token = _current.set(None)
        try:
            await across_tenants(lambda: self._db.write(lambda tx: tx.execute(self._insert, row) and None))
        except DatabaseUnavailable:
            # The action has its own answer already, and cannot be refused for want of its entry.
            _log.error("%s by %s ended with %s, which the audit lacks", action.method, identity, outcome)
        finally:
            _current.reset(token)

    def _row(self, action: _Action, identity: str, outcome: str, result: object) -> dict[str, Any]:
        context = request_context.get()
        if not action.audit_id:
            action.audit_id = time_ordered_id()
        found = {**_ids(action.request), **_ids(result), **action.targets}
        targets = {name: value for name, value in found.items() if _ID.fullmatch(value)}
        action.told = frozenset(found)
        return {
            "audit_id": action.audit_id,
            "time": datetime.datetime.now(datetime.UTC),
            "identity": identity,
            "administrator_id": context.administrator if _ID.fullmatch(context.administrator) else "",
            "method": action.method,
            "workspace_id": targets.get("workspace_id", ""),
            "connection_id": targets.get("connection_id", ""),
            "targets": orjson.dumps(targets, option=orjson.OPT_SORT_KEYS).decode(),
            "request_id": context.request_id,
            "request": context.request,
            "outcome": outcome,
        }


def _ids(value: object) -> dict[str, str]:
    """Give the ids at the top of a message, by the names of their fields; of several messages, those of all."""
    if isinstance(value, tuple):
        return {name: found for item in value for name, found in _ids(item).items()}
    if not isinstance(value, Message):
        return {}
    return {
        each.name: found
        for each in value.DESCRIPTOR.fields
        if each.type == FieldDescriptor.TYPE_STRING and not each.is_repeated
        if (each.name == "id" or each.name.endswith("_id") or each.name in ("workspace", "device"))
        if (found := getattr(value, each.name))
    }


class AuditInterceptor(grpc.aio.ServerInterceptor):
    """Lets every change by an administrator leave its entry, and every call that an identity was not allowed.

    Stands before `AuthInterceptor`, whose refusals it records.
    """

    def __init__(self, log: AuditLog) -> None:
        self._audit = log

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler | None:
        """Wrap the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        changes = not method.rpartition("/")[2].startswith(_READING)

        def unary(inner: Callable[[Any, Any], Awaitable[Any]]) -> Callable[[Any, Any], Awaitable[Any]]:
            async def audited(request: Any, context: _Context) -> Any:
                action = _Action(method, request)
                if changes:
                    _current.set(action)
                try:
                    response = await inner(request, context)
                # Whatever it is goes on to the caller.
                except Exception as error:
                    await self._failed(action, error, changes=changes)
                    raise
                if changes:
                    await self._succeeded(action, response)
                return response

            return audited

        def stream(inner: Callable[[Any, Any], AsyncIterator[Any]]) -> Callable[[Any, Any], AsyncIterator[Any]]:
            async def audited(request: Any, context: _Context) -> AsyncIterator[Any]:
                action = _Action(method, request)
                if changes:
                    _current.set(action)
                try:
                    async for response in inner(request, context):
                        yield response
                # As above.
                except Exception as error:
                    await self._failed(action, error, changes=changes)
                    raise
                if changes:
                    await self._succeeded(action, None)

            return audited

        return wrap_handler(handler, unary, stream)

    async def _succeeded(self, action: _Action, response: Any) -> None:
        identity = request_context.get().identity
        if identity is None or identity.name not in ADMINISTRATIVE:
            return
        made = [getattr(response, each.name) for each, _ in response.ListFields()] if response is not None else []
        action.targets |= _ids((response, *(value for value in made if isinstance(value, Message))))
        # An id that is made before the transaction is in the answer, and may not be in what the transaction gives.
        if not action.recorded or action.targets.keys() - action.told:
            await self._audit.conclude(action, identity.name, DONE if action.recorded else UNCHANGED)

    async def _failed(self, action: _Action, error: Exception, *, changes: bool) -> None:
        if isinstance(error, PermissionDenied):
            await self._audit.conclude(action, error.metadata.get("identity", ""), error.reason)
            return
        identity = request_context.get().identity
        if changes and not action.is_left_out and identity is not None and identity.name in ADMINISTRATIVE:
            outcome = error.reason if isinstance(error, DomainError) else _INTERNAL
            await self._audit.conclude(action, identity.name, outcome)


class AuditServicer(pb_grpc.AuditServiceServicer):
    """Serves the entries of one service."""

    def __init__(self, db: Database, table: TableLike) -> None:
        self._db = db
        self._table = table_of(table)

    async def ListAuditEntries(
        self, request: pb.ListAuditEntriesRequest, context: _Context
    ) -> pb.ListAuditEntriesResponse:
        """List entries, newest first."""
        columns, limit = self._table.c, page_limit(request.page_size)
        query = f"audit\n{request.workspace_id}\n{request.before_audit_id}"
        statement = sa.select(self._table).order_by(columns.audit_id.desc()).limit(limit + 1)
        if request.workspace_id:
            statement = statement.where(columns.workspace_id == request.workspace_id)
        if request.page_token:
            (last,) = map(str, decode_page_token(request.page_token, query, types=(str,), domain=DOMAIN))
            # A forged token may hold what no database takes.
            if _ID.fullmatch(last) is None:
                raise InvalidPageToken(DOMAIN)
            statement = statement.where(columns.audit_id < last)
        elif request.before_audit_id:
            statement = statement.where(columns.audit_id < request.before_audit_id)
        rows = await self._db.read(lambda tx: tx.execute(statement).all())
        response = pb.ListAuditEntriesResponse(audit_entries=[_entry(row) for row in rows[:limit]])
        if len(rows) > limit:
            response.next_page_token = encode_page_token((rows[limit - 1].audit_id,), query)
        return response


def _entry(row: sa.Row[Any]) -> pb.AuditEntry:
    entry = pb.AuditEntry(
        audit_id=row.audit_id,
        identity=row.identity,
        administrator_id=row.administrator_id,
        method=row.method,
        workspace_id=row.workspace_id,
        connection_id=row.connection_id,
        targets=orjson.loads(row.targets),
        request_id=row.request_id,
        request=row.request,
        outcome=row.outcome,
    )
    entry.time.FromDatetime(row.time)
    return entry
