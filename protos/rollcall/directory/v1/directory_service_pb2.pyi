import datetime

from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rollcall.directory.v1 import errors_pb2 as _errors_pb2
from rollcall.directory.v1 import group_pb2 as _group_pb2
from rollcall.directory.v1 import user_pb2 as _user_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SortOrder(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SORT_ORDER_UNSPECIFIED: _ClassVar[SortOrder]
    SORT_ORDER_ASCENDING: _ClassVar[SortOrder]
    SORT_ORDER_DESCENDING: _ClassVar[SortOrder]

class PatchOp(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PATCH_OP_UNSPECIFIED: _ClassVar[PatchOp]
    PATCH_OP_ADD: _ClassVar[PatchOp]
    PATCH_OP_REMOVE: _ClassVar[PatchOp]
    PATCH_OP_REPLACE: _ClassVar[PatchOp]

class ResourceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESOURCE_KIND_UNSPECIFIED: _ClassVar[ResourceKind]
    RESOURCE_KIND_USER: _ClassVar[ResourceKind]
    RESOURCE_KIND_GROUP: _ClassVar[ResourceKind]
    RESOURCE_KIND_CONNECTION: _ClassVar[ResourceKind]

class ExtensionAttributeType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXTENSION_ATTRIBUTE_TYPE_UNSPECIFIED: _ClassVar[ExtensionAttributeType]
    EXTENSION_ATTRIBUTE_TYPE_STRING: _ClassVar[ExtensionAttributeType]
    EXTENSION_ATTRIBUTE_TYPE_BOOLEAN: _ClassVar[ExtensionAttributeType]
    EXTENSION_ATTRIBUTE_TYPE_INTEGER: _ClassVar[ExtensionAttributeType]
    EXTENSION_ATTRIBUTE_TYPE_DECIMAL: _ClassVar[ExtensionAttributeType]
    EXTENSION_ATTRIBUTE_TYPE_COMPLEX: _ClassVar[ExtensionAttributeType]
SORT_ORDER_UNSPECIFIED: SortOrder
SORT_ORDER_ASCENDING: SortOrder
SORT_ORDER_DESCENDING: SortOrder
PATCH_OP_UNSPECIFIED: PatchOp
PATCH_OP_ADD: PatchOp
PATCH_OP_REMOVE: PatchOp
PATCH_OP_REPLACE: PatchOp
RESOURCE_KIND_UNSPECIFIED: ResourceKind
RESOURCE_KIND_USER: ResourceKind
RESOURCE_KIND_GROUP: ResourceKind
RESOURCE_KIND_CONNECTION: ResourceKind
EXTENSION_ATTRIBUTE_TYPE_UNSPECIFIED: ExtensionAttributeType
EXTENSION_ATTRIBUTE_TYPE_STRING: ExtensionAttributeType
EXTENSION_ATTRIBUTE_TYPE_BOOLEAN: ExtensionAttributeType
EXTENSION_ATTRIBUTE_TYPE_INTEGER: ExtensionAttributeType
EXTENSION_ATTRIBUTE_TYPE_DECIMAL: ExtensionAttributeType
EXTENSION_ATTRIBUTE_TYPE_COMPLEX: ExtensionAttributeType

class CreateUserRequest(_message.Message):
    __slots__ = ("connection_id", "user", "include_groups")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    user: _user_pb2.User
    include_groups: bool
    def __init__(self, connection_id: _Optional[str] = ..., user: _Optional[_Union[_user_pb2.User, _Mapping]] = ..., include_groups: _Optional[bool] = ...) -> None: ...

class CreateUserResponse(_message.Message):
    __slots__ = ("user",)
    USER_FIELD_NUMBER: _ClassVar[int]
    user: _user_pb2.User
    def __init__(self, user: _Optional[_Union[_user_pb2.User, _Mapping]] = ...) -> None: ...

class GetUserRequest(_message.Message):
    __slots__ = ("connection_id", "id", "include_groups")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    id: str
    include_groups: bool
    def __init__(self, connection_id: _Optional[str] = ..., id: _Optional[str] = ..., include_groups: _Optional[bool] = ...) -> None: ...

class GetUserResponse(_message.Message):
    __slots__ = ("user",)
    USER_FIELD_NUMBER: _ClassVar[int]
    user: _user_pb2.User
    def __init__(self, user: _Optional[_Union[_user_pb2.User, _Mapping]] = ...) -> None: ...

class ListUsersRequest(_message.Message):
    __slots__ = ("connection_id", "filter", "page_size", "page_token", "skip", "sort_by", "sort_order", "include_groups", "count_only", "omit_total_size")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    COUNT_ONLY_FIELD_NUMBER: _ClassVar[int]
    OMIT_TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    filter: str
    page_size: int
    page_token: str
    skip: int
    sort_by: str
    sort_order: SortOrder
    include_groups: bool
    count_only: bool
    omit_total_size: bool
    def __init__(self, connection_id: _Optional[str] = ..., filter: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., skip: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[_Union[SortOrder, str]] = ..., include_groups: _Optional[bool] = ..., count_only: _Optional[bool] = ..., omit_total_size: _Optional[bool] = ...) -> None: ...

class ListUsersResponse(_message.Message):
    __slots__ = ("users", "next_page_token", "total_size")
    USERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[_user_pb2.User]
    next_page_token: str
    total_size: int
    def __init__(self, users: _Optional[_Iterable[_Union[_user_pb2.User, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class FindUsersRequest(_message.Message):
    __slots__ = ("connection_id", "user_name_prefix", "active", "page_size", "page_token")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_NAME_PREFIX_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    user_name_prefix: str
    active: bool
    page_size: int
    page_token: str
    def __init__(self, connection_id: _Optional[str] = ..., user_name_prefix: _Optional[str] = ..., active: _Optional[bool] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class FindUsersResponse(_message.Message):
    __slots__ = ("users", "next_page_token")
    USERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[_user_pb2.User]
    next_page_token: str
    def __init__(self, users: _Optional[_Iterable[_Union[_user_pb2.User, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateUserRequest(_message.Message):
    __slots__ = ("connection_id", "user", "update_mask", "etag", "include_groups")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    user: _user_pb2.User
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    include_groups: bool
    def __init__(self, connection_id: _Optional[str] = ..., user: _Optional[_Union[_user_pb2.User, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ..., include_groups: _Optional[bool] = ...) -> None: ...

class UpdateUserResponse(_message.Message):
    __slots__ = ("user",)
    USER_FIELD_NUMBER: _ClassVar[int]
    user: _user_pb2.User
    def __init__(self, user: _Optional[_Union[_user_pb2.User, _Mapping]] = ...) -> None: ...

class PatchOperation(_message.Message):
    __slots__ = ("op", "path", "value")
    OP_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    op: PatchOp
    path: str
    value: str
    def __init__(self, op: _Optional[_Union[PatchOp, str]] = ..., path: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class PatchUserRequest(_message.Message):
    __slots__ = ("connection_id", "id", "operations", "etag", "include_groups")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    id: str
    operations: _containers.RepeatedCompositeFieldContainer[PatchOperation]
    etag: str
    include_groups: bool
    def __init__(self, connection_id: _Optional[str] = ..., id: _Optional[str] = ..., operations: _Optional[_Iterable[_Union[PatchOperation, _Mapping]]] = ..., etag: _Optional[str] = ..., include_groups: _Optional[bool] = ...) -> None: ...

class PatchUserResponse(_message.Message):
    __slots__ = ("user",)
    USER_FIELD_NUMBER: _ClassVar[int]
    user: _user_pb2.User
    def __init__(self, user: _Optional[_Union[_user_pb2.User, _Mapping]] = ...) -> None: ...

class DeleteUserRequest(_message.Message):
    __slots__ = ("connection_id", "id", "etag")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    id: str
    etag: str
    def __init__(self, connection_id: _Optional[str] = ..., id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteUserResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CreateGroupRequest(_message.Message):
    __slots__ = ("connection_id", "group", "members", "omit_members")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    OMIT_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    group: _group_pb2.Group
    members: _group_pb2.MemberList
    omit_members: bool
    def __init__(self, connection_id: _Optional[str] = ..., group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ..., members: _Optional[_Union[_group_pb2.MemberList, _Mapping]] = ..., omit_members: _Optional[bool] = ...) -> None: ...

class CreateGroupResponse(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: _group_pb2.Group
    def __init__(self, group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ...) -> None: ...

class GetGroupRequest(_message.Message):
    __slots__ = ("connection_id", "id", "include_members")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    id: str
    include_members: bool
    def __init__(self, connection_id: _Optional[str] = ..., id: _Optional[str] = ..., include_members: _Optional[bool] = ...) -> None: ...

class GetGroupResponse(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: _group_pb2.Group
    def __init__(self, group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ...) -> None: ...

class ListGroupsRequest(_message.Message):
    __slots__ = ("connection_id", "filter", "page_size", "page_token", "skip", "sort_by", "sort_order", "include_members", "count_only", "omit_total_size")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    COUNT_ONLY_FIELD_NUMBER: _ClassVar[int]
    OMIT_TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    filter: str
    page_size: int
    page_token: str
    skip: int
    sort_by: str
    sort_order: SortOrder
    include_members: bool
    count_only: bool
    omit_total_size: bool
    def __init__(self, connection_id: _Optional[str] = ..., filter: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., skip: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[_Union[SortOrder, str]] = ..., include_members: _Optional[bool] = ..., count_only: _Optional[bool] = ..., omit_total_size: _Optional[bool] = ...) -> None: ...

class ListGroupsResponse(_message.Message):
    __slots__ = ("groups", "next_page_token", "total_size")
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedCompositeFieldContainer[_group_pb2.Group]
    next_page_token: str
    total_size: int
    def __init__(self, groups: _Optional[_Iterable[_Union[_group_pb2.Group, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class UpdateGroupRequest(_message.Message):
    __slots__ = ("connection_id", "group", "members", "update_mask", "etag", "omit_members")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    UPDATE_MASK_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    OMIT_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    group: _group_pb2.Group
    members: _group_pb2.MemberList
    update_mask: _field_mask_pb2.FieldMask
    etag: str
    omit_members: bool
    def __init__(self, connection_id: _Optional[str] = ..., group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ..., members: _Optional[_Union[_group_pb2.MemberList, _Mapping]] = ..., update_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., etag: _Optional[str] = ..., omit_members: _Optional[bool] = ...) -> None: ...

class UpdateGroupResponse(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: _group_pb2.Group
    def __init__(self, group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ...) -> None: ...

class PatchGroupRequest(_message.Message):
    __slots__ = ("connection_id", "id", "operations", "etag", "include_members")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    id: str
    operations: _containers.RepeatedCompositeFieldContainer[PatchOperation]
    etag: str
    include_members: bool
    def __init__(self, connection_id: _Optional[str] = ..., id: _Optional[str] = ..., operations: _Optional[_Iterable[_Union[PatchOperation, _Mapping]]] = ..., etag: _Optional[str] = ..., include_members: _Optional[bool] = ...) -> None: ...

class PatchGroupResponse(_message.Message):
    __slots__ = ("group",)
    GROUP_FIELD_NUMBER: _ClassVar[int]
    group: _group_pb2.Group
    def __init__(self, group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ...) -> None: ...

class DeleteGroupRequest(_message.Message):
    __slots__ = ("connection_id", "id", "etag")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    id: str
    etag: str
    def __init__(self, connection_id: _Optional[str] = ..., id: _Optional[str] = ..., etag: _Optional[str] = ...) -> None: ...

class DeleteGroupResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListGroupMembersRequest(_message.Message):
    __slots__ = ("connection_id", "group_id", "page_size", "page_token")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    group_id: str
    page_size: int
    page_token: str
    def __init__(self, connection_id: _Optional[str] = ..., group_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListGroupMembersResponse(_message.Message):
    __slots__ = ("members", "next_page_token")
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[_group_pb2.Member]
    next_page_token: str
    def __init__(self, members: _Optional[_Iterable[_Union[_group_pb2.Member, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class BulkWriteRequest(_message.Message):
    __slots__ = ("connection_id", "operations", "fail_on_errors")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    FAIL_ON_ERRORS_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    operations: _containers.RepeatedCompositeFieldContainer[BulkOperation]
    fail_on_errors: int
    def __init__(self, connection_id: _Optional[str] = ..., operations: _Optional[_Iterable[_Union[BulkOperation, _Mapping]]] = ..., fail_on_errors: _Optional[int] = ...) -> None: ...

class BulkOperation(_message.Message):
    __slots__ = ("bulk_id", "create_user", "update_user", "patch_user", "delete_user", "create_group", "update_group", "patch_group", "delete_group", "refused")
    BULK_ID_FIELD_NUMBER: _ClassVar[int]
    CREATE_USER_FIELD_NUMBER: _ClassVar[int]
    UPDATE_USER_FIELD_NUMBER: _ClassVar[int]
    PATCH_USER_FIELD_NUMBER: _ClassVar[int]
    DELETE_USER_FIELD_NUMBER: _ClassVar[int]
    CREATE_GROUP_FIELD_NUMBER: _ClassVar[int]
    UPDATE_GROUP_FIELD_NUMBER: _ClassVar[int]
    PATCH_GROUP_FIELD_NUMBER: _ClassVar[int]
    DELETE_GROUP_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    bulk_id: str
    create_user: CreateUserRequest
    update_user: UpdateUserRequest
    patch_user: PatchUserRequest
    delete_user: DeleteUserRequest
    create_group: CreateGroupRequest
    update_group: UpdateGroupRequest
    patch_group: PatchGroupRequest
    delete_group: DeleteGroupRequest
    refused: RefusedOperation
    def __init__(self, bulk_id: _Optional[str] = ..., create_user: _Optional[_Union[CreateUserRequest, _Mapping]] = ..., update_user: _Optional[_Union[UpdateUserRequest, _Mapping]] = ..., patch_user: _Optional[_Union[PatchUserRequest, _Mapping]] = ..., delete_user: _Optional[_Union[DeleteUserRequest, _Mapping]] = ..., create_group: _Optional[_Union[CreateGroupRequest, _Mapping]] = ..., update_group: _Optional[_Union[UpdateGroupRequest, _Mapping]] = ..., patch_group: _Optional[_Union[PatchGroupRequest, _Mapping]] = ..., delete_group: _Optional[_Union[DeleteGroupRequest, _Mapping]] = ..., refused: _Optional[_Union[RefusedOperation, _Mapping]] = ...) -> None: ...

class RefusedOperation(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BulkWriteResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BulkResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BulkResult, _Mapping]]] = ...) -> None: ...

class BulkResult(_message.Message):
    __slots__ = ("index", "id", "etag", "failure")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    index: int
    id: str
    etag: str
    failure: BulkFailure
    def __init__(self, index: _Optional[int] = ..., id: _Optional[str] = ..., etag: _Optional[str] = ..., failure: _Optional[_Union[BulkFailure, _Mapping]] = ...) -> None: ...

class BulkFailure(_message.Message):
    __slots__ = ("code", "reason", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: _errors_pb2.ErrorReason
    message: str
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[_Union[_errors_pb2.ErrorReason, str]] = ..., message: _Optional[str] = ...) -> None: ...

class SearchResourcesRequest(_message.Message):
    __slots__ = ("connection_id", "filter", "page_size", "page_token", "skip", "sort_by", "sort_order", "include_groups", "include_members", "count_only")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    SORT_BY_FIELD_NUMBER: _ClassVar[int]
    SORT_ORDER_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_GROUPS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    COUNT_ONLY_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    filter: str
    page_size: int
    page_token: str
    skip: int
    sort_by: str
    sort_order: SortOrder
    include_groups: bool
    include_members: bool
    count_only: bool
    def __init__(self, connection_id: _Optional[str] = ..., filter: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., skip: _Optional[int] = ..., sort_by: _Optional[str] = ..., sort_order: _Optional[_Union[SortOrder, str]] = ..., include_groups: _Optional[bool] = ..., include_members: _Optional[bool] = ..., count_only: _Optional[bool] = ...) -> None: ...

class Resource(_message.Message):
    __slots__ = ("user", "group")
    USER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    user: _user_pb2.User
    group: _group_pb2.Group
    def __init__(self, user: _Optional[_Union[_user_pb2.User, _Mapping]] = ..., group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ...) -> None: ...

class SearchResourcesResponse(_message.Message):
    __slots__ = ("resources", "next_page_token", "total_size")
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    resources: _containers.RepeatedCompositeFieldContainer[Resource]
    next_page_token: str
    total_size: int
    def __init__(self, resources: _Optional[_Iterable[_Union[Resource, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class ListParkedMembersRequest(_message.Message):
    __slots__ = ("connection_id", "group_id", "page_size", "page_token")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    group_id: str
    page_size: int
    page_token: str
    def __init__(self, connection_id: _Optional[str] = ..., group_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListParkedMembersResponse(_message.Message):
    __slots__ = ("parked_members", "next_page_token", "total_size")
    PARKED_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_SIZE_FIELD_NUMBER: _ClassVar[int]
    parked_members: _containers.RepeatedCompositeFieldContainer[_group_pb2.ParkedMember]
    next_page_token: str
    total_size: int
    def __init__(self, parked_members: _Optional[_Iterable[_Union[_group_pb2.ParkedMember, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total_size: _Optional[int] = ...) -> None: ...

class StreamSnapshotRequest(_message.Message):
    __slots__ = ("connection_id", "kind", "id")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    kind: ResourceKind
    id: str
    def __init__(self, connection_id: _Optional[str] = ..., kind: _Optional[_Union[ResourceKind, str]] = ..., id: _Optional[str] = ...) -> None: ...

class Tombstone(_message.Message):
    __slots__ = ("kind", "id", "version")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    kind: ResourceKind
    id: str
    version: int
    def __init__(self, kind: _Optional[_Union[ResourceKind, str]] = ..., id: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class GroupSnapshot(_message.Message):
    __slots__ = ("group", "members", "more")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    group: _group_pb2.Group
    members: _containers.RepeatedCompositeFieldContainer[_group_pb2.Member]
    more: bool
    def __init__(self, group: _Optional[_Union[_group_pb2.Group, _Mapping]] = ..., members: _Optional[_Iterable[_Union[_group_pb2.Member, _Mapping]]] = ..., more: _Optional[bool] = ...) -> None: ...

class ConnectionSnapshot(_message.Message):
    __slots__ = ("connection_id", "workspace_id", "portal", "enabled", "version")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    PORTAL_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    workspace_id: str
    portal: str
    enabled: bool
    version: int
    def __init__(self, connection_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., portal: _Optional[str] = ..., enabled: _Optional[bool] = ..., version: _Optional[int] = ...) -> None: ...

class StreamSnapshotResponse(_message.Message):
    __slots__ = ("user", "group", "connection", "tombstone")
    USER_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_FIELD_NUMBER: _ClassVar[int]
    TOMBSTONE_FIELD_NUMBER: _ClassVar[int]
    user: _user_pb2.User
    group: GroupSnapshot
    connection: ConnectionSnapshot
    tombstone: Tombstone
    def __init__(self, user: _Optional[_Union[_user_pb2.User, _Mapping]] = ..., group: _Optional[_Union[GroupSnapshot, _Mapping]] = ..., connection: _Optional[_Union[ConnectionSnapshot, _Mapping]] = ..., tombstone: _Optional[_Union[Tombstone, _Mapping]] = ...) -> None: ...

class GetEventRequest(_message.Message):
    __slots__ = ("event_id",)
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    def __init__(self, event_id: _Optional[str] = ...) -> None: ...

class EventRecord(_message.Message):
    __slots__ = ("id", "type", "connection_id", "resource_id", "version", "sequence", "time", "request_id", "request", "published_time")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    PUBLISHED_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    connection_id: str
    resource_id: str
    version: int
    sequence: int
    time: _timestamp_pb2.Timestamp
    request_id: str
    request: str
    published_time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., connection_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., version: _Optional[int] = ..., sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ..., request: _Optional[str] = ..., published_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetEventResponse(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: EventRecord
    def __init__(self, event: _Optional[_Union[EventRecord, _Mapping]] = ...) -> None: ...

class CheckTokenRequest(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class CheckTokenResponse(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class ExtensionAttribute(_message.Message):
    __slots__ = ("name", "type", "multi_valued", "sub_attributes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    MULTI_VALUED_FIELD_NUMBER: _ClassVar[int]
    SUB_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    type: ExtensionAttributeType
    multi_valued: bool
    sub_attributes: _containers.RepeatedCompositeFieldContainer[ExtensionAttribute]
    def __init__(self, name: _Optional[str] = ..., type: _Optional[_Union[ExtensionAttributeType, str]] = ..., multi_valued: _Optional[bool] = ..., sub_attributes: _Optional[_Iterable[_Union[ExtensionAttribute, _Mapping]]] = ...) -> None: ...

class Extension(_message.Message):
    __slots__ = ("schema", "of_users", "of_groups", "attributes")
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    OF_USERS_FIELD_NUMBER: _ClassVar[int]
    OF_GROUPS_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    schema: str
    of_users: bool
    of_groups: bool
    attributes: _containers.RepeatedCompositeFieldContainer[ExtensionAttribute]
    def __init__(self, schema: _Optional[str] = ..., of_users: _Optional[bool] = ..., of_groups: _Optional[bool] = ..., attributes: _Optional[_Iterable[_Union[ExtensionAttribute, _Mapping]]] = ...) -> None: ...

class ListExtensionsRequest(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class ListExtensionsResponse(_message.Message):
    __slots__ = ("extensions",)
    EXTENSIONS_FIELD_NUMBER: _ClassVar[int]
    extensions: _containers.RepeatedCompositeFieldContainer[Extension]
    def __init__(self, extensions: _Optional[_Iterable[_Union[Extension, _Mapping]]] = ...) -> None: ...

class ReplayEventsRequest(_message.Message):
    __slots__ = ("connection_id", "from_time", "from_sequence", "dry_run")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    FROM_TIME_FIELD_NUMBER: _ClassVar[int]
    FROM_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    from_time: _timestamp_pb2.Timestamp
    from_sequence: int
    dry_run: bool
    def __init__(self, connection_id: _Optional[str] = ..., from_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., from_sequence: _Optional[int] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class ReplayEventsResponse(_message.Message):
    __slots__ = ("published", "total")
    PUBLISHED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    published: int
    total: int
    def __init__(self, published: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...
