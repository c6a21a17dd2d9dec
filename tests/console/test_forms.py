"""Forms, messages and errors of the console, apart from any page."""

from __future__ import annotations

import datetime
import json

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from chassis.client_address import client_address, networks
from chassis.errors import DomainError, from_rpc_error, status_metadata, to_status
from console.forms import Form
from console.problems import Problem, at_form, problem_of
from console.rendering import LONGEST_FLASH, make_templates, plural, read_flash, show_time


class Failed(grpc.RpcError):
    """A call that failed as a service refused it; without a refusal with a bare code."""

    def __init__(self, refusal: DomainError | grpc.StatusCode) -> None:
        self._refusal = refusal

    def code(self) -> grpc.StatusCode:
        return self._refusal.code if isinstance(self._refusal, DomainError) else self._refusal

    def details(self) -> str:
        return self._refusal.message if isinstance(self._refusal, DomainError) else ""

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        return status_metadata(to_status(self._refusal, "r1")) if isinstance(self._refusal, DomainError) else ()


def refusal(code: grpc.StatusCode, message: str, **options: object) -> DomainError:
    """A refusal of a service."""
    kind = type("Refusal", (DomainError,), {"code": code, "reason": "SOME_REASON"})
    return kind(message, **options)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (grpc.StatusCode.NOT_FOUND, "404 Not Found"),
        (grpc.StatusCode.ALREADY_EXISTS, "409 Conflict"),
        (grpc.StatusCode.INVALID_ARGUMENT, "409 Conflict"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "429 Too Many Requests"),
        (grpc.StatusCode.PERMISSION_DENIED, "403 Forbidden"),
        (grpc.StatusCode.UNAVAILABLE, "503 Service Unavailable"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "503 Service Unavailable"),
        (grpc.StatusCode.INTERNAL, "500 Internal Server Error"),
        (grpc.StatusCode.UNKNOWN, "500 Internal Server Error"),
    ],
)
def test_every_failure_of_a_service_is_told_to_a_person(code: grpc.StatusCode, status: str) -> None:
    """The agreement: NOT_FOUND 404, refusals with the service's message, UNAVAILABLE 503 with a time to come again."""
    problem = problem_of(Failed(refusal(code, "user x not found")))
    assert problem.status == status
    assert problem.title
    assert problem.message.endswith(".")
    if status.startswith(("404", "409", "429")):
        assert (problem.message, problem.reason) == ("User x not found.", "SOME_REASON")
    if status.startswith("503"):
        assert problem.retry_seconds > 0
    if status.startswith("500"):
        assert "r1" in problem.message
        assert "not found" not in problem.message


def test_a_failure_that_no_form_can_answer_for_goes_on() -> None:
    """The agreement: FAILED_PRECONDITION, INVALID_ARGUMENT, ALREADY_EXISTS at the form; all else has its own page."""
    taken = Failed(refusal(grpc.StatusCode.ALREADY_EXISTS, "name is taken", field="name"))
    assert (at_form(taken).message, at_form(taken).field) == ("Name is taken.", "name")
    for code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INTERNAL):
        with pytest.raises(Failed):
            at_form(Failed(code))


@pytest.mark.parametrize(("seconds", "told"), [(0.2, 1), (1.0, 1), (1.001, 2), (60.0, 60)])
def test_the_time_to_wait_is_whole_seconds_and_never_too_short(seconds: float, told: int) -> None:
    """AIP-193 RetryInfo to Retry-After, which has whole seconds (RFC 9110 §10.2.3)."""
    failed = Failed(refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", retry_seconds=seconds))
    assert from_rpc_error(failed).retry_seconds == pytest.approx(seconds, abs=0.001)
    assert problem_of(failed).retry_seconds == told


def test_a_form_gives_fields_and_keeps_what_is_wrong_by_field() -> None:
    """The agreement: `.text`, `.required`, `.choice`, `.list`; "errors collected by field to be shown beside it"."""
    given = Form({"name": [" Acme "], "role": ["root"], "group": ["a", "", " b "], "password": [" x "]})
    assert (given.text("name"), given.text("nothing", "default")) == ("Acme", "default")
    assert (given.verbatim("password"), given.list("group")) == (" x ", ("a", "b"))
    assert given.is_valid
    assert given.required("email") == ""
    assert given.choice("role", ("ADMIN", "VIEWER")) == ""
    given.fail("email", "another error")
    assert given.errors == {"email": "This field is required.", "role": "Choose one of the options."}
    assert not given.is_valid


@pytest.mark.parametrize(
    ("fields", "at"), [((), ""), (("name",), "name"), ({"name": "title"}, "title"), ({"other": "x"}, "")]
)
def test_what_a_service_refuses_is_told_at_the_field_of_the_form(fields: object, at: str) -> None:
    """A field that the form does not have is told at the form as a whole: nothing is lost."""
    given = Form({})
    given.refused(Problem("409", "No", "Not this.", field="name"), fields)  # type: ignore[arg-type]
    assert given.errors == {at: "Not this."}


@given(st.text(max_size=200))
def test_no_cookie_breaks_the_reading_of_a_message(value: str) -> None:
    """A cookie is anybody's text; what is no message is none."""
    found = read_flash(value)
    assert found is None or (found[0] in ("done", "failed") and len(found[1]) <= LONGEST_FLASH)


def test_times_are_shown_in_utc_with_the_exact_one_for_machines() -> None:
    """The agreement: "`datetime` (UTC, `<time datetime=…>`)"."""
    moment = datetime.datetime(2026, 3, 9, 7, 5, 1, 250_000, tzinfo=datetime.UTC)
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    for value in (moment, stamp, moment.astimezone(datetime.timezone(datetime.timedelta(hours=5)))):
        assert show_time(value) == (
            '<time datetime="2026-03-09T07:05:01.250Z" title="2026-03-09T07:05:01.250Z">9 Mar 2026, 07:05 UTC</time>'
        )
    assert (show_time(Timestamp()), show_time(None, "not yet")) == ("never", "not yet")


def test_counts_are_shown_with_their_noun() -> None:
    """The agreement: `plural`."""
    assert [plural(count, "entry", "entries") for count in (0, 1, 2)] == ["0 entries", "1 entry", "2 entries"]
    assert plural(100_000, "user") == "100,000 users"


def test_what_people_typed_is_never_markup() -> None:
    """The agreement: `autoescape=True, undefined=StrictUndefined`."""
    templates = make_templates()
    shown = templates.from_string("{{ text }} {{ [text]|tojson }}").render(text="<script>alert('x')</script>")
    assert "<script>" not in shown
    assert json.loads(shown.partition(" [")[2].join(["[", ""])) == ["<script>alert('x')</script>"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("10.0.0.9", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.9", "198.51.100.1, 203.0.113.5, 10.0.0.8", "203.0.113.5"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
        ("10.0.0.9", "", "10.0.0.9"),
        ("10.0.0.9", "10.0.0.8", "10.0.0.8"),
        ("10.0.0.9", "nonsense", "nonsense"),
        ("", "203.0.113.5", ""),
    ],
)
def test_the_nearest_address_that_is_no_proxy_of_ours_is_the_client_s(peer: str, forwarded: str, found: str) -> None:
    """SECURITY: attempts are counted "per client address": nobody chooses theirs by a header."""
    assert client_address(peer, forwarded, networks(["10.0.0.0/8"])) == found
    assert client_address(peer, forwarded, []) == peer
