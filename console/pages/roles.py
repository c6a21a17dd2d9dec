"""`…/roles`: which group gives which role in the dashboard."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import falcon
import grpc
import grpc.aio
from rollcall.directory.v1 import directory_service_pb2 as directory
from rollcall.portal.v1 import portal_service_pb2 as pb

from console.forms import Form, form
from console.pages.login_providers import BASE
from console.paging import query_text
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import Scope, find_scope
from console.words import ROLES

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

GROUPS = 200
"""Groups that are offered, the first that came."""
VALUES = {role: pb.Role.Name(role).removeprefix("ROLE_") for role in ROLES}
OPTIONS = [(VALUES[role], text) for role, text in ROLES.items()]


def add_routes(app: App, deps: Deps) -> None:
    """Add the paths of the role mapping."""
    app.add_route(f"{BASE}/roles", Roles(deps))
    app.add_route(f"{BASE}/roles/unmap", Unmapping(deps))


async def _dashboard(deps: Deps, slug: str, portal_name: str) -> Scope:
    scope = await find_scope(deps.services, slug, portal_name)
    if scope.slug != "dashboard":
        raise falcon.HTTPNotFound
    return scope


class Roles:
    """The mapping, and the form that adds to it or changes it."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show it."""
        await self._show(req, resp, await _dashboard(self._deps, slug, portal_name), Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Map a group to a role, or give the role of a mapped one another value."""
        scope, given = await _dashboard(self._deps, slug, portal_name), await form(req)
        group = given.required("group", "Name a group, as the identity provider calls it.")
        role = given.choice("role", [value for value, _ in OPTIONS], "Choose a role.")
        if given.is_valid:
            request = pb.MapRoleRequest(connection_id=scope.connection.connection_id, group=group, role=f"ROLE_{role}")
            try:
                await self._deps.services.portal.MapRole(request)
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error), ("group", "role"))
            else:
                flash(resp, f"Group {group} now gives the role {dict(OPTIONS)[role]}.")
                redirect(resp, f"{scope.base}/roles")
                return
        await self._show(req, resp, scope, given)

    async def _show(self, req: Request, resp: Response, scope: Scope, given: Form) -> None:
        connection_id, services = scope.connection.connection_id, self._deps.services
        rules, groups = await asyncio.gather(
            services.portal.GetRules(pb.GetRulesRequest(connection_id=connection_id)),
            services.directory.ListGroups(directory.ListGroupsRequest(connection_id=connection_id, page_size=GROUPS)),
        )
        known = {group.id: group for group in groups.groups}
        mapped = sorted(rules.rules.role_mappings, key=lambda one: (-one.role, one.group.casefold()))
        names = {one.group.casefold() for one in mapped}
        await page(
            req,
            resp,
            "roles.html",
            **scope.values,
            mappings=[(one, ROLES[one.role], VALUES[one.role], known.get(one.group_id)) for one in mapped],
            options=OPTIONS,
            continuous=rules.rules.role_mode == pb.ROLE_MODE_CONTINUOUS,
            default_role=ROLES.get(rules.rules.default_role, "Viewer"),
            suggestions=sorted(
                (one.display_name for one in known.values() if one.display_name.casefold() not in names),
                key=str.casefold,
            ),
            form=given,
        )


class Unmapping:
    """Ends the mapping of a group."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Say whom it reaches."""
        scope, name = await _dashboard(self._deps, slug, portal_name), query_text(req, "group")
        connection_id, services = scope.connection.connection_id, self._deps.services
        rules = (await services.portal.GetRules(pb.GetRulesRequest(connection_id=connection_id))).rules
        mapping = next((one for one in rules.role_mappings if one.group.casefold() == name.casefold()), None)
        if mapping is None:
            raise falcon.HTTPNotFound
        group = None
        if mapping.group_id:
            request = directory.GetGroupRequest(connection_id=connection_id, id=mapping.group_id)
            try:
                group = (await services.directory.GetGroup(request)).group
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:
                    raise
        await page(
            req,
            resp,
            "role_unmap.html",
            **scope.values,
            mapping=mapping,
            role=ROLES[mapping.role],
            group=group,
            continuous=rules.role_mode == pb.ROLE_MODE_CONTINUOUS,
            default_role=ROLES.get(rules.default_role, "Viewer"),
        )

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """End it."""
        scope, given = await _dashboard(self._deps, slug, portal_name), await form(req)
        group = given.text("group")
        request = pb.UnmapRoleRequest(connection_id=scope.connection.connection_id, group=group)
        try:
            await self._deps.services.portal.UnmapRole(request)
        except grpc.aio.AioRpcError as error:
            flash(resp, at_form(error).message, "failed")
        else:
            flash(resp, f"Group {group} gives no role any more.")
        redirect(resp, f"{scope.base}/roles")
