"""The console in this process over the real services, and somebody who has signed in to it."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from rollcall.directory.v1 import administrator_service_pb2 as pb
from rollcall.directory.v1 import administrator_service_pb2_grpc as pb_grpc

from console.app import App, create_app
from console.middleware import csrf_token
from console.services import NAMES, Services
from console.settings import ConsoleSettings
from tests.loopback import NO_TLS
from tests.nursery import nursery
from tests.stack import REPOSITORY, Stack, eventually

HOST = "http://console.test"
PASSWORD = "correct horse battery"
_CSRF = re.compile(r'name="csrf_token" value="([0-9a-f]+)"')


@dataclass(frozen=True)
class Person:
    """Somebody with an account and a session."""

    id: str
    email: str
    name: str
    session_token: str


@dataclass
class Console:
    """A console and a browser's side of it; `client` has signed in as `person`, `stranger` has not."""

    stack: Stack
    app: App
    person: Person
    client: httpx.AsyncClient
    stranger: httpx.AsyncClient

    async def get(self, path: str, *, status: int = 200) -> str:
        """The text of a page, which must be answered with the status."""
        answer = await self.client.get(path)
        assert answer.status_code == status, f"{path}: {answer.status_code}\n{answer.text[-2000:]}"
        return answer.text

    async def post(self, path: str, **fields: Any) -> httpx.Response:
        """Send a form as a page of the console would; a list is a field that comes more than once."""
        data = {"csrf_token": csrf_token(self.person.session_token), **fields}
        return await self.client.post(path, data=data)

    async def submit(self, path: str, **fields: Any) -> str:
        """Send a form that must be accepted; return where the browser is sent (303)."""
        answer = await self.post(path, **fields)
        assert answer.status_code == 303, f"{path}: {answer.status_code}\n{answer.text[-2000:]}"
        return answer.headers["location"]


def settings(stack: Stack, **changes: Any) -> ConsoleSettings:
    """Settings of a console over a stack."""
    values: dict[str, Any] = {"address": "127.0.0.1:0", "credentials_file": stack.directory / "credentials.json"}
    values |= {f"{name}_target": f"127.0.0.1:{stack.ports[name]}" for name in NAMES}
    return ConsoleSettings(**(values | changes))


def make_person(stack: Stack, password: str = PASSWORD) -> Person:
    """Make an account and a session by the one-time link."""
    email = f"{secrets.token_hex(6)}@example.com"
    admin = pb_grpc.AdministratorServiceStub(stack.channel("directory", "admin"))
    console = pb_grpc.AdministratorServiceStub(stack.channel("directory", "console"))
    token = admin.CreateSignInLink(pb.CreateSignInLinkRequest()).link_token
    answer = console.RedeemSignInLink(
        pb.RedeemSignInLinkRequest(link_token=token, email=email, name="Ada Admin", password=password)
    )
    found = answer.administrator
    return Person(found.administrator_id, found.email, found.name, answer.session.session_token)


def browser(app: App, person: Person | None = None, *, host: str = HOST) -> httpx.AsyncClient:
    """A client that keeps cookies and follows no redirection."""
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=host)
    if person is not None:
        client.cookies.set("rollcall_session", person.session_token, domain=urlsplit(host).hostname or "", path="/")
    return client


def form_token(html: str) -> str:
    """What the forms of a page send back."""
    found = _CSRF.search(html)
    assert found is not None, html[-2000:]
    return found[1]


@asynccontextmanager
async def running(configuration: ConsoleSettings, stack: Stack) -> AsyncIterator[App]:
    """Run a console in this process."""
    targets = {name: getattr(configuration, f"{name}_target") for name in NAMES}
    services = Services(targets, stack.credentials["console"])
    app = create_app(services, configuration)
    await services.start()
    try:
        yield app
    finally:
        app.deps.closing.set()
        await services.stop()


@contextmanager
def console_process(stack: Stack, **changes: str) -> Iterator[tuple[str, Any]]:
    """Run a console as a process of its own; give its address and the process. It must end when it is told to.

    A setting that is empty is not made.
    """
    log = stack.directory / "logs" / "console.log"
    port_file = stack.directory / "ports" / f"console-{secrets.token_hex(4)}"
    values = {
        "ADDRESS": "127.0.0.1:0",
        "PORT_FILE": str(port_file),
        "CREDENTIALS_FILE": str(stack.directory / "credentials.json"),
        **{f"{name.upper()}_TARGET": f"127.0.0.1:{stack.ports[name]}" for name in NAMES},
        **changes,
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONSOLE_")}
    environment |= {f"CONSOLE_{name}": value for name, value in values.items() if value}
    process = nursery().spawn(["-m", "console"], environment, str(log), str(REPOSITORY))

    def listens() -> bool:
        assert process.poll() is None, log.read_text()[-4000:]
        return port_file.exists()

    try:
        eventually(listens, timeout=30, what="the console's port")
        yield f"http://127.0.0.1:{port_file.read_text()}", process
    finally:
        if process.poll() is None:
            process.terminate()
        assert process.wait(15) == 0


def is_ready(url: str) -> bool:
    """Whether a console says that it would show pages."""
    try:
        return httpx.get(f"{url}/readyz", timeout=5, verify=NO_TLS).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="module")
def console_stack(stacks: Callable[[str], Stack]) -> Stack:
    """The session's system on SQLite: what pages show is the same on both databases, which the services' tests say."""
    stack = stacks("sqlite")
    stack.ensure_running()
    return stack


@pytest.fixture(scope="module")
def person(console_stack: Stack) -> Person:
    """Somebody who has signed in, for all tests of a file."""
    return make_person(console_stack)


@pytest.fixture
async def console(console_stack: Stack, person: Person) -> AsyncIterator[Console]:
    """A console over the system, and somebody who has signed in to it."""
    async with running(settings(console_stack), console_stack) as app:
        async with browser(app, person) as client, browser(app) as stranger:
            yield Console(console_stack, app, person, client, stranger)
