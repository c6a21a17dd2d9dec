"""Statements of SQLAlchemy Core that are executed on the driver's own cursor.

A statement that a module keeps is the same object each time. The second time it comes it is compiled once for good, to
the text and the order of parameters that the driver wants, and from then on nothing of the library runs but the
conversion of values and the rows. What the library does around each statement costs several times as much as SQLite
takes to execute one.

Which statements: SELECT, INSERT, UPDATE, DELETE and text, with or without RETURNING. Those whose text depends on the
values (an expanding IN), that have defaults made in Python or execution options go through the library as ever, as does
every statement that is built anew for each call.
"""

from __future__ import annotations

import functools
import re
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.sql.compiler import SQLCompiler

_VARIANTS = 16
_HARMLESS_OPTIONS = frozenset({"preserve_rowcount"})

# Statements that cannot change a table; everything else counts as a write.
_READING = re.compile(
    r"\s*(?:SELECT|VALUES|EXPLAIN|SHOW|PRAGMA|BEGIN|SAVEPOINT|RELEASE|ROLLBACK|SET|NOTIFY|LISTEN)\b", re.I
)
_WRITING_CTE = re.compile(r"\b(?:INSERT|UPDATE|DELETE|MERGE)\b", re.I)

_Convert = Callable[[Any], Any]
_Preparable = (
    sa.Select[Any] | sa.CompoundSelect[Any] | sa.TextualSelect | sa.TextClause | sa.Insert | sa.Update | sa.Delete
)
_NO_COLUMNS = SimpleResultMetaData(())
_PREPARABLE = (sa.Select, sa.CompoundSelect, sa.TextualSelect, sa.TextClause, sa.Insert, sa.Update, sa.Delete)


@functools.cache
def insert_into(table: sa.Table) -> sa.Insert:
    """Give the one plain INSERT of a table, the same object each time; nothing is given back of the rows."""
    return table.insert().inline()


def is_listed(column: sa.ColumnElement[str], name: str, dialect: str) -> sa.ColumnElement[bool]:
    """Give the condition that a text is one of a list that is bound as one parameter, whatever the list's length.

    Give the list by `bind_list`. Unlike an expanding IN it leaves the statement as it is.
    """
    if dialect == "sqlite":
        values = sa.func.json_each(sa.bindparam(name, type_=sa.Text)).table_valued("value")
        return column.in_(sa.select(values.c.value))
    return column == sa.any_(sa.cast(sa.bindparam(name, type_=sa.ARRAY(sa.Text)), sa.ARRAY(sa.Text)))


def bind_list(dialect: str, values: Sequence[str]) -> Any:
    """Give the value of the parameter of `is_listed`."""
    return orjson.dumps(values).decode() if dialect == "sqlite" else list(values)


def writes(text: str, compiled: SQLCompiler | None) -> bool:
    """Say whether a statement may change a table; `compiled` is None for one that was given as text."""
    if compiled is not None:
        if compiled.isinsert or compiled.isupdate or compiled.isdelete:
            return True
        return text.startswith("WITH") and _WRITING_CTE.search(text) is not None
    return _READING.match(text) is None


class Rows(IteratorResult[Any]):
    """The rows that a statement gave, all fetched, and how many rows it changed."""

    def __init__(self, metadata: SimpleResultMetaData, rows: Sequence[Any], rowcount: int) -> None:
        super().__init__(metadata, iter(rows))
        self.rowcount = rowcount


