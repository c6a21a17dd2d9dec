"""Pages: templates with what every one of them is given, what the next page shall say, and redirections."""

from __future__ import annotations

import base64
import binascii
import datetime
import json
from functools import cache
from importlib import metadata
from typing import Any, TypeAlias

import falcon
from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from console import cookies
from console.request import Request, Response
from console.static_files import asset

Templates: TypeAlias = Environment

VERSION = metadata.version("rollcall")
FLASH_SECONDS = 60
"""For how long something waits to be said by the next page."""
LONGEST_FLASH = 600
"""Characters; a browser keeps about 4,000 bytes in a cookie."""


@cache
def make_templates() -> Templates:
    """Make the environment of `console/templates`: everything is escaped, and a name that nobody gave is an error."""
    templates = Environment(
        loader=PackageLoader("console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.filters["datetime"] = show_time
    templates.filters["plural"] = plural
    templates.globals["asset"] = asset
    return templates


async def page(req: Request, resp: Response, template: str, *, status: str = falcon.HTTP_200, **values: Any) -> None:
    """Answer with a template.

    Beside `values` it gets `administrator` (None: nobody has signed in), `csrf_token`, `path`, `flash` (a pair of kind
    and text, or None) and `version`.
    """
    context = req.context
    resp.status = status
    resp.content_type = falcon.MEDIA_HTML
    if context.flash is not None:
        cookies.drop(resp, cookies.FLASH)
    resp.text = context.templates.get_template(template).render(
        administrator=context.administrator,
        csrf_token=context.csrf_token,
        path=req.path,
        flash=context.flash,
        version=VERSION,
        **values,
    )


def redirect(resp: Response, location: str) -> None:
    """Send the browser to a page of the console, which it gets with GET (303, RFC 9110 §15.4.4)."""
    resp.status = falcon.HTTP_303
    resp.set_header("Location", location)


def flash(resp: Response, text: str, kind: str = "done") -> None:
    """Have the next page say something; `kind` is `done` or `failed`. Not for secrets: it waits in a cookie."""
    content = json.dumps([kind, text[:LONGEST_FLASH]])
    value = base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")
    cookies.put(resp, cookies.FLASH, value, seconds=FLASH_SECONDS)


def read_flash(value: str) -> tuple[str, str] | None:
    """Read what `flash` has left; None for anything else."""
    try:
        kind, text = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
    except (binascii.Error, ValueError, TypeError):
        return None
    if kind not in ("done", "failed") or not isinstance(text, str):
        return None
    return kind, text[:LONGEST_FLASH]


def show_time(value: Timestamp | datetime.datetime | None, absent: str = "never") -> str:
    """Show a time in UTC, to the minute, with the exact one for machines; `absent` for one that is not set."""
    if isinstance(value, Timestamp):
        value = value.ToDatetime(datetime.UTC) if value.seconds or value.nanos else None
    if value is None:
        return absent
    moment = value.astimezone(datetime.UTC)
    exact = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Markup('<time datetime="{}" title="{}">{} UTC</time>').format(
        exact, exact, f"{moment.day} {moment:%b %Y, %H:%M}"
    )


def plural(count: int, one: str, many: str = "") -> str:
    """Show a count with its noun: `1 user`, `100,000 users`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
