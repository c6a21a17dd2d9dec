import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AdministratorState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ADMINISTRATOR_STATE_UNSPECIFIED: _ClassVar[AdministratorState]
    ADMINISTRATOR_STATE_ENABLED: _ClassVar[AdministratorState]
    ADMINISTRATOR_STATE_DISABLED: _ClassVar[AdministratorState]
ADMINISTRATOR_STATE_UNSPECIFIED: AdministratorState
ADMINISTRATOR_STATE_ENABLED: AdministratorState
ADMINISTRATOR_STATE_DISABLED: AdministratorState

class Administrator(_message.Message):
    __slots__ = ("administrator_id", "email", "name", "state", "has_password", "openid_issuer", "created_time", "last_sign_in_time")
    ADMINISTRATOR_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HAS_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    OPENID_ISSUER_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_SIGN_IN_TIME_FIELD_NUMBER: _ClassVar[int]
    administrator_id: str
    email: str
    name: str
    state: AdministratorState
    has_password: bool
    openid_issuer: str
    created_time: _timestamp_pb2.Timestamp
    last_sign_in_time: _timestamp_pb2.Timestamp
    def __init__(self, administrator_id: _Optional[str] = ..., email: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[_Union[AdministratorState, str]] = ..., has_password: _Optional[bool] = ..., openid_issuer: _Optional[str] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_sign_in_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("session_token", "expire_time")
    SESSION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    session_token: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, session_token: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class CreateAdministratorRequest(_message.Message):
    __slots__ = ("email", "name", "password")
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    email: str
    name: str
    password: str
    def __init__(self, email: _Optional[str] = ..., name: _Optional[str] = ..., password: _Optional[str] = ...) -> None: ...

class CreateAdministratorResponse(_message.Message):
    __slots__ = ("administrator",)
    ADMINISTRATOR_FIELD_NUMBER: _ClassVar[int]
    administrator: Administrator
    def __init__(self, administrator: _Optional[_Union[Administrator, _Mapping]] = ...) -> None: ...

class GetAdministratorRequest(_message.Message):
    __slots__ = ("administrator",)
    ADMINISTRATOR_FIELD_NUMBER: _ClassVar[int]
    administrator: str
    def __init__(self, administrator: _Optional[str] = ...) -> None: ...

class GetAdministratorResponse(_message.Message):
    __slots__ = ("administrator",)
    ADMINISTRATOR_FIELD_NUMBER: _ClassVar[int]
    administrator: Administrator
    def __init__(self, administrator: _Optional[_Union[Administrator, _Mapping]] = ...) -> None: ...

class ListAdministratorsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListAdministratorsResponse(_message.Message):
    __slots__ = ("administrators", "next_page_token")
    ADMINISTRATORS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    administrators: _containers.RepeatedCompositeFieldContainer[Administrator]
    next_page_token: str
    def __init__(self, administrators: _Optional[_Iterable[_Union[Administrator, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DisableAdministratorRequest(_message.Message):
    __slots__ = ("administrator_id",)
    ADMINISTRATOR_ID_FIELD_NUMBER: _ClassVar[int]
    administrator_id: str
    def __init__(self, administrator_id: _Optional[str] = ...) -> None: ...

class DisableAdministratorResponse(_message.Message):
    __slots__ = ("administrator",)
    ADMINISTRATOR_FIELD_NUMBER: _ClassVar[int]
    administrator: Administrator
    def __init__(self, administrator: _Optional[_Union[Administrator, _Mapping]] = ...) -> None: ...

class EnableAdministratorRequest(_message.Message):
    __slots__ = ("administrator_id",)
    ADMINISTRATOR_ID_FIELD_NUMBER: _ClassVar[int]
    administrator_id: str
    def __init__(self, administrator_id: _Optional[str] = ...) -> None: ...

class EnableAdministratorResponse(_message.Message):
    __slots__ = ("administrator",)
    ADMINISTRATOR_FIELD_NUMBER: _ClassVar[int]
    administrator: Administrator
    def __init__(self, administrator: _Optional[_Union[Administrator, _Mapping]] = ...) -> None: ...

class SetPasswordRequest(_message.Message):
    __slots__ = ("administrator_id", "password", "current_password", "session_token")
    ADMINISTRATOR_ID_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    CURRENT_PASSWORD_FIELD_NUMBER: _ClassVar[int]
    SESSION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    administrator_id: str
    password: str
    current_password: str
    session_token: str
    def __init__(self, administrator_id: _Optional[str] = ..., password: _Optional[str] = ..., current_password: _Optional[str] = ..., session_token: _Optional[str] = ...) -> None: ...

class SetPasswordResponse(_message.Message):
    __slots__ = ("administrator",)
    ADMINISTRATOR_FIELD_NUMBER: _ClassVar[int]
    administrator: Administrator
    def __init__(self, administrator: _Optional[_Union[Administrator, _Mapping]] = ...) -> None: ...

class CreateSignInLinkRequest(_message.Message):
    __slots__ = ("administrator_id",)
    ADMINISTRATOR_ID_FIELD_NUMBER: _ClassVar[int]
    administrator_id: str
    def __init__(self, administrator_id: _Optional[str] = ...) -> None: ...

class CreateSignInLinkResponse(_message.Message):
    __slots__ = ("link_token", "expire_time")
    LINK_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    link_token: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, link_token: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetSignInLinkRequest(_message.Message):
    __slots__ = ("link_token",)
    LINK_TOKEN_FIELD_NUMBER: _ClassVar[int]
    link_token: str
    def __init__(self, link_token: _Optional[str] = ...) -> None: ...

class GetSignInLinkResponse(_message.Message):
    __slots__ = ("administrator", "expire_time")
    ADMINISTRATOR_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    administrator: Administrator
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, administrator: _Optional[_Union[Administrator, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class RedeemSignInLinkRequest(_message.Message):
    __slots__ = ("link_token", "email", "name", "password")
    LINK_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    link_token: str
    email: str
    name: str
    password: str
    def __init__(self, link_token: _Optional[str] = ..., email: _Optional[str] = ..., name: _Optional[str] = ..., password: _Optional[str] = ...) -> None: ...

class RedeemSignInLinkResponse(_message.Message):
    __slots__ = ("administrator", "session")
    ADMINISTRATOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    administrator: Administrator
    session: Session
    def __init__(self, administrator: _Optional[_Union[Administrator, _Mapping]] = ..., session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class SignInRequest(_message.Message):
    __slots__ = ("email", "password", "client_address")
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    PASSWORD_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    email: str
    password: str
    client_address: str
    def __init__(self, email: _Optional[str] = ..., password: _Optional[str] = ..., client_address: _Optional[str] = ...) -> None: ...

class SignInResponse(_message.Message):
    __slots__ = ("administrator", "session")
    ADMINISTRATOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    administrator: Administrator
    session: Session
    def __init__(self, administrator: _Optional[_Union[Administrator, _Mapping]] = ..., session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class SignInWithOpenIdRequest(_message.Message):
    __slots__ = ("issuer", "subject", "email")
    ISSUER_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    issuer: str
    subject: str
    email: str
    def __init__(self, issuer: _Optional[str] = ..., subject: _Optional[str] = ..., email: _Optional[str] = ...) -> None: ...

class SignInWithOpenIdResponse(_message.Message):
    __slots__ = ("administrator", "session")
    ADMINISTRATOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    administrator: Administrator
    session: Session
    def __init__(self, administrator: _Optional[_Union[Administrator, _Mapping]] = ..., session: _Optional[_Union[Session, _Mapping]] = ...) -> None: ...

class GetSessionRequest(_message.Message):
    __slots__ = ("session_token",)
    SESSION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    session_token: str
    def __init__(self, session_token: _Optional[str] = ...) -> None: ...

class GetSessionResponse(_message.Message):
    __slots__ = ("administrator", "expire_time")
    ADMINISTRATOR_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    administrator: Administrator
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, administrator: _Optional[_Union[Administrator, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SignOutRequest(_message.Message):
    __slots__ = ("session_token",)
    SESSION_TOKEN_FIELD_NUMBER: _ClassVar[int]
    session_token: str
    def __init__(self, session_token: _Optional[str] = ...) -> None: ...

class SignOutResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
