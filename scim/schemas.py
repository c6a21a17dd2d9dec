"""The schemas of RFC 7643 as data, and the one place where attribute names are looked up.

Names and URNs are compared without regard to case (RFC 7643 §2.1) and answered in canonical spelling.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from scim.errors import InvalidFilter, InvalidPath

USER_URN = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP_URN = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE_USER_URN = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
SCHEMA_URN = "urn:ietf:params:scim:schemas:core:2.0:Schema"
RESOURCE_TYPE_URN = "urn:ietf:params:scim:schemas:core:2.0:ResourceType"

_STRINGS = frozenset({"string", "reference", "binary"})


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute definition with the characteristics of RFC 7643 §7."""

    name: str
    type: str = "string"
    multi_valued: bool = False
    required: bool = False
    case_exact: bool = False
    mutability: str = "readWrite"
    returned: str = "default"
    uniqueness: str = "none"
    canonical_values: tuple[str, ...] = ()
    reference_types: tuple[str, ...] = ()
    sub_attributes: tuple["Attribute", ...] = ()
    description: str = ""
    lookup: Mapping[str, "Attribute"] = field(init=False, repr=False, compare=False)
    """Sub-attributes by canonical name and by lower-case name."""
    is_text: bool = field(init=False, repr=False, compare=False)
    """Whether the value is a JSON string without further structure."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lookup", _by_name(self.sub_attributes))
        object.__setattr__(self, "is_text", self.type in _STRINGS)

    def sub_attribute(self, name: str) -> "Attribute | None":
        """Return the sub-attribute of that name in any case, or None."""
        return self.lookup.get(name) or self.lookup.get(name.lower())


def _by_name(attributes: Iterable[Attribute]) -> dict[str, Attribute]:
    names: dict[str, Attribute] = {}
    for attribute in attributes:
        names[attribute.name] = attribute
        names[attribute.name.lower()] = attribute
    return names


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A schema: its URN, its description and its attributes (RFC 7643 §7)."""

    id: str
    name: str
    description: str
    attributes: tuple[Attribute, ...]
    lookup: Mapping[str, Attribute] = field(init=False, repr=False)
    """Attributes by canonical name and by lower-case name."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "lookup", _by_name(self.attributes))


@dataclass(frozen=True, slots=True, eq=False)
class ResourceType:
    """A kind of resource: endpoint, core schema, declared extensions (RFC 7643 §6)."""

    name: str
    endpoint: str
    schema: Schema
    extensions: tuple[Schema, ...] = ()
    description: str = ""
    lookup: Mapping[str, Attribute] = field(init=False, repr=False)
    """Common and core attributes by canonical name and by lower-case name."""
    extension_lookup: Mapping[str, Schema] = field(init=False, repr=False)
    """Declared extensions by lower-case URN."""
    urns: tuple[tuple[str, Schema], ...] = field(init=False, repr=False)
    """Lower-case URNs of the core schema and the extensions, longest first."""
    schema_urns: frozenset[str] = field(init=False, repr=False)
    """Lower-case URNs of the core schema and the extensions."""
    required: tuple[Attribute, ...] = field(init=False, repr=False)
    """Core attributes that a client must send; not `active`, which a user always has but a request may leave out."""

    def __post_init__(self) -> None:
        declared = sorted(((s.id.lower(), s) for s in (self.schema, *self.extensions)), key=lambda p: -len(p[0]))
        required = tuple(
            a for a in self.schema.attributes if a.required and a.mutability != "readOnly" and a.name != "active"
        )
        object.__setattr__(self, "lookup", _by_name((*COMMON_ATTRIBUTES, *self.schema.attributes)))
        object.__setattr__(self, "extension_lookup", {s.id.lower(): s for s in self.extensions})
        object.__setattr__(self, "urns", tuple(declared))
        object.__setattr__(self, "schema_urns", frozenset(urn for urn, _ in declared))
        object.__setattr__(self, "required", required)

    def attribute(self, name: str) -> Attribute | None:
        """Return the common or core attribute of that name in any case, or None."""
        return self.lookup.get(name) or self.lookup.get(name.lower())


def _multi_valued(
    name: str, description: str, types: tuple[str, ...] = (), *, value: Attribute | None = None
) -> Attribute:
    """Build a multi-valued attribute with the default sub-attributes of RFC 7643 §2.4."""
    return Attribute(
        name,
        "complex",
        multi_valued=True,
        description=description,
        sub_attributes=(
            value or Attribute("value", description="The significant value."),
            Attribute("display", description="A human-readable name, for display only."),
            Attribute("type", canonical_values=types, description="A label for the value's function."),
            Attribute("primary", "boolean", description="Whether this value is the preferred one; true at most once."),
        ),
    )


COMMON_ATTRIBUTES = (
    Attribute(
        "schemas",
        "reference",
        multi_valued=True,
        case_exact=True,
        returned="always",
        reference_types=("uri",),
        description="URNs of the schemas whose attributes are present.",
    ),
    Attribute(
        "id",
        case_exact=True,
        mutability="readOnly",
        returned="always",
        uniqueness="server",
        description="Identifier given by the service provider.",
    ),
    Attribute("externalId", case_exact=True, description="Identifier given by the provisioning client."),
    Attribute(
        "meta",
        "complex",
        mutability="readOnly",
        description="Metadata of the resource.",
        sub_attributes=(
            Attribute("resourceType", case_exact=True, mutability="readOnly", description="Kind of the resource."),
            Attribute("created", "dateTime", mutability="readOnly", description="When the resource was created."),
            Attribute("lastModified", "dateTime", mutability="readOnly", description="When it last changed."),
            Attribute(
                "location",
                "reference",
                case_exact=True,
                mutability="readOnly",
                reference_types=("uri",),
                description="URI of the resource.",
            ),
            Attribute("version", case_exact=True, mutability="readOnly", description="Entity tag of the resource."),
        ),
    ),
)
"""Attributes of every resource that no schema lists (RFC 7643 §3.1)."""

_USER_SCHEMA = Schema(
    USER_URN,
    "User",
    "User Account",
    (
        Attribute(
            "userName",
            required=True,
            uniqueness="server",
            description="Name by which the user signs in to the service provider; unique, never blank.",
        ),
        Attribute(
            "name",
            "complex",
            description="Components of the user's name.",
            sub_attributes=(
                Attribute("formatted", description="The full name, formatted for display."),
                Attribute("familyName", description="Family or last name."),
                Attribute("givenName", description="Given or first name."),
                Attribute("middleName", description="Middle names."),
                Attribute("honorificPrefix", description="Title before the name, such as Ms."),
                Attribute("honorificSuffix", description="Suffix after the name, such as III."),
            ),
        ),
        Attribute("displayName", description="Name suitable for display to others."),
        Attribute("nickName", description="Casual name by which the user is addressed."),
        Attribute(
            "profileUrl",
            "reference",
            case_exact=True,
            reference_types=("external",),
            description="URL of the user's online profile.",
        ),
        Attribute("title", description="Job title."),
        Attribute("userType", description="Relation of the user to the organization, such as Employee."),
        Attribute("preferredLanguage", description="Preferred written or spoken language (RFC 7231 §5.3.5)."),
        Attribute("locale", description="Language tag for localizing currency, dates and numbers (RFC 5646)."),
        Attribute("timezone", description="Time zone name of the IANA database, such as Europe/Madrid."),
        Attribute(
            "active",
            "boolean",
            required=True,
            description="Whether the user is active; left out, it is true on creation and kept otherwise.",
        ),
        Attribute(
            "password",
            case_exact=True,
            mutability="writeOnly",
            returned="never",
            description="Accepted from clients and not kept.",
        ),
        _multi_valued("emails", "E-mail addresses.", ("work", "home", "other")),
        _multi_valued("phoneNumbers", "Telephone numbers.", ("work", "home", "mobile", "fax", "pager", "other")),
        _multi_valued(
            "ims", "Instant messaging addresses.", ("aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo")
        ),
        _multi_valued(
            "photos",
            "URLs of photos of the user.",
            ("photo", "thumbnail"),
            value=Attribute(
                "value",
                "reference",
                case_exact=True,
                reference_types=("external",),
                description="URL of the photo.",
            ),
        ),
        Attribute(
            "addresses",
            "complex",
            multi_valued=True,
            description="Physical mailing addresses.",
            sub_attributes=(
                Attribute("formatted", description="The full address, formatted for display or a label."),
                Attribute("streetAddress", description="Street, house number, box."),
                Attribute("locality", description="City or locality."),
                Attribute("region", description="State or region."),
                Attribute("postalCode", description="Postal code."),
                Attribute("country", description="Country, as an ISO 3166-1 alpha-2 code."),
                Attribute("type", canonical_values=("work", "home", "other"), description="A label for its function."),
                Attribute("primary", "boolean", description="Whether this address is the preferred one."),
            ),
        ),
        Attribute(
            "groups",
            "complex",
            multi_valued=True,
            mutability="readOnly",
            description="Groups to which the user belongs, computed from the groups.",
            sub_attributes=(
                Attribute("value", case_exact=True, mutability="readOnly", description="Identifier of the group."),
                Attribute(
                    "$ref",
                    "reference",
                    case_exact=True,
                    mutability="readOnly",
                    reference_types=("User", "Group"),
                    description="URI of the group.",
                ),
                Attribute("display", mutability="readOnly", description="Display name of the group."),
                Attribute(
                    "type",
                    mutability="readOnly",
                    canonical_values=("direct", "indirect"),
                    description="Whether the membership is direct.",
                ),
            ),
        ),
        _multi_valued("entitlements", "Entitlements, that is, things the user has."),
        _multi_valued("roles", "Roles, that is, who the user is."),
        _multi_valued(
            "x509Certificates",
            "X.509 certificates issued to the user.",
            value=Attribute("value", "binary", case_exact=True, description="DER certificate in base64."),
        ),
    ),
)

_ENTERPRISE_USER_SCHEMA = Schema(
    ENTERPRISE_USER_URN,
    "EnterpriseUser",
    "Enterprise User",
    (
        Attribute("employeeNumber", description="Identifier assigned by the organization."),
        Attribute("costCenter", description="Name of a cost center."),
        Attribute("organization", description="Name of an organization."),
        Attribute("division", description="Name of a division."),
        Attribute("department", description="Name of a department."),
        Attribute(
            "manager",
            "complex",
            description="The user's manager.",
            sub_attributes=(
                Attribute("value", case_exact=True, description="Identifier of the manager."),
                Attribute(
                    "$ref", "reference", case_exact=True, reference_types=("User",), description="URI of the manager."
                ),
                Attribute("displayName", mutability="readOnly", description="Display name of the manager."),
            ),
        ),
    ),
)

_GROUP_SCHEMA = Schema(
    GROUP_URN,
    "Group",
    "Group",
    (
        Attribute(
            "displayName",
            required=True,
            uniqueness="server",
            description="Name of the group; unique, never blank.",
        ),
        Attribute(
            "members",
            "complex",
            multi_valued=True,
            description="Members of the group.",
            sub_attributes=(
                Attribute("value", case_exact=True, mutability="immutable", description="Identifier of the member."),
                Attribute(
                    "$ref",
                    "reference",
                    case_exact=True,
                    mutability="immutable",
                    reference_types=("User", "Group"),
                    description="URI of the member.",
                ),
                Attribute(
                    "type",
                    mutability="immutable",
                    canonical_values=("User", "Group"),
                    description="Kind of the member.",
                ),
                Attribute(
                    "display",
                    mutability="immutable",
                    description="Name of the member for display; the member's own name where the client gives none.",
                ),
            ),
        ),
    ),
)

USER = ResourceType("User", "/Users", _USER_SCHEMA, (_ENTERPRISE_USER_SCHEMA,), "User Account")
GROUP = ResourceType("Group", "/Groups", _GROUP_SCHEMA, (), "Group")
MEMBERS = _GROUP_SCHEMA.lookup["members"]
SCHEMAS = (_USER_SCHEMA, _GROUP_SCHEMA, _ENTERPRISE_USER_SCHEMA)
RESOURCE_TYPES = (USER, GROUP)


def _attribute_resource(attribute: Attribute) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": attribute.name,
        "type": attribute.type,
        "multiValued": attribute.multi_valued,
        "description": attribute.description,
        "required": attribute.required,
        "mutability": attribute.mutability,
        "returned": attribute.returned,
        "uniqueness": attribute.uniqueness,
    }
    if attribute.is_text:
        entry["caseExact"] = attribute.case_exact
    if attribute.canonical_values:
        entry["canonicalValues"] = list(attribute.canonical_values)
    if attribute.reference_types:
        entry["referenceTypes"] = list(attribute.reference_types)
    if attribute.sub_attributes:
        entry["subAttributes"] = [_attribute_resource(sub) for sub in attribute.sub_attributes]
    return entry


def schema_resource(schema: Schema) -> dict[str, Any]:
    """Return the discovery document of a schema, without `meta.location` (RFC 7643 §7)."""
    return {
        "schemas": [SCHEMA_URN],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": [_attribute_resource(attribute) for attribute in schema.attributes],
        "meta": {"resourceType": "Schema"},
    }


def resource_type_resource(resource_type: ResourceType) -> dict[str, Any]:
    """Return the discovery document of a resource type, without `meta.location` (RFC 7643 §6)."""
    resource: dict[str, Any] = {
        "schemas": [RESOURCE_TYPE_URN],
        "id": resource_type.name,
        "name": resource_type.name,
        "description": resource_type.description,
        "endpoint": resource_type.endpoint,
        "schema": resource_type.schema.id,
        "meta": {"resourceType": "ResourceType"},
    }
    if resource_type.extensions:
        resource["schemaExtensions"] = [{"schema": s.id, "required": False} for s in resource_type.extensions]
    return resource


def schemas_of(resource_type: ResourceType, document: Mapping[str, Any]) -> list[str]:
    """Return the value of `schemas` for a document: the core URN, then each extension present (RFC 7643 §3)."""
    return [resource_type.schema.id, *(key for key in document if ":" in key)]


@dataclass(frozen=True, slots=True)
class AttributePath:
    """An attribute path as written: `[URN:]attribute[.sub-attribute]` (RFC 7644 §3.10).

    A URN is split off at the last colon. When what follows it cannot be an attribute name, the whole text is the
    URN and `attribute` is empty; `resolve` decides with the schemas at hand what the text denotes.
    """

    schema: str | None
    attribute: str
    sub_attribute: str | None = None

    def __str__(self) -> str:
        text = self.attribute if self.schema is None else self.schema
        if self.schema is not None and self.attribute:
            text = f"{text}:{self.attribute}"
        return text if self.sub_attribute is None else f"{text}.{self.sub_attribute}"


_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
_URI = re.compile(
    r"[A-Za-z][A-Za-z0-9+.-]*:[!#-Z\\^-~]+"
)  # printable ASCII, save what no URN has: quotation mark, bracket


def is_attribute_name(text: str) -> bool:
    """Tell whether the text can be an attribute name (RFC 7643 §2.1, and `$ref`)."""
    return _NAME.fullmatch(text) is not None


def is_urn(text: str) -> bool:
    """Tell whether the text can be the URN of a schema; any absolute URI will do (RFC 7643 §10.3)."""
    return _URI.fullmatch(text) is not None


def parse_attribute_path(text: str) -> AttributePath:
    """Split an attribute path into URN, attribute and sub-attribute (RFC 7644 §3.10).

    Raises InvalidPath when the text is none.
    """
    schema, colon, tail = text.rpartition(":")
    name, dot, sub_attribute = tail.partition(".")
    if is_attribute_name(name) and (not dot or is_attribute_name(sub_attribute)):
        if not colon:
            return AttributePath(None, name, sub_attribute or None)
        if is_urn(schema):
            return AttributePath(schema, name, sub_attribute or None)
    if colon and is_urn(text):
        return AttributePath(text, "")
    raise InvalidPath(f"{text[:200]!r} is not an attribute path")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What an attribute path denotes in a resource type."""

    extension: str | None
    """URN of the extension in canonical or seen spelling; None for a common or core attribute."""
    attribute: Attribute | None
    """None for an undeclared attribute of an extension, and when the path is a bare URN."""
    sub_attribute: Attribute | None
    keys: tuple[str, ...]
    """Location in the JSON document; empty for the bare core URN."""
    multi_valued: tuple[bool, ...]
    """For each key whether a list is declared there; undeclared keys say False and may hold anything."""

    @property
    def definition(self) -> Attribute | None:
        """The deepest declared definition on the path, or None."""
        return self.sub_attribute or self.attribute

    @property
    def bare_urn(self) -> bool:
        """Whether the path names a whole schema and no attribute."""
        return len(self.keys) == (0 if self.extension is None else 1)


