"""RFC 7644 §3.5.2, rule by rule, where a rule meets paths with URNs, several matches, references and errors."""

from typing import Any

import pytest

from scim.errors import (
    InvalidFilter,
    InvalidPath,
    InvalidSyntax,
    InvalidValue,
    Mutability,
    NoTarget,
    ScimError,
    TooMany,
)
from scim.patch import Member, MemberAdd, MemberClear, MemberRemove, apply_patch, parse_patch, plan_members
from scim.schemas import ENTERPRISE_USER_URN, GROUP, GROUP_URN, USER, USER_URN
from scim.values import normalize

CUSTOM = "urn:custom:x"

MANAGER = f"{ENTERPRISE_USER_URN}:manager"
WORK = {"value": "w@b", "type": "work", "primary": True}
HOME = {"value": "h@b", "type": "home"}
DOCUMENT: dict[str, Any] = {"userName": "a@b", "active": True, "emails": [WORK, HOME], "title": "t"}


def apply(*operations: tuple[Any, ...], document: dict[str, Any] = DOCUMENT) -> dict[str, Any]:
    """Apply operations given as (op, path, value) to a user."""
    return apply_patch(USER, document, parse_patch(body(*operations)))


def body(*operations: tuple[Any, ...]) -> dict[str, Any]:
    """The message of operations given as (op, path, value)."""
    keys = ("op", "path", "value")
    return {
        "Operations": [{k: v for k, v in zip(keys, o, strict=False) if (k, v) != ("path", None)} for o in operations]
    }


def emails(*operations: tuple[Any, ...]) -> Any:
    """The e-mail addresses after operations."""
    return apply(*operations).get("emails")


@pytest.mark.parametrize("prefix", ["", f"{USER_URN}:", f"{USER_URN.upper()}:"])
def test_a_path_may_carry_the_urn_of_the_core_schema_with_any_other_part(prefix: str) -> None:
    """RFC 7644 §3.10: "All facets (URN, attribute, and sub-attribute name) of the fully encoded attribute name are case
    insensitive."
    """
    assert emails(("replace", f'{prefix}emails[type eq "work"].value', "x")) == [{**WORK, "value": "x"}, HOME]
    assert emails(("remove", f'{prefix}emails[type eq "work"]')) == [HOME]
    assert apply(("add", f"{prefix}name.givenName", "G"))["name"] == {"givenName": "G"}
    with pytest.raises(InvalidPath):
        apply(("add", f"{prefix}nope", "G"))


def test_every_value_that_matches_is_changed() -> None:
    """§3.5.2.3: "all matching record values SHALL be replaced"; §3.5.2.2: "the values matched by the filter"."""
    assert emails(("replace", "emails[value pr].display", "D")) == [{**WORK, "display": "D"}, {**HOME, "display": "D"}]
    assert emails(("remove", 'emails[type eq "work" or type eq "home"]')) is None
    assert emails(("remove", 'emails[not (type eq "work")].type')) == [WORK, {"value": "h@b"}]
    assert emails(("replace", 'emails[type eq "work" and primary eq true].value', "x")) == [
        {**WORK, "value": "x"},
        HOME,
    ]


def test_replacing_all_matches_by_one_value_leaves_it_once() -> None:
    """RFC 7643 §2.4: a server "SHOULD NOT return the same (type, value) combination more than once per attribute"."""
    assert emails(("replace", "emails[value pr]", {"value": "x", "type": "work"})) == [{"value": "x", "type": "work"}]


def test_at_most_one_value_is_primary_whatever_made_it_so() -> None:
    """§3.5.2: a new `primary` makes the server "automatically set "primary" to "false" for any other values"."""
    for operation, primary in {
        ("replace", 'emails[type eq "home"].primary', True): "h@b",
        ("add", 'emails[type eq "home"]', ("primary", True)): "h@b",
        ("replace", "emails[value pr].primary", True): "w@b",
    }.items():
        op, path, value = operation
        changed = emails((op, path, dict([value]) if isinstance(value, tuple) else value))
        assert [each["value"] for each in changed if each.get("primary")] == [primary], operation
    two = [{"value": "1", "primary": True}, {"value": "2", "primary": "True"}]
    for op in ("add", "replace"):
        assert [each["value"] for each in emails((op, "emails", two)) if each.get("primary")] == ["1"]
    assert emails(("replace", 'emails[type eq "work"].primary', False))[0] == {**WORK, "primary": False}


