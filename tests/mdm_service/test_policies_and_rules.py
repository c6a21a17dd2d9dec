"""Policies, and the rules that use them."""

from __future__ import annotations

import asyncio

import pytest
from rollcall.directory.v1 import connection_service_pb2
from rollcall.mdm.v1 import mdm_service_pb2

from chassis.database import Database
from mdm_service import devices, policies, rules
from mdm_service.errors import (
    ConnectionNotFound,
    InvalidValue,
    PolicyExists,
    PolicyInUse,
    PolicyNotFound,
    WrongPortal,
)
from tests.mdm_service.world import Tenant

NOTHING, CREATE = mdm_service_pb2.ON_CREATE_NOTHING, mdm_service_pb2.ON_CREATE_CREATE_EMPLOYEE


async def delete_policy(tenant: Tenant, policy_id: str) -> None:
    await policies.delete_policy(tenant.db, tenant.directory, tenant.workspace_id, policy_id)


async def names(tenant: Tenant) -> list[str]:
    found, _ = await policies.list_policies(tenant.db, tenant.directory, tenant.workspace_id, 0, "")
    return [policy.name for policy in found]


async def test_rules_that_nobody_set_do_nothing(tenant: Tenant) -> None:
    """PRODUCT §6: "on create `NOTHING | CREATE_EMPLOYEE`; on deactivate, five behaviours: `DO_NOTHING`"."""
    found = await rules.get_rules(tenant.db, tenant.directory, tenant.connection_id)
    assert (found.on_create, found.rule_version) == (NOTHING, 0)
    assert found.on_deactivate.WhichOneof("behaviour") == "do_nothing"


async def test_what_is_absent_stays_and_every_change_raises_the_version(tenant: Tenant) -> None:
    """mdm_service.proto: "what is absent stays (AIP-134)", "The version of the rules: it rises with every change"."""
    first = await rules.update_rules(tenant.db, tenant.directory, tenant.connection_id, CREATE, None)
    assert (first.on_create, first.rule_version) == (CREATE, 1)
    wanted = mdm_service_pb2.OnDeactivate(remove_employee=mdm_service_pb2.RemoveEmployee())
    second = await rules.update_rules(tenant.db, tenant.directory, tenant.connection_id, 0, wanted)
    assert (second.on_create, second.on_deactivate, second.rule_version) == (CREATE, wanted, 2)
    same = await rules.update_rules(tenant.db, tenant.directory, tenant.connection_id, CREATE, wanted)
    assert same == second
    assert await rules.get_rules(tenant.db, tenant.directory, tenant.connection_id) == second


async def test_a_behaviour_must_be_named_and_an_enum_value_known(tenant: Tenant) -> None:
    """AIP-193: the violation names the field and the rule."""
    with pytest.raises(InvalidValue) as no_behaviour:
        await rules.update_rules(tenant.db, tenant.directory, tenant.connection_id, 0, mdm_service_pb2.OnDeactivate())
    assert no_behaviour.value.message == (
        "on_deactivate: must be one of DO_NOTHING, UNASSIGN_DEVICES, CHANGE_POLICY, REMOVE_EMPLOYEE, "
        "REMOVE_EMPLOYEE_AND_DEVICES"
    )
    with pytest.raises(InvalidValue) as unknown:
        await rules.update_rules(tenant.db, tenant.directory, tenant.connection_id, 9, None)
    assert unknown.value.message == "on_create: must be one of NOTHING, CREATE_EMPLOYEE"


async def test_change_policy_needs_a_policy_of_the_workspace(tenant: Tenant, other_tenant: Tenant) -> None:
    """PRODUCT §6: "assigned devices get that policy, which must exist in the workspace"."""
    with pytest.raises(InvalidValue) as missing:
        await tenant.rule("change_policy")
    assert missing.value.field == "on_deactivate.change_policy.policy_id"
    foreign = await other_tenant.policy("Lockdown")
    with pytest.raises(PolicyNotFound) as unknown:
        await tenant.rule("change_policy", policy_id=foreign)
    assert unknown.value.field == "on_deactivate.change_policy.policy_id"
    assert (await rules.get_rules(tenant.db, tenant.directory, tenant.connection_id)).rule_version == 0


