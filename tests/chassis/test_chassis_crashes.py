"""A relay or consumer that is killed at any moment loses nothing and does nothing twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import nats
import pytest

from tests.chassis.delivery_world import (
    STREAM,
    DeadLetter,
    Effect,
    Inbox,
    Sink,
    SinkTable,
    Source,
    SourceTable,
    eventually,
    make_relay,
    new_id,
    open_database,
    running,
)

pytestmark = pytest.mark.timeout(60)

ROOT = Path(__file__).parents[2]


class World:
    def __init__(self, source: Source, sink: Sink, servers: str) -> None:
        self.source, self.sink, self.servers = source, sink, servers

    async def run_until_killed(self, what: str, crashpoint: str) -> None:
        """Run a relay or consumer process that is armed; wait for its death by SIGKILL."""
        urls = [db.url.render_as_string(hide_password=False) for db in (self.source.db, self.sink.db)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.chassis.crash_process", what, *urls, self.servers,
            env={**os.environ, "ROLLCALL_CRASHPOINT": crashpoint, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}, cwd=ROOT,
        )  # fmt: skip
        try:
            assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@pytest.fixture
async def world(
    request: pytest.FixtureRequest, make_database_url: Callable[[str], str], nats_server
) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        source_db = await stack.enter_async_context(
            open_database(make_database_url(request.param), SourceTable.metadata, "source")
        )
        sink_db = await stack.enter_async_context(
            open_database(make_database_url(request.param), SinkTable.metadata, "sink")
        )
        source = Source(source_db)
        yield World(source, Sink(sink_db, source.repair), nats_server.url)


async def provision(source: Source) -> dict[str, tuple[str, int]]:
    expected = {}
    for connection in (new_id(), new_id()):
        for _ in range(5):
            user = await source.create(connection)
            await source.update(connection, user, "2@example.com")
            expected[user] = ("2@example.com", 2)
    return expected


@pytest.mark.parametrize(
    ("world", "point"),
    [
        ("sqlite", "after_claim"),
        ("postgresql", "after_publish"),
        ("sqlite", "after_ack"),
        ("postgresql", "before_mark_commit"),
    ],
    indirect=["world"],
)
async def test_a_relay_killed_anywhere_loses_and_repeats_nothing(world: World, point: str) -> None:
    """DELIVERY.md: crash points "after claim, publish sent without ack, after ack before mark, mark before COMMIT"."""
    await provision(world.source)
    await world.run_until_killed("relay", f"relay.{point}:1")
    async with running(make_relay(world.source.db, world.servers)):
        await eventually(world.source.all_sent)
    client = await nats.connect(world.servers)
    js = client.jetstream()
    info = await js.stream_info(STREAM.name)
    messages = [await js.get_msg(STREAM.name, number) for number in range(1, info.state.last_seq + 1)]
    await client.close()
    rows = await world.source.sent()
    assert [message.headers["ce-id"] for message in messages if message.headers] == [row.event_id for row in rows]


@pytest.mark.parametrize(
    ("world", "point"),
    [
        ("postgresql", "after_fetch"),
        ("sqlite", "before_commit"),
        ("postgresql", "after_commit"),
        ("sqlite", "after_ack"),
    ],
    indirect=["world"],
)
async def test_a_consumer_killed_anywhere_loses_and_repeats_nothing(world: World, point: str) -> None:
    """DELIVERY.md: "consumer after fetch, inbox insert before COMMIT, COMMIT before ack, ack sent ..."."""
    expected = await provision(world.source)
    async with running(make_relay(world.source.db, world.servers)):
        await eventually(world.source.all_sent)
        await world.run_until_killed("consumer", f"consumer.{point}:1")
        consumer = world.sink.consumer(world.servers, ack_wait=1.0)
        async with running(consumer):

            async def complete() -> bool:
                try:
                    lag = await consumer.lag()
                except ConnectionError:
                    return False
                return lag == 0 and len(await world.sink.rows(Inbox)) == 20

            await eventually(complete)
    assert await world.sink.users() == expected
    assert await world.sink.rows(DeadLetter) == []
    effects = await world.sink.rows(Effect)
    assert len({(row.event_id, row.target_id, row.action) for row in effects}) == len(effects)
    for user in expected:
        versions = [row.version for row in await world.sink.log() if row.aggregate_id == user]
        assert versions == sorted(set(versions))
        assert versions[-1] == 2
