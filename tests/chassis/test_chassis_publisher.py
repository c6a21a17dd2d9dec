"""What JetStream does with our fences, what a publisher tells, and who leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from nats.aio.client import Client
from rollcall.directory.v1 import events_pb2

from chassis import outbox, streams
from chassis.leadership import FileLeaderLock, PostgresLeaderLock, leader_lock
from chassis.publisher import WRONG_LAST_SEQUENCE, Ack, ConnectionLost, NoResponders, Publisher, PublishRefused
from tests.chassis.delivery_world import (
    STREAM,
    DeadLetter,
    Outbox,
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
from tests.conftest import NatsServer, PostgresServer

pytestmark = pytest.mark.timeout(60)

USER = "directory.v1.3.MDM.user.{action}.c.u"


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[Client]:
    lost: list[Publisher] = []
    opened = await streams.connect(
        nats_server.url, name="test", disconnected=lambda: [p.connection_lost() for p in lost]
    )
    opened.publishers = lost
    await streams.ensure_stream(opened.jetstream(), STREAM)
    yield opened
    await streams.close(opened)


@pytest.fixture
async def publisher(client: Client) -> Publisher:
    made = Publisher(client)
    await made.start()
    client.publishers.append(made)
    return made


async def publish(publisher: Publisher, subject: str, **headers: str) -> Ack:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return await asyncio.wait_for(await publisher.publish(subject, b"x", names), 10)


def fence(sequence: int) -> dict[str, str]:
    return {
        "Nats_Expected_Last_Subject_Sequence": str(sequence),
        "Nats_Expected_Last_Subject_Sequence_Subject": outbox.fence_subject(USER.format(action="created")),
    }


async def test_the_fence_covers_all_actions_of_an_aggregate_and_no_other_aggregate(publisher: Publisher) -> None:
    """DELIVERY.md: "`Nats-Expected-Last-Subject-Sequence` as a fence on the aggregate's own subject"."""
    assert await publish(publisher, USER.format(action="created"), **fence(0)) == Ack(1, False)
    assert await publish(publisher, USER.format(action="updated"), **fence(1)) == Ack(2, False)
    assert await publish(publisher, "directory.v1.3.MDM.user.created.c.other") == Ack(3, False)
    for old in (0, 1, 3):
        with pytest.raises(PublishRefused) as caught:
            await publish(publisher, USER.format(action="deleted"), **fence(old))
        assert caught.value.code in WRONG_LAST_SEQUENCE
    assert await publish(publisher, USER.format(action="deleted"), **fence(2)) == Ack(4, False)


async def test_both_fences_hold_together_and_refuse_all_that_follows(publisher: Publisher) -> None:
    """A message that is refused leaves no place: whatever was sent behind it is refused too, so order is kept."""
    outcomes = []
    futures = [
        await publisher.publish(f"directory.v1.3.MDM.user.created.c.u{number}", b"x", headers)
        for number, headers in enumerate(
            {
                "Nats-Expected-Last-Sequence": str(number),
                "Nats-Expected-Last-Subject-Sequence": "7" if number == 2 else "0",
                "Nats-Expected-Last-Subject-Sequence-Subject": f"directory.v1.3.MDM.user.*.c.u{number}",
            }
            for number in range(5)
        )
    ]
    for future in futures:
        try:
            outcomes.append((await asyncio.wait_for(future, 10)).sequence)
        except PublishRefused as error:
            outcomes.append(error.code in WRONG_LAST_SEQUENCE)
    assert outcomes == [1, 2, True, True, True]


async def test_a_message_of_a_known_id_is_a_duplicate(publisher: Publisher) -> None:
    """DELIVERY.md: "Retried stored messages answer `duplicate` ... or 10071"."""
    first = await publish(publisher, USER.format(action="created"), Nats_Msg_Id="e-1")
    again = await publish(publisher, USER.format(action="created"), Nats_Msg_Id="e-1")
    assert (first, again) == (Ack(1, False), Ack(1, True))


async def test_every_future_resolves(publisher: Publisher, nats_server: NatsServer) -> None:
    """TRAPS.md: "`publish_async` futures never resolve after a lost connection"; ours do."""
    with pytest.raises(NoResponders):
        await publish(publisher, "nobody.takes.this")
    with pytest.raises(PublishRefused, match="max_payload"):
        await publisher.publish(USER.format(action="created"), bytes(9_000_000), {})
    nats_server.pause()
    future = await publisher.publish(USER.format(action="created"), b"x", {})
    nats_server.resume()
    assert (await asyncio.wait_for(future, 10)).sequence == 1
    nats_server.pause()
    future = await publisher.publish(USER.format(action="created"), b"x", {})
    nats_server.kill()
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(future, 10)

    async def refused() -> bool:
        try:
            await publisher.publish(USER.format(action="created"), b"x", {})
        except ConnectionLost:
            return True
        return False

    await eventually(refused)
    nats_server.start()

    async def back() -> bool:
        try:
            await publish(publisher, USER.format(action="created"))
        except (ConnectionLost, NoResponders):
            return False
        return True

    await eventually(back)


async def test_streams_and_consumers_are_made_once_and_kept(client: Client) -> None:
    """Creation is idempotent: a second start changes nothing of what is delivered."""
    js = client.jetstream()
    for _ in range(2):
        await streams.ensure_stream(js, STREAM)
        await streams.ensure_consumers(js, STREAM, "portal")
    info = await js.stream_info(STREAM.name)
    assert info.config.subjects == ["directory.v1.>"]
    assert (info.config.max_age, info.config.duplicate_window, info.config.num_replicas) == (30 * 24 * 3600, 600, 1)
    assert info.config.storage == "file"
    assert info.config.retention == "limits"
    consumers = {consumer.name: consumer for consumer in await js.consumers_info(STREAM.name)}
    assert set(consumers) == {f"portal-{partition}" for partition in range(16)}
    assert consumers["portal-7"].config.filter_subject == "directory.v1.7.>"
    assert consumers["portal-7"].config.ack_policy == "explicit"


async def test_a_permission_violation_is_told_loudly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """SECURITY.md: "A permission violation looks like a timeout in nats-py: catch it in `error_cb` and fail loudly"."""
    server = NatsServer(tmp_path / "nats")
    server.config = 'authorization { users: [ {user: a, password: b, permissions: {publish: ["allowed"]}} ] }'
    server.start()
    try:
        opened = await streams.connect(server.url.replace("//", "//a:b@"), name="relay")
        await opened.publish("denied", b"x")
        await eventually(
            lambda: any(
                record.levelno >= logging.ERROR and "refuses relay" in record.message for record in caplog.records
            )
        )
        await streams.close(opened)
    finally:
        server.kill()


def test_a_subject_that_nats_would_refuse_never_reaches_the_outbox() -> None:
    """What cannot be published would stop the relay for ever: it is refused when it is appended."""

    def event(subject: str, version: int = 1, sequence: int = 1) -> outbox.OutboxEvent:
        return outbox.OutboxEvent(
            message=events_pb2.UserCreated(),
            subject=subject,
            source="s",
            connection_id="c",
            aggregate_kind="user",
            aggregate_id="u",
            version=version,
            sequence=sequence,
        )

    for wrong in ("", "a.b.c", "a.b.c.d e", "a.b.*.d", "a.b.c.>", "a..b.c", "a.b.c.ü", "a.b.c.d\n"):
        with pytest.raises(ValueError, match="subject"):
            outbox.append_all(None, Outbox, [event(wrong)])
    for version, sequence in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="start at 1"):
            outbox.append_all(None, Outbox, [event("a.b.c.d", version, sequence)])


async def test_an_event_larger_than_the_server_takes_is_told_and_waits(
    sqlite_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is skipped: what the server does not take holds the line, and the log names the event."""
    server = NatsServer(tmp_path / "small")
    server.config = "max_payload: 2000"
    server.start()
    try:
        async with open_database(sqlite_url, SourceTable.metadata, "source") as db:
            source, connection = Source(db), new_id()
            first = await source.create(connection)
            large = await source.create(connection, "x" * 5000)
            await source.update(connection, first, "2@example.com")
            async with running(make_relay(db, server.url)) as task:

                async def sent_one() -> bool:
                    return len(await source.sent()) == 1

                await eventually(sent_one)
                await eventually(lambda: any("max_payload" in record.message for record in caplog.records))
                assert not task.done()
            assert [row.aggregate_id for row in await source.sent()] == [first]
            assert large not in caplog.text
    finally:
        server.kill()