class Prepared:
    """One statement, compiled for one dialect and one set of parameter names."""

    def __init__(
        self, statement: _Preparable, compiled: SQLCompiler, dialect: Dialect, names: Sequence[str], *, many: bool
    ) -> None:
        self.text = str(compiled)
        self.many = many
        self.writes = writes(self.text, None if isinstance(statement, sa.TextClause) else compiled)
        self._dialect = dialect
        self._positional = bool(compiled.positional)
        self._names: list[str] = list(compiled.positiontup or () if self._positional else compiled.binds)
        self._constants: dict[str, Any] = {}
        self._sources: list[str] = []
        self._converts: list[tuple[int, _Convert]] = []
        given = set(names)
        for index, name in enumerate(self._names):
            parameter = compiled.binds[name]
            if parameter.callable is not None:
                raise Unpreparable
            source = parameter.key if parameter.key in given else name
            if source not in given:
                if parameter.required:
                    raise Unpreparable
                # Constants of the statement are found beside the parameters, under a name that none of them has.
                source = f"\0{name}"
                self._constants[source] = parameter.value
            self._sources.append(source)
            if (convert := parameter.type.dialect_impl(dialect).bind_processor(dialect)) is not None:
                self._converts.append((index, convert))
        self._types: list[Any] = []
        self._keys: list[str] = []
        if not isinstance(statement, sa.TextClause):
            self._types = [column.type for column in statement.exported_columns]
            self._keys = [str(key) for key in statement.exported_columns.keys()]  # noqa: SIM118  # no mapping
        self._metadata: SimpleResultMetaData | None = None
        self._result_converts: list[tuple[int, _Convert]] = []

    def bind(self, parameters: Mapping[str, Any]) -> Any:
        """Give what the driver takes for a mapping of parameters. Raises what a type says of a value not its own."""
        found = {**self._constants, **parameters} if self._constants else parameters
        values = [found[source] for source in self._sources]
        for index, convert in self._converts:
            values[index] = convert(values[index])
        return tuple(values) if self._positional else dict(zip(self._names, values, strict=True))

    def execute(self, cursor: Any, bound: Any) -> Rows:
        """Execute with what `bind` gave, or for `many` with a list of that. Raises the driver's errors."""
        if self.many:
            cursor.executemany(self.text, bound)
            return Rows(_NO_COLUMNS, (), cursor.rowcount)
        cursor.execute(self.text, bound)
        description = cursor.description
        if description is None:
            return Rows(_NO_COLUMNS, (), cursor.rowcount)
        rows = cursor.fetchall()
        metadata = self._metadata or self._describe(description)
        if self._result_converts and rows:
            rows = [self._converted(row) for row in rows]
        return Rows(metadata, rows, cursor.rowcount)

    def _describe(self, description: Sequence[Sequence[Any]]) -> SimpleResultMetaData:
        """Learn from the first answer how columns are called and what the driver leaves to be converted."""
        converts = []
        for index, kind in enumerate(self._types):
            convert = kind.dialect_impl(self._dialect).result_processor(self._dialect, description[index][1])
            if convert is not None:
                converts.append((index, convert))
        metadata = SimpleResultMetaData(self._keys or [column[0] for column in description])
        # In this order, for another thread that finds the one takes the other as known.
        self._result_converts = converts
        self._metadata = metadata
        return metadata

    def _converted(self, row: Sequence[Any]) -> list[Any]:
        values = list(row)
        for index, convert in self._result_converts:
            values[index] = convert(values[index])
        return values


class Unpreparable(Exception):
    """A statement that has to go through the library each time."""


class _Seen:
    """What is known of one statement: nothing but that it came once, or its compiled forms by parameter names."""

    __slots__ = ("variants",)

    def __init__(self) -> None:
        self.variants: dict[tuple[bool, tuple[str, ...]], Prepared | None] = {}


class PreparedStatements:
    """The statements that one database has seen. Threads share it."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._seen: weakref.WeakKeyDictionary[Any, _Seen] = weakref.WeakKeyDictionary()

    def find(self, statement: object, parameters: Any) -> Prepared | None:
        """Give the compiled form of a statement for parameters such as these; None: it goes through the library."""
        if not isinstance(statement, _PREPARABLE):
            return None
        seen = self._seen.get(statement)
        if seen is None:
            self._seen[statement] = _Seen()
            return None
        many = type(parameters) is list
        first = parameters[0] if many else parameters
        key = (many, tuple(first) if first else ())
        try:
            return seen.variants[key]
        except KeyError:
            if len(seen.variants) >= _VARIANTS:
                return None
        try:
            prepared = self._prepare(statement, key[1], many=many)
        except Unpreparable:
            prepared = None
        seen.variants[key] = prepared
        return prepared

    def _prepare(self, statement: _Preparable, names: tuple[str, ...], *, many: bool) -> Prepared:
        if not set(statement.get_execution_options()) <= _HARMLESS_OPTIONS:
            raise Unpreparable
        is_dml = isinstance(statement, sa.Insert | sa.Update | sa.Delete)
        keys = list(names) if isinstance(statement, sa.Insert | sa.Update) else None
        compiled = statement.compile(dialect=self._dialect, column_keys=keys, for_executemany=many)
        if (
            compiled.post_compile_params
            or compiled.literal_execute_params
            or compiled.escaped_bind_names
            or (is_dml and (compiled.insert_prefetch or compiled.update_prefetch))
            or (many and (not is_dml or compiled.effective_returning))
        ):
            raise Unpreparable
        return Prepared(statement, compiled, self._dialect, names, many=many)
