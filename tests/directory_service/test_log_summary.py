"""What the newest requests of a connection come to (GetProvisioningLogSummary), on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rollcall.directory.v1 import provisioning_log_service_pb2 as pb
from rollcall.directory.v1 import provisioning_log_service_pb2_grpc
from sqlalchemy import event

from chassis.errors import from_rpc_error
from chassis.identifiers import first_id
from directory_service.repository import provisioning_log as repository
from tests.directory_service.world import Connected, World

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Log:
    """Writes requests of one connection, each a second after the other, and asks what they come to."""

    def __init__(self, world: World, connection_id: str) -> None:
        self.connection_id = connection_id
        self._gateway = provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub(world.channels["gateway"])
        self._admin = provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub(world.channels["admin"])
        self._entries: list[pb.ProvisioningLogEntry] = []
        self._time = NOON

    def note(self, asked: str, status: int = 200, *, seconds: float = 0.01, after: float = 1, **fields: Any) -> str:
        """Write a request that came so many seconds after the one before; the id of its entry."""
        self._time += timedelta(seconds=after)
        method, _, route = asked.partition(" ")
        entry_id = first_id(int(self._time.timestamp() * 1000))[:-12] + self.connection_id[-12:]
        entry = pb.ProvisioningLogEntry(
            entry_id=entry_id, connection_id=self.connection_id, method=method, route=route, status=status, **fields
        )
        entry.time.FromDatetime(self._time)
        entry.duration.FromTimedelta(timedelta(seconds=seconds))
        self._entries.append(entry)
        return entry_id

    async def summary(self, since: datetime | None = None) -> pb.ProvisioningLogSummary:
        waiting, self._entries = self._entries, []
        for start in range(0, len(waiting), 1000):
            batch = waiting[start : start + 1000]
            await self._gateway.RecordProvisioningLogEntries(pb.RecordProvisioningLogEntriesRequest(entries=batch))
        request = pb.GetProvisioningLogSummaryRequest(connection_id=self.connection_id)
        if since is not None:
            request.start_time.FromDatetime(since)
        return (await self._admin.GetProvisioningLogSummary(request)).summary


@pytest.fixture
def log(world: World, connected: Connected) -> Log:
    return Log(world, connected.id)


async def test_a_connection_without_requests_has_a_summary_of_nothing(log: Log) -> None:
    """When the first of them came; absent: there is none."""
    summary = await log.summary()
    assert summary == pb.ProvisioningLogSummary(longest_duration={})


async def test_requests_are_counted_and_the_slow_ones_told(log: Log) -> None:
    """How many took 20 seconds or longer to answer; how long the longest took."""
    log.note("GET /Users")
    log.note("PUT /Groups/{id}", seconds=19.999)
    log.note("PUT /Groups/{id}", seconds=20)
    log.note("PUT /Groups/{id}", seconds=31.5, omitted_count=7)
    summary = await log.summary()
    assert (summary.request_count, summary.slow_count, summary.omitted_count) == (4, 2, 7)
    assert summary.longest_duration.ToTimedelta() == timedelta(seconds=31.5)
    assert summary.first_time.ToDatetime(UTC) == NOON + timedelta(seconds=1)
    assert summary.last_time.ToDatetime(UTC) == NOON + timedelta(seconds=4)


async def test_failures_are_told_by_kind_the_most_frequent_first_without_limited_ones(log: Log) -> None:
    """Why requests failed, the most frequent first; not those that were refused with 429."""
    log.note("GET /Users/{id}", 404, detail="no such user")
    taken = {"scim_type": "uniqueness", "detail": "the userName is taken"}
    log.note("POST /Users", 409, **taken)
    last = log.note("POST /Users", 409, after=60, **taken)
    log.note("POST /Users", 429)
    log.note("POST /Users", 201)
    one, other = (await log.summary()).failures
    assert (one.method, one.route, one.status, one.scim_type, one.detail) == (
        "POST",
        "/Users",
        409,
        "uniqueness",
        "the userName is taken",
    )
    assert (one.count, one.last_entry_id) == (2, last)
    assert one.last_time.ToDatetime(UTC) - one.first_time.ToDatetime(UTC) == timedelta(seconds=60)
    assert (other.status, other.count) == (404, 1)


async def test_the_longest_run_of_limited_requests_is_that_of_one_method_and_route(log: Log) -> None:
    """How many requests of one method and route were refused with 429 one after the other, at most."""
    for status in (429, 429, 201, 429, 429, 429, 201, 429):
        log.note("POST /Users", status)
        log.note("GET /Users", 200)  # of another method, so that it ends no run
    summary = await log.summary()
    assert (summary.limited_count, summary.longest_limited_run) == (6, 3)


async def test_a_walk_over_a_list_is_told_by_its_pages(log: Log) -> None:
    """How lists were walked that did not fit into one page, by route."""
    for start in (1, 101, 201):
        log.note("GET /Users", start_index=start, listed_count=min(100, 251 - start), total_count=250)
    log.note("GET /Groups", start_index=1, listed_count=40, total_count=40)
    log.note("GET /Users", start_index=0, listed_count=0, total_count=0)  # a lookup by a filter
    (users,) = (await log.summary()).lists
    assert (users.route, users.first_pages, users.later_pages, users.total_count) == ("/Users", 1, 2, 250)
    assert users.most_repeated == 1


async def test_a_test_of_the_connector_is_no_walk(log: Log) -> None:
    """WIRE: test connector `GET /Users?startIndex=1&count=2`."""
    log.note("GET /Users", start_index=1, listed_count=2, total_count=250)
    assert not (await log.summary()).lists


async def test_a_page_by_cursor_is_a_later_page(log: Log) -> None:
    """RFC 9865: a page by cursor has no index."""
    log.note("GET /Users", start_index=1, listed_count=100, total_count=250)
    log.note("GET /Users", start_index=0, listed_count=100, total_count=250)
    (users,) = (await log.summary()).lists
    assert (users.first_pages, users.later_pages) == (1, 1)


async def test_a_page_asked_for_again_within_the_hour_is_told_and_the_last_page_is_not(log: Log) -> None:
    """How often one later page, that was not the last, was asked for within an hour, at most."""
    for _ in range(3):
        log.note("GET /Users", start_index=101, listed_count=100, total_count=250)
        log.note("GET /Users", start_index=201, listed_count=50, total_count=250)
    log.note("GET /Users", after=3600, start_index=101, listed_count=100, total_count=250)
    log.note("GET /Users", start_index=201, listed_count=50, total_count=250)
    (users,) = (await log.summary()).lists
    assert (users.most_repeated, users.repeated_index) == (3, 101)


async def test_only_requests_since_a_time_are_looked_at(log: Log) -> None:
    """Only requests that were answered at this time or later."""
    log.note("POST /Users", 409)
    log.note("POST /Users", 201)
    summary = await log.summary(since=NOON + timedelta(seconds=2))
    assert (summary.request_count, list(summary.failures)) == (1, [])


async def test_another_connection_is_not_looked_at(world: World, log: Log) -> None:
    """Nothing of one connection is hinted at through another (PRODUCT §1)."""
    other = Log(world, (await world.connect()).id)
    other.note("POST /Users", 409)
    await other.summary()
    assert (await log.summary()).request_count == 0


async def test_a_bounded_number_of_requests_is_looked_at(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most 2,000 requests are looked at, and of those that failed 500: here 5 and 2."""
    assert (repository.SUMMARIZED, repository.SUMMARIZED_FAILURES) == (2_000, 500)
    monkeypatch.setattr(repository, "SUMMARIZED", 5)
    monkeypatch.setattr(repository, "SUMMARIZED_FAILURES", 2)
    for _ in range(8):
        log.note("POST /Users", 409)
    summary = await log.summary()
    assert summary.request_count == 5
    assert [one.count for one in summary.failures] == [2]
    assert summary.first_time.ToDatetime(UTC) == NOON + timedelta(seconds=4)