async def test_rules_are_those_of_mdm_connections_only(tenant: Tenant) -> None:
    """errors.proto: "The connection belongs to another portal. FAILED_PRECONDITION"."""
    with pytest.raises(ConnectionNotFound):
        await rules.get_rules(tenant.db, tenant.directory, "00000000-0000-0000-0000-000000000000")
    tenant.world.connections[tenant.connection_id].portal = connection_service_pb2.PORTAL_STORE
    with pytest.raises(WrongPortal) as caught:
        await tenant.rule()
    assert "STORE" in caught.value.message


async def test_a_policy_name_is_unique_without_case_in_the_workspace(tenant: Tenant, other_tenant: Tenant) -> None:
    """mdm_service.proto: "The name, unique per workspace"."""
    await tenant.policy("Straße")
    with pytest.raises(PolicyExists) as caught:
        await tenant.policy("STRASSE")
    assert caught.value.field == "name"
    await other_tenant.policy("STRASSE")
    assert await names(tenant) == ["Straße"]


async def test_a_policy_that_nothing_uses_is_deleted(tenant: Tenant) -> None:
    """PRODUCT §6: only "a policy in use so cannot be deleted"."""
    policy_id = await tenant.policy("Standard")
    await delete_policy(tenant, policy_id)
    assert await names(tenant) == []
    with pytest.raises(PolicyNotFound):
        await delete_policy(tenant, policy_id)


async def test_a_policy_that_a_rule_uses_is_not_deleted(tenant: Tenant) -> None:
    """PRODUCT §6: "a policy in use so cannot be deleted"; the message names what uses it."""
    policy_id = await tenant.policy("Lockdown")
    await tenant.rule("change_policy", policy_id=policy_id)
    with pytest.raises(PolicyInUse) as caught:
        await delete_policy(tenant, policy_id)
    assert tenant.connection_id in caught.value.message
    await tenant.rule("do_nothing")
    await delete_policy(tenant, policy_id)


async def test_a_policy_that_an_enrolled_device_has_is_not_deleted(tenant: Tenant) -> None:
    """errors.proto: "A rule or a device uses the policy. FAILED_PRECONDITION"."""
    policy_id = await tenant.policy("Standard")
    device = await tenant.enroll("C02", policy_id=policy_id)
    with pytest.raises(PolicyInUse) as caught:
        await delete_policy(tenant, policy_id)
    assert "device C02" in caught.value.message
    await devices.remove_device(tenant.db, tenant.directory, tenant.workspace_id, device.device_id)
    await delete_policy(tenant, policy_id)


@pytest.mark.parametrize("user_of_policy", ["rule", "device", "enrolment"])
async def test_deleting_a_policy_never_races_its_use(tenant: Tenant, mdm_url: str, user_of_policy: str) -> None:
    """PRODUCT §6: "that policy, which must exist in the workspace; a policy in use so cannot be deleted"."""
    second_process = Database(mdm_url, name="mdm-2")
    await second_process.start()
    device = await tenant.enroll("C02")
    await tenant.rule()

    async def use(number: int, policy_id: str) -> None:
        if user_of_policy == "rule":
            await tenant.rule("change_policy", policy_id=policy_id)
        elif user_of_policy == "device":
            arguments = (tenant.db, tenant.directory, tenant.workspace_id, device.device_id)
            await devices.set_device_policy(*arguments, policy_id)
        else:
            await tenant.enroll(f"S{number}", policy_id=policy_id)

    try:
        for number in range(12):
            policy_id = await tenant.policy(f"Policy {number}")
            deletion = policies.delete_policy(second_process, tenant.directory, tenant.workspace_id, policy_id)
            using, deleting = await asyncio.gather(use(number, policy_id), deletion, return_exceptions=True)
            outcomes = (type(using), type(deleting))
            assert outcomes in {(type(None), PolicyInUse), (PolicyNotFound, type(None))}
    finally:
        await second_process.stop()


async def test_policies_are_listed_by_name_in_pages(tenant: Tenant) -> None:
    """AIP-158; mdm_service.proto: "Lists a workspace's policies by name"."""
    for name in ("beta", "Alpha", "gamma"):
        await tenant.policy(name)
    first, token = await policies.list_policies(tenant.db, tenant.directory, tenant.workspace_id, 2, "")
    second, end = await policies.list_policies(tenant.db, tenant.directory, tenant.workspace_id, 2, token)
    assert [policy.name for policy in first + second] == ["Alpha", "beta", "gamma"]
    assert end == ""
