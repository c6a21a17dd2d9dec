"""Validation, coercion and comparison of attribute values (RFC 7643 §2.2 to §2.5).

`normalize` turns a client's body into a **document**: the writable attributes under canonical names, extensions as
objects under their URN, never `schemas`, `id`, `meta`, `password` or `groups`. Null, an empty list and, for declared
text, the empty string are unassigned and leave no trace. What clients are known to send instead of the right form is
accepted: booleans as strings, one object instead of a list, a string instead of `{"value": …}`.
"""

import re
from collections.abc import Hashable, Iterable
from datetime import UTC, datetime
from typing import Any

from scim.errors import InvalidSyntax, InvalidValue, ScimError
from scim.schemas import MEMBERS, Attribute, ResourceType, is_attribute_name, is_urn

MAX_JSON_DEPTH = 20
"""Levels of nesting allowed in a value that no schema declares."""

_BOOLEANS = {"true": True, "false": False}
_BASE64 = re.compile(r"[A-Za-z0-9+/_\-\s]*={0,2}\s*")
_DATE_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,18}))?(Z|[+-]\d\d:\d\d)?")
_LABELS = frozenset({"type", "primary"})


def normalize(resource_type: ResourceType, body: object, *, for_update: bool = False) -> dict[str, Any]:
    """Validate the body of a POST or PUT and return the document it describes (RFC 7644 §3.3, §3.5.1).

    Read-only attributes, undeclared core attributes and `password` are ignored. `members` is absent when the client
    sent none or null, and a list, possibly empty, otherwise. `active` of a user defaults to true, save that with
    `for_update` it is absent when the client did not send it. Raises InvalidSyntax when the body is no object or names
    an attribute twice, InvalidValue when a value does not fit its attribute or a required one is missing.
    """
    if not isinstance(body, dict):
        raise InvalidSyntax(f"a {resource_type.name} must be a JSON object")
    document: dict[str, Any] = {}
    _read_core(resource_type, body, document, {}, nested=False)
    check_required(resource_type, document)
    if not for_update and "active" in resource_type.lookup:
        document.setdefault("active", True)
    return document


def check_required(resource_type: ResourceType, document: dict[str, Any]) -> None:
    """Raise InvalidValue unless every required attribute is there and not blank (RFC 7643 §7)."""
    for attribute in resource_type.required:
        value = document.get(attribute.name)
        if value is None:
            raise misfit(attribute.name, "is required")
        if isinstance(value, str) and not value.strip():
            raise misfit(attribute.name, "must not be blank")


_Extensions = dict[str, tuple[str, set[str]]]
"""By lower-case URN the extensions read so far: the URN as the document spells it, its names in lower case."""


def _read_core(
    resource_type: ResourceType,
    body: dict[str, Any],
    document: dict[str, Any],
    extensions: _Extensions,
    *,
    nested: bool,
) -> None:
    lookup = resource_type.lookup
    for key, value in body.items():
        attribute = lookup.get(key) or lookup.get(key.lower())
        if attribute is None:
            if ":" in key and not nested and is_urn(key):
                _read_urn(resource_type, key, value, document, extensions)
            continue
        name = attribute.name
        if value is None or attribute.mutability != "readWrite":
            continue
        if name == "schemas":
            _check_schemas(value)
            continue
        coerced = coerce(attribute, value)
        if coerced is None:
            continue
        if name in document:
            raise InvalidSyntax(f"{name} is given twice", attribute=name)
        document[name] = coerced


def _check_schemas(value: object) -> None:
    if not isinstance(value, list) or not all(isinstance(urn, str) for urn in value):
        raise misfit("schemas", "must be a list of URNs")


def _read_urn(
    resource_type: ResourceType, key: str, value: object, document: dict[str, Any], extensions: _Extensions
) -> None:
    """Take a body key that is a URN: of the core schema, of an extension, or of one attribute of either."""
    if value is None or value == []:
        return
    urn, name = key, ""
    if not isinstance(value, dict):
        urn, _, name = key.rpartition(":")
        if key.lower() in resource_type.schema_urns or not is_urn(urn):
            raise misfit(key[:200], "must be an object")
        if not is_attribute_name(name):
            return
        value = {name: value}
    if urn.lower() == resource_type.schema.id.lower():
        _read_core(resource_type, value, document, extensions, nested=True)
    else:
        _read_extension(resource_type, urn, value, document, extensions)


