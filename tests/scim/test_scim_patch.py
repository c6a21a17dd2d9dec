"""PATCH: the message, and the rules of RFC 7644 §3.5.2 on documents."""

import copy
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
from scim.patch import Operation, apply_patch, parse_patch
from scim.schemas import ENTERPRISE_USER_URN, GROUP, USER, USER_URN

CUSTOM = "urn:custom:2.0:User"
WORK = {"value": "w@b", "type": "work", "primary": True}
HOME = {"value": "h@b", "type": "home"}
DOCUMENT: dict[str, Any] = {
    "userName": "a@b",
    "active": True,
    "title": "t",
    "name": {"givenName": "A", "familyName": "B"},
    "emails": [WORK, HOME],
    ENTERPRISE_USER_URN: {"department": "d", "manager": {"value": "m", "$ref": "../Users/m"}},
    CUSTOM: {"Badge": 1, "tags": ["x", "y"], "box": {"a": 1}, "rows": [{"k": "1", "v": "one"}, {"k": "2"}]},
}


def patched(*operations: tuple[Any, ...], document: dict[str, Any] = DOCUMENT, resource_type=USER) -> dict[str, Any]:
    """Apply operations given as (op, path, value), through the message, and see that the document is not touched."""
    entries = []
    for op, path, *value in operations:
        entry = {"op": op} | ({} if path is None else {"path": path}) | ({"value": value[0]} if value else {})
        entries.append(entry)
    before = copy.deepcopy(document)
    try:
        return apply_patch(resource_type, document, parse_patch({"Operations": entries}))
    finally:
        assert document == before


def changed(**attributes: Any) -> dict[str, Any]:
    """Return the document with other attributes; None for one that is gone."""
    return {name: value for name, value in (DOCUMENT | attributes).items() if value is not None}


class TestMessage:
    def test_operations_are_taken_in_any_case(self) -> None:
        """RFC 7644 §3.5.2: "op" values and, by RFC 7643 §2.1, attribute names are case insensitive."""
        replace = {"OP": "Replace", "Path": "title", "VALUE": "x"}
        body = {"Schemas": ["x"], "operations": [replace, {"op": "REMOVE", "path": "title"}]}
        assert parse_patch(body) == [Operation("replace", "title", "x"), Operation("remove", "title", None)]

    def test_a_path_that_is_null_or_empty_is_none(self) -> None:
        """RFC 7643 §2.5: null is the same as absent."""
        for path in (None, ""):
            body = {"Operations": [{"op": "add", "path": path, "value": {"title": "x"}}]}
            assert parse_patch(body) == [Operation("add", None, {"title": "x"})]

    @pytest.mark.parametrize(
        ("body", "error"),
        [
            (None, InvalidSyntax),
            ([], InvalidSyntax),
            ({}, InvalidSyntax),
            ({"Operations": []}, InvalidSyntax),
            ({"Operations": "x"}, InvalidSyntax),
            ({"Operations": ["x"]}, InvalidSyntax),
            ({"Operations": [{}]}, InvalidSyntax),
            ({"Operations": [{"op": "move", "path": "title"}]}, InvalidSyntax),
            ({"Operations": [{"op": 1, "path": "title"}]}, InvalidSyntax),
            ({"Operations": [{"op": "add", "OP": "add", "path": "title", "value": "x"}]}, InvalidSyntax),
            ({"schemas": "x", "Operations": [{"op": "remove", "path": "title"}]}, InvalidSyntax),
            ({"Operations": [{"op": "remove"}]}, NoTarget),
            ({"Operations": [{"op": "remove", "value": {"title": "x"}}]}, NoTarget),
            ({"Operations": [{"op": "add", "path": 5, "value": 1}]}, InvalidPath),
            ({"Operations": [{"op": "add", "path": "a b", "value": 1}]}, InvalidPath),
            ({"Operations": [{"op": "add", "path": "title"}]}, InvalidValue),
            ({"Operations": [{"op": "replace", "path": "members"}]}, InvalidValue),
            ({"Operations": [{"op": "replace"}]}, InvalidValue),
            ({"Operations": [{"op": "replace", "value": "x"}]}, InvalidValue),
            ({"Operations": [{"op": "replace", "value": [{"title": "x"}]}]}, InvalidValue),
        ],
    )
    def test_a_wrong_structure_has_its_scim_type(self, body: object, error: type[ScimError]) -> None:
        """RFC 7644 §3.12 table 9; "If "path" is unspecified, the operation fails with ... noTarget" for remove."""
        with pytest.raises(error) as caught:
            parse_patch(body)
        assert caught.value.to_body()["status"] == "400"

    def test_errors_of_the_message_say_which_operation_is_wrong(self) -> None:
        """Design: errors are clear and specific."""
        good = {"op": "remove", "path": "title"}
        with pytest.raises(InvalidSyntax, match="operation 2: op must be add, remove or replace"):
            parse_patch({"Operations": [good, {"op": "x"}]})

    def test_there_is_a_limit_on_operations(self) -> None:
        """Design: "PATCH 100 operations"."""
        operation = {"op": "remove", "path": "title"}
        assert len(parse_patch({"Operations": [operation] * 100})) == 100
        with pytest.raises(TooMany) as caught:
            parse_patch({"Operations": [operation] * 101})
        assert caught.value.to_body()["status"] == "413"
        assert "scimType" not in caught.value.to_body()

    @pytest.mark.parametrize("form", ["path", "URN path", "no path", "URN key"])
    def test_there_is_a_limit_on_member_values(self, form: str) -> None:
        """Design: "5,000 member values" in one PATCH, over all its operations."""
        urn = "urn:ietf:params:scim:schemas:core:2.0:Group:members"

        def body(count: int) -> dict[str, Any]:
            members: Any = [{"value": str(i)} for i in range(count)]
            key = urn if form.startswith("URN") else "Members"
            if form in ("path", "URN path"):
                operation = {"op": "add", "path": key, "value": members}
            else:
                operation = {"op": "add", "value": {key: members}}
            return {"Operations": [operation, {"op": "remove", "path": "members", "value": [{"value": "x"}]}]}

        assert len(parse_patch(body(4_999))) == 2
        with pytest.raises(TooMany, match="5000 member values, not 5001"):
            parse_patch(body(5_000))


