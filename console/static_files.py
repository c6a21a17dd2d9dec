"""The console's own style sheet, script and pictures, from the package; nothing else, and no listing.

The URL of a file holds a digest of what is in it, so that a browser may keep it for ever and still gets a new one with
a new version.
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from importlib import resources

import falcon

from console.request import Request, Response

FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    digest: str


@cache
def _files() -> dict[str, _File]:
    found: dict[str, _File] = {}
    for entry in resources.files("console").joinpath("static").iterdir():
        if entry.is_file() and not entry.name.startswith("."):
            content = entry.read_bytes()
            media_type = mimetypes.guess_type(entry.name)[0] or "application/octet-stream"
            if media_type.startswith("text/"):
                media_type = f"{media_type}; charset=utf-8"
            found[entry.name] = _File(content, media_type, hashlib.sha256(content).hexdigest()[:16])
    return found


def asset(name: str) -> str:
    """Return the URL of a file in `console/static`. Raises KeyError."""
    return f"/static/{_files()[name].digest}/{name}"


class StaticFiles:
    """`/static/{digest}/{name}`: anybody may read them, for the sign-in page needs them."""

    async def on_get(self, req: Request, resp: Response, digest: str, name: str) -> None:
        """Answer with a file; 404 for what is not one."""
        file = _files().get(name)
        if file is None:
            raise falcon.HTTPNotFound
        resp.content_type = file.media_type
        resp.data = file.content
        # A page of the version before asks for the file by its digest of then, and must not keep this one under it.
        resp.set_header("Cache-Control", FOREVER if digest == file.digest else ASK_AGAIN)
