"""Outbox, relay and consumer end to end, over a real nats-server, on both databases."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Callable

import nats
import pytest
import sqlalchemy as sa

from chassis import outbox
from chassis.consumer import DeadLetterNotFound, DeadLetterQueued, StillPoison
from chassis.database import Database
from chassis.outbox import fence_subject
from chassis.relay import republish
from tests.chassis.delivery_world import (
    OUTBOX,
    STREAM,
    AlwaysLeader,
    AppliedVersion,
    DeadLetter,
    Effect,
    Inbox,
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
    utc,
)

pytestmark = pytest.mark.timeout(60)

MakeUrl = Callable[[str], str]


@pytest.fixture(params=["sqlite", "postgresql"])
async def world(
    request: pytest.FixtureRequest, make_database_url: MakeUrl
) -> AsyncIterator[tuple[Source, Sink, Database]]:
    async with contextlib.AsyncExitStack() as stack:
        dialect = request.param
        source_db = await stack.enter_async_context(
            open_database(make_database_url(dialect), SourceTable.metadata, "source")
        )
        sink_db = await stack.enter_async_context(open_database(make_database_url(dialect), SinkTable.metadata, "sink"))
        source = Source(source_db)
        yield source, Sink(sink_db, source.repair), source_db


async def stream_messages(url: str) -> list[tuple[str, dict[str, str]]]:
    client = await nats.connect(url)
    try:
        js = client.jetstream()
        info = await js.stream_info(STREAM.name)
        found = []
        for sequence in range(info.state.first_seq, info.state.last_seq + 1):
            message = await js.get_msg(STREAM.name, sequence)
            found.append((message.subject, dict(message.headers or {})))
        return found
    finally:
        await client.close()


async def test_every_event_arrives_once_and_in_the_order_of_its_connection(world, nats_server) -> None:
    """DELIVERY.md: "Delivery is at least once; effects happen once." """
    source, sink, _ = world
    connections = [new_id() for _ in range(5)]

    async def provision(connection: str) -> None:
        for number in range(20):
            user = await source.create(connection, f"{number}@example.com")
            await source.update(connection, user, f"{number}+@example.com")
            if number % 5 == 0:
                await source.delete(connection, user)

    async with running(make_relay(source.db, nats_server.url)), running(sink.consumer(nats_server.url)):
        await asyncio.gather(*(provision(connection) for connection in connections))
        expected = 5 * (20 + 20 + 4)

        async def arrived() -> bool:
            return len(await sink.log()) >= expected

        await eventually(arrived, what="arrival of all events")
    log = await sink.log()
    assert len(log) == expected
    assert not any(row.repair for row in log)
    by_connection: dict[str, list[int]] = defaultdict(list)
    for row in log:
        by_connection[row.connection_id].append(row.sequence)
    assert set(by_connection) == set(connections)
    for sequences in by_connection.values():
        assert sequences == list(range(1, 45))
    assert len(await sink.rows(Inbox)) == expected
    assert len(await sink.rows(Effect)) == expected


async def test_stream_order_is_outbox_order_and_rows_are_marked_with_their_sequence(world, nats_server) -> None:
    """DELIVERY.md: "The relay reads unsent ORDER BY id in batches"."""
    source, _, _ = world
    connection = new_id()
    user = await source.create(connection)
    for number in range(30):
        await source.update(connection, user, f"{number}@example.com")
    async with running(make_relay(source.db, nats_server.url)):
        await eventually(source.all_sent)
    rows = await source.sent()
    assert [row.stream_sequence for row in rows] == list(range(1, 32))
    messages = await stream_messages(nats_server.url)
    assert [headers["ce-id"] for _, headers in messages] == [row.event_id for row in rows]
    subject, headers = messages[4]
    assert subject == f"directory.v1.{outbox.partition_of(connection)}.MDM.user.updated.{connection}.{user}"
    assert headers["Nats-Msg-Id"] == headers["ce-id"]
    assert headers["ce-type"] == "rollcall.directory.v1.UserUpdated"
    assert headers["ce-subject"] == f"user/{user}"
    assert (headers["rollcall-version"], headers["rollcall-sequence"]) == ("5", "5")
    assert "example.com" not in subject + str(headers)


async def test_writes_go_on_while_nats_is_down_and_nothing_is_lost(world, nats_server) -> None:
    """DELIVERY.md: "NATS down: SCIM writes go on; the outbox grows; nothing but latency is lost." """
    source, sink, _ = world
    connection = new_id()
    async with running(make_relay(source.db, nats_server.url)), running(sink.consumer(nats_server.url)):
        user = await source.create(connection)

        async def arrived() -> int:
            return len(await sink.log())

        await eventually(arrived)
        nats_server.kill()
        for number in range(50):
            await source.update(connection, user, f"{number}@example.com")
        assert await outbox.unsent_count(source.db, Outbox) >= 49
        nats_server.start()

        async def complete() -> bool:
            return await arrived() == 51

        await eventually(complete, timeout=30, what="arrival after the outage")
    assert [row.version for row in await sink.log()] == list(range(1, 52))
    assert await sink.users() == {user: ("49@example.com", 51)}


async def test_nats_killed_under_load_loses_and_reorders_nothing(world, nats_server) -> None:
    """DELIVERY.md: "Publishes are pipelined (many in flight, acks awaited in order)"; a lost ack is no lost event."""
    source, sink, _ = world
    connections = [new_id() for _ in range(4)]
    users = [await source.create(connection) for connection in connections]

    async def update(connection: str, user: str) -> None:
        for number in range(100):
            await source.update(connection, user, f"{number}@example.com")
            if number % 10 == 0:
                await asyncio.sleep(0.01)  # spread the writes over the outage; no assertion depends on it

    async with running(make_relay(source.db, nats_server.url)), running(sink.consumer(nats_server.url)):
        writing = asyncio.gather(*(update(*pair) for pair in zip(connections, users, strict=True)))
        await eventually(sink.log)
        for _ in range(2):
            nats_server.kill()
            nats_server.start()
        await writing

        async def settled() -> bool:
            return all(version == 101 for _, version in (await sink.users()).values()) and len(await sink.users()) == 4

        await eventually(settled, timeout=40, what="arrival of all updates")
    for user in users:
        versions = [row.version for row in await sink.log() if row.aggregate_id == user]
        assert versions == sorted(set(versions))
    sequences = [row.stream_sequence for row in await source.sent() if row.stream_sequence is not None]
    assert sequences == sorted(sequences)


async def test_a_paused_leader_cannot_break_order(world, nats_server) -> None:
    """DELIVERY.md: "A paused leader must not break order after another took over" """
    source, sink, _ = world
    connection = new_id()
    user = await source.create(connection)
    paused, active = (make_relay(source.db, nats_server.url, leader_lock=AlwaysLeader()) for _ in range(2))
    reached, go_on = asyncio.Event(), asyncio.Event()
    send = paused._send

    async def stop_before_publishing(*arguments):
        reached.set()
        await go_on.wait()
        return await send(*arguments)

    paused._send = stop_before_publishing
    async with running(sink.consumer(nats_server.url)), running(paused):
        await eventually(reached.is_set)
        await source.update(connection, user, "2@example.com")
        async with running(active):
            await eventually(source.all_sent)
        # Now the paused one publishes version 1 of what it read long ago: the fence must stop it.
        paused._send = send
        go_on.set()
        await source.update(connection, user, "3@example.com")
        await eventually(source.all_sent)
    versions = [int(headers["rollcall-version"]) for _, headers in await stream_messages(nats_server.url)]
    assert versions == [1, 2, 3]


async def test_fence_stops_an_old_version_when_the_duplicate_window_has_passed(world, nats_server) -> None:
    """DELIVERY.md: "compare with the last message on that subject: version ≥ mine means already sent"."""
    source, _, _ = world
    connection = new_id()
    user = await source.create(connection)
    await source.update(connection, user, "2@example.com")
    async with running(make_relay(source.db, nats_server.url)):
        await eventually(source.all_sent)
    # As after a crash between publish and mark, long ago: sent, but not marked, and under an id that no window knows.
    await source.db.write(lambda tx: tx.execute(sa.update(OUTBOX).values(sent_at=None, stream_sequence=None)))
    await source.db.write(
        lambda tx: tx.execute(sa.update(OUTBOX).values(event_id=OUTBOX.c.event_id + sa.literal("-again")))
    )
    await source.update(connection, user, "3@example.com")
    async with running(make_relay(source.db, nats_server.url)):
        await eventually(source.all_sent)
    versions = [int(headers["rollcall-version"]) for _, headers in await stream_messages(nats_server.url)]
    assert versions == [1, 2, 3]


async def test_a_deleted_stream_goes_on_with_what_is_unsent(world, nats_server) -> None:
    """DELIVERY.md: "A stream that is lost, restored stale or too short is rebuilt from the outbox"."""
    source, sink, _ = world
    connection = new_id()
    users = [await source.create(connection) for _ in range(20)]
    async with running(make_relay(source.db, nats_server.url)):
        await eventually(source.all_sent)
        client = await nats.connect(nats_server.url)
        await client.jetstream().delete_stream(STREAM.name)
        await client.close()
        for user in users:
            await source.update(connection, user, "2@example.com")
        await eventually(source.all_sent, what="publishing to the new stream")
        versions = [int(headers["rollcall-version"]) for _, headers in await stream_messages(nats_server.url)]
        assert versions == [2] * 20
        count = await republish(source.db, Outbox, servers=nats_server.url, stream=STREAM)
        assert count == 40
        # The relay goes on although others published, and versions on a subject went back.
        for user in users:
            await source.update(connection, user, "3@example.com")
        await eventually(source.all_sent, what="publishing after the replay")
        async with running(sink.consumer(nats_server.url)):

            async def arrived() -> bool:
                return await sink.users() == dict.fromkeys(users, ("3@example.com", 3))

            await eventually(arrived)


async def test_one_relay_leads_and_another_takes_over_when_it_ends(world, nats_server) -> None:
    """DELIVERY.md: "there is one active relay, elected by a database lock ...; the others are hot standbys"."""
    source, _, _ = world
    connection = new_id()
    user = await source.create(connection)
    first, second = make_relay(source.db, nats_server.url), make_relay(source.db, nats_server.url)
    async with running(first) as first_task:
        await eventually(lambda: first.leading)
        async with running(second):
            for number in range(20):
                await source.update(connection, user, f"{number}@example.com")
            await eventually(source.all_sent)
            assert (first.published, second.published, second.leading) == (21, 0, False)
            first_task.cancel()
            await asyncio.wait([first_task])
            await source.update(connection, user, "last@example.com")
            await eventually(source.all_sent)
            assert second.leading
            assert second.published == 1


async def test_replayed_events_change_nothing(world, nats_server) -> None:
    """DELIVERY.md: "republishes from the outbox; consumers prove idempotent by changing nothing"."""
    source, sink, _ = world
    connection = new_id()
    users = [await source.create(connection) for _ in range(10)]
    for user in users:
        await source.update(connection, user, "2@example.com")
    await source.delete(connection, users[0])
    consumer = sink.consumer(nats_server.url)
    async with running(make_relay(source.db, nats_server.url)), running(consumer):

        async def arrived() -> bool:
            return len(await sink.log()) == 21

        await eventually(arrived)
        before = (await sink.log(), await sink.users(), await sink.rows(Effect), await sink.rows(Inbox))
        for _ in range(3):
            assert await republish(source.db, Outbox, servers=nats_server.url, stream=STREAM) == 21
        await eventually(lambda: consumer.counters["duplicates"] == 63)
        assert await eventually_lag_zero(consumer)
        assert (await sink.log(), await sink.users(), await sink.rows(Effect), await sink.rows(Inbox)) == before
        assert await republish(source.db, Outbox, servers=nats_server.url, stream=STREAM, connection_id=new_id()) == 0
        assert (
            await republish(
                source.db, Outbox, servers=nats_server.url, stream=STREAM, connection_id=connection, from_sequence=20
            )
            == 2
        )
        assert await republish(source.db, Outbox, servers=nats_server.url, stream=STREAM, from_time=utc(hours=-1)) == 0


async def eventually_lag_zero(consumer) -> bool:
    async def zero() -> bool:
        return await consumer.lag() == 0

    await eventually(zero, what="lag 0")
    return True


async def test_a_gap_is_repaired_from_the_directory_and_later_events_go_on(world, nats_server) -> None:
    """DELIVERY.md: "a gap is repaired by reading the aggregate from the directory, counted and logged"."""
    source, sink, _ = world
    connection = new_id()
    user = await source.create(connection)
    for number in (2, 3, 4):
        await source.update(connection, user, f"{number}@example.com")
    # Versions 1 and 2 never reach the stream.
    await source.db.write(
        lambda tx: tx.execute(sa.update(OUTBOX).where(OUTBOX.c.version <= 2).values(sent_at=utc(minutes=1)))
    )
    consumer = sink.consumer(nats_server.url)
    async with running(make_relay(source.db, nats_server.url)), running(consumer):

        async def arrived() -> bool:
            return len(await sink.rows(Inbox)) == 2

        await eventually(arrived)
        assert await sink.users() == {user: ("4@example.com", 4)}
        await source.update(connection, user, "5@example.com")

        async def arrived_five() -> bool:
            return await sink.users() == {user: ("5@example.com", 5)}

        await eventually(arrived_five)
        assert consumer.counters["gaps"] == 1
        assert consumer.counters["repaired"] == 1
    log = await sink.log()
    assert [(row.version, row.repair) for row in log] == [(4, True), (5, False)]
    assert {row.disposition for row in await sink.rows(Inbox)} == {"REPAIRED", "COVERED", "APPLIED"}


async def test_a_newer_directory_may_send_kinds_and_fields_that_are_not_known_yet(world, nats_server) -> None:
    """The rule of upgrades: "old and new event schema run together"; nobody's events wait for the upgrade."""
    source, sink, _ = world
    connection = new_id()
    user = await source.create(connection)
    for number in (2, 3, 4):
        await source.update(connection, user, f"{number}@example.com")
    unknown_field = b"\x82\xf1\x04\x03new"  # field 10000, of three bytes

    def renew(tx) -> None:
        # Versions 2 and 4 are of a kind that a later release brings, version 3 has a field of that release.
        kinds = OUTBOX.c.version.in_((2, 4))
        tx.execute(
            sa.update(OUTBOX).where(kinds).values(type="rollcall.directory.v1.UserPromoted", payload=b"\x0a\x00")
        )
        (payload,) = tx.execute(sa.select(OUTBOX.c.payload).where(OUTBOX.c.version == 3)).one()
        tx.execute(sa.update(OUTBOX).where(OUTBOX.c.version == 3).values(payload=payload + unknown_field))

    await source.db.write(renew)
    consumer = sink.consumer(nats_server.url)
    async with running(make_relay(source.db, nats_server.url)), running(consumer):

        async def arrived() -> bool:
            return len(await sink.rows(Inbox)) == 4

        await eventually(arrived)
        await source.update(connection, user, "5@example.com")

        async def arrived_five() -> bool:
            return await sink.users() == {user: ("5@example.com", 5)}

        await eventually(arrived_five)
    assert await sink.rows(DeadLetter) == []
    assert consumer.counters["gaps"] == 1
    # Version 2 was read from the directory, which had version 4 by then.
    assert [(row.version, row.repair) for row in await sink.log()] == [(1, False), (4, True), (5, False)]


