"""The fault proxy does to a wire what it says, and no more."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.faults.proxy import FaultProxy
from tests.stack import eventually


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.request.recv(1024):
                self.request.sendall(data)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """A proxy before a server that answers each byte with itself."""
    with _Server(("127.0.0.1", 0), _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        between = FaultProxy(lambda: int(server.server_address[1]))
        between.start()
        try:
            yield between
        finally:
            between.stop()
            server.shutdown()


def connect(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def echoes(connection: socket.socket) -> bool:
    connection.sendall(b"x")
    return connection.recv(1) == b"x"


def is_broken(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except OSError:
        return True


def test_a_whole_wire_passes_everything(proxy: FaultProxy) -> None:
    """DELIVERY: "a small asyncio TCP proxy in tests"."""
    with connect(proxy) as connection:
        assert echoes(connection)
    assert proxy.lost == 0


def test_a_cut_breaks_what_is_there_and_refuses_what_comes_until_it_is_healed(proxy: FaultProxy) -> None:
    """DELIVERY: "one cut off" needs a wire that can be cut."""
    with connect(proxy) as connection:
        assert echoes(connection)
        proxy.cut()
        assert is_broken(connection)
    with connect(proxy) as refused:
        assert is_broken(refused)
    proxy.heal()
    with connect(proxy) as connection:
        assert echoes(connection)


@pytest.mark.parametrize("direction", ["requests", "replies"])
def test_swallowed_bytes_never_arrive_and_break_the_connection_at_the_end(proxy: FaultProxy, direction: str) -> None:
    """DELIVERY: "lost replies in each direction"."""
    with connect(proxy) as connection:
        assert echoes(connection)
        proxy.swallow(direction)  # type: ignore[arg-type]
        connection.sendall(b"y")
        eventually(lambda: proxy.lost == 1)
        proxy.heal()
        assert is_broken(connection)
    with connect(proxy) as connection:
        assert echoes(connection)


def test_a_delay_holds_each_way_back(proxy: FaultProxy) -> None:
    """DELIVERY: the proxy can be slow without losing anything."""
    with connect(proxy) as connection:
        proxy.delay(0.05)
        began = time.monotonic()
        assert echoes(connection)
        assert time.monotonic() - began >= 0.1
