"""The live view: what is pushed, to whom, and when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from console.pages import live
from console.pages.live import Streams
from console.tail import Source, Tail
from tests.console.company import WAIT_SECONDS, Company, rows_of, text_of
from tests.console.conftest import Console
from tests.stack import Stack

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def acme(console_stack: Stack) -> Company:
    """One company for the tests of this file, each of which works with people of its own."""
    return Company(console_stack)


class Stream:
    """A stream as a browser reads it."""

    def __init__(self, received: asyncio.Queue[dict[str, Any]]) -> None:
        self._received = received
        self._left = ""
        self.events: list[dict[str, str]] = []
        self.comments: list[str] = []
        self.ended = False

    async def until(self, wanted: Callable[[Stream], bool]) -> None:
        """Read on until something has come."""
        while not wanted(self):
            message = await asyncio.wait_for(self._received.get(), WAIT_SECONDS)
            self.take(message.get("body", b"").decode())
            self.ended = not message.get("more_body", False)

    def take(self, text: str) -> None:
        """Take what has come, up to the last whole event."""
        *whole, self._left = (self._left + text).split("\n\n")
        for block in whole:
            lines = block.split("\n")
            fields = dict(line.split(": ", 1) for line in lines if ": " in line and not line.startswith(":"))
            self.comments += [line[2:] for line in lines if line.startswith(":")]
            if fields:
                self.events.append(fields)

    def rows(self, kind: str) -> str:
        """What the rows of a kind say."""
        return text_of(" ".join(one.get("data", "") for one in self.events if one.get("event") == kind))


@contextlib.asynccontextmanager
async def watching(console: Console, path: str, **headers: str) -> AsyncIterator[Stream]:
    """Connect to a stream as a browser does, and go away at the end."""
    received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    requests: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    requests.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    sent = {"host": "console.test", "cookie": f"rollcall_session={console.person.session_token}", **headers}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("console.test", 80),
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
    }  # fmt: skip
    serving = asyncio.create_task(console.app(scope, requests.get, received.put))
    start = await asyncio.wait_for(received.get(), WAIT_SECONDS)
    given = dict(start["headers"])
    assert (start["status"], given[b"content-type"]) == (200, b"text/event-stream")
    assert given[b"cache-control"] == b"no-store"
    yield Stream(received)
    requests.put_nowait({"type": "http.disconnect"})
    await asyncio.wait_for(serving, WAIT_SECONDS)


async def test_the_page_shows_what_there_is_without_script(console: Console, acme: Company) -> None:
    """Specification: "live tail over server-sent events"; it "falls back to reload without script"."""
    acme.create_user("dashboard", "early@acme.test")
    acme.stack.settled()
    page = await console.get(f"{acme.base('dashboard')}/live")
    assert "early@acme.test" in page
    assert "Reload the page to see what is new" in page
    assert f'data-live="{acme.base("dashboard")}/live/events"' in page
    script = re.search(r'src="(/static/[0-9a-f]+/live\.js)"', page)
    assert script is not None
    assert "EventSource" in await console.get(script[1])
    assert "early@acme.test" in await console.get(f"{acme.root}/live")


async def test_requests_and_effects_are_pushed_as_they_come(console: Console, acme: Company) -> None:
    """Specification: "watch people arrive": a row for the request, and one for each effect."""
    async with watching(console, f"{acme.base('store')}/live/events") as stream:
        await stream.until(lambda one: bool(one.comments))
        acme.create_user("store", "<new>@acme.test")
        acme.create_user("mdm", "elsewhere@acme.test")
        await stream.until(lambda one: "<new>@acme.test" in one.rows("effect") and "POST /Users" in one.rows("request"))
        assert "elsewhere@acme.test" not in stream.rows("effect")
        row = next(one["data"] for one in stream.events if one.get("event") == "effect")
        assert row.startswith("<tr id=")
        assert "<new>" not in row
        assert rows_of(row)[0].startswith("Create the employee")
        seen = len([one for one in stream.events if one.get("event") == "request"])
        quiet = len(stream.comments)
        await stream.until(lambda one: len(one.comments) > quiet)
        assert len([one for one in stream.events if one.get("event") == "request"]) == seen


async def test_a_workspace_is_watched_as_a_whole(console: Console, acme: Company) -> None:
    """The live view of a workspace tells of every connection; nothing of another workspace is in it."""
    other = Company(acme.stack)
    async with watching(console, f"{acme.root}/live/events") as stream:
        await stream.until(lambda one: bool(one.comments))
        other.create_user("mdm", "foreign@other.test")
        acme.create_user("dashboard", "one@acme.test")
        acme.create_user("mdm", "two@acme.test")
        await stream.until(lambda one: {"one@acme.test", "two@acme.test"} <= set(one.rows("effect").split()))
        assert "foreign" not in str(stream.events)


async def test_a_browser_that_connects_again_is_told_what_it_has_missed(console: Console, acme: Company) -> None:
    """HTML, server-sent events: a browser that reconnects names the last event it got."""
    before = str(int((time.time() - 30) * 1000))
    acme.create_user("store", "missed@acme.test")
    acme.stack.settled()
    async with watching(console, f"{acme.base('store')}/live/events", **{"Last-Event-ID": before}) as stream:
        await stream.until(lambda one: "missed@acme.test" in one.rows("effect"))
        await stream.until(lambda one: "POST /Users" in one.rows("request"))
        await stream.until(lambda one: any("id" in event for event in one.events))


async def test_a_stream_ends_when_the_process_is_told_to_stop(console: Console, acme: Company) -> None:
    """A process that stops waits for no browser."""
    async with watching(console, f"{acme.base('store')}/live/events") as stream:
        await stream.until(lambda one: bool(one.comments))
        console.app.deps.closing.set()
        await stream.until(lambda one: one.ended)
    refused = await console.client.get(f"{acme.base('store')}/live/events")
    assert refused.status_code == 503
    console.app.deps.closing.clear()


async def test_a_stream_ends_in_time_and_when_its_browser_goes(
    console: Console, acme: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who a stream is for is looked at anew with each connection; a bounded number is open."""
    monkeypatch.setattr(live, "MOST_OF_ONE", 1)
    path = f"{acme.base('store')}/live/events"
    async with watching(console, path) as stream:
        await stream.until(lambda one: bool(one.comments))
        refused = await console.client.get(path)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    # The place is free again soon after the browser has gone.
    monkeypatch.setattr(live, "STREAM_SECONDS", 0.0)
    deadline = time.monotonic() + 10
    while (answer := await console.client.get(path)).status_code == 503:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert answer.status_code == 200
    assert answer.text.count("\n\n") == 1, "it ends by itself when its time is over"


