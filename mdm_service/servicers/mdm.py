"""`rollcall.mdm.v1.MdmService`."""

from typing import Any

import grpc
from rollcall.mdm.v1 import mdm_service_pb2, mdm_service_pb2_grpc

from chassis.database import Database
from mdm_service import counts, devices, employees, policies, rules, segments
from mdm_service.directory import Directory

Context = grpc.aio.ServicerContext[Any, Any]


class MdmServicer(mdm_service_pb2_grpc.MdmServiceServicer):
    """Unpacks a request, calls one use case, packs its answer. Errors are those of the use case."""

    def __init__(self, db: Database, directory: Directory) -> None:
        self._db = db
        self._directory = directory

    async def GetRules(
        self, request: mdm_service_pb2.GetRulesRequest, context: Context
    ) -> mdm_service_pb2.GetRulesResponse:
        """Read the rules of an MDM connection."""
        found = await rules.get_rules(self._db, self._directory, request.connection_id)
        return mdm_service_pb2.GetRulesResponse(rules=found)

    async def UpdateRules(
        self, request: mdm_service_pb2.UpdateRulesRequest, context: Context
    ) -> mdm_service_pb2.UpdateRulesResponse:
        """Change the rules of an MDM connection."""
        changed = await rules.update_rules(
            self._db,
            self._directory,
            request.connection_id,
            request.on_create,
            request.on_deactivate if request.HasField("on_deactivate") else None,
        )
        return mdm_service_pb2.UpdateRulesResponse(rules=changed)

    async def ListEmployees(
        self, request: mdm_service_pb2.ListEmployeesRequest, context: Context
    ) -> mdm_service_pb2.ListEmployeesResponse:
        """List a workspace's employees by e-mail."""
        found, token = await employees.list_employees(
            self._db,
            self._directory,
            request.workspace_id,
            request.page_size,
            request.page_token,
            email_prefix=request.email_prefix,
        )
        return mdm_service_pb2.ListEmployeesResponse(employees=found, next_page_token=token)

    async def GetEmployee(
        self, request: mdm_service_pb2.GetEmployeeRequest, context: Context
    ) -> mdm_service_pb2.GetEmployeeResponse:
        """Read one employee by e-mail, or by the user that it follows."""
        found = await employees.get_employee(
            self._db, self._directory, request.workspace_id, request.email, request.user_id
        )
        return mdm_service_pb2.GetEmployeeResponse(employee=found)

    async def CreatePolicy(
        self, request: mdm_service_pb2.CreatePolicyRequest, context: Context
    ) -> mdm_service_pb2.CreatePolicyResponse:
        """Create a policy."""
        created = await policies.create_policy(self._db, self._directory, request.workspace_id, request.name)
        return mdm_service_pb2.CreatePolicyResponse(policy=created)

    async def ListPolicies(
        self, request: mdm_service_pb2.ListPoliciesRequest, context: Context
    ) -> mdm_service_pb2.ListPoliciesResponse:
        """List a workspace's policies by name."""
        found, token = await policies.list_policies(
            self._db, self._directory, request.workspace_id, request.page_size, request.page_token
        )
        return mdm_service_pb2.ListPoliciesResponse(policies=found, next_page_token=token)

    async def DeletePolicy(
        self, request: mdm_service_pb2.DeletePolicyRequest, context: Context
    ) -> mdm_service_pb2.DeletePolicyResponse:
        """Delete a policy that nothing uses."""
        await policies.delete_policy(self._db, self._directory, request.workspace_id, request.policy_id)
        return mdm_service_pb2.DeletePolicyResponse()

    async def EnrollDevice(
        self, request: mdm_service_pb2.EnrollDeviceRequest, context: Context
    ) -> mdm_service_pb2.EnrollDeviceResponse:
        """Enroll a device."""
        enrolled = await devices.enroll_device(
            self._db,
            self._directory,
            request.workspace_id,
            serial=request.serial,
            name=request.name,
            platform=request.platform,
            policy_id=request.policy_id,
            owner_email=request.owner_email,
        )
        return mdm_service_pb2.EnrollDeviceResponse(device=enrolled)

    async def ListDevices(
        self, request: mdm_service_pb2.ListDevicesRequest, context: Context
    ) -> mdm_service_pb2.ListDevicesResponse:
        """List a workspace's devices by serial number."""
        found, token = await devices.list_devices(
            self._db,
            self._directory,
            request.workspace_id,
            request.owner_email,
            request.page_size,
            request.page_token,
            serial_prefix=request.serial_prefix,
            segment_id=request.segment_id,
        )
        return mdm_service_pb2.ListDevicesResponse(devices=found, next_page_token=token)

    async def GetDevice(
        self, request: mdm_service_pb2.GetDeviceRequest, context: Context
    ) -> mdm_service_pb2.GetDeviceResponse:
        """Read one device, by id or serial number."""
        found = await devices.get_device(self._db, self._directory, request.workspace_id, request.device)
        return mdm_service_pb2.GetDeviceResponse(device=found)

    async def AssignDevice(
        self, request: mdm_service_pb2.AssignDeviceRequest, context: Context
    ) -> mdm_service_pb2.AssignDeviceResponse:
        """Give a device to an employee."""
        assigned = await devices.assign_device(
            self._db, self._directory, request.workspace_id, request.device_id, request.email
        )
        return mdm_service_pb2.AssignDeviceResponse(device=assigned)

    async def UnassignDevice(
        self, request: mdm_service_pb2.UnassignDeviceRequest, context: Context
    ) -> mdm_service_pb2.UnassignDeviceResponse:
        """Take a device from its owner."""
        unassigned = await devices.unassign_device(self._db, self._directory, request.workspace_id, request.device_id)
        return mdm_service_pb2.UnassignDeviceResponse(device=unassigned)

    async def SetDevicePolicy(
        self, request: mdm_service_pb2.SetDevicePolicyRequest, context: Context
    ) -> mdm_service_pb2.SetDevicePolicyResponse:
        """Give a device a policy."""
        changed = await devices.set_device_policy(
            self._db, self._directory, request.workspace_id, request.device_id, request.policy_id
        )
        return mdm_service_pb2.SetDevicePolicyResponse(device=changed)

    async def RemoveDevice(
        self, request: mdm_service_pb2.RemoveDeviceRequest, context: Context
    ) -> mdm_service_pb2.RemoveDeviceResponse:
        """Remove a device from management."""
        removed = await devices.remove_device(self._db, self._directory, request.workspace_id, request.device_id)
        return mdm_service_pb2.RemoveDeviceResponse(device=removed)

    async def CreateSegment(
        self, request: mdm_service_pb2.CreateSegmentRequest, context: Context
    ) -> mdm_service_pb2.CreateSegmentResponse:
        """Create a segment."""
        created = await segments.create_segment(self._db, self._directory, request.workspace_id, request.name)
        return mdm_service_pb2.CreateSegmentResponse(segment=created)

    async def ListSegments(
        self, request: mdm_service_pb2.ListSegmentsRequest, context: Context
    ) -> mdm_service_pb2.ListSegmentsResponse:
        """List a workspace's segments by name."""
        found, token = await segments.list_segments(
            self._db,
            self._directory,
            request.workspace_id,
            request.page_size,
            request.page_token,
            omit_devices=request.omit_devices,
            grantee_email=request.grantee_email,
        )
        return mdm_service_pb2.ListSegmentsResponse(segments=found, next_page_token=token)

    async def GetSegment(
        self, request: mdm_service_pb2.GetSegmentRequest, context: Context
    ) -> mdm_service_pb2.GetSegmentResponse:
        """Read one segment."""
        found = await segments.get_segment(
            self._db, self._directory, request.workspace_id, request.segment_id, omit_devices=request.omit_devices
        )
        return mdm_service_pb2.GetSegmentResponse(segment=found)

    async def AddDeviceToSegment(
        self, request: mdm_service_pb2.AddDeviceToSegmentRequest, context: Context
    ) -> mdm_service_pb2.AddDeviceToSegmentResponse:
        """Put a device into a segment."""
        changed = await segments.add_device(
            self._db, self._directory, request.workspace_id, request.segment_id, request.device_id
        )
        return mdm_service_pb2.AddDeviceToSegmentResponse(segment=changed)

    async def GrantSegment(
        self, request: mdm_service_pb2.GrantSegmentRequest, context: Context
    ) -> mdm_service_pb2.GrantSegmentResponse:
        """Let a collaborator view or manage a segment's devices."""
        changed = await segments.grant(
            self._db, self._directory, request.workspace_id, request.segment_id, request.email, request.permission
        )
        return mdm_service_pb2.GrantSegmentResponse(segment=changed)

    async def RevokeSegment(
        self, request: mdm_service_pb2.RevokeSegmentRequest, context: Context
    ) -> mdm_service_pb2.RevokeSegmentResponse:
        """End a collaborator's permission on a segment."""
        changed = await segments.revoke(
            self._db, self._directory, request.workspace_id, request.segment_id, request.email
        )
        return mdm_service_pb2.RevokeSegmentResponse(segment=changed)

    async def ListVisibleDevices(
        self, request: mdm_service_pb2.ListVisibleDevicesRequest, context: Context
    ) -> mdm_service_pb2.ListVisibleDevicesResponse:
        """List the devices that a collaborator may view or manage through segments."""
        found = await segments.list_visible_devices(self._db, self._directory, request.workspace_id, request.email)
        return mdm_service_pb2.ListVisibleDevicesResponse(devices=found)

    async def ListDeviceCommands(
        self, request: mdm_service_pb2.ListDeviceCommandsRequest, context: Context
    ) -> mdm_service_pb2.ListDeviceCommandsResponse:
        """List a device's commands, newest first."""
        found, token = await devices.list_device_commands(
            self._db,
            self._directory,
            request.workspace_id,
            request.device_id,
            request.page_size,
            request.page_token,
        )
        return mdm_service_pb2.ListDeviceCommandsResponse(device_commands=found, next_page_token=token)

    async def ReportDeviceCommand(
        self, request: mdm_service_pb2.ReportDeviceCommandRequest, context: Context
    ) -> mdm_service_pb2.ReportDeviceCommandResponse:
        """Take a device agent's report on a command."""
        reported = await devices.report_device_command(
            self._db, request.workspace_id, request.command_id, request.state, request.error
        )
        return mdm_service_pb2.ReportDeviceCommandResponse(device_command=reported)

    async def GetCounts(
        self, request: mdm_service_pb2.GetCountsRequest, context: Context
    ) -> mdm_service_pb2.GetCountsResponse:
        """Count what a workspace has, or a connection provisions."""
        return await counts.get_counts(self._db, self._directory, request.workspace_id, request.connection_id)
