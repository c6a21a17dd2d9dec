"""PATCH against an independent, naive reading of RFC 7644 §3.5.2, and against hostile input."""

import copy
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scim.errors import ScimError
from scim.filter import matches_element
from scim.patch import (
    MemberAdd,
    MemberChange,
    MemberClear,
    MemberRemove,
    MemberRemoveWhere,
    MemberReplace,
    Operation,
    apply_patch,
    parse_patch,
    plan_members,
)
from scim.schemas import ENTERPRISE_USER_URN, GROUP, MEMBERS, USER
from scim.values import normalize
from tests.scim.strategies import attribute_names, bodies, json_values

TYPES = ("work", "home", "other")
types = st.sampled_from(TYPES)
addresses = st.sampled_from(["a@x", "b@x", "c@x"])
elements = st.builds(
    lambda value, kind, primary: {"value": value, "type": kind} | ({} if primary is None else {"primary": primary}),
    addresses,
    types,
    st.sampled_from([None, None, True, False]),
)
element_lists = st.lists(elements, max_size=3)
Steps = list[tuple[str, str, Any]]
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["add", "replace"]), st.just("title"), st.sampled_from(["x", "y", None])),
        st.tuples(st.just("remove"), st.sampled_from(["title", "name", "name.givenName", "emails"]), st.none()),
        st.tuples(
            st.sampled_from(["add", "replace"]),
            st.just("name"),
            st.dictionaries(st.sampled_from(["givenName", "familyName"]), st.sampled_from(["x", "y"]), min_size=1),
        ),
        st.tuples(st.sampled_from(["add", "replace"]), st.just("name.givenName"), st.sampled_from(["x", "y"])),
        st.tuples(st.sampled_from(["add", "replace"]), st.just("emails"), element_lists),
        st.tuples(st.just("remove"), types.map(lambda kind: f'emails[type eq "{kind}"]'), st.none()),
        st.tuples(st.just("replace"), types.map(lambda kind: f'emails[type eq "{kind}"].value'), addresses),
        st.tuples(st.just("remove"), types.map(lambda kind: f'emails[type eq "{kind}"].primary'), st.none()),
    ),
    max_size=6,
)


def naive(document: dict[str, Any], operations: Steps) -> dict[str, Any]:
    """Do by the book, for the few paths generated above, what PATCH should do."""
    document = copy.deepcopy(document)
    for op, path, value in operations:
        if path == "title":
            if op == "remove" or (op == "replace" and value is None):
                document.pop("title", None)
            elif value is not None:
                document["title"] = value
        elif path.startswith("name"):
            name = document.setdefault("name", {})
            if op == "remove" and path == "name":
                name.clear()
            elif op == "remove":
                name.pop("givenName", None)
            else:
                name.update(value if path == "name" else {"givenName": value})
            if not name:
                del document["name"]
        else:
            document["emails"] = naive_emails(document.get("emails", []), op, path, value)
    document["emails"] = unique(document.get("emails", []))
    if not document["emails"]:
        del document["emails"]
    return document


def naive_emails(emails: list[dict[str, Any]], op: str, path: str, value: Any) -> list[dict[str, Any]]:
    if path == "emails":
        if op == "remove":
            return []
        value = unique(value)
        if op == "replace":
            return value
        leader = None
        for new in value:
            same = [old for old in emails if (old["value"], old["type"]) == (new["value"], new["type"])]
            if same:
                same[0].update(new)
            else:
                same = [dict(new)]
                emails.append(same[0])
            if new.get("primary"):
                leader = same[0]
        for email in emails:
            if leader is not None and email is not leader and email.get("primary"):
                email["primary"] = False
        return emails
    kind = path.split('"')[1]
    matching = [email for email in emails if email["type"] == kind]
    if path.endswith("]"):
        return [email for email in emails if email["type"] != kind]
    if path.endswith(".primary"):
        for email in matching:
            email.pop("primary", None)
        return emails
    for email in matching:
        email["value"] = value
    leaders = [email for email in matching if email.get("primary")]
    for email in emails:
        if leaders and email is not leaders[0] and email.get("primary"):
            email["primary"] = False
    return emails if matching else [*emails, {"type": kind, "value": value}]


