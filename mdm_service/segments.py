"""Sets of devices, and which collaborators may view or manage them. Nothing that arrives over SCIM changes one."""

import uuid

from rollcall.mdm.v1 import mdm_service_pb2

from chassis.database import Database, Transaction
from mdm_service import pages, repository, requirements, tenants
from mdm_service.directory import Directory
from mdm_service.domain import accounts
from mdm_service.errors import (
    DeviceNotFound,
    DeviceRemoved,
    GrantNotFound,
    InvalidValue,
    SegmentExists,
    SegmentNotFound,
    WorkspaceNotFound,
)

PERMISSIONS = (mdm_service_pb2.SEGMENT_PERMISSION_VIEW, mdm_service_pb2.SEGMENT_PERMISSION_MANAGE)


async def create_segment(db: Database, directory: Directory, workspace_id: str, name: str) -> mdm_service_pb2.Segment:
    """Create an empty segment. Raises InvalidValue, WorkspaceNotFound, SegmentExists."""
    requirements.identifier("workspace_id", workspace_id)
    name = requirements.name("name", name)
    await tenants.require_workspace(db, directory, workspace_id)
    segment = mdm_service_pb2.Segment(segment_id=str(uuid.uuid4()), workspace_id=workspace_id, name=name)

    def unit(tx: Transaction) -> None:
        if not repository.lock_workspace(tx, workspace_id):
            raise WorkspaceNotFound(workspace_id)
        if not repository.insert_segment(tx, segment, requirements.name_key(name)):
            raise SegmentExists(name)

    await db.write(unit, key=workspace_id)
    return segment


async def list_segments(
    db: Database,
    directory: Directory,
    workspace_id: str,
    page_size: int,
    page_token: str,
    *,
    omit_devices: bool = False,
    grantee_email: str = "",
) -> tuple[list[mdm_service_pb2.Segment], str]:
    """List segments by name, a page and the token of the next; those that a collaborator has a permission on, or all.

    Raises InvalidValue, WorkspaceNotFound, InvalidPageToken.
    """
    requirements.identifier("workspace_id", workspace_id)
    grantee = accounts.email_key(requirements.email("grantee_email", grantee_email)) if grantee_email else ""
    page = pages.page(page_size, page_token, "segments", workspace_id, grantee)
    await tenants.require_workspace(db, directory, workspace_id)

    def unit(tx: Transaction) -> list[tuple[str, mdm_service_pb2.Segment]]:
        return repository.segments(
            tx, workspace_id, page.text, page.size + 1, grantee_key=grantee, omit_devices=omit_devices
        )

    found = await db.read(unit)
    kept, token = page.cut(found, lambda pair: [pair[0]])
    return [segment for _, segment in kept], token


async def get_segment(
    db: Database, directory: Directory, workspace_id: str, segment_id: str, *, omit_devices: bool = False
) -> mdm_service_pb2.Segment:
    """Read a segment with its devices and permissions. Raises InvalidValue, WorkspaceNotFound, SegmentNotFound."""
    requirements.identifier("workspace_id", workspace_id)
    requirements.identifier("segment_id", segment_id)
    await tenants.require_workspace(db, directory, workspace_id)
    return await db.read(lambda tx: _segment(tx, workspace_id, segment_id, omit_devices=omit_devices))


async def add_device(
    db: Database, directory: Directory, workspace_id: str, segment_id: str, device_id: str
) -> mdm_service_pb2.Segment:
    """Put an enrolled device into a segment; one that is in it stays.

    Raises InvalidValue, WorkspaceNotFound, SegmentNotFound, DeviceNotFound, DeviceRemoved.
    """
    requirements.identifier("workspace_id", workspace_id)
    requirements.identifier("segment_id", segment_id)
    requirements.identifier("device_id", device_id)
    await tenants.require_workspace(db, directory, workspace_id)

    def unit(tx: Transaction) -> mdm_service_pb2.Segment:
        segment = _segment(tx, workspace_id, segment_id)
        device = repository.lock_device(tx, workspace_id, device_id)
        if device is None:
            raise DeviceNotFound(device_id)
        if device.state == mdm_service_pb2.DEVICE_STATE_REMOVED:
            raise DeviceRemoved(device_id)
        if device_id in segment.device_ids:
            return segment
        repository.add_device_to_segment(tx, workspace_id, segment_id, device_id)
        return _segment(tx, workspace_id, segment_id)

    return await db.write(unit, key=workspace_id)


async def grant(
    db: Database, directory: Directory, workspace_id: str, segment_id: str, email: str, permission: int
) -> mdm_service_pb2.Segment:
    """Let a collaborator view or manage a segment's devices, whatever was allowed before.

    Raises InvalidValue, WorkspaceNotFound, SegmentNotFound.
    """
    requirements.identifier("workspace_id", workspace_id)
    requirements.identifier("segment_id", segment_id)
    email = requirements.email("email", email)
    if permission not in PERMISSIONS:
        raise InvalidValue("permission", "must be one of VIEW, MANAGE")
    await tenants.require_workspace(db, directory, workspace_id)
    granted = mdm_service_pb2.SegmentGrant(email=email)
    granted.permission = permission  # type: ignore[assignment]

    def unit(tx: Transaction) -> mdm_service_pb2.Segment:
        _segment(tx, workspace_id, segment_id)
        repository.save_grant(tx, workspace_id, segment_id, granted, accounts.email_key(email))
        return _segment(tx, workspace_id, segment_id)

    return await db.write(unit, key=workspace_id)


async def revoke(
    db: Database, directory: Directory, workspace_id: str, segment_id: str, email: str
) -> mdm_service_pb2.Segment:
    """End a collaborator's permission on a segment.

    Raises InvalidValue, WorkspaceNotFound, SegmentNotFound, GrantNotFound.
    """
    requirements.identifier("workspace_id", workspace_id)
    requirements.identifier("segment_id", segment_id)
    email = requirements.email("email", email)
    await tenants.require_workspace(db, directory, workspace_id)

    def unit(tx: Transaction) -> mdm_service_pb2.Segment:
        _segment(tx, workspace_id, segment_id)
        if not repository.delete_grant(tx, workspace_id, segment_id, accounts.email_key(email)):
            raise GrantNotFound(segment_id, email)
        return _segment(tx, workspace_id, segment_id)

    return await db.write(unit, key=workspace_id)


async def list_visible_devices(
    db: Database, directory: Directory, workspace_id: str, email: str
) -> list[mdm_service_pb2.VisibleDevice]:
    """List the enrolled devices in a collaborator's segments by serial number, each with the strongest permission.

    Raises InvalidValue, WorkspaceNotFound.
    """
    requirements.identifier("workspace_id", workspace_id)
    email = requirements.email("email", email)
    await tenants.require_workspace(db, directory, workspace_id)
    return await db.read(lambda tx: repository.visible_devices(tx, workspace_id, accounts.email_key(email)))


def _segment(
    tx: Transaction, workspace_id: str, segment_id: str, *, omit_devices: bool = False
) -> mdm_service_pb2.Segment:
    segment = repository.segment(tx, workspace_id, segment_id, omit_devices=omit_devices)
    if segment is None:
        raise SegmentNotFound(segment_id)
    return segment
