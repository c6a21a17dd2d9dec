import datetime

from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MembershipType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEMBERSHIP_TYPE_UNSPECIFIED: _ClassVar[MembershipType]
    MEMBERSHIP_TYPE_DIRECT: _ClassVar[MembershipType]
    MEMBERSHIP_TYPE_INDIRECT: _ClassVar[MembershipType]
MEMBERSHIP_TYPE_UNSPECIFIED: MembershipType
MEMBERSHIP_TYPE_DIRECT: MembershipType
MEMBERSHIP_TYPE_INDIRECT: MembershipType

class Name(_message.Message):
    __slots__ = ("formatted", "family_name", "given_name", "middle_name", "honorific_prefix", "honorific_suffix")
    FORMATTED_FIELD_NUMBER: _ClassVar[int]
    FAMILY_NAME_FIELD_NUMBER: _ClassVar[int]
    GIVEN_NAME_FIELD_NUMBER: _ClassVar[int]
    MIDDLE_NAME_FIELD_NUMBER: _ClassVar[int]
    HONORIFIC_PREFIX_FIELD_NUMBER: _ClassVar[int]
    HONORIFIC_SUFFIX_FIELD_NUMBER: _ClassVar[int]
    formatted: str
    family_name: str
    given_name: str
    middle_name: str
    honorific_prefix: str
    honorific_suffix: str
    def __init__(self, formatted: _Optional[str] = ..., family_name: _Optional[str] = ..., given_name: _Optional[str] = ..., middle_name: _Optional[str] = ..., honorific_prefix: _Optional[str] = ..., honorific_suffix: _Optional[str] = ...) -> None: ...

class MultiValue(_message.Message):
    __slots__ = ("value", "display", "type", "primary")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    value: str
    display: str
    type: str
    primary: bool
    def __init__(self, value: _Optional[str] = ..., display: _Optional[str] = ..., type: _Optional[str] = ..., primary: _Optional[bool] = ...) -> None: ...

class Address(_message.Message):
    __slots__ = ("formatted", "street_address", "locality", "region", "postal_code", "country", "type", "primary")
    FORMATTED_FIELD_NUMBER: _ClassVar[int]
    STREET_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    LOCALITY_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    POSTAL_CODE_FIELD_NUMBER: _ClassVar[int]
    COUNTRY_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    formatted: str
    street_address: str
    locality: str
    region: str
    postal_code: str
    country: str
    type: str
    primary: bool
    def __init__(self, formatted: _Optional[str] = ..., street_address: _Optional[str] = ..., locality: _Optional[str] = ..., region: _Optional[str] = ..., postal_code: _Optional[str] = ..., country: _Optional[str] = ..., type: _Optional[str] = ..., primary: _Optional[bool] = ...) -> None: ...

