"""What a request may cost."""

from __future__ import annotations

import contextlib
import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import TooManyRequests, UnsupportedMediaType
from gateway.limits import Buckets, FailedAuthentications, RateLimit, check_content_type, parse_json
from scim.errors import InvalidSyntax, InvalidValue

KEY = b"k" * 32


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "application/scim+json",
        "application/json",
        "application/scim+json; charset=utf-8",
        'Application/JSON;charset="UTF-8"',
        "application/scim+json;v=2",
    ],
)
def test_json_by_either_name_or_without_one_is_read(value: str | None) -> None:
    """WIRE: "bodies `application/scim+json; charset=utf-8`; accept `application/json` too"."""
    check_content_type(value)


@pytest.mark.parametrize(
    "value",
    ["text/plain", "application/xml", "application/json; charset=utf-16", "json", "application/x-www-form-urlencoded"],
)
def test_anything_else_is_415(value: str) -> None:
    """RFC 7644 §3.1: bodies are application/scim+json; JSON is UTF-8 (RFC 8259 §8.1)."""
    with pytest.raises(UnsupportedMediaType):
        check_content_type(value)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_depth_is_counted_in_objects_and_lists() -> None:
    """SECURITY: "JSON depth 20"."""
    assert parse_json(nested(20), 20) is not None
    with pytest.raises(InvalidSyntax, match="20 levels"):
        parse_json(nested(21), 20)
    with pytest.raises(InvalidSyntax):
        parse_json(b'{"a":' * 21 + b"1" + b"}" * 21, 20)
    assert len(parse_json(b"[" + b",".join([b"[]"] * 1000) + b"]", 20)) == 1000


DEEP = st.recursive(
    st.sampled_from([None, "[", "}", '{"', "\\[", "]{"]),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(st.sampled_from("a[}"), inner, min_size=1),
    max_leaves=30,
)


@settings(max_examples=200, deadline=None)
@given(DEEP, st.integers(1, 5))
def test_depth_is_that_of_the_value_whatever_its_text_holds(value: object, limit: int) -> None:
    """SECURITY: "JSON depth 20"; a bracket in a text is no nesting."""

    def depth(item: object) -> int:
        inner = item.values() if isinstance(item, dict) else item if isinstance(item, list) else None
        return 0 if inner is None else 1 + max((depth(member) for member in inner), default=0)

    body = json.dumps(value).encode()
    if depth(value) <= limit:
        assert parse_json(body, limit) == value
    else:
        with pytest.raises(InvalidSyntax):
            parse_json(body, limit)


@pytest.mark.parametrize("text", [str(2**63), str(-(2**63) - 1), str(2**64), "1" + "0" * 25, "-" + "1" * 300])
def test_an_integer_that_cannot_be_kept_is_refused(text: str) -> None:
    """PRODUCT §2: "kept verbatim"; RFC 8259 §6: "implementations may set limits on the range … of numbers"."""
    for body in (text, f'{{"a": [{text}]}}', f'{{"a": {{"b": -0, "c": {text} }} }}'):
        with pytest.raises(InvalidValue, match="64 bits"):
            parse_json(body.encode(), 20)


@pytest.mark.parametrize(
    "text", ["9223372036854775807", "-9223372036854775808", "0.12345678901234567890123", "1" * 30 + "e1"]
)
def test_a_long_number_that_can_be_kept_is(text: str) -> None:
    """PRODUCT §2: "kept verbatim"; a fraction or an exponent makes a number a double (RFC 8259 §6)."""
    assert parse_json(f'[{text}, "{"7" * 40}"]'.encode(), 20) == [json.loads(text), "7" * 40]


def test_depth_that_would_overflow_a_stack_is_refused_at_once() -> None:
    """SECURITY: "depth 1,000 and 2,000 `or` terms: 400, in under 50 ms"."""
    started = time.perf_counter()
    with pytest.raises(InvalidSyntax):
        parse_json(nested(100_000), 20)
    assert time.perf_counter() - started < 0.05


