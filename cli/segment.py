"""`rollcall segment`: sets of devices, and which collaborators may see or manage them."""

from typing import Annotated, Any, Literal

import typer

from cli import contract
from cli.command import Session, command, noun
from cli.device import DEVICE_COLUMNS, device_id
from cli.output import Document, document, documents, enum_name
from cli.parameters import EmailArgument, WorkspaceArgument

app = noun("segment", "Segments: sets of devices, and which collaborators may see or manage them.")

_SegmentArgument = Annotated[str, typer.Argument(metavar="ID", help="The segment's id.")]
_COLUMNS = ("segment_id", "name", "device_ids", "grants")


@command(app, "create")
def create(
    session: Session,
    workspace: WorkspaceArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The segment's name.")],
) -> None:
    """Create a segment."""
    request = contract.mdm.CreateSegmentRequest(workspace_id=session.services.workspace_id(workspace), name=name)
    _show(session, session.services.mdm.call("CreateSegment", request))


@command(app, "list")
def list_segments(session: Session, workspace: WorkspaceArgument) -> None:
    """List a workspace's segments by name."""
    request = contract.mdm.ListSegmentsRequest(workspace_id=session.services.workspace_id(workspace))
    rows = documents(session.services.mdm.pages("ListSegments", request, "segments"))
    session.table(rows if session.json else map(_row, rows), _COLUMNS, empty="No segments.")


@command(app, "add-device")
def add_device(
    session: Session,
    workspace: WorkspaceArgument,
    segment: _SegmentArgument,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="The device's id, or its serial number.")],
) -> None:
    """Put a device into a segment."""
    workspace_id = session.services.workspace_id(workspace)
    request = contract.mdm.AddDeviceToSegmentRequest(
        workspace_id=workspace_id, segment_id=segment, device_id=device_id(session, workspace_id, device)
    )
    _show(session, session.services.mdm.call("AddDeviceToSegment", request))


@command(app, "grant")
def grant(
    session: Session,
    workspace: WorkspaceArgument,
    segment: _SegmentArgument,
    email: EmailArgument,
    permission: Annotated[
        Literal["view", "manage"],
        typer.Argument(metavar="view|manage", case_sensitive=False, help="What is allowed."),
    ],
) -> None:
    """Let a collaborator view or manage a segment's devices."""
    request = contract.mdm.GrantSegmentRequest(
        workspace_id=session.services.workspace_id(workspace),
        segment_id=segment,
        email=email,
        permission=f"SEGMENT_PERMISSION_{permission.upper()}",
    )
    _show(session, session.services.mdm.call("GrantSegment", request))


@command(app, "revoke")
def revoke(session: Session, workspace: WorkspaceArgument, segment: _SegmentArgument, email: EmailArgument) -> None:
    """End a collaborator's permission on a segment."""
    request = contract.mdm.RevokeSegmentRequest(
        workspace_id=session.services.workspace_id(workspace), segment_id=segment, email=email
    )
    _show(session, session.services.mdm.call("RevokeSegment", request))


@command(app, "devices-visible")
def devices_visible(session: Session, workspace: WorkspaceArgument, email: EmailArgument) -> None:
    """List the devices that a collaborator may see or manage through segments."""
    request = contract.mdm.ListVisibleDevicesRequest(workspace_id=session.services.workspace_id(workspace), email=email)
    permissions = contract.mdm.SegmentPermission.DESCRIPTOR
    rows = [
        {**document(item.device), "permission": enum_name(permissions, item.permission)}
        for item in session.services.mdm.call("ListVisibleDevices", request).devices
    ]
    session.table(rows, ("permission", *DEVICE_COLUMNS), empty=f"{email} may see no device.")


def _row(value: Document) -> Document:
    grants = [f"{grant['email']} {grant['permission'].lower()}" for grant in value["grants"]]
    return {**value, "grants": grants}


def _show(session: Session, response: Any) -> None:
    value = document(response.segment)
    session.show(value if session.json else _row(value))
