"""`/`: the workspaces; a new one; the deletion of one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio
from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.mdm.v1 import mdm_service_pb2
from rollcall.portal.v1 import portal_service_pb2

from console.forms import Form, form
from console.paging import PAGE_SIZE, first_page, next_page, page_token
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import find_workspace, trail, workspace_address, workspace_connections

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps


def add_routes(app: App, deps: Deps) -> None:
    """Add the paths of workspaces."""
    app.add_route("/", Workspaces(deps))
    app.add_route("/workspaces/{slug}/delete", Deletion(deps))


class Workspaces:
    """The list, and the form for a new one."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response) -> None:
        """Show a page of workspaces by name."""
        await self._show(req, resp, Form({}))

    async def on_post(self, req: Request, resp: Response) -> None:
        """Create a workspace."""
        given = await form(req)
        name = given.required("name", "A workspace needs a name.")
        if given.is_valid:
            try:
                made = await self._services.connections.CreateWorkspace(pb.CreateWorkspaceRequest(name=name))
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error), ("name",))
            else:
                flash(resp, f"Workspace {made.workspace.name} is created. Now enable SCIM on a portal.")
                redirect(resp, workspace_address(made.workspace))
                return
        await self._show(req, resp, given)

    async def _show(self, req: Request, resp: Response, given: Form) -> None:
        request = pb.ListWorkspacesRequest(page_size=PAGE_SIZE, page_token=page_token(req))
        found = await self._services.connections.ListWorkspaces(request)
        await page(
            req,
            resp,
            "workspaces.html",
            workspaces=found.workspaces,
            next_href=next_page(req, found.next_page_token),
            previous_href=first_page(req),
            form=given,
        )


class Deletion:
    """The page that deletes a workspace, and says what goes with it."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Say what a deletion would remove."""
        await self._show(req, resp, await find_workspace(self._services, slug), Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str) -> None:
        """Delete the workspace if its name was typed."""
        workspace, given = await find_workspace(self._services, slug), await form(req)
        if given.confirms(workspace.name, otherwise="Nothing was deleted."):
            try:
                await self._services.connections.DeleteWorkspace(
                    pb.DeleteWorkspaceRequest(workspace_id=workspace.workspace_id)
                )
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error))
            else:
                flash(resp, f"Workspace {workspace.name} is deleted. What it had is removed in the background.")
                redirect(resp, "/")
                return
        await self._show(req, resp, workspace, given)

    async def _show(self, req: Request, resp: Response, workspace: pb.Workspace, given: Form) -> None:
        workspace_id = workspace.workspace_id
        connections, portal, mdm = await asyncio.gather(
            workspace_connections(self._services, workspace),
            self._services.portal.GetCounts(portal_service_pb2.GetCountsRequest(workspace_id=workspace_id)),
            self._services.mdm.GetCounts(mdm_service_pb2.GetCountsRequest(workspace_id=workspace_id)),
        )
        await page(
            req,
            resp,
            "workspace_delete.html",
            workspace=workspace,
            breadcrumbs=trail(workspace),
            connections=connections,
            portal_counts=portal,
            mdm_counts=mdm,
            form=given,
        )
