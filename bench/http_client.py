"""A small HTTP/1.1 client that costs the machine little: the load client shares the cores with what it measures.

One connection carries one request at a time and is kept alive; as many connections as workers are opened. It speaks to
the loopback only: a load driver must not be turned on somebody else's server.
"""

from __future__ import annotations

import asyncio
import ipaddress
import zlib
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

_LONGEST_HEAD = 64 * 1024


class NotLoopback(ValueError):
    """The URL is not one of a server on this machine."""


class BrokenAnswer(Exception):
    """The connection ended, or what came over it is not HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens and the path that its resources lie under, without a slash at the end."""

    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """Read an `http://` URL. Raises NotLoopback unless its host is `localhost`, 127.0.0.0/8 or ::1."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise NotLoopback(f"{url}: expected http://ADDRESS:PORT/PATH")
        host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise NotLoopback(f"{url}: only servers on the loopback (127.0.0.0/8 or ::1) may be loaded")
        return cls(host, parts.port or 80, parts.path.rstrip("/"))

    @property
    def authority(self) -> str:
        """The Host header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """One response: its status, its headers by lower-case name, its decoded body."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


class Connection:
    """One kept-alive connection. `request` must not be called again before its answer is there."""

    def __init__(self, endpoint: Endpoint, headers: dict[str, str]) -> None:
        self._endpoint = endpoint
        fixed = {"Host": endpoint.authority, **headers}
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in fixed.items()).encode()
        self._wire: _Wire | None = None

    async def request(self, method: str, path: str, body: bytes | None = None, timeout: float = 60.0) -> Answer:
        """Send a request and wait for its whole answer, at most `timeout` seconds: 60 is what Okta waits.

        Raises BrokenAnswer, TimeoutError; the connection is then closed, and the next request opens another.
        """
        loop = asyncio.get_running_loop()
        wire = self._wire
        if wire is None or wire.closed:
            _, wire = await loop.create_connection(_Wire, self._endpoint.host, self._endpoint.port)
            self._wire = wire
        head = f"{method} {self._endpoint.path}{path} HTTP/1.1\r\n".encode() + self._fixed
        answer = wire.send(
            head + b"\r\n" if body is None else b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)
        )
        late = TimeoutError(f"{method} {path[:80]}: no answer in {timeout:g} s")
        timer = loop.call_later(timeout, wire.fail, late)
        try:
            return await answer
        finally:
            timer.cancel()

    def close(self) -> None:
        """Close the connection."""
        if self._wire is not None:
            self._wire.close()


class _Wire(asyncio.Protocol):
    """One TCP connection and the answer that is being read from it."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._reset()

    def send(self, request: bytes) -> asyncio.Future[Answer]:
        """Write a request; the future is its answer."""
        assert self._transport is not None
        self._reset()
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def fail(self, error: Exception) -> None:
        """Give the connection up, and the answer with it."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    def close(self) -> None:
        """Close the connection."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not an instance of asyncio.Transport where the loop is uvloop's.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._head is not None and self._head.length < 0 and not self._head.chunked:
            # Without a length the end of the connection is the end of the body.
            self._finish(bytes(self._received))
        self.fail(BrokenAnswer(f"the server closed the connection: {exc or 'no reason given'}"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            self._advance()
        except (ValueError, IndexError) as error:
            self.fail(BrokenAnswer(f"not HTTP/1.1: {error}"))

    def _reset(self) -> None:
        self._received = bytearray()
        self._head: _Head | None = None
        # Where the chunk that is read next begins, and the chunks before it.
        self._chunk_at = 0
        self._chunks: list[bytes] = []

    def _advance(self) -> None:
        if self._head is None:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                if len(self._received) > _LONGEST_HEAD:
                    raise ValueError("a head without end")
                return
            self._head = _parse_head(bytes(self._received[:end]))
            del self._received[: end + 4]
            if 100 <= self._head.status < 200:
                self._head = None
                self._advance()
                return
        if self._head.chunked:
            self._advance_chunks()
        elif len(self._received) >= self._head.length >= 0:
            self._finish(bytes(self._received[: self._head.length]))

    def _advance_chunks(self) -> None:
        received = self._received
        while True:
            line_end = received.find(b"\r\n", self._chunk_at)
            if line_end < 0:
                return
            size = int(received[self._chunk_at : line_end].split(b";")[0], 16)
            begin = line_end + 2
            if size == 0:
                # Trailers are not read: no server here sends any, and the last empty line belongs to them.
                if len(received) >= begin + 2:
                    self._finish(b"".join(self._chunks))
                return
            if len(received) < begin + size + 2:
                return
            self._chunks.append(bytes(received[begin : begin + size]))
            self._chunk_at = begin + size + 2

    def _finish(self, body: bytes) -> None:
        assert self._head is not None
        head = self._head
        if head.headers.get(b"content-encoding", b"").lower() in (b"gzip", b"deflate"):
            body = zlib.decompress(body, zlib.MAX_WBITS | 32)
        if head.last:
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(head.status, head.headers, body))


@dataclass(frozen=True, slots=True)
class _Head:
    status: int
    headers: dict[bytes, bytes]
    length: int
    """Of the body: 0 where there is none, −1 where it is not stated."""
    chunked: bool
    last: bool
    """Whether the server closes the connection after this answer."""


def _parse_head(head: bytes) -> _Head:
    first, *lines = head.split(b"\r\n")
    version, _, rest = first.partition(b" ")
    if not version.startswith(b"HTTP/1."):
        raise ValueError(f"the answer begins with {first[:40]!r}")
    status = int(rest[:3])
    headers: dict[bytes, bytes] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        headers[name.strip().lower()] = value.strip()
    bodiless = status in (204, 304) or 100 <= status < 200
    chunked = not bodiless and b"chunked" in headers.get(b"transfer-encoding", b"").lower()
    connection = headers.get(b"connection", b"").lower()
    last = connection == b"close" or (version == b"HTTP/1.0" and connection != b"keep-alive")
    return _Head(status, headers, 0 if bodiless else int(headers.get(b"content-length", b"-1")), chunked, last)
