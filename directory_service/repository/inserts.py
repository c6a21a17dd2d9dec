"""Inserts that step aside for a row that is there already, on both databases."""

from typing import Any

from sqlalchemy import Column, Executable, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_ignoring(
    table: Table, conflict: tuple[str, ...], *, returning: Column[Any] | None = None
) -> dict[str, Executable]:
    """Return, by dialect, an INSERT that does nothing when a row equals it in the columns of `conflict`.

    With `returning` the result has one row exactly when a row was inserted.
    """
    statements: dict[str, Executable] = {}
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql)):
        statement = dialect.insert(table).on_conflict_do_nothing(index_elements=list(conflict))
        statements[name] = statement if returning is None else statement.returning(returning)
    return statements
