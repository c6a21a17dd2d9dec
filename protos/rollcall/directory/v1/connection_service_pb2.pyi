import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Portal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PORTAL_UNSPECIFIED: _ClassVar[Portal]
    PORTAL_DASHBOARD: _ClassVar[Portal]
    PORTAL_STORE: _ClassVar[Portal]
    PORTAL_MDM: _ClassVar[Portal]

class ConnectionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONNECTION_STATE_UNSPECIFIED: _ClassVar[ConnectionState]
    CONNECTION_STATE_ENABLED: _ClassVar[ConnectionState]
    CONNECTION_STATE_DISABLED: _ClassVar[ConnectionState]
    CONNECTION_STATE_DELETING: _ClassVar[ConnectionState]

class ClientDialect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CLIENT_DIALECT_UNSPECIFIED: _ClassVar[ClientDialect]
    CLIENT_DIALECT_OKTA_AIW: _ClassVar[ClientDialect]
    CLIENT_DIALECT_OKTA_OIN: _ClassVar[ClientDialect]
    CLIENT_DIALECT_OKTA: _ClassVar[ClientDialect]
    CLIENT_DIALECT_ENTRA: _ClassVar[ClientDialect]
    CLIENT_DIALECT_OTHER: _ClassVar[ClientDialect]

class TokenScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOKEN_SCOPE_UNSPECIFIED: _ClassVar[TokenScope]
    TOKEN_SCOPE_READ: _ClassVar[TokenScope]
    TOKEN_SCOPE_WRITE: _ClassVar[TokenScope]
PORTAL_UNSPECIFIED: Portal
PORTAL_DASHBOARD: Portal
PORTAL_STORE: Portal
PORTAL_MDM: Portal
CONNECTION_STATE_UNSPECIFIED: ConnectionState
CONNECTION_STATE_ENABLED: ConnectionState
CONNECTION_STATE_DISABLED: ConnectionState
CONNECTION_STATE_DELETING: ConnectionState
CLIENT_DIALECT_UNSPECIFIED: ClientDialect
CLIENT_DIALECT_OKTA_AIW: ClientDialect
CLIENT_DIALECT_OKTA_OIN: ClientDialect
CLIENT_DIALECT_OKTA: ClientDialect
CLIENT_DIALECT_ENTRA: ClientDialect
CLIENT_DIALECT_OTHER: ClientDialect
TOKEN_SCOPE_UNSPECIFIED: TokenScope
TOKEN_SCOPE_READ: TokenScope
TOKEN_SCOPE_WRITE: TokenScope