@pytest.mark.parametrize(
    "body", [b"{", b"NaN", b"[NaN]", b'"\xff"', b"\xff\xfe{}", b'{"a":1}x', b"", b'"\\ud800"', b"{'a':1}"]
)
def test_what_is_not_json_in_utf8_is_invalid_syntax(body: bytes) -> None:
    """RFC 7644 §3.12: invalidSyntax, "The request body message structure was invalid"."""
    with pytest.raises(InvalidSyntax):
        parse_json(body, 20)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=64))
def test_any_body_is_parsed_or_refused(body: bytes) -> None:
    """A body of any bytes gives a value or InvalidSyntax."""
    with contextlib.suppress(InvalidSyntax):
        parse_json(body, 20)


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    """SECURITY: "100 requests/s with burst 500 per token"."""
    buckets = Buckets()
    assert [buckets.take(KEY, 100, 5, 1000.0) for _ in range(5)] == [0.0] * 5
    assert buckets.take(KEY, 100, 5, 1000.0) == pytest.approx(0.01)
    assert buckets.take(KEY, 100, 5, 1000.005) == pytest.approx(0.005)
    assert buckets.take(KEY, 100, 5, 1000.0101) == 0.0
    assert buckets.take(KEY, 100, 5, 1000.0101) > 0
    assert [buckets.take(KEY, 100, 5, 2000.0) for _ in range(6)][4:] == [0.0, pytest.approx(0.01)]


def test_waiting_takes_nothing() -> None:
    """Looking at a limit does not count against it."""
    buckets = Buckets()
    assert [buckets.wait(KEY, 1, 1, 5.0) for _ in range(3)] == [0.0] * 3
    assert buckets.take(KEY, 1, 1, 5.0) == 0.0
    assert buckets.wait(KEY, 1, 1, 5.0) == 1.0


def test_of_too_many_keys_the_longest_idle_give_way() -> None:
    """Memory is bounded, whatever clients send."""
    buckets = Buckets(slots=16)
    for number in range(1000):
        assert buckets.take(b"%d" % number, 1, 1, 100.0 + number) == 0.0
    assert buckets.take(b"999", 1, 1, 1099.0) > 0


def test_workers_share_a_limit() -> None:
    """A limit is that of the gateway, however many workers it has."""
    buckets = Buckets()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if buckets.take(KEY, 1, 1, 7.0) == 0.0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert buckets.take(KEY, 1, 1, 7.0) == 1.0


def test_one_token_does_not_use_up_another_ones_rate() -> None:
    """SECURITY: "100 requests/s with burst 500 per token"."""
    limit = RateLimit(1, 1, Buckets())
    limit.check(b"a" * 32, 10.0)
    with pytest.raises(TooManyRequests, match="1 requests a second"):
        limit.check(b"a" * 32, 10.0)
    limit.check(b"b" * 32, 10.0)


def test_no_rate_is_no_limit() -> None:
    """SECURITY: "none in `rollcall up` unless set"."""
    limit = RateLimit(0, 1, Buckets())
    for _ in range(10_000):
        limit.check(KEY, 10.0)


def test_the_eleventh_failed_authentication_in_a_minute_is_refused() -> None:
    """SECURITY: "10 failed authentications a minute per address"."""
    failures = FailedAuthentications(10, Buckets())
    for _ in range(10):
        failures.check("192.0.2.1", KEY, 50.0)
        failures.failed("192.0.2.1", KEY, 50.0)
    with pytest.raises(TooManyRequests) as caught:
        failures.check("192.0.2.1", KEY, 50.0)
    assert caught.value.headers == {"Retry-After": "6"}
    failures.check("192.0.2.2", KEY, 50.0)
    failures.check("192.0.2.1", KEY, 57.0)


def test_a_token_that_has_worked_keeps_working_from_an_address_over_the_limit() -> None:
    """Okta calls for all of its customers from few addresses: one wrong token must not lock out the others."""
    failures = FailedAuthentications(1, Buckets())
    failures.succeeded(b"good" * 8)
    failures.failed("192.0.2.1", KEY, 50.0)
    failures.check("192.0.2.1", b"good" * 8, 50.0)
    with pytest.raises(TooManyRequests):
        failures.check("192.0.2.1", None, 50.0)
    failures.failed("192.0.2.1", b"good" * 8, 50.0)
    with pytest.raises(TooManyRequests):
        failures.check("192.0.2.1", b"good" * 8, 50.0)
