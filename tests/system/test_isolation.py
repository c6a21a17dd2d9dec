"""Two organisations with the same people, names and identifiers never see each other."""

from __future__ import annotations

import uuid
from typing import Any

import grpc
import pytest
from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.mdm.v1 import mdm_service_pb2
from rollcall.portal.v1 import portal_service_pb2

from tests.stack import Stack, refused
from tests.system.administrator import Administrator
from tests.system.okta import PATCH_URN, OktaApp


class Organisation:
    """A workspace with the same dashboard app, people and group as any other organisation of the test."""

    def __init__(self, stack: Stack) -> None:
        self.administrator = Administrator(stack)
        self.okta = self.administrator.dashboard_app()
        self.ada = self.okta.assign("ada@example.com")
        self.bob = self.okta.assign("bob@example.com")
        self.editors = self.okta.push_group("applivery-editor", [self.ada])

    def state(self) -> dict[str, Any]:
        """Everything that another organisation could have changed."""
        administrator = self.administrator
        return {
            "ada": self.okta.user(self.ada),
            "bob": self.okta.user(self.bob),
            "editors": self.okta.group(self.editors),
            "events": administrator.stack.events(self.okta.connection),
            "collaborators": [administrator.collaborator(f"{name}@example.com") for name in ("ada", "bob")],
            "effects": administrator.effects(),
        }


def test_the_same_people_in_two_organisations_are_four_users(stack: Stack) -> None:
    """PRODUCT §1: "Nothing of one connection is reachable, matched or even hinted at through another"."""
    one, two = Organisation(stack), Organisation(stack)
    assert len({one.ada, one.bob, two.ada, two.bob}) == 4
    one.okta.deactivate(one.ada)
    assert one.administrator.collaborator("ada@example.com") is None
    assert two.administrator.role("ada@example.com") == ("EDITOR", "GROUP")
    assert two.okta.user(two.ada)["active"] is True


def test_no_id_of_one_organisation_answers_in_another(stack: Stack) -> None:
    """SECURITY, CVE-2026-92539: "two connections × every route × every id …: 404, no event"."""
    one, two = Organisation(stack), Organisation(stack)
    before = two.state()
    http = one.okta.http
    operations = {"schemas": [PATCH_URN], "Operations": [{"op": "replace", "value": {"displayName": "Taken"}}]}
    for resource, foreign in (("Users", two.ada), ("Groups", two.editors)):
        body = {"userName": "mallory@example.com", "displayName": "Taken", "members": []}
        for method, content in (("GET", None), ("PUT", body), ("PATCH", operations), ("DELETE", None)):
            answer = http.request(method, f"/{resource}/{foreign}", json=content)
            unknown = str(uuid.uuid4())
            reference = http.request(method, f"/{resource}/{unknown}", json=content)
            assert answer.status_code == reference.status_code == 404, answer.text
            assert answer.text.replace(foreign, "ID") == reference.text.replace(unknown, "ID")
        listed = http.get(f"/{resource}", params={"filter": f'id eq "{foreign}"'}).json()
        assert listed["totalResults"] == 0
    listed = http.get("/Groups", params={"filter": f'members.value eq "{two.ada}"'}).json()
    assert listed["totalResults"] == 0
    assert two.state() == before


def test_a_foreign_id_as_a_member_is_parked_and_reaches_nobody(stack: Stack) -> None:
    """PRODUCT §2: "A member value that names no user of the connection is parked … It never creates a user"."""
    one, two = Organisation(stack), Organisation(stack)
    before = two.state()
    one.okta.change_members(one.editors, add=[two.bob])
    assert [member["value"] for member in one.okta.group(one.editors)["members"]] == [one.ada]
    assert one.administrator.role("bob@example.com") == ("VIEWER", "DEFAULT")
    assert two.administrator.role("bob@example.com") == ("VIEWER", "DEFAULT")
    assert two.state() == before


