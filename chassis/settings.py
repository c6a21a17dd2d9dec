"""Settings of a process: one frozen class, read once from the environment."""

from __future__ import annotations

import sys
from typing import Literal, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

S = TypeVar("S", bound="ProcessSettings")


class ProcessSettings(BaseSettings):
    """What every process reads. A subclass sets `model_config = SettingsConfigDict(env_prefix="DIRECTORY_")`."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe log record that is written."""

    log_format: Literal["json", "plain"] = "json"
    """`json`: one object per line, for machines; `plain`: one line of text, for a terminal."""

    grace_seconds: float = 10.0
    """How long running calls may take to end when the process is told to stop."""

    @classmethod
    def load(cls: type[S]) -> S:
        """Read the environment; on a missing or wrong value print one line that names the variable, and exit 2."""
        try:
            return cls()
        except ValidationError as error:
            _refuse(cls, error)


def _refuse(settings: type[ProcessSettings], error: ValidationError) -> NoReturn:
    prefix = str(settings.model_config.get("env_prefix") or "")
    for problem in error.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in problem["loc"])
        variable = f"{prefix}{name}".upper() if name else prefix.rstrip("_")
        # The value itself may be a secret: only the rule is told.
        what = "is required" if problem["type"] == "missing" else problem["msg"]
        print(f"rollcall: {variable}: {what}", file=sys.stderr)
    raise SystemExit(2)