def resolve(
    resource_type: ResourceType,
    path: AttributePath,
    *,
    known_urns: Iterable[str] = (),
    error: type[InvalidPath] | type[InvalidFilter] = InvalidPath,
) -> Resolved:
    """Find what a path denotes; names and URNs in any case (RFC 7644 §3.10).

    Declared URNs come first, then `known_urns` (those present on the document), longest first; any other URN is split
    at its last colon. Raises `error` for an unknown core attribute or sub-attribute.
    """
    if path.schema is None:
        return _in_schema(resource_type, None, resource_type.lookup, path.attribute, path.sub_attribute, path, error)
    text = str(path)
    lower = text.lower()
    for urn, schema in resource_type.urns:
        if not lower.startswith(urn):
            continue
        is_core = schema is resource_type.schema
        extension = None if is_core else schema.id
        if len(lower) == len(urn):
            return _bare(extension)
        rest = text[len(urn) + 1 :]
        if text[len(urn)] == ":" and ":" not in rest:
            name, _, sub_name = rest.partition(".")
            names = resource_type.lookup if is_core else schema.lookup
            return _in_schema(resource_type, extension, names, name, sub_name or None, path, error)
    for known in sorted(known_urns, key=len, reverse=True):
        if not lower.startswith(known.lower()):
            continue
        if len(text) == len(known):
            return _bare(known)
        rest = text[len(known) + 1 :]
        if text[len(known)] == ":" and ":" not in rest:
            name, _, sub_name = rest.partition(".")
            return _undeclared(known, name, sub_name or None)
    if not path.attribute:
        return _bare(path.schema)
    return _undeclared(path.schema, path.attribute, path.sub_attribute)