class TestAdd:
    def test_sets_a_single_value(self) -> None:
        """§3.5.2.1: "If the target location specifies a single-valued attribute, the existing value is replaced"."""
        assert patched(("add", "nickName", "n")) == changed(nickName="n")
        assert patched(("add", "title", "x")) == changed(title="x")
        assert patched(("add", "TITLE", "x")) == changed(title="x")
        assert patched(("add", f"{USER_URN}:title", "x")) == changed(title="x")

    def test_merges_a_complex_value(self) -> None:
        """§3.5.2.1: for a complex attribute "a set of sub-attributes SHALL be specified in the "value" parameter"."""
        assert patched(("add", "name", {"middleName": "M", "GivenName": "X"})) == changed(
            name={"givenName": "X", "familyName": "B", "middleName": "M"}
        )

    def test_appends_to_a_multi_valued_attribute(self) -> None:
        """§3.5.2.1: "If the target location specifies a multi-valued attribute, a new value is added"."""
        new = {"value": "o@b", "type": "other"}
        for value in (new, [new], [WORK, new]):
            assert patched(("add", "emails", value)) == changed(emails=[WORK, HOME, new])

    def test_of_what_is_there_changes_nothing(self) -> None:
        """§3.5.2.1: "If the target location already contains the value specified, no changes SHOULD be made"."""
        for operation in [("add", "emails", [HOME]), ("add", "title", "t"), ("add", "name", {"givenName": "A"})]:
            assert patched(operation) == DOCUMENT

    def test_of_a_new_primary_demotes_the_old_one(self) -> None:
        """§3.5.2: when a value is set primary, the server sets the "primary" of the existing one to "false"."""
        new = {"value": "n@b", "type": "other", "primary": True}
        assert patched(("add", "emails", [new])) == changed(emails=[{**WORK, "primary": False}, HOME, new])
        unflagged = {"value": "w@b", "type": "work"}
        assert patched(("add", "emails", [unflagged, new])) == changed(emails=[{**WORK, "primary": False}, HOME, new])
        assert patched(("add", 'emails[type eq "home"].primary', "True")) == changed(
            emails=[{**WORK, "primary": False}, {**HOME, "primary": True}]
        )
        assert patched(("replace", 'emails[type eq "home"]', {**HOME, "primary": True})) == changed(
            emails=[{**WORK, "primary": False}, {**HOME, "primary": True}]
        )

    def test_of_null_changes_nothing(self) -> None:
        """RFC 7643 §2.5: null assigns nothing."""
        for path in (
            "title",
            "emails",
            "name",
            'emails[type eq "work"].value',
            'emails[type eq "x"]',
            ENTERPRISE_USER_URN,
        ):
            assert patched(("add", path, None)) == DOCUMENT

    def test_without_a_path_takes_each_attribute_of_the_value(self) -> None:
        """§3.5.2.1: "If omitted, the target location is assumed to be the resource itself"."""
        value = {"nickName": "n", "emails": [{"value": "x"}], "name": {"givenName": "X"}, "nope": 1, "foo bar": 2}
        assert patched(("add", None, value)) == changed(
            nickName="n", emails=[WORK, HOME, {"value": "x"}], name={"givenName": "X", "familyName": "B"}
        )