def unique(emails: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep the first of each value and type, and the first primary."""
    kept: list[dict[str, Any]] = []
    for email in emails:
        if all((email["value"], email["type"]) != (other["value"], other["type"]) for other in kept):
            kept.append(dict(email))
    leaders = [email for email in kept if email.get("primary")]
    for email in leaders[1:]:
        email["primary"] = False
    return kept


@example(
    False,
    [{"value": "a@x", "type": "work"}, {"value": "b@x", "type": "work"}],
    [
        ("replace", 'emails[type eq "work"].value', "a@x"),
        ("add", "emails", [{"value": "a@x", "type": "work", "primary": True}]),
    ],
)
@settings(max_examples=500, deadline=None)
@given(st.booleans(), element_lists, steps)
def test_patch_equals_its_definition(has_title: bool, emails: list[dict[str, Any]], operations: Steps) -> None:
    """RFC 7644 §3.5.2.1 to §3.5.2.3, done in the plainest way, gives the same document."""
    body: dict[str, Any] = {"userName": "u", "emails": emails} | ({"title": "t"} if has_title else {})
    document = normalize(USER, body)
    before = copy.deepcopy(document)
    result = apply_patch(USER, document, [Operation(*operation) for operation in operations])
    assert result == naive(document, operations)
    assert document == before


@settings(max_examples=150, deadline=None)
@given(steps)
def test_a_patch_without_paths_equals_one_with_paths(operations: Steps) -> None:
    """RFC 7644 §3.5.2.1: without a path the value is a set of attributes of the resource itself."""
    document = normalize(USER, {"userName": "u", "emails": [{"value": "a@x", "type": "work", "primary": True}]})
    plain = [Operation(*operation) for operation in operations]
    without = [op if op.op == "remove" else Operation(op.op, None, {op.path: op.value}) for op in plain]
    assert apply_patch(USER, document, without) == apply_patch(USER, document, plain)


@settings(max_examples=150, deadline=None)
@given(element_lists, element_lists)
def test_adding_again_changes_nothing(emails: list[dict[str, Any]], added: list[dict[str, Any]]) -> None:
    """RFC 7644 §3.5.2.1: what is there already is not added again."""
    document = normalize(USER, {"userName": "u", "emails": emails})
    once = apply_patch(USER, document, [Operation("add", "emails", added)])
    assert apply_patch(USER, once, [Operation("add", "emails", added)]) == once
    assert sum(email.get("primary", False) for email in once.get("emails", ())) <= 1


PATHS = st.one_of(
    attribute_names(USER),
    st.sampled_from(
        [
            *(
                "name.givenName",
                "emails.value",
                'emails[type eq "work"]',
                'emails[type eq "work"].value',
                "emails[value pr]",
            ),
            *('emails[primary eq "True"].value', 'emails[value co "a"].type', 'addresses[type eq "work"].locality'),
            *("urn:custom:x:badge", "urn:custom:x:badge.sub", 'urn:custom:x:badge[value eq "a"]', "urn:custom:x"),
            *('urn:custom:x:badge[value eq "a"].type', f"{ENTERPRISE_USER_URN}:manager", "members", "members.value"),
            *('members[value eq "a"]', 'members[value eq "a"].value', "members[value pr]"),
        ]
    ),
)
entries = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "remove", "replace", "Replace", "move"])},
    optional={
        "path": PATHS,
        "value": st.one_of(json_values, st.dictionaries(PATHS, json_values, max_size=3)),
    },
)
patches = st.one_of(
    st.fixed_dictionaries({"Operations": st.lists(entries, min_size=1, max_size=3)}),
    st.dictionaries(st.sampled_from(["Operations", "schemas"]), json_values),
    json_values,
)


@settings(max_examples=600, deadline=None)
@given(bodies(USER), patches)
def test_only_scim_errors_escape_and_results_are_documents(body: dict[str, Any], patch: object) -> None:
    """Whatever the PATCH: a SCIM error, or a document that is in the form `normalize` gives."""
    try:
        document = normalize(USER, body)
    except ScimError:
        document = {"userName": "u", "active": True}
    before = copy.deepcopy(document)
    try:
        result = apply_patch(USER, document, parse_patch(patch))
    except ScimError:
        return
    finally:
        assert document == before
    assert normalize(USER, result) == result
    assert result["active"] is not None


members = st.lists(st.sampled_from("abcd").map(lambda name: {"value": name}), max_size=4)
member_operations = st.lists(
    st.one_of(
        st.builds(Operation, st.sampled_from(["add", "replace", "remove"]), st.just("members"), members),
        st.builds(Operation, st.just("remove"), st.just("members"), st.none()),
        st.builds(Operation, st.just("replace"), st.just("members"), st.none()),
        st.builds(
            Operation,
            st.just("remove"),
            st.sampled_from(
                [
                    *('members[value eq "a"]', 'members[value eq "a" or value eq "b"]', 'members[value gt "b"]'),
                    *('members[not (value eq "c")]', 'members[value eq "a" and value eq "b"]'),
                ]
            ),
            st.none(),
        ),
        st.builds(Operation, st.sampled_from(["add", "replace"]), st.none(), members.map(lambda m: {"members": m})),
        st.builds(
            Operation,
            st.just("add"),
            st.just('members[value eq "d"]'),
            st.sampled_from([{"value": "d"}, {"type": "User"}]),
        ),
        st.builds(Operation, st.just("replace"), st.just("externalId"), st.sampled_from(["x", "y", None])),
    ),
    max_size=6,
)


def applied(values: list[str], changes: list[MemberChange]) -> list[str]:
    """Apply planned changes to a list of members, in the plainest way."""
    for change in changes:
        match change:
            case MemberAdd(added):
                values = list(dict.fromkeys([*values, *(member.value for member in added)]))
            case MemberReplace(added):
                values = list(dict.fromkeys(member.value for member in added))
            case MemberRemove(gone):
                values = [value for value in values if value not in gone]
            case MemberRemoveWhere(condition):
                values = [value for value in values if not matches_element(condition, MEMBERS, {"value": value})]
            case MemberClear():
                values = []
    return values


@settings(max_examples=400, deadline=None)
@given(members, member_operations)
def test_planned_member_changes_mean_the_same_as_the_patch(
    before: list[dict[str, str]], operations: list[Operation]
) -> None:
    """Design: every change is reduced to the effective delta; the plan and the PATCH lead to the same members."""
    document = normalize(GROUP, {"displayName": "g"})
    start = list(dict.fromkeys(member["value"] for member in before))
    whole = {**document, "members": [{"value": value} for value in start]} if start else document
    others, changes = plan_members(operations)
    expected = whole
    for operation in operations:
        if operation.path == 'members[value eq "d"]' and any(m["value"] == "d" for m in expected.get("members", ())):
            continue  # adding a member that is there changes nothing
        expected = apply_patch(GROUP, expected, [operation])
    assert applied(start, changes) == [member["value"] for member in expected.get("members", ())]
    planned = apply_patch(GROUP, document, others)
    assert planned == {name: value for name, value in expected.items() if name != "members"}


@settings(max_examples=300, deadline=None)
@given(patches)
def test_only_scim_errors_escape_from_planning(patch: object) -> None:
    """Whatever the PATCH of a group: a SCIM error, or a plan that leaves no member for the document."""
    try:
        others, _ = plan_members(parse_patch(patch))
        result = apply_patch(GROUP, {"displayName": "g"}, others)
    except ScimError:
        return
    assert "members" not in result


@pytest.mark.parametrize("attribute", ["title", "emails"])
def test_untouched_attributes_are_shared_not_copied(attribute: str) -> None:
    """Design: cost follows the change; what an operation does not touch is not rebuilt."""
    document = normalize(USER, {"userName": "u", "title": "t", "emails": [{"value": "a@x"}]})
    result = apply_patch(USER, document, [Operation("replace", "nickName", "n")])
    assert result[attribute] is document[attribute]
