"""What follows for an employee and the employee's devices when the user is deactivated or deleted.

One function per arm of `rollcall.mdm.v1.OnDeactivate.behaviour`, under the arm's own name in `BEHAVIOURS`. A plan is a
value: it carries the assignment epoch that it saw of every device, and whoever applies it must refuse a device whose
epoch has moved on, so that nobody's offboarding touches the next owner's device.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.mdm.v1 import mdm_service_pb2

UNASSIGN_DEVICE = "UNASSIGN_DEVICE"
CHANGE_POLICY = "CHANGE_POLICY"
REMOVE_DEVICE = "REMOVE_DEVICE"
DEACTIVATE_EMPLOYEE = "DEACTIVATE_EMPLOYEE"
REMOVE_EMPLOYEE = "REMOVE_EMPLOYEE"

RULE_NOTHING = "RULE_NOTHING"
NO_EMPLOYEE = "NO_EMPLOYEE"
UNCHANGED = "UNCHANGED"


@dataclass(frozen=True, slots=True)
class PlannedEffect:
    """One consequence for one target, not made yet."""

    action: str
    """What is to be done, such as `UNASSIGN_DEVICE`; for a skip that concerns no target, the behaviour's name."""
    target_kind: int
    """A `rollcall.delivery.v1.TargetKind`."""
    target_id: str = ""
    """The employee's or device's id; empty when there is no target."""
    target_name: str = ""
    """The e-mail address or the serial number."""
    assignment_epoch: int = 0
    """The epoch of the device that the plan saw; 0 for an employee."""
    policy_id: str = ""
    """The policy to give; for CHANGE_POLICY only."""
    skip: str = ""
    """Why it is not to be done; empty: it is to be done."""


Behaviour = Callable[
    [mdm_service_pb2.OnDeactivate, mdm_service_pb2.Employee, Sequence[mdm_service_pb2.Device]], list[PlannedEffect]
]


def do_nothing(
    on_deactivate: mdm_service_pb2.OnDeactivate,
    employee: mdm_service_pb2.Employee,
    devices: Sequence[mdm_service_pb2.Device],
) -> list[PlannedEffect]:
    """Leave the employee and the devices as they are, and say so."""
    return [_of_employee("DO_NOTHING", employee, skip=RULE_NOTHING)]


def unassign_devices(
    on_deactivate: mdm_service_pb2.OnDeactivate,
    employee: mdm_service_pb2.Employee,
    devices: Sequence[mdm_service_pb2.Device],
) -> list[PlannedEffect]:
    """Take every device from the employee, who stays, inactive."""
    return [*(_of_device(UNASSIGN_DEVICE, device) for device in devices), _deactivation_of(employee)]


def change_policy(
    on_deactivate: mdm_service_pb2.OnDeactivate,
    employee: mdm_service_pb2.Employee,
    devices: Sequence[mdm_service_pb2.Device],
) -> list[PlannedEffect]:
    """Give every device of the employee the rule's policy; the employee stays, inactive, and keeps the devices."""
    policy_id = on_deactivate.change_policy.policy_id
    changes = [
        _of_device(CHANGE_POLICY, device, policy_id=policy_id, skip=UNCHANGED if device.policy_id == policy_id else "")
        for device in devices
    ]
    return [*changes, _deactivation_of(employee)]


def remove_employee(
    on_deactivate: mdm_service_pb2.OnDeactivate,
    employee: mdm_service_pb2.Employee,
    devices: Sequence[mdm_service_pb2.Device],
) -> list[PlannedEffect]:
    """Take every device from the employee, then remove the employee."""
    return [
        *(_of_device(UNASSIGN_DEVICE, device) for device in devices),
        _of_employee(REMOVE_EMPLOYEE, employee),
    ]


def remove_employee_and_devices(
    on_deactivate: mdm_service_pb2.OnDeactivate,
    employee: mdm_service_pb2.Employee,
    devices: Sequence[mdm_service_pb2.Device],
) -> list[PlannedEffect]:
    """Remove every device of the employee from management, then the employee."""
    return [
        *(_of_device(REMOVE_DEVICE, device) for device in devices),
        _of_employee(REMOVE_EMPLOYEE, employee),
    ]


BEHAVIOURS: Mapping[str, Behaviour] = {
    "do_nothing": do_nothing,
    "unassign_devices": unassign_devices,
    "change_policy": change_policy,
    "remove_employee": remove_employee,
    "remove_employee_and_devices": remove_employee_and_devices,
}
"""The behaviours by the name of their oneof arm."""


def plan(
    on_deactivate: mdm_service_pb2.OnDeactivate,
    employee: mdm_service_pb2.Employee | None,
    devices: Sequence[mdm_service_pb2.Device],
) -> list[PlannedEffect]:
    """Plan what a deactivation does: at least one effect, those of devices before that of the employee.

    `devices` are those that the employee owns at this moment; a device of anybody else is left out of the plan. Without
    an employee there is nothing to act on and the one effect is a skip. Raises KeyError for an arm without a function.
    """
    arm = on_deactivate.WhichOneof("behaviour") or "do_nothing"
    behaviour = BEHAVIOURS[arm]
    if employee is None:
        return [
            PlannedEffect(
                action=arm.upper(),
                target_kind=delivery_service_pb2.TARGET_KIND_EMPLOYEE,
                skip=RULE_NOTHING if arm == "do_nothing" else NO_EMPLOYEE,
            )
        ]
    owned = [
        device
        for device in devices
        if device.owner_employee_id == employee.employee_id and device.state == mdm_service_pb2.DEVICE_STATE_ENROLLED
    ]
    return behaviour(on_deactivate, employee, owned)


def _of_device(action: str, device: mdm_service_pb2.Device, *, policy_id: str = "", skip: str = "") -> PlannedEffect:
    return PlannedEffect(
        action=action,
        target_kind=delivery_service_pb2.TARGET_KIND_DEVICE,
        target_id=device.device_id,
        target_name=device.serial,
        assignment_epoch=device.assignment_epoch,
        policy_id=policy_id,
        skip=skip,
    )


def _of_employee(action: str, employee: mdm_service_pb2.Employee, *, skip: str = "") -> PlannedEffect:
    return PlannedEffect(
        action=action,
        target_kind=delivery_service_pb2.TARGET_KIND_EMPLOYEE,
        target_id=employee.employee_id,
        target_name=employee.email,
        skip=skip,
    )


def _deactivation_of(employee: mdm_service_pb2.Employee) -> PlannedEffect:
    return _of_employee(DEACTIVATE_EMPLOYEE, employee, skip="" if employee.active else UNCHANGED)