async def test_nobody_watches_without_signing_in(console: Console, acme: Company) -> None:
    """SECURITY: nothing is shown to anybody who has not signed in."""
    answer = await console.stranger.get(f"{acme.root}/live/events")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")


def test_the_number_of_streams_is_bounded() -> None:
    """A bounded number of streams, in all and of one administrator."""
    streams = Streams()
    with contextlib.ExitStack() as opened:
        for _ in range(live.MOST_OF_ONE):
            assert streams.has_room("ada")
            opened.enter_context(streams.one("ada"))
        assert not streams.has_room("ada")
        for number in range(live.MOST_STREAMS - live.MOST_OF_ONE):
            assert streams.has_room("eve")
            opened.enter_context(streams.one(f"person-{number}"))
        assert not streams.has_room("eve")
    assert len(streams) == 0
    assert streams.has_room("ada")


@pytest.mark.parametrize(
    ("last_event_id", "since"),
    [
        ("", 1000.0),
        ("x", 1000.0),
        ("-5", 1000.0),
        ("9" * 20, 1000.0),
        ("990000", 990.0),
        ("1", 700.0),
        ("2000000", 1000.0),
    ],
)
def test_what_a_browser_says_of_where_it_was_is_bounded(last_event_id: str, since: float) -> None:
    """What a client sends decides nothing beyond what it is for."""
    assert live._since(last_event_id, 1000.0) == since


async def test_an_entry_that_comes_late_is_told_once(console: Console, acme: Company) -> None:
    """provisioning_log_service.proto: ids rise with the time of the answer, and entries are kept a moment after it."""
    link = acme.links["store"]
    tail = Tail(
        console.app.deps.services, Source(acme.workspace_id, link.connection_id, ("portal",)), since=time.time()
    )
    await tail.look()
    acme.send("store", "GET", "/Users?count=1")
    found: list[Any] = []

    async def told() -> bool:
        found.extend(await tail.look())
        return bool(found)

    deadline = time.monotonic() + 10
    while not await told():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert [(one.method, one.route) for one in found] == [("GET", "/Users")]
    assert await tail.look() == []