async def test_an_older_directory_may_leave_out_what_it_does_not_know(world, nats_server) -> None:
    """As above: a message without the optional headers and without a field is applied as its defaults say."""
    source, sink, _ = world
    connection, user = new_id(), new_id()
    subject = f"directory.v1.{outbox.partition_of(connection)}.MDM.user.created.{connection}.{user}"
    headers = {
        "ce-id": new_id(), "ce-type": "rollcall.directory.v1.UserCreated", "ce-subject": f"user/{user}",
        "rollcall-version": "1", "rollcall-sequence": "1",
    }  # fmt: skip
    consumer = sink.consumer(nats_server.url)
    async with running(make_relay(source.db, nats_server.url)), running(consumer):
        await eventually(lambda: len(consumer.partitions) == 16)
        client = await nats.connect(nats_server.url)
        await client.jetstream().publish(subject, b"", headers=headers)
        await client.close()

        async def arrived() -> bool:
            return await sink.users() == {user: ("", 0)}

        await eventually(arrived)
    assert await sink.rows(DeadLetter) == []


async def test_a_dead_letter_of_an_unknown_kind_can_be_retried_once_the_directory_knows_it(world, nats_server) -> None:
    """DELIVERY.md: "`rollcall deadletter list|show|retry|discard`"; a kind is known to the directory at least."""
    source, sink, _ = world
    connection, user = new_id(), new_id()
    subject = f"directory.v1.{outbox.partition_of(connection)}.MDM.user.promoted.{connection}.{user}"
    headers = {
        "ce-id": new_id(), "ce-type": "rollcall.directory.v1.UserPromoted", "ce-subject": f"user/{user}",
        "rollcall-version": "1", "rollcall-sequence": "1",
    }  # fmt: skip
    consumer = sink.consumer(nats_server.url)
    async with running(make_relay(source.db, nats_server.url)), running(consumer):
        await eventually(lambda: len(consumer.partitions) == 16)
        client = await nats.connect(nats_server.url)
        await client.jetstream().publish(subject, b"", headers=headers)
        await client.close()

        async def parked() -> bool:
            return len(await sink.rows(DeadLetter)) == 1

        await eventually(parked)
        (letter,) = await sink.rows(DeadLetter)
        with pytest.raises(StillPoison):
            await consumer.retry_dead_letter(letter.id)
        await source.create(connection, user_id=user)
        await consumer.retry_dead_letter(letter.id)
    assert await sink.users() == {user: ("a@example.com", 1)}
    assert await sink.rows(DeadLetter) == []


