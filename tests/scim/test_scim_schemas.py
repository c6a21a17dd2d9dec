"""The schema tables, attribute lookup and discovery documents."""

import pytest

from scim.errors import InvalidFilter, InvalidPath
from scim.schemas import (
    ENTERPRISE_USER_URN,
    GROUP,
    GROUP_URN,
    RESOURCE_TYPES,
    SCHEMAS,
    USER,
    USER_URN,
    Attribute,
    AttributePath,
    parse_attribute_path,
    resolve,
    resource_type_resource,
    schema_resource,
    schemas_of,
)

ADSCIM_GROUP = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"


def keys(text: str, resource_type=USER, **options) -> tuple[str, ...]:
    return resolve(resource_type, parse_attribute_path(text), **options).keys


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("userName", ("userName",)),
        ("USERNAME", ("userName",)),
        ("name.familyName", ("name", "familyName")),
        ("Name.FAMILYNAME", ("name", "familyName")),
        ("emails.value", ("emails", "value")),
        ("externalId", ("externalId",)),
        ("meta.lastmodified", ("meta", "lastModified")),
        ("groups.$ref", ("groups", "$ref")),
        (USER_URN, ()),
        (f"{USER_URN}:userName", ("userName",)),
        (f"{USER_URN.upper()}:name.givenname", ("name", "givenName")),
        (ENTERPRISE_USER_URN, (ENTERPRISE_USER_URN,)),
        (ENTERPRISE_USER_URN.lower(), (ENTERPRISE_USER_URN,)),
        (f"{ENTERPRISE_USER_URN}:department", (ENTERPRISE_USER_URN, "department")),
        (f"{ENTERPRISE_USER_URN}:manager.value", (ENTERPRISE_USER_URN, "manager", "value")),
        ("urn:custom:x:employeeBadge", ("urn:custom:x", "employeeBadge")),
        ("urn:custom:2.0:User:badge.number", ("urn:custom:2.0:User", "badge", "number")),
        (f"{ADSCIM_GROUP}:mail", (ADSCIM_GROUP, "mail")),
        (ADSCIM_GROUP, (ADSCIM_GROUP,)),
        ("urn:custom:2.0", ("urn:custom:2.0",)),
    ],
)
def test_paths_resolve_to_canonical_locations_whatever_their_case(text: str, expected: tuple[str, ...]) -> None:
    """RFC 7643 §2.1: "Attribute names are case insensitive"; RFC 7644 §3.10 for URN-prefixed notation."""
    assert keys(text) == expected


def test_known_urn_is_preferred_to_a_split_at_the_last_colon() -> None:
    """Design: any extension URN is kept verbatim, so a path that equals one seen on the document is the extension."""
    assert keys("urn:custom:x", known_urns=["urn:custom:x"]) == ("urn:custom:x",)
    assert keys("urn:custom:x", known_urns=["urn:custom", "urn:custom:x"]) == ("urn:custom:x",)
    assert keys("URN:CUSTOM:X:badge", known_urns=["urn:custom", "urn:custom:x"]) == ("urn:custom:x", "badge")
    assert keys("urn:custom:x:badge", known_urns=["urn:custom:x:badge"]) == ("urn:custom:x:badge",)
    assert keys("urn:custom:x") == ("urn:custom", "x")


@pytest.mark.parametrize("text", ["nope", "userName.value", "name.nope", f"{USER_URN}:nope", "manager", "email"])
def test_unknown_core_attribute_is_an_error_of_the_callers_kind(text: str) -> None:
    """RFC 7644 §3.12 invalidPath: "The "path" attribute was invalid or malformed"."""
    with pytest.raises(InvalidPath):
        keys(text)
    with pytest.raises(InvalidFilter):
        keys(text, error=InvalidFilter)


def test_declared_extension_stays_open_for_attributes_of_its_own() -> None:
    """Design: "Attributes that no schema declares are kept only under an extension URN"."""
    resolved = resolve(USER, parse_attribute_path(f"{ENTERPRISE_USER_URN}:badge"))
    assert resolved.attribute is None
    assert resolved.keys == (ENTERPRISE_USER_URN, "badge")


@pytest.mark.parametrize("text", ["", " ", "a b", "1a", "a.", ".a", "a.b.c", ":a", "a[b]", "a(b)", 'a"b', "urn:x y:a"])
def test_malformed_attribute_paths_are_refused(text: str) -> None:
    """RFC 7644 §3.4.2.2: attrPath = [URI ":"] ATTRNAME *1subAttr."""
    with pytest.raises(InvalidPath):
        parse_attribute_path(text)


