"""Signing in and out of the console: who gets in, and what a browser is given (SECURITY)."""

from __future__ import annotations

import secrets

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rollcall.directory.v1 import administrator_service_pb2 as pb
from rollcall.directory.v1 import administrator_service_pb2_grpc as pb_grpc

from console.middleware import CONTENT_SECURITY_POLICY
from console.pages.sign_in import local_path
from tests.console.conftest import HOST, PASSWORD, Console, Person, browser, form_token, make_person, running, settings
from tests.stack import Stack


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    """The Set-Cookie lines of an answer by name."""
    return {line.partition("=")[0]: line for line in answer.headers.get_list("set-cookie")}


async def sign_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD, next: str = "/") -> httpx.Response:
    """Fill the form in and send it."""
    shown = await client.get("/sign-in")
    data = {"csrf_token": form_token(shown.text), "email": email, "password": password, "next": next}
    return await client.post("/sign-in", data=data)


async def test_whoever_has_not_signed_in_is_sent_to_the_sign_in_and_back(console: Console) -> None:
    """The rule: "303 to `/sign-in?next=…`, next only a local path"."""
    answer = await console.stranger.get("/account?x=1")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2Faccount%3Fx%3D1")
    shown = await console.stranger.get(answer.headers["location"])
    assert 'name="next" value="/account?x=1"' in shown.text
    done = await sign_in(console.stranger, console.person.email, next="/account?x=1")
    assert (done.status_code, done.headers["location"]) == (303, "/account?x=1")
    assert console.person.email in (await console.stranger.get("/account")).text
    again = await console.stranger.get("/sign-in?next=/account")
    assert (again.status_code, again.headers["location"]) == (303, "/account")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"])
@pytest.mark.parametrize(
    "path", ["/", "/account", "/sign-out", "/nothing", "/sign-inx", "/static", "//sign-in", "/./x"]
)
async def test_nothing_is_shown_to_a_stranger(console: Console, method: str, path: str) -> None:
    """The rule: "all routes but `/sign-in*`, `/static/*`, `/healthz`, `/readyz` demand it"."""
    answer = await console.stranger.request(method, path)
    assert answer.status_code == 303
    assert answer.headers["location"].partition("?")[0] == "/sign-in"


async def test_every_route_demands_a_session(console: Console) -> None:
    """The same for every path that the router knows, whoever added it."""
    routes = [route for route in every_route(console) if not route.startswith(("/sign-in", "/static/"))]
    assert "/account" in routes
    for route in routes:
        path = "/".join("x" if part.startswith("{") else part for part in route.split("/"))
        answer = await console.stranger.get(path)
        wanted = 200 if route in ("/healthz", "/readyz") else 303
        assert answer.status_code == wanted, route


def every_route(console: Console) -> list[str]:
    """The URI templates of the application."""
    found = []

    def walk(nodes: list[object]) -> None:
        for node in nodes:
            if getattr(node, "resource", None) is not None:
                found.append(str(getattr(node, "uri_template", "")))
            walk(getattr(node, "children", []))

    walk(console.app._router._roots)
    return found


@pytest.mark.parametrize("case", ["wrong password", "unknown address", "no address"])
async def test_what_is_wrong_with_a_sign_in_is_not_told(console: Console, case: str) -> None:
    """The rule: "same answer for unknown e-mail, wrong password and disabled account"."""
    email = {"wrong password": console.person.email, "unknown address": f"{secrets.token_hex(6)}@x.com"}.get(case, "x")
    answer = await sign_in(console.stranger, email, "not the password")
    assert answer.status_code == 403
    assert "The e-mail address or the password is wrong, or the account is disabled." in answer.text
    assert "not the password" not in answer.text
    assert "rollcall_session" not in cookies_of(answer)


async def test_empty_fields_are_told_beside_them(console: Console) -> None:
    """The agreement: "errors collected by field to be shown beside it"."""
    answer = await sign_in(console.stranger, " ", "")
    assert answer.status_code == 422
    assert 'id="email-error"' in answer.text
    assert 'aria-describedby="password-error"' in answer.text


