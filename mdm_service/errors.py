"""What the MDM service refuses: one class for each thing that can happen.

    DomainError
    └── MdmError
        ├── InvalidValue
        ├── NotFound
        │   ├── WorkspaceNotFound · ConnectionNotFound · EmployeeNotFound · PolicyNotFound
        │   └── DeviceNotFound · DeviceCommandNotFound · SegmentNotFound · GrantNotFound
        ├── AlreadyExists
        │   └── PolicyExists · DeviceExists · SegmentExists
        ├── FailedPrecondition
        │   └── WrongPortal · PolicyInUse · DeviceRemoved · DeviceCommandReported
        └── DirectoryUnavailable

Each `reason` is a name of `rollcall.mdm.v1.ErrorReason` without its prefix. A page token that is not one is
`chassis.paging.InvalidPageToken` in this service's domain.
"""

from typing import ClassVar

import grpc

from chassis.errors import DomainError

DOMAIN = "mdm.rollcall"
"""The `domain` of `google.rpc.ErrorInfo`."""


class MdmError(DomainError):
    """Something that the MDM service refuses."""

    domain: ClassVar[str] = DOMAIN


class InvalidValue(MdmError):
    """A value is missing or not allowed; the message names the field and the rule."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason = "INVALID_VALUE"

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}", field=field)


class NotFound(MdmError):
    """Something does not exist where it was looked for."""

    code = grpc.StatusCode.NOT_FOUND


class WorkspaceNotFound(NotFound):
    """There is no such workspace, or it was deleted."""

    reason = "WORKSPACE_NOT_FOUND"

    def __init__(self, workspace_id: str) -> None:
        super().__init__(f"there is no workspace {workspace_id}", metadata={"workspace_id": workspace_id})


class ConnectionNotFound(NotFound):
    """There is no such connection, or it was deleted."""

    reason = "CONNECTION_NOT_FOUND"

    def __init__(self, connection_id: str) -> None:
        super().__init__(f"there is no connection {connection_id}", metadata={"connection_id": connection_id})


class EmployeeNotFound(NotFound):
    """The workspace has no employee with the e-mail address."""

    reason = "EMPLOYEE_NOT_FOUND"

    def __init__(self, email: str, user_id: str = "", *, field: str | None = None) -> None:
        who = email if email or not user_id else f"that follows user {user_id}"
        super().__init__(f"the workspace has no employee {who}", field=field)


class PolicyNotFound(NotFound):
    """The workspace has no such policy."""

    reason = "POLICY_NOT_FOUND"

    def __init__(self, policy_id: str, *, field: str | None = None) -> None:
        super().__init__(f"the workspace has no policy {policy_id}", metadata={"policy_id": policy_id}, field=field)


class DeviceNotFound(NotFound):
    """The workspace has no such device."""

    reason = "DEVICE_NOT_FOUND"

    def __init__(self, device: str) -> None:
        super().__init__(f"the workspace has no device {device}", metadata={"device": device})


class DeviceCommandNotFound(NotFound):
    """The workspace has no such device command."""

    reason = "DEVICE_COMMAND_NOT_FOUND"

    def __init__(self, command_id: str) -> None:
        super().__init__(f"the workspace has no device command {command_id}", metadata={"command_id": command_id})


class SegmentNotFound(NotFound):
    """The workspace has no such segment."""

    reason = "SEGMENT_NOT_FOUND"

    def __init__(self, segment_id: str) -> None:
        super().__init__(f"the workspace has no segment {segment_id}", metadata={"segment_id": segment_id})


class GrantNotFound(NotFound):
    """The collaborator has no permission on the segment."""

    reason = "GRANT_NOT_FOUND"

    def __init__(self, segment_id: str, email: str) -> None:
        super().__init__(f"{email} has no permission on segment {segment_id}", metadata={"segment_id": segment_id})


class AlreadyExists(MdmError):
    """Something of that name or number exists already."""

    code = grpc.StatusCode.ALREADY_EXISTS


class PolicyExists(AlreadyExists):
    """The workspace has a policy of that name; names are compared without case."""

    reason = "POLICY_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"name: the workspace has a policy named {name}", field="name")


class DeviceExists(AlreadyExists):
    """The serial number is enrolled in the workspace."""

    reason = "DEVICE_EXISTS"

    def __init__(self, serial: str) -> None:
        super().__init__(f"serial: {serial} is enrolled in the workspace", field="serial")


class SegmentExists(AlreadyExists):
    """The workspace has a segment of that name; names are compared without case."""

    reason = "SEGMENT_EXISTS"

    def __init__(self, name: str) -> None:
        super().__init__(f"name: the workspace has a segment named {name}", field="name")


class FailedPrecondition(MdmError):
    """The state of something does not allow the change."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class WrongPortal(FailedPrecondition):
    """The connection belongs to another portal."""

    reason = "WRONG_PORTAL"

    def __init__(self, connection_id: str, portal: str) -> None:
        super().__init__(
            f"connection {connection_id} belongs to the portal {portal}, not to MDM",
            metadata={"connection_id": connection_id, "portal": portal},
            field="connection_id",
        )


class PolicyInUse(FailedPrecondition):
    """A rule or an enrolled device uses the policy; the message names what does."""

    reason = "POLICY_IN_USE"

    def __init__(self, policy_id: str, *users: str) -> None:
        used_by = " and by ".join(user for user in users if user)
        super().__init__(f"policy {policy_id} is used by {used_by}", metadata={"policy_id": policy_id})


class DeviceRemoved(FailedPrecondition):
    """The device is not under management any more."""

    reason = "DEVICE_REMOVED"

    def __init__(self, device_id: str) -> None:
        super().__init__(f"device {device_id} was removed from management", metadata={"device_id": device_id})


class DeviceCommandReported(FailedPrecondition):
    """The device reported otherwise on the command before."""

    reason = "DEVICE_COMMAND_REPORTED"

    def __init__(self, command_id: str, state: str) -> None:
        super().__init__(
            f"device command {command_id} was reported {state} before and stays so", metadata={"command_id": command_id}
        )


class DirectoryUnavailable(MdmError):
    """The directory did not answer; the same call may succeed later."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "DIRECTORY_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the directory did not answer; try again")
