"""Two replicas on one connection's events: whoever comes second judges by what the first has committed."""

from __future__ import annotations

import datetime
import threading
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from google.protobuf.empty_pb2 import Empty

from chassis.consumer import Event, _Store
from chassis.database import Transaction, create_engine
from portal_service.tables import DELIVERY_TABLES, PortalTable
from tests.stack import eventually

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def event(connection_id: str, user_id: str, version: int) -> Event:
    return Event(
        id=str(uuid.uuid4()), type="rollcall.directory.v1.UserUpdated", time=NOW, connection_id=connection_id,
        aggregate_kind="user", aggregate_id=user_id, portal="dashboard", version=version, sequence=version,
        request_id="", traceparent="", message=Empty(),
    )  # fmt: skip


def delivery(of: Event) -> Any:
    return SimpleNamespace(event=of)


@pytest.fixture
def engine(postgres_url: str) -> Iterator[sa.Engine]:
    """A PostgreSQL with the portal service's tables."""
    made = create_engine(postgres_url, "test", purpose="write")
    PortalTable.metadata.create_all(made)
    yield made
    made.dispose()


def test_a_second_replica_waits_for_the_transaction_of_a_frozen_first(engine: sa.Engine) -> None:
    """DELIVERY: "A replica works a partition only while it holds that partition's lease"; a pause breaks no order.

    The first replica was frozen after it applied version 1 and before its COMMIT; version 2 went to the second. Had
    that one not waited, it would have taken version 2 for a gap and repaired a user whom it does not see yet.
    """
    store = _Store(DELIVERY_TABLES.resolved(), "postgresql")
    connection_id, user_id = str(uuid.uuid4()), str(uuid.uuid4())
    created, changed = event(connection_id, user_id, 1), event(connection_id, user_id, 2)
    seen: list[tuple[int, bool]] = []

    def second() -> None:
        with engine.begin() as connection:
            known = store.known(Transaction(connection, "postgresql"), [delivery(changed)])
            seen.append(known.version_of(changed))

    thread = threading.Thread(target=second)
    with engine.begin() as connection:
        tx = Transaction(connection, "postgresql")
        assert store.known(tx, [delivery(created)]).version_of(created) == (0, False)
        store.save(tx, [store.inbox_row(created, "APPLIED", NOW)], {("user", user_id): (connection_id, 1, False)}, NOW)
        thread.start()
        eventually(lambda: seen or _waiters(engine) == 1, what="the second replica")
        assert not seen, "it did not wait"
    thread.join(10)
    assert seen == [(1, False)]


def test_replicas_on_different_connections_do_not_wait_for_each_other(engine: sa.Engine) -> None:
    """DELIVERY: "adding replicas spreads partitions and keeps order"."""
    store = _Store(DELIVERY_TABLES.resolved(), "postgresql")
    one, other = (event(str(uuid.uuid4()), str(uuid.uuid4()), 1) for _ in range(2))
    with engine.begin() as first, engine.begin() as second:
        store.known(Transaction(first, "postgresql"), [delivery(one)])
        second.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
        store.known(Transaction(second, "postgresql"), [delivery(other)])


def _waiters(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        statement = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        return int(connection.execute(statement).scalar_one())
