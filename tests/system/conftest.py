"""What the journeys share."""

from __future__ import annotations

import pytest

from tests.stack import Stack
from tests.system.administrator import Administrator


@pytest.fixture
def administrator(stack: Stack) -> Administrator:
    """The administrator of a new workspace."""
    return Administrator(stack)
