"""What the console knows of one request beside its path and headers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import falcon.asgi

if TYPE_CHECKING:
    from console.forms import Form
    from console.rendering import Templates


@dataclass(frozen=True, slots=True)
class Administrator:
    """The person who has signed in."""

    id: str
    email: str
    name: str


class Context:
    """The state of one request; each has its own, and nothing is kept on resources."""

    __slots__ = (
        "administrator",
        "client_address",
        "csrf_token",
        "flash",
        "form",
        "request_id",
        "session_token",
        "started",
        "templates",
        "visitor_token",
    )

    def __init__(self) -> None:
        self.started = 0.0
        """On the clock of the event loop, in seconds."""
        self.request_id = ""
        self.client_address = ""
        """Beyond the proxies that are trusted, the nearest that is not."""
        self.administrator: Administrator | None = None
        self.session_token = ""
        """What the browser showed, whether it is good or not; never logged."""
        self.visitor_token = ""
        """What ties the forms of somebody who has not signed in to one browser."""
        self.csrf_token = ""
        """What every form of the page has to send back."""
        self.form: Form | None = None
        """The body, once it is read."""
        self.flash: tuple[str, str] | None = None
        """Kind and text of what the page before left to be said."""
        self.templates: Templates


class Request(falcon.asgi.Request):
    """A request of the console; `context` is its `Context`."""

    context_type = Context
    context: Context  # type: ignore[assignment]


class ResponseContext:
    """What is known of an answer before it is made."""

    __slots__ = ("is_secure",)

    def __init__(self) -> None:
        self.is_secure = False
        """Whether cookies are for TLS alone."""


class Response(falcon.asgi.Response):
    """An answer of the console."""

    context_type = ResponseContext
    context: ResponseContext  # type: ignore[assignment]