async def test_too_many_attempts_are_told_with_the_time_to_wait(console: Console) -> None:
    """The rule: "rate-limited … with increasing delay"."""
    email = f"{secrets.token_hex(6)}@example.com"
    statuses = [(await sign_in(console.stranger, email, "x")).status_code for _ in range(5)]
    assert statuses == [403] * 5
    answer = await sign_in(console.stranger, email, "x")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    assert "Too many attempts to sign in. Try again in 1 second." in answer.text


async def test_the_session_is_out_of_reach_for_scripts_and_other_sites(console: Console) -> None:
    """The rule: "HttpOnly, SameSite=Lax, … Path=/"; what a browser had before it signed in counts no more."""
    before = await console.stranger.get("/sign-in")
    visitor = before.cookies["rollcall_visitor"]
    answer = await sign_in(console.stranger, console.person.email)
    line = cookies_of(answer)["rollcall_session"]
    parts = {part.strip().lower() for part in line.split(";")[1:]}
    assert {"httponly", "samesite=lax", "path=/"} <= parts
    assert "secure" not in parts
    assert not any(part.startswith("domain") for part in parts)
    assert "expires=Thu, 01 Jan 1970" in cookies_of(answer)["rollcall_visitor"]
    assert visitor not in line


async def test_over_https_cookies_are_of_this_host_alone(console_stack: Stack, person: Person) -> None:
    """RFC 6265bis §4.1.3.2: `__Host-` demands Secure, Path=/ and no Domain; so no other host can set them."""
    host = "https://console.test"
    async with (
        running(settings(console_stack, public_url=host), console_stack) as app,
        browser(app, host=host) as client,
    ):
        shown = await client.get("/sign-in")
        assert shown.headers["strict-transport-security"] == "max-age=31536000"
        answer = await sign_in(client, person.email)
        for name, line in cookies_of(answer).items():
            assert name.startswith("__Host-rollcall_")
            parts = {part.strip().lower() for part in line.split(";")[1:]}
            assert {"secure", "path=/", "httponly", "samesite=lax"} <= parts
            assert not any(part.startswith("domain") for part in parts)
        assert (await client.get("/account")).status_code == 200
        # A cookie without the prefix can come from any host of the domain.
        async with browser(app, person, host=host) as planted:
            assert (await planted.get("/account")).status_code == 303


async def test_a_session_that_the_browser_was_given_by_others_does_not_become_good(console: Console) -> None:
    """The rule: "session fixation impossible": a token is only ever made by the directory, at the sign-in."""
    planted = f"rollcall_session_{secrets.token_urlsafe(32)}"
    console.stranger.cookies.set("rollcall_session", planted, domain="console.test", path="/")
    answer = await sign_in(console.stranger, console.person.email)
    assert answer.status_code == 303
    assert console.stranger.cookies["rollcall_session"] != planted
    async with browser(console.app) as other:
        other.cookies.set("rollcall_session", planted, domain="console.test", path="/")
        assert (await other.get("/account")).status_code == 303


async def test_signing_out_ends_the_session_everywhere(console: Console, console_stack: Stack) -> None:
    """The rule: the session ends here and in the directory."""
    leaver = make_person(console_stack)
    async with browser(console.app, leaver) as client, browser(console.app, leaver) as copied:
        shown = await client.get("/account")
        answer = await client.post("/sign-out", data={"csrf_token": form_token(shown.text)})
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert "expires=Thu, 01 Jan 1970" in cookies_of(answer)["rollcall_session"]
        assert (await copied.get("/account")).status_code == 303


