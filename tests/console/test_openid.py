"""Signing in to the console with an OpenID provider: a real one on the loopback, and what it may not get away with."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import RSAKey
from pydantic import ValidationError
from rollcall.directory.v1 import administrator_service_pb2 as pb
from rollcall.directory.v1 import administrator_service_pb2_grpc as pb_grpc

from console.app import App
from tests.console.conftest import HOST, browser, running, settings
from tests.console.openid_provider import CLIENT_ID, CLIENT_SECRET, Provider, provider
from tests.stack import Stack


@dataclass
class World:
    """A console that signs in with a provider, and a browser that has not signed in."""

    provider: Provider
    app: App
    client: httpx.AsyncClient
    administrators: pb_grpc.AdministratorServiceStub

    def account(self) -> str:
        """The e-mail address of a new account that has no password."""
        email = f"{secrets.token_hex(6)}@example.com"
        self.administrators.CreateAdministrator(pb.CreateAdministratorRequest(email=email))
        return email

    async def begin(self, next: str = "/account") -> str:
        """Where the console sends the browser to sign in."""
        answer = await self.client.get(f"/sign-in/openid?next={next}")
        assert answer.status_code == 303
        return str(answer.headers["location"])

    async def finish(self, callback: str) -> httpx.Response:
        """Come back from the provider."""
        return await self.client.get(callback.removeprefix(HOST))

    async def is_refused(self, callback: str, message: str, status: int = 403) -> None:
        """Come back, and not be signed in."""
        answer = await self.finish(callback)
        assert answer.status_code == status
        assert message in answer.text
        assert "rollcall_session" not in answer.headers.get("set-cookie", "")
        assert (await self.client.get("/account")).status_code == 303


@pytest.fixture(scope="module")
def identity_provider() -> Iterator[Provider]:
    """The provider."""
    with provider() as running_provider:
        yield running_provider


@pytest.fixture
async def world(identity_provider: Provider, console_stack: Stack, tmp_path: Path) -> AsyncIterator[World]:
    """A console with a provider that says what it should."""
    known = identity_provider
    known.metadata, known.claims, known.is_down, known.signs_with, known.algorithm = {}, {}, False, None, "RS256"
    secret = tmp_path / "secret"
    secret.write_text(f"{CLIENT_SECRET}\n")
    configuration = settings(
        console_stack,
        public_url=HOST,
        openid_issuer=known.url,
        openid_client_id=CLIENT_ID,
        openid_client_secret_file=secret,
    )
    stub = pb_grpc.AdministratorServiceStub(console_stack.channel("directory", "admin"))
    async with running(configuration, console_stack) as app, browser(app) as client:
        yield World(known, app, client, stub)


async def test_a_person_whom_the_provider_signs_in_is_signed_in(world: World) -> None:
    """Core 1.0 §3.1.2.1, RFC 7636 §4.3: the code flow with state, nonce and PKCE, back to where one wanted to be."""
    email = world.account()
    shown = await world.client.get("/sign-in?next=/account")
    assert 'href="/sign-in/openid?next=%2Faccount"' in shown.text
    location = await world.begin()
    asked = parse_qs(urlsplit(location).query)
    assert asked["redirect_uri"] == [f"{HOST}/sign-in/openid/callback"]
    assert all(len(asked[name][0]) >= 40 for name in ("state", "nonce", "code_challenge"))
    answer = await world.finish(world.provider.authorize(location, subject="1", email=email.upper()))
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    page = (await world.client.get("/account")).text
    assert email in page
    assert world.provider.url in page


async def test_a_person_without_an_account_is_not_let_in(world: World) -> None:
    """The rule: "only for an existing, enabled administrator with that e-mail"."""
    callback = world.provider.authorize(await world.begin(), subject="2", email="nobody@example.com")
    await world.is_refused(callback, "No administrator here has the e-mail address")


async def test_an_account_stays_bound_to_the_person_who_came_first(world: World) -> None:
    """The rule: "binds subject at first use": who gets the address later at the provider is another person."""
    email = world.account()
    first = world.provider.authorize(await world.begin(), subject=secrets.token_hex(4), email=email)
    assert (await world.finish(first)).status_code == 303
    world.client.cookies.clear()
    second = world.provider.authorize(await world.begin(), subject=secrets.token_hex(4), email=email)
    await world.is_refused(second, "No administrator here has the e-mail address")


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"email_verified": False}, "has not verified your e-mail address"),
        ({"email_verified": "true"}, "has not verified your e-mail address"),
        ({"email_verified": None}, "has not verified your e-mail address"),
        ({"email": None}, "does not tell your e-mail address"),
        ({"iss": "https://other.example.com"}, "cannot be trusted"),
        ({"aud": "another client"}, "cannot be trusted"),
        ({"aud": [CLIENT_ID, "another client"]}, "cannot be trusted"),
        ({"azp": "another client"}, "cannot be trusted"),
        ({"nonce": "of another sign-in"}, "cannot be trusted"),
        ({"nonce": None}, "cannot be trusted"),
        ({"exp": int(time.time()) - 3600}, "cannot be trusted"),
        ({"exp": None}, "cannot be trusted"),
        ({"iat": int(time.time()) + 3600}, "cannot be trusted"),
        ({"sub": None}, "cannot be trusted"),
    ],
)
async def test_an_id_token_is_believed_when_all_of_it_is_right(
    world: World, claims: dict[str, object], message: str
) -> None:
    """Core 1.0 §3.1.3.7: issuer, audience, authorized party, times and nonce are each checked."""
    email = world.account()
    world.provider.claims = claims
    callback = world.provider.authorize(await world.begin(), subject="3", email=email)
    await world.is_refused(callback, message)


@pytest.mark.parametrize("case", ["another key", "none", "the client's secret"])
async def test_an_id_token_is_signed_by_the_provider(world: World, case: str) -> None:
    """Core 1.0 §3.1.3.7 number 6: by a key that the provider tells of; neither by nobody nor by a shared secret."""
    email = world.account()
    if case == "another key":
        world.provider.signs_with = RSAKey.generate_key(2048, private=True)
    elif case == "none":
        world.provider.algorithm = "none"
    else:
        from joserfc.jwk import OctKey

        world.provider.algorithm = "HS256"
        world.provider.signs_with = OctKey.import_key(CLIENT_SECRET)  # type: ignore[assignment]
    callback = world.provider.authorize(await world.begin(), subject="4", email=email)
    await world.is_refused(callback, "cannot be trusted")


async def test_a_provider_may_change_its_keys(world: World) -> None:
    """Core 1.0 §10.1.1: keys that are not known are looked for again."""
    email = world.account()
    location = await world.begin()
    world.provider.new_key()
    callback = world.provider.authorize(location, subject=secrets.token_hex(4), email=email)
    assert (await world.finish(callback)).status_code == 303


async def test_an_answer_is_of_the_browser_that_began(world: World) -> None:
    """RFC 6749 §10.12: a callback that somebody else brings about signs nobody in, and one is good once."""
    email = world.account()
    callback = world.provider.authorize(await world.begin(), subject=secrets.token_hex(4), email=email)
    async with browser(world.app) as victim:
        answer = await victim.get(callback.removeprefix(HOST))
        assert answer.status_code == 403
        assert "was begun in another browser" in answer.text
    changed = callback.replace("state=", "state=x")
    await world.is_refused(changed, "was begun in another browser")
    # The attempt has used what the browser had kept.
    await world.is_refused(callback, "was begun in another browser")


async def test_an_answer_of_another_provider_is_not_taken_to_this_one(world: World) -> None:
    """RFC 9207 §2.4: "the client MUST NOT proceed" where `iss` is another one; the code goes nowhere."""
    callback = world.provider.authorize(await world.begin(), subject="5", email=world.account())
    issuer = urlsplit(world.provider.url).netloc.replace(":", "%3A")
    world.provider.requests.clear()
    await world.is_refused(callback.replace(issuer, "evil.example"), "is not one to this sign-in")
    assert "/token" not in world.provider.requests


async def test_a_refusal_of_the_provider_is_told_without_its_words(world: World) -> None:
    """Core 1.0 §3.1.2.6; what stands in an address is anybody's text."""
    state = parse_qs(urlsplit(await world.begin()).query)["state"][0]
    query = f"error=access_denied&error_description=Call+0900&state={state}"
    answer = await world.finish(f"/sign-in/openid/callback?{query}")
    assert answer.status_code == 403
    assert "The identity provider did not sign you in." in answer.text
    assert "0900" not in answer.text


