"""attributes, excludedAttributes and `returned`."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scim.errors import InvalidValue
from scim.projection import is_returned, needs_groups, needs_members, project
from scim.schemas import ENTERPRISE_USER_URN, USER, USER_URN

CUSTOM = "urn:custom:2.0:User"
RESOURCE: dict[str, Any] = {
    "schemas": [USER_URN, ENTERPRISE_USER_URN],
    "id": "1",
    "userName": "a@b",
    "name": {"givenName": "A", "familyName": "B"},
    "emails": [{"value": "a@b", "type": "work"}, {"value": "c@d"}],
    "groups": [{"value": "g", "display": "G"}],
    "meta": {"resourceType": "User", "version": "v"},
    ENTERPRISE_USER_URN: {"department": "d", "manager": {"value": "m", "$ref": "r"}},
    CUSTOM: {"Badge": 1, "box": {"a": 1, "b": 2}},
}
ALWAYS = {"schemas": RESOURCE["schemas"], "id": "1"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["userName"], {"userName": "a@b"}),
        ([" USERNAME "], {"userName": "a@b"}),
        ([f"{USER_URN}:userName"], {"userName": "a@b"}),
        (["name.givenname"], {"name": {"givenName": "A"}}),
        (["name.givenName", "name"], {"name": RESOURCE["name"]}),
        (["emails.type"], {"emails": [{"type": "work"}]}),
        (["emails.value"], {"emails": [{"value": "a@b"}, {"value": "c@d"}]}),
        (["meta.version"], {"meta": {"version": "v"}}),
        ([ENTERPRISE_USER_URN], {ENTERPRISE_USER_URN: RESOURCE[ENTERPRISE_USER_URN]}),
        ([f"{ENTERPRISE_USER_URN.lower()}:DEPARTMENT"], {ENTERPRISE_USER_URN: {"department": "d"}}),
        ([f"{ENTERPRISE_USER_URN}:manager.value"], {ENTERPRISE_USER_URN: {"manager": {"value": "m"}}}),
        ([CUSTOM], {CUSTOM: RESOURCE[CUSTOM]}),
        ([f"{CUSTOM}:badge", f"{CUSTOM}:box.b"], {CUSTOM: {"Badge": 1, "box": {"b": 2}}}),
        (["nope", "name.nope", "urn:x:y", ""], {}),
        (["emails.display", f"{CUSTOM}:nope"], {}),
        (["password"], {}),
        (["id"], {}),
    ],
)
def test_attributes_are_the_list_to_return(names: list[str], expected: dict[str, Any]) -> None:
    """RFC 7644 §3.4.2.5: attributes: "names of resource attributes to return", overriding the default list."""
    assert project(USER, {**RESOURCE, "password": "x"}, names, None) == ALWAYS | expected


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["userName"], "userName"),
        (["GROUPS"], "groups"),
        ([f"{USER_URN}:name"], "name"),
        ([ENTERPRISE_USER_URN], ENTERPRISE_USER_URN),
        ([CUSTOM.upper()], CUSTOM),
        (["meta"], "meta"),
    ],
)
def test_excluded_attributes_are_removed_from_the_default_list(names: list[str], missing: str) -> None:
    """RFC 7644 §3.4.2.5: excludedAttributes: "names of resource attributes to be removed from the default set"."""
    assert project(USER, RESOURCE, None, names) == {k: v for k, v in RESOURCE.items() if k != missing}


def test_parts_of_attributes_can_be_excluded() -> None:
    """RFC 7644 §3.10: sub-attributes and attributes of extensions have names of their own."""
    names = [
        "name.givenName",
        "emails.value",
        f"{ENTERPRISE_USER_URN}:manager.$ref",
        f"{CUSTOM}:badge",
        f"{CUSTOM}:box",
    ]
    result = project(USER, RESOURCE, None, names)
    assert result["name"] == {"familyName": "B"}
    assert result["emails"] == [{"type": "work"}]
    assert result[ENTERPRISE_USER_URN] == {"department": "d", "manager": {"value": "m"}}
    assert CUSTOM not in result


@pytest.mark.parametrize("name", ["id", "ID", "schemas", f"{USER_URN}:id"])
def test_always_returned_attributes_cannot_be_excluded(name: str) -> None:
    """RFC 7644 §3.9: excludedAttributes has no effect on attributes whose `returned` is "always"."""
    assert project(USER, RESOURCE, None, [name]) == RESOURCE


@pytest.mark.parametrize("names", [(None, None), ([], []), (None, ["title"]), (["password", USER_URN], None)])
def test_password_is_never_returned(names: tuple[list[str] | None, list[str] | None]) -> None:
    """RFC 7643 §7 returned: "never: The attribute is never returned"."""
    assert "password" not in project(USER, {**RESOURCE, "password": "x"}, *names)


def test_both_lists_together_are_refused() -> None:
    """RFC 7644 §3.9: "either of the mutually exclusive URL query parameters "attributes" or "excludedAttributes"."""
    with pytest.raises(InvalidValue):
        project(USER, RESOURCE, ["userName"], ["name"])
    with pytest.raises(InvalidValue):
        needs_members(["displayName"], ["members"])


@pytest.mark.parametrize(
    ("attributes", "excluded", "needed"),
    [
        (None, None, True),
        ([], [], True),
        (["displayName"], None, False),
        (["members"], None, True),
        (["MEMBERS.value"], None, True),
        (["urn:ietf:params:scim:schemas:core:2.0:Group:members"], None, True),
        (["urn:ietf:params:scim:schemas:core:2.0:Group"], None, True),
        (None, ["members"], False),
        (None, ["Members"], False),
        (None, ["members.display"], True),
        (None, ["displayName"], True),
    ],
)
def test_members_are_read_only_when_they_are_returned(
    attributes: list[str] | None, excluded: list[str] | None, needed: bool
) -> None:
    """Design: `GET /Groups?excludedAttributes=members` must not cost what the members cost."""
    assert needs_members(attributes, excluded) is needed


def test_groups_of_a_user_follow_the_same_rule() -> None:
    """RFC 7643 §7: a returned attribute is one that the lists leave in."""
    assert needs_groups(None, ["groups.display"])
    assert not needs_groups(None, ["groups"])
    assert not needs_groups(["userName"], None)
    assert is_returned(USER, "id", ["userName"], None)
    assert not is_returned(USER, "password", ["password"], None)


NAMES = st.lists(
    st.sampled_from(
        [
            *(*USER.lookup, "name.givenName", "emails.value", "emails.primary", "groups.value"),
            *(USER_URN, ENTERPRISE_USER_URN, f"{ENTERPRISE_USER_URN}:manager", CUSTOM, f"{CUSTOM}:box.a"),
        ]
    )
    | st.text(max_size=5),
    min_size=1,
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(NAMES)
def test_projection_neither_invents_nor_touches(names: list[str]) -> None:
    """Whatever the names: the resource stays as it was, `id` and `schemas` are there, nothing appears that was not."""
    before = copy.deepcopy(RESOURCE)
    chosen = project(USER, RESOURCE, names, None)
    left = project(USER, RESOURCE, None, names)
    assert before == RESOURCE
    assert ALWAYS.items() <= chosen.items()
    assert ALWAYS.items() <= left.items()
    assert chosen.keys() | left.keys() == RESOURCE.keys()
    assert project(USER, chosen, names, None) == chosen
    assert project(USER, left, None, names) == left
