"""A gateway in this process with a real directory behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from directory_service.tables import MIGRATIONS
from tests.conftest import Schemas
from tests.directory_service.world import World, running
from tests.directory_service.world import settings as directory_settings
from tests.gateway.edge import gateway
from tests.gateway.scim_client import Scim


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def directory_url(request: pytest.FixtureRequest, schemas: Schemas) -> Iterator[str]:
    """A database with the directory's schema, for the tests of a file."""
    with schemas.database(request.param, MIGRATIONS) as url:
        yield url


@pytest.fixture(scope="module")
async def world(directory_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A running directory, on SQLite and on PostgreSQL, for the tests of a file."""
    async with running(directory_settings(directory_url, tmp_path_factory.mktemp("directory"))) as started:
        yield started


@pytest.fixture(scope="module")
def small_url(schemas: Schemas) -> Iterator[str]:
    """The same on SQLite alone."""
    with schemas.database("sqlite", MIGRATIONS) as url:
        yield url


@pytest.fixture(scope="module")
async def small_world(small_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A running directory on SQLite, for what does not depend on the database; for the tests of a file."""
    async with running(directory_settings(small_url, tmp_path_factory.mktemp("directory"))) as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
async def fresh_world(request: pytest.FixtureRequest, schemas: Schemas, tmp_path: Path) -> AsyncIterator[World]:
    """A running directory on a database of its own, on SQLite and on PostgreSQL."""
    with schemas.database(request.param, MIGRATIONS) as url:
        async with running(directory_settings(url, tmp_path)) as started:
            yield started


@pytest.fixture
async def fresh_small_world(schemas: Schemas, tmp_path: Path) -> AsyncIterator[World]:
    """A running directory on a SQLite database of its own."""
    with schemas.database("sqlite", MIGRATIONS) as url:
        async with running(directory_settings(url, tmp_path)) as started:
            yield started


@pytest.fixture
async def scim(small_world: World) -> AsyncIterator[Scim]:
    """An identity provider with a connection of its own, on SQLite."""
    async with gateway(f"127.0.0.1:{small_world.server.port}", small_world.secrets["gateway"]) as client:
        connected = await small_world.connect()
        yield Scim(client, connected.id, connected.token)
