"""Discovery documents of what a connection received beyond the schemas of the RFC (RFC 7643 §3.3, §6, §7).

Extensions are kept whatever they hold, so what is declared of one is what was seen of it: an attribute can be written,
is returned, and has the type that its values had.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from rollcall.directory.v1 import directory_service_pb2 as pb

from scim.schemas import (
    GROUP,
    RESOURCE_TYPES,
    SCHEMAS,
    USER,
    Attribute,
    ResourceType,
    Schema,
    resource_type_resource,
    schema_resource,
)

DESCRIPTION = "Received on this connection."

_TYPES = {
    pb.EXTENSION_ATTRIBUTE_TYPE_BOOLEAN: "boolean",
    pb.EXTENSION_ATTRIBUTE_TYPE_INTEGER: "integer",
    pb.EXTENSION_ATTRIBUTE_TYPE_DECIMAL: "decimal",
    pb.EXTENSION_ATTRIBUTE_TYPE_COMPLEX: "complex",
}
_CORE_URNS = frozenset(kind.schema.id.lower() for kind in RESOURCE_TYPES)


def schema_documents(extensions: Sequence[pb.Extension]) -> list[dict[str, Any]]:
    """Return every schema: those of the RFC, with what was received beyond them, then the connection's own."""
    seen = {extension.schema.lower(): extension for extension in extensions}
    schemas = [_widened(schema, seen.pop(schema.id.lower(), None)) for schema in SCHEMAS]
    own = (
        Schema(extension.schema, extension.schema, DESCRIPTION, tuple(map(_attribute, extension.attributes)))
        for extension in seen.values()
    )
    return [schema_resource(schema) for schema in (*schemas, *own)]


def resource_type_documents(extensions: Sequence[pb.Extension]) -> list[dict[str, Any]]:
    """Return every resource type, with the extensions that it was received with."""
    return [
        _with_extensions(USER, (extension.schema for extension in extensions if extension.of_users)),
        _with_extensions(GROUP, (extension.schema for extension in extensions if extension.of_groups)),
    ]


def _with_extensions(resource_type: ResourceType, urns: Iterable[str]) -> dict[str, Any]:
    document = resource_type_resource(resource_type)
    known = {*resource_type.schema_urns, *_CORE_URNS}
    declared = [
        *document.get("schemaExtensions", ()),
        *({"schema": urn, "required": False} for urn in urns if urn.lower() not in known),
    ]
    return {**document, "schemaExtensions": declared} if declared else document


def _widened(schema: Schema, extension: pb.Extension | None) -> Schema:
    if extension is None or schema.id.lower() in _CORE_URNS:
        return schema
    more = tuple(_attribute(seen) for seen in extension.attributes if seen.name.lower() not in schema.lookup)
    return Schema(schema.id, schema.name, schema.description, (*schema.attributes, *more)) if more else schema


def _attribute(seen: pb.ExtensionAttribute) -> Attribute:
    return Attribute(
        seen.name,
        _TYPES.get(seen.type, "string"),
        multi_valued=seen.multi_valued,
        sub_attributes=tuple(map(_attribute, seen.sub_attributes)),
        description=DESCRIPTION,
    )
