"""What declares tables by SQLModel."""

from __future__ import annotations

from pydantic import ConfigDict
from sqlmodel import SQLModel


class Columns(SQLModel):
    """Columns of a table, or such as tables have in common.

    Rows are never made or checked by these classes, so that what pydantic would build for that is not: it is a third of
    the time that a process takes to declare its tables.
    """

    model_config = ConfigDict(defer_build=True)  # type: ignore[assignment]  # SQLModel's own type of it is private
