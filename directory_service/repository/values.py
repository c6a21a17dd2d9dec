"""Lists of texts as one bound parameter: a statement stays the same whatever the length of the list."""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    BindParameter,
    ColumnElement,
    FromClause,
    Table,
    Text,
    bindparam,
    cast,
    column,
    func,
    literal_column,
)


def value_rows(dialect: str, name: str = "bound_values") -> FromClause:
    """Return the rows of a bound list, with the column `value`; give the list by `bind_values`."""
    if dialect == "sqlite":
        return func.json_each(bindparam(name, type_=Text)).table_valued(column("value", Text)).alias(name)
    listed = cast(bindparam(name, type_=ARRAY(Text)), ARRAY(Text))
    return func.unnest(listed).table_valued(column("value", Text)).render_derived(name)


def bind_values(dialect: str, values: Sequence[str], name: str = "bound_values") -> dict[str, Any]:
    """Return the parameter for a list of texts."""
    return {name: orjson.dumps(values).decode() if dialect == "sqlite" else list(values)}


def owned_by(table: Table, connection_id: str | BindParameter[str]) -> ColumnElement[bool]:
    """Return the condition that a row found by an id of its own is a connection's.

    An expression, not the bare column: it must never tempt a planner to walk the connection's rows instead.
    """
    return table.c.connection_id.op("||")(literal_column("''")) == connection_id
