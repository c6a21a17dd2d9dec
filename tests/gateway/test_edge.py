"""The edge with a directory that fails, and what no test with a healthy one can see."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import grpc
import httpx
import pytest
from rollcall.directory.v1 import directory_service_pb2 as pb
from rollcall.directory.v1.group_pb2 import Group, Member
from rollcall.directory.v1.user_pb2 import User

from gateway.exchange import NOWHERE
from tests.gateway.edge import (
    CONNECTION,
    RAW_PATH,
    USER_URN,
    Refused,
    ScriptedDirectory,
    assert_scim_error,
    bearer,
    fresh_token,
    gateway,
    scripted,
)

BASE = f"/scim/v2/{CONNECTION}"
USER = User(id="u1", user_name="Ada", etag='W/"1"', version=1)


class Edge:
    """A gateway with its scripted directory."""

    def __init__(self, directory: ScriptedDirectory, client: httpx.AsyncClient) -> None:
        self.directory = directory
        self.client = client
        self.headers = bearer(fresh_token())

    async def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request with a token to a path below the connection."""
        headers = {**self.headers, **options.pop("headers", {})}
        return await self.client.request(method, BASE + path, headers=headers, **options)


@pytest.fixture
async def edge(stopping: Any) -> Edge:
    """A gateway whose directory knows one user."""
    directory = ScriptedDirectory()
    directory.scripts |= {
        "GetUser": lambda request: pb.GetUserResponse(user=USER),
        "CreateUser": lambda request: pb.CreateUserResponse(user=USER),
        "ListUsers": lambda request: pb.ListUsersResponse(users=[USER], total_size=1),
    }
    target = await stopping.enter_async_context(scripted(directory))
    return Edge(directory, await stopping.enter_async_context(gateway(target)))


def invalid_token(request: Any) -> Refused:
    return Refused(grpc.StatusCode.UNAUTHENTICATED, "INVALID_TOKEN", "the token was revoked yesterday")


