"""Devices: who has them, which policy they have, what they were told, and why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import falcon
import grpc
import grpc.aio
from rollcall.delivery.v1 import delivery_service_pb2 as delivery
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.mdm.v1 import mdm_service_pb2 as pb

from console import evidence
from console.evidence import State
from console.forms import Form, form
from console.history import list_effects
from console.pages.policies import known_policies
from console.paging import PAGE_SIZE, first_page, next_page, page_token, query_text
from console.problems import at_form
from console.rendering import flash, page, redirect
from console.request import Request, Response
from console.scope import find_workspace, trail, workspace_address
from console.services import Services

if TYPE_CHECKING:
    from console.app import App
    from console.deps import Deps

RECENT_EFFECTS = 20
COMMANDS = 20
PLATFORMS = (
    ("ios", "iOS"),
    ("ipados", "iPadOS"),
    ("macos", "macOS"),
    ("android", "Android"),
    ("windows", "Windows"),
    ("chromeos", "ChromeOS"),
    ("linux", "Linux"),
    ("tvos", "tvOS"),
)
STATES = {
    pb.DEVICE_STATE_ENROLLED: State("Enrolled", "good"),
    pb.DEVICE_STATE_REMOVED: State("Removed", "neutral"),
}
COMMAND_KINDS = {
    pb.DEVICE_COMMAND_KIND_APPLY_POLICY: "Apply the policy",
    pb.DEVICE_COMMAND_KIND_REMOVE: "Leave management",
}
COMMAND_STATES = {
    pb.DEVICE_COMMAND_STATE_PENDING: State("Pending", "warning"),
    pb.DEVICE_COMMAND_STATE_ACKNOWLEDGED: State("Acknowledged", "good"),
    pb.DEVICE_COMMAND_STATE_FAILED: State("Failed", "bad"),
}


class Devices:
    """`/workspaces/{slug}/devices`: a page of devices, searched by serial number or by owner."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Show devices by serial number, removed ones too."""
        workspace = await find_workspace(self._services, slug)
        text = query_text(req, "q")
        request = pb.ListDevicesRequest(
            workspace_id=workspace.workspace_id, page_size=PAGE_SIZE, page_token=page_token(req)
        )
        # A serial number has no such sign, and an address always has one.
        if "@" in text:
            request.owner_email = text
        else:
            request.serial_prefix = text
        error, answer, policies = "", pb.ListDevicesResponse(), dict[str, str]()
        try:
            answer, policies = await asyncio.gather(
                self._services.mdm.ListDevices(request), known_policies(self._services, workspace)
            )
        except grpc.aio.AioRpcError as refusal:
            problem = at_form(refusal)
            if problem.field not in ("owner_email", "serial_prefix"):
                raise
            error = problem.message
        await page(
            req,
            resp,
            "devices.html",
            workspace=workspace,
            breadcrumbs=trail(workspace),
            devices=answer.devices,
            policies=policies,
            states=STATES,
            query=text,
            query_error=error,
            next_href=next_page(req, answer.next_page_token),
            previous_href=first_page(req),
        )


class Enroll:
    """`…/devices/enroll`: a form that takes a device into management."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str) -> None:
        """Show the form."""
        await self._show(req, resp, slug, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str) -> None:
        """Enroll a device, with a policy and an owner where these are given."""
        given = await form(req)
        serial = given.required("serial", "Enter the serial number.")
        platform = given.choice("platform", [value for value, _ in PLATFORMS], "Choose the platform.")
        if given.is_valid:
            workspace = await find_workspace(self._services, slug)
            request = pb.EnrollDeviceRequest(
                workspace_id=workspace.workspace_id,
                serial=serial,
                name=given.text("name"),
                platform=platform,
                policy_id=given.text("policy_id"),
                owner_email=given.text("owner_email"),
            )
            try:
                made = (await self._services.mdm.EnrollDevice(request)).device
            except grpc.aio.AioRpcError as error:
                _refuse(given, error, ("serial", "name", "platform", "policy_id", "owner_email"))
            else:
                flash(resp, f"Device {made.serial} is enrolled.")
                redirect(resp, device_address(workspace, made.device_id))
                return
        await self._show(req, resp, slug, given, falcon.HTTP_422)

    async def _show(self, req: Request, resp: Response, slug: str, given: Form, status: str = falcon.HTTP_200) -> None:
        workspace = await find_workspace(self._services, slug)
        policies = await known_policies(self._services, workspace)
        await page(
            req,
            resp,
            "device_enroll.html",
            status=status,
            workspace=workspace,
            breadcrumbs=_trail(workspace),
            platforms=PLATFORMS,
            policies=list(policies.items()),
            form=given,
        )


class Device:
    """`…/devices/{device_id}`: one device, by its id or serial number."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, device_id: str) -> None:
        """Show owner, policy, state, epoch, commands, and what happened to it and why."""
        await self._show(req, resp, slug, device_id, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, device_id: str) -> None:
        """Assign the device, take it from its owner, or give it a policy; `action` says which."""
        given = await form(req)
        workspace = await find_workspace(self._services, slug)
        action = given.choice("action", ("assign", "unassign", "policy"))
        try:
            said = await self._change(workspace.workspace_id, device_id, action, given) if given.is_valid else ""
        except grpc.aio.AioRpcError as error:
            _refuse(given, error, ("email", "policy_id"))
            said = ""
        if said:
            flash(resp, said)
            redirect(resp, req.path)
            return
        await self._show(req, resp, slug, device_id, given, falcon.HTTP_422)

    async def _change(self, workspace_id: str, device_id: str, action: str, given: Form) -> str:
        mdm = self._services.mdm
        if action == "assign":
            email = given.required("email", "Enter the e-mail address of an employee.")
            if not email:
                return ""
            assign = pb.AssignDeviceRequest(workspace_id=workspace_id, device_id=device_id, email=email)
            device = (await mdm.AssignDevice(assign)).device
            return f"{device.serial} belongs to {device.owner_email} now."
        if action == "policy":
            policy_id = given.required("policy_id", "Choose a policy.")
            if not policy_id:
                return ""
            change = pb.SetDevicePolicyRequest(workspace_id=workspace_id, device_id=device_id, policy_id=policy_id)
            device = (await mdm.SetDevicePolicy(change)).device
            return f"{device.serial} is told to apply the policy."
        unassign = pb.UnassignDeviceRequest(workspace_id=workspace_id, device_id=device_id)
        device = (await mdm.UnassignDevice(unassign)).device
        return f"{device.serial} belongs to nobody now."

    async def _show(
        self,
        req: Request,
        resp: Response,
        slug: str,
        device_id: str,
        given: Form,
        status: str = falcon.HTTP_200,
    ) -> None:
        services = self._services
        workspace = await find_workspace(services, slug)
        workspace_id = workspace.workspace_id
        device = await find_device(services, workspace, device_id)
        commands_request = pb.ListDeviceCommandsRequest(
            workspace_id=workspace_id, device_id=device.device_id, page_size=COMMANDS
        )
        (effects, more), commands, policies = await asyncio.gather(
            list_effects(
                services,
                delivery.ListEffectsRequest(workspace_id=workspace_id, target=device.device_id),
                RECENT_EFFECTS,
                ("mdm",),
            ),
            services.mdm.ListDeviceCommands(commands_request),
            known_policies(services, workspace),
        )
        await page(
            req,
            resp,
            "device.html",
            status=status,
            workspace=workspace,
            breadcrumbs=_trail(workspace),
            device=device,
            address=device_address(workspace, device.device_id),
            is_enrolled=device.state == pb.DEVICE_STATE_ENROLLED,
            state=STATES.get(device.state, State("Unknown", "neutral")),
            platforms=dict(PLATFORMS),
            policies=policies,
            commands=commands.device_commands,
            command_kinds=COMMAND_KINDS,
            command_states=COMMAND_STATES,
            effects=effects,
            more_effects=more,
            words=evidence,
            form=given,
        )


