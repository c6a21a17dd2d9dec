"""The five behaviours as pure decisions."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.mdm.v1 import mdm_service_pb2

from mdm_service.domain import deactivation

ARMS = [field.name for field in mdm_service_pb2.OnDeactivate.DESCRIPTOR.oneofs_by_name["behaviour"].fields]


def rule(arm: str, policy_id: str = "lockdown") -> mdm_service_pb2.OnDeactivate:
    on_deactivate = mdm_service_pb2.OnDeactivate()
    getattr(on_deactivate, arm).SetInParent()
    if arm == "change_policy":
        on_deactivate.change_policy.policy_id = policy_id
    return on_deactivate


def employee(active: bool = True) -> mdm_service_pb2.Employee:
    return mdm_service_pb2.Employee(employee_id="ada", email="ada@acme.test", active=active)


def device(
    device_id: str, owner: str = "ada", *, policy_id: str = "standard", epoch: int = 3
) -> mdm_service_pb2.Device:
    return mdm_service_pb2.Device(
        device_id=device_id,
        serial=f"S-{device_id}",
        owner_employee_id=owner,
        policy_id=policy_id,
        assignment_epoch=epoch,
        state=mdm_service_pb2.DEVICE_STATE_ENROLLED,
    )


def actions(planned: Sequence[deactivation.PlannedEffect]) -> list[tuple[str, str, str]]:
    return [(effect.action, effect.target_id, effect.skip) for effect in planned]


def test_every_arm_has_a_function_and_every_function_an_arm() -> None:
    """HOUSE: "A new deactivation behaviour: one oneof arm and one function"; neither may be missing."""
    assert set(deactivation.BEHAVIOURS) == set(ARMS)
    for arm, behaviour in deactivation.BEHAVIOURS.items():
        assert behaviour.__name__ == arm
        assert getattr(deactivation, arm) is behaviour


def test_do_nothing_says_so_and_touches_nothing() -> None:
    """PRODUCT §6: "`DO_NOTHING`"; §7: "Every consequence downstream is a row"."""
    planned = deactivation.plan(rule("do_nothing"), employee(), [device("a")])
    assert actions(planned) == [("DO_NOTHING", "ada", "RULE_NOTHING")]


def test_a_rule_that_nobody_set_does_nothing() -> None:
    """PRODUCT §6: the behaviours are an administrator's choice; without one nothing happens."""
    planned = deactivation.plan(mdm_service_pb2.OnDeactivate(), employee(), [device("a")])
    assert actions(planned) == [("DO_NOTHING", "ada", "RULE_NOTHING")]


def test_unassign_devices_takes_each_device_and_keeps_the_employee_inactive() -> None:
    """PRODUCT §6: "`UNASSIGN_DEVICES` (devices stay enrolled, owned by nobody)"."""
    planned = deactivation.plan(rule("unassign_devices"), employee(), [device("a"), device("b")])
    assert actions(planned) == [
        ("UNASSIGN_DEVICE", "a", ""),
        ("UNASSIGN_DEVICE", "b", ""),
        ("DEACTIVATE_EMPLOYEE", "ada", ""),
    ]


def test_change_policy_gives_each_device_the_policy_and_passes_over_those_that_have_it() -> None:
    """PRODUCT §6: "`CHANGE_POLICY{policy_id}` (assigned devices get that policy …)"."""
    planned = deactivation.plan(rule("change_policy"), employee(), [device("a"), device("b", policy_id="lockdown")])
    assert actions(planned) == [
        ("CHANGE_POLICY", "a", ""),
        ("CHANGE_POLICY", "b", "UNCHANGED"),
        ("DEACTIVATE_EMPLOYEE", "ada", ""),
    ]
    assert planned[0].policy_id == "lockdown"


def test_remove_employee_unassigns_the_devices_first() -> None:
    """PRODUCT §6: "`REMOVE_EMPLOYEE` (employee gone, devices unassigned)"."""
    planned = deactivation.plan(rule("remove_employee"), employee(), [device("a")])
    assert actions(planned) == [("UNASSIGN_DEVICE", "a", ""), ("REMOVE_EMPLOYEE", "ada", "")]


def test_remove_employee_and_devices_removes_the_devices_first() -> None:
    """PRODUCT §6: "`REMOVE_EMPLOYEE_AND_DEVICES` (employee gone, devices removed from management)"."""
    planned = deactivation.plan(rule("remove_employee_and_devices"), employee(), [device("a")])
    assert actions(planned) == [("REMOVE_DEVICE", "a", ""), ("REMOVE_EMPLOYEE", "ada", "")]


@pytest.mark.parametrize("arm", ["unassign_devices", "change_policy"])
def test_an_inactive_employee_is_not_deactivated_again(arm: str) -> None:
    """PRODUCT §6: deletion "counts downstream as a deactivation", and may follow one."""
    assert actions(deactivation.plan(rule(arm), employee(active=False), [])) == [
        ("DEACTIVATE_EMPLOYEE", "ada", "UNCHANGED")
    ]


@pytest.mark.parametrize("arm", ARMS)
def test_a_user_without_an_employee_is_one_skip(arm: str) -> None:
    """PRODUCT §7: "So any role, removal or policy answers "why?""; also when there was nobody to act on."""
    planned = deactivation.plan(rule(arm), None, [])
    assert len(planned) == 1
    assert planned[0].action == arm.upper()
    assert planned[0].skip == ("RULE_NOTHING" if arm == "do_nothing" else "NO_EMPLOYEE")


@given(
    arm=st.sampled_from(ARMS),
    fleet=st.lists(
        st.tuples(st.sampled_from(["ada", "bob", ""]), st.sampled_from(["standard", "lockdown", ""]), st.integers(0, 9))
    ),
    active=st.booleans(),
)
def test_a_plan_names_each_owned_device_once_with_its_epoch_and_no_other(
    arm: str, fleet: list[tuple[str, str, int]], active: bool
) -> None:
    """PRODUCT §6: "An effect planned for a device carries the epoch it saw"; "Nobody's offboarding touches the next
    owner's laptop"."""
    devices = [
        device(str(number), owner, policy_id=policy_id, epoch=epoch)
        for number, (owner, policy_id, epoch) in enumerate(fleet)
    ]
    planned = deactivation.plan(rule(arm), employee(active), devices)
    of_devices = [effect for effect in planned if effect.target_kind == delivery_service_pb2.TARGET_KIND_DEVICE]
    owned = [] if arm == "do_nothing" else [each for each in devices if each.owner_employee_id == "ada"]
    assert [(effect.target_id, effect.assignment_epoch) for effect in of_devices] == [
        (each.device_id, each.assignment_epoch) for each in owned
    ]
    assert [effect.target_id for effect in planned if effect not in of_devices] == ["ada"]
    assert planned[-1].target_id == "ada"
