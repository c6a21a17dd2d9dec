"""What a second gateway and a second directory on the same PostgreSQL add."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.driver import Bounds, Driver
from bench.postgres import Postgres
from bench.system import SystemFailed
from tests.stack import Stack, free_port

_READY_SECONDS = 30.0
_USERS = 500


def measure(seconds: float) -> dict[str, Any]:
    """Drive two connections, first through one gateway and directory, then each through its own; give both rates."""
    directory = Path(tempfile.mkdtemp(prefix="rollcall-scale-"))
    # PostgreSQL runs as another user, and its own directory is closed to everybody else.
    directory.chmod(0o755)
    try:
        with _system(directory) as (stack, second_port):
            return asyncio.run(_measure(stack, second_port, seconds))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _measure(stack: Stack, second_port: int, seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {"cores": os.cpu_count(), "seconds": seconds}
    connections = [stack.enable(stack.create_workspace(), portal) for portal in ("dashboard", "store")]
    drivers = {}
    for width in (1, 2):
        urls = [connection.base_url for connection in connections]
        if width == 2:
            urls[1] = urls[1].replace(f":{stack.ports['gateway']}/", f":{second_port}/")
        drivers[width] = [
            Driver(url, connection.token, domain=f"{connection.portal.lower()}{width}.example.com")
            for url, connection in zip(urls, connections, strict=True)
        ]
        for driver in drivers[width]:
            await driver.preload(_USERS)
    for phase in ("lookup", "update", "provision"):
        found[phase] = {}
        for width in (1, 2):
            psutil.cpu_percent()
            bounds = Bounds(1_000_000, seconds)
            runs = await asyncio.gather(*(getattr(driver, phase)(bounds) for driver in drivers[width]))
            if failures := [run.failure for run in runs if run.failure]:
                raise SystemFailed(f"{phase} with {width}: {failures[0]}")
            found[phase][str(width)] = {"rate": sum(run.rate for run in runs), "busy_percent": psutil.cpu_percent()}
    return found


@contextmanager
def _system(directory: Path) -> Iterator[tuple[Stack, int]]:
    """The system on PostgreSQL with a second directory, and a second gateway before it; and the gateway's port."""
    server = Postgres(directory / "postgresql", free_port())
    server.start()
    with ExitStack() as ending:
        ending.callback(server.stop)
        databases = {name: server.create_database(name) for name in ("directory", "portal", "mdm")}
        stack = Stack(directory / "stack", databases, kind="postgresql")
        ending.callback(stack.stop)
        stack.start()
        port_file = directory / "directory-2"
        _start(ending, stack, "directory_service", "serve", DIRECTORY_ADDRESS="127.0.0.1:0",
               DIRECTORY_PORT_FILE=str(port_file))  # fmt: skip
        _until(lambda: port_file.exists() and bool(port_file.read_text().strip()))
        port = free_port()
        target = f"127.0.0.1:{port_file.read_text().strip()}"
        _start(ending, stack, "gateway", GATEWAY_ADDRESS=f"127.0.0.1:{port}", GATEWAY_DIRECTORY_TARGET=target,
               GATEWAY_PORT_FILE=str(directory / "gateway-2"))  # fmt: skip
        _until(lambda: _answers(port))
        yield stack, port


def _start(ending: ExitStack, stack: Stack, *module: str, **environment: str) -> None:
    """Start another process with the settings of its kind, save those given; it ends with `ending`."""
    name = module[0].removesuffix("_service")
    log = ending.enter_context((stack.directory / "logs" / f"{name}-2.log").open("ab"))
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        env={**stack._environment(name), **environment},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )

    def end() -> None:
        process.terminate()
        process.wait(15)

    ending.callback(end)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def _until(condition: Any) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemFailed(f"the second of its kind was not ready within {_READY_SECONDS:g} s")
        time.sleep(0.02)