def test_what_a_later_operation_selects_is_what_the_earlier_ones_made() -> None:
    """§3.5.2: operations "are applied sequentially [...] Each operation in the sequence is applied to the target
    resource; the resulting resource becomes the target of the next operation".
    """
    moved = emails(("replace", 'emails[type eq "work"].type', "other"), ("remove", 'emails[type eq "work"]'))
    assert moved == [{**WORK, "type": "other"}, HOME]
    with pytest.raises(NoTarget):
        apply(("remove", "emails"), ("replace", 'emails[value co "@"].display', "D"))
    assert emails(("remove", "emails"), ("add", "emails", HOME)) == [HOME]


@pytest.mark.parametrize("op", ["add", "replace"])
@pytest.mark.parametrize("bare", ["manager", "Manager", "manager.value", "department"])
def test_an_extension_attribute_is_found_without_its_urn(op: str, bare: str) -> None:
    """WIRE, Entra ID without the flag `aadOptscim062020`: the path of an extension's attribute may lack the URN."""
    name = bare.lower().partition(".")[0]
    expected = {"department": "x"} if name == "department" else {"manager": {"value": "x"}}
    assert apply((op, bare, "x"))[ENTERPRISE_USER_URN] == expected
    assert ENTERPRISE_USER_URN not in apply((op, bare, "x"), ("remove", bare))


@pytest.mark.parametrize(
    "value",
    ["m", {"value": "m"}, [{"value": "m"}], [{"$ref": None, "value": "m"}], ["m"], {"Value": "m", "display": "x"}],
)
def test_a_manager_comes_in_many_forms(value: Any) -> None:
    """WIRE: "manager as a plain string or `{value}`"."""
    expected = {"manager": {"value": "m"}}
    for operation in (
        ("Add", MANAGER, value),
        ("Replace", None, {MANAGER: value}),
        ("add", None, {ENTERPRISE_USER_URN: {"manager": value}}),
    ):
        assert apply(operation)[ENTERPRISE_USER_URN] == expected
    posted = normalize(USER, {"userName": "a", ENTERPRISE_USER_URN: {"manager": value}})
    assert posted[ENTERPRISE_USER_URN] == expected


@pytest.mark.parametrize("value", [5, True, [{"value": "a"}, {"value": "b"}], [5], {"value": 5}])
def test_a_manager_that_is_none_is_refused_by_name(value: Any) -> None:
    """RFC 7644 §3.12 invalidValue; design: an error names the attribute and the rule."""
    for operation in (
        ("add", MANAGER, value),
        ("add", None, {MANAGER: value}),
        ("add", ENTERPRISE_USER_URN, {"manager": value}),
    ):
        with pytest.raises(InvalidValue, match=f"operation 1: {MANAGER}(.value)? must be") as caught:
            apply(operation)
        assert caught.value.attribute.startswith(MANAGER)


@pytest.mark.parametrize(
    ("before", "operations", "after"),
    [
        ({"value": "m", "$ref": "../Users/m"}, [("replace", f"{MANAGER}.value", "n")], {"value": "n"}),
        ({"value": "m", "$ref": "../Users/m"}, [("replace", f"{MANAGER}.$ref", "../Users/n")], {"$ref": "../Users/n"}),
        ({"value": "m"}, [("add", f"{MANAGER}.$ref", "../Users/m")], {"value": "m", "$ref": "../Users/m"}),
        ({"value": "m"}, [("add", MANAGER, {"$ref": "https://x/n"})], {"$ref": "https://x/n"}),
        ({"value": "m", "$ref": "x/m"}, [("remove", f"{MANAGER}.$ref")], {"value": "m"}),
        ({"value": "m", "$ref": "x/m"}, [("replace", MANAGER, {"value": "m"})], {"value": "m", "$ref": "x/m"}),
        (None, [("add", f"{MANAGER}.$ref", "x/m"), ("add", f"{MANAGER}.value", "m")], {"value": "m", "$ref": "x/m"}),
        (None, [("add", f"{MANAGER}.value", "m"), ("add", f"{MANAGER}.$ref", "x/m")], {"value": "m", "$ref": "x/m"}),
    ],
)  # fmt: skip
def test_value_and_reference_name_one_resource(
    before: dict[str, str] | None, operations: list[tuple[Any, ...]], after: dict[str, str]
) -> None:
    """RFC 7643 §2.4: `$ref` is "the reference URI of a target resource" of which `value` is the identifier."""
    document = DOCUMENT if before is None else {**DOCUMENT, ENTERPRISE_USER_URN: {"manager": before}}
    assert apply(*operations, document=document)[ENTERPRISE_USER_URN]["manager"] == after


