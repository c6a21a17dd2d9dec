"""What an administrator reads when a service refuses or does not answer."""

from __future__ import annotations

from dataclasses import dataclass

import falcon
import grpc

from chassis.errors import from_rpc_error

RETRY_AFTER_SECONDS = 2

_AT_THE_FORM = frozenset(
    {
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
_AWAY = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})


@dataclass(frozen=True, slots=True)
class Problem:
    """A call that failed, in words for the person who made the request."""

    status: str
    """The HTTP status of the page that tells of it, where it has a page of its own."""
    title: str
    message: str
    field: str = ""
    """The field of the service's request that is to blame, if one is."""
    reason: str = ""
    """The name of the service's `ErrorReason`; empty: none of its own."""
    retry_seconds: int = 0
    """After how long it is worth another try; 0: it is not, or nobody knows."""

    @property
    def at_field(self) -> str:
        """The message without the name of the field, beside which it is shown."""
        rule = self.message.removeprefix(f"{self.field}: ") if self.field else self.message
        return _sentence(rule)


def problem_of(error: grpc.RpcError) -> Problem:
    """Say what a failed call means."""
    failure = from_rpc_error(error)
    code, message = failure.code, _sentence(failure.message)
    retry = 0 if failure.retry_seconds is None else max(1, -(-round(failure.retry_seconds * 1000) // 1000))
    if code is grpc.StatusCode.NOT_FOUND:
        return Problem(falcon.HTTP_404, "Not found", message, failure.field or "", failure.reason)
    if code in _AT_THE_FORM and failure.reason:
        return Problem(falcon.HTTP_409, "That cannot be done", message, failure.field or "", failure.reason)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and failure.reason:
        return Problem(falcon.HTTP_429, "Too many attempts", message, failure.field or "", failure.reason, retry)
    if code in _AWAY:
        return Problem(
            falcon.HTTP_503,
            "Not available at the moment",
            "A service of Rollcall does not answer. It may be starting again; try again in a moment.",
            retry_seconds=RETRY_AFTER_SECONDS,
        )
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return Problem(falcon.HTTP_403, "Not allowed", "The console is not allowed to do that.", reason=failure.reason)
    trace = f" Its log has the request id {failure.request_id}." if failure.request_id else ""
    return Problem(
        falcon.HTTP_500, "Something went wrong", f"A service of Rollcall failed.{trace}", reason=failure.reason
    )


def at_form(error: grpc.RpcError) -> Problem:
    """Return what a refusal says that belongs beside the form that was sent; raise any other failure again."""
    if from_rpc_error(error).code not in _AT_THE_FORM:
        raise error
    return problem_of(error)


def _sentence(message: str) -> str:
    text = message.strip()
    if not text:
        return "The service gave no reason."
    # Names that are written small, such as `userName`, stay as they are.
    first, _, _ = text.partition(" ")
    text = text[0].upper() + text[1:] if first.isalpha() and first.islower() else text
    return text if text.endswith((".", "!", "?")) else f"{text}."
