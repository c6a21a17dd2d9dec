"""The table from the directory's reasons to HTTP."""

from __future__ import annotations

import grpc
import orjson
import pytest
from rollcall.directory.v1 import errors_pb2

from chassis.errors import RpcFailure
from gateway.errors import REASONS, TooManyRequests, Unauthorized, body_of, from_failure

REASON_NAMES = [name.removeprefix("ERROR_REASON_") for name in errors_pb2.ErrorReason.keys()]  # noqa: SIM118


def test_every_reason_of_the_directory_has_an_answer_and_no_other() -> None:
    """HOUSE: "one table in the gateway turns reasons into HTTP. A contract test fails on an unmapped reason"."""
    assert set(REASONS) == set(REASON_NAMES)


@pytest.mark.parametrize("reason", REASON_NAMES)
def test_a_scim_type_is_one_that_the_rfcs_define_for_its_status(reason: str) -> None:
    """RFC 7644 §3.12 table 9 and RFC 9865 §2.3: scimType is of a fixed set; 409 has `uniqueness`."""
    status, scim_type = REASONS[reason]
    of_400 = {
        "invalidFilter",
        "invalidPath",
        "invalidValue",
        "invalidSyntax",
        "noTarget",
        "mutability",
        "invalidCursor",
        "expiredCursor",
    }
    assert scim_type is None or scim_type in (of_400 if status == 400 else {"uniqueness"})
    assert 400 <= status < 600


def failure(code: grpc.StatusCode, reason: str = "", domain: str = "directory.rollcall") -> RpcFailure:
    return RpcFailure(code, reason=reason, domain=domain, message="what the directory said")


def test_the_words_of_the_directory_reach_the_administrator() -> None:
    """WIRE: "Our `detail` text is shown to the administrator"."""
    refusal = from_failure(failure(grpc.StatusCode.ALREADY_EXISTS, "USER_NAME_TAKEN"))
    assert (refusal.status, refusal.scim_type, refusal.detail) == (409, "uniqueness", "what the directory said")


@pytest.mark.parametrize("reason", ["INVALID_TOKEN", "CONNECTION_NOT_FOUND", "CONNECTION_DELETING"])
def test_every_wrong_token_gets_the_same_words(reason: str) -> None:
    """SECURITY: "an unknown one, an expired or revoked token: the same 401, in SCIM JSON"."""
    refusal = from_failure(failure(grpc.StatusCode.UNAUTHENTICATED, reason))
    assert (refusal.status, refusal.detail, dict(refusal.headers)) == (
        401,
        Unauthorized().detail,
        {"WWW-Authenticate": "Bearer"},
    )


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_a_directory_that_does_not_answer_is_503_with_retry_after(code: grpc.StatusCode) -> None:
    """SECURITY: "request deadline 30 s"; a client is told to come back, in whole seconds."""
    refusal = from_failure(failure(code, domain=""))
    assert refusal.status == 503
    assert refusal.headers["Retry-After"].isdigit()
    assert "directory said" not in refusal.detail


@pytest.mark.parametrize(
    "unknown",
    [
        failure(grpc.StatusCode.INTERNAL, domain=""),
        failure(grpc.StatusCode.INVALID_ARGUMENT, "SOMETHING_NEW"),
        failure(grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND", "portal.rollcall"),
        failure(grpc.StatusCode.UNKNOWN, "UNSPECIFIED"),
    ],
)
def test_a_failure_nobody_foresaw_says_nothing_of_itself(unknown: RpcFailure) -> None:
    """SECURITY: "Errors never carry a traceback, SQL, or another tenant's data … answered as a bare SCIM 500"."""
    refusal = from_failure(unknown)
    assert (refusal.status, refusal.detail) == (500, "internal error")


def test_status_is_a_string() -> None:
    """RFC 7644 §3.12: "status: The HTTP status code … expressed as a JSON string"."""
    assert orjson.loads(body_of(409, "taken", "uniqueness")) == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": "409",
        "scimType": "uniqueness",
        "detail": "taken",
    }


@pytest.mark.parametrize(("seconds", "header"), [(0.01, "1"), (1.0, "1"), (1.2, "2"), (59.9, "60")])
def test_retry_after_of_a_429_is_whole_seconds_rounded_up(seconds: float, header: str) -> None:
    """WIRE: "On 429 only an integer-seconds `Retry-After` is honoured"."""
    assert TooManyRequests("slow down", seconds).headers == {"Retry-After": header}
