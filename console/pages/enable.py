"""`…/enable`: SCIM on a portal; the base URL and the first token, shown this once, and where to fill them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import falcon
import grpc.aio
from rollcall.directory.v1 import connection_service_pb2 as pb

from console.forms import Form, form
from console.pages.login_providers import BASE, PURPOSES, guide_values
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import (
    PORTAL_TITLES,
    PORTALS,
    find_workspace,
    trail,
    workspace_address,
    workspace_connections,
)

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps


def add_routes(app: App, deps: Deps) -> None:
    """Add the path."""
    app.add_route(f"{BASE}/enable", Enabling(deps))


class Enabling:
    """The form that enables SCIM, and the one page that shows the token."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Show the form; a portal that is connected has its own page."""
        await self._show(req, resp, slug, portal_name, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, portal_name: str) -> None:
        """Enable SCIM, and show the token: never again, as nobody keeps it."""
        given = await form(req)
        workspace, portal = await find_workspace(self._services, slug), _portal(portal_name)
        request = pb.CreateConnectionRequest(
            workspace_id=workspace.workspace_id, portal=portal, display_name=given.text("display_name")
        )
        try:
            made = await self._services.connections.CreateConnection(request)
        except grpc.aio.AioRpcError as error:
            problem = at_form(error)
            if problem.reason == "PORTAL_ALREADY_CONNECTED":
                # The same form was sent twice, or by two people: its token was shown to the first.
                flash(
                    resp, "SCIM is enabled on this portal already. A token is shown once; issue another under Tokens."
                )
                redirect(resp, f"{workspace_address(workspace)}/login-providers/{portal_name}")
                return
            given.refused(problem, ("display_name",))
            await self._show(req, resp, slug, portal_name, given)
            return
        base = f"{workspace_address(workspace)}/login-providers/{portal_name}"
        await page(
            req,
            resp,
            "credentials.html",
            status=falcon.HTTP_201,
            workspace=workspace,
            connection=made.connection,
            portal=portal_name,
            base=base,
            breadcrumbs=[*trail(workspace), (PORTAL_TITLES[portal_name], base)],
            heading=f"SCIM is enabled for the {PORTAL_TITLES[portal_name]}",
            address=base,
            is_first=True,
            base_url=made.connection.base_url,
            token=made.token,
            **guide_values(made.connection),
        )

    async def _show(self, req: Request, resp: Response, slug: str, portal_name: str, given: Form) -> None:
        workspace, portal = await find_workspace(self._services, slug), _portal(portal_name)
        base = f"{workspace_address(workspace)}/login-providers/{portal_name}"
        there = [one for one in await workspace_connections(self._services, workspace) if one.portal == portal]
        if any(one.state == pb.CONNECTION_STATE_ENABLED for one in there):
            redirect(resp, base)
            return
        await page(
            req,
            resp,
            "enable.html",
            workspace=workspace,
            breadcrumbs=trail(workspace),
            title=PORTAL_TITLES[portal_name],
            purpose=PURPOSES[portal_name],
            base=base,
            disabled=next((one for one in there if one.state == pb.CONNECTION_STATE_DISABLED), None),
            form=given,
        )


def _portal(name: str) -> pb.Portal:
    if name not in PORTALS:
        raise falcon.HTTPNotFound
    return PORTALS[name]
