"""Segments: sets of devices with permissions, which nothing that arrives over SCIM changes."""

from __future__ import annotations

from typing import Any

import pytest
from rollcall.mdm.v1 import mdm_service_pb2

from mdm_service import devices, segments
from mdm_service.errors import (
    DeviceNotFound,
    DeviceRemoved,
    GrantNotFound,
    InvalidValue,
    SegmentExists,
    SegmentNotFound,
)
from tests.mdm_service.world import Tenant

VIEW, MANAGE = mdm_service_pb2.SEGMENT_PERMISSION_VIEW, mdm_service_pb2.SEGMENT_PERMISSION_MANAGE


async def create(tenant: Tenant, name: str) -> str:
    return (await segments.create_segment(tenant.db, tenant.directory, tenant.workspace_id, name)).segment_id


async def add(tenant: Tenant, segment_id: str, device_id: str) -> mdm_service_pb2.Segment:
    return await segments.add_device(tenant.db, tenant.directory, tenant.workspace_id, segment_id, device_id)


async def grant(tenant: Tenant, segment_id: str, email: str, permission: int) -> mdm_service_pb2.Segment:
    return await segments.grant(tenant.db, tenant.directory, tenant.workspace_id, segment_id, email, permission)


async def visible(tenant: Tenant, email: str) -> list[tuple[str, int]]:
    found = await segments.list_visible_devices(tenant.db, tenant.directory, tenant.workspace_id, email)
    return [(each.device.serial, each.permission) for each in found]


async def test_the_strongest_permission_wins(tenant: Tenant) -> None:
    """mdm_service.proto: "The strongest permission that a segment gives"."""
    laptop, phone, spare = [await tenant.enroll(serial) for serial in ("LAPTOP", "PHONE", "SPARE")]
    office, field = await create(tenant, "Office"), await create(tenant, "Field")
    await add(tenant, office, laptop.device_id)
    await add(tenant, office, phone.device_id)
    await add(tenant, field, phone.device_id)
    await grant(tenant, office, "eve@acme.test", VIEW)
    await grant(tenant, field, "EVE@acme.test", MANAGE)
    assert await visible(tenant, "Eve@acme.test") == [("LAPTOP", VIEW), ("PHONE", MANAGE)]
    assert await visible(tenant, "mallory@acme.test") == []
    assert spare.serial not in dict(await visible(tenant, "eve@acme.test"))


async def test_a_grant_is_changed_and_revoked(tenant: Tenant) -> None:
    """errors.proto: "The collaborator has no permission on the segment. NOT_FOUND"."""
    device = await tenant.enroll("LAPTOP")
    segment_id = await create(tenant, "Office")
    await add(tenant, segment_id, device.device_id)
    await grant(tenant, segment_id, "eve@acme.test", MANAGE)
    weaker = await grant(tenant, segment_id, "Eve@acme.test", VIEW)
    assert [(each.email, each.permission) for each in weaker.grants] == [("Eve@acme.test", VIEW)]
    assert await visible(tenant, "eve@acme.test") == [("LAPTOP", VIEW)]
    arguments = (tenant.db, tenant.directory, tenant.workspace_id, segment_id, "eve@acme.test")
    assert (await segments.revoke(*arguments)).grants == []
    assert await visible(tenant, "eve@acme.test") == []
    with pytest.raises(GrantNotFound):
        await segments.revoke(*arguments)


async def test_a_removed_device_leaves_no_access(tenant: Tenant) -> None:
    """PRODUCT §6: a removed device is not under management, so nobody may view or manage it."""
    device = await tenant.enroll("LAPTOP")
    segment_id = await create(tenant, "Office")
    await add(tenant, segment_id, device.device_id)
    await add(tenant, segment_id, device.device_id)
    await grant(tenant, segment_id, "eve@acme.test", MANAGE)
    await devices.remove_device(tenant.db, tenant.directory, tenant.workspace_id, device.device_id)
    assert await visible(tenant, "eve@acme.test") == []
    (left,), _ = await segments.list_segments(tenant.db, tenant.directory, tenant.workspace_id, 0, "")
    assert left.device_ids == []
    with pytest.raises(DeviceRemoved):
        await add(tenant, segment_id, device.device_id)


async def test_nothing_that_arrives_over_scim_changes_a_segment(tenant: Tenant) -> None:
    """PRODUCT §6: "Nothing that arrives over SCIM changes them"."""
    await tenant.rule("remove_employee")
    ada = await tenant.create("ada")
    device = await tenant.enroll("LAPTOP", owner="ada@acme.test")
    segment_id = await create(tenant, "Office")
    await add(tenant, segment_id, device.device_id)
    await grant(tenant, segment_id, "ada@acme.test", VIEW)
    listing = (tenant.db, tenant.directory, tenant.workspace_id, 0, "")
    before = await segments.list_segments(*listing)
    await tenant.deactivate(ada)
    await tenant.reactivate(ada)
    await tenant.delete(ada)
    assert await segments.list_segments(*listing) == before


