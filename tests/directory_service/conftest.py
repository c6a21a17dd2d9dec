"""Fixtures of the directory's tests: each runs on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chassis import migrations
from directory_service.tables import MIGRATIONS
from tests.directory_service.world import Connected, World, running, settings


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database that the tests of a session share: each works on a connection of its own."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('directory') / 'directory.db'}"
        migrations.upgrade(url, MIGRATIONS)
        yield url
        return
    with request.getfixturevalue("postgres_server").database() as url:
        migrations.upgrade(url, MIGRATIONS)
        yield url


@pytest.fixture
async def world(shared_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A running directory on the shared database."""
    async with running(settings(shared_url, tmp_path)) as started:
        yield started


@pytest.fixture
async def fresh_world(database_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A running directory with a database of its own."""
    async with running(settings(database_url, tmp_path)) as started:
        yield started


@pytest.fixture
async def connected(world: World) -> Connected:
    """A connection of a workspace of its own."""
    return await world.connect()
