"""A small OpenID provider on the loopback, with real keys: OpenID Connect Core 1.0 §3.1, Discovery 1.0, RFC 7636."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "rollcall console"
CLIENT_SECRET = "a secret / of the client"


@dataclass
class Grant:
    """What an authorization code stands for."""

    claims: dict[str, Any]
    challenge: str
    redirect_uri: str


@dataclass
class Provider:
    """What the provider knows; a test changes what it says."""

    url: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)}, private=True))
    grants: dict[str, Grant] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    """What it says of itself otherwise than it should."""
    claims: dict[str, Any] = field(default_factory=dict)
    """What it says of a person otherwise than it should; None leaves a claim out."""
    is_down: bool = False
    signs_with: RSAKey | None = None
    """Another key than the one that it tells of."""
    algorithm: str = "RS256"
    requests: list[str] = field(default_factory=list)

    def new_key(self) -> None:
        """Sign with another key from now on, and tell of that one alone."""
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4)}, private=True)

    def authorize(self, location: str, *, subject: str, email: str, verified: bool = True) -> str:
        """Sign a person in, whose browser came to `location`; return where the browser is sent back to."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        assert location.startswith(f"{self.url}/authorize?")
        assert (asked["client_id"], asked["response_type"]) == (CLIENT_ID, "code")
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": subject,
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": asked["nonce"],
            "email": email,
            "email_verified": verified,
        }
        claims = {name: value for name, value in (claims | self.claims).items() if value is not None}
        code = secrets.token_urlsafe(16)
        self.grants[code] = Grant(claims, asked["code_challenge"], asked["redirect_uri"])
        return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.url})}"

    def answer(self, path: str) -> Any:
        """What a GET is answered with."""
        if path == "/.well-known/openid-configuration":
            return {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/jwks",
                "response_types_supported": ["code"],
                "id_token_signing_alg_values_supported": ["RS256"],
            } | self.metadata
        return {"keys": [self.key.as_dict(private=False)]} if path == "/jwks" else None

    def token(self, form: dict[str, str], authorization: str) -> Any:
        """What the token endpoint answers with; None: refused. A code is good once."""
        name, _, secret = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        grant = self.grants.pop(form.get("code", ""), None)
        if grant is None or (unquote(name), unquote(secret)) != (CLIENT_ID, CLIENT_SECRET):
            return None
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != grant.challenge:
            return None
        if form.get("redirect_uri") != grant.redirect_uri or form.get("grant_type") != "authorization_code":
            return None
        key = self.signs_with or self.key
        header = {"alg": self.algorithm, "kid": self.key.kid}
        if self.algorithm == "none":
            parts = [json.dumps(part).encode() for part in (header, grant.claims)]
            id_token = ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), ""])
        else:
            id_token = jwt.encode(header, grant.claims, key)
        return {"access_token": secrets.token_urlsafe(8), "token_type": "Bearer", "id_token": id_token}


@contextmanager
def provider() -> Iterator[Provider]:
    """Run a provider on a free port."""
    known = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known.requests.append(self.path)
            self._send(None if known.is_down else known.answer(self.path))

        def do_POST(self) -> None:
            known.requests.append(self.path)
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            self._send(None if known.is_down else known.token(form, self.headers.get("Authorization", "")))

        def _send(self, content: Any) -> None:
            body = json.dumps(content or {"error": "invalid_request"}).encode()
            self.send_response(400 if content is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    known.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield known
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
