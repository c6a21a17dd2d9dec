"""NATS as three servers on the loopback: every stream has three replicas and every write is synced."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import httpx
import nats.errors
import psutil
from nats.aio.client import Client

from tests.faults.faults import Context, Fault
from tests.faults.proxy import FaultProxy
from tests.faults.system import FaultStack
from tests.loopback import NO_TLS
from tests.stack import POLL_INTERVAL, START_TIMEOUT, StackError, eventually, free_port

NODES = ("nats-a", "nats-b", "nats-c")
LONELY = "nats-c"
"""The server that can be cut off: all its routes go through proxies."""


class ClusterStack(FaultStack):
    """A `FaultStack` on a cluster: "nats" names all three servers, "nats-a" and so on one of them."""

    def __init__(self, directory: Path, databases: Mapping[str, str], *, kind: str) -> None:
        super().__init__(directory, databases, kind=kind)
        self.clients = {node: free_port() for node in NODES}
        self.monitors = {node: free_port() for node in NODES}
        self.cluster_ports = {node: free_port() for node in NODES}
        self.routes = {
            "in": FaultProxy(lambda: self.cluster_ports[LONELY]),
            "out-nats-a": FaultProxy(lambda: self.cluster_ports["nats-a"]),
            "out-nats-b": FaultProxy(lambda: self.cluster_ports["nats-b"]),
        }
        self.ports["nats"], self.ports["monitoring"] = self.clients["nats-a"], self.monitors["nats-a"]
        for name, prefix in (("directory", "DIRECTORY"), ("portal", "PORTAL"), ("mdm", "MDM")):
            self.set_environment(name, {f"{prefix}_STREAM_REPLICAS": "3"})

    @property
    def nats_url(self) -> str:
        """All three servers."""
        return ",".join(f"nats://127.0.0.1:{port}" for port in self.clients.values())

    def nats_url_for(self, name: str) -> str:
        """All three servers, without a proxy: it is the cluster that breaks."""
        return self.nats_url

    def start(self) -> None:
        """Start everything."""
        for proxy in self.routes.values():
            proxy.start()
        super().start()

    def stop(self) -> None:
        """Stop everything."""
        super().stop()
        for proxy in self.routes.values():
            proxy.stop()

    def await_proxied(self) -> None:
        """Have the routes of one server go through the proxies alone.

        Servers also tell each other of the others' true addresses: when such a route came first, the server is started
        again until its own came first.
        """
        true_ports = {port for node, port in self.cluster_ports.items() if node != LONELY}

        def is_proxied() -> bool:
            entries = psutil.Process(self.processes[LONELY].pid).net_connections("tcp")
            return not any(entry.raddr and entry.raddr.port in true_ports for entry in entries)

        for _ in range(20):
            eventually(lambda: self.route_count(LONELY) >= 2, timeout=30, what="a server with routes")
            if is_proxied():
                return
            self.restart(LONELY)
        raise AssertionError(f"{LONELY} always finds a way past its proxies")

    def cut_off(self) -> None:
        """Take the routes of one server away; clients still reach it."""
        for proxy in self.routes.values():
            proxy.cut()

    def join(self) -> None:
        """Give the server its routes back."""
        for proxy in self.routes.values():
            proxy.heal()

    def route_count(self, node: str) -> int:
        """How many routes a server has to others."""
        answer = httpx.get(f"http://127.0.0.1:{self.monitors[node]}/routez", timeout=5, verify=NO_TLS)
        return int(answer.json()["num_routes"])

    def leader(self) -> str:
        """The server that leads the stream DIRECTORY, `nats-a` or another; empty while none does."""

        async def ask(client: Client) -> str:
            info = await client.jetstream().stream_info("DIRECTORY")
            return (info.cluster.leader if info.cluster else None) or ""

        with suppress(nats.errors.Error, TimeoutError, OSError):
            return self.jetstream(ask)
        return ""

    def await_leader(self) -> str:
        """Wait until the stream has a leader."""
        return eventually(self.leader, timeout=60, what="a leader of the stream")

    def running(self, name: str) -> bool:
        """Whether a process is alive; of the cluster: whether any server is."""
        if name == "nats":
            return any(super(ClusterStack, self).running(node) for node in NODES)
        return super().running(name)

    def kill(self, name: str) -> None:
        """SIGKILL a process, or all servers at once."""
        if name != "nats":
            super().kill(name)
            return
        for node in NODES:
            if super().running(node):
                with suppress(ProcessLookupError):
                    os.killpg(self.processes[node].pid, signal.SIGKILL)
        for node in NODES:
            self.processes[node].wait(10)

    def terminate(self, *names: str) -> None:
        """SIGTERM processes and wait for them."""
        expanded = [node for name in names for node in (NODES if name == "nats" else (name,))]
        super().terminate(*expanded)

    def start_process(self, name: str) -> None:
        """Start a process, or every server that does not run, and wait until it serves."""
        if name != "nats":
            super().start_process(name)
            return
        for node in NODES:
            if not super().running(node):
                self._spawn(node)
        deadline = time.monotonic() + START_TIMEOUT
        while not all(self._serves(node) for node in NODES):
            if time.monotonic() > deadline:
                raise StackError("the cluster did not form:\n" + "\n".join(self.log(node) for node in NODES))
            time.sleep(POLL_INTERVAL)

    def _serves(self, name: str) -> bool:
        if name not in NODES:
            return super()._serves(name)
        try:
            return (
                httpx.get(f"http://127.0.0.1:{self.monitors[name]}/healthz", timeout=2, verify=NO_TLS).status_code
                == 200
            )
        except httpx.HTTPError:
            return False

    def _command(self, name: str) -> list[str]:
        if name not in NODES:
            return super()._command(name)
        others = [node for node in NODES if node != name]
        ports = {node: self.cluster_ports[node] for node in NODES}
        advertise = ""
        if name == LONELY:
            ports |= {node: self.routes[f"out-{node}"].port for node in others}
            advertise = f'advertise: "127.0.0.1:{self.routes["in"].port}"'
        else:
            ports[LONELY] = self.routes["in"].port
        routes = json.dumps([f"nats://127.0.0.1:{ports[node]}" for node in others])
        config = self.directory / f"{name}.conf"
        config.write_text(
            f'server_name: {name}\nlisten: "127.0.0.1:{self.clients[name]}"\n'
            f'http: "127.0.0.1:{self.monitors[name]}"\nmax_payload: 4MB\n'
            f'jetstream {{ store_dir: "{self.directory / "jetstream" / name}", sync_interval: always }}\n'
            f'cluster {{ name: rollcall, listen: "127.0.0.1:{self.cluster_ports[name]}", pool_size: -1, '
            f"no_advertise: true, {advertise}\n routes: {routes} }}\n"
        )
        return [str(Path(sys.executable).with_name("nats-server")), "-c", str(config)]

    def _environment(self, name: str) -> dict[str, str]:
        return super()._environment("nats") if name in NODES else super()._environment(name)

    def _consumers(self) -> dict[str, int]:
        """As the leaders of the consumers tell: a follower's numbers may be old."""

        async def ask(client: Client) -> dict[str, int]:
            infos = await client.jetstream().consumers_info("DIRECTORY")
            return {info.name: (info.num_pending or 0) + (info.num_ack_pending or 0) for info in infos}

        with suppress(nats.errors.Error, TimeoutError, OSError):
            return self.jetstream(ask)
        return {}


