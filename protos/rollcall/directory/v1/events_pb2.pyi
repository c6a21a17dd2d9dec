from rollcall.directory.v1 import group_pb2 as _group_pb2
from rollcall.directory.v1 import user_pb2 as _user_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Origin(_message.Message):
    __slots__ = ("connection_id", "workspace_id", "portal")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PORTAL_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    workspace_id: str
    portal: str
    def __init__(self, connection_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., portal: _Optional[str] = ...) -> None: ...

class UserCreated(_message.Message):
    __slots__ = ("origin", "user")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    user: _user_pb2.User
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ..., user: _Optional[_Union[_user_pb2.User, _Mapping]] = ...) -> None: ...

class UserUpdated(_message.Message):
    __slots__ = ("origin", "user")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    user: _user_pb2.User
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ..., user: _Optional[_Union[_user_pb2.User, _Mapping]] = ...) -> None: ...

class UserDeactivated(_message.Message):
    __slots__ = ("origin", "user")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    user: _user_pb2.User
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ..., user: _Optional[_Union[_user_pb2.User, _Mapping]] = ...) -> None: ...

class UserReactivated(_message.Message):
    __slots__ = ("origin", "user")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    user: _user_pb2.User
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ..., user: _Optional[_Union[_user_pb2.User, _Mapping]] = ...) -> None: ...

class UserDeleted(_message.Message):
    __slots__ = ("origin", "user")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    user: _user_pb2.User
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ..., user: _Optional[_Union[_user_pb2.User, _Mapping]] = ...) -> None: ...

class GroupCreated(_message.Message):
    __slots__ = ("origin", "group")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    group: _group_pb2.Group
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ..., group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ...) -> None: ...

class GroupUpdated(_message.Message):
    __slots__ = ("origin", "group")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    group: _group_pb2.Group
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ..., group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ...) -> None: ...

class GroupMembersChanged(_message.Message):
    __slots__ = ("origin", "group", "added", "removed")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    ADDED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    group: _group_pb2.Group
    added: _containers.RepeatedCompositeFieldContainer[_group_pb2.Member]
    removed: _containers.RepeatedCompositeFieldContainer[_group_pb2.Member]
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ..., group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ..., added: _Optional[_Iterable[_Union[_group_pb2.Member, _Mapping]]] = ..., removed: _Optional[_Iterable[_Union[_group_pb2.Member, _Mapping]]] = ...) -> None: ...

class GroupDeleted(_message.Message):
    __slots__ = ("origin", "group")
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    group: _group_pb2.Group
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ..., group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ...) -> None: ...

class ConnectionEnabled(_message.Message):
    __slots__ = ("origin",)
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ...) -> None: ...

class ConnectionDisabled(_message.Message):
    __slots__ = ("origin",)
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ...) -> None: ...

class ConnectionDeleted(_message.Message):
    __slots__ = ("origin",)
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ...) -> None: ...

class WorkspaceDeleted(_message.Message):
    __slots__ = ("origin",)
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    origin: Origin
    def __init__(self, origin: _Optional[_Union[Origin, _Mapping]] = ...) -> None: ...
