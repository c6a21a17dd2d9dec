"""`/workspaces/{slug}`: the login providers of a workspace, and each connection with what can be done to it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp
from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.directory.v1 import directory_service_pb2 as directory
from rollcall.mdm.v1 import mdm_service_pb2 as mdm
from rollcall.portal.v1 import portal_service_pb2 as portal

from console.doctor import Finding, anchors, examine, health, last_request, provider
from console.evidence import dialect_text
from console.facts import gather
from console.forms import Form, form
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import (
    PORTAL_TITLES,
    PORTALS,
    Scope,
    find_scope,
    find_workspace,
    portal_slug,
    workspace_address,
    workspace_connections,
)
from console.services import Services
from console.setup_guide import BASE_URL, GUIDES, TOKEN, suggested
from console.words import ON_CREATE, ON_DEACTIVATE, STATES, departure, on_create_of, on_deactivate_of, text_of

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

BASE = "/workspaces/{slug}/login-providers/{portal_name}"

PURPOSES = {
    "dashboard": "Collaborators and their roles follow the identity provider.",
    "store": "Employees, and the apps they see, follow the identity provider.",
    "mdm": "Employees, and what happens to their devices, follow the identity provider.",
}
TOLD = 3
"""Findings of the doctor that a connection's page names."""
UNKNOWN = ("Health is not known at the moment", "warning")


def add_routes(app: App, deps: Deps) -> None:
    """Add the paths of login providers and of what is done to a connection as a whole."""
    app.add_route("/workspaces/{slug}", LoginProviders(deps))
    app.add_route(BASE, ConnectionPage(deps))
    app.add_route(f"{BASE}/setup", Setup(deps))
    app.add_route(f"{BASE}/rename", Renaming(deps))
    app.add_route(f"{BASE}/disable", Disabling(deps))
    app.add_route(f"{BASE}/enable-again", EnablingAgain(deps))
    app.add_route(f"{BASE}/delete", Deletion(deps))


@dataclass(frozen=True, slots=True)
class Counts:
    """How many there are on a connection."""

    users: int
    groups: int


async def count(services: Services, connection_id: str) -> Counts:
    """Count the users and groups of a connection, which the directory keeps count of; none of one that is gone."""
    try:
        users, groups = await asyncio.gather(
            services.directory.ListUsers(directory.ListUsersRequest(connection_id=connection_id, count_only=True)),
            services.directory.ListGroups(directory.ListGroupsRequest(connection_id=connection_id, count_only=True)),
        )
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return Counts(0, 0)
        raise
    return Counts(users.total_size, groups.total_size)


async def findings_of(services: Services, connection: pb.Connection) -> list[Finding] | None:
    """Return what the doctor finds; None while a service that has to be asked is away: the page has more to show."""
    if connection.state == pb.CONNECTION_STATE_DELETING:
        return []  # it may be gone before it is asked for
    try:
        return examine(await gather(services, connection))
    except grpc.aio.AioRpcError as error:
        if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            return None
        raise


async def rules_of(services: Services, connection: pb.Connection) -> mdm.Rules | portal.Rules:
    """Return the rules of a connection. Raises grpc.aio.AioRpcError."""
    connection_id = connection.connection_id
    if connection.portal == pb.PORTAL_MDM:
        managed: mdm.GetRulesResponse = await services.mdm.GetRules(mdm.GetRulesRequest(connection_id=connection_id))
        return managed.rules
    found: portal.GetRulesResponse = await services.portal.GetRules(portal.GetRulesRequest(connection_id=connection_id))
    return found.rules


@dataclass(frozen=True, slots=True)
class Card:
    """What the overview shows of one portal."""

    slug: str
    title: str
    purpose: str
    last: Timestamp | None = None
    """When a request was last answered."""
    connection: pb.Connection | None = None
    dialects: tuple[str, ...] = ()
    state: tuple[str, str] = ("", "")
    health: tuple[str, str] = ("", "")
    counts: Counts | None = None


