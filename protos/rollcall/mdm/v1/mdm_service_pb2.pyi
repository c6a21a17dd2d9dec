import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class OnCreate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_CREATE_UNSPECIFIED: _ClassVar[OnCreate]
    ON_CREATE_NOTHING: _ClassVar[OnCreate]
    ON_CREATE_CREATE_EMPLOYEE: _ClassVar[OnCreate]

class DeviceState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_STATE_UNSPECIFIED: _ClassVar[DeviceState]
    DEVICE_STATE_ENROLLED: _ClassVar[DeviceState]
    DEVICE_STATE_REMOVED: _ClassVar[DeviceState]

class DeviceCommandKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_COMMAND_KIND_UNSPECIFIED: _ClassVar[DeviceCommandKind]
    DEVICE_COMMAND_KIND_APPLY_POLICY: _ClassVar[DeviceCommandKind]
    DEVICE_COMMAND_KIND_REMOVE: _ClassVar[DeviceCommandKind]

class DeviceCommandState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEVICE_COMMAND_STATE_UNSPECIFIED: _ClassVar[DeviceCommandState]
    DEVICE_COMMAND_STATE_PENDING: _ClassVar[DeviceCommandState]
    DEVICE_COMMAND_STATE_ACKNOWLEDGED: _ClassVar[DeviceCommandState]
    DEVICE_COMMAND_STATE_FAILED: _ClassVar[DeviceCommandState]

