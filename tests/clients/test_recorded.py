"""Every recorded request of every identity provider, replayed on real processes over both databases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.clients.replay import RECORDINGS, Replay, recordings
from tests.stack import Stack


@pytest.mark.parametrize("path", recordings(), ids=lambda path: str(path.relative_to(RECORDINGS).with_suffix("")))
def test_a_recorded_client_is_answered_as_it_expects_and_its_consequences_follow(stack: Stack, path: Path) -> None:
    """WIRE: "Each line is a behaviour to support and a test to write: a recorded request first, then the code." """
    Replay(stack, json.loads(path.read_text())).run()
