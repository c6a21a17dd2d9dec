"""Messages as SCIM JSON, and entity tags."""

from __future__ import annotations

from datetime import UTC, datetime

import falcon.testing
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from rollcall.directory.v1.group_pb2 import Group, MemberType
from rollcall.directory.v1.user_pb2 import MembershipType, User

from gateway.errors import Refusal
from gateway.exchange import Request
from gateway.preconditions import ANY, is_unmodified, required_etag
from gateway.render import (
    date_time,
    group_resource,
    list_response,
    member_values,
    to_group,
    to_members,
    to_user,
    user_resource,
)
from scim.schemas import GROUP, USER
from scim.values import instant, normalize
from tests.gateway.edge import ENTERPRISE_URN, GROUP_URN, USER_URN

BASE = "https://scim.example.com/scim/v2/c1"
CREATED = Timestamp(seconds=1_767_225_600, nanos=123_456_000)
CHANGED = Timestamp(seconds=1_767_225_601)


def user() -> User:
    message = User(id="u1", user_name="Ada@Example.com", version=3, etag='W/"3"', created_time=CREATED)
    message.last_modified_time.CopyFrom(CHANGED)
    return message


def test_a_user_says_what_it_is_and_where() -> None:
    """RFC 7643 §3.1: `schemas`, `id`, and `meta` with resourceType, created, lastModified, location and version."""
    resource = user_resource(user(), BASE)
    assert resource == {
        "schemas": [USER_URN],
        "id": "u1",
        "userName": "Ada@Example.com",
        "meta": {
            "resourceType": "User",
            "created": "2026-01-01T00:00:00.123456Z",
            "lastModified": "2026-01-01T00:00:01.000000Z",
            "location": f"{BASE}/Users/u1",
            "version": 'W/"3"',
        },
    }


@pytest.mark.parametrize("active", [True, False])
def test_active_is_a_boolean(active: bool) -> None:
    """WIRE, bugs others shipped: "`active` returned as 1/0 or "true"" and "userName case lost"."""
    message = user()
    message.active = active
    assert user_resource(message, BASE)["active"] is active


def test_schemas_name_the_extensions_that_are_there() -> None:
    """RFC 7643 §3: `schemas` lists the URNs of the schemas that are present."""
    document = normalize(
        USER,
        {
            "schemas": [USER_URN],
            "userName": "a",
            ENTERPRISE_URN: {"department": "Tools", "manager": "m1", "badge": 7},
            "urn:okta:acme:1.0:user:custom": {"shoe": {"size": 44}},
        },
    )
    resource = user_resource(to_user(document), BASE)
    assert resource["schemas"] == [USER_URN, ENTERPRISE_URN, "urn:okta:acme:1.0:user:custom"]
    assert resource[ENTERPRISE_URN] == {"department": "Tools", "manager": {"value": "m1"}, "badge": 7}
    assert resource["urn:okta:acme:1.0:user:custom"] == {"shoe": {"size": 44}}


def test_groups_of_a_user_point_to_the_groups() -> None:
    """RFC 7643 §4.1.2 `groups`: value, $ref, display, type."""
    message = user()
    message.groups.add(group_id="g1", display_name="Team", type=MembershipType.MEMBERSHIP_TYPE_DIRECT)
    message.groups.add(group_id="g2", display_name="All", type=MembershipType.MEMBERSHIP_TYPE_INDIRECT)
    assert user_resource(message, BASE)["groups"] == [
        {"value": "g1", "$ref": f"{BASE}/Groups/g1", "display": "Team", "type": "direct"},
        {"value": "g2", "$ref": f"{BASE}/Groups/g2", "display": "All", "type": "indirect"},
    ]


def test_members_point_to_users_or_groups() -> None:
    """RFC 7643 §4.2 `members`: value, $ref, type; a group without members has the empty list."""
    group = Group(id="g1", display_name="Team", etag='W/"1"')
    assert group_resource(group, BASE, with_members=True)["members"] == []
    assert "members" not in group_resource(group, BASE, with_members=False)
    group.members.add(value="u1", type=MemberType.MEMBER_TYPE_USER, display="ada")
    group.members.add(value="g2", type=MemberType.MEMBER_TYPE_GROUP)
    group.members.add(value="u2")
    assert member_values(group.members, BASE) == [
        {"value": "u1", "$ref": f"{BASE}/Users/u1", "type": "User", "display": "ada"},
        {"value": "g2", "$ref": f"{BASE}/Groups/g2", "type": "Group"},
        {"value": "u2", "$ref": f"{BASE}/Users/u2", "type": "User"},
    ]
    assert group_resource(group, BASE, with_members=True)["schemas"] == [GROUP_URN]