def test_a_foreign_manager_or_external_id_leads_nowhere(stack: Stack) -> None:
    """SECURITY, CVE-2025-41115: "POST externalId `1`, `0`, another user's id: a new random id, nothing merges"."""
    one, two = Organisation(stack), Organisation(stack)
    before = two.state()
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    ids = {one.ada, one.bob}
    for number, external_id in enumerate(("1", "0", two.ada, one.ada)):
        created = one.okta.assign(
            f"new{number}@example.com", externalId=external_id, **{enterprise: {"manager": {"value": two.ada}}}
        )
        assert created not in {external_id, *ids}
        assert one.okta.user(created)["externalId"] == external_id
        ids.add(created)
    assert one.okta.user(one.ada)["userName"] == "ada@example.com"
    assert two.state() == before


def test_an_administrators_request_for_one_workspace_finds_nothing_of_another(stack: Stack) -> None:
    """SECURITY: "Every repository query is bound to a connection or workspace id"."""
    one, two = Administrator(stack), Administrator(stack)
    policy_id = two.create_policy("Locked")
    okta = two.mdm_app("change_policy", policy_id=policy_id)
    okta.assign("ada@example.com")
    device = two.enroll("LAPTOP", owner="ada@example.com", policy_id=policy_id)
    publication = two.publish("Timesheets")
    two.add_collaborator("ops@example.com", "ADMIN")
    okta.assign("bob@example.com")
    effect = two.effects()[0]

    foreign: dict[str, Any] = {"workspace_id": one.workspace_id}
    calls = {
        "DEVICE_NOT_FOUND": [
            lambda: stack.mdm.GetDevice(mdm_service_pb2.GetDeviceRequest(device=device.device_id, **foreign)),
            lambda: stack.mdm.GetDevice(mdm_service_pb2.GetDeviceRequest(device="LAPTOP", **foreign)),
            lambda: stack.mdm.RemoveDevice(mdm_service_pb2.RemoveDeviceRequest(device_id=device.device_id, **foreign)),
            lambda: stack.mdm.UnassignDevice(
                mdm_service_pb2.UnassignDeviceRequest(device_id=device.device_id, **foreign)
            ),
        ],
        "POLICY_NOT_FOUND": [
            lambda: stack.mdm.DeletePolicy(mdm_service_pb2.DeletePolicyRequest(policy_id=policy_id, **foreign)),
            lambda: stack.mdm.EnrollDevice(
                mdm_service_pb2.EnrollDeviceRequest(
                    serial="OTHER", name="Other", platform="ios", policy_id=policy_id, **foreign
                )
            ),
        ],
        "EMPLOYEE_NOT_FOUND": [
            lambda: stack.mdm.GetEmployee(mdm_service_pb2.GetEmployeeRequest(email="ada@example.com", **foreign))
        ],
        "COLLABORATOR_NOT_FOUND": [
            lambda: stack.portal.GetCollaborator(
                portal_service_pb2.GetCollaboratorRequest(email="ops@example.com", **foreign)
            )
        ],
        "PUBLICATION_NOT_FOUND": [
            lambda: stack.portal.DeletePublication(
                portal_service_pb2.DeletePublicationRequest(publication_id=publication.publication_id, **foreign)
            )
        ],
        "EFFECT_NOT_FOUND": [
            lambda: stack.mdm_delivery.GetEffect(
                delivery_service_pb2.GetEffectRequest(effect_id=effect.effect_id, **foreign)
            )
        ],
    }
    for reason, attempts in calls.items():
        for attempt in attempts:
            with refused() as refusals:
                attempt()
            assert (refusals[0].code, refusals[0].reason) == (grpc.StatusCode.NOT_FOUND, reason)
    assert two.device(device) == device
    assert one.effects() == []


@pytest.mark.parametrize("portal", ["store", "mdm"])
def test_the_apps_of_one_workspace_are_strangers_to_each_other(stack: Stack, portal: str) -> None:
    """PRODUCT §1: "Users and groups belong to one connection"."""
    organisation = Organisation(stack)
    other = OktaApp(stack, organisation.administrator.enable(portal))
    assert other.find("ada@example.com") is None
    assert other.http.get(f"/Users/{organisation.ada}").status_code == 404
    assert other.assign("ada@example.com") != organisation.ada
    assert other.push_group("applivery-editor") != organisation.editors
