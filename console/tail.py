"""What comes new to the provisioning log and to the effects, looked for once a second while somebody watches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import provisioning_log_service_pb2 as log

from console.history import DELIVERIES
from console.services import Services

POLL_SECONDS = 1.0
LATE_SECONDS = 15.0
"""How long it may take from an answer until its entry is kept; entries come late, and not in order."""
RECENT = 20
"""Effects that a watcher is given at first: those that came while the page was on its way to the browser."""
AT_ONCE = 200
"""How many of each kind one look finds at most; what is beyond waits for the next one, or stays in the lists."""

News: TypeAlias = log.ProvisioningLogEntry | delivery.Effect


@dataclass(frozen=True, slots=True)
class Source:
    """What is watched: a workspace, or one of its connections."""

    workspace_id: str
    connection_id: str = ""
    """Empty: every connection of the workspace."""
    deliveries: tuple[str, ...] = DELIVERIES
    """The services whose effects are watched."""


class Tail:
    """Looks for news of a source. `clock` gives seconds since 1970; `since` is when the watching began."""

    def __init__(
        self, services: Services, source: Source, *, since: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._services = services
        self._source = source
        self._clock = clock
        self._since = since
        self._seen: dict[str, float] = {}
        self._last: dict[str, str] = {}

    async def look(self) -> list[News]:
        """Return what is new since the last look: requests, then effects, oldest first. Raises AioRpcError."""
        requests, effects = await asyncio.gather(
            self._requests(), asyncio.gather(*(self._effects(name) for name in self._source.deliveries))
        )
        found = sorted((one for part in effects for one in part), key=lambda one: one.effect_id)
        return [*requests, *found]

    async def _requests(self) -> list[log.ProvisioningLogEntry]:
        now = self._clock()
        request = log.ListProvisioningLogEntriesRequest(
            workspace_id=self._source.workspace_id, connection_id=self._source.connection_id, page_size=AT_ONCE
        )
        request.start_time.FromMilliseconds(max(0, int((self._since - LATE_SECONDS) * 1000)))
        answer = await self._services.log.ListProvisioningLogEntries(request)
        new = [entry for entry in answer.entries if entry.entry_id not in self._seen]
        self._seen |= {entry.entry_id: now for entry in answer.entries}
        self._seen = {entry_id: at for entry_id, at in self._seen.items() if now - at < 2 * LATE_SECONDS}
        self._since = now
        return new[::-1]

    async def _effects(self, service: str) -> list[delivery.Effect]:
        request = delivery.ListEffectsRequest(workspace_id=self._source.workspace_id)
        last = self._last.get(service, "")
        request.after_effect_id, request.page_size = last, AT_ONCE if last else RECENT
        answer = await self._services.delivery(service).ListEffects(request)
        # Without an id to start after, the service answers newest first.
        found = list(answer.effects) if last else list(answer.effects)[::-1]
        if found:
            self._last[service] = found[-1].effect_id
        wanted = self._source.connection_id
        return [one for one in found if not wanted or one.connection_id == wanted]
