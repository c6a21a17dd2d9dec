"""A gateway in this process with a real directory behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.directory_service.world import World, running
from tests.directory_service.world import settings as directory_settings
from tests.gateway.edge import gateway
from tests.gateway.scim_client import Scim


@pytest.fixture
async def world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A running directory, on SQLite and on PostgreSQL."""
    async with running(directory_settings(database_url, tmp_path)) as started:
        yield started


@pytest.fixture
async def small_world(sqlite_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A running directory on SQLite, for what does not depend on the database."""
    async with running(directory_settings(sqlite_url, tmp_path)) as started:
        yield started


@pytest.fixture
async def scim(small_world: World) -> AsyncIterator[Scim]:
    """An identity provider with a connection of its own, on SQLite."""
    async with gateway(f"127.0.0.1:{small_world.server.port}", small_world.secrets["gateway"]) as client:
        connected = await small_world.connect()
        yield Scim(client, connected.id, connected.token)
