"""The two servers that are compared, each as one function from a request to an answer, both in this process."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from scim2_server.applications.wsgi import WSGIApplication
from scim2_server.memory import InMemoryStorage
from scim2_server.utils import load_default_provider

from tests.fuzz.server import InProcess
from tests.gateway.edge import SCIM


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    headers: dict[str, str]
    body: Any


class Rollcall:
    """The gateway and the directory; each scenario has a connection of its own."""

    def __init__(self, server: InProcess) -> None:
        self._server = server
        server.connect()
        self.base_url = f"http://gateway.test/scim/v2/{server.connection}"

    def send(self, method: str, target: str, body: Any = None) -> Answer:
        """Send a request whose target is relative to the base URL."""
        content = b"" if body is None else json.dumps(body).encode()
        status, headers, answered = self._server.exchange(method, target, [], content)
        return Answer(status, headers, json.loads(answered) if answered else None)


class Oracle:
    """scim2-server with its in-memory storage, empty for each scenario."""

    base_url = "http://oracle.test/v2"

    def __init__(self) -> None:
        self._app = WSGIApplication(InMemoryStorage(), load_default_provider())

    def send(self, method: str, target: str, body: Any = None) -> Answer:
        """Send a request whose target is relative to the base URL."""
        content = b"" if body is None else json.dumps(body).encode()
        parts = urlsplit(target)
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": f"/v2{parts.path}",
            "QUERY_STRING": parts.query,
            "SERVER_NAME": "oracle.test",
            "SERVER_PORT": "80",
            "HTTP_HOST": "oracle.test",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(content),
            "CONTENT_TYPE": SCIM,
            "CONTENT_LENGTH": str(len(content)),
        }
        started: list[Any] = []
        pieces = b"".join(self._app(environ, lambda status, headers: started.extend((status, headers))))  # type: ignore[arg-type]
        status, headers = started
        return Answer(
            int(status.split()[0]),
            {name.lower(): value for name, value in headers},
            json.loads(pieces) if pieces else None,
        )