async def test_a_code_is_not_good_with_the_proof_of_another_sign_in(world: World) -> None:
    """RFC 7636 §1: a code that was stolen cannot be used in another browser's sign-in."""
    stolen = world.provider.authorize(await world.begin(), subject="6", email=world.account())
    code = parse_qs(urlsplit(stolen).query)["code"][0]
    state = parse_qs(urlsplit(await world.begin()).query)["state"][0]
    await world.is_refused(f"/sign-in/openid/callback?code={code}&state={state}", "did not confirm the sign-in")


@pytest.mark.parametrize("case", ["down", "another issuer", "no endpoint"])
async def test_a_provider_that_does_not_answer_as_it_should_is_told(world: World, case: str) -> None:
    """Discovery 1.0 §4.3: the issuer "MUST be identical"; the sign-in by password is still there."""
    world.provider.is_down = case == "down"
    if case == "another issuer":
        world.provider.metadata = {"issuer": "https://other.example.com"}
    elif case == "no endpoint":
        world.provider.metadata = {"token_endpoint": None}
    answer = await world.client.get("/sign-in/openid")
    assert answer.status_code == 502
    assert "The identity provider does not answer." in answer.text
    assert 'name="password"' in answer.text


async def test_the_next_page_is_of_this_host(world: World) -> None:
    """The rule: "open redirect impossible", by way of the provider too."""
    email = world.account()
    location = await world.begin("https://evil.example/")
    answer = await world.finish(world.provider.authorize(location, subject=secrets.token_hex(4), email=email))
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_what_openid_needs_comes_together(console_stack: Stack, tmp_path: Path) -> None:
    """House: "Errors are product": each setting that lacks is named."""
    with pytest.raises(ValidationError) as caught:
        settings(console_stack, openid_issuer="https://id.example.com")
    for name in ("openid_client_id", "openid_client_secret_file", "public_url"):
        assert f"{name}: is required where" in str(caught.value)
    empty = tmp_path / "secret"
    empty.write_text("\n")
    for path, rule in ((empty, "is empty"), (tmp_path / "nowhere", "No such file")):
        with pytest.raises(ValidationError, match=rule):
            settings(
                console_stack,
                public_url=HOST,
                openid_issuer="https://id.example.com",
                openid_client_id="x",
                openid_client_secret_file=path,
            )


async def test_without_a_provider_there_is_no_such_page(console_stack: Stack) -> None:
    """What is not configured is not offered."""
    async with running(settings(console_stack), console_stack) as app, browser(app) as client:
        assert "/sign-in/openid" not in (await client.get("/sign-in")).text
        assert (await client.get("/sign-in/openid")).status_code == 404
