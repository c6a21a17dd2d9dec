import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MemberType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMBER_TYPE_UNSPECIFIED: _ClassVar[MemberType]
    MEMBER_TYPE_USER: _ClassVar[MemberType]
    MEMBER_TYPE_GROUP: _ClassVar[MemberType]
MEMBER_TYPE_UNSPECIFIED: MemberType
MEMBER_TYPE_USER: MemberType
MEMBER_TYPE_GROUP: MemberType

class Member(_message.Message):
    __slots__ = ("value", "type", "display")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_FIELD_NUMBER: _ClassVar[int]
    value: str
    type: MemberType
    display: str
    def __init__(self, value: _Optional[str] = ..., type: _Optional[_Union[MemberType, str]] = ..., display: _Optional[str] = ...) -> None: ...

class MemberList(_message.Message):
    __slots__ = ("members",)
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    def __init__(self, members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ...) -> None: ...

class Group(_message.Message):
    __slots__ = ("id", "connection_id", "display_name", "external_id", "extensions", "members", "member_count", "version", "etag", "created_time", "last_modified_time")
    class ExtensionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    EXTENSIONS_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_MODIFIED_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    connection_id: str
    display_name: str
    external_id: str
    extensions: _containers.ScalarMap[str, str]
    members: _containers.RepeatedCompositeFieldContainer[Member]
    member_count: int
    version: int
    etag: str
    created_time: _timestamp_pb2.Timestamp
    last_modified_time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., connection_id: _Optional[str] = ..., display_name: _Optional[str] = ..., external_id: _Optional[str] = ..., extensions: _Optional[_Mapping[str, str]] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., member_count: _Optional[int] = ..., version: _Optional[int] = ..., etag: _Optional[str] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_modified_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ParkedMember(_message.Message):
    __slots__ = ("group_id", "group_display_name", "value", "parked_time")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    PARKED_TIME_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    group_display_name: str
    value: str
    parked_time: _timestamp_pb2.Timestamp
    def __init__(self, group_id: _Optional[str] = ..., group_display_name: _Optional[str] = ..., value: _Optional[str] = ..., parked_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
