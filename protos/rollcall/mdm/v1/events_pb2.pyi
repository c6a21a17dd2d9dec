from rollcall.mdm.v1 import mdm_service_pb2 as _mdm_service_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DeviceCommandIssued(_message.Message):
    __slots__ = ("command", "serial")
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    command: _mdm_service_pb2.DeviceCommand
    serial: str
    def __init__(self, command: _Optional[_Union[_mdm_service_pb2.DeviceCommand, _Mapping]] = ..., serial: _Optional[str] = ...) -> None: ...