@pytest.mark.parametrize("token", ["", "x", "rollcall_scim_", "Bearer", "rollcall_scim_1_" + "A" * 49])
async def test_garbage_is_refused_before_the_directory_is_asked(edge: Edge, token: str) -> None:
    """SECURITY: "the checksum kills garbage before the database"."""
    response = await edge.send("GET", "/Users/u1", headers=bearer(token))
    assert_scim_error(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"
    assert edge.directory.calls == []


@pytest.mark.parametrize("authorization", ["Basic dTpw", "Token {}", "{}", "Bearer", "bearer: {}"])
async def test_only_a_bearer_token_counts(edge: Edge, authorization: str) -> None:
    """RFC 6750 §2.1: `Authorization: Bearer …`."""
    response = await edge.send("GET", "/Users/u1", headers={"Authorization": authorization.format(fresh_token())})
    assert_scim_error(response, 401)


async def test_the_scheme_is_read_in_any_case(edge: Edge) -> None:
    """RFC 9110 §11.1: the scheme is case-insensitive."""
    response = await edge.send("GET", "/Users/u1", headers={"Authorization": f"bEARER {fresh_token()}"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "content"),
    [
        ("GET", "/ServiceProviderConfig", b""),
        ("GET", "/Schemas", b""),
        ("GET", "/ResourceTypes/User", b""),
        ("GET", "/Nowhere", b""),
        ("GET", "", b""),
        ("OPTIONS", "/Users", b""),
        ("DELETE", "/Users", b""),
        ("PROPFIND", "/Users", b""),
        ("WHATEVER", "/Users", b""),
        ("POST", "/Users", b"{"),
        ("POST", "/Users", b"{}"),
        ("POST", "/Users", b" " * 2_000_000),
        ("PATCH", "/Groups/g1", b"[]"),
        ("GET", "/Users?count=x", b""),
        ("GET", "/Me", b""),
        ("POST", "/Bulk", b"{}"),
    ],
)
async def test_nothing_is_told_before_the_token_is_found_good(
    edge: Edge, method: str, path: str, content: bytes
) -> None:
    """SECURITY: "Every path under `/scim/v2/{connection_id}` needs a token … discovery documents too"."""
    asking = ("CheckToken", "ListExtensions", "SearchResources")
    edge.directory.scripts |= dict.fromkeys(asking, invalid_token)
    response = await edge.send(method, path, content=content)
    detail = assert_scim_error(response, 401)
    assert "revoked yesterday" not in detail
    assert "allow" not in response.headers
    assert len(edge.directory.calls) == 1
    assert edge.directory.named()[0] in asking
    assert edge.directory.calls[0][1].connection_id == CONNECTION


async def test_a_request_that_calls_the_directory_is_authenticated_by_that_call(edge: Edge) -> None:
    """HOUSE: "`CreateUser` (token forwarded; the directory checks it in the same call) … One RPC"."""
    assert (await edge.send("POST", "/Users", json={"userName": "Ada"})).status_code == 201
    assert (await edge.send("GET", "/Users/u1")).status_code == 200
    assert (await edge.send("GET", "/Users?filter=userName%20eq%20%22a%22&startIndex=1&count=100")).status_code == 200
    assert edge.directory.named() == ["CreateUser", "GetUser", "ListUsers"]


async def test_a_large_body_is_read_only_once_the_token_is_good(edge: Edge) -> None:
    """A stranger must not make the gateway parse megabytes."""
    body = b'{"userName":"' + b"a" * 100_000 + b'"}'
    assert (await edge.send("POST", "/Users", content=body)).status_code == 201
    assert edge.directory.named() == ["CheckToken", "CreateUser"]


async def test_what_the_directory_needs_to_know_travels_with_the_call(edge: Edge) -> None:
    """PRODUCT §7: "effect → event → SCIM request": the request's id and route go along, and the trace."""
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    response = await edge.send("GET", "/Users/u1", headers={"X-Request-Id": "okta-7", "traceparent": traceparent})
    assert response.headers["x-request-id"] == "okta-7"
    _, _, metadata = edge.directory.calls[0]
    assert metadata["rollcall-request-id"] == "okta-7"
    assert metadata["rollcall-request"] == "GET /Users/{id}"
    assert metadata["rollcall-scim-token"] == edge.headers["Authorization"].removeprefix("Bearer ")
    assert metadata["authorization"] == "Bearer " + "x" * 43
    assert metadata["traceparent"] == traceparent
    assert metadata["rollcall-client-dialect"] == "OTHER"


async def test_the_dialect_of_a_request_is_told_once_and_with_its_body(edge: Edge) -> None:
    """Rule: the dialect is detected from the request; the directory counts requests, not calls."""
    edge.directory.scripts["UpdateUser"] = lambda request: pb.UpdateUserResponse(user=USER)
    body = {"userName": "Ada", "active": False, "title": "x" * 100_000}
    headers = {"User-Agent": "Okta SCIM Client 1.0.0", "If-Match": 'W/"1", W/"2"'}
    assert (await edge.send("PUT", "/Users/u1", json=body, headers=headers)).status_code == 200
    assert edge.directory.named() == ["CheckToken", "GetUser", "UpdateUser"]
    told = [metadata.get("rollcall-client-dialect") for _, _, metadata in edge.directory.calls]
    assert told == [None, "OKTA_AIW", None]
    await edge.send("GET", "/ServiceProviderConfig", headers=headers)
    assert edge.directory.calls[-1][0] == "CheckToken"
    assert edge.directory.calls[-1][2]["rollcall-client-dialect"] == "OKTA"


@pytest.mark.parametrize("value", ["", "a b", "x" * 129, "-x", "é".encode("latin-1"), '"><script>'])
async def test_a_request_id_that_is_not_sane_is_replaced(edge: Edge, value: str | bytes) -> None:
    """X-Request-Id is echoed and logged, so it has to be harmless."""
    response = await edge.send("GET", "/Users/u1", headers={"X-Request-Id": value, "traceparent": "zz"})
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])
    assert "traceparent" not in edge.directory.calls[0][2]


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS])
async def test_an_unknown_failure_is_a_bare_500_with_the_request_id(edge: Edge, code: grpc.StatusCode) -> None:
    """SECURITY: "Unknown exceptions: logged with the request id, answered as a bare SCIM 500"."""
    edge.directory.scripts["GetUser"] = lambda request: code
    response = await edge.send("GET", "/Users/u1", headers={"X-Request-Id": "req-9"})
    assert assert_scim_error(response, 500) == "internal error; request id req-9"


async def test_a_bug_of_the_gateway_is_a_bare_500_too(edge: Edge, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """SECURITY: "Errors never carry a traceback, SQL, or another tenant's data"."""
    monkeypatch.setattr("gateway.resources.users.user_resource", lambda user, base_url: 1 / 0)
    with caplog.at_level(logging.ERROR, "gateway"):
        response = await edge.send("GET", "/Users/u1")
    assert "division" not in assert_scim_error(response, 500)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError]