async def test_names_are_unique_and_what_is_not_there_is_named(tenant: Tenant, other_tenant: Tenant) -> None:
    """errors.proto: SEGMENT_EXISTS, SEGMENT_NOT_FOUND, DEVICE_NOT_FOUND, each in its workspace."""
    segment_id = await create(tenant, "Office")
    with pytest.raises(SegmentExists):
        await create(tenant, "OFFICE")
    device = await tenant.enroll("LAPTOP")
    with pytest.raises(DeviceNotFound):
        await add(tenant, segment_id, "nothing")
    await other_tenant.enroll("LAPTOP")
    with pytest.raises(SegmentNotFound):
        await add(other_tenant, segment_id, device.device_id)
    with pytest.raises(SegmentNotFound):
        await grant(other_tenant, segment_id, "eve@acme.test", VIEW)
    with pytest.raises(InvalidValue) as caught:
        await grant(tenant, segment_id, "eve@acme.test", 0)
    assert caught.value.message == "permission: must be one of VIEW, MANAGE"


async def test_segments_are_listed_by_name_in_pages_with_what_is_in_them(tenant: Tenant) -> None:
    """AIP-158; mdm_service.proto: "Lists a workspace's segments by name"."""
    device = await tenant.enroll("LAPTOP")
    for name in ("beta", "Alpha", "gamma"):
        segment_id = await create(tenant, name)
        await add(tenant, segment_id, device.device_id)
        await grant(tenant, segment_id, f"{name}@acme.test", VIEW)
    first, token = await segments.list_segments(tenant.db, tenant.directory, tenant.workspace_id, 2, "")
    second, end = await segments.list_segments(tenant.db, tenant.directory, tenant.workspace_id, 2, token)
    assert [(each.name, each.grants[0].email, list(each.device_ids)) for each in first + second] == [
        (name, f"{name}@acme.test", [device.device_id]) for name in ("Alpha", "beta", "gamma")
    ]
    assert end == ""


async def test_a_segment_is_read_on_its_own(tenant: Tenant, other_tenant: Tenant) -> None:
    """mdm_service.proto: "Reads one segment (AIP-131)"; SECURITY: "bound to a connection or workspace id"."""
    device = await tenant.enroll("LAPTOP")
    segment_id = await create(tenant, "Office")
    whole = await grant(tenant, segment_id, "eve@acme.test", VIEW)
    whole = await add(tenant, segment_id, device.device_id)
    read = segments.get_segment
    assert await read(tenant.db, tenant.directory, tenant.workspace_id, segment_id) == whole
    for workspace_id, wanted in ((other_tenant.workspace_id, segment_id), (tenant.workspace_id, "nobody")):
        with pytest.raises(SegmentNotFound):
            await read(tenant.db, tenant.directory, workspace_id, wanted)


async def test_segments_are_listed_without_their_devices_and_by_who_has_a_permission(tenant: Tenant) -> None:
    """mdm_service.proto: "`device_count` tells how many there are"; "has a permission; empty: all"."""
    ids = [(await tenant.enroll(serial)).device_id for serial in ("L1", "L2", "L3")]
    office, field, empty = [await create(tenant, name) for name in ("Office", "Field", "Empty")]
    for device_id in ids:
        await add(tenant, office, device_id)
    await add(tenant, field, ids[0])
    await grant(tenant, field, "eve@acme.test", VIEW)
    await grant(tenant, empty, "eve@acme.test", MANAGE)
    await grant(tenant, office, "kim@acme.test", MANAGE)

    async def listed(**asked: Any) -> list[tuple[str, int, int]]:
        found, _ = await segments.list_segments(tenant.db, tenant.directory, tenant.workspace_id, 0, "", **asked)
        return [(one.name, one.device_count, len(one.device_ids)) for one in found]

    assert await listed() == [("Empty", 0, 0), ("Field", 1, 1), ("Office", 3, 3)]
    assert await listed(omit_devices=True) == [("Empty", 0, 0), ("Field", 1, 0), ("Office", 3, 0)]
    assert await listed(grantee_email="EVE@acme.test") == [("Empty", 0, 0), ("Field", 1, 1)]
    assert await listed(grantee_email="nobody@acme.test") == []
    one = await segments.get_segment(tenant.db, tenant.directory, tenant.workspace_id, office, omit_devices=True)
    assert (one.device_count, list(one.device_ids)) == (3, [])
    with pytest.raises(InvalidValue) as caught:
        await listed(grantee_email="eve")
    assert caught.value.field == "grantee_email"


async def test_the_devices_of_a_segment_are_listed_in_pages(tenant: Tenant, other_tenant: Tenant) -> None:
    """mdm_service.proto: "Only devices in this segment, by id"; AIP-158."""
    made = {serial: (await tenant.enroll(serial)).device_id for serial in ("L1", "L2", "L3", "ELSEWHERE")}
    segment_id = await create(tenant, "Office")
    for serial in ("L1", "L2", "L3"):
        await add(tenant, segment_id, made[serial])

    async def page(of: Tenant, token: str = "", size: int = 2, **asked: str) -> tuple[list[str], str]:
        found, following = await devices.list_devices(
            of.db, of.directory, of.workspace_id, asked.pop("owner", ""), size, token, segment_id=segment_id, **asked
        )
        return [device.device_id for device in found], following

    first, token = await page(tenant)
    rest, end = await page(tenant, token)
    assert (first + rest, end) == (sorted(made[serial] for serial in ("L1", "L2", "L3")), "")
    assert await page(other_tenant) == ([], "")
    for asked in ({"owner": "ada@acme.test"}, {"serial_prefix": "L"}):
        with pytest.raises(InvalidValue) as caught:
            await page(tenant, **asked)
        assert caught.value.field == "segment_id"
