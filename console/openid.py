"""Signing in with an OpenID provider: discovery, the code flow with PKCE, and what the ID token has to say.

OpenID Connect Core 1.0 §3.1, Discovery 1.0 §4; RFC 7636 (PKCE), RFC 9207 (the issuer in the answer). The provider says
who somebody is; whether that person may administer, the directory says.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import httpx2
import orjson
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from console.settings import ConsoleSettings

SECONDS = 5.0
"""How long the provider may take to answer one request."""
METADATA_SECONDS = 3600.0
"""For how long what the provider says of itself, and its keys, are believed."""
LEEWAY_SECONDS = 60
"""How far its clock may be from ours."""
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures by the provider's own key; none by a secret that the console has too."""


class OpenIdRefused(Exception):
    """The provider did not answer, or not with what signs somebody in; the text is for the person."""


@dataclass(frozen=True, slots=True)
class OpenIdPerson:
    """Whom the provider has signed in, and where the browser goes then."""

    issuer: str
    subject: str
    email: str
    destination: str


@dataclass(frozen=True, slots=True)
class _Provider:
    metadata: dict[str, Any]
    keys: KeySet
    until: float


class OpenId:
    """A client of the one provider of the settings."""

    def __init__(self, settings: ConsoleSettings) -> None:
        self._issuer = settings.openid_issuer.rstrip("/")
        self._client_id = settings.openid_client_id
        assert settings.openid_client_secret_file is not None  # the settings refuse an issuer without it
        self._client_secret = settings.openid_client_secret_file.read_text().strip()
        self._redirect_uri = f"{settings.public_url}/sign-in/openid/callback"
        self._provider: _Provider | None = None

    async def begin(self, destination: str) -> tuple[str, str]:
        """Return where the browser has to go, and what it has to bring back. Raises OpenIdRefused."""
        provider = await self._known()
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        location, _ = self._client().create_authorization_url(
            provider.metadata["authorization_endpoint"],
            state=state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),  # type: ignore[no-untyped-call]
            code_challenge_method="S256",
        )
        pending = orjson.dumps([state, nonce, verifier, destination])
        return location, base64.urlsafe_b64encode(pending).decode().rstrip("=")

    async def finish(self, query: str, pending: str) -> OpenIdPerson:
        """Say whom the provider has signed in. Raises OpenIdRefused."""
        state, nonce, verifier, destination = _read(pending)
        given = {name: values[0] for name, values in parse_qs(query).items() if len(values) == 1}
        if not hmac.compare_digest(given.get("state", "").encode(), state.encode()):
            raise OpenIdRefused("This sign-in was begun in another browser, or too long ago. Begin again.")
        if "error" in given:
            raise OpenIdRefused("The identity provider did not sign you in.")
        provider = await self._known()
        # RFC 9207 §2.4: an answer that another provider has made is refused before its code is sent anywhere.
        if given.get("iss", provider.metadata["issuer"]) != provider.metadata["issuer"] or not given.get("code"):
            raise OpenIdRefused("The identity provider's answer is not one to this sign-in. Begin again.")
        try:
            async with self._client() as client:
                token = await client.fetch_token(
                    provider.metadata["token_endpoint"], code=given["code"], code_verifier=verifier
                )
        # Whatever the library makes of an answer that is none: a person can only begin again.
        except Exception as error:
            raise OpenIdRefused("The identity provider did not confirm the sign-in. Begin again.") from error
        claims = await self._claims(token, nonce)
        email = claims.get("email")
        if not isinstance(email, str) or not email:
            raise OpenIdRefused("The identity provider does not tell your e-mail address.")
        if claims.get("email_verified") is not True:
            raise OpenIdRefused("The identity provider has not verified your e-mail address.")
        return OpenIdPerson(claims["iss"], claims["sub"], email, destination)

    async def _claims(self, token: dict[str, Any], nonce: str) -> dict[str, Any]:
        provider = await self._known()
        text = token.get("id_token")
        if not isinstance(text, str):
            raise OpenIdRefused("The identity provider does not say who you are.")
        try:
            try:
                decoded = self._decode(text, provider)
            except (JoseError, ValueError):
                # It may have changed its keys since they were read.
                provider = await self._known(anew=True)
                decoded = self._decode(text, provider)
            claims = CodeIDToken(
                decoded.claims,
                decoded.header,
                options={
                    "iss": {"essential": True, "value": provider.metadata["issuer"]},
                    "aud": {"essential": True, "value": self._client_id},
                    "nonce": {"essential": True, "value": nonce},
                },
                params={
                    "nonce": nonce,
                    "client_id": self._client_id,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise OpenIdRefused("What the identity provider says of you cannot be trusted.") from error
        return dict(claims)

    @staticmethod
    def _decode(text: str, provider: _Provider) -> jwt.Token:
        return jwt.decode(text, provider.keys, registry=JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False))

    def _client(self) -> Any:
        return AsyncOAuth2Client(
            self._client_id,
            self._client_secret,
            scope="openid email profile",
            redirect_uri=self._redirect_uri,
            timeout=SECONDS,
            trust_env=False,
            follow_redirects=False,
        )

    async def _known(self, *, anew: bool = False) -> _Provider:
        """Return what the provider says of itself, read again after an hour. Raises OpenIdRefused."""
        now = asyncio.get_running_loop().time()
        if self._provider is None or self._provider.until <= now or anew:
            try:
                self._provider = await self._discover(now + METADATA_SECONDS)
            except (httpx2.HTTPError, JoseError, ValueError, TypeError, KeyError) as error:
                raise OpenIdRefused("The identity provider does not answer. Try again in a moment.") from error
        return self._provider

    async def _discover(self, until: float) -> _Provider:
        async with httpx2.AsyncClient(timeout=SECONDS, trust_env=False, follow_redirects=False) as client:
            metadata = await _json(client, f"{self._issuer}/.well-known/openid-configuration")
            # Discovery 1.0 §4.3: whoever answers in another's name is not believed.
            if str(metadata["issuer"]).rstrip("/") != self._issuer:
                raise ValueError("the issuer is another one")
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                if not isinstance(metadata[name], str):
                    raise ValueError(f"{name} is no URL")
            keys = KeySet.import_key_set(await _json(client, metadata["jwks_uri"]))
        return _Provider(metadata, keys, until)


async def _json(client: httpx2.AsyncClient, url: str) -> Any:
    answer = await client.get(url)
    answer.raise_for_status()
    return answer.json()


def _read(pending: str) -> tuple[str, str, str, str]:
    try:
        found = orjson.loads(base64.urlsafe_b64decode(pending + "=" * (-len(pending) % 4)))
        state, nonce, verifier, destination = map(str, found)
    except (binascii.Error, ValueError, TypeError):
        raise OpenIdRefused("This sign-in was begun in another browser, or too long ago. Begin again.") from None
    return state, nonce, verifier, destination