@pytest.mark.parametrize(
    ("operation", "error", "attribute"),
    [
        (("replace", "active", "no"), InvalidValue, "active"),
        (("replace", "name.givenName", 5), InvalidValue, "name.givenName"),
        (("replace", None, {"phoneNumbers": [{"value": 5}]}), InvalidValue, "phoneNumbers.value"),
        (("add", "x509Certificates", "!!"), InvalidValue, "x509Certificates.value"),
        (("replace", "urn:x:y:badge", "\0"), InvalidValue, "urn:x:y:badge"),
        (("replace", f"{ENTERPRISE_USER_URN}:department", 5), InvalidValue, f"{ENTERPRISE_USER_URN}:department"),
        (("remove", "userName"), Mutability, "userName"),
        (("replace", "meta.version", "x"), Mutability, "meta.version"),
        (("replace", 'emails[value co "nobody"].value', "x"), NoTarget, "emails"),
        (("add", 'emails[type eq "work"]', [{}, {}]), InvalidValue, "emails"),
        (("add", "name", {"familyName": "a", "FAMILYNAME": "b"}), InvalidSyntax, "name.familyName"),
    ],
)
def test_an_error_names_the_operation_and_the_attribute(
    operation: tuple[Any, ...], error: type[ScimError], attribute: str
) -> None:
    """RFC 7644 §3.12: `detail` is "a detailed human-readable message"; design: it names the field and the rule."""
    with pytest.raises(error) as caught:
        apply(("replace", "title", "x"), operation)
    assert (caught.value.attribute, caught.value.operation) == (attribute, 2)
    assert caught.value.detail.startswith("operation 2: ")
    assert attribute in caught.value.detail


@pytest.mark.parametrize(
    ("operations", "error"),
    [
        ([("add", "members", [{"value": 5}])], InvalidValue),
        ([("add", "members", [{"display": "x"}])], InvalidValue),
        ([("replace", 'members[value eq "a"].type', "Group")], Mutability),
        ([("remove", 'members[nope eq "a"]')], InvalidFilter),
    ],
)
def test_an_error_about_members_names_the_operation_too(
    operations: list[tuple[Any, ...]], error: type[ScimError]
) -> None:
    """As above, where the operations on members are taken out of the others."""
    with pytest.raises(error, match=r"^operation 3: ") as caught:
        plan_members(parse_patch(body(("replace", "displayName", "g"), ("add", "members", "a"), *operations)))
    assert caught.value.operation == 3
    others, _ = plan_members(parse_patch(body(("add", "members", "a"), ("replace", "displayName", "  "))))
    with pytest.raises(InvalidValue, match="displayName must not be blank"):
        apply_patch(GROUP, {"displayName": "g"}, others)
    others, _ = plan_members(
        parse_patch(body(("add", "members", "a"), ("replace", None, {"members": [], "displayName": 5})))
    )
    with pytest.raises(InvalidValue, match=r"^operation 2: displayName must be a string"):
        apply_patch(GROUP, {"displayName": "g"}, others)


def test_too_many_is_about_the_request_and_not_about_one_operation() -> None:
    """Design: "PATCH 100 operations and 5,000 member values"."""
    with pytest.raises(TooMany) as caught:
        parse_patch(body(("add", f"{GROUP_URN}:members", [str(n) for n in range(5001)])))
    assert (caught.value.operation, caught.value.attribute) == (0, "")