@pytest.mark.parametrize(
    "case", ["no token", "another session's", "empty", "foreign origin", "foreign site", "null origin", "not a form"]
)
async def test_a_form_that_is_not_ours_does_nothing(console: Console, console_stack: Stack, case: str) -> None:
    """The agreement: "CSRF token checked by middleware on every POST, before the handler"."""
    shown = await console.client.get("/account")
    token = form_token(shown.text)
    headers: dict[str, str] = {}
    if case == "no token":
        data = {}
    elif case == "another session's":
        async with browser(console.app, make_person(console_stack)) as other:
            data = {"csrf_token": form_token((await other.get("/account")).text)}
    else:
        data = {"csrf_token": "" if case == "empty" else token}
    if case == "foreign origin":
        headers["Origin"] = "https://evil.example"
    elif case == "null origin":
        headers["Origin"] = "null"
    elif case == "foreign site":
        headers["Sec-Fetch-Site"] = "cross-site"
    if case == "not a form":
        answer = await console.client.post("/sign-out", json=data)
        assert answer.status_code == 415
    else:
        answer = await console.client.post("/sign-out", data=data, headers=headers)
        assert answer.status_code == 403
    assert (await console.client.get("/account")).status_code == 200


async def test_a_sign_in_cannot_be_forged_either(console: Console) -> None:
    """The rule: "sign-in CSRF too": a form is of the browser that loaded it."""
    async with browser(console.app) as attacker:
        token = form_token((await attacker.get("/sign-in")).text)
    data = {"csrf_token": token, "email": console.person.email, "password": PASSWORD}
    answer = await console.stranger.post("/sign-in", data=data)
    assert answer.status_code == 403
    assert "rollcall_session" not in cookies_of(answer)


@pytest.mark.parametrize(
    "text",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "evil", "",
     "javascript:alert(1)", "/\n/evil.example", "///evil.example", "/x\\..\\y", "http:/evil.example"],
)  # fmt: skip
async def test_a_sign_in_leads_nowhere_else(console: Console, text: str) -> None:
    """The rule: "open redirect impossible"."""
    assert local_path(text) == "/"
    answer = await sign_in(console.stranger, console.person.email, next=text)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


@given(st.text(alphabet=st.sampled_from("/\\:.?#@ \t\n%ahtps")))
def test_whatever_the_next_page_is_said_to_be_it_is_of_this_host(text: str) -> None:
    """The same, for any text: resolved as a browser does, the host is ours."""
    target = httpx.URL(f"{HOST}/sign-in").join(local_path(text))
    assert (target.scheme, target.host) == ("http", "console.test")


async def test_a_link_makes_the_first_account_and_reading_it_does_not_use_it(console: Console) -> None:
    """The rule: "first account made … by the one-time link"; programs that look at links only read them."""
    admin = pb_grpc.AdministratorServiceStub(console.stack.channel("directory", "admin"))
    token = admin.CreateSignInLink(pb.CreateSignInLinkRequest()).link_token
    path = f"/sign-in/link/{token}"
    for _ in range(2):
        shown = await console.stranger.get(path)
        assert shown.headers["referrer-policy"] == "same-origin"
        assert "Create your account" in shown.text
    data = {"csrf_token": form_token(shown.text), "email": "x", "password": "short", "password_again": "other"}
    refused = await console.stranger.post(path, data=data)
    assert refused.status_code == 422
    for field in ("password", "password_again"):
        assert f'id="{field}-error"' in refused.text
    data |= {"password": PASSWORD, "password_again": PASSWORD}
    refused = await console.stranger.post(path, data=data)
    assert 'id="email-error"' in refused.text
    email = f"{secrets.token_hex(6)}@example.com"
    done = await console.stranger.post(path, data=data | {"email": email, "name": "Grace"})
    assert (done.status_code, done.headers["location"]) == (303, "/")
    assert email in (await console.stranger.get("/account")).text
    used = await console.stranger.get(path)
    assert used.status_code == 404
    assert "used already" in used.text


