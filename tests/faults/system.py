"""The whole system with every wire through a fault proxy, processes that crash where they are told, and replicas."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

import nats
from nats.aio.client import Client

from tests.faults.audit import install_audit
from tests.faults.proxy import FaultProxy
from tests.stack import CONSUMERS, PACKAGES, POLL_INTERVAL, Stack, eventually

T = TypeVar("T")

CRASHED = -signal.SIGKILL
PARTITIONS = 16
"""Of the stream DIRECTORY, and so the durable consumers of each service."""


async def quietly(error: Exception) -> None:
    """Pass over what the NATS client meets on its way to another server; what matters is raised by its calls."""


class FaultStack(Stack):
    """A `Stack` whose processes reach NATS and the directory through proxies of their own.

    `proxies` are named "<client>-<server>": "gateway-directory", "directory-nats", "portal-nats", "mdm-nats".
    """

    def __init__(self, directory: Path, databases: Mapping[str, str], *, kind: str) -> None:
        super().__init__(directory, databases, kind=kind)
        self.replicas: dict[str, tuple[str, list[str]]] = {}
        self.without: dict[str, str] = {}
        """Processes that run without a mechanism, see `sabotage`."""
        self.proxies = {
            "gateway-directory": FaultProxy(lambda: self.ports["directory"]),
            "directory-nats": FaultProxy(lambda: self.ports["nats"]),
            "portal-nats": FaultProxy(lambda: self.ports["nats"]),
            "mdm-nats": FaultProxy(lambda: self.ports["nats"]),
        }

    def start(self) -> None:
        """Start everything, and the record of what consumers apply."""
        for proxy in self.proxies.values():
            proxy.start()
        for name in ("directory", *CONSUMERS):
            self.set_environment(name, {f"{name.upper()}_NATS_URL": self.nats_url_for(name)})
        for name in CONSUMERS:
            prefix = name.upper()
            self.set_environment(name, {f"{prefix}_ACK_WAIT_SECONDS": "1", f"{prefix}_LEASE_SECONDS": "1"})
        port = self.proxies["gateway-directory"].port
        self.set_environment("gateway", {"GATEWAY_DIRECTORY_TARGET": f"127.0.0.1:{port}"})
        super().start()
        for name in CONSUMERS:
            install_audit(self.databases[name])

    def nats_url_for(self, name: str) -> str:
        """Where a service finds NATS: behind its proxy."""
        return f"nats://127.0.0.1:{self.proxies[f'{name}-nats'].port}"

    def stop(self) -> None:
        """Stop replicas, then the rest."""
        for name in self.replicas:
            if self.running(name):
                self.kill(name)
        for proxy in self.proxies.values():
            proxy.heal()
        super().stop()
        for proxy in self.proxies.values():
            proxy.stop()

    def set_environment(self, name: str, values: Mapping[str, str]) -> None:
        """Give a process variables from its next start on; an empty value removes one."""
        environment = self.extra_environment.setdefault(name, {})
        environment.update(values)
        for key in [key for key, value in environment.items() if not value]:
            del environment[key]

    def arm(self, name: str, crashpoint: str = "") -> None:
        """Let a process kill itself at a crash point, `name:n`, from its next start on; empty: no more."""
        self.set_environment(name, {"ROLLCALL_CRASHPOINT": crashpoint})

    def start_replica(self, name: str, like: str, *arguments: str) -> None:
        """Start another process of a service beside the first, such as a relay or a second consumer."""
        self.replicas[name] = (like, [sys.executable, "-m", PACKAGES[like], *(arguments or ("serve",))])
        self._spawn(name)
        if not arguments:
            self._await(name)

    def crash(self, name: str, crashpoint: str, *, timeout: float = 30.0) -> None:
        """Restart a process so that it dies at a crash point, wait for its death, and start it again unarmed."""
        self.arm(name, crashpoint)
        try:
            self.terminate(name)
            self._spawn(name)
            self.await_death(name, timeout=timeout, what=crashpoint)
        finally:
            self.arm(name)
        self.start_process(name)

    def await_death(self, name: str, *, timeout: float, what: str) -> None:
        """Wait until a process has killed itself. Raises AssertionError when it goes on living or ends otherwise."""
        deadline = time.monotonic() + timeout
        while self.running(name):
            if time.monotonic() > deadline:
                raise AssertionError(f"{name} never passed {what}")
            time.sleep(POLL_INTERVAL)
        code = self.processes[name].returncode
        # A worker that kills itself is reported by its master, which then ends or replaces it.
        assert code == CRASHED, f"{name} ended with {code} instead of dying at {what}:\n{self.log(name)}"

    def pause(self, name: str) -> None:
        """Freeze a process and its workers."""
        os.killpg(self.processes[name].pid, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a frozen process go on."""
        os.killpg(self.processes[name].pid, signal.SIGCONT)

    def jetstream(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Do something on a NATS connection of the test's own, past all proxies."""

        async def connected() -> T:
            client = await nats.connect(self.nats_url.split(","), connect_timeout=5, error_cb=quietly)
            try:
                return await work(client)
            finally:
                await client.close()

        return asyncio.run(connected())

    def await_published(self, *, timeout: float = 30.0) -> None:
        """Wait until no event of the directory waits in the outbox."""
        eventually(lambda: self.unsent() == 0, timeout=timeout, what="publishing the outbox")

    def _command(self, name: str) -> list[str]:
        if name in self.replicas:
            return self.replicas[name][1]
        command = super()._command(name)
        if name in self.without:
            return [command[0], "-m", "tests.faults.sabotage", self.without[name], *command[3:]]
        return command

    def _environment(self, name: str) -> dict[str, str]:
        if name not in self.replicas:
            return super()._environment(name)
        like = self.replicas[name][0]
        prefix = like.upper()
        environment = super()._environment(like) | {
            f"{prefix}_PORT_FILE": str(self.directory / "ports" / name),
            f"{prefix}_ADDRESS": "127.0.0.1:0",
        }
        environment.pop("ROLLCALL_CRASHPOINT", None)
        return environment

    @staticmethod
    def _consumers_exist(consumers: Mapping[str, int]) -> bool:
        """Of a stream that was lost they come back one by one, and only all of them can say that nothing waits."""
        wanted = {f"{service}-{partition}" for service in CONSUMERS for partition in range(PARTITIONS)}
        return wanted <= consumers.keys()

    def seconds_to_settle(self, *, timeout: float) -> float:
        """Wait until everything has arrived everywhere, and say how long that took."""
        started = time.monotonic()
        self.settled(timeout=timeout)
        return time.monotonic() - started

    def restart_without(self, name: str, mechanism: str) -> None:
        """Restart a process without one of its mechanisms; an empty one restores it."""
        self.without.pop(name, None)
        if mechanism:
            self.without[name] = mechanism
        if self.running(name):
            self.kill(name)
        self.start_process(name)
