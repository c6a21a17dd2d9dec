"""A TCP proxy on the loopback that breaks what passes through it: cuts, delays, or swallows one direction."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Direction = Literal["requests", "replies"]

_CHUNK = 64 * 1024


class _Link:
    """One accepted connection and the one to the server behind the proxy."""

    def __init__(self) -> None:
        self.writers: list[asyncio.StreamWriter] = []
        self.lost_bytes = False

    def close(self) -> None:
        for writer in self.writers:
            # An abort, as a failing network would: what is buffered is lost.
            writer.transport.abort()


class FaultProxy:
    """Forwards connections to `upstream()`, a port of the loopback, asked anew for each of them.

    It runs on a thread of its own, so that tests may be synchronous. `requests` are the bytes that go to the server,
    `replies` those that come from it.
    """

    def __init__(self, upstream: Callable[[], int]) -> None:
        self._upstream = upstream
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._refusing = False
        self._delay = 0.0
        self._swallowed: Direction | None = None
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)
        self.port = 0
        self.lost = 0
        """Bytes swallowed since the start."""

    def start(self, port: int = 0) -> None:
        """Listen on a port; 0 takes a free one."""
        self._thread.start()
        self._do(self._listen(port))

    def stop(self) -> None:
        """Close everything and end the thread."""
        if not self._thread.is_alive():
            return
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Break every connection and refuse new ones until `heal`."""
        self._do(self._set(refusing=True))

    def delay(self, seconds: float) -> None:
        """Hold every chunk back for some time until `heal`."""
        self._do(self._set(delay=seconds))

    def swallow(self, direction: Direction) -> None:
        """Let the bytes of one direction vanish until `heal`; the connections look alive meanwhile."""
        self._do(self._set(swallowed=direction))

    def heal(self) -> None:
        """Forward again; connections that lost bytes are broken, for nothing sensible can follow on them."""
        self._do(self._set())

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _listen(self, port: int) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _set(self, *, refusing: bool = False, delay: float = 0.0, swallowed: Direction | None = None) -> None:
        self._refusing, self._delay, self._swallowed = refusing, delay, swallowed
        for link in list(self._links):
            if refusing or (link.lost_bytes and swallowed is None):
                link.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        link = _Link()
        link.writers.append(writer)
        self._links.add(link)
        try:
            try:
                server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._upstream())
            except OSError:
                return
            link.writers.append(server_writer)
            if self._refusing:
                return
            pumps = [
                asyncio.create_task(self._pump(link, "requests", reader, server_writer)),
                asyncio.create_task(self._pump(link, "replies", server_reader, writer)),
            ]
            self._tasks.update(pumps)
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            link.close()
            await asyncio.gather(*pumps, return_exceptions=True)
            self._tasks.difference_update(pumps)
        finally:
            link.close()
            self._links.discard(link)

    async def _pump(
        self, link: _Link, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                if self._swallowed == direction:
                    link.lost_bytes = True
                    self.lost += len(data)
                    continue
                writer.write(data)
                await writer.drain()