def _read_extension(
    resource_type: ResourceType, urn: str, body: dict[str, Any], document: dict[str, Any], extensions: _Extensions
) -> None:
    lower = urn.lower()
    schema = resource_type.extension_lookup.get(lower)
    urn, names = extensions.get(lower) or (urn if schema is None else schema.id, set())
    values: dict[str, Any] = document.get(urn, {})
    for key, value in body.items():
        attribute = None if schema is None else schema.lookup.get(key) or schema.lookup.get(key.lower())
        if value is None or (attribute is not None and attribute.mutability == "readOnly"):
            continue
        try:
            if attribute is None:
                coerced = None if value == [] else check_json(value, key)
            else:
                coerced = coerce(attribute, value)
        except ScimError as error:
            raise error.within(urn) from None
        if coerced is None:
            continue
        name = check_name(key) if attribute is None else attribute.name
        if name.lower() in names:
            path = _shown(f"{urn}:{name}")
            raise InvalidSyntax(f"{path} is given twice", attribute=path)
        names.add(name.lower())
        values[name] = coerced
    if values:
        document[urn] = values
        extensions[lower] = urn, names


def coerce(attribute: Attribute, value: object) -> Any:
    """Return the value in canonical form, or None when it is unassigned (RFC 7643 §2.5).

    Raises InvalidValue, naming the attribute, when the value does not fit.
    """
    if value is None:
        return None
    if attribute is MEMBERS:
        return coerce_members(value)
    if attribute.multi_valued:
        return coerce_values(attribute, value) or None
    if attribute.type == "complex":
        return coerce_complex(attribute, value)
    return coerce_simple(attribute, value)


def coerce_simple(attribute: Attribute, value: object, prefix: str = "") -> Any:
    """Return a simple value in canonical form, or None when it is unassigned.

    `prefix` is what an error puts before the name. Raises InvalidValue.
    """
    if attribute.is_text:
        if not isinstance(value, str):
            if value is None or value == []:
                return None
            raise misfit(f"{prefix}{attribute.name}", "must be a string")
        if not value:
            return None
        if "\0" in value or not (value.isascii() or _is_encodable(value)):
            raise misfit(f"{prefix}{attribute.name}", "contains a character that cannot be stored")
        if attribute.type == "binary" and _BASE64.fullmatch(value) is None:
            raise misfit(f"{prefix}{attribute.name}", "must be base64")
        return value
    if value is None or value == []:
        return None
    if attribute.type == "boolean":
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in _BOOLEANS:
            return _BOOLEANS[value.lower()]
        raise misfit(f"{prefix}{attribute.name}", "must be true or false")
    if attribute.type == "dateTime":
        if isinstance(value, str) and is_date_time(value):
            return value
        raise misfit(f"{prefix}{attribute.name}", "must be a date and time such as 2026-01-31T08:00:00Z")
    if attribute.type in ("integer", "decimal"):
        if isinstance(value, int if attribute.type == "integer" else (int, float)) and not isinstance(value, bool):
            return check_json(value, attribute.name)
        raise misfit(f"{prefix}{attribute.name}", "must be a number")
    raise misfit(f"{prefix}{attribute.name}", "cannot be written by itself")


def coerce_complex(attribute: Attribute, value: object) -> dict[str, Any] | None:
    """Return one complex value in canonical form, or None when nothing of it is assigned.

    A string stands for `{"value": string}` where the attribute has that sub-attribute, and so does a list of
    one such object, as Entra ID sends a manager. Raises InvalidValue.
    """
    lookup = attribute.lookup
    if not isinstance(value, dict):
        if isinstance(value, str) and "value" in lookup:
            simple = coerce_simple(lookup["value"], value, f"{attribute.name}.")
            return None if simple is None else {"value": simple}
        if value is None or value == []:
            return None
        if isinstance(value, list) and len(value) == 1 and "value" in lookup and not attribute.multi_valued:
            return coerce_complex(attribute, value[0] if isinstance(value[0], dict) else {"value": value[0]})
        raise misfit(attribute.name, "must be an object")
    element: dict[str, Any] = {}
    for key, item in value.items():
        sub = lookup.get(key) or lookup.get(key.lower())
        if sub is None or item is None or sub.mutability == "readOnly":
            continue
        if type(item) is str and item and sub.type == "string" and item.isascii() and "\0" not in item:
            coerced: Any = item  # the common case, spared a call
        else:
            coerced = coerce_simple(sub, item, f"{attribute.name}.")
            if coerced is None:
                continue
        if sub.name in element:
            path = f"{attribute.name}.{sub.name}"
            raise InvalidSyntax(f"{path} is given twice", attribute=path)
        element[sub.name] = coerced
    return element or None


