from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_EFFECT_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_DEAD_LETTER_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_STILL_POISON: _ClassVar[ErrorReason]
    ERROR_REASON_DEAD_LETTER_QUEUED: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_PAGE_TOKEN: _ClassVar[ErrorReason]
    ERROR_REASON_INVALID_VALUE: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_EFFECT_NOT_FOUND: ErrorReason
ERROR_REASON_DEAD_LETTER_NOT_FOUND: ErrorReason
ERROR_REASON_STILL_POISON: ErrorReason
ERROR_REASON_DEAD_LETTER_QUEUED: ErrorReason
ERROR_REASON_INVALID_PAGE_TOKEN: ErrorReason
ERROR_REASON_INVALID_VALUE: ErrorReason
