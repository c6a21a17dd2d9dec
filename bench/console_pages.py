"""How long the console takes to answer each of its pages, with a population behind it."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from rollcall.directory.v1 import administrator_service_pb2 as accounts
from rollcall.directory.v1 import administrator_service_pb2_grpc as accounts_rpc
from rollcall.directory.v1 import connection_service_pb2 as connections

from bench.population import Population, fill
from bench.postgres import Postgres
from bench.system import SystemFailed
from console.app import App, create_app
from console.services import NAMES, Services
from console.settings import ConsoleSettings
from tests.stack import Stack, free_port

TARGET_MILLISECONDS = 200.0
SEARCHES = ("users by filter on title",)
"""What is looked for user by user, as the page says where the filter is typed: its time follows their number."""
PORTALS = ("dashboard", "store", "mdm")


def pages(slug: str, made: Population) -> dict[str, str]:
    """The pages by what they are, with the addresses of what is dearest to show: at the end, in the largest group."""
    root = f"/workspaces/{slug}"
    base = {name: f"{root}/login-providers/{name}" for name in PORTALS}
    middle = len(made.users["dashboard"]) // 2
    email = quote(made.email(middle), safe="")
    by_title = quote('title eq "Nobody"')
    by_name = quote(f'userName eq "{made.email(middle)}"')
    group = made.groups["dashboard"][0]
    found = {
        "workspaces": "/",
        "workspace, deletion": f"{root}/delete",
        "login providers": root,
        "users, first page": f"{base['dashboard']}/users",
        "users by text": f"{base['dashboard']}/users?q=person0{str(middle).zfill(6)[1:4]}",
        "users by address": f"{base['dashboard']}/users?q={email}",
        "users, inactive": f"{base['dashboard']}/users?state=inactive&q=person",
        "users by filter on userName": f"{base['dashboard']}/users?filter={by_name}",
        SEARCHES[0]: f"{base['dashboard']}/users?filter={by_title}",
        "user": f"{base['mdm']}/users/{made.users['mdm'][middle]}",
        "user with an account": f"{base['dashboard']}/users/{made.users['dashboard'][middle]}",
        "groups": f"{base['dashboard']}/groups",
        "groups by text": f"{base['dashboard']}/groups?q=group%2002",
        "group of everybody": f"{base['dashboard']}/groups/{group}",
        "group with apps": f"{base['store']}/groups/{made.groups['store'][0]}",
        "parked members": f"{base['dashboard']}/parked",
        "log": f"{base['dashboard']}/log",
        "log, failed": f"{base['dashboard']}/log?show=failed",
        "log entry": f"{base['dashboard']}/log/{made.requests['dashboard'][middle]}",
        "live": f"{base['dashboard']}/live",
        "live, workspace": f"{root}/live",
        "dead letters": f"{base['dashboard']}/dead-letters",
        "dead letter": f"{base['mdm']}/dead-letters/{made.dead_letters['mdm']}",
        "dead letter, discard": f"{base['mdm']}/dead-letters/{made.dead_letters['mdm']}/discard",
        "collaborators": f"{root}/collaborators",
        "collaborators by text": f"{root}/collaborators?q=person09",
        "collaborator": f"{root}/collaborators/person?email={email}",
        "collaborator with devices": f"{root}/collaborators/person?email={quote(made.email(0))}",
        "collaborator, removal": f"{root}/collaborators/person/remove?email={email}",
        "employees, store": f"{root}/employees/store",
        "employees, mdm": f"{root}/employees/mdm?q=person05",
        "employee, store": f"{root}/employees/store/person?email={email}",
        "employee, mdm": f"{root}/employees/mdm/person?email={email}",
        "publications": f"{root}/publications",
        "publication": f"{root}/publications/{made.publications[0]}?email={email}",
        "publication, deletion": f"{root}/publications/{made.publications[0]}/delete",
        "devices": f"{root}/devices",
        "devices by serial": f"{root}/devices?q=C0000",
        "devices by owner": f"{root}/devices?q={email}",
        "device": f"{root}/devices/{made.devices[0]}",
        "device, enrolment": f"{root}/devices/enroll",
        "device, removal": f"{root}/devices/{made.devices[0]}/remove",
        "policies": f"{root}/policies",
        "policy, deletion": f"{root}/policies/{made.policies[-1]}/delete",
        "segments": f"{root}/segments",
        "segment": f"{root}/segments/{made.segments[0]}",
        "effects": f"{root}/effects",
        "effects, old": f"{root}/effects?before={made.effects['mdm'][middle]}",
        "effects, failed": f"{root}/effects?outcome=failed",
        "effects, skipped": f"{root}/effects?outcome=skipped",
        "effects, held": f"{root}/effects?outcome=held",
        "effects of a user": f"{root}/effects?user={email}",
        "effects of a target": f"{root}/effects?target={email}",
        "why": f"{root}/why/{made.effects['dashboard'][middle]}",
        "administrators": "/administrators",
        "audit": "/audit",
        "account": "/account",
    }
    for name in PORTALS:
        for section in ("", "/setup", "/disable", "/delete", "/doctor", "/rules", "/mapping", "/tokens"):
            found[f"connection, {name}{section.replace('/', ', ')}"] = f"{base[name]}{section}"
    found["connection, dashboard, roles"] = f"{base['dashboard']}/roles"
    return found


def measure(database: str, users: int, runs: int, tell: Callable[[str], None]) -> dict[str, Any]:
    """Fill a system with `users` on each connection and time every page; milliseconds of the console's process.

    Raises SystemFailed when a page is not answered.
    """
    directory = Path(tempfile.mkdtemp(prefix="rollcall-console-"))
    directory.chmod(0o755)  # PostgreSQL runs as another user
    try:
        with ExitStack() as ending:
            stack = _start(ending, directory, database)
            workspace_id = stack.create_workspace("Many")
            ids = {name: stack.enable(workspace_id, name).connection_id for name in PORTALS}
            stack.settled()
            began = time.monotonic()
            made = fill(stack.databases, workspace_id, ids, users)
            tell(f"{users:,} users on each of three connections were written in {time.monotonic() - began:.0f} s")
            request = connections.GetWorkspaceRequest(workspace=workspace_id)
            slug = stack.connections.GetWorkspace(request).workspace.slug
            timed = asyncio.run(_measure(stack, pages(slug, made), runs))
            return {"database": database, "users": users, "runs": runs, "pages": timed}
    finally:
        shutil.rmtree(directory, ignore_errors=True)


async def _measure(stack: Stack, paths: Mapping[str, str], runs: int) -> dict[str, Any]:
    async with signed_in(stack) as (_, client):
        return {name: await _time(client, path, runs) for name, path in paths.items()}


def _start(ending: ExitStack, directory: Path, database: str) -> Stack:
    urls = {name: f"sqlite:///{directory / f'{name}.db'}" for name in NAMES}
    if database == "postgresql":
        server = Postgres(directory / "postgresql", free_port())
        server.start()
        ending.callback(server.stop)
        urls = {name: server.create_database(name) for name in NAMES}
    stack = Stack(directory / "stack", urls, kind=database)
    ending.callback(stack.stop)
    stack.start()
    return stack


@asynccontextmanager
async def signed_in(stack: Stack) -> AsyncIterator[tuple[App, httpx.AsyncClient]]:
    """A console in this process over a system, and somebody who has signed in to it."""
    admin = accounts_rpc.AdministratorServiceStub(stack.channel("directory", "admin"))
    console = accounts_rpc.AdministratorServiceStub(stack.channel("directory", "console"))
    link = admin.CreateSignInLink(accounts.CreateSignInLinkRequest()).link_token
    email = f"{secrets.token_hex(6)}@example.com"
    session = console.RedeemSignInLink(
        accounts.RedeemSignInLinkRequest(
            link_token=link, email=email, name="Measured", password=secrets.token_urlsafe(16)
        )
    ).session.session_token
    targets = {f"{name}_target": f"127.0.0.1:{stack.ports[name]}" for name in NAMES}
    settings = ConsoleSettings(address="127.0.0.1:0", credentials_file=stack.directory / "credentials.json", **targets)
    services = Services({name: targets[f"{name}_target"] for name in NAMES}, stack.credentials["console"])
    app = create_app(services, settings)
    await services.start()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://console.test") as client:
            client.cookies.set("rollcall_session", session, domain="console.test", path="/")
            yield app, client
    finally:
        app.deps.closing.set()
        await services.stop()


async def _time(client: httpx.AsyncClient, path: str, runs: int) -> dict[str, float]:
    taken = []
    size = 0
    for number in range(runs + 1):
        began = time.perf_counter()
        answer = await client.get(path)
        if number:  # the first one compiles the template and opens what is opened once
            taken.append((time.perf_counter() - began) * 1000)
        if answer.status_code != 200:
            raise SystemFailed(f"{path} was answered with {answer.status_code}: {answer.text[-500:]}")
        size = len(answer.content)
        await asyncio.sleep(0)
    return {"median": statistics.median(taken), "slowest": max(taken), "kilobytes": size / 1024}


def over(result: Mapping[str, Any]) -> list[str]:
    """The pages whose median is not under the target, searches apart."""
    pages = {name: timed for name, timed in result["pages"].items() if name not in SEARCHES}
    return [name for name, timed in pages.items() if timed["median"] >= TARGET_MILLISECONDS]
