"""Fixtures of the directory's tests: each runs on SQLite and on PostgreSQL."""

import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from directory_service.tables import MIGRATIONS
from tests.conftest import Schemas
from tests.directory_service.world import Connected, World, running, settings


@pytest.fixture(scope="session")
def shared_urls(schemas: Schemas) -> Iterator[Callable[[str], str]]:
    """A database of each kind that the tests of a session share: each works on a connection of its own."""
    with contextlib.ExitStack() as databases:
        yield functools.cache(lambda kind: databases.enter_context(schemas.database(kind, MIGRATIONS)))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_url(request: pytest.FixtureRequest, shared_urls: Callable[[str], str]) -> str:
    """The shared database of a kind."""
    return shared_urls(request.param)


@pytest.fixture(scope="module")
async def world(shared_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A running directory on the shared database, for the tests of a file."""
    async with running(settings(shared_url, tmp_path_factory.mktemp("directory"))) as started:
        yield started


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh_url(request: pytest.FixtureRequest, schemas: Schemas) -> Iterator[str]:
    """A database of the test's own, with the schema."""
    with schemas.database(request.param, MIGRATIONS) as url:
        yield url


@pytest.fixture
async def fresh_world(fresh_url: str, tmp_path: Path) -> AsyncIterator[World]:
    """A running directory with a database of its own."""
    async with running(settings(fresh_url, tmp_path)) as started:
        yield started


@pytest.fixture
async def connected(world: World) -> Connected:
    """A connection of a workspace of its own."""
    return await world.connect()