def _bare(extension: str | None) -> Resolved:
    if extension is None:
        return Resolved(None, None, None, (), ())
    return Resolved(extension, None, None, (extension,), (False,))


def _undeclared(extension: str, name: str, sub_name: str | None) -> Resolved:
    keys = (extension, name) if sub_name is None else (extension, name, sub_name)
    return Resolved(extension, None, None, keys, (False,) * len(keys))


def _in_schema(
    resource_type: ResourceType,
    extension: str | None,
    names: Mapping[str, Attribute],
    name: str,
    sub_name: str | None,
    path: AttributePath,
    error: type[InvalidPath] | type[InvalidFilter],
) -> Resolved:
    attribute = names.get(name) or names.get(name.lower())
    if attribute is None:
        # A declared extension stays open: identity providers add attributes of their own to the enterprise schema.
        if extension is not None:
            return _undeclared(extension, name, sub_name)
        raise error(f"{path} is not an attribute of {resource_type.name}")
    prefix = () if extension is None else (extension,)
    flags = (False,) * len(prefix)
    if sub_name is None:
        return Resolved(extension, attribute, None, (*prefix, attribute.name), (*flags, attribute.multi_valued))
    sub = attribute.sub_attribute(sub_name)
    if sub is None:
        raise error(f"{attribute.name} has no sub-attribute {sub_name}")
    return Resolved(
        extension,
        attribute,
        sub,
        (*prefix, attribute.name, sub.name),
        (*flags, attribute.multi_valued, sub.multi_valued),
    )