async def test_a_directory_that_is_gone_is_503_with_retry_after(stopping: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SECURITY: a SCIM error with `Retry-After`; also where the token could not be checked."""
    monkeypatch.setattr("gateway.directory.CONNECT_SECONDS", 0.1)
    client = await stopping.enter_async_context(gateway("127.0.0.1:1"))
    for path in ("/Users/u1", "/ServiceProviderConfig", "/Nowhere"):
        response = await client.get(BASE + path, headers=bearer(fresh_token()))
        assert_scim_error(response, 503)
        assert response.headers["retry-after"].isdigit()
    assert (await client.get("/healthz")).status_code == 200
    assert (await client.get("/readyz")).status_code == 503


async def test_a_directory_that_is_too_slow_is_503(stopping: Any) -> None:
    """SECURITY: "request deadline 30 s"."""
    directory = ScriptedDirectory()
    directory.scripts["GetUser"] = lambda request: asyncio.sleep(30)
    target = await stopping.enter_async_context(scripted(directory))
    client = await stopping.enter_async_context(gateway(target, deadline_seconds=0.3))
    response = await client.get(f"{BASE}/Users/u1", headers=bearer(fresh_token()))
    assert_scim_error(response, 503)
    assert directory.named() == ["GetUser"]


async def test_readiness_is_that_of_the_directory(edge: Edge) -> None:
    """`/readyz`: 200 means that a SCIM request would be answered; it needs no token and tells nothing else."""
    assert (await edge.client.get("/readyz")).json() == {"status": "ready"}
    edge.directory.serving = False
    assert (await edge.client.get("/readyz")).status_code == 503
    assert (await edge.client.get("/healthz")).json() == {"status": "alive"}
    assert (await edge.client.post("/healthz", headers=edge.headers)).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/scim/v2/{c}/Users%2Fu1",
        "/scim/v2/{c}%2FUsers/u1",
        "/scim%2Fv2/{c}/Users/u1",
        "/scim/v2/{c}/%55sers/u1",
        "/scim/v2/{c}/users/u1",
        "/SCIM/v2/{c}/Users/u1",
        "/scim/V2/{c}/Users/u1",
        "/scim/v2/{c}/./Users/u1",
        "/scim/v2/{c}/../{c}/Users/u1",
        "/scim/v2/{c}/%2e%2e/Users/u1",
        "//scim/v2/{c}/Users/u1",
        "///scim/v2/{c}/Users/u1",
        "/scim//v2/{c}/Users/u1",
        "/scim/v2//{c}/Users/u1",
        "/scim/v2/{c}//Users/u1",
        "/scim/v2/{c}/Users//u1",
        "/scim/v2/{c}/Users/",
        "/scim/v2/{c}/Users/u1/",
        "/scim/v2/{c}/Users/u1/x",
        "/scim/v2/{c}/Users;v=1/u1",
        "/scim/v2/{c}/Users\\u1",
        "/scim/v2/{c}/Users%5Cu1",
        "/scim/v2/{c}/Users%00/u1",
        "/scim/v2//Users/u1",
        "/scim/v2/{c}/",
        "/scim/v2",
        "/healthz/",
        "/healthz/../scim/v2/{c}/Users/u1",
        "/HEALTHZ",
        "/healthz%2F..%2Fscim/v2/{c}/Users/u1",
        "/",
        NOWHERE,
    ],
)
async def test_a_path_mutant_reaches_no_route_and_needs_a_token_all_the_same(edge: Edge, path: str) -> None:
    """SECURITY, CVE-2026-32130: "encoded slashes, case, dot segments and double slashes never reach another route"."""
    raw = path.format(c=CONNECTION)
    assert_scim_error(await edge.client.get("/", headers={RAW_PATH: raw}), 401)
    assert edge.directory.calls == []
    assert_scim_error(await edge.send("GET", "", headers={RAW_PATH: raw}), 404)
    assert edge.directory.named() == ["CheckToken"]


async def test_an_id_is_sent_to_the_directory_as_it_stands_in_the_path(edge: Edge) -> None:
    """One parse of the path: an id is opaque, never decoded."""
    edge.directory.scripts["GetUser"] = lambda request: Refused(grpc.StatusCode.NOT_FOUND, "USER_NOT_FOUND", "no user")
    for identifier in ("..%2f..%2fGroups", "%2e%2e", "a%00b", "..", "%"):
        assert_scim_error(await edge.send("GET", "", headers={RAW_PATH: f"{BASE}/Users/{identifier}"}), 404)
        assert edge.directory.calls[-1][1].id == identifier


async def test_a_host_that_is_no_host_is_not_repeated(edge: Edge) -> None:
    """`meta.location` is made of the Host header only where that can be one."""
    response = await edge.send("GET", "/Users/u1", headers={"Host": 'evil"/><x'})
    assert response.json()["meta"]["location"] == f"http://gateway.test{BASE}/Users/u1"


async def test_the_public_url_is_what_locations_begin_with(stopping: Any, edge: Edge) -> None:
    """RFC 7644 §3.3: "Location" and "meta.location" are the URI of the resource, as the client reaches it."""
    target = edge.directory
    directory_target = await stopping.enter_async_context(scripted(target))
    client = await stopping.enter_async_context(gateway(directory_target, public_url="https://scim.example.com/"))
    response = await client.post(f"{BASE}/Users", headers=edge.headers, json={"userName": "Ada"})
    location = f"https://scim.example.com{BASE}/Users/u1"
    assert response.headers["location"] == response.json()["meta"]["location"] == location


async def test_a_token_over_its_rate_is_429_with_an_integer_retry_after(stopping: Any, edge: Edge) -> None:
    """WIRE: "On 429 only an integer-seconds `Retry-After` is honoured"."""
    target = await stopping.enter_async_context(scripted(edge.directory))
    client = await stopping.enter_async_context(gateway(target, requests_per_second=0.01, burst=2))
    for expected in (200, 200, 429):
        response = await client.get(f"{BASE}/Users/u1", headers=edge.headers)
        assert response.status_code == expected
    assert_scim_error(response, 429)
    assert 1 <= int(response.headers["retry-after"]) <= 100
    assert (await client.get(f"{BASE}/Users/u1", headers=bearer(fresh_token()))).status_code == 200
    assert edge.directory.named() == ["GetUser"] * 3


async def test_an_address_that_guesses_is_429(stopping: Any, edge: Edge) -> None:
    """SECURITY: "10 failed authentications a minute per address"; one whose token works is not locked out by others."""
    target = await stopping.enter_async_context(scripted(edge.directory))
    client = await stopping.enter_async_context(
        gateway(target, failed_authentications_per_minute=3, client_address="203.0.113.77")
    )
    assert (await client.get(f"{BASE}/Users/u1", headers=edge.headers)).status_code == 200
    edge.directory.scripts["GetUser"] = invalid_token
    statuses = [(await client.get(f"{BASE}/Users/u1", headers=bearer(fresh_token()))).status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    assert (await client.get(f"{BASE}/Users/u1")).status_code == 429
    edge.directory.scripts["GetUser"] = lambda request: pb.GetUserResponse(user=USER)
    assert (await client.get(f"{BASE}/Users/u1", headers=edge.headers)).status_code == 200


async def test_the_address_behind_a_trusted_proxy_is_what_counts(stopping: Any, edge: Edge) -> None:
    """X-Forwarded-For is believed of trusted proxies only, and only as far as they wrote it."""
    target = await stopping.enter_async_context(scripted(edge.directory))
    limited: dict[str, Any] = {"failed_authentications_per_minute": 1}
    trusting = await stopping.enter_async_context(
        gateway(target, trusted_proxies=("10.0.0.0/8",), client_address="10.1.1.1", **limited)
    )
    for forwarded, expected in [
        ("198.51.100.1", 401),
        ("198.51.100.1", 429),
        ("198.51.100.2, 10.2.2.2", 401),
        ("9.9.9.9, 198.51.100.2", 429),
    ]:
        response = await trusting.get(f"{BASE}/Users", headers={"X-Forwarded-For": forwarded})
        assert response.status_code == expected, forwarded
    doubting = await stopping.enter_async_context(gateway(target, client_address="10.3.3.3", **limited))
    for forwarded, expected in [("198.51.100.8", 401), ("198.51.100.9", 429)]:
        response = await doubting.get(f"{BASE}/Users", headers={"X-Forwarded-For": forwarded})
        assert response.status_code == expected, forwarded


def big_group(members: int = 0) -> Group:
    group = Group(id="g1", display_name="Everyone", etag='W/"9"', version=9, member_count=1500)
    group.members.extend(Member(value=f"m{number}") for number in range(members))
    return group


def chunks(request: Any) -> list[Any]:
    members = [Member(value=f"m{number}", display=f"d{number}") for number in range(1500)]
    return [pb.ListGroupMembersResponse(members=members[start : start + 500]) for start in range(0, 1500, 500)]


async def test_a_group_of_more_than_a_thousand_members_is_streamed_whole(edge: Edge) -> None:
    """TRAPS: "stream members in chunks of 500"; the client gets one JSON document."""
    edge.directory.scripts |= {
        "GetGroup": lambda request: pb.GetGroupResponse(group=big_group(1000)),
        "ListGroupMembers": chunks,
    }
    response = await edge.send("GET", "/Groups/g1")
    assert response.headers["etag"] == 'W/"9"'
    body = response.json()
    assert [member["value"] for member in body["members"]] == [f"m{number}" for number in range(1500)]
    assert body["members"][7] == {
        "value": "m7",
        "$ref": f"http://gateway.test{BASE}/Users/m7",
        "type": "User",
        "display": "d7",
    }
    assert body["displayName"] == "Everyone"
    response = await edge.send("GET", "/Groups/g1?attributes=members.value")
    assert response.json()["members"][0] == {"value": "m0"}
    assert "displayName" not in response.json()
    response = await edge.send(
        "GET", "/Groups/g1?excludedAttributes=members.value,members.$ref,members.type,members.display"
    )
    assert response.json()["members"] == []
    head = await edge.send("HEAD", "/Groups/g1")
    assert (head.status_code, head.content, "content-length" in head.headers) == (200, b"", False)


async def test_a_group_whose_members_nobody_wants_is_not_streamed(edge: Edge) -> None:
    """TARGETS: "`excludedAttributes=members` under 1.5 ms"."""
    edge.directory.scripts["GetGroup"] = lambda request: pb.GetGroupResponse(group=big_group())
    response = await edge.send("GET", "/Groups/g1?excludedAttributes=members")
    assert "members" not in response.json()
    assert edge.directory.named() == ["GetGroup"]
    assert edge.directory.calls[0][1].include_members is False


async def test_a_stream_that_fails_at_once_is_a_scim_error(edge: Edge) -> None:
    """A failure before the first chunk can still be told."""
    edge.directory.scripts |= {
        "GetGroup": lambda request: pb.GetGroupResponse(group=big_group()),
        "ListGroupMembers": lambda request: [grpc.StatusCode.UNAVAILABLE],
    }
    assert_scim_error(await edge.send("GET", "/Groups/g1"), 503)


async def test_a_page_that_is_too_large_for_one_message_is_streamed(edge: Edge) -> None:
    """TRAPS: "The default 4 MB limit fails"; a page of many large groups is answered all the same, whole."""

    def list_groups(request: Any) -> Any:
        if request.include_members:
            return grpc.StatusCode.RESOURCE_EXHAUSTED
        small = Group(id="g2", display_name="Nobody", etag='W/"1"')
        return pb.ListGroupsResponse(groups=[big_group(), small, big_group()], total_size=3)

    edge.directory.scripts |= {"ListGroups": list_groups, "ListGroupMembers": chunks}
    body = (await edge.send("GET", "/Groups")).json()
    assert (body["totalResults"], body["itemsPerPage"], body["startIndex"]) == (3, 3, 1)
    assert [len(group["members"]) for group in body["Resources"]] == [1500, 0, 1500]
    assert edge.directory.named() == ["ListGroups", "ListGroups", "ListGroupMembers", "ListGroupMembers"]


async def test_a_user_that_cannot_be_read_as_json_text_is_never_sent(edge: Edge) -> None:
    """RFC 7644 §3.1: whatever goes wrong, the body is SCIM JSON."""
    response = await edge.send(
        "POST", "/Users", content=b'{"userName":"\xff"}', headers={"Content-Type": "application/json"}
    )
    assert_scim_error(response, 400, "invalidSyntax")
    response = await edge.send("POST", "/Users", content=b"", headers={"Content-Type": "application/json"})
    assert_scim_error(response, 400, "invalidSyntax")
    response = await edge.send("POST", "/Users", content=b"<xml/>", headers={"Content-Type": "application/xml"})
    assert_scim_error(response, 415)
    response = await edge.send("GET", "/Users/u1", headers={"Accept": "text/html"})
    assert response.json()["schemas"] == [USER_URN]
