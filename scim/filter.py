"""Filters (RFC 7644 §3.4.2.2): grammar, syntax tree, static check, printing and evaluation; also PATCH paths (§3.5.2).

A filter is evaluated over a resource: its document plus `schemas`, `id`, `meta` and `groups` or `members`. The rules
below define the result; the directory compiles the same tree to SQL and must agree with `evaluate`.

Which values a path denotes
    Names and URNs match in any case. Walking the keys of `filter_target`, each list met on the way contributes all
    its elements. Null, "", [] and {} count as not there. A complex attribute compared without a sub-attribute stands
    for its `value`; one that has none cannot be compared. For a user, `email` stands for `emails.value`. In an
    undeclared extension an object found at the end of the path stands for its `value`, and a list directly within a
    list for nothing.
Operators
    A comparison is true when **any** value satisfies it. `ne` is true too when there is no value at all. `pr` is true
    when there is a value; an object is one when at least one of its members is. `eq null` is `not pr`, `ne null` is
    `pr`; no other operator takes null.
    `and`, `or`, `not` are two-valued. `attribute[filter]` is true when a single element satisfies the whole filter.
    `attribute[filter].sub op value` is read as `attribute[filter and sub op value]`.
Types
    Text is compared exactly where the attribute is `caseExact`, else by `str.casefold`; gt, ge, lt, le order by code
    points of that form. A declared text attribute takes only a string, a boolean one takes true, false or a string
    that says so and only eq and ne; a dateTime takes an xsd:dateTime, no co, sw, ew, and compares instants.
    A number takes no co, sw, ew.
    An attribute that no schema declares is compared by the type of the literal: string with strings (never
    `caseExact`), number with numbers, boolean with booleans. A value of another type satisfies `ne` and nothing else.
"""

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

from scim.errors import InvalidFilter, InvalidPath
from scim.schemas import (
    USER,
    Attribute,
    AttributePath,
    Resolved,
    ResourceType,
    is_attribute_name,
    parse_attribute_path,
    resolve,
)
from scim.values import find_key, fold, instant, is_date_time

__all__ = [
    "And",
    "AttributePath",
    "Comparison",
    "Filter",
    "Not",
    "Or",
    "PatchPath",
    "Present",
    "Target",
    "ValuePath",
    "check",
    "check_element_filter",
    "comparand",
    "element_target",
    "evaluate",
    "filter_target",
    "matches_element",
    "parse_filter",
    "parse_path",
    "print_filter",
]

