"""Bodies of POST and PUT become documents."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scim.errors import InvalidSyntax, InvalidValue, ScimError
from scim.schemas import ENTERPRISE_USER_URN, GROUP, GROUP_URN, USER, USER_URN
from scim.values import instant, is_date_time, normalize
from tests.scim.strategies import bodies, json_values


def user(**attributes: object) -> dict[str, object]:
    return normalize(USER, {"userName": "a@b", **attributes}, for_update=True)


def group(**attributes: object) -> dict[str, object]:
    return normalize(GROUP, {"displayName": "g", **attributes})


def test_attribute_names_in_any_case_become_canonical() -> None:
    """RFC 7643 §2.1: "Attribute names are case insensitive"."""
    body = {"USERNAME": "a@b", "Name": {"GIVENNAME": "A"}, "EMails": [{"Value": "x", "TYPE": "work"}]}
    assert normalize(USER, body, for_update=True) == {
        "userName": "a@b",
        "name": {"givenName": "A"},
        "emails": [{"value": "x", "type": "work"}],
    }


def test_user_name_is_echoed_as_sent() -> None:
    """Design: `userName` is "compared case-insensitively, echoed as sent"."""
    assert user(userName=" MiXed@B ")["userName"] == " MiXed@B "


@pytest.mark.parametrize("nothing", [None, [], ""])
@pytest.mark.parametrize("name", ["title", "emails", "name", "externalId", ENTERPRISE_USER_URN])
def test_null_empty_list_and_empty_text_are_unassigned(name: str, nothing: object) -> None:
    """RFC 7643 §2.5: "Unassigned attributes, the null value, or an empty array ... are equivalent in 'state'"."""
    if nothing == "" and name in ("name", ENTERPRISE_USER_URN):
        with pytest.raises(InvalidValue, match="must be an object"):  # only text can be the empty string
            user(**{name: nothing})
    else:
        assert user(**{name: nothing}) == {"userName": "a@b"}


def test_unassigned_parts_leave_no_trace() -> None:
    """RFC 7643 §2.5, applied to sub-attributes, elements and extensions."""
    body = {
        "name": {"givenName": None, "familyName": ""},
        "emails": [None, {"value": None, "type": "work", "primary": True}, {"value": ""}],
        ENTERPRISE_USER_URN: {"department": None, "manager": {"value": ""}},
        "urn:custom:x": {"a": None, "b": []},
    }
    assert user(**body) == {"userName": "a@b"}


def test_read_only_attributes_are_ignored() -> None:
    """RFC 7644 §3.5.1: "readOnly: Any values provided SHALL be ignored"."""
    body = {
        "schemas": [USER_URN],
        "id": "1",
        "meta": {"version": "x"},
        "groups": [{"value": "g"}],
        ENTERPRISE_USER_URN: {"manager": {"value": "m", "displayName": "M"}},
    }
    assert user(**body) == {"userName": "a@b", ENTERPRISE_USER_URN: {"manager": {"value": "m"}}}


def test_password_has_no_place() -> None:
    """Design: "A password is accepted, then dropped"."""
    assert user(password="s3cret", PassWord="s3cret") == {"userName": "a@b"}


def test_undeclared_core_attributes_are_ignored() -> None:
    """Design: attributes that no schema declares "are ignored, never an error" outside an extension."""
    assert user(badge=1, name={"nick": "x", "givenName": "A"}) == {"userName": "a@b", "name": {"givenName": "A"}}


def test_undeclared_extension_is_kept_verbatim() -> None:
    """Design: "any number of other extension URNs, kept verbatim"."""
    extension = {"Badge": 7, "nested": {"a": None, "b": [1, {"c": ""}]}, "flag": "True", "empty": ""}
    assert user(**{"urn:Custom:x": extension})["urn:Custom:x"] == extension


def test_extension_urn_matches_in_any_case() -> None:
    """RFC 7643 §2.1: schema URIs are case insensitive; declared ones are answered in their own spelling."""
    assert user(**{ENTERPRISE_USER_URN.upper(): {"DEPARTMENT": "d"}})[ENTERPRISE_USER_URN] == {"department": "d"}
    both = user(**{"urn:custom:x": {"a": 1}, "URN:custom:X": {"b": 2}})
    assert both == {"userName": "a@b", "urn:custom:x": {"a": 1, "b": 2}}


def test_undeclared_attribute_of_the_enterprise_extension_is_kept() -> None:
    """Design: attributes that no schema declares are kept under an extension URN."""
    assert user(**{ENTERPRISE_USER_URN: {"badge": [1]}})[ENTERPRISE_USER_URN] == {"badge": [1]}


def test_core_urn_and_urn_with_attribute_are_understood_as_keys() -> None:
    """RFC 7644 §3.10: attributes may be written in full."""
    body = {
        USER_URN: {"title": "t"},
        f"{USER_URN}:nickName": "n",
        f"{ENTERPRISE_USER_URN}:department": "d",
        "urn:custom:x:badge": 3,
        "urn:custom:x:badge.number": 4,
    }
    assert user(**body) == {
        "userName": "a@b",
        "title": "t",
        "nickName": "n",
        ENTERPRISE_USER_URN: {"department": "d"},
        "urn:custom:x": {"badge": 3},
    }


@pytest.mark.parametrize(("sent", "kept"), [("True", True), ("false", False), ("FALSE", False), (True, True)])
def test_booleans_may_come_as_strings(sent: object, kept: bool) -> None:
    """Design, Entra ID: booleans as strings (`"active":"True"`); the answer must be a JSON boolean."""
    assert user(active=sent)["active"] is kept
    assert user(emails=[{"value": "x", "primary": sent}])["emails"] == [{"value": "x", "primary": kept}]


@pytest.mark.parametrize("sent", [1, 0, "", "yes", ["true"], {}])
def test_other_booleans_are_refused(sent: object) -> None:
    """RFC 7643 §2.3.2: "The literal "true" or "false""."""
    with pytest.raises(InvalidValue, match="active must be true or false"):
        user(active=sent)


def test_absent_or_null_active_is_true_on_create_and_absent_on_update() -> None:
    """Design: "An absent `active` keeps its value (true on create)"; null and absent mean the same."""
    for body in ({"userName": "a"}, {"userName": "a", "active": None}):
        assert normalize(USER, body)["active"] is True
        assert "active" not in normalize(USER, body, for_update=True)


def test_simplified_forms_of_complex_values_are_understood() -> None:
    """Design: a single object for a list, strings for elements, manager as a plain string or `{value}`."""
    assert user(emails={"value": "x"})["emails"] == [{"value": "x"}]
    assert user(emails=["x", "y"])["emails"] == [{"value": "x"}, {"value": "y"}]
    assert user(emails="x")["emails"] == [{"value": "x"}]
    for manager, kept in [("m", {"value": "m"}), ({"value": "m"}, {"value": "m"}), ({"$ref": "u"}, {"$ref": "u"})]:
        assert user(**{ENTERPRISE_USER_URN: {"manager": manager}})[ENTERPRISE_USER_URN] == {"manager": kept}


def test_only_the_first_of_several_primaries_stays_primary() -> None:
    """RFC 7643 §2.4: "The primary attribute value 'true' MUST appear no more than once"; PingOne may send two."""
    emails = [{"value": "a", "primary": True}, {"value": "b", "primary": True}, {"value": "c", "primary": "true"}]
    kept = [{"value": "a", "primary": True}, {"value": "b", "primary": False}, {"value": "c", "primary": False}]
    assert user(emails=emails)["emails"] == kept


def test_duplicate_elements_collapse() -> None:
    """RFC 7643 §2.4: "service providers SHOULD NOT return the same (type, value) combination more than once"."""
    emails = [{"value": "A@b", "type": "work"}, {"value": "a@B", "type": "WORK"}, {"value": "a@b", "type": "home"}]
    assert user(emails=emails)["emails"] == [emails[0], emails[2]]
    addresses = [{"locality": "X"}, {"locality": "X"}, {"locality": "Y"}]
    assert user(addresses=addresses)["addresses"] == [addresses[0], addresses[2]]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"title": 5}, "title"),
        ({"externalId": 1}, "externalId"),
        ({"title": True}, "title"),
        ({"title": ["x"]}, "title"),
        ({"title": {"value": "x"}}, "title"),
        ({"name": "A B"}, "name"),
        ({"name": [{"givenName": "A"}]}, "name"),
        ({"name": {"givenName": 1}}, "name.givenName"),
        ({"emails": [5]}, "emails"),
        ({"emails": [["x"]]}, "emails"),
        ({"emails": [{"value": 5}]}, "emails.value"),
        ({"x509Certificates": [{"value": "not base64!"}]}, "x509Certificates.value"),
        ({"schemas": "x"}, "schemas"),
        ({"schemas": [1]}, "schemas"),
        ({ENTERPRISE_USER_URN: "x"}, "enterprise"),
        ({ENTERPRISE_USER_URN: {"department": 3}}, "department"),
        ({"title": "a\0b"}, "title"),
        ({"title": "\ud800"}, "title"),
        ({"urn:custom:x": {"a": ["\0"]}}, "a contains"),
        ({"urn:custom:x": {"\0": 1}}, "attribute name"),
        ({"urn:custom:x": {"a": float("inf")}}, "a must be a finite number"),
    ],
)
def test_a_value_that_does_not_fit_names_its_attribute(body: dict[str, object], named: str) -> None:
    """RFC 7644 §3.12 invalidValue: "the value specified was not compatible with the operation or attribute type"."""
    with pytest.raises(InvalidValue, match=named):
        user(**body)


def test_undeclared_values_may_not_nest_without_end() -> None:
    """Design: JSON depth 20."""
    value: object = 1
    for _ in range(20):
        value = [value]
    assert user(**{"urn:custom:x": {"a": value}})
    for _ in range(100_000):
        value = [value]
    with pytest.raises(InvalidValue, match="deeper than 20"):
        user(**{"urn:custom:x": {"a": value}})
    while isinstance(value, list):  # taken apart by hand: the interpreter would recurse
        value = value.pop()


@pytest.mark.parametrize("name", [None, "", "   ", "\t"])
def test_required_attributes_must_be_there_and_not_blank(name: object) -> None:
    """RFC 7643 §4.1.1: userName "MUST be a non-empty string"; §4.2: Group displayName "REQUIRED"."""
    with pytest.raises(InvalidValue, match="userName"):
        normalize(USER, {"userName": name})
    with pytest.raises(InvalidValue, match="displayName"):
        normalize(GROUP, {"displayName": name})
    with pytest.raises(InvalidValue, match="userName is required"):
        normalize(USER, {})


@pytest.mark.parametrize("body", [None, [], "x", 1, True])
def test_a_body_that_is_no_object_is_a_syntax_error(body: object) -> None:
    """RFC 7644 §3.12 invalidSyntax: "The request body message structure was invalid"."""
    with pytest.raises(InvalidSyntax):
        normalize(USER, body)


def test_an_attribute_given_twice_is_a_syntax_error() -> None:
    """RFC 7643 §2.1: names that differ in case are one attribute, so the body contradicts itself."""
    for body in ({"title": "a", "Title": "b"}, {"name": {"givenName": "a", "givenname": "b"}}):
        with pytest.raises(InvalidSyntax, match="twice"):
            user(**body)
    with pytest.raises(InvalidSyntax, match="twice"):
        user(**{"urn:custom:x": {"a": 1, "A": 2}})


def test_members_absent_or_null_are_not_the_empty_list() -> None:
    """Design: "A replace that does not mention `members` leaves them alone"; an empty list empties the group."""
    assert group() == {"displayName": "g"}
    assert group(members=None) == {"displayName": "g"}
    assert group(members=[])["members"] == []


@pytest.mark.parametrize(
    "member",
    [
        {"value": "u1"},
        "u1",
        {"value": "u1", "display": None, "$ref": None},
        {"VALUE": "u1", "display": ""},
    ],
)
def test_members_come_in_many_forms(member: object) -> None:
    """Design: members without type, `display:null`, `$ref:null`, bare strings."""
    assert group(members=[member])["members"] == [{"value": "u1"}]
    assert group(members=member)["members"] == [{"value": "u1"}]


def test_member_value_may_come_from_its_reference() -> None:
    """RFC 7643 §4.2: a member's `$ref` is the URI of the resource that `value` identifies."""
    reference = "https://x/scim/v2/c/Users/u1"
    assert group(members=[{"$ref": reference}])["members"] == [{"$ref": reference, "value": "u1"}]


