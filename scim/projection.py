"""Which attributes of a resource are returned (RFC 7643 §7 `returned`, RFC 7644 §3.4.2.5).

`id` and `schemas` are always returned, `password` never. Names are paths: an attribute, a sub-attribute, the URN of an
extension, or an attribute of one; in any case. A name that denotes nothing is ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from scim.errors import InvalidValue
from scim.schemas import GROUP, USER, ResourceType


@dataclass(frozen=True, slots=True)
class _Selection:
    """Names taken apart once, for use on every resource of a page."""

    core: Mapping[str, frozenset[str] | None]
    """Canonical name → lower-case sub-attributes meant, None for the whole attribute."""
    urns: tuple[str, ...] = field(default=())
    """Lower-case names that carry a URN; which part is the URN depends on the resource."""


@lru_cache(maxsize=256)
def _selection(resource_type: ResourceType, names: tuple[str, ...]) -> _Selection:
    core: dict[str, frozenset[str] | None] = {}
    urns: list[str] = []
    prefix = f"{resource_type.schema.id.lower()}:"
    for name in names:
        lower = name.strip().lower()
        if lower == prefix[:-1]:
            core.update({attribute.name: None for attribute in resource_type.schema.attributes})
            continue
        lower = lower.removeprefix(prefix)
        if ":" in lower:
            urns.append(lower)
            continue
        head, dot, sub_name = lower.partition(".")
        attribute = resource_type.lookup.get(head)
        if attribute is None or (dot and sub_name not in attribute.lookup):
            continue
        known = core.get(attribute.name, frozenset())
        core[attribute.name] = None if not dot or known is None else known | {sub_name}
    return _Selection(core, tuple(urns))


def project(
    resource_type: ResourceType,
    resource: dict[str, Any],
    attributes: Sequence[str] | None,
    excluded: Sequence[str] | None,
) -> dict[str, Any]:
    """Return the part of a resource that the request asks for; the one given is not touched, and may be returned.

    Empty and None mean that the parameter was not given. Raises InvalidValue when both are given, as they exclude each
    other (RFC 7644 §3.9).
    """
    _check_exclusive(attributes, excluded)
    if attributes:
        result = _selected(resource_type, resource, _selection(resource_type, tuple(attributes)))
    elif excluded:
        result = _without(resource_type, resource, _selection(resource_type, tuple(excluded)))
    else:
        result = resource
    never = [key for key in result if (definition := resource_type.lookup.get(key)) and definition.returned == "never"]
    return {key: value for key, value in result.items() if key not in never} if never else result


def is_returned(
    resource_type: ResourceType, name: str, attributes: Sequence[str] | None, excluded: Sequence[str] | None
) -> bool:
    """Tell whether a core attribute, by canonical name, is returned at least in part.

    Raises InvalidValue when both lists are given.
    """
    _check_exclusive(attributes, excluded)
    definition = resource_type.lookup[name]
    if definition.returned in ("always", "never"):
        return definition.returned == "always"
    if attributes:
        return name in _selection(resource_type, tuple(attributes)).core
    if excluded:
        return _selection(resource_type, tuple(excluded)).core.get(name, frozenset()) is not None
    return definition.returned != "request"


def needs_members(attributes: Sequence[str] | None, excluded: Sequence[str] | None) -> bool:
    """Tell whether a group's members have to be read to answer the request."""
    return is_returned(GROUP, "members", attributes, excluded)


def needs_groups(attributes: Sequence[str] | None, excluded: Sequence[str] | None) -> bool:
    """Tell whether a user's groups have to be read to answer the request."""
    return is_returned(USER, "groups", attributes, excluded)


def _check_exclusive(attributes: Sequence[str] | None, excluded: Sequence[str] | None) -> None:
    if attributes and excluded:
        raise InvalidValue("attributes and excludedAttributes exclude each other")


def _selected(resource_type: ResourceType, resource: dict[str, Any], selection: _Selection) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in resource.items():
        if ":" in key:
            chosen = _extension_part(key.lower(), selection.urns)
            if chosen is None:
                result[key] = value
            elif chosen:
                part = _keep(value, chosen)
                if part:
                    result[key] = part
            continue
        definition = resource_type.lookup.get(key)
        if definition is not None and definition.returned == "always":
            result[key] = value
        elif key in selection.core:
            names = selection.core[key]
            part = value if names is None else _keep(value, dict.fromkeys(names))
            if part not in ([], {}):
                result[key] = part
    return result


def _without(resource_type: ResourceType, resource: dict[str, Any], selection: _Selection) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in resource.items():
        if ":" in key:
            chosen = _extension_part(key.lower(), selection.urns)
            if chosen is None:
                continue
            part = _drop(value, chosen) if chosen else value
        else:
            definition = resource_type.lookup.get(key)
            if key not in selection.core or (definition is not None and definition.returned == "always"):
                result[key] = value
                continue
            names = selection.core[key]
            if names is None:
                continue
            part = _drop(value, dict.fromkeys(names))
        if part not in ([], {}):
            result[key] = part
    return result


def _extension_part(urn: str, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the attributes of an extension that the names mean, as a tree; None for all of it, {} for nothing."""
    tree: dict[str, Any] = {}
    for name in names:
        if name == urn:
            return None
        if not name.startswith(f"{urn}:"):
            continue
        head, dot, sub_name = name[len(urn) + 1 :].partition(".")
        if not dot:
            tree[head] = None
        elif tree.setdefault(head, {}) is not None:
            tree[head][sub_name] = None
    return tree


def _keep(value: Any, tree: Mapping[str, Any]) -> Any:
    """Return what the tree of lower-case names selects of an object, or of each object in a list."""
    if isinstance(value, list):
        return [part for part in (_keep(item, tree) for item in value) if part]
    if not isinstance(value, dict):
        return {}
    kept: dict[str, Any] = {}
    for key, item in value.items():
        lower = key.lower()
        if lower in tree:
            below = tree[lower]
            part = item if below is None else _keep(item, below)
            if below is None or part:
                kept[key] = part
    return kept


def _drop(value: Any, tree: Mapping[str, Any]) -> Any:
    """Return an object, or each object in a list, without what the tree of lower-case names selects."""
    if isinstance(value, list):
        return [part for part in (_drop(item, tree) for item in value) if part not in ({}, [])]
    if not isinstance(value, dict):
        return value
    left: dict[str, Any] = {}
    for key, item in value.items():
        lower = key.lower()
        if lower not in tree:
            left[key] = item
            continue
        below = tree[lower]
        if below is not None:
            part = _drop(item, below)
            if part not in ({}, []):
                left[key] = part
    return left
