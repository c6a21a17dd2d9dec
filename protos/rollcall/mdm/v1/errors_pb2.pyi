from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_CONNECTION_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_WRONG_PORTAL: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_VALUE: _ClassVar[ErrorReason]
    ERROR_REASON_WORKSPACE_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_EMPLOYEE_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_POLICY_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_POLICY_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_POLICY_IN_USE: _ClassVar[ErrorReason]
    ERROR_REASON_DEVICE_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_DEVICE_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_DEVICE_REMOVED: _ClassVar[ErrorReason]
    ERROR_REASON_SEGMENT_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_SEGMENT_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_GRANT_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_DEVICE_COMMAND_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_DEVICE_COMMAND_REPORTED: _ClassVar[ErrorReason]
    ERROR_REASON_DIRECTORY_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_PAGE_TOKEN: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_CONNECTION_NOT_FOUND: ErrorReason
ERROR_REASON_WRONG_PORTAL: ErrorReason
ERROR_REASON_INVALID_VALUE: ErrorReason
ERROR_REASON_WORKSPACE_NOT_FOUND: ErrorReason
ERROR_REASON_EMPLOYEE_NOT_FOUND: ErrorReason
ERROR_REASON_POLICY_NOT_FOUND: ErrorReason
ERROR_REASON_POLICY_EXISTS: ErrorReason
ERROR_REASON_POLICY_IN_USE: ErrorReason
ERROR_REASON_DEVICE_NOT_FOUND: ErrorReason
ERROR_REASON_DEVICE_EXISTS: ErrorReason
ERROR_REASON_DEVICE_REMOVED: ErrorReason
ERROR_REASON_SEGMENT_NOT_FOUND: ErrorReason
ERROR_REASON_SEGMENT_EXISTS: ErrorReason
ERROR_REASON_GRANT_NOT_FOUND: ErrorReason
ERROR_REASON_DEVICE_COMMAND_NOT_FOUND: ErrorReason
ERROR_REASON_DEVICE_COMMAND_REPORTED: ErrorReason
ERROR_REASON_DIRECTORY_UNAVAILABLE: ErrorReason
ERROR_REASON_INVALID_PAGE_TOKEN: ErrorReason