def _cluster(context: Context) -> ClusterStack:
    assert isinstance(context.stack, ClusterStack)
    return context.stack


def leader_gone(end: Callable[[ClusterStack, str], None]) -> Fault:
    """The stream's leader ends while clients work; it comes back later."""

    def fault(context: Context) -> None:
        stack = _cluster(context)
        with context.working():
            context.after(context.workload.size.operations // 4)
            leader = stack.await_leader()
            end(stack, leader)
            context.after(context.workload.size.operations // 4)
            assert stack.await_leader() != leader
            context.after(context.workload.size.operations // 4)
            stack.start_process(leader)

    return fault


leader_killed = leader_gone(lambda stack, leader: stack.kill(leader))
leader_stopped = leader_gone(lambda stack, leader: stack.terminate(leader))


def all_killed(context: Context) -> None:
    """All three servers are killed at once and started again."""
    stack = _cluster(context)
    with context.working():
        context.after(context.workload.size.operations // 4)
        stack.kill("nats")
        context.after(context.workload.size.operations // 4)
        stack.start_process("nats")
        stack.await_leader()


def one_cut_off(context: Context) -> None:
    """One server loses sight of the others, and its clients with it see a server that answers nothing."""
    stack = _cluster(context)
    stack.await_proxied()
    stack.await_leader()
    with context.working():
        context.after(context.workload.size.operations // 4)
        stack.cut_off()
        try:
            eventually(lambda: stack.route_count(LONELY) == 0, timeout=10, what="a server without routes")
            context.after(context.workload.size.operations // 4)
            time.sleep(10.0 if context.patient else 3.0)  # longer than an election
        finally:
            stack.join()
        eventually(lambda: stack.route_count(LONELY) >= 2, timeout=30, what="a server with routes")
