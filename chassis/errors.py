"""Errors across gRPC: a domain error becomes a `google.rpc.Status`, and a status becomes an `RpcFailure` again.

    Exception
    ├── DomainError            raised by use cases; each service declares one subclass per thing that can happen
    │   ├── InvalidCredential  (auth)
    │   └── PermissionDenied   (auth)
    └── RpcFailure             what a caller sees

AIP-193: every status carries `google.rpc.ErrorInfo`; `reason` is a name of the service's `ErrorReason` enum without its
prefix, `domain` is the service's, such as "directory.rollcall".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class DomainError(Exception):
    """Something that a use case refuses. A subclass sets `code`, `reason` and `domain` for the class.

    `message` is a clear sentence for the person who sent the request; `metadata` names what is involved, by ids only;
    `field` is the request's field that is to blame, if one is; `retry_seconds` says when it is worth another try.
    """

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.FAILED_PRECONDITION
    reason: ClassVar[str] = "UNSPECIFIED"
    domain: ClassVar[str] = "rollcall"

    def __init__(
        self,
        message: str = "",
        *,
        metadata: Mapping[str, str] | None = None,
        field: str | None = None,
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata: Mapping[str, str] = metadata or {}
        self.field = field
        self.retry_seconds = retry_seconds


class RpcFailure(Exception):
    """A call that failed, as its caller sees it; `reason` is empty when the failure is not one of the service's own."""

    def __init__(
        self,
        code: grpc.StatusCode,
        *,
        reason: str = "",
        domain: str = "",
        message: str = "",
        metadata: Mapping[str, str] | None = None,
        field: str | None = None,
        request_id: str = "",
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(f"{code.name} {reason}: {message}" if reason else f"{code.name}: {message}")
        self.code = code
        self.reason = reason
        self.domain = domain
        self.message = message
        self.metadata: Mapping[str, str] = metadata or {}
        self.field = field
        self.request_id = request_id
        self.retry_seconds = retry_seconds


def to_status(error: DomainError, request_id: str) -> status_pb2.Status:
    """Make the rich status of a domain error.

    ErrorInfo always, RequestInfo with the id, BadRequest for a field, RetryInfo where it says when to try again.
    """
    status = status_pb2.Status(code=error.code.value[0], message=error.message)
    details: list[object] = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=error.domain, metadata=dict(error.metadata)),
        error_details_pb2.RequestInfo(request_id=request_id),
    ]
    if error.field is not None:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_seconds * 1000))
        details.append(retry)
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)  # type: ignore[arg-type]  # every detail is a message
        status.details.append(packed)
    return status


def status_metadata(status: status_pb2.Status) -> tuple[tuple[str, bytes], ...]:
    """Give the trailing metadata that carries a rich status over gRPC."""
    return ((_DETAILS_KEY, status.SerializeToString()),)


def from_rpc_error(error: grpc.RpcError) -> RpcFailure:
    """Read what a failed call says; a status without details gives an `RpcFailure` with the code and message only."""
    code = error.code() if callable(getattr(error, "code", None)) else grpc.StatusCode.UNKNOWN
    message = (error.details() if callable(getattr(error, "details", None)) else None) or ""
    trailing = error.trailing_metadata() if callable(getattr(error, "trailing_metadata", None)) else None
    packed: bytes | None = None
    pairs: Iterable[tuple[str, str | bytes]] = trailing or ()  # type: ignore[assignment]  # the stubs lack __iter__
    for key, value in pairs:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            packed = value
    if packed is None:
        return RpcFailure(code, message=message)
    status = status_pb2.Status.FromString(packed)
    info, bad, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RequestInfo()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for target in (info, bad, request, retry):
            if detail.Is(target.DESCRIPTOR):
                detail.Unpack(target)
    return RpcFailure(
        _CODES.get(status.code, code),
        reason=info.reason,
        domain=info.domain,
        message=status.message or message,
        metadata=dict(info.metadata),
        field=bad.field_violations[0].field if bad.field_violations else None,
        request_id=request.request_id,
        retry_seconds=retry.retry_delay.ToMilliseconds() / 1000 if retry.HasField("retry_delay") else None,
    )
