"""Pages of a list as addresses name them: `page` is the token that the service gave, and everything else stays."""

from __future__ import annotations

from urllib.parse import urlencode

from console.request import Request

PAGE_SIZE = 50
"""Rows of a page."""


def page_token(req: Request, name: str = "page") -> str:
    """Return the token of the page that is asked for; empty: the first."""
    return query_text(req, name)


def query_text(req: Request, name: str) -> str:
    """Return one text of an address's query, without the white space around it; empty where there is none."""
    return (req.get_param(name, default="") or "").strip()


def next_page(req: Request, token: str, name: str = "page") -> str | None:
    """Return the address of the page that a token is of; None for an empty one, which the last page has."""
    return _address(req, {name: token}) if token else None


def first_page(req: Request, name: str = "page") -> str | None:
    """Return the address of the first page of the list; None where that is the one that is shown."""
    return _address(req, {name: ""}) if page_token(req, name) else None


def _address(req: Request, changed: dict[str, str]) -> str:
    given = {name: value[0] if isinstance(value, list) else value for name, value in req.params.items()}
    query = urlencode({name: value for name, value in (given | changed).items() if value})
    return f"{req.path}?{query}" if query else req.path
