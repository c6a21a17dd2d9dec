"""PATCH (RFC 7644 §3.5.2): from the body to operations, from operations to the changed document.

Operations apply in order to a copy; any error leaves the document as it was. Beyond the RFC, what identity providers
are known to send is understood: values without a path whose keys are dotted or carry a URN, booleans as strings,
removal of `members` with a list of those to remove, and an add or replace through a value filter that matches nothing,
which creates the element the filter describes when it is made of `eq` and `and`.

A group's members are not in its document: `plan_members` takes their changes out of the operations, so that the cost of
a membership change does not depend on the size of the group.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from typing import Any

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
from scim.filter import (
    And,
    Comparison,
    Filter,
    Not,
    Or,
    PatchPath,
    check_element_filter,
    matches_element,
    parse_path,
)
from scim.schemas import GROUP_URN, MEMBERS, Attribute, AttributePath, Resolved, ResourceType, resolve
from scim.values import (
    Names,
    check_json,
    check_name,
    check_required,
    coerce,
    coerce_complex,
    coerce_members,
    coerce_simple,
    coerce_values,
    find_key,
    fold,
    frozen,
    identity,
    misfit,
    settle_elements,
    single_primary,
)

PATCH_URN = "urn:ietf:params:scim:api:messages:2.0:PatchOp"

MAX_EXAMINED = 100_000
"""Values of multi-valued attributes that the operations of a PATCH may look at together, once for each filter term."""

_GROUP_URN = GROUP_URN.lower()
_MEMBERS_KEYS = ("members", f"{_GROUP_URN}:members")
_MEMBERS_PREFIXES = tuple(f"{key}{mark}" for key in _MEMBERS_KEYS for mark in ".[")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: `op` is add, remove or replace; a missing value is None."""

    op: str
    path: str | None
    value: Any = None
    number: int = field(default=0, compare=False)
    """Its place in the request, from 1, by which errors call it; 0 when it came in none."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the client wrote it; `value` is never blank."""

    value: str
    display: str | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class MemberAdd:
    """Add these members; those already there stay."""

    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class MemberRemove:
    """Remove the members with these values; those not there are no error."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemberRemoveWhere:
    """Remove the members that satisfy the filter, by `scim.filter.matches_element(filter, MEMBERS, member)`."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class MemberClear:
    """Remove every member."""


@dataclass(frozen=True, slots=True)
class MemberReplace:
    """Make these the members; at least one."""

    members: tuple[Member, ...]


MemberChange = MemberAdd | MemberRemove | MemberRemoveWhere | MemberClear | MemberReplace


def parse_patch(body: object, *, max_operations: int = 100, max_member_values: int = 5000) -> list[Operation]:
    """Check the structure of a PATCH body and return its operations (RFC 7644 §3.5.2).

    Names of the message and of operations match in any case. Keys of values that are paths with a filter, or paths to
    members, are limited like operations. Raises InvalidSyntax for a wrong structure, NoTarget for a remove without
    path, InvalidPath for a malformed path, InvalidFilter for a malformed filter in one, InvalidValue for a missing
    value, TooMany beyond the limits.
    """
    if not isinstance(body, dict):
        raise InvalidSyntax("a PATCH body must be a JSON object")
    message = _message(body, ("schemas", "operations"))
    schemas = message.get("schemas")
    if schemas is not None and not (isinstance(schemas, list) and all(isinstance(urn, str) for urn in schemas)):
        raise InvalidSyntax("schemas must be a list of URNs")
    entries = message.get("operations")
    if isinstance(entries, dict):
        entries = [entries]
    if not isinstance(entries, list) or not entries:
        raise InvalidSyntax("Operations must be a list of at least one operation")
    if len(entries) > max_operations:
        raise TooMany(f"a PATCH may have at most {max_operations} operations, not {len(entries)}")
    operations = []
    for number, entry in enumerate(entries, 1):
        with _in_operation(number):
            operations.append(_parse_operation(entry, number))
    if sum(_paths_in_keys(operation.value) for operation in operations) > max_operations:
        raise TooMany(f"the keys of a PATCH may hold at most {max_operations} paths with a filter or to members")
    members = sum(_member_values(operation) for operation in operations)
    if members > max_member_values:
        raise TooMany(f"a PATCH may carry at most {max_member_values} member values, not {members}")
    return operations