async def test_a_file_lock_has_one_holder_and_ends_with_it(tmp_path: Path) -> None:
    """DELIVERY.md: "one active relay, elected by a database lock"; on SQLite a file beside the database."""
    first, second = (FileLeaderLock(str(tmp_path / "lock")) for _ in range(2))
    assert await first.acquire()
    assert await first.acquire()
    assert await first.verify()
    assert not await second.acquire()
    assert not await second.verify()
    await first.release()
    assert not await first.verify()
    assert await second.acquire()
    (tmp_path / "lock").unlink()
    assert not await second.verify()
    await second.release()


async def test_an_advisory_lock_has_one_holder_and_ends_with_its_session(
    postgres_server: PostgresServer, postgres_url: str
) -> None:
    """The lock is the session's: when the server ends the session, a standby takes over and the old leader knows."""
    first, second = (PostgresLeaderLock(postgres_url, "relay") for _ in range(2))
    other = PostgresLeaderLock(postgres_url, "another relay")
    try:
        assert await first.acquire()
        assert await first.acquire()
        assert await first.verify()
        assert not await second.acquire()
        assert await other.acquire()
        with postgres_server.connect() as connection:
            (seconds,) = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'rollcall-leader' AND datname = %s",
                (sa.make_url(postgres_url).database,),
            ).fetchone() or (0,)
            assert seconds == 3
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted"
                " AND database = (SELECT oid FROM pg_database WHERE datname = %s)",
                (sa.make_url(postgres_url).database,),
            )

        async def taken() -> bool:
            return await second.acquire()

        await eventually(taken)
        assert not await first.verify()
        assert not await first.acquire()
        assert await second.verify()
    finally:
        for lock in (first, second, other):
            await lock.release()