class TestRemove:
    @pytest.mark.parametrize("name", ["title", "name", "emails", CUSTOM, ENTERPRISE_USER_URN])
    def test_of_an_attribute_unassigns_it(self, name: str) -> None:
        """§3.5.2.2: "the attribute and its associated value is removed", and the attribute is unassigned."""
        assert patched(("remove", name)) == changed(**{name: None})

    def test_of_what_is_not_there_changes_nothing(self) -> None:
        """§3.5.2.2 asks for a state that holds already."""
        for path in ("nickName", "name.middleName", 'emails[type eq "other"]', "urn:other:x:a", f"{CUSTOM}:nope"):
            assert patched(("remove", path)) == DOCUMENT

    def test_of_a_sub_attribute_leaves_the_others(self) -> None:
        """§3.5.2.2 with a path to a sub-attribute."""
        assert patched(("remove", "name.givenName")) == changed(name={"familyName": "B"})
        assert patched(("remove", "name.givenName"), ("remove", "name.familyName")) == changed(name=None)
        assert patched(("remove", "emails.type")) == changed(
            emails=[{"value": "w@b", "primary": True}, {"value": "h@b"}]
        )

    def test_through_a_filter_removes_the_elements_that_match(self) -> None:
        """§3.5.2.2: "the values matched by the filter are removed. If no other values remain ... unassigned"."""
        assert patched(("remove", 'emails[type eq "WORK"]')) == changed(emails=[HOME])
        assert patched(("remove", "emails[value pr]")) == changed(emails=None)

    def test_of_a_sub_attribute_through_a_filter(self) -> None:
        """§3.5.2.2: "the matching sub-attribute of the matching value is removed"."""
        assert patched(("remove", 'emails[type eq "work"].primary')) == changed(
            emails=[{"value": "w@b", "type": "work"}, HOME]
        )

    def test_of_the_only_value_leaves_no_empty_shell(self) -> None:
        """RFC 7643 §2.4: type and primary say something about a value; alone they are nothing."""
        assert patched(("remove", 'emails[type eq "work"].value')) == changed(emails=[HOME])

    def test_with_a_list_of_values_removes_only_those(self) -> None:
        """Design, Entra ID: remove with a value list removes only those."""
        assert patched(("remove", "emails", [{"value": "W@B"}])) == changed(emails=[HOME])
        assert patched(("remove", "emails", {"value": "h@b", "type": "work"})) == DOCUMENT
        assert patched(("remove", "emails", ["w@b", "h@b"])) == changed(emails=None)
        assert patched(("remove", "emails", [])) == DOCUMENT

    @pytest.mark.parametrize("path", ["userName", "username", f"{USER_URN}:userName"])
    def test_of_a_required_attribute_is_refused(self, path: str) -> None:
        """§3.5.2.2: removing a required or read-only attribute is 400 with the scimType "mutability"."""
        with pytest.raises(Mutability, match="userName"):
            patched(("remove", path))


