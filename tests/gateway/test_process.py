"""`python -m gateway` as a process: gunicorn, its workers, and what only real sockets show."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1.group_pb2 import Group, Member
from rollcall.directory.v1.user_pb2 import User

from tests.gateway.edge import CONNECTION, ScriptedDirectory, assert_scim_error, bearer, fresh_token, scripted
from tests.loopback import NO_TLS
from tests.nursery import Child, nursery

BASE = f"/scim/v2/{CONNECTION}"
ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20


def environment(directory: Path, target: str, **changes: str) -> dict[str, str]:
    """The environment of a gateway process whose files are in a directory."""
    credentials = directory / "credentials.json"
    credentials.write_text(json.dumps({"gateway": "s" * 43}))
    credentials.chmod(0o600)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")}
    settings = {
        "ADDRESS": "127.0.0.1:0",
        "PORT_FILE": str(directory / "port"),
        "DIRECTORY_TARGET": target,
        "CREDENTIALS_FILE": str(credentials),
        "WORKERS": "2",
        "KEEPALIVE_SECONDS": "1",
    }
    return clean | {f"GATEWAY_{name}": value for name, value in (settings | changes).items()}


class Process:
    """A running gateway."""

    def __init__(self, process: Child, port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.log = log
        self.headers = bearer(fresh_token())

    async def exchange(self, data: bytes) -> bytes:
        """Send bytes over a connection of their own; return all that comes until the gateway closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        await writer.drain()
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def running(files: Path, target: str, **changes: str) -> AsyncIterator[Process]:
    """Run a gateway whose directory is at `target`, with its files in a folder, until the end of the block."""
    log = files / "log"
    started = nursery().spawn(["-m", "gateway"], environment(files, target, **changes), str(log), str(ROOT))
    try:
        async with asyncio.timeout(START_SECONDS):
            while not (files / "port").exists():
                assert started.poll() is None, log.read_text()
                await asyncio.sleep(0.01)
        yield Process(started, int((files / "port").read_text()), log)
    finally:
        started.terminate()
        try:
            await asyncio.to_thread(started.wait, 15)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@pytest.fixture
async def directory() -> ScriptedDirectory:
    """A directory that knows one user."""
    knowing = ScriptedDirectory()
    knowing.scripts["GetUser"] = lambda request: pb.GetUserResponse(user=User(id="u1", user_name="Ada", etag='W/"1"'))
    return knowing


@pytest.fixture
async def process(tmp_path: Path, directory: ScriptedDirectory) -> AsyncIterator[Process]:
    """A gateway of two workers, listening."""
    async with scripted(directory) as target, running(tmp_path, target) as started:
        yield started