class RemoveDevice:
    """`…/devices/{device_id}/remove`: what a removal from management means, and the removal."""

    def __init__(self, deps: Deps) -> None:
        self._services = deps.services

    async def on_get(self, req: Request, resp: Response, slug: str, device_id: str) -> None:
        """Say what will happen."""
        await self._show(req, resp, slug, device_id, Form({}))

    async def on_post(self, req: Request, resp: Response, slug: str, device_id: str) -> None:
        """Remove the device whose serial number was typed."""
        given = await form(req)
        workspace = await find_workspace(self._services, slug)
        device = await find_device(self._services, workspace, device_id)
        if given.confirms(device.serial):
            request = pb.RemoveDeviceRequest(workspace_id=workspace.workspace_id, device_id=device.device_id)
            try:
                await self._services.mdm.RemoveDevice(request)
            except grpc.aio.AioRpcError as error:
                given.refused(at_form(error))
            else:
                flash(resp, f"{device.serial} is removed from management.")
                redirect(resp, device_address(workspace, device.device_id))
                return
        await self._show(req, resp, slug, device_id, given, falcon.HTTP_422)

    async def _show(
        self,
        req: Request,
        resp: Response,
        slug: str,
        device_id: str,
        given: Form,
        status: str = falcon.HTTP_200,
    ) -> None:
        workspace = await find_workspace(self._services, slug)
        device = await find_device(self._services, workspace, device_id)
        address = device_address(workspace, device.device_id)
        await page(
            req,
            resp,
            "device_remove.html",
            status=status,
            workspace=workspace,
            breadcrumbs=[*_trail(workspace), (device.serial, address)],
            device=device,
            address=address,
            form=given,
        )


def add_routes(app: App, deps: Deps) -> None:
    """Add the pages of devices."""
    base = "/workspaces/{slug}/devices"
    app.add_route(base, Devices(deps))
    app.add_route(f"{base}/enroll", Enroll(deps))
    app.add_route(f"{base}/{{device_id}}", Device(deps))
    app.add_route(f"{base}/{{device_id}}/remove", RemoveDevice(deps))


def device_address(workspace: connections.Workspace, device_id: str) -> str:
    """Return the address of a device's page."""
    return f"{workspace_address(workspace)}/devices/{device_id}"


async def find_device(services: Services, workspace: connections.Workspace, device: str) -> pb.Device:
    """Return a device of the workspace by id, else by serial number. Raises grpc.aio.AioRpcError: NOT_FOUND."""
    request = pb.GetDeviceRequest(workspace_id=workspace.workspace_id, device=device)
    found: pb.Device = (await services.mdm.GetDevice(request)).device
    return found


def _trail(workspace: connections.Workspace) -> list[tuple[str, str]]:
    return [*trail(workspace), ("Devices", f"{workspace_address(workspace)}/devices")]


def _refuse(given: Form, error: grpc.aio.AioRpcError, fields: tuple[str, ...]) -> None:
    """Note what was refused; an employee or policy that was named and does not exist is an error of that field."""
    if error.code() is grpc.StatusCode.NOT_FOUND:
        for reason, field in (("employee", "email" if "email" in fields else "owner_email"), ("policy", "policy_id")):
            if reason in (error.details() or ""):
                given.fail(field, f"There is no such {reason} in this workspace.")
                return
        raise error
    given.refused(at_form(error), fields)
