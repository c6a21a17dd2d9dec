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

class OnCreate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_CREATE_UNSPECIFIED: _ClassVar[OnCreate]
    ON_CREATE_NOTHING: _ClassVar[OnCreate]
    ON_CREATE_CREATE_COLLABORATOR: _ClassVar[OnCreate]
    ON_CREATE_CREATE_EMPLOYEE: _ClassVar[OnCreate]

class OnDeactivate(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_DEACTIVATE_UNSPECIFIED: _ClassVar[OnDeactivate]
    ON_DEACTIVATE_NOTHING: _ClassVar[OnDeactivate]
    ON_DEACTIVATE_REMOVE_COLLABORATOR: _ClassVar[OnDeactivate]
    ON_DEACTIVATE_REMOVE_EMPLOYEE: _ClassVar[OnDeactivate]

class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_UNSPECIFIED: _ClassVar[Role]
    ROLE_UNASSIGNED: _ClassVar[Role]
    ROLE_VIEWER: _ClassVar[Role]
    ROLE_EDITOR: _ClassVar[Role]
    ROLE_ADMIN: _ClassVar[Role]

class RoleMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_MODE_UNSPECIFIED: _ClassVar[RoleMode]
    ROLE_MODE_FIRST_PROVISIONING: _ClassVar[RoleMode]
    ROLE_MODE_CONTINUOUS: _ClassVar[RoleMode]

class RoleSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ROLE_SOURCE_UNSPECIFIED: _ClassVar[RoleSource]
    ROLE_SOURCE_DEFAULT: _ClassVar[RoleSource]
    ROLE_SOURCE_GROUP: _ClassVar[RoleSource]
    ROLE_SOURCE_MANUAL: _ClassVar[RoleSource]
ON_CREATE_UNSPECIFIED: OnCreate
ON_CREATE_NOTHING: OnCreate
ON_CREATE_CREATE_COLLABORATOR: OnCreate
ON_CREATE_CREATE_EMPLOYEE: OnCreate
ON_DEACTIVATE_UNSPECIFIED: OnDeactivate
ON_DEACTIVATE_NOTHING: OnDeactivate
ON_DEACTIVATE_REMOVE_COLLABORATOR: OnDeactivate
ON_DEACTIVATE_REMOVE_EMPLOYEE: OnDeactivate
ROLE_UNSPECIFIED: Role
ROLE_UNASSIGNED: Role
ROLE_VIEWER: Role
ROLE_EDITOR: Role
ROLE_ADMIN: Role
ROLE_MODE_UNSPECIFIED: RoleMode
ROLE_MODE_FIRST_PROVISIONING: RoleMode
ROLE_MODE_CONTINUOUS: RoleMode
ROLE_SOURCE_UNSPECIFIED: RoleSource
ROLE_SOURCE_DEFAULT: RoleSource
ROLE_SOURCE_GROUP: RoleSource
ROLE_SOURCE_MANUAL: RoleSource

class RoleMapping(_message.Message):
    __slots__ = ("group", "role", "group_id")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    group: str
    role: Role
    group_id: str
    def __init__(self, group: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., group_id: _Optional[str] = ...) -> None: ...

class Rules(_message.Message):
    __slots__ = ("connection_id", "portal", "on_create", "on_deactivate", "default_role", "role_mode", "settling_period", "role_mappings", "rule_version")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    PORTAL_FIELD_NUMBER: _ClassVar[int]
    ON_CREATE_FIELD_NUMBER: _ClassVar[int]
    ON_DEACTIVATE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_ROLE_FIELD_NUMBER: _ClassVar[int]
    ROLE_MODE_FIELD_NUMBER: _ClassVar[int]
    SETTLING_PERIOD_FIELD_NUMBER: _ClassVar[int]
    ROLE_MAPPINGS_FIELD_NUMBER: _ClassVar[int]
    RULE_VERSION_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    portal: str
    on_create: OnCreate
    on_deactivate: OnDeactivate
    default_role: Role
    role_mode: RoleMode
    settling_period: _duration_pb2.Duration
    role_mappings: _containers.RepeatedCompositeFieldContainer[RoleMapping]
    rule_version: int
    def __init__(self, connection_id: _Optional[str] = ..., portal: _Optional[str] = ..., on_create: _Optional[_Union[OnCreate, str]] = ..., on_deactivate: _Optional[_Union[OnDeactivate, str]] = ..., default_role: _Optional[_Union[Role, str]] = ..., role_mode: _Optional[_Union[RoleMode, str]] = ..., settling_period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., role_mappings: _Optional[_Iterable[_Union[RoleMapping, _Mapping]]] = ..., rule_version: _Optional[int] = ...) -> None: ...

class Collaborator(_message.Message):
    __slots__ = ("collaborator_id", "workspace_id", "email", "display_name", "role", "role_source", "connection_id", "user_id", "metadata", "created_time")
    COLLABORATOR_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ROLE_SOURCE_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    collaborator_id: str
    workspace_id: str
    email: str
    display_name: str
    role: Role
    role_source: RoleSource
    connection_id: str
    user_id: str
    metadata: _struct_pb2.Struct
    created_time: _timestamp_pb2.Timestamp
    def __init__(self, collaborator_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., email: _Optional[str] = ..., display_name: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., role_source: _Optional[_Union[RoleSource, str]] = ..., connection_id: _Optional[str] = ..., user_id: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Employee(_message.Message):
    __slots__ = ("employee_id", "workspace_id", "email", "display_name", "connection_id", "user_id", "metadata", "created_time")
    EMPLOYEE_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    employee_id: str
    workspace_id: str
    email: str
    display_name: str
    connection_id: str
    user_id: str
    metadata: _struct_pb2.Struct
    created_time: _timestamp_pb2.Timestamp
    def __init__(self, employee_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., email: _Optional[str] = ..., display_name: _Optional[str] = ..., connection_id: _Optional[str] = ..., user_id: _Optional[str] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Audience(_message.Message):
    __slots__ = ("group_id", "display_name")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    display_name: str
    def __init__(self, group_id: _Optional[str] = ..., display_name: _Optional[str] = ...) -> None: ...

class Publication(_message.Message):
    __slots__ = ("publication_id", "workspace_id", "name", "restricted", "audience", "created_time")
    PUBLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    RESTRICTED_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    publication_id: str
    workspace_id: str
    name: str
    restricted: bool
    audience: _containers.RepeatedCompositeFieldContainer[Audience]
    created_time: _timestamp_pb2.Timestamp
    def __init__(self, publication_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., name: _Optional[str] = ..., restricted: _Optional[bool] = ..., audience: _Optional[_Iterable[_Union[Audience, _Mapping]]] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("connection_id", "on_create", "on_deactivate", "default_role", "role_mode", "settling_period")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ON_CREATE_FIELD_NUMBER: _ClassVar[int]
    ON_DEACTIVATE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_ROLE_FIELD_NUMBER: _ClassVar[int]
    ROLE_MODE_FIELD_NUMBER: _ClassVar[int]
    SETTLING_PERIOD_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    on_create: OnCreate
    on_deactivate: OnDeactivate
    default_role: Role
    role_mode: RoleMode
    settling_period: _duration_pb2.Duration
    def __init__(self, connection_id: _Optional[str] = ..., on_create: _Optional[_Union[OnCreate, str]] = ..., on_deactivate: _Optional[_Union[OnDeactivate, str]] = ..., default_role: _Optional[_Union[Role, str]] = ..., role_mode: _Optional[_Union[RoleMode, str]] = ..., settling_period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class UpdateRulesResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: Rules
    def __init__(self, rules: _Optional[_Union[Rules, _Mapping]] = ...) -> None: ...

class MapRoleRequest(_message.Message):
    __slots__ = ("connection_id", "group", "role")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    group: str
    role: Role
    def __init__(self, connection_id: _Optional[str] = ..., group: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ...) -> None: ...

class MapRoleResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: Rules
    def __init__(self, rules: _Optional[_Union[Rules, _Mapping]] = ...) -> None: ...

class UnmapRoleRequest(_message.Message):
    __slots__ = ("connection_id", "group")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    group: str
    def __init__(self, connection_id: _Optional[str] = ..., group: _Optional[str] = ...) -> None: ...

class UnmapRoleResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: Rules
    def __init__(self, rules: _Optional[_Union[Rules, _Mapping]] = ...) -> None: ...

class ListCollaboratorsRequest(_message.Message):
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

class ListCollaboratorsResponse(_message.Message):
    __slots__ = ("collaborators", "next_page_token")
    COLLABORATORS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    collaborators: _containers.RepeatedCompositeFieldContainer[Collaborator]
    next_page_token: str
    def __init__(self, collaborators: _Optional[_Iterable[_Union[Collaborator, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetCollaboratorRequest(_message.Message):
    __slots__ = ("workspace_id", "email", "user_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    email: str
    user_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., email: _Optional[str] = ..., user_id: _Optional[str] = ...) -> None: ...

class GetCollaboratorResponse(_message.Message):
    __slots__ = ("collaborator",)
    COLLABORATOR_FIELD_NUMBER: _ClassVar[int]
    collaborator: Collaborator
    def __init__(self, collaborator: _Optional[_Union[Collaborator, _Mapping]] = ...) -> None: ...

class CreateCollaboratorRequest(_message.Message):
    __slots__ = ("workspace_id", "email", "role", "display_name")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    email: str
    role: Role
    display_name: str
    def __init__(self, workspace_id: _Optional[str] = ..., email: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ..., display_name: _Optional[str] = ...) -> None: ...

class CreateCollaboratorResponse(_message.Message):
    __slots__ = ("collaborator",)
    COLLABORATOR_FIELD_NUMBER: _ClassVar[int]
    collaborator: Collaborator
    def __init__(self, collaborator: _Optional[_Union[Collaborator, _Mapping]] = ...) -> None: ...

class SetCollaboratorRoleRequest(_message.Message):
    __slots__ = ("workspace_id", "email", "role")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    email: str
    role: Role
    def __init__(self, workspace_id: _Optional[str] = ..., email: _Optional[str] = ..., role: _Optional[_Union[Role, str]] = ...) -> None: ...

class SetCollaboratorRoleResponse(_message.Message):
    __slots__ = ("collaborator",)
    COLLABORATOR_FIELD_NUMBER: _ClassVar[int]
    collaborator: Collaborator
    def __init__(self, collaborator: _Optional[_Union[Collaborator, _Mapping]] = ...) -> None: ...

class DeleteCollaboratorRequest(_message.Message):
    __slots__ = ("workspace_id", "email")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    email: str
    def __init__(self, workspace_id: _Optional[str] = ..., email: _Optional[str] = ...) -> None: ...

class DeleteCollaboratorResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

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

class CreatePublicationRequest(_message.Message):
    __slots__ = ("workspace_id", "name", "audience")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    name: str
    audience: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, workspace_id: _Optional[str] = ..., name: _Optional[str] = ..., audience: _Optional[_Iterable[str]] = ...) -> None: ...

class CreatePublicationResponse(_message.Message):
    __slots__ = ("publication",)
    PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    publication: Publication
    def __init__(self, publication: _Optional[_Union[Publication, _Mapping]] = ...) -> None: ...

class ListPublicationsRequest(_message.Message):
    __slots__ = ("workspace_id", "page_size", "page_token")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    page_size: int
    page_token: str
    def __init__(self, workspace_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPublicationsResponse(_message.Message):
    __slots__ = ("publications", "next_page_token")
    PUBLICATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    publications: _containers.RepeatedCompositeFieldContainer[Publication]
    next_page_token: str
    def __init__(self, publications: _Optional[_Iterable[_Union[Publication, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetPublicationRequest(_message.Message):
    __slots__ = ("workspace_id", "publication_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    publication_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., publication_id: _Optional[str] = ...) -> None: ...

class GetPublicationResponse(_message.Message):
    __slots__ = ("publication",)
    PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    publication: Publication
    def __init__(self, publication: _Optional[_Union[Publication, _Mapping]] = ...) -> None: ...

class UpdatePublicationRequest(_message.Message):
    __slots__ = ("workspace_id", "publication_id", "audience")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    AUDIENCE_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    publication_id: str
    audience: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, workspace_id: _Optional[str] = ..., publication_id: _Optional[str] = ..., audience: _Optional[_Iterable[str]] = ...) -> None: ...

class UpdatePublicationResponse(_message.Message):
    __slots__ = ("publication",)
    PUBLICATION_FIELD_NUMBER: _ClassVar[int]
    publication: Publication
    def __init__(self, publication: _Optional[_Union[Publication, _Mapping]] = ...) -> None: ...

class DeletePublicationRequest(_message.Message):
    __slots__ = ("workspace_id", "publication_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    publication_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., publication_id: _Optional[str] = ...) -> None: ...

class DeletePublicationResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListVisiblePublicationsRequest(_message.Message):
    __slots__ = ("workspace_id", "email")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    email: str
    def __init__(self, workspace_id: _Optional[str] = ..., email: _Optional[str] = ...) -> None: ...

class ListVisiblePublicationsResponse(_message.Message):
    __slots__ = ("publications",)
    PUBLICATIONS_FIELD_NUMBER: _ClassVar[int]
    publications: _containers.RepeatedCompositeFieldContainer[Publication]
    def __init__(self, publications: _Optional[_Iterable[_Union[Publication, _Mapping]]] = ...) -> None: ...

class CheckPublicationAccessRequest(_message.Message):
    __slots__ = ("workspace_id", "publication_id", "email")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PUBLICATION_ID_FIELD_NUMBER: _ClassVar[int]
    EMAIL_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    publication_id: str
    email: str
    def __init__(self, workspace_id: _Optional[str] = ..., publication_id: _Optional[str] = ..., email: _Optional[str] = ...) -> None: ...

class CheckPublicationAccessResponse(_message.Message):
    __slots__ = ("allowed",)
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    allowed: bool
    def __init__(self, allowed: _Optional[bool] = ...) -> None: ...

class GetCountsRequest(_message.Message):
    __slots__ = ("workspace_id", "connection_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    connection_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., connection_id: _Optional[str] = ...) -> None: ...

class GetCountsResponse(_message.Message):
    __slots__ = ("collaborators", "employees", "publications")
    COLLABORATORS_FIELD_NUMBER: _ClassVar[int]
    EMPLOYEES_FIELD_NUMBER: _ClassVar[int]
    PUBLICATIONS_FIELD_NUMBER: _ClassVar[int]
    collaborators: int
    employees: int
    publications: int
    def __init__(self, collaborators: _Optional[int] = ..., employees: _Optional[int] = ..., publications: _Optional[int] = ...) -> None: ...
