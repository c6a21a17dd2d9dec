"""A relay or a consumer as a process, for tests that kill it: `crash_process relay|consumer SOURCE SINK NATS`."""

from __future__ import annotations

import asyncio
import sys

from chassis.database import Database
from tests.chassis.delivery_world import Sink, Source, make_relay


async def main(what: str, source_url: str, sink_url: str, servers: str) -> None:
    source_db = Database(source_url, name="source")
    await source_db.start()
    if what == "relay":
        await make_relay(source_db, servers).run()
    else:
        sink_db = Database(sink_url, name="sink")
        await sink_db.start()
        await Sink(sink_db, Source(source_db).repair).consumer(servers, ack_wait=1.0).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
