"""Leavers of the MDM app: the five behaviours, devices that changed hands, and what no other app may touch."""

from __future__ import annotations

import pytest
from rollcall.mdm.v1 import mdm_service_pb2

from tests.stack import eventually, refused
from tests.system.administrator import Administrator
from tests.system.okta import OktaApp

BEHAVIOURS = ("do_nothing", "unassign_devices", "change_policy", "remove_employee", "remove_employee_and_devices")
ENROLLED, REMOVED = mdm_service_pb2.DEVICE_STATE_ENROLLED, mdm_service_pb2.DEVICE_STATE_REMOVED


class Fleet:
    """Ada's laptop and phone, a phone that Ada passed on to Bob, and a device of nobody, under one behaviour."""

    def __init__(self, administrator: Administrator, behaviour: str) -> None:
        self.administrator = administrator
        self.standard = administrator.create_policy("Standard")
        self.locked = administrator.create_policy("Locked")
        parameters = {"policy_id": self.locked} if behaviour == "change_policy" else {}
        self.okta = administrator.mdm_app(behaviour, **parameters)
        self.ada = self.okta.assign("ada@example.com")
        self.bob = self.okta.assign("bob@example.com")
        self.laptop = administrator.enroll("LAPTOP", owner="ada@example.com", policy_id=self.standard)
        self.phone = administrator.enroll("PHONE", owner="ada@example.com", policy_id=self.standard)
        passed_on = administrator.enroll("PASSED-ON", owner="ada@example.com", policy_id=self.standard)
        self.passed_on = administrator.assign_device(passed_on, "bob@example.com")
        self.spare = administrator.enroll("SPARE", policy_id=self.standard)


def test_every_behaviour_of_the_contract_is_tested_here() -> None:
    """PRODUCT §6: "on deactivate, five behaviours"."""
    oneof = mdm_service_pb2.OnDeactivate.DESCRIPTOR.oneofs_by_name["behaviour"]
    assert tuple(field.name for field in oneof.fields) == BEHAVIOURS


@pytest.mark.parametrize("leaving", ["deactivated", "deleted"])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_leaver_leaves_by_the_rule_and_the_next_owner_keeps_the_device(
    administrator: Administrator, behaviour: str, leaving: str
) -> None:
    """PRODUCT §6: the five behaviours; "Nobody's offboarding touches the next owner's laptop"."""
    fleet = Fleet(administrator, behaviour)
    assert fleet.passed_on.assignment_epoch > fleet.laptop.assignment_epoch
    if leaving == "deleted":
        fleet.okta.delete_user(fleet.ada)
    else:
        fleet.okta.deactivate(fleet.ada)

    keeps = behaviour in ("do_nothing", "change_policy")
    for device in (fleet.laptop, fleet.phone):
        now = administrator.device(device)
        assert now.owner_email == ("ada@example.com" if keeps else "")
        assert now.state == (REMOVED if behaviour == "remove_employee_and_devices" else ENROLLED)
        if behaviour != "remove_employee_and_devices":
            assert now.policy_id == (fleet.locked if behaviour == "change_policy" else fleet.standard)
        assert (now.assignment_epoch > device.assignment_epoch) is not keeps
    employee = administrator.mdm_employee("ada@example.com")
    assert (employee is None) is behaviour.startswith("remove_employee")
    if behaviour in ("unassign_devices", "change_policy"):
        assert employee is not None
        assert not employee.active

    assert administrator.device(fleet.passed_on) == fleet.passed_on
    assert administrator.device(fleet.spare) == fleet.spare
    touched = {effect.target_name for effect in administrator.effects("mdm", outcome="APPLIED")}
    assert touched.isdisjoint({"PASSED-ON", "SPARE"})


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [("change_policy", "APPLY_POLICY"), ("remove_employee_and_devices", "REMOVE")],
)
def test_what_must_reach_a_device_becomes_a_command_and_is_tracked(
    administrator: Administrator, behaviour: str, expected: str
) -> None:
    """PRODUCT §6: "What must reach a physical device becomes a device command … tracked to acknowledged or failed"."""
    fleet = Fleet(administrator, behaviour)
    before = administrator.commands(fleet.laptop)
    fleet.okta.deactivate(fleet.ada)
    assert administrator.commands(fleet.laptop) == [*before, expected]
    assert administrator.commands(fleet.passed_on) == administrator.commands(fleet.spare)

    stack, workspace_id = administrator.stack, administrator.workspace_id
    listing = mdm_service_pb2.ListDeviceCommandsRequest(workspace_id=workspace_id, device_id=fleet.laptop.device_id)
    command = stack.mdm.ListDeviceCommands(listing).device_commands[0]
    assert command.state == mdm_service_pb2.DEVICE_COMMAND_STATE_PENDING
    report = mdm_service_pb2.ReportDeviceCommandRequest(
        workspace_id=workspace_id,
        command_id=command.command_id,
        state=mdm_service_pb2.DEVICE_COMMAND_STATE_FAILED,
        error="the disk is full",
    )
    reported = stack.mdm.ReportDeviceCommand(report).device_command
    assert (reported.state, reported.error) == (mdm_service_pb2.DEVICE_COMMAND_STATE_FAILED, "the disk is full")
    assert stack.mdm.ReportDeviceCommand(report).device_command == reported
    report.state = mdm_service_pb2.DEVICE_COMMAND_STATE_ACKNOWLEDGED
    report.error = ""
    with refused() as refusals:
        stack.mdm.ReportDeviceCommand(report)
    assert refusals[0].reason == "DEVICE_COMMAND_REPORTED"


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
def test_a_rejoiner_is_an_employee_again_and_devices_keep_what_they_have(
    administrator: Administrator, behaviour: str
) -> None:
    """PRODUCT §6: "then reactivating restores the employee; devices keep what they have until someone … changes it"."""
    fleet = Fleet(administrator, behaviour)
    fleet.okta.deactivate(fleet.ada)
    before = [administrator.device(device) for device in (fleet.laptop, fleet.phone, fleet.passed_on)]
    fleet.okta.reactivate(fleet.ada)
    employee = administrator.mdm_employee("ada@example.com")
    assert employee is not None
    assert employee.active
    assert employee.user_id == fleet.ada
    assert [administrator.device(device) for device in (fleet.laptop, fleet.phone, fleet.passed_on)] == before


