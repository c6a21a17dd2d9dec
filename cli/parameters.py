"""The arguments and options that several commands share, and how their text is read."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Literal
from uuid import UUID

import typer

WorkspaceArgument = Annotated[str, typer.Argument(metavar="W", help="The workspace: its id or its slug.")]
ConnectionArgument = Annotated[str, typer.Argument(metavar="C", help="The connection's id.")]
EmailArgument = Annotated[str, typer.Argument(metavar="EMAIL", help="The e-mail address.")]

PortalName = Literal["dashboard", "store", "mdm"]
RoleName = Literal["admin", "editor", "viewer", "unassigned"]

_UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:[0-9]{1,9}[dhms])+")


def parse_duration(text: str) -> timedelta:
    """Read `365d`, `1h`, `30m`, `90s`, `1h30m` or `0`. Raises typer.BadParameter."""
    text = text.strip().lower()
    if text == "0":
        return timedelta()
    if not _DURATION.fullmatch(text):
        raise typer.BadParameter("expected a duration such as 365d, 1h, 30m, 90s or 0")
    try:
        return timedelta(seconds=sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([dhms])", text)))
    except OverflowError:
        raise typer.BadParameter("the duration is longer than any calendar") from None


def duration_option(*names: str, help: str) -> object:
    """An option whose value is a duration."""
    parser: Callable[[str], timedelta] = parse_duration
    return typer.Option(*names, parser=parser, metavar="DURATION", help=help)


def is_uuid(text: str) -> bool:
    """Whether the text is an id of ours: a UUID in its usual form of 36 characters."""
    try:
        return len(text) == 36 and str(UUID(text)) == text.lower()
    except ValueError:
        return False


def quoted(text: str) -> str:
    """The text as a string of the SCIM filter language, which is a JSON string (RFC 7644 §3.4.2.2)."""
    import json

    return json.dumps(text, ensure_ascii=False)
