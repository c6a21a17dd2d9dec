"""The one conversion between SCIM documents and messages."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rollcall.directory.v1 import group_pb2, user_pb2

from chassis.scim_message import (
    ENTERPRISE_USER_URN,
    OUTPUT_ONLY_FIELDS,
    InvalidDocument,
    attribute_name,
    document_to_message,
    message_to_document,
)

FULL: dict[str, Any] = {
    "userName": "Bjensen@Example.com",
    "externalId": "00u1",
    "name": {
        "formatted": "Ms. Barbara J Jensen III",
        "familyName": "Jensen",
        "givenName": "Barbara",
        "middleName": "Jane",
        "honorificPrefix": "Ms.",
        "honorificSuffix": "III",
    },
    "displayName": "Babs Jensen",
    "nickName": "Babs",
    "profileUrl": "https://login.example.com/bjensen",
    "title": "Tour Guide",
    "userType": "Employee",
    "preferredLanguage": "en_US",
    "locale": "en_US",
    "timezone": "America/Los_Angeles",
    "active": False,
    "emails": [{"value": "b@example.com", "type": "work", "primary": True}, {"value": "b@home.org", "primary": False}],
    "phoneNumbers": [{"value": "555-555-8377", "type": "work", "display": "desk"}],
    "ims": [{"value": "aim", "type": "aim"}],
    "photos": [{"value": "https://photos.example.com/1", "type": "photo"}],
    "addresses": [
        {
            "formatted": "100 Universal City Plaza\nHollywood, CA 91608 USA",
            "streetAddress": "100 Universal City Plaza",
            "locality": "Hollywood",
            "region": "CA",
            "postalCode": "91608",
            "country": "US",
            "type": "work",
            "primary": True,
        }
    ],
    "entitlements": [{"value": "e"}],
    "roles": [{"value": "r", "primary": True}],
    "x509Certificates": [{"value": "MIID"}],
    ENTERPRISE_USER_URN: {
        "employeeNumber": "701984",
        "costCenter": "4130",
        "organization": "Universal Studios",
        "division": "Theme Park",
        "department": "Tour Operations",
        "manager": {"value": "26118915", "$ref": "../Users/26118915", "displayName": "John Smith"},
    },
    "urn:custom:badge:1.0:User": {"badge": 7, "doors": ["a", {"b": None}], "Mixed Case": True},
}


def test_a_full_user_goes_both_ways() -> None:
    """RFC 7643 §8.3, the full enterprise user, comes back as it went."""
    message = document_to_message(FULL, user_pb2.User())
    assert message.user_name == "Bjensen@Example.com"
    assert message.phone_numbers[0].display == "desk"
    assert message.x509_certificates[0].value == "MIID"
    assert message.enterprise.manager.ref == "../Users/26118915"
    assert message.HasField("active")
    assert message.active is False
    assert not message.emails[0].display
    assert message.emails[1].HasField("primary")
    assert message_to_document(message) == FULL


def test_every_field_that_is_not_output_only_is_converted() -> None:
    """HOUSE.md: "A SCIM attribute the system acts on: the proto"; no field is forgotten by the table."""
    converted = set(FULL) - {"urn:custom:badge:1.0:User", ENTERPRISE_USER_URN}
    fields = {field.name for field in user_pb2.User.DESCRIPTOR.fields} - OUTPUT_ONLY_FIELDS
    assert converted == {attribute_name(name) for name in fields - {"enterprise", "extensions"}}


@pytest.mark.parametrize(
    ("field", "attribute"),
    [
        ("user_name", "userName"),
        ("phone_numbers", "phoneNumbers"),
        ("x509_certificates", "x509Certificates"),
        ("ref", "$ref"),
        ("ims", "ims"),
    ],
)
def test_names_follow_one_rule(field: str, attribute: str) -> None:
    """`phone_numbers` ↔ `phoneNumbers`, `ref` ↔ `$ref`."""
    assert attribute_name(field) == attribute


def test_absent_active_stays_absent() -> None:
    """PRODUCT.md: "An absent `active` keeps its value": presence travels."""
    assert not document_to_message({"userName": "a"}, user_pb2.User()).HasField("active")
    assert message_to_document(user_pb2.User(user_name="a")) == {"userName": "a"}
    assert message_to_document(user_pb2.User(user_name="a", active=False)) == {"userName": "a", "active": False}


def test_output_only_fields_are_not_touched() -> None:
    """What the directory computes is no part of a document."""
    given_by_client = {
        "userName": "a",
        "id": "1",
        "groups": [{"value": "g"}],
        "metadata": {"x": 1},
        "version": 9,
        "etag": "e",
    }
    message = document_to_message(given_by_client, user_pb2.User())
    assert message == user_pb2.User(user_name="a")
    message.id, message.version, message.etag = "id", 3, 'W/"3"'
    message.groups.add(group_id="g")
    message.metadata["team"] = "x"
    message.created_time.GetCurrentTime()
    assert message_to_document(message) == {"userName": "a"}


def test_unknown_attributes_are_ignored_and_unassigned_ones_absent() -> None:
    """PRODUCT.md: other attributes "are ignored, never an error"; RFC 7643 §2.5: null is unassigned."""
    document = {
        "userName": "a",
        "favouriteColour": "red",
        "title": None,
        "name": {"givenName": None, "x": 1},
        "emails": [],
    }
    assert message_to_document(document_to_message(document, user_pb2.User())) == {"userName": "a"}


def test_the_enterprise_urn_is_matched_in_any_case() -> None:
    """URNs are case-insensitive (RFC 8141 §3.1); what RFC 7643 does not declare under it is kept too."""
    message = document_to_message(
        {ENTERPRISE_USER_URN.upper(): {"department": "d", "shoeSize": 43, "division": None}}, user_pb2.User()
    )
    assert message.enterprise.department == "d"
    assert message_to_document(message) == {ENTERPRISE_USER_URN: {"department": "d", "shoeSize": 43}}


def test_groups_are_converted_by_the_same_table() -> None:
    """A group's document is its name, its externalId and its extensions; members are not in it."""
    document = {"displayName": "Tour Guides", "externalId": "x", "urn:x:Group": {"a": 1}, ENTERPRISE_USER_URN: {"b": 2}}
    message = document_to_message({**document, "members": [{"value": "1"}]}, group_pb2.Group())
    assert len(message.members) == 0
    assert message_to_document(message) == document


