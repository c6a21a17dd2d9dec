"""What is wrong with a connection, or about to be, and what to do about it in the identity provider.

Pure: facts go in, findings come out. `console/facts.py` gathers the facts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from google.protobuf.timestamp_pb2 import Timestamp
from rollcall.delivery.v1.delivery_service_pb2 import DeadLetter
from rollcall.directory.v1 import connection_service_pb2 as connections
from rollcall.directory.v1.group_pb2 import Group, ParkedMember
from rollcall.directory.v1.provisioning_log_service_pb2 import FailureSummary, ListSummary, ProvisioningLogSummary

from console.advice import Failure, advise

EXPIRY_WARNED = timedelta(days=30)
"""How long before its end a token is warned of."""
EXPIRY_CRITICAL = timedelta(days=7)
UNUSED = timedelta(days=30)
"""How long a token may go without use."""
NEVER_USED = timedelta(days=7)
"""How long a token may go without its first use."""
QUIET = timedelta(days=7)
"""After how long without a request that is worth knowing: an identity provider sends nothing while nothing changes."""
QUIET_WARNED = timedelta(days=30)
"""How long a connection may go without a request: people come and go in most months."""
SETTING_UP = timedelta(days=1)
"""How long nobody wonders about a connection without a first request."""
ARRIVING = timedelta(hours=1)
"""How long members of a pushed group may be awaited: Okta pushes groups and people at the same time."""
SLOW_CRITICAL = timedelta(seconds=45)
"""Okta gives a request up after 60 s."""
OKTA_LIMIT = timedelta(seconds=60)
LIMITED_SHARE = 0.1
"""Which part of the requests may be refused because too many come at once."""
ATTEMPTS = 10
"""After so many refusals with 429 Okta fails a task for good."""
ATTEMPTS_WARNED = 7
REPEATED = 3
"""How often an hour a page that is not the last may be asked for."""
NAMED = 5
"""How many groups or people a finding names."""
FAILURES_TOLD = 5
"""How many kinds of failures have a finding each."""


class Severity(IntEnum):
    """How bad it is."""

    NOTICE = 1
    """Worth knowing; nothing is lost."""
    WARNING = 2
    """Something is lost for somebody, or will be."""
    CRITICAL = 3
    """The connection does not work, or will soon not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or about to be."""

    code: str
    severity: Severity
    title: str
    meaning: str
    """What it means for people, groups or devices."""
    steps: tuple[str, ...]
    """What to do, in order."""
    page: str = ""
    """The page below the connection's own that shows more; empty: none."""
    page_text: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a connection."""

    now: datetime
    connection: connections.Connection
    tokens: Sequence[connections.Token] = ()
    log: ProvisioningLogSummary = field(default_factory=ProvisioningLogSummary)
    """Of the last seven days."""
    parked: Sequence[ParkedMember] = ()
    """Some of the members that name nobody, the oldest first."""
    parked_count: int = 0
    empty_groups: Sequence[Group] = ()
    """Groups without a member, parked or not, among those that were looked at."""
    without_email: Sequence[str] = ()
    """User names of active users for whom no account could be made because they have no e-mail address."""
    more_without_email: bool = False
    """Whether there may be others."""
    dead_letters: Sequence[DeadLetter] = ()
    more_dead_letters: bool = False


def examine(facts: Facts) -> list[Finding]:
    """Return what is wrong with a connection, the worst first; nothing else is wrong with one that is being deleted."""
    if facts.connection.state == connections.CONNECTION_STATE_DELETING:
        return []
    found = [finding for check in _CHECKS for finding in check(facts)]
    return sorted(found, key=lambda finding: -finding.severity)


def health(findings: Sequence[Finding]) -> tuple[str, str]:
    """Return the state of a connection in a few words, and its kind: `good`, `neutral`, `warning` or `bad`."""
    worst = max((finding.severity for finding in findings), default=None)
    if worst is None:
        return "Healthy", "good"
    if any(finding.code == "NO_REQUEST_YET" and finding.severity is worst for finding in findings):
        return "Waiting for the first request", "neutral" if worst is Severity.NOTICE else "warning"
    same = sum(finding.severity is worst for finding in findings)
    if worst is Severity.NOTICE:
        return f"Healthy, {same} {'notice' if same == 1 else 'notices'}", "good"
    if worst is Severity.WARNING:
        return f"{same} {'warning' if same == 1 else 'warnings'}", "warning"
    return f"{same} critical {'problem' if same == 1 else 'problems'}", "bad"


def anchors(findings: Sequence[Finding]) -> list[str]:
    """Return a name for each finding that is unique among them: what it is, and which of those it is."""
    seen: Counter[str] = Counter()
    named = []
    for finding in findings:
        seen[finding.code] += 1
        number = seen[finding.code]
        named.append(finding.code.lower().replace("_", "-") + (f"-{number}" if number > 1 else ""))
    return named


def provider(connection: connections.Connection) -> str:
    """Return who speaks on a connection, by the dialect that was seen last: `okta`, `entra` or `other`."""
    profiles = [one for one in connection.client_profiles if one.dialect in _PROVIDERS]
    if not profiles:
        return "other" if connection.client_profiles else "okta"
    return _PROVIDERS[max(profiles, key=lambda one: one.last_seen_time.ToNanoseconds()).dialect]


def last_request(connection: connections.Connection) -> Timestamp | None:
    """Return when a request was last answered, by whichever of the two is later known: the connection, its dialects."""
    times = [one.last_seen_time for one in connection.client_profiles]
    if connection.HasField("last_request_time"):
        times.append(connection.last_request_time)
    return max(times, key=lambda one: one.ToNanoseconds(), default=None)


_PROVIDERS: dict[int, str] = {
    connections.CLIENT_DIALECT_OKTA: "okta",
    connections.CLIENT_DIALECT_OKTA_AIW: "okta",
    connections.CLIENT_DIALECT_OKTA_OIN: "okta",
    connections.CLIENT_DIALECT_ENTRA: "entra",
}

# What the same thing is called by each identity provider.
_ENTER_TOKEN = {
    "okta": (
        "In Okta, open the application, Provisioning, Integration, and choose Edit.",
        "Paste the new token into Authorization (Bearer), choose Test Connector Configuration, then Save.",
    ),
    "entra": (
        "In Entra, open the enterprise application, Provisioning, and Admin Credentials.",
        "Paste the new token into Secret Token, choose Test Connection, then Save.",
    ),
    "other": ("Enter the new token in the identity provider, and test the connection there.",),
}
_TRY_AGAIN = {
    "okta": "In Okta, open Dashboard, Tasks, and retry the tasks that failed; Okta does not send them again by itself.",
    "entra": "Entra sends it again in its next cycle; Provision on demand does it at once.",
    "other": "Let the identity provider send what failed once more.",
}
_PUSH_AGAIN = {
    "okta": "In Okta, on the tab Push Groups, choose Push now for the group.",
    "entra": "In Entra, open Provisioning and choose Restart provisioning, or Provision on demand for the group.",
    "other": "Let the identity provider send the group once more.",
}
_LOOK = {
    "okta": "In Okta, open the application's Provisioning tab: the integration must be enabled, and Create Users, "
    "Update User Attributes and Deactivate Users must be switched on under To App.",
    "entra": "In Entra, open the enterprise application, Provisioning: its status must be On, without quarantine.",
    "other": "Look in the identity provider whether provisioning is switched on and shows errors.",
}


def _state(facts: Facts) -> Iterator[Finding]:
    if facts.connection.state == connections.CONNECTION_STATE_DISABLED:
        yield Finding(
            "DISABLED",
            Severity.CRITICAL,
            "The connection is disabled",
            "Every request of the identity provider is answered with 401. Who joins, leaves or changes there is not "
            "noticed here, and what the identity provider gives up meanwhile is not sent again by itself.",
            ("Enable the connection on its page.", _TRY_AGAIN[provider(facts.connection)]),
        )


def _quiet(facts: Facts) -> Iterator[Finding]:
    connection = facts.connection
    last = last_request(connection)
    if last is None:
        age = facts.now - _time(connection.created_time)
        yield Finding(
            "NO_REQUEST_YET",
            Severity.WARNING if age > SETTING_UP else Severity.NOTICE,
            "No request has come yet",
            "The identity provider does not know this connection, or cannot reach it: nobody is provisioned.",
            (
                "Enter the base URL and a token in the identity provider, as the connection's page says.",
                "Test the connection there: the request must appear in the provisioning log within seconds.",
                "If it does not, the identity provider cannot reach the base URL: check DNS, the firewall, and that "
                "its certificate is one that the identity provider trusts.",
            ),
            "setup",
            "What to fill in",
        )
        return
    silence = facts.now - _time(last)
    if silence > QUIET:
        yield Finding(
            "QUIET",
            Severity.WARNING if silence > QUIET_WARNED else Severity.NOTICE,
            f"No request for {_days(silence)}",
            "Nothing may have changed in the identity provider. If something did, it has not arrived: people who left "
            "still have their access.",
            (
                _LOOK[provider(connection)],
                "Change something small, such as somebody's title, and see whether a request appears in the log.",
            ),
            "log",
            "Provisioning log",
        )


def _tokens(facts: Facts) -> Iterator[Finding]:
    live = [one for one in facts.tokens if _is_live(one, facts.now)]
    own = provider(facts.connection)
    if not live:
        yield Finding(
            "NO_TOKEN",
            Severity.CRITICAL,
            "The connection has no live token",
            "Every token has expired or is revoked, so every request is answered with 401.",
            ("Issue a token.", *_ENTER_TOKEN[own], _TRY_AGAIN[own]),
            "tokens",
            "Tokens",
        )
    for token in live:
        others = [one for one in live if one.token_id != token.token_id]
        left = _time(token.expire_time) - facts.now
        if left <= EXPIRY_WARNED:
            yield _expiring(token, others, left, own)
        unused = _unused_for(token, facts.now)
        never = not token.HasField("last_used_time")
        if unused <= (NEVER_USED if never else UNUSED) or last_request(facts.connection) is None:
            continue
        yield Finding(
            "TOKEN_UNUSED",
            Severity.NOTICE,
            f"Token {short(token.token_id)} was {'never used' if never else 'last used'}"
            f"{'' if never else f' {_days(unused)} ago'}",
            "A token that nobody needs is a key that somebody may find."
            if others
            else "It is the only one: the identity provider has not used it since.",
            ("Revoke it, unless you are about to use it.",) if others else (_LOOK[own],),
            "tokens",
            "Tokens",
        )


def _expiring(token: connections.Token, others: Sequence[connections.Token], left: timedelta, own: str) -> Finding:
    replaced = [
        one
        for one in others
        if one.expire_time.ToNanoseconds() > token.expire_time.ToNanoseconds()
        and (
            not token.HasField("last_used_time")
            or one.last_used_time.ToNanoseconds() > token.last_used_time.ToNanoseconds()
        )
    ]
    title = f"Token {short(token.token_id)} expires in {_days(left)}"
    if replaced:
        return Finding(
            "TOKEN_EXPIRES",
            Severity.NOTICE,
            title,
            f"It is not the one in use, and token {short(replaced[0].token_id)} lives longer: nothing will stop.",
            (f"Revoke token {short(token.token_id)}, or leave it to its end.",),
            "tokens",
            "Tokens",
        )
    return Finding(
        "TOKEN_EXPIRES",
        Severity.CRITICAL if left <= EXPIRY_CRITICAL else Severity.WARNING,
        title,
        "From then on requests with it are answered with 401, and nobody is provisioned or deactivated.",
        (
            "Issue a second token: both work until you revoke the first."
            if len(others) == 0
            else "A second token is there already: enter that one, or revoke it and issue another.",
            *_ENTER_TOKEN[own],
            "When the new token's last use is shown under Tokens, revoke the old one.",
        ),
        "tokens",
        "Tokens",
    )


def _failures(facts: Facts) -> Iterator[Finding]:
    own = provider(facts.connection)
    for failure in facts.log.failures[:FAILURES_TOLD]:
        yield _failing(failure, own, last_request(facts.connection))
    rest = facts.log.failures[FAILURES_TOLD:]
    if rest:
        yield Finding(
            "FAILING_OTHERWISE",
            Severity.WARNING,
            f"{_count(sum(one.count for one in rest), 'more request')} failed for other reasons",
            "Each of them is something that the identity provider wanted and did not get.",
            ("Go through the failed requests in the provisioning log; each says what to do.", _TRY_AGAIN[own]),
            "log",
            "Failed requests",
        )


def _failing(failure: FailureSummary, own: str, answered: Timestamp | None) -> Finding:
    kind = f"{failure.status} {failure.scim_type}".strip()
    asked = f"{failure.method} {failure.route or 'of a path that does not exist'}"
    # Without a good token, or without a service, nothing works; unless a request was answered since. Who may only read
    # is answered, and provisions nobody.
    since = answered is not None and answered.ToNanoseconds() > failure.last_time.ToNanoseconds()
    refused_all = failure.status == 403 or ((failure.status == 401 or failure.status >= 500) and not since)
    advice = advise(Failure(failure.status, failure.scim_type, failure.route, failure.detail))
    return Finding(
        "FAILING",
        Severity.CRITICAL if refused_all else Severity.WARNING,
        f"{_count(failure.count, 'request')} failed: {asked}, {kind}",
        f"{advice.cause} The last one came {_time(failure.last_time):%d %b %Y, %H:%M} UTC.",
        (advice.remedy, _TRY_AGAIN[own]),
        f"log/{failure.last_entry_id}",
        "The last such request",
    )


def _limited(facts: Facts) -> Iterator[Finding]:
    log = facts.log
    if not log.limited_count:
        return
    share, run = log.limited_count / max(log.request_count, 1), log.longest_limited_run
    if share < LIMITED_SHARE and run < ATTEMPTS_WARNED:
        return
    yield Finding(
        "LIMITED",
        Severity.CRITICAL if run >= ATTEMPTS else Severity.WARNING,
        f"{log.limited_count:,} of the last {log.request_count:,} requests were refused with 429",
        f"Too many came at once; up to {run} in a row were refused. Okta tries a task {ATTEMPTS} times and then fails "
        "it for good.",
        (
            "Ask the operator of Rollcall to raise the limit of requests a second for this connection's token.",
            "In Okta, assign large groups one after the other, outside working hours.",
            _TRY_AGAIN[provider(facts.connection)],
        ),
        "log",
        "Provisioning log",
    )


def _slow(facts: Facts) -> Iterator[Finding]:
    log, longest = facts.log, facts.log.longest_duration.ToTimedelta()
    if not log.slow_count:
        return
    yield Finding(
        "SLOW",
        Severity.CRITICAL if longest >= SLOW_CRITICAL else Severity.WARNING,
        f"{_count(log.slow_count, 'request')} took 20 seconds or longer, the longest {longest.total_seconds():.0f} s",
        f"Okta gives a request up after {OKTA_LIMIT.seconds} seconds and counts it as failed, even if it is done here "
        "afterwards.",
        (
            "See in the provisioning log which requests are slow: pushes of very large groups, or all of them.",
            "Split groups of many thousand members, or push them one after the other.",
            "If all requests are slow, ask the operator of Rollcall to look at the directory service's metrics.",
        ),
        "log",
        "Provisioning log",
    )


def _parked(facts: Facts) -> Iterator[Finding]:
    if not facts.parked_count:
        return
    oldest = facts.parked[0].parked_time if facts.parked else Timestamp()
    waiting = bool(facts.parked) and facts.now - _time(oldest) > ARRIVING
    groups = _named(dict.fromkeys(one.group_display_name for one in facts.parked))
    own = provider(facts.connection)
    assign = {
        "okta": "In Okta, assign these people to the application too, by a group of their own under Assignments. "
        "Okta does not support one group for both Assignments and Push Groups.",
        "entra": "In Entra, assign these people to the application under Users and groups; members of nested groups "
        "are not provisioned.",
        "other": "Let the identity provider provision these people on this connection too.",
    }[own]
    yield Finding(
        "PARKED",
        Severity.WARNING if waiting else Severity.NOTICE,
        f"{_count(facts.parked_count, 'group member')} not provisioned{f', in {groups}' if groups else ''}",
        "The groups were pushed with members whom this connection does not have. They get no role and see no app "
        "through these groups until they arrive; then they become members by themselves."
        + ("" if waiting else " This is usual for a few minutes after a group was pushed."),
        (assign, _PUSH_AGAIN[own]) if waiting else ("Wait an hour. " + assign,),
        "parked",
        "Parked members",
    )


def _empty(facts: Facts) -> Iterator[Finding]:
    empty = [one for one in facts.empty_groups if facts.now - _time(one.last_modified_time) > ARRIVING]
    if not empty:
        return
    own = provider(facts.connection)
    steps = {
        "okta": (
            "In Okta, see whether the group is on the tab Assignments as well as on Push Groups. Okta does not "
            "support that: its members are not sent.",
            "Make a second group with the same people. Assign the application to one, push the other.",
            "On the tab Push Groups, choose Push now.",
        ),
        "entra": (
            "In Entra, see whether the group has direct members: members of groups within it are not sent.",
            _PUSH_AGAIN["entra"],
        ),
        "other": ("See whether the group has members in the identity provider.", _PUSH_AGAIN["other"]),
    }[own]
    groups = _named([one.display_name for one in empty])
    yield Finding(
        "EMPTY_GROUP",
        Severity.WARNING,
        f"{_count(len(empty), 'group')} without a member: {groups}",
        "The group was pushed, its members never arrived. The usual cause is a group that is used for assignment and "
        "for push. Roles and apps that depend on it reach nobody. A group that is empty in the identity provider too "
        "is in order.",
        steps,
        "groups",
        "Groups",
    )


def _no_email(facts: Facts) -> Iterator[Finding]:
    if not facts.without_email:
        return
    own, count = provider(facts.connection), len(facts.without_email)
    mapping = {
        "okta": "In Okta, open the application's Provisioning tab, To App, Attribute Mappings, and map email to the "
        "attribute email; or let the application username format be Email.",
        "entra": "In Entra, open Provisioning, Mappings, Provision Users, and map mail to emails[type eq "
        '"work"].value.',
        "other": "Let the identity provider send emails, or a userName that is an e-mail address.",
    }[own]
    yield Finding(
        "NO_EMAIL",
        Severity.WARNING,
        f"{'At least ' if facts.more_without_email else ''}{_count(count, 'user')} without an e-mail address: "
        f"{_named(facts.without_email)}",
        "No account can be made for somebody without an e-mail address: the effects are skipped, reason NO_EMAIL.",
        ("Give these people an e-mail address in the identity provider.", mapping),
        "users",
        "Users",
    )


def _imports(facts: Facts) -> Iterator[Finding]:
    for walked in facts.log.lists:
        if walked.most_repeated >= REPEATED:
            yield _repeating(walked)
        elif walked.first_pages and not walked.later_pages:
            yield Finding(
                "IMPORT_ENDS",
                Severity.NOTICE,
                f"Of {_things(walked)} only the first page was asked for",
                f"There are {walked.total_count:,}, more than one page holds. If the identity provider was importing, "
                "it knows only the first of them; if it only tested the connection, nothing is wrong.",
                (
                    "If you ran an import, compare the numbers it shows with those here.",
                    "In Okta, run Import Now once more; the pages must appear one after the other in the log.",
                    "If it stops again, a proxy between the two may drop the query of the URL: startIndex must arrive.",
                ),
                "log",
                "Provisioning log",
            )


def _repeating(walked: ListSummary) -> Finding:
    return Finding(
        "IMPORT_REPEATS",
        Severity.WARNING,
        f"The page of {_things(walked)} from number {walked.repeated_index:,} was asked for {walked.most_repeated} "
        "times within an hour",
        "An import asks for each page once. One that asks for the same again does not get on, and may never end.",
        (
            "Stop the import in the identity provider and run it once more, alone.",
            "See in the log whether these requests take long: the identity provider repeats what it has given up.",
            "If it repeats again, a proxy between the two may answer from a cache: it must not keep these answers.",
        ),
        "log",
        "Provisioning log",
    )


def _dead(facts: Facts) -> Iterator[Finding]:
    if not facts.dead_letters:
        return
    count = len(facts.dead_letters)
    yield Finding(
        "DEAD_LETTERS",
        Severity.CRITICAL,
        f"{'At least ' if facts.more_dead_letters else ''}{_count(count, 'event')} could not be applied",
        "What these events should have changed for a person, a group or a device has not happened, and later changes "
        "of the same one wait behind them.",
        ("Open the dead letters, see what went wrong, and retry them.",),
        "dead-letters",
        "Dead letters",
    )


_CHECKS: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    _state,
    _tokens,
    _dead,
    _failures,
    _limited,
    _slow,
    _quiet,
    _parked,
    _empty,
    _no_email,
    _imports,
)


def short(token_id: str) -> str:
    """Return enough of a token's id to tell it from another."""
    return token_id[:8]


def _is_live(token: connections.Token, now: datetime) -> bool:
    return not token.HasField("revoked_time") and _time(token.expire_time) > now


def _unused_for(token: connections.Token, now: datetime) -> timedelta:
    return now - _time(token.last_used_time if token.HasField("last_used_time") else token.created_time)


def _time(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(UTC)


def _days(time: timedelta) -> str:
    """Return a time in whole days, or hours where it is less than two days."""
    hours = int(time.total_seconds() // 3600)
    return _count(hours // 24, "day") if hours >= 48 else _count(max(hours, 1), "hour")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _named(names: Sequence[str] | dict[str, None]) -> str:
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more


def _things(walked: ListSummary) -> str:
    return walked.route.strip("/").lower() or "everything"