def test_a_member_listed_twice_is_one() -> None:
    """RFC 7643 §2.4: the same value should not be returned more than once."""
    assert group(members=[{"value": "a", "display": "A"}, {"value": "a"}, "b"])["members"] == [
        {"value": "a", "display": "A"},
        {"value": "b"},
    ]


@pytest.mark.parametrize(
    "members", ["", [None], [{}], [{"$ref": []}], [{"value": ""}], [{"value": None}], [""], [1], {"display": "x"}]
)
def test_members_without_value_are_refused_rather_than_dropped(members: object) -> None:
    """Design: a malformed list must never empty a group."""
    with pytest.raises(InvalidValue, match="members"):
        group(members=members)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2011-05-13T04:42:34Z", datetime(2011, 5, 13, 4, 42, 34, tzinfo=UTC)),
        ("2011-05-13T04:42:34+02:00", datetime(2011, 5, 13, 2, 42, 34, tzinfo=UTC)),
        ("2011-05-13T04:42:34.5", datetime(2011, 5, 13, 4, 42, 34, 500000, tzinfo=UTC)),
        ("2011-05-13T04:42:34.1234567Z", datetime(2011, 5, 13, 4, 42, 34, 123456, tzinfo=UTC)),
    ],
)
def test_dates_are_instants(text: str, expected: datetime) -> None:
    """RFC 7643 §2.3.5: "A DateTime value ... MUST be encoded as a valid xsd:dateTime"."""
    assert instant(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "2011-05-13", "2011-05-13 04:42:34Z", "2011-13-13T04:42:34Z", "20110513T044234Z", "0001-01-01T00:00:00+23:59",
     "٢٠١١-05-13T04:42:34Z", "2011-05-13T04:42:34+99:00", "2011-05-13T04:42:34Z\n"],
)  # fmt: skip
def test_other_texts_are_no_dates(text: str) -> None:
    """RFC 7643 §2.3.5: an xsd:dateTime has both a date and a time."""
    assert not is_date_time(text)


@settings(max_examples=300, deadline=None)
@given(st.one_of(bodies(USER), json_values))
def test_only_scim_errors_escape_and_documents_are_stable(body: object) -> None:
    """Normalizing what was normalized changes nothing, and no other error than a SCIM one ever appears."""
    before = repr(body)
    try:
        document = normalize(USER, body, for_update=True)
    except ScimError:
        return
    finally:
        assert repr(body) == before
    assert normalize(USER, document, for_update=True) == document
    assert not {"schemas", "id", "meta", "groups", "password"} & document.keys()


@settings(max_examples=150, deadline=None)
@given(bodies(GROUP))
def test_group_documents_are_stable(body: object) -> None:
    """Normalizing what was normalized changes nothing."""
    try:
        document = normalize(GROUP, body)
    except ScimError:
        return
    assert normalize(GROUP, document) == document
    assert GROUP_URN not in document
