"""Filters and sort orders of SCIM, compiled to SQL over the tables (RFC 7644 §3.4.2.2, §3.4.2.3).

The result of a compiled filter is that of `scim.filter.evaluate` over the resource as SCIM shows it; a property test
holds the two together on both databases. How:

- An attribute with a column is compared by the column, so that equality of userName, externalId, id and displayName
  uses its index. Anything else is looked up in the JSON document, row by row, within the connection.
- Every condition is two-valued: it is never NULL, so NOT means the same as in Python.
- Text without `caseExact` compares by Python's `str.casefold`. On SQLite that very function is registered as
  `casefold`; on PostgreSQL the first migration makes `scim_casefold` from the same table of foldings. Both databases
  then compare by code point.
- A declared path is read at its canonical place, for documents are stored in canonical form. An undeclared one is
  walked key by key in any case, each list met contributing its elements, as `scim.filter` says. Where an undeclared
  object has keys that differ in case only, and none is spelled as in the filter, either may be taken.

Only paths that `scim.filter` allows are compiled, and every literal, key and URN is a bound parameter.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from directory_service.tables import KIND_GROUP, KIND_USER
from scim.errors import InvalidFilter
from scim.filter import (
    And,
    Comparison,
    Filter,
    Not,
    Or,
    Present,
    Target,
    ValuePath,
    check,
    check_element_filter,
    comparand,
    element_target,
    filter_target,
)
from scim.schemas import ENTERPRISE_USER_URN, GROUP, MEMBERS, USER, Attribute, AttributePath, ResourceType

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ORDERING = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_TRUE, _FALSE = "(1 = 1)", "(1 = 0)"
_MANAGER = (ENTERPRISE_USER_URN, "manager")

SORTED_CHARACTERS = 256
"""Characters of a text that count when it is sorted by; a page token carries them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition on the rows of `users` or `groups`: SQL text and the values of its parameters."""

    sql: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SortKey:
    """An expression to sort by, NULL where the resource has no value."""

    sql: str
    parameters: dict[str, Any]
    kind: type[str] | type[int] | type[bool]
    """What the values are."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a filter applies: the database, and what the resources of the connection are called outside."""

    dialect: str
    connection_id: str
    location: str
    """Base URL of the connection's resources, of which `meta.location` and `$ref` are made; no slash at the end."""


def compile_filter(term: Filter, resource_type: ResourceType, scope: Scope) -> Condition:
    """Return the condition that a row satisfies just when its resource satisfies the filter. Raises InvalidFilter."""
    check(term, resource_type)
    compiler = _Compiler(resource_type, scope)
    return Condition(compiler.resource(term), compiler.parameters)


def compile_member_filter(term: Filter, scope: Scope) -> Condition:
    """Return the condition on the rows of `MEMBER_SOURCE` for a filter on the elements of `members`.

    Raises InvalidFilter.
    """
    check_element_filter(term, MEMBERS)
    compiler = _Compiler(GROUP, scope)
    return Condition(compiler.element(term, MEMBERS, compiler.member_operand), compiler.parameters)


def compile_sort(path: AttributePath, resource_type: ResourceType, scope: Scope) -> SortKey:
    """Return the sort key of an attribute path (RFC 7644 §3.4.2.3).

    Of a multi-valued attribute the primary value decides, else the first. Text is ordered by its first
    `SORTED_CHARACTERS`. Undeclared numbers are ordered as such, and come before undeclared text, without case. Raises
    InvalidFilter for a path that cannot be filtered.
    """
    target = filter_target(resource_type, path)
    compiler = _Compiler(resource_type, scope)
    kinds: dict[str, type[int] | type[bool]] = {"boolean": bool, "dateTime": int}
    kind = str if target.definition is None else kinds.get(target.definition.type, str)
    return SortKey(compiler.sort_key(target), compiler.parameters, kind)


MEMBER_SOURCE = (
    "group_members AS m"
    f" LEFT JOIN users AS mu ON m.kind = {KIND_USER} AND mu.id = m.member_id"
    f" LEFT JOIN groups AS mg ON m.kind = {KIND_GROUP} AND mg.id = m.member_id"
)
"""The members of groups with what they show: rows `m` of group_members."""


@dataclass(frozen=True, slots=True)
class _Operand:
    """One value to compare."""

    sql: str
    """The value, or NULL when there is none."""
    folded: str | None = None
    """The value case-folded, where a column holds it; else it is computed."""
    nullable: bool = True
    is_column: bool = False
    """Whether an index may serve the comparison, so that it must not be wrapped in a function."""