@pytest.mark.parametrize(
    ("document", "attribute"),
    [
        ({}, "userName"),
        ({"userName": "  "}, "userName"),
        ({"userName": 5}, "userName"),
        ({"userName": "a", "name": "x"}, "name"),
        ({"userName": "a", "emails": [{"value": "a"}, {"primary": "x"}]}, "emails.primary"),
        ({"userName": "a", ENTERPRISE_USER_URN: {"manager": {"value": 5}}}, f"{MANAGER}.value"),
        ({"userName": "a", f"{ENTERPRISE_USER_URN}:department": 5}, f"{ENTERPRISE_USER_URN}:department"),
        ({"userName": "a", "urn:x:y": {"badge": "\0"}}, "urn:x:y:badge"),
        ({"userName": "a", "urn:x:y": {"badge": 1, "BADGE": 2}}, "urn:x:y:BADGE"),
        ({"userName": "a", "schemas": 5}, "schemas"),
    ],
)
def test_an_error_in_a_body_names_the_attribute(document: dict[str, Any], attribute: str) -> None:
    """RFC 7644 §3.12: `detail`; design: it names the field and the rule."""
    with pytest.raises(ScimError) as caught:
        normalize(USER, document)
    assert caught.value.attribute == attribute
    assert caught.value.detail.startswith(f"{attribute} ")
    assert caught.value.operation == 0


def test_paths_among_the_keys_of_a_value_are_limited_like_operations() -> None:
    """SECURITY: "PATCH 100 operations", however they are written: each such path is a look-up of its own."""

    def keyed(count: int) -> dict[str, Any]:
        return {f'members[display sw "{number}"]': None for number in range(count)}

    _, changes = plan_members(parse_patch(body(("replace", None, keyed(100)))))
    assert len(changes) == 100
    for value in (keyed(101), {GROUP_URN: keyed(101)}, {**keyed(60), GROUP_URN: keyed(41)}):
        with pytest.raises(TooMany, match="100 paths with a filter or to members"):
            parse_patch(body(("replace", None, value)))
    with pytest.raises(TooMany, match="100 paths with a filter or to members"):
        parse_patch(body(("replace", None, keyed(60)), ("replace", None, keyed(60))))
    with pytest.raises(TooMany, match="100 paths with a filter or to members"):
        parse_patch(body(("replace", GROUP_URN, keyed(101))))
    with pytest.raises(TooMany, match="100 paths with a filter or to members"):
        parse_patch(body(("add", None, {f'emails[value eq "{number}"].type': "work" for number in range(101)})))


def test_neighbouring_member_changes_are_joined_in_order_and_each_value_once() -> None:
    """Proto: the order of operations decides, so only neighbours of one kind are one change."""
    operations = [("add", f'members[value eq "{number % 3}"]', {"value": str(number % 3)}) for number in range(40)]
    operations += [("remove", f'members[value eq "{number % 2}"]') for number in range(40)]
    operations += [("add", "members", "0"), ("remove", "members"), ("add", "members", ["1", "1"])]
    _, changes = plan_members(parse_patch(body(*operations)))
    assert changes == [
        MemberAdd((Member("0"), Member("1"), Member("2"))),
        MemberRemove(("0", "1")),
        MemberAdd((Member("0"),)),
        MemberClear(),
        MemberAdd((Member("1"),)),
    ]


@pytest.mark.parametrize(
    "operations",
    [
        [("remove", f'emails[value sw "x{number}" and type pr]') for number in range(100)],
        [("add", "emails", [{"value": f"new{number}"}]) for number in range(100)],
        [("add", "emails.type", f"t{number}") for number in range(100)],
        [("add", None, dict.fromkeys(("emails.type", "Emails.type", "eMails.type"), "t"))] * 34,
        [("add", f"{CUSTOM}:rows", [number]) for number in range(100)],
        [("remove", f'{CUSTOM}:rows[value eq "{number}"]') for number in range(100)],
    ],
)
def test_operations_on_very_many_values_are_refused_before_they_take_long(operations: list[tuple[Any, ...]]) -> None:
    """SECURITY: "Limits, each with a clear SCIM error": what a PATCH may cost does not grow with both its operations
    and the resource.
    """
    stored = normalize(
        USER,
        {
            "userName": "u",
            "emails": [{"value": str(number)} for number in range(5000)],
            CUSTOM: {"rows": [{"value": f"v{number}"} for number in range(5000)]},
        },
    )
    parsed = parse_patch(body(*operations))
    with pytest.raises(TooMany, match="values of attributes together"):
        apply_patch(USER, stored, parsed)
    assert apply_patch(USER, stored, parsed[:5]) is not None