def test_paths_print_as_written() -> None:
    """RFC 7644 §3.10: a fully qualified attribute is the URN, a colon, and the attribute."""
    for text in ("userName", "name.familyName", "urn:a:b:c", "urn:a:b:c.d", ADSCIM_GROUP):
        assert str(parse_attribute_path(text)) == text
    assert parse_attribute_path("urn:a:b:c.d") == AttributePath("urn:a:b", "c", "d")


def attributes(entries: tuple[Attribute, ...], prefix: str = "") -> dict[str, Attribute]:
    found = {}
    for entry in entries:
        found[prefix + entry.name] = entry
        found |= attributes(entry.sub_attributes, f"{prefix}{entry.name}.")
    return found


def test_user_schema_has_the_attributes_of_the_rfc() -> None:
    """RFC 7643 §4.1: the attributes of the core User schema."""
    assert [a.name for a in USER.schema.attributes] == [
        *("userName", "name", "displayName", "nickName", "profileUrl", "title", "userType", "preferredLanguage"),
        *("locale", "timezone", "active", "password", "emails", "phoneNumbers", "ims", "photos", "addresses"),
        *("groups", "entitlements", "roles", "x509Certificates"),
    ]
    assert [a.name for a in USER.extensions[0].attributes] == [
        *("employeeNumber", "costCenter", "organization", "division", "department", "manager"),
    ]


def test_characteristics_that_decide_behaviour_are_those_of_the_rfc() -> None:
    """RFC 7643 §8.7.1 and §3.1: the characteristics of the attributes that the product acts on."""
    user = attributes(tuple(set(USER.lookup.values())))
    group = attributes(tuple(set(GROUP.lookup.values())))
    assert user["userName"].required
    assert not user["userName"].case_exact
    assert user["userName"].uniqueness == "server"
    assert user["id"].case_exact
    assert user["id"].mutability == "readOnly"
    assert user["id"].returned == "always"
    assert user["schemas"].returned == "always"
    assert user["externalId"].case_exact
    assert not user["emails.value"].case_exact
    assert (user["password"].mutability, user["password"].returned) == ("writeOnly", "never")
    assert user["groups"].mutability == "readOnly"
    assert group["displayName"].required
    assert group["members.value"].case_exact
    assert {group[f"members.{name}"].mutability for name in ("value", "$ref", "type")} == {"immutable"}
    assert attributes(USER.extensions[0].attributes)["manager.displayName"].mutability == "readOnly"
    assert group["externalId"].name == "externalId"


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: schema.name)
def test_discovery_of_a_schema_lists_every_attribute_with_its_characteristics(schema) -> None:
    """RFC 7643 §7: the characteristics that an attribute definition has."""
    resource = schema_resource(schema)
    assert resource["schemas"] == ["urn:ietf:params:scim:schemas:core:2.0:Schema"]
    assert resource["id"] == schema.id
    assert "location" not in resource["meta"]
    pending = list(resource["attributes"])
    assert len(pending) == len(schema.attributes)
    while pending:
        entry = pending.pop()
        assert {"name", "type", "multiValued", "required", "mutability", "returned", "uniqueness"} <= entry.keys()
        assert entry["description"]
        assert ("caseExact" in entry) == (entry["type"] in ("string", "reference", "binary"))
        assert ("subAttributes" in entry) == (entry["type"] == "complex")
        assert ("referenceTypes" in entry) == (entry["type"] == "reference")
        pending.extend(entry.get("subAttributes", ()))


def test_discovery_of_resource_types_names_schema_and_extensions() -> None:
    """RFC 7643 §6: name, endpoint, schema, and schemaExtensions with schema and required."""
    user, group = (resource_type_resource(resource_type) for resource_type in RESOURCE_TYPES)
    assert (user["endpoint"], user["schema"]) == ("/Users", USER_URN)
    assert user["schemaExtensions"] == [{"schema": ENTERPRISE_USER_URN, "required": False}]
    assert (group["endpoint"], group["schema"]) == ("/Groups", GROUP_URN)
    assert "schemaExtensions" not in group


def test_schemas_of_a_document_are_the_core_urn_and_the_extensions_present() -> None:
    """RFC 7643 §3: "schemas" lists the URIs of the schemas whose attributes are present."""
    assert schemas_of(USER, {"userName": "a", "urn:custom:x": {"a": 1}}) == [USER_URN, "urn:custom:x"]