def test_leaving_the_dashboard_or_the_store_never_touches_devices(administrator: Administrator) -> None:
    """PRODUCT §1: "leaving the Dashboard app must never touch devices governed by the MDM app"."""
    fleet = Fleet(administrator, "remove_employee_and_devices")
    dashboard, store = administrator.dashboard_app(), administrator.store_app()
    users: list[tuple[OktaApp, str]] = [(app, app.assign("ada@example.com")) for app in (dashboard, store)]
    assert administrator.collaborator("ada@example.com") is not None
    assert administrator.store_employee("ada@example.com") is not None
    before = [administrator.device(device) for device in (fleet.laptop, fleet.phone, fleet.passed_on, fleet.spare)]
    effects = administrator.effects("mdm")

    for app, user_id in users:
        app.deactivate(user_id)
        app.delete_user(user_id)
    assert administrator.collaborator("ada@example.com") is None
    assert administrator.store_employee("ada@example.com") is None
    after = [administrator.device(device) for device in (fleet.laptop, fleet.phone, fleet.passed_on, fleet.spare)]
    assert after == before
    assert administrator.mdm_employee("ada@example.com") is not None
    assert administrator.effects("mdm") == effects


def test_leaving_the_mdm_app_never_touches_the_dashboard_or_the_store(administrator: Administrator) -> None:
    """PRODUCT §1: "Nothing of one connection is reachable, matched or even hinted at through another"."""
    fleet = Fleet(administrator, "remove_employee")
    administrator.dashboard_app().assign("ada@example.com")
    administrator.store_app().assign("ada@example.com")
    fleet.okta.delete_user(fleet.ada)
    assert administrator.mdm_employee("ada@example.com") is None
    assert administrator.role("ada@example.com") == ("VIEWER", "DEFAULT")
    assert administrator.store_employee("ada@example.com") is not None


def test_groups_pushed_over_scim_change_no_segment(administrator: Administrator) -> None:
    """PRODUCT §6: "Nothing that arrives over SCIM changes them"; §4: "Role mapping governs the dashboard alone"."""
    fleet = Fleet(administrator, "change_policy")
    stack, workspace_id = administrator.stack, administrator.workspace_id
    segment = stack.mdm.CreateSegment(
        mdm_service_pb2.CreateSegmentRequest(workspace_id=workspace_id, name="applivery-admin")
    ).segment
    stack.mdm.AddDeviceToSegment(
        mdm_service_pb2.AddDeviceToSegmentRequest(
            workspace_id=workspace_id, segment_id=segment.segment_id, device_id=fleet.laptop.device_id
        )
    )
    stack.mdm.GrantSegment(
        mdm_service_pb2.GrantSegmentRequest(
            workspace_id=workspace_id,
            segment_id=segment.segment_id,
            email="ops@example.com",
            permission=mdm_service_pb2.SEGMENT_PERMISSION_VIEW,
        )
    )
    segments = mdm_service_pb2.ListSegmentsRequest(workspace_id=workspace_id)
    before = stack.mdm.ListSegments(segments).segments
    dashboard = administrator.dashboard_app()
    for app in (dashboard, fleet.okta):
        app.push_group("applivery-admin", [app.assign("bob@example.com")])
    assert administrator.role("bob@example.com") == ("ADMIN", "GROUP")
    assert stack.mdm.ListSegments(segments).segments == before

    def visible(email: str) -> list[str]:
        request = mdm_service_pb2.ListVisibleDevicesRequest(workspace_id=workspace_id, email=email)
        return [item.device.serial for item in stack.mdm.ListVisibleDevices(request).devices]

    assert visible("ops@example.com") == ["LAPTOP"]
    assert visible("bob@example.com") == []


def test_an_effect_follows_the_answer_at_once(administrator: Administrator) -> None:
    """TARGETS: "SCIM reply → effect committed in portal and MDM: p50 ≤ 20 ms"; here: without any other push."""
    fleet = Fleet(administrator, "unassign_devices")
    fleet.okta.deactivate(fleet.ada)
    request = mdm_service_pb2.GetDeviceRequest(workspace_id=administrator.workspace_id, device="LAPTOP")
    eventually(lambda: administrator.stack.mdm.GetDevice(request).device.owner_email == "", timeout=2)
