"""Processes that are told to end lose no request and no event, and a rolling restart is not seen by anybody."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import pytest
from rollcall.delivery.v1 import delivery_service_pb2

from tests.loopback import NO_TLS
from tests.nursery import Child, nursery
from tests.stack import PACKAGES, PROCESSES, REPOSITORY, Stack, eventually, free_port
from tests.system.administrator import Administrator

IN_FLIGHT = 200
END_SECONDS = 30


class Burst:
    """Many creates at once, each on a connection of its own, and what each was answered."""

    def __init__(self, base_url: str, token: str) -> None:
        self.answers: list[httpx.Response] = []
        self.all_sent = threading.Event()
        self._sent = 0
        self._base_url = base_url
        self._headers = {"Authorization": f"Bearer {token}"}

    async def send(self) -> None:
        """Send all and wait for every answer; raise for one that never came."""
        limits = httpx.Limits(max_connections=IN_FLIGHT)
        async with (
            httpx.AsyncClient(
                base_url=self._base_url, headers=self._headers, timeout=60, limits=limits, verify=NO_TLS
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            for number in range(IN_FLIGHT):
                group.create_task(self._create(client, number))

    async def _create(self, client: httpx.AsyncClient, number: int) -> None:
        user = {"userName": f"user{number:03}@example.com", "active": True}
        answer = await client.post("/Users", json=user, extensions={"trace": self._trace})
        while answer.status_code in (429, 503):
            # More at once than the gateway takes, or than it can keep waiting for a restart: told so, a client comes
            # again. Had the first request been carried out after all, this one would be a conflict.
            await asyncio.sleep(int(answer.headers["retry-after"]))
            # A kept connection may be closed in the very moment in which it is used again, and a process that ended
            # listens no more. Had a request been carried out whose answer was lost, the next would be a conflict, too.
            with suppress(httpx.TransportError):
                answer = await client.post("/Users", json=user)
        self.answers.append(answer)

    async def _trace(self, event: str, _: object) -> None:
        if event == "http11.send_request_body.complete":
            self._sent += 1
            if self._sent == IN_FLIGHT:
                self.all_sent.set()


def under_load(base_url: str, token: str, end: Callable[[], None]) -> list[httpx.Response]:
    """Do `end` once all creates are sent, from another thread; return their answers."""
    burst = Burst(base_url, token)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(lambda: asyncio.run(burst.send()))
        # A burst that fails is told by its result, not by a wait for answers that never come.
        sending.add_done_callback(lambda _: burst.all_sent.set())
        assert burst.all_sent.wait(60)
        assert len(burst.answers) < IN_FLIGHT
        end()
        sending.result()
    return burst.answers


@pytest.mark.parametrize("session_stack", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_that_is_told_to_end_loses_no_request_and_no_event(stack: Stack, name: str) -> None:
    """SECURITY, graceful life: "SIGTERM under load loses no request and no event", with 200 requests in flight."""
    administrator = Administrator(stack)
    app = administrator.dashboard_app()
    connection = app.connection

    # On the test's own thread: a process that is started on another one ends with that.
    def end() -> None:
        process = stack.processes[name]
        process.terminate()
        assert process.wait(END_SECONDS) in ((0, 1) if name == "nats" else (0,))
        stack.start_process(name)

    answers = under_load(connection.base_url, connection.token, end)
    assert Counter(answer.status_code for answer in answers) == {201: IN_FLIGHT}
    users = {answer.json()["id"] for answer in answers}
    stack.settled(timeout=60)
    created = Counter(effect.user_id for effect in administrator.effects(action="CREATE_COLLABORATOR"))
    assert created == Counter(users)


@pytest.mark.parametrize("session_stack", ["sqlite"], indirect=True)
@pytest.mark.parametrize("name", ["portal", "mdm"])
def test_a_service_that_is_told_to_end_answers_what_it_was_asked(stack: Stack, name: str) -> None:
    """HOUSE: "drain is NOT_SERVING, one second, `stop(grace)`": calls under way are answered, later ones wait."""
    workspace_id = stack.create_workspace()
    stub = {"portal": stack.portal_delivery, "mdm": stack.mdm_delivery}[name]
    request = delivery_service_pb2.ListEffectsRequest(workspace_id=workspace_id)
    calls = [stub.ListEffects.future(request, timeout=60) for _ in range(IN_FLIGHT)]
    calls[0].result()
    process = stack.processes[name]
    process.terminate()
    assert process.wait(END_SECONDS) == 0
    stack.start_process(name)
    assert [call.result().next_page_token for call in calls] == [""] * IN_FLIGHT


class Replica:
    """One more process of a kind that the stack runs already, on a port of its own."""

    def __init__(self, stack: Stack, name: str, directory: Path, **changes: str) -> None:
        self._name = name
        self._directory = directory
        self._stack = stack
        self.port = free_port()
        self._changes = changes
        self._process: Child | None = None

    def start(self) -> None:
        """Start it and wait until it serves."""
        port_file = self._directory / f"{self._name}-{self.port}"
        port_file.unlink(missing_ok=True)
        prefix = f"{self._name.upper()}_"
        changes = {"ADDRESS": f"127.0.0.1:{self.port}", "PORT_FILE": str(port_file), **self._changes}
        arguments = [] if self._name == "gateway" else ["serve"]
        self._process = nursery().spawn(
            ["-m", PACKAGES[self._name], *arguments],
            self._stack._environment(self._name) | {prefix + key: value for key, value in changes.items()},
            str(self._directory / f"{self._name}-{self.port}.log"),
            str(REPOSITORY),
        )
        eventually(self._serves, timeout=30, what=f"another {self._name}")

    def _serves(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None
        if self._name == "gateway":
            with suppress(httpx.HTTPError):
                return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=2, verify=NO_TLS).status_code == 200
            return False
        return (self._directory / f"{self._name}-{self.port}").exists()

    def end(self) -> None:
        """SIGTERM it and wait; it must end well."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(END_SECONDS) == 0

    def kill(self) -> None:
        """Leave nothing behind, whatever the test has come to."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)


@contextmanager
def replicas(stack: Stack, directory: Path) -> Iterator[tuple[list[Replica], list[Replica]]]:
    """Two directories on one database, and two gateways that spread their calls over both."""
    directories = [Replica(stack, "directory", directory) for _ in range(2)]
    target = "ipv4:" + ",".join(f"127.0.0.1:{each.port}" for each in directories)
    gateways = [Replica(stack, "gateway", directory, DIRECTORY_TARGET=target) for _ in range(2)]
    try:
        for each in (*directories, *gateways):
            each.start()
        yield directories, gateways
    finally:
        for each in (*directories, *gateways):
            each.kill()


@pytest.mark.parametrize("session_stack", ["postgresql"], indirect=True)
async def test_a_rolling_restart_under_load_fails_no_request(stack: Stack, tmp_path: Path) -> None:
    """SECURITY, graceful life: "rolling restart of every process under load has no failed request"."""
    administrator = Administrator(stack)
    app = await asyncio.to_thread(administrator.dashboard_app)
    path = app.connection.base_url.partition("/scim/")[2]
    headers = {"Authorization": f"Bearer {app.connection.token}"}
    with replicas(stack, tmp_path) as (directories, gateways):
        in_rotation = list(gateways)
        statuses: Counter[int] = Counter()
        done = asyncio.Event()

        async def provision(worker: int, client: httpx.AsyncClient) -> None:
            number = 0
            while not done.is_set():
                # As a load balancer does: a gateway that is about to end is sent nothing new.
                gateway = in_rotation[number % len(in_rotation)]
                url = f"http://127.0.0.1:{gateway.port}/scim/{path}/Users"
                number += 1
                user = {"userName": f"user{worker}-{number}@example.com"}
                answer = await client.post(url, json=user)
                statuses[answer.status_code] += 1

        async with (
            httpx.AsyncClient(headers=headers, timeout=60, verify=NO_TLS) as client,
            asyncio.TaskGroup() as group,
        ):
            for worker in range(6):
                group.create_task(provision(worker, client))
            try:
                for directory in directories:
                    await asyncio.to_thread(directory.end)
                    await asyncio.to_thread(directory.start)
                for gateway in gateways:
                    in_rotation.remove(gateway)
                    await asyncio.to_thread(gateway.end)
                    await asyncio.to_thread(gateway.start)
                    in_rotation.append(gateway)
            finally:
                done.set()
        assert set(statuses) == {201}, statuses
        await asyncio.to_thread(stack.settled, timeout=60)
        effects = await asyncio.to_thread(administrator.effects, action="CREATE_COLLABORATOR")
        assert len(effects) == statuses[201] == len({effect.user_id for effect in effects})
