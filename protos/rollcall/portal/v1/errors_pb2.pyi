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
    ERROR_REASON_COLLABORATOR_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_COLLABORATOR_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_LAST_ADMIN: _ClassVar[ErrorReason]
    ERROR_REASON_EMPLOYEE_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_PUBLICATION_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_PUBLICATION_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_GROUP_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_ROLE_MAPPING_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_DIRECTORY_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_PAGE_TOKEN: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_CONNECTION_NOT_FOUND: ErrorReason
ERROR_REASON_WRONG_PORTAL: ErrorReason
ERROR_REASON_INVALID_VALUE: ErrorReason
ERROR_REASON_WORKSPACE_NOT_FOUND: ErrorReason
ERROR_REASON_COLLABORATOR_NOT_FOUND: ErrorReason
ERROR_REASON_COLLABORATOR_EXISTS: ErrorReason
ERROR_REASON_LAST_ADMIN: ErrorReason
ERROR_REASON_EMPLOYEE_NOT_FOUND: ErrorReason
ERROR_REASON_PUBLICATION_NOT_FOUND: ErrorReason
ERROR_REASON_PUBLICATION_EXISTS: ErrorReason
ERROR_REASON_GROUP_NOT_FOUND: ErrorReason
ERROR_REASON_ROLE_MAPPING_NOT_FOUND: ErrorReason
ERROR_REASON_DIRECTORY_UNAVAILABLE: ErrorReason
ERROR_REASON_INVALID_PAGE_TOKEN: ErrorReason
