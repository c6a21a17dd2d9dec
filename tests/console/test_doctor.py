"""The doctor: each finding appears with facts that call for it, and not with facts just short of that."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rollcall.delivery.v1.delivery_service_pb2 import DeadLetter
from rollcall.directory.v1 import connection_service_pb2 as pb
from rollcall.directory.v1.group_pb2 import Group, ParkedMember
from rollcall.directory.v1.provisioning_log_service_pb2 import FailureSummary, ListSummary, ProvisioningLogSummary

from console.doctor import Facts, Finding, Severity, anchors, examine, health, provider

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def at(moment: datetime) -> Timestamp:
    made = Timestamp()
    made.FromDatetime(moment)
    return made


def ago(time: timedelta) -> Timestamp:
    return at(NOW - time)


def token(
    name: str = "a1b2c3d4e5", *, left: timedelta = 200 * DAY, used: timedelta | None = HOUR, **changes: Any
) -> Any:
    found = pb.Token(token_id=name, created_time=ago(60 * DAY), expire_time=at(NOW + left))
    if used is not None:
        found.last_used_time.CopyFrom(ago(used))
    for name_, value in changes.items():
        getattr(found, name_).CopyFrom(value)
    return found


def connection(
    dialect: int = pb.CLIENT_DIALECT_OKTA_AIW, *, last: timedelta | None = HOUR, **changes: Any
) -> pb.Connection:
    values = {"connection_id": "c", "state": pb.CONNECTION_STATE_ENABLED, "created_time": ago(90 * DAY)} | changes
    made = pb.Connection(**values)
    if last is not None:
        made.last_request_time.CopyFrom(ago(last))
        made.client_profiles.append(pb.ClientProfile(dialect=dialect, last_seen_time=ago(last)))  # type: ignore[arg-type]
    return made


def facts(**changes: Any) -> Facts:
    """A connection in order, but for what is changed."""
    values: dict[str, Any] = {"now": NOW, "connection": connection(), "tokens": [token()]} | changes
    return Facts(**values)


def log(**values: Any) -> ProvisioningLogSummary:
    return ProvisioningLogSummary(**({"request_count": 1000} | values))


def found(code: str, given: Facts) -> Finding:
    return next(one for one in examine(given) if one.code == code)


def codes(given: Facts) -> list[str]:
    return [one.code for one in examine(given)]


def parked(time: timedelta) -> list[ParkedMember]:
    return [ParkedMember(group_id="g", group_display_name="Pilots", value="x", parked_time=ago(time))]


def empty(time: timedelta) -> list[Group]:
    return [Group(id="g", display_name="Crew", last_modified_time=ago(time))]


def slow(seconds: float) -> ProvisioningLogSummary:
    summary = log(slow_count=2)
    summary.longest_duration.FromTimedelta(seconds * SECOND)
    return summary


def failed(status: int, time: timedelta) -> ProvisioningLogSummary:
    return log(failures=[FailureSummary(method="GET", route="/Users", status=status, count=1, last_time=ago(time))])


OLD, NEW = "old0old0old0", "new0new0new0"

CASES: list[tuple[str, Severity, dict[str, Any], dict[str, Any]]] = [
    (
        "DISABLED",
        Severity.CRITICAL,
        {"connection": connection(state=pb.CONNECTION_STATE_DISABLED)},
        {"connection": connection(state=pb.CONNECTION_STATE_ENABLED)},
    ),
    (
        "NO_REQUEST_YET",
        Severity.WARNING,
        {"connection": connection(last=None, created_time=ago(DAY + SECOND)), "tokens": [token(used=None)]},
        {"connection": connection(last=SECOND, created_time=ago(DAY + SECOND))},
    ),
    (
        "QUIET",
        Severity.NOTICE,
        {"connection": connection(last=7 * DAY + SECOND)},
        {"connection": connection(last=7 * DAY)},
    ),
    (
        "NO_TOKEN",
        Severity.CRITICAL,
        {"tokens": [token(left=timedelta()), token(revoked_time=ago(DAY))]},
        {"tokens": [token(left=SECOND), token(revoked_time=ago(DAY))]},
    ),
    (
        "TOKEN_EXPIRES",
        Severity.WARNING,
        {"tokens": [token(left=30 * DAY)]},
        {"tokens": [token(left=30 * DAY + SECOND)]},
    ),
    (
        "TOKEN_UNUSED",
        Severity.NOTICE,
        {"tokens": [token(NEW), token(OLD, used=30 * DAY + SECOND)]},
        {"tokens": [token(NEW), token(OLD, used=30 * DAY)]},
    ),
    (
        "FAILING",
        Severity.WARNING,
        {
            "log": log(
                failures=[FailureSummary(method="POST", route="/Users", status=409, scim_type="uniqueness", count=1)]
            )
        },
        {"log": log(failures=[])},
    ),
    (
        "FAILING_OTHERWISE",
        Severity.WARNING,
        {"log": log(failures=[FailureSummary(status=400 + n, count=1) for n in range(6)])},
        {"log": log(failures=[FailureSummary(status=400 + n, count=1) for n in range(5)])},
    ),
    (
        "LIMITED",
        Severity.WARNING,
        {"log": log(limited_count=100, longest_limited_run=6)},
        {"log": log(limited_count=99, longest_limited_run=6)},
    ),
    ("SLOW", Severity.WARNING, {"log": slow(20)}, {"log": log(slow_count=0)}),
    (
        "PARKED",
        Severity.WARNING,
        {"parked": parked(HOUR + SECOND), "parked_count": 1},
        {"parked": [], "parked_count": 0},
    ),
    ("EMPTY_GROUP", Severity.WARNING, {"empty_groups": empty(HOUR + SECOND)}, {"empty_groups": empty(HOUR)}),
    ("NO_EMAIL", Severity.WARNING, {"without_email": ["jo"]}, {"without_email": []}),
    (
        "IMPORT_ENDS",
        Severity.NOTICE,
        {"log": log(lists=[ListSummary(route="/Users", first_pages=1, later_pages=0, total_count=250)])},
        {"log": log(lists=[ListSummary(route="/Users", first_pages=1, later_pages=1, total_count=250)])},
    ),
    (
        "IMPORT_REPEATS",
        Severity.WARNING,
        {
            "log": log(
                lists=[ListSummary(route="/Users", first_pages=1, later_pages=3, most_repeated=3, repeated_index=101)]
            )
        },
        {
            "log": log(
                lists=[ListSummary(route="/Users", first_pages=1, later_pages=2, most_repeated=2, repeated_index=101)]
            )
        },
    ),
    ("DEAD_LETTERS", Severity.CRITICAL, {"dead_letters": [DeadLetter(dead_letter_id="d")]}, {"dead_letters": []}),
]


@pytest.mark.parametrize(("code", "severity", "triggering", "_short"), CASES, ids=[case[0] for case in CASES])
def test_what_is_wrong_is_found_with_its_fix(
    code: str, severity: Severity, triggering: dict[str, Any], _short: dict[str, Any]
) -> None:
    """Okta doctor on each connection: what is wrong or about to be, with the fix."""
    finding = found(code, facts(**triggering))
    assert finding.severity is severity
    assert finding.steps, "a finding says what to do"
    for text in (finding.title, finding.meaning, *finding.steps):
        assert text[0].isupper() or text[0].isdigit()
    for text in (finding.meaning, *finding.steps):
        assert text.endswith("."), text


@pytest.mark.parametrize(("code", "_severity", "_triggering", "short"), CASES, ids=[case[0] for case in CASES])
def test_what_is_just_in_order_is_not_found(
    code: str, _severity: Severity, _triggering: dict[str, Any], short: dict[str, Any]
) -> None:
    """Okta doctor on each connection: what is wrong or about to be."""
    assert code not in codes(facts(**short))


def test_every_check_has_its_case() -> None:
    """Every finding has a test: the names of the findings in the module are those of the cases."""
    import inspect
    import re

    from console import doctor

    named = set(re.findall(r'Finding\(\s*"([A-Z_]+)"', inspect.getsource(doctor)))
    assert named == {case[0] for case in CASES}


def test_a_connection_in_order_is_healthy() -> None:
    """The state of each connection: health."""
    assert examine(facts()) == []
    assert health([]) == ("Healthy", "good")


def test_the_worst_comes_first_and_gives_the_health_its_word() -> None:
    """The state of each connection: health."""
    given = facts(without_email=["jo", "mo"], dead_letters=[DeadLetter()], log=slow(30))
    findings = examine(given)
    assert [one.severity for one in findings] == sorted((one.severity for one in findings), reverse=True)
    assert health(findings) == ("1 critical problem", "bad")
    assert health(findings[1:]) == ("2 warnings", "warning")
    notice = examine(facts(parked=parked(HOUR), parked_count=1))
    assert health(notice) == ("Healthy, 1 notice", "good")
    for age, kind in ((DAY, "neutral"), (2 * DAY, "warning")):
        silent = facts(connection=connection(last=None, created_time=ago(age)), tokens=[token(used=None)])
        assert health(examine(silent)) == ("Waiting for the first request", kind)


@pytest.mark.parametrize(
    ("changes", "code", "severity"),
    [
        ({"tokens": [token(left=7 * DAY)]}, "TOKEN_EXPIRES", Severity.CRITICAL),
        ({"tokens": [token(left=7 * DAY + SECOND)]}, "TOKEN_EXPIRES", Severity.WARNING),
        ({"log": slow(45)}, "SLOW", Severity.CRITICAL),
        ({"log": slow(44.9)}, "SLOW", Severity.WARNING),
        ({"log": log(limited_count=10, longest_limited_run=7)}, "LIMITED", Severity.WARNING),
        ({"log": log(limited_count=10, longest_limited_run=9)}, "LIMITED", Severity.WARNING),
        ({"log": log(limited_count=10, longest_limited_run=10)}, "LIMITED", Severity.CRITICAL),
        ({"parked": parked(HOUR), "parked_count": 1}, "PARKED", Severity.NOTICE),
        (
            {"connection": connection(last=None, created_time=ago(DAY)), "tokens": [token(used=None)]},
            "NO_REQUEST_YET",
            Severity.NOTICE,
        ),
        ({"log": failed(401, SECOND)}, "FAILING", Severity.CRITICAL),
        ({"log": failed(503, SECOND)}, "FAILING", Severity.CRITICAL),
        ({"log": failed(401, 2 * HOUR)}, "FAILING", Severity.WARNING),  # a request was answered since
        ({"log": failed(503, 2 * HOUR)}, "FAILING", Severity.WARNING),
        ({"log": failed(403, 2 * HOUR)}, "FAILING", Severity.CRITICAL),
        ({"connection": connection(last=30 * DAY)}, "QUIET", Severity.NOTICE),
        ({"connection": connection(last=30 * DAY + SECOND)}, "QUIET", Severity.WARNING),
        ({"log": log(failures=[FailureSummary(status=404, count=1)])}, "FAILING", Severity.WARNING),
    ],
)
def test_how_bad_it_is_follows_what_is_lost(changes: dict[str, Any], code: str, severity: Severity) -> None:
    """Token near expiry; requests near 60 s; 429s near the tenth, which fails an Okta task for good (WIRE)."""
    assert found(code, facts(**changes)).severity is severity


def test_a_run_of_limited_requests_short_of_seven_is_left_alone() -> None:
    """A tenth limited attempt fails the task for good (WIRE)."""
    assert "LIMITED" not in codes(facts(log=log(limited_count=10, longest_limited_run=6)))


def test_a_token_that_another_has_taken_over_from_is_only_worth_a_notice() -> None:
    """Up to two live ones per connection so that rotation has no gap (PRODUCT §1)."""
    rotated = facts(tokens=[token(NEW, used=HOUR), token(OLD, left=DAY, used=2 * DAY)])
    assert found("TOKEN_EXPIRES", rotated).severity is Severity.NOTICE
    untouched = facts(tokens=[token(NEW, used=None), token(OLD, left=DAY, used=None)])
    assert found("TOKEN_EXPIRES", untouched).severity is Severity.NOTICE
    waiting = facts(tokens=[token(NEW, used=None), token(OLD, left=DAY, used=HOUR)])
    assert found("TOKEN_EXPIRES", waiting).severity is Severity.CRITICAL


def test_a_new_token_has_a_week_for_its_first_use() -> None:
    """Token near expiry or unused."""
    fresh = token(NEW, used=None, created_time=ago(7 * DAY))
    stale = token(NEW, used=None, created_time=ago(7 * DAY + SECOND))
    assert "TOKEN_UNUSED" not in codes(facts(tokens=[fresh, token(OLD)]))
    assert "never used" in found("TOKEN_UNUSED", facts(tokens=[stale, token(OLD)])).title


def test_failures_say_what_to_do_in_the_identity_provider() -> None:
    """Requests failing and why: each with what the administrator should do in the identity provider."""
    failure = FailureSummary(
        method="POST",
        route="/Users",
        status=409,
        scim_type="uniqueness",
        count=3,
        last_entry_id="e1",
        last_time=ago(DAY),
    )
    finding = found("FAILING", facts(log=log(failures=[failure])))
    assert finding.title == "3 requests failed: POST /Users, 409 uniqueness"
    assert "userName" in finding.meaning
    assert finding.page == "log/e1"
    assert any("Tasks" in step for step in finding.steps)


def test_five_kinds_of_failures_are_told_and_the_rest_counted() -> None:
    """Requests failing and why."""
    failures = [FailureSummary(status=400 + number, count=10 - number) for number in range(7)]
    findings = [one for one in examine(facts(log=log(failures=failures))) if one.code.startswith("FAILING")]
    assert [one.code for one in findings].count("FAILING") == 5
    assert next(one for one in findings if one.code == "FAILING_OTHERWISE").title.startswith("9 more requests")


@pytest.mark.parametrize(
    ("dialect", "word"),
    [
        (pb.CLIENT_DIALECT_OKTA, "Okta"),
        (pb.CLIENT_DIALECT_OKTA_OIN, "Okta"),
        (pb.CLIENT_DIALECT_ENTRA, "Entra"),
        (pb.CLIENT_DIALECT_OTHER, "identity provider"),
    ],
)
def test_steps_name_the_identity_provider_that_speaks(dialect: int, word: str) -> None:
    """With the fix in the identity provider, step by step."""
    finding = found("NO_EMAIL", facts(connection=connection(dialect), without_email=["jo"]))
    assert word in finding.steps[1]


def test_the_dialect_seen_last_decides_and_a_silent_connection_is_taken_for_okta() -> None:
    """Okta first, Entra and every other SCIM 2.0 client too (PRODUCT)."""
    both = connection(pb.CLIENT_DIALECT_OKTA, last=DAY)
    both.client_profiles.append(pb.ClientProfile(dialect=pb.CLIENT_DIALECT_ENTRA, last_seen_time=ago(HOUR)))
    assert provider(both) == "entra"
    assert provider(connection(last=None)) == "okta"


def test_the_same_group_for_assignment_and_push_is_named_as_the_cause() -> None:
    """Same group for assignment and push (members that never arrive)."""
    finding = found("EMPTY_GROUP", facts(empty_groups=empty(2 * HOUR)))
    assert "Crew" in finding.title
    assert "assignment and for push" in finding.meaning
    assert any("Assignments" in step and "Push Groups" in step for step in finding.steps)


def test_a_finding_names_five_and_counts_the_others() -> None:
    """Users without e-mail."""
    finding = found("NO_EMAIL", facts(without_email=[f"user{n}" for n in range(7)], more_without_email=True))
    assert finding.title.startswith("At least 7 users")
    assert finding.title.endswith("user4 and 2 more")


def test_nothing_is_wrong_with_a_connection_that_is_being_deleted() -> None:
    """The page of such a connection says what goes on; advice on it would be about nothing."""
    assert examine(facts(connection=connection(state=pb.CONNECTION_STATE_DELETING), tokens=[])) == []


def test_each_finding_has_an_anchor_of_its_own() -> None:
    """A link leads to one finding, also where there are several of a kind."""
    failures = [FailureSummary(status=400, count=1), FailureSummary(status=404, count=1)]
    findings = examine(facts(log=log(failures=failures)))
    assert anchors(findings) == ["failing", "failing-2"]
