"""`rollcall device`: devices under management."""

from typing import Annotated, Any

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.output import document, documents
from cli.parameters import EmailArgument, WorkspaceArgument

app = noun("device", "Devices under management.")

DeviceArgument = Annotated[str, typer.Argument(metavar="ID", help="The device's id, or its serial number.")]

DEVICE_COLUMNS = ("device_id", "serial", "name", "platform", "owner_email", "policy_id", "state", "assignment_epoch")


def device_id(session: Session, workspace_id: str, device: str) -> str:
    """The id of a device named by id or serial number. Raises NotFound."""
    request = contract.mdm.GetDeviceRequest(workspace_id=workspace_id, device=device)
    return str(session.services.mdm.call("GetDevice", request).device.device_id)


@command(app, "enroll")
def enroll(
    session: Session,
    workspace: WorkspaceArgument,
    serial: Annotated[str, typer.Option(metavar="S", help="The serial number.")],
    name: Annotated[str, typer.Option(metavar="N", help="The name.")],
    platform: Annotated[
        str,
        typer.Option(metavar="P", help="ios, ipados, macos, android, windows, chromeos, linux or tvos."),
    ],
    policy: Annotated[str, typer.Option(metavar="ID", help="The policy's id.")] = "",
    owner: Annotated[str, typer.Option(metavar="EMAIL", help="The owner, an employee of device management.")] = "",
) -> None:
    """Enroll a device."""
    request = contract.mdm.EnrollDeviceRequest(
        workspace_id=session.services.workspace_id(workspace),
        serial=serial,
        name=name,
        platform=platform,
        policy_id=policy,
        owner_email=owner,
    )
    _show(session, session.services.mdm.call("EnrollDevice", request))


@command(app, "list")
def list_devices(
    session: Session,
    workspace: WorkspaceArgument,
    owner: Annotated[str, typer.Option(metavar="EMAIL", help="Only this owner's.")] = "",
) -> None:
    """List a workspace's devices by serial number, removed ones included."""
    request = contract.mdm.ListDevicesRequest(workspace_id=session.services.workspace_id(workspace), owner_email=owner)
    rows = documents(session.services.mdm.pages("ListDevices", request, "devices"))
    session.table(rows, DEVICE_COLUMNS, empty="No devices.")


@command(app, "show")
def show(session: Session, workspace: WorkspaceArgument, device: DeviceArgument) -> None:
    """Show one device."""
    request = contract.mdm.GetDeviceRequest(workspace_id=session.services.workspace_id(workspace), device=device)
    _show(session, session.services.mdm.call("GetDevice", request))


@command(app, "assign")
def assign(session: Session, workspace: WorkspaceArgument, device: DeviceArgument, email: EmailArgument) -> None:
    """Give a device to an employee."""
    workspace_id = session.services.workspace_id(workspace)
    request = contract.mdm.AssignDeviceRequest(
        workspace_id=workspace_id, device_id=device_id(session, workspace_id, device), email=email
    )
    _show(session, session.services.mdm.call("AssignDevice", request))


@command(app, "unassign")
def unassign(session: Session, workspace: WorkspaceArgument, device: DeviceArgument) -> None:
    """Take a device from its owner; it stays enrolled."""
    workspace_id = session.services.workspace_id(workspace)
    request = contract.mdm.UnassignDeviceRequest(
        workspace_id=workspace_id, device_id=device_id(session, workspace_id, device)
    )
    _show(session, session.services.mdm.call("UnassignDevice", request))


@command(app, "set-policy")
def set_policy(
    session: Session,
    workspace: WorkspaceArgument,
    device: DeviceArgument,
    policy: Annotated[str, typer.Argument(metavar="POLICY", help="The policy's id.")],
) -> None:
    """Give a device a policy."""
    workspace_id = session.services.workspace_id(workspace)
    request = contract.mdm.SetDevicePolicyRequest(
        workspace_id=workspace_id, device_id=device_id(session, workspace_id, device), policy_id=policy
    )
    _show(session, session.services.mdm.call("SetDevicePolicy", request))


@command(app, "remove")
def remove(session: Session, workspace: WorkspaceArgument, device: DeviceArgument) -> None:
    """Remove a device from management."""
    workspace_id = session.services.workspace_id(workspace)
    request = contract.mdm.RemoveDeviceRequest(
        workspace_id=workspace_id, device_id=device_id(session, workspace_id, device)
    )
    _show(session, session.services.mdm.call("RemoveDevice", request))


@command(app, "commands")
def commands(session: Session, workspace: WorkspaceArgument, device: DeviceArgument) -> None:
    """List what a device was told to do, newest first, and how far each command is."""
    workspace_id = session.services.workspace_id(workspace)
    request = contract.mdm.ListDeviceCommandsRequest(
        workspace_id=workspace_id, device_id=device_id(session, workspace_id, device)
    )
    rows = documents(session.services.mdm.pages("ListDeviceCommands", request, "device_commands"))
    columns = ("command_id", "kind", "policy_id", "state", "error", "created_time", "reported_time")
    session.table(rows, columns, empty="No commands.")


def _show(session: Session, response: Any) -> None:
    session.show(document(response.device))
