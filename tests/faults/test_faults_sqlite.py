"""The faults of `subset` on SQLite."""

from __future__ import annotations

import pytest

from tests.faults.subset import *  # noqa: F403

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def kind() -> str:
    """The database."""
    return "sqlite"