async def test_a_gap_waits_for_a_directory_that_is_away(world, nats_server) -> None:
    """A directory that does not answer is no poison: the repair is tried until it does."""
    source, sink, _ = world
    connection = new_id()
    user = await source.create(connection)
    await source.update(connection, user, "2@example.com")
    await source.db.write(
        lambda tx: tx.execute(sa.update(OUTBOX).where(OUTBOX.c.version == 1).values(sent_at=utc(minutes=1)))
    )
    tries = 0

    async def away_at_first(event):
        nonlocal tries
        tries += 1
        if tries <= 4:
            raise TimeoutError("the directory is away")
        return await source.repair(event)

    sink.repair = away_at_first
    async with running(make_relay(source.db, nats_server.url)), running(sink.consumer(nats_server.url)):

        async def arrived() -> bool:
            return await sink.users() == {user: ("2@example.com", 2)}

        await eventually(arrived)
    assert tries == 5
    assert await sink.rows(DeadLetter) == []


async def test_deletion_leaves_a_tombstone_that_covers_every_later_event(world, nats_server) -> None:
    """DELIVERY.md: "Per aggregate, the consumer keeps the last applied version, tombstones included"."""
    source, sink, _ = world
    connection = new_id()
    user = await source.create(connection)
    await source.update(connection, user, "2@example.com")
    await source.delete(connection, user)
    consumer = sink.consumer(nats_server.url)
    async with running(make_relay(source.db, nats_server.url)), running(consumer):

        async def deleted() -> bool:
            return len(await sink.rows(Inbox)) == 3

        await eventually(deleted)
        assert await sink.users() == {}
        (version,) = await sink.rows(AppliedVersion)
        assert (version.version, version.deleted) == (3, True)
        # The events arrive once more under other ids, so that the inbox does not know them.
        await source.db.write(
            lambda tx: tx.execute(sa.update(OUTBOX).values(event_id=OUTBOX.c.event_id + sa.literal("x")))
        )
        await republish(source.db, Outbox, servers=nats_server.url, stream=STREAM)
        await eventually(lambda: consumer.counters["covered"] == 3)
    assert await sink.users() == {}


