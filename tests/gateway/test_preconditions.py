"""Conditional requests: If-Match and If-None-Match on every verb (RFC 7644 §3.14, RFC 9110 §13)."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.gateway.edge import assert_scim_error
from tests.gateway.scim_client import Scim

VERBS = ("GET", "HEAD", "PUT", "PATCH", "DELETE")
KINDS = ("Users", "Groups")

# {0} is the present version and {1} one that is past, as our tags have them: weak.
CONDITIONS: list[tuple[str | None, str | None, str]] = [
    # If-Match, If-None-Match, and what comes of it: "done", "412", or "same" (304 for a read, 412 for a write)
    (None, None, "done"),
    ('W/"{0}"', None, "done"),
    ('"{0}"', None, "done"),
    ("{0}", None, "done"),
    ("W/{0}", None, "done"),
    ('"x", W/"{0}"', None, "done"),
    ('"x","{0}" , "y"', None, "done"),
    ("x, {0}", None, "done"),
    ("*", None, "done"),
    (" * ", None, "done"),
    ("", None, "done"),
    ('W/"{1}"', None, "412"),
    ('"x", "y"', None, "412"),
    ("x, y", None, "412"),
    ('"*"', None, "412"),
    ('"{0}{0}"', None, "412"),
    (",", None, "412"),
    (None, 'W/"{1}"', "done"),
    (None, '"x", "y"', "done"),
    (None, '"*"', "done"),
    (None, "", "done"),
    (None, 'W/"{0}"', "same"),
    (None, '"{0}"', "same"),
    (None, "{0}", "same"),
    (None, '"x", "{0}"', "same"),
    (None, "*", "same"),
    ('W/"{0}"', 'W/"{1}"', "done"),
    ('W/"{0}"', 'W/"{0}"', "same"),
    ("*", "*", "same"),
    ('W/"{1}"', 'W/"{1}"', "412"),
    ('W/"{1}"', "*", "412"),
]


def conditions(match: str | None, none_match: str | None, current: str, past: str) -> dict[str, str]:
    """The headers of a condition."""
    headers = {}
    for name, value in (("If_Match", match), ("If_None_Match", none_match)):
        if value is not None:
            headers[name] = value.replace("{0}", current).replace("{1}", past)
    return headers


async def send(scim: Scim, method: str, path: str, **headers: str) -> httpx.Response:
    """Send a request of a verb that would change the resource, where the verb does so."""
    kind = path.split("/")[1]
    name = {"userName": "ada@example.com"} if kind == "Users" else {"displayName": "Team"}
    body: Any = {
        "PUT": {**name, "externalId": "changed"},
        "PATCH": {"Operations": [{"op": "replace", "path": "externalId", "value": "changed"}]},
    }.get(method)
    return await scim.send(method, path, body, **headers)


def opaque(etag: str) -> str:
    """What stands between the quotes of one of our tags, which are weak (RFC 7644 §3.14)."""
    assert etag.startswith('W/"')
    return etag[3:-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", VERBS)
async def test_a_condition_decides_whether_a_request_is_done(scim: Scim, kind: str, method: str) -> None:
    """RFC 9110 §13.2.2: "When recipient is the origin server and If-Match is present, evaluate the If-Match
    precondition [...] if false, respond 412 [...] When If-None-Match is present [...] if false for GET/HEAD, respond
    304 (Not Modified); if false for other methods, respond 412".
    """
    for match, none_match, outcome in CONDITIONS:
        created = await (scim.create_user() if kind == "Users" else scim.create_group())
        path = f"/{kind}/{created['id']}"
        past = opaque(created["meta"]["version"])
        await scim.patch(path, {"op": "add", "path": "externalId", "value": "first"})
        before = await scim.get(path)
        current = opaque(before["meta"]["version"])
        assert current != past
        response = await send(scim, method, path, **conditions(match, none_match, current, past))
        case = f"{method} If-Match: {match} If-None-Match: {none_match}: {response.status_code} {response.text}"
        reads = method in ("GET", "HEAD")
        if outcome == "done":
            assert response.status_code in (200, 204), case
            after = await scim.send("GET", path)
            if method == "DELETE":
                assert after.status_code == 404, case
            else:
                assert after.json()["externalId"] == ("first" if reads else "changed"), case
        elif outcome == "same" and reads:
            assert (response.status_code, response.content) == (304, b""), case
            assert response.headers["etag"] == before["meta"]["version"], case
        else:
            assert response.status_code == 412, case
            if method != "HEAD":
                assert_scim_error(response, 412)
            assert "etag" not in response.headers, case
            assert await scim.get(path) == before, case
        await scim.send("DELETE", path)


@pytest.mark.parametrize("kind", KINDS)
async def test_every_answer_with_a_resource_has_its_weak_tag(scim: Scim, kind: str) -> None:
    """RFC 7644 §3.14: `meta.version` and the header ETag are the same; a list has none."""
    created = await (scim.create_user() if kind == "Users" else scim.create_group())
    path = f"/{kind}/{created['id']}"
    for method in ("GET", "HEAD", "PUT", "PATCH"):
        response = await send(scim, method, path)
        assert response.headers["etag"] == (await scim.get(path))["meta"]["version"], method
        assert opaque(response.headers["etag"])
    for method, listing in (("GET", f"/{kind}"), ("HEAD", f"/{kind}"), ("POST", f"/{kind}/.search")):
        assert "etag" not in (await scim.send(method, listing, {} if method == "POST" else None)).headers
    assert "etag" not in (await scim.send("DELETE", path)).headers


@pytest.mark.parametrize("kind", KINDS)
async def test_a_write_that_comes_in_between_is_noticed(scim: Scim, kind: str) -> None:
    """RFC 9110 §13.1.1: If-Match is there "to prevent accidental overwrites": of two writers one is refused."""
    created = await (scim.create_user() if kind == "Users" else scim.create_group())
    path, version = f"/{kind}/{created['id']}", created["meta"]["version"]
    for template in ("{}", '"x", {}'):
        condition = {"if_match": template.format(version)}
        answers = await asyncio.gather(
            *(
                scim.patch(path, {"op": "add", "path": "externalId", "value": f"{version} {number}"}, **condition)
                for number in range(5)
            )
        )
        assert sorted(answer.status_code for answer in answers)[1:] == [412] * 4
        version = (await scim.get(path))["meta"]["version"]


@pytest.mark.parametrize("condition", [{"if_match": "*"}, {"if_match": 'W/"1"'}, {"if_none_match": "*"}])
async def test_a_resource_that_is_not_there_is_404_whatever_the_condition(scim: Scim, condition: Any) -> None:
    """RFC 9110 §13.2.1: preconditions are ignored where the answer without them is neither 2xx nor 412."""
    for method in VERBS:
        response = await send(scim, method, "/Users/7d1a1bd6-0a52-4bd1-9ff4-0b1fdc2d1c0e", **condition)
        assert response.status_code == 404, method


@pytest.mark.parametrize("kind", KINDS)
async def test_a_creation_depends_on_no_version(scim: Scim, kind: str) -> None:
    """RFC 9110 §13.1.2: `If-None-Match: *` is for what must not exist yet; what does not exist matches no tag."""
    body = {"userName": "ada", "displayName": "Team"}
    for tags in ("*", 'W/"1"'):
        assert_scim_error(await scim.send("POST", f"/{kind}", body, if_match=tags), 412)
    assert (await scim.get(f"/{kind}"))["totalResults"] == 0
    assert (await scim.send("POST", f"/{kind}", body, if_none_match="*")).status_code == 201
    assert_scim_error(await scim.send("POST", f"/{kind}", body, if_none_match="*"), 409, "uniqueness")


async def test_conditions_on_lists_and_discovery_are_passed_over(scim: Scim) -> None:
    """RFC 9110 §13.2.1: conditions are for methods that select a representation, and a list has no version."""
    for path in ("/Users", "/Groups?count=0", "/Schemas", "/ServiceProviderConfig"):
        response = await scim.send("GET", path, if_match='"x"', if_none_match="*")
        assert response.status_code == 200
        assert response.json()["schemas"]