ElementOperand = Callable[[Target], _Operand]


@dataclass(slots=True)
class _Compiler:
    resource_type: ResourceType
    scope: Scope
    parameters: dict[str, Any] = field(default_factory=dict)
    aliases: int = 0

    @property
    def table(self) -> str:
        return "users" if self.resource_type is USER else "groups"

    @property
    def on_sqlite(self) -> bool:
        return self.scope.dialect == "sqlite"

    def bind(self, value: object) -> str:
        name = f"f{len(self.parameters)}"
        self.parameters[name] = value
        return f":{name}"

    def alias(self) -> str:
        self.aliases += 1
        return f"x{self.aliases}"

    # The tree

    def resource(self, term: Filter) -> str:
        """Return the condition on a resource."""
        if isinstance(term, And | Or):
            return self._join(term, [self.resource(part) for part in term.terms])
        if isinstance(term, Not):
            return f"(NOT {self.resource(term.term)})"
        if isinstance(term, ValuePath):
            return self._value_path(term)
        target = filter_target(self.resource_type, term.path, present=not _compares(term))
        if target.definition is None:
            return self._undeclared(term, target.keys)
        if _compares(term):
            return self._compare(term, target)
        return self._negated(term, self._has(target))

    def element(self, term: Filter, attribute: Attribute, operand: ElementOperand) -> str:
        """Return the condition on one element of a declared complex attribute."""
        if isinstance(term, And | Or):
            return self._join(term, [self.element(part, attribute, operand) for part in term.terms])
        if isinstance(term, Not):
            return f"(NOT {self.element(term.term, attribute, operand)})"
        if isinstance(term, ValuePath):
            raise InvalidFilter("a value filter cannot contain another one")
        target = element_target(attribute, term.path)
        if _compares(term):
            return self._holds(term, target, operand(target))
        return self._negated(term, _is_there(operand(target)))

    @staticmethod
    def _join(term: And | Or, parts: list[str]) -> str:
        return "(" + (" AND " if isinstance(term, And) else " OR ").join(parts) + ")"

    @staticmethod
    def _negated(term: Comparison | Present, has: str) -> str:
        """Turn presence into its contrary for `eq null`."""
        return f"(NOT {has})" if isinstance(term, Comparison) and term.operator == "eq" else has

    # Declared attributes

    def _compare(self, term: Comparison, target: Target) -> str:
        if target.keys[0] in ("groups", "members", "schemas") or self._is_multi_valued(target):
            differs = self._any_element(target, lambda operand: self._holds(term, target, operand))
            if term.operator != "ne":
                return differs
            return f"(NOT {self._any_element(target, _is_there)} OR {differs})"
        return self._holds(term, target, self._operand(target.keys, target.definition))

    def _has(self, target: Target) -> str:
        """Return whether a declared attribute has a value."""
        if target.keys[0] in ("groups", "members", "schemas") or (
            len(target.keys) > 1 and self._is_multi_valued(target)
        ):
            return self._any_element(target, _is_there)
        if target.keys == ("meta",):
            return _TRUE
        if self._column(target.keys) is not None or target.keys[:2] == _MANAGER:
            return _is_there(self._operand(target.keys, target.definition))
        if self.on_sqlite:
            return f"(json_type({self.table}.document, {self.bind(_json_path(target.keys))}) IS NOT NULL)"
        return f"(({self.table}.document #> {self.bind(list(target.keys))}) IS NOT NULL)"

    def _is_multi_valued(self, target: Target) -> bool:
        definition = self.resource_type.lookup.get(target.keys[0])
        return definition is not None and definition.multi_valued

    def _value_path(self, term: ValuePath) -> str:
        target = filter_target(self.resource_type, term.path, present=True)
        definition, keys = target.definition, target.keys
        if definition is None:
            return self._undeclared_element(term.filter, keys)
        if definition.multi_valued:
            return self._any_element(target, None, lambda operand: self.element(term.filter, definition, operand))

        def operand(inner: Target) -> _Operand:
            return self._operand((*keys, *inner.keys), inner.definition)

        return f"({self._has(target)} AND {self.element(term.filter, definition, operand)})"

    def _any_element(
        self,
        target: Target,
        holds: Callable[[_Operand], str] | None,
        holds_element: Callable[[ElementOperand], str] | None = None,
    ) -> str:
        """Return whether any element satisfies a condition on the target's value, or on the element as a whole."""
        attribute = target.keys[0]

        def condition(operand: ElementOperand) -> str:
            if holds_element is not None:
                return holds_element(operand)
            assert holds is not None
            keys = target.keys[1:] or ("value",)
            return holds(operand(Target(keys, target.definition, target.name)))

        if attribute == "schemas":
            return self._any_schema(condition)
        if attribute == "members":
            return (
                f"EXISTS (SELECT 1 FROM {MEMBER_SOURCE} WHERE m.group_id = groups.id"
                f" AND {condition(self.member_operand)})"
            )
        if attribute == "groups":
            return self._any_group(condition)
        name = self.alias()
        if self.on_sqlite:
            source = f"json_each({self.table}.document, {self.bind(_json_path((attribute,)))}) AS {name}"
        else:
            source = f"jsonb_array_elements({self.table}.document -> {self.bind(attribute)}) AS {name}(value)"

        def operand(inner: Target) -> _Operand:
            if self.on_sqlite:
                return _Operand(f"json_extract({name}.value, {self.bind(_json_path(inner.keys))})")
            text = f"({name}.value ->> {self.bind(inner.keys[0])})"
            if inner.definition is not None and inner.definition.type == "boolean":
                return _Operand(f"CAST({text} AS boolean)")
            return _Operand(text)

        return f"EXISTS (SELECT 1 FROM {source} WHERE {condition(operand)})"

    def _any_schema(self, condition: Callable[[ElementOperand], str]) -> str:
        name, core = self.alias(), self.bind(self.resource_type.schema.id)
        if self.on_sqlite:
            keys = f"SELECT key FROM json_each({self.table}.document)"
        else:
            keys = f"SELECT jsonb_object_keys({self.table}.document)"
        return (
            f"EXISTS (SELECT 1 FROM (SELECT CAST({core} AS TEXT) AS value UNION ALL SELECT k.value FROM"
            f" ({keys.replace('key FROM', 'key AS value FROM') if self.on_sqlite else keys + ' AS value'}) AS k"
            f" WHERE k.value LIKE {self.bind('%:%')}) AS {name}"
            f" WHERE {condition(lambda _target: _Operand(f'{name}.value', nullable=False))})"
        )

    def member_operand(self, target: Target) -> _Operand:
        """Return a sub-attribute of a row of `MEMBER_SOURCE`."""
        name = target.keys[0]
        if name == "value":
            return _Operand("m.member_id", nullable=False, is_column=True)
        if name == "type":
            return _Operand(f"CASE m.kind WHEN {KIND_GROUP} THEN 'Group' ELSE 'User' END", nullable=False)
        if name == "$ref":
            users, groups = self.bind(f"{self.scope.location}/Users/"), self.bind(f"{self.scope.location}/Groups/")
            kind = f"CASE m.kind WHEN {KIND_GROUP} THEN CAST({groups} AS TEXT) ELSE CAST({users} AS TEXT) END"
            return _Operand(f"({kind} || m.member_id)", nullable=False)
        return _Operand("COALESCE(m.display, mu.user_name, mg.display_name)")

    def _any_group(self, condition: Callable[[ElementOperand], str]) -> str:
        """Return whether the user is, directly or through nested groups, in a group that satisfies a condition."""
        scope = self.bind(self.scope.connection_id)

        def in_group(direct: bool) -> str:
            def operand(target: Target) -> _Operand:
                return self._group_operand(target.keys[0], "'direct'" if direct else "'indirect'")

            return f"g.connection_id = {scope} AND {condition(operand)}"

        return (
            "users.id IN ("
            "SELECT m.member_id FROM groups AS g JOIN group_members AS m ON m.group_id = g.id"
            f" WHERE {in_group(True)}"
            " UNION SELECT d.member_id FROM ("
            "WITH RECURSIVE down(group_id, member_id) AS ("
            "SELECT m.group_id, m.member_id FROM groups AS g JOIN group_members AS m ON m.group_id = g.id"
            f" WHERE m.kind = {KIND_GROUP} AND {in_group(False)}"
            " UNION SELECT down.group_id, m.member_id FROM down JOIN group_members AS m ON m.group_id = down.member_id"
            ") SELECT group_id, member_id FROM down) AS d"
            " WHERE NOT EXISTS (SELECT 1 FROM group_members AS own"
            " WHERE own.group_id = d.group_id AND own.member_id = d.member_id))"
        )

    def _group_operand(self, name: str, kind: str) -> _Operand:
        """Return a sub-attribute of a user's membership in the row `g` of groups; `kind` is what `type` shows."""
        if name == "value":
            return _Operand("g.id", nullable=False, is_column=True)
        if name == "type":
            return _Operand(kind, nullable=False)
        if name == "$ref":
            prefix = self.bind(f"{self.scope.location}/Groups/")
            return _Operand(f"(CAST({prefix} AS TEXT) || g.id)", nullable=False)
        return _Operand("g.display_name", folded="g.display_name_key", nullable=False, is_column=True)

    def _column(self, keys: tuple[str, ...]) -> _Operand | None:
        """Return the column of an attribute that has one."""
        table = self.table
        if keys == ("userName",):
            return _Operand("users.user_name", folded="users.user_name_key", nullable=False, is_column=True)
        if keys == ("displayName",) and self.resource_type is GROUP:
            return _Operand("groups.display_name", folded="groups.display_name_key", nullable=False, is_column=True)
        if keys == ("externalId",):
            return _Operand(f"{table}.external_id", is_column=True)
        if keys == ("id",):
            return _Operand(f"{table}.id", nullable=False, is_column=True)
        if keys == ("active",):
            return _Operand("users.active", nullable=False, is_column=True)
        if keys == ("meta", "created"):
            return _Operand(f"{table}.created_ms", nullable=False, is_column=True)
        if keys == ("meta", "lastModified"):
            return _Operand(f"{table}.updated_ms", nullable=False, is_column=True)
        if keys == ("meta", "version"):
            return _Operand(f"""('W/"' || CAST({table}.version AS TEXT) || '"')""", nullable=False)
        if keys == ("meta", "resourceType"):
            return _Operand(f"CAST({self.bind(self.resource_type.name)} AS TEXT)", nullable=False)
        if keys == ("meta", "location"):
            prefix = self.bind(f"{self.scope.location}{self.resource_type.endpoint}/")
            return _Operand(f"(CAST({prefix} AS TEXT) || {table}.id)", nullable=False)
        return None

    def _operand(self, keys: tuple[str, ...], definition: Attribute | None) -> _Operand:
        """Return a single-valued declared attribute."""
        column = self._column(keys)
        if column is not None:
            return column
        if keys[:2] == _MANAGER and keys[2:] in (("displayName",), ("$ref",)):
            return self._of_manager(keys[2])
        text = self._stored(self.table, keys)
        if not self.on_sqlite and definition is not None and definition.type == "boolean":
            return _Operand(f"CAST({text} AS boolean)")
        return _Operand(text)

    def _stored(self, table: str, keys: tuple[str, ...]) -> str:
        """Return what is stored under declared keys of a document."""
        if self.on_sqlite:
            return f"json_extract({table}.document, {self.bind(_json_path(keys))})"
        return f"({table}.document #>> {self.bind(list(keys))})"

    def _of_manager(self, name: str) -> _Operand:
        """Return what is shown of a manager who is a user of the connection, named by id or else by externalId."""
        named, found = self._stored("users", (*_MANAGER, "value")), self.alias()
        ids = (
            f"SELECT {found}.id FROM users AS {found}"
            f" WHERE {found}.connection_id = {self.bind(self.scope.connection_id)}"
        )
        manager = (
            f"COALESCE(({ids} AND {found}.id = {named}),"
            f" ({ids} AND {found}.external_id = {named} ORDER BY {found}.position LIMIT 1))"
        )
        if name == "displayName":
            stored = self._stored(found, ("displayName",))
            return _Operand(f"(SELECT {stored} FROM users AS {found} WHERE {found}.id = {manager})")
        prefix = self.bind(f"{self.scope.location}/Users/")
        return _Operand(f"COALESCE({self._stored('users', (*_MANAGER, '$ref'))}, CAST({prefix} AS TEXT) || {manager})")

    def _holds(self, term: Comparison, target: Target, operand: _Operand) -> str:
        """Return whether a value of a declared attribute satisfies a comparison; `ne` also when there is none."""
        literal = comparand(target, term)
        if isinstance(literal, datetime):
            # Stored to the millisecond, compared to the microsecond that a filter may name.
            operand = _Operand(f"({operand.sql} * 1000)", nullable=operand.nullable)
            comparison = self._relate(operand.sql, term.operator, (literal - _EPOCH) // timedelta(microseconds=1))
        elif isinstance(literal, str):
            exact = target.definition is not None and target.definition.case_exact
            value = operand.sql if exact else operand.folded or self._folded(operand.sql)
            comparison = self._text(value, term.operator, literal)
        else:
            comparison = self._relate(operand.sql, term.operator, literal)
        if not operand.nullable:
            return f"({comparison})"
        if term.operator == "ne":
            return f"({operand.sql} IS NULL OR {comparison})" if operand.is_column else f"COALESCE({comparison}, TRUE)"
        if operand.is_column:
            return f"({operand.sql} IS NOT NULL AND {comparison})"
        return f"COALESCE({comparison}, FALSE)"

    # Comparisons

    def _folded(self, sql: str) -> str:
        return f"casefold({sql})" if self.on_sqlite else f"scim_casefold({sql})"

    def _relate(self, sql: str, operator: str, literal: object) -> str:
        symbol = {"eq": "=", "ne": "<>"}.get(operator) or _ORDERING[operator]
        return f"{sql} {symbol} {self.bind(literal)}"

    def _text(self, sql: str, operator: str, literal: str) -> str:
        if operator == "eq":
            return f"{sql} = {self.bind(literal)}"
        if operator == "ne":
            return f"{sql} <> {self.bind(literal)}"
        if operator in _ORDERING:
            collation = "" if self.on_sqlite else ' COLLATE "C"'
            return f"{sql}{collation} {_ORDERING[operator]} {self.bind(literal)}"
        if not literal:
            return f"{sql} IS NOT NULL"
        if operator == "co":
            find = "instr" if self.on_sqlite else "strpos"
            return f"{find}({sql}, {self.bind(literal)}) > 0"
        if operator == "sw":
            return f"substr({sql}, 1, {len(literal)}) = {self.bind(literal)}"
        end = f"substr({sql}, -{len(literal)})" if self.on_sqlite else f"right({sql}, {len(literal)})"
        return f"{end} = {self.bind(literal)}"

    # Undeclared attributes: a walk through the document, one join per key

    def _undeclared(self, term: Comparison | Present, keys: tuple[str, ...]) -> str:
        return self._walk(term, f"{self.table}.document", keys)

    def _walk(self, term: Comparison | Present, start: str, keys: tuple[str, ...]) -> str:
        joins, value = self._nodes(start, keys)
        if not _compares(term):
            return self._negated(term, self._exists(joins, self._is_assigned(value)))
        joins, leaf = self._leaf(joins, value)
        target = Target(keys, None, ".".join(keys))
        holds = self._exists(joins, f"{self._is_simple(leaf)} AND {self._undeclared_holds(term, target, leaf)}")
        if term.operator != "ne":
            return holds
        joins, value = self._nodes(start, keys)
        joins, leaf = self._leaf(joins, value)
        return f"(NOT {self._exists(joins, self._is_simple(leaf))} OR {holds})"

    def _undeclared_element(self, term: Filter, keys: tuple[str, ...]) -> str:
        joins, value = self._nodes(f"{self.table}.document", keys)
        return self._exists(joins, self._undeclared_inner(term, self._as_object(value, arrays=True)))

    def _undeclared_inner(self, term: Filter, element: str) -> str:
        if isinstance(term, And | Or):
            return self._join(term, [self._undeclared_inner(part, element) for part in term.terms])
        if isinstance(term, Not):
            return f"(NOT {self._undeclared_inner(term.term, element)})"
        if isinstance(term, ValuePath):
            raise InvalidFilter("a value filter cannot contain another one")
        return self._walk(term, element, element_target(None, term.path).keys)

    @staticmethod
    def _exists(joins: list[str], condition: str) -> str:
        return f"EXISTS (SELECT 1 FROM {' CROSS JOIN '.join(_sources(joins))} WHERE {_conditions(joins, condition)})"

    def _nodes(self, start: str, keys: tuple[str, ...], elements: list[str] | None = None) -> tuple[list[str], str]:
        """Return the joins that lead from an object to what is found under the keys, and the alias of what is found.

        Joins come in pairs of a source and the condition on it. `elements` gains the alias of what each key leads to.
        """
        joins: list[str] = []
        node = start
        value = ""
        for number, key in enumerate(keys):
            if number:
                node = self._as_object(value, arrays=False, scalars=False)
            value = self._member(joins, node, key)
            value = self._elements(joins, value)
            if elements is not None:
                elements.append(value)
        return joins, value

    def _member(self, joins: list[str], node: str, key: str) -> str:
        """Join the member of an object under a key in any case, the exact spelling first; return its alias."""
        name, inner = self.alias(), self.alias()
        exact, lower = self.bind(key), self.bind(key.lower())
        each = "json_each" if self.on_sqlite else "jsonb_each"
        lateral = "" if self.on_sqlite else "LATERAL "
        joins += [
            f"{lateral}{each}({node}) AS {name}",
            f"({name}.key = {exact} OR (lower({name}.key) = {lower}"
            f" AND NOT EXISTS (SELECT 1 FROM {each}({node}) AS {inner} WHERE {inner}.key = {exact})))",
        ]
        return name

    def _elements(self, joins: list[str], value: str) -> str:
        """Join the elements of a list, or the value itself when it is none; a null is nothing."""
        name = self.alias()
        if self.on_sqlite:
            wrapped = (
                f"CASE {value}.type WHEN 'array' THEN {value}.value WHEN 'null' THEN '[]'"
                f" ELSE '[' || {_sqlite_json(value)} || ']' END"
            )
            joins += [f"json_each({wrapped}) AS {name}", _TRUE]
        else:
            wrapped = (
                f"CASE jsonb_typeof({value}.value) WHEN 'array' THEN {value}.value WHEN 'null' THEN jsonb_build_array()"
                f" ELSE jsonb_build_array({value}.value) END"
            )
            joins += [f"LATERAL jsonb_array_elements({wrapped}) WITH ORDINALITY AS {name}(value, n)", _TRUE]
        return name

    def _as_object(self, value: str, *, arrays: bool, scalars: bool = True) -> str:
        """Return a value as an object: itself, or one that holds it under `value`, or an empty one."""
        if self.on_sqlite:
            other = f"""'{{"value"' || char(58) || {_sqlite_json(value)} || '}}'""" if scalars else "'{}'"
            empty = "" if arrays or not scalars else " WHEN 'array' THEN '{}'"
            return f"CASE {value}.type WHEN 'object' THEN {value}.value{empty} ELSE {other} END"
        other = f"jsonb_build_object('value', {value}.value)" if scalars else "jsonb_build_object()"
        empty = "" if arrays or not scalars else " WHEN 'array' THEN jsonb_build_object()"
        return f"CASE jsonb_typeof({value}.value) WHEN 'object' THEN {value}.value{empty} ELSE {other} END"

    def _leaf(self, joins: list[str], value: str) -> tuple[list[str], str]:
        """Join what a found value stands for in a comparison: itself, or the `value` of an object."""
        return joins, self._member(joins, self._as_object(value, arrays=False), "value")

    def _is_simple(self, leaf: str) -> str:
        if self.on_sqlite:
            return f"({leaf}.type NOT IN ('object', 'array', 'null') AND {leaf}.value <> '')"
        return (
            f"(jsonb_typeof({leaf}.value) NOT IN ('object', 'array', 'null')"
            f" AND {leaf}.value <> to_jsonb(CAST('' AS TEXT)))"
        )

    def _is_assigned(self, value: str) -> str:
        member = self.alias()
        if self.on_sqlite:
            return (
                f"CASE {value}.type WHEN 'null' THEN 0 WHEN 'text' THEN {value}.value <> ''"
                f" WHEN 'array' THEN {value}.value <> '[]' WHEN 'object' THEN EXISTS (SELECT 1"
                f" FROM json_each({value}.value) AS {member} WHERE {member}.type <> 'null'"
                f" AND NOT ({member}.type = 'text' AND {member}.value = '')"
                f" AND NOT ({member}.type IN ('array', 'object') AND {member}.value IN ('[]', '{{}}'))) ELSE 1 END"
            )
        empty = "(CAST('null' AS jsonb), CAST('\"\"' AS jsonb), CAST('[]' AS jsonb), CAST('{}' AS jsonb))"
        return (
            f"CASE jsonb_typeof({value}.value) WHEN 'object' THEN EXISTS (SELECT 1"
            f" FROM jsonb_each({value}.value) AS {member} WHERE {member}.value NOT IN {empty})"
            f" ELSE {value}.value NOT IN {empty} END"
        )

    def _undeclared_holds(self, term: Comparison, target: Target, leaf: str) -> str:
        """Return whether a simple value satisfies a comparison; one of another type satisfies `ne` only."""
        literal = comparand(target, term)
        other = "1" if term.operator == "ne" else "0"
        if self.on_sqlite:
            if isinstance(literal, bool):
                kinds, comparison = "'true', 'false'", self._relate(f"({leaf}.type = 'true')", term.operator, literal)
            elif isinstance(literal, str):
                kinds, comparison = "'text'", self._text(self._folded(f"{leaf}.value"), term.operator, literal)
            else:
                kinds, comparison = "'integer', 'real'", self._relate(f"{leaf}.value", term.operator, literal)
            return f"CASE WHEN {leaf}.type IN ({kinds}) THEN {comparison} ELSE {other} END"
        text = f"({leaf}.value #>> '{{}}')"
        if isinstance(literal, bool):
            kinds, comparison = "boolean", self._relate(f"CAST({text} AS boolean)", term.operator, literal)
        elif isinstance(literal, str):
            kinds, comparison = "string", self._text(self._folded(text), term.operator, literal)
        else:
            symbol = {"eq": "=", "ne": "<>"}.get(term.operator) or _ORDERING[term.operator]
            number = f"CAST({self.bind(repr(literal))} AS numeric)"
            kinds, comparison = "number", f"CAST({text} AS numeric) {symbol} {number}"
        return f"CASE WHEN jsonb_typeof({leaf}.value) = '{kinds}' THEN {comparison} ELSE {other} = 1 END"

    # Sorting

    def sort_key(self, target: Target) -> str:
        definition, keys = target.definition, target.keys
        if definition is None:
            return self._first_undeclared(keys)
        if self._is_multi_valued(target):
            return self._first_element(keys, definition)
        operand = self._operand(keys, definition)
        if definition.is_text:
            return self._sorted_text(operand, definition)
        return operand.sql

    def _sorted_text(self, operand: _Operand, definition: Attribute) -> str:
        return self._sortable(operand.sql if definition.case_exact else operand.folded or self._folded(operand.sql))

    def _sortable(self, text: str) -> str:
        beginning = f"substr({text}, 1, {SORTED_CHARACTERS})"
        return beginning if self.on_sqlite else f'({beginning} COLLATE "C")'

    def _first_undeclared(self, keys: tuple[str, ...]) -> str:
        elements: list[str] = []
        joins, value = self._nodes(f"{self.table}.document", keys, elements)
        joins, leaf = self._leaf(joins, value)
        order = ", ".join(f"{self._is_primary(element)} DESC, {self._place(element)}" for element in elements)
        return (
            f"(SELECT {self._sorted_undeclared(leaf)} FROM {' CROSS JOIN '.join(_sources(joins))}"
            f" WHERE {_conditions(joins, self._is_simple(leaf))} ORDER BY {order} LIMIT 1)"
        )

    def _is_primary(self, element: str) -> str:
        if self.on_sqlite:
            flag = f"json_type({element}.value, '$.primary')"
            return f"CASE {element}.type WHEN 'object' THEN COALESCE({flag} = 'true', 0) ELSE 0 END"
        return f"COALESCE(({element}.value -> 'primary') = CAST('true' AS jsonb), FALSE)"

    def _place(self, element: str) -> str:
        return f"{element}.key" if self.on_sqlite else f"{element}.n"

    def _sorted_undeclared(self, leaf: str) -> str:
        """Return text that is ordered as the simple values are: numbers, then everything else as text.

        Of a number the text is its sign, how many digits stand before the point, and the digits; where the number is
        negative all of it runs backwards.
        """
        if self.on_sqlite:
            is_number, number = f"{leaf}.type IN ('integer', 'real')", f"{leaf}.value"
            fixed = (
                f"CASE typeof({number}) WHEN 'integer' THEN CAST({number} AS TEXT) || '.000000000000000'"
                f" ELSE printf('%.15f', {number}) END"
            )
            digits = f"ltrim({fixed}, '-')"
            length = "printf('%03d', {})"
            backwards = digits
            for digit, letter in zip("0123456789", "jihgfedcba", strict=True):
                backwards = f"replace({backwards}, '{digit}', '{letter}')"
            text = f"CASE {leaf}.type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE {leaf}.value END"
        else:
            is_number, text = f"jsonb_typeof({leaf}.value) = 'number'", f"({leaf}.value #>> '{{}}')"
            number = f"CAST({text} AS numeric)"
            digits = f"CAST(abs(round({number}, 15)) AS TEXT)"
            length = "lpad(CAST({} AS TEXT), 3, '0')"
            backwards = f"translate({digits}, '0123456789', 'jihgfedcba')"
        before_point = f"{'instr' if self.on_sqlite else 'strpos'}({digits}, '.')"
        sorted_text = (
            f"CASE WHEN NOT ({is_number}) THEN '1' || substr({self._folded(text)}, 1, {SORTED_CHARACTERS})"
            f" WHEN {number} < 0 THEN '00' || {length.format(f'999 - {before_point}')} || {backwards}"
            f" ELSE '01' || {length.format(before_point)} || {digits} END"
        )
        return sorted_text if self.on_sqlite else f'({sorted_text} COLLATE "C")'

    def _first_element(self, keys: tuple[str, ...], definition: Attribute) -> str:
        if keys == ("schemas",):
            # The core schema is always the first.
            return f"CAST({self.bind(self.resource_type.schema.id)} AS TEXT)"
        attribute, sub = keys
        if attribute == "members":
            operand = self.member_operand(Target((sub,), definition, sub))
            key = self._sorted_text(operand, definition)
            return (
                f"(SELECT {key} FROM {MEMBER_SOURCE} WHERE m.group_id = groups.id AND {_is_there(operand)}"
                " ORDER BY m.position LIMIT 1)"
            )
        if attribute == "groups":
            return self._first_group(sub, definition)
        name = self.alias()
        if self.on_sqlite:
            value = f"json_extract({name}.value, {self.bind(_json_path((sub,)))})"
            source = f"json_each({self.table}.document, {self.bind(_json_path((attribute,)))}) AS {name}"
            order = f"COALESCE(json_extract({name}.value, '$.primary'), 0) DESC, {name}.key"
        else:
            value = f"({name}.value ->> {self.bind(sub)})"
            source = (
                f"jsonb_array_elements({self.table}.document -> {self.bind(attribute)})"
                f" WITH ORDINALITY AS {name}(value, n)"
            )
            order = f"COALESCE(CAST({name}.value ->> 'primary' AS boolean), FALSE) DESC, {name}.n"
        if definition.is_text:
            key = self._sorted_text(_Operand(value), definition)
        else:
            key = value if self.on_sqlite else f"CAST({value} AS boolean)"
        return f"(SELECT {key} FROM {source} WHERE {value} IS NOT NULL ORDER BY {order} LIMIT 1)"

    def _first_group(self, sub: str, definition: Attribute) -> str:
        """Return a sub-attribute of the oldest of the groups that the user is in, directly or through nested groups."""
        direct = (
            "CASE WHEN EXISTS (SELECT 1 FROM group_members AS own"
            " WHERE own.group_id = g.id AND own.member_id = users.id) THEN 'direct' ELSE 'indirect' END"
        )
        key = self._sorted_text(self._group_operand(sub, direct), definition)
        return (
            "(WITH RECURSIVE up(group_id) AS ("
            "SELECT m.group_id FROM group_members AS m WHERE m.member_id = users.id"
            " UNION SELECT m.group_id FROM up JOIN group_members AS m ON m.member_id = up.group_id)"
            f" SELECT {key} FROM up JOIN groups AS g ON g.id = up.group_id ORDER BY g.position LIMIT 1)"
        )


def _compares(term: Comparison | Present) -> TypeGuard[Comparison]:
    """Tell whether a term compares with a value; else it asks for presence: `pr`, and `eq` or `ne` with null."""
    return isinstance(term, Comparison) and term.value is not None


def _is_there(operand: _Operand) -> str:
    return f"({operand.sql} IS NOT NULL)" if operand.nullable else _TRUE


def _sources(joins: list[str]) -> list[str]:
    return joins[0::2]


def _conditions(joins: list[str], last: str) -> str:
    return " AND ".join([condition for condition in joins[1::2] if condition != _TRUE] + [last])


def _json_path(keys: tuple[str, ...]) -> str:
    """Return the SQLite path of declared keys, which contain no quotes."""
    return "$" + "".join(f'."{key}"' for key in keys)


def _sqlite_json(row: str) -> str:
    """Return the JSON text of the value of a json_each row. Reals keep every digit."""
    return (
        f"CASE {row}.type WHEN 'text' THEN json_quote({row}.value) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
        f" WHEN 'null' THEN 'null' WHEN 'real' THEN printf('%!.17g', {row}.value) ELSE {row}.value END"
    )
