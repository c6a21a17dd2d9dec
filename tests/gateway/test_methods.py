"""HEAD, OPTIONS and methods that a path does not have, on every route (RFC 9110 §9, RFC 7644 §3.2, §3.11)."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from tests.gateway.edge import USER_URN, assert_scim_error, fresh_token
from tests.gateway.scim_client import Scim

READ = {"GET", "HEAD"}
ROUTES: dict[str, set[str]] = {
    "/Users": READ | {"POST"},
    "/Users/.search": {"POST"},
    "/Users/{user}": READ | {"PUT", "PATCH", "DELETE"},
    "/Groups": READ | {"POST"},
    "/Groups/.search": {"POST"},
    "/Groups/{group}": READ | {"PUT", "PATCH", "DELETE"},
    "/ServiceProviderConfig": READ,
    "/ResourceTypes": READ,
    "/ResourceTypes/User": READ,
    "/Schemas": READ,
    f"/Schemas/{USER_URN}": READ,
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "WHATEVER")


@pytest.fixture
async def ids(scim: Scim) -> dict[str, str]:
    """A user and a group."""
    return {"user": (await scim.create_user())["id"], "group": (await scim.create_group())["id"]}


async def test_a_method_is_answered_or_refused_with_those_that_are(scim: Scim, ids: dict[str, str]) -> None:
    """RFC 9110 §15.5.6: "The origin server MUST generate an Allow header field in a 405 response containing a list of
    the target resource's currently supported methods". WIRE: "only GET is allowed" for discovery.
    """
    for route, answered in ROUTES.items():
        path, allowed = route.format(**ids), answered | {"OPTIONS"}
        options = await scim.send("OPTIONS", path)
        assert (options.status_code, options.content) == (200, b"")
        assert options.headers["content-length"] == "0"
        assert methods(options) == allowed, route
        for method in METHODS:
            if method not in allowed:
                refused = await scim.send(method, path)
                if method == "HEAD":
                    assert (refused.status_code, refused.content) == (405, b"")
                else:
                    assert_scim_error(refused, 405)
                assert methods(refused) == allowed, f"{method} {route}"


def methods(response: httpx.Response) -> set[str]:
    """The methods in Allow, each of which stands there once."""
    listed = [method.strip() for method in response.headers["allow"].split(",")]
    assert len(set(listed)) == len(listed)
    return set(listed)


async def test_head_is_get_without_the_body(scim: Scim, ids: dict[str, str]) -> None:
    """RFC 9110 §9.3.2: "The HEAD method is identical to GET except that the server MUST NOT send content"."""
    routes = [route for route, allowed in ROUTES.items() if "HEAD" in allowed]
    for path in (*(route.format(**ids) for route in routes), f"/Users/{ids['user']}?attributes=id", "/Groups?count=0"):
        got, head = await scim.send("GET", path), await scim.send("HEAD", path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        wanted = {"content-type", "content-length", "etag", "location"}
        assert {name: value for name, value in head.headers.items() if name in wanted} == {
            name: value for name, value in got.headers.items() if name in wanted
        }
        assert head.headers["content-length"] == str(len(got.content))


async def test_head_of_an_error_is_that_error_without_its_body(scim: Scim) -> None:
    """RFC 9110 §9.3.2, on an error."""
    errors = {"/Users/nobody": 404, "/Nowhere": 404, "/Users?filter=x": 400, "/Schemas?filter=id%20pr": 403}
    for path, status in errors.items():
        head = await scim.send("HEAD", path)
        assert (head.status_code, head.content) == (status, b"")
        assert head.headers["content-length"] == str(len((await scim.send("GET", path)).content))


async def test_options_of_a_stranger_is_a_whole_401(scim: Scim) -> None:
    """SECURITY: "anonymous is 401 everywhere"; the answer's length is that of its body."""
    for headers in ({}, {"Authorization": f"Bearer {fresh_token()}"}):
        response = await scim.http.request("OPTIONS", f"{scim.base}/Users", headers=headers)
        assert_scim_error(response, 401)
        assert response.headers["content-length"] == str(len(response.content))
        assert "allow" not in response.headers


async def test_me_is_not_implemented_whatever_the_method(scim: Scim) -> None:
    """RFC 7644 §3.11: "A service provider that does NOT support this feature SHOULD respond with HTTP status code 501
    (Not Implemented)"; the detail says why, and what to use.
    """
    for method, path in itertools.product(METHODS, ("/Me", "/Me?attributes=userName")):
        body: Any = {"userName": "me"} if method in ("POST", "PUT", "PATCH") else None
        response = await scim.send(method, path, body)
        assert "allow" not in response.headers
        if method == "HEAD":
            assert (response.status_code, response.content) == (501, b"")
            continue
        detail = assert_scim_error(response, 501)
        assert "connection" in detail
        assert "/Users" in detail
