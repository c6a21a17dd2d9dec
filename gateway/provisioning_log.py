"""The provisioning log as the gateway writes it: an entry for each answered request, told to the directory in batches.

No request waits for its entry, and none fails for it. Entries wait in the worker's memory, a bounded number of them,
and are told once a second, or as soon as a batch is full. What does not fit is counted on the next entry of the same
connection. So is a flood: of requests that were refused with 401 or 429, which anybody can send, a few a second are
kept for each connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

import falcon.asgi
import grpc
from google.protobuf.message import Message
from rollcall.directory.v1 import directory_service_pb2
from rollcall.directory.v1 import provisioning_log_service_pb2 as pb
from rollcall.directory.v1.connection_service_pb2 import ClientDialect

from chassis.identifiers import time_ordered_id
from gateway.dialect import classify
from gateway.directory import Directory
from gateway.exchange import Exchange, Request

if TYPE_CHECKING:
    from gateway.metrics import RequestMetrics

BATCH = 200
"""Entries that one call carries."""
FLUSH_SECONDS = 1.0
REFUSED_AT_ONCE = 10
"""Refusals with 401 and 429 that are kept of a connection between two flushes."""
REFUSED_IN_ALL = 500
"""The same of all connections, of which a flood may name any number."""
CALL_SECONDS = 5.0
_RETRY_SECONDS = 2.0
_LONGEST_DETAIL = 300
_LONGEST_METHOD = 16

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FLOODS = frozenset({401, 429})
_DIALECTS: dict[str, ClientDialect] = {
    name.removeprefix("CLIENT_DIALECT_"): number  # type: ignore[misc]  # the values of an enumeration are numbers
    for name, number in ClientDialect.items()
}
_PARAMETER = re.compile(r"\{\w+\}")
# From the first mark to the last: a value that holds a mark itself would end a shorter match.
_QUOTED = re.compile(r"\".*\"|(?<![^\W_])'.*'(?![^\W_])", re.DOTALL)
_ADDRESS = re.compile(r"[^\s\"']*@[^\s\"']*")

_WRITTEN: dict[type[Message], str] = {
    directory_service_pb2.CreateUserResponse: "user",
    directory_service_pb2.UpdateUserResponse: "user",
    directory_service_pb2.PatchUserResponse: "user",
    directory_service_pb2.DeleteUserResponse: "user",
    directory_service_pb2.CreateGroupResponse: "group",
    directory_service_pb2.UpdateGroupResponse: "group",
    directory_service_pb2.PatchGroupResponse: "group",
    directory_service_pb2.DeleteGroupResponse: "group",
}
_DELETED = (directory_service_pb2.DeleteUserResponse, directory_service_pb2.DeleteGroupResponse)

logger = logging.getLogger("gateway")


class ProvisioningLog:
    """Gathers the entries of one worker; `start` it after the fork. `capacity` is how many may wait."""

    def __init__(self, directory: Directory, *, capacity: int, metrics: RequestMetrics | None = None) -> None:
        self._directory = directory
        self._capacity = capacity
        self._waiting: deque[pb.ProvisioningLogEntry] = deque()
        self._omitted: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._refused_in_all = 0
        self._routes: dict[str, str] = {}
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._told = 0
        self._metrics = metrics
        self.omitted = 0
        """Requests without an entry since the start."""

    def start(self) -> None:
        """Begin to tell the directory."""
        self._task = asyncio.create_task(self._run(), name="provisioning-log")

    async def stop(self) -> None:
        """Tell what waits, as far as the directory takes it now, and end."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with contextlib.suppress(grpc.RpcError, TimeoutError):
            async with asyncio.timeout(CALL_SECONDS):
                await self.flush()
        if self._waiting:
            logger.warning("the provisioning log lacks %d requests", len(self._waiting))

    def note(self, request: Request, response: falcon.asgi.Response, seconds: float) -> None:
        """Make the entry of an answered request, which took so long; nothing where the path names no connection."""
        exchange = request.exchange
        connection_id, status = exchange.connection_id, response.status_code
        if not self._capacity or _UUID.fullmatch(connection_id) is None:
            return
        if status in _FLOODS:
            refused = self._refused[connection_id]
            if refused >= REFUSED_AT_ONCE or self._refused_in_all >= REFUSED_IN_ALL:
                self._omit(connection_id)
                return
            self._refused[connection_id] = refused + 1
            self._refused_in_all += 1
        if len(self._waiting) >= self._capacity:
            self._omit(connection_id)
            return
        route = self.route(request)
        method = request.method[:_LONGEST_METHOD]
        began = time.time_ns() - int(seconds * 1e9)
        entry = pb.ProvisioningLogEntry(
            entry_id=time_ordered_id(),
            time={"seconds": began // 1_000_000_000, "nanos": began % 1_000_000_000},
            request_id=exchange.request_id,
            connection_id=connection_id,
            client_dialect=_DIALECTS[_dialect(exchange, method, route)],
            method=method,
            route=route,
            status=status,
            duration={"seconds": int(seconds), "nanos": int(seconds % 1 * 1e9)},
            omitted_count=self._omitted.pop(connection_id, 0),
        )
        refusal = exchange.refusal
        if refusal is not None:
            entry.scim_type = refusal.scim_type or ""
            entry.detail = without_values(refusal.detail)
        elif exchange.answer is not None:
            _note_written(entry, exchange.asked, exchange.answer)
            _note_listed(entry, exchange.asked, exchange.answer)
        self._waiting.append(entry)
        if len(self._waiting) >= BATCH:
            self._full.set()

    def route(self, request: Request) -> str:
        """Return the route of a request below the base URL: `/Users/{id}`; empty for none."""
        template = request.uri_template or ""
        route = self._routes.get(template)
        if route is None:
            route = self._routes[template] = route_of(template)
        return route

    def _omit(self, connection_id: str) -> None:
        self.omitted += 1
        if self._metrics is not None:
            self._metrics.omitted(1)
        # Connections that do not exist must not fill the memory either.
        if connection_id in self._omitted or len(self._omitted) < self._capacity:
            self._omitted[connection_id] += 1

    async def flush(self) -> None:
        """Tell what waits. Raises grpc.RpcError; what was not told then waits on."""
        self._refused.clear()
        self._refused_in_all = 0
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            try:
                await self._directory.record(batch, CALL_SECONDS)
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    self._put_back(batch)
                else:
                    self._give_up(batch, error.code().name)
                raise
            except asyncio.CancelledError:
                # The directory passes over what it has kept already.
                self._put_back(batch)
                raise

    def _put_back(self, batch: list[pb.ProvisioningLogEntry]) -> None:
        self._waiting.extendleft(reversed(batch))

    def _give_up(self, batch: list[pb.ProvisioningLogEntry], why: str) -> None:
        for entry in batch:
            self._omit(entry.connection_id)
        logger.error("the directory does not take %d entries of the provisioning log: %s", len(batch), why)

    async def _run(self) -> None:
        while True:
            pause = FLUSH_SECONDS
            try:
                await self.flush()
            except grpc.RpcError:
                pause = _RETRY_SECONDS
            self._full.clear()
            if self.omitted > self._told:
                logger.warning("the provisioning log lacks %d requests since the last flush", self.omitted - self._told)
                self._told = self.omitted
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await (self._full.wait() if pause == FLUSH_SECONDS else asyncio.sleep(pause))


def route_of(template: str) -> str:
    """Return the route of a URI template below the base URL: `/Users/{id}`; empty for none."""
    below = template.removeprefix("/scim/v2/{connection_id}")
    return _PARAMETER.sub("{id}", below) or ("/" if template else "")


def without_values(detail: str) -> str:
    """Return what an error says without what it quotes, which a client sent: the rule stays."""
    return _ADDRESS.sub("…", _QUOTED.sub("…", detail))[:_LONGEST_DETAIL].replace("\0", "")


def _dialect(exchange: Exchange, method: str, route: str) -> str:
    return exchange.dialect or classify(f"{method} {route}", exchange.user_agent, exchange.query, exchange.body)


def _note_written(entry: pb.ProvisioningLogEntry, asked: Message | None, answer: Message) -> None:
    kind = _WRITTEN.get(type(answer))
    if kind is not None:
        entry.resource_kind, entry.resource_count = kind, 1
        if isinstance(answer, _DELETED):
            entry.resource_id = asked.id  # type: ignore[union-attr]  # the request of a deletion has one
        else:
            resource = getattr(answer, kind)
            entry.resource_id, entry.resource_version = resource.id, resource.version
    elif isinstance(answer, directory_service_pb2.BulkWriteResponse):
        entry.resource_count = sum(result.HasField("etag") for result in answer.results)


def _note_listed(entry: pb.ProvisioningLogEntry, asked: Message | None, answer: Message) -> None:
    if isinstance(asked, directory_service_pb2.ListUsersRequest):
        listed = len(answer.users)  # type: ignore[attr-defined]  # the answer to that request
    elif isinstance(asked, directory_service_pb2.ListGroupsRequest):
        listed = len(answer.groups)  # type: ignore[attr-defined]  # likewise
    else:
        return
    # A lookup by a filter is no part of a walk over the list, and one that only counts is none either.
    if asked.filter or not listed:
        return
    entry.start_index = 0 if asked.page_token else asked.skip + 1
    entry.listed_count, entry.total_count = listed, answer.total_size  # type: ignore[attr-defined]