async def test_poison_parks_its_aggregate_and_nobody_else(world, nats_server) -> None:
    """DELIVERY.md: "the aggregate is marked parked, later events of that aggregate queue behind it in order"."""
    source, sink, _ = world
    connection = new_id()
    bad, good = await source.create(connection), await source.create(connection)
    sink.poison = {bad}
    consumer = sink.consumer(nats_server.url)
    async with running(make_relay(source.db, nats_server.url)), running(consumer):
        for number in range(3):
            await source.update(connection, bad, f"{number}@example.com")
            await source.update(connection, good, f"{number}@example.com")

        async def queued() -> bool:
            return len(await sink.rows(DeadLetter)) == 4 and await sink.users() == {good: ("2@example.com", 4)}

        await eventually(queued)
        assert await eventually_lag_zero(consumer)
        letters = sorted(await sink.rows(DeadLetter), key=lambda row: row.version)
        assert [letter.state for letter in letters] == ["PARKED", "QUEUED", "QUEUED", "QUEUED"]
        assert letters[0].attempts == 2
        assert "ValueError" in letters[0].error
        with pytest.raises(DeadLetterQueued):
            await consumer.retry_dead_letter(letters[1].id)
        with pytest.raises(DeadLetterNotFound):
            await consumer.retry_dead_letter(new_id())
        with pytest.raises(StillPoison):
            await consumer.retry_dead_letter(letters[0].id)
        assert len(await sink.rows(DeadLetter)) == 4
        sink.poison = {letters[2].event_id}
        assert await consumer.retry_dead_letter(letters[0].id) == 2
        remaining = sorted(await sink.rows(DeadLetter), key=lambda row: row.version)
        assert [(letter.version, letter.state) for letter in remaining] == [(3, "PARKED"), (4, "QUEUED")]
        sink.poison = set()
        assert await consumer.retry_dead_letter(remaining[0].id) == 2
        assert await sink.rows(DeadLetter) == []
        await source.update(connection, bad, "after@example.com")

        async def applied() -> bool:
            return (await sink.users())[bad] == ("after@example.com", 5)

        await eventually(applied)
    assert [row.version for row in await sink.log() if row.aggregate_id == bad] == [1, 2, 3, 4, 5]
    assert len(await sink.rows(Inbox)) == 9