@pytest.mark.parametrize(
    ("body", "values"),
    [
        ({}, None),
        ({"members": None}, None),
        ({"members": []}, []),
        ({"members": [{"value": "u1", "display": None}]}, ["u1"]),
        ({"members": ["u1", "u2"]}, ["u1", "u2"]),
        ({"members": {"value": "u1", "$ref": None}}, ["u1"]),
    ],
)
def test_members_that_are_absent_are_not_an_empty_list(body: dict[str, object], values: list[str] | None) -> None:
    """WIRE: "a group replace without members emptied the group; `members:null`, `display:null`"."""
    document = normalize(GROUP, {"displayName": "Team", **body}, for_update=True)
    members = to_members(document)
    assert (None if members is None else [member.value for member in members.members]) == values
    assert to_group(document, "g1").display_name == "Team"


def test_a_member_of_the_type_group_is_sent_as_one() -> None:
    """RFC 7643 §4.2: "type: A label indicating the type of resource, e.g., 'User' or 'Group'"."""
    document = normalize(
        GROUP, {"displayName": "T", "members": [{"value": "g", "type": "Group"}, {"value": "u", "type": "user"}]}
    )
    members = to_members(document)
    assert members is not None
    assert [member.type for member in members.members] == [MemberType.MEMBER_TYPE_GROUP, MemberType.MEMBER_TYPE_USER]


def test_counters_are_numbers_and_items_per_page_is_what_is_there() -> None:
    """WIRE, bugs others shipped: "counters as strings; `itemsPerPage` ≠ number of Resources"."""
    assert list_response(["a", "b"], 12, 11, "") == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": 12,
        "startIndex": 11,
        "itemsPerPage": 2,
        "Resources": ["a", "b"],
    }
    assert list_response([], 0, None, "c")["nextCursor"] == "c"
    assert "startIndex" not in list_response([], 0, None, "")


def test_times_are_exact_enough_to_be_found_again() -> None:
    """RFC 7643 §2.3.5: xsd:dateTime; a filter on what was shown finds the resource."""
    assert instant(date_time(CREATED)) == datetime(2026, 1, 1, 0, 0, 0, 123456, UTC)


async def etag_of(header: str | None, current: str = 'W/"7"') -> tuple[str, int]:
    headers = {} if header is None else {"If-Match": header}
    reads = []

    async def read() -> str:
        reads.append(1)
        return current

    return await required_etag(conditional(headers), read), len(reads)


def conditional(headers: dict[str, str]) -> Request:
    scope = falcon.testing.create_scope(path="/scim/v2/c1/Users/u1", headers=headers)
    return Request(scope, falcon.testing.ASGIRequestEventEmitter())


@pytest.mark.parametrize(
    ("header", "etag"),
    [(None, ANY), ("", ANY), ("*", ANY), ('W/"7"', 'W/"7"'), ('"7"', 'W/"7"'), ("7", 'W/"7"'), ("W/7", 'W/"7"')],
)
async def test_if_match_takes_weak_tags_and_forgives_lost_quotes(header: str | None, etag: str) -> None:
    """RFC 7644 §3.14: clients send back `meta.version`, a weak tag, in If-Match."""
    assert await etag_of(header) == (etag, 0)


async def test_of_several_tags_the_current_one_is_required() -> None:
    """RFC 7232 §3.1: If-Match holds when any of the listed tags matches."""
    assert await etag_of('W/"6", W/"7"') == ('W/"7"', 1)
    with pytest.raises(Refusal) as caught:
        await etag_of('"1","2"')
    assert caught.value.status == 412


@pytest.mark.parametrize(
    ("header", "unmodified"),
    [('W/"7"', True), ('"7"', True), ('W/"6"', False), ('W/"6", W/"7"', True), ("*", True), ("", False)],
)
async def test_if_none_match_compares_weakly(header: str, unmodified: bool) -> None:
    """RFC 7232 §3.2: "A recipient MUST use the weak comparison function" for If-None-Match."""
    assert is_unmodified(conditional({"If-None-Match": header}), 'W/"7"') is unmodified
