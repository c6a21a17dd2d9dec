"""Segments: sets of devices, and which collaborators may view or manage them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import falcon
import grpc
import grpc.aio
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.mdm.v1 import mdm_service_pb2 as pb

from console.forms import Form, form
from console.paging import PAGE_SIZE, first_page, next_page, page_token
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import find_workspace, trail, workspace_address

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

PERMISSIONS = {"view": pb.SEGMENT_PERMISSION_VIEW, "manage": pb.SEGMENT_PERMISSION_MANAGE}
PERMISSION_TEXTS = {pb.SEGMENT_PERMISSION_VIEW: "View", pb.SEGMENT_PERMISSION_MANAGE: "View and manage"}


class Segments:
    """`/workspaces/{slug}/segments`: a page of segments, and a form that creates one."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Show segments by name."""
        await self._show(req, resp, slug, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str) -> None:
        """Create an empty segment."""
        given = await form(req)
        name = given.required("name", "Enter a name.")
        if given.is_valid:
            workspace = await find_workspace(self._services, slug)
            request = pb.CreateSegmentRequest(workspace_id=workspace.workspace_id, name=name)
            try:
                made = (await self._services.mdm.CreateSegment(request)).segment
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error), ("name",))
            else:
                flash(resp, f"Segment {made.name} is created. Add devices and say who may see them.")
                redirect(resp, segment_address(workspace, made.segment_id))
                return
        await self._show(req, resp, slug, given, falcon.HTTP_422)

    async def _show(self, req: Request, resp: Response, slug: str, given: Form, status: str = falcon.HTTP_200) -> None:
        workspace = await find_workspace(self._services, slug)
        request = pb.ListSegmentsRequest(
            workspace_id=workspace.workspace_id, page_size=PAGE_SIZE, page_token=page_token(req), omit_devices=True
        )
        answer = await self._services.mdm.ListSegments(request)
        await page(
            req,
            resp,
            "segments.html",
            status=status,
            workspace=workspace,
            breadcrumbs=trail(workspace),
            segments=[(one, segment_address(workspace, one.segment_id)) for one in answer.segments],
            form=given,
            next_href=next_page(req, answer.next_page_token),
            previous_href=first_page(req),
        )


class Segment:
    """`…/segments/{segment_id}`: one segment; its forms add a device, and grant or revoke a permission."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, segment_id: str) -> None:
        """Show devices and permissions."""
        await self._show(req, resp, slug, segment_id, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, segment_id: str) -> None:
        """Add a device, grant or revoke; `action` says which."""
        given = await form(req)
        workspace = await find_workspace(self._services, slug)
        action = given.choice("action", ("add", "grant", "revoke"))
        said = ""
        if given.is_valid:
            try:
                said = await self._change(workspace.workspace_id, segment_id, action, given)
            except grpc.aio.AioRpcError as error:
                _refuse(given, error)
        if said:
            flash(resp, said)
            redirect(resp, req.path)
            return
        await self._show(req, resp, slug, segment_id, given, falcon.HTTP_422)

    async def _change(self, workspace_id: str, segment_id: str, action: str, given: Form) -> str:
        mdm = self._services.mdm
        if action == "add":
            serial = given.required("device", "Enter the serial number of a device.")
            if not serial:
                return ""
            device = (await mdm.GetDevice(pb.GetDeviceRequest(workspace_id=workspace_id, device=serial))).device
            await mdm.AddDeviceToSegment(
                pb.AddDeviceToSegmentRequest(
                    workspace_id=workspace_id, segment_id=segment_id, device_id=device.device_id
                )
            )
            return f"{device.serial} is in the segment."
        email = given.required("email", "Enter the e-mail address of a collaborator.")
        if action == "revoke":
            await mdm.RevokeSegment(
                pb.RevokeSegmentRequest(workspace_id=workspace_id, segment_id=segment_id, email=email)
            )
            return f"{email} has no permission on this segment any more."
        permission = given.choice("permission", PERMISSIONS, "Choose what is allowed.")
        if not given.is_valid:
            return ""
        await mdm.GrantSegment(
            pb.GrantSegmentRequest(
                workspace_id=workspace_id, segment_id=segment_id, email=email, permission=PERMISSIONS[permission]
            )
        )
        return f"{email} may {permission} the devices of this segment."

    async def _show(
        self,
        req: Request,
        resp: Response,
        slug: str,
        segment_id: str,
        given: Form,
        status: str = falcon.HTTP_200,
    ) -> None:
        mdm = self._services.mdm
        workspace = await find_workspace(self._services, slug)
        workspace_id = workspace.workspace_id
        segment, devices = await asyncio.gather(
            mdm.GetSegment(pb.GetSegmentRequest(workspace_id=workspace_id, segment_id=segment_id, omit_devices=True)),
            mdm.ListDevices(
                pb.ListDevicesRequest(
                    workspace_id=workspace_id, segment_id=segment_id, page_size=PAGE_SIZE, page_token=page_token(req)
                )
            ),
        )
        await page(
            req,
            resp,
            "segment.html",
            status=status,
            workspace=workspace,
            breadcrumbs=[*trail(workspace), ("Segments", f"{workspace_address(workspace)}/segments")],
            one=segment.segment,
            devices=devices.devices,
            next_href=next_page(req, devices.next_page_token),
            previous_href=first_page(req),
            permission_texts=PERMISSION_TEXTS,
            form=given,
        )


def add_routes(app: App, deps: Deps) -> None:
    """Add the pages of segments."""
    base = "/workspaces/{slug}/segments"
    app.add_route(base, Segments(deps))
    app.add_route(f"{base}/{{segment_id}}", Segment(deps))


def segment_address(workspace: connections.Workspace, segment_id: str) -> str:
    """Return the address of a segment's page."""
    return f"{workspace_address(workspace)}/segments/{segment_id}"


def _refuse(given: Form, error: grpc.aio.AioRpcError) -> None:
    """Note what was refused; a device that was named and does not exist is an error of that field."""
    if error.code() is grpc.StatusCode.NOT_FOUND and "device" in (error.details() or ""):
        given.fail("device", "There is no such device in this workspace.")
        return
    given.refused(at_form(error), {"device_id": "device", "email": "email", "permission": "permission"})