async def test_discarded_poison_is_repaired_from_the_directory(world, nats_server) -> None:
    """DELIVERY.md: "rollcall deadletter list|show|retry|discard"; what queues behind a discarded one is not lost."""
    source, sink, _ = world
    connection = new_id()
    user = await source.create(connection)
    sink.poison = {user}
    consumer = sink.consumer(nats_server.url)
    async with running(make_relay(source.db, nats_server.url)), running(consumer):
        await source.update(connection, user, "2@example.com")
        await source.update(connection, user, "3@example.com")

        async def queued() -> bool:
            return len(await sink.rows(DeadLetter)) == 3

        await eventually(queued)
        (head,) = [letter for letter in await sink.rows(DeadLetter) if letter.state == "PARKED"]
        sink.poison = set()
        assert await consumer.discard_dead_letter(head.id) == 2
    assert await sink.users() == {user: ("3@example.com", 3)}
    assert await sink.rows(DeadLetter) == []
    (version,) = await sink.rows(AppliedVersion)
    assert version.version == 3


@pytest.mark.parametrize("kind", ["payload", "type", "headers"])
async def test_what_cannot_be_read_is_a_dead_letter(world, nats_server, kind) -> None:
    """DELIVERY.md: "poison of three kinds": a message that cannot be decoded is parked as it is."""
    source, sink, _ = world
    connection, user = new_id(), new_id()
    subject = f"directory.v1.{outbox.partition_of(connection)}.MDM.user.created.{connection}.{user}"
    headers = {
        "ce-id": new_id(),
        "ce-type": "rollcall.directory.v1.UserCreated",
        "ce-subject": f"user/{user}",
        "rollcall-version": "1",
        "rollcall-sequence": "1",
    }
    payload = b""
    if kind == "payload":
        payload = b"\xff\xff\xff"
    elif kind == "type":
        headers["ce-type"] = "rollcall.directory.v1.UserTeleported"
    else:
        headers = {}
    consumer = sink.consumer(nats_server.url)
    async with running(make_relay(source.db, nats_server.url)), running(consumer):
        other = await source.create(connection)

        async def arrived() -> bool:
            return other in await sink.users()

        await eventually(arrived)
        client = await nats.connect(nats_server.url)
        await client.jetstream().publish(subject, payload, headers=headers)
        await client.close()
        await source.update(connection, other, "2@example.com")

        async def parked() -> bool:
            return len(await sink.rows(DeadLetter)) == 1 and (await sink.users())[other][1] == 2

        await eventually(parked)
        assert await eventually_lag_zero(consumer)
    (letter,) = await sink.rows(DeadLetter)
    assert (letter.state, letter.aggregate_id, letter.connection_id) == ("PARKED", user, connection)
    assert letter.payload == payload
    assert letter.error