@contextmanager
def _in_operation(number: int) -> Iterator[None]:
    """Have errors say which operation they are about."""
    try:
        yield
    except ScimError as error:
        raise error.in_operation(number) from None


def _message(body: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    message: dict[str, Any] = {}
    for key, value in body.items():
        name = key.lower()
        if name in names:
            if name in message:
                raise InvalidSyntax(f"{name} is given twice")
            message[name] = value
    return message


def _parse_operation(entry: object, number: int) -> Operation:
    if not isinstance(entry, dict):
        raise InvalidSyntax("must be a JSON object")
    message = _message(entry, ("op", "path", "value"))
    op = message.get("op")
    if not isinstance(op, str) or op.lower() not in ("add", "remove", "replace"):
        raise InvalidSyntax("op must be add, remove or replace")
    op = op.lower()
    path = message.get("path")
    if path is not None and not isinstance(path, str):
        raise InvalidPath("path must be a string")
    value = message.get("value")
    if path:
        parse_path(path)
    elif op == "remove":
        raise NoTarget("remove needs a path")
    elif not isinstance(value, dict):
        raise InvalidValue("without a path the value must be an object of attributes")
    if op != "remove" and "value" not in message:
        raise InvalidValue(f"{op} needs a value")
    return Operation(op, path or None, value, number)


def _member_values(operation: Operation) -> int:
    """Count the member values an operation carries."""
    if operation.path is not None:
        path = parse_path(operation.path)
        return _count(operation.value) if _is_members(path.path) and path.value_filter is None else 0
    return sum(_count(value) for key, value in operation.value.items() if key.lower() in _MEMBERS_KEYS)


def _paths_in_keys(value: object) -> int:
    """Count the keys of a value that look values up, each of which is as much work as an operation."""
    if not isinstance(value, dict):
        return 0
    keys = list(value)
    for key, inner in value.items():
        if key.lower() == _GROUP_URN and isinstance(inner, dict):
            keys += inner
    return sum("[" in key or key.lower().startswith(_MEMBERS_PREFIXES) for key in keys)


def _count(value: object) -> int:
    return len(value) if isinstance(value, list) else 1


def _is_members(path: AttributePath) -> bool:
    return path.attribute.lower() == "members" and (path.schema is None or path.schema.lower() == _GROUP_URN)


class _Draft:
    """A document as operations change it, with its names at hand, so that no operation has to scan for them."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._urns = Names(key for key in document if ":" in key)
        self._names: dict[str, Names] = {}
        self._examined = 0

    def examine(self, values: object, value_filter: Filter | None) -> None:
        """Count the values that an operation has to look at. Raises TooMany beyond `MAX_EXAMINED`."""
        if isinstance(values, list):
            self._examined += len(values) * (1 if value_filter is None else _terms(value_filter))
            if self._examined > MAX_EXAMINED:
                raise TooMany(f"the operations of a PATCH may look at {MAX_EXAMINED} values of attributes together")

    def known_urns(self, path: AttributePath) -> list[str]:
        """Return the extensions of the document that the path may denote: by its whole text, or up to its last colon.

        Only these can matter to `resolve`, as no attribute name holds a colon.
        """
        if path.schema is None:
            return []
        text = str(path)
        found = (self._urns.find(text), self._urns.find(text.rpartition(":")[0]))
        return [urn for urn in found if urn is not None]

    def open_extension(self, urn: str) -> tuple[dict[str, Any], Names]:
        """Return an extension, empty if it is new, to be changed in place, and its undeclared names."""
        names = self._names.get(urn)
        if names is None:
            container = dict(self.document.get(urn, ()))
            names = self._names[urn] = Names(container)
            self.document[urn] = container
            self._urns.add(urn)
        return self.document[urn], names

    def close_extension(self, urn: str) -> None:
        """Drop an extension in which nothing is left."""
        if not self.document[urn]:
            del self.document[urn], self._names[urn]
            self._urns.discard(urn)


def _terms(value_filter: Filter) -> int:
    if isinstance(value_filter, And | Or):
        return sum(map(_terms, value_filter.terms))
    return _terms(value_filter.term) if isinstance(value_filter, Not) else 1


def apply_patch(
    resource_type: ResourceType, document: dict[str, Any], operations: Iterable[Operation]
) -> dict[str, Any]:
    """Return the document after the operations; the one given is not touched (RFC 7644 §3.5.2).

    `password` is dropped and `schemas` ignored, being computed. null leaves `active` as it is, for a user always has
    it. Without a path, read-only and unknown attributes are ignored; with one they are Mutability and InvalidPath.
    Raises NoTarget for a replace that matches nothing and describes nothing to create, Mutability for the removal of a
    required attribute, InvalidValue for a value that does not fit, TooMany for more work than `MAX_EXAMINED` allows.
    """
    result = dict(document)
    draft = _Draft(result)
    for operation in operations:
        with _in_operation(operation.number):
            if operation.path is None:
                _apply_values(resource_type, draft, operation.op, operation.value)
            else:
                _apply_path(resource_type, draft, operation.op, parse_path(operation.path), operation.value)
    _settle(resource_type, result, document)
    check_required(resource_type, result)
    return result


def _settle(resource_type: ResourceType, result: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Settle the multi-valued attributes that changed; only at the end, as operations may build an element in steps."""
    for name in [name for name, value in result.items() if value is not before.get(name)]:
        attribute = resource_type.lookup.get(name)
        if attribute is None or not attribute.multi_valued or attribute is MEMBERS:
            continue
        elements = settle_elements(attribute, result[name])
        if elements:
            result[name] = elements
        else:
            del result[name]


def _apply_values(resource_type: ResourceType, draft: _Draft, op: str, values: object, *, nested: bool = False) -> None:
    """Apply an operation without a path: each key is an attribute, or a path of its own (RFC 7644 §3.5.2.1)."""
    if not isinstance(values, dict):
        raise InvalidValue("without a path the value must be an object of attributes")
    for key, value in values.items():
        attribute = resource_type.attribute(key)
        if attribute is not None:
            if attribute.mutability != "readOnly":
                _change_declared(draft, draft.document, attribute, None, None, op, value)
            continue
        if nested or not any(mark in key for mark in ":.["):
            continue
        try:
            path = parse_path(key)
            target = path.path
            if isinstance(value, dict) and target.schema is not None and path.value_filter is None:
                # An object under a URN that nobody has seen is that extension, not an attribute of a shorter URN.
                target = AttributePath(str(target), "")
            resolved, sub_name = _locate(resource_type, draft, target, path)
        except (InvalidFilter, InvalidPath):
            continue  # a name that no schema declares is ignored, as in a POST
        if not _is_read_only(resolved, sub_name):
            _apply_resolved(resource_type, draft, op, resolved, sub_name, path.value_filter, value)


def _apply_path(resource_type: ResourceType, draft: _Draft, op: str, path: PatchPath, value: object) -> None:
    resolved, sub_name = _locate(resource_type, draft, path.path, path)
    if _is_read_only(resolved, sub_name):
        raise Mutability(f"{path.path} is read-only", attribute=str(path.path))
    _apply_resolved(resource_type, draft, op, resolved, sub_name, path.value_filter, value)


def _locate(
    resource_type: ResourceType, draft: _Draft, target: AttributePath, path: PatchPath
) -> tuple[Resolved, str | None]:
    """Return the attribute that a path denotes and the name of its sub-attribute, if any.

    Raises InvalidPath, and InvalidFilter for a value filter that does not fit the attribute.
    """
    if target.schema is None and resource_type.attribute(target.attribute) is None:
        # Entra ID's older dialect leaves the URN of an extension out: path `manager`.
        owner = next((s for s in resource_type.extensions if target.attribute.lower() in s.lookup), None)
        if owner is not None:
            target = AttributePath(owner.id, target.attribute, target.sub_attribute)
    resolved = resolve(resource_type, target, known_urns=draft.known_urns(target))
    attribute = resolved.attribute
    depth = 1 if resolved.extension is None else 2
    sub_name = resolved.keys[depth] if len(resolved.keys) > depth else None
    if path.value_filter is None:
        return resolved, sub_name
    if sub_name is not None or resolved.bare_urn:
        raise InvalidPath(f"{path.path} takes no value filter")
    if attribute is not None and not (attribute.multi_valued and attribute.type == "complex"):
        raise InvalidPath(f"{attribute.name} is not multi-valued and takes no value filter")
    check_element_filter(path.value_filter, attribute)
    if attribute is None or path.sub_attribute is None:
        return resolved, path.sub_attribute
    sub = attribute.sub_attribute(path.sub_attribute)
    if sub is None:
        raise InvalidPath(f"{attribute.name} has no sub-attribute {path.sub_attribute}")
    return resolved, sub.name


def _is_read_only(resolved: Resolved, sub_name: str | None) -> bool:
    attribute = resolved.attribute
    if attribute is None:
        return False
    sub = None if sub_name is None else attribute.lookup[sub_name]
    return attribute.mutability == "readOnly" or (sub is not None and sub.mutability == "readOnly")


def _apply_resolved(
    resource_type: ResourceType,
    draft: _Draft,
    op: str,
    resolved: Resolved,
    sub_name: str | None,
    value_filter: Filter | None,
    value: object,
) -> None:
    extension = resolved.extension
    if extension is None:
        if resolved.attribute is not None:
            _change_declared(draft, draft.document, resolved.attribute, sub_name, value_filter, op, value)
        elif op == "remove":
            raise InvalidPath("the core schema cannot be removed")
        elif value is not None:
            _apply_values(resource_type, draft, op, value, nested=True)
        return
    container, names = draft.open_extension(extension)
    try:
        if resolved.bare_urn:
            _change_extension(resource_type, draft, container, names, extension, op, value)
        elif resolved.attribute is not None:
            _change_declared(draft, container, resolved.attribute, sub_name, value_filter, op, value)
        else:
            _change_undeclared(draft, container, names, resolved.keys[1], sub_name, value_filter, op, value)
    except ScimError as error:
        raise error.within(extension) from None
    draft.close_extension(extension)


def _change_extension(
    resource_type: ResourceType,
    draft: _Draft,
    container: dict[str, Any],
    names: Names,
    extension: str,
    op: str,
    value: object,
) -> None:
    """Remove an extension, or change those of its attributes that the value mentions."""
    if op == "remove" or (op == "replace" and (value is None or value == [])):
        container.clear()
        names.clear()
        return
    if value is None or value == []:
        return
    if not isinstance(value, dict):
        raise misfit(extension, "must be an object")
    schema = resource_type.extension_lookup.get(extension.lower())
    for name, item in value.items():
        attribute = None if schema is None else schema.lookup.get(name) or schema.lookup.get(name.lower())
        if attribute is None:
            _change_undeclared(draft, container, names, name, None, None, op, item)
        elif attribute.mutability != "readOnly":
            _change_declared(draft, container, attribute, None, None, op, item)


def _change_declared(
    draft: _Draft,
    container: dict[str, Any],
    attribute: Attribute,
    sub_name: str | None,
    value_filter: Filter | None,
    op: str,
    value: object,
) -> None:
    """Apply one operation to one declared attribute of the resource or of an extension."""
    name = attribute.name
    if name in ("schemas", "password"):
        return
    if name == "active" and op != "remove" and (value is None or value == []):
        return  # absent or null, `active` keeps its value: nobody is reactivated by leaving it out
    if op == "add" and value is None:
        return
    before = container.get(name)
    draft.examine(before, value_filter)
    after: Any
    if value_filter is not None:
        new = None if op == "remove" else _coerce_selected(attribute, sub_name, value)
        whole = isinstance(value, dict | list)
        after = _change_matching(attribute, name, before or [], sub_name, value_filter, op, new, whole=whole)
    elif sub_name is not None:
        new = None if op == "remove" else coerce_simple(attribute.lookup[sub_name], value, f"{name}.")
        after = _change_sub_attribute(attribute, before, sub_name, new)
    elif op == "remove":
        after = _without(attribute, before, value)
        if after is None and attribute.required:
            raise Mutability(f"{name} is required and cannot be removed", attribute=name)
    elif attribute.multi_valued:
        after = _extended(attribute, before or [], value) if op == "add" else coerce(attribute, value)
    elif attribute.type == "complex":
        after = _merged(attribute, before or {}, value)
    else:
        after = coerce_simple(attribute, value)
    if after is None or after == [] or after == {}:
        container.pop(name, None)
    else:
        container[name] = after


def _coerce_selected(attribute: Attribute, sub_name: str | None, value: object) -> Any:
    """Return the value for elements chosen by a filter: of their sub-attribute, or the elements themselves."""
    if sub_name is not None:
        return coerce_simple(attribute.lookup[sub_name], value, f"{attribute.name}.")
    if isinstance(value, list):
        if len(value) > 1:
            raise misfit(attribute.name, f"with a value filter takes one value, not {len(value)}")
        value = value[0] if value else None
    return None if value is None else coerce_complex(attribute, value)


def _change_matching(
    attribute: Attribute | None,
    name: str,
    elements: list[Any],
    sub_name: str | None,
    value_filter: Filter,
    op: str,
    new: Any,
    *,
    whole: bool,
) -> list[Any]:
    """Return the elements after an operation on those that satisfy the filter (RFC 7644 §3.5.2.1 to §3.5.2.3).

    `new` is in canonical form, None to unassign. With `whole` a replaced element takes over nothing of the old one.
    """
    matched = [i for i, element in enumerate(elements) if matches_element(value_filter, attribute, element)]
    if attribute is MEMBERS and op != "remove" and matched:
        raise Mutability("a member can be added or removed, not changed", attribute="members")
    if new is None:
        if op == "add":
            return elements
        if sub_name is None:
            gone = set(matched)
            return [element for i, element in enumerate(elements) if i not in gone]
        kept = list(elements)
        for i in matched:
            kept[i] = _with_sub(name, elements[i], sub_name, None)
        return [element for element in kept if element != {}]
    changed = list(elements)
    if not matched:
        described = _described(attribute, value_filter)
        if described is None:
            raise NoTarget(f"no value of {name} satisfies the filter", attribute=name)
        changed.append(described)
        matched = [len(elements)]
        whole = False
    for i in matched:
        if sub_name is not None:
            changed[i] = _with_sub(name, changed[i], sub_name, new)
        elif isinstance(new, dict) and isinstance(changed[i], dict) and not (op == "replace" and whole):
            changed[i] = {**changed[i], **new}
        else:
            changed[i] = new
    return changed if attribute is None else _with_primary_of(changed, matched)


def _with_primary_of(elements: list[dict[str, Any]], touched: Iterable[int]) -> list[dict[str, Any]]:
    """Demote the primary element that was there before, if an element just written is primary (RFC 7644 §3.5.2)."""
    winner = next((i for i in touched if elements[i].get("primary") is True), None)
    return elements if winner is None else single_primary(elements, winner)


def _with_sub(name: str, element: object, sub_name: str, value: Any) -> dict[str, Any]:
    if not isinstance(element, dict):
        raise InvalidPath(f"{name[:200]} has no sub-attributes")
    key = find_key(element, sub_name) or sub_name
    changed = dict(element)
    if value is None:
        changed.pop(key, None)
    else:
        changed[key] = value
    return changed


def _described(attribute: Attribute | None, value_filter: Filter) -> dict[str, Any] | None:
    """Return the element that a filter made of `eq` and `and` describes, or None for any other filter."""
    described: dict[str, Any] = {}
    names = Names()
    pending = [value_filter]
    while pending:
        term = pending.pop()
        if isinstance(term, And):
            pending.extend(reversed(term.terms))
            continue
        if not isinstance(term, Comparison) or term.operator != "eq" or term.path.sub_attribute is not None:
            return None
        name = names.find(term.path.attribute) or term.path.attribute
        names.add(name)
        if described.setdefault(name, term.value) != term.value:
            return None
    return described if attribute is None else coerce_complex(attribute, described)


def _change_sub_attribute(attribute: Attribute, before: Any, sub_name: str, new: Any) -> Any:
    """Set or unset a sub-attribute, in every element where the attribute is multi-valued."""
    if attribute is MEMBERS:
        raise Mutability("a member can be added or removed, not changed", attribute="members")
    if not attribute.multi_valued:
        element = _with_sub(attribute.name, before or {}, sub_name, new)
        return _without_stale_reference(before or {}, element, (sub_name,))
    if not before:
        return before if new is None else [{sub_name: new}]
    elements = [_with_sub(attribute.name, element, sub_name, new) for element in before]
    return [element for element in elements if element]


def _without_stale_reference(
    before: Mapping[str, Any], after: dict[str, Any], written: Iterable[str]
) -> dict[str, Any]:
    """Drop a `$ref` that belonged to another `value`, or a `value` that belonged to another `$ref`.

    The two name one resource (RFC 7643 §2.4); clients write either, or one after the other.
    """
    value, reference = after.get("value"), after.get("$ref")
    if reference is None:
        return after
    if "$ref" not in written:
        if "value" in before and before["value"] != value:
            del after["$ref"]
    elif value is not None and "value" not in written and reference != before.get("$ref"):
        _, _, last = reference.rstrip("/").rpartition("/")
        if last != value:
            del after["value"]
    return after


def _without(attribute: Attribute, before: Any, value: object) -> Any:
    """Return what is left after a remove; a value given for a multi-valued attribute says which elements go."""
    if value is None or not attribute.multi_valued or not before:
        return None
    listed: dict[tuple[str, ...], set[object]] = {}
    for gone in coerce_members(value) if attribute is MEMBERS else coerce_values(attribute, value):
        names = _telling_names(attribute, gone)
        listed.setdefault(names, set()).add(_told(attribute, gone, names))
    return [
        element
        for element in before
        if not any(_told(attribute, element, names) in told for names, told in listed.items())
    ]


def _telling_names(attribute: Attribute, gone: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the sub-attributes by which an element to remove is known: value and any type, without a value all."""
    if "value" not in gone:
        return tuple(sorted(gone))
    return ("value", "type") if "type" in gone and attribute is not MEMBERS else ("value",)


def _told(attribute: Attribute, element: Mapping[str, Any], names: tuple[str, ...]) -> object:
    """Return what an element has under these names, as it is compared; None when it lacks the value among them."""
    if "value" not in names:
        return tuple(element.get(name) for name in names)
    if "value" not in element:
        return None
    value = fold(attribute.lookup["value"], element["value"])
    return (value, element.get("type", "").casefold()) if "type" in names else value


def _extended(attribute: Attribute, before: list[dict[str, Any]], value: object) -> list[dict[str, Any]]:
    """Return the elements with those of the value added; one that is there takes over what the new one says."""
    added = coerce_members(value) if attribute is MEMBERS else coerce_values(attribute, value)
    elements = list(before)
    # Of elements that an operation before made equal the first is kept in the end, so that one takes over.
    places = {identity(attribute, elements[i]): i for i in reversed(range(len(elements)))}
    leaders = []
    for element in added:
        place = places.setdefault(identity(attribute, element), len(elements))
        if element.get("primary") is True:
            leaders.append(place)
        if place == len(elements):
            elements.append(element)
        elif attribute is not MEMBERS:
            elements[place] = {**elements[place], **element}
    return _with_primary_of(elements, leaders)


def _merged(attribute: Attribute, before: Mapping[str, Any], value: object) -> dict[str, Any] | None:
    """Return a complex value with the sub-attributes of another: null unassigns, absent keeps (RFC 7644 §3.5.2.3)."""
    if value is None or value in ("", []):
        return None
    changes = coerce_complex(attribute, value) or {}
    cleared = set()
    if isinstance(value, dict):
        for key, item in value.items():
            sub = attribute.sub_attribute(key)
            if sub is not None and sub.name not in changes and sub.mutability != "readOnly" and item in (None, ""):
                cleared.add(sub.name)
    merged = {name: item for name, item in before.items() if name not in cleared} | changes
    return _without_stale_reference(before, merged, changes) or None


def _change_undeclared(
    draft: _Draft,
    container: dict[str, Any],
    names: Names,
    name: str,
    sub_name: str | None,
    value_filter: Filter | None,
    op: str,
    value: object,
) -> None:
    """Apply one operation to an attribute that no schema declares; the value it has tells what can be done."""
    key = names.find(name) or check_name(name)
    before = container.get(key)
    draft.examine(before, value_filter)
    new = None if op == "remove" or value == [] else check_json(value, name)
    if op == "add" and new is None:
        return
    after: Any
    if value_filter is not None:
        if before is not None and not isinstance(before, list):
            raise InvalidPath(f"{name} is not multi-valued and takes no value filter")
        after = _change_matching(None, name, before or [], sub_name, value_filter, op, new, whole=True)
    elif sub_name is not None:
        if isinstance(before, list):
            after = [_with_sub(name, element, sub_name, new) for element in before]
        else:
            after = _with_sub(name, {} if before is None else before, sub_name, new)
    elif op == "remove" and isinstance(before, list) and value is not None:
        gone = {frozen(item) for item in (value if isinstance(value, list) else [value])}
        after = [element for element in before if frozen(element) not in gone]
    elif op == "add" and isinstance(before, list):
        after = before + _missing(before, new if isinstance(new, list) else [new])
    elif op == "add" and isinstance(before, dict) and isinstance(new, dict):
        after = {**before, **new}
    else:
        after = new
    if after is None or after == [] or (after == {} and sub_name is not None):
        container.pop(key, None)
        names.discard(key)
    else:
        container[key] = after
        names.add(key)


def _missing(before: Iterable[Any], listed: Iterable[Any]) -> list[Any]:
    """Return the values listed that were not there before, each once."""
    seen = {frozen(item) for item in before}
    missing = []
    for item in listed:
        key = frozen(item)
        if key not in seen:
            seen.add(key)
            missing.append(item)
    return missing


def plan_members(operations: Iterable[Operation]) -> tuple[list[Operation], list[MemberChange]]:
    """Split a group's operations into those on its document, for `apply_patch`, and ordered changes of its members.

    The changes mean the same as the operations applied in order, so the list of members is never needed. Neighbouring
    additions, and neighbouring removals, come as one. Null under `members` without a path changes nothing. Raises
    Mutability for a change within a member (its sub-attributes are immutable), save that an unchanged one passes and
    `display`, which clients send along without meaning a change, is ignored; InvalidPath, InvalidFilter and
    InvalidValue as `apply_patch`.
    """
    others: list[Operation] = []
    changes: list[MemberChange] = []
    for operation in operations:
        with _in_operation(operation.number):
            rest = _plan(operation, changes)
        if rest is not None:
            others.append(rest)
    return others, _joined(changes)


def _plan(operation: Operation, changes: list[MemberChange], *, nested: bool = False) -> Operation | None:
    """Append the member changes of an operation and return what else it does, or None."""
    op, value = operation.op, operation.value
    if operation.path is not None:
        path = parse_path(operation.path)
        if _is_members(path.path):
            _plan_path(op, path, value, changes)
            return None
        if op == "remove" or str(path.path).lower() != _GROUP_URN or not isinstance(value, dict):
            return operation
    if not isinstance(value, dict):
        raise InvalidValue("without a path the value must be an object of attributes")
    rest: dict[str, Any] = {}
    for key, item in value.items():
        lower = key.lower()
        if lower in _MEMBERS_KEYS:
            if item is not None:
                _plan_list(op, item, changes)
        elif lower.startswith(_MEMBERS_PREFIXES):
            try:
                path = parse_path(key)
            except (InvalidFilter, InvalidPath):
                continue
            _plan_path(op, path, item, changes)
        elif lower == _GROUP_URN and isinstance(item, dict) and not nested:
            inner = _plan(Operation(op, None, item), changes, nested=True)
            if inner is not None:
                rest[key] = inner.value
        else:
            rest[key] = item
    return replace(operation, value=rest) if rest else None


def _plan_list(op: str, value: object, changes: list[MemberChange]) -> None:
    members = _members(value)
    if op == "replace":
        changes.append(MemberReplace(members) if members else MemberClear())
    elif members:
        changes.append(MemberAdd(members))


def _plan_path(op: str, path: PatchPath, value: object, changes: list[MemberChange]) -> None:
    value_filter = path.value_filter
    if value_filter is not None:
        if path.path.sub_attribute is not None:
            raise InvalidPath(f"{path.path} takes no value filter")
        check_element_filter(value_filter, MEMBERS)
    sub_name = path.sub_attribute or path.path.sub_attribute
    if sub_name is not None:
        _plan_sub_attribute(op, sub_name, value_filter, value, changes)
    elif value_filter is not None:
        _plan_selected(op, value_filter, value, changes)
    elif op != "remove":
        if value is not None or op == "replace":
            _plan_list(op, value, changes)
    elif value is None:
        changes.append(MemberClear())
    else:
        values = tuple(member.value for member in _members(value))
        if values:
            changes.append(MemberRemove(values))


def _plan_selected(op: str, value_filter: Filter, value: object, changes: list[MemberChange]) -> None:
    values = _selected_values(value_filter)
    if op == "remove" or (op == "replace" and (value is None or value == [])):
        if values is None:
            changes.append(MemberRemoveWhere(value_filter))
        else:
            changes.append(MemberRemove(values))
        return
    if value is None or value == []:
        return
    if values is not None and len(values) == 1:
        item = value[0] if isinstance(value, list) and len(value) == 1 else value
        if isinstance(item, dict):
            item = item if find_key(item, "value") is not None else {**item, "value": values[0]}
        members = _members(item)
        if [member.value for member in members] == list(values):
            changes.append(MemberAdd(members))
            return
    raise Mutability("a member can be added or removed, not changed", attribute="members")


def _plan_sub_attribute(
    op: str, sub_name: str, value_filter: Filter | None, value: object, changes: list[MemberChange]
) -> None:
    sub = MEMBERS.sub_attribute(sub_name)
    if sub is None:
        raise InvalidPath(f"members has no sub-attribute {sub_name}")
    if sub.name == "display":
        return
    values = None if value_filter is None else _selected_values(value_filter)
    if op != "remove" and values is not None and len(values) == 1 and isinstance(value, str):
        if sub.name == "value" and value == values[0]:
            changes.append(MemberAdd((Member(value),)))
            return
        if (sub.name == "type" and value.lower() == "user") or (sub.name == "$ref" and value.endswith(f"/{values[0]}")):
            return
    raise Mutability(
        f"members.{sub.name} is immutable: a member can be added or removed, not changed",
        attribute=f"members.{sub.name}",
    )


def _selected_values(value_filter: Filter) -> tuple[str, ...] | None:
    """Return the values a filter selects when it only compares `value` with them by eq and or, else None."""
    values: dict[str, None] = {}
    for term in value_filter.terms if isinstance(value_filter, Or) else (value_filter,):
        if not isinstance(term, Comparison) or term.operator != "eq" or term.path.attribute.lower() != "value":
            return None
        if not isinstance(term.value, str):
            return None
        values[term.value] = None
    return tuple(values)


def _members(value: object) -> tuple[Member, ...]:
    return tuple(Member(member["value"], member.get("display"), member.get("type")) for member in coerce_members(value))


def _joined(changes: Iterable[MemberChange]) -> list[MemberChange]:
    """Return the changes with neighbouring additions, and neighbouring removals, as one, each value once."""
    joined: list[MemberChange] = []
    for kind, run in groupby(changes, type):
        if kind is MemberAdd:
            members: dict[str, Member] = {}
            for member in chain.from_iterable(change.members for change in run if isinstance(change, MemberAdd)):
                members.setdefault(member.value, member)
            joined.append(MemberAdd(tuple(members.values())))
        elif kind is MemberRemove:
            values = chain.from_iterable(change.values for change in run if isinstance(change, MemberRemove))
            joined.append(MemberRemove(tuple(dict.fromkeys(values))))
        else:
            joined += run
    return joined