class LoginProviders:
    """The three portals of a workspace, and how their connections are."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Show them."""
        workspace = await find_workspace(self._services, slug)
        connections = await workspace_connections(self._services, workspace)
        first: dict[str, pb.Connection] = {}
        for connection in connections:
            first.setdefault(portal_slug(connection.portal), connection)
        cards = await asyncio.gather(*(self._card(name, first.get(name)) for name in PORTALS))
        shown = {connection.connection_id for connection in first.values()}
        await page(
            req,
            resp,
            "login_providers.html",
            workspace=workspace,
            breadcrumbs=[("Workspaces", "/")],
            root=workspace_address(workspace),
            cards=cards,
            others=[
                (one, PORTAL_TITLES[portal_slug(one.portal)], STATES[one.state])
                for one in connections
                if one.connection_id not in shown
            ],
        )

    async def _card(self, slug: str, connection: pb.Connection | None) -> Card:
        title, purpose = PORTAL_TITLES[slug], PURPOSES[slug]
        if connection is None:
            return Card(slug, title, purpose)
        counts, findings = await asyncio.gather(
            count(self._services, connection.connection_id), findings_of(self._services, connection)
        )
        seen = sorted(connection.client_profiles, key=lambda one: -one.last_seen_time.ToNanoseconds())
        return Card(
            slug,
            title,
            purpose,
            last_request(connection),
            connection,
            tuple(dialect_text(one.dialect) for one in seen),
            STATES[connection.state],
            UNKNOWN if findings is None else health(findings),
            counts,
        )


class ConnectionPage:
    """One connection: what it is, who speaks on it, what it does, and how it is."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show it."""
        await show_connection(req, resp, self._services, await find_scope(self._services, slug, portal_name), Form({}))


async def show_connection(req: Request, resp: Response, services: Services, scope: Scope, given: Form) -> None:
    """Answer with a connection's page; `given` is a form of it that was refused."""
    # Once more by its id: that one knows of the dialects up to now.
    found, counts, findings, rules = await asyncio.gather(
        services.connections.GetConnection(pb.GetConnectionRequest(connection_id=scope.connection.connection_id)),
        count(services, scope.connection.connection_id),
        findings_of(services, scope.connection),
        rules_of(services, scope.connection),
    )
    values = scope.values | {"breadcrumbs": scope.values["breadcrumbs"][:-1], "connection": found.connection}
    await page(
        req,
        resp,
        "connection.html",
        **values,
        state=STATES[found.connection.state],
        health=UNKNOWN if findings is None else health(findings),
        findings=list(zip(findings or (), anchors(findings or ()), strict=True))[:TOLD],
        counts=counts,
        last=last_request(found.connection),
        profiles=[(dialect_text(one.dialect), one) for one in found.connection.client_profiles],
        on_create=text_of(ON_CREATE[scope.slug], on_create_of(rules)),
        on_deactivate=text_of(ON_DEACTIVATE[scope.slug], on_deactivate_of(rules)),
        form=given,
    )


class Setup:
    """What to fill in where in the identity provider, without a token: that is shown once, when it is issued."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show it."""
        scope = await find_scope(self._services, slug, portal_name)
        await page(
            req,
            resp,
            "setup.html",
            **scope.values,
            **guide_values(scope.connection),
            base_url=scope.connection.base_url,
            token="",
        )


def guide_values(connection: pb.Connection) -> dict[str, Any]:
    """Return what the template of the guides wants."""
    return {
        "guides": GUIDES,
        "suggested": suggested(provider(connection)),
        "base_url_mark": BASE_URL,
        "token_mark": TOKEN,
    }


class Renaming:
    """Gives a connection another name for people."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Rename it."""
        scope, given = await find_scope(self._services, slug, portal_name), await form(req)
        name = given.required("display_name", "A connection needs a name.")
        if given.is_valid:
            request = pb.RenameConnectionRequest(connection_id=scope.connection.connection_id, display_name=name)
            try:
                await self._services.connections.RenameConnection(request)
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error), ("display_name",))
            else:
                flash(resp, f"The connection is now called {name}.")
                redirect(resp, scope.base)
                return
        await show_connection(req, resp, self._services, scope, given)


