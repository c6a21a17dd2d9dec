"""How much a deletion would reach: counts of a workspace, and of one connection."""

from __future__ import annotations

import pytest

from mdm_service import counts, devices
from mdm_service.errors import InvalidValue, WorkspaceNotFound
from tests.mdm_service.world import Tenant


async def _counted(tenant: Tenant, connection_id: str = "") -> tuple[int, int, int, int]:
    found = await counts.get_counts(tenant.db, tenant.directory, tenant.workspace_id, connection_id)
    return found.employees, found.devices, found.policies, found.segments


async def test_a_workspace_is_counted_and_a_connection_by_its_employees_and_their_devices(tenant: Tenant) -> None:
    """GetCounts: "Enrolled devices; of a connection, those that its employees own"."""
    second = tenant.second_connection()
    for one, names in ((tenant, ("ada", "eve")), (second, ("bo",))):
        await one.rule()
        for name in names:
            await one.create(name)
    await tenant.policy("Locked")
    ada, bo = (one.users[user].emails[0].value for one, user in _users(tenant, second))
    for serial, owner in (("S1", ada), ("S2", ada), ("S3", bo), ("S4", "")):
        await tenant.enroll(serial, owner=owner)
    gone = await tenant.enroll("S5", owner=ada)
    await devices.remove_device(tenant.db, tenant.directory, tenant.workspace_id, gone.device_id)
    assert await _counted(tenant) == (3, 4, 1, 0)
    assert await _counted(tenant, tenant.connection_id) == (2, 2, 0, 0)
    assert await _counted(tenant, second.connection_id) == (1, 1, 0, 0)


def _users(tenant: Tenant, second: Tenant) -> list[tuple[Tenant, str]]:
    by_name = {user.user_name.partition("@")[0]: user_id for user_id, user in tenant.users.items()}
    return [(tenant, by_name["ada"]), (second, next(iter(second.users)))]


async def test_a_connection_of_another_workspace_counts_for_nothing(tenant: Tenant, other_tenant: Tenant) -> None:
    """Nothing of one connection is hinted at through another (PRODUCT §1)."""
    await tenant.rule()
    await tenant.create("ada")
    assert await _counted(other_tenant, tenant.connection_id) == (0, 0, 0, 0)


@pytest.mark.parametrize(("workspace_id", "connection_id"), [("", ""), ("a\0b", ""), ("w", "a\0b")])
async def test_an_id_that_no_database_takes_is_refused(tenant: Tenant, workspace_id: str, connection_id: str) -> None:
    """Errors name the field and the rule."""
    with pytest.raises(InvalidValue):
        await counts.get_counts(tenant.db, tenant.directory, workspace_id, connection_id)


async def test_a_workspace_that_is_not_there_is_not_counted(tenant: Tenant) -> None:
    """No such workspace. NOT_FOUND."""
    with pytest.raises(WorkspaceNotFound):
        await counts.get_counts(tenant.db, tenant.directory, "00000000-0000-4000-8000-000000000000", "")
