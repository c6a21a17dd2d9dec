"""Effects and dead letters, asked for over gRPC."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import sqlalchemy as sa
from rollcall.delivery.v1 import delivery_service_pb2 as pb
from rollcall.delivery.v1 import delivery_service_pb2_grpc as pb_grpc
from rollcall.directory.v1 import events_pb2

from chassis import effects
from chassis.consumer import Event
from chassis.database import Database
from chassis.delivery_servicer import SERVICE_NAME, DeliveryServicer
from chassis.errors import RpcFailure, from_rpc_error
from chassis.grpc_client import channel
from chassis.grpc_server import Server
from chassis.identifiers import time_ordered_id
from chassis.outbox import table_of
from chassis.reconcile import Reconciler
from tests.chassis.delivery_world import (
    TABLES,
    DeadLetter,
    Effect,
    Sink,
    SinkTable,
    Source,
    eventually,
    new_id,
    open_database,
    utc,
)

pytestmark = pytest.mark.timeout(60)


def event(event_id: str = "", **changes: Any) -> Event:
    values: dict[str, Any] = {
        "id": event_id or new_id(),
        "type": "rollcall.directory.v1.UserCreated",
        "time": datetime.datetime.now(datetime.UTC),
        "connection_id": "c",
        "aggregate_kind": "user",
        "aggregate_id": "u",
        "portal": "MDM",
        "version": 1,
        "sequence": 1,
        "request_id": "r",
        "traceparent": "",
        "message": events_pb2.UserCreated(),
    }
    return Event(**{**values, **changes})


def effect(tx: Any, of: Event, **changes: Any) -> str:
    values: dict[str, Any] = {
        "workspace_id": "w",
        "connection_id": "c",
        "user_id": "u",
        "user_name": "a@example.com",
        "rule": "on_create",
        "rule_version": 2,
        "target_kind": "DEVICE",
        "target_id": "d",
        "target_name": "serial",
        "action": "CHANGE_POLICY",
        "before": {"policy_id": "p1"},
        "after": None,
        "outcome": "APPLIED",
    }
    return effects.record(tx, Effect, of, **{**values, **changes})


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url, SinkTable.metadata, "sink") as database:
        yield database


@pytest.fixture
async def sink(db: Database) -> Sink:
    return Sink(db, Source(db).repair)


class Nowhere:
    """A service that keeps no connection and no workspace."""

    async def connections(self, connection_id: str) -> list[Any]:
        return []

    async def closed_workspaces(self) -> list[Any]:
        return []


@pytest.fixture
async def service(db: Database, sink: Sink) -> AsyncIterator[pb_grpc.DeliveryServiceStub]:
    consumer = sink.consumer("nats://127.0.0.1:1")
    servicer = DeliveryServicer(db, TABLES, consumer, Reconciler(db, TABLES, consumer, Nowhere()))
    server = Server(
        register=lambda made: pb_grpc.add_DeliveryServiceServicer_to_server(servicer, made),
        service_names=[SERVICE_NAME],
        address="127.0.0.1:0",
    )
    await server.start()
    async with channel(f"127.0.0.1:{server.port}") as opened:
        yield pb_grpc.DeliveryServiceStub(opened)
    await server.stop()


async def failure(call: Any) -> RpcFailure:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_an_effect_tells_everything_that_why_needs(db: Database, service) -> None:
    """PRODUCT.md §7: event id, request id, connection, user, rule and its version, target, action, before, after, …"""
    cause = event(repair=True)
    effect_id = await db.write(lambda tx: effect(tx, cause, outcome="SKIPPED", reason="CHANGED_HANDS"))
    got = (await service.GetEffect(pb.GetEffectRequest(workspace_id="w", effect_id=effect_id))).effect
    assert abs(got.time.ToDatetime(datetime.UTC) - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)
    got.ClearField("time")
    assert got == pb.Effect(
        effect_id=effect_id,
        event_id=cause.id,
        event_type=cause.type,
        request_id="r",
        workspace_id="w",
        connection_id="c",
        user_id="u",
        user_name="a@example.com",
        rule="on_create",
        rule_version=2,
        target_kind=pb.TARGET_KIND_DEVICE,
        target_id="d",
        target_name="serial",
        action="CHANGE_POLICY",
        before='{"policy_id":"p1"}',
        outcome=pb.OUTCOME_SKIPPED,
        reason="CHANGED_HANDS",
        repair=True,
    )
    failed = await failure(service.GetEffect(pb.GetEffectRequest(workspace_id="other", effect_id=effect_id)))
    assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "EFFECT_NOT_FOUND")


async def test_one_event_has_one_effect_per_target_and_action(db: Database) -> None:
    """DELIVERY.md: "each (event, target, action) has one effect"; what has no target is told apart by its user."""
    cause = event()
    await db.write(lambda tx: effect(tx, cause))
    with pytest.raises(sa.exc.IntegrityError):
        await db.write(lambda tx: effect(tx, cause, user_id="other"))
    await db.write(lambda tx: effect(tx, cause, action="REMOVE"))
    await db.write(lambda tx: effect(tx, cause, target_id="", outcome="SKIPPED", reason="NO_EMAIL"))
    await db.write(lambda tx: effect(tx, cause, target_id="", user_id="v", outcome="SKIPPED", reason="NO_EMAIL"))
    with pytest.raises(sa.exc.IntegrityError):
        await db.write(lambda tx: effect(tx, cause, target_id="", outcome="SKIPPED", reason="NO_EMAIL"))


@pytest.mark.parametrize(
    "wrong", [{"outcome": "DONE"}, {"target_kind": "PERSON"}, {"outcome": "SKIPPED"}, {"outcome": "UNSPECIFIED"}]
)
async def test_an_effect_that_says_nothing_is_refused(db: Database, wrong: dict[str, str]) -> None:
    """Outcomes and targets are names of the contract; whatever is not APPLIED says why."""
    with pytest.raises(ValueError, match=r"outcome|target_kind|reason"):
        await db.write(lambda tx: effect(tx, event(), **wrong))


async def test_effects_are_listed_newest_first_in_pages(db: Database, service) -> None:
    """AIP-158: every effect is on exactly one page; a token of another query is refused."""
    made = [await db.write(lambda tx: effect(tx, event())) for _ in range(7)]
    await db.write(lambda tx: effect(tx, event(), workspace_id="other"))
    seen: list[str] = []
    request = pb.ListEffectsRequest(workspace_id="w", page_size=3)
    pages = 0
    while True:
        answer = await service.ListEffects(request)
        seen += [item.effect_id for item in answer.effects]
        pages += 1
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert (seen, pages) == (made[::-1], 3)
    request.user = "someone"
    failed = await failure(service.ListEffects(request))
    assert (failed.code, failed.reason, failed.field) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_PAGE_TOKEN",
        "page_token",
    )


async def test_effects_are_found_by_user_target_and_outcome(db: Database, service) -> None:
    """PRODUCT.md: `effects W [--user U] [--outcome O]`; the user by id or userName, the target by id or name."""
    await db.write(lambda tx: effect(tx, event()))
    second = await db.write(
        lambda tx: effect(
            tx,
            event(),
            user_id="u2",
            user_name="b@example.com",
            target_id="d2",
            target_name="s2",
            outcome="HELD",
            reason="LAST_ADMIN",
        )
    )
    for query in (
        {"user": "u2"},
        {"user": "b@example.com"},
        {"target": "d2"},
        {"target": "s2"},
        {"outcome": pb.OUTCOME_HELD},
    ):
        answer = await service.ListEffects(pb.ListEffectsRequest(workspace_id="w", **query))
        assert [item.effect_id for item in answer.effects] == [second]
    for wrong in (pb.ListEffectsRequest(), pb.ListEffectsRequest(workspace_id="w", page_size=-1)):
        failed = await failure(service.ListEffects(wrong))
        assert failed.reason == "INVALID_VALUE"


async def test_a_follower_sees_each_later_effect_once_oldest_first(db: Database, service) -> None:
    """delivery_service.proto: "Only effects made after the one with this id, oldest first: for following"."""
    made = [await db.write(lambda tx: effect(tx, event())) for _ in range(5)]

    async def seen() -> bool:
        answer = await service.ListEffects(pb.ListEffectsRequest(workspace_id="w", after_effect_id=made[1]))
        return [item.effect_id for item in answer.effects] == made[2:]

    await eventually(seen, timeout=5)
    first = await service.ListEffects(pb.ListEffectsRequest(workspace_id="w", after_effect_id=made[1], page_size=2))
    assert [item.effect_id for item in first.effects] == made[2:4]
    rest = await service.ListEffects(
        pb.ListEffectsRequest(workspace_id="w", after_effect_id=made[1], page_size=2, page_token=first.next_page_token)
    )
    assert [item.effect_id for item in rest.effects] == made[4:]


async def test_dead_letters_are_listed_shown_retried_and_discarded(db: Database, sink: Sink, service) -> None:
    """DELIVERY.md: `rollcall deadletter list|show|retry|discard`."""
    user, connection = new_id(), new_id()
    letters = [
        {
            "id": f"letter-{version}",
            "event_id": new_id(),
            "event_type": "rollcall.directory.v1.UserUpdated" if version > 1 else "rollcall.directory.v1.UserCreated",
            "event_time": utc(minutes=5),
            "subject": "s",
            "portal": "MDM",
            "connection_id": connection,
            "aggregate_kind": "user",
            "aggregate_id": user,
            "version": version,
            "sequence": version,
            "request_id": "r",
            "traceparent": "",
            "payload": events_pb2.UserUpdated(
                user={"id": user, "user_name": f"{version}@example.com", "version": version}
            ).SerializeToString(),
            "state": "PARKED" if version == 1 else "QUEUED",
            "error": "ValueError: x" if version == 1 else "",
            "attempts": 5 if version == 1 else 0,
            "created_at": utc(minutes=4),
        }
        for version in (1, 2, 3)
    ]
    await db.write(lambda tx: tx.execute(DeadLetter.__table__.insert(), letters) and None)
    answer = await service.ListDeadLetters(pb.ListDeadLettersRequest(page_size=2))
    assert [letter.dead_letter_id for letter in answer.dead_letters] == ["letter-1", "letter-2"]
    rest = await service.ListDeadLetters(pb.ListDeadLettersRequest(page_size=2, page_token=answer.next_page_token))
    assert [(letter.version, letter.state) for letter in rest.dead_letters] == [(3, pb.DEAD_LETTER_STATE_QUEUED)]
    assert not rest.next_page_token
    shown = (await service.GetDeadLetter(pb.GetDeadLetterRequest(dead_letter_id="letter-1"))).dead_letter
    assert (shown.state, shown.error, shown.attempts) == (pb.DEAD_LETTER_STATE_PARKED, "ValueError: x", 5)
    assert (shown.resource_id, shown.connection_id) == (user, connection)

    for call in (
        service.GetDeadLetter(pb.GetDeadLetterRequest(dead_letter_id="none")),
        service.RetryDeadLetter(pb.RetryDeadLetterRequest(dead_letter_id="none")),
        service.DiscardDeadLetter(pb.DiscardDeadLetterRequest(dead_letter_id="none")),
    ):
        failed = await failure(call)
        assert (failed.code, failed.reason) == (grpc.StatusCode.NOT_FOUND, "DEAD_LETTER_NOT_FOUND")
    failed = await failure(service.RetryDeadLetter(pb.RetryDeadLetterRequest(dead_letter_id="letter-2")))
    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "DEAD_LETTER_QUEUED")
    sink.poison = {user}
    failed = await failure(service.RetryDeadLetter(pb.RetryDeadLetterRequest(dead_letter_id="letter-1")))
    assert (failed.code, failed.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "STILL_POISON")
    shown = (await service.GetDeadLetter(pb.GetDeadLetterRequest(dead_letter_id="letter-1"))).dead_letter
    assert shown.attempts == 6
    sink.poison = set()
    assert (await service.RetryDeadLetter(pb.RetryDeadLetterRequest(dead_letter_id="letter-1"))).applied == 3
    assert await sink.users() == {user: ("3@example.com", 3)}
    assert not (await service.ListDeadLetters(pb.ListDeadLettersRequest())).dead_letters


async def test_a_list_of_effects_goes_on_before_any_effect(db: Database, service) -> None:
    """delivery_service.proto: "it need not be one of this service, so that a list … goes on where it was cut"."""
    made = [await db.write(lambda tx: effect(tx, event())) for _ in range(2)]
    elsewhere = time_ordered_id()
    made += [await db.write(lambda tx: effect(tx, event())) for _ in range(3)]

    async def page(before: str, **asked: Any) -> Any:
        return await service.ListEffects(pb.ListEffectsRequest(workspace_id="w", before_effect_id=before, **asked))

    assert [one.effect_id for one in (await page(made[3])).effects] == made[2::-1]
    assert [one.effect_id for one in (await page(elsewhere)).effects] == made[1::-1]
    first = await page(made[4], page_size=2)
    assert [one.effect_id for one in first.effects] == made[3:1:-1]
    rest = await page(made[4], page_size=2, page_token=first.next_page_token)
    assert [one.effect_id for one in rest.effects] == made[1::-1]
    assert (await failure(page(made[3], page_token=first.next_page_token))).reason == "INVALID_PAGE_TOKEN"


async def test_dead_letters_are_found_by_connection(db: Database, service) -> None:
    """delivery_service.proto: "Only those of this connection; empty: all"."""
    now = datetime.datetime.now(datetime.UTC)

    def letter(tx: Any, number: int, connection_id: str) -> None:
        values = {
            "id": f"{number}", "event_id": f"e{number}", "event_type": "t", "event_time": now, "subject": "s",
            "portal": "MDM", "connection_id": connection_id, "aggregate_kind": "user", "aggregate_id": "u",
            "version": number, "sequence": number, "request_id": "", "traceparent": "", "payload": b"",
            "state": "PARKED", "error": "", "attempts": 1, "created_at": now,
        }  # fmt: skip
        tx.execute(sa.insert(table_of(DeadLetter)), values)

    for number, connection_id in enumerate(("c", "d", "c", "c")):
        await db.write(lambda tx, number=number, of=connection_id: letter(tx, number, of))

    async def ids(**asked: Any) -> tuple[list[str], str]:
        answer = await service.ListDeadLetters(pb.ListDeadLettersRequest(**asked))
        return [one.dead_letter_id for one in answer.dead_letters], answer.next_page_token

    assert (await ids())[0] == ["0", "1", "2", "3"]
    first, token = await ids(connection_id="c", page_size=2)
    assert (first, await ids(connection_id="c", page_size=2, page_token=token)) == (["0", "2"], (["3"], ""))
    stolen = service.ListDeadLetters(pb.ListDeadLettersRequest(connection_id="d", page_token=token))
    assert (await failure(stolen)).reason == "INVALID_PAGE_TOKEN"


@pytest.mark.parametrize(
    "field", ["workspace_id", "user", "target", "request_id", "after_effect_id", "before_effect_id"]
)
async def test_a_text_that_no_database_holds_is_refused_by_its_field(db: Database, service, field: str) -> None:
    """HOUSE: "Errors are product: clear, specific, name the field and the rule": on every database the same."""
    request = pb.ListEffectsRequest(**{"workspace_id": "w", field: "a\0b"})
    failed = await failure(service.ListEffects(request))
    assert (failed.code, failed.reason, failed.field) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_VALUE", field)
    failed = await failure(service.ListDeadLetters(pb.ListDeadLettersRequest(connection_id="c\0")))
    assert (failed.reason, failed.field) == ("INVALID_VALUE", "connection_id")