class TestReplace:
    def test_sets_a_value_whether_or_not_there_was_one(self) -> None:
        """§3.5.2.3: if the target location does not exist, the operation is treated as an add."""
        assert patched(("replace", "title", "x")) == changed(title="x")
        assert patched(("replace", "nickName", "x")) == changed(nickName="x")
        assert patched(("replace", "name.middleName", "x")) == changed(name={**DOCUMENT["name"], "middleName": "x"})

    def test_of_a_multi_valued_attribute_replaces_all_values(self) -> None:
        """§3.5.2.3: "multi-valued and no filter is specified, the attribute and all values are replaced"."""
        assert patched(("replace", "emails", [HOME])) == changed(emails=[HOME])
        assert patched(("replace", "emails", "x@b")) == changed(emails=[{"value": "x@b"}])
        for nothing in ([], None, ""):
            assert patched(("replace", "emails", nothing)) == changed(emails=None)

    def test_of_a_complex_attribute_replaces_the_sub_attributes_given(self) -> None:
        """§3.5.2.3: the sub-attributes given replace existing values or are added; the others stay."""
        assert patched(("replace", "name", {"givenName": "X"})) == changed(name={"givenName": "X", "familyName": "B"})
        assert patched(("replace", "name", {"givenName": None})) == changed(name={"familyName": "B"})
        assert patched(("replace", "name", None)) == changed(name=None)

    def test_through_a_filter_replaces_the_elements_that_match(self) -> None:
        """§3.5.2.3: "all matching record values SHALL be replaced"."""
        new = {"value": "n@b", "display": "N"}
        assert patched(("replace", 'emails[type eq "work"]', new)) == changed(emails=[new, HOME])
        assert patched(("replace", 'emails[type eq "work"]', [new])) == changed(emails=[new, HOME])
        assert patched(("replace", 'emails[type eq "work"]', "n@b")) == changed(emails=[{**WORK, "value": "n@b"}, HOME])
        assert patched(("replace", 'emails[type eq "work"]', None)) == changed(emails=[HOME])

    def test_of_a_sub_attribute_through_a_filter(self) -> None:
        """§3.5.2.3: "the specific sub-attribute of all matching values SHALL be replaced"."""
        assert patched(("replace", 'emails[type eq "work"].value', "n@b")) == changed(
            emails=[{**WORK, "value": "n@b"}, HOME]
        )

    def test_through_a_filter_that_describes_an_element_creates_it(self) -> None:
        """Design, Entra ID: an add or replace through a value path that matches nothing creates the element."""
        other = {"type": "other", "value": "o@b"}
        for op in ("add", "replace"):
            assert patched((op, 'emails[type eq "other"].value', "o@b")) == changed(emails=[WORK, HOME, other])
            assert patched((op, 'emails[type eq "other"]', {"value": "o@b"})) == changed(emails=[WORK, HOME, other])
            assert patched((op, 'phoneNumbers[type eq "work" and primary eq "True"].value', "1")) == changed(
                phoneNumbers=[{"type": "work", "primary": True, "value": "1"}]
            )

    def test_builds_an_element_in_steps(self) -> None:
        """Design, Entra ID: one operation per attribute."""
        operations = [
            ("Add", 'addresses[type eq "work"].locality', "X"),
            ("Add", 'addresses[type eq "work"].country', "ES"),
            ("Add", 'emails[type eq "other"].primary', "True"),
            ("Add", 'emails[type eq "other"].value', "o@b"),
        ]
        assert patched(*operations) == changed(
            addresses=[{"type": "work", "locality": "X", "country": "ES"}],
            emails=[{**WORK, "primary": False}, HOME, {"type": "other", "primary": True, "value": "o@b"}],
        )

    @pytest.mark.parametrize(
        "value_filter",
        [
            *('type ne "work" and type ne "home"', 'value co "@x"', 'type eq "x" or type eq "y"'),
            *("not (type pr)", 'type eq "x" and type eq "y"'),
        ],
    )
    def test_through_a_filter_that_matches_and_describes_nothing_has_no_target(self, value_filter: str) -> None:
        """§3.5.2.3: a value filter without a match is 400 with the scimType "noTarget"."""
        with pytest.raises(NoTarget):
            patched(("replace", f"emails[{value_filter}].value", "x"))

    @pytest.mark.parametrize("operation", [("replace", "userName", None), ("replace", None, {"userName": ""})])
    def test_cannot_unassign_a_required_attribute(self, operation: tuple[Any, ...]) -> None:
        """RFC 7643 §4.1.1: userName "MUST be a non-empty string"."""
        with pytest.raises(InvalidValue, match="userName is required"):
            patched(operation)