class Disabling:
    """Stops a connection for a time."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Say what it means."""
        scope = await find_scope(self._services, slug, portal_name)
        counts = await count(self._services, scope.connection.connection_id)
        await page(req, resp, "connection_disable.html", **scope.values, counts=counts)

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Disable it."""
        scope = await find_scope(self._services, slug, portal_name)
        request = pb.DisableConnectionRequest(connection_id=scope.connection.connection_id)
        try:
            await self._services.connections.DisableConnection(request)
        except grpc.aio.AioRpcError as error:
            flash(resp, at_form(error).message, "failed")
        else:
            flash(resp, "The connection is disabled: every request is answered with 401 until you enable it again.")
        redirect(resp, scope.base)


class EnablingAgain:
    """Lets a disabled connection go on, with the tokens that it had."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Enable it."""
        scope = await find_scope(self._services, slug, portal_name)
        request = pb.EnableConnectionRequest(connection_id=scope.connection.connection_id)
        try:
            await self._services.connections.EnableConnection(request)
        except grpc.aio.AioRpcError as error:
            flash(resp, at_form(error).message, "failed")
        else:
            flash(
                resp,
                "The connection is enabled again. What the identity provider gave up meanwhile has to be repeated "
                "there.",
            )
        redirect(resp, scope.base)


class Deletion:
    """Deletes a connection with its users and groups, and says what the rules will do to those who follow it."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Say what will happen, with counts."""
        await self._show(req, resp, await find_scope(self._services, slug, portal_name), Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Delete it if its name was typed."""
        scope, given = await find_scope(self._services, slug, portal_name), await form(req)
        name = scope.connection.display_name
        if not given.confirms(name, otherwise="Nothing was deleted."):
            await self._show(req, resp, scope, given)
            return
        await self._services.connections.DeleteConnection(
            pb.DeleteConnectionRequest(connection_id=scope.connection.connection_id)
        )
        flash(resp, f"Connection {name} is being deleted, with its users and groups, in the background.")
        redirect(resp, workspace_address(scope.workspace))

    async def _show(self, req: Request, resp: Response, scope: Scope, given: Form) -> None:
        workspace_id, connection_id = scope.workspace.workspace_id, scope.connection.connection_id
        counts, rules = await asyncio.gather(
            count(self._services, connection_id), rules_of(self._services, scope.connection)
        )
        left = on_deactivate_of(rules)
        if isinstance(rules, mdm.Rules):
            there = await self._services.mdm.GetCounts(
                mdm.GetCountsRequest(workspace_id=workspace_id, connection_id=connection_id)
            )
            policy_id = rules.on_deactivate.change_policy.policy_id
            consequence = departure(
                scope.slug,
                left,
                people=_counted(there.employees, "employee"),
                devices=_counted(there.devices, "device"),
                policy=await policy_name(self._services, workspace_id, policy_id) if policy_id else "",
            )
        else:
            at_portal = await self._services.portal.GetCounts(
                portal.GetCountsRequest(workspace_id=workspace_id, connection_id=connection_id)
            )
            followers = at_portal.collaborators if scope.slug == "dashboard" else at_portal.employees
            noun = "collaborator" if scope.slug == "dashboard" else "employee"
            consequence = departure(scope.slug, left, people=_counted(followers, noun))
        await page(
            req,
            resp,
            "connection_delete.html",
            **scope.values,
            counts=counts,
            rule=text_of(ON_DEACTIVATE[scope.slug], left),
            consequence=consequence,
            form=given,
        )


async def policy_name(services: Services, workspace_id: str, policy_id: str) -> str:
    """Return a policy's name, among the first 200 by name; else its id."""
    request = mdm.ListPoliciesRequest(workspace_id=workspace_id, page_size=200)
    found = (await services.mdm.ListPolicies(request)).policies
    return next((one.name for one in found if one.policy_id == policy_id), policy_id)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
