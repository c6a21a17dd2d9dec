"""The recordings are complete, and the replay would notice an answer that is not the recorded one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.clients.replay import RECORDINGS, Answer, Matcher, check_form, recordings

OKTA_ROWS = (
    "test connector",
    "assign user",
    "POST body",
    "profile update",
    "deactivate, reactivate",
    "push group",
    "rename",
    "membership",
    "push now",
    "unlink and delete",
    "import",
    "password sync",
)


@pytest.mark.parametrize("dialect", ["aiw", "oin"])
@pytest.mark.parametrize("row", OKTA_ROWS)
def test_every_row_of_the_okta_table_is_recorded_in_both_dialects(dialect: str, row: str) -> None:
    """WIRE: "Okta: two dialects, both first class"."""
    sources = [json.loads(path.read_text())["source"] for path in (RECORDINGS / "okta" / dialect).glob("*.json")]
    assert any(row in source.partition('row "')[2].partition('"')[0] for source in sources)


@pytest.mark.parametrize("path", recordings(), ids=lambda path: str(path.relative_to(RECORDINGS).with_suffix("")))
def test_a_recording_says_where_it_comes_from_and_what_follows(path: Path) -> None:
    """WIRE: "Each line is a behaviour to support and a test to write: a recorded request first"."""
    recording = json.loads(path.read_text())
    assert recording["title"]
    assert recording["source"].startswith("WIRE.md, ")
    assert recording["steps"]
    assert recording["consequences"]


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"active": True}, {"active": 1}),
        ({"active": True}, {"active": "true"}),
        ({"totalResults": 1}, {"totalResults": "1"}),
        ({"members": []}, {"members": [{"value": "x"}]}),
        ({"members": {"$absent": True}}, {"members": []}),
        ({"id": "x"}, {}),
        ({"list": ["a", "b"]}, {"list": ["b", "a"]}),
        ({"list": {"$unordered": ["a", "b"]}}, {"list": ["b", "b"]}),
        ({"list": {"$list": {"length": 2, "last": "b"}}}, {"list": ["b", "a"]}),
        ({"one": "{{id}}", "two": "{{id}}"}, {"one": "x", "two": "y"}),
        ({"text": {"$matches": "^a"}}, {"text": "ba"}),
    ],
)
def test_the_replay_notices_a_difference(expected: Any, actual: Any) -> None:
    """A recorded answer that differs in value, type, order or presence fails the replay."""
    with pytest.raises(AssertionError):
        Matcher({}).match(expected, actual, "body")


def test_the_replay_accepts_what_it_should_and_captures_values() -> None:
    """An object is a subset, an unordered list any order, a placeholder the value that was seen first."""
    captured: dict[str, Any] = {}
    Matcher(captured).match(
        {
            "id": "{{id}}",
            "ref": "/Users/{{id}}",
            "list": {"$unordered": [{"a": 1}, {"a": 2}]},
            "gone": {"$absent": True},
        },
        {"id": "x", "ref": "/Users/x", "list": [{"a": 2, "b": 3}, {"a": 1}], "more": None},
        "body",
    )
    assert captured == {"id": "x"}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "status": 404, "detail": "no such user"}),
        (404, {"detail": "no such user", "status": "404"}),
        (200, {"schemas": ["x"], "id": "1", "active": 1}),
        (201, {"schemas": ["x"], "id": "1", "meta": {"location": "/Users/1"}}),
        (200, {"schemas": ["x"], "id": "1", "password": "secret"}),
        (
            200,
            {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
                "totalResults": "0",
                "startIndex": 1,
                "itemsPerPage": 0,
            },
        ),
    ],
)
def test_an_answer_that_is_not_of_the_scim_form_fails(status: int, body: Any) -> None:
    """RFC 7644 §3.4.2, §3.12 and RFC 7643 §3.1 hold for every answer, whatever a recording says."""
    with pytest.raises(AssertionError):
        check_form(Answer(status, {"content-type": "application/scim+json"}, body), "answer")