def coerce_values(attribute: Attribute, value: object) -> list[dict[str, Any]]:
    """Return the elements of a multi-valued complex attribute in canonical form; a single one may stand alone.

    Elements equal in value and type are one; of several primary elements the first stays so. Raises InvalidValue.
    """
    if not isinstance(value, list):
        value = [] if value == "" else [value]
    elements = []
    for item in value:
        if item is None or item == "":
            continue
        element = coerce_complex(attribute, item)
        if element is not None:
            elements.append(element)
    return settle_elements(attribute, elements)


def settle_elements(attribute: Attribute, elements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop elements that carry only labels, then duplicates, then all `primary` but the first (RFC 7643 §2.4)."""
    if "value" in attribute.lookup:
        # A type or a primary flag says something about a value; without one there is nothing to keep.
        elements = [element for element in elements if "value" in element or not element.keys() <= _LABELS]
    if len(elements) < 2:
        return elements
    distinct: dict[object, dict[str, Any]] = {}
    for element in elements:
        distinct.setdefault(identity(attribute, element), element)
    return single_primary(list(distinct.values()))


def single_primary(elements: list[dict[str, Any]], keep: int | None = None) -> list[dict[str, Any]]:
    """Leave `primary` true on one element only: on `keep`, else on the first that has it (RFC 7644 §3.5.2)."""
    primaries = [i for i, element in enumerate(elements) if element.get("primary") is True]
    if len(primaries) < 2:
        return elements
    winner = primaries[0] if keep is None else keep
    return [
        {**element, "primary": False} if element.get("primary") is True and i != winner else element
        for i, element in enumerate(elements)
    ]


def identity(attribute: Attribute, element: dict[str, Any]) -> object:
    """Return what makes two elements the same one: value and type, of a member the value; without a value, all."""
    value = element.get("value")
    if value is None:
        return tuple(sorted(element.items()))
    if attribute is MEMBERS:
        return value
    return (fold(attribute.lookup["value"], value), element.get("type", "").casefold())


def coerce_members(value: object) -> list[dict[str, Any]]:
    """Return the members of a group in canonical form, each once, in the order given; null is the empty list.

    A bare string stands for a value, and the end of `$ref` for a value that is missing. Unlike elsewhere an element
    without a value is refused: dropping it could empty the group. Raises InvalidValue.
    """
    if value is None:
        return []
    members: dict[str, dict[str, Any]] = {}
    lookup = MEMBERS.lookup
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, str):
            item = {"value": item}
        elif not isinstance(item, dict):
            raise misfit("members", "must be objects with a value")
        member: dict[str, Any] = {}
        for key, text in item.items():
            sub = lookup.get(key) or lookup.get(key.lower())
            coerced = None if sub is None else coerce_simple(sub, text, "members.")
            if sub is None or coerced is None:
                continue
            if sub.name in member:
                raise InvalidSyntax(f"members.{sub.name} is given twice", attribute=f"members.{sub.name}")
            member[sub.name] = coerced
        identifier = member.get("value")
        if identifier is None:
            identifier = member.get("$ref", "").rstrip("/").rpartition("/")[2]
            if not identifier:
                raise misfit("members.value", "is required")
            member["value"] = identifier
        members.setdefault(identifier, member)
    return list(members.values())


def misfit(attribute: str, rule: str) -> InvalidValue:
    """Return the error of a value that breaks a rule of its attribute, which is named by its path."""
    return InvalidValue(f"{attribute} {rule}", attribute=attribute)


def check_text(text: str, what: str) -> str:
    """Return the text; raises InvalidValue when it holds NUL or half a surrogate pair, which no store can keep."""
    if "\0" in text or not (text.isascii() or _is_encodable(text)):
        raise misfit(what, "contains a character that cannot be stored")
    return text


def check_name(name: str) -> str:
    """Return the name of an attribute that no schema declares; raises InvalidValue when it cannot be stored."""
    if "\0" in name or not (name.isascii() or _is_encodable(name)):
        raise InvalidValue("an attribute name contains a character that cannot be stored")
    return name


def check_json(value: object, where: str) -> Any:
    """Return a value that no schema declares, kept as it is (RFC 7643 §3.3).

    Raises InvalidValue when it nests deeper than 20 levels or holds text or numbers that cannot be stored.
    """
    if isinstance(value, str):
        return check_text(value, _shown(where))
    level: list[object] = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, str):
                check_text(item, _shown(where))
            elif isinstance(item, dict):
                for key in item:
                    check_text(key, _shown(where))
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
            elif isinstance(item, float) and item - item != 0.0:
                raise misfit(_shown(where), "must be a finite number")
        if not below:
            return value
        level = below
    raise misfit(_shown(where), f"nests deeper than {MAX_JSON_DEPTH} levels")


def find_key(container: Iterable[str], name: str) -> str | None:
    """Return the key that equals the name, else the first that does so in another case, else None."""
    lower = name.lower()
    found = None
    for key in container:
        if key == name:
            return key
        if found is None and key.lower() == lower:
            found = key
    return found


class Names:
    """Names by their lower-case form, for `find_key` again and again without a scan of all of them each time."""

    __slots__ = ("_spellings",)

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._spellings: dict[str, list[str]] = {}
        for name in names:
            self.add(name)

    def find(self, name: str) -> str | None:
        """Return the one that equals the name, else the first that does so in another case, else None."""
        spellings = self._spellings.get(name.lower())
        if not spellings:
            return None
        return name if name in spellings else spellings[0]

    def add(self, name: str) -> None:
        """Take a name in, unless it is there."""
        spellings = self._spellings.setdefault(name.lower(), [])
        if name not in spellings:
            spellings.append(name)

    def discard(self, name: str) -> None:
        """Take a name out, if it is there."""
        spellings = self._spellings.get(name.lower(), [])
        if name in spellings:
            spellings.remove(name)

    def clear(self) -> None:
        """Take all names out."""
        self._spellings.clear()


def frozen(value: object, depth: int = 0) -> Hashable:
    """Return what stands for a JSON value in a set: equal for equal values, of which none nests beyond 20 levels."""
    if depth > MAX_JSON_DEPTH:
        return object()  # no document holds such a value, so it equals none
    if isinstance(value, dict):
        return frozenset((key, frozen(item, depth + 1)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(frozen(item, depth + 1) for item in value)
    # Anybody can choose numbers whose hashes collide, but not texts; bytes, as a number must not equal a text.
    if isinstance(value, float) and not value.is_integer():
        return value.hex().encode()
    if isinstance(value, int | float):
        return hex(int(value)).encode()
    return value if isinstance(value, str) else None


def instant(text: str) -> datetime:
    """Return the UTC instant of an xsd:dateTime; without a time zone it is UTC; beyond microseconds it is cut off.

    Raises ValueError when the text is none, or lies outside the years 1 to 9999 (RFC 7643 §2.3.5).
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None or not text.isascii():
        raise ValueError("not an xsd:dateTime")
    seconds, fraction, zone = match.groups()
    offset = "+00:00" if zone in (None, "Z") else zone
    try:
        return datetime.fromisoformat(f"{seconds}.{(fraction or '')[:6]:0<6}{offset}").astimezone(UTC)
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error


def is_date_time(text: str) -> bool:
    """Tell whether the text is an xsd:dateTime (RFC 7643 §2.3.5)."""
    try:
        instant(text)
    except ValueError:
        return False
    return True


def fold(attribute: Attribute | None, text: str) -> str:
    """Return the text as it is compared: unchanged where `caseExact`, else case-folded (RFC 7643 §2.2)."""
    return text if attribute is not None and attribute.case_exact else text.casefold()


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    return ascii(name[:200])[1:-1]
