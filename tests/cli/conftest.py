"""A real stack, started by `rollcall up`, and the command line that talks to it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest

from cli.main import run
from tests.loopback import NO_TLS
from tests.stack import dying_with_parent

T = TypeVar("T")

ROLLCALL = Path(sys.executable).with_name("rollcall")
START_SECONDS = 60.0
SCIM = "application/scim+json"
PROCESSES = {"nats", "directory", "portal", "mdm", "gateway", "console"}


def eventually(condition: Callable[[], T], *, timeout: float = 20.0, what: str = "the condition") -> T:
    """The first true answer of a condition; fails the test after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come to hold within {timeout:g} s")
        time.sleep(0.02)
    return answer


def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environment() -> dict[str, str]:
    prefixes = ("ROLLCALL_", "DIRECTORY_", "PORTAL_", "MDM_", "GATEWAY_", "CONSOLE_")
    return {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}


class Up:
    """One `rollcall up` in a process of its own; `lines` is what it printed before and with `ready`."""

    def __init__(self, data_dir: Path, *arguments: str, environment: dict[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.log = data_dir.parent / f"{data_dir.name}-{uuid.uuid4().hex[:6]}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                dying_with_parent([str(ROLLCALL), "up", "--data-dir", str(data_dir), "--port", "0", *arguments]),
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**clean_environment(), **(environment or {})},
            )
        self.lines: list[str] = []
        self.url = ""

    def wait_ready(self) -> Up:
        assert self.process.stdout is not None
        watchdog = _Watchdog(self.process, START_SECONDS)
        with watchdog:
            for line in self.process.stdout:
                self.lines.append(line.rstrip("\n"))
                if line.startswith("ready "):
                    self.url = line.split()[1]
                    return self
        raise AssertionError(f"the stack did not get ready:\n{self.log.read_text()[-4000:]}")

    def stack(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads((self.data_dir / "stack.json").read_text())
        return answer

    def tree(self) -> list[psutil.Process]:
        """The process of `up` and all that it started, workers of workers included."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise
        if self.process.stdout is not None:
            self.process.stdout.close()
        return self.process.returncode


class _Watchdog:
    """Kills a process that is not ready in time, so that reading its output ends."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        import threading

        self._timer = threading.Timer(seconds, process.kill)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


@dataclass
class Answer:
    """What one command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout; stderr must be empty and the status 0."""
        assert self.status == 0, self.err
        assert self.err == ""
        return json.loads(self.out)

    @property
    def refusal(self) -> str:
        """The one line of a command that was refused."""
        return self._line(1)

    @property
    def misuse(self) -> str:
        """The one line of a command that was used wrongly."""
        return self._line(2)

    def _line(self, status: int) -> str:
        assert (self.status, self.out) == (status, "")
        assert self.err.startswith("error: ")
        assert self.err.count("\n") == 1
        assert "Traceback" not in self.err
        return self.err.removeprefix("error: ").rstrip("\n")


def rollcall(*arguments: str, data_dir: Path | None = None) -> Answer:
    """Run one command line in this process."""
    where = [] if data_dir is None else ["--data-dir", str(data_dir)]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run([*where, *arguments])
    return Answer(status, out.getvalue(), err.getvalue())


class Cli:
    """The command line as the administrator of one stack uses it."""

    def __init__(self, up: Up) -> None:
        self.up = up

    def __call__(self, *arguments: str) -> Answer:
        return rollcall(*arguments, data_dir=self.up.data_dir)

    def json(self, *arguments: str) -> Any:
        return self(*arguments, "--json").json

    def workspace(self) -> str:
        """The slug of a new workspace."""
        slug: str = self.json("workspace", "create", f"T {uuid.uuid4().hex[:10]}")["slug"]
        return slug

    def connection(self, workspace: str, portal: str, *rules: str) -> Connection:
        made = self.json("connection", "enable", "--workspace", workspace, "--portal", portal)
        if rules:
            self.json("rules", "set", made["connection_id"], *rules)
        return Connection(made["connection_id"], made["base_url"], made["token"])


@dataclass
class Connection:
    """A SCIM connection as an identity provider uses it."""

    id: str
    base_url: str
    token: str

    def scim(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": SCIM}
        content = None if body is None else json.dumps(body)
        return httpx.request(method, self.base_url + path, headers=headers, content=content, timeout=15, verify=NO_TLS)

    def create_user(self, user_name: str, **more: Any) -> str:
        body = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
            "userName": user_name,
            "emails": [{"value": user_name, "primary": True, "type": "work"}],
            "displayName": user_name.partition("@")[0].title(),
            "active": True,
            **more,
        }
        response = self.scim("POST", "/Users", body)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def create_group(self, name: str, *members: str) -> str:
        body = {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": name,
            "members": [{"value": member} for member in members],
        }
        response = self.scim("POST", "/Groups", body)
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    def deactivate(self, user_id: str) -> str:
        """Deactivate a user and give the id of the request."""
        body = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "replace", "value": {"active": False}}],
        }
        response = self.scim("PATCH", f"/Users/{user_id}", body)
        assert response.status_code == 200, response.text
        return response.headers["X-Request-Id"]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One stack for all tests that leave it running; each takes a workspace of its own."""
    up = Up(tmp_path_factory.mktemp("stack") / "data").wait_ready()
    yield up
    up.stop()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the person who runs the tests names no stack of theirs."""
    for name in [name for name in os.environ if name.startswith("ROLLCALL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def cli(stack: Up) -> Cli:
    """The command line over the shared stack."""
    return Cli(stack)
