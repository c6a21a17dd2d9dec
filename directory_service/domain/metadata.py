"""Attribute mapping: from what the identity provider sent to a user's `metadata` (PRODUCT §3).

A mapping is a list of `{"name", "attributes": [{"namespace", "key"}]}`. Of each entry the first source with a value
wins. What a key yields:

- a single-valued attribute or sub-attribute: its value, an object for a complex one;
- a multi-valued attribute: the list of its elements; with a value filter: the first element that satisfies it;
- a sub-attribute of a multi-valued attribute: that of the primary element, else of the first that has it.

Names match in any case. Unassigned values (null, "", [], {}) yield nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from scim.errors import ScimError
from scim.filter import PatchPath, check_element_filter, matches_element, parse_path
from scim.schemas import ENTERPRISE_USER_URN, USER, USER_URN, Attribute, is_urn
from scim.values import find_key

MAX_ENTRIES = 100
"""Mapped attributes of one connection."""
MAX_SOURCES = 20
"""Sources of one mapped attribute."""
MAX_NAME = 100
"""Characters of a name."""
MAX_KEY = 500
"""Characters of a key or a namespace."""

AttributeMapping = Sequence[Mapping[str, Any]]


class MappingRefused(Exception):
    """A mapping is not valid; `field` is the path of the field in the request, `rule` what it must satisfy."""

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(f"{field}: {rule}")
        self.field = field
        self.rule = rule


def check_mapping(mapping: AttributeMapping) -> None:
    """Raise MappingRefused unless every entry can be resolved on any user."""
    if len(mapping) > MAX_ENTRIES:
        raise MappingRefused("mapped_attributes", f"must have at most {MAX_ENTRIES} entries")
    names: set[str] = set()
    for number, entry in enumerate(mapping):
        field = f"mapped_attributes[{number}]"
        name = entry["name"]
        if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
            raise MappingRefused(f"{field}.name", f"must be 1 to {MAX_NAME} printable characters")
        if name in names:
            raise MappingRefused(f"{field}.name", "must be unique in the mapping")
        names.add(name)
        if not entry["attributes"] or len(entry["attributes"]) > MAX_SOURCES:
            raise MappingRefused(f"{field}.attributes", f"must have 1 to {MAX_SOURCES} sources")
        for position, source in enumerate(entry["attributes"]):
            _check_source(f"{field}.attributes[{position}]", source["namespace"], source["key"])


def _check_source(field: str, namespace: str, key: str) -> None:
    if namespace and (len(namespace) > MAX_KEY or not is_urn(namespace)):
        raise MappingRefused(f"{field}.namespace", "must be the URN of a schema, or empty")
    if not key or len(key) > MAX_KEY:
        raise MappingRefused(f"{field}.key", f"must be 1 to {MAX_KEY} characters")
    try:
        path = parse_path(key)
    except ScimError as error:
        raise MappingRefused(f"{field}.key", f"must be an attribute path ({error.detail})") from None
    if path.path.schema is not None:
        raise MappingRefused(f"{field}.key", "must not contain a URN: give it as namespace")
    if path.path.sub_attribute is not None and path.value_filter is not None:
        raise MappingRefused(f"{field}.key", "must have its filter after the attribute")
    for definition in _definitions(f"{field}.key", namespace, path.path.attribute):
        _check_path(f"{field}.key", path, definition)


def _definitions(field: str, namespace: str, name: str) -> Iterator[Attribute | None]:
    """Yield what the attribute may be in the schemas that are searched; None for one that no schema declares."""
    core = USER.attribute(name)
    enterprise = USER.extension_lookup[ENTERPRISE_USER_URN.lower()].lookup.get(name.lower())
    if namespace.lower() == USER_URN.lower():
        if core is None:
            raise MappingRefused(field, f"{name} is not an attribute of the core schema")
        yield core
    elif namespace.lower() == ENTERPRISE_USER_URN.lower():
        yield enterprise
    elif namespace or (core is None and enterprise is None):
        yield None
    else:
        yield from (definition for definition in (core, enterprise) if definition is not None)


def _check_path(field: str, path: PatchPath, definition: Attribute | None) -> None:
    if definition is not None and definition.returned == "never":
        raise MappingRefused(field, f"{definition.name} is never kept")
    sub = path.sub_attribute or path.path.sub_attribute
    if definition is not None and sub is not None and definition.sub_attribute(sub) is None:
        raise MappingRefused(field, f"{definition.name} has no sub-attribute {sub}")
    if path.value_filter is not None:
        try:
            check_element_filter(path.value_filter, definition)
        except ScimError as error:
            raise MappingRefused(field, f"has a filter that cannot be used ({error.detail})") from None


def resolve(document: Mapping[str, Any], mapping: AttributeMapping) -> dict[str, Any]:
    """Return the metadata that a valid mapping makes of a user's document; a name without a value is absent."""
    metadata: dict[str, Any] = {}
    for entry in mapping:
        for source in entry["attributes"]:
            value = _find(document, source["namespace"], source["key"])
            if value is not None:
                metadata[entry["name"]] = value
                break
    return metadata


_parse_key = lru_cache(maxsize=2048)(parse_path)


def _find(document: Mapping[str, Any], namespace: str, key: str) -> Any:
    path = _parse_key(key)
    for definition, container in _schemas(document, namespace, path.path.attribute):
        value = _value(container, path, definition)
        if value is not None:
            return value
    return None


def _schemas(
    document: Mapping[str, Any], namespace: str, name: str
) -> Iterator[tuple[Attribute | None, Mapping[str, Any]]]:
    """Yield the schemas to search, in order, with what the document has of each."""
    wanted = namespace.lower()
    if not wanted or wanted == USER_URN.lower():
        core = USER.attribute(name)
        if core is not None:
            yield core, document
    if not wanted or wanted == ENTERPRISE_USER_URN.lower():
        schema = USER.extension_lookup[ENTERPRISE_USER_URN.lower()]
        yield schema.lookup.get(name.lower()), document.get(ENTERPRISE_USER_URN, {})
    for urn in sorted(key for key in document if ":" in key and key != ENTERPRISE_USER_URN):
        if not wanted or urn.lower() == wanted:
            yield None, document[urn]


def _value(container: Mapping[str, Any], path: PatchPath, definition: Attribute | None) -> Any:
    key = definition.name if definition is not None else find_key(container, path.path.attribute)
    value = container.get(key) if key is not None else None
    if not _is_assigned(value):
        return None
    sub = path.sub_attribute or path.path.sub_attribute
    if path.value_filter is None and sub is None:
        return value
    elements = value if isinstance(value, list) else [value]
    if path.value_filter is not None:
        term = path.value_filter
        elements = [element for element in elements if matches_element(term, definition, element)]
    elements = sorted(elements, key=lambda element: not (isinstance(element, dict) and element.get("primary") is True))
    if sub is None:
        return elements[0] if elements else None
    for element in elements:
        if not isinstance(element, dict):
            continue
        name = find_key(element, sub)
        if name is not None and _is_assigned(element[name]):
            return element[name]
    return None


def _is_assigned(value: object) -> bool:
    return value is not None and value != "" and value != [] and value != {}
