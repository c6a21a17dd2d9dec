"""What happened: effects of both services in one list, and the way from an effect back to the request behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import grpc
import grpc.aio
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.directory.v1 import directory_service_pb2 as directory
from rollcall.directory.v1 import provisioning_log_service_pb2 as log

from console.services import Services

T = TypeVar("T")

DELIVERIES = ("portal", "mdm")
"""The services that have effects and dead letters."""


@dataclass(frozen=True, slots=True)
class Cause:
    """An effect with what led to it."""

    effect: delivery.Effect
    event: directory.EventRecord | None
    """None: a change of rules has none, and old events are forgotten."""
    entries: list[log.ProvisioningLogEntry]
    """The request as the provisioning log has it: one, unless a client gave a number of its own twice."""
    connection: connections.Connection | None

    @property
    def request_id(self) -> str:
        """The id of the request behind it; empty: none is known."""
        return self.event.request_id if self.event is not None else self.effect.request_id


async def found(call: Awaitable[T]) -> T | None:
    """Await a call; None where there is nothing of that name."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise


async def list_effects(
    services: Services,
    request: delivery.ListEffectsRequest,
    limit: int,
    among: Iterable[str] = DELIVERIES,
) -> tuple[list[delivery.Effect], bool]:
    """Return the newest effects of services, at most `limit`, and whether there are more.

    The ids of effects rise with time in every service, so a list goes on with the last one's as `before_effect_id`.
    """
    asked = delivery.ListEffectsRequest()
    asked.CopyFrom(request)
    asked.page_size = limit
    pages = await asyncio.gather(*(services.delivery(name).ListEffects(asked) for name in among))
    merged = sorted((one for page in pages for one in page.effects), key=lambda one: one.effect_id, reverse=True)
    return merged[:limit], len(merged) > limit or any(page.next_page_token for page in pages)


async def find_effect(services: Services, workspace_id: str, effect_id: str) -> delivery.Effect | None:
    """Return an effect by its id, whichever service made it."""
    request = delivery.GetEffectRequest(workspace_id=workspace_id, effect_id=effect_id)
    answers = await asyncio.gather(*(found(services.delivery(name).GetEffect(request)) for name in DELIVERIES))
    return next((answer.effect for answer in answers if answer is not None), None)


async def find_cause(services: Services, effect: delivery.Effect) -> Cause:
    """Go back from an effect to the event, and from that to the request."""
    event_call = services.directory.GetEvent(directory.GetEventRequest(event_id=effect.event_id))
    connection_call = services.connections.GetConnection(
        connections.GetConnectionRequest(connection_id=effect.connection_id)
    )
    event_answer, connection_answer, entries = await asyncio.gather(
        found(event_call), found(connection_call), requests_of(services, effect.request_id)
    )
    event = event_answer.event if event_answer is not None else None
    connection = connection_answer.connection if connection_answer is not None else None
    # Whatever the connection was then, the effect's own workspace is the one that is asked for.
    if connection is not None and connection.workspace_id != effect.workspace_id:
        connection = None
    if event is not None and event.request_id != effect.request_id:
        entries = await requests_of(services, event.request_id)
    of_workspace = [entry for entry in entries if entry.workspace_id == effect.workspace_id]
    return Cause(effect, event, of_workspace, connection)


async def requests_of(services: Services, request_id: str) -> list[log.ProvisioningLogEntry]:
    """Return the entries of a request in the provisioning log."""
    if not request_id:
        return []
    answer = await services.log.ListProvisioningLogEntries(
        log.ListProvisioningLogEntriesRequest(request_id=request_id, page_size=10)
    )
    return list(answer.entries)