class Workspace(_message.Message):
    __slots__ = ("workspace_id", "name", "slug", "created_time")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SLUG_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    name: str
    slug: str
    created_time: _timestamp_pb2.Timestamp
    def __init__(self, workspace_id: _Optional[str] = ..., name: _Optional[str] = ..., slug: _Optional[str] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Connection(_message.Message):
    __slots__ = ("connection_id", "workspace_id", "portal", "display_name", "state", "base_url", "created_time", "last_request_time", "version", "client_profiles")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PORTAL_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    BASE_URL_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_REQUEST_TIME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CLIENT_PROFILES_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    workspace_id: str
    portal: Portal
    display_name: str
    state: ConnectionState
    base_url: str
    created_time: _timestamp_pb2.Timestamp
    last_request_time: _timestamp_pb2.Timestamp
    version: int
    client_profiles: _containers.RepeatedCompositeFieldContainer[ClientProfile]
    def __init__(self, connection_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., portal: _Optional[_Union[Portal, str]] = ..., display_name: _Optional[str] = ..., state: _Optional[_Union[ConnectionState, str]] = ..., base_url: _Optional[str] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_request_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., version: _Optional[int] = ..., client_profiles: _Optional[_Iterable[_Union[ClientProfile, _Mapping]]] = ...) -> None: ...

class ClientProfile(_message.Message):
    __slots__ = ("dialect", "first_seen_time", "last_seen_time", "request_count")
    DIALECT_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_COUNT_FIELD_NUMBER: _ClassVar[int]
    dialect: ClientDialect
    first_seen_time: _timestamp_pb2.Timestamp
    last_seen_time: _timestamp_pb2.Timestamp
    request_count: int
    def __init__(self, dialect: _Optional[_Union[ClientDialect, str]] = ..., first_seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_count: _Optional[int] = ...) -> None: ...

class Token(_message.Message):
    __slots__ = ("token_id", "connection_id", "scope", "created_time", "expire_time", "last_used_time", "revoked_time")
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_USED_TIME_FIELD_NUMBER: _ClassVar[int]
    REVOKED_TIME_FIELD_NUMBER: _ClassVar[int]
    token_id: str
    connection_id: str
    scope: TokenScope
    created_time: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    last_used_time: _timestamp_pb2.Timestamp
    revoked_time: _timestamp_pb2.Timestamp
    def __init__(self, token_id: _Optional[str] = ..., connection_id: _Optional[str] = ..., scope: _Optional[_Union[TokenScope, str]] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_used_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., revoked_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AttributeSource(_message.Message):
    __slots__ = ("namespace", "key")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ...) -> None: ...

class MappedAttribute(_message.Message):
    __slots__ = ("name", "attributes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    attributes: _containers.RepeatedCompositeFieldContainer[AttributeSource]
    def __init__(self, name: _Optional[str] = ..., attributes: _Optional[_Iterable[_Union[AttributeSource, _Mapping]]] = ...) -> None: ...

class AttributeSighting(_message.Message):
    __slots__ = ("namespace", "key", "first_seen_time", "last_seen_time", "count")
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_TIME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    namespace: str
    key: str
    first_seen_time: _timestamp_pb2.Timestamp
    last_seen_time: _timestamp_pb2.Timestamp
    count: int
    def __init__(self, namespace: _Optional[str] = ..., key: _Optional[str] = ..., first_seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_seen_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., count: _Optional[int] = ...) -> None: ...

class CreateWorkspaceRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class CreateWorkspaceResponse(_message.Message):
    __slots__ = ("workspace",)
    WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    workspace: Workspace
    def __init__(self, workspace: _Optional[_Union[Workspace, _Mapping]] = ...) -> None: ...

class GetWorkspaceRequest(_message.Message):
    __slots__ = ("workspace",)
    WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    workspace: str
    def __init__(self, workspace: _Optional[str] = ...) -> None: ...

class GetWorkspaceResponse(_message.Message):
    __slots__ = ("workspace",)
    WORKSPACE_FIELD_NUMBER: _ClassVar[int]
    workspace: Workspace
    def __init__(self, workspace: _Optional[_Union[Workspace, _Mapping]] = ...) -> None: ...

class ListWorkspacesRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListWorkspacesResponse(_message.Message):
    __slots__ = ("workspaces", "next_page_token")
    WORKSPACES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    workspaces: _containers.RepeatedCompositeFieldContainer[Workspace]
    next_page_token: str
    def __init__(self, workspaces: _Optional[_Iterable[_Union[Workspace, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class DeleteWorkspaceRequest(_message.Message):
    __slots__ = ("workspace_id",)
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    def __init__(self, workspace_id: _Optional[str] = ...) -> None: ...

class DeleteWorkspaceResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateConnectionRequest(_message.Message):
    __slots__ = ("workspace_id", "portal", "display_name")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PORTAL_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    portal: Portal
    display_name: str
    def __init__(self, workspace_id: _Optional[str] = ..., portal: _Optional[_Union[Portal, str]] = ..., display_name: _Optional[str] = ...) -> None: ...

class CreateConnectionResponse(_message.Message):
    __slots__ = ("connection", "token", "token_id")
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    token: str
    token_id: str
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ..., token: _Optional[str] = ..., token_id: _Optional[str] = ...) -> None: ...

class GetConnectionRequest(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class GetConnectionResponse(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ...) -> None: ...

class ListConnectionsRequest(_message.Message):
    __slots__ = ("workspace_id", "page_size", "page_token")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    page_size: int
    page_token: str
    def __init__(self, workspace_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListConnectionsResponse(_message.Message):
    __slots__ = ("connections", "next_page_token")
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    connections: _containers.RepeatedCompositeFieldContainer[Connection]
    next_page_token: str
    def __init__(self, connections: _Optional[_Iterable[_Union[Connection, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RenameConnectionRequest(_message.Message):
    __slots__ = ("connection_id", "display_name")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    display_name: str
    def __init__(self, connection_id: _Optional[str] = ..., display_name: _Optional[str] = ...) -> None: ...

class RenameConnectionResponse(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ...) -> None: ...

class DisableConnectionRequest(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class DisableConnectionResponse(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ...) -> None: ...

class EnableConnectionRequest(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class EnableConnectionResponse(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ...) -> None: ...

class DeleteConnectionRequest(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class DeleteConnectionResponse(_message.Message):
    __slots__ = ("connection",)
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    connection: Connection
    def __init__(self, connection: _Optional[_Union[Connection, _Mapping]] = ...) -> None: ...

class IssueTokenRequest(_message.Message):
    __slots__ = ("connection_id", "scope", "expires_in")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_IN_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    scope: TokenScope
    expires_in: _duration_pb2.Duration
    def __init__(self, connection_id: _Optional[str] = ..., scope: _Optional[_Union[TokenScope, str]] = ..., expires_in: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class IssueTokenResponse(_message.Message):
    __slots__ = ("token", "details")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    token: str
    details: Token
    def __init__(self, token: _Optional[str] = ..., details: _Optional[_Union[Token, _Mapping]] = ...) -> None: ...

class ListTokensRequest(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class ListTokensResponse(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[Token]
    def __init__(self, tokens: _Optional[_Iterable[_Union[Token, _Mapping]]] = ...) -> None: ...

class RevokeTokenRequest(_message.Message):
    __slots__ = ("connection_id", "token_id")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    token_id: str
    def __init__(self, connection_id: _Optional[str] = ..., token_id: _Optional[str] = ...) -> None: ...

class RevokeTokenResponse(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: Token
    def __init__(self, token: _Optional[_Union[Token, _Mapping]] = ...) -> None: ...

class GetAttributeMappingRequest(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class GetAttributeMappingResponse(_message.Message):
    __slots__ = ("mapped_attributes", "pending_users")
    MAPPED_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    PENDING_USERS_FIELD_NUMBER: _ClassVar[int]
    mapped_attributes: _containers.RepeatedCompositeFieldContainer[MappedAttribute]
    pending_users: int
    def __init__(self, mapped_attributes: _Optional[_Iterable[_Union[MappedAttribute, _Mapping]]] = ..., pending_users: _Optional[int] = ...) -> None: ...

class UpdateAttributeMappingRequest(_message.Message):
    __slots__ = ("connection_id", "mapped_attributes")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    MAPPED_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    mapped_attributes: _containers.RepeatedCompositeFieldContainer[MappedAttribute]
    def __init__(self, connection_id: _Optional[str] = ..., mapped_attributes: _Optional[_Iterable[_Union[MappedAttribute, _Mapping]]] = ...) -> None: ...

class UpdateAttributeMappingResponse(_message.Message):
    __slots__ = ("mapped_attributes", "pending_users")
    MAPPED_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    PENDING_USERS_FIELD_NUMBER: _ClassVar[int]
    mapped_attributes: _containers.RepeatedCompositeFieldContainer[MappedAttribute]
    pending_users: int
    def __init__(self, mapped_attributes: _Optional[_Iterable[_Union[MappedAttribute, _Mapping]]] = ..., pending_users: _Optional[int] = ...) -> None: ...

class ListAttributeHistoryRequest(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class ListAttributeHistoryResponse(_message.Message):
    __slots__ = ("sightings",)
    SIGHTINGS_FIELD_NUMBER: _ClassVar[int]
    sightings: _containers.RepeatedCompositeFieldContainer[AttributeSighting]
    def __init__(self, sightings: _Optional[_Iterable[_Union[AttributeSighting, _Mapping]]] = ...) -> None: ...

class PreviewAttributeMappingRequest(_message.Message):
    __slots__ = ("connection_id", "user", "mapped_attributes")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    MAPPED_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    user: str
    mapped_attributes: _containers.RepeatedCompositeFieldContainer[MappedAttribute]
    def __init__(self, connection_id: _Optional[str] = ..., user: _Optional[str] = ..., mapped_attributes: _Optional[_Iterable[_Union[MappedAttribute, _Mapping]]] = ...) -> None: ...

class PreviewAttributeMappingResponse(_message.Message):
    __slots__ = ("metadata",)
    METADATA_FIELD_NUMBER: _ClassVar[int]
    metadata: _struct_pb2.Struct
    def __init__(self, metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