@pytest.fixture
async def client(process: Process) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the process, with a token."""
    address = f"http://127.0.0.1:{process.port}"
    async with httpx.AsyncClient(base_url=address, headers=process.headers, timeout=15, verify=NO_TLS) as opened:
        yield opened


async def test_it_serves_from_workers_and_ends_when_told(process: Process, client: httpx.AsyncClient) -> None:
    """HOUSE: "no gRPC, NATS or database object before a fork": each worker has a channel of its own that works."""
    responses = await asyncio.gather(*(client.get(f"{BASE}/Users/u1") for _ in range(20)))
    assert {response.status_code for response in responses} == {200}
    assert responses[0].headers["content-type"] == "application/scim+json"
    assert responses[0].json()["meta"]["location"] == f"http://127.0.0.1:{process.port}{BASE}/Users/u1"
    process.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.process.wait, 15) == 0
    assert "Traceback" not in process.log.read_text()
    assert [json.loads(line)["process"] for line in process.log.read_text().splitlines()]


async def test_a_worker_that_is_told_to_stop_while_it_loads_stops(process: Process) -> None:
    """A signal that a worker misses would hold a deployment up for the whole grace period."""
    process.process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.process.wait, 10) == 0


async def test_a_request_under_way_is_answered_before_the_process_ends(
    process: Process, client: httpx.AsyncClient, directory: ScriptedDirectory
) -> None:
    """HOUSE: "drain": a deployment breaks no request off."""
    reached, release = asyncio.Event(), asyncio.Event()

    async def slow() -> Any:
        reached.set()
        await release.wait()
        return pb.GetUserResponse(user=User(id="u1", user_name="Ada", etag='W/"1"'))

    directory.scripts["GetUser"] = lambda request: slow()
    pending = asyncio.create_task(client.get(f"{BASE}/Users/u1"))
    await asyncio.wait_for(reached.wait(), 10)
    process.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(10):
        while "Worker shutting down" not in process.log.read_text():
            await asyncio.sleep(0.01)
    release.set()
    assert (await pending).status_code == 200


async def test_a_list_of_members_that_breaks_off_is_never_taken_for_a_whole_one(
    client: httpx.AsyncClient, directory: ScriptedDirectory
) -> None:
    """A client that got half of a group must see that it did: the connection ends without the last chunk."""
    members = [Member(value=f"m{number}") for number in range(500)]
    chunk = pb.ListGroupMembersResponse(members=members)
    directory.scripts |= {
        "GetGroup": lambda request: pb.GetGroupResponse(group=Group(id="g1", display_name="G", member_count=1500)),
        "ListGroupMembers": lambda request: [chunk, chunk, grpc.StatusCode.UNAVAILABLE],
    }
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(f"{BASE}/Groups/g1")
    directory.scripts["ListGroupMembers"] = lambda request: [chunk] * 3
    assert len((await client.get(f"{BASE}/Groups/g1")).json()["members"]) == 1500


MUTANTS = [
    b"//scim/v2/%c/Users/u1",
    b"/scim/v2/%c/Users%2Fu1",
    b"/scim/v2/%c/./Users/u1",
    b"/scim/v2/%c/../%c/Users/u1",
    b"/healthz/../scim/v2/%c/Users/u1",
    b"/healthz%2f..%2fscim/v2/%c/Users/u1",
    b"http://healthz/scim/v2/%c/Users/u1",
    b"/SCIM/v2/%c/Users/u1",
]


async def test_a_path_mutant_on_the_wire_is_401_without_and_404_with_a_token(process: Process) -> None:
    """SECURITY: "CVE-2026-32130: URL-encoded path skips auth | path mutants without a token: 401"."""
    token = f"Authorization: {process.headers['Authorization']}\r\n".encode()
    for mutant in MUTANTS:
        target = mutant.replace(b"%c", CONNECTION.encode())
        line = b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        assert (await process.exchange(line + b"\r\n")).startswith(b"HTTP/1.1 401 "), target
        assert (await process.exchange(line + token + b"\r\n")).startswith(b"HTTP/1.1 404 "), target


async def test_a_filter_too_long_for_most_servers_is_refused_in_scim(
    process: Process, client: httpx.AsyncClient
) -> None:
    """WIRE: "a body that is not SCIM JSON … breaks the task", also where a URL is long."""
    response = await client.get(f"{BASE}/Users", params={"filter": f'userName eq "{"%" * 20_000}"'})
    assert_scim_error(response, 400, "invalidFilter")


async def test_a_body_over_the_limit_is_413_without_being_read(process: Process) -> None:
    """SECURITY: "body 1 MiB (413)", by its announced length and by its real one."""
    token = f"Authorization: {process.headers['Authorization']}\r\n".encode()
    start = b"POST " + BASE.encode() + b"/Users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + token
    assert (await process.exchange(start + b"Content-Length: 99999999\r\n\r\n{")).startswith(b"HTTP/1.1 413 ")
    chunked = start + b"Transfer-Encoding: chunked\r\n\r\n" + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * 17
    assert (await process.exchange(chunked + b"0\r\n\r\n")).startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_never_comes_is_408(tmp_path: Path) -> None:
    """SECURITY: "request deadline 30 s", also for a client that is slow on purpose."""
    async with scripted(ScriptedDirectory()) as target, running(tmp_path, target, DEADLINE_SECONDS="0.5") as process:
        token = f"Authorization: {process.headers['Authorization']}\r\n".encode()
        start = b"POST " + BASE.encode() + b"/Users HTTP/1.1\r\nHost: x\r\n" + token + b"Content-Length: 20\r\n\r\n{"
        assert (await process.exchange(start)).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(("trusted", "scheme"), [("", "http"), ("127.0.0.0/8", "https"), ("10.0.0.0/8", "http")])
async def test_only_a_trusted_proxy_says_what_the_scheme_is(
    tmp_path: Path, directory: ScriptedDirectory, trusted: str, scheme: str
) -> None:
    """`meta.location` begins with https behind a proxy that ends TLS, and only a trusted one can make it so."""
    async with scripted(directory) as target, running(tmp_path, target, TRUSTED_PROXIES=trusted) as process:
        headers = {**process.headers, "X-Forwarded-Proto": "https", "Host": "scim.example.com"}
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{process.port}", headers=headers, verify=NO_TLS
        ) as client:
            user = (await client.get(f"{BASE}/Users/u1")).json()
    assert user["meta"]["location"] == f"{scheme}://scim.example.com{BASE}/Users/u1"


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (400, b"GET /scim/v2/x/Users\r\n\r\n"),
        (400, b"G@T /scim/v2/x/Users HTTP/1.1\r\nHost: x\r\n\r\n"),
        (400, b"GET /scim/v2/x/Users HTTP/1.1\r\nHost: x\r\nAuthorization Bearer secret\r\n\r\n"),
        (400, b"POST /scim/v2/x/Users HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{"),
        (400, b"POST /scim/v2/x/Users HTTP/1.1\r\nHost: x\r\nContent-Length: secret\r\n\r\n{"),
        (431, b"GET /scim/v2/x/Users HTTP/1.1\r\nHost: x\r\nX-Long: " + b"s" * 100_000 + b"\r\n\r\n"),
        (501, b"POST /scim/v2/x/Users HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: secret\r\n\r\n{"),
    ],
)
async def test_what_is_not_even_http_is_refused_in_scim(process: Process, status: int, sent: bytes) -> None:
    """WIRE: "a body that is not SCIM JSON … breaks the task"; nothing of what was sent comes back."""
    head, _, body = (await process.exchange(sent)).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0].startswith(f"HTTP/1.1 {status} ")
    assert {"Content-Type: application/scim+json", "Connection: close", f"Content-Length: {len(body)}"} <= set(lines)
    error = json.loads(body)
    assert error["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]
    assert error["status"] == str(status)
    assert error["detail"]
    assert b"secret" not in body


async def test_a_websocket_is_refused(process: Process) -> None:
    """There is nothing here but HTTP."""
    handshake = (
        f"GET {BASE}/Users HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    assert (await process.exchange(handshake.encode())).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"DIRECTORY_TARGET": ""}, "GATEWAY_DIRECTORY_TARGET"),
        ({"ADDRESS": "nowhere"}, "GATEWAY_ADDRESS"),
        ({"WORKERS": "0"}, "GATEWAY_WORKERS"),
        ({"TRUSTED_PROXIES": "10.0.0.0/99"}, "GATEWAY_TRUSTED_PROXIES"),
        ({"CREDENTIALS_FILE": "/nonexistent/file"}, "GATEWAY_CREDENTIALS_FILE"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(tmp_path: Path, changes: dict[str, str], line: str) -> None:
    """SECURITY: "without a secret a production process refuses to start"; the line names the variable."""
    ended = subprocess.run(
        [sys.executable, "-m", "gateway"],
        cwd=ROOT,
        env=environment(tmp_path, "127.0.0.1:1", **changes),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"rollcall: {line}: ")
    assert ended.stderr.count("\n") == 1


def test_an_address_of_metrics_that_is_taken_ends_the_start_with_the_name_of_the_setting(tmp_path: Path) -> None:
    """Specification: "config errors stop the start with one line that names the setting"; nothing is left behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        variables = environment(tmp_path, "127.0.0.1:1", METRICS_ADDRESS=f"127.0.0.1:{taken.getsockname()[1]}")
        command = [sys.executable, "-m", "gateway"]
        done = subprocess.run(
            command, cwd=ROOT, env=variables | {"TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=60
        )
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert lines == ["rollcall: GATEWAY_METRICS_ADDRESS: Address already in use"]
    assert list(tmp_path.glob("rollcall-metrics-*")) == []
