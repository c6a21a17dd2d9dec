"""`python -m directory_service serve|relay|migrate`."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any

import uvloop

from chassis import logging as process_logging
from chassis import migrations, telemetry
from chassis.auth import CredentialsFileError
from chassis.database import Database, DatabaseUnavailable
from chassis.delivery_metrics import outbox_questions
from chassis.grpc_server import DRAIN_SECONDS
from chassis.metrics import MetricsServer
from chassis.migrations import SchemaMismatch
from chassis.tenancy import across_tenants
from directory_service.server import DirectoryServer, make_relay, prepare_schema
from directory_service.settings import DatabaseSettings, DirectorySettings, RelaySettings
from directory_service.tables import MIGRATIONS, OUTBOX

USAGE = "usage: python -m directory_service serve|relay|migrate"


def main(arguments: list[str]) -> int:
    """Run one command; exit 0 when done, 1 when refused with one line on stderr, 2 for wrong usage or settings."""
    if len(arguments) != 1 or arguments[0] not in ("serve", "relay", "migrate"):
        print(USAGE, file=sys.stderr)
        return 2
    wanted: dict[str, type[DatabaseSettings]] = {"serve": DirectorySettings, "relay": RelaySettings}
    settings = wanted.get(arguments[0], DatabaseSettings).load()
    process_logging.configure("directory", level=settings.log_level, format=settings.log_format)
    if isinstance(settings, RelaySettings):
        telemetry.configure("directory" if arguments[0] == "serve" else "relay", settings.otlp_endpoint)
    try:
        if isinstance(settings, DirectorySettings):
            uvloop.run(_serve(settings))
        elif isinstance(settings, RelaySettings):
            uvloop.run(_relay(settings))
        else:
            migrations.upgrade(settings.database_url, MIGRATIONS)
    except (SchemaMismatch, CredentialsFileError, DatabaseUnavailable, OSError) as error:
        print(f"rollcall: directory: {error}", file=sys.stderr)
        return 1
    finally:
        telemetry.shutdown()
    return 0


async def _serve(settings: DirectorySettings) -> None:
    """Serve until SIGTERM or SIGINT; raise what ends the background work."""
    stopping = _stopping()
    server = DirectoryServer(settings)
    await server.start()
    drain = 0.0
    try:
        if await _until(stopping, server.wait_failed()):
            drain = DRAIN_SECONDS
    finally:
        await server.stop(drain=drain)


async def _relay(settings: RelaySettings) -> None:
    """Publish the outbox until SIGTERM or SIGINT, as a process of its own."""
    stopping = _stopping()
    await prepare_schema(settings)
    db = Database(settings.database_url, name="directory-relay", readers=1)
    await db.start()
    try:
        relay = make_relay(db, settings)
        metrics = MetricsServer(settings.metrics_address, outbox_questions("directory", db, OUTBOX, relay))
        await metrics.start()
        try:
            await _until(stopping, across_tenants(relay.run))
        finally:
            await metrics.stop()
    finally:
        await db.stop()


def _stopping() -> asyncio.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping


async def _until(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> bool:
    """Wait for a signal or for the end of the work, whose error is raised; return whether it was the signal."""
    task = asyncio.create_task(work)
    signalled = asyncio.create_task(stopping.wait())
    waiting: list[asyncio.Task[Any]] = [task, signalled]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        return stopping.is_set()
    finally:
        for unfinished in waiting:
            unfinished.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