async def test_a_consumer_that_restarts_applies_nothing_twice(world, nats_server) -> None:
    """DELIVERY.md: "Replay: inbox hit, ack." A consumer that dies between COMMIT and ack gets the events again."""
    source, sink, _ = world
    connection = new_id()
    consumer = sink.consumer(nats_server.url, ack_wait=1.0)
    acked = 0

    async def never(*_arguments) -> None:
        nonlocal acked
        acked += 1

    import chassis.consumer as module

    original = module._ack
    async with running(make_relay(source.db, nats_server.url)):
        module._ack = never
        try:
            async with running(consumer):
                users = [await source.create(connection) for _ in range(5)]

                async def applied() -> bool:
                    return len(await sink.log()) == 5

                await eventually(applied)
                await eventually(lambda: acked == 5)
        finally:
            module._ack = original
        again = sink.consumer(nats_server.url, ack_wait=1.0)
        async with running(again):
            await eventually(lambda: again.counters["duplicates"] == 5)
            assert await eventually_lag_zero(again)
    assert len(await sink.log()) == 5
    assert len(await sink.users()) == len(users)


async def test_two_replicas_share_the_partitions_and_keep_order(world, nats_server) -> None:
    """DELIVERY.md: "adding replicas spreads partitions and keeps order"."""
    source, sink, _ = world
    connections = [new_id() for _ in range(8)]
    users = [await source.create(connection) for connection in connections]
    stopping = False

    async def update(connection: str, user: str) -> int:
        count = 1
        while not stopping or count < 20:
            count += 1
            await source.update(connection, user, f"{count}@example.com")
        return count

    first, second = sink.consumer(nats_server.url), sink.consumer(nats_server.url)
    async with running(make_relay(source.db, nats_server.url)), running(first):
        await eventually(lambda: len(first.partitions) == 16)
        writing = asyncio.gather(*(update(*pair) for pair in zip(connections, users, strict=True)))
        async with running(second):
            await eventually(lambda: len(first.partitions) == 8 and len(second.partitions) == 8)
            assert not first.partitions & second.partitions
        # The second one left in order: its partitions return at once.
        await eventually(lambda: len(first.partitions) == 16)
        stopping = True
        counts = await writing

        async def settled() -> bool:
            return {user: version for user, (_, version) in (await sink.users()).items()} == dict(
                zip(users, counts, strict=True)
            )

        await eventually(settled, what="arrival of every update")
    for user, count in zip(users, counts, strict=True):
        assert [row.version for row in await sink.log() if row.aggregate_id == user] == list(range(1, count + 1))
    assert first.counters["gaps"] == second.counters["gaps"] == 0


