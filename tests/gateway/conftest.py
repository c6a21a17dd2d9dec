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


@pytest.fixture(params=["sqlite", "postgresql"])
def directory_url(request: pytest.FixtureRequest, schemas: Schemas) -> Iterator[str]:
    """A database of the test's own, with the directory's schema."""
    with schemas.database(request.param, MIGRATIONS) as url:
        yield url


@pytest.fixture
async def world(directory_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A running directory, on SQLite and on PostgreSQL."""
    async with running(directory_settings(directory_url, tmp_path)) as started:
        yield started


@pytest.fixture
def small_url(schemas: Schemas) -> Iterator[str]:
    """The same on SQLite alone."""
    with schemas.database("sqlite", MIGRATIONS) as url:
        yield url


@pytest.fixture
async def small_world(small_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A running directory on SQLite, for what does not depend on the database."""
    async with running(directory_settings(small_url, tmp_path)) as started:
        yield started


@pytest.fixture
async def scim(small_world: World) -> AsyncIterator[Scim]:
    """An identity provider with a connection of its own, on SQLite."""
    async with gateway(f"127.0.0.1:{small_world.server.port}", small_world.secrets["gateway"]) as client:
        connected = await small_world.connect()
        yield Scim(client, connected.id, connected.token)
