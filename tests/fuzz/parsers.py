"""The parsers that are fuzzed, and what must hold whatever the input: only SCIM errors, and in good time.

A target takes bytes, as a fuzzer makes them, and raises where a property is broken. It calls the parser as the gateway
and the directory call it. The hypothesis tests and the coverage-guided fuzzer use the same targets.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import orjson

from gateway.limits import parse_json
from scim.errors import InvalidFilter, InvalidPath, ScimError
from scim.filter import Filter, check, evaluate, parse_filter, parse_path, print_filter
from scim.patch import apply_patch, parse_patch, plan_members
from scim.projection import project
from scim.schemas import ENTERPRISE_USER_URN, GROUP, USER, ResourceType
from scim.values import normalize

MAX_BYTES = 8192
"""The length of input for which SECURITY sets the time."""

MAX_SECONDS = 0.05
"""SECURITY: refused or answered "in under 50 ms" for 8 KiB."""

REFERENCE_SECONDS = 0.0075
"""What `_reference` takes of an idle core of the class of machine that TARGETS speaks of."""

Target = Callable[[bytes], None]

JENSEN: dict[str, Any] = normalize(
    USER,
    {
        "userName": "bjensen@example.com",
        "externalId": "701984",
        "name": {"givenName": "Barbara", "familyName": "Jensen"},
        "emails": [
            {"value": "bjensen@example.com", "type": "work", "primary": True},
            {"value": "babs@jensen.example", "type": "home"},
        ],
        "phoneNumbers": [{"value": "555-555-5555", "type": "work"}],
        "title": "Tour Guide",
        "active": True,
        ENTERPRISE_USER_URN: {"employeeNumber": "7", "manager": {"value": "26118915"}},
        "urn:acme:scim:2.0:User": {"badge": 7, "tags": ["a", {"value": "b"}]},
    },
)


def decoded(data: bytes) -> str:
    """Text as the gateway would have it from a query; what is no UTF-8 never reaches a parser."""
    return data.decode(errors="replace")


def fuzz_filter(data: bytes) -> None:
    """RFC 7644 §3.4.2.2: a filter is refused with `invalidFilter`, or means the same when it is printed and read."""
    text = decoded(data)
    try:
        tree = parse_filter(text)
    except InvalidFilter:
        return
    printed = print_filter(tree)
    assert parse_filter(printed, max_length=16 * MAX_BYTES) == tree, printed
    for resource_type in (USER, GROUP):
        if _is_admitted(tree, resource_type):
            assert evaluate(tree, JENSEN, resource_type) in (True, False)


def _is_admitted(tree: Filter, resource_type: ResourceType) -> bool:
    try:
        check(tree, resource_type)
    except InvalidFilter:
        return False
    return True


def fuzz_path(data: bytes) -> None:
    """RFC 7644 §3.5.2: a path or its filter is refused, or operations at it end in a SCIM error or a document."""
    text = decoded(data)
    try:
        parse_path(text)
    except (InvalidFilter, InvalidPath):
        return
    for op, value in (("add", "x"), ("add", {"value": "x"}), ("replace", [{"value": "y"}]), ("remove", None)):
        body = {"Operations": [{"op": op, "path": text} | ({} if value is None else {"value": value})]}
        _patched(JENSEN, body)


def fuzz_patch(data: bytes) -> None:
    """RFC 7644 §3.5.2: whatever the body, a SCIM error and nothing is changed, or a document in normal form."""
    try:
        body = parse_json(data, 20)
    except ScimError:
        return
    _patched(JENSEN, body)
    with contextlib.suppress(ScimError):
        others, _ = plan_members(parse_patch(body))
        assert "members" not in apply_patch(GROUP, {"displayName": "g"}, others)


def fuzz_body(data: bytes) -> None:
    """RFC 7643 §2.1: a body is refused, or has a normal form that is its own; and any of it can be selected."""
    try:
        body = parse_json(data, 20)
    except ScimError:
        return
    for resource_type in (USER, GROUP):
        try:
            document = normalize(resource_type, body)
        except ScimError:
            continue
        assert normalize(resource_type, document) == document
        for name in list(document)[:20]:
            with contextlib.suppress(ScimError):
                project(resource_type, {**document, "id": "1", "schemas": []}, (name,), ())


def _patched(document: dict[str, Any], body: object) -> None:
    before = orjson.dumps(document)
    try:
        result = apply_patch(USER, document, parse_patch(body))
        assert normalize(USER, result) == result
    except ScimError:
        pass
    assert orjson.dumps(document) == before, "PATCH changed the document that it was given"


def thread_seconds(target: Target, data: bytes, rounds: int = 5) -> float:
    """The CPU time, in seconds, that this thread needs for one input: the median of several."""

    def once() -> float:
        started = time.thread_time()
        target(data)
        return time.thread_time() - started

    return statistics.median(once() for _ in range(rounds))


def slowness() -> float:
    """How much slower than an idle one this machine is at the moment, 1 or more.

    Cores that are shared, or whose caches are, need more CPU time for the same work; a limit is multiplied by this.
    """
    return max(1.0, statistics.median(_reference() for _ in range(5)) / REFERENCE_SECONDS)


def _reference() -> float:
    started = time.thread_time()
    total = 0
    for number in range(200_000):
        total += number
    return time.thread_time() - started


PARSERS: dict[str, Target] = {"filter": fuzz_filter, "path": fuzz_path, "patch": fuzz_patch, "body": fuzz_body}