OPERATORS = frozenset({"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"})
_ORDERING = frozenset({"gt", "ge", "lt", "le"})
_SUBSTRING = frozenset({"co", "sw", "ew"})


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path operator value`; the operator in lower case."""

    path: AttributePath
    operator: str
    value: str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class Present:
    """`path pr`."""

    path: AttributePath


@dataclass(frozen=True, slots=True)
class And:
    """True when every term is; two terms or more."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """True when a term is; two terms or more."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """`not (term)`."""

    term: "Filter"


@dataclass(frozen=True, slots=True)
class ValuePath:
    """`path[filter]`; the filter's paths are sub-attributes of the element."""

    path: AttributePath
    filter: "Filter"


Filter = Comparison | Present | And | Or | Not | ValuePath


@dataclass(frozen=True, slots=True)
class PatchPath:
    """The path of a PATCH operation: `path`, or `path[value_filter]`, or `path[value_filter].sub_attribute`."""

    path: AttributePath
    value_filter: Filter | None = None
    sub_attribute: str | None = None


# A token with a scheme is a path, which only white space or a bracket can follow: parentheses in it are its URN's.
_TOKEN = re.compile(
    r'\s*(?:([()\[\]])|("(?:[^"\\]|\\.)*")|([A-Za-z][A-Za-z0-9+.-]*:[^\s\[\]"]+|[^\s()\[\]"]+))', re.DOTALL
)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_MAX_INTEGER = 2**63 - 1


class _Parser:
    """Recursive descent over the text; depth and number of terms are bounded, so the stack is."""

    def __init__(self, text: str, error: type[InvalidFilter] | type[InvalidPath], depth: int, terms: int) -> None:
        self.text = text
        self.error = error
        self.max_depth = depth
        self.max_terms = terms
        self.depth = 0
        self.terms = 0
        self.in_value_filter = False
        self.position = 0
        self.token = ""
        self.advance()

    def advance(self) -> None:
        """Read the next token; the empty string stands for the end."""
        match = _TOKEN.match(self.text, self.position)
        if match is None:
            if self.text[self.position :].strip():
                self.fail("a string is not closed")
            self.token = ""
            return
        self.position = match.end()
        self.token = match.group(match.lastindex or 0)

    def fail(self, problem: str) -> NoReturn:
        """Raise the error with the place where reading stopped.

        What is wrong within the brackets of a path is its filter (RFC 7644 §3.12, table 9), save that they never end.
        """
        error = InvalidFilter if self.in_value_filter and self.token else self.error
        raise error(f"{problem} (at character {self.position} of the {self.what})")

    @property
    def what(self) -> str:
        return "filter" if self.error is InvalidFilter else "path"

    def expect(self, token: str) -> None:
        if self.token != token:
            self.fail(f"{token!r} is missing" if not self.token else f"{token!r} expected, not {self.token[:40]!r}")
        self.advance()

    def enter(self) -> None:
        self.depth += 1
        if self.depth > self.max_depth:
            self.fail(f"the {self.what} nests deeper than {self.max_depth} levels")

    def disjunction(self, inside: bool) -> Filter:
        terms = [self.conjunction(inside)]
        while self.token.lower() == "or":
            self.advance()
            terms.append(self.conjunction(inside))
        return terms[0] if len(terms) == 1 else Or(tuple(terms))

    def conjunction(self, inside: bool) -> Filter:
        terms = [self.factor(inside)]
        while self.token.lower() == "and":
            self.advance()
            terms.append(self.factor(inside))
        return terms[0] if len(terms) == 1 else And(tuple(terms))

    def factor(self, inside: bool) -> Filter:
        if self.token.lower() == "not":
            self.advance()
            return Not(self.group(inside))
        if self.token == "(":
            return self.group(inside)
        return self.attribute_expression(inside)

    def group(self, inside: bool) -> Filter:
        self.expect("(")
        self.enter()
        term = self.disjunction(inside)
        self.depth -= 1
        self.expect(")")
        return term

    def attribute_expression(self, inside: bool) -> Filter:
        path = self.attribute_path()
        if self.token == "[":
            if inside:
                self.fail("a value filter cannot contain another one")
            value_filter = self.value_filter()
            if not self.token.startswith("."):
                return ValuePath(path, value_filter)
            comparison = self.comparison(AttributePath(None, self.sub_attribute()))
            terms = value_filter.terms if isinstance(value_filter, And) else (value_filter,)
            return ValuePath(path, And((*terms, comparison)))
        return self.comparison(path)

    def value_filter(self) -> Filter:
        self.expect("[")
        self.enter()
        self.in_value_filter = True
        value_filter = self.disjunction(True)
        self.in_value_filter = False
        self.depth -= 1
        self.expect("]")
        return value_filter

    def sub_attribute(self) -> str:
        name = self.token[1:]
        if not is_attribute_name(name):
            self.fail(f"{self.token[:200]!r} is not a sub-attribute")
        self.advance()
        return name

    def attribute_path(self) -> AttributePath:
        if not self.token:
            self.fail("an attribute is missing")
        try:
            path = parse_attribute_path(self.token)
        except InvalidPath as error:
            self.fail(error.detail)
        self.advance()
        return path

    def comparison(self, path: AttributePath) -> Filter:
        self.terms += 1
        if self.terms > self.max_terms:
            self.fail(f"the {self.what} has more than {self.max_terms} terms")
        name = self.token.lower()
        if name == "pr":
            self.advance()
            return Present(path)
        if name not in OPERATORS:
            self.fail(f"an operator is expected after {path}, not {self.token[:40]!r}")
        self.advance()
        value = self.literal()
        self.advance()
        return Comparison(path, name, value)

    def literal(self) -> str | bool | int | float | None:
        token = self.token
        if token.startswith('"'):
            return self.string(token)
        if token.lower() in _WORDS:
            return _WORDS[token.lower()]
        if _NUMBER.fullmatch(token) is None:
            self.fail(f"a value must be a string in double quotes, a number, true, false or null, not {token[:40]!r}")
        number = float(token) if any(c in token for c in ".eE") else int(token)
        if abs(number) > _MAX_INTEGER and (isinstance(number, int) or number - number != 0.0):
            self.fail("a number is too large")
        return number

    def string(self, token: str) -> str:
        try:
            value: str = json.loads(token, strict=False)
            value.encode()
        except ValueError:  # also UnicodeEncodeError, for half a surrogate pair
            self.fail("a string has an invalid escape")
        if "\0" in value:
            self.fail("a string contains NUL")
        return value

    def end(self) -> None:
        if self.token:
            self.fail(f"{self.token[:40]!r} is not expected here")


def parse_filter(text: str, *, max_length: int = 4096, max_depth: int = 20, max_terms: int = 50) -> Filter:
    """Parse a filter; operators, keywords and names in any case (RFC 7644 §3.4.2.2).

    `max_length` counts characters, `max_depth` levels of parentheses and brackets, `max_terms` attribute expressions.
    Raises InvalidFilter.
    """
    if len(text) > max_length:
        raise InvalidFilter(f"the filter is longer than {max_length} characters")
    parser = _Parser(text, InvalidFilter, max_depth, max_terms)
    result = parser.disjunction(False)
    parser.end()
    return result


@lru_cache(maxsize=1024)
def parse_path(text: str) -> PatchPath:
    """Parse the path of a PATCH operation (RFC 7644 §3.5.2 figure 7).

    The limits on length, depth and terms are those of filters. Raises InvalidPath, and InvalidFilter for a value filter
    that is wrong.
    """
    if len(text) > 4096:
        raise InvalidPath("the path is longer than 4096 characters")
    parser = _Parser(text, InvalidPath, 20, 50)
    path = parser.attribute_path()
    value_filter = None
    sub_attribute = None
    if parser.token == "[":
        value_filter = parser.value_filter()
        if parser.token.startswith("."):
            sub_attribute = parser.sub_attribute()
    parser.end()
    return PatchPath(path, value_filter, sub_attribute)


def print_filter(term: Filter) -> str:
    """Return the text of a filter; parsing it gives the same tree."""
    if isinstance(term, Comparison):
        return f"{term.path} {term.operator} {json.dumps(term.value, ensure_ascii=False)}"
    if isinstance(term, Present):
        return f"{term.path} pr"
    if isinstance(term, Not):
        return f"not ({print_filter(term.term)})"
    if isinstance(term, ValuePath):
        return f"{term.path}[{print_filter(term.filter)}]"
    if isinstance(term, And):
        return " and ".join(f"({print_filter(t)})" if isinstance(t, And | Or) else print_filter(t) for t in term.terms)
    return " or ".join(f"({print_filter(t)})" if isinstance(t, Or) else print_filter(t) for t in term.terms)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a filter finds the values to compare, and how they compare."""

    keys: tuple[str, ...]
    """Location in the JSON resource; any key may hold a list, whose elements are all meant."""
    definition: Attribute | None
    """None for an attribute that no schema declares."""
    name: str
    """The path as shown in errors."""


def filter_target(resource_type: ResourceType, path: AttributePath, *, present: bool = False) -> Target:
    """Return what a path in a filter denotes; with `present` the attribute itself, else the values to compare.

    Raises InvalidFilter for an unknown attribute, one that is never returned (CVE-2018-1322), a bare URN outside `pr`,
    and a complex attribute that has no `value`.
    """
    if resource_type is USER and path == AttributePath(None, path.attribute) and path.attribute.lower() == "email":
        path = AttributePath(None, "emails", "value")
    resolved = resolve(resource_type, path, error=InvalidFilter)
    return _target(resolved, str(path), present)


def _target(resolved: Resolved, name: str, present: bool) -> Target:
    definition = resolved.definition
    if definition is not None and definition.returned == "never":
        raise InvalidFilter(f"{name} cannot be used in a filter")
    if present:
        if not resolved.keys:
            raise InvalidFilter(f"{name} is not an attribute")
        return Target(resolved.keys, definition, name)
    if resolved.bare_urn:
        raise InvalidFilter(f"{name} is a schema and cannot be compared")
    if definition is not None and definition.type == "complex":
        value = definition.lookup.get("value")
        if value is None:
            raise InvalidFilter(f"{name} is complex: compare one of its sub-attributes")
        return Target((*resolved.keys, "value"), value, f"{name}.value")
    return Target(resolved.keys, definition, name)


def element_target(attribute: Attribute | None, path: AttributePath) -> Target:
    """Return what a path inside `attribute[…]` denotes, relative to the element.

    Raises InvalidFilter when the attribute is declared and has no such sub-attribute.
    """
    if path.schema is not None or (attribute is not None and path.sub_attribute is not None):
        raise InvalidFilter(f"{path} is not a sub-attribute")
    if attribute is None:
        keys = (path.attribute,) if path.sub_attribute is None else (path.attribute, path.sub_attribute)
        return Target(keys, None, str(path))
    sub = attribute.sub_attribute(path.attribute)
    if sub is None:
        raise InvalidFilter(f"{attribute.name} has no sub-attribute {path.attribute}")
    return Target((sub.name,), sub, f"{attribute.name}.{sub.name}")


def comparand(target: Target, term: Comparison) -> str | bool | int | float | datetime:
    """Return the literal of a comparison in the form values are compared in; not for null.

    Case-folded text, bool, number or UTC instant. Raises InvalidFilter when operator or literal do not fit the type.
    """
    value, name, definition = term.value, term.operator, target.definition
    kind = _kind(definition, value)
    if value is None:
        raise InvalidFilter(f"{target.name} can be compared with null by eq and ne only")
    if kind == "boolean":
        if name not in ("eq", "ne"):
            raise InvalidFilter(f"{target.name} is boolean and cannot be compared by {name}")
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if isinstance(value, bool):
            return value
        raise InvalidFilter(f"{target.name} is boolean: compare it with true or false")
    if kind == "number":
        if name in _SUBSTRING:
            raise InvalidFilter(f"{target.name} is compared with a number: {name} needs a string")
        if isinstance(value, str | bool):
            raise InvalidFilter(f"{target.name} is a number: compare it with a number")
        return value
    if not isinstance(value, str):
        raise InvalidFilter(f"{target.name} is compared with strings: write the value in double quotes")
    if kind == "dateTime":
        if name in _SUBSTRING:
            raise InvalidFilter(f"{target.name} is a date and time and cannot be compared by {name}")
        try:
            return instant(value)
        except ValueError:
            raise InvalidFilter(
                f"{target.name} is compared with a date and time such as 2026-01-31T08:00:00Z"
            ) from None
    if definition is not None and definition.type == "binary" and name in _ORDERING:
        raise InvalidFilter(f"{target.name} is binary and cannot be compared by {name}")
    return fold(definition, value)


def _kind(definition: Attribute | None, literal: object) -> str:
    """Return how values compare: text, number, boolean or dateTime; the literal decides where no schema does."""
    if definition is None:
        if isinstance(literal, bool):
            return "boolean"
        return "number" if isinstance(literal, int | float) else "text"
    if definition.is_text:
        return "text"
    return "number" if definition.type in ("integer", "decimal") else definition.type


def check(term: Filter, resource_type: ResourceType) -> None:
    """Raise InvalidFilter unless the filter can be evaluated on resources of that type."""
    _walk(term, lambda path, present: filter_target(resource_type, path, present=present), resource_type)


def check_element_filter(term: Filter, attribute: Attribute | None) -> None:
    """Raise InvalidFilter unless the filter can be evaluated on elements of that attribute."""
    _walk(term, lambda path, _present: element_target(attribute, path), None)


def _walk(term: Filter, target: Callable[[AttributePath, bool], Target], resource_type: ResourceType | None) -> None:
    if isinstance(term, And | Or):
        for part in term.terms:
            _walk(part, target, resource_type)
    elif isinstance(term, Not):
        _walk(term.term, target, resource_type)
    elif isinstance(term, Present):
        target(term.path, True)
    elif isinstance(term, Comparison):
        if term.value is None and term.operator in ("eq", "ne"):
            target(term.path, True)
        else:
            comparand(target(term.path, False), term)
    elif resource_type is None:
        raise InvalidFilter("a value filter cannot contain another one")
    else:
        check_element_filter(term.filter, _complex_target(resource_type, term.path).definition)


def _complex_target(resource_type: ResourceType, path: AttributePath) -> Target:
    target = filter_target(resource_type, path, present=True)
    if target.definition is not None and target.definition.type != "complex":
        raise InvalidFilter(f"{target.name} is not complex and takes no value filter")
    return target


def evaluate(term: Filter, resource: dict[str, Any], resource_type: ResourceType) -> bool:
    """Tell whether a resource satisfies a filter, by the rules of this module. Raises InvalidFilter like `check`."""
    if isinstance(term, And):
        return all(evaluate(part, resource, resource_type) for part in term.terms)
    if isinstance(term, Or):
        return any(evaluate(part, resource, resource_type) for part in term.terms)
    if isinstance(term, Not):
        return not evaluate(term.term, resource, resource_type)
    if isinstance(term, ValuePath):
        target = _complex_target(resource_type, term.path)
        return any(
            matches_element(term.filter, target.definition, element) for element in _values(resource, target.keys)
        )
    present = isinstance(term, Present) or term.value is None
    return _satisfies(term, resource, filter_target(resource_type, term.path, present=present))


def matches_element(term: Filter, attribute: Attribute | None, element: object) -> bool:
    """Tell whether one element of a multi-valued attribute satisfies a value filter (RFC 7644 §3.5.2).

    An element that is no object is taken for `{"value": element}`. Raises InvalidFilter like `check_element_filter`.
    """
    if isinstance(term, And):
        return all(matches_element(part, attribute, element) for part in term.terms)
    if isinstance(term, Or):
        return any(matches_element(part, attribute, element) for part in term.terms)
    if isinstance(term, Not):
        return not matches_element(term.term, attribute, element)
    if isinstance(term, ValuePath):
        raise InvalidFilter("a value filter cannot contain another one")
    if not isinstance(element, dict):
        element = {"value": element}
    return _satisfies(term, element, element_target(attribute, term.path))


def _satisfies(term: Comparison | Present, resource: dict[str, Any], target: Target) -> bool:
    values = _values(resource, target.keys)
    if isinstance(term, Present):
        return any(_is_assigned(value) for value in values)
    if term.value is None:
        if term.operator not in ("eq", "ne"):
            raise InvalidFilter(f"{target.name} can be compared with null by eq and ne only")
        return any(_is_assigned(value) for value in values) == (term.operator == "ne")
    literal = comparand(target, term)
    kind = _kind(target.definition, term.value)
    comparable = []
    for value in values:
        if isinstance(value, dict):
            value = _member(value, "value")
        if value not in (None, "") and not isinstance(value, dict | list):
            comparable.append(value)
    if term.operator == "ne" and not comparable:
        return True
    return any(_holds(term.operator, kind, target.definition, value, literal) for value in comparable)


_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}


def _holds(name: str, kind: str, definition: Attribute | None, value: object, literal: Any) -> bool:
    known: Any = None
    if kind == "boolean":
        known = value if isinstance(value, bool) else None
    elif kind == "number":
        known = value if isinstance(value, int | float) and not isinstance(value, bool) else None
    elif isinstance(value, str):
        if kind != "dateTime":
            known = fold(definition, value)
        elif is_date_time(value):
            known = instant(value)
    if known is None:
        return name == "ne"
    if name == "eq":
        return bool(known == literal)
    if name == "ne":
        return bool(known != literal)
    if name == "co":
        return literal in known
    if name == "sw":
        return bool(known.startswith(literal))
    if name == "ew":
        return bool(known.endswith(literal))
    return _ORDER[name](known, literal)


def _values(resource: object, keys: tuple[str, ...]) -> list[object]:
    """Return what is found under the keys; every list met contributes its elements."""
    found = [resource]
    for key in keys:
        below: list[object] = []
        for node in found:
            value = _member(node, key) if isinstance(node, dict) else None
            if isinstance(value, list):
                below.extend(value)
            elif value is not None:
                below.append(value)
        found = below
    return found


def _member(node: dict[str, Any], key: str) -> Any:
    if key in node:
        return node[key]
    actual = find_key(node, key)
    return None if actual is None else node[actual]


def _is_assigned(value: object) -> bool:
    if isinstance(value, dict):
        return any(item is not None and item != "" and item != [] and item != {} for item in value.values())
    return value is not None and value != "" and value != []