async def test_the_partitions_of_a_replica_that_died_are_taken_over(world, nats_server) -> None:
    """DELIVERY.md: "A replica works a partition only while it holds that partition's lease" """
    source, sink, _ = world
    dead, alive = sink.consumer(nats_server.url), sink.consumer(nats_server.url)
    connection = new_id()
    async with running(make_relay(source.db, nats_server.url)):
        held = await sink.db.write(lambda tx: dead._store.renew_leases(tx, dead._owner, 16, 1.0))
        assert len(held.mine) == 16
        async with running(alive):
            user = await source.create(connection)

            async def applied() -> bool:
                return user in await sink.users()

            await eventually(applied)
            await eventually(lambda: len(alive.partitions) == 16)


async def test_prune_removes_only_what_was_sent_long_ago(world, nats_server) -> None:
    """DELIVERY.md: "Rows are kept, marked sent, at least as long as the stream's max_age, then pruned in chunks."."""
    source, _, _ = world
    connection = new_id()
    users = [await source.create(connection) for _ in range(7)]
    await source.db.write(lambda tx: tx.execute(sa.update(OUTBOX).where(OUTBOX.c.id <= 5).values(sent_at=utc(days=31))))
    await source.db.write(lambda tx: tx.execute(sa.update(OUTBOX).where(OUTBOX.c.id == 6).values(sent_at=utc(days=1))))
    assert await outbox.prune(source.db, Outbox, utc(days=30), chunk=2) == 5
    left = await source.db.read(
        lambda tx: tx.execute(sa.select(OUTBOX.c.aggregate_id).order_by(OUTBOX.c.id)).scalars().all()
    )
    assert list(left) == users[5:]


