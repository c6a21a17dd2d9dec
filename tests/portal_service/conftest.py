"""Fixtures of the portal service's tests: a migrated database, a directory to ask, and a desk over both."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
import sqlalchemy as sa
from rollcall.directory.v1 import connection_service_pb2_grpc, directory_service_pb2_grpc

from chassis.database import Database, Transaction
from portal_service.directory import Directory
from portal_service.tables import MIGRATIONS, PortalTable
from tests.conftest import Schemas
from tests.portal_service.desk import Desk, RecordedDirectory


@pytest.fixture(scope="session")
def shared_postgresql(schemas: Schemas) -> Iterator[str]:
    """The URL of a PostgreSQL database with the service's schema; each test leaves it empty."""
    with schemas.database("postgresql", MIGRATIONS) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def schema_url(request: pytest.FixtureRequest, schemas: Schemas) -> Iterator[str]:
    """The URL of a database with the service's schema and nothing in it, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        with schemas.database("sqlite", MIGRATIONS) as url:
            yield url
        return
    url = request.getfixturevalue("shared_postgresql")
    yield url
    empty(url)


def empty(url: str) -> None:
    """Removes every row of the service's tables."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for table in reversed(PortalTable.metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
async def open_database(request: pytest.FixtureRequest, schemas: Schemas) -> AsyncIterator[Database]:
    """An open database with the service's schema, on SQLite and on PostgreSQL, for the tests of a file."""
    with schemas.database(request.param, MIGRATIONS) as url:
        database = Database(url, name="portal", readers=1)
        await database.start()
        try:
            yield database
        finally:
            await database.stop()


@pytest.fixture
async def db(open_database: Database) -> AsyncIterator[Database]:
    """The open database; the test leaves it empty."""
    yield open_database

    def unit(tx: Transaction) -> None:
        for table in reversed(PortalTable.metadata.sorted_tables):
            tx.execute(table.delete())

    await open_database.write(unit)


@dataclasses.dataclass
class Answering:
    """A recorded directory that answers, where it does, and a channel to it."""

    recorded: RecordedDirectory
    target: str
    channel: grpc.aio.Channel


@pytest.fixture(scope="module")
async def answering() -> AsyncIterator[Answering]:
    """A recorded directory that answers, for the tests of a file."""
    recorded = RecordedDirectory()
    server = grpc.aio.server()
    connection_service_pb2_grpc.add_ConnectionServiceServicer_to_server(recorded, server)
    directory_service_pb2_grpc.add_DirectoryServiceServicer_to_server(recorded, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    target = f"127.0.0.1:{port}"
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            yield Answering(recorded, target, channel)
    finally:
        await server.stop(None)


@pytest.fixture
async def recorded(answering: Answering) -> RecordedDirectory:
    """What the directory knows; empty at first."""
    answering.recorded.forget()
    return answering.recorded


@pytest.fixture
async def directory_target(answering: Answering, recorded: RecordedDirectory) -> str:
    """The address at which the recorded directory answers."""
    return answering.target


@pytest.fixture
async def desk(db: Database, answering: Answering, recorded: RecordedDirectory) -> Desk:
    """The portal service over an empty database."""
    return Desk(db, Directory(answering.channel))