class TestExtensions:
    def test_one_attribute_is_addressed_by_urn_and_name(self) -> None:
        """RFC 7644 §3.10: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"."""
        urn = ENTERPRISE_USER_URN
        assert patched(("replace", f"{urn}:department", "x"))[urn]["department"] == "x"
        assert patched(("replace", f"{urn.upper()}:DEPARTMENT", "x"))[urn]["department"] == "x"
        assert "department" not in patched(("remove", f"{urn}:department"))[urn]
        assert patched(("add", f"{urn}:costCenter", "c"), document={"userName": "a"})[urn] == {"costCenter": "c"}

    @pytest.mark.parametrize("value", ["n", {"value": "n"}])
    def test_a_new_manager_takes_no_reference_of_the_old_one(self, value: object) -> None:
        """RFC 7643 §4.3: manager.$ref is the URI of the resource that manager.value identifies."""
        for path, new in [("manager", value), ("manager.value", "n")]:
            assert patched(("replace", f"{ENTERPRISE_USER_URN}:{path}", new))[ENTERPRISE_USER_URN]["manager"] == {
                "value": "n"
            }

    def test_a_whole_extension_is_addressed_by_its_urn(self) -> None:
        """RFC 7644 §3.10: the URN alone stands for the extension; attributes not mentioned stay."""
        assert patched(("replace", CUSTOM, {"badge": 2}))[CUSTOM] == {**DOCUMENT[CUSTOM], "Badge": 2}
        assert patched(("replace", None, {CUSTOM.upper(): {"badge": None}}))[CUSTOM] == {
            name: value for name, value in DOCUMENT[CUSTOM].items() if name != "Badge"
        }
        assert patched(("replace", CUSTOM, None)) == changed(**{CUSTOM: None})
        assert patched(("add", None, {"urn:new:x": {"a": 1}})) == changed(**{"urn:new:x": {"a": 1}})

    def test_undeclared_attributes_take_what_their_value_allows(self) -> None:
        """Design: extensions are kept verbatim; RFC 7644 §3.5.2 applies to the values found there."""
        assert patched(("add", f"{CUSTOM}:tags", ["y", "z"]))[CUSTOM]["tags"] == ["x", "y", "z"]
        assert patched(("remove", f"{CUSTOM}:tags", ["x"]))[CUSTOM]["tags"] == ["y"]
        assert patched(("remove", f'{CUSTOM}:tags[value eq "x"]'))[CUSTOM]["tags"] == ["y"]
        assert patched(("replace", f"{CUSTOM}:tags", [1]))[CUSTOM]["tags"] == [1]
        assert patched(("add", f"{CUSTOM}:box", {"b": 2}))[CUSTOM]["box"] == {"a": 1, "b": 2}
        assert patched(("replace", f"{CUSTOM}:box.A", 3))[CUSTOM]["box"] == {"a": 3}
        assert patched(("replace", f'{CUSTOM}:rows[k eq "1"].v', "I"))[CUSTOM]["rows"] == [
            {"k": "1", "v": "I"},
            {"k": "2"},
        ]
        assert patched(("add", f'{CUSTOM}:rows[k eq "3"].v', "III"))[CUSTOM]["rows"][2] == {"k": "3", "v": "III"}
        assert patched(("add", "urn:new:x:badge", {"a": [None]})) == changed(**{"urn:new:x": {"badge": {"a": [None]}}})

    @pytest.mark.parametrize(
        "path", [f"{CUSTOM}:Badge.sub", f'{CUSTOM}:Badge[a eq "b"]', f'{CUSTOM}:tags[value eq "x"].v']
    )
    def test_undeclared_attributes_do_not_change_shape_through_a_path(self, path: str) -> None:
        """RFC 7644 §3.12 invalidPath, rather than a value lost."""
        with pytest.raises(InvalidPath):
            patched(("replace", path, "x"))


