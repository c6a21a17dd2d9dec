"""Changes of a group's members, taken out of a PATCH."""

from typing import Any

import pytest

from scim.errors import InvalidFilter, InvalidPath, InvalidValue, Mutability, ScimError
from scim.filter import parse_filter
from scim.patch import (
    Member,
    MemberAdd,
    MemberChange,
    MemberClear,
    MemberRemove,
    MemberRemoveWhere,
    MemberReplace,
    Operation,
    parse_patch,
    plan_members,
)
from scim.schemas import GROUP_URN

A, B, C = Member("a"), Member("b", "B@x"), Member("c", None, "User")
LISTED = [{"value": "a"}, {"value": "b", "display": "B@x"}, {"value": "c", "type": "User"}]


def plan(*entries: dict[str, Any]) -> tuple[list[Operation], list[MemberChange]]:
    return plan_members(parse_patch({"Operations": list(entries)}))


def changes(op: str, path: str | None, *value: Any) -> list[MemberChange]:
    entry: dict[str, Any] = {"op": op} | ({} if path is None else {"path": path})
    others, planned = plan(entry | ({"value": value[0]} if value else {}))
    assert others == []
    return planned


def test_other_operations_are_left_for_the_document() -> None:
    """Design: a membership PATCH never needs the list; what concerns the group itself goes on to `apply_patch`."""
    others, planned = plan(
        {"op": "replace", "path": "displayName", "value": "g"},
        {"op": "add", "path": "members", "value": LISTED},
        {"op": "replace", "value": {"id": "1", "displayName": "h", "members": LISTED[:1], "externalId": "e"}},
        {"op": "remove", "path": "externalId"},
    )
    assert others == [
        Operation("replace", "displayName", "g"),
        Operation("replace", None, {"id": "1", "displayName": "h", "externalId": "e"}),
        Operation("remove", "externalId", None),
    ]
    assert planned == [MemberAdd((A, B, C)), MemberReplace((A,))]


@pytest.mark.parametrize("path", ["members", "MEMBERS", f"{GROUP_URN}:members", f"{GROUP_URN.upper()}:Members"])
def test_members_are_found_under_any_spelling(path: str) -> None:
    """RFC 7643 §2.1: names and URNs are case insensitive."""
    assert changes("add", path, LISTED) == [MemberAdd((A, B, C))]
    assert changes("add", None, {path: LISTED}) == [MemberAdd((A, B, C))]
    assert changes("remove", f'{path}[value eq "a"]') == [MemberRemove(("a",))]
    assert changes("remove", path) == [MemberClear()]
    assert changes("add", GROUP_URN, {"members": LISTED}) == [MemberAdd((A, B, C))]
    assert changes("add", None, {GROUP_URN: {"members": LISTED}}) == [MemberAdd((A, B, C))]


@pytest.mark.parametrize("value", [LISTED[0], [LISTED[0]], "a", ["a"], {"value": "a", "$ref": None, "display": None}])
def test_members_to_add_come_in_many_forms(value: Any) -> None:
    """Design: members without type, `display:null`, `$ref:null`, single objects and bare strings."""
    assert changes("add", "members", value) == [MemberAdd((A,))]
    assert changes("replace", "members", value) == [MemberReplace((A,))]
    assert changes("remove", "members", value) == [MemberRemove(("a",))]


def test_replacing_by_nothing_empties_the_group_only_when_said() -> None:
    """Design: an explicit empty list empties the group; `members:null` beside other attributes does not."""
    assert changes("replace", "members", []) == [MemberClear()]
    assert changes("replace", "members", None) == [MemberClear()]
    assert changes("replace", None, {"members": []}) == [MemberClear()]
    assert changes("replace", None, {"members": None}) == []
    assert plan({"op": "replace", "value": {"displayName": "g"}})[1] == []


def test_adding_or_removing_nothing_changes_nothing() -> None:
    """RFC 7643 §2.5: null and the empty list assign nothing."""
    for value in (None, []):
        assert changes("add", "members", value) == []
    assert changes("remove", "members", []) == []
    assert changes("add", None, {"members": []}) == []


def test_remove_with_a_list_removes_only_those() -> None:
    """Design, Entra ID: remove with a value list removes only those, without value it empties the group."""
    assert changes("Remove", "members", LISTED[:2]) == [MemberRemove(("a", "b"))]
    assert changes("Remove", "members") == [MemberClear()]


