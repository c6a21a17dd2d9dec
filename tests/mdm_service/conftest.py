"""What the MDM service's tests share: a migrated database of either kind, and a directory that answers over gRPC."""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

import grpc
import pytest
from rollcall.directory.v1 import connection_service_pb2_grpc, directory_service_pb2_grpc

from chassis import grpc_client
from chassis.database import Database
from chassis.grpc_server import Server
from mdm_service.directory import Directory
from mdm_service.tables import MIGRATIONS
from tests.conftest import Schemas
from tests.mdm_service.world import DirectoryOfTests, Tenant


@pytest.fixture(scope="session")
def mdm_urls(schemas: Schemas) -> Iterator[Callable[[str], str]]:
    """A database of each kind with the service's schema, for the session; tests make their tenants."""
    with contextlib.ExitStack() as databases:
        yield functools.cache(lambda kind: databases.enter_context(schemas.database(kind, MIGRATIONS)))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def mdm_url(request: pytest.FixtureRequest, mdm_urls: Callable[[str], str]) -> str:
    """The URL of the session's database of a kind."""
    return mdm_urls(request.param)


@pytest.fixture(scope="module")
async def db(mdm_url: str) -> AsyncIterator[Database]:
    """The service's database, open."""
    database = Database(mdm_url, name="mdm")
    await database.start()
    yield database
    await database.stop()


@pytest.fixture(scope="module")
async def answering() -> AsyncIterator[DirectoryOfTests]:
    """A directory that answers over gRPC, for the tests of a file."""
    directory = DirectoryOfTests()

    def register(server: grpc.aio.Server) -> None:
        connection_service_pb2_grpc.add_ConnectionServiceServicer_to_server(directory, server)
        directory_service_pb2_grpc.add_DirectoryServiceServicer_to_server(directory, server)

    server = Server(register=register, service_names=(), address="127.0.0.1:0")
    await server.start()
    directory.target = f"127.0.0.1:{server.port}"
    yield directory
    await server.stop()


@pytest.fixture
async def world(answering: DirectoryOfTests) -> DirectoryOfTests:
    """A directory that answers over gRPC with what a test put into it."""
    answering.forget()
    return answering


@pytest.fixture(scope="module")
async def channel(answering: DirectoryOfTests) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to that directory."""
    channel = grpc_client.channel(answering.target)
    yield channel
    await channel.close()


@pytest.fixture
async def directory(channel: grpc.aio.Channel) -> Directory:
    """The service's client of that directory."""
    return Directory(channel)


@pytest.fixture
async def tenant(db: Database, world: DirectoryOfTests, directory: Directory) -> Tenant:
    """A new workspace with an enabled MDM connection, which nobody has told the service about."""
    made = Tenant(db, directory, world, workspace_id=str(uuid.uuid4()), connection_id=str(uuid.uuid4()))
    made.announce()
    return made


@pytest.fixture
async def other_tenant(db: Database, world: DirectoryOfTests, directory: Directory) -> Tenant:
    """A tenant that the first one must never see."""
    made = Tenant(db, directory, world, workspace_id=str(uuid.uuid4()), connection_id=str(uuid.uuid4()))
    made.announce()
    return made
