"""What the directory does without being asked: finish deletions and re-resolutions, flush counts, prune the outbox.

Every piece may be cut off anywhere and is taken up again, by this process or another.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

from chassis import tenancy
from chassis.database import DatabaseUnavailable
from chassis.outbox import prune
from chassis.request_context import RequestContext, request_context
from directory_service import connections, groups, mappings, provisioning_log, sessions, walks
from directory_service.administrators import Accounts
from directory_service.authentication import UsageRecorder
from directory_service.directory import Directory
from directory_service.tables import OUTBOX

FLUSH_SECONDS = 3.0
"""How often counts and times of use are written."""
LOOK_SECONDS = 30.0
"""How often work that another process left unfinished is looked for."""
PRUNE_SECONDS = 3600.0
"""How often old events and log entries, and sessions that have ended, are pruned."""
RETRY_SECONDS = 1.0
"""How long work waits when the database is unavailable."""

_log = logging.getLogger(__name__)


class Background:
    """The pieces of background work of one process; `run` until cancelled."""

    def __init__(
        self, directory: Directory, accounts: Accounts, usage: UsageRecorder, *, outbox_days: int, log_days: int
    ) -> None:
        self._directory = directory
        self._accounts = accounts
        self._usage = usage
        self._outbox_days = outbox_days
        self._log_days = log_days
        self._deletions = asyncio.Event()
        self._resolutions = asyncio.Event()

    def deletion_begun(self) -> None:
        """Go on with a deletion now."""
        self._deletions.set()

    def mapping_changed(self) -> None:
        """Re-resolve now."""
        self._resolutions.set()

    async def run(self) -> None:
        """Do all of it, for every tenant, until cancelled."""
        tenancy.bind(tenancy.EVERY)
        never = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(_repeat(self._delete, "DeleteConnection", self._deletions, LOOK_SECONDS))
            group.create_task(_repeat(self._resolve, "UpdateAttributeMapping", self._resolutions, LOOK_SECONDS))
            rows_left = self._directory.rows_left
            group.create_task(_repeat(self._purge, "DeleteGroup", rows_left, LOOK_SECONDS))
            group.create_task(_repeat(self._flush, "flush", never, FLUSH_SECONDS))
            profiles = self._directory.profiles
            group.create_task(_repeat(profiles.flush, "flush", profiles.new_dialect, FLUSH_SECONDS))
            group.create_task(_repeat(self._prune, "prune", never, PRUNE_SECONDS))
            group.create_task(_repeat(self._prune_log, "prune", never, PRUNE_SECONDS))
            group.create_task(_repeat(self._prune_sessions, "prune", never, PRUNE_SECONDS))
            group.create_task(_repeat(self._forget_places, "prune", never, walks.REMEMBERED_SECONDS))

    async def flush(self) -> None:
        """Write what is gathered, at the end of the process."""
        await tenancy.across_tenants(self._flush_all)

    async def _flush_all(self) -> None:
        await self._directory.history.flush()
        await self._usage.flush_all()
        await self._directory.profiles.flush_all()

    async def _delete(self) -> None:
        for connection_id in await connections.unfinished_deletions(self._directory):
            await connections.finish_deletion(self._directory, connection_id)

    async def _resolve(self) -> None:
        for connection_id in await mappings.unresolved_connections(self._directory):
            await mappings.re_resolve(self._directory, connection_id)

    async def _purge(self) -> None:
        await groups.purge_deleted_groups(self._directory)

    async def _flush(self) -> None:
        await self._directory.history.flush()
        await self._usage.flush()

    async def _prune(self) -> None:
        await prune(self._directory.db, OUTBOX, datetime.now(UTC) - timedelta(days=self._outbox_days))

    async def _prune_log(self) -> None:
        await provisioning_log.prune(self._directory, days=self._log_days)

    async def _prune_sessions(self) -> None:
        await sessions.prune(self._accounts)

    async def _forget_places(self) -> None:
        await walks.forget(self._directory)


async def _repeat(work: Callable[[], Awaitable[None]], name: str, wake: asyncio.Event, seconds: float) -> None:
    """Do a piece of work at once, then when woken or after a time, for ever; its events name `name` as their cause."""
    while True:
        wake.clear()
        request_context.set(RequestContext(request_id="", request=name))
        wait = seconds
        try:
            await work()
        except DatabaseUnavailable as error:
            _log.warning("%s waits: %s", name, error)
            wait = RETRY_SECONDS
        try:
            # Not wait_for, which in Python 3.11 swallows a cancellation that comes together with the wake-up.
            async with asyncio.timeout(wait):
                await wake.wait()
        except TimeoutError:
            continue
