"""The console's cookies: out of reach for scripts, of this host alone, and over TLS only where there is TLS.

Where it is (RFC 6265bis §4.1.3.2), a name begins with `__Host-`: no other host of the domain can set such a cookie.
"""

from __future__ import annotations

import datetime

from console.request import Request, Response

SESSION = "rollcall_session"
"""Holds the session's token."""
VISITOR = "rollcall_visitor"
"""Ties the forms of somebody who has not signed in to one browser."""
FLASH = "rollcall_flash"
"""What the next page shall say."""
OPENID = "rollcall_openid"
"""What a sign-in with an OpenID provider that is under way has to come back with."""

_OVER = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _name(name: str, is_secure: bool) -> str:
    return f"__Host-{name}" if is_secure else name


def get(req: Request, resp: Response, name: str) -> str:
    """Return the value of a cookie; empty when there is none, or more than one, which no browser of ours sends."""
    values = req.get_cookie_values(_name(name, resp.context.is_secure)) or []
    return values[0] if len(values) == 1 else ""


def put(resp: Response, name: str, value: str, *, seconds: int | None = None) -> None:
    """Set a cookie for some seconds; None: until the browser ends."""
    secure = resp.context.is_secure
    resp.set_cookie(
        _name(name, secure), value, max_age=seconds, path="/", secure=secure, http_only=True, same_site="Lax"
    )


def drop(resp: Response, name: str) -> None:
    """Have the browser forget a cookie."""
    secure = resp.context.is_secure
    # Falcon's own way leaves out `Secure`, without which a browser refuses to change a cookie of such a name.
    resp.set_cookie(_name(name, secure), "", expires=_OVER, path="/", secure=secure, http_only=True, same_site="Lax")
