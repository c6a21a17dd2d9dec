"""Any request at all: every route there is, and requests that nobody would send."""

from __future__ import annotations

import json
from typing import Any

import falcon.inspect
import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.app import Deps, create_app
from gateway.directory import Directory
from tests.gateway.edge import (
    CONNECTION,
    ENTERPRISE_URN,
    GROUP_URN,
    LIST_URN,
    PATCH_URN,
    RAW_PATH,
    SCIM,
    USER_URN,
    ScriptedDirectory,
    assert_scim_error,
    gateway,
    scripted,
)
from tests.gateway.edge import settings as gateway_settings
from tests.gateway.scim_client import Scim

PUBLIC = {"/healthz", "/readyz"}
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "PROPFIND", "BREW"]


def routes() -> list[str]:
    """Every path that the application's router knows."""
    app = create_app(Deps(gateway_settings("127.0.0.1:1"), Directory("127.0.0.1:1", "x")))
    return [route.path for route in falcon.inspect.inspect_routes(app)]


def test_the_router_has_nothing_outside_the_connections_but_health() -> None:
    """SECURITY: "Every path under `/scim/v2/{connection_id}` needs a token of that connection"."""
    base = "/scim/v2/{connection_id}"
    assert {path for path in routes() if path != base and not path.startswith(f"{base}/")} == PUBLIC


@pytest.mark.parametrize("path", sorted(set(routes()) - PUBLIC))
async def test_anonymous_is_401_on_every_route_with_every_method(path: str) -> None:
    """SECURITY, CVE-2025-4210: "enumerate the router; anonymous is 401 everywhere"."""
    directory = ScriptedDirectory()
    filled = path.format(connection_id=CONNECTION, user_id="u", group_id="g", document_id="User")
    async with scripted(directory) as target, gateway(target) as client:
        for method in METHODS:
            response = await client.request(method, filled, content=b"{}")
            assert response.status_code == 401, method
            assert response.headers["www-authenticate"] == "Bearer"
            if method != "HEAD":
                assert_scim_error(response, 401)
    assert directory.calls == []


SAFE_TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
NAMES = st.sampled_from(
    [
        "userName", "USERNAME", "displayName", "members", "emails", "name", "active", "id", "meta", "schemas", "groups",
        "password", "externalId", "addresses", "x509Certificates", "value", "type", "primary", "$ref", "display",
        "Operations", "op", "path", "Op", "manager", "familyName", ENTERPRISE_URN, USER_URN, GROUP_URN, "urn:x:y",
        f"{ENTERPRISE_URN}:department", "name.givenName", 'emails[type eq "work"].value',
    ]
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from(["work", "True", "add", "Replace", "remove", "a@b", "\x00", "2020-01-01T00:00:00Z"])
    | NAMES
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | SAFE_TEXT, inner, max_size=5),
    max_leaves=12,
)
OPERATIONS = st.fixed_dictionaries(
    {"op": st.sampled_from(["add", "Replace", "remove", "x"])},
    optional={"path": NAMES | SAFE_TEXT | st.none(), "value": VALUES},
)
BODIES = st.one_of(
    st.binary(max_size=40),
    VALUES.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(NAMES, VALUES, max_size=6).map(lambda value: json.dumps(value).encode()),
    st.lists(OPERATIONS, max_size=4).map(
        lambda operations: json.dumps({"schemas": [PATCH_URN], "Operations": operations}).encode()
    ),
    st.dictionaries(NAMES, VALUES, max_size=3).map(
        lambda value: json.dumps({"userName": "fuzz", "displayName": "fuzz", **value}).encode()
    ),
)
PATHS = st.sampled_from(
    [
        "/Users",
        "/Users/{user}",
        "/Groups",
        "/Groups/{group}",
        "/Users/.search",
        "/Groups/.search",
        "/Schemas",
        "/Users/x",
    ]
)
FILTERS = st.sampled_from(
    [
        'userName eq "a"',
        "emails[type pr]",
        'name.familyName gt "b"',
        "members.value pr",
        'meta.created lt "2030-01-01T00:00:00Z"',
    ]
)
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(
            ["filter", "startIndex", "count", "cursor", "attributes", "excludedAttributes", "sortBy", "sortOrder", "x"]
        ),
        SAFE_TEXT | NAMES | FILTERS | st.integers(-5, 500).map(str) | st.text(max_size=8),
    ),
    max_size=4,
)
HEADERS = st.dictionaries(
    st.sampled_from(["If-Match", "If-None-Match", "Content-Type", "Accept", "X-Request-Id", "traceparent", "Host"]),
    st.sampled_from(["*", 'W/"1"', '"2"', "", SCIM, "application/json", "text/plain", "a,b", '"', "\x7f"]),
    max_size=3,
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(METHODS), PATHS, QUERIES, BODIES, HEADERS)
async def test_no_request_gets_anything_but_scim(
    scim: Scim, method: str, path: str, query: list[tuple[str, str]], body: bytes, headers: dict[str, str]
) -> None:
    """WIRE: "a body that is not SCIM JSON … breaks the task"; whatever comes, never a 500."""
    user = (await scim.get("/Users?count=1"))["Resources"] or [await scim.create_user()]
    group = (await scim.get("/Groups?count=1"))["Resources"] or [await scim.create_group("Team", user[0]["id"])]
    target = scim.base + path.format(user=user[0]["id"], group=group[0]["id"])
    sent: dict[str, str] = {"Content-Type": SCIM, **headers, **scim.headers}
    response = await scim.http.request(method, target, params=query, content=body, headers=sent)
    check(method, response)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#"), max_size=40), st.booleans())
async def test_no_path_gets_anything_but_scim(scim: Scim, tail: str, below: bool) -> None:
    """SECURITY: "One parse of the path": any path is a route, or 404 with a token and 401 without."""
    raw = (scim.base + "/" if below else "/") + tail
    check("GET", await scim.http.get("/", headers={**scim.headers, RAW_PATH: raw}))
    anonymous = await scim.http.get("/", headers={RAW_PATH: raw})
    assert anonymous.status_code == 401 or raw in PUBLIC


def check(method: str, response: httpx.Response) -> None:
    """Check that an answer is a SCIM resource, a SCIM list or a SCIM error."""
    assert response.status_code in {200, 201, 204, 304, 400, 403, 404, 405, 409, 412, 413, 415, 501}, response.text
    assert response.headers["x-request-id"]
    if response.status_code in (204, 304) or method in ("HEAD", "OPTIONS"):
        assert response.content == b""
        return
    assert response.headers["content-type"] == SCIM
    body: Any = response.json()
    if response.status_code >= 400:
        assert body["status"] == str(response.status_code)
        assert body["detail"]
        return
    assert body["schemas"]
    if LIST_URN in body["schemas"]:
        assert body["itemsPerPage"] == len(body["Resources"])
