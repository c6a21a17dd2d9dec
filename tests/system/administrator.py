"""An administrator of one workspace as the journeys see them: sets rules, enrolls devices, asks who has what."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import grpc
from google.protobuf import duration_pb2, json_format
from rollcall.delivery.v1 import delivery_service_pb2
from rollcall.mdm.v1 import mdm_service_pb2
from rollcall.portal.v1 import portal_service_pb2

from tests.stack import Connection, Stack
from tests.system.okta import OktaApp


class Administrator:
    """A new workspace and its administration over gRPC. Reads that depend on events settle first."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.workspace_id = stack.create_workspace()

    def enable(self, portal: str) -> Connection:
        """Enable SCIM on a portal."""
        return self.stack.enable(self.workspace_id, portal)

    # -- the apps with their usual rules ------------------------------------------------------------------------------

    def dashboard_app(
        self,
        *,
        default_role: str = "VIEWER",
        role_mode: str = "FIRST_PROVISIONING",
        settling_seconds: int = 3600,
        on_deactivate: str = "REMOVE_COLLABORATOR",
    ) -> OktaApp:
        """A dashboard app whose users become collaborators."""
        connection = self.enable("dashboard")
        self.stack.portal.UpdateRules(
            portal_service_pb2.UpdateRulesRequest(
                connection_id=connection.connection_id,
                on_create=portal_service_pb2.ON_CREATE_CREATE_COLLABORATOR,
                on_deactivate=portal_service_pb2.OnDeactivate.Value(f"ON_DEACTIVATE_{on_deactivate}"),
                default_role=portal_service_pb2.Role.Value(f"ROLE_{default_role}"),
                role_mode=portal_service_pb2.RoleMode.Value(f"ROLE_MODE_{role_mode}"),
                settling_period=duration_pb2.Duration(seconds=settling_seconds),
            )
        )
        return OktaApp(self.stack, connection)

    def store_app(self) -> OktaApp:
        """A store app whose users become employees and stop being them."""
        connection = self.enable("store")
        self.stack.portal.UpdateRules(
            portal_service_pb2.UpdateRulesRequest(
                connection_id=connection.connection_id,
                on_create=portal_service_pb2.ON_CREATE_CREATE_EMPLOYEE,
                on_deactivate=portal_service_pb2.ON_DEACTIVATE_REMOVE_EMPLOYEE,
            )
        )
        return OktaApp(self.stack, connection)

    def mdm_app(self, on_deactivate: str = "do_nothing", **parameters: str) -> OktaApp:
        """An MDM app whose users become employees; `on_deactivate` is one of the five behaviours."""
        connection = self.enable("mdm")
        request = mdm_service_pb2.UpdateRulesRequest()
        json_format.ParseDict(
            {
                "connection_id": connection.connection_id,
                "on_create": "ON_CREATE_CREATE_EMPLOYEE",
                "on_deactivate": {on_deactivate: parameters},
            },
            request,
        )
        self.stack.mdm.UpdateRules(request)
        return OktaApp(self.stack, connection)

    # -- collaborators, employees, publications -----------------------------------------------------------------------

    def map_role(self, connection: Connection, group: str, role: str) -> portal_service_pb2.Rules:
        """Map a group's name to a role."""
        return self.stack.portal.MapRole(
            portal_service_pb2.MapRoleRequest(
                connection_id=connection.connection_id, group=group, role=portal_service_pb2.Role.Value(f"ROLE_{role}")
            )
        ).rules

    def add_collaborator(self, email: str, role: str) -> portal_service_pb2.Collaborator:
        """Add a collaborator by hand."""
        return self.stack.portal.CreateCollaborator(
            portal_service_pb2.CreateCollaboratorRequest(
                workspace_id=self.workspace_id, email=email, role=portal_service_pb2.Role.Value(f"ROLE_{role}")
            )
        ).collaborator

    def set_role(self, email: str, role: str) -> portal_service_pb2.Collaborator:
        """Give a collaborator a role by hand."""
        return self.stack.portal.SetCollaboratorRole(
            portal_service_pb2.SetCollaboratorRoleRequest(
                workspace_id=self.workspace_id, email=email, role=portal_service_pb2.Role.Value(f"ROLE_{role}")
            )
        ).collaborator

    def collaborator(self, email: str) -> portal_service_pb2.Collaborator | None:
        """A collaborator once everything has settled, or None."""
        request = portal_service_pb2.GetCollaboratorRequest(workspace_id=self.workspace_id, email=email)
        return self._settled(lambda: self.stack.portal.GetCollaborator(request).collaborator)

    def role(self, email: str) -> tuple[str, str] | None:
        """A collaborator's role and where it came from, such as ("EDITOR", "GROUP"), or None."""
        found = self.collaborator(email)
        if found is None:
            return None
        return (
            portal_service_pb2.Role.Name(found.role).removeprefix("ROLE_"),
            portal_service_pb2.RoleSource.Name(found.role_source).removeprefix("ROLE_SOURCE_"),
        )

    def store_employee(self, email: str) -> portal_service_pb2.Employee | None:
        """An employee of the store, or None."""
        request = portal_service_pb2.GetEmployeeRequest(workspace_id=self.workspace_id, email=email)
        return self._settled(lambda: self.stack.portal.GetEmployee(request).employee)

    def publish(self, name: str, audience: Iterable[str] = ()) -> portal_service_pb2.Publication:
        """Offer an app in the store."""
        return self.stack.portal.CreatePublication(
            portal_service_pb2.CreatePublicationRequest(workspace_id=self.workspace_id, name=name, audience=audience)
        ).publication

    def sees(self, email: str) -> list[str]:
        """The names of the publications that an employee sees."""
        self.stack.settled()
        request = portal_service_pb2.ListVisiblePublicationsRequest(workspace_id=self.workspace_id, email=email)
        return [item.name for item in self.stack.portal.ListVisiblePublications(request).publications]

    def may_see(self, email: str, publication: portal_service_pb2.Publication) -> bool:
        """Whether an employee may see one publication."""
        self.stack.settled()
        request = portal_service_pb2.CheckPublicationAccessRequest(
            workspace_id=self.workspace_id, publication_id=publication.publication_id, email=email
        )
        return bool(self.stack.portal.CheckPublicationAccess(request).allowed)

    # -- devices ------------------------------------------------------------------------------------------------------

    def create_policy(self, name: str) -> str:
        """Create a policy; returns its id."""
        request = mdm_service_pb2.CreatePolicyRequest(workspace_id=self.workspace_id, name=name)
        return str(self.stack.mdm.CreatePolicy(request).policy.policy_id)

    def enroll(self, serial: str, *, owner: str = "", policy_id: str = "") -> mdm_service_pb2.Device:
        """Enroll a device, once everything has settled so that its owner is there."""
        self.stack.settled()
        return self.stack.mdm.EnrollDevice(
            mdm_service_pb2.EnrollDeviceRequest(
                workspace_id=self.workspace_id,
                serial=serial,
                name=f"{serial} of {owner or 'nobody'}",
                platform="macos",
                policy_id=policy_id,
                owner_email=owner,
            )
        ).device

    def assign_device(self, device: mdm_service_pb2.Device, email: str) -> mdm_service_pb2.Device:
        """Give a device to an employee."""
        self.stack.settled()
        return self.stack.mdm.AssignDevice(
            mdm_service_pb2.AssignDeviceRequest(workspace_id=self.workspace_id, device_id=device.device_id, email=email)
        ).device

    def device(self, device: mdm_service_pb2.Device) -> mdm_service_pb2.Device:
        """A device as it is once everything has settled."""
        self.stack.settled()
        request = mdm_service_pb2.GetDeviceRequest(workspace_id=self.workspace_id, device=device.device_id)
        return self.stack.mdm.GetDevice(request).device

    def commands(self, device: mdm_service_pb2.Device) -> list[str]:
        """The kinds of the commands sent to a device, oldest first."""
        self.stack.settled()
        request = mdm_service_pb2.ListDeviceCommandsRequest(workspace_id=self.workspace_id, device_id=device.device_id)
        commands = self.stack.mdm.ListDeviceCommands(request).device_commands
        kinds = (mdm_service_pb2.DeviceCommandKind.Name(command.kind) for command in reversed(commands))
        return [kind.removeprefix("DEVICE_COMMAND_KIND_") for kind in kinds]

    def mdm_employee(self, email: str) -> mdm_service_pb2.Employee | None:
        """An employee of device management, or None."""
        request = mdm_service_pb2.GetEmployeeRequest(workspace_id=self.workspace_id, email=email)
        return self._settled(lambda: self.stack.mdm.GetEmployee(request).employee)

    # -- evidence -----------------------------------------------------------------------------------------------------

    def effects(self, service: str | None = None, **wanted: str) -> list[delivery_service_pb2.Effect]:
        """The workspace's effects, oldest first, once everything has settled; `wanted` filters by fields."""
        self.stack.settled()
        return [
            effect
            for effect in self.stack.effects(self.workspace_id, service)
            if all(self._field(effect, name) == value for name, value in wanted.items())
        ]

    @staticmethod
    def _field(effect: delivery_service_pb2.Effect, name: str) -> str:
        if name == "outcome":
            return delivery_service_pb2.Outcome.Name(effect.outcome).removeprefix("OUTCOME_")
        return str(getattr(effect, name))

    def _settled(self, call: Callable[[], Any]) -> Any:
        self.stack.settled()
        try:
            return call()
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return None