async def test_a_link_chooses_a_new_password(console: Console) -> None:
    """Proto: "or to choose a new password for one"."""
    someone = make_person(console.stack)
    admin = pb_grpc.AdministratorServiceStub(console.stack.channel("directory", "admin"))
    link = admin.CreateSignInLink(pb.CreateSignInLinkRequest(administrator_id=someone.id)).link_token
    shown = await console.stranger.get(f"/sign-in/link/{link}")
    assert someone.email in shown.text
    assert 'name="email"' not in shown.text
    data = {"csrf_token": form_token(shown.text), "password": "another password", "password_again": "another password"}
    assert (await console.stranger.post(f"/sign-in/link/{link}", data=data)).status_code == 303
    async with browser(console.app, someone) as before:
        assert (await before.get("/account")).status_code == 303


async def test_one_changes_ones_own_password(console: Console) -> None:
    """Proto, SetPassword: "but for the one that is named": this browser stays signed in."""
    someone = make_person(console.stack)
    async with browser(console.app, someone) as client:
        token = form_token((await client.get("/account")).text)
        data = {"csrf_token": token, "password": "another password", "password_again": "another password"}
        wrong = await client.post("/account", data=data | {"current_password": "x"})
        assert wrong.status_code == 422
        assert 'id="current_password-error"' in wrong.text
        done = await client.post("/account", data=data | {"current_password": PASSWORD})
        assert done.status_code == 303
        shown = await client.get("/account")
        assert "Your password is changed." in shown.text
        # Said once.
        assert "Your password is changed." not in (await client.get("/account")).text


async def test_every_answer_has_the_headers_that_keep_a_page_to_itself(console: Console) -> None:
    """The agreement: CSP without inline script, nosniff, Referrer-Policy, no-store on pages."""
    for client, path in ((console.client, "/account"), (console.stranger, "/sign-in"), (console.client, "/nothing")):
        answer = await client.get(path)
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "strict-transport-security" not in answer.headers
        assert answer.headers["x-request-id"]
        assert "<script>" not in answer.text
        assert "style=" not in answer.text


async def test_static_files_are_kept_for_ever_and_nothing_else_is_served(console: Console) -> None:
    """The brief: "immutable, from the package, no directory listing"."""
    shown = (await console.stranger.get("/sign-in")).text
    href = shown.partition('rel="stylesheet" href="')[2].partition('"')[0]
    answer = await console.stranger.get(href)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    older = await console.stranger.get("/static/0000000000000000/console.css")
    assert (older.status_code, older.headers["cache-control"]) == (200, "no-cache")
    for path in ("/static/", "/static/x/", "/static/x/nothing.css", "/static/x/..%2f__init__.py", "/static/x/%2e%2e"):
        assert (await console.stranger.get(path)).status_code == 404, path


async def test_the_probes_tell_whether_somebody_could_sign_in(console: Console, console_stack: Stack) -> None:
    """DELIVERY: an orchestrator asks; the directory away is not ready, and the process lives all the same."""
    assert (await console.stranger.get("/healthz")).json() == {"status": "alive"}
    assert (await console.stranger.get("/readyz")).json() == {"status": "ready"}
    away = settings(console_stack, directory_target="127.0.0.1:1")
    async with running(away, console_stack) as app, browser(app, console.person) as client:
        assert (await client.get("/healthz")).status_code == 200
        answer = await client.get("/account")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "does not answer" in answer.text
        assert "Try again" in answer.text
        assert (await client.get("/sign-in")).status_code == 503
        assert (await client.get("/readyz")).status_code == 503


async def test_a_form_has_limits(console: Console) -> None:
    """The agreement: "urlencoded, ≤ 64 KiB"."""
    long = await console.client.post("/account", content=b"a=" + b"x" * 65_536, headers={"Content-Type": ""})
    assert long.status_code == 413
    for body in (b"a=%FF", b"a=%00", b"\xff=1", b"&".join(b"a=1" for _ in range(1001)), b"nothing"):
        answer = await console.client.post("/account", content=body)
        assert answer.status_code == 400, body[:20]
