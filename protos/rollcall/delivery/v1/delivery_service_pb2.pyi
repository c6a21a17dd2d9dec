import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_APPLIED: _ClassVar[Outcome]
    OUTCOME_SKIPPED: _ClassVar[Outcome]
    OUTCOME_HELD: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]

class TargetKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TARGET_KIND_UNSPECIFIED: _ClassVar[TargetKind]
    TARGET_KIND_COLLABORATOR: _ClassVar[TargetKind]
    TARGET_KIND_EMPLOYEE: _ClassVar[TargetKind]
    TARGET_KIND_DEVICE: _ClassVar[TargetKind]

class DeadLetterState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DEAD_LETTER_STATE_UNSPECIFIED: _ClassVar[DeadLetterState]
    DEAD_LETTER_STATE_PARKED: _ClassVar[DeadLetterState]
    DEAD_LETTER_STATE_QUEUED: _ClassVar[DeadLetterState]

class DifferenceKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIFFERENCE_KIND_UNSPECIFIED: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_MISSING: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_STALE: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_EXTRA: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_WRONG: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_WRONG_MEMBERS: _ClassVar[DifferenceKind]
    DIFFERENCE_KIND_AHEAD: _ClassVar[DifferenceKind]

class Resolution(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RESOLUTION_UNSPECIFIED: _ClassVar[Resolution]
    RESOLUTION_REPORTED: _ClassVar[Resolution]
    RESOLUTION_REPAIRED: _ClassVar[Resolution]
    RESOLUTION_HELD: _ClassVar[Resolution]
    RESOLUTION_FAILED: _ClassVar[Resolution]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_APPLIED: Outcome
OUTCOME_SKIPPED: Outcome
OUTCOME_HELD: Outcome
OUTCOME_FAILED: Outcome
TARGET_KIND_UNSPECIFIED: TargetKind
TARGET_KIND_COLLABORATOR: TargetKind
TARGET_KIND_EMPLOYEE: TargetKind
TARGET_KIND_DEVICE: TargetKind
DEAD_LETTER_STATE_UNSPECIFIED: DeadLetterState
DEAD_LETTER_STATE_PARKED: DeadLetterState
DEAD_LETTER_STATE_QUEUED: DeadLetterState
DIFFERENCE_KIND_UNSPECIFIED: DifferenceKind
DIFFERENCE_KIND_MISSING: DifferenceKind
DIFFERENCE_KIND_STALE: DifferenceKind
DIFFERENCE_KIND_EXTRA: DifferenceKind
DIFFERENCE_KIND_WRONG: DifferenceKind
DIFFERENCE_KIND_WRONG_MEMBERS: DifferenceKind
DIFFERENCE_KIND_AHEAD: DifferenceKind
RESOLUTION_UNSPECIFIED: Resolution
RESOLUTION_REPORTED: Resolution
RESOLUTION_REPAIRED: Resolution
RESOLUTION_HELD: Resolution
RESOLUTION_FAILED: Resolution

class Effect(_message.Message):
    __slots__ = ("effect_id", "event_id", "event_type", "request_id", "workspace_id", "connection_id", "user_id", "user_name", "rule", "rule_version", "target_kind", "target_id", "target_name", "action", "before", "after", "outcome", "reason", "time", "repair")
    EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    USER_NAME_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    RULE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TARGET_KIND_FIELD_NUMBER: _ClassVar[int]
    TARGET_ID_FIELD_NUMBER: _ClassVar[int]
    TARGET_NAME_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    REPAIR_FIELD_NUMBER: _ClassVar[int]
    effect_id: str
    event_id: str
    event_type: str
    request_id: str
    workspace_id: str
    connection_id: str
    user_id: str
    user_name: str
    rule: str
    rule_version: int
    target_kind: TargetKind
    target_id: str
    target_name: str
    action: str
    before: str
    after: str
    outcome: Outcome
    reason: str
    time: _timestamp_pb2.Timestamp
    repair: bool
    def __init__(self, effect_id: _Optional[str] = ..., event_id: _Optional[str] = ..., event_type: _Optional[str] = ..., request_id: _Optional[str] = ..., workspace_id: _Optional[str] = ..., connection_id: _Optional[str] = ..., user_id: _Optional[str] = ..., user_name: _Optional[str] = ..., rule: _Optional[str] = ..., rule_version: _Optional[int] = ..., target_kind: _Optional[_Union[TargetKind, str]] = ..., target_id: _Optional[str] = ..., target_name: _Optional[str] = ..., action: _Optional[str] = ..., before: _Optional[str] = ..., after: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., reason: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., repair: _Optional[bool] = ...) -> None: ...

class ListEffectsRequest(_message.Message):
    __slots__ = ("workspace_id", "user", "outcome", "target", "after_effect_id", "page_size", "page_token", "request_id", "before_effect_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    AFTER_EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    BEFORE_EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    user: str
    outcome: Outcome
    target: str
    after_effect_id: str
    page_size: int
    page_token: str
    request_id: str
    before_effect_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., user: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., target: _Optional[str] = ..., after_effect_id: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., request_id: _Optional[str] = ..., before_effect_id: _Optional[str] = ...) -> None: ...

class ListEffectsResponse(_message.Message):
    __slots__ = ("effects", "next_page_token")
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    effects: _containers.RepeatedCompositeFieldContainer[Effect]
    next_page_token: str
    def __init__(self, effects: _Optional[_Iterable[_Union[Effect, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetEffectRequest(_message.Message):
    __slots__ = ("workspace_id", "effect_id")
    WORKSPACE_ID_FIELD_NUMBER: _ClassVar[int]
    EFFECT_ID_FIELD_NUMBER: _ClassVar[int]
    workspace_id: str
    effect_id: str
    def __init__(self, workspace_id: _Optional[str] = ..., effect_id: _Optional[str] = ...) -> None: ...

class GetEffectResponse(_message.Message):
    __slots__ = ("effect",)
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    effect: Effect
    def __init__(self, effect: _Optional[_Union[Effect, _Mapping]] = ...) -> None: ...

class DeadLetter(_message.Message):
    __slots__ = ("dead_letter_id", "event_id", "event_type", "connection_id", "resource_id", "version", "state", "error", "attempts", "time")
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    EVENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: str
    event_id: str
    event_type: str
    connection_id: str
    resource_id: str
    version: int
    state: DeadLetterState
    error: str
    attempts: int
    time: _timestamp_pb2.Timestamp
    def __init__(self, dead_letter_id: _Optional[str] = ..., event_id: _Optional[str] = ..., event_type: _Optional[str] = ..., connection_id: _Optional[str] = ..., resource_id: _Optional[str] = ..., version: _Optional[int] = ..., state: _Optional[_Union[DeadLetterState, str]] = ..., error: _Optional[str] = ..., attempts: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListDeadLettersRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "connection_id")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    connection_id: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., connection_id: _Optional[str] = ...) -> None: ...

class ListDeadLettersResponse(_message.Message):
    __slots__ = ("dead_letters", "next_page_token")
    DEAD_LETTERS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    dead_letters: _containers.RepeatedCompositeFieldContainer[DeadLetter]
    next_page_token: str
    def __init__(self, dead_letters: _Optional[_Iterable[_Union[DeadLetter, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetDeadLetterRequest(_message.Message):
    __slots__ = ("dead_letter_id",)
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: str
    def __init__(self, dead_letter_id: _Optional[str] = ...) -> None: ...

class GetDeadLetterResponse(_message.Message):
    __slots__ = ("dead_letter",)
    DEAD_LETTER_FIELD_NUMBER: _ClassVar[int]
    dead_letter: DeadLetter
    def __init__(self, dead_letter: _Optional[_Union[DeadLetter, _Mapping]] = ...) -> None: ...

class RetryDeadLetterRequest(_message.Message):
    __slots__ = ("dead_letter_id",)
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: str
    def __init__(self, dead_letter_id: _Optional[str] = ...) -> None: ...

class RetryDeadLetterResponse(_message.Message):
    __slots__ = ("applied",)
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    applied: int
    def __init__(self, applied: _Optional[int] = ...) -> None: ...

class DiscardDeadLetterRequest(_message.Message):
    __slots__ = ("dead_letter_id",)
    DEAD_LETTER_ID_FIELD_NUMBER: _ClassVar[int]
    dead_letter_id: str
    def __init__(self, dead_letter_id: _Optional[str] = ...) -> None: ...

class DiscardDeadLetterResponse(_message.Message):
    __slots__ = ("applied",)
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    applied: int
    def __init__(self, applied: _Optional[int] = ...) -> None: ...

class Difference(_message.Message):
    __slots__ = ("kind", "resolution", "resource_kind", "resource_id", "connection_id", "directory_version", "applied_version", "fields", "effects", "error")
    KIND_FIELD_NUMBER: _ClassVar[int]
    RESOLUTION_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_KIND_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_ID_FIELD_NUMBER: _ClassVar[int]
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_VERSION_FIELD_NUMBER: _ClassVar[int]
    APPLIED_VERSION_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    kind: DifferenceKind
    resolution: Resolution
    resource_kind: str
    resource_id: str
    connection_id: str
    directory_version: int
    applied_version: int
    fields: _containers.RepeatedScalarFieldContainer[str]
    effects: _containers.RepeatedCompositeFieldContainer[Effect]
    error: str
    def __init__(self, kind: _Optional[_Union[DifferenceKind, str]] = ..., resolution: _Optional[_Union[Resolution, str]] = ..., resource_kind: _Optional[str] = ..., resource_id: _Optional[str] = ..., connection_id: _Optional[str] = ..., directory_version: _Optional[int] = ..., applied_version: _Optional[int] = ..., fields: _Optional[_Iterable[str]] = ..., effects: _Optional[_Iterable[_Union[Effect, _Mapping]]] = ..., error: _Optional[str] = ...) -> None: ...

class ReconcileProgress(_message.Message):
    __slots__ = ("connections_done", "connections_total", "examined")
    CONNECTIONS_DONE_FIELD_NUMBER: _ClassVar[int]
    CONNECTIONS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    EXAMINED_FIELD_NUMBER: _ClassVar[int]
    connections_done: int
    connections_total: int
    examined: int
    def __init__(self, connections_done: _Optional[int] = ..., connections_total: _Optional[int] = ..., examined: _Optional[int] = ...) -> None: ...

class ReconcileSummary(_message.Message):
    __slots__ = ("connections", "examined", "differences", "repaired", "held", "failed")
    CONNECTIONS_FIELD_NUMBER: _ClassVar[int]
    EXAMINED_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCES_FIELD_NUMBER: _ClassVar[int]
    REPAIRED_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    connections: int
    examined: int
    differences: int
    repaired: int
    held: int
    failed: int
    def __init__(self, connections: _Optional[int] = ..., examined: _Optional[int] = ..., differences: _Optional[int] = ..., repaired: _Optional[int] = ..., held: _Optional[int] = ..., failed: _Optional[int] = ...) -> None: ...

class ReconcileRequest(_message.Message):
    __slots__ = ("connection_id", "dry_run", "apply_destructive")
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    APPLY_DESTRUCTIVE_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    dry_run: bool
    apply_destructive: bool
    def __init__(self, connection_id: _Optional[str] = ..., dry_run: _Optional[bool] = ..., apply_destructive: _Optional[bool] = ...) -> None: ...

class ReconcileResponse(_message.Message):
    __slots__ = ("progress", "difference", "summary")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    progress: ReconcileProgress
    difference: Difference
    summary: ReconcileSummary
    def __init__(self, progress: _Optional[_Union[ReconcileProgress, _Mapping]] = ..., difference: _Optional[_Union[Difference, _Mapping]] = ..., summary: _Optional[_Union[ReconcileSummary, _Mapping]] = ...) -> None: ...

class VerifyRequest(_message.Message):
    __slots__ = ("connection_id",)
    CONNECTION_ID_FIELD_NUMBER: _ClassVar[int]
    connection_id: str
    def __init__(self, connection_id: _Optional[str] = ...) -> None: ...

class VerifyResponse(_message.Message):
    __slots__ = ("progress", "difference", "summary")
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    DIFFERENCE_FIELD_NUMBER: _ClassVar[int]
    SUMMARY_FIELD_NUMBER: _ClassVar[int]
    progress: ReconcileProgress
    difference: Difference
    summary: ReconcileSummary
    def __init__(self, progress: _Optional[_Union[ReconcileProgress, _Mapping]] = ..., difference: _Optional[_Union[Difference, _Mapping]] = ..., summary: _Optional[_Union[ReconcileSummary, _Mapping]] = ...) -> None: ...