class Manager(_message.Message):
    __slots__ = ("value", "ref", "display_name", "id")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    value: str
    ref: str
    display_name: str
    id: str
    def __init__(self, value: _Optional[str] = ..., ref: _Optional[str] = ..., display_name: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class EnterpriseUser(_message.Message):
    __slots__ = ("employee_number", "cost_center", "organization", "division", "department", "manager")
    EMPLOYEE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    COST_CENTER_FIELD_NUMBER: _ClassVar[int]
    ORGANIZATION_FIELD_NUMBER: _ClassVar[int]
    DIVISION_FIELD_NUMBER: _ClassVar[int]
    DEPARTMENT_FIELD_NUMBER: _ClassVar[int]
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    employee_number: str
    cost_center: str
    organization: str
    division: str
    department: str
    manager: Manager
    def __init__(self, employee_number: _Optional[str] = ..., cost_center: _Optional[str] = ..., organization: _Optional[str] = ..., division: _Optional[str] = ..., department: _Optional[str] = ..., manager: _Optional[_Union[Manager, _Mapping]] = ...) -> None: ...

class GroupMembership(_message.Message):
    __slots__ = ("group_id", "display_name", "type")
    GROUP_ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    group_id: str
    display_name: str
    type: MembershipType
    def __init__(self, group_id: _Optional[str] = ..., display_name: _Optional[str] = ..., type: _Optional[_Union[MembershipType, str]] = ...) -> None: ...

class User(_message.Message):
    __slots__ = ("id", "connection_id", "user_name", "external_id", "name", "display_name", "nick_name", "profile_url", "title", "user_type", "preferred_language", "locale", "timezone", "active", "emails", "phone_numbers", "ims", "photos", "addresses", "entitlements", "roles", "x509_certificates", "enterprise", "extensions", "metadata", "groups", "version", "etag", "created_time", "last_modified_time")
    class ExtensionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_NAME_FIELD_NUMBER: _ClassVar[int]
    EXTERNAL_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    NICK_NAME_FIELD_NUMBER: _ClassVar[int]
    PROFILE_URL_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    USER_TYPE_FIELD_NUMBER: _ClassVar[int]
    PREFERRED_LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    LOCALE_FIELD_NUMBER: _ClassVar[int]
    TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_FIELD_NUMBER: _ClassVar[int]
    EMAILS_FIELD_NUMBER: _ClassVar[int]
    PHONE_NUMBERS_FIELD_NUMBER: _ClassVar[int]
    IMS_FIELD_NUMBER: _ClassVar[int]
    PHOTOS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    ENTITLEMENTS_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    X509_CERTIFICATES_FIELD_NUMBER: _ClassVar[int]
    ENTERPRISE_FIELD_NUMBER: _ClassVar[int]
    EXTENSIONS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATED_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_MODIFIED_TIME_FIELD_NUMBER: _ClassVar[int]
    id: str
    connection_id: str
    user_name: str
    external_id: str
    name: Name
    display_name: str
    nick_name: str
    profile_url: str
    title: str
    user_type: str
    preferred_language: str
    locale: str
    timezone: str
    active: bool
    emails: _containers.RepeatedCompositeFieldContainer[MultiValue]
    phone_numbers: _containers.RepeatedCompositeFieldContainer[MultiValue]
    ims: _containers.RepeatedCompositeFieldContainer[MultiValue]
    photos: _containers.RepeatedCompositeFieldContainer[MultiValue]
    addresses: _containers.RepeatedCompositeFieldContainer[Address]
    entitlements: _containers.RepeatedCompositeFieldContainer[MultiValue]
    roles: _containers.RepeatedCompositeFieldContainer[MultiValue]
    x509_certificates: _containers.RepeatedCompositeFieldContainer[MultiValue]
    enterprise: EnterpriseUser
    extensions: _containers.ScalarMap[str, str]
    metadata: _struct_pb2.Struct
    groups: _containers.RepeatedCompositeFieldContainer[GroupMembership]
    version: int
    etag: str
    created_time: _timestamp_pb2.Timestamp
    last_modified_time: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., connection_id: _Optional[str] = ..., user_name: _Optional[str] = ..., external_id: _Optional[str] = ..., name: _Optional[_Union[Name, _Mapping]] = ..., display_name: _Optional[str] = ..., nick_name: _Optional[str] = ..., profile_url: _Optional[str] = ..., title: _Optional[str] = ..., user_type: _Optional[str] = ..., preferred_language: _Optional[str] = ..., locale: _Optional[str] = ..., timezone: _Optional[str] = ..., active: _Optional[bool] = ..., emails: _Optional[_Iterable[_Union[MultiValue, _Mapping]]] = ..., phone_numbers: _Optional[_Iterable[_Union[MultiValue, _Mapping]]] = ..., ims: _Optional[_Iterable[_Union[MultiValue, _Mapping]]] = ..., photos: _Optional[_Iterable[_Union[MultiValue, _Mapping]]] = ..., addresses: _Optional[_Iterable[_Union[Address, _Mapping]]] = ..., entitlements: _Optional[_Iterable[_Union[MultiValue, _Mapping]]] = ..., roles: _Optional[_Iterable[_Union[MultiValue, _Mapping]]] = ..., x509_certificates: _Optional[_Iterable[_Union[MultiValue, _Mapping]]] = ..., enterprise: _Optional[_Union[EnterpriseUser, _Mapping]] = ..., extensions: _Optional[_Mapping[str, str]] = ..., metadata: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., groups: _Optional[_Iterable[_Union[GroupMembership, _Mapping]]] = ..., version: _Optional[int] = ..., etag: _Optional[str] = ..., created_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_modified_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