def test_fence_covers_every_action_of_an_aggregate() -> None:
    """DELIVERY.md: the fence is "on the aggregate's own subject", of which the action is one token."""
    assert fence_subject("directory.v1.3.MDM.user.created.c.u") == "directory.v1.3.MDM.user.*.c.u"
    assert fence_subject("mdm.v1.3.device.apply_policy.w.d") == "mdm.v1.3.device.*.w.d"
    with pytest.raises(ValueError):
        fence_subject("a.b.c")


@pytest.mark.parametrize("what", ["relay", "consumer"])
async def test_a_cancellation_that_a_library_loses_still_ends_the_work(
    sqlite_url, make_database_url, nats_server, what
) -> None:
    """On Python 3.11 `asyncio.wait_for` loses a cancellation that comes together with the answer; the loops notice."""
    async with (
        open_database(sqlite_url, SourceTable.metadata, "source") as source_db,
        open_database(make_database_url("sqlite"), SinkTable.metadata, "sink") as sink_db,
    ):
        sink = Sink(sink_db, Source(source_db).repair)
        worker = make_relay(source_db, nats_server.url) if what == "relay" else sink.consumer(nats_server.url)
        entered = asyncio.Event()

        async def lose_cancellation() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                entered.set()
                await asyncio.Event().wait()

        setattr(worker, "_step" if what == "relay" else "_balance", lose_cancellation)
        task = asyncio.create_task(worker.run())
        await asyncio.wait_for(entered.wait(), 20)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=10)
        assert done
        assert task.cancelled()
