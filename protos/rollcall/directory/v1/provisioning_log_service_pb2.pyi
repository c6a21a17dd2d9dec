import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from rollcall.directory.v1 import connection_service_pb2 as _connection_service_pb2
from rollcall.directory.v1 import directory_service_pb2 as _directory_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProvisioningLogEntry(_message.Message):
    __slots__ = ("entry_id", "time", "request_id", "connection_id", "workspace_id", "client_dialect", "method", "route", "status", "scim_type", "detail", "duration", "resource_kind", "resource_id", "resource_version", "resource_count", "omitted_count", "start_index", "listed_count", "total_count")
    ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_DIALECT_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SCIM_TYPE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_KIND_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_COUNT_FIELD_NUMBER: _ClassVar[int]
    OMITTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    START_INDEX_FIELD_NUMBER: _ClassVar[int]
    LISTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    entry_id: str
    time: _timestamp_pb2.Timestamp
    request_id: str
    connection_id: str
    workspace_id: str
    client_dialect: _connection_service_pb2.ClientDialect
    method: str
    route: str
    status: int
    scim_type: str
    detail: str
    duration: _duration_pb2.Duration
    resource_kind: str
    resource_id: str
    resource_version: int
    resource_count: int
    omitted_count: int
    start_index: int
    listed_count: int
    total_count: int
    def __init__(self, entry_id: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., request_id: _Optional[str] = ..., connection_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., client_dialect: _Optional[_Union[_connection_service_pb2.ClientDialect, str]] = ..., method: _Optional[str] = ..., route: _Optional[str] = ..., status: _Optional[int] = ..., scim_type: _Optional[str] = ..., detail: _Optional[str] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., resource_kind: _Optional[str] = ..., resource_id: _Optional[str] = ..., resource_version: _Optional[int] = ..., resource_count: _Optional[int] = ..., omitted_count: _Optional[int] = ..., start_index: _Optional[int] = ..., listed_count: _Optional[int] = ..., total_count: _Optional[int] = ...) -> None: ...

class RecordProvisioningLogEntriesRequest(_message.Message):
    __slots__ = ("entries",)
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[ProvisioningLogEntry]
    def __init__(self, entries: _Optional[_Iterable[_Union[ProvisioningLogEntry, _Mapping]]] = ...) -> None: ...

class RecordProvisioningLogEntriesResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListProvisioningLogEntriesRequest(_message.Message):
    __slots__ = ("connection_id", "workspace_id", "failed_only", "request_id", "start_time", "page_size", "page_token", "resource_id")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    FAILED_ONLY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    workspace_id: str
    failed_only: bool
    request_id: str
    start_time: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    resource_id: str
    def __init__(self, connection_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., failed_only: _Optional[bool] = ..., request_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., resource_id: _Optional[str] = ...) -> None: ...

class ListProvisioningLogEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[ProvisioningLogEntry]
    next_page_token: str
    def __init__(self, entries: _Optional[_Iterable[_Union[ProvisioningLogEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetProvisioningLogSummaryRequest(_message.Message):
    __slots__ = ("connection_id", "start_time")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    start_time: _timestamp_pb2.Timestamp
    def __init__(self, connection_id: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class GetProvisioningLogSummaryResponse(_message.Message):
    __slots__ = ("summary",)
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    summary: ProvisioningLogSummary
    def __init__(self, summary: _Optional[_Union[ProvisioningLogSummary, _Mapping]] = ...) -> None: ...

class ProvisioningLogSummary(_message.Message):
    __slots__ = ("request_count", "first_time", "last_time", "omitted_count", "limited_count", "longest_limited_run", "slow_count", "longest_duration", "failures", "lists")
    REQUEST_COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    OMITTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LIMITED_COUNT_FIELD_NUMBER: _ClassVar[int]
    LONGEST_LIMITED_RUN_FIELD_NUMBER: _ClassVar[int]
    SLOW_COUNT_FIELD_NUMBER: _ClassVar[int]
    LONGEST_DURATION_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    LISTS_FIELD_NUMBER: _ClassVar[int]
    request_count: int
    first_time: _timestamp_pb2.Timestamp
    last_time: _timestamp_pb2.Timestamp
    omitted_count: int
    limited_count: int
    longest_limited_run: int
    slow_count: int
    longest_duration: _duration_pb2.Duration
    failures: _containers.RepeatedCompositeFieldContainer[FailureSummary]
    lists: _containers.RepeatedCompositeFieldContainer[ListSummary]
    def __init__(self, request_count: _Optional[int] = ..., first_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., omitted_count: _Optional[int] = ..., limited_count: _Optional[int] = ..., longest_limited_run: _Optional[int] = ..., slow_count: _Optional[int] = ..., longest_duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., failures: _Optional[_Iterable[_Union[FailureSummary, _Mapping]]] = ..., lists: _Optional[_Iterable[_Union[ListSummary, _Mapping]]] = ...) -> None: ...

class FailureSummary(_message.Message):
    __slots__ = ("method", "route", "status", "scim_type", "detail", "count", "first_time", "last_time", "last_entry_id")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    SCIM_TYPE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    FIRST_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_ENTRY_ID_FIELD_NUMBER: _ClassVar[int]
    method: str
    route: str
    status: int
    scim_type: str
    detail: str
    count: int
    first_time: _timestamp_pb2.Timestamp
    last_time: _timestamp_pb2.Timestamp
    last_entry_id: str
    def __init__(self, method: _Optional[str] = ..., route: _Optional[str] = ..., status: _Optional[int] = ..., scim_type: _Optional[str] = ..., detail: _Optional[str] = ..., count: _Optional[int] = ..., first_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_entry_id: _Optional[str] = ...) -> None: ...

class ListSummary(_message.Message):
    __slots__ = ("route", "first_pages", "later_pages", "most_repeated", "repeated_index", "total_count", "last_time")
    ROUTE_FIELD_NUMBER: _ClassVar[int]
    FIRST_PAGES_FIELD_NUMBER: _ClassVar[int]
    LATER_PAGES_FIELD_NUMBER: _ClassVar[int]
    MOST_REPEATED_FIELD_NUMBER: _ClassVar[int]
    REPEATED_INDEX_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COUNT_FIELD_NUMBER: _ClassVar[int]
    LAST_TIME_FIELD_NUMBER: _ClassVar[int]
    route: str
    first_pages: int
    later_pages: int
    most_repeated: int
    repeated_index: int
    total_count: int
    last_time: _timestamp_pb2.Timestamp
    def __init__(self, route: _Optional[str] = ..., first_pages: _Optional[int] = ..., later_pages: _Optional[int] = ..., most_repeated: _Optional[int] = ..., repeated_index: _Optional[int] = ..., total_count: _Optional[int] = ..., last_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListRequestEventsRequest(_message.Message):
    __slots__ = ("request_id", "page_size", "page_token")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    page_size: int
    page_token: str
    def __init__(self, request_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRequestEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[_directory_service_pb2.EventRecord]
    next_page_token: str
    def __init__(self, events: _Optional[_Iterable[_Union[_directory_service_pb2.EventRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