def test_each_database_has_the_lock_that_fits_it(tmp_path: Path) -> None:
    """A file beside SQLite's, an advisory lock in PostgreSQL."""
    assert isinstance(leader_lock(sa.make_url(f"sqlite:///{tmp_path}/x.db"), "relay"), FileLeaderLock)
    assert isinstance(leader_lock(sa.make_url("postgresql+psycopg://a@b/c"), "relay"), PostgresLeaderLock)


async def test_a_commit_of_another_process_wakes_the_relay(postgres_url: str, nats_server: NatsServer) -> None:
    """DELIVERY.md: "LISTEN/NOTIFY between processes", with a slow poll as backstop only."""
    async with (
        open_database(postgres_url, SourceTable.metadata, "relay") as relay_db,
        open_database(postgres_url, SourceTable.metadata, "writer") as writer_db,
    ):
        source = Source(writer_db)
        async with running(make_relay(relay_db, nats_server.url, poll=600.0)) as task:
            await source.create(new_id())
            await eventually(source.all_sent)
            for _ in range(3):
                await source.create(new_id())
                await eventually(source.all_sent, timeout=10)
            assert not task.done()


async def test_an_event_that_meets_a_retry_is_applied_or_queued_and_never_stranded(
    postgres_url: str, nats_server: NatsServer, make_database_url
) -> None:
    """An event that comes while its aggregate is being unparked by another replica does not queue behind nobody."""
    async with (
        open_database(postgres_url, SinkTable.metadata, "one") as db,
        open_database(postgres_url, SinkTable.metadata, "two") as other_db,
        open_database(make_database_url("postgresql"), SourceTable.metadata, "source") as source_db,
    ):
        source = Source(source_db)
        sink, other = Sink(db, source.repair), Sink(other_db, source.repair)
        connection = new_id()
        user = await source.create(connection)
        sink.poison = {user}
        consumer = sink.consumer(nats_server.url)
        async with running(make_relay(source_db, nats_server.url)), running(consumer):

            async def parked() -> list[sa.Row]:
                return await sink.rows(DeadLetter)

            for round_number in range(5):
                await eventually(parked)
                sink.poison = set()
                letters = await sink.rows(DeadLetter)
                (head,) = [letter for letter in letters if letter.state == "PARKED"]
                retry = asyncio.ensure_future(other.consumer(nats_server.url).retry_dead_letter(head.id))
                await asyncio.gather(
                    retry, *(source.update(connection, user, f"{round_number}-{n}@example.com") for n in range(5))
                )

                async def settled(version: int = 6 + round_number * 6) -> bool:
                    return (await sink.users()).get(user, ("", 0))[1] == version

                await eventually(settled)
                assert await sink.rows(DeadLetter) == []
                sink.poison = {user}
                await source.update(connection, user, "poison@example.com")