class SegmentPermission(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEGMENT_PERMISSION_UNSPECIFIED: _ClassVar[SegmentPermission]
    SEGMENT_PERMISSION_VIEW: _ClassVar[SegmentPermission]
    SEGMENT_PERMISSION_MANAGE: _ClassVar[SegmentPermission]
ON_CREATE_UNSPECIFIED: OnCreate
ON_CREATE_NOTHING: OnCreate
ON_CREATE_CREATE_EMPLOYEE: OnCreate
DEVICE_STATE_UNSPECIFIED: DeviceState
DEVICE_STATE_ENROLLED: DeviceState
DEVICE_STATE_REMOVED: DeviceState
DEVICE_COMMAND_KIND_UNSPECIFIED: DeviceCommandKind
DEVICE_COMMAND_KIND_APPLY_POLICY: DeviceCommandKind
DEVICE_COMMAND_KIND_REMOVE: DeviceCommandKind
DEVICE_COMMAND_STATE_UNSPECIFIED: DeviceCommandState
DEVICE_COMMAND_STATE_PENDING: DeviceCommandState
DEVICE_COMMAND_STATE_ACKNOWLEDGED: DeviceCommandState
DEVICE_COMMAND_STATE_FAILED: DeviceCommandState
SEGMENT_PERMISSION_UNSPECIFIED: SegmentPermission
SEGMENT_PERMISSION_VIEW: SegmentPermission
SEGMENT_PERMISSION_MANAGE: SegmentPermission

class DoNothing(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class UnassignDevices(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ChangePolicy(_message.Message):
    __slots__ = ("policy_id",)
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    policy_id: str
    def __init__(self, policy_id: _Optional[str] = ...) -> None: ...

class RemoveEmployee(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RemoveEmployeeAndDevices(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class OnDeactivate(_message.Message):
    __slots__ = ("do_nothing", "unassign_devices", "change_policy", "remove_employee", "remove_employee_and_devices")
    DO_NOTHING_FIELD_NUMBER: _ClassVar[int]
    UNASSIGN_DEVICES_FIELD_NUMBER: _ClassVar[int]
    CHANGE_POLICY_FIELD_NUMBER: _ClassVar[int]
    REMOVE_EMPLOYEE_FIELD_NUMBER: _ClassVar[int]
    REMOVE_EMPLOYEE_AND_DEVICES_FIELD_NUMBER: _ClassVar[int]
    do_nothing: DoNothing
    unassign_devices: UnassignDevices
    change_policy: ChangePolicy
    remove_employee: RemoveEmployee
    remove_employee_and_devices: RemoveEmployeeAndDevices
    def __init__(self, do_nothing: _Optional[_Union[DoNothing, _Mapping]] = ..., unassign_devices: _Optional[_Union[UnassignDevices, _Mapping]] = ..., change_policy: _Optional[_Union[ChangePolicy, _Mapping]] = ..., remove_employee: _Optional[_Union[RemoveEmployee, _Mapping]] = ..., remove_employee_and_devices: _Optional[_Union[RemoveEmployeeAndDevices, _Mapping]] = ...) -> None: ...

class Rules(_message.Message):
    __slots__ = ("connection_id", "on_create", "on_deactivate", "rule_version")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ON_CREATE_FIELD_NUMBER: _ClassVar[int]
    ON_DEACTIVATE_FIELD_NUMBER: _ClassVar[int]
    RULE_VERSION_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    on_create: OnCreate
    on_deactivate: OnDeactivate
    rule_version: int
    def __init__(self, connection_id: _Optional[str] = ..., on_create: _Optional[_Union[OnCreate, str]] = ..., on_deactivate: _Optional[_Union[OnDeactivate, _Mapping]] = ..., rule_version: _Optional[int] = ...) -> None: ...

class Employee(_message.Message):
    __slots__ = ("employee_id", "workspace_id", "email", "display_name", "connection_id", "user_id", "metadata", "created_time", "active")
    EMPLOYEE_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    employee_id: str
    workspace_id: str
    email: str
    display_name: str
    connection_id: str
    user_id: str
    metadata: _struct_pb2.Struct
    created_time: _timestamp_pb2.Timestamp
    active: bool
    def __init__(self, employee_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., email: _Optional[str] = ..., display_name: _Optional[str] = ..., connection_id: _Optional[str] = ..., user_id: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., active: _Optional[bool] = ...) -> None: ...

class Policy(_message.Message):
    __slots__ = ("policy_id", "workspace_id", "name", "created_time")
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    policy_id: str
    workspace_id: str
    name: str
    created_time: _timestamp_pb2.Timestamp
    def __init__(self, policy_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., name: _Optional[str] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Device(_message.Message):
    __slots__ = ("device_id", "workspace_id", "serial", "name", "platform", "policy_id", "owner_email", "owner_employee_id", "state", "assignment_epoch", "enrolled_time")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_EMAIL_FIELD_NUMBER: _ClassVar[int]
    OWNER_EMPLOYEE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ASSIGNMENT_EPOCH_FIELD_NUMBER: _ClassVar[int]
    ENROLLED_TIME_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    workspace_id: str
    serial: str
    name: str
    platform: str
    policy_id: str
    owner_email: str
    owner_employee_id: str
    state: DeviceState
    assignment_epoch: int
    enrolled_time: _timestamp_pb2.Timestamp
    def __init__(self, device_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., serial: _Optional[str] = ..., name: _Optional[str] = ..., platform: _Optional[str] = ..., policy_id: _Optional[str] = ..., owner_email: _Optional[str] = ..., owner_employee_id: _Optional[str] = ..., state: _Optional[_Union[DeviceState, str]] = ..., assignment_epoch: _Optional[int] = ..., enrolled_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class DeviceCommand(_message.Message):
    __slots__ = ("command_id", "workspace_id", "device_id", "kind", "policy_id", "state", "error", "created_time", "reported_time")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    REPORTED_TIME_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    workspace_id: str
    device_id: str
    kind: DeviceCommandKind
    policy_id: str
    state: DeviceCommandState
    error: str
    created_time: _timestamp_pb2.Timestamp
    reported_time: _timestamp_pb2.Timestamp
    def __init__(self, command_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., device_id: _Optional[str] = ..., kind: _Optional[_Union[DeviceCommandKind, str]] = ..., policy_id: _Optional[str] = ..., state: _Optional[_Union[DeviceCommandState, str]] = ..., error: _Optional[str] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reported_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SegmentGrant(_message.Message):
    __slots__ = ("email", "permission")
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    PERMISSION_FIELD_NUMBER: _ClassVar[int]
    email: str
    permission: SegmentPermission
    def __init__(self, email: _Optional[str] = ..., permission: _Optional[_Union[SegmentPermission, str]] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("segment_id", "workspace_id", "name", "device_ids", "grants", "device_count")
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DEVICE_IDS_FIELD_NUMBER: _ClassVar[int]
    GRANTS_FIELD_NUMBER: _ClassVar[int]
    DEVICE_COUNT_FIELD_NUMBER: _ClassVar[int]
    segment_id: str
    workspace_id: str
    name: str
    device_ids: _containers.RepeatedScalarFieldContainer[str]
    grants: _containers.RepeatedCompositeFieldContainer[SegmentGrant]
    device_count: int
    def __init__(self, segment_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., name: _Optional[str] = ..., device_ids: _Optional[_Iterable[str]] = ..., grants: _Optional[_Iterable[_Union[SegmentGrant, _Mapping]]] = ..., device_count: _Optional[int] = ...) -> None: ...

class GetRulesRequest(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class GetRulesResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: Rules
    def __init__(self, rules: _Optional[_Union[Rules, _Mapping]] = ...) -> None: ...

class UpdateRulesRequest(_message.Message):
    __slots__ = ("connection_id", "on_create", "on_deactivate")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ON_CREATE_FIELD_NUMBER: _ClassVar[int]
    ON_DEACTIVATE_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    on_create: OnCreate
    on_deactivate: OnDeactivate
    def __init__(self, connection_id: _Optional[str] = ..., on_create: _Optional[_Union[OnCreate, str]] = ..., on_deactivate: _Optional[_Union[OnDeactivate, _Mapping]] = ...) -> None: ...

class UpdateRulesResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: Rules
    def __init__(self, rules: _Optional[_Union[Rules, _Mapping]] = ...) -> None: ...

class ListEmployeesRequest(_message.Message):
    __slots__ = ("workspace_id", "page_size", "page_token", "email_prefix")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EMAIL_PREFIX_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    page_size: int
    page_token: str
    email_prefix: str
    def __init__(self, workspace_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., email_prefix: _Optional[str] = ...) -> None: ...

class ListEmployeesResponse(_message.Message):
    __slots__ = ("employees", "next_page_token")
    EMPLOYEES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    employees: _containers.RepeatedCompositeFieldContainer[Employee]
    next_page_token: str
    def __init__(self, employees: _Optional[_Iterable[_Union[Employee, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetEmployeeRequest(_message.Message):
    __slots__ = ("workspace_id", "email", "user_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    email: str
    user_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., email: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class GetEmployeeResponse(_message.Message):
    __slots__ = ("employee",)
    EMPLOYEE_FIELD_NUMBER: _ClassVar[int]
    employee: Employee
    def __init__(self, employee: _Optional[_Union[Employee, _Mapping]] = ...) -> None: ...

class CreatePolicyRequest(_message.Message):
    __slots__ = ("workspace_id", "name")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    name: str
    def __init__(self, workspace_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class CreatePolicyResponse(_message.Message):
    __slots__ = ("policy",)
    POLICY_FIELD_NUMBER: _ClassVar[int]
    policy: Policy
    def __init__(self, policy: _Optional[_Union[Policy, _Mapping]] = ...) -> None: ...

class ListPoliciesRequest(_message.Message):
    __slots__ = ("workspace_id", "page_size", "page_token")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    page_size: int
    page_token: str
    def __init__(self, workspace_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPoliciesResponse(_message.Message):
    __slots__ = ("policies", "next_page_token")
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    policies: _containers.RepeatedCompositeFieldContainer[Policy]
    next_page_token: str
    def __init__(self, policies: _Optional[_Iterable[_Union[Policy, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeletePolicyRequest(_message.Message):
    __slots__ = ("workspace_id", "policy_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    policy_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., policy_id: _Optional[str] = ...) -> None: ...

class DeletePolicyResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class EnrollDeviceRequest(_message.Message):
    __slots__ = ("workspace_id", "serial", "name", "platform", "policy_id", "owner_email")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_EMAIL_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    serial: str
    name: str
    platform: str
    policy_id: str
    owner_email: str
    def __init__(self, workspace_id: _Optional[str] = ..., serial: _Optional[str] = ..., name: _Optional[str] = ..., platform: _Optional[str] = ..., policy_id: _Optional[str] = ..., owner_email: _Optional[str] = ...) -> None: ...

class EnrollDeviceResponse(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: Device
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...

class ListDevicesRequest(_message.Message):
    __slots__ = ("workspace_id", "owner_email", "page_size", "page_token", "serial_prefix", "segment_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_EMAIL_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SERIAL_PREFIX_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    owner_email: str
    page_size: int
    page_token: str
    serial_prefix: str
    segment_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., owner_email: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., serial_prefix: _Optional[str] = ..., segment_id: _Optional[str] = ...) -> None: ...

class ListDevicesResponse(_message.Message):
    __slots__ = ("devices", "next_page_token")
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[Device]
    next_page_token: str
    def __init__(self, devices: _Optional[_Iterable[_Union[Device, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDeviceRequest(_message.Message):
    __slots__ = ("workspace_id", "device")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    device: str
    def __init__(self, workspace_id: _Optional[str] = ..., device: _Optional[str] = ...) -> None: ...

class GetDeviceResponse(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: Device
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...

class AssignDeviceRequest(_message.Message):
    __slots__ = ("workspace_id", "device_id", "email")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    device_id: str
    email: str
    def __init__(self, workspace_id: _Optional[str] = ..., device_id: _Optional[str] = ..., email: _Optional[str] = ...) -> None: ...

class AssignDeviceResponse(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: Device
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...

class UnassignDeviceRequest(_message.Message):
    __slots__ = ("workspace_id", "device_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    device_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., device_id: _Optional[str] = ...) -> None: ...

class UnassignDeviceResponse(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: Device
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...

class SetDevicePolicyRequest(_message.Message):
    __slots__ = ("workspace_id", "device_id", "policy_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    POLICY_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    device_id: str
    policy_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., device_id: _Optional[str] = ..., policy_id: _Optional[str] = ...) -> None: ...

class SetDevicePolicyResponse(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: Device
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...

class RemoveDeviceRequest(_message.Message):
    __slots__ = ("workspace_id", "device_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    device_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., device_id: _Optional[str] = ...) -> None: ...

class RemoveDeviceResponse(_message.Message):
    __slots__ = ("device",)
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    device: Device
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ...) -> None: ...

class CreateSegmentRequest(_message.Message):
    __slots__ = ("workspace_id", "name")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    name: str
    def __init__(self, workspace_id: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class CreateSegmentResponse(_message.Message):
    __slots__ = ("segment",)
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ...) -> None: ...

class ListSegmentsRequest(_message.Message):
    __slots__ = ("workspace_id", "page_size", "page_token", "omit_devices", "grantee_email")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    OMIT_DEVICES_FIELD_NUMBER: _ClassVar[int]
    GRANTEE_EMAIL_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    page_size: int
    page_token: str
    omit_devices: bool
    grantee_email: str
    def __init__(self, workspace_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., omit_devices: _Optional[bool] = ..., grantee_email: _Optional[str] = ...) -> None: ...

class ListSegmentsResponse(_message.Message):
    __slots__ = ("segments", "next_page_token")
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    segments: _containers.RepeatedCompositeFieldContainer[Segment]
    next_page_token: str
    def __init__(self, segments: _Optional[_Iterable[_Union[Segment, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetSegmentRequest(_message.Message):
    __slots__ = ("workspace_id", "segment_id", "omit_devices")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    OMIT_DEVICES_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    segment_id: str
    omit_devices: bool
    def __init__(self, workspace_id: _Optional[str] = ..., segment_id: _Optional[str] = ..., omit_devices: _Optional[bool] = ...) -> None: ...

class GetSegmentResponse(_message.Message):
    __slots__ = ("segment",)
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ...) -> None: ...

class AddDeviceToSegmentRequest(_message.Message):
    __slots__ = ("workspace_id", "segment_id", "device_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    segment_id: str
    device_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., segment_id: _Optional[str] = ..., device_id: _Optional[str] = ...) -> None: ...

class AddDeviceToSegmentResponse(_message.Message):
    __slots__ = ("segment",)
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ...) -> None: ...

class GrantSegmentRequest(_message.Message):
    __slots__ = ("workspace_id", "segment_id", "email", "permission")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    PERMISSION_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    segment_id: str
    email: str
    permission: SegmentPermission
    def __init__(self, workspace_id: _Optional[str] = ..., segment_id: _Optional[str] = ..., email: _Optional[str] = ..., permission: _Optional[_Union[SegmentPermission, str]] = ...) -> None: ...

class GrantSegmentResponse(_message.Message):
    __slots__ = ("segment",)
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ...) -> None: ...

class RevokeSegmentRequest(_message.Message):
    __slots__ = ("workspace_id", "segment_id", "email")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    SEGMENT_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    segment_id: str
    email: str
    def __init__(self, workspace_id: _Optional[str] = ..., segment_id: _Optional[str] = ..., email: _Optional[str] = ...) -> None: ...

class RevokeSegmentResponse(_message.Message):
    __slots__ = ("segment",)
    SEGMENT_FIELD_NUMBER: _ClassVar[int]
    segment: Segment
    def __init__(self, segment: _Optional[_Union[Segment, _Mapping]] = ...) -> None: ...

class ListVisibleDevicesRequest(_message.Message):
    __slots__ = ("workspace_id", "email")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    email: str
    def __init__(self, workspace_id: _Optional[str] = ..., email: _Optional[str] = ...) -> None: ...

class VisibleDevice(_message.Message):
    __slots__ = ("device", "permission")
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    PERMISSION_FIELD_NUMBER: _ClassVar[int]
    device: Device
    permission: SegmentPermission
    def __init__(self, device: _Optional[_Union[Device, _Mapping]] = ..., permission: _Optional[_Union[SegmentPermission, str]] = ...) -> None: ...

class ListVisibleDevicesResponse(_message.Message):
    __slots__ = ("devices",)
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    devices: _containers.RepeatedCompositeFieldContainer[VisibleDevice]
    def __init__(self, devices: _Optional[_Iterable[_Union[VisibleDevice, _Mapping]]] = ...) -> None: ...

class ListDeviceCommandsRequest(_message.Message):
    __slots__ = ("workspace_id", "device_id", "page_size", "page_token")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    device_id: str
    page_size: int
    page_token: str
    def __init__(self, workspace_id: _Optional[str] = ..., device_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDeviceCommandsResponse(_message.Message):
    __slots__ = ("device_commands", "next_page_token")
    DEVICE_COMMANDS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    device_commands: _containers.RepeatedCompositeFieldContainer[DeviceCommand]
    next_page_token: str
    def __init__(self, device_commands: _Optional[_Iterable[_Union[DeviceCommand, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class ReportDeviceCommandRequest(_message.Message):
    __slots__ = ("workspace_id", "command_id", "state", "error")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    command_id: str
    state: DeviceCommandState
    error: str
    def __init__(self, workspace_id: _Optional[str] = ..., command_id: _Optional[str] = ..., state: _Optional[_Union[DeviceCommandState, str]] = ..., error: _Optional[str] = ...) -> None: ...

class ReportDeviceCommandResponse(_message.Message):
    __slots__ = ("device_command",)
    DEVICE_COMMAND_FIELD_NUMBER: _ClassVar[int]
    device_command: DeviceCommand
    def __init__(self, device_command: _Optional[_Union[DeviceCommand, _Mapping]] = ...) -> None: ...

class GetCountsRequest(_message.Message):
    __slots__ = ("workspace_id", "connection_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    connection_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., connection_id: _Optional[str] = ...) -> None: ...

class GetCountsResponse(_message.Message):
    __slots__ = ("employees", "devices", "policies", "segments")
    EMPLOYEES_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    employees: int
    devices: int
    policies: int
    segments: int
    def __init__(self, employees: _Optional[int] = ..., devices: _Optional[int] = ..., policies: _Optional[int] = ..., segments: _Optional[int] = ...) -> None: ...