async def test_a_summary_of_a_connection_that_is_not_there_is_refused(world: World, log: Log) -> None:
    """The connection. Required."""
    log.connection_id = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await log.summary()
    assert from_rpc_error(refused.value).reason == "CONNECTION_NOT_FOUND"


async def test_a_time_before_1970_is_refused(world: World, log: Log) -> None:
    """Errors name the field and the rule."""
    stub = provisioning_log_service_pb2_grpc.ProvisioningLogServiceStub(world.channels["admin"])
    request = pb.GetProvisioningLogSummaryRequest(connection_id=log.connection_id, start_time=Timestamp(seconds=-1))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.GetProvisioningLogSummary(request)
    assert from_rpc_error(refused.value).field == "start_time"


async def test_the_failures_are_found_along_their_index(world: World, log: Log) -> None:
    """Every page under 200 ms server time: no question of the doctor goes through the whole log (SQLite's plan)."""
    log.note("POST /Users", 409)
    await log.summary()
    if world.server.db.dialect != "sqlite":
        return  # PostgreSQL's plan of a small table says nothing of that of a large one
    plans: list[str] = []

    def unit(tx: Any) -> None:
        def explain(conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            if statement.startswith("SELECT"):
                found = conn.connection.driver_connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                plans.append(" ".join(str(row[-1]) for row in found))

        engine = tx.connection.engine
        event.listen(engine, "before_cursor_execute", explain)
        try:
            repository.summarize(tx, log.connection_id, since="")
        finally:
            event.remove(engine, "before_cursor_execute", explain)

    await world.server.db.read(unit)
    assert any("ix_provisioning_log_connection_failed" in plan for plan in plans), plans
    assert not any("SCAN provisioning_log" in plan for plan in plans), plans
