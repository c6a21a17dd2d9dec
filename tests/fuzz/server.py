"""Whole requests, fuzzed: the gateway in this process with a real directory behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from gateway.app import Deps, create_app
from gateway.directory import Directory
from tests.directory_service.world import running
from tests.directory_service.world import settings as directory_settings
from tests.fuzz.parsers import JENSEN
from tests.gateway.edge import ERROR_URN, SCIM, USER_URN
from tests.gateway.edge import settings as gateway_settings


class InProcess:
    """The gateway and a directory on SQLite, both on an event loop of their own in this thread."""

    def __init__(self, directory: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._stack = contextlib.AsyncExitStack()
        self._run(self._start(directory))

    def _run(self, awaitable: Awaitable[Any]) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(awaitable, 60))

    async def _start(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        database = f"sqlite:///{directory / 'directory.db'}"
        self._world = await self._stack.enter_async_context(running(directory_settings(database, directory)))
        target = f"127.0.0.1:{self._world.server.port}"
        served_by = Directory(target, self._world.secrets["gateway"])
        await served_by.start()
        self._stack.push_async_callback(served_by.stop)
        self._app = create_app(Deps(gateway_settings(target), served_by))
        await self._connect()

    async def _connect(self) -> None:
        connected = await self._world.connect()
        self.connection, self.token = connected.id, connected.token

    def connect(self) -> None:
        """Go on with a new connection of a new workspace, where nothing is."""
        self._run(self._connect())

    def close(self) -> None:
        """Stop both."""
        self._run(self._stack.aclose())
        self._loop.close()

    def exchange(
        self, method: str, target: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request and return status, headers by lower-case name, and body."""
        answer: tuple[int, dict[str, str], bytes] = self._run(self._exchange(method, target, headers, body))
        return answer

    async def _exchange(
        self, method: str, target: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        path, _, query = target.partition("?")
        if path.startswith("/") and not path.startswith("/scim/"):
            path = f"/scim/v2/{self.connection}{path}"
        raw = path.encode("latin-1", "replace")
        # Requests are authenticated, so that they get beyond that, unless they say otherwise themselves.
        own = {name for name, _ in headers}
        defaults = [
            (b"host", b"gateway.test"),
            (b"authorization", b"Bearer " + self.token.encode()),
            (b"content-type", SCIM.encode()),
            (b"content-length", str(len(body)).encode()),
        ]
        # The server sees to it that the body has the length that is stated.
        sent = [(name, value) for name, value in headers if name not in (b"content-length", b"transfer-encoding")]
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(raw.decode("latin-1")),
            "raw_path": raw,
            "query_string": query.encode("latin-1", "replace"),
            "root_path": "",
            "headers": [*(pair for pair in defaults if pair[0] not in own), *sent],
            "client": ("192.0.2.7", 40000),
            "server": ("gateway.test", 80),
        }
        status = 0
        answered: dict[str, str] = {}
        content = bytearray()
        ended = asyncio.Event()
        pieces = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            piece = next(pieces, None)
            if piece is None:
                await ended.wait()
                return {"type": "http.disconnect"}
            return piece

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered.update((k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in message["headers"])
            elif message["type"] == "http.response.body":
                content.extend(message.get("body", b""))
                if not message.get("more_body"):
                    ended.set()

        await self._app(scope, receive, send)
        return status, answered, bytes(content)


class Server(InProcess):
    """A server for fuzzed requests, in which there always are a user and a group.

    A request is fuzzed as text: a line `METHOD TARGET`, headers, an empty line, the body. `{user}` and `{group}` stand
    for the ids of a user and of a group that exist, `{connection}` for the connection; a target is relative to the
    connection's base URL unless it starts with `/scim/`. Lines that are not of this form are headers without a value.
    """

    async def _start(self, directory: Path) -> None:
        await super()._start(directory)
        self.user = self.group = ""
        await self._replenish()

    def send(
        self, method: str, target: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request as it was parsed; afterwards the user and the group are there again."""
        answer = self.exchange(method, target, headers, body)
        self._run(self._replenish())
        return answer

    def fuzz(self, data: bytes) -> None:
        """RFC 7644 §3.12: whatever is sent, the answer is SCIM, no 500, and the server goes on serving."""
        method, target, headers, body = self.parse(data)
        check_answer(method, *self.send(method, target, headers, body))

    def seconds(self, data: bytes, rounds: int = 5) -> float:
        """The CPU time, in seconds, of this whole process for one request: the median of several."""
        parsed = self.parse(data)
        return statistics.median(self._timed(*parsed) for _ in range(rounds))

    def _timed(self, method: str, target: str, headers: list[tuple[bytes, bytes]], body: bytes) -> float:
        started = time.process_time()
        status, answered, content = self.exchange(method, target, headers, body)
        elapsed = time.process_time() - started
        check_answer(method, status, answered, content)
        self._run(self._replenish())
        return elapsed

    def parse(self, data: bytes) -> tuple[str, str, list[tuple[bytes, bytes]], bytes]:
        """Read a request from the text that stands for it."""
        head, _, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
        first, *lines = head.split(b"\n")
        # A server's HTTP parser lets no space or control character into a target, nor anything but a token as method.
        words = first.decode("latin-1").split()
        method = "".join(c for c in (words[0] if words else "GET") if c.isascii() and c.isalpha()).upper() or "GET"
        target = self._filled(words[1] if len(words) > 1 else "/Users")
        headers = []
        for line in lines:
            name, _, value = line.partition(b":")
            name = bytes(c for c in name.lower() if c in b"abcdefghijklmnopqrstuvwxyz0123456789-_")
            if name:
                headers.append((name, bytes(c for c in value.strip() if c >= 0x20)))
        return method, target, headers, self._filled(body.decode("latin-1")).encode("latin-1")

    def _filled(self, text: str) -> str:
        for name, value in (("{user}", self.user), ("{group}", self.group), ("{connection}", self.connection)):
            text = text.replace(name, value)
        return text

    async def _replenish(self) -> None:
        """Make the user and the group anew that requests are about, where one has deleted them."""
        self.user = await self._present("/Users", self.user, {"schemas": [USER_URN], **JENSEN})
        self.group = await self._present(
            "/Groups", self.group, {"displayName": "Tour Guides", "members": [{"value": self.user}]}
        )

    async def _present(self, path: str, resource_id: str, body: dict[str, Any]) -> str:
        if resource_id and (await self._exchange("GET", f"{path}/{resource_id}", [], b""))[0] == 200:
            return resource_id
        status, _, content = await self._exchange("POST", path, [], json.dumps(body).encode())
        if status == 409:
            # A request gave its name to another; that one will do as well.
            status, _, content = await self._exchange("GET", f"{path}?count=1", [], b"")
            return str(json.loads(content)["Resources"][0]["id"])
        assert status == 201, content
        return str(json.loads(content)["id"])


def check_answer(method: str, status: int, headers: dict[str, str], content: bytes) -> None:
    """Check what holds for every answer (RFC 7644 §3.12): SCIM JSON, a status that says what is wrong, never a 500."""
    assert 200 <= status < 500 or status == 501, (status, content)
    if method == "HEAD" or not content:
        assert method in ("HEAD", "OPTIONS") or status in (200, 204, 304, 405), (method, status)
        return
    assert headers["content-type"] == SCIM, headers
    body = json.loads(content)
    assert body["schemas"], body
    if status >= 400:
        assert body["schemas"] == [ERROR_URN]
        assert body["status"] == str(status)
        assert body["detail"]
    assert b"Traceback" not in content