@pytest.mark.parametrize(
    ("value_filter", "expected"),
    [
        ('value eq "a"', MemberRemove(("a",))),
        ('VALUE EQ "a" or value eq "b" or (value eq "a")', MemberRemove(("a", "b"))),
        *(
            (text, MemberRemoveWhere(parse_filter(text)))
            for text in (
                'value ne "a"',
                'type eq "User"',
                'value eq "a" and type eq "User"',
                "value pr",
                "value eq null",
            )
        ),
    ],
)
def test_a_filter_on_values_is_a_removal_of_values(value_filter: str, expected: MemberChange) -> None:
    """Design: `members[value eq \\"a\\" or value eq \\"b\\"]` needs no look at the members."""
    assert changes("remove", f"members[{value_filter}]") == [expected]
    assert changes("replace", f"members[{value_filter}]", []) == [expected]


def test_neighbouring_changes_of_a_kind_are_one() -> None:
    """Design, Okta: removes and adds mixed in one request, up to 256 members; the order between kinds is kept."""
    removes = [{"op": "remove", "path": f'members[value eq "{name}"]'} for name in "abca"]
    adds = [{"op": "add", "path": "members", "value": [{"value": name, "display": name}]} for name in "xyx"]
    assert plan(*removes, *adds, removes[0])[1] == [
        MemberRemove(("a", "b", "c")),
        MemberAdd((Member("x", "x"), Member("y", "y"))),
        MemberRemove(("a",)),
    ]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ('members[value eq "a"].display', "Other"),
        ('members[value eq "a"].type', "User"),
        ('members[value eq "a"].$ref', "https://x/scim/v2/c/Users/a"),
    ],
)
def test_unchanged_immutable_parts_of_a_member_pass(path: str, value: str) -> None:
    """Design: "unchanged immutable member sub-attributes refused" is a bug of others; `display` is computed."""
    for op in ("add", "replace"):
        assert changes(op, path, value) == []
        assert changes(op, None, {path: value}) == []


def test_a_value_path_that_describes_a_member_adds_it() -> None:
    """Design, Entra ID: an add or replace through a value path that matches nothing creates the element."""
    for op in ("add", "replace"):
        assert changes(op, 'members[value eq "a"].value', "a") == [MemberAdd((A,))]
        assert changes(op, 'members[value eq "b"]', {"display": "B@x"}) == [MemberAdd((B,))]
        assert changes(op, 'members[value eq "a"]', [{"value": "a"}]) == [MemberAdd((A,))]


@pytest.mark.parametrize(
    ("op", "path", "value"),
    [
        ("replace", 'members[value eq "a"].value', "b"),
        ("replace", 'members[value eq "a"].type', "Group"),
        ("replace", 'members[value eq "a"].$ref', "https://x/Users/b"),
        ("remove", 'members[value eq "a"].type', None),
        ("replace", "members.value", "b"),
        ("replace", 'members[value eq "a"]', {"value": "b"}),
        ("replace", 'members[value eq "a" or value eq "b"]', {"value": "a"}),
        ("add", 'members[type eq "User"]', {"value": "a"}),
    ],
)
def test_a_member_cannot_become_another_one(op: str, path: str, value: Any) -> None:
    """RFC 7643 §8.7.1: members.value, type and $ref are immutable."""
    with pytest.raises(Mutability):
        changes(op, path, value)


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("members.nope", "x", InvalidPath),
        ('members[nope eq "a"]', {"value": "a"}, InvalidFilter),
        ("members[value eq 5]", {"value": "a"}, InvalidFilter),
        ('members[value eq "a"].nope', "x", InvalidPath),
        ('members.value[value eq "a"]', "x", InvalidPath),
        ("members", [{}], InvalidValue),
        ("members", [None], InvalidValue),
        ("members", "", InvalidValue),
        ("members", 5, InvalidValue),
        ("members", [{"value": 5}], InvalidValue),
    ],
)
def test_malformed_member_changes_are_refused(path: str, value: Any, error: type[ScimError]) -> None:
    """RFC 7644 §3.12; a malformed list must never empty a group."""
    for op in ("add", "replace"):
        with pytest.raises(error):
            changes(op, path, value)