@pytest.mark.parametrize(
    ("document", "name"),
    [
        ({"userName": 5}, "userName"),
        ({"active": "true"}, "active"),
        ({"title": True}, "title"),
        ({"name": "Babs"}, "name"),
        ({"name": {"givenName": 5}}, "givenName"),
        ({"emails": ["a@b"]}, "emails"),
        ({"emails": {"value": "a@b"}}, "emails"),
        ({"emails": [{"primary": 1}]}, "primary"),
        ({"urn:x:y": "text"}, "urn:x:y"),
        ({ENTERPRISE_USER_URN: []}, ENTERPRISE_USER_URN),
        ({ENTERPRISE_USER_URN: {"manager": "26118915"}}, "manager"),
        ({ENTERPRISE_USER_URN: {"department": 1}}, "department"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_by_name(document: dict[str, Any], name: str) -> None:
    """The error names the attribute; nothing is coerced here, for validation stands before."""
    with pytest.raises(InvalidDocument, match=name.replace(".", r"\.")):
        document_to_message(document, user_pb2.User())


@pytest.mark.parametrize("text", ["", "[]", "5", "{"])
def test_an_extension_that_is_no_json_object_is_refused(text: str) -> None:
    """`extensions` values are the text of one JSON object."""
    with pytest.raises(InvalidDocument, match="urn:x"):
        message_to_document(user_pb2.User(extensions={"urn:x:y": text}))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, min_size=1, max_size=4)
URN = st.from_regex(r"urn:[a-z]{2,5}:[A-Za-z0-9.]{1,8}(:User)?", fullmatch=True).filter(
    lambda urn: urn.casefold() != ENTERPRISE_USER_URN.casefold()
)


def some(names: list[str], extra: dict[str, st.SearchStrategy[Any]] | None = None) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with at least one of the sub-attributes."""
    options = dict.fromkeys(names, TEXT) | (extra or {})
    return st.fixed_dictionaries({}, optional=options).filter(bool)


MULTI = st.lists(some(["value", "display", "type"], {"primary": st.booleans()}), min_size=1, max_size=3)
ADDRESSES = st.lists(
    some(
        ["formatted", "streetAddress", "locality", "region", "postalCode", "country", "type"],
        {"primary": st.booleans()},
    ),
    min_size=1,
    max_size=2,
)
DOCUMENT = st.builds(
    lambda core, extensions: {**core, **extensions},
    st.fixed_dictionaries(
        {"userName": TEXT},
        optional={
            **{name: TEXT for name in FULL if isinstance(FULL[name], str) and name != "userName"},
            "active": st.booleans(),
            "name": some(list(FULL["name"])),
            **{name: MULTI for name in FULL if isinstance(FULL[name], list) and name != "addresses"},
            "addresses": ADDRESSES,
            ENTERPRISE_USER_URN: some(
                ["employeeNumber", "costCenter", "organization", "division", "department"],
                {"manager": some(["value", "$ref", "displayName"])},
            ),
        },
    ),
    st.dictionaries(URN, OBJECT, max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(DOCUMENT)
def test_any_document_goes_both_ways(document: dict[str, Any]) -> None:
    """Document → message → bytes → message → document is the identity."""
    message = user_pb2.User.FromString(document_to_message(document, user_pb2.User()).SerializeToString())
    assert message_to_document(message) == document


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from([*FULL, "other", "urn:x:y"]), JSON, max_size=6))
def test_arbitrary_json_is_converted_or_refused_by_name(document: dict[str, Any]) -> None:
    """Only InvalidDocument escapes, and what is converted is stable."""
    with contextlib.suppress(InvalidDocument):
        message = document_to_message(document, user_pb2.User())
        converted = message_to_document(message)
        assert message_to_document(document_to_message(converted, user_pb2.User())) == converted