class TestRefusals:
    @pytest.mark.parametrize(
        "path",
        [
            *("id", "meta", "meta.version", "groups", "groups.value", 'groups[value eq "g"]'),
            f"{ENTERPRISE_USER_URN}:manager.displayName",
        ],
    )
    @pytest.mark.parametrize("op", ["add", "replace", "remove"])
    def test_a_read_only_target_is_refused(self, op: str, path: str) -> None:
        """§3.5.2: "A client MUST NOT modify an attribute that has mutability "readOnly" or "immutable"."""
        with pytest.raises(Mutability):
            patched((op, path, "x"))

    def test_read_only_attributes_that_come_along_without_a_path_are_ignored(self) -> None:
        """Design, Okta: `{"op":"replace","value":{"id":"…","displayName":"…"}}`."""
        value = {"id": "1", "schemas": [USER_URN], "meta": {}, "groups": [], "title": "x", f"{USER_URN}:id": "2",
                 ENTERPRISE_USER_URN: {"manager": {"displayName": "M"}}, "meta.version": "v"}  # fmt: skip
        assert patched(("replace", None, value)) == changed(title="x")

    @pytest.mark.parametrize(
        "path",
        ["nope", "name.nope", "title.x", 'title[value eq "x"]', 'name[givenName eq "A"]',
         'emails[type eq "work"].nope', 'emails.value[type eq "work"]', f'{USER_URN}:nope', f'{CUSTOM}[a eq "b"]'],
    )  # fmt: skip
    @pytest.mark.parametrize("op", ["add", "replace", "remove"])
    def test_a_path_that_names_no_attribute_is_refused(self, op: str, path: str) -> None:
        """RFC 7644 §3.12 invalidPath: "The "path" attribute was invalid or malformed"."""
        with pytest.raises(InvalidPath):
            patched((op, path, "x"))

    @pytest.mark.parametrize("path", ['emails[nope eq "x"]', "emails[primary gt true]", "emails[type eq 5].value"])
    @pytest.mark.parametrize("op", ["add", "replace", "remove"])
    def test_a_filter_that_does_not_fit_the_attribute_is_refused_as_a_filter(self, op: str, path: str) -> None:
        """RFC 7644 §3.12 invalidFilter: "the specified attribute and filter comparison combination is not
        supported".
        """
        with pytest.raises(InvalidFilter):
            patched((op, path, "x"))

    @pytest.mark.parametrize(
        ("path", "value"),
        [("title", 5), ("name", "x"), ("name.givenName", {}), ("active", "maybe"), ("emails", 5), ("emails", [[]]),
         ('emails[type eq "work"]', 5), ('emails[type eq "work"]', [{"value": "a"}, {"value": "b"}]),
         ('emails[type eq "work"].value', ["x"]), (ENTERPRISE_USER_URN, "x"), (f"{CUSTOM}:a", "\0")],
    )  # fmt: skip
    def test_a_value_that_does_not_fit_is_refused(self, path: str, value: object) -> None:
        """RFC 7644 §3.12 invalidValue."""
        if value == [[]]:
            assert patched(("replace", path, value)) == changed(emails=None)  # an empty list within is nothing too
            return
        with pytest.raises(InvalidValue):
            patched(("replace", path, value))

    def test_password_leaves_no_trace(self) -> None:
        """Design: "A password is accepted, then dropped: no message, table, log or event has a place for it"."""
        assert patched(("replace", None, {"password": "x"}), ("remove", "password")) == DOCUMENT
        for path in ("password", f"{USER_URN}:PassWord"):
            assert patched(("replace", path, "x")) == DOCUMENT

    def test_active_cannot_be_unassigned(self) -> None:
        """Design: "An absent `active` keeps its value", so that nobody is reactivated by leaving it out."""
        document = {"userName": "a", "active": False}
        for operation in [("replace", "active", None), ("replace", None, {"active": None})]:
            assert patched(operation, document=document) == document

    def test_active_cannot_be_removed(self) -> None:
        """§3.5.2.2: removing "a required attribute … the server SHALL return an HTTP response … `mutability`"."""
        with pytest.raises(Mutability, match="active is required"):
            patched(("remove", "active"))

    def test_an_error_in_a_later_operation_undoes_the_earlier_ones(self) -> None:
        """§3.5.2: "a PATCH request, regardless of the number of operations, SHALL be treated as atomic"."""
        with pytest.raises(InvalidPath):
            patched(
                ("replace", "title", "x"), ("replace", 'emails[type eq "work"].value', "x"), ("replace", "nope", "x")
            )

    def test_operations_apply_in_order(self) -> None:
        """§3.5.2: "the operations are applied sequentially in the order they appear in the array"."""
        assert patched(("replace", "title", "x"), ("remove", "title"), ("add", "title", "y")) == changed(title="y")

    def test_a_group_keeps_its_name(self) -> None:
        """RFC 7643 §4.2: Group displayName is REQUIRED."""
        group = {"displayName": "g"}
        with pytest.raises(Mutability):
            patched(("remove", "displayName"), document=group, resource_type=GROUP)
        with pytest.raises(InvalidValue, match="blank"):
            patched(("replace", "displayName", "  "), document=group, resource_type=GROUP)
        assert patched(("replace", "displayName", "h"), document=group, resource_type=GROUP) == {"displayName": "h"}
