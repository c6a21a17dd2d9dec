"""What the console may call: what a person does in it, and nothing of an identity provider, a device or an operator."""

from __future__ import annotations

from google.protobuf.descriptor import ServiceDescriptor
from rollcall.audit.v1 import audit_service_pb2
from rollcall.directory.v1 import (
    administrator_service_pb2,
    connection_service_pb2,
    directory_service_pb2,
    provisioning_log_service_pb2,
)

from chassis.auth import CONSOLE, MethodPolicy
from directory_service.server import method_policy as directory_policy
from mdm_service.access import SERVICES as MDM_SERVICES
from mdm_service.access import policy as mdm_policy
from portal_service.access import SERVICES as PORTAL_SERVICES
from portal_service.access import method_policy as portal_policy

DIRECTORY_SERVICES = (
    directory_service_pb2.DESCRIPTOR.services_by_name["DirectoryService"],
    connection_service_pb2.DESCRIPTOR.services_by_name["ConnectionService"],
    administrator_service_pb2.DESCRIPTOR.services_by_name["AdministratorService"],
    provisioning_log_service_pb2.DESCRIPTOR.services_by_name["ProvisioningLogService"],
    audit_service_pb2.DESCRIPTOR.services_by_name["AuditService"],
)
OF_OTHERS = {
    # An identity provider's, by the gateway, and what goes through a whole directory.
    "CreateUser", "UpdateUser", "PatchUser", "DeleteUser", "CreateGroup", "UpdateGroup", "PatchGroup", "DeleteGroup",
    "BulkWrite", "CheckToken", "RecordProvisioningLogEntries", "StreamSnapshot", "ReplayEvents",
    # A device's agent's.
    "ReportDeviceCommand",
    # An operator's at a terminal.
    "Reconcile", "Verify",
}  # fmt: skip


def denied(policy: MethodPolicy, services: tuple[ServiceDescriptor, ...]) -> set[str]:
    """The methods that the console may not call."""
    return {
        method.name
        for service in services
        for method in service.methods
        if CONSOLE not in policy.allowed(f"/{service.full_name}/{method.name}")
    }


def test_the_console_may_do_what_a_person_does_in_it_and_no_more() -> None:
    """SECURITY: "certificate SAN → allowed methods, default deny"; each new method is put on one side."""
    found = denied(directory_policy(), DIRECTORY_SERVICES)
    found |= denied(portal_policy(), PORTAL_SERVICES) | denied(mdm_policy(), MDM_SERVICES)
    assert found == OF_OTHERS


def test_nobody_else_may_open_or_look_at_a_session() -> None:
    """The contract: "What signs somebody in needs the console's identity"."""
    policy = directory_policy()
    names = ("SignIn", "SignInWithOpenId", "GetSignInLink", "RedeemSignInLink", "GetSession", "SignOut")
    service = DIRECTORY_SERVICES[2].full_name
    assert {name: policy.allowed(f"/{service}/{name}") for name in names} == dict.fromkeys(names, frozenset({CONSOLE}))
